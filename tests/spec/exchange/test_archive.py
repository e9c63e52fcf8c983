"""Getting a day's file: from a server, with all that servers do wrong, from a folder and from the simulator."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from helpers import (
    BOTH_DAY,
    HOLIDAY,
    LEGACY_DAY,
    UDIFF_DAY,
    answering,
    archive_path,
    fetched,
    payload,
    publish,
)
from simulated_server import Fault, Kind, SimulatedArchive

from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ChampionError,
    NotPublished,
    RateLimited,
    Refused,
    RejectedPayload,
    SettingsError,
    TruncatedPayload,
    is_transient,
)
from champion_luigi.config.wiring import open_archive
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import http
from champion_luigi.exchange.archive import Archive

PATH = archive_path("legacy", LEGACY_DAY)

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def server() -> Iterator[SimulatedArchive]:
    with SimulatedArchive() as running:
        yield running


def error_of(opened: Archive, day: date = LEGACY_DAY) -> ChampionError:
    """The error with which a fetch ends."""
    with pytest.raises(ChampionError) as caught:
        fetched(opened, EQUITY, day)
    return caught.value


def error_from(answer: Answer, **limits: Any) -> ChampionError:
    """The error with which a fetch ends at a server that answers so."""
    with answering(answer) as running:
        return error_of(open_archive(running.url, **limits))


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer with a length."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


# The file and where it is


@pytest.mark.integration
@pytest.mark.parametrize(("day", "format"), [(LEGACY_DAY, "legacy"), (UDIFF_DAY, "udiff")])
def test_a_days_file_comes_as_published(server: SimulatedArchive, day: date, format: str) -> None:
    """What is fetched is the published bytes, with the exchange's file name, the URL and the format."""
    found = fetched(open_archive(server.url), EQUITY, day)
    path = archive_path(format, day)
    assert found.content == payload(day, format)
    assert (found.source, found.name, found.url) == (format, path.rpartition("/")[2], server.url + path)
    assert set(found.headers) == {"ETag", "Last-Modified"}


@pytest.mark.integration
def test_the_archive_is_asked_as_by_a_browser(server: SimulatedArchive) -> None:
    """The firewall turns away what does not look like one."""
    fetched(open_archive(server.url), EQUITY, LEGACY_DAY)
    [request] = server.requests
    assert (request.method, request.user_agent) == ("GET", http.USER_AGENT)
    assert request.user_agent.startswith("Mozilla/5.0 ")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("day", "format"),
    [
        (date(1994, 11, 3), "legacy"),
        (date(2024, 7, 5), "legacy"),
        (date(2024, 7, 8), "udiff"),
        (date(2026, 1, 16), "udiff"),
    ],
)
def test_legacy_is_asked_for_until_5_july_2024_and_udiff_from_8_july(
    server: SimulatedArchive, day: date, format: str
) -> None:
    """The official format of a date is the first one asked for."""
    assert fetched(open_archive(server.url), EQUITY, day).source == format
    assert [request.path for request in server.requests] == [archive_path(format, day)]


@pytest.mark.integration
def test_the_switch_to_udiff_can_be_moved(server: SimulatedArchive) -> None:
    """The dates of early 2024 exist in both formats, and the user chooses."""
    assert fetched(open_archive(server.url), EQUITY, BOTH_DAY, official_from={"udiff": BOTH_DAY}).source == "udiff"
    assert [request.path for request in server.requests] == [archive_path("udiff", BOTH_DAY)]


