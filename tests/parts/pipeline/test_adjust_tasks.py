"""The adjustments of a lake: made once for a state of it, whole, and loaded for readers as one state."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_server import ClickHouseServer, User, unavailable
from helpers import ROOT, run_luigi
from polars.testing import assert_frame_equal
from small_market import by_day, day, notices, prices, put_in_lake

from champion_luigi.adjustments import spans
from champion_luigi.adjustments.tables import EVENTS, FURTHER, SPANS, types_of
from champion_luigi.base import locks
from champion_luigi.base.errors import Busy, NotMade
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import adjust_tasks
from champion_luigi.pipeline.adjust_tasks import LoadAdjustments, WriteAdjustments
from champion_luigi.storage import adjustments, lake
from champion_luigi.warehouse import adjusted, opened
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.table import Warehouse

SPLIT, BONUS = "FVSPLT FRM RS 10 TO RE 1", "BONUS 1:1"


@pytest.fixture(autouse=True)
def _without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "archive").mkdir()
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(tmp_path / "archive"))
    yield
    opened.close_shared()


def put(dataset: Dataset, rows: pl.DataFrame) -> None:
    """Put rows into the lake, and note that adjustments are due, as WriteParquet does."""
    put_in_lake(settings.lake_dir(), dataset, rows)
    adjust_tasks.ask()


def make(*tasks: adjust_tasks._AdjustTask) -> None:
    for task in tasks or (WriteAdjustments(),):
        if not task.complete():
            task.run()
        assert task.complete()


def factors() -> list[float]:
    """The factors of the lake's rows, by day."""
    rows = lake.scan(settings.lake_dir())
    return spans.adjusted(rows, adjustments.read(settings.lake_dir()).spans).collect()["factor"].to_list()


def test_the_tables_are_made_for_a_state_of_the_lake() -> None:
    """A day that is written again makes them due; one that is the same changes nothing."""
    put(EQUITY, prices("ABC", [100, 100, 10]))
    put(CORPORATE_ACTIONS, notices(("ABC", SPLIT, 0, 2)))
    make()
    assert factors() == [10.0, 10.0, 1.0]
    made = adjustments.read(settings.lake_dir()).about
    adjust_tasks.ask()
    assert not WriteAdjustments().complete()
    make()
    assert adjustments.read(settings.lake_dir()).about == made


def test_a_corrected_moved_or_withdrawn_action_restates_the_factors() -> None:
    """The lists are what counts, whatever was made from earlier ones."""
    put(EQUITY, prices("ABC", [100, 100, 50, 50]))
    put(CORPORATE_ACTIONS, notices(("ABC", BONUS, 0, 2)))
    make()
    assert factors() == [2.0, 2.0, 1.0, 1.0]
    put(CORPORATE_ACTIONS, notices(("ABC", BONUS, 1, 3)))
    make()
    assert factors() == [2.0, 2.0, 2.0, 1.0]
    put(CORPORATE_ACTIONS, notices(("ABC", "ANNUAL GENERAL MEETING", 0, 2), ("ABC", "ANNUAL GENERAL MEETING", 1, 2)))
    make()
    assert factors() == [1.0] * 4


def test_only_years_that_changed_are_read_again() -> None:
    """Of the others there are extracts."""
    put(EQUITY, prices("ABC", [100] * 370))
    make()
    place = settings.data_dir() / "adjustments" / "ends"
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    assert set(before) == {"2024.parquet", "2025.parquet"}
    put(EQUITY, prices("ABC", [100], first=370))
    make()
    after = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    assert (after["2024.parquet"] == before["2024.parquet"], after["2025.parquet"] == before["2025.parquet"]) == (
        True,
        False,
    )


