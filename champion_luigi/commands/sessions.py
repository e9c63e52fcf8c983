"""`champion sessions`: the exchange's trading days, as a table or for another program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime

import click

from champion_luigi.commands import output
from champion_luigi.datasets.opening import FIRST_DATE
from champion_luigi.exchange import sessions
from champion_luigi.exchange.sessions import Day


@click.command(name="sessions")
@click.option("--start", type=output.DAY, help="First date. Default: 1 January of the last date's year.")
@click.option("--end", type=output.DAY, help="Last date. Default: 31 December of this year, or of a later --start's.")
@click.option("--closed", is_flag=True, help="Also show the weekdays without a session: holidays with their names.")
@click.option("--exceptions", is_flag=True, help="Only show closed weekdays and special sessions, as for a calendar.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "csv", "json", "ics")),
    default="table",
    show_default=True,
    help="csv has a header, json is one document, ics is for calendar programs.",
)
@click.option("--json", "form", flag_value="json", type=str, help="The same as --format json.")
def command(start: datetime | None, end: datetime | None, closed: bool, exceptions: bool, form: str) -> None:
    """List the exchange's trading days, special sessions on weekends and Muhurat evenings included.

    Up to the date of the newest file that the list is made from, each session is proven. Later ones are expected, by
    the published holidays and, past those, by the day of the week. Needs no data folder, no settings and no network.
    """
    first, last = output.dates(start, end)
    last = last or date(max(datetime.now(sessions.INDIA).year, first.year if first else 0), 12, 31)
    first = first or date(last.year, 1, 1)
    days = [*_days(first, last)]
    if exceptions:
        shown = [each for each in days if each.day in sessions.exceptions()]
    else:
        shown = [each for each in days if each.is_session or closed]
    if form == "csv":
        click.echo(_as_csv(shown), nl=False)
    elif form == "json":
        click.echo(output.as_json(_as_document(first, last, shown)))
    elif form == "ics":
        if not shown:
            raise click.UsageError(f"nothing to show from {first} to {last}, and a calendar needs an event")
        click.echo(_as_ics(shown), nl=False)
    else:
        click.echo("\n".join([*_as_table(shown), *_in_short(first, last, days)]))


def _days(first: date, last: date) -> Iterator[Day]:
    """The sessions and the closed weekdays of a range, both ends included."""
    for number in range(max(first, FIRST_DATE).toordinal(), last.toordinal() + 1):
        day = sessions.of(date.fromordinal(number))
        if day.kind != sessions.WEEKEND:
            yield day


def _as_table(days: Sequence[Day]) -> Iterator[str]:
    width = max((len(each.kind) for each in days), default=0)
    for each in days:
        yield f"{each.day}  {_weekday(each)}  {each.kind:{width}}  {each.name}".rstrip()
    if days:
        yield ""


def _in_short(first: date, last: date, days: Sequence[Day]) -> Iterator[str]:
    count = sum(each.is_session for each in days)
    closed = output.number(len(days) - count, "closed weekday")
    yield f"{first} to {last}: {output.number(count, 'session')}, {closed}"
    if last > sessions.seen_until():
        yield f"Sessions up to {sessions.seen_until()} are proven, later ones are expected."


def _as_csv(days: Sequence[Day]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("date", "weekday", "session", "kind", "name", "basis"))
    for each in days:
        writer.writerow((each.day, _weekday(each), str(each.is_session).lower(), each.kind, each.name, each.basis))
    return text.getvalue()


def _as_document(first: date, last: date, days: Sequence[Day]) -> dict[str, object]:
    names = ("date", "session", "kind", "name", "basis")
    return {
        "start": first,
        "end": last,
        "seen_until": sessions.seen_until(),
        "table_end": sessions.table_end(),
        "days": [
            dict(zip(names, (each.day, each.is_session, each.kind, each.name, each.basis), strict=True))
            for each in days
        ],
    }


def _as_ics(days: Sequence[Day]) -> bytes:
    from champion_luigi.commands import ics

    events = (ics.Event(each.day, f"NSE: {sessions.describe(each.day)}", each.basis, each.kind) for each in days)
    return ics.calendar("NSE sessions", events, sessions.seen_until())


def _weekday(each: Day) -> str:
    return output.WEEKDAYS[each.day.weekday()]
