"""The pipeline's end of its records: what counts as waiting, whose a record is, what is secret, and what goes wrong."""

from __future__ import annotations

import contextlib
import contextvars
import csv
import io
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from helpers import (
    BOTH_DAY,
    LEGACY_DAY,
    UDIFF_DAY,
    build,
    hear,
    retry_at_once,
    run_luigi,
    start_luigi,
    start_python,
    wait_for,
)
from luigi.configuration.cfg_parser import LuigiConfigParser

from champion_luigi import LoadClickHouse, ScrapeBhavcopy, WriteParquet, run_day
from champion_luigi.base import locks, secrets
from champion_luigi.base.errors import Busy, ChampionError
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import lake
from champion_luigi.tracking import journal, mlflow_store, presence, record
from champion_luigi.tracking.run import Run
from champion_luigi.tracking.runs import Runs
from champion_luigi.warehouse import opened
from champion_luigi.warehouse import table as warehouse

DAY = LEGACY_DAY
MLFLOW_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

Record = dict[str, Any]


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's passwords; and none waits for a retry."""
    for name in MLFLOW_SECRETS:
        monkeypatch.delenv(name, raising=False)
    retry_at_once(monkeypatch)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Simulated files without a server, and no warehouse that stays open."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    yield
    opened.close_shared()


def records(folder: Path, **wanted: str) -> list[Record]:
    """The journal's records that have these values, oldest first."""
    found = journal.read(folder / "journal")
    return [each for each in found if all(str(each.get(name)) == value for name, value in wanted.items())]


def flows(folder: Path) -> list[Run]:
    """What the journal comes to."""
    book = Runs()
    for place, each in journal.read_from(folder / "journal", {}):
        book.add(place, each)
    return list(book.tell([]))


# Waiting for others


def test_the_wait_for_a_lock_is_counted(tmp_path: Path) -> None:
    """From when it was found taken to when it was free."""
    held: list[float] = []
    with contextlib.ExitStack() as holding:
        holding.enter_context(locks.locked(tmp_path / "day.lock", "the day", 0))

        def let_go(_message: str) -> None:
            begun = time.monotonic()
            time.sleep(0.1)
            held.append(time.monotonic() - begun)
            holding.close()

        begun = time.monotonic()
        with locks.counting_waits() as waits, locks.locked(tmp_path / "day.lock", "the day", 60, let_go):
            pass
        passed = time.monotonic() - begun
    [wait] = waits
    assert held[0] <= wait <= passed


def test_a_lock_that_is_free_is_no_wait(tmp_path: Path) -> None:
    """Taking it takes time, and nobody was waited for."""
    with locks.counting_waits() as waits:
        for _ in range(3):
            with locks.locked(tmp_path / "day.lock", "the day", 60):
                pass
    assert waits == []


def test_the_time_that_a_lock_is_held_is_no_wait(tmp_path: Path) -> None:
    """It is what the lock was taken for."""
    with locks.counting_waits() as waits, locks.locked(tmp_path / "day.lock", "the day", 60):
        time.sleep(0.01)
    assert waits == []


def test_waits_add_up() -> None:
    """A lock, and then a turn."""
    with locks.counting_waits() as waits:
        locks.note_wait(2.0)
        locks.note_wait(0.5)
    assert sum(waits) == 2.5


@pytest.mark.parametrize("seconds", [0.0, -3.0])
def test_no_time_is_no_wait(seconds: float) -> None:
    """What never had to wait has begun before it asked."""
    with locks.counting_waits() as waits:
        locks.note_wait(seconds)
    assert waits == []


def test_waits_are_counted_where_somebody_asks() -> None:
    """Neither before, nor after, nor after an error."""
    locks.note_wait(1.0)
    with pytest.raises(ZeroDivisionError), locks.counting_waits() as waits:
        raise ZeroDivisionError
    locks.note_wait(2.0)
    assert waits == []


def test_each_thread_counts_its_own_waits() -> None:
    """Two days at a time do not wait for the same things."""
    together = threading.Barrier(2)

    def wait(seconds: float) -> list[float]:
        with locks.counting_waits() as waits:
            together.wait(60)
            locks.note_wait(seconds)
            together.wait(60)
            return waits

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(wait, [1.0, 2.0])) == [[1.0], [2.0]]


# Whether a lock is held


