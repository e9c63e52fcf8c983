"""`champion clean`: what it removes, what it never touches, and that nothing is due after it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import (
    answering,
    archive_path,
    build,
    champion_command,
    champion_here,
    hear,
    lines_of,
    payload,
    publish,
    retry_at_once,
    run_champion,
    run_luigi,
    snapshot,
    start_python,
    wait_for,
)
from luigi.task_register import Register

from champion_luigi.base import locks, store
from champion_luigi.base.places import Place
from champion_luigi.commands.clean import command
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline import day_task
from champion_luigi.pipeline.tasks import LoadClickHouse, NormalizeBhavcopy, ParseBhavcopy, WriteParquet
from champion_luigi.storage import lake
from champion_luigi.upkeep import clean as cleaning
from champion_luigi.upkeep import redo
from champion_luigi.warehouse import opened

pytestmark = pytest.mark.integration

DAY, NEXT = date(2024, 1, 15), date(2024, 1, 16)
RANGE = ("--start", "2024-01-15", "--stop", "2024-01-17")
ROWS = 20
LEFTOVER = ".tmp-bhavcopy_20240115.arrows-4711-0123abcd"
PROCESS = "0123456789abcdef0123456789abcdef"

# Holds a lock until it is told to end.
HOLDER = """
import sys
from pathlib import Path
from champion_luigi.base import durable, locks
with locks.locked(Path(sys.argv[1]), "a lock", 0):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the first rows of two days' files."""
    folder = tmp_path.with_name(tmp_path.name + "-archive")
    for day in (DAY, NEXT):
        publish(folder, day, "legacy", lines_of(payload(day, "legacy"))[: ROWS + 1])
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(folder))
    yield folder
    opened.close_shared()


def clean(*arguments: str) -> dict[str, Any]:
    """`champion clean --json`: its document."""
    done = champion_here("clean", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(*tasks: Any) -> None:
    """Run tasks in this process, and let other processes have the warehouse."""
    built = build(*tasks)
    assert built.is_done, built.errors
    opened.close_shared()


def leave(path: Path, age: float = 2 * cleaning.LEFTOVER_SECONDS, content: bytes = b"12345") -> Path:
    """A file that was written so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def intermediates(day: date) -> list[Path]:
    """What there is between two stages of a day."""
    outputs = [task(date=day).output().file for task in (ParseBhavcopy, NormalizeBhavcopy)]
    return [path for path in outputs if path.exists()]


# What killed runs leave


def test_leftovers_go_from_data_and_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However deep they are, and also where the lake is elsewhere."""
    elsewhere = tmp_path.with_name(tmp_path.name + "-lake")
    monkeypatch.setenv("CHAMPION_LAKE_DIR", str(elsewhere))
    found = [
        leave(tmp_path / "parsed" / "2024" / LEFTOVER),
        leave(tmp_path / "journal" / ".tmp-delivered.json-4711-0123abcd"),
        leave(lake.partition(elsewhere, DAY, EQUITY).with_name(".tmp-bhavcopy_20240115.parquet-4711-0123abcd")),
    ]
    document = clean()
    assert {entry["path"] for entry in document["removed"]} == {str(path) for path in found}
    assert {entry["kind"] for entry in document["removed"]} == {"leftover"}
    assert document["bytes"] == 15
    assert [path for path in found if path.exists()] == []


def test_a_young_leftover_stays(tmp_path: Path) -> None:
    """A process may be writing it; the command says so."""
    young = leave(tmp_path / "parsed" / "2024" / LEFTOVER, age=600)
    done = run_champion("clean")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "There is nothing to remove.",
        "stays: 1 file, younger than an hour: a process may be writing it",
    ]
    assert young.exists()


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".tmp-mine",
        "locks/other.lock",
        "locks/archive.pace",
        "journal/running/README",
        "journal/2024-01.jsonl",
        "parsed/2024/bhavcopy_20240115.csv",
        "parsed/2024/bhavcopy_20241399.arrows",
        "parsed/2023/bhavcopy_20240115.arrows",
        "parsed/old/bhavcopy_20240115.arrows",
        "normalized/2024/copy of bhavcopy_20240115.arrows",
        "raw/2024/cm15JAN2024bhav.csv.zip",
        "rejects/2024/bhavcopy_20240115.jsonl",
        "due/2024-01-15.json",
    ],
)
def test_a_file_of_another_name_is_never_touched(tmp_path: Path, name: str) -> None:
    """However old it is, and although its day is in the lake."""
    leave(lake.partition(tmp_path / "lake", DAY, EQUITY))
    path = leave(tmp_path / name)
    items, kept = cleaning.find(WriteParquet)
    assert (items, kept) == ([], [])
    assert path.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """What it points to is not the pipeline's."""
    outside = tmp_path.with_name(tmp_path.name + "-outside")
    leave(outside / LEFTOVER)
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / LEFTOVER).symlink_to(outside / LEFTOVER)
    assert cleaning.find() == ([], [])


