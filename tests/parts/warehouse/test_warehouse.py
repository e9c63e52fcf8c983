"""The ClickHouse table, in the embedded engine and in a server: what readers see, and what goes wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import re
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_cluster import Cluster, running
from clickhouse_server import ClickHouseServer, unavailable
from helpers import hear, start_python, tell

from champion_luigi.base.errors import Busy, WarehouseError, WarehouseUnreachable, is_transient
from champion_luigi.datasets import model
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column, Dataset
from champion_luigi.warehouse import load as loading
from champion_luigi.warehouse.connection import Address, Connection
from champion_luigi.warehouse.load import Loaded
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Sums, Warehouse, ddl, growth

if TYPE_CHECKING:
    import polars as pl
    from clickhouse_connect.driver.client import Client

pytestmark = pytest.mark.integration

DAY = date(2024, 1, 15)
VIEW = "equity_ohlc"
PASSWORD = "pa'ss \\ wörd"
# What a reader compares: a count, and sums without rounding.
SUMS = "count(), sum(volume), sum(toInt64(round(turnover * 100))), sum(toInt64(round(close * 100)))"

_numbers = itertools.count()

Polled = Callable[[Address], AbstractContextManager[Callable[[], set[tuple[Any, ...]]]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(tmp_path_factory.mktemp("server"), password=PASSWORD) as running:
        yield running


@pytest.fixture
def served(server: ClickHouseServer) -> Address:
    """A database of the test's own in the server."""
    return Address(server.host, server.port, server.user, server.password, database=f"market_{next(_numbers)}")


@pytest.fixture
def embedded(tmp_path: Path) -> Address:
    return Address(folder=tmp_path / "warehouse")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running(shards=1, replicas=2) as started:
        yield started


@pytest.fixture
def clustered(cluster: Cluster) -> Address:
    """A database of the test's own in a cluster."""
    return cluster.place(f"market_{next(_numbers)}", wait_seconds=0.0)


@pytest.fixture(params=["embedded", "served", "clustered"])
def place(request: pytest.FixtureRequest) -> Address:
    """Every test that takes this runs against both."""
    found: Address = request.getfixturevalue(request.param)
    return found


# What a cluster does otherwise, or not at all.
of_one_server = pytest.mark.parametrize("place", ["embedded", "served"], indirect=True)


@pytest.fixture
def table(place: Address) -> Iterator[Warehouse]:
    opened = open_warehouse(place)
    opened.prepare(EQUITY)
    yield opened
    opened.close()


def client_of(place: Address) -> Client:
    """A connection beside the package's own."""
    import clickhouse_connect

    if place.host:
        return clickhouse_connect.get_client(
            host=place.host, port=place.port, username=place.user, password=place.password
        )
    return clickhouse_connect.get_client(interface="chdb", path=str(place.folder))


def row(symbol: str = "ALPHA", series: str = "EQ", day: date = DAY, **values: Any) -> dict[str, Any]:
    """A canonical row."""
    return {
        "trade_date": day,
        "symbol": symbol,
        "series": series,
        "isin": "INE000A01015",
        "open": 10.5,
        "high": 11.25,
        "low": 10.0,
        "close": 11.0,
        "last": 11.05,
        "prev_close": 10.4,
        "volume": 1500,
        "turnover": 16250.75,
        "trades": 42,
        "layout": "legacy",
        **values,
    }


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows as the lake has them."""
    import polars as pl

    return pl.DataFrame([dict.fromkeys(EQUITY.names) | each for each in rows], schema=EQUITY.types)


def many(count: int, price: float, day: date = DAY) -> pl.DataFrame:
    """A day of so many rows, whose sums tell how many there are and at what price."""
    same: dict[str, Any] = {"day": day, "close": price}
    return frame(*(row(f"S{number}", **same, volume=number, turnover=price * number) for number in range(count)))


def beside(place: Address) -> set[str]:
    """The tables that a server or a cluster has beside those of data sets."""
    return {"loads"} if place.cluster else {"loads", "load_claims"} if place.host else set()


def seen(table: Warehouse, columns: str = "symbol, series", where: str = "1") -> list[tuple[Any, ...]]:
    """What readers see."""
    return table.query(
        f"SELECT {columns} FROM `{table.place.database}`.{VIEW} WHERE {where} ORDER BY symbol, series, trade_date"
    )


# Opening


def test_database_table_and_view_are_made_on_first_use(place: Address) -> None:
    """Nothing needs to be prepared, and opening again changes nothing."""
    for _ in range(2):
        table = open_warehouse(place)
        table.prepare(EQUITY)
        names = table.query(f"SELECT name FROM system.tables WHERE database = '{place.database}' ORDER BY name")
        assert {name for (name,) in names} == {"equity_ohlc", "normalized_equity_ohlc", *beside(place)}
        assert seen(table) == []
        table.close()


def test_readers_see_the_canonical_columns(table: Warehouse) -> None:
    """In their order, with the types that the schema states, and none of the load's own."""
    found = table.query(f"DESCRIBE TABLE `{table.place.database}`.{VIEW}")
    expected = [(column.name, column.clickhouse.partition(" CODEC")[0]) for column in EQUITY.columns]
    assert [each[:2] for each in found] == expected


def test_every_column_of_the_table_has_its_meaning_and_unit(table: Warehouse) -> None:
    """Whoever looks at the table in a client finds what a column is."""
    found = table.query(
        f"SELECT name, comment FROM system.columns WHERE database = '{table.place.database}' "
        "AND table = 'normalized_equity_ohlc'"
    )
    comments = dict(found)
    for column in EQUITY.columns:
        assert column.meaning in comments[column.name]
        assert column.unit in comments[column.name]


