"""From published lines to canonical rows: parse, normalize, check. Pure functions from frames to frames.

A parsed table holds the source's columns as text, one row a line, nothing dropped: `_line` is the line's
number in the file, and `_text` the line itself where its fields do not fit the header. Types are given in
`normalize`, so that a value that does not read as a number is rejected with its text, not lost before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from champion_luigi.base.errors import CheckFailed
from champion_luigi.datasets.equity import SOURCE_COLUMNS
from champion_luigi.datasets.schema import COLUMNS, NAMES, NUMBERS, Column
from champion_luigi.parsing.lines import FITS, LINE, REST, TEXT
from champion_luigi.parsing.payload import fields_of, read_date

MAX_REJECTED_SHARE = 0.05
# The canonical columns' types, in order: the schema of a normalized table and of a lake file.
TYPES = pl.Schema({column.name: getattr(pl, column.kind.type) for column in COLUMNS})

_RULE = "_rule"
_SAMPLE = 3
# What a detail quotes of a value, which can be as long as the file, and a message of a detail: the text has all of it.
_QUOTED_LENGTH = 60
_SAMPLE_LENGTH = 300
_ISIN = "^[A-Z]{2}[A-Z0-9]{9}[0-9]$"

# Oddities that the exchange really publishes: counted by rule, never dropped.
WARNINGS: Mapping[str, pl.Expr] = {
    "close_outside_low_high": (pl.col("close") < pl.col("low")) | (pl.col("close") > pl.col("high")),
    "high_below_low": pl.col("high") < pl.col("low"),
    "dummy_isin": ~pl.col("isin").str.contains(_ISIN),
}


@dataclass(frozen=True)
class Reject:
    """A line that cannot stand: the rule that it breaks, what exactly, and its text as published."""

    trade_date: date
    line: int
    rule: str
    detail: str
    text: str


@dataclass(frozen=True)
class Normalized:
    """One day in canonical columns. Raw rows = ``rows.height`` + ``len(rejects)``; ``warnings`` counts rows by rule."""

    rows: pl.DataFrame
    rejects: list[Reject]
    warnings: dict[str, int]


def normalize(table: pl.DataFrame, format: str, day: date) -> Normalized:
    """Canonical columns and types from a parsed table; lines that cannot stand become rejects.

    Rules, the first broken one counts: `field_count`, `bad_date`, `other_date`, `missing_key`,
    `missing_number`, `bad_number`, `negative_number`, `close_not_positive`, `duplicate_key`.
    """
    judged = _judged(table, format, day)
    clean = judged[_RULE].null_count() == judged.height
    standing = judged if clean else judged.filter(pl.col(_RULE).is_null())
    rows = standing.select(
        pl.when(pl.col(column.name) != 0).then(pl.col(column.name)) if column.zero_is_null else pl.col(column.name)
        for column in COLUMNS
    )
    rejects = [] if clean else list(_rejects(table, judged.filter(pl.col(_RULE).is_not_null()), day))
    return Normalized(rows, rejects, count_warnings(rows))


def count_warnings(rows: pl.DataFrame) -> dict[str, int]:
    """How many canonical rows show each oddity, by rule."""
    counts = rows.select(rule.sum().alias(name) for name, rule in WARNINGS.items()).row(0, named=True)
    return {name: int(count or 0) for name, count in counts.items()}


def check(normalized: Normalized, day: date, source: str, max_rejected_share: float = MAX_REJECTED_SHARE) -> None:
    """Raise CheckFailed, with the counts and a sample, where the day as a whole cannot stand."""
    rejected = len(normalized.rejects)
    raw = normalized.rows.height + rejected
    if normalized.rows.height and rejected <= max_rejected_share * raw:
        return
    by_rule: dict[str, int] = {}
    for reject in normalized.rejects:
        by_rule[reject.rule] = by_rule.get(reject.rule, 0) + 1
    counts = ", ".join(f"{rule} {count}" for rule, count in sorted(by_rule.items(), key=lambda each: -each[1]))
    sample = "; ".join(f"line {each.line}: {each.detail[:_SAMPLE_LENGTH]}" for each in normalized.rejects[:_SAMPLE])
    raise CheckFailed(
        "too many rows cannot stand" if raw else "there are no rows",
        day=day,
        source=source,
        expected=f"rows, at most {max_rejected_share * 100:g}% of them rejected",
        found=f"{raw} raw rows, {rejected} rejected" + (f" ({counts}), such as {sample}" if rejected else ""),
        todo="The rejected rows are kept under rejects/. If the exchange republishes the day, "
        "delete its receipt under raw/ to fetch it again.",
    )


def _judged(table: pl.DataFrame, format: str, day: date) -> pl.DataFrame:
    """Canonical columns, their texts as `_text_<name>`, `_line`, and in `_rule` the first rule that a row breaks.

    One query, because a day is so small that each further one costs more than what it computes.
    """
    source = {ours: theirs for ours, theirs in SOURCE_COLUMNS[format].items() if theirs in table.columns}
    # Outer blanks off, and null where nothing is written.
    texts = {ours: pl.col(theirs).str.strip_chars() for ours, theirs in source.items()}
    dates = {text: read_date(text) for text in table[source["trade_date"]].unique().drop_nulls()}
    return (
        table.lazy()
        .select(
            LINE,
            FITS,
            pl.int_range(pl.len()).alias("_place"),
            *(pl.when(text != "").then(text).alias(TEXT + "_" + name) for name, text in texts.items()),
        )
        .with_columns(_typed(name, source, dates) for name in NAMES if name != "layout")
        .with_columns(pl.lit(format).alias("layout"), _rule(source, day))
        .with_columns(
            # Among the rows that stand so far, the first of a key stays.
            pl.when(pl.col(_RULE).is_null() & ~pl.struct("symbol", "series", _RULE).is_first_distinct())
            .then(pl.lit("duplicate_key"))
            .otherwise(pl.col(_RULE))
            .alias(_RULE)
        )
        .collect()
    )


def _typed(name: str, source: Mapping[str, str], dates: Mapping[str, date | None]) -> pl.Expr:
    if name not in source:
        return pl.lit(None, dtype=TYPES[name]).alias(name)
    text = pl.col(TEXT + "_" + name)
    if TYPES[name] == pl.Date:
        stripped = {written.strip(): read for written, read in dates.items()}
        return text.replace_strict(stripped, default=None, return_dtype=pl.Date).alias(name)
    value = text.cast(TYPES[name], strict=False)
    if TYPES[name] == pl.Float64:
        # "inf" and "nan" read as floats, and are no prices.
        value = pl.when(value.is_finite()).then(value)
    return value.alias(name)


def _rule(source: Mapping[str, str], day: date) -> pl.Expr:
    numbers = [column.name for column in NUMBERS if column.name in source]
    required = [column.name for column in NUMBERS if column.required]
    verdicts = {
        "field_count": ~pl.col(FITS),
        "bad_date": pl.col("trade_date").is_null(),
        "other_date": pl.col("trade_date") != day,
        "missing_key": pl.col("symbol").is_null() | pl.col("series").is_null(),
        "missing_number": pl.any_horizontal(pl.col(TEXT + "_" + name).is_null() for name in required),
        "bad_number": pl.any_horizontal(
            pl.col(TEXT + "_" + name).is_not_null() & pl.col(name).is_null() for name in numbers
        ),
        "negative_number": pl.any_horizontal((pl.col(name) < 0).fill_null(False) for name in numbers),
        "close_not_positive": pl.col("close") <= 0,
    }
    return pl.coalesce(pl.when(broken).then(pl.lit(rule)) for rule, broken in verdicts.items()).alias(_RULE)


def _rejects(table: pl.DataFrame, broken: pl.DataFrame, day: date) -> Iterator[Reject]:
    for row in broken.iter_rows(named=True):
        published = table.row(row["_place"], named=True)
        fields = [published[name] or "" for name in table.columns if not name.startswith("_")]
        text = published[TEXT] or ",".join(fields if published[REST] is None else [*fields, published[REST]])
        yield Reject(day, row[LINE], row[_RULE], _detail(row, published), text)


def _detail(row: Mapping[str, Any], published: Mapping[str, Any]) -> str:
    texts = ((name, row[TEXT + "_" + name]) for name in NAMES if TEXT + "_" + name in row)
    written = {name: text and text[:_QUOTED_LENGTH] for name, text in texts}
    key = f"symbol {written['symbol']!r}, series {written['series']!r}"
    match row[_RULE]:
        case "field_count":
            return f"{len(fields_of(published[TEXT]))} fields for {len(published) - 4} columns"
        case "bad_date" | "other_date":
            return f"{key}: date {written['trade_date']!r}"
        case "missing_key" | "duplicate_key":
            return key
        case "close_not_positive":
            return f"{key}: close {written['close']!r}"
        case rule:
            at_fault = [column for column in NUMBERS if column.name in written and _is_at_fault(rule, row, column)]
            return f"{key}: " + ", ".join(f"{column.name} {written[column.name]!r}" for column in at_fault)


def _is_at_fault(rule: str, row: Mapping[str, Any], column: Column) -> bool:
    written, value = row[TEXT + "_" + column.name], row[column.name]
    if rule == "missing_number":
        return column.required and written is None
    if rule == "bad_number":
        return written is not None and value is None
    return value is not None and value < 0
