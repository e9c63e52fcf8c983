"""The base of a day's five tasks: the date, its lock, retries, and the messages that people see."""

from __future__ import annotations

import contextlib
import functools
import html
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from datetime import date
from typing import Any, ClassVar, Self

import luigi
import tenacity

from champion_luigi.base import durable, locks
from champion_luigi.base.errors import ChampionError, NotPublished, StoreUnreachable, is_transient
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import absence, hosts, lanes
from champion_luigi.pipeline.group import Group
from champion_luigi.pipeline.outstanding import Outstanding
from champion_luigi.storage import due, version
from champion_luigi.storage.paths import INTERMEDIATES, DayFiles
from champion_luigi.tracking import record, run

# Luigi shows this logger; one of our own would be silent under the `luigi` command.
logger = logging.getLogger("luigi-interface")
# Whether tasks that are scheduled now run the newest day first.
newest_first: ContextVar[bool] = ContextVar("champion_newest_first", default=False)
# The task after which a fill removes a day's tables between two stages; None if they stay.
last_of_fill: ContextVar[type[luigi.Task] | None] = ContextVar("champion_last_of_fill", default=None)
# The MLflow run of the fill that holds the days of tasks that run now; None if each day has a run of its own.
run_of_fill: ContextVar[str | None] = ContextVar("champion_run_of_fill", default=None)
# Fires in the parent of the workers when the first task of a day is found missing.
WORK_AHEAD = "event.champion.work_ahead"
# Fires where a task ran, outside of a fill, and its day has no file: with the error, the outcome and its reason.
NOT_PUBLISHED = "event.champion.not_published"
_LONG_PAUSE_SECONDS = 1.0


