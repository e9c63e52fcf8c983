"""The definition of a data set: where its files are, each era's layout, its columns and its rules. Data only.

Each data set is one value in a module of its own, listed in `catalog`; every stage takes it as an argument. Differences
that need code are functions in that module: `Dataset.read_date`, `Dataset.warnings` and `Dataset.derive`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, time
from fnmatch import fnmatchcase
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
    """A column's type: its name in ClickHouse, its storage there, and its name in Polars where that is another."""

    type: str
    stored: str
    polars: str = ""

    @property
    def in_polars(self) -> str:
        """The type's name in Polars."""
        return self.polars or self.type

    def clickhouse(self, *, nullable: bool) -> str:
        """The type in ClickHouse's DDL."""
        return self.stored.format(f"Nullable({self.type})" if nullable else self.type)


DAY = Kind("Date", "{} CODEC(ZSTD(1))")
TEXT = Kind("String", "LowCardinality({})")
PRICE = Kind("Float64", "{} CODEC(ZSTD(1))")
COUNT = Kind("Int64", "{} CODEC(T64, ZSTD(1))")
FLAG = Kind("Bool", "{}", "Boolean")

_GROUPS = {
    "%Y": r"(?P<Y>\d{4})",
    "%y": r"(?P<y>\d\d)",
    "%m": r"(?P<m>\d\d)",
    "%d": r"(?P<d>\d\d)",
    "MON": r"(?P<MON>[A-Z]{3})",
}


# Characters that nobody sees: controls, those without width, and every blank but the usual one.
INVISIBLE = r"[\p{Cc}\p{Cf}\p{Z}--\x20]"

# The warning that counts the rows that a correction changed.
CORRECTED = "corrected"

# The date from which a source is tried first; a source with this date never is.
NEVER = date.max


@dataclass(frozen=True)
class Preamble:
    """The lines of a file before its column names: a regular expression for each, which matches the whole line.

    Their groups are checked: ``date`` is the day, as `Dataset.read_date` reads it; ``rows`` is the number of the data
    set's rows, and ``total`` the sum of their column ``total_of``, both in digits alone.
    """

    lines: tuple[str, ...]
    total_of: str = ""


@dataclass(frozen=True)
class Total:
    """Rows of a file that hold totals of its other rows: both are added up, and compared.

    ``rows`` are the values of the first, ``of`` those of the others, by published column; ``columns`` are the published
    columns that are added up. A relative difference above ``tolerance`` in any of them is counted as ``warning``. A sum
    of 0 in ``rows`` states no total.
    """

    warning: str
    rows: Mapping[str, tuple[str, ...]]
    of: Mapping[str, tuple[str, ...]]
    columns: tuple[str, ...]
    tolerance: float = 1e-9


@dataclass(frozen=True)
class Correction:
    """A known slip in one published file: rows with the ``published`` values have the ``right`` ones instead.

    Both are values by published column; ``right`` replaces text, and the rules see the replaced text. ``basis`` states
    how the right value is known. A file without such a row, because it was published again, is left alone.
    """

    source: str
    day: date
    published: Mapping[str, str]
    right: Mapping[str, str]
    basis: str


