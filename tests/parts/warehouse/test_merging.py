"""Merging: a year becomes one part, readers see the same rows, and no end of the process loses one."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from clickhouse_server import ClickHouseServer, User, unavailable
from helpers import hear, lines_of, payload, publish, run_champion, start_python, wait_for

from champion_luigi.base import durable
from champion_luigi.base.errors import WarehouseError
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Warehouse

pytestmark = pytest.mark.integration

PASSWORD = "secret"
# What the documentation had users grant before fills merged; that includes no look at the server's own tables.
LOADER = User("loader", PASSWORD, ("SELECT, INSERT, CREATE ON *.*", "TABLE ENGINE ON *"))
MERGER = User("merger", PASSWORD, (*(LOADER.grants or ()), "OPTIMIZE ON *.*"))
YEARS = (2023, 2024)
SUMS = f"SELECT count(), sum(volume), sum(cityHash64(symbol, trade_date, close)) FROM champion_market.{EQUITY.view}"

_names = itertools.count()

# Merges a large year, and says when it begins.
MERGING = """
import sys
from pathlib import Path
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
table = open_warehouse(Address(folder=Path(sys.argv[1])))
print("merging", flush=True)
table.merge(EQUITY)
print("merged", flush=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("server")
    with ClickHouseServer(folder, password=PASSWORD, others=[LOADER, MERGER]) as running:
        yield running


def place_of(server: ClickHouseServer, user: str) -> Address:
    """A database of the test's own in the server."""
    return Address(server.host, server.port, user, PASSWORD, database=f"market_{next(_names)}")


@pytest.fixture
def embedded(tmp_path: Path) -> Address:
    return Address(folder=tmp_path / "warehouse")


@pytest.fixture(params=["embedded", "served"])
def table(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """A table whose years have four parts each."""
    embedded = request.param == "embedded"
    place = request.getfixturevalue("embedded") if embedded else place_of(request.getfixturevalue("server"), "merger")
    opened_here = open_warehouse(place)
    crowd(opened_here, symbols=10)
    yield opened_here
    opened_here.close()


def crowd(table: Warehouse, symbols: int) -> None:
    """Four days of each year, and an earlier version of the last one: parts that no merge in the background has met."""
    table.prepare(EQUITY)
    for year, number in itertools.product(YEARS, (1, 2, 3, 4)):
        day = date(year, 3, min(number, 3))
        table.command(
            f"INSERT INTO `{table.place.database}`.{EQUITY.table} "
            "(trade_date, symbol, series, close, volume, turnover, layout, version, is_deleted) "
            f"SELECT toDate('{day}'), concat('S', toString(number)), 'EQ', {number}, number, number, 'legacy', "
            f"{number}, {number} = 4 AND number % 2 FROM numbers({symbols})"
        )


def parts_of(table: Warehouse) -> dict[int, int]:
    """The number of parts of each year."""
    name = f"`{table.place.database}`.{EQUITY.table}"
    return dict(table.query(f"SELECT toYear(trade_date) AS year, uniqExact(_part) FROM {name} GROUP BY year"))


def held(table: Warehouse) -> list[tuple[object, ...]]:
    """What readers see."""
    return table.query(SUMS.replace("champion_market", f"`{table.place.database}`"))


def test_a_merged_year_is_one_part_with_the_same_rows(table: Warehouse) -> None:
    """Of the years that are named, or else of all."""
    before = held(table)
    table.merge(EQUITY, {2024})
    assert parts_of(table)[2024] == 1
    table.merge(EQUITY)
    assert parts_of(table) == dict.fromkeys(YEARS, 1)
    assert held(table) == before


def test_a_year_that_is_one_part_is_not_written_again(table: Warehouse) -> None:
    """A fill that loads nothing into a year costs nothing there."""
    table.merge(EQUITY)
    names = f"SELECT DISTINCT _part FROM `{table.place.database}`.{EQUITY.table}"
    before = sorted(table.query(names))
    table.merge(EQUITY)
    assert sorted(table.query(names)) == before


def test_a_user_without_the_right_to_merge_loses_nothing(server: ClickHouseServer) -> None:
    """The error quotes the right that is lacking."""
    table = open_warehouse(place_of(server, "loader"))
    crowd(table, symbols=10)
    before = held(table)
    with pytest.raises(WarehouseError, match="grant OPTIMIZE ON"):
        table.merge(EQUITY)
    assert held(table) == before
    table.close()


# The embedded engine


def folders(place: Address) -> list[Path]:
    """The folders of all parts, of replaced ones too."""
    return [path for path in place.folder.glob("store/*/*/*_*_*_*") if path.is_dir()]


def test_held_merges_begin_again_with_the_merge(embedded: Address) -> None:
    """Until then the engine refuses one, even if it is asked for by name, and says so."""
    table = open_warehouse(embedded)
    crowd(table, symbols=10)
    table.hold_merges(EQUITY)
    by_name = f"OPTIMIZE TABLE champion_market.{EQUITY.table} PARTITION 2023 FINAL"
    with pytest.raises(WarehouseError, match="Cancelled merging"):
        table.command(by_name)
    assert parts_of(table)[2023] == 4
    table.merge(EQUITY)
    assert parts_of(table) == dict.fromkeys(YEARS, 1)
    crowd(table, symbols=10)
    table.command(by_name)
    assert parts_of(table)[2023] == 1
    table.close()


def test_the_next_merge_removes_the_files_of_replaced_parts(embedded: Address) -> None:
    """A process that ends after seconds would leave them for good; the engine spares those of the last second."""
    table = open_warehouse(embedded)
    crowd(table, symbols=10)
    table.merge(EQUITY)
    time.sleep(1.1)
    table.merge(EQUITY)
    wait_for(lambda: len(folders(embedded)) == len(YEARS), "the files to be removed")
    table.close()


def test_parts_are_removed_after_their_successor_is_on_the_disk(
    embedded: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure in between would lose both."""
    sync, seen = durable.sync_files, []

    def listening(folder: Path) -> None:
        seen.append((folder, len(folders(embedded))))
        sync(folder)

    monkeypatch.setattr(durable, "sync_files", listening)
    table = open_warehouse(embedded)
    crowd(table, symbols=10)
    table.merge(EQUITY)
    active = table.query(f"SELECT path FROM system.parts WHERE active AND table = '{EQUITY.table}' ORDER BY path")
    table.close()
    assert sorted(seen) == [(Path(path), len(YEARS) * 5) for (path,) in active]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.usefixtures("unmeasured")
def test_a_merge_that_is_interrupted_loses_nothing(embedded: Address, end: signal.Signals) -> None:
    """The next one completes it."""
    table = open_warehouse(embedded)
    crowd(table, symbols=60_000)
    before = held(table)
    table.close()
    process = start_python(MERGING, str(embedded.folder))
    assert hear(process) == "merging"
    while not list(embedded.folder.glob("store/*/*/tmp_merge_*")) and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, end)
    process.communicate()
    assert process.returncode != 0
    table = open_warehouse(embedded)
    assert held(table) == before
    table.merge(EQUITY)
    assert (held(table), parts_of(table)) == (before, dict.fromkeys(YEARS, 1))
    table.close()


# Fills


DAYS = [date(2024, 1, 15) + timedelta(days=number) for number in range(4)]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files of four days."""
    folder = tmp_path.with_name(tmp_path.name + "-archive")
    for day in DAYS:
        publish(folder, day, "legacy", lines_of(payload(day, "legacy"))[:20])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))


def fill(*days: date) -> tuple[int, str]:
    """Fill these days one by one: the last one's exit code, and what it said."""
    for day in days:
        done = run_champion("fill", "--start", str(day), "--stop", str(day + timedelta(days=1)))
    return done.returncode, done.stderr


def test_each_fill_leaves_its_year_as_one_part(tmp_path: Path, archive: None) -> None:
    """An evening's fill too."""
    assert fill(*DAYS)[0] == 0
    table = open_warehouse(Address(folder=tmp_path / "warehouse"))
    assert parts_of(table) == {2024: 1}
    assert len(table.rows_by_day(EQUITY)) == len(DAYS)
    table.close()


def test_a_fill_whose_user_may_not_merge_is_done(
    server: ClickHouseServer, archive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning names the right that is lacking."""
    place = place_of(server, "loader")
    settings = {"HOST": place.host, "PORT": place.port, "USER": place.user, "PASSWORD": PASSWORD}
    for name, value in (settings | {"DATABASE": place.database}).items():
        monkeypatch.setenv(f"CLICKHOUSE_{name}", str(value))
    code, said = fill(*DAYS[:2])
    assert code == 0
    assert "all is loaded, but not merged" in said
    assert "grant OPTIMIZE ON" in said
