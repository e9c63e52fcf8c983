"""Kill -9 at every boundary and at random moments: after one rerun all is as if nothing had happened.

All along readers look at the lake, at the markers and at the view: what they see is a whole day or no day, each row
once, and no day that they have seen goes away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import campaign
import pytest
import subjects
from click.testing import CliRunner
from clickhouse_server import ClickHouseServer, unavailable
from helpers import ROOT, build, champion_command, luigi_command, retry_at_once, wait_for
from mlflow_server import carriers, days_table, empty_store, kill_carriers, steps_once, told
from subjects import SHARES, Subject
from ten_days import DAYS, START, STOP

from champion_luigi.base import durable, locks
from champion_luigi.commands.cli import main
from champion_luigi.config import settings, wiring
from champion_luigi.pipeline import complete
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.storage import lake
from champion_luigi.storage.paths import INTERMEDIATES
from champion_luigi.tracking import journal, mlflow_store
from champion_luigi.upkeep import verify
from champion_luigi.warehouse import opened

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

AREA = "Kill -9"
RANGE = ("--start", str(START), "--stop", str(STOP))
ROWS = 300
# What a good end can be: the archive of some tests lacks a session.
DONE = (0, 15)
# Of an undisturbed fill of the range, by one record a step.
RECORDS = 155
BAD_DAY = DAYS[2]
POINTS = ROOT / "tests" / "killed_at.py"

Seen = Mapping[date, Any]


# What is published


def lines_of_day(subject: Subject, day: date) -> list[str]:
    """The first rows of a day's file; on the bad day two of them cannot stand."""
    lines = subject.lines(day)[: ROWS + 1]
    if day == BAD_DAY:
        subject.spoil(lines)
    return lines


@pytest.fixture(scope="module")
def archive_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of ten days' files."""
    folder = tmp_path_factory.mktemp("archive")
    for day in DAYS:
        SHARES.publish(folder, day, lines_of_day(SHARES, day))
    return folder


@pytest.fixture(autouse=True)
def _settings(archive_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test waits for a retry, and no carrier or open warehouse outlives its test."""
    retry_at_once(monkeypatch)
    for name in mlflow_store._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(archive_folder))
    yield
    opened.close_shared()
    kill_carriers(tmp_path)


# A warehouse for each round


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(tmp_path_factory.mktemp("server")) as running:
        yield running


_databases = iter(range(1_000_000))


@contextlib.contextmanager
def on_server(
    server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch, subject: Subject = SHARES
) -> Iterator[Callable[[], Seen]]:
    """Let the settings name an empty database of a server; gives what a reader of its view sees of each day."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import DatabaseError

    database = f"round_{next(_databases)}"
    for name, value in (
        ("HOST", server.host),
        ("PORT", str(server.port)),
        ("USER", server.user),
        ("PASSWORD", server.password),
        ("DATABASE", database),
    ):
        monkeypatch.setenv(f"CLICKHOUSE_{name}", value)
    client = clickhouse_connect.get_client(
        host=server.host,
        port=server.port,
        username=server.user,
        password=server.password,
        autogenerate_session_id=False,
    )
    no_table = (60, 81)

    def look() -> Seen:
        try:
            found = client.query(
                f"SELECT trade_date, count(), uniqExact({', '.join(subject.dataset.key)}), "
                f"sum(cityHash64(formatRow('TSV', *))) FROM {database}.{subject.dataset.view} GROUP BY trade_date"
            )
        except DatabaseError as error:
            if error.code not in no_table:
                raise
            return {}
        return {row[0]: tuple(row[1:]) for row in found.result_rows}

    try:
        yield look
    finally:
        opened.close_shared()
        client.command(f"DROP DATABASE IF EXISTS {database}")
        client.close()


# Readers


@dataclass
class Reader:
    """Looks again and again in a thread, and notes what no reader may see.

    ``versions`` gives what each day may be seen as, by reader and in order of publication.
    """

    looks: Mapping[str, Callable[[], Seen]]
    versions: Mapping[str, Mapping[date, list[Any]]]
    wrong: list[str] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)
    _last: dict[str, dict[date, int]] = field(default_factory=lambda: defaultdict(dict))
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Look until the block has ended, and once more."""
        thread = threading.Thread(target=self._read)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _read(self) -> None:
        try:
            while not self._over.wait(0.03):
                self._look_once()
            self._look_once()
        except Exception as error:
            # What a reader gets in place of an answer is as wrong as a wrong one.
            self.wrong.append(repr(error))
            raise

    def _look_once(self) -> None:
        for name, look in self.looks.items():
            found, last = look(), self._last[name]
            self.count[name] += 1
            self.wrong += [f"{name}: {day} has gone" for day in last.keys() - found.keys()]
            for day, value in found.items():
                allowed = self.versions[name].get(day, [])
                if value not in allowed:
                    self.wrong.append(f"{name}: {day} is {value}, expected one of {allowed}")
                    continue
                version = allowed.index(value)
                if version < last.get(day, 0):
                    self.wrong.append(f"{name}: {day} is an older version than before")
                last[day] = version


def lake_reader(folder: Path, subject: Subject = SHARES) -> Callable[[], Seen]:
    """What a reader of the lake sees of each day, by Polars."""
    read: dict[tuple[Any, ...], Any] = {}

    def look() -> Seen:
        found = {}
        for day, entry in lake.days(folder / "lake", subject.dataset):
            status = Path(entry.path).stat()
            key = (day, status.st_ino, status.st_mtime_ns)
            if key not in read:
                read[key] = seen_in_lake(Path(entry.path), subject.dataset.key)
            found[day] = read[key]
        return found

    return look


def seen_in_lake(path: Path, key: tuple[str, ...]) -> tuple[int, int, int]:
    """Rows, distinct keys and a sum over all values of a lake's file."""
    import polars as pl

    rows = pl.read_parquet(path)
    return (rows.height, rows.select(key).n_unique(), int(rows.hash_rows(seed=7).sum()))


