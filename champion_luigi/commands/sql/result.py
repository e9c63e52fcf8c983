"""Users' statements for the warehouse: which ones are allowed, and their results as files or as a table."""

from __future__ import annotations

import contextlib
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from champion_luigi.base import signals
from champion_luigi.base.errors import ChampionError, WarehouseError
from champion_luigi.warehouse.statements import Questions

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

# ClickHouse's own read-only mode allows UNDROP, BACKUP and KILL, so list the reading statements here.
_READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"})
_WITHOUT_EFFECT = frozenset({"USE", "SET"})
_LITERAL = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*\"""")
_OWN_OUTPUT = re.compile(r"\bINTO OUTFILE\b|\bPARALLEL WITH\b|\bFORMAT \w+( SETTINGS .*)?$")
_NUMBER = re.compile(r"((Nullable|LowCardinality)\()*(U?Int|Float|BFloat|Decimal)")
_ESCAPE = re.compile(r"\\(['\\])")
_GAP = "  "

_T = TypeVar("_T")


@dataclass(frozen=True)
class Statement:
    """One statement, and whether it only reads: it returns rows and changes nothing."""

    text: str
    reads: bool


def understood(questions: Questions, text: str, *, write: bool) -> Statement:
    """The user's text as one allowed statement. Raises WarehouseError otherwise, also for syntax errors."""
    try:
        parsed = questions.parse(text)
    except WarehouseError as error:
        if "Multi-statements" not in error.what:
            raise
        raise WarehouseError(
            "only one statement at a time: nothing was run", todo="Run each statement with its own command."
        ) from None
    word = parsed.split(maxsplit=1)[0]
    if word in _WITHOUT_EFFECT:
        raise WarehouseError(
            f"{word} would have no effect: each statement runs on its own",
            todo="Name a table as database.table, and put SETTINGS at the end of a query.",
        )
    if word in _READING:
        if _OWN_OUTPUT.search(_LITERAL.sub("''", parsed)):
            raise WarehouseError(
                "a statement cannot set the format or the file",
                todo="Leave out FORMAT and INTO OUTFILE, and use --format and --output.",
            )
        # Run exactly the text that was checked.
        return Statement(parsed, reads=True)
    if not write:
        raise WarehouseError(f"{word} is not a reading statement", todo="Use --write to allow all statements.")
    # The parsed text of an INSERT lacks its values.
    return Statement(text, reads=False)


def interruptibly(questions: Questions, work: Callable[[], _T]) -> _T:
    """Run work that waits for ClickHouse. Ctrl-C stops the engine, then raises KeyboardInterrupt."""
    with signals.noted() as presses, ThreadPoolExecutor(1, "champion-sql") as executor:
        future = executor.submit(work)
        while not wait([future], timeout=1 if presses else 0.1).done:
            if presses:
                # Repeat this, in case the query had not begun. If it cannot be stopped, its time limit ends it.
                with contextlib.suppress(ChampionError):
                    questions.interrupt()
    if presses:
        raise KeyboardInterrupt
    return future.result()


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
