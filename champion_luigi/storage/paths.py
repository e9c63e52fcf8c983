"""The path of each file of a day below DATA_DIR, and the day of a path. No other module knows a path's parts.

The first data set's files lie where version 0.1.0 put them; every other data set has a folder level of its own:
``raw/2024/bhavcopy_20240115.json`` beside ``raw/index_close/2024/index_close_20240115.json``. A payload that several
data sets read is in none of them: ``raw/shared/pr/2024/PR150124.zip``. Nor is the list of changed symbols, which is of
no data set: ``raw/symbol_changes/2024/symbolchange_20240115.csv``.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from champion_luigi.base.places import Listed, ObjectPath, Place
from champion_luigi.datasets.model import Dataset

# The suffix of each kind of file. Receipts, and markers under ``loaded/<warehouse>``, end in `_DOCUMENT`.
_SUFFIXES = {"parsed": ".arrows", "normalized": ".arrows", "rejects": ".jsonl"}
_DOCUMENT = ".json"
# The kinds of tables between two stages. Each can be made again from the payload.
INTERMEDIATES = ("parsed", "normalized")
# In place of a data set's folder. No data set has this name.
SHARED = "shared"
_SYMBOL_CHANGES = "symbol_changes"
# The folder of fetched files, unless CHAMPION_RAW_DIR names another place.
_RAW = "raw"


@dataclass(frozen=True)
class DayFiles:
    """The paths of a data set's files below ``root``, which is DATA_DIR; fetched files are below ``raw_root``."""

    root: Path
    dataset: Dataset
    # None: the folder in DATA_DIR.
    raw_root: Place | None = None

    def of(self, dataset: Dataset) -> DayFiles:
        """The paths of another data set's files."""
        return replace(self, dataset=dataset)

    @property
    def raw(self) -> Place:
        """The folder of fetched files, of all data sets."""
        return self.root / _RAW if self.raw_root is None else self.raw_root

    def receipt(self, day: date) -> Place:
        """The document that describes a day's payload, stored beside it."""
        if self.raw_root is None:
            return self._of(_RAW, day)
        return self.raw_root.joinpath(self.dataset.folder, f"{day.year:04}", name_of(self.dataset, day) + _DOCUMENT)

    def restated(self, day: date, sha256: str) -> Place:
        """The folder for a replaced payload and its receipt."""
        return self.receipt(day).parent / "restated" / f"{day:%Y%m%d}-{sha256[:16]}"

    def shared(self, name: str, day: date) -> Place:
        """The folder of a day's payload that several data sets read; ``name`` is that of `Source.shared`."""
        return self.raw / SHARED / name / f"{day:%Y}"

    def restated_shared(self, name: str, day: date, sha256: str) -> Place:
        """The folder for a replaced payload that several data sets read."""
        return self.shared(name, day) / "restated" / f"{day:%Y%m%d}-{sha256[:16]}"

    def shared_lock(self, name: str, day: date) -> Path:
        """The lock that a process holds, besides the day's, while it fetches and stores a shared payload."""
        return self.root / "locks" / SHARED / name / f"{day}.lock"

    def table(self, stage: str, day: date) -> Path:
        """The table that a stage writes for the next one; ``stage`` is one of `INTERMEDIATES`."""
        return self._of(stage, day)

    def rejects(self, day: date) -> Path:
        """The rejected rows of a day, one JSON object a line; absent if there were none."""
        return self._of("rejects", day)

    def marker(self, warehouse: str, day: date) -> Path:
        """The record of a day's load into a warehouse, which is given by its short name."""
        return self._of(f"loaded/{warehouse}", day)

    def markers_anywhere(self, day: date) -> list[Path]:
        """A day's markers for all warehouses that it was ever loaded into."""
        marker = self.marker("*", day)
        return sorted(self.root.glob(str(marker.relative_to(self.root))))

    @property
    def lake_hashes(self) -> Path:
        """The sha256 of lake files that this folder's markers lack, to compare with a server's ledger of loads."""
        return self.folder("loaded") / "lake_sha256.json"

    def lock(self, day: date) -> Path:
        """The lock that a process holds while it works on the day."""
        return self.folder("locks") / f"{day}.lock"

    @property
    def due(self) -> Path:
        """The folder of the notes about stages that were requested again."""
        return self.folder("due")

    @property
    def answers(self) -> Path:
        """The data set's ledger of the archive's answers. Version 0.1.0 would misread another data set's lines."""
        name = f"ledger-{self.dataset.folder}.jsonl" if self.dataset.folder else "ledger.jsonl"
        return self.root / name

    def folder(self, name: str) -> Path:
        """The data set's folder of a kind: ``raw``, ``parsed``, ``normalized``, ``rejects``, ``loaded/<warehouse>``."""
        return self.root / name / self.dataset.folder

    def day_of(self, path: str | Path) -> date | None:
        """The day in the name of one of this data set's files; None for any other name."""
        return day_in(self.dataset, Path(path).name)

    def days(self, kind: str, start: date = date.min, stop: date = date.max) -> dict[date, Listed]:
        """The finished files of a kind (as for `folder`) by day, from ``start`` to ``stop`` (exclusive)."""
        found: dict[date, Listed] = {}
        suffix = _SUFFIXES.get(kind, _DOCUMENT)
        for year, entry in self._listed(kind, start, stop):
            day = self.day_of(entry.name) if entry.name.endswith(suffix) else None
            if day and day.year == year and start <= day < stop:
                found[day] = entry
        return found

    def years(self, kind: str) -> list[int]:
        """The years that have a folder of a kind, ascending."""
        folder = self._folder(kind)
        if isinstance(folder, ObjectPath):
            return sorted({year for year, _ in self._listed(kind, date.min, date.max)})
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if re.fullmatch(r"\d{4}", name))

    def _listed(self, kind: str, start: date, stop: date) -> Iterator[tuple[int, Listed]]:
        """What is in the folders of years from ``start`` to ``stop``, but not in folders below these."""
        folder = self._folder(kind)
        if isinstance(folder, ObjectPath):
            for found in folder.entries(f"{start.year:04}/", f"{stop.year:04}0"):
                year, _, name = str(found.at.relative_to(folder)).partition("/")
                if re.fullmatch(r"\d{4}", year) and "/" not in name:
                    yield int(year), found
            return
        for each in self.years(kind):
            if start.year <= each <= stop.year:
                with os.scandir(folder / str(each)) as entries:
                    for entry in entries:
                        yield each, entry

    def _folder(self, kind: str) -> Place:
        return self.raw.joinpath(self.dataset.folder) if kind == _RAW else self.folder(kind)

    def _of(self, kind: str, day: date) -> Path:
        # In one step: a look at a day makes a dozen paths.
        name = name_of(self.dataset, day) + _SUFFIXES.get(kind, _DOCUMENT)
        return self.root.joinpath(kind, self.dataset.folder, f"{day.year:04}", name)


