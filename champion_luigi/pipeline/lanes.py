"""Luigi workers that run their tasks in threads of one process.

With more than one worker, Luigi forks a process for each task. A fork costs 7 to 13 ms, and the child hangs if the
embedded engine is open or Polars has been used. Our tasks wait for the network and the disk, or compute in native
code that releases Python's lock, so threads overlap as well. They share one connection and one engine.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
import logging
import multiprocessing
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import luigi
from luigi.execution_summary import LuigiRunResult
from luigi.rpc import RemoteScheduler
from luigi.scheduler import WORKER_STATE_ACTIVE, Scheduler
from luigi.task_register import Register
from luigi.worker import ContextManagedTaskProcess, TaskStatusReporter, Worker

# How many of the tasks scheduled now will run at a time as threads of this process; 0 if they will not.
in_threads: contextvars.ContextVar[int] = contextvars.ContextVar("champion_in_threads", default=0)

_FAREWELL_SECONDS = 2.0
_LOOK_UP_SECONDS = 0.5


class Lane:
    """One `luigi.build` in a thread of its own, with its tasks in further threads.

    Two lanes overlap: while one runs its last tasks or is given its next ones, the other works.
    """

    def __init__(self, tasks: Iterable[luigi.Task], workers: int, company: int, **scheduler: Any) -> None:
        self._factory = _ThreadFactory()
        self._result: Future[LuigiRunResult] = Future()
        context = contextvars.copy_context()
        context.run(in_threads.set, company)
        run = functools.partial(context.run, self._run, list(tasks), workers, scheduler)
        threading.Thread(target=run, daemon=True).start()

    def wait(self) -> LuigiRunResult:
        """Luigi's result, once the build has ended. Raises what the build raised."""
        # A signal can reach any thread, but only the main thread handles it, so it must wake up regularly.
        while not self._result.done():
            with contextlib.suppress(TimeoutError):
                self._result.exception(_LOOK_UP_SECONDS)
        return self._result.result()

    def stop(self, seconds: float = _FAREWELL_SECONDS) -> None:
        """Start no more tasks, and give the running ones time to end cleanly."""
        for worker in self._factory.workers:
            worker._start_phasing_out()
        with contextlib.suppress(TimeoutError):
            self._result.result(seconds)

    def _run(self, tasks: list[luigi.Task], workers: int, scheduler: dict[str, Any]) -> None:
        try:
            self._result.set_result(
                luigi.build(
                    tasks, worker_scheduler_factory=self._factory, detailed_summary=True, workers=workers, **scheduler
                )
            )
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            self._result.set_exception(error)


@contextmanager
def economy() -> Iterator[None]:
    """During many builds, limit Luigi's log to warnings, and collect garbage only in `collect`.

    A line for each step of each task would be 20 lines a day. And Luigi makes so many long-lived objects that the
    collector, which scans all of them repeatedly, took a third of the time in which Python's lock was held.
    """
    if multiprocessing.parent_process() is not None:
        # Luigi holds this lock while it forks, so the child has a locked copy that is never released.
        luigi.worker.fork_lock = threading.Lock()
    luigi_logger = logging.getLogger("luigi-interface")
    level, was_enabled = luigi_logger.level, gc.isenabled()
    luigi_logger.setLevel(logging.WARNING)
    # The existing objects will stay: a collection need not scan them.
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        luigi_logger.setLevel(level)
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def collect() -> None:
    """Free a build's objects: Luigi caches every task ever made, and its objects refer to each other."""
    Register.clear_instance_cache()
    gc.collect()


class _ThreadFactory:
    """The factory from which `luigi.build` gets schedulers and workers."""

    def __init__(self) -> None:
        self.workers: list[_ThreadWorker] = []

    def create_local_scheduler(self) -> Scheduler:
        # Pruning scans every task at each request for work; a scheduler that lives for one build does not need it.
        return _LocalScheduler(prune_on_get_work=False, record_task_history=False)

    def create_remote_scheduler(self, url: str) -> RemoteScheduler:
        return RemoteScheduler(url)

    def create_worker(self, scheduler: Any, worker_processes: int, assistant: bool = False) -> Worker:
        worker = _ThreadWorker(
            scheduler=scheduler,
            worker_processes=worker_processes,
            assistant=assistant,
            no_install_shutdown_handler=True,  # only a main thread can have one
        )
        self.workers.append(worker)
        return worker


class _LocalScheduler(Scheduler):
    def count_pending(self, worker: str) -> dict[str, Any]:  # noqa: ARG002 - Luigi's signature
        """No counts: they serve the log and long-lived workers, and would scan all tasks at each step."""
        return {
            "n_pending_tasks": 0,
            "n_unique_pending": 0,
            "n_pending_last_scheduled": 0,
            "worker_state": WORKER_STATE_ACTIVE,
            "running_tasks": [],
        }


class _ThreadWorker(Worker):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._task_result_queue = _Results()  # type: ignore[assignment]  # as far as Luigi uses it
        self._threads = _Threads(self.worker_processes)

    def _create_task_process(self, task: luigi.Task) -> _TaskThread:
        thread = _TaskThread(
            None,
            task,
            self._id,
            self._task_result_queue,
            TaskStatusReporter(self._scheduler, task.task_id, self._id, None),
            use_multiprocessing=True,  # start() it, do not run() it in place
            worker_timeout=0,  # a thread cannot be ended from outside
            check_unfulfilled_deps=False,  # they ran in this process; a file removed since then fails when read
            check_complete_on_run=self._config.check_complete_on_run,
            task_completion_cache=self._task_completion_cache,
        )
        thread.threads = self._threads
        return thread

    def __exit__(self, *arguments: Any) -> bool:
        self._threads.end()
        return bool(super().__exit__(*arguments))


class _TaskThread(ContextManagedTaskProcess):
    """Luigi's task process, backed by a thread."""

    exitcode = None  # a signal does not kill a thread
    threads: _Threads

    def start(self) -> None:
        self._ended = self.threads.run(self.run)

    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def terminate(self) -> None:
        """Do nothing: the thread is a daemon, and ends with the process."""


class _Threads:
    """Reusable threads: starting one takes as long as some tasks. They are daemons, so Ctrl-C ends them."""

    def __init__(self, most: int) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], threading.Event] | None] = queue.SimpleQueue()
        self._running = [threading.Thread(target=self._work, daemon=True) for _ in range(most)]
        for thread in self._running:
            thread.start()

    def run(self, job: Callable[[], Any]) -> threading.Event:
        """Run a job in a thread, with the caller's context (`settings.overridden`). The event is set at its end."""
        ended = threading.Event()
        self._jobs.put((functools.partial(contextvars.copy_context().run, job), ended))
        return ended

    def end(self) -> None:
        """End the threads once they are idle."""
        for _ in self._running:
            self._jobs.put(None)

    def _work(self) -> None:
        while item := self._jobs.get():
            job, ended = item
            try:
                job()
            finally:
                ended.set()


class _Results(queue.Queue):  # type: ignore[type-arg]
    """The results queue, within one process."""

    def close(self) -> None:
        """Do nothing; Luigi's queue between processes has this method."""
