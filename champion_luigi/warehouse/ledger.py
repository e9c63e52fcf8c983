"""The ledger of loads: a server's table beside the prices, which records for every host what is loaded.

A row is the last load of a data set's date: the sha256 of the lake file, the number of rows and their version. It is
written after the load has been checked. It counts as long as its version is the newest of the date in the prices'
table: after a load that was killed before its check, or if that table was renamed or made anew, the date is due again.

The embedded engine has no ledger of loads: one folder has both the engine and the markers of its loads. The ledger of
the archive's answers is another one, in `exchange.answers`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from champion_luigi.base.errors import WarehouseError, WarehouseUnreachable
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse.connection import Connection, date_of
from champion_luigi.warehouse.layout import SINGLE, Layout, Table, text_of
from champion_luigi.warehouse.load import INSERT_SETTINGS

if TYPE_CHECKING:
    import polars as pl

LOADS, CLAIMS = "loads", "load_claims"
# The columns of both tables: name, type and meaning.
_COLUMNS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    LOADS: {
        "dataset": ("LowCardinality(String)", "name of the data set"),
        "trade_date": ("Date", "date that was loaded"),
        "lake_sha256": ("String", "sha256 of the lake file whose rows were loaded"),
        "rows": ("UInt64", "rows that readers see [rows]"),
        "version": ("UInt64", "version of these rows in the table"),
        "schema_version": ("UInt16", "version of the data set's columns"),
        "loaded_at": ("DateTime64(3, 'UTC')", "when the load was checked"),
    },
    CLAIMS: {
        "dataset": ("LowCardinality(String)", "name of the data set"),
        "holder": ("String", "the process, by an id of its own"),
        "trade_dates": ("Array(Date)", "the dates that it is about to load"),
        "place": ("String", "the process's host"),
        "process": ("UInt32", "the process's id there"),
        "since": ("UInt64", "when it first asked; the smallest goes first"),
        "expires": ("DateTime64(3, 'UTC')", "when the claim ends, or was given back"),
        "changed": ("UInt64", "version of the row"),
    },
}
# The dates that ClickHouse's type has.
_FIRST, _LAST = date(1970, 1, 1), date(2149, 6, 6)


@dataclass(frozen=True)
class Entry:
    """The last load of a date. ``newest`` is the date's newest version in the prices' table; 0 if there is none."""

    lake_sha256: str
    rows: int
    version: int
    schema_version: int
    newest: int

    @property
    def counts(self) -> bool:
        """Whether the table still has what was loaded. A load without rows may have written nothing."""
        return self.newest == self.version or (not self.rows and self.newest < self.version)


def ddl(database: str, layout: Layout = SINGLE) -> dict[str, str]:
    """The statements that make the ledger and, on one server, the load claims, by table. A cluster's hosts need all."""
    return {table.name: layout.create(database, table)[0] for table in tables(layout)}


def tables(layout: Layout = SINGLE) -> list[Table]:
    """The ledger and, on one server, the load claims; on a cluster, the tokens of inserts do their work."""
    return [table_of(name) for name in _COLUMNS if name == LOADS or not layout.cluster]


def table_of(name: str) -> Table:
    """The table of the ledger, or that of load claims."""
    declared = [f"{each} {kind} COMMENT {text_of(why)}" for each, (kind, why) in _COLUMNS[name].items()]
    if name == LOADS:
        return Table(name, declared, "ReplacingMergeTree(version)", "tuple()", "dataset, trade_date", is_by_date=False)
    # A claim matters for a minute: it need not outlive a power failure.
    more: dict[str, Any] = {"is_by_date": False, "ttl": "toDateTime(expires) + INTERVAL 1 DAY", "is_durable": False}
    return Table(name, declared, "ReplacingMergeTree(changed)", "tuple()", "dataset, holder", **more)


def lacking_columns(table: str, found: Iterable[str]) -> list[str]:
    """The columns that one of these tables lacks, sorted."""
    return sorted(_COLUMNS[table].keys() - set(found))


