"""The range: every missing session from a first to a last date, completed oldest first.

Luigi's own `RangeDailyBase` clips an old start, reads the clock as UTC, and gives all tasks of a range to one
scheduler, whose steps then each cost in proportion to all tasks. `FillBhavcopy` honours the requested range, knows
sessions and publication times, and runs the range a chunk at a time, each with a scheduler of its own, in threads of
one process. The cost of a range grows only with its days, for one year or for thirty.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import luigi
from luigi.parameter import ParameterException
from luigi.rpc import RemoteScheduler
from luigi.tools.range import RangeDailyBase

from champion_luigi.base import durable
from champion_luigi.base.errors import (
    ChampionError,
    StorageError,
    TerminalError,
    WarehouseError,
    WarehouseUnreachable,
)
from champion_luigi.base.package import VERSION
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import sessions
from champion_luigi.pipeline import absence, day_task, hosts, process
from champion_luigi.pipeline.chunks import Progress, fill_days
from champion_luigi.pipeline.complete import complete_days
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.outstanding import Outstanding
from champion_luigi.pipeline.tasks import LoadClickHouse, WriteParquet
from champion_luigi.storage import due, version
from champion_luigi.tracking import record
from champion_luigi.tracking.journal import Event
from champion_luigi.tracking.run import name_of_fill
from champion_luigi.warehouse import opened

# A child of Luigi's logger, with its own level: it still logs while Luigi's own messages are suppressed.
logger = logging.getLogger("luigi-interface.fill")

_ALL = 1_000_000
_MOST_NAMED = 10
# Luigi's default.
DAYS_BACK = 100
_FRESH_SECONDS = 5.0
# A fill of so many days may merge years that it did not load.
_MANY_DAYS = 20
# How often a fill looks at days that other processes work on.
_LOOK_SECONDS = 1.0


class FillFailed(TerminalError):
    """Days of a fill failed; the others are complete.

    The reasons are in the message and in the log. Run the same fill again once the causes are removed. ``short`` is the
    message without the reasons.
    """

    short = ""


class Found(NamedTuple):
    """A range's incomplete days: those to run, all absent sessions, and those to run if one of the probes is found.

    ``probes`` are those of the days to run that were absent before. ``partial`` are complete days whose full file is to
    be looked for.
    """

    due: list[date]
    probes: set[date]
    absent: list[date]
    waiting: list[date]
    partial: list[date]

    def in_order(self, limit: int, *, reverse: bool) -> list[date]:
        """Up to ``limit`` of the days to run, in running order. Probes yield to the others if there are too many."""
        ordered = sorted(self.due, reverse=reverse)
        chosen = set(sorted(ordered, key=lambda day: day in self.probes)[:limit])
        return [day for day in ordered if day in chosen]


class FillBhavcopy(RangeDailyBase):
    """Completes a range of trading days. Its requirements are the missing days, which it runs itself, in chunks."""

    of = luigi.TaskParameter(
        default=LoadClickHouse, description="the last task of each day: WriteParquet fills the lake"
    )
    start: date | None = luigi.DateParameter(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # as in RangeDailyBase
        description="first date; default: CHAMPION_FIRST_DATE, or else --days-back days before today",
    )
    stop: date | None = luigi.DateParameter(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # as in RangeDailyBase
        description="date after the last one; default: up to the latest session",
    )
    end: date | None = luigi.DateParameter(  # type: ignore[assignment]
        default=None,  # type: ignore[arg-type]  # as `stop`, which it becomes
        significant=False,
        description="last date, included; in place of --stop",
    )
    task_limit = luigi.IntParameter(default=_ALL, description="most days in one run; the log says how many are left")
    dataset: str = luigi.ChoiceParameter(  # type: ignore[assignment]
        choices=catalog.NAMES,
        default=catalog.DEFAULT,
        positional=False,
        description="data set of the days: " + ", ".join(catalog.NAMES),
    )
    recheck_closed = luigi.BoolParameter(
        default=False, significant=False, description="request again the weekdays that are closed for want of a file"
    )
    recheck_absent = luigi.BoolParameter(
        default=False, significant=False, description="request again, now, the sessions that no source had"
    )

    host: str = luigi.Parameter(  # type: ignore[assignment]
        default=None,  # see `get_param_values`
        significant=False,  # but part of the id, unless it is empty
        positional=False,
        description="host that runs the fill, where several hosts share its days; default: CHAMPION_HOST",
    )

    # As in Luigi, where the parameter's type warns of its own default.
    param_name: Any = luigi.OptionalParameter(default=None, significant=False, positional=False)

    # Called with the progress after each day; the `champion` command draws a bar.
    on_progress: Callable[[Progress], None] | None = None
    progress: Progress | None = None
    # Why the last run failed, if it did.
    error: BaseException | None = None
    # The absent sessions of the range, after a run.
    absent: Sequence[date] = ()
    # Whether the caller reports the outcome of each day and of the whole; otherwise the log has both.
    is_reported = False
    _is_recorded = False
    # The name of this fill's run in MLflow, and whether its days are steps of that run.
    _run_name = ""
    _has_steps = False
    _has_just_run = False
    # Until when a server's last answer is used again, if nothing was missing.
    _is_complete_until = 0.0

    @classmethod
    def get_param_values(cls, params: Any, args: Any, kwargs: Any) -> list[tuple[str, Any]]:
        """Luigi's own, with the last date as the stop after it, so that both spellings are one task.

        Raises ParameterException for both at once, and for a range that ends before it begins.
        """
        values = dict(super().get_param_values(params, args, kwargs))
        start, stop, end = values["start"], values["stop"], values["end"]
        if end is not None and stop is not None:
            raise ParameterException(f"--end {end} and --stop {stop} are given: one of them, please; --end is included")
        if start and (end or stop) and start > (end or stop):
            raise ParameterException(f"--start {start} is after {f'--end {end}' if end else f'--stop {stop}'}")
        values |= {"stop": end + timedelta(days=1), "end": None} if end is not None else {}
        if values["host"] is None:
            values["host"] = hosts.name_in_luigi()
        return list(values.items())

    def to_str_params(self, only_significant: bool = False, only_public: bool = False) -> dict[str, str]:
        """Luigi's own. Hosts that share a range have a task each; otherwise the id has no host."""
        found: dict[str, str] = super().to_str_params(only_significant, only_public)
        found.pop("host", None)
        return found | ({"host": self.host} if self.host else {})

    @property
    def definition(self) -> Dataset:
        """The data set's definition."""
        return catalog.DATASETS[self.dataset]

    def requires(self) -> list[luigi.Task]:
        """The last task of each missing session, in running order."""
        return [self._instantiate_task_cls(day) for day in self._days]

    def deps(self) -> list[luigi.Task]:
        """Nothing for Luigi to schedule beforehand: `run` schedules the days, a chunk at a time."""
        # Luigi calls this in the parent of the workers, and only if something is missing. Absent sessions that are not
        # requested now need neither Polars nor the carrier of metrics.
        if self._days or self._partial:
            if issubclass(self.of, LoadClickHouse):
                wiring.warehouse_place().require_engine()
            process.prepare()
        return []

    @durable.explained()
    def complete(self) -> bool:
        """Whether no session of the range is missing, from one listing."""
        version.require(settings.data_dir())
        if self._has_just_run:
            # Luigi checks once more, right after `run`. Stages that others requested meanwhile are left to them.
            self._has_just_run = False
            return True
        if time.monotonic() < self._is_complete_until:
            return True
        found = self._found()
        # A day that was rechecked and is still closed is not missing.
        closed = self.progress.closed if self.progress else {}
        is_complete = not found.absent and not found.partial and all(day in closed for day in found.due)
        is_complete = is_complete and not self._ahead()
        if is_complete and settings.get("clickhouse_host"):
            # The command and Luigi look in turn: the server is asked once.
            self._is_complete_until = time.monotonic() + _FRESH_SECONDS
        return is_complete

    def why_complete(self) -> str:
        """The sentence about a range in which nothing is missing."""
        start, stop = self._bounds()
        if self.finite_datetimes(start, stop):
            if self._is_cut_off:
                latest = (stop - timedelta(days=1)).date()
                return f"Nothing is missing up to {latest}, the latest session that should be published by now."
            return "Nothing is missing."
        first, last = self._asked()
        if last < first:
            return "Nothing is missing."
        expectation = wiring.expectation(self.definition)
        found = expectation.without_request(first)
        if first != last or found is None:
            before = last < expectation.first_date and found
            return absence.no_session(f"{first} to {last}", before or None)
        return absence.no_session(f"{first}", found)

    def _asked(self) -> tuple[date, date]:
        """The first and the last date of the range as it was asked for, whatever is published by now."""
        start, stop = self._bounds()
        return start.date(), (_midnight(self.stop) if self.stop else stop).date() - timedelta(days=1)

    @property
    def _is_cut_off(self) -> bool:
        """Whether the range goes on after the latest session that should be published by now."""
        return self.stop is not None and _midnight(self.stop) > self._bounds()[1]

    def _ahead(self) -> dict[date, str]:
        """The sessions of the range, and why they are not published yet, if all of them are still to come."""
        if not self._is_cut_off or self.finite_datetimes(*self._bounds()):
            return {}
        first, last = self._asked()
        expectation = wiring.expectation(self.definition)
        days = (each for each in sorted(expectation.days(first, last + timedelta(days=1))) if each > expectation.latest)
        return {day: expectation.of_unpublished(day) for day in days}

    def _requires(self) -> list[luigi.Task]:
        """This task itself, for Luigi's summary: it is pending only because of what its own `run` yielded."""
        return [self]

    def _task_parameters(self, param: Any) -> dict[str, Any]:
        """The parameters of a day's task, with this data set; a site's own task has no data set."""
        of = {"dataset": self.dataset} if issubclass(self.of, DayTask) else {}
        parameters: dict[str, Any] = super()._task_parameters(param)
        return of | parameters

    def moving_start(self, now: datetime) -> datetime:
        """The first date; an explicit start is never clipped."""
        today = now.replace(tzinfo=UTC).astimezone(sessions.INDIA).date()
        if self.start is None and self.days_back == DAYS_BACK and (first := settings.first_date(self.definition)):
            return _midnight(first)
        return _midnight(self.start or today - timedelta(days=self.days_back))

    def moving_stop(self, now: datetime) -> datetime:
        """The day after the latest session that should be published at ``now`` (UTC, naive, as in Luigi)."""
        expectation = replace(wiring.expectation(self.definition), now=now.replace(tzinfo=UTC))
        return _midnight(expectation.latest + timedelta(days=1))

    def finite_datetimes(self, finite_start: datetime, finite_stop: datetime) -> list[datetime]:
        """The sessions from start to stop (exclusive): by evidence and the calendar, absent ones included."""
        start, stop = finite_start.date(), finite_stop.date()
        days = wiring.expectation(self.definition).days(start, stop, recheck_closed=self.recheck_closed)
        # Days that a killed redo left due: their files exist, whatever the calendar or this archive says.
        days |= due.first_stages(wiring.files(self.definition).due, start, stop).keys()
        return [_midnight(day) for day in sorted(days)]

    def missing_datetimes(self, finite_datetimes: list[datetime]) -> list[datetime]:
        """The dates that are not complete, from one listing for all of them."""
        if not finite_datetimes:
            return []
        first, last = finite_datetimes[0].date(), finite_datetimes[-1].date()
        complete = complete_days(self.of, self.definition, first, last + timedelta(days=1))
        if complete is None:
            missing: list[datetime] = super().missing_datetimes(finite_datetimes)
            return missing
        return [each for each in finite_datetimes if each.date() not in complete]

    def _found(self) -> Found:
        """The days of the range that are incomplete, by what is to be done about them."""
        start, stop = self._bounds()
        expectation = wiring.expectation(self.definition)
        days = self.finite_datetimes(start, stop)
        missing = {each.date() for each in self.missing_datetimes(days)}
        absent = missing & expectation.absent
        again = absent if self.recheck_absent else absent - expectation.resting
        probes = sorted(again) if self.recheck_absent else absence.probes(sorted(again))
        return Found(
            due=sorted(missing - absent | set(probes)),
            probes=set(probes),
            absent=sorted(absent - expectation.lost),
            waiting=sorted(again - set(probes)),
            partial=sorted({each.date() for each in days} & expectation.partial - missing),
        )

    def run(self) -> Iterator[list[luigi.Task]]:
        """Run the missing days, and report each day's outcome. Raises FillFailed if days failed."""
        try:
            with record.execution():
                self.progress = Progress(due=0)
                try:
                    version.claim(settings.data_dir())
                    self._fill(self.progress)
                except BaseException as error:
                    self.error = error
                    # An Exception, such as FillFailed, counts as failed; anything else, such as Ctrl-C, as killed.
                    status = "FAILED" if isinstance(error, Exception) else "KILLED"
                    self._record_end(status, status.lower(), error)
                    raise
                outstanding = self.outstanding()
                self._record_end("FINISHED", "incomplete" if outstanding else "success", "; ".join(outstanding))
        finally:
            hosts.withdraw(self)
            # After the last record: a thread that still runs loses the engine here, which is no failure of its day.
            opened.close_shared()
        self._has_just_run = not outstanding
        if outstanding:
            yield [Outstanding(what=what) for what in outstanding]

    def on_failure(self, exception: BaseException) -> str:
        """Luigi's message to the scheduler and by mail: its traceback, with secrets removed."""
        return settings.without_secrets(super().on_failure(exception))

    @durable.explained()
    def _fill(self, progress: Progress) -> None:
        if overruled := absence.judge_again(self.definition):
            words = "days were recorded as closed, though nothing shows that: they are absent, and stay due"
            self._say(f"{len(overruled)} {words}: {sessions.in_words(overruled)}")
        self.require_settings()
        start, stop = self._bounds()
        hosts.announce(self, self.definition, start.date(), stop.date(), with_warehouse=self.of is LoadClickHouse)
        hosts.warn_of_locks()
        progress.unpublished |= self._ahead()
        days = self._days
        if self.of is LoadClickHouse and not settings.get("clickhouse_host") and days:
            # Wait here, once, for another fill that holds the embedded engine, and skip the days that it completed.
            warehouse = opened.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self._say)
            # While there is room on the disk: the engine cannot read half a statement. A load reports what is wrong.
            with contextlib.suppress(ChampionError):
                warehouse.prepare(self.definition)
                warehouse.hold_merges(self.definition)
            missing = {each.date() for each in self.missing_datetimes(self.finite_datetimes(*self._bounds()))}
            days = [day for day in days if day in missing]
        if self.of is LoadClickHouse and settings.get("clickhouse_cluster") and days:
            # Tables of another kind on any host are refused before the first day. If too few hosts answer, the loads
            # report it.
            with contextlib.suppress(WarehouseUnreachable):
                warehouse = opened.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self._say)
                warehouse.prepare(self.definition)
        days = sorted({*days, *self._now_whole(self.task_limit - len(days))}, reverse=self.reverse)
        probes = wiring.expectation(self.definition).absent.intersection(days)
        progress.due, progress.left = len(days), self._beyond_limit
        self._record_start(days)
        self._say_plan(days)
        self._run(days, progress)
        self._await_others(progress)
        after = wiring.expectation(self.definition)
        waiting = self._waiting if probes - after.absent - after.closed else []
        if waiting and not progress.stopped_because:
            waiting = sorted(waiting, reverse=self.reverse)[: max(0, self.task_limit - len(days))]
            self._say(f"files have come that were absent: {len(waiting)} further absent days are requested again")
            progress.due += len(waiting)
            progress.left += len(self._waiting) - len(waiting)
            self._run(waiting, progress)
            self._await_others(progress)
        self._merge([*days, *waiting])
        _say_double_work(progress)
        # Each day has one outcome, and the latest answer counts.
        others = progress.failed | progress.unpublished
        self.absent = [day for day in self._found().absent if day not in others]
        progress.all_absent = len(self.absent)
        if not self.is_reported:
            # The failed days are in the log already, and the others that are outstanding follow.
            for day, reason in sorted(progress.closed.items()):
                logger.warning("%s closed: %s", day, reason)
            for what in self.outstanding():
                logger.warning("%s", what)
        if progress.failed:
            failed = FillFailed(_failures_in_words(progress))
            failed.short = progress.sentence()
            raise failed
        if progress.due and not self.is_reported:
            self._say(progress.sentence())

    def _run(self, days: Sequence[date], progress: Progress) -> None:
        order = day_task.newest_first.set(self.reverse)
        last = day_task.last_of_fill.set(self._last_of_day)
        place = day_task.run_of_fill.set(self._run_name if self._has_steps else None)
        limits = hosts.of_archive.set(hosts.limits(self))
        try:
            with settings.overridden({"ask_closed": self.recheck_closed or None}):
                fill_days(
                    self.of, self.definition, days, progress, self._show, workers=_workers(), **_scheduler_of(self)
                )
        finally:
            hosts.of_archive.reset(limits)
            day_task.run_of_fill.reset(place)
            day_task.last_of_fill.reset(last)
            day_task.newest_first.reset(order)

    def _await_others(self, progress: Progress) -> None:
        """Wait for days that other processes work on, and do those that they leave undone.

        Only where hosts share a place, or under a central scheduler. The wait ends once nothing has changed for
        ``lock_wait_seconds``.
        """
        if not (wiring.claims() or hosts.is_central(self)):
            return
        changed = time.monotonic()
        while progress.elsewhere and not progress.stopped_because:
            before = list(progress.elsewhere)
            self._show(progress)
            time.sleep(_LOOK_SECONDS)
            missing = {
                each.date() for each in self.missing_datetimes([_midnight(day) for day in sorted(progress.elsewhere)])
            }
            progress.by_others += len(before) - len(missing)
            left = [day for day in before if day in missing]
            # In running order, so that the others' next days are not asked for one by one.
            size = wiring.fill_group(self.definition)
            first, progress.elsewhere = left[:size], left[size:]
            if first:
                self._run(first, progress)
            progress.elsewhere.sort(reverse=self.reverse)
            if progress.elsewhere != before:
                changed = time.monotonic()
            elif time.monotonic() - changed > settings.get("lock_wait_seconds"):
                return

    @property
    def _last_of_day(self) -> type[luigi.Task] | None:
        """The task after which a day's tables between two stages go; None if they stay."""
        is_last = issubclass(self.of, WriteParquet | LoadClickHouse)
        return self.of if is_last and not settings.get("keep_intermediates") else None

    def _merge(self, days: Sequence[date]) -> None:
        """Leave each loaded year of the table as one part; after many days, each year, whoever loaded it.

        A fill that was killed, or an older version, left the others. An evening's fill must not pay for them.
        """
        if self.of is not LoadClickHouse or not (self.progress and self.progress.done):
            return
        years = {day.year for day in days} if len(days) < _MANY_DAYS else None
        if years is None:
            self._say("merging the loaded years in the warehouse")
        try:
            table = opened.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self._say)
            table.merge(self.definition, years)
        except (StorageError, WarehouseError, WarehouseUnreachable) as error:
            logger.warning("all is loaded, but not merged, so the view reads more slowly: %s", error)

    def _now_whole(self, most: int) -> list[date]:
        """The days that a partial source gave, and that have a full file now; they are due from the first stage."""
        partial = absence.probes(self._partial)[: max(0, most)]
        if not partial or not issubclass(self.of, DayTask):
            return []
        found = absence.find_whole(self.definition, partial)
        for day in found:
            due.ask(wiring.files(self.definition).due, day, range(self.of.stage + 1))
        return found

    def _record_start(self, days: Sequence[date]) -> None:
        if not days:
            return
        self._is_recorded = True
        start, stop = self._bounds()
        # Luigi's events of the range are records of this run.
        self._emit_metrics([_midnight(day) for day in self._due], start, stop)
        first, last = start.date(), (stop - timedelta(days=1)).date()
        self._run_name = name_of_fill(first, last, self.dataset)
        self._has_steps = len(days) > settings.get("fill_day_runs")
        if page := record.runs_page(self._run_name):
            day_task.show(self, "set_tracking_url", page)
        what: dict[str, Any] = {"first": first, "last": last, "days_due": len(days), **catalog.named(self.dataset)}
        if self._has_steps:
            what["days_as_steps"] = True
        if self.of is LoadClickHouse:
            what["clickhouse_table"] = f"{settings.get('clickhouse_database')}.{self.definition.table}"
        record.record(Event.FILL_START, of=self.of.__name__, workers=_workers(), version=VERSION, **what)

    def _say_plan(self, days: Sequence[date]) -> None:
        if not days:
            return
        count = "1 day" if len(days) == 1 else f"{len(days)} days"
        span = f"{days[0]}" if len(days) == 1 else f"from {min(days)} to {max(days)}"
        ahead = ", the latest session that should be published by now" if self._is_cut_off else ""
        self._say(f"{count} of {self.dataset} to do, {span}{ahead}; the last task is {self.of.__name__}")

    def require_settings(self) -> None:
        """Raise SettingsError, before the first day, if a setting cannot be used: each day would only say so itself."""
        settings.require_usable(with_warehouse=self.of is LoadClickHouse)
        wiring.require_stores()
        days = set(self._days)
        if days and days - wiring.files(self.definition).days("raw", min(days), max(days) + timedelta(days=1)).keys():
            wiring.configured_archive()

    def _record_end(self, status: str, words: str, error: BaseException | str) -> None:
        assert self.progress is not None
        if not self._is_recorded:
            return
        text = settings.without_secrets(str(error) or type(error).__name__ if error else "")
        record.conclude(Event.FILL_END, status=status, words=words, error=text, metrics=self.progress.metrics())

    @functools.cached_property
    def _days(self) -> list[date]:
        """The days to run, in running order; ``_beyond_limit`` more are missing."""
        found = self._found()
        ordered = found.in_order(self.task_limit, reverse=self.reverse)
        self._due, self._waiting, self._partial = found.due, found.waiting, found.partial
        self._beyond_limit, all_due = len(found.due) - len(ordered), len(found.due)
        if self._beyond_limit:
            logger.warning("--task-limit %d: %d of %d days are left", self.task_limit, self._beyond_limit, all_due)
        return ordered

    def _bounds(self) -> tuple[datetime, datetime]:
        now = datetime.fromtimestamp(time.time() if self.now is None else self.now, UTC).replace(tzinfo=None)
        start, stop = self.moving_start(now), self.moving_stop(now)
        if self.stop is not None:
            stop = min(stop, _midnight(self.stop))
        return start, max(start, stop)

    def outstanding(self) -> list[str]:
        """The work that the last run could not do, in words, with the time to try again."""
        what = self._to_do()
        if self.absent:
            expectation = wiring.expectation(self.definition)
            # Those that were not among the probes are due already.
            again = max(min(map(expectation.due_again, self.absent)), expectation.now.astimezone(sessions.INDIA).date())
            count = len(self.absent)
            words = "session is absent: {}" if count == 1 else "sessions are absent: {}"
            what.append(
                f"{count} {words.format(sessions.in_words(self.absent))}; no source of the archive has a file; "
                + ("the archive gave none of the days requested: check NSE_ARCHIVE_URL; " if self._gave_nothing else "")
                + f"requested again from {again} on, or now with champion fill --recheck-absent"
            )
        return what

    @property
    def is_done_but_for_absent(self) -> bool:
        """Whether everything that the archive has is complete, and sessions are absent."""
        return bool(self.absent) and not self._to_do() and not (self.progress and self.progress.failed)

    @property
    def _gave_nothing(self) -> bool:
        progress = self.progress
        if progress is None or not 0 < progress.due == len(progress.absent):
            return False
        return not wiring.expectation(self.definition).receipts.gave_after(date.min)

    def _to_do(self) -> list[str]:
        progress = self.progress
        if progress is None:
            return []
        what = [f"{day}: {reason}" for day, reason in sorted(progress.unpublished.items())]
        if len(what) > _MOST_NAMED:
            more = f"and {len(what) - _MOST_NAMED} more days are not published yet, up to {max(progress.unpublished)}"
            what[_MOST_NAMED:] = [more]
        if progress.left:
            reason = progress.stopped_because or f"--task-limit {self.task_limit}"
            days = "1 day is" if progress.left == 1 else f"{progress.left} days are"
            what.append(f"{days} left ({reason}): run the same fill again")
        if progress.elsewhere:
            days = "1 day is" if len(progress.elsewhere) == 1 else f"{len(progress.elsewhere)} days are"
            what.append(f"{days} being run by another process")
        return what

    def _show(self, progress: Progress) -> None:
        if self.on_progress is not None:
            self.on_progress(progress)
        day_task.show(self, "set_status_message", progress.sentence())
        day_task.show(self, "set_progress_percentage", progress.percentage)

    def _say(self, message: str) -> None:
        logger.info("FillBhavcopy: %s", message)
        day_task.show(self, "set_status_message", message)


