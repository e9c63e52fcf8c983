"""Published files at rest: receipts, replaced payloads, and damage to either."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from champion_luigi.base import durable, store
from champion_luigi.base.errors import DamagedFile
from champion_luigi.base.places import Place, place_of
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.storage import raw
from champion_luigi.storage.paths import DayFiles

DAY = date(2024, 1, 15)
NAME = "cm15JAN2024bhav.csv.zip"
PRESS = "PR150124.zip"
EQUITY_PRESS = next(source for source in EQUITY.sources if source.shared)


def keep(files: DayFiles, content: bytes, name: str = NAME) -> dict[str, Any]:
    """Store a payload, as the first task does."""
    archive = "https://archive.example"
    described = {"format": "legacy", "url": f"{archive}/{name}", "archive": archive, "rows": 1, "validators": {}}
    return raw.keep(files, DAY, name, content, described)[0]


def test_a_payload_is_read_back_by_its_receipt(place: Place) -> None:
    """Under the exchange's own name, with the receipt beside it."""
    files = DayFiles(place, EQUITY)
    receipt = keep(files, b"first")
    found, path = raw.payload_of(files, DAY)
    assert (found["sha256"], path.name) == (receipt["sha256"], NAME)
    assert raw.verified(found, path, files.receipt(DAY)) == b"first"


def test_a_replaced_payload_is_stored_with_its_receipt(place: Place) -> None:
    """The same payload again is no replacement; another name leaves no second payload beside the receipt."""
    files = DayFiles(place, EQUITY)
    first = keep(files, b"first")
    keep(files, b"first")
    assert not store.has_some(place / "raw" / "2024" / "restated")
    keep(files, b"second", "another.csv.zip")
    folder = files.restated(DAY, first["sha256"])
    assert {entry.name for entry in store.entries(folder)} == {NAME, files.receipt(DAY).name}
    assert durable.read_whole(folder / NAME) == b"first"
    assert not files.receipt(DAY).with_name(NAME).exists()


def keep_shared(files: DayFiles, content: bytes, fetched_at: str = "") -> dict[str, Any]:
    """Store a payload that several data sets read."""
    archive = "https://archive.example"
    described = {"format": "pr", "url": archive, "archive": archive, "rows": 1, "validators": {}}
    return raw.keep(files, DAY, PRESS, content, {**described, "fetched_at": fetched_at})[0]


@pytest.fixture
def readers(place: Place, monkeypatch: pytest.MonkeyPatch) -> tuple[DayFiles, DayFiles]:
    """The files of two data sets that read the zip for the press."""
    second = replace(INDEX_CLOSE, sources=(EQUITY_PRESS,))
    monkeypatch.setitem(catalog.DATASETS, second.name, second)
    return DayFiles(place, EQUITY), DayFiles(place, second)


def payloads(place: Place) -> list[str]:
    """Where payloads for the press lie."""
    return [entry.path for entry in store.entries(place) if entry.name == PRESS]


def content_of(files: DayFiles) -> bytes:
    """The payload that the receipt describes, which is intact."""
    receipt, path = raw.payload_of(files, DAY)
    return raw.verified(receipt, path, files.receipt(DAY))


def test_a_shared_payload_is_stored_once(place: Place, readers: tuple[DayFiles, DayFiles]) -> None:
    """Apart from the receipts, one of which each data set has."""
    for files in readers:
        keep_shared(files, b"first")
        assert content_of(files) == b"first"
    assert payloads(place) == [str(place / "raw/shared/pr/2024" / PRESS)]


def test_a_payload_that_is_shared_since_stays_where_it_is(place: Place) -> None:
    """An existing receipt says nothing of sharing: its payload lies beside it."""
    files = DayFiles(place, EQUITY)
    receipt = keep_shared(files, b"first")
    moved = files.receipt(DAY).with_name(PRESS)
    store.delete(raw.payload_of(files, DAY)[1])
    store.put(moved, b"first")
    del receipt["shared"]
    store.put(files.receipt(DAY), durable.json_bytes(receipt))
    assert content_of(files) == b"first"
    keep_shared(files, b"second")
    assert not moved.exists()
    assert content_of(files) == b"second"
    assert durable.read_whole(files.restated(DAY, receipt["sha256"]) / PRESS) == b"first"


