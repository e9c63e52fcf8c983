"""Loading: an atomic insert replaces a date's rows; threads that load at the same time share one insert.

A load is a new version of a date's rows in a ReplacingMergeTree, with tombstones for the keys that the date has lost.
"""

from __future__ import annotations

import copy
import io
import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from champion_luigi.base import locks
from champion_luigi.base.errors import WarehouseError
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse.connection import Connection, date_of

if TYPE_CHECKING:
    import polars as pl

# ClickHouse makes one part of a block, and readers see a part whole or not at all. Two blocks would be two parts.
_BLOCK_ROWS = 1_048_576
INSERT_SETTINGS: Mapping[str, Any] = {
    # The insert is acknowledged when it is stored; newer servers would by default acknowledge it earlier.
    "async_insert": 0,
    # Only the number of rows limits a block.
    "max_insert_block_size": _BLOCK_ROWS,
    "min_insert_block_size_rows": _BLOCK_ROWS,
    "min_insert_block_size_bytes": 0,
    # A null or an absent column is an error, not a silent zero.
    "input_format_null_as_default": 0,
    "input_format_arrow_allow_missing_columns": 0,
}
# The most rows of a shared insert.
_MOST_ROWS = 500_000
# How long a load waits for others to share its insert.
_COMPANY_SECONDS = 0.1


@dataclass(frozen=True)
class Loaded:
    """A checked load: the rows that readers see, the rows that the last version had and this one lacks, the version."""

    rows: int
    removed: int
    version: int


@dataclass
class _Request:
    """A requested load, and its outcome."""

    dataset: Dataset
    day: date
    rows: pl.DataFrame
    outcome: Loaded | BaseException | None = None
    taken: bool = False
    asked: float = field(default_factory=time.monotonic)
    begun: float = 0.0


