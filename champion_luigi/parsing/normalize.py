"""From parsed lines to canonical rows: normalize, then check. Pure functions from frames to frames.

A parsed table holds the source's columns as text, one row a line, nothing dropped: `_line` is the line's
number in the file, and `_text` the line itself if its fields do not fit the header. `normalize` casts the
types, so a value that is not a number is rejected with its text instead of being lost earlier.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from champion_luigi.base.errors import CheckFailed
from champion_luigi.datasets.model import CORRECTED, Column, Dataset, Source, Total
from champion_luigi.parsing.lines import FITS, LINE, REST, TEXT
from champion_luigi.parsing.payload import fields_of

_RULE = "_rule"
# The rule of rows that are not the data set's, and no rejects.
_SKIPPED = "skipped"
_FOREIGN = "foreign_row"
_MARK = "_mark_"
_DAY = "_day"
_NOT_POSITIVE = "not_positive"
_SAMPLE = 3
# The length of a value in a detail, and of a detail in a message. A value can be as long as the file; the reject's text
# has all of it.
_QUOTED_LENGTH = 60
_SAMPLE_LENGTH = 300


@dataclass(frozen=True)
class Reject:
    """A rejected line: the rule that it breaks, the details, and its text as published."""

    trade_date: date
    line: int
    rule: str
    detail: str
    text: str


@dataclass(frozen=True)
class Normalized:
    """One day in canonical columns; ``warnings`` counts rows by rule.

    Raw rows + ``further`` = ``rows.height`` + ``len(rejects)`` + ``skipped``: the source's file may have rows of
    others, and a data set may make several rows of one.
    """

    rows: pl.DataFrame
    rejects: list[Reject]
    warnings: dict[str, int]
    skipped: int = 0
    further: int = 0


@dataclass(frozen=True)
class Parsed:
    """A parsed table, the source that published it, and its day."""

    table: pl.DataFrame
    source: str
    day: date


class AmbiguousText(ValueError):
    """A text that means one date in one day's file, and another one in another's."""


def normalize(table: pl.DataFrame, dataset: Dataset, source: str, day: date) -> Normalized:
    """Canonical columns and types from a parsed table of one source; lines that break a rule become rejects.

    The first broken rule counts. The rules: `field_count`, `foreign_row`, `bad_date`, `other_date`, `missing_key`,
    `missing_number`, `bad_number`, `negative_number`, `<column>_not_positive`, `duplicate_key`. Rows that the source
    has for others are skipped. `Dataset.derive` then fills its columns; it may make several rows of one.
    """
    right, corrected = _corrected(table, dataset, source, day)
    judged = _judged([Parsed(right, source, day)], dataset)
    clean = judged[_RULE].null_count() == judged.height
    standing = judged if clean else judged.filter(pl.col(_RULE).is_null())
    broken = judged.clear() if clean else judged.filter(pl.col(_RULE).is_not_null() & (pl.col(_RULE) != _SKIPPED))
    rows = _canonical(standing, dataset)
    rejects = list(_rejects(table, broken, dataset, day, source))
    skipped = judged.height - rows.height - len(rejects)
    of = dataset.source(source)
    derived = _derived(rows, dataset)
    warnings = dict.fromkeys(dataset.warning_names, 0) | _warnings(derived, standing, dataset, of).get(day, {})
    warnings |= _of_whole_day(right, dataset, of, corrected=corrected)
    return Normalized(derived, rejects, warnings, skipped, derived.height - rows.height)


def normalize_all(days: Sequence[Parsed], dataset: Dataset) -> list[Normalized]:
    """The days as `normalize` gives them. A query costs more than its rows: days without a broken rule share one."""
    found: dict[int, Normalized] = {}
    none = dict.fromkeys(dataset.warning_names, 0)
    for places in _alike(days, dataset):
        try:
            judged = _judged([days[place] for place in places], dataset)
        except AmbiguousText:
            continue
        standing = judged.filter(pl.col(_RULE).is_null()) if judged[_RULE].null_count() < judged.height else judged
        rows, of = _canonical(standing, dataset), dataset.source(days[places[0]].source)
        derived = _derived(rows, dataset)
        heights = dict(derived.group_by("trade_date").len().iter_rows())
        warnings = _warnings(derived, standing, dataset, of)
        start = first = 0
        for place in places:
            each = days[place]
            rules = judged[_RULE].slice(start, each.table.height)
            standing_rows, height = rules.null_count(), heights.get(each.day, 0)
            # With a broken rule, the day is looked at by itself.
            if standing_rows == rules.len() or (rules.drop_nulls() == _SKIPPED).all():
                counts = none | warnings.get(each.day, {}) | _of_whole_day(each.table, dataset, of, corrected=0)
                skipped, further = rules.len() - standing_rows, height - standing_rows
                found[place] = Normalized(derived.slice(first, height), [], counts, skipped, further)
            start, first = start + rules.len(), first + height
    return [
        found.get(place) or normalize(each.table, dataset, each.source, each.day) for place, each in enumerate(days)
    ]


def _alike(days: Sequence[Parsed], dataset: Dataset) -> list[list[int]]:
    """The places of the days that can share a query: of one header and one way to derive columns, without slips."""
    found: dict[tuple[str, tuple[str, ...], int], list[int]] = {}
    slips = {(slip.source, slip.day) for slip in dataset.corrections}
    for place, each in enumerate(days):
        if (each.source, each.day) not in slips:
            key = each.source, tuple(each.table.columns), id(dataset.derived(each.day))
            found.setdefault(key, []).append(place)
    return [alike for alike in found.values() if len(alike) > 1]


def _canonical(standing: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    return standing.select(
        pl.when(pl.col(column.name) != 0).then(pl.col(column.name)) if column.zero_is_null else pl.col(column.name)
        for column in dataset.columns
    )


def _derived(rows: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    if dataset.derive is None:
        return rows
    derived = dataset.derive(rows).select(dataset.names)
    lines = derived.select("trade_date", "line").unique(maintain_order=True)
    is_whole = lines.equals(rows.select("trade_date", "line"))
    if not is_whole or derived.select("trade_date", *dataset.key).is_duplicated().any():
        raise AssertionError(f"{dataset.name}: derive lost or moved a row, or gave two of them one key")
    return derived


def _warnings(
    rows: pl.DataFrame, standing: pl.DataFrame, dataset: Dataset, of: Source | None
) -> dict[date, dict[str, int]]:
    """The counts of odd rows, by day: canonical rows, and the judged rows that they come from."""
    oddities = [rule.sum().alias(name) for name, rule in dataset.warnings().items()]
    marked = [name for name in (of.usual if of else ()) if _MARK + name in standing.columns]
    unusual = [pl.col(_MARK + name).sum().alias(name) for name in marked]
    counts: dict[date, dict[str, Any]] = {}
    for frame, sums in ((rows, oddities), (standing, unusual)):
        if sums:
            by_day = frame.group_by("trade_date").agg(sums)
            for found in by_day.iter_rows(named=True):
                counts.setdefault(found.pop("trade_date"), {}).update(found)
    return {day: {name: int(each.get(name) or 0) for name in dataset.warning_names} for day, each in counts.items()}


def _of_whole_day(table: pl.DataFrame, dataset: Dataset, of: Source | None, *, corrected: int) -> dict[str, int]:
    """The counts that are of a day's file, and not of rows."""
    counts = {total.warning: int(not _adds_up(table, total)) for total in (of.totals if of else ())}
    return counts | ({CORRECTED: corrected} if dataset.corrections else {})


