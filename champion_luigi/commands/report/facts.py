"""What the report tells: coverage, the lake files' own counts and the journal's durations, as one plain document.

Rows, rejects and warnings are those that each lake file says of itself, so they are true of what is there, whoever
wrote it, and whether or not it was journalled. What was never recorded is None, and never a guess.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.commands import status
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.tracking import record as recording
from champion_luigi.tracking.runs import STAGES
from champion_luigi.upkeep import coverage

# The events that end a task's run without success, and what a fill itself says of a date.
_FAILURES = frozenset({"failure", "process_failure", "timeout", "broken_task"})
_SETTLED_WELL = frozenset({"closed", "unpublished"})
# Rejects whose rule is not known, because their file is gone or is of another run.
UNKNOWN_RULE = "rule not recorded"
# Up to this many days are told day by day, more of them month by month.
_MOST_DAYS_BY_DAY = 120

Problem = dict[str, Any]


@dataclass
class _Told:
    """What the journal tells: seconds of the last success by date and stage, and what went wrong, oldest first."""

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def document(start: date | None = None, end: date | None = None) -> dict[str, Any]:
    """All that the report shows of the sessions from ``start`` to ``end``, both included, as plain values.

    ``status`` is what `champion status --json` gives for the same range; ``days`` are its sessions, oldest first;
    ``periods`` sums them up by day or month. Sizes are bytes, durations seconds without waiting, times UTC.
    """
    found = coverage.of_range(start, end)
    told = _from_journal(found.first, found.last)
    unreadable: list[dict[str, str]] = []
    lake_files = dict(lake.days(settings.lake_dir(), EQUITY, found.first, found.last + timedelta(days=1)))
    reject_files = _reject_files()
    days = []
    for day in found.days:
        facts: dict[str, Any] = {"rows": None, "rejected": None, "warnings": None, "bytes": None}
        try:
            if day.date in lake_files:
                facts = _facts(Path(lake_files[day.date].path), reject_files.get(day.date))
            elif day.date in reject_files:
                facts["rejected"] = _rejects_by_rule(reject_files[day.date])
        except (StorageError, DamagedFile) as error:
            unreadable.append({"date": day.date.isoformat(), "reason": str(error)})
        known = {"date": day.date.isoformat(), "state": day.state, "reason": day.reason}
        days.append(known | facts | {"seconds": told.seconds.get(day.date.isoformat(), {})})
    states = {day["date"]: day["state"] for day in days}
    return {
        "made_at": durable.now(),
        "version": recording.package_version(),
        # As they are written there: dates as ISO texts.
        "status": json.loads(json.dumps(status.as_document(found), default=str)),
        "days": days,
        "periods": _periods(days),
        "problems": [{**each, "state": states.get(each["date"], "")} for each in reversed(told.problems)],
        "unreadable": unreadable,
    }


def _facts(path: Path, reject_file: Path | None) -> dict[str, Any]:
    """What a lake file says of itself. Raises StorageError or DamagedFile."""
    metadata = lake.read_metadata(path, EQUITY)
    rejected = _whole(metadata.get("rejected_rows"))
    by_rule = None
    if rejected is not None:
        by_rule = _rejects_by_rule(reject_file) if rejected and reject_file else {}
        if sum(by_rule.values()) != rejected:
            by_rule = {UNKNOWN_RULE: rejected}
    try:
        warnings = {str(rule): int(count) for rule, count in json.loads(metadata.get("warnings", "")).items()}
    except (ValueError, TypeError, AttributeError):
        warnings = None
    return {
        "rows": _whole(metadata.get("rows")),
        "rejected": by_rule,
        "warnings": warnings,
        "bytes": path.stat().st_size,
    }


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _reject_files() -> dict[date, Path]:
    """The files of rejected rows, by date."""
    found = {}
    for path in wiring.rejects_file(date.max).parent.parent.glob("*/bhavcopy_????????.jsonl"):
        digits = path.stem.removeprefix("bhavcopy_")
        try:
            day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:
            continue
        if path == wiring.rejects_file(day):
            found[day] = path
    return found


def _rejects_by_rule(path: Path) -> dict[str, int]:
    rules: Counter[str] = Counter()
    for line in durable.read_whole(path).splitlines():
        try:
            rules[str(json.loads(line)["rule"])] += 1
        except (ValueError, KeyError, TypeError):
            rules[UNKNOWN_RULE] += 1
    return dict(rules)


def _from_journal(first: date, last: date) -> _Told:
    """What the journal has of dates from ``first`` to ``last``. Records that cannot be read as such are passed over."""
    told = _Told()
    problems: dict[tuple[str, str], Problem] = {}
    low, high = first.isoformat(), last.isoformat()
    for record in journal.read(recording.journal_folder()):
        day = record.get("date")
        if not isinstance(day, str) or not low <= day <= high:
            continue
        event, task = record.get("event"), str(record.get("task", ""))
        if event == "processing_time" and task in STAGES and isinstance(record.get("seconds"), int | float):
            told.seconds.setdefault(day, {})[STAGES[task]] = round(record["seconds"], 4)
        elif event in _FAILURES or event == "settled":
            key = (str(record.get("execution")), day)
            if record.get("outcome") in _SETTLED_WELL:
                problems.pop(key, None)  # no session, or merely too early
            elif event != "settled" or key not in problems:
                # Again at the end: the latest record of an execution tells when.
                problems.pop(key, None)
                problems[key] = _problem(record, day, task)
    told.problems = list(problems.values())
    return told


def _problem(record: Mapping[str, Any], day: str, task: str) -> Problem:
    text = str(record.get("error", record.get("reason", "")))
    kind = record.get("error_type")
    return {
        "date": day,
        "task": task,
        "time": str(record.get("time", "")),
        "reason": f"{kind}: {text}" if kind else text,
    }


def _periods(days: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums, and medians of durations, by day or by month. Only days that are in the lake count, but for ``due``."""
    by_month = len(days) > _MOST_DAYS_BY_DAY
    groups: dict[str, list[dict[str, Any]]] = {}
    for day in days:
        groups.setdefault(day["date"][:7] if by_month else day["date"], []).append(day)
    return [_period(name, group) for name, group in groups.items()]


def _period(name: str, group: list[dict[str, Any]]) -> dict[str, Any]:
    there = [day for day in group if day["state"] in ("loaded", "lake")]
    seconds = {stage: [day["seconds"][stage] for day in there if stage in day["seconds"]] for stage in STAGES.values()}
    return {
        "name": name,
        "due": sum(1 for day in group if day["state"] != "closed"),
        "loaded": sum(1 for day in group if day["state"] == "loaded"),
        "rows": _sum(day["rows"] for day in there),
        "rows_a_day": _mean([day["rows"] for day in there]),
        "bytes": _sum(day["bytes"] for day in there),
        "bytes_a_day": _mean([day["bytes"] for day in there]),
        "rejected": _by_rule(day["rejected"] for day in there),
        "warnings": _by_rule(day["warnings"] for day in there),
        "seconds": {stage: statistics.median(values) for stage, values in seconds.items() if values},
    }


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _mean(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known)) if known else None


def _by_rule(counts: Iterable[Mapping[str, int] | None]) -> dict[str, int] | None:
    """Sums by rule; None where nothing was recorded at all."""
    known = [each for each in counts if each is not None]
    total: Counter[str] = Counter()
    for each in known:
        total.update(each)
    return dict(total) if known else None