class DayTask(luigi.Task):
    """The base of the five tasks: one date, a lock for it, retries of transient errors, and counts to report."""

    date: date = luigi.DateParameter(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # see `get_param_values`
        batch_method=list,  # see `from_str_params`
        description="trading day, India time, YYYY-MM-DD; default: the latest session that should be published by now",
    )
    dataset: str = luigi.ChoiceParameter(  # type: ignore[assignment]
        choices=catalog.NAMES,
        default=catalog.DEFAULT,
        positional=False,
        description="data set of the day: " + ", ".join(catalog.NAMES),
    )

    # What a task without a file waits for, in a sentence.
    outstanding: str = ""
    _retried_for: str = ""
    stage: ClassVar[int]
    attempts: ClassVar[int] = 2
    # Whether the output can become complete without a run of the task, while this process holds the day's lock.
    can_become_complete: ClassVar[bool] = False
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

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Luigi's own, with the date's default, for which the data set must be known."""
        values = dict(super().get_param_values(params, args, kwargs))
        if values["date"] is None:
            values["date"] = wiring.expectation(catalog.DATASETS[values["dataset"]]).latest
        return list(values.items())

    @classmethod
    def from_str_params(cls, params_str: dict[str, Any]) -> luigi.Task:
        """The task with these parameters; a `Group`, if Luigi's scheduler has joined several dates."""
        if not isinstance(dates := params_str.get("date"), list):
            alone: luigi.Task = super().from_str_params(params_str)
            return alone
        return Group.of(
            [super(DayTask, cls).from_str_params(params_str | {"date": each}) for each in dates], params_str
        )

    @property
    def batchable(self) -> bool:
        """Whether the scheduler may join the task with those of other days: in a fill with several workers."""
        return lanes.in_threads.get() > 1 and type(self).run is DayTask.run

    @property
    def max_batch_size(self) -> int:  # type: ignore[override]  # Luigi only reads it
        """The most days that the scheduler joins."""
        return wiring.fill_group(self.definition)

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
        """Oldest day first, or newest, each finished before the next begins. Luigi runs the highest first.

        A fill with several workers finishes a stage of all its days before the next, so that they can share it.
        """
        number = self.date.toordinal()
        rank = number if newest_first.get() else 4_000_000 - number
        return rank + 4_000_000 * (8 - self.stage) if lanes.in_threads.get() > 1 else rank * 8 + self.stage

    @durable.explained()
    def complete(self) -> bool:
        """Whether nothing is left to do: the output is made, or the date has no session, and never has an output."""
        version.require(settings.data_dir())
        try:
            return self.is_made() or self._has_no_session()
        except StoreUnreachable as error:
            # Running the task asks again, as often as its stage does.
            logger.debug("%s %s: %s", self.task_family, self.label, error)
            return False
        except ChampionError as error:
            # For example an unusable setting. Luigi logs an error raised here, but fires no event.
            self.trigger_event(luigi.Event.BROKEN_TASK, self, error)
            raise

    def is_made(self) -> bool:
        """Whether the output exists, and neither this stage nor an earlier one is requested again."""
        version.require(settings.data_dir())
        # Stages that another process requested since a run are left to that process, or to the next run.
        has_just_run, self._has_just_run = self._has_just_run, False
        if not super().complete():
            return False
        return has_just_run or all(each > self.stage for each in due.stages(self.files.due, self.date))

    def _has_no_session(self) -> bool:
        # A fill runs such a day on purpose, and reports what became of it.
        if lanes.in_threads.get() or due.stages(self.files.due, self.date):
            return False
        # If the ledger cannot be read, running the task says so.
        with contextlib.suppress(OSError):
            expected = absence.nothing_to_fetch(self.definition, self.date)
            return expected is not None and expected.state == "closed"
        return False

    def why_complete(self) -> str:
        """The sentence about a task for which nothing is left to do."""
        if not self.is_made() and (expected := absence.nothing_to_fetch(self.definition, self.date)):
            return absence.no_session(self.label, expected)
        return f"{self.task_family} {self.label}: complete already"

    @durable.explained()
    def run(self) -> Iterator[list[luigi.Task]] | None:
        """Do the work once, in one process at a time, retrying only transient errors.

        A day without a file has not failed: the task then waits, in Luigi's terms, for data from outside.
        """
        try:
            self._run()
        except NotPublished as error:
            if error.day is not None:
                self.outstanding = settings.without_secrets(f"{self.label}: {error.what}")
            if lanes.in_threads.get() or error.day is None:
                raise  # a fill itself settles its days
            outcome, reason = absence.settle(self.definition, error)
            self.trigger_event(NOT_PUBLISHED, self, error, outcome, reason)
            what = settings.without_secrets(f"{self.label}: {reason}")
            logger.warning("%s", what)
            show(self, "set_status_message", what)
            # Luigi takes nothing but a generator.
            outstanding: list[luigi.Task] = [Outstanding(what=what)]
            return (each for each in [outstanding])
        return None

    def _run(self) -> None:
        started = time.monotonic()
        with locks.counting_waits() as waits:
            try:
                self.begin()
                retrying = tenacity.Retrying(
                    stop=tenacity.stop_after_attempt(self.attempts),
                    wait=tenacity.wait_fixed(settings.get(self.retry_setting)),
                    retry=tenacity.retry_if_exception(is_transient),
                    before_sleep=self._say_retry,
                    reraise=True,
                )
                retrying(wiring.require_stores)
                retrying(self.prepare)
                with self.locked(settings.get("lock_wait_seconds")):
                    if not retrying(self.was_found_complete):
                        retrying(self.work)
                        self.end()
            finally:
                self.waited_seconds = sum(waits)
                self.run_seconds = time.monotonic() - started
        self._has_just_run = True

    def begin(self) -> None:
        """Prepare a run: nothing to report yet, and a link to the page in MLflow that has the day."""
        self._has_just_run = False
        self.outstanding = self._retried_for = ""
        version.claim(settings.data_dir())
        self.facts: dict[str, Any] = {"worker": self._worker()}
        if page := record.runs_page(run_of_fill.get() or run.name_of_day(self.date, self.dataset)):
            show(self, "set_tracking_url", page)

    @contextlib.contextmanager
    def locked(self, wait_seconds: float) -> Iterator[None]:
        """Hold the day's lock while the block runs, and the claim to the day where hosts share a place.

        Raises Busy, naming the holder, after ``wait_seconds``.
        """
        with (
            locks.locked(self.files.lock(self.date), self.label, wait_seconds, self.say),
            hosts.claimed(hosts.key(self.definition, self.date), self.label, wait_seconds, self.say),
        ):
            yield

    def was_found_complete(self) -> bool:
        """Whether another process has done the work. The caller holds the day's lock."""
        # A fill holds the locks of its days, and Luigi has looked at the output since it took them.
        is_due = locks.is_held(self.files.lock(self.date)) and not self.can_become_complete
        self.was_complete = not is_due and self.is_made()
        if self.was_complete:
            self.say("done by another process meanwhile")
            self._remove_intermediates()
        return self.was_complete

    def end(self) -> None:
        """Note that the work is done. The caller holds the day's lock."""
        due.done(self.files.due, self.date, self.stage)
        self._has_just_run = True
        self._remove_intermediates()

    def _remove_intermediates(self) -> None:
        """After the last stage of a fill, remove the tables between two stages. The caller holds the day's lock."""
        if not (last := last_of_fill.get()) or not isinstance(self, last) or due.stages(self.files.due, self.date):
            return
        for kind in INTERMEDIATES:
            path = self.files.table(kind, self.date)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                # The day is done, and `champion clean --intermediates` removes the file later.
                logger.warning("%s could not be removed: %s", path, error.strerror or error)

    def prepare(self) -> None:
        """Acquire, before the day's lock, what other processes may hold for longer than a day's work."""

    @classmethod
    def look(cls, tasks: Sequence[DayTask]) -> None:
        """Find out together which of the days are complete, where each look by itself costs a request."""

    @classmethod
    def forget(cls, tasks: Sequence[DayTask]) -> None:
        """Forget what `look` found."""

    def on_success(self) -> None:
        """Luigi's message to the scheduler after a success: none. Luigi has checked the output, if configured to."""
        self._has_just_run = False

    def on_failure(self, exception: BaseException) -> str:
        """Luigi's message to the scheduler and by mail: its traceback, with secrets removed."""
        return settings.without_secrets(super().on_failure(exception))

    def work(self) -> None:
        """Read the input, call one function, write the output; fill ``facts`` with what is worth recording."""
        self.work_together([self])

    @classmethod
    def work_together(cls, tasks: Sequence[Self]) -> None:
        """Do the `work` of several days, all of it or none. Raises the error of one of them, which is one of its own.

        ``tasks`` may be one. What happened before an error must not matter to a second attempt.
        """
        raise NotImplementedError

    @classmethod
    def can_work_together(cls) -> bool:
        """Whether `work_together` is the way to work. A class that overrides `work` works by the day."""
        definer = next(each for each in cls.__mro__ if vars(each).keys() & {"work", "work_together"})
        return definer is not DayTask and "work_together" in vars(definer)

    def say(self, message: str) -> None:
        """Show a message in the log and, while Luigi runs the task, in the visualiser."""
        # The scheduler shows it to anyone who opens its pages.
        message = settings.without_secrets(message)
        logger.info("%s %s: %s", self.task_family, self.label, message)
        show(self, "set_status_message", message)

    def _worker(self) -> str:
        """The worker that runs the task, as Luigi's log and visualiser name it."""
        reporter = getattr(getattr(self, "set_status_message", None), "__self__", None)
        return str(getattr(reporter, "_worker_id", ""))

    def _say_retry(self, state: tenacity.RetryCallState) -> None:
        # `prepare` and `work` each have attempts of their own.
        self.facts["retries"] = self.facts.get("retries", 0) + 1
        error = state.outcome.exception() if state.outcome else None
        delay = state.next_action.sleep if state.next_action else 0
        sentence = f"attempt {state.attempt_number} of {self.attempts} failed, the next in {delay:g} s: "
        if str(error) == self._retried_for:
            # The log has each reason once; the page shows the last message alone.
            logger.info("%s %s: %sas before", self.task_family, self.label, sentence)
            show(self, "set_status_message", settings.without_secrets(f"{sentence}{error}"))
        else:
            self._retried_for = str(error)
            self.say(f"{sentence}{error}")
            # A fill hides what its days say, and would seem to hang during a long pause.
            what, said = getattr(error, "what", str(error)), lanes.retried.get()
            if said is not None and what not in said and delay >= _LONG_PAUSE_SECONDS:
                said.add(what)
                message = settings.without_secrets(f"{sentence}{error}")
                logger.warning("%s %s: %s", self.task_family, self.label, message)


