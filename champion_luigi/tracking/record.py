"""The pipeline's end of its records: written to the journal at once, carried to MLflow by another process.

The first record starts the carrier; the end of the process waits for it, within bounds. Nothing here imports MLflow,
and nothing that goes wrong with it reaches the work.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from champion_luigi.base import locks
from champion_luigi.base.errors import Busy, SettingsError, StorageError
from champion_luigi.config import settings
from champion_luigi.tracking import journal
from champion_luigi.tracking.carrier import CANNOT, DELIVERED, Job

logger = logging.getLogger("luigi-interface")

# One process, and the children that it forks, are one execution, unless a part of it is one of its own.
PROCESS = uuid.uuid4().hex
_execution: ContextVar[str] = ContextVar("champion_execution", default=PROCESS)

_RESTART_SECONDS = 5.0
_TELL_SECONDS = 3.0
_LOG_BYTES = 1_000_000
_END = "end"


@dataclass
class _Tracked:
    """A journal that this process writes to: the proof that it lives, and its carrier."""

    pid: int
    presence: contextlib.ExitStack
    job: Job
    wait: float
    carrier: subprocess.Popen[bytes] | None = None
    started: float = 0.0


# The executions of this process that have records, and those that have ended: threads may go on for a while.
_used: set[str] = set()
_ended: set[str] = set()
_ending = threading.Lock()
_tracked: dict[Path, _Tracked] = {}
_warned: set[Path] = set()
_starting = threading.Lock()


def journal_folder() -> Path:
    """Where the journal is."""
    return settings.data_dir() / "journal"


def record(event: str, **what: Any) -> None:
    """Journal what happened. A disk that does not take it is reported once, and the work goes on."""
    if settings.tracking_is_on():
        name = _execution.get()
        with _ending:
            if name in _ended or PROCESS in _ended:
                return
            _used.add(name)
            _append({"event": event, "execution": name, "host": socket.gethostname(), **what})


def conclude(event: str, **what: Any) -> None:
    """Journal what an `execution` came to. Nothing is recorded for it any more: threads may go on for a while."""
    record(event, **what)
    with _ending:
        _end(_execution.get())


def current() -> str:
    """The execution that is recorded in this context."""
    return _execution.get()


def _end(name: str) -> None:
    _ended.add(name)
    if name in _used:
        _used.discard(name)
        _append({"event": _END, "execution": name})


def _append(record: dict[str, Any]) -> None:
    start()
    try:
        journal.append(journal_folder(), record)
    except OSError as error:
        _warn_once(journal_folder(), f"durations and counts are not recorded: {error}")


@contextlib.contextmanager
def execution() -> Iterator[None]:
    """Make what is recorded in this context, and in threads that start with it, an execution of its own."""
    name = f"{PROCESS}.{uuid.uuid4().hex[:12]}"
    token = _execution.set(name)
    try:
        yield
    finally:
        _execution.reset(token)
        with _ending:
            _end(name)


def start() -> None:
    """Start the carrier ahead of the first record, as there will be one."""
    if not settings.tracking_is_on():
        return
    try:
        _attend(journal_folder().absolute())
    except (OSError, StorageError, Busy, SettingsError) as error:
        _warn_once(journal_folder(), f"durations and counts are not recorded, or not carried to MLflow: {error}")


@functools.cache
def package_version() -> str:
    """The version of this package, as installed."""
    try:
        return version("champion_luigi")
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def runs_page(name: str) -> str:
    """MLflow's page of the runs with a name; empty where the store has no pages, or no experiment yet."""
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
    """What a carrier is told, by the settings as they are now."""
    uses_default = not settings.get("mlflow_tracking_uri")
    return Job(
        folder=journal_folder().absolute(),
        uri=settings.tracking_uri(),
        experiment=settings.get("mlflow_experiment_name"),
        artifacts=settings.data_dir().absolute() / "mlflow" / "artifacts" if uses_default else None,
        process=process,
        is_first=is_first,
        secrets=sorted(settings.secrets()),
    )


def _attend(folder: Path) -> None:
    """Say that this process lives, and have a carrier for its journal."""
    tracked = _tracked.get(folder)
    # A forked child leaves it to its parent, whose presence it shares.
    if tracked and (tracked.pid != os.getpid() or not _is_due(tracked)):
        return
    with _starting:
        tracked = _tracked.get(folder)
        if tracked is None:
            tracked = _tracked[folder] = _appear(folder)
        if _is_due(tracked):
            _start(tracked)


