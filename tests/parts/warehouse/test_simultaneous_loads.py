"""Loads of one date by several processes at once into a server, and what readers see meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_server import ClickHouseServer, unavailable
from helpers import hear, start_python, tell

from champion_luigi.base import locks
from champion_luigi.base.errors import Busy
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse import claims
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Warehouse

if TYPE_CHECKING:
    import polars as pl

pytestmark = [pytest.mark.integration, pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")]

DAY, NEXT_DAY = date(2024, 1, 15), date(2024, 1, 16)
SUMS = "count(), sum(volume), sum(toInt64(close))"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def place(server: ClickHouseServer) -> Address:
    """A database of the test's own, with the tables."""
    found = Address(server.host, server.port, server.user, server.password, database=f"market_{next(_numbers)}")
    with contextlib.closing(open_warehouse(found)) as table:
        table.prepare(EQUITY)
    return found


def rows(first: int, stop: int, price: float, day: date = DAY) -> pl.DataFrame:
    """The rows of the symbols with these numbers, as the lake has them."""
    import polars as pl

    same = {"trade_date": day, "series": "EQ", "layout": "legacy", "close": price}
    found = [
        dict.fromkeys(EQUITY.names) | same | {"symbol": f"S{number}", "volume": number, "turnover": price * number}
        for number in range(first, stop)
    ]
    return pl.DataFrame(found, schema=EQUITY.types)


# Two contents of the day, each with symbols that the other lacks.
ONE, OTHER = (0, 2746, 1.0), (500, 3215, 7.0)


def sums_of(content: tuple[int, int, float]) -> tuple[int, ...]:
    first, stop, price = content
    return (stop - first, sum(range(first, stop)), (stop - first) * int(price))


def seen(table: Warehouse) -> tuple[int, ...]:
    [found] = table.query(f"SELECT {SUMS} FROM `{table.place.database}`.{EQUITY.view} WHERE trade_date = '{DAY}'")
    return found


def note_claim(table: Warehouse, holder: str, where: str, process: int, *, seconds: int, day: date = DAY) -> None:
    """A claim as another process would have it, for so many seconds."""
    table.command(
        f"INSERT INTO `{table.place.database}`.load_claims "
        "(dataset, holder, trade_dates, place, process, since, expires, changed) "
        f"SELECT '{EQUITY.name}', '{holder}', [toDate('{day}')], '{where}', {process}, 1, now64(3) + {seconds}, 1"
    )


# Processes

LOADER = """
import contextlib, json, sys
from datetime import date
import polars as pl
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse import claims
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

place, path, claiming = sys.argv[1:]
if claiming == "no":
    # As a version that claims nothing.
    claims.Claims.held = lambda *_: contextlib.nullcontext()
day, rows = date(2024, 1, 15), pl.read_parquet(path)
table = open_warehouse(Address(**json.loads(place)))
table.prepare(EQUITY)
print("ready", flush=True)
while count := sys.stdin.readline().strip():
    found = [table.load_days(EQUITY, {day: rows}, {day: path})[day].version for _ in range(int(count))]
    print(json.dumps(found), flush=True)
"""


@contextlib.contextmanager
def loaders(place: Address, folder: Path, *, claiming: bool) -> Iterator[list[subprocess.Popen[str]]]:
    """A process for each content, which loads it on request."""
    given = {name: each for name, each in dataclasses.asdict(place).items() if name != "folder"}
    found = []
    try:
        for name, content in (("one", ONE), ("other", OTHER)):
            path = folder / f"{name}.parquet"
            rows(*content).write_parquet(path)
            found.append(start_python(LOADER, json.dumps(given), str(path), "yes" if claiming else "no"))
        assert [hear(each) for each in found] == ["ready", "ready"]
        yield found
    finally:
        for each in found:
            each.kill()
            each.communicate()


