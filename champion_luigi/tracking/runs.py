"""Runs made of journal records: the work of one execution on one trade date, or a whole fill.

A date's run is reported when it is final: its last requested task has succeeded, the fill has settled the date, or
the process is gone. A fill is reported from its start on, because its dates are its children, or its steps.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from champion_luigi.tracking.days import Day
from champion_luigi.tracking.fills import Fill
from champion_luigi.tracking.journal import FAILURES, Event, Position
from champion_luigi.tracking.run import Life, Record, Run, milliseconds

_DAY_EVENTS = FAILURES | {Event.START, Event.PROCESSING_TIME, Event.SUCCESS, Event.FOUND_COMPLETE, Event.SETTLED}
_FILL_EVENTS = frozenset({Event.RANGE, Event.FILL_START, Event.FILL_PROGRESS, Event.FILL_END})


class Runs:
    """Collects records as they come, and yields the runs that can be reported."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, str], Day] = {}
        self._fills: dict[str, Fill] = {}
        self._ended: set[str] = set()
        self._interrupted: set[str] = set()
        self._first: dict[tuple[str, str], dict[str, int]] = {}
        self._read: dict[str, int] = {}
        self._begun: dict[str, int] = {}

    def add(self, position: Position, record: Record) -> None:
        """Take the next record. Skip it if it belongs to no run, is damaged, or comes from a later version.

        Raising here would stop every carrier at this record. Skipping it lets the rest of the run be reported.
        """
        self._begun.setdefault(position.file, position.start)
        self._read[position.file] = position.end
        with contextlib.suppress(AttributeError, KeyError, OverflowError, TypeError, ValueError):
            self._add(position, record)

    def _add(self, position: Position, record: Record) -> None:
        event, execution = record.get("event"), record.get("execution")
        if not execution or not event or "time" not in record:
            return
        if event == Event.END:
            self._ended.add(execution)
            if record.get("interrupted"):
                self._interrupted.add(execution)
            # The end belongs to runs that are not reported yet, and may be in another month's file.
            for (each, _), first in self._first.items():
                if execution in (each, process_of(each)):
                    first.setdefault(position.file, position.start)
            return
        if {execution, process_of(execution)} & self._ended:
            return  # from a thread or a child that went on: its day has an outcome already
        key = (execution, _day_of(record, record.get("date", "")))
        if event not in (_DAY_EVENTS if key[1] else _FILL_EVENTS):
            return
        time = milliseconds(record)
        # Before the record is taken: if it turns out to be damaged, a part of it may be left to report.
        self._first.setdefault(key, {}).setdefault(position.file, position.start)
        if key[1]:
            self._days.setdefault(key, Day(record)).add(record)
            if fill := self._fills.get(execution):
                fill.last = max(fill.last, time)
        else:
            self._fills.setdefault(execution, Fill(record)).add(record)

    def tell(self, gone: Collection[str]) -> Iterator[Run]:
        """The final runs, and the fills that go on. A fill comes before its days, its end after them.

        ``gone`` names the processes that had ended before the last records were read.
        """

        @functools.cache
        def life(execution: str) -> Life:
            process = process_of(execution)
            if {execution, process} & self._ended and process not in self._interrupted:
                return "ended"
            return "gone" if process in self._ended or process in gone else "alive"

        days: list[Run] = []
        for (execution, label), day in list(self._days.items()):
            of = self._fills.get(execution)
            state = (of.days_life() if of else None) or life(execution)
            if run := day.run(state, of.name if of else None):
                if of and of.take(run):
                    self._forget(execution, label)
                else:
                    days.append(run)
            elif state != "alive" or day.outcome(state):
                self._forget(execution, label)  # requested and never started, or found complete
        yield from [news for fill in self._fills.values() for news in fill.news()]
        yield from days
        for fill in list(self._fills.values()):
            if run := fill.ended(life(fill.execution)):
                yield run
            elif not fill.name and life(fill.execution) != "alive":
                self._fills.pop(fill.execution)  # it ended before it had its days
                self._first.pop((fill.execution, ""), None)

    def delivered(self, run: Run) -> None:
        """Forget a run that has arrived."""
        fill = self._fills.get(run.execution)
        if fill and fill.name == run.name:
            fill.delivered(run)
            if run.end is not None:
                self._fills.pop(run.execution)
                self._first.pop((run.execution, ""), None)
        else:
            self._forget(run.execution, _day_of(run.params, run.params["trade_date"]))

    def offsets(self) -> dict[str, int]:
        """How many bytes of each file need not be read again.

        Everything after the first open record is read again, in later files too. At the turn of a month, the records
        in the later file alone would look like another run.
        """
        safe = dict(self._read)
        for first in self._first.values():
            for file, start in first.items():
                safe[file] = min(safe[file], start)
        is_held = False
        for file in sorted(safe):
            if is_held:
                safe[file] = self._begun[file]
            is_held |= safe[file] < self._read[file]
        return safe

    def seen(self) -> dict[str, int]:
        """How many bytes of each file have been read."""
        return dict(self._read)

    def open_executions(self) -> set[str]:
        """The executions with records that are not yet delivered."""
        return {execution for execution, _ in self._first}

    def _forget(self, execution: str, date: str) -> None:
        self._days.pop((execution, date), None)
        self._first.pop((execution, date), None)


def _day_of(named: Mapping[str, Any], day: str) -> str:
    """A label for a day of a data set, unique within an execution; empty without a day."""
    return f"{day} {named.get('dataset', '')}".rstrip() if day else ""


def process_of(execution: str) -> str:
    """The process that an execution belongs to."""
    return execution.partition(".")[0]
