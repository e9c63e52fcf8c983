"""A frame as a table on a terminal or in a pipe: the newest rows, and a note about what was left out."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

_GAP = "  "
_ROWS_ON_A_TERMINAL = 40
# Columns whose numbers have no fixed decimals: two would hide a third of a share.
_RATIOS = ("factor", "exchange_factor", "total_factor", "percent")
_COUNTS = ("volume", "trades")


def shown(frame: pl.DataFrame, noun: str = "row") -> Iterator[str]:
    """The lines of a table for standard output: on a terminal the last rows and the columns that fit, else all."""
    if sys.stdout.isatty():
        return lines(frame, noun, shutil.get_terminal_size().columns, _ROWS_ON_A_TERMINAL)
    return lines(frame, noun)


def lines(
    frame: pl.DataFrame, noun: str = "row", columns: int | None = None, most_rows: int | None = None
) -> Iterator[str]:
    """The lines of a table, with ``columns`` and ``most_rows`` as limits and a note at the end; all of it without."""
    left_out = max(0, frame.height - most_rows) if most_rows is not None else 0
    is_number = [dtype.is_numeric() for dtype in frame.dtypes]
    cells = [[_text(name, value) for value in frame[name].slice(left_out)] for name in frame.columns]
    widths = [max(map(len, (name, *column))) for name, column in zip(frame.columns, cells, strict=True)]
    if columns is not None:
        # At least the first column.
        ends = itertools.accumulate(len(_GAP) + width for width in widths)
        fitting = max(1, sum(end - len(_GAP) <= columns for end in ends))
    else:
        fitting = len(widths)

    def line(texts: tuple[str, ...]) -> str:
        aligned = zip(texts[:fitting], widths[:fitting], is_number[:fitting], strict=True)
        return _GAP.join(text.rjust(width) if right else text.ljust(width) for text, width, right in aligned).rstrip()

    yield line(tuple(frame.columns))
    yield _GAP.join("-" * width for width in widths[:fitting])
    yield from map(line, zip(*cells, strict=True))
    if columns is not None:
        count = f"{frame.height:,} {noun}{'' if frame.height == 1 else 's'}"
        notes = [f"the last {frame.height - left_out:,} of {count}" if left_out else count]
        if fitting < len(widths):
            notes.append(f"columns that did not fit: {', '.join(frame.columns[fitting:])}")
        yield f"({'; '.join(notes)})"


def _text(name: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if name in _RATIOS:
            return f"{value:.6g}"
        case float() if name in _COUNTS:
            return f"{value:,.0f}"
        case float():
            return f"{value:,.2f}"
        case int():
            return f"{value:,}"
        case date():
            return value.isoformat()
        case _:
            return str(value)
