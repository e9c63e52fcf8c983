"""Files that appear whole or not at all, and locks between processes.

A finished file never has a leading dot; what a killed run leaves behind has one, so that no reader,
here or elsewhere (DuckDB, pyarrow, a shell's glob), takes it for an output.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from champion_luigi.base.errors import StorageError

logger = logging.getLogger("champion_luigi")

LEFTOVER_PREFIX = ".tmp-"


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


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON document; None where there is none, or where it cannot be read as one, which is logged."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        logger.warning("%s is not readable and is taken as absent: %s", path, error)
        return None
    return document if isinstance(document, dict) else None


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


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
