"""The ledger: what the archive answered for dates about which the calendar is wrong or silent.

One JSON line an answer under ``DATA_DIR``, never rewritten; the last one for a date and an archive counts.
An answer holds for the archive that gave it: another one may have the file.
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
    """What an archive answered for a date, when (UTC), and what was asked for."""

    day: date
    verdict: Verdict
    archive: str
    asked: str
    time: str


def record(path: Path, day: date, verdict: Verdict, archive: str, asked: str) -> None:
    """Remember an answer, durably. Raises StorageError where the disk does not take it."""
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
            f"what the archive answered could not be noted: {error.strerror or error}",
            day=day,
            source=str(path),
            todo="Check free space and permissions of the disk; the archive is asked again.",
        ) from error


def answers(path: Path, archive: str) -> dict[date, Answer]:
    """The last answer of this archive for each date that it was asked for."""
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
            continue  # cut off by a full disk, or edited: the archive will be asked again
        if answer.archive == archive:
            found[answer.day] = answer
    return found