def _say_double_work(progress: Progress) -> None:
    """Warn of days that hosts fetched in vain, because they share a server and nothing else."""
    if progress.loaded_elsewhere and not wiring.claims():
        logger.warning(
            "%s loaded by another host, or from another DATA_DIR, while this fill worked on them: each has fetched "
            "them. Hosts that share only a server do not divide a range. To divide it, set CHAMPION_RAW_DIR and "
            "CHAMPION_LAKE_DIR to a store that they share.",
            "1 day was" if progress.loaded_elsewhere == 1 else f"{progress.loaded_elsewhere} days were",
        )


def _workers() -> int:
    """The number of tasks at a time: ``--workers`` if above 1, otherwise the setting."""
    asked: int = luigi.interface.core().workers
    return asked if asked > 1 else int(settings.get("fill_workers"))


def _scheduler_of(task: luigi.Task) -> dict[str, Any]:
    """The arguments that give a fill's tasks its own central scheduler, or else a local one."""
    reporter = getattr(getattr(task, "set_status_message", None), "__self__", None)
    scheduler = getattr(reporter, "_scheduler", None)
    return {"scheduler_url": scheduler._url} if isinstance(scheduler, RemoteScheduler) else {"local_scheduler": True}


def _failures_in_words(progress: Progress, most: int = 5) -> str:
    named = [f"{day}: {reason}" for day, reason in itertools.islice(sorted(progress.failed.items()), most)]
    more = len(progress.failed) - len(named)
    return f"{progress.sentence()}. " + "; ".join(named) + (f"; and {more} more, in the log" if more else "")


def _midnight(day: date) -> datetime:
    """A day as Luigi's ranges have it."""
    return datetime.combine(day, datetime.min.time())


class FillDays(FillBhavcopy):
    """A fill of the days that it is ``given``, whatever the calendar and the clock say of them."""

    given: frozenset[date] = frozenset()
    # A day that is done again is looked at, or done again once more: its tables stay.
    _last_of_day = None

    @classmethod
    def of_days(cls, dataset: Dataset, of: type[luigi.Task], days: Sequence[date]) -> FillDays:
        """A fill of these days, up to their task ``of``."""
        stop = max(days) + timedelta(days=1)
        parameters: dict[str, Any] = {"of": of, "dataset": dataset.name, "start": min(days), "stop": stop}
        parameters["recheck_absent"] = True
        task = cls(**parameters)
        task.given = frozenset(days)
        return task

    def moving_stop(self, now: datetime) -> datetime:  # noqa: ARG002 - Luigi's signature
        """The day after the last one."""
        return _midnight(max(self.given) + timedelta(days=1))

    def finite_datetimes(self, finite_start: datetime, finite_stop: datetime) -> list[datetime]:  # noqa: ARG002
        """The days that are given."""
        return [_midnight(day) for day in sorted(self.given)]
