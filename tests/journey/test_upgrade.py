"""A data folder of another version: a newer one is refused before anything is touched, an older one is gone on with."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import campaign
import pytest
from click.testing import CliRunner
from helpers import (
    BOTH_DAY,
    LEGACY_DAY,
    UDIFF_DAY,
    build,
    payload,
    published,
    retry_at_once,
    run_luigi,
    snapshot,
)
from mlflow_server import carry, empty_store, metrics_once, told

from champion_luigi import run_day
from champion_luigi.base import durable
from champion_luigi.base.errors import ChampionError, DamagedFile, OtherVersion
from champion_luigi.base.package import VERSION
from champion_luigi.commands.cli import main
from champion_luigi.commands.doctor import disks
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.model import COUNT, Column
from champion_luigi.exchange import answers
from champion_luigi.pipeline import complete, targets
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse, NormalizeBhavcopy, WriteParquet
from champion_luigi.storage import lake, tables
from champion_luigi.storage import version as datadir
from champion_luigi.tracking import journal
from champion_luigi.warehouse import opened

AREA = "Upgrade"
DAY = BOTH_DAY
FUTURE = {"layout": datadir.LAYOUT + 1, "package": "9.0.0"}
DAMAGED = {
    "empty": "",
    "cut off": '{"layout": ',
    "a list": "[1]",
    "a number": "1",
    "without a layout": '{"package": "0.1.0"}',
    "a layout of words": '{"layout": "1"}',
    "layout true": '{"layout": true}',
    "layout 0": '{"layout": 0}',
    "bytes": "\0\0\0\0",
}

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    retry_at_once(monkeypatch)
    yield
    opened.close_shared()


def note(folder: Path, text: str | dict[str, object]) -> None:
    """Have the data folder say something of itself, as a process that begins now reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "layout.json").write_text(text if isinstance(text, str) else json.dumps(text))
    forget()


def forget() -> None:
    """As a process that has just begun."""
    datadir._known.clear()
    targets._written.clear()


