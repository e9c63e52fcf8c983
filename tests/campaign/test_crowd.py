"""Many at once at the same days: on one host, in namespaces that share a folder, and with a scheduler in trouble."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import campaign
import luigi as luigi_module
import pytest
from clickhouse_server import ClickHouseServer, unavailable
from helpers import archive_path, champion_command, hear, luigi_command, retry_at_once, start_python, wait_for
from luigi.execution_summary import LuigiStatusCode
from luigid_server import Central, luigid
from mlflow_server import Gateway, carry, empty_store, kill_carriers, told
from simulated_server import SimulatedArchive

from champion_luigi.base import durable, locks
from champion_luigi.config.wiring import warehouse_place
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.pipeline.chunks import Progress
from champion_luigi.pipeline.fill import FillBhavcopy
from champion_luigi.pipeline.tasks import WriteParquet
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.upkeep import redo
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

AREA = "Many at once"
DAYS = sessions.sessions(date(2023, 6, 12), date(2023, 6, 24))
DAY = DAYS[4]
RANGE = ("--start", "2023-06-12", "--stop", "2023-06-24")
STAGES = ("ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse")
# By docs/reference/exit-codes.md.
DOCUMENTED = {0, 10, 20, 25, 30, 35, 40}
# By luigid, one of several has a task, and the others end without it.
NOT_ALONE = {0, 10, 20, 25}
# Nobody who is in nobody's way waits for so long, and who waits for each other says so after it.
LOCK_WAIT = "60"

RUN_DAY = """
import sys
from datetime import date
from champion_luigi import run_day
result = run_day(date.fromisoformat(sys.argv[1]))
assert result.loaded == result.rows_processed, result
"""

HOLDER = """
import sys
from pathlib import Path
from champion_luigi.base import durable, locks
with locks.locked(Path(sys.argv[1]), "this", 0):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a retry, and none for ever for a lock."""
    retry_at_once(monkeypatch)
    monkeypatch.setenv("CHAMPION_LOCK_WAIT_SECONDS", LOCK_WAIT)
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", "6")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """Slow enough that all get in each other's way."""
    with SimulatedArchive(latency=0.05) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[date, bytes]:
    """The lake of a fill that nothing disturbed, to the byte."""
    folder = tmp_path_factory.mktemp("undisturbed")
    environment = {"DATA_DIR": str(folder), "NSE_ARCHIVE_URL": "simulated:", "CHAMPION_TRACKING": "off"}
    done = start(folder, champion_command("fill", *RANGE, "--of", "WriteParquet"), **environment)
    assert end(done) == 0, done.output
    return lake_files(folder)


# Processes


@dataclass
class Started:
    """A process, in a session of its own, and the file with all that it says."""

    command: list[str]
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return f"{' '.join(self.command)}\n{self.log.read_text(errors='replace')}"


def luigi(*arguments: str, port: int | None = None) -> list[str]:
    """The luigi command, with a scheduler of its own or the central one."""
    command = luigi_command(*arguments)
    if port is not None:
        place = command.index("--local-scheduler")
        command[place : place + 1] = scheduler_at(port)
    return command


def beside(folder: Path) -> Path:
    """Where luigid keeps what it keeps."""
    return folder.with_name(f"{folder.name}-luigid")


def scheduler_at(port: int) -> list[str]:
    return ["--scheduler-host", "127.0.0.1", "--scheduler-port", str(port)]


def start(folder: Path, command: list[str], **environment: str) -> Started:
    """Start a command in a folder."""
    logs = folder.with_name(f"{folder.name}-logs")
    logs.mkdir(exist_ok=True)
    log = logs / f"{len(list(logs.iterdir()))}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Started(command, process, log)


def end(started: Started, seconds: float = 180) -> int:
    """The exit code; a process that has not ended by then never will, and is killed."""
    try:
        return started.process.wait(seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.process.pid, signal.SIGKILL)
        started.process.wait(60)


def end_all(started: list[Started]) -> list[int]:
    try:
        return [end(each) for each in started]
    finally:
        for each in started:
            if each.process.returncode is None:
                end(each, 0)


