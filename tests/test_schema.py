"""The canonical columns: that the list is complete, agrees with itself and with the layouts."""

from __future__ import annotations

import polars as pl
import pytest

from champion_luigi.datasets.equity import EQUITY, LAYOUTS, SOURCE_COLUMNS, Layout
from champion_luigi.datasets.schema import COLUMNS, NAMES, NUMBERS, VERSION, Column

by_name = pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)


def test_the_columns_of_this_version_are_these() -> None:
    """A change of a name, a type or the order asks for a new version, as files and tables out there have the old."""
    columns = [(column.name, column.kind.type, column.required) for column in COLUMNS]
    assert (VERSION, columns) == (
        1,
        [
            ("trade_date", "Date", True),
            ("symbol", "String", True),
            ("series", "String", True),
            ("isin", "String", False),
            ("instrument_id", "Int64", False),
            ("name", "String", False),
            ("open", "Float64", False),
            ("high", "Float64", False),
            ("low", "Float64", False),
            ("close", "Float64", True),
            ("last", "Float64", False),
            ("prev_close", "Float64", False),
            ("settlement", "Float64", False),
            ("volume", "Int64", True),
            ("turnover", "Float64", True),
            ("trades", "Int64", False),
            ("lot_size", "Int64", False),
            ("layout", "String", True),
        ],
    )


def test_no_name_is_used_twice() -> None:
    """A column is found by its name."""
    assert len(set(NAMES)) == len(NAMES) == len(COLUMNS)


def test_the_key_is_date_symbol_and_series() -> None:
    """And no part of it is ever null."""
    assert EQUITY.key == ("symbol", "series")
    assert {column.name for column in COLUMNS if column.required} >= {"trade_date", *EQUITY.key}


@by_name
def test_a_column_says_what_it_means(column: Column) -> None:
    """A person who reads the documentation needs no other source; what is measured or counted has its unit."""
    assert column.meaning
    assert bool(column.unit) is (column.kind.type != "String" and column.name != "instrument_id")


@by_name
def test_both_types_of_a_column_agree(column: Column) -> None:
    """ClickHouse's type holds what Polars' type holds, and nulls just where there can be some."""
    assert hasattr(pl, column.kind.type)
    stored = column.clickhouse.partition(" CODEC")[0].removeprefix("LowCardinality(").rstrip(")")
    assert stored.removeprefix("Nullable(") == column.kind.type
    assert ("Nullable" in column.clickhouse) is not column.required


def test_zero_is_null_for_the_prices_that_may_not_be_recorded() -> None:
    """OPEN, HIGH, LOW and LAST; a close of 0 is an error, and a previous close of 0 is what was published."""
    assert {column.name for column in COLUMNS if column.zero_is_null} == {"open", "high", "low", "last"}


def test_numbers_are_prices_counts_and_turnover() -> None:
    """What is checked as a number is just what is stored as one."""
    assert {column.name for column in NUMBERS} == {
        *("open", "high", "low", "close", "last", "prev_close", "settlement"),
        *("instrument_id", "volume", "turnover", "trades", "lot_size"),
    }


@pytest.mark.parametrize("format", SOURCE_COLUMNS)
def test_every_source_column_becomes_a_canonical_one(format: str) -> None:
    """Neither side of the mapping has a name that does not exist, nor one twice."""
    mapping = SOURCE_COLUMNS[format]
    published = {name for layout in LAYOUTS if layout.source == format for name in layout.columns}
    assert set(mapping) <= set(NAMES)
    assert set(mapping.values()) <= published
    assert len(set(mapping.values())) == len(mapping)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.source} {layout.first}")
def test_every_layout_has_the_required_columns(layout: Layout) -> None:
    """A layout without one could give no row at all; the layout's name is the package's own to fill in."""
    required = {column.name for column in COLUMNS if column.required} - {"layout"}
    assert {SOURCE_COLUMNS[layout.source][name] for name in required} <= set(layout.columns)


def test_both_formats_fill_what_both_publish() -> None:
    """Legacy's columns are a part of UDiFF's."""
    assert set(SOURCE_COLUMNS["udiff"]) - set(SOURCE_COLUMNS["legacy"]) == {
        "instrument_id",
        "name",
        "settlement",
        "lot_size",
    }
    assert set(SOURCE_COLUMNS["legacy"]) < set(SOURCE_COLUMNS["udiff"])
