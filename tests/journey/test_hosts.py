"""Several hosts and one range: they share its days, or one of them is refused; no day's work is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import campaign
import pytest
import s3_server
from clickhouse_server import ClickHouseServer, unavailable
from helpers import archive_path, build, forget_settings, payload, published, wait_for
from luigi.rpc import RemoteScheduler
from luigid_server import luigid
from several_hosts import Host, scheduler_at, span
from simulated_server import SimulatedArchive

from champion_luigi.base import store
from champion_luigi.base.errors import Busy
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.pipeline.fill import FillBhavcopy
from champion_luigi.pipeline.tasks import ScrapeBhavcopy
from champion_luigi.storage import lake
from champion_luigi.storage.claims import Claims
from champion_luigi.tracking import journal
from champion_luigi.upkeep.refresh import refresh_day
from champion_luigi.warehouse.opened import open_warehouse

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


def test_a_limit_of_the_central_scheduler_holds_for_all_hosts(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a resource ``archive`` in its luigi.cfg, so many groups of days are fetched at a time, and all are.

    Luigi counts a group once its worker has reported it: two that ask in the same moment can get one each.
    """
    shared = {f"CHAMPION_{name}_DIR": str(tmp_path / "shared" / name.lower()) for name in ("RAW", "LAKE")}
    hosts = [Host(name, tmp_path / name, shared | {"CHAMPION_HOST": name}) for name in ("first", "second")]
    used: Counter[int] = Counter()
    with luigid(tmp_path / "luigid", "[resources]\narchive = 1\n") as port:
        for host in hosts:
            host.start("fill", *span(DAYS), "--of", "WriteParquet", *scheduler_at(port))
        scheduler: Any = RemoteScheduler(f"http://127.0.0.1:{port}")
        while any(host.process and host.process.poll() is None for host in hosts):
            used.update(each["num_used"] for each in scheduler.resource_list())
        scheduler.close()
    assert [host.end() for host in hosts] == [0, 0], "\n".join(host.output for host in hosts)
    assert used.keys() - {2} == {0, 1}, used
    assert used[2] < used[1] / 2, used
    requested_once(archive)


