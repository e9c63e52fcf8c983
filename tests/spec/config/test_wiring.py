"""The archive's name: one for every spelling of its location, in the ledger, in receipts and for people."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from helpers import LEGACY_DAY, archive_path, build, payload, publish

from champion_luigi.config import wiring
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
def test_each_machine_takes_its_share_of_the_rate(hosts: str, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The polite rate is for all machines together; without a setting, this one has all of it."""
    monkeypatch.setenv("CHAMPION_HOSTS", hosts)
    assert wiring._limits()["requests_per_second"] == rate
