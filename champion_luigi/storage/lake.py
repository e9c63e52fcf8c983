"""The Parquet lake: one file a trading day in hive folders, for Polars, DuckDB, pyarrow, ClickHouse or Spark.

Readers should match the names of finished files (`bhavcopy_*.parquet`): the leftovers of a killed run begin with a dot.
A file of an older version can lack columns that were added since: they are read as nulls.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from champion_luigi.base import durable, object_options, store
from champion_luigi.base.dates import day_of
from champion_luigi.base.errors import DamagedFile
from champion_luigi.base.places import Listed, ObjectPath, Place, place_of
from champion_luigi.base.secrets import hidden
from champion_luigi.datasets.catalog import DEFAULT, dataset_of
from champion_luigi.datasets.model import Dataset
from champion_luigi.storage.paths import day_in, name_of

if TYPE_CHECKING:
    import polars as pl

_SUFFIX = ".parquet"
_HIVE = re.compile(r"year=\d+/month=\d+/day=\d+")


def folder(root: Place, dataset: Dataset) -> Place:
    """The folder of a data set's tree: ``root/normalized/equity_ohlc``."""
    return root / "normalized" / dataset.view


def partition(root: Place, day: date, dataset: Dataset) -> Place:
    """The path of a day's file: ``root/normalized/equity_ohlc/year=2024/month=01/day=15/bhavcopy_20240115.parquet``."""
    return folder(root, dataset).joinpath(*_folder_of(day), name_of(dataset, day) + _SUFFIX)


def _folder_of(day: date) -> tuple[str, str, str]:
    return f"year={day.year}", f"month={day.month:02}", f"day={day.day:02}"


