"""Mutants of published payloads, broken in many ways. Each mutant is a function of its base and its seeds.

A base is a day's file cut down to some lines. A seed is one step: it changes values, rows, the grammar of the CSV, the
header or single bytes. After the last step the CSV is zipped as for publication or left plain, and sometimes the zip
itself is damaged. So a base's name and some numbers are enough to make a mutant again.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random

from helpers import archive_path, format_and_date, lines_of

from champion_luigi.simulated import exchange

# A day in each layout, and days that the exchange wrote differently: dates unpadded, no commas at the end.
_SIMULATED = (
    (date(1994, 11, 28), "legacy"),
    (date(2003, 6, 16), "legacy"),
    (date(2020, 7, 13), "legacy"),
    (date(2024, 1, 15), "legacy"),
    (date(2024, 1, 15), "udiff"),
    (date(2024, 7, 9), "udiff"),
)
_ROWS = 16

VALUES = (
    *("", " ", "  ", "\t", "-", "+", ".", "0", "-0", "+0", "0.0", "-0.01", "+11.5", "1.", ".5", "00011", "1e3", "1E-3"),
    *(
        "1e400",
        "-1e400",
        "1e-400",
        "inf",
        "-inf",
        "Infinity",
        "nan",
        "NaN",
        "-nan",
        "null",
        "NULL",
        "None",
        "NA",
        "N/A",
    ),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616", "9" * 400),
    *("0." + "0" * 400 + "1", "179769313486231580793728971405301e277", "4.9e-324", "0.1000000000000000055511151231257"),
    *(
        "1,234.50",
        "1_000",
        "1 000",
        "1'000",
        "0x1F",
        "1/2",
        "12%",
        "₹11.5",
        "11.5\u00a0",
        "1\u066b5",
        "１２",
        "१२",
        "١٢",
    ),
    *("15-JAN-2024", "2024-01-15", "20240115", "15/01/2024", "01/15/2024", "15-Jan-24", "15-JAN-24", "3-NOV-1994"),
    *("30-FEB-2024", "00-JAN-2024", "15-JAN-0000", "15-JAN-99999", "15-MÄR-2024", "2024-1-5", "2024-01-15T00:00:00"),
    *("1５-JAN-2024", "٢٠٢٤-٠١-١٥", "45306", "1705276800", "-2024-01-15", "15-JAN-2024 ", "\x1c15-JAN-2024"),
    *(
        "=1+1",
        "@SUM(A1)",
        "'",
        "\\",
        "\\N",
        "\\n",
        "';--",
        "<b>",
        "{{7*7}}",
        "%s",
        "${HOME}",
        "\x00",
        "\x1b[31m",
        "\x7f",
    ),
    *(
        "é",
        "e\u0301",
        "\ufeff",
        "\u200b",
        "\u202e",
        "\u2028",
        "\u2029",
        "\x85",
        "\x0b",
        "\x0c",
        "\x1c",
        "🚀",
        "\U0010ffff",
    ),
    *(
        '"',
        '""',
        '"x',
        'x"',
        '"x"y',
        '" "',
        '"a,b"',
        "'a,b'",
        "\r",
        "\r\r",
        "A" * 70,
        "A" * 140_000,
        '"' + "A" * 140_000,
    ),
)
_LINE_ENDS = ("\r\n", "\r", "\n\n", "\n\r", "\u2028", "\x85", "\x0b", "\x0c", "\x1e", "\r\r\n", "\n \n", "\x00\n")
_SEPARATORS = (";", "\t", "|", ", ", " ,", ",,", "\x1f", "，")
_INTERESTING = (
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\n",
    b"\r",
    b",",
    b'"',
    b"\x80",
    b"\xc3",
    b"PK\x03\x04",
)


@dataclass(frozen=True)
class Base:
    """A correct file of a few lines: its date, its format, and its text as a CSV."""

    name: str
    day: date
    format: str
    content: bytes


@dataclass(frozen=True)
class Mutant:
    """A mutant: the ``payload`` that an archive sends, and its CSV ``content``, unless the zip is ``damaged``."""

    payload: bytes
    content: bytes
    damaged: bool


def simulated() -> list[Base]:
    """A base of each layout, from the simulated exchange."""
    found = []
    for day, format in _SIMULATED:
        content = exchange.payload(day, format)
        assert content is not None
        found.append(_base(f"simulated-{format}-{day}", day, format, content))
    return found


def published(archive: Path, most: int) -> list[Base]:
    """Bases from really published zips of one file, spread over all zips of the folder; none if it has none."""
    files = sorted(archive.rglob("*.zip"))
    found = []
    for file in files[:: max(1, len(files) // most)][:most]:
        known = format_and_date("/" + file.relative_to(archive).as_posix())
        if known is not None and known[0] != "pr":
            format, day = known
            found.append(_base(f"published-{format}-{day}", day, format, file.read_bytes()))
    return found


def mutant(base: Base, seeds: tuple[int, ...]) -> Mutant:
    """The mutant of these steps, in this order. The last step also decides how the content is packed."""
    content = base.content
    rng = Random(0)
    for seed in seeds:
        rng = Random(seed)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            content = rng.choices(_STEPS, _WEIGHTS)[0](rng, content, base)
    if rng.random() < 0.5:
        return Mutant(content, content, damaged=False)
    payload = zipped(rng, content, base)
    if rng.random() < 0.5:
        return Mutant(payload, content, damaged=False)
    for _ in range(rng.choice((1, 1, 2))):
        payload = rng.choice((_structure, _bytes))(rng, payload, base)
    return Mutant(payload, content, damaged=True)


def zipped(rng: Random, content: bytes, base: Base) -> bytes:
    """A zip of the content, as an archive could make it."""
    buffer = io.BytesIO()
    method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))
    member = zipfile.ZipInfo(Path(archive_path(base.format, base.day)).stem, (2024, 1, 15, 18, 0, 0))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(member, content, compress_type=method, compresslevel=1)
    return buffer.getvalue()


def _base(name: str, day: date, format: str, payload: bytes) -> Base:
    header, *rows = lines_of(payload)
    some = rows[:: max(1, len(rows) // _ROWS)][:_ROWS]
    return Base(name, day, format, "\n".join([header, *some, ""]).encode())


# Steps


def _values(rng: Random, content: bytes, base: Base) -> bytes:
    """Replace some values, or change them a little."""
    lines = _lines(content)
    for _ in range(rng.choice((1, 1, 2, 6))):
        at = rng.randrange(len(lines))
        fields = lines[at].split(",")
        place = rng.randrange(len(fields))
        fields[place] = rng.choice(
            (
                rng.choice(VALUES),
                rng.choice(VALUES) + fields[place],
                fields[place] + rng.choice(VALUES),
                f"{base.day:%Y-%m-%d}",
                f"{base.day:%d-%b-%Y}",
                f"{rng.choice((1, -1)) * 10 ** rng.uniform(-320, 308)!r}",
                str(rng.randrange(-(2**65), 2**65)),
            )
        )
        lines[at] = ",".join(fields)
    return _joined(lines)


def _column(rng: Random, content: bytes, base: Base) -> bytes:
    """Make one column the same in every row, or empty."""
    header, *rows = _lines(content)
    place, value = rng.randrange(header.count(",") + 1), rng.choice(("", "0", " ", rng.choice(VALUES)))
    changed = []
    for row in rows:
        fields = row.split(",")
        if place < len(fields) and row:
            fields[place] = value
        changed.append(",".join(fields))
    return _joined([header, *changed])


def _rows(rng: Random, content: bytes, base: Base) -> bytes:
    """Drop, double, move, cut or join rows, or take them from another day."""
    header, *rows = _lines(content)
    if not rows:
        return content
    at = rng.randrange(len(rows))
    match rng.randrange(10):
        case 0:
            del rows[at]
        case 1:
            rows.insert(rng.randrange(len(rows) + 1), rows[at])
        case 2:
            rng.shuffle(rows)
        case 3:
            rows[at] = rows[at][: rng.randrange(len(rows[at]) + 1)]
        case 4:
            rows[at] += rows[(at + 1) % len(rows)]
        case 5:
            rows = rows[:at]
        case 6:
            rows[at:at] = [header]
        case 7:
            rows.insert(at, rng.choice(("", " ", ",", "," * rng.randrange(1, 80), "\t", "\x00", "\ufeff", "Total,,,,")))
        case 8:
            written = rows[at].replace(f"{base.day:%d-%b-%Y}".upper(), "12-JAN-2024")
            rows[at] = written.replace(f"{base.day}", "2024-01-12")
        case _:
            # Sometimes repeat a row thousands of times, but a huge line only up to two megabytes.
            rows += [rows[at]] * min(rng.choice((2, 20, 20, 20, 3000)), 2_000_000 // (len(rows[at]) + 1))
    return _joined([header, *rows])


def _fields(rng: Random, content: bytes, base: Base) -> bytes:
    """Drop, add, swap, quote or multiply fields in one line."""
    lines = _lines(content)
    at = rng.randrange(len(lines))
    fields = lines[at].split(",")
    place, other = rng.randrange(len(fields)), rng.randrange(len(fields))
    match rng.randrange(9):
        case 0:
            del fields[place]
        case 1:
            fields.insert(place, rng.choice(("", "x", *VALUES[:40])))
        case 2:
            fields[place], fields[other] = fields[other], fields[place]
        case 3:
            fields[place] = f'"{fields[place]}"'
        case 4:
            fields = [f'"{field}"' for field in fields]
        case 5:
            fields[place] = rng.choice(('"', ' "', 'a"b')) + fields[place]
        case 6:
            fields += [""] * rng.choice((1, 2, 50))
        case 7:
            fields += ["x"] * rng.choice((1, 2, 50, 20_000))
        case _:
            fields[place] = f' "{fields[place]}"' + rng.choice(("", " ", "x"))
    lines[at] = ",".join(fields)
    return _joined(lines)


def _header(rng: Random, content: bytes, base: Base) -> bytes:
    """Rename, drop, double or move columns (with their values), or take another file's header."""
    header, *rows = _lines(content)
    names = header.split(",")
    place = rng.randrange(len(names))
    match rng.randrange(8):
        case 0:
            names[place] = rng.choice((names[place].lower(), names[place] + "X", "", " ", *VALUES[:30]))
        case 1:
            del names[place]
        case 2:
            names.insert(place, rng.choice((names[place], "NEW_COLUMN", "DELIV_QTY", "_line", "_text", "<script>")))
        case 3:
            table = [line.split(",") for line in (header, *rows)]
            order = list(range(len(names)))
            rng.shuffle(order)
            return _joined([",".join(row[each] for each in order) if len(row) == len(names) else "" for row in table])
        case 4:
            names = [f" {name} " for name in names]
        case 5:
            names = [f'"{name}"' for name in names]
        case 6:
            names += [f"C{number}" for number in range(rng.choice((1, 300, 20_000)))]
        case _:
            names = "SYMBOL SERIES DATE1 PREV_CLOSE CLOSE_PRICE DELIV_QTY DELIV_PER".split()
            names += rng.choice(((), ("\x1b[2J",), ("X" * 100_000,)))
    return _joined([",".join(names), *rows])


