"""Run a command, and kill it (SIGKILL) at an exact point: just before a chosen call to the system or to ClickHouse.

    python tests/killed_at.py list:points.txt fill --start 2023-06-01   # runs to its end, and lists the points
    python tests/killed_at.py "replace raw/2023/.tmp-bhavcopy_20230601.json #1" fill --start 2023-06-01

The points are the calls that make, write, sync, rename or remove a file under DATA_DIR, take or release a lock, send
to ClickHouse, or wait for its answer. A kill after one point is the same as before the next. Nothing in the command is
replaced: Python itself reports each call before it makes it (`sys.setprofile`).
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

# Functions in C, as the profiler sees them: by module and name if they have a module, otherwise by full name.
_SYSTEM = {"open", "write", "pwrite", "fsync", "replace", "unlink", "truncate", "mkdir", "flock"}
_OTHERS = {"BufferedWriter.write": "write", "socket.sendall": "send to", "socket.recv_into": "receive from"}

_UNIQUE = re.compile(r"-\d+-[0-9a-f]{8}$|[0-9a-f]{32}|(?<=^loaded/)[^/]+")


class Points:
    """Numbers the points of this process by name; kills the process at one of them, or lists them all."""

    def __init__(self, folder: Path, at: str, list_file: Path | None) -> None:
        self._folder = f"{folder.absolute()}/"
        self._at = at
        self._list_file = list_file
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        """Count a point. Python calls this before and after each call; at the chosen point, it kills the process."""
        if event == "c_call" and (point := self._point(frame, function)):
            with self._lock:
                self._counts[point] += 1
                point += f" #{self._counts[point]}"
                if point == self._at:
                    os.kill(os.getpid(), signal.SIGKILL)
                if self._list_file is not None:
                    with self._list_file.open("a", encoding="utf-8") as file:
                        file.write(point + "\n")

    def _point(self, frame: FrameType, function: Any) -> str:
        name, of = function.__name__, function.__module__
        if of == "chdb._chdb":
            return "ask the engine" if name == "query" else ""
        full_name = getattr(function, "__qualname__", name)
        if full_name.startswith("socket."):
            return f"{_OTHERS[full_name]} a server" if full_name in _OTHERS else ""
        is_point = (of in ("posix", "fcntl") and name in _SYSTEM) or full_name in _OTHERS
        path = self._path(frame.f_locals) if is_point else ""
        return f"{_OTHERS.get(full_name, name)} {path}" if path else ""

    def _path(self, known: dict[str, Any]) -> str:
        """The caller's path under the folder, without the parts that differ in each run."""
        named = next((known[name] for name in ("temporary", "path", "self") if isinstance(known.get(name), Path)), None)
        if named is None and isinstance(known.get("descriptor"), int):
            named = Path(f"/proc/self/fd/{known['descriptor']}").readlink()
        text = str(named)
        return _UNIQUE.sub("", text.removeprefix(self._folder)) if text.startswith(self._folder) else ""


def main() -> None:
    """Run the `champion` command up to its point."""
    which, *arguments = sys.argv[1:]
    sys.argv = ["champion", *arguments]
    from champion_luigi.commands.cli import main as champion

    is_listed = which.startswith("list:")
    points = Points(
        Path(os.environ["DATA_DIR"]),
        "" if is_listed else which,
        Path(which.removeprefix("list:")) if is_listed else None,
    )
    threading.setprofile(points)
    sys.setprofile(points)
    champion(prog_name="champion")


if __name__ == "__main__":
    main()
