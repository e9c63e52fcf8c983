"""`champion fill`: complete the missing sessions of a range, or list them with reasons (``--dry-run``)."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import click

from champion_luigi.commands import output

if TYPE_CHECKING:
    from champion_luigi.datasets.model import Dataset
    from champion_luigi.pipeline.fill import FillBhavcopy


@click.command(name="fill")
@output.of_datasets()
@click.option("--start", type=output.DAY, help="First date. Default: CHAMPION_FIRST_DATE, or 100 days ago.")
@click.option(
    "--end", type=output.DAY, help="Last date, included. Default: the latest session that should be published by now."
)
@click.option("--stop", type=output.DAY, help="The date after the last one, in place of --end.")
@click.option("--date", "day", type=output.DAY, help="A single day, in place of --start and --end.")
@click.option("--days-back", type=click.IntRange(min=0), help="How many days to look back, in place of --start.")
@click.option(
    "--of",
    "last_task",
    default="LoadClickHouse",
    show_default=True,
    metavar="TASK",
    shell_complete=lambda _context, _option, typed: [each for each in output.LAST_TASKS if each.startswith(typed)],
    help="Last task of each day: WriteParquet fills the lake only.",
)
@click.option("--workers", type=output.WORKERS, help="Number of tasks at a time. Default: CHAMPION_FILL_WORKERS.")
@click.option("--reverse", is_flag=True, help="Newest day first.")
@click.option(
    "--task-limit", type=click.IntRange(min=0), help="Maximum number of days in this run; the rest is reported as left."
)
@click.option("--recheck-closed", is_flag=True, help="Request again the weekdays that are closed for lack of a file.")
@click.option("--recheck-absent", is_flag=True, help="Request all absent sessions again now, not only those due.")
@click.option("--scheduler-host", help="Host of a central scheduler (luigid). Default: a local scheduler.")
@click.option("--scheduler-port", default=8082, show_default=True, help="Port of the central scheduler.")
@click.option("--dry-run", is_flag=True, help="Only list the days to run, with reasons. Exits 20 if there are any.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON document with every day.")
def command(  # noqa: PLR0917 - click calls it by name
    datasets: Sequence[Dataset],
    start: datetime | None,
    end: datetime | None,
    stop: datetime | None,
    day: datetime | None,
    last_task: str,
    workers: int | None,
    task_limit: int | None,
    scheduler_host: str | None,
    scheduler_port: int,
    dry_run: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Complete every missing session of a range, oldest first.

    Several data sets are filled one after the other, each with a summary. A file that they share is requested once.
    --task-limit applies to each. The exit code is the highest of theirs.

    A loaded day's outputs in parsed/ and normalized/ are removed, unless CHAMPION_KEEP_INTERMEDIATES is true.

    Exits 0 when all days are complete, 15 when all are but absent ones, for which no source of the archive has a file,
    20 when a day is not published yet or days are left, 30 when a day failed.
    """
    from luigi.task_register import Register, TaskClassException

    from champion_luigi.base.errors import SettingsError
    from champion_luigi.commands import adjust, bar
    from champion_luigi.config import settings
    from champion_luigi.exchange import sessions
    from champion_luigi.pipeline.fill import FillBhavcopy
    from champion_luigi.warehouse import opened

    if as_json and not dry_run:
        raise click.UsageError("--json needs --dry-run")
    if start is None and day is None and (days_back := parameters.pop("days_back")) is not None:
        # Whatever the first date of the data is.
        start = datetime.combine(datetime.now(sessions.INDIA), time()) - timedelta(days=days_back)
    parameters |= _range(start, end, stop, day)
    parameters = {name: value for name, value in parameters.items() if value is not None}
    if task_limit is not None:
        parameters["task_limit"] = task_limit
    scheduler: dict[str, Any] = {"local_scheduler": True}
    if scheduler_host:
        scheduler = {"scheduler_host": scheduler_host, "scheduler_port": scheduler_port}
    try:
        of = Register.get_task_cls(last_task)
    except TaskClassException as error:
        words = "LoadClickHouse or WriteParquet"
        raise SettingsError("--of names no task", expected=words, found=repr(last_task)) from error
    refused, has_begun = "", False

    def fill(dataset: Dataset) -> tuple[object, int]:
        nonlocal refused, has_begun
        task = FillBhavcopy(**{"of": of, "dataset": dataset.name, **parameters})
        if dry_run:
            document = _plan(task)
            if not as_json:
                click.echo(_in_words(document))
            return document, output.MISSING if document["due"] or document["left"] else 0
        if refused:
            # One that refuses is left alone, whatever is requested.
            output.say(f"The fill did not begin: {refused}")
            return None, output.MISSING
        code = bar.execute(task, scheduler)
        refused = task.progress.stopped_because if task.progress else ""
        has_begun = has_begun or task.error is None or bool(task.progress and task.progress.due)
        return None, code

    heading = click.echo if dry_run else output.say
    with settings.overridden({"fill_workers": workers}), opened.kept_open():
        code = output.for_each(datasets, fill, in_json=as_json, heading=heading)
        # What kept every fill from its first day would only be said once more.
        if has_begun and of.__name__ in ("LoadClickHouse", "WriteParquet"):
            code = max(code, adjust.after(datasets, lake_only=of.__name__ == "WriteParquet"))
    sys.exit(code)


def _range(
    start: datetime | None, end: datetime | None, stop: datetime | None, day: datetime | None
) -> dict[str, date | None]:
    if (day and (start or end or stop)) or (end and stop):
        raise click.UsageError("give --date, or --start with --end, or --start with --stop")
    first, last = output.dates(day or start, day or end)
    _, after = output.dates(start, stop, "--stop")
    return {"start": first, "end": last, "stop": after}


def _plan(task: FillBhavcopy) -> dict[str, Any]:
    """The days that a fill would run, with reasons. Changes nothing, and sends no request to the archive."""
    from champion_luigi.upkeep import coverage

    start, stop = task._bounds()
    found = task._found()
    days = found.in_order(task.task_limit, reverse=task.reverse)
    reasons = coverage.reasons(task.definition, task.of, days)
    return {
        "start": start.date(),
        "end": (stop - timedelta(days=1)).date(),
        "of": task.of.__name__,
        "due": [{"date": day, "reason": reasons[day]} for day in days],
        "left": len(found.due) - len(days),
        "absent": found.absent,
    }


def _in_words(document: dict[str, Any]) -> str:
    from champion_luigi.exchange import sessions

    entries = document["due"]
    where = f"{document['of']}, {document['start']} to {document['end']}"
    absent = document["absent"]
    notes = [f"{output.number(len(absent), 'session')} absent: {sessions.in_words(absent)}"] if absent else []
    if not entries:
        return "\n".join([f"Nothing is missing ({where}).", *notes])
    lines = [f"{len(entries)} days would run ({where}):"]
    for reason, group in itertools.groupby(entries, key=lambda entry: entry["reason"]):
        first, *others = [entry["date"] for entry in group]
        span = f"{first} to {others[-1]}, {1 + len(others)} days" if others else first
        lines.append(textwrap.shorten(f"{span}: {reason}", output.WIDTH))
    if document["left"]:
        lines.append(f"{document['left']} more would be left (--task-limit)")
    return "\n".join([*lines, *notes])
