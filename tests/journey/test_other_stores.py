"""The lake and the fetched files in stores with Google's and Azure's API: what these have of their own.

The one is the tests' own, and follows Google's description; the other is the emulator Azurite, where it is installed.
`spec/base/test_store.py` runs on both, too.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import date
from pathlib import Path

import azurite_server
import google_server
import polars as pl
import pytest
import s3_server
from helpers import AT_ONCE, champion_here, run_champion, run_luigi
from several_hosts import Host

from champion_luigi import lake
from champion_luigi.base import durable, store
from champion_luigi.base.places import Place, place_of
from champion_luigi.config import settings

pytestmark = pytest.mark.integration

RANGE = ("--start", "2024-03-01", "--stop", "2024-03-07")
LAST = date(2024, 3, 6)


@pytest.fixture(params=["google_store", "azure_store"])
def at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The settings of a lake and of fetched files in the store; the address of both."""
    running: s3_server.Store = request.getfixturevalue(request.param)
    address = running.address()
    given = {"LAKE_DIR": f"{address}/lake", "RAW_DIR": f"{address}/raw", "TRACKING": "off"}
    for name, value in given.items():
        monkeypatch.setenv(f"CHAMPION_{name}", value)
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    return address


def contents(root: Place) -> dict[str, bytes]:
    """The Parquet files below a place, by relative path."""
    found = [entry.path for entry in store.entries(root) if entry.path.endswith(".parquet")]
    return {path.removeprefix(f"{root}/"): durable.read_whole(place_of(path)) for path in found}


def test_a_fill_and_its_readers(at: str) -> None:
    """The lake's files are those of a folder; a second fill finds them, and every reader reads them."""
    done = run_champion("fill", *RANGE)
    assert done.returncode == 0, done.stderr
    assert "5 of 5 days" in done.stdout + done.stderr
    assert "Nothing is missing." in run_champion("fill", *RANGE).stderr
    in_folder = settings.data_dir() / "folder"
    of_folder = {"CHAMPION_LAKE_DIR": str(in_folder), "CHAMPION_RAW_DIR": ""}
    assert run_champion("fill", "--of", "WriteParquet", *RANGE, **of_folder).returncode == 0
    assert contents(place_of(f"{at}/lake")) == contents(in_folder)
    verified = champion_here("verify", "--json")
    assert verified.returncode == 0, verified.stderr
    document = json.loads(verified.stdout)
    assert (document["raw"], document["lake"], document["warehouse"]) == (5, 5, 5)
    assert "5 of 5 sessions loaded" in champion_here("status", "--start", RANGE[1], "--end", str(LAST)).stdout
    rows = lake.scan(in_folder).select(pl.len()).collect().item()
    assert lake.scan(f"{at}/lake").select(pl.len()).collect().item() == rows
    assert len(re.findall(r"OK +(?:lake|raw) folder +(?:gs|az)://champion/", champion_here("doctor").stdout)) == 2
    assert champion_here("clean").returncode == 0


def test_a_day_is_done_again(at: str) -> None:
    """From the first stage, and the file's content is the same."""
    assert run_champion("fill", *RANGE).returncode == 0
    before = contents(place_of(f"{at}/lake"))
    assert run_champion("redo", "--date", str(LAST), "--from", "scrape").returncode == 0
    assert run_champion("refresh", "--days", "2").returncode == 0
    assert contents(place_of(f"{at}/lake")) == before


def test_luigis_own_workers_use_the_store(at: str) -> None:
    """Processes that are forked from one that has asked the store."""
    done = run_luigi("ThreeDays", "--workers", "3", module="helpers")
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(contents(place_of(f"{at}/lake"))) == 3


def test_two_processes_share_the_days(at: str) -> None:
    """By claims under conditions, and each day is done once."""
    of = {"CHAMPION_FILL_GROUP": "1"}
    hosts = [Host(name, settings.data_dir() / name, of | {"CHAMPION_HOST": name}) for name in ("first", "second")]
    for host in hosts:
        host.start("fill", "--of", "WriteParquet", "--start", "2024-03-01", "--stop", "2024-03-23")
    assert [host.end() for host in hosts] == [0, 0], [host.output for host in hosts]
    assert sum(host.days_done for host in hosts) == 16, [host.output for host in hosts]
    assert len(contents(place_of(f"{at}/lake"))) == 16
    assert {each.name for each in store.entries(place_of(f"{at}/raw/claims"))} <= {"store.json"}


def require_said(sentence: str, at: str, given: dict[str, str], secrets: list[str]) -> None:
    """Said by `champion fill` and by the doctor, before anything is written; no secret is shown."""
    for each in (run_champion("fill", *RANGE, **AT_ONCE, **given), run_champion("doctor", **AT_ONCE, **given)):
        output = " ".join((each.stdout + each.stderr).split())
        assert each.returncode != 0, output
        assert sentence in output
        assert not [text for text in ("Traceback", *secrets) if text in output]
    assert list(store.entries(place_of(at))) == []


@pytest.mark.parametrize("at", ["google_store"], indirect=True)
@pytest.mark.parametrize(
    ("given", "account", "sentence"),
    [
        ({}, google_server.OTHER_KEY, "the store of gs://champion does not accept the key"),
        ({}, google_server.STRANGER, "the key has no right to do this in gs://champion"),
        ({}, "absent", "the client of gs://champion cannot use its settings"),
        ({"CHAMPION_LAKE_DIR": "gs://no-such-bucket/lake"}, google_server.OWNER, "gs://no-such-bucket does not exist"),
        (
            {"GOOGLE_BASE_URL": "http://127.0.0.1:9"},
            google_server.OWNER,
            "the object store of gs://champion does not answer",
        ),
    ],
    ids=["key", "rights", "no-file", "bucket", "down"],
)
def test_what_is_wrong_with_a_store_of_google_is_said(
    given: dict[str, str], account: str, sentence: str, at: str, google_store: s3_server.Store
) -> None:
    """In one sentence."""
    file = Path(google_server.account_file(google_store, account))
    key = [json.loads(file.read_text())["private_key"].splitlines()[1]] if file.exists() else []
    given = {"GOOGLE_APPLICATION_CREDENTIALS": str(file), **given}
    require_said(sentence, at, given, ["PRIVATE KEY", *key])


@pytest.mark.parametrize("at", ["azure_store"], indirect=True)
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"another").decode()},
            "the store of az://champion does not accept the key",
        ),
        ({"AZURE_STORAGE_ACCOUNT_KEY": "no base64!"}, "the client of az://champion cannot use its settings"),
        ({"CHAMPION_LAKE_DIR": "az://no-such-container/lake"}, "az://no-such-container does not exist"),
        ({"AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9/tester"}, "the object store of az://champion does not answer"),
    ],
    ids=["key", "malformed", "container", "down"],
)
def test_what_is_wrong_with_a_store_of_azure_is_said(given: dict[str, str], sentence: str, at: str) -> None:
    """In one sentence."""
    wrong = given.get("AZURE_STORAGE_ACCOUNT_KEY", azurite_server.SECRET)
    require_said(sentence, at, given, [azurite_server.SECRET, wrong])