@contextlib.contextmanager
def reader(place: Address) -> Iterator[set[Any]]:
    """What a reader sees while the block runs; an error of the reader is a finding."""
    found: set[Any] = set()
    ended = threading.Event()

    def look() -> None:
        try:
            with contextlib.closing(open_warehouse(place)) as table:
                while not ended.is_set():
                    found.add(seen(table))
        except Exception as error:  # noqa: BLE001 - whatever a reader meets is a finding
            found.add(repr(error))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join(60)


def at_once(processes: list[subprocess.Popen[str]], count: int) -> list[list[int]]:
    """The versions that each process loaded, all at the same time."""
    for process in processes:
        tell(process, str(count))
    return [json.loads(hear(process)) for process in processes]


def test_two_processes_that_load_a_date_take_turns_and_no_reader_sees_a_mixture(place: Address, tmp_path: Path) -> None:
    """Each load is whole for all readers until the other replaces it, and the ledger has the last one."""
    whole = {sums_of(ONE), sums_of(OTHER)}
    with contextlib.closing(open_warehouse(place)) as table, loaders(place, tmp_path, claiming=True) as processes:
        at_once(processes[:1], 1)
        with reader(place) as found:
            versions = at_once(processes, 15)
        assert found <= whole
        assert found
        last = seen(table)
        assert last in whole
        assert table.ledger
        [entry] = table.ledger.entries(EQUITY).values()
        assert entry.counts
        assert entry.version == max(map(max, versions))
        assert entry.rows == last[0]
        assert Path(entry.lake_sha256).stem == ("one" if last == sums_of(ONE) else "other")


def test_without_claims_the_last_of_two_loads_leaves_the_date_whole(place: Address, tmp_path: Path) -> None:
    """A claim that ended too early, or an older version: readers may see a mixture, until both loads have ended."""
    whole = {sums_of(ONE), sums_of(OTHER)}
    with contextlib.closing(open_warehouse(place)) as table, loaders(place, tmp_path, claiming=False) as processes:
        for _ in range(6):
            at_once(processes, 2)
            assert seen(table) in whole


# One load within another


@contextlib.contextmanager
def two(place: Address) -> Iterator[tuple[Warehouse, Warehouse]]:
    """Two open warehouses of this process, whose claims do not keep each other away."""
    with (
        contextlib.closing(open_warehouse(place)) as first,
        contextlib.closing(open_warehouse(place)) as second,
        pytest.MonkeyPatch.context() as changed,
    ):
        changed.setattr(claims.Claims, "held", lambda *_: contextlib.nullcontext())
        yield first, second


def before_insert(table: Warehouse, event: Any) -> None:
    """Do something after the next load has read the existing keys, and before its insert."""
    real, is_due = table.connection.insert_arrow, [True]

    def insert(*arguments: Any) -> None:
        if is_due and is_due.pop():
            event()
        real(*arguments)

    table.connection.insert_arrow = insert  # type: ignore[assignment, method-assign]


def test_a_load_that_comes_within_another_is_replaced_as_a_whole(place: Address) -> None:
    """The outer one would leave the rows that it did not know of, and hide none of them; it is done again."""
    with two(place) as (outer, inner):
        outer.load(EQUITY, DAY, rows(0, 10, 3.0))
        before_insert(outer, lambda: inner.load(EQUITY, DAY, rows(*OTHER)))
        load = outer.load(EQUITY, DAY, rows(*ONE))
        assert seen(outer) == sums_of(ONE)
        assert load.removed == len(set(range(*OTHER[:2])) - set(range(*ONE[:2])))


def test_dates_that_share_an_insert_are_whole_after_a_load_within(place: Address) -> None:
    """All of them are loaded again; the date that nobody else loads stays as it is."""
    with two(place) as (outer, inner):
        before_insert(outer, lambda: inner.load(EQUITY, DAY, rows(*OTHER)))
        outer.load_days(EQUITY, {DAY: rows(*ONE), NEXT_DAY: rows(0, 5, 2.0, NEXT_DAY)})
        assert seen(outer) == sums_of(ONE)
        assert dict(outer.rows_by_day(EQUITY)) == {DAY: ONE[1] - ONE[0], NEXT_DAY: 5}


