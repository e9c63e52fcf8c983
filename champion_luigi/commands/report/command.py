"""`champion report`: the state of the data, day by day, as one self-contained HTML page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from champion_luigi.commands import output
from champion_luigi.datasets.model import Dataset


@click.command(name="report")
@output.of_dataset
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="File for the page; an existing file is replaced.",
)
@click.option("--start", type=output.DAY, help="First date. Default: the first day in the lake.")
@click.option("--end", type=output.DAY, help="Last date. Default: the latest session that should be published by now.")
def command(dataset: Dataset, file: Path, start: datetime | None, end: datetime | None) -> None:
    """Write an HTML page on the state of the data: a calendar, trends and the newest problems.

    The page is a single file that loads nothing from elsewhere; open, mail or publish it as it is. Its figures equal
    those of champion status for the same range.
    """
    from champion_luigi.base import durable
    from champion_luigi.commands.report import facts, page, text

    document = facts.document(dataset, *output.dates(start, end))
    content = page.page(document)
    durable.write_whole(file, content)
    status = document["status"]
    click.echo(
        f"{file}: {status['start']} to {status['end']}, {status['loaded']} of {status['due']} sessions loaded, "
        f"{text.size(len(content))}"
    )