def show(task: luigi.Task, what: str, value: Any) -> None:
    """Give the visualiser a message, URL or percentage, with the method that Luigi adds to a task while it runs."""
    if method := getattr(task, what, None):
        # Luigi's page reads a message as HTML, and an error in it may quote any text.
        method(html.escape(value, quote=False) if what == "set_status_message" else value)


@contextlib.contextmanager
def listening(on_success: Callable[[DayTask], None] | None = None) -> Iterator[dict[date, BaseException]]:
    """Collect the first error of each day that tasks raise within the block, where Luigi itself only logs them.

    ``on_success`` is called for each task that succeeds.
    """
    errors: dict[date, BaseException] = {}

    def on_failure(task: DayTask, error: BaseException, *_: str) -> None:
        errors.setdefault(task.date, error)

    events = (luigi.Event.FAILURE, luigi.Event.BROKEN_TASK, NOT_PUBLISHED)
    handlers: dict[str, Callable[..., None]] = dict.fromkeys(events, on_failure)
    if on_success:
        handlers[luigi.Event.SUCCESS] = on_success
    for event, handler in handlers.items():
        DayTask.event_handler(event)(handler)
    try:
        yield errors
    finally:
        for event, handler in handlers.items():
            DayTask.remove_event_handler(event, handler)
