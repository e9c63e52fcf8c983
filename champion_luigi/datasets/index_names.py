"""The stable name of each index: `index_names.csv`, by each name that a file has used.

The exchange renames its indices, and the zip for the press shortens their names. A row of the table is one name of one
index, with the reason why it is known to be that index; ``last`` is the last session on which the file of index closes
used the name. A name that is not there is not guessed: it stays as it is, and is counted.

Reasons, the column ``basis``: ``file`` and a date is a name in the exchange's file of that date. ``renamed`` and a date
is a renaming whose closes were compared on both sides of it, which public projects document; of 2013-02-08, the names
without "S&P" stand in the exchange's file of that date. ``short name, Pd`` stands in the zip for the press of those
months, and ``list 2026`` in the exchange's list of its indices with their short names. The exchange's website used the
names of ``2010 to 2012`` before its first file of index closes; whether the zip for the press did is not known.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("index_names.csv")


@dataclass(frozen=True)
class Named:
    """One name of an index, until ``last``, and why it is that index's."""

    index: str
    name: str
    last: date
    basis: str


@cache
def table() -> tuple[Named, ...]:
    """Every known name."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Named(row["index"], row["name"], date.fromisoformat(row["last"]) if row["last"] else date.max, row["basis"])
            for row in csv.DictReader(file)
        )


def stable_names(day: date, names: tuple[Named, ...] | None = None) -> Mapping[str, str]:
    """The stable name of each index by a name that files use, as `plain` writes it.

    A name that two indices have used is that of the one that had it on ``day``. A name outlives its ``last`` day as
    long as no other index takes it: the files of the exchange do not change their names on the same day.
    """
    found: dict[str, Named] = {}
    for each in table() if names is None else names:
        before = found.get(plain(each.name))
        if before is None or _place(each, day) < _place(before, day):
            found[plain(each.name)] = each
    return {name: each.index for name, each in found.items()}


def plain(name: str) -> str:
    """A name without the differences between files that mean nothing: in lower case, with single blanks."""
    return re.sub(r"\s+", " ", name.strip()).lower()


def _place(named: Named, day: date) -> tuple[bool, int]:
    """The first is in force: the next to end, or else the last that ended."""
    is_over = named.last < day
    return is_over, abs(named.last.toordinal() - day.toordinal())
