"""Kill -9 of a fill into an object store: every object is whole at any moment, and the next fill ends exact."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path

import campaign
import pytest
import s3_server
from helpers import SHARED, champion_here, run_champion, start_champion, wait_for

from champion_luigi.base import durable, store
from champion_luigi.base.places import place_of

pytestmark = [pytest.mark.faults, pytest.mark.integration]

AREA = "Kill -9"
# Ten sessions, around a change of formats.
RANGE = ("--start", "2024-07-01", "--stop", "2024-07-13")
DAYS = 10
# The published files, where they are beside the checkout.
ARCHIVE = str(SHARED / "archive") if (SHARED / "archive").is_dir() else "simulated:"
# Of a day: payload, receipt and lake file.
OBJECTS = 3 * DAYS


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same days in a folder, by a fill that nothing disturbs."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"DATA_DIR": str(folder), "NSE_ARCHIVE_URL": ARCHIVE}.items():
            patched.setenv(name, value)
        assert champion_here("fill", "--of", "WriteParquet", *RANGE).returncode == 0
    return folder


def contents(address: str) -> dict[str, bytes]:
    """Every object below an address, by its relative name."""
    found = {entry.path: durable.read_whole(place_of(entry.path)) for entry in store.entries(place_of(address))}
    return {path.removeprefix(f"{address}/"): content for path, content in found.items()}


def differing(found: dict[str, bytes], reference: Path) -> list[str]:
    """The objects that are not the whole files of the undisturbed fill, but for the claims, which are whole as well."""
    return [name for name, content in found.items() if not _is_same(name, content, reference / name)]


def _is_same(name: str, content: bytes, place: Path) -> bool:
    if "/claims/" in name:
        return "holder" in json.loads(content)
    expected = place.read_bytes()
    if not name.endswith(".json"):
        return content == expected
    documents = [json.loads(each) for each in (content, expected)]
    assert [document.pop("fetched_at") for document in documents]
    return bool(documents[0] == documents[1])


@pytest.mark.parametrize("seed", campaign.rounds(fast=2, full=50))
def test_a_fill_that_is_killed_leaves_whole_objects(
    seed: int, reference: Path, object_store: s3_server.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it is killed: there is no temporary name, no half of a file, and nothing to clear away."""
    address = object_store.address()
    for name, value in {
        "CHAMPION_LAKE_DIR": f"{address}/lake",
        "CHAMPION_RAW_DIR": f"{address}/raw",
        "NSE_ARCHIVE_URL": ARCHIVE,
    }.items():
        monkeypatch.setenv(name, value)
    least = random.Random(seed).randrange(OBJECTS + 1)
    with start_champion("fill", *RANGE, CHAMPION_FILL_GROUP="3") as process:
        wait_for(
            lambda: process.poll() is not None or len(list(store.entries(place_of(address)))) >= least,
            f"{least} objects",
        )
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    left = contents(address)
    assert differing({name: content for name, content in left.items() if "probe" not in name}, reference) == []
    again = run_champion("fill", *RANGE)
    assert again.returncode == 0, again.stderr
    found = {name: content for name, content in contents(address).items() if "probe" not in name}
    assert differing(found, reference) == []
    # The killed process's claim to a day that it had completed is nobody's any more: `champion clean` removes it.
    assert len([name for name in found if "/claims/" not in name]) == OBJECTS
    assert champion_here("verify").returncode == 0
    campaign.tell(AREA, "a fill into an object store, killed at a random moment", "whole objects; rerun equal")