def champion(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


# The note


def test_the_first_run_notes_the_layout(tmp_path: Path) -> None:
    """With the version that noted it; a folder that is new is said nothing about."""
    built = build(WriteParquet(date=DAY))
    assert built.is_done
    noted = json.loads((tmp_path / "layout.json").read_bytes())
    assert (noted["layout"], noted["package"]) == (datadir.LAYOUT, VERSION)


def test_what_only_looks_notes_nothing(tmp_path: Path) -> None:
    """A folder that cannot be written can be looked at, with a note and without one."""
    build(WriteParquet(date=DAY))
    for is_noted in (True, False):
        if not is_noted:
            (tmp_path / "layout.json").unlink()
        forget()
        before = snapshot(tmp_path)
        assert champion("status", "--start", str(DAY), "--end", str(DAY))[0] == 20
        assert champion("fill", "--start", str(DAY), "--stop", "2024-01-16", "--dry-run")[0] == 20
        assert WriteParquet(date=DAY).complete()
        assert snapshot(tmp_path) == before
    campaign.tell(AREA, "a data folder that is only looked at (status, fill --dry-run)", "no file of it is touched")


def test_a_folder_of_the_first_layout_is_noted_as_that(tmp_path: Path) -> None:
    """It has no note. The next run says so, goes on with what is there, and makes nothing again."""
    build(WriteParquet(date=LEGACY_DAY))
    (tmp_path / "layout.json").unlink()
    before = snapshot(tmp_path)
    done = run_luigi("WriteParquet", "--date", str(DAY), CHAMPION_TRACKING="off")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("it is treated as layout 1") == 1
    assert json.loads((tmp_path / "layout.json").read_bytes())["layout"] == 1
    assert {name: state for name, state in snapshot(tmp_path).items() if name in before} == before
    again = run_luigi("WriteParquet", "--date", str(UDIFF_DAY), CHAMPION_TRACKING="off")
    assert "layout" not in again.stderr
    campaign.tell(
        AREA,
        "a data folder without layout.json, as the first version wrote it",
        "noted as layout 1, nothing made again",
    )


def test_threads_that_write_first_note_it_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One says so, all go on, and no temporary file is left."""
    (tmp_path / "raw").mkdir()
    forget()
    threads = [threading.Thread(target=datadir.claim, args=(tmp_path,)) for _ in range(8)]
    with caplog.at_level("INFO", "luigi-interface"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert caplog.text.count("treated as layout 1") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layout.json", "raw"]


# What is refused

COMMANDS = (
    ("status",),
    ("report",),
    ("clean",),
    ("clean", "--intermediates"),
    ("fill", "--start", "2024-01-15", "--stop", "2024-01-16"),
    ("fill", "--start", "2024-01-15", "--dry-run"),
    ("redo", "--date", "2024-01-15"),
    ("refresh", "--days", "1"),
    ("sql", "SELECT 1"),
    ("track", "flush"),
    ("track", "ui"),
    ("verify", "--repair"),
)


@pytest.mark.parametrize("text", [json.dumps(FUTURE), *DAMAGED.values()], ids=["newer", *DAMAGED])
def test_no_command_touches_a_folder_that_it_does_not_know(text: str, tmp_path: Path) -> None:
    """A newer layout, or a note that cannot be read: each command says so in a sentence, with exit code 40."""
    build(WriteParquet(date=DAY))
    note(tmp_path, text)
    before = snapshot(tmp_path)
    for command in COMMANDS:
        code, output = champion(*command)
        assert code == 40, (command, output)
        assert f"champion {command[0]}: " in output
        assert "Nothing was read or changed" in output
        assert "Traceback" not in output
        assert snapshot(tmp_path) == before, command
    task = WriteParquet(date=DAY)
    calls: list[Callable[[], object]] = [lambda: run_day(DAY), task.complete, task.run]
    for raises in calls:
        with pytest.raises((OtherVersion, DamagedFile), match="Nothing was read or changed"):
            raises()
    assert snapshot(tmp_path) == before
    campaign.tell(
        AREA,
        "a data folder of a newer layout" if text == json.dumps(FUTURE) else "a damaged layout.json",
        "refused by every task and command with a sentence, before anything is touched",
    )


@pytest.mark.parametrize("task", ["LoadClickHouse", "FillBhavcopy"])
def test_luigi_refuses_a_newer_folder_with_a_sentence(task: str, tmp_path: Path) -> None:
    """No traceback, an exit code that is an error's, no file made: no journal, no lock."""
    note(tmp_path, dict(FUTURE))
    dates = ("--date", str(DAY)) if task == "LoadClickHouse" else ("--start", str(DAY))
    before = snapshot(tmp_path)
    done = run_luigi(task, *dates, CHAMPION_TRACKING="on")
    assert done.returncode == 35, done.stderr
    assert "OtherVersion: the data folder was written by a newer champion_luigi (9.0.0)" in done.stderr
    assert "Traceback" not in done.stderr
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "locks").exists()


def test_help_is_given_on_any_folder(tmp_path: Path) -> None:
    """And what has nothing to do with the data works."""
    note(tmp_path, dict(FUTURE))
    assert champion("status", "--help")[0] == 0
    assert champion("--version")[0] == 0
    assert champion("schedule", "--cron")[0] == 0


def test_doctor_tells_the_layout(tmp_path: Path) -> None:
    """And who noted it. It is the one command that looks at a folder of a newer layout, to say so."""
    assert disks.layout().found.startswith("none recorded")
    note(tmp_path, {"layout": 1, "package": "0.1.0"})
    assert "layout 1, recorded by champion_luigi 0.1.0" in disks.layout().found
    note(tmp_path, dict(FUTURE))
    lines = champion("doctor")[1].splitlines()
    assert any(line.startswith("PROBLEM  layout") for line in lines), lines


# What is in the folder


def rewrite_lake(day: date, version: str) -> Path:
    """Have a day's lake file say that it is of another version of the columns."""
    path = lake.partition(settings.lake_dir(), day, EQUITY)
    rows, metadata = lake.read_parquet(path, EQUITY)
    path.write_bytes(lake.parquet_bytes(rows, metadata | {"schema_version": version}))
    return path


