"""`champion verify --adjustments`: the adjusted prices as the exchange and the market judge them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from champion_luigi.commands import output

if TYPE_CHECKING:
    from champion_luigi.upkeep.adjusted import Checked


def run(first: date | None, last: date | None, *, as_json: bool) -> int:
    """Verify the adjusted prices, print the result, and return the exit code."""
    from champion_luigi.upkeep import adjusted

    checked = adjusted.of_range(first, last)
    if as_json:
        document = vars(checked) | {"files": [vars(each) for each in checked.files], "differences": checked.differences}
        click.echo(output.as_json(document))
    else:
        click.echo("\n".join(_checked_in_words(checked)))
    return output.FAILED if checked.differences else 0


def _checked_in_words(checked: Checked) -> Iterator[str]:
    if checked.first is None:
        yield "There is nothing to verify."
        return
    if checked.stale:
        yield checked.stale
    yield from _range_files_in_words(checked)
    yield f"{checked.first} to {checked.last}: openings after splits, bonuses and consolidations: " + ", ".join(
        f"{count:,} {verdict.replace('_', ' ')}" for verdict, count in checked.openings.items()
    )
    for each in checked.apart:
        yield f"{each['ex_date']} {each['symbol']}: {each['kind']}, factor {each['factor']:.6g}: {each['reason']}"
    yield f"{output.number(len(checked.jumps), 'jump')} without an action"
    for each in checked.jumps:
        yield (
            f"{each['trade_date']} {each['symbol']}: opened at {each['open']:.2f}, {each['ratio']:.3f} of the close "
            f"before, {each['close_before']:.2f}"
        )
    found = checked.differences
    yield output.number(found, "difference") if found else "Everything that could be compared agrees."


def _range_files_in_words(checked: Checked) -> Iterator[str]:
    read = [each for each in checked.files if not each.trouble]
    verdicts = {name: sum(each.verdicts[name] for each in read) for name in read[0].verdicts} if read else {}
    counts = ", ".join(f"{count:,} {verdict.replace('_', ' ')}" for verdict, count in verdicts.items())
    yield (
        f"52-week highs and lows: {output.number(len(read), 'file')}, "
        f"{output.number(len(checked.absent), 'session')} without one, "
        f"{sum(each.values for each in read):,} values of dates in the lake" + (f": {counts}" if counts else "")
    )
    yield from (f"{each.date}: {each.trouble}" for each in checked.files if each.trouble)
    # The same price stands in the files of many days.
    of_price: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    for each in checked.values:
        key = tuple(each[name] for name in ("verdict", "symbol", "series", "what", "trade_date", "value"))
        of_price.setdefault(key, []).append(each)
    for (verdict, symbol, series, what, day, value), same in of_price.items():
        files = f"{same[0]['effective_for']}" + (f" and {len(same) - 1} more" if len(same) > 1 else "")
        reason = f": {same[0]['reason']}" if same[0]["reason"] else ""
        yield (
            f"{day} {symbol} {series}: {what} {same[0]['raw']:.2f}, by the exchange {value:.2f}, by us "
            f"{same[0]['ours']:.2f} (files of {files}); {str(verdict).replace('_', ' ')}{reason}"
        )
