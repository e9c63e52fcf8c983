"""Disk checks of `champion doctor`: writable folders, free space and working locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from champion_luigi.base import durable, mounts, store
from champion_luigi.base.package import VERSION
from champion_luigi.base.places import ObjectPath, Place
from champion_luigi.commands.doctor.findings import Finding, Status
from champion_luigi.config import settings
from champion_luigi.storage import version

_MIB = 1024 * 1024
# A year takes about 100 MiB in raw files and lake, and the warehouse some more.
_LITTLE_SPACE = 2048 * _MIB
_NO_SPACE = 200 * _MIB
# A day takes about ten files and folders.
_FEW_FILES = 50_000
_NO_FILES = 1_000
_FREE_SOME = "Free some space: a year takes about 100 MiB in raw files and lake, and the warehouse more."
_NO_SYNC = "Run `champion verify --repair` after a power failure, or use a local disk."
_OWN_LOCKS = (
    "Let one host alone use DATA_DIR; several would do each day twice. Hosts can share NFS 4 or an object store."
)
_NO_LOCKS = "Mount the file system with locks, or put DATA_DIR on a local disk."


def data_folder() -> Finding:
    """Whether DATA_DIR exists or can be made, and can be written."""
    return takes_files(settings.data_dir())


def layout() -> Finding:
    """The layout of DATA_DIR, the version that recorded it, and whether this version supports it."""
    found = version.noted(settings.data_dir())
    here = f"this is champion_luigi {VERSION}"
    if found is None:
        return Finding("OK", f"none recorded: the next run records layout {version.LAYOUT}; {here}")
    return Finding("OK", f"layout {found.layout}, recorded by champion_luigi {found.package}; {here}")


def lake_folder() -> Finding:
    """Whether the lake's folder exists or can be made, and can be written, or its object store can be used."""
    return takes_files(settings.lake_dir())


def raw_folder() -> Finding:
    """The same for the folder of fetched files, or its object store."""
    return takes_files(settings.raw_dir())


def takes_files(folder: Place) -> Finding:
    """Whether a folder can be written, or the folder in which it would be made: write a file there, and remove it.

    Also whether the names of new files outlast a power failure there. For an object store, whether the key has the
    rights that it needs, and whether the store honours conditions.
    """
    if isinstance(folder, ObjectPath):
        store.require(folder)
        return Finding("OK", f"{folder}: the key may list, read, write and delete; conditions of writing are honoured")
    try:
        with _test_file(folder) as path, path.open("wb") as file:
            file.write(b"champion doctor\n" * 256)
            file.flush()
            os.fsync(file.fileno())
            not_synced = durable.sync_folder(path.parent)
    except OSError as error:
        todo = "Correct its permissions, or set DATA_DIR and CHAMPION_LAKE_DIR to writable folders."
        return Finding("PROBLEM", f"{folder.absolute()} cannot be written: {error.strerror or error}", todo)
    if not_synced:
        return Finding("WARNING", f"{folder.absolute()}: {not_synced}", _NO_SYNC)
    return Finding("OK", f"{folder.absolute()}" + ("" if folder.exists() else ", to be made by the first run"))


def locks() -> Finding:
    """Whether locks between processes work in DATA_DIR; on some network file systems they do not."""
    with contextlib.ExitStack() as opened:
        try:
            path = opened.enter_context(_test_file(settings.data_dir()))
        except OSError:
            return Finding("WARNING", "not checked: DATA_DIR cannot be written", "See the line about the data folder.")
        first, second = (opened.enter_context(path.open("r+b")) for _ in range(2))
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return Finding("PROBLEM", f"flock does not work in DATA_DIR: {error.strerror}", _NO_LOCKS)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return _of_other_hosts()
    return Finding("PROBLEM", "flock has no effect in DATA_DIR: two runs could process the same day at once", _NO_LOCKS)


def _of_other_hosts() -> Finding:
    """What is known of locks between hosts, where locks between processes of this host work."""
    data = mounts.mount_of(settings.data_dir())
    if data is None or not data.is_shared or data.has_common_locks:
        return Finding("OK", "a second process waits for the first (flock)")
    found = f"a second process waits for the first (flock), but not one on another host: DATA_DIR is on {data.kind}"
    return Finding("WARNING", f"{found}, whose locks are not known to reach further than this host", _OWN_LOCKS)


def shared() -> Finding:
    """Whether other hosts can use DATA_DIR too and, if so, whether what only one host may write is elsewhere."""
    data, local = (mounts.mount_of(folder) for folder in (settings.data_dir(), settings.local_dir()))
    if data is None or local is None:
        return Finding("OK", "the type of the file system is not known here")
    if not data.is_shared and not local.is_shared:
        return Finding("OK", f"no: DATA_DIR is on {data.kind}, of this host alone")
    if local.is_shared:
        what = "the journal, the archive's answers" + (
            "" if settings.get("mlflow_tracking_uri") else " and MLflow's SQLite"
        )
        found = f"{what} are on {local.kind} ({local.folder}): appends from two hosts lose lines there"
        return Finding("WARNING", found, "Set CHAMPION_LOCAL_DIR on each host to a folder on its own local disk.")
    own = f"what belongs to this host alone is in {settings.local_dir().absolute()}"
    return Finding("OK", f"DATA_DIR is on {data.kind} ({data.folder}); {own}")


def space() -> Finding:
    """Free space and free files (inodes) on the disks of DATA_DIR and the lake."""
    found: dict[int, tuple[Path, os.statvfs_result]] = {}
    for folder in (settings.data_dir(), settings.lake_dir(), settings.raw_dir()):
        if isinstance(folder, ObjectPath):
            continue
        there = _nearest(folder)
        found.setdefault(there.stat().st_dev, (folder.absolute(), os.statvfs(there)))
    status: Status = "OK"
    texts = []
    for folder, disk in found.values():
        free = disk.f_bavail * disk.f_frsize
        # Some file systems have no limit on files, and report 0 of 0.
        left = disk.f_favail if disk.f_files else _FEW_FILES
        if free < _NO_SPACE or left < _NO_FILES:
            status = "PROBLEM"
        elif (free < _LITTLE_SPACE or left < _FEW_FILES) and status == "OK":
            status = "WARNING"
        files_left = f", room for {left:,} files" if left < _FEW_FILES else ""
        texts.append(f"{free / 1024 / _MIB:,.1f} GiB{files_left}" + (f" at {folder}" if len(found) > 1 else ""))
    return Finding(status, "; ".join(texts), "" if status == "OK" else _FREE_SOME)


@contextlib.contextmanager
def _test_file(folder: Path) -> Iterator[Path]:
    """An empty file in the folder, or in its nearest existing parent; it is removed afterwards."""
    descriptor, name = tempfile.mkstemp(prefix=f"{durable.LEFTOVER_PREFIX}doctor-", dir=_nearest(folder))
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink()


def _nearest(path: Path) -> Path:
    """The path itself if it exists, or else its nearest existing parent."""
    path = path.absolute()
    while not os.path.lexists(path):
        path = path.parent
    return path
