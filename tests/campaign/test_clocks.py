"""Clocks that are wrong, or set in the middle, and hosts in other time zones: nothing is lost, no day mistaken."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import campaign
import pytest
from helpers import archive_path, champion_command, luigi_command, payload, published, retry_at_once, run, wait_for
from mlflow_server import carry, empty_store, told
from simulated_server import Fault, SimulatedArchive

from champion_luigi.config import wiring
from champion_luigi.config.wiring import archive_name
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import answers, sessions
from champion_luigi.storage import lake
from champion_luigi.tracking import journal, runs
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

AREA = "Clocks"
DAYS = sessions.sessions(date(2023, 6, 12), date(2023, 6, 17))
RANGE = ("--start", "2023-06-12", "--stop", "2023-06-17")

# A command by a clock that is wrong from the start.
AT = """
import sys
from datetime import datetime
import time_machine
moment, sys.argv = datetime.fromisoformat(sys.argv[1]), sys.argv[2:]
with time_machine.travel(moment, tick=True):
    if sys.argv[0].endswith("luigi"):
        from luigi.cmdline import luigi_run as main
    else:
        from champion_luigi.commands.cli import main
    main()
"""

# What the default dates are at some moments, in one process.
DEFAULTS = """
import json, sys
from datetime import datetime
import time_machine
from click.testing import CliRunner
from champion_luigi import LoadClickHouse
from champion_luigi.commands.cli import main

def asked(*arguments):
    return json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)

found = []
for moment in sys.argv[1:]:
    with time_machine.travel(datetime.fromisoformat(moment), tick=False):
        fill, status = asked("fill", "--dry-run"), asked("status")
        found.append([fill["start"], fill["end"], status["latest_due"], str(LoadClickHouse().date)])
print(json.dumps({"found": found, "cron": CliRunner().invoke(main, ["schedule", "--cron"]).stdout}))
"""

# Moments in India; the latest session whose file should be out, and the first day of a fill without --start.
MOMENTS = {
    "2025-03-07T18:59:59": ("2025-03-06", "2024-11-27"),
    "2025-03-07T19:00:00": ("2025-03-07", "2024-11-27"),
    "2025-03-09T12:29:59": ("2025-03-07", "2024-11-29"),  # New York has no 02:00 on this day, which is 12:30 here
    "2025-03-09T12:30:00": ("2025-03-07", "2024-11-29"),
    "2025-03-10T00:00:00": ("2025-03-07", "2024-11-30"),
    "2025-03-10T23:59:59": ("2025-03-10", "2024-11-30"),
    "2025-03-11T00:00:00": ("2025-03-10", "2024-12-01"),
    "2025-11-02T11:00:00": ("2025-10-31", "2025-07-25"),  # 01:30 in New York, and an hour later again
    "2025-11-02T12:00:00": ("2025-10-31", "2025-07-25"),
    "2025-11-03T18:59:59": ("2025-10-31", "2025-07-26"),
    "2025-11-03T19:00:00": ("2025-11-03", "2025-07-26"),
}
ZONES = ("America/New_York", "Pacific/Kiritimati", "UTC", "Asia/Kolkata")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a retry."""
    retry_at_once(monkeypatch)
    monkeypatch.setenv("CHAMPION_FILL_WORKERS", "2")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """Slow enough that a clock can be set in the middle of a fill."""
    with SimulatedArchive(latency=0.1) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


