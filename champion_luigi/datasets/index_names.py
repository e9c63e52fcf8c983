"""The stable name of each index: `index_names.csv`, by each name that a file has used.

The exchange renames its indices, and the zip for the press shortens their names. A row of the table is one name of one
index, with the reason why it is known to be that index; ``last`` is the last session on which the file of index closes
used the name. A name that is not there is not guessed: it stays as it is, and is counted.

Reasons, the column ``basis``:

- ``file`` and a date: the exchange's own file of that date has the name.
- ``renamed`` and a date: the exchange published the renaming, or the closes on both sides of it go on, as public
  projects with every file have measured. It is not measured here: no two files of successive days are at hand.
- ``short name, Pd``: the zip for the press of those months has the name. The exchange's list of its indices has it as a
  short name of that index; where Pd states a range of 52 weeks, the close of 2023-04-06 lies in it.
- ``list 2026``: the exchange's list of its indices and their short names, as public code quotes it; no file is at hand.
- ``the exchange's website, 2010 to 2012``: so the indices were called there before the first file of index closes.
  Whether the zip for the press had these names is not known.
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


@cache
def plain(name: str) -> str:
    """A name without the differences between files that mean nothing: in lower case, with single blanks."""
    return re.sub(r"\s+", " ", name.strip()).lower()


def _place(named: Named, day: date) -> tuple[bool, int]:
    """The first is in force: the next to end, or else the last that ended."""
    is_over = named.last < day
    return is_over, abs(named.last.toordinal() - day.toordinal())
