"""Run stages of days again: make them due, run them, and give the reason for each day that is not done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

import luigi

from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import complete as listing
from champion_luigi.pipeline import process
from champion_luigi.pipeline.chunks import Progress, fill_days
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.upkeep import redo

Stage = type[DayTask]
# Completes days up to a stage; returns a reason for each day that failed or is incomplete.
Fill = Callable[[Dataset, Stage, Sequence[date]], Mapping[date, str]]


def again(
    dataset: Dataset,
    requests: Mapping[date, tuple[Stage, Stage]],
    fill: Fill | None = None,
    on_message: Callable[[str], None] | None = None,
) -> dict[date, str]:
    """Make each day's stages due, from a first to a last one, and run them; the reasons for failures, by date.

    ``fill`` runs them, by default `quietly`. Raises Busy if another process holds a day's lock for too long, and
    NotInstalled before any day is due.
    """
    if any(issubclass(last, LoadClickHouse) for _, last in requests.values()):
        wiring.warehouse_place().require_engine()
    for day, (first, last) in requests.items():
        redo.make_due(dataset, day, first, last, on_message)
    return complete(dataset, {day: last for day, (_, last) in requests.items()}, fill)


def complete(dataset: Dataset, requests: Mapping[date, Stage], fill: Fill | None = None) -> dict[date, str]:
    """Run each day's due stages up to its last one; the reasons for failures, by date."""
    reasons: dict[date, str] = {}
    for last in dict.fromkeys(requests.values()):
        reasons |= (fill or quietly)(dataset, last, [day for day in sorted(requests) if requests[day] is last])
    return reasons


def quietly(dataset: Dataset, last: Stage, days: Sequence[date]) -> dict[date, str]:
    """Complete the days, logging warnings only; a reason for each day that failed or is incomplete."""
    reasons: dict[date, str] = {}

    def note(task: DayTask, error: BaseException) -> None:
        reasons.setdefault(task.date, str(error).removeprefix(f"{task.date}: "))

    process.prepare()
    progress = Progress(due=len(days))
    workers = min(len(days), settings.get("fill_workers"))
    # `Progress` counts no failure for a stored file that could not be fetched again: its day is complete.
    DayTask.event_handler(luigi.Event.FAILURE)(note)
    try:
        fill_days(last, dataset, days, progress, workers=workers, local_scheduler=True, log_level="WARNING")
    finally:
        DayTask.remove_event_handler(luigi.Event.FAILURE, note)
    left = progress.stopped_because or "the day is incomplete: another process may be working on it"
    there = listing.made_days(last, dataset, days)
    missing = [day for day in days if day not in reasons and day not in there]
    return {**reasons, **{day: progress.failed.get(day, left) for day in missing}}
