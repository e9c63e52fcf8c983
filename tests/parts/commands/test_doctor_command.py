"""`champion doctor`: what each check finds of real parts that work, fail, hang or are not there."""

from __future__ import annotations

import base64
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import time_machine
from click.testing import CliRunner
from clickhouse_server import ClickHouseServer
from helpers import (
    answering,
    beside_python,
    forget_settings,
    hear,
    lines_of,
    payload,
    publish,
    run,
    snapshot,
    start_python,
    tell,
    wait_for,
)
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base import mounts
from champion_luigi.base.errors import ChampionError
from champion_luigi.commands.doctor import checks, disks, servers, setup, warehouse
from champion_luigi.commands.doctor.command import command
from champion_luigi.commands.doctor.findings import Finding, of_error
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.exchange import answers, sessions
from champion_luigi.pipeline import hosts
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.tracking.journal import Delivery
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import ddl

pytestmark = pytest.mark.integration

LATEST = sessions.latest_published(datetime.now(UTC))
SECRET = "hush-4711"


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path_factory.mktemp("server")) as running:
        yield running


def use(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch, database: str) -> Address:
    """Make the server's database the configured warehouse."""
    told = {"HOST": server.host, "PORT": server.port, "USER": server.user, "PASSWORD": server.password}
    for name, value in {**told, "DATABASE": database}.items():
        monkeypatch.setenv(f"CLICKHOUSE_{name}", str(value))
    return Address(server.host, server.port, server.user, server.password, database)


def databases(place: Address) -> set[str]:
    """The databases of a server."""
    other = open_warehouse(Address(place.host, place.port, place.user, place.password, "other"))
    try:
        return {name for (name,) in other.query("SELECT name FROM system.databases")}
    finally:
        other.close()


def statement(place: Address, *statements: str) -> None:
    """Run statements on a server."""
    other = open_warehouse(Address(place.host, place.port, place.user, place.password, "other"))
    try:
        for each in statements:
            other.command(each)
    finally:
        other.close()


def run_doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in the test's folder."""
    return run(
        [sys.executable, "-c", "from champion_luigi.commands.doctor.command import command; command()", *arguments],
        **environment,
    )


