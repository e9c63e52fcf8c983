"""A file that two data sets read: one request, one copy, and neither data set disturbs the other."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from helpers import build, champion_here, retry_at_once
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base import locks
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.model import DAY as DAY_TYPE
from champion_luigi.datasets.model import PRICE, TEXT, Column, Dataset
from champion_luigi.pipeline.tasks import ScrapeBhavcopy, WriteParquet
from champion_luigi.storage import lake, raw
from champion_luigi.upkeep import verify

pytestmark = pytest.mark.integration

DAY, NEXT = date(2024, 5, 2), date(2024, 5, 3)
SPAN = ("--start", str(DAY), "--stop", "2024-05-04")
OF_BOTH = [EQUITY.name, INDEX_CLOSE.name]

PRESS = next(source for source in EQUITY.sources if source.shared)
LAYOUTS = tuple(layout for layout in EQUITY.layouts if layout.source == PRESS.name)
SHARES = replace(EQUITY, sources=(PRESS,), layouts=LAYOUTS)
# Under the name of a data set that there is, because tasks know no other.
INDICES = Dataset(
    name=INDEX_CLOSE.name,
    title="indices of the press",
    view=INDEX_CLOSE.view,
    stem=INDEX_CLOSE.stem,
    folder=INDEX_CLOSE.folder,
    sources=(replace(PRESS, own={"MKT": ("Y",)}, others=({"MKT": ("N", "G", "O")}, {"MKT": ("",), "SYMBOL": ("",)})),),
    layouts=LAYOUTS,
    columns=(
        Column("trade_date", DAY_TYPE, "date, IST", "the trading day", required=True),
        Column("index_name", TEXT, "", "the index", "SECURITY", required=True),
        Column("close", PRICE, "points", "closing value", "CLOSE_PRICE", required=True),
        Column("layout", TEXT, "", "the source", required=True),
    ),
    key=("index_name",),
    sums=("close",),
    published_at=EQUITY.published_at,
)


@pytest.fixture(autouse=True)
def two_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two data sets that have the zip for the press as their only source."""
    for dataset in (SHARES, INDICES):
        monkeypatch.setitem(catalog.DATASETS, dataset.name, dataset)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """The simulated archive on loopback, the configured one."""
    retry_at_once(monkeypatch)
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


def both(day: date = DAY) -> list[WriteParquet]:
    """The last task of each data set that needs no warehouse."""
    return [WriteParquet(date=day, dataset=name) for name in OF_BOTH]


def rows(dataset: Dataset) -> pl.DataFrame:
    """A data set's rows in the lake."""
    return lake.scan(settings.lake_dir(), dataset=dataset).collect()


def payload(dataset: Dataset, day: date = DAY) -> tuple[str, bytes]:
    """The sha256 and the content that a data set's receipt describes."""
    files = wiring.files(dataset)
    receipt, path = raw.payload_of(files, day)
    return receipt["sha256"], raw.verified(receipt, path, files.receipt(day))


def differences() -> list[verify.Difference]:
    """What `verify` finds in both data sets."""
    return [each for dataset in (SHARES, INDICES) for each in verify.of_range(dataset).differences]


