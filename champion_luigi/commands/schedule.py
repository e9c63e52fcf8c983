"""`champion schedule`: cron lines or systemd units for a fill each evening, with paths, lock, log and time zone."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from pathlib import Path

import click

from champion_luigi.base.errors import SettingsError
from champion_luigi.commands import output
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset

# India has no daylight saving time, so hours of India are fixed in UTC.
_NOON = time(12, 0)
_DEFAULT = (catalog.DATASETS[catalog.DEFAULT],)
_INDIA_MINUTES = 5 * 60 + 30
# Debian's and Vixie cron take a variable's line of 999 bytes; cronie takes 131,071.
_LONGEST_COMMAND = 998
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Job:
    """The job to run: the `champion` command, its working folder, and the settings that differ from the defaults."""

    champion: Path
    folder: Path
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """The data sets to fill at a time of day, India time, and the reason for that time."""

    at: time
    why: str
    datasets: tuple[str, ...]

    @property
    def is_next_day(self) -> bool:
        """Whether it is the morning after a session."""
        return self.at < _NOON

    @property
    def arguments(self) -> str:
        """The arguments of `champion`."""
        return "fill" if self.datasets == (catalog.DEFAULT,) else f"fill --dataset {','.join(self.datasets)}"


@click.command(name="schedule")
@output.of_datasets()
@click.option("--cron", "form", flag_value="cron", help="Lines for crontab -e.")
@click.option("--systemd", "form", flag_value="systemd", help="A service and a timer.")
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --systemd: write the units into this folder (/etc/systemd/system) instead of printing them.",
)
def command(datasets: Sequence[Dataset], form: str | None, write: Path | None) -> None:
    """Print the configuration that runs a fill each evening, for this installation, folder and environment.

    Each data set is filled at the times that suit its publication.
    """
    if form is None:
        raise click.UsageError("give --cron or --systemd")
    files = schedule(form, [dataset.name for dataset in datasets])
    if form == "cron":
        click.echo(files["crontab"], nl=False)
        return
    for name, text in files.items():
        if write is None:
            click.echo(f"# {name}\n{text}")
        else:
            (write / name).write_text(text, encoding="utf-8")
            click.echo(f"wrote {write / name}")


def schedule(form: str, dataset: str | Iterable[str] = catalog.DEFAULT) -> dict[str, str]:
    """The configuration that runs a fill each evening, as `champion schedule` prints it, by file name.

        >>> from champion_luigi import schedule
        >>> print(schedule("cron")["crontab"])

    ``form`` is ``"cron"`` or ``"systemd"``. The configuration is for this installation, folder and environment, without
    passwords. Raises SettingsError, also for a value that neither a crontab nor a unit can hold.
    """
    datasets = catalog.datasets_of(dataset)
    if form == "cron":
        return {"crontab": crontab(here(), datasets)}
    if form == "systemd":
        return systemd_units(here(), datasets)
    raise SettingsError("there is no schedule of that form", expected="cron or systemd", found=str(form))


def here() -> Job:
    """The job for this installation, this folder, and the settings in the environment.

    Passwords, and addresses that hold one, are left out: they belong in a separate file.
    """
    from champion_luigi.config.settings import SECTIONS, data_dir, without_secrets

    names = {parameter.env for section in SECTIONS for _, parameter in section.get_params()}
    given = {name: os.environ[name] for name in names if os.environ.get(name)}
    environment = {name: text for name, text in given.items() if without_secrets(text) == text}
    # The first run requests the day as soon as it can be published. If it is not, the fill exits with code 20.
    environment.setdefault("CHAMPION_PUBLISHED_AT", "18:00")
    if "DATA_DIR" in environment:
        environment["DATA_DIR"] = str(data_dir().absolute())
    return Job(Path(sys.executable).with_name("champion").absolute(), Path.cwd(), environment)


def runs(datasets: Sequence[Dataset]) -> list[Run]:
    """The times at which any of the data sets is to be requested: evenings, then mornings."""
    found = []
    for at in sorted({at for each in datasets for at in each.requested_at}, key=lambda at: (at < _NOON, at)):
        those = [each for each in datasets if at in each.requested_at]
        if at < _NOON:
            why = "next morning, also after weekend sessions"
        elif any(at == each.requested_at[0] for each in those):
            why = "evening, when the day's file is published"
        else:
            why = "late evening, in case it was late"
        found.append(Run(at, why, tuple(each.name for each in those)))
    return found


def crontab(job: Job, datasets: Sequence[Dataset] = _DEFAULT) -> str:
    """Lines for ``crontab -e``, in UTC; the machine's cron must run in UTC or support CRON_TZ.

    Folder, settings and program stand once, in the variable CHAMPION, so that each run is a short line. Raises
    SettingsError if that line would be longer than cron takes, or hold a control character.
    """
    _require_one_line(job)
    settings = {name: f"{name}={shlex.quote(text)} " for name, text in sorted(job.environment.items())}
    prefix = (
        f"CHAMPION=cd {shlex.quote(str(job.folder))} && {''.join(settings.values())}"
        f"flock -n .champion-fill.lock {shlex.quote(str(job.champion))}"
    )
    if (size := len(prefix.encode())) > _LONGEST_COMMAND:
        longest = sorted(settings, key=lambda name: len(settings[name]), reverse=True)
        raise SettingsError(
            "a line of the crontab would be too long: some versions of cron cut it off",
            expected=f"{_LONGEST_COMMAND} bytes at most",
            found=f"{size} bytes; the longest settings are {', '.join(longest[:3])}",
            todo=f"Put these into luigi.cfg in {job.folder} instead of the environment, or use --systemd.",
        )
    lines = [
        "# champion_luigi: fill the missing sessions of the last 100 days.",
        "# Times are UTC; India is 5:30 ahead. A cron without support for CRON_TZ needs a machine in UTC.",
        "# Passwords, and addresses that hold one, are left out: put them into luigi.cfg in this folder.",
        "CRON_TZ=UTC",
        "# The folder, the settings, a lock against two runs at once, and the program.",
        prefix,
    ]
    for run in runs(datasets):
        utc = (run.at.hour * 60 + run.at.minute - _INDIA_MINUTES) % (24 * 60)
        days = "*" if run.is_next_day else "1-5"
        command = f'eval "$CHAMPION {run.arguments} >> champion.log 2>&1"'
        lines += [f"# {run.at:%H:%M} IST, {run.why}", f"{utc % 60} {utc // 60} * * {days} {command}"]
    return "\n".join(lines) + "\n"


def systemd_units(job: Job, datasets: Sequence[Dataset] = _DEFAULT) -> dict[str, str]:
    """A service and its timer for each group of data sets that are filled together, by file name.

    Raises SettingsError if a value has a control character.
    """
    _require_one_line(job)
    settings = "".join(f"Environment={_quoted(f'{name}={text}')}\n" for name, text in sorted(job.environment.items()))
    groups: dict[str, list[Run]] = {}
    for run in runs(datasets):
        groups.setdefault(run.arguments, []).append(run)
    units: dict[str, str] = {}
    for arguments, group in groups.items():
        name = f"champion-fill-{group[0].at:%H%M}" if units else "champion-fill"
        units |= _units(name, job, arguments, settings, group)
    return units


def _units(name: str, job: Job, arguments: str, settings: str, group: Sequence[Run]) -> dict[str, str]:
    calendar = "".join(
        f"# {run.why}\nOnCalendar={'*-*-*' if run.is_next_day else 'Mon..Fri'} {run.at:%H:%M} Asia/Kolkata\n"
        for run in group
    )
    return {
        f"{name}.service": f"""[Unit]