# Claims


def test_the_claim_of_a_process_that_has_died_here_holds_nobody_up(place: Address) -> None:
    """As after a kill: it is seen that the process is gone."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    with contextlib.closing(open_warehouse(place)) as table:
        note_claim(table, "killed", claims._place(), ended.pid, seconds=3600)
        with locks.counting_waits() as waits:
            assert table.load(EQUITY, DAY, rows(0, 5, 1.0)).rows == 5
        assert sum(waits) < 3600


def test_a_claim_that_this_process_could_not_give_back_holds_nobody_up(place: Address) -> None:
    """As after a load whose server went away: the process runs, but not that load."""
    with contextlib.closing(open_warehouse(place)) as table:
        note_claim(table, "given up", claims._place(), os.getpid(), seconds=3600)
        with locks.counting_waits() as waits:
            assert table.load(EQUITY, DAY, rows(0, 5, 1.0)).rows == 5
        assert sum(waits) < 60


def test_the_claim_of_another_host_is_waited_for_until_it_ends(place: Address) -> None:
    """And the wait is counted, as for any other lock."""
    with contextlib.closing(open_warehouse(place)) as table:
        note_claim(table, "alive", "elsewhere", 1, seconds=2)
        with locks.counting_waits() as waits:
            assert table.load(EQUITY, DAY, rows(0, 5, 1.0)).rows == 5
        [(left,)] = table.query(
            f"SELECT count() FROM `{place.database}`.load_claims FINAL WHERE holder = 'alive' AND expires > now64(3)"
        )
        assert left == 0
        assert max(waits) > 0.1


def test_a_claim_that_does_not_end_is_told_with_its_holder(place: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the own one is given back, so that nobody waits for it."""
    monkeypatch.setattr(claims, "_MOST_SECONDS", 0.2)
    with contextlib.closing(open_warehouse(place)) as table:
        note_claim(table, "alive", "elsewhere ns", 4711, seconds=3600)
        with pytest.raises(Busy, match="another process loads the same dates") as caught:
            table.load(EQUITY, DAY, rows(0, 5, 1.0))
        assert caught.value.found == "process 4711 on elsewhere"
        assert table.rows_by_day(EQUITY) == []
        own = table.query(
            f"SELECT holder FROM `{place.database}`.load_claims FINAL WHERE holder != 'alive' AND expires > now64(3)"
        )
        assert own == []


def test_a_claim_of_another_date_holds_nobody_up(place: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that load different dates do not wait for each other."""
    monkeypatch.setattr(claims, "_MOST_SECONDS", 0.0)
    with contextlib.closing(open_warehouse(place)) as table:
        note_claim(table, "alive", "elsewhere", 1, seconds=3600, day=NEXT_DAY)
        assert table.load(EQUITY, DAY, rows(0, 5, 1.0)).rows == 5
        with pytest.raises(Busy):
            table.load_days(EQUITY, {DAY: rows(0, 5, 1.0), NEXT_DAY: rows(0, 5, 1.0, NEXT_DAY)})


def test_of_claims_that_see_each_other_the_older_one_goes_first(place: Address) -> None:
    """Processes that ask again and again for the same dates all get their turn."""
    order: list[int] = []
    with contextlib.ExitStack() as stack:
        tables = [stack.enter_context(contextlib.closing(open_warehouse(place))) for _ in range(3)]
        claimed = [claims.Claims(table.connection) for table in tables]

        def hold(number: int) -> None:
            for _ in range(3):
                with claimed[number].held(EQUITY, [DAY, NEXT_DAY]):
                    inside.append(number)
                    assert inside == [number], "two hold the same date"
                    inside.remove(number)
                    order.append(number)

        inside: list[int] = []
        failed: list[BaseException] = []

        def run(number: int) -> None:
            try:
                hold(number)
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)

        with pytest.MonkeyPatch.context() as changed:
            # Threads stand for processes.
            changed.setattr(claims, "_is_gone", lambda _other: False)
            threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(120)
    assert failed == []
    assert sorted(order) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
