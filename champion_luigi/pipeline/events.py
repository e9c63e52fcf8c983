"""Handlers of Luigi's events: they write journal records, and prepare a process for its work.

A handler runs where its task runs, also in a forked child, so it only appends a line to a file. The first
dependency found missing shows that there is work to do. Only then does the parent prepare: SIGTERM ends it
as Ctrl-C does (otherwise Luigi would orphan its children), and it imports Polars, which is safe before a
fork and saves each child the import.
"""

from __future__ import annotations

import functools
from datetime import date
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.tools.range import RangeDailyBase, RangeEvent

from champion_luigi.base.package import VERSION
from champion_luigi.base.stages import NUMBER_OF
from champion_luigi.config import settings
from champion_luigi.datasets import catalog
from champion_luigi.pipeline import command_line, log, process
from champion_luigi.pipeline.day_task import NOT_PUBLISHED, WORK_AHEAD, DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.tracking import record as recording
from champion_luigi.tracking.journal import Event

# The last requested task of each date in an execution. It is set where tasks are scheduled, so forked workers have it
# too.
_last_tasks: dict[tuple[str, str, date], str] = {}


@DayTask.event_handler(luigi.Event.START)
def _on_start(task: DayTask) -> None:
    process.prepare()
    process.end_worker_on_sigterm()
    last = _last_tasks.get((recording.current(), task.dataset, task.date), task.task_family)
    what = {"last": last, "version": VERSION}
    if last == LoadClickHouse.__name__:
        what["clickhouse_table"] = f"{settings.get('clickhouse_database')}.{task.definition.table}"
    _record(Event.START, task, **what)


@DayTask.event_handler(luigi.Event.SUCCESS)
def _on_success(task: DayTask) -> None:
    if getattr(task, "was_complete", False):
        _record(Event.FOUND_COMPLETE, task)
    else:
        _record(Event.SUCCESS, task, facts=getattr(task, "facts", {}))


@DayTask.event_handler(luigi.Event.PROCESSING_TIME)
def _on_processing_time(task: DayTask, seconds: float) -> None:
    if not getattr(task, "was_complete", False):
        # Luigi's seconds are the difference of two clock times; the clock may have been set in between.
        seconds = getattr(task, "run_seconds", None) or seconds
        waited = min(getattr(task, "waited_seconds", 0.0), seconds)
        _record(Event.PROCESSING_TIME, task, seconds=round(seconds - waited, 6), waited=round(waited, 6))


@DayTask.event_handler(NOT_PUBLISHED)
def _on_not_published(task: DayTask, _error: BaseException, outcome: str, reason: str) -> None:
    _record(Event.SETTLED, task, outcome=outcome, reason=settings.without_secrets(reason))


@DayTask.event_handler(luigi.Event.FAILURE)
def _on_failure(task: DayTask, error: BaseException) -> None:
    _record(Event.FAILURE, task, facts=getattr(task, "facts", {}), error=_text(error), error_type=type(error).__name__)


@DayTask.event_handler(luigi.Event.BROKEN_TASK)
def _on_broken_task(task: DayTask, error: BaseException) -> None:
    _record(Event.BROKEN_TASK, task, error=_text(error), error_type=type(error).__name__)


@luigi.Task.event_handler(luigi.Event.DEPENDENCY_DISCOVERED)
def _on_dependency_discovered(task: luigi.Task, dependency: luigi.Task) -> None:
    if isinstance(dependency, DayTask):
        process.prepare()
    if isinstance(task, DayTask):
        key = recording.current(), task.dataset, task.date
        if task.stage >= NUMBER_OF.get(_last_tasks.get(key, ""), -1):
            _last_tasks[key] = task.task_family


@luigi.Task.event_handler(luigi.Event.DEPENDENCY_PRESENT)
def _on_dependency_present(task: luigi.Task) -> None:
    parser = CmdlineParser.get_instance()
    # Of the task that the `luigi` command names: without a word, nobody would know that nothing was to do.
    if parser and parser.known_args.root_task == task.task_family and hasattr(task, "why_complete"):
        log.logger.info("%s", task.why_complete())


@DayTask.event_handler(WORK_AHEAD)
def _on_work_ahead(_task: DayTask) -> None:
    process.heed_signals()
    recording.start()


def _record(event: Event, task: DayTask, **more: Any) -> None:
    recording.record(event, task=task.task_family, date=task.date, **catalog.named(task.dataset), **more)


def _record_range(name: str, of: str, value: float) -> None:
    if of in NUMBER_OF:
        recording.record(Event.RANGE, name=name, value=value)


def _text(error: BaseException) -> str:
    return settings.without_secrets(str(error) or repr(error))


def _on_process_failure(event: Event, task: DayTask, message: str) -> None:
    _record(event, task, error=message)


for _luigis, _ours in ((luigi.Event.PROCESS_FAILURE, Event.PROCESS_FAILURE), (luigi.Event.TIMEOUT, Event.TIMEOUT)):
    DayTask.event_handler(_luigis)(functools.partial(_on_process_failure, _ours))
for _name in (RangeEvent.DELAY, RangeEvent.COMPLETE_COUNT, RangeEvent.COMPLETE_FRACTION):
    RangeDailyBase.event_handler(_name)(functools.partial(_record_range, _name))

# At import, before Luigi logs its first line.
log.filter_luigi()
command_line.explain()
