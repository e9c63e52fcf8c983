"""Failures of connections as the package's errors: who is at fault, and whether a retry can help.

Errors are distinguished by type, because their texts can hold an address with its password. The fault is often in this
machine's surroundings: in its proxy, its certificates or its network. The error then names the variable to correct.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError, ProxyError
from urllib3.util import parse_url

from champion_luigi.base import secrets
from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ArchiveUnusable,
    ChampionError,
    SettingsError,
    TruncatedPayload,
)
from champion_luigi.exchange.bounded import TooSlow

_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
# What a server says that does not speak TLS, or no version of it that this machine does; others can be a broken line.
_NO_TLS = re.compile("WRONG_VERSION_NUMBER|UNSUPPORTED_PROTOCOL|HTTP_REQUEST|_ALERT_(?:PROTOCOL_VERSION|HANDSHAKE)")
# The library's only report of the status with which a proxy refuses a tunnel.
_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")


class Way:
    """The way to a server from this machine: its proxy, if there is one, and the certificates that it trusts."""

    def __init__(self, url: str) -> None:
        self._url = url
        address = select_proxy(url, get_environ_proxies(url)) or ""
        scheme = urlsplit(url).scheme
        names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
        self.variable = next((name for name in names if os.environ.get(name) == address), "the system's proxy settings")
        self._proxy = address
        self.proxy = secrets.public(address)

    @property
    def words(self) -> str:
        """The proxy as part of a sentence; empty if there is none."""
        return f", through the proxy {self.proxy} ({self.variable})" if self.proxy else ""

    def proxy_refuses(self, status: int, about: Mapping[str, Any]) -> ChampionError:
        """The error for a proxy that refuses with this status."""
        found = f"{status}{self.words}"
        if status == 407:
            return ArchiveUnusable(
                "the proxy wants a user and a password, or refuses those that it got",
                **about,
                found=found,
                todo=f"Write them into {self.variable}: http://user:password@host:port.",
            )
        if status >= 500:
            what = "the proxy cannot reach the archive at present"
            return ArchiveUnreachable(what, **about, found=found, todo="If it persists, ask who runs the proxy.")
        host = urlsplit(self._url).hostname
        return ArchiveUnusable(
            "the proxy refuses to connect to the archive",
            **about,
            found=found,
            todo=f"Ask who runs the proxy to allow {host}, or put {host} into NO_PROXY to connect without it.",
        )

    def unusable_setting(self, about: Mapping[str, Any]) -> ChampionError | None:
        """The error for a variable that cannot be used as it is; None if all can be."""
        try:
            # As requests reads it.
            parts = parse_url(prepend_scheme_if_needed(self._proxy, "http"))
            is_usable = not self._proxy or bool(parts.scheme in _PROXY_SCHEMES and parts.host)
        except (HTTPError, ValueError):
            is_usable = False
        if not is_usable:
            return SettingsError(
                f"the proxy's address in {self.variable} is not valid",
                **about,
                expected="http://host:port, with user:password@ before the host if it wants them",
                found=repr(self.proxy),
                todo=f"Correct {self.variable}; in a password, write %2F for /, %3F for ?, %23 for # and %40 for @.",
            )
        return self._unusable_certificates(about) if self._url.startswith("https:") else None

    def _unusable_certificates(self, about: Mapping[str, Any]) -> ChampionError | None:
        variable = next((name for name in _CERTIFICATES if os.environ.get(name)), "")
        path = Path(os.environ[variable] if variable else DEFAULT_CA_BUNDLE_PATH)
        about = {**about, "source": str(path)}
        try:
            if not path.is_dir():
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            todo = f"Correct {variable}, or unset it." if variable else "Install the Python package certifi again."
            return SettingsError(
                f"the certificates to trust cannot be read{f' from {variable}' if variable else ''}",
                **about,
                expected="a file of certificates (PEM)",
                found=error.strerror or type(error).__name__,
                todo=todo,
            )
        return None


@contextlib.contextmanager
def explained(url: str, about: Mapping[str, Any]) -> Iterator[None]:
    """Turn the errors of requests and urllib3 in a request to ``url`` into the package's errors."""
    try:
        yield
    except (requests.exceptions.RequestException, HTTPError, OSError, ValueError) as error:
        raise _meaning(error, Way(url), about) from None


