"""The ledger: what an archive answered is remembered, for that archive, through crashes and beside others."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from champion_luigi.base.errors import StorageError
from champion_luigi.exchange import answers
from champion_luigi.exchange.answers import Answer

DAY = date(2023, 6, 15)
ARCHIVE = "https://archive.example"
URL = ARCHIVE + "/cm15JUN2023bhav.csv.zip"
SOON = json.dumps({"date": "soon", "verdict": "closed", "archive": ARCHIVE, "asked": URL, "time": ""})
# A number in place of each text.
WHOLE = {"date": "2023-06-16", "verdict": "absent", "archive": ARCHIVE, "asked": URL, "time": "2024-01-01"}
ODD = [json.dumps({**WHOLE, name: 5}) for name in WHOLE]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.jsonl"


def test_an_answer_is_remembered_with_when_and_what_was_asked(path: Path) -> None:
    """The time is UTC; the folder need not be there before."""
    with time_machine.travel(datetime(2024, 1, 5, 12, 30, tzinfo=UTC), tick=False):
        answers.record(path, [answers.given(DAY, "closed", ARCHIVE, URL)])
    assert answers.read(path, ARCHIVE).answers == {
        DAY: Answer(DAY, "closed", ARCHIVE, URL, "2024-01-05T12:30:00.000+00:00")
    }


def test_without_a_ledger_nothing_was_answered(path: Path) -> None:
    """As before the first fill; asking makes no file."""
    assert answers.read(path, ARCHIVE).answers == {}
    assert not path.exists()


def test_the_last_answer_for_a_date_counts(path: Path) -> None:
    """An archive that has the file later on has it."""
    answers.record(path, [answers.given(DAY, "closed", ARCHIVE, URL)])
    answers.record(path, [answers.given(DAY, "session", ARCHIVE, URL)])
    assert answers.read(path, ARCHIVE).answers[DAY].verdict == "session"


def test_an_answer_holds_for_the_archive_that_gave_it(path: Path) -> None:
    """A folder with half of the files says nothing about the exchange."""
    answers.record(path, [answers.given(DAY, "closed", "/my/files", "/my/files/cm15JUN2023bhav.csv.zip")])
    assert answers.read(path, ARCHIVE).answers == {}


def test_what_was_recorded_stands_unchanged(path: Path) -> None:
    """The ledger is appended to, one JSON object a line."""
    answers.record(path, [answers.given(DAY, "closed", ARCHIVE, URL)])
    before = path.read_bytes()
    answers.record(path, [answers.given(DAY, "session", ARCHIVE, URL)])
    assert path.read_bytes().startswith(before)
    assert [json.loads(line)["verdict"] for line in path.read_text().splitlines()] == ["closed", "session"]


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_a_line_that_was_cut_off_is_passed_over(path: Path, kept: int) -> None:
    """What stands before it counts; the archive will be asked again for that one date."""
    answers.record(path, [answers.given(DAY, "closed", ARCHIVE, URL)])
    whole = path.read_bytes()
    answers.record(path, [answers.given(DAY + timedelta(days=1), "closed", ARCHIVE, URL)])
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:kept])
    assert list(answers.read(path, ARCHIVE).answers) == [DAY]


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_an_answer_after_a_line_that_was_cut_off_is_remembered(path: Path, kept: int) -> None:
    """A power cut costs one answer, not the next one as well."""
    answers.record(path, [answers.given(DAY, "closed", ARCHIVE, URL)])
    path.write_bytes(path.read_bytes()[:kept])
    answers.record(path, [answers.given(DAY + timedelta(days=1), "closed", ARCHIVE, URL)])
    assert list(answers.read(path, ARCHIVE).answers) == [DAY + timedelta(days=1)]


@pytest.mark.parametrize("line", ["", "null", "[]", "{}", '"text"', SOON, *ODD])
def test_a_line_that_is_no_answer_is_passed_over(path: Path, line: str) -> None:
    """Somebody's editing must not stop every fill from then on."""
    answers.record(path, [answers.given(DAY, "closed", ARCHIVE, URL)])
    with path.open("a") as file:
        file.write(line + "\n")
    assert list(answers.read(path, ARCHIVE).answers) == [DAY]


def test_answers_recorded_at_the_same_time_are_all_remembered(path: Path) -> None:
    """Fills of several processes and threads share one ledger."""
    days = [DAY + timedelta(days=number) for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: answers.record(path, [answers.given(day, "closed", ARCHIVE, URL)]), days))
    assert sorted(answers.read(path, ARCHIVE).answers) == days


def test_a_ledger_that_cannot_be_written_is_a_storage_error(path: Path) -> None:
    """With the date, the file and the reason; nothing is taken as known."""
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match=r"2023-06-15: the archive's answer could not be recorded: Is a directory"):
        answers.record(path, [answers.given(DAY, "closed", ARCHIVE, URL)])


def test_equal_answers_in_a_row_are_counted(path: Path) -> None:
    """An earlier version's word for absent counts as one; a file in between starts the count again."""
    for number, verdict in enumerate(("absent", "session", "closed", "absent", "absent")):
        answers.record(path, [Answer(DAY, verdict, ARCHIVE, URL, f"2024-01-0{number + 1}T12:00:00+00:00")])  # type: ignore[arg-type]
    assert answers.read(path, ARCHIVE).answers[DAY].times == 3


def test_an_answer_entered_again_under_its_new_name_is_one_answer(path: Path) -> None:
    """An earlier version's entry keeps its time when it is judged again."""
    old = Answer(DAY, "closed", ARCHIVE, URL, "2024-01-01T12:00:00+00:00")
    answers.record(path, [old, replace(old, verdict="absent")])
    assert answers.read(path, ARCHIVE).answers[DAY] == replace(old, verdict="absent")


def test_requests_on_one_date_count_once(path: Path) -> None:
    """An afternoon of requests by hand must not put off the next one for months."""
    for hour in range(10, 20):
        answers.record(path, [Answer(DAY, "absent", ARCHIVE, URL, f"2024-01-01T{hour}:00:00+00:00")])
    assert answers.read(path, ARCHIVE).answers[DAY].times == 1


def test_a_day_from_a_partial_source_of_any_archive_is_partial_until_it_is_whole(path: Path) -> None:
    """Another archive may have the full file; it has not been requested there."""
    answers.record(path, [answers.given(DAY, "partial", "/my/files", "x"), answers.given(DAY, "absent", ARCHIVE, URL)])
    assert answers.read(path, ARCHIVE).partial == {DAY}
    answers.record(path, [answers.given(DAY, "whole", ARCHIVE, URL)])
    assert not answers.read(path, "/my/files").partial


def test_a_file_of_any_archive_proves_the_session_for_all(path: Path) -> None:
    """And once for ever, whatever is answered later."""
    answers.record(path, [answers.given(DAY, "session", "/my/files", "x"), answers.given(DAY, "absent", ARCHIVE, URL)])
    found = answers.read(path, ARCHIVE)
    assert found.proven == {DAY}
    assert found.answers[DAY].has_no_file
