"""The check of a published payload: the data set's rows of the requested day, in a known layout of its source.

It reads as little as possible and uses no data frames. It runs on the fetched payload, and again when the
stored payload is parsed.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from champion_luigi.base.errors import NotPublished, RejectedPayload, TruncatedPayload, UnknownLayout, WrongDate
from champion_luigi.base.secrets import hidden
from champion_luigi.datasets.model import MONTHS, Dataset, Layout, Preamble, Source
from champion_luigi.parsing.unzip import MAX_UNZIPPED_BYTES, unzip

# The largest day has 3,200 lines of at most 300 characters.
_MOST_LINES = 200_000
_MOST_LETTERS = 100_000

# More days than there ever were from one session to the next since files are repeated.
_LONGEST_BREAK = timedelta(days=7)

_LOOKED_AT = 10_000
_VALUE_LENGTH = 30
_MOST_DIGITS = 18
# How many rows, spread over the file, show whose file it is.
_SAMPLE = 50


@dataclass(frozen=True)
class Recognised:
    """A payload recognised as a data set's file. ``lines`` are the rows as published, without line ends.

    They include the file's rows that are not the data set's. ``source`` says where the payload came from: a URL, or a
    path, and the member of a zip with many.
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
    payload: bytes,
    dataset: Dataset,
    day: date,
    source: str = "payload",
    max_unzipped_bytes: int = MAX_UNZIPPED_BYTES,
    *,
    format: str = "",
) -> Recognised:
    """Read a published payload, zipped or plain, far enough to know that it is the data set's file of ``day``.

    ``format`` is the name of the data set's source that published it. Without it, the columns decide among the sources
    whose files stand alone. Raises TruncatedPayload, RejectedPayload, UnknownLayout or WrongDate, each naming
    ``source``; and NotPublished for a file that stands for none: the previous session's, from a source that repeats it,
    or one without rows, if the source says that this means no file.
    """
    about: dict[str, Any] = {"day": day, "source": source}
    of = dataset.source(format)
    content, member = unzip(payload, day, source, max_unzipped_bytes, of)
    if of and of.is_one_of_many and member:
        about["source"] = source = f"{source}: {member}"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Every byte is valid in Latin-1, so nothing is lost, and the names keep their bytes.
        text = content.decode("latin-1")
    if text.lstrip()[:1] == "<":
        what = "the payload is an HTML page, not the file"
        raise RejectedPayload(what, **about, expected="a zip or CSV", found=_start(text))
    every = [line.rstrip("\r") for line in _lines(text, about)]
    numbers = [number for number, line in enumerate(every, start=1) if line and not line.isspace()]
    lines = [every[number - 1] for number in numbers]
    if not lines:
        _require_published(of, about)
        raise RejectedPayload("the file is empty", **about, expected="a header line and rows")
    preamble = of.preamble if of else None
    told = _told(preamble, lines, about) if preamble else {}
    start = len(preamble.lines) if preamble else 0
    header = _names(lines[start]) if len(lines) > start else ()
    layout = _layout(header, dataset, of, day, about)
    of = of or _source(dataset, layout)
    has_gaps = numbers[-1] != len(numbers) or start
    rows, places = lines[start + 1 :], tuple(numbers[start + 1 :]) if has_gaps else ()
    found = Recognised(dataset, day, source, layout, layout.fields or header, rows, places)
    if not found.lines:
        _require_published(of, about)
        raise RejectedPayload("the file has a header and no rows", **about, expected="rows", found="0 rows")
    _require_member(of, member, about)
    if of.ends_in_newline:
        _require_end(found, text, about)
    _require_date(found, of, told.get("date"), about)
    if of.own:
        _require_own_rows(found, of, about)
    if preamble:
        _require_totals(found, of, preamble, told, about)
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


