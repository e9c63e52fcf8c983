"""What `champion schedule` prints: lines that cron runs and units that systemd takes, right in time zone and paths."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.base import locks
from champion_luigi.base.errors import SettingsError
from champion_luigi.commands.cli import main
from champion_luigi.commands.schedule import Job, crontab, here, systemd_units
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE

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
    lines = [line for line in text.split("\n") if re.match(r"[\d*]", line)]
    return [(line.split(maxsplit=5)[:5], line.split(maxsplit=5)[5]) for line in lines]


def variable(text: str) -> str:
    """The value of CHAMPION, as cron reads a variable: to the end of the line, % and quotes within it included."""
    [value] = [line.removeprefix("CHAMPION=") for line in text.split("\n") if line.startswith("CHAMPION=")]
    assert value == value.strip()
    return value


def commands(text: str) -> list[str]:
    """What the shell runs for each line."""
    found = [re.fullmatch(r'eval "\$CHAMPION (.*)"', command) for _, command in entries(text)]
    assert all(found)
    return [f"{variable(text)} {each[1]}" for each in found if each]


def run_by_cron(text: str) -> subprocess.CompletedProcess[bytes]:
    """Run the first line as cron does: by sh, from another folder, with hardly an environment."""
    [(_, command), *_] = entries(text)
    assert "%" not in command
    environment = {"PATH": os.defpath, "CHAMPION": variable(text)}
    return subprocess.run(["/bin/sh", "-c", command], cwd="/", env=environment, check=False, timeout=30)


# As systemd.syntax(7) has them; \s is a blank.
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
ESCAPES |= {letter: letter for letter in "\\\"'"}


def words_of(value: str) -> list[str]:
    """The words of a systemd value: quotes and C's escapes as in systemd.syntax(7), then %% for a %."""
    words: list[str] = []
    quote = ""
    is_in_word = False
    letters = iter(value)
    for letter in letters:
        if not quote and letter == " ":
            is_in_word = False
            continue
        if not is_in_word:
            words.append("")
            is_in_word = True
        if letter == "\\":
            words[-1] += ESCAPES[next(letters)]
        elif letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        else:
            words[-1] += letter
    assert not quote, value
    return [without_doubles("%", word) for word in words]


def without_doubles(sign: str, text: str) -> str:
    """Each doubled sign as one: systemd replaces a single one by something else."""
    assert sign not in text.replace(2 * sign, ""), text
    return text.replace(2 * sign, sign)


def values_in(unit: str, name: str) -> list[str]:
    """The values of a setting in a unit; a backslash at a line's end joins the next one to it."""
    lines = unit.replace("\\\n", " ").split("\n")
    return [line.partition("=")[2].strip(" \t") for line in lines if line.startswith(f"{name}=")]


def started_by(unit: str) -> list[str]:
    """The program and the arguments that systemd starts, with variables replaced in the arguments."""
    [value] = values_in(unit, "ExecStart")
    program, *arguments = words_of(value)
    # systemd checks the program's path.
    assert not set(program) & set("\\\"'"), program
    return [program, *(without_doubles("$", each) for each in arguments)]


# Texts of one line, with all that shells, cron and systemd give a meaning to.
OTHERS = st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters="\x7f")
LINES = st.text(st.sampled_from("\\%$\"' a"), max_size=8) | st.text(OTHERS, max_size=12)


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


def test_every_cron_line_has_a_folder_a_lock_and_a_log(tmp_path: Path) -> None:
    """Cron starts in the home folder, with hardly a PATH: lock and log are in the folder, as they always were."""
    for command in commands(crontab(job(tmp_path))):
        assert command == (
            f"cd {tmp_path} && flock -n .champion-fill.lock {tmp_path}/bin/champion fill >> champion.log 2>&1"
        )


@given(LINES, LINES, LINES)
def test_cron_and_the_shell_read_what_was_written(setting: str, folder: str, program: str) -> None:
    """Whatever a value holds, a backslash before a % too."""
    line = Job(Path(f"/{program}/champion"), Path(f"/{folder}"), {"DATA_DIR": setting})
    for command in commands(crontab(line)):
        cd, place, then, value, *rest = shlex.split(command)
        assert (cd, place, then, value) == ("cd", str(line.folder), "&&", f"DATA_DIR={setting}")
        assert rest == ["flock", "-n", ".champion-fill.lock", str(line.champion), "fill", ">>", "champion.log", "2>&1"]


