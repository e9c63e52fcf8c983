"""A data set's table and view: made on first use, extended by later columns, loaded and queried.

People query the view, which reads the last version of each row (FINAL).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from champion_luigi.base.errors import WarehouseError
from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column, Dataset
from champion_luigi.warehouse import comments, merging
from champion_luigi.warehouse.connection import Address, Connection, date_of
from champion_luigi.warehouse.layout import SINGLE, Layout, Table, quoted, text_of
from champion_luigi.warehouse.ledger import Entry, Ledger
from champion_luigi.warehouse.load import Loaded, Loads

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.warehouse.claims import Claims

# A year with more parts than this is merged when the embedded warehouse is closed, whoever loaded it. A fill merges the
# years that it loads; days that are loaded one at a time would pay for a whole year each.
_MOST_PARTS = 20
# The words that begin something else in a list of columns.
_CLAUSES = frozenset({"constraint", "index", "projection"})
_OWN_COLUMNS = {"version": "UInt64 CODEC(T64, ZSTD(1))", "is_deleted": "UInt8 CODEC(T64, ZSTD(1))"}


def _claims(connection: Connection) -> Claims:
    from champion_luigi.warehouse.claims import Claims

    return Claims(connection)


@dataclass(frozen=True)
class Sums:
    """A date as readers see it: rows, distinct keys, and the sums of the data set's declared columns."""

    rows: int
    keys: int
    sums: tuple[float, ...]


@dataclass(frozen=True)
class OnHost:
    """The sums of each date that one host of a cluster has; ``is_of`` says whether a date belongs to its shard."""

    host: str
    held: Mapping[date, Sums]
    is_of: Callable[[date], bool]


@dataclass(frozen=True)
class Differences:
    """How existing columns differ from a data set's.

    ``lacking`` are the nullable columns at the end that an older version did not have: a load adds them. ``wrong`` are
    the other differing columns by name, with the expected type (empty for an unknown column) and the found one (empty
    for a missing column).
    """

    lacking: tuple[Column, ...] = ()
    wrong: Mapping[str, tuple[str, str]] = field(default_factory=dict)


