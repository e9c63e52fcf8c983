"""Making a stage of a day again: what becomes due, what readers see meanwhile, and the command that does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import (
    build,
    champion_command,
    champion_here,
    lines_of,
    payload,
    publish,
    retry_at_once,
    run_champion,
    snapshot,
    wait_for,
)
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base import durable, locks, stages
from champion_luigi.base.errors import Busy, TerminalError
from champion_luigi.commands.redo import command
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import answers
from champion_luigi.pipeline.complete import complete_days
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse, NormalizeBhavcopy, ScrapeBhavcopy, WriteParquet
from champion_luigi.storage import due, lake
from champion_luigi.upkeep import redo
from champion_luigi.warehouse import opened
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration

DAY, NEXT, AFTER = date(2024, 1, 15), date(2024, 1, 16), date(2024, 1, 17)
HOLIDAY, SUNDAY = date(2024, 1, 22), date(2024, 1, 14)
ROWS = 20
every_stage = pytest.mark.parametrize("stage", redo.STAGES)


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the first rows of three days' files."""
    retry_at_once(monkeypatch)
    folder = tmp_path.with_name(tmp_path.name + "-archive")
    for day in (DAY, NEXT, AFTER):
        publish(folder, day, "legacy", lines_of_day(day))
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    yield folder
    opened.close_shared()


def lines_of_day(day: date, rows: int = ROWS) -> list[str]:
    return lines_of(payload(day, "legacy"))[: rows + 1]


def as_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Each day of a redo's document, by date."""
    return {entry["date"]: entry for entry in json.loads(done.stdout)["days"]}


def load(*days: date) -> None:
    """Load these days, and let other processes have the warehouse."""
    built = build(*(LoadClickHouse(date=day) for day in days))
    assert built.is_done, built.errors
    opened.close_shared()


def in_warehouse(folder: Path) -> dict[date, int]:
    table = open_warehouse(Address(folder=folder / "warehouse"), 30)
    try:
        return dict(table.rows_by_day(EQUITY))
    finally:
        table.close()


def output(day: date, stage: str) -> Path:
    path: Path = redo.STAGES[stage](date=day).output().file
    return path


def version(file: Path) -> tuple[int, int]:
    """What another file in the same place has not: inode and time. An inode alone may be one that was just freed."""
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


def versions(day: date) -> dict[str, tuple[int, int]]:
    """What is new after a stage has run again, by stage."""
    return {stage: version(output(day, stage)) for stage in redo.STAGES if output(day, stage).exists()}


# What becomes due


@every_stage
def test_a_stage_and_what_follows_it_are_due(stage: str) -> None:
    """Nothing before it is; and one listing says the same as each task."""
    load(DAY)
    redo.make_due(EQUITY, DAY, redo.STAGES[stage])
    found = {name: task(date=DAY).complete() for name, task in redo.STAGES.items()}
    assert found == {name: task.stage < redo.STAGES[stage].stage for name, task in redo.STAGES.items()}
    assert found == {name: complete_days(task, EQUITY, DAY, NEXT) == {DAY} for name, task in redo.STAGES.items()}


def test_nothing_is_taken_away_by_it(tmp_path: Path) -> None:
    """Every output stays as it is; a note says what is due."""
    load(DAY)
    before = snapshot(tmp_path)
    replaced = redo.make_due(EQUITY, DAY, NormalizeBhavcopy)
    after = snapshot(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"due/{DAY}.json"}
    assert replaced == [output(DAY, stage) for stage in ("normalize", "write", "load")]


def test_what_has_no_output_is_not_noted(tmp_path: Path) -> None:
    """It is due as it is."""
    assert build(NormalizeBhavcopy(date=DAY)).is_done
    assert redo.make_due(EQUITY, DAY, WriteParquet) == []
    assert not (tmp_path / "due").exists()


def test_a_stage_that_has_run_is_due_no_more() -> None:
    """Those behind it are, until they have run; then the note is gone."""
    load(DAY)
    redo.make_due(EQUITY, DAY, NormalizeBhavcopy)
    assert build(NormalizeBhavcopy(date=DAY)).is_done
    assert due.stages(wiring.files(EQUITY).due, DAY) == [3, 4]
    load(DAY)
    assert list(wiring.files(EQUITY).due.iterdir()) == []


