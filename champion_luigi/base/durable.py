"""Files that appear whole or not at all, and locks between processes.

A finished file never has a leading dot; what a killed run leaves behind has one, so that no reader,
here or elsewhere (DuckDB, pyarrow, a shell's glob), takes it for an output.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from champion_luigi.base.errors import Busy, StorageError

LEFTOVER_PREFIX = ".tmp-"

# The seconds that a context has waited for others, where `counting_waits` asks.
_waits: ContextVar[list[float] | None] = ContextVar("champion_waits", default=None)


def write_whole(path: Path, content: bytes) -> None:
    """Make ``path`` hold ``content``, as `whole` does."""
    with whole(path) as temporary, os.fdopen(_create(temporary), "wb") as file:
        file.write(content)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name in the same folder to write a file under; when the block ends well, that file becomes ``path``.

    Fsync, rename, fsync of the folder. Raises StorageError, naming the file, where the disk does not take it; the old
    file then stands.
    """
    temporary = path.with_name(f"{LEFTOVER_PREFIX}{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        try:
            yield temporary
            _sync(temporary, os.O_RDONLY)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            raise
        _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(
            f"the file could not be written: {error.strerror or error}",
            source=str(path),
            todo="Check free space and permissions of the disk; nothing half-written is left.",
        ) from error


def append_line(descriptor: int, line: str) -> None:
    """Add a line to a file that is open for reading and appending, by one write, also behind a line that was cut off.

    Raises OSError where the disk does not take all of it.
    """
    content = line.encode() + b"\n"
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        content = b"\n" + content
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_whole(path: Path) -> bytes:
    """The bytes of a file; StorageError, naming it, where the disk does not give them."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"the file could not be read: {error.strerror or error}",
            source=str(path),
            todo="See whether it is there, and who may read it.",
        ) from error


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what a file system says of a path into StorageError, wherever nobody expected it.

    A folder that is none, a link to nowhere, another owner: any look at DATA_DIR can meet these.
    """
    try:
        yield
    except OSError as error:
        # Without a path it is no matter of a disk: a pipe whose reader has gone, say.
        if error.filename is None:
            raise
        raise StorageError(
            f"the disk does not give or take this: {error.strerror or error}",
            source=os.fsdecode(error.filename),
            todo="See what is there, and who owns it; check DATA_DIR and CHAMPION_LAKE_DIR.",
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        if not Path(error.filename).is_symlink():
            raise
        raise FileNotFoundError(errno.ENOENT, "a symbolic link leads nowhere", error.filename) from error


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def json_bytes(value: object) -> bytes:
    """A JSON document for people and programs: indented, ending in a newline."""
    return (json.dumps(value, indent=1, default=str, ensure_ascii=False) + "\n").encode()


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextlib.contextmanager
def counting_waits() -> Iterator[list[float]]:
    """Collect the seconds that are spent waiting for others in this context: for locks, and for a turn."""
    waits: list[float] = []
    token = _waits.set(waits)
    try:
        yield waits
    finally:
        _waits.reset(token)


def note_wait(seconds: float) -> None:
    """Add a time of waiting for others."""
    waits = _waits.get()
    if waits is not None and seconds > 0:
        waits.append(seconds)


@contextlib.contextmanager
def locked(path: Path, what: str, wait_seconds: float, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock between processes, on one host or on a shared folder that supports flock.

    ``what`` says in words what is locked. Raises Busy, naming the holder, after ``wait_seconds``;
    ``on_wait`` is called once, with a message, where there is something to wait for.
    """
    file = _acquire(path, what, wait_seconds, on_wait)
    try:
        yield
    finally:
        _release(file, path)


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _acquire(path: Path, what: str, wait_seconds: float, on_wait: Callable[[str], None] | None) -> FileIO:
    started = time.monotonic()
    deadline = started + wait_seconds
    told = on_wait is None
    has_waited = False
    while True:
        file = _open_lock(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            file.close()
            if time.monotonic() >= deadline:
                raise Busy(
                    f"{what} is in use by another process",
                    found=holder,
                    source=str(path),
                    todo="Wait for it to end, or stop it, and run the same command again.",
                ) from None
            if not told and on_wait is not None:
                on_wait(f"waiting for {what}, in use by {holder}")
                told = True
            has_waited = True
            time.sleep(0.05)
            continue
        # The last holder may have removed the file between our open and our lock.
        if _is_same_file(file, path):
            # The name is for people: a full disk that does not take it must not stop the work, or leak the lock.
            with contextlib.suppress(OSError):
                file.truncate(0)
                file.write(_this_process().encode())
            if has_waited:
                note_wait(time.monotonic() - started)
            return file
        file.close()


def _release(file: FileIO, path: Path) -> None:
    # Removed while still locked, so that nobody can lock a name that is about to go. One that cannot be removed, on a
    # disk that has become read-only say, stays and is free.
    with contextlib.suppress(OSError):
        path.unlink()
    file.close()


def _open_lock(path: Path) -> FileIO:
    # A file object, opened in one step: wherever Ctrl-C comes, it is closed, and the lock free, when nobody has it.
    try:
        try:
            return path.open("a+b", buffering=0)
        except FileNotFoundError:
            make_folder(path.parent)
            return path.open("a+b", buffering=0)
    except OSError as error:
        raise StorageError(
            f"the lock could not be opened: {error.strerror or error}",
            source=str(path),
            todo="See what is there, who owns its folder, and whether the disk is full or read-only.",
        ) from error


def _is_same_file(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _holder(file: FileIO) -> str:
    return os.pread(file.fileno(), 500, 0).decode(errors="replace") or "a process that is just starting"


def _this_process() -> str:
    # The program's name alone: arguments could hold what is nobody's business.
    return f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'}) on {socket.gethostname()} since {now()}"


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        make_folder(path.parent)
        return os.open(path, flags, 0o666)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
