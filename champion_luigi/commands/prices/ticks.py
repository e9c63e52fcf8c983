"""Round numbers and dates for the axes of a chart, the same on a terminal and in a picture, in every locale."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from datetime import date, timedelta


def values_between(low: float, high: float, *, is_log: bool, most: int) -> list[float]:
    """Round numbers from ``low`` to ``high``, ``most`` at most, or else the nearest ones; both are above 0."""
    if is_log:
        for digits in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            found = list(_decades(low, high, digits))
            if 2 <= len(found) <= most:
                return found
            if found and digits == (1,):
                return found[:: math.ceil(len(found) / most)]
    step = 10.0 ** math.floor(math.log10((high - low) or high or 1.0))
    for each in (step / 10, step / 5, step / 2, step, step * 2, step * 5):
        first = math.ceil(low / each)
        found = [round(number * each, 10) for number in range(first, math.floor(high / each) + 1)]
        if len(found) <= most:
            return found or [low]
    return [low, high]


def _decades(low: float, high: float, digits: tuple[float, ...]) -> Iterator[float]:
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in digits:
            value = round(digit * 10.0**power, 10)
            if low <= value <= high:
                yield value


def days_between(first: date, last: date, most: int) -> list[tuple[date, str]]:
    """Firsts of years, months or weeks, ``most`` at most, each with its words: 2015, 2024-05 or 2024-05-13."""
    for months in (1, 2, 3, 6, 12, 24, 60, 120):
        found = [day for day in _firsts(first, last, months) if first <= day <= last]
        if months < 12 and len(found) < 2:
            break
        if len(found) <= most:
            return [(day, f"{day:%Y}" if months >= 12 else f"{day:%Y-%m}") for day in found]
    count = (last - first).days + 1
    step = max(1, math.ceil(count / most))
    days = (first + timedelta(days=number) for number in range(0, count, step))
    return [(day, f"{day:%Y-%m-%d}") for day in days]


def _firsts(first: date, last: date, months: int) -> Iterator[date]:
    start = first.year * 12 + first.month - 1
    for number in itertools.count(start - start % months, months):
        if number // 12 > last.year:
            return
        yield date(number // 12, number % 12 + 1, 1)
