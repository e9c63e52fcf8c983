"""A report's document as one HTML page that loads nothing: markup, styles, script and data in a single file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from typing import Any

import jinja2

from champion_luigi.base.stages import STAGES
from champion_luigi.commands.report import figures, text

Document = Mapping[str, Any]


def page(document: Document) -> bytes:
    """The page, in UTF-8. Its policy allows its own script and styles, and no loading at all."""
    status, days, periods = (document[name] for name in ("status", "days", "periods"))
    first, last = (date.fromisoformat(status[name]) for name in ("start", "end"))
    rendered = (
        environment()
        .from_string(_resource("report.html.j2"))
        .render(
            **document,
            style=_resource("report.css"),
            script=_resource("report.js"),
            stages=list(STAGES),
            states=figures.STATES,
            in_lake=[day for day in days if day["state"] in ("loaded", "lake")],
            not_loaded=_not_loaded(document),
            last=last,
            years=figures.calendar(days, first, last) if first <= last else None,
            legend=figures.legend(days),
            charts=figures.charts(periods) if periods else {},
            data=_embedded(document),
        )
    )
    return (rendered + "\n").encode()


def environment() -> jinja2.Environment:
    """The template environment, which makes every value visible and escapes it."""
    made = jinja2.Environment(
        autoescape=True,
        finalize=lambda value: value if hasattr(value, "__html__") else text.visible(value),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made.filters |= {each.__name__: each for each in (text.whole, text.size, text.seconds, text.plural)}
    made.filters["hash"] = lambda text: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    made.filters["total"] = _total
    return made


def _resource(name: str) -> str:
    return files("champion_luigi.commands.report").joinpath(name).read_text(encoding="utf-8")


def _total(counts: Mapping[str, int] | None) -> int | None:
    """The sum of counts by rule; None if nothing was recorded."""
    return None if counts is None else sum(counts.values())


def _not_loaded(document: Document) -> list[tuple[str, str, str, str, int]]:
    """First and last date, state, reason and number of sessions, newest first. Equal neighbours are merged."""
    status, order = document["status"], {day["date"]: at for at, day in enumerate(document["days"])}
    entries = [
        *((each["date"], "failed", each["reason"]) for each in status["failed"]),
        *((each["date"], "in the lake only", each["reason"]) for each in status["lake_only"]),
        *((each["date"], "absent", each["reason"]) for each in status["absent"]),
        *((each, "missing", "") for each in status["missing"]),
        *((each["date"], "lake file not readable", each["reason"]) for each in document["unreadable"]),
    ]
    lines: list[tuple[str, str, str, str, int]] = []
    for day, state, reason in entries:
        first, last, *same, number = lines[-1] if lines else ("", "", "", "", 0)
        if (not reason or state == "absent") and same == [state, reason] and order[day] == order[last] + 1:
            lines[-1] = (first, day, state, reason, number + 1)
        else:
            lines.append((day, day, state, reason, 1))
    return sorted(lines, reverse=True)


def _embedded(document: Document) -> dict[str, Any]:
    """The document with its days as columns, which take a third of the space."""
    days: Sequence[Mapping[str, Any]] = document["days"]
    columns: dict[str, Any] = {name: [day[name] for day in days] for name in ("date", "state", "rows", "bytes")}
    for name in ("rejected", "warnings"):
        columns[f"{name}_in_all"] = [_total(day[name]) for day in days]
    columns["reason"] = {day["date"]: day["reason"] for day in days if day["reason"]}
    for name, rules in (("rejected", None), ("warnings", None), ("seconds", STAGES)):
        found = rules or sorted({rule for day in days for rule in day[name] or {}})
        columns[name] = {
            rule: [None if day[name] is None else day[name].get(rule, None if rules else 0) for day in days]
            for rule in found
        }
    return {**document, "days": columns}
