"""SQL from Python, and in place of a warehouse that is held or not there: the lake, with the same answers."""

from __future__ import annotations

import contextlib
import subprocess
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from helpers import champion_command, hear, run_champion, start_python, tell

from champion_luigi import fill, sql
from champion_luigi.base.errors import Busy, WarehouseError
from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.storage import lake

pytestmark = pytest.mark.integration

START, END = "2024-06-24", "2024-07-12"  # the change of the exchange's format lies between
VIEWS = [*(dataset.view for dataset in DATASETS.values()), "equity_adjusted", "corporate_actions_effective"]
HOLDER = """
import sys
from pathlib import Path
from champion_luigi.base import locks
with locks.locked(Path(sys.argv[1]), "the embedded warehouse", 0):
    print("held", flush=True)
    input()
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with fifteen simulated days of every data set, which no test changes."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", str(folder))
        patch.setenv("NSE_ARCHIVE_URL", "simulated:")
        fill(START, END, dataset="all")
    return folder


@pytest.fixture
def data(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATA_DIR", str(filled))
    return filled


@contextlib.contextmanager
def held(data: Path) -> Iterator[int]:
    """Another process holds the embedded warehouse; the number of that process."""
    with start_python(HOLDER, str(data / "warehouse.lock")) as holder:
        hear(holder)
        yield holder.pid
        tell(holder)


@pytest.mark.parametrize("view", VIEWS)
def test_the_lake_answers_as_the_warehouse_does(data: Path, view: str) -> None:
    """Each column and row of each view, with the same types."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_warehouse = sql(f"SELECT * FROM {view} ORDER BY ALL")
    assert of_warehouse.height > 0
    with held(data) as pid, pytest.warns(UserWarning, match=rf"process {pid} .*the lake .* is read instead") as seen:
        of_lake = sql(f"SELECT * FROM {view} ORDER BY ALL")
    assert of_lake.equals(of_warehouse)
    assert of_lake.schema == of_warehouse.schema
    # The warning points at the caller's line.
    assert seen[0].filename == __file__


def test_the_command_says_which_one_it_read(data: Path) -> None:
    """On standard error, at once, and only if it is not the warehouse."""
    query = "SELECT count() AS days FROM (SELECT DISTINCT trade_date FROM equity_ohlc)"
    before = run_champion("sql", query, "--format", "csv")
    assert (before.returncode, before.stderr) == (0, "")
    with held(data) as pid:
        during = run_champion("sql", query, "--format", "csv")
    assert (during.returncode, during.stdout) == (0, before.stdout)
    [line] = during.stderr.splitlines()
    assert f"(process {pid} " in line
    assert line.endswith(f"the lake {data / 'lake'} is read instead")


def test_a_lake_without_a_warehouse_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of days that were filled with WriteParquet alone; no warehouse is made by it."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    with pytest.raises(WarehouseError, match="there is no warehouse yet"):
        sql("SELECT count() FROM equity_ohlc")
    fill("2024-07-01", "2024-07-02", lake_only=True)
    with pytest.warns(UserWarning, match="there is no warehouse yet"):
        found = sql("SELECT trade_date, count() AS count FROM equity_ohlc GROUP BY 1 ORDER BY 1")
    expected = lake.scan(tmp_path / "data" / "lake").group_by("trade_date").len("count").sort("trade_date").collect()
    assert found.rows() == expected.rows()
    assert not (tmp_path / "data" / "warehouse").exists()


@pytest.mark.parametrize(
    "statement", ["SELECT 1 INTO OUTFILE 'x'", "DROP TABLE normalized_equity_ohlc", "SELECT 1; SELECT 2"]
)
def test_from_the_lake_too_only_reading_is_possible(data: Path, statement: str) -> None:
    with held(data), pytest.warns(UserWarning, match="is read instead"), pytest.raises(WarehouseError):
        sql(statement)


def test_other_files_cannot_be_read_through_it(data: Path) -> None:
    """As in the warehouse."""
    refused = pytest.raises(WarehouseError, match="READONLY")
    with held(data), pytest.warns(UserWarning, match="is read instead"), refused:
        sql("SELECT * FROM file('/etc/passwd', 'LineAsString')")


def test_a_statement_that_writes_waits_for_the_warehouse(data: Path) -> None:
    """It has no business in the lake."""
    with held(data) as pid:
        done = run_champion("sql", "--write", "--wait", "0", "DROP TABLE IF EXISTS nothing")
    assert done.returncode == 40
    assert f"process {pid} " in done.stderr
    assert "instead" not in done.stderr


@pytest.mark.parametrize("name", ["a*b", "a{b}", "a[b]"])
def test_a_lake_that_the_engine_would_misread_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The name of its folder is a pattern to the engine, which might match other files, or none."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CHAMPION_LAKE_DIR", str(tmp_path / name))
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    fill("2024-07-01", "2024-07-01")
    with held(tmp_path / "data"), pytest.raises(Busy):
        sql("SELECT count() FROM equity_ohlc")
    assert sql("SELECT DISTINCT trade_date FROM equity_ohlc").item() == date(2024, 7, 1)


def test_it_answers_while_a_fill_runs(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the fill has written into the lake so far; the fill goes on and is whole."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    counts: list[int] = []
    with subprocess.Popen(
        champion_command("fill", "--start", "2024-01-01", "--stop", "2024-04-01"), stderr=subprocess.DEVNULL
    ) as filling:
        while filling.poll() is None:
            if not any((tmp_path / "data" / "lake").rglob("bhavcopy_*.parquet")):
                continue
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                found = sql("SELECT count() FROM (SELECT DISTINCT trade_date FROM equity_ohlc)").item()
            if seen:
                counts.append(found)
    assert filling.returncode == 0
    assert counts, "the fill was over before the first question"
    assert counts == sorted(counts)
    assert sql("SELECT uniqExact(trade_date) FROM equity_ohlc").item() >= counts[-1]