@pytest.mark.integration
@pytest.mark.parametrize(("there", "switch"), [("udiff", date(2024, 7, 8)), ("legacy", BOTH_DAY)])
def test_the_other_format_is_asked_for_after_a_404(tmp_path: Path, there: str, switch: date) -> None:
    """Where a date can exist in both formats, a 404 for one is not the end."""
    expected = "legacy" if there == "udiff" else "udiff"
    publish(tmp_path, BOTH_DAY, there, ["any"])
    with SimulatedArchive(folder=tmp_path) as server:
        assert fetched(open_archive(server.url), EQUITY, BOTH_DAY, official_from={"udiff": switch}).source == there
        paths = [request.path for request in server.requests]
    assert paths == [archive_path(expected, BOTH_DAY), archive_path(there, BOTH_DAY)]


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["rate_limited", "unavailable"])
def test_an_archive_that_wants_a_pause_or_is_down_gets_no_second_request(server: SimulatedArchive, kind: Kind) -> None:
    """An outage says nothing about which formats there are, and a retry begins with the best one."""
    server.faults[BOTH_DAY] = Fault(kind)
    error_of(open_archive(server.url), BOTH_DAY)
    assert len(server.requests) == 1


@pytest.mark.integration
@pytest.mark.parametrize(
    ("day", "formats"), [(date(2023, 6, 17), ["legacy", "pr"]), (HOLIDAY, ["legacy", "udiff", "pr"])]
)
def test_404_in_every_possible_format_is_not_published(server: SimulatedArchive, day: date, formats: list[str]) -> None:
    """The error names the date and each URL that was asked, and a retry makes no sense."""
    error = error_of(open_archive(server.url), day)
    assert isinstance(error, NotPublished)
    assert not is_transient(error)
    urls = [server.url + archive_path(format, day) for format in formats]
    assert (error.day, error.found, error.source) == (day, "404", ", ".join(urls))
    assert [server.url + request.path for request in server.requests] == urls


@pytest.mark.integration
def test_a_date_before_the_archives_first_file_is_not_asked_for(server: SimulatedArchive) -> None:
    """No format was in use then."""
    error = error_of(open_archive(server.url), date(1994, 11, 2))
    assert isinstance(error, NotPublished)
    assert "before the archive's first file" in str(error)
    assert server.requests == []


# What the archive does wrong


@pytest.mark.integration
def test_403_is_refused_and_asked_once(server: SimulatedArchive) -> None:
    """The firewall is never asked again at once: each source once."""
    server.faults[LEGACY_DAY] = Fault("forbidden")
    error = error_of(open_archive(server.url))
    assert isinstance(error, Refused)
    assert not is_transient(error)
    assert (error.found, error.retry_after) == ("403", None)
    assert [request.path for request in server.requests] == [
        source.path_of(LEGACY_DAY) for source in EQUITY.sources_of(LEGACY_DAY)
    ]


@pytest.mark.integration
def test_429_is_refused_and_says_when_to_come_back(server: SimulatedArchive) -> None:
    """The archive's own Retry-After is kept, for people and for code."""
    server.faults[LEGACY_DAY] = Fault("rate_limited", delay=120)
    error = error_of(open_archive(server.url))
    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.found) == (120.0, "429, Retry-After 120 s")
    assert len(server.requests) == 1


