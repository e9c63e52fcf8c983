"""The commands as users type them, from the archive's file to rows in ClickHouse, against the csv module's count."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import campaign
import pytest
from clickhouse_server import ClickHouseServer, unavailable
from helpers import (
    LEGACY_DAY,
    UDIFF_DAY,
    Rows,
    archive_path,
    payload,
    published,
    run_champion,
    run_luigi,
    snapshot,
)
from simulated_server import SimulatedArchive

from champion_luigi.commands import demo
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import lake
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = pytest.mark.integration

# What a task that leaves no output looks like; Luigi alone would call it done.
FORGETFUL = """
import champion_luigi, luigi

class Forgetful(luigi.Task):
    def output(self):
        return luigi.LocalTarget("nothing")

    def run(self):
        pass
"""


def loaded(place: Address, day: date) -> Rows:
    """What readers of the warehouse see of a day, as `published` gives it."""
    table = open_warehouse(place)
    table.prepare(EQUITY)
    rows = table.query(
        "SELECT symbol, series, open, high, low, close, last, prev_close, volume, turnover, trades, isin "
        f"FROM {place.database}.equity_ohlc WHERE trade_date = '{day}'"
    )
    table.close()
    found = {(row[0], row[1]): row[2:] for row in rows}
    assert len(found) == len(rows)
    return found


def sums(rows: Rows) -> tuple[Any, ...]:
    """Count, volume, turnover and closes in whole paise."""
    return (
        len(rows),
        sum(row[6] for row in rows.values()),
        sum(round(row[7] * 100) for row in rows.values()),
        sum(round(row[3] * 100) for row in rows.values()),
    )


def in_lake(folder: Path) -> Rows:
    """What readers of the lake see, in the same form."""
    frame = lake.scan(folder / "lake").collect()
    names = "open high low close last prev_close volume turnover trades isin".split()
    return {(row["symbol"], row["series"]): tuple(row[name] for name in names) for row in frame.iter_rows(named=True)}


@pytest.mark.parametrize(("day", "format"), [(LEGACY_DAY, "legacy"), (UDIFF_DAY, "udiff")])
def test_a_simulated_day_arrives_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: date, format: str
) -> None:
    """Over HTTP, by the command, into lake and warehouse; the same command again does nothing."""
    truth = published(payload(day, format), format)
    with SimulatedArchive() as archive:
        monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url)
        run = run_luigi("LoadClickHouse", "--date", str(day))
        assert run.returncode == 0, run.stderr
        before = snapshot(tmp_path)
        assert run_luigi("LoadClickHouse", "--date", str(day)).returncode == 0
        assert snapshot(tmp_path) == before
        assert [request.path for request in archive.requests] == [archive_path(format, day)]
    found = loaded(Address(folder=tmp_path / "warehouse"), day)
    assert sums(found) == sums(truth)
    assert found == truth
    assert in_lake(tmp_path) == truth


@pytest.mark.faults
@pytest.mark.parametrize(
    ("day", "format"),
    campaign.few(
        [
            (date(1996, 6, 3), "legacy"),
            (date(2024, 7, 5), "legacy"),
            (date(2024, 7, 8), "udiff"),
            (date(2020, 7, 13), "legacy"),
            (date(2024, 6, 20), "udiff"),
        ],
        fast=3,
    ),
)
def test_a_real_day_arrives_exactly(
    shared: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: date, format: str
) -> None:
    """One day of each layout as the exchange published it, out of a folder laid out as on the exchange."""
    file = shared("archive" + archive_path(format, day))
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(shared("archive")))
    monkeypatch.setenv("CHAMPION_UDIFF_FROM", str(day if format == "udiff" else UDIFF_DAY))
    run = run_luigi("LoadClickHouse", "--date", str(day))
    assert run.returncode == 0, run.stderr
    truth = published(file.read_bytes(), format)
    found = loaded(Address(folder=tmp_path / "warehouse"), day)
    assert sums(found) == sums(truth)
    assert found == truth


@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
def test_a_day_arrives_in_a_server_exactly(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the environment that users of the Prefect flow have; no engine of one's own is made."""
    with ClickHouseServer(tmp_path_factory.mktemp("server"), user="champion_user", password="secret") as server:
        for name in ("host", "port", "user", "password"):
            monkeypatch.setenv(f"CLICKHOUSE_{name.upper()}", str(getattr(server, name)))
        run = run_luigi("LoadClickHouse", "--date", str(UDIFF_DAY), NSE_ARCHIVE_URL="simulated:")
        assert run.returncode == 0, run.stderr
        place = Address(server.host, server.port, server.user, server.password)
        assert loaded(place, UDIFF_DAY) == published(payload(UDIFF_DAY, "udiff"), "udiff")
    assert not (tmp_path / "warehouse").exists()


