"""HTTP connections with limits: on the time of a response, first byte to last, and on the size of its headers."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.client import HTTPResponse, LineTooLong
from typing import Any, BinaryIO, Self

import requests

_MOST_HEADER_BYTES = 1024 * 1024
_CONNECTIONS = 64


class TooSlow(TimeoutError):
    """The answer was not complete within ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__()


class _Limit:
    """Ends a connection after so many seconds: a socket's own timeout restarts with every byte.

    The time starts on construction. Leaving the ``with`` block stops it, and raises TooSlow if it had run out.
    """

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self.is_over = False
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._end, [sock])
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        # Without a length, a body that was cut off here looks complete.
        if self.is_over:
            raise TooSlow(self._seconds)

    def _end(self, sock: socket.socket) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):
            # The plain socket's method, even under TLS: another thread is reading.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """Gives each response a `_Limit` that starts before its first byte and runs until its last."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        super().__init__(pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._bind(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if is_new:
            self._bind(manager)
        return manager

    def _bind(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: type("Pool", (pool,), {"ConnectionCls": _bounded(pool.ConnectionCls, self._seconds)})
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }


class _Lines:
    """The lines of a response up to its body, with a limit on their total bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_HEADER_BYTES

    def readline(self, limit: int) -> bytes:
        line = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise LineTooLong("all headers")
        return line

    def close(self) -> None:
        self._file.close()


class _Response(HTTPResponse):
    """Limits all headers together: other libraries let the whole process accept ten thousand, of 64 KiB each."""

    def begin(self) -> None:
        file: Any = self.fp
        lines: Any = _Lines(file)
        self.fp = lines
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = file


def _bounded(connection: Any, seconds: float) -> Any:
    class Bounded(connection):  # type: ignore[misc]
        response_class = _Response

        def getresponse(self) -> Any:
            with contextlib.ExitStack() as stack:
                limit = stack.enter_context(_Limit(self.sock, seconds))
                response = super().getresponse()
                if limit.is_over:
                    response.close()
                else:
                    stack.pop_all()  # the limit still runs while the body is read
            response.limit = limit
            return response

    return Bounded
