"""What holds for every data set of the catalog: the five tasks, and each command around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import build, champion_here, retry_at_once
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base.errors import UnknownLayout
from champion_luigi.base.stages import STAGES
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.parsing import lines, normalize, payload
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.simulated import exchange
from champion_luigi.storage import lake
from champion_luigi.tracking import journal, record
from champion_luigi.tracking.runs import Runs
from champion_luigi.warehouse import opened

every_data_set = pytest.mark.parametrize("dataset", catalog.DATASETS.values(), ids=catalog.NAMES)
DAYS = [date(2024, 7, 8), date(2024, 7, 9), date(2024, 7, 10)]
DAY = DAYS[1]
SPAN = ("--start", "2024-07-08", "--end", "2024-07-10")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """The simulated archive on loopback, the configured one."""
    retry_at_once(monkeypatch)
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running
    opened.close_shared()


def published(dataset: Dataset, day: date = DAY) -> bytes:
    """A day's file from the source that is official for it."""
    content = exchange.payload(day, dataset.sources_of(day)[0].name, dataset)
    assert content is not None
    return content


def normalized(dataset: Dataset, day: date = DAY) -> normalize.Normalized:
    """A day in canonical columns, without any task."""
    recognised = payload.recognise(published(dataset, day), dataset, day, format=dataset.sources_of(day)[0].name)
    return normalize.normalize(lines.parse(recognised), dataset, recognised.layout.source, day)


def fill(dataset: Dataset) -> None:
    """Complete the three days."""
    done = champion_here("fill", "--dataset", dataset.name, "--start", "2024-07-08", "--stop", "2024-07-11")
    assert done.returncode == 0, done.stderr


