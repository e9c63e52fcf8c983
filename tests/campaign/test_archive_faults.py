"""The fault campaign at the archive: every way in which it misbehaves, through the real commands, to the last row."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import campaign
import pytest
from helpers import (
    BOTH_DAY,
    COLUMNS,
    LEGACY_DAY,
    Rows,
    answering,
    archive_path,
    champion_command,
    luigi_command,
    payload,
    published,
    retry_at_once,
    self_signed,
)
from misbehaving import CATALOGUE, READ, REFUSALS, TOTAL, MisbehavingArchive, Misbehaviour, found, status
from simulated_server import Fault, SimulatedArchive

from champion_luigi.config.wiring import open_archive
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import answers, sessions
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = [pytest.mark.faults, pytest.mark.integration]

AREA = "Archive"
DAYS = sessions.sessions(date(2023, 1, 1), date(2024, 1, 1))
HARMFUL = [each for each in CATALOGUE if not each.is_harmless]
HEAVY = [each for each in HARMFUL if each.is_heavy]
# The heavy ones, of which memory is the question, and the first of each group.
ONE_BY_ONE = [*HEAVY, *{each.group: each for each in reversed(HARMFUL) if not each.is_heavy}.values()]
AT_ONCE = [each for each in CATALOGUE if not each.limit]
PARTS = 6
# Of a limit that has to end something, in seconds.
SHORT = "0.6"
# How much more memory a misbehaving archive may cost than an ordinary 404, in KiB, as the kernel counts it.
MOST_MEMORY = 150 * 1024
# Luigi's exit code where a task failed, and `champion fill`'s where days failed; and where one is not published yet.
FAILED, NOT_YET, ABSENT = 30, 20, 15


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a retry. Answers have the time that they need on a busy machine."""
    retry_at_once(monkeypatch)
    monkeypatch.setenv(READ, "30")
    monkeypatch.setenv(TOTAL, "100")


@contextlib.contextmanager
def archive(choose: Callable[[date, int], Misbehaviour | None]) -> Iterator[MisbehavingArchive]:
    """An archive that misbehaves as chosen for each request, configured for the commands."""
    misbehaving = MisbehavingArchive(choose)
    with answering(misbehaving) as server:
        os.environ["NSE_ARCHIVE_URL"] = server.url
        yield misbehaving


@pytest.fixture(autouse=True)
def _own_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `archive` sets is taken back."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")


# The kernel counts what a process was before `exec` with it: this small one stands between the tests and the command.
_MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss))
os._exit(os.waitstatus_to_exitcode(status) % 256)
"""


def run(command: list[str], **environment: str) -> tuple[int, str, int]:
    """A command's exit code, all its output, and its largest memory in KiB."""
    folder = Path(os.environ["DATA_DIR"])
    measured = folder.with_name(f"{folder.name}.memory")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", _MEASURED, str(measured), *command],
        env={**os.environ, **environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, int(measured.read_text())


def fill(*arguments: str, **environment: str) -> tuple[int, str]:
    """`champion fill`: its exit code and output."""
    code, output, _ = run(champion_command("fill", *arguments), **environment)
    return code, output


def load(day: date, **environment: str) -> tuple[int, str, int]:
    """`luigi --module champion_luigi LoadClickHouse --date D`: its exit code, output and largest memory."""
    return run(luigi_command("LoadClickHouse", "--date", str(day)), **environment)


def span(days: list[date]) -> tuple[str, ...]:
    return ("--start", str(days[0]), "--stop", str(days[-1] + timedelta(days=1)))


def rows_in_lake(folder: Path) -> dict[date, Rows]:
    """Each day of the lake, as `published` has its rows."""
    there: dict[date, Rows] = {}
    for day, entry in lake.days(folder / "lake", EQUITY):
        frame, _ = lake.read_parquet(Path(entry.path), EQUITY)
        there[day] = {(row[0], row[1]): row[2:] for row in frame.select("symbol", "series", *COLUMNS).iter_rows()}
    return there


def rows_in_warehouse(folder: Path) -> tuple[int, dict[date, Rows]]:
    """How many rows readers see, and each day of them, as `published` has its rows."""
    table = open_warehouse(Address(folder=folder / "warehouse"))
    table.prepare(EQUITY)
    try:
        rows = table.query(f"SELECT trade_date, symbol, series, {', '.join(COLUMNS)} FROM champion_market.equity_ohlc")
    finally:
        table.close()
    there: dict[date, Rows] = {}
    for day, symbol, series, *values in rows:
        there.setdefault(day, {})[symbol, series] = tuple(values)
    return len(rows), there


def require_as_published(folder: Path, days: list[date], seed: str = "") -> None:
    """Lake and warehouse hold these days, each of their rows as it was published, once, and nothing else."""
    expected = {day: published(payload(day, "legacy"), "legacy") for day in days}
    assert rows_in_lake(folder) == expected, seed
    count, there = rows_in_warehouse(folder)
    assert there == expected, seed
    assert count == sum(map(len, expected.values())), seed


def files_of(folder: Path, day: date) -> list[str]:
    """Every file that is there of a day, under whatever name, half-written ones too."""
    marks = (f"{day:%Y%m%d}", archive_path("legacy", day).rpartition("/")[2], f"{day}")
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if any(mark in path.name for mark in marks)]


