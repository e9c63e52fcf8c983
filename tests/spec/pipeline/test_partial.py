"""Days whose full file is not there, or not the day's: the partial source gives them until a full one does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import luigi
import pytest
import time_machine
from helpers import retry_at_once
from luigi.execution_summary import LuigiStatusCode
from luigi.task_register import Register

from champion_luigi import FillBhavcopy, WriteParquet
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.delivery import DELIVERY
from champion_luigi.exchange import sessions
from champion_luigi.simulated.exchange import payload
from champion_luigi.storage import lake
from champion_luigi.upkeep import refresh

WEEK = sessions.sessions(date(2024, 7, 8), date(2024, 7, 13))
WORKBOOK = date(2022, 8, 8)
LINES = 12


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    retry_at_once(monkeypatch)
    Register.clear_instance_cache()
    yield
    Register.clear_instance_cache()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with both files of each day, the full ones cut to their first rows."""
    folder = tmp_path_factory.mktemp("archive")
    for day in WEEK:
        publish(folder, day, "full", full(day))
        publish(folder, day, "mto", simulated(day, "mto"))
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    return folder


def simulated(day: date, source: str) -> bytes:
    """A simulated file."""
    content = payload(day, source, DELIVERY)
    assert content is not None
    return content


def full(day: date) -> bytes:
    """The first rows of a full file."""
    return b"".join(simulated(day, "full").splitlines(keepends=True)[:LINES])


def publish(folder: Path, day: date, source: str, content: bytes) -> None:
    """Put a file at its place in the archive."""
    found = DELIVERY.source(source)
    assert found is not None
    path = folder / found.path_of(day).lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def fill() -> LuigiStatusCode:
    """Fill the lake."""
    Register.clear_instance_cache()
    stop = WEEK[-1] + timedelta(days=1)
    its: dict[str, Any] = {"of": WriteParquet, "start": WEEK[0], "stop": stop, "dataset": DELIVERY.name}
    result = luigi.build([FillBhavcopy(**its)], local_scheduler=True, workers=1, detailed_summary=True)
    status: LuigiStatusCode = result.status
    return status


def layouts() -> list[str]:
    """The source that each day of the lake came from, in the order of the days."""
    rows = lake.scan(settings.lake_dir(), dataset=DELIVERY.name).select("trade_date", "layout").unique().collect()
    return rows.sort("trade_date")["layout"].to_list()


def verdicts() -> dict[date, str]:
    """What the ledger says of this archive."""
    return {day: answer.verdict for day, answer in wiring.ledger(DELIVERY).answers.items()}


def tomorrow() -> time_machine.travel:
    """A day from now, and a bit."""
    return time_machine.travel(datetime.now(UTC) + timedelta(days=1.1))


def test_a_day_whose_path_still_has_the_day_before_comes_from_the_partial_source(folder: Path) -> None:
    """The full file replaces it as soon as it is there."""
    publish(folder, WEEK[-1], "full", full(WEEK[-2]))
    assert fill() == LuigiStatusCode.SUCCESS
    assert layouts() == ["full"] * 4 + ["mto"]
    assert verdicts() == {WEEK[-1]: "partial"}
    with tomorrow():
        assert fill() == LuigiStatusCode.SUCCESS
    assert layouts() == ["full"] * 4 + ["mto"]
    publish(folder, WEEK[-1], "full", full(WEEK[-1]))
    with time_machine.travel(datetime.now(UTC) + timedelta(days=4)):
        assert fill() == LuigiStatusCode.SUCCESS
    assert layouts() == ["full"] * 5
    assert verdicts() == {WEEK[-1]: "whole"}


def test_a_full_file_that_can_never_be_used_hides_no_other(folder: Path) -> None:
    """A workbook stays what it is; the day after it is found all the same."""
    publish(folder, WEEK[0], "full", simulated(WORKBOOK, "full"))
    publish(folder, WEEK[1], "full", full(WEEK[0]))
    assert fill() == LuigiStatusCode.SUCCESS
    assert layouts() == ["mto"] * 2 + ["full"] * 3
    publish(folder, WEEK[1], "full", full(WEEK[1]))
    with tomorrow():
        assert fill() == LuigiStatusCode.SUCCESS
    assert layouts() == ["mto"] + ["full"] * 4
    assert verdicts() == {WEEK[0]: "partial", WEEK[1]: "whole"}


def test_a_cut_off_full_file_is_not_loaded_in_part(folder: Path) -> None:
    """The partial source has the day whole as far as it goes."""
    publish(folder, WEEK[2], "full", full(WEEK[2])[:-30])
    assert fill() == LuigiStatusCode.SUCCESS
    assert layouts() == ["full"] * 2 + ["mto"] + ["full"] * 2


def test_a_day_that_no_source_has_is_not_failed_by_the_day_before(folder: Path) -> None:
    """A stale file is a missing one: the session stays due, as absent."""
    publish(folder, WEEK[2], "full", full(WEEK[1]))
    file = DELIVERY.sources[1].path_of(WEEK[2])
    (folder / file.lstrip("/")).unlink()
    assert fill() == LuigiStatusCode.MISSING_EXT
    assert verdicts() == {WEEK[2]: "absent"}
    assert layouts() == ["full"] * 4


def test_a_partial_file_never_replaces_a_full_one(folder: Path) -> None:
    """If the archive's full file is gone, a repeated request leaves the day as it is."""
    assert fill() == LuigiStatusCode.SUCCESS
    publish(folder, WEEK[2], "full", full(WEEK[1]))
    [outcome] = refresh.refresh(DELIVERY, [WEEK[2]])
    assert (outcome.state, layouts()) == ("failed", ["full"] * 5)
    assert "the file of 2024-07-09" in outcome.reason
    assert outcome.reason.endswith("The stored file stays.")
