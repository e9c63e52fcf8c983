"""Disks that are full, read-only, somebody else's or rotten: nothing is lost, and one clean rerun mends what can be.

A small tmpfs is a real disk that can be full, out of inodes or read-only. Where nothing can be mounted, a limit on the
size of a process's files stands in for it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import campaign
import pytest
import subjects
from helpers import BOTH_DAY, build, luigi_command, retry_at_once
from simulated_server import Fault, SimulatedArchive
from subjects import ACTIONS, SHARES, Subject

from champion_luigi.base import durable
from champion_luigi.base.errors import ChampionError, DamagedFile, StorageError
from champion_luigi.commands.report import facts
from champion_luigi.config import wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import (
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)
from champion_luigi.storage import lake, raw
from champion_luigi.tracking import history, journal
from champion_luigi.tracking.runs import Runs
from champion_luigi.upkeep import coverage, verify
from champion_luigi.upkeep.repair import repair
from champion_luigi.warehouse import connection, opened
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = [pytest.mark.faults, pytest.mark.integration]

AREA = "Disk"
DAY = BOTH_DAY
NEXT_DAY = date(2024, 1, 16)
DAYS = (DAY, NEXT_DAY)
FILL = ("fill", "--start", str(DAY), "--stop", "2024-01-17")
STAGES = (ScrapeBhavcopy, ParseBhavcopy, NormalizeBhavcopy, WriteParquet, LoadClickHouse)
NOBODY = 65534
# In KiB, less than the days need.
TOO_SMALL = {SHARES: 2200, ACTIONS: 1200}

is_root = os.geteuid() == 0


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    retry_at_once(monkeypatch)
    yield
    opened.close_shared()


# The commands


def run(
    *arguments: str, limit: int | None = None, under: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The exit code and all the output of a `champion` command, or of `luigi` with one of its tasks.

    ``limit`` is the largest that a file may grow to, in bytes; ``under`` a command that runs it.
    """
    if arguments[0] == "luigi":
        command = luigi_command(*arguments[1:])
    else:
        command = [sys.executable, "-c", "from champion_luigi.commands.cli import main; main()", *arguments]
    done = subprocess.run(
        [*under, *command],
        env={**os.environ, **(environment or {})},
        cwd=tempfile.gettempdir(),
        preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def require_sentence(code: int, output: str, about: object, *, codes: tuple[int, ...] = (30, 35, 40)) -> None:
    """The command failed with a documented code, and said why without a traceback."""
    assert code in codes, f"{about}: code {code}: {output}"
    assert "Traceback" not in output, f"{about}: {output}"
    assert re.search(r"(Error|DamagedFile): |champion [a-z]+( flush)?: ", output), f"{about}: {output}"


# What is there


@dataclass(frozen=True)
class Seen:
    """All that readers see of the days: payloads and lake files to the byte, and rows of the warehouse by day."""

    subject: Subject
    payloads: Mapping[str, bytes]
    lake: Mapping[date, bytes]
    rows: tuple[tuple[Any, ...], ...]


def seen(folder: Path, subject: Subject = SHARES) -> Seen:
    raw = folder / "raw"
    payloads = {path.name: path.read_bytes() for path in raw.rglob("*") if path.is_file() and path.suffix != ".json"}
    in_lake = {day: Path(entry.path).read_bytes() for day, entry in lake.days(folder / "lake", subject.dataset)}
    return Seen(subject, payloads, in_lake, tuple(warehouse_rows(folder, subject)))


def warehouse_rows(folder: Path, subject: Subject = SHARES) -> list[tuple[Any, ...]]:
    place = connection.Address(folder=folder / "warehouse")
    if place.is_absent:
        return []
    table = open_warehouse(place)
    table.prepare(subject.dataset)
    try:
        return table.query(
            f"SELECT trade_date, count(), uniqExact({', '.join(subject.dataset.key)}), "
            f"sum(cityHash64(formatRow('TSV', *))) FROM champion_market.{subject.dataset.view} "
            "GROUP BY trade_date ORDER BY trade_date"
        )
    finally:
        table.close()


def require_nothing_half(folder: Path, whole: Seen, about: object) -> None:
    """Each day is there as published, or not at all, and no leftover takes room."""
    found = seen(folder, whole.subject)
    assert found.payloads.items() <= whole.payloads.items(), about
    assert found.lake.items() <= whole.lake.items(), about
    assert set(found.rows) <= set(whole.rows), f"{about}: {found.rows}"
    assert leftovers(folder) == [], about


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(durable.LEFTOVER_PREFIX + "*"))


def require_whole_after_one_rerun(folder: Path, whole: Seen, about: object) -> None:
    """A clean run of the same days gives exactly what an undisturbed one gives, and everything agrees."""
    subject = whole.subject
    if campaign.IS_WHOLE:
        code, output = run(*FILL, *subject.options)
        assert code == 0, f"{about}: {output}"
    else:
        built = build(*loads(subject))
        assert (built.is_done, built.errors) == (True, []), about
        opened.close_shared()
    assert seen(folder, subject) == whole, about
    assert verify.of_range(subject.dataset).differences == [], about
    opened.close_shared()


def loads(subject: Subject) -> list[LoadClickHouse]:
    """The last task of each day."""
    return [subject.task(LoadClickHouse, day) for day in DAYS]


