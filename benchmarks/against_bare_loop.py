"""The pipeline against a bare loop of the same libraries, in one run: one cold day, and a year in one process.

    python benchmarks/against_bare_loop.py [--days 250] [--runs 5]

All contenders read the same simulated files, of real size, from the same server on loopback. Runs alternate, so a
machine that slows down affects all contenders alike; ratios are of medians.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date, timedelta
from pathlib import Path

from harness import BARE_LOOP, FILL, LUIGI, compare, served, simulate

from champion_luigi.exchange import sessions

COLD_DAY = date(2024, 1, 15)


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=250)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    days = sessions.sessions(date(2023, 1, 1), date(2025, 1, 1))[: arguments.days]
    span = ["--start", str(days[0]), "--stop", str(days[-1] + timedelta(days=1))]
    with tempfile.TemporaryDirectory() as folder:
        simulate([COLD_DAY, *days], Path(folder))
        with served(Path(folder)) as url:
            cold = {
                "bare loop": [*BARE_LOOP, url, "{out}", str(COLD_DAY)],
                "LoadClickHouse": [*LUIGI, "LoadClickHouse", "--date", str(COLD_DAY)],
            }
            # The first turn warms the page cache; its figures do not count.
            compare("(warming up)", cold, url, 1, 1)
            compare("One cold day", cold, url, arguments.runs, 1)
            year = {
                "bare loop": [*BARE_LOOP, url, "{out}", *map(str, days)],
                "champion fill": [*FILL, *span],
                "luigi FillBhavcopy": [*LUIGI, "FillBhavcopy", *span],
            }
            compare(f"{len(days)} days in one process", year, url, max(1, arguments.runs // 2), len(days))


if __name__ == "__main__":
    main()
