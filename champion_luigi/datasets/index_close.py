"""Index closes: daily values, turnover and valuation of each of the exchange's indices, 2012-02-21 to today.

The header never changed; the date format did. Names are as published: most changed in November 2015 (CNX to Nifty),
others later, and their case varies, so a name does not identify an index over the years. A dash stands for a value
that the exchange does not calculate. Source: the exchange's own files, 2012 to 2023, and its archive's listing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING

from champion_luigi.datasets.model import COUNT, DAY, PRICE, TEXT, Column, Dataset, Layout, Source

if TYPE_CHECKING:
    import polars as pl

FIRST_DATE = date(2012, 2, 21)
# Sessions for which the exchange's archive has no such file.
NOT_PUBLISHED = frozenset(
    map(
        date.fromisoformat,
        "2013-10-09 2014-03-19 2014-12-15 2015-02-02 2015-03-12 2015-03-13 2015-05-19 2015-07-08 2015-09-04 "
        "2015-10-16 2015-12-01 2016-06-20".split(),
    )
)

_SOURCE = "ind_close_all"
_HEADER = (
    "Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,Closing Index Value,Points Change,"
    "Change(%),Volume,Turnover (Rs. Cr.),P/E,P/B,Div Yield"
)
_CRORE = 10_000_000
_WRITTEN = re.compile(r"(\d{1,2})([-/])(\d{1,2})\2(\d{4})", re.ASCII)


def _read_date(text: str, day: date) -> date | None:
    """A date as the exchange writes it: 15-01-2024, or 15/01/2024 from 2014-06-26 into June 2015.

    The files of 2023-04-06, -10 and -11 put the month first, so a text that names ``day`` in that order is ``day``. Any
    other text is read day first; None if it is not a date.
    """
    if not (found := _WRITTEN.fullmatch(text.strip())):
        return None
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    if (first, second, year) == (day.month, day.day, day.year):
        return day
    try:
        return date(year, second, first)
    except ValueError:
        return None


def _warnings() -> Mapping[str, pl.Expr]:
    import polars as pl

    return {
        "close_outside_low_high": (pl.col("close") < pl.col("low")) | (pl.col("close") > pl.col("high")),
        "high_below_low": pl.col("high") < pl.col("low"),
        "zero_close": pl.col("close") == 0,
        "pb_without_pe": pl.col("pb").is_not_null() & pl.col("pe").is_null(),
    }


INDEX_CLOSE = Dataset(
    name="index_close",
    title="index closes",
    view="index_close",
    stem="index_close",
    folder="index_close",
    sources=(Source(_SOURCE, FIRST_DATE, date.max, "/content/indices/ind_close_all_{day:%d%m%Y}.csv"),),
    layouts=(Layout(_SOURCE, FIRST_DATE, date.max, tuple(_HEADER.split(","))),),
    columns=(
        Column("trade_date", DAY, "date, IST", "the trading day", "Index Date", required=True),
        Column("index_name", TEXT, "", "the index's name as published that day", "Index Name", required=True),
        Column("open", PRICE, "points", "first value; null where only the close is calculated", "Open Index Value"),
        Column("high", PRICE, "points", "highest value; null where the open is", "High Index Value"),
        Column("low", PRICE, "points", "lowest value; null where the open is", "Low Index Value"),
        # Nifty50 Dividend Points starts each April from 0.
        Column(
            "close",
            PRICE,
            "points",
            "closing value; 0 for an index of dividends at the start of its year",
            "Closing Index Value",
            required=True,
        ),
        Column(
            "change",
            PRICE,
            "points",
            "close minus the previous close; published as 0 for an index of dividends",
            "Points Change",
            signed=True,
        ),
        Column(
            "change_percent",
            PRICE,
            "percent",
            "change in percent of the previous close; null for an index of dividends",
            "Change(%)",
            signed=True,
        ),
        Column("volume", COUNT, "shares", "members' shares traded; null for an index without shares", "Volume"),
        Column(
            "turnover",
            PRICE,
            "rupees",
            "members' value traded, published in crores; null for an index without shares",
            "Turnover (Rs. Cr.)",
            times=_CRORE,
        ),
        Column("pe", PRICE, "ratio", "members' price to earnings; null where not calculated", "P/E", signed=True),
        Column("pb", PRICE, "ratio", "members' price to book value; null where not calculated", "P/B", signed=True),
        Column("dividend_yield", PRICE, "percent", "members' yearly dividend yield", "Div Yield"),
        Column("layout", TEXT, "", "the source's format: ind_close_all", required=True),
    ),
    key=("index_name",),
    sums=("close", "turnover"),
    published_at=time(19, 0),
    about="values, volume, turnover and valuation of each of the exchange's indices",
    example="SELECT concat(index_name, ' closed at ', toString(close)) FROM {view} "
    "WHERE trade_date = '{day}' AND lower(index_name) = 'nifty 50'",
    without_file=NOT_PUBLISHED,
    nulls=("", "-"),
    read_date=_read_date,
    warnings=_warnings,
)
