"""Locks between processes, each naming its holder, and a record of the time spent waiting for others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from champion_luigi.base.durable import naming, now, open_in_folder
from champion_luigi.base.errors import Busy, StorageError

# The seconds that this context has waited for others; None outside `counting_waits`.
_waits: ContextVar[list[float] | None] = ContextVar("champion_waits", default=None)
# The locks that this context holds from `holding`.
_held: ContextVar[frozenset[Path]] = ContextVar("champion_held", default=frozenset())

_NO_LOCKS = "the file system does not lock files, so two runs could process the same day at once"
_MOUNT_WITH_LOCKS = "Mount it with locks, or put DATA_DIR on a local disk; `champion doctor` checks this."


@contextlib.contextmanager
def counting_waits() -> Iterator[list[float]]:
    """Collect the seconds that this context spends waiting for others: for locks, and for a turn."""
    waits: list[float] = []
    token = _waits.set(waits)
    try:
        yield waits
    finally:
        _waits.reset(token)


def note_wait(seconds: float) -> None:
    """Record seconds spent waiting for others."""
    waits = _waits.get()
    if waits is not None and seconds > 0:
        waits.append(seconds)


@contextlib.contextmanager
def locked(path: Path, what: str, wait_seconds: float, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock between processes, on one host or on a shared folder that supports flock.

    ``what`` describes what is locked, for messages. Raises Busy, naming the holder, after ``wait_seconds``.
    ``on_wait`` is called once, with a message, if the lock is not free. A lock that `holding` has is not taken again.
    """
    if is_held(path):
        yield
        return
    file = _acquire(path, what, wait_seconds, on_wait)
    try:
        yield
    finally:
        # Remove the file while it is still locked, so that no process can lock a name about to vanish. A file that
        # cannot be removed, for example on a disk that became read-only, stays, unlocked.
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()


@contextlib.contextmanager
def holding(paths: Iterable[Path]) -> Iterator[None]:
    """Hold locks for this context, and for threads that start with a copy of it.

    Stops at the first lock, in sorted order, that another process holds. Every process sorts them in the same way, and
    waits only for later locks than those it holds, so no two wait for each other.
    """
    held: set[Path] = set()
    with contextlib.ExitStack() as stack:
        # Work that needs a lock which is not held takes it by itself, and reports what is wrong.
        with contextlib.suppress(Busy, StorageError):
            for path in sorted(paths):
                stack.enter_context(locked(path, path.stem, 0))
                held.add(path)
        token = _held.set(_held.get() | held)
        try:
            yield
        finally:
            _held.reset(token)


def is_held(path: Path) -> bool:
    """Whether this context holds the lock from `holding`."""
    return path in _held.get()


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock, which may be a folder."""
    return holder(path) is not None


def holder(path: Path) -> str | None:
    """The process that holds this lock, in words; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        with naming(path, _NO_LOCKS, _MOUNT_WITH_LOCKS):
            return None if _taken(descriptor, fcntl.LOCK_SH) else _holder(descriptor)
    finally:
        os.close(descriptor)


def _acquire(path: Path, what: str, wait_seconds: float, on_wait: Callable[[str], None] | None) -> IO[bytes]:
    todo = "Check what the path is, who owns its folder, and whether the disk is full or read-only."
    started = time.monotonic()
    has_waited = False
    while True:
        # A file object, opened in one step: whenever Ctrl-C comes, an unreferenced object is closed and its lock
        # released.
        with naming(path, "the lock could not be opened", todo):
            file = open_in_folder(path, "a+b", buffering=0)
        try:
            with naming(path, _NO_LOCKS, _MOUNT_WITH_LOCKS):
                is_ours = _taken(file.fileno(), fcntl.LOCK_EX)
        except StorageError:
            file.close()
            raise
        if not is_ours:
            found = _holder(file.fileno())
            file.close()
            if time.monotonic() >= started + wait_seconds:
                is_own = found.partition(" since ")[0] == _this_process().partition(" since ")[0]
                raise Busy(
                    f"{what} is in use by {'another part of this' if is_own else 'another'} process",
                    found=found,
                    source=str(path),
                    todo="Wait for it to end, or stop it, and run the same command again.",
                ) from None
            if on_wait is not None and not has_waited:
                on_wait(f"waiting for {what}, in use by {found}")
            has_waited = True
            time.sleep(0.05)
            continue
        # The last holder may have removed the file between our open and our lock.
        if _is_same_file(file, path):
            # The name only informs people: a full disk that refuses it must not stop the work or leak the lock.
            with contextlib.suppress(OSError):
                file.truncate(0)
                file.write(_this_process().encode())
            if has_waited:
                note_wait(time.monotonic() - started)
            return file
        file.close()


def _taken(descriptor: int, kind: int) -> bool:
    """Take a lock at once; False if another process holds it. Raises OSError if the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        # Where a server keeps the locks, as that of an SMB share, a lock that is held can answer EACCES.
        return False
    return True


def _holder(descriptor: int) -> str:
    try:
        name = os.pread(descriptor, 500, 0).decode(errors="replace")
    except OSError:
        # A lock on an SMB share keeps others from reading the file, too.
        name = "another process"
    return name or "a process that is just starting"


def _is_same_file(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> str:
    # Only the program's name: its arguments could hold something private.
    return f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'}) on {socket.gethostname()} since {now()}"