@pytest.mark.parametrize("version", ["2", "99", "next"])
def test_a_newer_lake_file_is_refused(version: str, tmp_path: Path) -> None:
    """By a load, by verify and by report; the file stays as it is."""
    build(WriteParquet(date=DAY))
    path = rewrite_lake(DAY, version)
    content = path.read_bytes()
    built = build(LoadClickHouse(date=DAY))
    assert isinstance(built.error, OtherVersion), built.error
    for word in (str(DAY), "newer", f"found {version}", str(path)):
        assert word in str(built.error)
    for command in (("verify",), ("report", "--output", str(tmp_path / "report.html"))):
        code, output = champion(*command)
        assert code == 40, output
        assert "newer champion_luigi" in output
    assert path.read_bytes() == content
    assert not (tmp_path / "loaded").exists()
    campaign.tell(
        AREA, "a lake file of a newer schema version", "refused by load, verify and report, and left as it is"
    )


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let equity have a second version, with one more column."""

    def grow() -> None:
        forget()
        opened.close_shared()
        for cached in ("names", "types", "numbers"):
            getattr(EQUITY, cached)  # so that it is put back
            monkeypatch.delitem(vars(EQUITY), cached)
        later = Column("delivered", COUNT, "shares", "a later column")
        for name, value in {"version": 2, "columns": (*EQUITY.columns, later)}.items():
            monkeypatch.setitem(vars(EQUITY), name, value)

    return grow


@pytest.mark.parametrize("stage", [NormalizeBhavcopy, WriteParquet, LoadClickHouse])
def test_what_an_older_version_has_written_is_gone_on_with(stage: type[DayTask], grown: Callable[[], None]) -> None:
    """The next task reads the column that it lacks as nulls; nothing is made anew, and an existing table grows."""
    build(stage(date=DAY))
    written = {path: path.read_bytes() for path in stage(date=DAY).output().file.parent.iterdir()}
    grown()
    assert build(LoadClickHouse(date=DAY)).is_done
    assert build(LoadClickHouse(date=LEGACY_DAY)).is_done
    found = opened.shared(wiring.warehouse_place()).query(
        "SELECT trade_date, count() > 0, count(delivered) FROM champion_market.equity_ohlc "
        "GROUP BY trade_date ORDER BY trade_date"
    )
    opened.close_shared()
    assert found == [(day, 1, 0) for day in sorted([DAY, LEGACY_DAY])]
    assert {path: path.read_bytes() for path in written} == written
    version = lake.read_metadata(lake.partition(settings.lake_dir(), DAY, EQUITY), EQUITY)["schema_version"]
    assert version == ("2" if stage is NormalizeBhavcopy else "1")
    campaign.tell(
        AREA,
        "what an older schema version has written, of fewer columns",
        "the next task goes on with it, nulls in the later columns; an existing table gets the columns",
    )


def test_index_closes_without_stable_names_are_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of the first version stays as it is; the table grows, and the day has names once it is normalized again."""
    name, later, older = INDEX_CLOSE.name, ("index", "prev_close"), date(2014, 8, 12)
    with monkeypatch.context() as first:
        for cached in ("names", "types", "numbers", "warning_names"):
            getattr(INDEX_CLOSE, cached)  # so that it is put back
            first.delitem(vars(INDEX_CLOSE), cached)
        columns = tuple(column for column in INDEX_CLOSE.columns if column.name not in later)
        plain = {"version": 1, "columns": columns, "corrections": ()}
        for field, value in {**plain, "derived": lambda _: {}, "warnings": dict}.items():
            first.setitem(vars(INDEX_CLOSE), field, value)
        assert build(LoadClickHouse(date=older, dataset=name)).is_done
    forget()
    opened.close_shared()

    def named() -> list[tuple[Any, ...]]:
        try:
            return opened.shared(wiring.warehouse_place()).query(
                "SELECT trade_date, count(), count(index), countIf(index = 'Nifty 50') "
                "FROM champion_market.index_close GROUP BY trade_date ORDER BY trade_date"
            )
        finally:
            opened.close_shared()

    lake_file = lake.partition(settings.lake_dir(), older, INDEX_CLOSE)
    content = lake_file.read_bytes()
    assert build(LoadClickHouse(date=DAY, dataset=name)).is_done
    assert lake_file.read_bytes() == content
    [(_, rows, names, _), (_, *new)] = named()
    assert (rows, names) == (44, 0)
    assert new[0] == new[1] > 100
    # Before the first day of the file of all indices, in the same table.
    assert build(LoadClickHouse(date=date(2010, 1, 4), dataset=name)).is_done
    scanned = lake.scan(settings.lake_dir(), dataset=name).collect()
    assert scanned.filter(trade_date=older)["index"].null_count() == rows

    code, output = champion("verify", "--dataset", name)
    assert code == 0, output
    code, output = champion("redo", "--dataset", name, "--date", str(older), "--from", "normalize")
    assert code == 0, output
    assert [each[2:] for each in named()][1] == (44, 1)
    campaign.tell(
        AREA,
        "index closes of a version without stable names",
        "gone on with; a redo from normalize gives them their names",
    )


