"""champion_luigi: every NSE trading day's bhavcopy as clean, typed, queryable data.

The package in the order in which data meets it; `tasks` is the place to start reading.

    tasks      the five tasks of one trading day          run        one day from Python
    settings   every setting and its environment variable events     Luigi's events, made journal records
    errors     what can go wrong, as a tree               targets    files that appear whole or not at all
    layouts    where a day's file is, how each era's is   schema     the canonical columns
    sessions   which days the exchange trades             archive    getting a day's file
    payload    what the published bytes must be           bhavcopy   parse, normalize, check
    lake       the Parquet tree                           warehouse  the ClickHouse table
    journal    what happened, on disk                     simulator  the simulated archive
    files      atomic writes and locks                    cli        the `champion` command

Importing it makes the tasks known to ``luigi --module champion_luigi`` and imports nothing heavy.
"""

from importlib.metadata import PackageNotFoundError, version

from champion_luigi import defaults

defaults.apply()

from champion_luigi import events as _events  # noqa: E402,F401 - registers the handlers
from champion_luigi.run import DayResult, run_day  # noqa: E402
from champion_luigi.tasks import (  # noqa: E402 - Luigi's defaults come first
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)

__all__ = [
    "DayResult",
    "LoadClickHouse",
    "NormalizeBhavcopy",
    "ParseBhavcopy",
    "ScrapeBhavcopy",
    "WriteParquet",
    "run_day",
]

try:
    __version__ = version("champion_luigi")
except PackageNotFoundError:  # imported from a checkout that is not installed
    __version__ = "0+unknown"
