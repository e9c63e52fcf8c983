"""The canonical columns, each stated once: name, Polars type, ClickHouse type, unit and meaning.

The lake's schema, the warehouse's DDL and the tables in the documentation are made from this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from champion_luigi.base.errors import OtherVersion

# Goes into the metadata of every lake file and into every marker; grows by one with each change of COLUMNS.
VERSION = 1
KEY = ("trade_date", "symbol", "series")

_PRICE = "Nullable(Float64) CODEC(ZSTD(1))"
_COUNT = "Nullable(Int64) CODEC(T64, ZSTD(1))"
_TEXT = "LowCardinality(Nullable(String))"


@dataclass(frozen=True)
class Column:
    """One canonical column. ``polars`` is the name of a Polars type; a required one is never null."""

    name: str
    polars: str
    clickhouse: str
    unit: str
    meaning: str
    required: bool = False
    zero_is_null: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("trade_date", "Date", "Date CODEC(ZSTD(1))", "date, IST", "the trading day", required=True),
    Column("symbol", "String", "LowCardinality(String)", "", "the exchange's ticker symbol", required=True),
    Column("series", "String", "LowCardinality(String)", "", "EQ, BE, BL (block), GS, ...; NA is one", required=True),
    Column("isin", "String", _TEXT, "", "as published, dummies included; null before 2011-06-22"),
    Column("instrument_id", "Int64", _COUNT, "", "the exchange's instrument number; UDiFF only"),
    Column("name", "String", _TEXT, "", "the instrument's name; UDiFF only"),
    Column("open", "Float64", _PRICE, "rupees", "first price; null where recorded as 0", zero_is_null=True),
    Column("high", "Float64", _PRICE, "rupees", "highest price; null where recorded as 0", zero_is_null=True),
    Column("low", "Float64", _PRICE, "rupees", "lowest price; null where recorded as 0", zero_is_null=True),
    Column("close", "Float64", "Float64 CODEC(ZSTD(1))", "rupees", "closing price, above 0", required=True),
    Column("last", "Float64", _PRICE, "rupees", "last traded price; null where blank or 0", zero_is_null=True),
    Column("prev_close", "Float64", _PRICE, "rupees", "previous close, not adjusted for splits or bonuses"),
    Column("settlement", "Float64", _PRICE, "rupees", "settlement price; UDiFF only"),
    Column("volume", "Int64", "Int64 CODEC(T64, ZSTD(1))", "shares", "shares traded", required=True),
    Column("turnover", "Float64", "Float64 CODEC(ZSTD(1))", "rupees", "value traded", required=True),
    Column("trades", "Int64", _COUNT, "count", "number of trades; null before 2011-06-22"),
    Column("lot_size", "Int64", _COUNT, "shares", "board lot; UDiFF only"),
    Column("layout", "String", "LowCardinality(String)", "", "the source's format: legacy or udiff", required=True),
)

NAMES = tuple(column.name for column in COLUMNS)
NUMBERS = tuple(column for column in COLUMNS if column.polars in ("Float64", "Int64"))


def require_version(found: object, source: str, day: date | None = None) -> None:
    """Raise OtherVersion for what another version's columns were written in. Where nothing is said, it is the first."""
    if str(found or 1) == str(VERSION):
        return
    is_newer = not str(found).isdecimal() or int(str(found)) > VERSION
    redo = f"champion redo --date {day} --from normalize" if day else "champion redo --from normalize"
    raise OtherVersion(
        f"the columns are those of {'a newer' if is_newer else 'an older'} champion_luigi",
        day=day,
        source=source,
        expected=f"schema version {VERSION}",
        found=str(found or 1),
        todo="Use that version or a newer one; nothing was changed."
        if is_newer
        else f"Make the day anew from what was fetched: {redo}",
    )
