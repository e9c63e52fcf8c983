"""`champion adjust`: make the adjustments of prices, and load them into the warehouse."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from champion_luigi.commands import output

if TYPE_CHECKING:
    import luigi

    from champion_luigi.datasets.model import Dataset


@click.command(name="adjust")
@click.option("--lake-only", is_flag=True, help="Write the Parquet files only, and load nothing into the warehouse.")
def command(*, lake_only: bool) -> None:
    """Make the adjustments of prices: of splits, bonuses, rights and dividends, through changes of symbol.

    `champion fill` does the same whenever it has filled prices or corporate actions, and `redo`, `refresh` and `verify
    --repair` whenever they have replaced some. This command also sees lake files that another program has changed.
    Nothing is made or loaded again if nothing has changed.

    Exits 0 when the adjustments are up to date, 30 when they could not be made or loaded.
    """
    from champion_luigi.config import wiring
    from champion_luigi.pipeline import adjust_tasks

    if not lake_only:
        wiring.warehouse_place().require_engine()
    adjust_tasks.ask()
    sys.exit(_run(adjust_tasks.last_task(lake_only=lake_only)))


def after(datasets: Iterable[Dataset], *, lake_only: bool | None = None) -> int:
    """Make the adjustments that are due, after work on these data sets. Returns the exit code.

    Without ``lake_only``, they are loaded if the warehouse has adjustments already. Nothing is done for a lake without
    corporate actions, where nobody has asked for adjustments.
    """
    if not any(dataset.is_for_adjustments for dataset in datasets):
        return 0
    from champion_luigi.pipeline import adjust_tasks

    if not adjust_tasks.are_wanted():
        return 0
    task = adjust_tasks.next_task() if lake_only is None else adjust_tasks.last_task(lake_only=lake_only)
    return 0 if task.complete() else _run(task)


def _run(task: luigi.Task) -> int:
    import luigi

    from champion_luigi.commands import bar
    from champion_luigi.pipeline import adjust_tasks, log
    from champion_luigi.warehouse import opened

    log.quieten()
    level = "WARNING" if sys.stderr.isatty() else "INFO"
    with opened.kept_open():
        result = luigi.build([task], workers=1, local_scheduler=True, detailed_summary=True, log_level=level)
    output.say(adjust_tasks.in_words() if task.complete() else "The adjustments are not up to date: the log says why.")
    return bar.code_of(result)