class Warehouse:
    """An open warehouse: one client per process, and a table for each data set."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.place: Address = connection.place
        self.query = connection.query
        self.command = connection.command
        self.close = connection.close
        self._named = connection.named
        self.layout = connection.layout
        # For a server; the embedded engine needs neither ledger nor claims.
        self.ledger = Ledger(connection) if self.place.host else None
        self._claims = _claims(connection) if self.place.host else None
        self._loads = Loads(connection)
        self._preparing = threading.Lock()
        self._can_read: set[Dataset] = set()
        self._can_load: set[Dataset] = set()

    def name_of(self, dataset: Dataset) -> str:
        """The table's name with its database, for messages and records."""
        return f"{self.place.database}.{dataset.table}"

    def prepare(self, dataset: Dataset) -> None:
        """Make a data set's table and view, or add the columns that an older version lacked.

        Raises WarehouseError if the table has other columns, or if the user may not change it.
        """
        with self._preparing:
            if dataset in self._can_load:
                return
            table, view, has_comments = self._columns(dataset)
            lacking = self._lacking(dataset, table, "table") if table else ()
            is_behind = bool(view and self._lacking(dataset, view, "view"))
            if not table:
                self.command(self.layout.database(self.place.database))
                for statement in self.layout.create(self.place.database, table_of(dataset)):
                    self.command(statement)
            if lacking or is_behind:
                self._grow(dataset, lacking)
            elif not view:
                # Only if it is missing: the user may lack the right to make a view.
                self.command(_create_view(self.place.database, dataset))
            is_changed = self._make_further_views(dataset) or bool(lacking) or is_behind
            if is_changed or not has_comments:
                comments.complete(self.connection, comments_of(dataset))
            if self.ledger:
                self.ledger.prepare()
            self._can_load.add(dataset)

    def load(self, dataset: Dataset, day: date, rows: pl.DataFrame) -> Loaded:
        """Replace a date's rows, as `load_days` does."""
        return self.load_days(dataset, {day: rows})[day]

    def load_days(
        self,
        dataset: Dataset,
        days: Mapping[date, pl.DataFrame],
        lake_sha256: Mapping[date, str] = MappingProxyType({}),
        if_due: Collection[date] = (),
    ) -> dict[date, Loaded]:
        """Replace the rows of each date atomically, and check the rows that readers then see.

        The dates of a year share inserts, because an insert costs more than its rows. Repeating a load changes nothing;
        if it raises, any of the dates may be loaded. A server's ledger then has those dates whose lake file's sha256 is
        in ``lake_sha256``. Those ``if_due`` whose same file it has already, because another process has loaded it
        meanwhile, are not loaded once more. Raises Busy if other processes go on loading the dates for long.
        """
        self.prepare(dataset)
        return self._load(dataset, days, lake_sha256, if_due)

    def _load(
        self,
        dataset: Dataset,
        days: Mapping[date, pl.DataFrame],
        lake_sha256: Mapping[date, str],
        if_due: Collection[date],
    ) -> dict[date, Loaded]:
        if not self._claims:
            return self._loads.load(dataset, days)  # the engine's lock keeps other processes away
        with self._claims.held(dataset, days):
            others = self._loaded_by_others(dataset, lake_sha256, if_due)
            own = {day: rows for day, rows in days.items() if day not in others}
            loaded = self._loads.load(dataset, own) if own else {}
            # Before the claim is given back: whoever has waited for it finds what was loaded.
            self._record(dataset, loaded, lake_sha256)
        return loaded | others

    def _loaded_by_others(
        self, dataset: Dataset, lake_sha256: Mapping[date, str], if_due: Collection[date]
    ) -> dict[date, Loaded]:
        if not if_due:
            return {}
        assert self.ledger
        return {
            day: Loaded(entry.rows, 0, entry.version, by_another=True)
            for day, entry in self.ledger.entries(dataset, min(if_due), max(if_due) + timedelta(days=1)).items()
            if day in if_due and entry.counts and entry.lake_sha256 == lake_sha256.get(day)
        }

    def _record(self, dataset: Dataset, loaded: Mapping[date, Loaded], lake_sha256: Mapping[date, str]) -> None:
        """Enter checked loads into a server's ledger."""
        assert self.ledger
        entries = {
            day: Entry(sha256, loaded[day].rows, loaded[day].version, dataset.version, loaded[day].version)
            for day, sha256 in lake_sha256.items()
            if day in loaded
        }
        if entries:
            self.ledger.write(dataset, entries)

    def rows_by_day(self, dataset: Dataset) -> list[tuple[date, int]]:
        """How many rows each date has, oldest first."""
        if not self._is_there(dataset):
            return []
        found = self.query(
            f"SELECT trade_date, count() FROM {self._named(dataset.view)} GROUP BY trade_date ORDER BY trade_date"
        )
        return [(day, count) for day, count in found]

    def held(self, dataset: Dataset, start: date, stop: date) -> dict[date, Sums]:
        """The sums of each date with rows from ``start`` to ``stop`` (exclusive), as readers see them, in one query."""
        return self._held(dataset, start, stop, self._named(dataset.view))

    def held_on_hosts(self, dataset: Dataset, start: date, stop: date) -> list[OnHost]:  # noqa: ARG002
        """What each answering host of a cluster has, from ``start`` to ``stop`` (exclusive); empty for one server."""
        return []

    def troubles(self) -> list[str]:
        """A sentence for each host of a cluster with which something is wrong; empty for one server."""
        return []

    def _held(self, dataset: Dataset, start: date, stop: date, seen_in: str) -> dict[date, Sums]:
        if not self._is_there(dataset):
            return {}
        sums = "".join(f", sum({name})" for name in dataset.sums)
        found = self.query(
            f"SELECT trade_date, count(), uniqExact({', '.join(dataset.key)}){sums} FROM {seen_in} "
            f"WHERE trade_date >= {date_of(start)} AND trade_date < {date_of(stop)} GROUP BY trade_date"
        )
        return {day: Sums(rows, keys, tuple(each or 0 for each in sums)) for day, rows, keys, *sums in found}

    def years(self, dataset: Dataset) -> list[int]:
        """The years with rows, including deleted ones, ascending."""
        if not self._is_there(dataset):
            return []
        years = f"SELECT DISTINCT toYear(trade_date) AS year FROM {self._named(dataset.table)} ORDER BY year"
        return [int(year) for (year,) in self.query(years)]

    def hold_merges(self, dataset: Dataset) -> None:
        """Have the embedded engine merge nothing of the table in the background until `merge`."""
        merging.hold(self.connection, dataset.table)

    def merge(self, dataset: Dataset, years: Collection[int] | None = None) -> None:
        """Merge the parts of each year, of all or of these, so that the view reads fast.

        A server's user needs the right OPTIMIZE on the table. Raises WarehouseError or WarehouseUnreachable; readers
        see the same rows then, too.
        """
        merging.merge(self.connection, dataset.table, self.years(dataset) if years is None else years)

    def tidy(self) -> None:
        """Merge years with too many parts before the process ends; a server does this by itself."""
        tables = [dataset.table for dataset in DATASETS.values()]
        for table, years in merging.crowded(self.connection, tables, _MOST_PARTS).items():
            merging.merge(self.connection, table, years)

    def _is_there(self, dataset: Dataset) -> bool:
        """Whether a data set's table exists. Its columns are checked; a missing view is made anew.

        A reader may lack the right to add columns, so a table without later columns is accepted.
        """
        with self._preparing:
            if dataset in self._can_read | self._can_load:
                return True
            table, view, _ = self._columns(dataset)
            if not table:
                return False
            self._lacking(dataset, table, "table")
            if view:
                self._lacking(dataset, view, "view")
            else:
                self.command(_create_view(self.place.database, dataset))
            self._can_read.add(dataset)
            return True

    def _columns(self, dataset: Dataset) -> tuple[dict[str, str], dict[str, str], bool]:
        """The columns of a data set's table and view, with their types, empty if there is none.

        Then whether all its views are there, with their comments.
        """
        declared = comments_of(dataset)
        stored = self.layout.stored_in(table_of(dataset))
        found: dict[str, dict[str, str]] = {name: {} for name in (dataset.table, stored, *declared)}
        has_comments = True
        for table, name, type_, comment in self.query(
            f"SELECT table, name, type, comment FROM system.columns WHERE database = {text_of(self.place.database)} "
            f"AND table IN ({', '.join(map(text_of, found))})"
        ):
            found[table][name] = type_
            has_comments &= bool(comment) or name not in declared.get(table, {})
        # A column that the table over the stored rows lacks counts as lacking, even if the stored rows have it.
        over = {name: type_ for name, type_ in found[stored].items() if name in found[dataset.table]}
        return over, found[dataset.view], has_comments and all(found[view] for view in declared)

    def _make_further_views(self, dataset: Dataset) -> bool:
        """Make the data set's further views that are missing, and replace those of another version; whether any was."""
        if not dataset.views:
            return False
        found = self.query(
            f"SELECT name, comment FROM system.tables WHERE database = {text_of(self.place.database)} "
            f"AND name IN ({', '.join(map(text_of, dataset.views))})"
        )
        made_from = dict(found)
        for name, select in dataset.views.items():
            if name not in made_from:
                self.command(_further_view(self.place.database, dataset, name))
            elif made_from[name] != _made_from(select):
                # Only if it is another one: the user may lack the right to replace a view.
                self._replace_further_view(dataset, name)
        return any(made_from.get(name) != _made_from(select) for name, select in dataset.views.items())

    def _replace_further_view(self, dataset: Dataset, name: str) -> None:
        statement = _further_view(self.place.database, dataset, name, "CREATE OR REPLACE VIEW")
        try:
            self.command(statement)
        except WarehouseError as error:
            raise WarehouseError(
                f"the view {self.place.database}.{name} is not the one that this version makes, and was not replaced",
                source=self.place.words,
                found=error.found,
                todo="Drop the view, which holds no data, and run the same command again: the view is made anew.",
            ) from None

    def _lacking(self, dataset: Dataset, found: Mapping[str, str], kind: str) -> tuple[Column, ...]:
        """The later columns that a table or a view lacks. Raises WarehouseError if its other columns differ."""
        different = differences(dataset, found, is_view=kind == "view")
        if not different.wrong:
            return different.lacking
        types = different.wrong.items()
        # A replicated table that is renamed still holds its path in Keeper.
        away = "drop it on every host, with SYNC," if self.layout.cluster else "rename it"
        todo = (
            f"If a newer version made it, use that version. If not, {away} and load again: every day is in the lake."
            if kind == "table"
            else "Drop the view, which holds no data, and run the same command again: the view is made anew."
        )
        name = dataset.table if kind == "table" else dataset.view
        raise WarehouseError(
            f"the {kind} {self.place.database}.{name} is not the one that this version makes",
            source=self.place.words,
            expected=", ".join(f"{name} {type_}" for name, (type_, _) in types if type_) or "no further columns",
            found=", ".join(f"{name} {type_ or 'missing'}" for name, (_, type_) in types),
            todo=todo,
        )

    def _grow(self, dataset: Dataset, lacking: tuple[Column, ...]) -> None:
        statements = growth(self.place.database, dataset, lacking, self.layout)
        try:
            for statement in statements:
                self.command(statement)
        except WarehouseError as error:
            raise WarehouseError(
                f"{self.name_of(dataset)} and its view lack columns of this version, and they could not be added",
                source=self.place.words,
                expected=f"the columns of version {dataset.version}",
                found=error.found,
                todo=f"Let a user with that right run: {'; '.join(statements)}. Then run the same command again.",
            ) from None


