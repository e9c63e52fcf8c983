"""`champion track`: deliver the journal to MLflow now, and show MLflow's pages."""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

import click

from champion_luigi.base import extras
from champion_luigi.base.errors import ChampionError, SettingsError
from champion_luigi.commands import output


@click.group(name="track")
def command() -> None:
    """MLflow: durations and counts of every run."""


@command.command
def flush() -> None:
    """Send all waiting journal records to MLflow now, after an outage or with CHAMPION_TRACKING=journal."""
    from champion_luigi.config import settings
    from champion_luigi.tracking import journal, record
    from champion_luigi.tracking.carrier import DELIVERED, Carrier

    with output.ending("track flush", output.FAILED):
        extras.require(settings.mlflow_extra(), "delivery to MLflow", "Until then, the records stay in the journal.")
        store = settings.without_secrets(settings.tracking_uri())
        carrier = Carrier(record.job(), is_alone=True)
        if carrier.run() != DELIVERED:
            count = journal.count_undelivered(record.journal_folder())
            raise ChampionError(
                f"{output.number(count, 'record')} {'has' if count == 1 else 'have'} not reached MLflow",
                source=store,
                found=carrier.trouble,
                todo="They stay in the journal. Once MLflow is available, run `champion track flush` again.",
            )
    going_on = len(journal.delivery(record.journal_folder()).open)
    left = f"{going_on} still running, reported when done" if going_on else "no records are left"
    click.echo(f"{output.number(carrier.delivered_runs, 'run')} reported to MLflow at {store}; {left}.")


@command.command("ui")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on, without a password.")
@click.option("--port", default=5000, show_default=True, help="Port to listen on.")
@click.option("--browser/--no-browser", default=None, help="Open the page. Default: on a terminal of a desktop.")
def ui_command(host: str, port: int, browser: bool | None) -> None:
    """Show MLflow's pages for the configured store, until Ctrl-C.

    The address that is printed opens the experiment's runs with their date, status, error, rows and durations.
    """
    from champion_luigi.config import settings

    store = settings.without_secrets(settings.tracking_uri())
    if store.startswith(("http:", "https:")):
        click.echo(f"MLflow's pages are on the configured server: {store}")
        return
    with output.ending("track ui"):
        extras.require("mlflow", "MLflow's server")
    click.echo(f"MLflow starts on http://{host}:{port} in a few seconds; Ctrl-C ends it.")
    click.echo(f"Store:      {store}")
    click.echo(f"Experiment: {settings.get('mlflow_experiment_name')}")
    with output.ending("track ui"):
        ui(host, port, _is_on_desktop() if browser is None else browser)


def _is_on_desktop() -> bool:
    """Whether a person looks at a terminal on a machine with windows. In a text browser, MLflow's pages are empty."""
    has_windows = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.stdout.isatty() and has_windows


def ui(host: str, port: int, browser: bool) -> NoReturn:
    """Replace this process by MLflow's server on the configured store; with ``browser``, its page is opened.

    Raises SettingsError if the port is taken.
    """
    from champion_luigi.config import settings
    from champion_luigi.tracking import mlflow_store

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"port {port} of {host} cannot be used: {error.strerror}", todo="Choose another port with --port."
            ) from error
    folder = settings.local_dir() / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    # MLflow would start seven more processes, for evaluations of language models. Its assistant cannot be switched off
    # for this machine's own browsers, but for others.
    off = ("SERVER_ENABLE_JOB_EXECUTION", "ENABLE_AI_GATEWAY", "ENABLE_REMOTE_ASSISTANT")
    defaults = {f"MLFLOW_{name}": "false" for name in off}
    # The store's address may hold a password, which an argument would show to every user of the machine.
    environment = {**defaults, **os.environ, "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri()}
    environment.pop("MLFLOW_TRACKING_URI", None)
    mlflow_store.prepare(environment)
    # With a configured store, stay here, so that a relative address names the pipeline's file. Otherwise change the
    # folder, so that MLflow's own files stay out of the user's.
    if not settings.get("mlflow_tracking_uri"):
        os.chdir(folder)
    command = [sys.executable, "-m", "champion_luigi.tracking.pages", host, str(port)]
    command += [settings.get("mlflow_experiment_name"), *(["--open"] if browser else [])]
    os.execve(command[0], command, environment)  # noqa: S606 - ours
