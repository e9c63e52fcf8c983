"""The records of this process: written to the journal at once, and delivered to MLflow by another process.

Nothing here imports MLflow, and no trouble with MLflow reaches the work.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

from champion_luigi.base import extras
from champion_luigi.base.errors import Busy, SettingsError, StorageError
from champion_luigi.config import settings
from champion_luigi.tracking import journal, presence
from champion_luigi.tracking.job import Job
from champion_luigi.tracking.journal import Event
from champion_luigi.tracking.presence import PROCESS

logger = logging.getLogger("luigi-interface")

# A process is one execution, except for the parts that `execution` makes executions of their own.
_execution: ContextVar[str] = ContextVar("champion_execution", default=PROCESS)

# The executions of this process with records, and those that have ended: threads may go on for a while.
_used: set[str] = set()
_ended: set[str] = set()
_ending = threading.Lock()
_warned: set[Path] = set()
_mentioned: set[Path] = set()
_HOST = socket.gethostname()


def journal_folder() -> Path:
    """The folder of the journal."""
    return settings.local_dir() / "journal"


def record(event: str, **what: Any) -> None:
    """Append a record to the journal. A disk error is logged once, and the work goes on."""
    if settings.tracking_is_on():
        name = _execution.get()
        with _ending:
            if name in _ended or PROCESS in _ended:
                return
            _used.add(name)
            _append({"event": event, "execution": name, "host": _HOST, **what})


def conclude(event: str, **what: Any) -> None:
    """Append the last record of an `execution`. Later records, from threads that still run, are dropped."""
    record(event, **what)
    with _ending:
        _end(_execution.get())


def current() -> str:
    """The id of the execution that this context records for."""
    return _execution.get()


def _end(name: str) -> None:
    _ended.add(name)
    if name in _used:
        _used.discard(name)
        _append({"event": Event.END, "execution": name})


def _append(record: dict[str, Any]) -> None:
    start()
    try:
        journal.append(journal_folder(), record)
    except OSError as error:
        _warn_once(journal_folder(), f"durations and counts are not recorded: {error}")


@contextlib.contextmanager
def execution() -> Iterator[None]:
    """Record this context, and threads that start with a copy of it, as an execution of its own."""
    name = f"{PROCESS}.{uuid.uuid4().hex[:12]}"
    token = _execution.set(name)
    try:
        yield
    finally:
        _execution.reset(token)
        with _ending:
            _end(name)


def start() -> None:
    """Start the carrier early, when records are certain to follow."""
    if not settings.tracking_is_on():
        return
    try:
        _mention_mlflow()
        presence.attend(journal_folder().absolute(), lambda: job(PROCESS, is_first=True), _stop)
    except (OSError, StorageError, Busy, SettingsError) as error:
        _warn_once(journal_folder(), f"durations and counts are not recorded, or not carried to MLflow: {error}")


def runs_page(name: str) -> str:
    """The address of MLflow's page of the runs with a name; empty if the store has no pages or no experiment yet."""
    if not settings.tracking_is_carried() or not settings.tracking_uri().startswith(("http:", "https:")):
        return ""
    carried = job()
    note = journal.delivery(carried.folder)
    if not note.experiment_id or note.store != carried.store:
        return ""
    server = carried.store.removesuffix(f" {carried.experiment}").rstrip("/")
    query = quote(f"attributes.run_name = '{name}'")
    return f"{server}/#/experiments/{note.experiment_id}/runs?searchFilter={query}"


def job(process: str | None = None, *, is_first: bool = False) -> Job:
    """A carrier's job, from the current settings."""
    uses_default = not settings.get("mlflow_tracking_uri")
    return Job(
        folder=journal_folder().absolute(),
        uri=settings.tracking_uri(),
        experiment=settings.get("mlflow_experiment_name"),
        artifacts=settings.local_dir().absolute() / "mlflow" / "artifacts" if uses_default else None,
        process=process,
        is_first=is_first,
        secrets=sorted(settings.secrets()),
    )


def _mention_mlflow() -> None:
    """Say once that MLflow is missing: in each process where it is configured or was used, or else in a new journal."""
    folder = journal_folder()
    if folder in _mentioned:
        return
    _mentioned.add(folder)
    extra = settings.mlflow_extra()
    if settings.get("tracking") != "on" or not extras.lacking(extra):
        return
    is_used = settings.get("mlflow_tracking_uri") or (settings.local_dir() / "mlflow" / "mlflow.db").exists()
    if is_used or not any(folder.glob("*.jsonl")):
        logger.warning(
            "MLflow is not installed: durations and counts stay in %s. %s, then `champion track flush`, sends them on",
            folder,
            extras.command(extra),
        )


def _stop() -> None:
    with _ending:
        _ended.add(PROCESS)


def _warn_once(folder: Path, message: str) -> None:
    """Log the first trouble with a journal. Forked workers inherit the note that it was logged."""
    if folder not in _warned:
        _warned.add(folder)
        logger.warning("%s", message)
