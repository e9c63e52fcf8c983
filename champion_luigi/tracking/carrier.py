"""The carrier: a process that delivers the journal to MLflow while the work goes on, and never delays the work.

One carrier at a time serves a journal. It delivers the records of the process that started it and of all others. It
ends when that process has ended and every final run has arrived, or when it has been idle for a while. It gives up
when MLflow has taken nothing for a minute after the process ended: the rest stays in the journal for the next carrier.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Mapping

from champion_luigi.base import durable, locks
from champion_luigi.base import secrets as hiding
from champion_luigi.base.errors import Busy, StorageError
from champion_luigi.tracking import journal
from champion_luigi.tracking.job import CANNOT, DELIVERED, LEFT, Job
from champion_luigi.tracking.journal import Delivery
from champion_luigi.tracking.mlflow_store import Tracker
from champion_luigi.tracking.run import Run
from champion_luigi.tracking.runs import Runs, process_of

# How often the carrier looks whether the process has ended, for which a command waits: each 30 ms, later each hundredth
# of the time that it has run. New records are read less often, because that costs ten times as much.
_POLL_SECONDS = 0.03
_POLL_SHARE = 0.01
_READ_SECONDS = 0.25
_NOTE_SECONDS = 1.0
# How long `champion track flush` waits for another carrier: a request to MLflow takes less, and a carrier in trouble
# releases the journal while it pauses. How often it looks whether that one has delivered everything.
_TURN_SECONDS = 15.0
_LOOK_SECONDS = 0.2
_IDLE_SECONDS = 60.0
_GIVE_UP_SECONDS = 60.0
_LONGEST_PAUSE = 5.0
_AT_A_TIME = 200
_MISSING = "a library is missing"


class Carrier:
    """Reads the journal as it grows, and delivers the runs that are final.

    ``is_alone`` means that the process does nothing else.
    """

    def __init__(self, job: Job, *, is_alone: bool = False) -> None:
        self._job = job
        self._is_alone = is_alone
        self._runs = Runs()
        self._tracker: Tracker | None = None
        self._note = journal.delivery(job.folder)
        self._noted = time.monotonic()
        # Why some records have not arrived; empty if all have.
        self.trouble = ""
        self._is_first = job.is_first
        self._ended: float | None = None
        self._pause = 0.0
        self._delivered: set[tuple[str, str]] = set()

    @property
    def delivered_runs(self) -> int:
        """How many runs MLflow has taken."""
        return len(self._delivered)

    def run(self) -> int:
        """Carry until nothing is left to wait for. Returns an exit code."""
        lock, began = self._job.folder / "carrier.lock", time.monotonic()
        waiting = self._undelivered()
        while True:
            try:
                with locks.locked(lock, "the journal", _LOOK_SECONDS):
                    self._note = journal.delivery(self._job.folder)
                    code = self._carry()
                    self._write_note()
                if code is not None:
                    return code
                # Another carrier, such as `champion track flush`, may try during the pause.
                time.sleep(self._pause)
                self._runs, self._tracker, self._is_first = Runs(), None, False
            except Busy as error:
                self.trouble = (
                    journal.delivery(self._job.folder).trouble or f"another carrier is at work, {error.found}"
                )
                if self._job.process is None:
                    if self._another_has_taken(waiting):
                        self.trouble = ""
                        return DELIVERED
                    if time.monotonic() - began > _TURN_SECONDS:
                        return LEFT
                elif self._is_over() and self._another_has_delivered():
                    return DELIVERED

    def _carry(self) -> int | None:
        """Carry. Returns an exit code, or None if another carrier may have a turn before this one continues."""
        self.trouble = ""
        self._read()
        doubtful = self._runs.open_executions()
        if self._is_first:
            doubtful = {each for each in doubtful if process_of(each) != self._job.process}
        pause = 0.0
        started = last_use = time.monotonic()
        while True:
            # Before reading: the last records of a process are then read before it counts as gone.
            is_over = self._is_over()
            processes = {process_of(each) for each in self._runs.open_executions()} | {self._job.process or ""}
            gone = {each for each in processes if not self._is_alive(each)}
            if is_over and self._ended is None:
                self._ended = time.monotonic()
            is_idle = not self._read()
            arrived = self._try_to_deliver(gone, doubtful)
            now = time.monotonic()
            if arrived or not is_idle:
                last_use = now
            if arrived and self._ended is not None:
                self._ended = now
            is_unused = not self._runs.open_executions() and now - last_use > _IDLE_SECONDS
            is_hopeless = self._ended is not None and now - self._ended > _GIVE_UP_SECONDS
            if self.trouble.startswith(_MISSING):
                return CANNOT
            if not self.trouble and (is_over or is_unused):
                return DELIVERED
            if self.trouble and (self._job.process is None or is_hopeless):
                return LEFT
            if self.trouble and is_over:
                self._pause = min(_LONGEST_PAUSE, 2 * max(self._pause, 0.25))
                return None
            if now - self._noted > _NOTE_SECONDS:
                self._write_note()
            pause = min(_LONGEST_PAUSE, 2 * max(pause, 0.25)) if self.trouble else 0.0
            wake = now + max(pause, _READ_SECONDS)
            # The end of the process is worth one more attempt at once.
            while time.monotonic() < wake and self._is_over() == is_over:
                time.sleep(min(_READ_SECONDS, max(_POLL_SECONDS, _POLL_SHARE * (now - started))))

    def _read(self) -> bool:
        """Read the new records. Returns whether there were any."""
        offsets = self._note.offsets | self._runs.seen()
        found = False
        for position, record in journal.read_from(self._job.folder, offsets):
            self._runs.add(position, record)
            found = True
        return found

    def _try_to_deliver(self, gone: set[str], doubtful: set[str]) -> bool:
        """Deliver the final runs. Returns whether any arrived; an error is stored in `trouble`."""
        before = len(self._delivered)
        self.trouble = ""
        try:
            if self._tracker is None:
                job = self._job
                self._tracker = Tracker(job.uri, job.experiment, job.artifacts, job.secrets, lightly=self._is_alone)
                self._tracker.doubt(doubtful)
                gc.freeze()
                gc.enable()
            runs = list(self._runs.tell(gone))
            for start in range(0, len(runs), _AT_A_TIME):
                self._tracker.deliver(runs[start : start + _AT_A_TIME], self._arrived)
                if time.monotonic() - self._noted > _NOTE_SECONDS:
                    self._write_note()
            if not self._runs.open_executions() or self._is_over():
                self._tracker.settle()
        except ModuleNotFoundError as error:
            self.trouble = f"{_MISSING}: {error}"
        except Exception as error:  # noqa: BLE001 - a store may raise anything; the journal keeps the records
            words = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self.trouble = hiding.starred(words, self._job.secrets)[:1000]
        if self.trouble and self.trouble != self._note.trouble:
            print(f"{durable.now()} {self.trouble}", flush=True)
            self._write_note()
        return len(self._delivered) > before

    def _arrived(self, run: Run) -> None:
        self._runs.delivered(run)
        self._delivered.add((run.execution, run.name))

    def _is_over(self) -> bool:
        process = self._job.process
        return process is None or not self._is_alive(process)

    def _is_alive(self, process: str) -> bool:
        return locks.is_locked(journal.presence_file(self._job.folder, process))

    def _undelivered(self) -> dict[str, int]:
        """Where the last record of each file ends that has not arrived, by the last note."""
        offsets = journal.delivery(self._job.folder).offsets
        return {position.file: position.end for position, _ in journal.read_from(self._job.folder, offsets)}

    def _another_has_taken(self, ends: Mapping[str, int]) -> bool:
        """Whether another carrier has delivered the records up to these ends, but for those of work that goes on."""
        note = journal.delivery(self._job.folder)
        has_read = all(note.seen.get(file, 0) >= end for file, end in ends.items())
        return not note.trouble and has_read and all(self._is_alive(process_of(each)) for each in note.open)

    def _another_has_delivered(self) -> bool:
        note = journal.delivery(self._job.folder)
        is_open = any(process_of(each) == self._job.process for each in note.open)
        unseen = journal.read_from(self._job.folder, note.seen)
        return not is_open and all(process_of(each.get("execution", "")) != self._job.process for _, each in unseen)

    def _write_note(self) -> None:
        """Store the note of what was delivered, and remove the lock files of killed processes."""
        note = Delivery(
            offsets=self._note.offsets | self._runs.offsets(),
            seen=self._note.offsets | self._runs.seen(),
            open=sorted(self._runs.open_executions()),
            trouble=self.trouble,
            experiment_id=self._tracker.experiment_id if self._tracker else self._note.experiment_id,
            store=self._job.store if self._tracker else self._note.store,
        )
        self._noted = time.monotonic()
        if note == self._note:
            return
        try:
            journal.note_delivery(self._job.folder, note)
        except StorageError as error:
            print(f"{durable.now()} {error}", flush=True)
            return
        self._note = note
        still_open = {process_of(each) for each in note.open}
        for presence in journal.presence_file(self._job.folder, "").glob("*"):
            if presence.name not in still_open and not locks.is_locked(presence):
                # Taking and releasing the lock removes its file, but never the file of a process that is just starting.
                with contextlib.suppress(Busy), locks.locked(presence, presence.name, 0):
                    pass


def main() -> None:
    """Carry the job that standard input holds."""
    # Imported modules stay in memory: collecting garbage among them would take a sixth of the start.
    gc.disable()
    code = Carrier(Job.from_json(sys.stdin.read()), is_alone=True).run()
    sys.stdout.flush()
    # MLflow's regular shutdown takes 0.6 s, and a command would wait for it. Everything has been written.
    os._exit(code)
