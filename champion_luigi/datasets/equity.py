"""How each era's bhavcopy differs, as dated data: where the file is and which columns it has.

A *format* is one place on the exchange's archive (``legacy`` or ``udiff``). A *layout* is one set of
columns that a format had between two dates. The next change of the exchange is a new entry here.
Source: the exchange's own files, 1994 to 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

FIRST_DATE = date(1994, 11, 3)
# The day from which UDiFF is the official file; legacy answers 404 from here on.
UDIFF_FROM = date(2024, 7, 8)

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True)
class Layout:
    """One historical set of columns. ``first`` and ``last`` are trading dates, both inclusive."""

    format: str
    first: date
    last: date
    columns: tuple[str, ...]


_LEGACY_1994 = tuple("SYMBOL SERIES OPEN HIGH LOW CLOSE LAST PREVCLOSE TOTTRDQTY TOTTRDVAL TIMESTAMP".split())
_UDIFF = tuple(
    "TradDt BizDt Sgmt Src FinInstrmTp FinInstrmId ISIN TckrSymb SctySrs XpryDt FininstrmActlXpryDt StrkPric "
    "OptnTp FinInstrmNm OpnPric HghPric LwPric ClsPric LastPric PrvsClsgPric UndrlygPric SttlmPric OpnIntrst "
    "ChngInOpnIntrst TtlTradgVol TtlTrfVal TtlNbOfTxsExctd SsnId NewBrdLotQty Rmks".split()
)

LAYOUTS: tuple[Layout, ...] = (
    Layout("legacy", FIRST_DATE, date(2011, 6, 21), _LEGACY_1994),
    Layout("legacy", date(2011, 6, 22), date(2024, 7, 5), (*_LEGACY_1994, "TOTALTRADES", "ISIN")),
    # Back-filled to 2024-01-01; the reserved columns lost their leading zero on 2024-06-21.
    Layout("udiff", date(2024, 1, 1), date(2024, 6, 20), (*_UDIFF, "Rsvd01", "Rsvd02", "Rsvd03", "Rsvd04")),
    Layout("udiff", date(2024, 6, 21), date.max, (*_UDIFF, "Rsvd1", "Rsvd2", "Rsvd3", "Rsvd4")),
)

# Canonical column -> the source's column, for each format.
SOURCE_COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "legacy": MappingProxyType(
            {
                "trade_date": "TIMESTAMP",
                "symbol": "SYMBOL",
                "series": "SERIES",
                "isin": "ISIN",
                "open": "OPEN",
                "high": "HIGH",
                "low": "LOW",
                "close": "CLOSE",
                "last": "LAST",
                "prev_close": "PREVCLOSE",
                "volume": "TOTTRDQTY",
                "turnover": "TOTTRDVAL",
                "trades": "TOTALTRADES",
            }
        ),
        "udiff": MappingProxyType(
            {
                "trade_date": "TradDt",
                "symbol": "TckrSymb",
                "series": "SctySrs",
                "isin": "ISIN",
                "instrument_id": "FinInstrmId",
                "name": "FinInstrmNm",
                "open": "OpnPric",
                "high": "HghPric",
                "low": "LwPric",
                "close": "ClsPric",
                "last": "LastPric",
                "prev_close": "PrvsClsgPric",
                "settlement": "SttlmPric",
                "volume": "TtlTradgVol",
                "turnover": "TtlTrfVal",
                "trades": "TtlNbOfTxsExctd",
                "lot_size": "NewBrdLotQty",
            }
        ),
    }
)


def archive_path(format: str, day: date) -> str:
    """The path of a day's file below the archive's base URL, with a leading slash."""
    if format == "legacy":
        month = _MONTHS[day.month - 1]
        return f"/content/historical/EQUITIES/{day.year}/{month}/cm{day.day:02}{month}{day.year}bhav.csv.zip"
    return f"/content/cm/BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv.zip"


_LEGACY_PATH = re.compile(r"/content/historical/EQUITIES/(\d{4})/([A-Z]{3})/cm(\d{2})\2\1bhav\.csv\.zip")
_UDIFF_PATH = re.compile(r"/content/cm/BhavCopy_NSE_CM_0_0_0_(\d{4})(\d{2})(\d{2})_F_0000\.csv\.zip")


def format_and_date(path: str) -> tuple[str, date] | None:
    """The inverse of `archive_path`: ``(format, date)``, or None where the path is no bhavcopy's."""
    try:
        if found := _LEGACY_PATH.fullmatch(path):
            year, month, day = found.groups()
            return "legacy", date(int(year), _MONTHS.index(month) + 1, int(day))
        if found := _UDIFF_PATH.fullmatch(path):
            year, month, day = found.groups()
            return "udiff", date(int(year), int(month), int(day))
    except ValueError:
        return None
    return None


def formats_for(day: date, udiff_from: date = UDIFF_FROM) -> tuple[str, ...]:
    """The formats in which a date can have been published, the official one first."""
    possible = [name for name in ("legacy", "udiff") if any(is_in_force(each, day) for each in of_format(name))]
    if day >= udiff_from:
        possible.reverse()
    return tuple(possible)


def of_format(format: str) -> tuple[Layout, ...]:
    """The layouts that a format has had, oldest first."""
    return tuple(layout for layout in LAYOUTS if layout.format == format)


def is_in_force(layout: Layout, day: date) -> bool:
    """Whether the exchange published this layout on that date."""
    return layout.first <= day <= layout.last
