"""Luigi builds in threads of one process, in which a scheduler's step is a stage of many days.

With more than one worker, Luigi forks a process for each task. A fork costs 7 to 13 ms, and the child hangs if the
embedded engine is open or Polars has been used. Our tasks wait for the network and the disk, or compute in native
code that releases Python's lock, so threads overlap as well. They share one connection and one engine.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
import json
import logging
import multiprocessing
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import luigi
from luigi.rpc import RemoteScheduler
from luigi.scheduler import WORKER_STATE_ACTIVE, Scheduler
from luigi.setup_logging import InterfaceLogging
from luigi.task_register import Register
from luigi.task_status import FAILED, PENDING, RUNNING
from luigi.worker import TaskProcess, TaskStatusReporter, Worker

from champion_luigi.base.locks import holding
from champion_luigi.pipeline.outstanding import Outstanding

# How many of the tasks scheduled now may run at a time as threads of this process; 0 if they will not.
in_threads: contextvars.ContextVar[int] = contextvars.ContextVar("champion_in_threads", default=0)

# The faults that a fill has named as tried again; None outside of a fill. Threads share it.
retried: contextvars.ContextVar[set[str] | None] = contextvars.ContextVar("champion_retried", default=None)

# Set when the lane that this context belongs to starts nothing more.
_ending: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("champion_ending", default=None)

_FAREWELL_SECONDS = 2.0
_LOOK_UP_SECONDS = 0.5


class Lane:
    """Luigi's build in a thread of its own, one task at a time; a `Group` may use ``threads`` further ones.

    Two lanes overlap: while one waits for the network or the disk, the other computes. A lane holds ``locks`` as
    `locks.holding` does. ``scheduler`` names the scheduler, as for `luigi.build`.
    """

    def __init__(
        self,
        tasks: Iterable[luigi.Task],
        threads: int,
        *,
        locks: Iterable[Path] = (),
        **scheduler: Any,
    ) -> None:
        core = luigi.interface.core(**scheduler)
        InterfaceLogging.setup(core)
        self._worker = _Worker(_LocalScheduler() if core.local_scheduler else RemoteScheduler(core.scheduler_url))
        self._result: Future[bool] = Future()
        context = contextvars.copy_context()
        context.run(in_threads.set, threads)
        self._ending = threading.Event()
        context.run(_ending.set, self._ending)
        run = functools.partial(context.run, self._run, list(tasks), list(locks))
        threading.Thread(target=run, daemon=True).start()

    def wait(self) -> bool:
        """Whether all tasks are done, once the build has ended. Raises what the build raised."""
        # A signal can reach any thread, but only the main thread handles it, so it must wake up regularly.
        while not self._result.done():
            with contextlib.suppress(TimeoutError):
                self._result.exception(_LOOK_UP_SECONDS)
        return self._result.result()

    def stop(self, seconds: float = _FAREWELL_SECONDS) -> None:
        """Start no more tasks, and give the running ones time to end cleanly."""
        self._ending.set()
        self._worker._start_phasing_out()
        with contextlib.suppress(TimeoutError):
            self._result.result(seconds)

    def _run(self, tasks: list[luigi.Task], locks: list[Path]) -> None:
        # As `luigi.build` does, without its summary, which nobody reads.
        try:
            with holding(locks), self._worker as worker:
                are_scheduled = [worker.add(task) for task in tasks]
                is_done = worker.run() and all(are_scheduled)
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            self._result.set_exception(error)
        else:
            self._result.set_result(is_done)


@contextmanager
def economy() -> Iterator[None]:
    """During many builds, limit Luigi's log to warnings, and collect garbage only in `collect`.

    Of each fault that is tried again, the log has the first case.

    A line for each step of each task would be 20 lines a day. And Luigi makes so many long-lived objects that the
    collector, which scans all of them repeatedly, took a third of the time in which Python's lock was held.
    """
    if multiprocessing.parent_process() is not None:
        # Luigi holds this lock while it forks, so the child has a locked copy that is never released.
        luigi.worker.fork_lock = threading.Lock()
    token = retried.set(set())
    luigi_logger = logging.getLogger("luigi-interface")
    level, was_enabled = luigi_logger.level, gc.isenabled()
    luigi_logger.setLevel(logging.WARNING)
    # The existing objects will stay: a collection need not scan them.
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        retried.reset(token)
        luigi_logger.setLevel(level)
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def collect() -> None:
    """Free a build's objects: Luigi caches every task ever made, and its objects refer to each other."""
    Register.clear_instance_cache()
    gc.collect()