@pytest.mark.integration
def test_a_retry_after_that_is_a_date_is_no_mishap() -> None:
    """HTTP allows a date in place of the seconds."""
    error = error_from(reply(429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"))
    assert isinstance(error, Refused)
    assert error.retry_after is None


@pytest.mark.integration
@pytest.mark.parametrize("digits", ["99999999999", "9" * 400])
def test_an_absurd_retry_after_is_believed_for_a_day(digits: str) -> None:
    """A process that runs for months is not stopped by one header; the next day is refused as any other."""
    with answering(reply(429, Retry_After=digits)) as running:
        opened = open_archive(running.url)
        first = error_of(opened)
        second = error_of(opened, UDIFF_DAY)
    assert isinstance(first, Refused)
    assert first.retry_after == 86400
    assert isinstance(second, Refused)
    assert str(second).endswith("Try again in 86400 seconds, or later.")


@pytest.mark.integration
@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_a_success_without_a_file_is_rejected(status: int) -> None:
    """It is no refusal, which would stop a fill, and a part of a file is no file."""
    error = error_from(reply(status))
    assert type(error) is RejectedPayload
    assert (error.expected, error.found) == ("status 200", str(status))


@pytest.mark.integration
def test_403_silences_its_own_folder_alone(server: SimulatedArchive) -> None:
    """Other days of the folder are refused for a while without a request; a file of another kind is still served."""
    server.faults[LEGACY_DAY] = Fault("forbidden")
    opened = open_archive(server.url)
    assert type(error_of(opened)) is Refused
    requested = len(server.requests)
    error = error_of(opened, date(1999, 1, 4))
    assert type(error) is Refused
    assert error.day == date(1999, 1, 4)
    assert error.retry_after is not None
    assert error.retry_after > 0
    assert len(server.requests) == requested
    assert fetched(opened, EQUITY, UDIFF_DAY).source == "udiff"


@pytest.mark.integration
@pytest.mark.parametrize(
    "answer",
    [reply(429), reply(429, Retry_After="soon"), reply(403, Retry_After="120"), reply(403, Retry_After="soon")],
)
def test_429_or_a_retry_after_silences_the_whole_archive(answer: Answer) -> None:
    """Every other request is refused for a while without being sent, or a firewall would soon block for good."""
    with answering(answer) as running:
        opened = open_archive(running.url)
        assert isinstance(error_of(opened), RateLimited)
        error = error_of(opened, UDIFF_DAY)
        assert len(running.requests) == 1
    assert isinstance(error, RateLimited)
    assert error.day == UDIFF_DAY
    assert error.retry_after is not None
    assert error.retry_after > 0


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (PATH, "/content/historical/EQUITIES"),
        (archive_path("udiff", UDIFF_DAY), "/content/cm"),
        ("/content/2024/07/x.csv", "/content"),
        ("/2024/x.csv", "/"),
        ("/content/NSE/x.csv", "/content/NSE"),
    ],
)
def test_the_folder_of_a_path_has_no_date(path: str, folder: str) -> None:
    """A firewall refuses a kind of file, not a month of it."""
    assert http._folder_of(path) == folder


@pytest.mark.integration
def test_an_archive_that_refused_is_asked_again_when_it_allows(server: SimulatedArchive) -> None:
    """Its own Retry-After is long enough."""
    server.faults[LEGACY_DAY] = Fault("rate_limited", delay=1)
    opened = open_archive(server.url)
    error_of(opened)
    time.sleep(1.1)
    assert fetched(opened, EQUITY, UDIFF_DAY).content == payload(UDIFF_DAY, "udiff")


@pytest.mark.integration
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_5xx_is_transient(status: int) -> None:
    """The archive cannot answer now, and may later."""
    error = error_from(reply(status, b"sorry"))
    assert isinstance(error, ArchiveUnreachable)
    assert is_transient(error)
    assert (error.day, error.found) == (LEGACY_DAY, str(status))


@pytest.mark.integration
def test_an_archive_that_does_not_answer_is_transient(server: SimulatedArchive) -> None:
    """The longest silence is a setting."""
    server.faults[LEGACY_DAY] = Fault("hanging")
    error = error_of(open_archive(server.url, read_seconds=0.2))
    assert isinstance(error, ArchiveUnreachable)
    assert is_transient(error)
    assert "TimeoutError" in str(error)


@pytest.mark.integration
def test_an_archive_that_cannot_be_connected_to_in_time_is_transient() -> None:
    """A host that drops packets, as a firewall does: here, one whose queue of connections is full."""
    with contextlib.ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        error = error_of(open_archive(url, connect_seconds=0.3, read_seconds=20))
    assert isinstance(error, ArchiveUnreachable)
    assert is_transient(error)
    assert "TimeoutError" in str(error)


@pytest.mark.integration
def test_an_archive_that_is_down_is_transient() -> None:
    """Nobody listens; the operating system's words for it are in the error."""
    with SimulatedArchive() as server:
        url = server.url
    error = error_of(open_archive(url))
    assert isinstance(error, ArchiveUnreachable)
    assert is_transient(error)
    assert "Connection refused" in str(error)


def test_a_host_that_there_is_not_is_transient() -> None:
    """Name servers have their outages too."""
    error = error_of(open_archive("http://archive.invalid", connect_seconds=5))
    assert isinstance(error, ArchiveUnreachable)
    assert is_transient(error)


