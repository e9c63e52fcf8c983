"""What is expected of a day, and what a 404 means: pure, from the calendar, the clock and the archive's answers.

The calendar is only an expectation; the archive's answers decide. Every command and task uses this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Literal

from champion_luigi.exchange import sessions
from champion_luigi.exchange.answers import Answer
from champion_luigi.exchange.sessions import INDIA

State = Literal["session", "closed", "unpublished"]


@dataclass(frozen=True)
class Expected:
    """A day's state and its reason, worded as part of a sentence. An ``unpublished`` day's file may still appear."""

    state: State
    why: str


@dataclass(frozen=True)
class Expectation:
    """The expected state of a data set's days at ``now``, an aware datetime.

    ``first_date`` is the exchange's first published day, ``published_at`` the India time at which a day's file appears,
    ``answers`` the configured archive's answers where the calendar is wrong or silent.
    """

    first_date: date
    published_at: time
    answers: Mapping[date, Answer]
    now: datetime

    @property
    def latest(self) -> date:
        """The latest session whose file should be out by now. Raises WrongClock."""
        return sessions.latest_published(self.now, self.published_at)

    def days(self, start: date, stop: date, *, recheck_closed: bool = False) -> set[date]:
        """The days from ``start`` to ``stop`` (exclusive) that have a file, by calendar and answers.

        ``recheck_closed`` includes sessions of the calendar for which the archive had no file.
        """
        start = max(start, self.first_date)
        found = set(sessions.sessions(start, stop))
        found |= {day for day in self._answered("session") if start <= day < stop}
        return found if recheck_closed else found - self.closed

    @property
    def closed(self) -> set[date]:
        """The days for which the archive has no file, by its answers."""
        return self._answered("closed")

    def of(self, day: date) -> Expected:
        """A day's state, as far as it is known without a request."""
        if day < self.first_date:
            return Expected("closed", f"before the archive's first day {self.first_date}")
        answer = self.answers.get(day)
        if answer is not None and answer.verdict == "closed":
            return Expected("closed", f"{answer.archive} answered 404 on {answer.time[:10]}")
        if answer is None and not sessions.is_session(day):
            return Expected("closed", sessions.describe(day))
        if day > self.latest:
            return Expected("unpublished", "not published yet")
        return Expected("session", sessions.describe(day))

    def after_404(self, day: date, answered: datetime | None, closed_after_days: int) -> Expected:
        """What a 404 means for a day. ``answered`` is its time by the archive's clock, if known.

        If the local clock is ahead, future sessions would look old and be recorded as closed permanently: the earlier
        of the two clocks counts.
        """
        today = min(self.now, answered or self.now).astimezone(INDIA).date()
        if (today - day).days > closed_after_days:
            return Expected("closed", f"the archive has no file. By the calendar: {sessions.describe(day)}")
        expected = datetime.combine(day, self.published_at, INDIA)
        if today < day <= self.now.astimezone(INDIA).date():
            why = f"not published yet: by the archive's clock it is {today}. Set this machine's clock"
        elif expected > self.now:
            why = f"not published yet, expected from {expected:%Y-%m-%d %H:%M} India time: try again then"
        else:
            why = "not published yet, though it should be: try again in an hour, or check if the exchange was closed"
        return Expected("unpublished", why)

    def is_recent(self, day: date, closed_after_days: int) -> bool:
        """Whether a day is recent enough that its file may still appear."""
        return (self.now.astimezone(INDIA).date() - day).days <= closed_after_days

    def _answered(self, verdict: str) -> set[date]:
        return {day for day, answer in self.answers.items() if answer.verdict == verdict}
