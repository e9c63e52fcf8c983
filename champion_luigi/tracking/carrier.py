"""The carrier: the process that brings the journal to MLflow, beside the work and never in its way.

One carrier at a time carries a journal, its own process's records and all others'. It ends when its process has ended
and all that can be told has arrived, when it has nothing to do for a while, or when MLflow has not taken anything for
a minute after the process ended: what is left stays in the journal for the next one.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from champion_luigi.base import durable, locks
from champion_luigi.base import secrets as hiding
from champion_luigi.base.errors import Busy, StorageError
from champion_luigi.tracking import journal
from champion_luigi.tracking.journal import Delivery
from champion_luigi.tracking.mlflow_store import Tracker
from champion_luigi.tracking.runs import Run, Runs, process_of

# Exit codes.
DELIVERED = 0
LEFT = 1
CANNOT = 3

_POLL_SECONDS = 0.03
_NOTE_SECONDS = 1.0
# A carrier in trouble lets go of the journal while it pauses: longer than a request to MLflow takes.
_TURN_SECONDS = 15.0
_IDLE_SECONDS = 60.0
_GIVE_UP_SECONDS = 60.0
_LONGEST_PAUSE = 5.0
_AT_A_TIME = 200
_MISSING = "a library is missing"


@dataclass(frozen=True)
class Job:
    """What to carry, and where to. ``uri`` and ``secrets`` come through a pipe, so that no list of processes has them.

    ``process`` is the one to carry for, as long as it lives; without one, what is there is carried, once.
    ``artifacts`` is the folder for an experiment's files, where the store does not choose one. ``is_first`` says that
    no other carrier can have seen the process's records.
    """

    folder: Path
    uri: str = field(repr=False)
    experiment: str
    artifacts: Path | None = None
    process: str | None = None
    is_first: bool = False
    secrets: list[str] = field(default_factory=list, repr=False)

    def to_json(self) -> str:
        """For the standard input of a carrier."""
        return json.dumps(vars(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that `to_json` wrote."""
        found = json.loads(text)
        artifacts = Path(found["artifacts"]) if found["artifacts"] else None
        return cls(**{**found, "folder": Path(found["folder"]), "artifacts": artifacts})

    @property
    def store(self) -> str:
        """Store and experiment in words, without a user, a password or a query."""
        return f"{hiding.public(self.uri)} {self.experiment}"

    def without_secrets(self, text: str) -> str:
        """A text with every secret in it starred out."""
        return hiding.starred(text, self.secrets)


