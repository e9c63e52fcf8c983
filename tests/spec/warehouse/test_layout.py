"""The statements that make tables: on one server as ever, on a cluster replicated, with shards by date."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse import adjusted
from champion_luigi.warehouse.layout import SINGLE, Layout, Table, shard_of
from champion_luigi.warehouse.table import ddl, growth

ONE, TWO = Layout("site", 1), Layout("site", 2)
LEDGER = Table("loaded", ["trade_date Date", "version UInt64"], "ReplacingMergeTree(version)", "tuple()", "trade_date")


def test_without_a_cluster_a_table_is_as_declared() -> None:
    """No macro, no path, no name of a cluster."""
    assert SINGLE.create("market", LEDGER) == [
        "CREATE TABLE IF NOT EXISTS `market`.loaded (\n    trade_date Date,\n    version UInt64\n) "
        "ENGINE = ReplacingMergeTree(version)\nPARTITION BY tuple()\nORDER BY (trade_date)\n"
        "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
    ]


def test_on_one_shard_the_table_itself_is_replicated() -> None:
    """Readers and loads use one name, as on a server."""
    [statement] = ONE.create("market", LEDGER)
    engine = "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/market/loaded', '{replica}', version)"
    assert statement == SINGLE.create("market", LEDGER)[0].replace("ReplacingMergeTree(version)", engine)


def test_an_engine_without_arguments_is_replicated_too() -> None:
    """The path and the replica are then all of its arguments."""
    plain = Table("t", ["n UInt8"], "MergeTree", "tuple()", "n", is_by_date=False)
    assert ONE.engine("market", plain) == "ReplicatedMergeTree('/clickhouse/tables/{shard}/market/t', '{replica}')"


def test_on_several_shards_a_distributed_table_by_date_lies_over_the_local_ones() -> None:
    """By date and by nothing else: a day is one insert at one shard."""
    local, over = TWO.create("market", LEDGER)
    assert "`market`.loaded_local (" in local
    assert "'/clickhouse/tables/{shard}/market/loaded_local', '{replica}', version)" in local
    assert over == (
        "CREATE TABLE IF NOT EXISTS `market`.loaded AS `market`.loaded_local\n"
        "ENGINE = Distributed('site', 'market', 'loaded_local', toRelativeDayNum(trade_date))"
    )


def test_a_small_table_is_whole_on_every_host_of_every_shard() -> None:
    """All hosts share one path, and each has a name of its own there."""
    whole = Table("t", ["n UInt8"], "MergeTree", "tuple()", "n", is_by_date=False)
    [statement] = TWO.create("market", whole)
    assert "ReplicatedMergeTree('/clickhouse/tables/all/market/t', '{shard}-{replica}')" in statement


@pytest.mark.parametrize("database", ["a/b", "{shard}", "it's", "mäß"])
def test_a_database_of_any_name_is_one_level_of_the_path(database: str) -> None:
    """Neither a macro nor a further level comes from a name."""
    path, _ = ONE.replica(database, LEDGER)
    assert re.fullmatch(r"/clickhouse/tables/\{shard\}/[A-Za-z0-9%_.-]+/loaded", path)


def test_each_statement_for_administrators_names_the_cluster() -> None:
    """What `champion ddl` prints makes everything on every host; the rest of each statement is the same."""
    statements = ddl("market", EQUITY, TWO.for_administrators()) + list(
        adjusted.ddl("market", TWO.for_administrators()).values()
    )
    plain = ddl("market", EQUITY, TWO) + list(adjusted.ddl("market", TWO).values())
    assert all(statement.count(" ON CLUSTER `site`") == 1 for statement in statements)
    assert [each.replace(" ON CLUSTER `site`", "") for each in statements] == plain


def test_later_columns_reach_the_stored_rows_before_the_table_over_them() -> None:
    """A Distributed table that had a column first would ask the shards for what they lack."""
    column = next(each for each in EQUITY.columns if not each.required)
    first, second, view = growth("market", EQUITY, (column,), TWO)
    assert first.startswith("ALTER TABLE `market`.normalized_equity_ohlc_local ADD COLUMN IF NOT EXISTS")
    assert second == first.replace("_local", "")
    assert view.startswith("CREATE OR REPLACE VIEW `market`.equity_ohlc AS")
    assert growth("market", EQUITY, (column,))[0] == second


def test_dates_go_round_the_shards_by_their_weights() -> None:
    """As ClickHouse chooses: the remainder of the days since 1970."""
    monday = date(2024, 1, 15)
    found = [shard_of(monday + timedelta(days=day), [1, 1]) for day in range(4)]
    assert found == [(19737 + day) % 2 for day in range(4)]
    weighted = [shard_of(monday + timedelta(days=day), [1, 2]) for day in range(6)]
    assert sorted(weighted) == [0, 0, 1, 1, 1, 1]
