"""The range in this process: which days it requires, and what becomes of each."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import luigi
import pytest
import time_machine
from helpers import lines_of, payload, publish, retry_at_once
from luigi.execution_summary import LuigiStatusCode
from luigi.parameter import ParameterException
from luigi.task_register import Register
from simulated_server import Fault, Kind, SimulatedArchive

from champion_luigi import (
    FillBhavcopy,
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.exchange.sessions import INDIA
from champion_luigi.pipeline import day_task
from champion_luigi.storage import lake

# A week without a holiday, and the range that is all of it.
WEEK = [date(2023, 6, day) for day in range(12, 17)]
RANGE: dict[str, Any] = {"start": WEEK[0], "stop": date(2023, 6, 17)}
SUNDAY = date(2023, 6, 11)
ROWS = 30


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Luigi gives the same task for the same parameters; and no test waits for a retry."""
    retry_at_once(monkeypatch)
    caplog.set_level(logging.INFO, logger="luigi-interface.fill")
    Register.clear_instance_cache()
    yield
    Register.clear_instance_cache()


@pytest.fixture(scope="session")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive's folder with the first rows of each day of the week."""
    folder = tmp_path_factory.mktemp("week")
    for day in WEEK:
        publish(folder, day, "legacy", lines_of(payload(day, "legacy"))[: ROWS + 1])
    return folder


@pytest.fixture
def folder(week: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, for the test to change, which the archive's address leads to."""
    copy = tmp_path_factory.mktemp("archive") / "files"
    shutil.copytree(week, copy)
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(copy))
    return copy


