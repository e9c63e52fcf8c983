"""Comments of columns: what `DESCRIBE` shows beside each name and type, of tables and of views.

A table is made with its comments. A view gets them afterwards, so that one of an earlier version gets them as well, and
stays as it is otherwise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from champion_luigi.base.errors import WarehouseError
from champion_luigi.datasets.model import Column
from champion_luigi.warehouse.connection import Connection
from champion_luigi.warehouse.layout import quoted, text_of


def of(column: Column) -> str:
    """A column's meaning, and its unit in brackets."""
    return f"{column.meaning} [{column.unit}]" if column.unit else column.meaning


def complete(connection: Connection, views: Mapping[str, Mapping[str, str]]) -> None:
    """Give the columns of these views their comments, by name, where they have none.

    A user without the right ALTER COMMENT COLUMN, and a server that does not support it, leave views without them:
    nothing but `DESCRIBE` reads them. Raises WarehouseUnreachable.
    """
    lacking: dict[str, list[str]] = {}
    names = ", ".join(map(text_of, views))
    for view, column in connection.query(
        f"SELECT table, name FROM system.columns WHERE database = {text_of(connection.place.database)} "
        f"AND table IN ({names}) AND comment = ''"
    ):
        if comment := views[view].get(column):
            lacking.setdefault(view, []).append(f"COMMENT COLUMN IF EXISTS {quoted(column)} {text_of(comment)}")
    for view, changes in lacking.items():
        with contextlib.suppress(WarehouseError):
            connection.command(f"ALTER TABLE {connection.named(view)} {', '.join(changes)}")
