"""Making a stage of a day, and what follows it, due again.

Nothing is deleted. A note under ``DATA_DIR/due`` (`due`) makes the stages incomplete, and each strikes itself out once
its new output has replaced the old one. So a reader of the lake or of the view sees the day as it was, then as it is,
never without it; and what a killed redo leaves is done by the next run that comes by the day: a fill, a task, or
another redo. Only what is there can be made again: a stage without an output is due by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from champion_luigi.base import locks, stages
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import tasks
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse, ScrapeBhavcopy
from champion_luigi.storage import due

# By the names that people type.
STAGES: dict[str, type[DayTask]] = {stage: getattr(tasks, task) for stage, task in stages.TASKS.items()}


@dataclass(frozen=True)
class Plan:
    """What a redo does with a day: outputs that are replaced, and the stages that run, each with its reason.

    ``nothing`` says why there is nothing to do, where that is so.
    """

    day: date
    replaces: tuple[Path, ...] = ()
    runs: tuple[tuple[str, str], ...] = ()
    nothing: str = ""


def outputs_from(dataset: Dataset, day: date, stage: type[DayTask], last: type[DayTask] = LoadClickHouse) -> list[Path]:
    """The outputs that are there of a stage and of those that follow it, up to ``last``, in the order of the stages.

    The payload itself is not among them: a receipt that is due makes it due to be fetched again.
    """
    chain = [task for task in STAGES.values() if stage.stage <= task.stage <= last.stage]
    paths = [task(date=day, dataset=dataset.name).output().file for task in chain]
    return [path for path in paths if path.exists()]


def make_due(
    dataset: Dataset,
    day: date,
    stage: type[DayTask],
    last: type[DayTask] = LoadClickHouse,
    on_wait: Callable[[str], None] | None = None,
) -> list[Path]:
    """Make those stages due, while no task of the day runs; gives the outputs that will be replaced. Raises Busy.

    They stay where they are until then. Where there is none of them, the stages are due already, and nothing is noted.
    """
    files = wiring.files(dataset)
    label = last(date=day, dataset=dataset.name).label
    with locks.locked(files.lock(day), label, settings.get("lock_wait_seconds"), on_wait):
        paths = outputs_from(dataset, day, stage, last)
        if paths:
            due.ask(files.due, day, range(stage.stage, last.stage + 1))
    return paths


def plan(dataset: Dataset, day: date, stage: type[DayTask], last: type[DayTask] = LoadClickHouse) -> Plan:
    """What would be done with a day, without doing it."""
    if not outputs_from(dataset, day, ScrapeBhavcopy) and (reason := _why_nothing(dataset, day)):
        return Plan(day, nothing=reason)
    replaced = outputs_from(dataset, day, stage, last)
    chain = [(name, task(date=day, dataset=dataset.name)) for name, task in STAGES.items()]
    start = stage.stage
    while start and not chain[start - 1][1].complete():
        start -= 1
    runs = []
    for number in range(start, last.stage + 1):
        name, task = chain[number]
        if not replaced:
            # Nothing is asked for of such a day: what is complete stays.
            if not task.complete():
                runs.append((name, "output missing"))
        elif number > stage.stage:
            runs.append((name, f"follows {stages.STAGES[number - 1]}"))
        elif number == stage.stage:
            runs.append((name, "asked for"))
        else:
            runs.append((name, "asked for before" if task.output().file.exists() else "output missing"))
    return Plan(day, tuple(replaced), tuple(runs))


def _why_nothing(dataset: Dataset, day: date) -> str:
    """Why no file of a day is to be had, as far as is known; empty where one is."""
    expected = wiring.expectation(dataset).of(day)
    if expected.state == "closed":
        return f"not there, and {expected.why}"
    return expected.why if expected.state == "unpublished" else ""
