"""The `champion` command: what people need around the pipeline. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="champion_luigi", prog_name="champion")
def main() -> None:
    """NSE end-of-day prices, every trading day: what people need around the Luigi pipeline."""


@main.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the demo's outputs; your own data stays apart.",
)
def demo(data_dir: Path) -> None:
    """Run the pipeline for a few simulated days and show what it made."""
    from champion_luigi import demo as demonstration
    from champion_luigi.errors import ChampionError

    try:
        demonstration.run(data_dir)
    except ChampionError as error:
        click.echo(f"champion demo: {error}", err=True)
        sys.exit(30)
