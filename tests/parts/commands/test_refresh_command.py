"""`champion refresh`: a day that was published anew replaces the old one, whole, and nothing else changes anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from clickhouse_cluster import serving
from helpers import (
    BOTH_DAY,
    Rows,
    archive_path,
    build,
    fetched,
    lines_of,
    payload,
    publish,
    published,
    retry_at_once,
    run_champion,
    snapshot,
)
from simulated_server import Fault, Kind, SimulatedArchive

from champion_luigi.base import durable
from champion_luigi.config import wiring
from champion_luigi.config.wiring import warehouse_place
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange.archive import NotModified
from champion_luigi.pipeline.tasks import LoadClickHouse, ScrapeBhavcopy, WriteParquet
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.upkeep import refresh, verify
from champion_luigi.upkeep.refresh import Changes, Outcome, count_changes, days_there
from champion_luigi.warehouse.opened import close_shared, open_warehouse

pytestmark = pytest.mark.integration

DAY = BOTH_DAY
BEFORE, AFTER = date(2024, 1, 12), date(2024, 1, 16)
DAYS = [BEFORE, DAY, AFTER]
RESTATED = Fault("restated")


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    retry_at_once(monkeypatch)
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running
    close_shared()


@pytest.fixture
def in_lake() -> None:
    """Three days, in the lake alone."""
    assert build(*(WriteParquet(date=day) for day in DAYS)).is_done


@pytest.fixture
def loaded() -> None:
    """A day, in lake and embedded warehouse."""
    assert build(LoadClickHouse(date=DAY)).is_done
    close_shared()


def champion_refresh(*arguments: str, program: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own; ``program`` comes first."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"{program}\nfrom champion_luigi.commands.refresh import command\ncommand()",
            *arguments,
        ],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def outcomes(*days: date) -> list[Outcome]:
    found = list(refresh.refresh(EQUITY, days or DAYS))
    close_shared()
    return found


def answer(server: SimulatedArchive) -> bytes:
    """What the archive gives for the day now."""
    return fetched(wiring.open_archive(server.url), EQUITY, DAY).content


def rows_in(frame: pl.DataFrame) -> Rows:
    """Rows as `published` has them."""
    names = "symbol series open high low close last prev_close volume turnover trades isin".split()
    return {(row[0], row[1]): tuple(row[2:]) for row in frame.select(names).iter_rows()}


def rows_in_lake() -> Rows:
    return rows_in(lake.read_parquet(WriteParquet(date=DAY).output().file, EQUITY)[0])


def rows_in_warehouse() -> int:
    table = open_warehouse(warehouse_place())
    try:
        return dict(table.rows_by_day(EQUITY)).get(DAY, 0)
    finally:
        table.close()


def changes(old: Rows, new: Rows) -> Changes:
    """By the published files alone."""
    both = old.keys() & new.keys()
    return Changes(len(new) - len(both), sum(old[key] != new[key] for key in both), len(old) - len(both))


def here() -> dict[str, Any]:
    """All that there is of raw, lake and markers."""
    folder = Path(os.environ["DATA_DIR"])
    return {name: snapshot(folder / name) for name in ("raw", "parsed", "normalized", "lake", "loaded")}


def restatements() -> list[dict[str, Any]]:
    folder = Path(os.environ["DATA_DIR"]) / "journal"
    return [record for record in journal.read(folder) if record["event"] == "restatement"]


# What is asked


def test_a_file_that_is_as_it_was_is_not_sent_again(server: SimulatedArchive) -> None:
    """The archive is asked with its own validators, and answers 304."""
    opened = wiring.open_archive(server.url)
    found = fetched(opened, EQUITY, DAY)
    with pytest.raises(NotModified):
        fetched(opened, EQUITY, DAY, known={found.url: found.headers})
    with pytest.raises(NotModified):
        fetched(opened, EQUITY, DAY, known={found.url: {"Last-Modified": found.headers["Last-Modified"]}})
    server.faults[DAY] = RESTATED
    assert fetched(opened, EQUITY, DAY, known={found.url: found.headers}).content != found.content


def test_validators_of_another_address_are_not_used(server: SimulatedArchive) -> None:
    """What one archive says of its file tells nothing of another one's."""
    opened = wiring.open_archive(server.url)
    found = fetched(opened, EQUITY, DAY)
    elsewhere = {found.url.replace("127.0.0.1", "localhost"): found.headers}
    assert fetched(opened, EQUITY, DAY, known=elsewhere).content == found.content