def sorted_by_key(rows: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """The rows in the order of a lake file: by the key, which for equity is symbol, then series."""
    return rows.sort(dataset.key)


def parquet_bytes(table: pl.DataFrame, metadata: Mapping[str, str]) -> bytes:
    """A table as one Parquet file (zstd) with key-value metadata."""
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd", metadata=dict(metadata))
    return buffer.getvalue()


def read_parquet(path: Place, dataset: Dataset) -> tuple[pl.DataFrame, dict[str, str]]:
    """A table and its key-value metadata. Raises StorageError, DamagedFile or OtherVersion."""
    return table_of(durable.read_whole(path), path, dataset)


def table_of(content: bytes, path: Place, dataset: Dataset) -> tuple[pl.DataFrame, dict[str, str]]:
    """The same as `read_parquet`, from bytes already read from ``path``."""
    import polars as pl  # listing the lake must not cost the import

    with _as_damaged(path):
        metadata = _metadata_of(content, path, dataset)
        return with_later_columns(pl.read_parquet(io.BytesIO(content)), metadata, dataset), metadata


def rows_to_load(path: Place, dataset: Dataset) -> tuple[pl.DataFrame, str, dict[str, str]]:
    """The canonical rows of a lake file, the sha256 of exactly the bytes that were read, and the file's metadata.

    Raises StorageError, OtherVersion or DamagedFile; other columns than the canonical ones count as damage.
    """
    content = durable.read_whole(path)
    rows, metadata = table_of(content, path, dataset)
    if tuple(rows.columns) != dataset.names:
        raise DamagedFile(
            "the lake file has other columns",
            source=str(path),
            expected=", ".join(dataset.names),
            found=", ".join(rows.columns),
            todo="If another program wrote it, move it away; then run the day again.",
        )
    return rows, durable.sha256(content), metadata


def with_later_columns(rows: pl.DataFrame, metadata: Mapping[str, str], dataset: Dataset) -> pl.DataFrame:
    """The rows of an older version, with nulls in the columns that were added at the end since."""
    import polars as pl

    later = dataset.columns[rows.width :]
    is_older = int(metadata.get("schema_version") or 1) < dataset.version
    if not is_older or tuple(rows.columns) != dataset.names[: rows.width] or any(column.required for column in later):
        return rows
    return rows.with_columns(pl.lit(None, dataset.types[column.name]).alias(column.name) for column in later)


def read_metadata(path: Place, dataset: Dataset) -> dict[str, str]:
    """The key-value metadata of a lake file. Raises StorageError, DamagedFile or OtherVersion."""
    return metadata_of(durable.read_whole(path), path, dataset)


def metadata_of(content: bytes, path: Place, dataset: Dataset) -> dict[str, str]:
    """The same as `read_metadata`, from bytes already read from ``path``."""
    with _as_damaged(path):
        return _metadata_of(content, path, dataset)


def _metadata_of(content: bytes, path: Place, dataset: Dataset) -> dict[str, str]:
    import polars as pl

    found = pl.read_parquet_metadata(io.BytesIO(content))
    dataset.require_version(found.get("schema_version"), str(path), _date_of(path.name, dataset))
    return {name: text for name, text in found.items() if name != "ARROW:schema"}


@contextlib.contextmanager
def _as_damaged(path: Place) -> Iterator[None]:
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DamagedFile(
            f"the Parquet file cannot be read: {hidden(str(error))[:200]}",
            source=str(path),
            todo="Delete it and run the day again.",
        ) from error


def days(root: Place, dataset: Dataset, start: date = date.min, stop: date = date.max) -> Iterator[tuple[date, Listed]]:
    """The finished lake files from ``start`` to ``stop`` (exclusive), in no order; none is opened."""
    tree = folder(root, dataset)
    if isinstance(tree, ObjectPath):
        # A request lists a thousand names, from the first day to the last.
        for listed in tree.entries("/".join(_folder_of(start)), "/".join(_folder_of(stop))):
            of = _date_of(listed.name, dataset)
            if of and start <= of < stop and _HIVE.fullmatch(str(listed.at.parent.relative_to(tree))):
                yield of, listed
        return
    for year in _folders(tree, "year=", start.year, stop.year):
        for month in _folders(Path(year), "month=", 1, 12):
            for day in _folders(Path(month), "day=", 1, 31):
                with os.scandir(day) as entries:
                    for entry in entries:
                        if (found := _date_of(entry.name, dataset)) and start <= found < stop:
                            yield found, entry


def has_days(root: Place, dataset: Dataset) -> bool:
    """Whether there is a day of a data set; for an object store, whether there is any file of it."""
    if isinstance(root, ObjectPath):
        return store.has_some(folder(root, dataset))
    return next(iter(days(root, dataset)), None) is not None


def root_at(place: str | Place) -> Place:
    """The root of a lake that a caller names. Raises SettingsError if it is an address of no object store."""
    return place_of(place) if isinstance(place, str) else place


def scan(
    root: str | Place, start: date | str = date.min, stop: date | str = date.max, *, dataset: str | Dataset = DEFAULT
) -> pl.LazyFrame:
    """All rows of the lake from ``start`` to ``stop`` (exclusive) as a LazyFrame in the canonical columns, by date.

    ``root`` is a folder or an address such as ``s3://bucket/lake``, ``start`` and ``stop`` are dates or ISO texts.
    Leftovers of killed runs are skipped. An empty lake gives an empty frame of the same schema, with a warning if
    there is no such folder. ``dataset`` is the name of a data set. Raises SettingsError if an argument cannot be used.
    """
    import polars as pl

    of = dataset if isinstance(dataset, Dataset) else dataset_of(dataset)
    first, after = day_of(start, "start") or date.min, day_of(stop, "stop") or date.max
    place = root_at(root)
    found = sorted((day, entry.path) for day, entry in days(place, of, first, after))
    if not found and isinstance(place, Path) and not place.exists():
        # Most likely, another folder is meant: a relative one depends on where the program was started.
        warnings.warn(f"there is no folder {place.absolute()}: the lake has no rows", stacklevel=2)
    return scan_files([path for _, path in found], of) if found else pl.LazyFrame(schema=of.types)


def scan_files(paths: list[str], dataset: Dataset, path_column: str | None = None) -> pl.LazyFrame:
    """All rows of these lake files, as `scan` gives them; ``path_column`` adds a column with the file's path."""
    import polars as pl

    first = place_of(paths[0])
    return pl.scan_parquet(
        paths,
        storage_options=object_options.options(first.bucket) if isinstance(first, ObjectPath) else None,
        # Not by the libraries of Amazon, Google and Microsoft, if installed: they would find other credentials.
        credential_provider=None,
        hive_partitioning=False,
        glob=False,
        include_file_paths=path_column,
        schema=dataset.types,
        # Files of an older version lack the columns added since; every file has the first version's.
        missing_columns="insert" if dataset.version > 1 else "raise",
    )


def _folders(parent: Path, prefix: str, low: int, high: int) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            named = {entry.path: entry.name.removeprefix(prefix) for entry in entries if entry.name.startswith(prefix)}
    except FileNotFoundError:
        return []
    return [path for path, number in named.items() if number.isdecimal() and low <= int(number) <= high]


def _date_of(name: str, dataset: Dataset) -> date | None:
    return day_in(dataset, name) if name.endswith(_SUFFIX) else None
