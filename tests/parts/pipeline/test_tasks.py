"""The five tasks in this process: their outputs, their retries, what makes each due again, and the date's default."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import luigi
import pytest
import time_machine
from clickhouse_server import ClickHouseServer, unavailable
from helpers import (
    BOTH_DAY,
    HOLIDAY,
    LEGACY_DAY,
    UDIFF_DAY,
    Built,
    Rows,
    build,
    lines_of,
    payload,
    publish,
    published,
    snapshot,
)
from simulated_server import Fault, Kind, SimulatedArchive

from champion_luigi.base.durable import sha256
from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ChampionError,
    CheckFailed,
    DamagedFile,
    NotPublished,
    RateLimited,
    Refused,
    RejectedPayload,
    StorageError,
    TerminalError,
    TruncatedPayload,
    UnknownLayout,
    WarehouseUnreachable,
    WrongDate,
)
from champion_luigi.config import wiring
from champion_luigi.config.wiring import archive_name, warehouse_place
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.exchange import sessions
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import (
    LoadClickHouse,
    NormalizeBhavcopy,
    ParseBhavcopy,
    ScrapeBhavcopy,
    WriteParquet,
)
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.warehouse import opened

pytestmark = pytest.mark.integration

STAGES: tuple[type[DayTask], ...] = (
    ScrapeBhavcopy,
    ParseBhavcopy,
    NormalizeBhavcopy,
    WriteParquet,
    LoadClickHouse,
)
DAY = LEGACY_DAY


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No delay between attempts, and no engine left open."""
    for name in ("SCRAPE_RETRY", "RETRY", "LOAD_RETRY", "LOCK_WAIT"):
        monkeypatch.setenv(f"CHAMPION_{name}_SECONDS", "0")
    yield
    opened.close_shared()


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive in a folder, empty at first."""
    made = tmp_path_factory.mktemp("archive")
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(made))
    return made


def receipt_of(day: date = DAY) -> dict[str, Any]:
    """The receipt of a fetched file."""
    receipt = ScrapeBhavcopy(date=day).output().load()
    assert receipt is not None
    return receipt


def raw_file(day: date = DAY) -> Path:
    """The payload at rest."""
    return ScrapeBhavcopy(date=day).output().file.with_name(receipt_of(day)["file"])


def loaded(day: date = DAY) -> Rows:
    """What the warehouse's readers see of a day, as `published` gives it."""
    table = opened.shared(warehouse_place())
    rows = table.query(
        "SELECT symbol, series, open, high, low, close, last, prev_close, volume, turnover, trades, isin "
        f"FROM champion_market.equity_ohlc WHERE trade_date = '{day}'"
    )
    return {(row[0], row[1]): row[2:] for row in rows}


def with_bad_closes(count: int) -> list[str]:
    """A simulated legacy day whose first rows have no number for a close."""
    header, *lines = lines_of(payload(DAY, "legacy"))
    for place in range(count):
        fields = lines[place].split(",")
        fields[5] = "n/a"
        lines[place] = ",".join(fields)
    return [header, *lines]


# Outputs


@pytest.mark.parametrize(("day", "format"), [(LEGACY_DAY, "legacy"), (UDIFF_DAY, "udiff")])
def test_the_chain_brings_a_published_day_into_the_warehouse(archive: SimulatedArchive, day: date, format: str) -> None:
    """One request, five outputs, and each published row with its values in ClickHouse."""
    assert build(LoadClickHouse(date=day)).is_done
    assert len(archive.requests) == 1
    assert all(stage(date=day).output().exists() for stage in STAGES)
    assert loaded(day) == published(payload(day, format), format)


