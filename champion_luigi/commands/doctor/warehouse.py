"""What `champion doctor` finds of the warehouse: whether it could be loaded, as far as can be told without a load."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from champion_luigi.base.errors import Busy, ChampionError
from champion_luigi.commands.doctor.ask import Reply, ask
from champion_luigi.commands.doctor.findings import Finding, of_error, told
from champion_luigi.config import wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse.connection import ADDRESS, Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import differences

TABLE, VIEW = EQUITY.table, EQUITY.view

_READ_SECONDS = 5.0
_ENGINE_SECONDS = 10.0
_WRONG_USER = (192, 193, 194, 516)
_NO_SUCH_STATEMENT = 62


def warehouse() -> Finding:
    """Whether the configured warehouse can be loaded, as far as that can be told without loading it."""
    place = wiring.warehouse_place()
    if not place.host:
        return _embedded(place)
    try:
        return _server(place)
    except ChampionError as error:
        return Finding("PROBLEM", f"{place.words}: {told(error)}", ADDRESS)


def _server(place: Address) -> Finding:
    first = _query(place, "SELECT version()")
    version = first.text.strip()
    if first.status != 200 or not re.fullmatch(r"[\d.]+\w*(-\w+)*", version):
        return _refused(place, first)
    where = f"database = {_text(place.database)} AND table = {_text(TABLE)}"
    listed = _query(place, f"SELECT name, type FROM system.columns WHERE {where} FORMAT TabSeparatedRaw")  # noqa: S608
    if listed.status != 200:
        return _refused(place, listed)
    found = dict(line.split("\t", 1) for line in listed.text.splitlines())
    if found and (different := ", ".join(differences(EQUITY, found).wrong)):
        return Finding(
            "PROBLEM",
            f"{place.words}: the table is not the one that this version makes ({different})",
            "Rename or drop it and load again: every day is in the lake.",
        )
    words = f"ClickHouse {version} at {place.words}: the table is " + ("there" if found else "made by the first load")
    lacking = _lacking(place, bool(found))
    if lacking is None:
        return Finding("OK", words + "; grants not looked at", server_ahead=first.ahead)
    if lacking:
        return Finding(
            "PROBLEM",
            f"user {place.user} at {place.words} lacks {', '.join(lacking)}",
            f"GRANT {', '.join(dict.fromkeys(lacking))} ON {_quoted(place.database)}.* TO {_quoted(place.user)}",
            first.ahead,
        )
    return Finding("OK", words, server_ahead=first.ahead)


def _lacking(place: Address, is_there: bool) -> list[str] | None:
    """The rights that a load needs and the user has not; None where the server is too old to say."""
    database = _quoted(place.database)
    needed = [("SELECT", TABLE), ("INSERT", TABLE), ("SELECT", VIEW)]
    if not is_there:
        needed += [("CREATE DATABASE", "*"), ("CREATE TABLE", TABLE), ("CREATE VIEW", VIEW)]
    lacking = []
    for right, on in needed:
        reply = _query(place, f"CHECK GRANT {right} ON {database}.{on}", read_only=False)
        if _code(reply) == _NO_SUCH_STATEMENT:
            return None
        if reply.text.strip() != "1" and right not in lacking:
            lacking.append(right)
    return lacking


def _query(place: Address, statement: str, *, read_only: bool = True) -> Reply:
    """Ask the server as its client does. A GET cannot change anything; but the server then grants nothing either."""
    is_tls = place.secure or place.port in (443, 8443)
    host = f"[{place.host}]" if ":" in place.host else place.host
    tls = ssl.create_default_context()
    if not place.verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    base = f"{'https' if is_tls else 'http'}://{host}:{place.port}/"
    return ask(
        base + ("?" + urlencode({"query": statement}) if read_only else ""),
        method="GET" if read_only else "POST",
        content=None if read_only else statement.encode(),
        credentials=(place.user, place.password),
        tls=tls,
        seconds=_READ_SECONDS,
    )


def _refused(place: Address, reply: Reply) -> Finding:
    if _code(reply) in _WRONG_USER:
        todo = "Check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD."
    elif _code(reply):
        todo = "Look up the code in ClickHouse's documentation."
    else:
        todo = ADDRESS
    what = "ClickHouse refuses" if _code(reply) else "what answers is not ClickHouse over HTTP"
    return Finding("PROBLEM", f"{place.words}: {what}: {reply.shown}", todo, reply.ahead)


def _code(reply: Reply) -> int:
    """ClickHouse's own code of an error; 0 where there is none."""
    found = re.match(r"Code: (\d+)\.", reply.text)
    return int(found[1]) if found and reply.status != 200 else 0


def _embedded(place: Address) -> Finding:
    """Try the engine in a process of its own, which may crash or hang: on the tables, or else in a folder for once."""
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
                "Run this again: it may be the disk.",
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
    state = "there" if is_there else "made by the first load"
    return Finding("OK", f"{place.words}: the table is {state} (ClickHouse {answer['version']})")


def try_engine() -> None:
    """Open the warehouse in the folder ``argv[1]`` as database ``argv[2]``, and print what came of it as JSON."""
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
    """Whether table and view are in the folder, under the engine's names, so that opening it makes nothing."""
    name = re.sub(rb"[^A-Za-z0-9_]", lambda found: b"%%%02X" % found[0][0], place.database.encode()).decode()
    return all((place.folder / "metadata" / name / f"{table}.sql").exists() for table in (TABLE, VIEW))


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
