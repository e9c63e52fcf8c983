"""Compare raw payloads, lake and warehouse, date by date.

The stored payload is compared with its receipt; the lake file with the receipt, the record of its load and its own
metadata; and the warehouse with the lake and the record. The record is a marker, or the entry in a server's ledger of
loads. Each year takes one Polars scan and one look at the warehouse, so memory is bounded by a year. An unreadable file
counts as a difference on its date, and the comparison goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from champion_luigi.base import durable, store
from champion_luigi.base.errors import DamagedFile, StorageError
from champion_luigi.base.places import Place, at
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset
from champion_luigi.storage import lake, raw, tables
from champion_luigi.storage.paths import DayFiles
from champion_luigi.warehouse import opened
from champion_luigi.warehouse.ledger import Entry
from champion_luigi.warehouse.table import OnHost, Sums, Warehouse

if TYPE_CHECKING:
    import polars as pl

# The places, in the order of a repair.
Where = Literal["raw", "lake", "warehouse"]

ONLY_IN_WAREHOUSE = "a day that is not in the lake"

_CLOSE = 1e-9


@dataclass(frozen=True)
class Difference:
    """One difference on a date, and the place where it was found."""

    date: date
    where: Where
    what: str
    expected: str
    found: str


@dataclass
class Verdict:
    """The number of days compared in each place, and the differences. ``warehouse`` is None if there is none.

    ``troubles`` are sentences about hosts of a cluster that do not answer, are read-only or lag behind.
    """

    raw: int = 0
    lake: int = 0
    warehouse: int | None = None
    days: set[date] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


@dataclass
class _LakeFile:
    """A lake file: its metadata, the sums of its rows, and any dates in it other than its own."""

    path: Place
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    held: Sums | None = None
    other_dates: str = ""
    trouble: str = ""
    is_as_normalized: bool = True


def of_range(dataset: Dataset, start: date | None = None, end: date | None = None) -> Verdict:
    """Compare every date of a data set from ``start`` to ``end``, both included; by default all dates.

    Raises Busy if another process holds the embedded warehouse, and the errors of a server's connection.
    """
    verdict = Verdict()
    of = _Of.data_set(dataset)
    for year in of.years():
        first = max(date(year, 1, 1), start or date.min)
        stop = min(date(year + 1, 1, 1), end + timedelta(days=1) if end else date.max)
        if first < stop:
            _compare(of, first, stop, verdict)
    if of.warehouse is not None:
        verdict.warehouse = verdict.warehouse or 0
        verdict.troubles = of.warehouse.troubles()
    if verdict.differences:
        # A task may have written while raw, lake and warehouse were read: only differences found twice count.
        again = of_days(dataset, {each.date for each in verdict.differences})
        verdict.differences = [each for each in verdict.differences if each in again]
    return verdict


def of_days(dataset: Dataset, days: Iterable[date]) -> list[Difference]:
    """The differences on these dates."""
    of, verdict = _Of.data_set(dataset), Verdict()
    for day in sorted(days):
        _compare(of, day, day + timedelta(days=1), verdict)
    return verdict.differences


@dataclass(frozen=True)
class _Of:
    """The two sides of a comparison: a data set's files, and the warehouse if anything was ever loaded into it."""

    dataset: Dataset
    files: DayFiles
    warehouse: Warehouse | None

    @classmethod
    def data_set(cls, dataset: Dataset) -> _Of:
        place = wiring.warehouse_place()
        warehouse = None if place.is_absent else opened.shared(place, settings.get("lock_wait_seconds"))
        return cls(dataset, wiring.files(dataset), warehouse)

    @property
    def loaded(self) -> str:
        """The folder of this warehouse's markers, as a kind of `DayFiles`."""
        return f"loaded/{wiring.warehouse_place().slug}"

    def years(self) -> list[int]:
        """The years that have any data, ascending."""
        found = {day.year for day, _ in lake.days(settings.lake_dir(), self.dataset)}
        found |= {*self.files.years("raw"), *self.files.years(self.loaded)}
        if self.warehouse and self.warehouse.ledger:
            found |= {day.year for day in self.entries(date.min, date.max)}
        return sorted(found | set(self.warehouse.years(self.dataset) if self.warehouse else ()))

    def entries(self, first: date, stop: date) -> dict[date, Entry]:
        """The entries of a range in a server's ledger of loads."""
        ledger = self.warehouse.ledger if self.warehouse else None
        # Whatever is wrong with a replica is a finding.
        return ledger.entries(self.dataset, first, stop, in_step=False) if ledger else {}

    def documents(self, kind: str, first: date, stop: date) -> dict[date, dict[str, Any]]:
        """The receipts or markers of a range, by date; an unreadable one is empty."""
        entries = self.files.days(kind, first, stop)
        contents = store.read_many([at(entry) for entry in entries.values()])
        return {day: _document(content) for day, (_, content) in zip(entries, contents, strict=True)}