class _LocalScheduler(Scheduler):
    def __init__(self) -> None:
        # Pruning scans every task at each request for work; a scheduler that lives for one build does not need it.
        super().__init__(prune_on_get_work=False, record_task_history=False)

    def count_pending(self, worker: str) -> dict[str, Any]:  # noqa: ARG002 - Luigi's signature
        """No counts: they serve the log and long-lived workers, and would scan all tasks at each step."""
        return {
            "n_pending_tasks": 0,
            "n_unique_pending": 0,
            "n_pending_last_scheduled": 0,
            "worker_state": WORKER_STATE_ACTIVE,
            "running_tasks": [],
        }


class _Worker(Worker):
    def __init__(self, scheduler: Scheduler | RemoteScheduler) -> None:
        # Only a main thread can have Luigi's handler of a signal.
        super().__init__(scheduler, no_install_shutdown_handler=True)
        self._task_result_queue = _Results()  # type: ignore[assignment]  # as far as Luigi uses it

    def _create_task_process(self, task: luigi.Task) -> TaskProcess:
        reporter = TaskStatusReporter(self._scheduler, task.task_id, self._id, None)
        return InPlace(task, self._id, self._task_result_queue, reporter, check_complete_on_run=self._checks_output)

    def _get_work_task_id(self, get_work_response: dict[str, Any]) -> str | None:
        batch_id = get_work_response.get("batch_id")
        if batch_id is None:
            task_id: str | None = super()._get_work_task_id(get_work_response)
            return task_id
        family, parameters = get_work_response["task_family"], get_work_response["task_params"]
        group = Register.get_task_cls(family).from_str_params(parameters)
        self._scheduled_tasks[group.task_id] = group
        # Luigi would name it after the family of its tasks, and count it as one more of them.
        described = {"family": group.task_family, "params": group.to_str_params(), "status": RUNNING}
        self._scheduler.add_task(worker=self._id, task_id=group.task_id, batch_id=batch_id, **described)
        return str(group.task_id)

    def _add_task(self, *arguments: Any, **described: Any) -> None:
        group = self._scheduled_tasks.get(described["task_id"])
        # Before the group, whose status becomes that of each task without one of its own.
        for task, status, message, page in getattr(group, "outcomes", ()):
            if status == FAILED:
                self._email_task_failure(task, message)
            own = {"task_id": task.task_id, "status": status, "expl": json.dumps(message), "tracking_url": page}
            super()._add_task(*arguments, **described | own | self._waiting(task, status))
        super()._add_task(*arguments, **described | self._waiting(group, described["status"]))

    def _waiting(self, task: luigi.Task | None, status: str) -> dict[str, Any]:
        """What the scheduler gets for a task without a file: it waits for data from outside, and has not failed."""
        what = getattr(task, "outstanding", "")
        if status != FAILED or not what:
            return {}
        waits_for = Outstanding(what=what)
        described = {"family": waits_for.task_family, "params": waits_for.to_str_params(), "status": PENDING}
        self._scheduler.add_task(worker=self._id, task_id=waits_for.task_id, runnable=False, **described)
        return {"status": PENDING, "new_deps": [waits_for.task_id]}

    def _email_task_failure(self, task: luigi.Task, formatted_traceback: str) -> None:
        if not getattr(task, "outstanding", ""):
            super()._email_task_failure(task, formatted_traceback)

    @property
    def _checks_output(self) -> bool:
        return bool(self._config.check_complete_on_run)


class _Results(queue.Queue):  # type: ignore[type-arg]
    """The results queue, within one process."""

    def close(self) -> None:
        """Do nothing; Luigi's queue between processes has this method."""


class InPlace(TaskProcess):
    """Luigi's run of a task, with its events and checks, in the calling thread instead of a process."""

    exitcode = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The tasks before it ran in this process; a file removed since then fails when it is read.
        self.check_unfulfilled_deps = False
        # A thread cannot be ended from outside.
        self.timeout_time, self.use_multiprocessing = None, False

    def is_alive(self) -> bool:
        return False


def run_all(jobs: Iterable[Callable[[], Any]], threads: int) -> None:
    """Run jobs in threads, each with the caller's context (`settings.overridden`), and wait for all of them.

    The threads are daemons, so Ctrl-C ends them. A job must not raise. A lane that is stopped begins no more of them.
    """
    ending = _ending.get() or threading.Event()
    left = deque((contextvars.copy_context(), job) for job in jobs)

    def work() -> None:
        with contextlib.suppress(IndexError):
            while not ending.is_set():
                context, job = left.popleft()
                context.run(job)

    running = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(left)))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