def marker_reader(subject: Subject = SHARES) -> Seen:
    """The rows of each day that counts as loaded."""
    return complete.loaded_rows(subject.dataset, START, STOP)


# What there is in the end


@dataclass(frozen=True)
class State:
    """All that a run leaves, less times: files with their contents, what is loaded, and every row of the view."""

    files: Mapping[str, Any]
    rows: list[tuple[Any, ...]]


_LEFT_OUT = {"warehouse", "journal", "mlflow", "pids", "loaded", *INTERMEDIATES}
_TIMES = {"fetched_at", "loaded_at", "version", "lake_stat", "warehouse", "noted_at", "time", "removed"}


def state(folder: Path, subject: Subject) -> State:
    """What there is, in folder and configured warehouse; a fill removes the tables between stages of its own days.

    In place of the records of loads it has what they say: the ledger of a server, the markers of the embedded engine.
    """
    found: dict[str, Any] = {"loaded": marker_reader(subject)}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name.split("/")[0] not in _LEFT_OUT:
            found[name] = _content(path)
    return State(found, _rows(subject))


def _content(path: Path) -> Any:
    if path.suffix in (".json", ".jsonl") and "rejects" not in path.parts:
        documents = [json.loads(path.read_bytes())] if path.suffix == ".json" else _lines(path)
        return [{name: value for name, value in each.items() if name not in _TIMES} for each in documents]
    return path.read_bytes()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _rows(subject: Subject) -> list[tuple[Any, ...]]:
    place, order = wiring.warehouse_place(), ", ".join(("trade_date", *subject.dataset.key))
    return opened.shared(place, 30).query(f"SELECT * FROM {place.database}.{subject.dataset.view} ORDER BY {order}")


