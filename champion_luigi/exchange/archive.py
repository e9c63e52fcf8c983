"""The exchange's archive: getting one day's published file over HTTP, from a folder or from the simulator.

What comes back is bytes as published, or a typed error. What the bytes must be is for `payload` to say.
The only module that imports requests.
"""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse, LineTooLong
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Protocol, Self
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth

from champion_luigi.base import durable, secrets
from champion_luigi.base.errors import (
    ArchiveUnreachable,
    NotPublished,
    Refused,
    RejectedPayload,
    SettingsError,
    StorageError,
    TruncatedPayload,
)
from champion_luigi.datasets.equity import UDIFF_FROM, archive_path, formats_for

# The exchange's firewall answers 403 to anything that does not look like a browser.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_CHUNK = 256 * 1024
_MOST_HEADER_BYTES = 1024 * 1024
_CONNECTIONS = 64
# How long nothing is asked of an archive that refused without saying for how long.
_PEACE_SECONDS = 60.0
# The longest that an archive is believed for: a wrong header must not stop a process that runs for months.
_MOST_PEACE_SECONDS = 86400.0
_LOOPBACK = ("localhost", "::1")
# What an archive says of a file's version, and how it is asked whether it is still that one.
_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Published:
    """One day's file as the archive gave it. ``url`` carries no credentials; ``headers`` are the validators."""

    format: str
    name: str
    url: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class NotModified(Exception):  # an answer, and no error
    """The archive's file is still the one whose validators it was asked with (304)."""


class Archive(Protocol):
    """Anything that has the exchange's files at the exchange's own paths."""

    def url(self, path: str) -> str:
        """Where a path is, for people: without credentials."""

    def get(self, path: str, day: date, known: Mapping[str, str] = _NOTHING) -> tuple[bytes, Mapping[str, str]]:
        """The bytes at a path, and their validators. Raises the archive's errors, naming ``day`` and the URL.

        ``known`` are the validators of a file that is here already: NotModified where it is still that one, from an
        archive that can tell.
        """


