"""Long fills: time per day and memory from 250 to thousands of days, the no-op, and workers against a slow archive.

python benchmarks/fills.py [--lengths 250 1000 4000] [--slow-days 60]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from harness import BARE_LOOP, BIN, FILL, LUIGI, compare, run, served, simulate

from champion_luigi.datasets.equity import FIRST_DATE
from champion_luigi.exchange import sessions

LAST = date(2026, 1, 1)


def main() -> None:
    """Run all three benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[250, 1000, 4000])
    parser.add_argument("--slow-days", type=int, default=60)
    parser.add_argument("--folder", help="store the simulated files here, for the next run")
    arguments = parser.parse_args()
    days = sessions.sessions(FIRST_DATE, LAST)[-max(arguments.lengths) :]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or temporary
        days = simulate(days, Path(folder))
        with served(Path(folder)) as url:
            for length in arguments.lengths:
                # Always the last days, so that fills of all lengths have similar days.
                some = days[-length:]
                contenders = {
                    "bare loop": [*BARE_LOOP, url, "{out}", *map(str, some)],
                    "champion fill": [*FILL, *span(some)],
                }
                compare(f"{length} days", contenders, url, 1, length)
            with tempfile.TemporaryDirectory() as data:
                nothing_to_do(days, url, Path(data))
        slow = days[-arguments.slow_days :]
        with served(Path(folder), latency=0.3) as url:
            workers = {
                f"champion fill, {count} workers": [*FILL, *span(slow), "--workers", str(count)]
                for count in (1, 2, 4, 16)
            }
            compare(f"{len(slow)} days from an archive that takes 300 ms a request", workers, url, 1, len(slow))


def nothing_to_do(days: list[date], url: str, data: Path) -> None:
    """A complete range, against `luigi --help`: the start-up time that no command can save."""
    run([*FILL, *span(days)], url, data)
    start = time.perf_counter()
    subprocess.run([str(BIN / "luigi"), "--help"], stdout=subprocess.DEVNULL, check=True)
    bare = time.perf_counter() - start
    for name, command in (("champion fill", FILL), ("luigi FillBhavcopy", [*LUIGI, "FillBhavcopy"])):
        cost = run([*command, *span(days)], url, data)
        print(f"  {len(days)} complete days: {name} {cost.wall:.2f} s, luigi --help {bare:.2f} s", flush=True)


def span(days: list[date]) -> list[str]:
    """The options for the range of these days."""
    return ["--start", str(days[0]), "--stop", str(days[-1] + timedelta(days=1))]


if __name__ == "__main__":
    main()