@pytest.mark.parametrize("name", ["my market", "a`b", "d'b", "back\\slash", "mäß", "select", "1st"])
def test_a_database_may_have_any_name(place: Address, name: str) -> None:
    """Names are quoted, never pasted."""
    table = open_warehouse(dataclasses.replace(place, database=name))
    assert table.load(EQUITY, DAY, frame(row())).rows == 1
    assert table.rows_by_day(EQUITY) == [(DAY, 1)]
    table.close()
    again = open_warehouse(dataclasses.replace(place, database=name))
    assert again.rows_by_day(EQUITY) == [(DAY, 1)]
    again.close()


def test_what_was_loaded_is_there_after_closing(place: Address) -> None:
    """A load is on disk."""
    table = open_warehouse(place)
    table.load(EQUITY, DAY, frame(row()))
    table.close()
    again = open_warehouse(place)
    assert seen(again) == [("ALPHA", "EQ")]
    again.close()


@of_one_server
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda ddl: ddl.replace("    isin ", "    isin_code "), ("isin ", "isin_code")),
        (lambda ddl: ddl.replace("    volume Int64", "    volume Int32"), ("volume Int64", "volume Int32")),
        (lambda ddl: ddl.replace("    close Float64", "    close Decimal(18, 4)"), ("close Float64", "Decimal(18, 4)")),
        (lambda ddl: ddl.replace("(\n", "(\n    remarks String,\n", 1), ("remarks String",)),
    ],
    ids=["missing", "other type", "decimal", "further"],
)
def test_a_table_of_another_shape_is_named_and_left_alone(
    place: Address, change: Callable[[str], str], named: tuple[str, ...]
) -> None:
    """The error lists what differs, expected and found, and says that the lake has every day."""
    database, table, _ = ddl(place.database)
    if not place.host:
        place.folder.mkdir()
    client = client_of(place)
    client.command(database)
    client.command(change(table))
    client.close()
    opened = open_warehouse(place)
    with pytest.raises(WarehouseError) as caught:
        opened.load(EQUITY, DAY, frame(row()))
    opened.close()
    for words in (*named, f"{place.database}.normalized_equity_ohlc", "every day is in the lake"):
        assert words in str(caught.value)
    client = client_of(place)
    assert client.query(f"SELECT count() FROM {place.database}.normalized_equity_ohlc").result_rows == [(0,)]
    client.close()


def test_a_table_of_another_engine_is_never_taken_for_loaded(place: Address) -> None:
    """Without versions a second load would double the day: it fails, whatever else."""
    database, table, _ = ddl(place.database)
    if not place.host:
        place.folder.mkdir()
    client = client_of(place)
    client.command(database)
    client.command(table.replace("ReplacingMergeTree(version, is_deleted)", "MergeTree"))
    client.close()
    with pytest.raises(WarehouseError):
        open_warehouse(place).load(EQUITY, DAY, frame(row()))


def test_a_warehouse_can_be_read_by_itself(place: Address) -> None:
    """A failed opening lets go of the embedded engine, so that the cure needs no new process."""
    database, table, _ = ddl(place.database)
    if not place.host:
        place.folder.mkdir()
    client = client_of(place)
    client.command(database)
    client.command(table.replace("    isin ", "    isin_code "))
    client.close()
    opened = open_warehouse(place)
    with pytest.raises(WarehouseError):
        opened.rows_by_day(EQUITY)
    opened.close()
    client = client_of(place)
    client.command(f"DROP TABLE {place.database}.normalized_equity_ohlc")
    client.close()
    opened = open_warehouse(place)
    assert opened.load(EQUITY, DAY, frame(row())).rows == 1
    opened.close()


# Loading


def test_a_load_twice_is_a_load_once(table: Warehouse) -> None:
    """Nothing doubles."""
    rows = many(50, 1.0)
    first, second = table.load(EQUITY, DAY, rows), table.load(EQUITY, DAY, rows)
    assert (first.rows, first.removed, second.rows, second.removed) == (50, 0, 50, 0)
    assert second.version > first.version
    assert table.rows_by_day(EQUITY) == [(DAY, 50)]


def test_a_corrected_day_leaves_exactly_its_last_version(table: Warehouse) -> None:
    """Changed rows are changed, rows that are gone are gone, and new ones are there."""
    table.load(EQUITY, DAY, frame(row("KEPT"), row("CHANGED", close=1.0), row("GONE"), row("GONE", "BL")))
    loaded = table.load(EQUITY, DAY, frame(row("KEPT"), row("CHANGED", close=2.0), row("NEW")))
    assert (loaded.rows, loaded.removed) == (3, 2)
    assert seen(table, "symbol, series, close") == [("CHANGED", "EQ", 2.0), ("KEPT", "EQ", 11.0), ("NEW", "EQ", 11.0)]


def test_a_tombstone_holds_nothing_but_its_key(table: Warehouse) -> None:
    """Whoever sums over the table itself adds nothing for a row that is gone."""
    table.load(EQUITY, DAY, frame(row("KEPT"), row("GONE")))
    table.load(EQUITY, DAY, frame(row("KEPT")))
    found = table.query(
        f"SELECT * EXCEPT (version) FROM `{table.place.database}`.normalized_equity_ohlc WHERE is_deleted"
    )
    zeros = {"close": 0.0, "volume": 0, "turnover": 0.0, "layout": ""}
    held = {"trade_date": DAY, "symbol": "GONE", "series": "EQ", **zeros}
    assert found == [(*(held.get(name) for name in EQUITY.names), 1)]


def test_a_row_that_was_gone_can_come_back(table: Warehouse) -> None:
    """A correction of a correction."""
    for rows in (frame(row("A"), row("B")), frame(row("A")), frame(row("A"), row("B"))):
        table.load(EQUITY, DAY, rows)
    assert seen(table) == [("A", "EQ"), ("B", "EQ")]


