"""Sessions without a file: absent by evidence, still due, requested again less and less often, closed only rarely."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import luigi
import pytest
import time_machine
from helpers import archive_path, lines_of, payload, publish, retry_at_once
from luigi.execution_summary import LuigiStatusCode
from luigi.task_register import Register
from simulated_server import Fault, SimulatedArchive

from champion_luigi import FillBhavcopy, WriteParquet
from champion_luigi.config import wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import answers, sessions
from champion_luigi.exchange.answers import Answer
from champion_luigi.exchange.sessions import INDIA
from champion_luigi.pipeline import absence
from champion_luigi.storage import raw
from champion_luigi.tracking.record import journal_folder
from champion_luigi.upkeep import coverage

# Sessions that the table proves, and others, after the newest file that it is made from.
WEEK = [date(2023, 6, day) for day in range(12, 17)]
UNPROVEN = sessions.sessions(date(2026, 9, 1), date(2026, 9, 12))
STOP = date(2026, 9, 12)
LATER = datetime(2026, 9, 30, 20, 0, tzinfo=INDIA)
ROWS = 5


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    retry_at_once(monkeypatch)
    caplog.set_level(logging.INFO, logger="luigi-interface.fill")
    Register.clear_instance_cache()
    yield
    Register.clear_instance_cache()


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first rows of each of those days."""
    folder = tmp_path_factory.mktemp("both")
    for days, format in ((WEEK, "legacy"), (UNPROVEN, "udiff")):
        for day in days:
            publish(folder, day, format, lines_of(payload(day, format))[: ROWS + 1])
    return folder


@pytest.fixture
def folder(both: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, for the test to change, which the archive's address leads to."""
    copy = tmp_path_factory.mktemp("archive") / "files"
    shutil.copytree(both, copy)
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(copy))
    return copy