def test_a_file_is_requested_and_stored_once(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Each data set reads its own rows, in tasks of one run; the receipts say when it was really fetched."""
    assert build(*both()).is_done
    assert [request.path for request in archive.requests] == [PRESS.path_of(DAY)]
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("PR020524.zip")] == [
        Path("raw/shared/pr/2024/PR020524.zip")
    ]
    receipts = [wiring.files(dataset).receipt(DAY).read_bytes() for dataset in (SHARES, INDICES)]
    first, second = map(json.loads, receipts)
    assert [first[name] for name in ("sha256", "fetched_at", "validators", "url", "archive")] == [
        second[name] for name in ("sha256", "fetched_at", "validators", "url", "archive")
    ]
    assert "RELIANCE" not in rows(INDICES)["index_name"]
    assert rows(SHARES).height > rows(INDICES).height > 20
    assert differences() == []


def test_fills_of_two_data_sets_share_the_requests(archive: SimulatedArchive) -> None:
    """One after the other, in processes or runs of their own."""
    for name in OF_BOTH:
        filled = champion_here("fill", "--dataset", name, "--of", "WriteParquet", *SPAN)
        assert filled.returncode == 0, filled.stderr
    assert sorted(request.path for request in archive.requests) == [PRESS.path_of(day) for day in (DAY, NEXT)]


def test_data_sets_that_are_scraped_at_once_send_one_request(archive: SimulatedArchive) -> None:
    """The second waits for the first, and finds the file stored."""
    tasks = [ScrapeBhavcopy(date=DAY, dataset=name) for name in OF_BOTH]
    threads = [threading.Thread(target=task.run) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(task.complete() for task in tasks)
    assert len(archive.requests) == 1


def test_a_day_that_is_requested_again_is_fetched(archive: SimulatedArchive) -> None:
    """The stored file of the other data set is not what the redo is for."""
    assert build(*both()).is_done
    done = champion_here("redo", "--dataset", INDICES.name, "--date", str(DAY), "--from", "scrape", "--to", "write")
    assert done.returncode == 0, done.stderr
    assert len(archive.requests) == 2
    assert differences() == []


def test_a_restatement_of_one_data_set_leaves_the_other_as_it_is(archive: SimulatedArchive) -> None:
    """Its payload, receipt and lake file agree until it is refreshed as well."""
    assert build(*both()).is_done
    old = payload(INDICES)
    archive.faults[DAY] = Fault("restated")
    for refreshed, is_as_before in ((SHARES, True), (INDICES, False)):
        done = champion_here("refresh", "--dataset", refreshed.name, "--days", "1", "--json")
        assert json.loads(done.stdout)["failed"] == []
        assert (payload(INDICES) == old) is is_as_before
        assert differences() == []
        assert build(WriteParquet(date=DAY, dataset=INDICES.name)).is_done
        from_parse = ("--date", str(DAY), "--from", "parse", "--to", "write")
        redone = champion_here("redo", "--dataset", INDICES.name, *from_parse)
        assert redone.returncode == 0, redone.stderr
    assert payload(SHARES) == payload(INDICES) != old


def test_a_damaged_shared_file_is_repaired_for_all(archive: SimulatedArchive) -> None:
    """It is a difference of each data set; the first repair mends it for the second."""
    assert build(*both()).is_done
    path = raw.payload_of(wiring.files(SHARES), DAY)[1]
    path.write_bytes(b"damaged")
    assert [each.what for each in differences()] == ["sha256 of the payload"] * 2
    assert champion_here("verify", "--dataset", INDICES.name, "--repair").returncode == 0
    assert differences() == []


def test_a_damaged_file_of_another_data_set_is_not_used(archive: SimulatedArchive) -> None:
    """The archive is asked."""
    first, second = both()
    assert build(first).is_done
    raw.payload_of(wiring.files(SHARES), DAY)[1].write_bytes(b"damaged")
    assert build(second).is_done
    assert len(archive.requests) == 2
    assert differences() == []


def test_a_stored_file_without_the_other_data_sets_part_is_requested_again(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive may have a whole one by now; if not, the day fails with the reason."""
    lacking = replace(INDICES.sources[0], members=("Xx{day:%d%m%y}.csv",))
    monkeypatch.setitem(catalog.DATASETS, INDICES.name, replace(INDICES, sources=(lacking,)))
    first, second = both()
    assert build(first).is_done
    built = build(second)
    assert not built.is_done
    assert "Xx020524.csv" in str(built.errors[0])
    assert len(archive.requests) == 2


def test_locks_of_shared_files_are_cleaned(tmp_path: Path) -> None:
    """As those of days are: only where no process holds them."""
    lock = wiring.files(SHARES).shared_lock("pr", DAY)
    with locks.locked(lock, "the file", 0):
        assert json.loads(champion_here("clean", "--json").stdout)["removed"] == []
    lock.touch()
    assert champion_here("clean").returncode == 0
    assert not lock.exists()