def test_locks_go_that_nobody_holds(tmp_path: Path) -> None:
    """A lock that a process holds stays, and is held still."""
    of_all = ["locks/archive.lock", "locks/adjustments.lock", "warehouse.lock", "journal/carrier.lock"]
    names = [f"locks/{NEXT}.lock", *of_all]
    free = [leave(tmp_path / name) for name in [*names, f"journal/running/{PROCESS}"]]
    held = [tmp_path / "locks" / f"{DAY}.lock", tmp_path / "journal" / "running" / PROCESS[::-1]]
    holders = [start_python(HOLDER, str(path)) for path in held]
    try:
        assert [hear(holder) for holder in holders] == ["held", "held"]
        document = clean()
        assert {entry["path"] for entry in document["removed"]} == {str(path) for path in free}
        reasons = {entry["path"]: entry["why"] for entry in document["kept"]}
        assert list(reasons) == [str(path) for path in held]
        for holder, why in zip(holders, reasons.values(), strict=True):
            assert why.startswith(f"held by process {holder.pid} (")
        assert [path for path in free if path.exists()] == []
        assert all(locks.is_locked(path) for path in held)
    finally:
        for holder in holders:
            holder.communicate("end\n", timeout=30)


def test_a_running_fill_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as if nobody had cleaned."""
    contents = {archive_path("legacy", day): payload(day, "legacy") for day in (DAY, NEXT)}
    cleaned = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        cleaned.wait(60)
        content = contents[request.path]
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    with answering(answer) as server:
        monkeypatch.setenv("NSE_ARCHIVE_URL", server.url)
        arguments = champion_command("fill", *RANGE, "--of", "WriteParquet")
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_for(lambda: len(server.requests) == 2, "the fill to fetch")
                held = [entry["path"] for entry in clean("--intermediates", "--lake-only")["kept"]]
                cleaned.set()
                _, errors = process.communicate(timeout=120)
            finally:
                process.kill()
    assert process.returncode == 0, errors
    assert {str(tmp_path / "locks" / f"{day}.lock") for day in (DAY, NEXT)} <= set(held)
    assert {day for day, _ in lake.days(tmp_path / "lake", EQUITY)} == {DAY, NEXT}


# Outputs between two stages


def test_after_a_cleaning_nothing_is_due() -> None:
    """For `champion fill`, `luigi` and `champion status`; what is not loaded keeps its intermediates."""
    run(LoadClickHouse(date=DAY), WriteParquet(date=NEXT))
    sizes = sum(path.stat().st_size for path in intermediates(DAY))
    document = clean("--intermediates")
    assert document["bytes"] == sizes
    assert {entry["kind"] for entry in document["removed"]} == {"intermediate"}
    assert intermediates(DAY) == []
    assert len(intermediates(NEXT)) == 2

    day = ("--start", "2024-01-15", "--stop", "2024-01-16")
    assert champion_here("fill", *day).stderr.splitlines()[-1] == "Nothing is missing."
    assert champion_here("status", "--start", "2024-01-15", "--end", "2024-01-15").returncode == 0
    luigi = run_luigi("LoadClickHouse", "--date", "2024-01-15")
    assert luigi.returncode == 0, luigi.stderr
    assert luigi.stderr == "INFO: LoadClickHouse 2024-01-15: complete already\n"


def test_redo_makes_what_it_needs_after_a_cleaning(tmp_path: Path, archive: Path) -> None:
    """From the file that was fetched: the archive is not asked."""
    run(LoadClickHouse(date=DAY))
    clean("--intermediates")
    archive.rename(archive.with_name("gone"))
    done = champion_here("redo", "--date", str(DAY), "--from", "write")
    assert done.returncode == 0, done.stderr
    assert len(intermediates(DAY)) == 2
    assert lake.scan(tmp_path / "lake").collect().height == ROWS


def test_without_a_warehouse_the_lake_decides() -> None:
    """With --lake-only, the day need not be loaded."""
    run(WriteParquet(date=DAY), NormalizeBhavcopy(date=NEXT))
    clean("--intermediates", "--lake-only")
    assert intermediates(DAY) == []
    assert len(intermediates(NEXT)) == 2
    assert champion_here("fill", *RANGE[:3], "2024-01-16", "--of", "WriteParquet").stderr.endswith(
        "Nothing is missing.\n"
    )


def test_what_is_asked_for_again_keeps_its_intermediates() -> None:
    """A redo that was killed will read them."""
    run(WriteParquet(date=DAY))
    redo.make_due(EQUITY, DAY, WriteParquet)
    assert cleaning.find(WriteParquet)[0] == []


def test_a_day_that_becomes_due_meanwhile_keeps_its_intermediates() -> None:
    """Between looking and deleting."""
    run(WriteParquet(date=DAY))
    items, _ = cleaning.find(WriteParquet)
    redo.make_due(EQUITY, DAY, WriteParquet)
    refused = [cleaning.remove(item, WriteParquet) for item in items]
    assert [kept.why for kept in refused if kept] == ["its day has become due in the meantime"] * 2
    assert len(intermediates(DAY)) == 2


def test_a_day_that_a_task_is_at_keeps_its_intermediates(tmp_path: Path) -> None:
    """Whoever holds the day's lock may read them; there is no waiting."""
    run(WriteParquet(date=DAY))
    holder = start_python(HOLDER, str(tmp_path / "locks" / f"{DAY}.lock"))
    try:
        hear(holder)
        document = clean("--intermediates", "--lake-only")
        assert document["removed"] == []
        # Not the process that runs the tests, which has a lock too: of its own presence.
        reasons = {entry["why"].partition(" (")[0] for entry in document["kept"]}
        assert reasons == {f"held by process {holder.pid}", f"in use by process {holder.pid}"}
        assert len(intermediates(DAY)) == 2
    finally:
        holder.communicate("end\n", timeout=30)


