"""What a fill leaves: parts and query times of the table against the same one merged, and the disk by folder.

python benchmarks/left_behind.py [--years 12] [--days 60] [--evenings 3]

One fill of the first days of each year, and fills of one day each, as evening after evening; the questions are asked of
the table as each of them leaves it, and again after OPTIMIZE ... FINAL. The best of the rounds counts. Then a fill of
one whole year, whose folders are measured.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from harness import FILL, Cost, run, simulate

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Warehouse

LAST_YEAR = 2023
ROUNDS = 41
TABLE, VIEW = (f"champion_market.{name}" for name in (EQUITY.table, EQUITY.view))
# One process for days of many years, in between which there are gaps.
FILL_DAYS = """
import sys
from datetime import date
import luigi
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.fill import FillDays
from champion_luigi.pipeline.tasks import LoadClickHouse
task = FillDays.of_days(EQUITY, LoadClickHouse, [date.fromisoformat(day) for day in sys.argv[1:]])
sys.exit(not luigi.build([task], local_scheduler=True, log_level="WARNING"))
"""


def main() -> None:
    """Fill, and look at what is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=12)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--evenings", type=int, default=3)
    parser.add_argument("--folder", help="store the simulated files here, for the next run")
    arguments = parser.parse_args()
    years = {year: of_year(year) for year in range(LAST_YEAR - arguments.years + 1, LAST_YEAR + 1)}
    many = [day for days in years.values() for day in days[: arguments.days]]
    evenings = years[LAST_YEAR][arguments.days :][: arguments.evenings]
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(arguments.folder or temporary)
        made = set(simulate([*many, *evenings, *years[LAST_YEAR]], archive))
        many = [day for day in many if day in made]
        with tempfile.TemporaryDirectory() as folder:
            cost = run([sys.executable, "-c", FILL_DAYS, *map(str, many)], str(archive), Path(folder))
            report(f"{len(many)} days of {len(years)} years", cost, Path(folder))
            for day in evenings:
                cost = run([*FILL, *span(day, day)], str(archive), Path(folder))
                report(f"an evening, {day}", cost, Path(folder))
        with tempfile.TemporaryDirectory() as folder:
            year = years[LAST_YEAR]
            cost = run([*FILL, *span(year[0], year[-1])], str(archive), Path(folder))
            report(f"the {len(year)} days of {LAST_YEAR}", cost, Path(folder))
            sizes(Path(folder))


def of_year(year: int) -> list[date]:
    """The sessions of a year."""
    return sessions.sessions(date(year, 1, 1), date(year + 1, 1, 1))


def span(first: date, last: date) -> list[str]:
    """The options for a range, both days included."""
    return ["--start", str(first), "--stop", str(last + timedelta(days=1))]


def report(title: str, cost: Cost, folder: Path) -> None:
    """Print a fill's cost, the parts that it left, and the times of both questions as it left them, and merged."""
    table = open_warehouse(Address(folder=folder / "warehouse"))
    try:
        # In between, nothing else merges.
        table.command(f"SYSTEM STOP MERGES {TABLE}")
        [(parts, years, symbol)] = table.query(
            f"SELECT uniqExact(_part), uniqExact(toYear(trade_date)), topK(1)(symbol)[1] FROM {TABLE}"
        )
        print(f"\n{title}: {cost.wall:.2f} s, {cost.cpu:.2f} CPU s; {parts} parts in {years} years", flush=True)
        questions = {
            "a symbol's history": f"SELECT trade_date, close FROM {VIEW} WHERE symbol = '{symbol}' ORDER BY trade_date",
            "count()": f"SELECT count() FROM {VIEW}",
        }
        left = {name: best(table, question) for name, question in questions.items()}
    finally:
        table.close()
    with tempfile.TemporaryDirectory() as elsewhere:
        merged = copied(folder / "warehouse", Path(elsewhere))
        try:
            merged.command(f"OPTIMIZE TABLE {TABLE} FINAL")
            for name, question in questions.items():
                time_merged = best(merged, question)
                ratio = left[name] / time_merged
                print(f"  {name:20} {left[name]:7.1f} ms, merged {time_merged:7.1f} ms, x {ratio:.2f}", flush=True)
        finally:
            merged.close()


def copied(warehouse: Path, folder: Path) -> Warehouse:
    """A copy of a warehouse, opened: the next fill finds the table as the last one left it."""
    shutil.copytree(warehouse, folder / "warehouse", symlinks=True)
    return open_warehouse(Address(folder=folder / "warehouse"))


def best(table: Warehouse, question: str) -> float:
    """The shortest time of several rounds, in milliseconds."""
    times = []
    gc.disable()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        table.query(question)
        times.append(time.perf_counter() - start)
    gc.enable()
    return min(times) * 1000


def sizes(folder: Path) -> None:
    """Print the bytes of the files under each folder."""
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        size = sum(path.stat().st_size for path in each.rglob("*") if path.is_file())
        if size:
            print(f"  {each.name:20} {size / 1e6:7.1f} MB", flush=True)


if __name__ == "__main__":
    main()
