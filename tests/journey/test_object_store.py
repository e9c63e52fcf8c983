"""The lake and the fetched files on a real object store: the same as in a folder, from the archive to every reader."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3_server
from helpers import AT_ONCE, champion_here, forget_settings, run_champion, run_luigi, without
from odd_store import OddStore

import champion_luigi
from champion_luigi.base import durable, object_options, store
from champion_luigi.base.places import Place, place_of
from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import lake

pytestmark = pytest.mark.integration

START, STOP, LAST = date(2024, 3, 1), date(2024, 3, 19), date(2024, 3, 18)
RANGE = ("--start", str(START), "--stop", str(STOP))
DAY = date(2024, 3, 15)
# What differs between two runs of the same fill.
TIMES = re.compile(rb'("(?:fetched_at|made_at|noted_at)": )"[^"]*"')


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, _running_store: s3_server.Store
) -> tuple[Path, str, dict[str, str]]:
    """Some weeks of every data set in a folder and in the store: the folder, the address, the settings of the store."""
    folder = tmp_path_factory.mktemp("filled")
    address = _running_store.address()
    both: tuple[Mapping[str, str], ...] = (
        {"DATA_DIR": str(folder / "folder")},
        {
            "DATA_DIR": str(folder / "scratch"),
            "CHAMPION_LAKE_DIR": f"{address}/lake",
            "CHAMPION_RAW_DIR": f"{address}/raw",
            **_running_store.environment,
        },
    )
    for environment in both:
        Path(environment["DATA_DIR"]).mkdir()
        with pytest.MonkeyPatch.context() as patched:
            for name, value in {**environment, "NSE_ARCHIVE_URL": "simulated:", "CHAMPION_TRACKING": "off"}.items():
                patched.setenv(name, value)
            done = run_champion("fill", "--dataset", "all", *RANGE)
        assert done.returncode == 0, done.stderr
    return folder, address, dict(both[1])


@pytest.fixture
def on_store(filled: tuple[Path, str, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of the data in the store; the folder that has the same."""
    for name, value in {**filled[2], "NSE_ARCHIVE_URL": "simulated:", "CHAMPION_TRACKING": "off"}.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    return filled[0] / "folder"


def contents(root: Place) -> dict[str, bytes]:
    """Every file below a place, by its relative path; times of receipts and documents are left out."""
    found = {}
    for entry in store.entries(root):
        content = durable.read_whole(place_of(entry.path))
        name = entry.path.removeprefix(f"{root}/")
        found[name] = TIMES.sub(rb"\1", content) if name.endswith(".json") else content
    return found


