"""The days that are loaded into a server, by its ledger of loads: the same for every host and folder.

A day is loaded if its entry in the ledger counts (`Entry.counts`), and, where the lake has the day's file, if that file
is the one that was loaded. So a host with an empty folder sees what others have loaded. With a server, the markers
under ``loaded/`` are this folder's copy of the record: they have the sha256 of lake files that have not changed since,
they record the loads of versions that had no ledger, and they serve while the server does not answer.

The ledger is read once for a range. A fill remembers the answer for the days of a chunk, and reads again before it
loads them; everything else reads the ledger when it needs it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from champion_luigi.base import durable
from champion_luigi.base.errors import ChampionError, StorageError
from champion_luigi.base.places import Listed, Place, at, signature
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline.targets import LoadMarker
from champion_luigi.warehouse import opened
from champion_luigi.warehouse.ledger import Entry, Ledger
from champion_luigi.warehouse.load import Loaded

logger = logging.getLogger("luigi-interface.fill")

_DAY = timedelta(days=1)
# How long a server that did not answer is not asked again: otherwise a look at many days would wait for each of them.
_REST_SECONDS = 10.0

_lock = threading.Lock()
# The entries of the days that a fill works on, by process, warehouse, data set and day.
_remembered: dict[tuple[Any, ...], Entry | None] = {}
# Until when the servers that did not answer are not asked.
_resting: dict[tuple[Any, ...], float] = {}
# The data sets whose markers this process has looked through for loads that the ledger lacks.
_imported: set[tuple[Any, ...]] = set()


class LoadRecord(LoadMarker):
    """The record of a day's load into a server: the ledger's entry, and this folder's marker of it."""

    def __init__(self, path: Path, dataset: Dataset, lake_file: Place, warehouse: Mapping[str, Any], day: date) -> None:
        super().__init__(path, dataset, lake_file, warehouse)
        self.day = day

    def exists(self) -> bool:
        """Whether the load that is due is done, by whichever host."""
        entry = self.entry()
        return entry is not None and _is_of(self, entry)

    def entry(self) -> Entry | None:
        """The load that the warehouse has, whatever lake file it is of."""
        key = _key(self.dataset, self.day)
        with _lock:
            if key in _remembered:
                return _remembered[key]
        return entries(self.dataset, self.day, self.day + _DAY, is_before_load=True).get(self.day)

    def rows(self) -> int | None:
        """The rows that the warehouse has by the record, whatever lake file they are of; None if it has none."""
        entry = self.entry()
        return entry.rows if entry else None


def rows(
    dataset: Dataset, start: date, stop: date, lake_files: Mapping[date, Listed], *, is_before_load: bool = False
) -> dict[date, int]:
    """The rows of each day that is loaded, from ``start`` to ``stop`` (exclusive), from one look at the ledger.

    ``lake_files`` are the lake's files of the range.
    """
    found = entries(dataset, start, stop, is_before_load=is_before_load)
    markers = _markers(dataset, start, stop)
    hashes = _Hashes(dataset)
    there = {}
    for day, entry in found.items():
        sha256 = hashes.of(lake_files[day], markers.get(day)) if day in lake_files else entry.lake_sha256
        if sha256 == entry.lake_sha256:
            there[day] = entry.rows
    hashes.keep()
    return there


def entries(dataset: Dataset, start: date, stop: date, *, is_before_load: bool = False) -> dict[date, Entry]:
    """The entries that count, from ``start`` to ``stop`` (exclusive), whatever the lake has.

    If the server does not answer, those that this folder's markers have; the log says so.
    """
    place = wiring.warehouse_place()
    key = (os.getpid(), place)
    if _resting.get(key, 0.0) < time.monotonic():
        try:
            ledger = opened.shared(place, settings.get("lock_wait_seconds")).ledger
            assert ledger
            found = {day: entry for day, entry in ledger.entries(dataset, start, stop).items() if entry.counts}
            found |= _vouched(dataset, ledger, _unrecorded(dataset, found, start, stop))
        except ChampionError as error:
            _resting[key] = time.monotonic() + _REST_SECONDS
            if not is_before_load or _unrecorded(dataset, {}, start, stop):
                logger.warning("what is loaded is taken from this folder's markers: %s", error)
        else:
            for day, entry in found.items():
                dataset.require_version(entry.schema_version, f"the ledger of {place.words}", day)
            return found
    return {day: _entry_of(document) for day, document in _unrecorded(dataset, {}, start, stop).items()}


def look(dataset: Dataset, days: Iterable[date]) -> None:
    """Read the ledger for some days, and remember the answer until `forget`."""
    if not (asked := sorted(days)):
        return
    found = entries(dataset, asked[0], asked[-1] + _DAY, is_before_load=True)
    with _lock:
        for day in asked:
            _remembered[_key(dataset, day)] = found.get(day)


def forget(dataset: Dataset, days: Iterable[date]) -> None:
    """Let the next look at these days read the ledger."""
    with _lock:
        for day in days:
            _remembered.pop(_key(dataset, day), None)


def note(dataset: Dataset, loads: Mapping[date, tuple[str, Loaded]]) -> None:
    """Correct what is remembered after own loads, each with the lake file's sha256 and the counts."""
    with _lock:
        for day, (sha256, load) in loads.items():
            if (key := _key(dataset, day)) in _remembered:
                _remembered[key] = Entry(sha256, load.rows, load.version, dataset.version, load.version)