def say(started: list[Started]) -> str:
    """All that they said, for the message of an assertion."""
    return "\n\n".join(f"{each.process.returncode}: {each.output}" for each in started)


# What came of it


def lake_files(folder: Path) -> dict[date, bytes]:
    return {day: Path(entry.path).read_bytes() for day, entry in lake.days(folder / "lake", EQUITY)}


def works_done(folder: Path) -> Counter[tuple[str, str]]:
    """How often each task did its work for each date, by the journal; who found it done has no facts."""
    return Counter(
        (each["task"], each["date"])
        for each in journal.read(folder / "journal")
        if each["event"] == "success" and each["facts"]
    )


ONCE = Counter((stage, str(day)) for stage in STAGES for day in DAYS)


def assert_exact(folder: Path, undisturbed: Mapping[date, bytes], words: str, days: Sequence[date] = DAYS) -> None:
    """Lake and warehouse have these days as an undisturbed run has, nothing is due, and nothing is left over."""
    assert lake_files(folder) == {day: undisturbed[day] for day in days}, words
    place = warehouse_place()
    table = open_warehouse(place, 10)
    table.prepare(EQUITY)
    try:
        found = table.query(
            "SELECT trade_date, count(), uniqExact(symbol, series), sum(volume) "
            f"FROM {place.database}.equity_ohlc GROUP BY trade_date ORDER BY trade_date"
        )
    finally:
        table.close()
    expected = []
    for day in days:
        rows, _ = lake.read_parquet(lake.partition(folder / "lake", day, EQUITY), EQUITY)
        expected.append((day, rows.height, rows.height, rows["volume"].sum()))
    assert found == expected, words
    assert left_over(folder) == [], words


def left_over(folder: Path) -> list[Path]:
    """Temporary files, locks that nobody holds, and what is still asked for; not what a server keeps for itself."""
    found = [path for path in folder.rglob(f"{durable.LEFTOVER_PREFIX}*") if "warehouse" not in path.parts]
    found += [path for name in ("locks", "due") for path in (folder / name).glob("*") if path.name != "archive.pace"]
    return found


@contextlib.contextmanager
def warehouse_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_server: bool) -> Iterator[str]:
    """The warehouse that the settings name from here on, in words."""
    if not is_server:
        yield "the embedded warehouse"
        return
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(folder.with_name(f"{folder.name}-server")) as server:
        for name, value in (("HOST", server.host), ("PORT", server.port), ("USER", server.user)):
            monkeypatch.setenv(f"CLICKHOUSE_{name}", str(value))
        monkeypatch.setenv("CLICKHOUSE_PASSWORD", server.password)
        yield "a ClickHouse server"


# One host


def crowd(random_: random.Random, port: int | None) -> list[list[str]]:
    """What people and schedules run at once without asking for anything again; by luigid where it has a port."""
    central = scheduler_at(port) if port else []
    commands = [
        champion_command("fill", *RANGE, *central),
        champion_command("fill", *RANGE, "--reverse", "--workers", "3", *central),
        luigi("FillBhavcopy", *RANGE, port=port),
        luigi("LoadClickHouse", "--date", str(DAY), port=port),
        luigi("LoadClickHouse", "--date", str(random_.choice(DAYS)), port=port),
        [sys.executable, "-c", RUN_DAY, str(DAY)],
        champion_command("status", "--start", str(DAYS[0]), "--end", str(DAYS[-1])),
        champion_command("clean"),
        champion_command("verify"),
    ]
    random_.shuffle(commands)
    return commands


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=16))
def test_a_crowd_does_each_piece_of_work_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: SimulatedArchive,
    undisturbed: dict[date, bytes],
    seed: int,
) -> None:
    """Nine commands for the same days all end well, and by the journal no stage of a day succeeded twice."""
    random_ = random.Random(seed)
    with (
        warehouse_of(tmp_path, monkeypatch, is_server=seed % 2 == 0) as words,
        luigid(beside(tmp_path)) if seed % 4 >= 2 else contextlib.nullcontext() as port,
    ):
        started = [start(tmp_path, command) for command in crowd(random_, port)]
        codes = end_all(started)
        told = f"seed {seed}, {words}, luigid at {port}\n{say(started)}"
        for each, code in zip(started, codes, strict=True):
            allowed = NOT_ALONE if port and "--scheduler-port" in each.command else {0}
            assert code in (allowed | {20} if "status" in each.command else allowed), told
        assert works_done(tmp_path) == ONCE, told
        asked = Counter(each.path for each in archive.requests)
        assert asked == Counter(archive_path("legacy", day) for day in DAYS), told
        assert_exact(tmp_path, undisturbed, told)
    campaign.tell(
        AREA,
        f"three fills of one range, two `luigi` and one `run_day` for days in it, `status`, `clean` and `verify`, all "
        f"started together, with {words}{' and luigid' if port else ''}",
        "each stage of each day was done exactly once and each file asked for once; all ended with their documented "
        "exit codes, the rows as published, no lock and no temporary file left",
    )