@pytest.fixture
def archive(week: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """That folder over HTTP, with room for faults."""
    with SimulatedArchive(folder=week) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


def file_of(folder: Path, day: date) -> Path:
    """A day's file in the archive's folder."""
    [file] = folder.rglob(f"cm{day:%d}*bhav.csv.zip")
    return file


def lake_fill(**parameters: Any) -> FillBhavcopy:
    """A fill of the lake, where nothing else is said."""
    Register.clear_instance_cache()
    return FillBhavcopy(**{"of": WriteParquet, **parameters})


def required(**parameters: Any) -> list[date]:
    """The days that a fill of the lake requires, in its order."""
    return [task.date for task in lake_fill(**parameters).requires()]  # type: ignore[attr-defined]


def run(**parameters: Any) -> tuple[LuigiStatusCode, FillBhavcopy]:
    """Fill, as a program does: how it ended, and the task with its progress."""
    task = lake_fill(**RANGE | parameters)
    result = luigi.build([task], local_scheduler=True, workers=1, detailed_summary=True, log_level="INFO")
    return result.status, task


def filled() -> list[date]:
    """The days that the lake has."""
    return [day for day in WEEK if WriteParquet(date=day).is_made()]


def verdicts() -> dict[date, str]:
    """What the ledger says of this archive."""
    return {day: answer.verdict for day, answer in wiring.ledger(EQUITY).answers.items()}


def at(text: str) -> time_machine.travel:
    """A moment in India."""
    return time_machine.travel(datetime.fromisoformat(text).replace(tzinfo=INDIA), tick=False)


# Which days


def test_the_sessions_of_the_range_are_required_oldest_first() -> None:
    """Republic Day and a weekend are left out; the Saturday that was a session is not."""
    assert required(start=date(2024, 1, 18), stop=date(2024, 1, 30)) == [
        date(2024, 1, day) for day in (18, 19, 20, 23, 24, 25, 29)
    ]


def test_reverse_is_newest_first() -> None:
    """As Luigi's ranges have it."""
    assert required(**RANGE, reverse=True) == WEEK[::-1]


def test_the_last_task_is_loading() -> None:
    """Where nothing else is said."""
    assert FillBhavcopy(**RANGE).requires() == [LoadClickHouse(date=day) for day in WEEK]


@pytest.mark.parametrize("of", [ScrapeBhavcopy, ParseBhavcopy, NormalizeBhavcopy, WriteParquet])
def test_the_last_task_may_be_another_one(of: type[day_task.DayTask]) -> None:
    """WriteParquet fills the lake alone."""
    assert lake_fill(of=of, **RANGE).requires() == [of(date=day) for day in WEEK]


def test_stop_is_the_day_after_the_last_one() -> None:
    """As everywhere in Python; a range from a day to itself is empty."""
    assert required(start=WEEK[0], stop=WEEK[2]) == WEEK[:2]
    assert required(start=WEEK[0], stop=WEEK[0]) == []


def test_an_old_start_is_not_clipped() -> None:
    """Luigi's own range clips it to 100 days ago, and 50 dates."""
    days = required(start=date(1994, 11, 3), stop=date(2024, 1, 1))
    assert days == sessions.sessions(date(1994, 11, 3), date(2024, 1, 1))
    assert len(days) > 7000


def test_a_start_before_the_first_file_gives_what_there_is() -> None:
    """The archive has had files since November 1994."""
    assert required(start=date(1990, 1, 1), stop=date(1994, 11, 8)) == [date(1994, 11, 3), date(1994, 11, 7)]


def test_a_start_after_the_stop_is_an_error() -> None:
    """And not an empty range, which would be a success."""
    with pytest.raises(ParameterException, match="2023-06-17"):
        required(start=date(2023, 6, 18), stop=date(2023, 6, 17))


@pytest.mark.parametrize(
    ("india", "last"),
    [
        ("2024-07-09 00:00", date(2024, 7, 8)),
        ("2024-07-09 05:29", date(2024, 7, 8)),
        ("2024-07-09 05:31", date(2024, 7, 8)),
        ("2024-07-09 18:59", date(2024, 7, 8)),
        ("2024-07-09 19:00", date(2024, 7, 9)),
        ("2024-07-09 23:59", date(2024, 7, 9)),
        ("2024-07-10 00:01", date(2024, 7, 9)),
        ("2024-07-10 05:31", date(2024, 7, 9)),
        ("2024-07-14 12:00", date(2024, 7, 12)),
        ("2024-07-17 20:00", date(2024, 7, 16)),
    ],
)
def test_without_a_stop_the_range_ends_with_the_latest_session_that_should_be_out(india: str, last: date) -> None:
    """Around publication and both midnights, on a Sunday and on the evening of a holiday."""
    with at(india):
        assert required(start=date(2024, 7, 1))[-1] == last


def test_the_hour_of_publication_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evening's first run asks earlier."""
    monkeypatch.setenv("CHAMPION_PUBLISHED_AT", "18:00")
    with at("2024-07-09 18:00"):
        assert required(start=date(2024, 7, 8)) == [date(2024, 7, 8), date(2024, 7, 9)]


@pytest.mark.parametrize(
    ("india", "first"), [("2024-07-09 23:59", date(2024, 7, 4)), ("2024-07-10 00:01", date(2024, 7, 5))]
)
def test_without_a_start_the_range_is_the_last_days(india: str, first: date) -> None:
    """Counted from the day that it is in India."""
    with at(india):
        assert required(days_back=5)[0] == first


def test_without_anything_the_range_is_the_last_hundred_days() -> None:
    """What the evening's run does: it catches up on whatever was missed."""
    with at("2024-07-09 20:00"):
        assert required() == sessions.sessions(date(2024, 3, 31), date(2024, 7, 10))


def test_an_explicit_start_wins_over_days_back() -> None:
    """Whichever is older."""
    with at("2024-07-09 20:00"):
        assert required(start=date(2024, 7, 1), days_back=1)[0] == date(2024, 7, 1)


@pytest.mark.usefixtures("archive")
def test_a_stop_ahead_of_publication_is_said_to_be_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is cut silently."""
    caplog.set_level("INFO")
    with at("2024-07-09 20:00"):
        run(start=date(2024, 7, 9), stop=date(2024, 7, 31))
    assert "1 day of equity to do, 2024-07-09, the latest session that should be published by now" in caplog.text


@pytest.mark.parametrize(("first", "last"), [((2024, 7, 10), (2024, 7, 12)), ((2031, 3, 3), (2031, 3, 3))])
def test_sessions_that_are_all_to_come_are_outstanding(
    archive: SimulatedArchive, first: tuple[int, int, int], last: tuple[int, int, int]
) -> None:
    """Nothing could be done yet, and no request is sent; a range that has begun is filled up to the latest session."""
    with at("2024-07-09 20:00"):
        status, task = run(start=date(*first), stop=date(*last) + timedelta(days=1))
        sentences = task.outstanding()
    assert status == LuigiStatusCode.MISSING_EXT
    day = date(*first)
    assert sentences[0] == f"{day}: not published yet, expected from {day} 19:00 India time: try again then"
    assert archive.requests == []


def test_the_last_date_of_a_range_is_given_in_either_of_two_ways() -> None:
    """They are one task, with one id; both at once are an error, and so is a range that ends before it begins."""
    inclusive: dict[str, Any] = {"end": WEEK[-1]}
    exclusive: dict[str, Any] = {"stop": WEEK[-1] + timedelta(days=1)}
    assert FillBhavcopy(start=WEEK[0], **inclusive) is FillBhavcopy(start=WEEK[0], **exclusive)
    with pytest.raises(ParameterException, match=r"--end 20.* and --stop 20.* are given"):
        FillBhavcopy(**inclusive, **exclusive)
    with pytest.raises(ParameterException, match=r"--start 20.* is after --end 20"):
        FillBhavcopy(start=WEEK[1], end=WEEK[0])


def test_a_limit_leaves_the_newest_days_and_says_how_many(caplog: pytest.LogCaptureFixture) -> None:
    """They are for the next run."""
    assert required(**RANGE, task_limit=2) == WEEK[:2]
    assert "3 of 5 days are left" in caplog.text


def test_complete_days_are_not_required(folder: Path) -> None:
    """Only what is missing: in the lake, for one that fills the lake."""
    run(start=WEEK[1], stop=WEEK[3])
    assert required(**RANGE) == [WEEK[0], *WEEK[3:]]
    assert required(**RANGE, of=LoadClickHouse) == WEEK


def test_a_task_of_ones_own_can_be_filled(tmp_path: Path) -> None:
    """Any task with one date: it is asked whether it is complete."""

    class Report(luigi.Task):
        date = luigi.DateParameter()

        def output(self) -> luigi.LocalTarget:
            return luigi.LocalTarget(str(tmp_path / f"{self.date}.txt"))

    (tmp_path / f"{WEEK[0]}.txt").touch()
    assert required(of=Report, **RANGE) == WEEK[1:]


# What becomes of them


def test_a_fill_completes_its_range(folder: Path) -> None:
    """Every day, and the progress tells of it."""
    status, task = run()
    assert status == LuigiStatusCode.SUCCESS
    assert filled() == WEEK
    assert task.complete()
    assert task.progress is not None
    assert (task.progress.due, task.progress.done, task.progress.rows) == (5, 5, 5 * ROWS)


def test_a_fill_of_many_chunks_completes_its_range(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk has a scheduler of its own."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    assert run()[0] == LuigiStatusCode.SUCCESS
    assert filled() == WEEK


@pytest.mark.integration
def test_a_second_fill_asks_for_nothing(archive: SimulatedArchive) -> None:
    """Everything is complete by one listing."""
    run()
    assert run()[0] == LuigiStatusCode.SUCCESS
    assert len(archive.requests) == len(WEEK)


def test_a_fill_takes_up_what_another_left(folder: Path) -> None:
    """Days are complete one by one."""
    run(task_limit=2)
    status, task = run()
    assert status == LuigiStatusCode.SUCCESS
    assert task.progress is not None
    assert (task.progress.due, task.progress.done) == (3, 3)


@pytest.mark.parametrize(("reverse", "days"), [(False, WEEK[:2]), (True, WEEK[3:])])
def test_a_limited_fill_is_outstanding(folder: Path, reverse: bool, days: list[date]) -> None:
    """What is left is said, and is not a success."""
    status, task = run(task_limit=2, reverse=reverse)
    assert status == LuigiStatusCode.MISSING_EXT
    assert filled() == days
    [words] = task.outstanding()
    assert "3 days are left" in words


def test_the_range_runs_in_its_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one worker, day after day."""
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", "1")
    run()
    times = [WriteParquet(date=day).output().file.stat().st_mtime_ns for day in WEEK]
    assert times == sorted(times)


def test_reverse_runs_the_newest_chunk_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a chunk days may overlap; chunks follow the order."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "1")
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", "1")
    run(reverse=True)
    times = [WriteParquet(date=day).output().file.stat().st_mtime_ns for day in WEEK]
    assert times == sorted(times, reverse=True)


def test_one_bad_day_does_not_stop_the_rest(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others are complete, and the log says which one failed and why."""
    publish(folder, WEEK[1], "legacy", ["<html>", "Under maintenance"])
    status, task = run()
    assert status == LuigiStatusCode.FAILED
    assert filled() == [WEEK[0], *WEEK[2:]]
    assert task.progress is not None
    assert list(task.progress.failed) == [WEEK[1]]
    assert f"{WEEK[1]} failed: " in caplog.text
    assert verdicts() == {}


def test_a_failed_day_is_done_by_the_next_fill(folder: Path, week: Path) -> None:
    """Once it is mended; the other days are left alone."""
    good = file_of(week, WEEK[1]).read_bytes()
    file_of(folder, WEEK[1]).write_bytes(b"")
    run()
    file_of(folder, WEEK[1]).write_bytes(good)
    status, task = run()
    assert status == LuigiStatusCode.SUCCESS
    assert task.progress is not None
    assert (task.progress.due, filled()) == (1, WEEK)


def test_progress_is_handed_out(folder: Path) -> None:
    """To whoever shows it: the number of days first, the final state last."""
    task = lake_fill(**RANGE)
    seen = []
    task.on_progress = lambda progress: seen.append((progress.done, progress.due))
    luigi.build([task], local_scheduler=True, log_level="WARNING")
    assert (seen[0], seen[-1]) == ((0, 5), (5, 5))
    assert seen == sorted(seen)


def test_a_fill_from_a_program_says_that_it_succeeded(folder: Path) -> None:
    """`luigi.build` without anything else."""
    assert luigi.build([lake_fill(**RANGE)], local_scheduler=True)
    assert filled() == WEEK


def test_two_fills_in_one_program_each_complete_their_range(folder: Path) -> None:
    """Of the same build."""
    halves = [
        lake_fill(start=WEEK[0], stop=WEEK[2]),
        lake_fill(start=WEEK[2], stop=RANGE["stop"]),
    ]
    assert luigi.build(halves, local_scheduler=True)
    assert filled() == WEEK


# Files that are missing; see test_absence.py too


def test_the_days_until_a_missing_file_is_absent_are_a_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer, for an archive that is known to be late."""
    monkeypatch.setenv("CHAMPION_CLOSED_AFTER_DAYS", "30")
    file_of(folder, WEEK[4]).unlink()
    with time_machine.travel(datetime(2023, 7, 10, 20, 0, tzinfo=INDIA)):
        assert run()[0] == LuigiStatusCode.MISSING_EXT
    assert verdicts() == {}


def test_a_day_that_is_not_published_yet_is_outstanding(folder: Path) -> None:
    """The rest is done; the words say when to try again, and a later fill does it."""
    late = file_of(folder, WEEK[4])
    content = late.read_bytes()
    late.unlink()
    with time_machine.travel(datetime(2023, 6, 16, 19, 30, tzinfo=INDIA)):
        status, task = run()
        assert status == LuigiStatusCode.MISSING_EXT
        [words] = task.outstanding()
        assert words.startswith(f"{WEEK[4]}: not published yet")
        assert "try again" in words
        assert filled() == WEEK[:4]
        late.write_bytes(content)
        assert run()[0] == LuigiStatusCode.SUCCESS
    assert filled() == WEEK


def test_a_failed_day_outweighs_one_that_is_not_published_yet(folder: Path) -> None:
    """Somebody has to look."""
    file_of(folder, WEEK[4]).unlink()
    file_of(folder, WEEK[1]).write_bytes(b"")
    with time_machine.travel(datetime(2023, 6, 16, 19, 30, tzinfo=INDIA)):
        assert run()[0] == LuigiStatusCode.FAILED


@pytest.mark.integration
def test_a_sunday_is_not_asked_for(archive: SimulatedArchive) -> None:
    """There is nothing to do, and the sentence says what day it is."""
    status, task = run(start=SUNDAY, stop=SUNDAY + timedelta(days=1))
    assert status == LuigiStatusCode.SUCCESS
    assert task.why_complete() == f"{SUNDAY}: nothing to do, there is no session: Sunday, no session"
    assert archive.requests == []


def test_a_sunday_that_is_asked_for_by_hand_and_has_a_file_is_a_session(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger remembers it, and fills include it."""
    publish(folder, SUNDAY, "legacy", lines_of_sunday())
    monkeypatch.setenv("CHAMPION_ASK_CLOSED", "true")
    assert luigi.build([WriteParquet(date=SUNDAY)], local_scheduler=True, log_level="ERROR")
    monkeypatch.delenv("CHAMPION_ASK_CLOSED")
    assert verdicts() == {SUNDAY: "session"}
    WriteParquet(date=SUNDAY).output().file.unlink()
    assert required(start=SUNDAY, stop=WEEK[2]) == [SUNDAY, *WEEK[:2]]
    assert run(start=SUNDAY, stop=WEEK[2])[0] == LuigiStatusCode.SUCCESS
    assert WriteParquet(date=SUNDAY).is_made()


def lines_of_sunday() -> list[str]:
    """Friday's first rows, as if traded on the Sunday."""
    friday = date(2023, 6, 9)
    return [line.replace("09-JUN-2023", "11-JUN-2023") for line in lines_of(payload(friday, "legacy"))[: ROWS + 1]]


def test_a_sunday_that_is_asked_for_by_hand_and_has_none_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table was right."""
    monkeypatch.setenv("CHAMPION_ASK_CLOSED", "true")
    luigi.build([WriteParquet(date=SUNDAY)], local_scheduler=True, log_level="CRITICAL")
    assert not WriteParquet(date=SUNDAY).complete()
    assert verdicts() == {}


@pytest.mark.integration
def test_an_archive_that_refuses_stops_the_fill(archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked by the workers that were at it already, and not again; nothing is entered as closed."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "1")
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", "2")
    archive.faults.update(dict.fromkeys(WEEK, Fault("forbidden")))
    status, task = run()
    assert status == LuigiStatusCode.FAILED
    # The two sources of each day.
    assert len(archive.requests) <= 4
    assert task.progress is not None
    assert task.progress.left >= 2
    assert "refuses" in task.progress.stopped_because
    assert verdicts() == {}


@pytest.mark.integration
def test_an_archive_that_begins_to_refuse_stops_the_fill(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gave before is kept."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "1")
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", "1")
    archive.faults.update(dict.fromkeys(WEEK[2:], Fault("forbidden")))
    status, task = run()
    assert status == LuigiStatusCode.FAILED
    assert filled() == WEEK[:2]
    assert len(archive.requests) == 2 + len(EQUITY.sources_of(WEEK[2]))
    assert task.progress is not None
    assert task.progress.left == 2


@pytest.mark.integration
def test_an_archive_that_is_down_stops_the_fill(archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """No day of a chunk got an answer, after three attempts each; what is left is counted."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", "1")
    archive.faults.update(dict.fromkeys(WEEK, Fault("unavailable")))
    status, task = run()
    assert status == LuigiStatusCode.FAILED
    assert len(archive.requests) == 6
    assert task.progress is not None
    assert (len(task.progress.failed), task.progress.left) == (2, 3)
    assert verdicts() == {}


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["unavailable", "truncated", "cut"])
def test_a_fault_that_passes_is_got_over(archive: SimulatedArchive, kind: Kind) -> None:
    """Each day is asked for again, by itself."""
    archive.faults.update(dict.fromkeys(WEEK, Fault(kind, times=1)))
    assert run()[0] == LuigiStatusCode.SUCCESS
    assert filled() == WEEK
    assert len(archive.requests) == 2 * len(WEEK)


# The warehouse


@pytest.mark.integration
def test_a_fill_loads_the_warehouse_and_lets_it_go(folder: Path, tmp_path: Path) -> None:
    """A notebook that goes on does not keep others from it."""
    from champion_luigi.warehouse.connection import Address
    from champion_luigi.warehouse.opened import open_warehouse

    status, task = run(of=LoadClickHouse)
    assert status == LuigiStatusCode.SUCCESS
    assert task.progress is not None
    assert task.progress.rows == 5 * ROWS
    table = open_warehouse(Address(folder=tmp_path / "warehouse"))
    try:
        assert table.rows_by_day(EQUITY) == [(day, ROWS) for day in WEEK]
    finally:
        table.close()


@pytest.mark.integration
def test_what_the_lake_has_is_loaded_without_asking_the_archive(archive: SimulatedArchive) -> None:
    """From lake to warehouse, as after a move to another server."""
    run()
    assert run(of=LoadClickHouse)[0] == LuigiStatusCode.SUCCESS
    assert len(archive.requests) == len(WEEK)


@pytest.mark.integration
def test_a_full_range_does_not_open_the_warehouse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may hold it: nothing is missing, so nothing is waited for."""
    from champion_luigi.base import locks

    run(of=LoadClickHouse)
    monkeypatch.setenv("CHAMPION_LOCK_WAIT_SECONDS", "0")
    with locks.locked(settings.data_dir() / "warehouse.lock", "the warehouse", 0):
        assert run(of=LoadClickHouse)[0] == LuigiStatusCode.SUCCESS


def test_reverse_runs_the_newest_day_first_within_a_chunk_too(tmp_path: Path) -> None:
    """One worker, one chunk: the lake's files appear in the order in which the days were run."""
    days = sessions.sessions(date(2024, 1, 8), date(2024, 1, 13))
    with settings.overridden({"archive_url": "simulated:", "fill_workers": 1}):
        fill = FillBhavcopy(of=WriteParquet, start=days[0], stop=date(2024, 1, 13), reverse=True)  # type: ignore[call-arg]
        assert luigi.build([fill], local_scheduler=True, workers=1, log_level="ERROR")
    written = sorted(lake.days(tmp_path / "lake", EQUITY), key=lambda found: Path(found[1].path).stat().st_mtime_ns)
    assert [day for day, _ in written] == days[::-1]


def test_what_belongs_to_this_machine_is_in_its_own_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where machines share DATA_DIR: journal and ledger, to which each appends, and MLflow's SQLite."""
    local = tmp_path / "local"
    monkeypatch.setenv("CHAMPION_LOCAL_DIR", str(local))
    monkeypatch.setenv("CHAMPION_TRACKING", "journal")
    file_of(folder, WEEK[2]).unlink()
    run()
    assert filled() == [day for day in WEEK if day != WEEK[2]]
    assert verdicts() == {WEEK[2]: "absent"}
    assert sorted(each.name for each in local.iterdir()) == ["journal", "ledger.jsonl"]
    assert settings.tracking_uri() == f"sqlite:///{local}/mlflow/mlflow.db"
    assert not {"journal", "ledger.jsonl"} & {each.name for each in settings.data_dir().iterdir()}
