"""Dates and numbers as callers give them."""

from __future__ import annotations

from datetime import date, datetime

from champion_luigi.base.errors import SettingsError


def day_of(given: date | str | None, name: str) -> date | None:
    """A date, or an ISO text, as a date. Raises SettingsError, with the argument's name.

    A datetime is its date, unless it has a time zone: its date in India may be another one.
    """
    if given is None or type(given) is date:
        return given
    if isinstance(given, datetime) and given.tzinfo is None:
        return given.date()
    try:
        return date.fromisoformat(given)  # type: ignore[arg-type]  # what it is not shows here
    except (TypeError, ValueError):
        raise SettingsError(f"{name} is not a date", expected="YYYY-MM-DD", found=repr(given)) from None


def range_of(start: date | str | None, end: date | str | None) -> tuple[date | None, date | None]:
    """The first and the last date of a range, as `day_of` reads them. Raises SettingsError if they are reversed."""
    first, last = day_of(start, "start"), day_of(end, "end")
    if first and last and first > last:
        raise SettingsError(f"start {first} is after end {last}")
    return first, last


def whole_of(given: int | None, name: str, least: int) -> int | None:
    """A whole number of at least ``least``, or None. Raises SettingsError, with the argument's name."""
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < least):
        raise SettingsError(f"{name} cannot be used", expected=f"a whole number from {least} on", found=repr(given))
    return given
