"""A report's data dictionary: the tables that people query, their columns, and how much they hold in the range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from champion_luigi.adjustments.tables import ADJUSTED_PRICES, EVENTS, SPANS
from champion_luigi.datasets.model import Column, Dataset
from champion_luigi.warehouse.adjusted import ADJUSTED, ADJUSTMENT_SPANS, ADJUSTMENTS

_NAMES = ("name", "type", "unit", "nullable", "meaning")


def entries(dataset: Dataset, days: Sequence[Mapping[str, Any]], adjustments: Mapping[str, Any] | None) -> list[Any]:
    """The views of a data set, then those made from it: each with what a row is, its extent and its columns.

    ``days`` are the report's. First and last day are those in the lake, ``rows`` their rows; None is not recorded.
    ``adjustments`` is that of the status: None if there are none.
    """
    there = [day for day in days if day["state"] in ("loaded", "lake")]
    rows = [day["rows"] for day in there if day["rows"] is not None]
    extent = {
        "first": there[0]["date"] if there else None,
        "last": there[-1]["date"] if there else None,
        "rows": sum(rows) if len(rows) == len(there) else None,
    }
    unknown = {"first": None, "last": None, "rows": None}
    key = ", ".join(("trade_date", *dataset.key))
    found = [_entry(dataset.view, f"{dataset.about}; one row for each {key}", dataset.columns, extent)]
    for view in dataset.views:
        columns = [_commented(name, comment) for name, comment in dataset.view_comments.items()]
        about = f"made from {dataset.view}; the columns that are not listed are as there"
        found.append({"view": view, "about": about, **unknown, "columns": columns})
    if dataset.is_for_adjustments and adjustments:
        events = {**unknown, "rows": adjustments["events"]}
        found += [
            _entry(ADJUSTED, "the rows of equity_ohlc, with adjusted prices and volume", ADJUSTED_PRICES, unknown),
            _entry(ADJUSTMENTS, "one row for each event that changes prices, or a symbol", EVENTS, events),
            _entry(ADJUSTMENT_SPANS, "the factors of each symbol and series, by spans of dates", SPANS, unknown),
        ]
    return found


def _entry(view: str, about: str, columns: Sequence[Column], extent: Mapping[str, Any]) -> dict[str, Any]:
    shown = [(each.name, each.kind.type, each.unit, not each.required, each.meaning) for each in columns]
    return {"view": view, "about": about, **extent, "columns": [dict(zip(_NAMES, row, strict=True)) for row in shown]}


def _commented(name: str, comment: str) -> dict[str, Any]:
    """A column that is declared by its comment alone."""
    meaning, _, unit = comment.removesuffix("]").partition(" [")
    return dict(zip(_NAMES, (name, "", unit, False, meaning), strict=True))