def asked(*arguments: str, code: int = 0) -> dict[str, Any]:
    """What a command says as JSON, with this exit code."""
    done = champion_here(*arguments, "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def visible(dataset: Dataset) -> pl.DataFrame:
    """All rows of the data set's view, in the order of the lake."""
    table = opened.shared(wiring.warehouse_place())
    try:
        columns = ", ".join(dataset.names)
        order = ", ".join(("trade_date", *dataset.key))
        rows = table.query(f"SELECT {columns} FROM champion_market.{dataset.view} ORDER BY {order}")
    finally:
        opened.close_shared()
    return pl.DataFrame(rows, schema=dataset.types, orient="row")


# Files


@every_data_set
def test_a_simulated_day_is_normalized_whole(dataset: Dataset) -> None:
    """No row is rejected, and each has the declared columns and types."""
    found = normalized(dataset)
    assert found.rejects == []
    assert found.rows.height > 100
    assert found.rows.schema == pl.Schema(dataset.types)
    assert tuple(found.warnings) == dataset.warning_names


@every_data_set
@pytest.mark.parametrize("change", ["one column too many", "one column too few"])
def test_another_header_is_refused(dataset: Dataset, change: str) -> None:
    """The message names the data set's module, where the new layout belongs."""
    recognised = payload.recognise(published(dataset), dataset, DAY, format=dataset.sources_of(DAY)[0].name)
    names = [*recognised.header, "New"] if change == "one column too many" else recognised.header[:-1]
    with pytest.raises(UnknownLayout, match=rf"datasets/{dataset.name}\.py"):
        payload.recognise("\n".join([",".join(names), *recognised.lines]).encode(), dataset, DAY)


@every_data_set
def test_the_rows_of_the_sums_are_added_up(dataset: Dataset) -> None:
    """A sum over nothing but nulls could not tell two loads from each other."""
    sums = normalized(dataset).rows.select(pl.col(dataset.sums).sum()).row(0)
    assert all(sums)


# Tasks


@pytest.mark.integration
@every_data_set
def test_a_day_goes_through_the_five_tasks(archive: SimulatedArchive, dataset: Dataset) -> None:
    """The lake and the view hold the normalized rows; the archive was asked once."""
    task = LoadClickHouse(date=DAY, dataset=dataset.name)
    assert build(task).is_done
    expected = lake.sorted_by_key(normalized(dataset).rows, dataset)
    assert lake.scan(settings.lake_dir(), dataset=dataset.name).collect().equals(expected)
    assert visible(dataset).equals(expected)
    assert [request.path for request in archive.requests] == [dataset.sources_of(DAY)[0].path_of(DAY)]


@pytest.mark.integration
def test_data_sets_share_a_day_and_disturb_nothing(archive: SimulatedArchive) -> None:
    """Each has its own outputs, lock, ledger, table and view for the same date; its example query finds the day."""
    every = list(catalog.DATASETS.values())
    tasks = [LoadClickHouse(date=DAY, dataset=dataset.name) for dataset in every]
    assert build(*tasks).is_done
    assert len({task.output().path for task in tasks}) == len(every)
    assert len({wiring.files(dataset).lock(DAY) for dataset in every}) == len(every)
    for dataset in every:
        assert visible(dataset).equals(lake.sorted_by_key(normalized(dataset).rows, dataset))
        query = dataset.example.format(view=f"champion_market.{dataset.view}", day=DAY)
        [[text]] = opened.shared(wiring.warehouse_place()).query(query)
        assert isinstance(text, str)
        assert text
    opened.close_shared()


@pytest.mark.integration
@every_data_set
def test_a_day_is_a_run_of_its_own(archive: SimulatedArchive, dataset: Dataset) -> None:
    """MLflow's run has the data set's name, its counts, and the day; equity's is named as ever."""
    with record.execution():
        assert build(LoadClickHouse(date=DAY, dataset=dataset.name)).is_done
    runs = Runs()
    for position, entry in journal.read_from(record.journal_folder(), {}):
        runs.add(position, entry)
    [run] = [each for each in runs.tell(gone=()) if each.params.get("trade_date") == str(DAY)]
    assert run.name == f"{dataset.stem}-etl-{DAY}"
    assert run.params.get("dataset") == (None if dataset.name == "equity" else dataset.name)
    assert run.params["clickhouse_table"] == f"champion_market.{dataset.table}"
    counts = {metric.name: metric.value for metric in run.metrics}
    assert counts["rows_loaded"] == counts["normalized_rows"] == normalized(dataset).rows.height


# Commands


@pytest.mark.integration
@every_data_set
def test_commands_know_the_data_set(archive: SimulatedArchive, tmp_path: Path, dataset: Dataset) -> None:
    """A filled range is loaded, agrees, is left alone by a second fill, and is made again by redo."""
    of = ("--dataset", dataset.name)
    assert [
        each["date"]
        for each in asked("fill", *of, "--dry-run", "--start", "2024-07-08", "--stop", "2024-07-11", code=20)["due"]
    ] == list(map(str, DAYS))
    fill(dataset)
    requests = len(archive.requests)
    fill(dataset)
    assert len(archive.requests) == requests == len(DAYS)

    found = asked("status", *of, *SPAN)
    rows = sum(normalized(dataset, day).rows.height for day in DAYS)
    assert (found["due"], found["loaded"], found["rows"]) == (3, 3, rows)
    assert asked("verify", *of)["differences"] == []

    redone = asked("redo", *of, "--date", str(DAY), "--from", "parse")
    assert [(each["stage"]) for each in redone["days"][0]["runs"]] == list(STAGES[1:])
    assert redone["days"][0]["outcome"] == "done"
    assert visible(dataset).height == rows

    assert champion_here("report", *of, "--output", str(tmp_path / "page.html")).returncode == 0
    assert dataset.title.capitalize() in (tmp_path / "page.html").read_text(encoding="utf-8")
    removed = {Path(each["path"]).parent.parent for each in asked("clean", "--intermediates")["removed"]}
    assert removed == {wiring.files(dataset).folder(kind).absolute() for kind in ("parsed", "normalized")}
    assert asked("verify", *of)["differences"] == []


@pytest.mark.integration
@every_data_set
def test_a_restated_day_replaces_the_old_one(archive: SimulatedArchive, dataset: Dataset) -> None:
    """Fewer rows and other values: lake and warehouse hold the new day, and the old payload is stored."""
    fill(dataset)
    before = visible(dataset)
    archive.faults[DAY] = Fault("restated")
    changed = asked("refresh", "--dataset", dataset.name, "--days", "3")["changed"]
    assert [each["date"] for each in changed] == [str(DAY)]
    after = visible(dataset)
    assert after.height == before.height - changed[0]["rows_removed"] < before.height
    assert asked("verify", "--dataset", dataset.name)["differences"] == []
    assert wiring.files(dataset).restated(DAY, changed[0]["old_sha256"]).is_dir()


@pytest.mark.integration
@every_data_set
def test_a_damaged_lake_file_is_found_and_repaired(archive: SimulatedArchive, dataset: Dataset) -> None:
    """`verify` names the day, and --repair makes it again from the stored payload."""
    fill(dataset)
    path = lake.partition(settings.lake_dir(), DAY, dataset)
    rows, metadata = lake.read_parquet(path, dataset)
    path.write_bytes(lake.parquet_bytes(rows.head(rows.height - 1), metadata))
    found = asked("verify", "--dataset", dataset.name, code=30)["differences"]
    assert {each["date"] for each in found} == {str(DAY)}
    assert asked("verify", "--dataset", dataset.name, "--repair")["left"] == []
    assert len(archive.requests) == len(DAYS)