def test_a_day_that_another_host_has_is_left_alone(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a task and by a refresh, too: the error names the other host, and nothing is requested."""
    monkeypatch.setenv("CHAMPION_RAW_DIR", str(tmp_path / "raw"))
    monkeypatch.setenv("CHAMPION_LOCK_WAIT_SECONDS", "0")
    other = Claims(tmp_path / "raw" / "claims", "the other host", 60)
    assert other.take(f"equity/{DAYS[0]}")
    [error] = build(ScrapeBhavcopy(date=DAYS[0])).errors
    with pytest.raises(Busy) as refused:
        refresh_day(EQUITY, DAYS[0])
    for found in (error, refused.value):
        assert isinstance(found, Busy)
        assert "in use by another host" in str(found)
        assert "on the other host" in str(found)
    assert archive.requests == []
    other.give_back([f"equity/{DAYS[0]}"])
    assert build(ScrapeBhavcopy(date=DAYS[0])).is_done


# Hosts with a store in common


@dataclass
class Site:
    """What hosts have in common: the settings of store and warehouse, and perhaps a central scheduler."""

    settings: dict[str, str]
    server: ClickHouseServer
    port: int | None
    folder: Path
    days: list[date]
    hosts: list[Host] = field(default_factory=list)

    def host(self, name: str) -> Host:
        """A host with scratch and HOME of its own."""
        self.hosts.append(Host(name, self.folder / name, {"CHAMPION_HOST": name, **self.settings}))
        return self.hosts[-1]

    def start(self, host: Host) -> None:
        """Start the fill of the whole range."""
        host.start("fill", *span(self.days), *(scheduler_at(self.port) if self.port else ()))

    @property
    def told(self) -> str:
        return "\n".join(host.output for host in self.hosts)

    def loads(self) -> Counter[tuple[str, str]]:
        """How often each host has loaded each day, by the journals."""
        return Counter(
            (host.name, each["date"])
            for host in self.hosts
            for each in journal.read(host.data / "journal")
            if (each["event"], each.get("task")) == ("success", "LoadClickHouse")
        )

    def assert_exact(self) -> None:
        """Every day's rows are in the warehouse, once, and the lake has every day."""
        forget_settings()
        table = open_warehouse(wiring.warehouse_place())
        rows = {day: len(published(payload(day, "legacy"), "legacy")) for day in self.days}
        assert dict(table.rows_by_day(EQUITY)) == rows, self.told
        found = table.connection.query(
            f"SELECT trade_date, count(DISTINCT version) FROM {table.name_of(EQUITY)} GROUP BY trade_date"
        )
        assert {day: count for day, count in found if count != 1} == {}, self.told
        table.close()
        assert sorted(day for day, _ in lake.days(settings.lake_dir(), EQUITY)) == self.days

    def claims(self) -> list[str]:
        """The claims that the store has."""
        return [each.name for each in store.entries(settings.raw_dir() / "claims") if each.name != "store.json"]


RANGE_OF_HOSTS = sessions.sessions(date(2022, 6, 1), date(2023, 6, 12))[: 250 if campaign.IS_WHOLE else 36]


@pytest.fixture(params=["folder, luigid", "folder", "ceph, luigid", "ceph"])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: SimulatedArchive
) -> Iterator[Site]:
    """A ClickHouse server and a store, with and without luigid."""
    if reason := unavailable():
        pytest.skip(reason)
    shared = tmp_path / "shared"
    settings_ = {"CHAMPION_LAKE_DIR": str(shared / "lake"), "CHAMPION_RAW_DIR": str(shared / "raw")}
    if "ceph" in request.param:
        running: s3_server.Store = request.getfixturevalue("_running_store")
        address = running.address()
        settings_ = {"CHAMPION_LAKE_DIR": f"{address}/lake", "CHAMPION_RAW_DIR": f"{address}/raw"}
        settings_ |= running.environment
    port = request.getfixturevalue("port") if "luigid" in request.param else None
    with ClickHouseServer(tmp_path / "warehouse") as server:
        settings_ |= {
            "CLICKHOUSE_HOST": server.host,
            "CLICKHOUSE_PORT": str(server.port),
            "CLICKHOUSE_USER": server.user,
            "CLICKHOUSE_PASSWORD": server.password,
            "CHAMPION_CLAIM_SECONDS": "5",
        }
        for name, value in settings_.items():
            monkeypatch.setenv(name, value)
        yield Site(settings_, server, port, tmp_path, RANGE_OF_HOSTS)


def test_hosts_share_the_days_of_a_range(site: Site, archive: SimulatedArchive) -> None:
    """Each does a good part of it, each day is done once, and each ends when all of them are."""
    first, second = site.host("first"), site.host("second")
    for host in (first, second):
        site.start(host)
    assert [host.end() for host in (first, second)] == [0, 0], site.told
    assert Counter(each.path for each in archive.requests) == Counter(archive_path("legacy", day) for day in site.days)
    loads = site.loads()
    assert Counter(day for _, day in loads.elements()) == Counter(str(day) for day in site.days), site.told
    for host in (first, second):
        assert sum(count for (name, _), count in loads.items() if name == host.name) >= 0.3 * len(site.days), site.told
    site.assert_exact()
    assert site.claims() == [], site.told


def test_the_others_end_what_a_killed_host_began(site: Site, archive: SimulatedArchive) -> None:
    """After its claims have ended, its days are theirs, and the range ends whole."""
    first, second = site.host("first"), site.host("second")
    for host in (first, second):
        site.start(host)
    wait_for(lambda: len({name for name, _ in site.loads()}) == 2, "both to load days", lambda: site.told)
    first.kill()
    assert second.end() == 0, site.told
    asked = Counter(each.path for each in archive.requests)
    assert set(asked) == {archive_path("legacy", day) for day in site.days}
    assert max(asked.values()) <= 2, site.told
    site.assert_exact()
    # A third host finds everything done.
    third = site.host("third")
    site.start(third)
    assert third.end() == 0, site.told
    assert sum(count for (name, _), count in site.loads().items() if name == "third") == 0
    assert Counter(each.path for each in archive.requests) == asked