def at(moment: datetime, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command by a clock that shows another time; it goes on from there."""
    return run([sys.executable, "-c", AT, moment.isoformat(), *command])


def rows_of(folder: Path, day: date) -> set[tuple[str, str, float]]:
    """What readers of the warehouse see of a day."""
    table = open_warehouse(Address(folder=folder / "warehouse"), 10)
    table.prepare(EQUITY)
    try:
        found = table.query(
            f"SELECT symbol, series, close FROM champion_market.equity_ohlc WHERE trade_date = toDate('{day}')"
        )
    finally:
        table.close()
    rows = {(symbol, series, close) for symbol, series, close in found}
    assert len(rows) == len(found)
    return rows


# Wrong from the start


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=6))
def test_a_load_replaces_older_rows_whatever_the_clock_says(
    tmp_path: Path, archive: SimulatedArchive, seed: int
) -> None:
    """The version of a load is above that of the one before, also if the clock has gone back by a century."""
    day = DAYS[seed % len(DAYS)]
    years = random.Random(seed).sample([1970, 1980, 2024, 2038], 3 if campaign.IS_WHOLE else 1)
    years = [2100, *years]
    whole = published(payload(day, "legacy"), "legacy")
    expected = {(*key, row[3]) for key, row in whole.items()}
    seen = []
    for number, year in enumerate(years):
        # Published anew each time: some rows changed and some gone, then as it was.
        archive.faults = {day: Fault("restated")} if number % 2 else {}
        command = ["redo", "--date", str(day), "--from", "scrape"] if number else ["fill", "--start", str(day)]
        ending = [] if number else ["--stop", str(day + timedelta(days=1))]
        done = at(datetime(year, 3, 4, 5, 6, tzinfo=UTC), champion_command(*command, *ending))
        assert done.returncode == 0, f"seed {seed}, {years}, {year}\n{done.stderr}"
        in_lake, _ = lake.read_parquet(lake.partition(tmp_path / "lake", day, EQUITY), EQUITY)
        rows = rows_of(tmp_path, day)
        assert rows == set(in_lake.select("symbol", "series", "close").iter_rows()), f"seed {seed}, {years}, {year}"
        assert (rows == expected) == (number % 2 == 0), f"seed {seed}, {years}, {year}"
        seen.append(rows)
    assert seen[0] != seen[1]
    campaign.tell(
        AREA,
        "a day loaded by a clock in 2100, and again, with rows changed and gone, by clocks in 1970, 2024 or 2038",
        "readers see exactly the last load: its version is above the one before, whatever the clock says",
        count=len(years),
    )


@pytest.mark.parametrize("number", campaign.rounds(fast=1, full=4))
def test_a_clock_before_the_first_file_is_told(archive: SimulatedArchive, number: int) -> None:
    """A machine that starts in 1970, as some do without a battery, does nothing wrong, and says what to do."""
    of_champion = (["fill"], ["fill", *RANGE], ["status"])
    command = champion_command(*of_champion[number]) if number < len(of_champion) else luigi_command("LoadClickHouse")
    done = at(datetime(1970, 1, 2, tzinfo=UTC), command)
    assert done.returncode == 40, done.stderr
    assert command[0].endswith("luigi") or "Traceback" not in done.stderr, done.stderr
    assert "Set this machine's clock" in done.stderr
    assert archive.requests == []
    campaign.tell(
        AREA,
        f"a clock in 1970, for `{Path(command[0]).name}`" + (f" {command[1]}" if number < 3 else " without a date"),
        "exit code 40, and a sentence that says to set the clock; nothing is asked for",
    )


@pytest.mark.parametrize("days", campaign.rounds(fast=1, full=4))
def test_a_clock_that_is_ahead_closes_no_session_to_come(tmp_path: Path, archive: SimulatedArchive, days: int) -> None:
    """What the archive has not yet, by its own clock, is not taken for closed; it is fetched once it is there."""
    today = datetime.now(sessions.INDIA).date()
    ahead = (20, 40, 9, 60)[days]
    wrong = datetime.now(UTC) + timedelta(days=ahead)
    asked = ("--start", str(today - timedelta(days=6)), "--of", "WriteParquet")
    due = sessions.sessions(today - timedelta(days=6), wrong.astimezone(sessions.INDIA).date())
    to_come = [day for day in due if day > today]
    archive.faults = dict.fromkeys(to_come, Fault("not_found"))
    done = at(wrong, champion_command("fill", *asked))
    assert done.returncode == 20, done.stderr
    assert "Set this machine's clock" in done.stderr
    assert not [
        each
        for each in answers.read(wiring.files(EQUITY).answers, archive_name()).answers.values()
        if each.verdict == "closed"
    ]

    archive.faults = {}
    done = at(wrong, champion_command("fill", *asked))
    assert done.returncode == 0, done.stderr
    assert {day for day, _ in lake.days(tmp_path / "lake", EQUITY)} >= set(due)
    campaign.tell(
        AREA,
        f"a clock that is {ahead} days ahead, so that a fill asks for sessions to come, which the archive answers 404",
        "by the archive's own clock they are not published yet (exit code 20) and not closed: once they are there, the "
        "next fill has them",
    )


# Set in the middle

JUMPS = ("-40d", "+40d", "-2h", "+2h", "-20y", "+20y")


def libfaketime() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed (Debian's package faketime)")
    return found[0]


@pytest.mark.parametrize("number", campaign.rounds(fast=1, full=8))
def test_a_clock_that_is_set_in_the_middle_of_a_fill_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: SimulatedArchive, number: int
) -> None:
    """The fill ends well, with each day once; MLflow has each run once, none with an end before its start."""
    jump = JUMPS[number % len(JUMPS)]
    clock = tmp_path.with_name(f"{tmp_path.name}-clock")
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(libfaketime()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = champion_command("fill", *RANGE) if number % 4 < 3 else luigi_command("FillBhavcopy", *RANGE)
    log = tmp_path.with_name(f"{tmp_path.name}-log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        enough = 1 + number % 3
        wait_for(lambda: len(list((tmp_path / "raw").glob("*/*.json"))) >= enough, "the fill to be in its middle")
        clock.write_text(jump)
        assert process.wait(120) == 0, f"round {number}, {jump}\n{log.read_text()}"
    finally:
        process.kill()
        process.wait()
    assert {each.path for each in archive.requests} == {archive_path("legacy", day) for day in DAYS}
    assert len(archive.requests) == len(DAYS)
    for day in DAYS:
        expected = {(*key, row[3]) for key, row in published(payload(day, "legacy"), "legacy").items()}
        in_lake, _ = lake.read_parquet(lake.partition(tmp_path / "lake", day, EQUITY), EQUITY)
        assert set(in_lake.select("symbol", "series", "close").iter_rows()) == expected, f"round {number}, {jump}"
    assert len(rows_of(tmp_path, DAYS[-1])) == len(expected)

    records = list(journal.read(tmp_path / "journal"))
    durations = [each["seconds"] for each in records if each["event"] == "processing_time"]
    assert len(durations) == 5 * len(DAYS)
    assert all(0 <= each < 60 for each in durations), f"round {number}, {jump}: {durations}"

    book = runs.Runs()
    for place, record in journal.read_from(tmp_path / "journal", {}):
        book.add(place, record)
    ended = [(flow, flow.end) for flow in book.tell(book.open_executions()) if flow.end is not None]
    assert len(ended) == len(DAYS) + 1
    for flow, end in ended:
        assert flow.status == "FINISHED", f"round {number}, {jump}: {flow}"
        assert flow.start <= end, f"round {number}, {jump}: {flow}"
    if campaign.IS_WHOLE:
        monkeypatch.setenv("CHAMPION_TRACKING", "on")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(tmp_path / "mlflow" / "mlflow.db"))
        assert carry() == len(DAYS) + 1
        found = {each.info.run_name: (each.info.start_time, each.info.end_time, each.info.status) for each in told()}
        assert found == {flow.name: (flow.start, end, flow.status) for flow, end in ended}, f"round {number}, {jump}"
    campaign.tell(
        AREA,
        f"the clock set by {jump} (days, hours or years) in the middle of a fill (libfaketime)",
        "the fill ends well, each file asked for once, rows as published; task durations are real ones, and MLflow has "
        "each run once, finished, none with an end before its start",
    )


# Time zones


@pytest.mark.parametrize("number", campaign.rounds(fast=2, full=len(ZONES)))
def test_the_latest_session_is_the_same_in_every_time_zone(tmp_path: Path, number: int) -> None:
    """Default dates are by India's time on hosts of any zone, around midnights, publication and clock changes."""
    zone = ZONES[number]
    moments = [f"{moment}+05:30" for moment in MOMENTS]
    done = run([sys.executable, "-c", DEFAULTS, *moments], TZ=zone, NSE_ARCHIVE_URL="simulated:")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    expected = [[start, latest, latest, latest] for latest, start in MOMENTS.values()]
    assert dict(zip(moments, answer["found"], strict=True)) == dict(zip(moments, expected, strict=True)), zone
    times = [line.split(" eval ")[0] for line in answer["cron"].splitlines() if " eval " in line]
    assert ["CRON_TZ=UTC" in answer["cron"], *times] == [True, "30 12 * * 1-5", "0 17 * * 1-5", "30 1 * * *"], zone
    campaign.tell(
        AREA,
        f"a host in the time zone {zone}, around midnight and publication time in India, and on the days when clocks "
        "change in New York",
        "`fill`, `status`, the default date and the schedule are right by India's time, to the second",
        count=len(MOMENTS),
    )