@pytest.fixture(scope="module")
def fill_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Subject], tuple[Path, Seen]]:
    """The folder of a fill of the two days that nothing disturbed, and what readers see there; one for a data set."""

    @functools.cache
    def fill(subject: Subject) -> tuple[Path, Seen]:
        folder = tmp_path_factory.mktemp("undisturbed") / "data"
        environment = {"NSE_ARCHIVE_URL": "simulated:", "CHAMPION_TRACKING": "journal", "DATA_DIR": str(folder)}
        # Tests take the tables between two stages from here, or spoil them.
        environment["CHAMPION_KEEP_INTERMEDIATES"] = "true"
        code, output = run(*FILL, *subject.options, environment=environment)
        assert code == 0, output
        with contextlib.closing(open_warehouse(connection.Address(folder=folder / "warehouse"))) as table:
            lines = subject.seen(table.query, "champion_market")
        assert lines == {day: subject.published(day) for day in DAYS}
        return folder, seen(folder, subject)

    return fill


@pytest.fixture
def undisturbed(subject: Subject, fill_of: Callable[[Subject], tuple[Path, Seen]]) -> Path:
    return fill_of(subject)[0]


@pytest.fixture
def whole(subject: Subject, fill_of: Callable[[Subject], tuple[Path, Seen]]) -> Seen:
    return fill_of(subject)[1]


def copy_of(folder: Path, target: Path) -> Path:
    """A copy with the times of the original: markers tell an untouched file by them."""
    shutil.copytree(folder, target, symlinks=True)
    return target


@pytest.fixture
def loaded(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DATA_DIR of one's own in which both days are loaded."""
    folder = copy_of(undisturbed, tmp_path / "data")
    monkeypatch.setenv("DATA_DIR", str(folder))
    return folder


# A disk that the test can fill


class Disk:
    """A tmpfs, with a DATA_DIR on it."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.folder = mount / "data"

    @property
    def used_kib(self) -> int:
        status = os.statvfs(self.mount)
        return (status.f_blocks - status.f_bfree) * status.f_frsize // 1024

    def change(self, options: str) -> None:
        """Mount it again: ``size=400k``, ``nr_inodes=20``, ``ro``."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.mount], check=True, capture_output=True)

    def lift(self) -> None:
        """Room for everything again."""
        self.change("rw,size=64m,nr_inodes=100000")


@contextlib.contextmanager
def mounted(at: Path) -> Iterator[Disk]:
    at.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", at], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here: it takes root, on Linux")
    try:
        yield Disk(at)
    finally:
        opened.close_shared()
        subprocess.run(["umount", "-l", at], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    with mounted(tmp_path / "disk") as found:
        monkeypatch.setenv("DATA_DIR", str(found.folder))
        yield found


# A disk that cannot sync a folder

# Python runs a file of this name first, wherever it starts.
NO_FOLDER_SYNC = """
import errno, os, stat

sync = os.fsync

def fsync(descriptor):
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    sync(descriptor)

os.fsync = fsync
"""


def test_a_disk_that_cannot_sync_a_folder_takes_the_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Seen
) -> None:
    """As an SMB share: the fill is as ever, with one warning that says what does not hold, and `doctor` reports it."""
    site, folder = tmp_path / "site", tmp_path / "data"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NO_FOLDER_SYNC)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("DATA_DIR", str(folder))
    code, output = run(*FILL)
    assert code == 0, output
    assert output.count("cannot sync a folder (Invalid argument): after a power failure, ") == 1, output
    assert seen(folder) == whole
    code, output = run("doctor", "--json")
    findings = {each["check"]: each for each in json.loads(output)}
    assert code == 0, output
    for name in ("data folder", "lake folder"):
        assert findings[name]["status"] == "WARNING"
        assert "cannot sync a folder" in findings[name]["found"]
        assert "champion verify --repair" in findings[name]["todo"]
    campaign.tell(
        AREA,
        "a file system that cannot sync a folder (fsync of a folder: EINVAL, as on SMB shares)",
        "the fill ends complete, payloads, lake files and rows as published; one warning says what a power failure can "
        "undo, and `champion doctor` reports it",
    )


# Full


@subjects.rounds(fast=1, full=16, others=(1, 5))
def test_a_disk_that_fills_up_somewhere_in_a_fill_loses_nothing(
    subject: Subject, seed: int, disk: Disk, whole: Seen
) -> None:
    """A disk of any size below what the days need: the fill says what it could not write, and a rerun completes it."""
    size = random.Random(seed).randrange(4, TOO_SMALL[subject], 4)
    disk.change(f"size={size}k")
    code, output = run(*FILL, *subject.options)
    require_sentence(code, output, f"{size} KiB", codes=(30,))
    assert re.search("No space left on device|not enough space", output), f"{size} KiB: {output}"
    disk.lift()
    require_nothing_half(disk.folder, whole, f"{size} KiB")
    require_whole_after_one_rerun(disk.folder, whole, f"{size} KiB")
    campaign.tell(
        AREA,
        f"disk full in the middle of a fill (a tmpfs of 4 to {TOO_SMALL[subject]} KiB, where the days need more)"
        + subject.words,
        "exit 30 with the day and that there is no space, no leftover, each day whole or absent; one rerun gives an "
        "undisturbed run's payloads, lake files and rows",
    )


