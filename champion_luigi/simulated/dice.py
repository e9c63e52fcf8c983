"""The source of all simulated values: bytes from a hash, and lines between years. They depend on names and dates alone.

All values are integers. Clocks, floating-point functions and compressors are not used: they differ between machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from hashlib import shake_128
from itertools import pairwise

# The market's level at the start of a year, in thousandths of its level in 1994.
MARKET = ((1994, 1000), (2000, 1300), (2003, 1000), (2008, 3600), (2009, 1900), (2020, 6500), (2026, 14000))

# A long tail, in hundredths, from 0.1 to 15: how much dearer or busier some instruments are than others.
TAIL = tuple(10 + 1500 * n**4 // 255**4 + n // 2 for n in range(256))

# The text after a number's whole part, by its hundredths, without trailing zeros.
SHORT_HUNDREDTHS = ("", *(f".{n:02}".rstrip("0") for n in range(1, 100)))


def rolled(name: str, count: int, length: int) -> list[bytes]:
    """``count`` rows of ``length`` bytes, which depend on the name alone."""
    content = shake_128(name.encode()).digest(count * length)
    return [content[start : start + length] for start in range(0, count * length, length)]


def along(steps: Sequence[tuple[int, int]], day: date) -> int:
    """The value on a day. ``steps`` are values at the starts of years, with straight lines between them."""
    at = day.year * 366 + day.timetuple().tm_yday - 1
    for (year, value), (next_year, next_value) in pairwise(steps):
        if at < next_year * 366:
            return value + (next_value - value) * max(0, at - year * 366) // ((next_year - year) * 366)
    return steps[-1][1]


def is_within(day: date, dates: tuple[date, date]) -> bool:
    """Whether a day is between two dates, both inclusive."""
    return dates[0] <= day <= dates[1]
