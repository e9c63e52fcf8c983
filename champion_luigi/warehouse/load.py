"""Loading: a date replaced by one atomic insert, which threads that load at the same time share.

A load is a new version of a date's rows in a ReplacingMergeTree, with tombstones for the keys that it no longer has.
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
from champion_luigi.warehouse.connection import Connection, date_of, quoted

if TYPE_CHECKING:
    import polars as pl

# ClickHouse makes one part of a block, which readers see whole or not at all. Two blocks would be two parts.
_BLOCK_ROWS = 1_048_576
_INSERT_SETTINGS: Mapping[str, Any] = {
    # Acknowledged when it is stored; newer servers default to later.
    "async_insert": 0,
    # A block is bounded by its rows alone.
    "max_insert_block_size": _BLOCK_ROWS,
    "min_insert_block_size_rows": _BLOCK_ROWS,
    "min_insert_block_size_bytes": 0,
    # A null or an absent column is an error, not a silent zero.
    "input_format_null_as_default": 0,
    "input_format_arrow_allow_missing_columns": 0,
}
# Requests share an insert up to this many rows.
_MOST_ROWS = 500_000
# How long a load waits for others to share its insert with.
_COMPANY_SECONDS = 0.1


@dataclass(frozen=True)
class Loaded:
    """A load that was checked: rows that readers see, rows of the last version that are gone, the version."""

    rows: int
    removed: int
    version: int


@dataclass
class _Request:
    """A load that was requested, and its outcome."""

    dataset: Dataset
    day: date
    rows: pl.DataFrame
    outcome: Loaded | BaseException | None = None
    taken: bool = False
    asked: float = field(default_factory=time.monotonic)
    begun: float = 0.0

    def can_share_with(self, other: _Request) -> bool:
        """Whether both can be one insert: into the same table and partition."""
        return self.dataset is other.dataset and self.day.year == other.day.year and self.day != other.day


class Loads:
    """The loads of a process's threads, which take turns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._asking = threading.Condition()
        self._loading = threading.Lock()
        self._asked: list[_Request] = []

    def load(self, dataset: Dataset, day: date, rows: pl.DataFrame, company: int) -> Loaded:
        """Replace a date's rows, as `Warehouse.load` says; the table is there."""
        mine = _Request(dataset, day, rows)
        with self._asking:
            self._asked.append(mine)
            self._asking.notify_all()
            self._asking.wait_for(lambda: mine.taken or len(self._asked) >= company, _COMPANY_SECONDS * (company > 1))
        with self._loading:
            # The thread before this one may have taken this request along.
            if mine.outcome is None:
                self._load_together(self._take_with(mine))
        locks.note_wait(mine.begun - mine.asked)
        if isinstance(mine.outcome, Loaded):
            return mine.outcome
        raise mine.outcome or AssertionError("a request was passed over")

    def _take_with(self, mine: _Request) -> list[_Request]:
        """The requests that can go into one insert with this one, as far as there is room for their rows."""
        with self._asking:
            taken, room = {mine.day: mine}, _MOST_ROWS - mine.rows.height
            for each in self._asked:
                if each.day not in taken and each.can_share_with(mine) and each.rows.height <= room:
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

        try:
            for frames in _inserts(self._versions(requests)):
                self._insert(requests[0].dataset, pl.concat(frames))
            self._check([each for each in requests if isinstance(each.outcome, Loaded)])
        except BaseException as error:
            for each in requests:
                each.outcome = copy.copy(error)
            raise

    def _versions(self, requests: list[_Request]) -> Iterator[list[pl.DataFrame]]:
        """The frames of each request that fits into a block: its rows, and tombstones for the keys that it lost."""
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
                each.outcome = self._too_large(each, count)
                continue
            each.outcome = Loaded(each.rows.height, len(gone), version)
            frames = [_as_version(dataset, each.rows, version, deleted=False)]
            yield frames + ([_tombstones(dataset, gone, each.day, version)] if gone else [])

    def _insert(self, dataset: Dataset, rows: pl.DataFrame) -> None:
        import polars as pl

        buffer = io.BytesIO()
        rows.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
        self._connection.insert_arrow(self._named(dataset.table), rows.columns, buffer.getvalue(), _INSERT_SETTINGS)

    def _check(self, requests: list[_Request]) -> None:
        """Compare what readers see with what was sent; a date that differs gets an error as its outcome."""
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
                    f"{self._connection.place.database}.{dataset.table} does not hold what was sent",
                    day=each.day,
                    source=self._connection.place.words,
                    expected=f"rows, and sums of {', '.join(dataset.sums)}: {sent}",
                    found=str(found),
                    todo="Run the day again; if it repeats, look for another writer of the same table, or for another "
                    f"view in the place of {dataset.view}: dropped, it is made anew.",
                )

    def _too_large(self, request: _Request, count: int) -> WarehouseError:
        return WarehouseError(
            f"the day has too many rows for {self._connection.place.database}.{request.dataset.table}",
            day=request.day,
            source=self._connection.place.words,
            expected=f"at most {_BLOCK_ROWS:,} rows, those that it replaces included",
            found=f"{count:,}",
            todo="Nothing of the day was loaded: readers would have seen a part of it. Look at its lake file.",
        )

    def _named(self, name: str) -> str:
        return f"{quoted(self._connection.place.database)}.{name}"


def _inserts(versions: Iterable[list[pl.DataFrame]]) -> Iterator[list[pl.DataFrame]]:
    """The frames of whole requests, as many together as one insert takes: tombstones count too."""
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
    """Rows that hold nothing but their key, and hide what had it."""
    import polars as pl

    zero = {"Date": day, "String": "", "Float64": 0.0, "Int64": 0}
    empty = {column.name: zero[column.kind.type] if column.required else None for column in dataset.columns}
    rows = [empty | dict(zip(dataset.key, key, strict=True)) for key in sorted(keys)]
    return _as_version(dataset, pl.DataFrame(rows, schema=dataset.types), version, deleted=True)


def _dates(requests: list[_Request]) -> str:
    return ", ".join(date_of(each.day) for each in requests)