@pytest.mark.integration
def test_a_body_that_is_cut_is_transient(server: SimulatedArchive) -> None:
    """Fewer bytes than announced are never taken for the file."""
    server.faults[LEGACY_DAY] = Fault("cut")
    error = error_of(open_archive(server.url))
    assert isinstance(error, TruncatedPayload)
    assert is_transient(error)
    assert error.source == server.url + PATH


@pytest.mark.integration
def test_a_body_in_chunks_comes_whole() -> None:
    """A proxy may send it without a length."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    with answering(answer) as running:
        assert fetched(open_archive(running.url), EQUITY, LEGACY_DAY).content == b"abcde"


@pytest.mark.integration
def test_a_body_in_chunks_that_is_cut_is_transient() -> None:
    """Without its last chunk it is not the file."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    error = error_from(answer)
    assert isinstance(error, TruncatedPayload)
    assert is_transient(error)


@pytest.mark.integration
def test_an_answer_that_is_no_http_is_transient() -> None:
    """Something else listens there, or a proxy has lost its mind; no driver's error comes out."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    assert is_transient(error_from(answer))


@pytest.mark.integration
def test_a_body_that_trickles_ends_at_the_total_limit() -> None:
    """Each byte in time is not the file in time: the connection is given up."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
        for _ in range(400):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with answering(answer) as running:
        error = error_of(open_archive(running.url, read_seconds=5, total_seconds=0.3))
        assert running.hung_up.wait(60)
    assert isinstance(error, ArchiveUnreachable)
    assert is_transient(error)
    assert "too slowly" in str(error)


@pytest.mark.integration
def test_headers_that_trickle_end_at_the_total_limit() -> None:
    """The limit is for the whole answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(60):
            handler.wfile.write(f"X-{number}: x\r\n".encode())
            time.sleep(0.05)
        handler.wfile.write(b"Content-Length: 3\r\n\r\nabc")

    error = error_from(answer, read_seconds=5, total_seconds=0.3)
    assert isinstance(error, ArchiveUnreachable)


@pytest.mark.integration
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"3\r\nabc\r\n0\r\n", id="trailers"),
        pytest.param(b"3;", id="a chunk's extension"),
        pytest.param(b"", id="a chunk's size"),
    ],
)
def test_what_trickles_around_the_chunks_ends_at_the_total_limit(start: bytes) -> None:
    """It is read line by line below, where no byte of the file arrives."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
        for _ in range(400):
            handler.wfile.write(b"0: 0\r\n" if start.endswith(b"\n") else b"0")
            time.sleep(0.05)

    with answering(answer) as running:
        error = error_of(open_archive(running.url, read_seconds=5, total_seconds=0.3))
        assert running.hung_up.wait(60)
    assert isinstance(error, ArchiveUnreachable)
    assert "too slowly" in str(error)


@pytest.mark.integration
def test_a_body_without_a_length_that_is_ended_at_the_total_limit_is_not_taken_for_whole() -> None:
    """Its end is where the connection ends, and that was ours."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nthe file")
        handler.connection.recv(1)

    error = error_from(answer, read_seconds=5, total_seconds=0.3)
    assert isinstance(error, ArchiveUnreachable)
    assert "too slowly" in str(error)


@pytest.mark.integration
def test_the_total_limit_holds_behind_a_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at most offices."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")
        for _ in range(400):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    with answering(answer) as running:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, running.url)
        opened = open_archive("http://archive.invalid", requests_per_second=0, read_seconds=5, total_seconds=0.3)
        error = error_of(opened)
        assert [path for path, _ in running.requests] == [f"http://archive.invalid{PATH}"]
    assert isinstance(error, ArchiveUnreachable)
    assert "too slowly" in str(error)


@pytest.mark.integration
def test_headers_without_end_are_given_up_however_many_a_library_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """ClickHouse's client allows ten thousand in the whole process, which may have 64 KiB each."""
    monkeypatch.setattr("http.client._MAXHEADERS", 10_000)
    sent = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            handler.wfile.write(b"X: " + b"x" * 60_000 + b"\r\n")
            sent.append(60_000)

    with answering(answer) as running:
        error = error_of(open_archive(running.url))
        assert running.hung_up.wait(60)
    assert isinstance(error, ArchiveUnreachable)
    assert error.found == "LineTooLong"
    # What was on its way in sockets counts too.
    assert sum(sent) < 32 * 1024 * 1024