def test_a_corrected_day_stays_so_after_the_engine_merges(table: Warehouse) -> None:
    """Tombstones and old versions go when parts are merged, and what readers see does not change."""
    table.load(EQUITY, DAY, frame(row("KEPT"), row("GONE")))
    table.load(EQUITY, DAY, frame(row("KEPT", close=12.0)))
    table.command(f"OPTIMIZE TABLE `{table.place.database}`.normalized_equity_ohlc FINAL")
    assert seen(table, "symbol, close") == [("KEPT", 12.0)]


def test_a_load_touches_its_own_day_alone(table: Warehouse) -> None:
    """The same keys on the days around it stay."""
    days = [date(2023, 12, 29), date(2024, 1, 1), DAY]
    for day in days:
        table.load(EQUITY, day, frame(row(day=day), row("BETA", day=day)))
    table.load(EQUITY, days[1], frame(row(day=days[1])))
    assert table.rows_by_day(EQUITY) == [(days[0], 2), (days[1], 1), (days[2], 2)]


def test_a_day_is_not_sent_again_with_a_later_one(table: Warehouse) -> None:
    """Its version is that of its own load."""
    first, second = date(2024, 1, 1), date(2024, 1, 2)
    loaded = [table.load(EQUITY, day, frame(row(day=day))).version for day in (first, second)]
    found = table.query(
        f"SELECT trade_date, max(version) FROM `{table.place.database}`.normalized_equity_ohlc "
        "GROUP BY trade_date ORDER BY trade_date"
    )
    assert found == [(first, loaded[0]), (second, loaded[1])]


@pytest.mark.parametrize("name", ["close", "volume", "turnover"])
def test_a_null_where_a_number_must_be_is_an_error_and_no_zero(table: Warehouse, name: str) -> None:
    """Nothing of the day is loaded."""
    with pytest.raises(WarehouseError):
        table.load(EQUITY, DAY, frame(row(), row("BETA") | {name: None}))
    assert table.rows_by_day(EQUITY) == []


def test_the_clock_may_be_set_back_between_loads(table: Warehouse) -> None:
    """The later load wins, by the versions that are there and not by the clock alone."""
    import time_machine

    table.load(EQUITY, DAY, frame(row(close=1.0), row("GONE")))
    with time_machine.travel("2001-01-01T00:00:00Z"):
        table.load(EQUITY, DAY, frame(row(close=2.0)))
    assert seen(table, "symbol, close") == [("ALPHA", 2.0)]


def test_rows_of_one_symbol_in_several_series_all_stand(table: Warehouse) -> None:
    """EQ and BL are different rows; NA is a series, not a null."""
    table.load(EQUITY, DAY, frame(*(row(series=series) for series in ("EQ", "BL", "T0", "NA"))))
    assert seen(table) == [("ALPHA", "BL"), ("ALPHA", "EQ"), ("ALPHA", "NA"), ("ALPHA", "T0")]


def test_values_arrive_exactly(table: Warehouse) -> None:
    """Dates, prices to the last bit, counts beyond 32 bits, and nulls as nulls."""
    awkward: dict[str, Any] = {
        "close": 19.15,
        "open": 0.1 + 0.2,
        "high": 1e15 / 3,
        "low": 5e-324,
        "turnover": 123456789012.34,
    }
    days = [date(1994, 11, 3), DAY, date(2099, 12, 31)]
    optional = [column.name for column in EQUITY.columns if not column.required]
    nulls: dict[str, Any] = dict.fromkeys(optional)
    for day in days:
        full = row("FULL", day=day, **awkward, volume=2**62, trades=2**40, instrument_id=7, name="Ä", lot_size=1)
        table.load(EQUITY, day, frame(full, row("NULLS", day=day, **nulls)))
    names = list(awkward)
    assert seen(table, f"trade_date, volume, trades, {', '.join(names)}", "symbol = 'FULL'") == [
        (day, 2**62, 2**40, *(awkward[name] for name in names)) for day in days
    ]
    assert seen(table, ", ".join(optional), "symbol = 'NULLS'") == [(None,) * len(optional)] * len(days)


@pytest.mark.parametrize(
    "text",
    [
        "O'NEIL",
        'QUO"TE',
        "BACK\\SLASH",
        "\\'; DROP TABLE normalized_equity_ohlc; --",
        "TATAMOTORS मोटर्स 🚗",
        "TAB\tLINE\nNUL\0ESC\x1b",
        "{symbol:String} %(x)s ?",
        "NULL",
        "\\N",
        "",
    ],
)
def test_text_arrives_as_data(table: Warehouse, text: str) -> None:
    """Quotes, SQL, other scripts and control characters, in every text column; a tombstone knows them again."""
    table.load(EQUITY, DAY, frame(row(text, text, isin=text, name=text), row("OTHER", "EQ")))
    assert seen(table, "symbol, series, isin, name", "symbol != 'OTHER'") == [(text,) * 4]
    assert table.load(EQUITY, DAY, frame(row("OTHER", "EQ"))).removed == 1
    assert seen(table) == [("OTHER", "EQ")]


def test_a_year_is_one_partition(table: Warehouse) -> None:
    """A day's insert never spans two, and so is one part that is seen whole."""
    table.load(EQUITY, date(2023, 12, 29), frame(row(day=date(2023, 12, 29))))
    table.load(EQUITY, DAY, many(3000, 1.0))
    parts = table.query(
        "SELECT partition, count() FROM system.parts WHERE active AND table = 'normalized_equity_ohlc' "
        f"AND database = '{table.place.database}' GROUP BY partition ORDER BY partition"
    )
    assert parts == [("2023", 1), ("2024", 1)]


# Readers meanwhile


