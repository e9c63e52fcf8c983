"""What a chart of closing prices shows: lines, marks of splits and bonuses, words; before it is drawn."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from champion_luigi.reading.prices import Adjustment, Answer

if TYPE_CHECKING:
    import polars as pl

IN_WORDS: Mapping[Adjustment | None, str] = {
    "splits": "adjusted for splits and bonuses",
    "exchange": "adjusted for splits, bonuses and rights",
    "total_return": "total return: adjusted for splits, bonuses, rights and dividends",
    None: "as traded, without adjustment",
}
# A range that is longer, or in which prices differ by more, has a logarithmic scale: equal distances are equal returns.
_LONG_DAYS = 3 * 365
_WIDE = 4.0


@dataclass(frozen=True)
class Line:
    """The closes of one instrument, in rupees, by date."""

    label: str
    days: Sequence[date]
    closes: Sequence[float]


@dataclass(frozen=True)
class Mark:
    """A split, bonus or consolidation: the line's label, the day, the close on it or next to it, and the terms."""

    line: str
    day: date
    close: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Everything that a drawing needs. ``notes`` are lines below it."""

    title: str
    unit: str
    lines: Sequence[Line]
    marks: Sequence[Mark]
    notes: Sequence[str]
    is_log: bool

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day."""
        return min(line.days[0] for line in self.lines), max(line.days[-1] for line in self.lines)

    @property
    def closes(self) -> tuple[float, float]:
        """The lowest and the highest close."""
        return min(min(line.closes) for line in self.lines), max(max(line.closes) for line in self.lines)


def of(answer: Answer, adjustment: Adjustment | None) -> Chart | None:
    """The chart of an answer with the field close; None if it has no rows."""
    lines, marks = [], []
    for label, instrument in answer.wanted.items():
        rows = answer.frame.filter(instrument=instrument)
        if rows.is_empty():
            continue
        lines.append(Line(label, rows["trade_date"].to_list(), rows["close"].to_list()))
        marks += _marks(lines[-1], answer.facts.events_of([instrument]))
    if not lines:
        return None
    chart = Chart(
        title=f"{', '.join(line.label for line in lines)}: daily close, {IN_WORDS[adjustment]}",
        unit="rupees",
        lines=lines,
        marks=sorted(marks, key=lambda mark: mark.day),
        notes=_notes(answer, adjustment),
        is_log=False,
    )
    (first, last), (low, high) = chart.days, chart.closes
    is_log = (last - first).days > _LONG_DAYS or high > _WIDE * low
    return Chart(chart.title, chart.unit, chart.lines, chart.marks, chart.notes, is_log)


def _marks(line: Line, events: pl.DataFrame) -> list[Mark]:
    import polars as pl

    found = []
    counted = events.filter(pl.col("counts_in") == "splits", pl.col("factor").is_not_null())
    inside = counted.filter(pl.col("ex_date").is_between(line.days[0], line.days[-1]))
    for event in inside.sort("ex_date").iter_rows(named=True):
        place = min(bisect.bisect_left(line.days, event["ex_date"]), len(line.days) - 1)
        found.append(Mark(line.label, event["ex_date"], line.closes[place], _terms(event)))
    return found


def _terms(event: Mapping[str, object]) -> str:
    if event["ratio_new"] is not None:
        return f"{event['kind']} {event['ratio_new']}:{event['ratio_old']}"
    if event["from_value"] is not None:
        return f"{event['kind']} {event['from_value']:g} to {event['to_value']:g}"
    return f"{event['kind']} ({event['factor']:g})"


def _notes(answer: Answer, adjustment: Adjustment | None) -> list[str]:
    notes = [f"Source: NSE bhavcopy, prices to {answer.facts.through}"]
    left = max(answer.frame["unadjusted"])
    if adjustment is not None and left:
        notes.append(f"{left} action{'s' if left > 1 else ''} without a known ratio, see champion actions")
    return notes
