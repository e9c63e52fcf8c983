"""Stages requested again: one note a day under ``DATA_DIR/due``, until its stages are done.

A note makes its stages due. Every output stays in place until a whole new one replaces it, so no reader ever sees the
day vanish. After a kill at any moment the note lists what is still to do, and the next run of any command does it. To
cancel the request, delete the note.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from champion_luigi.base import durable
from champion_luigi.base.stages import STAGES

logger = logging.getLogger("champion_luigi")

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.json")


def note_file(folder: Path, day: date) -> Path:
    """The path of a day's note, which need not exist."""
    return folder / f"{day}.json"


def stages(folder: Path, day: date) -> list[int]:
    """The stages of a day that are requested again and not done, ascending; usually none."""
    path = note_file(folder, day)
    try:
        return sorted(STAGES.index(name) for name in json.loads(path.read_bytes())["stages"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is unreadable and treated as absent: %s", path, error)
        return []


def first_stages(folder: Path, start: date, stop: date) -> dict[date, int]:
    """The first requested stage of each day from ``start`` to ``stop`` (exclusive) that has one."""
    try:
        days = [day for name in os.listdir(folder) if (day := _date_of(name)) and start <= day < stop]
    except FileNotFoundError:
        return {}
    return {day: asked[0] for day in days if (asked := stages(folder, day))}


def ask(folder: Path, day: date, asked: Iterable[int]) -> None:
    """Add these stages to the day's note. The caller holds the day's lock. Raises StorageError."""
    _write(folder, day, sorted({*asked, *stages(folder, day)}))


def done(folder: Path, day: date, stage: int) -> None:
    """Clear a stage, unless an earlier one is still due. The caller holds the day's lock. Raises StorageError."""
    left = stages(folder, day)
    # An earlier stage can be requested while another process is between two tasks of the day.
    if left and left[0] == stage:
        _write(folder, day, left[1:])


def _write(folder: Path, day: date, left: list[int]) -> None:
    path = note_file(folder, day)
    if left:
        note = {"date": day, "stages": [STAGES[stage] for stage in left], "noted_at": durable.now()}
        durable.write_whole(path, durable.json_bytes(note))
    else:
        path.unlink(missing_ok=True)


def _date_of(name: str) -> date | None:
    match = _NAME.fullmatch(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None
