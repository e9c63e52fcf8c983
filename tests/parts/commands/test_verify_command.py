"""`champion verify`: what does not agree between raw, lake and warehouse is found, named, and made again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from clickhouse_cluster import serving
from helpers import BOTH_DAY, LEGACY_DAY, build, lines_of, payload, publish, retry_at_once, snapshot

from champion_luigi.base import durable
from champion_luigi.commands.verify import command
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.tasks import LoadClickHouse, ScrapeBhavcopy, WriteParquet
from champion_luigi.storage import lake, symbol_changes
from champion_luigi.storage.paths import ListFiles
from champion_luigi.upkeep import verify as reconcile
from champion_luigi.upkeep.repair import repair
from champion_luigi.warehouse import opened
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration

# In two years, so in two rounds of the comparison.
DAYS = (LEGACY_DAY, BOTH_DAY)
OTHER_DAY = date(2024, 1, 16)

Damage = Callable[[Path], None]


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    retry_at_once(monkeypatch)
    yield
    opened.close_shared()


@pytest.fixture
def loaded() -> None:
    """Two days, in lake and embedded warehouse."""
    load()


def load() -> None:
    assert build(*(LoadClickHouse(date=day) for day in DAYS)).is_done
    opened.close_shared()


def verify(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    program = "from champion_luigi.commands.verify import command; command()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def differences() -> list[tuple[date, str, str]]:
    return [(each.date, each.where, each.what) for each in reconcile.of_range(EQUITY).differences]


def payload_file(day: date) -> Path:
    receipt = ScrapeBhavcopy(date=day).output()
    return receipt.file.with_name((receipt.load() or {})["file"])


def lake_file(day: date) -> Path:
    return WriteParquet(date=day).output().file


def rewrite(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Damage:
    """Another lake file under the same name, with the metadata of the old one."""

    def damage(path: Path) -> None:
        rows, metadata = lake.read_parquet(path, EQUITY)
        path.write_bytes(lake.parquet_bytes(change(rows), metadata))

    return damage


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)


def rename_in_receipt(path: Path) -> None:
    receipt = ScrapeBhavcopy(date=BOTH_DAY).output()
    receipt.dump({**(receipt.load() or {}), "file": "bhavc/py.zip"})


def in_warehouse(statement: str) -> list[tuple[object, ...]]:
    """The rows that a statement gives, with TABLE in it for the table's name."""
    table = open_warehouse(Address(folder=Path(os.environ["DATA_DIR"]) / "warehouse"))
    try:
        return table.query(statement.replace("TABLE", f"champion_market.{EQUITY.table}"))
    finally:
        table.close()


def reload(day: date, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Put other rows into the warehouse than the lake has, behind the pipeline's back."""
    rows, _ = lake.read_parquet(lake_file(LEGACY_DAY), EQUITY)
    table = open_warehouse(Address(folder=Path(os.environ["DATA_DIR"]) / "warehouse"))
    try:
        table.load(EQUITY, day, change(rows))
    finally:
        table.close()


# What is found


def test_what_was_loaded_agrees(loaded: None) -> None:
    """Exit code 0, and the days that were compared."""
    done = verify()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2023-06-15 to 2024-01-15: days in raw 2, lake 2, warehouse 2",
        "Everything agrees.",
    ]


def test_nothing_is_no_difference() -> None:
    """Nor does a look at an empty folder make anything in it."""
    done = verify()
    assert (done.returncode, done.stdout) == (0, "There is nothing to verify.\n")
    assert not (Path(os.environ["DATA_DIR"]) / "warehouse").exists()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (flip_a_bit, "sha256 of the payload"),
        (truncate, "sha256 of the payload"),
        (Path.unlink, "payload"),
        (lambda path: ScrapeBhavcopy(date=BOTH_DAY).output().file.unlink(), "receipt"),
        (lambda path: ScrapeBhavcopy(date=BOTH_DAY).output().file.write_text("{"), "receipt"),
        (rename_in_receipt, "receipt"),
    ],
    ids=["a bit flipped", "cut short", "payload gone", "receipt gone", "receipt cut short", "receipt with a path"],
)
def test_a_damaged_payload_is_a_difference(damage: Damage, what: str) -> None:
    """Of the payload at rest with its receipt, in use of the lake alone too."""
    assert build(*(WriteParquet(date=day) for day in DAYS)).is_done
    damage(payload_file(BOTH_DAY))
    assert differences() == [(BOTH_DAY, "raw", what)]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (truncate, "file"),
        (lambda path: path.write_bytes(b""), "file"),
        (rewrite(lambda rows: pl.concat([rows[:-1], rows[:1]])), "distinct keys"),
        (rewrite(lambda rows: rows[1:]), "rows"),
        (rewrite(lambda rows: rows.with_columns(trade_date=pl.lit(OTHER_DAY))), "trade_date"),
        (rewrite(lambda rows: rows.with_columns(isin=pl.lit("INE000A01010"))), "values"),
    ],
    ids=["cut short", "empty", "a row twice", "a row gone", "another date", "another value"],
)
def test_a_damaged_lake_file_is_a_difference(damage: Damage, what: str) -> None:
    """Of its own day alone, and the others are compared all the same; in use of the lake alone too."""
    assert build(*(WriteParquet(date=day) for day in (*DAYS, OTHER_DAY))).is_done
    damage(lake_file(BOTH_DAY))
    flip_a_bit(payload_file(OTHER_DAY))
    found = differences()
    assert (BOTH_DAY, "lake", what) in found
    assert {(day, where) for day, where, _ in found} == {(BOTH_DAY, "lake"), (OTHER_DAY, "raw")}


