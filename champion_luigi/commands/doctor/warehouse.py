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

from champion_luigi.base import extras
from champion_luigi.base.errors import Busy, ChampionError, WarehouseError
from champion_luigi.commands.doctor.findings import Finding, of_error
from champion_luigi.config import wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.warehouse import ledger
from champion_luigi.warehouse.connection import Address, as_warehouse_errors, connect_first
from champion_luigi.warehouse.layout import Layout, quoted
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import differences, table_of

if TYPE_CHECKING:
    from champion_luigi.warehouse.connection import Client

_ENGINE_SECONDS = 10.0
_NO_SUCH_STATEMENT = 62


def warehouse() -> Finding:
    """Whether the configured warehouse can be loaded, as far as that can be checked without a load."""
    place = wiring.warehouse_place()
    if not place.host:
        return _embedded(place)
    # The driver waits for an answer ten seconds longer than a query may take.
    brief = replace(place, query_seconds=0)
    at, client = connect_first(brief.each, {})
    with contextlib.closing(client), as_warehouse_errors(at):
        finding = _server(place, client)
    return _cluster(brief, finding) if place.cluster and finding.status == "OK" else finding


def _cluster(place: Address, finding: Finding) -> Finding:
    """The finding about all hosts of the cluster, from the one about a single host."""
    from champion_luigi.warehouse import alike, health
    from champion_luigi.warehouse.cluster import ClusterConnection

    with contextlib.closing(ClusterConnection(place, {})) as cluster:
        healths = health.of_hosts(cluster)
        live = [cluster.at(each.member) for each in healths if each.is_live]
        for dataset in catalog.DATASETS.values():
            if live:
                alike.require(live, table_of(dataset))
    shards = len(cluster.weights)
    words = f"{finding.found}; {len(live)} of {len(healths)} replicas of {shards} shard{'s'[: shards > 1]} can load"
    troubles = "; ".join(f"{each.member.words} {each.trouble}" for each in healths if each.trouble)
    if blocked := health.without_quorum(healths):
        which = ", ".join(map(str, blocked))
        todo = "Start the missing replicas and Keepers: loads wait for them. With CLICKHOUSE_QUORUM=false, they do not."
        if place.quorum or not live:
            return replace(
                finding, status="PROBLEM", found=f"{words}; no quorum in shard {which}: {troubles}", todo=todo
            )
    if troubles:
        return replace(finding, status="WARNING", found=f"{words}: {troubles}", todo="Repair or start these hosts.")
    return replace(finding, found=words)


def _server(place: Address, client: Client) -> Finding:
    began = time.time()
    [(version, now)] = client.query("SELECT version(), toUnixTimestamp64Milli(now64(3))").result_rows
    ahead = now / 1000 - (began + time.time()) / 2
    columns = "SELECT table, name, type FROM system.columns WHERE database = {database:String}"
    tables: dict[str, dict[str, str]] = {}
    for table, name, type_ in client.query(columns, {"database": place.database}).result_rows:
        tables.setdefault(str(table), {})[str(name)] = str(type_)
    made = [dataset for dataset in catalog.DATASETS.values() if dataset.table in tables]
    for dataset in made:
        if different := ", ".join(differences(dataset, tables[dataset.table]).wrong):
            what = f"{place.words}: the table {dataset.table} is not the one that this version makes ({different})"
            return Finding("PROBLEM", what, "Rename or drop it and load again: every day is in the lake.")
    for name in {ledger.LOADS, ledger.CLAIMS} & tables.keys():
        if different := ", ".join(ledger.lacking_columns(name, tables[name])):
            what = f"{place.words}: the table {name} is not the one that this version makes (without {different})"
            return Finding("PROBLEM", what, "Rename it: days whose load it no longer records are loaded again.")
    lacking = _lacking(place, client, made, has_ledger=ledger.LOADS in tables)
    if lacking:
        todo = f"GRANT {', '.join(lacking)} ON {quoted(place.database)}.* TO {quoted(place.user)}"
        return Finding("PROBLEM", f"user {place.user} at {place.words} lacks {', '.join(lacking)}", todo, ahead)
    not_checked = "; grants not checked" if lacking is None else ""
    words = f"ClickHouse {version} at {place.words}: {_state_of(made)}{not_checked}"
    return Finding("OK", words, server_ahead=ahead)