def test_a_restated_shared_payload_leaves_the_other_data_set_its_own(readers: tuple[DayFiles, DayFiles]) -> None:
    """Until it is fetched for that one too. The exchange can go back to the old content."""
    first, second = readers
    old = [keep_shared(files, b"first")["sha256"] for files in readers]
    keep_shared(first, b"second")
    assert [content_of(files) for files in readers] == [b"second", b"first"]
    keep_shared(second, b"second")
    assert [content_of(files) for files in readers] == [b"second", b"second"]
    assert [[each.name for each in store.entries(files.restated(DAY, old[0]))] for files in readers] == [
        [files.receipt(DAY).name] for files in readers
    ]
    assert (first.restated_shared("pr", DAY, old[0]) / PRESS).read_bytes() == b"first"
    (first.restated_shared("pr", DAY, old[0]) / PRESS).write_bytes(b"damaged since")
    keep_shared(second, b"first")
    assert [content_of(files) for files in readers] == [b"second", b"first"]


def test_a_shared_payload_that_is_restated_while_it_is_read_is_found(
    readers: tuple[DayFiles, DayFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process can replace it for its own data set after its place was looked up."""
    first, second = readers
    for files in readers:
        keep_shared(files, b"first")
    receipt, path = raw.payload_of(second, DAY)
    read = durable.read_whole

    def read_late(found: Path) -> bytes:
        monkeypatch.setattr(durable, "read_whole", read)
        assert found == path
        keep_shared(first, b"second")
        return read(found)

    monkeypatch.setattr(durable, "read_whole", read_late)
    assert raw.content_of(second, DAY, receipt) == b"first"


def test_a_shared_payload_of_no_receipt_is_not_restated(place: Place, readers: tuple[DayFiles, DayFiles]) -> None:
    """Damage, or what a killed run left."""
    first, _ = readers
    keep_shared(first, b"first")
    store.put(raw.payload_of(first, DAY)[1], b"fIrst")
    keep_shared(first, b"second")
    [path] = payloads(place)
    assert durable.read_whole(place_of(path)) == b"second"


def test_a_data_set_that_changes_its_source_leaves_the_shared_payload(readers: tuple[DayFiles, DayFiles]) -> None:
    """The other one still reads it."""
    first, _ = readers
    for files in readers:
        keep_shared(files, b"first")
    keep(first, b"official")
    assert [content_of(files) for files in readers] == [b"official", b"first"]


def test_the_latest_payload_that_is_intact_is_found_for_others(readers: tuple[DayFiles, DayFiles]) -> None:
    """Of this archive alone, and never a data set's own."""
    first, second = readers
    keep_shared(first, b"first", "2024-01-15T13:00:00+00:00")
    found = raw.kept_by_others(second, DAY, EQUITY_PRESS, "https://archive.example")
    assert found is not None
    assert (found[0]["fetched_at"], found[1]) == ("2024-01-15T13:00:00+00:00", b"first")
    assert raw.kept_by_others(first, DAY, EQUITY_PRESS, "https://archive.example") is None
    assert raw.kept_by_others(second, DAY, EQUITY_PRESS, "https://other.example") is None
    store.put(raw.payload_of(first, DAY)[1], b"fIrst")
    assert raw.kept_by_others(second, DAY, EQUITY_PRESS, "https://archive.example") is None


@pytest.mark.parametrize("shared", ["a/b", "..", "", 7])
def test_a_damaged_name_of_a_shared_folder_is_no_receipt(tmp_path: Path, shared: object) -> None:
    """It may have become a path."""
    files = DayFiles(tmp_path, EQUITY)
    receipt = keep_shared(files, b"first")
    assert raw.is_receipt(files, receipt)
    assert not raw.is_receipt(files, {**receipt, "shared": shared})


@pytest.mark.parametrize("name", ["a/b", "..", "", 7, None])
def test_a_receipt_with_a_damaged_name_is_replaced(place: Place, name: object) -> None:
    """A name may have become a path: nothing outside the folder is read, and the new payload is stored."""
    files = DayFiles(place, EQUITY)
    keep(files, b"first")
    path = files.receipt(DAY)
    store.put(path, json.dumps(json.loads(durable.read_whole(path)) | {"file": name}).encode())
    with pytest.raises(DamagedFile, match="the receipt of the fetched file cannot be read"):
        raw.payload_of(files, DAY)
    keep(files, b"second")
    assert durable.read_whole(raw.payload_of(files, DAY)[1]) == b"second"


def test_a_changed_payload_is_damage(place: Place) -> None:
    """The error names the stored file and the receipt to delete."""
    files = DayFiles(place, EQUITY)
    keep(files, b"first")
    receipt, path = raw.payload_of(files, DAY)
    store.put(path, b"fIrst")
    with pytest.raises(DamagedFile, match=NAME) as caught:
        raw.verified(receipt, path, files.receipt(DAY))
    assert str(files.receipt(DAY)) in str(caught.value)
