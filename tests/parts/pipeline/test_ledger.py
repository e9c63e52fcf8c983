"""A server's ledger of loads: the same for every host and folder, and true of the table."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import luigi
import pytest
from click.testing import CliRunner
from clickhouse_server import ClickHouseServer, User, unavailable
from helpers import build, forget_settings, retry_at_once

from champion_luigi.base.errors import OtherVersion, StorageError, WarehouseError
from champion_luigi.commands.cli import main
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline import adjust_tasks, loaded
from champion_luigi.pipeline.chunks import Progress, fill_days
from champion_luigi.pipeline.complete import loaded_rows
from champion_luigi.pipeline.run_day import run_day
from champion_luigi.pipeline.tasks import LoadClickHouse, WriteParquet
from champion_luigi.storage import lake
from champion_luigi.upkeep import redo, refresh, verify
from champion_luigi.upkeep.clean import find, remove_all
from champion_luigi.warehouse import ddl, opened
from champion_luigi.warehouse.connection import Address, Connection
from champion_luigi.warehouse.ledger import Entry
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = [pytest.mark.integration, pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")]

DAYS = [date(2024, 1, day) for day in (15, 16, 17, 18, 19)]
DAY, STOP = DAYS[0], date(2024, 1, 20)
PASSWORD = "secret"
# May load existing tables, and make none.
LOADER = User("loader", PASSWORD, ("SELECT ON *.*", "INSERT ON *.*"))
READER = User("reader", PASSWORD, ("SELECT ON *.*",), "<readonly>1</readonly>")

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(tmp_path_factory.mktemp("server"), password=PASSWORD, others=(LOADER, READER)) as running:
        yield running


@pytest.fixture(autouse=True)
def market(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """The pipeline loads a database of the test's own."""
    place = Address(server.host, server.port, server.user, server.password, database=f"market_{next(_numbers)}")
    for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE"):
        monkeypatch.setenv(f"CLICKHOUSE_{name}", str(getattr(place, name.lower())))
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    retry_at_once(monkeypatch)
    as_a_new_process()
    yield place
    as_a_new_process()


def as_a_new_process() -> None:
    opened.close_shared()
    forget_settings()
    loaded._remembered.clear()
    loaded._resting.clear()
    loaded._imported.clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that this process sends to the warehouse."""
    statements: list[str] = []
    for name in ("query", "command"):
        real = getattr(Connection, name)

        def call(self: Connection, statement: str, real: Callable[..., Any] = real) -> Any:
            statements.append(statement)
            return real(self, statement)

        monkeypatch.setattr(Connection, name, call)
    return statements


@pytest.fixture
def other_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go on as another host, with an empty folder."""

    def go_on() -> Path:
        folder = tmp_path / f"host {next(_numbers)}"
        monkeypatch.setenv("DATA_DIR", str(folder))
        as_a_new_process()
        return folder

    return go_on


def command(market: Address, *statements: str) -> None:
    """Do what an operator does to the server; MARKET stands for the database."""
    with contextlib.closing(open_warehouse(market)) as table:
        for statement in statements:
            table.command(statement.replace("MARKET", f"`{market.database}`"))