def fetch(
    archive: Archive,
    day: date,
    udiff_from: date = UDIFF_FROM,
    known: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Published:
    """Get a day's file in the format that is official for it, or in the other one that can exist for it.

    ``known`` are validators by URL, of what is here already. Raises NotModified where the file is still that one, and
    NotPublished where every format that the date can have answers 404.
    """
    asked = []
    answered = None
    for format in formats_for(day, udiff_from):
        path = archive_path(format, day)
        try:
            content, headers = archive.get(path, day, known.get(archive.url(path), _NOTHING))
        except NotPublished as error:
            asked.append(archive.url(path))
            answered = error.answered
            continue
        return Published(format, path.rpartition("/")[2], archive.url(path), content, headers)
    missing = NotPublished(
        "the archive has no file for this date",
        day=day,
        found="404" if asked else "a date before the archive's first file",
        source=", ".join(asked) or None,
    )
    missing.answered = answered
    raise missing


def open_archive(
    location: str,
    *,
    requests_per_second: float = 3.0,
    rate_file: Path | None = None,
    connect_seconds: float = 10.0,
    read_seconds: float = 30.0,
    total_seconds: float = 180.0,
    max_bytes: int = 64 * 1024 * 1024,
) -> Archive:
    """The archive at an ``http(s)://`` base, in a folder or ``file://`` laid out as on the exchange, or ``simulated:``.

    ``rate_file`` is where processes on one machine agree on their common rate. Raises SettingsError.
    """
    try:
        parts = urlsplit(location)
        parts.port  # noqa: B018 - what is no number is part of a password, which must not be taken for a host
    except ValueError:
        raise SettingsError(
            "the archive's URL is not valid",
            todo="Set NSE_ARCHIVE_URL; in a password, write %2F for /, %3F for ?, %23 for # and %40 for @.",
        ) from None
    if parts.scheme in ("http", "https") and parts.hostname:
        loopback = parts.hostname in _LOOPBACK or parts.hostname.startswith("127.")
        pace = _no_wait if loopback or requests_per_second <= 0 else Pace(requests_per_second, rate_file).wait
        return HttpArchive(location, pace, (connect_seconds, read_seconds), total_seconds, max_bytes)
    if parts.scheme == "simulated":
        return _Simulated()
    if parts.scheme in ("", "file"):
        folder = Path(unquote(parts.path) if parts.scheme == "file" else location).expanduser()
        if folder.is_dir():
            return FolderArchive(folder, max_bytes)
        raise SettingsError("the archive's folder does not exist", source=str(folder), todo="Set NSE_ARCHIVE_URL.")
    raise SettingsError(
        "the archive's location is not understood",
        expected="http://, https:// or file:// URL, a folder, or simulated:",
        found=f"scheme {parts.scheme!r}",
        todo="Set NSE_ARCHIVE_URL.",
    )


class HttpArchive:
    """An archive over HTTP: one session, bounded in time and size, at a polite pace."""

    def __init__(
        self,
        base: str,
        pace: Callable[[], None],
        timeout: tuple[float, float],
        total_seconds: float,
        max_bytes: int,
    ) -> None:
        parts = urlsplit(base)
        self._public_base = secrets.public(base).rstrip("/")
        user, _, host = parts.netloc.rpartition("@")
        self._base = parts._replace(netloc=host, query="", fragment="").geturl().rstrip("/")
        # A token can be there, as in addresses that a store has signed.
        self._query = f"?{parts.query}" if parts.query else ""
        self._pace = pace
        self._timeout = timeout
        self._total_seconds = total_seconds
        self._max_bytes = max_bytes
        self._refused_until = 0.0
        self._session = _Session()
        if user:
            # As bytes: requests would take them for Latin-1, which has not every character.
            name, _, password = user.partition(":")
            self._session.auth = HTTPBasicAuth(unquote(name).encode(), unquote(password).encode())
        # Threads share the session: enough connections for them, and no cookies, which the host does not need.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Bounded(total_seconds))
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Identity: what is compressed in transit could unpack to anything, and the files are zips already.
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})

    def url(self, path: str) -> str:
        return self._public_base + path

    def get(self, path: str, day: date, known: Mapping[str, str] = _NOTHING) -> tuple[bytes, Mapping[str, str]]:
        url = self.url(path)
        self._require_peace(day, url)
        self._pace()
        asked = {theirs: known[ours] for ours, theirs in _VALIDATORS.items() if ours in known}
        with (
            _as_unreachable(day, url),
            self._session.get(
                self._base + path + self._query,
                headers=asked,
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,
            ) as response,
            response.raw.limit,  # type: ignore[union-attr]  # `_bounded` has set it
        ):
            if asked and response.status_code == 304:
                raise NotModified
            self._require_success(response, day, url)
            content = self._read(response, day, url)
        return content, {name: response.headers[name] for name in _VALIDATORS if name in response.headers}

    def _require_success(self, response: requests.Response, day: date, url: str) -> None:
        status = response.status_code
        if status == 200:
            return
        if status == 404:
            missing = NotPublished("the archive has no such file", day=day, source=url, found="404")
            missing.answered = _time_in(response.headers.get("Date", ""))
            raise missing
        if status >= 500:
            raise ArchiveUnreachable("the archive cannot answer at present", day=day, source=url, found=str(status))
        if status < 300:
            raise RejectedPayload(
                "the archive answers without a file", day=day, source=url, expected="status 200", found=str(status)
            )
        if status < 400:
            raise RejectedPayload(
                "the archive redirects elsewhere, which is not followed",
                day=day,
                source=url,
                found=f"{status} to {_place(response.headers.get('Location', ''))}",
                todo="If the archive has moved, set NSE_ARCHIVE_URL.",
            )
        # The HTTP-date form is not read: the exchange sends seconds, and either way nothing is asked again at once.
        retry_after = _number(response.headers.get("Retry-After"))
        refused = Refused(
            "the archive refuses",
            day=day,
            source=url,
            found=str(status) + (f", Retry-After {retry_after:g} s" if retry_after is not None else ""),
            todo="It is not asked again at once: wait, and lower the rate if this repeats.",
        )
        refused.retry_after = None if retry_after is None else min(retry_after, _MOST_PEACE_SECONDS)
        self._refused_until = time.monotonic() + (refused.retry_after or _PEACE_SECONDS)
        raise refused

    def _require_peace(self, day: date, url: str) -> None:
        """Refused, without a request, for a while after the archive has refused one."""
        wait = self._refused_until - time.monotonic()
        if wait > 0:
            refused = Refused(
                "the archive refused a moment ago, and is not asked",
                day=day,
                source=url,
                todo=f"Try again in {math.ceil(wait)} seconds, or later.",
            )
            refused.retry_after = wait
            raise refused

    def _read(self, response: requests.Response, day: date, url: str) -> bytes:
        announced = _number(response.headers.get("Content-Length"))
        if announced is not None and announced > self._max_bytes:
            raise self._too_large(day, url, announced)
        content = bytearray()
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            content += chunk
            if len(content) > self._max_bytes:
                raise self._too_large(day, url, len(content))
        if announced is not None and len(content) != announced:
            raise TruncatedPayload(
                "the body is cut short",
                day=day,
                source=url,
                expected=f"{announced} bytes",
                found=f"{len(content)} bytes",
            )
        return bytes(content)

    def _too_large(self, day: date, url: str, size: int) -> RejectedPayload:
        return RejectedPayload(
            "the body is too large",
            day=day,
            source=url,
            expected=f"at most {self._max_bytes:,} bytes",
            found=f"{size:,}",
        )


