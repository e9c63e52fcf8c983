"""The range: every missing session from a first to a last date, completed oldest first.

Luigi's own `RangeDailyBase` clips an old start, reads the clock as UTC, and hands all tasks of a range to one
scheduler, whose every step then costs in proportion to all of them. `FillBhavcopy` honours what is asked for, knows
sessions and publication times, and works through the range a chunk at a time, each with a scheduler of its own, in
threads of one process. So a year, or thirty, cost what their days cost.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import luigi
from luigi.parameter import ParameterException
from luigi.rpc import RemoteScheduler
from luigi.tools.range import RangeDailyBase

from champion_luigi import events, flows, ledger, recording, sessions, settings, tasks, threads, warehouse
from champion_luigi.errors import NotPublished, Refused, TerminalError, TransientError
from champion_luigi.listing import complete_days
from champion_luigi.tasks import BhavcopyTask, LoadClickHouse, ScrapeBhavcopy

# A child of Luigi's logger, with a level of its own: it is heard while Luigi's chatter is down.
logger = logging.getLogger("luigi-interface.fill")

# Days given to one scheduler: its work at each step grows with them, and what starting it costs is shared by them.
CHUNK_DAYS = 48
# With fewer workers, halves of them would wait for each other at the ends of unequal chunks.
_WORKERS_FOR_TWO_LANES = 8
_LOG_SECONDS = 10.0
_SHOW_SECONDS = 0.2
_ALL = 1_000_000


class FillFailed(TerminalError):
    """Days of a fill failed; the others are complete.

    Each day's reason is in the message and in the log. Run the same fill again once they are mended.
    """


@dataclass
class Progress:
    """How far a fill is. Counts are days, ``rows`` rows; ``reasons`` says why a day is not done."""

    due: int
    done: int = 0
    rows: int = 0
    fetched: int = 0
    current: date | None = None
    failed: dict[date, str] = field(default_factory=dict)
    closed: dict[date, str] = field(default_factory=dict)
    unpublished: dict[date, str] = field(default_factory=dict)
    elsewhere: list[date] = field(default_factory=list)
    left: int = 0
    stopped_because: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Days a second."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    def metrics(self) -> dict[str, float]:
        """The state as numbers, by the names of the fill's metrics."""
        return {
            "days_due": self.due,
            "days_done": self.done,
            "days_failed": len(self.failed),
            "days_closed": len(self.closed),
            "days_unpublished": len(self.unpublished),
            "days_left": self.left,
            "rows": self.rows,
            "days_per_second": round(self.rate, 3),
        }

    def sentence(self) -> str:
        """The state in one line."""
        parts = [f"{self.done} of {self.due} days", f"{self.rows:,} rows", f"{self.rate:.1f} days a second"]
        for words, days in (
            ("failed", self.failed),
            ("closed", self.closed),
            ("not published yet", self.unpublished),
            ("run by another process", self.elsewhere),
        ):
            if days:
                parts.append(f"{len(days)} {words}")
        if self.left:
            parts.append(f"{self.left} left")
        return ", ".join(parts)


class Outstanding(luigi.ExternalTask):
    """What a fill could not do anything about: it stands in Luigi's summary, and makes the exit code 20."""

    what = luigi.Parameter(description="what is outstanding, and when to try again")

    def complete(self) -> bool:
        """Never, in the run that said so."""
        return False


