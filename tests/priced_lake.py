"""A lake of ten invented sessions and its adjustments, for the tests of adjusted prices."""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from champion_luigi.base import durable
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.pipeline import adjusting
from champion_luigi.storage import lake

DAYS = [date(2024, 3, day) for day in (4, 5, 6, 7, 11, 12, 13, 14, 15, 18)]
_HEADER = "SERIES,SYMBOL,SECURITY,RECORD_DT,BC_STRT_DT,BC_END_DT,EX_DT,ND_STRT_DT,ND_END_DT,PURPOSE"

# By symbol: the ISIN, the place of the first session, and the closes from then on.
CLOSES: dict[str, tuple[str, int, Sequence[float]]] = {
    # A split from 10 to 2 on the sixth day.
    "ALPHA": ("INE001A01010", 0, (100, 102, 104, 106, 110, 22, 23, 24, 25, 26)),
    # One company, which changed its symbol on the fifth day; a bonus 1:2 on the eighth.
    "OLDBETA": ("INE002A01018", 0, (60, 63, 66, 69)),
    "BETA": ("INE002A01018", 4, (72, 75, 78, 52, 54, 56)),
    # A dividend of 5 rupees on the sixth day, a demerger on the ninth.
    "GAMMA": ("INE003A01016", 0, (100, 100, 100, 100, 100, 95, 95, 95, 40, 40)),
    # In two series on the third day, see `_further`.
    "DELTA": ("INE004A01014", 0, (10, 10, 10, 10, 10, 10, 10, 10, 10, 10)),
    # Its bonus was withdrawn from the lists, and came again with another date.
    "KAPPA": ("INE005A01011", 0, (40, 40, 40, 40, 40, 40, 40, 40, 20, 20)),
    # Not in the last session.
    "OMEGA": ("INE006A01019", 0, (7, 7, 7)),
}
# The purpose, and the places of the first list, the last one and the ex-date.
NOTICES: dict[str, list[tuple[str, int, int, int]]] = {
    "ALPHA": [("FVSPLT FRM RS 10 TO RS 2", 2, 5, 5)],
    "BETA": [("BONUS 1:2", 5, 7, 7)],
    "GAMMA": [("DIV - RS 5 PER SH", 3, 5, 5), ("DEMERGER", 6, 8, 8)],
    "KAPPA": [("BONUS 1:1", 1, 2, 6), ("BONUS 1:1", 7, 8, 8)],
}


def fill(root: Path) -> None:
    """Write the days to the lake ``root``, which is the configured one, and make its adjustments."""
    rows: defaultdict[date, list[dict[str, Any]]] = defaultdict(list)
    for symbol, (_, first, closes) in CLOSES.items():
        previous = closes[0]
        for day, close in zip(DAYS[first:], closes, strict=False):
            rows[day].append(_row(day, symbol, "EQ", close=close, previous=previous, volume=100))
            previous = close
    rows[DAYS[2]] += _further(DAYS[2])
    for place, day in enumerate(DAYS):
        _write(root, EQUITY, day, lake.sorted_by_key(pl.DataFrame(rows[day], EQUITY.types), EQUITY))
        _write(root, CORPORATE_ACTIONS, day, _listed(place))
    adjusting.make(adjusting.inputs())


def _row(day: date, symbol: str, series: str, *, close: float, previous: float, volume: int) -> dict[str, Any]:
    isin = CLOSES[symbol][0]
    prices = {"open": close - 1, "high": close + 2, "low": close - 2, "close": close, "last": close}
    named = {"trade_date": day, "symbol": symbol, "series": series, "isin": isin, "layout": "legacy"}
    return named | prices | {"prev_close": previous, "volume": volume, "turnover": close * volume}


def _further(day: date) -> Iterator[dict[str, Any]]:
    """More turnover in BE than in EQ, and rows that are never read, with more still."""
    for series, close, volume in (("BE", 11, 200), ("BL", 99, 10_000), ("T0", 98, 10_000)):
        yield _row(day, "DELTA", series, close=close, previous=10, volume=volume)


def _listed(place: int) -> pl.DataFrame:
    """The list of the session at this place, with a notice of another kind in each."""
    lines = [_HEADER, "EQ,SIGMA,Sigma, , , ,31/12/2024, , ,ANNUAL GENERAL MEETING"]
    for symbol, notices in NOTICES.items():
        for purpose, first, last, ex_date in notices:
            if first <= place <= last:
                lines.append(f"EQ,{symbol},{symbol} Limited, , , ,{DAYS[ex_date]:%d/%m/%Y}, , ,{purpose}")
    day, buffer = DAYS[place], io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"Bc{day:%d%m%y}.csv", "\r\n".join([*lines, ""]))
    table = parse(recognise(buffer.getvalue(), CORPORATE_ACTIONS, day, format="pr"))
    return normalize(table, CORPORATE_ACTIONS, "pr", day).rows


def _write(root: Path, dataset: Dataset, day: date, rows: pl.DataFrame) -> None:
    content = lake.parquet_bytes(rows, {"schema_version": str(dataset.version)})
    durable.write_whole(lake.partition(root, day, dataset), content)
