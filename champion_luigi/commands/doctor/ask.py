"""One HTTP request to a server for `champion doctor`, bounded in time and size."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from champion_luigi.base import secrets
from champion_luigi.base.errors import ChampionError
from champion_luigi.exchange.bounded import BoundedAdapter

_MOST_BYTES = 1024 * 1024
_SHOWN_LETTERS = 200


@dataclass(frozen=True)
class Reply:
    """A server's answer. ``ahead`` is the number of seconds that its clock is ahead of this machine's, if known."""

    status: int
    text: str
    ahead: float | None

    @property
    def shown(self) -> str:
        """The status and the beginning of the text, on one line."""
        text = secrets.hidden(" ".join(self.text.split()))
        return f"{self.status}, {text[:_SHOWN_LETTERS]}" if text else str(self.status)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - as in requests
        """None: redirects are not followed, because the credentials would be sent along."""
        return None


def ask(
    url: str,
    *,
    method: str = "GET",
    credentials: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    verify: bool | str = True,
    seconds: float = 5.0,
) -> Reply:
    """Send one request, with these credentials or the URL's own. Raises ChampionError if there is no answer.

    The error does not show the credentials. ``verify``: whether to check the server's certificate, or a file of the
    authorities to trust.
    """
    # As bytes: requests would encode text as Latin-1, which lacks many characters.
    auth = HTTPBasicAuth(*(each.encode() for each in credentials)) if credentials else None
    began = time.time()
    try:
        with _Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, BoundedAdapter(seconds))
            session.headers.update({"Accept-Encoding": "identity", **(headers or {})})
            with (
                session.request(method, url, auth=auth, verify=verify, timeout=seconds, stream=True) as answer,
                answer.raw.limit,  # type: ignore[union-attr]  # the adapter has set it
            ):
                text = answer.raw.read(_MOST_BYTES).decode(errors="replace")
    except (OSError, HTTPError, ValueError) as error:
        raise ChampionError("there is no answer", source=secrets.public(url), found=_words(error)) from None
    # Some servers echo the request.
    sent = answer.request.headers.get("Authorization", "").rpartition(" ")[2]
    text = text.replace(sent, "***") if sent else text
    return Reply(answer.status_code, text, _ahead(answer.headers, began, time.time()))


def _words(error: BaseException) -> str:
    """The innermost cause's type and the operating system's message; other messages can hold the address."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    words = getattr(error, "strerror", None)
    return type(error).__name__ + (f": {words}" if words else "")


def _ahead(headers: Mapping[str, str], began: float, ended: float) -> float | None:
    """The seconds by which the server's clock was ahead at mid-request, from the headers Date and Age (of a cache)."""
    try:
        server = parsedate_to_datetime(headers["Date"]).timestamp()
        return server + float(headers.get("Age", 0)) - (began + ended) / 2
    except (KeyError, TypeError, ValueError):
        return None
