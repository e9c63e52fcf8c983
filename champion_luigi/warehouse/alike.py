"""Whether a table is the same on every host of a cluster: replicated, sharded by date, and open to a load."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from champion_luigi.base.errors import WarehouseError
from champion_luigi.warehouse.cluster import insert_settings
from champion_luigi.warehouse.connection import READ_ONLY_CODE, Connection
from champion_luigi.warehouse.layout import Table, text_of
from champion_luigi.warehouse.load import INSERT_SETTINGS

# A replicated table that is renamed still holds its path in Keeper.
_AGAIN = "Rename it (a replicated one: DROP TABLE ... SYNC), and run the same command again: every day is in the lake."


class Found(NamedTuple):
    """A host's copy of a table: its path in Keeper and the replica's name there."""

    connection: Connection
    path: str
    replica: str


def require(connections: Sequence[Connection], table: Table) -> bool:
    """Whether each host has the table.

    Raises WarehouseError if one has a table of another kind, if copies that have to be replicas of each other are not,
    or if a host does not let this user change the settings of a load.
    """
    found = [copy for connection in connections if (copy := _on(connection, table))]
    of_path: dict[str, dict[str, Found]] = {}
    for copy in found:
        same = of_path.setdefault(copy.path, {})
        if other := same.get(copy.replica):
            raise _wrong(
                copy.connection,
                table,
                "has the replica name of another host",
                "a name of its own in each replica's macros",
                f"{copy.path}, replica {copy.replica}, as on {other.connection.place.host}",
                "Give each host its own macros shard and replica.",
            )
        same[copy.replica] = copy
    paths = {copy.path for copy in found}
    expected = connections[0].layout.shards if table.is_by_date else 1
    if len(paths) > expected:
        raise _wrong(
            found[0].connection,
            table,
            "is not replicated by all hosts of its shard",
            f"{expected} {'paths' if expected > 1 else 'path'} in Keeper, one for each shard",
            ", ".join(sorted(paths)),
            _AGAIN,
        )
    for connection in connections:
        _require_settings(connection)
    return len(found) == len(connections)


def _on(connection: Connection, table: Table) -> Found | None:
    """A host's copy of the table, checked by itself; None if a part of it is missing."""
    layout, database = connection.layout, connection.place.database
    stored = layout.stored_in(table)
    kinds = {
        name: (kind, full)
        for name, kind, full in connection.query(
            f"SELECT name, engine, engine_full FROM system.tables WHERE database = {text_of(database)} "
            f"AND name IN ({text_of(stored)}, {text_of(table.name)})"
        )
    }
    if stored != table.name and table.name in kinds:
        _require_over(connection, table, *kinds[table.name])
    if stored in kinds:
        _require_stored(connection, table, *kinds[stored])
    if len(kinds) < len({stored, table.name}):
        return None
    [(path, replica)] = connection.query(
        "SELECT zookeeper_path, replica_name FROM system.replicas "
        f"WHERE database = {text_of(database)} AND table = {text_of(stored)}"
    )
    return Found(connection, path, replica)


def _require_stored(connection: Connection, table: Table, kind: str, full: str) -> None:
    expected, _, arguments = table.engine.partition("(")
    if kind == expected:
        words = "is not replicated: each host would have rows of its own"
        raise _wrong(connection, table, words, f"Replicated{expected}", kind, _AGAIN)
    within = full.partition(" ORDER BY ")[0]
    engine, _, partition = within.partition(" PARTITION BY ")
    is_same = kind == f"Replicated{expected}" and engine.replace(" ", "").endswith(arguments.replace(" ", ""))
    if not is_same or partition != table.partition:
        expected = f"Replicated{table.engine} PARTITION BY {table.partition}"
        raise _wrong(connection, table, "has another engine", expected, within, _AGAIN)


def _require_over(connection: Connection, table: Table, kind: str, full: str) -> None:
    expected = connection.layout.distributed(connection.place.database, table)
    if kind != "Distributed" or not _plain(full).startswith(_plain(expected)):
        words = "is not spread over the shards by date: a day would be seen in parts"
        todo = "If it is a Distributed table, drop it: it holds no rows. Rename any other. The next load makes it anew."
        raise _wrong(connection, table, words, expected, full, todo)


def _require_settings(connection: Connection) -> None:
    needed: dict[str, Any] = {**INSERT_SETTINGS, **insert_settings(quorum=connection.place.quorum)}
    rows = connection.query(
        "SELECT name, value FROM system.settings WHERE readonly AND name IN "
        f"({', '.join(map(text_of, needed))}) ORDER BY name"
    )
    fixed = [(name, value) for name, value in rows if value != str(needed[name])]
    if fixed:
        raise WarehouseError(
            "ClickHouse does not let this user change the settings that make a load whole on every replica",
            source=connection.place.words,
            expected=", ".join(f"{name} = {needed[name]}" for name, _ in fixed),
            found=", ".join(f"{name} = {value}" for name, value in fixed) + f" (Code: {READ_ONLY_CODE}.)",
            todo="Set these values in the user's profile, or remove its constraint.",
        )


def _wrong(  # noqa: PLR0917 - the parts of a sentence, in its order
    connection: Connection, table: Table, words: str, expected: str, found: str, todo: str
) -> WarehouseError:
    name = f"{connection.place.database}.{table.name}"
    return WarehouseError(
        f"the table {name} {words}", source=connection.place.words, expected=expected, found=found, todo=todo
    )


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", text)
