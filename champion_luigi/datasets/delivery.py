"""Delivery: how many of each security's traded shares were delivered, 2005-04-01 to today.

Since 2019-10-01 the exchange publishes ``full``, prices with delivery. ``mto``, the older list of delivery positions,
is its only file before, and is published beside it to this day: it lacks series BE and BZ, the average price, turnover
and trades, and has some debt that ``full`` lacks. On the keys of both, all values are the same.

The path of ``full`` has an answer for every date: until the evening of a session, and on days without one, that of the
session before. The file of 2022-08-08 is a workbook, that of the Muhurat session of 2021-11-04 has the day before. Such
a day comes from ``mto``. Source: the exchange's own files, 2020 to 2026, and first lines of ``mto`` since 2006.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING

from champion_luigi.datasets.model import (
    COUNT,
    DAY,
    INVISIBLE,
    PRICE,
    TEXT,
    Column,
    Dataset,
    Layout,
    Preamble,
    Source,
    as_written,
)

if TYPE_CHECKING:
    import polars as pl

# The first file of ``mto`` that is known. There may be older ones.
FIRST_DATE = date(2005, 4, 1)
# The path of ``full`` has an answer for 2019-09-30 too: the file of 2019-06-27.
FULL_FROM = date(2019, 10, 1)
# Every trade in these series is for delivery, and ``full`` has a dash.
ALL_DELIVERED = ("BE", "BZ")

_LAKH = 100_000
_FULL = tuple(
    "SYMBOL SERIES DATE1 PREV_CLOSE OPEN_PRICE HIGH_PRICE LOW_PRICE LAST_PRICE CLOSE_PRICE AVG_PRICE TTL_TRD_QNTY "
    "TURNOVER_LACS NO_OF_TRADES DELIV_QTY DELIV_PER".split()
)
_TYPE, _NUMBER, _SECURITY, _TRADED, _DELIVERED, _PERCENT = _MTO = (
    "Record Type",
    "Sr No",
    "Name of Security",
    "Quantity Traded",
    "Deliverable Quantity(gross across client level)",
    "% of Deliverable Quantity to Traded Quantity",
)
# The header has one name for two fields, the symbol and the series.
_MTO_FIELDS = (_TYPE, _NUMBER, _SECURITY, "Series", _TRADED, _DELIVERED, _PERCENT)
_MTO_PREAMBLE = Preamble(
    (
        "Security Wise Delivery Position - Compulsory Rolling Settlement",
        r"10,MTO,(?P<date>\d{8}),(?P<total>\d+),(?P<rows>\d+)",
        # Until 2017 or later, the settlement's number and date follow.
        r"Trade Date <\d{2}-[A-Z]{3}-\d{4}>,Settlement Type <[A-Z]>(,.*)?",
    ),
    total_of=_DELIVERED,
)


def _read_date(text: str, day: date) -> date | None:
    """A date as the exchange writes it: 15-Jan-2024 in ``full``, 15012024 in ``mto``; None if it is not one."""
    if len(text) != 8 or not text.isdecimal():
        return as_written(text, day)
    try:
        return date(int(text[4:]), int(text[2:4]), int(text[:2]))
    except ValueError:
        return None


def _warnings() -> Mapping[str, pl.Expr]:
    import polars as pl

    # Half of the last digit: a hundredth of a percent, a thousand rupees, and a paisa for each share.
    share_apart = (pl.col("delivered_share") - pl.col("delivered") / pl.col("volume")).abs() > 0.000_051
    turnover_apart = (pl.col("average_price") * pl.col("volume") - pl.col("turnover")).abs() > (
        501 + 0.005_1 * pl.col("volume")
    )
    return {
        "delivered_above_volume": pl.col("delivered") > pl.col("volume"),
        "delivery_unknown": pl.col("delivered").is_null() & ~pl.col("series").is_in(ALL_DELIVERED),
        "other_delivered_share": share_apart,
        "other_turnover": turnover_apart,
        "invisible_in_key": pl.any_horizontal(pl.col("symbol", "series").str.contains(INVISIBLE)),
    }


DELIVERY = Dataset(
    name="delivery",
    title="delivery data",
    view="delivery",
    stem="delivery",
    folder="delivery",
    sources=(
        Source(
            "full",
            FULL_FROM,
            date.max,
            "/products/content/sec_bhavdata_full_{day:%d%m%Y}.csv",
            repeats_previous=True,
            ends_in_newline=True,
        ),
        Source(
            "mto",
            FIRST_DATE,
            date.max,
            "/archives/equities/mto/MTO_{day:%d%m%Y}.DAT",
            partial=True,
            preamble=_MTO_PREAMBLE,
            own={_TYPE: ("20",)},
        ),
    ),
    layouts=(
        Layout("full", FULL_FROM, date.max, _FULL),
        Layout("mto", FIRST_DATE, date.max, _MTO, fields=_MTO_FIELDS),
    ),
    columns=(
        Column("trade_date", DAY, "date, IST", "the trading day", {"full": "DATE1"}, required=True),
        Column(
            "symbol",
            TEXT,
            "",
            "the exchange's ticker symbol",
            {"full": "SYMBOL", "mto": _SECURITY},
            required=True,
        ),
        Column("series", TEXT, "", "EQ, BE, SM, ...; NA is one", {"full": "SERIES", "mto": "Series"}, required=True),
        Column(
            "delivered",
            COUNT,
            "shares",
            "shares delivered; null in BE and BZ, where all are",
            {"full": "DELIV_QTY", "mto": _DELIVERED},
        ),
        Column(
            "delivered_share",
            PRICE,
            "share of 1",
            "delivered by volume, as published: a percent with two decimals; null where delivered is",
            {"full": "DELIV_PER", "mto": _PERCENT},
            is_percent=True,
        ),
        Column("average_price", PRICE, "rupees", "turnover by volume; null in mto", {"full": "AVG_PRICE"}),
        Column("volume", COUNT, "shares", "shares traded", {"full": "TTL_TRD_QNTY", "mto": _TRADED}, required=True),
        Column(
            "turnover",
            PRICE,
            "rupees",
            "value traded, published in lakhs: to the nearest 1,000 rupees; null in mto",
            {"full": "TURNOVER_LACS"},
            times=_LAKH,
        ),
        Column("trades", COUNT, "count", "number of trades; null in mto", {"full": "NO_OF_TRADES"}),
        Column("layout", TEXT, "", "the source: full or mto", required=True),
    ),
    key=("symbol", "series"),
    sums=("volume", "delivered", "delivered_share"),
    # The previous session's file was seen until 19:56.
    published_at=time(20, 30),
    requested_at=(time(20, 45), time(22, 30), time(9, 0)),
    about="shares delivered of each security, and their share of the volume",
    # Of the share with the highest turnover.
    example="SELECT concat(symbol, ': ', toString(round(100 * delivered_share, 1)), ' % of its volume delivered') "
    "FROM {view} WHERE trade_date = '{day}' AND series = 'EQ' ORDER BY turnover DESC, symbol LIMIT 1",
    nulls=("", "-"),
    read_date=_read_date,
    warnings=_warnings,
)
