"""Adjusted prices against raw ones, in ClickHouse: a symbol's history, a day, and ten years of all symbols into Polars.

python benchmarks/adjusted.py [--years 30] [--symbols 2000] [--rounds 9] [--plans]

The rows are invented, thirty years of them made by ClickHouse itself. Two of three symbols have eleven events with
factors; nine of ten rows lie before one. Raw and adjusted queries take turns, and the best round of each counts.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from champion_luigi.adjustments.tables import END, EVENTS, NO_DAY, SPANS, types_of
from champion_luigi.datasets.equity import EQUITY, FIRST_DATE
from champion_luigi.warehouse import adjusted
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Warehouse

LAST_YEAR = 2025
SESSIONS, EVENTS_EACH = 247, 11
DAY = date(LAST_YEAR, 3, 14)
OF_THE_DAY = f"SELECT symbol, series, open, high, low, close, volume FROM {{}} WHERE trade_date = '{DAY}'"
OF_A_SYMBOL = "SELECT trade_date, open, high, low, close, volume FROM {} WHERE symbol = 'SYM77' ORDER BY trade_date"
CLOSES = f"SELECT trade_date, symbol, series, close FROM {{}} WHERE trade_date >= '{LAST_YEAR - 9}-01-01'"


def main() -> None:
    """Make the warehouse, and time each question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=30)
    parser.add_argument("--symbols", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--plans", action="store_true", help="print ClickHouse's plan of each adjusted query")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        warehouse = open_warehouse(Address(folder=Path(folder) / "warehouse"))
        try:
            make(warehouse, arguments.years, arguments.symbols)
            questions = {"one symbol's history": OF_A_SYMBOL, "all symbols of a day": OF_THE_DAY, "ten years": CLOSES}
            for name, question in questions.items():
                time_question(warehouse, name, question, arguments.rounds)
                if arguments.plans:
                    plan = warehouse.query(f"EXPLAIN indexes = 1 {question.format(named(adjusted.ADJUSTED))}")
                    print("\n".join(line for (line,) in plan))
        finally:
            warehouse.close()


def named(view: str) -> str:
    """A view with its database."""
    return f"champion_market.{view}"


def make(warehouse: Warehouse, years: int, symbols: int) -> None:
    """Fill the table of prices, and load spans."""
    warehouse.prepare(EQUITY)
    first = LAST_YEAR - years + 1
    for year in range(first, LAST_YEAR + 1):
        price = "(10000 + cityHash64(number, 1) % 100000) / 100"
        warehouse.command(
            "INSERT INTO champion_market.normalized_equity_ohlc (trade_date, symbol, series, isin, open, high, low, "
            "close, last, prev_close, volume, turnover, trades, layout, version, is_deleted) SELECT "
            f"toDate('{year}-01-01') + intDiv(intDiv(number, {symbols}) * 147, 100), concat('SYM', toString(number % "
            f"{symbols})), if(number % 17 = 0, 'BE', 'EQ'), concat('INE', toString(number % {symbols})), {price}, "
            f"{price} + 1, {price} - 1, {price}, {price}, {price}, cityHash64(number, 2) % 1000000, "
            f"cityHash64(number, 3) % 1000000, cityHash64(number, 4) % 9000, 'legacy', 1, 0 "
            f"FROM numbers({symbols * SESSIONS})"
        )
    warehouse.command("OPTIMIZE TABLE champion_market.normalized_equity_ohlc FINAL")
    spans = pl.DataFrame(list(spans_of(first, symbols)), types_of(SPANS), orient="row")
    adjusted.load(warehouse.connection, pl.DataFrame(schema=types_of(EVENTS)), spans)
    [(rows,)] = warehouse.query(f"SELECT count() FROM {named(EQUITY.view)}")
    print(f"{rows:,} rows, {spans.height:,} spans")


def spans_of(first: int, symbols: int) -> list[tuple[Any, ...]]:
    """Spans of two of three symbols."""
    dice = random.Random(1)
    found = []
    for number in range(symbols):
        days = sorted(dice.sample(range(365 * (LAST_YEAR - first + 1)), EVENTS_EACH)) if number % 3 else []
        for series in ("EQ", "BE"):
            starts = [FIRST_DATE, *(date(first, 1, 1) + timedelta(days=day) for day in days)]
            factors = [float(2 ** (len(starts) - at - 1)) for at in range(len(starts))]
            for start, stop, factor in zip(starts, [*starts[1:], END], factors, strict=True):
                symbol = f"SYM{number}"
                of = (symbol, series, start, stop, FIRST_DATE, END, symbol)
                if days:
                    found.append((*of, *[factor] * 3, NO_DAY, *[factor] * 3, False, 0))
    return found


def time_question(warehouse: Warehouse, name: str, question: str, rounds: int) -> None:
    """Ask for raw and adjusted prices in turn, into Polars, and print the best times."""
    best: dict[str, float] = {}
    heights = set()
    for _ in range(rounds):
        for view in (EQUITY.view, adjusted.ADJUSTED):
            start = time.perf_counter()
            client: Any = warehouse.connection._client
            rows = client.query_df_arrow(question.format(named(view)), dataframe_library="polars")
            best[view] = min(best.get(view, 1e9), time.perf_counter() - start)
            heights.add(rows.height)
    raw, other = best[EQUITY.view], best[adjusted.ADJUSTED]
    [height] = heights
    print(f"{name}: {height:,} rows, raw {raw * 1000:.0f} ms, adjusted {other * 1000:.0f} ms, ratio {other / raw:.2f}")


if __name__ == "__main__":
    main()