SAME = list(itertools.product(("range", "date"), ("luigid", "no luigid"), (False, True)))


@pytest.mark.parametrize("number", campaign.rounds(fast=1, full=len(SAME)))
def test_all_that_are_told_the_same_do_it_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: SimulatedArchive,
    undisturbed: dict[date, bytes],
    number: int,
) -> None:
    """By the locks alone all wait and end well; luigid gives each task to one, and says so to the others."""
    what, scheduler, is_server = SAME[number]
    days = DAYS if what == "range" else [DAY]
    with (
        warehouse_of(tmp_path, monkeypatch, is_server=is_server) as words,
        luigid(beside(tmp_path)) if scheduler == "luigid" else contextlib.nullcontext() as port,
    ):
        if what == "range":
            command = champion_command("fill", *RANGE, *(scheduler_at(port) if port else ()))
        else:
            command = luigi("LoadClickHouse", "--date", str(DAY), port=port)
        started = [start(tmp_path, command) for _ in range(8 if campaign.IS_WHOLE else 3)]
        codes = end_all(started)
        told = f"{SAME[number]}\n{say(started)}"
        assert set(codes) <= (NOT_ALONE if port else {0}), told
        assert works_done(tmp_path) == Counter((stage, str(day)) for stage in STAGES for day in days), told
        assert Counter(each.path for each in archive.requests) == Counter(archive_path("legacy", day) for day in days)
        assert_exact(tmp_path, undisturbed, told, days)
    campaign.tell(
        AREA,
        f"the same {what} from eight processes at once, with {scheduler}, with {words}",
        "each stage of each day was done exactly once and each file asked for once; "
        + (
            "who had none of it, or not all, by luigid, ended with 10, 20 or 25; the others with 0"
            if port
            else "all waited, and ended with 0"
        ),
        count=len(started),
    )


def test_a_day_and_a_fill_never_wait_for_each_other(
    tmp_path: Path, archive: SimulatedArchive, undisturbed: dict[date, bytes]
) -> None:
    """A load that waits for the embedded engine holds no day, as the fill that has the engine needs it to go on."""
    lock = tmp_path / "locks" / f"{DAYS[0]}.lock"
    in_lake = start(tmp_path, luigi("WriteParquet", "--date", str(DAYS[-1])))
    assert end(in_lake) == 0, in_lake.output
    holder = start_python(HOLDER, str(lock))
    assert hear(holder) == "locked"
    started = [start(tmp_path, champion_command("fill", *RANGE, "--workers", "1"))]
    try:
        wait_for(lambda: locks.is_locked(tmp_path / "warehouse.lock"), "the fill to have the engine")
        started.append(start(tmp_path, luigi("LoadClickHouse", "--date", str(DAYS[-1]))))
        wait_for(lambda: "waiting for the embedded warehouse" in started[1].output, "the load to wait for it")
    finally:
        holder.communicate("\n", timeout=60)
        codes = end_all(started)
    assert codes == [0, 0], say(started)
    assert works_done(tmp_path) == ONCE
    assert_exact(tmp_path, undisturbed, say(started))
    campaign.tell(
        AREA,
        "`luigi LoadClickHouse` for a day of a fill that holds the embedded warehouse, before the fill comes to it",
        "neither holds what the other waits for: both end well, and the day is loaded once",
    )


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=4))
def test_a_verify_during_fills_raises_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: SimulatedArchive, seed: int
) -> None:
    """Whatever is written between its looks at raw, lake and warehouse: what is seen to differ once differs still."""
    months = ("--start", "2023-04-01" if seed else "2023-06-01", "--stop", "2023-07-01")
    with warehouse_of(tmp_path, monkeypatch, is_server=True):
        fill = start(tmp_path, champion_command("fill", *months, "--workers", str(2 + seed)))
        wait_for(lambda: any(tmp_path.glob("loaded/*/*/*")), "the first day to be loaded")
        verified = []
        while fill.process.poll() is None:
            verify = start(tmp_path, champion_command("verify"))
            verified.append(verify)
            assert end(verify) == 0, f"seed {seed}\n{verify.output}"
        assert end(fill) == 0, fill.output
        assert verified, "the fill ended before anything was verified"
        assert all("Everything agrees" in each.output for each in verified), say(verified)
    campaign.tell(
        AREA,
        "`verify` again and again while a fill writes raw, lake and a ClickHouse server",
        "no false alarm: it says that all agrees, each time",
        count=len(verified),
    )


