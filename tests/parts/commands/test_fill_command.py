"""The commands that fill, as a user types them: what they do, say, draw, and exit with."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import campaign
import pytest
from click.testing import CliRunner
from helpers import (
    champion_command,
    champion_here,
    is_readable,
    payload,
    published,
    retry_at_once,
    run_champion,
    run_luigi,
    snapshot,
    start_luigi,
    wait_for,
)
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base import locks
from champion_luigi.commands.cli import main
from champion_luigi.config import settings
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.pipeline.tasks import LoadClickHouse, ParseBhavcopy, WriteParquet
from champion_luigi.storage import lake
from champion_luigi.upkeep import redo
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration

DAYS = [date(2024, 1, day) for day in (1, 2, 3, 4, 5, 8)]
RANGE = ("--start", "2024-01-01", "--stop", "2024-01-09")
LAKE = ("--of", "WriteParquet")


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    retry_at_once(monkeypatch)
    # Longer than a command is waited for: no fetch that hangs ends by itself.
    monkeypatch.setenv("CHAMPION_READ_SECONDS", "200")
    monkeypatch.setenv("CHAMPION_TOTAL_SECONDS", "200")
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


def fill_on_a_terminal(*arguments: str) -> tuple[str, int]:
    """`champion fill` on a terminal of 100 columns: what it shows, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        champion_command("fill", *arguments),
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        cwd=os.environ["DATA_DIR"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # the terminal's other end is closed
        pass
    finally:
        os.close(ours)
    return seen.decode(errors="replace"), process.wait(60)


def kill(process: subprocess.Popen[Any]) -> None:
    """End the process and all that it has started, where it has not ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    if process.stdout is not None:
        process.stdout.close()


def in_lake(folder: Path) -> list[date]:
    return sorted(day for day, _ in lake.days(folder / "lake", EQUITY))


def in_warehouse(folder: Path) -> list[tuple[date, int]]:
    table = open_warehouse(Address(folder=folder / "warehouse"))
    try:
        return table.rows_by_day(EQUITY)
    finally:
        table.close()


def rows_of(*days: date) -> list[tuple[date, int]]:
    """How many rows were published of each day."""
    return [(day, len(published(payload(day, "legacy"), "legacy"))) for day in days]


# The luigi command


@pytest.mark.faults
@pytest.mark.parametrize("workers", campaign.few(["2", "1", "4"]))
def test_the_luigi_command_loads_a_range(tmp_path: Path, archive: SimulatedArchive, workers: str) -> None:
    """With the embedded warehouse, however many workers there are; each file is fetched once."""
    done = run_luigi("FillBhavcopy", *RANGE, "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert in_warehouse(tmp_path) == rows_of(*DAYS)
    assert len(archive.requests) == len(DAYS)


def test_the_luigi_command_without_a_range_fills_the_last_days(tmp_path: Path) -> None:
    """As many as --days-back says, until the latest session."""
    today = datetime.now(sessions.INDIA).date()
    latest = sessions.latest_published(datetime.now(UTC))
    done = run_luigi("FillBhavcopy", "--days-back", "4", *LAKE)
    assert done.returncode == 0, done.stderr
    assert in_lake(tmp_path) == sessions.sessions(today - timedelta(days=4), latest + timedelta(days=1))


def test_luigis_own_range_takes_the_tasks_too(tmp_path: Path) -> None:
    """`RangeDailyBase --of LoadClickHouse`, for those who have it in their crontab."""
    done = run_luigi(
        "RangeDailyBase",
        "--of",
        "LoadClickHouse",
        "--start",
        "2024-01-01",
        "--stop",
        "2024-01-04",
        "--days-back",
        "9999",
    )
    assert done.returncode == 0, done.stderr
    assert in_warehouse(tmp_path) == rows_of(*DAYS[:3])


@pytest.mark.faults
@pytest.mark.parametrize("workers", campaign.few(["2", "1"]))
def test_the_luigi_command_exits_20_when_days_are_left(tmp_path: Path, workers: str) -> None:
    """The log has the number of days left; with --reverse the newest day comes first."""
    done = run_luigi("FillBhavcopy", *RANGE, *LAKE, "--reverse", "--task-limit", "2", "--workers", workers)
    assert done.returncode == 20, done.stderr
    assert "4 of 6 days are left" in done.stderr
    assert in_lake(tmp_path) == DAYS[-2:]


@pytest.mark.faults
@pytest.mark.parametrize("workers", campaign.few(["2", "1"]))
def test_the_luigi_command_exits_30_when_a_day_failed(tmp_path: Path, archive: SimulatedArchive, workers: str) -> None:
    """The others are complete; its log says which day failed and why."""
    archive.faults[DAYS[1]] = Fault("wrong_header")
    done = run_luigi("FillBhavcopy", *RANGE, *LAKE, "--workers", workers)
    assert done.returncode == 30, done.stderr
    assert re.search(rf"{DAYS[1]} failed: UnknownLayout: .*CLOSING", done.stderr)
    assert in_lake(tmp_path) == [DAYS[0], *DAYS[2:]]


# The champion command


def test_champion_fill_loads_a_range(tmp_path: Path, archive: SimulatedArchive) -> None:
    """And says in its last line how much that was."""
    done = run_champion("fill", *RANGE)
    assert done.returncode == 0, done.stderr
    assert in_warehouse(tmp_path) == rows_of(*DAYS)
    rows = sum(count for _, count in rows_of(*DAYS))
    assert done.stderr.splitlines()[-1].startswith(f"6 of 6 days, {rows:,} rows")
    assert len(archive.requests) == len(DAYS)


def test_champion_fill_says_when_nothing_is_missing(archive: SimulatedArchive) -> None:
    """A second time."""
    champion_here("fill", *RANGE, *LAKE)
    done = champion_here("fill", *RANGE, *LAKE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "Nothing is missing."
    assert len(archive.requests) == len(DAYS)


def test_champion_fill_exits_20_when_days_are_left() -> None:
    """And says how to go on."""
    done = champion_here("fill", *RANGE, *LAKE, "--task-limit", "2")
    assert done.returncode == 20, done.stderr
    assert "4 days are left" in done.stderr.splitlines()[-2]


def test_champion_fill_exits_20_when_a_day_is_not_published_yet(archive: SimulatedArchive) -> None:
    """And says when to try again."""
    latest = sessions.latest_published(datetime.now(UTC))
    archive.faults[latest] = Fault("not_found")
    done = champion_here("fill", "--start", str(sessions.previous(latest)), *LAKE)
    assert done.returncode == 20, done.stderr
    *_, outstanding, _ = done.stderr.splitlines()
    assert outstanding.startswith(f"{latest}: not published yet")
    assert "try again" in outstanding


def test_champion_fill_exits_30_when_a_day_failed(tmp_path: Path, archive: SimulatedArchive) -> None:
    """It names each failed day once, with the reason, and its result last; the others are complete."""
    archive.faults |= {DAYS[1]: Fault("html"), DAYS[3]: Fault("wrong_header")}
    done = run_champion("fill", *RANGE, *LAKE)
    assert done.returncode == 30, done.stderr
    plan, first, second, result = done.stderr.splitlines()
    assert "6 days of equity to do, from 2024-01-01 to 2024-01-08" in plan
    assert first.startswith(f"ERROR: {DAYS[1]} failed: RejectedPayload: ")
    assert second.startswith(f"ERROR: {DAYS[3]} failed: UnknownLayout: ")
    assert result.startswith("4 of 6 days, ")
    assert result.endswith(", 2 failed")
    assert in_lake(tmp_path) == [DAYS[0], DAYS[2], *DAYS[4:]]


def test_champion_fill_exits_15_when_only_absent_sessions_are_missing(archive: SimulatedArchive) -> None:
    """It names them, in this fill and in every later one, which has nothing else to say."""
    archive.faults[DAYS[2]] = Fault("not_found")
    for result in (["5 of 6 days, "], []):
        done = champion_here("fill", *RANGE, *LAKE)
        assert done.returncode == 15, done.stderr
        [absent, *last] = done.stderr.splitlines()
        assert absent.startswith(f"1 session is absent: {DAYS[2]}; no source of the archive has a file; requested ")
        assert absent.endswith("or now with champion fill --recheck-absent")
        assert [line[:13] for line in last] == result


def test_champion_fill_rechecks_what_was_absent(tmp_path: Path, archive: SimulatedArchive) -> None:
    """With --recheck-absent."""
    archive.faults[DAYS[2]] = Fault("not_found")
    champion_here("fill", *RANGE, *LAKE)
    archive.faults.clear()
    done = champion_here("fill", *RANGE, *LAKE, "--recheck-absent")
    assert done.returncode == 0, done.stderr
    assert in_lake(tmp_path) == DAYS


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (("--of", "NoSuchTask"), {}, "NoSuchTask"),
        ((), {"CLICKHOUSE_PORT": "eight"}, "CLICKHOUSE_PORT"),
        (("--workers", "2"), {"NSE_ARCHIVE_URL": "gopher://example"}, "NSE_ARCHIVE_URL"),
        (("--start", "yesterday"), {}, "yesterday"),
        (("--stop", "2023-01-01"), {}, "2023-01-01"),
        (("--task-limit", "-1"), {}, "--task-limit"),
        (("--days-back", "-1"), {}, "--days-back"),
    ],
)
def test_champion_fill_does_not_exit_0_when_it_cannot_begin(
    arguments: tuple[str, ...], environment: dict[str, str], words: str
) -> None:
    """It says what is wrong in a sentence, without a traceback."""
    done = champion_here("fill", *RANGE, *arguments, **environment)
    assert done.returncode not in (0, 20)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_champion_fill_tells_of_its_options() -> None:
    """With their defaults."""
    result = CliRunner().invoke(main, ["fill", "--help"])
    assert result.exit_code == 0
    for option in ("--start", "--stop", "--days-back", "--of", "--workers", "--reverse", "--task-limit"):
        assert option in result.output


# What is to be seen meanwhile


def test_a_terminal_shows_a_bar() -> None:
    """Days done of days due, the day at hand and the rows; then the summary."""
    shown, code = fill_on_a_terminal(*RANGE, *LAKE)
    assert code == 0, shown
    assert "6/6" in shown
    assert "2024-01-0" in shown
    assert "days/s" in shown
    assert "━" in shown
    assert "6 of 6 days" in shown.splitlines()[-1]
    assert "INFO" not in shown


def test_a_terminal_shows_what_failed(archive: SimulatedArchive) -> None:
    """In the bar, and by day above it."""
    archive.faults[DAYS[1]] = Fault("html")
    shown, code = fill_on_a_terminal(*RANGE, *LAKE)
    assert code == 30, shown
    assert "1 failed" in shown
    assert shown.count(f"{DAYS[1]} failed: RejectedPayload") == 1


@pytest.mark.usefixtures("unmeasured")
def test_a_terminal_has_its_cursor_back_after_ctrl_c(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar hides it meanwhile."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    archive.faults.update(dict.fromkeys(DAYS[2:], Fault("hanging")))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        champion_command("fill", *RANGE, *LAKE),
        env={**os.environ, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    try:
        wait_for(lambda: len(archive.requests) > 2 and len(in_lake(tmp_path)) == 2, "the fill to be at it")
        process.send_signal(signal.SIGINT)
        # A terminal that nobody reads takes no more at some time, and whoever writes to it waits.
        while is_readable(ours, 60) and (piece := os.read(ours, 4096)):
            seen += piece
    except OSError:  # the terminal's other end is closed
        assert process.wait(60) != 0
    finally:
        kill(process)
        os.close(ours)
    assert seen.rfind(b"\x1b[?25h") > seen.rfind(b"\x1b[?25l") > -1


def test_a_pipe_gets_plain_lines_at_a_sane_pace() -> None:
    """No escape codes, no carriage returns, and not lines for each day's every step."""
    done = run_champion("fill", "--start", "2024-01-01", "--stop", "2024-02-01", *LAKE)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert "\r" not in done.stderr + done.stdout
    assert len((done.stderr + done.stdout).splitlines()) < 40


# Ending it


ENDINGS = [(signal.SIGINT, "champion"), (signal.SIGTERM, "luigi with 2 workers"), (signal.SIGTERM, "champion")]
ENDINGS += [(signal.SIGINT, "luigi with 2 workers"), (signal.SIGTERM, "luigi"), (signal.SIGINT, "luigi")]


@pytest.mark.faults
@pytest.mark.parametrize(("name", "command"), campaign.few(ENDINGS, fast=2))
@pytest.mark.usefixtures("unmeasured")
def test_a_fill_that_is_told_to_end_ends(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: signal.Signals
) -> None:
    """Within seconds, not with a success, with no half of a file and no process left; a later fill does the rest."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    archive.faults.update(dict.fromkeys(DAYS[2:], Fault("hanging")))
    if command == "champion":
        process = subprocess.Popen(
            champion_command("fill", *RANGE, *LAKE),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    else:
        process = start_luigi("FillBhavcopy", *RANGE, *LAKE, "--workers", "2" if "2" in command else "1")
    try:
        wait_for(lambda: len(archive.requests) > 2 and len(in_lake(tmp_path)) == 2, "the fill to be at it")
        process.send_signal(name)
        # The output ends with the last process that could write to it.
        output, _ = process.communicate(timeout=60)
    finally:
        kill(process)
    assert process.returncode != 0, output
    # With several workers, Luigi's forked ones print how they ended.
    if command == "champion" or (command == "luigi" and name == signal.SIGINT):
        program = "champion fill" if command == "champion" else "luigi"
        said = f"{program}: stopped: nothing is half-written, and the same command continues"
        assert output.splitlines()[-1] == said
        assert "Traceback" not in output
        assert process.returncode == (1 if command == "champion" else -signal.SIGINT)
    assert in_lake(tmp_path) == DAYS[:2]
    assert list(tmp_path.rglob(".tmp-*")) == []

    archive.faults.clear()
    done = champion_here("fill", *RANGE, *LAKE)
    assert done.returncode == 0, done.stderr
    assert in_lake(tmp_path) == DAYS


def test_a_fill_that_tries_again_says_why_once(archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes pass between attempts: without a word, an archive that does not answer looks like a fill that hangs."""
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "1")
    archive.faults.update(dict.fromkeys(DAYS, Fault("unavailable", times=1)))
    done = run_champion("fill", *RANGE, *LAKE)
    assert done.returncode == 0, done.stderr
    [line] = [each for each in done.stderr.splitlines() if "attempt" in each]
    assert re.match(r"WARNING: ScrapeBhavcopy 2024-01-0\d: attempt 1 of 3 failed, the next in \S+ s: .*503", line)