def require_plain_words(output: str) -> None:
    """Nothing of Python's, nothing that a terminal obeys, and no line that nobody can read to its end."""
    assert "Traceback" not in output, output[-5000:]
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) < 3000, max(output.splitlines(), key=len)[:5000]


def settled(folder: Path) -> dict[date, tuple[str, str]]:
    """What the last fill made of each day that it could not complete, and why."""
    return {
        date.fromisoformat(record["date"]): (record["outcome"], record["reason"])
        for record in journal.read(folder / "journal")
        if record["event"] == "settled"
    }


# Everything at once


@pytest.mark.parametrize("part", campaign.rounds(fast=1, full=PARTS))
def test_each_misbehaviour_fails_its_own_day_and_no_other(part: int, tmp_path: Path) -> None:
    """A fill among misbehaviours completes all good days; each bad one is told, and the next fill has it."""
    chosen = [each for each in AT_ONCE[part::PARTS] if not each.is_heavy or campaign.IS_WHOLE]
    # Every third day is good.
    bad = dict(zip([day for place, day in enumerate(DAYS) if place % 3], chosen, strict=False))
    days = DAYS[: DAYS.index(max(bad)) + 2]
    cured = threading.Event()

    with archive(lambda day, _: None if cured.is_set() else bad.get(day)) as server:
        url = os.environ["NSE_ARCHIVE_URL"]
        code, output = fill(*span(days), "--workers", "16")
        assert code == FAILED, output
        require_plain_words(output)
        told = settled(tmp_path)
        failing = {day: each for day, each in bad.items() if not each.is_harmless}
        assert sorted(told) == sorted(failing), output
        for day, each in failing.items():
            outcome, reason = told[day]
            assert outcome == "failed", (each.name, reason)
            assert each.says in reason, (each.name, reason)
            assert f"{day}: " in reason, (each.name, reason)
            assert url + archive_path("legacy", day) in reason, (each.name, reason)
            assert server.asked[day] == each.attempts, (each.name, reason)
            assert files_of(tmp_path, day) == [], each.name
        assert answers.read(tmp_path / "ledger.jsonl", url).answers == {}
        good = [day for day in days if day not in failing]
        assert sorted(rows_in_lake(tmp_path)) == good

        cured.set()
        before = dict(server.asked)
        code, output = fill(*span(days))
        assert code == 0, output
        asked_again = {day for day, times in server.asked.items() if times != before.get(day)}
        assert asked_again == set(failing)
    require_as_published(tmp_path, days)
    assert not Path("/tmp/evil.csv").exists()

    for each in bad.values():
        outcome = (
            "the day is complete, rows as published"
            if each.is_harmless
            else "the fill exits 30 and tells date, URL and what was found; the other days are complete; the next fill "
            "completes the day, rows as published"
        )
        campaign.tell(AREA, each.group, outcome)