class Ledger:
    """The ledger of a server's database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._place = connection.place
        self._is_prepared = False

    def prepare(self) -> None:
        """Make the tables that are missing. The database has to exist.

        Raises WarehouseError if a table has other columns, or if the user may not make it.
        """
        if self._is_prepared:
            return
        found: dict[str, set[str]] = {}
        for table, column in self._connection.query(
            f"SELECT table, name FROM system.columns WHERE database = {text_of(self._place.database)} "
            f"AND table IN ({text_of(LOADS)}, {text_of(CLAIMS)})"
        ):
            found.setdefault(table, set()).add(column)
        for name, statement in ddl(self._place.database, self._connection.layout).items():
            if name not in found:
                self._make(name, statement)
            elif lacking := lacking_columns(name, found[name]):
                raise WarehouseError(
                    f"the table {self._place.database}.{name} is not the one that this version makes",
                    source=self._place.words,
                    expected=f"the columns {', '.join(_COLUMNS[name])}",
                    found=f"no {', '.join(lacking)}",
                    todo="Rename it, and run the same command again: days whose load it no longer records are loaded "
                    "again from the lake.",
                )
        self._is_prepared = True

    def _make(self, name: str, statement: str) -> None:
        try:
            self._connection.command(statement)
        except WarehouseError as error:
            raise WarehouseError(
                f"the table {self._place.database}.{name}, which records loads, could not be made",
                source=self._place.words,
                found=error.found,
                todo=f"Grant the user CREATE TABLE, SELECT and INSERT on it, or let an administrator run: "
                f"{' '.join(statement.split())}. Then run the same command again.",
            ) from None

    def entries(
        self, dataset: Dataset, start: date = _FIRST, stop: date = _LAST, *, in_step: bool = True
    ) -> dict[date, Entry]:
        """The loads of a data set from ``start`` to ``stop`` (exclusive), whether or not they count, by two queries.

        Without ``in_step``, a replica that cannot catch up, such as one without ZooKeeper, tells what it has.
        """
        if {LOADS, dataset.table} - self._existing(dataset):
            return {}
        try:
            self._connection.catch_up(LOADS)
        except WarehouseUnreachable:
            if in_step:
                raise
        within = _between(start, stop)
        found = self._connection.query(
            f"SELECT trade_date, lake_sha256, rows, version, schema_version, newest FROM (SELECT * FROM "
            f"{self._connection.named(LOADS)} FINAL WHERE dataset = {text_of(dataset.name)} AND {within}) AS of_ledger "
            f"LEFT JOIN (SELECT trade_date, max(version) AS newest FROM {self._connection.named(dataset.table)} "
            f"WHERE {within} GROUP BY trade_date) AS of_table USING (trade_date)"
        )
        return {day: Entry(*values) for day, *values in found}

    def versions(self, dataset: Dataset, start: date, stop: date) -> dict[date, tuple[int, int]]:
        """The number of rows, and the version, of each date whose rows all have one version.

        From ``start`` to ``stop`` (exclusive), in one query, which reads every row's version.
        """
        if dataset.table not in self._existing(dataset):
            return {}
        found = self._connection.query(
            f"SELECT trade_date, count(), max(version) FROM {self._connection.named(dataset.table)} FINAL "
            f"WHERE {_between(start, stop)} GROUP BY trade_date HAVING min(version) = max(version)"
        )
        return {day: (rows, version) for day, rows, version in found}

    def write(self, dataset: Dataset, entries: Mapping[date, Entry]) -> None:
        """Record loads that were checked. The ledger has to exist."""
        import polars as pl

        kinds: dict[str, pl.DataType] = {
            "dataset": pl.String(),
            "trade_date": pl.Date(),
            "lake_sha256": pl.String(),
            "rows": pl.UInt64(),
            "version": pl.UInt64(),
            "schema_version": pl.UInt16(),
            "loaded_at": pl.Datetime("ms", "UTC"),
        }
        now = datetime.now(UTC)
        rows = [
            (dataset.name, day, each.lake_sha256, each.rows, each.version, each.schema_version, now)
            for day, each in entries.items()
        ]
        frame, stream = pl.DataFrame(rows, schema=kinds, orient="row"), io.BytesIO()
        frame.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        self._connection.insert_arrow(self._connection.named(LOADS), frame.columns, stream.getvalue(), INSERT_SETTINGS)

    def _existing(self, dataset: Dataset) -> set[str]:
        """Which of the ledger and the data set's table exist."""
        found = self._connection.query(
            f"SELECT name FROM system.tables WHERE database = {text_of(self._place.database)} "
            f"AND name IN ({text_of(LOADS)}, {text_of(dataset.table)})"
        )
        return {name for (name,) in found}


def _between(start: date, stop: date) -> str:
    return f"trade_date >= {date_of(max(start, _FIRST))} AND trade_date < {date_of(min(stop, _LAST))}"
