"""Repair exactly the outputs that do not agree: raw payloads, then the lake, then the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import get_args

from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import (
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)
from champion_luigi.storage import tables
from champion_luigi.upkeep import verify
from champion_luigi.upkeep.again import again
from champion_luigi.upkeep.refresh import is_loaded
from champion_luigi.upkeep.verify import ONLY_IN_WAREHOUSE, Difference, Where


def repair(
    dataset: Dataset, differences: Sequence[Difference], on_message: Callable[[str], None] | None = None
) -> tuple[list[Difference], dict[date, str]]:
    """Run the stages of the differing outputs again: raw, then what still differs in the lake, then in the warehouse.

    Returns the remaining differences, and the reasons by date. Each existing output stays until a new one replaces it.
    """
    days = {each.date for each in differences}
    reasons: dict[date, str] = {}
    left = list(differences)
    for where in get_args(Where):
        # Of a day that exists in the warehouse only, a person has to decide.
        affected = sorted({each.date for each in left if each.where == where and each.what != ONLY_IN_WAREHOUSE})
        if affected:
            if on_message:
                others = f" and {len(affected) - 1} more" if affected[1:] else ""
                on_message(f"repairing {affected[0]}{others}")
            reasons |= again(dataset, {day: _stages(dataset, day, where) for day in affected}, on_message=on_message)
            left = verify.of_days(dataset, days)
    still = {each.date for each in left}
    return left, {day: reason for day, reason in sorted(reasons.items()) if day in still}


def _stages(dataset: Dataset, day: date, where: Where) -> tuple[type[DayTask], type[DayTask]]:
    """The first and the last stage that a day needs again."""
    if where == "raw":
        # The later outputs may be right: the next comparison shows it.
        return ScrapeBhavcopy, ScrapeBhavcopy
    if where == "warehouse":
        return LoadClickHouse, LoadClickHouse
    last = LoadClickHouse if is_loaded(dataset, day) else WriteParquet
    source = (ScrapeBhavcopy(date=day, dataset=dataset.name).output().load() or {}).get("sha256")
    # Start after the last table that is intact and was made from the stored payload.
    for before, stage in ((NormalizeBhavcopy, WriteParquet), (ParseBhavcopy, NormalizeBhavcopy)):
        if _source_of(before(date=day, dataset=dataset.name)) == source and source is not None:
            return stage, last
    return ParseBhavcopy, last


def _source_of(task: DayTask) -> str | None:
    """The sha256 of the payload that a task's table was made from; None where the table is absent or damaged."""
    try:
        return tables.read_table(task.output().file)[1].get("source_sha256")
    except (DamagedFile, StorageError):
        return None
