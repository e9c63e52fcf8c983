"""Where the files of a day are: the paths that version 0.1.0 had, and a level of its own for each other data set."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.model import Dataset
from champion_luigi.storage.paths import DayFiles

DAY = date(2024, 1, 15)
KINDS = ("raw", "parsed", "normalized", "rejects", "loaded/here")


def all_of(files: DayFiles, day: date = DAY) -> dict[str, Path]:
    """Each kind's file of a day."""
    return {
        "raw": files.receipt(day),
        "parsed": files.table("parsed", day),
        "normalized": files.table("normalized", day),
        "rejects": files.rejects(day),
        "loaded/here": files.marker("here", day),
    }


def test_equity_files_are_where_they_always_were(tmp_path: Path) -> None:
    """Whoever has a DATA_DIR of 0.1.0 goes on with it."""
    files = DayFiles(tmp_path, EQUITY)
    assert [str(path.relative_to(tmp_path)) for path in (*all_of(files).values(), files.lock(DAY))] == [
        "raw/2024/bhavcopy_20240115.json",
        "parsed/2024/bhavcopy_20240115.arrows",
        "normalized/2024/bhavcopy_20240115.arrows",
        "rejects/2024/bhavcopy_20240115.jsonl",
        "loaded/here/2024/bhavcopy_20240115.json",
        "locks/2024-01-15.lock",
    ]
    assert files.due == tmp_path / "due"
    assert files.answers == tmp_path / "ledger.jsonl"
    assert files.restated(DAY, "0123456789abcdef99") == tmp_path / "raw/2024/restated/20240115-0123456789abcdef"


def test_another_data_set_has_a_level_of_its_own(tmp_path: Path) -> None:
    """And a ledger of its own: 0.1.0 would take a line of another data set for equity's, and close the day."""
    files = DayFiles(tmp_path, INDEX_CLOSE)
    assert files.receipt(DAY) == tmp_path / "raw/index_close/2024/index_close_20240115.json"
    assert files.marker("here", DAY) == tmp_path / "loaded/here/index_close/2024/index_close_20240115.json"
    assert files.lock(DAY) == tmp_path / "locks/index_close/2024-01-15.lock"
    assert files.due == tmp_path / "due/index_close"
    assert files.answers == tmp_path / "ledger-index_close.jsonl"


def test_a_shared_payload_has_one_place_for_all_data_sets(tmp_path: Path) -> None:
    """Under the name that its sources give, by year; so have its lock and what replaced it."""
    for dataset in (EQUITY, INDEX_CLOSE):
        files = DayFiles(tmp_path, dataset)
        assert files.shared("pr", DAY) == tmp_path / "raw/shared/pr/2024"
        assert files.restated_shared("pr", DAY, "0123456789abcdef99") == (
            tmp_path / "raw/shared/pr/2024/restated/20240115-0123456789abcdef"
        )
        assert files.shared_lock("pr", DAY) == tmp_path / "locks/shared/pr/2024-01-15.lock"


@pytest.mark.parametrize("dataset", catalog.DATASETS.values(), ids=catalog.NAMES)
def test_a_path_is_read_back(tmp_path: Path, dataset: Dataset) -> None:
    """A name gives its day, and a listing finds what was written, within its range and of its year."""
    files = DayFiles(tmp_path, dataset)
    days = [date(2023, 12, 29), date(2024, 1, 1), DAY]
    for day in days:
        for path in all_of(files, day).values():
            assert files.day_of(path) == day
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for kind in KINDS:
        assert sorted(files.days(kind)) == days
        assert sorted(files.days(kind, date(2024, 1, 1), DAY)) == [date(2024, 1, 1)]
        assert files.years(kind) == [2023, 2024]
    assert files.markers_anywhere(DAY) == [files.marker("here", DAY)]


def test_only_a_day_of_the_data_set_is_listed(tmp_path: Path) -> None:
    """Leftovers, files of another data set, impossible dates, other years and other endings are passed over."""
    files = DayFiles(tmp_path, EQUITY)
    folder = files.receipt(DAY).parent
    folder.mkdir(parents=True)
    names = (
        ".tmp-bhavcopy_20240115.json-1-a",
        "index_close_20240115.json",
        "bhavcopy_20240230.json",
        "bhavcopy_20230115.json",
        "bhavcopy_20240115.txt",
        "bhavcopy_20240115.json.bak",
    )
    for name in names:
        (folder / name).touch()
    assert files.days("raw") == {}
    assert DayFiles(tmp_path / "nowhere", EQUITY).days("raw") == {}