def _corrected(table: pl.DataFrame, dataset: Dataset, source: str, day: date) -> tuple[pl.DataFrame, int]:
    """A parsed table without the slips that are known, and how many rows had one."""
    count = 0
    for slip in dataset.corrections:
        if (slip.source, slip.day) != (source, day):
            continue
        has_slip = _applies({name: (text,) for name, text in slip.published.items()})
        count += table.filter(has_slip).height
        table = table.with_columns(
            pl.when(has_slip).then(pl.lit(text)).otherwise(pl.col(name)).alias(name)
            for name, text in slip.right.items()
        )
    return table, count


def _adds_up(table: pl.DataFrame, total: Total) -> bool:
    """Whether the totals that a file states are the sums of its other rows."""
    numbers = {name: pl.col(name).str.strip_chars().cast(pl.Float64, strict=False) for name in total.columns}
    rows = [pl.col(FITS) & _applies(values) for values in (total.rows, total.of)]
    # One query, over these columns alone.
    sums = table.select(
        number.filter(which).sum().alias(f"{place} {name}")
        for place, which in enumerate(rows)
        for name, number in numbers.items()
    ).row(0)
    pairs = zip(sums[: len(numbers)], sums[len(numbers) :], strict=True)
    return all(not one or math.isclose(one, other, rel_tol=total.tolerance) for one, other in pairs)


