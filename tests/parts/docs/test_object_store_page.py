"""The examples of docs/how-to/object-store.md run as they are written, on a real store with another address.

A test takes each block from the page. What it replaces stands in its call of `adapted`: keys, the store's address, a
few days in place of all years, and a share that the simulated exchange has. The bucket `my-bucket` is made in the
store. The store of the tests is Ceph; it has no TLS, and its address has the bucket in the path.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import clickhouse_connect
import clickhouse_server
import pytest
import s3_server
from examples import Block, as_a_reader, blocks, exported, run
from helpers import ROOT

from champion_luigi.datasets.catalog import DATASETS

pytestmark = pytest.mark.integration

PAGE = ROOT / "docs" / "how-to" / "object-store.md"
BUCKET = "my-bucket"
DAYS = "--start 2024-03-04 --stop 2024-03-07"
USER, SECRET = s3_server.OWNER
# A folder made by `pip install --target FOLDER duckdb==V duckdb-extension-httpfs==V duckdb-extension-aws==V`: an
# extension is for one version of DuckDB alone, and its own download is from no package index.
DUCKDB = "TEST_DUCKDB"


def page_block(start: str) -> Block:
    """The one block of the page that begins with this text."""
    [found] = [block for block in blocks(PAGE) if block.text.startswith(start)]
    assert not found.not_run
    return found


def adapted(block: Block, replaced: dict[str, str]) -> Block:
    """The block with other texts, each of which it has."""
    text = block.text
    for old, new in replaced.items():
        assert old in text, f"{old!r} is gone from the page"
        text = text.replace(old, new)
    return replace(block, text=text)


@dataclass(frozen=True)
class Reader:
    """Somebody who has followed the page's first block: the folder where the commands run, the variables, the store."""

    folder: Path
    environment: dict[str, str]
    endpoint: str

    def run(self, block: Block) -> str:
        """What the block prints."""
        return run(block, self.folder, dict(self.environment))


