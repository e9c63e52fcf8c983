"""Fills under trouble: a year of faults, kills, two at once, a central scheduler, and all the real files there are."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import signal
import subprocess
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import campaign
import pytest
from helpers import (
    SHARED,
    archive_path,
    champion_command,
    format_and_date,
    lines_of,
    payload,
    retry_at_once,
    start_champion,
    wait_for,
)
from luigid_server import luigid, task_list
from simulated_server import Fault, Kind, SimulatedArchive

from champion_luigi.base import locks
from champion_luigi.datasets.equity import EQUITY, FIRST_DATE
from champion_luigi.exchange import sessions
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration

MONTH = ("--start", "2023-06-01", "--stop", "2023-07-01")
DAYS = sessions.sessions(date(2023, 6, 1), date(2023, 7, 1))
WEEK = ("--start", "2023-06-05", "--stop", "2023-06-10")
WEEK_DAYS = sessions.sessions(date(2023, 6, 5), date(2023, 6, 10))
STAGES = ("ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a retry."""
    retry_at_once(monkeypatch)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """Slow enough that a fill can be caught in its middle."""
    with SimulatedArchive(latency=0.05) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fill of the month that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(
        champion_command("fill", *MONTH),
        env={**os.environ, "DATA_DIR": str(folder), "NSE_ARCHIVE_URL": "simulated:"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def end(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str]:
    """The exit code and the output, once the process and all that it started have ended."""
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        kill(process)
    return process.returncode, output


def kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    if process.stdout is not None:
        process.stdout.close()


def fill(*arguments: str, **environment: str) -> tuple[int, str]:
    return end(start_champion("fill", *arguments, **environment))


def lake_files(folder: Path) -> dict[date, bytes]:
    """Each day of the lake, to the byte."""
    return {day: Path(entry.path).read_bytes() for day, entry in lake.days(folder / "lake", EQUITY)}


def query(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    table = open_warehouse(Address(folder=folder / "warehouse"))
    table.prepare(EQUITY)
    try:
        return table.query(statement)
    finally:
        table.close()


def warehouse_sums(folder: Path) -> list[tuple[Any, ...]]:
    """What readers see of each day."""
    return query(
        folder,
        "SELECT trade_date, count(), sum(volume), sum(toInt64(round(100 * turnover))), "
        "sum(cityHash64(symbol, series, close)) FROM champion_market.equity_ohlc "
        "GROUP BY trade_date ORDER BY trade_date",
    )


def times_asked(archive: SimulatedArchive) -> Counter[str]:
    return Counter(each.path for each in archive.requests)


def works_done(folder: Path) -> Counter[tuple[str, str]]:
    """How often each task did its work for each date. One that found it done by another has no facts."""
    return Counter(
        (each["task"], each["date"])
        for each in journal.read(folder / "journal")
        if each["event"] == "success" and each["facts"]
    )


# A year of faults


@pytest.mark.faults
def test_a_year_with_faults_comes_to_what_was_published(
    tmp_path: Path, archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passing faults are retried, lasting ones named by day, missing files counted; a second fill does what failed."""
    year = sessions.sessions(date(2023, 1, 1), date(2024, 1, 1))[: None if campaign.IS_WHOLE else 50]
    passing: tuple[Kind, ...] = ("unavailable", "truncated", "cut")
    staying: tuple[Kind, ...] = ("html", "empty", "stale", "wrong_header")
    cured = {day: Fault(passing[place % 3], times=1) for place, day in enumerate(year[5::15])}
    bad = {day: Fault(staying[place % 4]) for place, day in enumerate(year[6 :: 30 if campaign.IS_WHOLE else 12])}
    missing = {day: Fault("not_found") for day in (year[40], year[-3])}
    archive.faults.update({**cured, **bad, **missing})
    asked = ("--start", "2023-01-01", "--stop", str(year[-1] + timedelta(days=1)), "--of", "WriteParquet")

    code, output = fill(*asked)
    assert code == 30, output
    failed = [line.removeprefix("ERROR: ")[:10] for line in output.splitlines() if " failed: " in line]
    assert sorted(failed) == [str(day) for day in sorted(bad)]
    assert f"2 sessions are absent: {', '.join(map(str, sorted(missing)))};" in output
    assert output.splitlines()[-1].endswith(f", {len(bad)} failed, 2 absent")
    assert sorted(lake_files(tmp_path)) == [day for day in year if day not in bad and day not in missing]

    before = times_asked(archive)
    archive.faults.clear()
    code, output = fill(*asked)
    assert code == 15, output
    assert times_asked(archive) - before == Counter(archive_path("legacy", day) for day in bad)
    assert max(before.values()) <= 3
    expected = [day for day in year if day not in missing]
    written = {day: Path(entry.path) for day, entry in lake.days(tmp_path / "lake", EQUITY)}
    counts = {day: int(lake.read_metadata(path, EQUITY)["rows"]) for day, path in written.items()}
    assert sorted(counts) == expected
    for day in [*expected[::10], *bad]:
        assert counts[day] == len(lines_of(payload(day, "legacy"))) - 1


# Kills


def kill_after(days: int, folder: Path, process: subprocess.Popen[str]) -> None:
    """Let a fill bring so many days into the lake, and kill it in the middle of the next ones."""
    try:
        wait_for(lambda: len(lake_files(folder)) >= days, "the fill to be in its middle")
    finally:
        kill(process)


@pytest.mark.torture
def test_a_fill_that_was_killed_twice_loses_nothing_and_does_nothing_twice(
    tmp_path: Path, archive: SimulatedArchive, undisturbed: Path
) -> None:
    """What was whole on disk is not fetched again, and lake and warehouse are those of an undisturbed run."""
    for enough in (6, 13):
        kill_after(enough, tmp_path, start_champion("fill", *MONTH, CHAMPION_FILL_WORKERS="4"))
        fetched = {path.stem for path in (tmp_path / "raw").rglob("bhavcopy_*.json")}
        before = times_asked(archive)

    code, output = fill(*MONTH, CHAMPION_FILL_WORKERS="4")
    assert code == 0, output
    for path, times in (times_asked(archive) - before).items():
        found = format_and_date(path)
        assert found is not None
        assert f"bhavcopy_{found[1]:%Y%m%d}" not in fetched, f"{path} was whole and was fetched {times} times more"
    assert lake_files(tmp_path) == lake_files(undisturbed)
    assert warehouse_sums(tmp_path) == warehouse_sums(undisturbed)


def test_nothing_that_succeeded_before_a_kill_is_done_again(tmp_path: Path, archive: SimulatedArchive) -> None:
    """By the journal: each task's work for each date has succeeded at most once, but for a record lost to the kill."""
    kill_after(8, tmp_path, start_champion("fill", *MONTH, "--of", "WriteParquet", CHAMPION_FILL_WORKERS="4"))
    code, output = fill(*MONTH, "--of", "WriteParquet")
    assert code == 0, output
    assert sorted(lake_files(tmp_path)) == DAYS
    assert set(works_done(tmp_path).values()) == {1}


# Two at once


@pytest.mark.torture
@pytest.mark.parametrize("last", ["WriteParquet", "LoadClickHouse"])
def test_two_fills_at_once_do_each_piece_of_work_once(
    tmp_path: Path, archive: SimulatedArchive, undisturbed: Path, last: str
) -> None:
    """Overlapping ranges in two processes, both of which end well."""
    first = start_champion("fill", "--start", "2023-06-01", "--stop", "2023-06-24", "--of", last)
    second = start_champion("fill", "--start", "2023-06-08", "--stop", "2023-07-01", "--of", last)
    ended = [end(process) for process in (first, second)]
    assert [code for code, _ in ended] == [0, 0], ended
    assert times_asked(archive) == Counter(archive_path("legacy", day) for day in DAYS)
    stages = STAGES[: STAGES.index(last) + 1]
    assert works_done(tmp_path) == Counter((stage, str(day)) for stage in stages for day in DAYS)
    assert lake_files(tmp_path) == lake_files(undisturbed)
    if last == "LoadClickHouse":
        assert warehouse_sums(tmp_path) == warehouse_sums(undisturbed)


@contextlib.contextmanager
def at_its_last_day(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A fill of the week that has done all but its last day, which is kept from it until the block ends."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(locks.locked(folder / "locks" / f"{WEEK_DAYS[-1]}.lock", "the day", 0))
        process = start_champion("fill", *WEEK, *arguments, CHAMPION_FILL_GROUP="1")
        try:
            wait_for(lambda: len(list((folder / "loaded").rglob("*.json"))) == len(WEEK_DAYS) - 1, "all but one day")
            yield process
            stack.close()
            code, output = end(process)
            assert code == 0, output
        finally:
            kill(process)


def test_a_second_fill_waits_for_the_first_or_says_who_is_in_the_way(tmp_path: Path, archive: SimulatedArchive) -> None:
    """It names the process that holds the embedded warehouse; CHAMPION_LOCK_WAIT_SECONDS=0, as cron may want it."""
    with at_its_last_day(tmp_path) as first:
        code, output = fill(*WEEK, CHAMPION_LOCK_WAIT_SECONDS="0")
        assert code not in (0, 20), output
        assert f"in use by another process; found process {first.pid} " in output
        second = start_champion("fill", *WEEK)
        assert second.stdout is not None
        waiting = f"waiting for the embedded warehouse {tmp_path}/warehouse, in use by process {first.pid} "
        assert any(waiting in line for line in second.stdout)
    code, output = end(second)
    assert code == 0, output
    assert times_asked(archive) == Counter(archive_path("legacy", day) for day in WEEK_DAYS)


# A central scheduler


def named(port: int, name: str) -> list[dict[str, Any]]:
    return [task for task in task_list(port) if task["name"] == name]


@pytest.fixture
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with luigid(tmp_path_factory.mktemp("luigid")) as port:
        yield port


def test_the_central_scheduler_shows_how_far_a_fill_is(tmp_path: Path, archive: SimulatedArchive, central: int) -> None:
    """Status message and percentage of the fill, and a status message of each task of each day."""
    seen: list[tuple[str, int]] = []

    def is_half_way() -> bool:
        tasks = named(central, "FillBhavcopy")
        seen.extend((task["status_message"] or "", task["progress_percentage"] or 0) for task in tasks)
        return any(" of " in message and 0 < percentage < 100 for message, percentage in seen)

    with at_its_last_day(tmp_path, "--scheduler-host", "127.0.0.1", "--scheduler-port", str(central)):
        wait_for(is_half_way, "the fill to show that it is half way")
    assert any(f" of {len(WEEK_DAYS)} days" in message for message, _ in seen)

    [task] = named(central, "FillBhavcopy")
    assert (task["status"], task["progress_percentage"]) == ("DONE", 100)
    assert task["status_message"].startswith(f"{len(WEEK_DAYS)} of {len(WEEK_DAYS)} days")
    for stage in STAGES:
        shown = {each["params"]["date"]: each["status_message"] for each in named(central, stage)}
        assert sorted(shown) == [str(day) for day in WEEK_DAYS]
        assert all("rows" in (message or "") for message in shown.values()), shown


def test_a_fill_through_the_central_scheduler_can_be_outstanding_and_go_on(
    tmp_path: Path, archive: SimulatedArchive, central: int
) -> None:
    """With a limit it exits 20; the same fill again goes on."""
    through = ("--of", "WriteParquet", "--scheduler-host", "127.0.0.1", "--scheduler-port", str(central))
    code, output = fill(*WEEK, *through, "--task-limit", "3")
    assert code == 20, output
    code, output = fill(*WEEK, *through)
    assert code == 0, output
    assert sorted(lake_files(tmp_path)) == WEEK_DAYS


# All the real files


def published_days(folder: Path) -> dict[date, Path]:
    """The file of each session in the archive's folder: the official one where there are two."""
    found: dict[date, Path] = {}
    for file in sorted(folder.rglob("*.csv.zip")):
        named_by = format_and_date("/" + str(file.relative_to(folder)))
        if named_by is None or not sessions.is_session(named_by[1]):
            continue
        form, day = named_by
        if day not in found or form == ("udiff" if day >= date(2024, 7, 8) else "legacy"):
            found[day] = file
    return dict(sorted(found.items()))


YEARS = sorted({day.year for day in published_days(SHARED / "archive")}, reverse=True) or [FIRST_DATE.year]


# A test a year, so that the years can be filled at the same time; where there are no files, one says so.
@pytest.mark.faults
@pytest.mark.parametrize("year", campaign.few(YEARS, fast=2))
def test_all_real_files_of_a_year_arrive_whole(
    tmp_path: Path, shared: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, year: int
) -> None:
    """Days, rows and volume are those that the csv module counts, after a fill of the year."""
    folder = shared("archive")
    monkeypatch.setenv("NSE_ARCHIVE_URL", folder.as_uri())
    published = {day: file for day, file in published_days(folder).items() if day.year == year}
    if not campaign.IS_WHOLE:
        published = dict(list(published.items())[-20:])
    code, output = fill("--start", str(min(published)), "--stop", str(max(published) + timedelta(days=1)))
    assert code == 0, output

    expected = [0, 0, 0]
    for file in published.values():
        rows = [row for row in rows_of(file) if any(row.values())]
        volume = "TOTTRDQTY" if "TOTTRDQTY" in rows[0] else "TtlTradgVol"
        expected[0] += 1
        expected[1] += len(rows)
        expected[2] += sum(int(row[volume]) for row in rows)
    [(days, loaded, volume)] = query(
        tmp_path, "SELECT uniqExact(trade_date), count(), sum(volume) FROM champion_market.equity_ohlc"
    )
    rejected = sum(1 for path in (tmp_path / "rejects").rglob("*.jsonl") for _ in path.open())
    assert [days, loaded + rejected, volume] == expected


def rows_of(file: Path) -> list[dict[str, str]]:
    """A real file's rows as the csv module has them, under names without the spaces around some."""
    with zipfile.ZipFile(file) as zipped:
        [name] = zipped.namelist()
        text = zipped.read(name).decode("latin-1")
    reader = csv.reader(io.StringIO(text))
    header = [field.strip() for field in next(reader)]
    return [dict(zip(header, (field.strip() for field in line), strict=False)) for line in reader if line]
