"""A fill for people: a progress bar on a terminal, log lines elsewhere, then a summary and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import luigi
from luigi.execution_summary import LuigiRunResult, LuigiStatusCode
from luigi.rpc import RPCError

from champion_luigi.base.errors import ChampionError
from champion_luigi.commands import output
from champion_luigi.pipeline import log
from champion_luigi.pipeline.chunks import Progress as FillProgress
from champion_luigi.pipeline.fill import FillBhavcopy, FillFailed

if TYPE_CHECKING:
    from rich.console import Console

# The exit codes of Luigi's [retcode], by the status in its summary.
_EXIT_CODES = {
    LuigiStatusCode.SUCCESS: 0,
    LuigiStatusCode.SUCCESS_WITH_RETRY: 0,
    LuigiStatusCode.FAILED: output.FAILED,
    LuigiStatusCode.FAILED_AND_SCHEDULING_FAILED: output.NOT_SCHEDULED,
    LuigiStatusCode.SCHEDULING_FAILED: output.NOT_SCHEDULED,
    LuigiStatusCode.NOT_RUN: output.NOT_RUN,
    LuigiStatusCode.MISSING_EXT: output.MISSING,
}


def execute(task: FillBhavcopy, scheduler: dict[str, Any]) -> int:
    """Run a fill, print its result on standard error, and return the exit code.

    Raises SettingsError, before the first day, if any setting cannot be used: a day would only say so itself.
    """
    if not task.complete():
        task.require_settings()
        task.deps()  # raises NotInstalled here, where Luigi would log it, and go on to the next data set
    elif scheduler.get("local_scheduler"):
        # Luigi would only find the same, by further looks at all days.
        output.say(task.why_complete())
        return 0
    task.is_reported = True
    log.quieten()
    on_terminal = sys.stderr.isatty()
    with ExitStack() as stack:
        if on_terminal:
            from rich.console import Console

            task.on_progress = stack.enter_context(shown(Console(stderr=True)))
        try:
            result = luigi.build(
                [task], workers=1, detailed_summary=True, log_level="WARNING" if on_terminal else "INFO", **scheduler
            )
        except RPCError:
            raise ChampionError(
                "the central scheduler does not answer",
                source=f"{scheduler.get('scheduler_host')}:{scheduler.get('scheduler_port')}",
                todo="Start luigid, or leave out --scheduler-host, then run the same fill again: completed days stay.",
            ) from None
    output.say("\n".join(_summary(task)))
    code = code_of(result)
    if code == 0 and task.progress is None and not task.complete():
        return output.MISSING  # another worker of the central scheduler has the same fill
    return output.ABSENT if code == output.MISSING and task.is_done_but_for_absent else code


def code_of(result: LuigiRunResult) -> int:
    """The exit code of a run."""
    return _EXIT_CODES[result.status]


@contextmanager
def shown(console: Console) -> Iterator[Callable[[FillProgress], None]]:
    """Show a progress bar during the block, and yield the function that updates it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
                completed=progress.done + progress.by_others,
                current=str(progress.current or ""),
                rows=progress.rows,
                rate=progress.rate,
                trouble=f"{len(progress.failed)} failed" if progress.failed else "",
            )

        yield update


def _summary(task: FillBhavcopy) -> list[str]:
    if task.progress is None:
        if task.complete():
            return [task.why_complete()]
        return [
            "The fill did not run: the log says why. If the central scheduler has given the same fill to another "
            "process, run this again when that has ended; on another host, set CHAMPION_HOST, so that each has its own."
        ]
    # Luigi's log leaves out what is reported here; it has the failed days.
    trouble = task.error if not isinstance(task.error, FillFailed) else None
    if trouble and not task.progress.due:
        return [f"The fill did not begin: {type(trouble).__name__}: {trouble}"]
    # `FillBhavcopy.outstanding` has the absent days.
    named = [f"closed {day}: {reason}" for day, reason in sorted(task.progress.closed.items())]
    lines = [*output.some(named, " closed: champion status --json names each"), *task.outstanding()]
    if trouble:
        lines.append(f"The fill ended before its end: {type(trouble).__name__}: {trouble}")
    if task.progress.due:
        return [*lines, task.progress.sentence()]
    return lines or ["Nothing is due."]
