"""What `champion schedule` prints: lines that cron runs and units that systemd takes, right in time zone and paths."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from champion_luigi.base import locks
from champion_luigi.commands.cli import main
from champion_luigi.commands.schedule import Job, crontab, here, systemd_units

INDIA = ZoneInfo("Asia/Kolkata")
AWKWARD = "50% of 'my' data"

# Stands in for the `champion` command: it tells what it was given.
REPORTER = """#!/bin/sh
echo "arguments: $*"
echo "folder: $(pwd)"
echo "data: $DATA_DIR"
"""


def job(folder: Path, **environment: str) -> Job:
    return Job(folder / "bin" / "champion", folder, environment)


def entries(text: str) -> list[tuple[list[str], str]]:
    """The five fields of time and the command of each line that cron would run."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#") and "=" not in line.split()[0]]
    return [(line.split(maxsplit=5)[:5], line.split(maxsplit=5)[5]) for line in lines]


def as_cron_runs_it(command: str) -> str:
    """What cron hands to the shell: an unescaped percent sign would end the command."""
    assert re.search(r"(?<!\\)%", command) is None
    return command.replace(r"\%", "%")


def timer_lines(text: str) -> list[str]:
    return [line.removeprefix("OnCalendar=") for line in text.splitlines() if line.startswith("OnCalendar=")]


# cron


def test_cron_fills_in_the_evening_late_in_the_evening_and_next_morning(tmp_path: Path) -> None:
    """18:00, 22:30 and 07:00 in India, said in UTC: a machine's own zone does not matter."""
    text = crontab(job(tmp_path))
    assert [fields for fields, _ in entries(text)] == [
        ["30", "12", "*", "*", "1-5"],
        ["0", "17", "*", "*", "1-5"],
        ["30", "1", "*", "*", "*"],
    ]
    assert text.index("CRON_TZ=UTC") < text.index("30 12")


def test_crons_first_run_is_at_18_in_india_all_year(tmp_path: Path) -> None:
    """India has no daylight saving time."""
    (minute, hour, *_), _ = entries(crontab(job(tmp_path)))[0]
    for day in (date(2024, 1, 15), date(2024, 7, 15)):
        run = datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=ZoneInfo("UTC"))
        assert run.astimezone(INDIA).strftime("%H:%M") == "18:00"


def test_every_cron_line_has_absolute_paths_a_lock_and_a_log(tmp_path: Path) -> None:
    """Cron starts in the home folder, with hardly a PATH."""
    for _, command in entries(crontab(job(tmp_path))):
        assert command.startswith(f"cd {tmp_path} && ")
        assert f"flock -n {tmp_path}/.champion-fill.lock {tmp_path}/bin/champion fill" in command
        assert command.endswith(f">> {tmp_path}/champion.log 2>&1")


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_a_cron_line_runs_as_it_stands(tmp_path: Path) -> None:
    """By sh, from another folder, with an empty environment, and with awkward names everywhere."""
    folder = tmp_path / AWKWARD
    command = folder / "bin" / "champion"
    command.parent.mkdir(parents=True)
    command.write_text(REPORTER)
    command.chmod(0o755)
    _, line = entries(crontab(job(folder, DATA_DIR=str(folder / "data"))))[0]
    subprocess.run(["/bin/sh", "-c", as_cron_runs_it(line)], cwd="/", env={"PATH": os.defpath}, check=True, timeout=30)
    assert (folder / "champion.log").read_text().splitlines() == [
        "arguments: fill",
        f"folder: {folder}",
        f"data: {folder / 'data'}",
    ]


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_a_cron_line_does_nothing_while_the_last_run_lasts(tmp_path: Path) -> None:
    """The lock is the one that the line names."""
    _, line = entries(crontab(Job(Path("/bin/echo"), tmp_path, {})))[0]
    with locks.locked(tmp_path / ".champion-fill.lock", "the fill", 0):
        ended = subprocess.run(["/bin/sh", "-c", as_cron_runs_it(line)], check=False, timeout=30)
    assert ended.returncode != 0
    assert (tmp_path / "champion.log").read_text() == ""


# systemd


def test_systemd_fills_at_the_same_times_in_indian_time(tmp_path: Path) -> None:
    """And makes up for a run that was missed while the machine was off."""
    timer = systemd_units(job(tmp_path))["champion-fill.timer"]
    assert timer_lines(timer) == [
        "Mon..Fri 18:00 Asia/Kolkata",
        "Mon..Fri 22:30 Asia/Kolkata",
        "*-*-* 07:00 Asia/Kolkata",
    ]
    assert "Persistent=true" in timer