def change_marker(day: date, **what: object) -> None:
    marker = LoadClickHouse(date=day).output()
    document = marker.load()
    assert document is not None
    marker.dump(document | what)


def test_a_newer_marker_is_refused() -> None:
    """By the task, by a listing and by a fill: what it says may mean something else."""
    build(LoadClickHouse(date=DAY))
    change_marker(DAY, schema_version=2)
    with pytest.raises(OtherVersion, match="newer"):
        LoadClickHouse(date=DAY).complete()
    with pytest.raises(OtherVersion, match="newer"):
        complete.loaded_rows(EQUITY, DAY, date(2024, 1, 16))
    code, output = champion("fill", "--start", str(DAY), "--stop", "2024-01-16")
    assert code == 40, output
    campaign.tell(
        AREA, "a load marker of a newer schema version", "refused by tasks, listings and fills with a sentence"
    )


def test_an_older_marker_counts() -> None:
    """A schema grows by columns alone: a day that an older version loaded is not loaded again."""
    build(LoadClickHouse(date=DAY))
    change_marker(DAY, schema_version=0)
    assert LoadClickHouse(date=DAY).complete()
    assert complete.loaded_rows(EQUITY, DAY, date(2024, 1, 16)).keys() == {DAY}
    assert_whole([DAY])
    campaign.tell(AREA, "a load marker of an older schema version", "the day counts as loaded")


def test_a_table_with_a_newer_column_is_refused(tmp_path: Path) -> None:
    """The warehouse's own columns are its version; what to do depends on who made it."""
    build(LoadClickHouse(date=LEGACY_DAY))
    table = opened.shared(wiring.warehouse_place())
    table.command(f"ALTER TABLE {table.name_of(EQUITY)} ADD COLUMN delivered Nullable(Int64)")
    opened.close_shared()
    error = build(LoadClickHouse(date=DAY)).error
    assert isinstance(error, ChampionError)
    for word in ("not the one that this version makes", "delivered", "If a newer version made it, use that"):
        assert word in str(error)
    campaign.tell(AREA, "a warehouse table with a column of a newer version", "refused with the column's name")


def test_records_and_answers_of_a_newer_version_are_passed_over(tmp_path: Path) -> None:
    """Lines with more in them, or of another kind, in journal and ledger: what is known of them counts."""
    journal.append(tmp_path / "journal", {"event": "weighed", "execution": "later.1", "v": 2, "date": str(DAY)})
    answer = {"verdict": "closed", "archive": "simulated:", "asked": "x", "time": "2026-01-01"}
    lines = [{**answer, "date": "2024-01-16", "v": 2, "by": "9.0.0"}, {"date": "2024-01-17", "kind": 7}]
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    build(WriteParquet(date=DAY))
    assert answers.read(tmp_path / "ledger.jsonl", "simulated:").answers.keys() == {date(2024, 1, 16)}
    code, output = champion("status", "--start", str(DAY), "--end", "2024-01-17")
    assert code == 20, output
    assert "lake only 1, failed 0, absent 1, missing 1, closed 0" in output
    fault = "records and answers of a newer version, in journal/ and ledger.jsonl"
    campaign.tell(AREA, fault, "what is known of them counts; no run or command fails of them")


@pytest.mark.parametrize("number", campaign.rounds(fast=0, full=1))
def test_a_note_of_deliveries_of_a_newer_version_doubles_nothing(number: int, tmp_path: Path) -> None:
    """It cannot be read and is taken as none: all is carried again, and MLflow knows what it has."""
    empty_store(tmp_path / "mlflow" / "mlflow.db")
    journal.append(tmp_path / "journal", {"event": "weighed", "execution": "later.1", "v": 2, "date": str(DAY)})
    assert run_luigi("WriteParquet", "--date", str(DAY)).returncode == 0
    carry()
    before = [(run.info.run_id, metrics_once(settings.tracking_uri(), run)) for run in told()]
    assert before, number
    path = tmp_path / "journal" / "delivered.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 2, "offsets": {}}))
    assert journal.delivery(tmp_path / "journal") == journal.Delivery()
    carry()
    assert [(run.info.run_id, metrics_once(settings.tracking_uri(), run)) for run in told()] == before
    fault = "a note of deliveries to MLflow (delivered.json) of a newer version"
    campaign.tell(AREA, fault, "all is carried again; MLflow has each run and each metric once")


