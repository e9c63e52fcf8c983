"""The complete days of a range, from one listing; checking each task would cost several stats a day."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date

import luigi

from champion_luigi.base.places import Listed, signature
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import loaded
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse, NormalizeBhavcopy, ParseBhavcopy, ScrapeBhavcopy, WriteParquet
from champion_luigi.storage import due, lake

# The kind of file that each of the first stages writes.
_KINDS: dict[type[luigi.Task], str] = {ScrapeBhavcopy: "raw", ParseBhavcopy: "parsed", NormalizeBhavcopy: "normalized"}


def complete_days(of: type[luigi.Task], dataset: Dataset, start: date, stop: date) -> set[date] | None:
    """The complete days from ``start`` to ``stop`` (exclusive); None for a task that is not one of the five."""
    if of is LoadClickHouse:
        return set(loaded_rows(dataset, start, stop, is_before_load=True))
    if of is WriteParquet:
        in_lake = {day for day, _ in lake.days(settings.lake_dir(), dataset, start, stop)}
        return in_lake - _due(WriteParquet, dataset, start, stop)
    if kind := _KINDS.get(of):
        return set(wiring.files(dataset).days(kind, start, stop)) - _due(of, dataset, start, stop)
    return None


def made_days(of: type[DayTask], dataset: Dataset, days: Collection[date]) -> set[date]:
    """Those of some days whose task has its output and is not due again; a server's ledger is read once for all."""
    tasks = [of(date=day, dataset=dataset.name) for day in days]
    of.look(tasks)
    try:
        return {task.date for task in tasks if task.is_made()}
    finally:
        of.forget(tasks)


def loaded_rows(
    dataset: Dataset,
    start: date,
    stop: date,
    lake_files: Mapping[date, Listed] | None = None,
    *,
    is_before_load: bool = False,
) -> dict[date, int]:
    """The rows of each day that is loaded into the configured warehouse from the current lake file.

    By a server's ledger, or by markers that match the embedded engine and the lake file. ``lake_files`` are those of
    the range, if the caller has listed them. Before a load, a server that does not answer is left for the load to name.
    """
    place = wiring.warehouse_place()
    if lake_files is None:
        lake_files = dict(lake.days(settings.lake_dir(), dataset, start, stop))
    if place.host:
        due_again = _due(LoadClickHouse, dataset, start, stop)
        in_ledger = loaded.rows(dataset, start, stop, lake_files, is_before_load=is_before_load)
        return {day: rows for day, rows in in_ledger.items() if day not in due_again}
    warehouse = place.identity(dataset)
    markers = wiring.files(dataset).days(f"loaded/{place.slug}", start, stop)
    found = {}
    for day in (markers.keys() & lake_files.keys()) - _due(LoadClickHouse, dataset, start, stop):
        if (rows := _rows_of(dataset, day, markers[day].path, lake_files[day], warehouse)) is not None:
            found[day] = rows
    return found


def _due(of: type[luigi.Task], dataset: Dataset, start: date, stop: date) -> set[date]:
    """The days for which this stage or an earlier one was requested again."""
    assert issubclass(of, DayTask)
    first_stages = due.first_stages(wiring.files(dataset).due, start, stop)
    return {day for day, first in first_stages.items() if first <= of.stage}


def _rows_of(dataset: Dataset, day: date, marker: str, lake_file: Listed, warehouse: dict[str, object]) -> int | None:
    """The rows that the marker records; None if the marker does not count."""
    rows = 0
    try:
        with open(marker, "rb") as file:
            document = json.loads(file.read())
        rows = int(document["rows"])
        if (
            document["warehouse"] == warehouse
            and document["schema_version"] <= dataset.version
            and document["lake_stat"] == signature(lake_file)
        ):
            return rows
    except (OSError, ValueError, KeyError, TypeError):
        pass
    # In any less clear case the task itself decides, by comparing the content.
    return rows if LoadClickHouse(date=day, dataset=dataset.name).is_made() else None