def test_a_line_is_no_longer_than_cron_takes(tmp_path: Path) -> None:
    """Debian's cron takes 998 bytes. A longer one names the settings that luigi.cfg can have instead."""
    room = 998 - len(f"CHAMPION={variable(crontab(job(tmp_path, DATA_DIR='')))}") + len("''")
    longest = crontab(job(tmp_path, DATA_DIR="x" * room))
    assert max(map(len, longest.splitlines())) == 998
    for text in ("x" * (room + 1), "é" * (room // 2 + 1)):
        with pytest.raises(SettingsError, match=r"expected 998 bytes at most; found .*DATA_DIR.*luigi\.cfg in "):
            crontab(job(tmp_path, DATA_DIR=text, CHAMPION_LAKE_DIR="lake"))


def test_the_lines_of_the_runs_are_short(tmp_path: Path) -> None:
    """A person sees at a glance what runs when: folder, settings and program stand once, above them."""
    text = crontab(job(tmp_path / ("x" * 100), DATA_DIR="y" * 100))
    for fields, command in entries(text):
        assert len(" ".join([*fields, command])) <= 80
    assert text.count("y" * 100) == 1


@pytest.mark.parametrize("form", [crontab, systemd_units])
@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x00", "\x1b[31m", "\udcff"])
def test_a_value_that_is_not_one_line_is_refused(form: Callable[[Job], object], text: str, tmp_path: Path) -> None:
    """A line end would begin another line of the crontab or unit."""
    for each in (job(tmp_path, DATA_DIR=text), job(tmp_path / text)):
        with pytest.raises(SettingsError, match="cannot be part of a schedule"):
            form(each)


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_a_cron_line_runs_as_it_stands(tmp_path: Path) -> None:
    """By sh, from another folder, with an empty environment, and with awkward names everywhere."""
    folder = tmp_path / AWKWARD
    command = folder / "bin" / "champion"
    command.parent.mkdir(parents=True)
    command.write_text(REPORTER)
    command.chmod(0o755)
    assert run_by_cron(crontab(job(folder, DATA_DIR=str(folder / "data")))).returncode == 0
    assert (folder / "champion.log").read_text().splitlines() == [
        "arguments: fill",
        f"folder: {folder}",
        f"data: {folder / 'data'}",
    ]


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")
def test_a_cron_line_does_nothing_while_the_last_run_lasts(tmp_path: Path) -> None:
    """The lock is the one that the line names."""
    text = crontab(Job(Path("/bin/echo"), tmp_path, {}))
    with locks.locked(tmp_path / ".champion-fill.lock", "the fill", 0):
        ended = run_by_cron(text)
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
    assert "SuccessExitStatus=15 20" in systemd_units(job(tmp_path))["champion-fill.service"]


def test_the_service_has_absolute_paths_and_the_settings(tmp_path: Path) -> None:
    """A percent sign, which systemd would expand, is doubled."""
    service = systemd_units(job(tmp_path, CHAMPION_LAKE_DIR="/lake/50%"))["champion-fill.service"]
    assert f"WorkingDirectory={tmp_path}" in service
    assert f"{tmp_path}/bin/champion" in service
    assert 'Environment="CHAMPION_LAKE_DIR=/lake/50%%"' in service


@given(LINES, LINES, LINES)
def test_systemd_reads_what_was_written(setting: str, folder: str, program: str) -> None:
    """Whatever a value holds: %, $, quotes, and backslashes at any place."""
    written = Job(Path(f"/{program}/champion"), Path(f"/{folder}"), {"DATA_DIR": setting})
    service = systemd_units(written)["champion-fill.service"]
    [environment] = values_in(service, "Environment")
    assert words_of(environment) == [f"DATA_DIR={setting}"]
    [place] = values_in(service, "WorkingDirectory")
    assert Path(without_doubles("%", place)) == written.folder
    command = started_by(service)
    if command[:2] == ["/bin/sh", "-c"]:
        # The shell's $0 is the next argument.
        assert command[2:] == ['exec "$0" fill', str(written.champion)]
    else:
        assert command == [str(written.champion), "fill"]


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(
    ("programs", "data"),
    [("bin", "data"), ("50% mine", AWKWARD), ("o'brien", "ends with \\"), ('a "b" \\c', "$HOME"), ("$x", " blank ")],
)
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


# Data sets

# Published late in the evening, as if it were the second one of the catalog.
LATE = replace(INDEX_CLOSE, requested_at=(time(20, 30), time(7, 0)))


def test_each_data_set_is_filled_at_its_own_times(tmp_path: Path) -> None:
    """Those of one time in one command; without the option, the lines are those for the first data set."""
    lines = entries(crontab(job(tmp_path), [EQUITY, LATE]))
    at = [(" ".join(fields), command.partition("CHAMPION fill")[2].partition(" >>")[0]) for fields, command in lines]
    assert at == [
        ("30 12 * * 1-5", ""),
        ("0 15 * * 1-5", " --dataset index_close"),
        ("0 17 * * 1-5", ""),
        ("30 1 * * *", " --dataset equity,index_close"),
    ]
    assert crontab(job(tmp_path)) == crontab(job(tmp_path), [EQUITY])
    assert crontab(job(tmp_path)).count("--dataset") == 0


def test_data_sets_that_are_filled_together_share_a_timer(tmp_path: Path) -> None:
    """The others have units of their own, named after their first time."""
    units = systemd_units(job(tmp_path), [EQUITY, LATE])
    assert list(units) == [
        f"champion-fill{at}.{kind}" for at in ("", "-2030", "-0700") for kind in ("service", "timer")
    ]
    for name, arguments, times in (
        ("champion-fill", "fill", ["Mon..Fri 18:00", "Mon..Fri 22:30"]),
        ("champion-fill-2030", "fill --dataset index_close", ["Mon..Fri 20:30"]),
        ("champion-fill-0700", "fill --dataset equity,index_close", ["*-*-* 07:00"]),
    ):
        assert f"ExecStart={tmp_path}/bin/champion {arguments}\n" in units[f"{name}.service"]
        calendars = [line for line in units[f"{name}.timer"].splitlines() if line.startswith("OnCalendar=")]
        assert calendars == [f"OnCalendar={each} Asia/Kolkata" for each in times]
    assert systemd_units(job(tmp_path)) == systemd_units(job(tmp_path), [EQUITY])


def test_the_command_takes_data_sets(tmp_path: Path) -> None:
    """By name, or all."""
    result = CliRunner().invoke(main, ["schedule", "--cron", "--dataset", "all"])
    assert result.exit_code == 0
    assert f"fill --dataset {','.join(catalog.NAMES)} >>" in result.stdout
