"""Upkeep from Python: `verify`, `refresh` and `redo` return what the commands print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from simulated_server import Fault, SimulatedArchive

from champion_luigi import fill, redo, refresh, status, verify
from champion_luigi.base.errors import SettingsError
from champion_luigi.config import settings
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import lake

pytestmark = pytest.mark.integration

DAYS = [date(2024, 1, day) for day in (1, 2, 3)]


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "0")
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        fill(DAYS[0], DAYS[-1])
        yield running


def lake_file(day: date) -> Path:
    return Path(dict(lake.days(settings.lake_dir(), EQUITY))[day].path)


def test_verify_finds_and_repairs() -> None:
    """A damaged lake file is one difference; with repair, none is left, and the file is as before."""
    assert verify().differences == []
    damaged, content = lake_file(DAYS[1]), lake_file(DAYS[1]).read_bytes()
    damaged.write_bytes(content[:-9])
    found = verify(start="2024-01-01", end=DAYS[-1])
    assert {(each.date, each.where) for each in found.differences} == {(DAYS[1], "lake")}
    assert verify(start="2024-01-03").differences == []
    assert verify(repair=True).differences == []
    assert verify().differences == []
    assert damaged.read_bytes() == content


def test_refresh_names_each_day(archive: SimulatedArchive) -> None:
    """Unchanged ones, and one that the archive no longer has, which stays."""
    assert [(each.date, each.state) for each in refresh(days=2)] == [(day, "unchanged") for day in DAYS[1:]]
    archive.faults[DAYS[0]] = Fault("not_found")
    [outcome] = refresh(5, end="2024-01-01")
    assert (outcome.date, outcome.state) == (DAYS[0], "failed")
    assert "The stored file stays." in outcome.reason
    assert len(status(start=DAYS[0], end=DAYS[-1]).of("loaded")) == 3


def test_redo_runs_a_stage_again(archive: SimulatedArchive) -> None:
    """Of the days that were asked for, and a holiday is none; nothing is fetched unless it is asked for."""
    asked = len(archive.requests)
    assert redo("2024-01-01", "2024-01-03", first="write", last="write") == dict.fromkeys(DAYS, "done")
    assert len(archive.requests) == asked
    assert redo(DAYS[0], DAYS[-1], first="load") == dict.fromkeys(DAYS, "done")
    assert redo("2024-01-06", first="load") == {}  # a Saturday
    assert redo(DAYS[1], first="scrape") == {DAYS[1]: "done"}
    assert len(archive.requests) > asked
    assert len(status(start=DAYS[0], end=DAYS[-1]).of("loaded")) == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: redo("2024-01-02", "2024-01-01", first="load"), "start 2024-01-02 is after end 2024-01-01"),
        (lambda: redo("2024-01-02", first="polish"), "no stage is named 'polish' here"),
        (lambda: redo("2024-01-02", first="load", last="write"), "the first stage load comes after the last one write"),
        (lambda: redo("", first="load"), "start is not a date"),
        (lambda: refresh(0), "days cannot be used; expected a whole number from 1 on; found 0"),
        (lambda: refresh("3"), "found '3'"),  # type: ignore[arg-type]
        (lambda: refresh(1, ["equity"]), "there is no data set of that name"),  # type: ignore[arg-type]
        (lambda: refresh(1, "shares"), "there is no data set of that name"),
        (lambda: verify(start="January"), "start is not a date"),
    ],
)
def test_a_wrong_argument_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        call()
