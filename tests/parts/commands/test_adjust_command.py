"""Adjusted prices follow the days: each command that replaces days makes them again, and status says how they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from helpers import champion_here, retry_at_once, snapshot
from simulated_server import Fault, SimulatedArchive

from champion_luigi.commands.doctor import setup
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline import adjust_tasks
from champion_luigi.pipeline.adjust_tasks import LoadAdjustments, WriteAdjustments
from champion_luigi.storage import adjustments, lake
from champion_luigi.warehouse import opened

pytestmark = pytest.mark.integration

DAY = date(2024, 7, 9)
BOTH = ("--dataset", "equity,corporate_actions")
FILL = ("fill", "--start", "2024-07-08", "--stop", "2024-07-10")


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    retry_at_once(monkeypatch)
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running
    opened.close_shared()


def champion(*arguments: str, code: int = 0) -> str:
    """What a command prints on standard output, with this exit code."""
    done = champion_here(*arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def status() -> Any:
    """What `champion status` says of the adjustments."""
    return json.loads(champion("status", "--start", str(DAY), "--end", str(DAY), "--json"))["adjustments"]


def inputs() -> object:
    """What the lake's adjustments were made from, and the warehouse has them too."""
    assert LoadAdjustments().complete()
    return adjustments.read(settings.lake_dir()).about["inputs"]


def test_a_fill_of_both_data_sets_makes_them_and_status_says_so() -> None:
    """A lake without corporate actions has none, and no line about them."""
    champion(*FILL)
    assert "adjustments" not in champion("status", "--start", str(DAY), "--end", str(DAY))
    assert (status(), setup.adjusted_prices().status) == (None, "OK")
    champion(*FILL, *BOTH)
    found = status()
    assert (found["prices_through"], found["actions_through"]) == (str(DAY), str(DAY))
    assert (found["due"], found["loaded"]) == (False, True)
    line = f"{found['events']:,} events, prices to {DAY}"
    assert f"adjustments    {line}\n" in champion("status", "--start", str(DAY), "--end", str(DAY))
    assert (setup.adjusted_prices().status, setup.adjusted_prices().found) == ("OK", line)


def test_a_day_that_was_published_anew_is_adjusted_anew(archive: SimulatedArchive) -> None:
    """By the refresh that replaces it."""
    champion(*FILL, *BOTH)
    before = inputs()
    archive.faults[DAY] = Fault("restated")
    assert "1 changed" in champion("refresh", "--days", "1")
    assert inputs() != before


def test_a_day_that_is_done_again_is_adjusted_anew() -> None:
    """A redo that ends with the lake leaves the warehouse to the next fill, and status says so."""
    champion(*FILL, *BOTH)
    before = inputs()
    champion("redo", "--date", str(DAY), "--from", "write")
    after = inputs()
    assert after != before
    champion("redo", "--date", str(DAY), "--from", "write", "--to", "write")
    assert WriteAdjustments().complete()
    assert (status()["due"], status()["loaded"]) == (False, False)
    champion(*FILL)
    assert inputs() != after


def test_a_day_that_is_repaired_is_adjusted_anew() -> None:
    """By verify, once the lake has it again."""
    champion(*FILL, *BOTH)
    before = inputs()
    lake.partition(settings.lake_dir(), DAY, EQUITY).unlink()
    assert "1 of 1 day repaired" in champion("verify", "--repair")
    assert inputs() != before


@pytest.mark.parametrize("lost", ["VIEW champion_market.equity_adjusted", "DATABASE champion_market"])
def test_adjustments_that_a_warehouse_has_lost_are_named_and_loaded_again(lost: str) -> None:
    """By verify, which a record of the load does not mislead."""
    champion(*FILL, *BOTH)
    assert "not those that were loaded" not in champion_here("verify").stderr
    table = opened.shared(wiring.warehouse_place())
    table.command(f"DROP {lost}")
    opened.close_shared()
    done = champion_here("verify")
    assert (done.returncode, "expected generation" in done.stderr) == (30, True)
    champion("verify", "--repair", *BOTH)
    factors = champion("sql", "--format", "csv", "SELECT count() FROM equity_adjusted")
    assert factors == champion("sql", "--format", "csv", "SELECT count() FROM equity_ohlc")
    champion("verify", *BOTH)


def test_what_a_warehouse_never_had_is_not_loaded_by_the_way() -> None:
    """A lake without a warehouse stays one."""
    champion(*FILL, *BOTH, "--of", "WriteParquet")
    champion("redo", "--date", str(DAY), "--from", "write", "--to", "write")
    champion("refresh", "--days", "1")
    assert WriteAdjustments().complete()
    assert not (settings.data_dir() / "warehouse").exists()


def test_adjustments_that_are_due_are_named() -> None:
    """With the command that makes them."""
    champion(*FILL, *BOTH)
    adjust_tasks.ask()
    assert status()["due"]
    assert "due: champion adjust" in champion("status", "--start", str(DAY), "--end", str(DAY))
    assert (setup.adjusted_prices().status, setup.adjusted_prices().todo) == ("WARNING", "Run `champion adjust`.")
    champion("adjust")
    assert not status()["due"]


def test_cleaning_leaves_them_alone() -> None:
    """The tables and the extracts that make the next evening short."""
    champion(*FILL, *BOTH)
    folders = [adjustments.document(settings.lake_dir()).parent, settings.data_dir() / "adjustments"]
    before = [snapshot(Path(folder)) for folder in folders]
    assert all(before)
    champion("clean", "--intermediates")
    assert [snapshot(Path(folder)) for folder in folders] == before
    assert LoadAdjustments().complete()
