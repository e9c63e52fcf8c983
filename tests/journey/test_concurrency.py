"""Several real processes at the same days: each piece of work is done once, and nobody spoils another's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from helpers import (
    LEGACY_DAY,
    UDIFF_DAY,
    build,
    hear,
    payload,
    published,
    run_luigi,
    start_luigi,
    start_python,
    tell,
    wait_for,
)
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base.errors import Busy
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.tasks import ScrapeBhavcopy
from champion_luigi.tracking import journal
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration

DAY = UDIFF_DAY
ROWS = len(published(payload(DAY, "udiff"), "udiff"))
STAGES = ["ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse"]

HOLDER = """
import sys
from pathlib import Path
from champion_luigi.base import durable, locks
with locks.locked(Path(sys.argv[1]), "the day", 0):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    # Slow enough for all the others to find the day taken.
    with SimulatedArchive({DAY: Fault("slow", delay=2)}) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


def rows_by_day(folder: Path) -> list[tuple[date, int]]:
    table = open_warehouse(Address(folder=folder / "warehouse"))
    days = table.rows_by_day(EQUITY)
    table.close()
    return days


def test_four_commands_for_one_day_do_its_work_once(archive: SimulatedArchive, tmp_path: Path) -> None:
    """One fetches while the others wait; all end well, each row is there once, and one of each task has worked.

    Without Luigi's ``--no-lock`` as well, as when cron starts a command while somebody tries the same by hand.
    """
    command = ("LoadClickHouse", "--date", str(DAY))
    processes = [start_luigi(*command, *lock) for lock in ((), (), ("--no-lock",), ("--no-lock",))]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, "\n".join(outputs)
    assert len(archive.requests) == 1
    assert rows_by_day(tmp_path) == [(DAY, ROWS)]
    worked = [
        each["task"] for each in journal.read(tmp_path / "journal") if each["event"] == "success" and each["facts"]
    ]
    assert sorted(worked) == sorted(STAGES)


def test_commands_for_different_days_take_turns_at_the_embedded_engine(
    archive: SimulatedArchive, tmp_path: Path
) -> None:
    """One process at a time may hold it; the others wait and say for whom."""
    days = [date(2023, 6, 14), LEGACY_DAY, date(2023, 6, 16)]
    processes = [start_luigi("LoadClickHouse", "--date", str(day)) for day in days]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, "\n".join(outputs)
    assert rows_by_day(tmp_path) == [(day, len(published(payload(day, "legacy"), "legacy"))) for day in days]


def test_a_day_in_other_hands_is_waited_for_and_its_holder_named(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says for whom the task waits; when the wait is over, Busy does."""
    monkeypatch.setenv("CHAMPION_LOCK_WAIT_SECONDS", "0.3")
    holder = start_python(HOLDER, str(tmp_path / "locks" / f"{DAY}.lock"))
    assert hear(holder) == "locked"
    built = build(ScrapeBhavcopy(date=DAY))
    holder.communicate("\n", timeout=60)
    assert isinstance(built.error, Busy)
    assert f"process {holder.pid} " in str(built.error)
    [message] = built.messages
    assert message.startswith(f"waiting for {DAY}, in use by process {holder.pid} ")
    assert archive.requests == []


def test_a_day_in_other_hands_is_run_as_soon_as_it_is_free(archive: SimulatedArchive, tmp_path: Path) -> None:
    """The wait ends with the other process's work."""
    archive.faults.clear()
    holder = start_python(HOLDER, str(tmp_path / "locks" / f"{DAY}.lock"))
    assert hear(holder) == "locked"

    def let_go(message: str) -> None:
        if message.startswith("waiting"):
            tell(holder)

    built = build(ScrapeBhavcopy(date=DAY), on_message=let_go)
    holder.communicate(timeout=60)
    assert built.is_done


def test_a_day_that_another_process_has_done_meanwhile_is_not_done_again(
    archive: SimulatedArchive, tmp_path: Path
) -> None:
    """Whoever waited looks again before it works."""
    first = start_luigi("ScrapeBhavcopy", "--date", str(DAY))
    wait_for(lambda: len(archive.requests) == 1, "the fetch to begin")
    built = build(ScrapeBhavcopy(date=DAY))
    first.communicate(timeout=60)
    assert built.is_done
    assert built.messages[-1] == "done by another process meanwhile"
    assert len(archive.requests) == 1


def test_a_running_day_keeps_no_other_day_waiting(archive: SimulatedArchive, tmp_path: Path) -> None:
    """The lock is the date's own."""
    holder = start_python(HOLDER, str(tmp_path / "locks" / f"{DAY}.lock"))
    assert hear(holder) == "locked"
    assert run_luigi("WriteParquet", "--date", str(LEGACY_DAY)).returncode == 0
    holder.communicate("\n", timeout=60)
