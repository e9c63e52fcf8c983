"""`champion verify`: report all differences, and with --repair make exactly those outputs again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from champion_luigi.commands import adjust, output, verify_adjustments
from champion_luigi.datasets.model import Dataset

if TYPE_CHECKING:
    from champion_luigi.upkeep.sources import Compared
    from champion_luigi.upkeep.verify import Difference


@click.command(name="verify")
@output.of_datasets()
@click.option("--start", type=output.DAY, help="First date. Default: the first date with data.")
@click.option("--end", type=output.DAY, help="Last date. Default: the last date with data.")
@click.option("--repair", "repairs", is_flag=True, help="Make differing outputs again, then verify them again.")
@click.option("--sources", "with_sources", is_flag=True, help="Compare with the archive's other files of each day too.")
@click.option("--adjustments", "of_adjustments", is_flag=True, help="Verify the adjusted prices instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.pass_context
def command(  # noqa: PLR0917 - click calls it by name
    context: click.Context,
    datasets: Sequence[Dataset],
    start: datetime | None,
    end: datetime | None,
    repairs: bool,
    with_sources: bool,
    of_adjustments: bool,
    as_json: bool,
) -> None:
    """Compare fetched files, lake and warehouse, date by date.

    Each fetched file is compared with its receipt; each lake file with its receipt, the record of its load and its own
    metadata; each date of the warehouse with the lake, by rows, distinct keys and sums (for equity: volume, turnover
    and close). Nothing is changed without --repair, and nothing is ever deleted from the warehouse. The warehouse's
    adjustments of prices are compared with the record of their load. The kept lists of changed symbols are compared
    with their receipts; they cannot be made again. Each host of a cluster is compared separately; hosts that do not
    answer, are read-only or lag behind are named.

    With --sources, each day is also compared with the archive's other files of that day, which costs a request each:
    two sources have the same values of the same key.

    With --adjustments, none of that is done. Instead the lake's highs and lows, divided by our factors, are compared
    with the exchange's files of 52-week highs and lows, which costs a request for each session from --start to --end
    (default: the last five). The opening after each split, bonus and consolidation in the range (default: of all dates)
    is compared with the close before it. Jumps that no action explains are listed, and are no differences.

    Exits 0 when everything agrees, 30 when there are differences; with --repair, when some are left.
    """
    if of_adjustments:
        if repairs or with_sources or context.get_parameter_source("datasets") is not ParameterSource.DEFAULT:
            raise click.UsageError("--adjustments goes with --start, --end and --json alone")
        context.exit(verify_adjustments.run(*output.dates(start, end), as_json=as_json))

    from champion_luigi.config import wiring
    from champion_luigi.upkeep import sources, verify
    from champion_luigi.upkeep.repair import repair
    from champion_luigi.warehouse import opened

    first, last = output.dates(start, end)

    def compare(dataset: Dataset) -> tuple[object, int]:
        verdict = verify.of_range(dataset, first, last)
        # Dates are ISO texts, counts are days.
        document: dict[str, Any] = {
            "first": min(verdict.days, default=None),
            "last": max(verdict.days, default=None),
            "days": len(verdict.days),
            "raw": verdict.raw,
            "lake": verdict.lake,
            "warehouse": verdict.warehouse,
            "warehouse_is": wiring.warehouse_place().words,
            "differences": [vars(each) for each in verdict.differences],
            **({"troubles": verdict.troubles} if verdict.troubles else {}),
        }
        left = verdict.differences
        if not as_json:
            click.echo(_in_words(document, verdict.differences))
            for sentence in verdict.troubles:
                click.echo(f"Host {sentence}")
        if repairs and verdict.differences:
            left, reasons = repair(dataset, verdict.differences, output.say)
            document["left"] = [vars(each) for each in left]
            document["reasons"] = {str(day): reason for day, reason in reasons.items()}
            if not as_json:
                click.echo(_outcome_in_words(verdict.differences, left, reasons))
        is_good = not left and not verdict.troubles
        if with_sources:
            compared = list(sources.of_days(dataset, sorted(sources.in_lake(dataset, first, last))))
            document["sources"] = [vars(each) for each in compared]
            is_good &= not any(each.different or each.trouble for each in compared)
            if not as_json:
                click.echo(_sources_in_words(compared))
        return document, 0 if is_good else output.FAILED

    try:
        code = output.for_each(datasets, compare, in_json=as_json)
        if any(dataset.is_for_adjustments for dataset in datasets):
            code = max(code, _verify_adjustments(datasets, repairs=repairs), _verify_lists())
    finally:
        opened.close_shared()
    context.exit(code)


def _verify_adjustments(datasets: Sequence[Dataset], *, repairs: bool) -> int:
    """Compare the warehouse's adjustments with the record of their load; with --repair, make what is due."""
    from champion_luigi.pipeline import adjust_tasks

    if sentence := adjust_tasks.lost():
        output.say(sentence)
        if not repairs:
            return output.FAILED
        adjust_tasks.load_again()
        return adjust.after(datasets, lake_only=False)
    return adjust.after(datasets) if repairs else 0


def _verify_lists() -> int:
    """Name the kept lists of changed symbols that are not as fetched, and return the exit code."""
    from champion_luigi.upkeep import calls

    found = calls.changed_lists()
    for sentence in found:
        output.say(sentence)
    return output.FAILED if found else 0


def _in_words(document: dict[str, Any], differences: Sequence[Difference]) -> str:
    if not document["days"]:
        return "There is nothing to verify."
    in_warehouse = "none" if document["warehouse"] is None else f"{document['warehouse']:,}"
    lines = [
        f"{document['first']} to {document['last']}: days in raw {document['raw']:,}, lake {document['lake']:,}, "
        f"warehouse {in_warehouse}"
    ]
    if document["warehouse"] is None:
        lines.append("There is no warehouse: only fetched files and lake are verified.")
    for each in differences:
        lines += [
            f"{each.date} {each.where}: {each.what}",
            f"    expected {each.expected}",
            f"    found    {each.found}",
        ]
    days = {each.date for each in differences}
    on_days = f"{output.number(len(differences), 'difference')} on {output.number(len(days), 'day')}"
    lines.append(on_days if differences else "Everything agrees.")
    return "\n".join(lines)


def _sources_in_words(compared: Sequence[Compared]) -> str:
    if not compared:
        return "The archive has no other file of these days."
    lines = []
    for name in dict.fromkeys(each.source for each in compared):
        of = [each for each in compared if each.source == name]
        rows = sum(each.common for each in of)
        wrong = [each for each in of if each.different or each.trouble]
        agree = "all values agree" if not wrong else f"{output.number(len(wrong), 'day')} with differences"
        lines.append(f"{name}: {output.number(len(of), 'day')}, {rows:,} common rows, {agree}")
        for each in wrong:
            counts = ", ".join(f"{column} {count}" for column, count in each.different.items())
            lines.append(f"{each.date} {name}: {each.trouble or counts + ' (' + '; '.join(each.examples) + ')'}")
    return "\n".join(lines)


def _outcome_in_words(before: Sequence[Difference], left: Sequence[Difference], reasons: dict[date, str]) -> str:
    days = {each.date for each in before}
    still = {each.date for each in left}
    lines = [f"{len(days - still)} of {output.number(len(days), 'day')} repaired"]
    lines += [f"left {each.date} {each.where}: {each.what}" for each in left]
    lines += [f"{day}: {reason}" for day, reason in reasons.items()]
    return "\n".join(lines)
