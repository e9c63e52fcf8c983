"""What stands between this machine and the archive: proxies, certificates, login pages, name servers.

Each error names the variable or the proxy that is at fault, without its password, and nobody is sent to the exchange.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import selectors
import socket
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from helpers import LEGACY_DAY, Answering, answering, archive_path, self_signed

from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ArchiveUnusable,
    ChampionError,
    RejectedPayload,
    SettingsError,
    is_transient,
)
from champion_luigi.config.wiring import open_archive
from champion_luigi.exchange.archive import Archive
from champion_luigi.simulated import exchange

PATH = archive_path("legacy", LEGACY_DAY)
HTTPS, HTTP = "https://archive.invalid", "http://archive.invalid"

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificates of the machine's own."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name)


def error_of(opened: Archive) -> ChampionError:
    """The error with which a request ends. It names the day, and never a password."""
    with pytest.raises(ChampionError) as caught:
        opened.get(PATH, LEGACY_DAY)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.day == LEGACY_DAY
    assert "site" not in str(caught.value)
    return caught.value


def error_at(url: str) -> ChampionError:
    return error_of(open_archive(url, requests_per_second=0))


def status(code: int, body: bytes = b"", *headers: str) -> Answer:
    """A whole answer, to a request or to the wish for a tunnel."""
    lines = [f"HTTP/1.1 {code} As It Is", f"Content-Length: {len(body)}", *headers, "", ""]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write("\r\n".join(lines).encode() + body)

    return answer


@contextlib.contextmanager
def proxy(answer: Answer, variable: str = "HTTPS_PROXY") -> Iterator[Answering]:
    """A proxy on loopback that answers so, set with a user and a password."""
    with answering(answer) as running, pytest.MonkeyPatch.context() as patched:
        patched.setenv(variable, running.url.replace("//", "//reader:hidden@"))
        yield running


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def through_to(port: int) -> Answer:
    """A tunnel, whatever host was asked for."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            handler.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            # Not select(), which takes no file number above 1,023.
            with selectors.DefaultSelector() as selector:
                for end, other in ((handler.connection, server), (server, handler.connection)):
                    selector.register(end, selectors.EVENT_READ, other)
                while True:
                    for ready, _ in selector.select(60):
                        content = ready.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not content:
                            return
                        ready.data.sendall(content)

    return answer


# Proxies


@pytest.mark.integration
@pytest.mark.parametrize(("url", "variable"), [(HTTPS, "HTTPS_PROXY"), (HTTP, "http_proxy"), (HTTPS, "all_proxy")])
def test_a_proxy_that_wants_a_password_is_asked_once(url: str, variable: str) -> None:
    """407, in answer to a request or to the wish for a tunnel: the variable to correct is named."""
    with proxy(status(407), variable) as running:
        error = error_at(url)
        assert len(running.requests) == 1
    assert isinstance(error, ArchiveUnusable)
    assert not is_transient(error)
    assert error.found == f"407, through the proxy {running.url} ({variable})"
    assert f"Write them into {variable}" in str(error)


@pytest.mark.integration
def test_a_wrong_password_is_not_sent_again_at_once() -> None:
    """A proxy can lock its user out: other days fail with the same reason, without a request."""
    with proxy(status(407)) as running:
        opened = open_archive(HTTPS, requests_per_second=0)
        first, second = error_of(opened), error_of(opened)
        assert len(running.requests) == 1
    assert type(second) is ArchiveUnusable
    assert second.what == f"{first.what}; no request was sent again"
    assert (second.found, second.todo) == (first.found, first.todo)


@pytest.mark.integration
@pytest.mark.parametrize("code", [302, 403, 405])
def test_a_proxy_that_refuses_the_archive_is_told_from_the_archive(code: int) -> None:
    """As a list of allowed hosts does, with 403 on CONNECT."""
    with proxy(status(code)) as running:
        error = error_at(HTTPS)
    assert isinstance(error, ArchiveUnusable)
    assert error.found == f"{code}, through the proxy {running.url} (HTTPS_PROXY)"
    assert "allow archive.invalid" in str(error)
    assert "NO_PROXY" in str(error)