@dataclass(frozen=True)
class Source:
    """One kind of file on the exchange's archive, which holds a day of a data set, between two trading dates.

    ``path`` is relative to the archive's base URL: ``{day:%Y%m%d}`` as in `format`, ``{MON}`` for JAN. A ``*`` stands
    for any part of a file's name: such a file is saved by hand, and only read from an archive that is a folder.

    From the date ``official`` on, this source is tried before the others. The values of a ``partial`` source are right
    but not all that a day has: a fuller source replaces it later.

    ``members`` are the names that the file can have within its zip, written as ``path`` is, without regard to case. If
    ``is_one_of_many``, the zip has other members too, and its member with one of these names is the file; the name
    gives the day of rows without a date. Otherwise the zip has one member, whose name is only looked at to see whether
    it is the name of another exchange's, segment's or day's file.

    ``own`` are the values of the data set's rows, by published column. A row with another value there is foreign, and
    rejected, unless one of ``others`` applies to it: the values of rows that the file has besides, which are counted
    and skipped. ``usual`` are values that are only counted as a warning if they differ: the published column and the
    value, in which ``{day:%Y-%m-%d}`` is the day, by the warning's name. Blanks around values do not count.

    If the source ``repeats_previous``, the path of a day without a file serves the file of the session before: on
    holidays, and until the day's own file is out. If the file ``ends_in_newline``, one without it is cut off.
    ``totals`` are the totals that the file states of its own rows.
    If ``empty_is_unpublished``, a file without rows counts as no file.
    ``shared`` marks files that several data sets read: it is the folder in which they are stored once for all of them.
    Each of the data sets has a source with the same path and the same folder.
    """

    name: str
    first: date
    last: date
    path: str
    official: date = date.min
    partial: bool = False
    members: tuple[str, ...] = ()
    is_one_of_many: bool = False
    preamble: Preamble | None = None
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    others: tuple[Mapping[str, tuple[str, ...]], ...] = field(default=(), hash=False)
    usual: Mapping[str, tuple[str, str]] = field(default_factory=dict, hash=False)
    repeats_previous: bool = False
    ends_in_newline: bool = False
    totals: tuple[Total, ...] = field(default=(), hash=False)
    empty_is_unpublished: bool = False
    shared: str = ""

    @property
    def is_saved_by_hand(self) -> bool:
        """Whether only a folder can have the files: their names state more than the day."""
        return "*" in self.path

    def path_of(self, day: date) -> str:
        """The path of a day's file; with a ``*`` in it, the pattern of its path."""
        return _filled_in(self.path, day)

    def members_of(self, day: date) -> tuple[str, ...]:
        """The names that a day's file can have within its zip."""
        return tuple(_filled_in(name, day) for name in self.members)

    def is_member(self, name: str, day: date) -> bool:
        """Whether this is a name of the day's file within its zip, without regard to case."""
        return name.casefold() in map(str.casefold, self.members_of(day))

    def is_others_member(self, name: str, day: date) -> bool:
        """Whether a name is built as that of the day's file, but is another's.

        Among many members, the words are the same and the numbers differ. In a zip of its own, both may differ.
        """

        def built(name: str) -> str:
            numberless = re.sub(r"\d+", "0", name.casefold())
            return numberless if self.is_one_of_many else re.sub(r"[a-z]+", "a", numberless)

        return not self.is_member(name, day) and built(name) in map(built, self.members_of(day))

    def day_of(self, path: str) -> date | None:
        """The date of a path, the inverse of `path_of`; None if the path does not belong to this source."""
        if not (found := self._pattern.fullmatch(path)):
            return None
        parts = found.groupdict()
        try:
            month = MONTHS.index(parts["MON"]) + 1 if "MON" in parts else int(parts["m"])
            year = int(parts["Y"]) if "Y" in parts else 2000 + int(parts["y"])
            day = date(year, month, int(parts["d"]))
        except ValueError:
            return None
        # The pattern reads a repeated part only once, so compare the whole path.
        return day if fnmatchcase(path, self.path_of(day)) else None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = ""
        for literal, name, directives, _ in Formatter().parse(self.path):
            pattern += re.escape(literal).replace(r"\*", "[^/]*")
            for part in re.findall("%[a-zA-Z]|[^%]+", directives or "") if name == "day" else [name] if name else []:
                group = _GROUPS[part]
                pattern += re.sub(r"\?P<\w+>", "?:", group) if group in pattern else group
        return re.compile(pattern)


@dataclass(frozen=True)
class Layout:
    """The columns of a source's files in one era. ``first`` and ``last`` are trading dates, both inclusive.

    ``fields`` are the names of a row's fields, if the header's names, ``columns``, are not one a field. If
    ``ends_in_text``, the last field is free text: commas in it are its own, although nothing quotes them.
    """

    source: str
    first: date
    last: date
    columns: tuple[str, ...]
    fields: tuple[str, ...] = ()
    ends_in_text: bool = False

    def is_in_force(self, day: date) -> bool:
        """Whether the exchange published this layout on that date."""
        return self.first <= day <= self.last


