"""A report's pictures as plain values: the calendar's cells, a line of facts for each day, and bars over time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from champion_luigi.base.stages import STAGES
from champion_luigi.commands.report.text import NOT_RECORDED, plural, seconds, size, whole

Day = Mapping[str, Any]

# Each state's CSS class in the calendar, and its name.
STATES = {
    "loaded": ("l", "loaded"),
    "lake": ("k", "in the lake only"),
    "failed": ("f", "failed"),
    "absent": ("a", "absent: no source has the file"),
    "missing": ("m", "missing"),
    "closed": ("c", "closed: no session"),
}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LEVELS = 6
_LONGEST_REASON = 240
_HEIGHT = 100


# The calendar


def calendar(days: Sequence[Day], first: date, last: date) -> Iterator[dict[str, Any]]:
    """The years from ``first`` to ``last``, newest first, each with its states' counts, months and rows of cells."""
    by_date = {date.fromisoformat(day["date"]): day for day in days}
    # Leave out the years before the first session.
    first = max(first, date(min(by_date, default=last).year, 1, 1))
    step = level_step(days)
    for year in range(last.year, first.year - 1, -1):
        start, end = date(year, 1, 1), date(year, 12, 31)
        monday = start - timedelta(days=start.weekday())
        weeks = (end - monday).days // 7 + 1
        starts = [*((date(year, month, 1) - monday).days // 7 for month in range(1, 13)), weeks]
        rows = [[monday + timedelta(days=7 * week + weekday) for week in range(weeks)] for weekday in range(7)]
        yield {
            "number": year,
            "states": Counter(day["state"] for each, day in by_date.items() if each.year == year),
            # A month stands above the weeks in which it begins.
            "months": [(name, starts[at + 1] - starts[at]) for at, name in enumerate(_MONTHS)],
            "rows": [
                [
                    _cell(each, by_date.get(each), step) if max(first, start) <= each <= min(last, end) else None
                    for each in row
                ]
                for row in rows
            ],
            "weekdays": _WEEKDAYS,
        }


def _cell(each: date, day: Day | None, step: int) -> tuple[date, str, str]:
    """A cell: its date, CSS class and name."""
    name = f"{_WEEKDAYS[each.weekday()]} {each.day} {_MONTHS[each.month - 1]} {each.year}"
    if day is None:
        return each, "n", f"{name}: no session"
    css = STATES[day["state"]][0]
    if day["state"] in ("loaded", "lake"):
        css += " rx" if day["rows"] is None else f" r{min(day['rows'] // step, _LEVELS - 1)}"
    return each, css, f"{name}: {facts_of(day)}"


def level_step(days: Sequence[Day]) -> int:
    """The number of rows in one level of the map by rows: a round number, so that six levels reach the highest day."""
    most = max((day["rows"] or 0 for day in days), default=0)
    steps: Iterator[int] = (factor * 10**power for power in itertools.count() for factor in (1, 2, 5))
    return next(step for step in steps if step * _LEVELS > most)


def facts_of(day: Day) -> str:
    """A session's facts, in a line of plain text."""
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


def legend(days: Sequence[Day]) -> dict[str, list[tuple[str, str]]]:
    """The legends of the calendar's two maps, by class: each kind of cell with its meaning."""
    step = level_step(days)
    kinds = [*STATES.values(), ("n", "no session")]
    levels = [(f"r{level}", f"{level * step:,} to {(level + 1) * step - 1:,} rows") for level in range(_LEVELS)]
    return {"of-coverage": kinds, "of-rows": [*levels, ("rx", f"rows {NOT_RECORDED}"), *kinds[2:]]}


# Bars over time


def charts(periods: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The page's charts by section; a count without any rule becomes a sentence instead of a chart."""
    rules: list[dict[str, Any]] = []
    for kind, note in (("rejected", "rejected"), ("warnings", "warning")):
        found = {rule for each in periods for rule, number in (each[kind] or {}).items() if number}
        rules += [bars(rule, periods, [kind, rule], whole, note) for rule in sorted(found)]
        if not found:
            is_known = any(each[kind] is not None for each in periods)
            rules.append({"sentence": f"{note.capitalize()}: {'none' if is_known else NOT_RECORDED}."})
    return {
        "volume": [
            bars("Rows a day", periods, ["rows_a_day"], whole),
            bars("Parquet a day", periods, ["bytes_a_day"], size),
        ],
        "rules": rules,
        "durations": [bars(stage, periods, ["seconds", stage], seconds) for stage in STAGES],
    }


def bars(
    title: str,
    periods: Sequence[Mapping[str, Any]],
    path: Sequence[str],
    words: Callable[[float | None], str],
    note: str = "",
) -> dict[str, Any]:
    """A bar for each period, with the value at ``path``; a value that was not recorded is a grey mark."""
    values = [_value_at(period, path) for period in periods]
    names = [period["name"] for period in periods]
    known = [(value, name) for value, name in zip(values, names, strict=True) if value is not None]
    highest, when = max(known, default=(0.0, ""), key=lambda each: each[0])
    return {
        "title": title,
        "note": note,
        "path": path,
        "width": len(values),
        "height": _HEIGHT,
        "summary": f"highest {words(highest)} in {when}" if known else NOT_RECORDED,
        "scale": [words(highest), "0"] if known else ["", ""],
        "axis": [names[0], names[len(names) // 2], names[-1]] if len(names) > 2 else names,
        "bars": "".join(
            f"M{at + 0.1:g} {_HEIGHT}v-{max(value / highest * _HEIGHT, 1):.4g}h.8V{_HEIGHT}z"
            for at, value in enumerate(values)
            if value
        ),
        "unknown": "".join(f"M{at + 0.1:g} {_HEIGHT}v-3h.8v3z" for at, value in enumerate(values) if value is None),
    }


def _value_at(period: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """A period's value. In counts by rule, an absent rule has 0 if any counts were recorded."""
    found: Any = period
    for step in path:
        if found is None:
            return None
        found = found.get(step, 0 if path[0] in ("rejected", "warnings") else None)
    return None if found is None else float(found)
