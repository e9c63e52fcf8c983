"""A polite pace: a limit on requests a second, shared by all processes of a machine that use the same host.

The next free slot is recorded in a file of all users of the machine, in /tmp; if that cannot be used, in a file of this
user. It is also recorded in a file of the data folder, because containers and machines can share that folder, and in
a store that machines share.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import math
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from champion_luigi.base import durable, locks, store
from champion_luigi.base.places import Place

logger = logging.getLogger("champion_luigi")

# Not TMPDIR, which can differ from one user or session to another.
_MACHINE = Path("/tmp")  # noqa: S108 - opened with care for what other users can do there
# How long another user's process may hold the machine's file, which takes a millisecond.
_PATIENCE_SECONDS = 10.0
_FURTHEST_SECONDS = 600.0
_MOST_BYTES = 64


class Pace:
    """A limit of ``per_second`` requests a second to a host.

    It is shared by all processes of the machine, by those that use the data folder's ``file``, and by those on any
    machine that use the same place in a store, ``shared``. Without any of these, it is this object's own.
    """

    def __init__(
        self, per_second: float, file: Path | None = None, host: str = "", shared: Place | None = None
    ) -> None:
        self._shared = shared
        self._gap = 1.0 / per_second
        # How many slots in a row are reserved in the store at once, when the last of them ends, and when it takes the
        # next reservation.
        self._between = store.gap_seconds(shared) if shared else 0.0
        self._at_once = max(1, math.ceil(self._between * per_second))
        self._ours_until = self._ask_from = 0.0
        # A slot further ahead than this was written by a clock that has since been set back, or to do harm.
        self._furthest = max(_FURTHEST_SECONDS, 10 * self._gap)
        self._file = file
        self._places = places(host) if host else []
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Sleep until the next free slot.

        Raises StorageError or Busy if the data folder's file cannot be used, and StoreUnreachable if the store does not
        answer.
        """
        with self._lock, contextlib.ExitStack() as held:
            free_from = [self._next, self._reserved()]
            if self._file is not None:
                todo = "Check free space and permissions of the disk; no request was sent."
                lock = self._file.with_suffix(".lock")
                held.enter_context(locks.locked(lock, "the archive's pace", wait_seconds=60))
                held.enter_context(durable.naming(self._file, "the archive's pace could not be recorded", todo))
                free_from.append(_slot_in(self._file))
            common = self._hold_common(held)
            if common is not None:
                free_from.append(_number(os.pread(common, _MOST_BYTES, 0)))
            now = time.time()
            slot = max([now, *(each for each in free_from if now < each < now + self._furthest)])
            self._next = slot + self._gap
            if common is not None:
                self._record(common)
            if self._file is not None:
                self._file.write_text(repr(self._next))
        time.sleep(max(0.0, slot - time.time()))

    def _reserved(self) -> float:
        """The next free slot by the store that machines share, reserved there.

        0 without a store, and while slots are left of those that were reserved last.
        """
        if self._shared is None or max(time.time(), self._next) + self._gap <= self._ours_until:
            return 0.0
        while True:
            time.sleep(max(0.0, self._ask_from - time.monotonic()))
            found, now = store.get(self._shared), time.time()
            taken = _number(found[0]) if found else 0.0
            slot = max(now, taken if taken < now + self._furthest else 0.0, self._next)
            until = slot + self._gap * self._at_once
            content = repr(until).encode()
            if found:
                is_ours = store.replace_if(self._shared, content, found[1])
            else:
                is_ours = store.put_if_absent(self._shared, content)
            if is_ours:
                self._ask_from = time.monotonic() + self._between
                # Sums of the gap differ in their last digits.
                self._ours_until = until + self._gap / 100
                return slot

    def _hold_common(self, held: contextlib.ExitStack) -> int | None:
        """Lock the first usable file of the machine or user; None if there is none. It is open while ``held`` lasts."""
        while self._places:
            path = self._places[0]
            try:
                return held.enter_context(_locked(path))
            except OSError as error:
                self._give_up(error)
        return None

    def _record(self, common: int) -> None:
        try:
            os.pwrite(common, repr(self._next).encode().ljust(_MOST_BYTES), 0)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        logger.warning(
            "the pace of requests to the archive is not shared through %s: %s. Other users of this machine may send "
            "requests at the same time",
            self._places.pop(0),
            error.strerror or error,
        )


def places(host: str) -> list[Path]:
    """The files for the pace towards a host, the best one first: of the machine, and of this user."""
    name = file_name(host)
    found = [_MACHINE / name]
    with contextlib.suppress(RuntimeError):  # this user has no home folder
        found.append(Path.home() / ".cache" / "champion_luigi" / name)
    return found


def file_name(host: str) -> str:
    """The name of a file for the pace towards a host."""
    return f"champion_luigi-{re.sub('[^a-z0-9.-]', '_', host.lower())[:100]}.pace"


def seconds_ahead(files: list[Path]) -> float:
    """The seconds until the next free slot, by the latest of the files that can be read; 0 if it is free now."""
    ahead = [0.0]
    for file in files:
        with contextlib.suppress(OSError):
            ahead.append(_slot_in(file) - time.time())
    return max(each for each in ahead if each < _FURTHEST_SECONDS)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open and lock a file that other users may have made. Raises OSError if it is not safe, or held for too long."""
    descriptor = _open(path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(errno.EINVAL, "it is not an ordinary file")
        patient_until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= patient_until:
                    raise OSError(errno.ETIMEDOUT, f"a process has held it for {_PATIENCE_SECONDS:g} s") from None
                time.sleep(0.01)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    # Through a link of another user, the number would be written into a file of this one's. A pipe must not block.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        # First without O_CREAT: Linux refuses that for another user's file in /tmp.
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    if path.parent != _MACHINE:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(path, flags)
    # Whatever the umask: all users take turns.
    os.fchmod(descriptor, 0o666)
    return descriptor


def _slot_in(file: Path) -> float:
    try:
        with file.open("rb") as opened:
            return _number(opened.read(_MOST_BYTES))
    except FileNotFoundError:
        return 0.0


def _number(content: bytes) -> float:
    try:
        return float(content)
    except ValueError:
        return 0.0
