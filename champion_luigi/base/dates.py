"""Dates as callers give them."""

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