class Loads:
    """The loads of a process's threads, one insert at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._named = connection.named
        self._asking = threading.Condition()
        self._loading = threading.Lock()
        self._asked: list[_Request] = []

    def load(self, dataset: Dataset, day: date, rows: pl.DataFrame, company: int) -> Loaded:
        """Replace a date's rows as `Warehouse.load` does. The table has to exist."""
        mine = _Request(dataset, day, rows)
        with self._asking:
            self._asked.append(mine)
            self._asking.notify_all()
            self._asking.wait_for(lambda: mine.taken or len(self._asked) >= company, _COMPANY_SECONDS * (company > 1))
        with self._loading:
            # An earlier thread may have loaded this request with its own.
            if mine.outcome is None:
                self._load_together(self._take_with(mine))
        locks.note_wait(mine.begun - mine.asked)
        if isinstance(mine.outcome, Loaded):
            return mine.outcome
        raise mine.outcome or AssertionError("a load request has no outcome")

    def _take_with(self, mine: _Request) -> list[_Request]:
        """This request, and the others that fit into the same insert, as long as there is room for their rows."""
        with self._asking:
            taken, room = {mine.day: mine}, _MOST_ROWS - mine.rows.height
            for each in self._asked:
                # The same table and partition, but another date.
                fits = each.dataset is mine.dataset and each.day.year == mine.day.year and each.day not in taken
                if fits and each.rows.height <= room:
                    taken[each.day] = each
                    room -= each.rows.height
            self._asked = [each for each in self._asked if taken.get(each.day) is not each]
            for each in taken.values():
                each.taken = True
                each.begun = time.monotonic()
            self._asking.notify_all()
        return list(taken.values())

    def _load_together(self, requests: list[_Request]) -> None:
        import polars as pl

        table = self._named(requests[0].dataset.table)
        try:
            for frames in _inserts(self._versions(requests)):
                rows, stream = pl.concat(frames), io.BytesIO()
                rows.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
                self._connection.insert_arrow(table, rows.columns, stream.getvalue(), INSERT_SETTINGS)
            self._check([each for each in requests if isinstance(each.outcome, Loaded)])
        except BaseException as error:
            for each in requests:
                each.outcome = copy.copy(error)
            raise

    def _versions(self, requests: list[_Request]) -> Iterator[list[pl.DataFrame]]:
        """The frames of each request that fits into a block: its rows, and tombstones for the keys that are gone."""
        dataset = requests[0].dataset
        known = self._connection.query(
            f"SELECT trade_date, {', '.join(dataset.key)}, version, is_deleted FROM {self._named(dataset.table)} FINAL "
            f"WHERE trade_date IN ({_dates(requests)})"
        )
        version = max([time.time_ns() // 1000, *(row[-2] + 1 for row in known)])
        for each in requests:
            visible = {row[1:-2] for row in known if row[0] == each.day and not row[-1]}
            gone = visible - set(each.rows.select(dataset.key).iter_rows()) if visible else set()
            if (count := each.rows.height + len(gone)) > _BLOCK_ROWS:
                each.outcome = WarehouseError(
                    f"the day has too many rows for {self._connection.place.database}.{dataset.table}",
                    day=each.day,
                    source=self._connection.place.words,
                    expected=f"at most {_BLOCK_ROWS:,} rows, including the rows to delete",
                    found=f"{count:,}",
                    todo="Nothing of the day was loaded, because readers would have seen a part of it. "
                    "Check its lake file.",
                )
                continue
            each.outcome = Loaded(each.rows.height, len(gone), version)
            frames = [_as_version(dataset, each.rows, version, deleted=False)]
            yield frames + ([_tombstones(dataset, gone, each.day, version)] if gone else [])

    def _check(self, requests: list[_Request]) -> None:
        """Compare the rows that readers see with the rows sent. A date that differs gets an error as its outcome."""
        if not requests:
            return
        dataset = requests[0].dataset
        sums = "".join(f", sum({name})" for name in dataset.sums)
        seen = {
            day: tuple(value or 0 for value in values)
            for day, *values in self._connection.query(
                f"SELECT trade_date, count(){sums} FROM {self._named(dataset.view)} "
                f"WHERE trade_date IN ({_dates(requests)}) GROUP BY trade_date"
            )
        }
        for each in requests:
            sent = (each.rows.height, *(each.rows[name].sum() for name in dataset.sums))
            found = seen.get(each.day, (0,) * len(sent))
            if not all(math.isclose(one, other, rel_tol=1e-9) for one, other in zip(sent, found, strict=True)):
                each.outcome = WarehouseError(
                    f"{self._connection.place.database}.{dataset.table} does not hold the rows that were sent",
                    day=each.day,
                    source=self._connection.place.words,
                    expected=f"rows, and sums of {', '.join(dataset.sums)}: {sent}",
                    found=str(found),
                    todo="Run the day again. If the error repeats, look for another writer of the same table, or check "
                    f"the view {dataset.view}: it can be dropped, and is then made anew.",
                )


def _inserts(versions: Iterable[list[pl.DataFrame]]) -> Iterator[list[pl.DataFrame]]:
    """The frames of as many whole requests as fit into one insert; tombstones count as rows."""
    together: list[pl.DataFrame] = []
    for frames in versions:
        if together and sum(frame.height for frame in [*together, *frames]) > _MOST_ROWS:
            yield together
            together = []
        together = together + frames
    if together:
        yield together


def _as_version(dataset: Dataset, rows: pl.DataFrame, version: int, *, deleted: bool) -> pl.DataFrame:
    import polars as pl

    return rows.select(
        *dataset.names,
        pl.lit(version, dtype=pl.UInt64).alias("version"),
        pl.lit(int(deleted), dtype=pl.UInt8).alias("is_deleted"),
    )


def _tombstones(dataset: Dataset, keys: set[tuple[Any, ...]], day: date, version: int) -> pl.DataFrame:
    """Rows with only a key, which hide the earlier rows with that key."""
    import polars as pl

    zero = {"Date": day, "String": "", "Float64": 0.0, "Int64": 0, "Bool": False}
    empty = {column.name: zero[column.kind.type] if column.required else None for column in dataset.columns}
    rows = [empty | dict(zip(dataset.key, key, strict=True)) for key in sorted(keys)]
    return _as_version(dataset, pl.DataFrame(rows, schema=dataset.types), version, deleted=True)


def _dates(requests: list[_Request]) -> str:
    return ", ".join(date_of(each.day) for each in requests)