def champion(*arguments: str) -> tuple[int, str]:
    """The `champion` command in this process: its exit code and its output."""
    done = CliRunner().invoke(main, list(arguments))
    return done.exit_code, done.output


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of which the values are not the same."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def check(folder: Path, expected: State, what: str, subject: Subject = SHARES) -> None:
    """Files and rows are those of an undisturbed run, the commands agree, and nothing is left over."""
    for leftover in folder.rglob(f"{durable.LEFTOVER_PREFIX}*"):
        os.utime(leftover, (time.time() - 7200,) * 2)
    code, output = champion("clean")
    assert code == 0, (what, output)

    found = state(folder, subject)
    assert differences(found.files, expected.files) == [], what
    assert found.rows == expected.rows, what
    # What these tests have done in their own process is told of by its own presence.
    running = [path for path in (folder / "journal" / "running").iterdir() if not locks.is_locked(path)]
    assert running == [], what
    assert [path.name for path in (folder / "warehouse").glob(f"{durable.LEFTOVER_PREFIX}*")] == [], what

    code, output = champion("verify", *subject.options)
    assert (code, output.splitlines()[-1]) == (0, "Everything agrees."), (what, output)
    days = [day for day, _ in lake.days(folder / "lake", subject.dataset)]
    code, output = champion("status", *subject.options, "--start", str(min(days)), "--end", str(max(days)))
    assert code == 0, (what, output)


def check_journal(folder: Path, at_once: int, what: str) -> None:
    """Every line can be read, each piece of work was done once, and each execution begins and ends at most once."""
    records = [record for path in sorted((folder / "journal").glob("*.jsonl")) for record in _lines(path)]
    done = Counter((each["task"], each["date"]) for each in records if each["event"] == "success" and each["facts"])
    started = {(each["task"], each["date"]) for each in records if each["event"] == "start"}
    assert set(done.values()) == {1}, what
    # What has no record of its end was in hand when its process was killed.
    failed = {(each["task"], each["date"]) for each in records if each["event"] == "failure"}
    assert len(started - done.keys() - failed) <= at_once, (what, started - done.keys() - failed)
    for event in ("fill_start", "fill_end", "end"):
        times = Counter(each["execution"] for each in records if each["event"] == event)
        assert set(times.values()) <= {1}, (what, event)


# Commands


