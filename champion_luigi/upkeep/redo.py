"""Making a stage of a day, and what follows it, due again.

Nothing is deleted. A note under ``DATA_DIR/due`` (`due`) makes the stages incomplete, and each strikes itself out once
its new output has replaced the old one. So a reader of the lake or of the view sees the day as it was, then as it is,
never without it; and what a killed redo leaves is done by the next run that comes by the day: a fill, a task, or
another redo. Only what is there can be made again: a stage without an output is due by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from champion_luigi.base import locks, stages
from champion_luigi.config import settings, wiring
from champion_luigi.exchange import sessions
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


def outputs_from(day: date, stage: type[DayTask], last: type[DayTask] = LoadClickHouse) -> list[Path]:
    """The outputs that are there of a stage and of those that follow it, up to ``last``, in the order of the stages.

    The payload itself is not among them: a receipt that is due makes it due to be fetched again.
    """
    paths = [task(date=day).output().file for task in STAGES.values() if stage.stage <= task.stage <= last.stage]
    return [path for path in paths if path.exists()]


def make_due(
    day: date,
    stage: type[DayTask],
    last: type[DayTask] = LoadClickHouse,
    on_wait: Callable[[str], None] | None = None,
) -> list[Path]:
    """Make those stages due, while no task of the day runs; gives the outputs that will be replaced. Raises Busy.

    They stay where they are until then. Where there is none of them, the stages are due already, and nothing is noted.
    """
    lock = settings.data_dir() / "locks" / f"{day}.lock"
    with locks.locked(lock, f"{day}", settings.get("lock_wait_seconds"), on_wait):
        paths = outputs_from(day, stage, last)
        if paths:
            due.ask(wiring.due_folder(), day, range(stage.stage, last.stage + 1))
    return paths


def plan(day: date, stage: type[DayTask], last: type[DayTask] = LoadClickHouse) -> Plan:
    """What would be done with a day, without doing it."""
    if not outputs_from(day, ScrapeBhavcopy) and (reason := _why_nothing(day)):
        return Plan(day, nothing=reason)
    replaced = outputs_from(day, stage, last)
    chain = list(STAGES.items())
    start = stage.stage
    while start and not chain[start - 1][1](date=day).complete():
        start -= 1
    runs = []
    for number in range(start, last.stage + 1):
        name, task = chain[number]
        if not replaced:
            # Nothing is asked for of such a day: what is complete stays.
            if not task(date=day).complete():
                runs.append((name, "output missing"))
        elif number > stage.stage:
            runs.append((name, f"follows {stages.STAGES[number - 1]}"))
        elif number == stage.stage:
            runs.append((name, "asked for"))
        else:
            runs.append((name, "asked for before" if task(date=day).output().file.exists() else "output missing"))
    return Plan(day, tuple(replaced), tuple(runs))


def _why_nothing(day: date) -> str:
    """Why no file of a day is to be had, as far as is known; empty where one is."""
    answer = wiring.archive_answers().get(day)
    if answer is not None and answer.verdict == "closed":
        return f"not there, and {answer.archive} answered 404 on {answer.time[:10]}"
    if answer is None and not sessions.is_session(day):
        return f"not there, and {sessions.describe(day)}"
    if day > sessions.latest_published(datetime.now(UTC), settings.published_at()):
        return "not published yet"
    return ""