def test_a_full_disk_ends_a_fill(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range of years would fail day by day, with a line each."""
    monkeypatch.setenv("CHAMPION_FILL_GROUP", "2")
    disk.change("size=600k")  # two payloads, and no table of them
    code, output = run("fill", "--start", "2024-01-01", "--stop", "2024-01-17", "--of", "WriteParquet")
    require_sentence(code, output, "600 KiB", codes=(30,))
    assert output.count("No space left on device") <= 2, output
    assert " days are left (the disk is full): run the same fill again" in output


@subjects.rounds(fast=1, full=8, others=(0, 3))
@pytest.mark.parametrize("stage", STAGES[:4], ids=lambda stage: stage.__name__)
def test_a_stage_without_room_for_its_output_is_a_storage_error(
    subject: Subject, seed: int, stage: type[DayTask], *, disk: Disk, undisturbed: Path, whole: Seen
) -> None:
    """What is there before it stays, nothing half-written is visible, and the stage is done once there is room."""
    if stage.stage:
        assert build(subject.task(STAGES[stage.stage - 1], DAY)).is_done
    output = subject.task(stage, DAY).output().file
    # Of the first task, the payload is what takes room.
    made = (undisturbed / output.relative_to(disk.folder)).stat().st_size if stage.stage else len(subject.content(DAY))
    pages = random.Random(seed).randrange(1, min(12, made // 4096))
    disk.change(f"size={disk.used_kib + 4 * pages}k")
    built = build(subject.task(stage, DAY))
    assert isinstance(built.error, StorageError), f"{pages} pages: {built.error!r}"
    assert "No space left on device" in str(built.error)
    assert str(disk.folder) in str(built.error)
    assert not output.exists()
    assert leftovers(disk.folder) == []
    disk.lift()
    assert build(subject.task(WriteParquet, DAY)).is_done
    assert seen(disk.folder, subject).lake == {DAY: whole.lake[DAY]}
    campaign.tell(
        AREA,
        "disk full when a task writes its output: scrape, parse, normalize, write (a few pages of a tmpfs left)"
        + subject.words,
        "StorageError with the file and `No space left on device`, earlier outputs stand, no leftover; the rerun's "
        "lake file is as published, to the byte",
    )


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=8))
def test_a_full_embedded_warehouse_keeps_what_it_has(seed: int, disk: Disk, whole: Seen) -> None:
    """The day that is loaded stays visible; the other comes whole, once there is room."""
    assert build(LoadClickHouse(date=DAY), WriteParquet(date=NEXT_DAY)).is_done
    opened.close_shared()
    free = random.Random(seed).randrange(0, 1200, 4)
    disk.change(f"size={disk.used_kib + free}k")
    code, output = run("luigi", "LoadClickHouse", "--date", str(NEXT_DAY))
    # Its last megabyte the engine does not touch; with a little more than that it may come through.
    if code:
        require_sentence(code, output, f"{free} KiB left")
    disk.lift()
    rows = warehouse_rows(disk.folder)
    assert rows == list(whole.rows[: 1 if code else 2]), f"{free} KiB left"
    require_whole_after_one_rerun(disk.folder, whole, f"{free} KiB left")
    if code:
        campaign.tell(
            AREA,
            "disk full under the embedded warehouse when a second day is loaded (0 to 1200 KiB left)",
            "ClickHouse's reason in a sentence, the loaded day stays as it was, nothing of the other is visible; one "
            "rerun loads it, as published",
        )


@subjects.rounds(fast=1, full=10, others=(0, 3))
def test_a_disk_without_inodes_loses_nothing(subject: Subject, seed: int, disk: Disk, whole: Seen) -> None:
    """Files cannot be made any more, though there is room: said, and completed by a rerun."""
    inodes = random.Random(seed).randrange(3, 60)
    disk.change(f"nr_inodes={inodes}")
    code, output = run(*FILL, *subject.options)
    require_sentence(code, output, f"{inodes} inodes")
    disk.lift()
    require_nothing_half(disk.folder, whole, f"{inodes} inodes")
    require_whole_after_one_rerun(disk.folder, whole, f"{inodes} inodes")
    campaign.tell(
        AREA,
        "no inode left in the middle of a fill (a tmpfs of 3 to 59 inodes)" + subject.words,
        "a sentence, no leftover, each day whole or absent; one rerun gives an undisturbed run's data",
    )


@subjects.rounds(fast=1, full=8, others=(0, 3))
def test_files_that_may_not_grow_lose_nothing(
    subject: Subject, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Seen
) -> None:
    """A process whose files are limited (as by `ulimit -f`) says so, and the next one completes the fill."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    # The limit holds for what a measurement of coverage writes, too.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    limit = random.Random(seed).randrange(1, 120_000)
    code, output = run(*FILL, *subject.options, limit=limit)
    require_sentence(code, output, f"{limit} bytes")
    assert "File too large" in output
    require_nothing_half(tmp_path / "data", whole, f"{limit} bytes")
    require_whole_after_one_rerun(tmp_path / "data", whole, f"{limit} bytes")
    campaign.tell(
        AREA,
        "files limited in size in the middle of a fill (RLIMIT_FSIZE, 1 to 120,000 bytes)" + subject.words,
        "a sentence with `File too large`, no leftover, each day whole or absent; one rerun gives an undisturbed run's "
        "data",
    )


def test_a_full_journal_does_not_stop_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Seen) -> None:
    """The data is complete, one warning says that durations are not recorded, and later records can be read."""
    folder = tmp_path / "data"
    monkeypatch.setenv("DATA_DIR", str(folder))
    with mounted(folder / "journal") as full:
        full.change("size=8k")
        (full.mount / "filler").write_bytes(b"x" * 4096)
        code, output = run(*FILL)
        assert code == 0, output
        assert output.count("durations and counts are not recorded") == 1, output
        assert "Traceback" not in output
        assert seen(folder) == whole
        full.lift()
        LoadClickHouse(date=DAY).output().file.unlink()
        assert build(LoadClickHouse(date=DAY)).is_done
        last = list(journal.read(full.mount))
        assert [each["task"] for each in last if each["event"] == "success"][-1] == "LoadClickHouse"
    campaign.tell(
        AREA,
        "no room for the journal (a tmpfs of two pages on DATA_DIR/journal)",
        "exit 0 with one warning, the data complete; records of the next run follow behind the torn one",
    )


