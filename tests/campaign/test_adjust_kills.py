"""Kills of `champion adjust`: readers have the state before or the new one, and the next run completes the work."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import campaign
import polars as pl
import pytest
from helpers import champion_here
from small_market import by_day, notices, prices, put_in_lake

from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import adjustments
from champion_luigi.warehouse import opened

pytestmark = [pytest.mark.integration, pytest.mark.faults]

POINTS = Path(__file__).parents[1] / "killed_at.py"
SHARES = 6
ADJUST = ("adjust",)


def adjust() -> None:
    done = champion_here(*ADJUST)
    assert done.returncode == 0, done.stderr


def until(point: str) -> int:
    """Run the command as far as a point, and return its exit code."""
    command = [sys.executable, str(POINTS), point, *ADJUST]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode <= 0, done.stderr
    return done.returncode


def factors_of_view() -> list[float]:
    """As a reader of the warehouse sees them."""
    table = opened.shared(wiring.warehouse_place(), 30)
    try:
        found = table.query("SELECT factor FROM champion_market.equity_adjusted ORDER BY trade_date")
        return [factor for (factor,) in found]
    finally:
        opened.close_shared()


def factors_of_lake() -> list[float]:
    """As a reader of the lake sees them."""
    made = adjustments.read(settings.lake_dir())
    return made.spans.sort("valid_from", "start")["factor"].to_list()


BEFORE = [2.0, 2.0] + [1.0] * 18


def make_state() -> None:
    """Make and load a state in the data folder, and change the lake since."""
    rows = prices("ABC", [100] * 20).with_columns(layout=pl.lit("udiff"))
    put_in_lake(settings.lake_dir(), EQUITY, rows)
    put_in_lake(settings.lake_dir(), CORPORATE_ACTIONS, notices(("ABC", "BONUS 1:1", 0, 2)))
    adjust()
    table = opened.shared(wiring.warehouse_place())
    for at, of_day in by_day(EQUITY, rows):
        table.load(EQUITY, at, of_day)
    opened.close_shared()
    assert factors_of_view() == BEFORE
    put_in_lake(settings.lake_dir(), CORPORATE_ACTIONS, notices(("ABC", "BONUS 4:1", 0, 2)))


@pytest.mark.parametrize("share", campaign.rounds(fast=1, full=SHARES))
def test_an_adjust_that_is_killed_is_completed_by_the_next(
    share: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each write, sync, rename, removal and lock, and each statement of the engine."""
    monkeypatch.setenv("CHAMPION_TRACKING", "off")
    (tmp_path / "archive").mkdir()
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(tmp_path / "archive"))

    def fresh(name: str) -> Path:
        folder = tmp_path / name
        monkeypatch.setenv("DATA_DIR", str(folder))
        make_state()
        return folder

    fresh("undisturbed")
    listed = tmp_path / "points.txt"
    assert until(f"list:{listed}") == 0
    after = factors_of_view(), factors_of_lake()
    assert after[0] == [5.0, 5.0] + [1.0] * 18
    points = listed.read_text(encoding="utf-8").splitlines()
    chosen = points[share::SHARES] if campaign.IS_WHOLE else points[3 :: len(points) // 3]
    for number, point in enumerate(chosen):
        folder = fresh(str(number))
        assert until(point) in (-signal.SIGKILL, 0), point
        assert factors_of_view() in (BEFORE, after[0]), point
        assert max(factors_of_lake()) in (2.0, 5.0), point
        adjust()
        assert (factors_of_view(), factors_of_lake()) == after, point
        document = json.loads(adjustments.document(settings.lake_dir()).read_text())
        assert document["events"] == 1
        shutil.rmtree(folder)
    campaign.tell(
        "Kills",
        "`champion adjust`, embedded warehouse: SIGKILL before each write, sync, rename, removal, lock and statement",
        "readers of lake and view had the state before or the new one; one rerun completes the work",
        count=len(chosen),
    )
