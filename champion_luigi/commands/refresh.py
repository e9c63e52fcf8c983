"""`champion refresh`: request the last days again, and report the outcome of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from champion_luigi.commands import adjust, output
from champion_luigi.datasets.model import Dataset

if TYPE_CHECKING:
    from champion_luigi.upkeep.refresh import Outcome


@click.command(name="refresh")
@output.of_datasets()
@click.option(
    "--days",
    "most",
    type=click.IntRange(min=1),
    required=True,
    help="Number of days in the lake to refresh, of each data set.",
)
@click.option("--end", type=output.DAY, help="The last day to refresh. Default: the last day in the lake.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcomes as one JSON document.")
@click.pass_context
def command(
    context: click.Context, datasets: Sequence[Dataset], most: int, end: datetime | None, as_json: bool
) -> None:
    """Request stored days from the archive again, and replace those that have changed.

    A day that was published anew is replaced in lake and warehouse; its old file is stored under
    raw/YYYY/restated/. If the new file is invalid, or the archive no longer has one, the day stays unchanged.
    Adjustments of prices follow.

    Exits 0 when all days match the archive, 30 when a day failed or was not requested.
    """
    from champion_luigi.upkeep import refresh
    from champion_luigi.warehouse import opened

    def refreshed(dataset: Dataset) -> tuple[object, int]:
        days = refresh.days_there(dataset, most, end.date() if end else None)
        outcomes = []
        for outcome in refresh.refresh(dataset, days):
            outcomes.append(outcome)
            if not as_json:
                click.echo(_in_words(outcome))
        # Dates are ISO texts, ``rows_`` fields count rows, other counts are days.
        document = {
            "first": days[0] if days else None,
            "last": days[-1] if days else None,
            "days": len(days),
            "unchanged": sum(1 for each in outcomes if each.state == "unchanged"),
            "changed": [_changed(each) for each in outcomes if each.state == "changed"],
            "failed": [{"date": each.date, "reason": each.reason} for each in outcomes if each.state == "failed"],
            "not_asked": days[len(outcomes) :],
        }
        if not as_json:
            click.echo(_sum(document))
        return document, output.FAILED if document["failed"] or document["not_asked"] else 0

    try:
        code = output.for_each(datasets, refreshed, in_json=as_json)
        code = max(code, adjust.after(datasets))
    finally:
        opened.close_shared()
    context.exit(code)


def _changed(outcome: Outcome) -> dict[str, Any]:
    rows = vars(outcome.changes) if outcome.changes else {}
    counts = {f"rows_{name}": count for name, count in rows.items()}
    return {"date": outcome.date, "old_sha256": outcome.old_sha256, "new_sha256": outcome.new_sha256, **counts}


def _in_words(outcome: Outcome) -> str:
    words: str = outcome.state
    if outcome.state == "changed":
        found = outcome.changes
        words += f" (+{found.added} ~{found.changed} -{found.removed} rows)" if found else " (no old rows to compare)"
    if outcome.reason:
        words += f": {outcome.reason}"
    return "\n".join(output.wrapped(f"{outcome.date} {words}", "    "))


def _sum(document: dict[str, Any]) -> str:
    if not document["days"]:
        return "The lake has no days in this range."
    text = f"{document['unchanged']} unchanged, {len(document['changed'])} changed, {len(document['failed'])} failed"
    if left := len(document["not_asked"]):
        text += f", {left} not requested: run the same command again later"
    return text