@pytest.mark.parametrize("limit", campaign.few([TOTAL, READ]))
def test_an_answer_that_does_not_end_is_ended(limit: str, tmp_path: Path) -> None:
    """By the longest silence or by the longest time for a file, alone; three times, and then the day has failed."""
    bad = dict(zip(DAYS, [each for each in CATALOGUE if each.limit == limit], strict=False))
    cured = threading.Event()
    with archive(lambda day, _: None if cured.is_set() else bad.get(day)) as server:
        code, output = fill(*span(list(bad)), "--of", "WriteParquet", **{limit: SHORT})
        assert code == FAILED, output
        require_plain_words(output)
        told = settled(tmp_path)
        assert sorted(told) == sorted(bad), output
        for day, each in bad.items():
            assert each.says in told[day][1], (each.name, told[day])
            assert os.environ["NSE_ARCHIVE_URL"] + archive_path("legacy", day) in told[day][1]
            assert server.asked[day] == each.attempts, each.name
            assert files_of(tmp_path, day) == [], each.name
        assert not (tmp_path / "ledger.jsonl").exists()
        cured.set()
        code, output = fill(*span(list(bad)))
        assert code == 0, output
    require_as_published(tmp_path, list(bad))
    for each in bad.values():
        campaign.tell(
            AREA,
            each.group,
            "ended three times, and told with date and URL; the fill exits 30; the next one completes the day, "
            "rows as published",
        )


