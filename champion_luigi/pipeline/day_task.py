"""The base of a day's five tasks: the date, its lock, retries, and the messages that people see."""

from __future__ import annotations

import functools
import html
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import date
from typing import Any, ClassVar

import luigi
import tenacity

from champion_luigi.base import durable, locks
from champion_luigi.base.errors import ChampionError, is_transient
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.storage import due, version
from champion_luigi.storage.paths import DayFiles
from champion_luigi.tracking import record, runs

# Luigi shows this logger; one of our own would be silent under the `luigi` command.
logger = logging.getLogger("luigi-interface")
# Whether tasks that are scheduled now run the newest day first.
newest_first: ContextVar[bool] = ContextVar("champion_newest_first", default=False)
# Fires in the parent of the workers when the first task of a day is found missing.
WORK_AHEAD = "event.champion.work_ahead"


class SessionDate(luigi.DateParameter):
    """A trading day; the default is the latest one whose file should be out by now, India time."""

    def has_task_value(self, task_name: str, param_name: str) -> bool:
        return True

    def task_value(self, task_name: str, param_name: str) -> date:
        if super().has_task_value(task_name, param_name):
            given: date = super().task_value(task_name, param_name)
            return given
        return wiring.expectation(catalog.DATASETS[catalog.DEFAULT]).latest


class DayTask(luigi.Task):
    """The base of the five tasks: one date, a lock for it, retries of transient errors, and counts to report."""

    date: date = SessionDate(  # type: ignore[assignment]
        description="trading day, India time, YYYY-MM-DD; default: the latest session that should be published by now"
    )
    dataset: str = luigi.ChoiceParameter(  # type: ignore[assignment]
        choices=catalog.NAMES,
        default=catalog.DEFAULT,
        positional=False,
        description="data set of the day: " + ", ".join(catalog.NAMES),
    )

    stage: ClassVar[int]
    attempts: ClassVar[int] = 2
    retry_setting: ClassVar[str] = "retry_seconds"

    # Of the last `run`: seconds spent waiting for others, total seconds, and whether another process had done the work.
    waited_seconds: float = 0.0
    run_seconds: float | None = None
    was_complete: bool = False
    # True between the end of `run` and Luigi's check of the output.
    _has_just_run: bool = False

    @classmethod
    @functools.cache
    def get_params(cls) -> list[tuple[str, luigi.Parameter]]:
        """Luigi's own, cached for each class: it scans every attribute, some hundred times a day's run."""
        parameters: list[tuple[str, luigi.Parameter]] = super().get_params()
        return parameters

    @property
    def definition(self) -> Dataset:
        """The data set's definition."""
        return catalog.DATASETS[self.dataset]

    @property
    def files(self) -> DayFiles:
        """The paths of the data set's files."""
        return wiring.files(self.definition)

    @property
    def label(self) -> str:
        """The day in messages: its date, after the data set's name unless that is the default."""
        return f"{self.date}" if self.dataset == catalog.DEFAULT else f"{self.dataset} {self.date}"

    @property
    def priority(self) -> int:  # type: ignore[override]  # Luigi only reads it
        """Oldest day first, or newest, each finished before the next begins. Luigi runs the highest first."""
        number = self.date.toordinal()
        return (number if newest_first.get() else 4_000_000 - number) * 8 + self.stage

    @durable.explained()
    def complete(self) -> bool:
        """Whether the output exists, and neither this stage nor an earlier one is requested again."""
        version.require(settings.data_dir())
        try:
            if self._has_just_run:
                # Stages that another process requested since are left to that process, or to the next run.
                self._has_just_run = False
                asked_again = []
            else:
                asked_again = due.stages(self.files.due, self.date)
            return super().complete() and not any(each <= self.stage for each in asked_again)
        except ChampionError as error:
            # For example an unusable setting. Luigi logs an error raised here, but fires no event.
            self.trigger_event(luigi.Event.BROKEN_TASK, self, error)
            raise

    @durable.explained()
    def run(self) -> None:
        """Do the work once, in one process at a time, retrying only transient errors."""
        self._has_just_run = False
        version.claim(settings.data_dir())
        self.facts: dict[str, Any] = {"worker": self._worker()}
        link: Callable[[str], None] | None = getattr(self, "set_tracking_url", None)
        if link is not None and (page := record.runs_page(runs.name_of_day(self.date, self.dataset))):
            link(page)
        started = time.monotonic()
        with locks.counting_waits() as waits:
            try:
                self._run_locked()
            finally:
                self.waited_seconds = sum(waits)
                self.run_seconds = time.monotonic() - started
        self._has_just_run = True

    def _run_locked(self) -> None:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_fixed(settings.get(self.retry_setting)),
            retry=tenacity.retry_if_exception(is_transient),
            before_sleep=self._say_retry,
            reraise=True,
        )
        retrying(self.prepare)
        with locks.locked(self.files.lock(self.date), self.label, settings.get("lock_wait_seconds"), self.say):
            self.was_complete = self.complete()
            if self.was_complete:
                self.say("done by another process meanwhile")
                return
            retrying(self.work)
            due.done(self.files.due, self.date, self.stage)

    def prepare(self) -> None:
        """Acquire, before the day's lock, what other processes may hold for longer than a day's work."""

    def on_success(self) -> None:
        """Luigi's message to the scheduler after a success: none. Luigi has checked the output, if configured to."""
        self._has_just_run = False

    def on_failure(self, exception: BaseException) -> str:
        """Luigi's message to the scheduler and by mail: its traceback, with secrets removed."""
        return settings.without_secrets(super().on_failure(exception))

    def work(self) -> None:
        """Read the input, call one function, write the output; fill ``facts`` with what is worth recording."""
        raise NotImplementedError

    def say(self, message: str) -> None:
        """Show a message in the log and, while Luigi runs the task, in the visualiser."""
        # The scheduler shows it to anyone who opens its pages.
        message = settings.without_secrets(message)
        logger.info("%s %s: %s", self.task_family, self.label, message)
        show: Callable[[str], None] | None = getattr(self, "set_status_message", None)
        if show is not None:
            show(for_the_visualiser(message))

    def _worker(self) -> str:
        """The worker that runs the task, as Luigi's log and visualiser name it."""
        reporter = getattr(getattr(self, "set_status_message", None), "__self__", None)
        return str(getattr(reporter, "_worker_id", ""))

    def _say_retry(self, state: tenacity.RetryCallState) -> None:
        self.facts["retries"] = state.attempt_number
        error = state.outcome.exception() if state.outcome else None
        delay = state.next_action.sleep if state.next_action else 0
        self.say(f"attempt {state.attempt_number} of {self.attempts} failed, the next in {delay:g} s: {error}")


def for_the_visualiser(message: str) -> str:
    """A status message, escaped for Luigi's page, which reads it as HTML: an error in it may quote any text."""
    return html.escape(message, quote=False)