@pytest.mark.integration
def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    """The announcement is enough."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            handler.wfile.write(bytes(65536))

    with answering(answer) as running:
        error = error_of(open_archive(running.url, max_bytes=1000))
        assert running.hung_up.wait(60)
    assert isinstance(error, RejectedPayload)
    assert not is_transient(error)
    assert (error.expected, error.found) == ("at most 1,000 bytes", "99,999,999,999")


@pytest.mark.integration
def test_a_length_of_thousands_of_digits_is_too_large() -> None:
    """Python itself does not read such a number."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")

    error = error_from(answer)
    assert type(error) is RejectedPayload
    assert "too large" in str(error)


@pytest.mark.integration
def test_a_body_without_end_is_given_up_at_the_size_cap() -> None:
    """What is not announced is counted."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            handler.wfile.write(bytes(65536))

    with answering(answer) as running:
        error = error_of(open_archive(running.url, max_bytes=1_000_000))
        assert running.hung_up.wait(60)
    assert isinstance(error, RejectedPayload)
    assert "at most 1,000,000 bytes" in str(error)


@pytest.mark.integration
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server: SimulatedArchive, status: int) -> None:
    """Another host's file is not the exchange's; the error names the host alone."""
    error = error_from(reply(status, Location=server.url.replace("//", "//user:hidden@") + PATH + "?key=hidden"))
    assert isinstance(error, RejectedPayload)
    assert error.found == f"{status} to 127.0.0.1"
    assert "hidden" not in str(error)
    assert server.requests == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("http://[::1", "an invalid address"),
        ("http://", "nowhere"),
        ("/\x1b[31m\xff", "/\\x1b[31m\\xff"),
        ("/" + "x" * 5000, "/" + "x" * 79),
    ],
)
def test_a_redirect_that_cannot_be_read_is_one_all_the_same(location: str, place: str) -> None:
    """Whatever it says is shown in a few harmless letters."""
    error = error_from(reply(302, Location=location))
    assert type(error) is RejectedPayload
    assert error.found == f"302 to {place}"


@pytest.mark.integration
def test_the_body_of_a_redirect_is_not_read() -> None:
    """It may be of any size; the connection is ended."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
        while True:
            handler.wfile.write(bytes(65536))

    with answering(answer) as running:
        error = error_of(open_archive(running.url, total_seconds=60))
        assert running.hung_up.wait(60)
    assert type(error) is RejectedPayload


# Secrets


@pytest.mark.integration
def test_credentials_in_the_url_are_sent_and_not_shown() -> None:
    """A private mirror may want a password: it goes into the request, not into what is kept of it."""
    with answering(reply(200, b"the file")) as running:
        found = fetched(open_archive(running.url.replace("//", "//reader:hidden@")), EQUITY, LEGACY_DAY)
        [(path, headers)] = running.requests
    assert found.url == running.url + PATH
    assert "hidden" not in repr(found)
    assert (path, headers["Authorization"]) == (PATH, "Basic cmVhZGVyOmhpZGRlbg==")


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["forbidden", "not_found", "rate_limited", "unavailable", "cut", "hanging"])
def test_credentials_in_the_url_are_in_no_error(server: SimulatedArchive, kind: Kind) -> None:
    """Neither in the sentence nor in the traceback that a log prints."""
    server.faults[LEGACY_DAY] = Fault(kind)
    error = error_of(open_archive(server.url.replace("//", "//reader:hidden@"), read_seconds=0.2))
    assert "hidden" not in "".join(traceback.format_exception(error))
    assert "hidden" not in repr(vars(error))