def test_a_flipped_bit_of_a_lake_file_is_a_difference(loaded: None) -> None:
    """Wherever it is, also where no reader comes by: the marker knows the sha256 of what was loaded."""
    content = lake_file(BOTH_DAY).read_bytes()
    for share in (0.01, 0.2, 0.4, 0.6, 0.8, 0.999):
        damaged = bytearray(content)
        damaged[int(len(content) * share)] ^= 1
        lake_file(BOTH_DAY).write_bytes(damaged)
        assert {(day, where) for day, where, _ in differences()} == {(BOTH_DAY, "lake")}, share


def test_a_changed_lake_file_with_the_same_sums_is_a_difference(loaded: None) -> None:
    """Its sha256 is not that of the file that was loaded."""
    rewrite(lambda rows: rows.with_columns(isin=pl.lit("INE000A01010")))(lake_file(BOTH_DAY))
    assert differences() == [(BOTH_DAY, "lake", "sha256 of the file that was loaded")]


def test_a_lake_file_of_another_payload_is_a_difference(tmp_path: Path) -> None:
    """Raw and lake are of one version, or the day is not what was published."""
    assert build(WriteParquet(date=BOTH_DAY)).is_done
    receipt = ScrapeBhavcopy(date=BOTH_DAY).output()
    payload_file(BOTH_DAY).write_bytes(b"published anew")
    receipt.dump({**(receipt.load() or {}), "sha256": durable.sha256(b"published anew")})
    assert differences() == [(BOTH_DAY, "lake", "sha256 of the payload that it was made from")]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda rows: rows[:-1], ["rows", "rows", "sum of volume", "sum of turnover", "sum of close"]),
        (lambda rows: rows.with_columns(close=pl.col("close") + 1), ["sum of close"]),
        (lambda rows: rows.with_columns(turnover=pl.col("turnover") * 1.001), ["sum of turnover"]),
    ],
    ids=["a row gone", "another close", "another turnover"],
)
def test_other_rows_in_the_warehouse_are_a_difference(
    loaded: None, change: Callable[[pl.DataFrame], pl.DataFrame], what: list[str]
) -> None:
    """From the lake, and from what the marker says of the load."""
    reload(LEGACY_DAY, change)
    assert differences() == [(LEGACY_DAY, "warehouse", each) for each in what]


def test_a_day_gone_from_the_warehouse_is_a_difference(loaded: None) -> None:
    """The marker says that it was loaded, and the lake has it."""
    in_warehouse("DELETE FROM TABLE WHERE trade_date = '2024-01-15'")
    assert (BOTH_DAY, "warehouse", "rows") in differences()
    assert {day for day, _, _ in differences()} == {BOTH_DAY}


def test_a_day_gone_from_the_lake_is_a_difference(loaded: None) -> None:
    """As long as the marker says that it was loaded."""
    lake_file(BOTH_DAY).unlink()
    assert differences() == [(BOTH_DAY, "lake", "file")]


def test_a_day_that_is_not_loaded_yet_is_no_difference(loaded: None) -> None:
    """What is missing is for `champion status` to tell."""
    assert build(WriteParquet(date=OTHER_DAY)).is_done
    assert differences() == []


def test_the_lake_alone_is_verified_where_there_is_no_warehouse() -> None:
    """It says so, and makes no warehouse."""
    assert build(*(WriteParquet(date=day) for day in DAYS)).is_done
    done = verify()
    assert done.returncode == 0, done.stderr
    assert "warehouse none\nThere is no warehouse: only fetched files and lake are verified.\n" in done.stdout
    assert not (Path(os.environ["DATA_DIR"]) / "warehouse").exists()