def _document(content: bytes | StorageError) -> dict[str, Any]:
    """The JSON object in a file; empty if it cannot be read."""
    try:
        found = {} if isinstance(content, StorageError) else json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _compare(of: _Of, first: date, stop: date, verdict: Verdict) -> None:
    """Compare the dates from ``first`` to ``stop`` (exclusive), all of one year."""
    receipts = of.documents("raw", first, stop)
    markers = of.documents(of.loaded, first, stop) if of.warehouse else {}
    identity = wiring.warehouse_place().identity(of.dataset)
    markers = {day: marker for day, marker in markers.items() if marker.get("warehouse") == identity}
    entries = of.entries(first, stop)
    loads: dict[date, Mapping[str, Any]] = {**markers, **{day: vars(each) for day, each in entries.items()}}
    on_hosts = of.warehouse.held_on_hosts(of.dataset, first, stop) if of.warehouse else []
    held = of.warehouse.held(of.dataset, first, stop) if of.warehouse and not on_hosts else {}
    for each in on_hosts:
        held |= each.held
    lake_files = _lake_files(of, first, stop, loads)

    days = receipts.keys() | loads.keys() | held.keys() | lake_files.keys()
    for day in sorted(days):
        found = [
            *_raw_differences(of, day, receipts.get(day), in_lake=day in lake_files),
            *_lake_differences(day, lake_files.get(day), receipts.get(day), loads.get(day), is_own=day in markers),
        ]
        if of.warehouse:
            file, load = lake_files.get(day), loads.get(day)
            found += (
                _host_differences(of, day, file, load, on_hosts)
                if on_hosts
                else _warehouse_differences(of, day, file, load, held.get(day))
            )
            # A marker that the ledger lacks is entered there before the next load.
            is_known = day in lake_files and day not in markers
            found += _ledger_differences(of, day, entries.get(day), held.get(day), is_known=is_known)
        verdict.differences += found
    verdict.days |= days
    verdict.raw += len(receipts)
    verdict.lake += len(lake_files)
    if of.warehouse:
        verdict.warehouse = (verdict.warehouse or 0) + len(held)


# Raw


def _raw_differences(of: _Of, day: date, receipt: Mapping[str, Any] | None, *, in_lake: bool) -> Iterator[Difference]:
    if receipt is None:
        if in_lake:
            yield Difference(day, "raw", "receipt", "a receipt for the day in the lake", "none")
    elif not raw.is_receipt(of.files, receipt):
        yield Difference(day, "raw", "receipt", "a receipt with file, format and sha256", "an unreadable receipt")
    else:
        path = raw.place_of(of.files, day, receipt)
        try:
            if (found := durable.sha256(durable.read_whole(path))) != receipt["sha256"]:
                yield Difference(day, "raw", "sha256 of the payload", str(receipt["sha256"]), found)
        except StorageError as error:
            yield Difference(day, "raw", "payload", path.name, error.what)


