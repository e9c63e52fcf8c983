"""The state of each session: loaded in the warehouse, in the lake only, failed, absent, missing or closed.

Read from folder listings, markers and the journal. The embedded warehouse is not opened; a server's ledger
of loads is read once. Thirty years take less than a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import luigi

from champion_luigi.base.dates import range_of
from champion_luigi.base.errors import SettingsError
from champion_luigi.base.stages import STAGES
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import adjust_tasks, complete
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.storage import due, lake
from champion_luigi.tracking import history, journal
from champion_luigi.tracking.record import journal_folder

State = Literal["loaded", "lake", "failed", "absent", "missing", "closed"]

_DAYS_BACK = 100


@dataclass(frozen=True)
class Day:
    """One session. ``rows`` counts its rows in the warehouse; ``reason`` explains why there are none."""

    date: date
    state: State
    rows: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Coverage:
    """A data set's sessions from a first to a last date, both included, oldest first.

    ``latest_due`` is the last session of the range.
    """

    dataset: str
    first: date
    last: date
    days: tuple[Day, ...]
    latest_due: date
    # The absent sessions whose file no known archive has.
    lost: frozenset[date]

    def of(self, *states: State) -> list[Day]:
        """The sessions in one of these states."""
        return [day for day in self.days if day.state in states]


def status(dataset: str = catalog.DEFAULT, start: date | str | None = None, end: date | str | None = None) -> Coverage:
    """The state of each session of a data set, as `champion status` has it.

        >>> from champion_luigi import status
        >>> [day.date for day in status(start="2024-01-01", end="2024-01-31").of("missing", "failed")]

    ``start`` and ``end`` are dates or ISO texts, both included; by default, those of `of_range`. Raises SettingsError.
    """
    return of_range(catalog.dataset_of(dataset), *range_of(start, end))


def of_range(dataset: Dataset, start: date | None = None, end: date | None = None) -> Coverage:
    """The coverage from ``start`` to ``end``, both included.

    The default range starts with CHAMPION_FIRST_DATE, or else with the first day that was fetched or is absent, or 100
    days back if there is none, and ends with the latest session that should be published by now. Raises SettingsError
    if the range ends before it begins.
    """
    expected = wiring.expectation(dataset)
    latest = expected.latest
    last = min(end or latest, latest)
    stop = last + timedelta(days=1)
    in_lake = dict(lake.days(settings.lake_dir(), dataset, start or date.min, stop))
    absent = expected.absent
    first = start or settings.first_date(dataset)
    if first is None:
        known = [day for day in (*in_lake, *absent, *wiring.files(dataset).days("raw", stop=stop)) if day <= last]
        first = min(known, default=last - timedelta(days=_DAYS_BACK))
    if first > last:
        begins = f"--start {first}" if start else f"CHAMPION_FIRST_DATE {first}"
        ends = f"--end {end}" if end == last else f"the latest session that should be published by now, {last}"
        raise SettingsError(f"{begins} is after {ends}")
    loaded = complete.loaded_rows(dataset, first, stop, in_lake)
    closed = expected.closed
    due = sorted(expected.days(first, stop, recheck_closed=True) | {day for day in in_lake if day >= first})
    some_lack = any(day not in loaded and day not in in_lake and day not in closed for day in due)
    problems = history.latest_problems(journal_folder(), dataset.name) if some_lack else {}

    def day_of(day: date) -> Day:
        if day in loaded:
            return Day(day, "loaded", loaded[day])
        if day in in_lake:
            return Day(day, "lake", reason=problems.get(day, ""))
        if day in closed:
            return Day(day, "closed", reason=expected.of(day).why)
        if day in problems:
            return Day(day, "failed", reason=problems[day])
        if day in absent:
            return Day(day, "absent", reason=expected.of(day).why)
        return Day(day, "missing")

    days = tuple(day_of(day) for day in due)
    latest_due = max((day.date for day in days if day.state != "closed"), default=last)
    return Coverage(dataset.name, first, last, days, latest_due, expected.lost)


def as_document(found: Coverage) -> dict[str, Any]:
    """The coverage as a JSON document: dates are ISO texts, counts are days, except rows and unsent records.

    ``adjustments`` is that of `adjust_tasks.state`.
    """
    is_tracked = settings.tracking_is_on()
    loaded = found.of("loaded")
    due = [day.date for day in found.days if day.state != "closed"]
    latest = max((day.date for day in loaded), default=None)
    return {
        **catalog.named(found.dataset),
        "start": found.first,
        "end": found.last,
        "due": len(due),
        "loaded": len(loaded),
        "lake_only": _named(found.of("lake")),
        "failed": _named(found.of("failed")),
        "absent": [{**each, "lost": each["date"] in found.lost} for each in _named(found.of("absent"))],
        "missing": [day.date for day in found.of("missing")],
        "closed": _named(found.of("closed")),
        "rows": sum(day.rows for day in loaded),
        "latest_due": found.latest_due,
        "latest_loaded": latest,
        "sessions_late": sum(1 for day in due if latest is None or day > latest),
        "unsent_records": journal.count_undelivered(journal_folder()) if is_tracked else 0,
        "adjustments": adjust_tasks.state() if catalog.DATASETS[found.dataset].is_for_adjustments else None,
        "warehouse": wiring.warehouse_place().words,
        "lake": str(settings.lake_dir()),
        "archive": wiring.archive_name(),
        "tracking": settings.without_secrets(settings.tracking_uri()) if is_tracked else "off",
    }


def _named(days: list[Day]) -> list[dict[str, Any]]:
    return [{"date": day.date, "reason": day.reason} for day in days]


def reasons(dataset: Dataset, of: type[luigi.Task], days: list[date]) -> dict[date, str]:
    """The reason why each of these days is incomplete."""
    if not days:
        return {}
    first, stop = min(days), max(days) + timedelta(days=1)
    in_lake = {day for day, _ in lake.days(settings.lake_dir(), dataset, first, stop)}
    again = due.first_stages(wiring.files(dataset).due, first, stop)
    expected = wiring.expectation(dataset)
    problems = history.latest_problems(journal_folder(), dataset.name)
    tasks = [LoadClickHouse(date=day, dataset=dataset.name) for day in days if day in in_lake]

    def reason(day: date) -> str:
        if day in again:
            return f"requested again, from {STAGES[again[day]]}"
        failed = f"failed before: {problems[day]}" if day in problems else ""
        if of is LoadClickHouse and day in in_lake:
            return "; ".join(filter(None, [f"in the lake, {_why_not_loaded(dataset, day)}", failed]))
        if day in expected.closed:
            return "closed before, and requested again (--recheck-closed)"
        if day in expected.absent:
            return f"absent before, and requested again: {expected.of(day).why}"
        return failed or "missing"

    LoadClickHouse.look(tasks)
    try:
        return {day: reason(day) for day in days}
    finally:
        LoadClickHouse.forget(tasks)


def _why_not_loaded(dataset: Dataset, day: date) -> str:
    marker = LoadClickHouse(date=day, dataset=dataset.name).output()
    if marker.rows() is not None:
        return "and changed since it was loaded"
    document = marker.load()
    if document is None:
        elsewhere = wiring.files(dataset).markers_anywhere(day)
        return "and loaded into another warehouse only" if elsewhere else "not loaded"
    if document.get("warehouse") != marker.warehouse:
        return "and its marker belongs to another warehouse"
    return "and what was loaded is not in the warehouse any more"