class _Session(requests.Session):
    """Sees no redirect: to look at one, requests reads its whole body, whatever its size, and unpacks it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as in requests
        return None


class _TooSlow(TimeoutError):
    """An answer was not there, whole, after so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__()


class _Limit:
    """Ends a connection after so many seconds: a socket's timeout starts again with every byte.

    Runs from its making; leaving its ``with`` block stops it, and raises _TooSlow where it had come to its end.
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
        # Without a length, a body that was ended here looks whole.
        if self.is_over:
            raise _TooSlow(self._seconds)

    def _end(self, sock: socket.socket) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):
            # The socket's own, where it is wrapped in TLS: another thread is reading.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Bounded(requests.adapters.HTTPAdapter):
    """Gives each response a `_Limit`, which began before its first byte and runs until its last."""

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
    """The lines of an answer up to its body, as long as they are not too many bytes."""

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
    """Bounds all headers together: other libraries allow ten thousand of them, of 64 KiB each, for the process."""

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
                    stack.pop_all()  # it goes on while the body is read
            response.limit = limit
            return response

    return Bounded


class FolderArchive:
    """An archive for people who have the files already, laid out as on the exchange."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def url(self, path: str) -> str:
        return str(self._folder / path.lstrip("/"))

    def get(
        self,
        path: str,
        day: date,
        known: Mapping[str, str] = _NOTHING,  # noqa: ARG002 - a folder notes no versions: the content tells
    ) -> tuple[bytes, Mapping[str, str]]:
        file = Path(self.url(path))
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            raise NotPublished("the archive's folder has no such file", day=day, source=str(file)) from None
        except OSError as error:
            raise StorageError(f"the file could not be read: {error.strerror}", day=day, source=str(file)) from error
        if size > self._max_bytes:
            raise RejectedPayload(
                "the file is too large",
                day=day,
                source=str(file),
                expected=f"at most {self._max_bytes:,} bytes",
                found=f"{size:,}",
            )
        return durable.read_whole(file), {}


