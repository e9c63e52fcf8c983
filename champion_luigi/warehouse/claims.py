"""Load claims: one process at a time loads a date of a data set into a server, whatever its host or folder.

A load claim is a row in the server's table ``load_claims``. A process writes its own, then reads those of others, and
holds its dates if there are none of these: of two that write at the same time, at least one sees the other. Of those
that see each other, the first to ask stays and waits; the others withdraw theirs until it has ended. The claim of a
process that has ended is ignored at once on the same host, and after a minute on others.

The claims of `storage.claims` are others: objects in a store, by which hosts divide the days of a fill.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from champion_luigi.base import locks
from champion_luigi.base.errors import Busy, ChampionError
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse.connection import Connection, date_of
from champion_luigi.warehouse.layout import text_of
from champion_luigi.warehouse.ledger import CLAIMS

SECONDS = 60
# Other loads take seconds, or minutes if the server is slow.
_MOST_SECONDS = 600.0
_LOOK_SECONDS = (0.02, 0.2)

# Versions of this process's rows, which grow even if the clock is set back.
_versions = itertools.count(time.time_ns())


class _Other(NamedTuple):
    """Another process's claim."""

    since: int
    holder: str
    place: str
    process: int


# The holders of claims in this process, by their ids.
_holders: set[str] = set()


class Claims:
    """The load claims of a connection, used by one thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # By process id: a fork is another holder.
        self._ids: dict[int, str] = {}
        self._table = connection.named(CLAIMS)
        self._holding = threading.Lock()

    @contextlib.contextmanager
    def held(self, dataset: Dataset, days: Iterable[date]) -> Iterator[None]:
        """Hold these dates while the block runs. Raises Busy, naming the holder, if that takes too long."""
        dates, began = sorted(days), time.monotonic()
        with self._holding:
            _holders.add(self._id)
            try:
                self._acquire(dataset, dates, began)
                locks.note_wait(time.monotonic() - began)
                yield
            finally:
                # If this fails, the claim ends by itself.
                with contextlib.suppress(ChampionError):
                    self._write(dataset, dates, 0, 0)
                _holders.discard(self._id)

    def _acquire(self, dataset: Dataset, dates: list[date], began: float) -> None:
        since = time.time_ns() // 1000
        written: float | None = None
        while True:
            if written is None or time.monotonic() - written > SECONDS / 3:
                self._write(dataset, dates, since, SECONDS)
                written = time.monotonic()
            if not (others := self._others(dataset, dates)):
                return
            if time.monotonic() - began > _MOST_SECONDS:
                raise Busy(
                    "another process loads the same dates",
                    day=dates[0],
                    source=self._connection.place.words,
                    found=f"process {others[0].process} on {others[0].place.partition(' ')[0]}",
                    todo="Run the day again when it has ended.",
                )
            if (since, self._id) > min((each.since, each.holder) for each in others):
                self._write(dataset, dates, since, 0)
                while self._others(dataset, dates) and time.monotonic() - began <= _MOST_SECONDS:
                    time.sleep(random.uniform(*_LOOK_SECONDS))  # noqa: S311 - no secret
                written = None
            else:
                time.sleep(random.uniform(*_LOOK_SECONDS))  # noqa: S311 - no secret

    def _write(self, dataset: Dataset, dates: list[date], since: int, seconds: int) -> None:
        """Claim the dates for so many seconds by the server's clock, or give them back, with 0."""
        own = f"{text_of(dataset.name)}, {text_of(self._id)}, [{_listed(dates)}], {text_of(_place())}, {os.getpid()}"
        self._connection.command(
            f"INSERT INTO {self._table} (dataset, holder, trade_dates, place, process, since, expires, changed) "
            f"SELECT {own}, {since}, now64(3) + toIntervalSecond({seconds}), {next(_versions)}"
        )

    def _others(self, dataset: Dataset, dates: list[date]) -> list[_Other]:
        """The claims of other processes to any of the dates, as far as these may still run."""
        found = self._connection.query(
            f"SELECT since, holder, place, process FROM {self._table} FINAL WHERE dataset = {text_of(dataset.name)} "
            f"AND expires > now64(3) AND holder != {text_of(self._id)} AND hasAny(trade_dates, [{_listed(dates)}])"
        )
        return [other for each in found if not _is_gone(other := _Other(*each))]

    @property
    def _id(self) -> str:
        return self._ids.setdefault(os.getpid(), uuid.uuid4().hex)


def _place() -> str:
    """This host, and the space in which its process ids are unique: each container has its own."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = "-"
    return f"{socket.gethostname()} {space}"


def _is_gone(other: _Other) -> bool:
    """Whether the process ran on this host, and it or its load no longer runs."""
    if other.place != _place():
        return False
    if other.process == os.getpid():
        # Of a load whose server was gone when it gave its claim back.
        return other.holder not in _holders
    try:
        os.kill(other.process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _listed(dates: Iterable[date]) -> str:
    return ", ".join(map(date_of, dates))
