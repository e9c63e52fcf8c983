"""The misbehaviours of an archive for the fault campaign: the answers that it sends, and the errors that follow.

An answer writes everything that is sent, including the status line; ``good`` is the day's correct file.
"""

from __future__ import annotations

import gzip
import io
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from http.server import BaseHTTPRequestHandler

from helpers import LEGACY_DAY, archive_path, lines_of, payload

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.simulated import exchange

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]

MIB = 1024 * 1024
READ, TOTAL = "CHAMPION_READ_SECONDS", "CHAMPION_TOTAL_SECONDS"
# The pause between two pieces of a trickle, in seconds: far less than the longest allowed silence.
_PAUSE = 0.05
_CRLF = b"\r\n"
# Each connection has one answer. Without this header, a client may send its next request while the connection ends.
_LAST = "Connection: close"


@dataclass(frozen=True)
class Misbehaviour:
    """An answer with its expected error: ``says`` is a part of the error, empty if there is none.

    ``group`` is the fault's name in the table. ``limit`` is the setting that ends the answer, if the test has to wait
    for that.
    """

    name: str
    group: str
    answer: Answer
    says: str
    attempts: int = 1
    is_heavy: bool = False
    limit: str = ""

    @property
    def is_harmless(self) -> bool:
        """Whether the day's file arrives all the same."""
        return not self.says


# Pieces of answers


def status(code: int, *headers: str, body: bytes = b"") -> Answer:
    """A whole answer without a file."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        lines = [f"HTTP/1.1 {code} As It Is", f"Content-Length: {len(body)}", _LAST, *headers, "", ""]
        handler.wfile.write("\r\n".join(lines).encode("latin-1") + body)

    return answer


def found(body: bytes | Callable[[bytes], bytes], *headers: str) -> Answer:
    """Status 200 and a body, which may be made from the good file."""

    def answer(handler: BaseHTTPRequestHandler, good: bytes) -> None:
        sent = body(good) if callable(body) else body
        lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(sent)}", _LAST, *headers, "", ""]
        handler.wfile.write("\r\n".join(lines).encode("latin-1") + sent)

    return answer


def raw(content: bytes | Callable[[bytes], bytes]) -> Answer:
    """These bytes unchanged; then the connection ends."""

    def answer(handler: BaseHTTPRequestHandler, good: bytes) -> None:
        handler.wfile.write(content(good) if callable(content) else content)

    return answer


def head(*headers: str, code: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code}", *headers, "", ""]).encode("latin-1")


def trickle(start: bytes, piece: bytes) -> Answer:
    """A start, then a small piece at a time, as long as the client listens."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(start)
        while True:
            handler.wfile.write(piece)
            time.sleep(_PAUSE)

    return answer