def test_a_lake_without_prices_has_no_adjustments() -> None:
    """The error says what to do, and the work stays due."""
    adjust_tasks.ask()
    with pytest.raises(NotMade, match="there are no prices in the lake"):
        WriteAdjustments().run()
    assert adjustments.due_note(settings.data_dir()).exists()
    with pytest.raises(NotMade, match="champion adjust"):
        adjustments.read(settings.lake_dir())


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"PAR1")], ids=["missing", "damaged"])
def test_a_table_that_cannot_be_read_is_made_again(harm: Callable[[Path], object]) -> None:
    """Although the lake is the same; a missing one without being asked."""
    put(EQUITY, prices("ABC", [100, 10]))
    put(CORPORATE_ACTIONS, notices(("ABC", SPLIT, 0, 1)))
    make()
    [path] = adjustments.document(settings.lake_dir()).parent.glob("spans_*.parquet")
    harm(path)
    if path.exists():
        adjust_tasks.ask()
    make()
    assert factors() == [10.0, 1.0]


def test_a_failure_leaves_the_work_due() -> None:
    """What was made before stays readable."""
    put(EQUITY, prices("ABC", [100, 50]))
    make()
    put(EQUITY, prices("ABC", [100], first=2))
    lake.partition(settings.lake_dir(), day(2), EQUITY).write_bytes(b"not Parquet")
    with pytest.raises(Exception, match=r"bhavcopy_20240103|parquet"):
        WriteAdjustments().run()
    assert not WriteAdjustments().complete()
    assert factors_of_made() == []


def factors_of_made() -> list[float]:
    return adjustments.read(settings.lake_dir()).spans["factor"].to_list()


def test_a_reader_of_the_files_gets_three_of_one_state() -> None:
    """Also while they are replaced."""
    put(EQUITY, prices("ABC", [100, 100, 10]))
    make()
    made = adjustments.read(settings.lake_dir())
    done = threading.Event()

    def replace() -> None:
        for number in range(60):
            of_state = {name: getattr(made, name) for name in ("names", "spans")}
            events = made.adjustments.clear(number % 2)
            about = {**made.about, "events": number % 2}
            adjustments.write(settings.lake_dir(), {"adjustments": events, **of_state}, f"state {number}", about)
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = 0
    while not done.is_set() or not seen:
        found = adjustments.read(settings.lake_dir())
        assert found.adjustments.height == found.about["events"]
        seen += 1
    writer.join()


def test_only_the_state_that_counts_and_the_one_before_are_kept() -> None:
    """Readers who have just read the document find its tables."""
    for number in range(4):
        put(EQUITY, prices("ABC", [100], first=number))
        make()
    folder = adjustments.document(settings.lake_dir()).parent
    assert len(list(folder.glob("spans_*.parquet"))) == 2


# In the warehouse


def warehouse(rows: pl.DataFrame) -> Warehouse:
    """The embedded engine, with rows loaded day by day."""
    table = opened.shared(wiring.warehouse_place())
    for at, part in by_day(EQUITY, rows):
        table.load(EQUITY, at, part)
    return table