class Carrier:
    """Reads the journal on, and delivers what is final."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._runs = Runs()
        self._tracker: Tracker | None = None
        self._note = journal.delivery(job.folder)
        self._noted = time.monotonic()
        # Why not all has arrived, in words.
        self.trouble = ""
        self._is_first = job.is_first
        self._ended: float | None = None
        self._pause = 0.0
        self._delivered: set[tuple[str, str]] = set()

    @property
    def delivered_runs(self) -> int:
        """How many runs have arrived."""
        return len(self._delivered)

    def run(self) -> int:
        """Carry until there is nothing left to wait for; an exit code."""
        lock = self._job.folder / "carrier.lock"
        while True:
            try:
                with locks.locked(lock, "the journal", _TURN_SECONDS if self._job.process is None else 0.2):
                    self._note = journal.delivery(self._job.folder)
                    code = self._carry()
                if code is not None:
                    return code
                # Whoever comes meanwhile, `champion track flush` say, may find out whether it goes better now.
                time.sleep(self._pause)
                self._runs, self._tracker, self._is_first = Runs(), None, False
            except Busy as error:
                self.trouble = journal.delivery(self._job.folder).trouble or f"another carrier is at work: {error}"
                if self._job.process is None:
                    return LEFT
                if self._is_over() and self._another_has_delivered():
                    return DELIVERED

    def _carry(self) -> int | None:
        """Carry; an exit code, or None where another carrier may have a turn before this one goes on."""
        self.trouble = ""
        self._read()
        doubtful = self._runs.open_executions()
        if self._is_first:
            doubtful = {each for each in doubtful if process_of(each) != self._job.process}
        pause = _POLL_SECONDS
        last_use = time.monotonic()
        while True:
            # Before reading, so that what a process wrote last is read before it counts as gone.
            is_over, gone = self._is_over(), self._gone()
            if is_over and self._ended is None:
                self._ended = time.monotonic()
            is_idle = not self._read()
            arrived = self._try_to_deliver(gone, doubtful)
            if self.trouble.startswith(_MISSING):
                self._write_note()
                return CANNOT
            now = time.monotonic()
            if arrived or not is_idle:
                last_use = now
            if arrived and self._ended is not None:
                self._ended = now
            if not self.trouble and is_over:
                self._write_note()
                return DELIVERED
            if self.trouble and (
                self._job.process is None or (self._ended is not None and now - self._ended > _GIVE_UP_SECONDS)
            ):
                self._write_note()
                return LEFT
            if not self.trouble and not self._runs.open_executions() and now - last_use > _IDLE_SECONDS:
                self._write_note()
                return DELIVERED
            if now - self._noted > _NOTE_SECONDS:
                self._write_note()
            if self.trouble and is_over:
                self._pause = min(_LONGEST_PAUSE, 2 * max(self._pause, 0.25))
                self._write_note()
                return None
            pause = min(_LONGEST_PAUSE, 2 * max(pause, 0.25)) if self.trouble else _POLL_SECONDS
            self._sleep(pause)

    def _sleep(self, seconds: float) -> None:
        """Sleep; a process that ends meanwhile gets one more attempt at once."""
        was_over = self._is_over()
        wake = time.monotonic() + seconds
        while time.monotonic() < wake and self._is_over() == was_over:
            time.sleep(min(_POLL_SECONDS, seconds))

    def _read(self) -> bool:
        """Read on; whether there was anything."""
        offsets = self._note.offsets | self._runs.seen()
        found = False
        for position, record in journal.read_from(self._job.folder, offsets):
            self._runs.add(position, record)
            found = True
        return found

    def _gone(self) -> set[str]:
        """The processes that do not run, of those that have something open, and of its own."""
        processes = {process_of(each) for each in self._runs.open_executions()} | {self._job.process or ""}
        return {each for each in processes if not self._is_alive(each)}

    def _try_to_deliver(self, gone: set[str], doubtful: set[str]) -> bool:
        """Deliver what is final; whether anything arrived. What goes wrong is kept as `trouble`."""
        before = len(self._delivered)
        self.trouble = ""
        try:
            if self._tracker is None:
                self._tracker = Tracker(self._job.uri, self._job.experiment, self._job.artifacts)
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
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the journal keeps the records
            self.trouble = self._job.without_secrets(f"{type(error).__name__}: {' '.join(str(error).split())}")[:1000]
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

    def _another_has_delivered(self) -> bool:
        note = journal.delivery(self._job.folder)
        is_open = any(process_of(each) == self._job.process for each in note.open)
        unseen = journal.read_from(self._job.folder, note.seen)
        return not is_open and all(process_of(each.get("execution", "")) != self._job.process for _, each in unseen)

    def _write_note(self) -> None:
        """Note how far it has come, and clear away what killed processes left."""
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
                _remove(presence)


def _remove(presence: Path) -> None:
    try:
        # Taking the lock and giving it back removes its file, and never that of a process that is just starting.
        with locks.locked(presence, presence.name, 0):
            pass
    except Busy:
        pass


def main() -> None:
    """Carry, as the job on standard input says."""
    # What is imported now stays: collecting garbage among it would take a sixth of the start.
    gc.disable()
    code = Carrier(Job.from_json(sys.stdin.read())).run()
    sys.stdout.flush()
    # Taking MLflow down properly takes 0.6 s, for which a command would wait; everything has been written.
    os._exit(code)
