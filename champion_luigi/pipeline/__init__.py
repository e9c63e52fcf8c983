"""Luigi: the five tasks of a day, the range, threads, events, one day from Python.

Importing this package, or a module of it, sets Luigi's defaults and registers all tasks and the handlers of their
events: no task runs without them.
"""

# Luigi's defaults come first. Every module that has tasks is here.
from champion_luigi import config as _config  # noqa: F401
from champion_luigi.pipeline import adjust_tasks as _adjust_tasks  # noqa: F401
from champion_luigi.pipeline import events as _events  # noqa: F401
from champion_luigi.pipeline import fill as _fill  # noqa: F401
from champion_luigi.pipeline import scrape_symbol_changes as _scrape_symbol_changes  # noqa: F401
from champion_luigi.pipeline import tasks as _tasks  # noqa: F401
