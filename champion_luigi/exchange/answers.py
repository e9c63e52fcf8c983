"""The ledger: the archive's answers for dates on which the calendar is wrong or silent.

One JSON line per answer under ``DATA_DIR``, never rewritten; the last line for a date and an archive counts.
An answer holds only for the archive that gave it: another archive may have the file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from champion_luigi.base import durable

Verdict = Literal["closed", "session"]


@dataclass(frozen=True)
class Answer:
    """An archive's answer for a date, its time (UTC), and the URL requested."""

    day: date
    verdict: Verdict
    archive: str
    asked: str
    time: str


def record(path: Path, day: date, verdict: Verdict, archive: str, asked: str) -> None:
    """Append an answer, durably. Raises StorageError if it cannot be written."""
    entry = {"date": day.isoformat(), "verdict": verdict, "archive": archive, "asked": asked, "time": durable.now()}
    todo = "Check free space and permissions of the disk; the next run requests the file again."
    with (
        durable.naming(path, "the archive's answer could not be recorded", todo, day),
        durable.open_in_folder(path, "a+b", buffering=0) as file,
    ):
        durable.append_line(file.fileno(), json.dumps(entry))
        os.fsync(file)


def answers(path: Path, archive: str) -> dict[date, Answer]:
    """The last answer of this archive for each date that has one."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    found: dict[date, Answer] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            day = date.fromisoformat(entry["date"])
            answer = Answer(day, entry["verdict"], entry["archive"], entry["asked"], entry["time"])
        except (ValueError, KeyError, TypeError):
            continue  # cut off by a full disk, or edited: the file will be requested again
        if answer.archive == archive:
            found[answer.day] = answer
    return found
