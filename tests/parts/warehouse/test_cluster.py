"""A cluster: tables on every host, loads that readers of every replica see whole, and hosts that are not alike."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import campaign
import pytest
from clickhouse_cluster import Cluster, asked, eventually, running
from helpers import run_champion

from champion_luigi.base.errors import WarehouseError, WarehouseUnreachable
from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import PRICE, Column
from champion_luigi.storage import lake
from champion_luigi.warehouse import health
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Warehouse, ddl

if TYPE_CHECKING:
    import polars as pl

pytestmark = pytest.mark.integration

DAY = date(2024, 1, 15)
SUMS = "count(), sum(volume)"

_numbers = itertools.count()


@pytest.fixture(scope="module")
def sharded() -> Iterator[Cluster]:
    """Two shards of two replicas."""
    with running(shards=2, replicas=2) as started:
        yield started


@pytest.fixture(scope="module")
def replicated() -> Iterator[Cluster]:
    """Three replicas of one shard."""
    with running(shards=1, replicas=3) as started:
        yield started


@pytest.fixture(params=["sharded", "replicated"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def database() -> str:
    return f"market_{next(_numbers)}"


@pytest.fixture
def table(cluster: Cluster, database: str) -> Iterator[Warehouse]:
    opened = open_warehouse(cluster.place(database, wait_seconds=0.0))
    yield opened
    opened.close()


def day_of(count: int, day: date = DAY, volume: int = 1, *, without: int | None = None) -> pl.DataFrame:
    """A day of so many rows, but for one in 90, if ``without`` says which."""
    import polars as pl

    same: dict[str, Any] = {"trade_date": day, "series": "EQ", "close": 1.0, "turnover": 1.0, "layout": "legacy"}
    numbers = (number for number in range(count) if without is None or number % 90 != without)
    rows = [dict.fromkeys(EQUITY.names) | same | {"symbol": f"S{number}", "volume": volume} for number in numbers]
    return pl.DataFrame(rows, schema=EQUITY.types)


def sums_of(frame: pl.DataFrame) -> tuple[int, int]:
    return frame.height, int(frame["volume"].sum())


def seen_everywhere(cluster: Cluster, database: str, where: str = "1") -> set[tuple[Any, ...]]:
    """What readers of the view see, on each host."""
    return {rows[0] for rows in cluster.each(f"SELECT {SUMS} FROM `{database}`.equity_ohlc WHERE {where}")}


# Tables


def test_a_fill_from_nothing_makes_all_of_it_on_every_host(
    cluster: Cluster, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each host gives the lake's counts and sums, whichever data set, and any host finds nothing missing."""
    environment = {**cluster.environment(database), "NSE_ARCHIVE_URL": "simulated:"}
    asked_for = ("--start", "2024-02-01", "--end", "2024-02-09", "--dataset", "equity,index_close,corporate_actions")
    done = run_champion("fill", *asked_for, **environment)
    assert done.returncode == 0, done.stderr
    for dataset, column in (("equity", "volume"), ("index_close", "close"), ("corporate_actions", None)):
        definition = DATASETS[dataset]
        in_lake = lake.scan(tmp_path / "lake", dataset=definition).collect()
        statement = f"SELECT count(), round(sum({column or 0})) FROM {database}.{definition.view}"
        expected = (in_lake.height, round(in_lake[column].sum()) if column else 0)
        eventually(functools.partial(cluster.each, statement), [[expected]] * len(cluster.hosts))
    prices = lake.scan(tmp_path / "lake").collect().height
    assert {rows[0] for rows in cluster.each(f"SELECT count() FROM {database}.equity_adjusted")} == {(prices,)}
    again = run_champion("fill", *asked_for, **environment | cluster.environment(database, len(cluster.hosts) - 1))
    assert (again.returncode, again.stderr.count("Nothing is missing")) == (0, 3)
    days = f"SELECT dataset, uniqExact(trade_date), count() FROM {database}.loads FINAL GROUP BY ALL ORDER BY ALL"
    expected_loads = [("corporate_actions", 7, 7), ("equity", 7, 7), ("index_close", 7, 7)]
    eventually(functools.partial(cluster.each, days), [expected_loads] * len(cluster.hosts))
    elsewhere = {"DATA_DIR": str(tmp_path / "another folder"), **cluster.environment(database, 1)}
    empty = run_champion("fill", *asked_for, **environment | elsewhere)
    assert (empty.returncode, empty.stderr.count("Nothing is missing")) == (0, 3), empty.stderr
    verified = run_champion("verify", "--dataset", "equity,index_close,corporate_actions", **environment)
    assert (verified.returncode, verified.stdout.count("Everything agrees.")) == (0, 3), verified.stdout