def flood(start: bytes, piece: bytes = bytes(65536)) -> Answer:
    """A start, then as much as the client takes."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(start)
        while True:
            handler.wfile.write(piece)

    return answer


def silence(start: bytes = b"") -> Answer:
    """A start, then nothing until the client hangs up."""

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.wfile.write(start)
        handler.connection.recv(1)

    return answer


def _reset(handler: BaseHTTPRequestHandler, good: bytes) -> None:
    """Half of the file, then a reset of the connection, as by a firewall."""
    handler.wfile.write(head(f"Content-Length: {len(good)}") + good[: len(good) // 2])
    handler.connection.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
    handler.connection.close()


# Pieces of zips


def text_of(good: bytes) -> bytes:
    return "".join(f"{line}\n" for line in lines_of(good)).encode()


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def renamed(name: str) -> Callable[[bytes], bytes]:
    return lambda good: zipped((name, text_of(good)))


def by_hand(
    deflated: bytes, size: int, crc: int, *, name: bytes = b"day.csv", entries: int = 1, method: int = 8
) -> bytes:
    """A zip with this content and a directory that need not match it; all ``entries`` share the content."""
    common = struct.pack("<HHHHHIII", 20, 0, method, 0, 33, crc, len(deflated), size)
    local = b"PK\x03\x04" + common + struct.pack("<HH", len(name), 0) + name
    entry = b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    directory = entry * entries
    counted = min(entries, 65535)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, counted, counted, len(directory), len(local) + len(deflated), 0)
    return local + deflated + directory + end


def encrypted(good: bytes) -> bytes:
    marked = bytearray(good)
    marked[6] |= 1
    marked[marked.index(b"PK\x01\x02") + 8] |= 1
    return bytes(marked)


def wrong_crc(good: bytes) -> bytes:
    marked = bytearray(good)
    marked[marked.index(b"PK\x01\x02") + 16] ^= 0xFF
    return bytes(marked)


@cache
def repeated(piece: bytes, mebibytes: int) -> bytes:
    """So many MiB of a piece in raw deflate, about a thousandth in size. It is quick: one block is repeated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(piece * (MIB // len(piece))) + compressor.flush(zlib.Z_FULL_FLUSH)
    return block * mebibytes + b"\x03\x00"


def bomb(mebibytes: int, *, says: int | None = None) -> bytes:
    """A zip that unzips to so many MiB; ``says`` is a false size for its directory."""
    return by_hand(repeated(b"\0", mebibytes), mebibytes * MIB if says is None else says, 0)


@cache
def gzip_bomb() -> bytes:
    """10 GiB of zeros in 10 MiB."""
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03" + repeated(b"\0", 10 * 1024) + bytes(8)


def _header(good: bytes) -> bytes:
    return lines_of(good)[0].encode() + b"\n"


_DELIVERY = (
    b"SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE, "
    b"TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER\n"
    b"ALPHA, EQ, 15-Jun-2023, 10.40, 10.50, 11.25, 10.00, 11.05, 11.00, 10.83, 1500, 0.16, 42, 700, 46.67\n"
)
_PAGE = exchange.html_page("Under maintenance")
_PRIVATE = "http://169.254.169.254/latest/meta-data"


def _of_month_before(good: bytes) -> bytes:
    """The same file with another month in each of its dates."""
    lines = lines_of(good)
    month = next(name for name in _MONTHS if f"-{name}-" in lines[1])
    other = _MONTHS[(_MONTHS.index(month) + 6) % 12]
    return zipped(("day.csv", "\n".join(line.replace(f"-{month}-", f"-{other}-") for line in lines).encode()))


_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def _chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(f"{len(piece):x}".encode() + _CRLF + piece + _CRLF for piece in pieces) + end


def _catalogue() -> Iterator[Misbehaviour]:  # noqa: PLR0915 - a list of misbehaviours
    chunked = head("Transfer-Encoding: chunked")

    group = "HTTP statuses for temporary trouble: 500, 502, 503 and 504, with a sane, an absurd or no Retry-After"
    cannot = "the archive cannot answer at present"
    yield Misbehaviour("500", group, status(500, body=_PAGE), cannot, 3)
    yield Misbehaviour("502", group, status(502), cannot, 3)
    yield Misbehaviour("503 in a second", group, status(503, "Retry-After: 1", body=_PAGE), cannot, 3)
    yield Misbehaviour("503 for 300 years", group, status(503, "Retry-After: 9999999999"), cannot, 3)
    yield Misbehaviour("503 for ever", group, status(503, "Retry-After: " + "9" * 5000), cannot, 3)
    yield Misbehaviour("503 garbled", group, status(503, "Retry-After: -1e999, NaN"), cannot, 3)
    yield Misbehaviour("504", group, status(504), cannot, 3)
    yield Misbehaviour("503 without end", group, flood(head(code="503 Busy")), cannot, 3, is_heavy=True)

    group = "a body that is not a bhavcopy, with status 200: HTML, JSON, delivery file, only a header, another layout"
    yield Misbehaviour("a page", group, found(_PAGE, "Content-Type: text/html"), "an HTML page")
    yield Misbehaviour("a page as a zip", group, found(_PAGE, "Content-Type: application/zip"), "an HTML page")
    yield Misbehaviour("a page zipped", group, found(zipped(("day.csv", _PAGE))), "an HTML page")
    yield Misbehaviour("json", group, found(b'{"error": "no such file"}'), "not the header of the bhavcopy")
    yield Misbehaviour("delivery", group, found(_DELIVERY), "full (delivery) file")
    yield Misbehaviour("delivery zipped", group, found(zipped(("day.csv", _DELIVERY))), "full (delivery) file")
    yield Misbehaviour("header alone", group, found(lambda good: zipped(("d.csv", _header(good)))), "no rows")
    yield Misbehaviour("blanks", group, found(zipped(("d.csv", b"\r\n \r\n"))), "the file is empty")
    renamed_column = found(lambda good: zipped(("d.csv", text_of(good).replace(b",CLOSE,", b",CLOSING,", 1))))
    yield Misbehaviour("renamed column", group, renamed_column, "missing 'CLOSE'; unexpected 'CLOSING'")
    early = found(lambda _: payload(date(2011, 6, 20), "legacy"))
    yield Misbehaviour("layout of 2011", group, early, "the columns are not those")

    group = "another day's file under the day's name"
    yield Misbehaviour("another month", group, found(_of_month_before), "the file holds another day")
    undated = found(lambda good: zipped(("d.csv", text_of(good).replace(b"-20", b"/20"))))
    yield Misbehaviour("invalid dates", group, undated, "the file holds another day")

    group = "a zip that is damaged: cut short, wrong checksum, flipped bytes, no bytes at all"
    yield Misbehaviour("no bytes", group, found(b""), "the payload has no bytes", 3)
    yield Misbehaviour("half", group, found(lambda good: good[: len(good) // 2]), "damaged or cut short", 3)
    yield Misbehaviour("three bytes", group, found(b"PK\x03"), "the zip is cut short", 3)
    yield Misbehaviour("checksum", group, found(wrong_crc), "Bad CRC-32", 3)
    flipped = found(lambda good: good[:90] + bytes([good[90] ^ 255]) + good[91:])
    yield Misbehaviour("flipped byte", group, flipped, "damaged or cut short", 3)
    long_name = by_hand(b"\x03\x00", 0, 0, name=b"n" * 65535).replace(b"n", b"\x1b", 1)
    yield Misbehaviour("names that differ", group, found(long_name), "damaged or cut short", 3)

    group = "a zip that holds something else: nothing, an empty file, several, thousands, another zip, a password"
    yield Misbehaviour("empty zip", group, found(zipped()), "the zip does not hold one file")
    yield Misbehaviour("empty file", group, found(zipped(("d.csv", b""))), "the file is empty")
    two = found(lambda good: zipped(("one.csv", text_of(good)), ("two.csv", text_of(good))))
    yield Misbehaviour("two files", group, two, "found 2: 'one.csv', 'two.csv'")
    yield Misbehaviour("a zip in it", group, found(lambda good: zipped(("d.zip", good))), "the zip holds another zip")
    yield Misbehaviour("encrypted", group, found(encrypted), "the zip is encrypted")
    bzip2 = found(lambda good: zipped(("d.csv", text_of(good)), method=zipfile.ZIP_BZIP2))
    yield Misbehaviour("bzip2", group, bzip2, "compressed in an unusual way")
    unknown = found(by_hand(b"\x03\x00", 0, 0, method=99))
    yield Misbehaviour("unknown method", group, unknown, "compressed in an unusual way")
    overlapping = found(by_hand(repeated(b"\0", 10), 10 * MIB, 0, entries=500))
    yield Misbehaviour("overlapping", group, overlapping, "the zip does not hold one file")
    many = found(lambda _: by_hand(b"\x03\x00", 0, 0, name=b"", entries=300_000))
    yield Misbehaviour("300,000 files", group, many, "the zip does not hold one file", is_heavy=True)

    group = "bombs: 4 GiB of zeros in a zip, lines or commas without end, a zip that lies about its size"
    large = "unzips to more than is allowed"
    yield Misbehaviour("zeros", group, found(lambda _: bomb(4000)), large, is_heavy=True)
    lying = found(lambda _: bomb(4000, says=100))
    yield Misbehaviour("zeros that lie", group, lying, "damaged or cut short", 3, is_heavy=True)
    lying_a_little = found(lambda _: bomb(4000, says=31 * MIB))
    yield Misbehaviour("zeros that lie a little", group, lying_a_little, "damaged or cut short", 3, is_heavy=True)
    for name, says, piece in (
        ("line ends", "too many lines", b"\n"),
        ("short lines", "too many lines", b"AB\n\n"),
        ("commas", "a line that is too long", b","),
    ):
        filled = found(partial(_true_bomb, piece))
        yield Misbehaviour(name, group, filled, says, is_heavy=True)
    header = found(partial(_true_bomb, b",", header=b"SYMBOL"))
    yield Misbehaviour("a header of commas", group, header, "a line that is too long", is_heavy=True)

    group = "a compressed answer that was not requested: gzip, deflate and br, up to 10 GiB in 10 MiB"
    no_header = "not the header of the bhavcopy"
    squeezed = found(lambda good: gzip.compress(text_of(good)), "Content-Encoding: gzip")
    yield Misbehaviour("gzip", group, squeezed, no_header)
    yield Misbehaviour(
        "gzip bomb", group, found(lambda _: gzip_bomb(), "Content-Encoding: gzip"), "too long", is_heavy=True
    )
    deflate = found(lambda _: repeated(b"\0", 10 * 1024), "Content-Encoding: deflate")
    yield Misbehaviour("deflate bomb", group, deflate, "too long", is_heavy=True)
    yield Misbehaviour("br", group, found(b"\xcf\xff\xff\x7f\xf8" * 99, "Content-Encoding: br"), no_header)
    yield Misbehaviour("twice", group, found(gzip.compress(_PAGE), "Content-Encoding: gzip, br, gzip"), no_header)

    group = "a length that is not the body's: too long, too short, two of them, absurd"
    longer = raw(lambda good: head(f"Content-Length: {len(good) + 10}") + good)
    yield Misbehaviour("too long", group, longer, "the connection broke off", 3)
    shorter = raw(lambda good: head(f"Content-Length: {len(good) - 10}") + good)
    yield Misbehaviour("too short", group, shorter, "damaged or cut short", 3)
    two_lengths = raw(lambda good: head(f"Content-Length: {len(good)}", "Content-Length: 7") + good)
    yield Misbehaviour("two lengths", group, two_lengths, "the archive did not answer", 3)
    too_large = "the body is too large"
    yield Misbehaviour("2 GiB", group, flood(head("Content-Length: 2147483648")), too_large, is_heavy=True)
    yield Misbehaviour("a trillion", group, silence(head("Content-Length: 999999999999999999999")), too_large)
    yield Misbehaviour("5,000 digits", group, silence(head("Content-Length: " + "9" * 5000)), too_large)

    group = "chunks that break off or are invalid: no last chunk, no size, a negative size, half a chunk"
    broke = "the connection broke off"
    yield Misbehaviour("no last chunk", group, raw(lambda good: chunked + _chunks(good, end=b"")), broke, 3)
    yield Misbehaviour("half a chunk", group, raw(lambda good: chunked + _chunks(good)[: len(good) // 2]), broke, 3)
    yield Misbehaviour("no size", group, raw(chunked + b"xyz\r\nabc\r\n0\r\n\r\n"), broke, 3)
    yield Misbehaviour("negative size", group, raw(chunked + b"-5\r\nabcde\r\n0\r\n\r\n"), broke, 3)
    yield Misbehaviour("absurd size", group, raw(chunked + b"f" * 60000 + b"\r\nabc"), broke, 3)
    no_chunks = raw(lambda good: chunked + good)
    yield Misbehaviour("no chunks", group, no_chunks, broke, 3)

    group = "nothing for longer than CHAMPION_READ_SECONDS: before the answer, after the headers, within the file"
    no_answer = "the archive did not answer"
    yield Misbehaviour("never answered", group, silence(), no_answer, 3, limit=READ)
    yield Misbehaviour("half a header", group, silence(b"HTTP/1.1 200 OK\r\nContent-"), no_answer, 3, limit=READ)
    yield Misbehaviour("headers alone", group, silence(head("Content-Length: 7")), no_answer, 3, limit=READ)

    def stall(handler: BaseHTTPRequestHandler, good: bytes) -> None:
        silence(head(f"Content-Length: {len(good)}") + good[: len(good) // 2])(handler, good)

    yield Misbehaviour("half a file", group, stall, no_answer, 3, limit=READ)

    group = "a trickle past CHAMPION_TOTAL_SECONDS: in the status line, headers, body, chunk sizes or trailers"
    slow = "too slowly"
    yield Misbehaviour("status line", group, trickle(b"HTTP/1.1 200 ", b"x"), slow, 3, limit=TOTAL)
    yield Misbehaviour("headers", group, trickle(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), slow, 3, limit=TOTAL)
    yield Misbehaviour("a header", group, trickle(b"HTTP/1.1 200 OK\r\nA: ", b"b"), slow, 3, limit=TOTAL)
    yield Misbehaviour("100 Continue", group, trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), slow, 3, limit=TOTAL)
    yield Misbehaviour("body", group, trickle(head("Content-Length: 4000"), b"x"), slow, 3, limit=TOTAL)
    yield Misbehaviour("body without a length", group, trickle(head(), b"x"), slow, 3, limit=TOTAL)
    yield Misbehaviour("chunks", group, trickle(chunked, b"1\r\nx\r\n"), slow, 3, limit=TOTAL)
    yield Misbehaviour("a chunk's size", group, trickle(chunked, b"0"), slow, 3, limit=TOTAL)
    yield Misbehaviour("a chunk's extension", group, trickle(chunked + b"5;", b"x"), slow, 3, limit=TOTAL)

    def endless_trailer(handler: BaseHTTPRequestHandler, good: bytes) -> None:
        trickle(chunked + _chunks(good, end=b"0\r\n"), b"A: b\r\n")(handler, good)

    yield Misbehaviour("trailers", group, endless_trailer, slow, 3, limit=TOTAL)

    group = "more than CHAMPION_MAX_PAYLOAD_MB, streamed without end"
    yield Misbehaviour("endless", group, flood(head()), too_large, is_heavy=True)
    pieces = b"10000\r\n" + bytes(65536) + _CRLF
    yield Misbehaviour("endless chunks", group, flood(chunked, pieces), too_large, is_heavy=True)

    group = (
        "a redirect: to itself, to another host, to file:, to a private address, to nowhere, with a body without end"
    )
    redirects = "the archive redirects elsewhere, which is not followed"

    def to(location: str) -> Answer:
        return status(302, f"Location: {location}")

    path = archive_path("legacy", LEGACY_DAY)
    yield Misbehaviour("to itself", group, to(path), redirects)
    yield Misbehaviour("to another path", group, to("/" + "x" * 60000), redirects)
    yield Misbehaviour("to another host", group, to("https://elsewhere.example/file"), "302 to elsewhere.example")
    yield Misbehaviour("to a file", group, to("file:///etc/passwd"), redirects)
    yield Misbehaviour("to a private address", group, to(_PRIVATE), "302 to 169.254.169.254")
    yield Misbehaviour("to half an address", group, to("http://[::1"), redirects)
    yield Misbehaviour("to no host", group, to("http://"), redirects)
    yield Misbehaviour("to bytes", group, to("\x1b[31m\xff\xfe"), redirects)
    yield Misbehaviour("to nowhere", group, status(302), "302 to nowhere")
    moved = head("Location: /elsewhere", code="301 Moved")
    yield Misbehaviour("with a body that trickles", group, trickle(moved, b"x"), redirects)
    yield Misbehaviour("with a body without end", group, flood(moved), redirects, is_heavy=True)
    packed = head("Location: /elsewhere", "Content-Encoding: gzip", code="301 Moved")
    yield Misbehaviour("with a bomb", group, raw(lambda _: packed + gzip_bomb()), redirects, is_heavy=True)

    group = "no file over HTTP/1.1: HTTP/0.9, another protocol, invalid statuses, 204, 206, a closed connection"
    yield Misbehaviour("http/0.9", group, raw(lambda good: good), no_answer, 3)
    yield Misbehaviour("ssh", group, raw(b"SSH-2.0-OpenSSH_9.6\r\n"), no_answer, 3)
    yield Misbehaviour("status abc", group, raw(b"HTTP/1.1 abc OK\r\n\r\n"), no_answer, 3)
    yield Misbehaviour("status 99999", group, raw(b"HTTP/1.1 99999 OK\r\n\r\n"), no_answer, 3)
    yield Misbehaviour("zeros", group, raw(bytes(100_000)), no_answer, 3)
    yield Misbehaviour("nothing", group, raw(b""), no_answer, 3)
    yield Misbehaviour("reset", group, _reset, broke, 3)
    yield Misbehaviour("204", group, status(204), "found 204")
    yield Misbehaviour("206", group, raw(lambda good: head(code="206 Partial") + good), "found 206")

    group = "headers beyond measure: thousands, one of 100 KB, cookies of megabytes, headers without end"
    thousands = "".join(f"X-{number}: x\r\n" for number in range(20_000)).encode()
    yield Misbehaviour("thousands", group, raw(b"HTTP/1.1 200 OK\r\n" + thousands + _CRLF), no_answer, 3)
    yield Misbehaviour("one of 100 KB", group, raw(head("X: " + "x" * 100_000)), no_answer, 3)
    yield Misbehaviour("without end", group, flood(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 99), no_answer, 3)
    cookie = b"Set-Cookie: a=" + b"b" * 60_000 + _CRLF
    yield Misbehaviour("cookies", group, raw(b"HTTP/1.1 200 OK\r\n" + cookie * 90 + _CRLF), no_answer, 3)

    group = "odd but harmless answers: a CSV that is not zipped, members named ../ or with NULs, floods of cookies"
    yield Misbehaviour("csv", group, found(text_of), "")
    for name in ("../../../evil.csv", "/tmp/evil.csv", "C:\\evil.csv", "a\\..\\b", "n" * 60000, "a\0b"):
        yield Misbehaviour(f"member {name[:20]!r}", group, found(renamed(name)), "")
    stored = found(lambda good: zipped(("d.csv", text_of(good)), method=zipfile.ZIP_STORED))
    yield Misbehaviour("stored", group, stored, "")
    cookies = [f"Set-Cookie: c{number}={'x' * 8000}; Domain=.example; Path=/" for number in range(90)]
    yield Misbehaviour("cookies", group, found(lambda good: good, *cookies), "")
    yield Misbehaviour("negative length", group, raw(lambda good: head("Content-Length: -5") + good), "")
    yield Misbehaviour("no length", group, raw(lambda good: head() + good), "")
    yield Misbehaviour("in chunks", group, raw(lambda good: chunked + _chunks(good[:99], good[99:])), "")
    broken_headers = raw(lambda good: b"HTTP/1.1 200 OK\r\nno colon here\r\n: x\r\n\r\n" + good)
    yield Misbehaviour("invalid headers", group, broken_headers, "")
    http_1_0 = raw(lambda good: b"HTTP/1.0 200\r\n\r\n" + good)
    yield Misbehaviour("http/1.0", group, http_1_0, "")


def _true_bomb(piece: bytes, good: bytes, header: bytes | None = None) -> bytes:
    """A zip of 31 MiB of text, less than the limit, which passes every check of a zip."""
    start = header or _header(good)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = compressor.compress(start) + compressor.flush(zlib.Z_FULL_FLUSH) + repeated(piece, 31)
    text = start + piece * (MIB // len(piece)) * 31
    return by_hand(deflated, len(text), zlib.crc32(text))


_REFUSED = "403 as from a firewall, and 429 with a sane, an absurd or no Retry-After"
REFUSALS = (
    Misbehaviour("403", _REFUSED, status(403, body=exchange.html_page("Access Denied")), "the archive refuses"),
    Misbehaviour("429", _REFUSED, status(429), "the archive refuses"),
    Misbehaviour("429 for a second", _REFUSED, status(429, "Retry-After: 1"), "429, Retry-After 1 s"),
    Misbehaviour("429 for ever", _REFUSED, status(429, "Retry-After: " + "9" * 400), "429, Retry-After 1e+18 s"),
    Misbehaviour("429 garbled", _REFUSED, status(429, "Retry-After: soon"), "the archive refuses"),
    Misbehaviour("403 without end", _REFUSED, flood(head(code="403 Forbidden")), "the archive refuses"),
)
CATALOGUE: tuple[Misbehaviour, ...] = tuple(_catalogue())


class MisbehavingArchive:
    """The answers of a server of `helpers.answering`: a misbehaviour, or the day's file if there is none.

    ``choose`` gives the misbehaviour of a request by its day and the number of requests for that day, or None.
    """

    def __init__(self, choose: Callable[[date, int], Misbehaviour | None]) -> None:
        self._choose = choose
        self._lock = threading.Lock()
        self.asked: dict[date, int] = {}

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        from helpers import format_and_date

        known = format_and_date(handler.path)
        content = exchange.payload(known[1], known[0]) if known else None
        source = known and EQUITY.source(known[0])
        # The day's full files alone are there, so that each request of a day is for the file that misbehaves.
        if known is None or content is None or source is None or source.partial:
            status(404, body=exchange.html_page("Not found"))(handler, b"")
            return
        day = known[1]
        with self._lock:
            self.asked[day] = self.asked.get(day, 0) + 1
            chosen = self._choose(day, self.asked[day])
        answer = chosen.answer if chosen else found(content)
        answer(handler, content)
