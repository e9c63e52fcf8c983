"""Helpers of the tests: real commands, Luigi in this process, a small server, and a reader that uses csv alone."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import selectors
import shutil
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import luigi
import pytest
from click.testing import CliRunner
from luigi.scheduler import Scheduler
from luigi.worker import Worker

from champion_luigi.commands.cli import main
from champion_luigi.config import settings
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange.archive import Archive, Published, fetch
from champion_luigi.pipeline.day_task import NOT_PUBLISHED, DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.simulated import exchange

ROOT = Path(__file__).resolve().parents[1]
# Real published files, where somebody has put them beside the checkout. No test depends on their being there.
SHARED = ROOT.parent / "shared" / "nse"

# A regular day of each era; on the middle one both formats were published.
LEGACY_DAY = date(2023, 6, 15)
BOTH_DAY = date(2024, 1, 15)
UDIFF_DAY = date(2024, 7, 9)
HOLIDAY = date(2024, 1, 22)

# The columns of `published`, in this order, and their names in each format. They do not depend on the package.
COLUMNS = "open high low close last prev_close volume turnover trades isin".split()
_NAMES = {
    "legacy": "OPEN HIGH LOW CLOSE LAST PREVCLOSE TOTTRDQTY TOTTRDVAL TOTALTRADES ISIN".split(),
    "udiff": "OpnPric HghPric LwPric ClsPric LastPric PrvsClsgPric TtlTradgVol TtlTrfVal TtlNbOfTxsExctd ISIN".split(),
}
_KEYS = {"legacy": ("SYMBOL", "SERIES"), "udiff": ("TckrSymb", "SctySrs")}
_ZERO_IS_NULL = {"open", "high", "low", "last"}
_WHOLE = {"volume", "trades"}

Rows = dict[tuple[str, str], tuple[Any, ...]]


# Environment variables that let no test wait for a retry.
AT_ONCE = {f"CHAMPION_{name}_SECONDS": "0" for name in ("SCRAPE_RETRY", "RETRY", "LOAD_RETRY")}


def forget_settings() -> None:
    """Make the next access read the settings anew, as a new process does."""
    for value in vars(settings).values():
        if clear := getattr(value, "cache_clear", None):
            clear()


def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make retries immediate."""
    for name, value in AT_ONCE.items():
        monkeypatch.setenv(name, value)


# Commands


