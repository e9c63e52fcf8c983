"""`ScrapeSymbolChanges` with Luigi: today's list is fetched and kept, and nothing else is taken for it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import luigi
import pytest
import time_machine
from helpers import answering, retry_at_once, run_luigi
from simulated_server import SimulatedArchive

from champion_luigi import ScrapeSymbolChanges
from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ChampionError,
    NotPublished,
    Refused,
    RejectedPayload,
)
from champion_luigi.pipeline.scrape_symbol_changes import PATH
from champion_luigi.storage import symbol_changes
from champion_luigi.storage.paths import ListFiles

pytestmark = pytest.mark.integration

TODAY = date(2026, 11, 29)
LIST = "".join(f"Company {n},OLD{n},NEW{n},{n:02}-JAN-2020\n" for n in range(1, 21)).encode()


@pytest.fixture(autouse=True)
def _today() -> Iterator[None]:
    # 20:30 UTC of the day before is 2:00 in India.
    with time_machine.travel("2026-11-28T20:30:00Z", tick=True):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive folder with today's list, set as NSE_ARCHIVE_URL, beside the data folder."""
    data, archive = tmp_path / "data", tmp_path / "archive"
    put(archive, LIST)
    data.mkdir()
    monkeypatch.setenv("DATA_DIR", str(data))
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(archive))
    return archive


def put(archive: Path, content: bytes) -> Path:
    """Put a list at the exchange's path."""
    path = archive / PATH.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def kept(folder: Path) -> ListFiles:
    """The kept lists beside an archive folder."""
    return ListFiles(folder.parent / "data")


def failure(task: luigi.Task) -> ChampionError:
    """Build a task that fails, and return its error."""
    errors: list[BaseException] = []

    def note(_task: luigi.Task, error: BaseException) -> None:
        errors.append(error)

    ScrapeSymbolChanges.event_handler(luigi.Event.FAILURE)(note)
    try:
        assert not luigi.build([task], local_scheduler=True, log_level="ERROR")
    finally:
        ScrapeSymbolChanges.remove_event_handler(luigi.Event.FAILURE, note)
    [error] = errors
    assert isinstance(error, ChampionError)
    return error


def succeeds(task: luigi.Task) -> bool:
    """Whether Luigi builds a task."""
    return bool(luigi.build([task], local_scheduler=True, log_level="ERROR"))


def test_todays_list_is_kept_over_http(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the date is today in India; the receipt has the address, sha256, time, and what was read."""
    with SimulatedArchive(folder=folder) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        task = ScrapeSymbolChanges()
        assert task.date == TODAY
        assert succeeds(task)
        assert succeeds(ScrapeSymbolChanges())
        assert [each.path for each in running.requests] == [PATH]
        receipt = json.loads(kept(folder).receipt(TODAY).read_bytes())
        assert receipt["url"] == running.url + PATH
    assert receipt["counts"] == {"changes": 20, "self_map": 0, "repeated": 0, "not_understood": 0}
    assert kept(folder).content(TODAY).read_bytes() == LIST


def test_each_day_is_recorded_and_the_same_content_stored_once(folder: Path) -> None:
    """The next day's receipt names today's file."""
    assert succeeds(ScrapeSymbolChanges())
    with time_machine.travel("2026-11-30T12:00:00Z", tick=True):
        assert succeeds(ScrapeSymbolChanges())
    tomorrow = TODAY + timedelta(days=1)
    assert symbol_changes.newest_kept(kept(folder)) == (tomorrow, kept(folder).content(TODAY))


@pytest.mark.parametrize("days", [-1, 1])
def test_another_day_cannot_be_fetched(folder: Path, days: int) -> None:
    """The archive has today's list alone, and the error says so."""
    error = failure(ScrapeSymbolChanges(date=TODAY + timedelta(days=days)))
    assert isinstance(error, NotPublished)
    assert "2026-11-29, today in India" in str(error)
    assert kept(folder).days() == []


def test_a_past_day_that_was_kept_is_complete(folder: Path) -> None:
    """Nothing is requested for it, whatever the archive has."""
    assert succeeds(ScrapeSymbolChanges())
    with time_machine.travel("2026-12-05T12:00:00Z", tick=True):
        assert ScrapeSymbolChanges(date=TODAY).complete()


def test_an_archive_without_the_list(folder: Path) -> None:
    """The error says what is missing, what follows, and where a folder needs the file."""
    put(folder, LIST).rename(folder / "another.csv")
    error = failure(ScrapeSymbolChanges())
    assert isinstance(error, NotPublished)
    assert "no list of changed symbols" in str(error)
    assert "content/equities/symbolchange.csv" in str(error)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html>\n<p>Log in</p>\n", "HTML"),
        (b"", "no bytes"),
        (b"SYMBOL,SERIES,OPEN\nA,EQ,1\n", "2 of 2 lines"),
    ],
)
def test_something_else_is_refused(folder: Path, content: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with status 200, or another file, is not kept."""
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "0")
    put(folder, content)
    assert says in str(failure(ScrapeSymbolChanges()))
    assert kept(folder).days() == []


def test_a_list_that_has_lost_lines_is_refused(folder: Path) -> None:
    """Lists grow: one that is far shorter than the newest kept one was cut off on its way, if between two lines."""
    assert succeeds(ScrapeSymbolChanges())
    put(folder, b"".join(LIST.splitlines(keepends=True)[:10]))
    with time_machine.travel("2026-11-30T12:00:00Z", tick=True):
        error = failure(ScrapeSymbolChanges())
    assert isinstance(error, RejectedPayload)
    assert "about the 20 changes of 2026-11-29, or more" in str(error)
    assert kept(folder).days() == [TODAY]


def test_a_zipped_list_in_a_folder(folder: Path) -> None:
    """A folder may have zipped its files: the list is kept unzipped."""
    put(folder, LIST).unlink()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("symbolchange.csv", LIST)
    put(folder, b"").with_suffix(".csv.zip").write_bytes(packed.getvalue())
    (folder / PATH.lstrip("/")).unlink()
    assert succeeds(ScrapeSymbolChanges())
    assert kept(folder).content(TODAY).read_bytes() == LIST


@pytest.mark.parametrize(
    ("status", "kind", "requests"), [(403, Refused, 1), (503, ArchiveUnreachable, 3), (404, NotPublished, 1)]
)
def test_the_archives_errors_are_those_of_a_day(
    folder: Path, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[ChampionError], requests: int
) -> None:
    """Only what can pass is retried, and the firewall's refusal never is."""
    retry_at_once(monkeypatch)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with answering(answer) as server:
        monkeypatch.setenv("NSE_ARCHIVE_URL", server.url)
        assert isinstance(failure(ScrapeSymbolChanges()), kind)
        assert len(server.requests) == requests


def test_the_luigi_command(folder: Path) -> None:
    """It is a task like others on the command line."""
    done = run_luigi("ScrapeSymbolChanges", NSE_ARCHIVE_URL=str(folder))
    assert done.returncode == 0, done.stderr
    assert "20 changes of symbols\n" in done.stderr


def test_odd_lines_are_named_in_words(folder: Path) -> None:
    """The log has no internal name of a kind of line."""
    listed = folder / "content" / "equities" / "symbolchange.csv"
    listed.write_bytes(listed.read_bytes() + b"Same Limited,SAME,SAME,01-JAN-2024\n")
    done = run_luigi("ScrapeSymbolChanges", NSE_ARCHIVE_URL=str(folder))
    assert done.returncode == 0, done.stderr
    assert "20 changes of symbols, 1 line with the same symbol twice, which changes nothing\n" in done.stderr
