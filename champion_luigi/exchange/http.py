"""The archive over HTTP: one session at a polite pace, limited in time and size, with typed errors."""

from __future__ import annotations

import contextlib
import math
import ssl
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
    NotPublished,
    Refused,
    RejectedPayload,
    SettingsError,
    TruncatedPayload,
)
from champion_luigi.exchange.archive import NOTHING, NotModified
from champion_luigi.exchange.bounded import BoundedAdapter, TooSlow

# The exchange's firewall answers 403 to anything that does not look like a browser.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_CHUNK = 256 * 1024
# The pause in requests after a refusal that names no duration.
_PEACE_SECONDS = 60.0
# The longest pause that is honoured: a wrong header must not stop a process that runs for months.
_MOST_PEACE_SECONDS = 86400.0
# The response headers that identify a file's version, and the request headers that compare it.
_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


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
        self._refused_until = 0.0
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
        wait = self._refused_until - time.monotonic()
        if wait > 0:
            todo = f"Try again in {math.ceil(wait)} seconds, or later."
            what = "the archive refused a moment ago, so no request was sent"
            raise Refused(what, **about, todo=todo, retry_after=wait)
        self._pace()
        asked = {theirs: known[ours] for ours, theirs in _VALIDATORS.items() if ours in known}
        options: Any = {"headers": asked, "timeout": self._timeout, "stream": True, "allow_redirects": False}
        with (
            _as_unreachable(about),
            self._session.get(self._base + path + self._query, **options) as response,
            response.raw.limit,  # type: ignore[union-attr]  # set by `_bounded`
        ):
            if asked and response.status_code == 304:
                raise NotModified
            self._require_success(response, about)
            content = self._read(response, about)
        return content, {name: response.headers[name] for name in _VALIDATORS if name in response.headers}

    def _require_success(self, response: requests.Response, about: Mapping[str, Any]) -> None:
        status, headers = response.status_code, response.headers
        if status == 200:
            return
        if status == 404:
            answered = _time_in(headers.get("Date", ""))
            raise NotPublished("the archive has no such file", **about, found="404", answered=answered)
        if status >= 500:
            raise ArchiveUnreachable("the archive cannot answer at present", **about, found=str(status))
        if status < 300:
            what = "the archive answers without a file"
            raise RejectedPayload(what, **about, expected="status 200", found=str(status))
        if status < 400:
            raise RejectedPayload(
                "the archive redirects elsewhere, which is not followed",
                **about,
                found=f"{status} to {_place(headers.get('Location', ''))}",
                todo="If the archive has moved, set NSE_ARCHIVE_URL.",
            )
        # The HTTP-date form is not read: the exchange sends seconds, and either way no request is retried at once.
        retry_after = _number(headers.get("Retry-After"))
        honoured = None if retry_after is None else min(retry_after, _MOST_PEACE_SECONDS)
        self._refused_until = time.monotonic() + (honoured or _PEACE_SECONDS)
        raise Refused(
            "the archive refuses",
            **about,
            found=str(status) + (f", Retry-After {retry_after:g} s" if retry_after is not None else ""),
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
        return bytes(content)


class _Session(requests.Session):
    """Ignores redirects: to inspect one, requests would read and unpack its whole body, whatever its size."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as in requests
        return None


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


@contextlib.contextmanager
def _as_unreachable(about: Mapping[str, Any]) -> Iterator[None]:
    """Turn errors of requests and urllib3 into the package's errors, by type: their texts can hold the base URL."""
    from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError

    try:
        yield
    except requests.exceptions.InvalidURL:
        # The error's text has the URL with its password.
        raise SettingsError("the archive's URL is not valid", **about, todo="Set NSE_ARCHIVE_URL.") from None
    except (IncompleteRead, ProtocolError) as error:
        raise TruncatedPayload("the connection broke off", **about, found=type(error).__name__) from None
    except (requests.exceptions.RequestException, HTTPError, OSError) as error:
        causes = list(_causes(error))
        if slow := next((each for each in causes if isinstance(each, TooSlow)), None):
            limit = f"all of it within {slow.seconds:g} s"
            raise ArchiveUnreachable("the answer came too slowly", **about, expected=limit) from None
        if untrusted := next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None):
            raise ArchiveUnreachable(
                "the archive's certificate is not trusted",
                **about,
                found=untrusted.verify_message,
                todo="Check the address and the clock; for a CA of your own, set REQUESTS_CA_BUNDLE.",
            ) from None
        raise ArchiveUnreachable("the archive did not answer", **about, found=_kind(causes[-1])) from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, and so on to the innermost one."""
    seen: set[int] = set()
    each: Any = error
    while isinstance(each, BaseException) and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__ or getattr(each, "reason", None)


def _kind(error: BaseException) -> str:
    """An error's type, such as 'ConnectionRefusedError', and the operating system's message."""
    words = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return type(error).__name__ + words
