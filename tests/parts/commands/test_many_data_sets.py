"""Commands for several data sets at once: the names, the results of each, the highest exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from helpers import champion_here, retry_at_once
from simulated_server import Fault, SimulatedArchive

from champion_luigi.config import wiring
from champion_luigi.datasets import catalog
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.warehouse import opened

DAY = date(2024, 7, 9)
RANGE = ("--start", "2024-07-08", "--stop", "2024-07-11")
NAMES = ",".join(catalog.NAMES)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """The simulated archive on loopback, the configured one."""
    retry_at_once(monkeypatch)
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running
    opened.close_shared()


def asked(*arguments: str, code: int = 0) -> dict[str, Any]:
    """What a command says as JSON, by data set, with this exit code."""
    done = champion_here(*arguments, "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize(
    "arguments",
    [
        ["--dataset", "all"],
        ["--dataset", NAMES],
        ["--dataset", f" {NAMES.replace(',', ' , ')}"],
        [each for name in reversed(catalog.NAMES) for each in ("--dataset", name)],
        ["--dataset", f"all,{catalog.DEFAULT}"],
    ],
    ids=["all", "a list", "a list with blanks", "repeated", "all and one of them"],
)
def test_data_sets_are_named_in_several_ways(arguments: list[str]) -> None:
    """Each counts once, in the order of the catalog."""
    assert list(asked("status", *arguments, "--start", "2024-07-08", "--end", "2024-07-10", code=20)) == [
        *catalog.NAMES
    ]


@pytest.mark.parametrize("command", ["status", "report", "verify", "clean", "fill"])
@pytest.mark.parametrize("name", ["nonsense", f"{catalog.DEFAULT},nonsense", ""])
def test_an_unknown_name_is_refused(command: str, name: str) -> None:
    """The message lists the names that there are."""
    done = champion_here(command, "--dataset", name)
    assert done.returncode == 2
    assert f"is not one of {', '.join(catalog.NAMES)} or all" in done.stderr


def test_one_data_set_has_the_document_that_it_always_had() -> None:
    """Programs read it."""
    range_of = ("--start", "2024-07-08", "--end", "2024-07-10")
    for arguments in ((), ("--dataset", catalog.DEFAULT)):
        assert asked("status", *arguments, *range_of, code=20)["due"] == 3


def test_the_status_of_several_names_what_they_share_once() -> None:
    """Warehouse, lake and archive are the same for all, and stand at the end."""
    done = champion_here("status", "--dataset", "all", "--start", "2024-07-08", "--end", "2024-07-10")
    headings = [line for line in done.stdout.splitlines() if line.endswith(":") and " " not in line]
    assert headings == [*(f"{name}:" for name in catalog.NAMES), "all:"]
    for shared in ("warehouse ", "lake  ", "archive ", "unsent records "):
        assert done.stdout.count(f"\n{shared}") == 1


@pytest.mark.integration
def test_one_command_fills_every_data_set(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a summary of each, one engine, and one request a file; every command then finds them complete."""
    connections = []
    connect = opened.open_warehouse

    def counted(*given: Any) -> Any:
        connections.append(given)
        return connect(*given)

    monkeypatch.setattr(opened, "open_warehouse", counted)
    plan = asked("fill", "--dataset", "all", "--dry-run", *RANGE, code=20)
    assert {name: len(found["due"]) for name, found in plan.items()} == dict.fromkeys(catalog.NAMES, 3)
    done = champion_here("fill", "--dataset", "all", *RANGE)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.rstrip(":") in catalog.NAMES] == [f"{name}:" for name in catalog.NAMES]
    assert sum("3 of 3 days" in line and "FillBhavcopy" not in line for line in lines) == len(catalog.NAMES)
    assert len(connections) == 1
    paths = [request.path for request in archive.requests]
    assert len(set(paths)) == len(paths)

    assert all(found["differences"] == [] for found in asked("verify", "--dataset", "all").values())
    assert all(found["loaded"] == 3 for found in asked("status", "--dataset", "all", "--end", "2024-07-10").values())
    refreshed = asked("refresh", "--dataset", "all", "--days", "1")
    assert [found["unchanged"] for found in refreshed.values()] == [1] * len(catalog.NAMES)
    redone = asked("redo", "--dataset", "all", "--date", str(DAY), "--from", "write")
    assert {name: found["days"][0]["outcome"] for name, found in redone.items()} == dict.fromkeys(catalog.NAMES, "done")
    page = tmp_path / "page.html"
    assert champion_here("report", "--dataset", "all", "--output", str(page), "--end", "2024-07-10").returncode == 0
    assert sorted(path.name for path in tmp_path.glob("*.html")) == sorted(
        f"page-{name}.html" for name in catalog.NAMES
    )


@pytest.mark.integration
def test_the_highest_exit_code_counts(archive: SimulatedArchive) -> None:
    """A data set that fails does not keep the next one from being filled."""
    first, *others = catalog.DATASETS.values()
    archive.faults[DAY] = Fault("wrong_header", times=len(first.sources_of(DAY)))
    done = champion_here("fill", "--dataset", "all", "--start", str(DAY), "--stop", "2024-07-10")
    assert done.returncode == 30
    assert not LoadClickHouse(date=DAY, dataset=first.name).complete()
    archive.faults.clear()
    assert champion_here("fill", "--dataset", "all", "--start", str(DAY), "--stop", "2024-07-10").returncode == 0
    assert all(LoadClickHouse(date=DAY, dataset=each.name).complete() for each in others)


@pytest.mark.integration
def test_an_error_of_one_data_set_does_not_stop_the_others(archive: SimulatedArchive) -> None:
    """A table by a newer version, say: the error is printed, and counts for the exit code."""
    first, *others = catalog.DATASETS.values()
    assert champion_here("fill", "--start", str(DAY), "--stop", "2024-07-10").returncode == 0
    marker = LoadClickHouse(date=DAY).output()
    marker.dump((marker.load() or {}) | {"schema_version": first.version + 1})
    range_of = ("--start", str(DAY), "--end", str(DAY))
    found = asked("status", "--dataset", "all", *range_of, code=40)
    assert "newer champion_luigi" in str(found[first.name]["error"])
    assert [found[each.name]["due"] for each in others] == [1] * len(others)


@pytest.mark.integration
def test_an_archive_that_refuses_is_left_alone_by_every_data_set(archive: SimulatedArchive) -> None:
    """The other fills do not begin, and say why."""
    archive.faults[DAY] = Fault("rate_limited")
    done = champion_here("fill", "--dataset", "all", "--start", str(DAY), "--stop", "2024-07-10")
    assert done.returncode == 30
    assert done.stderr.count("The fill did not begin: the archive refuses") == len(catalog.NAMES) - 1
    first = next(iter(catalog.DATASETS.values()))
    assert {request.path for request in archive.requests} == {first.sources_of(DAY)[0].path_of(DAY)}


@pytest.mark.integration
def test_intermediates_of_a_data_set_are_cleaned_alone(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the option, those of all are."""
    monkeypatch.setenv("CHAMPION_KEEP_INTERMEDIATES", "true")
    assert champion_here("fill", "--dataset", "all", "--start", str(DAY), "--stop", "2024-07-10").returncode == 0
    first, *others = catalog.DATASETS.values()
    assert champion_here("clean", "--intermediates", "--dataset", first.name).returncode == 0
    assert not wiring.files(first).table("parsed", DAY).exists()
    assert all(wiring.files(each).table("parsed", DAY).exists() for each in others)
    assert champion_here("clean", "--intermediates").returncode == 0
    assert not any(wiring.files(each).table("parsed", DAY).exists() for each in others)
