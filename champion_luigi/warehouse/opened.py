"""The one open warehouse of a process, shared by its threads."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator

from champion_luigi.base.errors import ChampionError
from champion_luigi.warehouse.connection import Address, Connection, connected
from champion_luigi.warehouse.table import Warehouse


def open_warehouse(
    place: Address, lock_wait_seconds: float = 0.0, on_wait: Callable[[str], None] | None = None
) -> Warehouse:
    """Connect. A data set's table is made by its first load.

    Raises WarehouseUnreachable, WarehouseError, or Busy if another process holds the embedded engine.
    """
    # The query time is bounded, because the engine reacts to Ctrl-C only between queries.
    settings = {"max_execution_time": place.query_seconds}
    if place.cluster:
        from champion_luigi.warehouse.clustered import ClusterWarehouse

        return ClusterWarehouse(place, settings)
    return Warehouse(Connection(*connected(place, settings, lock_wait_seconds, on_wait)))


_sharing = threading.Lock()
_shared: dict[tuple[int, Address], Warehouse] = {}
# The process that keeps its warehouse open, within `kept_open`.
_keeping: list[int] = []


def shared(place: Address, lock_wait_seconds: float = 0.0, on_wait: Callable[[str], None] | None = None) -> Warehouse:
    """The process's one open warehouse, opened on first use. Another address closes the open one first."""
    # A forked child must not use its parent's client.
    key = (os.getpid(), place)
    with _sharing:
        if key not in _shared:
            _close()
            _shared[key] = open_warehouse(place, lock_wait_seconds, on_wait)
            # Registered after the engine's own exit handler, so that it runs before that.
            atexit.unregister(close_shared)
            atexit.register(close_shared)
        return _shared[key]


def is_shared(place: Address) -> bool:
    """Whether this process has opened a warehouse with `shared`, and not closed it."""
    return (os.getpid(), place) in _shared


def server_id(place: Address) -> str:
    """A name for a server or a cluster, by whatever address it is reached; empty if there is none, or no answer."""
    if place.cluster or not place.host:
        return place.cluster
    with contextlib.suppress(ChampionError):
        [(found,)] = shared(place).query("SELECT toString(serverUUID())")
        return str(found)
    return ""


def close_shared() -> None:
    """Close what `shared` opened in this process; within `kept_open`, leave it open."""
    if os.getpid() not in _keeping:
        _close()


def released() -> None:
    """Close what `shared` opened in this process, within `kept_open` too; the next use opens it again.

    For a wait for another process, which may itself be waiting for the embedded engine.
    """
    with _sharing:
        _close()


@contextlib.contextmanager
def kept_open() -> Iterator[None]:
    """Keep the warehouse open between pieces of work, each of which would close it, and close it at the end."""
    _keeping.append(os.getpid())
    try:
        yield
    finally:
        _keeping.pop()
        close_shared()


def _close() -> None:
    for pid, place in list(_shared):
        open_one = _shared.pop((pid, place))
        if pid == os.getpid():
            try:
                if not place.host:
                    open_one.tidy()
            finally:
                open_one.close()