def _told(preamble: Preamble, lines: Sequence[str], about: Mapping[str, Any]) -> dict[str, str]:
    """The named parts of the lines before the column names."""
    told: dict[str, str] = {}
    for number, pattern in enumerate(preamble.lines):
        line = lines[number].strip() if number < len(lines) else ""
        if not (found := re.fullmatch(pattern, line)):
            what = f"line {number + 1} is not as in the source's other files"
            raise RejectedPayload(what, **about, expected=pattern, found=_start(line))
        told |= found.groupdict()
    return told


def _source(dataset: Dataset, layout: Layout) -> Source:
    return next(source for source in dataset.sources if source.name == layout.source)


def _layout(
    header: tuple[str, ...], dataset: Dataset, of: Source | None, day: date, about: Mapping[str, Any]
) -> Layout:
    found = set(header)
    if len(found) == len(header):
        for layout in dataset.layouts:
            if found != set(layout.columns) or not layout.is_in_force(day) or (of and layout.source != of.name):
                continue
            # Names that are not one a field are those of the fields in one order only.
            if not layout.fields or header == layout.columns:
                return layout
    for name, columns in dataset.lookalikes.items():
        if found >= columns:
            raise UnknownLayout(f"this is {name}, not the {dataset.title}", **about, found=_listed(header))
    nearest = max(dataset.layouts, key=lambda layout: (len(found & set(layout.columns)), layout.is_in_force(day)))
    if not found & set(nearest.columns):
        what = f"the first line is not the header of the {dataset.title}"
        raise RejectedPayload(what, **about, found=_start(",".join(header)))
    name = of.name if of else nearest.source
    in_force = [layout for layout in dataset.layouts if layout.source == name and layout.is_in_force(day)]
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


def _require_published(of: Source | None, about: Mapping[str, Any]) -> None:
    if of and of.empty_is_unpublished:
        raise NotPublished("the day's file has no rows", **about, expected="rows", found="0 rows")


def _require_member(of: Source, member: str, about: Mapping[str, Any]) -> None:
    day = about["day"]
    if of.is_one_of_many:
        if not member:
            raise RejectedPayload("the payload is not a zip", **about, expected="a zip with several members")
    elif member and of.is_others_member(member, day):
        what = "the zip holds the file of another exchange, segment or day"
        raise RejectedPayload(what, **about, expected=" or ".join(of.members_of(day)), found=_quoted(member, 80))


def _require_end(recognised: Recognised, text: str, about: Mapping[str, Any]) -> None:
    # An incomplete last field cannot be told from a shorter one, but the file's last line end is missing then.
    last, expected = recognised.lines[-1], len(recognised.header)
    if not text.endswith("\n") or len(fields_of(last)) < expected:
        what = f"the file is cut off in its last line, after {len(recognised.lines):,} rows"
        whole = f"{expected} fields and a line end"
        raise RejectedPayload(what, **about, expected=whole, found=f"{len(fields_of(last))} fields: {_start(last)}")


def _require_date(recognised: Recognised, of: Source, told: str | None, about: Mapping[str, Any]) -> None:
    """Require the day in the date column or, if there is none, in ``told``, which the lines before the names state."""
    dataset, day = recognised.dataset, recognised.day
    seen: dict[str, date | None] = {}
    for text in _dates(recognised) if told is None else [told]:
        if text not in seen:
            seen[text] = dataset.read_date(text, day)
            if seen[text] == day:
                return
    if not seen:
        return
    texts = list(seen.items())[:5]
    if not any(seen.values()):
        raise RejectedPayload(
            "the dates in the file cannot be read",
            **about,
            expected=f"{day} as " + (" or ".join(_readable(dataset, day)) or "a date"),
            found=", ".join(_quoted(text) for text, _ in texts),
            todo=f"If the exchange has changed its file, let champion_luigi/datasets/{dataset.name}.py read the date.",
        )
    [only, *others] = dict.fromkeys(seen.values())
    if of.repeats_previous and only and not others and day - _LONGEST_BREAK <= only < day:
        raise NotPublished(
            "the archive has the previous session's file under this date", **about, found=f"the file of {only}"
        )
    raise WrongDate(
        "the file holds another day",
        **about,
        expected=f"rows of {day}",
        found=", ".join(str(found or _quoted(text)) for text, found in texts),
        todo="For a holiday the archive may publish the previous session again under the holiday's name.",
    )