def found_by(name: str, **environment: str) -> dict[str, str]:
    """What one check finds in a process of its own, in the test's folder."""
    program = (
        "import json, sys\nfrom champion_luigi.commands.doctor import checks as doctor\n"
        "[check] = [check for check in doctor.CHECKS if check.name == sys.argv[1]]\n"
        "print(json.dumps(vars(check.look())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, name],
        env={**os.environ, **environment},
        cwd=os.environ["DATA_DIR"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def closed_port() -> int:
    """A port of loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def reply(handler: BaseHTTPRequestHandler, status: int, text: str, **headers: str) -> None:
    """Write an answer with these headers and no others."""
    handler.send_response_only(status)
    for name, value in {"Content-Length": str(len(text.encode())), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(text.encode())


def look(check: Any) -> Finding:
    """What a check finds, also by an error, as the command shows it."""
    try:
        finding: Finding = check()
    except (ChampionError, OSError) as error:
        return of_error(error)
    return finding


# The command


def test_a_good_installation_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """It exits 0, with one entry for each check and a summary."""
    with time_machine.travel(datetime(2026, 1, 5, 18, 0, tzinfo=UTC)):
        result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    starts = [line.split()[0] for line in result.output.splitlines() if not line.startswith(" ")]
    assert starts == [*["OK"] * (len(checks.CHECKS) + 1), f"{len(checks.CHECKS) + 1}"], result.output


def test_a_problem_makes_it_exit_30() -> None:
    """Its line says what to do, and the other checks are made all the same."""
    done = run_doctor(NSE_ARCHIVE_URL="/no/such/folder")
    assert done.returncode == 30, done.stderr
    lines = done.stdout.splitlines()
    [at] = [place for place, line in enumerate(lines) if line.startswith("PROBLEM  archive")]
    assert "-> Mount the disk or share that has it, or set" in "".join(lines[at : at + 4])
    assert any(line.startswith("OK       warehouse") for line in lines)
    assert lines[-1].startswith(f"{len(checks.CHECKS) + 1} checks: ")


def test_its_lines_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 columns, where no single path is longer."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("DATA_DIR", folder)
        monkeypatch.setenv("NSE_ARCHIVE_URL", "gopher://example")
        result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert max(len(line) for line in result.output.splitlines()) <= 80


def test_json_lists_every_check() -> None:
    """With status, what was found and what to do, in the order of the table."""
    document = json.loads(run_doctor("--json").stdout)
    assert [entry["check"] for entry in document] == [*(check.name for check in checks.CHECKS), "clock"]
    assert {tuple(entry) for entry in document} == {("check", "status", "found", "todo")}
    assert all(entry["found"] for entry in document)
    assert all(bool(entry["todo"]) == (entry["status"] != "OK") for entry in document)


def test_nothing_is_made_where_nothing_was(tmp_path: Path) -> None:
    """No folder, warehouse, MLflow store, journal or ledger."""
    with SimulatedArchive() as archive:
        done = run_doctor(DATA_DIR=str(tmp_path / "data"), NSE_ARCHIVE_URL=archive.url, CHAMPION_TRACKING="on")
    assert "OK       warehouse" in done.stdout, done.stdout
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_changed_where_something_was(tmp_path: Path) -> None:
    """Every file is as it was, in the embedded warehouse too, and no temporary file is left."""
    Path(tmp_path / "mlflow").mkdir()
    Path(tmp_path / "mlflow" / "mlflow.db").write_bytes(b"SQLite format 3\0 and so on")
    journal.append(tmp_path / "journal", {"event": "start", "execution": "one"})
    opened = open_warehouse(Address(folder=tmp_path / "warehouse"))
    opened.prepare(EQUITY)
    opened.close()
    before = snapshot(tmp_path)
    done = run_doctor()
    assert f"the table {EQUITY.table} is ready" in " ".join(done.stdout.split()), done.stdout
    assert snapshot(tmp_path) == before


def test_no_secret_is_shown() -> None:
    """Also where servers repeat what they were sent, and where addresses hold passwords and tokens."""

    def repeat(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, 403, f"Code: 516. {handler.headers['Authorization']} {SECRET} {handler.path}")

    with answering(repeat) as server:
        address = server.url.removeprefix("http://")
        host, port = address.split(":")
        done = run_doctor(
            NSE_ARCHIVE_URL=f"http://user:{SECRET}@{address}",
            CLICKHOUSE_HOST=host,
            CLICKHOUSE_PORT=port,
            CLICKHOUSE_PASSWORD=SECRET,
            MLFLOW_TRACKING_URI=f"http://{SECRET}:x@{address}/?token={SECRET}",
            MLFLOW_TRACKING_USERNAME="user",
            MLFLOW_TRACKING_PASSWORD=SECRET,
        )
        assert len(server.requests) >= 3
    assert done.returncode == 30
    for user in ("default", "user"):
        encoded = base64.b64encode(f"{user}:{SECRET}".encode()).decode()
        assert encoded not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_what_a_server_says_is_no_order_to_the_terminal() -> None:
    """Escape sequences and line ends in an answer are blanks."""
    with answering(lambda handler: reply(handler, 500, "\x1b[2J\x07gone\r\nOK      warehouse")) as server:
        host, port = server.url.removeprefix("http://").split(":")
        done = run_doctor(CLICKHOUSE_HOST=host, CLICKHOUSE_PORT=port)
    assert not {"\x1b", "\x07", "\r"} & set(done.stdout)
    assert "\nOK      warehouse" not in done.stdout


def test_it_ends_when_all_servers_hang(archive: SimulatedArchive) -> None:
    """The checks of this machine are there, and each server has its line."""
    archive.faults[LATEST] = Fault("hanging")
    ended = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        ended.wait()

    with answering(hang) as server:
        host, port = server.url.removeprefix("http://").split(":")
        done = run_doctor("--json", CLICKHOUSE_HOST=host, CLICKHOUSE_PORT=port, MLFLOW_TRACKING_URI=server.url)
        ended.set()
    entries = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert done.returncode == 30
    assert {name: entries[name]["status"] for name in ("archive", "warehouse", "mlflow")} == {
        "archive": "PROBLEM",
        "warehouse": "PROBLEM",
        "mlflow": "WARNING",
    }
    assert entries["locks"]["status"] == "OK"


def test_a_check_that_never_ends_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line says that there was no answer in time, and the others have theirs."""
    never = threading.Event()

    def hang() -> Finding:
        never.wait()
        return Finding("OK", "")

    table = (checks.Check("slow disk", hang), checks.Check("locks", disks.locks))
    monkeypatch.setattr(checks, "CHECKS", table)
    found = dict(checks.examine(limit_seconds=0.2))
    never.set()
    assert (found["slow disk"].status, found["locks"].status) == ("PROBLEM", "OK")
    assert "no answer within 0.2 s" in found["slow disk"].found


def test_settings_that_cannot_be_used_do_not_end_it() -> None:
    """The line of the settings names them; the others say why they could not look."""
    done = run_doctor("--json", CLICKHOUSE_PORT="eight", DATA_DIR=os.environ["DATA_DIR"])
    entries = {entry["check"]: entry for entry in json.loads(done.stdout)}
    assert done.returncode == 30
    assert "CLICKHOUSE_PORT" in entries["settings"]["found"]
    assert "CLICKHOUSE_PORT" in entries["warehouse"]["found"]
    assert entries["archive"]["status"] == "OK"


# Installation


def test_python_and_packages_are_those_that_are_required() -> None:
    """Their versions are named."""
    assert setup.python().status == "OK"
    found = setup.packages()
    assert found.status == "OK", found
    for name in ("luigi", "polars", "clickhouse-connect", "chdb", "mlflow"):
        assert f"{name} {metadata.version(name)}" in found.found


def distribution(folder: Path, name: str, version: str, *lines: str) -> None:
    """An installed distribution, as far as importlib.metadata sees it."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
    )


@pytest.mark.parametrize("version", ["2.0.9", "3.0.0", "10.1"])
def test_a_package_of_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """With the versions that it may have, by number."""
    distribution(tmp_path, "polars", version)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = setup.packages()
    assert found.status == "PROBLEM"
    assert f"polars is {version}, but must be" in found.found
    assert found.todo


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that an extra of a requirement asks for, too."""
    distribution(tmp_path, "champion_luigi", "1", "Requires-Dist: not-there>=2", "Requires-Dist: other[extra]")
    distribution(tmp_path, "other", "1", 'Requires-Dist: not-there-either; extra == "extra"')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert setup.packages().found == "not-there is missing; not-there-either is missing"


# Settings


def test_every_setting_that_cannot_be_used_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the first one."""
    wrong = {
        "CLICKHOUSE_PORT": "eight",
        "CHAMPION_READ_SECONDS": "soon",
        "CHAMPION_ASK_CLOSED": "perhaps",
        "CHAMPION_UDIFF_FROM": "July",
        "CHAMPION_PUBLISHED_AT": "evening",
        "CHAMPION_TRACKING": "maybe",
    }
    for name, text in wrong.items():
        monkeypatch.setenv(name, text)
    found = setup.every_setting()
    assert found.status == "PROBLEM"
    for name, text in wrong.items():
        assert name in found.found
        assert text in found.found


def test_a_name_that_no_setting_has_is_named(tmp_path: Path) -> None:
    """In the environment and in luigi.cfg, with what it may stand for."""
    (tmp_path / "luigi.cfg").write_text("[champion]\nlake_dri = x\n[clickhouse]\npassword = x\nport = 8123\n")
    found = found_by("settings", CHAMPION_TRAKING="off")
    assert found["status"] == "WARNING"
    assert "CHAMPION_TRAKING (CHAMPION_TRACKING?), [champion] lake_dri (lake_dir?)" in found["found"]


@pytest.mark.parametrize("value", [f"https://user:%{SECRET}@host", f"https://user:${{NONE}}{SECRET}@host"])
def test_an_address_in_luigi_cfg_that_cannot_be_read_is_not_shown(tmp_path: Path, value: str) -> None:
    """It is named: its text may hold a password."""
    (tmp_path / "luigi.cfg").write_text(f"[champion]\narchive_url = {value}\n")
    done = run_doctor("--json", NSE_ARCHIVE_URL="")
    assert "[champion] archive_url in luigi.cfg cannot be read" in done.stdout
    assert SECRET not in done.stdout + done.stderr


# Disks


def test_a_folder_that_is_not_there_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found out in the folder above it, and neither is it made nor is anything left there."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "a" / "b"))
    assert disks.data_folder().status == disks.lake_folder().status == "OK"
    assert disks.locks().status == "OK"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["below a file", "in /proc", "behind a dangling link"])
def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The line names it; of locks nothing can be said then."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    folders = {"below a file": tmp_path / "file" / "x", "in /proc": Path("/proc/x"), "behind a dangling link": tmp_path}
    folder = tmp_path / "link" / "x" if "link" in place else folders[place]
    monkeypatch.setenv("DATA_DIR", str(folder))
    found = disks.data_folder()
    assert found.status == "PROBLEM"
    assert str(folder) in found.found
    assert found.todo
    assert disks.locks().status == "WARNING"


def test_the_lake_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And has a line of its own."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHAMPION_LAKE_DIR", str(tmp_path / "file" / "lake"))
    assert disks.data_folder().status == "OK"
    assert disks.lake_folder().status == "PROBLEM"


@pytest.mark.parametrize(
    ("local", "status", "words"),
    [
        ("", "WARNING", "the journal, the archive's answers and MLflow's SQLite are on nfs4"),
        ("here", "OK", "DATA_DIR is on nfs4"),
    ],
)
def test_a_shared_folder_needs_a_local_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: str, status: str, words: str
) -> None:
    """Appends from two hosts lose lines on a network file system, so journal and ledgers belong on a local disk."""
    table = tmp_path / "mountinfo"
    table.write_text(
        f"27 1 254:1 / / rw - ext4 /dev/vda1 rw\n41 27 0:40 / {tmp_path}/data rw - nfs4 files.example.com:/data rw\n"
    )
    monkeypatch.setattr(mounts, "mount_of", functools.partial(mounts.mount_of, table=table))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CHAMPION_LOCAL_DIR", str(tmp_path / local) if local else "")
    found = disks.shared()
    assert found.status == status
    assert words in found.found


@pytest.mark.parametrize(("kind", "status"), [("fuse.sshfs", "WARNING"), ("nfs4", "OK"), ("ext4", "OK")])
def test_locks_that_do_not_reach_other_hosts_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, status: str
) -> None:
    """Within this host they work; two hosts on sshfs have done all days twice."""
    table = tmp_path / "mountinfo"
    table.write_text(f"27 1 254:1 / / rw - ext4 /dev/vda1 rw\n41 27 0:40 / {tmp_path} rw - {kind} files:/data rw\n")
    monkeypatch.setattr(mounts, "mount_of", functools.partial(mounts.mount_of, table=table))
    found = disks.locks()
    assert found.status == status
    assert "a second process waits" in found.found
    assert ("another host" in found.found) == (status == "WARNING")
    # A fill says so too, if the settings are those of hosts that share the folder.
    for host, words in (("", ""), ("first", "would do the same days again" if status == "WARNING" else "")):
        monkeypatch.setenv("CHAMPION_HOST", host)
        forget_settings()
        caplog.clear()
        hosts.warn_of_locks()
        assert words in caplog.text
        assert bool(words) == bool(caplog.messages)


def test_a_disk_of_this_host_is_not_shared(tmp_path: Path) -> None:
    """By the host's own table of mounts."""
    found = disks.shared()
    assert found.status == "OK"
    assert "of this host alone" in found.found


def test_a_disk_without_room_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as /proc, which has none."""
    monkeypatch.setenv("DATA_DIR", "/proc")
    found = disks.space()
    assert found.status == "PROBLEM"
    assert found.found.startswith("0.0 GiB")


# Archive


def test_an_archive_that_works_is_asked_twice(archive: SimulatedArchive) -> None:
    """For the latest session's file and for the time."""
    found = servers.archive()
    assert found.status == "OK", found
    assert str(LATEST) in found.found
    assert [request.method for request in archive.requests] == ["GET", "HEAD"]
    assert found.server_ahead is not None
    assert abs(found.server_ahead) < 60


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("forbidden", "refuses; found 403"),
        ("rate_limited", "refuses; found 429"),
        ("unavailable", "503"),
        ("html", "HTML"),
        ("wrong_header", "CLOSING"),
        ("cut", "broke off"),
        ("stale", str(sessions.previous(LATEST))),
    ],
)
def test_what_an_archive_answers_instead_is_a_problem(archive: SimulatedArchive, kind: Any, words: str) -> None:
    """It is named with what to do, after one request: one that refuses is not asked again."""
    archive.faults[LATEST] = Fault(kind)
    found = look(servers.archive)
    assert found.status == "PROBLEM"
    assert words in found.found
    assert found.todo
    assert len(archive.requests) == 1