def states_of(documents: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a lake's days; those of adjustments name a state, which differs from one place to the other."""
    return {name: content for name, content in documents.items() if "/adjustments/" not in name}


# The same as in a folder


def test_lake_and_fetched_files_equal_those_of_a_folder(on_store: Path, filled: tuple[Path, str, Any]) -> None:
    """In names and content, byte for byte, and nothing else is in the store."""
    in_folder, in_store = contents(on_store / "lake"), contents(place_of(f"{filled[1]}/lake"))
    assert states_of(in_store) == states_of(in_folder)
    assert len(states_of(in_store)) == len(DATASETS) * 12
    assert contents(place_of(f"{filled[1]}/raw")) == contents(on_store / "raw")
    scratch = filled[0] / "scratch"
    assert not (scratch / "lake").exists()
    assert not (scratch / "raw").exists()


def test_adjustments_equal_those_of_a_folder(on_store: Path, filled: tuple[Path, str, Any]) -> None:
    """Their tables are the same, under the name of another state."""
    in_folder = champion_luigi.prices(root=on_store / "lake", adjusted="total_return")
    assert champion_luigi.prices(root=f"{filled[1]}/lake", adjusted="total_return").equals(in_folder)
    assert champion_luigi.prices(adjusted="total_return").equals(in_folder)
    assert champion_luigi.actions().equals(champion_luigi.actions(root=on_store / "lake"))


@pytest.mark.parametrize("dataset", DATASETS)
def test_status_and_verify_agree(dataset: str, on_store: Path) -> None:
    """Every day is loaded, and raw file, lake and warehouse agree."""
    found = champion_luigi.status(dataset, START, LAST)
    assert {day.state for day in found.days} == {"loaded"}
    verified = champion_here("verify", "--dataset", dataset, "--json")
    assert verified.returncode == 0, verified.stderr
    document = json.loads(verified.stdout)
    assert (document["raw"], document["lake"], document["warehouse"]) == (12, 12, 12)


def test_a_second_fill_finds_nothing_to_do(on_store: Path) -> None:
    """A day's receipt, lake file and marker count as they do in a folder."""
    assert "Nothing is missing." in run_champion("fill", *RANGE).stderr


def test_a_fresh_machine_loads_from_the_store(on_store: Path, tmp_path: Path) -> None:
    """With nothing but the settings: no file is requested, and no lake file is written again."""
    again = {"DATA_DIR": str(tmp_path / "other"), "NSE_ARCHIVE_URL": str(tmp_path)}
    before = sorted(entry.path for entry in store.entries(champion_luigi.lake.root_at(f"{_lake()}")))
    done = run_champion("fill", *RANGE, **again)
    assert done.returncode == 0, done.stderr
    assert "12 of 12 days" in done.stdout + done.stderr
    assert sorted(entry.path for entry in store.entries(champion_luigi.lake.root_at(f"{_lake()}"))) == before


def _lake() -> Place:
    from champion_luigi.config import settings

    return settings.lake_dir()


def test_redo_and_refresh_leave_the_same(on_store: Path, filled: tuple[Path, str, Any]) -> None:
    """A day that is done again from the first stage, and one that is fetched again."""
    before = contents(place_of(f"{filled[1]}/raw"))
    assert run_champion("redo", "--date", str(DAY), "--from", "scrape").returncode == 0
    refreshed = run_champion("refresh", "--days", "2", "--json")
    assert refreshed.returncode == 0, refreshed.stderr
    assert contents(place_of(f"{filled[1]}/raw")) == before
    in_folder, in_store = contents(on_store / "lake"), contents(place_of(f"{filled[1]}/lake"))
    assert states_of(in_store) == states_of(in_folder)
    dry = run_champion("redo", "--date", str(DAY), "--from", "write", "--dry-run")
    assert "replaces  lake/.../bhavcopy_20240315.parquet" in dry.stdout


def test_damage_is_found_and_repaired(on_store: Path) -> None:
    """A payload and a lake file that somebody has changed in the bucket."""
    from champion_luigi.config import settings, wiring
    from champion_luigi.storage import raw

    path = lake.partition(settings.lake_dir(), DAY, EQUITY)
    whole = durable.read_whole(path)
    _, payload = raw.payload_of(wiring.files(EQUITY), DAY)
    store.put(path, whole[:-100])
    store.put(payload, b"no zip")
    found = champion_here("verify", "--json")
    differences = json.loads(found.stdout)["differences"]
    assert {(each["date"], each["where"]) for each in differences} >= {(str(DAY), "raw"), (str(DAY), "lake")}
    assert run_champion("verify", "--repair").returncode == 0
    assert durable.read_whole(path) == whole
    assert champion_here("verify").returncode == 0


def test_a_report_has_the_days(on_store: Path, tmp_path: Path) -> None:
    """Its facts come from the lake's files."""
    done = run_champion("report", "--start", str(START), "--end", str(LAST), "--output", str(tmp_path / "r.html"))
    assert done.returncode == 0, done.stderr
    assert "12 of 12 sessions loaded" in done.stdout + done.stderr


def test_clean_and_doctor_know_the_store(on_store: Path) -> None:
    """Nothing is left behind in a store, and the doctor tries it out."""
    assert run_champion("clean").returncode == 0
    lines = champion_here("doctor").stdout
    assert len(re.findall(r"OK +(?:lake|raw) folder +s3://champion/", lines)) == 2


def test_no_file_of_the_machine_has_the_secret(on_store: Path, filled: tuple[Path, str, Any]) -> None:
    """Neither journal, nor markers, nor the embedded warehouse."""
    files = [path for path in (filled[0] / "scratch").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if s3_server.OWNER[1].encode() in path.read_bytes()] == []


def test_luigis_own_workers_use_the_store(on_store: Path, tmp_path: Path, object_store: s3_server.Store) -> None:
    """Processes that are forked from one that has asked the store what is complete."""
    address = object_store.address()
    environment = {
        "DATA_DIR": str(tmp_path / "forked"),
        "CHAMPION_LAKE_DIR": f"{address}/lake",
        "CHAMPION_RAW_DIR": f"{address}/raw",
    }
    for done in (
        run_luigi("ThreeDays", "--workers", "3", module="helpers", **environment),
        run_luigi("WriteParquet", "--date", str(DAY), "--workers", "2", **environment),
    ):
        assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(day for day, _ in lake.days(place_of(f"{address}/lake"), EQUITY)) == [
        date(2023, 6, 14),
        date(2023, 6, 15),
        DAY,
        date(2024, 7, 9),
    ]


# Readers


def test_sql_reads_the_lake_of_the_store(on_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no warehouse: the views of prices and of adjusted prices, without showing the key."""
    asked = "SELECT count() AS rows, sum(volume) AS volume FROM equity_ohlc"
    with_warehouse = run_champion("sql", asked, "--format", "csv").stdout
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "none"))
    (tmp_path / "none").mkdir()
    from_lake = run_champion("sql", asked, "--format", "csv")
    assert from_lake.stdout == with_warehouse
    assert "the lake s3://champion/" in from_lake.stderr
    adjusted = run_champion("sql", "SELECT count() FROM equity_adjusted", "--format", "csv")
    assert adjusted.returncode == 0, adjusted.stderr
    shown = run_champion("sql", "SHOW CREATE TABLE normalized_equity_ohlc")
    assert s3_server.OWNER[1] not in shown.stdout + shown.stderr


def test_other_engines_read_the_store(on_store: Path, filled: tuple[Path, str, dict[str, str]]) -> None:
    """As docs/how-to/object-store.md has it."""
    address = f"{filled[1]}/lake"
    rows = lake.scan(on_store / "lake").select(pl.len()).collect().item()
    assert lake.scan(address).select(pl.len()).collect().item() == rows
    pattern = f"{address}/normalized/equity_ohlc/**/bhavcopy_*.parquet"
    options = object_options.options(address.rpartition("/")[0].rpartition("/")[0])
    assert pl.scan_parquet(pattern, storage_options=options).select(pl.len()).collect().item() == rows


# Never a wrong place


SIMULATED = {"NSE_ARCHIVE_URL": "simulated:", "CHAMPION_TRACKING": "off", **AT_ONCE}


def refusals(store_of_tests: s3_server.Store) -> dict[str, tuple[dict[str, str], str]]:
    """What can be wrong, and the sentence about it."""
    address = f"{store_of_tests.address()}/lake"
    of = {**store_of_tests.environment, "CHAMPION_LAKE_DIR": address}
    return {
        "scheme": (of | {"CHAMPION_LAKE_DIR": "hdfs://bucket/lake"}, "no object store with the scheme hdfs:"),
        "slash": (of | {"CHAMPION_RAW_DIR": "s3:/bucket/raw"}, "two slashes"),
        "data": (
            of | {"DATA_DIR": "s3://bucket/data"},
            "an object store is for CHAMPION_LAKE_DIR and CHAMPION_RAW_DIR",
        ),
        "bucket": (of | {"CHAMPION_LAKE_DIR": "s3://no-such-bucket/lake"}, "s3://no-such-bucket does not exist"),
        "secret": (of | {"AWS_SECRET_ACCESS_KEY": "wrong"}, "does not accept the key"),
        "rights": (of | store_of_tests.as_user(*s3_server.STRANGER), "the key has no right to do this"),
        "down": (of | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "the object store of s3://champion does not answer"),
    }


@pytest.mark.parametrize("fault", ["scheme", "slash", "data", "bucket", "secret", "rights", "down"])
def test_what_is_wrong_is_said_before_the_first_day(fault: str, object_store: s3_server.Store, tmp_path: Path) -> None:
    """By `champion fill`, by `luigi` and by the doctor, in one sentence; nothing is fetched, and no folder is made."""
    given, sentence = refusals(object_store)[fault]
    environment = {**SIMULATED, **given}
    days = ("--start", str(START), "--stop", str(STOP))
    runs = [
        run_champion("fill", *days, **environment),
        run_luigi("WriteParquet", "--date", str(DAY), **environment),
        run_luigi("FillBhavcopy", "--of", "WriteParquet", *days, **environment),
        run_champion("doctor", **environment),
    ]
    for each in runs:
        output = " ".join((each.stdout + each.stderr).split())
        assert each.returncode != 0, output
        assert sentence in output
        assert "Traceback" not in output
        assert s3_server.OWNER[1] not in output
    assert {path.name for path in tmp_path.rglob("*")} & {"s3:", "hdfs:", "raw", "lake", "parsed"} == set()


def test_a_store_that_ignores_conditions_is_refused_before_the_first_day(tmp_path: Path) -> None:
    """It would let two hosts overwrite each other's claims and receipts."""
    with OddStore() as odd:
        environment = {**SIMULATED, **odd.environment, "CHAMPION_LAKE_DIR": "s3://bucket/lake"}
        for each in (
            run_champion("fill", *RANGE, **environment),
            run_luigi("WriteParquet", "--date", str(DAY), **environment),
            run_champion("doctor", **environment),
        ):
            output = " ".join((each.stdout + each.stderr).split())
            assert each.returncode != 0
            assert "ignores conditions of writing" in output
            assert "no If-None-Match" in output
        assert odd.objects == {}
    assert not (tmp_path / "raw").exists()


def test_without_the_extra_the_sentence_names_it(object_store: s3_server.Store, tmp_path: Path) -> None:
    """And no folder of the address's name appears."""
    environment = {**SIMULATED, "CHAMPION_LAKE_DIR": f"{object_store.address()}/lake"}
    for each in (
        run_champion("fill", *RANGE, **environment, **without(tmp_path, "obstore")),
        run_luigi("WriteParquet", "--date", str(DAY), **environment, **without(tmp_path, "obstore")),
        run_champion("doctor", **environment, **without(tmp_path, "obstore")),
    ):
        output = " ".join((each.stdout + each.stderr).split())
        assert each.returncode != 0
        assert 'pip install "champion-luigi[s3]"' in output
    assert not (tmp_path / "s3:").exists()


def test_a_day_asks_the_store_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill looks a file up before it works, and after; in between, it uses the store's answer to writing.

    After the lake has it, loading looks before it reads, at its end, and when the fill counts its days.
    """
    with OddStore(("If-None-Match", "If-Match")) as odd:
        places = {"CHAMPION_LAKE_DIR": "s3://bucket/lake", "CHAMPION_RAW_DIR": "s3://bucket/raw"}
        done = run_champion(
            "fill", "--start", str(DAY), "--stop", str(DAY + timedelta(days=1)), **SIMULATED | odd.environment | places
        )
        assert done.returncode == 0, done.stderr
        verbs: dict[str, list[str]] = {}
        for request in odd.requests:
            verb, _, path = request.partition(" ")
            verbs.setdefault(path.rpartition("/")[2], []).append(verb)
        assert verbs["bhavcopy_20240315.parquet"] == ["HEAD", "PUT", "HEAD", "HEAD", "HEAD", "HEAD"]
        assert verbs["bhavcopy_20240315.json"] == ["HEAD", "GET", "GET", "PUT", "HEAD", "GET"]
        assert verbs["cm15MAR2024bhav.csv.zip"] == ["PUT", "HEAD"]
        for name, value in (odd.environment | places).items():
            monkeypatch.setenv(name, value)
        forget_settings()
        odd.requests.clear()
        assert [day.state for day in champion_luigi.status(start=DAY, end=DAY).days] == ["loaded"]
        assert len([request for request in odd.requests if "list-type" in request]) == 1


def test_a_store_that_comes_back_ends_the_fill(tmp_path: Path) -> None:
    """It fails in the middle, and the stage tries again."""
    with OddStore(("If-None-Match", "If-Match")) as odd:
        environment = {**SIMULATED, **odd.environment, "CHAMPION_LAKE_DIR": "s3://bucket/lake"}
        odd.fail_after, odd.failures = 12, 30
        done = run_champion("fill", "--of", "WriteParquet", *RANGE, **environment)
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        assert odd.failures == 0
        assert len([name for name in odd.objects if name.endswith(".parquet")]) == 12
