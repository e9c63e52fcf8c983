"""`champion schedule`: cron lines or systemd units for a fill each evening, with paths, lock, log and time zone."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from champion_luigi.config.settings import SECTIONS, without_secrets

# India has no daylight saving time, so these hours are fixed in UTC.
RUNS = (
    ("evening, when the day's file is published", 18, 0, "1-5", "Mon..Fri"),
    ("late evening, in case it was late", 22, 30, "1-5", "Mon..Fri"),
    ("next morning, also after weekend sessions", 7, 0, "*", "*-*-*"),
)
_INDIA_MINUTES = 5 * 60 + 30


@dataclass(frozen=True)
class Job:
    """The job to run: the `champion` command, its working folder, and the settings that differ from the defaults."""

    champion: Path
    folder: Path
    environment: Mapping[str, str]


@click.command(name="schedule")
@click.option("--cron", "form", flag_value="cron", help="Lines for crontab -e.")
@click.option("--systemd", "form", flag_value="systemd", help="A service and a timer.")
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --systemd: write the units into this folder (/etc/systemd/system) instead of printing them.",
)
def command(form: str | None, write: Path | None) -> None:
    """Print the configuration that runs a fill each evening, for this installation, folder and environment."""
    if form is None:
        raise click.UsageError("give --cron or --systemd")
    job = here()
    if form == "cron":
        click.echo(crontab(job), nl=False)
        return
    for name, text in systemd_units(job).items():
        if write is None:
            click.echo(f"# {name}\n{text}")
        else:
            (write / name).write_text(text, encoding="utf-8")
            click.echo(f"wrote {write / name}")


def here() -> Job:
    """The job for this installation, this folder, and the settings in the environment.

    Passwords, and addresses that hold one, are left out: they belong in a separate file.
    """
    names = {parameter.env for section in SECTIONS for _, parameter in section.get_params()}
    given = {name: os.environ[name] for name in names if os.environ.get(name)}
    environment = {name: text for name, text in given.items() if without_secrets(text) == text}
    # The first run requests the day as soon as it can be published. If it is not, the fill exits with code 20.
    environment.setdefault("CHAMPION_PUBLISHED_AT", "18:00")
    if "DATA_DIR" in environment:
        environment["DATA_DIR"] = str(Path(environment["DATA_DIR"]).expanduser().absolute())
    return Job(Path(sys.executable).with_name("champion").absolute(), Path.cwd(), environment)


def crontab(job: Job) -> str:
    """Lines for ``crontab -e``, in UTC; the machine's cron must run in UTC or support CRON_TZ."""
    settings = " ".join(f"{name}={shlex.quote(text)}" for name, text in sorted(job.environment.items()))
    places = (job.folder, job.folder / ".champion-fill.lock", job.champion, job.folder / "champion.log")
    folder, lock, champion, log = (shlex.quote(str(place)) for place in places)
    line = f"cd {folder} && {settings + ' ' if settings else ''}flock -n {lock} {champion} fill >> {log} 2>&1"
    line = line.replace("%", r"\%")
    lines = [
        "# champion_luigi: fill the missing sessions of the last 100 days.",
        "# Times are UTC; India is 5:30 ahead. A cron without support for CRON_TZ needs a machine in UTC.",
        "# Passwords, and addresses that hold one, are left out: put them into luigi.cfg in this folder.",
        "CRON_TZ=UTC",
    ]
    for why, hour, minute, days, _ in RUNS:
        utc = (hour * 60 + minute - _INDIA_MINUTES) % (24 * 60)
        lines += [f"# {hour:02}:{minute:02} IST, {why}", f"{utc % 60} {utc // 60} * * {days} {line}"]
    return "\n".join(lines) + "\n"


def systemd_units(job: Job) -> dict[str, str]:
    """A service and its timer, by file name."""
    settings = "".join(f'Environment="{name}={_escaped(text)}"\n' for name, text in sorted(job.environment.items()))
    calendar = "".join(
        f"# {why}\nOnCalendar={days} {hour:02}:{minute:02} Asia/Kolkata\n" for why, hour, minute, _, days in RUNS
    )
    return {
        "champion-fill.service": f"""[Unit]
Description=NSE bhavcopy: fill the missing sessions
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={_escaped(str(job.folder))}
{settings}# For CLICKHOUSE_PASSWORD=... and addresses (NSE_ARCHIVE_URL=...) that hold a password; readable by root only.
EnvironmentFile=-/etc/champion_luigi.env
ExecStart={_escaped(shlex.quote(str(job.champion)))} fill
# 20: a day is not published yet; the next run requests it again.
SuccessExitStatus=20
TimeoutStartSec=2h
KillSignal=SIGTERM
""",
        "champion-fill.timer": f"""[Unit]
Description=NSE bhavcopy: evenings, and a catch-up in the morning, India time

[Timer]
{calendar}Persistent=true

[Install]
WantedBy=timers.target
""",
    }


def _escaped(text: str) -> str:
    return text.replace("%", "%%").replace('"', '\\"')
