"""One day from Python: what `run_day` returns, what it takes, and what it raises."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
import time_machine
from clickhouse_server import ClickHouseServer, unavailable
from helpers import (
    HOLIDAY,
    LEGACY_DAY,
    UDIFF_DAY,
    lines_of,
    payload,
    publish,
    published,
    snapshot,
    start_python,
)
from simulated_server import SimulatedArchive

from champion_luigi import DayResult, run_day
from champion_luigi.base.errors import CheckFailed, NotPublished, SettingsError, WarehouseError
from champion_luigi.config import settings
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration

DAY = LEGACY_DAY
ROWS = len(published(payload(DAY, "legacy"), "legacy"))


@pytest.fixture(autouse=True)
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    monkeypatch.setenv("CHAMPION_LOCK_WAIT_SECONDS", "0")
    monkeypatch.setenv("CHAMPION_LOAD_RETRY_SECONDS", "0")
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(tmp_path_factory.mktemp("server"), password="right") as running:
        yield running


def rows_in(place: Address) -> list[tuple[date, int]]:
    """The rows that a warehouse has of each day."""
    table = open_warehouse(place)
    found = table.rows_by_day(EQUITY)
    table.close()
    return found


@pytest.mark.parametrize(
    ("day", "layout", "name"),
    [
        (LEGACY_DAY, "legacy", "cm15JUN2023bhav.csv.zip"),
        (UDIFF_DAY, "udiff", "BhavCopy_NSE_CM_0_0_0_20240709_F_0000.csv.zip"),
    ],
)
def test_a_days_result_says_what_it_came_to(tmp_path: Path, day: date, layout: str, name: str) -> None:
    """Counts, layout, warnings and where everything is."""
    result = run_day(day)
    count = len(published(payload(day, layout), layout))
    lake_file = f"year={day.year}/month={day.month:02}/day={day.day:02}/bhavcopy_{day:%Y%m%d}.parquet"
    assert dataclasses.replace(result, warnings={}) == DayResult(
        trade_date=day,
        rows_processed=count,
        raw_rows=count,
        rejected=0,
        loaded=count,
        layout=layout,
        warnings={},
        raw_path=tmp_path / "raw" / str(day.year) / name,
        lake_path=tmp_path / "lake" / "normalized" / "equity_ohlc" / lake_file,
        rejects_path=None,
    )
    assert tuple(result.warnings) == EQUITY.warning_names
    assert result.raw_path.read_bytes() == payload(day, layout)
    assert result.lake_path.is_file()


def test_a_result_cannot_be_changed_and_can_be_a_key() -> None:
    """It is a record of what happened."""
    result = run_day(DAY, load_to_clickhouse=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.loaded = 1  # type: ignore[misc]
    assert {result: 1}[result] == 1


def test_a_days_rejected_rows_are_counted_and_their_file_is_named(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw rows are the processed ones and the rejected ones."""
    folder = tmp_path_factory.mktemp("archive")
    header, first, *lines = lines_of(payload(DAY, "legacy"))
    publish(folder, DAY, "legacy", [header, first.replace(",", ",,", 1), *lines])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    result = run_day(DAY)
    assert (result.raw_rows, result.rows_processed, result.rejected, result.loaded) == (ROWS, ROWS - 1, 1, ROWS - 1)
    assert result.rejects_path is not None
    [reject] = result.rejects_path.read_text().splitlines()
    assert json.loads(reject)["line"] == 2


# A program of a user in India, whose months have other names; the assertion makes sure of that.
IN_HINDI = """
import calendar, locale, time
from datetime import date
from champion_luigi import run_day
try:
    locale.setlocale(locale.LC_ALL, "hi_IN.UTF-8")
except locale.Error:  # not installed, and cannot be made here
    calendar.month_abbr = ["", *"जन फ़र मार्च अप्रै मई जून जुल अग सित अक्टू नव दिस".split()]
try:
    time.strptime("15-JUN-2023", "%d-%b-%Y")
except ValueError:
    result = run_day(date(2023, 6, 15))
    print(result.raw_rows, result.rows_processed, result.loaded, result.layout)
"""


def test_a_day_does_not_depend_on_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calling program may have set one with other names of months: every row is there."""
    if program := shutil.which("localedef"):
        made = [program, "--no-archive", "-i", "hi_IN", "-f", "UTF-8", str(tmp_path / "hi_IN.UTF-8")]
        subprocess.run(made, check=False, capture_output=True, timeout=60)
        monkeypatch.setenv("LOCPATH", str(tmp_path))
    with start_python(IN_HINDI) as process:
        output, _ = process.communicate(timeout=120)
    assert output == f"{ROWS} {ROWS} {ROWS} legacy\n"


def test_a_day_need_not_be_loaded(tmp_path: Path) -> None:
    """The lake alone: no warehouse is made."""
    result = run_day(DAY, load_to_clickhouse=False)
    assert (result.rows_processed, result.loaded) == (ROWS, 0)
    assert not (tmp_path / "warehouse").exists()
    assert not (tmp_path / "loaded").exists()


def test_a_complete_day_is_not_run_again(archive: SimulatedArchive, tmp_path: Path) -> None:
    """The same result, no request, and no file touched."""
    first = run_day(DAY)
    before = snapshot(tmp_path)
    assert run_day(DAY) == first
    assert len(archive.requests) == 1
    assert snapshot(tmp_path) == before


def test_the_lake_can_be_elsewhere(tmp_path: Path) -> None:
    """``output_base_path`` is its root, as it was the Prefect flow's."""
    result = run_day(DAY, output_base_path=tmp_path / "my lake")
    assert result.lake_path.is_relative_to(tmp_path / "my lake" / "normalized" / "equity_ohlc")
    assert result.lake_path.is_file()
    assert not (tmp_path / "lake").exists()


