"""The kept lists of changed symbols: one a day, the same content once, and damage found."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from champion_luigi.base.errors import DamagedFile
from champion_luigi.storage import symbol_changes
from champion_luigi.storage.paths import ListFiles

FRIDAY, SATURDAY, MONDAY = date(2026, 12, 31), date(2027, 1, 2), date(2027, 1, 4)
LIST, LONGER = b"Alpha,A,B,01-JAN-2020\n", b"Alpha,A,B,01-JAN-2020\nBeta,C,D,01-JAN-2027\n"


def test_a_list_is_kept_by_its_day(tmp_path: Path) -> None:
    """The file is as fetched, and the receipt beside it has its sha256, time and address."""
    symbol_changes.keep(tmp_path, FRIDAY, LIST, {"url": "https://example.org/symbolchange.csv"})
    folder = tmp_path / "raw/symbol_changes/2026"
    assert (folder / "symbolchange_20261231.csv").read_bytes() == LIST
    receipt = json.loads((folder / "symbolchange_20261231.json").read_bytes())
    assert {"date", "file", "content_date", "sha256", "bytes", "fetched_at", "url"} == receipt.keys()
    assert symbol_changes.newest_kept(tmp_path) == (FRIDAY, folder / "symbolchange_20261231.csv")


def test_the_same_list_is_stored_once(tmp_path: Path) -> None:
    """Each day has a receipt; those of later days name the first one's file, until the list changes."""
    for day in (FRIDAY, SATURDAY):
        symbol_changes.keep(tmp_path, day, LIST, {})
    files = ListFiles(tmp_path)
    assert files.days() == [FRIDAY, SATURDAY]
    assert not files.content(SATURDAY).exists()
    assert symbol_changes.newest_kept(tmp_path) == (SATURDAY, files.content(FRIDAY))
    symbol_changes.keep(tmp_path, MONDAY, LONGER, {})
    assert symbol_changes.newest_kept(tmp_path) == (MONDAY, files.content(MONDAY))


def test_no_list_is_kept(tmp_path: Path) -> None:
    """A data folder may never have had one."""
    assert symbol_changes.newest_kept(tmp_path) is None
    assert not symbol_changes.is_kept(tmp_path, FRIDAY)


def test_a_list_that_is_gone_is_not_the_newest(tmp_path: Path) -> None:
    """A receipt alone is no list: an earlier one is the newest, and the day is not kept."""
    symbol_changes.keep(tmp_path, FRIDAY, LIST, {})
    symbol_changes.keep(tmp_path, MONDAY, LONGER, {})
    files = ListFiles(tmp_path)
    files.content(MONDAY).unlink()
    assert symbol_changes.newest_kept(tmp_path) == (FRIDAY, files.content(FRIDAY))
    assert not symbol_changes.is_kept(tmp_path, MONDAY)
    assert [each.day for each in symbol_changes.damaged(tmp_path)] == [MONDAY]


def test_damage_is_found_and_not_shared(tmp_path: Path) -> None:
    """A changed file is named with both digests, and a later day with the true content gets a file of its own."""
    symbol_changes.keep(tmp_path, FRIDAY, LIST, {})
    files = ListFiles(tmp_path)
    files.content(FRIDAY).write_bytes(LONGER)
    kept = symbol_changes.newest_kept(tmp_path)
    assert kept is not None
    with pytest.raises(DamagedFile, match=r"2026-12-31.*differs from what was fetched"):
        symbol_changes.content_of(tmp_path, kept)
    symbol_changes.keep(tmp_path, MONDAY, LIST, {})
    assert files.content(MONDAY).read_bytes() == LIST
    assert [each.day for each in symbol_changes.damaged(tmp_path)] == [FRIDAY]
