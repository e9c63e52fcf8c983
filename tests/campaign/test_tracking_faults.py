"""What MLflow is told when processes are killed and MLflow is down: all of it, once, and the work goes on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import campaign
import pytest
from click.testing import CliRunner, Result
from helpers import (
    LEGACY_DAY,
    UDIFF_DAY,
    ThreeDays,
    lines_of,
    payload,
    publish,
    retry_at_once,
    run_luigi,
    start_champion,
    start_luigi,
    wait_for,
)
from mlflow_server import (
    Gateway,
    MlflowServer,
    carriers,
    carry,
    client,
    days_table,
    empty_store,
    kill_carriers,
    metrics_once,
    steps_once,
    told,
)
from simulated_server import Fault, SimulatedArchive

from champion_luigi import run_day
from champion_luigi.base import locks
from champion_luigi.commands.cli import main
from champion_luigi.config import settings
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import lake
from champion_luigi.tracking import journal, mlflow_store, record
from champion_luigi.tracking.carrier import Carrier
from champion_luigi.tracking.job import LEFT
from champion_luigi.tracking.runs import Runs

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = [
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

DAY = LEGACY_DAY
COMMAND = ("WriteParquet", "--date", str(DAY))
FILL_DAYS = [date(2024, 1, day) for day in (1, 2, 3, 4, 5, 8)]
RANGE = ("--start", "2024-01-01", "--stop", "2024-01-09")
LAKE = ("--of", "WriteParquet")
FILL = "bhavcopy-fill-2024-01-01-2024-01-08"
PASSWORD = "planted-pass-4711"
METRICS = {
    *(f"{stage}_duration_seconds" for stage in ("scrape", "parse", "normalize", "write", "flow")),
    *("raw_rows_parsed", "normalized_rows", "filtered_rows", "rows_written", "parquet_size_mb"),
    *(f"warning_{name}" for name in EQUITY.warning_names),
}


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def server(shared_server: MlflowServer) -> Iterator[MlflowServer]:
    """The module's server; it hangs no longer than its test."""
    yield shared_server
    shared_server.resume()


@pytest.fixture
def gateway(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """What the tracking address leads to; the server is behind it."""
    with Gateway(server.url) as running:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.url)
        yield running


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """An experiment of its own, by default in an empty store at the usual place; no carrier outlives its test."""
    retry_at_once(monkeypatch)
    for name in mlflow_store._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    # Some days of a fill are done while others are not.
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    empty_store(tmp_path / "mlflow" / "mlflow.db")
    yield
    kill_carriers(tmp_path)


@pytest.fixture
def with_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has a carrier of its own, as it has outside of tests."""
    monkeypatch.setenv("CHAMPION_TRACKING", "on")


carried = pytest.mark.usefixtures("with_carrier")


@contextlib.contextmanager
def at_work(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A command that was started; it ends at the latest here, and all that it has started but carriers."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def champion(*arguments: str) -> Result:
    """The `champion` command in this process."""
    return CliRunner().invoke(main, list(arguments))


@contextlib.contextmanager
def held(folder: Path, day: date = DAY) -> Iterator[Callable[[], None]]:
    """Let a command wait in a day's first task until what this yields is called."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(locks.locked(folder / "locks" / f"{day}.lock", "the day", 0))
        yield stack.close


def end_of(process: subprocess.Popen[str]) -> str:
    """The output of a command that ends by itself."""
    # It ends with the last process that could write to it.
    output, _ = process.communicate(timeout=90)
    return output


def records(folder: Path, **wanted: str) -> list[dict[str, Any]]:
    """The journal's records that have these values, oldest first."""
    found = journal.read(folder / "journal")
    return [each for each in found if all(str(each.get(name)) == value for name, value in wanted.items())]


def runs_any(folder: Path) -> bool:
    """Whether a process that journals is there, or a worker of one."""
    return any(locks.is_locked(presence) for presence in (folder / "journal" / "running").iterdir())


def statuses(runs: list[Run]) -> dict[str, str]:
    """MLflow's status of each run by name, each of which is there once."""
    found = {run.info.run_name: run.info.status for run in runs}
    assert len(found) == len(runs), sorted(run.info.run_name for run in runs)
    return found


def once(runs: list[Run], name: str) -> Run:
    [run] = [run for run in runs if run.info.run_name == name]
    return run


def check_day(day: date = DAY) -> None:
    """A day in the lake is told of once, with all its metrics."""
    run = once(told(), f"bhavcopy-etl-{day}")
    assert (run.info.status, run.data.params["status"]) == ("FINISHED", "success")
    assert metrics_once(settings.tracking_uri(), run).keys() == METRICS


def check_fill() -> None:
    """The whole fill is told of once: it, its days, and that they are its children."""
    runs = told()
    days = [f"bhavcopy-etl-{day}" for day in FILL_DAYS]
    assert statuses(runs) == dict.fromkeys([FILL, *days], "FINISHED")
    parent = once(runs, FILL)
    assert parent.data.metrics["days_done"] == len(FILL_DAYS)
    store = client(settings.tracking_uri())
    assert len(store.get_metric_history(parent.info.run_id, "flow_duration_seconds")) == 1
    for name in days:
        run = once(runs, name)
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert metrics_once(settings.tracking_uri(), run).keys() == METRICS