def test_a_date_is_on_one_shard_and_on_all_of_its_replicas(sharded: Cluster, database: str) -> None:
    """Dates take turns, as the Distributed table would send them, so that it finds them where it looks."""
    opened = open_warehouse(sharded.place(database))
    days = {DAY + timedelta(days=number): day_of(3, DAY + timedelta(days=number)) for number in range(4)}
    opened.load_days(EQUITY, days)
    opened.close()
    found = sharded.each(
        f"SELECT trade_date, count() FROM {database}.normalized_equity_ohlc_local FINAL GROUP BY ALL ORDER BY ALL"
    )
    even, odd = ([(day, 3) for day in days if (day - date(1970, 1, 1)).days % 2 == rest] for rest in (0, 1))
    assert found == [even, even, odd, odd]
    for [row] in sharded.each(
        f"SELECT count() FROM {database}.equity_ohlc WHERE trade_date = '{DAY}' "
        "SETTINGS optimize_skip_unused_shards = 1, force_optimize_skip_unused_shards = 1"
    ):
        assert row == (3,)


def test_later_columns_are_added_on_every_host(sharded: Cluster, database: str) -> None:
    """To the rows of each shard, to the table over them, and to the views."""
    import polars as pl

    before = open_warehouse(sharded.place(database))
    before.load(EQUITY, DAY, day_of(3))
    before.close()
    later = Column("yield_percent", PRICE, "percent", "dividend yield")
    grown = dataclasses.replace(EQUITY, version=2, columns=(*EQUITY.columns, later))
    opened = open_warehouse(sharded.place(database))
    assert opened.load(grown, DAY, day_of(2).with_columns(pl.lit(2.5).alias("yield_percent"))).removed == 1
    opened.close()
    for name in ("equity_ohlc", "normalized_equity_ohlc", "normalized_equity_ohlc_local"):
        for rows in sharded.each(f"DESCRIBE TABLE {database}.{name}"):
            assert "yield_percent" in [row[0] for row in rows]
    assert sharded.each(f"SELECT sum(yield_percent) FROM {database}.equity_ohlc") == [[(5.0,)]] * 4


def _ddl_of(cluster: Cluster, database: str) -> list[str]:
    opened = open_warehouse(cluster.place(database))
    statements = ddl(database, EQUITY, opened.layout)
    opened.close()
    return statements


def test_the_printed_statements_make_what_a_load_takes(sharded: Cluster, database: str) -> None:
    """`champion ddl --each-host`, run by an administrator on each host; a load then makes no table."""
    environment = sharded.environment(database)
    printed = run_champion("ddl", "--each-host", **environment)
    assert printed.returncode == 0, printed.stderr
    for statement in printed.stdout.split(";\n\n"):
        sharded.each(statement.rstrip(";\n"))
    tables = f"SELECT name, uuid FROM system.tables WHERE database = '{database}' AND engine != 'View' ORDER BY name"
    made = sharded.each(tables)
    done = run_champion("fill", "--date", "2024-02-01", NSE_ARCHIVE_URL="simulated:", **environment)
    assert done.returncode == 0, done.stderr
    assert sharded.each(tables) == made


