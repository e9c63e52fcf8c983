"""`champion demo`: run the main job with embedded defaults and the simulated archive, and show the result."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import click

from champion_luigi.base import extras
from champion_luigi.base.errors import ChampionError
from champion_luigi.commands import output
from champion_luigi.datasets import catalog

# Days of both file formats, on both sides of the switch, and a Saturday session.
DAYS = (date(2024, 1, 19), date(2024, 1, 20), date(2024, 7, 5), date(2024, 7, 8), date(2024, 7, 9))


@click.command(name="demo")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the demo's outputs, separate from your own data.",
)
def command(data_dir: Path) -> None:
    """Run the pipeline for a few simulated days of prices, and for one day of each other data set; show the result."""
    from champion_luigi.warehouse import opened

    with output.ending("demo", output.FAILED), _settings(data_dir):
        try:
            _run(lambda: click.echo(f"Loading {len(DAYS)} simulated trading days ..."))
            _show(data_dir)
        finally:
            opened.close_shared()


def demo(data_dir: str | Path = "demo") -> Path:
    """Load a few simulated days of each data set into a folder of their own, as `champion demo` does; returns it.

    Raises ChampionError if a day was not loaded, and NotInstalled.
    """
    from champion_luigi.pipeline.build import one_at_a_time
    from champion_luigi.warehouse import opened

    folder = Path(data_dir)
    with _settings(folder), opened.kept_open():
        one_at_a_time(_run)()
    return folder


def _settings(data_dir: Path) -> contextlib.AbstractContextManager[None]:
    from champion_luigi.config import settings

    names = ("clickhouse_host", "clickhouse_cluster", "lake_dir", "raw_dir", "local_dir")
    return settings.overridden({"data_dir": str(data_dir), "archive_url": "simulated:", **dict.fromkeys(names, "")})


def _run(begin: Callable[[], object] = lambda: None) -> None:
    from champion_luigi.config import wiring
    from champion_luigi.pipeline.build import build
    from champion_luigi.pipeline.day_task import listening
    from champion_luigi.pipeline.tasks import LoadClickHouse

    wiring.warehouse_place().require_engine()
    begin()
    tasks = [LoadClickHouse(date=day) for day in DAYS]
    tasks += [LoadClickHouse(date=DAYS[-1], dataset=name) for name in catalog.NAMES if name != catalog.DEFAULT]
    # Check complete() here first: Luigi only logs the errors that it raises, such as an invalid setting.
    with listening() as errors:
        if not all(task.is_made() for task in tasks):
            build(tasks)
    incomplete = [task.label for task in tasks if not task.is_made()]
    if incomplete:
        why = next((str(error) for _, error in sorted(errors.items())), "the log says why")
        raise ChampionError(f"not loaded: {', '.join(incomplete)}: {why}")


def _show(data_dir: Path) -> None:
    from champion_luigi.config import settings
    from champion_luigi.config.wiring import warehouse_place
    from champion_luigi.tracking import record
    from champion_luigi.warehouse import opened

    first = catalog.DATASETS[catalog.DEFAULT]
    views = {dataset: f"{warehouse_place().database}.{dataset.view}" for dataset in catalog.DATASETS.values()}
    view = views[first]
    table = opened.shared(warehouse_place())
    layouts = dict(table.query(f"SELECT trade_date, any(layout) FROM {view} GROUP BY trade_date"))
    click.echo(f"\nRows per day in ClickHouse (SELECT ... FROM {view}):\n")
    for day, rows in table.rows_by_day(first):
        click.echo(f"  {day} {output.WEEKDAYS[day.weekday()]}  {rows:>6,}  {layouts[day]}")
    click.echo(f"\n{DAYS[-1]} in each data set's view:\n")
    for dataset, name in views.items():
        if dataset.example:
            [[text]] = table.query(dataset.example.format(view=name, day=DAYS[-1]))
            click.echo(f"  {dataset.name:<{max(map(len, catalog.NAMES))}}  {text}")
    metrics = f"{settings.without_secrets(settings.tracking_uri())}  (MLflow: durations and counts of every run)"
    if extras.lacking(settings.mlflow_extra()):
        metrics = f"{record.journal_folder()}  (durations and counts of every run; MLflow is not installed)"
    click.echo(
        f"""
  Lake      {settings.lake_dir()}  (Parquet, one file a day)
  Warehouse {warehouse_place().folder}  (embedded ClickHouse)
  Metrics   {metrics}

Run it again: no task runs, because every output exists:

  DATA_DIR={data_dir} NSE_ARCHIVE_URL=simulated: .venv/bin/luigi --module champion_luigi \\
    LoadClickHouse --date 2024-07-09 --local-scheduler

The runs in MLflow's pages, on http://127.0.0.1:5000:

  DATA_DIR={data_dir} .venv/bin/champion track ui

A real day, from the exchange, into ./data:

  .venv/bin/luigi --module champion_luigi LoadClickHouse --date 2024-01-15 --local-scheduler
"""
    )
