"""`champion report`: the state of the data, day by day, as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from champion_luigi.commands import output
from champion_luigi.datasets.model import Dataset


@click.command(name="report")
@output.of_datasets()
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="File for the page; an existing file is replaced. Of several data sets, each name is added: report-NAME.html.",
)
@click.option("--start", type=output.DAY, help="First date. Default: the first day in the lake.")
@click.option("--end", type=output.DAY, help="Last date. Default: the latest session that should be published by now.")
@click.pass_context
def command(
    context: click.Context, datasets: Sequence[Dataset], file: Path, start: datetime | None, end: datetime | None
) -> None:
    """Write an HTML page on the state of the data: a calendar, trends and the newest problems.

    The page is a single file that loads nothing from elsewhere; open, mail or publish it as it is. Its figures equal
    those of champion status for the same range. Several data sets have a page each.
    """
    from champion_luigi.commands.report import text
    from champion_luigi.commands.report.write import report

    first, last = output.dates(start, end)

    def write(dataset: Dataset) -> tuple[object, int]:
        path = file if len(datasets) == 1 else file.with_name(f"{file.stem}-{dataset.name}{file.suffix}")
        made = report(path, dataset.name, first, last)
        click.echo(
            f"{path}: {made.start} to {made.end}, {made.loaded} of {made.due} sessions loaded, {text.size(made.bytes)}"
        )
        return None, 0

    context.exit(output.for_each(datasets, write, in_json=False, heading=lambda _name: None))
