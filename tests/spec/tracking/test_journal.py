"""The journal: what is appended is read, by any number of processes at once, whatever was cut off before."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from champion_luigi.base.errors import StorageError
from champion_luigi.tracking import journal
from champion_luigi.tracking.journal import Delivery, Event, Position


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
        "from champion_luigi.tracking import journal\n"
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


# Some events alone


def test_events_are_found_however_their_line_is_written(tmp_path: Path) -> None:
    """By another program, or by hand: with other spaces, in another order."""
    first, second = {"event": "failure", "date": "2024-01-15"}, {"date": "2024-01-16", "event": "settled"}
    lines = [json.dumps(first, separators=(",", ":")), json.dumps(second, separators=(" , ", " :  ")), ""]
    (tmp_path / "2024-01.jsonl").write_text("\n".join(lines))
    assert list(journal.read_events(tmp_path, {Event.FAILURE, Event.SETTLED})) == [first, second]


def test_only_these_events_are_read(tmp_path: Path) -> None:
    """A name within another one, or in another field, is none; nor is a line that is cut off."""
    for event in ("process_failure", "success", "failure"):
        journal.append(tmp_path, {"event": event, "error": "a failure to start"})
    with only_file(tmp_path).open("a") as file:
        file.write('[1, "failure"]\n{"event": ["failure"]}\n{"event": "failure"')
    assert [each["event"] for each in journal.read_events(tmp_path, {Event.FAILURE})] == ["failure"]


# From where it was read before


def append(folder: Path, *events: object) -> None:
    """Records with nothing but an event."""
    for event in events:
        journal.append(folder, {"event": event})


def read_on(folder: Path, offsets: Mapping[str, int] | None = None) -> list[tuple[Position, object]]:
    """Where the records behind these offsets stand, and what they say."""
    return [(place, record["event"]) for place, record in journal.read_from(folder, offsets or {})]


def test_each_record_is_found_where_it_stands(tmp_path: Path) -> None:
    """By its bytes: letters beyond ASCII are longer than one."""
    append(tmp_path, "one", "deuxième", "three")
    content = only_file(tmp_path).read_bytes()
    for place, event in read_on(tmp_path):
        line = content[place.start : place.end]
        assert (json.loads(line)["event"], line[-1:]) == (event, b"\n")
        assert place.file == only_file(tmp_path).name
    assert [event for _, event in read_on(tmp_path)] == ["one", "deuxième", "three"]


def test_reading_goes_on_behind_an_offset(tmp_path: Path) -> None:
    """What stands before it is not read again, what is added later is; the places stay the same."""
    append(tmp_path, "one", "two", "three")
    found = read_on(tmp_path)
    _, (second, _), (third, _) = found
    assert read_on(tmp_path, {second.file: second.start}) == found[1:]
    assert read_on(tmp_path, {second.file: second.end}) == found[2:]
    append(tmp_path, "four")
    assert [event for _, event in read_on(tmp_path, {third.file: third.end})] == ["four"]


def test_nothing_new_gives_nothing(tmp_path: Path) -> None:
    """All of it has been read, or there is no journal."""
    append(tmp_path, "one")
    [(place, _)] = read_on(tmp_path)
    assert read_on(tmp_path, {place.file: place.end}) == []
    assert read_on(tmp_path / "none") == []


def test_each_months_file_has_an_offset_of_its_own(tmp_path: Path) -> None:
    """One that is not named is read from its beginning."""
    for month in ("2024-02", "2023-12", "2024-01"):
        (tmp_path / f"{month}.jsonl").write_text(f'{{"event": "{month} a"}}\n{{"event": "{month} b"}}\n')
    found = read_on(tmp_path, {"2023-12.jsonl": 23, "2024-01.jsonl": 46, "2022-01.jsonl": 7})
    assert [event for _, event in found] == ["2023-12 b", "2024-02 a", "2024-02 b"]


def test_a_record_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """The last line has no end yet: the next reading begins with it."""
    (tmp_path / "2024-01.jsonl").write_bytes(b'{"event": "one"}\n{"event": ')
    [(place, _)] = read_on(tmp_path)
    with (tmp_path / "2024-01.jsonl").open("ab") as file:
        file.write(b'"two"}\n')
    assert read_on(tmp_path, {place.file: place.end}) == [(Position(place.file, 17, 34), "two")]


def test_what_is_no_record_has_no_place(tmp_path: Path) -> None:
    """The records behind it stand where they stand."""
    path = cut(tmp_path, b'{"event": "cut"\n' + b"\0" * 10 + b"\n")
    size = path.stat().st_size
    append(tmp_path, "next")
    assert [(place.start, event) for place, event in read_on(tmp_path)] == [(0, "whole"), (size, "next")]


# How far it has been carried


def test_nothing_has_been_carried_before_somebody_notes_it(tmp_path: Path) -> None:
    """All of it is to be read."""
    assert journal.delivery(tmp_path / "none") == Delivery()
    assert Delivery().offsets == Delivery().seen == {}


def test_a_note_is_read_back(tmp_path: Path) -> None:
    """The last one, in a folder that is made for it."""
    folder = tmp_path / "journal"
    notes = [
        Delivery({"2024-01.jsonl": 10}, {"2024-01.jsonl": 30}, ["aaaa"], "MLflow said: déjà vu", "7"),
        Delivery({"2024-01.jsonl": 30}, {"2024-01.jsonl": 30}),
    ]
    for note in notes:
        journal.note_delivery(folder, note)
        assert journal.delivery(folder) == note
    assert [path.name for path in folder.iterdir()] == ["delivered.json"]


def test_a_note_is_no_record(tmp_path: Path) -> None:
    """It lies beside the journal, and is no part of it."""
    append(tmp_path, "one")
    journal.note_delivery(tmp_path, Delivery())
    assert events(tmp_path) == ["one"]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 40, b'{"offsets": {"2024-01', b"[1, 2]", b"null", b'{"of_a_later_version": 1}', b"\xff{}"]
)
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    """The journal is carried from its beginning: MLflow knows what it has."""
    (tmp_path / "delivered.json").write_bytes(content)
    assert journal.delivery(tmp_path) == Delivery()


def test_a_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """What it does not say is as in a new one."""
    (tmp_path / "delivered.json").write_text('{"offsets": {"2024-01.jsonl": 10}}')
    assert journal.delivery(tmp_path) == Delivery(offsets={"2024-01.jsonl": 10})


def test_a_note_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    """A file in the place of its folder, for one."""
    (tmp_path / "journal").write_text("no folder")
    with pytest.raises(StorageError, match=r"delivered\.json"):
        journal.note_delivery(tmp_path / "journal", Delivery())


def test_what_is_behind_the_noted_offsets_has_not_arrived(tmp_path: Path) -> None:
    """All, some or none of it; lines that are no records do not count."""
    append(tmp_path, "one", "two", "three")
    with only_file(tmp_path).open("ab") as file:
        file.write(b"\0\0\0\n{}}\n")
    places = [place for place, _ in read_on(tmp_path)]
    assert journal.count_undelivered(tmp_path) == 3
    for left, place in zip((2, 1, 0), places, strict=True):
        journal.note_delivery(tmp_path, Delivery(offsets={place.file: place.end}))
        assert journal.count_undelivered(tmp_path) == left
    append(tmp_path, "four")
    assert journal.count_undelivered(tmp_path) == 1


def test_what_has_been_seen_has_not_arrived_for_that(tmp_path: Path) -> None:
    """MLflow may have refused it."""
    append(tmp_path, "one")
    [(place, _)] = read_on(tmp_path)
    journal.note_delivery(tmp_path, Delivery(seen={place.file: place.end}, trouble="refused"))
    assert journal.count_undelivered(tmp_path) == 1


def test_of_no_journal_nothing_is_left(tmp_path: Path) -> None:
    """Before the first run."""
    assert journal.count_undelivered(tmp_path / "none") == 0


# Many processes

APPENDER = """
import sys
from pathlib import Path
from champion_luigi.tracking import journal
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