def test_the_service_takes_a_day_that_is_not_published_yet_for_a_success(tmp_path: Path) -> None:
    """Exit code 20 on an early evening must not wake anybody."""
    assert "SuccessExitStatus=20" in systemd_units(job(tmp_path))["champion-fill.service"]


def test_the_service_has_absolute_paths_and_the_settings(tmp_path: Path) -> None:
    """A percent sign, which systemd would expand, is doubled."""
    service = systemd_units(job(tmp_path, CHAMPION_LAKE_DIR="/lake/50%"))["champion-fill.service"]
    assert f"WorkingDirectory={tmp_path}" in service
    assert f"{tmp_path}/bin/champion" in service
    assert 'Environment="CHAMPION_LAKE_DIR=/lake/50%%"' in service


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(("programs", "data"), [("bin", "data"), ("50% mine", AWKWARD)])
def test_systemd_takes_the_units(tmp_path: Path, programs: str, data: str) -> None:
    """`systemd-analyze verify` has nothing to say about them."""
    folder = tmp_path / data
    command = tmp_path / programs / "champion"
    folder.mkdir()
    command.parent.mkdir()
    command.write_text(REPORTER)
    command.chmod(0o755)
    units = tmp_path / "units"
    units.mkdir()
    for unit, text in systemd_units(Job(command, folder, {"DATA_DIR": str(folder)})).items():
        (units / unit).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", *sorted(map(str, units.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ours = [line for line in verified.stderr.splitlines() if "champion" in line]
    assert (verified.returncode, ours) == (0, [])


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_times(tmp_path: Path) -> None:
    """18:00 in India is 12:30 UTC, on weekdays."""
    [first, *_] = timer_lines(systemd_units(job(tmp_path))["champion-fill.timer"])
    shown = subprocess.run(
        ["systemd-analyze", "calendar", "--base-time", "2024-07-12 12:31 UTC", first],
        env={**os.environ, "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "2024-07-15 12:30:00 UTC" in shown.stdout


# The command


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["schedule", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_prints_what_cron_needs() -> None:
    """For this installation, and nothing else on the output: it can be piped into crontab."""
    assert shown("--cron") == crontab(here())


def test_the_command_prints_both_units() -> None:
    """Each under its name."""
    output = shown("--systemd")
    for name, text in systemd_units(here()).items():
        assert f"# {name}\n{text}" in output


def test_the_command_writes_both_units(tmp_path: Path) -> None:
    """Where it is told to."""
    shown("--systemd", "--write", str(tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == systemd_units(here())


def test_the_command_wants_to_know_which() -> None:
    """It does not guess."""
    result = CliRunner().invoke(main, ["schedule"])
    assert result.exit_code != 0
    assert "--cron" in result.output


def test_the_job_is_this_installation_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command beside this Python, run where `champion schedule` is."""
    monkeypatch.chdir(tmp_path)
    found = here()
    assert found.folder == tmp_path
    assert found.champion == Path(sys.executable).with_name("champion")
    assert found.champion.is_absolute()


def test_the_settings_that_the_environment_has_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cron and systemd have none of the user's environment."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "clickhouse.example")
    monkeypatch.setenv("UNRELATED", "value")
    assert "CLICKHOUSE_HOST=clickhouse.example" in shown("--cron")
    assert 'Environment="CLICKHOUSE_HOST=clickhouse.example"' in shown("--systemd")
    assert "UNRELATED" not in shown("--cron")


def test_a_relative_data_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to where the user is now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", "my/data")
    assert here().environment["DATA_DIR"] == str(tmp_path / "my" / "data")


def test_the_first_run_asks_for_the_day_as_soon_as_it_can_be_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 18:00; a user's own hour stands."""
    assert here().environment["CHAMPION_PUBLISHED_AT"] == "18:00"
    monkeypatch.setenv("CHAMPION_PUBLISHED_AT", "19:30")
    assert here().environment["CHAMPION_PUBLISHED_AT"] == "19:30"


@pytest.mark.parametrize("form", ["--cron", "--systemd"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("CLICKHOUSE_PASSWORD", "planted"), ("NSE_ARCHIVE_URL", "https://me:planted@mirror.example/nse")],
)
def test_a_password_is_never_printed(monkeypatch: pytest.MonkeyPatch, form: str, name: str, value: str) -> None:
    """A crontab and a unit are readable by others; the one in an address is a password too."""
    monkeypatch.setenv(name, value)
    assert "planted" not in shown(form)
