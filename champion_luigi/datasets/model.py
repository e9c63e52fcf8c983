"""The definition of a data set: where its files are, each era's layout, its columns and its rules. Data only.

Each data set is one value in a module of its own, listed in `catalog`; every stage takes it as an argument. Differences
that need code are functions in that module: `Dataset.read_date` and `Dataset.warnings`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from functools import cached_property
from string import Formatter
from types import MappingProxyType
from typing import TYPE_CHECKING

from champion_luigi.base.errors import OtherVersion

if TYPE_CHECKING:
    import polars as pl

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True)
class Kind:
    """A column's type: its name in Polars, which ClickHouse shares, and its storage in ClickHouse."""

    type: str
    stored: str

    def clickhouse(self, *, nullable: bool) -> str:
        """The type in ClickHouse's DDL."""
        return self.stored.format(f"Nullable({self.type})" if nullable else self.type)


DAY = Kind("Date", "{} CODEC(ZSTD(1))")
TEXT = Kind("String", "LowCardinality({})")
PRICE = Kind("Float64", "{} CODEC(ZSTD(1))")
COUNT = Kind("Int64", "{} CODEC(T64, ZSTD(1))")

_GROUPS = {"%Y": r"(?P<Y>\d{4})", "%m": r"(?P<m>\d\d)", "%d": r"(?P<d>\d\d)", "MON": r"(?P<MON>[A-Z]{3})"}


@dataclass(frozen=True)
class Source:
    """One kind of file on the exchange's archive, which holds a day of a data set, between two trading dates.

    ``path`` is relative to the archive's base URL: ``{day:%Y%m%d}`` as in `format`, ``{MON}`` for JAN. From the date
    ``official`` on, this source is tried before the others.
    """

    name: str
    first: date
    last: date
    path: str
    official: date = date.min
    partial: bool = False

    def path_of(self, day: date) -> str:
        """The path of a day's file."""
        return self.path.format(day=day, MON=MONTHS[day.month - 1])

    def day_of(self, path: str) -> date | None:
        """The date of a path, the inverse of `path_of`; None if the path does not belong to this source."""
        if not (found := self._pattern.fullmatch(path)):
            return None
        parts = found.groupdict()
        try:
            month = MONTHS.index(parts["MON"]) + 1 if "MON" in parts else int(parts["m"])
            day = date(int(parts["Y"]), month, int(parts["d"]))
        except ValueError:
            return None
        # The pattern reads a repeated part only once, so compare the whole path.
        return day if self.path_of(day) == path else None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = ""
        for literal, name, directives, _ in Formatter().parse(self.path):
            pattern += re.escape(literal)
            for part in re.findall("%[a-zA-Z]|[^%]+", directives or "") if name == "day" else [name] if name else []:
                group = _GROUPS[part]
                pattern += re.sub(r"\?P<\w+>", "?:", group) if group in pattern else group
        return re.compile(pattern)


@dataclass(frozen=True)
class Layout:
    """The columns of a source's files in one era. ``first`` and ``last`` are trading dates, both inclusive."""

    source: str
    first: date
    last: date
    columns: tuple[str, ...]

    def is_in_force(self, day: date) -> bool:
        """Whether the exchange published this layout on that date."""
        return self.first <= day <= self.last


@dataclass(frozen=True, eq=False)
class Column:
    """One canonical column. ``published`` is its name in the files: one for all sources, or one by source.

    A ``required`` column is never null. A number is at least 0 unless ``signed``, and above 0 if ``positive``; with
    ``zero_is_null``, a published 0 becomes null. The published number is multiplied by ``times``: lakhs or crores
    become rupees, to the paisa.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    published: str | Mapping[str, str] = ""
    required: bool = False
    zero_is_null: bool = False
    signed: bool = False
    positive: bool = False
    times: int = 1

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.kind in (PRICE, COUNT)

    @property
    def clickhouse(self) -> str:
        """The column's type in ClickHouse, with its codec."""
        return self.kind.clickhouse(nullable=not self.required)

    def published_by(self, source: str) -> str:
        """The column's name in a source's files; empty if the source lacks the column."""
        return self.published if isinstance(self.published, str) else self.published.get(source, "")


# Python's own names of months are those of the calling program's locale.
_WRITTEN = re.compile(r"(\d\d?)-([A-Za-z]{3})-(\d{4}|\d\d)|(\d{4})-(\d\d?)-(\d\d?)", re.ASCII)


