"""The `champion` command: what people need around the pipeline. Each command imports what it needs when it runs."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import click

_DAY = click.DateTime(["%Y-%m-%d"])
# As Luigi's [retcode] has them.
_FAILED = 30
_UNHANDLED = 40


# Commands for which it does not matter what DATA_DIR is like; `doctor` has a line about it.
_WITHOUT_DATA = ("demo", "doctor", "schedule")

# Commands in modules of their own, each with its `command`.
_ELSEWHERE = {
    "clean": "clean",
    "doctor": "doctor.command",
    "redo": "redo",
    "refresh": "refresh",
    "report": "report.command",
    "sql": "sql.command",
    "status": "status",
    "verify": "verify",
}


class _Commands(click.Group):
    """Imports a command when it is asked for, and tells our errors as the sentences that they are."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"champion_luigi.commands.{_ELSEWHERE[cmd_name]}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        from champion_luigi.base import durable, signals
        from champion_luigi.base.errors import ChampionError
        from champion_luigi.storage import version

        sys.excepthook = _tell_crash
        name, *arguments = ctx.meta[__name__]
        try:
            with signals.heeded(), durable.explained():
                if name not in _WITHOUT_DATA and not {"-h", "--help"} & set(arguments):
                    version.require()
                return super().invoke(ctx)
        except ChampionError as error:
            click.echo(f"champion {name}: {error}", err=True)
            sys.exit(_UNHANDLED)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            click.echo(f"champion {name}: the output could not be written: {error.strerror}", err=True)
            # Or else what is left of it would be tried again at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_UNHANDLED)


def _tell_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Python's traceback of what nobody expected, without a secret: errors quote what they found."""
    from champion_luigi.config import settings

    sys.stderr.write(settings.without_secrets("".join(traceback.format_exception(kind, error, trace))))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="champion_luigi", prog_name="champion")
def main() -> None:
    """NSE end-of-day prices, every trading day: what people need around the Luigi pipeline."""


@main.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the demo's outputs; your own data stays apart.",
)
def demo(data_dir: Path) -> None:
    """Run the pipeline for a few simulated days and show what it made."""
    from champion_luigi.base.errors import ChampionError
    from champion_luigi.commands import demo as demonstration

    try:
        demonstration.run(data_dir)
    except ChampionError as error:
        click.echo(f"champion demo: {error}", err=True)
        sys.exit(_FAILED)


@main.command()
@click.option("--start", type=_DAY, help="First date. Default: --days-back days before today.")
@click.option("--stop", type=_DAY, help="The date after the last one. Default: up to the latest session.")
@click.option("--days-back", default=100, show_default=True, help="How far to look back without --start.")
@click.option(
    "--of", "last_task", default="LoadClickHouse", show_default=True, help="WriteParquet fills the lake only."
)
@click.option("--workers", type=int, help="Tasks at a time. Default: CHAMPION_FILL_WORKERS.")
@click.option("--reverse", is_flag=True, help="Newest day first.")
@click.option("--task-limit", type=int, help="Most days in this run; says how many are left.")
@click.option("--recheck-closed", is_flag=True, help="Ask again for sessions that the archive had no file for.")
@click.option("--scheduler-host", help="A central scheduler (luigid). Default: a local one.")
@click.option("--scheduler-port", default=8082, show_default=True, help="Its port.")
@click.option("--dry-run", is_flag=True, help="Only list the days that would run, and why. Exits 20 if there are any.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: as one JSON document, naming each day.")
def fill(  # noqa: PLR0917 - click calls it by name
    start: datetime | None,
    stop: datetime | None,
    last_task: str,
    workers: int | None,
    task_limit: int | None,
    scheduler_host: str | None,
    scheduler_port: int,
    dry_run: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Complete every missing session of a range, oldest first.

    Exits 0 when all is there, 20 when a day is not published yet or days are left, 30 when a day failed.
    """
    from champion_luigi.base.errors import ChampionError
    from champion_luigi.commands import fill as fill_command
    from champion_luigi.config import settings

    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run")
    if start and stop and start > stop:
        raise click.UsageError(f"--start {start:%Y-%m-%d} is after --stop {stop:%Y-%m-%d}")
    if task_limit is not None:
        parameters["task_limit"] = task_limit
    scheduler: dict[str, Any] = (
        {"scheduler_host": scheduler_host, "scheduler_port": scheduler_port}
        if scheduler_host
        else {"local_scheduler": True}
    )
    dates = {"start": start.date() if start else None, "stop": stop.date() if stop else None}
    try:
        with settings.overridden({"fill_workers": workers}):
            if dry_run:
                sys.exit(fill_command.dry_run(last_task, as_json=as_json, **dates, **parameters))
            sys.exit(fill_command.run(last_task, scheduler, **dates, **parameters))
    except ChampionError as error:
        click.echo(f"champion fill: {error}", err=True)
        sys.exit(_UNHANDLED)


@main.command()
@click.option("--cron", "form", flag_value="cron", help="Lines for crontab -e.")
@click.option("--systemd", "form", flag_value="systemd", help="A service and a timer.")
@click.option(
    "--write",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --systemd: write the units into this folder (/etc/systemd/system) rather than print them.",
)
def schedule(form: str | None, write: Path | None) -> None:
    """Print what runs the fill each evening, for this installation, folder and environment."""
    from champion_luigi.commands import schedule as scheduling

    if form is None:
        raise click.UsageError("say --cron or --systemd")
    job = scheduling.here()
    if form == "cron":
        click.echo(scheduling.crontab(job), nl=False)
        return
    for name, text in scheduling.systemd_units(job).items():
        if write is None:
            click.echo(f"# {name}\n{text}")
        else:
            (write / name).write_text(text, encoding="utf-8")
            click.echo(f"wrote {write / name}")


@main.group()
def track() -> None:
    """MLflow: durations and counts of every run."""


@track.command()
def flush() -> None:
    """Bring what the journal holds to MLflow now: what an outage left, or what CHAMPION_TRACKING=journal collects."""
    from champion_luigi.base.errors import ChampionError
    from champion_luigi.commands import track as track_command
    from champion_luigi.config import settings

    try:
        flows, going_on = track_command.flush()
    except ChampionError as error:
        click.echo(f"champion track flush: {error}", err=True)
        sys.exit(_FAILED)
    left = f"{going_on} still at work, told at the end" if going_on else "nothing is left"
    click.echo(f"{flows} runs told to MLflow at {settings.without_secrets(settings.tracking_uri())}; {left}.")


@track.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; it has no password.")
@click.option("--port", default=5000, show_default=True, help="Port to listen on.")
def ui(host: str, port: int) -> None:
    """Show MLflow's pages on the configured store, until Ctrl-C."""
    from champion_luigi.base.errors import ChampionError
    from champion_luigi.commands import track as track_command
    from champion_luigi.config import settings

    if url := track_command.server_url():
        click.echo(f"MLflow's pages are on the configured server: {url}")
        return
    click.echo(f"MLflow on http://{host}:{port} in a few seconds; Ctrl-C ends it.")
    click.echo(f"Store:      {settings.without_secrets(settings.tracking_uri())}")
    click.echo(f"Experiment: {settings.get('mlflow_experiment_name')}")
    try:
        sys.exit(track_command.ui(host, port))
    except ChampionError as error:
        click.echo(f"champion track ui: {error}", err=True)
        sys.exit(_UNHANDLED)