class FillBhavcopy(RangeDailyBase):
    """Completes a range of trading days. Its requirements are the missing ones; it runs them itself, in chunks."""

    of = luigi.TaskParameter(
        default=LoadClickHouse, description="the last task of each day: WriteParquet fills the lake"
    )
    start: date | None = luigi.DateParameter(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # as in RangeDailyBase
        description="first date; default: --days-back days before today",
    )
    stop: date | None = luigi.DateParameter(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # as in RangeDailyBase
        description="date after the last one; default: up to the latest session",
    )
    task_limit = luigi.IntParameter(default=_ALL, description="most days in one run; the log says how many are left")
    recheck_closed = luigi.BoolParameter(
        default=False, significant=False, description="ask again for sessions that the archive answered 404 for"
    )

    # As Luigi's, whose own type of it warns of its own default.
    param_name: Any = luigi.OptionalParameter(default=None, significant=False, positional=False)

    # Called with the progress after each day; the `champion` command draws a bar.
    on_progress: Callable[[Progress], None] | None = None
    progress: Progress | None = None

    def requires(self) -> list[luigi.Task]:
        """The last task of each missing session, in the order of running."""
        if not hasattr(self, "_cached_requires"):
            self._cached_requires = [self._instantiate_task_cls(day) for day in self._days()]
        return self._cached_requires

    def deps(self) -> list[luigi.Task]:
        """Nothing for Luigi to schedule beforehand: `run` does it, a chunk at a time."""
        # Luigi asks in the parent of the workers, and only where something is missing.
        events.prepare()
        return []

    def complete(self) -> bool:
        """Whether no session of the range is missing, by one listing."""
        missing = self.missing_datetimes(self.finite_datetimes(*self._bounds()))
        # What was rechecked, and is closed still, is not missing.
        closed = self.progress.closed if self.progress else {}
        return all(each.date() in closed for each in missing)

    def _requires(self) -> list[luigi.Task]:
        """For Luigi's summary, which looks here for why a task is pending: what `run` yielded makes it so itself."""
        return [self]

    def moving_start(self, now: datetime) -> datetime:
        """An explicit start is never clipped."""
        if self.start is not None:
            return datetime.combine(self.start, datetime.min.time())
        return datetime.combine(_india(now).date(), datetime.min.time()) - timedelta(days=self.days_back)

    def moving_stop(self, now: datetime) -> datetime:
        """The day after the latest session that should be published at ``now`` (UTC, naive, as Luigi has it)."""
        latest = sessions.latest_published(now.replace(tzinfo=UTC), settings.published_at())
        return datetime.combine(latest + timedelta(days=1), datetime.min.time())

    def finite_datetimes(self, finite_start: datetime, finite_stop: datetime) -> list[datetime]:
        """The sessions from start to stop (exclusive): by the calendar, corrected by what the archive answered."""
        start, stop = finite_start.date(), finite_stop.date()
        known = tasks.archive_answers()
        days = set(sessions.sessions(start, stop))
        days |= {day for day, answer in known.items() if answer.verdict == "session" and start <= day < stop}
        if not self.recheck_closed:
            days -= {day for day, answer in known.items() if answer.verdict == "closed"}
        return [datetime.combine(day, datetime.min.time()) for day in sorted(days)]

    def missing_datetimes(self, finite_datetimes: list[datetime]) -> list[datetime]:
        """Those that are not complete, by one listing for all of them."""
        if not finite_datetimes:
            return []
        first, last = finite_datetimes[0].date(), finite_datetimes[-1].date()
        complete = complete_days(self.of, first, last + timedelta(days=1))
        if complete is None:
            missing: list[datetime] = super().missing_datetimes(finite_datetimes)
            return missing
        return [each for each in finite_datetimes if each.date() not in complete]

    def run(self) -> Iterator[list[luigi.Task]]:
        """Run the missing days, and say what became of each. Raises FillFailed where days failed."""
        with recording.execution():
            self.progress = Progress(due=0)
            try:
                self._fill(self.progress)
            except BaseException as error:
                # FillFailed is its outcome; anything else has broken it off.
                failed = isinstance(error, Exception)
                self._record_end("FAILED" if failed else "KILLED", "failed" if failed else "killed", error)
                raise
            outstanding = self.outstanding()
            self._record_end("FINISHED", "incomplete" if outstanding else "success", "; ".join(outstanding))
        if outstanding:
            yield [Outstanding(what=what) for what in outstanding]

    def _fill(self, progress: Progress) -> None:
        days = self._days()
        if self.of is LoadClickHouse and not settings.get("clickhouse_host") and days:
            # Waits here, once, for another fill that holds the embedded engine, and leaves out what that one did.
            warehouse.shared(tasks.warehouse_place(), settings.get("lock_wait_seconds"), self._say)
            missing = {each.date() for each in self.missing_datetimes(self.finite_datetimes(*self._bounds()))}
            days = [day for day in days if day in missing]
        progress.due, progress.left = len(days), self._beyond_limit
        self._record_start(days)
        order = tasks.newest_first.set(self.reverse)
        try:
            with settings.overridden({"ask_closed": self.recheck_closed or None}):
                fill_days(self.of, days, progress, self._show, workers=_workers(), **_scheduler_of(self))
        finally:
            tasks.newest_first.reset(order)
            warehouse.close_shared()
        self._say(progress.sentence())
        for words, reasons in (("closed", progress.closed), ("failed", progress.failed)):
            for day, reason in sorted(reasons.items()):
                logger.warning("%s %s: %s", day, words, reason)
        if progress.failed:
            raise FillFailed(_failures_in_words(progress))

    def _record_start(self, days: Sequence[date]) -> None:
        if not days:
            return
        start, stop = self._bounds()
        first, last = start.date(), (stop - timedelta(days=1)).date()
        if page := recording.runs_page(flows.name_of_fill(first, last)):
            self._tell("set_tracking_url", page)
        what = {"first": first, "last": last, "days_due": len(days)}
        if self.of is LoadClickHouse:
            what["clickhouse_table"] = f"{settings.get('clickhouse_database')}.{warehouse.TABLE}"
        recording.record(
            "fill_start", of=self.of.__name__, workers=_workers(), version=recording.package_version(), **what
        )

    def _record_end(self, status: str, words: str, error: BaseException | str) -> None:
        assert self.progress is not None
        text = settings.without_secrets(str(error) or type(error).__name__ if error else "")
        recording.record("fill_end", status=status, words=words, error=text, metrics=self.progress.metrics())

    def _days(self) -> list[date]:
        if not hasattr(self, "_cached_days"):
            self._cached_days = self._due()
        return self._cached_days

    def _due(self) -> list[date]:
        start, stop = self._bounds()
        datetimes = self.finite_datetimes(start, stop)
        missing = self.missing_datetimes(datetimes)
        self._emit_metrics(missing, start, stop)
        ordered = sorted(missing, reverse=self.reverse)
        self._beyond_limit = max(0, len(ordered) - self.task_limit)
        if self._beyond_limit:
            logger.warning("--task-limit %d: %d of %d days are left", self.task_limit, self._beyond_limit, len(ordered))
        return [each.date() for each in ordered[: self.task_limit]]

    def _bounds(self) -> tuple[datetime, datetime]:
        if self.start and self.stop and self.start > self.stop:
            raise ParameterException(f"start {self.start} is after stop {self.stop}")
        now = datetime.fromtimestamp(time.time() if self.now is None else self.now, UTC).replace(tzinfo=None)
        start, stop = self.moving_start(now), self.moving_stop(now)
        if self.stop is not None:
            asked = datetime.combine(self.stop, datetime.min.time())
            if asked > stop:
                logger.warning("stop %s is ahead of publication: the range ends before %s", self.stop, stop.date())
            stop = min(stop, asked)
        return start, max(start, stop)

    def outstanding(self) -> list[str]:
        """What the last run could not do anything about, in words, with when to try again."""
        progress = self.progress
        if progress is None:
            return []
        what = [f"{day}: {reason}" for day, reason in sorted(progress.unpublished.items())]
        if progress.left:
            reason = progress.stopped_because or f"--task-limit {self.task_limit}"
            what.append(f"{progress.left} days are left ({reason}): run the same fill again")
        if progress.elsewhere:
            what.append(f"{len(progress.elsewhere)} days are run by another process at this moment")
        return what

    def _show(self, progress: Progress) -> None:
        if self.on_progress is not None:
            self.on_progress(progress)
        self._tell("set_status_message", progress.sentence())
        self._tell("set_progress_percentage", round(100 * progress.done / max(progress.due, 1)))

    def _say(self, message: str) -> None:
        logger.info("FillBhavcopy: %s", message)
        self._tell("set_status_message", message)

    def _tell(self, what: str, value: object) -> None:
        # Luigi lends a task these while it runs it.
        tell = getattr(self, what, None)
        if tell is not None:
            tell(value)