class _Simulated:
    """The built-in simulated exchange, in process."""

    def url(self, path: str) -> str:
        return f"simulated:{path}"

    def get(
        self,
        path: str,
        day: date,
        known: Mapping[str, str] = _NOTHING,  # noqa: ARG002 - as for a folder
    ) -> tuple[bytes, Mapping[str, str]]:
        from champion_luigi.simulated import exchange  # only the demo and tests need it

        status, content = exchange.respond(path)
        if status != 200:
            raise NotPublished(
                "the simulated archive has no such file", day=day, source=self.url(path), found=str(status)
            )
        return content, {}


class Pace:
    """At most so many requests a second, by all processes that share the file."""

    def __init__(self, per_second: float, file: Path | None) -> None:
        self._gap = 1.0 / per_second
        # A slot further ahead than this was written by a clock that has since been set back.
        self._furthest = max(600.0, 10 * self._gap)
        self._file = file
        self._next = 0.0

    def wait(self) -> None:
        """Sleep until the next free slot."""
        if self._file is None:
            slot = self._take(self._next)
        else:
            with durable.locked(self._file.with_suffix(".lock"), "the archive's pace", wait_seconds=60):
                slot = self._take(self._last_slot(self._file))
                self._file.write_text(repr(self._next))
        time.sleep(max(0.0, slot - time.time()))

    def _take(self, free_from: float) -> float:
        now = time.time()
        slot = free_from if now < free_from < now + self._furthest else now
        self._next = slot + self._gap
        return slot

    @staticmethod
    def _last_slot(file: Path) -> float:
        try:
            return float(file.read_text())
        except (FileNotFoundError, ValueError):
            return 0.0


def _no_wait() -> None:
    return


def _number(text: str | None) -> int | None:
    """A header's number, None where it is none; an absurd one is large, and no more than that."""
    return int(min(float(text), 1e18)) if text is not None and text.isdecimal() else None


def _place(location: str) -> str:
    """Where a redirect leads, without what could be a secret, or an order to a terminal."""
    try:
        target = urlsplit(location)
    except ValueError:
        return "an address that is none"
    # Hidden before it is cut: some servers repeat what they were sent.
    return (target.hostname or secrets.hidden(target.path) or "nowhere").encode("unicode_escape").decode()[:80]


def _time_in(text: str) -> datetime | None:
    """The time that a Date header tells; None where it tells none."""
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextlib.contextmanager
def _as_unreachable(day: date, url: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise into the package's errors, by type: their texts can hold the base URL."""
    from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError

    try:
        yield
    except requests.exceptions.InvalidURL:
        # Its text has the URL with its password.
        raise SettingsError(
            "the archive's URL is not valid", day=day, source=url, todo="Set NSE_ARCHIVE_URL."
        ) from None
    except (IncompleteRead, ProtocolError) as error:
        raise TruncatedPayload("the connection broke off", day=day, source=url, found=type(error).__name__) from None
    except (requests.exceptions.RequestException, HTTPError, OSError) as error:
        causes = list(_causes(error))
        if slow := next((each for each in causes if isinstance(each, _TooSlow)), None):
            raise ArchiveUnreachable(
                "the answer came too slowly", day=day, source=url, expected=f"all of it within {slow.seconds:g} s"
            ) from None
        if untrusted := next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None):
            raise ArchiveUnreachable(
                "the archive's certificate is not trusted",
                day=day,
                source=url,
                found=untrusted.verify_message,
                todo="Check the address and the clock; for a CA of your own, set REQUESTS_CA_BUNDLE.",
            ) from None
        raise ArchiveUnreachable("the archive did not answer", day=day, source=url, found=_kind(causes[-1])) from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, and so on to the innermost."""
    seen: set[int] = set()
    each: Any = error
    while isinstance(each, BaseException) and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__ or getattr(each, "reason", None)


def _kind(error: BaseException) -> str:
    """An error by its type, as 'ConnectionRefusedError', and the operating system's words for it."""
    words = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return type(error).__name__ + words
