"""A cluster: its hosts by shard and replica, and connections that go on at another replica when one is lost."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from champion_luigi.base.errors import WarehouseError, WarehouseUnreachable
from champion_luigi.warehouse.connection import Address, Connection, connect_first
from champion_luigi.warehouse.layout import Layout, text_of

logger = logging.getLogger("champion_luigi")

# How long a host may take to fetch what it lacks before the next replica is tried.
_CATCH_UP_SECONDS = 10
# If Keeper does not answer, an insert ends after some seconds; the load says so, and tries again.
_KEEPER_ATTEMPTS = 5
_QUORUM_MILLISECONDS = 60_000


def insert_settings(*, quorum: bool) -> dict[str, Any]:
    """What an insert into a replicated table needs besides the settings of any insert."""
    return {
        # "auto" is more than half of the replicas.
        "insert_quorum": "auto" if quorum else 0,
        "insert_quorum_parallel": 1,
        "insert_quorum_timeout": _QUORUM_MILLISECONDS,
        "insert_keeper_max_retries": _KEEPER_ATTEMPTS,
        "insert_deduplicate": 1,
    }


@dataclass(frozen=True)
class Member:
    """A host of the cluster: the number of its shard and of the replica there, from 1, and its own address."""

    shard: int
    replica: int
    address: Address

    @property
    def words(self) -> str:
        """The host as messages name it."""
        return f"{self.address.host}:{self.address.port} (shard {self.shard}, replica {self.replica})"


class Replicas(Connection):
    """A connection to the first of several equal hosts that answers; after a failure, to the next one."""

    def __init__(self, places: Sequence[Address], settings: Mapping[str, Any], layout: Layout) -> None:
        at, client = connect_first(places, dict(settings))
        super().__init__(at, client, lambda: None)
        self.layout = layout
        self._places, self._settings = list(places), dict(settings)
        self._insert_settings = insert_settings(quorum=at.quorum)
        self._moving = threading.Lock()
        self._is_lost = False

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self._staying():
            return super().query(statement)

    def command(self, statement: str, settings: Mapping[str, Any] | None = None) -> None:
        with self._staying():
            super().command(statement, settings)

    def insert_arrow(self, table: str, columns: list[str], stream: bytes, settings: Mapping[str, Any]) -> None:
        with self._staying():
            super().insert_arrow(table, columns, stream, self._insert_settings | dict(settings))

    def catch_up(self, table: str) -> None:
        """Let the host's copy of a table fetch what was loaded before, at any replica.

        Raises WarehouseUnreachable if it cannot fetch that at present.
        """
        settings = {"receive_timeout": _CATCH_UP_SECONDS}
        self.command(f"SYSTEM SYNC REPLICA {self.named(table)} LIGHTWEIGHT", settings)

    @contextlib.contextmanager
    def _staying(self) -> Iterator[None]:
        """Run a statement at the host in use. After a failure that may be the host's own, the next one is used."""
        with self._moving:
            if self._is_lost:
                number = self._places.index(self.place)
                self.place, client = connect_first(
                    self._places[number + 1 :] + self._places[: number + 1], self._settings
                )
                self._client.close()
                self._client, self._is_lost = client, False
        try:
            yield
        except WarehouseUnreachable:
            self._is_lost = len(self._places) > 1
            raise


class ClusterConnection(Replicas):
    """A connection to a host of the cluster, and through it to each of the others."""

    def __init__(self, place: Address, settings: Mapping[str, Any]) -> None:
        super().__init__(place.each, settings, Layout(place.cluster))
        try:
            self.members, self.weights = _members(self, place)
        except BaseException:
            super().close()
            raise
        self.layout = Layout(place.cluster, len(self.weights))
        self._opening = threading.Lock()
        self._alone: dict[Member, Replicas] = {}
        self._shards: dict[int, Replicas] = {}

    def everywhere(self) -> Sequence[Connection]:
        """A connection to each host that answers, in the order of shards and replicas; the log names the others.

        Raises WarehouseUnreachable if no host of a shard answers.
        """
        found, answering = [], set()
        for member in self.members:
            try:
                found.append(self.at(member))
                answering.add(member.shard)
            except WarehouseUnreachable as error:
                logger.warning("%s of the cluster does not answer, and is left out: %s", member.words, error.found)
        if absent := {member.shard for member in self.members} - answering:
            hosts = ", ".join(member.words for member in self.members if member.shard in absent)
            raise WarehouseUnreachable("no host of a shard answers", source=self.place.words, found=hosts)
        return found

    def at(self, member: Member) -> Connection:
        """A connection to one host. Raises WarehouseUnreachable if it does not answer."""
        with self._opening:
            if member not in self._alone:
                self._alone[member] = Replicas([member.address], self._settings, self.layout)
            return self._alone[member]

    def of_shard(self, index: int) -> Connection:
        """A connection to a replica of a shard, whose index counts from 0 in the order of the cluster."""
        with self._opening:
            if index not in self._shards:
                places = [member.address for member in self.members if member.shard == self.weights[index][0]]
                # The host in use is the one that answers.
                if self.place in places:
                    number = places.index(self.place)
                    places = places[number:] + places[:number]
                self._shards[index] = Replicas(places, self._settings, self.layout)
            return self._shards[index]

    def close(self) -> None:
        with contextlib.ExitStack() as closing:
            closing.callback(super().close)
            for each in (*self._alone.values(), *self._shards.values()):
                closing.callback(each.close)


def _members(connection: Connection, place: Address) -> tuple[list[Member], list[tuple[int, int]]]:
    """The hosts of the cluster, and each shard's number and weight."""
    rows = connection.query(
        "SELECT shard_num, shard_weight, replica_num, host_name, host_address FROM system.clusters "
        f"WHERE cluster = {text_of(place.cluster)} ORDER BY shard_num, replica_num"
    )
    if not rows:
        known = connection.query("SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster")
        raise WarehouseError(
            f"ClickHouse knows no cluster {place.cluster}",
            source=connection.place.words,
            expected="a name in system.clusters",
            found=", ".join(name for (name,) in known) or "none",
            todo="Set CLICKHOUSE_CLUSTER to the cluster's name, or unset it for one server.",
        )
    listed = place.each
    members = []
    for shard, _, number, name, address in rows:
        own = next((each for each in listed if _is(each.host, name, address)), None)
        members.append(Member(shard, number, own or replace(place, host=name, port=place.usual_port, others=())))
    return members, list({shard: weight for shard, weight, *_ in rows}.items())


def _is(listed: str, name: str, address: str) -> bool:
    """Whether a listed host is the one that the cluster knows by this name and address."""
    bare = listed.strip("[]").lower()
    if bare in (name.lower(), address.lower()):
        return True
    try:
        return bool(address) and address in {found[4][0] for found in socket.getaddrinfo(bare, None)}
    except OSError:
        return False
