"""The cost of MLflow: a cold day against the bare loop that logs inline, and fills with tracking on against off.

    python benchmarks/tracked.py [--days 250 1000] [--runs 5]

A command is timed to its end, when all its durations and counts have arrived; that they have is checked. A fill is
timed from an archive that answers at once, so that fill and MLflow compete for the machine: untracked, with the journal
alone, with SQLite, with a server, and with a run for each date. The shorter fill is timed at the pace that the exchange
allows as well, three files a second.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from harness import BARE_LOOP, FILL, LUIGI, compare, served, simulate
from mlflow import MlflowClient

from champion_luigi.exchange import sessions
from champion_luigi.tracking import journal

COLD_DAY = date(2024, 1, 15)
ON = ["env", "CHAMPION_TRACKING=on"]
STORE = "sqlite:///{out}/mlflow.db"
# Seconds per file: `requests_per_second` limits requests to the exchange, but not those to loopback.
EXCHANGE_PACE = 1 / 3


def main() -> None:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    days = sessions.sessions(date(2020, 1, 1), date(2025, 1, 1))[: max(arguments.days)]
    day = [*LUIGI, "LoadClickHouse", "--date", str(COLD_DAY)]
    with tempfile.TemporaryDirectory() as folder:
        simulate([COLD_DAY, *days], Path(folder))
        empty = Path(folder) / "mlflow.db"
        MlflowClient(tracking_uri=f"sqlite:///{empty}").search_experiments()

        def with_store(data: Path) -> None:
            shutil.copy(empty, data / "mlflow.db")

        with served(Path(folder)) as url, served(Path(folder), EXCHANGE_PACE) as paced, _server(empty) as server:
            cold = {
                "bare loop, inline": ["env", f"BARE_LOOP_MLFLOW={STORE}", *BARE_LOOP, url, "{out}", str(COLD_DAY)],
                "LoadClickHouse, tracked": [*ON, f"MLFLOW_TRACKING_URI={STORE}", *day],
                "LoadClickHouse, untracked": day,
            }
            compare("(warming up)", cold, url, 1, 1, with_store)
            compare("One cold day, SQLite", cold, url, arguments.runs, 1, with_store)
            compare("One cold day, a new SQLite store", cold, url, max(1, arguments.runs // 2), 1)
            for length in arguments.days:
                title = f"champion fill, {length} days, at once"
                fills = _fills(days[:length], server)
                compare(title, fills, folder, arguments.runs, length, with_store, _all_has_arrived)
            length = min(arguments.days)
            one_by_one = {name: [*each, "--workers", "1"] for name, each in _fills(days[:length], server).items()}
            title = f"champion fill, {length} days, three files a second"
            compare(title, one_by_one, paced, max(1, arguments.runs // 2), length, with_store, _all_has_arrived)


def _fills(days: Sequence[date], server: str) -> dict[str, list[str]]:
    """The same fill without tracking and with it; the first one is what the others are compared with."""
    # By default a command leaves what has not arrived after 30 s to its carrier, whose time would not count.
    on = [*ON, "CHAMPION_TRACKING_WAIT=3600"]
    fill = [*FILL, "--start", str(days[0]), "--stop", str(days[-1] + timedelta(days=1))]
    sqlite = f"MLFLOW_TRACKING_URI={STORE}"
    return {
        "untracked": fill,
        "the journal alone": ["env", "CHAMPION_TRACKING=journal", *fill],
        "SQLite": [*on, sqlite, *fill],
        "MLflow server": [*on, f"MLFLOW_TRACKING_URI={server}", *fill],
        "SQLite, a run a date": [*on, sqlite, "CHAMPION_FILL_DAY_RUNS=1000000", *fill],
    }


def _all_has_arrived(name: str, data: Path) -> None:
    """Raise RuntimeError if a fill's carrier has left records."""
    if name not in ("untracked", "the journal alone") and (count := journal.count_undelivered(data / "journal")):
        raise RuntimeError(f"{name}: {count} records have not reached MLflow")


@contextmanager
def _server(store: Path) -> Iterator[str]:
    """An MLflow server on loopback, on a copy of the store."""
    copy = shutil.copy(store, store.with_name("server.db"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{copy}"]
    with subprocess.Popen(
        [*command, "--port", str(port), "--workers", "1"],
        cwd=store.parent,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while not _answers(f"{url}/health"):
                if time.monotonic() > deadline:
                    raise RuntimeError("the MLflow server does not answer")
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
