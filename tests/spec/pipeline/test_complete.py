"""One listing for a range says what asking each day's task would say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import luigi
import pytest

from champion_luigi.base import durable
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.complete import complete_days
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import (
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)
from champion_luigi.storage import lake
from champion_luigi.warehouse import opened

TASKS = [ScrapeBhavcopy, ParseBhavcopy, NormalizeBhavcopy, WriteParquet, LoadClickHouse]
START, STOP = date(2023, 12, 20), date(2024, 1, 10)
DAYS = [START + timedelta(days=number) for number in range((STOP - START).days)]


@pytest.fixture(autouse=True)
def _embedded_warehouse(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "warehouse").mkdir()
    durable.write_whole(wiring.warehouse_place()._id_file, b"the-first-one")
    yield
    opened.close_shared()


def complete(of: type[DayTask], *days: date) -> None:
    """Leave what makes these tasks complete, and nothing else."""
    for day in days:
        if of is LoadClickHouse:
            mark(day)
        else:
            durable.write_whole(of(date=day).output().file, b"content of " + str(day).encode())


def mark(day: date, **changes: Any) -> Path:
    """A lake file and the marker of its load, with these changes; the marker's path."""
    lake_file = lake.partition(settings.lake_dir(), day, EQUITY)
    durable.write_whole(lake_file, b"rows of " + str(day).encode())
    status = lake_file.stat()
    marker = LoadClickHouse(date=day).output()
    marker.dump(
        {
            "warehouse": wiring.warehouse_place().identity(EQUITY),
            "lake_sha256": durable.sha256(lake_file.read_bytes()),
            "lake_stat": [status.st_size, status.st_mtime_ns],
            "schema_version": EQUITY.version,
        }
        | changes
    )
    return marker.file


def asked_one_by_one(of: type[DayTask], start: date = START, stop: date = STOP) -> set[date]:
    """The complete days as the tasks themselves say it."""
    days = (start + timedelta(days=number) for number in range((stop - start).days))
    return {day for day in days if of(date=day).is_made()}


@pytest.mark.parametrize("of", TASKS)
def test_the_complete_days_are_listed(of: type[DayTask]) -> None:
    """Of each of the five tasks, through the turn of a year."""
    done = {date(2023, 12, 20), date(2023, 12, 29), date(2024, 1, 1), date(2024, 1, 9)}
    complete(of, *done)
    assert complete_days(of, EQUITY, START, STOP) == done == asked_one_by_one(of)


@pytest.mark.parametrize("of", TASKS)
def test_the_first_date_is_listed_and_the_last_is_not(of: type[DayTask]) -> None:
    """``stop`` is the date after the last one, on the first of a year too."""
    complete(of, date(2023, 12, 29), date(2023, 12, 30), date(2023, 12, 31), date(2024, 1, 1))
    assert complete_days(of, EQUITY, date(2023, 12, 30), date(2024, 1, 1)) == {date(2023, 12, 30), date(2023, 12, 31)}


@pytest.mark.parametrize("of", TASKS)
def test_nothing_is_listed_where_nothing_was_written(of: type[DayTask]) -> None:
    """An empty data folder, and no folder made by looking."""
    assert complete_days(of, EQUITY, START, STOP) == set()
    assert sorted(path.name for path in settings.data_dir().iterdir()) == ["warehouse"]


@pytest.mark.parametrize("of", TASKS)
def test_what_a_killed_run_left_behind_is_not_listed(of: type[DayTask]) -> None:
    """Nor is any other file that happens to be there."""
    complete(of, *DAYS[:2])
    output = of(date=DAYS[1]).output().file
    output.rename(output.with_name(f"{durable.LEFTOVER_PREFIX}{output.name}-1-a"))
    output.with_name("bhavcopy_20231221.txt").touch()
    (output.parent / "notes").mkdir()
    assert complete_days(of, EQUITY, START, STOP) == {DAYS[0]}


def test_a_task_that_is_none_of_the_five_is_not_listed() -> None:
    """The caller asks such tasks one by one."""

    class Other(luigi.Task):
        date = luigi.DateParameter()

    assert complete_days(Other, EQUITY, START, STOP) is None


def test_a_lake_elsewhere_is_listed_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As CHAMPION_LAKE_DIR says."""
    complete(WriteParquet, DAYS[0])
    monkeypatch.setenv("CHAMPION_LAKE_DIR", str(tmp_path / "elsewhere"))
    complete(WriteParquet, DAYS[1])
    assert complete_days(WriteParquet, EQUITY, START, STOP) == {DAYS[1]}


def test_a_load_into_another_database_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each warehouse has its own days."""
    complete(LoadClickHouse, DAYS[0])
    monkeypatch.setenv("CLICKHOUSE_DATABASE", "other")
    complete(LoadClickHouse, DAYS[1])
    assert complete_days(LoadClickHouse, EQUITY, START, STOP) == {DAYS[1]} == asked_one_by_one(LoadClickHouse)


def test_loads_into_a_warehouse_that_was_made_anew_are_not_listed() -> None:
    """The folder has the same name, and none of the rows."""
    complete(LoadClickHouse, *DAYS)
    durable.write_whole(wiring.warehouse_place()._id_file, b"the-second-one")
    assert complete_days(LoadClickHouse, EQUITY, START, STOP) == set()


def rewrite(day: date) -> None:
    durable.write_whole(lake.partition(settings.lake_dir(), day, EQUITY), b"other rows")


def remove(day: date) -> None:
    lake.partition(settings.lake_dir(), day, EQUITY).unlink()


def damage_marker(day: date) -> None:
    LoadClickHouse(date=day).output().file.write_bytes(b'{"warehouse": ')


def empty_marker(day: date) -> None:
    LoadClickHouse(date=day).output().file.write_bytes(b"[]")


def shorten_marker(day: date) -> None:
    marker = LoadClickHouse(date=day).output().file
    document = json.loads(marker.read_bytes())
    del document["warehouse"]
    marker.write_bytes(durable.json_bytes(document))


@pytest.mark.parametrize("spoil", [rewrite, remove, damage_marker, empty_marker, shorten_marker])
def test_a_load_that_is_due_again_is_not_listed(spoil: Callable[[date], None]) -> None:
    """The lake file is another one or gone, or the marker cannot be read; the other days stand."""
    complete(LoadClickHouse, *DAYS[:3])
    spoil(DAYS[1])
    assert complete_days(LoadClickHouse, EQUITY, START, STOP) == {DAYS[0], DAYS[2]} == asked_one_by_one(LoadClickHouse)


def test_a_copied_lake_is_listed_as_loaded() -> None:
    """Other times and the same content: nothing is due."""
    complete(LoadClickHouse, DAYS[0])
    os.utime(lake.partition(settings.lake_dir(), DAYS[0], EQUITY), (1, 1))
    assert complete_days(LoadClickHouse, EQUITY, START, STOP) == {DAYS[0]} == asked_one_by_one(LoadClickHouse)
