"""The central scheduler's own page during a fill, in a real browser."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import browser
import pytest
from helpers import wait_for
from luigid_server import luigid, task_list
from mlflow_server import MlflowServer, kill_carriers
from simulated_server import Fault, SimulatedArchive

from champion_luigi.exchange import sessions

pytestmark = [
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

DAYS = sessions.sessions(date(2023, 6, 1), date(2023, 6, 10))
# The numbers in the boxes on top of the page, by what stands above them.
COUNTS = """Object.fromEntries([...document.querySelectorAll(".info-box")].map(
    box => ["text", "number"].map(part => box.querySelector(".info-box-" + part).innerText)))"""
FAMILIES = ("ScrapeBhavcopy", "ParseBhavcopy", "NormalizeBhavcopy", "WriteParquet", "LoadClickHouse")


@pytest.fixture
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with luigid(tmp_path_factory.mktemp("luigid")) as port:
        yield port


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.mark.skipif(browser.find() is None, reason="there is no Chromium here")
def test_the_visualiser_shows_the_five_families_during_a_fill(
    tmp_path: Path, central: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with all its days, in their states: done, failed, and what waits for the failed one."""
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "0")
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    with SimulatedArchive() as archive:
        monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url)
        archive.faults[DAYS[0]] = Fault("html")
        archive.faults[DAYS[-1]] = Fault("hanging")
        process = start_fill(central)
        try:
            done = len(DAYS) - 2
            wait_for(lambda: states(central).count("DONE") >= 5 * done, "all but two days to be done")
            with browser.running() as page:
                page.open(f"http://127.0.0.1:{central}/static/visualiser/index.html")
                wait_for(lambda: "LoadClickHouse" in page.evaluate("document.body.innerText"), "the page to be drawn")
                text = page.evaluate("document.body.innerText")
                counts = page.evaluate(COUNTS)
        finally:
            archive.faults.clear()
            process.terminate()
            process.wait(60)
    for family in FAMILIES:
        assert family in text
    assert int(counts["DONE TASKS"]) >= 5 * done
    assert counts["FAILED TASKS"] == "1"
    assert counts["UPSTREAM FAILURE"] == "4"
    assert int(counts["RUNNING TASKS"]) >= 1


def test_each_task_links_to_its_runs_in_mlflow(
    tmp_path: Path, central: int, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the server's experiment is known, as from the second command on; the link has no password in it."""
    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    address = server.url.replace("//", "//reader:planted-4711@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert start_fill(central, "--task-limit", "1").wait(120) == 20
    # The link is there from the beginning: nobody waits for what the second one has to tell.
    monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "0")
    assert start_fill(central, "--task-limit", "1").wait(120) == 20
    kill_carriers(tmp_path)
    links = {task["display_name"]: task["tracking_url"] or "" for task in task_list(central)}
    for family in FAMILIES:
        link = links[f"{family}(dataset=equity, date={DAYS[1]})"]
        assert link.startswith(f"{server.url}/#/experiments/")
        assert f"bhavcopy-etl-{DAYS[1]}" in link
    assert "planted-4711" not in str(task_list(central))


def test_a_task_of_a_long_fill_links_to_the_fills_run(
    tmp_path: Path, central: int, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the day is, as a step: it has no run of its own."""
    monkeypatch.setenv("CHAMPION_TRACKING", "on")
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    monkeypatch.setenv("CHAMPION_FILL_DAY_RUNS", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    assert start_fill(central, "--task-limit", "1").wait(120) == 20
    assert start_fill(central, "--task-limit", "1").wait(120) == 20
    kill_carriers(tmp_path)
    links = {task["display_name"]: task["tracking_url"] or "" for task in task_list(central)}
    for family in FAMILIES:
        link = links[f"{family}(dataset=equity, date={DAYS[1]})"]
        assert link.startswith(f"{server.url}/#/experiments/")
        assert f"bhavcopy-fill-{DAYS[0]}-{DAYS[-1]}" in link


def test_prometheus_can_read_what_the_tasks_did(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting that luigi.cfg shows, and its library."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    folder = tmp_path_factory.mktemp("luigid")
    with luigid(folder, "[scheduler]\nmetrics_collector = prometheus\n") as port:
        assert start_fill(port, "--of", "WriteParquet").wait(120) == 0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
    for family in FAMILIES[:4]:
        assert f'luigi_task_done_total{{family="{family}"}} {len(DAYS)}.0' in lines


def states(port: int) -> list[str]:
    return [task["status"] for task in task_list(port) if task["name"] in FAMILIES]


def start_fill(port: int, *more: str) -> subprocess.Popen[bytes]:
    """A fill of a week through the central scheduler."""
    program = Path(sys.executable).with_name("champion")
    span = ["--start", str(DAYS[0]), "--stop", "2023-06-10", "--scheduler-host", "127.0.0.1"]
    return subprocess.Popen([program, "fill", *span, "--scheduler-port", str(port), *more])