@pytest.mark.parametrize(
    "url",
    [
        "http://reader:hidden@127.0.0.1:1",
        "http://reader:hidden@127.0.0.1:99999",
        "http://reader:hidden@127.0.0.1:port",
        "http://reader:hidden@two words",
        "http://reader:hidden@archive.invalid",
        "ftp://reader:hidden@archive.invalid",
        "http://reader:hidden@[::1",
    ],
)
def test_credentials_in_a_url_that_cannot_be_used_are_in_no_error(url: str) -> None:
    """A typo in the URL is no reason to print its password, and it is one of the package's own errors."""
    with pytest.raises(ChampionError) as caught:
        fetched(open_archive(url), EQUITY, LEGACY_DAY)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


# Files saved by hand


def saved(folder: Path, name: str) -> None:
    """A file that a user saved by hand."""
    (folder / "corporate_actions").mkdir(exist_ok=True)
    (folder / "corporate_actions" / name).write_bytes(name.encode())


def test_a_file_saved_by_hand_is_found_by_the_day_in_its_name(tmp_path: Path) -> None:
    """The rest of the name, such as the first day of its range, is known to the folder alone."""
    saved(tmp_path, "CF-CA-equities-01-01-2016-to-31-12-2020.csv")
    saved(tmp_path, "CF-CA-equities-01-01-2016-to-31-12-2019.csv")
    found = fetched(open_archive(str(tmp_path)), CORPORATE_ACTIONS, date(2020, 12, 31))
    assert (found.source, found.name) == ("export", "CF-CA-equities-01-01-2016-to-31-12-2020.csv")
    assert found.content == found.name.encode()
    assert found.url == str(tmp_path / "corporate_actions" / found.name)
    with pytest.raises(NotPublished):
        fetched(open_archive(str(tmp_path)), CORPORATE_ACTIONS, date(2020, 12, 30))


def test_two_files_saved_by_hand_for_a_day_are_refused(tmp_path: Path) -> None:
    """Neither is the right one; the message names both."""
    for first in ("01-01-2016", "01-06-2020"):
        saved(tmp_path, f"CF-CA-equities-{first}-to-31-12-2020.csv")
    with pytest.raises(RejectedPayload, match=r"more than one file.*01-01-2016-to.*01-06-2020-to"):
        fetched(open_archive(str(tmp_path)), CORPORATE_ACTIONS, date(2020, 12, 31))


def test_a_server_is_never_asked_for_a_file_saved_by_hand(server: SimulatedArchive) -> None:
    """Its path is not known."""
    with pytest.raises(NotPublished):
        fetched(open_archive(server.url), CORPORATE_ACTIONS, HOLIDAY)
    assert [request.path for request in server.requests] == ["/archives/equities/bhavcopy/pr/PR220124.zip"]


# The simulator, and locations


def test_the_simulated_archive_needs_no_server() -> None:
    """``simulated:`` is the demo's archive; it has no file for a holiday either."""
    found = fetched(open_archive("simulated:"), EQUITY, LEGACY_DAY)
    assert (found.content, found.url) == (payload(LEGACY_DAY, "legacy"), f"simulated:{PATH}")
    assert isinstance(error_of(open_archive("simulated:"), HOLIDAY), NotPublished)


@pytest.mark.parametrize("location", ["ftp://archive.example", "http://", "nse:"])
def test_a_location_that_is_not_understood_is_a_setting_to_correct(location: str) -> None:
    """The error says what can be given."""
    with pytest.raises(SettingsError, match="NSE_ARCHIVE_URL"):
        open_archive(location)


# A real file


@pytest.mark.integration
def test_a_real_file_comes_as_published(shared: Callable[[str], Path], tmp_path: Path) -> None:
    """Byte for byte, over HTTP."""
    path = archive_path("udiff", date(2024, 7, 8)).lstrip("/")
    file = shared(f"archive/{path}")
    (tmp_path / path).parent.mkdir(parents=True)
    shutil.copy(file, tmp_path / path)
    with SimulatedArchive(folder=tmp_path) as server:
        assert fetched(open_archive(server.url), EQUITY, date(2024, 7, 8)).content == file.read_bytes()