def test_a_file_that_is_not_out_yet_is_a_warning(archive: SimulatedArchive) -> None:
    """Where the archive has an older one: two requests tell."""
    archive.faults[LATEST] = Fault("not_found")
    found = servers.archive()
    assert found.status == "WARNING"
    assert f"no file of {LATEST} yet" in found.found
    assert len(archive.requests) == 2


def test_an_address_that_has_no_file_at_all_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests tell."""
    (tmp_path / "empty").mkdir()
    with SimulatedArchive(folder=tmp_path / "empty") as archive:
        monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url)
        found = servers.archive()
        assert len(archive.requests) == 2
    assert found.status == "PROBLEM"
    assert "NSE_ARCHIVE_URL" in found.todo


def test_an_archive_where_nobody_listens_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the address."""
    port = closed_port()
    monkeypatch.setenv("NSE_ARCHIVE_URL", f"http://127.0.0.1:{port}")
    found = look(servers.archive)
    assert found.status == "PROBLEM"
    assert f"127.0.0.1:{port}" in found.found


def test_an_archive_that_others_are_asking_is_left_to_them(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fill has taken the next turns of a remote archive."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url.replace("127.0.0.1", "0.0.0.0"))
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "archive.pace").write_text(repr(time.time() + 300))
    found = servers.archive()
    assert found.status == "WARNING"
    assert "other processes" in found.found
    assert archive.requests == []