@pytest.fixture
def long_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fill counts as a long one: its days are steps of its run."""
    monkeypatch.setenv("CHAMPION_FILL_DAY_RUNS", "0")


def steps(days: Iterable[date]) -> set[int]:
    """The places of days in a series."""
    return {int(f"{day:%Y%m%d}") for day in days}


def check_long_fill() -> None:
    """The whole long fill arrives once: one run, with each point of each day once, and a table of all days."""
    [run] = told()
    assert (run.info.run_name, run.info.status, run.data.params["status"]) == (FILL, "FINISHED", "success")
    assert run.data.metrics["days_done"] == len(FILL_DAYS)
    store = client(settings.tracking_uri())
    assert len(store.get_metric_history(run.info.run_id, "flow_duration_seconds")) == 1
    series = steps_once(settings.tracking_uri(), run)
    assert series.keys() <= METRICS
    for name in METRICS:
        if not name.startswith("warning_"):
            assert series[name].keys() == steps(FILL_DAYS), name
    table = days_table(settings.tracking_uri(), run)
    assert {day: line["status"] for day, line in table.items()} == {str(day): "success" for day in FILL_DAYS}
    for name, points in series.items():
        assert points.items() <= {int(day.replace("-", "")): float(line[name]) for day, line in table.items()}.items()
    assert "days_table" not in run.data.tags


def killed(runs: list[Run]) -> list[str]:
    """The runs that are killed, in MLflow's words and in ours."""
    names = [run.info.run_name for run in runs if run.info.status == "KILLED"]
    assert names == [run.info.run_name for run in runs if run.data.params.get("status") == "killed"]
    return sorted(names)


def undelivered(output: str) -> int:
    """How many records the command says it leaves."""
    found = re.search(r"(\d+) records? (?:has|have) not reached MLflow", output)
    assert found, output
    return int(found[1])


# The pipeline is killed


def test_a_day_whose_worker_was_killed_has_failed(archive: SimulatedArchive, tmp_path: Path) -> None:
    """The command saw it, as the worker could not, and says how the worker ended."""
    archive.faults[DAY] = Fault("hanging")
    with at_work(start_luigi(*COMMAND, "--workers", "2")) as process:
        wait_for(lambda: len(archive.requests) == 1, "the fetch to begin")
        [start] = records(tmp_path, event="start")
        os.kill(start["pid"], signal.SIGKILL)
        assert "exit code -9" in end_of(process)
    [failure] = records(tmp_path, event="process_failure", task="ScrapeBhavcopy")
    assert failure["pid"] == process.pid
    carry()
    [run] = told()
    assert (run.info.status, run.data.params["status"]) == ("FAILED", "failed")
    assert "exit code -9" in run.data.params["error"]


def test_a_day_whose_task_took_too_long_has_failed(archive: SimulatedArchive, tmp_path: Path) -> None:
    """By Luigi's limit for a task, which asks nothing more; the error says so, and not that somebody ended it."""
    archive.faults[DAY] = Fault("hanging")
    done = run_luigi(*COMMAND, "--worker-timeout", "1", CHAMPION_READ_SECONDS="3")
    assert done.returncode == 30, done.stderr
    assert records(tmp_path, event="timeout", task="ScrapeBhavcopy") != []
    assert len(archive.requests) == 1
    carry()
    [run] = told()
    assert (run.info.status, run.data.params["status"]) == ("FAILED", "failed")
    assert "timed out" in run.data.params["error"]