@dataclass(frozen=True, eq=False)
class Column:
    """One canonical column. ``published`` is its name in the files: one for all sources, or one by source.

    A ``required`` column is never null. A number is at least 0 unless ``signed``, and above 0 if ``positive``; with
    ``zero_is_null``, a published 0 becomes null. The published number is multiplied by ``times``: lakhs or crores
    become rupees, to the paisa. A number that ``is_percent`` in the files becomes a share of 1, to four decimals.

    A ``derived`` column is in no file. `Dataset.derive` fills it; a column named ``line`` gets the number of the row's
    line in the file.
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
    is_percent: bool = False
    derived: bool = False

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


def _filled_in(template: str, day: date) -> str:
    return template.format(day=day, MON=MONTHS[day.month - 1])


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


_NOTHING: Mapping[str, pl.Expr] = MappingProxyType({})


def _nothing_derived(_day: date) -> Mapping[str, pl.Expr]:
    return _NOTHING


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
    read_date: Callable[[str, date], date | None] = as_written
    # Oddities in the canonical rows, by name: such rows are counted and stay.
    warnings: Callable[[], Mapping[str, pl.Expr]] = _no_warnings
    # Other files that can be mistaken for this one, by name, with the columns that only they have.
    lookalikes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # Columns that no file has: a day's expressions over the columns that files have, by name. Days with the same ones
    # have the same object, which lasts: they are normalized together.
    derived: Callable[[date], Mapping[str, pl.Expr]] = _nothing_derived
    # Known slips in published files. Rows that one of them changed are counted.
    corrections: tuple[Correction, ...] = ()
    # Fills the derived columns of the canonical rows of one source, of one day or of several in turn: pure, the days in
    # the same order, at least one row for each line, and no key twice on a day. The column ``line`` is one of them.
    # Derived columns may be part of the key; then no published row is a duplicate.
    derive: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    # Further views in the warehouse, by name: a SELECT, in which ``{view}`` is the data set's view with its database.
    views: Mapping[str, str] = field(default_factory=dict)
    # What those of their columns mean that the data set does not have, or has with another meaning.
    view_comments: Mapping[str, str] = field(default_factory=dict)
    # About how many rows a day has: a fill works on more days at a time where they have few.
    rows_a_day: int = 2_500
    # When `champion schedule` lets a day be requested, India time: evenings of the day, then mornings after it.
    requested_at: tuple[time, ...] = (time(18, 0), time(22, 30), time(7, 0))
    # Whether adjustments are made from its rows.
    is_for_adjustments: bool = False
    # What a row holds, and what for, in a few words for the table of data sets.
    about: str = ""
    # A query for one text about one day, for the demo; {view} and {day} stand for the view and the date.
    example: str = ""

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
    def warning_names(self) -> tuple[str, ...]:
        """The names of all that is counted as odd, in rows of any source."""
        names = [*self.warnings()]
        for source in self.sources:
            names += [*source.usual, *(total.warning for total in source.totals)]
        return tuple(dict.fromkeys([*names, *([CORRECTED] if self.corrections else [])]))

    @cached_property
    def types(self) -> dict[str, pl.DataType]:
        """The canonical columns' Polars types, in order: the schema of a normalized table and of a lake file."""
        import polars as pl

        return {column.name: getattr(pl, column.kind.in_polars) for column in self.columns}

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
        """The sources that can have a day's file, in the order in which they are tried.

        The source that is official on that day comes first, then those that were official before, the latest first,
        then the others as declared. ``official_from`` overrides ``official``, by the source's name.
        """

        def place(source: Source) -> int:
            official = official_from.get(source.name, source.official)
            return -official.toordinal() if official <= day else 0

        return tuple(sorted((each for each in self.sources if each.first <= day <= each.last), key=place))

    def is_partial(self, source: str, day: date) -> bool:
        """Whether a day from this source lacks values that another source can have: the partial one is not alone."""
        found = self.source(source)
        return found is not None and found.partial and not all(each.partial for each in self.sources_of(day))

    @cached_property
    def without_partial(self) -> Dataset:
        """The data set with its full sources alone."""
        return replace(self, sources=tuple(source for source in self.sources if not source.partial))

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