def test_the_last_days_of_the_lake_are_asked_for(in_lake: None, server: SimulatedArchive) -> None:
    """Up to an end, oldest first, and no other."""
    assert days_there(EQUITY, 2) == [DAY, AFTER]
    assert days_there(EQUITY, 2, DAY) == [BEFORE, DAY]
    assert days_there(EQUITY, 9) == DAYS
    before = len(server.requests)
    done = champion_refresh("--days", "1", "--end", "2024-01-15")
    assert done.stdout == "2024-01-15 unchanged\n1 unchanged, 0 changed, 0 failed\n"
    assert [each.path for each in server.requests[before:]] == [archive_path("legacy", DAY)]


def test_nothing_is_asked_for_where_nothing_is_there(server: SimulatedArchive) -> None:
    """An empty lake is no failure."""
    done = champion_refresh("--days", "5")
    assert (done.returncode, done.stdout, server.requests) == (0, "The lake has no days in this range.\n", [])


# What is unchanged


def test_a_day_that_is_unchanged_is_left_alone(in_lake: None) -> None:
    """No file is written."""
    before = here()
    assert [each.state for each in outcomes()] == ["unchanged"] * 3
    assert here() == before
    assert restatements() == []


def test_a_folder_is_compared_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the times of its files are."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(tmp_path / "files"))
    lines = lines_of(payload(DAY, "legacy"))
    file = publish(tmp_path / "files", DAY, "legacy", lines)
    assert build(WriteParquet(date=DAY)).is_done
    os.utime(file, (0, 0))
    assert [each.state for each in outcomes(DAY)] == ["unchanged"]
    publish(tmp_path / "files", DAY, "legacy", lines[:-3])
    assert [(each.state, each.changes) for each in outcomes(DAY)] == [("changed", Changes(0, 0, 3))]


def test_a_damaged_payload_is_put_back(in_lake: None) -> None:
    """A server that would say "as it was" is asked for all of it, as what was is not here."""
    file = ScrapeBhavcopy(date=DAY).output().file.with_name("cm15JAN2024bhav.csv.zip")
    content = file.read_bytes()
    file.write_bytes(content[:-5])
    before = here()["lake"]
    [outcome] = outcomes(DAY)
    assert (outcome.state, file.read_bytes()) == ("unchanged", content)
    assert here()["lake"] == before
    assert verify.of_range(EQUITY).differences == []


# What has changed


def test_a_restated_day_is_replaced_everywhere(loaded: None, server: SimulatedArchive) -> None:
    """Raw, lake and warehouse hold what is published now; the output says how many rows differ."""
    old = published(payload(DAY, "legacy"), "legacy")
    server.faults[DAY] = RESTATED
    new = published(answer(server), "legacy")
    counts = changes(old, new)
    assert min(counts.changed, counts.removed) > 30

    done = champion_refresh("--days", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"2024-01-15 changed (+0 ~{counts.changed} -{counts.removed} rows)"
    assert rows_in_lake() == new
    assert rows_in_warehouse() == len(new)
    assert verify.of_range(EQUITY).differences == []
    assert outcomes(DAY)[0] == Outcome(DAY, "unchanged")


def test_the_old_payload_is_kept(in_lake: None, server: SimulatedArchive) -> None:
    """Under its sha256, with its receipt, byte for byte."""
    receipt = ScrapeBhavcopy(date=DAY).output().file.read_bytes()
    server.faults[DAY] = RESTATED
    [outcome] = outcomes(DAY)
    folder = wiring.files(EQUITY).restated(DAY, outcome.old_sha256)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "cm15JAN2024bhav.csv.zip": payload(DAY, "legacy"),
        "bhavcopy_20240115.json": receipt,
    }
    assert durable.sha256(payload(DAY, "legacy")) == outcome.old_sha256


