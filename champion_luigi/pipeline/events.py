"""Handlers of Luigi's events: they write journal records, and prepare a process for its work.

A handler runs where its task runs, also in a forked child, so it only appends a line to a file. The first
dependency found missing shows that there is work to do. Only then does the parent prepare: SIGTERM ends it
as Ctrl-C does (otherwise Luigi would orphan its children), and it imports Polars, which is safe before a
fork and saves each child the import.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import luigi
from luigi import Event
from luigi.tools.range import RangeDailyBase, RangeEvent

from champion_luigi.base.stages import NUMBER_OF
from champion_luigi.config import settings
from champion_luigi.datasets import catalog
from champion_luigi.pipeline import log, process
from champion_luigi.pipeline.day_task import WORK_AHEAD, DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.tracking import record as recording

# The last requested task of each date in an execution. It is set where tasks are scheduled, so forked workers have it
# too.
_last_tasks: dict[tuple[str, str, date], str] = {}


@DayTask.event_handler(Event.START)
def _on_start(task: DayTask) -> None:
    process.prepare()
    process.end_worker_on_sigterm()
    last = _last_tasks.get((recording.current(), task.dataset, task.date), task.task_family)
    what = {"last": last, "version": recording.package_version()}
    if last == LoadClickHouse.__name__:
        what["clickhouse_table"] = f"{settings.get('clickhouse_database')}.{task.definition.table}"
    _record("start", task, **what)


@DayTask.event_handler(Event.SUCCESS)
def _on_success(task: DayTask) -> None:
    if getattr(task, "was_complete", False):
        _record("found_complete", task)
    else:
        _record("success", task, facts=getattr(task, "facts", {}))


@DayTask.event_handler(Event.PROCESSING_TIME)
def _on_processing_time(task: DayTask, seconds: float) -> None:
    if not getattr(task, "was_complete", False):
        # Luigi's seconds are the difference of two clock times; the clock may have been set in between.
        seconds = getattr(task, "run_seconds", None) or seconds
        waited = min(getattr(task, "waited_seconds", 0.0), seconds)
        _record("processing_time", task, seconds=round(seconds - waited, 6), waited=round(waited, 6))


@DayTask.event_handler(Event.FAILURE)
def _on_failure(task: DayTask, error: BaseException) -> None:
    _record("failure", task, facts=getattr(task, "facts", {}), error=_text(error), error_type=type(error).__name__)


@DayTask.event_handler(Event.PROCESS_FAILURE)
def _on_process_failure(task: DayTask, message: str) -> None:
    _record("process_failure", task, error=message)


@DayTask.event_handler(Event.TIMEOUT)
def _on_timeout(task: DayTask, message: str) -> None:
    _record("timeout", task, error=message)


@DayTask.event_handler(Event.BROKEN_TASK)
def _on_broken_task(task: DayTask, error: BaseException) -> None:
    _record("broken_task", task, error=_text(error), error_type=type(error).__name__)


@luigi.Task.event_handler(Event.DEPENDENCY_DISCOVERED)
def _on_dependency_discovered(task: luigi.Task, dependency: luigi.Task) -> None:
    if isinstance(dependency, DayTask):
        process.prepare()
    if isinstance(task, DayTask):
        key = recording.current(), task.dataset, task.date
        if task.stage >= NUMBER_OF.get(_last_tasks.get(key, ""), -1):
            _last_tasks[key] = task.task_family


@DayTask.event_handler(WORK_AHEAD)
def _on_work_ahead(_task: DayTask) -> None:
    process.heed_signals()
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


# Filter the log from its first line on.
log.filter_luigi()


def _record(event: str, task: DayTask, **more: Any) -> None:
    recording.record(event, task=task.task_family, date=task.date, **catalog.named(task.dataset), **more)


def _record_range(name: str, of: str, value: float) -> None:
    if of in NUMBER_OF:
        recording.record("range", name=name, value=value)


def _text(error: BaseException) -> str:
    return settings.without_secrets(str(error) or repr(error))