def as_written(text: str, _day: date) -> date | None:
    """A date as the exchange writes it: 2024-07-08, 15-JAN-2024, 3-NOV-1994 or 13-Jul-20; None if it is not one.

    Years of two digits are those from 1969 to 2068.
    """
    if not (found := _WRITTEN.fullmatch(text.strip())):
        return None
    try:
        if found[4]:
            return date(int(found[4]), int(found[5]), int(found[6]))
        year, month = int(found[3]), MONTHS.index(found[2].upper()) + 1
        if len(found[3]) == 2:
            year += 1900 if year >= 69 else 2000
        return date(year, month, int(found[1]))
    except ValueError:
        return None


def _no_warnings() -> Mapping[str, pl.Expr]:
    return {}


@dataclass(frozen=True, eq=False)
class Dataset:
    """One data set of the exchange. ``key`` and ``sums`` name columns other than the trade date.

    The columns of ``key`` identify a row within a day. The columns of ``sums`` are added up on both sides of a load, to
    compare the loaded rows with the rows sent. ``view`` names the view in ClickHouse and the folder in the lake.
    ``folder`` is the level below ``raw/``, ``parsed/`` and so on; the first data set has none. File names begin with
    ``stem``.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    layouts: tuple[Layout, ...]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sums: tuple[str, ...]
    # When a day's file is expected, India time.
    published_at: time
    # Raise this when adding columns, which must be last and nullable: files of older versions are read with nulls.
    version: int = 1
    view: str = ""
    stem: str = ""
    folder: str = ""
    # Texts that stand for an absent value.
    nulls: tuple[str, ...] = ("",)
    # Sessions whose file the exchange has never published.
    without_file: frozenset[date] = frozenset()
    read_date: Callable[[str, date], date | None] = as_written
    # Oddities in the published rows, by name: such rows are counted and stay.
    warnings: Callable[[], Mapping[str, pl.Expr]] = _no_warnings
    # Other files that can be mistaken for this one, by name, with the columns that only they have.
    lookalikes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The ClickHouse table that the view reads."""
        return f"normalized_{self.view}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The canonical columns' names, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def numbers(self) -> tuple[Column, ...]:
        """The canonical columns that hold numbers, in order."""
        return tuple(column for column in self.columns if column.is_number)

    @cached_property
    def types(self) -> dict[str, pl.DataType]:
        """The canonical columns' Polars types, in order: the schema of a normalized table and of a lake file."""
        import polars as pl

        return {column.name: getattr(pl, column.kind.type) for column in self.columns}

    @property
    def no_sums(self) -> tuple[int, ...]:
        """The sums of a day without rows."""
        return (0,) * len(self.sums)

    @property
    def first_date(self) -> date:
        """The first date of any source."""
        return min(source.first for source in self.sources)

    def source(self, name: str) -> Source | None:
        """The source of that name."""
        return next((source for source in self.sources if source.name == name), None)

    def sources_of(self, day: date, official_from: Mapping[str, date] = MappingProxyType({})) -> tuple[Source, ...]:
        """The sources that can have a day's file; the source that is official on that day comes first.

        ``official_from`` overrides ``official``, by the source's name.
        """

        def official(source: Source) -> date:
            return official_from.get(source.name, source.official)

        possible = [source for source in self.sources if source.first <= day <= source.last]
        return tuple(sorted(possible, key=lambda each: (day < official(each), -official(each).toordinal())))

    def of_path(self, path: str) -> tuple[Source, date] | None:
        """The source and the date of a path on the archive; None if the path does not belong to this data set."""
        for source in self.sources:
            if day := source.day_of(path):
                return source, day
        return None

    def published_columns(self, source: str) -> dict[str, str]:
        """The source's name for each canonical column that the source has."""
        return {column.name: name for column in self.columns if (name := column.published_by(source))}

    def require_version(self, found: object, source: str, day: date | None = None) -> None:
        """Raise OtherVersion if a newer version wrote the columns. An absent number means version 1."""
        if str(found or 1).isdecimal() and int(str(found or 1)) <= self.version:
            return
        raise OtherVersion(
            "a newer champion_luigi wrote these columns",
            day=day,
            source=source,
            expected=f"schema version {self.version} or older",
            found=str(found),
            todo="Use that version or a newer one; nothing was changed.",
        )