# One by one, and what it costs


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The largest memory, in KiB, of a run whose file is not there."""
    folder = tmp_path_factory.mktemp("ordinary")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DATA_DIR", str(folder))
        patched.setenv("CHAMPION_TRACKING", "journal")
        with answering(lambda handler: status(404)(handler, b"")) as server:
            patched.setenv("NSE_ARCHIVE_URL", server.url)
            code, output, memory = load(LEGACY_DAY)
    assert code == NOT_YET, output
    return memory


@pytest.mark.parametrize("number", campaign.rounds(fast=1, full=len(ONE_BY_ONE)))
def test_a_misbehaviour_fails_the_day_in_bounded_memory_and_a_good_answer_completes_it(
    number: int, tmp_path: Path, ordinary: int
) -> None:
    """Exit code 30, date and URL, no file, little memory; the same command again loads the day."""
    each = ONE_BY_ONE[number]
    limit = {each.limit: SHORT} if each.limit else {}
    cured = threading.Event()
    with archive(lambda _day, _times: None if cured.is_set() else each) as server:
        url = os.environ["NSE_ARCHIVE_URL"] + archive_path("legacy", LEGACY_DAY)
        code, output, memory = load(LEGACY_DAY, **limit)
        assert code == FAILED, output
        require_plain_words(output)
        told = [line for line in output.splitlines() if f"{LEGACY_DAY}: " in line and url in line]
        assert any(each.says in line for line in told), (each.name, output)
        assert server.asked[LEGACY_DAY] == each.attempts
        assert memory < ordinary + MOST_MEMORY, f"{each.name}: {memory // 1024} MiB, else {ordinary // 1024}"
        assert files_of(tmp_path, LEGACY_DAY) == []
        assert not (tmp_path / "ledger.jsonl").exists()

        cured.set()
        code, output, _ = load(LEGACY_DAY)
        assert code == 0, output
    require_as_published(tmp_path, [LEGACY_DAY])
    campaign.tell(
        AREA,
        "any of these in answer to `luigi --module champion_luigi LoadClickHouse --date D`, and its memory measured",
        "exit code 30, with date, URL and what was found, in less than 150 MiB above a 404; no file of the day "
        "is left and no day closed; run again, it loads the day, rows as published",
    )


# At random


@pytest.mark.parametrize("seed", campaign.rounds(fast=0, full=4))
def test_an_archive_that_misbehaves_at_random_gives_everything_in_the_end(seed: int, tmp_path: Path) -> None:
    """Thirty days, a misbehaviour drawn for each request: fills again and again end with all rows as published."""
    most = 8
    pool = [each for each in (*CATALOGUE, *REFUSALS[:3]) if not each.is_heavy]
    start = random.Random(seed).randrange(len(DAYS) - 30)
    days = DAYS[start : start + 30]

    def choose(day: date, times: int) -> Misbehaviour | None:
        dice = random.Random(f"{seed} {day} {times}")
        return None if times > most or dice.random() < 0.4 else dice.choice(pool)

    limits = {READ: "2", TOTAL: "3"}
    fills = 0
    with archive(choose) as server:
        code, output = -1, ""
        while code != 0:
            assert fills < 60, f"seed {seed}: {output}"
            code, output = fill(
                *span(days), **limits, CHAMPION_FILL_WORKERS=str(random.Random(f"{seed} {fills}").choice([2, 8, 32]))
            )
            fills += 1
            assert code in (0, FAILED), f"seed {seed}: {output}"
            require_plain_words(output)
            for day, rows in rows_in_lake(tmp_path).items():
                assert rows == published(payload(day, "legacy"), "legacy"), f"seed {seed}: {day}"
        assert not (tmp_path / "ledger.jsonl").exists(), f"seed {seed}"
        assert sum(server.asked.values()) > len(days), f"seed {seed}"
    require_as_published(tmp_path, days, f"seed {seed}")
    campaign.tell(
        AREA,
        "a fill of thirty days from an archive that misbehaves at random, in any of these ways, at most requests",
        "after each fill the lake holds whole days alone; fills again and again end with every row as published",
    )


# Refusals


@pytest.mark.parametrize("number", campaign.rounds(fast=1, full=len(REFUSALS)))
def test_an_archive_that_refuses_is_asked_once_and_a_fill_stops(number: int, tmp_path: Path) -> None:
    """Exit code 30, no retry, no day closed; another day of the same fill is not asked for."""
    each = REFUSALS[number]
    days = DAYS[:60]
    cured = threading.Event()
    with archive(lambda _day, _times: None if cured.is_set() else each) as server:
        code, output = fill(*span(days), "--of", "WriteParquet", "--workers", "1")
        assert code == FAILED, output
        require_plain_words(output)
        assert each.says in output
        assert "days are left (the archive refuses" in output
        assert server.asked == {days[0]: 1}
        assert not (tmp_path / "ledger.jsonl").exists()
        cured.set()
        code, output = fill(*span(days[:3]))
        assert code == 0, output
    require_as_published(tmp_path, days[:3])
    campaign.tell(
        AREA,
        each.group,
        "asked once; the fill stops, exits 30 and counts what is left; a fill later completes it, rows as published",
    )


# Late, and once more


def test_a_day_that_is_published_late_is_outstanding_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 20 from a fill and from the day's own task, nothing closed; once it is there, 0."""
    day = sessions.latest_published(datetime.now(UTC), time(19))
    asked = (*span([day]), "--of", "WriteParquet")
    with SimulatedArchive({day: Fault("not_found")}) as server:
        monkeypatch.setenv("NSE_ARCHIVE_URL", server.url)
        code, output = fill(*asked)
        assert code == NOT_YET, output
        assert "not published yet" in output
        code, output, _ = load(day)
        assert code == NOT_YET, output
        assert "not published yet" in output
        assert not (tmp_path / "ledger.jsonl").exists()
        server.faults.clear()
        code, output = fill(*asked)
        assert code == 0, output
    assert sorted(rows_in_lake(tmp_path)) == [day]
    campaign.tell(
        AREA,
        "a day's file is published late: 404 on its evening, and there afterwards",
        "the fill exits 20, with when to try again; no day is closed; the next fill completes it",
    )


COMMANDS = (("redo", "--from", "scrape", "--date", str(BOTH_DAY)), ("refresh", "--days", "1"))


