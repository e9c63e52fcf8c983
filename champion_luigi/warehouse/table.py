"""The ClickHouse table: one date replaced by one atomic insert, in a server or in the embedded engine.

A load is a new version of a date's rows in a ReplacingMergeTree, with tombstones for the keys that it no
longer has; people query a view that reads the last version (FINAL).
"""

from __future__ import annotations

import copy
import io
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from champion_luigi.base import locks
from champion_luigi.base.errors import WarehouseError, WarehouseUnreachable
from champion_luigi.datasets import schema
from champion_luigi.warehouse.connection import ADDRESS, TABLE, VIEW, Place, explained, quoted, text_of

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.warehouse.connection import Client

_INSERT_SETTINGS: Mapping[str, Any] = {
    # Acknowledged when it is stored; newer servers default to later.
    "async_insert": 0,
    # One block, so one part: readers see all of it or nothing.
    "max_insert_block_size": 1_048_576,
    "min_insert_block_size_rows": 1_048_576,
    # A null or an absent column is an error, not a silent zero.
    "input_format_null_as_default": 0,
    "input_format_arrow_allow_missing_columns": 0,
}
# One insert must stay well below the size of a block.
_MOST_DAYS_TOGETHER = 100
# How long a load waits for others to share its insert with.
_COMPANY_SECONDS = 0.1
# A partition with more parts than this is merged when the warehouse is closed: FINAL slows down with each, and
# the background merges of the embedded engine end with a process that loads one day.
_MOST_PARTS = 20
_TYPES_OF_ADDED = {"version": "UInt64 CODEC(T64, ZSTD(1))", "is_deleted": "UInt8 CODEC(T64, ZSTD(1))"}


@dataclass(frozen=True)
class Loaded:
    """A load that was checked: rows that readers see, rows of the last version that are gone, the version."""

    rows: int
    removed: int
    version: int


@dataclass(frozen=True)
class Held:
    """What readers see of a date: rows, their distinct keys (symbol and series), and sums over the rows."""

    rows: int
    keys: int
    volume: int
    turnover: float
    close: float


@dataclass
class _Request:
    """A load that is asked for, and what came of it."""

    day: date
    rows: pl.DataFrame
    outcome: Loaded | BaseException | None = None
    taken: bool = False
    asked: float = field(default_factory=time.monotonic)
    begun: float = 0.0


