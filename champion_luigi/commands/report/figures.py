"""A report's pictures: the calendar, a table that says each day's facts, and bars over time as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from champion_luigi.commands.report.html import NOT_RECORDED, element, embedded_json, escaped, plural, seconds, size

Day = Mapping[str, Any]

# A state's class in the calendar, and what it is called.
STATES = {
    "loaded": ("l", "loaded"),
    "lake": ("k", "in the lake only"),
    "failed": ("f", "failed"),
    "missing": ("m", "missing"),
    "closed": ("c", "closed: the archive has no file"),
}
_NO_SESSION = "n"
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEVELS = 6
_LONGEST_REASON = 240
_HEIGHT = 100
# Few bars would otherwise be as wide as the page.
_FEW_BARS = 10


# The calendar


def calendar(days: Sequence[Day], first: date, last: date) -> str:
    """The dates from ``first`` to ``last``, a grid of weeks a year, the newest year first."""
    by_date = {date.fromisoformat(day["date"]): day for day in days}
    # Years before the exchange's first are no use to anybody.
    first = max(first, date(min(by_date, default=last).year, 1, 1))
    step = level_step(days)
    years = range(last.year, first.year - 1, -1)
    return "\n".join(_year(year, by_date, (first, last), step) for year in years)


def level_step(days: Sequence[Day]) -> int:
    """How many rows a level of the rows' map spans: a round number, of which the highest day has at most six."""
    most = max((day["rows"] or 0 for day in days), default=0)
    magnitude = 1
    while True:
        for factor in (1, 2, 5):
            if magnitude * factor * _LEVELS > most:
                return magnitude * factor
        magnitude *= 10


def _year(year: int, by_date: Mapping[date, Day], span: tuple[date, date], step: int) -> str:
    monday = date(year, 1, 1) - timedelta(days=date(year, 1, 1).weekday())
    weeks = (date(year, 12, 31) - monday).days // 7 + 1
    rows = [_months_row(monday, weeks, year)]
    for weekday, name in enumerate(_WEEKDAYS):
        dates = (monday + timedelta(days=7 * week + weekday) for week in range(weeks))
        cells = "".join(
            _cell(each, by_date.get(each), step, each == span[1])
            if each.year == year and span[0] <= each <= span[1]
            else "<td></td>"
            for each in dates
        )
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    here = [day for each, day in by_date.items() if each.year == year]
    due = sum(1 for day in here if day["state"] != "closed")
    loaded = sum(1 for day in here if day["state"] == "loaded")
    rest = [
        f"{each} {name}"
        for name in ("lake", "failed", "missing", "closed")
        if (each := sum(1 for day in here if day["state"] == name))
    ]
    words = "; ".join([f"{loaded:,} of {plural(due, 'session')} loaded", *rest])
    heading = f'<h3 id="y{year}">{year} <span>{words}</span></h3>'
    grid = element("table", "\n".join(rows), role="grid", aria_labelledby=f"y{year}", aria_readonly="true")
    return f'<div class="year">{heading}\n{grid}</div>'


