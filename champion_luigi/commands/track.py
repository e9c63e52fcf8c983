"""`champion track`: deliver the journal to MLflow now, and show MLflow's pages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click

from champion_luigi.base import durable, extras
from champion_luigi.base.errors import SettingsError
from champion_luigi.commands import output


@click.group(name="track")
def command() -> None:
    """MLflow: durations and counts of every run."""


@command.command
def flush() -> None:
    """Send all waiting journal records to MLflow now, after an outage or with CHAMPION_TRACKING=journal."""
    from champion_luigi.tracking.flush import track_flush

    with output.ending("track flush", output.FAILED):
        done = track_flush()
    left = f"{done.still_running} still running, reported when done" if done.still_running else "no records are left"
    click.echo(f"{output.number(done.runs, 'run')} reported to MLflow at {done.store}; {left}.")


@command.command("ui")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on, without a password.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port to listen on.")
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
    command, environment, folder = _server(host, port, browser)
    if folder:
        os.chdir(folder)
    os.execve(command[0], command, environment)  # noqa: S606 - ours


def track_ui(host: str = "127.0.0.1", port: int = 5000) -> subprocess.Popen[bytes]:
    """Start MLflow's server on the configured store, as `champion track ui` does; terminate the process to end it.

    Raises SettingsError if the port is taken or the store is a server, which has the pages itself, StorageError, and
    NotInstalled.
    """
    from champion_luigi.config import settings

    if (store := settings.without_secrets(settings.tracking_uri())).startswith(("http:", "https:")):
        raise SettingsError("MLflow's pages are on the configured server", source=store)
    extras.require("mlflow", "MLflow's server")
    command, environment, folder = _server(host, port, browser=False)
    return subprocess.Popen(command, env=environment, cwd=folder)  # noqa: S603 - ours


def _server(host: str, port: int, browser: bool) -> tuple[list[str], dict[str, str], Path | None]:
    """The command, environment and folder of MLflow's server. Raises SettingsError if the port is taken."""
    from champion_luigi.config import settings
    from champion_luigi.tracking import mlflow_store

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError, TypeError) as error:
            why = getattr(error, "strerror", None) or error
            what = f"port {port} of {host} cannot be used: {why}"
            raise SettingsError(what, todo="Choose another port (--port).") from error
    folder = settings.local_dir() / "mlflow"
    with durable.naming(folder, "the folder could not be made", "Check who may write there."):
        durable.make_folder(folder)
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
    command = [sys.executable, "-m", "champion_luigi.tracking.pages", host, str(port)]
    command += [settings.get("mlflow_experiment_name"), *(["--open"] if browser else [])]
    return command, environment, None if settings.get("mlflow_tracking_uri") else folder
