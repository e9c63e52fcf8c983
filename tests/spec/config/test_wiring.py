"""The archive's name, one for every spelling of its location, and the warehouse's address, with a cluster's hosts."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from helpers import LEGACY_DAY, archive_path, build, payload, publish

from champion_luigi.base.errors import SettingsError
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import answers
from champion_luigi.pipeline.tasks import ScrapeBhavcopy
from champion_luigi.storage import raw

DAY = date(2024, 1, 15)
PATH = archive_path("legacy", LEGACY_DAY)


@pytest.fixture
def nse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files, with a link to it, in the home folder and the current one."""
    folder = tmp_path / "nse"
    publish(folder, LEGACY_DAY, "legacy", ["any"])
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return folder


FOLDERS = ("{}", "{}/", "{}//", "{}/../nse", "./nse", "nse", "~/nse", "link", "file://{}", "file://{}/", "FILE://{}")


@pytest.mark.parametrize("spelling", FOLDERS)
def test_a_folder_is_one_archive_however_it_is_spelled(nse: Path, spelling: str) -> None:
    """Its name is the path that remains without links."""
    assert wiring.real_location(spelling.format(nse)) == str(nse)
    assert wiring.open_archive(spelling.format(nse)).get(PATH, LEGACY_DAY)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("HTTPS://Archive.Example:443/", "https://archive.example"),
        ("https://archive.example", "https://archive.example"),
        ("http://archive.example:80/Mirror//", "http://archive.example/Mirror"),
        ("http://archive.example:8080", "http://archive.example:8080"),
        ("https://archive.example:80", "https://archive.example:80"),
        ("https://Reader:Hidden@archive.example/?token=hidden", "https://archive.example"),
        ("http://[::1]:80", "http://[::1]"),
        ("simulated:", "simulated:"),
        ("SIMULATED:/", "simulated:"),
        ("http://archive.example:port", "http://archive.example:port"),
        ("ftp://archive.example/", "ftp://archive.example"),
        ("~nobody-of-that-name/nse", "{cwd}/~nobody-of-that-name/nse"),
    ],
)
def test_a_server_is_one_archive_however_it_is_spelled(spelling: str, name: str) -> None:
    """Case of the host, usual port and last slash make no difference; path and other ports do."""
    assert wiring.real_location(spelling) == name.format(cwd=Path.cwd())


