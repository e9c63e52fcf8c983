"""champion_luigi: every NSE trading day's bhavcopy as clean, typed, queryable data.

The package in the order in which data meets it; `tasks` is the place to start reading.

    tasks      the five tasks of one trading day          run        one day from Python
    fill       the range                                  listing    which days of a range are complete
    settings   every setting and its environment variable defaults   Luigi's settings, made safe
    errors     what can go wrong, as a tree               events     Luigi's events, made journal records
    sessions   which days the exchange trades             ledger     what the archive answered for doubtful days
    layouts    where a day's file is, how each era's is   archive    getting a day's file
    payload    what the published bytes must be           bhavcopy   parse, normalize, check
    schema     the canonical columns                      lake       the Parquet tree
    warehouse  the ClickHouse table                       journal    what happened, on disk
    targets    outputs as Luigi sees them                 files      atomic writes and locks
    threads    Luigi workers as threads                   demo       what `champion demo` does
    simulator  the simulated archive                      simulator_server  the same over HTTP, with faults
    bar        a fill's progress on a terminal            scheduling  what `champion schedule` prints
    tables     tables between two tasks                   cli        the `champion` command
    fill_command  what `champion fill` does                recording  records of the work, and the carrier's start
    flows      records put together to MLflow's runs      carrier    the process that brings them there
    coverage   what is there, day by day                  status_command  what `champion status` does
    redo       making a stage of a day due again          filling    the days of a fill, a chunk at a time
    tracking   MLflow                                     track_command  what `champion track` does

Importing it makes the tasks known to ``luigi --module champion_luigi`` and imports nothing heavy.
"""

from importlib.metadata import PackageNotFoundError, version

from champion_luigi import defaults

defaults.apply()

from champion_luigi import events as _events  # noqa: E402,F401 - registers the handlers
from champion_luigi.fill import FillBhavcopy  # noqa: E402
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
    "FillBhavcopy",
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
