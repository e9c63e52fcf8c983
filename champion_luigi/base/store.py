"""Operations beyond `durable.write_whole` and `durable.read_whole`: conditions, listing, deleting.

Each takes a place in a folder or in an object store, and does the same in both.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from champion_luigi.base import durable, locks
from champion_luigi.base.errors import ChampionError, SettingsError, StorageError
from champion_luigi.base.places import Listed, ObjectPath, Place, signature

# How the names of the objects begin with which a store is tried out.
PROBE = ".champion-probe-"

_LOCK_SECONDS = 30.0
_READS_AT_ONCE = 16
_READ_AHEAD = 64


def get(place: Place) -> tuple[bytes, str] | None:
    """A file's content and its tag, for `replace_if`; None if it is absent. Raises as `durable.read_whole`."""
    if isinstance(place, ObjectPath):
        return place.read()
    if not place.exists():
        return None
    # The tag first: if the file is replaced in between, the tag is the old one, and a replacement is refused.
    tag = _tag(place)
    return durable.read_whole(place), tag


def put(place: Place, content: bytes) -> None:
    """Write a file, whole or not at all. Raises StorageError, or those of `objects.ask`."""
    durable.write_whole(place, content)


def put_if_absent(place: Place, content: bytes) -> bool:
    """Write a file, whole or not at all, unless there is one. Of several at once, one succeeds.

    If the store's answer was lost on its way, False can be the result of this very call: write content that shows whose
    it is, and read it. Raises StorageError, or those of `objects.ask`.
    """
    if isinstance(place, ObjectPath):
        return place.write_if_absent(content) is not None
    temporary = place.with_name(f"{durable.LEFTOVER_PREFIX}{place.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    with durable.naming(place, "the file could not be written"):
        try:
            durable.write_whole(temporary, content)
            # A link fails where a rename would replace.
            os.link(temporary, place)
        except FileExistsError:
            return False
        except PermissionError:
            # sshfs does not say that the file exists.
            if place.exists():
                return False
            raise
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        durable.sync_folder(place.parent)
    return True


def replace_if(place: Place, content: bytes, tag: str) -> bool:
    """Replace a file if it is still as `get` returned it with this tag. Of several at once, one succeeds.

    Raises StorageError, or those of `objects.ask`; of a folder, Busy if it cannot be locked.
    """
    if isinstance(place, ObjectPath):
        return place.replace_if(content, tag) is not None
    lock = place.with_name(f".{place.name}.lock")
    with locks.locked(lock, place.name, _LOCK_SECONDS):
        if not place.exists() or _tag(place) != tag:
            return False
        durable.write_whole(place, content)
        return True


def gap_seconds(place: Place) -> float:
    """How long the store of a place wants between two writes of one file: a second in Google's, else nothing."""
    return 1.0 if isinstance(place, ObjectPath) and place.bucket.startswith("gs:") else 0.0


def entries(place: Place, start: str = "", stop: str = "") -> Iterator[Listed]:
    """The files below a place, in no order; none is opened. With ``start`` and ``stop``, those whose paths lie between.

    ``start`` and ``stop``, which is excluded, are relative paths; what lies outside of them costs nothing. What a
    killed run left behind is among the files of a folder. Raises OSError, or the errors of `objects.ask`.
    """
    if isinstance(place, ObjectPath):
        yield from place.entries(start, stop)
    else:
        yield from _below(str(place), "", start, stop)


def has_some(place: Place) -> bool:
    """Whether the folder exists or, in an object store, there is any object below the place."""
    return bool(place.entries(most=1)) if isinstance(place, ObjectPath) else place.exists()


def read_many(places: Sequence[Place]) -> Iterator[tuple[Place, bytes | StorageError]]:
    """The contents of files in their order, or the error of each that cannot be read; objects are read ahead.

    Raises StoreUnreachable and SettingsError, which concern all of them.
    """
    if not places or isinstance(places[0], Path):
        for place in places:
            yield place, _content_or_error(place)
        return
    with ThreadPoolExecutor(_READS_AT_ONCE) as threads:
        # Not all at once: thirty years are a gigabyte.
        for start in range(0, len(places), _READ_AHEAD):
            some = places[start : start + _READ_AHEAD]
            yield from zip(some, threads.map(_content_or_error, some), strict=True)


def _content_or_error(place: Place) -> bytes | StorageError:
    try:
        return durable.read_whole(place)
    except StorageError as error:
        return error


def _below(folder: str, prefix: str, start: str, stop: str) -> Iterator[os.DirEntry[str]]:
    try:
        opened = os.scandir(folder)
    except FileNotFoundError:
        return
    with opened:
        for entry in opened:
            name = prefix + entry.name
            if entry.is_dir():
                # All paths in it begin with its name and a slash, after which 0 follows.
                if name + "0" > start and (not stop or name + "/" < stop):
                    yield from _below(entry.path, name + "/", start, stop)
            elif start <= name and (not stop or name < stop):
                yield entry


def delete(place: Place) -> None:
    """Delete a file that may be absent. Raises StorageError, or those of `objects.ask`."""
    with durable.naming(place, "the file could not be deleted", "Check its permissions."):
        place.unlink(missing_ok=True)


def require(place: Place) -> None:
    """Try out the store of a place, if it is one: writing under a condition, listing, and deleting.

    Raises SettingsError if the store lacks what it takes, or the key the rights, and the other errors of `objects.ask`.
    """
    if isinstance(place, Path):
        return
    probe = place / f"{PROBE}{uuid.uuid4().hex}"
    try:
        _require(place, probe)
    except BaseException:
        with contextlib.suppress(ChampionError):
            probe.unlink(missing_ok=True)
        raise
    probe.unlink(missing_ok=True)


def _require(place: ObjectPath, probe: ObjectPath) -> None:
    lacks = None
    first = probe.write_if_absent(b"first")
    if first is None or probe.write_if_absent(b"second") is not None:
        lacks = "If-None-Match: a file that exists can be written as if it did not"
    elif probe.replace_if(b"third", first) is None or probe.replace_if(b"fourth", first) is not None:
        lacks = "If-Match: a file that has changed can be replaced as if it had not"
    elif (probe.read() or (b"",))[0] != b"third" or not place.entries(probe.name, f"{probe.name}0"):
        lacks = "a consistent view: what was written is not there when it is read or listed"
    if lacks:
        raise SettingsError(
            f"the store of {place.bucket} ignores conditions of writing, so two hosts could overwrite each other",
            source=str(place),
            expected="a store such as Amazon S3, Ceph, MinIO, Cloudflare R2, Google Cloud Storage or Azure Blob",
            found=f"no {lacks}",
            todo="Use another store, or a folder.",
        )


def _tag(path: Path) -> str:
    return "-".join(map(str, [path.stat().st_ino, *signature(path)]))
