"""The equity bhavcopy: daily prices, volume and turnover of each cash-market security, 1994-11-03 to today.

Published as ``legacy`` zips until 2024-07-05 and as ``udiff`` zips since 2024-07-08, back-filled to 2024-01-01. Prices
are as traded, without adjustment for splits and bonuses. Source: the exchange's own files, 1994 to 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING

from champion_luigi.datasets.model import COUNT, DAY, PRICE, TEXT, Column, Dataset, Layout, Source

if TYPE_CHECKING:
    import polars as pl

# When the exchange changes its files, add a source, layout or column here.
FIRST_DATE = date(1994, 11, 3)
# The first day on which UDiFF is the official file; legacy paths answer 404 from this day on.
UDIFF_FROM = date(2024, 7, 8)

_LEGACY_1994 = tuple("SYMBOL SERIES OPEN HIGH LOW CLOSE LAST PREVCLOSE TOTTRDQTY TOTTRDVAL TIMESTAMP".split())
_UDIFF = tuple(
    "TradDt BizDt Sgmt Src FinInstrmTp FinInstrmId ISIN TckrSymb SctySrs XpryDt FininstrmActlXpryDt StrkPric "
    "OptnTp FinInstrmNm OpnPric HghPric LwPric ClsPric LastPric PrvsClsgPric UndrlygPric SttlmPric OpnIntrst "
    "ChngInOpnIntrst TtlTradgVol TtlTrfVal TtlNbOfTxsExctd SsnId NewBrdLotQty Rmks".split()
)
_ISIN = "^[A-Z]{2}[A-Z0-9]{9}[0-9]$"


def _warnings() -> Mapping[str, pl.Expr]:
    import polars as pl

    return {
        "close_outside_low_high": (pl.col("close") < pl.col("low")) | (pl.col("close") > pl.col("high")),
        "high_below_low": pl.col("high") < pl.col("low"),
        "dummy_isin": ~pl.col("isin").str.contains(_ISIN),
    }


def _in(legacy: str, udiff: str) -> dict[str, str]:
    return {name: column for name, column in (("legacy", legacy), ("udiff", udiff)) if column}


EQUITY = Dataset(
    name="equity",
    title="bhavcopy",
    view="equity_ohlc",
    stem="bhavcopy",
    sources=(
        Source(
            "legacy",
            FIRST_DATE,
            date(2024, 7, 5),
            "/content/historical/EQUITIES/{day:%Y}/{MON}/cm{day:%d}{MON}{day:%Y}bhav.csv.zip",
        ),
        Source(
            "udiff",
            date(2024, 1, 1),
            date.max,
            "/content/cm/BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv.zip",
            official=UDIFF_FROM,
        ),
    ),
    layouts=(
        Layout("legacy", FIRST_DATE, date(2011, 6, 21), _LEGACY_1994),
        Layout("legacy", date(2011, 6, 22), date(2024, 7, 5), (*_LEGACY_1994, "TOTALTRADES", "ISIN")),
        # The reserved columns lost their leading zero on 2024-06-21.
        Layout("udiff", date(2024, 1, 1), date(2024, 6, 20), (*_UDIFF, "Rsvd01", "Rsvd02", "Rsvd03", "Rsvd04")),
        Layout("udiff", date(2024, 6, 21), date.max, (*_UDIFF, "Rsvd1", "Rsvd2", "Rsvd3", "Rsvd4")),
    ),
    columns=(
        Column("trade_date", DAY, "date, IST", "the trading day", _in("TIMESTAMP", "TradDt"), required=True),
        Column("symbol", TEXT, "", "the exchange's ticker symbol", _in("SYMBOL", "TckrSymb"), required=True),
        Column("series", TEXT, "", "EQ, BE, BL (block), GS, ...; NA is one", _in("SERIES", "SctySrs"), required=True),
        Column("isin", TEXT, "", "as published, dummies included; null before 2011-06-22", "ISIN"),
        Column("instrument_id", COUNT, "", "the exchange's instrument number; UDiFF only", _in("", "FinInstrmId")),
        Column("name", TEXT, "", "the instrument's name; UDiFF only", _in("", "FinInstrmNm")),
        Column(
            "open", PRICE, "rupees", "first price; null where recorded as 0", _in("OPEN", "OpnPric"), zero_is_null=True
        ),
        Column(
            "high",
            PRICE,
            "rupees",
            "highest price; null where recorded as 0",
            _in("HIGH", "HghPric"),
            zero_is_null=True,
        ),
        Column(
            "low", PRICE, "rupees", "lowest price; null where recorded as 0", _in("LOW", "LwPric"), zero_is_null=True
        ),
        Column(
            "close", PRICE, "rupees", "closing price, above 0", _in("CLOSE", "ClsPric"), required=True, positive=True
        ),
        Column(
            "last",
            PRICE,
            "rupees",
            "last traded price; null where blank or 0",
            _in("LAST", "LastPric"),
            zero_is_null=True,
        ),
        Column(
            "prev_close",
            PRICE,
            "rupees",
            "previous close, not adjusted for splits or bonuses",
            _in("PREVCLOSE", "PrvsClsgPric"),
        ),
        Column("settlement", PRICE, "rupees", "settlement price; UDiFF only", _in("", "SttlmPric")),
        Column("volume", COUNT, "shares", "shares traded", _in("TOTTRDQTY", "TtlTradgVol"), required=True),
        Column("turnover", PRICE, "rupees", "value traded", _in("TOTTRDVAL", "TtlTrfVal"), required=True),
        Column(
            "trades", COUNT, "count", "number of trades; null before 2011-06-22", _in("TOTALTRADES", "TtlNbOfTxsExctd")
        ),
        Column("lot_size", COUNT, "shares", "board lot; UDiFF only", _in("", "NewBrdLotQty")),
        Column("layout", TEXT, "", "the source's format: legacy or udiff", required=True),
    ),
    key=("symbol", "series"),
    sums=("volume", "turnover", "close"),
    published_at=time(19, 0),
    warnings=_warnings,
    # Published along with the bhavcopy; it has a subset of its rows.
    lookalikes={"the full (delivery) file": frozenset({"SYMBOL", "SERIES", "DATE1", "DELIV_QTY", "DELIV_PER"})},
)