Description=NSE bhavcopy: fill the missing sessions
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={_as_folder(job.folder)}
{settings}# For CLICKHOUSE_PASSWORD=... and addresses (NSE_ARCHIVE_URL=...) that hold a password; readable by root only.
EnvironmentFile=-/etc/champion_luigi.env
ExecStart={_started(str(job.champion), arguments)}
# 20: a day is not published yet; the next run requests it again.
SuccessExitStatus=15 20
TimeoutStartSec=2h
KillSignal=SIGTERM
# The process that carries metrics to MLflow may go on for some seconds after the fill.
KillMode=process
""",
        f"{name}.timer": f"""[Unit]
Description=NSE bhavcopy: evenings, and a catch-up in the morning, India time

[Timer]
{calendar}Persistent=true

[Install]
WantedBy=timers.target
""",
    }


def _require_one_line(job: Job) -> None:
    """Raise SettingsError for a value that neither a crontab nor a unit can hold."""
    paths = {"the current folder": str(job.folder), "the path of `champion`": str(job.champion)}
    for name, text in {**paths, **job.environment}.items():
        if _CONTROL.search(text):
            raise SettingsError(
                f"{name} cannot be part of a schedule",
                expected="text without line ends and control characters, in UTF-8",
                found=ascii(text),
            )


def _quoted(text: str) -> str:
    """A value in systemd's double quotes, within which it reads C's escapes and its own specifiers (%)."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    return f'"{escaped}"'


def _as_folder(folder: Path) -> str:
    """A folder as the value of WorkingDirectory=, where systemd reads specifiers, but neither quotes nor escapes."""
    text = str(folder).replace("%", "%%")
    # A backslash at the end of a line would join the next one to it, and a blank would be removed.
    return f"{text}/" if text[-1] in "\\ " else text


def _started(program: str, arguments: str) -> str:
    """The command line of ExecStart=. Systemd refuses a program whose path has quotes or backslashes."""
    if set(program) & set("'\"\\$"):
        argument = _quoted(program).replace("$", "$$")
        return f"""/bin/sh -c 'exec "$$0" {arguments}' {argument}"""
    return f"{program.replace('%', '%%') if shlex.quote(program) == program else _quoted(program)} {arguments}"