@contextmanager
def polled_by_thread(place: Address) -> Iterator[Callable[[], set[tuple[Any, ...]]]]:
    """A second connection of this process, as the embedded engine allows."""
    client = client_of(place)
    found: set[tuple[Any, ...]] = set()
    ended = threading.Event()

    def poll() -> None:
        try:
            while not ended.is_set():
                rows = client.query(f"SELECT {SUMS} FROM {place.database}.{VIEW}").result_rows
                found.update(tuple(row) for row in rows)
        except Exception as error:  # noqa: BLE001 - whatever a reader meets is a finding
            found.add((repr(error),))

    thread = threading.Thread(target=poll)
    thread.start()

    def end() -> set[tuple[Any, ...]]:
        ended.set()
        thread.join(60)
        return found

    try:
        yield end
    finally:
        end()
        client.close()


@contextmanager
def polled_by_process(place: Address) -> Iterator[Callable[[], set[tuple[Any, ...]]]]:
    """A second process, as a server allows."""
    program = """
import json, os, sys, threading
import clickhouse_connect
host, port, user, query = sys.argv[1:]
client = clickhouse_connect.get_client(host=host, port=int(port), username=user, password=os.environ["READER"])
found = set(client.query(query).result_rows)
print("ready", flush=True)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
while not ended.is_set():
    found.update(client.query(query).result_rows)
print(json.dumps(sorted(found)))
"""
    os.environ["READER"] = place.password
    try:
        process = start_python(
            program, place.host, str(place.port), place.user, f"SELECT {SUMS} FROM {place.database}.{VIEW}"
        )
    finally:
        del os.environ["READER"]
    assert hear(process) == "ready"

    def end() -> set[tuple[Any, ...]]:
        tell(process)
        return {tuple(each) for each in json.loads(hear(process))}

    try:
        yield end
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("place", "polled"),
    [("embedded", polled_by_thread), ("served", polled_by_process)],
    indirect=["place"],
)
def test_a_reader_never_sees_half_a_load(table: Warehouse, polled: Polled) -> None:
    """While two versions of a day replace each other twenty times, each read finds the one or the other, whole."""
    versions = many(2800, 1.25), many(2500, 7.5)
    whole = set()
    for version in versions:
        table.load(EQUITY, DAY, version)
        whole.update(table.query(f"SELECT {SUMS} FROM {table.place.database}.{VIEW}"))
    assert len(whole) == 2
    with polled(table.place) as end:
        for _ in range(10):
            for version in versions:
                table.load(EQUITY, DAY, version)
        found = end()
    assert found
    assert found <= whole


# Threads


def load_at_once(table: Warehouse, loads: Sequence[tuple[date, pl.DataFrame]]) -> list[Loaded | BaseException]:
    """What comes of loads by as many threads, which begin together."""
    together = threading.Barrier(len(loads))

    def load(day: date, rows: pl.DataFrame) -> Loaded:
        together.wait(60)
        return table.load(EQUITY, day, rows)

    with ThreadPoolExecutor(len(loads)) as threads:
        futures = [threads.submit(load, *each) for each in loads]
        return [future.exception(60) or future.result() for future in futures]


def test_threads_that_load_together_load_each_day_whole(table: Warehouse) -> None:
    """Days of two years, over versions that had more rows."""
    days = [date(2023, 12, number) for number in range(18, 23)] + [date(2024, 1, number) for number in range(1, 6)]
    for day in days:
        table.load(EQUITY, day, frame(*(row(symbol, day=day) for symbol in ("A", "B", "C"))))
    loads = [(day, frame(row("A", day=day, close=1.0 + number))) for number, day in enumerate(days)]
    outcomes = load_at_once(table, loads)
    assert [(each.rows, each.removed) for each in outcomes if isinstance(each, Loaded)] == [(1, 2)] * len(days)
    assert seen(table, "trade_date, symbol, close") == [(day, "A", 1.0 + number) for number, day in enumerate(days)]


def test_threads_that_load_the_same_day_leave_one_version_of_it(table: Warehouse) -> None:
    """Whichever is the last, it stands alone; each load is checked against what it sent."""
    versions = [many(count, float(count)) for count in (3, 5, 7, 11)]
    outcomes = load_at_once(table, [(DAY, version) for version in versions])
    assert all(isinstance(each, Loaded) for each in outcomes)
    count, closes = table.query(f"SELECT count(), groupUniqArray(close) FROM `{table.place.database}`.{VIEW}")[0]
    assert closes == [float(count)]


def test_a_day_that_fails_beside_others_fails_alone(table: Warehouse) -> None:
    """Threads take turns."""
    hide_block_deals(table)
    days = [date(2024, 1, number) for number in range(1, 6)]
    outcomes = load_at_once(
        table, [(day, frame(row(day=day, series="BL" if day == days[2] else "EQ"))) for day in days]
    )
    assert [type(each) for each in outcomes] == [Loaded, Loaded, WarehouseError, Loaded, Loaded]
    assert isinstance(outcomes[2], WarehouseError)
    assert outcomes[2].day == days[2]


# Days that share an insert


def parts_of(table: Warehouse) -> list[list[date]]:
    """The dates in each part that the table has."""
    found = table.query(f"SELECT arraySort(groupUniqArray(trade_date)) FROM {named(table, EQUITY)} GROUP BY _part")
    return sorted(days for (days,) in found)


@pytest.fixture
def unmerged(table: Warehouse) -> Warehouse:
    table.prepare(EQUITY)
    table.command(f"SYSTEM STOP MERGES {named(table, EQUITY)}")
    return table


def test_days_share_an_insert(unmerged: Warehouse) -> None:
    """All are one version, every day is loaded, and no day loses rows that it never had."""
    days = [date(2024, 1, number) for number in (1, 2, 3)]
    rows = {day: frame(row(f"OF{day.day}", day=day)) for day in days}
    unmerged.load_days(EQUITY, rows)
    assert parts_of(unmerged) == [days]
    loaded = unmerged.load_days(EQUITY, rows)
    assert {(each.rows, each.removed) for each in loaded.values()} == {(1, 0)}
    assert len({each.version for each in loaded.values()}) == 1
    assert unmerged.rows_by_day(EQUITY) == [(day, 1) for day in days]