@pytest.fixture
def archive(both: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """That folder over HTTP, with room for faults."""
    with SimulatedArchive(folder=both) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


def file_of(folder: Path, day: date) -> Path:
    """A day's file in the archive's folder."""
    return folder / archive_path("legacy" if day in WEEK else "udiff", day).lstrip("/")


def run(days: Sequence[date] = WEEK, **parameters: Any) -> tuple[LuigiStatusCode, FillBhavcopy]:
    """Fill the lake, as a program does: how it ended, and the task with its progress."""
    Register.clear_instance_cache()
    its: dict[str, Any] = {"of": WriteParquet, "start": days[0], "stop": days[-1] + timedelta(days=1)}
    task = FillBhavcopy(**its | parameters)
    result = luigi.build([task], local_scheduler=True, workers=1, detailed_summary=True, log_level="INFO")
    return result.status, task


def filled(days: Sequence[date] = WEEK) -> list[date]:
    """The days that the lake has."""
    return [day for day in days if WriteParquet(date=day).is_made()]


def verdicts() -> dict[date, str]:
    """What the ledger says of this archive."""
    return {day: answer.verdict for day, answer in wiring.ledger(EQUITY).answers.items()}


def later(days: float) -> time_machine.travel:
    """So many days from now."""
    return time_machine.travel(datetime.now(UTC) + timedelta(days=days))


def states(days: Sequence[date]) -> list[str]:
    """The days' states, as `champion status` has them."""
    return [day.state for day in coverage.of_range(EQUITY, days[0], days[-1]).days]


# Absent


def test_a_proven_session_without_a_file_is_absent_and_never_closed(folder: Path) -> None:
    """Its absence is entered with what was asked; it is neither a failure nor a success."""
    file_of(folder, WEEK[2]).unlink()
    status, task = run()
    assert status == LuigiStatusCode.MISSING_EXT
    assert task.is_done_but_for_absent
    assert task.progress is not None
    assert list(task.progress.absent) == [WEEK[2]]
    assert task.progress.metrics()["days_absent"] == 1
    [answer] = wiring.ledger(EQUITY).answers.values()
    assert (answer.day, answer.verdict, answer.archive) == (WEEK[2], "absent", str(folder))
    assert "cm14JUN2023bhav.csv.zip" in answer.asked
    assert states(WEEK) == ["lake", "lake", "absent", "lake", "lake"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_fill_enters_an_absent_day_once(folder: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one task at a time too: a second entry would count as a second request, and the next one come a day late."""
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", str(workers))
    file_of(folder, WEEK[2]).unlink()
    run()
    [answer] = wiring.ledger(EQUITY).answers.values()
    assert answer.times == 1
    assert len(wiring.files(EQUITY).answers.read_bytes().splitlines()) == 1


def test_an_archive_that_lacks_whole_stretches_closes_none_of_its_days(folder: Path) -> None:
    """One day at the end is all that it has, and everything before it stays absent."""
    for day in WEEK[:4]:
        file_of(folder, day).unlink()
    status, task = run()
    assert status == LuigiStatusCode.MISSING_EXT
    assert task.progress is not None
    assert not task.progress.closed
    [words] = task.outstanding()
    assert words.startswith("4 sessions are absent: 2023-06-12 to 2023-06-15 (4); no source of the archive has a file;")
    assert "champion fill --recheck-absent" in words


@pytest.mark.integration
def test_a_wrong_address_closes_nothing_and_is_named(archive: SimulatedArchive) -> None:
    """Every day answers 404: the words say where to look."""
    archive.faults.update(dict.fromkeys(WEEK, Fault("not_found")))
    _, task = run()
    assert verdicts() == dict.fromkeys(WEEK, "absent")
    assert "the archive gave none of the days requested: check NSE_ARCHIVE_URL" in task.outstanding()[0]


@pytest.mark.integration
def test_an_absent_day_is_named_by_later_fills_without_a_request(archive: SimulatedArchive) -> None:
    """The same evening costs the exchange nothing, and does not look like success."""
    archive.faults[WEEK[2]] = Fault("not_found")
    run()
    asked = len(archive.requests)
    status, task = run()
    assert status == LuigiStatusCode.MISSING_EXT
    assert task.is_done_but_for_absent
    assert len(archive.requests) == asked


@pytest.mark.integration
def test_an_absent_day_is_requested_again_on_later_evenings_ever_less_often(archive: SimulatedArchive) -> None:
    """After 1, 2, 4, 8, 16, 32 and 64 days: twelve requests in a year and a half, not five hundred."""
    archive.faults[WEEK[2]] = Fault("not_found")
    run()
    evenings = []
    for evening in range(1, 200):
        before = len(archive.requests)
        with later(evening):
            run()
        if len(archive.requests) > before:
            evenings.append(evening)
    assert evenings == [1, 3, 7, 15, 31, 63, 127, 191]


def test_a_file_that_comes_back_is_loaded_by_the_next_fill_that_looks(folder: Path, both: Path) -> None:
    """Without a flag; and it is a session like others from then on."""
    late = file_of(folder, WEEK[2])
    late.unlink()
    run()
    late.write_bytes(file_of(both, WEEK[2]).read_bytes())
    assert run()[0] == LuigiStatusCode.MISSING_EXT
    with later(1):
        status, task = run()
    assert status == LuigiStatusCode.SUCCESS, task.outstanding()
    assert filled() == WEEK
    assert verdicts() == {WEEK[2]: "session"}


def test_recheck_absent_requests_all_of_them_at_once(folder: Path, both: Path) -> None:
    """Whatever their turn."""
    for day in WEEK[1:4]:
        file_of(folder, day).unlink()
    run()
    for day in WEEK[1:3]:
        shutil.copy(file_of(both, day), file_of(folder, day))
    status, task = run(recheck_absent=True)
    assert status == LuigiStatusCode.MISSING_EXT
    assert list(task.absent) == [WEEK[3]]
    assert filled() == [*WEEK[:3], WEEK[4]]


def test_of_many_absent_days_a_few_are_probed_and_all_follow_if_one_is_there(
    folder: Path, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of days must not be requested each evening, and must come back in one."""
    monkeypatch.setattr(absence, "PROBES", 2)
    for day in WEEK:
        file_of(folder, day).unlink()
    run()
    with later(1):
        _, task = run()
        assert task.progress is not None
        assert sorted(task.progress.absent) == [WEEK[0], WEEK[-1]]
    for day in WEEK:
        shutil.copy(file_of(both, day), file_of(folder, day))
    with later(2):
        # The first and the last have been looked for yesterday, so it is two others' turn.
        status, task = run()
    assert task.progress is not None
    assert task.progress.due == 3
    assert filled() == WEEK[1:4]
    assert status == LuigiStatusCode.MISSING_EXT
    with later(3):
        assert run()[0] == LuigiStatusCode.SUCCESS


@pytest.mark.parametrize("reverse", [False, True])
def test_a_limit_is_for_days_that_were_never_requested_first(folder: Path, reverse: bool) -> None:
    """Otherwise a limited fill of every evening would request the absent days alone, and never come to the others."""
    for day in (WEEK[0], WEEK[1], WEEK[4]):
        file_of(folder, day).unlink()
    run(WEEK[:2])
    run(WEEK[4:])
    with later(1):
        _, task = run(task_limit=3, reverse=reverse)
    assert filled() == WEEK[2:4]
    assert task.progress is not None
    assert (task.progress.due, task.progress.left) == (3, 2)


def test_a_limit_holds_when_files_have_come_back(folder: Path, both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The days that follow a probe count as well, in the running order."""
    monkeypatch.setattr(absence, "PROBES", 2)
    for day in WEEK:
        file_of(folder, day).unlink()
    run()
    for day in WEEK:
        shutil.copy(file_of(both, day), file_of(folder, day))
    with later(1):
        _, task = run(task_limit=3, reverse=True)
        assert filled() == [WEEK[0], WEEK[3], WEEK[4]]
        assert task.progress is not None
        assert (task.progress.due, task.progress.done, task.progress.left) == (3, 3, 2)


def test_an_archive_that_gave_files_is_not_called_wrong(folder: Path) -> None:
    """On an evening without a new file, a day that is absent again says nothing of the address."""
    file_of(folder, WEEK[2]).unlink()
    run()
    with later(1):
        _, task = run()
    [words] = task.outstanding()
    assert "no source of the archive has a file" in words
    assert "NSE_ARCHIVE_URL" not in words


def test_probes_are_spread_over_the_days() -> None:
    """The first and the last are among them; few days are all probed."""
    days = [date(2000, 1, 1) + timedelta(days=number) for number in range(10_000)]
    found = absence.probes(days[::-1])
    assert (len(found), found[0], found[-1]) == (absence.PROBES, days[0], days[-1])
    assert max(later - earlier for earlier, later in itertools.pairwise(found)) < timedelta(days=500)
    assert absence.probes(days[:5]) == days[:5]


def test_another_archive_is_asked_for_what_the_first_one_lacked(
    folder: Path, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: absent holds for the archive that said so."""
    file_of(folder, WEEK[2]).unlink()
    run()
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(both))
    assert run()[0] == LuigiStatusCode.SUCCESS
    assert filled() == WEEK


def test_absent_days_before_the_first_file_are_visible(folder: Path) -> None:
    """Without a range, the status begins with what was requested first, not with what came first."""
    for day in WEEK[:2]:
        file_of(folder, day).unlink()
    run()
    with time_machine.travel(datetime(2023, 6, 17, tzinfo=INDIA)):
        found = coverage.of_range(EQUITY)
    assert found.first == WEEK[0]
    assert [day.date for day in found.of("absent")] == WEEK[:2]


def test_a_single_days_task_enters_it_too(folder: Path) -> None:
    """The task is left pending, because the day that somebody asked for is not there; nothing has failed."""
    file_of(folder, WEEK[2]).unlink()
    task = WriteParquet(date=WEEK[2])
    result = luigi.build([task], local_scheduler=True, log_level="CRITICAL", detailed_summary=True)
    assert result.status == LuigiStatusCode.MISSING_EXT
    assert states(WEEK[2:3]) == ["absent"]


def test_a_day_whose_file_came_and_is_bad_has_failed(folder: Path) -> None:
    """The latest answer counts: there is a file now, with the reason why it cannot be used."""
    file_of(folder, WEEK[2]).unlink()
    run()
    file_of(folder, WEEK[2]).write_bytes(b"no zip, and no header\n1\n")
    status, _ = run(recheck_absent=True)
    assert status == LuigiStatusCode.FAILED
    assert states(WEEK) == ["lake", "lake", "failed", "lake", "lake"]
    # Each fill requests it, though the absent day would have rested.
    status, task = run()
    assert status == LuigiStatusCode.FAILED
    assert task.progress is not None
    assert list(task.progress.failed) == [WEEK[2]]
    assert not task.outstanding()
    file_of(folder, WEEK[2]).unlink()
    with later(3):
        run()
    assert states(WEEK) == ["lake", "lake", "absent", "lake", "lake"]


# From a partial source


def pressed(folder: Path, days: Sequence[date] = WEEK) -> None:
    """Put the press's files of these days, and no others, into the archive's folder."""
    for day in days:
        file_of(folder, day).unlink()
        press = folder / archive_path("pr", day).lstrip("/")
        press.parent.mkdir(parents=True, exist_ok=True)
        press.write_bytes(payload(day, "pr"))


def source_of(day: date) -> str:
    """The source of a day's stored file."""
    receipt: dict[str, str] = json.loads(wiring.files(EQUITY).receipt(day).read_bytes())
    return receipt["format"]


def test_a_full_file_that_comes_later_replaces_the_day(folder: Path, both: Path) -> None:
    """The day is complete meanwhile; its first receipt is kept as restated, and the file stays for other data sets."""
    pressed(folder)
    assert run()[0] == LuigiStatusCode.SUCCESS
    shutil.copy(file_of(both, WEEK[2]), file_of(folder, WEEK[2]))
    assert run()[1].progress is None
    with later(1):
        status, task = run()
        assert status == LuigiStatusCode.SUCCESS
        assert task.progress is not None
        assert task.progress.done == 1
        assert [source_of(day) for day in WEEK] == ["pr", "pr", "legacy", "pr", "pr"]
        assert run()[1].progress is None
    assert verdicts()[WEEK[2]] == "whole"
    files = wiring.files(EQUITY)
    [replaced] = files.receipt(WEEK[2]).parent.glob("restated/*/*.json")
    receipt = json.loads(replaced.read_text())
    assert receipt["format"] == "pr"
    assert raw.content_of(files, WEEK[2], receipt).startswith(b"PK")


@pytest.mark.parametrize(
    "content",
    [b"<html>Under maintenance</html>", b"version https://git-lfs.github.com/spec/v1\n", payload(WEEK[3], "legacy")],
    ids=["page", "pointer", "other day"],
)
def test_a_full_file_that_is_bad_is_named_and_hides_no_other(
    folder: Path, both: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The day stays as it is, and is looked for again as if there were no file."""
    pressed(folder)
    run()
    file_of(folder, WEEK[0]).write_bytes(content)
    shutil.copy(file_of(both, WEEK[2]), file_of(folder, WEEK[2]))
    with later(1):
        status, task = run()
        assert status == LuigiStatusCode.SUCCESS
        assert task.progress is not None
        assert task.progress.done == 1
        assert [source_of(day) for day in WEEK] == ["pr", "pr", "legacy", "pr", "pr"]
        assert "because its full file cannot be used: 2023-06-12: " in caplog.text
        assert run()[1].progress is None


def test_another_archive_is_asked_for_the_full_file_too(
    folder: Path, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: the archive that gave the partial file lacked it, and no other."""
    pressed(folder)
    run()
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(both))
    assert run()[0] == LuigiStatusCode.SUCCESS
    assert {source_of(day) for day in WEEK} == {"legacy"}
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    assert run()[1].progress is None


# Closed


def test_a_day_that_nothing_proves_is_closed_by_an_archive_that_is_whole_around_it(folder: Path) -> None:
    """An unannounced holiday: not due, and not a failure."""
    file_of(folder, UNPROVEN[4]).unlink()
    with time_machine.travel(LATER):
        status, task = run(UNPROVEN)
        assert status == LuigiStatusCode.SUCCESS
        assert task.progress is not None
        assert list(task.progress.closed) == [UNPROVEN[4]]
        assert states(UNPROVEN)[4] == "closed"
        assert run(UNPROVEN)[1].progress is None


@pytest.mark.parametrize("gone", [[3, 4], [4, 7], [0], [1], [7]], ids=str)
def test_a_day_at_the_edge_of_what_the_archive_has_is_absent(folder: Path, gone: list[int]) -> None:
    """Three sessions on each side are needed, apart from other days that are missing with it."""
    for number in gone:
        file_of(folder, UNPROVEN[number]).unlink()
    with time_machine.travel(LATER):
        _, task = run(UNPROVEN)
    assert task.progress is not None
    closed = [UNPROVEN[number] for number in gone] if gone == [3, 4] else []
    assert list(task.progress.closed) == closed
    assert sorted(task.absent) == [UNPROVEN[number] for number in gone if UNPROVEN[number] not in closed]


def test_a_closed_day_that_gets_a_file_is_a_session(folder: Path, both: Path) -> None:
    """With --recheck-closed, as before."""
    late = file_of(folder, UNPROVEN[4])
    late.unlink()
    with time_machine.travel(LATER):
        run(UNPROVEN)
        late.write_bytes(file_of(both, UNPROVEN[4]).read_bytes())
        status, _ = run(UNPROVEN, recheck_closed=True)
        assert status == LuigiStatusCode.SUCCESS
        assert filled(UNPROVEN) == UNPROVEN
        assert UNPROVEN[4] in wiring.expectation(EQUITY).days(UNPROVEN[0], STOP)


def test_files_that_another_archive_gave_close_nothing(
    folder: Path, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say nothing about this one."""
    with time_machine.travel(LATER):
        monkeypatch.setenv("NSE_ARCHIVE_URL", str(both))
        run(UNPROVEN[:4])
        run(UNPROVEN[5:])
        monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
        file_of(folder, UNPROVEN[4]).unlink()
        _, task = run(UNPROVEN)
        # A folder without any later file of its own has no clock: its day may be still to come.
        assert task.progress is not None
        assert list(task.progress.unpublished) == [UNPROVEN[4]]


# Unpublished


@pytest.mark.parametrize(("days_later", "is_absent"), [(0, False), (7, False), (8, True)])
def test_a_missing_file_counts_as_absent_after_some_days(folder: Path, days_later: int, is_absent: bool) -> None:
    """Until then it may still come, and each fill requests it."""
    file_of(folder, WEEK[4]).unlink()
    with time_machine.travel(datetime(2023, 6, 16, 20, 0, tzinfo=INDIA) + timedelta(days=days_later)):
        status, task = run()
    assert status == LuigiStatusCode.MISSING_EXT
    assert task.is_done_but_for_absent == is_absent
    assert verdicts() == ({WEEK[4]: "absent"} if is_absent else {})


def test_a_clock_that_is_ahead_makes_no_future_day_absent_or_closed(folder: Path) -> None:
    """A folder has no clock of its own. Nothing is entered, and the words are few."""
    with time_machine.travel(datetime(2028, 11, 29, 20, 0, tzinfo=INDIA)):
        status, task = run(UNPROVEN, stop=date(2026, 12, 31))
        assert status == LuigiStatusCode.MISSING_EXT
        assert not task.is_done_but_for_absent
        assert task.progress is not None
        assert len(task.progress.unpublished) > 70
        assert len(task.outstanding()) < 20
    assert filled(UNPROVEN) == UNPROVEN
    assert verdicts() == {}


# Earlier versions' ledgers


def test_what_an_earlier_version_closed_is_judged_again(
    folder: Path, both: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says how many; the days are requested, and those that are there are loaded."""
    old = datetime.now(UTC) - timedelta(days=400)
    entries = [Answer(day, "closed", str(folder), "a file", old.isoformat()) for day in WEEK[1:4]]
    answers.record(wiring.files(EQUITY).answers, entries)
    file_of(folder, WEEK[2]).unlink()
    status, task = run()
    [line] = [each.getMessage() for each in caplog.records if "recorded as closed" in each.getMessage()]
    assert "3 days were recorded as closed, though nothing shows that" in line
    assert status == LuigiStatusCode.MISSING_EXT
    assert list(task.absent) == [WEEK[2]]
    assert filled() == [*WEEK[:2], *WEEK[3:]]
    caplog.clear()
    run()
    assert not [each for each in caplog.records if "recorded as closed" in each.getMessage()]


def test_what_an_earlier_version_closed_rightly_stays_closed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No evidence, and the archive is whole around it."""
    file_of(folder, UNPROVEN[4]).unlink()
    with time_machine.travel(LATER):
        run(UNPROVEN)
        ledger = wiring.files(EQUITY).answers
        ledger.write_text(ledger.read_text().replace('"absent"', '"closed"'))
        assert run(UNPROVEN)[1].progress is None
        assert wiring.expectation(EQUITY).closed == {UNPROVEN[4]}
        assert not wiring.expectation(EQUITY).overruled


def test_what_an_earlier_version_closed_rightly_stays_closed_under_another_spelling(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receipts of version 0.1.0 have no archive, and URLs below what the user had typed, here a link."""
    typed = tmp_path / "typed"
    typed.symlink_to(folder)
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(typed))
    file_of(folder, UNPROVEN[4]).unlink()
    with time_machine.travel(LATER):
        run(UNPROVEN)
        for receipt in (wiring.files(EQUITY).receipt(day) for day in filled(UNPROVEN)):
            content = {name: value for name, value in json.loads(receipt.read_bytes()).items() if name != "archive"}
            content["url"] = content["url"].replace(str(folder), str(typed))
            receipt.write_text(json.dumps(content))
        ledger = wiring.files(EQUITY).answers
        ledger.write_text(ledger.read_text().replace('"absent"', '"closed"').replace(str(folder), str(typed)))
        assert wiring.expectation(EQUITY).closed == {UNPROVEN[4]}


def test_an_absent_day_whose_file_may_still_come_is_not_named_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has raised the number of days after which a file counts as absent."""
    file_of(folder, UNPROVEN[0]).unlink()
    with time_machine.travel(LATER):
        run(UNPROVEN)
        monkeypatch.setenv("CHAMPION_CLOSED_AFTER_DAYS", "60")
        status, task = run(UNPROVEN, recheck_absent=True)
    assert status == LuigiStatusCode.MISSING_EXT
    [words] = task.outstanding()
    assert words.startswith(f"{UNPROVEN[0]}: not published yet")


def test_the_ledgers_lines_are_for_people_too(folder: Path) -> None:
    """JSON with names that need no explanation."""
    file_of(folder, WEEK[2]).unlink()
    run()
    [line] = wiring.files(EQUITY).answers.read_text().splitlines()
    assert json.loads(line).keys() == {"date", "verdict", "archive", "asked", "time"}


def test_a_missing_file_in_the_last_chunk_is_settled_like_one_in_the_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it means is decided when all chunks have run."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    for number in (4, 5):
        file_of(folder, UNPROVEN[number]).unlink()
    with time_machine.travel(LATER):
        _, task = run(UNPROVEN)
    assert task.progress is not None
    assert sorted(task.progress.closed) == [UNPROVEN[4], UNPROVEN[5]]


def test_a_fill_that_only_names_absent_days_records_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no run to send to MLflow, so no evening waits for it."""
    monkeypatch.setenv("CHAMPION_TRACKING", "journal")
    file_of(folder, WEEK[2]).unlink()
    run()
    written = {path: path.read_bytes() for path in journal_folder().glob("*.jsonl")}
    assert any(b'"fill_end"' in content for content in written.values())
    assert run()[1].is_done_but_for_absent
    assert {path: path.read_bytes() for path in journal_folder().glob("*.jsonl")} == written
