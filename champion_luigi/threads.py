"""Luigi workers that run their tasks in threads of one process.

Luigi forks a process a task where there is more than one worker: 7 to 13 ms each, and an embedded engine that is
open, or Polars once used, hangs the child. Our tasks wait for the network and the disk or compute in native code
that frees Python, so threads overlap as well, and share one connection and one engine.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import luigi
from luigi.execution_summary import LuigiRunResult
from luigi.rpc import RemoteScheduler
from luigi.scheduler import WORKER_STATE_ACTIVE, Scheduler
from luigi.worker import ContextManagedTaskProcess, TaskStatusReporter, Worker

# How many tasks that are scheduled now will run at a time as threads of this process; 0 where they will not.
in_threads: contextvars.ContextVar[int] = contextvars.ContextVar("champion_in_threads", default=0)

_FAREWELL_SECONDS = 2.0


def build(tasks: Iterable[luigi.Task], workers: int, **scheduler: Any) -> LuigiRunResult:
    """What `luigi.build` does, with threads for workers and Luigi's own chatter down to warnings."""
    if multiprocessing.parent_process() is not None:
        # Luigi holds this lock while it forks, so that its child has a copy that nobody will ever release.
        luigi.worker.fork_lock = threading.Lock()
    token = in_threads.set(workers)
    luigi_logger = logging.getLogger("luigi-interface")
    level = luigi_logger.level
    # A line for each step of each task would be 20 a day, and takes longer than some of the steps.
    luigi_logger.setLevel(logging.WARNING)
    try:
        factory = _ThreadFactory()
        result: LuigiRunResult = luigi.build(
            list(tasks), worker_scheduler_factory=factory, detailed_summary=True, workers=workers, **scheduler
        )
        return result
    finally:
        luigi_logger.setLevel(level)
        in_threads.reset(token)


class _ThreadFactory:
    """What `luigi.build` asks for schedulers and workers."""

    def create_local_scheduler(self) -> Scheduler:
        # Pruning goes through every task at each request for work; a scheduler that lives for one build has no need.
        return _LocalScheduler(prune_on_get_work=False, record_task_history=False)

    def create_remote_scheduler(self, url: str) -> RemoteScheduler:
        return RemoteScheduler(url)

    def create_worker(self, scheduler: Any, worker_processes: int, assistant: bool = False) -> Worker:
        return _ThreadWorker(scheduler=scheduler, worker_processes=worker_processes, assistant=assistant)


class _LocalScheduler(Scheduler):
    def count_pending(self, worker: str) -> dict[str, Any]:  # noqa: ARG002 - Luigi's signature
        """Nothing: the counts are for the log and for workers that stay, and walk through all tasks at each step."""
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
            check_unfulfilled_deps=False,  # they ran in this process; a file that has gone since is an error of reading
            check_complete_on_run=self._config.check_complete_on_run,
            task_completion_cache=self._task_completion_cache,
        )
        thread.threads = self._threads
        return thread

    def __exit__(self, *arguments: Any) -> bool:
        # After Ctrl-C: steps are short, so what is being written gets the chance to be whole and tidy.
        deadline = time.monotonic() + _FAREWELL_SECONDS
        for running in self._running_tasks.values():
            running.join(max(0.0, deadline - time.monotonic()))
        self._threads.end()
        return bool(super().__exit__(*arguments))


class _TaskThread(ContextManagedTaskProcess):
    """Luigi's task process with a thread below it."""

    exitcode = None  # a thread does not die of a signal
    threads: _Threads

    def start(self) -> None:
        self._ended = self.threads.run(self.run)

    def is_alive(self) -> bool:
        return not self._ended.is_set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def terminate(self) -> None:
        """Nothing: the thread is a daemon, and ends with the process."""


class _Threads:
    """Threads that are used again: starting one takes as long as some tasks. They are daemons, so Ctrl-C ends them."""

    def __init__(self, most: int) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], threading.Event] | None] = queue.SimpleQueue()
        self._running = [threading.Thread(target=self._work, daemon=True) for _ in range(most)]
        for thread in self._running:
            thread.start()

    def run(self, job: Callable[[], Any]) -> threading.Event:
        """Run a job in a thread, with the context of the caller, where `settings.overridden` is. Set when it ended."""
        ended = threading.Event()
        self._jobs.put((functools.partial(contextvars.copy_context().run, job), ended))
        return ended

    def end(self) -> None:
        """Let the threads go once they are idle."""
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
        """As Luigi's queue between processes has it."""
