"""Which days of a range are complete: one listing for a range, where asking each task would cost some stats each."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path

import luigi

from champion_luigi.config import settings, wiring
from champion_luigi.datasets import schema
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import (
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)
from champion_luigi.storage import due, lake

_NAME = re.compile(r"bhavcopy_(\d{4})(\d{2})(\d{2})\.(?:json|arrows)")


def complete_days(of: type[luigi.Task], start: date, stop: date) -> set[date] | None:
    """The complete days from ``start`` to ``stop`` (exclusive); None for a task that is not one of the five."""
    if of is LoadClickHouse:
        return set(loaded_rows(start, stop))
    if of is WriteParquet:
        return {day for day, _ in lake.days(settings.lake_dir(), EQUITY, start, stop)} - _due(WriteParquet, start, stop)
    for stage in (ScrapeBhavcopy, ParseBhavcopy, NormalizeBhavcopy):
        if of is stage:
            folder = stage(date=start).output().file.parent.parent
            return set(_files(folder, start, stop)) - _due(stage, start, stop)
    return None


def loaded_rows(start: date, stop: date) -> dict[date, int]:
    """The rows of each day whose marker tells of the configured warehouse and of the lake file as it is."""
    warehouse = wiring.warehouse_place().identity(EQUITY)
    lake_files = dict(lake.days(settings.lake_dir(), EQUITY, start, stop))
    markers = _files(LoadClickHouse(date=start).output().file.parent.parent, start, stop)
    found = {}
    for day in (markers.keys() & lake_files.keys()) - _due(LoadClickHouse, start, stop):
        if (rows := _rows_of(day, markers[day], lake_files[day], warehouse)) is not None:
            found[day] = rows
    return found


def _due(of: type[DayTask], start: date, stop: date) -> set[date]:
    """The days of which this stage, or one before it, is asked for again."""
    return {day for day, first in due.first_stages(wiring.due_folder(), start, stop).items() if first <= of.stage}


def _rows_of(day: date, marker: str, lake_file: os.DirEntry[str], warehouse: dict[str, object]) -> int | None:
    """The rows that the marker tells of; None where it does not count."""
    rows = 0
    try:
        with open(marker, "rb") as file:
            document = json.loads(file.read())
        rows = int(document["rows"])
        status = lake_file.stat()
        if (
            document["warehouse"] == warehouse
            and document["schema_version"] == schema.VERSION
            and document["lake_stat"] == [status.st_size, status.st_mtime_ns]
        ):
            return rows
    except (OSError, ValueError, KeyError, TypeError):
        pass
    # Whatever is not plainly so is asked of the task itself, which compares the content.
    return rows if LoadClickHouse(date=day).complete() else None


def _files(folder: Path, start: date, stop: date) -> dict[date, str]:
    """The finished files ``bhavcopy_YYYYMMDD`` in a folder's folders by year."""
    found = {}
    for year in range(start.year, stop.year + 1):
        try:
            with os.scandir(folder / str(year)) as entries:
                for entry in entries:
                    if match := _NAME.fullmatch(entry.name):
                        day = date(int(match[1]), int(match[2]), int(match[3]))
                        if start <= day < stop:
                            found[day] = entry.path
        except FileNotFoundError:
            continue
    return found