@pytest.mark.torture
def test_a_command_that_was_killed_is_told_of_by_the_next_one(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As KILLED, by the next command that has something to do."""
    archive.faults[DAY] = Fault("hanging")
    with at_work(start_luigi(*COMMAND)) as process:
        wait_for(lambda: len(archive.requests) == 1, "the fetch to begin")
        process.kill()
        process.wait(60)
    assert told() == []
    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    done = run_luigi("WriteParquet", "--date", str(UDIFF_DAY))
    assert done.returncode == 0, done.stderr
    assert statuses(told()) == {f"bhavcopy-etl-{DAY}": "KILLED", f"bhavcopy-etl-{UDIFF_DAY}": "FINISHED"}
    [run] = [run for run in told() if run.info.status == "KILLED"]
    assert run.data.params["status"] == "killed"
    assert "error" in run.data.params


def test_all_days_that_a_killed_command_was_at_are_told_of(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Parent and workers are gone without a word; `champion track flush` tells of each day."""
    archive.faults.update(dict.fromkeys(ThreeDays.DAYS, Fault("hanging")))
    with at_work(start_luigi("ThreeDays", "--workers", "3", module="helpers")) as process:
        wait_for(lambda: len(archive.requests) == 3, "the fetches to begin")
        os.killpg(process.pid, signal.SIGKILL)
        wait_for(lambda: not runs_any(tmp_path), "the last worker to be gone")
    flush = champion("track", "flush")
    assert flush.exit_code == 0, flush.output
    assert killed(told()) == sorted(f"bhavcopy-etl-{day}" for day in ThreeDays.DAYS)
    assert carry() == 0


@carried
def test_a_fill_that_is_killed_is_told_of_by_its_own_carrier(archive: SimulatedArchive, tmp_path: Path) -> None:
    """It is RUNNING while it is at work, and KILLED then, as are the days in hand; what was done is FINISHED."""
    archive.faults.update(dict.fromkeys(FILL_DAYS[2:], Fault("hanging")))
    done = {f"bhavcopy-etl-{day}": "FINISHED" for day in FILL_DAYS[:2]}
    with at_work(start_champion("fill", *RANGE, *LAKE, "--workers", "2")) as process:
        wait_for(lambda: statuses(told()) == {FILL: "RUNNING", **done}, "the fill to be at it")
        wait_for(lambda: len(archive.requests) == 4, "the fetches to begin")
        process.kill()
        process.wait(60)
        in_hand = {f"bhavcopy-etl-{each['date']}" for each in records(tmp_path, event="start")} - done.keys()
        assert len(in_hand) == 2
        wait_for(lambda: not carriers(tmp_path), "the carrier to end")
    assert statuses(told()) == {FILL: "KILLED", **done, **dict.fromkeys(in_hand, "KILLED")}
    runs = told()
    parent = once(runs, FILL)
    assert parent.data.params["status"] == "killed"
    assert parent.info.end_time >= max(run.info.end_time for run in runs)
    for name in {**done, **dict.fromkeys(in_hand)}:
        assert once(runs, name).data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert carry() == 0


@pytest.mark.usefixtures("with_carrier", "long_fills")
def test_a_long_fill_that_is_killed_has_the_days_that_were_done(archive: SimulatedArchive, tmp_path: Path) -> None:
    """As steps and in its table; the days in hand have runs of their own, KILLED, below it."""
    archive.faults.update(dict.fromkeys(FILL_DAYS[2:], Fault("hanging")))
    with at_work(start_champion("fill", *RANGE, *LAKE, "--workers", "2")) as process:
        wait_for(lambda: statuses(told()) == {FILL: "RUNNING"}, "the fill to be at it")
        wait_for(lambda: len(archive.requests) == 4, "the fetches to begin")
        process.kill()
        process.wait(60)
        in_hand = {each["date"] for each in records(tmp_path, event="start")} - set(map(str, FILL_DAYS[:2]))
        assert len(in_hand) == 2
        wait_for(lambda: not carriers(tmp_path), "the carrier to end")
    runs = told()
    names = [f"bhavcopy-etl-{day}" for day in in_hand]
    assert statuses(runs) == dict.fromkeys([FILL, *names], "KILLED")
    parent = once(runs, FILL)
    assert [once(runs, name).data.tags["mlflow.parentRunId"] for name in names] == [parent.info.run_id] * 2
    series = steps_once(settings.tracking_uri(), parent)
    assert {frozenset(points) for points in series.values()} == {frozenset(steps(FILL_DAYS[:2]))}
    table = days_table(settings.tracking_uri(), parent)
    done = dict.fromkeys(map(str, FILL_DAYS[:2]), "success")
    assert {day: line["status"] for day, line in table.items()} == done | dict.fromkeys(in_hand, "killed")
    assert carry() == 0


@pytest.mark.faults
@pytest.mark.parametrize(("name", "workers"), campaign.few([(signal.SIGINT, "3"), (signal.SIGTERM, "1")]))
@carried
@pytest.mark.usefixtures("unmeasured")
def test_a_command_that_is_told_to_end_is_killed(archive: SimulatedArchive, name: signal.Signals, workers: str) -> None:
    """It has said so to MLflow by the time that it has ended, of every day that it was at."""
    days = ThreeDays.DAYS if workers == "3" else ThreeDays.DAYS[:1]
    archive.faults.update(dict.fromkeys(ThreeDays.DAYS, Fault("hanging")))
    with at_work(start_luigi("ThreeDays", "--workers", workers, module="helpers")) as process:
        wait_for(lambda: len(archive.requests) == len(days), "the fetches to begin")
        process.send_signal(name)
        end_of(process)
        assert process.returncode != 0
    assert killed(told()) == sorted(f"bhavcopy-etl-{day}" for day in days)
    assert len(told()) == len(days)


@pytest.mark.faults
@pytest.mark.parametrize("command", campaign.few(["luigi with 2 workers", "champion"]))
@pytest.mark.usefixtures("unmeasured")
def test_a_fill_that_is_told_to_end_is_killed(archive: SimulatedArchive, command: str) -> None:
    """The fill and the days in hand; those that were done are FINISHED."""
    archive.faults.update(dict.fromkeys(FILL_DAYS[2:], Fault("hanging")))
    arguments = (*RANGE, *LAKE, "--workers", "2")
    process = start_champion("fill", *arguments) if command == "champion" else start_luigi("FillBhavcopy", *arguments)
    with at_work(process):
        wait_for(lambda: len(archive.requests) == 4, "the fill to be at it")
        process.send_signal(signal.SIGINT)
        end_of(process)
        assert process.returncode != 0
    carry()
    runs = told()
    assert killed(runs) == [f"bhavcopy-etl-{FILL_DAYS[2]}", f"bhavcopy-etl-{FILL_DAYS[3]}", FILL]
    assert "RUNNING" not in statuses(runs).values()
    assert len(runs) == 5


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "tgkill"), reason="no way to send a signal to another's thread")
@pytest.mark.usefixtures("unmeasured")
def test_a_fill_is_told_to_end_by_whichever_thread_gets_the_signal(archive: SimulatedArchive) -> None:
    """The system gives it to any of them, mostly but not always to the main one."""
    archive.faults.update(dict.fromkeys(FILL_DAYS[2:], Fault("hanging")))
    with at_work(start_champion("fill", *RANGE, *LAKE, "--workers", "2")) as process:
        wait_for(lambda: len(archive.requests) == 4, "the fill to be at it")
        thread = next(int(each.name) for each in Path(f"/proc/{process.pid}/task").iterdir() if takes_sigint(each))
        assert thread != process.pid
        ctypes.CDLL(None).tgkill(process.pid, thread, signal.SIGINT)
        process.wait(30)
        assert process.returncode != 0
    carry()
    assert killed(told()) == [f"bhavcopy-etl-{FILL_DAYS[2]}", f"bhavcopy-etl-{FILL_DAYS[3]}", FILL]


def takes_sigint(thread: Path) -> bool:
    """Whether a thread (its folder in /proc) is none of the main ones and does not block the signal."""
    blocked = next(line for line in (thread / "status").read_text().splitlines() if line.startswith("SigBlk"))
    return thread.name != thread.parents[1].name and not int(blocked.split()[1], 16) & 1 << signal.SIGINT - 1