def _text(rng: Random, content: bytes, base: Base) -> bytes:
    """Use the line ends, separators, marks or encodings of other programs in the whole file."""
    text = _decoded(content)
    match rng.randrange(9):
        case 0:
            text = text.replace("\n", rng.choice(_LINE_ENDS))
        case 1:
            text = text.replace("\n", rng.choice(_LINE_ENDS), rng.randrange(1, 5))
        case 2:
            text = text.replace(",", rng.choice(_SEPARATORS))
        case 3:
            text = (
                rng.choice(("\ufeff", "\ufeff\ufeff", "\x00", "\n\n", "sep=,\n", "# comment\n", "<!-- -->\n", " "))
                + text
            )
        case 4:
            text = text.rstrip("\n") + rng.choice(("", "\x1a", "\x00\x00", "\n\n\n", "\r", "--\n", "\ufeff"))
        case 5:
            return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-32")), "surrogatepass")
        case 6:
            return text.replace("LTD", "CAFÉ").replace("EQ", "É").encode("latin-1", "replace")
        case 7:
            text = text.swapcase()
        case _:
            text = text.replace(",", ",\x00", rng.randrange(1, 9))
    return _encoded(text)


def _bytes(rng: Random, content: bytes, base: Base) -> bytes:
    """Flip, insert, delete, double or cut off bytes."""
    if not content:
        return rng.randbytes(rng.randrange(9))
    changed = bytearray(content)
    at = rng.randrange(len(changed))
    length = rng.choice((1, 1, 2, 4, 16, 200))
    match rng.randrange(6):
        case 0:
            for _ in range(rng.choice((1, 1, 4))):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        case 1:
            changed[at:at] = rng.choice((rng.choice(_INTERESTING), rng.randbytes(length)))
        case 2:
            del changed[at : at + length]
        case 3:
            changed[at:at] = changed[at : at + length] * rng.choice((1, 2, 10))
        case 4:
            del changed[at:]
        case _:
            changed[at : at + length] = rng.choice((b"\x00", b"\xff", b" ", b",")) * length
    return bytes(changed)