def ddl(database: str, dataset: Dataset = EQUITY, layout: Layout = SINGLE) -> list[str]:
    """The statements that make the database, the table and the view if they are missing, then the further views.

    On a cluster with several shards, the table consists of two: see `layout`.
    """
    return [
        layout.database(database),
        *layout.create(database, table_of(dataset)),
        _create_view(database, dataset, layout),
        *(_further_view(database, dataset, name, layout=layout) for name in dataset.views),
    ]


def table_of(dataset: Dataset) -> Table:
    """The table of a data set's rows and their versions."""
    columns = [column_in_ddl(column) for column in dataset.columns]
    columns += [f"{name} {type_}" for name, type_ in _OWN_COLUMNS.items()]
    engine, order = "ReplacingMergeTree(version, is_deleted)", f"{', '.join(dataset.key)}, trade_date"
    return Table(dataset.table, columns, engine, "toYear(trade_date)", order)


def comments_of(dataset: Dataset) -> dict[str, dict[str, str]]:
    """The comments of the columns of a data set's views, by view and column."""
    declared = {column.name: comments.of(column) for column in dataset.columns}
    return {dataset.view: declared, **{name: declared | dict(dataset.view_comments) for name in dataset.views}}


def growth(database: str, dataset: Dataset, lacking: tuple[Column, ...], layout: Layout = SINGLE) -> list[str]:
    """The statements that add later columns to an existing table, and show them in its view."""
    before = dict(zip(dataset.names[1:], dataset.names, strict=False))
    after = {column: f"AFTER {_name(before[column.name])}" for column in lacking}
    added = [f"ADD COLUMN IF NOT EXISTS {column_in_ddl(column)} {place}" for column, place in after.items()]
    # The table that stores the rows is first: the one over it reads its columns.
    tables = dict.fromkeys((layout.stored_in(table_of(dataset)), dataset.table)) if added else ()
    alter = [f"ALTER TABLE {quoted(database)}.{table}{layout.clause} {', '.join(added)}" for table in tables]
    return [*alter, f"CREATE OR REPLACE VIEW {_view(database, dataset, layout)}".replace("\n", " ")]


