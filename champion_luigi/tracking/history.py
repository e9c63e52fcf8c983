"""The history of dates in the journal: stage durations and problems. `status` and `report` read it from here."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from champion_luigi.base.stages import STAGE_OF
from champion_luigi.datasets import catalog
from champion_luigi.tracking import journal
from champion_luigi.tracking.journal import FAILURES, Event

# A fill records `settled` with the final outcome of a date that it did not complete.
_PROBLEMS = FAILURES | {Event.SETTLED}
# Outcomes that are no failure: the ledger has the days without a file.
_NO_FAILURES = frozenset({"absent", "closed", "unpublished"})


@dataclass
class History:
    """The seconds of the last success by date and stage, and the problems, oldest first."""

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)


def latest_problems(folder: Path, dataset: str = catalog.DEFAULT) -> dict[date, str]:
    """The reason for each date whose last run failed."""
    found: dict[date, str] = {}
    for record in journal.read_events(folder, _PROBLEMS):
        # A record that was edited, or that another version wrote, is skipped.
        with contextlib.suppress(KeyError, TypeError, ValueError):
            day = date.fromisoformat(record["date"])
            if record.get("dataset", catalog.DEFAULT) != dataset:
                continue
            if record.get("outcome") in _NO_FAILURES or record.get("error_type") == "NotPublished":
                found.pop(day, None)
            elif record["event"] in FAILURES:
                found[day] = f"{record.get('task', '')}: {record.get('error', '')}"
            else:
                found[day] = record["reason"]
    return found


def of_range(folder: Path, first: date, last: date, dataset: str = catalog.DEFAULT) -> History:
    """The journal's history of the dates from ``first`` to ``last``. Records that do not fit are skipped."""
    history = History()
    problems: dict[tuple[str, str], dict[str, Any]] = {}
    low, high = first.isoformat(), last.isoformat()
    for record in journal.read_events(folder, _PROBLEMS | {Event.PROCESSING_TIME}):
        day = record.get("date")
        if not isinstance(day, str) or not low <= day <= high or record.get("dataset", catalog.DEFAULT) != dataset:
            continue
        event, task = record["event"], str(record.get("task", ""))
        if event == Event.PROCESSING_TIME:
            if task in STAGE_OF and isinstance(record.get("seconds"), int | float):
                history.seconds.setdefault(day, {})[STAGE_OF[task]] = round(record["seconds"], 4)
            continue
        key = (str(record.get("execution")), day)
        if record.get("outcome") in _NO_FAILURES:
            problems.pop(key, None)
        elif event in FAILURES or key not in problems:
            # Move it to the end: an execution's problem has the time of its latest record.
            problems.pop(key, None)
            text, kind = str(record.get("error", record.get("reason", ""))), record.get("error_type")
            reason = f"{kind}: {text}" if kind else text
            problems[key] = {"date": day, "task": task, "time": str(record.get("time", "")), "reason": reason}
    history.problems = list(problems.values())
    return history
