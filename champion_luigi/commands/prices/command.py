"""`champion prices`: the command, from its options to its output."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from champion_luigi.commands import output as shared

if TYPE_CHECKING:
    from champion_luigi.reading.prices import Adjustment, Answer

_FORMATS = ("table", "csv", "parquet", "amibroker")
_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".txt": "table"}
_PICTURES = {".png": "png", ".svg": "svg"}
_ADJUSTMENTS: dict[str, Adjustment | None] = {
    "splits": "splits",
    "exchange": "exchange",
    "total_return": "total_return",
    "none": None,
}
_ON_TERMINAL = "-"


@click.command(name="prices")
@click.argument("symbols", nargs=-1)
@click.option("--start", type=shared.DAY, help="First date. Default: the first one with prices.")
@click.option("--end", type=shared.DAY, help="Last date, included. Default: the newest one with prices.")
@click.option(
    "--adjusted",
    type=click.Choice(list(_ADJUSTMENTS)),
    default="splits",
    show_default=True,
    help="What prices are adjusted for: splits and bonuses; rights too, as the exchange does (exchange); dividends too "
    "(total_return); or nothing (none).",
)
@click.option(
    "--fields", metavar="NAME[,NAME...]", help="Columns. Default: open, high, low, close and volume; see the reference."
)
@click.option(
    "--as-of",
    type=shared.DAY,
    help="Prices and adjustments as they were known at the end of this day, so without look-ahead.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="csv is for spreadsheets, amibroker for its ASCII importer. Default: by --output's suffix, or a table.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the result; it is written completely or not at all.",
)
@click.option(
    "--plot",
    is_flag=False,
    flag_value=_ON_TERMINAL,
    metavar="[FILE]",
    help="Draw the closes on the terminal, or into FILE (.png or .svg). Write it after the symbols.",
)
@click.option(
    "--source",
    type=click.Choice(["lake", "warehouse"]),
    default="lake",
    show_default=True,
    help="Where prices are read from.",
)
def command(
    symbols: tuple[str, ...],
    *,
    start: datetime | None,
    end: datetime | None,
    adjusted: str,
    fields: str | None,
    as_of: datetime | None,
    form: str | None,
    output: Path | None,
    plot: str | None,
    source: str,
) -> None:
    """Show daily prices that can be compared over years: champion prices RELIANCE --start 2015-01-01

    A symbol stands for its company under all the names that it has had. Without SYMBOLS, all shares and funds are
    shown. Prices before a split, bonus or consolidation are divided by its factor, so that the newest ones are as
    traded; nothing is rounded, but a table shows two decimals. On a terminal, a table has the last 40 rows; in a pipe
    or a file it has all.
    """
    first, last = shared.dates(start, end)
    form = _form(form, output)
    picture = _picture(plot)
    if plot is not None and not symbols:
        raise click.UsageError("--plot: give one or more SYMBOLS")
    if plot is not None and (fields or form == "amibroker"):
        raise click.UsageError(f"--plot draws closes; it does not go with {'--fields' if fields else 'amibroker'}")
    if form == "amibroker" and fields:
        raise click.UsageError("--format amibroker has columns of its own; it does not go with --fields")
    if form == "parquet" and output is None and plot is None and sys.stdout.isatty():
        raise click.UsageError("parquet is not for terminals: give --output, or redirect it")

    from champion_luigi.base import extras
    from champion_luigi.datasets.corporate_actions import SHARES
    from champion_luigi.reading.prices import DEFAULT_FIELDS, answered

    if plot is not None:
        extras.require("plot", "a chart")

    # The chart notes what prices are not adjusted for.
    more = ["unadjusted"] if plot is not None else []
    answer = answered(
        symbols or None,
        first,
        last,
        adjusted=_ADJUSTMENTS[adjusted],
        fields=[name.strip() for name in fields.split(",")] if fields else (*DEFAULT_FIELDS, *more),
        series=SHARES,
        as_of=as_of and as_of.date(),
        root=None,
        source="warehouse" if source == "warehouse" else "lake",
    )
    if answer.facts.note:
        shared.say(f"champion prices: {answer.facts.note}")
    if answer.frame.is_empty() and plot is None:
        of = f" of {', '.join(symbols)}" if symbols else ""
        shared.say(f"champion prices: no prices{of} in this range; the newest session is {answer.facts.through}")
    if plot is not None:
        _plot(answer, _ADJUSTMENTS[adjusted], picture)
    if plot is None or output is not None:
        _write(replace(answer, frame=answer.frame.drop(more)), form, output)


def _form(form: str | None, output: Path | None) -> str:
    if form is None:
        form = _SUFFIXES.get(output.suffix.lower()) if output else "table"
    if form is None:
        raise click.UsageError(f"give --format ({', '.join(_FORMATS)}): the name {output} does not imply one")
    if output:
        shared.make_folder_of(output, "--output")
    return form


def _picture(plot: str | None) -> Path | None:
    """The file for a chart; None for a chart on the terminal."""
    if plot is None or plot == _ON_TERMINAL:
        return None
    path = Path(plot)
    if path.suffix.lower() not in _PICTURES:
        raise click.UsageError(f"--plot: {plot} ends neither in .png nor in .svg; a symbol goes before --plot")
    shared.make_folder_of(path, "--plot")
    return path


def _write(answer: Answer, form: str, output: Path | None) -> None:
    from champion_luigi.base import durable
    from champion_luigi.commands import table
    from champion_luigi.commands.prices import files

    if form == "table" and output is None:
        for line in table.shown(answer.frame):
            click.echo(line)
        return
    match form:
        case "csv":
            content = files.csv(answer.frame)
        case "parquet":
            content = files.parquet(answer.frame)
        case "amibroker":
            tickers = answer.facts.latest_symbols(answer.frame["instrument"].unique())
            content = files.amibroker(answer.frame, tickers)
        case _:
            content = "".join(f"{line}\n" for line in table.lines(answer.frame)).encode()
    if output:
        durable.write_whole(output, content)
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()


def _require_dots(encoding: str) -> None:
    from champion_luigi.base.errors import SettingsError

    try:
        "⣿▲┤".encode(encoding)
    except UnicodeEncodeError:
        raise SettingsError(
            f"the output's encoding, {encoding}, has no dots to draw with",
            expected="UTF-8",
            todo="Draw into a file: --plot chart.png.",
        ) from None


def _plot(answer: Answer, adjustment: Adjustment | None, path: Path | None) -> None:
    from champion_luigi.base import durable
    from champion_luigi.commands.prices import chart

    found = chart.of(answer, adjustment)
    if found is None:
        shared.say("champion prices: there are no prices in this range, so nothing is drawn")
        return
    if path is None:
        from champion_luigi.commands.prices import terminal

        _require_dots(sys.stdout.encoding)
        size = shutil.get_terminal_size()
        for line in terminal.drawn(found, size.columns, size.lines - 2, in_color=sys.stdout.isatty()):
            click.echo(line)
        return
    from champion_luigi.commands.prices import picture

    with durable.whole(path) as temporary:
        picture.draw(found, temporary, _PICTURES[path.suffix.lower()])
