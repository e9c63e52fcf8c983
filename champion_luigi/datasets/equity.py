"""The equity bhavcopy: daily prices, volume and turnover of each cash-market security, 1994-11-03 to today.

Published as ``legacy`` zips until 2024-07-05 and as ``udiff`` zips since 2024-07-08, back-filled to 2024-01-01. Two
further files have the same rows: ``cm_bhavcopy`` of the three months before UDiFF, and ``pr``, the member ``Pd`` of the
zip for the press since 2010, which lacks the last price and the ISIN. Prices are as traded, without adjustment for
splits and bonuses. Source: the exchange's own files, 1994 to 2026; those of ``pr`` from April to June 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING

from champion_luigi.datasets import opening, press
from champion_luigi.datasets.model import COUNT, DAY, INVISIBLE, NEVER, PRICE, TEXT, Column, Dataset, Layout, Source

if TYPE_CHECKING:
    import polars as pl

# When the exchange changes its files, add a source, layout or column here.
FIRST_DATE = opening.FIRST_DATE
# The first day on which UDiFF is the official file; legacy paths answer 404 from this day on.
UDIFF_FROM = date(2024, 7, 8)

_LEGACY_1994 = tuple("SYMBOL SERIES OPEN HIGH LOW CLOSE LAST PREVCLOSE TOTTRDQTY TOTTRDVAL TIMESTAMP".split())
_UDIFF = tuple(
    "TradDt BizDt Sgmt Src FinInstrmTp FinInstrmId ISIN TckrSymb SctySrs XpryDt FininstrmActlXpryDt StrkPric "
    "OptnTp FinInstrmNm OpnPric HghPric LwPric ClsPric LastPric PrvsClsgPric UndrlygPric SttlmPric OpnIntrst "
    "ChngInOpnIntrst TtlTradgVol TtlTrfVal TtlNbOfTxsExctd SsnId NewBrdLotQty Rmks".split()
)
_CM_BHAVCOPY = tuple(
    "ISIN TckrSymb FinInstrmId FinInstrmNm SctySrs OpnPric HghPric LwPric ClsPric LastPric PrvsClsgPric TtlTradgVol "
    "TtlTrfVal TradDt TtlNbOfTxsExctd FinInstrmTp OffclCorpActnEvtId RptgDt TradRegnOrgn MktTpandId InstrmId InstrmNm "
    "FftyTwWkHgh FftyTwWkLw UnitOfMeasr SttlmPric AvrgPric Ccy Rsvd01 Rsvd02 Rsvd03 Rsvd04".split()
)
_ISIN = "^[A-Z]{2}[A-Z0-9]{9}[0-9]$"


def _warnings() -> Mapping[str, pl.Expr]:
    import polars as pl

    return {
        "close_outside_low_high": (pl.col("close") < pl.col("low")) | (pl.col("close") > pl.col("high")),
        "high_below_low": pl.col("high") < pl.col("low"),
        "dummy_isin": ~pl.col("isin").str.contains(_ISIN),
        "lower_case_series": pl.col("series").str.contains("[a-z]"),
        "invisible_in_key": pl.any_horizontal(pl.col("symbol", "series").str.contains(INVISIBLE)),
    }


def _in(legacy: str, udiff: str, pr: str = "", *, cm_bhavcopy: bool = True) -> dict[str, str]:
    """A column's name by source; ``cm_bhavcopy`` has the names of ``udiff``, as far as it has the columns."""
    names = {"legacy": legacy, "udiff": udiff, "cm_bhavcopy": udiff if cm_bhavcopy else "", "pr": pr}
    return {source: name for source, name in names.items() if name}


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
            members=("BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv",),
            own={"Sgmt": ("CM",), "Src": ("NSE",)},
            usual={
                "other_business_date": ("BizDt", "{day:%Y-%m-%d}"),
                "other_instrument_type": ("FinInstrmTp", "STK"),
            },
        ),
        Source(
            "cm_bhavcopy",
            date(2024, 4, 1),
            date(2024, 7, 5),
            "/content/cm/NSE_CM_bhavcopy_{day:%d%m%Y}.csv.zip",
            official=NEVER,
            members=("NSE_CM_bhavcopy_{day:%d%m%Y}.csv",),
        ),
        Source(
            "pr",
            press.FIRST_DATE,
            date.max,
            press.PATH,
            official=NEVER,
            partial=True,
            members=press.members("Pd"),
            is_one_of_many=True,
            own=press.SHARES,
            others=(press.INDICES, press.TITLES),
            shared="pr",
        ),
    ),
    layouts=(
        Layout("legacy", FIRST_DATE, date(2011, 6, 21), _LEGACY_1994),
        Layout("legacy", date(2011, 6, 22), date(2024, 7, 5), (*_LEGACY_1994, "TOTALTRADES", "ISIN")),
        # The reserved columns lost their leading zero on 2024-06-21.
        Layout("udiff", date(2024, 1, 1), date(2024, 6, 20), (*_UDIFF, "Rsvd01", "Rsvd02", "Rsvd03", "Rsvd04")),
        Layout("udiff", date(2024, 6, 21), date.max, (*_UDIFF, "Rsvd1", "Rsvd2", "Rsvd3", "Rsvd4")),
        Layout("cm_bhavcopy", date(2024, 4, 1), date(2024, 7, 5), _CM_BHAVCOPY),
        Layout("pr", press.FIRST_DATE, date.max, press.PD),
    ),
    columns=(
        Column("trade_date", DAY, "date, IST", "the trading day", _in("TIMESTAMP", "TradDt"), required=True),
        Column("symbol", TEXT, "", "the exchange's ticker symbol", _in("SYMBOL", "TckrSymb", "SYMBOL"), required=True),
        Column(
            "series",
            TEXT,
            "",
            "EQ, BE, BL (block), GS, ...; NA is one",
            _in("SERIES", "SctySrs", "SERIES"),
            required=True,
        ),
        Column(
            "isin", TEXT, "", "as published, dummies included; null before 2011-06-22 and in pr", _in("ISIN", "ISIN")
        ),
        Column("instrument_id", COUNT, "", "the exchange's instrument number; udiff only", _in("", "FinInstrmId")),
        Column("name", TEXT, "", "the instrument's name; udiff and pr only", _in("", "FinInstrmNm", "SECURITY")),
        Column(
            "open",
            PRICE,
            "rupees",
            "first price; null where recorded as 0",
            _in("OPEN", "OpnPric", "OPEN_PRICE"),
            zero_is_null=True,
        ),
        Column(
            "high",
            PRICE,
            "rupees",
            "highest price; null where recorded as 0",
            _in("HIGH", "HghPric", "HIGH_PRICE"),
            zero_is_null=True,
        ),
        Column(
            "low",
            PRICE,
            "rupees",
            "lowest price; null where recorded as 0",
            _in("LOW", "LwPric", "LOW_PRICE"),
            zero_is_null=True,
        ),
        Column(
            "close",
            PRICE,
            "rupees",
            "closing price, above 0",
            _in("CLOSE", "ClsPric", "CLOSE_PRICE"),
            required=True,
            positive=True,
        ),
        Column(
            "last",
            PRICE,
            "rupees",
            "last traded price; null where blank or 0, and in pr",
            _in("LAST", "LastPric"),
            zero_is_null=True,
        ),
        Column(
            "prev_close",
            PRICE,
            "rupees",
            "previous close, not adjusted for splits or bonuses",
            _in("PREVCLOSE", "PrvsClsgPric", "PREV_CL_PR"),
        ),
        Column("settlement", PRICE, "rupees", "settlement price; udiff only", _in("", "SttlmPric")),
        Column(
            "volume", COUNT, "shares", "shares traded", _in("TOTTRDQTY", "TtlTradgVol", "NET_TRDQTY"), required=True
        ),
        Column("turnover", PRICE, "rupees", "value traded", _in("TOTTRDVAL", "TtlTrfVal", "NET_TRDVAL"), required=True),
        Column(
            "trades",
            COUNT,
            "count",
            "number of trades; null in legacy files before 2011-06-22",
            _in("TOTALTRADES", "TtlNbOfTxsExctd", "TRADES"),
        ),
        Column("lot_size", COUNT, "shares", "board lot; udiff only", _in("", "NewBrdLotQty", cm_bhavcopy=False)),
        Column("layout", TEXT, "", "the source: legacy, udiff, cm_bhavcopy or pr", required=True),
    ),
    key=("symbol", "series"),
    sums=("volume", "turnover", "close"),
    published_at=time(19, 0),
    is_for_adjustments=True,
    warnings=_warnings,
    # Published along with the bhavcopy; it has a subset of its rows.
    about="prices, volume, turnover and trades of each security of the cash market",
    # The share with the highest turnover.
    example="SELECT concat(symbol, ' closed at ', toString(close), ' rupees') FROM {view} "
    "WHERE trade_date = '{day}' AND series = 'EQ' ORDER BY turnover DESC, symbol LIMIT 1",
    lookalikes={"the full (delivery) file": frozenset({"SYMBOL", "SERIES", "DATE1", "DELIV_QTY", "DELIV_PER"})},
)
