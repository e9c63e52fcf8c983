"""Make a stage of a day, and the stages after it, due again.

Nothing is deleted. A note under ``DATA_DIR/due`` (`due`) makes the stages incomplete, and each stage clears its own
entry once its new output has replaced the old one. Readers of the lake or the view see the old day, then the new one,
and never a gap. If a redo is killed, the next run of that day (a fill, a task or another redo) completes it. Only
existing outputs need a note: a stage without an output is due anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from champion_luigi.base import locks, stages
from champion_luigi.base.places import Place
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import tasks
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.loaded import LoadRecord
from champion_luigi.pipeline.tasks import LoadClickHouse, ScrapeBhavcopy
from champion_luigi.storage import due

# The tasks by the stage names of the command line.
STAGES: dict[str, type[DayTask]] = {stage: getattr(tasks, task) for stage, task in stages.TASKS.items()}


@dataclass(frozen=True)
class Plan:
    """A redo of one day: the outputs to replace, and the stages to run, each with its reason.

    ``nothing`` is the reason why there is nothing to do, or empty.
    """

    day: date
    replaces: tuple[Place, ...] = ()
    runs: tuple[tuple[str, str], ...] = ()
    nothing: str = ""


def outputs_from(
    dataset: Dataset, day: date, stage: type[DayTask], last: type[DayTask] = LoadClickHouse
) -> list[Place]:
    """The existing outputs of a stage and of the stages after it, up to ``last``, in order.

    The payload is not listed: a due receipt is enough for it to be fetched again.
    """
    chain = [task for task in STAGES.values() if stage.stage <= task.stage <= last.stage]
    outputs = [task(date=day, dataset=dataset.name).output() for task in chain]
    # What another host has loaded has no marker here.
    return [
        output.file
        for output in outputs
        if output.file.exists() or (isinstance(output, LoadRecord) and output.rows() is not None)
    ]


def make_due(
    dataset: Dataset,
    day: date,
    stage: type[DayTask],
    last: type[DayTask] = LoadClickHouse,
    on_wait: Callable[[str], None] | None = None,
) -> list[Place]:
    """Make these stages due, under the day's lock, and return the outputs that will be replaced. Raises Busy.

    Old outputs stay until they are replaced. If there are none, the stages are due already, and no note is written.
    """
    files = wiring.files(dataset)
    label = last(date=day, dataset=dataset.name).label
    with locks.locked(files.lock(day), label, settings.get("lock_wait_seconds"), on_wait):
        paths = outputs_from(dataset, day, stage, last)
        if paths:
            due.ask(files.due, day, range(stage.stage, last.stage + 1))
    return paths


def plans(
    dataset: Dataset, days: Sequence[date], stage: type[DayTask], last: type[DayTask] = LoadClickHouse
) -> list[Plan]:
    """The plan for a redo of each of these days. Changes nothing."""
    tasks = [LoadClickHouse(date=day, dataset=dataset.name) for day in days]
    LoadClickHouse.look(tasks)
    try:
        return [plan(dataset, day, stage, last) for day in days]
    finally:
        LoadClickHouse.forget(tasks)


def plan(dataset: Dataset, day: date, stage: type[DayTask], last: type[DayTask] = LoadClickHouse) -> Plan:
    """The plan for a redo of one day. Changes nothing."""
    if not outputs_from(dataset, day, ScrapeBhavcopy):
        expected = wiring.expectation(dataset).of(day)
        is_requested = expected.state == "session" or (expected.state == "absent" and stage is ScrapeBhavcopy)
        if not is_requested:
            words = {
                "closed": "not stored, because there is no session: {}",
                "absent": "absent: {}, or now with champion redo --from scrape",
            }
            return Plan(day, nothing=words.get(expected.state, "{}").format(expected.why))
    replaced = outputs_from(dataset, day, stage, last)
    chain = [(name, task(date=day, dataset=dataset.name)) for name, task in STAGES.items()]
    start = stage.stage
    while start and not chain[start - 1][1].is_made():
        start -= 1
    runs = []
    for number, (name, task) in enumerate(chain[start : last.stage + 1], start):
        if not replaced:
            # No note is written for such a day: complete stages stay.
            if not task.is_made():
                runs.append((name, "output missing"))
        elif number > stage.stage:
            runs.append((name, f"follows {stages.STAGES[number - 1]}"))
        elif number == stage.stage:
            runs.append((name, "requested"))
        else:
            runs.append((name, "requested before" if task.output().file.exists() else "output missing"))
    return Plan(day, tuple(replaced), tuple(runs))
