"""Merging: each year of a table as one part.

The view reads with FINAL, which compares the rows of a year's parts with each other, and takes a year that is one part
as it is. A server merges by itself, though seldom down to one part. The embedded engine has little time to merge while
a process loads; and it removes the files of merged parts half a minute after its start, when most processes have ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from champion_luigi.base import durable
from champion_luigi.warehouse.connection import Connection
from champion_luigi.warehouse.layout import text_of


def hold(connection: Connection, table: str) -> None:
    """Have the embedded engine merge nothing of a table until `merge`, which does it at once, for half the cost.

    Merges in the background take a share of a fill's time, and their parts are merged again at its end. A server goes
    on merging. The engine forgets this when its process ends.
    """
    if not connection.place.host:
        connection.command(f"SYSTEM STOP MERGES {connection.named(table)}")


def merge(connection: Connection, table: str, years: Collection[int]) -> None:
    """Merge the parts of each of these years into one; a year that is one part costs nothing.

    A kill at any moment loses nothing: a merged part takes the place of its parts once it is whole. The embedded engine
    then removes the files of replaced parts, but for those of the last second, which the next merge removes.

    Raises WarehouseError, for example if the user may not merge, or WarehouseUnreachable; readers see the same rows
    then, too.
    """
    of_embedded = _removing_replaced_parts(connection, table)
    with contextlib.nullcontext() if connection.place.host else of_embedded:
        for year in sorted(years):
            # With FINAL it waits for the parts that a merge in the background holds. A server need not show its parts
            # to this user, so it is the server that skips.
            connection.command(
                f"OPTIMIZE TABLE {connection.named(table)} PARTITION {year} FINAL "
                "SETTINGS optimize_skip_merged_partitions = 1"
            )


def crowded(connection: Connection, tables: Collection[str], most_parts: int) -> dict[str, list[int]]:
    """The years that have more than ``most_parts`` parts, by table."""
    found: dict[str, list[int]] = {}
    for table, year in connection.query(
        f"SELECT table, toInt32(partition) AS year FROM system.parts WHERE {_of(connection, tables)} AND active "
        f"GROUP BY table, year HAVING count() > {most_parts}"
    ):
        found.setdefault(table, []).append(year)
    return found


@contextlib.contextmanager
def _removing_replaced_parts(connection: Connection, table: str) -> Iterator[None]:
    """Have the engine remove the files of replaced parts, at the end of the block.

    The engine does not sync what it merges: a power failure could take the merged part, after its parts were removed.
    """
    connection.command(f"SYSTEM STOP CLEANUP {connection.named(table)}")
    connection.command(f"SYSTEM START MERGES {connection.named(table)}")
    try:
        yield
        parts = connection.query(f"SELECT partition, active, path FROM system.parts WHERE {_of(connection, [table])}")
        with_replaced = {partition for partition, active, _ in parts if not active}
        for partition, active, path in parts:
            if active and partition in with_replaced:
                durable.sync_files(Path(path))
    finally:
        # This also wakes up the thread that removes. It spares what was replaced within the last second.
        connection.command(f"SYSTEM START CLEANUP {connection.named(table)}")


def _of(connection: Connection, tables: Collection[str]) -> str:
    """The condition for the parts of these tables."""
    return f"database = {text_of(connection.place.database)} AND table IN ({', '.join(map(text_of, tables))})"
