"""The results of users' statements, as files or as a table."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

# The formats of --format, and their names in ClickHouse: CSV with a header, JSON lines, an Arrow IPC stream.
FORMATS = {
    "table": "TSVWithNamesAndTypes",
    "csv": "CSVWithNames",
    "json": "JSONEachRow",
    "parquet": "Parquet",
    "arrow": "ArrowStream",
}
# A result for a terminal ends after about this many rows: enough to report how many there are.
MOST_COUNTED = 100_000

_NUMBER = re.compile(r"((Nullable|LowCardinality)\()*(U?Int|Float|BFloat|Decimal)")
_ESCAPE = re.compile(r"\\(['\\])")
_GAP = "  "


def table_lines(path: Path, columns: int | None = None, most_rows: int | None = None) -> Iterator[str]:
    """The lines of a table, from a file in the format ``table``. The file is read twice, and never held in memory.

    ``columns`` is a terminal's width. Columns that do not fit, and rows beyond ``most_rows``, are left out; a note at
    the end reports them.
    """
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        names, types = (_cells(next(file)) for _ in range(2))
        # A single column may hold text of many lines, such as that of SHOW CREATE.
        is_text = len(names) == 1 and not _NUMBER.match(types[0])
        read = _lines_of_text if is_text else _cells
        widths = [len(name) for name in names]
        shown = 0
        for cells in map(read, itertools.islice(file, most_rows)):
            widths = [max(widths[0], *map(len, cells))] if is_text else list(map(max, widths, map(len, cells)))
            shown += 1
        count = shown + sum(1 for _ in file)
    if columns is not None and len(names) > 1:
        # At least the first column.
        widths = [min(width, columns) for width in widths]
        ends = itertools.accumulate(len(_GAP) + width for width in widths)
        widths = widths[: max(1, sum(end - len(_GAP) <= columns for end in ends))]
    numeric = [_NUMBER.match(each) is not None for each in types]

    def line(cells: list[str]) -> str:
        shown = (
            cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(cells, widths, strict=False)
        )
        aligned = zip(shown, widths, numeric, strict=False)
        return _GAP.join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in aligned).rstrip()

    yield line(names)
    yield _GAP.join("-" * width for width in widths)
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for text in itertools.islice(file, 2, 2 + shown):
            cells = read(text)
            yield from cells if is_text else [line(cells)]
    if columns is not None:
        yield from textwrap.wrap(_note(shown, count, names, len(widths)), columns)


def _cells(line: str) -> list[str]:
    return [_cell(text) for text in line.removesuffix("\n").split("\t")]


def _lines_of_text(line: str) -> list[str]:
    # A backslash in the text is doubled, and an n after it is not a line end. Replace it by NUL, which never occurs.
    lines = line.removesuffix("\n").replace("\\\\", "\0").split("\\n")
    return [_cell(each.replace("\0", "\\\\")) for each in lines]


def _cell(text: str) -> str:
    if text == "\\N":
        return "NULL"
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    # Show control characters, which would move the cursor, as their codes.
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _note(shown: int, count: int, names: list[str], fitting: int) -> str:
    note = "1 row" if count == 1 else f"{count:,} rows"
    if shown < count:
        least = "" if count < MOST_COUNTED else "at least "
        note = f"{shown:,} rows, and {least}{count - shown:,} more"
    if fitting < len(names):
        note += f"; columns that did not fit: {', '.join(names[fitting:])}"
    return f"({note})"
