"""Luigi's events, as far as this package listens: they become journal records, and prepare a process for its work.

A handler runs where its task runs, in a forked child too, so it only appends a line to a file. The first
dependency that is found missing is the sign that there is work to do: then, and not before, the parent
learns to end on SIGTERM as on Ctrl-C (Luigi would orphan its children), and imports Polars, which is safe
before a fork and saves each child the import.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
from datetime import date
from typing import Any

import luigi
from luigi import Event
from luigi.tools.range import RangeDailyBase, RangeEvent

from champion_luigi.base import signals
from champion_luigi.base.errors import ChampionError, NotPublished
from champion_luigi.config import settings
from champion_luigi.pipeline import lanes
from champion_luigi.pipeline.tasks import WORK_AHEAD, BhavcopyTask, LoadClickHouse
from champion_luigi.tracking import record as recording
from champion_luigi.tracking.runs import STAGES
from champion_luigi.warehouse import connection

# Where Luigi logs what a task raised.
logger = logging.getLogger("luigi-interface")

# What Luigi logs of an error of ours that `complete` raises: a traceback as a text.
_IN_COMPLETE = re.compile(
    r"^(Will not run .*) due to error in complete\(\) method:\nTraceback .*\nchampion_luigi\.errors\.(\w+: .*)",
    re.DOTALL,
)

_PARENT = os.getpid()
_prepared = False

# The last task that was asked for of each date in an execution. It is noted where tasks are scheduled, so that forked
# workers know it too.
_last_tasks: dict[tuple[str, date], str] = {}
_RANKS = {name: rank for rank, name in enumerate(STAGES)}


@BhavcopyTask.event_handler(Event.START)
def _on_start(task: BhavcopyTask) -> None:
    prepare()
    in_worker = os.getpid() != _PARENT and threading.current_thread() is threading.main_thread()
    if in_worker and signals.is_heeded(signal.SIGTERM):
        # In a worker, Luigi takes a KeyboardInterrupt for no result at all and would start the task again.
        signal.signal(signal.SIGTERM, _end)
    last = _last_tasks.get((recording.current(), task.date), task.task_family)
    what = {"last": last, "version": recording.package_version()}
    if last == LoadClickHouse.__name__:
        what["clickhouse_table"] = f"{settings.get('clickhouse_database')}.{connection.TABLE}"
    _record("start", task, **what)


def _end(*_: object) -> None:
    sys.exit(143)


@BhavcopyTask.event_handler(Event.SUCCESS)
def _on_success(task: BhavcopyTask) -> None:
    if getattr(task, "was_complete", False):
        _record("found_complete", task)
    else:
        _record("success", task, facts=getattr(task, "facts", {}))


@BhavcopyTask.event_handler(Event.PROCESSING_TIME)
def _on_processing_time(task: BhavcopyTask, seconds: float) -> None:
    if not getattr(task, "was_complete", False):
        # Luigi's seconds are a difference of two times of day, between which the clock may have been set.
        seconds = getattr(task, "run_seconds", None) or seconds
        waited = min(getattr(task, "waited_seconds", 0.0), seconds)
        _record("processing_time", task, seconds=round(seconds - waited, 6), waited=round(waited, 6))


@BhavcopyTask.event_handler(Event.FAILURE)
def _on_failure(task: BhavcopyTask, error: BaseException) -> None:
    _record("failure", task, facts=getattr(task, "facts", {}), error=_text(error), error_type=type(error).__name__)


@BhavcopyTask.event_handler(Event.PROCESS_FAILURE)
def _on_process_failure(task: BhavcopyTask, message: str) -> None:
    _record("process_failure", task, error=message)


@BhavcopyTask.event_handler(Event.TIMEOUT)
def _on_timeout(task: BhavcopyTask, message: str) -> None:
    _record("timeout", task, error=message)


@BhavcopyTask.event_handler(Event.BROKEN_TASK)
def _on_broken_task(task: BhavcopyTask, error: BaseException) -> None:
    _record("broken_task", task, error=_text(error), error_type=type(error).__name__)


@luigi.Task.event_handler(Event.DEPENDENCY_DISCOVERED)
def _on_dependency_discovered(task: luigi.Task, dependency: luigi.Task) -> None:
    if isinstance(dependency, BhavcopyTask):
        prepare()
    if isinstance(task, BhavcopyTask):
        key = recording.current(), task.date
        if task.stage >= _RANKS.get(_last_tasks.get(key, ""), -1):
            _last_tasks[key] = task.task_family


@BhavcopyTask.event_handler(WORK_AHEAD)
def _on_work_ahead(_task: BhavcopyTask) -> None:
    heed_signals()
    recording.start()


@RangeDailyBase.event_handler(RangeEvent.DELAY)
def _on_delay(of: str, days: int) -> None:
    _record_range(RangeEvent.DELAY, of, days)


@RangeDailyBase.event_handler(RangeEvent.COMPLETE_COUNT)
def _on_complete_count(of: str, days: int) -> None:
    _record_range(RangeEvent.COMPLETE_COUNT, of, days)


@RangeDailyBase.event_handler(RangeEvent.COMPLETE_FRACTION)
def _on_complete_fraction(of: str, share: float) -> None:
    _record_range(RangeEvent.COMPLETE_FRACTION, of, share)


# Luigi puts what complete() raised into the text of its message.
_TRACEBACK_OF_OURS = re.compile(
    r"Traceback \(most recent call last\):\n(?:.*\n)*?champion_luigi\.errors\.(?=\w+: .*\s*\Z)"
)


class OneSentence(logging.Filter):
    """Logs an error of ours as the sentence that it is. Its traceback would say where the code is, not what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let records pass, ours without its traceback (which log level DEBUG shows)."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, NotPublished) and lanes.in_threads.get():
            return False  # a fill says by itself what a 404 means for the day
        if isinstance(error, ChampionError) and not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {error}", None
            record.exc_info = record.exc_text = None
        elif (found := _IN_COMPLETE.search(record.getMessage())) and not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = f"{found[1]}: {found[2]}", None
        elif record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        elif not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = _TRACEBACK_OF_OURS.sub("", record.getMessage()), None
        # Errors quote what they found, which can be anything.
        if record.exc_text:
            record.exc_text = settings.without_secrets(record.exc_text)
        record.msg, record.args = settings.without_secrets(record.getMessage()), None
        return True


# From the first line on; a filter is for its own logger alone, not for those below it.
for _logger in (logger, logging.getLogger(f"{logger.name}.fill")):
    _logger.addFilter(OneSentence())


def prepare() -> None:
    """Make this process ready for work: once, in the parent of the workers."""
    global _prepared  # noqa: PLW0603 - a process is prepared once
    if _prepared:
        return
    _prepared = True
    # Its start overlaps with all that follows.
    recording.start()
    import polars  # noqa: F401

    heed_signals()


def heed_signals() -> None:
    """End on SIGTERM as on Ctrl-C, and on Ctrl-C."""
    signals.heed_end()
    # Polars puts a handler of its own below Python's, which loses SIGINT once several threads have used Polars.
    signals.heed_again()


def _record(event: str, task: BhavcopyTask, **more: Any) -> None:
    recording.record(event, task=task.task_family, date=task.date, **more)


def _record_range(name: str, of: str, value: float) -> None:
    if of in STAGES:
        recording.record("range", name=name, value=value)


def _text(error: BaseException) -> str:
    return settings.without_secrets(str(error) or repr(error))