def _dates(recognised: Recognised) -> Iterator[str]:
    if not (name := recognised.dataset.published_columns(recognised.layout.source).get("trade_date")):
        return
    column = recognised.header.index(name)
    for line in recognised.lines:
        if len(fields := fields_of(line)) > column:
            yield fields[column]


def _readable(dataset: Dataset, day: date) -> list[str]:
    """The day in each common form that the data set reads."""
    month = MONTHS[day.month - 1]
    forms = [f"{day}", f"{day:%d}-{month}-{day:%Y}", f"{day:%d}-{month}-{day:%y}", f"{day:%d-%m-%Y}", f"{day:%d/%m/%Y}"]
    forms += [f"{day:%d} {month} {day:%Y}", f"{day:%d%m%Y}", f"{day:%Y%m%d}"]
    return [form for form in forms if dataset.read_date(form, day) == day]


def _require_own_rows(recognised: Recognised, of: Source, about: Mapping[str, Any]) -> None:
    """Require that the file has rows of the data set, and no more foreign ones. A few foreign rows become rejects."""
    names = {*of.own, *(name for values in of.others for name in values)}
    foreign: Counter[str] = Counter()
    # A sample shows whose file it is, unless it shows none of the data set's rows.
    for lines in (recognised.lines[:: len(recognised.lines) // _SAMPLE + 1], recognised.lines):
        own = 0
        foreign.clear()
        for row in _rows(recognised, lines, names):
            if _applies(of.own, row):
                own += 1
            elif not any(_applies(values, row) for values in of.others):
                foreign[", ".join(f"{name} {_quoted(row[name].strip())}" for name in of.own)] += 1
        if own and own >= foreign.total():
            return
    raise RejectedPayload(
        "the file is not the data set's: most of its rows are foreign" if foreign else "no row is the data set's",
        **about,
        expected=", ".join(f"{name} {' or '.join(map(repr, values))}" for name, values in of.own.items()),
        found="; ".join(f"{count:,} rows with {values}" for values, count in foreign.most_common(5)) or "0 rows",
    )


def _require_totals(
    recognised: Recognised, of: Source, preamble: Preamble, told: Mapping[str, str], about: Mapping[str, Any]
) -> None:
    names = {*of.own, *filter(None, [preamble.total_of])}
    rows = [row for row in _rows(recognised, recognised.lines, names) if _applies(of.own, row)]
    if "rows" in told and (expected := _count(told["rows"])) != len(rows):
        error = TruncatedPayload if len(rows) < expected else RejectedPayload
        what = "the file has another number of rows than it says"
        raise error(what, **about, expected=f"{expected:,} rows", found=f"{len(rows):,}")
    if "total" in told:
        expected, total = _count(told["total"]), sum(_count(row[preamble.total_of]) for row in rows)
        if total != expected:
            what = f"the total of {preamble.total_of!r} is not what the file says"
            raise RejectedPayload(what, **about, expected=f"{expected:,}", found=f"{total:,}")


def _count(text: str) -> int:
    """A count as an integer; 0 if it is none, which then agrees with no total."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else 0


def _rows(recognised: Recognised, lines: Sequence[str], names: Collection[str]) -> Iterator[dict[str, str]]:
    """The values of some columns, from the lines that are as long as they should be."""
    places = [(name, recognised.header.index(name)) for name in names]
    for line in lines:
        if len(fields := fields_of(line)) >= len(recognised.header):
            yield {name: fields[place] for name, place in places}


def _applies(values: Mapping[str, tuple[str, ...]], row: Mapping[str, str]) -> bool:
    return all(row[name].strip() in accepted for name, accepted in values.items())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:40])


def _start(text: str) -> str:
    return _quoted(text.lstrip(), 60)


def _quoted(text: str, length: int = _VALUE_LENGTH) -> str:
    # Hide secrets before cutting: servers echo the request.
    return repr(hidden(text[:_LOOKED_AT])[:length])