def test_a_folder_is_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the latest session's file it is OK, without it there is a warning; without any it is of no use."""
    folder = tmp_path / "archive"
    folder.mkdir()
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    assert look(servers.archive).status == "PROBLEM"
    publish(folder, LATEST, "legacy", ["another kind of file"])
    assert servers.archive().status == "WARNING"
    publish(folder, LATEST, "udiff", lines_of(payload(LATEST, "udiff")))
    assert servers.archive().status == "OK"


def test_an_archive_that_was_closed_on_every_day_is_asked_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search for the latest session ends with the data set's first date."""
    folder = tmp_path / "archive"
    publish(folder, LATEST, "udiff", ["any"])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    for number in range(10):
        day = EQUITY.first_date + timedelta(days=number)
        answers.record(wiring.files(EQUITY).answers, [answers.given(day, "closed", wiring.archive_name(), "by hand")])
    with time_machine.travel(datetime.combine(EQUITY.first_date, datetime.min.time(), UTC) + timedelta(days=9)):
        found = servers.archive()
    assert found.status == "WARNING"
    assert f"no file of {EQUITY.first_date} " in found.found


# Warehouse


def test_every_data_sets_table_is_named() -> None:
    """Those that exist, of the embedded warehouse too."""
    opened = open_warehouse(wiring.warehouse_place())
    opened.prepare(EQUITY)
    opened.prepare(INDEX_CLOSE)
    opened.close()
    found = warehouse.warehouse()
    assert found.status == "OK", found
    assert f"the tables {EQUITY.table}, {INDEX_CLOSE.table} are ready" in found.found