class Warehouse:
    """An open warehouse: one client a process."""

    def __init__(self, place: Place, client: Client, release: Callable[[], None]) -> None:
        self.place = place
        self.name = f"{place.database}.{TABLE}"
        self._client = client
        self._release = release
        self._table = f"{quoted(place.database)}.{TABLE}"
        self._view = f"{quoted(place.database)}.{VIEW}"
        self._asking = threading.Condition()
        self._loading = threading.Lock()
        self._asked: list[_Request] = []

    def create(self) -> None:
        """Make database, table and view where they are not there; WarehouseError where the table is another one."""
        where = f"database = {text_of(self.place.database)} AND table = {text_of(TABLE)}"
        found = dict(self.query(f"SELECT name, type FROM system.columns WHERE {where}"))
        if not found:
            for statement in ddl(self.place.database):
                self.command(statement)
            return
        expected = {column.name: column.clickhouse.split(" CODEC")[0] for column in schema.COLUMNS}
        expected |= {name: type_.split(" CODEC")[0] for name, type_ in _TYPES_OF_ADDED.items()}
        different = [f"{name} {type_}" for name, type_ in expected.items() if found.get(name) != type_]
        extra = [name for name in found if name not in expected]
        if different or extra:
            raise WarehouseError(
                f"the table {self.name} is not the one that this version makes",
                source=self.place.words,
                expected=", ".join(different) or "no further columns",
                found=", ".join(
                    f"{name} {found.get(name, 'missing')}" for name in [each.split()[0] for each in different] + extra
                ),
                todo="If a newer version made it, use that. Else rename it and load again: every day is in the lake.",
            )
        where = f"database = {text_of(self.place.database)} AND table = {text_of(VIEW)}"
        shown = dict(self.query(f"SELECT name, type FROM system.columns WHERE {where}"))
        # Where it is there, the user need not be allowed to make one.
        if not shown:
            self.command(ddl(self.place.database)[-1])
            return
        # A view keeps the columns that it was made with.
        expected = {column.name: column.clickhouse.split(" CODEC")[0] for column in schema.COLUMNS}
        different = [name for name, type_ in expected.items() if shown.get(name) != type_]
        if different:
            raise WarehouseError(
                f"the view {self.place.database}.{VIEW} is not the one that this version makes",
                source=self.place.words,
                expected=", ".join(f"{name} {expected[name]}" for name in different),
                found=", ".join(f"{name} {shown.get(name, 'missing')}" for name in different),
                todo="Drop the view, which holds no data, and run the same again: it is made anew.",
            )

    def load(self, day: date, rows: pl.DataFrame, company: int = 1) -> Loaded:
        """Replace a date's rows by these, atomically, and check what readers then see. A repeat changes nothing.

        Threads that load at the same time share one insert; each date is checked by itself. Where ``company`` is more
        than 1, a load waits a moment for that many to come together: an insert costs more than the rows in it.
        """
        mine = _Request(day, rows)
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
        """The requests that can go into one insert with this one: other dates of the same partition."""
        with self._asking:
            taken = {mine.day: mine}
            for each in self._asked:
                if each.day.year == mine.day.year and len(taken) < _MOST_DAYS_TOGETHER:
                    taken.setdefault(each.day, each)
            self._asked = [each for each in self._asked if taken.get(each.day) is not each]
            for each in taken.values():
                each.taken = True
                each.begun = time.monotonic()
            self._asking.notify_all()
        return list(taken.values())

    def _load_together(self, requests: list[_Request]) -> None:
        import polars as pl

        try:
            dates = ", ".join(_date(each.day) for each in requests)
            known = self.query(
                f"SELECT trade_date, symbol, series, version, is_deleted FROM {self._table} FINAL "
                f"WHERE trade_date IN ({dates})"
            )
            version = max([time.time_ns() // 1000, *(row[3] + 1 for row in known)])
            frames = []
            for each in requests:
                visible = {row[1:3] for row in known if row[0] == each.day and not row[4]}
                gone = visible - set(each.rows.select("symbol", "series").iter_rows()) if visible else set()
                frames += [_as_version(each.rows, version, deleted=False)]
                frames += [_tombstones(gone, each.day, version)] if gone else []
                each.outcome = Loaded(each.rows.height, len(gone), version)
            self._insert(pl.concat(frames))
            self._check(requests, dates)
        except BaseException as error:
            for each in requests:
                each.outcome = copy.copy(error)
            raise

    def rows_by_day(self) -> list[tuple[date, int]]:
        """How many rows each date has, oldest first."""
        return [
            (day, count)
            for day, count in self.query(
                f"SELECT trade_date, count() FROM {self._view} GROUP BY trade_date ORDER BY trade_date"
            )
        ]

    def held(self, start: date, stop: date) -> dict[date, Held]:
        """What readers see of each date from ``start`` to ``stop`` (exclusive) that has rows, by one query."""
        found = self.query(
            f"SELECT trade_date, count(), uniqExact(symbol, series), sum(volume), sum(turnover), sum(close) "
            f"FROM {self._view} WHERE trade_date >= {_date(start)} AND trade_date < {_date(stop)} GROUP BY trade_date"
        )
        return {day: Held(*sums) for day, *sums in found}

    def years(self) -> list[int]:
        """The years of which there are rows, deleted ones included, ascending."""
        found = self.query(f"SELECT DISTINCT toYear(trade_date) AS year FROM {self._table} ORDER BY year")
        return [int(year) for (year,) in found]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows that a statement gives. Raises WarehouseUnreachable or WarehouseError."""
        # What is broken off before its first row looks like a table without rows, and a proxy can answer one question
        # with the answer to another: a whole answer names its question.
        asked = {"query_id": uuid.uuid4().hex} if self.place.host else {}
        with explained(self.place):
            answer = self._client.query(statement, settings=asked)
            rows = [tuple(row) for row in answer.result_rows]
        if asked and answer.query_id != asked["query_id"]:
            # What may be still to come on this connection is no answer to the next question either.
            self._client.close_connections()
            raise WarehouseUnreachable(
                "ClickHouse's answer broke off, or is not the answer to what was asked",
                source=self.place.words,
                todo=ADDRESS,
            )
        return rows

    def command(self, statement: str) -> None:
        """Run a statement that gives no rows."""
        with explained(self.place):
            self._client.command(statement)

    def close(self) -> None:
        """Close the client, and let another process open the embedded engine."""
        try:
            self._client.close()
        finally:
            self._release()

    def tidy(self) -> None:
        """Merge what a process that is about to end leaves in too many parts; a server does this by itself."""
        parts = self.query(
            f"SELECT partition, count() FROM system.parts WHERE active AND database = {text_of(self.place.database)} "
            f"AND table = {text_of(TABLE)} GROUP BY partition HAVING count() > {_MOST_PARTS}"
        )
        for partition, _ in parts:
            self.command(f"OPTIMIZE TABLE {self._table} PARTITION {int(partition)}")

    def _insert(self, rows: pl.DataFrame) -> None:
        import polars as pl

        buffer = io.BytesIO()
        rows.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
        with explained(self.place):
            self._client.raw_insert(
                self._table,
                rows.columns,
                insert_block=buffer.getvalue(),
                fmt="ArrowStream",
                settings=dict(_INSERT_SETTINGS),
            )

    def _check(self, requests: list[_Request], dates: str) -> None:
        """Compare what readers see with what was sent; a date that differs gets an error as its outcome."""
        sums = {
            row[0]: row[1:]
            for row in self.query(
                f"SELECT trade_date, count(), sum(volume), sum(turnover), sum(close) FROM {self._view} "
                f"WHERE trade_date IN ({dates}) GROUP BY trade_date"
            )
        }
        for each in requests:
            sent = (each.rows.height, *(each.rows[name].sum() for name in ("volume", "turnover", "close")))
            found = sums.get(each.day, (0, 0, 0.0, 0.0))
            if not all(math.isclose(one, other, rel_tol=1e-9) for one, other in zip(sent, found, strict=True)):
                each.outcome = WarehouseError(
                    f"{self.name} does not hold what was sent",
                    day=each.day,
                    source=self.place.words,
                    expected=f"rows, and sums of volume, turnover and close: {sent}",
                    found=str(found),
                    todo="Run the day again; if it repeats, look for another writer of the same table, or for another "
                    f"view in the place of {VIEW}: dropped, it is made anew.",
                )


def ddl(database: str) -> list[str]:
    """The statements that make database, table and view where they are not there."""
    columns = [
        f"    {column.name} {column.clickhouse} COMMENT {text_of(_comment(column))}" for column in schema.COLUMNS
    ]
    columns += [f"    {name} {type_}" for name, type_ in _TYPES_OF_ADDED.items()]
    table = f"{quoted(database)}.{TABLE}"
    return [
        f"CREATE DATABASE IF NOT EXISTS {quoted(database)}",
        f"CREATE TABLE IF NOT EXISTS {table} (\n" + ",\n".join(columns) + "\n) "
        "ENGINE = ReplacingMergeTree(version, is_deleted)\n"
        "PARTITION BY toYear(trade_date)\nORDER BY (symbol, series, trade_date)\n"
        "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1",
        f"CREATE VIEW IF NOT EXISTS {quoted(database)}.{VIEW} AS\n"
        f"SELECT * EXCEPT (version, is_deleted) FROM {table} FINAL",
    ]


def _as_version(rows: pl.DataFrame, version: int, *, deleted: bool) -> pl.DataFrame:
    import polars as pl

    return rows.select(
        *schema.NAMES,
        pl.lit(version, dtype=pl.UInt64).alias("version"),
        pl.lit(int(deleted), dtype=pl.UInt8).alias("is_deleted"),
    )


def _tombstones(keys: set[tuple[str, str]], day: date, version: int) -> pl.DataFrame:
    import polars as pl

    zero = {"Date": day, "String": "", "Float64": 0.0, "Int64": 0}
    types = {column.name: getattr(pl, column.kind.type) for column in schema.COLUMNS}
    rows = [
        {column.name: zero[column.kind.type] if column.required else None for column in schema.COLUMNS}
        | {"symbol": symbol, "series": series}
        for symbol, series in sorted(keys)
    ]
    return _as_version(pl.DataFrame(rows, schema=types), version, deleted=True)


def _comment(column: schema.Column) -> str:
    return f"{column.meaning} [{column.unit}]" if column.unit else column.meaning


def _date(day: date) -> str:
    return f"toDate('{day.isoformat()}')"
