"""What is expected of a day, and what a 404 says: a table of days, clocks and answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time

import pytest

from champion_luigi.exchange.answers import Answer
from champion_luigi.exchange.expectation import Expectation
from champion_luigi.exchange.sessions import INDIA

MONDAY, TUESDAY, SATURDAY, HOLIDAY = date(2024, 7, 8), date(2024, 7, 9), date(2024, 7, 6), date(2024, 1, 22)
# Tuesday evening, an hour after publication.
NOW = datetime(2024, 7, 9, 20, 0, tzinfo=INDIA)
WEEK = 7


def answer(day: date, verdict: str) -> dict[date, Answer]:
    """What an archive answered for a day."""
    return {day: Answer(day, verdict, "the archive", "a file", "2024-07-01T12:00:00")}  # type: ignore[arg-type]


def expectation(answers: dict[date, Answer] | None = None, now: datetime = NOW) -> Expectation:
    """Of a data set that begins in 2012 and is published at 19:00."""
    return Expectation(date(2012, 2, 21), time(19, 0), answers or {}, now)


@pytest.mark.parametrize(
    ("day", "answers", "state", "why"),
    [
        (MONDAY, {}, "session", "regular session"),
        (SATURDAY, {}, "closed", "Saturday, no session"),
        (HOLIDAY, {}, "closed", "(Ram Mandir"),
        (date(2012, 2, 20), {}, "closed", "before the archive's first day 2012-02-21"),
        (MONDAY, answer(MONDAY, "closed"), "closed", "the archive answered 404 on 2024-07-01"),
        (SATURDAY, answer(SATURDAY, "session"), "session", "Saturday"),
        (date(2024, 7, 10), {}, "unpublished", "not published yet"),
    ],
)
def test_a_day_is_what_calendar_clock_and_answers_say(
    day: date, answers: dict[date, Answer], state: str, why: str
) -> None:
    """An answer of the archive decides over the calendar; a young day's file may still come."""
    found = expectation(answers).of(day)
    assert found.state == state
    assert why in found.why


def test_the_latest_session_changes_at_the_time_of_publication() -> None:
    """The minute itself counts as published, whatever the time zone of the clock."""
    at = expectation(now=datetime(2024, 7, 9, 13, 30, tzinfo=UTC))
    assert at.latest == TUESDAY
    assert replace(at, now=datetime(2024, 7, 9, 13, 29, 59, tzinfo=UTC)).latest == MONDAY


def test_the_days_of_a_range_are_corrected_by_answers() -> None:
    """A Saturday with a file is one, a Monday without one is none, unless it is to be checked again."""
    answers = answer(MONDAY, "closed") | answer(SATURDAY, "session")
    found = expectation(answers)
    assert found.days(date(2024, 7, 5), date(2024, 7, 10)) == {date(2024, 7, 5), SATURDAY, TUESDAY}
    assert found.days(MONDAY, date(2024, 7, 10), recheck_closed=True) == {MONDAY, TUESDAY}


def test_no_day_before_the_first_file_is_expected() -> None:
    """The exchange traded before it published index closes."""
    assert min(expectation().days(date(2012, 1, 1), date(2012, 3, 1))) == date(2012, 2, 21)


@pytest.mark.parametrize(
    ("day", "now", "answered", "state", "why"),
    [
        (date(2024, 7, 1), NOW, None, "closed", "the archive has no file"),
        (date(2024, 7, 2), NOW, None, "unpublished", "though it should be"),
        (TUESDAY, NOW.replace(hour=18), None, "unpublished", "expected from 2024-07-09 19:00 India time"),
        (TUESDAY, NOW, None, "unpublished", "try again in an hour"),
        # The machine's clock is a month ahead, the archive's is right.
        (TUESDAY, NOW.replace(month=8), NOW, "unpublished", "try again in an hour"),
        (date(2024, 7, 20), NOW.replace(month=8), NOW, "unpublished", "Set this machine's clock"),
    ],
)
def test_a_404_means_closed_only_for_an_old_day(
    day: date, now: datetime, answered: datetime | None, state: str, why: str
) -> None:
    """By the earlier of the two clocks; until then the file may come, and the reason says when to try again."""
    found = expectation(now=now).after_404(day, answered, WEEK)
    assert found.state == state
    assert why in found.why


def test_a_day_is_recent_for_as_long_as_its_file_may_come() -> None:
    """As many days as the setting says, the last one included."""
    assert expectation().is_recent(date(2024, 7, 2), WEEK)
    assert not expectation().is_recent(date(2024, 7, 1), WEEK)
