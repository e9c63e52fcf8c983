"""`champion ddl`: the statements that make the warehouse's tables and views, for administrators."""

from __future__ import annotations

from collections.abc import Sequence

import click

from champion_luigi.commands import output
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset


@click.command(name="ddl")
@output.of_datasets(output.ALL)
@click.option(
    "--shards",
    type=click.IntRange(1),
    help="The number of the cluster's shards. Default: as the cluster reports it, so it has to answer.",
)
@click.option("--each-host", is_flag=True, help="Leave out ON CLUSTER: run the statements on each host of the cluster.")
def command(datasets: Sequence[Dataset], shards: int | None, each_host: bool) -> None:
    """Print the statements that make the database, tables and views, for administrators who make them.

    A load itself makes what is missing, on every host of a cluster, if its user has the rights. If not, run these
    statements first: a load uses what it finds. With CLICKHOUSE_CLUSTER, tables are replicated, and the statements have
    ON CLUSTER.
    """
    from champion_luigi.config import wiring
    from champion_luigi.warehouse import adjusted, layout, ledger, table

    place = wiring.warehouse_place()
    spread = layout.SINGLE
    if place.cluster:
        spread = layout.Layout(place.cluster, shards or _shards())
        spread = spread if each_host else spread.for_administrators()
    statements = [each for dataset in datasets for each in table.ddl(place.database, dataset, spread)]
    statements += ledger.ddl(place.database, spread).values()
    if EQUITY in datasets:
        # A load makes these tables anew when they change; an administrator makes them only if they are missing.
        made = adjusted.ddl(place.database, spread).values()
        statements += [each.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1) for each in made]
    click.echo("\n\n".join(f"{statement};" for statement in dict.fromkeys(statements)))


def _shards() -> int:
    from champion_luigi.config import wiring
    from champion_luigi.warehouse.opened import open_warehouse

    warehouse = open_warehouse(wiring.warehouse_place())
    try:
        return warehouse.layout.shards
    finally:
        warehouse.close()