def _state_of(made: list[Dataset]) -> str:
    if not made:
        return "the table is made by the first load"
    names = ", ".join(dataset.table for dataset in made)
    return f"the table {names} is ready" if len(made) == 1 else f"the tables {names} are ready"


def _lacking(place: Address, client: Client, made: list[Dataset], *, has_ledger: bool) -> list[str] | None:
    """The rights that a load needs and the user lacks; None if the server is too old to check grants."""
    needed = [
        (right, on)
        for dataset in made or [EQUITY]
        for right, on in (("SELECT", dataset.table), ("INSERT", dataset.table), ("SELECT", dataset.view))
    ]
    beside = [table.name for table in ledger.tables(Layout(place.cluster))]
    needed += [(right, on) for right in ("SELECT", "INSERT") for on in beside]
    if not made:
        needed += [("CREATE DATABASE", "*"), ("CREATE TABLE", EQUITY.table), ("CREATE VIEW", EQUITY.view)]
    if not has_ledger:
        needed += [("CREATE TABLE", on) for on in beside]
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
    if extras.lacking("embedded"):
        todo = f"{extras.command('embedded')} installs it, or set CLICKHOUSE_HOST to a server."
        return Finding("PROBLEM", f"{place.words}: the embedded engine is not installed", todo)
    # The engine's file names. If both files exist, opening the table makes nothing.
    name = re.sub(rb"[^A-Za-z0-9_]", lambda found: b"%%%02X" % found[0][0], place.database.encode()).decode()
    folder = place.folder.absolute() / "metadata" / name
    made = [
        dataset
        for dataset in catalog.DATASETS.values()
        if all((folder / f"{table}.sql").exists() for table in (dataset.table, dataset.view))
    ]
    with tempfile.TemporaryDirectory(prefix="champion-doctor-") as scratch:
        where = place.folder.absolute() if made else Path(scratch) / "warehouse"
        start = "from champion_luigi.commands.doctor.warehouse import try_engine; try_engine()"
        names = [dataset.name for dataset in made or [EQUITY]]
        program = [sys.executable, "-c", start, str(where), place.database, *names]
        try:
            tried = subprocess.run(program, capture_output=True, timeout=_ENGINE_SECONDS, check=False)  # noqa: S603 - ours
        except subprocess.TimeoutExpired:
            slow = f"the engine did not start within {_ENGINE_SECONDS:g} s"
            return Finding("WARNING", slow, "Run this again: the disk may be slow.")
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").strip().splitlines()
        words = f"the embedded engine cannot be used: exit code {tried.returncode}" + (f", {said[-1]}" if said else "")
        return Finding("PROBLEM", words, f"{extras.command('embedded')} again, or set CLICKHOUSE_HOST to a server.")
    answer = json.loads(tried.stdout.splitlines()[-1])
    if "held" in answer:
        return Finding("OK", f"{place.words}: in use by {answer['held']}")
    if "status" in answer:
        return Finding(**answer)
    return Finding("OK", f"{place.words}: {_state_of(made)} (ClickHouse {answer['version']})")


def try_engine() -> None:
    """Open the tables of the data sets ``argv[3:]`` in folder ``argv[1]``, database ``argv[2]``; print JSON."""
    folder, database, *names = sys.argv[1:]
    try:
        with contextlib.closing(open_warehouse(Address(folder=Path(folder), database=database))) as opened:
            for name in names:
                opened.prepare(catalog.DATASETS[name])
            [(version,)] = opened.query("SELECT version()")
        answer = {"version": version}
    except Busy as error:
        answer = {"held": error.found}
    except (ChampionError, OSError) as error:
        answer = {name: text for name, text in vars(of_error(error)).items() if text is not None}
    print(json.dumps(answer))
