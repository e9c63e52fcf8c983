"""A polite pace: a limit on requests a second, shared by all processes of a machine."""

from __future__ import annotations

import time
from pathlib import Path

from champion_luigi.base import durable, locks


class Pace:
    """A limit of ``per_second`` requests a second, shared by all processes that use the file."""

    def __init__(self, per_second: float, file: Path | None) -> None:
        self._gap = 1.0 / per_second
        # A slot further ahead than this was written by a clock that has since been set back.
        self._furthest = max(600.0, 10 * self._gap)
        self._file = file
        self._next = 0.0

    def wait(self) -> None:
        """Sleep until the next free slot."""
        if self._file is None:
            slot = self._take(self._next)
        else:
            todo = "Check free space and permissions of the disk; no request was sent."
            with (
                locks.locked(self._file.with_suffix(".lock"), "the archive's pace", wait_seconds=60),
                durable.naming(self._file, "the archive's pace could not be recorded", todo),
            ):
                slot = self._take(self._last_slot(self._file))
                self._file.write_text(repr(self._next))
        time.sleep(max(0.0, slot - time.time()))

    def _take(self, free_from: float) -> float:
        now = time.time()
        slot = free_from if now < free_from < now + self._furthest else now
        self._next = slot + self._gap
        return slot

    @staticmethod
    def _last_slot(file: Path) -> float:
        try:
            return float(file.read_text())
        except (FileNotFoundError, ValueError):
            return 0.0