@dataclass(frozen=True)
class ListFiles:
    """The paths of the lists of changed symbols: one for each day of fetching. The roots are those of `DayFiles`."""

    root: Path
    raw_root: Place | None = None

    def content(self, day: date) -> Place:
        """The list that was fetched on a day."""
        return self._folder / f"{day:%Y}" / f"symbolchange_{day:%Y%m%d}.csv"

    def receipt(self, day: date) -> Place:
        """The document about the list of a day. It names the day of an earlier list if that one is the same."""
        return self.content(day).with_suffix(_DOCUMENT)

    def lock(self, day: date) -> Path:
        """The lock that a process holds while it fetches and stores the list."""
        return self.locks / f"{day}.lock"

    @property
    def locks(self) -> Path:
        """The folder of these locks."""
        return self.root / "locks" / _SYMBOL_CHANGES

    def days(self) -> list[date]:
        """The days that have a receipt, ascending."""
        found = self._folder.glob(f"[0-9][0-9][0-9][0-9]/symbolchange_*{_DOCUMENT}")
        return sorted(filter(None, (_day_after("symbolchange", path.name) for path in found)))

    @property
    def _folder(self) -> Place:
        return (self.root / _RAW if self.raw_root is None else self.raw_root) / _SYMBOL_CHANGES


def name_of(dataset: Dataset, day: date) -> str:
    """The name of a day's files, without the suffix: ``bhavcopy_20240115``."""
    return f"{dataset.stem}_{day:%Y%m%d}"


def day_in(dataset: Dataset, name: str) -> date | None:
    """The inverse of `name_of`, for a name with any suffix; None for a leftover or another data set's file."""
    return _day_after(dataset.stem, name)


def _day_after(stem: str, name: str) -> date | None:
    found = _pattern(stem).fullmatch(name)
    try:
        return date(int(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None


@functools.cache
def _pattern(stem: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(stem)}_(\d{{4}})(\d\d)(\d\d)\.\w+", re.ASCII)