def _appear(folder: Path) -> _Tracked:
    if not _tracked:
        atexit.register(_farewell)
    presence = contextlib.ExitStack()
    presence.enter_context(locks.locked(journal.presence_file(folder, PROCESS), "this process", 10))
    wait = float(settings.get("tracking_wait_seconds"))
    return _Tracked(os.getpid(), presence, job(PROCESS, is_first=True), wait)


def _is_due(tracked: _Tracked) -> bool:
    if tracked.carrier is None:
        return settings.tracking_is_carried()
    code = tracked.carrier.poll()
    return code is not None and code != CANNOT and time.monotonic() - tracked.started > _RESTART_SECONDS


def _start(tracked: _Tracked) -> None:
    carried = tracked.job
    if tracked.carrier is not None:
        carried = Job(**{**vars(carried), "is_first": False})
    log_file = carried.folder / "carrier.log"
    with contextlib.suppress(FileNotFoundError):
        if log_file.stat().st_size > _LOG_BYTES:
            log_file.unlink()
    with log_file.open("ab") as log:
        # A session of its own: neither Ctrl-C nor the end of this process ends it. And -P: the folder that it is
        # started in has no say in what it imports.
        tracked.carrier = subprocess.Popen(
            [sys.executable, "-P", "-c", "from champion_luigi.tracking.carrier import main; main()"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    tracked.started = time.monotonic()
    if pipe := tracked.carrier.stdin:
        # One that has died already is seen by its exit code.
        with contextlib.suppress(BrokenPipeError), pipe:
            pipe.write(carried.to_json().encode())


def _farewell() -> None:
    """Say that this process ends, and wait for the carriers, as long as the settings allow."""
    mine = [each for each in _tracked.values() if each.pid == os.getpid()]
    try:
        _say_farewell(mine)
        for tracked in mine:
            _wait(tracked)
    except KeyboardInterrupt:
        logger.warning("not waiting for MLflow any longer: what it has not taken stays in the journal")


def _say_farewell(mine: Iterable[_Tracked]) -> None:
    for tracked in mine:
        with _ending:
            _ended.add(PROCESS)
        # Where the disk does not take it, that the process is gone says nearly the same.
        with contextlib.suppress(OSError):
            interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
            journal.append(tracked.job.folder, {"event": _END, "execution": PROCESS, "interrupted": interrupted})
        tracked.presence.close()


def _wait(tracked: _Tracked) -> None:
    if tracked.carrier is None or tracked.wait <= 0:
        return
    deadline = time.monotonic() + tracked.wait
    code = tracked.carrier.poll()
    if code == DELIVERED and not _has_news(tracked.job.folder):
        return
    if code not in (None, CANNOT):
        _start(tracked)  # it was killed, gave up, or had nothing to do for a while
    code = _exit_code(tracked.carrier, min(_TELL_SECONDS, tracked.wait))
    if code is None:
        logger.info("waiting up to %g s for MLflow to take durations and counts", tracked.wait)
        code = _exit_code(tracked.carrier, deadline - time.monotonic())
    while code is not None and code < 0 and time.monotonic() < deadline:
        _start(tracked)  # it was killed
        code = _exit_code(tracked.carrier, deadline - time.monotonic())
    folder = tracked.job.folder
    if code == DELIVERED or not journal.count_undelivered(folder):
        return
    logger.warning(
        "%d records have not reached MLflow (%s). They stay in %s, and go out with the next run or by "
        "`champion track flush`.",
        journal.count_undelivered(folder),
        journal.delivery(folder).trouble or f"not within {tracked.wait:g} s",
        folder,
    )


def _has_news(folder: Path) -> bool:
    """Whether anything but that processes have ended has been journalled since a carrier last read."""
    records = journal.read_from(folder, journal.delivery(folder).seen)
    return any(record.get("event") != _END for _, record in records)


def _exit_code(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, seconds))
    return None


def _warn_once(folder: Path, message: str) -> None:
    """One trouble with a journal is told; forked workers inherit that it was."""
    if folder not in _warned:
        _warned.add(folder)
        logger.warning("%s", message)