# Exit codes, in a folder that has no luigi.cfg


def test_a_failed_day_exits_30_and_says_why_in_a_sentence(tmp_path: Path) -> None:
    """Cron looks at the code, a person at the sentence, which is all that the command prints."""
    run = run_luigi("LoadClickHouse", "--date", str(UDIFF_DAY), NSE_ARCHIVE_URL=str(tmp_path / "nowhere"))
    assert run.returncode == 30
    [sentence] = run.stderr.splitlines()
    assert sentence.startswith(f"ERROR: ScrapeBhavcopy {UDIFF_DAY} failed: SettingsError: the archive's folder")


def test_a_run_that_leaves_no_output_exits_30(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Luigi alone would call it a success."""
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    run = run_luigi("Forgetful", module="forgetful")
    assert run.returncode == 30, run.stderr


def test_a_date_that_is_none_exits_40() -> None:
    """Nothing is run."""
    assert run_luigi("LoadClickHouse", "--date", "yesterday").returncode == 40


@pytest.mark.parametrize("arguments", [["LoadMongo"], ["LoadClickHouse", "--day", "2024-01-15"]])
def test_an_unknown_task_or_parameter_does_not_exit_0(arguments: list[str]) -> None:
    """A typo in a crontab must show."""
    assert run_luigi(*arguments).returncode != 0


def test_a_setting_that_cannot_be_used_does_not_exit_0() -> None:
    """And it is named, in a sentence."""
    run = run_luigi("LoadClickHouse", "--date", str(LEGACY_DAY), CLICKHOUSE_PORT="eight")
    assert run.returncode in (30, 35, 40)
    assert "CLICKHOUSE_PORT cannot be used" in run.stderr
    assert "Traceback" not in run.stderr


# champion


def test_the_demo_loads_its_days_and_shows_their_counts(tmp_path: Path) -> None:
    """Both formats on both sides of the switch; run again, it finds them done. Nothing goes into the user's folder."""
    first = run_champion("demo", "--data-dir", "shown")
    assert first.returncode == 0, first.stderr
    for day in demo.DAYS:
        format = "legacy" if day < date(2024, 7, 8) else "udiff"
        count = len(published(payload(day, format), format))
        assert f"{day:%Y-%m-%d %a}  {count:>6,}  {format}" in first.stdout
    for name in catalog.NAMES:
        assert re.search(rf"^  {name} +\S", first.stdout, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} == {"shown"}
    before = snapshot(tmp_path / "shown" / "raw") | snapshot(tmp_path / "shown" / "lake")
    second = run_champion("demo", "--data-dir", "shown")
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert snapshot(tmp_path / "shown" / "raw") | snapshot(tmp_path / "shown" / "lake") == before


def test_a_demo_that_fails_says_so(tmp_path: Path) -> None:
    """A folder that cannot be made: an exit code, and a sentence at the end."""
    (tmp_path / "taken").touch()
    run = run_champion("demo", "--data-dir", "taken/demo")
    assert run.returncode == 30, run.stderr
    assert run.stderr.splitlines()[-1].startswith("champion demo: not loaded: 2024-01-19, ")


def test_champion_tells_its_version() -> None:
    """That of the installed package."""
    run = run_champion("--version")
    assert (run.returncode, run.stdout) == (0, f"champion, version {version('champion_luigi')}\n")


def test_champion_lists_its_commands() -> None:
    """Each with what it does."""
    run = run_champion("--help")
    assert run.returncode == 0
    assert "demo" in run.stdout
