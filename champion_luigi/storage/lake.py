"""The Parquet lake: one file a trading day in hive folders, for Polars, DuckDB, pyarrow, ClickHouse or Spark.

Readers should look for finished names (`bhavcopy_*.parquet`): what a killed run leaves behind has a leading dot.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile
from champion_luigi.base.secrets import hidden
from champion_luigi.datasets import schema

if TYPE_CHECKING:
    import polars as pl

TABLE = Path("normalized", "equity_ohlc")

_FILE = re.compile(r"bhavcopy_(\d{4})(\d{2})(\d{2})\.parquet")


def partition(root: Path, day: date) -> Path:
    """Where a day's file is: ``root/normalized/equity_ohlc/year=2024/month=01/day=15/bhavcopy_20240115.parquet``."""
    folder = root / TABLE / f"year={day.year}" / f"month={day.month:02}" / f"day={day.day:02}"
    return folder / f"bhavcopy_{day:%Y%m%d}.parquet"


def sorted_by_key(rows: pl.DataFrame) -> pl.DataFrame:
    """The order of a lake file: symbol, then series."""
    return rows.sort("symbol", "series")


def parquet_bytes(table: pl.DataFrame, metadata: Mapping[str, str]) -> bytes:
    """A table as one Parquet file (zstd) with key-value metadata."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", metadata=dict(metadata))
    return buffer.getvalue()


def read_parquet(path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """A table and the metadata it was written with. Raises StorageError, DamagedFile or OtherVersion."""
    return table_of(durable.read_whole(path), path)


def table_of(content: bytes, path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """What `read_parquet` gives, from bytes that were read from ``path`` already."""
    import polars as pl  # listing the lake must not cost the import

    with _as_damaged(path):
        metadata = _metadata_of(content, path)
        return pl.read_parquet(io.BytesIO(content)), metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The key-value metadata that a table was written with. Raises StorageError, DamagedFile or OtherVersion."""
    content = durable.read_whole(path)
    with _as_damaged(path):
        return _metadata_of(content, path)


def _metadata_of(content: bytes, path: Path) -> dict[str, str]:
    import polars as pl

    found = pl.read_parquet_metadata(io.BytesIO(content))
    schema.require_version(found.get("schema_version"), str(path), _date_of(path.name))
    return {name: text for name, text in found.items() if name != "ARROW:schema"}


@contextlib.contextmanager
def _as_damaged(path: Path) -> Iterator[None]:
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DamagedFile(
            f"the Parquet file cannot be read: {hidden(str(error))[:200]}",
            source=str(path),
            todo="Delete it and run the day again.",
        ) from error


def days(root: Path, start: date = date.min, stop: date = date.max) -> Iterator[tuple[date, os.DirEntry[str]]]:
    """The finished files of the lake from ``start`` to ``stop`` (exclusive), in no order, without opening one."""
    for year in _folders(root / TABLE, "year=", start.year, stop.year):
        for month in _folders(Path(year), "month=", 1, 12):
            for day in _folders(Path(month), "day=", 1, 31):
                with os.scandir(day) as entries:
                    for entry in entries:
                        if (found := _date_of(entry.name)) and start <= found < stop:
                            yield found, entry


def scan(root: str | Path, start: date = date.min, stop: date = date.max) -> pl.LazyFrame:
    """All rows of the lake from ``start`` to ``stop`` (exclusive) as a LazyFrame in the canonical columns, by date.

    Leftovers of killed runs are passed over; an empty lake gives an empty frame of the same schema.
    """
    import polars as pl

    types = {column.name: getattr(pl, column.kind.type) for column in schema.COLUMNS}
    found = sorted((day, entry.path) for day, entry in days(Path(root), start, stop))
    if not found:
        return pl.LazyFrame(schema=types)
    return pl.scan_parquet([path for _, path in found], hive_partitioning=False, schema=types, glob=False)


def _folders(parent: Path, prefix: str, low: int, high: int) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            named = [
                (entry.name.removeprefix(prefix), entry.path) for entry in entries if entry.name.startswith(prefix)
            ]
    except FileNotFoundError:
        return []
    return [path for number, path in named if number.isdecimal() and low <= int(number) <= high]


def _date_of(name: str) -> date | None:
    if not (found := _FILE.fullmatch(name)):
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