def test_the_day_defaults_to_the_latest_published_session() -> None:
    """On a Sunday that is Friday."""
    with time_machine.travel(datetime(2024, 7, 7, 14, 0, tzinfo=UTC)):
        assert run_day(load_to_clickhouse=False).trade_date == date(2024, 7, 5)


def test_the_day_defaults_by_the_hour_of_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another data set's file can be later than the bhavcopy."""
    monkeypatch.setitem(catalog.DATASETS, INDEX_CLOSE.name, dataclasses.replace(INDEX_CLOSE, published_at=time(21, 0)))
    with time_machine.travel(datetime(2024, 7, 5, 15, 0, tzinfo=UTC)):
        found = run_day(dataset=INDEX_CLOSE.name, load_to_clickhouse=False)
    assert found.trade_date == date(2024, 7, 4)


def test_a_datetime_stands_for_its_date() -> None:
    """As people have them from pandas and from schedulers."""
    assert run_day(datetime(2023, 6, 15, 18, 30), load_to_clickhouse=False).trade_date == DAY


def test_an_iso_text_is_a_date_and_other_texts_are_refused() -> None:
    """So is the name of no data set; nothing is run."""
    assert run_day(str(DAY), load_to_clickhouse=False).trade_date == DAY
    with pytest.raises(SettingsError, match="trade_date is not a date; expected YYYY-MM-DD; found '15/01/2024'"):
        run_day("15/01/2024")
    for other in ("shares", None, ["equity"]):
        with pytest.raises(SettingsError, match="there is no data set of that name"):
            run_day(DAY, dataset=other)  # type: ignore[arg-type]


def test_what_is_given_wins_over_the_environment(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, port, user, password and database of the warehouse, for this call alone."""
    for name, value in {"HOST": "clickhouse.invalid", "PORT": "1", "USER": "nobody", "PASSWORD": "wrong"}.items():
        monkeypatch.setenv(f"CLICKHOUSE_{name}", value)
    result = run_day(
        DAY,
        clickhouse_host=server.host,
        clickhouse_port=server.port,
        clickhouse_user=server.user,
        clickhouse_password="right",
        clickhouse_database="given",
    )
    assert result.loaded == ROWS
    place = Address(server.host, server.port, server.user, "right", database="given")
    assert rows_in(place) == [(DAY, ROWS)]
    assert (settings.get("clickhouse_host"), settings.clickhouse_password()) == ("clickhouse.invalid", "wrong")


def test_what_is_not_given_comes_from_the_environment(
    server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names that users of the Prefect flow have set already."""
    values = {
        "HOST": server.host,
        "PORT": str(server.port),
        "USER": server.user,
        "PASSWORD": "right",
        "DATABASE": "env",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"CLICKHOUSE_{name}", value)
    assert run_day(DAY).loaded == ROWS
    assert rows_in(Address(server.host, server.port, server.user, "right", database="env")) == [(DAY, ROWS)]


def test_an_empty_host_is_the_embedded_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever host the environment names."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "clickhouse.invalid")
    assert run_day(DAY, clickhouse_host="").loaded == ROWS
    assert rows_in(Address(folder=tmp_path / "warehouse")) == [(DAY, ROWS)]


def test_a_holiday_raises_the_tasks_own_error() -> None:
    """With the attributes that code can read."""
    with pytest.raises(NotPublished) as caught:
        run_day(HOLIDAY)
    assert caught.value.day == HOLIDAY


def test_a_bad_file_raises_the_tasks_own_error(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the task that failed, not of the one that was asked for."""
    folder = tmp_path_factory.mktemp("archive")
    header, *lines = lines_of(payload(DAY, "legacy"))
    publish(folder, DAY, "legacy", [header, *(line.replace(",EQ,", ",EQ,x") for line in lines)])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    with pytest.raises(CheckFailed):
        run_day(DAY)


def test_a_wrong_password_raises_the_tasks_own_error(server: ClickHouseServer) -> None:
    """The lake has the day by then, and a call with the right one does the rest."""

    def load(password: str) -> DayResult:
        return run_day(
            DAY,
            clickhouse_host=server.host,
            clickhouse_port=server.port,
            clickhouse_user=server.user,
            clickhouse_password=password,
            clickhouse_database="twice",
        )

    with pytest.raises(WarehouseError, match="CLICKHOUSE_PASSWORD") as caught:
        load("planted")
    assert "planted" not in str(caught.value)
    assert load("right").loaded == ROWS


def test_a_setting_that_cannot_be_used_raises_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found when the task asks whether it is complete, and does not vanish in Luigi's log."""
    monkeypatch.setenv("CLICKHOUSE_PORT", "eight")
    with pytest.raises(SettingsError, match="CLICKHOUSE_PORT"):
        run_day(DAY)


def test_a_failed_day_leaves_the_next_call_alone() -> None:
    """Nothing of an error stays behind in the process."""
    with pytest.raises(NotPublished):
        run_day(HOLIDAY)
    assert run_day(DAY).loaded == ROWS


def test_the_embedded_warehouse_is_free_afterwards(tmp_path: Path) -> None:
    """A notebook that goes on does not keep other processes from it, after a failed call neither."""
    run_day(DAY)
    with pytest.raises(NotPublished):
        run_day(HOLIDAY)
    program = """
import sys
from pathlib import Path
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
print(open_warehouse(Address(folder=Path(sys.argv[1]))).rows_by_day(EQUITY)[0][1])
"""
    reader = start_python(program, str(tmp_path / "warehouse"))
    assert reader.communicate(timeout=60)[0].strip() == str(ROWS)
