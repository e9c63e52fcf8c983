"""A ClickHouse cluster for tests: one that runs already, or one of this machine's own, on loopback.

    with running(shards=1, replicas=3) as cluster:
        place = cluster.place("a_database")

``TEST_CLUSTER=NAME@HOST:PORT,HOST:PORT`` (with ``TEST_CLUSTER_USER`` and ``TEST_CLUSTER_PASSWORD``) names a cluster
that runs: its layout is what it is, and the tests that kill its hosts are skipped. Otherwise a cluster is started with
``../shared/cluster``, which is no part of this project: it makes replicas of the engine in one build of chdb-core, by
changing the loaded library, and uses ZooKeeper from Debian's package. So replication, quorum, fetches and HTTP are
ClickHouse's own there; a server's start-up and configuration, ON CLUSTER and replicated databases are not covered.
Where that is missing, these tests are skipped with the reason.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import clickhouse_server
import pytest
from helpers import ROOT

from champion_luigi.warehouse.connection import Address

# What starts a cluster; it may be beside the checkout.
STARTER = ROOT.parent / "shared" / "cluster"
# A user whose inserts are in the background, whatever a client wants.
_PROFILE = (
    "<background><async_insert>1</async_insert><constraints><async_insert><const/></async_insert></constraints>"
    "</background>"
)
_USER = (
    "<background><password/><networks><ip>127.0.0.0/8</ip></networks><profile>background</profile>"
    "<quota>default</quota></background>"
)
_ZOOKEEPER = Path("/usr/share/java/zookeeper.jar")


@dataclass
class Cluster:
    """A running cluster. ``local`` is one that the tests started: its nodes, by shard and replica, and its keeper."""

    name: str
    hosts: tuple[tuple[str, int], ...]
    user: str = "default"
    password: str = ""
    local: Any = None

    def place(self, database: str, first: int = 0, **given: Any) -> Address:
        """The address of a database, with the host of index ``first`` before the others."""
        (host, port), *others = self.hosts[first:] + self.hosts[:first]
        same: dict[str, Any] = {"user": self.user, "password": self.password, "usual_port": port, **given}
        return Address(host, port, database=database, others=tuple(others), cluster=self.name, **same)

    def environment(self, database: str, first: int = 0) -> dict[str, str]:
        """The settings of a command that uses a database of the cluster."""
        hosts = self.hosts[first:] + self.hosts[:first]
        return {
            "CLICKHOUSE_HOST": ",".join(f"{host}:{port}" for host, port in hosts),
            "CLICKHOUSE_CLUSTER": self.name,
            "CLICKHOUSE_USER": self.user,
            "CLICKHOUSE_PASSWORD": self.password,
            "CLICKHOUSE_DATABASE": database,
        }

    @property
    def nodes(self) -> list[Any]:
        """The nodes in the order of the hosts; the test is skipped if they cannot be killed."""
        if self.local is None:
            pytest.skip("TEST_CLUSTER names the cluster: its hosts are not the tests' own")
        return list(self.local.nodes.values())

    def start(self, node: Any) -> None:
        """Start a node or the keeper again, and wait until it answers."""
        with _leaving_files_open():
            node.start()

    def each(self, statement: str) -> list[list[tuple[Any, ...]]]:
        """The rows of a statement on each host."""
        return [asked(host, port, statement, self.user, self.password) for host, port in self.hosts]


def asked(host: str, port: int, statement: str, user: str = "default", password: str = "") -> list[tuple[Any, ...]]:
    """The rows of a statement on one host."""
    client = client_of(host, port, user, password)
    if not statement.startswith(("SELECT", "DESCRIBE")):
        client.command(statement)
        return []
    return [tuple(row) for row in client.query(statement).result_rows]


@functools.lru_cache(maxsize=16)
def client_of(host: str, port: int, user: str, password: str) -> Any:
    """A client of one host, shared by the tests of this process."""
    import clickhouse_connect

    return clickhouse_connect.get_client(
        host=host, port=port, username=user, password=password, autogenerate_session_id=False
    )


def unavailable() -> str | None:
    """The reason why there can be no cluster here, for skipping a test; None if there can."""
    if os.environ.get("TEST_CLUSTER"):
        return None
    if not STARTER.is_dir():
        return f"no cluster: neither TEST_CLUSTER nor {STARTER}"
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"no cluster: {STARTER} is for Linux on x86-64"
    if not _ZOOKEEPER.exists() or not shutil.which("java"):
        return "no cluster: ZooKeeper is not installed (apt-get install zookeeper)"
    try:
        version = importlib.metadata.version("chdb-core")
    except importlib.metadata.PackageNotFoundError:
        return "no cluster: chdb-core is not installed"
    known = _loaded("node").OFFSETS
    return None if version in known else f"no cluster: chdb-core {version} is not {' or '.join(known)}"


@contextlib.contextmanager
def running(shards: int, replicas: int) -> Iterator[Cluster]:
    """A cluster of so many shards and replicas, or the one that runs. Skips the test if there can be none."""
    if reason := unavailable():
        pytest.skip(reason)
    if given := os.environ.get("TEST_CLUSTER"):
        name, _, listed = given.partition("@")
        hosts = tuple((host, int(port)) for host, _, port in (each.rpartition(":") for each in listed.split(",")))
        user = os.environ.get("TEST_CLUSTER_USER", "default")
        yield Cluster(name, hosts, user, os.environ.get("TEST_CLUSTER_PASSWORD", ""))
        return
    starter: Any = _loaded("cluster")
    # Several processes of tests may each have one.
    starter.HTTP, starter.TCP, starter.KEEPER = _free_ports(3)
    starter.USERS = starter.USERS.replace("</profiles>", f"{_PROFILE}</profiles>").replace(
        "</users>", f"{_USER}</users>"
    )
    with tempfile.TemporaryDirectory(prefix="clickhouse-cluster-") as folder, contextlib.ExitStack() as stack:
        with _leaving_files_open():
            started = stack.enter_context(starter.Cluster(Path(folder) / "cluster", shards, replicas))
        for node in started.nodes.values():
            stack.callback(_close_input, node)
        hosts = tuple((node.host, starter.HTTP) for node in started.nodes.values())
        yield Cluster("champion", hosts, local=started)


@contextlib.contextmanager
def serving(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """The settings of a new ``server`` or ``cluster`` of two replicas. Skips the test if there can be none."""
    if kind == "cluster":
        with running(shards=1, replicas=2) as cluster:
            yield cluster.environment(f"market_{uuid.uuid4().hex}")
        return
    if reason := clickhouse_server.unavailable():
        pytest.skip(reason)
    with clickhouse_server.ClickHouseServer(folder) as server:
        yield {
            "CLICKHOUSE_HOST": server.host,
            "CLICKHOUSE_PORT": str(server.port),
            "CLICKHOUSE_USER": server.user,
            "CLICKHOUSE_PASSWORD": server.password,
        }


def eventually(look: Callable[[], Any], expected: Any, seconds: float = 60) -> None:
    """Wait until what a look finds is as expected; the assertion shows the last difference."""
    until = time.monotonic() + seconds
    while (found := look()) != expected and time.monotonic() < until:
        time.sleep(0.1)
    assert found == expected


def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shared_cluster_{name}", STARTER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _close_input(node: Any) -> None:
    node.process.stdin.close()


@contextlib.contextmanager
def _leaving_files_open() -> Iterator[None]:
    """Allow what starts a cluster to leave its log files to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        probes = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in probes]
