"""What is expected of a day, and what a missing file means: pure, from evidence, clocks and the archive's answers.

A date without data is one of four things. It is *closed* if the calendar has no session on it, or if nothing proves a
session and the archive, which has the sessions on both sides, has no file. It is *absent* if it is a session and no
source has its file: it stays due. It is *unpublished* if the file may still appear. And it has *failed* if there is a
file that cannot be used. Evidence of a session beats every 404, however old the date. Every command and task uses this
module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from itertools import islice
from typing import Literal, Protocol

from champion_luigi.exchange import sessions
from champion_luigi.exchange.answers import Answer, Ledger
from champion_luigi.exchange.sessions import INDIA

State = Literal["session", "closed", "absent", "unpublished"]

# An archive is whole around a day if it has this many sessions on each side of it, without a gap. At most so many days
# in a row can be closed unexpectedly.
_WHOLE_SESSIONS = 3
_MOST_IN_A_ROW = 3
# A day without a file is requested again after one day, then two, four and so on, at last every so many.
_LONGEST_WAIT_DAYS = 64


class Receipts(Protocol):
    """What the configured archive has given of a data set."""

    def gave(self, day: date) -> bool:
        """Whether it gave a day's file."""

    def gave_after(self, day: date) -> bool:
        """Whether it gave the file of any later day."""


class NoReceipts:
    """An archive that has not given anything yet."""

    def gave(self, day: date) -> bool:  # noqa: ARG002 - see `Receipts`
        """False."""
        return False

    gave_after = gave


NO_RECEIPTS = NoReceipts()


@dataclass(frozen=True)
class Expected:
    """A day's state and its reason, worded as part of a sentence. An ``unpublished`` day's file may still appear."""

    state: State
    why: str


