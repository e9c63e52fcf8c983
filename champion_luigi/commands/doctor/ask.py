"""One question to a server over HTTP, bounded in time and size, for `champion doctor`: standard library alone."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from ssl import SSLContext
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from champion_luigi.base.errors import ChampionError
from champion_luigi.base.secrets import hidden

_MOST_BYTES = 1024 * 1024
_SHOWN_LETTERS = 200


@dataclass(frozen=True)
class Reply:
    """What a server answered. ``ahead``: by how many seconds its clock is ahead of this machine's, where it says."""

    status: int
    text: str
    headers: Mapping[str, str]
    ahead: float | None

    @property
    def shown(self) -> str:
        """The status, and the beginning of the text, on one line."""
        text = hidden(" ".join(self.text.split()))
        return f"{self.status}, {text[:_SHOWN_LETTERS]}" if text else str(self.status)


def ask(
    url: str,
    *,
    method: str = "GET",
    credentials: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    tls: SSLContext | None = None,
    seconds: float = 5.0,
) -> Reply:
    """Ask once, with the URL's own credentials or these. ChampionError, without the credentials, where nobody answers.

    A redirect is an answer, and is not followed: credentials would go with it.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ChampionError("the address is not a URL", found=str(error)) from None
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if user:
        credentials = credentials or (unquote(user), unquote(password))
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    sent = dict(headers or {})
    if credentials:
        sent["Authorization"] = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()
    began = time.time()
    try:
        request = Request(address, content, sent, method=method)  # noqa: S310 - whoever asks has chosen the scheme
        opener = build_opener(_NoRedirects, HTTPSHandler(context=tls))
        try:
            answer = opener.open(request, timeout=seconds)
        except HTTPError as error:
            answer = error
        with answer:
            # Some servers repeat what they were sent.
            secret = sent.get("Authorization", "").rpartition(" ")[2] or "\0"
            text = answer.read(_MOST_BYTES).decode(errors="replace").replace(secret, "***")
            return Reply(answer.status, text, dict(answer.headers), _ahead(answer.headers, began, time.time()))
    except (OSError, HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        raise ChampionError(
            "there is no answer", source=host_of(address), found=f"{type(cause).__name__}: {_words(cause)}"
        ) from None


def without_credentials(url: str) -> str:
    """A URL as it may be shown: neither user nor password, and no query, which can hold them too."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def host_of(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(without_credentials(url))
    return f"{parts.scheme}://{parts.netloc}"


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _words(cause: object) -> str:
    return (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(cause)


def _ahead(headers: Mapping[str, str], began: float, ended: float) -> float | None:
    """From the header Date, and Age where a cache answered; half the time under way is allowed for."""
    try:
        server = parsedate_to_datetime(headers["Date"]).timestamp()
        return server + float(headers.get("Age", 0)) - (began + ended) / 2
    except (KeyError, TypeError, ValueError):
        return None
