"""What `champion verify` does: says what does not agree, and with --repair has exactly that made again."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from champion_luigi.pipeline.day_task import DayTask
    from champion_luigi.upkeep.verify import Difference, Verdict, Where

_DAY = click.DateTime(["%Y-%m-%d"])
# As for a fill: days are not as they should be.
_FAILED = 30


@click.command(name="verify")
@click.option("--start", type=_DAY, help="First date. Default: the first that there is.")
@click.option("--end", type=_DAY, help="Last date. Default: the last that there is.")
@click.option("--repair", "repairs", is_flag=True, help="Make again what does not agree, and verify it again.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON document.")
@click.pass_context
def command(context: click.Context, start: datetime | None, end: datetime | None, repairs: bool, as_json: bool) -> None:
    """Compare raw payloads, lake and warehouse, date by date.

    Each payload with its receipt, each lake file with receipt, load marker and itself, each date of the warehouse with
    the lake: rows, distinct keys, sums of volume, turnover and close. Nothing is changed without --repair, and nothing
    is ever deleted from the warehouse.

    Exits 0 when all agrees, 30 when there are differences; with --repair, when some are left.
    """
    from champion_luigi.config import wiring
    from champion_luigi.upkeep import verify
    from champion_luigi.warehouse import opened

    if start and end and start > end:
        raise click.UsageError(f"--start {start:%Y-%m-%d} is after --end {end:%Y-%m-%d}")
    try:
        verdict = verify.of_range(start.date() if start else None, end.date() if end else None)
        document = _as_document(verdict, wiring.warehouse_place().words)
        left = verdict.differences
        if not as_json:
            click.echo(_in_words(document, verdict.differences))
        if repairs and verdict.differences:
            left, reasons = repair(verdict.differences)
            document["left"] = [vars(each) for each in left]
            document["reasons"] = {str(day): reason for day, reason in reasons.items()}
            if not as_json:
                click.echo(_outcome_in_words(verdict.differences, left, reasons))
    finally:
        opened.close_shared()
    if as_json:
        click.echo(json.dumps(document, indent=1, default=str, ensure_ascii=False))
    context.exit(_FAILED if left else 0)


def repair(differences: Sequence[Difference]) -> tuple[list[Difference], dict[date, str]]:
    """Make due again what does not agree, and run it: raw, then what still differs in the lake, then in the warehouse.

    Gives what is left, and by date why. The outputs that are there stay until a new one replaces each.
    """
    from champion_luigi.upkeep import redo, verify

    days = {each.date for each in differences}
    reasons: dict[date, str] = {}
    left = list(differences)
    stages: tuple[Where, ...] = ("raw", "lake", "warehouse")
    for where in stages:
        affected = sorted({each.date for each in left if each.where == where and not each.is_for_people})
        runs: dict[type[DayTask], list[date]] = {}
        for day in affected:
            first, last = _stages(day, where)
            redo.make_due(day, first, last)
            runs.setdefault(last, []).append(day)
        for last, of_days in runs.items():
            reasons |= _run(last, of_days)
        if affected:
            left = verify.of_days(days)
    still = {each.date for each in left}
    return left, {day: reason for day, reason in sorted(reasons.items()) if day in still}


def _stages(day: date, where: Where) -> tuple[type[DayTask], type[DayTask]]:
    """The first and the last stage that a day needs again."""
    from champion_luigi.pipeline.tasks import (
        LoadClickHouse,
        NormalizeBhavcopy,
        ParseBhavcopy,
        ScrapeBhavcopy,
        WriteParquet,
    )
    from champion_luigi.upkeep.refresh import is_loaded

    if where == "raw":
        # What follows it may be as it should be: the comparison after it tells.
        return ScrapeBhavcopy, ScrapeBhavcopy
    if where == "warehouse":
        return LoadClickHouse, LoadClickHouse
    last = LoadClickHouse if is_loaded(day) else WriteParquet
    source = (ScrapeBhavcopy(date=day).output().load() or {}).get("sha256")
    # From the last table that is whole and made from the payload that is here.
    for before, stage in ((NormalizeBhavcopy, WriteParquet), (ParseBhavcopy, NormalizeBhavcopy)):
        if _source_of(before(date=day)) == source and source is not None:
            return stage, last
    return ParseBhavcopy, last


def _source_of(task: DayTask) -> str | None:
    """The sha256 of the payload that a task's table was made from; None where the table is absent or damaged."""
    from champion_luigi.base.errors import DamagedFile, StorageError
    from champion_luigi.storage import tables

    try:
        return tables.read_table(task.output().file)[1].get("source_sha256")
    except (DamagedFile, StorageError):
        return None


