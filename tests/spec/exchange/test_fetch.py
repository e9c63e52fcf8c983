"""Every source of a day is tried in turn: what hides another one, and what ends the search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pytest
from helpers import BOTH_DAY, archive_path, payload

from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ArchiveUnusable,
    ChampionError,
    NotPublished,
    RateLimited,
    Refused,
    RejectedPayload,
    StorageError,
    TruncatedPayload,
    WrongDate,
)
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange.archive import NOTHING, Published, fetch
from champion_luigi.parsing import payload as payloads
from champion_luigi.parsing.payload import Recognised

SOURCES = EQUITY.sources_of(BOTH_DAY)
FIRST, SECOND = (source.name for source in SOURCES[:2])
DAY_BEFORE = date(2024, 1, 12)
MISSING = NotPublished("the archive has no such file", found="404")
REFUSED = Refused("the archive refuses", found="403")


class Served:
    """An archive in memory: by source, the bytes or the error that it answers with. Others answer 404."""

    def __init__(self, answers: Mapping[str, bytes | ChampionError]) -> None:
        self.answers = {archive_path(name, BOTH_DAY): answer for name, answer in answers.items()}
        self.requested: list[str] = []

    def url(self, path: str) -> str:
        return "memory:" + path

    def get(self, path: str, day: date, known: Mapping[str, str] = NOTHING) -> tuple[bytes, Mapping[str, str]]:
        self.requested.append(path)
        answer = self.answers.get(path, MISSING)
        if isinstance(answer, ChampionError):
            raise answer
        return answer, {}


def read(published: Published) -> Recognised:
    """As the first task reads it."""
    return payloads.recognise(published.content, EQUITY, BOTH_DAY, published.url, format=published.source)


def found_in(served: Served) -> str:
    """The source that gave the day's file."""
    published, recognised = fetch(served, EQUITY, BOTH_DAY, read)
    assert recognised.layout.source == published.source
    return published.source


@pytest.mark.parametrize(
    "first",
    [
        MISSING,
        REFUSED,
        StorageError("a symbolic link leads nowhere"),
        b"",
        b"<!DOCTYPE html><html></html>",
        b"PK\x03\x04 a workbook, perhaps",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        payload(DAY_BEFORE, FIRST),
    ],
    ids=["404", "403", "link", "empty", "page", "damaged zip", "pointer", "stale"],
)
def test_a_source_without_the_days_file_hides_no_other(first: bytes | ChampionError) -> None:
    """Each path is requested once, in the order of the sources."""
    served = Served({FIRST: first, SECOND: payload(BOTH_DAY, SECOND)})
    assert found_in(served) == SECOND
    assert served.requested == [archive_path(name, BOTH_DAY) for name in (FIRST, SECOND)]


@pytest.mark.parametrize(
    "error",
    [RateLimited("too many requests"), ArchiveUnreachable("down"), ArchiveUnusable("a proxy refuses")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_whole_archive_ends_the_search(error: ChampionError) -> None:
    """No other path is requested after it, also of the first of several."""
    served = Served({FIRST: error, SECOND: payload(BOTH_DAY, SECOND)})
    with pytest.raises(type(error)):
        fetch(served, EQUITY, BOTH_DAY, read)
    assert len(served.requested) == 1


def test_a_day_is_missing_only_if_every_source_says_so() -> None:
    """The error names each path that was requested."""
    served = Served({})
    with pytest.raises(NotPublished) as caught:
        fetch(served, EQUITY, BOTH_DAY, read)
    assert served.requested == [source.path_of(BOTH_DAY) for source in SOURCES]
    assert caught.value.source == ", ".join(map(served.url, served.requested))


@pytest.mark.parametrize("name", [source.name for source in SOURCES])
def test_a_refused_source_is_never_taken_as_missing(name: str) -> None:
    """The others answer 404; nothing is known of this one."""
    with pytest.raises(Refused):
        fetch(Served({name: REFUSED}), EQUITY, BOTH_DAY, read)


@pytest.mark.parametrize("other", [MISSING, REFUSED], ids=["404", "403"])
def test_a_file_that_is_not_the_days_explains_why_there_is_none(other: ChampionError) -> None:
    """It has failed, with the reason, and is neither missing nor refused."""
    stale = payload(DAY_BEFORE, FIRST)
    with pytest.raises(WrongDate):
        fetch(Served({FIRST: stale, SECOND: other}), EQUITY, BOTH_DAY, read)
    with pytest.raises(RejectedPayload):
        fetch(Served({FIRST: other, SECOND: b"<html>"}), EQUITY, BOTH_DAY, read)


def test_a_file_that_is_cut_short_waits_for_another_attempt_rather_than_a_partial_source() -> None:
    """The full file is there; what a partial source has would be less."""
    partial = next(source.name for source in SOURCES if source.partial)
    served = Served({FIRST: b"PK\x03\x04 and no more", partial: payload(BOTH_DAY, partial)})
    with pytest.raises(TruncatedPayload):
        fetch(served, EQUITY, BOTH_DAY, read)
    assert found_in(Served({partial: payload(BOTH_DAY, partial)})) == partial


@pytest.mark.parametrize("error", [MISSING, RejectedPayload("another day"), TruncatedPayload("cut short")], ids=str)
def test_a_stored_file_that_is_not_the_days_hides_no_source(error: ChampionError) -> None:
    """Such as an empty list that another data set has stored: the archive is asked, then its other sources."""
    stored = Published(FIRST, "file", "memory:stored", b"stored")

    def read_all(published: Published) -> Recognised:
        if published is stored:
            raise error
        return read(published)

    served = Served({SECOND: payload(BOTH_DAY, SECOND)})
    published, _ = fetch(
        served, EQUITY, BOTH_DAY, read_all, stored=lambda source: stored if source.name == FIRST else None
    )
    assert published.source == SECOND
    assert served.requested == [archive_path(name, BOTH_DAY) for name in (FIRST, SECOND)]
