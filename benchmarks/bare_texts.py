"""The least that a data set's day can cost: read its file, split it, write Parquet, insert it. All columns stay texts.

A bare loop for every data set, as `bare_loop` is for prices: no types, no checks, no fsync, the same libraries.

    python benchmarks/bare_texts.py DATASET FOLDER OUT DATE [DATE ...]
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

from champion_luigi.datasets import catalog


def run(name: str, folder: Path, out: Path, days: Iterable[date]) -> int:
    """Load the days of a data set from an archive's folder. Returns the number of rows."""
    out.mkdir(parents=True, exist_ok=True)
    client = clickhouse_connect.get_client(interface="chdb", path=str(out / "warehouse"), database="default")
    total = 0
    for day in days:
        source = catalog.DATASETS[name].sources_of(day)[0]
        content = (folder / source.path_of(day).lstrip("/")).read_bytes()
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = archive.namelist()
                content = archive.read(next((each for each in names if source.is_member(each, day)), names[0]))
        texts = pl.read_csv(content, infer_schema=False, truncate_ragged_lines=True)
        rows = texts.with_columns(pl.all().fill_null(""), pl.lit(day).alias("trade_date"))
        rows.write_parquet(out / f"{name}_{day:%Y%m%d}.parquet")
        if not total:
            columns = ", ".join(f"`{column}` String" for column in texts.columns)
            client.command(f"CREATE TABLE texts ({columns}, trade_date Date) ENGINE = MergeTree ORDER BY trade_date")
        client.insert_df_arrow("texts", rows)
        total += rows.height
    client.close()
    return total


if __name__ == "__main__":
    print(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), [date.fromisoformat(text) for text in sys.argv[4:]]))