def has_begun(archive: SimulatedArchive, asked: int, last: Started) -> bool:
    """Whether the archive was asked once more, or the command that could do it has ended."""
    return len(archive.requests) > asked or last.process.poll() is not None


DISTURBING = (
    ("redo", "--date", str(DAYS[1]), "--from", "normalize"),
    ("redo", "--start", str(DAYS[2]), "--end", str(DAYS[6]), "--from", "scrape"),
    ("redo", "--date", str(DAYS[1]), "--from", "load"),
    ("refresh", "--days", "4"),
    ("refresh", "--days", "10"),
    ("clean", "--intermediates"),
    ("clean",),
    ("verify", "--repair"),
    ("verify", "--repair"),
    ("status", "--start", str(DAYS[0])),
    ("sql", "SELECT count() FROM equity_ohlc", "--wait", LOCK_WAIT),
    ("fill", *RANGE),
    ("fill", *RANGE, "--reverse"),
)


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=12))
def test_a_crowd_that_asks_for_days_again_comes_to_what_was_published(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    archive: SimulatedArchive,
    undisturbed: dict[date, bytes],
    seed: int,
) -> None:
    """Redo, refresh, repair and clean among fills: all end with a documented code, and a fill finds nothing wrong."""
    random_ = random.Random(seed)
    with warehouse_of(tmp_path, monkeypatch, is_server=seed % 2 == 1) as words:
        first = start(tmp_path, champion_command("fill", "--start", str(DAYS[0]), "--stop", str(DAYS[7])))
        assert end(first) == 0, first.output
        started = []
        for arguments in random_.sample(DISTURBING, 8 if campaign.IS_WHOLE else 4):
            started.append(start(tmp_path, champion_command(*arguments)))
            # Some meet while they start, some in the middle.
            if random_.random() < 0.5:
                asked = len(archive.requests)
                wait_for(partial(has_begun, archive, asked, started[-1]), "work to begin")
        codes = end_all(started)
        told = f"seed {seed}, {words}\n{say(started)}"
        for each, code in zip(started, codes, strict=True):
            assert code in DOCUMENTED, told
            assert "Traceback" not in each.output, told
            assert "in use by another process" not in each.output, told
        last = [start(tmp_path, champion_command("fill", *RANGE)), start(tmp_path, champion_command("verify"))]
        assert [end(each) for each in last[:1]] == [0], f"{told}\n{say(last)}"
        assert end(last[1]) == 0, f"{told}\n{say(last)}"
        assert_exact(tmp_path, undisturbed, told)
    campaign.tell(
        AREA,
        f"some of `redo`, `refresh`, `clean --intermediates`, `verify --repair`, `status`, `sql` and `fill` at once "
        f"at the same days, with {words}",
        "all ended with documented exit codes and none stood in another's way; after one more fill lake and warehouse "
        "are as published, `verify` agrees, nothing is due and nothing left over",
    )


