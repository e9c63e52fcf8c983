"""`champion actions`: the splits, bonuses, dividends and changes of symbol that adjusted prices rest on."""

from __future__ import annotations

from datetime import datetime

import click

from champion_luigi.commands import output

_FORMATS = ("table", "csv", "json")
# In this order, so that a narrow terminal has what matters.
_COLUMNS = ("ex_date", "symbol", "kind", "factor", "counts_in", "purpose", "remarks")


@click.command(name="actions")
@click.argument("symbols", nargs=-1)
@click.option(
    "--unadjusted",
    is_flag=True,
    help="Only actions that prices are not adjusted for: demergers, and terms that were not understood.",
)
@click.option("--as-of", type=output.DAY, help="The actions as they were known at the end of this day.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="table",
    show_default=True,
    help="csv and json have every column of an adjustment.",
)
def command(symbols: tuple[str, ...], unadjusted: bool, as_of: datetime | None, form: str) -> None:
    """List the actions that adjusted prices rest on: champion actions RELIANCE

    A symbol stands for its company under all the names that it has had. Without SYMBOLS, all actions are listed. factor
    divides prices before ex_date; counts_in says which adjustment is the first to count it: splits, exchange (which
    has those of splits too) or total_return (which has all); it is empty if the action changes no price. remarks says
    why an action has no factor.
    """
    from champion_luigi.commands import table
    from champion_luigi.reading.actions import actions

    found = actions(symbols, as_of=as_of and as_of.date(), unadjusted=unadjusted)
    match form:
        case "csv":
            click.echo(found.write_csv(float_scientific=False), nl=False)
        case "json":
            click.echo(output.as_json(found.to_dicts()))
        case _:
            for line in table.shown(found.select(_COLUMNS), "action"):
                click.echo(line)
