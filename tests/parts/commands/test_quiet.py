"""What a command prints in a pipe or under cron: its plan, its progress, each problem once, its result last."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from helpers import BOTH_DAY, retry_at_once, run_champion, run_luigi

from champion_luigi.pipeline import chunks, day_task
from champion_luigi.pipeline.tasks import WriteParquet

DAYS = [date(2024, 1, day) for day in (1, 2, 3, 4, 5)]
WEEK = ("--start", "2024-01-01", "--end", "2024-01-05")
PLAN = "5 days of equity to do, from 2024-01-01 to 2024-01-05; the last task is LoadClickHouse"


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    retry_at_once(monkeypatch)
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")


@pytest.mark.integration
def test_a_days_command_prints_a_line_for_each_task_and_its_result_last() -> None:
    """A second one says that the day is complete."""
    arguments = ("LoadClickHouse", "--date", str(BOTH_DAY))
    done = run_luigi(*arguments)
    tasks = ["ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse"]
    assert [line.split()[:3] for line in done.stderr.splitlines()] == [
        ["INFO:", task, f"{BOTH_DAY}:"] for task in tasks
    ]
    assert done.stderr.endswith(" rows in champion_market.normalized_equity_ohlc\n")
    assert run_luigi(*arguments).stderr == f"INFO: LoadClickHouse {BOTH_DAY}: complete already\n"


@pytest.mark.integration
@pytest.mark.parametrize("by", ["option", "file"])
def test_luigis_own_steps_are_shown_to_whoever_asks(by: str, tmp_path: Path) -> None:
    """By the command line or luigi.cfg: its summary, and each step of its scheduler."""
    level = ("--log-level", "INFO") if by == "option" else ()
    if by == "file":
        (tmp_path / "luigi.cfg").write_text("[core]\nlog_level = INFO\n")
    said = run_luigi("WriteParquet", "--date", str(BOTH_DAY), *level).stderr
    assert "Luigi Execution Summary" in said
    assert "Informed scheduler that task" in said


@pytest.mark.integration
def test_a_fill_prints_its_plan_and_its_result() -> None:
    """From either command, and neither summaries nor lists of parameters."""
    plan, result = run_champion("fill", *WEEK).stderr.splitlines()
    assert plan == f"INFO: FillBhavcopy: {PLAN}"
    assert result.startswith("5 of 5 days, ")
    plan, result = run_luigi("FillBhavcopy", *WEEK, "--dataset", "delivery").stderr.splitlines()
    assert plan == f"INFO: FillBhavcopy: {PLAN.replace('equity', 'delivery')}"
    assert result.startswith("INFO: FillBhavcopy: 5 of 5 days, ")


@pytest.mark.integration
@pytest.mark.parametrize("command", ["champion", "luigi"])
def test_a_problem_of_all_days_is_printed_once(command: str) -> None:
    """Without the chain of the driver's errors, and the result comes last."""
    nobody = {"CLICKHOUSE_HOST": "127.0.0.1", "CLICKHOUSE_PORT": "9"}
    run = run_champion if command == "champion" else run_luigi
    done = run("fill" if command == "champion" else "FillBhavcopy", *WEEK, **nobody)
    plan, problem, result = done.stderr.splitlines()
    assert plan == f"INFO: FillBhavcopy: {PLAN}"
    assert problem.startswith(
        "ERROR: 2024-01-01 to 2024-01-05 (5) failed: WarehouseUnreachable: ClickHouse did not answer; "
        "found ConnectionRefusedError (Connection refused) [127.0.0.1:9, database champion_market]. "
    )
    assert result.endswith(" 5 failed")
    assert done.returncode == 30


@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CHAMPION_MAX_REJECTED_SHARE", "5"),
        ("CHAMPION_LOAD_RETRY_SECONDS", "soon"),
        ("CLICKHOUSE_QUERY_SECONDS", "0"),
        ("NSE_ARCHIVE_URL", "/nowhere"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_a_fill_before_its_first_day(name: str, text: str, tmp_path: Path) -> None:
    """In one line, though only a later stage of each day would read it."""
    for done in (run_champion("fill", *WEEK, **{name: text}), run_luigi("FillBhavcopy", *WEEK, **{name: text})):
        [line] = done.stderr.splitlines()
        assert name in line
        assert done.returncode in (30, 35, 40)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_date_of_the_progress_only_moves_on(is_reversed: bool) -> None:
    """Two groups of days are under way at a time, and their tasks end in any order."""
    token = day_task.newest_first.set(is_reversed)
    try:
        progress = chunks.Progress(due=len(DAYS))
        count = chunks._Recorder(WriteParquet, progress, lambda _progress: None)
        seen = []
        for day in (DAYS[2], DAYS[0], DAYS[3], DAYS[1], DAYS[4]):
            task = WriteParquet(date=day)
            task.facts = {}
            count(task)
            seen.append(progress.current)
    finally:
        day_task.newest_first.reset(token)
    expected = [2, 0, 0, 0, 0] if is_reversed else [2, 2, 3, 3, 4]
    assert seen == [DAYS[each] for each in expected]
