"""A proxy between the package and a ClickHouse server, which injects the faults that a test lists.

    with FaultProxy(server.port) as proxy:
        proxy.faults.append(Fault("lost answer", "reset", on="insert"))
        ...
        assert proxy.done == [...]

It knows just enough HTTP to find the start and end of requests and answers. It passes every byte on unchanged, and
never repeats a request by itself. Each fault strikes one request, the first that it fits. Each connection has a thread,
and all threads end with the proxy.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Literal, Self

HOST = "127.0.0.1"

# The kind of a request: the load's insert, the load's query before it, its check after it, or anything else.
What = Literal["insert", "known", "check", "other"]

# When the fault strikes, in the order of a request's life. "lost answer" and "in answer" come after the server has done
# its work; "after request" may come before that.
Moment = Literal["before request", "in request", "after request", "lost answer", "in answer"]

# The fault at that moment: RST or FIN at both ends, RST for the client alone while the server waits for more, or a
# delay, after which everything goes on. A special fault affects a whole request or answer.
Deed = Literal["reset", "close", "abandon", "delay"]
Special = Literal[
    "truncated",
    "empty",
    "bad gateway",
    "html",
    "request twice",
    "request again later",
    "request later",
    "answer twice",
]

# Of any data set: a load asks for the keys that the table has, and adds up columns to check what readers see.
_READING: dict[What, re.Pattern[bytes]] = {
    "insert": re.compile(rb"INSERT INTO [^ ]+\.normalized_"),
    "known": re.compile(rb"SELECT trade_date, [\w, ]+, version, is_deleted FROM"),
    "check": re.compile(rb"SELECT trade_date, count\(\)(, sum\(\w+\))+ FROM [^ ]+ WHERE trade_date IN"),
}
_HTML = b"<html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>\n"
_GATEWAY = b"<html><body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>\n"
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """A fault of one request: a deed at a moment, or a special fault of the whole request.

    ``call`` is called at that moment, before the deed. ``cut`` gives the middle of a request's body or of an answer, in
    bytes; by default it is half of them.
    """

    moment: Moment | Special
    deed: Deed = "reset"
    on: What | Literal["any"] = "any"
    seconds: float = 0.0
    call: Callable[[], None] | None = None
    cut: Callable[[bytes], int] | None = None

    def __str__(self) -> str:
        deed = f" {self.deed}" if self.moment in _MOMENTS else ""
        return f"{self.moment}{deed} on {self.on}"


_MOMENTS = ("before request", "in request", "after request", "lost answer", "in answer")


@dataclass(frozen=True)
class _Message:
    """The exact bytes of a request or an answer."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.head + self.body


class _Struck(Exception):
    """The connection must end."""


class _Abandoned(_Struck):
    """The connection must end without the server's notice."""


