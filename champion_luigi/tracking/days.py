"""One trade date in one execution, made of its journal records: its outcome, and the run that MLflow gets of it."""

from __future__ import annotations

from champion_luigi.base.stages import NUMBER_OF, STAGE_OF
from champion_luigi.datasets import catalog
from champion_luigi.tracking.journal import FAILURES, Event
from champion_luigi.tracking.run import Life, Metric, Record, Run, Status, is_measure, milliseconds, name_of_day

COUNTS = ("raw_rows_parsed", "normalized_rows", "filtered_rows", "rows_written", "rows_loaded")
TAGS = ("layout", "archive_file", "archive_sha256", "worker")
# What MLflow is given for each outcome that a fill records: its status, and the parameter `status`.
OUTCOMES: dict[str, tuple[Status, str]] = {
    "closed": ("FINISHED", "closed"),
    "absent": ("FAILED", "absent"),
    "unpublished": ("FINISHED", "unpublished"),
    "failed": ("FAILED", "failed"),
}
# The errors of a worker that a signal has ended.
_KILLS = frozenset({"SystemExit", "KeyboardInterrupt"})
_BYTES_PER_MB = 1024 * 1024


class Day:
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
        event, task, time = record["event"], record.get("task", ""), milliseconds(record)
        if event == Event.SETTLED:
            # A fill settles a day after it has gone on to others, so the record's time says nothing about the day.
            if record["outcome"] in OUTCOMES:
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
        self.tags |= {name: str(facts[name]) for name in TAGS if name in facts}
        for name in COUNTS:
            if name in facts:
                self._measure(name, facts[name], time)
        if "parquet_bytes" in facts:
            self._measure("parquet_size_mb", facts["parquet_bytes"] / _BYTES_PER_MB, time)
        for rule, count in facts.get("warnings", {}).items():
            self._measure(f"warning_{rule}", count, time)

    def _measure(self, name: str, value: float, time: int) -> None:
        if is_measure(name, value):
            self.metrics[name] = Metric(name, float(value), time)

    def outcome(self, life: Life) -> tuple[Status, str, str] | None:
        """MLflow's status, the pipeline's and the error; None until they are final."""
        if self.settled:
            status, words = OUTCOMES[self.settled[0]]
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


def _rank(task: str) -> int:
    """The place of a task in the order of stages; a site's own, unknown task comes last."""
    return NUMBER_OF.get(task, len(NUMBER_OF) if task else -1)
