"""Journal records, put together to runs: what one execution did for one trade date, or a fill as a whole.

A run of a date is reported once it is final: its last requested task has succeeded, the fill has settled the date, or
the process that ran it is gone. A fill is reported from its start on, since its dates are its children.
Times are milliseconds since 1970, as MLflow has them; durations are seconds.
"""

from __future__ import annotations

import contextlib
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
# What has become of the process of an execution: it goes on, it said that it ends, or it is gone without a word.
Life = Literal["alive", "ended", "gone"]

_COUNTS = ("raw_rows_parsed", "normalized_rows", "filtered_rows", "rows_written", "rows_loaded")
_TAGS = ("layout", "archive_file", "archive_sha256", "worker")
# What a worker raises that was told to end.
_KILLS = frozenset({"SystemExit", "KeyboardInterrupt"})
_RANGE_METRICS = {
    "event.tools.range.delay": "range_delay",
    "event.tools.range.complete.count": "range_complete_count",
    "event.tools.range.complete.fraction": "range_complete_fraction",
}
_OUTCOMES: dict[str, tuple[Status, str]] = {
    "closed": ("FINISHED", "closed"),
    "unpublished": ("FAILED", "unpublished"),
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
    """What MLflow gets of one run. ``end`` (ms) is None while it goes on; ``parent`` is another run's name."""

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
    """What is known of one date in one execution."""

    def __init__(self, record: Record) -> None:
        self.execution: str = record["execution"]
        self.day: str = record["date"]
        self.dataset = str(record.get("dataset", catalog.DEFAULT))
        self.label = _day_of(record, self.day)
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
            # That is said once the fill has looked at others: no time of this day's.
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
            # Why a worker was told to end says more than that it was, whichever is written first.
            self.failure = self.failure if self.failure and failure[0] in _KILLS else failure
            self.last_task = max(self.last_task, task, key=_rank)
        self._take(facts, time)

    def _take(self, facts: Record, time: int) -> None:
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
        """MLflow's status, ours and the error, once they are final."""
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
        # All that this process did is done; another one does the rest.
        return "FINISHED", "success", ""

    def run(self, life: Life, parent: str | None) -> Run | None:
        """The run; None as long as it goes on, and where nothing was done."""
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
    """What is known of a fill, which is an execution of its own."""

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
        """The run as far as it has come, where there is news."""
        if not self.name or not self.has_news:
            return None
        return Run(
            self.execution, self.name, self.first, metrics=list(self.metrics), params=dict(self.params), tags=self.tags
        )

    def ended(self, life: Life) -> Run | None:
        """The run as it ended; None as long as it goes on."""
        if not self.name or not self.is_over(life):
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
            # What is new comes before it, in the run as it goes on.
            metrics=[duration] if self.has_news else [*self.metrics, duration],
            params=self.params | {name: text for name, text in told.items() if text},
            tags=self.tags,
        )

    def is_over(self, life: Life) -> bool:
        return self.outcome is not None or life != "alive"

    def days_life(self) -> Life | None:
        """What the fill's own end means for its days: broken off, it leaves them to nobody. None while it goes on."""
        if self.outcome is None:
            return None
        return "gone" if self.outcome["status"] == "KILLED" else "ended"


