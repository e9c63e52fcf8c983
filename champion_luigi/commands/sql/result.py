"""Statements that people write for the warehouse: what they may be, their results as files, and as a table."""

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

# What people call a format, and ClickHouse's name of it: CSV with a header, JSON lines, an Arrow IPC stream.
FORMATS = {
    "table": "TSVWithNamesAndTypes",
    "csv": "CSVWithNames",
    "json": "JSONEachRow",
    "parquet": "Parquet",
    "arrow": "ArrowStream",
}
# A result for a terminal ends about here: it only has to be said how much there is.
MOST_COUNTED = 100_000

# ClickHouse's own protection lets UNDROP, BACKUP and KILL pass: what may only read is named here.
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
    """One statement, and whether it gives rows and changes nothing."""

    text: str
    reads: bool


def understood(questions: Questions, text: str, *, write: bool) -> Statement:
    """What somebody wrote, as one statement that is allowed. Raises WarehouseError, with the syntax error too."""
    try:
        parsed = questions.parse(text)
    except WarehouseError as error:
        if "Multi-statements" not in error.what:
            raise
        raise WarehouseError(
            "one statement at a time: nothing of this was run", todo="Run each by a command of its own."
        ) from None
    word = parsed.split(maxsplit=1)[0]
    if word in _WITHOUT_EFFECT:
        raise WarehouseError(
            f"{word} would be forgotten at once: each statement stands alone",
            todo="Name a table as database.table, and put SETTINGS at the end of a query.",
        )
    if word in _READING:
        if _OWN_OUTPUT.search(_LITERAL.sub("''", parsed)):
            raise WarehouseError(
                "the format and the file are not the statement's to say",
                todo="Leave FORMAT and INTO OUTFILE out: --format and --output say them.",
            )
        # What was looked at is what is run.
        return Statement(parsed, reads=True)
    if not write:
        raise WarehouseError(f"{word} is no reading statement", todo="--write allows everything.")
    # An INSERT's values are no part of what was parsed.
    return Statement(text, reads=False)


def interruptibly(questions: Questions, work: Callable[[], _T]) -> _T:
    """Do what waits for ClickHouse, ended by Ctrl-C: it raises KeyboardInterrupt when the engine has stopped."""
    with signals.noted() as presses, ThreadPoolExecutor(1, "champion-sql") as executor:
        future = executor.submit(work)
        while not wait([future], timeout=1 if presses else 0.1).done:
            if presses:
                # Again, in case it had not begun. Where it cannot be ended, its time limit does.
                with contextlib.suppress(ChampionError):
                    questions.interrupt()
    if presses:
        raise KeyboardInterrupt
    return future.result()


def table_lines(path: Path, columns: int | None = None, most_rows: int | None = None) -> Iterator[str]:
    """The lines of a table, out of a file in the table's format: read twice, never held in memory.

    ``columns`` is a terminal's width: columns that do not fit, and rows beyond ``most_rows``, are left out, and a note
    at the end says so.
    """
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        names, types = (_cells(next(file)) for _ in range(2))
        # A lone column may be a text of many lines, as of SHOW CREATE.
        is_text = len(names) == 1 and not _NUMBER.match(types[0])
        read = _lines_of_text if is_text else _cells
        widths = [len(name) for name in names]
        shown = 0
        for cells in map(read, itertools.islice(file, most_rows)):
            widths = [max(widths[0], *map(len, cells))] if is_text else list(map(max, widths, map(len, cells)))
            shown += 1
        count = shown + sum(1 for _ in file)
    if columns is not None and len(names) > 1:
        widths = _fitting(widths, columns)
    numeric = [_NUMBER.match(each) is not None for each in types]

    def line(cells: list[str]) -> str:
        return _GAP.join(
            _cut(cell, width).rjust(width) if right else _cut(cell, width).ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=False)
        ).rstrip()

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
    # A backslash of the text itself is two: what follows it ends no line. A NUL never stands here as such.
    lines = line.removesuffix("\n").replace("\\\\", "\0").split("\\n")
    return [_cell(each.replace("\0", "\\\\")) for each in lines]


def _cell(text: str) -> str:
    if text == "\\N":
        return "NULL"
    if "\\" in text:
        text = _ESCAPE.sub(r"\1", text)
    # What would move the cursor is shown by its code.
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _fitting(widths: list[int], columns: int) -> list[int]:
    fitting: list[int] = []
    for width in widths:
        if fitting and sum(fitting) + len(_GAP) * len(fitting) + min(width, columns) > columns:
            break
        fitting.append(min(width, columns))
    return fitting


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"


def _note(shown: int, count: int, names: list[str], fitting: int) -> str:
    rows = "1 row" if count == 1 else f"{count:,} rows"
    if shown < count:
        least = "" if count < MOST_COUNTED else "at least "
        rows = f"{shown:,} rows, and {least}{count - shown:,} more"
    if fitting == len(names):
        return f"({rows})"
    return f"({rows}; not shown for want of width: {', '.join(names[fitting:])})"
