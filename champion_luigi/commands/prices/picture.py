"""A chart as a PNG or SVG picture, drawn without a display."""

from __future__ import annotations

from pathlib import Path

from champion_luigi.commands.prices.chart import Chart, Mark
from champion_luigi.commands.prices.ticks import days_between, values_between

_INCHES = (11.0, 6.0)
_DOTS_PER_INCH = 120
_COLORS = ("#1f5fa8", "#b5532a", "#3f7d3c", "#7a4a97", "#8a6d1d", "#4f4f4f")
_GREY = "#666666"
# More would overlap: beyond these, marks have no words. Marks of a line that are nearer, as a share of the width, have
# them together.
_MOST_NAMED = 12
_NEAR = 0.05


def draw(chart: Chart, path: Path, form: str) -> None:
    """Draw a chart into a new file, as ``png`` or ``svg``."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Text in an SVG stays text, and the same chart gives the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "champion", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if chart.is_log:
            axes.set_yscale("log")
        for line, color in zip(chart.lines, _COLORS * len(chart.lines), strict=False):
            marker = "o" if len(line.days) == 1 else ""
            axes.plot(
                [day.toordinal() for day in line.days],
                line.closes,
                color=color,
                linewidth=1.2,
                marker=marker,
                label=line.label,
            )
        for mark in chart.marks:
            axes.plot([mark.day.toordinal()], [mark.close], marker="^", color="black", markersize=6, linestyle="")
        groups = _neighbours(chart)
        for group in groups if len(groups) <= _MOST_NAMED else []:
            axes.annotate(
                "\n".join(mark.label for mark in group),
                (group[-1].day.toordinal(), min(mark.close for mark in group)),
                (0, -9),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            )
        values = values_between(*chart.closes, is_log=chart.is_log, most=9)
        axes.set_yticks(values, [f"{value:,g}" for value in values], minor=False)
        axes.set_yticks([], minor=True)
        days = days_between(*chart.days, most=12)
        axes.set_xticks([day.toordinal() for day, _ in days], [text for _, text in days])
        axes.margins(x=0.02, y=0.12)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(chart.title, loc="left", fontsize=12)
        axes.set_ylabel(f"{chart.unit}{', logarithmic scale' if chart.is_log else ''}")
        if len(chart.lines) > 1:
            axes.legend(frameon=False, loc="best")
        notes = [*chart.notes, *(["▲ split, bonus or consolidation"] if chart.marks else [])]
        figure.supxlabel(". ".join(notes), x=0.01, ha="left", fontsize=8, color=_GREY)
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(path, format=form, metadata=metadata)


def _neighbours(chart: Chart) -> list[list[Mark]]:
    """The marks of each line, those that are close to one another together."""
    first, last = chart.days
    near = (last - first).days * _NEAR
    groups: list[list[Mark]] = []
    for line in chart.lines:
        before = None
        for mark in (each for each in chart.marks if each.line == line.label):
            if before is not None and (mark.day - before).days <= near:
                groups[-1].append(mark)
            else:
                groups.append([mark])
            before = mark.day
    return groups
