"""The warehouse of a cluster: the same tables on every host, and loads that every replica shows whole.

A load first has its replica fetch what was loaded before, reads the known keys there, and inserts one block at that
replica; when the insert returns, most replicas of the shard have the block. Of two loads of one date, Keeper lets one
through: the token of each insert is the version that its load has read, and an insert whose token was used is dropped.
The check then finds the other load, and this one begins anew, from what the other has loaded.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from champion_luigi.base import locks
from champion_luigi.base.errors import ChampionError, WarehouseError, WarehouseUnreachable
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse import alike, health, ledger, merging
from champion_luigi.warehouse.cluster import ClusterConnection
from champion_luigi.warehouse.connection import Address, Connection, date_of
from champion_luigi.warehouse.layout import Table, shard_of, text_of
from champion_luigi.warehouse.ledger import LOADS
from champion_luigi.warehouse.load import Loaded, Loads, inserts
from champion_luigi.warehouse.table import OnHost, Warehouse, table_of

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger("champion_luigi")

# The pause before another attempt, while replicas or Keeper are missing.
_PAUSE_SECONDS = 3.0
# The same trouble is named again after this time.
_SAID_SECONDS = 30.0
# How often a load begins anew because another one of the same date came first.
_MOST_OVERTAKEN = 20
# How long it may take until readers, who may read another replica, see a load.
_SEEN_SECONDS = 30.0

_T = TypeVar("_T")


class ClusterWarehouse(Warehouse):
    """An open cluster: one host is used for reading, and one of each shard for loading."""

    def __init__(self, place: Address, settings: Mapping[str, Any]) -> None:
        self._cluster = ClusterConnection(place, settings)
        super().__init__(self._cluster)
        self.place = place
        self._hosts: dict[Connection, Warehouse] = {}
        self._loads_of: dict[int, _ShardLoads] = {}
        self._preparing_all = threading.Lock()

    def prepare(self, dataset: Dataset) -> None:
        """Make a data set's tables and views on every host that answers, or add the columns that they lack.

        Raises WarehouseError, before anything is made, if a host has a table of another kind or other columns.
        """
        with self._preparing_all:
            if dataset not in self._can_load:
                _patiently(self.place, self._cluster, table_of(dataset), lambda: self._prepare_all(dataset))
                self._can_load.add(dataset)

    def _prepare_all(self, dataset: Dataset) -> None:
        tables, connections = [table_of(dataset), *ledger.tables(self.layout)], self._cluster.everywhere()
        missing = [table for table in tables if not alike.require(connections, table)]
        for connection in connections:
            self._host(connection).prepare(dataset)
        for table in missing:
            alike.require(connections, table)

    def _load(
        self,
        dataset: Dataset,
        days: Mapping[date, pl.DataFrame],
        lake_sha256: Mapping[date, str],
        if_due: Collection[date],  # noqa: ARG002 - a ledger that lags must not stop a load
    ) -> dict[date, Loaded]:
        """Load each date at its shard; the tokens of the inserts do the work of load claims.

        While replicas or Keeper are missing, wait and say so, as long as the address allows. Then raises
        WarehouseUnreachable.
        """
        weights = [weight for _, weight in self._cluster.weights]
        of_shard: dict[int, dict[date, pl.DataFrame]] = {}
        for day, rows in days.items():
            of_shard.setdefault(shard_of(day, weights), {})[day] = rows
        loaded: dict[date, Loaded] = {}
        for index, some in of_shard.items():
            loaded |= self._loads_at(index).load(dataset, some)
        if lake_sha256:
            self._record(dataset, loaded, lake_sha256)
        return loaded

    def _record(self, dataset: Dataset, loaded: Mapping[date, Loaded], lake_sha256: Mapping[date, str]) -> None:
        record = functools.partial(super()._record, dataset, loaded, lake_sha256)
        _patiently(self.place, self._cluster, ledger.table_of(LOADS), record)

    def merge(self, dataset: Dataset, years: Collection[int] | None = None) -> None:
        """Merge the parts of each year on every shard; replicas merge the same parts."""
        years = self.years(dataset) if years is None else years
        for index in range(self.layout.shards):
            merging.merge(self._cluster.of_shard(index), self.layout.stored_in(table_of(dataset)), years)

    def held_on_hosts(self, dataset: Dataset, start: date, stop: date) -> list[OnHost]:
        """What the own copy of each host that answers has, from ``start`` to ``stop`` (exclusive)."""
        stored, weights = self.layout.stored_in(table_of(dataset)), [weight for _, weight in self._cluster.weights]
        found = []
        for index, (shard, _) in enumerate(self._cluster.weights):
            for member in self._cluster.members:
                if member.shard == shard:
                    with contextlib.suppress(WarehouseUnreachable):  # which `troubles` names
                        host = self._host(self._cluster.at(member))
                        held = host._held(dataset, start, stop, f"{self._named(stored)} FINAL")
                        found.append(OnHost(member.words, held, functools.partial(_is_of, index, weights)))
        return found

    def troubles(self) -> list[str]:
        """A sentence for each host with which something is wrong."""
        return [f"{each.member.words} {each.trouble}" for each in health.of_hosts(self._cluster) if each.trouble]

    def _host(self, connection: Connection) -> Warehouse:
        return self._hosts.setdefault(connection, Warehouse(connection))

    def _loads_at(self, index: int) -> _ShardLoads:
        with self._preparing_all:
            if index not in self._loads_of:
                self._loads_of[index] = _ShardLoads(self._cluster.of_shard(index), self.place)
            return self._loads_of[index]


class _ShardLoads(Loads):
    """The loads of one shard."""

    def __init__(self, connection: Connection, place: Address) -> None:
        super().__init__(connection)
        self._place = place

    def _load_year(self, dataset: Dataset, days: Mapping[date, pl.DataFrame]) -> dict[date, Loaded]:
        used: set[str] = set()

        def load() -> dict[date, Loaded]:
            for number in itertools.count(1):
                loaded, different = self._load_once(dataset, days, used)
                if not different:
                    break
                if number == _MOST_OVERTAKEN or not self._is_overtaken(dataset, loaded):
                    raise different
                time.sleep(random.uniform(0, 0.05 * number))  # noqa: S311 - no secret
            self._await_readers(dataset, days)
            return loaded

        return _patiently(self._place, self._connection, table_of(dataset), load)

    def _load_once(
        self, dataset: Dataset, days: Mapping[date, pl.DataFrame], used: set[str]
    ) -> tuple[dict[date, Loaded], WarehouseError | None]:
        """Load the dates, and compare what the replica then has. ``used`` has the tokens of earlier attempts."""
        stored = self._layout.stored_in(table_of(dataset))
        self._connection.catch_up(stored)
        known = self._known(dataset, days)
        versions = {day: max(row[-2] for row in rows) for day, rows in _by_day(known).items()}
        loaded: dict[date, Loaded] = {}
        together = []
        for day, frames in zip(days, self._versions(dataset, days, known, loaded), strict=True):
            if day in versions or len(days) == 1:
                token = f"{dataset.table} {day} {versions.get(day, 0)}"
                # Used before and still the newest version: that insert was lost with its replica.
                token += f" {uuid.uuid4().hex}" if token in used else ""
                used.add(token)
                self._insert(dataset, frames, token)
            else:
                together.append(frames)
        for frames in inserts(together):
            self._insert(dataset, frames)
        # A load at another replica may have come in between.
        self._connection.catch_up(stored)
        return loaded, self._difference(dataset, days, self._here(dataset))

    def _is_overtaken(self, dataset: Dataset, loaded: Mapping[date, Loaded]) -> bool:
        """Whether this replica has other rows of these dates than those that were sent, or lacks some."""
        [version] = {each.version for each in loaded.values()}
        [(ours, others)] = self._connection.query(
            f"SELECT countIf(version = {version}), countIf(version != {version}) FROM {self._stored(dataset)} FINAL "
            f"WHERE trade_date IN ({', '.join(map(date_of, loaded))})"
        )
        return bool(others) or ours < sum(each.rows for each in loaded.values())

    def _here(self, dataset: Dataset) -> str:
        """What this replica itself has; empty for the view, where that reads this replica alone."""
        return f"{self._stored(dataset)} FINAL" if self._layout.shards > 1 else ""

    def _await_readers(self, dataset: Dataset, days: Mapping[date, pl.DataFrame]) -> None:
        """Wait until readers of several shards, who may read another replica, see what this one has.

        Raises WarehouseError if they do not, unless another load has replaced the rows meanwhile.
        """
        if not self._here(dataset):
            return
        deadline = time.monotonic() + _SEEN_SECONDS
        while different := self._difference(dataset, days):
            if self._difference(dataset, days, self._here(dataset)):
                return
            if time.monotonic() >= deadline:
                raise different
            time.sleep(0.1)


def _is_of(index: int, weights: Sequence[int], day: date) -> bool:
    return shard_of(day, weights) == index


def _by_day(known: list[tuple[Any, ...]]) -> dict[date, list[tuple[Any, ...]]]:
    found: dict[date, list[tuple[Any, ...]]] = {}
    for row in known:
        found.setdefault(row[0], []).append(row)
    return found


def _patiently(place: Address, connection: Connection, table: Table, work: Callable[[], _T]) -> _T:
    """Do the work; while replicas or Keeper are missing, name them, and try again, as long as the address allows."""
    began = time.monotonic()
    said: str | None = None
    said_at = began
    while True:
        try:
            return work()
        except WarehouseUnreachable as error:
            missing = _missing(connection, table)
            now = time.monotonic()
            found = "; ".join(filter(None, (missing, error.found)))
            if now - began >= place.wait_seconds:
                todo = "Start or repair what is missing; CLICKHOUSE_WAIT_SECONDS sets how long a load waits for it."
                raise WarehouseUnreachable(error.what, source=error.source, found=found, todo=todo) from None
            if missing != said or now - said_at > _SAID_SECONDS:
                left = place.wait_seconds - (now - began)
                logger.warning(
                    "the cluster %s cannot load at present: %s. Waiting for %.0f s (CLICKHOUSE_WAIT_SECONDS; with "
                    "CLICKHOUSE_QUORUM=false, a load needs one replica alone)",
                    place.cluster,
                    found,
                    left,
                )
                said, said_at = missing, now
            time.sleep(_PAUSE_SECONDS)
            locks.note_wait(_PAUSE_SECONDS)


def _missing(connection: Connection, table: Table) -> str:
    """What keeps a replica from loading, in words; empty if it knows of nothing."""
    try:
        rows = connection.query(
            "SELECT is_readonly, replica_is_active FROM system.replicas "
            f"WHERE database = {text_of(connection.place.database)} "
            f"AND table = {text_of(connection.layout.stored_in(table))}"
        )
    except ChampionError as error:
        return f"no replica answers ({error.what})"
    for is_readonly, is_active in rows:
        if is_readonly:
            return f"{connection.place.host} has lost its ZooKeeper or Keeper, and is read-only"
        if absent := sorted(name for name, active in is_active.items() if not active):
            return f"missing: replica {', '.join(absent)}"
    return ""