def _run(last: type[DayTask], days: list[date]) -> dict[date, str]:
    """Complete the days up to a stage; why it did not come to it, by date."""
    import luigi

    from champion_luigi.config import settings
    from champion_luigi.pipeline import process
    from champion_luigi.pipeline.chunks import Progress, fill_days
    from champion_luigi.pipeline.day_task import DayTask

    reasons: dict[date, str] = {}

    def note(task: DayTask, error: BaseException) -> None:
        reasons.setdefault(task.date, str(error).removeprefix(f"{task.date}: "))

    click.echo(f"repairing {days[0]}" + (f" and {len(days) - 1} more" if days[1:] else ""), err=True)
    process.prepare()
    progress = Progress(due=len(days))
    workers = min(len(days), settings.get("fill_workers"))
    # A file that could not be fetched again is no failure of a fill, as the kept one stays.
    DayTask.event_handler(luigi.Event.FAILURE)(note)
    try:
        fill_days(last, days, progress, workers=workers, local_scheduler=True, log_level="WARNING")
    finally:
        DayTask.remove_event_handler(luigi.Event.FAILURE, note)
    if progress.stopped_because:
        reasons |= dict.fromkeys(set(days) - reasons.keys(), progress.stopped_because)
    return reasons


def _as_document(verdict: Verdict, warehouse: str) -> dict[str, Any]:
    """What was compared and what differs: dates are ISO texts, counts are days."""
    return {
        "first": min(verdict.days, default=None),
        "last": max(verdict.days, default=None),
        "days": len(verdict.days),
        "raw": verdict.raw,
        "lake": verdict.lake,
        "warehouse": verdict.warehouse,
        "warehouse_is": warehouse,
        "differences": [vars(each) for each in verdict.differences],
    }


def _in_words(document: dict[str, Any], differences: Sequence[Difference]) -> str:
    if not document["days"]:
        return "There is nothing to verify."
    in_warehouse = "none" if document["warehouse"] is None else f"{document['warehouse']:,}"
    lines = [
        f"{document['first']} to {document['last']}: days in raw {document['raw']:,}, lake {document['lake']:,}, "
        f"warehouse {in_warehouse}"
    ]
    if document["warehouse"] is None:
        lines.append("No warehouse is there: the lake alone is verified.")
    for each in differences:
        lines += [
            f"{each.date} {each.where}: {each.what}",
            f"    expected {each.expected}",
            f"    found    {each.found}",
        ]
    days = {each.date for each in differences}
    lines.append(f"{_number(differences, 'difference')} on {_number(days, 'day')}" if differences else "All agrees.")
    return "\n".join(lines)


def _outcome_in_words(before: Sequence[Difference], left: Sequence[Difference], reasons: dict[date, str]) -> str:
    days = {each.date for each in before}
    still = {each.date for each in left}
    lines = [f"{len(days - still)} of {_number(days, 'day')} repaired"]
    lines += [f"left {each.date} {each.where}: {each.what}" for each in left]
    lines += [f"{day}: {reason}" for day, reason in reasons.items()]
    return "\n".join(lines)


def _number(things: Collection[object], what: str) -> str:
    return f"{len(things)} {what}" + ("s" if len(things) != 1 else "")