def test_a_lock_is_held_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    """By this process or by another one, and asking changes nothing."""
    lock = tmp_path / "locks" / "day.lock"
    assert not locks.is_locked(lock)
    with locks.locked(lock, "the day", 0):
        assert locks.is_locked(lock)
        assert locks.is_locked(lock)
        with pytest.raises(Busy), locks.locked(lock, "the day", 0):
            pass
    assert not locks.is_locked(lock)
    with locks.locked(lock, "the day", 0):
        pass


HOLDER = """
import sys
from pathlib import Path
from champion_luigi.base import durable, locks
with locks.locked(Path(sys.argv[1]), "the day", 0):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.integration
def test_a_lock_of_a_killed_process_is_not_held(tmp_path: Path) -> None:
    """Its file is still there."""
    lock = tmp_path / "day.lock"
    holder = start_python(HOLDER, str(lock))
    assert hear(holder) == "locked"
    assert locks.is_locked(lock)
    holder.kill()
    holder.communicate()
    assert lock.exists()
    assert not locks.is_locked(lock)


# Whose a record is


def test_a_record_is_of_this_process(tmp_path: Path) -> None:
    """With its host, its time and what it is about."""
    record.record("weighed", grams=3)
    [found] = records(tmp_path)
    assert (found["event"], found["execution"], found["pid"]) == ("weighed", presence.PROCESS, os.getpid())
    assert found["grams"] == 3
    assert found["host"]
    assert found["time"].endswith("+00:00")


def test_a_part_of_a_process_is_an_execution_of_its_own(tmp_path: Path) -> None:
    """It is named after the process, and each part has another name."""
    for _ in range(2):
        with record.execution():
            record.record("weighed")
    record.record("weighed")
    first, second, own = [each["execution"] for each in records(tmp_path, event="weighed")]
    assert own == presence.PROCESS
    assert len({first, second, own}) == 3
    assert {name.partition(".")[0] for name in (first, second)} == {own}


def test_a_part_says_when_it_ends(tmp_path: Path) -> None:
    """Its last record; an error ends it as well."""

    def weigh() -> None:
        with record.execution():
            record.record("weighed")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        weigh()
    weighed, end = records(tmp_path)
    assert (end["event"], end["execution"]) == ("end", weighed["execution"])


def test_a_part_that_recorded_nothing_leaves_no_trace(tmp_path: Path) -> None:
    """A day that was complete already."""
    with record.execution():
        pass
    assert not (tmp_path / "journal").exists()


def test_a_part_within_a_part_has_an_end_of_its_own(tmp_path: Path) -> None:
    """After it, the outer one goes on."""
    with record.execution():
        record.record("outer")
        with record.execution():
            record.record("inner")
        record.record("outer")
    found = records(tmp_path)
    assert [each["event"] for each in found] == ["outer", "inner", "end", "outer", "end"]
    outer, inner = found[0]["execution"], found[1]["execution"]
    assert [each["execution"] for each in found] == [outer, inner, inner, outer, outer]


def test_threads_that_start_with_a_part_are_of_it(tmp_path: Path) -> None:
    """A fill runs its days in threads, each with the context of the fill."""
    with record.execution():
        record.record("here")
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(record.record, "there"))
        thread.start()
        thread.join()
    here, there, _ = records(tmp_path)
    assert (here["event"], there["event"]) == ("here", "there")
    assert here["execution"] == there["execution"]


def test_nothing_is_recorded_for_a_part_that_has_ended(tmp_path: Path) -> None:
    """Threads of a fill that was interrupted go on until the process ends: what became of its days has been said."""
    with record.execution():
        record.record("here")
        context = contextvars.copy_context()
    context.run(record.record, "late")
    assert [each["event"] for each in records(tmp_path)] == ["here", "end"]


def test_nothing_is_recorded_where_tracking_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, no folder, no lock."""
    monkeypatch.setenv("CHAMPION_TRACKING", "off")
    with record.execution():
        record.record("weighed")
    record.start()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_journals_can_be_seen_to_live(tmp_path: Path) -> None:
    """By the lock that it holds, named after it."""
    record.record("weighed")
    assert locks.is_locked(journal.presence_file(tmp_path / "journal", presence.PROCESS))


ONE_RECORD = """
from champion_luigi.tracking import presence, record
record.record('weighed')
print(presence.PROCESS, flush=True)
"""