@pytest.mark.parametrize("number", campaign.rounds(fast=0, full=len(COMMANDS)))
def test_a_restated_day_replaces_the_old_one_which_is_kept(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of lake and warehouse are the new file's alone, and the old file stands under restated/, to the byte."""
    command = COMMANDS[number]
    old = payload(BOTH_DAY, "legacy")
    with SimulatedArchive() as server:
        monkeypatch.setenv("NSE_ARCHIVE_URL", server.url)
        code, output, _ = load(BOTH_DAY)
        assert code == 0, output
        server.faults[BOTH_DAY] = Fault("restated")
        new = open_archive(server.url).get(archive_path("legacy", BOTH_DAY), BOTH_DAY)[0]
        code, output, _ = run(champion_command(*command))
        assert code == 0, output
    expected = {BOTH_DAY: published(new, "legacy")}
    assert expected != {BOTH_DAY: published(old, "legacy")}
    assert rows_in_lake(tmp_path) == expected
    assert rows_in_warehouse(tmp_path) == (len(expected[BOTH_DAY]), expected)
    [kept] = (tmp_path / "raw" / "2024" / "restated").rglob("*.zip")
    assert kept.read_bytes() == old
    campaign.tell(
        AREA,
        f"a file is published anew, with fewer rows, and `champion {command[0]}` fetches it",
        "lake and warehouse hold the new rows alone; the old file is kept, to the byte",
    )


# Folders


def test_only_a_file_that_is_really_absent_from_a_folder_closes_its_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that leads nowhere, a Git LFS pointer and a share that goes away never close one."""
    share = tmp_path / "share"
    days = DAYS[:6]
    files = {day: share / archive_path("legacy", day).lstrip("/") for day in days}
    for day, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(payload(day, "legacy"))
    good, other_case, link, pointer, absent, last = days
    files[other_case].rename(files[other_case].with_name(files[other_case].name.upper()))
    for day in (link, pointer, absent):
        files[day].unlink()
    files[link].symlink_to("/nowhere/at/all")
    files[pointer].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    monkeypatch.setenv("NSE_ARCHIVE_URL", f"{share}/")
    ledger = tmp_path / "ledger.jsonl"

    code, output = fill(*span(days[:5]), "--of", "WriteParquet")
    assert code == FAILED, output
    require_plain_words(output)
    told = settled(tmp_path)
    assert {day: outcome for day, (outcome, _) in told.items()} == {
        link: "failed",
        pointer: "failed",
        absent: "absent",
    }
    assert f"{link}: a symbolic link leads nowhere" in told[link][1]
    assert "Git LFS pointer" in told[pointer][1]
    assert set(answers.read(ledger, str(share)).answers) == {absent}

    away = share.rename(tmp_path / "away")
    share.mkdir()
    code, output = fill(*span(days), "--of", "WriteParquet")
    assert code == FAILED, output
    require_plain_words(output)
    assert "the archive's folder is empty" in output
    assert set(answers.read(ledger, str(share)).answers) == {absent}

    share.rmdir()
    away.rename(share)
    for day in (link, pointer):
        files[day].unlink()
        files[day].write_bytes(payload(day, "legacy"))
    # However it is spelled, it is the archive that lacks the day.
    monkeypatch.setenv("NSE_ARCHIVE_URL", f"file://{tmp_path}/./share")
    code, output = fill(*span(days), "--of", "WriteParquet")
    assert code == ABSENT, output
    assert sorted(rows_in_lake(tmp_path)) == [good, other_case, link, pointer, last]
    campaign.tell(
        AREA,
        "a folder as the archive: a name in another case, a link that leads nowhere, a Git LFS pointer, an empty mount "
        "point",
        "the first is read; the others are named, exit code 30, none counts as missing; repaired, the days are loaded",
    )


# TLS


@contextlib.contextmanager
def tls_archive(folder: Path, misbehaving: MisbehavingArchive) -> Iterator[Path]:
    """The same over HTTPS, with a certificate that nobody else has signed, at the path that is given."""
    with answering(misbehaving, tls=self_signed(folder)) as server:
        os.environ["NSE_ARCHIVE_URL"] = server.url
        yield folder / "certificate.pem"


def test_a_certificate_that_nobody_has_signed_is_told_and_can_be_trusted(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Exit code 30 with what to do, and nothing is asked for; with REQUESTS_CA_BUNDLE the day is loaded."""
    misbehaving = MisbehavingArchive(lambda _day, _times: None)
    with tls_archive(tmp_path_factory.mktemp("tls"), misbehaving) as certificate:
        code, output, _ = load(LEGACY_DAY)
        assert code == FAILED, output
        require_plain_words(output)
        assert f"{LEGACY_DAY}: the archive's certificate is not trusted; found self" in output
        assert "set REQUESTS_CA_BUNDLE" in output
        assert misbehaving.asked == {}
        assert files_of(tmp_path, LEGACY_DAY) == []
        code, output, _ = load(LEGACY_DAY, REQUESTS_CA_BUNDLE=str(certificate))
        assert code == 0, output
    require_as_published(tmp_path, [LEGACY_DAY])
    campaign.tell(
        AREA,
        "HTTPS with a certificate that nobody has signed",
        "exit code 30, says that it is not trusted and what to do; with REQUESTS_CA_BUNDLE the day is loaded",
    )


def test_a_trickle_within_tls_ends_at_the_total_limit(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The limit ends the connection below the encryption too."""
    [slow] = [each for each in CATALOGUE if each.name == "body without a length"]
    misbehaving = MisbehavingArchive(lambda _day, _times: slow)
    with tls_archive(tmp_path_factory.mktemp("tls"), misbehaving) as certificate:
        code, output, _ = load(LEGACY_DAY, REQUESTS_CA_BUNDLE=str(certificate), **{TOTAL: SHORT})
    assert code == FAILED, output
    require_plain_words(output)
    assert "the answer came too slowly" in output
    assert misbehaving.asked == {LEGACY_DAY: 3}
    assert files_of(tmp_path, LEGACY_DAY) == []
    campaign.tell(
        AREA,
        "a body that trickles past CHAMPION_TOTAL_SECONDS over HTTPS",
        "ended three times, and told; exit code 30, and no file of the day is left",
    )


# Files that were met in the wild


def test_odd_files_of_the_wild_are_told_each_and_the_days_completed_later(
    tmp_path: Path, shared: Callable[[str], Path]
) -> None:
    """Pages, delivery files, other archives' and rewritten files in a day's place: a fill takes none of them."""
    odd = sorted(path for path in shared("weird").iterdir() if path.is_file())
    days = DAYS[: len(odd) + 1]
    files = dict(zip(days, odd, strict=False))
    cured = threading.Event()

    def choose(day: date, _: int) -> Misbehaviour | None:
        if cured.is_set() or day not in files:
            return None
        return Misbehaviour(files[day].name, "", found(files[day].read_bytes()), "refused")

    with archive(choose):
        code, output = fill(*span(days), "--of", "WriteParquet")
        assert code == FAILED, output
        require_plain_words(output)
        told = settled(tmp_path)
        assert sorted(told) == sorted(files), output
        for day, (outcome, reason) in told.items():
            assert outcome == "failed"
            assert reason.startswith(("UnknownLayout: ", "RejectedPayload: ", "WrongDate: ")), (files[day].name, reason)
            assert archive_path("legacy", day) in reason
            assert files_of(tmp_path, day) == [], files[day].name
        cured.set()
        code, output = fill(*span(days), "--of", "WriteParquet")
        assert code == 0, output
    assert rows_in_lake(tmp_path) == {day: published(payload(day, "legacy"), "legacy") for day in days}
    campaign.tell(
        AREA,
        "files that were met in the wild, in a day's place: pages, delivery files, rewritten files",
        "the fill exits 30 and tells what each is; the next fill completes the days, rows as published",
        count=len(odd),
    )