def fill_days(
    of: type[BhavcopyTask],
    days: Sequence[date],
    progress: Progress,
    show: Callable[[Progress], None] = lambda _progress: None,
    *,
    workers: int,
    **scheduler: Any,
) -> None:
    """Complete the days in this order, and write into ``progress`` what became of each.

    One bad day does not stop the rest. An archive that refuses, or answers nothing for a whole chunk, does: what is
    left then is counted. A 404 for an old session is entered in the ledger as closed, once the same archive has given
    another file in this fill: an archive that has none of them is a wrong address.
    """
    logger.setLevel(logging.INFO)
    chunks = [days[start : start + CHUNK_DAYS] for start in range(0, len(days), CHUNK_DAYS)]
    lanes = min(len(chunks), 2 if workers >= _WORKERS_FOR_TWO_LANES else 1)
    suspects: dict[date, NotPublished] = {}
    running: deque[tuple[list[BhavcopyTask], threads.Lane]] = deque()
    with threads.economy(), _listening(_Recorder(of, progress, show)) as errors:
        try:
            while chunks or running:
                while chunks and len(running) < lanes:
                    chunk = [of(date=day) for day in chunks.pop(0)]
                    lane = threads.Lane(chunk, max(1, workers // lanes), company=workers // 2, **scheduler)
                    running.append((chunk, lane))
                chunk, lane = running.popleft()
                lane.wait()
                _settle(chunk, errors, suspects, progress)
                if because := _reason_to_stop(chunk, errors):
                    progress.left += sum(map(len, chunks))
                    progress.stopped_because = because
                    chunks.clear()
                del chunk, lane
                threads.collect()
                recording.record("fill_progress", metrics=progress.metrics())
                show(progress)
        finally:
            for _, lane in running:
                lane.stop()
    for day, error in suspects.items():
        progress.failed[day] = f"{error} No other file was fetched in this fill, so it is not taken as closed."
        _record_outcome(day, "failed", progress.failed[day])


class _Recorder:
    """Counts what succeeds, from whichever thread, and shows it at a sane pace."""

    def __init__(self, of: type[BhavcopyTask], progress: Progress, show: Callable[[Progress], None]) -> None:
        self._of = of
        self._progress = progress
        self._show = show
        self._lock = threading.Lock()
        self._shown = self._logged = time.monotonic()

    def __call__(self, task: BhavcopyTask) -> None:
        """Note a task that succeeded."""
        with self._lock:
            if isinstance(task, ScrapeBhavcopy):
                self._progress.fetched += 1
            if isinstance(task, self._of):
                self._progress.done += 1
                self._progress.current = task.date
                self._progress.rows += next((count for name, count in task.facts.items() if "rows" in name), 0)
                self._tell(time.monotonic())

    def _tell(self, now: float) -> None:
        if now - self._shown >= _SHOW_SECONDS:
            self._shown = now
            self._show(self._progress)
        if now - self._logged >= _LOG_SECONDS:
            self._logged = now
            logger.info("FillBhavcopy: %s, at %s", self._progress.sentence(), self._progress.current)


def _settle(
    chunk: Sequence[BhavcopyTask],
    errors: Mapping[date, BaseException],
    suspects: dict[date, NotPublished],
    progress: Progress,
) -> None:
    """Say for each day of a chunk that is not complete what became of it."""
    for day in (task.date for task in chunk if not task.complete()):
        error = errors.get(day)
        if error is None:
            progress.elsewhere.append(day)
        elif not isinstance(error, NotPublished):
            progress.failed[day] = f"{type(error).__name__}: {error}"
            _record_outcome(day, "failed", str(error))
        elif (datetime.now(sessions.INDIA).date() - day).days <= settings.get("closed_after_days"):
            progress.unpublished[day] = _when_to_try_again(day)
            _record_outcome(day, "unpublished", progress.unpublished[day])
        else:
            suspects[day] = error
    # What this archive was found not to have before, and has not now, is as closed as it was.
    known = (
        {day for day, answer in tasks.archive_answers().items() if answer.verdict == "closed"} if suspects else set()
    )
    _enter_closed(suspects, [day for day in suspects if progress.fetched or day in known], progress)


def _enter_closed(suspects: dict[date, NotPublished], days: Sequence[date], progress: Progress) -> None:
    for day in days:
        error = suspects.pop(day)
        ledger.record(tasks.ledger_file(), day, "closed", tasks.archive_name(), error.source or "")
        progress.closed[day] = f"the archive has no file, and is not asked again without --recheck-closed: {error}"
        _record_outcome(day, "closed", progress.closed[day])


def _record_outcome(day: date, outcome: str, reason: str) -> None:
    recording.record("settled", date=day, outcome=outcome, reason=settings.without_secrets(reason))


def _reason_to_stop(chunk: Sequence[BhavcopyTask], errors: Mapping[date, BaseException]) -> str:
    found = [errors[task.date] for task in chunk if task.date in errors]
    refusal = next((error for error in found if isinstance(error, Refused)), None)
    if refusal is not None:
        return f"the archive refuses: {refusal}"
    if len(found) == len(chunk) and all(isinstance(error, TransientError) for error in found):
        return f"none of {len(chunk)} days got an answer"
    return ""


@contextmanager
def _listening(on_success: Callable[[BhavcopyTask], None]) -> Iterator[dict[date, BaseException]]:
    """What tasks raise in the meantime, by date; and a call for each that succeeds."""
    errors: dict[date, BaseException] = {}

    def on_failure(task: BhavcopyTask, error: BaseException) -> None:
        errors.setdefault(task.date, error)

    handlers = (
        (luigi.Event.SUCCESS, on_success),
        (luigi.Event.FAILURE, on_failure),
        (luigi.Event.BROKEN_TASK, on_failure),
    )
    for event, handler in handlers:
        BhavcopyTask.event_handler(event)(handler)
    try:
        yield errors
    finally:
        for event, handler in handlers:
            BhavcopyTask.remove_event_handler(event, handler)


def _workers() -> int:
    """Tasks at a time: as ``--workers`` says, else as the setting does."""
    asked: int = luigi.interface.core().workers
    return asked if asked > 1 else int(settings.get("fill_workers"))


def _scheduler_of(task: luigi.Task) -> dict[str, Any]:
    """The central scheduler that runs a task, for those that it runs in turn; else a local one."""
    reporter = getattr(getattr(task, "set_status_message", None), "__self__", None)
    scheduler = getattr(reporter, "_scheduler", None)
    return {"scheduler_url": scheduler._url} if isinstance(scheduler, RemoteScheduler) else {"local_scheduler": True}


def _when_to_try_again(day: date) -> str:
    expected = datetime.combine(day, settings.published_at(), sessions.INDIA)
    if expected > datetime.now(sessions.INDIA):
        return f"not published yet, expected from {expected:%Y-%m-%d %H:%M} India time: try again then"
    return "not published yet, though it should be: try again in an hour, or look whether the exchange was closed"


def _failures_in_words(progress: Progress, most: int = 5) -> str:
    named = [f"{day}: {reason}" for day, reason in itertools.islice(sorted(progress.failed.items()), most)]
    more = len(progress.failed) - len(named)
    return f"{progress.sentence()}. " + "; ".join(named) + (f"; and {more} more, in the log" if more else "")


def _india(now: datetime) -> datetime:
    return now.replace(tzinfo=UTC).astimezone(sessions.INDIA)