def test_printed_statements_for_a_cluster_name_it(database: str) -> None:
    """ON CLUSTER cannot be run here: each statement is the one for one host, with the name of the cluster."""
    settings = {"CLICKHOUSE_HOST": "nobody.invalid", "CLICKHOUSE_CLUSTER": "site", "CLICKHOUSE_DATABASE": database}
    with_cluster = run_champion("ddl", "--shards", "2", **settings)
    each_host = run_champion("ddl", "--shards", "2", "--each-host", **settings)
    assert with_cluster.returncode == each_host.returncode == 0
    assert with_cluster.stdout.replace(" ON CLUSTER `site`", "") == each_host.stdout
    count = with_cluster.stdout.count(";\n")
    assert with_cluster.stdout.count(" ON CLUSTER `site`") == count > 20


# Hosts that are not alike


def filled(cluster: Cluster, database: str, first: int = 0) -> tuple[int, str]:
    """The exit code and the words of a fill of one day, which fetches nothing before the tables are checked."""
    environment = cluster.environment(database, first)
    done = run_champion("fill", "--date", "2024-02-01", NSE_ARCHIVE_URL="simulated:", **environment)
    return done.returncode, done.stderr


def test_an_unreplicated_table_is_refused_before_the_first_day(cluster: Cluster, database: str, tmp_path: Path) -> None:
    """On whichever host: loads would go on without it for ever."""
    host, port = cluster.hosts[-1]
    for statement in ddl(database)[:2]:
        asked(host, port, statement)
    code, words = filled(cluster, database)
    assert code == 30
    assert f"{host}:{port}" in words
    assert "is not replicated" in words or "is not spread over the shards by date" in words
    assert not (tmp_path / "raw").exists()
    made = cluster.each(f"SELECT name FROM system.tables WHERE database = '{database}'")
    assert made == [*([[]] * (len(cluster.hosts) - 1)), [("normalized_equity_ohlc",)]]


@pytest.mark.parametrize("key", ["cityHash64(symbol)", "rand()", "toRelativeDayNum(trade_date) + 1"])
def test_another_sharding_key_is_refused_before_the_first_day(
    sharded: Cluster, database: str, tmp_path: Path, key: str
) -> None:
    """By symbol, a day would be two inserts; by another date, a day would be looked for on the wrong shard."""
    for statement in _ddl_of(sharded, database):
        sharded.each(statement.replace("toRelativeDayNum(trade_date)", key))
    code, words = filled(sharded, database)
    assert code == 30
    assert "is not spread over the shards by date" in words
    assert key in words
    assert not (tmp_path / "raw").exists()


def test_replicas_that_share_no_path_are_refused(replicated: Cluster, database: str) -> None:
    """Each would have the days that were loaded through it."""
    for number, (host, port) in enumerate(replicated.hosts):
        for statement in _ddl_of(replicated, database):
            asked(host, port, statement.replace("/clickhouse/tables/", f"/clickhouse/tables/{min(number, 1)}/"))
    code, words = filled(replicated, database)
    assert code == 30
    assert "is not replicated by all hosts of its shard" in words


def test_a_profile_that_fixes_the_settings_of_a_load_is_refused(replicated: Cluster, database: str) -> None:
    """With inserts in the background, a load would be acknowledged before any replica has it."""
    if replicated.local is None:
        pytest.skip("TEST_CLUSTER names the cluster: it has no user with such a profile")
    place = replicated.place(database, user="background")
    opened = open_warehouse(place)
    with pytest.raises(WarehouseError, match="does not let this user change") as caught:
        opened.load(EQUITY, DAY, day_of(1))
    opened.close()
    assert "async_insert = 0" in str(caught.value)
    assert "async_insert = 1" in str(caught.value)


def test_a_name_that_is_no_cluster_is_refused_with_those_that_are(replicated: Cluster, database: str) -> None:
    """A typing error is found at once."""
    with pytest.raises(WarehouseError, match="knows no cluster elsewhere") as caught:
        open_warehouse(dataclasses.replace(replicated.place(database), cluster="elsewhere"))
    assert replicated.name in str(caught.value)


def test_hosts_of_which_none_answers_are_all_named(replicated: Cluster, database: str) -> None:
    """With what each of them answered."""
    place = dataclasses.replace(replicated.place(database), host="127.0.0.1", port=1, others=(("127.0.0.1", 2),))
    with pytest.raises(WarehouseUnreachable, match="no host of the cluster") as caught:
        open_warehouse(place)
    assert "127.0.0.1:1:" in str(caught.value)
    assert "127.0.0.1:2:" in str(caught.value)


