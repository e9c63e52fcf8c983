"""The cost of a hand-written script: fetch, unzip, parse, type, Parquet, one insert a day, with the same libraries.

No checks, no orchestration, no fsync, no atomic writes: the floor that the pipeline is measured against.

    python benchmarks/bare_loop.py URL OUT DATE [DATE ...]

URL may be a folder. With BARE_LOOP_MLFLOW=URI it logs the pipeline's twelve metrics for each day to MLflow, inline.
"""

from __future__ import annotations

import io
import os
import sys
import time
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
    """The path of the file at the exchange."""
    if day >= date(2024, 7, 8):
        return f"/content/cm/BhavCopy_NSE_CM_0_0_0_{day:%Y%m%d}_F_0000.csv.zip"
    month = MONTHS[day.month - 1]
    return f"/content/historical/EQUITIES/{day.year}/{month}/cm{day.day:02}{month}{day.year}bhav.csv.zip"


def run(url: str, out: Path, days: Iterable[date]) -> int:
    """Fetch and load the days. Returns the number of rows."""
    out.mkdir(parents=True, exist_ok=True)
    session = requests.Session()
    session.headers["User-Agent"] = "Mozilla/5.0"
    client = clickhouse_connect.get_client(interface="chdb", path=str(out / "warehouse"), database="default")
    client.command(TABLE)
    tracking_uri = os.environ.get("BARE_LOOP_MLFLOW")
    if tracking_uri:
        import mlflow

        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_experiment("bare-loop")
    total = 0
    for day in days:
        marks = [time.perf_counter()]
        if url.startswith("http"):
            response = session.get(url + path_of(day), timeout=30)
            response.raise_for_status()
            content = response.content
        else:
            content = Path(url + path_of(day)).read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read(archive.namelist()[0])
        marks.append(time.perf_counter())
        raw = pl.read_csv(text, infer_schema=False)
        marks.append(time.perf_counter())
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
        marks.append(time.perf_counter())
        file = folder / f"bhavcopy_{day:%Y%m%d}.parquet"
        rows.write_parquet(file)
        marks.append(time.perf_counter())
        client.insert_df_arrow("bhavcopy", rows)
        marks.append(time.perf_counter())
        total += rows.height
        if tracking_uri:
            with mlflow.start_run(run_name=f"bhavcopy-etl-{day}"):
                mlflow.log_metrics(
                    {
                        **{
                            f"{stage}_duration_seconds": marks[number + 1] - marks[number]
                            for number, stage in enumerate("scrape parse normalize write load".split())
                        },
                        "raw_rows_parsed": raw.height,
                        "normalized_rows": rows.height,
                        "filtered_rows": raw.height - rows.height,
                        "parquet_size_mb": file.stat().st_size / 1024**2,
                        "rows_written": rows.height,
                        "rows_loaded": rows.height,
                        "flow_duration_seconds": marks[-1] - marks[0],
                    }
                )
    client.close()
    return total


if __name__ == "__main__":
    print(run(sys.argv[1], Path(sys.argv[2]), [date.fromisoformat(text) for text in sys.argv[3:]]))