def test_a_server_is_looked_at_and_not_changed(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first load it has no database of ours, and gets none."""
    place = use(server, monkeypatch, "not_yet")
    found = warehouse.warehouse()
    assert found.status == "OK", found
    assert "made by the first load" in found.found
    assert "not_yet" not in databases(place)


def test_a_server_with_the_table_is_ok(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its version is named, and its clock was read."""
    place = use(server, monkeypatch, "a `strange` na'me")
    opened = open_warehouse(place)
    opened.prepare(EQUITY)
    [(version,)] = opened.query("SELECT version()")
    opened.close()
    found = warehouse.warehouse()
    assert found.status == "OK", found
    assert f"ClickHouse {version}" in found.found
    assert f"the table {EQUITY.table} is ready" in found.found
    assert found.server_ahead is not None


def test_a_table_of_other_columns_is_a_problem(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are named."""
    place = use(server, monkeypatch, "changed")
    made = [text.replace("    volume Int64", "    volume Int32") for text in ddl("changed")]
    statement(place, *made)
    found = warehouse.warehouse()
    assert found.status == "PROBLEM"
    assert "(volume)" in found.found


def test_a_wrong_password_is_a_problem(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In ClickHouse's own words, and with the settings to check."""
    use(server, monkeypatch, "champion_market")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", SECRET)
    found = look(warehouse.warehouse)
    assert found.status == "PROBLEM"
    assert "Authentication failed" in found.found
    assert found.todo == "Check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD."


def test_rights_that_a_user_lacks_are_named(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the statement that grants them."""
    use(server, monkeypatch, "champion_market")
    monkeypatch.setenv("CLICKHOUSE_USER", "default")
    monkeypatch.delenv("CLICKHOUSE_PASSWORD")
    found = warehouse.warehouse()
    assert found.status == "PROBLEM"
    assert "lacks SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW" in found.found
    assert found.todo.startswith("GRANT SELECT, INSERT, ")


@pytest.mark.parametrize("wrong", ["nobody listens", "no ClickHouse", "no TLS"])
def test_a_server_that_is_not_one_is_a_problem(
    server: ClickHouseServer, archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """The line names the address, and the settings to check."""
    use(server, monkeypatch, "champion_market")
    if wrong == "nobody listens":
        monkeypatch.setenv("CLICKHOUSE_PORT", str(closed_port()))
    elif wrong == "no ClickHouse":
        monkeypatch.setenv("CLICKHOUSE_PORT", archive.url.rpartition(":")[2])
    else:
        monkeypatch.setenv("CLICKHOUSE_SECURE", "true")
    found = look(warehouse.warehouse)
    assert found.status == "PROBLEM"
    assert f"127.0.0.1:{settings.get('clickhouse_port')}" in found.found
    assert "CLICKHOUSE_PORT" in found.todo


def test_a_held_embedded_warehouse_is_ok(tmp_path: Path) -> None:
    """The line says who holds it."""
    holder = start_python(
        "import sys\nfrom pathlib import Path\nfrom champion_luigi.warehouse.connection import Address\n"
        "from champion_luigi.datasets.equity import EQUITY\n"
        "from champion_luigi.warehouse.opened import open_warehouse\n"
        "opened = open_warehouse(Address(folder=Path(sys.argv[1])))\nopened.prepare(EQUITY)\n"
        "print('open', flush=True)\ninput()\nopened.close()",
        str(tmp_path / "warehouse"),
    )
    try:
        assert hear(holder) == "open"
        found = warehouse.warehouse()
    finally:
        tell(holder)
        holder.wait(60)
        for stream in (holder.stdin, holder.stdout):
            if stream is not None:
                stream.close()
    assert found.status == "OK", found
    assert f"in use by process {holder.pid}" in found.found


def test_an_engine_that_cannot_be_imported_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason, and what can be used in its place."""
    (tmp_path / "chdb").mkdir()
    (tmp_path / "chdb" / "__init__.py").write_text("raise ImportError('built for another machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = warehouse.warehouse()
    assert found.status == "PROBLEM"
    assert "CLICKHOUSE_HOST" in found.todo


def test_an_engine_that_crashes_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes its own process down, and not the doctor."""
    (tmp_path / "chdb").mkdir()
    (tmp_path / "chdb" / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = warehouse.warehouse()
    assert found.status == "PROBLEM"
    assert "exit code -4" in found.found


# MLflow


@pytest.mark.parametrize(
    ("status", "text", "finding"),
    [
        (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Could not find experiment"}', "OK"),
        (200, '{\n  "experiment": {\n    "experiment_id": "1",\n    "lifecycle_stage": "active"\n  }\n}', "OK"),
        (200, '{\n  "experiment": {\n    "experiment_id": "1",\n    "lifecycle_stage": "deleted"\n  }\n}', "WARNING"),
    ],
)
def test_an_mlflow_server_is_asked_for_the_experiment(
    monkeypatch: pytest.MonkeyPatch, status: int, text: str, finding: str
) -> None:
    """With MLflow's own answers: it need not be there yet, but must not be deleted. It is not made."""
    with answering(lambda handler: reply(handler, status, text)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        found = servers.mlflow()
    assert found.status == finding, found
    assert found.found.startswith(f"{server.url} answers")
    [(path, _)] = server.requests
    assert path == "/api/2.0/mlflow/experiments/get-by-name?experiment_name=nse-bhavcopy-pipeline"


@pytest.mark.parametrize(
    ("status", "text", "words"), [(401, "who are you", "refuses: 401"), (200, "<html>", "not MLflow"), (302, "", "302")]
)
def test_an_mlflow_server_that_cannot_take_runs_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, status: int, text: str, words: str
) -> None:
    """No run fails because of it. A redirect is not followed, for credentials would go with it."""
    with answering(lambda handler: reply(handler, status, text, Location="/elsewhere")) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
        found = servers.mlflow()
    assert found.status == "WARNING"
    assert words in found.found
    [(_, headers)] = server.requests
    assert headers["Authorization"] == f"Bearer {SECRET}"


def test_an_mlflow_server_where_nobody_listens_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says that nothing is lost."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@127.0.0.1:{closed_port()}")
    found = servers.mlflow()
    assert found.status == "WARNING"
    assert "ConnectionRefusedError" in found.found
    assert "stay in the journal" in found.todo
    assert SECRET not in found.found + found.todo


def test_a_sqlite_store_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be made by the first run; something else in its place, or no way to make it, is a warning."""
    assert "made by the first run" in servers.mlflow().found
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_text("nonsense")
    assert servers.mlflow().status == "WARNING"
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "a%20b?c"))
    assert f"{tmp_path}/a%20b?c/mlflow/mlflow.db: made by the first run" in servers.mlflow().found
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/mlflow.db/store.db")
    assert servers.mlflow().status == "WARNING"


def test_records_that_wait_are_counted_with_the_last_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what sends them."""
    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    assert servers.unsent().status == "OK"
    for _ in range(3):
        journal.append(tmp_path / "journal", {"event": "start", "execution": "one"})
    journal.note_delivery(tmp_path / "journal", Delivery(trouble="MlflowException: the store is full"))
    found = servers.unsent()
    assert found.status == "WARNING"
    assert "3 records wait for MLflow: MlflowException: the store is full" in found.found
    assert "champion track flush" in found.todo


def test_one_record_that_waits_is_counted_in_the_singular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verb too."""
    monkeypatch.setenv("CHAMPION_TRACKING", "journal")
    journal.append(tmp_path / "journal", {"event": "start", "execution": "one"})
    found = servers.unsent().found
    assert found == "1 record waits for MLflow: CHAMPION_TRACKING=journal leaves it to `champion track flush`"


# luigid


def test_a_luigid_that_runs_is_found(tmp_path: Path) -> None:
    """Where luigi.cfg says; without one there is only a note."""
    port = closed_port()
    (tmp_path / "luigi.cfg").write_text(f"[core]\ndefault_scheduler_port = {port}\n")
    found = found_by("luigid")
    assert found["status"] == "OK"
    assert f"none at http://localhost:{port}" in found["found"]
    daemon = subprocess.Popen(
        [
            beside_python("luigid"),
            "--port",
            str(port),
            "--address",
            "127.0.0.1",
            "--state-path",
            str(tmp_path / "state"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _listens(port), "luigid")
        assert found_by("luigid")["found"] == f"at http://localhost:{port}"
    finally:
        daemon.kill()
        daemon.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# Time


@pytest.mark.parametrize(("minutes", "status"), [(0, "OK"), (1, "OK"), (10, "WARNING"), (-10, "WARNING")])
def test_a_clock_that_is_wrong_is_a_warning(monkeypatch: pytest.MonkeyPatch, minutes: int, status: str) -> None:
    """By what a server says in its header Date; up to two minutes are nothing."""
    stamp = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    with answering(lambda handler: reply(handler, 404, "RESOURCE_DOES_NOT_EXIST", Date=stamp)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        ahead = servers.mlflow().server_ahead
    assert ahead is not None
    found = checks.clock({"mlflow": ahead, "archive": 0.0})
    assert found.status == status
    if minutes:
        assert "(mlflow)" in found.found
    if status == "WARNING":
        assert ("behind" if minutes > 0 else "ahead of") in found.found


@pytest.mark.parametrize(("days", "status"), [(61, "OK"), (59, "WARNING"), (0, "WARNING"), (-1, "WARNING")])
def test_the_end_of_the_session_table_is_told_in_time(days: int, status: str) -> None:
    """Two months before and ever after, with what to do."""
    noon = datetime.combine(sessions.table_end() - timedelta(days=days), datetime.min.time(), sessions.INDIA)
    with time_machine.travel(noon + timedelta(hours=12)):
        found = setup.session_table()
    assert found.status == status
    assert bool(found.todo) == (status != "OK")


def test_a_day_that_another_archive_gave_is_not_named_as_absent(tmp_path: Path) -> None:
    """The archive's answer stands, and the lake has the day."""
    day = date(2023, 6, 15)
    answers.record(wiring.files(EQUITY).answers, [answers.given(day, "absent", wiring.archive_name(), "a file")])
    assert setup.absent().found == f"equity 1: {day}"
    file = lake.partition(settings.lake_dir(), day, EQUITY)
    file.parent.mkdir(parents=True)
    file.touch()
    assert setup.absent().status == "OK"


def test_a_system_without_time_zones_is_a_warning() -> None:
    """The pipeline does without them."""
    assert setup.time_zone().status == "OK"
    try:
        metadata.version("tzdata")
    except metadata.PackageNotFoundError:
        pass
    else:
        pytest.skip("the package tzdata is here, which Python then uses")
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert setup.time_zone().status == "WARNING"
    finally:
        zoneinfo.reset_tzpath()