@pytest.mark.parametrize("of", ["LoadClickHouse", "WriteParquet"])
def test_a_fill_removes_the_intermediates_of_its_days(of: str) -> None:
    """Of loaded days, or where it fills the lake alone, of those in the lake; nothing is due after it."""
    done = champion_here("fill", *RANGE, "--of", of)
    assert done.returncode == 0, done.stderr
    assert intermediates(DAY) + intermediates(NEXT) == []
    assert champion_here("fill", *RANGE, "--of", of).stderr.splitlines()[-1] == "Nothing is missing."


def test_a_fill_leaves_the_intermediates_that_are_to_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever reads them, or often does days again."""
    monkeypatch.setenv("CHAMPION_KEEP_INTERMEDIATES", "true")
    assert champion_here("fill", *RANGE).returncode == 0
    assert len(intermediates(DAY) + intermediates(NEXT)) == 4


def test_a_fill_leaves_the_intermediates_of_a_day_that_it_could_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warehouse is down: the next fill loads from the lake, and removes none that it did not need."""
    retry_at_once(monkeypatch)
    monkeypatch.setenv("CLICKHOUSE_HOST", "127.0.0.1")
    monkeypatch.setenv("CLICKHOUSE_PORT", "9")
    assert champion_here("fill", *RANGE).returncode == 30
    assert len(intermediates(DAY) + intermediates(NEXT)) == 4


def test_a_fill_leaves_the_intermediates_of_a_day_that_is_requested_again() -> None:
    """By another process, between two tasks."""
    run(LoadClickHouse(date=DAY))
    redo.make_due(EQUITY, DAY, NormalizeBhavcopy)
    token = day_task.last_of_fill.set(LoadClickHouse)
    try:
        LoadClickHouse(date=DAY).run()
    finally:
        day_task.last_of_fill.reset(token)
    assert len(intermediates(DAY)) == 2


def test_tasks_have_nothing_to_do_for_a_day_that_a_fill_has_completed_meanwhile() -> None:
    """They were scheduled before; whoever asks for a table afterwards gets it."""
    scheduled = [ParseBhavcopy(date=DAY), NormalizeBhavcopy(date=DAY)]
    assert [task.complete() for task in scheduled] == [False, False]
    assert run_champion("fill", *RANGE).returncode == 0
    assert [task.complete() for task in scheduled] == [True, True]
    scheduled[1].run()
    assert intermediates(DAY) == []
    Register.clear_instance_cache()
    run(NormalizeBhavcopy(date=DAY))
    assert len(intermediates(DAY)) == 2