def test_a_ledger_that_cannot_be_written_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Seen
) -> None:
    """The archive's `no such file` is not taken as known before it is on disk; the other day is complete."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("DATA_DIR", str(folder))
    (folder / "ledger.jsonl").symlink_to(tmp_path / "full" / "ledger.jsonl")
    with mounted(tmp_path / "full") as full, SimulatedArchive() as archive:
        monkeypatch.setenv("NSE_ARCHIVE_URL", archive.url)
        archive.faults[NEXT_DAY] = Fault("not_found")
        full.change("size=4k")
        (full.mount / "filler").write_bytes(b"x" * 4096)
        code, output = run(*FILL)
        require_sentence(code, output, "a full ledger", codes=(30,))
        assert "2024-01-16: the archive's answer could not be recorded: No space left on device" in output
        assert seen(folder).lake == {DAY: whole.lake[DAY]}
        full.lift()
        code, output = run("fill", "--start", str(DAY), "--stop", "2024-01-18")
        assert code == 15, output
        assert {day: answer.verdict for day, answer in wiring.ledger(EQUITY).answers.items()} == {NEXT_DAY: "absent"}
    campaign.tell(
        AREA,
        "no room for the ledger when a session has no file (ledger.jsonl on a full tmpfs)",
        "exit 30 with date, file and reason, the other day complete; the next fill asks again and notes it",
    )


def test_a_redo_that_cannot_be_noted_changes_nothing(disk: Disk, undisturbed: Path, whole: Seen) -> None:
    """No room for the note under `due/`: what is there stays, and the same redo works once there is room."""
    copy_of(undisturbed, disk.folder)
    disk.change(f"size={disk.used_kib}k")
    code, output = run("redo", "--date", str(DAY), "--from", "parse")
    require_sentence(code, output, "a full disk", codes=(40,))
    disk.lift()
    assert seen(disk.folder) == whole
    assert leftovers(disk.folder) == []
    assert run("redo", "--date", str(DAY), "--from", "parse")[0] == 0
    require_whole_after_one_rerun(disk.folder, whole, "redo")
    campaign.tell(
        AREA,
        "no room for the note of a redo under due/ (full tmpfs)",
        "exit 40 and the file; lake and warehouse as before; the same redo completes once there is room",
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_metrics_wait_for_room_in_mlflows_store(
    tmp_path: Path, loaded: Path, whole: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's SQLite file on a full disk takes nothing; the journal keeps all, and each run arrives once later."""
    from mlflow_server import empty_store, told

    from champion_luigi.tracking import record as recording
    from champion_luigi.tracking.carrier import Carrier
    from champion_luigi.tracking.job import DELIVERED, LEFT

    with mounted(tmp_path / "mlflow") as full:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store(full.mount / "mlflow.db"))
        filler = full.mount / "filler"
        filler.touch()
        full.change(f"size={full.used_kib}k")
        carrier = Carrier(recording.job())
        assert carrier.run() == LEFT
        assert "full" in carrier.trouble, carrier.trouble
        assert seen(loaded) == whole
        full.lift()
        carrier = Carrier(recording.job())
        assert carrier.run() == DELIVERED, carrier.trouble
        names = sorted(run.info.run_name for run in told() if run.info.run_name.startswith("bhavcopy-etl-"))
        assert names == [f"bhavcopy-etl-{day}" for day in DAYS]
    campaign.tell(
        AREA,
        "MLflow's SQLite store on a full disk (a tmpfs without a free page)",
        "the reason in words, all records stay in the journal, the data is untouched; with room each run arrives once",
    )


def test_output_that_nobody_can_take_is_a_sentence(loaded: Path) -> None:
    """Standard output on a full disk."""
    program = "from champion_luigi.commands.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program, "status"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 40
    assert done.stderr == "champion status: the output could not be written: No space left on device\n"
    campaign.tell(AREA, "standard output full (/dev/full)", "one line on standard error, exit 40")


# Read-only, or somebody else's