@pytest.mark.integration
@pytest.mark.parametrize("code", [502, 503, 504])
def test_a_proxy_that_cannot_reach_the_archive_may_do_so_later(code: int) -> None:
    """Its own name servers or lines can be at fault."""
    with proxy(status(code)) as running:
        error = error_at(HTTPS)
    assert isinstance(error, ArchiveUnreachable)
    assert error.found == f"{code}, through the proxy {running.url} (HTTPS_PROXY)"


@pytest.mark.parametrize(("url", "variable"), [(HTTPS, "HTTPS_PROXY"), (HTTP, "http_proxy")])
def test_a_proxy_where_nobody_listens_is_named(url: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be on its way up again."""
    port = closed_port()
    monkeypatch.setenv(variable, f"http://reader:hidden@127.0.0.1:{port}/")
    error = error_at(url)
    assert isinstance(error, ArchiveUnreachable)
    assert "the proxy cannot be reached; found ConnectionRefusedError" in str(error)
    assert f"the proxy http://127.0.0.1:{port}/ ({variable})" in str(error)
    assert f"Check {variable}" in str(error)


def test_a_proxy_whose_name_cannot_be_looked_up_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a retry can help is for the name servers to say: with none at all, it can."""
    monkeypatch.setenv("HTTPS_PROXY", "http://reader:hidden@proxy.invalid:3128")
    error = error_at(HTTPS)
    assert isinstance(error, (ArchiveUnusable, ArchiveUnreachable))
    assert "the proxy http://proxy.invalid:3128 (HTTPS_PROXY)" in str(error)
    assert "Check HTTPS_PROXY" in str(error)


@pytest.mark.integration
def test_a_proxy_that_ends_the_connection_is_named() -> None:
    """Without an answer."""
    with proxy(lambda handler: None) as running:
        error = error_at(HTTPS)
    assert is_transient(error)
    assert running.url in str(error)


@pytest.mark.parametrize(
    "address",
    [
        "http://reader:hidden@:3128",
        "http://reader:hidden@proxy:port",
        "http://reader:hidden@proxy:99999",
        "http://reader:hidden@[::1",
        "htp://reader:hidden@proxy:3128",
        "http://",
        "reader:hidden@",
        "reader:hidden@proxy:3128",
        "://proxy",
    ],
)
@pytest.mark.parametrize("url", [HTTPS, HTTP])
def test_a_proxys_address_that_is_not_valid_is_a_setting_to_correct(
    url: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the archive's URL that is wrong."""
    monkeypatch.setenv("ALL_PROXY", address)
    error = error_at(url)
    assert isinstance(error, SettingsError)
    assert "the proxy's address in ALL_PROXY is not valid" in str(error)
    assert "NSE_ARCHIVE_URL" not in str(error)


def test_a_socks_proxy_wants_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which one."""
    if importlib.util.find_spec("socks"):
        pytest.skip("PySocks is installed")
    monkeypatch.setenv("ALL_PROXY", "socks5h://reader:hidden@proxy:1080")
    error = error_at(HTTPS)
    assert isinstance(error, SettingsError)
    assert "PySocks" in str(error)


@pytest.mark.integration
def test_what_a_plain_proxy_answers_for_the_archive_names_the_proxy() -> None:
    """Over http:// its answers cannot be told from the archive's."""
    for answer in (status(403), status(503), status(204), status(302, b"", "Location: https://login.example")):
        with proxy(answer, "http_proxy") as running:
            assert f"through the proxy {running.url} (http_proxy)" in str(error_at(HTTP))


# Login pages


@pytest.mark.integration
def test_the_page_of_a_captive_portal_is_told_as_such() -> None:
    """Status 200 and HTML, in the archive's name."""
    page = b"\n<html><title>Sign in to the network</title>"
    with answering(status(200, page, "Content-Type: text/html")) as running:
        error = error_at(running.url)
    assert isinstance(error, RejectedPayload)
    assert "an HTML page" in str(error)
    assert error.found == "'<html><title>Sign in to the network</title>'"
    assert "login page" in str(error)


@pytest.mark.integration
def test_a_page_of_any_kind_is_shown_in_a_few_harmless_letters() -> None:
    """Whatever its bytes, and without the password that it may repeat."""
    page = b"<p>\xff\x1b[31m" + exchange.html_page("x" * 5000)
    with answering(status(200, page)) as running:
        error = error_at(running.url)
    assert error.found is not None
    assert len(error.found) < 100
    assert "\x1b" not in error.found


@pytest.mark.integration
def test_a_redirect_to_a_login_page_is_told_as_such() -> None:
    """The host is enough to know whose page it is."""
    with answering(status(302, b"", "Location: https://login.example/?user=hidden")) as running:
        error = error_at(running.url)
    assert isinstance(error, RejectedPayload)
    assert error.found == "302 to login.example"
    assert "login page" in str(error)


@pytest.mark.integration
def test_511_is_a_network_that_wants_a_login() -> None:
    """No retry logs in."""
    with answering(status(511, b"<html>")) as running:
        error = error_at(running.url)
    assert isinstance(error, ArchiveUnusable)
    assert "log in" in str(error)


# Certificates


@pytest.mark.integration
def test_a_certificate_that_is_not_trusted_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do, and without a retry: an archive of one's own may have a CA of one's own."""
    with answering(status(200, b"the file"), tls=self_signed(tmp_path)) as running:
        error = error_at(running.url)
        assert isinstance(error, ArchiveUnusable)
        assert "the archive's certificate is not trusted; found self" in str(error)
        assert "REQUESTS_CA_BUNDLE" in str(error)
        assert "SSL_CERT_FILE" not in str(error)
        assert running.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert "SSL_CERT_FILE is not read" in str(error_at(running.url))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        assert open_archive(running.url).get(PATH, LEGACY_DAY)[0] == b"the file"


@pytest.mark.integration
def test_a_proxy_that_opens_encrypted_connections_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is what the archive seems to have; it can be trusted."""
    with answering(status(200, b"the file"), tls=self_signed(tmp_path)) as running:
        port = int(running.url.rpartition(":")[2])
        with proxy(through_to(port)) as between:
            error = error_at(HTTPS)
    assert isinstance(error, ArchiveUnusable)
    assert "certificate is not trusted; found self" in str(error)
    assert f"through the proxy {between.url} (HTTPS_PROXY)" in str(error)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "empty", "garbage"])