def test_a_restatement_is_journalled(in_lake: None, server: SimulatedArchive) -> None:
    """With both sha256, and the rows that were added, changed and removed."""
    server.faults[DAY] = RESTATED
    [outcome] = outcomes(DAY)
    assert outcome.changes is not None
    [record] = restatements()
    assert (record["date"], record["old_sha256"]) == ("2024-01-15", outcome.old_sha256)
    assert record["new_sha256"] == durable.sha256(answer(server)) == outcome.new_sha256
    counts = {f"rows_{name}": count for name, count in vars(outcome.changes).items()}
    assert counts == {name: record[name] for name in counts}


def test_a_day_of_the_lake_alone_stays_there(in_lake: None, server: SimulatedArchive) -> None:
    """No warehouse is made for it, and nothing stays due."""
    server.faults[DAY] = RESTATED
    assert [each.state for each in outcomes()] == ["unchanged", "changed", "unchanged"]
    assert rows_in_lake() == published(answer(server), "legacy")
    folder = Path(os.environ["DATA_DIR"])
    assert not (folder / "warehouse").exists()
    assert list((folder / "due").iterdir()) == []


def test_a_day_that_comes_in_another_format_is_replaced(in_lake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old format's file goes to the restated ones."""
    monkeypatch.setenv("CHAMPION_UDIFF_FROM", str(DAY))
    [outcome] = outcomes(DAY)
    assert outcome.state == "changed"
    name = archive_path("udiff", DAY).rpartition("/")[2]
    raw = ScrapeBhavcopy(date=DAY).output().file.parent
    assert sorted(path.name for path in raw.glob("*20240115*.zip")) == [name]
    assert not (raw / "cm15JAN2024bhav.csv.zip").exists()
    assert (wiring.files(EQUITY).restated(DAY, outcome.old_sha256) / "cm15JAN2024bhav.csv.zip").exists()
    assert verify.of_range(EQUITY).differences == []


def test_rows_are_compared_by_key() -> None:
    """A null is a value like any other."""
    old = pl.DataFrame({"symbol": ["A", "B", "C", "D"], "series": ["EQ"] * 4, "open": [1.0, None, None, 4.0]})
    new = pl.DataFrame({"symbol": ["A", "B", "C", "A"], "series": ["EQ"] * 3 + ["BL"], "open": [1.0, None, 3.0, 1.0]})
    assert count_changes(EQUITY, old, new) == Changes(added=1, changed=1, removed=1)


@pytest.mark.parametrize("kind", ["server", "cluster"])
def test_a_server_is_refreshed_and_redone_as_the_embedded_engine_is(
    server: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A day goes on to the warehouse that it was loaded into."""
    with serving(kind, tmp_path / "server") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert build(LoadClickHouse(date=DAY)).is_done
        server.faults[DAY] = RESTATED
        assert [each.state for each in outcomes(DAY)] == ["changed"]
        assert rows_in_warehouse() == len(rows_in_lake()) == len(published(answer(server), "legacy"))
        assert verify.of_range(EQUITY).differences == []
        redone = run_champion("redo", "--date", f"{DAY}", "--from", "load")
        assert redone.returncode == 0, redone.stderr
        assert rows_in_warehouse() == len(rows_in_lake())
        close_shared()


def test_readers_never_miss_the_day(loaded: None, server: SimulatedArchive) -> None:
    """The lake's file is the old one or the new one, whole, at every moment."""
    path = WriteParquet(date=DAY).output().file
    seen, ended = {durable.sha256(path.read_bytes())}, threading.Event()
    troubles: list[BaseException] = []

    def look() -> None:
        try:
            while not ended.wait(0.001):
                seen.add(durable.sha256(path.read_bytes()))
        except OSError as error:
            troubles.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    server.faults[DAY] = RESTATED
    try:
        assert [each.state for each in outcomes(DAY)] == ["changed"]
    finally:
        ended.set()
        reader.join()
    assert troubles == []
    assert len(seen | {durable.sha256(path.read_bytes())}) == 2


# What cannot stand


@pytest.mark.parametrize(
    "kind", ["truncated", "empty", "html", "stale", "wrong_header", "not_found", "unavailable", "forbidden"]
)
def test_an_answer_that_cannot_stand_changes_nothing(in_lake: None, server: SimulatedArchive, kind: Kind) -> None:
    """The day stays as it was, complete, and the reason is told."""
    before = here()
    server.faults[DAY] = Fault(kind)
    [outcome] = outcomes(DAY)
    assert outcome.state == "failed"
    assert outcome.reason
    assert here() == before
    assert WriteParquet(date=DAY).complete()


def test_a_payload_that_fails_the_check_changes_nothing(
    in_lake: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many rows that cannot stand: the command says so, and exits 30."""
    lines = lines_of(payload(DAY, "legacy"))
    publish(tmp_path / "files", DAY, "legacy", [*lines[:-200], *(["BAD,EQ,,,,,,,,,15-JAN-2024,,,"] * 200)])
    before = here()
    done = champion_refresh("--days", "1", "--end", "2024-01-15", NSE_ARCHIVE_URL=str(tmp_path / "files"))
    assert done.returncode == 30
    assert done.stdout.startswith("2024-01-15 failed: too many rows were rejected; expected rows, at most 5% of")
    assert max(map(len, done.stdout.splitlines()[:2])) <= 80
    assert here() == before


def test_a_file_that_the_archive_no_longer_has_is_kept(in_lake: None, server: SimulatedArchive) -> None:
    """It is told, and the other days are asked for."""
    server.faults[DAY] = Fault("not_found")
    found = outcomes()
    assert [each.state for each in found] == ["unchanged", "failed", "unchanged"]
    assert found[1].reason.endswith("The stored file stays.")


def test_an_archive_that_refuses_is_not_asked_again(in_lake: None, server: SimulatedArchive) -> None:
    """The rest is counted, and the exit code is 30."""
    server.faults[BEFORE] = Fault("forbidden")
    before = len(server.requests)
    done = champion_refresh("--days", "3", "--json")
    assert done.returncode == 30
    document = json.loads(done.stdout)
    assert document["not_asked"] == ["2024-01-15", "2024-01-16"]
    assert [each["date"] for each in document["failed"]] == ["2024-01-12"]
    # Each source of the first day, once, but no partial one: the day is stored from a full one.
    assert len(server.requests) == before + len(EQUITY.without_partial.sources_of(BEFORE))


def test_an_answer_that_fails_for_a_moment_is_asked_for_again(in_lake: None, server: SimulatedArchive) -> None:
    """As a fill does."""
    server.faults[DAY] = Fault("unavailable", times=2)
    assert [each.state for each in outcomes(DAY)] == ["unchanged"]


def test_an_archive_that_is_away_is_given_up(in_lake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """After three days in a row without an answer."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "http://127.0.0.1:9")
    assert [each.state for each in outcomes(BEFORE, DAY, AFTER, BEFORE)] == ["failed"] * 3


# What a kill leaves

_KILLED = """
import os, signal, sys
from champion_luigi.base import durable, locks
from pathlib import Path
replace, left = Path.replace, int(os.environ["WRITES"])
def replace_some(path, name):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(path, name)
Path.replace = replace_some
"""


@pytest.mark.parametrize(
    ("writes", "by"),
    [
        pytest.param(1, "refresh", id="before anything is replaced"),
        pytest.param(3, "fill", id="before the payload"),
        pytest.param(4, "refresh", id="between payload and receipt"),
        pytest.param(4, "fill", id="between payload and receipt, then a fill"),
        pytest.param(5, "refresh", id="after the receipt"),
        pytest.param(7, "fill", id="after parsing"),
        pytest.param(10, "refresh", id="before the lake's file"),
        pytest.param(12, "fill", id="between the warehouse and its marker"),
    ],
)
def test_what_a_kill_leaves_is_completed(loaded: None, server: SimulatedArchive, writes: int, by: str) -> None:
    """By a refresh, or by what a fill runs, after however many writes; the lake's file is whole meanwhile."""
    old = rows_in_lake()
    server.faults[DAY] = RESTATED
    new = published(answer(server), "legacy")
    done = champion_refresh("--days", "1", program=_KILLED, WRITES=str(writes))
    assert done.returncode == -9, done.stdout
    assert rows_in_lake() in (old, new)
    if by == "fill":
        assert build(LoadClickHouse(date=DAY)).is_done
        close_shared()
        assert verify.of_range(EQUITY).differences == []
    [outcome] = outcomes(DAY)
    assert outcome.state != "failed", outcome.reason
    assert rows_in_lake() == new
    assert rows_in_warehouse() == len(new)
    assert verify.of_range(EQUITY).differences == []
    assert {record["new_sha256"] for record in restatements()} == {durable.sha256(answer(server))}
