"""Fetch stored days again, and replace those that the exchange has published anew.

A new payload is first parsed, normalized and checked in memory; an invalid one changes nothing. Then the difference is
recorded in the journal as a ``restatement``, the stages are noted as due again (`due`), the old payload and its receipt
are stored under ``raw/2024/restated/20240115-<sha256, 16 digits>/``, and the new payload is written. The tasks
then replace the day in the lake and in the warehouse, each atomically. If a run is killed, the next refresh or fill
completes the day.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import tenacity

from champion_luigi.base import durable
from champion_luigi.base.errors import (
    ArchiveUnreachable,
    ArchiveUnusable,
    ChampionError,
    DamagedFile,
    NotPublished,
    Refused,
    SettingsError,
    StorageError,
    is_transient,
)
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import sharing
from champion_luigi.pipeline.day_task import DayTask
from champion_luigi.pipeline.tasks import LoadClickHouse, ParseBhavcopy, ScrapeBhavcopy, WriteParquet, fetch, keep
from champion_luigi.storage import due, lake, raw, version
from champion_luigi.tracking import record
from champion_luigi.tracking.journal import Event
from champion_luigi.upkeep import again

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.exchange.archive import Published
    from champion_luigi.parsing.payload import Recognised
    from champion_luigi.pipeline.tasks import Stored

State = Literal["unchanged", "changed", "failed"]

# After this many days in a row without an answer, the remaining days are not requested.
_MOST_UNANSWERED = 3


@dataclass(frozen=True)
class Changes:
    """The numbers of rows of a day that were added, changed and removed, compared by the data set's key."""

    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Outcome:
    """The result for one day.

    ``reason`` explains a failure, or what else was done. ``changes`` is None if the old rows could not be read.
    """

    date: date
    state: State
    reason: str = ""
    old_sha256: str = ""
    new_sha256: str = ""
    changes: Changes | None = None


@dataclass(frozen=True)
class _Kept:
    """A day as stored: its receipt, its payload if that matches the receipt, and its sha256 by the lake file."""

    receipt: Mapping[str, Any]
    content: bytes | None
    lake_sha256: str | None
    validators: Mapping[str, Mapping[str, str]]

    @property
    def sha256(self) -> str:
        return "" if self.content is None else str(self.receipt["sha256"])


def days_there(dataset: Dataset, most: int, end: date | None = None) -> list[date]:
    """The last ``most`` days in the lake, up to ``end`` (included), oldest first."""
    stop = end + timedelta(days=1) if end else date.max
    return sorted(day for day, _ in lake.days(settings.lake_dir(), dataset, stop=stop))[-most:]


def refresh(dataset: Dataset, days: Sequence[date]) -> Iterator[Outcome]:
    """Request each day again, and yield its outcome.

    Ends early if the archive refuses a request, or gives no answer for several days in a row; the last outcome has the
    reason.
    """
    if any(is_loaded(dataset, day) for day in days):
        wiring.warehouse_place().require_engine()
    unanswered = 0
    for day in days:
        try:
            yield refresh_day(dataset, day)
            unanswered = 0
        except ChampionError as error:
            unanswered += isinstance(error, ArchiveUnreachable)
            kept = " The stored file stays." if isinstance(error, NotPublished) else ""
            yield Outcome(day, "failed", str(error).removeprefix(f"{day}: ") + kept)
            if isinstance(error, Refused | ArchiveUnusable | SettingsError) or unanswered == _MOST_UNANSWERED:
                return


def refresh_day(dataset: Dataset, day: date) -> Outcome:
    """Request a day from the archive again, and replace it if its payload has changed.

    Raises the errors of a fetch, and those of an invalid new payload; raw, lake and warehouse are then unchanged.
    """
    version.claim(settings.data_dir())
    last: type[DayTask] = LoadClickHouse if is_loaded(dataset, day) else WriteParquet
    task = ScrapeBhavcopy(date=day, dataset=dataset.name)
    with task.locked(settings.get("lock_wait_seconds")), sharing.stored_for_others(task, is_used=False) as stored:
        outcome = _ask(task, last, stored)
    if last(date=day, dataset=dataset.name).is_made():
        return outcome
    if reason := again.complete(dataset, {day: last}).get(day):
        return replace(outcome, state="failed", reason=reason)
    if outcome.state == "unchanged":
        return Outcome(day, "unchanged", outcome.reason or "an unfinished earlier run was completed")
    return outcome


