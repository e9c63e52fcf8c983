"""Luigi's build of tasks that a function of Python needs, in whatever thread calls it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import luigi
from luigi.execution_summary import LuigiRunResult
from luigi.rpc import RemoteScheduler
from luigi.scheduler import Scheduler
from luigi.worker import Worker

_P = ParamSpec("_P")
_T = TypeVar("_T")
_working = threading.RLock()


def one_at_a_time(work: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a function that builds wait for those of other threads: Luigi has one list of handlers for a process."""

    @functools.wraps(work)
    def waiting(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with _working:
            return work(*args, **kwargs)

    return waiting


def build(tasks: Iterable[luigi.Task]) -> LuigiRunResult:
    """Run tasks with a local scheduler and one worker, logging warnings only."""
    result: LuigiRunResult = luigi.build(
        list(tasks), _Factory(), workers=1, local_scheduler=True, detailed_summary=True, log_level="WARNING"
    )
    return result


class _Factory:
    """Makes what Luigi's own factory makes, except for a worker that asks for no signal outside of the main thread."""

    def create_local_scheduler(self) -> Scheduler:
        return Scheduler(prune_on_get_work=True, record_task_history=False)

    def create_remote_scheduler(self, url: str) -> RemoteScheduler:
        return RemoteScheduler(url)

    def create_worker(self, scheduler: Scheduler, worker_processes: int, assistant: bool = False) -> Worker:
        options = {}
        if threading.current_thread() is not threading.main_thread():
            # Only a main thread can have Luigi's handler of a signal.
            options["no_install_shutdown_handler"] = True
        return Worker(scheduler=scheduler, worker_processes=worker_processes, assistant=assistant, **options)