def test_days_of_two_years_never_share_an_insert(unmerged: Warehouse) -> None:
    """A year is a partition: an insert into two would be two parts, and a reader could see one without the other."""
    days = [date(2024, 1, 1), date(2023, 12, 28), date(2023, 12, 29)]
    loaded = unmerged.load_days(EQUITY, {day: frame(row(day=day)) for day in days})
    assert loaded.keys() == set(days)
    assert loaded[days[1]].version == loaded[days[2]].version != loaded[days[0]].version
    assert parts_of(unmerged) == [sorted(days)[:2], days[:1]]


def test_the_error_of_a_day_among_others_names_it(table: Warehouse) -> None:
    """A task then loads each of them by itself."""
    hide_block_deals(table)
    days = [date(2024, 1, number) for number in range(1, 6)]
    with pytest.raises(WarehouseError) as raised:
        table.load_days(EQUITY, {day: frame(row(day=day, series="BL" if day == days[2] else "EQ")) for day in days})
    assert raised.value.day == days[2]


def test_an_insert_has_a_bounded_number_of_rows(unmerged: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than ClickHouse's block would be two parts: days share an insert by rows, and none is divided."""
    monkeypatch.setattr(loading, "_MOST_ROWS", 10)
    days = [date(2024, 1, number) for number in range(1, 7)]
    unmerged.load_days(EQUITY, {day: many(4, 1.0, day) for day in days})
    assert parts_of(unmerged) == [days[:2], days[2:4], days[4:]]


def test_tombstones_count_as_rows_of_an_insert(table: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Days are inserted one by one where they replace many rows."""
    days = [date(2024, 1, number) for number in (1, 2, 3)]
    table.load_days(EQUITY, {day: many(8, 1.0, day) for day in days})
    table.command(f"OPTIMIZE TABLE {named(table, EQUITY)} FINAL")
    table.command(f"SYSTEM STOP MERGES {named(table, EQUITY)}")
    monkeypatch.setattr(loading, "_MOST_ROWS", 10)
    loaded = table.load_days(EQUITY, {day: many(2, 2.0, day) for day in days})
    assert [each.removed for each in loaded.values()] == [6, 6, 6]
    assert parts_of(table) == [days[:1], days, days[1:2], days[2:]]
    assert table.rows_by_day(EQUITY) == [(day, 2) for day in days]


def test_a_day_of_more_rows_than_the_bound_is_one_insert(unmerged: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shares with nobody; up to ClickHouse's block it is one part all the same."""
    monkeypatch.setattr(loading, "_MOST_ROWS", 10)
    days = [date(2024, 1, number) for number in (1, 2, 3)]
    unmerged.load_days(EQUITY, {day: many(5 + 20 * (day == days[1]), 1.0, day) for day in days})
    assert parts_of(unmerged) == [days[:1], days[1:2], days[2:]]
    assert unmerged.rows_by_day(EQUITY) == [(days[0], 5), (days[1], 25), (days[2], 5)]


def test_a_day_of_more_rows_than_a_block_is_refused(table: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers would see a part of it. Its last version stays, and the error names it among others."""
    days = [date(2024, 1, number) for number in (1, 2, 3)]
    table.load(EQUITY, days[1], many(8, 1.0, days[1]))
    monkeypatch.setattr(loading, "_BLOCK_ROWS", 20)
    with pytest.raises(WarehouseError, match="at most 20 rows") as raised:
        table.load_days(EQUITY, {day: many(5 + 16 * (day == days[1]), 2.0, day) for day in days})
    assert (raised.value.day, raised.value.found) == (days[1], "21")
    assert table.held(EQUITY, days[1], days[2])[days[1]].rows == 8


@pytest.mark.parametrize("place", ["embedded", "served"], indirect=True)
def test_a_block_of_rows_is_one_part(table: Warehouse) -> None:
    """However wide: a day of 300,000 rows and 300 MB, more than the bytes at which ClickHouse divides by default."""
    import polars as pl

    count = 300_000
    numbers = pl.int_range(count, eager=True).cast(pl.String)
    rows = frame(row()).select(pl.all().repeat_by(count).explode())
    rows = rows.with_columns(symbol=numbers, name=pl.lit("x" * 1000) + numbers)
    assert table.load(EQUITY, DAY, rows).rows == count
    assert parts_of(table) == [[DAY]]


# Another data set, in the same database


SMALL = Dataset(
    name="small",
    title="closes",
    view="small_close",
    stem="small",
    folder="small",
    sources=(),
    layouts=(),
    columns=(
        Column("trade_date", model.DAY, "date, IST", "the trading day", required=True),
        Column("index_name", model.TEXT, "", "as published that day", required=True),
        Column("close", model.PRICE, "points", "closing value", required=True),
        Column("turnover", model.PRICE, "rupees", "of its members; the exchange's own"),
        Column("layout", model.TEXT, "", "the source's format", required=True),
    ),
    key=("index_name",),
    sums=("close", "turnover"),
    published_at=time(19),
)
GROWN = dataclasses.replace(
    SMALL,
    version=2,
    columns=(
        *SMALL.columns,
        Column("yield_percent", model.PRICE, "percent", "dividend yield"),
        Column("note", model.TEXT, "", "a remark"),
    ),
)


def small(*names: str, day: date = DAY, of: Dataset = SMALL, **values: Any) -> pl.DataFrame:
    """Rows of the small data set."""
    import polars as pl

    rows = [{"trade_date": day, "index_name": name, "close": 10.5, "layout": "x", **values} for name in names]
    return pl.DataFrame([dict.fromkeys(of.names) | each for each in rows], schema=of.types)


def named(table: Warehouse, dataset: Dataset) -> str:
    return f"`{table.place.database}`.{dataset.table}"


def tables_of(table: Warehouse) -> set[str]:
    found = table.query(f"SELECT name FROM system.tables WHERE database = '{table.place.database}'")
    return {name for (name,) in found}


def test_a_table_is_made_when_it_is_first_loaded(place: Address) -> None:
    """Opening and reading make nothing: whoever has one data set has no tables of the others."""
    table = open_warehouse(place)
    assert table.rows_by_day(SMALL) == []
    assert table.years(SMALL) == []
    assert table.held(SMALL, DAY, date.max) == {}
    assert tables_of(table) == set()
    table.load(SMALL, DAY, small("A"))
    assert tables_of(table) == {"small_close", "normalized_small_close", *beside(place)}
    table.load(EQUITY, DAY, frame(row()))
    made = {"small_close", "normalized_small_close", "equity_ohlc", "normalized_equity_ohlc"}
    assert tables_of(table) == made | beside(place)
    assert table.name_of(SMALL) == f"{place.database}.normalized_small_close"
    table.close()


@of_one_server
def test_the_first_load_asks_no_more_than_is_needed(place: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement is a round trip: one to look, five to make table and view with comments, three to load.

    On a server, three make the tables of the ledger, three hold the claim, and one looks for loads in between.
    """
    asked: list[str] = []

    def counted(name: str) -> None:
        real = getattr(Connection, name)

        def call(self: Connection, statement: str, *others: Any) -> Any:
            asked.append(name)
            return real(self, statement, *others)

        monkeypatch.setattr(Connection, name, call)

    for name in ("query", "command", "insert_arrow"):
        counted(name)
    load, look, make = ["query", "insert_arrow", "query"], [], []
    if place.host:
        load, look, make = ["command", "query", *load, "query", "command"], ["query"], ["command"] * 2
    first = ["query", *["command"] * 3, "query", "command", *look, *make, *load]
    for expected in (first, ["query", *look, *load]):
        table = open_warehouse(place)
        table.load(EQUITY, DAY, frame(row()))
        table.close()
        assert asked == expected
        asked.clear()


def test_a_data_set_is_loaded_by_its_own_key_and_sums(table: Warehouse) -> None:
    """A key of one column; a sum that is null throughout counts as 0; nothing of equity is touched."""
    table.load(EQUITY, DAY, frame(row()))
    table.load(SMALL, DAY, small("A", "B", "C"))
    assert table.held(SMALL, DAY, date.max) == {DAY: Sums(3, 3, (31.5, 0))}
    assert table.load(SMALL, DAY, small("A", "D", turnover=2.0)).removed == 2
    assert table.held(SMALL, DAY, date.max) == {DAY: Sums(2, 2, (21.0, 4.0))}
    assert table.held(EQUITY, DAY, date.max) == {DAY: Sums(1, 1, (1500, 16250.75, 11.0))}
    assert table.years(SMALL) == [2024]
    [(key,)] = table.query("SELECT sorting_key FROM system.tables WHERE name = 'normalized_small_close' LIMIT 1")
    assert key == "index_name, trade_date"


def test_data_sets_never_share_an_insert(table: Warehouse) -> None:
    """Threads may load both at once."""
    days = [date(2024, 1, 1), date(2024, 1, 2)]
    with ThreadPoolExecutor(4) as threads:
        loads = []
        for day in days:
            loads.append(threads.submit(table.load, SMALL, day, small("A", day=day)))
            loads.append(threads.submit(table.load, EQUITY, day, frame(row(day=day))))
        assert [load.result(60).rows for load in loads] == [1, 1, 1, 1]
    for dataset in (SMALL, EQUITY):
        assert table.rows_by_day(dataset) == [(day, 1) for day in days]


def test_equitys_statements_are_those_of_the_first_version() -> None:
    """What the README prints for people who make the table themselves; only the columns' comments may change."""
    assert ddl("champion_market") == ddl("champion_market", EQUITY)
    statements = re.sub(r" COMMENT '(?:[^'\\]|\\.)*'", "", ";\n".join(ddl("champion_market")))
    expected = "1196c68676432da1d7b9fee3035b1c5f38c947cc1f3b0e5109cf4975ee909f8c"
    assert hashlib.sha256(statements.encode()).hexdigest() == expected


# A schema that grows


def test_later_columns_are_added_to_an_existing_table(table: Warehouse) -> None:
    """Nothing is loaded again: what was there has nulls, in the view too, which has the columns in their order."""
    table.load(SMALL, DAY, small("A", "B"))
    after = date(2024, 1, 16)
    table.load(GROWN, after, small("A", day=after, of=GROWN, yield_percent=1.25, note="new"))
    view = f"`{table.place.database}`.small_close"
    assert table.query(f"SELECT * FROM {view} ORDER BY trade_date, index_name") == [
        (DAY, "A", 10.5, None, "x", None, None),
        (DAY, "B", 10.5, None, "x", None, None),
        (after, "A", 10.5, None, "x", 1.25, "new"),
    ]
    assert [each[:2] for each in table.query(f"DESCRIBE TABLE {view}")] == [
        (column.name, column.clickhouse.partition(" CODEC")[0]) for column in GROWN.columns
    ]
    where = f"database = '{table.place.database}' AND table = 'normalized_small_close'"
    made = f"SELECT name, type, comment, compression_codec FROM system.columns WHERE {where} ORDER BY position"
    grown = table.query(made)
    table.command(f"DROP TABLE {named(table, SMALL)}")
    for statement in ddl(table.place.database, GROWN):
        table.command(statement)
    assert table.query(made) == grown


def test_a_day_that_was_loaded_before_the_growth_can_be_loaded_again(table: Warehouse) -> None:
    """Its rows get what the new columns say, and the keys that it lost are gone."""
    table.load(SMALL, DAY, small("A", "B"))
    assert table.load(GROWN, DAY, small("A", of=GROWN, yield_percent=2.5)).removed == 1
    assert table.query(f"SELECT index_name, yield_percent FROM `{table.place.database}`.small_close") == [("A", 2.5)]


def test_reading_changes_no_table(table: Warehouse) -> None:
    """Whoever only reads need not be allowed to: an older table has all that is counted."""
    table.load(SMALL, DAY, small("A"))
    assert table.held(GROWN, DAY, date.max) == {DAY: Sums(1, 1, (10.5, 0))}
    assert table.rows_by_day(GROWN) == [(DAY, 1)]
    names = f"SELECT name FROM system.columns WHERE table = 'small_close' AND database = '{table.place.database}'"
    assert [name for (name,) in table.query(names)] == list(SMALL.names)


def test_an_older_version_does_not_load_into_a_grown_table(table: Warehouse) -> None:
    """Its days would have nulls in place of values: the message says that a newer version made the table."""
    table.load(GROWN, DAY, small("A", of=GROWN))
    for use in (lambda: table.load(SMALL, DAY, small("A")), lambda: table.rows_by_day(SMALL)):
        with pytest.raises(WarehouseError, match="If a newer version made it, use that") as caught:
            use()
        assert caught.value.expected == "no further columns"
        assert caught.value.found == "yield_percent Nullable(Float64), note LowCardinality(Nullable(String))"


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        ("DROP COLUMN turnover", "turnover Nullable(Float64)", "turnover missing"),
        ("MODIFY COLUMN close Float32", "close Float64", "close Float32"),
        ("ADD COLUMN remarks String", "no further columns", "remarks String"),
        (
            "ADD COLUMN yield_percent Float64",
            "yield_percent Nullable(Float64)",
            "yield_percent Float64",
        ),
    ],
)
def test_what_no_growth_explains_is_refused(table: Warehouse, change: str, expected: str, found: str) -> None:
    """A column that is gone from the middle, one of another type, and one that nobody knows; nothing is added."""
    table.load(SMALL, DAY, small("A"))
    table.command(f"ALTER TABLE {named(table, SMALL)} {change}")
    with pytest.raises(WarehouseError, match="is not the one that this version makes") as caught:
        table.load(GROWN, DAY, small("A", of=GROWN))
    assert (caught.value.expected, caught.value.found) == (expected, found)
    assert "note" not in str(table.query(f"DESCRIBE TABLE {named(table, SMALL)}"))


def test_another_view_is_not_replaced_by_a_growth(table: Warehouse) -> None:
    """Somebody has made it; it is named, and the table is left as it is."""
    table.load(SMALL, DAY, small("A"))
    view = f"`{table.place.database}`.small_close"
    table.command(f"DROP VIEW {view}")
    table.command(f"CREATE VIEW {view} AS SELECT index_name FROM {named(table, SMALL)}")
    with pytest.raises(WarehouseError, match=r"the view .*small_close is not the one.* Drop the view"):
        table.load(GROWN, DAY, small("A", of=GROWN))
    assert "note" not in str(table.query(f"DESCRIBE TABLE {named(table, SMALL)}"))


def test_a_growth_that_broke_off_is_ended_by_the_next_load(table: Warehouse) -> None:
    """Killed between the table and its view, or after one of two columns."""
    table.load(SMALL, DAY, small("A"))
    table.command(growth(table.place.database, GROWN, GROWN.columns[-2:-1])[0])
    table.load(GROWN, DAY, small("A", of=GROWN, note="there"))
    assert table.query(f"SELECT note FROM `{table.place.database}`.small_close") == [("there",)]


@of_one_server
def test_a_table_that_was_renamed_leaves_a_view_that_grows(table: Warehouse) -> None:
    """The view keeps the columns that it was made with; the new table has more."""
    table.load(SMALL, DAY, small("A"))
    table.command(f"RENAME TABLE {named(table, SMALL)} TO `{table.place.database}`.older")
    table.load(GROWN, DAY, small("B", of=GROWN, note="there"))
    assert table.query(f"SELECT index_name, note FROM `{table.place.database}`.small_close") == [("B", "there")]


@pytest.mark.parametrize(
    ("place", "polled"),
    [("embedded", polled_by_thread), ("served", polled_by_process)],
    indirect=["place"],
)
def test_a_reader_meets_no_gap_while_a_schema_grows(table: Warehouse, polled: Polled) -> None:
    """A dozen columns, one version after the other: each read finds all rows, and none fails."""
    table.load(EQUITY, DAY, many(100, 1.25))
    whole = set(table.query(f"SELECT {SUMS} FROM {table.place.database}.{VIEW}"))
    grown = EQUITY
    with polled(table.place) as end:
        for number in range(12):
            later = Column(f"later_{number}", model.COUNT, "count", "a later column")
            grown = dataclasses.replace(grown, version=grown.version + 1, columns=(*grown.columns, later))
            table.prepare(grown)
        found = end()
    assert found == whole
    assert table.query(f"SELECT count(later_11), count() FROM {table.place.database}.{VIEW}") == [(0, 100)]


# The embedded engine's one process


HOLDER = """
import sys
from pathlib import Path
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
table = open_warehouse(Address(folder=Path(sys.argv[1])))
print("open", flush=True)
sys.stdin.readline()
table.close()
"""


def test_an_embedded_warehouse_in_use_is_waited_for_and_its_holder_named(embedded: Address) -> None:
    """Another process has it: a message at once, and Busy with its process number when the wait is over."""
    holder = start_python(HOLDER, str(embedded.folder))
    assert hear(holder) == "open"
    messages: list[str] = []
    try:
        with pytest.raises(Busy, match=f"process {holder.pid} ") as caught:
            open_warehouse(embedded, 0.3, messages.append)
    finally:
        holder.communicate("\n", timeout=60)
    assert not is_transient(caught.value)
    assert str(embedded.folder) in str(caught.value)
    [message] = messages
    assert message.startswith(f"waiting for the embedded warehouse {embedded.folder}, in use by process {holder.pid} ")


def test_an_embedded_warehouse_opens_as_soon_as_its_holder_is_done(embedded: Address) -> None:
    """The wait ends with the other process's work, not with its own limit."""
    holder = start_python(HOLDER, str(embedded.folder))
    assert hear(holder) == "open"
    table = open_warehouse(embedded, 600, lambda _message: tell(holder))
    assert table.rows_by_day(EQUITY) == []
    table.close()
    holder.communicate(timeout=60)


def test_an_embedded_warehouse_opens_after_its_holder_was_killed(embedded: Address) -> None:
    """What a killed process leaves behind is no lock."""
    holder = start_python(HOLDER, str(embedded.folder))
    assert hear(holder) == "open"
    holder.kill()
    holder.communicate()
    open_warehouse(embedded).close()


def test_an_embedded_warehouse_is_the_same_after_a_move_and_another_one_made_anew(embedded: Address) -> None:
    """The marker's identity of it follows the data."""
    assert "id" not in embedded.identity(EQUITY)
    open_warehouse(embedded).close()
    identity = embedded.identity(EQUITY)
    assert embedded.identity(EQUITY) == identity
    shutil.rmtree(embedded.folder)
    open_warehouse(embedded).close()
    assert embedded.identity(EQUITY) != identity


# Servers that refuse or are gone


def test_a_wrong_password_is_an_error_that_names_the_place_and_no_password(served: Address) -> None:
    """Host and database for whoever has to look, and where the right one belongs."""
    with pytest.raises(WarehouseError) as caught:
        open_warehouse(dataclasses.replace(served, password="planted-pass"))
    error = caught.value
    assert not is_transient(error)
    assert f"{served.host}:{served.port}, database {served.database}" in str(error)
    assert "CLICKHOUSE_PASSWORD" in str(error)
    assert "planted-pass" not in str(error) + repr(error) + repr(vars(error))


def test_a_right_password_shows_nowhere(served: Address) -> None:
    """Not even where the server's own message has it: neither in the sentence nor in a log's traceback."""
    table = open_warehouse(served)
    echoed = served.password.replace("\\", "\\\\").replace("'", "\\'")
    with pytest.raises(WarehouseError, match=r"\*\*\*") as caught:
        table.query(f"SELECT throwIf(1, '{echoed}')")
    table.close()
    for text in (
        "".join(traceback.format_exception(caught.value)),
        repr(served),
        repr(served.identity(EQUITY)),
        served.words,
    ):
        assert served.password not in text


def test_a_server_that_is_not_there_is_transient(served: Address) -> None:
    """It may be starting; the error names it."""
    with ClickHouseServer(Path(os.environ["DATA_DIR"]) / "gone") as gone:
        port = gone.port
    with pytest.raises(WarehouseUnreachable) as caught:
        open_warehouse(dataclasses.replace(served, port=port))
    assert is_transient(caught.value)
    assert f"{served.host}:{port}" in str(caught.value)


@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
def test_a_server_that_dies_between_loads_is_transient_and_loses_nothing(tmp_path: Path) -> None:
    """After its return the same load goes through, and the day is whole."""
    with ClickHouseServer(tmp_path / "server") as running:
        place = Address(running.host, running.port, running.user, running.password)
        table = open_warehouse(place)
        table.load(EQUITY, DAY, many(100, 1.0))
        running.kill()
        with pytest.raises(WarehouseUnreachable):
            table.load(EQUITY, DAY, many(90, 2.0))
        running.start()
        assert table.load(EQUITY, DAY, many(90, 2.0)).removed == 10
        assert table.rows_by_day(EQUITY) == [(DAY, 90)]
        table.close()


def test_a_port_where_something_else_listens_is_an_error_of_ours() -> None:
    """A web server in ClickHouse's place."""
    from simulated_server import SimulatedArchive

    with SimulatedArchive() as other:
        place = Address("127.0.0.1", int(other.url.rpartition(":")[2]), query_seconds=1)
        with pytest.raises((WarehouseError, WarehouseUnreachable)) as caught:
            open_warehouse(place)
    assert place.words in str(caught.value)


def test_a_column_that_is_dropped_while_open_is_named(table: Warehouse) -> None:
    """The server's own message comes through, and the load counts as failed."""
    table.command(f"ALTER TABLE `{table.place.database}`.normalized_equity_ohlc DROP COLUMN lot_size")
    with pytest.raises(WarehouseError, match="lot_size"):
        table.load(EQUITY, DAY, frame(row()))


def hide_block_deals(table: Warehouse) -> None:
    """Put another view in the place of ours, as somebody might."""
    view = f"`{table.place.database}`.{VIEW}"
    table.command(f"DROP VIEW {view}")
    table.command(
        f"CREATE VIEW {view} AS SELECT * EXCEPT (version, is_deleted) "
        f"FROM `{table.place.database}`.normalized_equity_ohlc FINAL WHERE series != 'BL'"
    )


def test_a_load_that_readers_cannot_see_is_no_load(table: Warehouse) -> None:
    """What readers see is checked, not what was sent."""
    hide_block_deals(table)
    with pytest.raises(WarehouseError, match="does not hold the rows that were sent") as caught:
        table.load(EQUITY, DAY, frame(row(), row(series="BL")))
    assert caught.value.day == DAY


def test_a_load_that_readers_cannot_see_says_what_they_see(table: Warehouse) -> None:
    """The error has both sides, the place, and what to do."""
    hide_block_deals(table)
    with pytest.raises(WarehouseError) as caught:
        table.load(EQUITY, DAY, frame(row(series="BL")))
    error = caught.value
    assert error.expected == "rows, and sums of volume, turnover, close: (1, 1500, 16250.75, 11.0)"
    assert (error.found, error.source) == ("(0, 0, 0, 0)", table.connection.place.words)
    assert str(error).endswith("check the view equity_ohlc: it can be dropped, and is then made anew.")
