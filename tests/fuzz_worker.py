"""Properties of every payload, checked on mutants in a process of its own, which `test_fuzz` watches.

    python fuzz_worker.py FIRST COUNT ARCHIVE

checks COUNT mutants, starting with the seed FIRST. The name of each mutant is printed before its check, to identify a
mutant that hangs or kills the process. The last line has the outcomes in JSON.
``python fuzz_worker.py NAME`` does the same with one of the `HEAVY` payloads.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import resource
import sys
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from random import Random

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl
from mutations import Base, Mutant, mutant, published, simulated

from champion_luigi.base.errors import (
    ChampionError,
    CheckFailed,
    RejectedPayload,
    TruncatedPayload,
    UnknownLayout,
    WrongDate,
)
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.parsing import payload, unzip
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, check, normalize
from champion_luigi.storage import lake

REAL_FILES = 12
SOURCE = "https://archive.example/file"
# The most memory of a process, including Python and Polars.
MOST_MIB = 1024
LONGEST_ERROR = 4000
HEAVY_BYTES = unzip.MAX_UNZIPPED_BYTES

KNOWN_ERRORS = (TruncatedPayload, RejectedPayload, UnknownLayout, WrongDate, CheckFailed)
RULES = (
    "field_count foreign_row bad_date other_date missing_key missing_number bad_number negative_number "
    "close_not_positive duplicate_key"
).split()
_PLAIN_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
_PLAIN_COUNT = re.compile(r"[0-9]{1,18}")
_MOST_KEPT = 2000


def outcome(
    payload_bytes: bytes, day: date
) -> tuple[payload.Recognised | None, Normalized | None, ChampionError | None]:
    """The outcome of a payload: the recognised file, its normalized rows, and the error that stopped it."""
    found = normalized = None
    try:
        found = payload.recognise(payload_bytes, EQUITY, day, SOURCE)
        normalized = normalize(parse(found), EQUITY, found.layout.source, day)
        check(normalized, day, SOURCE, 0.05)
    except ChampionError as error:
        return found, normalized, error
    return found, normalized, None


def signature(found: payload.Recognised | None, normalized: Normalized | None, error: ChampionError | None) -> str:
    """The kind of an outcome: a mutant of a new kind is worth mutating again."""
    said = re.sub(r"[0-9]+|'.*'|\".*\"", "_", error.what) if error else ""
    rules = sorted({reject.rule for reject in normalized.rejects}) if normalized else []
    warned = sorted(name for name, count in normalized.warnings.items() if count) if normalized else []
    shape = (bool(found.numbers), any('"' in line for line in found.lines)) if found else ()
    return repr((type(error).__name__, said, rules, warned, shape, found and found.layout.first))


def examine(base: Base, made: Mutant, *, thoroughly: bool) -> str:
    """Assert the properties of every payload. Returns the signature of the outcome."""
    found, normalized, error = outcome(made.payload, base.day)
    if error is not None:
        assert_told(error, base.day)
    if found is not None:
        lines = numbered_lines(made.content)
        if made.damaged:
            # Only bytes around the content were changed: the payload is rejected, or gives exactly the content.
            assert found.lines == [text for _, text in lines[1:]], "a damaged zip gave other lines"
        assert normalized is not None, "the recognised file could not be normalized"
        assert_whole(normalized, len(lines) - 1, base.day)
        assert_exact(found, normalized, lines[1:])
        if thoroughly:
            assert_repeatable(made.payload, base.day, found, normalized)
            assert_kept(normalized)
            if normalized.rows.height:
                assert_idempotent(normalized, found)
    return signature(found, normalized, error)


def assert_told(error: ChampionError, day: date) -> None:
    """An error is of a known kind, and prints as one line of limited length with day and source."""
    assert type(error) in KNOWN_ERRORS, f"an unexpected kind of error: {error!r}"
    said = str(error)
    assert said.isprintable(), f"the error cannot be printed: {said[:500]!r}"
    assert len(said) <= LONGEST_ERROR, f"the error has {len(said):,} characters: {said[:500]}"
    assert said.startswith(f"{day}: ")
    assert SOURCE in said


def numbered_lines(content: bytes) -> list[tuple[int, str]]:
    """The lines that are not blank, with the line numbers that any text reader gives them."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = ((number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if line.strip()]


def assert_whole(found: Normalized, raw: int, day: date) -> None:
    """No row is lost or doubled, and each accepted row fits the schema."""
    assert found.rows.height + len(found.rejects) == raw, f"{found.rows.height} + {len(found.rejects)} of {raw} rows"
    assert found.rows.schema == pl.Schema(EQUITY.types)
    for column in EQUITY.columns:
        values = found.rows[column.name]
        assert not (column.required and values.null_count()), column.name
        if column.kind.type in ("Float64", "Int64"):
            assert all(0 <= value < math.inf for value in values.drop_nulls().to_list()), column.name
        if column.zero_is_null:
            assert 0 not in values.to_list(), column.name
    assert (found.rows["close"] > 0).all()
    assert (found.rows["trade_date"] == day).all()
    keys = found.rows.select("symbol", "series").rows()
    assert len(set(keys)) == len(keys), "a key occurs twice"
    assert all(symbol and series for symbol, series in keys)
    assert tuple(found.warnings) == EQUITY.warning_names