def beside_python(name: str) -> str:
    """The path of a program in the tests' own environment."""
    program = shutil.which(name, path=str(Path(sys.executable).parent))
    assert program is not None, f"the {name} command is not beside python"
    return program


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in the test's own folder, and capture its output."""
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=os.environ["DATA_DIR"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def luigi_command(*arguments: str, module: str = "champion_luigi") -> list[str]:
    """The `luigi` command as a user types it, from the tests' own environment."""
    # Luigi has a lock file for each running command line, shared by all users of the machine. The tests use their own.
    pids = str(Path(os.environ["DATA_DIR"]).with_name("pids"))
    return [beside_python("luigi"), "--module", module, *arguments, "--local-scheduler", "--lock-pid-dir", pids]


def run_luigi(*arguments: str, module: str = "champion_luigi", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `luigi` to its end in the test's own folder, which has no luigi.cfg."""
    return run(luigi_command(*arguments, module=module), **_environment(module) | environment)


def start_luigi(*arguments: str, module: str = "champion_luigi", **environment: str) -> subprocess.Popen[str]:
    """Start `luigi` in a process group of its own. Its output ends when the last of its processes has ended."""
    return subprocess.Popen(
        luigi_command(*arguments, module=module),
        env=_environment(module) | environment,
        cwd=os.environ["DATA_DIR"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def champion_command(*arguments: str) -> list[str]:
    """The `champion` command from the tests' own environment."""
    return [beside_python("champion"), *arguments]


def run_champion(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `champion` to its end in the test's own folder, and capture its output."""
    return run(champion_command(*arguments), **environment)


def champion_here(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `champion` in this process, which saves a second if the test needs no process of its own."""
    forget_settings()
    result = CliRunner(env=environment).invoke(main, list(arguments), prog_name="champion")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def without(folder: Path, *modules: str) -> dict[str, str]:
    """The environment of a process that finds none of these modules, as if they were not installed."""
    (folder / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder as Finder\n"
        "find = Finder.find_spec\n"
        "def rest(name, path=None, target=None):\n"
        f"    return None if name.partition('.')[0] in {modules!r} else find(name, path, target)\n"
        "Finder.find_spec = rest\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}


def start_champion(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `champion` in a process group of its own."""
    return subprocess.Popen(
        champion_command(*arguments),
        env={**os.environ, **environment},
        cwd=os.environ["DATA_DIR"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _environment(module: str) -> dict[str, str]:
    if module == "champion_luigi":
        return {**os.environ}
    # This module has a task that a command can run.
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class ThreeDays(luigi.WrapperTask):
    """Three days for several workers at once: ``luigi --module helpers ThreeDays``."""

    DAYS = (date(2023, 6, 14), LEGACY_DAY, UDIFF_DAY)

    def requires(self) -> list[DayTask]:
        return [LoadClickHouse(date=day) for day in self.DAYS]


def is_readable(file: IO[Any] | int, seconds: float) -> bool:
    """Whether a file has data to read within some seconds. (`select` takes no descriptor above the first thousand.)"""
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def wait_for(condition: Callable[[], bool], what: str, found: Callable[[], str] = str) -> None:
    """Wait until a condition holds, three minutes at most. ``found`` gives the state for the error."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}: {found()}"
        time.sleep(0.02)


def start_python(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a short Python program; `tell` and `hear` use its standard input and output."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=os.environ["DATA_DIR"],
    )


def hear(process: subprocess.Popen[str]) -> str:
    """The next line that the program writes."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def tell(process: subprocess.Popen[str], line: str = "") -> None:
    """Send the program a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


# Luigi in this process


@dataclass
class Built:
    """The result of a build: whether all tasks are done, their status messages and their errors, in order.

    That a day has no file is among the errors, though no task has failed.
    """

    tasks: tuple[DayTask, ...]
    messages: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return all(task.is_made() for task in self.tasks)

    @property
    def error(self) -> BaseException:
        [error] = self.errors
        return error

    @property
    def retries(self) -> list[str]:
        return [message for message in self.messages if message.startswith("attempt ")]


class _Scheduler(Scheduler):
    """Luigi's scheduler, which also passes on every status message: the visualiser shows only the last one."""

    def __init__(self, on_message: Callable[[str], None]) -> None:
        super().__init__(prune_on_get_work=True, record_task_history=False)
        self._on_message = on_message

    def set_task_status_message(self, task_id: str, status_message: str) -> None:
        super().set_task_status_message(task_id, status_message)
        self._on_message(status_message)


class _Factory:
    def __init__(self, on_message: Callable[[str], None]) -> None:
        self._on_message = on_message

    def create_local_scheduler(self) -> Scheduler:
        return _Scheduler(self._on_message)

    def create_remote_scheduler(self, url: str) -> Scheduler:
        raise NotImplementedError

    def create_worker(self, scheduler: Scheduler, worker_processes: int, assistant: bool = False) -> Worker:
        return Worker(scheduler=scheduler, worker_processes=worker_processes, assistant=assistant)


def build(*tasks: DayTask, on_message: Callable[[str], None] | None = None) -> Built:
    """Run tasks with Luigi's worker and a local scheduler. ``on_message`` gets each status message as it comes."""
    built = Built(tasks)

    def hear_message(message: str) -> None:
        built.messages.append(message)
        if on_message is not None:
            on_message(message)

    def note(_task: luigi.Task, error: BaseException, *_: str) -> None:
        built.errors.append(error)

    events = (luigi.Event.FAILURE, luigi.Event.BROKEN_TASK, NOT_PUBLISHED)
    for event in events:
        DayTask.event_handler(event)(note)
    try:
        luigi.build(list(tasks), _Factory(hear_message), local_scheduler=True, workers=1, log_level="ERROR")
    finally:
        for event in events:
            DayTask.remove_event_handler(event, note)
    return built


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file below a folder with its inode, size and time, which change when it is written."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found[str(path.relative_to(folder))] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


# Published files


def archive_path(format: str, day: date) -> str:
    """The path of a day's bhavcopy in one of its formats."""
    source = EQUITY.source(format)
    assert source is not None
    return source.path_of(day)


def fetched(archive: Archive, dataset: Dataset, day: date, **more: Any) -> Published:
    """A day's file as an archive gives it, unread."""
    return fetch(archive, dataset, day, lambda _published: None, **more)[0]


def format_and_date(path: str) -> tuple[str, date] | None:
    """The inverse of `archive_path`; None if the path is not a bhavcopy's."""
    found = EQUITY.of_path(path)
    return (found[0].name, found[1]) if found else None


def payload(day: date, format: str) -> bytes:
    """A simulated day's file."""
    content = exchange.payload(day, format)
    assert content is not None
    return content


def lines_of(content: bytes) -> list[str]:
    """The lines of a zipped CSV, header first, without line ends."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        [name] = archive.namelist()
        return archive.read(name).decode("ascii").splitlines()


def publish(folder: Path, day: date, format: str, lines: list[str]) -> Path:
    """Put a day's file into an archive's folder, at the exchange's own path."""
    path = archive_path(format, day)
    file = folder / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(exchange.zipped(path, "\n".join([*lines, ""]).encode(), day))
    return file


def published(content: bytes, format: str) -> Rows:
    """The rows of a published zip by symbol and series, read by the csv module alone."""
    return rows_of(lines_of(content), format)


def rows_of(lines: Iterable[str], format: str) -> Rows:
    """The rows of a published file's lines, header first, by symbol and series."""
    theirs = dict(zip(COLUMNS, _NAMES[format], strict=True))
    symbol, series = _KEYS[format]

    def value(row: dict[str, str], name: str) -> Any:
        text = row.get(theirs[name], "").strip()
        if name == "isin" or not text:
            return text or None
        number = int(text) if name in _WHOLE else float(text)
        return None if number == 0 and name in _ZERO_IS_NULL else number

    return {
        (row[symbol].strip(), row[series].strip()): tuple(value(row, name) for name in COLUMNS)
        for row in csv.DictReader(lines)
    }


# A small server


@dataclass
class Answering:
    """A loopback HTTP server: the path and headers of each request, and whether a client has hung up."""

    url: str
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def answering(
    answer: Callable[[BaseHTTPRequestHandler], None], tls: ssl.SSLContext | None = None
) -> Iterator[Answering]:
    """Serve answers that the simulated archive cannot give, on loopback; ``answer`` writes each answer in full."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers)))
            self.close_connection = True
            try:
                answer(self)
            except OSError:
                server.hung_up.set()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.do_GET()

        def do_CONNECT(self) -> None:
            # Of a proxy's client.
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.socket.listen(128)  # instead of 5: a fill opens many connections at once
        if tls:
            # The thread of the connection does the handshake, at the first byte, because it may hang or fail.
            running.socket = tls.wrap_socket(running.socket, server_side=True, do_handshake_on_connect=False)
            running.handle_error = lambda *_: None  # type: ignore[method-assign]
        server = Answering(f"http{'s' if tls else ''}://127.0.0.1:{running.server_address[1]}")
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A TLS context for a server on loopback, with a self-signed ``certificate.pem`` in the folder."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed: no certificate can be made")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    made = [program, *new, *name, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
