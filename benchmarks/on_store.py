"""The lake and the fetched files on an object store, against a folder: a day's cost, and a listing of thirty years.

python benchmarks/on_store.py [--days 250] [--listed 7700] [--runs 3]

The store is the one of the tests (`tests/s3_server.py`), on loopback: a real one adds its distance to each request.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from fills import span
from harness import FILL, compare, served, simulate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import s3_server

from champion_luigi.base import store
from champion_luigi.base.places import Place, place_of
from champion_luigi.datasets.equity import EQUITY, FIRST_DATE
from champion_luigi.exchange import sessions
from champion_luigi.storage import lake

LAST = date(2026, 1, 1)
_CONTENT = b"x" * 1000


def main() -> None:
    """Run both benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=250)
    parser.add_argument("--listed", type=int, default=7700)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if why := s3_server.missing():
        raise SystemExit(why)
    every = sessions.sessions(FIRST_DATE, LAST)
    with tempfile.TemporaryDirectory() as folder, s3_server.running(Path(folder) / "store") as running:
        os.environ.update(running.environment)
        days = simulate(every[-arguments.days :], Path(folder) / "archive")
        with served(Path(folder) / "archive") as url:
            fill = [*FILL, *span(days), "--of", "WriteParquet"]
            contenders = {"a folder": fill}
            for number in range(arguments.runs):
                contenders[f"an object store, {number + 1}"] = ["env", *_on(running.address()), *fill]
            compare(f"{len(days)} days into the lake", contenders, url, 1, len(days))
        some = every[-arguments.listed :]
        for name, root in (("a folder", Path(folder) / "lake"), ("an object store", place_of(running.address()))):
            _make(root, some)
            whole, year = _listed(root), _listed(root, date(2024, 1, 1), date(2025, 1, 1))
            print(f"  listed in {name}: {whole}; of a year: {year}", flush=True)


def _on(address: str) -> list[str]:
    return [f"CHAMPION_LAKE_DIR={address}/lake", f"CHAMPION_RAW_DIR={address}/raw"]


def _make(root: Place, days: list[date]) -> None:
    with ThreadPoolExecutor(16) as threads:
        for _ in threads.map(lambda day: store.put(lake.partition(root, day, EQUITY), _CONTENT), days):
            pass


def _listed(root: Place, *bounds: date) -> str:
    """The days of a listing, and the seconds that it takes."""
    start = time.perf_counter()
    days = list(lake.days(root, EQUITY, *bounds))
    return f"{len(days)} days in {time.perf_counter() - start:.2f} s"


if __name__ == "__main__":
    main()
