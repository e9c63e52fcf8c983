"""A fill, made of its journal records: its run in MLflow, which holds the days of a long fill as steps of its metrics.

MLflow has no call for many runs, and takes a thousand metrics in one. Each day of a long fill that was done is a step
of the series `day/...` and a line of a table; a day that failed has a run of its own as well.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime, time

from champion_luigi.datasets import catalog
from champion_luigi.tracking.days import TAGS
from champion_luigi.tracking.journal import Event
from champion_luigi.tracking.run import Life, Metric, Record, Run, is_measure, milliseconds, name_of_fill

RANGE_METRICS = {
    "event.tools.range.delay": "range_delay",
    "event.tools.range.complete.count": "range_complete_count",
    "event.tools.range.complete.fraction": "range_complete_fraction",
}
# What the names of days' metrics begin with in a fill's run, which has a `flow_duration_seconds` of its own. MLflow's
# page of charts puts them into a section of this name.
DAY = "day/"
# The table's columns for what is no metric.
PARAMS = ("trade_date", "status", "error", "load_to_clickhouse", "clickhouse_table")
TABLE_TAGS = (*(name for name in TAGS if name != "worker"), "retries")

_ENDS = frozenset({"FINISHED", "FAILED", "KILLED"})
# MLflow takes 1000 metrics and parameters at once.
_AT_ONCE = 900
# How long fewer may wait for others, in ms: a call costs as much as a hundred of them.
_PATIENCE = 10_000


class Fill:
    """The records of a fill, which is an execution of its own."""

    def __init__(self, record: Record) -> None:
        self.execution: str = record["execution"]
        self.name = ""
        self.first = self.last = milliseconds(record)
        self._tags = {"host": str(record.get("host", ""))}
        self._params: dict[str, str] = {}
        # The metrics that have not been delivered.
        self._metrics: list[Metric] = []
        self._outcome: Record | None = None
        # Whether days are steps and lines of the table, and the runs of those days.
        self._takes_days = False
        self._days: dict[str, Run] = {}
        # `last` when something was last delivered; None before MLflow has the run.
        self._delivered: int | None = None

    def add(self, record: Record) -> None:
        event, now = record["event"], milliseconds(record)
        self.last = max(self.last, now)
        if event == Event.FILL_START:
            self.name = name_of_fill(record["first"], record["last"], record.get("dataset", catalog.DEFAULT))
            names = ("dataset", "first", "last", "of", "workers", "clickhouse_table")
            self._params = {name: str(record[name]) for name in names if record.get(name)}
            self._tags["package_version"] = str(record.get("version", ""))
            self._takes_days = record.get("days_as_steps") is True
            self._measure({"days_due": record["days_due"]}, now, 0)
        elif event == Event.RANGE:
            if metric := RANGE_METRICS.get(record["name"]):
                self._measure({metric: record["value"]}, now, 0)
        else:
            self._measure(record["metrics"], now, int(record["metrics"]["days_done"]))
            if event == Event.FILL_END and record["status"] in _ENDS and isinstance(record["words"], str):
                self._outcome = record

    def _measure(self, values: Record, now: int, step: int) -> None:
        self._metrics += [
            Metric(name, float(value), now, step) for name, value in values.items() if is_measure(name, value)
        ]

    def take(self, day: Run) -> bool:
        """Take a day into the table. Returns whether that is all, because it needs no run of its own."""
        if not self._takes_days or (place := _step(day.params["trade_date"])) is None:
            return False
        self._days[day.name] = day
        if day.status != "FINISHED":
            return False
        if day.params["status"] == "success":
            step, noon = place
            self._metrics += [
                Metric(DAY + each.name, each.value, noon, step)
                for each in day.metrics
                # Most days have none of most warnings, and the table has the zeros.
                if each.value or not each.name.startswith("warning_")
            ]
        return True

    def news(self) -> Iterator[Run]:
        """The unfinished run with its undelivered metrics, in parts that MLflow takes at once. A few may wait."""
        count = self._count
        for start in range(0, count if self.name else 0, _AT_ONCE):
            yield Run(
                self.execution,
                self.name,
                self.first,
                metrics=self._metrics[start : min(start + _AT_ONCE, count)],
                params=dict(self._params),
                tags=self._tags,
            )

    @property
    def _count(self) -> int:
        """How many metrics `news` has."""
        waiting = len(self._metrics)
        if not self._takes_days or self._delivered is None or self.last - self._delivered >= _PATIENCE:
            return waiting
        return waiting - waiting % _AT_ONCE

    def ended(self, life: Life) -> Run | None:
        """The finished run, with what `news` has left; None while it goes on."""
        if not self.name or (self._outcome is None and life == "alive"):
            return None
        outcome = self._outcome or {"status": "KILLED", "words": "killed", "error": "the process ended before the fill"}
        told = {"status": outcome["words"], "error": outcome.get("error", "")}
        at_end = {"flow_duration_seconds": (self.last - self.first) / 1000}
        if steps := [place[0] for day in self._days.values() if (place := _step(day.params["trade_date"]))]:
            # MLflow compares metrics, but not parameters: these find the fill that a date belongs to.
            at_end |= {"first_day": min(steps), "last_day": max(steps)}
        return Run(
            self.execution,
            self.name,
            self.first,
            self.last,
            outcome["status"],
            metrics=[*self._metrics[self._count :], *(Metric(*each, self.last) for each in at_end.items())],
            params=self._params | {name: text for name, text in told.items() if text},
            tags=self._tags,
            table=_as_csv(sorted(self._days.values(), key=lambda day: day.name)),
        )

    def delivered(self, run: Run) -> None:
        """Forget the metrics of a run that has arrived."""
        self._metrics = self._metrics[len(run.metrics) :]
        self._delivered = self.last

    def days_life(self) -> Life | None:
        """The state of the fill for its days: "gone" if it was killed, "ended" if it ended. None while it goes on."""
        if self._outcome is None:
            return None
        return "gone" if self._outcome["status"] == "KILLED" else "ended"


def _step(trade_date: str) -> tuple[int, int] | None:
    """A date's place in a series: YYYYMMDD as a number, and noon UTC in ms, which is that date in most of the world.

    None for what is no date, or too early for MLflow.
    """
    try:
        day = date.fromisoformat(trade_date)
    except ValueError:
        return None
    noon = round(datetime.combine(day, time(12), UTC).timestamp() * 1000)
    return (day.year * 10_000 + day.month * 100 + day.day, noon) if noon >= 0 else None


def _as_csv(days: list[Run]) -> str:
    """A line for each day, with all its parameters, metrics and sources; empty without days."""
    if not days:
        return ""
    metrics = [{each.name: each.value for each in day.metrics} for day in days]
    names = list(dict.fromkeys(name for each in metrics for name in each))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*PARAMS, *names, *TABLE_TAGS])
    for day, values in zip(days, metrics, strict=True):
        table.writerow(
            [
                *(day.params.get(name, "") for name in PARAMS),
                *(_number(values[name]) if name in values else "" for name in names),
                *(day.tags.get(name, "") for name in TABLE_TAGS),
            ]
        )
    return text.getvalue()


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