@pytest.mark.integration
def test_a_process_that_ends_says_so_and_leaves_no_lock(tmp_path: Path) -> None:
    """Its `end` is the last that is heard of it."""
    program = start_python(ONE_RECORD)
    process = hear(program)
    program.communicate(timeout=60)
    found = [(each["event"], each["execution"]) for each in records(tmp_path)]
    assert found == [("weighed", process), ("end", process)]
    assert list((tmp_path / "journal" / "running").iterdir()) == []


@pytest.mark.integration
def test_a_process_that_recorded_nothing_says_nothing_at_its_end(tmp_path: Path) -> None:
    """Importing the package is no work."""
    program = start_python("import champion_luigi")
    program.communicate(timeout=60)
    assert program.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_run_day_is_an_execution_by_itself(tmp_path: Path, archive: None) -> None:
    """So a notebook's failure is final when the call returns, and its next attempt is another flow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSE_ARCHIVE_URL", str(tmp_path / "nothing here"))
        with pytest.raises(ChampionError):
            run_day(DAY, load_to_clickhouse=False)
    run_day(DAY, load_to_clickhouse=False)
    told = flows(tmp_path)
    assert [(flow.params["trade_date"], flow.status) for flow in told] == [
        (str(DAY), "FAILED"),
        (str(DAY), "FINISHED"),
    ]
    assert len({flow.execution for flow in told}) == 2


@pytest.mark.integration
def test_each_call_of_run_day_asks_for_its_own_last_task(
    tmp_path: Path, archive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that failed is not what a later call for the lake alone was about."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(tmp_path / "nothing here"))
    with pytest.raises(ChampionError):
        run_day(BOTH_DAY)
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    run_day(BOTH_DAY, load_to_clickhouse=False)
    told = {flow.status: flow.params["load_to_clickhouse"] for flow in flows(tmp_path)}
    assert told == {"FAILED": "True", "FINISHED": "False"}


# Secrets

# As written in an address, and as it is.
ENCODED, DECODED = "p%40ss%2Fw%C3%B6rd", "p@ss/wörd"


@pytest.mark.parametrize(
    ("variable", "value", "secrets"),
    [
        ("MLFLOW_TRACKING_URI", "https://reader:hunter2@mlflow.example:5000/base", {"hunter2"}),
        ("MLFLOW_TRACKING_URI", "postgresql+psycopg2://mlflow:hunter2@db.example/mlflow", {"hunter2"}),
        ("MLFLOW_TRACKING_URI", f"https://reader:{ENCODED}@mlflow.example", {ENCODED, DECODED}),
        ("MLFLOW_TRACKING_URI", "https://reader:hun@ter:2@mlflow.example", {"hun@ter:2"}),
        ("MLFLOW_TRACKING_PASSWORD", "hunter2", {"hunter2"}),
        ("MLFLOW_TRACKING_TOKEN", "token-4711", {"token-4711"}),
        ("NSE_ARCHIVE_URL", "https://reader:hunter2@archive.example/nse", {"hunter2"}),
        ("NSE_ARCHIVE_URL", f"https://reader:{ENCODED}@archive.example", {ENCODED, DECODED}),
        ("CLICKHOUSE_PASSWORD", "p%s$HOME'é\"#;", {"p%s$HOME'é\"#;"}),
        ("MLFLOW_TRACKING_URI", "https://mlflow.example:5000/a:b@c", set()),
        ("MLFLOW_TRACKING_URI", "https://reader@mlflow.example:5000", set()),
        ("MLFLOW_TRACKING_URI", "sqlite:////srv/mlflow:5/a@b.db", set()),
        ("MLFLOW_TRACKING_URI", "https://reader:@mlflow.example", set()),
        ("NSE_ARCHIVE_URL", "/srv/archive", set()),
        ("NSE_ARCHIVE_URL", "simulated:", set()),
    ],
)
def test_every_password_and_token_is_a_secret(
    variable: str, value: str, secrets: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each place that can hold one, as written and as decoded; and nothing else is."""
    monkeypatch.setenv(variable, value)
    assert settings.secrets() == secrets


def test_without_any_password_nothing_is_secret() -> None:
    """The defaults."""
    assert settings.secrets() == set()
    assert settings.without_secrets("a text") == "a text"


