"""The pace of requests: one for all processes of a machine and a host, whatever other users do to its file."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import google_server
import pytest
from helpers import LEGACY_DAY, archive_path, hear, start_python, tell
from simulated_server import SimulatedArchive

from champion_luigi.base import store
from champion_luigi.base.errors import ChampionError, StorageError
from champion_luigi.base.places import Place, place_of
from champion_luigi.config import wiring
from champion_luigi.config.wiring import open_archive
from champion_luigi.exchange import pace
from champion_luigi.exchange.pace import Pace

PATH = archive_path("legacy", LEGACY_DAY)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of the test's own in place of the machine's and the user's."""
    folder = tmp_path / "machine"
    folder.mkdir()
    monkeypatch.setattr(pace, "_MACHINE", folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def host() -> Iterator[str]:
    """A host that no other process uses; its file in the machine's own folder is removed."""
    name = f"{uuid.uuid4().hex}.invalid"
    yield name
    for file in pace.places(name):
        file.unlink(missing_ok=True)


def ask(location: str, **given: object) -> None:
    """One request to an archive that does not exist."""
    with pytest.raises(ChampionError):
        open_archive(location, **given).get(PATH, LEGACY_DAY)  # type: ignore[arg-type]


def slot_in(file: Path) -> float:
    return float(file.read_text())


# Who shares it


@pytest.mark.integration
def test_two_processes_with_two_data_folders_share_one_pace(tmp_path: Path, host: str) -> None:
    """Together they send as often as one alone may, though nothing else connects them."""
    program = """
import sys, time
from champion_luigi.config import wiring
archive = wiring.configured_archive()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    archive._pace()
    print(time.time(), flush=True)
"""
    processes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("DATA_DIR", str(tmp_path / name))
            patched.setenv("NSE_ARCHIVE_URL", f"https://{host}")
            patched.setenv("CHAMPION_REQUESTS_PER_SECOND", "20")
            processes.append(start_python(program))
    for process in processes:
        assert hear(process) == "ready"
    start = time.time()
    for process in processes:
        tell(process)
    times = sorted(float(line) for process in processes for line in process.communicate(timeout=60)[0].split())
    assert len(times) == 10
    assert all(when >= start + number / 20 for number, when in enumerate(times))
    assert slot_in(pace.places(host)[0]) >= start + 10 / 20
    assert [file.name for file in tmp_path.glob("*/locks/*")] == ["archive.pace"] * 2


def test_a_remote_host_is_asked_at_the_common_pace(tmp_path: Path, machine: Path) -> None:
    """A slot is taken before anything goes out, on the machine and in the data folder, which others may share."""
    before = time.time()
    ask("http://Archive.invalid:80", requests_per_second=10, rate_file=tmp_path / "pace")
    [common] = machine.iterdir()
    assert common.name == "champion_luigi-archive.invalid.pace"
    assert slot_in(common) == slot_in(tmp_path / "pace") >= before + 0.1


def test_each_host_has_a_pace_of_its_own(machine: Path) -> None:
    """A mirror's requests do not slow down those to the exchange."""
    for host in ("one.invalid", "two.invalid", "[::ffff:1]"):
        ask(f"http://{host}", requests_per_second=10, connect_seconds=1)
    names = {"champion_luigi-one.invalid.pace", "champion_luigi-two.invalid.pace", "champion_luigi-__ffff_1.pace"}
    assert {file.name for file in machine.iterdir()} == names


@pytest.mark.integration
def test_a_loopback_host_is_asked_at_once(archive: SimulatedArchive, tmp_path: Path, machine: Path) -> None:
    """A mirror of one's own needs no politeness: no slot is taken, and nothing is waited for."""
    opened = open_archive(archive.url, requests_per_second=0.05, rate_file=tmp_path / "pace")
    for _ in range(5):
        opened.get(PATH, LEGACY_DAY)
    assert len(archive.requests) == 5
    assert not (tmp_path / "pace").exists()
    assert list(machine.iterdir()) == []


def test_no_pace_where_the_rate_is_zero(tmp_path: Path, machine: Path) -> None:
    """The setting can be switched off."""
    ask("http://archive.invalid", requests_per_second=0, rate_file=tmp_path / "pace")
    assert not (tmp_path / "pace").exists()
    assert list(machine.iterdir()) == []


@pytest.mark.parametrize(("file", "host"), [(None, ""), ("pace", ""), (None, "a.example"), ("pace", "a.example")])
def test_the_pace_keeps_its_gaps(tmp_path: Path, machine: Path, file: str | None, host: str) -> None:
    """At 50 a second, the n-th request is n fiftieths of a second after the first, or later."""
    shared = Pace(50, tmp_path / file if file else None, host)
    start = time.time()
    for number in range(6):
        shared.wait()
        assert time.time() >= start + number / 50


def test_a_slot_of_the_data_folder_counts_on_a_machine_of_its_own(tmp_path: Path, machine: Path) -> None:
    """Containers share the data folder alone: the later slot is the next one."""
    (tmp_path / "pace").write_text(repr(time.time() + 0.3))
    after = slot_in(tmp_path / "pace")
    Pace(50, tmp_path / "pace", "a.example").wait()
    assert time.time() >= after
    [common] = machine.iterdir()
    assert slot_in(common) == slot_in(tmp_path / "pace") >= after + 1 / 50


def test_the_next_turn_is_the_latest_of_all(tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`champion doctor` leaves an archive alone that others are using, with whatever data folder."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "https://a.example")
    assert wiring.seconds_to_turn() == 0
    pace.places("a.example")[0].write_text(repr(time.time() + 500))
    assert 0 < wiring.seconds_to_turn() <= 500
    pace.places("a.example")[0].write_text(repr(time.time() + 5000))
    assert wiring.seconds_to_turn() == 0


# What a file can hold


@pytest.mark.parametrize("ahead", [365 * 86400.0, float("inf"), float("nan")])
def test_a_slot_far_ahead_is_not_waited_for(tmp_path: Path, machine: Path, ahead: float) -> None:
    """A clock that was wrong once, or a user who means harm, would stop the pipeline for a year."""
    files = (tmp_path / "pace", pace.places("a.example")[0])
    for file in files:
        file.write_text(repr(time.time() + ahead))
    Pace(50, files[0], "a.example").wait()
    for file in files:
        assert slot_in(file) < time.time() + 60


@pytest.mark.parametrize("content", ["", "garbage", "\0\0\0", "9" * 5000])
def test_a_damaged_pace_file_is_begun_anew(tmp_path: Path, machine: Path, content: str) -> None:
    """A power cut may leave anything there."""
    files = (tmp_path / "pace", pace.places("a.example")[0])
    for file in files:
        file.write_text(content)
    Pace(50, files[0], "a.example").wait()
    assert slot_in(files[0]) > 0
    assert float(files[1].read_text()[:64]) == slot_in(files[0])


def test_a_full_disk_names_the_file_of_the_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own error of a write has no name, and no request is sent without a turn."""

    def refuse(_path: Path, _text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        Pace(50, tmp_path / "pace").wait()
    assert caught.value.source == str(tmp_path / "pace")
    assert not (tmp_path / "pace.lock").exists()


# What other users can do to the machine's file


def test_every_user_may_take_turns_in_the_machines_file(machine: Path) -> None:
    """Whatever the umask of the process that made it."""
    before = os.umask(0o077)
    try:
        Pace(50, host="a.example").wait()
    finally:
        os.umask(before)
    assert pace.places("a.example")[0].stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("trick", ["link", "dangling link", "hard link", "pipe", "folder"])
def test_a_trick_with_the_machines_file_harms_nothing(
    tmp_path: Path, machine: Path, trick: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In /tmp, anybody can put anything under its name. Nothing else is written, and this user's processes go on."""
    common, own = pace.places("a.example")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    match trick:
        case "link":
            common.symlink_to(victim)
        case "dangling link":
            common.symlink_to(tmp_path / "new")
        case "hard link":
            common.hardlink_to(victim)
        case "pipe":
            os.mkfifo(common)
        case "folder":
            common.mkdir()
    start = time.time()
    with caplog.at_level(logging.WARNING, "champion_luigi"):
        for number in range(3):
            shared = Pace(50, host="a.example")
            shared.wait()
            shared.wait()
            assert time.time() >= start + (2 * number + 1) / 50
    assert victim.read_text() == "precious"
    assert not (tmp_path / "new").exists()
    assert slot_in(own) >= start + 6 / 50
    # Once for each object, not for each request.
    assert len(caplog.messages) == 3
    assert all(str(common) in message for message in caplog.messages)


def test_a_process_that_never_lets_go_of_the_machines_file_blocks_nobody(
    machine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is stopped, or means harm: the others take turns in a file of their own."""
    monkeypatch.setattr(pace, "_PATIENCE_SECONDS", 0.1)
    common, own = pace.places("a.example")
    with common.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        Pace(50, host="a.example").wait()
    assert slot_in(own) > 0
    assert "a process has held it" in caplog.text


def test_without_any_common_file_the_data_folders_is_left(
    tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container whose disk is read-only but for the data."""
    machine.rmdir()
    (tmp_path / "home").write_bytes(b"")
    shared = Pace(50, tmp_path / "pace", "a.example")
    start = time.time()
    for _ in range(3):
        shared.wait()
    assert slot_in(tmp_path / "pace") >= start + 3 / 50
    assert len(caplog.messages) == 2


# Hosts with a store in common


def test_hosts_with_a_store_in_common_take_turns(place: Place) -> None:
    """Nothing else connects them: each takes the next slot that the store notes."""
    began, hosts = time.time(), [Pace(50, shared=place / "pace") for _ in range(3)]
    threads = [threading.Thread(target=lambda host=host: [host.wait() for _ in range(4)]) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.get(place / "pace")
    assert found is not None
    assert float(found[0]) >= began + 12 / 50 - 1e-6


def test_hosts_write_no_object_of_googles_store_too_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes one write a second of each, so a host reserves the slots of a second at once, and uses them."""
    with google_server.running(tmp_path, gap_seconds=1.0) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        place = place_of(running.address("pace"))
        began, hosts = time.time(), [Pace(5, shared=place) for _ in range(2)]
        for _ in range(5):
            hosts[0].wait()
        found = store.get(place)
        assert found is not None
        for _ in range(2):
            hosts[1].wait()
        again = store.get(place)
    assert again is not None
    assert began + 1 <= float(found[0]) < float(again[0]) - 1 + 1e-6


def test_a_store_in_common_gives_the_archive_one_pace(tmp_path: Path, machine: Path) -> None:
    """The slot that a request took is noted there, beside the machine's own, under the archive's name."""
    before = time.time()
    ask("http://archive.invalid", requests_per_second=10, shared=tmp_path / "claims")
    [file] = (tmp_path / "claims" / "pace").iterdir()
    assert file.name == "champion_luigi-archive.invalid.pace"
    assert slot_in(file) >= before + 0.1
