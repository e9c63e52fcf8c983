"""The journal of events on disk: one JSON object a line, one file a month (UTC), only appended to.

Each line is one O_APPEND write. Any number of processes can append at once, and a kill between two records loses
neither.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from champion_luigi.base import durable

# The open file: its path, the process that opened it, its descriptor. A forked child opens its own.
_open: tuple[Path, int, int] | None = None
_opening = threading.Lock()

_DELIVERY = "delivered.json"


class Event(StrEnum):
    """The kinds of records: the values of the field ``event``."""

    START = "start"
    SUCCESS = "success"
    FOUND_COMPLETE = "found_complete"
    PROCESSING_TIME = "processing_time"
    FAILURE = "failure"
    PROCESS_FAILURE = "process_failure"
    TIMEOUT = "timeout"
    BROKEN_TASK = "broken_task"
    RANGE = "range"
    FILL_START = "fill_start"
    FILL_PROGRESS = "fill_progress"
    SETTLED = "settled"
    RESTATEMENT = "restatement"
    FILL_END = "fill_end"
    END = "end"


# The events that end a task's run without success.
FAILURES = frozenset({Event.FAILURE, Event.PROCESS_FAILURE, Event.TIMEOUT, Event.BROKEN_TASK})


@dataclass(frozen=True)
class Position:
    """The place of a record: the file's name, the offset of its first byte, and the offset after its last byte."""

    file: str
    start: int
    end: int


@dataclass
class Delivery:
    """How far the journal has been carried to MLflow.

    ``offsets`` counts the bytes of each file that need not be read again, ``seen`` the bytes that have been read.
    ``open`` names the executions with records still to come or to deliver, ``trouble`` is why they are not delivered.
    ``experiment_id`` is MLflow's id in ``store``, which contains no secret.
    """

    offsets: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    trouble: str = ""
    experiment_id: str = ""
    store: str = ""


def append(folder: Path, record: Mapping[str, Any]) -> None:
    """Append one record, with ``time`` (UTC) and ``pid`` filled in. Raises OSError if the disk refuses the write."""
    stamp = durable.now()
    line = json.dumps({"time": stamp, "pid": os.getpid(), **record}, default=str, ensure_ascii=False)
    path = folder / f"{stamp[:7]}.jsonl"
    if _open is not None and _open[0].parent == folder:
        # Files are read in order of their names. After the clock is set back, an end must not precede its start.
        path = max(path, _open[0])
    durable.append_line(_descriptor(path), line)


def _descriptor(path: Path) -> int:
    """The descriptor of the journal, kept open because a day makes fifteen records. A deleted file is opened anew."""
    global _open  # noqa: PLW0603 - one per process
    with _opening:
        if _open is not None and _open[:2] == (path, os.getpid()) and os.fstat(_open[2]).st_nlink:
            return _open[2]
        if _open is not None and _open[1] == os.getpid():
            os.close(_open[2])
        _open = None
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            durable.make_folder(path.parent)
            descriptor = os.open(path, flags, 0o666)
        _open = (path, os.getpid(), descriptor)
        return descriptor


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """All records, oldest first. A line that a full disk or a power cut has cut off is skipped."""
    return (record for _, record in read_from(folder, {}))


def read_events(folder: Path, events: Collection[Event]) -> Iterator[dict[str, Any]]:
    """The records of these events, oldest first. Other records, most of a long journal, are not decoded."""
    for path in sorted(folder.glob("*.jsonl")):
        content = path.read_bytes()
        for start, end in sorted(_lines_with(content, events).items()):
            # The name may occur in another field; a line that a full disk has cut off is skipped.
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                record = json.loads(content[start:end])
                if record.get("event") in events:
                    yield record


def _lines_with(content: bytes, words: Collection[str]) -> dict[int, int]:
    """The start and end of each line that contains one of these words. A last line without a line feed is left out."""
    found: dict[int, int] = {}
    for word in map(str.encode, words):
        at = content.find(word)
        while at >= 0 and (end := content.find(b"\n", at)) >= 0:
            found[content.rfind(b"\n", 0, at) + 1] = end
            at = content.find(word, end)
    return found


def read_from(folder: Path, offsets: Mapping[str, int]) -> Iterator[tuple[Position, dict[str, Any]]]:
    """The records after these offsets (bytes by file), with their positions. A last line without a line feed waits."""
    for path in sorted(folder.glob("*.jsonl")):
        end = offsets.get(path.name, 0)
        if path.stat().st_size <= end:
            continue
        with path.open("rb") as lines:
            lines.seek(end)
            for line in lines:
                start, end = end, end + len(line)
                if line.endswith(b"\n") and line.startswith(b"{"):
                    with contextlib.suppress(ValueError):
                        yield Position(path.name, start, end), json.loads(line)


def delivery(folder: Path) -> Delivery:
    """The note of the last carrier. Without a readable note it is empty: MLflow itself knows what it has."""
    try:
        return Delivery(**json.loads((folder / _DELIVERY).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Delivery()


def note_delivery(folder: Path, delivery: Delivery) -> None:
    """Store the note in one step. Raises StorageError."""
    durable.write_whole(folder / _DELIVERY, durable.json_bytes(asdict(delivery)))


def count_undelivered(folder: Path) -> int:
    """How many records have not arrived in MLflow, by the last note."""
    return sum(1 for _ in read_from(folder, delivery(folder).offsets))


def presence_file(folder: Path, process: str) -> Path:
    """The lock file that a process holds while it may still write records."""
    return folder / "running" / process
