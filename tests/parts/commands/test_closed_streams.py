"""Commands whose standard streams are closed, as by `>&-`, or by a daemon that starts them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from helpers import BOTH_DAY, champion_command, luigi_command, run_champion

pytestmark = pytest.mark.integration

ALL = "<&- >&- 2>&-"
FILL = ("fill", "--start", str(BOTH_DAY), "--stop", "2024-01-16")


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")


def run_with(closed: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command with some of its streams closed; the others are read here."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command],
        cwd=os.environ["DATA_DIR"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("program", ["champion", "luigi"])
def test_a_day_is_loaded(program: str, tmp_path: Path) -> None:
    """With the exit code of success, and nothing that was meant for a stream in a file."""
    command = champion_command(*FILL)
    if program == "luigi":
        command = luigi_command("LoadClickHouse", "--date", str(BOTH_DAY))
    assert run_with(ALL, command).returncode == 0
    assert "Everything agrees." in run_champion("verify").stdout
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"Luigi Execution Summary" not in path.read_bytes(), path


def test_a_failure_still_has_its_exit_code() -> None:
    """A day that the archive does not have, and a query without a warehouse."""
    failing = luigi_command("LoadClickHouse", "--date", "2024-01-15", "--champion-archive-url", "/nowhere")
    assert run_with(ALL, failing).returncode == 30
    assert run_with(ALL, champion_command("sql", "SELECT 1")).returncode == 40


def test_a_query_needs_nobody_who_listens() -> None:
    """Its answer goes nowhere. A query that neither an argument nor a stream gives is a usage error."""
    assert run_with("2>&-", champion_command(*FILL)).returncode == 0
    assert run_with(">&-", champion_command("sql", "SELECT 1")).returncode == 0
    unasked = run_with("<&-", champion_command("sql"))
    assert unasked.returncode == 2
    assert "the QUERY is empty" in unasked.stderr


def test_a_command_that_only_reports_has_its_exit_code() -> None:
    """Even where nobody can read the report: days are missing."""
    assert run_with(ALL, champion_command("status")).returncode == 20