@pytest.fixture(scope="module")
def reader(_running_store: s3_server.Store, folder_of_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Three days are in the bucket."""
    endpoint = _running_store.endpoint
    if _running_store.root != f"s3://{s3_server.BUCKET}":
        pytest.skip("the page's bucket is made in the tests' own store")
    environment = as_a_reader() | {"NSE_ARCHIVE_URL": "simulated:", "AWS_CONFIG_FILE": os.devnull}
    environment |= {"AWS_SHARED_CREDENTIALS_FILE": os.devnull, "HOME": str(tmp_path_factory.mktemp("home"))}
    folder = folder_of_run / "reader"
    folder.mkdir(exist_ok=True)
    first = adapted(
        page_block("pip install"),
        {
            # The tests' environment has it.
            'pip install "champion-luigi[s3]" ': "true ",
            "ACCESS_KEY_ID=...": f"ACCESS_KEY_ID={USER}",
            "SECRET_ACCESS_KEY=...": f"SECRET_ACCESS_KEY={SECRET}",
            "https://store.example.com": endpoint,
            "champion fill --dataset all": f"champion fill --dataset all {DAYS}",
        },
    )
    # The workers of a test run share the store, and one of them fills the bucket.
    with (folder_of_run / "page").open("a+") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        if note.seek(0, os.SEEK_END) == 0:
            s3_server.make_bucket(endpoint, BUCKET)
            output = run(first, folder, dict(environment))
            assert output.count("3 of 3 days") == len(DATASETS), output
            assert not (folder / "data" / "lake").exists()
            assert SECRET not in output
            note.write("filled")
    environment |= exported(first)
    return Reader(folder, environment, endpoint)


@pytest.fixture
def days(reader: Reader) -> dict[str, int]:
    """The shares of each day, by the package's own reader: what every other one has to find."""
    printed = "\nprint(lake.scan('s3://my-bucket/nse/lake').group_by('trade_date').len().collect().write_csv())"
    found = _counted(reader.run(Block("python", f"from champion_luigi import lake{printed}", "")))
    assert len(found) == 3
    return found


def _counted(text: str) -> dict[str, int]:
    rows = [row for row in csv.reader(io.StringIO(text.strip())) if row and row[0].startswith("2024-")]
    return {day: int(count) for day, count in rows}


def test_every_block_of_the_page_has_a_test_here() -> None:
    """A new one needs a new test."""
    starts = ["pip", "aws", "from", "import", "CREATE", "CREATE", "SELECT"]
    assert [block.text.split()[0] for block in blocks(PAGE)] == starts


def test_the_package_reads_the_bucket(reader: Reader) -> None:
    """With a share of the simulated exchange, and a line that prints what the block has read."""
    block = adapted(page_block("from champion_luigi import lake, prices"), {"RELIANCE": "CHENBO"})
    counted = "print(rows.select('trade_date').unique().collect().height, len(closes))"
    assert reader.run(replace(block, text=f"{block.text}\n{counted}")).split()[-2:] == ["3", "3"]


def test_polars_reads_the_bucket(reader: Reader, days: dict[str, int]) -> None:
    """With the variable that the page names for a store without TLS, and a line that prints."""
    assert "`AWS_ALLOW_HTTP=true`" in PAGE.read_text(encoding="utf-8")
    block = page_block("import polars as pl")
    printed = replace(block, text=f"{block.text}\nprint(rows.group_by('trade_date').len().collect().write_csv())")
    assert _counted(run(printed, reader.folder, reader.environment | {"AWS_ALLOW_HTTP": "true"})) == days


def test_duckdb_reads_the_bucket(reader: Reader, days: dict[str, int], tmp_path: Path) -> None:
    """With the secret for a store that is not Amazon's, in place of the block's first statement; it has no TLS here."""
    if not os.environ.get(DUCKDB):
        pytest.skip(f"{DUCKDB} names no folder with DuckDB and its extensions; this module says how to make one")
    secret, query = page_block("CREATE SECRET (TYPE s3, PROVIDER credential_chain);").text.split("\n", 1)
    [elsewhere] = [block for block in blocks(PAGE) if "ENDPOINT" in block.text and block.language == "sql"]
    # But for the store's place, the two secrets are one.
    assert elsewhere.text.startswith(secret.removesuffix(");"))
    host = reader.endpoint.removeprefix("http://")
    there = adapted(elsewhere, {"store.example.com": host, "USE_SSL true": "USE_SSL false"})
    program = """
import pathlib, sys, duckdb, duckdb_extension_aws, duckdb_extension_httpfs
# What DuckDB itself would download when the query needs it.
for module in (duckdb_extension_httpfs, duckdb_extension_aws):
    [file] = pathlib.Path(module.__file__).parent.rglob("*.duckdb_extension")
    duckdb.execute(f"INSTALL '{file}'")
fresh = duckdb.connect()
fresh.execute(sys.argv[1])
for day, count in fresh.execute(sys.argv[2]).fetchall():
    print(f"{day},{count}")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, there.text, query],
        env=reader.environment | {"PYTHONPATH": os.environ[DUCKDB], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert _counted(ran.stdout) == days


@pytest.fixture
def for_clickhouse(reader: Reader) -> str:
    """The page's query with the address that the page gives for a store that is not Amazon's, and with the keys."""
    assert "`https://store.example.com/my-bucket/nse/lake/...`" in PAGE.read_text(encoding="utf-8")
    block = adapted(
        page_block("SELECT trade_date, count() AS shares\nFROM s3("),
        {
            "https://my-bucket.s3.ap-south-1.amazonaws.com/": f"{reader.endpoint}/{BUCKET}/",
            "'ACCESS_KEY', 'SECRET_KEY'": f"'{USER}', '{SECRET}'",
        },
    )
    return block.text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clickhouse_server.ClickHouseServer]:
    """A ClickHouse server."""
    if why := clickhouse_server.unavailable():
        pytest.skip(why)
    with clickhouse_server.ClickHouseServer(tmp_path_factory.mktemp("server") / "warehouse") as running:
        yield running


def test_a_clickhouse_server_reads_the_bucket(
    server: clickhouse_server.ClickHouseServer, for_clickhouse: str, days: dict[str, int]
) -> None:
    """By the function s3()."""
    client = clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.user, password=server.password
    )
    rows = client.query(for_clickhouse.rstrip().removesuffix(";")).result_rows
    client.close()
    assert {str(day): count for day, count in rows} == days


def test_embedded_clickhouse_reads_the_bucket(reader: Reader, for_clickhouse: str, days: dict[str, int]) -> None:
    """By `chdb`, and by `champion sql --write`."""
    program = f"import chdb\nprint(chdb.query('''{for_clickhouse}''', 'CSV'))"
    assert _counted(reader.run(Block("python", program, ""))) == days
    command = f'champion sql --write --format csv "{for_clickhouse}"'
    assert _counted(reader.run(Block("sh", command, ""))) == days


def test_a_lake_is_copied_into_a_bucket(reader: Reader, tmp_path: Path) -> None:
    """By the page's commands, into another bucket; its days then count as fetched and written."""
    if shutil.which("aws", path=reader.environment["PATH"]) is None:
        pytest.skip("Amazon's command line, awscli, is not installed")
    s3_server.make_bucket(reader.endpoint, "copied")
    of_store = {f"CHAMPION_{name}_DIR": f"s3://copied/nse/{name.lower()}" for name in ("LAKE", "RAW")}
    in_folder = {name: text for name, text in reader.environment.items() if name not in of_store}
    run(Block("sh", f"champion fill {DAYS}", ""), tmp_path, in_folder)
    block = adapted(page_block("aws s3 sync"), {BUCKET: "copied"})
    run(block, tmp_path, dict(in_folder))
    # An archive that has nothing: no file is requested again.
    empty = tmp_path / "empty"
    empty.mkdir()
    there = in_folder | of_store | {"NSE_ARCHIVE_URL": str(empty), "DATA_DIR": str(tmp_path / "new")}
    assert "3 of 3 days" in run(Block("sh", f"champion fill {DAYS}", ""), tmp_path, there)
    assert not (tmp_path / "new" / "lake").exists()