def rows_of(market: Address, statement: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(open_warehouse(market)) as table:
        return table.query(statement.replace("MARKET", f"`{market.database}`"))


def fill(days: Sequence[date] = DAYS, workers: int = 3) -> Progress:
    progress = Progress(due=len(days))
    fill_days(LoadClickHouse, EQUITY, days, progress, workers=workers, local_scheduler=True, log_level="CRITICAL")
    return progress


def there() -> dict[date, int]:
    return loaded_rows(EQUITY, DAY, STOP)


def differences() -> list[tuple[date, str, str, str, str]]:
    return [
        (each.date, each.where, each.what, each.expected, each.found) for each in verify.of_range(EQUITY).differences
    ]


def champion(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def lake_file(day: date) -> Path:
    return lake.partition(settings.lake_dir(), day, EQUITY)


# What every host sees


def test_a_load_is_in_the_ledger_with_the_lake_files_hash(market: Address) -> None:
    """One row a date, of the version that the table has."""
    fill()
    found = rows_of(market, "SELECT trade_date, lake_sha256, rows, version FROM MARKET.loads FINAL ORDER BY trade_date")
    assert [day for day, *_ in found] == DAYS
    markers = [LoadClickHouse(date=day).output().load() or {} for day in DAYS]
    assert [tuple(row[1:]) for row in found] == [
        (marker["lake_sha256"], marker["rows"], marker["version"]) for marker in markers
    ]
    newest = rows_of(market, "SELECT trade_date, max(version) FROM MARKET.normalized_equity_ohlc GROUP BY 1 ORDER BY 1")
    assert newest == [(day, version) for day, _, _, version in found]


def test_another_host_with_an_empty_folder_loads_nothing_again(market: Address, other_host: Callable[[], Path]) -> None:
    """Neither lake nor raw files are needed, and status says the same as on the first host."""
    fill()
    before = there()
    folder = other_host()
    assert there() == before
    assert len(before) == len(DAYS)
    assert all(LoadClickHouse(date=day).is_made() for day in DAYS)
    code, said = champion("status", "--start", str(DAY), "--end", str(DAYS[-1]))
    assert (code, "5 of 5 sessions loaded" in said) == (0, True), said
    code, said = champion("fill", "--start", str(DAY), "--end", str(DAYS[-1]))
    assert (code, "Nothing is missing." in said) == (0, True), said
    assert not (folder / "raw").exists()
    assert rows_of(market, "SELECT count(), uniqExact(trade_date) FROM MARKET.loads") == [(5, 5)]


def test_thirty_years_are_one_look(
    market: Address, asked: list[str], other_host: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many days there are: the same few statements for a task, a fill, status and a list of days."""
    first, last = date(1995, 1, 2), date(2024, 12, 31)
    monkeypatch.setenv("CHAMPION_FIRST_DATE", str(first))
    as_a_new_process()
    days = sorted(wiring.expectation(EQUITY).days(first, last + timedelta(days=1)))
    assert len(days) > 7_000
    with contextlib.closing(open_warehouse(market)) as table:
        table.prepare(EQUITY)
        table.command(
            f"INSERT INTO `{market.database}`.normalized_equity_ohlc (trade_date, symbol, series, layout, version) "
            "SELECT arrayJoin(arrayMap(each -> toDate(each), "
            f"[{', '.join(str((day - date(1970, 1, 1)).days) for day in days)}])), 'ALPHA', 'EQ', 'legacy', 7 "
            "SETTINGS max_partitions_per_insert_block = 0"
        )
        assert table.ledger
        table.ledger.write(EQUITY, dict.fromkeys(days, Entry("0" * 64, 1, 7, 1, 7)))
    other_host()
    asked.clear()
    assert len(loaded_rows(EQUITY, first, last + timedelta(days=1))) == len(days)
    assert len(asked) == 2, asked
    asked.clear()
    code, said = champion("fill", "--start", str(first), "--end", str(last))
    assert (code, "Nothing is missing." in said) == (0, True), said
    assert len(asked) == 2, asked
    asked.clear()
    code, said = champion("status", "--start", str(first), "--end", str(last))
    assert (code, f"{len(days)} of {len(days)} sessions loaded" in said) == (0, True), said
    assert len(asked) <= 2, asked
    asked.clear()
    assert not redo.plans(EQUITY, days, LoadClickHouse)[0].nothing
    assert len(asked) <= 2, asked


def test_a_fill_asks_once_for_the_days_of_a_chunk(asked: list[str]) -> None:
    """When it begins, and before it loads: of one day or of five."""
    counts = []
    for days in (DAYS[:1], DAYS[1:]):
        asked.clear()
        assert fill(days).failed == {}
        counts.append(sum(".loads FINAL" in statement for statement in asked))
    assert counts[1] <= counts[0] <= 3


def test_what_another_process_loads_meanwhile_is_not_loaded_again(market: Address, tmp_path: Path) -> None:
    """The days of a chunk that were due when it began, and are not when their turn comes."""
    fill(DAYS[:2])
    versions = dict(rows_of(market, "SELECT trade_date, version FROM MARKET.loads FINAL"))
    # As a process sees it that looked before.
    tasks = [LoadClickHouse(date=day) for day in DAYS[:2]]
    with loaded._lock:
        loaded._remembered.update(dict.fromkeys((loaded._key(EQUITY, day) for day in DAYS[:2]), None))
    assert [task.is_made() for task in tasks] == [False, False]
    built = build(*tasks)
    assert built.is_done
    assert dict(rows_of(market, "SELECT trade_date, version FROM MARKET.loads FINAL")) == versions


@contextlib.contextmanager
def another_host_before(market: Address) -> Iterator[None]:
    """Another host loads each day right after this one has written its lake file."""

    def load(task: WriteParquet) -> None:
        rows, sha256, *_ = lake.rows_to_load(lake_file(task.date), EQUITY)
        with contextlib.closing(open_warehouse(market)) as table:
            table.load_days(EQUITY, {task.date: rows}, {task.date: sha256})

    WriteParquet.event_handler(luigi.Event.SUCCESS)(load)
    try:
        yield
    finally:
        WriteParquet.remove_event_handler(luigi.Event.SUCCESS, load)


def test_a_fill_says_which_days_another_host_has_fetched_and_loaded_as_well(
    market: Address, caplog: pytest.LogCaptureFixture
) -> None:
    """Hosts that share only a server: the work is done twice up to the load, and that is said, once."""
    with another_host_before(market):
        code, said = champion("fill", "--start", str(DAY), "--end", str(DAYS[-1]))
    assert code == 0, said
    assert "0 of 5 days, 0 rows, 0.0 days a second, 5 done by others" in said
    assert caplog.text.count("5 days were loaded by another host") == 1
    assert differences() == []
    caplog.clear()
    code, said = champion("redo", "--from", "load", "--start", str(DAY), "--end", str(DAY))
    assert code == 0, said
    assert "another host" not in caplog.text


def test_days_that_others_have_done_before_their_turn_are_counted(market: Address) -> None:
    """Of this folder, so that no other host is suspected."""
    fill(DAYS[:2])
    progress = fill(DAYS)
    assert (progress.done, progress.by_others, progress.loaded_elsewhere) == (3, 2, 0)
    assert progress.percentage == 100


def test_the_same_file_is_loaded_once_unless_it_is_asked_for(market: Address) -> None:
    """The last look is within the claim: of two hosts that found a day due, the second one loads nothing."""
    fill(DAYS[:1])
    rows, sha256, *_ = lake.rows_to_load(lake_file(DAY), EQUITY)
    with contextlib.closing(open_warehouse(market)) as table:
        [before] = rows_of(market, "SELECT version FROM MARKET.loads FINAL")
        found = table.load_days(EQUITY, {DAY: rows}, {DAY: sha256}, {DAY})[DAY]
        assert (found.by_another, (found.version,), found.rows) == (True, before, rows.height)
        for sha, if_due in (("another file", {DAY}), (sha256, set())):
            again = table.load_days(EQUITY, {DAY: rows}, {DAY: sha}, if_due)[DAY]
            assert (again.by_another, again.version > found.version) == (False, True)
            assert rows_of(market, "SELECT lake_sha256, version FROM MARKET.loads FINAL") == [(sha, again.version)]


def test_a_lake_file_that_is_not_what_was_loaded_makes_the_day_due(other_host: Callable[[], Path]) -> None:
    """Where there is a file, it counts: of this host's lake, whoever has loaded the day."""
    fill()
    content = lake_file(DAYS[1]).read_bytes()
    other_host()
    for day, given in ((DAYS[1], content), (DAYS[2], content)):
        lake_file(day).parent.mkdir(parents=True)
        lake_file(day).write_bytes(given)
    assert there().keys() == set(DAYS) - {DAYS[2]}
    assert LoadClickHouse(date=DAYS[1]).is_made()
    assert not LoadClickHouse(date=DAYS[2]).is_made()


def test_a_shared_lake_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has no markers remembers the files' hashes by size and time; a later file is read."""
    monkeypatch.setenv("CHAMPION_LAKE_DIR", str(tmp_path / "lake"))
    as_a_new_process()
    fill()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "other"))
    as_a_new_process()
    assert there().keys() == set(DAYS)
    # An unchanged file need not be read: so another content is not seen that has the same size and time.
    path = lake_file(DAYS[0])
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert there().keys() == set(DAYS)
    os.utime(path)
    assert there().keys() == set(DAYS[1:])
    path.write_bytes(content)
    assert there().keys() == set(DAYS)


# The ledger and the table


def test_a_load_that_was_not_checked_does_not_count(market: Address) -> None:
    """As after a kill between the insert and the ledger's row: the day is loaded again, and then it agrees."""
    fill()
    before = rows_of(market, "SELECT * EXCEPT (version) FROM MARKET.normalized_equity_ohlc FINAL ORDER BY ALL")
    frame, *_ = lake.rows_to_load(lake_file(DAY), EQUITY)
    with contextlib.closing(open_warehouse(market)) as table:
        [entry] = table.ledger.entries(EQUITY, DAY, DAYS[1]).values() if table.ledger else []
        newer = table.load(EQUITY, DAY, frame).version
    assert there().keys() == set(DAYS[1:])
    found = (DAY, "warehouse", "version of the rows", f"{entry.version} by the ledger", str(newer))
    assert differences() == [found]
    assert fill().done == 1
    assert there().keys() == set(DAYS)
    assert differences() == []
    assert rows_of(market, "SELECT * EXCEPT (version) FROM MARKET.normalized_equity_ohlc FINAL ORDER BY ALL") == before


def test_a_table_that_was_made_anew_makes_every_day_due(market: Address) -> None:
    """Whatever the ledger has."""
    fill()
    command(market, "RENAME TABLE MARKET.normalized_equity_ohlc TO MARKET.older")
    as_a_new_process()
    assert there() == {}
    assert fill().failed == {}
    assert there().keys() == set(DAYS)
    assert differences() == []


def test_verify_names_what_ledger_and_table_do_not_share(market: Address) -> None:
    """An entry without rows, rows without an entry, and another number of rows; a repair loads these days again."""
    fill()
    counts = there()
    command(
        market,
        f"ALTER TABLE MARKET.normalized_equity_ohlc DELETE WHERE trade_date = '{DAYS[0]}' SETTINGS mutations_sync = 1",
        f"ALTER TABLE MARKET.loads DELETE WHERE trade_date = '{DAYS[1]}' SETTINGS mutations_sync = 1",
        f"ALTER TABLE MARKET.normalized_equity_ohlc DELETE WHERE trade_date = '{DAYS[2]}' "
        "AND symbol = (SELECT min(symbol) FROM MARKET.equity_ohlc) SETTINGS mutations_sync = 1",
    )
    # The markers of this folder would answer for the second day.
    shutil.rmtree(Path(os.environ["DATA_DIR"]) / "loaded")
    as_a_new_process()
    found = [each[:4] for each in differences() if not each[2].startswith("sum of")]
    assert found == [
        (DAYS[0], "warehouse", "rows", f"{counts[DAYS[0]]} by the ledger"),
        (DAYS[0], "warehouse", "rows", f"{counts[DAYS[0]]} as in the lake"),
        (DAYS[1], "warehouse", "entry in the ledger of loads", f"one for {counts[DAYS[1]]} rows"),
        (DAYS[2], "warehouse", "rows", f"{counts[DAYS[2]]} by the ledger"),
        (DAYS[2], "warehouse", "rows", f"{counts[DAYS[2]]} as in the lake"),
    ]
    code, said = champion("verify", "--repair")
    assert code == 0, said
    assert there() == counts


def test_verify_on_another_host_compares_what_ledger_and_table_have(other_host: Callable[[], Path]) -> None:
    """Days that this host does not have are no difference."""
    fill()
    other_host()
    assert differences() == []


# Earlier versions


def as_earlier_version(market: Address) -> None:
    """Leave what a version without a ledger leaves: the tables and the markers."""
    command(market, "DROP TABLE MARKET.loads", "DROP TABLE MARKET.load_claims")
    as_a_new_process()


def test_markers_of_earlier_versions_count_and_are_entered_once(
    market: Address, caplog: pytest.LogCaptureFixture, other_host: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first load they count where the table has the rows; the load enters them, and says so in one line."""
    fill(DAYS[:4])
    counts = there()
    as_earlier_version(market)
    changed = LoadClickHouse(date=DAYS[3]).output()
    changed.dump((changed.load() or {}) | {"rows": 1})
    assert there() == {day: counts[day] for day in DAYS[:3]}
    home = os.environ["DATA_DIR"]
    with caplog.at_level(logging.INFO, "luigi-interface.fill"):
        assert fill().done == 2
        said = [record.getMessage() for record in caplog.records if "ledger" in record.getMessage()]
        assert len(said) == 1
        assert said[0].startswith("equity: 3 loads that earlier versions recorded in this folder are now in the ledger")
        assert said[0].endswith("; not in the table as recorded, and loaded again: 1")
        caplog.clear()
        as_a_new_process()
        assert fill([*DAYS, date(2024, 1, 23)]).done == 1
        assert not [record for record in caplog.records if "ledger" in record.getMessage()]
    other_host()
    assert there().keys() == set(DAYS)
    monkeypatch.setenv("DATA_DIR", home)
    as_a_new_process()
    assert there().keys() == set(DAYS)


def test_a_marker_without_a_version_is_judged_by_its_rows(market: Address) -> None:
    """As the table alone has one version of the date."""
    fill(DAYS[:2])
    as_earlier_version(market)
    for day in DAYS[:2]:
        marker = LoadClickHouse(date=day).output()
        document = marker.load() or {}
        del document["version"]
        marker.dump(document)
    assert there().keys() == set(DAYS[:2])


def test_looking_makes_no_ledger(market: Address) -> None:
    """Status and a dry run leave a server as it is."""
    fill(DAYS[:2])
    as_earlier_version(market)
    assert champion("status", "--start", str(DAY), "--end", str(DAYS[1]))[0] == 0
    assert champion("fill", "--start", str(DAY), "--end", str(DAYS[1]), "--dry-run")[0] == 0
    assert (
        rows_of(market, f"SELECT name FROM system.tables WHERE database = '{market.database}' AND name LIKE 'load%'")
        == []
    )


def test_an_entry_of_a_newer_version_is_refused(market: Address) -> None:
    """As a marker is."""
    fill(DAYS[:1])
    [(version,)] = rows_of(market, "SELECT version FROM MARKET.loads FINAL")
    with contextlib.closing(open_warehouse(market)) as table:
        assert table.ledger
        table.ledger.write(EQUITY, {DAY: Entry("0" * 64, 1, version, EQUITY.version + 1, version)})
    as_a_new_process()
    with pytest.raises(OtherVersion):
        there()


# Rights, and servers that do not answer


def test_a_user_who_may_make_no_table_is_told_what_to_run(market: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier version's tables are there, and the ledger is not; the statement in the error makes it."""
    fill(DAYS[:1])
    as_earlier_version(market)
    monkeypatch.setenv("CLICKHOUSE_USER", LOADER.name)
    as_a_new_process()
    error = build(LoadClickHouse(date=DAYS[1])).error
    assert isinstance(error, WarehouseError)
    assert f"the table {market.database}.loads, which records loads, could not be made" in str(error)
    assert "Grant the user CREATE TABLE" in str(error)
    opened.close_shared()
    made = [each for each in ddl(market.database) if ".load" in each]
    assert len(made) == 2
    assert " ".join(made[0].split()) in str(error)
    command(market, *made)
    assert build(LoadClickHouse(date=DAYS[1])).is_done


def test_a_ledger_of_another_shape_is_named(market: Address) -> None:
    """And left alone."""
    command(
        market,
        "CREATE DATABASE MARKET",
        "CREATE TABLE MARKET.loads (trade_date Date) ENGINE = MergeTree ORDER BY trade_date",
    )
    error = build(LoadClickHouse(date=DAY)).error
    assert isinstance(error, WarehouseError)
    assert f"the table {market.database}.loads is not the one that this version makes" in str(error)


def test_a_user_who_may_only_read_sees_what_is_loaded(market: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a folder that has nothing."""
    fill(DAYS[:2])
    monkeypatch.setenv("CLICKHOUSE_USER", READER.name)
    as_a_new_process()
    assert there().keys() == set(DAYS[:2])


def test_while_the_server_is_away_the_folders_markers_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one warning, and not one for each day; once it is back, its ledger does."""
    with ClickHouseServer(tmp_path / "server", password=PASSWORD) as own:
        monkeypatch.setenv("CLICKHOUSE_PORT", str(own.port))
        as_a_new_process()
        fill(DAYS[:2])
        own.kill()
        as_a_new_process()
        with caplog.at_level(logging.WARNING, "luigi-interface.fill"):
            assert there().keys() == set(DAYS[:2])
            assert [LoadClickHouse(date=day).is_made() for day in DAYS[:3]] == [True, True, False]
        [said] = [record.getMessage() for record in caplog.records if record.name == "luigi-interface.fill"]
        assert said.startswith("what is loaded is taken from this folder's markers: ClickHouse did not answer")
        own.start()
        command(
            Address(own.host, own.port, own.user, own.password, database=settings.get("clickhouse_database")),
            f"ALTER TABLE MARKET.loads DELETE WHERE trade_date = '{DAY}' SETTINGS mutations_sync = 1",
        )
        shutil.rmtree(tmp_path / "loaded")
        as_a_new_process()
        assert there().keys() == {DAYS[1]}
        as_a_new_process()


# Other commands on a host that has not loaded the days


def test_a_redo_loads_a_day_that_another_host_has_loaded(market: Address, other_host: Callable[[], Path]) -> None:
    """It is asked for by name: so it is done, although nothing is missing."""
    fill(DAYS[:2])
    [(before,)] = rows_of(market, f"SELECT version FROM MARKET.loads FINAL WHERE trade_date = '{DAY}'")
    other_host()
    assert refresh.is_loaded(EQUITY, DAY)
    assert not refresh.is_loaded(EQUITY, DAYS[2])
    code, said = champion("redo", "--date", str(DAY), "--from", "load")
    assert code == 0, said
    [(after,)] = rows_of(market, f"SELECT version FROM MARKET.loads FINAL WHERE trade_date = '{DAY}'")
    assert after > before
    assert there().keys() == set(DAYS[:2])


def test_a_dry_run_says_why_a_day_is_loaded(market: Address) -> None:
    """Changed since, gone from the warehouse, or not loaded at all."""
    fill(DAYS[:2])
    build(WriteParquet(date=DAYS[2]))
    lake_file(DAYS[0]).write_bytes(lake_file(DAYS[1]).read_bytes())
    command(
        market,
        f"ALTER TABLE MARKET.normalized_equity_ohlc DELETE WHERE trade_date = '{DAYS[1]}' SETTINGS mutations_sync = 1",
    )
    as_a_new_process()
    _, said = champion("fill", "--start", str(DAY), "--end", str(DAYS[2]), "--dry-run", "--json")
    assert {each["date"]: each["reason"] for each in json.loads(said)["due"]} == {
        str(DAYS[0]): "in the lake, and changed since it was loaded",
        str(DAYS[1]): "in the lake, and what was loaded is not in the warehouse any more",
        str(DAYS[2]): "in the lake, not loaded",
    }


def test_run_day_makes_the_lake_file_that_another_host_has(other_host: Callable[[], Path]) -> None:
    """Its result is about files: the load is not repeated."""
    fill(DAYS[:1])
    other_host()
    result = run_day(DAY)
    assert result.lake_path.exists()
    assert result.loaded == result.rows_processed > 0


def test_cleaning_asks_once(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tables between stages there are."""
    monkeypatch.setenv("CHAMPION_KEEP_INTERMEDIATES", "true")
    as_a_new_process()
    build(*(LoadClickHouse(date=day) for day in DAYS))
    asked.clear()
    items, _ = find(LoadClickHouse, [EQUITY])
    assert sum(item.kind == "intermediate" for item in items) == 2 * len(DAYS)
    assert remove_all(items, LoadClickHouse) == {}
    assert len(asked) <= 4, asked


def test_adjustments_of_a_part_of_the_days_do_not_replace_those_of_all(
    market: Address, other_host: Callable[[], Path]
) -> None:
    """A host whose lake lacks days that are loaded makes none, and says what to do."""
    fill(DAYS[:2])
    other_host()
    build(WriteParquet(date=DAYS[1]))
    build(WriteParquet(date=DAYS[1], dataset=CORPORATE_ACTIONS.name))
    with pytest.raises(StorageError, match="the lake lacks days that the warehouse has") as caught:
        adjust_tasks.LoadAdjustments().work()
    assert caught.value.found == f"1 day of equity: {DAY}"
