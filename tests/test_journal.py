"""The journal: what is appended is read, by any number of processes at once, whatever was cut off before."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from champion_luigi import journal


def only_file(folder: Path) -> Path:
    """The journal's one file."""
    (path,) = folder.iterdir()
    return path


def events(folder: Path) -> list[object]:
    """What the records say, oldest first."""
    return [record.get("event") for record in journal.read(folder)]


def test_a_record_is_read_back(tmp_path: Path) -> None:
    """With its time in UTC and its process."""
    journal.append(tmp_path, {"event": "start", "rows": 3, "facts": {"a": None}})
    (record,) = journal.read(tmp_path)
    moment = datetime.fromisoformat(record.pop("time"))
    assert moment.tzinfo is not None
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 3600
    assert record == {"pid": os.getpid(), "event": "start", "rows": 3, "facts": {"a": None}}


def test_records_keep_their_order(tmp_path: Path) -> None:
    """Oldest first."""
    for number in range(20):
        journal.append(tmp_path, {"event": number})
    assert events(tmp_path) == list(range(20))


def test_a_record_is_one_line(tmp_path: Path) -> None:
    """Line ends within a text stay within its line."""
    journal.append(tmp_path, {"error": "first\nsecond\r\nthird\u2028fourth"})
    assert only_file(tmp_path).read_bytes().count(b"\n") == 1
    assert [record["error"] for record in journal.read(tmp_path)] == ["first\nsecond\r\nthird\u2028fourth"]


def test_dates_and_paths_are_written_as_text(tmp_path: Path) -> None:
    """A record holds what a handler has at hand."""
    journal.append(tmp_path, {"date": date(2024, 1, 15), "path": Path("raw/file")})
    (record,) = journal.read(tmp_path)
    assert (record["date"], record["path"]) == ("2024-01-15", "raw/file")


def test_a_file_holds_a_month(tmp_path: Path) -> None:
    """It is named after the month, UTC, of its records."""
    journal.append(tmp_path / "made" / "for it", {"event": "start"})
    path = only_file(tmp_path / "made" / "for it")
    assert re.fullmatch(r"\d{4}-\d{2}\.jsonl", path.name)
    assert json.loads(path.read_text())["time"].startswith(path.stem)


def test_months_are_read_in_order(tmp_path: Path) -> None:
    """An older file comes first, and other files are not read."""
    (tmp_path / "2024-02.jsonl").write_text('{"event": "february"}\n')
    (tmp_path / "2023-12.jsonl").write_text('{"event": "december"}\n')
    (tmp_path / "2024-02.jsonl.bak").write_text('{"event": "backup"}\n')
    (tmp_path / "position.json").write_text('{"event": "no journal"}\n')
    assert events(tmp_path) == ["december", "february"]


def test_no_journal_has_no_records(tmp_path: Path) -> None:
    """Before the first run."""
    assert list(journal.read(tmp_path / "none")) == []


def test_nothing_is_ever_rewritten(tmp_path: Path) -> None:
    """What stands in the file stays byte for byte, in front of what is added."""
    journal.append(tmp_path, {"event": "one"})
    before = only_file(tmp_path).read_bytes()
    journal.append(tmp_path, {"event": "two"})
    assert only_file(tmp_path).read_bytes().startswith(before)


# What a full disk or a power cut leaves


def cut(folder: Path, record: bytes = b'{"time": "2024-01-15T13:30:00.000+00:00", "pid": 1, "event": "cu') -> Path:
    """A journal whose last record was cut off."""
    journal.append(folder, {"event": "whole"})
    path = only_file(folder)
    with path.open("ab") as file:
        file.write(record)
    return path


def test_a_cut_off_last_line_is_passed_over(tmp_path: Path) -> None:
    """It may be a record that is being written."""
    cut(tmp_path)
    assert events(tmp_path) == ["whole"]


def test_a_record_after_a_cut_off_line_is_not_lost(tmp_path: Path) -> None:
    """The next process appends to a file that does not end in a line end."""
    cut(tmp_path)
    journal.append(tmp_path, {"event": "next"})
    journal.append(tmp_path, {"event": "last"})
    assert events(tmp_path) == ["whole", "next", "last"]


def test_a_cut_within_a_letter_is_passed_over(tmp_path: Path) -> None:
    """Half an é is no UTF-8."""
    cut(tmp_path, '{"event": "é'.encode()[:-1])
    assert events(tmp_path) == ["whole"]


@pytest.mark.parametrize("line", [b"\0" * 40, b"{}}", b'{"event": ', b"null", b"[1]", b"\xff\xfe{", b""])
def test_a_line_that_is_no_record_is_passed_over(tmp_path: Path, line: bytes) -> None:
    """Whatever stands between whole records, they are all read."""
    cut(tmp_path, line + b"\n" + b'{"event": "later"}\n')
    assert events(tmp_path) == ["whole", "later"]


@pytest.mark.integration
def test_a_full_disk_is_not_taken_for_a_written_record(tmp_path: Path) -> None:
    """A record of which only a part fits raises, and the ones before it stand."""
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from champion_luigi import journal\n"
        "folder = Path(sys.argv[1])\n"
        "journal.append(folder, {'event': 'whole'})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "try:\n"
        "    journal.append(folder, {'event': 'x' * 500})\n"
        "except Exception:\n"
        "    print('raised')\n"
        "else:\n"
        "    print('silent')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["raised"]
    assert events(tmp_path) == ["whole"]


# Many processes

APPENDER = """
import sys
from pathlib import Path
from champion_luigi import journal
folder, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
for number in range(times):
    journal.append(folder, {"event": name, "number": number, "padding": name * 3000})
    print(number, flush=True)
"""


def appender(stack: contextlib.ExitStack, folder: Path, name: str, times: int) -> subprocess.Popen[str]:
    """A process that appends records and prints the number of each that is written."""
    command = [sys.executable, "-c", APPENDER, str(folder), name, str(times)]
    process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    return process


def begin(process: subprocess.Popen[str]) -> None:
    """Let an appender begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.integration
def test_processes_journal_at_once_without_mixing_their_lines(tmp_path: Path) -> None:
    """Every record of each is read, whole and in its order."""
    with contextlib.ExitStack() as stack:
        workers = {name: appender(stack, tmp_path, name, 200) for name in "abc"}
        for worker in workers.values():
            begin(worker)
        for worker in workers.values():
            worker.communicate()
    records = list(journal.read(tmp_path))
    assert len(records) == 600
    for name in workers:
        numbers = [record["number"] for record in records if record["event"] == name]
        assert numbers == list(range(200))
    assert all(record["padding"] == record["event"] * 3000 for record in records)


@pytest.mark.integration
def test_kill_9_loses_no_record_that_was_written(tmp_path: Path) -> None:
    """What was acknowledged before the kill is read, and nothing else is damaged."""
    journal.append(tmp_path, {"event": "before"})
    with contextlib.ExitStack() as stack:
        process = appender(stack, tmp_path, "x", 1_000_000)
        begin(process)
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        process.wait()
    journal.append(tmp_path, {"event": "after"})
    records = list(journal.read(tmp_path))
    written = [record["number"] for record in records if record["event"] == "x"]
    assert written[:50] == acknowledged == list(range(50))
    assert written == list(range(len(written)))
    assert (records[0]["event"], records[-1]["event"]) == ("before", "after")