def test_a_read_only_disk_can_be_read_and_takes_nothing(disk: Disk, undisturbed: Path, whole: Seen) -> None:
    """What looks only works; what would write says that it cannot; once it is writable, everything goes on."""
    copy_of(undisturbed, disk.folder)
    WriteParquet(date=NEXT_DAY).output().file.unlink()
    disk.change("ro")
    code, output = run("status", "--start", str(DAY))
    assert (code, "Traceback" in output) == (20, False), output
    commands = (FILL, ("verify",), ("clean", "--intermediates"), ("redo", "--date", str(DAY), "--from", "load"))
    for command in commands if campaign.IS_WHOLE else commands[:1]:
        code, output = run(*command)
        require_sentence(code, output, command)
        assert "Read-only file system" in output, output
    disk.lift()
    require_whole_after_one_rerun(disk.folder, whole, "read-only")
    campaign.tell(
        AREA,
        "DATA_DIR on a disk that became read-only (tmpfs, remounted ro)",
        "status tells what is there; fill, verify, clean, redo end with `Read-only file system` and the path; writable "
        "again, one rerun completes it",
    )


# Root that has given up its right to pass over permissions: what another user's files let others do is all it may.
WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if is_root else ()


@pytest.fixture
def strange(loaded: Path) -> Iterator[Path]:
    """A DATA_DIR whose files are another user's, and one of whose days is not in the lake."""
    if is_root and shutil.which("setpriv") is None:
        pytest.skip("root cannot run anything without its privileges here: there is no setpriv (util-linux)")
    WriteParquet(date=NEXT_DAY).output().file.unlink()
    yield loaded
    open_up(loaded)


def close_down(folder: Path, mode: int) -> None:
    """Let nobody but the owner, and where that is who runs the test, nobody, write into it; ``mode`` is its own."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if is_root:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o555)
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
    folder.chmod(mode)


def open_up(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


@pytest.mark.parametrize("mode", [0o555, 0o000], ids=["may be read", "is closed"])
def test_a_folder_of_another_owner_is_told(mode: int, strange: Path, whole: Seen) -> None:
    """Whoever runs it as the wrong user is told which path they may not use, and nothing changes."""
    before = files_and_times(strange)
    close_down(strange, mode)
    commands: list[tuple[str, ...]] = [FILL, ("luigi", "LoadClickHouse", "--date", str(NEXT_DAY))]
    if campaign.IS_WHOLE:
        commands += [("verify",), ("clean", "--intermediates"), ("redo", "--date", str(DAY), "--from", "load")]
        commands += [("sql", "--write", "SELECT 1"), ("track", "flush")]
    for command in commands:
        code, output = run(*command, under=WITHOUT_PRIVILEGES)
        require_sentence(code, output, command)
        assert "Permission denied" in output, f"{command}: {output}"
        assert str(strange) in output
    open_up(strange)
    assert files_and_times(strange) == before
    require_whole_after_one_rerun(strange, whole, "another owner")
    campaign.tell(
        AREA,
        "commands run by a user who does not own DATA_DIR (root without capabilities; it may be read, or is closed)",
        "each that would write or lock ends with `Permission denied` and the path, nothing is changed; with rights, "
        "one rerun completes it",
    )


def test_sql_for_a_user_who_may_only_read_is_of_the_lake(strange: Path) -> None:
    """The embedded engine needs a lock that this user cannot make; reading needs no engine on the warehouse."""
    close_down(strange, 0o555)
    code, output = run("sql", "SELECT DISTINCT trade_date FROM equity_ohlc", under=WITHOUT_PRIVILEGES)
    assert code == 0, output
    told, *_, day = output.splitlines()
    assert "Permission denied" in told
    assert told.endswith(f"the lake {strange / 'lake'} is read instead")
    assert day == str(DAY)


def files_and_times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


# Paths


def a_file(path: Path) -> Path:
    path.write_text("I am a file")
    return path


def below_a_file(path: Path) -> Path:
    return a_file(path) / "data"


def a_dangling_link(path: Path) -> Path:
    path.symlink_to("nowhere")
    return path


def a_loop(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def a_long_name(path: Path) -> Path:
    path.mkdir()
    return path / ("n" * 300)


def a_long_path(path: Path) -> Path:
    path.mkdir()
    return path.joinpath(*["p" * 200] * 25)


WRITING: tuple[tuple[str, ...], ...] = (FILL, ("luigi", "LoadClickHouse", "--date", str(DAY)), ("track", "flush"))
LOOKING: tuple[tuple[str, ...], ...] = (
    ("fill", "--dry-run", "--start", str(DAY), "--stop", "2024-01-17"),
    ("status",),
    ("verify",),
    ("clean",),
    ("sql", "SELECT 1"),
    ("refresh", "--days", "2"),
    ("redo", "--date", str(DAY), "--from", "load", "--dry-run"),
    ("doctor",),
)


IMPOSSIBLE = [a_file, a_dangling_link, a_loop, below_a_file, a_long_name, a_long_path]


@pytest.mark.parametrize("make", IMPOSSIBLE if campaign.IS_WHOLE else IMPOSSIBLE[:2], ids=lambda make: make.__name__)
def test_a_data_dir_that_cannot_be_is_told(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command ends with a documented code, none with a traceback, and those that write name the path."""
    folder = make(tmp_path / "here")
    monkeypatch.setenv("DATA_DIR", str(folder))
    before = sorted(tmp_path.rglob("*"))
    for command in WRITING if campaign.IS_WHOLE else WRITING[:1]:
        code, output = run(*command)
        require_sentence(code, output, command)
        assert str(folder) in output
    for command in LOOKING if campaign.IS_WHOLE else ():
        code, output = run(*command)
        assert code in (0, 20, 30, 40), f"{command}: {output}"
        assert "Traceback" not in output, f"{command}: {output}"
    assert [path for path in sorted(tmp_path.rglob("*")) if "pids" not in path.parts] == before
    campaign.tell(
        AREA,
        "DATA_DIR is a file, lies below one, is a link to nowhere or to itself, has a name or path that is too long",
        "commands that write end with the path and the reason, exit 30, 35 or 40; no command with a traceback; "
        "nothing is made",
    )


