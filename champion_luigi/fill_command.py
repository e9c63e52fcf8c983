"""What `champion fill` does: one `FillBhavcopy`, with a progress bar on a terminal and plain log lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import luigi
from luigi.execution_summary import LuigiStatusCode
from luigi.task_register import Register

from champion_luigi.errors import SettingsError
from champion_luigi.fill import FillBhavcopy

# The exit codes of Luigi's [retcode], by what its summary says.
_EXIT_CODES = {
    LuigiStatusCode.SUCCESS: 0,
    LuigiStatusCode.SUCCESS_WITH_RETRY: 0,
    LuigiStatusCode.FAILED: 30,
    LuigiStatusCode.FAILED_AND_SCHEDULING_FAILED: 35,
    LuigiStatusCode.SCHEDULING_FAILED: 35,
    LuigiStatusCode.NOT_RUN: 25,
    LuigiStatusCode.MISSING_EXT: 20,
}
# Days that the summary names of each kind.
_MOST_NAMED = 10


def run(last_task: str, scheduler: dict[str, Any], **parameters: Any) -> int:
    """Fill, and give the exit code."""
    of = _task_class(last_task)
    task = FillBhavcopy(**{"of": of, **parameters})
    task.complete()  # raises what is wrong with the settings, which Luigi would log with a traceback
    on_terminal = sys.stderr.isatty()
    with contextlib.ExitStack() as stack:
        if on_terminal:
            from rich.console import Console

            from champion_luigi import bar

            task.on_progress = stack.enter_context(bar.shown(Console(stderr=True)))
        result = luigi.build(
            [task], workers=1, detailed_summary=True, log_level="WARNING" if on_terminal else "INFO", **scheduler
        )
    print(_in_words(task), file=sys.stderr)
    for outstanding in task.outstanding():
        print(outstanding, file=sys.stderr)
    return _EXIT_CODES[result.status]


def _task_class(name: str) -> type[luigi.Task]:
    try:
        found: type[luigi.Task] = Register.get_task_cls(name)
    except luigi.task_register.TaskClassException as error:
        raise SettingsError(
            "--of names no task", expected="LoadClickHouse or WriteParquet", found=repr(name)
        ) from error
    return found


def _in_words(task: FillBhavcopy) -> str:
    if task.progress is None:
        return "Nothing is missing." if task.complete() else "The fill did not run: the log says why."
    lines = [task.progress.sentence()]
    for words, reasons in (("failed", task.progress.failed), ("closed", task.progress.closed)):
        named = sorted(reasons.items())[:_MOST_NAMED]
        lines += [f"{words} {day}: {reason}" for day, reason in named]
        if len(reasons) > len(named):
            lines.append(f"and {len(reasons) - len(named)} more {words}: the log names each")
    return "\n".join(lines)