@pytest.fixture
def endless_mlflow(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A carrier gets no further than the import of MLflow."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "mlflow.py").write_text("import time\ntime.sleep(3600)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


@pytest.mark.usefixtures("with_carrier", "endless_mlflow")
@pytest.mark.usefixtures("unmeasured")
def test_a_fill_that_is_told_to_end_begins_nothing_while_it_waits_for_mlflow(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that the command gives to MLflow is not for more days."""
    archive.faults.update(dict.fromkeys(FILL_DAYS[2:], Fault("slow", delay=1.5)))
    monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "3")
    with at_work(start_champion("fill", *RANGE, *LAKE, "--workers", "2")) as process:
        wait_for(lambda: len(archive.requests) == 4, "the fill to be at it")
        process.send_signal(signal.SIGINT)
        end_of(process)
        assert process.returncode != 0
    assert len(archive.requests) == 4
    events = [each["event"] for each in records(tmp_path)]
    assert events[events.index("fill_end") :] == ["fill_end", "end", "end"]


@pytest.mark.usefixtures("unmeasured")
def test_a_day_of_a_fill_that_is_ended_between_two_tasks_is_killed(archive: SimulatedArchive) -> None:
    """Its last task could end in good order, but the day is not done."""
    archive.faults.update(dict.fromkeys(FILL_DAYS[2:], Fault("slow", delay=0.7)))
    with at_work(start_champion("fill", *RANGE, *LAKE, "--workers", "2")) as process:
        wait_for(lambda: len(archive.requests) == 4, "the fill to be at it")
        process.send_signal(signal.SIGINT)
        end_of(process)
        assert process.returncode != 0
    carry()
    runs = told()
    complete = {f"bhavcopy-etl-{day}" for day, _ in lake.days(settings.lake_dir(), EQUITY)}
    assert complete < statuses(runs).keys() - {FILL}
    assert killed(runs) == sorted({FILL} | statuses(runs).keys() - complete)


@pytest.mark.usefixtures("unmeasured")
def test_days_that_wait_for_the_warehouse_are_killed_with_their_command(tmp_path: Path) -> None:
    """No task of theirs runs at that moment, but they are not done."""
    with (
        locks.locked(tmp_path / "warehouse.lock", "the warehouse", 0),
        at_work(start_luigi("ThreeDays", "--workers", "3", module="helpers")) as process,
    ):
        wait_for(lambda: len(records(tmp_path, event="success", task="WriteParquet")) == 3, "the lake")
        wait_for(lambda: len(records(tmp_path, event="start", task="LoadClickHouse")) == 1, "the load to begin")
        process.send_signal(signal.SIGTERM)
        end_of(process)
        assert process.returncode != 0
    carry()
    assert killed(told()) == sorted(f"bhavcopy-etl-{day}" for day in ThreeDays.DAYS)


# The carrier is killed


@pytest.mark.faults
@pytest.mark.parametrize(
    ("when", "path"),
    campaign.few(
        [
            ("after", "/runs/create"),
            ("before", "/runs/create"),
            ("after", "/runs/log-batch"),
            ("after", "/runs/update"),
        ]
    ),
)
@carried
def test_a_carrier_that_is_killed_leaves_nothing_twice(gateway: Gateway, tmp_path: Path, when: str, path: str) -> None:
    """At whichever request: the work is done, and the next carrier completes what the first one began."""
    victims: list[int] = []

    def kill(asked: str) -> bool:
        if not asked.endswith(path) or victims:
            return False
        victims.extend(carriers(tmp_path))
        kill_carriers(tmp_path)
        return True

    setattr(gateway, when, kill)
    done = run_luigi(*COMMAND)
    assert done.returncode == 0, done.stderr
    assert len(victims) == 1
    carry()
    check_day()
    assert len(told()) == 1
    assert carry() == 0


@carried
def test_a_carrier_that_is_killed_while_the_command_works_is_replaced(tmp_path: Path) -> None:
    """The command itself sees to it, at its end at the latest: nothing is left to do for a person."""
    with held(tmp_path) as release, at_work(start_luigi(*COMMAND)) as process:
        wait_for((tmp_path / "journal" / "carrier.lock").exists, "the carrier")
        [victim] = carriers(tmp_path)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: not carriers(tmp_path), "the carrier to be gone")
        release()
        output = end_of(process)
    assert process.returncode == 0, output
    assert "have not reached MLflow" not in output
    check_day()
    assert len(told()) == 1


@pytest.mark.faults
@pytest.mark.parametrize(
    ("when", "path", "number"),
    campaign.few(
        [
            ("after", "/runs/log-batch", 2),
            ("after", "/runs/create", 1),
            ("before", "/runs/log-batch", 1),
            ("before", "/days.csv", 1),
            ("after", "/days.csv", 1),
            ("after", "/runs/update", 1),
        ]
    ),
)
@pytest.mark.usefixtures("with_carrier", "long_fills")
def test_a_carrier_that_is_killed_leaves_nothing_of_a_long_fill_twice(
    gateway: Gateway, tmp_path: Path, when: str, path: str, number: int
) -> None:
    """At whichever request: no point and no line is lost, and none is told twice."""
    asked_before: list[str] = []

    def kill(asked: str) -> bool:
        asked_before.extend([asked] if asked.endswith(path) else [])
        if not asked.endswith(path) or len(asked_before) != number:
            return False
        kill_carriers(tmp_path)
        return True

    setattr(gateway, when, kill)
    with at_work(start_champion("fill", *RANGE, *LAKE)) as process:
        output = end_of(process)
    assert process.returncode == 0, output
    assert len(asked_before) >= number
    carry()
    check_long_fill()
    assert carry() == 0


@pytest.mark.torture
@carried
def test_a_carrier_that_is_killed_in_the_middle_of_a_fill_is_replaced(tmp_path: Path) -> None:
    """The fill, its days and their kinship are complete in the end, each told once."""
    done = dict.fromkeys((f"bhavcopy-etl-{day}" for day in FILL_DAYS[:-1]), "FINISHED")
    with held(tmp_path, FILL_DAYS[-1]) as release, at_work(start_champion("fill", *RANGE, *LAKE)) as process:
        wait_for(lambda: statuses(told()) == {FILL: "RUNNING", **done}, "the days that are done to be told of")
        kill_carriers(tmp_path)
        release()
        output = end_of(process)
    assert process.returncode == 0, output
    assert "have not reached MLflow" not in output
    check_fill()
    assert carry() == 0


# MLflow is down


@carried
def test_a_server_that_is_down_costs_a_command_no_more_than_its_bound(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It succeeds and says how many records stay; `champion track flush` says why, and brings them once it is up."""
    gateway.close()
    monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "1")
    done = run_luigi(*COMMAND)
    assert done.returncode == 0, done.stderr
    assert undelivered(done.stderr) == len(records(tmp_path))
    assert "champion track flush" in done.stderr
    assert str(tmp_path / "journal") in done.stderr
    kill_carriers(tmp_path)

    down = champion("track", "flush")
    assert down.exit_code != 0
    assert undelivered(down.output) == len(records(tmp_path))
    assert gateway.url in down.output
    assert "Connection refused" in down.output

    gateway.open()
    up = champion("track", "flush")
    assert up.exit_code == 0, up.output
    check_day()
    again = champion("track", "flush")
    assert (again.exit_code, again.output.split()[0]) == (0, "0")
    assert len(told()) == 1

    gateway.close()
    idle = champion("track", "flush")
    assert idle.exit_code != 0
    assert "MLflow cannot be used, and no record waits for it" in idle.output


@carried
def test_flush_tells_how_it_is_while_another_carrier_tries(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why nothing arrives, not that a carrier holds the journal; and once the server is up, success."""
    gateway.close()
    run_until_trouble(tmp_path, monkeypatch)
    assert carriers(tmp_path)
    down = champion("track", "flush")
    assert down.exit_code != 0
    assert "Connection refused" in down.output
    assert carriers(tmp_path)
    gateway.open()
    up = champion("track", "flush")
    assert up.exit_code == 0, up.output
    check_day()
    wait_for(lambda: not carriers(tmp_path), "the carrier to end")
    assert len(told()) == 1


def test_what_an_outage_left_goes_out_with_the_next_command(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill among it, with its days as its children."""
    gateway.close()
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    assert Carrier(record.job()).run() == LEFT
    gateway.open()
    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    done = run_luigi(*COMMAND)
    assert done.returncode == 0, done.stderr
    assert "have not reached MLflow" not in done.stderr
    check_day()
    client(settings.tracking_uri()).delete_run(once(told(), f"bhavcopy-etl-{DAY}").info.run_id)
    check_fill()


@pytest.mark.usefixtures("long_fills")
def test_what_an_outage_left_of_a_long_fill_goes_out_with_the_next_flush(gateway: Gateway) -> None:
    """All of it, once; and again, if the note of it is lost."""
    gateway.close()
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    assert Carrier(record.job()).run() == LEFT
    gateway.open()
    flush = champion("track", "flush")
    assert flush.exit_code == 0, flush.output
    check_long_fill()
    (settings.data_dir() / "journal" / "delivered.json").unlink()
    carry()
    check_long_fill()


@pytest.mark.faults
@pytest.mark.parametrize("since", campaign.few(["/runs/create", "/runs/update", "the beginning"]))
@carried
def test_a_server_that_hangs_gets_everything_once(
    gateway: Gateway, server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    """The command ends within its bound; when the server goes on, with what it was asked before, nothing is doubled."""
    hanging = threading.Event()

    def hang(path: str) -> bool:
        if path.endswith(since) and not hanging.is_set():
            hanging.set()
            server.suspend()
        return False

    monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    if since == "the beginning":
        server.suspend()
        hanging.set()
    gateway.before = hang
    done = run_luigi(*COMMAND)
    assert done.returncode == 0, done.stderr
    assert undelivered(done.stderr) == len(records(tmp_path))
    assert hanging.wait(60)
    wait_for(lambda: bool(journal.delivery(tmp_path / "journal").trouble), "the carrier's trouble")
    assert "timed out" in journal.delivery(tmp_path / "journal").trouble
    server.resume()
    wait_for(lambda: not carriers(tmp_path), "the carrier to end")
    check_day()
    assert len(told()) == 1
    assert carry() == 0


def test_a_request_that_comes_late_doubles_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may still do what the carrier has given up waiting for: once it has made the run anew, say."""
    first: list[threading.Thread] = []
    again, done = threading.Event(), threading.Event()

    def hold_the_first(path: str) -> bool:
        if path.endswith("/runs/create") and not first:
            first.append(threading.current_thread())
            again.wait(60)
        return False

    def let_it_go(path: str) -> bool:
        if path.endswith("/runs/create") and threading.current_thread() in first:
            done.set()
        elif path.endswith("/runs/create"):
            again.set()
            done.wait(60)
        return False

    gateway.before, gateway.after = hold_the_first, let_it_go
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    run_day(DAY, load_to_clickhouse=False)
    assert Carrier(record.job()).run() == LEFT
    carry()
    assert done.is_set()
    check_day()
    assert len(told()) == 1


@pytest.mark.parametrize("path", ["/experiments/create", "/runs/create", "/runs/log-batch", "/runs/update"])
def test_an_answer_that_is_lost_doubles_nothing(gateway: Gateway, path: str) -> None:
    """What was done all the same is found by the next carrier."""
    lost: list[str] = []
    run_day(DAY, load_to_clickhouse=False)
    gateway.after = lambda asked: asked.endswith(path) and not lost and not lost.append(asked)  # type: ignore[func-returns-value]
    assert Carrier(record.job()).run() == LEFT
    assert len(lost) == 1
    carry()
    check_day()
    assert len(told()) == 1


@pytest.mark.torture
@carried
def test_lost_answers_in_the_middle_of_a_fill_double_nothing(gateway: Gateway) -> None:
    """The same carrier goes on: each run is there once, and the days are children of the one fill."""
    lost: list[str] = []

    def lose(path: str) -> bool:
        if not path.endswith(("/runs/create", "/runs/update")):
            return False
        lost.append(path)
        return len(lost) in (1, 3, 4, 8)

    gateway.after = lose
    with at_work(start_champion("fill", *RANGE, *LAKE)) as process:
        output = end_of(process)
    assert process.returncode == 0, output
    assert "have not reached MLflow" not in output
    assert len(lost) > 8
    check_fill()


@pytest.mark.faults
@pytest.mark.parametrize(
    "path", campaign.few(["/runs/log-batch", "/days.csv", "/runs/create", "/runs/update", "/experiments/create"])
)
@pytest.mark.usefixtures("long_fills")
def test_an_answer_about_a_long_fill_that_is_lost_doubles_nothing(gateway: Gateway, path: str) -> None:
    """What was done all the same is found by the next carrier, or by this one."""
    lost: list[str] = []
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    gateway.after = lambda asked: asked.endswith(path) and not lost and not lost.append(asked)  # type: ignore[func-returns-value]
    Carrier(record.job()).run()
    assert len(lost) == 1
    carry()
    check_long_fill()


@pytest.mark.usefixtures("long_fills")
def test_a_long_fill_that_comes_late_takes_the_place_of_none(
    gateway: Gateway, archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that has its days stays, and the other one goes, whichever MLflow names first."""
    from mlflow.exceptions import MlflowException

    archive.faults[FILL_DAYS[1]] = Fault("wrong_header")
    assert champion("fill", *RANGE, *LAKE).exit_code == 30
    # Threads, not their numbers: a later thread can have the number of one that has ended.
    made: list[threading.Thread] = []
    again, done = threading.Event(), threading.Event()

    def hold_the_first(path: str) -> bool:
        if path.endswith("/runs/create"):
            made.append(threading.current_thread())
            if len(made) == 1:
                again.wait(60)
        return False

    def lose_the_third(path: str) -> bool:
        if path.endswith("/runs/create"):
            if threading.current_thread() is made[0]:
                done.set()
            elif len(made) == 2:
                again.set()
                done.wait(60)
            else:
                return len(made) == 3
        return False

    gateway.before, gateway.after = hold_the_first, lose_the_third
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    book, job, failures = Runs(), record.job(), 0
    for place, each in journal.read_from(job.folder, {}):
        book.add(place, each)
    tracker = mlflow_store.Tracker(job.uri, job.experiment, None)
    while runs_left := list(book.tell([])):
        try:
            tracker.deliver(runs_left, book.delivered)
        except MlflowException:
            failures += 1
            assert failures < 9
    tracker.settle()
    assert (failures, len(made)) == (2, 3)
    runs = told()
    assert statuses(runs) == {FILL: "FAILED", f"bhavcopy-etl-{FILL_DAYS[1]}": "FAILED"}
    series = steps_once(settings.tracking_uri(), once(runs, FILL))
    assert series["rows_written"].keys() == steps({*FILL_DAYS} - {FILL_DAYS[1]})


@pytest.mark.torture
@pytest.mark.usefixtures("with_carrier", "long_fills")
def test_lost_answers_in_the_middle_of_a_long_fill_double_nothing(gateway: Gateway) -> None:
    """The same carrier goes on."""
    asked: list[str] = []

    def lose(path: str) -> bool:
        if not path.endswith(("/runs/create", "/runs/log-batch", "/runs/update", "/days.csv")):
            return False
        asked.append(path)
        return len(asked) % 2 == 1 and len(asked) < 8

    gateway.after = lose
    with at_work(start_champion("fill", *RANGE, *LAKE)) as process:
        output = end_of(process)
    assert process.returncode == 0, output
    assert "have not reached MLflow" not in output
    assert len(asked) >= 4
    check_long_fill()


@pytest.mark.usefixtures("long_fills")
def test_a_store_of_files_that_refuses_keeps_no_metric_back(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another than MLflow's own: the run has all but the table, and a tag has the reason, without secrets."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    refused: list[str] = []

    def refuse(path: str) -> bool:
        is_file = path.endswith("/days.csv")
        gateway.status = 403 if is_file else None
        gateway.reason = f"no bucket for {PASSWORD}"
        refused.extend([path] if is_file else [])
        return False

    gateway.before = refuse
    carry()
    assert refused
    [run] = told()
    assert (run.info.run_name, run.info.status) == (FILL, "FINISHED")
    assert steps_once(settings.tracking_uri(), run)["rows_written"].keys() == steps(FILL_DAYS)
    assert "no bucket for ***" in run.data.tags["days_table"]
    assert carry() == 0


@pytest.mark.usefixtures("long_fills")
def test_no_table_goes_to_a_folder_of_the_servers_machine(
    server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's client would make that folder here, where nobody looks for it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    client(server.url).create_experiment(settings.get("mlflow_experiment_name"), "/of-another-machine/artifacts/1")
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    carry()
    [run] = told()
    assert (run.info.status, run.data.metrics["days_done"]) == ("FINISHED", len(FILL_DAYS))
    assert "/of-another-machine" in run.data.tags["days_table"]
    assert not Path("/of-another-machine").exists()


@pytest.mark.faults
@pytest.mark.parametrize("status", campaign.few([500, 403]))
@carried
def test_a_server_that_refuses_is_said_to_and_fails_nothing(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The command succeeds and says what the server answered; once it takes records, they arrive."""
    gateway.status = status
    output = run_until_trouble(tmp_path, monkeypatch)
    assert str(status) in output
    gateway.status = None
    wait_for(lambda: not carriers(tmp_path), "the carrier to have told all")
    check_day()
    assert len(told()) == 1


@pytest.mark.parametrize("kind", ["a folder that cannot be", "a folder that is a file", "a file that is no database"])
def test_a_store_that_cannot_be_written_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """`champion track flush` says why, and how much it leaves; once the store is mended, the records go out."""
    (tmp_path / "file").write_text("no database, whatever its name says" * 100)
    store = {
        "a folder that cannot be": Path("/proc/nope/mlflow.db"),
        "a folder that is a file": tmp_path / "file" / "mlflow.db",
        "a file that is no database": tmp_path / "file",
    }[kind]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    run_day(DAY, load_to_clickhouse=False)
    flush = champion("track", "flush")
    assert flush.exit_code != 0
    said = "unable to open database|not a database|No such file|Not a directory|File exists"
    assert re.search(said, flush.output), flush.output
    assert undelivered(flush.output) == len(records(tmp_path))

    if kind == "a file that is no database":
        empty_store(store)
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    carry()
    check_day()


def run_until_trouble(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command whose day ends when its carrier has met with trouble; what it says, its success being checked."""
    monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "0.1")
    with held(folder) as release, at_work(start_luigi(*COMMAND)) as process:
        wait_for(lambda: bool(journal.delivery(folder / "journal").trouble), "the carrier's trouble")
        release()
        output = end_of(process)
    assert process.returncode == 0, output
    assert undelivered(output) == len(records(folder))
    return output


def test_an_experiment_that_was_deleted_is_named(gateway: Gateway) -> None:
    """MLflow takes nothing for it until somebody restores it; then all arrives."""
    store = client(settings.tracking_uri())
    experiment = store.create_experiment(settings.get("mlflow_experiment_name"))
    store.delete_experiment(experiment)
    run_day(DAY, load_to_clickhouse=False)
    flush = champion("track", "flush")
    assert flush.exit_code != 0
    assert re.search("deleted|active", flush.output)
    store.restore_experiment(experiment)
    assert champion("track", "flush").exit_code == 0
    check_day()


@carried
def test_without_mlflow_a_command_does_its_work(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is missing, and does not wait for it; the records stay until it is there."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "mlflow.py").write_text("raise ModuleNotFoundError(\"No module named 'mlflow'\", name='mlflow')\n")
    done = run_luigi(*COMMAND, PYTHONPATH=str(folder), CHAMPION_TRACKING_WAIT="3600")
    assert done.returncode == 0, done.stderr
    assert undelivered(done.stderr) == len(records(tmp_path))
    assert "No module named 'mlflow'" in done.stderr
    carry()
    check_day()


@carried
def test_a_carrier_that_cannot_be_started_loses_no_record(tmp_path: Path) -> None:
    """The journal is the pipeline's own: it has the day, and a flush brings it to MLflow."""
    (tmp_path / "journal" / "carrier.log").mkdir(parents=True)
    done = run_luigi(*COMMAND)
    assert done.returncode == 0, done.stderr
    assert "carrier.log" in done.stderr
    carry()
    check_day()


# The end of a command


@carried
def test_a_command_need_not_wait_for_mlflow(gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is by default, it ends before MLflow answers, and says so once; the records arrive by themselves."""
    ready = threading.Event()
    gateway.before = lambda _path: not ready.wait(60)
    monkeypatch.delenv("CHAMPION_TRACKING_WAIT")
    done = run_luigi(*COMMAND)
    assert done.returncode == 0, done.stderr
    said, *_, result = done.stderr.splitlines()
    assert said == "INFO: MLflow gets durations and counts in the background; `champion track flush` waits for that"
    assert result.startswith("INFO: WriteParquet ")
    ready.set()
    wait_for(lambda: not carriers(tmp_path), "the carrier to have told all")
    check_day()
    assert "MLflow" not in run_luigi("WriteParquet", "--date", str(UDIFF_DAY)).stderr


@carried
def test_the_end_of_a_commands_process_group_ends_no_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As cron and a closed terminal end it: the carrier has a session of its own."""
    monkeypatch.delenv("CHAMPION_TRACKING_WAIT")
    with at_work(start_luigi(*COMMAND)) as process:
        end_of(process)
        assert process.returncode == 0
    # Its group is killed by now.
    wait_for(lambda: not carriers(tmp_path), "the carrier to have told all")
    check_day()


@carried
def test_what_mlflow_did_not_take_is_said_by_the_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, at its beginning, with the reason; the command itself waits for nothing."""
    monkeypatch.delenv("CHAMPION_TRACKING_WAIT")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert run_luigi(*COMMAND).returncode == 0
    wait_for(lambda: bool(journal.delivery(tmp_path / "journal").trouble), "the carrier to give up")
    kill_carriers(tmp_path)
    said, *_, result = run_luigi("WriteParquet", "--date", str(UDIFF_DAY)).stderr.splitlines()
    assert said.startswith("WARNING: MLflow has not taken ")
    assert "records of earlier commands (" in said
    assert result.startswith("INFO: WriteParquet ")


@pytest.mark.usefixtures("with_carrier", "endless_mlflow")
@pytest.mark.usefixtures("unmeasured")
def test_ctrl_c_ends_the_waiting_for_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is done by then; the command says that the records stay."""
    monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "3600")
    with at_work(start_luigi(*COMMAND)) as process:
        assert process.stdout is not None
        assert any("waiting up to 3600 s for durations and counts" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        output = end_of(process)
    assert "no longer waiting for MLflow" in output
    assert "Traceback" not in output


# Several commands


@carried
def test_commands_at_the_same_time_are_told_of_once_each(tmp_path: Path) -> None:
    """One of them carries the records of both."""
    days = [LEGACY_DAY, UDIFF_DAY]
    with contextlib.ExitStack() as stack:
        commands = [stack.enter_context(at_work(start_luigi("WriteParquet", "--date", str(day)))) for day in days]
        for process in commands:
            output = end_of(process)
            assert process.returncode == 0, output
            assert "have not reached MLflow" not in output
    for day in days:
        check_day(day)
    assert len(told()) == len(days)
    assert len({run.data.tags["execution"] for run in told()}) == len(days)
    assert carry() == 0


@carried
@pytest.mark.usefixtures("unmeasured")
def test_a_short_command_does_not_wait_for_a_long_one(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Whose carrier carries its records: they have arrived when it ends, while the long one is still at it."""
    archive.faults[UDIFF_DAY] = Fault("hanging")
    with at_work(start_luigi("WriteParquet", "--date", str(UDIFF_DAY))) as long:
        wait_for((tmp_path / "journal" / "carrier.lock").exists, "the long command's carrier")
        done = run_luigi(*COMMAND, CHAMPION_TRACKING_WAIT="3600")
        assert done.returncode == 0, done.stderr
        check_day()
        assert len(told()) == 1
        assert long.poll() is None
        long.send_signal(signal.SIGTERM)
        end_of(long)
    assert statuses(told()) == {f"bhavcopy-etl-{DAY}": "FINISHED", f"bhavcopy-etl-{UDIFF_DAY}": "KILLED"}


@pytest.mark.usefixtures("unmeasured")
def test_flush_says_that_others_are_still_at_work(archive: SimulatedArchive, tmp_path: Path) -> None:
    """What they do is told when they end: until then it is no lie that nothing is left."""
    archive.faults[UDIFF_DAY] = Fault("hanging")
    with at_work(start_luigi("WriteParquet", "--date", str(UDIFF_DAY))) as long:
        wait_for(lambda: records(tmp_path, event="start") != [], "the command's first task")
        flushed = champion("track", "flush")
        assert (flushed.exit_code, flushed.output.split("; ")[-1]) == (0, "1 still running, reported when done.\n")
        long.send_signal(signal.SIGTERM)
        end_of(long)
    flushed = champion("track", "flush")
    assert flushed.output.startswith("1 run reported")
    assert flushed.output.endswith("; no records are left.\n")


@pytest.mark.torture
@carried
def test_a_short_command_does_not_wait_for_a_busy_one(tmp_path: Path) -> None:
    """A fill that journals all the time has its carrier tell of the short command too, and that one sees it."""
    many = ("--start", "2010-01-01", "--stop", "2024-01-01", "--workers", "1")
    with at_work(start_champion("fill", *many, *LAKE)) as long:
        wait_for(lambda: any("etl" in run.info.run_name for run in told()), "the fill's carrier to tell of days")
        done = run_luigi("WriteParquet", "--date", str(UDIFF_DAY), CHAMPION_TRACKING_WAIT="60")
        assert done.returncode == 0, done.stderr
        assert long.poll() is None
        store = client(settings.tracking_uri())
        experiment = store.get_experiment_by_name(settings.get("mlflow_experiment_name"))
        assert experiment is not None
        found = store.search_runs([experiment.experiment_id], f"params.trade_date = '{UDIFF_DAY}'")
        assert [run.info.status for run in found] == ["FINISHED"]
        assert "have not reached MLflow" not in done.stderr


# Secrets


@pytest.mark.torture
@carried
def test_no_secret_reaches_mlflow_the_disk_or_a_list_of_processes(
    gateway: Gateway,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither MLflow's passwords, while it is down and when it is up, nor the warehouse's, from an error's text."""
    folder = tmp_path_factory.mktemp("archive")
    header, *lines = lines_of(payload(UDIFF_DAY, "udiff"))
    publish(folder, UDIFF_DAY, "udiff", [header.replace("ClsPric", f"{PASSWORD}-clickhouse"), *lines])
    publish(folder, DAY, "legacy", lines_of(payload(DAY, "legacy")))
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", f"{PASSWORD}-clickhouse")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{PASSWORD}-mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gateway.url.replace("//", f"//reader:{PASSWORD}-url@"))
    gateway.close()
    outputs = []
    with held(tmp_path) as release, at_work(start_luigi(*COMMAND, "--log-level", "DEBUG")) as process:
        wait_for(lambda: bool(journal.delivery(tmp_path / "journal").trouble), "the carrier's trouble")
        [pid] = carriers(tmp_path)
        shown = Path(f"/proc/{pid}/cmdline").read_bytes()
        kill_carriers(tmp_path)
        release()
        monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "1")
        gateway.open()
        outputs.append(end_of(process))
    failed = run_luigi("WriteParquet", "--date", str(UDIFF_DAY), CHAMPION_TRACKING_WAIT="30")
    outputs.append(failed.stdout + failed.stderr)
    gateway.close()
    outputs.append(champion("track", "flush").output)
    gateway.open()
    outputs.append(champion("track", "flush").output)

    runs = told()
    assert statuses(runs) == {f"bhavcopy-etl-{DAY}": "FINISHED", f"bhavcopy-etl-{UDIFF_DAY}": "FAILED"}
    assert "***" in once(runs, f"bhavcopy-etl-{UDIFF_DAY}").data.params["error"]
    for run in runs:
        assert PASSWORD not in str([run.data.params, run.data.tags, run.info])
    for output in outputs:
        assert PASSWORD not in output
    assert PASSWORD.encode() not in shown
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
