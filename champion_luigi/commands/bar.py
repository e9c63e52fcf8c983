"""A fill's progress on a terminal: days done of days due, the day at hand, rows, rate, time left, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from champion_luigi.pipeline.chunks import Progress as FillProgress


@contextmanager
def shown(console: Console) -> Iterator[Callable[[FillProgress], None]]:
    """A bar for the time of the block, and what to call with the progress."""
    columns = (
        TextColumn("{task.fields[current]}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[rate]:.0f} days/s"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[trouble]}", style="red"),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        row = bar.add_task("", total=None, current="", rows=0, rate=0.0, trouble="")

        def update(progress: FillProgress) -> None:
            bar.update(
                row,
                total=progress.due,
                completed=progress.done,
                current=str(progress.current or ""),
                rows=progress.rows,
                rate=progress.rate,
                trouble=f"{len(progress.failed)} failed" if progress.failed else "",
            )

        yield update
