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
    reading     what users read from Python: adjusted prices, SQL
    tracking    what happened: the journal, and its way to MLflow
    pipeline    Luigi: the five tasks of a day, the range, one day from Python
    upkeep      the state of the data, and putting it right: status, verify, redo, refresh, clean
    commands    what people type

`champion_luigi.sessions` stands beside them: the exchange's trading days, for any program.

The package itself imports nothing but the standard library. Any name of it but `sessions` imports Luigi, sets Luigi's
defaults and makes the tasks known, and so does the program's own `import luigi`, before or after: `luigi --module
champion_luigi` finds them. Polars and other heavy libraries are imported where they are used. Importing the package
also opens /dev/null on standard streams that are closed.
"""

from typing import TYPE_CHECKING

from champion_luigi.base import imports as _imports
from champion_luigi.base import streams as _streams

if TYPE_CHECKING:
    from champion_luigi import sessions
    from champion_luigi.commands.demo import demo
    from champion_luigi.commands.doctor.checks import doctor
    from champion_luigi.commands.report.write import report
    from champion_luigi.commands.schedule import schedule
    from champion_luigi.commands.track import track_ui
    from champion_luigi.pipeline.adjust_tasks import LoadAdjustments, WriteAdjustments
    from champion_luigi.pipeline.fill import FillBhavcopy
    from champion_luigi.pipeline.run_day import DayResult, run_day
    from champion_luigi.pipeline.run_fill import FillResult, fill
    from champion_luigi.pipeline.scrape_symbol_changes import ScrapeSymbolChanges
    from champion_luigi.pipeline.tasks import (
        LoadClickHouse,
        NormalizeBhavcopy,
        ParseBhavcopy,
        ScrapeBhavcopy,
        WriteParquet,
    )
    from champion_luigi.reading.actions import actions
    from champion_luigi.reading.prices import prices
    from champion_luigi.reading.sql import sql
    from champion_luigi.storage import lake
    from champion_luigi.tracking.flush import track_flush
    from champion_luigi.upkeep.calls import adjust, clean, redo, refresh, verify, verify_adjustments, verify_sources
    from champion_luigi.upkeep.coverage import Coverage, status
    from champion_luigi.upkeep.statements import ddl

    __version__: str

__all__ = [
    "Coverage",
    "DayResult",
    "FillBhavcopy",
    "FillResult",
    "LoadAdjustments",
    "LoadClickHouse",
    "NormalizeBhavcopy",
    "ParseBhavcopy",
    "ScrapeBhavcopy",
    "ScrapeSymbolChanges",
    "WriteAdjustments",
    "WriteParquet",
    "actions",
    "adjust",
    "clean",
    "ddl",
    "demo",
    "doctor",
    "fill",
    "lake",
    "prices",
    "redo",
    "refresh",
    "report",
    "run_day",
    "schedule",
    "sessions",
    "sql",
    "status",
    "track_flush",
    "track_ui",
    "verify",
    "verify_adjustments",
    "verify_sources",
]

# The module of each public name, and the public names that are modules themselves.
_MODULE_OF = {
    "Coverage": "upkeep.coverage",
    "DayResult": "pipeline.run_day",
    "FillBhavcopy": "pipeline.fill",
    "FillResult": "pipeline.run_fill",
    "LoadAdjustments": "pipeline.adjust_tasks",
    "LoadClickHouse": "pipeline.tasks",
    "NormalizeBhavcopy": "pipeline.tasks",
    "ParseBhavcopy": "pipeline.tasks",
    "ScrapeBhavcopy": "pipeline.tasks",
    "ScrapeSymbolChanges": "pipeline.scrape_symbol_changes",
    "WriteAdjustments": "pipeline.adjust_tasks",
    "WriteParquet": "pipeline.tasks",
    "actions": "reading.actions",
    "adjust": "upkeep.calls",
    "clean": "upkeep.calls",
    "ddl": "upkeep.statements",
    "demo": "commands.demo",
    "doctor": "commands.doctor.checks",
    "fill": "pipeline.run_fill",
    "lake": "storage.lake",
    "prices": "reading.prices",
    "redo": "upkeep.calls",
    "refresh": "upkeep.calls",
    "report": "commands.report.write",
    "run_day": "pipeline.run_day",
    "schedule": "commands.schedule",
    "sessions": "sessions",
    "sql": "reading.sql",
    "status": "upkeep.coverage",
    "track_flush": "tracking.flush",
    "track_ui": "commands.track",
    "verify": "upkeep.calls",
    "verify_adjustments": "upkeep.calls",
    "verify_sources": "upkeep.calls",
}
_ARE_MODULES = ("lake", "sessions")

# Both `luigi` and `champion` come here before they open the first file that stays open.
_streams.open_missing()

# No task of ours runs without Luigi's defaults, and `luigi --module` finds the tasks.
_imports.set_up("luigi", "champion_luigi.pipeline")

# Type checkers take the names from above, and find a wrong one.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A public name's value, imported when it is first used."""
        import importlib

        if name == "__version__":
            value: object = importlib.import_module("champion_luigi.base.package").VERSION
        elif name in _MODULE_OF:
            if name != "sessions":
                # Luigi first, as where a program imports it: threads that do both get Python's locks in one order.
                importlib.import_module("luigi")
                importlib.import_module("champion_luigi.pipeline")
            module = importlib.import_module(f"champion_luigi.{_MODULE_OF[name]}")
            value = module if name in _ARE_MODULES else getattr(module, name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, "__version__"})