def test_start_and_end_bound_the_comparison(loaded: None) -> None:
    """Both dates are included."""
    truncate(lake_file(BOTH_DAY))
    flip_a_bit(payload_file(LEGACY_DAY))
    first = reconcile.of_range(EQUITY, LEGACY_DAY, LEGACY_DAY)
    assert [each.where for each in first.differences] == ["raw"]
    assert (first.raw, first.lake, first.warehouse) == (1, 1, 1)
    assert [each.where for each in reconcile.of_range(EQUITY, BOTH_DAY, BOTH_DAY).differences] == ["lake"]


def test_a_range_that_is_none_is_refused() -> None:
    """Before anything is looked at."""
    done = CliRunner().invoke(command, ["--start", "2024-01-02", "--end", "2024-01-01"])
    assert done.exit_code == 2
    assert "--start 2024-01-02 is after --end 2024-01-01" in done.output


# What is repaired


def test_repair_makes_again_what_is_damaged_and_nothing_else(loaded: None, tmp_path: Path) -> None:
    """A payload of one day, a lake file of another, rows in the warehouse of a third; the rest is not touched."""
    assert build(LoadClickHouse(date=OTHER_DAY)).is_done
    opened.close_shared()
    before = snapshot(tmp_path / "lake") | snapshot(tmp_path / "raw")
    flip_a_bit(payload_file(LEGACY_DAY))
    rewrite(lambda rows: rows.with_columns(symbol=pl.col("symbol").reverse()))(lake_file(BOTH_DAY))
    in_warehouse("DELETE FROM TABLE WHERE trade_date = '2024-01-16'")

    done = verify("--repair", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {(each["date"], each["where"]) for each in document["differences"]} == {
        ("2023-06-15", "raw"),
        ("2024-01-15", "lake"),
        ("2024-01-16", "warehouse"),
    }
    assert (document["left"], document["reasons"]) == ([], {})
    assert reconcile.of_range(EQUITY).differences == []
    after = snapshot(tmp_path / "lake") | snapshot(tmp_path / "raw")
    changed = {Path(name).name for name in after if after[name] != before.get(name)}
    assert changed == {"cm15JUN2023bhav.csv.zip", "bhavcopy_20230615.json", "bhavcopy_20240115.parquet"}


def test_repair_says_what_it_does(loaded: None) -> None:
    """Each difference with expected and found, then how many days are repaired."""
    truncate(lake_file(BOTH_DAY))
    done = verify("--repair")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "repairing 2024-01-15\n"
    assert done.stdout.splitlines()[1:3] == ["2024-01-15 lake: file", "    expected a Parquet file that can be read"]
    assert done.stdout.splitlines()[-2:] == ["1 difference on 1 day", "1 of 1 day repaired"]


def test_repair_follows_a_payload_that_was_published_anew(loaded: None, tmp_path: Path) -> None:
    """What the archive gives in place of a damaged payload goes on to lake and warehouse."""
    rows, _ = lake.read_parquet(lake_file(BOTH_DAY), EQUITY)
    publish(tmp_path / "archive", BOTH_DAY, "legacy", lines_of(payload(BOTH_DAY, "legacy"))[:-1])
    flip_a_bit(payload_file(BOTH_DAY))
    done = verify("--repair", NSE_ARCHIVE_URL=str(tmp_path / "archive"))
    assert done.returncode == 0, done.stdout
    assert in_warehouse("SELECT count() FROM TABLE FINAL WHERE trade_date = '2024-01-15'") == [(rows.height - 1,)]
    assert reconcile.of_range(EQUITY).differences == []


def test_repair_leaves_what_the_archive_no_longer_has(loaded: None, tmp_path: Path) -> None:
    """A damaged payload stays a difference, with the reason; lake and warehouse keep the day."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "another.csv").write_bytes(b"any")
    before = snapshot(tmp_path / "lake") | snapshot(tmp_path / "loaded")
    flip_a_bit(payload_file(BOTH_DAY))
    done = verify("--repair", NSE_ARCHIVE_URL=str(tmp_path / "archive"))
    assert done.returncode == 30
    assert "left 2024-01-15 raw: sha256 of the payload" in done.stdout
    assert "2024-01-15: the stored file could not be fetched again" in done.stdout
    assert snapshot(tmp_path / "lake") | snapshot(tmp_path / "loaded") == before
    assert all(LoadClickHouse(date=day).complete() for day in DAYS)


def test_repair_never_deletes_a_day_that_only_the_warehouse_has(loaded: None) -> None:
    """It is reported, before and after."""
    reload(OTHER_DAY, lambda rows: rows.with_columns(trade_date=pl.lit(OTHER_DAY))[:7])
    done = verify("--repair")
    assert done.returncode == 30
    assert "left 2024-01-16 warehouse: a day that is not in the lake" in done.stdout
    assert in_warehouse("SELECT count() FROM TABLE FINAL WHERE trade_date = '2024-01-16'") == [(7,)]


def test_a_day_gone_from_the_lake_is_made_again(loaded: None) -> None:
    """From the table that it was written from, with nothing fetched."""
    content = lake_file(BOTH_DAY).read_bytes()
    lake_file(BOTH_DAY).unlink()
    shutil.rmtree(Path(os.environ["DATA_DIR"]) / "parsed")
    left, reasons = repair(EQUITY, reconcile.of_range(EQUITY).differences)
    assert (left, reasons) == ([], {})
    assert lake_file(BOTH_DAY).read_bytes() == content


@pytest.mark.parametrize("kind", ["server", "cluster"])
def test_a_server_is_verified_as_the_embedded_engine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """And repaired."""
    with serving(kind, tmp_path / "server") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        load()
        table = opened.open_warehouse(wiring.warehouse_place())
        table.command(f"DELETE FROM {table.name_of(EQUITY)} WHERE trade_date = '2024-01-15'")
        table.close()
        done = verify("--repair")
        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines()[-1] == "1 of 1 day repaired"
        password = environment["CLICKHOUSE_PASSWORD"]
        assert not password or password not in done.stdout + done.stderr
        opened.close_shared()


# The archive's other files


def test_the_other_sources_of_each_day_are_compared(loaded: None) -> None:
    """Legacy, UDiFF and the zip for the press of one day have the same values; each is counted."""
    done = verify("--sources", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["sources"]
    assert [(each["date"], each["source"]) for each in found] == [
        (str(LEGACY_DAY), "pr"),
        (str(BOTH_DAY), "udiff"),
        (str(BOTH_DAY), "pr"),
    ]
    rows = [len(lines_of(payload(day, "legacy"))) - 1 for day in (LEGACY_DAY, BOTH_DAY, BOTH_DAY)]
    assert [each["common"] for each in found] == rows
    assert all(each["different"] == {} and each["trouble"] == "" for each in found)
    assert f"pr: 2 days, {rows[0] + rows[2]:,} common rows, all values agree" in verify("--sources").stdout


def test_a_source_with_another_value_is_named(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The column, the key and both values; a key that one of them lacks is counted, and a bad file has its reason."""
    folder = tmp_path_factory.mktemp("archive")
    lines = lines_of(payload(BOTH_DAY, "legacy"))
    publish(folder, BOTH_DAY, "legacy", lines)
    others = lines_of(payload(BOTH_DAY, "udiff"))
    names = others[0].split(",")
    fields = others[1].split(",")
    fields[names.index("TtlTradgVol")] = "7"
    publish(folder, BOTH_DAY, "udiff", [others[0], ",".join(fields), *others[3:]])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    assert build(WriteParquet(date=BOTH_DAY)).is_done
    done = verify("--sources", "--json")
    assert done.returncode == 30, done.stderr
    [found] = json.loads(done.stdout)["sources"]
    assert (found["source"], found["different"]) == ("udiff", {"volume": 1})
    assert (found["common"], found["only_lake"], found["only_source"]) == (len(lines) - 2, 1, 0)
    assert found["examples"][0].startswith(f"volume of {fields[names.index('TckrSymb')]} ")
    assert found["examples"][0].endswith(", 7")
    publish(folder, BOTH_DAY, "udiff", ["no,header"])
    done = verify("--sources")
    assert done.returncode == 30
    assert f"{BOTH_DAY} udiff: the columns are not" in done.stdout or "not the header" in done.stdout


# The lists of changed symbols


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_damaged_list_of_changed_symbols_is_named(form: list[str]) -> None:
    """It cannot be fetched again, so it must not be taken for what the exchange said."""
    root, day = settings.data_dir(), date(2026, 11, 29)
    symbol_changes.keep(ListFiles(root), day, b"Alpha,A,B,01-JAN-2020\n", {})
    assert CliRunner().invoke(command, form).exit_code == 0
    (path := ListFiles(root).content(day)).write_bytes(b"Alpha,A,C,01-JAN-2020\n")
    done = CliRunner().invoke(command, form)
    assert done.exit_code == 30
    assert f"{day}: the kept list of changed symbols differs" in done.stderr
    assert str(path) in done.stderr