@contextlib.contextmanager
def started(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a process group of its own, its output in a file beside the folder; all of it ends here."""
    paths = [str(POINTS.parent), os.environ.get("PYTHONPATH", "")]
    with output_file(folder).open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def output_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-output.txt")


def run(command: list[str], folder: Path, what: str) -> None:
    """Run a command to its good end."""
    with started(command, folder) as process:
        code = process.wait(120)
    assert code in DONE, f"{what}: exit code {code}\n{output_file(folder).read_text()[-4000:]}"


def runs_any(folder: Path) -> bool:
    """Whether a process that journals is there, or a worker of one."""
    return any(locks.is_locked(presence) for presence in (folder / "journal" / "running").glob("*"))


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The forked workers that a command has at this moment: its carrier is in a session of its own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[1:3]
            if int(parent) == process.pid and int(group) == process.pid:
                found.append(int(entry.name))
    return sorted(found)


# An undisturbed run


@dataclass(frozen=True)
class Undisturbed:
    """What there is after a run that nothing disturbed, and what readers see of it."""

    state: State
    in_lake: Mapping[date, Any]
    in_view: Mapping[date, Any]
    markers: Mapping[date, int]


def as_it_is(folder: Path, look_at_view: Callable[[], Seen], subject: Subject = SHARES) -> Undisturbed:
    """What there is now, in folder and configured warehouse."""
    left = state(folder, subject), lake_reader(folder, subject)(), look_at_view(), marker_reader(subject)
    return Undisturbed(*left)


def versions(*of: Undisturbed) -> dict[str, dict[date, list[Any]]]:
    """What readers may see of each day, the first version first."""
    found: dict[str, dict[date, list[Any]]] = {"lake": {}, "markers": {}, "view": {}}
    for each in of:
        for name, seen in (("lake", each.in_lake), ("markers", each.markers), ("view", each.in_view)):
            for day, value in seen.items():
                if value not in found[name].setdefault(day, []):
                    found[name][day].append(value)
    return found


@pytest.fixture(scope="module")
def undisturbed(
    archive_folder: Path, shared_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """What a fill of the range leaves."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch, on_server(shared_server, patch) as look_at_view:
        patch.setenv("DATA_DIR", str(folder))
        patch.setenv("NSE_ARCHIVE_URL", str(archive_folder))
        patch.setenv("CHAMPION_TRACKING", "journal")
        run(champion_command("fill", *RANGE, "--workers", "1"), folder, "undisturbed")
        found = as_it_is(folder, look_at_view)
    assert sorted(found.markers) == DAYS
    assert len(found.state.rows) == sum(found.markers.values()) == ROWS * len(DAYS) - 2
    return found


# Random moments


@dataclass(frozen=True)
class Kill:
    """Which command runs, on which warehouse, and who is killed, in so many rounds."""

    rounds: int
    words: str
    command: str
    workers: int
    on_server: bool
    who: str
    is_carried: bool = False

    @property
    def at_once(self) -> int:
        """How many days may be in hand in one stage: all of them, where a fill's days go through it together."""
        return len(DAYS) if self.command != "TenDays" and self.workers > 1 else self.workers

    def as_typed(self) -> list[str]:
        workers = ("--workers", str(self.workers))
        if self.command == "champion fill":
            return champion_command("fill", *RANGE, *workers)
        if self.command == "FillBhavcopy":
            return luigi_command("FillBhavcopy", *RANGE, *workers)
        return luigi_command("TenDays", *workers, module="ten_days")


KILLS = (
    Kill(30, "champion fill, 3 threads, embedded: all", "champion fill", 3, False, "all"),
    Kill(25, "champion fill, 1 thread, server: all", "champion fill", 1, True, "all"),
    Kill(8, "one-day loads in 3 forked workers, server: one worker", "TenDays", 3, True, "worker"),
    Kill(15, "FillBhavcopy in a forked worker, server: the parent alone", "FillBhavcopy", 3, True, "parent"),
    Kill(4, "champion fill with MLflow, embedded: all and the carrier", "champion fill", 3, False, "all", True),
    Kill(30, "champion fill, 1 thread, embedded: all", "champion fill", 1, False, "all"),
    Kill(25, "champion fill, 3 threads, server: all", "champion fill", 3, True, "all"),
    Kill(15, "FillBhavcopy in a forked worker, server: that worker", "FillBhavcopy", 3, True, "worker"),
    Kill(10, "FillBhavcopy in a forked worker, embedded: all", "FillBhavcopy", 3, False, "all"),
    Kill(8, "one-day loads in 3 forked workers, server: the parent alone", "TenDays", 3, True, "parent"),
    Kill(10, "one-day loads in 3 forked workers, server: all", "TenDays", 3, True, "all"),
    Kill(4, "one-day loads in 3 forked workers, embedded: all", "TenDays", 3, False, "all"),
    Kill(4, "one-day loads in 3 forked workers, embedded: the parent alone", "TenDays", 3, False, "parent"),
    Kill(4, "one-day loads in 3 forked workers, embedded: one worker", "TenDays", 3, False, "worker"),
    Kill(4, "champion fill with MLflow, server: the carrier alone", "champion fill", 3, True, "carrier", True),
    Kill(
        4,
        "champion fill with MLflow, embedded: the command, not its carrier",
        "champion fill",
        3,
        False,
        "parent",
        True,
    ),
)
# Each of them in turn, the rare ones in the first rounds only.
ORDER = [kill for turn in range(max(each.rounds for each in KILLS)) for kill in KILLS if turn < kill.rounds]


@pytest.mark.parametrize("seed", campaign.rounds(fast=3, full=len(ORDER)))
def test_a_run_that_is_killed_at_a_random_moment_is_completed_by_the_next(
    seed: int,
    tmp_path: Path,
    undisturbed: Undisturbed,
    shared_server: ClickHouseServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Readers see whole days alone and lose none; one rerun leaves what an undisturbed run leaves, each thing once."""
    kill, dice = ORDER[seed], random.Random(seed)
    # A tenth of the moments is before the first day's: the engine opens, the table is made.
    records = max(0, dice.randrange(-RECORDS // 10, RECORDS))
    pause = dice.uniform(0, 0.02 if records > 3 else 0.6)
    what = f"seed {seed}: {kill.words}, {pause:.3f} s after {records} records"
    with contextlib.ExitStack() as stack:
        looks = {"lake": lake_reader(tmp_path), "markers": marker_reader}
        if kill.on_server:
            looks["view"] = stack.enter_context(on_server(shared_server, monkeypatch))
        if kill.is_carried:
            monkeypatch.setenv("CHAMPION_TRACKING", "on")
            # Every fill is a long one, or a short one.
            monkeypatch.setenv("CHAMPION_FILL_DAY_RUNS", dice.choice(["0", "20"]))
            empty_store(tmp_path / "mlflow" / "mlflow.db")
        reader = Reader(looks, versions(undisturbed))
        with reader.reading(), started(kill.as_typed(), tmp_path) as process:
            wait_for(lambda: process.poll() is not None or count_records(tmp_path) >= records, "the moment")
            time.sleep(pause)
            is_killed = end(kill.who, process, tmp_path, dice)
            if kill.who == "all":
                check_between(tmp_path, what)
            run(kill.as_typed(), tmp_path, what)
            wait_for(lambda: not runs_any(tmp_path), "what the killed command has left to end")
        assert reader.wrong == [], what
        if kill.is_carried:
            code, output = champion("track", "flush")
            assert code == 0, (what, output)
            check_mlflow(tmp_path, at_once=kill.at_once, what=what)
        check(tmp_path, undisturbed.state, what)
        check_journal(tmp_path, kill.at_once, what)
    # The moment may have come when all was over.
    if is_killed:
        campaign.tell(AREA, *told_of(kill))


def count_records(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (folder / "journal").glob("*.jsonl"))


def end(who: str, process: subprocess.Popen[bytes], folder: Path, dice: random.Random) -> bool:
    """SIGKILL whom it is for; whether there still was one."""
    if who in ("all", "parent"):
        was_there = process.poll() is None
        if was_there and who == "parent":
            process.kill()
        elif was_there:
            # The carrier is in a session of its own.
            kill_carriers(folder)
            os.killpg(process.pid, signal.SIGKILL)
            wait_for(lambda: not runs_any(folder), "all to be gone")
        process.wait(60)
        return was_there
    find = functools.partial(workers_of, process) if who == "worker" else functools.partial(carriers, folder)
    wait_for(lambda: process.poll() is not None or bool(find()), f"a {who}")
    found = find()
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(dice.choice(found), signal.SIGKILL)
    process.wait(120)
    return bool(found)


def check_between(folder: Path, what: str, subject: Subject = SHARES) -> None:
    """Before the rerun: what is there agrees, as far as it goes."""
    try:
        assert verify.of_range(subject.dataset).differences == [], what
    finally:
        opened.close_shared()


def check_mlflow(folder: Path, at_once: int, what: str) -> None:
    """Each execution has one run for each day that it was at, and one for its fill; all of them have ended.

    A long fill has the days that were done as steps, and all days in its table.
    """
    runs = Counter((each.data.tags["execution"], each.info.run_name) for each in told())
    records = list(journal.read(folder / "journal"))
    fills = {
        (each["execution"], f"bhavcopy-fill-{each['first']}-{each['last']}")
        for each in records
        if each["event"] == "fill_start"
    }
    # A day of which everything that was begun was found done has no run.
    begun = Counter((each["execution"], each["date"]) for each in records if each["event"] == "start")
    begun -= Counter((each["execution"], each["date"]) for each in records if each["event"] == "found_complete")
    finished = {each.info.run_name for each in told() if each.info.status == "FINISHED"}
    long = {each["execution"] for each in records if each.get("days_as_steps")}
    done = set()
    for fill in told():
        execution = fill.data.tags["execution"]
        of_fill = {day for each, day in begun if each == execution}
        if execution in long and of_fill and (execution, fill.info.run_name) in fills:
            table = days_table(settings.tracking_uri(), fill)
            assert table.keys() == of_fill, what
            successes = {day for day, line in table.items() if line["status"] == "success"}
            points = steps_once(settings.tracking_uri(), fill).get("flow_duration_seconds", {})
            assert points.keys() == {int(day.replace("-", "")) for day in successes}, what
            done |= {(execution, day) for day in successes}
            finished |= {f"bhavcopy-etl-{day}" for day in successes}
    days = {(execution, f"bhavcopy-etl-{day}") for execution, day in begun.keys() - done}
    assert runs == Counter(fills | days), what
    assert [each.info.run_name for each in told() if each.info.status == "RUNNING"] == [], what
    # The record of a success can be lost with the process: then the rerun has nothing to do for that day.
    assert len({f"bhavcopy-etl-{day}" for day in DAYS} - finished) <= at_once, what


def told_of(kill: Kill) -> tuple[str, str]:
    """The fault and its outcome, as a row of the table."""
    where = "ClickHouse server" if kill.on_server else "embedded warehouse"
    runs = {
        "champion fill": f"`champion fill` of ten days, {kill.workers} at a time",
        "FillBhavcopy": "`luigi ... FillBhavcopy --workers 3`, which fills in a forked worker",
        "TenDays": "`luigi` with ten days to load and `--workers 3`, forked",
    }[kill.command]
    whom = {
        "all": "all its processes" + (", its carrier to MLflow too," if kill.is_carried else ""),
        "parent": "the command alone" + (", not its carrier," if kill.is_carried else ", not its workers,"),
        "worker": "one worker",
        "carrier": "the carrier to MLflow",
    }[kill.who]
    outcome = (
        "after one rerun files and rows are those of an undisturbed run, each piece of work was done once, nothing is "
        "left over; readers never saw a part of a day, a row twice or a day go"
    )
    if kill.is_carried:
        outcome += "; MLflow has one run an execution, and none that is RUNNING"
    return f"{runs}, {where}: SIGKILL to {whom} at a random moment", outcome


# Every boundary

# The first day has rows that cannot stand; of the second one the archive has no file.
FIRST, MISSING = BAD_DAY, DAYS[3]
FILL = ("fill", "--start", str(FIRST), "--stop", str(DAYS[4]), "--workers", "1")
REFRESH = ("refresh", "--days", "1")
# A whole run has all points of the first data set in its shares, and so many of the other one's.
SHARE_OF_OTHERS = 1 / 4


@dataclass(frozen=True)
class Plan:
    """The points at which a command can be killed, in order, and what it leaves where nothing disturbs it."""

    subject: Subject
    command: tuple[str, ...]
    points: list[str]
    left: list[Undisturbed]

    def choice(self, words: str = "") -> list[str]:
        """The points that have these words, in a random order that is always the same."""
        points = [point for point in self.points if words in point]
        random.Random(4711).shuffle(points)
        # What is stored for several data sets comes first. A folder is there or not: making one is the least of all.
        points.sort(key=lambda point: (point.startswith("mkdir "), "/shared/" not in point))
        return points if self.subject is SHARES else points[: math.ceil(len(points) * SHARE_OF_OTHERS)]


def points_of(command: tuple[str, ...], folder: Path) -> list[str]:
    """Run a command undisturbed, and give all the points at which it could be killed."""
    listed = folder.with_name(f"{folder.name}-points.txt")
    run([sys.executable, str(POINTS), f"list:{listed}", *command], folder, "points")
    return listed.read_text(encoding="utf-8").splitlines()


def kill_at(point: str, command: tuple[str, ...], folder: Path, what: str) -> None:
    """Run a command as far as a point."""
    with started([sys.executable, str(POINTS), point, *command], folder) as process:
        code = process.wait(120)
    # An answer may come in fewer pieces than before: then all went well.
    assert code == -signal.SIGKILL or (code in DONE and "receive" in point), what


@dataclass(frozen=True, eq=False)
class Plans:
    """The archives and the plans of a data set, each made when it is first needed."""

    server: ClickHouseServer
    factory: pytest.TempPathFactory

    @functools.cache  # noqa: B019 - for as long as the module's tests run
    def one_day(self, subject: Subject) -> Path:
        """An archive of one day: it has no file of the session after it."""
        folder = self.factory.mktemp("one-day")
        subject.publish(folder, FIRST, lines_of_day(subject, FIRST))
        return folder

    @functools.cache  # noqa: B019
    def restated(self, subject: Subject) -> Path:
        """The same with a row more, a row less and a changed one, and none that cannot stand."""
        folder = self.factory.mktemp("restated")
        lines = subject.lines(FIRST)[: ROWS + 2]
        subject.restate(lines)
        subject.publish(folder, FIRST, lines)
        return folder

    @functools.cache  # noqa: B019
    def fill_on_server(self, subject: Subject) -> Plan:
        """The fill, loading a server."""
        command = (*FILL, *subject.options)
        with self._planning(subject) as (folder, patch), on_server(self.server, patch, subject) as look_at_view:
            points = points_of(command, folder)
            left = as_it_is(folder, look_at_view, subject)
            require_as_published(subject)
        return Plan(subject, command, points, [left])

    @functools.cache  # noqa: B019
    def fill_embedded(self, subject: Subject) -> Plan:
        """The fill, loading the embedded engine: nothing but the warehouse is another one."""
        plan = self.fill_on_server(subject)
        with self._planning(subject) as (folder, _):
            return dataclasses.replace(plan, points=points_of(plan.command, folder))

    @functools.cache  # noqa: B019
    def refresh(self, subject: Subject) -> Plan:
        """A day that is there and was published anew, refreshed."""
        command = (*REFRESH, *subject.options)
        with self._planning(subject) as (folder, patch), on_server(self.server, patch, subject) as look_at_view:
            load(subject, FIRST)
            before = as_it_is(folder, look_at_view, subject)
            patch.setenv("NSE_ARCHIVE_URL", str(self.restated(subject)))
            points = points_of(command, folder)
            return Plan(subject, command, points, [before, as_it_is(folder, look_at_view, subject)])

    @contextlib.contextmanager
    def _planning(self, subject: Subject) -> Iterator[tuple[Path, pytest.MonkeyPatch]]:
        folder = self.factory.mktemp("plan")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATA_DIR", str(folder))
            patch.setenv("CHAMPION_TRACKING", "journal")
            patch.setenv("NSE_ARCHIVE_URL", str(self.one_day(subject)))
            yield folder, patch


@pytest.fixture(scope="module")
def plans(shared_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    return Plans(shared_server, tmp_path_factory)


def require_as_published(subject: Subject) -> None:
    """The view has what csv alone reads in the day's file, less the two lines that cannot stand."""
    place = wiring.warehouse_place()
    [(day, found)] = subject.seen(opened.shared(place, 30).query, place.database).items()
    expected = subject.read(subject.lines(FIRST)[: ROWS + 1])
    assert day == FIRST
    assert found.items() <= expected.items()
    assert len(found) == len(expected) - 2


def load(subject: Subject, day: date) -> None:
    """Load a day, in this process."""
    built = build(subject.task(LoadClickHouse, day))
    assert built.is_done, built.errors
    opened.close_shared()


def check_boundary(point: str, plan: Plan, folder: Path, looks: Mapping[str, Callable[[], Seen]]) -> str:
    """Kill a plan's command at a point, and run it again; says so in words."""
    what, subject, is_fill = f"killed before {point}", plan.subject, plan.command[0] == "fill"
    if is_fill:
        looks = {**looks, "markers": functools.partial(marker_reader, subject)}
    reader = Reader({"lake": lake_reader(folder, subject), **looks}, versions(*plan.left))
    with reader.reading():
        kill_at(point, plan.command, folder, what)
        if is_fill:
            check_between(folder, what, subject)
        run(champion_command(*plan.command), folder, what)
    assert reader.wrong == [], what
    check(folder, plan.left[-1].state, what, subject)
    return what


FULL, FULL_OF_OTHERS = 12, 3


def share_of(plan: Plan, number: int, words: str = "") -> list[str]:
    """A whole run has each point of a choice in one of its shares; any other run has one point in a share."""
    points, full = plan.choice(words), FULL if plan.subject is SHARES else FULL_OF_OTHERS
    return points[number::full] if campaign.IS_WHOLE else points[number : number + 1]


@contextlib.contextmanager
def a_round(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own, which is gone afterwards: there are hundreds of them."""
    data = folder / str(number)
    data.mkdir()
    monkeypatch.setenv("DATA_DIR", str(data))
    try:
        yield data
    finally:
        opened.close_shared()
    shutil.rmtree(data)


COMPLETED = "after one rerun files and rows are those of an undisturbed run, and nothing is left over"


@subjects.rounds(fast=1, full=FULL, others=(0, FULL_OF_OTHERS))
def test_a_fill_is_completed_after_a_kill_at_any_boundary(
    subject: Subject,
    seed: int,
    *,
    tmp_path: Path,
    plans: Plans,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before and after each write, sync, rename, removal and lock, and each statement of the embedded engine."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(plans.one_day(subject)))
    plan = plans.fill_embedded(subject)
    points = share_of(plan, seed)
    for number, point in enumerate(points):
        with a_round(tmp_path, number, monkeypatch) as folder:
            what = check_boundary(point, plan, folder, {})
            check_journal(folder, 1, what)
    campaign.tell(
        AREA,
        "`champion fill`, embedded warehouse: SIGKILL before and after each single write, sync, rename, removal and "
        "lock (of payload, receipt, tables, rejects, lake file, marker, journal, ledger) and statement of the engine"
        + subject.words,
        COMPLETED,
        count=len(points),
    )


@subjects.rounds(fast=1, full=FULL, others=(1, FULL_OF_OTHERS))
def test_a_fill_is_completed_after_a_kill_around_any_request_to_a_server(
    subject: Subject,
    seed: int,
    *,
    tmp_path: Path,
    plans: Plans,
    shared_server: ClickHouseServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before a request is sent, before its answer is read: the insert too, which then is stored and not known of."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(plans.one_day(subject)))
    plan = plans.fill_on_server(subject)
    # Where the other data set has no kill of an embedded fill, it is killed at any point here.
    points = share_of(plan, seed, "a server" if campaign.IS_WHOLE or subject is SHARES else "")
    for number, point in enumerate(points):
        market = on_server(shared_server, monkeypatch, subject)
        with a_round(tmp_path, number, monkeypatch) as folder, market as look_at_view:
            what = check_boundary(point, plan, folder, {"view": look_at_view})
            check_journal(folder, 1, what)
    campaign.tell(
        AREA,
        "`champion fill`, ClickHouse server: SIGKILL before each request is sent and before an answer is read"
        + subject.words,
        COMPLETED,
        count=len(points),
    )


@subjects.rounds(fast=1, full=FULL, others=(0, FULL_OF_OTHERS))
def test_a_refresh_is_completed_after_a_kill_at_any_boundary(
    subject: Subject,
    seed: int,
    *,
    tmp_path: Path,
    plans: Plans,
    shared_server: ClickHouseServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Readers see the day as it was, then as it was published anew, never a mixture, and never back again."""
    plan = plans.refresh(subject)
    points = share_of(plan, seed)
    for number, point in enumerate(points):
        market = on_server(shared_server, monkeypatch, subject)
        with a_round(tmp_path, number, monkeypatch) as folder, market as look_at_view:
            monkeypatch.setenv("NSE_ARCHIVE_URL", str(plans.one_day(subject)))
            load(subject, FIRST)
            monkeypatch.setenv("NSE_ARCHIVE_URL", str(plans.restated(subject)))
            check_boundary(point, plan, folder, {"view": look_at_view})
    campaign.tell(
        AREA,
        "`champion refresh` of a restated day, ClickHouse server: SIGKILL before and after each single write, sync, "
        "rename and removal (of kept and new payload, receipts, due note, tables, lake file, marker) and request"
        + subject.words,
        "readers saw the day as it was, then as it is, each whole; " + COMPLETED,
        count=len(points),
    )
