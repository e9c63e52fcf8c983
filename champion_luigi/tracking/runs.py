"""Runs made of journal records: the work of one execution on one trade date, or a whole fill.

A date's run is reported when it is final: its last requested task has succeeded, the fill has settled the date, or
the process is gone. A fill is reported from its start on, because its dates are its children. Times are milliseconds
since 1970, as in MLflow; durations are seconds.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from champion_luigi.base.stages import NUMBER_OF, STAGE_OF
from champion_luigi.datasets import catalog
from champion_luigi.tracking.journal import FAILURES, Event, Position

Record = dict[str, Any]
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
# The state of an execution's process: it goes on, it recorded its end, or it is gone without a record of its end.
Life = Literal["alive", "ended", "gone"]

_COUNTS = ("raw_rows_parsed", "normalized_rows", "filtered_rows", "rows_written", "rows_loaded")
_TAGS = ("layout", "archive_file", "archive_sha256", "worker")
# The errors of a worker that a signal has ended.
_KILLS = frozenset({"SystemExit", "KeyboardInterrupt"})
_RANGE_METRICS = {
    "event.tools.range.delay": "range_delay",
    "event.tools.range.complete.count": "range_complete_count",
    "event.tools.range.complete.fraction": "range_complete_fraction",
}
_OUTCOMES: dict[str, tuple[Status, str]] = {
    "closed": ("FINISHED", "closed"),
    "absent": ("FAILED", "absent"),
    "unpublished": ("FINISHED", "unpublished"),
    "failed": ("FAILED", "failed"),
}
_DAY_EVENTS = FAILURES | {Event.START, Event.PROCESSING_TIME, Event.SUCCESS, Event.FOUND_COMPLETE, Event.SETTLED}
_FILL_EVENTS = frozenset({Event.RANGE, Event.FILL_START, Event.FILL_PROGRESS, Event.FILL_END})
_BYTES_PER_MB = 1024 * 1024
_ENDS = frozenset({"FINISHED", "FAILED", "KILLED"})
_METRIC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ ./-]*")


@dataclass(frozen=True)
class Metric:
    """A value, when it was measured (ms), and its place in a series."""

    name: str
    value: float
    time: int
    step: int = 0


@dataclass
class Run:
    """One run as MLflow gets it. ``end`` (ms) is None while the run goes on; ``parent`` is another run's name."""

    execution: str
    name: str
    start: int
    end: int | None = None
    status: Status = "RUNNING"
    parent: str | None = None
    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class _Day:
    """The records of one date in one execution."""

    def __init__(self, record: Record) -> None:
        self.execution: str = record["execution"]
        self.day: str = record["date"]
        self.dataset = str(record.get("dataset", catalog.DEFAULT))
        self.tags = {"host": str(record.get("host", ""))}
        self.retries = 0
        self.metrics: dict[str, Metric] = {}
        self.first: int | None = None
        self.last = 0
        self.last_task = ""
        self.table = ""
        self.running: set[str] = set()
        self.succeeded: set[str] = set()
        self.has_worked = False
        self.failure: tuple[str, str] | None = None
        self.settled: tuple[str, str] | None = None

    def add(self, record: Record) -> None:
        event, task, time = record["event"], record.get("task", ""), _milliseconds(record)
        if event == Event.SETTLED:
            # A fill settles a day after it has gone on to others, so the record's time says nothing about the day.
            if record["outcome"] in _OUTCOMES:
                self.settled = (record["outcome"], str(record["reason"]))
            return
        self.first = min(time, self.first or time)
        self.last = max(self.last, time)
        facts = record.get("facts", {})
        if event == Event.START:
            self.failure = None
            self.running.add(task)
            self.last_task = max(record.get("last") or task, self.last_task, task, key=_rank)
            self.table = record.get("clickhouse_table") or self.table
            self.tags["package_version"] = str(record.get("version", ""))
        elif event == Event.PROCESSING_TIME:
            if task in STAGE_OF:
                self._measure(f"{STAGE_OF[task]}_duration_seconds", record["seconds"], time)
        elif event in (Event.SUCCESS, Event.FOUND_COMPLETE):
            self.running.discard(task)
            self.succeeded.add(task)
            self.has_worked |= event == Event.SUCCESS
        elif event in FAILURES:
            self.has_worked = True
            self.running.discard(task)
            failure = (str(record.get("error_type", event)), str(record.get("error", "")))
            # The reason for ending a worker says more than the worker's own error, whichever is written first.
            self.failure = self.failure if self.failure and failure[0] in _KILLS else failure
            self.last_task = max(self.last_task, task, key=_rank)
        self.retries += int(facts.get("retries", 0))
        self.tags |= {name: str(facts[name]) for name in _TAGS if name in facts}
        for name in _COUNTS:
            if name in facts:
                self._measure(name, facts[name], time)
        if "parquet_bytes" in facts:
            self._measure("parquet_size_mb", facts["parquet_bytes"] / _BYTES_PER_MB, time)
        for rule, count in facts.get("warnings", {}).items():
            self._measure(f"warning_{rule}", count, time)

    def _measure(self, name: str, value: float, time: int) -> None:
        if _is_measure(name, value):
            self.metrics[name] = Metric(name, float(value), time)

    def outcome(self, life: Life) -> tuple[Status, str, str] | None:
        """MLflow's status, the pipeline's and the error; None until they are final."""
        if self.settled:
            status, words = _OUTCOMES[self.settled[0]]
            return status, words, self.settled[1]
        if self.failure is None and self.last_task in self.succeeded:
            return "FINISHED", "success", ""
        if life == "alive":
            return None
        if self.failure and self.failure[0] not in _KILLS:
            return "FAILED", "failed", self.failure[1]
        if self.failure or self.running or life == "gone":
            return "KILLED", "killed", "the process ended before the day was complete"
        # This process completed its tasks; another process does the rest.
        return "FINISHED", "success", ""

    def run(self, life: Life, parent: str | None) -> Run | None:
        """The run; None while it goes on, and if nothing was done."""
        outcome = self.outcome(life)
        if outcome is None or self.first is None or not (self.has_worked or self.running):
            return None
        status, words, error = outcome
        self._measure("flow_duration_seconds", (self.last - self.first) / 1000, self.last)
        loads = self.last_task == "LoadClickHouse"
        params = {
            **catalog.named(self.dataset),
            "trade_date": self.day,
            "load_to_clickhouse": str(loads),
            "clickhouse_table": self.table if loads else "",
            "status": words,
            "error": error,
        }
        return Run(
            execution=self.execution,
            name=name_of_day(self.day, self.dataset),
            start=self.first,
            end=self.last,
            status=status,
            parent=parent,
            metrics=list(self.metrics.values()),
            params={name: text for name, text in params.items() if text},
            tags={**self.tags, "retries": str(self.retries)},
        )


