"""The Parquet lake: what a file is like, what `scan` gives, and that other engines read the tree as it is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest

from champion_luigi.base import durable
from champion_luigi.base.errors import DamagedFile, OtherVersion, SettingsError, StorageError
from champion_luigi.base.places import Place
from champion_luigi.datasets import model
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column, Dataset
from champion_luigi.reading.prices import prices
from champion_luigi.storage import lake

FRIDAY, MONDAY, TUESDAY = date(2024, 1, 12), date(2024, 1, 15), date(2024, 1, 16)
NEW_YEAR = date(2025, 1, 1)


def table(day: date, *keys: tuple[str, str], **columns: Any) -> pl.DataFrame:
    """Rows in canonical columns; what is not given is null, or anything that may be there."""
    values: dict[str, Any] = dict.fromkeys(EQUITY.names)
    values |= {"trade_date": day, "close": 10.5, "volume": 100, "turnover": 1050.0, "layout": "legacy"}
    keys = keys or (("ALPHA", "EQ"),)
    return pl.DataFrame(
        [values | columns | {"symbol": symbol, "series": series} for symbol, series in keys], schema=EQUITY.types
    )


def put(root: Place, day: date, rows: pl.DataFrame | None = None) -> Place:
    """Write a day's partition as the pipeline does."""
    path = lake.partition(root, day, EQUITY)
    content = lake.parquet_bytes(lake.sorted_by_key(table(day) if rows is None else rows, EQUITY), {})
    durable.write_whole(path, content)
    return path


def leave_behind(root: Path) -> None:
    """What killed runs, other programs and people leave in a lake."""
    folder = lake.partition(root, MONDAY, EQUITY).parent
    (folder / ".tmp-bhavcopy_20240115.parquet-77-abcdef01").write_bytes(b"PAR1 half a file")
    (folder / ".bhavcopy_20240115.parquet.crc").write_bytes(b"crc")
    (folder / "_SUCCESS").touch()
    (folder / "bhavcopy_20240115.parquet.bak").write_bytes(b"an old copy")
    (folder / "notes.txt").write_text("checked by hand")
    empty = lake.partition(root, TUESDAY, EQUITY).parent
    empty.mkdir(parents=True)
    (empty / ".tmp-bhavcopy_20240116.parquet-78-abcdef02").touch()
    (lake.folder(root, EQUITY) / "year=2024" / "month=02").mkdir()
    (lake.folder(root, EQUITY) / "year=old").mkdir()
    (lake.folder(root, EQUITY) / ".DS_Store").touch()


# A file


def test_a_day_has_its_place_in_the_tree(tmp_path: Path) -> None:
    """Hive folders with padded numbers, and the date in the name."""
    assert lake.partition(tmp_path, date(2024, 1, 5), EQUITY) == (
        tmp_path / "normalized/equity_ohlc/year=2024/month=01/day=05/bhavcopy_20240105.parquet"
    )


def test_rows_are_sorted_by_symbol_and_series(tmp_path: Path) -> None:
    """Which makes the file smaller, and its content the same however the source was ordered."""
    keys = [("BRAVO", "EQ"), ("ALPHA", "N1"), ("ALPHA", "BL"), ("B-1", "EQ"), ("ALPHA", "EQ")]
    found = lake.sorted_by_key(table(MONDAY, *keys), EQUITY)
    assert found.select("symbol", "series").rows() == [
        ("ALPHA", "BL"),
        ("ALPHA", "EQ"),
        ("ALPHA", "N1"),
        ("B-1", "EQ"),
        ("BRAVO", "EQ"),
    ]


def test_every_column_is_compressed_with_zstd(tmp_path: Path) -> None:
    """As the file itself says."""
    metadata = pyarrow.parquet.read_metadata(put(tmp_path, MONDAY))
    group = metadata.row_group(0)
    assert {group.column(index).compression for index in range(metadata.num_columns)} == {"ZSTD"}


def test_a_file_has_the_canonical_columns_and_no_partition_columns(tmp_path: Path) -> None:
    """The partition's numbers are in the path alone."""
    assert pyarrow.parquet.read_schema(put(tmp_path, MONDAY)).names == list(EQUITY.names)


