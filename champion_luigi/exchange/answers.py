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
from champion_luigi.base.errors import StorageError

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
    try:
        durable.make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            durable.append_line(descriptor, json.dumps(entry))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"the archive's answer could not be recorded: {error.strerror or error}",
            day=day,
            source=str(path),
            todo="Check free space and permissions of the disk; the next run requests the file again.",
        ) from error


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
            answer = Answer(
                date.fromisoformat(entry["date"]), entry["verdict"], entry["archive"], entry["asked"], entry["time"]
            )
        except (ValueError, KeyError, TypeError):
            continue  # cut off by a full disk, or edited: the file will be requested again
        if answer.archive == archive:
            found[answer.day] = answer
    return found
