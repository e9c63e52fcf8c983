"""The days of a fill, run a chunk at a time: each day's outcome, and the fill's progress.

Each step of a scheduler costs in proportion to all its tasks. Each chunk has a scheduler of its own, so the cost of a
range grows only with its days, for one year or for thirty.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from champion_luigi.base import signals
from champion_luigi.base.errors import (
    ArchiveUnusable,
    Busy,
    NotPublished,
    Refused,
    SettingsError,
    StoreUnreachable,
    TransientError,
)
from champion_luigi.config import settings, steady, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import sessions
from champion_luigi.pipeline import absence, day_task, hosts
from champion_luigi.pipeline import lanes as threads
from champion_luigi.pipeline.complete import complete_days
from champion_luigi.pipeline.day_task import DayTask, listening
from champion_luigi.pipeline.tasks import LoadClickHouse, ScrapeBhavcopy
from champion_luigi.tracking import record
from champion_luigi.tracking.journal import Event
from champion_luigi.warehouse import opened

# A child of Luigi's logger, with its own level: it still logs while Luigi's own messages are suppressed.
logger = logging.getLogger("luigi-interface.fill")

# With fewer workers, a lane would fetch its days one by one.
_WORKERS_FOR_TWO_LANES = 4
_LOG_SECONDS = 10.0
# Where hosts share a range: the fewest days that each takes at a time, and the number of parts if that gives more.
_LEAST_SHARED, _SHARES = 4, 8
_SHOW_SECONDS = 0.2


@dataclass
class Progress:
    """A fill's progress. Counts are days, except ``rows``.

    ``failed``, ``absent``, ``closed`` and ``unpublished`` hold reasons, of the days that this fill requested;
    ``all_absent`` is the number of absent sessions in the whole range, and ``loaded_elsewhere`` that of the days, among
    those done by others, that this fill worked on when another host loaded them.
    """

    due: int
    done: int = 0
    rows: int = 0
    fetched: int = 0
    current: date | None = None
    failed: dict[date, str] = field(default_factory=dict)
    absent: dict[date, str] = field(default_factory=dict)
    closed: dict[date, str] = field(default_factory=dict)
    unpublished: dict[date, str] = field(default_factory=dict)
    elsewhere: list[date] = field(default_factory=list)
    by_others: int = 0
    loaded_elsewhere: int = 0
    all_absent: int = 0
    left: int = 0
    stopped_because: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def rate(self) -> float:
        """Days a second."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    @property
    def percentage(self) -> int:
        """The part of the days that are done, by whomever, in percent."""
        return round(100 * (self.done + self.by_others) / max(self.due, 1))

    def metrics(self) -> dict[str, float]:
        """The progress as numbers, by the names of the fill's metrics."""
        return {
            "days_due": self.due,
            "days_done": self.done,
            "days_failed": len(self.failed),
            "days_absent": max(self.all_absent, len(self.absent)),
            "days_closed": len(self.closed),
            "days_unpublished": len(self.unpublished),
            "days_left": self.left,
            "rows": self.rows,
            "days_per_second": round(self.rate, 3),
        }

    def sentence(self) -> str:
        """The progress in one line."""
        parts = [f"{self.done} of {self.due} days", f"{self.rows:,} rows", f"{self.rate:.1f} days a second"]
        others = {
            "failed": len(self.failed),
            "absent": len(self.absent),
            "closed": len(self.closed),
            "not published yet": len(self.unpublished),
            "done by others": self.by_others,
            "run by another process": len(self.elsewhere),
            "left": self.left,
        }
        return ", ".join([*parts, *(f"{count} {words}" for words, count in others.items() if count)])


