"""The exchange's trading days.

``sessions.csv`` holds the exceptions to Monday-to-Friday, each with its basis, made by ``tools/build_sessions.py`` from
actually published files and from holiday lists. Up to `seen_until`, every session of the calendar is proven, nearly
all of them by a published file. Later weekdays are only expected: elections and disasters close the exchange at a few
days' notice. Past the table's last date every weekday counts as a session, with a warning. A Muhurat evening's file
appears hours later than a regular day's, and a session for gold funds alone publishes a few dozen rows.

Dates are trading days in India. The functions take a ``date``; a ``datetime`` in its place raises TypeError.
`champion_luigi.sessions` is the public face; its import is to cost milliseconds, so this module imports little.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from champion_luigi.datasets.opening import FIRST_DATE

INDIA = timezone(timedelta(hours=5, minutes=30), "IST")

# The kinds of exception and what `describe` calls them. Session kinds trade, closed kinds do not.
SESSION_KINDS: Mapping[str, str] = {
    "budget": "special session",
    "drill": "special session",
    "muhurat": "Muhurat session",
    "special": "special session",
    "unarchived": "session whose file no known archive has",
}
CLOSED_KINDS: Mapping[str, str] = {
    "closure": "closed",
    "holiday": "holiday",
    "unexplained": "no session: no file is known and no holiday list says why",
}
# The kinds of two rows that are no exceptions: the date of the newest file that the table is made from, and the date of
# the last row, up to which the table covers.
SEEN_KIND = "seen"
END_KIND = "end"

# The kinds of all other dates.
REGULAR, WEEKEND, BEFORE = "regular", "weekend", "before"

# No Path, which takes longer to import than all the rest.
_TABLE = os.path.join(os.path.dirname(__file__), "sessions.csv")  # noqa: PTH118, PTH120


class Day(NamedTuple):
    """A date and what it is.

    ``kind`` is a key of `SESSION_KINDS` or `CLOSED_KINDS`, or one of `REGULAR`, `WEEKEND` and `BEFORE`. ``name`` may be
    empty, ``basis`` is the evidence in words.
    """

    day: date
    kind: str
    name: str
    basis: str

    @property
    def is_session(self) -> bool:
        """Whether the exchange trades on this date."""
        return self.kind in SESSION_KINDS or self.kind == REGULAR


def is_session(day: date) -> bool:
    """Whether the exchange trades on that day; False before `FIRST_DATE`. Warns once for a day past `table_end`."""
    if day < FIRST_DATE:
        return False
    if day > table_end():
        _warn_past_end()
    found = exceptions().get(day)
    return found.is_session if found else day.weekday() < 5


def sessions(start: date, stop: date) -> list[date]:
    """The sessions from ``start`` up to but not including ``stop``, ascending. Warns once past `table_end`."""
    if stop > table_end() + timedelta(days=1):
        _warn_past_end()
    added, removed = _ordinals()
    return [
        date.fromordinal(number)
        for number in range(max(start, FIRST_DATE).toordinal(), stop.toordinal())
        # Ordinal 1 is a Monday.
        if number in added or ((number - 1) % 7 < 5 and number not in removed)
    ]


def previous(day: date) -> date:
    """The last session before ``day``. Raises ValueError if there is none."""
    while day > FIRST_DATE:
        day -= timedelta(days=1)
        if is_session(day):
            return day
    raise ValueError(f"no session before {day}: the archive starts on {FIRST_DATE}")


def next_after(day: date) -> date:
    """The first session after ``day``."""
    day = max(day, FIRST_DATE - timedelta(days=1))
    while True:
        day += timedelta(days=1)
        if is_session(day):
            return day


def latest_published(now: datetime, published_at: time | None = None) -> date:
    """The latest session whose file should be out at ``now``, a datetime of any time zone.

    ``published_at`` is India time, by default that of the equity bhavcopy; that minute itself counts as published.
    Raises ValueError if ``now`` has no time zone, and WrongClock (a ValueError too) if it is before the first file.
    """
    if now.utcoffset() is None:
        raise ValueError(
            f"now has no time zone: {now.isoformat()}; pass an aware datetime, such as datetime.now(INDIA)"
        )
    if published_at is None:
        from champion_luigi.datasets.equity import EQUITY

        published_at = EQUITY.published_at
    local = now.astimezone(INDIA)
    day = local.date() + timedelta(days=1) if local.time() >= published_at else local.date()
    if day <= FIRST_DATE:
        from champion_luigi.base.errors import WrongClock

        raise WrongClock(
            f"no session before {day}: the archive starts on {FIRST_DATE}",
            found=f"the clock at {local:%Y-%m-%d %H:%M} India time",
            todo="Set this machine's clock.",
        )
    return previous(day)


def describe(day: date) -> str:
    """A day's description, as part of a sentence: ``regular session``, ``holiday (Republic Day)``."""
    if day < FIRST_DATE:
        return f"before the archive's first day {FIRST_DATE}"
    if found := exceptions().get(day):
        words = SESSION_KINDS.get(found.kind) or CLOSED_KINDS[found.kind]
        return f"{words} ({found.name})" if found.name else words
    if day.weekday() >= 5:
        return f"{'Saturday' if day.weekday() == 5 else 'Sunday'}, no session"
    return "regular session" if day <= table_end() else f"weekday past {table_end()}, where the session table ends"


