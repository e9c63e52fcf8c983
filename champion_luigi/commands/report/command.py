"""What `champion report` does: what is there, day by day, as one HTML page that needs nothing else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(name="report")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page's file; one that is there is replaced.",
)
@click.option("--start", type=_DAY, help="First date. Default: the first day in the lake.")
@click.option("--end", type=_DAY, help="Last date. Default: the latest session that should be published by now.")
def command(output: Path, start: datetime | None, end: datetime | None) -> None:
    """Write an HTML page of what is there: a calendar, trends and the newest problems.

    The page is one file that loads nothing from anywhere, to open, mail or publish as it is. Its figures are those of
    champion status for the same range.
    """
    from champion_luigi.base import durable
    from champion_luigi.commands.report import facts, page, text

    if start and end and start > end:
        raise click.UsageError(f"--start {start:%Y-%m-%d} is after --end {end:%Y-%m-%d}")
    document = facts.document(start.date() if start else None, end.date() if end else None)
    content = page.page(document)
    durable.write_whole(output, content)
    status = document["status"]
    click.echo(
        f"{output}: {status['start']} to {status['end']}, {status['loaded']} of {status['due']} sessions loaded, "
        f"{text.size(len(content))}"
    )
