"""Files that appear whole or not at all, under injected faults, and locks between real processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import queue
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from champion_luigi.base import durable, locks
from champion_luigi.base.errors import Busy, StorageError, is_transient
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.targets import JsonFile, LoadMarker, WholeFile

as_anyone = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def leftovers(folder: Path) -> list[str]:
    """Everything in a folder whose name has a leading dot."""
    return [path.name for path in folder.rglob(".*")]


@contextlib.contextmanager
def running(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs a script; it is killed in the end, if it still runs."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_from(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def result_of(script: str, *arguments: object) -> str:
    """What a script prints, in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


# Writing


def test_a_written_file_holds_the_bytes(tmp_path: Path) -> None:
    """All of them, and nothing else is in the folder."""
    path = tmp_path / "file.bin"
    durable.write_whole(path, b"\x00\xff\r\n" * 1000)
    assert path.read_bytes() == b"\x00\xff\r\n" * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_may_be_empty(tmp_path: Path) -> None:
    """No bytes are bytes too."""
    durable.write_whole(tmp_path / "file", b"")
    assert (tmp_path / "file").read_bytes() == b""


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """A partition's folders come with its first file."""
    path = tmp_path / "year=2024" / "month=01" / "file"
    durable.write_whole(path, b"content")
    assert path.read_bytes() == b"content"


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """The old content goes as a whole, whatever its length was."""
    path = tmp_path / "file"
    durable.write_whole(path, b"long " * 100)
    durable.write_whole(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_keeps_the_file_that_it_opened(tmp_path: Path) -> None:
    """Replacing a file does not change what is being read."""
    path = tmp_path / "file"
    durable.write_whole(path, b"old")
    with path.open("rb") as reader:
        durable.write_whole(path, b"new")
        assert reader.read() == b"old"


def test_a_file_has_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    """The umask decides, as for any other program's files: a temporary file's 0600 would lock out other readers."""
    before = os.umask(0o027)
    try:
        durable.write_whole(tmp_path / "file", b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_name_may_be_as_long_as_any_of_ours(tmp_path: Path) -> None:
    """The temporary name is longer than the final one, and still fits."""
    path = tmp_path / ("BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv.zip" + "x" * 150)
    durable.write_whole(path, b"content")
    assert path.exists()


def test_a_folder_in_the_place_of_the_file_is_a_storage_error(tmp_path: Path) -> None:
    """The error names the file, and nothing half-written is left."""
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(StorageError) as caught:
        durable.write_whole(path, b"content")
    assert caught.value.source == str(path)
    assert leftovers(tmp_path) == []


def test_a_file_in_the_place_of_the_folder_is_a_storage_error(tmp_path: Path) -> None:
    """A path that cannot be is said as such."""
    (tmp_path / "folder").write_text("no folder")
    with pytest.raises(StorageError, match="could not be written"):
        durable.write_whole(tmp_path / "folder" / "file", b"content")


def test_a_link_to_nowhere_is_said_as_such(tmp_path: Path) -> None:
    """Its folder can neither be used nor made, and `File exists` would say the contrary."""
    (tmp_path / "folder").symlink_to("nowhere")
    with pytest.raises(StorageError, match="a symbolic link leads nowhere"):
        durable.write_whole(tmp_path / "folder" / "file", b"content")


def test_what_a_file_system_says_of_a_path_is_a_storage_error(tmp_path: Path) -> None:
    """Wherever it comes up: the reason, the path, and what to do."""
    (tmp_path / "loop").symlink_to("loop")
    with (
        pytest.raises(StorageError, match=r"Too many levels of symbolic links .*Check what") as caught,
        durable.explained(),
    ):
        (tmp_path / "loop" / "file").stat()
    assert caught.value.source == str(tmp_path / "loop" / "file")


def test_an_error_of_a_pipe_is_no_matter_of_a_disk() -> None:
    """A reader that has gone, as `head` does, is dealt with elsewhere."""
    with pytest.raises(BrokenPipeError), durable.explained():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_lock_whose_file_cannot_be_removed_is_free(tmp_path: Path) -> None:
    """As on a disk that has become read-only meanwhile: the work was done, and the next one can take the lock."""
    path = tmp_path / "lock"
    with locks.locked(path, "it", 0):
        path.unlink()
        path.mkdir()
    path.rmdir()
    with locks.locked(path, "it", 0):
        assert locks.is_locked(path)


@as_anyone
def test_a_read_only_folder_is_a_storage_error(tmp_path: Path) -> None:
    """The operating system's reason is in the message, and the old file stands."""
    folder = tmp_path / "folder"
    path = folder / "file"
    durable.write_whole(path, b"old")
    folder.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            durable.write_whole(path, b"new")
    finally:
        folder.chmod(0o700)
    assert path.read_bytes() == b"old"


# A file system that cannot do everything


def refuse(
    monkeypatch: pytest.MonkeyPatch, of: ModuleType, name: str, code: int, *, folders_only: bool = False
) -> None:
    """Let a system call of this thread fail as the file system under test would have it, for every file or for folders.

    Threads of other tests may still write files of their own.
    """
    call, thread = getattr(of, name), threading.current_thread()

    def refused(descriptor: Any, *arguments: Any) -> Any:
        if threading.current_thread() is not thread or (
            folders_only and not stat.S_ISDIR(os.fstat(descriptor).st_mode)
        ):
            return call(descriptor, *arguments)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(of, name, refused)


@pytest.fixture
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No warning was given yet."""
    monkeypatch.setattr(durable, "_has_warned", False)


@pytest.mark.usefixtures("_new_process")
@pytest.mark.parametrize("name", ["EINVAL", "EBADF", "ENOTSUP", "ENOSYS", "EACCES"])
def test_a_folder_that_cannot_be_synced_takes_files_and_one_warning_says_what_follows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on an SMB share, on vboxsf and some of FUSE."""
    refuse(monkeypatch, os, "fsync", getattr(errno, name), folders_only=True)
    for number in range(3):
        durable.write_whole(tmp_path / f"file{number}", b"content")
        assert (tmp_path / f"file{number}").read_bytes() == b"content"
    assert leftovers(tmp_path) == []
    [warning] = caplog.messages
    assert str(tmp_path) in warning
    assert os.strerror(getattr(errno, name)) in warning
    assert "after a power failure" in warning


@as_anyone
@pytest.mark.usefixtures("_new_process")
def test_a_folder_that_may_be_written_but_not_read_takes_files(tmp_path: Path) -> None:
    """It cannot be opened for a sync."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o300)
    try:
        durable.write_whole(folder / "file", b"content")
        assert (folder / "file").read_bytes() == b"content"
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize("name", ["EIO", "ENOSPC", "EDQUOT"])
def test_a_disk_that_fails_in_a_folders_sync_is_a_storage_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the disk could, and has lost something."""
    refuse(monkeypatch, os, "fsync", getattr(errno, name), folders_only=True)
    with pytest.raises(StorageError, match=os.strerror(getattr(errno, name))):
        durable.write_whole(tmp_path / "file", b"content")


@pytest.mark.parametrize("name", ["EIO", "EINVAL"])
def test_a_files_content_that_cannot_be_synced_is_a_storage_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason: the old file stays, and no leftover."""
    durable.write_whole(tmp_path / "file", b"old")
    refuse(monkeypatch, os, "fsync", getattr(errno, name))
    with pytest.raises(StorageError, match="could not be written"):
        durable.write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_a_files_content_is_synced_through_a_descriptor_that_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's SMB client syncs nothing through one that may only read."""
    modes = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    durable.write_whole(tmp_path / "file", b"content")
    assert modes == [os.O_RDWR, os.O_RDONLY]


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP", "EINVAL", "ENOSYS"])
def test_a_file_system_without_locks_is_a_storage_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs at once would not be kept apart: the error says so, and what to do."""
    refuse(monkeypatch, fcntl, "flock", getattr(errno, name))
    for use in (lambda: take(tmp_path), lambda: locks.is_locked(tmp_path)):
        with pytest.raises(StorageError, match=r"does not lock files.*Mount it with locks") as caught:
            use()
        assert os.strerror(getattr(errno, name)) in str(caught.value)
        assert not is_transient(caught.value)


def test_a_lock_that_a_server_holds_for_another_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SMB server answers EACCES, and its locks keep others from reading who holds it."""
    refuse(monkeypatch, fcntl, "flock", errno.EACCES)
    refuse(monkeypatch, os, "pread", errno.EACCES)
    with pytest.raises(Busy) as caught:
        take(tmp_path)
    assert caught.value.found == "another process"
    assert locks.is_locked(tmp_path)


# A process whose files may not grow beyond a limit, as on a full disk.
ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from champion_luigi.base import durable, errors, locks
path, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
"""


@pytest.mark.integration
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The new content does not fit: the error names the file, no attempt will cure it, and no leftover takes space."""
    path = tmp_path / "file"
    durable.write_whole(path, b"old")
    script = ON_A_FULL_DISK + (
        "try:\n"
        "    durable.write_whole(path, b'x' * 100_000)\n"
        "except errors.StorageError as error:\n"
        "    print(error.source, errors.is_transient(error), 'File too large' in str(error))\n"
    )
    assert result_of(script, path, 50_000) == f"{path} False True"
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


# Ctrl-C once a round, a little later in each.
INTERRUPTED = """
import signal, sys
from pathlib import Path
from champion_luigi.base import durable, locks
path = Path(sys.argv[1])
signal.signal(signal.SIGALRM, signal.default_int_handler)
for number in range(1, 81):
    try:
        signal.setitimer(signal.ITIMER_REAL, number / 20_000)
        while True:
            durable.write_whole(path, b"x" * 300_000)
    except KeyboardInterrupt:
        print(number)
"""


@pytest.mark.integration
@pytest.mark.usefixtures("unmeasured")
def test_an_interrupted_write_leaves_a_whole_file(tmp_path: Path) -> None:
    """Ctrl-C at any moment of a write: the old content or the new one, and no leftover."""
    path = tmp_path / "file"
    durable.write_whole(path, b"old")
    assert len(result_of(INTERRUPTED, path).split()) == 80
    assert path.read_bytes() in (b"old", b"x" * 300_000)
    assert leftovers(tmp_path) == []


WRITER = """
import os, sys
from pathlib import Path
from champion_luigi.base import durable, locks
path = Path(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    durable.write_whole(path, bytes([number % 256]) * 500_000)
"""


@pytest.mark.integration
def test_a_reader_sees_a_whole_file_while_writers_are_killed(tmp_path: Path) -> None:
    """kill -9 at any moment leaves the old file or the new one, and leftovers that have a leading dot."""
    path = tmp_path / "file"
    durable.write_whole(path, b"\0" * 500_000)
    reads = 0
    for _ in range(6):
        with running(WRITER, path) as writer:
            assert line_from(writer) == "ready"
            for _ in range(60):
                content = path.read_bytes()
                assert len(content) == 500_000
                assert content == content[:1] * 500_000
                reads += 1
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert len(path.read_bytes()) == 500_000
    assert reads == 360
    assert [each.name for each in tmp_path.iterdir() if not each.name.startswith(durable.LEFTOVER_PREFIX)] == ["file"]


@pytest.mark.integration
def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """Neither fails, and neither sees the other's temporary file."""
    path = tmp_path / "file"
    with running(WRITER, path) as one, running(WRITER, path) as other:
        assert (line_from(one), line_from(other)) == ("ready", "ready")
        for _ in range(100):
            if path.exists():
                content = path.read_bytes()
                assert content == content[:1] * 500_000
            time.sleep(0.002)
        assert (one.poll(), other.poll()) == (None, None)


# Reading and small helpers


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    """It names the file and the operating system's reason, and another attempt is of no use."""
    with pytest.raises(StorageError, match="could not be read: No such file or directory") as caught:
        durable.read_whole(tmp_path / "none")
    assert caught.value.source == str(tmp_path / "none")
    assert not is_transient(caught.value)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Byte for byte."""
    durable.write_whole(tmp_path / "file", b"\r\n\x00")
    assert durable.read_whole(tmp_path / "file") == b"\r\n\x00"


def test_sha256_is_the_usual_one() -> None:
    """Against the value that the standard gives for abc."""
    assert durable.sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_json_is_for_people_too() -> None:
    """Indented, a line end at the end, dates and names as people write them."""
    document = {"date": datetime(2024, 1, 15).date(), "name": "café", "rows": [1, None]}
    text = durable.json_bytes(document).decode()
    assert text == '{\n "date": "2024-01-15",\n "name": "café",\n "rows": [\n  1,\n  null\n ]\n}\n'


def test_now_is_utc_with_milliseconds() -> None:
    """A time that any program can read, with its zone."""
    found = datetime.fromisoformat(durable.now())
    assert found.utcoffset() == timedelta(0)
    assert len(durable.now()) == len("2024-01-15T13:30:00.000+00:00")


# Targets


def is_there(target: WholeFile) -> bool:
    """What Luigi asks a target."""
    return bool(target.exists())  # type: ignore[no-untyped-call, unused-ignore]


def whole_file(path: Path) -> WholeFile:
    """A target, as a task makes it."""
    return WholeFile(str(path))  # type: ignore[no-untyped-call, unused-ignore]


def json_file(path: Path) -> JsonFile:
    """A target for a document, as a task makes it."""
    return JsonFile(str(path))  # type: ignore[no-untyped-call, unused-ignore]


def test_a_target_exists_once_it_is_written(tmp_path: Path) -> None:
    """And not while a leftover of it stands beside."""
    target = whole_file(tmp_path / "folder" / "file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".tmp-file-1-abcdef01").touch()
    assert not is_there(target)
    target.write(b"content")
    assert is_there(target)
    assert target.file.read_bytes() == b"content"


def test_a_document_reads_back(tmp_path: Path) -> None:
    """What was dumped is loaded."""
    target = json_file(tmp_path / "receipt.json")
    target.dump({"rows": 3, "name": "café"})
    assert target.load() == {"rows": 3, "name": "café"}


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"a": 1', b"[]", b"1", b"\xff\xfe", b"null"])
def test_a_document_that_is_none_is_absent(tmp_path: Path, content: bytes | None) -> None:
    """Missing, cut short, damaged or something else: its task has to run again."""
    target = json_file(tmp_path / "receipt.json")
    if content is not None:
        target.file.write_bytes(content)
    assert target.load() is None


@pytest.fixture
def marker(tmp_path: Path) -> LoadMarker:
    """A marker of a load that is up to date."""
    lake_file = tmp_path / "lake.parquet"
    lake_file.write_bytes(b"rows")
    status = lake_file.stat()
    marker = LoadMarker(tmp_path / "marker.json", EQUITY, lake_file, {"host": "here", "database": "market"})
    marker.dump(
        {
            "warehouse": marker.warehouse,
            "lake_sha256": durable.sha256(b"rows"),
            "lake_stat": [status.st_size, status.st_mtime_ns],
        }
    )
    return marker


def test_a_marker_exists_for_its_warehouse_and_lake_file(marker: LoadMarker) -> None:
    """The load that it tells of is the one that is due."""
    assert marker.exists()


def test_a_marker_of_another_warehouse_does_not_exist(marker: LoadMarker) -> None:
    """Another database has not been loaded yet."""
    marker.warehouse["database"] = "other"
    assert not marker.exists()


def test_a_marker_does_not_exist_for_another_content(marker: LoadMarker) -> None:
    """A restated day is due for a load again."""
    marker.lake_file.write_bytes(b"other rows")
    assert not marker.exists()


def test_a_marker_exists_for_a_lake_file_that_was_copied(marker: LoadMarker) -> None:
    """Other times, the same content: nothing to load."""
    os.utime(marker.lake_file, ns=(0, 0))
    assert marker.exists()


def test_a_marker_does_not_exist_without_its_lake_file(marker: LoadMarker) -> None:
    """The chain has to run again."""
    marker.lake_file.unlink()
    assert not marker.exists()


def test_a_damaged_marker_does_not_exist(marker: LoadMarker) -> None:
    """Loading a day again does no harm."""
    marker.file.write_bytes(marker.file.read_bytes()[:-20])
    assert not marker.exists()


# Locks

HOLDER = """
import sys
from pathlib import Path
from champion_luigi.base import durable, locks
with locks.locked(Path(sys.argv[1]), "the day", wait_seconds=0):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is sent a line."""
    with running(HOLDER, tmp_path / "day.lock") as process:
        assert line_from(process) == "held"
        yield process


def release(process: subprocess.Popen[str]) -> None:
    """Let a holder go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def take(folder: Path, wait_seconds: float = 0, said: list[str] | None = None) -> None:
    """Take the lock of `holder` and give it back."""
    with locks.locked(folder / "day.lock", "2024-01-15", wait_seconds, None if said is None else said.append):
        pass


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    """And its file is gone, in a folder that was made for it."""
    for _ in range(3):
        with locks.locked(tmp_path / "locks" / "day.lock", "the day", wait_seconds=0):
            assert (tmp_path / "locks" / "day.lock").exists()
        assert list((tmp_path / "locks").iterdir()) == []


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    """What went wrong goes on, and the lock does not stay."""
    with pytest.raises(ZeroDivisionError), locks.locked(tmp_path / "day.lock", "the day", wait_seconds=0):
        raise ZeroDivisionError
    take(tmp_path)


def test_locks_on_two_files_are_two_locks(tmp_path: Path) -> None:
    """Two days do not wait for each other."""
    with locks.locked(tmp_path / "one.lock", "one", wait_seconds=0):
        take(tmp_path)


def test_a_lock_is_held_against_the_same_process_too(tmp_path: Path) -> None:
    """Two threads of one process are kept apart as two processes are."""
    with locks.locked(tmp_path / "day.lock", "the day", wait_seconds=0), pytest.raises(Busy) as caught:
        take(tmp_path)
    assert caught.value.what == "2024-01-15 is in use by another part of this process"


@pytest.mark.integration
def test_busy_names_what_is_locked_and_who_holds_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """The person on call reads which process to wait for."""
    with pytest.raises(Busy) as caught:
        take(tmp_path)
    assert caught.value.what == "2024-01-15 is in use by another process"
    assert caught.value.source == str(tmp_path / "day.lock")
    assert caught.value.found is not None
    assert caught.value.found.startswith(f"process {holder.pid} (")
    assert not is_transient(caught.value)


@pytest.mark.integration
def test_the_holder_is_named_without_its_arguments(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """What stands on a command line may be nobody's business."""
    with pytest.raises(Busy) as caught:
        take(tmp_path)
    assert str(tmp_path) not in (caught.value.found or "")


@pytest.mark.integration
def test_a_refused_lock_stays_with_its_holder(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """Asking in vain, several times, neither frees the lock nor forgets the holder's name."""
    for _ in range(3):
        with pytest.raises(Busy, match=f"process {holder.pid} "):
            take(tmp_path)


@pytest.mark.integration
def test_kill_9_frees_a_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """The file stays behind, and hinders nobody."""
    holder.kill()
    holder.wait()
    assert (tmp_path / "day.lock").exists()
    take(tmp_path)
    assert not (tmp_path / "day.lock").exists()


@pytest.mark.integration
def test_a_waiting_process_gets_the_lock_when_it_is_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """It says once what it waits for, and who has it."""
    said: queue.Queue[str] = queue.Queue()

    def wait_for_it() -> None:
        with locks.locked(tmp_path / "day.lock", "2024-01-15", 60, said.put):
            pass

    waiter = threading.Thread(target=wait_for_it)
    waiter.start()
    assert said.get(timeout=60).startswith(f"waiting for 2024-01-15, in use by process {holder.pid} (")
    assert waiter.is_alive()
    release(holder)
    waiter.join(timeout=60)
    assert not waiter.is_alive()
    assert said.empty()


@pytest.mark.integration
def test_nothing_is_said_where_there_is_nothing_to_wait_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """A free lock is just taken."""
    release(holder)
    assert line_from(holder) == "released"
    said: list[str] = []
    take(tmp_path, 60, said)
    assert said == []


@pytest.mark.integration
def test_waiting_ends(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    """After the time that was given, the lock is as busy as it was."""
    said: list[str] = []
    with pytest.raises(Busy):
        take(tmp_path, 0.2, said)
    assert len(said) == 1


# Stops between opening the lock's file and locking it, the first time: Python tells an audit hook of the second.
HESITANT = """
import sys
from pathlib import Path
from champion_luigi.base import durable, errors, locks
seen = []
def hesitate(event, arguments):
    if event == "fcntl.flock" and not seen:
        seen.append(event)
        print("opened", flush=True)
        sys.stdin.readline()
sys.addaudithook(hesitate)
try:
    with locks.locked(Path(sys.argv[1]), "the day", wait_seconds=0):
        print("held", flush=True)
except errors.Busy as error:
    print(error.found, flush=True)
"""


@pytest.mark.integration
def test_a_lock_on_a_file_that_was_removed_meanwhile_does_not_count(tmp_path: Path) -> None:
    """Opened before a release and locked after it, the file has no name any more, and the next holder has another."""
    with contextlib.ExitStack() as stack:
        with locks.locked(tmp_path / "day.lock", "2024-01-15", wait_seconds=0):
            process = stack.enter_context(running(HESITANT, tmp_path / "day.lock"))
            assert line_from(process) == "opened"
        with locks.locked(tmp_path / "day.lock", "2024-01-15", wait_seconds=0):
            release(process)
            assert line_from(process).startswith(f"process {os.getpid()} (")


COUNTER = """
import sys
from pathlib import Path
from champion_luigi.base import durable, locks
folder, times = Path(sys.argv[1]), int(sys.argv[2])
sys.stdin.readline()
for _ in range(times):
    with locks.locked(folder / "day.lock", "the day", wait_seconds=100):
        count = folder / "count"
        count.write_text(str(int(count.read_text()) + 1))
"""


@pytest.mark.integration
def test_no_two_processes_ever_hold_a_lock_that_is_removed_and_made_again(tmp_path: Path) -> None:
    """Each release removes the file while others are about to lock it: no count is lost, and no file is left."""
    (tmp_path / "count").write_text("0")
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(running(COUNTER, tmp_path, 25)) for _ in range(4)]
        for worker in workers:
            release(worker)
        assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    assert (tmp_path / "count").read_text() == "100"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_a_lock_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    """A file in the place of its folder, for one."""
    (tmp_path / "locks").write_text("no folder")
    with (
        pytest.raises(StorageError, match="the lock could not be opened"),
        locks.locked(tmp_path / "locks" / "day.lock", "the day", wait_seconds=0),
    ):
        pass


@pytest.mark.integration
def test_a_full_disk_does_not_keep_a_lock(tmp_path: Path) -> None:
    """No room for the holder's name: the lock is held without it or refused with a typed error, twice the same."""
    script = ON_A_FULL_DISK + (
        "import contextlib\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        with locks.locked(path, 'the day', wait_seconds=0):\n"
        "            print('held')\n"
        "    except (OSError, errors.ChampionError) as error:\n"
        "        print(type(error).__name__)\n"
    )
    said = result_of(script, tmp_path / "day.lock", 0).split()
    assert said in (["StorageError", "StorageError"], ["held", "held"])
