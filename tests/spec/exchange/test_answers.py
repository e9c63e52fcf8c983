"""The ledger: what an archive answered is remembered, for that archive, through crashes and beside others."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "ledger.jsonl"


def test_an_answer_is_remembered_with_when_and_what_was_asked(path: Path) -> None:
    """The time is UTC; the folder need not be there before."""
    with time_machine.travel(datetime(2024, 1, 5, 12, 30, tzinfo=UTC), tick=False):
        answers.record(path, DAY, "closed", ARCHIVE, URL)
    assert answers.answers(path, ARCHIVE) == {DAY: Answer(DAY, "closed", ARCHIVE, URL, "2024-01-05T12:30:00.000+00:00")}


def test_without_a_ledger_nothing_was_answered(path: Path) -> None:
    """As before the first fill; asking makes no file."""
    assert answers.answers(path, ARCHIVE) == {}
    assert not path.exists()


def test_the_last_answer_for_a_date_counts(path: Path) -> None:
    """An archive that has the file later on has it."""
    answers.record(path, DAY, "closed", ARCHIVE, URL)
    answers.record(path, DAY, "session", ARCHIVE, URL)
    assert answers.answers(path, ARCHIVE)[DAY].verdict == "session"


def test_an_answer_holds_for_the_archive_that_gave_it(path: Path) -> None:
    """A folder with half of the files says nothing about the exchange."""
    answers.record(path, DAY, "closed", "/my/files", "/my/files/cm15JUN2023bhav.csv.zip")
    assert answers.answers(path, ARCHIVE) == {}


def test_what_was_recorded_stands_unchanged(path: Path) -> None:
    """The ledger is appended to, one JSON object a line."""
    answers.record(path, DAY, "closed", ARCHIVE, URL)
    before = path.read_bytes()
    answers.record(path, DAY, "session", ARCHIVE, URL)
    assert path.read_bytes().startswith(before)
    assert [json.loads(line)["verdict"] for line in path.read_text().splitlines()] == ["closed", "session"]


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_a_line_that_was_cut_off_is_passed_over(path: Path, kept: int) -> None:
    """What stands before it counts; the archive will be asked again for that one date."""
    answers.record(path, DAY, "closed", ARCHIVE, URL)
    whole = path.read_bytes()
    answers.record(path, DAY + timedelta(days=1), "closed", ARCHIVE, URL)
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:kept])
    assert list(answers.answers(path, ARCHIVE)) == [DAY]


@pytest.mark.parametrize("kept", [1, 30, -2])
def test_an_answer_after_a_line_that_was_cut_off_is_remembered(path: Path, kept: int) -> None:
    """A power cut costs one answer, not the next one as well."""
    answers.record(path, DAY, "closed", ARCHIVE, URL)
    path.write_bytes(path.read_bytes()[:kept])
    answers.record(path, DAY + timedelta(days=1), "closed", ARCHIVE, URL)
    assert list(answers.answers(path, ARCHIVE)) == [DAY + timedelta(days=1)]


@pytest.mark.parametrize("line", ["", "null", "[]", "{}", '"text"', SOON])
def test_a_line_that_is_no_answer_is_passed_over(path: Path, line: str) -> None:
    """Somebody's editing must not stop every fill from then on."""
    answers.record(path, DAY, "closed", ARCHIVE, URL)
    with path.open("a") as file:
        file.write(line + "\n")
    assert list(answers.answers(path, ARCHIVE)) == [DAY]


def test_answers_recorded_at_the_same_time_are_all_remembered(path: Path) -> None:
    """Fills of several processes and threads share one ledger."""
    days = [DAY + timedelta(days=number) for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: answers.record(path, day, "closed", ARCHIVE, URL), days))
    assert sorted(answers.answers(path, ARCHIVE)) == days


def test_a_ledger_that_cannot_be_written_is_a_storage_error(path: Path) -> None:
    """With the date, the file and the reason; nothing is taken as known."""
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match=r"2023-06-15: the archive's answer could not be recorded: Is a directory"):
        answers.record(path, DAY, "closed", ARCHIVE, URL)