def _applies(values: Mapping[str, tuple[str, ...]]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).str.strip_chars().is_in(accepted) for name, accepted in values.items())


def check(normalized: Normalized, day: date, source: str, max_rejected_share: float) -> None:
    """Raise CheckFailed, with counts and a sample, if the day has no rows or too many rejected ones."""
    rejected = len(normalized.rejects)
    raw = normalized.rows.height - normalized.further + rejected
    if normalized.rows.height and rejected <= max_rejected_share * raw:
        return
    by_rule = Counter(reject.rule for reject in normalized.rejects).most_common()
    counts = ", ".join(f"{rule} {count}" for rule, count in by_rule)
    sample = "; ".join(f"line {each.line}: {each.detail[:_SAMPLE_LENGTH]}" for each in normalized.rejects[:_SAMPLE])
    raise CheckFailed(
        "too many rows were rejected" if raw else "there are no rows",
        day=day,
        source=source,
        expected=f"rows, at most {max_rejected_share * 100:g}% of them rejected",
        found=f"{raw} raw rows, {rejected} rejected" + (f" ({counts}), such as {sample}" if rejected else ""),
        todo="The rejected rows are stored under rejects/. If the exchange republishes the day, "
        "delete its receipt under raw/ to fetch it again.",
    )


def _judged(days: Sequence[Parsed], dataset: Dataset) -> pl.DataFrame:
    """Canonical columns, their texts as `_text_<name>`, `_line`, and `_rule`, the first rule that a row breaks.

    What the source says of its rows is there as `_mark_<rule>`, as far as any row can break the rule.

    One query: for so few rows, a further query costs more than its computation. Several days have tables alike.
    """
    source = days[0].source
    table = pl.concat([each.table.with_columns(pl.lit(each.day).alias(_DAY)) for each in days], rechunk=True)
    published = {name: theirs for name, theirs in dataset.published_columns(source).items() if theirs in table.columns}
    # Strip outer blanks; an empty value becomes null.
    texts = {name: pl.col(theirs).str.strip_chars() for name, theirs in published.items()}
    of = dataset.source(source)
    marks = _marks(table, of, [each.day for each in days]) if of else {}
    dates = {
        name: _dates(table, theirs, dataset) for name, theirs in published.items() if dataset.types[name] == pl.Date
    }
    filled = {column.name for column in dataset.columns if column.derived}
    key = [name for name in dataset.key if name not in filled]
    # Among the rows not rejected so far, the first of each key is kept. Of a derived key, a part tells nothing yet.
    repeated = pl.col(_RULE).is_null() & ~pl.struct(_DAY, *key, _RULE).is_first_distinct()
    is_duplicate = repeated if len(key) == len(dataset.key) else pl.lit(value=False)
    return (
        table.lazy()
        .select(
            _DAY,
            LINE,
            FITS,
            pl.int_range(pl.len()).alias("_place"),
            *(pl.when(_is_written(text, dataset)).then(text).alias(TEXT + "_" + name) for name, text in texts.items()),
            *marks.values(),
        )
        .with_columns(
            _typed(column, dataset, published, dates.get(column.name, {}))
            for column in dataset.columns
            if column.name != "layout"
        )
        .with_columns(
            pl.lit(source).alias("layout"), _rule(dataset, published, key, marks), **dataset.derived(days[0].day)
        )
        .with_columns(pl.when(is_duplicate).then(pl.lit("duplicate_key")).otherwise(pl.col(_RULE)).alias(_RULE))
        .collect()
    )


