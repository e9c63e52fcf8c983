"""The archive over HTTP: one session at a polite pace, limited in time and size, with typed errors."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth

from champion_luigi.base import secrets
from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ArchiveUnusable,
    NotPublished,
    RateLimited,
    Refused,
    RejectedPayload,
    TruncatedPayload,
)
from champion_luigi.datasets.model import MONTHS
from champion_luigi.exchange.archive import NOTHING, NotModified
from champion_luigi.exchange.bounded import BoundedAdapter
from champion_luigi.exchange.failures import Way, explained

# The exchange's firewall answers 403 to anything that does not look like a browser.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_CHUNK = 256 * 1024
# The pause in requests after a refusal that names no duration.
_PEACE_SECONDS = 60.0
# The longest pause that is honoured: a wrong header must not stop a process that runs for months.
_MOST_PEACE_SECONDS = 86400.0
# The parts of a path that are years and months: paths that differ only in them are one kind of file.
_DATED = re.compile(rf"(?:/(?:\d{{4}}|\d\d|{'|'.join(MONTHS)}))+$")
# The response headers that identify a file's version, and the request headers that compare it.
_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
_LOG_IN = "If this machine's network has a login page, log in."


class HttpArchive:
    """An archive over HTTP: one session at a polite pace, limited in time and size."""

    def __init__(
        self,
        base: str,
        pace: Callable[[], None],
        *,
        connect_seconds: float,
        read_seconds: float,
        total_seconds: float,
        max_bytes: int,
    ) -> None:
        parts = urlsplit(base)
        self._public_base = secrets.public(base).rstrip("/")
        user, _, host = parts.netloc.rpartition("@")
        self._base = parts._replace(netloc=host, query="", fragment="").geturl().rstrip("/")
        # The query can hold a token, as in an object store's signed URLs.
        self._query = f"?{parts.query}" if parts.query else ""
        self._pace, self._timeout, self._max_bytes = pace, (connect_seconds, read_seconds), max_bytes
        # The end of each pause in requests, by folder of the archive; "" is the whole archive.
        self._refused_until: dict[str, float] = {}
        # When this machine last could not use the archive, and why.
        self._unusable: tuple[float, ArchiveUnusable | None] = (0.0, None)
        self._session = _Session()
        if user:
            # As bytes: requests would encode text as Latin-1, which lacks many characters.
            name, _, password = user.partition(":")
            self._session.auth = HTTPBasicAuth(unquote(name).encode(), unquote(password).encode())
        # Threads share the session: enough connections for all of them, and no cookies, which the host does not need.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, BoundedAdapter(total_seconds))
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Identity: a body compressed in transit could unpack to any size, and most files are zips already.
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})

    def url(self, path: str) -> str:
        return self._public_base + path

    def get(self, path: str, day: date, known: Mapping[str, str] = NOTHING) -> tuple[bytes, Mapping[str, str]]:
        about: dict[str, Any] = {"day": day, "source": self.url(path)}
        folder = _folder_of(path)
        self._require_no_pause(folder, about)
        self._pace()
        # Another thread may have been refused while this one waited for its turn.
        self._require_no_pause(folder, about)
        asked = {theirs: known[ours] for ours, theirs in _VALIDATORS.items() if ours in known}
        options: Any = {"headers": asked, "timeout": self._timeout, "stream": True, "allow_redirects": False}
        with (
            self._remembering(),
            explained(self._base, about),
            self._session.get(self._base + path + self._query, **options) as response,
            response.raw.limit,  # type: ignore[union-attr]  # set by `_bounded`
        ):
            if asked and response.status_code == 304:
                raise NotModified
            self._require_success(response, about, folder)
            content = self._read(response, about)
        return content, {name: response.headers[name] for name in _VALIDATORS if name in response.headers}

    def _require_no_pause(self, folder: str, about: Mapping[str, Any]) -> None:
        """Raise the error of a moment ago again, without a request, if it concerns this one as well."""
        for place, error in (("", RateLimited), (folder, Refused)):
            wait = self._refused_until.get(place, 0.0) - time.monotonic()
            if wait > 0:
                todo = f"Try again in {math.ceil(wait)} seconds, or later."
                what = "the archive refused a moment ago, so no request was sent"
                raise error(what, **about, todo=todo, retry_after=wait)
        since, unusable = self._unusable
        if unusable is not None and time.monotonic() < since + _PEACE_SECONDS:
            # A proxy can lock a user out who sends a wrong password too often.
            what = f"{unusable.what}; no request was sent again"
            raise ArchiveUnusable(what, **about, found=unusable.found, todo=unusable.todo)

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except ArchiveUnusable as error:
            self._unusable = time.monotonic(), error
            raise

    def _require_success(self, response: requests.Response, about: Mapping[str, Any], folder: str) -> None:
        status, headers = response.status_code, response.headers
        if status == 200:
            return
        if status == 404:
            answered = _time_in(headers.get("Date", ""))
            raise NotPublished("the archive has no such file", **about, found="404", answered=answered)
        way = Way(self._base)
        if status == 511:
            raise ArchiveUnusable(
                "this machine's network wants somebody to log in", **about, found=f"511{way.words}", todo=_LOG_IN
            )
        if status >= 500:
            raise ArchiveUnreachable("the archive cannot answer at present", **about, found=f"{status}{way.words}")
        if status < 300:
            what = "the archive answers without a file"
            raise RejectedPayload(what, **about, expected="status 200", found=f"{status}{way.words}")
        if status < 400:
            raise RejectedPayload(
                "the archive redirects elsewhere, which is not followed",
                **about,
                found=f"{status} to {_place(headers.get('Location', ''))}{way.words}",
                todo=f"{_LOG_IN} If the archive has moved, set NSE_ARCHIVE_URL.",
            )
        if status == 407:
            raise way.proxy_refuses(status, about)
        # The HTTP-date form is not read: the exchange sends seconds, and either way no request is retried at once.
        retry_after = _number(headers.get("Retry-After"))
        honoured = None if retry_after is None else min(retry_after, _MOST_PEACE_SECONDS)
        is_limit = status == 429 or "Retry-After" in headers
        self._refused_until["" if is_limit else folder] = time.monotonic() + (honoured or _PEACE_SECONDS)
        found = str(status) + (f", Retry-After {retry_after:g} s" if retry_after is not None else "")
        raise (RateLimited if is_limit else Refused)(
            "the archive refuses",
            **about,
            found=found + way.words,
            todo="The request is not retried at once: wait, and lower the rate if this repeats.",
            retry_after=honoured,
        )

    def _read(self, response: requests.Response, about: Mapping[str, Any]) -> bytes:
        def require_small(size: int) -> None:
            if size > self._max_bytes:
                limit = f"at most {self._max_bytes:,} bytes"
                raise RejectedPayload("the body is too large", **about, expected=limit, found=f"{size:,}")

        announced = _number(response.headers.get("Content-Length"))
        require_small(announced or 0)
        content = bytearray()
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            content += chunk
            require_small(len(content))
        if announced is not None and len(content) != announced:
            expected, found = f"{announced} bytes", f"{len(content)} bytes"
            raise TruncatedPayload("the body is cut short", **about, expected=expected, found=found)
        if content[:1000].lstrip()[:1] == b"<":
            # Here, because the way is known: most such pages are those of networks.
            raise RejectedPayload(
                "the answer is an HTML page, not the file",
                **about,
                expected="a zip or CSV",
                found=_start(bytes(content)) + Way(self._base).words,
                todo=f"{_LOG_IN} Otherwise open the address in a browser on this machine.",
            )
        return bytes(content)


class _Session(requests.Session):
    """Ignores redirects: to inspect one, requests would read and unpack its whole body, whatever its size."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as in requests
        return None


def _folder_of(path: str) -> str:
    """The folder of a path, without its year and month."""
    return _DATED.sub("", path.rpartition("/")[0]) or "/"


def _start(page: bytes) -> str:
    # Hide secrets before cutting: some servers echo the request.
    return repr(secrets.hidden(page[:10_000].lstrip().decode(errors="replace"))[:60])


def _number(text: str | None) -> int | None:
    """A header's number, at most 1e18; None if the text is not a number."""
    return int(min(float(text), 1e18)) if text is not None and text.isdecimal() else None


def _place(location: str) -> str:
    """A redirect's target, without possible secrets or terminal control sequences."""
    try:
        target = urlsplit(location)
    except ValueError:
        return "an invalid address"
    # Hide secrets before cutting: some servers echo the request.
    return (target.hostname or secrets.hidden(target.path) or "nowhere").encode("unicode_escape").decode()[:80]


def _time_in(text: str) -> datetime | None:
    """The time in a Date header; None if it holds none."""
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