def test_certificates_that_cannot_be_read_are_a_setting_to_correct(
    variable: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and the file are named; the archive was not even asked."""
    file = tmp_path / "ca.pem"
    if kind != "missing":
        file.write_text("" if kind == "empty" else "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv(variable, str(file))
    error = error_at(f"https://127.0.0.1:{closed_port() if kind == 'missing' else 9}")
    assert isinstance(error, SettingsError)
    assert error.source == str(file)
    assert f"Correct {variable}" in str(error)


def test_certificates_of_this_installation_that_are_missing_are_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged environment is mended by another installation."""
    for module in ("requests.adapters", "champion_luigi.exchange.failures"):
        monkeypatch.setattr(f"{module}.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "cacert.pem"))
    error = error_at("https://127.0.0.1:9")
    assert isinstance(error, SettingsError)
    assert "certifi" in str(error)


@pytest.mark.integration
def test_a_server_without_tls_is_an_address_to_correct() -> None:
    """https:// towards a port that speaks plain HTTP, or mail, or anything."""
    with answering(status(200, b"the file")) as running:
        error = error_at(running.url.replace("http:", "https:"))
    assert isinstance(error, ArchiveUnusable)
    assert "does not speak TLS" in str(error)
    assert "NSE_ARCHIVE_URL" in str(error)


@pytest.mark.integration
def test_a_plain_proxy_under_an_https_address_is_an_address_to_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    """A common slip: the proxy for https:// is reached over http://."""
    with answering(status(200)) as running:
        monkeypatch.setenv("HTTPS_PROXY", running.url.replace("http://", "https://reader:hidden@"))
        error = error_at(HTTPS)
    assert isinstance(error, ArchiveUnusable)
    assert "HTTPS_PROXY" in str(error)
    assert "NSE_ARCHIVE_URL" not in str(error)


# Networks


def test_a_name_that_cannot_be_looked_up_is_a_matter_of_this_machines_network() -> None:
    """Name servers have their outages, so a retry can help."""
    error = error_at(HTTP)
    assert isinstance(error, ArchiveUnreachable)
    assert "name cannot be looked up" in str(error)
    assert "name servers" in str(error)


def test_a_host_where_nobody_listens_is_first_a_matter_of_this_machines_network() -> None:
    """It may need a proxy."""
    error = error_at(f"http://127.0.0.1:{closed_port()}")
    assert isinstance(error, ArchiveUnreachable)
    assert "Connection refused" in str(error)
    assert "HTTPS_PROXY" in str(error)
