"""A lake of real days, for the tests that hold adjustments to what the exchange itself published.

The published files lie beside the checkout (`helpers.SHARED`), and are never part of it: prices, notices and market
values of 2024-03-28 to 2024-07-05, the website's export of actions of 2016 to 2020, and a few days of its events.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from helpers import SHARED

from champion_luigi.base import durable
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.datasets.model import Dataset
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.storage import lake, symbol_changes
from champion_luigi.storage.paths import ListFiles

ARCHIVE = SHARED / "archive"
FIRST, LAST = date(2024, 3, 28), date(2024, 7, 5)
EXPORT = ARCHIVE / "corporate_actions" / "CF-CA-equities-01-01-2016-to-31-12-2020.csv"
# Both sides of EICHERMOT's split and of MAJESCO's dividend, the day of the export, and one with many lows.
_EXPORTED = date(2020, 12, 31)
_EARLIER = [
    *(date(2020, 8, 21), date(2020, 8, 24), date(2020, 12, 22), date(2020, 12, 23), _EXPORTED),
    date(2024, 3, 15),
]


def is_there() -> bool:
    """Whether the published files are beside the checkout."""
    return EXPORT.is_file()


def range_files() -> list[Path]:
    """The exchange's files of 52-week highs and lows, in no order."""
    return [*(ARCHIVE / "content").glob("CM_52_wk_High_low_*.csv")]


def fill(data: Path) -> None:
    """Write the days to the lake below ``data``, and keep the list of changed symbols there."""
    for dataset in (EQUITY, CORPORATE_ACTIONS, MARKET_CAP):
        for day, source, content in _files(dataset):
            rows = normalize(parse(recognise(content, dataset, day, format=source)), dataset, source, day).rows
            written = lake.parquet_bytes(rows, {"schema_version": str(dataset.version)})
            durable.write_whole(lake.partition(data / "lake", day, dataset), written)
    content = (ARCHIVE / "content" / "equities" / "symbolchange.csv").read_bytes()
    symbol_changes.keep(ListFiles(data), date(2026, 8, 8), content, {})


def _files(dataset: Dataset) -> Iterator[tuple[date, str, bytes]]:
    """A published file of each day: the day, the source and the content."""
    days = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    for day in [*_EARLIER, *days]:
        for source in dataset.sources:
            path = EXPORT if source.is_saved_by_hand else ARCHIVE / source.path_of(day).lstrip("/")
            if path.is_file() and (not source.is_saved_by_hand or day == _EXPORTED):
                yield day, source.name, path.read_bytes()
                break
