"""`champion ddl`: the statements that make the warehouse's tables and views, for administrators."""

from __future__ import annotations

from collections.abc import Sequence

import click

from champion_luigi.commands import output
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset


@click.command(name="ddl")
@output.of_datasets(catalog.ALL)
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
    from champion_luigi.upkeep.statements import ddl

    statements = ddl([dataset.name for dataset in datasets], shards=shards, each_host=each_host)
    click.echo("\n\n".join(f"{statement};" for statement in statements))