def fill_days(
    of: type[DayTask],
    dataset: Dataset,
    days: Sequence[date],
    progress: Progress,
    show: Callable[[Progress], None] = lambda _progress: None,
    *,
    workers: int,
    **scheduler: Any,
) -> None:
    """Complete the days in this order, and record each day's outcome in ``progress``.

    One bad day does not stop the rest. The fill stops if the archive refuses, or if for a whole chunk the archive
    answers nothing or the disk is full; the days left are then counted. A session that no source has is entered in the
    ledger as absent.
    """
    logger.setLevel(logging.INFO)
    is_shared, size = wiring.claims() is not None, wiring.fill_group(dataset)
    if is_shared:
        # Hosts divide a range by the chunk.
        size = min(size, max(_LEAST_SHARED, -(-len(days) // _SHARES)))
    chunks = [days[start : start + size] for start in range(0, len(days), size)]
    lanes = min(len(chunks), 2 if workers >= _WORKERS_FOR_TWO_LANES else 1)
    missing: dict[date, NotPublished] = {}
    running: deque[tuple[list[DayTask], threads.Lane]] = deque()
    recorder = _Recorder(of, progress, show)
    show(progress)
    with steady.still(), threads.economy(), listening(recorder) as errors:
        try:
            while chunks or running:
                while chunks and len(running) < lanes:
                    chosen = chunks.pop(0)
                    if is_shared and not (chosen := _claimed(of, dataset, chosen, progress)):
                        continue
                    chunk = [of(date=day, dataset=dataset.name) for day in chosen]
                    of.look(chunk)
                    locks = _locks(of, chunk) if "local_scheduler" in scheduler else []
                    running.append((chunk, threads.Lane(chunk, max(1, workers // lanes), locks=locks, **scheduler)))
                if not running:
                    break
                chunk, lane = running[0]
                lane.wait()
                running.popleft()
                hosts.give_back(dataset, [task.date for task in chunk])
                _settle(dataset, chunk, errors, missing, progress)
                recorder.count_others(chunk)
                of.forget(chunk)
                if because := _reason_to_stop(chunk, errors):
                    progress.left += sum(map(len, chunks))
                    progress.stopped_because = because
                    chunks.clear()
                with signals.deferred():
                    for task in chunk:
                        errors.pop(task.date, None)  # with all that the frames of its traceback hold
                    del chunk, lane
                    threads.collect()
                record.record(Event.FILL_PROGRESS, metrics=progress.metrics())
                show(progress)
        finally:
            for _, lane in running:
                lane.stop()
            for chunk, _ in running:
                hosts.give_back(dataset, [task.date for task in chunk])
                of.forget(chunk)
    # What a missing file means can depend on the files of later days.
    _settle_missing(dataset, missing, progress)
    _record_missing(dataset, progress)


def _claimed(of: type[DayTask], dataset: Dataset, days: Sequence[date], progress: Progress) -> list[date]:
    """The days of a chunk that are left to do, claimed for this host; ``progress`` gets those of other hosts."""
    mine = hosts.take(dataset, days)
    progress.elsewhere += [day for day in days if day not in mine]
    # Another host may have completed them since they were listed.
    complete = (mine and complete_days(of, dataset, min(mine), max(mine) + timedelta(days=1))) or set()
    done = [day for day in mine if day in complete]
    progress.by_others += len(done)
    hosts.give_back(dataset, done)
    return [day for day in mine if day not in complete]


def _locks(of: type[DayTask], chunk: Sequence[DayTask]) -> list[Path]:
    """The locks to hold for a chunk; none if its tasks may wait for the engine, whose holder may wait for a day."""
    if of.stage >= LoadClickHouse.stage:
        place = wiring.warehouse_place()
        if not (place.host or opened.is_shared(place)):
            return []
    return [task.files.lock(task.date) for task in chunk]


class _Recorder:
    """Counts successes, from any thread, and shows them at a sane pace."""

    def __init__(self, of: type[DayTask], progress: Progress, show: Callable[[Progress], None]) -> None:
        self._of, self._progress, self._show = of, progress, show
        self._further = min if day_task.newest_first.get() else max
        self._counted: set[date] = set()
        # The days with a stage that this fill has run.
        self._worked: set[date] = set()
        self._lock = threading.Lock()
        self._shown = self._logged = time.monotonic()

    def __call__(self, task: DayTask) -> None:
        """Count a task that succeeded."""
        with self._lock:
            if isinstance(task, ScrapeBhavcopy):
                self._progress.fetched += 1
            if not task.was_complete:
                self._worked.add(task.date)
            if isinstance(task, self._of):
                self._counted.add(task.date)
                is_elsewhere = getattr(task, "was_loaded_elsewhere", False)
                # A load can be found done because the lake's file, made again here, is the one that was loaded.
                is_others = is_elsewhere or task.date not in self._worked
                self._progress.done += not is_others
                self._progress.by_others += is_others
                self._progress.loaded_elsewhere += is_elsewhere
                # Two lanes overlap: the date of the one behind would go back.
                self._progress.current = self._further(self._progress.current or task.date, task.date)
                if not task.was_complete:
                    self._progress.rows += next((count for name, count in task.facts.items() if "rows" in name), 0)
                now = time.monotonic()
                if now - self._shown >= _SHOW_SECONDS:
                    self._shown = now
                    self._show(self._progress)
                if now - self._logged >= _LOG_SECONDS:
                    self._logged = now
                    logger.info("FillBhavcopy: %s, at %s", self._progress.sentence(), self._progress.current)

    def count_others(self, chunk: Sequence[DayTask]) -> None:
        """Count the days of a chunk that has ended for which others left this fill nothing to do."""
        progress = self._progress
        with self._lock:
            unsettled = {*progress.failed, *progress.absent, *progress.closed, *progress.unpublished}
            days = {task.date for task in chunk}
            progress.by_others += len(days - self._counted - unsettled - {*progress.elsewhere})
            self._counted -= days
            self._worked -= days


def _settle(
    dataset: Dataset,
    chunk: Sequence[DayTask],
    errors: Mapping[date, BaseException],
    missing: dict[date, NotPublished],
    progress: Progress,
) -> None:
    """Record the outcome of each incomplete day of a chunk. ``missing`` takes those whose file may still appear."""
    found: dict[date, NotPublished] = {}
    unreachable: dict[date, BaseException] = {}

    def is_made(task: DayTask) -> bool:
        try:
            return task.is_made()
        except StoreUnreachable as error:
            unreachable[task.date] = error
            return False

    left = [task for task in chunk if not is_made(task)]
    # Another process may have done them meanwhile.
    type(chunk[0]).look(left)
    for day in (task.date for task in left if not is_made(task)):
        error = errors.get(day) or unreachable.get(day)
        if error is None:
            progress.elsewhere.append(day)
        elif isinstance(error, NotPublished):
            found[day] = error
        elif isinstance(error, Busy) and wiring.claims():
            progress.elsewhere.append(day)
        else:
            progress.failed[day] = f"{type(error).__name__}: {error}"
            _record_outcome(dataset, day, "failed", progress.failed[day])
    reasons: dict[str, tuple[str, list[date]]] = {}
    for day in (task.date for task in chunk if task.date in progress.failed):
        reason = progress.failed[day].replace(f"{day}: ", "", 1)
        # Of a full disk, the first file is enough.
        alike = errno.errorcode[errno.ENOSPC] if _is_disk_full(errors.get(day)) else reason
        reasons.setdefault(alike, (reason, []))[1].append(day)
    for reason, days in reasons.values():
        logger.error("%s failed: %s", sessions.in_words(days), reason)
    _settle_missing(dataset, found, progress)
    missing |= {day: _without_frames(error) for day, error in found.items() if day in progress.unpublished}


def _without_frames(error: NotPublished) -> NotPublished:
    """The error without its traceback and its cause, whose frames hold a day's data for as long as it is kept."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _settle_missing(dataset: Dataset, found: Mapping[date, NotPublished], progress: Progress) -> None:
    for day, (error, expected) in absence.enter(dataset, found).items():
        reasons = progress.absent if expected.state == "absent" else progress.unpublished
        progress.unpublished.pop(day, None)
        reasons[day] = f"{expected.why} ({error.source or error.found})"


def _record_missing(dataset: Dataset, progress: Progress) -> None:
    """Judge the absent days again, now that the files around them are here, and record the outcome of each."""
    expectation = wiring.expectation(dataset)
    for day in [day for day in progress.absent if day in expectation.closed]:
        del progress.absent[day]
        progress.closed[day] = expectation.of(day).why
    for outcome in ("absent", "closed", "unpublished"):
        for day, reason in getattr(progress, outcome).items():
            _record_outcome(dataset, day, outcome, reason)


def _record_outcome(dataset: Dataset, day: date, outcome: str, reason: str) -> None:
    record.record(
        Event.SETTLED, date=day, outcome=outcome, reason=settings.without_secrets(reason), **catalog.named(dataset.name)
    )


def _reason_to_stop(chunk: Sequence[DayTask], errors: Mapping[date, BaseException]) -> str:
    found = [errors[task.date] for task in chunk if task.date in errors]
    for error in found:
        if isinstance(error, Refused):
            return f"the archive refuses: {error}"
        if isinstance(error, ArchiveUnusable | SettingsError):
            return f"no other day would fare better: {error}"
    if len(found) == len(chunk) and all(isinstance(error, TransientError) for error in found):
        return f"none of {len(chunk)} days got an answer"
    if len(found) == len(chunk) and all(map(_is_disk_full, found)):
        return "the disk is full"
    return ""


def _is_disk_full(error: BaseException | None) -> bool:
    cause = error and error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
