"""What `champion fill` does: one `FillBhavcopy`, with a progress bar on a terminal and plain log lines elsewhere.

Or, with ``--dry-run``, none: which days would run, and why, from listings, markers and the journal.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import textwrap
from datetime import date, datetime, timedelta
from typing import Any

import luigi
from luigi.execution_summary import LuigiStatusCode
from luigi.rpc import RPCError
from luigi.task_register import Register

from champion_luigi.base.errors import ChampionError, SettingsError
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.fill import FillBhavcopy
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.storage import due, lake
from champion_luigi.upkeep import coverage

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
# As Luigi's missing_data.
_DUE = 20
# Days that the summary names of each kind.
_MOST_NAMED = 10
_WIDTH = 80


class FillDays(FillBhavcopy):
    """A fill of the days that it is ``given``, whatever the calendar and the clock say of them."""

    given: frozenset[date] = frozenset()

    def moving_stop(self, now: datetime) -> datetime:  # noqa: ARG002 - Luigi's signature
        """The day after the last one."""
        return datetime.combine(max(self.given) + timedelta(days=1), datetime.min.time())

    def finite_datetimes(self, finite_start: datetime, finite_stop: datetime) -> list[datetime]:  # noqa: ARG002
        """The days that are given."""
        return [datetime.combine(day, datetime.min.time()) for day in sorted(self.given)]


def run(last_task: str, scheduler: dict[str, Any], **parameters: Any) -> int:
    """Fill, and give the exit code."""
    return execute(FillBhavcopy(**{"of": _task_class(last_task), **parameters}), scheduler)


def execute(task: FillBhavcopy, scheduler: dict[str, Any]) -> int:
    """Run a fill, say on standard error what it came to, and give the exit code."""
    task.complete()  # raises what is wrong with the settings, which Luigi would log with a traceback
    on_terminal = sys.stderr.isatty()
    with contextlib.ExitStack() as stack:
        if on_terminal:
            from rich.console import Console

            from champion_luigi.commands import bar

            task.on_progress = stack.enter_context(bar.shown(Console(stderr=True)))
        try:
            result = luigi.build(
                [task], workers=1, detailed_summary=True, log_level="WARNING" if on_terminal else "INFO", **scheduler
            )
        except RPCError:
            # Luigi has logged each attempt.
            raise ChampionError(
                "the central scheduler does not answer",
                source=f"{scheduler.get('scheduler_host')}:{scheduler.get('scheduler_port')}",
                todo="Start luigid, or leave out --scheduler-host, and run the same fill again: what is done is kept.",
            ) from None
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


def dry_run(last_task: str, *, as_json: bool, **parameters: Any) -> int:
    """Print which days a fill would run, and why, changing nothing and asking no archive; 20 where there are any."""
    task = FillBhavcopy(**{"of": _task_class(last_task), **parameters})
    start, stop = task._bounds()
    missing = [each.date() for each in task.missing_datetimes(task.finite_datetimes(start, stop))]
    ordered = sorted(missing, reverse=task.reverse)
    days = ordered[: task.task_limit]
    reasons = _reasons(task.of, days)
    document = {
        "start": start.date(),
        "end": (stop - timedelta(days=1)).date(),
        "of": task.of.__name__,
        "due": [{"date": day, "reason": reasons[day]} for day in days],
        "left": len(ordered) - len(days),
    }
    print(json.dumps(document, indent=1, default=str, ensure_ascii=False) if as_json else _plan_in_words(document))
    return _DUE if ordered else 0


def _reasons(of: type[luigi.Task], days: list[date]) -> dict[date, str]:
    """Why each of these days is not complete."""
    if not days:
        return {}
    first, stop = min(days), max(days) + timedelta(days=1)
    in_lake = {day for day, _ in lake.days(settings.lake_dir(), EQUITY, first, stop)}
    again = due.first_stages(wiring.due_folder(), first, stop)
    closed = {day for day, answer in wiring.archive_answers().items() if answer.verdict == "closed"}
    problems = coverage.latest_problems()

    def reason(day: date) -> str:
        if day in again:
            return f"asked for again, from {due.STAGES[again[day]]}"
        failed = f"failed before: {problems[day]}" if day in problems else ""
        if of is LoadClickHouse and day in in_lake:
            return "; ".join(filter(None, [f"in the lake, {_why_not_loaded(day)}", failed]))
        if day in closed:
            return "closed before, and asked for again (--recheck-closed)"
        return failed or "missing"

    return {day: reason(day) for day in days}


def _why_not_loaded(day: date) -> str:
    marker = LoadClickHouse(date=day).output()
    document = marker.load()
    if document is None:
        others = marker.file.parents[2].glob(f"*/*/{marker.file.name}")
        return "and loaded into another warehouse only" if any(others) else "not loaded"
    if document.get("warehouse") != marker.warehouse:
        return "and its marker is of another warehouse"
    return "and changed since it was loaded"


def _plan_in_words(document: dict[str, Any]) -> str:
    entries = document["due"]
    where = f"{document['of']}, {document['start']} to {document['end']}"
    if not entries:
        return f"Nothing is missing ({where})."
    lines = [f"{len(entries)} days would run ({where}):"]
    for reason, group in itertools.groupby(entries, key=lambda entry: entry["reason"]):
        lines.append(textwrap.shorten(f"{_span([entry['date'] for entry in group])}: {reason}", _WIDTH))
    if document["left"]:
        lines.append(f"{document['left']} more would be left (--task-limit)")
    return "\n".join(lines)


def _span(days: list[date]) -> str:
    return str(days[0]) if len(days) == 1 else f"{days[0]} to {days[-1]}, {len(days)} days"
