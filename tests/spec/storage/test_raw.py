"""Published files at rest: receipts, replaced payloads, and damage to either."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from champion_luigi.base.errors import DamagedFile
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import raw
from champion_luigi.storage.paths import DayFiles

DAY = date(2024, 1, 15)
NAME = "cm15JAN2024bhav.csv.zip"


def keep(files: DayFiles, content: bytes, name: str = NAME) -> dict[str, Any]:
    """Store a payload, as the first task does."""
    archive = "https://archive.example"
    described = {"format": "legacy", "url": f"{archive}/{name}", "archive": archive, "rows": 1, "validators": {}}
    return raw.keep(files, DAY, name, content, described)


def test_a_payload_is_read_back_by_its_receipt(tmp_path: Path) -> None:
    """Under the exchange's own name, with the receipt beside it."""
    files = DayFiles(tmp_path, EQUITY)
    receipt = keep(files, b"first")
    found, path = raw.payload_of(files, DAY)
    assert (found["sha256"], path.name) == (receipt["sha256"], NAME)
    assert raw.verified(found, path, files.receipt(DAY)) == b"first"


def test_a_replaced_payload_is_stored_with_its_receipt(tmp_path: Path) -> None:
    """The same payload again is no replacement; another name leaves no second payload beside the receipt."""
    files = DayFiles(tmp_path, EQUITY)
    first = keep(files, b"first")
    keep(files, b"first")
    assert not (tmp_path / "raw" / "2024" / "restated").exists()
    keep(files, b"second", "another.csv.zip")
    folder = files.restated(DAY, first["sha256"])
    assert {path.name for path in folder.iterdir()} == {NAME, files.receipt(DAY).name}
    assert (folder / NAME).read_bytes() == b"first"
    assert not files.receipt(DAY).with_name(NAME).exists()


@pytest.mark.parametrize("name", ["a/b", "..", "", 7, None])
def test_a_receipt_with_a_damaged_name_is_replaced(tmp_path: Path, name: object) -> None:
    """A name may have become a path: nothing outside the folder is read, and the new payload is stored."""
    files = DayFiles(tmp_path, EQUITY)
    keep(files, b"first")
    path = files.receipt(DAY)
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"file": name}), encoding="utf-8")
    with pytest.raises(DamagedFile, match="the receipt of the fetched file cannot be read"):
        raw.payload_of(files, DAY)
    keep(files, b"second")
    assert raw.payload_of(files, DAY)[1].read_bytes() == b"second"


def test_a_changed_payload_is_damage(tmp_path: Path) -> None:
    """The error names the stored file and the receipt to delete."""
    files = DayFiles(tmp_path, EQUITY)
    keep(files, b"first")
    receipt, path = raw.payload_of(files, DAY)
    path.write_bytes(b"fIrst")
    with pytest.raises(DamagedFile, match=NAME) as caught:
        raw.verified(receipt, path, files.receipt(DAY))
    assert str(files.receipt(DAY)) in str(caught.value)