class FaultProxy:
    """A proxy on loopback to a port of loopback. With ``tls``, clients have to speak TLS to it.

    ``faults`` are still to strike, ``done`` have struck, ``seen`` has the kind of each request so far.
    ``on_refused`` is called each time that the server refuses a connection.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.faults: list[Fault] = []
        self.done: list[Fault] = []
        self.seen: list[What] = []
        self.on_refused: Callable[[], None] = lambda: None
        self._server_port = port
        self._tls = tls
        self._lock = threading.Lock()
        self._later: list[_Message] = []
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        # Closing the socket does not end a waiting accept; a last client does.
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, self.port), timeout=5).close()
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(30)
        self._listener.close()
        for each in list(self._sockets):
            self._forget(each)

    def send_later_ones(self) -> int:
        """Send the held requests to the server. Returns their number."""
        with self._lock:
            kept, self._later = self._later, []
        for request in kept:
            self._ask_once(request)
        return len(kept)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            client, _ = self._listener.accept()
            if self._is_over.is_set():
                client.close()
                return
            self._start(lambda client=client: self._serve(client))  # type: ignore[misc]

    def _serve(self, plain: socket.socket) -> None:
        client = plain
        ending = [plain]
        try:
            plain.settimeout(60)
            self._keep(plain)
            if self._tls is not None:
                client = self._tls.wrap_socket(plain, server_side=True)
                self._keep(client)
                ending.append(client)
            server = self._connect()
            ending.append(server)
            with client.makefile("rb") as requests, server.makefile("rb") as answers:
                while request := _read(requests, is_answer=False):
                    self._pass(request, client, server, answers)
        except _Abandoned:
            ending.remove(server)  # its socket ends with the proxy
        except (OSError, _Struck, ValueError):
            pass  # one end has gone, or had to go
        finally:
            for each in reversed(ending):
                self._forget(each)

    def _pass(self, request: _Message, client: socket.socket, server: socket.socket, answers: BinaryIO) -> None:
        what = _what(request.body)
        fault = self._take(what)
        if fault is None:
            server.sendall(request.raw)
            client.sendall(_answer(answers).raw)
        elif fault.moment in _MOMENTS:
            self._strike(fault, request, client, server, answers)
        else:
            self._replace(fault, request, client, server, answers)

    def _strike(
        self, fault: Fault, request: _Message, client: socket.socket, server: socket.socket, answers: BinaryIO
    ) -> None:
        def now(moment: Moment) -> None:
            if fault.moment == moment:
                self._do(fault, client, server)

        now("before request")
        middle = len(request.head) + (fault.cut(request.body) if fault.cut else len(request.body) // 2)
        server.sendall(request.raw[:middle])
        now("in request")
        server.sendall(request.raw[middle:])
        now("after request")
        answer = _answer(answers)
        now("lost answer")
        middle = fault.cut(answer.raw) if fault.cut else len(answer.raw) // 2
        client.sendall(answer.raw[:middle])
        now("in answer")
        client.sendall(answer.raw[middle:])

    def _do(self, fault: Fault, client: socket.socket, server: socket.socket) -> None:
        if fault.call is not None:
            fault.call()
        if fault.deed == "delay":
            # The end of the proxy ends a delay too.
            self._is_over.wait(fault.seconds)
            return
        if fault.deed != "close":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if fault.deed == "reset":
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise _Abandoned if fault.deed == "abandon" else _Struck

    def _replace(
        self, fault: Fault, request: _Message, client: socket.socket, server: socket.socket, answers: BinaryIO
    ) -> None:
        if fault.moment == "bad gateway":
            client.sendall(_page(b"502 Bad Gateway", _GATEWAY))
            return
        if fault.moment == "html":
            client.sendall(_page(b"200 OK", _HTML))
            return
        if fault.moment == "request later":
            with self._lock:
                self._later.append(request)
            raise _Struck
        server.sendall(request.raw)
        answer = _answer(answers)
        if fault.moment == "truncated":
            body = _plain_body(answer)
            client.sendall(_with_length(answer, len(body) + 1).head + body[: len(body) // 2])
            raise _Struck
        if fault.moment == "empty":
            client.sendall(_with_length(answer, 0).head)
            return
        if fault.moment == "request twice":
            self._ask_once(request)
        elif fault.moment == "request again later":
            with self._lock:
                self._later.append(request)
        client.sendall(answer.raw)
        if fault.moment == "answer twice":
            client.sendall(answer.raw)

    def _ask_once(self, request: _Message) -> None:
        """Send a request on a new connection, and wait for the answer."""
        server = self._connect()
        try:
            with server.makefile("rb") as answers:
                server.sendall(request.raw)
                _answer(answers)
        finally:
            self._forget(server)

    def _take(self, what: What) -> Fault | None:
        with self._lock:
            self.seen.append(what)
            for place, fault in enumerate(self.faults):
                if fault.on in ("any", what):
                    self.done.append(self.faults.pop(place))
                    return fault
        return None

    def _connect(self) -> socket.socket:
        try:
            server = socket.create_connection((HOST, self._server_port), timeout=60)
        except ConnectionRefusedError:
            self.on_refused()
            raise
        self._keep(server)
        return server

    def _keep(self, each: socket.socket) -> None:
        with self._lock:
            self._sockets.add(each)

    def _forget(self, each: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(each)
        each.close()


def _what(body: bytes) -> What:
    start = body[:400]
    return next((what for what, words in _READING.items() if words.search(start)), "other")


def _answer(file: BinaryIO) -> _Message:
    answer = _read(file, is_answer=True)
    if answer is None:
        raise _Struck
    return answer


def _read(file: BinaryIO, *, is_answer: bool) -> _Message | None:
    """The next complete message; None at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return None
        head += line
    if _header(head, b"transfer-encoding") == b"chunked":
        return _Message(head, _read_chunks(file))
    length = _header(head, b"content-length")
    if length is None:
        return _Message(head, file.read() if is_answer else b"")
    body = file.read(int(length))
    return _Message(head, body) if len(body) == int(length) else None


def _read_chunks(file: BinaryIO) -> bytes:
    body = b""
    while line := file.readline():
        size = int(line.split(b";")[0], 16)
        body += line + file.read(size + 2)
        if size == 0:
            return body
    raise _Struck


def _header(head: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"(?im)^" + name + rb":[ \t]*([^\r\n]*)", head)
    return found[1].strip().lower() if found else None


def _plain_body(answer: _Message) -> bytes:
    """The body without the sizes of its chunks."""
    if _header(answer.head, b"transfer-encoding") != b"chunked":
        return answer.body
    body, rest = b"", answer.body
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body, rest = body + rest[:size], rest[size + 2 :]
        if size == 0:
            break
    return body


def _with_length(answer: _Message, length: int) -> _Message:
    """An answer's head, with its length replaced by this number of bytes."""
    lines = [
        line
        for line in answer.head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        if not line.lower().startswith((b"transfer-encoding:", b"content-length:"))
    ]
    return _Message(b"\r\n".join([*lines, b"Content-Length: %d" % length, b"", b""]), b"")


def _page(status: bytes, content: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % (status, len(content))
    return head + content
