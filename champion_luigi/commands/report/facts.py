"""The report's facts: coverage, the lake files' own counts and the journal's durations, as one plain document.

Rows, rejects and warnings come from the metadata of each lake file, so they match the stored file, whoever wrote it and
whether or not the journal has it. A value that was never recorded is None, never a guess.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from champion_luigi.base import durable, store
from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.base.package import VERSION
from champion_luigi.base.places import Place, at
from champion_luigi.base.stages import STAGES
from champion_luigi.commands.report import dictionary
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.storage import lake
from champion_luigi.tracking import history
from champion_luigi.tracking.record import journal_folder
from champion_luigi.upkeep import coverage

# The rule of rejects whose file is missing or belongs to another run.
UNKNOWN_RULE = "rule not recorded"
# Up to this many days are shown by day, longer ranges by month.
_MOST_DAYS_BY_DAY = 120


def document(dataset: Dataset, start: date | None = None, end: date | None = None) -> dict[str, Any]:
    """The report's content for the sessions from ``start`` to ``end``, both included, as plain values.

    ``status`` equals the output of `champion status --json` for the same range; ``days`` are its sessions, oldest
    first; ``periods`` are sums by day or month; ``dictionary`` is that of `dictionary.entries`. Sizes are in bytes,
    durations in seconds without waiting, times in UTC.
    """
    found = coverage.of_range(dataset, start, end)
    recorded = history.of_range(journal_folder(), found.first, found.last, dataset.name)
    unreadable: list[dict[str, str]] = []
    lake_files = dict(lake.days(settings.lake_dir(), dataset, found.first, found.last + timedelta(days=1)))
    reject_files = {day: Path(entry.path) for day, entry in wiring.files(dataset).days("rejects").items()}
    there = {each.date: at(lake_files[each.date]) for each in found.days if each.date in lake_files}
    contents = store.read_many(list(there.values()))
    days = []
    for day in found.days:
        facts: dict[str, Any] = {"rows": None, "rejected": None, "warnings": None, "bytes": None}
        try:
            if day.date in there:
                place, content = next(contents)
                if isinstance(content, StorageError):
                    raise content
                facts = _facts(dataset, place, content, reject_files.get(day.date))
            elif day.date in reject_files:
                facts["rejected"] = _rejects_by_rule(reject_files[day.date])
        except (StorageError, DamagedFile) as error:
            unreadable.append({"date": day.date.isoformat(), "reason": str(error)})
        known = {"date": day.date.isoformat(), "state": day.state, "reason": day.reason}
        days.append(known | facts | {"seconds": recorded.seconds.get(day.date.isoformat(), {})})
    states = {day["date"]: day["state"] for day in days}
    length = len("2024-01") if len(days) > _MOST_DAYS_BY_DAY else len("2024-01-15")
    # With dates as ISO texts, as in that output.
    status = json.loads(json.dumps(coverage.as_document(found), default=str))
    return {
        "made_at": durable.now(),
        "title": dataset.title,
        "version": VERSION,
        "status": status,
        "days": days,
        "periods": [
            _period(name, list(group)) for name, group in itertools.groupby(days, lambda day: day["date"][:length])
        ],
        "problems": [{**each, "state": states.get(each["date"], "")} for each in reversed(recorded.problems)],
        "unreadable": unreadable,
        "dictionary": dictionary.entries(dataset, days, status["adjustments"]),
    }


def _facts(dataset: Dataset, place: Place, content: bytes, reject_file: Path | None) -> dict[str, Any]:
    """A lake file's own counts and size. Raises StorageError or DamagedFile."""
    metadata = lake.metadata_of(content, place, dataset)
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
        "bytes": len(content),
    }


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _rejects_by_rule(path: Path) -> dict[str, int]:
    rules: Counter[str] = Counter()
    for line in durable.read_whole(path).splitlines():
        try:
            rules[str(json.loads(line)["rule"])] += 1
        except (ValueError, KeyError, TypeError):
            rules[UNKNOWN_RULE] += 1
    return dict(rules)


def _period(name: str, group: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums, and medians of durations, of a day or month. Only days in the lake count, except in ``due``."""
    there = [day for day in group if day["state"] in ("loaded", "lake")]
    rows, sizes = ([day[fact] for day in there if day[fact] is not None] for fact in ("rows", "bytes"))
    seconds = {stage: [day["seconds"][stage] for day in there if stage in day["seconds"]] for stage in STAGES}
    return {
        "name": name,
        "due": sum(1 for day in group if day["state"] != "closed"),
        "loaded": sum(1 for day in group if day["state"] == "loaded"),
        "rows": sum(rows) if rows else None,
        "rows_a_day": round(statistics.fmean(rows)) if rows else None,
        "bytes": sum(sizes) if sizes else None,
        "bytes_a_day": round(statistics.fmean(sizes)) if sizes else None,
        "rejected": _by_rule(day["rejected"] for day in there),
        "warnings": _by_rule(day["warnings"] for day in there),
        "seconds": {stage: statistics.median(values) for stage, values in seconds.items() if values},
    }


def _by_rule(counts: Iterable[Mapping[str, int] | None]) -> dict[str, int] | None:
    """Sums by rule; None if nothing was recorded at all."""
    known = [each for each in counts if each is not None]
    total: Counter[str] = Counter()
    for each in known:
        total.update(each)
    return dict(total) if known else None
