"""The exchange's trading days, for any program: imported in milliseconds, without Luigi, Polars or a data folder.

>>> from datetime import date
>>> from champion_luigi import sessions
>>> [str(day) for day in sessions.between(date(2024, 1, 19), date(2024, 1, 23))]
['2024-01-19', '2024-01-20', '2024-01-23']
>>> sessions.kind(date(2024, 1, 20)), sessions.name(date(2024, 1, 22))
('special', 'Ram Mandir Inauguration Day')

The table behind it holds the exceptions to Monday-to-Friday from the first session, 1994-11-03, each with its evidence:
published files, lists of holidays, circulars. Up to `seen_until`, every session is proven. Later ones are expected: the
exchange has closed at a few days' notice, and opened on weekends. Past `table_end` every weekday counts as a session,
holidays too, and the first question about such a day logs a warning on the logger ``champion_luigi``.

A day is a `datetime.date`, a trading day in India. A `datetime`, a pandas Timestamp among them, raises TypeError.
"""

from __future__ import annotations

from datetime import date, datetime

from champion_luigi.exchange import sessions as _table

__all__ = ["basis", "between", "is_session", "kind", "name", "next", "previous", "seen_until", "table_end"]


def between(start: date, end: date) -> list[date]:
    """The sessions from ``start`` to ``end``, both included, ascending; none if ``end`` is before ``start``.

    >>> len(between(date(2023, 1, 1), date(2023, 12, 31)))
    246
    """
    days = _table.sessions(_checked(start), _checked(end))
    return [*days, end] if start <= end and _table.is_session(end) else days


def is_session(day: date) -> bool:
    """Whether the exchange trades on that day; False before 1994-11-03.

    >>> is_session(date(2024, 11, 1)), is_session(date(2024, 11, 20))
    (True, False)
    """
    return _table.is_session(_checked(day))


def next(day: date) -> date:
    """The first session after ``day``.

    >>> str(next(date(2024, 3, 1)))
    '2024-03-02'
    """
    return _table.next_after(_checked(day))


def previous(day: date) -> date:
    """The last session before ``day``. Raises ValueError if there is none, up to 1994-11-03.

    >>> str(previous(date(2024, 1, 23)))
    '2024-01-20'
    """
    return _table.previous(_checked(day))


def kind(day: date) -> str:
    """What the day is, in a word.

    Sessions: ``regular``, ``muhurat`` (an hour on the day of Diwali), ``budget`` (on a weekend, for the Union
    Budget), ``drill`` (a test of the disaster-recovery site), ``special`` (others on a weekend), and ``unarchived``
    (two of 1995 whose files are lost). No sessions: ``weekend``, ``holiday``, ``closure`` (by an election, a disaster
    or another event that the year's calendar did not have), ``unexplained`` (a weekday up to 1998 without a file,
    which no list explains) and ``before`` (earlier than 1994-11-03).

    >>> [kind(date(2024, 11, day)) for day in (1, 2, 4, 15, 20)]
    ['muhurat', 'weekend', 'regular', 'holiday', 'closure']
    """
    return _table.of(_checked(day)).kind


def name(day: date) -> str:
    """The name of a holiday, or of a session that has one; otherwise empty.

    >>> name(date(2024, 8, 15))
    'Independence Day'
    """
    return _table.of(_checked(day)).name


def basis(day: date) -> str:
    """The evidence for `is_session`, in words.

    A source is a collection of the exchange's published files. ``6 of 6 lists`` is the number of holiday lists that
    call the day closed, of those that cover it. Other words name a circular or a newspaper, or say that the day of the
    week is all there is.

    >>> basis(date(2024, 11, 4))
    'a published file'
    >>> basis(date(2024, 8, 15))
    'no file; 5 of 5 lists'
    """
    return _table.of(_checked(day)).basis


def seen_until() -> date:
    """The date of the newest published file that the table is made from: up to it, each session is proven."""
    return _table.seen_until()


def table_end() -> date:
    """The last date for which the table has the published holidays."""
    return _table.table_end()


def _checked(day: date) -> date:
    if isinstance(day, datetime) or not isinstance(day, date):
        hint = "; use its .date(), in India time" if isinstance(day, datetime) else ""
        raise TypeError(f"a datetime.date is needed, not {type(day).__name__}{hint}")
    return day