def test_each_task_has_one_output_at_the_documented_place(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Where people look for what."""
    build(LoadClickHouse(date=BOTH_DAY))
    outputs = [Path(stage(date=BOTH_DAY).output().path).relative_to(tmp_path).as_posix() for stage in STAGES]
    assert outputs == [
        "raw/2024/bhavcopy_20240115.json",
        "parsed/2024/bhavcopy_20240115.arrows",
        "normalized/2024/bhavcopy_20240115.arrows",
        "lake/normalized/equity_ohlc/year=2024/month=01/day=15/bhavcopy_20240115.parquet",
        "loaded/embedded_champion_market/2024/bhavcopy_20240115.json",
    ]
    assert all((tmp_path / output).is_file() for output in outputs)


def test_a_second_run_does_nothing(archive: SimulatedArchive, tmp_path: Path) -> None:
    """It makes no request, touches no file and records no event."""
    build(LoadClickHouse(date=DAY))
    opened.close_shared()
    before = snapshot(tmp_path)
    assert build(LoadClickHouse(date=DAY)) == Built((LoadClickHouse(date=DAY),))
    assert snapshot(tmp_path) == before
    assert len(archive.requests) == 1


def test_a_run_without_a_warehouse_makes_none(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Requiring the lake's partition is the run without ClickHouse."""
    assert build(WriteParquet(date=DAY)).is_done
    assert not any((tmp_path / name).exists() for name in ("warehouse", "warehouse.id", "loaded"))


def test_the_payload_is_kept_as_published_and_the_receipt_tells_of_it(archive: SimulatedArchive) -> None:
    """Name, sha256, size, rows, URL and the archive's validators stand beside the unchanged bytes."""
    build(ScrapeBhavcopy(date=DAY))
    content = payload(DAY, "legacy")
    assert raw_file().read_bytes() == content
    receipt = receipt_of()
    fetched_at = datetime.fromisoformat(receipt.pop("fetched_at"))
    assert fetched_at.utcoffset() is not None
    assert receipt.pop("validators").keys() == {"ETag", "Last-Modified"}
    assert receipt == {
        "date": str(DAY),
        "file": "cm15JUN2023bhav.csv.zip",
        "format": "legacy",
        "url": archive.url + "/content/historical/EQUITIES/2023/JUN/cm15JUN2023bhav.csv.zip",
        "archive": archive.url,
        "sha256": sha256(content),
        "bytes": len(content),
        "rows": len(lines_of(content)) - 1,
    }


def test_the_marker_tells_what_was_loaded_and_where(archive: SimulatedArchive) -> None:
    """Warehouse, rows, and the lake file's sha256."""
    build(LoadClickHouse(date=DAY))
    marker = LoadClickHouse(date=DAY).output().load()
    lake_file = WriteParquet(date=DAY).output().file
    assert marker is not None
    assert (marker["warehouse"]["host"], marker["warehouse"]["database"], marker["warehouse"]["table"]) == (
        "embedded",
        "champion_market",
        "normalized_equity_ohlc",
    )
    assert marker["rows"] == len(published(payload(DAY, "legacy"), "legacy"))
    assert marker["lake_sha256"] == sha256(lake_file.read_bytes())


def test_what_a_killed_run_left_behind_is_never_an_output(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Half-written temporary files stand beside every output, and nothing takes them for one."""
    for stage in STAGES:
        path = Path(stage(date=DAY).output().path)
        path.parent.mkdir(parents=True)
        path.with_name(f".tmp-{path.name}-1-abcdef").write_bytes(b"PAR1 half of it")
    assert not any(stage(date=DAY).complete() for stage in STAGES)
    assert lake.scan(tmp_path / "lake").collect().is_empty()
    assert build(LoadClickHouse(date=DAY)).is_done
    truth = published(payload(DAY, "legacy"), "legacy")
    assert loaded() == truth
    assert lake.scan(tmp_path / "lake").collect().height == len(truth)


def test_days_run_oldest_first_and_each_to_its_end(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Whatever the order in which they were asked for."""
    days = [date(2023, 6, 16), date(2023, 6, 14), date(2023, 6, 15)]
    build(*(LoadClickHouse(date=day) for day in days))
    started = [(each["date"], each["task"]) for each in journal.read(tmp_path / "journal") if each["event"] == "start"]
    assert started == [(str(day), stage.__name__) for day in sorted(days) for stage in STAGES]


# Rejected rows


def test_rejected_rows_are_kept_with_the_rule_and_their_text(folder: Path) -> None:
    """Published rows are the normalized ones and the rejected ones; none is lost."""
    lines = with_bad_closes(3)
    publish(folder, DAY, "legacy", lines)
    assert build(LoadClickHouse(date=DAY)).is_done
    rejects = [json.loads(line) for line in wiring.files(EQUITY).rejects(DAY).read_text().splitlines()]
    # The comma at the end of a legacy line is no field of it.
    assert [(each["rule"], each["line"], each["text"].rstrip(",")) for each in rejects] == [
        ("bad_number", place + 1, lines[place].rstrip(",")) for place in (1, 2, 3)
    ]
    assert len(loaded()) == len(lines) - 1 - 3


def test_a_day_without_rejected_rows_has_no_file_of_them(archive: SimulatedArchive, tmp_path: Path) -> None:
    """An empty file would only raise questions."""
    build(NormalizeBhavcopy(date=DAY))
    assert not (tmp_path / "rejects").exists()


def test_too_many_rejected_rows_fail_the_day_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    """Above 5 % the file is suspect as a whole: nothing downstream, the rejects for a look, the counts in the error."""
    lines = with_bad_closes(200)
    publish(folder, DAY, "legacy", lines)
    error = build(LoadClickHouse(date=DAY)).error
    assert isinstance(error, CheckFailed)
    assert error.day == DAY
    assert f"{len(lines) - 1} raw rows, 200 rejected (bad_number 200)" in str(error)
    assert len(wiring.files(EQUITY).rejects(DAY).read_text().splitlines()) == 200
    assert not any((tmp_path / name).exists() for name in ("normalized", "lake", "loaded", "warehouse"))


def test_the_share_of_rejected_rows_is_a_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has looked at them can let a bad day pass."""
    publish(folder, DAY, "legacy", with_bad_closes(200))
    monkeypatch.setenv("CHAMPION_MAX_REJECTED_SHARE", "0.1")
    assert build(NormalizeBhavcopy(date=DAY)).is_done


def test_a_failed_day_that_is_published_again_loads_after_its_receipt_is_deleted(folder: Path) -> None:
    """What the error of a failed day tells people to do must work."""
    publish(folder, DAY, "legacy", with_bad_closes(200))
    error = build(LoadClickHouse(date=DAY)).error
    assert "delete its receipt under raw/ to fetch it again" in str(error)
    publish(folder, DAY, "legacy", with_bad_closes(0))
    ScrapeBhavcopy(date=DAY).output().file.unlink()
    built = build(LoadClickHouse(date=DAY))
    assert built.errors == []
    assert loaded() == published(payload(DAY, "legacy"), "legacy")
    assert not wiring.files(EQUITY).rejects(DAY).exists()


# Secrets


@pytest.mark.parametrize("credentials", ["reader:hidden", "reader:hid@hidden", "hidden"])
def test_an_archives_name_has_no_credentials(monkeypatch: pytest.MonkeyPatch, credentials: str) -> None:
    """The ledger keeps it on disk."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", f"https://{credentials}@archive.example/mirror/")
    assert archive_name() == "https://archive.example/mirror"


# Damage


def test_a_raw_file_that_changed_on_disk_is_found(archive: SimulatedArchive) -> None:
    """Its sha256 is no longer the receipt's; the error says which file and what to delete."""
    build(ScrapeBhavcopy(date=DAY))
    path = raw_file()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    error = build(LoadClickHouse(date=DAY)).error
    assert isinstance(error, DamagedFile)
    assert error.source == str(path)
    assert error.expected == f"sha256 {receipt_of()['sha256']}"
    assert not ParseBhavcopy(date=DAY).complete()

    Path(ScrapeBhavcopy(date=DAY).output().path).unlink()
    assert build(LoadClickHouse(date=DAY)).is_done


@pytest.mark.parametrize(
    "content",
    [
        "",
        "garbage",
        "[]",
        "{}",
        '{"file": ',
        '{"file": "bhavc/py.zip", "format": "legacy", "sha256": ""}',
        '{"file": "", "format": "legacy", "sha256": ""}',
        '{"file": "bhavcopy.zip", "format": "lfgacy", "sha256": ""}',
        '{"file": "bhavcopy.zip", "format": [], "sha256": ""}',
        '{"file": 1, "format": "legacy", "sha256": ""}',
    ],
)
def test_a_receipt_that_cannot_be_read_is_found(archive: SimulatedArchive, content: str) -> None:
    """The error names it, and deleting it is the cure."""
    receipt = ScrapeBhavcopy(date=DAY).output().file
    receipt.parent.mkdir(parents=True)
    receipt.write_text(content)
    error = build(ParseBhavcopy(date=DAY)).error
    assert isinstance(error, DamagedFile)
    assert str(receipt) in str(error)

    receipt.unlink()
    assert build(ParseBhavcopy(date=DAY)).is_done


@pytest.mark.parametrize("damaged", [ParseBhavcopy, NormalizeBhavcopy, WriteParquet])
def test_a_table_that_changed_on_disk_is_found(archive: SimulatedArchive, damaged: type[DayTask]) -> None:
    """The next task names the file, and deleting it is the cure."""
    build(damaged(date=DAY))
    path = Path(damaged(date=DAY).output().path)
    path.write_bytes(path.read_bytes()[:1000])
    error = build(LoadClickHouse(date=DAY)).error
    assert isinstance(error, DamagedFile)
    assert error.source == str(path)

    path.unlink()
    assert build(LoadClickHouse(date=DAY)).is_done


@pytest.mark.parametrize("table", [ParseBhavcopy, NormalizeBhavcopy])
def test_a_tables_metadata_that_changed_on_disk_is_found(archive: SimulatedArchive, table: type[DayTask]) -> None:
    """The format, the counts and the source's sha256 would go on to the lake."""
    build(table(date=DAY))
    path = Path(table(date=DAY).output().path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"raw_rows": "', b'"raw_rows": "1'))
    assert path.read_bytes() != content
    error = build(WriteParquet(date=DAY)).error
    assert isinstance(error, DamagedFile)
    assert error.source == str(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_a_warehouse_whose_name_is_damaged_is_another_one(archive: SimulatedArchive, content: bytes) -> None:
    """Its days are loaded again, which replaces them."""
    assert build(LoadClickHouse(date=DAY)).is_done
    (Path(os.environ["DATA_DIR"]) / "warehouse" / "champion.id").write_bytes(content)
    assert not LoadClickHouse(date=DAY).complete()
    built = build(LoadClickHouse(date=DAY))
    assert (built.is_done, built.errors) == (True, [])


def test_a_lake_file_that_the_disk_has_changed_is_not_loaded_elsewhere(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads well, and its size and time are those that were loaded; but its bytes are not."""
    assert build(LoadClickHouse(date=DAY)).is_done
    path = WriteParquet(date=DAY).output().file
    rows, _ = lake.read_parquet(path, EQUITY)
    status = path.stat()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"legacy", b"lfgacy"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert lake.read_parquet(path, EQUITY)[0].shape == rows.shape
    assert path.read_bytes() != content

    monkeypatch.setenv("CLICKHOUSE_DATABASE", "another")
    error = build(LoadClickHouse(date=DAY)).error
    assert isinstance(error, DamagedFile)
    assert error.source == str(path)
    assert "champion verify --repair" in str(error)


def test_a_raw_file_that_is_gone_is_named(archive: SimulatedArchive) -> None:
    """The receipt alone is no payload."""
    build(ScrapeBhavcopy(date=DAY))
    path = raw_file()
    path.unlink()
    error = build(ParseBhavcopy(date=DAY)).error
    assert isinstance(error, TerminalError)
    assert str(path) in str(error)


# Retries


@pytest.mark.parametrize(
    ("kind", "error", "attempts"),
    [
        ("unavailable", ArchiveUnreachable, 3),
        ("hanging", ArchiveUnreachable, 3),
        ("cut", TruncatedPayload, 3),
        ("truncated", TruncatedPayload, 3),
        ("empty", TruncatedPayload, 3),
        ("rate_limited", RateLimited, 1),
        # Of each source, once.
        ("forbidden", Refused, 0),
        ("not_found", NotPublished, 0),
        ("html", RejectedPayload, 0),
        ("wrong_header", UnknownLayout, 0),
        ("stale", WrongDate, 0),
    ],
)
def test_the_archive_is_asked_again_where_that_can_help_alone(
    archive: SimulatedArchive, tmp_path: Path, kind: Kind, error: type[ChampionError], attempts: int
) -> None:
    """Three attempts at what passes, one at what does not, and nothing is kept of either."""
    archive.faults[DAY] = Fault(kind)
    with pytest.MonkeyPatch.context() as patch:
        if kind == "hanging":
            patch.setenv("CHAMPION_READ_SECONDS", "0.3")
        built = build(ScrapeBhavcopy(date=DAY))
    assert type(built.error) is error
    assert len(archive.requests) == (attempts or len(EQUITY.sources_of(DAY)))
    assert len(built.retries) == max(attempts - 1, 0)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("kind", ["unavailable", "cut", "truncated", "empty"])
def test_a_fault_that_passes_is_got_over(archive: SimulatedArchive, kind: Kind) -> None:
    """The third attempt is as good as the first."""
    archive.faults[DAY] = Fault(kind, times=2)
    assert build(ScrapeBhavcopy(date=DAY)).is_done
    assert len(archive.requests) == 3
    assert raw_file().read_bytes() == payload(DAY, "legacy")


def test_the_status_says_which_attempt_failed_and_why(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the visualiser, while the task waits for its next attempt; the delay is the setting's."""
    monkeypatch.setenv("CHAMPION_SCRAPE_RETRY_SECONDS", "0.05")
    archive.faults[DAY] = Fault("unavailable", times=2)
    built = build(ScrapeBhavcopy(date=DAY))
    reason = f"{DAY}: the archive cannot answer at present; found 503 [{archive.url}"
    assert [message.partition(reason)[0] for message in built.messages] == [
        "attempt 1 of 3 failed, the next in 0.05 s: ",
        "attempt 2 of 3 failed, the next in 0.05 s: ",
        built.messages[-1],
    ]
    assert built.messages[-1].startswith("cm15JUN2023bhav.csv.zip, ")


def test_a_404_on_the_evening_of_a_session_says_when_to_expect_the_file(archive: SimulatedArchive) -> None:
    """A file that is not out yet must not look like a holiday, nor like an outage."""
    archive.faults[DAY] = Fault("not_found")
    with time_machine.travel(datetime(2023, 6, 15, 14, 0, tzinfo=UTC)):
        error = build(ScrapeBhavcopy(date=DAY)).error
    assert isinstance(error, NotPublished)
    assert (error.day, error.found) == (DAY, "404")
    assert sessions.describe(DAY) in str(error)
    assert "19:00 India time" in str(error)


@pytest.mark.parametrize("day", [HOLIDAY, date(2023, 6, 17)])
def test_a_day_without_a_session_has_nothing_to_do(archive: SimulatedArchive, day: date) -> None:
    """It is complete without an output, and the sentence says why: which holiday, or which day of the week."""
    built = build(ScrapeBhavcopy(date=day))
    assert not built.errors
    assert not built.is_done
    assert ScrapeBhavcopy(date=day).complete()
    sentence = f"{day}: nothing to do, there is no session: {sessions.describe(day)}"
    assert ScrapeBhavcopy(date=day).why_complete() == sentence
    assert archive.requests == []


def test_a_day_that_is_still_to_come_is_outstanding(archive: SimulatedArchive) -> None:
    """No request is sent for it, and no task has failed: the time of publication is named."""
    with time_machine.travel(datetime(2023, 6, 13, 14, 0, tzinfo=UTC)):
        error = build(LoadClickHouse(date=DAY)).error
        assert not LoadClickHouse(date=DAY).complete()
    assert isinstance(error, NotPublished)
    assert f"not published yet, expected from {DAY} 19:00 India time: try again then" in str(error)
    assert archive.requests == []


def test_parse_tries_twice(archive: SimulatedArchive) -> None:
    """A payload that ends too early is of the kind that may pass; a day that cannot be parsed stops there."""
    build(ScrapeBhavcopy(date=DAY))
    content = raw_file().read_bytes()[:5000]
    raw_file().write_bytes(content)
    ScrapeBhavcopy(date=DAY).output().dump(receipt_of() | {"sha256": sha256(content)})
    built = build(LoadClickHouse(date=DAY))
    assert isinstance(built.error, TruncatedPayload)
    assert [message[:21] for message in built.retries] == ["attempt 1 of 2 failed"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading gives EIO")
@pytest.mark.parametrize(("task", "input"), [(NormalizeBhavcopy, ParseBhavcopy), (WriteParquet, NormalizeBhavcopy)])
def test_normalize_and_write_try_twice_at_what_a_disk_gets_over(
    archive: SimulatedArchive, task: type[DayTask], input: type[DayTask]
) -> None:
    """A real I/O error on the input: two attempts, and the second is enough where the disk is back by then."""
    build(input(date=DAY))
    path = Path(input(date=DAY).output().path)
    aside = path.rename(path.with_name("aside"))
    path.symlink_to("/proc/self/mem")
    built = build(task(date=DAY))
    assert isinstance(built.error, StorageError)
    assert "Input/output error" in str(built.error)
    assert [message[:21] for message in built.retries] == ["attempt 1 of 2 failed"]

    def mend(message: str) -> None:
        if message.startswith("attempt"):
            aside.rename(path)

    assert build(task(date=DAY), on_message=mend).is_done


def test_load_tries_three_times(archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is down, as seen from the task."""
    with SimulatedArchive() as gone:
        port = gone.url.rpartition(":")[2]
    monkeypatch.setenv("CLICKHOUSE_HOST", "127.0.0.1")
    monkeypatch.setenv("CLICKHOUSE_PORT", port)
    built = build(LoadClickHouse(date=DAY))
    assert isinstance(built.error, WarehouseUnreachable)
    assert [message[:21] for message in built.retries] == ["attempt 1 of 3 failed", "attempt 2 of 3 failed"]
    assert f"127.0.0.1:{port}" in built.retries[0]
    assert WriteParquet(date=DAY).complete()
    assert not LoadClickHouse(date=DAY).complete()


def test_the_retries_of_the_preparation_and_of_the_work_add_up(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part of a task has attempts of its own; the journal reports one number."""
    task = WriteParquet(date=DAY)
    assert build(task.requires()).is_done
    for name in ("prepare", "work"):
        monkeypatch.setattr(task, name, failing_once(getattr(task, name)))
    assert len(build(task).retries) == 2
    assert task.facts["retries"] == 2


def failing_once(do: Callable[[], None]) -> Callable[[], None]:
    errors = [OSError(errno.EIO, os.strerror(errno.EIO))]

    def attempt() -> None:
        if errors:
            raise errors.pop()
        do()

    return attempt


@pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
def test_a_server_that_comes_back_between_attempts_is_loaded(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second attempt finds it up."""
    server = ClickHouseServer(tmp_path / "server")
    monkeypatch.setenv("CLICKHOUSE_HOST", server.host)
    monkeypatch.setenv("CLICKHOUSE_PORT", str(server.port))
    monkeypatch.setenv("CLICKHOUSE_USER", server.user)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", server.password)

    def start(message: str) -> None:
        if message.startswith("attempt 1 of 3"):
            server.start()

    try:
        built = build(LoadClickHouse(date=DAY), on_message=start)
        assert built.is_done
        assert len(built.retries) == 1
        assert loaded() == published(payload(DAY, "legacy"), "legacy")
        opened.close_shared()
    finally:
        server.stop()


# What makes a load due


def is_load_due() -> bool:
    return not LoadClickHouse(date=DAY).complete()


def test_a_load_into_another_warehouse_is_due(archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """A marker is good for the warehouse that it names."""
    build(LoadClickHouse(date=DAY))
    assert not is_load_due()
    for name, value in {"HOST": "elsewhere", "DATABASE": "another"}.items():
        with monkeypatch.context() as changed:
            changed.setenv(f"CLICKHOUSE_{name}", value)
            assert is_load_due()


def test_a_load_into_a_second_database_leaves_the_first_ones_marker(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are loaded then, and neither is due."""
    build(LoadClickHouse(date=DAY))
    with monkeypatch.context() as changed:
        changed.setenv("CLICKHOUSE_DATABASE", "another")
        assert build(LoadClickHouse(date=DAY)).is_done
    assert not is_load_due()


def test_databases_with_alike_names_have_markers_of_their_own(
    archive: SimulatedArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters that a file name cannot have must not make two warehouses one."""
    names = ("a b", "a_b", "a/b")
    for name in names:
        monkeypatch.setenv("CLICKHOUSE_DATABASE", name)
        build(LoadClickHouse(date=DAY))
    for name in names:
        monkeypatch.setenv("CLICKHOUSE_DATABASE", name)
        assert not is_load_due(), name


def test_a_load_of_a_changed_lake_file_is_due(archive: SimulatedArchive) -> None:
    """Something else than what was loaded lies in the lake now."""
    build(LoadClickHouse(date=DAY))
    path = WriteParquet(date=DAY).output().file
    rows, metadata = lake.read_parquet(path, EQUITY)
    path.write_bytes(lake.parquet_bytes(rows.head(100), metadata))
    assert is_load_due()
    assert build(LoadClickHouse(date=DAY)).is_done
    assert len(loaded()) == 100


def test_a_load_of_a_lake_file_that_is_gone_is_due(archive: SimulatedArchive) -> None:
    """The lake file is written and loaded again."""
    build(LoadClickHouse(date=DAY))
    WriteParquet(date=DAY).output().file.unlink()
    assert is_load_due()
    assert build(LoadClickHouse(date=DAY)).is_done


def test_a_copied_lake_is_loaded_still(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Other times on the same content make nothing due, and no file is touched."""
    build(LoadClickHouse(date=DAY))
    shutil.copytree(tmp_path / "lake", tmp_path / "copy")
    shutil.rmtree(tmp_path / "lake")
    (tmp_path / "copy").rename(tmp_path / "lake")
    os.utime(WriteParquet(date=DAY).output().file, (1, 1))
    assert not is_load_due()


@pytest.mark.parametrize("content", ["", "garbage", "[]", "{}", "null", '{"warehouse": {}}', "\udcff\udcfe"])
def test_a_marker_that_cannot_be_read_is_no_load(archive: SimulatedArchive, content: str) -> None:
    """The day is loaded again, and has each row once."""
    build(LoadClickHouse(date=DAY))
    LoadClickHouse(date=DAY).output().file.write_bytes(content.encode(errors="surrogateescape"))
    assert is_load_due()
    assert build(LoadClickHouse(date=DAY)).is_done
    assert len(loaded()) == len(published(payload(DAY, "legacy"), "legacy"))


def test_an_embedded_warehouse_that_was_deleted_is_loaded_again(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Its folder is gone, and with it the rows that the marker tells of."""
    build(LoadClickHouse(date=DAY))
    opened.close_shared()
    shutil.rmtree(tmp_path / "warehouse")
    assert is_load_due()
    assert build(LoadClickHouse(date=DAY)).is_done
    assert loaded() == published(payload(DAY, "legacy"), "legacy")


def test_an_embedded_warehouse_that_was_made_anew_is_loaded_again(archive: SimulatedArchive, tmp_path: Path) -> None:
    """Another day's load after the deletion makes a new warehouse, which does not have this day."""
    other = date(2023, 6, 16)
    build(LoadClickHouse(date=DAY))
    opened.close_shared()
    shutil.rmtree(tmp_path / "warehouse")
    build(LoadClickHouse(date=other))
    assert is_load_due()
    assert build(LoadClickHouse(date=DAY)).is_done
    assert loaded() == published(payload(DAY, "legacy"), "legacy")


def test_a_data_folder_that_was_moved_is_loaded_still(
    archive: SimulatedArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded warehouse moves with its markers."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "here"))
    build(LoadClickHouse(date=DAY))
    opened.close_shared()
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "there"))
    assert not is_load_due()
    assert loaded() == published(payload(DAY, "legacy"), "legacy")


# The date's default


@pytest.mark.parametrize(
    ("india", "expected"),
    [
        ("2024-01-15T18:59", "2024-01-12"),
        ("2024-01-15T19:00", "2024-01-15"),
        ("2024-01-15T23:59", "2024-01-15"),
        ("2024-01-16T00:00", "2024-01-15"),
        ("2024-01-16T05:31", "2024-01-15"),
        ("2024-01-14T20:00", "2024-01-12"),
        ("2024-01-20T19:00", "2024-01-20"),
        ("2024-01-22T20:00", "2024-01-20"),
    ],
)
def test_the_date_defaults_to_the_latest_published_session(india: str, expected: str) -> None:
    """By the clock of India: around 19:00, midnight in both zones, a weekend, a special Saturday, a holiday."""
    with time_machine.travel(datetime.fromisoformat(f"{india}:00+05:30").astimezone(UTC), tick=False):
        assert str(LoadClickHouse().date) == expected


def test_the_hour_of_publication_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose archive is earlier, or later, says so."""
    monkeypatch.setenv("CHAMPION_PUBLISHED_AT", "18:00")
    with time_machine.travel(datetime(2024, 1, 15, 12, 30, tzinfo=UTC), tick=False):
        assert LoadClickHouse().date == date(2024, 1, 15)


@pytest.mark.parametrize(("india", "expected"), [("20:30", 12), ("21:00", 15)])
def test_the_date_defaults_by_the_hour_of_the_data_set(
    monkeypatch: pytest.MonkeyPatch, india: str, expected: int
) -> None:
    """Another data set's file can be later than the bhavcopy."""
    later = replace(INDEX_CLOSE, published_at=time(21, 0))
    monkeypatch.setitem(catalog.DATASETS, later.name, later)
    with time_machine.travel(datetime.fromisoformat(f"2024-01-15T{india}:00+05:30").astimezone(UTC), tick=False):
        assert LoadClickHouse(dataset=later.name).date == date(2024, 1, expected)
        assert LoadClickHouse().date == date(2024, 1, 15)


def test_the_command_without_a_date_runs_the_latest_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command's own parser, at seven in the evening."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    with time_machine.travel(datetime(2024, 7, 9, 13, 30, tzinfo=UTC)):
        assert luigi.run(["WriteParquet", "--local-scheduler", "--no-lock"])
    assert [path.name for path in tmp_path.glob("lake/**/*.parquet")] == ["bhavcopy_20240709.parquet"]


def test_the_days_of_a_chain_are_those_of_its_last_task() -> None:
    """The date goes down the chain, whatever the clock says meanwhile."""
    task: luigi.Task = LoadClickHouse(date=UDIFF_DAY)
    seen = [task]
    while required := task.deps():
        [task] = required
        seen.append(task)
    assert seen == [stage(date=UDIFF_DAY) for stage in reversed(STAGES)]


# Locks


def test_a_failed_task_lets_go_of_its_day(archive: SimulatedArchive, tmp_path: Path) -> None:
    """The next run need not wait."""
    archive.faults[DAY] = Fault("not_found")
    assert not build(ScrapeBhavcopy(date=DAY)).is_done
    assert [path for path in (tmp_path / "locks").rglob("*") if path.is_file()] == []
    del archive.faults[DAY]
    assert build(ScrapeBhavcopy(date=DAY)).is_done


def test_a_data_folder_that_cannot_be_written_is_an_error_of_storage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sentence names the path."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("CHAMPION_TRACKING", "off")
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    error = build(ScrapeBhavcopy(date=DAY)).error
    assert isinstance(error, StorageError)
    assert str(tmp_path / "file") in str(error)