class Runs:
    """Records as they come, and the runs that can be reported."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, str], _Day] = {}
        self._fills: dict[str, _Fill] = {}
        self._ended: set[str] = set()
        self._interrupted: set[str] = set()
        self._first: dict[tuple[str, str], dict[str, int]] = {}
        self._read: dict[str, int] = {}
        self._begun: dict[str, int] = {}

    def add(self, position: Position, record: Record) -> None:
        """Take the next record. One that is of no run is passed over, as is one of a later version, or a damaged one.

        Raising here would stop every carrier at this record. It is skipped, and the rest of the run is still reported.
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
            # It is a part of what is not reported yet, and may stand in another month's file.
            for (each, _), first in self._first.items():
                if execution in (each, process_of(each)):
                    first.setdefault(position.file, position.start)
            return
        if {execution, process_of(execution)} & self._ended:
            return  # a thread or a child that has gone on: what became of its day has been said
        key = (execution, _day_of(record, record.get("date", "")))
        if event not in (_DAY_EVENTS if key[1] else _FILL_EVENTS):
            return
        time = _milliseconds(record)
        # Before it is taken: of one that turns out damaged half-way, something is left to report.
        self._first.setdefault(key, {}).setdefault(position.file, position.start)
        if key[1]:
            self._days.setdefault(key, _Day(record)).add(record)
            if fill := self._fills.get(execution):
                fill.last = max(fill.last, time)
        else:
            self._fills.setdefault(execution, _Fill(record)).add(record)

    def tell(self, gone: Collection[str]) -> Iterator[Run]:
        """The runs that are final, and fills as far as they have come: a fill before its days, its end after them.

        ``gone`` names the processes that had ended before the last records were read.
        """
        lives: dict[str, Life] = {}

        def life(execution: str) -> Life:
            if execution not in lives:
                process = process_of(execution)
                has_ended = (execution in self._ended or process in self._ended) and process not in self._interrupted
                is_over = has_ended or process in self._ended or process in gone
                lives[execution] = "ended" if has_ended else "gone" if is_over else "alive"
            return lives[execution]

        for fill in list(self._fills.values()):
            if run := fill.running():
                yield run
        for (execution, _), day in list(self._days.items()):
            of = self._fills.get(execution)
            state = (of.days_life() if of else None) or life(execution)
            if run := day.run(state, of.name if of else None):
                yield run
            elif state != "alive" or day.outcome(state):
                self._forget(execution, day.label)  # asked for and never begun, or found complete
        for fill in list(self._fills.values()):
            if run := fill.ended(life(fill.execution)):
                yield run
            elif not fill.name and life(fill.execution) != "alive":
                self._fills.pop(fill.execution)  # it ended before it knew what to do
                self._first.pop((fill.execution, ""), None)

    def delivered(self, run: Run) -> None:
        """Forget what has arrived."""
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
        """How far each file of the journal need not be read again.

        What is read again is all that follows: a part of a day, from the turn of a month, would look like another one.
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
        """How far each file of the journal has been read."""
        return dict(self._read)

    def open_executions(self) -> set[str]:
        """The executions of which not all is reported and delivered."""
        return {execution for execution, _ in self._first}

    def _forget(self, execution: str, date: str) -> None:
        self._days.pop((execution, date), None)
        self._first.pop((execution, date), None)


def name_of_day(day: date | str, dataset: str = catalog.DEFAULT) -> str:
    """The name of the runs of a data set's date."""
    return f"{_stem(dataset)}-etl-{day}"


def name_of_fill(first: date | str, last: date | str, dataset: str = catalog.DEFAULT) -> str:
    """The name of the runs of a range of a data set, both dates included."""
    return f"{_stem(dataset)}-fill-{first}-{last}"


def _stem(dataset: str) -> str:
    # A later version's journal may name a data set that this one does not know.
    known = catalog.DATASETS.get(dataset)
    return known.stem if known else dataset


def _day_of(named: Mapping[str, Any], day: str) -> str:
    """What tells a day of one data set from the same day of another in an execution; empty without a day."""
    return f"{day} {named.get('dataset', '')}".rstrip() if day else ""


def process_of(execution: str) -> str:
    """The process that an execution is a part of, or all of."""
    return execution.partition(".")[0]


def _rank(task: str) -> int:
    """The place of a task in the order; a site's own, of which nothing is known, comes last."""
    return NUMBER_OF.get(task, len(NUMBER_OF) if task else -1)


def _milliseconds(record: Record) -> int:
    time = round(datetime.fromisoformat(record["time"]).timestamp() * 1000)
    if time < 0:
        raise ValueError("MLflow knows no time before 1970")
    return time


def _is_measure(name: str, value: object) -> bool:
    """Whether MLflow takes this: it refuses all of a run for one name that is none."""
    return _METRIC.fullmatch(name) is not None and isinstance(value, int | float) and math.isfinite(value)