class _Fill:
    """The records of a fill, which is an execution of its own."""

    def __init__(self, record: Record) -> None:
        self.execution: str = record["execution"]
        self.tags = {"host": str(record.get("host", ""))}
        self.params: dict[str, str] = {}
        self.metrics: list[Metric] = []
        self.name = ""
        self.first = self.last = _milliseconds(record)
        self.outcome: Record | None = None
        self.has_news = False

    def add(self, record: Record) -> None:
        event, time = record["event"], _milliseconds(record)
        self.last = max(self.last, time)
        self.has_news = True
        if event == Event.FILL_START:
            self.name = name_of_fill(record["first"], record["last"], record.get("dataset", catalog.DEFAULT))
            names = ("dataset", "first", "last", "of", "workers", "clickhouse_table")
            self.params = {name: str(record[name]) for name in names if record.get(name)}
            self.tags["package_version"] = str(record.get("version", ""))
            self._measure({"days_due": record["days_due"]}, time, 0)
        elif event == Event.RANGE:
            if metric := _RANGE_METRICS.get(record["name"]):
                self._measure({metric: record["value"]}, time, 0)
        else:
            self._measure(record["metrics"], time, int(record["metrics"]["days_done"]))
            if event == Event.FILL_END and record["status"] in _ENDS and isinstance(record["words"], str):
                self.outcome = record

    def _measure(self, values: Record, time: int, step: int) -> None:
        self.metrics += [
            Metric(name, float(value), time, step) for name, value in values.items() if _is_measure(name, value)
        ]

    def running(self) -> Run | None:
        """The unfinished run with its news; None without news."""
        if not self.name or not self.has_news:
            return None
        return Run(
            self.execution, self.name, self.first, metrics=list(self.metrics), params=dict(self.params), tags=self.tags
        )

    def ended(self, life: Life) -> Run | None:
        """The finished run; None while it goes on."""
        if not self.name or (self.outcome is None and life == "alive"):
            return None
        outcome = self.outcome or {"status": "KILLED", "words": "killed", "error": "the process ended before the fill"}
        duration = Metric("flow_duration_seconds", (self.last - self.first) / 1000, self.last)
        told = {"status": outcome["words"], "error": outcome.get("error", "")}
        return Run(
            self.execution,
            self.name,
            self.first,
            self.last,
            outcome["status"],
            # News is delivered first, with the unfinished run.
            metrics=[duration] if self.has_news else [*self.metrics, duration],
            params=self.params | {name: text for name, text in told.items() if text},
            tags=self.tags,
        )

    def days_life(self) -> Life | None:
        """The state of the fill for its days: "gone" if it was killed, "ended" if it ended. None while it goes on."""
        if self.outcome is None:
            return None
        return "gone" if self.outcome["status"] == "KILLED" else "ended"


