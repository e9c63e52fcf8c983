"""The lock that shows that this process uses a journal, and the carrier that the process starts.

A process holds the lock as long as it may write records, so a carrier knows which executions can still continue. The
first record starts the carrier. The carrier goes on alone when the process has ended; only a setting makes the process
wait for it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from champion_luigi.base import locks
from champion_luigi.config import settings
from champion_luigi.tracking import journal
from champion_luigi.tracking.job import CANNOT, DELIVERED, Job
from champion_luigi.tracking.journal import Event

logger = logging.getLogger("luigi-interface")

# The id of this process and of the children that it forks.
PROCESS = uuid.uuid4().hex

_RESTART_SECONDS = 5.0
_TELL_SECONDS = 3.0
_LOG_BYTES = 1_000_000


@dataclass
class _Tracked:
    """A journal that this process writes to, with the lock that this process holds and its carrier."""

    pid: int
    presence: contextlib.ExitStack
    job: Job
    wait: float
    carrier: subprocess.Popen[bytes] | None = None
    started: float = 0.0


_tracked: dict[Path, _Tracked] = {}
_starting = threading.Lock()


def attend(folder: Path, job: Callable[[], Job], stop_recording: Callable[[], None]) -> None:
    """Take the lock of this process, and start a carrier for the journal with the ``job`` of the first call.

    ``stop_recording`` is called at the end of the process, before its last record. Raises OSError, StorageError or
    Busy.
    """
    tracked = _tracked.get(folder)
    # A forked child leaves this to its parent: they share one lock.
    if tracked and (tracked.pid != os.getpid() or not _is_due(tracked)):
        return
    with _starting:
        tracked = _tracked.get(folder)
        if tracked is None:
            if not _tracked:
                atexit.register(_end, stop_recording)
            presence = contextlib.ExitStack()
            presence.enter_context(locks.locked(journal.presence_file(folder, PROCESS), "this process", 10))
            wait = float(settings.get("tracking_wait_seconds"))
            tracked = _tracked[folder] = _Tracked(os.getpid(), presence, job(), wait)
            if settings.tracking_is_carried():
                _say_who_delivers(folder)
        if _is_due(tracked):
            _start(tracked)


def _say_who_delivers(folder: Path) -> None:
    """Say, once in a journal's life, who delivers it; and later only what MLflow has not taken."""
    note = journal.delivery(folder)
    if note.trouble and (count := journal.count_undelivered(folder)):
        logger.warning(
            "MLflow has not taken %d records of earlier commands (%s). They stay in %s, and are sent again now.",
            count,
            note.trouble,
            folder,
        )
    elif not note.store and not note.trouble:
        logger.info("MLflow gets durations and counts in the background; `champion track flush` waits for that")


def _is_due(tracked: _Tracked) -> bool:
    if tracked.carrier is None:
        return settings.tracking_is_carried()
    code = tracked.carrier.poll()
    return code is not None and code != CANNOT and time.monotonic() - tracked.started > _RESTART_SECONDS


def _start(tracked: _Tracked) -> None:
    job = tracked.job if tracked.carrier is None else replace(tracked.job, is_first=False)
    log_file = job.folder / "carrier.log"
    with contextlib.suppress(FileNotFoundError):
        if log_file.stat().st_size > _LOG_BYTES:
            log_file.unlink()
    with log_file.open("ab") as log:
        # In a session of its own, neither Ctrl-C nor the end of this process ends the carrier. With -P it imports
        # nothing from the working folder.
        tracked.carrier = subprocess.Popen(
            [sys.executable, "-P", "-c", "from champion_luigi.tracking.carrier import main; main()"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    tracked.started = time.monotonic()
    if pipe := tracked.carrier.stdin:
        # If the carrier has died already, its exit code shows that.
        with contextlib.suppress(BrokenPipeError), pipe:
            pipe.write(job.to_json().encode())


def _end(stop_recording: Callable[[], None]) -> None:
    """Record the end of this process, and see that a carrier delivers it; wait for that only if a setting says so."""
    mine = [each for each in _tracked.values() if each.pid == os.getpid()]
    try:
        for tracked in mine:
            stop_recording()
            # If the disk refuses the record, the released lock says nearly the same.
            with contextlib.suppress(OSError):
                interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
                last = {"event": Event.END, "execution": PROCESS, "interrupted": interrupted}
                journal.append(tracked.job.folder, last)
            tracked.presence.close()
        for tracked in mine:
            _wait(tracked)
    except KeyboardInterrupt:
        logger.warning("no longer waiting for MLflow: the records that have not reached it stay in the journal")


def _wait(tracked: _Tracked) -> None:
    if tracked.carrier is None:
        return
    deadline = time.monotonic() + tracked.wait
    folder, code = tracked.job.folder, tracked.carrier.poll()
    # The records that no carrier has read: those of an end can wait.
    unread = (record for _, record in journal.read_from(folder, journal.delivery(folder).seen))
    if code == DELIVERED and all(record.get("event") == Event.END for record in unread):
        return
    if code not in (None, CANNOT):
        _start(tracked)  # it was killed, gave up, or had nothing to do for a while
    if tracked.wait <= 0:
        return
    code = _exit_code(tracked.carrier, min(_TELL_SECONDS, tracked.wait))
    if code is None:
        logger.info("waiting up to %g s for durations and counts to reach MLflow", tracked.wait)
        code = _exit_code(tracked.carrier, deadline - time.monotonic())
    while code is not None and code < 0 and time.monotonic() < deadline:
        _start(tracked)  # it was killed
        code = _exit_code(tracked.carrier, deadline - time.monotonic())
    if code == DELIVERED or not journal.count_undelivered(folder):
        return
    logger.warning(
        "%d records have not reached MLflow (%s). They stay in %s: the next run or `champion track flush` "
        "delivers them.",
        journal.count_undelivered(folder),
        journal.delivery(folder).trouble or f"not within {tracked.wait:g} s",
        folder,
    )


def _exit_code(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, seconds))
    return None
