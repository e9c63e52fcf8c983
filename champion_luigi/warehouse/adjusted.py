"""The warehouse's adjusted prices: tables of adjustments and of their spans, and the view ``equity_adjusted``.

The tables are replaced as a whole. Each load is a generation of its own, written by one insert, and the views read the
newest one: readers see an old state or a new one, never parts of both. Older generations are dropped a little later,
since queries that began with them may still run. The view reads prices up to one date, the newest that there was when
the query began, and the factors that hold for it.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from champion_luigi.adjustments.tables import ADJUSTED_PRICES, EVENTS, PREVIOUS, PRICES, SPANS, VOLUME
from champion_luigi.base.errors import WarehouseError
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column
from champion_luigi.warehouse import comments
from champion_luigi.warehouse.connection import Connection
from champion_luigi.warehouse.layout import SINGLE, Layout, Table, quoted, text_of
from champion_luigi.warehouse.load import INSERT_SETTINGS
from champion_luigi.warehouse.table import column_in_ddl

if TYPE_CHECKING:
    import polars as pl

ADJUSTMENTS, ADJUSTMENT_SPANS, ADJUSTED = "adjustments", "adjustment_spans", "equity_adjusted"
# A query that began before a load may read the generation before it; that one has to stay for a while.
_KEPT = 2
_COLUMNS: Mapping[str, tuple[Sequence[Column], str]] = {
    ADJUSTMENTS: (EVENTS, "instrument, ex_date"),
    ADJUSTMENT_SPANS: (SPANS, "symbol, series, start"),
}
# The comments of the views' columns, by view and column.
COMMENTS: Mapping[str, Mapping[str, str]] = {
    name: {column.name: comments.of(column) for column in columns}
    for name, columns in ((ADJUSTMENTS, EVENTS), (ADJUSTMENT_SPANS, SPANS), (ADJUSTED, ADJUSTED_PRICES))
}
_REPLACE, _CREATE = "CREATE OR REPLACE VIEW", "CREATE VIEW IF NOT EXISTS"
# ClickHouse's code for a right that the user lacks.
_NO_RIGHT = "Code: 497."
# A row that only marks its generation: one without events is a state as well.
_MARK = ""


def ddl(database: str, layout: Layout = SINGLE) -> dict[str, str]:
    """The statements that make the tables and views, by name, in order. The views need the table of the equity data."""
    statements = {}
    for name, (columns, _) in _COLUMNS.items():
        [statements[table_of(name)]] = layout.create(database, _table(name), "CREATE TABLE")
        statements[name] = (
            f"{_REPLACE} {quoted(database)}.{name}{layout.clause} AS\nSELECT * EXCEPT (generation) FROM "
            f"{quoted(database)}.{table_of(name)}\nWHERE generation = {_newest(database, name)} "
            f"AND {columns[0].name} != {text_of(_MARK)}"
        )
    statements[ADJUSTED] = f"{_REPLACE} {quoted(database)}.{ADJUSTED}{layout.clause} AS\n{_adjusted(database)}"
    # The comment is made from the statement for one host, whoever runs it.
    return {
        name: f"{statement}\nCOMMENT {text_of(_comment(statement.replace(layout.clause, '', 1)))}"
        for name, statement in statements.items()
    }


def _table(name: str) -> Table:
    """A table of all generations, which is small, so on a cluster each host has all of it."""
    columns, key = _COLUMNS[name]
    declared = ["generation UInt64 CODEC(T64, ZSTD(1))", *map(column_in_ddl, columns)]
    return Table(table_of(name), declared, "MergeTree", "generation", key, is_by_date=False)


def load(
    connection: Connection,
    events: pl.DataFrame,
    spans: pl.DataFrame,
    on_trouble: Callable[[str], None] | None = None,
) -> int:
    """Replace all adjustments and spans, and return the number of the generation. Repeating it changes nothing.

    Makes the tables and views that are missing, and replaces those of another version. Raises WarehouseError or
    WarehouseUnreachable; what was loaded before then stays. A user without the right to drop old generations can load:
    ``on_trouble`` receives the sentence about it.
    """
    import polars as pl

    _prepare(connection.everywhere())
    database = connection.place.database
    for name in _COLUMNS:
        connection.catch_up(table_of(name))
    known = connection.query(" UNION ALL ".join(f"SELECT {_newest(database, name)}" for name in _COLUMNS))
    generation: int = max([time.time_ns() // 1000, *(number + 1 for (number,) in known)])
    for name, frame in ((ADJUSTMENTS, events), (ADJUSTMENT_SPANS, spans)):
        mark = pl.DataFrame([_blank(frame.schema)], frame.schema)
        rows = pl.concat([mark, frame]).with_columns(pl.lit(generation, pl.UInt64).alias("generation"))
        stream = io.BytesIO()
        rows.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        connection.insert_arrow(connection.named(table_of(name)), rows.columns, stream.getvalue(), INSERT_SETTINGS)
        [(found,)] = connection.query(
            f"SELECT count() FROM {connection.named(table_of(name))} WHERE generation = {generation}"
        )
        if found != rows.height:
            raise WarehouseError(
                f"{database}.{table_of(name)} does not hold the rows that were sent",
                source=connection.place.words,
                expected=f"{rows.height:,} rows",
                found=f"{found:,}",
                todo="Load the adjustments again.",
            )
    try:
        _drop_old(connection)
    except WarehouseError as error:
        if _NO_RIGHT not in (error.found or ""):
            raise
        if on_trouble:
            tables = " and ".join(f"{quoted(database)}.{table_of(name)}" for name in _COLUMNS)
            on_trouble(
                f"replaced adjustments stay in ClickHouse; to drop them, the user needs ALTER DELETE on {tables}"
            )
    return generation


def newest(connection: Connection) -> int | None:
    """The generation that readers see; None if a table or view is missing, or is not the one of this version."""
    database = connection.place.database
    made = ddl(database, connection.layout)
    found = _comments(connection, made)
    if any(found.get(name) != _comment(statement) for name, statement in made.items()):
        return None
    for name in _COLUMNS:
        connection.catch_up(table_of(name))
    return int(min(number for name in _COLUMNS for (number,) in connection.query(f"SELECT {_newest(database, name)}")))


def _comments(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    """The comments of those tables and views that exist, by name."""
    return dict(
        connection.query(
            f"SELECT name, comment FROM system.tables WHERE database = {text_of(connection.place.database)} "
            f"AND name IN ({', '.join(map(text_of, names))})"
        )
    )


def _prepare(connections: Sequence[Connection]) -> None:
    """Make what is missing. Of what another version made, tables too are replaced: all of it is made from the lake."""
    made = ddl(connections[0].place.database, connections[0].layout)
    stale = []
    for connection in connections:
        found = _comments(connection, made)
        others = {name: name in found for name, statement in made.items() if found.get(name) != _comment(statement)}
        stale.append((connection, others))
    # First drop them on every host: a replica of another version would refuse the new ones.
    for connection, others in stale:
        for name, is_there in others.items():
            if is_there and made[name].startswith("CREATE TABLE"):
                at_once = " SYNC" if connection.layout.cluster else ""
                connection.command(f"DROP TABLE {connection.named(name)}{at_once}")
    for connection, others in stale:
        for name, is_there in others.items():
            # To replace needs the right to drop, also where there is nothing to replace.
            connection.command(made[name] if is_there else made[name].replace(_REPLACE, _CREATE, 1))
        comments.complete(connection, COMMENTS)


def _drop_old(connection: Connection) -> None:
    """Drop all generations of a table but the newest ones."""
    for name in _COLUMNS:
        table = connection.named(table_of(name))
        old = connection.query(f"SELECT DISTINCT generation FROM {table} ORDER BY generation DESC LIMIT {_KEPT}, 1000")
        for (generation,) in old:
            connection.command(f"ALTER TABLE {table} DROP PARTITION {int(generation)}")


def table_of(name: str) -> str:
    """The table behind a view of this module."""
    return f"normalized_{name}"


def _newest(database: str, name: str) -> str:
    return f"(SELECT max(generation) FROM {quoted(database)}.{table_of(name)})"


def _blank(schema: Mapping[str, pl.DataType]) -> dict[str, object]:
    """A row of empty values."""
    import polars as pl

    empty = {pl.String: _MARK, pl.Date: 0, pl.Boolean: False, pl.Int64: 0, pl.Float64: 0.0}
    return {name: empty[type(kind) if isinstance(kind, pl.DataType) else kind] for name, kind in schema.items()}


def _adjusted(database: str) -> str:
    """The SELECT of adjusted prices. A symbol without spans has no events: its factors are 1."""
    shown = [f"{_column(name)} AS {name}" for name in EQUITY.names]
    shown += [
        "if(known, s.instrument, e.symbol) AS instrument",
        f"{_factor('factor')} AS factor",
        f"{_factor('exchange_factor')} AS exchange_factor",
        f"e.close / {_factor('total_factor')} AS total_return_close",
        "e.close AS raw_close",
        "if(known, s.unadjusted, 0) AS unadjusted",
        "known AND is_first AND s.prev_close_by_exchange AS prev_close_by_exchange",
    ]
    equity, spans = f"{quoted(database)}.{EQUITY.table}", f"{quoted(database)}.{table_of(ADJUSTMENT_SPANS)}"
    return (
        f"WITH (SELECT max(trade_date) FROM {equity}) AS through,\n"
        f"    {_newest(database, ADJUSTMENT_SPANS)} AS newest,\n"
        "    s.instrument != '' AND e.trade_date < s.stop AS known,\n"
        "    e.trade_date = s.first_day AS is_first\n"
        f"SELECT {', '.join(shown)}\n"
        f"FROM (SELECT * FROM {equity} FINAL WHERE trade_date <= through) AS e\n"
        f"LEFT ASOF JOIN (\n    SELECT symbol, series, start, stop, instrument, factor, exchange_factor, total_factor, "
        f"first_day, prev_factor, unadjusted, prev_close_by_exchange\n    FROM {spans}\n"
        "    WHERE generation = newest AND valid_from <= through AND through < valid_until\n"
        ") AS s ON e.symbol = s.symbol AND e.series = s.series AND e.trade_date >= s.start\n"
        # The spans are few: to share them out among threads costs more than it gains.
        "SETTINGS join_algorithm = 'hash'"
    )


def _column(name: str) -> str:
    if name in PRICES:
        return f"e.{name} / {_factor('factor')}"
    if name == PREVIOUS:
        return f"e.{name} / if(known, if(is_first, s.prev_factor, s.factor), 1)"
    return f"e.{name} * {_factor('factor')}" if name == VOLUME else f"e.{name}"


def _factor(name: str) -> str:
    return f"if(known, s.{name}, 1)"


def _comment(statement: str) -> str:
    body = statement.rpartition("\nCOMMENT ")[0] if "\nCOMMENT 'made by" in statement else statement
    return f"made by champion_luigi from {hashlib.sha256(body.encode()).hexdigest()[:16]}"