class Runs:
    """Collects records as they come, and yields the runs that can be reported."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, str], _Day] = {}
        self._fills: dict[str, _Fill] = {}
        self._ended: set[str] = set()
        self._interrupted: set[str] = set()
        self._first: dict[tuple[str, str], dict[str, int]] = {}
        self._read: dict[str, int] = {}
        self._begun: dict[str, int] = {}

    def add(self, position: Position, record: Record) -> None:
        """Take the next record. Skip it if it belongs to no run, is damaged, or comes from a later version.

        Raising here would stop every carrier at this record. Skipping it lets the rest of the run be reported.
        """
        self._begun.setdefault(position.file, position.start)
        self._read[position.file] = position.end
        with contextlib.suppress(AttributeError, KeyError, OverflowError, TypeError, ValueError):
            self._add(position, record)

    def _add(self, position: Position, record: Record) -> None:
        event, execution = record.get("event"), record.get("execution")
        if not execution or not event or "time" not in record:
            return
        if event == Event.END:
            self._ended.add(execution)
            if record.get("interrupted"):
                self._interrupted.add(execution)
            # The end belongs to runs that are not reported yet, and may be in another month's file.
            for (each, _), first in self._first.items():
                if execution in (each, process_of(each)):
                    first.setdefault(position.file, position.start)
            return
        if {execution, process_of(execution)} & self._ended:
            return  # from a thread or a child that went on: its day has an outcome already
        key = (execution, _day_of(record, record.get("date", "")))
        if event not in (_DAY_EVENTS if key[1] else _FILL_EVENTS):
            return
        time = _milliseconds(record)
        # Before the record is taken: if it turns out to be damaged, a part of it may be left to report.
        self._first.setdefault(key, {}).setdefault(position.file, position.start)
        if key[1]:
            self._days.setdefault(key, _Day(record)).add(record)
            if fill := self._fills.get(execution):
                fill.last = max(fill.last, time)
        else:
            self._fills.setdefault(execution, _Fill(record)).add(record)

    def tell(self, gone: Collection[str]) -> Iterator[Run]:
        """The final runs, and the fills that go on. A fill comes before its days, its end after them.

        ``gone`` names the processes that had ended before the last records were read.
        """

        @functools.cache
        def life(execution: str) -> Life:
            process = process_of(execution)
            if {execution, process} & self._ended and process not in self._interrupted:
                return "ended"
            return "gone" if process in self._ended or process in gone else "alive"

        for fill in list(self._fills.values()):
            if run := fill.running():
                yield run
        for (execution, label), day in list(self._days.items()):
            of = self._fills.get(execution)
            state = (of.days_life() if of else None) or life(execution)
            if run := day.run(state, of.name if of else None):
                yield run
            elif state != "alive" or day.outcome(state):
                self._forget(execution, label)  # requested and never started, or found complete
        for fill in list(self._fills.values()):
            if run := fill.ended(life(fill.execution)):
                yield run
            elif not fill.name and life(fill.execution) != "alive":
                self._fills.pop(fill.execution)  # it ended before it had its days
                self._first.pop((fill.execution, ""), None)

    def delivered(self, run: Run) -> None:
        """Forget a run that has arrived."""
        fill = self._fills.get(run.execution)
        if fill and fill.name == run.name:
            fill.metrics = fill.metrics[len(run.metrics) :]
            fill.has_news = False
            if run.end is not None:
                self._fills.pop(run.execution)
                self._first.pop((run.execution, ""), None)
        else:
            self._forget(run.execution, _day_of(run.params, run.params["trade_date"]))

    def offsets(self) -> dict[str, int]:
        """How many bytes of each file need not be read again.

        Everything after the first open record is read again, in later files too. At the turn of a month, the records
        in the later file alone would look like another run.
        """
        safe = dict(self._read)
        for first in self._first.values():
            for file, start in first.items():
                safe[file] = min(safe[file], start)
        is_held = False
        for file in sorted(safe):
            if is_held:
                safe[file] = self._begun[file]
            is_held |= safe[file] < self._read[file]
        return safe

    def seen(self) -> dict[str, int]:
        """How many bytes of each file have been read."""
        return dict(self._read)

    def open_executions(self) -> set[str]:
        """The executions with records that are not yet delivered."""
        return {execution for execution, _ in self._first}

    def _forget(self, execution: str, date: str) -> None:
        self._days.pop((execution, date), None)
        self._first.pop((execution, date), None)


def name_of_day(day: date | str, dataset: str = catalog.DEFAULT) -> str:
    """The name of a run for a date of a data set."""
    return f"{_stem(dataset)}-etl-{day}"


def name_of_fill(first: date | str, last: date | str, dataset: str = catalog.DEFAULT) -> str:
    """The name of a fill's run for a range of a data set, both dates included."""
    return f"{_stem(dataset)}-fill-{first}-{last}"


def _stem(dataset: str) -> str:
    # A later version's journal may name a data set that this version does not know.
    known = catalog.DATASETS.get(dataset)
    return known.stem if known else dataset


def _day_of(named: Mapping[str, Any], day: str) -> str:
    """A label for a day of a data set, unique within an execution; empty without a day."""
    return f"{day} {named.get('dataset', '')}".rstrip() if day else ""


def process_of(execution: str) -> str:
    """The process that an execution belongs to."""
    return execution.partition(".")[0]


def _rank(task: str) -> int:
    """The place of a task in the order of stages; a site's own, unknown task comes last."""
    return NUMBER_OF.get(task, len(NUMBER_OF) if task else -1)


def _milliseconds(record: Record) -> int:
    time = round(datetime.fromisoformat(record["time"]).timestamp() * 1000)
    if time < 0:
        raise ValueError("MLflow takes no time before 1970")
    return time


def _is_measure(name: str, value: object) -> bool:
    """Whether MLflow takes this metric: one invalid name makes it refuse the whole run."""
    return _METRIC.fullmatch(name) is not None and isinstance(value, int | float) and math.isfinite(value)