def is_proven(day: date) -> bool:
    """Whether there is evidence that the exchange traded on that day, and not only the rule for its weekday."""
    return is_session(day) and (day in exceptions() or day <= seen_until())


def unarchived() -> frozenset[date]:
    """The sessions whose file no known archive has."""
    return frozenset(day for day, found in exceptions().items() if found.kind == "unarchived")


def in_words(days: Iterable[date], most: int = 10) -> str:
    """Days in words, sessions that follow one another as a span: ``2024-01-15, 2024-01-18 to 2024-01-23 (3)``."""
    spans: list[list[date]] = []
    for day in sorted(days):
        if spans and day == next_after(spans[-1][-1]):
            spans[-1].append(day)
        else:
            spans.append([day])
    named = [f"{span[0]} to {span[-1]} ({len(span)})" if len(span) > 1 else f"{span[0]}" for span in spans[:most]]
    left = sum(map(len, spans[most:]))
    return ", ".join(named) + (f" and {left} more" if left else "")


def of(day: date) -> Day:
    """A date's kind, name and evidence, whether or not it is an exception. Warns once for a day past `table_end`."""
    if day < FIRST_DATE:
        return Day(day, BEFORE, "", f"before the first session, {FIRST_DATE}")
    if found := exceptions().get(day):
        return found
    is_weekend = day.weekday() >= 5
    if day <= seen_until():
        basis = "no file on a weekend" if is_weekend else "a published file"
    elif day <= table_end():
        basis = f"after the last file; no list names the {'weekend' if is_weekend else 'weekday'}"
    else:
        _warn_past_end()
        basis = f"the day of the week alone, past {table_end()}, where the table ends"
    return Day(day, WEEKEND if is_weekend else REGULAR, "", basis)


def exceptions() -> Mapping[date, Day]:
    """The table: every date that differs from the rule for its weekday, and each named session, oldest first."""
    return _table().rows


def seen_until() -> date:
    """The date of the newest file that the table is made from. Up to it, each session is proven."""
    return _table().seen_until


def table_end() -> date:
    """The last date that the table covers."""
    return _table().end


class _Table(NamedTuple):
    rows: Mapping[date, Day]
    seen_until: date
    end: date


@cache
def _table() -> _Table:
    with open(_TABLE, encoding="utf-8", newline="") as file:
        rows = [
            Day(date.fromisoformat(row["date"]), row["kind"], row["name"], row["basis"]) for row in csv.DictReader(file)
        ]
    if not rows or rows[-1].kind != END_KIND:
        raise ValueError(f"{_TABLE} is cut off: its last row must be of kind {END_KIND!r}; build it again")
    end = rows.pop().day
    seen_until = next((row.day for row in rows if row.kind == SEEN_KIND), date.min)
    rows = [row for row in rows if row.kind != SEEN_KIND]
    for row in rows:
        if row.kind not in SESSION_KINDS and row.kind not in CLOSED_KINDS:
            known = ", ".join([*SESSION_KINDS, *CLOSED_KINDS])
            raise ValueError(f"{_TABLE} has kind {row.kind!r} on {row.day}; known kinds are {known}")
    return _Table(MappingProxyType({row.day: row for row in rows}), seen_until, end)


@cache
def _ordinals() -> tuple[frozenset[int], frozenset[int]]:
    """The exceptions as day numbers: ``(sessions, closed)``."""
    added = frozenset(day.toordinal() for day, found in exceptions().items() if found.is_session)
    return added, frozenset(day.toordinal() for day in exceptions()) - added


@cache
def _warn_past_end() -> None:
    """Warn of dates past the table; cached, so that a process warns once."""
    import logging

    logging.getLogger("champion_luigi").warning(
        "the session table ends on %s; later dates count Monday to Friday as sessions, holidays too. Install a newer "
        "champion_luigi, or rebuild sessions.csv with tools/build_sessions.py from the exchange's new holiday list",
        table_end(),
    )
