"""What MLflow is told of days and fills, read back by MLflow's own client: from SQLite stores and a real server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browser
import campaign
import luigi
import pytest
from click.testing import CliRunner, Result
from helpers import (
    BOTH_DAY,
    HOLIDAY,
    LEGACY_DAY,
    UDIFF_DAY,
    ThreeDays,
    champion_command,
    hear,
    lines_of,
    payload,
    publish,
    published,
    retry_at_once,
    run_champion,
    run_luigi,
    start_luigi,
    start_python,
    tell,
    wait_for,
)
from mlflow_server import (
    MlflowServer,
    answers,
    carry,
    client,
    days_table,
    empty_store,
    free_port,
    kill_carriers,
    metrics_once,
    runs_in,
    steps_once,
    told,
)
from simulated_server import Fault, SimulatedArchive

from champion_luigi import ScrapeBhavcopy, WriteParquet, run_day
from champion_luigi.base import locks
from champion_luigi.base.durable import sha256
from champion_luigi.base.errors import ArchiveUnreachable, NotPublished, RejectedPayload, SettingsError
from champion_luigi.base.package import VERSION
from champion_luigi.commands.cli import main
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.tracking import journal, mlflow_store
from champion_luigi.tracking import record as recording

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = [
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

STAGES = ["scrape", "parse", "normalize", "write", "load"]
COUNTS = ["raw_rows_parsed", "normalized_rows", "filtered_rows", "rows_written", "rows_loaded"]
DURATIONS = [f"{stage}_duration_seconds" for stage in STAGES]
WARNINGS = [f"warning_{name}" for name in EQUITY.warning_names]
METRICS = {*DURATIONS, *COUNTS, *WARNINGS, "parquet_size_mb", "flow_duration_seconds"}
LOAD_METRICS = {"load_duration_seconds", "rows_loaded"}
TAGS = {
    "layout",
    "archive_file",
    "archive_sha256",
    "package_version",
    "host",
    "worker",
    "retries",
    "execution",
}
ROUNDING = 0.02  # records have milliseconds

FILL_DAYS = [date(2024, 1, day) for day in (1, 2, 3, 4, 5, 8)]
RANGE = ("--start", "2024-01-01", "--stop", "2024-01-09")
LAKE = ("--of", "WriteParquet")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """An experiment of its own, by default in an empty store at the usual place; no carrier outlives its test."""
    retry_at_once(monkeypatch)
    for name in mlflow_store._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    empty_store(tmp_path / "mlflow" / "mlflow.db")
    yield
    kill_carriers(tmp_path)


@pytest.fixture
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of store that the test is about."""
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("server").url)
    return str(request.param)


@pytest.fixture
def with_carrier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has a carrier of its own, as it has outside of tests."""
    monkeypatch.setenv("CHAMPION_TRACKING", "on")


carried = pytest.mark.usefixtures("with_carrier")


def champion(*arguments: str) -> Result:
    """The `champion` command in this process."""
    return CliRunner().invoke(main, list(arguments))


def uri() -> str:
    from champion_luigi.config import settings

    return settings.tracking_uri()


def in_store() -> list[Run]:
    """What MLflow has, once the journal is carried."""
    carry()
    return told()


def by_name(runs: list[Run]) -> dict[str, Run]:
    """The runs by what they are called, each of which is there once."""
    names = {run.info.run_name: run for run in runs}
    assert len(names) == len(runs), sorted(run.info.run_name for run in runs)
    return names


def of_day(day: date, runs: list[Run]) -> Run:
    return by_name(runs)[f"bhavcopy-etl-{day}"]


def milliseconds(record: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(record["time"]).timestamp() * 1000)


def records(folder: Path, **wanted: str) -> list[dict[str, Any]]:
    """The journal's records that have these values, oldest first."""
    found = journal.read(folder / "journal")
    return [each for each in found if all(str(each.get(name)) == value for name, value in wanted.items())]


def counts_of(day: date, layout: str) -> dict[str, float]:
    """The counts of a day, by the csv module alone."""
    rows = published(payload(day, layout), layout).values()
    known = [(high, low, close, isin) for _, high, low, close, *_, isin in rows]
    return {
        "raw_rows_parsed": len(rows),
        "normalized_rows": len(rows),
        "filtered_rows": 0,
        "rows_written": len(rows),
        "rows_loaded": len(rows),
        "warning_close_outside_low_high": sum(
            (low is not None and close < low) or (high is not None and close > high) for high, low, close, _ in known
        ),
        "warning_high_below_low": sum(high is not None and low is not None and high < low for high, low, _, _ in known),
        "warning_dummy_isin": sum(
            isin is not None and not re.fullmatch("[A-Z]{2}[A-Z0-9]{9}[0-9]", isin) for *_, isin in known
        ),
    }


