"""What the pipeline journals of itself: in one process, in forked workers, and never a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from clickhouse_server import ClickHouseServer, unavailable
from helpers import (
    BOTH_DAY,
    HOLIDAY,
    LEGACY_DAY,
    UDIFF_DAY,
    ThreeDays,
    build,
    lines_of,
    payload,
    publish,
    published,
    run_luigi,
)
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base.durable import sha256
from champion_luigi.pipeline.tasks import LoadClickHouse, ScrapeBhavcopy, WriteParquet
from champion_luigi.tracking import journal
from champion_luigi.warehouse import opened

pytestmark = pytest.mark.integration

DAY = LEGACY_DAY
STAGES = ["ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse"]
PASSWORD = "planted-pass-4711"

Record = dict[str, Any]


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "0")
    monkeypatch.setenv("CHAMPION_LOAD_RETRY_SECONDS", "0")
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running
    opened.close_shared()


def records(folder: Path, **wanted: str) -> list[Record]:
    """The journal's records of tasks that have these values, oldest first."""
    found = [record for record in journal.read(folder / "journal") if "task" in record]
    return [record for record in found if all(str(record[name]) == value for name, value in wanted.items())]


def everything_under(folder: Path) -> bytes:
    """All that is written anywhere below a folder, names included."""
    paths = sorted(folder.rglob("*"))
    return b"\n".join(str(path).encode() + b"\n" + (path.read_bytes() if path.is_file() else b"") for path in paths)


def test_each_task_records_its_start_its_time_and_its_success(tmp_path: Path) -> None:
    """In that order, with the date, for all five."""
    build(LoadClickHouse(date=DAY))
    assert [(each["task"], each["event"]) for each in records(tmp_path, date=str(DAY))] == [
        (task, event) for task in STAGES for event in ("start", "processing_time", "success")
    ]
    assert all(each["seconds"] > 0 for each in records(tmp_path, event="processing_time"))


def test_one_command_is_one_execution(tmp_path: Path) -> None:
    """Every record says when it was, and which process, host and execution it comes from."""
    build(WriteParquet(date=DAY))
    found = records(tmp_path)
    assert len({(each["execution"], each["host"], each["pid"]) for each in found}) == 1
    assert found[0]["pid"] == os.getpid()
    assert sorted(each["time"] for each in found) == [each["time"] for each in found]
    assert all(each["time"].endswith("+00:00") for each in found)


def test_each_success_has_its_counts(tmp_path: Path) -> None:
    """The numbers that the dashboards show, against a count of the published rows."""
    build(LoadClickHouse(date=DAY))
    facts = {each["task"]: each["facts"] for each in records(tmp_path, event="success")}
    count = len(published(payload(DAY, "legacy"), "legacy"))
    source = {
        "archive_file": "cm15JUN2023bhav.csv.zip",
        "archive_sha256": sha256(payload(DAY, "legacy")),
        "layout": "legacy",
        "worker": facts["ScrapeBhavcopy"]["worker"],
    }
    assert source["worker"].startswith("Worker(")
    assert facts["ScrapeBhavcopy"] == source
    assert facts["ParseBhavcopy"] == {"raw_rows_parsed": count, **source}
    assert (facts["NormalizeBhavcopy"]["normalized_rows"], facts["NormalizeBhavcopy"]["filtered_rows"]) == (count, 0)
    size = WriteParquet(date=DAY).output().file.stat().st_size
    assert facts["WriteParquet"] == {"rows_written": count, "parquet_bytes": size, **source}
    assert facts["LoadClickHouse"] == {
        "rows_loaded": count,
        "clickhouse_table": "champion_market.normalized_equity_ohlc",
        **source,
    }


