"""What is there, session by session: in the warehouse, in the lake only, failed, missing or closed.

Made from listings, markers and the journal, without opening the warehouse: thirty years take less than a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.pipeline import complete
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.tracking import record as recording

State = Literal["loaded", "lake", "failed", "missing", "closed"]

# Records that end a date's run without success; `settled` is a fill's own word on it.
_PROBLEMS = tuple(
    f'"event": "{event}"'.encode() for event in ("failure", "process_failure", "timeout", "broken_task", "settled")
)
_DAYS_BACK = 100


@dataclass(frozen=True)
class Day:
    """One session. ``rows`` are those in the warehouse; ``reason`` says why it failed or is closed."""

    date: date
    state: State
    rows: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Coverage:
    """The sessions from a first to a last date, both included, oldest first."""

    first: date
    last: date
    days: tuple[Day, ...]
    latest_due: date

    def count(self, state: State) -> int:
        """How many sessions are in a state."""
        return sum(1 for day in self.days if day.state == state)

    def of(self, *states: State) -> list[Day]:
        """The sessions that are in one of these states."""
        return [day for day in self.days if day.state in states]

    @property
    def due(self) -> int:
        """How many sessions should be there: all but those that the archive turned out to have no file for."""
        return sum(1 for day in self.days if day.state != "closed")

    @property
    def rows(self) -> int:
        """Rows in the warehouse."""
        return sum(day.rows for day in self.days)

    @property
    def latest_loaded(self) -> date | None:
        """The last session that is in the warehouse."""
        return max((day.date for day in self.days if day.state == "loaded"), default=None)

    @property
    def sessions_late(self) -> int:
        """How many sessions that are due have come after the latest loaded one."""
        latest = self.latest_loaded
        return sum(1 for day in self.days if day.state != "closed" and (latest is None or day.date > latest))


def of_range(start: date | None = None, end: date | None = None) -> Coverage:
    """The coverage from ``start`` to ``end``, both included.

    By default from the first day that the lake has to the latest session that should be published by now; with an empty
    lake, of the last 100 days.
    """
    latest = sessions.latest_published(datetime.now(UTC), settings.published_at())
    last = min(end, latest) if end else latest
    in_lake = {day for day, _ in lake.days(settings.lake_dir(), EQUITY, start or date.min, last + timedelta(days=1))}
    first = start or min(in_lake, default=last - timedelta(days=_DAYS_BACK))
    stop = last + timedelta(days=1)
    loaded = complete.loaded_rows(first, stop)
    answers = wiring.archive_answers()
    closed = {day for day, answer in answers.items() if answer.verdict == "closed"}
    extra = {day for day, answer in answers.items() if answer.verdict == "session" and first <= day < stop}
    due = sorted({*sessions.sessions(first, stop), *extra, *(day for day in in_lake if day >= first)})
    pending = [day for day in due if day not in loaded]
    problems = latest_problems() if any(day not in in_lake and day not in closed for day in pending) else {}

    def day_of(day: date) -> Day:
        if day in loaded:
            return Day(day, "loaded", loaded[day])
        if day in in_lake:
            return Day(day, "lake", reason=problems.get(day, ""))
        if day in closed:
            return Day(day, "closed", reason=f"{answers[day].archive} answered 404 on {answers[day].time[:10]}")
        if day in problems:
            return Day(day, "failed", reason=problems[day])
        return Day(day, "missing")

    return Coverage(first, last, tuple(day_of(day) for day in due), latest)


def latest_problems() -> dict[date, str]:
    """What the last run of each date that did not end well said, by the journal."""
    found: dict[date, str] = {}
    for record in _problem_records():
        try:
            day = date.fromisoformat(record["date"])
            if record["event"] != "settled":
                found[day] = f"{record.get('task', '')}: {record.get('error', '')}"
            elif record["outcome"] == "unpublished":
                found.pop(day, None)  # it is merely too early
            else:
                found[day] = record["reason"]
        except (KeyError, TypeError, ValueError):
            continue  # edited, or of another version
    return found


def _problem_records() -> Iterator[Mapping[str, Any]]:
    for path in sorted(recording.journal_folder().glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                # Reading the few that matter as JSON, of a line for each step of each day.
                if any(event in line for event in _PROBLEMS):
                    try:
                        record = json.loads(line)
                    except ValueError:
                        continue
                    if record.get("date"):
                        yield record


def unsent_records() -> int:
    """How many records of the journal have not reached MLflow; 0 where tracking is off."""
    return journal.count_undelivered(recording.journal_folder()) if settings.tracking_is_on() else 0
