"""What `champion status` says of a data directory, and what it tells a monitor by its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from helpers import build, payload, published, run_champion
from simulated_server import Fault, SimulatedArchive

from champion_luigi.config import wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import answers
from champion_luigi.pipeline.tasks import LoadClickHouse, WriteParquet
from champion_luigi.tracking import journal, record
from champion_luigi.warehouse import opened

pytestmark = pytest.mark.integration

# Five sessions of a week without a holiday.
WEEK = [date(2023, 6, day) for day in (12, 13, 14, 15, 16)]
SPAN = ("--start", "2023-06-12", "--end", "2023-06-18")


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "0")
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running
    opened.close_shared()


def load(*days: date) -> None:
    for day in days:
        assert build(LoadClickHouse(date=day)).is_done
    opened.close_shared()


def status(*arguments: str) -> tuple[int, str]:
    """The exit code of `champion status`, and what it prints."""
    program = Path(sys.executable).with_name("champion")
    done = subprocess.run([program, "status", *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def document(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(status(*arguments, "--json")[1])
    return found


def test_all_loaded_exits_0(tmp_path: Path) -> None:
    """With the rows that the warehouse holds, by a count of the published ones."""
    load(*WEEK)
    code, output = status(*SPAN)
    assert code == 0
    rows = sum(len(published(payload(day, "legacy"), "legacy")) for day in WEEK)
    assert f"5 of 5 sessions loaded, {rows:,} rows" in output
    assert "up to date" in output
    # But for the folder, which may have any name.
    assert max(map(len, output.replace(str(tmp_path), "").splitlines())) <= 80


def test_each_kind_of_day_is_told_apart(archive: SimulatedArchive) -> None:
    """Loaded, in the lake only, failed with its reason, absent by the archive's answer, and missing."""
    load(WEEK[0])
    build(WriteParquet(date=WEEK[1]))
    archive.faults[WEEK[2]] = Fault("html")
    build(LoadClickHouse(date=WEEK[2]))
    answers.record(wiring.files(EQUITY).answers, [answers.given(WEEK[3], "absent", wiring.archive_name(), "x")])
    code, output = status(*SPAN)
    assert code == 30
    assert "1 of 5 sessions loaded" in output
    assert f"absent {WEEK[3]}: regular session; no file on " in output
    assert "champion fill --start 2023-06-12 --recheck-absent" in output
    found = document(*SPAN)
    assert (found["due"], found["loaded"]) == (5, 1)
    assert [each["date"] for each in found["lake_only"]] == [str(WEEK[1])]
    [failed] = found["failed"]
    assert failed["date"] == str(WEEK[2])
    assert "HTML page" in failed["reason"]
    assert [(each["date"], each["lost"]) for each in found["absent"]] == [(str(WEEK[3]), False)]
    assert found["missing"] == [str(WEEK[4])]
    assert (found["latest_loaded"], found["sessions_late"]) == (str(WEEK[0]), 4)


def test_absent_days_alone_exit_15() -> None:
    """Everything that the archive has is loaded, and a monitor can tell that from a full range."""
    load(*WEEK[1:])
    answers.record(wiring.files(EQUITY).answers, [answers.given(WEEK[0], "absent", wiring.archive_name(), "x")])
    assert status(*SPAN)[0] == 15
    assert status("--start", str(WEEK[1]), "--end", str(WEEK[4]))[0] == 0
    # Without a range, it begins with the absent day.
    assert document()["start"] == str(WEEK[0])


def test_a_session_whose_file_is_lost_alarms_nobody() -> None:
    """It is named, and no archive that is known will ever have it."""
    lost = date(1995, 9, 4)
    answers.record(wiring.files(EQUITY).answers, [answers.given(lost, "absent", wiring.archive_name(), "x")])
    code, output = status("--start", str(lost), "--end", str(lost))
    assert code == 0
    assert f"absent {lost}: a session whose file no known archive has" in output


def test_missing_days_exit_20() -> None:
    """They did not fail: nobody has asked for them."""
    load(WEEK[0])
    code, output = status(*SPAN)
    assert code == 20
    assert "missing 4" in output
    assert f"missing {WEEK[1]} to {WEEK[4]} (4)\n" in output
    assert "champion fill --start 2023-06-12" in output


def test_missing_days_are_spans_in_lines_of_a_terminal() -> None:
    """Of hundreds of days as of one: sessions in a row are one span, whatever holidays lie between."""
    load(WEEK[0], WEEK[2])
    _, output = status("--start", "2023-06-12", "--end", "2024-06-11")
    assert f"missing {WEEK[1]}, {WEEK[3]} to 2024-06-11 (" in output
    assert all(len(line) <= 80 for line in output.splitlines() if "/" not in line)