def record_markers(dataset: Dataset) -> None:
    """Enter loads that only this folder's markers record, those of earlier versions, once a process; the log says so.

    A load is entered only if the table has exactly its rows. The other days are loaded again.
    """
    place = wiring.warehouse_place()
    if (key := (os.getpid(), place, dataset.name)) in _imported:
        return
    if _marker_days(dataset, date.min, date.max):
        warehouse = opened.shared(place, settings.get("lock_wait_seconds"))
        warehouse.prepare(dataset)
        ledger = warehouse.ledger
        assert ledger
        counting = {day: entry for day, entry in ledger.entries(dataset).items() if entry.counts}
        lacking = _unrecorded(dataset, counting, date.min, date.max)
        if found := _vouched(dataset, ledger, lacking):
            ledger.write(dataset, found)
            left = len(lacking) - len(found)
            logger.info(
                "%s: %d loads that earlier versions recorded in this folder are now in the ledger of %s%s",
                dataset.name,
                len(found),
                place.words,
                f"; not in the table as recorded, and loaded again: {left}" if left else "",
            )
    _imported.add(key)


def _key(dataset: Dataset, day: date) -> tuple[Any, ...]:
    return (os.getpid(), wiring.warehouse_place(), dataset.name, day)


# Markers


def _marker_days(dataset: Dataset, start: date, stop: date) -> dict[date, Listed]:
    return wiring.files(dataset).days(f"loaded/{wiring.warehouse_place().slug}", start, stop)


def _markers(dataset: Dataset, start: date, stop: date, without: Iterable[date] = ()) -> dict[date, dict[str, Any]]:
    """The readable markers of this warehouse, except those of some days."""
    warehouse, left_out = wiring.warehouse_place().identity(dataset), set(without)
    found = {}
    for day, entry in _marker_days(dataset, start, stop).items():
        if day not in left_out:
            with contextlib.suppress(OSError, ValueError):
                document = json.loads(Path(entry.path).read_bytes())
                if isinstance(document, dict) and document.get("warehouse") == warehouse:
                    found[day] = document
    return found


def _unrecorded(dataset: Dataset, found: Mapping[date, Entry], start: date, stop: date) -> dict[date, dict[str, Any]]:
    """The markers of days that the ledger lacks, if they say what was loaded."""
    markers = _markers(dataset, start, stop, found)
    return {
        day: each
        for day, each in markers.items()
        if isinstance(each.get("rows"), int) and isinstance(each.get("lake_sha256"), str)
    }


def _vouched(dataset: Dataset, ledger: Ledger, markers: Mapping[date, Mapping[str, Any]]) -> dict[date, Entry]:
    """The markers whose rows the table has, all of one version."""
    if not markers:
        return {}
    versions = ledger.versions(dataset, min(markers), max(markers) + _DAY)
    found = {}
    for day, document in markers.items():
        rows, version = versions.get(day, (0, 0))
        if rows and rows == document["rows"] and document.get("version", version) == version:
            found[day] = Entry(document["lake_sha256"], rows, version, document.get("schema_version", 1), version)
    return found


def _entry_of(document: Mapping[str, Any]) -> Entry:
    version = document.get("version", 0)
    return Entry(document["lake_sha256"], document["rows"], version, document.get("schema_version", 1), version)


# The lake's files


def _is_of(record: LoadRecord, entry: Entry) -> bool:
    """Whether a load was of the lake's file, where there is one."""
    try:
        stat = signature(record.lake_file)
    except FileNotFoundError:
        return True
    return _sha256_of(record.lake_file, stat, record.load() or {}) == entry.lake_sha256


def _sha256_of(place: Place, stat: list[int | str], marker: Mapping[str, Any]) -> str:
    # An untouched file need not be read.
    if marker.get("lake_stat") == stat and "lake_sha256" in marker:
        return str(marker["lake_sha256"])
    return durable.sha256(durable.read_whole(place))


class _Hashes:
    """The sha256 of lake files; those of files without a marker are stored in one file of DATA_DIR."""

    def __init__(self, dataset: Dataset) -> None:
        self._path = wiring.files(dataset).lake_hashes
        self._known: dict[str, Sequence[Any]] | None = None
        self._is_changed = False

    def of(self, entry: Listed, marker: Mapping[str, Any] | None) -> str:
        """The sha256 of a file."""
        stat = signature(entry)
        if marker and marker.get("lake_stat") == stat and "lake_sha256" in marker:
            return str(marker["lake_sha256"])
        if self._known is None:
            self._known = durable.read_json(self._path) or {}
        match self._known.get(entry.name):
            case [size, tag, str(sha256)] if [size, tag] == stat:
                return sha256
        sha256 = durable.sha256(durable.read_whole(at(entry)))
        self._known[entry.name] = [*stat, sha256]
        self._is_changed = True
        return sha256

    def keep(self) -> None:
        """Store what was found. If the folder cannot be written, each look reads the files again."""
        if self._is_changed:
            with contextlib.suppress(StorageError):
                durable.write_whole(self._path, durable.json_bytes(self._known))