def test_rejected_rows_are_counted(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As filtered rows, the name they had before."""
    folder = tmp_path_factory.mktemp("archive")
    header, first, *lines = lines_of(payload(DAY, "legacy"))
    publish(folder, DAY, "legacy", [header, first.replace(",", ",,", 1), *lines])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    build(WriteParquet(date=DAY))
    [success] = records(tmp_path, event="success", task="NormalizeBhavcopy")
    assert (success["facts"]["normalized_rows"], success["facts"]["filtered_rows"]) == (len(lines), 1)


def test_a_failure_is_recorded_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The type for machines and the sentence for people; no success, and no time either."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "/nowhere")
    error = build(LoadClickHouse(date=DAY)).error
    assert [each["event"] for each in records(tmp_path)] == ["start", "failure"]
    [failure] = records(tmp_path, event="failure")
    assert (failure["task"], failure["date"]) == ("ScrapeBhavcopy", str(DAY))
    assert (failure["error_type"], failure["error"]) == ("SettingsError", str(error))


def test_a_day_without_a_session_is_not_recorded(tmp_path: Path) -> None:
    """Nothing was done, and nothing failed."""
    assert not build(LoadClickHouse(date=HOLIDAY)).errors
    assert not (tmp_path / "journal").exists()


def test_a_day_that_is_not_published_yet_is_settled_and_has_not_failed(tmp_path: Path) -> None:
    """As in a fill: the outcome and its reason are recorded."""
    with time_machine.travel(datetime(2023, 6, 13, 14, 0, tzinfo=UTC)):
        build(LoadClickHouse(date=DAY))
    assert [each["event"] for each in records(tmp_path)] == ["start", "settled"]
    [settled] = records(tmp_path, event="settled")
    assert (settled["outcome"], settled["date"]) == ("unpublished", str(DAY))
    assert settled["reason"].startswith("not published yet, expected from ")


def test_a_setting_that_cannot_be_used_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though Luigi, which cannot tell whether the task is complete, runs nothing and fires nothing."""
    monkeypatch.setenv("CLICKHOUSE_PORT", "eight")
    assert len(build(LoadClickHouse(date=DAY)).errors) == 1
    [broken] = records(tmp_path, event="broken_task")
    assert (broken["task"], broken["error_type"]) == ("LoadClickHouse", "SettingsError")
    assert "CLICKHOUSE_PORT cannot be used" in broken["error"]


def test_a_success_after_retries_says_how_many(archive: SimulatedArchive, tmp_path: Path) -> None:
    """A flaky archive shows before it fails."""
    archive.faults[DAY] = Fault("unavailable", times=2)
    build(ScrapeBhavcopy(date=DAY))
    [success] = records(tmp_path, event="success")
    assert success["facts"]["retries"] == 2


def test_nothing_is_recorded_where_everything_was_complete(tmp_path: Path) -> None:
    """A run with nothing to do is no run."""
    build(LoadClickHouse(date=DAY))
    before = records(tmp_path)
    build(LoadClickHouse(date=DAY))
    assert records(tmp_path) == before


def test_tracking_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day is done all the same."""
    monkeypatch.setenv("CHAMPION_TRACKING", "off")
    assert build(LoadClickHouse(date=DAY)).is_done
    assert not (tmp_path / "journal").exists()


def test_forked_workers_record_all_that_they_do(tmp_path: Path) -> None:
    """Three workers, three days: each record is whole, of one execution, and from the child that did the work."""
    run = run_luigi("ThreeDays", "--workers", "3", module="helpers")
    assert run.returncode == 0, run.stderr
    found = records(tmp_path)
    assert len(found) == 3 * 5 * 3
    for day in ThreeDays.DAYS:
        assert [each["event"] for each in records(tmp_path, date=str(day), task="LoadClickHouse")] == [
            "start",
            "processing_time",
            "success",
        ]
    counted = {
        each["date"]: each["facts"]["rows_loaded"] for each in records(tmp_path, event="success", task=STAGES[4])
    }
    assert counted == {
        str(day): len(published(payload(day, format), format))
        for day, format in zip(ThreeDays.DAYS, ("legacy", "legacy", "udiff"), strict=True)
    }
    assert len({each["execution"] for each in found}) == 1
    assert len({each["pid"] for each in found}) == 15


def test_a_failure_in_a_forked_worker_is_recorded(archive: SimulatedArchive, tmp_path: Path) -> None:
    """With its error, as in one process; what does not depend on it is done."""
    archive.faults[UDIFF_DAY] = Fault("forbidden")
    assert run_luigi("ThreeDays", "--workers", "3", module="helpers").returncode == 30
    [failure] = records(tmp_path, event="failure")
    assert (failure["date"], failure["task"], failure["error_type"]) == (str(UDIFF_DAY), "ScrapeBhavcopy", "Refused")
    assert len(records(tmp_path, event="success", task="LoadClickHouse")) == 2


@pytest.mark.torture
@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
def test_no_secret_is_written_or_printed_anywhere(
    archive: SimulatedArchive, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the warehouse's password nor the archive's: not when it goes well, and not when each is refused."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url.replace("//", f"//reader:{PASSWORD}@"))
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", PASSWORD)
    outputs = []
    with ClickHouseServer(tmp_path_factory.mktemp("server"), password=PASSWORD) as server:
        monkeypatch.setenv("CLICKHOUSE_HOST", server.host)
        monkeypatch.setenv("CLICKHOUSE_PORT", str(server.port))
        monkeypatch.setenv("CLICKHOUSE_USER", server.user)
        outputs.append(run_luigi("LoadClickHouse", "--date", str(DAY), "--log-level", "DEBUG"))
        monkeypatch.setenv("CLICKHOUSE_USER", "stranger")
        outputs.append(run_luigi("LoadClickHouse", "--date", str(UDIFF_DAY), "--log-level", "DEBUG"))
    outputs.append(run_luigi("LoadClickHouse", "--date", str(UDIFF_DAY)))
    archive.faults[BOTH_DAY] = Fault("cut")
    outputs.append(run_luigi("LoadClickHouse", "--date", str(BOTH_DAY), "--log-level", "DEBUG"))
    assert [each.returncode for each in outputs] == [0, 30, 30, 30]
    assert len(records(tmp_path, event="failure")) == 3
    for output in outputs:
        assert PASSWORD not in output.stdout + output.stderr
    assert PASSWORD.encode() not in everything_under(tmp_path)
