"""The simulated exchange archive over HTTP, on loopback only, with the faults of the real archive.

It serves `exchange.payload`, or a folder of real files laid out as on the exchange. It needs only the package and the
standard library. Run as a program, it serves in the foreground.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import signal
import socket
import socketserver
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.message import Message
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset, Source
from champion_luigi.exchange import sessions
from champion_luigi.simulated import exchange
from champion_luigi.simulated.zips import zipped_all

Kind = Literal[
    "forbidden",  # 403, as from the firewall
    "not_found",  # 404
    "rate_limited",  # 429 with a Retry-After of `delay`
    "unavailable",  # 503
    "html",  # status 200 and a page of HTML
    "empty",  # status 200 and no bytes
    "truncated",  # half of the zip, with the length of the half
    "cut",  # half of the zip, then the connection ends before the announced length
    "stale",  # the previous session's content under this date's name, on holidays too
    "wrong_header",  # a column's name is in no layout
    "restated",  # published again, with some rows changed and some missing
    "slow",  # the answer comes after `delay`
    "trickling",  # the body comes in ten pieces, `delay` apart
    "hanging",  # no answer until the archive closes
]

_PAGES = {
    "forbidden": (403, "Access Denied"),
    "not_found": (404, "Not found"),
    "rate_limited": (429, "Too many requests"),
    "unavailable": (503, "Service unavailable"),
    "html": (200, "Under maintenance"),
}
_PIECES = 10
_CACHED_PAYLOADS = 32
# 18:30 in India, about when a day's file appears.
_PUBLISHED_AT_UTC = 13
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Fault:
    """A fault of the archive on a date, for the first ``times`` requests of each path; for all requests if None.

    ``delay`` is in seconds; `Kind` says how it is used. Raises ValueError for an unknown kind.
    """

    kind: Kind
    times: int | None = None
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"there is no fault {self.kind!r}; the faults are {', '.join(get_args(Kind))}")


@dataclass(frozen=True)
class Received:
    """A request to the archive. ``time`` is `time.monotonic` seconds at its arrival."""

    method: str
    path: str
    user_agent: str
    time: float


@dataclass(frozen=True)
class _Answer:
    """An answer. It announces the length of the whole ``body``, and sends ``sent`` bytes of it in ``pieces``."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None
    pieces: int = 1
    pause: float = 0.0