ODD_NAMES = [
    'o d\'d "q" é्क %s %% ${HOME} #; &',
    "new\nline\ttab",
    "-rf *",
    "/".join(["p" * 200] * 16),
]


@pytest.mark.parametrize("name", ODD_NAMES if campaign.IS_WHOLE else ODD_NAMES[:1])
def test_an_odd_data_dir_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Seen) -> None:
    """Whatever a folder may be called, the days in it are as in any other."""
    folder = tmp_path / name
    monkeypatch.setenv("DATA_DIR", str(folder))
    require_whole_after_one_rerun(folder, whole, name)
    campaign.tell(
        AREA,
        "DATA_DIR with spaces, quotes, percent and dollar signs, letters of other scripts, a line end; one of 3,000 "
        "characters",
        "filled and verified as any other, the same data",
    )


@subjects.rounds(fast=1, full=32, others=(0, 8))
def test_something_else_in_the_place_of_a_part_of_data_dir(
    subject: Subject, seed: int, loaded: Path, whole: Seen
) -> None:
    """A fill passes over it, or says in a sentence what is in its way; with that gone, one rerun completes it."""
    choose = random.Random(seed)
    kind = ("a file", "a folder", "a loop", "garbage")[seed % 4]
    parts = [path for path in sorted(loaded.rglob("*")) if "store" not in path.parts and path.name != "champion.id"]
    parts = [path for path in parts if "warehouse" not in path.relative_to(loaded).parts] + [loaded / "due"]
    spoiled = choose.choice(parts)
    about = f"seed {seed}: {kind} in the place of {spoiled.relative_to(loaded)}"
    if spoiled.is_dir():
        shutil.rmtree(spoiled)
    else:
        spoiled.unlink(missing_ok=True)
    if kind == "a file":
        spoiled.write_text("I am a file")
    elif kind == "a folder":
        (spoiled / "with something").mkdir(parents=True)
    elif kind == "a loop":
        spoiled.symlink_to(spoiled.name)
    else:
        spoiled.write_bytes(choose.randbytes(choose.randrange(400)))

    code, output = run(*FILL, *subject.options)
    if code:
        require_sentence(code, output, about)
    assert "Traceback" not in output, f"{about}: {output}"
    code, output = run("verify", *subject.options)
    assert code in (0, 30, 40), f"{about}: {output}"
    assert "Traceback" not in output, f"{about}: {output}"

    if spoiled.is_dir() and not spoiled.is_symlink():
        shutil.rmtree(spoiled)
    else:
        spoiled.unlink(missing_ok=True)
    built = build(*loads(subject))
    assert (built.is_done, built.errors) == (True, []), f"{about}: {built.errors}"
    left, reasons = repair(subject.dataset, verify.of_range(subject.dataset).differences)
    assert (left, reasons) == ([], {}), about
    opened.close_shared()
    assert seen(loaded, subject) == whole, about
    campaign.tell(
        AREA,
        "a file, a folder, a link to itself or garbage in the place of a file or folder of DATA_DIR, chosen at random"
        + subject.words,
        "a fill needs it not, or ends with a sentence; with that gone, a fill and `champion verify --repair` give an "
        "undisturbed run's data",
    )


# Rot: what was written is changed afterwards


def flip_a_bit(content: bytes, choose: random.Random) -> bytes:
    changed = bytearray(content)
    changed[choose.randrange(len(changed))] ^= 1 << choose.randrange(8)
    return bytes(changed)


def cut_short(content: bytes, choose: random.Random) -> bytes:
    return content[: choose.randrange(len(content))]


def zero_a_page(content: bytes, choose: random.Random) -> bytes:
    start = choose.randrange(len(content))
    return content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]