def differences(dataset: Dataset, found: Mapping[str, str], *, is_view: bool = False) -> Differences:
    """How the columns and types of an existing table or view differ from those of a data set.

    A view keeps the columns that it was made with; further ones do no harm.
    """
    declared = {column.name: column.clickhouse for column in dataset.columns} | ({} if is_view else _OWN_COLUMNS)
    # As ClickHouse lists the types.
    expected = {name: type_.partition(" CODEC")[0] for name, type_ in declared.items()}
    if is_view:
        found = {name: type_ for name, type_ in found.items() if name in expected}
    lacking: list[Column] = []
    # Every table has the first version's columns.
    for column in reversed(dataset.columns if dataset.version > 1 else ()):
        if column.required or column.name in found:
            break
        lacking.insert(0, column)
    known = {column.name for column in lacking}
    wrong = {
        name: (expected.get(name, ""), found.get(name, ""))
        for name in {**expected, **found}
        if name not in known and expected.get(name) != found.get(name)
    }
    return Differences(tuple(lacking), wrong)


def _create_view(database: str, dataset: Dataset, layout: Layout = SINGLE) -> str:
    return f"CREATE VIEW IF NOT EXISTS {_view(database, dataset, layout)}"


def _view(database: str, dataset: Dataset, layout: Layout) -> str:
    return (
        f"{quoted(database)}.{dataset.view}{layout.clause} AS\n"
        f"SELECT * EXCEPT (version, is_deleted) FROM {quoted(database)}.{dataset.table} FINAL"
    )


def _further_view(
    database: str, dataset: Dataset, name: str, make: str = "CREATE VIEW IF NOT EXISTS", layout: Layout = SINGLE
) -> str:
    select = dataset.views[name]
    shown = select.format(view=f"{quoted(database)}.{dataset.view}")
    return f"{make} {quoted(database)}.{name}{layout.clause} AS\n{shown}\nCOMMENT {text_of(_made_from(select))}"


def _made_from(select: str) -> str:
    """The comment of a further view. ClickHouse rewrites the statement, so this shows whether a view is up to date."""
    return f"made by champion_luigi from {hashlib.sha256(select.encode()).hexdigest()[:16]}"


def column_in_ddl(column: Column) -> str:
    """A column as `CREATE TABLE` has it, with its comment."""
    return f"{_name(column.name)} {column.clickhouse} COMMENT {text_of(comments.of(column))}"


def _name(column: str) -> str:
    """A column's name in a list of columns, quoted if it could be the start of another clause."""
    return quoted(column) if column in _CLAUSES else column