def assert_exact(found: payload.Recognised, normalized: Normalized, lines: list[tuple[int, str]]) -> None:
    """Rejects have line, text, rule and reason; each row has the values that Python alone reads from its line."""
    by_number = dict(lines)
    for reject in normalized.rejects:
        assert reject.rule in RULES
        assert reject.detail
        assert reject.text == by_number.pop(reject.line), f"line {reject.line} was rejected with another text"
    columns = EQUITY.published_columns(found.layout.source)
    places = {name: found.header.index(theirs) for name, theirs in columns.items() if theirs in found.header}
    for text, row in zip(by_number.values(), normalized.rows.iter_rows(named=True), strict=True):
        fields = next(csv.reader([text], skipinitialspace=True)) if '"' in text else text.split(",")
        for column in EQUITY.columns:
            if column.name in ("trade_date", "layout"):
                continue
            value = row[column.name]
            written = _stripped(fields[places[column.name]]) if column.name in places else ""
            expected: str | float | None = written or None
            if expected is not None and column.kind.type != "String":
                expected = int(written) if column.kind.type == "Int64" else float(written)
                if expected == 0 and column.zero_is_null:
                    expected = None
            assert value == expected, f"{column.name} is {value!r}; written {written!r}"
    assert_no_row_is_rejected_for_nothing(found, normalized, places, lines)


def assert_no_row_is_rejected_for_nothing(
    found: payload.Recognised, normalized: Normalized, places: dict[str, int], lines: list[tuple[int, str]]
) -> None:
    """A line with only plain values is accepted, unless an earlier line has the same key."""
    rejected = {reject.line: reject.rule for reject in normalized.rejects}
    day = found.day
    dates = (f"{day}", f"{day:%d-%b-%Y}".upper())
    for number, text in lines:
        if number not in rejected or '"' in text or text.count(",") not in (len(found.header), len(found.header) - 1):
            continue
        fields = [_stripped(field) for field in text.split(",")]
        if any(fields[len(found.header) :]) or fields[places["trade_date"]] not in dates:
            continue
        numbers = {column: fields[places[column.name]] for column in EQUITY.columns if column.name in places}
        if all(
            bool((_PLAIN_COUNT if column.kind.type == "Int64" else _PLAIN_NUMBER).fullmatch(text))
            or (not text and not column.required)
            for column, text in numbers.items()
            if column.kind.type in ("Int64", "Float64")
        ):
            has_key = fields[places["symbol"]] and fields[places["series"]]
            is_positive = float(fields[places["close"]]) > 0
            rule = "missing_key" if not has_key else "duplicate_key" if is_positive else "close_not_positive"
            if any(fields[found.header.index(name)] not in accepted for name, accepted in own_values(found).items()):
                rule = "foreign_row"
            assert rejected[number] == rule, f"line {number} was rejected by {rejected[number]}: {text[:200]!r}"


def own_values(found: payload.Recognised) -> Mapping[str, tuple[str, ...]]:
    """The values by which the source of a file knows its rows."""
    source = EQUITY.source(found.layout.source)
    assert source is not None
    return source.own


def assert_repeatable(payload_bytes: bytes, day: date, found: payload.Recognised, normalized: Normalized) -> None:
    """The same bytes give the same result the second time."""
    again, normalized_again, _ = outcome(payload_bytes, day)
    assert again == found
    assert normalized_again is not None
    assert normalized_again.rows.equals(normalized.rows)
    assert (normalized_again.rejects, normalized_again.warnings) == (normalized.rejects, normalized.warnings)


def assert_kept(normalized: Normalized) -> None:
    """A lake file gives exactly the rows that were written to it."""
    rows = lake.sorted_by_key(normalized.rows, EQUITY)
    read, metadata = lake.table_of(lake.parquet_bytes(rows, {"rows": str(rows.height)}), Path("mutant.parquet"), EQUITY)
    assert read.schema == pl.Schema(EQUITY.types)
    assert read.equals(rows)
    assert metadata == {"rows": str(rows.height)}


def assert_idempotent(normalized: Normalized, found: payload.Recognised) -> None:
    """Rows in the exchange's format normalize to themselves."""
    rows = normalized.rows
    ours = {theirs: name for name, theirs in EQUITY.published_columns(found.layout.source).items()}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found.layout.columns)
    own = {name: accepted[0] for name, accepted in own_values(found).items()}
    for row in rows.iter_rows(named=True):
        writer.writerow([own.get(name, row.get(ours.get(name, ""), "")) for name in found.layout.columns])
    _, again, _ = outcome(text.getvalue().encode(), found.day)
    assert again is not None
    # The csv module has a limit for the fields that it reads, and a quoted line may have no CR outside the quotes.
    if not any(len(text) > 100_000 for text in text.getvalue().split(",")):
        assert not again.rejects, again.rejects[:1]
        assert again.rows.equals(rows)


