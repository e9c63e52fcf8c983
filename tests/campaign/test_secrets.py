"""Passwords and tokens appear nowhere but where they are needed: not when all is well, not when all goes wrong."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import string
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import campaign
import hypothesis
import pytest
from click.testing import CliRunner
from clickhouse_server import ClickHouseServer, unavailable
from helpers import AT_ONCE, beside_python, wait_for
from hypothesis import given
from hypothesis import strategies as st
from luigid_server import luigid, task_list
from mlflow_server import Gateway, MlflowServer, empty_store, kill_carriers, runs_in

from champion_luigi.base import secrets as hiding
from champion_luigi.base.errors import ArchiveUnreachable, RejectedPayload, SettingsError
from champion_luigi.commands import schedule
from champion_luigi.commands.cli import main
from champion_luigi.config import settings
from champion_luigi.config.wiring import open_archive
from champion_luigi.simulated import exchange
from champion_luigi.tracking import record

AREA = "Secrets"
DAY = date(2024, 1, 15)
# A week of sessions, of which some are answered with an echo of what was sent.
PAGE, REDIRECT, BROKEN, KILLED = date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10), date(2024, 1, 11)
HEADER = date(2024, 1, 12)
SPECIAL = "/?#@:%&=+ '\"\\<>$`!*()[]{}|^~;,.-_ö€"

needs_server = pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")


# Every form of a secret

passwords = st.text(
    st.one_of(st.sampled_from(SPECIAL), st.characters(codec="utf-8", exclude_categories=["Cc"])),
    min_size=6,
    max_size=30,
).filter(lambda text: text == text.strip() and len(set(text)) > 3)

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded in part": quote,
    "percent-encoded in small letters": lambda text: re.sub(
        "%[0-9A-F]{2}", lambda each: each[0].lower(), quote(text, safe="")
    ),
    "in a form": quote_plus,
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON, with its letters": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "in HTML": html.escape,
    "in a repr": lambda text: repr(text)[1:-1],
    "in a repr of bytes": lambda text: repr(text.encode())[2:-1],
    "in SQL": lambda text: text.replace("\\", "\\\\").replace("'", "\\'"),
    "in standard SQL": lambda text: text.replace("'", "''"),
    "in luigi.cfg": lambda text: text.replace("%", "%%"),
    "as a regular expression": re.escape,
}


@hypothesis.settings(max_examples=1500 if campaign.IS_WHOLE else 50)
@given(form=st.sampled_from(sorted(FORMS)), password=passwords)
def test_a_secret_is_known_in_every_form(form: str, password: str) -> None:
    """Nothing of it is left, and the text around it stays."""
    assert hiding.starred(f"<a>{FORMS[form](password)}</a>", [password]) == "<a>***</a>"


@given(password=st.text(st.characters(codec="utf-8"), min_size=6, max_size=30), user=st.text(max_size=5))
def test_a_secret_is_known_in_what_http_sends_of_it(password: str, user: str) -> None:
    """Base64 of a user's name and the password, whatever its alignment, with the URL's letters too."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        sent = encode(f"{user}:{password}".encode()).decode()
        shown = hiding.starred(f"Basic {sent} refused", [password])
        assert "***" in shown
        core = sent[-(-len(user.encode() + b":") // 3) * 4 + 4 : -4]
        assert not core or core not in shown


@given(text=st.text(max_size=200), password=passwords)
def test_hiding_is_done_once(text: str, password: str) -> None:
    """What is hidden already stays as it is, unless the secret is of stars itself."""
    once = hiding.starred(text, [password])
    assert hiding.starred(once, [password]) == once or "*" in password


@pytest.mark.parametrize(
    ("address", "secrets", "public"),
    [
        ("https://me:pa55word@host/base", {"pa55word"}, "https://host/base"),
        ("https://host/base?token=pa55word&x=1", {"pa55word"}, "https://host/base"),
        ("https://host?x=1&api_key=pa%2F55", {"pa%2F55", "pa/55"}, "https://host"),
        (
            "postgresql+psycopg2://host/db?user=me&password=p+w%21",
            {"p+w%21", "p w!", "p+w!"},
            "postgresql+psycopg2://host/db",
        ),
        ("https://h/blob?sv=2024&sig=abcdef%3D", {"abcdef%3D", "abcdef="}, "https://h/blob"),
        # Written without the escapes that it needs.
        ("http://me:pa/55?w#o@rd@host:80/x", {"pa/55?w#o@rd"}, "http://host:80/x"),
        ("postgresql://me:pa/55@host/db", {"pa/55"}, "postgresql://host/db"),
        ("me:pa55word@proxy:3128", {"pa55word"}, "proxy:3128"),
        # None of these holds one.
        ("http://[::1]:8080/a@b", set(), "http://[::1]:8080/a@b"),
        ("sqlite:////srv/a:b@c.db", set(), "sqlite:////srv/a:b@c.db"),
        ("https://host/x?sslmode=require&bypass=1", set(), "https://host/x"),
        ("/srv/archive?of@mine", set(), "/srv/archive?of@mine"),
        ("simulated:", set(), "simulated:"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, secrets: set[str], public: str) -> None:
    """Which are its password, and the values of its query that are named like secrets."""
    assert (set(hiding.in_address(address)), hiding.public(address)) == (secrets, public)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_the_password_of_a_proxy_is_a_secret(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries take it from the environment by themselves, and quote it."""
    monkeypatch.setenv(variable, "http://me:pa55word@proxy:3128")
    assert settings.without_secrets("407 of me:pa55word") == "407 of me:***"


def test_an_error_is_made_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its sentence and in its parts, whoever shows it."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "https://archive.example/?token=pa55word")
    error = ArchiveUnreachable("no pa55word", source="pa55word", expected="pa55word", found="pa55word", todo="pa55word")
    assert "pa55word" not in f"{error!r} {error} {vars(error)}"


def test_a_password_that_cuts_its_address_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unescaped slash would make the rest of it a path, and its begin a port."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "http://me:pa55/w0rd@archive.example")
    with pytest.raises(SettingsError, match="write %2F for /") as raised:
        open_archive(settings.get("archive_url"))
    assert not re.search("pa55|w0rd", str(raised.value))


def test_a_token_in_the_archives_address_is_sent_and_not_kept() -> None:
    """Behind the path of each file, as a store that has signed the address wants it; and not in the receipt's URL."""
    with Echo() as server:
        archive = open_archive(f"{server.url}/base?token=pa55word")
        with pytest.raises(RejectedPayload) as caught:  # the server answers with a page that repeats the request
            archive.get("/content/x", DAY)
        assert "pa55word" not in str(caught.value)
        assert server.paths == ["/base/content/x?token=pa55word"]
        assert archive.url("/content/x") == f"{server.url}/base/content/x"


def test_a_schedule_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that holds one belongs into a file that others cannot read."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:pa55word@mlflow.example")
    monkeypatch.setenv("NSE_ARCHIVE_URL", "https://archive.example?token=pa55token")
    monkeypatch.setenv("CLICKHOUSE_HOST", "clickhouse.example")
    job = schedule.here()
    printed = schedule.crontab(job) + "".join(schedule.systemd_units(job).values())
    assert "clickhouse.example" in printed
    assert not re.search("pa55|mlflow.example|archive.example", printed)


def test_the_note_of_deliveries_names_a_store_without_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password can stand there: SQLAlchemy takes it from the query too."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://db.example/mlflow?user=me&password=pa55word")
    assert record.job().store.startswith("postgresql://db.example/mlflow ")


# A server that repeats what it was sent


class Echo:
    """An archive that wants a password, a proxy and a ClickHouse, all of which repeat what they were sent.

    The days of ``pages`` and so on are answered with an HTML page, a redirect, and status 500; the rest as published.
    """

    def __init__(self, authorization: str = "") -> None:
        self.authorization = authorization
        self.paths: list[str] = []
        self.hanging = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Echo:
        echo = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    echo._answer(self)

            do_POST = do_HEAD = do_GET  # noqa: N815 - named after the methods

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.paths.append(request.path)
        said = echo_of(request)
        path = urlsplit(request.path).path
        if not path.startswith(("/content", "/base")) or request.path.startswith("http"):
            # As ClickHouse says that it cannot parse a statement.
            headers = {"X-ClickHouse-Exception-Code": "62"}
            self._send(request, 500, f"Code: 62. DB::Exception: Syntax error near {said}. (SYNTAX_ERROR)", headers)
        elif self.authorization and request.headers.get("Authorization") != self.authorization:
            self._send(request, 401, f"who is {said}?")
        elif self._is_of(path, PAGE):
            self._send(request, 200, f"<html><body>{html.escape(said)}</body></html>")
        elif self._is_of(path, REDIRECT):
            self._send(request, 302, said, {"Location": f"/login/{quote(said)}"})
        elif self._is_of(path, BROKEN):
            self._send(request, 500, said)
        elif self._is_of(path, HEADER):
            self._send(request, 200, f"SYMBOL,SERIES,{said.replace(',', ' ')}\r\nA,EQ,1\r\n")
        elif self._is_of(path, KILLED) and not self.release.is_set():
            self.hanging.set()
            self.release.wait()
        else:
            status, content = exchange.respond(path.removeprefix("/base"))
            self._send(request, status if "/content/x" not in path else 200, content)

    @staticmethod
    def _is_of(path: str, day: date) -> bool:
        return f"cm{day:%d%b%Y}".upper() in path.upper() or f"{day:%Y%m%d}" in path

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler, status: int, content: str | bytes, headers: dict[str, str] | None = None
    ) -> None:
        body = content if isinstance(content, bytes) else content.encode()
        request.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(name, text)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)


def echo_of(request: BaseHTTPRequestHandler) -> str:
    """All credentials of a request as they were sent, and decoded."""
    said = [request.path]
    for name in ("Authorization", "Proxy-Authorization", "X-ClickHouse-Key"):
        if text := request.headers.get(name):
            said.append(text)
            with contextlib.suppress(ValueError):
                content = base64.b64decode(text.rpartition(" ")[2], validate=True)
                decoded = _decoded(content)
                said += [decoded, json.dumps(decoded), repr(content)]
    return " ".join(said)


def _decoded(content: bytes) -> str:
    """A text in the encoding that its client has chosen."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


# What is planted, and where it is looked for


@dataclass
class Planted:
    """The secrets of a round. Each has parts of letters and digits, by which it is known however it is escaped."""

    random: random.Random
    parts: dict[str, list[str]] = field(default_factory=dict)

    def secret(self, name: str, special: str = SPECIAL) -> str:
        """A password with these characters between its parts."""
        parts = ["".join(self.random.choices(string.ascii_letters + string.digits, k=9)) for _ in range(3)]
        self.parts[name] = parts
        between = ["".join(self.random.sample(special, min(6, len(special)))) for _ in range(2)]
        return parts[0] + between[0] + parts[1] + between[1] + parts[2]

    def found_in(self, content: bytes) -> list[str]:
        """The names of the secrets of which a part is in there: as it is, or in base64."""
        found = []
        for name, parts in self.parts.items():
            needles = {needle for part in parts for needle in (part.encode(), *in_base64(part))}
            if any(needle in content for needle in needles):
                found.append(name)
        return found


def in_base64(part: str) -> list[bytes]:
    """What base64 makes of a text, wherever it stands in what is encoded."""
    # Each time the letters that depend on nothing else.
    return [base64.b64encode(b"\0" * before + part.encode())[4 if before else 0 : 12] for before in range(3)]


def test_a_planted_secret_would_be_found() -> None:
    """The search finds each form, and half of it too."""
    planted = Planted(random.Random(1))
    password = planted.secret("one")
    for form in FORMS.values():
        assert planted.found_in(form(password).encode()) == ["one"]
    for user in ("", "u", "us"):
        assert planted.found_in(base64.b64encode(f"{user}:{password}".encode())) == ["one"]
    assert planted.found_in(password[: len(password) // 2].encode()) == ["one"]
    assert planted.found_in(b"nothing") == []


class Lists:
    """All command lines that a list of processes showed in the meantime."""

    def __init__(self) -> None:
        self.shown: set[bytes] = set()
        self._ended = threading.Event()

    def __enter__(self) -> Lists:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    with contextlib.suppress(OSError):
                        self.shown.add(Path("/proc", entry, "cmdline").read_bytes())


# The campaign

CARELESS = '''
"""A task of somebody else, with a bug: its error quotes an address."""
from champion_luigi import ScrapeBhavcopy
from champion_luigi.config import settings

class Careless(ScrapeBhavcopy):
    def work(self):
        try:
            raise ValueError(settings.get("archive_url"))
        except ValueError as error:
            raise RuntimeError(f"cannot go on with {settings.clickhouse_password()!r}") from error
'''

CRASH = """
from champion_luigi.commands.cli import main
from champion_luigi.config import settings

@main.command()
def crash():
    raise RuntimeError(settings.get("archive_url"), settings.tracking_uri())

main(["crash"])
"""


@dataclass
class Site:
    """An installation with its servers: a folder to work in, a data folder, an environment."""

    folder: Path
    environment: dict[str, str]
    outputs: list[tuple[str, str]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, *command: str, expect: int | None = None, **environment: str) -> str:
        """Run a command as a user types it, to its end; what it printed."""
        program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or command[0]
        done = subprocess.run(
            [program, *command[1:]],
            env=self.environment | environment,
            cwd=self.folder / "work",
            capture_output=True,
            timeout=180,
            check=False,
        )
        output = (done.stdout + done.stderr).decode(errors="replace")
        self.outputs.append((" ".join(command)[:60], output))
        assert expect is None or done.returncode == expect, f"{command}: {done.returncode}\n{output}"
        return output

    def luigi(self, *command: str, module: str = "champion_luigi", **more: Any) -> str:
        return self.run("luigi", "--module", module, *command, "--log-level", "DEBUG", **more)


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Outside of the test's own folder, so that all of it can be looked through."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("work", "data", "luigid", "clickhouse"):
        (folder / name).mkdir()
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("CHAMPION", "MLFLOW"))}
    environment |= {
        "DATA_DIR": str(folder / "data"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder / "work"), os.environ.get("PYTHONPATH", "")])),
        "CHAMPION_TRACKING": "on",
        "CHAMPION_TRACKING_WAIT": "2",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "no_proxy": "127.0.0.1",
    }
    environment |= AT_ONCE
    yield Site(folder, environment)
    kill_carriers(folder / "data")


class Repeating(Gateway):
    """An MLflow server that refuses, and repeats the credentials that it was sent."""

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        if self.status is None:
            return super()._answer(request, body)
        if len(self.requests) % 2:
            return self.status, "text/plain; charset=utf-8", echo_of(request).encode()
        document = {"error_code": "INTERNAL_ERROR", "message": f"not {echo_of(request)}"}
        return self.status, "application/json", json.dumps(document).encode()


@pytest.mark.faults
@pytest.mark.integration
@needs_server
# MLflow's own use of what SQLAlchemy deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=3))
def test_no_planted_secret_is_found_anywhere(seed: int, site: Site) -> None:
    """In no output, file, list of processes, page of luigid or run of MLflow, after good work and all kinds of bad."""
    planted = Planted(random.Random(seed))
    archive_password = planted.secret("archive")
    mlflow_token = planted.secret("token", "-._~+/")
    # The clients of MLflow and of luigid take Latin-1 alone.
    latin = SPECIAL.replace("€", "")
    mlflow_password, scheduler_password = planted.secret("mlflow", latin), planted.secret("luigid", latin)
    warehouse_password = planted.secret("warehouse")
    query_token, proxy_password = planted.secret("query"), planted.secret("proxy")
    is_in_file = seed % 2 == 1
    authorization = "Basic " + base64.b64encode(f"reader:{archive_password}".encode()).decode()

    with contextlib.ExitStack() as stack:
        echo = stack.enter_context(Echo(authorization))
        scheduler = stack.enter_context(luigid(site.folder / "luigid", "[scheduler]\nmetrics_collector = prometheus\n"))
        gateway = stack.enter_context(Repeating(status=401 if seed % 2 else 500))
        server = ClickHouseServer(site.folder / "clickhouse", password=warehouse_password)
        stack.enter_context(server)
        address = f"http://op:{quote(scheduler_password, safe='')}@127.0.0.1:{scheduler}/"
        configuration = [
            f"[core]\n{'scheduler_url' if is_in_file else 'default-scheduler-url'} = " + address.replace("%", "%%")
        ]
        if is_in_file:
            configuration.append(f"[clickhouse]\npassword = {warehouse_password.replace('%', '%%')}")
        else:
            site.environment["CLICKHOUSE_PASSWORD"] = warehouse_password
        (site.folder / "work" / "luigi.cfg").write_text("\n".join(configuration) + "\n")
        (site.folder / "work" / "careless.py").write_text(CARELESS)
        site.environment |= {
            "CLICKHOUSE_HOST": server.host,
            "CLICKHOUSE_PORT": str(server.port),
            "CLICKHOUSE_USER": server.user,
            "NSE_ARCHIVE_URL": f"{echo.url}?token={quote(query_token, safe='')}".replace(
                "//", f"//reader:{quote(archive_password, safe='')}@"
            ),
            "MLFLOW_TRACKING_URI": gateway.url.replace("//", f"//reader:{quote(mlflow_password, safe='')}@"),
            "MLFLOW_TRACKING_TOKEN": mlflow_token,
            "http_proxy": f"http://me:{quote(proxy_password, safe='')}@127.0.0.1:{echo.port}",
        }
        lists = stack.enter_context(Lists())

        work(site, echo, server)
        ask(site)
        pages = what_luigid_shows(scheduler)
        store = told_to(site, gateway, stack, query_token if seed % 2 == 0 else None)

    where = {f"output of {name}": output.encode() for name, output in site.outputs}
    where |= {f"luigid: {name}": text for name, text in pages.items()}
    where |= {"MLflow": store} | {"command lines": b"\n".join(lists.shown)}
    for path in [*site.data.rglob("*"), *(site.folder / "luigid").rglob("*"), *(site.folder / "clickhouse").rglob("*")]:
        if path.is_file():
            where[str(path)] = path.read_bytes()
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as database:
                where[f"{path}, dumped"] = "\n".join(database.iterdump()).encode()
    leaks = {name: found for name, content in where.items() if (found := planted.found_in(content))}
    assert leaks == {}, f"seed {seed}: {leaks}\n" + shown_around(planted, where, leaks)
    assert any(b"champion_luigi.tracking.carrier" in each for each in lists.shown)
    assert any(b"LoadClickHouse" in each for each in lists.shown)
    assert b"***" in pages["errors"]
    journal = b"".join(each.read_bytes() for each in (site.data / "journal").glob("*.jsonl"))
    assert b"***" in journal

    campaign.tell(
        AREA,
        "passwords of archive, warehouse, MLflow, scheduler and proxy, and tokens, with characters that URLs, JSON, "
        "SQL, HTML and shells escape, planted by environment and luigi.cfg; then fills and days, good and failing, at "
        "log level DEBUG, one of them killed (kill -9)",
        "none of them, in whole or in part, as it is, escaped or in base64, in any output, in any file under DATA_DIR, "
        "in MLflow, on luigid's pages or in a list of processes",
    )
    faults = (
        "an archive, a proxy, ClickHouse and MLflow repeat the Authorization header in bodies, redirects, headers and "
        "error messages",
        "a ClickHouse login is refused; its server is unreachable; a statement fails with an error that quotes it",
        "a task crashes with an error, and a cause, that quote an address and a password",
        "champion status, report, doctor, sql, verify, schedule, track flush and fill --dry-run, while MLflow refuses",
    )
    # The fast share has some of these alone.
    for fault in faults if campaign.IS_WHOLE else ():
        campaign.tell(AREA, fault, "what people, luigid and MLflow are shown has *** in place of each secret")


def work(site: Site, echo: Echo, server: ClickHouseServer) -> None:
    """A good day, and bad ones of all kinds."""
    site.luigi("LoadClickHouse", "--date", str(DAY), expect=0)
    if not campaign.IS_WHOLE:
        # A carrier takes seconds of a processor; the first has met an MLflow that refuses.
        site.environment["CHAMPION_TRACKING"] = "journal"
    fill = ("FillBhavcopy", "--start", "2024-01-05", "--stop", "2024-01-16")
    with subprocess.Popen(
        [
            beside_python("luigi"),
            "--module",
            "champion_luigi",
            *fill,
            "--local-scheduler",
        ],
        env=site.environment,
        cwd=site.folder / "work",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        wait_for(echo.hanging.is_set, "the archive to be asked")
        os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        site.outputs.append(("a fill that was killed", process.stdout.read().decode(errors="replace")))
    echo.release.set()
    site.luigi(*fill, expect=30)
    echo_address = {"CLICKHOUSE_HOST": "127.0.0.1", "CLICKHOUSE_PORT": str(echo.port)}
    site.luigi("LoadClickHouse", "--date", "2024-01-16", expect=30, **echo_address)
    site.luigi("Careless", "--date", "2024-01-17", module="careless", expect=30)
    if not campaign.IS_WHOLE:
        return
    site.luigi("LoadClickHouse", "--date", "2024-01-17", expect=30, CLICKHOUSE_USER="stranger")
    site.luigi("LoadClickHouse", "--date", "2024-01-18", expect=30, CLICKHOUSE_PORT="1")
    through_proxy = {"NSE_ARCHIVE_URL": "http://archive.invalid"}
    site.luigi("LoadClickHouse", "--date", "2024-01-19", expect=30, **through_proxy)
    site.luigi("LoadClickHouse", "--date", "2024-01-18", CLICKHOUSE_HOST="clickhouse.invalid")
    wrong = site.environment["NSE_ARCHIVE_URL"].replace("reader", "stranger")
    site.luigi("WriteParquet", "--date", "2024-01-19", expect=30, NSE_ARCHIVE_URL=wrong)
    site.run("champion", "fill", "--start", "2024-01-08", "--stop", "2024-01-16", expect=30)
    site.run(sys.executable, "-c", CRASH, expect=1)
    # The scheduler is not there: Luigi tells its address.
    gone = {"LUIGI_CONFIG_PATH": str(site.folder / "gone.cfg")}
    text = (site.folder / "work" / "luigi.cfg").read_text()
    (site.folder / "gone.cfg").write_text(
        re.sub(r"@127.0.0.1:\d+", "@127.0.0.1:1", text).replace("[core]", "[core]\nrpc-retry-attempts = 1")
    )
    site.luigi("LoadClickHouse", "--date", str(DAY), **gone)
    # An address whose password is not escaped as it should be.
    address = site.environment["NSE_ARCHIVE_URL"].replace("%2F", "/").replace("%3F", "?").replace("%23", "#")
    site.luigi("LoadClickHouse", "--date", "2024-01-19", NSE_ARCHIVE_URL=address)
    site.run("champion", "status", NSE_ARCHIVE_URL=address)
    site.run("champion", "doctor", NSE_ARCHIVE_URL=address)


def ask(site: Site) -> None:
    """What people look at."""
    assert "loaded" in site.run("champion", "status", expect=30)
    site.run("champion", "report", "--output", str(site.data / "report.html"))
    if campaign.IS_WHOLE:
        site.run("champion", "doctor")
        site.run("champion", "sql", "SELECT count() FROM equity_ohlc", expect=0)
        site.run("champion", "sql", "SELECT FROM WHERE", expect=40)
        site.run("champion", "verify")
        site.run("champion", "fill", "--start", "2024-01-05", "--stop", "2024-01-20", "--dry-run", expect=20)
        site.run("champion", "status", "--json")
        site.run("champion", "schedule", "--cron", expect=0)
        site.run("champion", "schedule", "--systemd", expect=0)
        site.run("champion", "refresh", "--days", "3")
        site.run("champion", "track", "ui", "--port", "1")
        site.run("champion", "track", "flush", expect=30)


def what_luigid_shows(port: int) -> dict[str, bytes]:
    """Its lists of tasks, what went wrong with each, resources, workers, and the page for Prometheus."""
    tasks = task_list(port)
    assert {task["status"] for task in tasks} >= {"DONE", "FAILED"}

    def api(name: str, **data: Any) -> bytes:
        url = f"http://127.0.0.1:{port}/api/{name}?data={quote(json.dumps(data))}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            content: bytes = answer.read()
            return content

    listed = json.loads(api("task_list", status="", upstream_status="", search=None))["response"]
    names = list(listed)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        metrics = answer.read()
    return {
        "tasks": json.dumps(listed).encode(),
        "errors": b"\n".join(api("fetch_error", task_id=name) for name in names),
        "messages": b"\n".join(api("get_task_status_message", task_id=name) for name in names),
        "graph": b"\n".join(api("dep_graph", task_id=name) for name in names[-3:]),
        "workers": api("worker_list"),
        "resources": api("resource_list"),
        "metrics": metrics,
    }


def told_to(site: Site, gateway: Gateway, stack: contextlib.ExitStack, token: str | None) -> bytes:
    """Carry the journal to MLflow, and give all that MLflow then has of it."""
    if token is None:
        server = stack.enter_context(MlflowServer(site.folder / "work"))
        gateway._upstream, gateway.status = urlsplit(server.url), None
        uri, plain = site.environment["MLFLOW_TRACKING_URI"], server.url
    else:
        # SQLite hands what it does not know to the driver: a store whose address has a token in its query.
        plain = empty_store(site.folder / "store" / "mlflow.db")
        file = plain.removeprefix("sqlite:///")
        uri = f"sqlite:///file:{file}?uri=true&token={quote(token, safe='')}"
    site.run("champion", "track", "flush", expect=0, MLFLOW_TRACKING_URI=uri)
    runs = runs_in(plain, "nse-bhavcopy-pipeline")
    assert {run.info.status for run in runs} >= {"FINISHED", "FAILED", "KILLED"}
    told = "\n".join(str([run.info, run.data.params, run.data.tags, run.data.metrics]) for run in runs)
    assert "***" in told
    return told.encode()


def shown_around(planted: Planted, where: dict[str, bytes], leaks: dict[str, list[str]]) -> str:
    """The begin of what is around each leak."""
    lines = []
    for name, found in leaks.items():
        for part in (part for secret in found for part in planted.parts[secret]):
            place = where[name].find(part.encode())
            if place >= 0:
                lines.append(f"{name}: {where[name][max(0, place - 300) : place + 200]!r}")
                break
    return "\n".join(lines)


@pytest.mark.integration
def test_a_secret_that_luigi_cannot_read_is_in_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A percent sign that is not doubled: the parser's own error quotes what follows it."""
    (tmp_path / "luigi.cfg").write_text("[champion]\narchive_url = http://me:pa%55word@archive.example\n")
    command = [
        beside_python("luigi"),
        "--module",
        "champion_luigi",
        "WriteParquet",
        "--date",
        "2024-01-15",
        "--local-scheduler",
    ]
    done = subprocess.run(
        [*command, "--log-level", "DEBUG"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert "archive_url in luigi.cfg cannot be read" in done.stderr
    assert "55word" not in done.stdout + done.stderr


def test_the_ui_of_tracking_names_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the server that is configured."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:pa%2F55@mlflow.example?token=pa55")
    shown = CliRunner().invoke(main, ["track", "ui"]).output
    assert "mlflow.example" in shown
    assert "55" not in shown