def _meaning(error: Exception, way: Way, about: Mapping[str, Any]) -> ChampionError:
    causes = list(_causes(error))

    def cause(kind: type[BaseException]) -> Any:
        return next((each for each in causes if isinstance(each, kind)), None)

    if slow := cause(TooSlow):
        limit = f"all of it within {slow.seconds:g} s"
        return ArchiveUnreachable("the answer came too slowly" + way.words, **about, expected=limit)
    if isinstance(error, (IncompleteRead, ProtocolError)):
        return TruncatedPayload("the connection broke off" + way.words, **about, found=type(error).__name__)
    if unusable := way.unusable_setting(about):
        return unusable
    if refused := next(filter(None, (_REFUSED_TUNNEL.search(str(each)) for each in causes)), None):
        return way.proxy_refuses(int(refused[1]), about)
    who = "the proxy" if cause(ProxyError) else "the archive"
    if untrusted := cause(ssl.SSLCertVerificationError):
        todo = (
            "Check the clock and the address. If a proxy of your network opens encrypted connections, or the archive "
            "has a CA of your own, set REQUESTS_CA_BUNDLE to a file with its certificate"
        )
        unread = "; SSL_CERT_FILE is not read" if os.environ.get("SSL_CERT_FILE") else ""
        return ArchiveUnusable(
            f"{who}'s certificate is not trusted",
            **about,
            found=untrusted.verify_message + way.words,
            todo=f"{todo}{unread}.",
        )
    inner = causes[-1]
    found = _kind(inner) + way.words
    if (plain := cause(ssl.SSLError)) and _NO_TLS.search(plain.reason or ""):
        setting = f"the address in {way.variable}" if cause(ProxyError) else "scheme and port in NSE_ARCHIVE_URL"
        todo = f"Check {setting}: http:// and https:// differ."
        return ArchiveUnusable(
            f"{who} does not speak TLS that this machine understands", **about, found=found, todo=todo
        )
    if isinstance(error, requests.exceptions.InvalidSchema) and way.proxy:
        todo = f"Install PySocks beside champion_luigi, or set {way.variable} to an http:// proxy."
        return SettingsError("a SOCKS proxy needs the Python package PySocks", **about, found=way.proxy, todo=todo)
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError)):
        return SettingsError("the archive's URL is not valid", **about, todo="Set NSE_ARCHIVE_URL.")
    if cause(ProxyError):
        todo = f"Check {way.variable}, and that the proxy runs; without a proxy, unset it."
        if isinstance(inner, socket.gaierror) and inner.errno == socket.EAI_NONAME:
            return ArchiveUnusable("the proxy's name is not known", **about, found=found, todo=todo)
        return ArchiveUnreachable("the proxy cannot be reached", **about, found=found, todo=todo)
    if isinstance(inner, socket.gaierror):
        todo = "Check this machine's network and name servers; if its network needs a proxy, set HTTPS_PROXY."
        return ArchiveUnreachable("the archive's name cannot be looked up", **about, found=found, todo=todo)
    todo = "If it persists, check this machine's network first; if that needs a proxy, set HTTPS_PROXY."
    return ArchiveUnreachable("the archive did not answer", **about, found=found, todo=None if way.proxy else todo)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, and so on to the innermost one."""
    seen: set[int] = set()
    each: Any = error
    while isinstance(each, BaseException) and id(each) not in seen:
        seen.add(id(each))
        yield each
        wrapped = (arg for arg in each.args if isinstance(arg, BaseException))
        each = each.__cause__ or each.__context__ or getattr(each, "reason", None) or next(wrapped, None)


def _kind(error: BaseException) -> str:
    """An error's type, such as 'ConnectionRefusedError', and the operating system's message."""
    words = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return type(error).__name__ + words
