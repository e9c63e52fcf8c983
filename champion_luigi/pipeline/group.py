"""The tasks of one stage for several days, run as one: Luigi's batch of a fill.

Luigi's scheduler joins the tasks of a family that are ready, and asks for one task in place of them. Within it, each
task has its own lock, checks, events and outcome, as if it had run by itself. What a stage can do for many days at once
costs a fraction; a day for which that fails is run again alone, and only that day fails.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import luigi
from luigi.task_status import DONE, PENDING
from luigi.worker import TaskStatusReporter

from champion_luigi.base import locks
from champion_luigi.base.errors import Busy
from champion_luigi.config import wiring
from champion_luigi.pipeline import lanes

# A child of Luigi's logger, with its own level: it still logs while Luigi's own messages are suppressed.
logger = logging.getLogger("luigi-interface.fill")

# A task of `day_task`, which imports this module.
DayTask = Any

# Luigi's events of a group that concern each of its tasks; the others each task has fired by itself.
_OF_EACH = frozenset({luigi.Event.FAILURE, luigi.Event.PROCESS_FAILURE, luigi.Event.TIMEOUT})


class Group(luigi.Task):
    """Tasks that differ in their dates. Luigi makes it while it runs a fill; it is no task to ask for."""

    family: str = luigi.Parameter(  # type: ignore[assignment]
        description="the tasks' family"
    )
    dates: str = luigi.Parameter(  # type: ignore[assignment]
        description="the tasks' dates"
    )
    others: str = luigi.Parameter(  # type: ignore[assignment]
        description="the tasks' other parameters"
    )
    batch: str = luigi.Parameter(  # type: ignore[assignment]
        description="an id of this run: a central scheduler takes the end of a task from its first worker alone"
    )

    tasks: Sequence[DayTask] = ()
    # The tasks that do not simply share the group's status: each with its own, a message, and MLflow's page of it.
    outcomes: Sequence[tuple[luigi.Task, str, str, str | None]] = ()
    _is_done = False

    @classmethod
    def of(cls, tasks: Sequence[DayTask], parameters: Mapping[str, Any]) -> Group:
        """A group of these tasks; ``parameters`` are as Luigi's scheduler joined them."""
        dates = ",".join(map(str, (task.date for task in tasks)))
        others = ", ".join(f"{name}={value}" for name, value in parameters.items() if isinstance(value, str))
        group = cls(family=tasks[0].task_family, dates=dates, others=others, batch=uuid.uuid4().hex[:8])
        group.tasks = tasks
        return group

    def complete(self) -> bool:
        """Whether `run` has ended. Luigi makes a group of tasks that are due."""
        return self._is_done

    def trigger_event(self, event: str, *arguments: Any) -> None:
        """Fire an event of each task, if it is one that the tasks do not fire themselves."""
        if event in _OF_EACH:
            for task in self.tasks:
                task.trigger_event(event, task, *arguments[1:])

    def run(self) -> None:
        """Do the work together, as far as that is possible, and then whatever is left, each task by itself."""
        ended: queue.SimpleQueue[tuple[str, str, str, Any, Any]] = queue.SimpleQueue()
        # Luigi's reporter, lent for the run.
        own: TaskStatusReporter = self.set_status_message.__self__  # type: ignore[union-attr]
        reporters = {task.task_id: _Reporter(own._scheduler, task.task_id, own._worker_id, None) for task in self.tasks}
        done = self._together(reporters)
        alone = [
            lanes.InPlace(task, own._worker_id, ended, reporters[task.task_id], check_complete_on_run=True)
            for task in self.tasks
            if task not in done
        ]
        lanes.run_all([each.run for each in alone], lanes.in_threads.get())
        # Of a lane that was stopped, some have not begun.
        status = {task.task_id: DONE if task in done else PENDING for task in self.tasks}
        message = dict.fromkeys(reporters, "")
        while not ended.empty():
            task_id, status[task_id], message[task_id], *_ = ended.get()
        self.outcomes = [
            (task, status[task.task_id], message[task.task_id], reporters[task.task_id].page)
            for task in self.tasks
            if status[task.task_id] != DONE or reporters[task.task_id].page
        ]
        self._is_done = True

    def _together(self, reporters: Mapping[str, _Reporter]) -> set[DayTask]:
        """Do the work of the tasks at once, all of it or none. Returns the tasks that succeeded."""
        if not self.tasks[0].can_work_together():
            return set()
        for task in self.tasks:
            task.trigger_event(luigi.Event.START, task)
        started = time.time()
        with contextlib.ExitStack() as stack:
            for task in self.tasks:
                stack.enter_context(_lent(task, reporters[task.task_id]))
            try:
                done = self._work_together(stack)
            except Exception as error:  # noqa: BLE001 - whatever it is, the day that it is about shows it again
                logger.debug("%s: %d days run again, one by one: %s", self.family, len(self.tasks), error)
                return set()
        seconds = (time.time() - started) / len(self.tasks)
        for task in done:
            task.trigger_event(luigi.Event.PROCESSING_TIME, task, seconds)
            task.on_success()
            task.trigger_event(luigi.Event.SUCCESS, task)
        return set(done)

    def _work_together(self, stack: contextlib.ExitStack) -> list[DayTask]:
        started = time.monotonic()
        waits = stack.enter_context(locks.counting_waits())
        for task in self.tasks:
            task.begin()
        wiring.require_stores()
        self.tasks[0].prepare()
        self.tasks[0].look(self.tasks)
        due: list[DayTask] = []
        found: list[DayTask] = []
        for task in self.tasks:
            # A day that another process works on goes alone, and waits for it.
            with contextlib.suppress(Busy):
                stack.enter_context(task.locked(0))
                (found if task.was_found_complete() else due).append(task)
        if due:
            type(due[0]).work_together(due)
            for task in due:
                task.end()
        share = len(self.tasks)
        for task in [*found, *due]:
            task.waited_seconds, task.run_seconds = sum(waits) / share, (time.monotonic() - started) / share
        return [*found, *(task for task in due if task.is_made())]


class _Reporter(TaskStatusReporter):
    """Reports to the scheduler about one task of a group."""

    page: str | None = None

    def update_tracking_url(self, tracking_url: str) -> None:
        """Hold the page until the group ends: Luigi's own way would give all the group's tasks a status of its own."""
        self.page = tracking_url


@contextlib.contextmanager
def _lent(task: DayTask, reporter: _Reporter) -> Iterator[None]:
    """Lend a task the methods that Luigi adds to it while it runs."""
    with lanes.InPlace(task, "", None, reporter)._forward_attributes():
        yield
