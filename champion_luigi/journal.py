"""What happened, appended to disk: one JSON object a line, one file a month (UTC), never rewritten.

A line is written by one O_APPEND write, so that any number of processes can journal at once, and a kill
between two records loses neither.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from champion_luigi import files


def append(folder: Path, record: Mapping[str, Any]) -> None:
    """Add one record; ``time`` (UTC) and ``pid`` are filled in."""
    stamp = files.now()
    line = json.dumps({"time": stamp, "pid": os.getpid(), **record}, default=str, ensure_ascii=False) + "\n"
    path = folder / f"{stamp[:7]}.jsonl"
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    try:
        content = line.encode()
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content  # after a record that was cut off
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """All records, oldest first. A line cut off by a full disk or a power cut is passed over."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n") and line.startswith(b"{"):
                    with contextlib.suppress(ValueError):
                        yield json.loads(line)
