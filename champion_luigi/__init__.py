"""champion_luigi: every NSE trading day's end-of-day data, clean, typed and queryable.

The packages in the order in which a day's data meets them; `pipeline/tasks.py` is the place to start reading.

    base        errors, secrets, whole files, locks, signals, streams: what every package stands on
    datasets    what the exchange publishes: files, layouts, columns, key and rules, one module a data set
    exchange    which days are traded, and fetching a day's file
    parsing     bytes to rows: unzip, recognise, split, normalize, check
    adjustments  prices that can be compared over years: a company's symbols, and the factors of its actions
    storage     where a day is stored, and how it gets there whole: raw files, tables, the lake
    warehouse   the ClickHouse tables: create, load, query
    simulated   the simulated exchange
    config      settings, and the archive, lake and warehouse that they name
    reading     what users read from Python: adjusted prices
    tracking    what happened: the journal, and its way to MLflow
    pipeline    Luigi: the five tasks of a day, the range, one day from Python
    upkeep      the state of the data, and putting it right: status, verify, redo, refresh, clean
    commands    what people type

Importing it makes the tasks known to ``luigi --module champion_luigi`` and imports nothing heavy. It also opens
/dev/null on standard streams that are closed.
"""

from champion_luigi.base import package as _package
from champion_luigi.base import streams as _streams

# Both `luigi` and `champion` come here before they open the first file that stays open.
_streams.open_missing()

from champion_luigi.config import luigi_defaults  # noqa: E402

luigi_defaults.apply()

# Luigi's defaults come first.
from champion_luigi.pipeline import events as _events  # noqa: E402,F401 - registers the handlers
from champion_luigi.pipeline.adjust_tasks import LoadAdjustments, WriteAdjustments  # noqa: E402
from champion_luigi.pipeline.fill import FillBhavcopy  # noqa: E402
from champion_luigi.pipeline.run_day import DayResult, run_day  # noqa: E402
from champion_luigi.pipeline.scrape_symbol_changes import ScrapeSymbolChanges  # noqa: E402
from champion_luigi.pipeline.tasks import (  # noqa: E402
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)
from champion_luigi.reading.prices import prices  # noqa: E402
from champion_luigi.storage import lake  # noqa: E402

__all__ = [
    "DayResult",
    "FillBhavcopy",
    "LoadAdjustments",
    "LoadClickHouse",
    "NormalizeBhavcopy",
    "ParseBhavcopy",
    "ScrapeBhavcopy",
    "ScrapeSymbolChanges",
    "WriteAdjustments",
    "WriteParquet",
    "lake",
    "prices",
    "run_day",
]

__version__ = _package.VERSION
