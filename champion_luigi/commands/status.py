"""What `champion status` does: what is there and what is not, in a few lines or as JSON."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from champion_luigi.upkeep.coverage import Coverage

_DAY = click.DateTime(["%Y-%m-%d"])
# As for a fill: days are missing, days have failed.
_MISSING = 20
_FAILED = 30
_MOST_NAMED = 10


@click.command(name="status")
@click.option("--start", type=_DAY, help="First date. Default: the first day in the lake.")
@click.option("--end", type=_DAY, help="Last date. Default: the latest session that should be published by now.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON document.")
@click.pass_context
def command(context: click.Context, start: datetime | None, end: datetime | None, as_json: bool) -> None:
    """Show which sessions are loaded, in the lake only, failed, missing or closed.

    Exits 0 when all that is due is loaded, 30 when a day has failed, 20 when days are missing for another reason.
    """
    from champion_luigi.upkeep import coverage

    found = coverage.of_range(start.date() if start else None, end.date() if end else None)
    document = as_document(found)
    click.echo(json.dumps(document, indent=1, default=str, ensure_ascii=False) if as_json else _in_words(document))
    if document["failed"]:
        context.exit(_FAILED)
    if document["missing"] or document["lake_only"]:
        context.exit(_MISSING)


def as_document(found: Coverage) -> dict[str, Any]:
    """The state as a JSON document: dates are ISO texts, counts are days or, where they say so, rows."""
    from champion_luigi.config import settings, wiring
    from champion_luigi.upkeep import coverage

    failed, lake_only = found.of("failed"), found.of("lake")
    latest = found.latest_loaded
    return {
        "start": found.first,
        "end": found.last,
        "due": found.due,
        "loaded": found.count("loaded"),
        "lake_only": [_named(day.date, day.reason) for day in lake_only],
        "failed": [_named(day.date, day.reason) for day in failed],
        "missing": [day.date for day in found.of("missing")],
        "closed": [_named(day.date, day.reason) for day in found.of("closed")],
        "rows": found.rows,
        "latest_due": found.latest_due,
        "latest_loaded": latest,
        "sessions_late": found.sessions_late,
        "unsent_records": coverage.unsent_records(),
        "warehouse": wiring.warehouse_place().words,
        "lake": str(settings.lake_dir()),
        "archive": wiring.archive_name(),
        "tracking": settings.without_secrets(settings.tracking_uri()) if settings.tracking_is_on() else "off",
    }


def _named(day: date, reason: str) -> dict[str, Any]:
    return {"date": day, "reason": reason}


def _in_words(document: dict[str, Any]) -> str:
    counts = {name: len(document[name]) for name in ("lake_only", "failed", "missing", "closed")}
    latest = document["latest_loaded"] or "none"
    late = document["sessions_late"]
    lines = [
        f"{document['start']} to {document['end']}: {document['loaded']} of {document['due']} sessions loaded, "
        f"{document['rows']:,} rows",
        f"lake only {counts['lake_only']}, failed {counts['failed']}, missing {counts['missing']}, "
        f"closed {counts['closed']}",
        f"latest loaded  {latest}" + (f", {late} behind {document['latest_due']}" if late else ", up to date"),
        f"unsent records {document['unsent_records']} (tracking: {document['tracking']})",
        f"warehouse      {document['warehouse']}",
        f"lake           {document['lake']}",
        f"archive        {document['archive']}",
    ]
    for name, words in (("failed", "failed"), ("lake_only", "lake only"), ("missing", "missing")):
        entries = document[name]
        lines += ["", *(_entry(words, entry) for entry in entries[:_MOST_NAMED])] if entries else []
        if len(entries) > _MOST_NAMED:
            lines.append(f"and {len(entries) - _MOST_NAMED} more {words}: --json names each")
    if document["failed"] or document["missing"] or document["lake_only"]:
        lines += ["", f"To complete them: champion fill --start {document['start']}"]
    return "\n".join(lines)


def _entry(words: str, entry: Any) -> str:
    if isinstance(entry, dict):
        return f"{words} {entry['date']}" + (f": {entry['reason']}" if entry["reason"] else "")
    return f"{words} {entry}"
