"""`champion redo`: run a stage of some days, and the stages after it, again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from champion_luigi.base.stages import STAGES
from champion_luigi.commands import adjust, output

if TYPE_CHECKING:
    from champion_luigi.datasets.model import Dataset
    from champion_luigi.upkeep.again import Stage
    from champion_luigi.upkeep.redo import Plan


@click.command(name="redo")
@output.of_datasets()
@click.option("--date", "day", type=output.DAY, help="A single day, instead of --start.")
@click.option("--start", type=output.DAY, help="First date.")
@click.option(
    "--end", type=output.DAY, help="Last date, included. Default: the latest session that should be published by now."
)
@click.option(
    "--from", "first", type=click.Choice(STAGES), required=True, help="The first stage to run; later stages follow."
)
@click.option(
    "--to",
    "last",
    type=click.Choice(STAGES[-2:]),
    default="load",
    show_default=True,
    help="The last stage to run: write stops at the lake, and makes a changed file due for loading.",
)
@click.option("--workers", type=output.WORKERS, help="Number of tasks at a time. Default: CHAMPION_FILL_WORKERS.")
@click.option("--dry-run", is_flag=True, help="Only list, for each day, the outputs to replace and the stages to run.")
@click.option("--json", "as_json", is_flag=True, help="Print each day and its outcome as one JSON document.")
@click.pass_context
def command(  # noqa: PLR0917 - click calls it by name
    context: click.Context,
    datasets: Sequence[Dataset],
    day: datetime | None,
    start: datetime | None,
    end: datetime | None,
    first: str,
    last: str,
    workers: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run a stage of some days again, and all stages after it.

    Each output stays in place until its replacement is complete, so readers always see the day. The request is noted
    under DATA_DIR/due until it is done: if a redo is killed, the next `champion fill` completes it. A session without
    any output is simply run; one that is absent, because the archive had no file, only from scrape.

    From scrape, the file is fetched again. The archive's current file replaces the stored one, which moves to
    raw/YYYY/restated/; `champion refresh` is the careful way. If the archive no longer has the file, the stored one
    stays.

    Exits as `champion fill`: 0 when all days are done, 20 when something is left, 30 when a day failed.
    """
    from champion_luigi.config import settings
    from champion_luigi.upkeep import redo

    if redo.STAGES[first].stage > redo.STAGES[last].stage:
        raise click.UsageError(f"--from {first} comes after --to {last}")
    stages = redo.STAGES[first], redo.STAGES[last]

    def redone(dataset: Dataset) -> tuple[object, int]:
        plans = redo.plans(dataset, _days(dataset, day, start, end), *stages)
        if not as_json:
            click.echo(_in_words(plans, first, last, dry_run=dry_run), err=not dry_run)
        outcomes: dict[date, str] = {}
        code = 0
        if not dry_run:
            outcomes, code = _run(dataset, {plan.day: stages for plan in plans if not plan.nothing})
        entries = [
            {
                "date": plan.day,
                "replaces": plan.replaces,
                "runs": [{"stage": stage, "why": why} for stage, why in plan.runs],
                **({"nothing": plan.nothing} if plan.nothing else {}),
                **({"outcome": outcomes[plan.day]} if plan.day in outcomes else {}),
            }
            for plan in plans
        ]
        return {"from": first, "to": last, "days": entries}, code

    heading = click.echo if dry_run else output.say
    with settings.overridden({"fill_workers": workers}):
        code = output.for_each(datasets, redone, in_json=as_json, heading=heading)
        if not dry_run:
            code = max(code, adjust.after(datasets, lake_only=last == "write" or None))
    context.exit(code)


def _days(dataset: Dataset, day: datetime | None, start: datetime | None, end: datetime | None) -> list[date]:
    from champion_luigi.config import wiring

    if (day is None) == (start is None) or (day and end):
        raise click.UsageError("give --date, or --start with or without --end")
    first, last = output.dates(day or start, day or end)
    last = last or wiring.expectation(dataset).latest
    assert first is not None
    if first > last:
        raise click.UsageError(f"--start {first} is after {last}")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _run(dataset: Dataset, requests: Mapping[date, tuple[Stage, Stage]]) -> tuple[dict[date, str], int]:
    """Make the days due and run them; the outcome of each, and the exit code."""
    from champion_luigi.commands import bar
    from champion_luigi.pipeline import complete
    from champion_luigi.pipeline.fill import FillDays
    from champion_luigi.upkeep import again

    codes = [0]

    def fill(dataset: Dataset, of: Stage, days: Sequence[date]) -> dict[date, str]:
        task = FillDays.of_days(dataset, of, days)
        codes.append(bar.execute(task, {"local_scheduler": True}))
        progress = task.progress
        reasons = {**progress.failed, **progress.absent, **progress.closed, **progress.unpublished} if progress else {}
        there = complete.made_days(of, dataset, days)
        return {day: reasons.get(day, "left") for day in days if day not in there}

    reasons = again.again(dataset, requests, fill, output.say)
    return {day: reasons.get(day, "done") for day in requests}, max(codes)


def _in_words(plans: Sequence[Plan], first: str, last: str, *, dry_run: bool) -> str:
    from champion_luigi.base.places import is_below
    from champion_luigi.config import settings

    named = [plan for plan in plans if not plan.nothing]
    again = sum(1 for plan in named if plan.replaces)
    counts = {"again": again, "for the first time": len(named) - again}
    days = ", ".join(f"{output.number(count, 'day')} {how}" for how, count in counts.items() if count)
    lines = [f"From {first} to {last}: {days or 'no day'}"]
    if dry_run:
        for plan in named:
            lines += ["", str(plan.day)]
            for path in plan.replaces:
                # Without the lake's folders.
                name = f"lake/.../{path.name}" if is_below(path, settings.lake_dir()) else output.short(path)
                lines.append(f"  replaces  {name}")
            lines += [f"  runs      {stage}: {why}" for stage, why in plan.runs]
    if len(plans) == 1:
        lines += [f"Nothing to do: {plan.day} is {plan.nothing}" for plan in plans if plan.nothing]
    return "\n".join(lines)