class AskedAgain(WriteParquet):
    """Asked for again between its end and Luigi's look at what came of it."""

    def run(self) -> None:
        super().run()
        redo.make_due(EQUITY, self.date, WriteParquet, WriteParquet)


def test_what_is_asked_for_right_after_it_has_run_is_for_the_next_run(tmp_path: Path) -> None:
    """The run has done what it had to do, and does not fail of what came later; the stage stays due."""
    assert build(AskedAgain(date=DAY)).errors == []
    assert due.stages(wiring.files(EQUITY).due, DAY) == [WriteParquet.stage]
    written = version(output(DAY, "write"))
    assert not AskedAgain(date=DAY).complete()
    assert build(WriteParquet(date=DAY)).is_done
    assert version(output(DAY, "write")) != written
    assert list(wiring.files(EQUITY).due.iterdir()) == []


def test_an_earlier_stage_that_is_asked_for_meanwhile_stays_due(tmp_path: Path) -> None:
    """A later one that another process was about to run does not end it."""
    due.ask(tmp_path / "due", DAY, [2, 3, 4])
    due.done(tmp_path / "due", DAY, 4)
    assert due.stages(tmp_path / "due", DAY) == [2, 3, 4]


def test_what_is_asked_for_twice_adds_up(tmp_path: Path) -> None:
    """A redo that was killed is not cut short by a later, shorter one."""
    due.ask(tmp_path / "due", DAY, [2, 3])
    due.ask(tmp_path / "due", DAY, [4])
    assert due.stages(tmp_path / "due", DAY) == [2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stages": ["dance"]}', b'{"stages": 7}'])
def test_a_note_that_cannot_be_read_is_taken_as_absent(tmp_path: Path, content: bytes) -> None:
    """A fill of years does not stop at it."""
    durable.write_whole(tmp_path / "due" / f"{DAY}.json", content)
    assert due.stages(tmp_path / "due", DAY) == []
    assert due.first_stages(tmp_path / "due", DAY, NEXT) == {}


def test_files_of_other_names_are_no_notes(tmp_path: Path) -> None:
    """What somebody has put there, or a killed run."""
    for name in ("notes.txt", "2024-13-77.json", f".tmp-{DAY}.json-1-01234567"):
        durable.write_whole(tmp_path / "due" / name, b'{"stages": ["load"]}')
    assert due.first_stages(tmp_path / "due", date.min, date.max) == {}


def test_a_day_that_a_task_is_at_is_not_made_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the day's lock as tasks do, and says who has it."""
    load(DAY)
    monkeypatch.setenv("CHAMPION_LOCK_WAIT_SECONDS", "0")
    with locks.locked(tmp_path / "locks" / f"{DAY}.lock", "the test", 0), pytest.raises(Busy, match=str(os.getpid())):
        redo.make_due(EQUITY, DAY, WriteParquet)
    assert LoadClickHouse(date=DAY).complete()


# What readers see


def test_readers_see_the_day_at_every_moment(archive: Path) -> None:
    """In the lake and in the view, the old rows or the new ones, while all five stages run again."""
    load(DAY)
    publish(archive, DAY, "legacy", lines_of_day(DAY, ROWS - 5))
    redo.make_due(EQUITY, DAY, ScrapeBhavcopy)
    seen: list[tuple[int, int]] = []

    def look(_message: str = "") -> None:
        table = opened.shared(wiring.warehouse_place(), 30)
        rows = lake.scan(settings.lake_dir()).collect().height
        seen.append((rows, dict(table.rows_by_day(EQUITY)).get(DAY, 0)))

    look()
    assert build(LoadClickHouse(date=DAY), on_message=look).is_done
    # After fetching, parsing, normalizing, writing and loading.
    assert seen == [(20, 20), (20, 20), (20, 20), (20, 20), (15, 20), (15, 15)]


@pytest.mark.parametrize("fault", ["not_found", "html", "stale"])
def test_what_is_kept_stays_where_the_archive_gives_no_file_any_more(
    monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """The attempt fails, closes no day, and the next run goes on with the kept file."""
    load(DAY)
    redo.make_due(EQUITY, DAY, ScrapeBhavcopy)
    with SimulatedArchive() as server:
        server.faults[DAY] = Fault(fault)
        monkeypatch.setenv("NSE_ARCHIVE_URL", server.url)
        error = build(LoadClickHouse(date=DAY)).error
        assert type(error) is TerminalError
        assert str(error).startswith(f"{DAY}: the stored file could not be fetched again: ")
        assert answers.read(wiring.files(EQUITY).answers, wiring.archive_name()).answers == {}
        asked = len(server.requests)
        load(DAY)
        assert len(server.requests) == asked


def test_a_fetch_that_is_refused_stays_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive may give it later."""
    load(DAY)
    redo.make_due(EQUITY, DAY, ScrapeBhavcopy)
    with SimulatedArchive() as server:
        server.faults[DAY] = Fault("forbidden")
        monkeypatch.setenv("NSE_ARCHIVE_URL", server.url)
        assert not build(LoadClickHouse(date=DAY)).is_done
    assert due.stages(wiring.files(EQUITY).due, DAY) == [0, 1, 2, 3, 4]


# The command


@pytest.mark.parametrize("stage", ["normalize", "load"])
def test_redo_runs_the_stage_and_what_follows_it(stage: str) -> None:
    """And nothing before it: those files stay the very same."""
    load(DAY)
    before = versions(DAY)
    done = champion_here("redo", "--date", str(DAY), "--from", stage)
    assert done.returncode == 0, done.stderr
    after = versions(DAY)
    assert {name for name in before if before[name] != after[name]} == set(
        list(redo.STAGES)[stages.STAGES.index(stage) :]
    )


def test_redo_takes_over_a_corrected_file(tmp_path: Path, archive: Path) -> None:
    """From scrape: fewer rows in the lake and in the view."""
    load(DAY)
    publish(archive, DAY, "legacy", lines_of_day(DAY, ROWS - 5))
    done = run_champion("redo", "--date", str(DAY), "--from", "scrape")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"1 of 1 days, {ROWS - 5} rows")
    assert lake.scan(tmp_path / "lake").collect().height == ROWS - 5
    assert in_warehouse(tmp_path) == {DAY: ROWS - 5}


def test_redo_keeps_the_payload_that_it_replaces(tmp_path: Path, archive: Path) -> None:
    """As a refresh does: with its receipt, under raw/2024/restated, so that nothing that was published is lost."""
    load(DAY)
    receipt = json.loads(output(DAY, "scrape").read_bytes())
    old = (tmp_path / "raw" / "2024" / receipt["file"]).read_bytes()
    publish(archive, DAY, "legacy", lines_of_day(DAY, ROWS - 5))
    done = champion_here("redo", "--date", str(DAY), "--from", "scrape")
    assert done.returncode == 0, done.stderr
    folder = wiring.files(EQUITY).restated(DAY, receipt["sha256"])
    assert {path.name for path in folder.iterdir()} == {receipt["file"], output(DAY, "scrape").name}
    assert (folder / receipt["file"]).read_bytes() == old
    assert json.loads((folder / output(DAY, "scrape").name).read_bytes()) == receipt


def test_redo_of_an_unchanged_file_keeps_no_copy(tmp_path: Path) -> None:
    """There is nothing that would be lost."""
    load(DAY)
    done = champion_here("redo", "--date", str(DAY), "--from", "scrape")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "raw" / "2024" / "restated").exists()


def test_redo_stops_before_the_warehouse(archive: Path) -> None:
    """With --to write; a file that has changed is due to be loaded by itself, another one is not."""
    load(DAY, NEXT)
    publish(archive, DAY, "legacy", lines_of_day(DAY, ROWS - 5))
    done = champion_here("redo", "--start", str(DAY), "--end", str(NEXT), "--from", "scrape", "--to", "write", "--json")
    assert done.returncode == 0, done.stderr
    assert {day: entry["outcome"] for day, entry in as_json(done).items()} == {str(DAY): "done", str(NEXT): "done"}
    assert complete_days(LoadClickHouse, EQUITY, DAY, AFTER) == {NEXT}
    assert complete_days(WriteParquet, EQUITY, DAY, AFTER) == {DAY, NEXT}


def test_redo_of_a_range_runs_what_is_not_there_and_leaves_out_what_never_was(tmp_path: Path) -> None:
    """Both ends are included; a day without a session is named as such."""
    load(NEXT)
    done = champion_here("redo", "--start", str(SUNDAY), "--end", str(AFTER), "--from", "write", "--json")
    assert done.returncode == 0, done.stderr
    days = as_json(done)
    assert "no session" in days.pop(str(SUNDAY))["nothing"]
    assert {day: entry["outcome"] for day, entry in days.items()} == dict.fromkeys(map(str, (DAY, NEXT, AFTER)), "done")
    assert in_warehouse(tmp_path) == {DAY: ROWS, NEXT: ROWS, AFTER: ROWS}


def test_redo_of_a_day_that_never_was_says_so(tmp_path: Path) -> None:
    """A success, with nothing done."""
    done = champion_here("redo", "--date", str(HOLIDAY), "--from", "parse")
    assert done.returncode == 0, done.stderr
    why = f"{HOLIDAY} is not stored, because there is no session: closed (Ram Mandir"
    assert done.stderr.splitlines()[-1].startswith(f"Nothing to do: {why}")
    assert list(tmp_path.iterdir()) == []


def test_redo_requests_an_absent_day_from_scrape_and_says_so_otherwise(archive: Path, tmp_path: Path) -> None:
    """Before the next request is due: somebody has put the file there."""
    file = publish(archive, DAY, "legacy", lines_of_day(DAY))
    hidden = file.rename(archive / "hidden")
    arguments = ("redo", "--date", str(DAY), "--to", "write", "--from")
    done = champion_here(*arguments, "scrape")
    assert done.returncode == 15, done.stderr
    hidden.rename(file)
    done = champion_here(*arguments, "parse")
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Nothing to do: {DAY} is absent: regular session; no file on ")
    assert last.endswith(", or now with champion redo --from scrape")
    assert champion_here(*arguments, "scrape").returncode == 0
    assert complete_days(WriteParquet, EQUITY, DAY, AFTER) == {DAY}


def test_redo_runs_a_day_that_is_there_whatever_the_calendar_says(archive: Path, tmp_path: Path) -> None:
    """A Sunday's file, asked for by hand once, of an archive that has another name since."""
    lines = [line.replace("12-JAN-2024", "14-JAN-2024") for line in lines_of_day(date(2024, 1, 12))]
    publish(archive, SUNDAY, "legacy", lines)
    with settings.overridden({"ask_closed": True}):
        assert build(WriteParquet(date=SUNDAY)).is_done
    before = versions(SUNDAY)
    moved = archive.rename(archive.with_name("moved"))
    arguments = ("redo", "--date", str(SUNDAY), "--from", "write", "--to", "write")
    done = champion_here(*arguments, NSE_ARCHIVE_URL=str(moved))
    assert done.returncode == 0, done.stderr
    assert versions(SUNDAY)["write"] != before["write"]


def test_redo_exits_30_where_a_day_failed(archive: Path, tmp_path: Path) -> None:
    """The reason is named once, the others are done, and the day is there as it was."""
    load(DAY, NEXT)
    before = versions(DAY)
    publish(archive, DAY, "legacy", ["SYMBOL,NONSENSE", "A,1"])
    done = run_champion("redo", "--start", str(DAY), "--end", str(NEXT), "--from", "scrape")
    assert done.returncode == 30, done.stderr
    [failed] = [line for line in done.stderr.splitlines() if "the stored file could not be" in line]
    assert failed.startswith(f"ERROR: {DAY} failed: TerminalError: the stored file could")
    assert versions(DAY) == before
    assert complete_days(LoadClickHouse, EQUITY, DAY, AFTER) == {NEXT}
    assert in_warehouse(tmp_path) == {DAY: ROWS, NEXT: ROWS}


def test_a_killed_redo_loses_nothing_and_the_next_fill_completes_it(tmp_path: Path) -> None:
    """SIGKILL while it fetches: all is there as before, and due."""
    load(DAY, NEXT)
    before = snapshot(tmp_path / "lake")
    with SimulatedArchive() as server:
        server.faults |= {DAY: Fault("hanging"), NEXT: Fault("hanging")}
        process = subprocess.Popen(
            champion_command("redo", "--start", str(DAY), "--end", str(NEXT), "--from", "scrape"),
            env={**os.environ, "NSE_ARCHIVE_URL": server.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_for(lambda: len(server.requests) == 2, "the redo to fetch")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)
    assert snapshot(tmp_path / "lake") == before
    assert in_warehouse(tmp_path) == {DAY: ROWS, NEXT: ROWS}
    receipts = {version(output(day, "scrape")) for day in (DAY, NEXT)}

    done = champion_here("fill", "--start", str(DAY), "--stop", str(AFTER))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("2 of 2 days")
    assert receipts.isdisjoint(version(output(day, "scrape")) for day in (DAY, NEXT))
    assert list(wiring.files(EQUITY).due.iterdir()) == []


def test_a_dry_run_changes_nothing_and_says_what_would_run(tmp_path: Path) -> None:
    """For each day: what would be replaced, and each task with its reason."""
    load(DAY)
    output(DAY, "parse").unlink()
    output(DAY, "normalize").unlink()
    before = snapshot(tmp_path)
    arguments = ("redo", "--start", str(DAY), "--end", str(NEXT), "--from", "write", "--dry-run")
    days = as_json(champion_here(*arguments, "--json"))
    assert days[str(DAY)]["replaces"] == [str(output(DAY, "write")), str(output(DAY, "load"))]
    assert [(run["stage"], run["why"]) for run in days[str(DAY)]["runs"]] == [
        ("parse", "output missing"),
        ("normalize", "output missing"),
        ("write", "requested"),
        ("load", "follows write"),
    ]
    assert days[str(NEXT)]["replaces"] == []
    assert [run["stage"] for run in days[str(NEXT)]["runs"]] == list(redo.STAGES)
    assert {run["why"] for run in days[str(NEXT)]["runs"]} == {"output missing"}

    done = champion_here(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "From write to load: 1 day again, 1 day for the first time",
        "",
        str(DAY),
        "  replaces  lake/.../bhavcopy_20240115.parquet",
        "  replaces  loaded/embedded_champion_market/2024/bhavcopy_20240115.json",
        "  runs      parse: output missing",
        "  runs      normalize: output missing",
        "  runs      write: requested",
        "  runs      load: follows write",
        "",
        str(NEXT),
        *(f"  runs      {stage}: output missing" for stage in redo.STAGES),
    ]
    assert snapshot(tmp_path) == before


def test_a_dry_run_names_what_was_asked_for_before() -> None:
    """By a redo that was killed."""
    load(DAY)
    redo.make_due(EQUITY, DAY, NormalizeBhavcopy)
    assert redo.plan(EQUITY, DAY, LoadClickHouse).runs == (
        ("normalize", "requested before"),
        ("write", "requested before"),
        ("load", "requested"),
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "write"], "give --date, or --start"),
        (["--date", "2024-01-15"], "--from"),
        (["--date", "2024-01-15", "--start", "2024-01-15", "--from", "write"], "give --date, or --start"),
        (["--date", "2024-01-15", "--end", "2024-01-15", "--from", "write"], "give --date, or --start"),
        (["--start", "2024-01-15", "--end", "2024-01-14", "--from", "write"], "is after --end 2024-01-14"),
        (["--date", "2024-01-15", "--from", "load", "--to", "write"], "--from load comes after --to write"),
        (["--date", "2024-01-15", "--from", "dance"], "dance"),
        (["--date", "today", "--from", "write"], "today"),
    ],
)
def test_redo_tells_what_it_cannot_understand(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Before anything is done."""
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert list(tmp_path.iterdir()) == []


def test_each_stage_has_its_name() -> None:
    """The same number in the note as in the task, and the same choice on the command line."""
    assert [task.stage for task in redo.STAGES.values()] == list(range(len(stages.STAGES)))
    [choice] = [parameter.type for parameter in command.params if parameter.name == "first"]
    assert list(choice.choices) == list(redo.STAGES)  # type: ignore[attr-defined]
    assert all(issubclass(task, DayTask) for task in redo.STAGES.values())
