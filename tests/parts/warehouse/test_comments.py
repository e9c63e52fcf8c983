"""The comments of columns that `DESCRIBE` shows for views, in the embedded engine, in a server and over the lake."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_server import ClickHouseServer, User, unavailable
from helpers import ROOT

from champion_luigi.adjustments.tables import EVENTS, SPANS, types_of
from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse import adjusted
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.over_files import open_over_files
from champion_luigi.warehouse.table import Warehouse, ddl

pytestmark = pytest.mark.integration

VIEWS = (
    *(view for dataset in DATASETS.values() for view in (dataset.view, *dataset.views)),
    "adjustments",
    "adjustment_spans",
    "equity_adjusted",
)
RIGHTS = "SELECT, INSERT, OPTIMIZE, CREATE TABLE, CREATE VIEW, CREATE DATABASE"
COMMENTS = "ALTER COMMENT COLUMN"
# A user with the rights that the guide names, with and without the one for comments.
LOADER = User("loader", "word", (f"{RIGHTS} ON *.*", "TABLE ENGINE ON *", f"{COMMENTS} ON *.*"))
WITHOUT = User("without", "word", (f"{RIGHTS} ON *.*", "TABLE ENGINE ON *"))

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(tmp_path_factory.mktemp("server"), others=[LOADER, WITHOUT]) as running:
        yield running


@pytest.fixture(params=["embedded", "served"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    """A database of the test's own in the embedded engine, and in a server with the rights of the guide."""
    if request.param == "embedded":
        return Address(folder=tmp_path / "warehouse")
    return served_to(LOADER, request.getfixturevalue("server"))


def served_to(user: User, server: ClickHouseServer) -> Address:
    return Address(server.host, server.port, user.name, user.password, database=f"market_{next(_numbers)}")


def make(table: Warehouse) -> None:
    """Make all tables and views, as the first loads do."""
    for dataset in DATASETS.values():
        table.prepare(dataset)
    adjusted.load(table.connection, pl.DataFrame(schema=types_of(EVENTS)), pl.DataFrame(schema=types_of(SPANS)))


def make_as_before(place: Address) -> None:
    """Make all tables and views as the versions before the comments of views did."""
    with contextlib.closing(open_warehouse(place)) as table:
        for dataset in DATASETS.values():
            for statement in ddl(place.database, dataset):
                table.command(statement)
        for statement in adjusted.ddl(place.database).values():
            table.command(statement.replace("CREATE OR REPLACE VIEW", "CREATE VIEW"))


def described(table: Any, view: str) -> dict[str, str]:
    """The comments that `DESCRIBE` shows, by column."""
    return {name: comment for name, _, _, _, comment, *_ in table.query(f"DESCRIBE {table.place.database}.{view}")}


def made(table: Warehouse) -> dict[str, tuple[str, str]]:
    """Each view's identity and statement: what a replacement would change. Comments of columns are left out."""
    found = table.query(
        f"SELECT name, toString(uuid), comment, as_select FROM system.tables "
        f"WHERE database = '{table.place.database}' AND engine = 'View' ORDER BY name"
    )
    return {name: (f"{uuid} {comment}", select) for name, uuid, comment, select in found}


def test_every_column_of_every_view_is_explained(place: Address) -> None:
    """By its meaning and unit, after the first load of each."""
    with contextlib.closing(open_warehouse(place)) as table:
        make(table)
        shown = {view: described(table, view) for view in VIEWS}
    assert {(view, name) for view in VIEWS for name, comment in shown[view].items() if not comment} == set()
    assert shown["equity_ohlc"]["turnover"] == "value traded [rupees]"
    assert shown["equity_adjusted"]["volume"] == "shares traded, multiplied by factor [shares]"
    assert shown["equity_adjusted"]["close"] == "closing price, above 0; divided by factor [rupees]"
    assert "a list" in shown["corporate_actions_effective"]["moved_from"]


def test_views_of_an_earlier_version_get_comments_and_stay_as_they_are(place: Address) -> None:
    """None is replaced; a comment of the owner's own stays, and a second time nothing is changed."""
    make_as_before(place)
    with contextlib.closing(open_warehouse(place)) as table:
        before = made(table)
        assert set(before) == set(VIEWS)
        assert not any(described(table, "equity_ohlc").values())
        table.command(f"ALTER TABLE {table.connection.named('equity_ohlc')} COMMENT COLUMN close 'ours'")
        make(table)
        assert made(table) == before
        assert described(table, "equity_ohlc")["close"] == "ours"
        assert described(table, "equity_ohlc")["open"] == "first price; null where recorded as 0 [rupees]"
        changed = f"SELECT name, metadata_modification_time FROM system.tables WHERE database = '{place.database}'"
        times = table.query(changed)
        table._can_load.clear()
        make(table)
        assert table.query(changed) == times


def test_a_view_that_is_replaced_has_its_comments_again(tmp_path: Path) -> None:
    """At once, with the load that replaces it."""
    view = "corporate_actions_effective"
    with contextlib.closing(open_warehouse(Address(folder=tmp_path / "warehouse"))) as table:
        make(table)
        table.command(f"CREATE OR REPLACE VIEW {table.connection.named(view)} AS SELECT 1 AS symbol")
        table._can_load.clear()
        table.prepare(CORPORATE_ACTIONS)
        assert all(described(table, view).values())


def test_a_user_without_the_right_loads_without_comments(server: ClickHouseServer) -> None:
    """The guide names the right; views of an earlier version, and new ones, are loaded and read as before."""
    guide = (ROOT / "docs/how-to/clickhouse-server.md").read_text(encoding="utf-8")
    assert f"GRANT {RIGHTS} ON" in guide
    assert f"GRANT {COMMENTS} ON champion_market.* TO" in guide
    for is_old in (False, True):
        place = served_to(WITHOUT, server)
        if is_old:
            make_as_before(place)
        with contextlib.closing(open_warehouse(place)) as table:
            make(table)
            values: dict[str, Any] = {"symbol": "A", "series": "EQ", "close": 1.0, "volume": 1, "turnover": 1.0}
            values |= {"trade_date": date(2024, 1, 15), "layout": "udiff"}
            rows = pl.DataFrame([dict.fromkeys(EQUITY.names) | values], schema=EQUITY.types)
            assert table.load(EQUITY, date(2024, 1, 15), rows).rows == 1
            assert not any(described(table, "equity_ohlc").values())
            assert table.query(f"SELECT symbol FROM {table.connection.named('equity_adjusted')}") == [("A",)]


def test_the_views_over_the_lake_have_the_same_comments(tmp_path: Path) -> None:
    """`champion sql "DESCRIBE equity_ohlc"` answers the same while a fill holds the engine."""
    files = {}
    for dataset in DATASETS.values():
        files[dataset] = str(tmp_path / f"{dataset.name}.parquet")
        pl.DataFrame(schema=dataset.types).write_parquet(files[dataset])
    ours = {name: tmp_path / f"{name}.parquet" for name in ("adjustments", "adjustment_spans")}
    for name, columns in (("adjustments", EVENTS), ("adjustment_spans", SPANS)):
        rows = pl.DataFrame(schema=types_of(columns)).with_columns(generation=pl.lit(1, pl.UInt64))
        rows.write_parquet(ours[name])
    place = Address(folder=tmp_path / "warehouse")
    with contextlib.closing(open_warehouse(place)) as table:
        make(table)
        of_warehouse = {view: described(table, view) for view in VIEWS}
    with contextlib.closing(open_over_files(place, tmp_path, files, ours, None)) as questions:
        assert {view: described(questions, view) for view in VIEWS} == of_warehouse
