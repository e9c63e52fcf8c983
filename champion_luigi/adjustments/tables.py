"""The columns of the adjustments and of their spans, declared as those of a data set are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Final

from champion_luigi.datasets.corporate_actions import SHARES
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import COUNT, DAY, FLAG, PRICE, TEXT, Column

if TYPE_CHECKING:
    import polars as pl

# Raise this when the same data gives other adjustments: they are then made again.
VERSION: Final = 2
# The last date that ClickHouse's type has: an end that has not come.
END: Final = date(2149, 6, 6)
# In place of a date that there is not.
NO_DAY: Final = date(1970, 1, 1)
# The series in which a company's shares trade, beside those of the exchange's notices: blocks, institutional lots,
# physical delivery and same-day settlement. The funds' units that trade like shares are among them.
SHARE_SERIES: Final = (*SHARES, "BL", "BT", "IL", "IQ", "T0")
# What the security of an event is called if it is all of a company's shares; otherwise it is a series.
OF_SHARES: Final = "shares"
# The prices that are divided by the factor, and the volume that is multiplied by it.
PRICES: Final = ("open", "high", "low", "close", "last", "settlement")
PREVIOUS: Final = "prev_close"
VOLUME: Final = "volume"

EVENTS: Final[tuple[Column, ...]] = (
    Column("instrument", TEXT, "", "the company or fund: its oldest known symbol", required=True),
    Column("security", TEXT, "", "shares, or the series that the event is of", required=True),
    Column("ex_date", DAY, "date, IST", "the first day without the right", required=True),
    Column("kind", TEXT, "", "split, bonus, consolidation, rights, dividend, ..., or symbol_change", required=True),
    Column("number", COUNT, "count", "1, or further numbers for further events of that kind and day", required=True),
    Column("symbol", TEXT, "", "the symbol on the ex-date", required=True),
    Column("from_symbol", TEXT, "", "the symbol before a change"),
    Column(
        "counts_in",
        TEXT,
        "",
        "splits: in all three factors; exchange: in exchange_factor and total return; total_return: in that alone; "
        "null: in none",
    ),
    Column("factor", PRICE, "ratio", "by how much earlier prices are divided, exact; null without a ratio"),
    Column("exchange_factor", PRICE, "ratio", "the same as the exchange applies it: of rights, to two decimals"),
    Column("unadjusted", FLAG, "true or false", "whether prices change for it by no known ratio", required=True),
    Column("note", TEXT, "", "why there is no factor, or what is doubtful"),
    Column("close", PRICE, "rupees", "the last close before the ex-date"),
    Column("close_date", DAY, "date, IST", "the date of that close"),
    Column("face_value", PRICE, "rupees", "the share's face value before the ex-date, where it was needed"),
    Column("from_value", PRICE, "rupees", "face value before a split or consolidation"),
    Column("to_value", PRICE, "rupees", "face value after a split or consolidation"),
    Column("ratio_new", COUNT, "shares", "new shares of a bonus or rights issue, for each ratio_old"),
    Column("ratio_old", COUNT, "shares", "old shares for which there are ratio_new new ones"),
    Column("amount", PRICE, "rupees", "per share: of a dividend, or of rights what basis names"),
    Column("basis", TEXT, "", "of a rights issue's amount: premium (over the face value) or issue price"),
    Column("percent", PRICE, "percent", "dividend in percent of the face value"),
    Column("phrase", TEXT, "", "the grammar's name of the wording"),
    Column("purpose", TEXT, "", "the text of the latest notice"),
    Column("first_listed", DAY, "date, IST", "the day of the first notice"),
    Column("last_listed", DAY, "date, IST", "the day of the latest notice, which counts"),
    Column("vanished", FLAG, "true or false", "whether later lists before the ex-date lack the notice"),
)

SPANS: Final[tuple[Column, ...]] = (
    Column("symbol", TEXT, "", "the symbol of the rows", required=True),
    Column("series", TEXT, "", "the series of the rows", required=True),
    Column("start", DAY, "date, IST", "the first date of the rows", required=True),
    Column("stop", DAY, "date, IST", "the date after the last one", required=True),
    Column("valid_from", DAY, "date, IST", "the factors hold from this date of the newest prices on", required=True),
    Column("valid_until", DAY, "date, IST", "and before this one: then a later event takes effect", required=True),
    Column("instrument", TEXT, "", "the company or fund: its oldest known symbol", required=True),
    Column("factor", PRICE, "ratio", "of splits, bonuses and consolidations: raw price / adjusted", required=True),
    Column("exchange_factor", PRICE, "ratio", "and of rights, as the exchange adjusts them", required=True),
    Column("total_factor", PRICE, "ratio", "and of dividends, with rights unrounded", required=True),
    Column(
        "first_day",
        DAY,
        "date, IST",
        "the first day with a row in a span that an event begins: its prev_close is from before it; or 1970-01-01",
        required=True,
    ),
    Column("prev_factor", PRICE, "ratio", "factor of that prev_close", required=True),
    Column("prev_exchange_factor", PRICE, "ratio", "exchange_factor of that prev_close", required=True),
    Column("prev_total_factor", PRICE, "ratio", "total_factor of that prev_close", required=True),
    Column(
        "prev_close_by_exchange",
        FLAG,
        "true or false",
        "whether the exchange adjusted that prev_close itself",
        required=True,
    ),
    Column("unadjusted", COUNT, "count", "later events for which prices are not adjusted", required=True),
)

NAMES: Final[tuple[Column, ...]] = (
    Column("symbol", TEXT, "", "the symbol", required=True),
    Column("start", DAY, "date, IST", "the first date on which it is this instrument's", required=True),
    Column("stop", DAY, "date, IST", "the date after the last one", required=True),
    Column("instrument", TEXT, "", "the company or fund: its oldest known symbol", required=True),
)


# What the view of adjusted prices has after the columns of the prices.
FURTHER: Final[tuple[Column, ...]] = (
    Column("instrument", TEXT, "", "the company or fund: its oldest known symbol", required=True),
    Column("factor", PRICE, "ratio", "raw price / adjusted price: of splits, bonuses, consolidations", required=True),
    Column("exchange_factor", PRICE, "ratio", "the same, and of rights, as the exchange adjusts", required=True),
    Column(
        "total_return_close",
        PRICE,
        "rupees",
        "the close adjusted for splits to dividends, with rights unrounded: as if dividends bought more of the share",
        required=True,
    ),
    Column("raw_close", PRICE, "rupees", "the close as published", required=True),
    Column("unadjusted", COUNT, "count", "later events for which prices are not adjusted", required=True),
    Column(
        "prev_close_by_exchange",
        FLAG,
        "true or false",
        "whether the exchange adjusted this prev_close itself",
        required=True,
    ),
)


def _adjusted(column: Column) -> Column:
    """A column of the published prices, as the view of adjusted prices has it."""
    if column.name in PRICES:
        return replace(column, meaning=f"{column.meaning}; divided by factor")
    if column.name == PREVIOUS:
        meaning = "previous close, divided by the factor of its own day, unless the exchange adjusted it"
        return replace(column, meaning=meaning)
    if column.name == VOLUME:
        return replace(column, kind=PRICE, meaning=f"{column.meaning}, multiplied by factor")
    return column


# All that the view of adjusted prices has, in order.
ADJUSTED_PRICES: Final[tuple[Column, ...]] = (*map(_adjusted, EQUITY.columns), *FURTHER)


def types_of(columns: Sequence[Column]) -> dict[str, pl.DataType]:
    """The columns' Polars types, in order."""
    import polars as pl

    return {column.name: getattr(pl, column.kind.in_polars) for column in columns}