def _months_row(monday: date, weeks: int, year: int) -> str:
    """The months above the weeks in which they begin."""
    starts = [(date(year, month, 1) - monday).days // 7 for month in range(1, 13)] + [weeks]
    cells = "".join(
        f'<th colspan="{stop - start}" scope="colgroup">{name}</th>'
        for name, start, stop in zip(_MONTHS, starts, starts[1:], strict=False)
    )
    return f"<tr><td></td>{cells}</tr>"


def _cell(each: date, day: Day | None, step: int, has_focus: bool) -> str:
    name = f"{_WEEKDAYS[each.weekday()]} {each.day} {_MONTHS[each.month - 1]} {each.year}"
    focus = " tabindex=0" if has_focus else ""
    if day is None:
        return f'<td class={_NO_SESSION}{focus} aria-label="{name}: no session"></td>'
    classes = STATES[day["state"]][0]
    if day["state"] in ("loaded", "lake"):
        classes += " rx" if day["rows"] is None else f" r{min(day['rows'] // step, _LEVELS - 1)}"
    return f'<td class="{classes}"{focus} aria-label="{name}: {escaped(facts_of(day))}"></td>'


def facts_of(day: Day) -> str:
    """What is known of a session, in a line of plain text."""
    told = [STATES[day["state"]][1]]
    if day["state"] in ("loaded", "lake"):
        told.append(f"rows {NOT_RECORDED}" if day["rows"] is None else plural(day["rows"], "row"))
    if day["rejected"] is not None or day["state"] in ("loaded", "lake"):
        told.append(_ruled(day["rejected"], lambda number: f"{number:,} rejected", "rejects"))
    if day["state"] in ("loaded", "lake"):
        told.append(_ruled(day["warnings"], lambda number: plural(number, "warning"), "warnings"))
        told.append(size(day["bytes"]))
        told.append(f"took {seconds(sum(day['seconds'].values()))}" if day["seconds"] else f"durations {NOT_RECORDED}")
    reason = day["reason"]
    if reason:
        told.append(reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + " …")
    return ", ".join(told)


def _ruled(counts: Mapping[str, int] | None, words: Callable[[int], str], unknown: str) -> str:
    if counts is None:
        return f"{unknown} {NOT_RECORDED}"
    named = ", ".join(f"{rule} {number:,}" for rule, number in sorted(counts.items()) if number)
    return words(sum(counts.values())) + (f" ({named})" if named else "")


def legend(days: Sequence[Day]) -> str:
    """What the calendar's two maps show, with a sample of each kind of cell."""
    step = level_step(days)
    kinds = [(css, words) for css, words in STATES.values()] + [(_NO_SESSION, "no session")]
    levels = [(f"r{level}", f"{level * step:,} to {(level + 1) * step - 1:,} rows") for level in range(_LEVELS)] + [
        ("rx", f"rows {NOT_RECORDED}")
    ]

    def samples(entries: Sequence[tuple[str, str]], css: str) -> str:
        items = "".join(f'<li><span class="sample {each}"></span>{words}</li>' for each, words in entries)
        return f'<ul class="legend {css}">{items}</ul>'

    return samples(kinds, "of-coverage") + samples(levels + kinds[2:], "of-rows")


# Bars over time


def bars(
    title: str,
    periods: Sequence[Mapping[str, Any]],
    path: Sequence[str],
    words: Callable[[float | None], str],
    note: str = "",
) -> str:
    """A bar for each period, of the value that ``path`` leads to; one that was not recorded is a grey mark."""
    values = [value_at(period, path) for period in periods]
    known = [(value, period["name"]) for value, period in zip(values, periods, strict=True) if value is not None]
    highest, when = max(known, default=(0, ""), key=lambda each: each[0])
    shape, unknown = [], []
    for at, value in enumerate(values):
        if value is None:
            unknown.append(f"M{at + 0.1:g} {_HEIGHT}v-3h.8v3z")
        elif value > 0:
            shape.append(f"M{at + 0.1:g} {_HEIGHT}v-{max(value / highest * _HEIGHT, 1):.4g}h.8V{_HEIGHT}z")
    names = [period["name"] for period in periods]
    summary = f"{title}: highest {words(highest)} in {when}" if known else f"{title}: {NOT_RECORDED}"
    axis = [names[0], names[len(names) // 2], names[-1]] if len(names) > 2 else names
    svg = (
        f'<svg viewBox="0 0 {len(values)} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escaped(summary)}"><path class="bars" d="{"".join(shape)}"/>'
        f'<path class="unknown" d="{"".join(unknown)}"/><path class="marker" d=""/></svg>'
    )
    css = "chart few" if len(values) <= _FEW_BARS else "chart"
    short = element("b", escaped(title)) + (f" <span>{escaped(note)}</span>" if note else "")
    scale = f"<span>{words(highest) if known else ''}</span><span>{'0' if known else ''}</span>"
    labels = "".join(f"<span>{escaped(name)}</span>" for name in axis)
    return (
        f'<figure class="{css}" data-path="{escaped(embedded_json(list(path)))}"><figcaption>{short}'
        f"<output>{escaped(summary.removeprefix(title + ': '))}</output></figcaption>"
        f'<div class="plot"><div class="scale">{scale}</div>{svg}<div class="axis">{labels}</div></div></figure>'
    )


def value_at(period: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """A period's value; of counts by rule a rule that is not named has 0, where any were recorded."""
    found: Any = period
    for step in path:
        if found is None:
            return None
        found = found.get(step, 0 if path[0] in ("rejected", "warnings") else None)
    return None if found is None else float(found)