def test_behind_counts_to_the_end_of_the_range() -> None:
    """Whatever was published since."""
    load(WEEK[0])
    _, output = status(*SPAN)
    assert f"latest loaded  {WEEK[0]}, 4 behind {WEEK[4]}\n" in output
    assert document(*SPAN)["latest_due"] == str(WEEK[4])


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (("--start", "2023-06-16", "--end", "2023-06-12"), "", "--start 2023-06-16 is after --end 2023-06-12"),
        (("--start", "2999-01-01"), "", "--start 2999-01-01 is after the latest session that should be published"),
        (("--end", "2019-12-31"), "2020-01-01", "CHAMPION_FIRST_DATE 2020-01-01 is after --end 2019-12-31"),
    ],
)
def test_a_range_that_ends_before_it_begins_is_refused(
    arguments: tuple[str, ...], environment: str, words: str
) -> None:
    """Whichever of its ends is not given."""
    for command in ("status", "report"):
        done = run_champion(command, *arguments, CHAMPION_FIRST_DATE=environment)
        assert done.returncode in (2, 40)
        assert words in done.stderr
        assert done.stdout == ""


def test_a_user_says_once_where_the_data_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An older day that was once fetched is outside then; status, fill and report agree on the range."""
    load(WEEK[0], WEEK[3], WEEK[4])
    assert "2023-06-12 to 2023-06-18: 3 of 5 sessions loaded" in status("--end", "2023-06-18")[1]
    monkeypatch.setenv("CHAMPION_FIRST_DATE", str(WEEK[3]))
    code, output = status("--end", "2023-06-18")
    assert output.startswith(f"{WEEK[3]} to 2023-06-18: 2 of 2 sessions loaded")
    assert "up to date" in output
    assert code == 0
    assert run_champion("fill", "--end", "2023-06-18").stderr == "Nothing is missing.\n"
    report = run_champion("report", "--end", "2023-06-18", "--output", str(tmp_path / "page.html"))
    assert f"{WEEK[3]} to 2023-06-18, 2 of 2 sessions loaded" in report.stdout
    # An explicit range is as it is given.
    assert "3 of 5 sessions" in status(*SPAN)[1]
    monkeypatch.setenv("CHAMPION_FIRST_DATE", "1990-01-01")
    assert document("--end", "1994-11-04", "--dataset", "equity")["start"] == "1994-11-03"


def test_a_day_that_failed_and_was_completed_is_loaded(archive: SimulatedArchive) -> None:
    """Its old failure stays in the journal, and is no news."""
    archive.faults[WEEK[0]] = Fault("html")
    build(LoadClickHouse(date=WEEK[0]))
    archive.faults.clear()
    load(*WEEK)
    assert status(*SPAN)[0] == 0
    assert document(*SPAN)["failed"] == []


def test_the_range_begins_with_the_first_day_in_the_lake() -> None:
    """Without --start; and it ends with the latest session that should be published."""
    load(WEEK[1])
    found = document()
    assert found["start"] == str(WEEK[1])
    assert found["end"] == found["latest_due"]
    assert found["sessions_late"] == found["due"] - 1


def test_another_warehouse_has_nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the lake is due for it."""
    load(*WEEK)
    monkeypatch.setenv("CLICKHOUSE_DATABASE", "elsewhere")
    found = document(*SPAN)
    assert (found["loaded"], len(found["lake_only"]), found["rows"]) == (0, 5, 0)


def test_a_damaged_journal_is_no_obstacle() -> None:
    """Lines that are no records, or records of another version, are passed over."""
    load(*WEEK[:4])
    journal = record.journal_folder() / "2023-01.jsonl"
    lines = [
        '{"event": "failure"',
        '{"event": "failure", "date": "some day"}',
        '{"event": "settled", "date": "2023-06-16"}',
    ]
    journal.write_text("\n".join([*lines, ""]))
    assert document(*SPAN)["missing"] == [str(WEEK[4])]


def test_unsent_records_are_counted() -> None:
    """Here all of them, as no carrier runs."""
    load(WEEK[0])
    found = document(*SPAN)
    assert found["unsent_records"] == journal.count_undelivered(record.journal_folder()) > 10


def test_no_secret_is_told(archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the archive's password nor MLflow's."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url.replace("//", "//reader:planted-4711@"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://reader:planted-4711@127.0.0.1:1")
    for arguments in (SPAN, (*SPAN, "--json")):
        assert "planted-4711" not in status(*arguments)[1]
