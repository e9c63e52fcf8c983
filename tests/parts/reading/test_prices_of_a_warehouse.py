"""`champion_luigi.prices` from ClickHouse: the same frames as from the lake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import priced_lake
import pytest
from clickhouse_cluster import running
from clickhouse_server import ClickHouseServer, unavailable

import champion_luigi
from champion_luigi.base.errors import NotMade, UnknownSymbol, WarehouseError
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import adjustments, lake
from champion_luigi.warehouse import adjusted
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["embedded", "served", "clustered"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A lake, and a warehouse that holds the same."""
    data = tmp_path_factory.mktemp("data")
    given: dict[str, Any]
    if request.param == "embedded":
        yield _filled(data, {})
    elif request.param == "clustered":
        with running(shards=2, replicas=2) as cluster:
            given = {"host": ",".join(f"{host}:{port}" for host, port in cluster.hosts), "cluster": cluster.name}
            yield _filled(data, given | {"user": cluster.user, "password": cluster.password})
    elif reason := unavailable():
        pytest.skip(reason)
    else:
        with ClickHouseServer(tmp_path_factory.mktemp("server")) as server:
            given = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
            yield _filled(data, given)


def _filled(data: Path, server: dict[str, Any]) -> dict[str, str]:
    options = {"data_dir": str(data)} | {f"clickhouse_{name}": value for name, value in server.items()}
    with settings.overridden(options):
        root = settings.lake_dir()
        priced_lake.fill(root)
        warehouse = open_warehouse(wiring.warehouse_place())
        for dataset in (EQUITY, CORPORATE_ACTIONS):
            for day, entry in lake.days(root, dataset):
                warehouse.load(dataset, day, lake.read_parquet(Path(entry.path), dataset)[0])
        made = adjustments.read(root)
        adjusted.load(warehouse.connection, made.adjustments, made.spans)
        warehouse.close()
    return {"DATA_DIR": str(data)} | {f"CLICKHOUSE_{name.upper()}": str(value) for name, value in server.items()}


@pytest.fixture(autouse=True)
def _configured(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"symbols": ["BETA", "GAMMA"], "adjusted": "total_return", "fields": ["close", "prev_close", "volume", "isin"]},
        {"symbols": "oldbeta", "adjusted": "exchange", "start": priced_lake.DAYS[2], "end": priced_lake.DAYS[7]},
        {"symbols": ["KAPPA", "ALPHA"], "as_of": priced_lake.DAYS[6]},
        {"adjusted": None, "fields": "close", "wide": True},
    ],
)
def test_a_warehouse_gives_what_the_lake_gives(options: dict[str, Any]) -> None:
    """All symbols or some, adjusted in each way, now or on another day."""
    found = champion_luigi.prices(**options, source="warehouse")
    assert found.height > 0
    assert found.equals(champion_luigi.prices(**options))


def test_a_warehouse_knows_its_symbols() -> None:
    """Those without adjustments too."""
    with pytest.raises(UnknownSymbol, match="OMEGA"):
        champion_luigi.prices("OMEGAS", source="warehouse")
    with pytest.raises(WarehouseError, match="no prices up to 2024-03-01"):
        champion_luigi.prices(as_of="2024-03-01", source="warehouse")


def test_a_warehouse_without_adjustments_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the lake does."""
    place = replace(wiring.warehouse_place(), database="another", folder=tmp_path / "warehouse")
    warehouse = open_warehouse(place)
    day, entry = next(lake.days(settings.lake_dir(), EQUITY))
    warehouse.load(EQUITY, day, lake.read_parquet(Path(entry.path), EQUITY)[0])
    warehouse.close()
    monkeypatch.setenv("CLICKHOUSE_DATABASE", "another")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(NotMade, match="champion adjust"):
        champion_luigi.prices(source="warehouse")


def test_the_view_has_the_same_prices() -> None:
    """Those of SQL and of Python are one."""
    warehouse = open_warehouse(wiring.warehouse_place())
    columns = "trade_date, symbol, instrument, open, high, low, close, volume"
    view = f"{wiring.warehouse_place().database}.{adjusted.ADJUSTED}"
    rows = warehouse.query(f"SELECT {columns} FROM {view} WHERE series = 'EQ' ORDER BY trade_date, symbol")
    warehouse.close()
    assert champion_luigi.prices(series="EQ").rows() == rows