def test_a_text_comes_back_with_all_secrets_starred(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often, wherever they come from, and in either form."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"https://reader:{ENCODED}@mlflow.example")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-4711")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "hunter2")
    text = f"{ENCODED} or {DECODED}: token-4711 and hunter2hunter2 were refused"
    assert settings.without_secrets(text) == "*** or ***: *** and ****** were refused"
    assert settings.without_secrets(settings.tracking_uri()) == "https://reader:***@mlflow.example"


def test_of_a_secret_that_holds_another_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer one goes first."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "hunter2-and-more")
    assert settings.without_secrets("hunter2-and-more, hunter") == "***, ***"


def test_a_password_that_a_caller_gives_is_a_secret() -> None:
    """As in `run_day`, for the time of the call."""
    with settings.overridden({"clickhouse_password": "callers"}):
        assert settings.without_secrets("callers") == "***"
    assert settings.secrets() == set()


@pytest.fixture
def unreadable_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `luigi.cfg` with a password that Luigi cannot read."""
    (tmp_path / "luigi.cfg").write_text("[clickhouse]\npassword = hunter%2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LuigiConfigParser, "_instance", None)


def test_a_password_that_cannot_be_read_hides_no_other(
    unreadable_password: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever needs it is told; the other secrets are as secret as they were."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-4711")
    assert settings.without_secrets("token-4711") == "***"


@pytest.mark.integration
def test_a_warehouse_password_that_cannot_be_read_keeps_the_lake_from_nothing(
    tmp_path: Path, unreadable_password: None, archive: None
) -> None:
    """No warehouse is asked for: the fill runs, and is recorded."""
    done = run_luigi("FillBhavcopy", "--of", "WriteParquet", "--start", "2024-01-15", "--stop", "2024-01-16")
    assert done.returncode == 0, done.stderr
    assert records(tmp_path, event="success", task="WriteParquet")


# Where MLflow's runs are kept


def test_runs_are_kept_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In SQLite, by an address that holds wherever it is used from."""
    assert settings.tracking_uri() == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", "data")
    assert settings.tracking_uri() == f"sqlite:///{tmp_path}/data/mlflow/mlflow.db"


@pytest.mark.parametrize("name", [*map(chr, range(32, 127)), "%20?c=d#e f", "%25", "é日\U0001f600", "file:x?uri=true"])
def test_the_stores_address_stands_for_the_folder_whatever_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLAlchemy decodes it. A name with a question mark or %20 would be another one there."""
    folder = tmp_path / f"a{name}b"
    monkeypatch.setenv("DATA_DIR", str(folder))
    address = sqlalchemy.make_url(settings.tracking_uri())
    assert (address.get_backend_name(), address.database) == ("sqlite", f"{folder}/mlflow/mlflow.db")
    assert not address.query


def test_mlflow_gets_a_home_where_a_user_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME and an entry in the password file; every other home stays."""
    environment = {"HOME": "/home/someone"}
    mlflow_store.prepare(environment)
    assert environment["HOME"] == "/home/someone"
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    environment = {}
    mlflow_store.prepare(environment)
    assert environment["HOME"] == "/"


def test_a_given_store_is_used_as_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its password, for MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://reader:hunter2@mlflow.example")
    assert settings.tracking_uri() == "https://reader:hunter2@mlflow.example"
    assert record.job().uri == settings.tracking_uri()


def test_what_a_carrier_is_told_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a log, nor in a traceback; the carrier itself has them all, to star them out."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://reader:hunter2@mlflow.example")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-4711")
    job = record.job(presence.PROCESS)
    assert not any(secret in repr(job) for secret in ("hunter2", "token-4711"))
    assert secrets.starred("hunter2 token-4711", job.secrets) == "*** ***"
    assert type(job).from_json(job.to_json()) == job


# A journal that cannot be written


def with_a_file_in_its_place(folder: Path) -> None:
    (folder / "journal").write_text("no folder")


def on_a_full_disk(folder: Path) -> None:
    (folder / "journal").mkdir()
    # The test may run at the change of a month.
    for day in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)):
        with contextlib.suppress(FileExistsError):
            (folder / "journal" / f"{day:%Y-%m}.jsonl").symlink_to("/dev/full")


def in_a_read_only_folder(folder: Path) -> None:
    (folder / "journal").mkdir(mode=0o500)


