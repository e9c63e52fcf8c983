"""What decides a simulated value: bytes from a hash and lines between years, functions of names and dates alone.

Integers throughout: never a clock, a floating-point function or a compressor, as those differ between machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from hashlib import shake_128
from itertools import pairwise

# What the market is worth at the start of a year, in thousandths of 1994.
MARKET = ((1994, 1000), (2000, 1300), (2003, 1000), (2008, 3600), (2009, 1900), (2020, 6500), (2026, 14000))

# What follows the point of a number, by its hundredths, where zeros at the end are dropped.
SHORT_HUNDREDTHS = ("", *(f".{n:02}".rstrip("0") for n in range(1, 100)))


def rolled(name: str, count: int, length: int) -> list[bytes]:
    """``count`` rows of ``length`` bytes that depend on nothing but the name."""
    content = shake_128(name.encode()).digest(count * length)
    return [content[start : start + length] for start in range(0, count * length, length)]


def along(steps: Sequence[tuple[int, int]], day: date) -> int:
    """The value at a day, where ``steps`` are values at the starts of years with straight lines between."""
    at = day.year * 366 + day.timetuple().tm_yday - 1
    for (year, value), (next_year, next_value) in pairwise(steps):
        if at < next_year * 366:
            return value + (next_value - value) * max(0, at - year * 366) // ((next_year - year) * 366)
    return steps[-1][1]


def is_within(day: date, dates: tuple[date, date]) -> bool:
    """Whether a day is between two dates, both inclusive."""
    return dates[0] <= day <= dates[1]