class SimulatedArchive:
    """The archive on a loopback port while a ``with`` block lasts; leaving it ends every connection at once.

    ``faults`` may be changed while it runs. ``latency`` is in seconds, before each answer. ``folder`` has files at the
    exchange's own paths, which are served instead of the simulated ones. ``port`` 0 is any free port. Raises OSError
    if the port is taken, and NotADirectoryError if ``folder`` is not a folder.
    """

    def __init__(
        self,
        faults: Mapping[date, Fault] | None = None,
        latency: float = 0.0,
        folder: Path | None = None,
        port: int = 0,
    ) -> None:
        if folder is not None and not folder.is_dir():
            raise NotADirectoryError(f"the archive's folder is not a folder: {folder}")
        self.faults = dict(faults or {})
        self._latency = latency
        self._folder = folder.resolve() if folder else None
        self._port = port
        self._received: list[Received] = []
        self._uses: dict[str, tuple[Fault, int]] = {}
        self._lock = threading.Lock()
        self._payload = lru_cache(maxsize=_CACHED_PAYLOADS)(exchange.payload)
        self._closing = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> SimulatedArchive:
        self._closing.clear()
        self._server = _Server(self._port, self._reply, self._closing)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end. Raises RuntimeError outside the ``with`` block."""
        if self._server is None:
            raise RuntimeError("the simulated archive is not running: use it in a with statement")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Received]:
        """A copy of the requests so far, in order of arrival."""
        with self._lock:
            return list(self._received)

    def close(self) -> None:
        """Stop listening and end every connection, even a hanging one. A repeated call does nothing."""
        server, self._server = self._server, None
        if server is not None:
            self._closing.set()
            server.shutdown()
            server.server_close()
            self._thread.join()
            server.end_connections()

    def _reply(self, method: str, path: str, headers: Message) -> _Answer | None:
        """The answer, after its delay; None if the connection ends without an answer."""
        agent = headers.get("User-Agent") or ""
        with self._lock:
            self._received.append(Received(method, path, agent, time.monotonic()))
        self._closing.wait(self._latency)
        if not agent.startswith("Mozilla/"):
            return _page(403, "Access Denied")
        fault = self._due_fault(path)
        if fault is None:
            return self._publish(path, headers)
        if fault.kind == "hanging":
            self._closing.wait()
            return None
        if fault.kind in _PAGES:
            again = {"Retry-After": str(math.ceil(fault.delay))} if fault.kind == "rate_limited" else {}
            return _page(*_PAGES[fault.kind], again)
        if fault.kind == "slow":
            self._closing.wait(fault.delay)
        return self._publish(path, headers, fault)

    def _due_fault(self, path: str) -> Fault | None:
        found = catalog.of_path(path)
        with self._lock:
            fault = self.faults.get(found[0][2]) if found else None
            if fault is None or fault.times is None:
                return fault
            # The count starts again when a test replaces the fault.
            earlier, uses = self._uses.get(path, (fault, 0))
            uses = uses if earlier is fault else 0
            self._uses[path] = (fault, uses + 1)
            return fault if uses < fault.times else None

    def _publish(self, path: str, headers: Message, fault: Fault | None = None) -> _Answer:
        kind = fault.kind if fault else None
        found = self._find_stale(path) if kind == "stale" else self._find(path)
        if found is None:
            return _page(*_PAGES["not_found"])
        content, modified = found
        match kind:
            case "empty":
                content = b""
            case "truncated":
                content = content[: len(content) // 2]
            case "wrong_header":
                content = _rewritten(path, content, _with_wrong_header)
            case "restated":
                content = _rewritten(path, content, _restated)
                modified += timedelta(days=1)
        validators = {
            "ETag": f'"{zlib.crc32(content):08x}-{len(content):x}"',
            "Last-Modified": format_datetime(modified, usegmt=True),
        }
        if _is_known(headers, validators["ETag"], modified):
            return _Answer(304, b"", validators)
        validators["Content-Type"] = "application/zip" if path.endswith(".zip") else "text/csv"
        if kind == "cut":
            return _Answer(200, content, validators, sent=len(content) // 2)
        if fault and kind == "trickling":
            return _Answer(200, content, validators, pieces=_PIECES, pause=fault.delay)
        return _Answer(200, content, validators)

    def _find(self, path: str) -> tuple[bytes, datetime] | None:
        """The content at a path, and the time of its publication in whole seconds."""
        if self._folder:
            file = (self._folder / path.lstrip("/")).resolve()
            if not file.is_relative_to(self._folder) or not file.is_file():
                return None
            return file.read_bytes(), datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
        for dataset, source, day in catalog.of_path(path):
            if (content := self._payload(day, source.name, dataset)) is not None:
                break
        else:
            return None
        return content, datetime(day.year, day.month, day.day, _PUBLISHED_AT_UTC, tzinfo=UTC)

    def _find_stale(self, path: str) -> tuple[bytes, datetime] | None:
        found = catalog.of_path(path)
        if not found or found[0][2] <= found[0][0].first_date:
            return None
        stale = self._find(found[0][1].path_of(sessions.previous(found[0][2])))
        return (_rewritten(path, stale[0], _unchanged), stale[1]) if stale else None


class _Server(socketserver.ThreadingTCPServer):
    """One thread for each connection. The server lists its connections, so that it can end them."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        reply: Callable[[str, str, Message], _Answer | None],
        closing: threading.Event,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.reply = reply
        self.closing = closing
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client may close its connection at any time.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def end_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Header and body are two writes. With Nagle's algorithm, the second waits 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        answer = self.server.reply(self.command, urlsplit(self.path).path, self.headers)
        if answer is None or self.server.closing.is_set():
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 304:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = answer.body[: answer.sent]
        size = max(1, -(-len(body) // answer.pieces))
        for start in range(0, len(body), size):
            if start and self.server.closing.wait(answer.pause):
                self.close_connection = True
                return
            self.wfile.write(body[start : start + size])
        self.close_connection |= len(body) < len(answer.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: `SimulatedArchive.requests` has every request."""


def _page(status: int, title: str, headers: Mapping[str, str] | None = None) -> _Answer:
    return _Answer(status, exchange.html_page(title), {"Content-Type": "text/html; charset=utf-8", **(headers or {})})


def _is_known(headers: Message, etag: str, modified: datetime) -> bool:
    """Whether the client of a conditional request has this content already."""
    if tags := headers.get("If-None-Match"):
        return tags.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))
    try:
        return modified <= parsedate_to_datetime(headers.get("If-Modified-Since", ""))
    except (TypeError, ValueError):
        return False


def _rewritten(path: str, content: bytes, rewrite: Callable[[list[str], Mapping[str, str]], list[str]]) -> bytes:
    """A file after ``rewrite(lines, names of the source's columns)`` of its CSV, zipped if the path is a zip's."""
    found = catalog.of_path(path)
    if not found:
        raise ValueError(f"not the path of a data set's file: {path}")
    dataset, source, day = found[0]

    def rewritten(content: bytes, dataset: Dataset, source: Source) -> bytes:
        lines = content.decode("latin-1").split("\n")
        return "\n".join(rewrite(lines, dataset.published_columns(source.name))).encode("latin-1")

    if not path.endswith(".zip"):
        return rewritten(content, dataset, source)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if not source.is_one_of_many:
        [content] = members.values()
        return exchange.zipped(path, rewritten(content, dataset, source), day)
    for each, shared, _ in found:
        for name in (name for name in members if shared.is_member(name, day)):
            members[name] = rewritten(members[name], each, shared)
    return zipped_all(members, day)


def _unchanged(lines: list[str], _: Mapping[str, str]) -> list[str]:
    return lines


def _with_wrong_header(lines: list[str], names: Mapping[str, str]) -> list[str]:
    column = names.get("close") or names["symbol"]
    header = ("CLOSING" if name.strip() == column else name for name in lines[0].split(","))
    return [",".join(header), *lines[1:]]


def _restated(lines: list[str], names: Mapping[str, str]) -> list[str]:
    """In each forty rows, one is missing, and one has twice the volume and turnover, if the file has them."""
    header = [name.strip() for name in lines[0].split(",")]
    doubled = [header.index(names[name]) for name in ("volume", "turnover") if name in names]
    kept = [lines[0]]
    for place, line in enumerate(lines[1:]):
        fields = line.split(",")
        if place % 40 == 1 and len(fields) > 1:
            continue
        if place % 40 == 2 and len(fields) > 1:
            for column in doubled:
                # A dash stands for an absent value.
                if fields[column].strip() not in ("", "-"):
                    fields[column] = f"{Decimal(fields[column]) * 2:f}"
        kept.append(",".join(fields))
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the archive in the foreground until it is interrupted, and print its URL."""
    parser = argparse.ArgumentParser(description="A simulated NSE archive.")
    parser.add_argument("--port", type=int, default=8750, help="loopback port, 0 for any free one (default 8750)")
    parser.add_argument("--folder", type=Path, help="serve the files in this folder, laid out as on the exchange")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer (default 0)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with SimulatedArchive(latency=options.latency, folder=options.folder, port=options.port) as archive:
            print(archive.url, flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        parser.error(f"the archive cannot be served: {error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