def test_a_fill_that_could_not_begin_says_why_in_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the engine: the reason must not stand somewhere above `0 of 0 days`."""
    monkeypatch.setenv("CHAMPION_LOCK_WAIT_SECONDS", "0")
    with locks.locked(settings.data_dir() / "warehouse.lock", "the warehouse", 0):
        done = champion_here("fill", *RANGE, "--dataset", "equity,corporate_actions")
    assert done.returncode == 30, done.stderr
    # For each data set; adjustments, which would fail for the same reason, are not tried.
    assert len(told := [line for line in done.stderr.splitlines() if "in use by" in line]) == 2
    assert all(line.startswith("The fill did not begin: ") for line in told)
    assert "is in use by another part of this process" in told[-1] == done.stderr.splitlines()[-1]


# Only looking


def would_run(*arguments: str) -> dict[str, str]:
    """`champion fill --dry-run --json`: the reason of each day that is due."""
    done = champion_here("fill", *arguments, "--dry-run", "--json")
    due = {entry["date"]: entry["reason"] for entry in json.loads(done.stdout)["due"]}
    assert done.returncode == (20 if due else 0), done.stderr
    return due


def test_a_dry_run_changes_nothing_and_asks_nothing(tmp_path: Path, archive: SimulatedArchive) -> None:
    """It says which days would run, in a line for each reason, and exits 20."""
    done = champion_here("fill", *RANGE, "--dry-run", "--task-limit", "4")
    assert done.returncode == 20, done.stderr
    assert done.stdout.splitlines() == [
        "4 days would run (LoadClickHouse, 2024-01-01 to 2024-01-08):",
        "2024-01-01 to 2024-01-04, 4 days: missing",
        "2 more would be left (--task-limit)",
    ]
    assert list(tmp_path.iterdir()) == []
    assert archive.requests == []


def test_a_dry_run_exits_0_where_nothing_is_due(tmp_path: Path) -> None:
    """And says so."""
    champion_here("fill", *RANGE, *LAKE)
    before = snapshot(tmp_path)
    done = champion_here("fill", *RANGE, *LAKE, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Nothing is missing (WriteParquet, 2024-01-01 to 2024-01-08).\n"
    assert snapshot(tmp_path) == before


def test_a_dry_run_says_why_a_day_is_due(tmp_path: Path, archive: SimulatedArchive) -> None:
    """Each day has its own story; what is loaded is not among them."""
    not_loaded, other_warehouse, changed, failed, again, _loaded = DAYS
    archive.faults[failed] = Fault("wrong_header")
    champion_here("fill", *RANGE)
    marker = LoadClickHouse(date=other_warehouse).output()
    marker.dump((marker.load() or {}) | {"warehouse": {"host": "embedded", "id": "deleted"}})
    LoadClickHouse(date=not_loaded).output().file.unlink()
    WriteParquet(date=changed).output().write(b"other rows")
    redo.make_due(EQUITY, again, ParseBhavcopy)
    due = would_run(*RANGE)
    assert due.pop(str(failed)).startswith("failed before: ")
    assert due == {
        str(not_loaded): "in the lake, not loaded",
        str(other_warehouse): "in the lake, and its marker belongs to another warehouse",
        str(changed): "in the lake, and changed since it was loaded",
        str(again): "requested again, from parse",
    }


def test_a_dry_run_says_what_another_warehouse_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the configured one lacks it: it is not asked either."""
    stop = ("--start", "2024-01-01", "--stop", "2024-01-02")
    champion_here("fill", *stop)
    monkeypatch.setenv("CLICKHOUSE_HOST", "clickhouse.invalid")
    assert would_run(*stop) == {"2024-01-01": "in the lake, and loaded into another warehouse only"}


def test_a_dry_run_names_what_would_be_rechecked(archive: SimulatedArchive) -> None:
    """With --recheck-absent; without, it is named, and not due."""
    archive.faults[DAYS[2]] = Fault("not_found")
    champion_here("fill", *RANGE, *LAKE)
    assert would_run(*RANGE, *LAKE) == {}
    planned = json.loads(champion_here("fill", *RANGE, *LAKE, "--dry-run", "--json").stdout)
    assert planned["absent"] == [str(DAYS[2])]
    assert f"1 session absent: {DAYS[2]}" in champion_here("fill", *RANGE, *LAKE, "--dry-run").stdout
    due = would_run(*RANGE, *LAKE, "--recheck-absent")
    assert due[str(DAYS[2])].startswith("absent before, and requested again: ")


def test_json_goes_with_a_dry_run() -> None:
    """A fill itself has none."""
    result = CliRunner().invoke(main, ["fill", "--json"])
    assert result.exit_code == 2
    assert "--json needs --dry-run" in result.output