# Lake


def _lake_files(of: _Of, first: date, stop: date, loads: Mapping[date, Any]) -> dict[date, _LakeFile]:
    found = {}
    listed = {day: at(entry) for day, entry in lake.days(settings.lake_dir(), of.dataset, first, stop)}
    for day, (place, content) in zip(listed, store.read_many(list(listed.values())), strict=True):
        found[day] = file = _LakeFile(place)
        try:
            if isinstance(content, StorageError):
                raise content
            file.sha256 = durable.sha256(content)
            if day in loads:
                file.metadata = lake.metadata_of(content, place, of.dataset)
            else:
                # No record has its sha256: compare its rows with the table from which it was written.
                rows, file.metadata = lake.table_of(content, place, of.dataset)
                file.is_as_normalized = _is_as_normalized(of, day, rows, file.metadata)
        except (StorageError, DamagedFile) as error:
            file.trouble = error.what
    _fill_in(of, {day: file for day, file in found.items() if not file.trouble})
    return found


def _is_as_normalized(of: _Of, day: date, rows: pl.DataFrame, metadata: Mapping[str, str]) -> bool:
    """Whether the rows equal the normalized table; True if that table is absent, damaged or of another payload."""
    try:
        expected, theirs = tables.read_table(of.files.table("normalized", day))
    except (StorageError, DamagedFile):
        return True
    if theirs.get("source_sha256") != metadata.get("source_sha256"):
        return True
    return lake.sorted_by_key(expected, of.dataset).equals(rows)


def _fill_in(of: _Of, readable: Mapping[date, _LakeFile]) -> None:
    """Add the sums of each file, by one scan of all files, or one scan a file if one of them cannot be read."""
    import polars as pl

    if not readable:
        return
    try:
        held = _scanned(of, [str(file.path) for file in readable.values()])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if len(readable) > 1:
            for day, file in readable.items():
                _fill_in(of, {day: file})
        else:
            [file] = readable.values()
            file.trouble = f"the Parquet file cannot be read: {' '.join(str(error).split())[:200]}"
        return
    for day, file in readable.items():
        rows, keys, low, high, nulls, *sums = held.get(str(file.path), (0, 0, None, None, 0, *of.dataset.no_sums))
        file.held = Sums(rows, keys, tuple(sums))
        if file.held.rows and (low != day or high != day or nulls):
            file.other_dates = f"{low} to {high}" + (f", {nulls} rows without a date" if nulls else "")


def _scanned(of: _Of, paths: list[str]) -> dict[str, tuple[Any, ...]]:
    import polars as pl

    day = pl.col("trade_date")
    found = (
        lake.scan_files(paths, of.dataset, "_path")
        .group_by("_path")
        .agg(
            pl.len(),
            pl.struct(*of.dataset.key).n_unique().alias("_keys"),
            day.min().alias("_low"),
            day.max().alias("_high"),
            day.null_count().alias("_nulls"),
            *(pl.col(name).sum() for name in of.dataset.sums),
        )
        .collect(engine="streaming")
    )
    return {row[0]: row[1:] for row in found.iter_rows()}


