"""A chart on a terminal, in braille dots."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterator
from datetime import timedelta

from champion_luigi.commands.prices.chart import Chart
from champion_luigi.commands.prices.ticks import days_between, values_between

_COLORS = ("cyan", "magenta", "yellow", "green", "blue", "red")
_MARK = "▲"
# The braille pattern without dots, which some fonts draw as empty circles.
_BLANK = "\u2800"
_LEAST_WIDTH = 40


def drawn(chart: Chart, columns: int, rows: int, *, in_color: bool) -> Iterator[str]:
    """The lines of a chart that is ``columns`` wide and about ``rows`` high."""
    import plotille

    scaled = math.log10 if chart.is_log else float
    (first, last), (low, high) = chart.days, chart.closes
    ticks = values_between(low, high, is_log=chart.is_log, most=max(3, rows // 4))
    margin = max(len(f"{tick:,g}") for tick in ticks)
    width, height = max(columns - margin - 3, _LEAST_WIDTH), max(rows - 4 - len(chart.notes), 6)
    bottom, top = scaled(low), scaled(high)
    room = (top - bottom or 1.0) * 0.05
    bottom, top = bottom - room, top + room
    span = max((last - first).days, 1)
    canvas = plotille.Canvas(width, height, xmin=0, xmax=span, ymin=bottom, ymax=top, mode="names")
    for number, line in enumerate(chart.lines):
        color = _COLORS[number % len(_COLORS)] if in_color else None
        points = [((day - first).days, scaled(close)) for day, close in zip(line.days, line.closes, strict=True)]
        if len(points) == 1:
            canvas.point(*points[0], color=color)
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            canvas.line(x0, y0, x1, y1, color=color)
        if len(chart.lines) > 1:
            room_left = len(line.label) / width * span
            canvas.text(max(points[-1][0] - room_left, 0), points[-1][1], line.label, color=color)
    for mark in chart.marks:
        x = min(max((mark.day - first).days, 0), span)
        canvas.text(x, scaled(mark.close), _MARK)
    yield from textwrap.wrap(chart.title, columns)
    labels = {round((top - scaled(tick)) / (top - bottom) * height - 0.5): f"{tick:,g}" for tick in ticks}
    for number, row in enumerate(canvas.plot().splitlines()):
        label = labels.get(number, "")
        yield f"{label:>{margin}} {'┤' if label else '│'}{row.replace(_BLANK, ' ').rstrip()}"
    below, texts = list("─" * width), [" "] * width
    for day, text in days_between(first, last, most=max(2, width // 14)):
        place = min(round((day - first) / timedelta(days=span) * (width - 1)), width - 1)
        start = min(max(place - len(text) // 2, 0), width - len(text))
        if "".join(texts[max(start - 1, 0) : start + len(text) + 1]).strip():
            continue
        below[place] = "┬"
        texts[start : start + len(text)] = text
    yield f"{'':>{margin}} └{''.join(below)}".rstrip()
    yield f"{'':>{margin}}  {''.join(texts)}".rstrip()
    below_it = f"{chart.unit}{', logarithmic scale' if chart.is_log else ''}. {'. '.join(chart.notes)}."
    yield from textwrap.wrap(below_it, columns)
    if chart.marks:
        several = len(chart.lines) > 1
        marks = (f"{f'{mark.line} ' if several else ''}{mark.day} {mark.label}" for mark in chart.marks)
        yield from textwrap.wrap(f"{_MARK} {'; '.join(marks)}", columns)
