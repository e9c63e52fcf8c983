"""Luigi's events, as far as this package listens: they become journal records, and prepare a process for its work.

A handler runs where its task runs, in a forked child too, so it only appends a line to a file. The first
dependency that is found missing is the sign that there is work to do: then, and not before, the parent
learns to end on SIGTERM as on Ctrl-C (Luigi would orphan its children), and imports Polars, which is safe
before a fork and saves each child the import.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import luigi
from luigi import Event

from champion_luigi import journal, settings, threads
from champion_luigi.errors import ChampionError, NotPublished
from champion_luigi.tasks import WORK_AHEAD, BhavcopyTask

# Where Luigi logs what a task raised.
logger = logging.getLogger("luigi-interface")

# One command is one execution; forked workers inherit it.
EXECUTION = uuid.uuid4().hex

_PARENT = os.getpid()
_prepared = False


def journal_folder() -> Path:
    """Where the journal is."""
    return settings.data_dir() / "journal"


@BhavcopyTask.event_handler(Event.START)
def _on_start(task: BhavcopyTask) -> None:
    prepare()
    in_worker = os.getpid() != _PARENT and threading.current_thread() is threading.main_thread()
    if in_worker and signal.getsignal(signal.SIGTERM) is signal.default_int_handler:
        # In a worker, Luigi takes a KeyboardInterrupt for no result at all and would start the task again.
        signal.signal(signal.SIGTERM, _end)
    _record("start", task)


def _end(*_: object) -> None:
    sys.exit(143)


@BhavcopyTask.event_handler(Event.SUCCESS)
def _on_success(task: BhavcopyTask) -> None:
    _record("success", task, facts=getattr(task, "facts", {}))


@BhavcopyTask.event_handler(Event.PROCESSING_TIME)
def _on_processing_time(task: BhavcopyTask, seconds: float) -> None:
    _record("processing_time", task, seconds=round(seconds, 6))


@BhavcopyTask.event_handler(Event.FAILURE)
def _on_failure(task: BhavcopyTask, error: BaseException) -> None:
    _record("failure", task, facts=getattr(task, "facts", {}), error=_text(error), error_type=type(error).__name__)


@BhavcopyTask.event_handler(Event.PROCESS_FAILURE)
def _on_process_failure(task: BhavcopyTask, message: str) -> None:
    _record("process_failure", task, error=message)


@BhavcopyTask.event_handler(Event.TIMEOUT)
def _on_timeout(task: BhavcopyTask, message: str) -> None:
    _record("timeout", task, error=message)


@BhavcopyTask.event_handler(Event.BROKEN_TASK)
def _on_broken_task(task: BhavcopyTask, error: BaseException) -> None:
    _record("broken_task", task, error=_text(error), error_type=type(error).__name__)


@luigi.Task.event_handler(Event.DEPENDENCY_DISCOVERED)
def _on_dependency_discovered(_task: luigi.Task, dependency: luigi.Task) -> None:
    if isinstance(dependency, BhavcopyTask):
        prepare()


@BhavcopyTask.event_handler(WORK_AHEAD)
def _on_work_ahead(_task: BhavcopyTask) -> None:
    heed_signals()


class OneSentence(logging.Filter):
    """Logs an error of ours as the sentence that it is. Its traceback would say where the code is, not what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let records pass, ours without its traceback (which log level DEBUG shows)."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, NotPublished) and threads.in_threads.get():
            return False  # a fill says by itself what a 404 means for the day
        if isinstance(error, ChampionError) and not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {error}", None
            record.exc_info = record.exc_text = None
        return True


def prepare() -> None:
    """Make this process ready for work: once, in the parent of the workers."""
    global _prepared  # noqa: PLW0603 - a process is prepared once
    if _prepared:
        return
    _prepared = True
    logger.addFilter(OneSentence())
    import polars  # noqa: F401

    heed_signals()


def heed_signals() -> None:
    """End on SIGTERM as on Ctrl-C, and on Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        return
    # An application that has its own way with a signal keeps it.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Polars puts a handler of its own below Python's, which loses SIGINT once several threads have used Polars.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _record(event: str, task: BhavcopyTask, **more: Any) -> None:
    if not settings.tracking_is_on():
        return
    journal.append(
        journal_folder(),
        {
            "event": event,
            "execution": EXECUTION,
            "host": socket.gethostname(),
            "task": task.task_family,
            "date": task.date,
            **more,
        },
    )


def _text(error: BaseException) -> str:
    text = str(error) or repr(error)
    password = settings.clickhouse_password()
    return text.replace(password, "***") if password else text
