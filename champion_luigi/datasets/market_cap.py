"""Market capitalisation: shares issued, face value and market value of each listed share, 2024-02-01 to today.

The member ``MCAP`` of the zip for the press has a row for each share and trust that is listed or permitted to trade,
whether or not it traded that day. Its last three rows are totals. The market value is the number of shares times the
exact close; since 2024-06-10, when shares below 250 rupees began to trade in single paise, the close beside it is
rounded to five paise. Source: the exchange's own files of April to June 2024, and one of December 2025.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING

from champion_luigi.datasets import press
from champion_luigi.datasets.model import (
    COUNT,
    DAY,
    INVISIBLE,
    PRICE,
    TEXT,
    Column,
    Dataset,
    Layout,
    Source,
    Total,
    as_written,
)

if TYPE_CHECKING:
    import polars as pl

# The first zip with this member.
FIRST_DATE = date(2024, 2, 1)

_SOURCE = "pr"
_NAMES = (
    "Trade Date,Symbol,Series,Security Name,Category,Last Trade Date,Face Value(Rs.),Issue Size,"
    "Close Price/Paid up value(Rs.),Market Cap(Rs.)"
)
_LISTED, _PERMITTED = "Listed", "Permitted"
_SHARES = {"Category": (_LISTED, _PERMITTED)}


def _total(title: str) -> Mapping[str, tuple[str, ...]]:
    """The row that holds a total. TOTAL is a share's symbol too, but no share is without a series."""
    return {"Symbol": (title,), "Series": ("",)}


def _read_date(text: str, day: date) -> date | None:
    """A date as the exchange writes it here: 01 APR 2024; None if it is not one."""
    return as_written("-".join(text.split()), day)


def _warnings() -> Mapping[str, pl.Expr]:
    import polars as pl

    # By how much the two closes differ: the one that is printed, and the one in the market value.
    apart = (pl.col("market_cap") - pl.col("issue_size") * pl.col("close")).abs()
    # Half a paisa, and half of five paise with something for floats.
    is_apart, is_not_rounding = (apart > paise * pl.col("issue_size") for paise in (0.005, 0.025_1))
    return {
        "rounded_close": is_apart & ~is_not_rounding,
        "other_market_cap": is_not_rounding,
        "old_close": pl.col("last_trade_date") < pl.col("trade_date"),
        "never_traded": pl.col("last_trade_date").is_null(),
        "later_last_trade": pl.col("last_trade_date") > pl.col("trade_date"),
        "invisible_in_key": pl.any_horizontal(pl.col("symbol", "series").str.contains(INVISIBLE)),
    }


MARKET_CAP = Dataset(
    name="market_cap",
    title="market capitalisation",
    view="market_cap",
    stem="market_cap",
    folder="market_cap",
    sources=(
        Source(
            _SOURCE,
            FIRST_DATE,
            date.max,
            press.PATH,
            # In lower case from 2025-10-13 on.
            members=("MCAP{day:%d%m%Y}.csv",),
            is_one_of_many=True,
            shared="pr",
            own=_SHARES,
            others=(_total(_LISTED), _total(_PERMITTED), _total("Total")),
            # The exchange rounds each row, so its totals are up to two rupees apart from the sums: 5 parts in 10^15.
            totals=(
                Total("other_listed_total", _total(_LISTED), {"Category": (_LISTED,)}, ("Market Cap(Rs.)",)),
                Total("other_permitted_total", _total(_PERMITTED), {"Category": (_PERMITTED,)}, ("Market Cap(Rs.)",)),
                Total("other_total", _total("Total"), _SHARES, ("Market Cap(Rs.)",)),
            ),
        ),
    ),
    layouts=(Layout(_SOURCE, FIRST_DATE, date.max, tuple(_NAMES.split(","))),),
    columns=(
        Column("trade_date", DAY, "date, IST", "the trading day", "Trade Date", required=True),
        Column("symbol", TEXT, "", "the exchange's ticker symbol", "Symbol", required=True),
        Column(
            "series",
            TEXT,
            "",
            "EQ, BE, BZ, SM, ST, ... for shares; IV, IT and RR for trusts",
            "Series",
            required=True,
        ),
        Column("name", TEXT, "", "the company's or trust's name, cut to 25 characters", "Security Name"),
        Column(
            "category",
            TEXT,
            "",
            "Listed, or Permitted: to trade here, though listed elsewhere or for a time only",
            "Category",
        ),
        Column(
            "last_trade_date",
            DAY,
            "date, IST",
            "the last day on which it traded; null if it never did",
            "Last Trade Date",
        ),
        Column("face_value", PRICE, "rupees", "the share's face value on that day", "Face Value(Rs.)"),
        Column("issue_size", COUNT, "shares", "shares issued", "Issue Size", required=True),
        Column(
            "close",
            PRICE,
            "rupees",
            "the close of last_trade_date as published, since 2024-06-10 rounded to 0.05; of a share that never "
            "traded, the exchange's own value for it",
            "Close Price/Paid up value(Rs.)",
            required=True,
        ),
        Column(
            "market_cap",
            PRICE,
            "rupees",
            "issue_size times the close that is not rounded",
            "Market Cap(Rs.)",
            required=True,
        ),
        Column("layout", TEXT, "", "the source: pr", required=True),
    ),
    key=("symbol", "series"),
    sums=("issue_size", "close", "market_cap"),
    published_at=time(19, 0),
    is_for_adjustments=True,
    about="shares issued, face value and market value of each listed share",
    # The company with the highest value, in trillions.
    example="SELECT concat(symbol, ' is worth ', toString(round(market_cap / 1e12, 2)), ' trillion rupees') "
    "FROM {view} WHERE trade_date = '{day}' ORDER BY market_cap DESC, symbol LIMIT 1",
    nulls=("", "Not Traded"),
    read_date=_read_date,
    warnings=_warnings,
)