def check_day(run: Run, day: date, layout: str) -> None:
    """A day that was loaded: all that is told of it, once, and its numbers as published."""
    assert (run.info.run_name, run.info.status) == (f"bhavcopy-etl-{day}", "FINISHED")
    metrics = metrics_once(uri(), run)
    assert metrics.keys() == METRICS
    truth = counts_of(day, layout)
    assert {name: metrics[name] for name in truth} == truth
    assert all(metrics[name] > 0 for name in DURATIONS)
    assert metrics["flow_duration_seconds"] == pytest.approx((run.info.end_time - run.info.start_time) / 1000)
    assert sum(metrics[name] for name in DURATIONS) <= metrics["flow_duration_seconds"] + ROUNDING
    size = WriteParquet(date=day).output().file.stat().st_size
    assert metrics["parquet_size_mb"] == pytest.approx(size / 1024 / 1024)
    assert run.data.params == {
        "trade_date": str(day),
        "load_to_clickhouse": "True",
        "clickhouse_table": "champion_market.normalized_equity_ohlc",
        "status": "success",
    }
    tags = run.data.tags
    assert tags.keys() >= TAGS
    assert tags["layout"] == layout
    assert tags["archive_sha256"] == sha256(payload(day, layout))
    assert tags["host"] == socket.gethostname()
    assert tags["package_version"] == VERSION
    assert tags["worker"].startswith("Worker(")
    assert tags["retries"] == "0"


# A day