# White space by Unicode, as in Rust: without \x1c to \x1f.
_BLANKS = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def _stripped(text: str) -> str:
    return text.strip(_BLANKS)


# Payloads that are small in transit


def _zip_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("bhav.csv", content)
    return buffer.getvalue()


def _times(text: bytes, size: int = HEAVY_BYTES) -> bytes:
    return text * ((size - 100_000) // len(text))


HEAVY: dict[str, Callable[[Base], bytes]] = {
    "a file of line ends": lambda base: _zip_of(base.content + _times(b"\n")),
    "a file of lines of one letter": lambda base: _zip_of(base.content + _times(b"x\n")),
    "a file of lines of two letters": lambda base: _zip_of(base.content + _times("é€\n".encode())),
    "a file of quotes": lambda base: _zip_of(base.content + _times(b'"\n')),
    "a file of one row again and again": lambda base: _zip_of(base.content + _times(base.content.splitlines(True)[1])),
    "a file of dates": lambda base: _zip_of(
        base.content + b"".join(b"A,EQ,1,1,1,1,1,1,1,1,%d-JAN-2024,1,I,\n" % number for number in range(99_000))
    ),
    "a line of commas": lambda base: _zip_of(base.content + _times(b",")),
    "a line of quoted fields": lambda base: _zip_of(base.content + _times(b'"",', 8_000_000)),
    "one field of all bytes": lambda base: _zip_of(base.content.replace(b"EQ", _times(b"Q"), 1)),
    "a header of a million names": lambda base: _zip_of(
        base.content.replace(b"\n", b"," + b",".join(b"C%d" % number for number in range(1_000_000)) + b"\n", 1)
    ),
    "a header of one name a million times": lambda base: _zip_of(
        base.content.replace(b"\n", b",LOW" * 1_000_000 + b"\n", 1)
    ),
    "a zip of a million members": lambda base: _crowded(1_000_000),
    "a file of NULs": lambda base: _zip_of(base.content + _times(b"\0")),
}


def _crowded(members: int) -> bytes:
    """A zip whose directory repeats one entry."""
    one = _zip_of(b"x")
    at = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    directory = one[at:end] * members
    counts = min(members, 0xFFFF).to_bytes(2, "little")
    rest = len(directory).to_bytes(4, "little") + at.to_bytes(4, "little") + b"\0\0"
    return one[:at] + directory + b"PK\x05\x06\0\0\0\0" + counts + counts + rest


# The process


def bases(archive: str) -> list[Base]:
    """All bases, always in the same order."""
    return [*simulated(), *published(Path(archive), REAL_FILES)]


def check_mutants(first: int, count: int, archive: str) -> dict[str, int]:
    """Check mutants of the bases, and of mutants with a new kind of outcome. Returns the counts by kind."""
    known = bases(archive)
    corpus: list[tuple[int, tuple[int, ...]]] = [(at, ()) for at in range(len(known))]
    signatures: set[str] = set()
    ends: Counter[str] = Counter()
    for seed in range(first, first + count):
        at, steps = Random(seed).choice(corpus)
        steps = (*steps, seed)
        say(f"{known[at].name} {','.join(map(str, steps))}")
        made = mutant(known[at], steps)
        end = examine(known[at], made, thoroughly=seed % 8 == 0)
        ends[end.split("'")[1]] += 1
        if end not in signatures and len(steps) < 6 and len(corpus) < _MOST_KEPT:
            signatures.add(end)
            corpus.append((at, steps))
    return {**ends, "kinds": len(signatures)}


def check_heavy(name: str) -> dict[str, int]:
    """Check one heavy payload. Returns the peak memory in MiB and the number of rows."""
    base = next(each for each in simulated() if each.format == "legacy" and each.day == date(2024, 1, 15))
    content = HEAVY[name](base)
    say(f"{name}: {len(content):,} bytes")
    _, normalized, error = outcome(content, base.day)
    if error is not None:
        assert_told(error, base.day)
    return {"mib": peak_mib(), "rows": normalized.rows.height if normalized else 0}


def peak_mib() -> int:
    """The peak memory of this process in MiB."""
    # getrusage would also count the memory of the process before `exec`.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
    try:
        if len(sys.argv) == 2:
            ends = check_heavy(sys.argv[1])
        else:
            ends = check_mutants(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
            assert peak_mib() <= MOST_MIB, f"{peak_mib()} MiB of memory"
    except BaseException:
        say("FAILED " + json.dumps(traceback.format_exc()[-3000:]))
        raise
    say("DONE " + json.dumps(ends))


if __name__ == "__main__":
    main()