@dataclass(frozen=True)
class Expectation:
    """The expected state of a data set's days at ``now``, an aware datetime.

    ``first_date`` is the exchange's first published day, ``published_at`` the India time at which a day's file appears,
    ``ledger`` what the configured archive answered, ``receipts`` what it gave, ``lost`` the sessions whose file no
    known archive has.
    """

    first_date: date
    published_at: time
    ledger: Ledger
    now: datetime
    receipts: Receipts = NO_RECEIPTS
    lost: frozenset[date] = frozenset()

    @property
    def latest(self) -> date:
        """The latest session whose file should be out by now. Raises WrongClock."""
        return sessions.latest_published(self.now, self.published_at)

    def days(self, start: date, stop: date, *, recheck_closed: bool = False) -> set[date]:
        """The sessions from ``start`` to ``stop`` (exclusive), absent ones included, by evidence and calendar.

        ``recheck_closed`` includes weekdays that are closed because the archive has no file.
        """
        start = max(start, self.first_date)
        found = set(sessions.sessions(start, stop))
        found |= {day for day in self.ledger.proven if start <= day < stop}
        return found if recheck_closed else found - self.closed

    @cached_property
    def closed(self) -> frozenset[date]:
        """The weekdays that are closed because the archive has no file, and nothing proves a session."""
        return frozenset(day for day in self._without_file if self._is_closed(day))

    @cached_property
    def absent(self) -> frozenset[date]:
        """The sessions for which no source of this archive had a file when it was asked last."""
        # A date that neither the calendar nor a file calls a session can have been asked about on purpose.
        return frozenset(day for day in self._without_file - self.closed if self._may_be_session(day))

    @property
    def resting(self) -> frozenset[date]:
        """The absent sessions that are not requested again yet."""
        return frozenset(day for day in self.absent if not self.is_due_again(day))

    @property
    def partial(self) -> frozenset[date]:
        """The sessions that came from a source without all columns, and whose full file is to be looked for now."""
        return frozenset(day for day in self.ledger.partial if self.is_due_again(day))

    def is_due_again(self, day: date) -> bool:
        """Whether a day that the archive lacked is to be requested again by now."""
        return self.now.astimezone(INDIA).date() >= self.due_again(day)

    def due_again(self, day: date) -> date:
        """The date from which a day that the archive lacked is requested again; ``date.min`` if it was not asked.

        An answer from the future was entered while the clock was ahead: it says nothing of when the day was requested.
        """
        answer = self.ledger.answers.get(day)
        if answer is None:
            return date.min
        try:
            asked = datetime.fromisoformat(answer.time).astimezone(INDIA).date()
        except (OverflowError, ValueError):
            return date.min
        if asked > self.now.astimezone(INDIA).date():
            return date.min
        return asked + timedelta(days=min(2 ** min(answer.times - 1, 30), _LONGEST_WAIT_DAYS))

    @cached_property
    def overruled(self) -> list[Answer]:
        """The days that an earlier version entered as closed, and that are not, oldest first."""
        found = (answer for answer in self.ledger.answers.values() if answer.verdict == "closed")
        return sorted((each for each in found if each.day in self.absent), key=lambda each: each.day)

    def of(self, day: date) -> Expected:
        """A day's state, as far as it is known without a request."""
        if day < self.first_date:
            return Expected("closed", f"before the archive's first day {self.first_date}")
        if not self._may_be_session(day):
            return Expected("closed", sessions.describe(day))
        # Not from the sets of all such days: every fetch asks for one day.
        if self._lacks(day):
            answer = self.ledger.answers[day]
            if self._is_closed(day):
                return Expected("closed", f"{answer.archive} had no file on {answer.time[:10]}, but those around it")
            return Expected("absent", self._why_absent(day))
        if day > self.latest:
            return Expected("unpublished", "not published yet")
        return Expected("session", sessions.describe(day))

    def without_request(self, day: date) -> Expected | None:
        """Why nobody need ask for a day's file: it is closed, or its date is still to come. None if it is to be asked.

        Raises WrongClock.
        """
        found = self.of(day)
        if found.state == "closed":
            return found
        if day > self.now.astimezone(INDIA).date():
            return Expected("unpublished", self.of_unpublished(day))
        return None

    def after_404(self, day: date, answered: datetime | None, closed_after_days: int) -> Expected:
        """What it means that no source has a day's file. ``answered`` is the time by the archive's clock, if known.

        If the local clock is ahead, future sessions would look old: the earlier of the two clocks counts. An archive
        without a clock, such as a folder, must have a later file.
        """
        today = min(self.now, answered or self.now).astimezone(INDIA).date()
        if (today - day).days > closed_after_days:
            if answered is not None or day <= sessions.seen_until() or self.receipts.gave_after(day):
                return Expected("absent", f"{self._what_it_is(day)}, and no source has its file")
            why = "not published yet, as far as is known: the archive has no later file, and no clock of its own"
            return Expected("unpublished", why)
        if today < day <= self.now.astimezone(INDIA).date():
            why = f"not published yet: by the archive's clock it is {today}. Set this machine's clock"
        elif datetime.combine(day, self.published_at, INDIA) > self.now:
            why = self.of_unpublished(day)
        else:
            why = "not published yet, though it should be: try again in an hour, or check if the exchange was closed"
        return Expected("unpublished", why)

    def is_recent(self, day: date, closed_after_days: int) -> bool:
        """Whether a day is recent enough that its file may still appear."""
        return (self.now.astimezone(INDIA).date() - day).days <= closed_after_days

    def of_unpublished(self, day: date) -> str:
        """The words about a session whose file is not out yet, with the time from which it is expected."""
        at = datetime.combine(day, self.published_at, INDIA)
        return f"not published yet, expected from {at:%Y-%m-%d %H:%M} India time: try again then"

    @cached_property
    def _without_file(self) -> frozenset[date]:
        return frozenset(day for day, answer in self.ledger.answers.items() if answer.has_no_file)

    def _lacks(self, day: date) -> bool:
        answer = self.ledger.answers.get(day)
        return answer is not None and answer.has_no_file

    def _may_be_session(self, day: date) -> bool:
        return day in self.ledger.proven or sessions.is_session(day)

    def _is_proven(self, day: date) -> bool:
        return day in self.ledger.proven or sessions.is_proven(day)

    def _is_closed(self, day: date) -> bool:
        """Whether nothing proves a session, and the archive has the sessions on both sides."""
        if self._is_proven(day) or not sessions.is_session(day):
            return False
        in_a_row = 1
        for step in (sessions.next_after, sessions.previous):
            near = step(day)
            while self._lacks(near) and not self._is_proven(near):
                in_a_row += 1
                if in_a_row > _MOST_IN_A_ROW:
                    return False
                near = step(near)
            if not all(self.receipts.gave(each) for each in islice(_onwards(near, step), _WHOLE_SESSIONS)):
                return False
        return True

    def _what_it_is(self, day: date) -> str:
        if day in self.lost:
            return "a session whose file no known archive has"
        what = sessions.describe(day)
        return f"{what}, proven by a file" if day in self.ledger.proven and not sessions.is_session(day) else what

    def _why_absent(self, day: date) -> str:
        asked = self.ledger.answers[day].time[:10]
        return f"{self._what_it_is(day)}; no file on {asked}, requested again from {self.due_again(day)}"


def _onwards(day: date, step: Callable[[date], date]) -> Iterator[date]:
    while True:
        yield day
        day = step(day)
