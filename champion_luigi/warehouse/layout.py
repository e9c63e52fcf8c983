"""The statements that make a table: on one server, or replicated, and perhaps sharded, on the hosts of a cluster.

Every table of the warehouse is made here, so that all are spread in the same way. On a cluster a table is replicated.
With several shards, a table is one of two kinds:

- by date: each host has the rows of its shard's dates in ``TABLE_local``, and ``TABLE`` is a Distributed table over
  them. The key is the date alone: an insert of a date's rows is atomic on one shard, and on no two;
- whole: every host has all rows. For small tables, which joins then find where they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from urllib.parse import quote

# The days since 1970: they choose the shard of a date, here and in Distributed tables.
SHARDING_KEY = "toRelativeDayNum(trade_date)"
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Table:
    """A table: its columns, each as `CREATE TABLE` declares it, and the parts of its engine as on one server."""

    name: str
    columns: Sequence[str]
    engine: str
    partition: str
    order: str
    # Whether its shards have the rows of different dates; it needs a column ``trade_date``. If not, it is whole.
    is_by_date: bool = True
    # When rows are removed, as an expression; never if it is empty.
    ttl: str = ""
    # Whether an insert is on the disk when it is acknowledged.
    is_durable: bool = True


@dataclass(frozen=True)
class Layout:
    """Where tables are: on one server, without a cluster's name, or on a cluster of ``shards`` shards.

    With ``on_cluster``, each statement makes its object on all hosts, for which the servers have to be set up; without,
    the statement is for one host.
    """

    cluster: str = ""
    shards: int = 1
    on_cluster: bool = False

    def for_administrators(self) -> Layout:
        """The same layout, made by statements with ON CLUSTER."""
        return replace(self, on_cluster=bool(self.cluster))

    @property
    def clause(self) -> str:
        """What follows the name of an object that a statement makes or changes."""
        return f" ON CLUSTER {quoted(self.cluster)}" if self.on_cluster else ""

    def is_spread(self, table: Table) -> bool:
        """Whether a table's rows are on several shards, each with some of them."""
        return self.shards > 1 and table.is_by_date

    def stored_in(self, table: Table) -> str:
        """The name of the table that stores a host's rows; rows of one shard are inserted into it."""
        return self.stored_as(table.name) if table.is_by_date else table.name

    def stored_as(self, name: str) -> str:
        """The same of a table by date."""
        return f"{name}_local" if self.shards > 1 else name

    def database(self, name: str) -> str:
        """The statement that makes the database if it is missing."""
        return f"CREATE DATABASE IF NOT EXISTS {quoted(name)}{self.clause}"

    def create(self, database: str, table: Table, make: str = "CREATE TABLE IF NOT EXISTS") -> list[str]:
        """The statements that make a table, in order."""
        stored = self.stored_in(table)
        head = f"{make} {quoted(database)}.{stored}{self.clause}"
        columns = ",\n".join(f"    {column}" for column in table.columns)
        statements = [
            f"{head} (\n{columns}\n) ENGINE = {self.engine(database, table)}\n"
            f"PARTITION BY {table.partition}\nORDER BY ({table.order})"
            + (f"\nTTL {table.ttl}" if table.ttl else "")
            + ("\nSETTINGS fsync_after_insert = 1, fsync_part_directory = 1" if table.is_durable else "")
        ]
        if self.is_spread(table):
            over = f"{quoted(database)}.{table.name}{self.clause} AS {quoted(database)}.{stored}"
            statements.append(f"{make} {over}\nENGINE = {self.distributed(database, table)}")
        return statements

    def engine(self, database: str, table: Table) -> str:
        """The engine of the table that stores the rows, with its arguments."""
        if not self.cluster:
            return table.engine
        name, _, arguments = table.engine.partition("(")
        first = ", ".join(map(text_of, self.replica(database, table)))
        rest = arguments.removesuffix(")")
        return f"Replicated{name}({first}{', ' if rest else ''}{rest})"

    def replica(self, database: str, table: Table) -> tuple[str, str]:
        """A table's path in Keeper, and the replica's name there, with the macros that each host replaces."""
        # A brace would begin a macro, and a slash another level.
        where = f"{quote(database, safe='')}/{self.stored_in(table)}"
        if self.shards > 1 and not table.is_by_date:
            return f"/clickhouse/tables/all/{where}", "{shard}-{replica}"
        return f"/clickhouse/tables/{{shard}}/{where}", "{replica}"

    def distributed(self, database: str, table: Table) -> str:
        """The engine of the table over all shards, with its arguments."""
        arguments = ", ".join(map(text_of, (self.cluster, database, self.stored_in(table))))
        return f"Distributed({arguments}, {SHARDING_KEY})"


# One server, or the embedded engine.
SINGLE = Layout()


def shard_of(day: date, weights: Sequence[int]) -> int:
    """The index of the shard that a Distributed table sends a date's rows to, by the shards' weights."""
    slots = [index for index, weight in enumerate(weights) for _ in range(weight)]
    return slots[(day - _EPOCH).days % len(slots)]


def quoted(name: str) -> str:
    """A name as statements write it, whatever letters it has."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def text_of(value: str) -> str:
    """A text as statements write it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
