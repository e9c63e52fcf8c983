"""Index closes: daily values, turnover and valuation of each of the exchange's indices, 2010-01-04 to today.

``ind_close_all`` is the file of all indices, since 2012-02-21. Its header never changed; the date format did. A dash
stands for a value that the exchange does not calculate. ``pr``, the member ``Pd`` of the zip for the press, has the
main indices since 2010-01-04: open, high, low, close and previous close alone, under shorter names. Names change, and
their case varies: ``index_name`` is the name as published, ``index`` the same over the years. Source: the exchange's
own files, ``ind_close_all`` of 2012 to 2023 and ``pr`` from April to June 2024, and its archive's listing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING

from champion_luigi.datasets import index_names, press
from champion_luigi.datasets.model import (
    COUNT,
    DAY,
    NEVER,
    PRICE,
    TEXT,
    Column,
    Correction,
    Dataset,
    Layout,
    Source,
    Total,
)

if TYPE_CHECKING:
    import polars as pl

# The first day of each source.
FIRST_DATE = press.FIRST_DATE
ALL_INDICES_FROM = date(2012, 2, 21)
# Sessions for which the exchange's archive has no file of all indices.
NOT_PUBLISHED = frozenset(
    map(
        date.fromisoformat,
        "2013-10-09 2014-03-19 2014-12-15 2015-02-02 2015-03-12 2015-03-13 2015-05-19 2015-07-08 2015-09-04 "
        "2015-10-16 2015-12-01 2016-06-20".split(),
    )
)

_SOURCE = "ind_close_all"
_PRESS = "pr"
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
        "unknown_index": ~pl.col("index").is_in([*dict.fromkeys(each.index for each in index_names.table())]),
        "repeated_index": pl.col("index").is_not_null() & pl.col("index").is_duplicated(),
    }


@functools.lru_cache(maxsize=64)
def _derived(day: date) -> Mapping[str, pl.Expr]:
    return _by_names(tuple(index_names.stable_names(day).items()))


@functools.cache
def _by_names(stable: tuple[tuple[str, str], ...]) -> Mapping[str, pl.Expr]:
    import polars as pl

    # As `index_names.plain` does.
    plain = pl.col("index_name").str.strip_chars().str.replace_all(r"\s+", " ").str.to_lowercase()
    return {"index": plain.replace_strict(dict(stable), default=pl.col("index_name"))}


def _in(all_indices: str, press: str) -> dict[str, str]:
    """A column's name by source."""
    return {_SOURCE: all_indices, _PRESS: press}


INDEX_CLOSE = Dataset(
    name="index_close",
    title="index closes",
    view="index_close",
    stem="index_close",
    folder="index_close",
    version=2,
    sources=(
        Source(_SOURCE, ALL_INDICES_FROM, date.max, "/content/indices/ind_close_all_{day:%d%m%Y}.csv"),
        Source(
            _PRESS,
            press.FIRST_DATE,
            date.max,
            press.PATH,
            official=NEVER,
            partial=True,
            members=press.members("Pd"),
            is_one_of_many=True,
            shared="pr",
            own=press.INDICES,
            others=(press.SHARES, press.TITLES),
            # The numbers stand in the row of the Nifty 50, and are the whole market's. They are exact on 95 of 106 days
            # of 2024, and within 6 parts in a million from 2024-07-19 to 08-02.
            totals=(
                Total(
                    "other_market_total",
                    press.INDICES,
                    press.SHARES,
                    ("NET_TRDVAL", "NET_TRDQTY", "TRADES"),
                    tolerance=1e-5,
                ),
            ),
        ),
    ),
    layouts=(
        Layout(_SOURCE, ALL_INDICES_FROM, date.max, tuple(_HEADER.split(","))),
        Layout(_PRESS, press.FIRST_DATE, date.max, press.PD),
    ),
    columns=(
        Column("trade_date", DAY, "date, IST", "the trading day", {_SOURCE: "Index Date"}, required=True),
        Column(
            "index_name",
            TEXT,
            "",
            "the index's name as published that day",
            _in("Index Name", "SECURITY"),
            required=True,
        ),
        Column(
            "open",
            PRICE,
            "points",
            "first value; null where only the close is calculated",
            _in("Open Index Value", "OPEN_PRICE"),
            zero_is_null=True,
        ),
        Column(
            "high",
            PRICE,
            "points",
            "highest value; null where the open is",
            _in("High Index Value", "HIGH_PRICE"),
            zero_is_null=True,
        ),
        Column(
            "low",
            PRICE,
            "points",
            "lowest value; null where the open is",
            _in("Low Index Value", "LOW_PRICE"),
            zero_is_null=True,
        ),
        # Nifty50 Dividend Points starts each April from 0.
        Column(
            "close",
            PRICE,
            "points",
            "closing value; 0 for an index of dividends at the start of its year",
            _in("Closing Index Value", "CLOSE_PRICE"),
            required=True,
        ),
        Column(
            "change",
            PRICE,
            "points",
            "close minus the previous close; published as 0 for an index of dividends; null in pr",
            {_SOURCE: "Points Change"},
            signed=True,
        ),
        Column(
            "change_percent",
            PRICE,
            "percent",
            "change in percent of the previous close; null for an index of dividends and in pr",
            {_SOURCE: "Change(%)"},
            signed=True,
        ),
        Column(
            "volume",
            COUNT,
            "shares",
            "members' shares traded; null for an index without shares and in pr",
            {_SOURCE: "Volume"},
        ),
        Column(
            "turnover",
            PRICE,
            "rupees",
            "members' value traded, published in crores; null for an index without shares and in pr",
            {_SOURCE: "Turnover (Rs. Cr.)"},
            times=_CRORE,
        ),
        Column(
            "pe",
            PRICE,
            "ratio",
            "members' price to earnings; null where not calculated and in pr",
            {_SOURCE: "P/E"},
            signed=True,
        ),
        Column(
            "pb",
            PRICE,
            "ratio",
            "members' price to book value; null where not calculated and in pr",
            {_SOURCE: "P/B"},
            signed=True,
        ),
        Column(
            "dividend_yield", PRICE, "percent", "members' yearly dividend yield; null in pr", {_SOURCE: "Div Yield"}
        ),
        Column("layout", TEXT, "", "the source: ind_close_all or pr", required=True),
        # Since version 2.
        Column("index", TEXT, "", "the index's name over the years; a name that is not known stays as published"),
        Column("prev_close", PRICE, "points", "the previous session's close; pr only", {_PRESS: "PREV_CL_PR"}),
    ),
    key=("index_name",),
    sums=("close", "turnover"),
    published_at=time(19, 0),
    about="values, volume, turnover and valuation of each of the exchange's indices",
    example="SELECT concat(index_name, ' closed at ', toString(close)) FROM {view} "
    "WHERE trade_date = '{day}' AND lower(index_name) = 'nifty 50'",
    nulls=("", "-"),
    rows_a_day=150,
    read_date=_read_date,
    warnings=_warnings,
    derived=_derived,
    corrections=(
        Correction(
            _SOURCE,
            date(2013, 2, 8),
            {"Index Name": "CNX Alpha Index", "Closing Index Value": "1572.9"},
            {"Index Name": "CNX High Beta"},
            "The name stands on two rows. This one's close less its change of -21.94 is the close of CNX High Beta of "
            "the day before, 1594.85, but for a hundredth.",
        ),
    ),
)
