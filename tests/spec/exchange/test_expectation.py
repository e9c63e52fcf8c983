"""What is expected of a day, and what it means that it has no file: a table of days, clocks, answers and receipts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from champion_luigi.exchange import sessions
from champion_luigi.exchange.answers import Answer, Ledger, Verdict
from champion_luigi.exchange.expectation import NO_RECEIPTS, Expectation, Receipts
from champion_luigi.exchange.sessions import INDIA

MONDAY, TUESDAY, SATURDAY, HOLIDAY = date(2024, 7, 8), date(2024, 7, 9), date(2024, 7, 6), date(2024, 1, 22)
# Tuesday evening, an hour after publication.
NOW = datetime(2024, 7, 9, 20, 0, tzinfo=INDIA)
WEEK = 7
# After the newest file that the table of sessions is made from: weekdays that nothing proves to be sessions.
UNPROVEN = [
    *(date(2026, 9, 21), date(2026, 9, 22), date(2026, 9, 23), date(2026, 9, 24), date(2026, 9, 25)),
    *(date(2026, 9, 28), date(2026, 9, 29), date(2026, 9, 30)),
]
OPEN_DAY = UNPROVEN[3]
LATER = datetime(2026, 10, 20, 20, 0, tzinfo=INDIA)


class Gave:
    """Receipts of some days."""

    def __init__(self, days: Collection[date]) -> None:
        self.days = days

    def gave(self, day: date) -> bool:
        return day in self.days

    def gave_after(self, day: date) -> bool:
        return any(each > day for each in self.days)


def answer(*days: date, verdict: Verdict = "absent", times: int = 1, at: str = "2024-07-01T12:00:00+00:00") -> Ledger:
    """What an archive answered for some days."""
    partial = frozenset(days if verdict == "partial" else ())
    return Ledger({day: Answer(day, verdict, "the archive", "a file", at, times) for day in days}, partial=partial)


def expectation(ledger: Ledger | None = None, now: datetime = NOW, receipts: Receipts = NO_RECEIPTS) -> Expectation:
    """Of a data set that begins in 2012 and is published at 19:00."""
    return Expectation(date(2012, 2, 21), time(19, 0), ledger or Ledger(), now, receipts)


@pytest.mark.parametrize(
    ("day", "ledger", "state", "why"),
    [
        (MONDAY, Ledger(), "session", "regular session"),
        (SATURDAY, Ledger(), "closed", "Saturday, no session"),
        (HOLIDAY, Ledger(), "closed", "(Ram Mandir"),
        (date(2012, 2, 20), Ledger(), "closed", "before the archive's first day 2012-02-21"),
        (MONDAY, answer(MONDAY), "absent", "regular session; no file on 2024-07-01, requested again from 2024-07-02"),
        (MONDAY, answer(MONDAY, verdict="closed"), "absent", "regular session; no file on 2024-07-01"),
        (SATURDAY, answer(SATURDAY), "closed", "Saturday, no session"),
        (SATURDAY, Ledger(proven=frozenset({SATURDAY})), "session", "Saturday"),
        (SATURDAY, replace(answer(SATURDAY), proven=frozenset({SATURDAY})), "absent", "Saturday, no session, proven"),
        (date(2024, 7, 10), Ledger(), "unpublished", "not published yet"),
    ],
)
def test_a_day_is_what_evidence_calendar_clock_and_answers_say(day: date, ledger: Ledger, state: str, why: str) -> None:
    """Evidence of a session beats an answer, and a file of any archive is evidence."""
    found = expectation(ledger).of(day)
    assert found.state == state
    assert why in found.why


@pytest.mark.parametrize("verdict", ["absent", "closed"])
def test_no_answer_closes_a_session_that_the_table_proves(verdict: Verdict) -> None:
    """However many sessions it has around that day: every regular, special and Muhurat session of thirty-two years."""
    days = sessions.sessions(date(2012, 2, 21), sessions.seen_until() + timedelta(days=1))
    found = expectation(answer(*days[::2], verdict=verdict), LATER, Gave(days[1::2]))
    assert not found.closed
    assert found.absent == set(days[::2])
    assert {day.day for day in found.overruled} == (set(days[::2]) if verdict == "closed" else set())
    special = [day for day, row in sessions.exceptions().items() if row.is_session and day >= found.first_date]
    assert not found._is_closed(special[-1])


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ([day for day in UNPROVEN if day != OPEN_DAY], "closed"),
        # One session on one side is missing, one whole side, or everything.
        ([day for day in UNPROVEN if day not in (OPEN_DAY, UNPROVEN[1])], "absent"),
        ([day for day in UNPROVEN if day > OPEN_DAY], "absent"),
        ([day for day in UNPROVEN if day < OPEN_DAY], "absent"),
        ([], "absent"),
    ],
    ids=["whole", "a gap", "begins later", "ends before", "nothing"],
)
def test_an_archive_closes_a_day_without_evidence_only_if_it_is_whole_around_it(given: list[date], state: str) -> None:
    """An archive that lacks a stretch, or everything, is incomplete or wrong, and closes nothing."""
    assert all(map(sessions.is_session, UNPROVEN))
    assert not any(map(sessions.is_proven, UNPROVEN))
    found = expectation(answer(OPEN_DAY), LATER, Gave(given))
    assert found.of(OPEN_DAY).state == state
    assert (OPEN_DAY in found.days(UNPROVEN[0], UNPROVEN[-1])) == (state == "absent")
    assert OPEN_DAY in found.days(UNPROVEN[0], UNPROVEN[-1], recheck_closed=True)


def test_a_few_days_in_a_row_can_be_closed_and_a_stretch_cannot() -> None:
    """A holiday of two days that no list announced is one thing, an archive without a week another."""
    days = sessions.sessions(date(2026, 8, 24), date(2026, 10, 10))
    for number, is_closed in ((2, True), (3, True), (4, False), (10, False)):
        gone = days[5 : 5 + number]
        found = expectation(answer(*gone), LATER, Gave([day for day in days if day not in gone]))
        assert found.closed == (set(gone) if is_closed else set()), number


def test_the_latest_session_changes_at_the_time_of_publication() -> None:
    """The minute itself counts as published, whatever the time zone of the clock."""
    at = expectation(now=datetime(2024, 7, 9, 13, 30, tzinfo=UTC))
    assert at.latest == TUESDAY
    assert replace(at, now=datetime(2024, 7, 9, 13, 29, 59, tzinfo=UTC)).latest == MONDAY


def test_the_days_of_a_range_are_corrected_by_files_and_by_nothing_else() -> None:
    """A Saturday with a file is a session; a Monday without one stays due."""
    found = expectation(replace(answer(MONDAY, verdict="closed"), proven=frozenset({SATURDAY})))
    assert found.days(date(2024, 7, 5), date(2024, 7, 10)) == {date(2024, 7, 5), SATURDAY, MONDAY, TUESDAY}


def test_no_day_before_the_first_file_is_expected() -> None:
    """The exchange traded before it published index closes."""
    assert min(expectation().days(date(2012, 1, 1), date(2012, 3, 1))) == date(2012, 2, 21)


@pytest.mark.parametrize(
    ("times", "days"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 64), (8, 64), (1000, 64)]
)
def test_an_absent_day_is_requested_again_less_and_less_often(times: int, days: int) -> None:
    """By days in India, so that a cron job a minute earlier than the day before still finds it due."""
    asked = datetime(2024, 1, 1, 19, 30, tzinfo=INDIA)
    ledger = answer(date(2020, 1, 1), times=times, at=asked.astimezone(UTC).isoformat())
    due = datetime.combine(asked.date() + timedelta(days=days), time(0, 1), INDIA)
    assert not expectation(ledger, due).resting
    assert expectation(ledger, due - timedelta(minutes=2)).resting == {date(2020, 1, 1)}


@pytest.mark.parametrize("at", ["2031-01-01T12:00:00+00:00", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+23:00"])
def test_an_answer_of_a_clock_that_was_ahead_puts_no_request_off(at: str) -> None:
    """Otherwise the day would not be requested again until that year."""
    ledger = answer(date(2020, 1, 1), at=at)
    assert expectation(ledger).absent == {date(2020, 1, 1)}
    assert not expectation(ledger).resting


def test_a_day_from_a_partial_source_is_looked_for_on_the_same_schedule() -> None:
    """It is complete meanwhile, neither absent nor closed."""
    found = expectation(answer(MONDAY, verdict="partial", at="2024-07-08T14:00:00+00:00"))
    assert found.partial == {MONDAY}
    assert not found.absent
    assert found.of(MONDAY).state == "session"
    assert not expectation(answer(MONDAY, verdict="partial", at="2024-07-09T14:00:00+00:00")).partial
    assert not expectation(answer(MONDAY, verdict="whole")).partial


# Clock of the archive, and what it has of later days.
@pytest.mark.parametrize(
    ("day", "now", "answered", "state", "why"),
    [
        (date(2024, 7, 1), NOW, None, "absent", "regular session, and no source has its file"),
        (date(2024, 7, 2), NOW, None, "unpublished", "though it should be"),
        (TUESDAY, NOW.replace(hour=18), None, "unpublished", "expected from 2024-07-09 19:00 India time"),
        (TUESDAY, NOW, None, "unpublished", "try again in an hour"),
        # The machine's clock is a month ahead, the archive's is right.
        (TUESDAY, NOW.replace(month=8), NOW, "unpublished", "try again in an hour"),
        (date(2024, 7, 20), NOW.replace(month=8), NOW, "unpublished", "Set this machine's clock"),
        # A folder has no clock; nothing shows that its days have come.
        (OPEN_DAY, LATER, None, "unpublished", "no later file, and no clock of its own"),
        (date(2031, 1, 2), datetime(2032, 1, 1, tzinfo=INDIA), None, "unpublished", "no clock of its own"),
        (OPEN_DAY, LATER, LATER, "absent", "no source has its file"),
    ],
)
def test_a_missing_file_means_absent_only_for_a_day_that_is_surely_old(
    day: date, now: datetime, answered: datetime | None, state: str, why: str
) -> None:
    """By the earlier of the two clocks; until then the file may come, and the reason says when to try again."""
    found = expectation(now=now).after_404(day, answered, WEEK)
    assert found.state == state
    assert why in found.why


def test_a_folder_with_a_later_file_shows_that_a_day_has_come() -> None:
    """Its newest file is a clock of a kind."""
    at = expectation(now=LATER, receipts=Gave([UNPROVEN[4]]))
    assert at.after_404(OPEN_DAY, None, WEEK).state == "absent"


def test_a_session_whose_file_is_lost_is_called_so() -> None:
    """Nobody needs to look for it."""
    found = replace(expectation(answer(MONDAY)), lost=frozenset({MONDAY}))
    assert "a session whose file no known archive has" in found.of(MONDAY).why


def test_a_day_is_recent_for_as_long_as_its_file_may_come() -> None:
    """As many days as the setting says, the last one included."""
    assert expectation().is_recent(date(2024, 7, 2), WEEK)
    assert not expectation().is_recent(date(2024, 7, 1), WEEK)