def test_a_day_that_is_asked_for_again_does_not_fail_a_fill_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fill that has done its days ends well; what another command has asked for meanwhile is for that one."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    before = start(tmp_path, champion_command("fill", "--start", str(DAYS[0]), "--stop", str(DAYS[1])))
    assert end(before) == 0, before.output
    parameters: dict[str, Any] = {"of": WriteParquet, "start": DAYS[0], "stop": DAYS[3]}
    task = FillBhavcopy(**parameters)

    def ask_again(progress: Progress) -> None:
        if progress.done == 2:
            redo.make_due(EQUITY, DAYS[0], WriteParquet, WriteParquet)

    task.on_progress = ask_again
    result = luigi_module.build([task], local_scheduler=True, detailed_summary=True)
    assert result.status == LuigiStatusCode.SUCCESS, result.summary_text
    assert sorted(lake_files(tmp_path)) == DAYS[:3]
    assert not task.complete()
    campaign.tell(
        AREA,
        "a day is asked for again (`redo`) just before a fill of other days of the range ends",
        "the fill ends well with what it had to do; the day stays due",
    )


# Several hosts


@pytest.mark.parametrize("seed", campaign.rounds(fast=0, full=4))
def test_hosts_with_folders_of_their_own_load_one_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[date, bytes], seed: int
) -> None:
    """No lock is between them: each load of a date is a version of its own, and readers see one of the two, whole."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    hosts = [tmp_path / name for name in ("one", "other")]
    with warehouse_of(tmp_path, monkeypatch, is_server=True):
        for host in hosts:
            host.mkdir()
        other = ["--reverse"] if seed % 2 else []
        started = [
            start(host, champion_command("fill", *RANGE, *options), DATA_DIR=str(host))
            for host, options in zip(hosts, ([], other), strict=True)
        ]
        assert end_all(started) == [0, 0], say(started)
        for host in hosts:
            assert_exact(host, undisturbed, say(started))
    campaign.tell(
        AREA,
        "two fills of one range at once into one ClickHouse server, each with a DATA_DIR of its own",
        "both end well; readers see each row once, as published",
    )


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=6))
def test_hosts_that_share_a_folder_do_each_piece_of_work_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[date, bytes], seed: int
) -> None:
    """Two fills in network, process and host name namespaces of their own: the same process ids, and nothing shared.

    Locks and presence are by the file system alone, whatever processes and hosts are called and their monotonic clocks.
    """
    in_namespace = ["unshare", "-n", "-p", "-f", "--mount-proc", "-u", "-T"]
    if subprocess.run([*in_namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces cannot be made here: unshare is not there or not allowed")
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    is_tracked = seed % 3 == 2
    if is_tracked:
        monkeypatch.setenv("CHAMPION_TRACKING", "on")
        empty_store(tmp_path / "mlflow" / "mlflow.db")
    started = []
    for monotonic in ("0", "1000000"):
        # The shell is process 1 of its namespace, as it often is in a container; the fill is the same one in each.
        host = f"host-{monotonic}" if seed % 2 else "one-name"
        script = f'hostname {host}; "$@"; exit $?'
        places = [*in_namespace, "--monotonic", monotonic, "sh", "-c", script, "sh"]
        started.append(start(tmp_path, [*places, *champion_command("fill", *RANGE, "--workers", "3")]))
    codes = end_all(started)
    words = f"seed {seed}\n{say(started)}"
    assert codes == [0, 0], words
    assert works_done(tmp_path) == ONCE, words
    if is_tracked:
        carry()
        assert_told_once(tmp_path, words)
        kill_carriers(tmp_path)
    assert_exact(tmp_path, undisturbed, words)
    campaign.tell(
        AREA,
        "two fills on one folder, each in network, process, host name and time namespaces of its own (`unshare`): the "
        "same process ids, other monotonic clocks, the host name " + ("another one" if seed % 2 else "the same"),
        "each stage of each day was done exactly once; the locks are those of the file system alone",
    )


def assert_told_once(folder: Path, words: str) -> None:
    """MLflow has one run for each execution of each date that worked, by the journal, and no other."""
    worked = {
        (each["execution"], f"bhavcopy-etl-{each['date']}")
        for each in journal.read(folder / "journal")
        if each["event"] == "success" and each["facts"]
    }
    runs = [each for each in told() if each.info.run_name.startswith("bhavcopy-etl-")]
    assert Counter((each.data.tags["execution"], each.info.run_name) for each in runs) == Counter(worked), words


@pytest.mark.parametrize("seed", campaign.rounds(fast=0, full=3))
def test_many_carriers_tell_mlflow_of_each_execution_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: SimulatedArchive, seed: int
) -> None:
    """A fill, and short commands while it runs, each with a carrier of its own, all on one SQLite store."""
    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    empty_store(tmp_path / "mlflow" / "mlflow.db")
    random_ = random.Random(seed)
    count = 6
    commands = [champion_command("fill", *RANGE, "--of", "WriteParquet", "--workers", "1")]
    commands += [luigi("WriteParquet", "--date", str(day)) for day in random_.sample(DAYS, count)]
    started = [start(tmp_path, command) for command in commands]
    codes = end_all(started)
    words = f"seed {seed}\n{say(started)}"
    assert codes == [0] * len(started), words
    assert set(works_done(tmp_path).values()) == {1}, words
    carry()
    assert_told_once(tmp_path, words)
    kill_carriers(tmp_path)
    campaign.tell(
        AREA,
        "short commands while a fill runs, each with a carrier of its own, on one SQLite store",
        "MLflow has each execution of each day exactly once",
        count=count,
    )


# A central scheduler in trouble


def slowly(_path: str) -> bool:
    """Keep an answer waiting."""
    time.sleep(0.05)
    return False


TROUBLES = {
    "killed": "luigid killed (kill -9) in the middle of a fill, and started anew on the same port",
    "stopped": "luigid stopped (SIGSTOP) for three seconds in the middle of a fill",
    "slow": "a luigid that takes 50 ms for each answer",
    "absent": "no luigid where the fill is told that there is one",
}


@pytest.mark.parametrize("number", campaign.rounds(fast=1, full=8))
def test_a_scheduler_in_trouble_costs_no_day(
    tmp_path: Path, archive: SimulatedArchive, undisturbed: dict[date, bytes], number: int
) -> None:
    """The fill ends complete or with a documented exit code, and without the scheduler's help a rerun completes it."""
    trouble = list(TROUBLES)[number % len(TROUBLES)]
    (tmp_path / "luigi.cfg").write_text("[core]\nrpc-retry-wait = 1\nrpc-connect-timeout = 10\n")
    central = Central(beside(tmp_path))
    with contextlib.ExitStack() as stack:
        stack.callback(central.end)
        port = central.port
        if trouble != "absent":
            central.start()
        if trouble == "slow":
            gateway = stack.enter_context(Gateway(f"http://127.0.0.1:{central.port}"))
            gateway.before = slowly
            port = gateway.port
        fill = start(tmp_path, champion_command("fill", *RANGE, "--workers", "2", *scheduler_at(port)))
        if trouble in ("killed", "stopped"):
            wait_for(lambda: len(lake_files(tmp_path)) >= 2 + number // len(TROUBLES), "the fill to be in its middle")
        if trouble == "killed":
            central.end()
            central.start()
        elif trouble == "stopped":
            central.send(signal.SIGSTOP)
            time.sleep(3)
            central.send(signal.SIGCONT)
        code = end(fill)
        assert code in DOCUMENTED, fill.output
        assert code != 0 or sorted(lake_files(tmp_path)) == DAYS, fill.output
        if trouble in ("stopped", "slow"):
            assert code == 0, fill.output
        if trouble == "absent":
            assert code == 40, fill.output
            assert "the central scheduler does not answer" in fill.output
    again = start(tmp_path, champion_command("fill", *RANGE))
    assert end(again) == 0, f"{fill.output}\n{again.output}"
    assert set(works_done(tmp_path).values()) == {1}, fill.output
    assert_exact(tmp_path, undisturbed, fill.output)
    campaign.tell(
        AREA,
        TROUBLES[trouble],
        "the fill ends complete"
        if code == 0
        else f"the fill ends with exit code {code}; a rerun without luigid completes the range, no work done twice",
    )
