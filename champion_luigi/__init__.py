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
    warehouse  the ClickHouse table                       clickhouse  the server or the engine, and its errors
    questions  statements put to it                       journal    what happened, on disk
    places     where things are, by the settings          raw        the published files, as they are kept
    targets    outputs as Luigi sees them                 files      atomic writes and locks
    threads    Luigi workers as threads                   demo       what `champion demo` does
    simulator  the simulated archive                      simulator_server  the same over HTTP, with faults
    bar        a fill's progress on a terminal            scheduling  what `champion schedule` prints
    tables     tables between two tasks                   cli        the `champion` command
    hiding     secrets in texts                           datadir    the data folder's own version
    interrupts  Ctrl-C and SIGTERM as exceptions
    fill_command  what `champion fill` does                recording  records of the work, and the carrier's start
    flows      records put together to MLflow's runs      carrier    the process that brings them there
    coverage   what is there, day by day                  status_command  what `champion status` does
    report     what the report tells                      report_command  what `champion report` does
    report_page  the report as one HTML page               report_figures  its calendar and bars
    report_text  values as a report's HTML text
    doctor     what `champion doctor` looks at             doctor_command  how it says it
    doctor_setup  installation, settings, days             doctor_disks  folders, room, locks
    doctor_servers  archive, MLflow, luigid                doctor_warehouse  whether it could be loaded
    findings   what a check finds                          asking     one bounded question over HTTP
    filling    the days of a fill, a chunk at a time      due        what is asked for again
    redo       making a stage of a day due again          redo_command  what `champion redo` does
    reconcile  whether raw, lake and warehouse agree      verify_command  what `champion verify` does
    refresh    days asked for again                       refresh_command  what `champion refresh` does
    cleaning   what killed runs leave, and copies         clean_command  what `champion clean` does
    sql        statements that people write               sql_command  what `champion sql` does
    tracking   MLflow                                     track_command  what `champion track` does

Importing it makes the tasks known to ``luigi --module champion_luigi`` and imports nothing heavy.
"""

from importlib.metadata import PackageNotFoundError, version

from champion_luigi.config import luigi_defaults

luigi_defaults.apply()

from champion_luigi.pipeline import events as _events  # noqa: E402,F401 - registers the handlers
from champion_luigi.pipeline.fill import FillBhavcopy  # noqa: E402
from champion_luigi.pipeline.run_day import DayResult, run_day  # noqa: E402
from champion_luigi.pipeline.tasks import (
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
