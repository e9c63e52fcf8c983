"""Ending the real `luigi` command in the middle of a fetch: nothing lives on, nothing is half-written."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import campaign
import pytest
from helpers import ThreeDays, payload, published, run_champion, run_luigi, start_champion, start_luigi, wait_for
from simulated_server import Fault, SimulatedArchive

from champion_luigi.config import settings
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.storage import lake
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unmeasured")]

DAY = ThreeDays.DAYS[1]
LAST_DAY = ThreeDays.DAYS[-1]
FAULTS = {day: Fault("trickling" if day == LAST_DAY else "hanging", delay=20) for day in ThreeDays.DAYS}

COMMANDS = {
    "one worker": (["LoadClickHouse", "--date", str(LAST_DAY), "--workers", "1"], "champion_luigi", [LAST_DAY]),
    "three workers": (["ThreeDays", "--workers", "3"], "helpers", list(ThreeDays.DAYS)),
    "three workers, the first task alone": (
        ["ScrapeBhavcopy", "--date", str(DAY), "--workers", "3"],
        "champion_luigi",
        [DAY],
    ),
}

FILL_DAYS = sessions.sessions(date(2024, 1, 8), date(2024, 1, 13))
RANGE = ("--start", "2024-01-08", "--stop", "2024-01-13")
FILLS = {
    "`champion fill`": ("fill", *RANGE, "--workers", "2"),
    "`luigi FillBhavcopy --workers 1`": ("FillBhavcopy", *RANGE, "--workers", "1"),
    "`luigi FillBhavcopy --workers 2`": ("FillBhavcopy", *RANGE, "--workers", "2"),
}


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    # Longer than a command is waited for: it is not the fetch's own end that ends it.
    monkeypatch.setenv("CHAMPION_READ_SECONDS", "200")
    monkeypatch.setenv("CHAMPION_TOTAL_SECONDS", "200")
    with SimulatedArchive(FAULTS) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


@contextlib.contextmanager
def fetching(
    command: list[str], module: str, requests: int, archive: SimulatedArchive
) -> Iterator[subprocess.Popen[str]]:
    """The command, in the middle of so many fetches."""
    process = start_luigi(*command, module=module)
    try:
        wait_for(lambda: len(archive.requests) == requests, "the fetch to begin")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def left_over(folder: Path) -> list[Path]:
    """Every file but the journal's, which tells what was begun, and the note of the folder's layout."""
    beside = {"journal", "layout.json"}
    return [path for path in folder.rglob("*") if path.is_file() and not beside & set(path.parts)]


def loaded_days(folder: Path) -> dict[date, int]:
    """How many rows the warehouse has of each day."""
    table = open_warehouse(Address(folder=folder / "warehouse"))
    days = dict(table.rows_by_day(EQUITY))
    table.close()
    return days


ENDINGS = [
    ("one worker", signal.SIGTERM),
    ("three workers", signal.SIGINT),
    ("three workers, the first task alone", signal.SIGINT),
    ("one worker", signal.SIGINT),
    ("three workers", signal.SIGTERM),
    ("three workers, the first task alone", signal.SIGTERM),
]


@pytest.mark.faults
@pytest.mark.parametrize(("workers", "name"), campaign.few(ENDINGS, fast=3))
def test_a_command_that_is_told_to_end_ends_whole(
    archive: SimulatedArchive, tmp_path: Path, workers: str, name: signal.Signals
) -> None:
    """Parent and children are gone within seconds, without a success, and leave no file; a rerun does it all."""
    command, module, days = COMMANDS[workers]
    with fetching(command, module, len(days), archive) as process:
        process.send_signal(name)
        # The output ends with the last process that could write to it.
        process.communicate(timeout=60)
        assert process.returncode != 0
    assert left_over(tmp_path) == []

    archive.faults.clear()
    again = run_luigi(*command, module=module)
    assert again.returncode == 0, again.stderr
    if "ScrapeBhavcopy" not in command:
        formats = {day: "udiff" if day == LAST_DAY else "legacy" for day in days}
        assert loaded_days(tmp_path) == {day: len(published(payload(day, formats[day]), formats[day])) for day in days}


@pytest.mark.faults
@pytest.mark.parametrize("name", campaign.few([signal.SIGINT, signal.SIGTERM]))
@pytest.mark.parametrize("command", campaign.few(list(FILLS)))
@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=15))
def test_a_fill_that_is_told_to_end_at_any_moment_ends(
    archive: SimulatedArchive, tmp_path: Path, *, command: str, name: signal.Signals, seed: int
) -> None:
    """While it starts too, and loads what it needs; a rerun does the rest."""
    archive.faults.clear()
    start = start_champion if "champion" in command else start_luigi
    process = start(*FILLS[command])
    try:
        time.sleep(random.Random(seed).uniform(0.2, 2.5))
        process.send_signal(name)
        output, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode == 0:
        assert sorted(day for day, _ in lake.days(settings.lake_dir(), EQUITY)) == FILL_DAYS, output

    run = run_champion if "champion" in command else run_luigi
    again = run(*FILLS[command])
    assert again.returncode == 0, again.stderr
    assert left_over(tmp_path / "locks") == []
    assert loaded_days(tmp_path) == {day: len(published(payload(day, "legacy"), "legacy")) for day in FILL_DAYS}
    campaign.tell(
        "Ctrl-C",
        f"{name.name} to a fill, at a random moment, its start included: {command}",
        "it ends by itself; after a rerun every row is there as published",
    )


def test_a_command_that_was_killed_holds_nothing_up(archive: SimulatedArchive, tmp_path: Path) -> None:
    """SIGKILL leaves the lock's file, which locks nothing any more, and no half of an output."""
    command, module, days = COMMANDS["one worker"]
    with fetching(command, module, len(days), archive) as process:
        process.kill()
        process.wait()
    assert [path.parent.name for path in left_over(tmp_path)] == ["locks"]

    archive.faults.clear()
    again = run_luigi(*command, module=module)
    assert again.returncode == 0, again.stderr
    assert left_over(tmp_path / "locks") == []
    assert list(loaded_days(tmp_path)) == days