def test_a_file_carries_its_metadata_for_every_reader(tmp_path: Path) -> None:
    """What was written beside the rows is found by the package and by pyarrow."""
    given = {"source_file": "cm15JAN2024bhav.csv.zip", "rows": "1", "schema_version": "1", "note": "é, ₹"}
    path = tmp_path / "file.parquet"
    path.write_bytes(lake.parquet_bytes(table(MONDAY), given))
    assert lake.read_metadata(path, EQUITY) == given
    theirs = pyarrow.parquet.read_metadata(path).metadata
    assert {name: theirs[name.encode()].decode() for name in given} == given


def test_a_table_reads_back_as_it_was_written(place: Place) -> None:
    """Types, nulls, exact numbers, series NA, and the metadata."""
    rows = table(
        MONDAY, ("ALPHA", "NA"), ("NULL", "EQ"), close=0.1 + 0.2, volume=2**63 - 1, open=None, name="CAFÉ, LTD"
    )
    path = place / "file.parquet"
    durable.write_whole(path, lake.parquet_bytes(rows, {"format": "udiff"}))
    found, metadata = lake.read_parquet(path, EQUITY)
    assert found.schema == EQUITY.types
    assert found.equals(rows, null_equal=True)
    assert metadata == {"format": "udiff"}


def test_the_same_rows_make_the_same_bytes() -> None:
    """A day that is written again has the same hash."""
    assert lake.parquet_bytes(table(MONDAY), {"a": "b"}) == lake.parquet_bytes(table(MONDAY), {"a": "b"})


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    """Nothing is lost with the last row."""
    path = tmp_path / "file.parquet"
    path.write_bytes(lake.parquet_bytes(pl.DataFrame(schema=EQUITY.types), {}))
    assert lake.read_parquet(path, EQUITY)[0].schema == EQUITY.types


def test_a_missing_file_is_a_storage_error(place: Place) -> None:
    """It names the file."""
    path = place / "none.parquet"
    with pytest.raises(StorageError) as caught:
        lake.read_parquet(path, EQUITY)
    assert caught.value.source == str(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_damaged(tmp_path: Path, share: float) -> None:
    """Whoever reads it is told which file, and what to do."""
    path = put(tmp_path, MONDAY)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DamagedFile) as caught:
        lake.read_parquet(path, EQUITY)
    assert caught.value.source == str(path)
    assert "Delete it and run the day again" in str(caught.value)
    with pytest.raises(DamagedFile):
        lake.read_metadata(path, EQUITY)


