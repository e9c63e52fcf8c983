"""The warehouse check of `champion doctor`: whether a load would work, as far as that can be checked without one."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from champion_luigi.base.errors import Busy, ChampionError, WarehouseError
from champion_luigi.commands.doctor.findings import Finding, of_error
from champion_luigi.config import wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse.connection import Address, as_warehouse_errors, connect_server, quoted
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import differences

TABLE, VIEW = EQUITY.table, EQUITY.view

if TYPE_CHECKING:
    from champion_luigi.warehouse.connection import Client

_ENGINE_SECONDS = 10.0
_NO_SUCH_STATEMENT = 62


def warehouse() -> Finding:
    """Whether the configured warehouse can be loaded, as far as that can be checked without a load."""
    place = wiring.warehouse_place()
    if not place.host:
        return _embedded(place)
    try:
        # The driver waits for an answer ten seconds longer than a query may take.
        client = connect_server(replace(place, query_seconds=0), {})
        with contextlib.closing(client), as_warehouse_errors(place):
            return _server(place, client)
    except ChampionError as error:
        return of_error(error)


def _server(place: Address, client: Client) -> Finding:
    began = time.time()
    [(version, now)] = client.query("SELECT version(), toUnixTimestamp64Milli(now64(3))").result_rows
    ahead = now / 1000 - (began + time.time()) / 2
    columns = "SELECT table, name, type FROM system.columns WHERE database = {database:String}"
    tables: dict[str, dict[str, str]] = {}
    for table, name, type_ in client.query(columns, {"database": place.database}).result_rows:
        tables.setdefault(str(table), {})[str(name)] = str(type_)
    for dataset in catalog.DATASETS.values():
        found = tables.get(dataset.table)
        if found and (different := ", ".join(differences(dataset, found).wrong)):
            return Finding(
                "PROBLEM",
                f"{place.words}: the table {dataset.table} is not the one that this version makes ({different})",
                "Rename or drop it and load again: every day is in the lake.",
            )
    is_there = TABLE in tables
    words = f"ClickHouse {version} at {place.words}: the table is " + (
        "ready" if is_there else "made by the first load"
    )
    lacking = _lacking(place, client, is_there)
    if lacking is None:
        return Finding("OK", words + "; grants not checked", server_ahead=ahead)
    if lacking:
        return Finding(
            "PROBLEM",
            f"user {place.user} at {place.words} lacks {', '.join(lacking)}",
            f"GRANT {', '.join(dict.fromkeys(lacking))} ON {quoted(place.database)}.* TO {quoted(place.user)}",
            ahead,
        )
    return Finding("OK", words, server_ahead=ahead)


def _lacking(place: Address, client: Client, is_there: bool) -> list[str] | None:
    """The rights that a load needs and the user lacks; None if the server is too old to check grants."""
    needed = [("SELECT", TABLE), ("INSERT", TABLE), ("SELECT", VIEW)]
    if not is_there:
        needed += [("CREATE DATABASE", "*"), ("CREATE TABLE", TABLE), ("CREATE VIEW", VIEW)]
    lacking = []
    for right, on in needed:
        try:
            with as_warehouse_errors(place):
                is_granted = client.command(f"CHECK GRANT {right} ON {quoted(place.database)}.{on}")
        except WarehouseError as error:
            if f"Code: {_NO_SUCH_STATEMENT}." in (error.found or ""):
                return None
            is_granted = 0
        if str(is_granted) != "1" and right not in lacking:
            lacking.append(right)
    return lacking


def _embedded(place: Address) -> Finding:
    """Try the engine in a separate process, because it may crash or hang: on the tables, or in a temporary folder."""
    is_there = _has_tables(place)
    with tempfile.TemporaryDirectory(prefix="champion-doctor-") as scratch:
        folder = place.folder.absolute() if is_there else Path(scratch) / "warehouse"
        start = "from champion_luigi.commands.doctor.warehouse import try_engine; try_engine()"
        program = [sys.executable, "-c", start]
        try:
            tried = subprocess.run(  # noqa: S603 - ours
                [*program, str(folder), place.database], capture_output=True, timeout=_ENGINE_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return Finding(
                "WARNING",
                f"the engine did not start within {_ENGINE_SECONDS:g} s",
                "Run this again: the disk may be slow.",
            )
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").strip().splitlines()
        words = f"the embedded engine cannot be used: exit code {tried.returncode}" + (f", {said[-1]}" if said else "")
        return Finding("PROBLEM", words, "Install clickhouse-connect[chdb] again, or set CLICKHOUSE_HOST to a server.")
    answer = json.loads(tried.stdout.splitlines()[-1])
    if "held" in answer:
        return Finding("OK", f"{place.words}: in use by {answer['held']}")
    if "status" in answer:
        return Finding(**answer)
    state = "ready" if is_there else "made by the first load"
    return Finding("OK", f"{place.words}: the table is {state} (ClickHouse {answer['version']})")


def try_engine() -> None:
    """Open the warehouse in the folder ``argv[1]`` as database ``argv[2]``, and print the result as JSON."""
    place = Address(folder=Path(sys.argv[1]), database=sys.argv[2])
    try:
        opened = open_warehouse(place)
        try:
            opened.prepare(EQUITY)
            [(version,)] = opened.query("SELECT version()")
        finally:
            opened.close()
        answer = {"version": version}
    except Busy as error:
        answer = {"held": error.found}
    except (ChampionError, OSError) as error:
        answer = {name: text for name, text in vars(of_error(error)).items() if text is not None}
    print(json.dumps(answer))


def _has_tables(place: Address) -> bool:
    """Whether the folder has the table and the view, under the engine's file names: then opening it makes nothing."""
    name = re.sub(rb"[^A-Za-z0-9_]", lambda found: b"%%%02X" % found[0][0], place.database.encode()).decode()
    return all((place.folder / "metadata" / name / f"{table}.sql").exists() for table in (TABLE, VIEW))