# Offset and size in bytes of each field in a local header, a directory entry and the directory's end.
_SAID = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4)),
    b"PK\x05\x06": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}


def _structure(rng: Random, payload: bytes, base: Base) -> bytes:
    """Change the zip's structure: sizes, CRC, method, flags, counts or offsets; or double or drop its parts."""
    magic = rng.choice(list(_SAID))
    at = payload.find(magic)
    if at < 0:
        return payload
    changed = bytearray(payload)
    match rng.randrange(6):
        case 0:
            del changed[at : rng.choice((at + 4, at + 30, len(changed)))]
        case 1:
            changed += payload[at:]
        case 2:
            changed[at:at] = rng.choice((payload[at:], b"\x00" * 4, b"MZ" + bytes(60)))
        case _:
            offset, size = rng.choice(_SAID[magic])
            where = slice(at + offset, at + offset + size)
            old = int.from_bytes(changed[where], "little")
            top = 256**size - 1
            new = rng.choice((0, 1, top, top // 2, (old + 1) & top, (old - 1) & top, old ^ 1, rng.randint(0, top)))
            changed[where] = struct.pack("<H" if size == 2 else "<I", new)[: max(0, len(changed) - where.start)]
    return bytes(changed)


_Step = Callable[[Random, bytes, Base], bytes]
_STEPS: tuple[_Step, ...] = (_values, _column, _rows, _fields, _header, _text, _bytes)
_WEIGHTS = (8, 2, 5, 5, 2, 2, 4)


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _lines(content: bytes) -> list[str]:
    return _decoded(content).split("\n")


def _joined(lines: list[str]) -> bytes:
    return _encoded("\n".join(lines))
