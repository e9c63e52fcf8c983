"""The public module of trading days: dates in, dates out."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi import sessions
from champion_luigi.exchange.sessions import BEFORE, CLOSED_KINDS, INDIA, REGULAR, SESSION_KINDS, WEEKEND

ALL_KINDS = {REGULAR, WEEKEND, BEFORE, *SESSION_KINDS, *CLOSED_KINDS}
dates = st.dates(date(1994, 1, 1), date(2026, 12, 31))
functions = pytest.mark.parametrize(
    "function",
    [
        sessions.is_session,
        sessions.next,
        sessions.previous,
        sessions.kind,
        sessions.name,
        sessions.basis,
        lambda day: sessions.between(day, date(2024, 7, 9)),
        lambda day: sessions.between(date(2024, 7, 9), day),
    ],
)


def test_its_examples_are_true() -> None:
    """Those in its docstrings."""
    result = doctest.testmod(sessions)
    assert result.attempted > 10
    assert result.failed == 0


@given(start=dates, length=st.integers(-3, 400))
def test_a_range_is_its_sessions_with_both_ends(start: date, length: int) -> None:
    """A range of one day is that day if it is a session; a range that ends before it starts is empty."""
    end = start + timedelta(days=length)
    days = [start + timedelta(days=number) for number in range(length + 1)]
    assert sessions.between(start, end) == [day for day in days if sessions.is_session(day)]


def test_a_range_may_end_on_the_last_day_of_all() -> None:
    """As the end that stands for none."""
    assert sessions.between(date(9999, 12, 30), date.max) == [date(9999, 12, 30), date.max]


@functions
@pytest.mark.parametrize("day", [datetime(2024, 7, 9, tzinfo=INDIA), "2024-07-09", None])
def test_only_a_date_is_a_date(function: Callable[[object], object], day: object) -> None:
    """The time zone of anything else would be a guess."""
    with pytest.raises(TypeError, match=rf"a datetime\.date is needed, not {type(day).__name__}"):
        function(day)


@given(day=dates)
def test_kind_and_evidence_agree_with_the_question(day: date) -> None:
    """A day of a session kind is a session, and every day has evidence."""
    assert sessions.is_session(day) == (sessions.kind(day) in {REGULAR, *SESSION_KINDS})
    assert sessions.basis(day)


def test_every_kind_is_explained() -> None:
    """Where a reader looks for them."""
    assert set(re.findall("``([a-z]+)``", sessions.kind.__doc__ or "")) == ALL_KINDS
