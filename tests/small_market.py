"""Small markets for tests of adjustments: prices, notices and names, written in a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from champion_luigi.adjustments import events, spans
from champion_luigi.adjustments.instruments import Change, Changes, Names, names
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.model import Dataset
from champion_luigi.storage import lake

START = date(2024, 1, 1)


def day(number: int) -> date:
    """The trading day of that number; every day of the week trades here."""
    return START + timedelta(days=number)


def prices(symbol: str, closes: Sequence[float], series: str = "EQ", first: int = 0) -> pl.DataFrame:
    """Rows of one symbol on days that follow one another, each with the close before it as previous close."""
    return pl.DataFrame(
        {
            "trade_date": [day(first + at) for at in range(len(closes))],
            "symbol": symbol,
            "series": series,
            "close": [float(close) for close in closes],
            "prev_close": [float(close) for close in (closes[0], *closes[:-1])],
            "volume": 100,
            "turnover": 1000.0,
        }
    )


def notices(*lines: tuple[str, str, int, int], series: str = "EQ", layout: str = "pr", **more: Any) -> pl.DataFrame:
    """Rows of corporate actions: symbol, purpose, number of the day of the list, number of the ex-date."""
    types = CORPORATE_ACTIONS.types
    blank = {name: None for name, column in zip(types, CORPORATE_ACTIONS.columns, strict=True) if not column.required}
    rows = [
        blank
        | {
            "trade_date": day(listed),
            "symbol": symbol,
            "series": series,
            "purpose": purpose,
            "ex_date": day(ex),
            "number": 1,
            "part": 1,
            "understood": False,
            "line": at + 2,
            "layout": layout,
        }
        | more
        for at, (symbol, purpose, listed, ex) in enumerate(lines)
    ]
    given = pl.DataFrame(rows, types)
    derive = CORPORATE_ACTIONS.derive
    assert derive is not None
    return derive(given).select(*types)


def renamed(*changes: tuple[str, str, int], traded: pl.DataFrame | None = None) -> Names:
    """Names by changes: old symbol, new symbol, number of the first day under the new one."""
    return names(Changes(tuple(Change(day(at), old, new, "") for old, new, at in changes)), traded)


def put_in_lake(root: Path, dataset: Dataset, rows: pl.DataFrame) -> None:
    """Put rows into a lake, a file a day; columns that are not given are null."""
    for at, part in by_day(dataset, rows):
        path = lake.partition(root, at, dataset)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lake.parquet_bytes(part, {"schema_version": str(dataset.version)}))


def by_day(dataset: Dataset, rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """Each day's rows in the columns of a data set; columns that are not given are null."""
    lacking = [pl.lit(None, kind).alias(name) for name, kind in dataset.types.items() if name not in rows.columns]
    whole = rows.with_columns(lacking).select(pl.col(name).cast(kind) for name, kind in dataset.types.items())
    for (at,), part in whole.partition_by("trade_date", as_dict=True).items():
        assert isinstance(at, date)
        yield at, part


def events_in(rows: pl.DataFrame, actions: pl.DataFrame, known: Names | None = None, **more: Any) -> pl.DataFrame:
    """The adjustments of a small market."""
    known = known or renamed()
    actions = events.by_instrument(actions, known)
    face_values = more.pop("face_values", None)
    face_values = events.face_values_of(actions, face_values)
    rows = spans.with_instrument(rows, known.frame).with_columns(spans.security_of(pl.col("series")).alias("security"))
    return events.events_of(actions, known, rows, face_values, **more)


def adjusted_in(
    rows: pl.DataFrame, actions: pl.DataFrame, known: Names | None = None, through: int | None = None, **more: Any
) -> pl.DataFrame:
    """The rows of a small market, adjusted."""
    known = known or renamed()
    last = rows["trade_date"].max()
    assert isinstance(last, date)
    found = spans.spans_of(events_in(rows, actions, known, **more), known.frame, rows, last)
    return spans.adjusted(rows.lazy(), found, None if through is None else day(through)).collect()
