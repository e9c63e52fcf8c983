"""The kept lists of changed symbols: one a day, the same content once, and damage found."""

from __future__ import annotations

import json
from datetime import date

import pytest

from champion_luigi.base.errors import DamagedFile
from champion_luigi.base.places import Place
from champion_luigi.storage import symbol_changes
from champion_luigi.storage.paths import ListFiles

FRIDAY, SATURDAY, MONDAY = date(2026, 12, 31), date(2027, 1, 2), date(2027, 1, 4)
LIST, LONGER = b"Alpha,A,B,01-JAN-2020\n", b"Alpha,A,B,01-JAN-2020\nBeta,C,D,01-JAN-2027\n"


def test_a_list_is_kept_by_its_day(place: Place) -> None:
    """The file is as fetched, and the receipt beside it has its sha256, time and address."""
    symbol_changes.keep(ListFiles(place), FRIDAY, LIST, {"url": "https://example.org/symbolchange.csv"})
    folder = place / "raw/symbol_changes/2026"
    assert (folder / "symbolchange_20261231.csv").read_bytes() == LIST
    receipt = json.loads((folder / "symbolchange_20261231.json").read_bytes())
    assert {"date", "file", "content_date", "sha256", "bytes", "fetched_at", "url"} == receipt.keys()
    assert symbol_changes.newest_kept(ListFiles(place)) == (FRIDAY, folder / "symbolchange_20261231.csv")


def test_the_same_list_is_stored_once(place: Place) -> None:
    """Each day has a receipt; those of later days name the first one's file, until the list changes."""
    for day in (FRIDAY, SATURDAY):
        symbol_changes.keep(ListFiles(place), day, LIST, {})
    files = ListFiles(place)
    assert files.days() == [FRIDAY, SATURDAY]
    assert not files.content(SATURDAY).exists()
    assert symbol_changes.newest_kept(ListFiles(place)) == (SATURDAY, files.content(FRIDAY))
    symbol_changes.keep(ListFiles(place), MONDAY, LONGER, {})
    assert symbol_changes.newest_kept(ListFiles(place)) == (MONDAY, files.content(MONDAY))


def test_no_list_is_kept(place: Place) -> None:
    """A data folder may never have had one."""
    assert symbol_changes.newest_kept(ListFiles(place)) is None
    assert not symbol_changes.is_kept(ListFiles(place), FRIDAY)


def test_a_list_that_is_gone_is_not_the_newest(place: Place) -> None:
    """A receipt alone is no list: an earlier one is the newest, and the day is not kept."""
    symbol_changes.keep(ListFiles(place), FRIDAY, LIST, {})
    symbol_changes.keep(ListFiles(place), MONDAY, LONGER, {})
    files = ListFiles(place)
    files.content(MONDAY).unlink()
    assert symbol_changes.newest_kept(ListFiles(place)) == (FRIDAY, files.content(FRIDAY))
    assert not symbol_changes.is_kept(ListFiles(place), MONDAY)
    assert [each.day for each in symbol_changes.damaged(ListFiles(place))] == [MONDAY]


def test_damage_is_found_and_not_shared(place: Place) -> None:
    """A changed file is named with both digests, and a later day with the true content gets a file of its own."""
    symbol_changes.keep(ListFiles(place), FRIDAY, LIST, {})
    files = ListFiles(place)
    files.content(FRIDAY).write_bytes(LONGER)
    kept = symbol_changes.newest_kept(ListFiles(place))
    assert kept is not None
    with pytest.raises(DamagedFile, match=r"2026-12-31.*differs from what was fetched"):
        symbol_changes.content_of(ListFiles(place), kept)
    symbol_changes.keep(ListFiles(place), MONDAY, LIST, {})
    assert files.content(MONDAY).read_bytes() == LIST
    assert [each.day for each in symbol_changes.damaged(ListFiles(place))] == [FRIDAY]
