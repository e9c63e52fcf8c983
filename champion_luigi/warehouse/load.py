"""Loading: an atomic insert replaces the rows of a date, or of several dates of one year.

A load is a new version of a date's rows in a ReplacingMergeTree, with tombstones for the keys that the date has lost.
Of two processes that load a date into a server at once, load claims let one go first (`claims`). One whose claim ended
too early, or an older version of this package, which makes no claims, can still come in between, and readers would see
the rows of both. So a load that finds rows of another version beside its own is repeated.
"""

from __future__ import annotations

import io
import itertools
import math
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
# The most rows of an insert of several dates.
_MOST_ROWS = 500_000
# How often dates are loaded if other loads of the same dates come in between.
_ATTEMPTS = 8


@dataclass(frozen=True)
class Loaded:
    """A checked load: the rows that readers see, the rows that the last version had and this one lacks, the version.

    ``by_another`` if another process had loaded the same lake file meanwhile, so that nothing was to do.
    """

    rows: int
    removed: int
    version: int
    by_another: bool = False


class Loads:
    """The loads of a process's threads, one insert at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._named = connection.named
        self._layout = connection.layout
        self._loading = threading.Lock()

    def load(self, dataset: Dataset, days: Mapping[date, pl.DataFrame]) -> dict[date, Loaded]:
        """Replace the rows of these dates as `Warehouse.load_days` does. The table has to exist."""
        asked = time.monotonic()
        loaded: dict[date, Loaded] = {}
        with self._loading:
            locks.note_wait(time.monotonic() - asked)
            # An insert is atomic within a partition, which is a year.
            for _, some in itertools.groupby(sorted(days), key=lambda day: day.year):
                loaded |= self._load_year(dataset, {day: days[day] for day in some})
        return loaded

    def _load_year(self, dataset: Dataset, days: Mapping[date, pl.DataFrame]) -> dict[date, Loaded]:
        for attempt in itertools.count(1):
            loaded: dict[date, Loaded] = {}
            for frames in inserts(self._versions(dataset, days, self._known(dataset, days), loaded)):
                self._insert(dataset, frames)
            different = self._difference(dataset, days)
            if not self._is_mixed(dataset, loaded, is_suspected=different is not None):
                if different:
                    raise different
                break
            if attempt == _ATTEMPTS:
                raise different or WarehouseError(
                    "other processes go on loading the same dates",
                    day=min(days),
                    source=self._connection.place.words,
                    todo="Run the day again when they have ended: until then, readers may see rows of several loads.",
                )
            # Two that do so in step would go on for ever.
            time.sleep(random.uniform(0, 0.1 * attempt))  # noqa: S311 - no secret
        return loaded

    def _insert(self, dataset: Dataset, frames: Iterable[pl.DataFrame], token: str = "") -> None:
        """Insert rows as one block. On a cluster, a second insert with the same ``token`` has no effect."""
        import polars as pl

        rows, stream = pl.concat(frames), io.BytesIO()
        rows.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        settings = {**INSERT_SETTINGS, **({"insert_deduplication_token": token} if token else {})}
        self._connection.insert_arrow(self._stored(dataset), rows.columns, stream.getvalue(), settings)

    def _stored(self, dataset: Dataset) -> str:
        """The table that an insert goes into."""
        return self._named(self._layout.stored_as(dataset.table))

    def _known(self, dataset: Dataset, days: Iterable[date]) -> list[tuple[Any, ...]]:
        """What these dates have: the date, the key, the version and the mark of deletion of each row."""
        return self._connection.query(
            f"SELECT trade_date, {', '.join(dataset.key)}, version, is_deleted FROM {self._stored(dataset)} FINAL "
            f"WHERE trade_date IN ({_dates(days)})"
        )

    def _versions(
        self,
        dataset: Dataset,
        days: Mapping[date, pl.DataFrame],
        known: Sequence[tuple[Any, ...]],
        loaded: dict[date, Loaded],
    ) -> Iterator[list[pl.DataFrame]]:
        """The frames of each date: its rows, and tombstones for the keys that are gone; ``loaded`` takes its counts."""
        version = max([time.time_ns() // 1000, *(row[-2] + 1 for row in known)])
        for day, rows in days.items():
            visible = {row[1:-2] for row in known if row[0] == day and not row[-1]}
            gone = visible - set(rows.select(dataset.key).iter_rows()) if visible else set()
            if (count := rows.height + len(gone)) > _BLOCK_ROWS:
                raise WarehouseError(
                    f"the day has too many rows for {self._connection.place.database}.{dataset.table}",
                    day=day,
                    source=self._connection.place.words,
                    expected=f"at most {_BLOCK_ROWS:,} rows, including the rows to delete",
                    found=f"{count:,}",
                    todo="Nothing of the day was loaded, because readers would have seen a part of it. "
                    "Check its lake file.",
                )
            loaded[day] = Loaded(rows.height, len(gone), version)
            frames = [_as_version(dataset, rows, version, deleted=False)]
            yield frames + ([_tombstones(dataset, gone, day, version)] if gone else [])

    def _difference(
        self, dataset: Dataset, days: Mapping[date, pl.DataFrame], seen_in: str = ""
    ) -> WarehouseError | None:
        """The error about a date for which readers see other rows than were sent; None if all agree.

        ``seen_in`` is what is read, with FINAL, in place of the view.
        """
        sums = "".join(f", sum({name})" for name in dataset.sums)
        seen = {
            day: tuple(value or 0 for value in values)
            for day, *values in self._connection.query(
                f"SELECT trade_date, count(){sums} FROM {seen_in or self._named(dataset.view)} "
                f"WHERE trade_date IN ({_dates(days)}) GROUP BY trade_date"
            )
        }
        for day, rows in days.items():
            sent = (rows.height, *(rows[name].sum() for name in dataset.sums))
            found = seen.get(day, (0,) * len(sent))
            if not all(math.isclose(one, other, rel_tol=1e-9) for one, other in zip(sent, found, strict=True)):
                return WarehouseError(
                    f"{self._connection.place.database}.{dataset.table} does not hold the rows that were sent",
                    day=day,
                    source=self._connection.place.words,
                    expected=f"rows, and sums of {', '.join(dataset.sums)}: {sent}",
                    found=str(found),
                    todo="Run the day again. If the error repeats, look for another writer of the same table, or check "
                    f"the view {dataset.view}: it can be dropped, and is then made anew.",
                )
        return None

    def _is_mixed(self, dataset: Dataset, loaded: Mapping[date, Loaded], *, is_suspected: bool) -> bool:
        """Whether readers see rows of another load beside those of this one, which has been checked.

        All rows of the dates are read only if that is suspected, or if there is a newer version.
        """
        if not self._connection.place.host:
            return False  # the engine's lock keeps other processes away
        [version] = {each.version for each in loaded.values()}
        table, within = self._named(dataset.table), f"trade_date IN ({_dates(loaded)})"
        if not is_suspected:
            [(newest,)] = self._connection.query(f"SELECT max(version) FROM {table} WHERE {within}")
            if newest <= version:
                return False
        [(others,)] = self._connection.query(
            f"SELECT count() FROM {table} FINAL WHERE {within} AND version != {version}"
        )
        return bool(others)


def inserts(versions: Iterable[list[pl.DataFrame]]) -> Iterator[list[pl.DataFrame]]:
    """The frames of as many whole dates as fit into one insert; tombstones count as rows."""
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


def _dates(days: Iterable[date]) -> str:
    return ", ".join(map(date_of, days))
