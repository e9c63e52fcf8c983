"""What a script by hand costs: fetch, unzip, parse, type, Parquet, one insert a day, with the same libraries.

No checks, no orchestration, no fsync, no atomic writes: the floor that the pipeline is measured against.

    python benchmarks/bare_loop.py URL OUT DATE [DATE ...]
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import clickhouse_connect
import polars as pl
import requests

MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
LEGACY = dict(
    zip(
        "SYMBOL SERIES OPEN HIGH LOW CLOSE LAST PREVCLOSE TOTTRDQTY TOTTRDVAL TOTALTRADES ISIN".split(),
        "symbol series open high low close last prev_close volume turnover trades isin".split(),
        strict=True,
    )
)
UDIFF = dict(
    zip(
        "TckrSymb SctySrs OpnPric HghPric LwPric ClsPric LastPric PrvsClsgPric TtlTradgVol TtlTrfVal "
        "TtlNbOfTxsExctd ISIN".split(),
        LEGACY.values(),
        strict=True,
    )
)
NUMBERS = {**dict.fromkeys("open high low close last prev_close turnover".split(), pl.Float64), "volume": pl.Int64}
TABLE = """CREATE TABLE IF NOT EXISTS bhavcopy (trade_date Date, symbol LowCardinality(String),
    series LowCardinality(String), open Nullable(Float64), high Nullable(Float64), low Nullable(Float64), close Float64,
    last Nullable(Float64), prev_close Nullable(Float64), volume Int64, turnover Float64, trades Nullable(Int64),
    isin LowCardinality(Nullable(String))) ENGINE = MergeTree PARTITION BY toYear(trade_date)
    ORDER BY (symbol, series, trade_date)"""


def path_of(day: date) -> str:
    """Where the exchange has the file."""
    if day >= date(2024, 7, 8):
        return f"/content/cm/BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv.zip"
    month = MONTHS[day.month - 1]
    return f"/content/historical/EQUITIES/{day.year}/{month}/cm{day.day:02}{month}{day.year}bhav.csv.zip"


def run(url: str, out: Path, days: Iterable[date]) -> int:
    """Fetch and load the days; the number of rows."""
    out.mkdir(parents=True, exist_ok=True)
    session = requests.Session()
    session.headers["User-Agent"] = "Mozilla/5.0"
    client = clickhouse_connect.get_client(interface="chdb", path=str(out / "warehouse"), database="default")
    client.command(TABLE)
    total = 0
    for day in days:
        response = session.get(url + path_of(day), timeout=30)
        response.raise_for_status()
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            text = archive.read(archive.namelist()[0])
        raw = pl.read_csv(text, infer_schema=False)
        names = UDIFF if "TckrSymb" in raw.columns else LEGACY
        rows = raw.select(
            pl.lit(day).alias("trade_date"),
            *(pl.col(theirs).alias(ours) for theirs, ours in names.items() if theirs in raw.columns),
        ).with_columns(pl.col(name).cast(kind) for name, kind in NUMBERS.items())
        if "trades" in rows.columns:
            rows = rows.with_columns(pl.col("trades").cast(pl.Int64))
        folder = out / "lake" / f"year={day.year}" / f"month={day.month:02}" / f"day={day.day:02}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = rows.sort("symbol", "series")
        rows.write_parquet(folder / f"bhavcopy_{day:%Y%m%d}.parquet")
        client.insert_df_arrow("bhavcopy", rows)
        total += rows.height
    client.close()
    return total


if __name__ == "__main__":
    print(run(sys.argv[1], Path(sys.argv[2]), [date.fromisoformat(text) for text in sys.argv[3:]]))