@pytest.mark.parametrize(("recorded", "configured"), [("./nse", "{}"), ("{}", "link"), ("file://{}", "~/nse/")])
def test_answers_that_were_recorded_under_another_spelling_go_on(
    nse: Path, recorded: str, configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions recorded what the user had typed. Of two spellings, the later answer counts."""
    ledger = wiring.files(EQUITY).answers
    answers.record(ledger, [answers.given(DAY, "closed", recorded.format(nse), "x")])
    answers.record(ledger, [answers.given(LEGACY_DAY, "closed", str(nse), "x")])
    answers.record(ledger, [answers.given(DAY, "closed", "/another", "x")])
    with ledger.open("a") as file:
        file.write('{"archive": 3}\n[]\ncut off\n')
    monkeypatch.setenv("NSE_ARCHIVE_URL", configured.format(nse))
    assert {day: found.verdict for day, found in wiring.ledger(EQUITY).answers.items()} == {
        DAY: "closed",
        LEGACY_DAY: "closed",
    }
    later = json.loads(ledger.read_text().splitlines()[0]) | {"archive": str(nse), "verdict": "session"}
    with ledger.open("a") as file:
        file.write(json.dumps(later | {"time": "2199-01-01T00:00:00.000+00:00"}) + "\n")
    assert wiring.ledger(EQUITY).answers[DAY].verdict == "session"


def test_a_receipt_names_the_archive_that_gave_the_file(nse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its real location."""
    (nse / PATH.lstrip("/")).write_bytes(payload(LEGACY_DAY, "legacy"))
    monkeypatch.setenv("NSE_ARCHIVE_URL", "link/")
    assert build(ScrapeBhavcopy(date=LEGACY_DAY)).is_done
    receipt, _ = raw.payload_of(wiring.files(EQUITY), LEGACY_DAY)
    assert receipt["archive"] == str(nse)


@pytest.mark.parametrize(("hosts", "rate"), [("", 3.0), ("1", 3.0), ("3", 1.0)])
def test_each_host_takes_its_share_of_the_rate(hosts: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The polite rate is for all hosts together; without a setting, this one has all of it."""
    monkeypatch.setenv("CHAMPION_HOSTS", hosts)
    assert wiring._limits()["requests_per_second"] == rate


# The warehouse


@pytest.mark.parametrize(
    ("written", "first", "others"),
    [
        ("a", ("a", 9000), ()),
        ("a:8124", ("a", 8124), ()),
        ("a, b:8124 ,c", ("a", 9000), (("b", 8124), ("c", 9000))),
        ("[::1]:8124,fe80::1%eth0", ("[::1]", 8124), (("fe80::1%eth0", 9000),)),
    ],
)
def test_the_hosts_of_a_cluster_have_a_port_each(
    monkeypatch: pytest.MonkeyPatch, written: str, first: tuple[str, int], others: tuple[tuple[str, int], ...]
) -> None:
    """CLICKHOUSE_PORT is the port of those that name none."""
    monkeypatch.setenv("CLICKHOUSE_HOST", written)
    monkeypatch.setenv("CLICKHOUSE_PORT", "9000")
    monkeypatch.setenv("CLICKHOUSE_CLUSTER", "site")
    place = wiring.warehouse_place()
    assert ((place.host, place.port), place.others, place.usual_port) == (first, others, 9000)


def test_a_cluster_is_one_warehouse_whichever_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its markers are those of cluster and database; a single server's name is what it was."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "a")
    alone = wiring.warehouse_place()
    assert alone.slug == "a_8123_champion_market"
    assert alone.identity(EQUITY) == {
        "host": "a",
        "port": 8123,
        "database": "champion_market",
        "table": "normalized_equity_ohlc",
    }
    monkeypatch.setenv("CLICKHOUSE_CLUSTER", "site")
    found = set()
    for hosts in ("a", "b", "b:8124,a"):
        monkeypatch.setenv("CLICKHOUSE_HOST", hosts)
        place = wiring.warehouse_place()
        found.add((place.slug, str(place.identity(EQUITY))))
    assert found == {
        (
            "cluster-site_champion_market",
            "{'cluster': 'site', 'database': 'champion_market', 'table': 'normalized_equity_ohlc'}",
        )
    }


def test_several_hosts_without_a_cluster_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would have the days that were loaded while it was the first to answer."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "a,b")
    for read in (wiring.warehouse_place, lambda: settings.require_usable(with_warehouse=True)):
        with pytest.raises(SettingsError, match="CLICKHOUSE_CLUSTER is empty") as caught:
            read()
        assert "system.clusters" in str(caught.value)


def test_a_cluster_without_hosts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded engine would be loaded in its place."""
    monkeypatch.setenv("CLICKHOUSE_CLUSTER", "site")
    with pytest.raises(SettingsError, match="CLICKHOUSE_HOST is empty"):
        wiring.warehouse_place()


@pytest.mark.parametrize(
    ("name", "host", "given", "days"),
    [
        ("equity", "", "", 12),
        ("equity", "clickhouse.example", "", 24),
        ("market_cap", "", "", 12),
        ("index_close", "", "", 60),
        ("corporate_actions", "clickhouse.example", "", 60),
        ("index_close", "", "5", 5),
    ],
)
def test_a_fills_groups_have_about_as_many_rows_whatever_the_data_set(
    name: str, host: str, given: str, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of few rows a day, more days, up to a limit; a setting decides for all."""
    monkeypatch.setenv("CLICKHOUSE_HOST", host)
    monkeypatch.setenv("CHAMPION_FILL_GROUP", given or "0")
    assert wiring.fill_group(DATASETS[name]) == days
