"""The statements that make the warehouse's tables and views, for administrators: what `champion ddl` prints."""

from __future__ import annotations

from collections.abc import Iterable

from champion_luigi.base.dates import whole_of
from champion_luigi.config import wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse import adjusted, layout, ledger, table
from champion_luigi.warehouse.opened import open_warehouse


def ddl(dataset: str | Iterable[str] = catalog.ALL, *, shards: int | None = None, each_host: bool = False) -> list[str]:
    """The statements that make database, tables and views of data sets, in the order in which they have to run.

    With CLICKHOUSE_CLUSTER, tables are replicated, and each statement has ON CLUSTER, unless ``each_host``. Without
    ``shards``, the cluster is asked for their number. Raises SettingsError, and the errors of a server's connection.
    """
    datasets, place = catalog.datasets_of(dataset), wiring.warehouse_place()
    whole_of(shards, "shards", 1)
    spread = layout.SINGLE
    if place.cluster:
        spread = layout.Layout(place.cluster, shards or _shards())
        spread = spread if each_host else spread.for_administrators()
    statements = [each for found in datasets for each in table.ddl(place.database, found, spread)]
    statements += ledger.ddl(place.database, spread).values()
    if EQUITY in datasets:
        # A load makes these tables anew when they change; an administrator makes them only if they are missing.
        made = adjusted.ddl(place.database, spread).values()
        statements += [each.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1) for each in made]
    return list(dict.fromkeys(statements))


def _shards() -> int:
    warehouse = open_warehouse(wiring.warehouse_place())
    try:
        return warehouse.layout.shards
    finally:
        warehouse.close()