def _dates(table: pl.DataFrame, column: str, dataset: Dataset) -> dict[str, date | None]:
    """The dates that a column's texts mean. Raises AmbiguousText if one means another date on another day."""
    found: dict[str, date | None] = {}
    for day, written in table.select(_DAY, column).unique().drop_nulls().iter_rows():
        text, read = written.strip(), dataset.read_date(written, day)
        if found.setdefault(text, read) != read:
            raise AmbiguousText(text)
    return found


def _marks(table: pl.DataFrame, of: Source, days: Sequence[date]) -> dict[str, pl.Expr]:
    """Whether a row is not the data set's, known or foreign, and whether a value is unusual; no mark if none can be."""

    def is_one_of(name: str, accepted: tuple[str, ...]) -> pl.Expr:
        return pl.col(name).str.strip_chars().is_in(accepted)

    def applies(values: Mapping[str, tuple[str, ...]]) -> pl.Expr:
        return pl.all_horizontal(is_one_of(name, accepted) for name, accepted in values.items())

    def is_all(name: str, value: str | pl.Series) -> bool:
        # Most files have one value throughout, which a look at the column shows much faster than a query.
        return bool((table[name] == value).all())

    def of_each_day(value: str) -> pl.Series:
        texts = {day: value.format(day=day) for day in days}
        return table[_DAY].replace_strict(texts, return_dtype=pl.String)

    marks = {}
    if of.others:
        marks[_SKIPPED] = pl.any_horizontal(applies(values) for values in of.others)
    if not all(is_all(name, accepted[0]) for name, accepted in of.own.items()):
        marks[_FOREIGN] = ~applies(of.own)
    for name, (column, value) in of.usual.items():
        if not is_all(column, usual := of_each_day(value) if len(days) > 1 else value.format(day=days[0])):
            marks[name] = pl.col(column).str.strip_chars() != pl.lit(usual)
    return {_MARK + name: mark.alias(_MARK + name) for name, mark in marks.items()}


def _is_written(text: pl.Expr, dataset: Dataset) -> pl.Expr:
    return text != dataset.nulls[0] if len(dataset.nulls) == 1 else ~text.is_in(dataset.nulls)


def _typed(column: Column, dataset: Dataset, published: Mapping[str, str], dates: Mapping[str, date | None]) -> pl.Expr:
    name, type_ = column.name, dataset.types[column.name]
    if column.derived and name == "line":
        return pl.col(LINE).cast(type_).alias(name)
    if name not in published:
        # Rows without a date are the day's, by the name of their file or by its first lines.
        return (pl.col(_DAY) if name == "trade_date" else pl.lit(None, dtype=type_)).alias(name)
    text = pl.col(TEXT + "_" + name)
    if type_ == pl.Date:
        if len(dates) == 1:
            [(written, read)] = dates.items()
            return pl.when(text == written).then(pl.lit(read, dtype=pl.Date)).alias(name)
        return text.replace_strict(dates, default=None, return_dtype=pl.Date).alias(name)
    value = text.cast(type_, strict=False)
    if type_ == pl.Float64:
        # "inf" and "nan" parse as floats but are not prices.
        value = pl.when(value.is_finite()).then(value)
    if column.times != 1:
        value = (value * column.times).round(2)
    if column.is_percent:
        value = (value / 100).round(4)
    return value.alias(name)