CANNOT_BE_WRITTEN = [
    with_a_file_in_its_place,
    pytest.param(on_a_full_disk, marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")),
    pytest.param(in_a_read_only_folder, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")),
]
each_reason = pytest.mark.parametrize("cannot_be_written", CANNOT_BE_WRITTEN)


@each_reason
def test_a_journal_that_cannot_be_written_is_reported_once(
    cannot_be_written: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it is and why, in one line; and nobody has to do anything about it."""
    cannot_be_written(tmp_path)
    caplog.set_level(logging.WARNING, logger="luigi-interface")
    with record.execution():
        for _ in range(3):
            record.record("weighed")
    record.start()
    [warning] = [each for each in caplog.messages if "not recorded" in each]
    assert "\n" not in warning


@each_reason
@pytest.mark.integration
def test_a_journal_that_cannot_be_written_fails_no_task(
    cannot_be_written: Callable[[Path], None], tmp_path: Path, archive: None
) -> None:
    """The command does its work, says it once, and ends well."""
    cannot_be_written(tmp_path)
    done = run_luigi("WriteParquet", "--date", str(DAY))
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("not recorded") == 1
    assert WriteParquet(date=DAY).complete()


@pytest.mark.integration
def test_workers_do_not_repeat_that_the_journal_cannot_be_written(
    tmp_path: Path, archive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task has a process of its own, which knows what its parent has said; and no carrier is started."""
    with_a_file_in_its_place(tmp_path)
    done = run_luigi("WriteParquet", "--date", str(DAY), "--workers", "2", CHAMPION_TRACKING="on")
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("not recorded") == 1
    assert (tmp_path / "journal").read_text() == "no folder"
    assert not (tmp_path / "mlflow").exists()


def test_a_journal_that_can_be_written_again_is_written_again(tmp_path: Path) -> None:
    """Somebody has mended the disk while a fill was running."""
    with_a_file_in_its_place(tmp_path)
    record.record("before")
    (tmp_path / "journal").unlink()
    record.record("after")
    assert [each["event"] for each in records(tmp_path)] == ["after"]


# How long a task took


def time_of(folder: Path, task: str) -> Record:
    """The record of a task's time."""
    [found] = records(folder, event="processing_time", task=task)
    return found


@pytest.mark.integration
def test_a_task_did_not_take_the_time_that_it_waited_for_its_date(tmp_path: Path, archive: None) -> None:
    """Another process was at the same date."""
    held: list[float] = []
    with contextlib.ExitStack() as holding:
        holding.enter_context(locks.locked(tmp_path / "locks" / f"{DAY}.lock", str(DAY), 0))

        def let_go(message: str) -> None:
            if message.startswith("waiting for"):
                begun = time.monotonic()
                time.sleep(0.2)
                held.append(time.monotonic() - begun)
                holding.close()

        begun = time.monotonic()
        assert build(ScrapeBhavcopy(date=DAY), on_message=let_go).is_done
        passed = time.monotonic() - begun
    found = time_of(tmp_path, "ScrapeBhavcopy")
    assert found["waited"] >= held[0]
    assert 0 < found["seconds"] <= passed - held[0]


@pytest.mark.integration
def test_a_task_that_waited_for_nobody_took_all_its_time(tmp_path: Path, archive: None) -> None:
    """A lock that is free is taken at once."""
    build(ScrapeBhavcopy(date=DAY))
    found = time_of(tmp_path, "ScrapeBhavcopy")
    assert found["seconds"] > 0
    assert found["waited"] == 0


@pytest.mark.integration
def test_a_task_that_found_its_date_complete_took_no_time(tmp_path: Path, archive: None) -> None:
    """Another process did it meanwhile: all that this one did was to wait."""
    build(ScrapeBhavcopy(date=DAY))
    receipt = ScrapeBhavcopy(date=DAY).output().file
    kept = receipt.rename(tmp_path / "kept")
    with contextlib.ExitStack() as holding:
        holding.enter_context(locks.locked(tmp_path / "locks" / f"{DAY}.lock", str(DAY), 0))

        def bring_it_back(message: str) -> None:
            if message.startswith("waiting for"):
                kept.rename(receipt)
                holding.close()

        assert build(ScrapeBhavcopy(date=DAY), on_message=bring_it_back).is_done
    assert [each["event"] for each in records(tmp_path)][3:] == ["start", "found_complete"]
    assert len(records(tmp_path, event="processing_time")) == 1


# A view that takes its time, so that a load, which looks at what it has loaded, does.
SLOW_SECONDS = 0.5


def make_slow(table: warehouse.Warehouse) -> None:
    table.prepare(EQUITY)
    table.command(f"DROP VIEW {table.place.database}.{EQUITY.view}")
    table.command(
        f"CREATE VIEW {table.place.database}.{EQUITY.view} AS SELECT * EXCEPT (version, is_deleted) "
        f"FROM {table.name_of(EQUITY)} FINAL WHERE sleep({SLOW_SECONDS}) = 0"
    )


@pytest.mark.integration
def test_a_load_did_not_take_the_time_that_it_waited_for_its_turn(
    tmp_path: Path, archive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another load was under way; the insert itself, and the look at what it has done, are the load's own time."""
    assert build(WriteParquet(date=DAY)).is_done
    table = opened.shared(wiring.warehouse_place())
    make_slow(table)
    held: list[float] = []
    load, asked = table._loads.load, threading.Event()

    def ask(*arguments: Any) -> dict[date, Any]:
        asked.set()
        return load(*arguments)

    monkeypatch.setattr(table._loads, "load", ask)

    def hold() -> None:
        with table._loads._loading:
            holding.set()
            assert asked.wait(60)
            time.sleep(0.1)  # until it waits
            begun = time.monotonic()
            time.sleep(0.3)
            held.append(time.monotonic() - begun)

    holding = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(60)
    begun = time.monotonic()
    assert build(LoadClickHouse(date=DAY)).is_done
    passed = time.monotonic() - begun
    holder.join()
    found = time_of(tmp_path, "LoadClickHouse")
    assert found["waited"] >= held[0]
    assert SLOW_SECONDS <= found["seconds"] <= passed - held[0]


@pytest.mark.integration
def test_loads_by_turns_do_not_count_each_others_time(archive: None) -> None:
    """Several that ask at once, and share no insert: their own times fit one behind the other."""
    days = [date(2022, 6, 15), DAY, UDIFF_DAY]
    assert build(*(WriteParquet(date=day) for day in days)).is_done
    lake_files = [WriteParquet(date=day).output().file for day in days]
    rows = [lake.table_of(file.read_bytes(), file, EQUITY)[0] for file in lake_files]
    table = opened.shared(wiring.warehouse_place())
    make_slow(table)
    together = threading.Barrier(len(days))

    def load(number: int) -> tuple[float, float, float]:
        with locks.counting_waits() as waits:
            together.wait(60)
            begun = time.monotonic()
            table.load(EQUITY, days[number], rows[number])
            ended = time.monotonic()
        return begun, ended, ended - begun - sum(waits)

    with ThreadPoolExecutor(len(days)) as threads:
        loads = list(threads.map(load, range(len(days))))
    begins, ends, own = zip(*loads, strict=True)
    assert min(own) >= SLOW_SECONDS
    # Each with the others' before it would be twice as much; a thread that waits for a core has some of it to itself.
    assert sum(own) <= 1.5 * (max(ends) - min(begins))


# A fill that is interrupted


@pytest.mark.integration
@pytest.mark.usefixtures("unmeasured")
def test_no_day_of_an_interrupted_fill_is_told_as_what_it_is_not(tmp_path: Path, archive: None) -> None:
    """Ctrl-C in the middle of many days: loaded ones are done, all others killed, with nothing after their end."""
    fill = start_luigi("FillBhavcopy", "--start", "2023-01-01", "--stop", "2023-12-31")
    loads = {"event": "success", "task": "LoadClickHouse"}
    wait_for(lambda: len(records(tmp_path, **loads)) >= 10, "ten days to be loaded")
    fill.send_signal(signal.SIGINT)
    output, _ = fill.communicate(timeout=60)
    assert fill.returncode != 0, output
    found = records(tmp_path)
    [last] = [number for number, each in enumerate(found) if each["event"] == "end" and "." in each["execution"]]
    assert [each for each in found[last + 1 :] if each["event"] != "end"] == []
    loaded = {each["date"] for each in records(tmp_path, **loads)}
    [whole] = [flow for flow in flows(tmp_path) if flow.table]
    told = {line["trade_date"]: line["status"] for line in csv.DictReader(io.StringIO(whole.table))}
    assert told == {day: "success" if day in loaded else "killed" for day in told}
    assert told.keys() >= loaded
    own = {flow.params["trade_date"]: flow.status for flow in flows(tmp_path) if flow.parent}
    assert own == dict.fromkeys(told.keys() - loaded, "KILLED")