# From earlier versions


def assert_whole(days: list[date]) -> None:
    """The view and the lake have exactly what was published on these days."""
    loaded = dict(opened.shared(wiring.warehouse_place()).rows_by_day(EQUITY))
    opened.close_shared()
    for day in days:
        truth = (
            published(payload(day, "legacy"), "legacy")
            if day != UDIFF_DAY
            else published(payload(day, "udiff"), "udiff")
        )
        rows = lake.scan(settings.lake_dir(), day, date.fromordinal(day.toordinal() + 1)).collect()
        assert set(rows.select("symbol", "series").iter_rows()) == set(truth)
        assert rows.height == len(truth) == loaded[day], day
        assert rows["volume"].sum() == sum(values[6] for values in truth.values())


# What earlier versions wrote otherwise, newest first; each wrote the later ones' differences too.


def without_note(folder: Path) -> None:
    """The layout was not noted, and the sha256 of a table was of its rows alone."""
    (folder / "layout.json").unlink()
    for path in folder.rglob(f"*{'.arrows'}"):
        stream, _, line = path.read_bytes().rpartition(b"\n")
        document = json.loads(line) | {"sha256": durable.sha256(stream)}
        path.write_bytes(stream + b"\n" + json.dumps(document).encode())


def without_journal(folder: Path) -> None:
    """Nothing was journalled."""
    shutil.rmtree(folder / "journal")


def with_tables_as_parquet(folder: Path) -> None:
    """Tables between two tasks were Parquet files."""
    for path in folder.rglob(f"*{'.arrows'}"):
        rows, metadata = tables.read_table(path)
        rows.write_parquet(path.with_suffix(".parquet"), metadata=metadata)
        path.unlink()


def with_the_warehouses_name_beside_it(folder: Path) -> None:
    """The embedded warehouse had its name in a file beside its folder, which says nothing today."""
    (folder / "warehouse" / "champion.id").rename(folder / "warehouse.id")


FORMS = [without_note, without_journal, with_tables_as_parquet, with_the_warehouses_name_beside_it]


@pytest.mark.parametrize("count", campaign.few([len(FORMS), 1, 2, 3], fast=2))
def test_what_an_earlier_version_wrote_is_gone_on_with(count: int, tmp_path: Path) -> None:
    """Two days of an earlier version, one half done: existing outputs stay, and both days end whole."""
    assert build(LoadClickHouse(date=LEGACY_DAY)).is_done
    assert build(NormalizeBhavcopy(date=DAY)).is_done
    opened.close_shared()
    for older in FORMS[:count]:
        older(tmp_path)
    forget()
    before = snapshot(tmp_path / "lake") | snapshot(tmp_path / "raw")
    is_loaded = with_the_warehouses_name_beside_it not in FORMS[:count]
    code, output = champion("status", "--start", str(LEGACY_DAY), "--end", str(LEGACY_DAY))
    assert code == (0 if is_loaded else 20), output

    done = run_luigi("LoadClickHouse", "--date", str(DAY))
    assert done.returncode == 0, done.stderr
    assert "it is treated as layout 1" in done.stderr
    forget()
    for day in (LEGACY_DAY, UDIFF_DAY):
        assert build(LoadClickHouse(date=day)).is_done
    after = snapshot(tmp_path / "lake") | snapshot(tmp_path / "raw")
    assert {name: after[name] for name in before} == before
    assert_whole([LEGACY_DAY, DAY, UDIFF_DAY])
    code, output = champion("verify")
    assert code == 0, output
    words = "nothing made again" if is_loaded else "what is in the lake is loaded again, and nothing else made again"
    campaign.tell(
        AREA,
        "a data folder as an earlier version wrote it, with a day loaded and one half done",
        f"gone on with by this one: rows as published, verify agrees; {words}",
    )
