"""The health of a cluster: what is wrong with each of its hosts, in words, and whether its shards can be loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from champion_luigi.base.errors import ChampionError
from champion_luigi.warehouse.cluster import ClusterConnection, Member
from champion_luigi.warehouse.layout import text_of

# A replica fetches a load within a second; while others load, a delay of seconds is no fault.
_MOST_BEHIND_SECONDS = 60


@dataclass(frozen=True)
class Health:
    """A host, whether it can take part in a load, and what is wrong with it; empty if nothing is."""

    member: Member
    is_live: bool
    trouble: str = ""


def of_hosts(cluster: ClusterConnection) -> list[Health]:
    """The health of each host, in the order of shards and replicas."""
    return [_of(cluster, member) for member in cluster.members]


def without_quorum(healths: Sequence[Health]) -> list[int]:
    """The numbers of the shards of which too few replicas are live for a load with quorum: half of them, or fewer."""
    shards: dict[int, list[bool]] = {}
    for each in healths:
        shards.setdefault(each.member.shard, []).append(each.is_live)
    return [shard for shard, live in shards.items() if (2 * sum(live) <= len(live) and len(live) > 1) or not any(live)]


def _of(cluster: ClusterConnection, member: Member) -> Health:
    try:
        connection = cluster.at(member)
        rows = connection.query(
            "SELECT table, is_readonly, absolute_delay FROM system.replicas "
            f"WHERE database = {text_of(cluster.place.database)} ORDER BY table"
        )
    except ChampionError as error:
        return Health(member, is_live=False, trouble=f"does not answer ({error.found or error.what})")
    if read_only := [table for table, is_readonly, _ in rows if is_readonly]:
        words = f"is read-only, because it has lost ZooKeeper or Keeper ({', '.join(read_only)})"
        return Health(member, is_live=False, trouble=words)
    delay, table = max(((delay, table) for table, _, delay in rows), default=(0, ""))
    if delay > _MOST_BEHIND_SECONDS:
        return Health(member, is_live=True, trouble=f"lags {delay:,} s behind ({table})")
    return Health(member, is_live=True)
