"""What happened, appended to disk: one JSON object a line, one file a month (UTC), never rewritten.

A line is written by one O_APPEND write, so that any number of processes can journal at once, and a kill
between two records loses neither.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from champion_luigi import files

# The open file: the path, the process that opened it, its descriptor. A forked child opens its own.
_open: tuple[Path, int, int] | None = None
_opening = threading.Lock()


def append(folder: Path, record: Mapping[str, Any]) -> None:
    """Add one record; ``time`` (UTC) and ``pid`` are filled in. Raises OSError where the disk does not take it."""
    stamp = files.now()
    line = json.dumps({"time": stamp, "pid": os.getpid(), **record}, default=str, ensure_ascii=False)
    files.append_line(_descriptor(folder / f"{stamp[:7]}.jsonl"), line)


def _descriptor(path: Path) -> int:
    """The journal's open file: kept, as a day makes fifteen records, and opened anew where it is gone."""
    global _open  # noqa: PLW0603 - one a process
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
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o666)
        _open = (path, os.getpid(), descriptor)
        return descriptor


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """All records, oldest first. A line cut off by a full disk or a power cut is passed over."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n") and line.startswith(b"{"):
                    with contextlib.suppress(ValueError):
                        yield json.loads(line)