def rot(path: Path, choose: random.Random) -> str:
    """Change a file as a disk does, with no new time; says how."""
    change = choose.choice([flip_a_bit, flip_a_bit, cut_short, zero_a_page])
    content, status = path.read_bytes(), path.stat()
    while (changed := change(content, choose)) == content:
        pass
    path.write_bytes(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return f"{path.name}: {change.__name__}"


def payload_file(subject: Subject, day: date) -> Path:
    return raw.payload_of(wiring.files(subject.dataset), day)[1]


@pytest.mark.parametrize("where", ["lake", "raw"])
@subjects.rounds(fast=1, full=40, others=(1, 10))
def test_rot_in_a_lake_file_or_payload_is_found_and_repaired(
    subject: Subject, seed: int, where: str, loaded: Path, whole: Seen
) -> None:
    """`champion verify` names the day and the place, and --repair gives exactly what was there before."""
    choose = random.Random(f"{seed} {where}")
    day = choose.choice(DAYS)
    about = f"seed {seed}: " + rot(
        payload_file(subject, day) if where == "raw" else subject.task(WriteParquet, day).output().file, choose
    )
    found = verify.of_range(subject.dataset).differences
    assert {(each.date, each.where) for each in found} == {(day, where)}, f"{about}: {found}"
    left, reasons = repair(subject.dataset, found)
    assert (left, reasons) == ([], {}), about
    opened.close_shared()
    assert seen(loaded, subject) == whole, about
    campaign.tell(
        AREA,
        f"{'payload' if where == 'raw' else 'lake file'} rotten: a bit flipped, cut short or 512 bytes zeroed, "
        "anywhere, its time unchanged" + subject.words,
        "champion verify names the day and the place; --repair gives back what was there, to the byte",
    )


@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=40))
def test_rot_in_the_lake_is_never_loaded(seed: int, loaded: Path, whole: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded again, or into another database, a rotten lake file ends in a DamagedFile, and no rotten row is seen."""
    choose = random.Random(seed)
    day = choose.choice(DAYS)
    about = f"seed {seed}: " + rot(WriteParquet(date=day).output().file, choose)
    monkeypatch.setenv("CLICKHOUSE_DATABASE", "another")
    built = build(*(LoadClickHouse(date=each) for each in DAYS))
    assert isinstance(built.error, DamagedFile), f"{about}: {built.errors}"
    assert WriteParquet(date=day).output().path in str(built.error)
    seen_days = opened.shared(wiring.warehouse_place()).rows_by_day(EQUITY)
    assert [each for each, _ in seen_days] == [each for each in DAYS if each != day], about
    opened.close_shared()
    monkeypatch.delenv("CLICKHOUSE_DATABASE")
    left, _ = repair(EQUITY, verify.of_range(EQUITY).differences)
    assert left == [], about
    opened.close_shared()
    assert seen(loaded) == whole, about
    campaign.tell(
        AREA,
        "rotten lake file loaded into another database (bit flipped, cut short, zeroed; its time unchanged)",
        "DamagedFile with the file, not a row of it is seen there; champion verify --repair mends it",
    )


@pytest.mark.parametrize("stage", [ParseBhavcopy, NormalizeBhavcopy], ids=["parsed", "normalized"])
@subjects.rounds(fast=1, full=40, others=(0, 8))
def test_rot_between_two_tasks_is_found(
    subject: Subject, seed: int, stage: type[DayTask], loaded: Path, whole: Seen
) -> None:
    """The task that reads it says which file to delete; without it the day comes out as it should."""
    choose = random.Random(f"{seed} {stage.__name__}")
    reader = STAGES[stage.stage + 1]
    for task in STAGES[reader.stage : 4]:
        subject.task(task, DAY).output().file.unlink()
    about = f"seed {seed}: " + rot(subject.task(stage, DAY).output().file, choose)
    built = build(subject.task(WriteParquet, DAY))
    assert isinstance(built.error, DamagedFile), f"{about}: {built.errors}"
    assert subject.task(stage, DAY).output().path in str(built.error)
    assert not subject.task(WriteParquet, DAY).output().exists()
    subject.task(stage, DAY).output().file.unlink()
    assert build(*loads(subject)).is_done, about
    opened.close_shared()
    assert seen(loaded, subject) == whole, about
    campaign.tell(
        AREA,
        f"rot in {stage.__name__.removesuffix('Bhavcopy').lower().removesuffix('e')}ed/, between two tasks "
        "(bit flipped, cut short, zeroed)" + subject.words,
        "DamagedFile that says which file to delete; once deleted, the rerun's data is as published",
    )


@subjects.rounds(fast=1, full=80, others=(0, 16))
def test_rot_in_a_receipt_or_marker_harms_no_data(subject: Subject, seed: int, loaded: Path, whole: Seen) -> None:
    """A day is refused or done again, with an error of ours at most; `verify --repair` brings all to agree again."""
    choose = random.Random(seed)
    day = choose.choice(DAYS)
    tasks: list[type[DayTask]] = [ScrapeBhavcopy, LoadClickHouse]
    task = choose.choice(tasks)
    about = f"seed {seed}: {task.__name__} " + rot(subject.task(task, day).output().file, choose)
    text = f"{about}: {subject.task(task, day).output().file.read_bytes()!r}"
    subject.task(ParseBhavcopy, day).output().file.unlink()
    subject.task(NormalizeBhavcopy, day).output().file.unlink()
    subject.task(WriteParquet, day).output().file.unlink()
    built = build(*loads(subject))
    assert all(isinstance(error, ChampionError) for error in built.errors), f"{text}: {built.errors}"
    opened.close_shared()
    found = verify.of_range(subject.dataset).differences
    left, reasons = repair(subject.dataset, found)
    assert (left, reasons) == ([], {}), text
    opened.close_shared()
    assert build(*loads(subject)).is_done, text
    opened.close_shared()
    after = seen(loaded, subject)
    assert (after.rows, after.lake.keys()) == (whole.rows, whole.lake.keys()), text
    assert after.payloads.items() >= whole.payloads.items(), text
    campaign.tell(
        AREA,
        "receipt or load marker rotten (bit flipped, cut short, zeroed), then the day made again from the payload"
        + subject.words,
        "done, or refused with a sentence; champion verify --repair and a rerun give the rows as published, once",
    )


# Markers


def empty(marker: Path) -> None:
    marker.write_bytes(b"")


def of_another_day(marker: Path) -> None:
    shutil.copy2(marker.with_name(f"bhavcopy_{NEXT_DAY:%Y%m%d}.json"), marker)


def with_values(**values: Any) -> Callable[[Path], None]:
    def change(marker: Path) -> None:
        marker.write_bytes(durable.json_bytes({**json.loads(marker.read_bytes()), **values}))

    return change


def from_the_future(marker: Path) -> None:
    with_values(loaded_at="2099-01-01T00:00:00.000+00:00")(marker)
    os.utime(marker, (4e9, 4e9))


@pytest.mark.parametrize(
    ("spoil", "words", "counts"),
    [
        (empty, "empty", False),
        (lambda marker: os.truncate(marker, marker.stat().st_size // 2), "truncated", False),
        (of_another_day, "that of another date", False),
        (from_the_future, "from the future (loaded_at and the file's time)", True),
        (with_values(warehouse={"host": "embedded"}), "of another warehouse", False),
    ],
    ids=["empty", "truncated", "another date", "future", "elsewhere"],
)
def test_a_marker_that_is_not_the_days(
    spoil: Callable[[Path], None], words: str, counts: bool, loaded: Path, whole: Seen
) -> None:
    """Where it does not tell of this load, the day is loaded again, once; where it does, nothing is done."""
    task = LoadClickHouse(date=DAY)
    spoil(task.output().file)
    assert task.complete() is counts
    built = build(task)
    assert (built.is_done, built.errors) == (True, [])
    assert [message for message in built.messages if "rows in" in message] == (
        [] if counts else ["2,499 rows in champion_market.normalized_equity_ohlc"]
    )
    opened.close_shared()
    assert verify.of_range(EQUITY).differences == []
    opened.close_shared()
    assert seen(loaded) == whole
    campaign.tell(
        AREA,
        f"load marker {words}",
        "the load counts as done, and the data is as it was" if counts else "the day is loaded again, no row twice",
    )


def test_a_folder_in_the_place_of_a_marker_is_told(loaded: Path, whole: Seen) -> None:
    """The load cannot be noted: an error with the path; without the folder, it is noted, and no row is there twice."""
    task = LoadClickHouse(date=DAY)
    task.output().file.unlink()
    (task.output().file / "x").mkdir(parents=True)
    built = build(task)
    assert isinstance(built.error, StorageError)
    assert built.error.source == task.output().path
    shutil.rmtree(task.output().file)
    assert build(task).is_done
    opened.close_shared()
    assert seen(loaded) == whole
    assert leftovers(loaded) == []
    campaign.tell(
        AREA, "a folder in the place of a load marker", "an error with its path; removed, the rerun leaves no row twice"
    )


# Journal, ledger, notes


@pytest.mark.parametrize("name", ["journal", "ledger", "note"])
@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=40))
def test_rot_in_what_is_only_remembered_stops_nothing(
    seed: int, name: str, loaded: Path, whole: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torn lines, garbage, flipped bits: states are told, records are put together, and the days complete."""
    choose = random.Random(f"{seed} {name}")
    if name == "journal":
        [path] = (loaded / "journal").glob("*.jsonl")
    elif name == "ledger":
        path = wiring.files(EQUITY).answers
        lines = [
            {"date": f"2023-06-{number:02}", "verdict": "closed", "archive": "simulated:", "asked": "x", "time": "2024"}
            for number in range(5, 10)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        path = loaded / "due" / f"{DAY}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"date": str(DAY), "stages": ["write", "load"], "noted_at": "2024"}))
    for _ in range(choose.randrange(1, 6)):
        content = path.read_bytes()
        place = choose.randrange(len(content) + 1)
        damage = choose.choice(["flip", "tear", "garbage"])
        if damage == "garbage":
            path.write_bytes(content[:place] + choose.randbytes(choose.randrange(1, 200)) + content[place:])
        elif damage == "tear":
            path.write_bytes(content[:place] + content[place + choose.randrange(1, 300) :] or b"\n")
        else:
            path.write_bytes(flip_a_bit(content, choose))

    about = f"seed {seed}: {path.read_bytes()[-2000:]!r}"
    coverage.of_range(EQUITY, date(2023, 6, 1), datetime.now(UTC).date())
    history.latest_problems(loaded / "journal")
    facts.document(EQUITY, DAY, NEXT_DAY)
    book = Runs()
    for place_, record in journal.read_from(loaded / "journal", {}):
        book.add(place_, record)
    list(book.tell(set()))
    built = build(*(LoadClickHouse(date=day) for day in DAYS))
    assert (built.is_done, built.errors) == (True, []), f"{about}: {built.errors}"
    opened.close_shared()
    assert seen(loaded) == whole, about
    campaign.tell(
        AREA,
        f"{name} damaged: bits flipped, pieces torn out, binary garbage put in",
        "status and report tell what is there, the runs for MLflow are put together, the days complete as published",
    )
