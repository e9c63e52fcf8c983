"""Days a minute with one, two and three hosts that share a range, against an archive that is slow to answer.

python benchmarks/hosts.py [--days 120] [--latency 3] [--luigid]

A host is a process with a DATA_DIR and a HOME of its own. Payloads and lake are in a folder that all of them use, the
warehouse is a ClickHouse server. All of them run on this machine, so what they compute is no faster than on one host:
the time that counts is the archive's. CHAMPION_RAW_DIR, CHAMPION_LAKE_DIR and the store's variables may name a store.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from harness import HERE, served, simulate

from champion_luigi.exchange import sessions

sys.path.insert(0, str(HERE.parent / "tests"))
from clickhouse_server import ClickHouseServer
from luigid_server import luigid
from several_hosts import Host, scheduler_at, span

HOSTS = (1, 2, 3)
FIRST, LAST = date(2021, 1, 1), date(2024, 1, 1)
WORKERS = 4


def main() -> None:
    """Run the range once with each number of hosts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--latency", type=float, default=3.0, help="seconds that the archive takes for each file")
    parser.add_argument("--luigid", action="store_true", help="with a central scheduler")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        days = simulate(sessions.sessions(FIRST, LAST)[: arguments.days], top / "archive")
        print(f"{len(days)} days, {arguments.latency:g} s a file, {WORKERS} workers a host")
        alone = None
        with served(top / "archive", arguments.latency) as url:
            for count in HOSTS:
                with luigid(top / f"luigid-{count}") if arguments.luigid else contextlib.nullcontext() as port:
                    seconds, shares = run(top / str(count), count, url, port, span(days))
                alone = alone or seconds
                print(
                    f"  {count} hosts: {len(days) / seconds * 60:6.0f} days a minute, x {alone / seconds:.2f}; "
                    f"days by host: {', '.join(map(str, shares))}",
                    flush=True,
                )


def run(folder: Path, count: int, url: str, port: int | None, range_: list[str]) -> tuple[float, list[int]]:
    """The seconds of a fill by some hosts, and the days that each has done. Raises RuntimeError if one fails."""
    shared = {f"CHAMPION_{name}_DIR": str(folder / "shared" / name.lower()) for name in ("RAW", "LAKE")}
    for name in shared:
        if given := os.environ.get(name):
            shared[name] = f"{given}/{os.getpid()}-{count}"
    with ClickHouseServer(folder / "warehouse") as server:
        warehouse = {"HOST": server.host, "PORT": str(server.port), "USER": server.user, "PASSWORD": server.password}
        settings = {**shared, **{f"CLICKHOUSE_{name}": text for name, text in warehouse.items()}}
        settings |= {"NSE_ARCHIVE_URL": url, "CHAMPION_FILL_WORKERS": str(WORKERS)}
        hosts = [
            Host(f"host-{number}", folder / f"host-{number}", settings | {"CHAMPION_HOST": f"host-{number}"})
            for number in range(count)
        ]
        began = time.perf_counter()
        for host in hosts:
            host.start("fill", *range_, *(scheduler_at(port) if port else ()))
        for host in hosts:
            if host.end(3600):
                raise RuntimeError(host.output)
        return time.perf_counter() - began, [host.days_done for host in hosts]


if __name__ == "__main__":
    main()
