"""The ledger: what the archives answered for dates that have no file, or that the calendar calls closed.

One JSON line per answer under ``DATA_DIR``, never rewritten; the last line for a date and an archive counts. What an
archive lacks, another one may have, so an answer holds only for the archive that gave it. A file proves the session for
all of them. The ledger holds answers, not what follows from them: `expectation` decides that each time anew.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal

from champion_luigi.base import durable

# ``absent``: no source had a file. ``session``: there is a file, though calendar or ledger said otherwise. ``partial``:
# only a source that lacks columns had the day; ``whole``: a full source has it now. ``unusable``: a file came for an
# absent day, and is not the day's. Version 0.1.0 wrote ``closed`` for ``absent``.
Verdict = Literal["absent", "closed", "session", "partial", "whole", "unusable"]

_NAMES = ("verdict", "archive", "asked", "time")


@dataclass(frozen=True)
class Answer:
    """An archive's last answer for a date, its time (UTC), the URLs requested.

    ``times`` is the number of dates in a row on which it was given.
    """

    day: date
    verdict: Verdict
    archive: str
    asked: str
    time: str
    times: int = 1

    @property
    def has_no_file(self) -> bool:
        """Whether no source had a file."""
        return self.verdict in ("absent", "closed")


@dataclass(frozen=True)
class Ledger:
    """One archive's answers by date, and what the files of any archive have shown.

    ``proven`` are the dates that are sessions by a file, ``partial`` those that came from a source without all columns.
    """

    answers: Mapping[date, Answer] = field(default_factory=dict)
    proven: frozenset[date] = frozenset()
    partial: frozenset[date] = frozenset()


def record(path: Path, answers: Sequence[Answer]) -> None:
    """Append answers, durably. Raises StorageError if they cannot be written."""
    if not answers:
        return
    todo = "Check free space and permissions of the disk; the next run requests the file again."
    with (
        durable.naming(path, "the archive's answer could not be recorded", todo, answers[0].day),
        durable.open_in_folder(path, "a+b", buffering=0) as file,
    ):
        for each in answers:
            entry = {"date": each.day.isoformat(), **{name: getattr(each, name) for name in _NAMES}}
            durable.append_line(file.fileno(), json.dumps(entry))
        os.fsync(file)


def given(day: date, verdict: Verdict, archive: str, asked: str) -> Answer:
    """An answer that was given now."""
    return Answer(day, verdict, archive, asked, durable.now())


def read(path: Path, archive: str, name_of: Callable[[str], str] = str) -> Ledger:
    """The ledger as it concerns an archive; empty if there is none.

    ``name_of`` gives the archive's name for one in the ledger: version 0.1.0 recorded what the user had typed.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Ledger()
    found: dict[date, Answer] = {}
    proven, partial = set(), set()
    for line in lines:
        answer = _answer_in(line)
        if answer is None:
            continue
        day = answer.day
        if answer.verdict == "session":
            proven.add(day)
        elif answer.verdict == "partial":
            partial.add(day)
        elif answer.verdict == "whole":
            partial.discard(day)
        if answer.archive == archive or name_of(answer.archive) == archive:
            before = found.get(day)
            if (before and before.has_no_file and answer.has_no_file) or (before and before.verdict == answer.verdict):
                # Requests by hand on one date count once, and so does an earlier version's answer under today's name.
                answer = replace(answer, times=before.times + (answer.time[:10] != before.time[:10]))
            found[day] = answer
    return Ledger(found, frozenset(proven), frozenset(partial))


# Cached: a fill that finds thousands of days reads the ledger again after each of them.
@functools.lru_cache(maxsize=32_768)
def _answer_in(line: bytes) -> Answer | None:
    """The answer in a line; None for a line that was cut off by a full disk, or edited: the file is requested again."""
    try:
        entry = json.loads(line)
        day = date.fromisoformat(entry["date"])
        verdict, archive, asked, given_at = texts = [entry[name] for name in _NAMES]
    except (ValueError, KeyError, TypeError):
        return None
    return Answer(day, verdict, archive, asked, given_at) if all(isinstance(text, str) for text in texts) else None