def count_changes(dataset: Dataset, old: pl.DataFrame, new: pl.DataFrame) -> Changes:
    """The difference between two normalized tables of a day, by key."""
    import polars as pl

    key = list(dataset.key)
    both = old.join(new, on=key, how="inner", suffix="_new")
    values = [name for name in new.columns if name not in key]
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in values)
    return Changes(new.height - both.height, both.filter(differs).height, old.height - both.height)


def is_loaded(dataset: Dataset, day: date) -> bool:
    """Whether the day was loaded into the configured warehouse, from any lake file."""
    return LoadClickHouse(date=day, dataset=dataset.name).output().rows() is not None


def _ask(task: ScrapeBhavcopy, last: type[DayTask], stored: Stored) -> Outcome:
    from champion_luigi.exchange.archive import NotModified

    day, files = task.date, task.files
    kept = _kept(task)
    try:
        published, recognised = _fetch(task, kept, stored)
        sha256 = durable.sha256(published.content)
    except NotModified:
        sha256 = kept.sha256
    if sha256 == kept.sha256:
        # If a run died after writing the receipt, only the note is left to clear.
        due.done(files.due, day, ScrapeBhavcopy.stage)
        if kept.lake_sha256 not in (None, kept.sha256):
            due.ask(files.due, day, range(ParseBhavcopy.stage, last.stage + 1))
        return Outcome(day, "unchanged")
    if sha256 == kept.lake_sha256:
        keep(task, published, recognised)
        return Outcome(day, "unchanged", "the stored payload was not the lake's, and is restored")

    changes = _changes(task, published, recognised)
    old_sha256 = kept.lake_sha256 or str(kept.receipt.get("sha256", ""))
    outcome = Outcome(day, "changed", old_sha256=old_sha256, new_sha256=sha256, changes=changes)
    record.record(
        Event.RESTATEMENT,
        date=day,
        old_sha256=old_sha256,
        new_sha256=sha256,
        **{f"rows_{name}": count for name, count in (vars(changes) if changes else {}).items()},
        **catalog.named(task.dataset),
    )
    due.ask(files.due, day, range(ScrapeBhavcopy.stage, last.stage + 1))
    keep(task, published, recognised)
    due.done(files.due, day, ScrapeBhavcopy.stage)
    return outcome


def _kept(task: ScrapeBhavcopy) -> _Kept:
    receipt_file = task.output().file
    receipt = durable.read_json(receipt_file) or {}
    content = None
    if raw.is_receipt(task.files, receipt):
        with contextlib.suppress(StorageError, DamagedFile):
            content = raw.content_of(task.files, task.date, receipt)
    try:
        path = lake.partition(settings.lake_dir(), task.date, task.definition)
        lake_sha256 = lake.read_metadata(path, task.definition).get("source_sha256")
    except (DamagedFile, StorageError):
        lake_sha256 = None
    # Send validators only if the earlier file is intact here: otherwise "not modified" would leave nothing to use.
    validators = {receipt["url"]: receipt.get("validators") or {}} if content is not None and "url" in receipt else {}
    return _Kept(receipt, content, lake_sha256, validators)


def _fetch(task: ScrapeBhavcopy, kept: _Kept, stored: Stored) -> tuple[Published, Recognised]:
    """Fetch as `ScrapeBhavcopy` does, with its retries. Raises NotModified if the archive answers so."""
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(task.attempts),
        wait=tenacity.wait_fixed(settings.get(task.retry_setting)),
        retry=tenacity.retry_if_exception(is_transient),
        reraise=True,
    )(fetch, task, stored, kept.validators)


def _changes(task: ScrapeBhavcopy, published: Published, recognised: Recognised) -> Changes | None:
    """The changes by a new payload; None if the old rows cannot be read. Raises CheckFailed if it fails the checks."""
    from champion_luigi.parsing import lines, normalize

    normalized = normalize.normalize(lines.parse(recognised), task.definition, published.source, task.date)
    normalize.check(normalized, task.date, published.url, settings.get("max_rejected_share"))
    try:
        old, _ = lake.read_parquet(lake.partition(settings.lake_dir(), task.date, task.definition), task.definition)
    except (DamagedFile, StorageError):
        return None
    return count_changes(task.definition, old, normalized.rows)