@pytest.mark.parametrize("content", [b"PAR1PAR1", b"\0" * 1000, b"<html></html>", b"PAR1" + b"\xff" * 500 + b"PAR1"])
def test_a_file_that_is_no_parquet_is_damaged(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in its place."""
    path = tmp_path / "file.parquet"
    path.write_bytes(content)
    with pytest.raises(DamagedFile):
        lake.read_parquet(path, EQUITY)


# The tree


def test_scan_gives_all_days_by_date(place: Place) -> None:
    """Whatever the order in which they were written."""
    for day in (TUESDAY, NEW_YEAR, FRIDAY, MONDAY):
        put(place, day)
    assert lake.scan(place).collect()["trade_date"].to_list() == [FRIDAY, MONDAY, TUESDAY, NEW_YEAR]


def test_scan_gives_the_canonical_columns(place: Place) -> None:
    """No column comes from the path."""
    put(place, MONDAY)
    assert lake.scan(place).collect_schema() == EQUITY.types
    assert lake.scan(place).collect().equals(table(MONDAY), null_equal=True)


def test_scan_survives_leftovers(tmp_path: Path) -> None:
    """Half-written files, other programs' files and empty folders are passed over."""
    put(tmp_path, FRIDAY)
    put(tmp_path, MONDAY)
    leave_behind(tmp_path)
    assert lake.scan(tmp_path).collect()["trade_date"].to_list() == [FRIDAY, MONDAY]


def test_scan_starts_at_start_and_ends_before_stop(place: Place) -> None:
    """The first date is inclusive, the second is not."""
    for day in (FRIDAY, MONDAY, TUESDAY, NEW_YEAR):
        put(place, day)

    def dates(*bounds: date | str) -> list[date]:
        return lake.scan(place, *bounds).collect()["trade_date"].to_list()

    assert dates(MONDAY) == [MONDAY, TUESDAY, NEW_YEAR]
    assert dates(FRIDAY, TUESDAY) == [FRIDAY, MONDAY]
    assert dates(TUESDAY, NEW_YEAR) == [TUESDAY]
    assert dates(str(TUESDAY), str(NEW_YEAR)) == [TUESDAY]
    assert dates(MONDAY, MONDAY) == []


def test_scan_of_a_lake_without_files_is_empty(place: Place) -> None:
    """A new installation's query gives no rows, and fails nothing."""
    for root in (place, place / "not there"):
        # A folder that is not there is most likely another one than is meant.
        is_missing = isinstance(root, Path) and not root.exists()
        with (
            pytest.warns(match=f"there is no folder {root}: the lake has no rows")
            if is_missing
            else contextlib.nullcontext()
        ):
            found = lake.scan(root).collect()
        assert (found.height, found.schema) == (0, EQUITY.types)


def test_scan_takes_a_path_as_text(tmp_path: Path) -> None:
    """As people write it in a notebook."""
    put(tmp_path, MONDAY)
    assert lake.scan(str(tmp_path)).collect().height == 1


@pytest.mark.parametrize("read", [lake.scan, lambda root: prices(root=root)], ids=["scan", "prices"])
def test_a_url_is_no_empty_lake(read: Callable[[str], object]) -> None:
    """As a path, it is a folder that is not there. Credentials are no part of an object store's address."""
    with pytest.raises(SettingsError, match=r"no object store with the scheme hdfs:.*found hdfs://bucket/lake$"):
        read("hdfs://key:hunter2@bucket/lake")
    with pytest.raises(SettingsError, match=r"names no bucket; expected s3://BUCKET/.*; found s3://bucket/lake$"):
        read("s3://key:hunter2@bucket/lake")


def test_scan_takes_a_path_literally(tmp_path: Path) -> None:
    """A folder may be called what elsewhere is a pattern, or hold an equals sign."""
    root = tmp_path / "my [lake]* v=2"
    put(root, MONDAY)
    assert lake.scan(root).collect().height == 1
    assert lake.scan(root).collect_schema() == EQUITY.types


def test_scan_is_lazy(tmp_path: Path) -> None:
    """What it makes is a query: files are read when it is collected."""
    durable.write_whole(put(tmp_path, MONDAY), b"no parquet")
    query = lake.scan(tmp_path).select("symbol")
    assert isinstance(query, pl.LazyFrame)
    with pytest.raises(pl.exceptions.PolarsError):
        query.collect()


def test_days_are_listed_without_opening_a_file(place: Place) -> None:
    """A name that is finished is a day, and nothing else is."""
    put(place, FRIDAY)
    path = put(place, MONDAY)
    durable.write_whole(path, b"no parquet")
    durable.write_whole(path.parent / "bhavcopy_20241301.parquet", b"")
    durable.write_whole(lake.folder(place, EQUITY) / "old" / path.name, b"a copy")
    if isinstance(place, Path):
        leave_behind(place)
    found = dict(lake.days(place, EQUITY))
    assert sorted(found) == [FRIDAY, MONDAY]
    assert found[MONDAY].path == str(path)


# Other engines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A lake of three days, with leftovers."""
    put(tmp_path, FRIDAY, table(FRIDAY, ("ALPHA", "EQ"), close=10.1))
    put(tmp_path, MONDAY, table(MONDAY, ("ALPHA", "NA"), ("ALPHA", "EQ"), close=10.2))
    put(tmp_path, NEW_YEAR, table(NEW_YEAR, ("ALPHA", "EQ"), close=10.3))
    leave_behind(tmp_path)
    return tmp_path


# What each of them should find: partition, date, key, close, and a null.
FOUND = [
    (2024, 1, 12, FRIDAY, "ALPHA", "EQ", 10.1, None),
    (2024, 1, 15, MONDAY, "ALPHA", "EQ", 10.2, None),
    (2024, 1, 15, MONDAY, "ALPHA", "NA", 10.2, None),
    (2025, 1, 1, NEW_YEAR, "ALPHA", "EQ", 10.3, None),
]
COLUMNS = ["year", "month", "day", "trade_date", "symbol", "series", "close", "isin"]


def in_duckdb(pattern: Path) -> duckdb.DuckDBPyRelation:
    """The files of a pattern with their partitions. A padded number would be text if the types were not given."""
    types = "{'year': INTEGER, 'month': INTEGER, 'day': INTEGER}"
    relation = duckdb.from_query(f"FROM read_parquet('{pattern}', hive_partitioning = true, hive_types = {types})")
    assert relation is not None
    return relation


def test_duckdb_reads_the_tree_with_its_partitions(root: Path) -> None:
    """One glob over finished names; year, month and day come from the path."""
    relation = in_duckdb(lake.folder(root, EQUITY) / "**" / "bhavcopy_*.parquet")
    assert relation.select(*COLUMNS).order("trade_date, series").fetchall() == FOUND
    assert relation.filter("year = 2025").select("close").fetchall() == [(10.3,)]


def test_duckdb_reads_the_tree_by_any_parquet_name(root: Path) -> None:
    """Leftovers do not end in .parquet, so the glob that people write finds none of them."""
    assert in_duckdb(root / "**" / "*.parquet").select(*COLUMNS).order("trade_date, series").fetchall() == FOUND


def test_duckdb_finds_a_partition_by_its_numbers(root: Path) -> None:
    """Without being told of any types."""
    relation = duckdb.read_parquet(str(lake.folder(root, EQUITY) / "**" / "bhavcopy_*.parquet"), hive_partitioning=True)
    found = relation.filter("year = 2024 AND month = 1 AND day = 12").select("trade_date").fetchall()
    assert found == [(FRIDAY,)]


def test_pyarrow_reads_the_tree_with_its_partitions(root: Path) -> None:
    """As a dataset: hidden leftovers are passed over, other programs' files are kept out by their ending."""
    paths = [str(path) for path in root.rglob("bhavcopy_*.parquet")]
    found = pyarrow.dataset.dataset(
        sorted(paths), partitioning="hive", partition_base_dir=str(lake.folder(root, EQUITY)), format="parquet"
    ).to_table(columns=COLUMNS)
    assert [tuple(row.values()) for row in found.to_pylist()] == FOUND


def test_pyarrow_reads_a_clean_tree_by_its_root_alone(tmp_path: Path) -> None:
    """The folder is all that a reader needs to name, and what killed runs of the package left does not matter."""
    put(tmp_path, MONDAY).with_name(".tmp-bhavcopy_20240115.parquet-77-abcdef01").write_bytes(b"PAR1 half")
    dataset = pyarrow.dataset.dataset(lake.folder(tmp_path, EQUITY), partitioning="hive")
    found = dataset.to_table(columns=COLUMNS, filter=pyarrow.dataset.field("year") == 2024)
    assert [tuple(row.values()) for row in found.to_pylist()] == [(2024, 1, 15, MONDAY, "ALPHA", "EQ", 10.5, None)]


def test_polars_reads_the_tree_with_its_partitions(root: Path) -> None:
    """Without the package, too."""
    found = pl.scan_parquet(lake.folder(root, EQUITY) / "**" / "bhavcopy_*.parquet", hive_partitioning=True)
    assert found.select(COLUMNS).sort("trade_date", "series").collect().rows() == FOUND


# Another data set, and a schema that grows


SMALL = Dataset(
    name="small",
    title="closes",
    view="small_close",
    stem="small",
    folder="small",
    sources=(),
    layouts=(),
    columns=(
        Column("trade_date", model.DAY, "date, IST", "the trading day", required=True),
        Column("index_name", model.TEXT, "", "as published that day", required=True),
        Column("close", model.PRICE, "points", "closing value", required=True),
    ),
    key=("index_name",),
    sums=("close",),
    published_at=time(19),
)
GROWN = dataclasses.replace(
    SMALL, version=2, columns=(*SMALL.columns, Column("note", model.TEXT, "", "a later column"))
)


def put_small(root: Place, day: date, dataset: Dataset, **values: Any) -> Path:
    """Write a day of the small data set as a version of it does."""
    row = {"trade_date": day, "index_name": "A", "close": 10.5} | values
    rows = pl.DataFrame([row], schema={name: dataset.types.get(name, pl.String()) for name in row})
    path = lake.partition(root, day, dataset)
    if isinstance(root, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lake.parquet_bytes(rows, {"schema_version": str(dataset.version)}))
    return path


def test_equitys_bytes_are_those_of_the_first_version() -> None:
    """A lake that exists is not written anew: the hash of a day is in its marker."""
    rows = table(MONDAY, ("BETA", "EQ"), ("ALPHA", "NA"), ("ALPHA", "BL"), turnover=1050.25)
    metadata = {"source_file": "cm15JAN2024bhav.csv.zip", "rows": "3", "schema_version": "1"}
    content = lake.parquet_bytes(lake.sorted_by_key(rows, EQUITY), metadata)
    if pl.__version__ != "2.1.0":
        pytest.skip("another Polars may write the same rows in other bytes")
    assert durable.sha256(content) == "b8fe72829921c455fb8aa770ef8e224ad975b68bfb71cfdff9f2b045a9583fb5"


def test_data_sets_have_trees_of_their_own(place: Place) -> None:
    """Neither sees the other's days, nor a file of the other's name in its tree."""
    put(place, MONDAY)
    path = put_small(place, TUESDAY, SMALL)
    assert path == place / "normalized/small_close/year=2024/month=01/day=16/small_20240116.parquet"
    durable.write_whole(path.with_name("bhavcopy_20240116.parquet"), b"")
    assert [day for day, _ in lake.days(place, EQUITY)] == [MONDAY]
    assert [day for day, _ in lake.days(place, SMALL)] == [TUESDAY]
    assert lake.scan(place, dataset=SMALL).collect().rows() == [(TUESDAY, "A", 10.5)]
    assert lake.scan(place, dataset="equity").collect()["trade_date"].to_list() == [MONDAY]


def test_an_unknown_data_set_is_told_the_known_ones(tmp_path: Path) -> None:
    """A typing error in a notebook."""
    with pytest.raises(SettingsError, match=r"no data set of that name; expected .*equity.*; found equty"):
        lake.scan(tmp_path, dataset="equty")


def test_rows_are_sorted_by_the_data_sets_key() -> None:
    """Whatever it is."""
    rows = pl.DataFrame({"index_name": ["B", "A"], "close": [1.0, 2.0]})
    assert lake.sorted_by_key(rows, SMALL)["index_name"].to_list() == ["A", "B"]


def test_older_files_read_as_null_beside_newer_ones(place: Place) -> None:
    """By a scan, by a read and by a load; no file is written anew."""
    older = put_small(place, MONDAY, SMALL)
    put_small(place, TUESDAY, GROWN, note="there")
    expected = [(MONDAY, "A", 10.5, None), (TUESDAY, "A", 10.5, "there")]
    assert lake.scan(place, dataset=GROWN).collect().rows() == expected
    assert lake.scan(place, dataset=GROWN).collect_schema() == GROWN.types
    for rows in (lake.read_parquet(older, GROWN)[0], lake.rows_to_load(older, GROWN)[0]):
        assert rows.rows() == expected[:1]
        assert rows.schema == GROWN.types


def test_a_newer_file_is_refused_and_said_to_be_newer(place: Place) -> None:
    """Its further column would be lost."""
    path = put_small(place, MONDAY, GROWN, note="there")
    for read in (lake.read_parquet, lake.read_metadata, lake.rows_to_load):
        with pytest.raises(OtherVersion, match="newer champion_luigi") as caught:
            read(path, SMALL)
        assert (caught.value.day, caught.value.found) == (MONDAY, "2")


def test_rows_to_load_are_those_of_the_bytes_that_were_hashed(place: Place) -> None:
    """With the file's metadata."""
    path = put_small(place, MONDAY, GROWN, note="there")
    rows, sha256, metadata = lake.rows_to_load(path, GROWN)
    assert rows.rows() == [(MONDAY, "A", 10.5, "there")]
    assert sha256 == durable.sha256(path.read_bytes())
    assert metadata == {"schema_version": "2"}


@pytest.mark.parametrize(
    ("dataset", "change"),
    [
        (GROWN, lambda rows: rows.drop("note")),
        (GROWN, lambda rows: rows.select("index_name", "trade_date", "close", "note")),
        (GROWN, lambda rows: rows.with_columns(remarks=pl.lit("x"))),
        (SMALL, lambda rows: rows.drop("close")),
    ],
    ids=["a later column missing in a file of its version", "another order", "a column more", "a first column missing"],
)
def test_a_file_of_other_columns_is_not_loaded(
    tmp_path: Path, dataset: Dataset, change: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    """Whoever wrote it, it says what it expected and found."""
    path = put_small(tmp_path, MONDAY, dataset, **({"note": "x"} if dataset is GROWN else {}))
    rows, metadata = lake.read_parquet(path, dataset)
    path.write_bytes(lake.parquet_bytes(change(rows), metadata))
    with pytest.raises(DamagedFile, match="the lake file has other columns") as caught:
        lake.rows_to_load(path, GROWN)
    assert caught.value.expected == "trade_date, index_name, close, note"
    assert caught.value.found == ", ".join(change(rows).columns)