@pytest.mark.faults
@pytest.mark.parametrize("store", campaign.few(["sqlite", "server"]), indirect=True)
@carried
def test_a_day_is_one_run(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the time that the command has ended: name, status, times, metrics, parameters and tags, all of them true."""
    if store == "sqlite":
        # The store, too, is made where there is none.
        (tmp_path / "mlflow" / "mlflow.db").unlink()
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    before = round(time.time() * 1000)
    done = run_luigi("LoadClickHouse", "--date", str(UDIFF_DAY))
    after = round(time.time() * 1000)
    assert done.returncode == 0, done.stderr
    assert "have not reached MLflow" not in done.stderr

    experiment = "nse-bhavcopy-pipeline" if store == "sqlite" else os.environ["MLFLOW_EXPERIMENT_NAME"]
    [run] = runs_in(uri(), experiment)
    check_day(run, UDIFF_DAY, "udiff")
    assert run.data.tags["archive_file"] == "BhavCopy_NSE_CM_0_0_0_20240709_F_0000.csv.zip"
    assert "mlflow.parentRunId" not in run.data.tags

    found = records(tmp_path, date=str(UDIFF_DAY))
    assert {run.data.tags["execution"]} == {each["execution"] for each in found}
    assert before <= run.info.start_time == milliseconds(found[0])
    assert milliseconds(found[-1]) == run.info.end_time <= after
    assert carry() == 0


def test_the_lake_alone_and_the_warehouse_later_are_two_runs() -> None:
    """The first one has no metric of a load, the second one no others, and both say which file it was."""
    run_day(LEGACY_DAY, load_to_clickhouse=False)
    [lake] = in_store()
    assert lake.info.status == "FINISHED"
    assert metrics_once(uri(), lake).keys() == METRICS - LOAD_METRICS
    assert lake.data.params == {
        "trade_date": str(LEGACY_DAY),
        "load_to_clickhouse": "False",
        "status": "success",
    }

    run_day(LEGACY_DAY)
    first, load = in_store()
    assert first.info.run_id == lake.info.run_id
    assert load.info.status == "FINISHED"
    assert metrics_once(uri(), load).keys() == LOAD_METRICS | {"flow_duration_seconds"}
    assert load.data.params["load_to_clickhouse"] == "True"
    assert load.data.params["clickhouse_table"] == "champion_market.normalized_equity_ohlc"
    assert load.data.tags["execution"] != lake.data.tags["execution"]
    for run in (lake, load):
        assert run.data.tags.keys() >= TAGS
        assert run.data.tags["layout"] == "legacy"
        assert run.data.tags["archive_file"] == "cm15JUN2023bhav.csv.zip"
        assert run.data.tags["archive_sha256"] == sha256(payload(LEGACY_DAY, "legacy"))


def test_rejected_rows_are_filtered_rows(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name that they had before; what is written and loaded is without them."""
    folder = tmp_path_factory.mktemp("archive")
    header, first, *lines = lines_of(payload(LEGACY_DAY, "legacy"))
    publish(folder, LEGACY_DAY, "legacy", [header, first.replace(",", ",,", 1), *lines])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    run_day(LEGACY_DAY)
    [run] = in_store()
    assert {name: run.data.metrics[name] for name in COUNTS} == {
        "raw_rows_parsed": len(lines) + 1,
        "filtered_rows": 1,
        "normalized_rows": len(lines),
        "rows_written": len(lines),
        "rows_loaded": len(lines),
    }


def test_a_holiday_is_no_run() -> None:
    """Nothing has failed, and nothing was done."""
    with pytest.raises(NotPublished):
        run_day(HOLIDAY)
    run_day(LEGACY_DAY)
    assert [run.info.run_name for run in in_store()] == [f"bhavcopy-etl-{LEGACY_DAY}"]


def test_a_day_that_fails_is_a_failed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the error as the task gave it, and no metric of what did not happen."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "/nowhere")
    with pytest.raises(SettingsError) as caught:
        run_day(LEGACY_DAY)
    [run] = in_store()
    assert (run.info.run_name, run.info.status) == (f"bhavcopy-etl-{LEGACY_DAY}", "FAILED")
    assert run.data.params["trade_date"] == str(LEGACY_DAY)
    assert run.data.params["load_to_clickhouse"] == "True"
    assert run.data.params["status"] == "failed"
    assert run.data.params["error"] == str(caught.value)
    assert metrics_once(uri(), run).keys() == {"flow_duration_seconds"}


def test_a_day_that_failed_and_was_completed_later_shows_both(archive: SimulatedArchive) -> None:
    """In one process too: two executions, the first one FAILED, the second one with all metrics."""
    archive.faults[LEGACY_DAY] = Fault("html")
    with pytest.raises(RejectedPayload):
        run_day(LEGACY_DAY)
    archive.faults.clear()
    run_day(LEGACY_DAY)
    failed, done = in_store()
    assert (failed.info.status, failed.data.params["status"]) == ("FAILED", "failed")
    assert "error" in failed.data.params
    check_day(done, LEGACY_DAY, "legacy")
    assert failed.info.end_time <= done.info.start_time
    assert failed.data.tags["execution"] != done.data.tags["execution"]


def test_what_was_asked_for_before_is_not_what_is_asked_for_now(archive: SimulatedArchive) -> None:
    """A call that leaves the warehouse out says so, after one in the same process that did not."""
    archive.faults[LEGACY_DAY] = Fault("html")
    with pytest.raises(RejectedPayload):
        run_day(LEGACY_DAY)
    archive.faults.clear()
    run_day(LEGACY_DAY, load_to_clickhouse=False)
    _, lake = in_store()
    assert (lake.info.status, lake.data.params["status"]) == ("FINISHED", "success")
    assert lake.data.params["load_to_clickhouse"] == "False"
    assert "clickhouse_table" not in lake.data.params


def test_retries_are_a_tag(archive: SimulatedArchive) -> None:
    """A flaky archive shows before it fails, and when it fails."""
    archive.faults[LEGACY_DAY] = Fault("unavailable", times=2)
    run_day(LEGACY_DAY, load_to_clickhouse=False)
    archive.faults[UDIFF_DAY] = Fault("unavailable")
    with pytest.raises(ArchiveUnreachable):
        run_day(UDIFF_DAY)
    done, failed = in_store()
    assert (done.info.status, done.data.tags["retries"]) == ("FINISHED", "2")
    assert (failed.info.status, failed.data.tags["retries"]) == ("FAILED", "2")


@pytest.mark.faults
@pytest.mark.parametrize("workers", campaign.few(["3", "1"]))
@carried
def test_several_days_of_a_command_are_a_run_each(workers: str) -> None:
    """Of one execution, each with all metrics, whichever process did what."""
    done = run_luigi("ThreeDays", "--workers", workers, module="helpers")
    assert done.returncode == 0, done.stderr
    runs = told()
    assert len(runs) == 3
    for day in ThreeDays.DAYS:
        check_day(of_day(day, runs), day, "udiff" if day == UDIFF_DAY else "legacy")
    assert len({run.data.tags["execution"] for run in runs}) == 1


def test_waiting_for_another_process_is_no_duration_of_a_task(tmp_path: Path) -> None:
    """The flow lasts as long as it lasts; the task is not blamed for it."""
    seconds = 1.0
    with locks.locked(tmp_path / "locks" / f"{LEGACY_DAY}.lock", "the day", 0):
        process = start_luigi("WriteParquet", "--date", str(LEGACY_DAY))
        wait_for(lambda: bool(records(tmp_path, event="start")), "the first task")
        time.sleep(seconds)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    [run] = in_store()
    metrics = run.data.metrics
    worked = sum(metrics[name] for name in DURATIONS if name in metrics)
    assert metrics["flow_duration_seconds"] >= worked + seconds - ROUNDING


@pytest.mark.faults
@pytest.mark.parametrize("store", campaign.few(["server", "sqlite"]), indirect=True)
def test_an_error_of_any_length_and_text_arrives(tmp_path: Path, store: str) -> None:
    """As much of it as MLflow takes, unchanged; the journal has all of it."""
    text = "<b>\"quotes\" & 'more'</b>\n\tनमस्ते, ₹ 1.500 \\ %s {}" + "x\u2028y" * 7000

    class Breaks(ScrapeBhavcopy):
        def work(self) -> None:
            raise RuntimeError(text)

    with recording.execution():
        luigi.build([Breaks(date=LEGACY_DAY)], local_scheduler=True, workers=1, log_level="CRITICAL")
    [run] = in_store()
    assert run.info.status == "FAILED"
    assert run.data.params["error"][:5000] == text[:5000]
    [failure] = records(tmp_path, event="failure")
    assert failure["error"] == text


def test_a_task_derived_from_ours_holds_nothing_up() -> None:
    """Whatever is told of it, the other days of the journal arrive."""

    class ScrapeElsewhere(ScrapeBhavcopy):
        pass

    with recording.execution():
        luigi.build([ScrapeElsewhere(date=BOTH_DAY)], local_scheduler=True, workers=1, log_level="ERROR")
    run_day(LEGACY_DAY)
    check_day(of_day(LEGACY_DAY, in_store()), LEGACY_DAY, "legacy")


# From Python


@carried
def test_a_process_that_lives_on_has_its_runs_told(tmp_path: Path) -> None:
    """A notebook's days arrive while it is open, the failed one and the good one."""
    program = f"""
from datetime import date, timedelta
from champion_luigi import run_day
from champion_luigi.config import settings
try:
    with settings.overridden({{"archive_url": "/nowhere"}}):
        run_day(date.fromisoformat("{HOLIDAY}") + timedelta(1))
except Exception as error:
    print(type(error).__name__, flush=True)
run_day(date.fromisoformat("{LEGACY_DAY}"))
print("done", flush=True)
input()
"""
    # It ends with its input, whatever becomes of the test.
    with start_python(program) as process:
        assert [hear(process), hear(process)] == ["SettingsError", "done"]
        wait_for(lambda: [run.info.status for run in told()] == ["FAILED", "FINISHED"], "both runs")
        check_day(of_day(LEGACY_DAY, told()), LEGACY_DAY, "legacy")
        assert process.poll() is None
        tell(process)
        assert process.wait(60) == 0
    assert len(told()) == 2


PROGRAMS = {
    "luigi.build": """
from datetime import date
import luigi
from champion_luigi import LoadClickHouse
luigi.build([LoadClickHouse(date=date(2023, 6, 15))], local_scheduler=True)
""",
    "run_day": """
from datetime import date
from champion_luigi import run_day
run_day(date(2023, 6, 15))
""",
    "champion fill": """
from champion_luigi.commands.cli import main
main(["fill", "--start", "2023-06-15", "--stop", "2023-06-16"])
""",
}


@pytest.mark.parametrize("program", list(PROGRAMS))
@carried
def test_a_pipeline_does_not_import_mlflow(
    program: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at its work nor at its end: the carrier does. What is imported here notes by whom."""
    folder = tmp_path_factory.mktemp("modules")
    note = f"import os, pathlib\npathlib.Path({str(folder)!r}, str(os.getpid())).touch()\n"
    (folder / "mlflow.py").write_text(note + "raise ModuleNotFoundError(\"No module named 'mlflow'\", name='mlflow')\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    process = start_python(PROGRAMS[program])
    process.communicate(timeout=60)
    assert process.returncode == 0
    importers = {path.name for path in folder.iterdir() if path.name.isdecimal()}
    assert importers
    assert str(process.pid) not in importers


# Nothing


def test_a_command_with_nothing_to_do_starts_no_carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No record, no process, no store of MLflow's: not by `luigi`, not by `champion fill`, not by `run_day`."""
    monkeypatch.setenv("CHAMPION_TRACKING", "off")
    run_day(FILL_DAYS[0])
    assert not (tmp_path / "journal").exists()
    shutil.rmtree(tmp_path / "mlflow")

    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    assert run_luigi("LoadClickHouse", "--date", str(FILL_DAYS[0])).returncode == 0
    assert champion("fill", "--start", str(FILL_DAYS[0]), "--stop", str(FILL_DAYS[1])).exit_code == 0
    run_day(FILL_DAYS[0])
    assert not (tmp_path / "journal").exists()
    assert not (tmp_path / "mlflow").exists()


def test_complete_tasks_are_not_told_of() -> None:
    """A second run of a day, and of a fill, tells nothing."""
    run_day(FILL_DAYS[0], load_to_clickhouse=False)
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    runs = in_store()
    run_day(FILL_DAYS[0], load_to_clickhouse=False)
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    assert carry() == 0
    assert [run.info.run_id for run in told()] == [run.info.run_id for run in runs]
    assert len(runs) == 1 + 1 + len(FILL_DAYS) - 1


# A fill


@pytest.mark.faults
@pytest.mark.parametrize("store", campaign.few(["server", "sqlite"]), indirect=True)
def test_a_fill_is_a_run_with_its_days_as_children(archive: SimulatedArchive, store: str, tmp_path: Path) -> None:
    """A failed day and an absent one among them; the parent has what was asked for, and what it came to."""
    archive.faults[FILL_DAYS[1]] = Fault("wrong_header")
    archive.faults[FILL_DAYS[2]] = Fault("not_found")
    done = champion("fill", *RANGE, "--workers", "3")
    assert done.exit_code == 30, done.output
    runs = in_store()
    parent = by_name(runs)["bhavcopy-fill-2024-01-01-2024-01-08"]
    good = [FILL_DAYS[0], *FILL_DAYS[3:]]
    assert len(runs) == 1 + len(FILL_DAYS)

    assert (parent.info.status, parent.data.params["status"]) == ("FAILED", "failed")
    asked = {name: parent.data.params[name] for name in ("first", "last", "of", "workers")}
    assert asked == {"first": "2024-01-01", "last": "2024-01-08", "of": "LoadClickHouse", "workers": "3"}
    assert str(FILL_DAYS[1]) in parent.data.params["error"]
    metrics = dict(parent.data.metrics)
    assert metrics.pop("days_per_second") > 0
    assert metrics.pop("flow_duration_seconds") == pytest.approx((parent.info.end_time - parent.info.start_time) / 1000)
    assert metrics == {
        "days_due": 6,
        "days_done": 4,
        "days_failed": 1,
        "days_absent": 1,
        "days_closed": 0,
        "days_unpublished": 0,
        "days_left": 0,
        "rows": sum(counts_of(day, "legacy")["rows_loaded"] for day in good),
        "range_delay": 6,
        "range_complete_count": 0,
        "range_complete_fraction": 0,
    }
    for name in parent.data.metrics:
        points = [
            (each.timestamp, each.step, each.value)
            for each in client(uri()).get_metric_history(parent.info.run_id, name)
        ]
        assert len(set(points)) == len(points)

    for day in FILL_DAYS:
        child = of_day(day, runs)
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["execution"] == parent.data.tags["execution"]
        assert parent.info.start_time <= child.info.start_time <= child.info.end_time <= parent.info.end_time
        if day in good:
            check_day(child, day, "legacy")
    failed, absent = of_day(FILL_DAYS[1], runs), of_day(FILL_DAYS[2], runs)
    assert (failed.info.status, failed.data.params["status"]) == ("FAILED", "failed")
    assert "CLOSING" in failed.data.params["error"]
    assert (absent.info.status, absent.data.params["status"]) == ("FAILED", "absent")
    assert "no source has its file" in absent.data.params["error"]
    assert metrics_once(uri(), failed).keys() >= {"flow_duration_seconds"}
    assert metrics_once(uri(), absent).keys() >= {"flow_duration_seconds"}


def test_a_limited_fill_says_what_is_left_and_the_next_one_what_was_there() -> None:
    """By Luigi's own range events too: how many were complete, and how far back the first gap is."""
    assert champion("fill", *RANGE, *LAKE, "--task-limit", "2").exit_code == 20
    [first] = [run for run in in_store() if "fill" in run.info.run_name]
    assert (first.info.status, first.data.params["status"]) == ("FINISHED", "incomplete")
    assert {name: first.data.metrics[name] for name in ("days_due", "days_done", "days_left")} == {
        "days_due": 2,
        "days_done": 2,
        "days_left": 4,
    }
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    _, second = [run for run in in_store() if "fill" in run.info.run_name]
    assert (second.info.status, second.data.params["status"]) == ("FINISHED", "success")
    assert "error" not in second.data.params
    assert {
        name: second.data.metrics[name]
        for name in ("days_due", "days_left", "range_delay", "range_complete_count", "range_complete_fraction")
    } == {
        "days_due": 4,
        "days_left": 0,
        "range_delay": 4,
        "range_complete_count": 2,
        "range_complete_fraction": pytest.approx(2 / 6),
    }


def test_a_day_that_is_not_published_yet_is_told_as_that(archive: SimulatedArchive) -> None:
    """It is neither a failure of the file nor a closed day."""
    latest = sessions.latest_published(datetime.now(UTC))
    before = sessions.previous(latest)
    archive.faults[latest] = Fault("not_found")
    assert champion("fill", "--start", str(before), *LAKE).exit_code == 20
    runs = in_store()
    assert of_day(latest, runs).data.params["status"] == "unpublished"
    assert "not published yet" in of_day(latest, runs).data.params["error"]
    assert of_day(before, runs).data.params["status"] == "success"
    parent = by_name(runs)[f"bhavcopy-fill-{before}-{latest}"]
    assert (parent.data.metrics["days_unpublished"], parent.data.metrics["days_failed"]) == (1, 0)
    assert parent.data.params["status"] == "incomplete"
    assert "RUNNING" not in {run.info.status for run in runs}


def test_a_failed_day_of_a_fill_ends_when_it_failed(archive: SimulatedArchive, tmp_path: Path) -> None:
    """And not when the fill had done the days after it."""
    archive.faults[FILL_DAYS[0]] = Fault("html")
    archive.faults[FILL_DAYS[5]] = Fault("slow", delay=1.0)
    assert champion("fill", *RANGE, *LAKE, "--workers", "1").exit_code == 30
    failed = of_day(FILL_DAYS[0], in_store())
    [failure] = records(tmp_path, event="failure")
    assert failed.info.status == "FAILED"
    assert failed.info.end_time == milliseconds(failure)
    assert failed.data.metrics["flow_duration_seconds"] == pytest.approx(
        (failed.info.end_time - failed.info.start_time) / 1000
    )


@pytest.mark.faults
@pytest.mark.parametrize("workers", campaign.few(["2", "1"]))
@carried
def test_a_fill_by_the_luigi_command_is_the_same(workers: str) -> None:
    """With the fill itself in a forked worker too, where there are two."""
    done = run_luigi("FillBhavcopy", "--start", "2024-01-01", "--stop", "2024-01-04", "--workers", workers)
    assert done.returncode == 0, done.stderr
    runs = told()
    assert len(runs) == 4
    parent = by_name(runs)["bhavcopy-fill-2024-01-01-2024-01-03"]
    assert (parent.info.status, parent.data.params["status"]) == ("FINISHED", "success")
    assert (parent.data.metrics["days_done"], parent.data.metrics["range_delay"]) == (3, 3)
    for day in FILL_DAYS[:3]:
        child = of_day(day, runs)
        check_day(child, day, "legacy")
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id


# A fill of many days


def series_of(day: date) -> int:
    """A day's step."""
    return int(f"{day:%Y%m%d}")


@pytest.mark.faults
@pytest.mark.parametrize("store", campaign.few(["server", "sqlite"]), indirect=True)
def test_a_long_fill_is_one_run_with_its_days_as_steps(
    archive: SimulatedArchive, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a run for each day would have is in its series and its table; days that failed have runs below it."""
    monkeypatch.setenv("CHAMPION_FILL_DAY_RUNS", str(len(FILL_DAYS) - 1))
    archive.faults[FILL_DAYS[1]] = Fault("wrong_header")
    archive.faults[FILL_DAYS[2]] = Fault("not_found")
    done = champion("fill", *RANGE, "--workers", "3")
    assert done.exit_code == 30, done.output
    runs = by_name(in_store())
    names = [f"bhavcopy-etl-{day}" for day in FILL_DAYS[1:3]]
    assert runs.keys() == {"bhavcopy-fill-2024-01-01-2024-01-08", *names}
    parent = runs["bhavcopy-fill-2024-01-01-2024-01-08"]
    assert [runs[name].data.tags["mlflow.parentRunId"] for name in names] == [parent.info.run_id] * 2
    assert [runs[name].data.params["status"] for name in names] == ["failed", "absent"]

    good = [FILL_DAYS[0], *FILL_DAYS[3:]]
    series, table = steps_once(uri(), parent), days_table(uri(), parent)
    for name in (*DURATIONS, *COUNTS, "parquet_size_mb", "flow_duration_seconds"):
        assert series[name].keys() == set(map(series_of, good)), name
    assert [*table] == [str(day) for day in FILL_DAYS]
    for day in good:
        line, truth = table[str(day)], counts_of(day, "legacy")
        for name in METRICS:
            assert series.get(name, {}).get(series_of(day), 0.0) == pytest.approx(float(line[name]))
        assert {name: float(line[name]) for name in truth} == truth
        asked = (line["load_to_clickhouse"], line["clickhouse_table"], line["status"], line["error"])
        assert asked == ("True", "champion_market.normalized_equity_ohlc", "success", "")
        assert (line["layout"], line["archive_sha256"]) == ("legacy", sha256(payload(day, "legacy")))
    for name, day in zip(names, FILL_DAYS[1:3], strict=True):
        of_run = {each: runs[name].data.params.get(each, "") for each in ("status", "error", "load_to_clickhouse")}
        assert {each: table[str(day)][each] for each in of_run} == of_run


def test_a_date_finds_the_long_fill_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """By MLflow's own search; and its day is at the date in charts over time."""
    monkeypatch.setenv("CHAMPION_FILL_DAY_RUNS", "0")
    assert champion("fill", *RANGE, *LAKE).exit_code == 0
    [run] = in_store()
    store = client(uri())
    day = series_of(FILL_DAYS[3])
    for query, count in ((f"metrics.first_day <= {day} and metrics.last_day >= {day}", 1), ("metrics.last_day < 1", 0)):
        assert len(store.search_runs([run.info.experiment_id], query)) == count
    times = {each.step: each.timestamp for each in store.get_metric_history(run.info.run_id, "day/rows_written")}
    assert datetime.fromtimestamp(times[day] / 1000, UTC).date() == FILL_DAYS[3]


def test_a_fill_of_as_many_days_as_the_setting_has_a_run_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """One day more, and it has one run. By default, an evening's fill has runs for its days."""
    monkeypatch.setenv("CHAMPION_FILL_DAY_RUNS", "2")
    for stop, count in (("2024-01-03", 3), ("2024-01-06", 4)):
        assert champion("fill", "--start", "2024-01-01", "--stop", stop, *LAKE).exit_code == 0
        assert len(in_store()) == count


# The commands for people


def test_flush_says_how_many_runs_it_told_of() -> None:
    """A fill of two days is three runs; a second flush tells nothing again."""
    assert champion("fill", "--start", "2024-01-01", "--stop", "2024-01-03", *LAKE).exit_code == 0
    first = champion("track", "flush")
    assert first.exit_code == 0, first.output
    assert first.output.startswith("3 runs ")
    runs = told()
    second = champion("track", "flush")
    assert second.exit_code == 0, second.output
    assert second.output.startswith("0 runs ")
    assert [run.info.run_id for run in told()] == [run.info.run_id for run in runs]


def test_a_data_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's database and an experiment's files are in it, and nothing is made beside it."""
    folder = tmp_path / "a%20b?c=d#e f'g\"h;i&j+k@l:m,n$o!p(q)r[s]t{u}v|w\\x^y`z~<>*% é日"
    before = set(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(folder))
    run_day(LEGACY_DAY, load_to_clickhouse=False)
    [run] = in_store()
    assert (folder / "mlflow" / "mlflow.db").stat().st_size
    client(uri()).log_text(run.info.run_id, "a file", "file.txt")
    [file] = (folder / "mlflow" / "artifacts").rglob("*.txt")
    assert file.read_text() == "a file"
    assert set(tmp_path.iterdir()) - before == {folder}


def test_runs_arrive_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user that has no entry in the password file: MLflow wants a home at its import."""
    run_day(LEGACY_DAY, load_to_clickhouse=False)
    homeless = tmp_path / "homeless"
    homeless.mkdir()
    (homeless / "sitecustomize.py").write_text("import os\nos.getuid = lambda: 54321\n")
    monkeypatch.delenv("HOME", raising=False)
    done = run_champion("track", "flush", PYTHONPATH=str(homeless))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 run reported")


@pytest.mark.faults
@pytest.mark.parametrize("ending", campaign.few(["Ctrl-C", "SIGTERM"]))
@pytest.mark.usefixtures("unmeasured")
def test_the_pages_show_the_configured_store(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback, until Ctrl-C or SIGTERM, which leaves no process; the command names the store and the experiment.

    The data folder has a name that an address cannot hold as it is.
    """
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "a%20b?c#d"))
    empty_store(tmp_path / "a%20b?c#d" / "mlflow" / "mlflow.db")
    run_day(LEGACY_DAY, load_to_clickhouse=False)
    [run] = in_store()
    port = free_port()
    process = subprocess.Popen(
        champion_command("track", "ui", "--port", str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/"), "the page")
        shown = runs_in(f"http://127.0.0.1:{port}", os.environ["MLFLOW_EXPERIMENT_NAME"])
        assert [each.info.run_id for each in shown] == [run.info.run_id]
        if ending == "Ctrl-C":
            # A terminal sends it to all that runs in it.
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        # The output ends with the last process that could write to it.
        output, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout is not None:
            process.stdout.close()
        process.wait(60)
    assert uri() in output
    assert os.environ["MLFLOW_EXPERIMENT_NAME"] in output
    assert f"http://127.0.0.1:{port}/#/experiments/{run.info.experiment_id}/runs?" in output


@contextlib.contextmanager
def pages(port: int, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`champion track ui` on a port, until the end of the block."""
    process = subprocess.Popen(
        champion_command("track", "ui", "--port", str(port), *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


@pytest.mark.skipif(browser.find() is None, reason="there is no Chromium here")
def test_the_address_of_the_pages_shows_the_columns_of_the_picture(tmp_path: Path) -> None:
    """It is opened in the user's browser once the server answers; MLflow's pages report nothing to its makers."""
    empty_store(Path(os.environ["DATA_DIR"]) / "mlflow" / "mlflow.db")
    run_day(LEGACY_DAY)
    in_store()
    opened, program = tmp_path / "opened", tmp_path / "browser"
    program.write_text('#!/bin/sh\necho "$2" > "$1.new" && mv "$1.new" "$1"\n')
    program.chmod(0o755)
    port = free_port()
    with pages(port, "--browser", BROWSER=f"{program} {opened} %s"):
        wait_for(opened.exists, "the browser to be opened")
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/"), "the page")
        address = f"http://127.0.0.1:{port}/ajax-api/3.0/mlflow/ui-telemetry"
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert json.load(answer)["disable_ui_telemetry"] is True
        with browser.running() as tab:
            shown = "[...document.querySelectorAll('[role=columnheader]')].map((each) => each.innerText.trim())"
            expected = {"Created", "flow_duration_seconds", "rows_loaded", "status", "trade_date"}

            def is_shown() -> bool:
                # A page that came before the server had all its parts stays without them.
                tab.open(opened.read_text().strip(), width=3000)
                ends = time.monotonic() + 20
                while not (found := expected <= set(tab.evaluate(shown))) and time.monotonic() < ends:
                    time.sleep(0.1)
                return found

            wait_for(is_shown, "the columns", lambda: str(tab.evaluate("document.body.innerText")))
            assert not any("scrape" in each or "layout" in each for each in tab.evaluate(shown))


def test_pages_without_runs_are_shown_too() -> None:
    """With an address that opens MLflow's first page, as there is no experiment yet."""
    empty_store(Path(os.environ["DATA_DIR"]) / "mlflow" / "mlflow.db")
    port = free_port()
    with pages(port, "--no-browser") as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("Runs:"))
    assert "none have reached MLflow yet" in line
    assert f"http://127.0.0.1:{port}" in line


def test_the_pages_need_a_port_of_their_own() -> None:
    """One that is taken is said so, in a sentence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = champion("track", "ui", "--port", str(port))
    assert result.exit_code != 0
    assert f"port {port} of 127.0.0.1 cannot be used" in result.output
    assert "--port" in result.output


def test_a_servers_own_pages_are_pointed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the password in its address; nothing is started."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://reader:planted-4711@mlflow.example:5000")
    result = champion("track", "ui", "--port", "1")
    assert result.exit_code == 0
    assert "mlflow.example:5000" in result.output
    assert "planted-4711" not in result.output


LIGHTLY = """
import sys
from champion_luigi.tracking import mlflow_store
mlflow_store.import_lightly()
print("mlflow" in sys.modules, sorted({"numpy", "pandas", "polars"} & sys.modules.keys()))
import polars
from mlflow import MlflowClient
print(polars.DataFrame({"a": [1]}).height)
"""


def test_mlflow_is_imported_without_data_frames() -> None:
    """Which takes 0.6 of the time; whoever needs them afterwards can import them."""
    with start_python(LIGHTLY) as process:
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output.splitlines()) == (0, ["True []", "1"])


def test_an_mlflow_that_needs_data_frames_is_imported_with_them(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later version may: it is imported as usual then."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "mlflow.py").write_text("import numpy\nMlflowClient = numpy.ndarray\n")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    lines = LIGHTLY.replace('"mlflow" in sys.modules, ', "")
    with start_python(lines) as process:
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output.splitlines()) == (0, ["[]", "1"])


def test_a_plugin_of_mlflow_may_need_data_frames(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow imports it together with itself, and would go on without one that cannot be imported."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "plugin-1.0.dist-info").mkdir()
    (folder / "plugin-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    named = "[mlflow.request_header_provider]\nheaders = headers:Provider\n"
    (folder / "plugin-1.0.dist-info" / "entry_points.txt").write_text(named)
    (folder / "headers.py").write_text(
        "import numpy\n"
        "from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider\n"
        "class Provider(RequestHeaderProvider):\n"
        "    def in_context(self): return True\n"
        "    def request_headers(self): return {'X-Plugin': str(numpy.int64(7))}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    asked = "from mlflow.tracking.request_header.registry import resolve_request_headers as of; print(of())"
    with start_python(
        f"from champion_luigi.tracking import mlflow_store\nmlflow_store.import_lightly()\n{asked}"
    ) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "'X-Plugin': '7'" in output
