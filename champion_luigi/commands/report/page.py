"""A report's document as one HTML page that loads nothing: markup, styles, script and data in a single file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from typing import Any

from champion_luigi.base.stages import STAGES
from champion_luigi.commands.report import figures
from champion_luigi.commands.report.html import (
    NOT_RECORDED,
    count,
    element,
    embedded_json,
    escaped,
    plural,
    seconds,
    size,
    table,
)

Document = Mapping[str, Any]

_MOST_PROBLEMS = 100
_STAGES = STAGES
# The page's sections, in their order.
_TITLES = {
    "summary": "Summary",
    "attention": "Not loaded",
    "calendar": "Calendar",
    "volume": "Rows and sizes",
    "rules": "Rejects and warnings",
    "durations": "Durations",
    "problems": "Newest problems",
    "tables": "As tables",
    "places": "Where",
}


def page(document: Document) -> bytes:
    """The page, in UTF-8. Its policy lets it run its own script, use its own styles, and load nothing at all."""
    style, script = _resource("report.css"), _resource("report.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    status = document["status"]
    title = f"Bhavcopy coverage, {status['start']} to {status['end']}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
        # Or else a browser asks the page's server for an icon.
        '<link rel="icon" href="data:,">',
        element("title", escaped(title)),
        f"<style>{style}</style></head><body>",
        _head(document),
        "<main>",
        _summary(document),
        _attention(document),
        _calendar(document),
        _trends(document),
        _problems(document),
        _tables(document),
        _places(document),
        "</main>",
        '<div id="tip" aria-hidden="true" hidden></div>',
        f'<script type="application/json" id="data">{embedded_json(_embedded(document))}</script>',
        f"<script>{script}</script></body></html>",
    ]
    return ("\n".join(parts) + "\n").encode()


def _resource(name: str) -> str:
    return files("champion_luigi.commands.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _section(name: str, *parts: str) -> str:
    heading = element("h2", _TITLES[name], id=f"{name}-title")
    return element("section", "\n".join([heading, *parts]), id=name, aria_labelledby=f"{name}-title")


def _head(document: Document) -> str:
    status = document["status"]
    made = f"{document['made_at'][:16].replace('T', ' ')} UTC"
    words = f"{status['start']} to {status['end']}. Made {made} by champion_luigi {document['version']}."
    trends = ("volume", "rules", "durations") if document["periods"] else ()
    names = ("attention", "calendar", *trends, "problems", "places")
    links = " ".join(element("a", _TITLES[name], href=f"#{name}") for name in names)
    inner = element("h1", "Bhavcopy coverage") + element("p", escaped(words))
    return element("header", inner + element("nav", links, aria_label="On this page"))


def _summary(document: Document) -> str:
    status, days = document["status"], document["days"]
    there = [day for day in days if day["state"] in ("loaded", "lake")]
    late = status["sessions_late"]
    tiles = [
        ("loaded", "Sessions loaded", count(status["loaded"]), f"of {status['due']:,} due", "wide"),
        ("rows", "Rows in the warehouse", count(status["rows"]), "", "wide"),
        (
            "latest_loaded",
            "Latest loaded",
            escaped(status["latest_loaded"] or "none"),
            f"{late:,} behind {status['latest_due']}" if late else "up to date",
            "wide warn" if late else "wide",
        ),
        ("bytes", "Parquet in the lake", size(_sum(day["bytes"] for day in there)), f"{len(there):,} files", "wide"),
        ("failed", "Failed", count(len(status["failed"])), "", "bad" if status["failed"] else ""),
        ("lake_only", "In the lake only", count(len(status["lake_only"])), "", "warn" if status["lake_only"] else ""),
        ("missing", "Missing", count(len(status["missing"])), "", "warn" if status["missing"] else ""),
        ("closed", "Closed", count(len(status["closed"])), "", ""),
        ("rejected", "Rows rejected", *_counted(there, "rejected"), ""),
        ("warnings", "Warnings", *_counted(there, "warnings"), ""),
        ("unsent_records", "Records not in MLflow", count(status["unsent_records"]), "", ""),
    ]
    items = "".join(
        f'<div class="tile {css}"><dt>{title}</dt><dd id="s-{name}">{value}</dd>'
        + (f'<dd class="more">{escaped(more)}</dd>' if more else "")
        + "</div>"
        for name, title, value, more, css in tiles
    )
    return _section("summary", f'<dl class="tiles">{items}</dl>')


def _counted(days: Sequence[Mapping[str, Any]], name: str) -> tuple[str, str]:
    """A sum over days, and of how many of them it is not known."""
    known = [sum(day[name].values()) for day in days if day[name] is not None]
    unknown = len(days) - len(known)
    more = f"{plural(unknown, 'day')} {NOT_RECORDED}" if unknown and known else ""
    return count(sum(known) if known or not days else None), more


def _sum(values: Any) -> int:
    return sum(value or 0 for value in values)


def _attention(document: Document) -> str:
    """What is not loaded: sessions in a row that lack the same are one line."""
    order = {day["date"]: at for at, day in enumerate(document["days"])}
    lines: list[tuple[str, str, str, str]] = []
    entries = [
        *((each["date"], "failed", each["reason"]) for each in document["status"]["failed"]),
        *((each["date"], "in the lake only", each["reason"]) for each in document["status"]["lake_only"]),
        *((each, "missing", "") for each in document["status"]["missing"]),
        *((each["date"], "lake file not readable", each["reason"]) for each in document["unreadable"]),
    ]
    previous = ("", "", "")
    for entry in entries:
        is_next = not entry[2] and previous[1:] == entry[1:] and order.get(entry[0]) == order.get(previous[0], -2) + 1
        if is_next:
            first, _, *rest = lines[-1]
            lines[-1] = (first, entry[0], *rest)
        else:
            lines.append((entry[0], entry[0], *entry[1:]))
        previous = entry
    if not lines:
        return _section("attention", element("p", "All that is due is loaded."))
    rows = []
    for first, last, what, reason in sorted(lines, reverse=True):
        number = order[last] - order[first] + 1
        dates = escaped(first) if first == last else f"{escaped(first)} to {escaped(last)}, {plural(number, 'session')}"
        rows.append([dates, f"<b>{escaped(what)}</b>", escaped(reason)])
    advice = f"To complete them: <code>champion fill --start {escaped(document['status']['start'])}</code>"
    shown = table("Sessions that are due and not loaded, newest first", ("Date", "State", "Reason"), rows)
    return _section("attention", element("p", advice), shown)


def _calendar(document: Document) -> str:
    first, last = (date.fromisoformat(document["status"][name]) for name in ("start", "end"))
    if first > last:
        return _section("calendar", element("p", "No date of the range has come yet."))
    days = document["days"]
    choice = (
        '<fieldset class="views"><legend>Colours show</legend>'
        '<label><input type="radio" name="view" id="view-coverage" checked> coverage</label>'
        '<label><input type="radio" name="view" id="view-rows"> rows a day</label></fieldset>'
        '<p class="hint js-only">Point at a day, or move through the days with the arrow keys: up and down by a day, '
        "left and right by a week, Page Up and Page Down by four weeks, Home and End to the first and last day of the "
        "year.</p>"
    )
    grids = figures.calendar(days, first, last)
    box = element("div", grids, class_="scroll years", tabindex="0", role="region", aria_label="Calendar")
    return _section("calendar", choice, figures.legend(days), box)


def _trends(document: Document) -> str:
    periods = document["periods"]
    if not periods:
        return ""
    bars = figures.bars
    volume = [
        bars("Rows a day", periods, ["rows_a_day"], count),
        bars("Parquet a day", periods, ["bytes_a_day"], size),
    ]
    problems = []
    for name, what in (("rejected", "rejected"), ("warnings", "warning")):
        rules = sorted({rule for each in periods for rule, number in (each[name] or {}).items() if number})
        problems += [bars(rule, periods, [name, rule], count, note=what) for rule in rules]
        if not rules:
            known = any(each[name] is not None for each in periods)
            problems.append(element("p", f"{what.capitalize()}: {'none' if known else NOT_RECORDED}."))
    durations = [bars(stage, periods, ["seconds", stage], seconds) for stage in _STAGES]
    unit = "month" if len(periods[0]["name"]) == 7 else "day"
    return "\n".join(
        [
            _section("volume", element("p", f"Means by {unit}, of the days in the lake."), _grid(volume)),
            _section(
                "rules",
                element(
                    "p", f"Rows by {unit}, one picture a rule: rejected rows are kept out, those with a warning in."
                ),
                _grid(problems),
            ),
            _section(
                "durations",
                element("p", f"Median by {unit} of what a stage took, by the trade date, waiting left out."),
                _grid(durations),
            ),
        ]
    )


def _grid(parts: Sequence[str]) -> str:
    return element("div", "\n".join(parts), class_="charts")


def _problems(document: Document) -> str:
    problems = document["problems"]
    if not problems:
        return _section("problems", element("p", "The journal has none in this range."))
    rows = [
        [
            escaped(each["date"]),
            escaped(each["task"]),
            escaped(each["time"][:16].replace("T", " ")),
            escaped(figures.STATES[each["state"]][1] if each["state"] else "no session"),
            escaped(each["reason"]),
        ]
        for each in problems[:_MOST_PROBLEMS]
    ]
    columns = ("Date", "Task", "When (UTC)", "The day is now", "What went wrong")
    caption = f"The newest {len(rows):,} of {plural(len(problems), 'run')} that ended with an error, newest first"
    return _section("problems", table(caption, columns, rows))


def _tables(document: Document) -> str:
    columns = ("Period", "Due", "Loaded", "Rows", "Parquet", "Rejected", "Warnings", *_STAGES)
    rows = []
    for each in reversed(document["periods"]):
        ruled = [None if each[name] is None else sum(each[name].values()) for name in ("rejected", "warnings")]
        durations = [seconds(each["seconds"].get(stage)) for stage in _STAGES]
        counts = [count(each["due"]), count(each["loaded"]), count(each["rows"]), size(each["bytes"])]
        # The word would be wider than any number.
        cells = [*counts, *map(count, ruled), *durations]
        rows.append([escaped(each["name"]), *("–" if cell == NOT_RECORDED else cell for cell in cells)])
    caption = "Sums, and median durations; – is not recorded"
    closed = [[escaped(each["date"]), escaped(each["reason"])] for each in document["status"]["closed"]]
    parts = [_folded("By period", table(caption, columns, rows, numbers_from=1))] if rows else []
    if document["days"]:
        parts.append(_folded("Day by day", '<div id="days"><p>Needs JavaScript; the calendar has the same.</p></div>'))
    if closed:
        parts.append(_folded("Closed", table("Sessions that the archive has no file for", ("Date", "Why"), closed)))
    return _section("tables", *parts) if parts else ""


def _folded(title: str, content: str) -> str:
    return element("details", element("summary", escaped(title)) + content)


def _places(document: Document) -> str:
    names = (("warehouse", "Warehouse"), ("lake", "Lake"), ("archive", "Archive"), ("tracking", "MLflow"))
    items = "".join(f"<div><dt>{title}</dt><dd>{escaped(document['status'][name])}</dd></div>" for name, title in names)
    return _section("places", f'<dl class="places">{items}</dl>')


def _embedded(document: Document) -> dict[str, Any]:
    """The document with its days as columns, which take a third of the room."""
    days = document["days"]
    columns: dict[str, Any] = {name: [day[name] for day in days] for name in ("date", "state", "rows", "bytes")}
    for name in ("rejected", "warnings"):
        columns[f"{name}_in_all"] = [None if day[name] is None else sum(day[name].values()) for day in days]
    columns["reason"] = {day["date"]: day["reason"] for day in days if day["reason"]}
    for name, rules in (("rejected", None), ("warnings", None), ("seconds", _STAGES)):
        found = rules or sorted({rule for day in days for rule in day[name] or {}})
        columns[name] = {
            rule: [None if day[name] is None else day[name].get(rule, None if rules else 0) for day in days]
            for rule in found
        }
    return {**document, "days": columns}
