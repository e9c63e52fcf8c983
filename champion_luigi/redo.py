"""Making a stage of a day, and what follows it, due again: its outputs are taken away, the last one first."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from champion_luigi import files, settings
from champion_luigi.tasks import (
    BhavcopyTask,
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)

# By the names that people type.
STAGES: dict[str, type[BhavcopyTask]] = {
    "scrape": ScrapeBhavcopy,
    "parse": ParseBhavcopy,
    "normalize": NormalizeBhavcopy,
    "write": WriteParquet,
    "load": LoadClickHouse,
}


def outputs_from(day: date, stage: type[BhavcopyTask]) -> list[Path]:
    """The outputs that are there of a stage and of those that follow it, in the order of the stages.

    The payload itself is not among them: a receipt that is gone makes it due to be fetched again.
    """
    paths = [task(date=day).output().file for task in STAGES.values() if task.stage >= stage.stage]
    return [path for path in paths if path.exists()]


def make_due(day: date, stage: type[BhavcopyTask]) -> list[Path]:
    """Take those outputs away, while no task of the day runs; gives what was taken. Raises Busy.

    The warehouse keeps its rows until the day is loaded again, which replaces them at once.
    """
    lock = settings.data_dir() / "locks" / f"{day}.lock"
    with files.locked(lock, f"{day}", settings.get("lock_wait_seconds")):
        paths = outputs_from(day, stage)
        # From the last: killed in between, what is left of the chain is whole.
        for path in reversed(paths):
            path.unlink(missing_ok=True)
    return paths