@pytest.mark.parametrize("left", [ParseBhavcopy, NormalizeBhavcopy])
def test_a_day_whose_intermediates_are_half_removed_is_complete(left: type[ParseBhavcopy]) -> None:
    """As a kill between the two leaves it; a redo makes the other again."""
    run(LoadClickHouse(date=DAY))
    for path in intermediates(DAY):
        if path != left(date=DAY).output().file:
            path.unlink()
    assert LoadClickHouse(date=DAY).complete()
    done = champion_here("redo", "--date", str(DAY), "--from", "write")
    assert done.returncode == 0, done.stderr
    assert LoadClickHouse(date=DAY).complete()


# The command


def test_a_dry_run_changes_nothing_and_says_what_would_go(tmp_path: Path) -> None:
    """Files and bytes, by kind; a real run then frees just that."""
    run(WriteParquet(date=DAY))
    leave(tmp_path / "raw" / "2024" / LEFTOVER)
    leave(tmp_path / "locks" / f"{NEXT}.lock", content=b"")
    sizes = sum(path.stat().st_size for path in intermediates(DAY))
    before = snapshot(tmp_path)
    arguments = ("clean", "--intermediates", "--lake-only")
    done = champion_here(*arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["leftovers", "1", "file", "5", "bytes"],
        [f"raw/2024/{LEFTOVER}"],
        ["locks", "1", "file", "0", "bytes"],
        [f"locks/{NEXT}.lock"],
        ["intermediates", "2", "files", f"{sizes:,}", "bytes"],
        ["parsed/2024/bhavcopy_20240115.arrows"],
        ["normalized/2024/bhavcopy_20240115.arrows"],
        ["would", "free", "4", "files", f"{sizes + 5:,}", "bytes"],
    ]
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert snapshot(tmp_path) == before
    assert champion_here(*arguments).stdout.splitlines()[-1].split() == [
        "freed",
        "4",
        "files",
        f"{sizes + 5:,}",
        "bytes",
    ]


def test_in_an_empty_folder_there_is_nothing_to_do(tmp_path: Path) -> None:
    """And nothing is made."""
    done = champion_here("clean", "--intermediates")
    assert (done.returncode, done.stdout) == (0, "There is nothing to remove.\n")
    assert list(tmp_path.iterdir()) == []


def test_lake_only_goes_with_intermediates() -> None:
    """Alone it would mean nothing."""
    result = CliRunner().invoke(command, ["--lake-only"])
    assert result.exit_code == 2
    assert "--lake-only needs --intermediates" in result.output


CLAIMING = """
import sys
from champion_luigi.config import wiring
claims = wiring.claims()
print(claims.take("equity/2024-01-15"), flush=True)
sys.stdin.readline()
"""


def test_what_a_killed_host_left_in_the_store_that_hosts_share(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claim to a day, once nobody renews it, and the object with which it tried the store out."""
    monkeypatch.setenv("CHAMPION_RAW_DIR", str(place))
    monkeypatch.setenv("CHAMPION_CLAIM_SECONDS", "5")
    host = start_python(CLAIMING)
    assert hear(host) == "True"
    claim = place / "claims" / "equity" / "2024-01-15.json"
    monkeypatch.setattr(cleaning, "LEFTOVER_SECONDS", 0.0)

    def removable() -> list[tuple[str, str]]:
        return [(item.kind, str(item.path)) for item in cleaning.find()[0] if item.kind in {"claim", "leftover"}]

    assert removable() == []
    assert any(str(each.path) == str(claim) and each.why.startswith("held by ") for each in cleaning.find()[1])
    host.kill()
    host.communicate()
    expected = [("claim", str(claim))]
    if not isinstance(place, Path):
        store.put(probe := place / f"{store.PROBE}of-a-killed-host", b"first")
        store.put(place / "other", b"not ours")
        expected.insert(0, ("leftover", str(probe)))
    wait_for(lambda: removable() == expected, "the claim to end", lambda: str(removable()))
    items, _ = cleaning.find()
    taken = next(item for item in items if item.kind == "claim")
    assert cleaning.remove_all([item for item in items if item.kind in {"claim", "leftover"}]) == {}
    assert removable() == []
    # Another host that took the claim over in between keeps it.
    store.put(claim, b"{}")
    [(_, why)] = cleaning.remove_all([taken]).items()
    assert "another host" in why.why
    assert store.get(claim) is not None
