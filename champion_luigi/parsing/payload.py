"""The check of a published payload: a CSV, zipped or not, with a known header and the requested day inside.

It reads as little as possible and uses no data frames. It runs on the fetched payload, and again when the
stored payload is parsed.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from champion_luigi.base.errors import RejectedPayload, UnknownLayout, WrongDate
from champion_luigi.base.secrets import hidden
from champion_luigi.datasets.model import Dataset, Layout
from champion_luigi.parsing.unzip import MAX_UNZIPPED_BYTES, unzip

# The largest day has 3,200 lines of at most 300 characters.
_MOST_LINES = 200_000
_MOST_LETTERS = 100_000

_LOOKED_AT = 10_000


@dataclass(frozen=True)
class Recognised:
    """A payload recognised as a data set's file. ``lines`` are the data rows as published, without line ends.

    ``source`` says where the payload came from: a URL, or a path.
    """

    dataset: Dataset
    day: date
    source: str
    layout: Layout
    header: tuple[str, ...]
    lines: list[str]
    # Each line's number in the file, counted from 1; empty if the lines are consecutive from line 2.
    numbers: tuple[int, ...] = ()


def recognise(
    payload: bytes, dataset: Dataset, day: date, source: str = "payload", max_unzipped_bytes: int = MAX_UNZIPPED_BYTES
) -> Recognised:
    """Read a published payload, zipped or plain, far enough to know that it is the data set's file of ``day``.

    Raises TruncatedPayload, RejectedPayload, UnknownLayout or WrongDate, each naming ``source``.
    """
    about: dict[str, Any] = {"day": day, "source": source}
    content = unzip(payload, day, source, max_unzipped_bytes)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Every byte is valid in Latin-1, so nothing is lost, and the names keep their bytes.
        text = content.decode("latin-1")
    if text.lstrip()[:1] == "<":
        what = "the payload is an HTML page, not the file"
        raise RejectedPayload(what, **about, expected="a zip or CSV", found=_start(text))
    lines, numbers = [], []
    for number, raw in enumerate(_lines(text, about), start=1):
        if (line := raw.rstrip("\r")) and not line.isspace():
            lines.append(line)
            numbers.append(number)
    if not lines:
        raise RejectedPayload("the file is empty", **about, expected="a header line and rows")
    header = _names(lines[0])
    layout = _layout(header, dataset, day, about)
    has_gaps = numbers[-1] != len(numbers)
    found = Recognised(dataset, day, source, layout, header, lines[1:], tuple(numbers[1:]) if has_gaps else ())
    if not found.lines:
        raise RejectedPayload("the file has a header and no rows", **about, expected="rows", found="0 rows")
    _require_date(found, about)
    return found


def fields_of(line: str) -> list[str]:
    """The fields of one line, with CSV quotes resolved."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], skipinitialspace=True))
    except csv.Error:
        return []


def _lines(text: str, about: Mapping[str, Any]) -> list[str]:
    """The lines of a text. Raises RejectedPayload if they are so many or so long that splitting would fill memory."""
    if (found := text.count("\n")) > _MOST_LINES:
        limit = f"at most {_MOST_LINES:,}"
        raise RejectedPayload("the file has too many lines", **about, expected=limit, found=f"{found:,}")
    lines = text.split("\n")
    if (longest := max(map(len, lines))) > _MOST_LETTERS:
        limit = f"at most {_MOST_LETTERS:,} characters"
        raise RejectedPayload("the file has a line that is too long", **about, expected=limit, found=f"{longest:,}")
    return lines


def _names(line: str) -> tuple[str, ...]:
    names = [name.strip() for name in fields_of(line)]
    # Most layouts end their header with a comma, which adds no column.
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _layout(header: tuple[str, ...], dataset: Dataset, day: date, about: Mapping[str, Any]) -> Layout:
    found = set(header)
    if len(found) == len(header):
        for layout in dataset.layouts:
            if found == set(layout.columns) and layout.is_in_force(day):
                return layout
    for name, columns in dataset.lookalikes.items():
        if found >= columns:
            raise UnknownLayout(f"this is {name}, not the {dataset.title}", **about, found=_listed(header))
    nearest = max(dataset.layouts, key=lambda layout: (len(found & set(layout.columns)), layout.is_in_force(day)))
    if not found & set(nearest.columns):
        what = f"the first line is not the header of the {dataset.title}"
        raise RejectedPayload(what, **about, found=_start(",".join(header)))
    in_force = [layout for layout in dataset.layouts if layout.source == nearest.source and layout.is_in_force(day)]
    expected = in_force[0] if in_force else nearest
    faults = {
        "missing": [name for name in expected.columns if name not in header],
        "unexpected": [name for name in dict.fromkeys(header) if name not in expected.columns],
        "repeated": sorted(name for name, times in Counter(header).items() if times > 1),
    }
    differences = "; ".join(f"{label} {_listed(names)}" for label, names in faults.items() if names)
    raise UnknownLayout(
        f"the columns are not those that the {expected.source} format had on that date",
        **about,
        expected=f"{len(expected.columns)} columns",
        found=differences or f"the {nearest.source} layout of {nearest.first} to {nearest.last}",
        todo=f"If the exchange has changed its file, add the layout to champion_luigi/datasets/{dataset.name}.py.",
    )


def _require_date(recognised: Recognised, about: Mapping[str, Any]) -> None:
    dataset, day = recognised.dataset, recognised.day
    column = recognised.header.index(dataset.published_columns(recognised.layout.source)["trade_date"])
    seen: dict[str, date | None] = {}
    for line in recognised.lines:
        fields = fields_of(line)
        if len(fields) <= column:
            continue
        text = fields[column]
        if text not in seen:
            seen[text] = dataset.read_date(text, day)
            if seen[text] == day:
                return
    if seen:
        dates = ", ".join(str(found or repr(text[:20])) for text, found in list(seen.items())[:5])
        raise WrongDate(
            "the file holds another day",
            **about,
            expected=f"rows of {day}",
            found=dates,
            todo="For a holiday the archive may publish the previous session again under the holiday's name.",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:40])


def _start(text: str) -> str:
    # Hide secrets before cutting: servers echo the request.
    return repr(hidden(text.lstrip()[:_LOOKED_AT])[:60])
