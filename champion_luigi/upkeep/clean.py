"""Files that can be removed: leftovers of killed runs, and outputs between two stages that no later one will read.

Only files that the package itself has named are considered. A lock can go when no process holds it, and a host's claim
to a day when nobody has renewed it for an hour. A temporary file is judged by its age, because its writer may run on
another host that shares the folder. Writing takes seconds, so a file that has not changed for an hour is abandoned. If
that is wrong, its writer fails with a clear error, and no data is lost.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from champion_luigi.base import durable, locks, store
from champion_luigi.base.errors import Busy, StorageError
from champion_luigi.base.places import ObjectPath, Place, at, modified
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import complete as listing
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.storage import adjustments, claims
from champion_luigi.storage.paths import INTERMEDIATES, SHARED, DayFiles, ListFiles
from champion_luigi.tracking import journal, presence, record

LEFTOVER_SECONDS = 3600.0

# As `durable.write_whole` names them.
_LEFTOVER = re.compile(re.escape(durable.LEFTOVER_PREFIX) + r".+-\d+-[0-9a-f]{8}")
_LOCK = re.compile(r"(\d{4}-\d\d-\d\d|archive)\.lock")
_PRESENCE = re.compile(r"[0-9a-f]{32}")
_CLAIM = re.compile(r"\d{4}-\d\d-\d\d\.json")


@dataclass(frozen=True)
class Item:
    """A file that can be removed, its kind, and its size in bytes.

    An intermediate also has its data set and day, and a claim its state.
    """

    kind: str
    path: Place
    bytes: int
    files: DayFiles | None = None
    day: date | None = None
    tag: str = ""


@dataclass(frozen=True)
class Kept:
    """A file of these kinds that must stay, and the reason."""

    path: Place
    why: str


def find(
    intermediates_of: type[DayTask] | None = None, datasets: Sequence[Dataset] = ()
) -> tuple[list[Item], list[Kept]]:
    """The files that can be removed, and those that must stay. Changes nothing.

    Intermediates are found for days whose ``intermediates_of`` task (LoadClickHouse or WriteParquet) is complete, of
    these data sets, or else of all.
    """
    items, kept = [], []
    for path, status in _leftovers():
        if time.time() - status.st_mtime > LEFTOVER_SECONDS:
            items.append(Item("leftover", path, status.st_size))
        else:
            kept.append(Kept(path, "younger than an hour: a process may be writing it"))
    for path in _locks():
        if by := locks.holder(path):
            kept.append(Kept(path, f"held by {by}"))
        else:
            with contextlib.suppress(FileNotFoundError):
                items.append(Item("lock", path, path.stat().st_size))
    for found in _in_stores():
        if isinstance(found, Item):
            items.append(found)
        else:
            kept.append(found)
    if intermediates_of is not None:
        items += _intermediates(intermediates_of, datasets or tuple(catalog.DATASETS.values()))
    return items, kept


def remove(item: Item, intermediates_of: type[DayTask] | None = None) -> Kept | None:
    """Delete a file that `find` returned, or return the reason why it must stay after all. Raises StorageError."""
    lock = item.files.lock(item.day) if item.files and item.day else item.path
    try:
        if item.kind == "claim":
            return None if claims.end(item.path, item.tag) else Kept(item.path, "another host has taken it over")
        if item.kind == "leftover":
            item.path.unlink(missing_ok=True)
            return None
        # Releasing a lock removes its file, and never the file of a process that has just taken it.
        with locks.locked(lock, lock.name, 0):
            if item.files and item.day:
                name = item.files.dataset.name
                if intermediates_of and not intermediates_of(date=item.day, dataset=name).is_made():
                    return Kept(item.path, "its day has become due in the meantime")
                item.path.unlink(missing_ok=True)
            return None
    except Busy as error:
        return Kept(item.path, f"in use by {error.found}")
    except OSError as error:
        raise StorageError(
            f"the file could not be removed: {error.strerror or error}",
            source=str(item.path),
            todo="Check the permissions, then run the same command again.",
        ) from error


def remove_all(items: Sequence[Item], intermediates_of: type[DayTask] | None = None) -> dict[Item, Kept]:
    """Delete files that `find` returned. Returns those that must stay, each with the reason. Raises StorageError."""
    days: dict[str, set[date]] = {}
    for item in items:
        if item.files and item.day:
            days.setdefault(item.files.dataset.name, set()).add(item.day)
    of = intermediates_of or DayTask
    tasks = [[of(date=day, dataset=name) for day in sorted(each)] for name, each in days.items()]
    try:
        for each in tasks:
            of.look(each)
        return {item: why for item in items if (why := remove(item, intermediates_of))}
    finally:
        for each in tasks:
            of.forget(each)


def _leftovers() -> Iterator[tuple[Path, os.stat_result]]:
    """The temporary files under DATA_DIR and the lake; symbolic links below them are not followed."""
    data = settings.data_dir().absolute()
    # In an object store, a file is whole or not there.
    others = [settings.local_dir(), settings.lake_dir(), settings.raw_dir()]
    roots = {root.absolute() for root in others if isinstance(root, Path)}
    for root in [data, *sorted(root for root in roots if not root.is_relative_to(data))]:
        for folder, _, names in os.walk(root):
            for path in (Path(folder, name) for name in names if _LEFTOVER.fullmatch(name)):
                # Its writer may rename it at this moment.
                with contextlib.suppress(FileNotFoundError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode):
                        yield path, status


def _in_stores() -> Iterator[Item | Kept]:
    """What killed hosts left in the store that hosts share: objects that tried it out, claims that nobody renews."""
    for root in dict.fromkeys((settings.lake_dir(), settings.raw_dir())):
        if isinstance(root, ObjectPath):
            # As far as all names that begin so.
            for each in root.entries(store.PROBE, f"{store.PROBE}~"):
                if time.time() - each.modified > LEFTOVER_SECONDS:
                    yield Item("leftover", each.at, each.size)
    folder = wiring.claims_folder()
    for listed in store.entries(folder) if folder else ():
        if _CLAIM.fullmatch(listed.name) and (found := store.get(at(listed))):
            content, tag = found
            if time.time() - modified(listed) > max(LEFTOVER_SECONDS, claims.seconds_of(content)):
                yield Item("claim", at(listed), len(content), tag=tag)
            else:
                yield Kept(at(listed), f"held by {claims.holder_of(content)}")


def _locks() -> Iterator[Path]:
    """The existing lock files: of days, the archive's pace, warehouse, adjustments, journal and running processes."""
    data, folder = settings.data_dir().absolute(), record.journal_folder().absolute()
    of_days = [(DayFiles(data, dataset).folder("locks"), _LOCK) for dataset in catalog.DATASETS.values()]
    of_shared = [(each, _LOCK) for each in sorted((data / "locks" / SHARED).glob("*"))]
    of_lists = (ListFiles(data).locks, _LOCK)
    for parent, pattern in (*of_days, *of_shared, of_lists, (journal.presence_file(folder, ""), _PRESENCE)):
        if parent.is_dir():
            names = (path for path in sorted(parent.iterdir()) if pattern.fullmatch(path.name))
            # This process's own presence is of no interest to the process itself.
            yield from (path for path in names if path.name != presence.PROCESS)
    single = (data / "warehouse.lock", adjustments.lock(data), folder / "carrier.lock")
    yield from (path for path in single if path.is_file())


def _intermediates(of: type[DayTask], datasets: Sequence[Dataset]) -> Iterator[Item]:
    """The tables between two tasks, for complete days."""
    for dataset in datasets:
        files = wiring.files(dataset)
        found = [each for stage in INTERMEDIATES for each in files.days(stage).items()]
        if found:
            first, last = min(day for day, _ in found), max(day for day, _ in found)
            complete = listing.complete_days(of, dataset, first, last + timedelta(days=1)) or set()
            for day, entry in found:
                if day in complete:
                    yield Item("intermediate", path := Path(entry.path).absolute(), path.stat().st_size, files, day)
