"""`champion status`: the state of each session, in a few lines or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import click

from champion_luigi.commands import output
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import sessions

# Days in a row are one span.
_MOST_SPANS = 40


@click.command(name="status")
@output.of_datasets()
@click.option("--start", type=output.DAY, help="First date. Default: CHAMPION_FIRST_DATE, or the first day fetched.")
@click.option("--end", type=output.DAY, help="Last date. Default: the latest session that should be published by now.")
@click.option("--json", "as_json", is_flag=True, help="Print the status as one JSON document.")
@click.pass_context
def command(
    context: click.Context,
    datasets: Sequence[Dataset],
    start: datetime | None,
    end: datetime | None,
    as_json: bool,
) -> None:
    """Show which sessions are loaded, in the lake only, failed, missing, absent or closed.

    Exits 0 when all due sessions are loaded, 30 when a day has failed, 20 when days are missing, and 15 when the only
    missing days are absent ones, for which no source of the archive has a file. Of several data sets, the highest code
    counts.
    """
    from champion_luigi.upkeep import coverage

    documents: list[dict[str, Any]] = []

    def show(dataset: Dataset) -> tuple[object, int]:
        document = coverage.as_document(coverage.of_range(dataset, *output.dates(start, end)))
        documents.append(document)
        if not as_json:
            click.echo(_in_words(document, is_alone=len(datasets) == 1))
        return document, _code(document)

    code = output.for_each(datasets, show, in_json=as_json)
    if len(datasets) > 1 and documents and not as_json:
        click.echo("\n".join(["", "all:", *_shared(documents[0])]))
    context.exit(code)


def _code(document: dict[str, Any]) -> int:
    if document["failed"]:
        return output.FAILED
    if document["missing"] or document["lake_only"]:
        return output.MISSING
    return output.ABSENT if any(not each["lost"] for each in document["absent"]) else 0


def _adjustments_in_words(found: dict[str, Any]) -> str:
    if found["made_at"] is None:
        return "not made yet: champion adjust"
    words = f"{found['events']:,} events, prices to {found['prices_through']}"
    if found["due"]:
        return f"{words}, due: champion adjust"
    return words if found["loaded"] else f"{words}, not loaded: champion adjust"


def _tracking_in_words(document: dict[str, Any]) -> str:
    from champion_luigi.base import extras
    from champion_luigi.config import settings

    if settings.tracking_is_on() and extras.lacking(settings.mlflow_extra()):
        return "in the journal: MLflow is not installed"
    return f"tracking: {document['tracking']}"


def _shared(document: dict[str, Any]) -> list[str]:
    """The lines that are the same for every data set."""
    return [
        f"unsent records {document['unsent_records']} ({_tracking_in_words(document)})",
        f"warehouse      {document['warehouse']}",
        f"lake           {document['lake']}",
        f"archive        {document['archive']}",
    ]


def _in_words(document: dict[str, Any], *, is_alone: bool) -> str:
    states = ("lake_only", "failed", "absent", "missing", "closed")
    counts = (f"{name.replace('_', ' ')} {len(document[name])}" for name in states)
    latest = document["latest_loaded"] or "none"
    late = document["sessions_late"]
    lines = [
        *([f"data set       {document['dataset']}"] if "dataset" in document and is_alone else []),
        f"{document['start']} to {document['end']}: {document['loaded']} of {document['due']} sessions loaded, "
        f"{document['rows']:,} rows",
        ", ".join(counts),
        f"latest loaded  {latest}" + (f", {late} behind {document['latest_due']}" if late else ", up to date"),
        *([f"adjustments    {_adjustments_in_words(found)}"] if (found := document["adjustments"]) else []),
        *(_shared(document) if is_alone else []),
    ]
    for name in ("failed", "lake_only", "absent", "missing"):
        words = name.replace("_", " ")
        days_of: dict[str, list[date]] = {}
        for entry in document[name]:
            day, reason = (entry["date"], entry["reason"]) if isinstance(entry, dict) else (entry, "")
            days_of.setdefault(reason, []).append(day)
        named = [
            f"{words} {sessions.in_words(days, _MOST_SPANS)}" + (reason and f": {reason}")
            for reason, days in days_of.items()
        ]
        if named:
            shown = output.some(named, f" reasons of {words} days: --json names each")
            lines += ["", *(line for each in shown for line in output.wrapped(each, "    "))]
    if document["failed"] or document["missing"] or document["lake_only"]:
        of = f" --dataset {document['dataset']}" if "dataset" in document else ""
        lines += ["", f"To complete them: champion fill{of} --start {document['start']}"]
    if document["absent"]:
        of = f" --dataset {document['dataset']}" if "dataset" in document else ""
        lines += ["", f"To request absent days now: champion fill{of} --start {document['start']} --recheck-absent"]
    return "\n".join(lines)
