"""A range of days from Python: what `fill` returns and raises, and `status` after it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from simulated_server import Fault, SimulatedArchive

from champion_luigi import fill, run_day, status
from champion_luigi.base.errors import SettingsError
from champion_luigi.config import settings
from champion_luigi.pipeline.fill import FillFailed

pytestmark = pytest.mark.integration

DAYS = [date(2024, 1, day) for day in (1, 2, 3, 4, 5)]


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "0")
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


def test_it_returns_what_was_done(archive: SimulatedArchive) -> None:
    """By data set; both dates are included; a second call does nothing and says so."""
    done = fill("2024-01-01", date(2024, 1, 5))
    assert list(done) == ["equity"]
    found = done["equity"]
    assert (found.done, found.left, found.absent, found.closed, found.unpublished) == (5, 0, (), {}, {})
    state = status(start="2024-01-01", end="2024-01-05")
    assert [day.date for day in state.of("loaded")] == DAYS
    assert sum(day.rows for day in state.days) == found.rows > 0
    asked = len(archive.requests)
    again = fill("2024-01-01", "2024-01-05")["equity"]
    assert (again.done, again.rows, len(archive.requests)) == (0, 0, asked)


def test_several_data_sets_are_filled(archive: SimulatedArchive) -> None:
    """In the order given; for the lake alone, nothing is loaded."""
    done = fill("2024-07-01", "2024-07-02", dataset=["index_close", "equity"], lake_only=True)
    assert {name: found.done for name, found in done.items()} == {"index_close": 2, "equity": 2}
    assert [day.state for day in status("index_close", "2024-07-01", "2024-07-02").days] == ["lake", "lake"]


def test_threads_may_fill_at_once(archive: SimulatedArchive) -> None:
    """One after the other: each day is done once, and counted by the fill that did it."""
    ranges = [(DAYS[0], DAYS[2]), (DAYS[1], DAYS[4]), (DAYS[0], DAYS[4])]
    with ThreadPoolExecutor(len(ranges) + 1) as threads:
        one_day = threads.submit(run_day, "2024-01-08")
        done = [found["equity"].done for found in threads.map(lambda each: fill(*each), ranges)]
        assert one_day.result().loaded > 0
    assert sum(done) == len(DAYS)
    assert len({each.path for each in archive.requests}) == len(archive.requests)


def test_a_failed_day_is_raised_after_the_others(archive: SimulatedArchive) -> None:
    """Of the others of its data set, and those of further data sets; the first data set's error is raised."""
    archive.faults[DAYS[1]] = Fault("cut")
    with pytest.raises(FillFailed, match=r"10,014 rows.*2024-01-02"):
        fill(DAYS[0], DAYS[-1], dataset=["equity", "index_close"])
    assert [day.date for day in status(start=DAYS[0], end=DAYS[-1]).of("failed")] == [DAYS[1]]
    assert len(status(start=DAYS[0], end=DAYS[-1]).of("loaded")) == 4
    assert len(status("index_close", DAYS[0], DAYS[-1]).of("loaded")) == 4


def test_what_is_left_is_said() -> None:
    found = fill(DAYS[0], DAYS[-1], task_limit=2)["equity"]
    assert (found.done, found.left, found.why_left) == (2, 3, "task_limit")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": "2024-02-01", "end": "2024-01-01"}, "start 2024-02-01 is after end 2024-01-01"),
        ({"start": "January"}, "start is not a date"),
        ({"dataset": "shares"}, "there is no data set of that name"),
        ({"dataset": None}, "there is no data set of that name"),
        ({"workers": 0}, "workers"),
        ({"task_limit": -1}, "task_limit cannot be used; expected a whole number from 0 on; found -1"),
        ({"days_back": "3"}, "days_back cannot be used"),
    ],
)
def test_a_wrong_argument_is_an_error_before_anything_is_done(
    archive: SimulatedArchive, arguments: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        fill(**arguments)  # type: ignore[arg-type]  # what mypy would find at once
    assert archive.requests == []
    assert list(settings.data_dir().iterdir()) == []
