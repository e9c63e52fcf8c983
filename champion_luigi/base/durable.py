"""Files that appear whole or not at all.

A finished file never has a leading dot. A temporary file has one, so that no reader (ours, DuckDB, pyarrow, a shell's
glob) mistakes one that a killed run left behind for an output.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any

from champion_luigi.base.errors import StorageError
from champion_luigi.base.places import ObjectPath, Place, signature_of

logger = logging.getLogger("champion_luigi")

LEFTOVER_PREFIX = ".tmp-"

_SYNCS_AT_ONCE = 4
_PUTS_AT_ONCE = 8
_NOT_WRITTEN = "the file could not be written"
_NOTHING_LEFT = "Check free space and permissions of the disk; nothing half-written is left."

# The answers of file systems that cannot sync a folder: SMB shares, vboxsf, some of FUSE, and any folder that its user
# may write but not read. SQLite and PostgreSQL go on after them too. EIO and ENOSPC are not among them: there, the disk
# has lost something.
_CANNOT_SYNC_FOLDERS = frozenset(
    {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.EROFS}
)

# Whether this process has warned that a folder cannot be synced.
_has_warned = False


def write_whole(place: Place, content: bytes) -> None:
    """Write ``content`` to ``place`` atomically, as `whole` does."""
    write_all({place: content})


def write_all(contents: Mapping[Place, bytes]) -> dict[Place, list[int | str]]:
    """Write several files, each as `whole` does, with one sync for all the names in a folder.

    No file appears before the content of every one is safe on the disk. Of objects, the last appears after all others.
    Returns the signatures of the objects, as `places.signature` has them. Raises StorageError or, for objects, the
    errors of `objects.ask`.
    """
    of_objects = {place: content for place, content in contents.items() if isinstance(place, ObjectPath)}
    of_files = {place: content for place, content in contents.items() if isinstance(place, Path)}
    tags = _put_all(of_objects) if of_objects else {}
    if of_files:
        _write_all(of_files)
    return {place: signature_of(contents[place], tag) for place, tag in tags.items()}


def _put_all(contents: Mapping[ObjectPath, bytes]) -> dict[ObjectPath, str]:
    *first, last = contents
    if len(first) > 1:
        with ThreadPoolExecutor(min(_PUTS_AT_ONCE, len(first))) as threads:
            tags = list(threads.map(lambda place: place.write(contents[place]), first))
    else:
        tags = [place.write(contents[place]) for place in first]
    return dict(zip(contents, [*tags, last.write(contents[last])], strict=True))


def _write_all(contents: Mapping[Path, bytes]) -> None:
    with contextlib.ExitStack() as stack:
        temporaries = {path: stack.enter_context(_temporary(path)) for path in contents}
        for path, temporary in temporaries.items():
            with naming(path, _NOT_WRITTEN, _NOTHING_LEFT), open_in_folder(temporary, "xb") as file:
                file.write(contents[path])
        _appear(temporaries)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file written there becomes ``path`` when the block succeeds.

    Fsync, rename, fsync of the folder. If the disk refuses, raises StorageError, naming the file; the old file stays.
    A file system that cannot sync a folder is used without it, which one warning a process reports.
    """
    with naming(path, _NOT_WRITTEN, _NOTHING_LEFT), _temporary(path) as temporary:
        yield temporary
        _appear({path: temporary})


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path in the same folder for a file's content; what is there after an error is removed."""
    temporary = path.with_name(f"{LEFTOVER_PREFIX}{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _appear(temporaries: Mapping[Path, Path]) -> None:
    """Sync the temporary files, then give them their names, and sync these."""

    def sync(path: Path) -> None:
        with naming(path, _NOT_WRITTEN, _NOTHING_LEFT):
            # Some network file systems sync nothing through a descriptor that is open for reading alone.
            _sync(temporaries[path], os.O_RDWR)

    if len(temporaries) < _SYNCS_AT_ONCE:
        for path in temporaries:
            sync(path)
    else:
        # A file system joins syncs that it is asked for at the same time: one after the other take three times as long.
        with ThreadPoolExecutor(_SYNCS_AT_ONCE) as threads:
            for _ in threads.map(sync, temporaries):
                pass
    folders = {}
    for path, temporary in temporaries.items():
        with naming(path, _NOT_WRITTEN, _NOTHING_LEFT):
            temporary.replace(path)
        folders[path.parent] = path
    for folder, path in folders.items():
        with naming(path, _NOT_WRITTEN, _NOTHING_LEFT):
            _sync_renames(folder)


def append_line(descriptor: int, line: str) -> None:
    """Append a line, in one write, to a file open for reading and appending; first end a line that was cut off.

    Raises OSError if the disk does not take all of the line.
    """
    content = line.encode() + b"\n"
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        content = b"\n" + content
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_whole(place: Place) -> bytes:
    """The bytes of a file. Raises StorageError, naming the file, if it cannot be read, or as `objects.ask` does."""
    todo = "Check that it exists, and who may read it."
    if isinstance(place, ObjectPath):
        if (found := place.read()) is None:
            raise StorageError("the file could not be read: there is no such object", source=str(place), todo=todo)
        return found[0]
    with naming(place, "the file could not be read", todo):
        return place.read_bytes()


@contextlib.contextmanager
def naming(path: Place, what: str, todo: str | None = None, day: date | None = None) -> Iterator[None]:
    """Turn any OSError about ``path`` into StorageError: the system does not always name the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror or error}", day=day, source=str(path), todo=todo) from error


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn an unexpected file system error into StorageError.

    Any access to DATA_DIR can meet one: a path that is not a folder, a dangling link, another owner.
    """
    try:
        yield
    except OSError as error:
        # An error without a path is not about a disk; an example is a pipe whose reader has closed.
        if error.filename is None:
            raise
        raise StorageError(
            f"the path could not be read or written: {error.strerror or error}",
            source=os.fsdecode(error.filename),
            todo="Check what the path is and who owns it; check DATA_DIR and CHAMPION_LAKE_DIR.",
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents. Raises FileNotFoundError for a symbolic link that leads nowhere."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        if not Path(error.filename).is_symlink():
            raise
        raise FileNotFoundError(errno.ENOENT, "a symbolic link leads nowhere", error.filename) from error


def open_in_folder(path: Path, mode: str, buffering: int = -1) -> IO[bytes]:
    """Open a file, and make its folder first if that is missing."""
    try:
        return path.open(mode, buffering)
    except FileNotFoundError:
        make_folder(path.parent)
        return path.open(mode, buffering)


def sha256(content: bytes) -> str:
    """The SHA-256 of the content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def json_bytes(value: object) -> bytes:
    """A JSON document for people and programs: indented, ending in a newline."""
    return (json.dumps(value, indent=1, default=str, ensure_ascii=False) + "\n").encode()


def read_json(path: Place) -> dict[str, Any] | None:
    """The JSON object in a file; None if the file is absent, unreadable (which is logged) or not an object.

    Of an object store, raises as `objects.ask` does.
    """
    try:
        if isinstance(path, Path):
            content = path.read_bytes()
        elif found := path.read():
            content = found[0]
        else:
            return None
        document = json.loads(content)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        logger.warning("%s is unreadable and treated as absent: %s", path, error)
        return None
    return document if isinstance(document, dict) else None


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def sync_folder(folder: Path) -> str:
    """Make the names in a folder outlast a power failure. If its file system cannot do that: what follows, in words.

    Raises OSError if the disk fails.
    """
    try:
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
        return (
            f"the file system cannot sync a folder ({error.strerror}): "
            "after a power failure, the files written last can be absent"
        )
    return ""


def sync_files(folder: Path) -> None:
    """Make the files of a folder, which another program has written, outlast a power failure. Raises StorageError."""
    with naming(folder, "the files could not be synced", "Check the disk, then run the same command again."):
        for path in filter(Path.is_file, folder.iterdir()):
            _sync(path, os.O_RDWR)
        _sync_renames(folder)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_renames(folder: Path) -> None:
    """Sync a folder after a rename in it; warn once if its file system cannot do that."""
    global _has_warned  # noqa: PLW0603 - once a process
    if (what_follows := sync_folder(folder)) and not _has_warned:
        _has_warned = True
        logger.warning("%s: %s. Run `champion verify --repair` after one.", folder, what_follows)
