"""The test server itself: it answers, it checks passwords, and it keeps its data."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clickhouse_server import ClickHouseServer, unavailable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

pytestmark = [pytest.mark.integration, pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path / "warehouse") as running:
        yield running


def connect(server: ClickHouseServer, *, user: str | None = None, password: str | None = None) -> Client:
    import clickhouse_connect

    return clickhouse_connect.get_client(
        host=server.host,
        port=server.port,
        username=server.user if user is None else user,
        password=server.password if password is None else password,
    )


def test_server_answers_a_query(server: ClickHouseServer) -> None:
    client = connect(server)
    assert client.query("SELECT 1, currentUser()").result_rows == [(1, server.user)]


def test_server_refuses_a_wrong_password_and_gives_strangers_no_rights(server: ClickHouseServer) -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    with pytest.raises(DatabaseError, match="password is incorrect"):
        connect(server, password="guess")
    connect(server).command("CREATE DATABASE market")
    with pytest.raises(DatabaseError, match="Not enough privileges"):
        connect(server, user="default", password="").command("DROP DATABASE market")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_server_keeps_data_over_a_restart(server: ClickHouseServer, end: str) -> None:
    client = connect(server)
    client.command("CREATE DATABASE market")
    client.command(
        "CREATE TABLE market.prices (symbol LowCardinality(String), close Float64, version UInt64, is_deleted UInt8)"
        " ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY symbol"
    )
    client.command("CREATE VIEW market.current AS SELECT symbol, close FROM market.prices FINAL")
    client.command("INSERT INTO market.prices VALUES ('TCS', 1.5, 1, 0), ('GONE', 1.5, 1, 0)")
    client.command("INSERT INTO market.prices VALUES ('TCS', 2.5, 2, 0), ('GONE', 1.5, 2, 1)")
    getattr(server, end)()
    assert not server.is_running
    server.start()
    assert connect(server).query("SELECT * FROM market.current").result_rows == [("TCS", 2.5)]


def test_server_says_why_it_cannot_start(server: ClickHouseServer, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="already running"):
        ClickHouseServer(server.path).start()
    with pytest.raises(RuntimeError, match="Address already in use"):
        ClickHouseServer(tmp_path / "other", port=server.port).start()


def test_a_missing_engine_is_a_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "not installed" in (unavailable() or "")
    monkeypatch.setattr(sys, "platform", "win32")
    assert "win32" in (unavailable() or "")
