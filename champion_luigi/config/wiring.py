"""Where things are, as the settings say: the archive and what it answered, the warehouse, what is due, the rejects."""

from __future__ import annotations

import functools
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from champion_luigi.base import secrets
from champion_luigi.config import settings
from champion_luigi.exchange import answers
from champion_luigi.warehouse import connection

if TYPE_CHECKING:
    from champion_luigi.exchange.archive import Archive


def warehouse_place() -> connection.Place:
    """The configured warehouse."""
    return connection.Place(
        host=settings.get("clickhouse_host"),
        port=settings.get("clickhouse_port"),
        user=settings.get("clickhouse_user"),
        password=settings.clickhouse_password(),
        database=settings.get("clickhouse_database"),
        secure=settings.get("clickhouse_secure"),
        verify=settings.get("clickhouse_verify"),
        query_seconds=settings.get("clickhouse_query_seconds"),
        folder=settings.data_dir() / "warehouse",
    )


def due_folder() -> Path:
    """Where it is noted what is asked for again."""
    return settings.data_dir() / "due"


def ledger_file() -> Path:
    """Where it is remembered what the archive answered."""
    return settings.data_dir() / "ledger.jsonl"


def archive_name() -> str:
    """The archive by its address, without credentials, as the ledger knows it."""
    return secrets.public(settings.get("archive_url")).rstrip("/")


def archive_answers() -> dict[date, answers.Answer]:
    """What this archive answered for dates about which the calendar is wrong or silent."""
    path = ledger_file()
    try:
        status = path.stat()
    except FileNotFoundError:
        return {}
    return _answers(path, archive_name(), (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _answers(path: Path, archive: str, _signature: tuple[int, ...]) -> dict[date, answers.Answer]:
    # Each scrape of a fill asks.
    return answers.answers(path, archive)


def configured_archive() -> Archive:
    """The configured archive, one for each process: a forked child must not use its parent's connection."""
    limits = {
        "requests_per_second": settings.get("requests_per_second"),
        "rate_file": settings.data_dir() / "locks" / "archive.pace",
        "connect_seconds": settings.get("connect_seconds"),
        "read_seconds": settings.get("read_seconds"),
        "total_seconds": settings.get("total_seconds"),
        "max_bytes": settings.get("max_payload_mb") * 1024 * 1024,
    }
    return _open_archive(os.getpid(), settings.get("archive_url"), tuple(limits.items()))


@functools.lru_cache(maxsize=1)
def _open_archive(_pid: int, location: str, limits: tuple[tuple[str, Any], ...]) -> Archive:
    from champion_luigi.exchange import archive

    return archive.open_archive(location, **dict(limits))


def max_unzipped_bytes() -> int:
    """The largest that a payload may unzip to."""
    return int(settings.get("max_unzipped_mb")) * 1024 * 1024


def rejects_file(day: date) -> Path:
    """Where a day's rejected rows are kept, one JSON object a line; absent where none were."""
    return settings.data_dir() / "rejects" / f"{day:%Y}" / f"bhavcopy_{day:%Y%m%d}.jsonl"
