"""The ClickHouse tables: connecting, creating, loading, querying."""

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse import ledger, table
from champion_luigi.warehouse.layout import SINGLE, Layout

__all__ = ["ddl"]


def ddl(database: str, dataset: Dataset = EQUITY, layout: Layout = SINGLE) -> list[str]:
    """The statements that make what a server needs for a data set, if it is missing: table, views, ledger of loads."""
    return [*table.ddl(database, dataset, layout), *ledger.ddl(database, layout).values()]