def test_a_single_server_needs_nothing_of_clusters() -> None:
    """Their modules are not even imported, until a cluster is opened."""
    script = "import sys, champion_luigi.warehouse.opened, champion_luigi.pipeline; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    of_clusters = {f"champion_luigi.warehouse.{name}" for name in ("cluster", "clustered", "alike", "health")}
    assert not of_clusters & set(ran.stdout.split())


# Loads


@pytest.mark.faults
@pytest.mark.parametrize("same_date", [True, False], ids=["one date", "a date each"])
def test_readers_see_every_load_whole_while_two_loaders_restate(
    cluster: Cluster, database: str, same_date: bool
) -> None:
    """At two replicas, with other rows and fewer rows each time: no reader of any host sees parts of two loads."""
    volumes = (1, 2)
    loaders = [open_warehouse(cluster.place(database, first)) for first in (0, 1)]
    days = [DAY, DAY if same_date else DAY + timedelta(days=2)]
    contents = {
        day: [day_of(900, day, volumes[0]), day_of(900, day, volumes[1], without=7), day_of(1000, day, without=3)]
        for day in days
    }
    whole = {day: {sums_of(frame) for frame in frames} for day, frames in contents.items()}
    for loader, day in zip(loaders, days, strict=True):
        loader.load(EQUITY, day, contents[day][0])
    eventually(lambda: len(seen_everywhere(cluster, database)), 1)
    seen: collections.Counter[str] = collections.Counter()
    done: collections.Counter[int] = collections.Counter()
    errors: list[str] = []
    until = time.monotonic() + (60 if campaign.IS_WHOLE else 5)

    def read(host: str, port: int) -> None:
        import clickhouse_connect

        client = clickhouse_connect.get_client(host=host, port=port, username=cluster.user, password=cluster.password)
        statement = f"SELECT {SUMS} FROM {database}.equity_ohlc WHERE trade_date = "
        while time.monotonic() < until:
            for day in days:
                [row] = client.query(f"{statement}'{day}'").result_rows
                seen["whole" if tuple(row) in whole[day] else f"mixed {row}"] += 1
        client.close()

    def load(number: int) -> None:
        frames = itertools.cycle(contents[days[number]][number:] + contents[days[number]][:number])
        while time.monotonic() < until:
            try:
                done[number] += loaders[number].load(EQUITY, days[number], next(frames)).rows > 0
            except WarehouseError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=read, args=host) for host in (cluster.hosts[0], cluster.hosts[-1])]
    threads += [threading.Thread(target=load, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for loader in loaders:
        loader.close()
    assert not errors
    assert set(seen) == {"whole"}
    assert seen["whole"] > 10
    assert min(done[0], done[1]) > 1
    for day in days:
        eventually(functools.partial(_answers, cluster, database, day), 1)
        assert seen_everywhere(cluster, database, f"trade_date = '{day}'") <= whole[day]


def _answers(cluster: Cluster, database: str, day: date) -> int:
    """How many different answers the hosts give about a day."""
    return len(seen_everywhere(cluster, database, f"trade_date = '{day}'"))


def test_a_load_knows_what_was_loaded_at_a_replica_that_it_lags_behind(replicated: Cluster, database: str) -> None:
    """Keys that only the other replica has are deleted too."""
    first, second = (open_warehouse(replicated.place(database, number)) for number in (0, 1))
    first.load(EQUITY, DAY, day_of(10))
    host, port = replicated.hosts[1]
    asked(host, port, f"SYSTEM STOP FETCHES {database}.normalized_equity_ohlc")
    first.load(EQUITY, DAY, day_of(20))
    threading.Timer(1.0, asked, (host, port, f"SYSTEM START FETCHES {database}.normalized_equity_ohlc")).start()
    assert second.load(EQUITY, DAY, day_of(5)).removed == 15
    for each in (first, second):
        each.close()
    eventually(lambda: seen_everywhere(replicated, database), {(5, 5)})


def test_days_of_several_shards_and_years_are_loaded_together(cluster: Cluster, database: str) -> None:
    """A group of days, again and again, with days that are new and others that are not."""
    opened = open_warehouse(cluster.place(database))
    days = [date(2023, 12, 28) + timedelta(days=number) for number in range(8)]
    opened.load_days(EQUITY, {day: day_of(30, day) for day in days[:5]})
    loaded = opened.load_days(EQUITY, {day: day_of(20, day, 2) for day in days})
    opened.merge(EQUITY)
    assert opened.years(EQUITY) == [2023, 2024]
    opened.close()
    assert [loaded[day].removed for day in days] == [10] * 5 + [0] * 3
    eventually(lambda: seen_everywhere(cluster, database), {(160, 320)})


def test_without_quorum_a_load_needs_one_replica(sharded: Cluster, database: str) -> None:
    """A user's choice: the second replica gets it later."""
    opened = open_warehouse(sharded.place(database, quorum=False, wait_seconds=0.0))
    opened.prepare(EQUITY)
    for host, port in (sharded.hosts[1], sharded.hosts[3]):
        asked(host, port, f"SYSTEM STOP FETCHES {database}.normalized_equity_ohlc_local")
    shard_hosts = sharded.hosts
    stored = opened.load(EQUITY, DAY, day_of(3)).rows
    for host, port in (shard_hosts[1], shard_hosts[3]):
        asked(host, port, f"SYSTEM START FETCHES {database}.normalized_equity_ohlc_local")
    opened.close()
    assert stored == 3
    eventually(lambda: seen_everywhere(sharded, database), {(3, 3)})


# Commands


def test_verify_asks_each_replica_and_names_the_one_that_lags(replicated: Cluster, database: str) -> None:
    """Days that it lacks are differences on that host; once it has fetched them, everything agrees."""
    environment = {**replicated.environment(database), "NSE_ARCHIVE_URL": "simulated:"}
    assert run_champion("fill", "--start", "2024-02-01", "--end", "2024-02-02", **environment).returncode == 0
    host, port = replicated.hosts[2]
    asked(host, port, f"SYSTEM STOP FETCHES {database}.normalized_equity_ohlc")
    assert run_champion("fill", "--start", "2024-02-05", "--end", "2024-02-06", **environment).returncode == 0
    found = run_champion("verify", **environment)
    assert found.returncode == 30
    assert f"2024-02-05 warehouse: rows on {host}:{port} (shard 1, replica 3)" in found.stdout
    assert "2024-02-01" not in found.stdout.replace("2024-02-01 to", "")
    assert replicated.hosts[0][0] + ":" not in found.stdout
    asked(host, port, f"SYSTEM START FETCHES {database}.normalized_equity_ohlc")
    asked(host, port, f"SYSTEM SYNC REPLICA {database}.normalized_equity_ohlc")
    again = run_champion("verify", **environment)
    assert (again.returncode, "Everything agrees." in again.stdout) == (0, True)


def test_rows_on_the_shard_of_other_dates_are_a_difference(sharded: Cluster, database: str) -> None:
    """Somebody has inserted them there: readers would see the date twice."""
    environment = {**sharded.environment(database), "NSE_ARCHIVE_URL": "simulated:"}
    assert run_champion("fill", "--date", "2024-02-01", **environment).returncode == 0
    stored = f"{database}.normalized_equity_ohlc_local"
    [full] = [index for index in (0, 2) if sharded.each(f"SELECT count() > 0 FROM {stored}")[index] == [(1,)]]
    host, port = sharded.hosts[2 - full]
    name = sharded.hosts[full][0]
    tcp = asked(name, sharded.hosts[full][1], "SELECT port FROM system.clusters WHERE cluster = 'champion'")[0][0]
    asked(host, port, f"INSERT INTO {stored} SELECT * FROM remote('{name}:{tcp}', {stored})")
    found = run_champion("verify", **environment)
    assert found.returncode == 30
    assert f"2024-02-01 warehouse: rows on {host}:{port}" in found.stdout
    assert "0, because another shard has the date" in found.stdout


def test_a_replica_that_is_down_is_named_and_the_others_answer(replicated: Cluster, database: str) -> None:
    """By `verify` and by `doctor`; `sql`, and a fill that makes a table, use those that are there."""
    environment = {**replicated.environment(database), "NSE_ARCHIVE_URL": "simulated:"}
    assert run_champion("fill", "--date", "2024-02-01", **environment).returncode == 0
    healthy = run_champion("doctor", **environment)
    assert "3 of 3 replicas of 1 shard can load" in " ".join(healthy.stdout.split())
    node = replicated.nodes[0]
    node.kill()
    try:
        verified = run_champion("verify", **environment)
        examined = run_champion("doctor", **environment)
        counted = run_champion("sql", "SELECT count() > 0 FROM equity_ohlc", "--format", "csv", **environment)
        filled_too = run_champion("fill", "--date", "2024-02-02", "--dataset", "index_close", **environment)
    finally:
        replicated.start(node)
    assert verified.returncode == 30
    assert f"Host {node.host}:{replicated.hosts[0][1]} (shard 1, replica 1) does not answer" in verified.stdout
    words = " ".join(examined.stdout.split())
    assert "2 of 3 replicas of 1 shard can load" in words
    assert "(shard 1, replica 1) does not answer" in words
    assert counted.stdout.splitlines()[1:] == ["1"]
    assert filled_too.returncode == 0, filled_too.stderr
    assert "does not answer, and is left out" in filled_too.stderr
    # The next load makes what the replica missed.
    later = run_champion("fill", "--date", "2024-02-05", "--dataset", "index_close", **environment)
    assert later.returncode == 0, later.stderr
    eventually(lambda: replicated.each(f"SELECT uniqExact(trade_date) FROM {database}.index_close"), [[(2,)]] * 3)


def test_without_zookeeper_doctor_names_each_replica_and_that_nothing_can_be_loaded(
    replicated: Cluster, database: str
) -> None:
    """They are read-only then. Once ZooKeeper is back, all is well again, by itself."""
    environment = {**replicated.environment(database), "NSE_ARCHIVE_URL": "simulated:"}
    assert run_champion("fill", "--date", "2024-02-01", **environment).returncode == 0
    assert len(replicated.nodes) == 3
    keeper = replicated.local.keeper

    def found() -> tuple[bool, int]:
        words = " ".join(run_champion("doctor", **environment).stdout.split())
        return "0 of 3 replicas of 1 shard can load" in words, words.count(
            "is read-only, because it has lost ZooKeeper"
        )

    keeper.stop()
    try:
        eventually(found, (True, 3), 120)
        verified = run_champion("verify", **environment)
        answered = run_champion("sql", "SELECT count() > 0 FROM equity_ohlc", "--format", "csv", **environment)
    finally:
        replicated.start(keeper)
    assert verified.returncode == 30
    assert verified.stdout.count("is read-only, because it has lost ZooKeeper or Keeper") == 3
    assert answered.stdout.splitlines()[1:] == ["1"]
    eventually(found, (False, 0), 120)
    assert run_champion("verify", **environment).returncode == 0


def test_a_replica_that_lags_is_named_with_its_delay(
    replicated: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a minute on; here, from the first second."""
    monkeypatch.setattr(health, "_MOST_BEHIND_SECONDS", 0)
    opened = open_warehouse(replicated.place(database))
    opened.load(EQUITY, DAY, day_of(10))
    host, port = replicated.hosts[1]
    asked(host, port, f"SYSTEM STOP FETCHES {database}.normalized_equity_ohlc")
    try:
        opened.load(EQUITY, DAY, day_of(20))
        eventually(
            lambda: [each.split(" lags ")[0] for each in opened.troubles()], [f"{host}:{port} (shard 1, replica 2)"]
        )
        [trouble] = opened.troubles()
        assert trouble.endswith("s behind (normalized_equity_ohlc)")
    finally:
        asked(host, port, f"SYSTEM START FETCHES {database}.normalized_equity_ohlc")
    eventually(opened.troubles, [])
    opened.close()
