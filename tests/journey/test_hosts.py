"""Several hosts and one range: they share its days, or one of them is refused; no day's work is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from helpers import archive_path, wait_for
from luigid_server import luigid
from several_hosts import Host, scheduler_at, span
from simulated_server import SimulatedArchive

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.pipeline.fill import FillBhavcopy
from champion_luigi.storage import lake
from champion_luigi.tracking import journal

pytestmark = pytest.mark.integration

DAYS = sessions.sessions(date(2023, 6, 12), date(2023, 6, 24))


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """Slow enough for each host to meet the others at work."""
    with SimulatedArchive(latency=1) as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


@pytest.fixture
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with luigid(tmp_path_factory.mktemp("luigid"), "[scheduler]\nworker_disconnect_delay = 10\n") as port:
        yield port


def requested_once(archive: SimulatedArchive) -> None:
    """One request for each file, and none for another."""
    asked = Counter(each.path for each in archive.requests)
    assert asked == Counter(archive_path("legacy", day) for day in DAYS)


def test_hosts_with_a_shared_folder_end_with_the_whole_range(
    archive: SimulatedArchive, port: int, tmp_path: Path
) -> None:
    """Each host has a fill of its own at the central scheduler, and waits for the days of the other."""
    shared = {"DATA_DIR": str(tmp_path / "shared"), "CHAMPION_FILL_GROUP": "2"}
    hosts = [Host(name, tmp_path / name, shared | {"CHAMPION_HOST": name}) for name in ("first", "second")]
    for host in hosts:
        host.settings["CHAMPION_LOCAL_DIR"] = str(host.folder / "own")
        host.start("fill", *span(DAYS), "--of", "WriteParquet", *scheduler_at(port))
    codes = [host.end() for host in hosts]
    told = "\n".join(host.output for host in hosts)
    assert codes == [0, 0], told
    requested_once(archive)
    assert sorted(day for day, _ in lake.days(tmp_path / "shared" / "lake", EQUITY)) == DAYS
    assert sum(host.days_done for host in hosts) == len(DAYS), told
    for host in hosts:
        # Each has a journal of its own, whole.
        assert "fill_end" in {each["event"] for each in journal.read(tmp_path / host.name / "own" / "journal")}
    assert not (tmp_path / "shared" / "journal").exists()


@pytest.mark.parametrize("given", ["another range", "the same range", "the same range, named"])
def test_hosts_that_share_nothing_are_refused(archive: SimulatedArchive, port: int, tmp_path: Path, given: str) -> None:
    """The central scheduler hands out a day's stage once: the second host would end with half of the days, or none."""
    # Few days at a time, so that the first host is still at work when the second one begins.
    first, second = (Host(name, tmp_path / name, {"CHAMPION_FILL_GROUP": "1"}) for name in ("first", "second"))
    if "named" in given:
        for host in (first, second):
            host.settings["CHAMPION_HOST"] = host.name
    days = DAYS if "same" in given else DAYS[1:]
    first.start("fill", *span(DAYS), "--of", "WriteParquet", *scheduler_at(port))
    wait_for(lambda: len(archive.requests) > 0, "the first host to begin", lambda: first.output)
    code = second.run("fill", *span(days), "--of", "WriteParquet", *scheduler_at(port))
    if given == "the same range":
        assert code == 20, second.output
        assert "set CHAMPION_HOST, so that each has its own" in " ".join(second.output.split())
    else:
        assert code == 30, second.output
        assert "another host fills the same days into another place" in " ".join(second.output.split())
    assert not (second.data / "raw").exists()
    assert first.end() == 0, first.output
    requested_once(archive)
    if given == "the same range":
        return  # the scheduler takes the same task again ten seconds later
    # Once the first host has ended, the second one may fill its own folder.
    assert second.run("fill", *span(days), "--of", "WriteParquet", *scheduler_at(port)) == 0, second.output


def test_a_fill_has_the_host_in_its_id_only_where_hosts_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one machine, the id is the one that it had before."""
    given: dict[str, Any] = {"start": DAYS[0], "stop": DAYS[-1]}
    alone = FillBhavcopy(**given)
    assert alone.task_id == "FillBhavcopy_equity_100_0_e1891208c7"
    assert "host" not in alone.to_str_params()
    monkeypatch.setenv("CHAMPION_HOST", "first")
    first, second = FillBhavcopy(**given), FillBhavcopy(**given, host="second")
    assert len({alone.task_id, first.task_id, second.task_id}) == 3