def _lake_differences(
    day: date,
    file: _LakeFile | None,
    receipt: Mapping[str, Any] | None,
    load: Mapping[str, Any] | None,
    *,
    is_own: bool,
) -> Iterator[Difference]:
    """The differences of a lake file; ``is_own`` says whether this folder has loaded one of the day."""
    if file is None:
        if is_own:
            yield Difference(day, "lake", "file", "the file that the marker records as loaded", "none")
        return
    if file.trouble or file.held is None:
        yield Difference(day, "lake", "file", "a Parquet file that can be read", file.trouble)
        return
    if load is not None and load.get("lake_sha256") != file.sha256:
        yield Difference(day, "lake", "sha256 of the file that was loaded", str(load.get("lake_sha256")), file.sha256)
    source = file.metadata.get("source_sha256", "none")
    if receipt and receipt.get("sha256", source) != source:
        yield Difference(day, "lake", "sha256 of the payload that it was made from", str(receipt["sha256"]), source)
    if (written := file.metadata.get("rows")) != str(file.held.rows):
        yield Difference(day, "lake", "rows", f"{written} by its metadata", str(file.held.rows))
    if file.held.keys != file.held.rows:
        yield Difference(day, "lake", "distinct keys", str(file.held.rows), str(file.held.keys))
    if file.other_dates:
        yield Difference(day, "lake", "trade_date", str(day), file.other_dates)
    if not file.is_as_normalized:
        yield Difference(day, "lake", "values", "those of the normalized table", "others")


# Warehouse


def _warehouse_differences(
    of: _Of, day: date, file: _LakeFile | None, load: Mapping[str, Any] | None, held: Sums | None
) -> Iterator[Difference]:
    if held is not None and held.keys != held.rows:
        yield Difference(day, "warehouse", "distinct keys", str(held.rows), str(held.keys))
    rows = held.rows if held else 0
    if load is not None and load.get("rows") != rows:
        by = "ledger" if wiring.warehouse_place().host else "marker"
        yield Difference(day, "warehouse", "rows", f"{load.get('rows')} by the {by}", str(rows))
    if file is None:
        if load is None and held is not None:
            yield Difference(day, "warehouse", ONLY_IN_WAREHOUSE, "the day in the lake as well", f"{rows} rows")
        return
    if file.held is None or (load is None and held is None):
        return  # nothing to compare with, or not loaded by any record
    if load is not None and load.get("lake_sha256") != file.sha256:
        return  # the lake file has changed, which is reported already
    names = ("rows", *(f"sum of {name}" for name in of.dataset.sums))
    in_lake, in_warehouse = ((it.rows, *it.sums) for it in (file.held, held or Sums(0, 0, of.dataset.no_sums)))
    for what, expected, found in zip(names, in_lake, in_warehouse, strict=True):
        if not math.isclose(expected, found, rel_tol=_CLOSE):
            yield Difference(day, "warehouse", what, f"{expected} as in the lake", str(found))


def _ledger_differences(
    of: _Of, day: date, entry: Entry | None, held: Sums | None, *, is_known: bool
) -> Iterator[Difference]:
    """Rows in a server's table that its ledger lacks, and rows of a load that was never checked.

    Other differences report a day that only the table has, and a day without rows, or with another number of them.
    """
    if of.warehouse is None or of.warehouse.ledger is None or held is None:
        return
    if entry is None:
        if is_known:
            yield Difference(day, "warehouse", "entry in the ledger of loads", f"one for {held.rows} rows", "none")
    elif entry.rows == held.rows and not entry.counts:
        yield Difference(day, "warehouse", "version of the rows", f"{entry.version} by the ledger", str(entry.newest))


def _host_differences(
    of: _Of, day: date, file: _LakeFile | None, marker: Mapping[str, Any] | None, on_hosts: Sequence[OnHost]
) -> Iterator[Difference]:
    """The differences on each host of a cluster; hosts are named unless all of the date's shard differ alike."""
    own = [each for each in on_hosts if each.is_of(day)]
    found = {each.host: [*_warehouse_differences(of, day, file, marker, each.held.get(day))] for each in own}
    first = next(iter(found.values()), [])
    if all(each == first for each in found.values()):
        yield from first
    else:
        for host, differences in found.items():
            yield from (replace(each, what=f"{each.what} on {host}") for each in differences)
    for other in on_hosts:
        if day in other.held and not other.is_of(day):
            expected, rows = "0, because another shard has the date", str(other.held[day].rows)
            yield Difference(day, "warehouse", f"rows on {other.host}", expected, rows)