def market(dice: random.Random) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Some companies with prices and actions of all kinds."""
    texts = [
        SPLIT,
        BONUS,
        "BONUS 1:3",
        "DIV - RS 2 PER SH",
        "DEMERGER",
        "TERMS AS ANNOUNCED",
        "CONSOLIDATION RE 1 TO 10",
    ]
    frames, lines = [], []
    for symbol in ("ABC", "DEF", "GHI", "JKL"):
        for series in ("EQ", "BL", "N1"):
            closes = [dice.randint(500, 20_000) / 100 for _ in range(40)]
            rows = prices(symbol, closes, series).with_columns(
                open=pl.col("close") + 1, high=pl.col("close") + 2, low=pl.col("close") - 1, layout=pl.lit("udiff")
            )
            frames.append(rows.filter(pl.Series(dice.random() < 0.8 for _ in closes)))
        # Of one company, there is none; of others, some are not effective yet.
        lines += [(symbol, dice.choice(texts), 0, dice.randint(1, 45)) for _ in range(0 if symbol == "JKL" else 5)]
    return pl.concat(frames), notices(*lines)


@pytest.mark.integration
@pytest.mark.parametrize("seed", range(3))
def test_the_view_is_what_polars_makes(seed: int) -> None:
    """All columns of all rows, on random markets, before and after announced actions take effect."""
    rows, actions = market(random.Random(seed))
    put(EQUITY, rows.filter(pl.col("trade_date") < day(35)))
    put(CORPORATE_ACTIONS, actions)
    make(WriteAdjustments())
    table = warehouse(rows.filter(pl.col("trade_date") < day(35)))
    tables = adjustments.read(settings.lake_dir())
    adjusted.load(table.connection, tables.adjustments, tables.spans)
    for later in (35, 38, 40):
        table = warehouse(rows.filter(pl.col("trade_date") < day(later)))
        held = rows.filter(pl.col("trade_date") < day(later))
        expected = spans.adjusted(held.lazy(), tables.spans).collect().drop("total_factor")
        order = ["symbol", "series", "trade_date"]
        expected = expected.sort(order)
        found = table.query(
            f"SELECT {', '.join(expected.columns)} FROM champion_market.equity_adjusted ORDER BY {', '.join(order)}"
        )
        assert_frame_equal(pl.DataFrame(found, expected.schema, orient="row"), expected, rel_tol=1e-12)


@pytest.mark.integration
def test_the_view_has_the_columns_that_are_declared() -> None:
    """Those of the prices, then the further ones, with the types of the reference."""
    table = warehouse(prices("ABC", [100, 10]).with_columns(layout=pl.lit("udiff")))
    adjusted.load(table.connection, pl.DataFrame(schema=types_of(EVENTS)), pl.DataFrame(schema=types_of(SPANS)))
    found = [(name, kind) for name, kind, *_ in table.query("DESCRIBE champion_market.equity_adjusted")]
    assert [name for name, _ in found] == [*EQUITY.names, *(each.name for each in FURTHER)]
    assert found[-len(FURTHER) :] == [(each.name, each.kind.type) for each in FURTHER]


# The rights that the guide to a ClickHouse server names, and those that it adds for adjustments.
RIGHTS = "SELECT, INSERT, OPTIMIZE, CREATE TABLE, CREATE VIEW, CREATE DATABASE"
TABLES = ("champion_market.normalized_adjustments", "champion_market.normalized_adjustment_spans")
LOADER = User("loader", "word", (f"{RIGHTS} ON champion_market.*", "TABLE ENGINE ON *"))
DROPPER = User("dropper", "word", (*(LOADER.grants or ()), *(f"ALTER DELETE ON {table}" for table in TABLES)))


@pytest.mark.integration
@pytest.mark.parametrize("user", [LOADER, DROPPER], ids=lambda user: user.name)
def test_the_rights_of_the_guide_are_enough(tmp_path: Path, user: User) -> None:
    """Without those to drop, what was replaced stays, and a sentence says so; readers see the newest state."""
    if reason := unavailable():
        pytest.skip(reason)
    guide = (ROOT / "docs/how-to/clickhouse-server.md").read_text(encoding="utf-8")
    assert all(f"GRANT ALTER DELETE ON {table} TO" in guide for table in TABLES)
    assert f"GRANT {RIGHTS} ON" in guide
    said: list[str] = []
    with ClickHouseServer(tmp_path / "server", others=[user]) as running:
        place = Address(running.host, running.port, user.name, user.password)
        with contextlib.closing(opened.open_warehouse(place)) as table:
            table.prepare(EQUITY)
            events, of_spans = (pl.DataFrame(schema=types_of(columns)) for columns in (EVENTS, SPANS))
            loads = [adjusted.load(table.connection, events, of_spans, said.append) for _ in range(4)]
            [(held, newest)] = table.query(f"SELECT uniq(generation), max(generation) FROM {TABLES[0]}")
    assert newest == loads[-1]
    assert (held, [TABLES[1].partition(".")[2] in each for each in said]) == (
        (2, []) if user is DROPPER else (4, [True, True])
    )


@pytest.mark.integration
def test_readers_of_the_view_see_one_state() -> None:
    """Prices up to one day, with the factors of one generation, while prices and factors are replaced."""
    rows = prices("ABC", [100] * 30).with_columns(layout=pl.lit("udiff"))
    table = warehouse(rows.head(10))
    put(EQUITY, rows)
    states = []
    for text in (SPLIT, BONUS):
        put(CORPORATE_ACTIONS, notices(*[("ABC", text, 0, ex) for ex in (5, 12, 17, 22, 27)]))
        make()
        states.append(adjustments.read(settings.lake_dir()))
    adjusted.load(table.connection, states[0].adjustments, states[0].spans)
    done = threading.Event()
    seen: set[tuple[int, ...]] = set()

    def read() -> None:
        while not done.is_set():
            found = table.query("SELECT trade_date, factor FROM champion_market.equity_adjusted ORDER BY trade_date")
            seen.add(tuple(int(factor) for _, factor in found))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(10, 30):
        table = warehouse(rows.slice(number, 1))
        state = states[number % 2]
        adjusted.load(table.connection, state.adjustments, state.spans)
    done.set()
    reader.join()
    expected = set()
    for length in range(10, 31):
        for base in (10, 2):
            later = [sum(at < ex < length for ex in (5, 12, 17, 22, 27)) for at in range(length)]
            # The state of ten to one has a single action: notices of the same terms within months are one.
            expected.add(tuple(base**count for count in later))
    assert len(seen) > 5
    assert seen <= expected


@pytest.mark.integration
def test_luigi_runs_both_tasks_and_a_second_time_none() -> None:
    """As a user types it; without the list of changed symbols, the log says that ISINs serve."""
    put(EQUITY, prices("ABC", [100, 100, 10]).with_columns(layout=pl.lit("udiff")))
    put(CORPORATE_ACTIONS, notices(("ABC", SPLIT, 0, 2)))
    done = run_luigi("LoadAdjustments", "--local-scheduler", NSE_ARCHIVE_URL=settings.get("archive_url"))
    assert done.returncode == 0, done.stderr
    assert "symbols are linked by ISIN alone" in done.stderr
    assert LoadAdjustments().complete()
    again = run_luigi(
        "LoadAdjustments", "--local-scheduler", "--log-level", "INFO", NSE_ARCHIVE_URL=settings.get("archive_url")
    )
    assert "1 complete ones were encountered" in again.stderr


@pytest.mark.integration
def test_a_wait_for_another_process_gives_up_the_embedded_engine() -> None:
    """That process has the adjustments' lock, and needs the engine to load them."""
    put(EQUITY, prices("ABC", [100, 10]))
    place = wiring.warehouse_place()
    lock = settings.data_dir() / "locks" / "adjustments.lock"
    with opened.kept_open(), locks.locked(lock, "the adjustments", 0):
        opened.shared(place)
        with settings.overridden({"lock_wait_seconds": 0.2}), pytest.raises(Busy, match="the adjustments"):
            LoadAdjustments().run()
        opened.open_warehouse(place).close()


@pytest.mark.integration
def test_what_is_loaded_has_the_days_that_were_written_during_the_wait_for_the_engine() -> None:
    """A fill that holds the engine writes days; then it lets go, and the adjustments are loaded with them."""
    put(EQUITY, prices("ABC", [100, 10]))
    make()
    put(CORPORATE_ACTIONS, notices(("ABC", SPLIT, 0, 1)))
    make(LoadAdjustments())
    assert [event["factor"] for event in adjustments.read(settings.lake_dir()).adjustments.to_dicts()] == [10.0]


def test_days_written_while_the_adjustments_are_made_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of Luigi's sentence about complete()."""
    put(EQUITY, prices("ABC", [100, 10]))
    monkeypatch.setattr(adjustments, "write", _then_a_day_is_written(adjustments.write))
    with pytest.raises(Busy, match="days were written while the adjustments were made"):
        WriteAdjustments().run()


def _then_a_day_is_written(write: Callable[..., None]) -> Callable[..., None]:
    def written(*arguments: Any) -> None:
        write(*arguments)
        put(EQUITY, prices("ABC", [10], first=2))

    return written