def _rule(dataset: Dataset, published: Mapping[str, str], key: Sequence[str], marks: Collection[str]) -> pl.Expr:
    numbers = [column.name for column in dataset.numbers if column.name in published]
    required = [column.name for column in dataset.numbers if column.required and not column.derived]
    dates = [name for name in published if dataset.types[name] == pl.Date and name != "trade_date"]
    unread = (pl.col(TEXT + "_" + name).is_not_null() & pl.col(name).is_null() for name in dates)
    unsigned = [column.name for column in dataset.numbers if not column.signed and column.name in published]
    verdicts = {
        "field_count": ~pl.col(FITS),
        **{rule: pl.col(_MARK + rule) for rule in (_SKIPPED, _FOREIGN) if _MARK + rule in marks},
        "bad_date": _any([pl.col("trade_date").is_null(), *unread]),
        "other_date": pl.col("trade_date") != pl.col(_DAY),
        "missing_key": _any(pl.col(name).is_null() for name in key),
        "missing_number": _any(pl.col(TEXT + "_" + name).is_null() for name in required),
        "bad_number": _any(pl.col(TEXT + "_" + name).is_not_null() & pl.col(name).is_null() for name in numbers),
        "negative_number": _any((pl.col(name) < 0).fill_null(False) for name in unsigned),
        **{f"{column.name}_{_NOT_POSITIVE}": pl.col(column.name) <= 0 for column in dataset.numbers if column.positive},
    }
    return pl.coalesce(pl.when(broken).then(pl.lit(rule)) for rule, broken in verdicts.items()).alias(_RULE)


def _any(conditions: Iterable[pl.Expr]) -> pl.Expr:
    # Polars has no answer for no conditions.
    found = list(conditions)
    return pl.any_horizontal(found) if found else pl.lit(value=False)


def _rejects(table: pl.DataFrame, broken: pl.DataFrame, dataset: Dataset, day: date, source: str) -> Iterator[Reject]:
    of = dataset.source(source)
    for row in broken.iter_rows(named=True):
        published = table.row(row["_place"], named=True)
        fields = [published[name] or "" for name in table.columns if not name.startswith("_")]
        text = published[TEXT] or ",".join(fields if published[REST] is None else [*fields, published[REST]])
        yield Reject(day, row[LINE], row[_RULE], _detail(row, published, dataset, of, day), text)


def _detail(
    row: Mapping[str, Any], published: Mapping[str, Any], dataset: Dataset, of: Source | None, day: date
) -> str:
    texts = ((name, row[TEXT + "_" + name]) for name in dataset.names if TEXT + "_" + name in row)
    written = {name: text and text[:_QUOTED_LENGTH] for name, text in texts}
    key = ", ".join(f"{name} {written[name]!r}" for name in dataset.key if name in written)
    match row[_RULE]:
        case "field_count":
            return f"{len(fields_of(published[TEXT]))} fields for {len(published) - 4} columns"
        case "foreign_row":
            values = (f"{name} {published[name].strip()[:_QUOTED_LENGTH]!r}" for name in (of.own if of else ()))
            return f"{key}: " + ", ".join(values)
        case "bad_date" | "other_date" if row["trade_date"] != day:
            return f"{key}: date {written['trade_date']!r}"
        case "bad_date":
            dates = (name for name, text in written.items() if text and dataset.types[name] == pl.Date)
            return f"{key}: " + ", ".join(f"{name} {written[name]!r}" for name in dates if row[name] is None)
        case "missing_key" | "duplicate_key":
            return key
        case rule:
            numbers = [column for column in dataset.numbers if column.name in written]
            at_fault = [column for column in numbers if _is_at_fault(rule, row, column)]
            return f"{key}: " + ", ".join(f"{column.name} {written[column.name]!r}" for column in at_fault)


def _is_at_fault(rule: str, row: Mapping[str, Any], column: Column) -> bool:
    written, value = row[TEXT + "_" + column.name], row[column.name]
    if rule == "missing_number":
        return column.required and written is None
    if rule == "bad_number":
        return written is not None and value is None
    if rule.endswith(_NOT_POSITIVE):
        return rule == f"{column.name}_{_NOT_POSITIVE}"
    return not column.signed and value is not None and value < 0
