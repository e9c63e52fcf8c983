"""The five tasks, in the order in which a day's data goes through them. Read this first.

    ScrapeBhavcopy -> ParseBhavcopy -> NormalizeBhavcopy -> WriteParquet -> LoadClickHouse

A task reads the output of the one before, calls one function, and writes its own output, whole or not at
all. What is heavy (Polars, the ClickHouse engine) is imported where it is used: a run with nothing to do
imports Luigi alone, and a parent that forks workers never touches it.
"""

from __future__ import annotations

import functools
import html
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import luigi
import tenacity

from champion_luigi import (
    clickhouse,
    datadir,
    due,
    files,
    flows,
    hiding,
    lake,
    ledger,
    recording,
    schema,
    sessions,
    settings,
    tables,
    threads,
    warehouse,
)
from champion_luigi.errors import (
    ChampionError,
    CheckFailed,
    DamagedFile,
    NotPublished,
    RejectedPayload,
    StorageError,
    TerminalError,
    is_transient,
)
from champion_luigi.layouts import SOURCE_COLUMNS
from champion_luigi.targets import JsonFile, LoadMarker, WholeFile

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.archive import Archive, Published
    from champion_luigi.payload import Bhavcopy

# Luigi shows this logger; one of our own would be silent under the `luigi` command.
logger = logging.getLogger("luigi-interface")


# Whether tasks that are scheduled now run the newest day first.
newest_first: ContextVar[bool] = ContextVar("champion_newest_first", default=False)

# Fires in the parent of the workers when the first task of a day is found missing.
WORK_AHEAD = "event.champion.work_ahead"


class SessionDate(luigi.DateParameter):
    """A trading day; where none is given, the latest one whose file should be out by now, India time."""

    def has_task_value(self, task_name: str, param_name: str) -> bool:
        return True

    def task_value(self, task_name: str, param_name: str) -> date:
        if super().has_task_value(task_name, param_name):
            given: date = super().task_value(task_name, param_name)
            return given
        return sessions.latest_published(datetime.now(UTC), settings.published_at())


class BhavcopyTask(luigi.Task):
    """What the five have in common: one date, a lock for it, retries of what a retry can cure, and counts to report."""

    date: date = SessionDate(  # type: ignore[assignment]
        description="trading day, India time, YYYY-MM-DD; default: the latest session that should be published by now"
    )

    stage: ClassVar[int]
    attempts: ClassVar[int] = 2
    retry_setting: ClassVar[str] = "retry_seconds"

    # Of the last `run`: seconds of waiting for others, seconds in all, and whether nothing was left to do after that.
    waited_seconds: float = 0.0
    run_seconds: float | None = None
    was_complete: bool = False

    @classmethod
    @functools.cache
    def get_params(cls) -> list[tuple[str, luigi.Parameter]]:
        """Luigi's, once a class: it goes through every attribute of a class, some hundred times a day's run."""
        parameters: list[tuple[str, luigi.Parameter]] = super().get_params()
        return parameters

    @property
    def priority(self) -> int:  # type: ignore[override]  # Luigi reads it, and never writes it
        """Oldest day first, or newest, and each day to its end before the next begins. Luigi takes the highest."""
        number = self.date.toordinal()
        return (number if newest_first.get() else 4_000_000 - number) * 8 + self.stage

    @files.explained()
    def complete(self) -> bool:
        """Whether the output is there, and neither this stage nor one before it is asked for again."""
        datadir.require()
        try:
            return super().complete() and not any(each <= self.stage for each in due.stages(due_folder(), self.date))
        except ChampionError as error:
            # Such as a setting that cannot be used. Luigi logs what is raised here, and fires nothing.
            self.trigger_event(luigi.Event.BROKEN_TASK, self, error)
            raise

    @files.explained()
    def run(self) -> None:
        """Do the work once, by one process at a time, retrying transient errors alone."""
        datadir.claim()
        self.facts: dict[str, Any] = {"worker": self._worker()}
        link: Callable[[str], None] | None = getattr(self, "set_tracking_url", None)
        if link is not None and (page := recording.runs_page(flows.name_of_day(self.date))):
            link(page)
        started = time.monotonic()
        with files.counting_waits() as waits:
            try:
                self._run_locked()
            finally:
                self.waited_seconds = sum(waits)
                self.run_seconds = time.monotonic() - started

    def _run_locked(self) -> None:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_fixed(settings.get(self.retry_setting)),
            retry=tenacity.retry_if_exception(is_transient),
            before_sleep=self._say_retry,
            reraise=True,
        )
        retrying(self.prepare)
        lock = settings.data_dir() / "locks" / f"{self.date}.lock"
        with files.locked(lock, f"{self.date}", settings.get("lock_wait_seconds"), self.say):
            self.was_complete = self.complete()
            if self.was_complete:
                self.say("done by another process meanwhile")
                return
            retrying(self.work)
            due.done(due_folder(), self.date, self.stage)

    def prepare(self) -> None:
        """Take what other processes may hold for longer than a day's work, before the day's lock is taken."""

    def on_failure(self, exception: BaseException) -> str:
        """What Luigi tells the scheduler, and by mail: its traceback, without a secret."""
        return settings.without_secrets(super().on_failure(exception))

    def work(self) -> None:
        """Read the input, call one function, write the output; fill ``facts`` with what is worth recording."""
        raise NotImplementedError

    def say(self, message: str) -> None:
        """Show a message in the log and, while Luigi runs the task, in the visualiser."""
        # The scheduler shows it to whoever looks at its pages.
        message = settings.without_secrets(message)
        logger.info("%s %s: %s", self.task_family, self.date, message)
        show: Callable[[str], None] | None = getattr(self, "set_status_message", None)
        if show is not None:
            show(for_the_visualiser(message))

    def _worker(self) -> str:
        """The worker that runs the task, as Luigi's log and visualiser name it."""
        reporter = getattr(getattr(self, "set_status_message", None), "__self__", None)
        return str(getattr(reporter, "_worker_id", ""))

    def _say_retry(self, state: tenacity.RetryCallState) -> None:
        self.facts["retries"] = state.attempt_number
        error = state.outcome.exception() if state.outcome else None
        delay = state.next_action.sleep if state.next_action else 0
        self.say(f"attempt {state.attempt_number} of {self.attempts} failed, the next in {delay:g} s: {error}")


class ScrapeBhavcopy(BhavcopyTask):
    """Fetch the published file and keep it unchanged. The output is its receipt: name, sha256, size, URL, time."""

    stage = 0
    attempts = 3
    retry_setting = "scrape_retry_seconds"

    def requires(self) -> list[luigi.Task]:
        # Nothing of Luigi's fires in the parent of the workers for a task without dependencies.
        self.trigger_event(WORK_AHEAD, self)
        return []

    def output(self) -> JsonFile:
        return JsonFile(str(settings.data_dir() / "raw" / f"{self.date:%Y}" / f"bhavcopy_{self.date:%Y%m%d}.json"))

    def work(self) -> None:
        try:
            published, bhavcopy = self._fetch()
        except (NotPublished, RejectedPayload) as error:
            if not self.output().exists():
                raise
            # Asked for again in vain: no day is closed, or stays due for ever, of which the file is kept.
            due.done(due_folder(), self.date, self.stage)
            raise TerminalError(
                f"the file that is kept could not be fetched again: {error.what}",
                day=self.date,
                source=error.source,
                expected=error.expected,
                found=error.found,
                todo="What is kept stays: run the same again to go on with it.",
            ) from None

        receipt = keep_payload(self.output(), self.date, published, bhavcopy)

        answer = archive_answers().get(self.date)
        if answer.verdict == "closed" if answer else not sessions.is_session(self.date):
            ledger.record(ledger_file(), self.date, "session", archive_name(), published.url)
        self.facts |= {"archive_file": published.name, "archive_sha256": receipt["sha256"], "layout": published.format}
        self.say(f"{published.name}, {len(published.content):,} bytes, {len(bhavcopy.lines):,} rows")

    def _fetch(self) -> tuple[Published, Bhavcopy]:
        from champion_luigi import archive, payload

        _require_expected(self.date)
        try:
            published = archive.fetch(configured_archive(), self.date, settings.get("udiff_from"))
        except NotPublished as error:
            raise _with_session(error, self.date) from None
        return published, payload.recognise(published.content, self.date, published.url, max_unzipped_bytes())


class ParseBhavcopy(BhavcopyTask):
    """The payload as a table of text under the source's column names; ``normalize`` gives types."""

    stage = 1

    def requires(self) -> ScrapeBhavcopy:
        return ScrapeBhavcopy(date=self.date)

    def output(self) -> WholeFile:
        return _intermediate("parsed", self.date)

    def work(self) -> None:
        from champion_luigi import bhavcopy, payload

        receipt, kept = _kept_payload(self.input())
        table = bhavcopy.parse(
            kept.take()
            or payload.recognise(_verified(receipt, kept, self.input()), self.date, kept.path, max_unzipped_bytes())
        )

        metadata = {
            "source_file": receipt["file"],
            "source_sha256": receipt["sha256"],
            "format": receipt["format"],
            "raw_rows": str(table.height),
        }
        self.output().write(tables.table_bytes(table, metadata), (table, metadata))

        self.facts |= {"raw_rows_parsed": table.height, **_source_in(metadata)}
        self.say(f"{table.height:,} rows of {kept.file.name}")


class NormalizeBhavcopy(BhavcopyTask):
    """Canonical columns and types; rows that cannot stand are kept under ``rejects/``, oddities are counted."""

    stage = 2

    def requires(self) -> ParseBhavcopy:
        return ParseBhavcopy(date=self.date)

    def output(self) -> WholeFile:
        return _intermediate("normalized", self.date)

    def work(self) -> None:
        from champion_luigi import bhavcopy

        table, metadata = _table(self.input())
        normalized = bhavcopy.normalize(table, metadata["format"], self.date)

        _keep_rejects(rejects_file(self.date), normalized.rejects)
        self.facts |= {
            "normalized_rows": normalized.rows.height,
            "filtered_rows": len(normalized.rejects),
            "warnings": normalized.warnings,
            **_source_in(metadata),
        }
        try:
            bhavcopy.check(normalized, self.date, metadata["source_file"], settings.get("max_rejected_share"))
        except CheckFailed:
            # Or else a receipt that is deleted, to fetch again, would not make parsing due.
            self.input().file.unlink(missing_ok=True)
            raise
        metadata |= {
            "schema_version": str(schema.VERSION),
            "rows": str(normalized.rows.height),
            "rejected_rows": str(len(normalized.rejects)),
            "warnings": json.dumps(normalized.warnings),
        }
        self.output().write(tables.table_bytes(normalized.rows, metadata), (normalized.rows, metadata))

        warned = sum(normalized.warnings.values())
        self.say(f"{normalized.rows.height:,} rows, {len(normalized.rejects)} rejected, {warned} warnings")


class WriteParquet(BhavcopyTask):
    """The lake's partition of the day. Requiring this task is the run without a warehouse."""

    stage = 3

    def requires(self) -> NormalizeBhavcopy:
        return NormalizeBhavcopy(date=self.date)

    def output(self) -> WholeFile:
        return WholeFile(str(lake.partition(settings.lake_dir(), self.date)))

    def work(self) -> None:
        rows, metadata = _table(self.input())
        schema.require_version(metadata.get("schema_version"), self.input().path, self.date)
        rows = lake.sorted_by_key(rows)
        content = lake.parquet_bytes(rows, metadata | {"schema_version": str(schema.VERSION)})
        self.output().write(content, (rows, files.sha256(content), metadata))

        self.facts |= {"rows_written": rows.height, "parquet_bytes": len(content), **_source_in(metadata)}
        self.say(f"{rows.height:,} rows, {len(content):,} bytes")


class LoadClickHouse(BhavcopyTask):
    """The day in the warehouse, replaced atomically. The marker names the warehouse and the lake file's sha256."""

    stage = 4
    attempts = 3
    retry_setting = "load_retry_seconds"

    @property
    def resources(self) -> dict[str, int]:  # type: ignore[override]  # as above
        """One process at a time may hold the embedded engine; Luigi need not start a second one to find out."""
        # Threads share it, and an insert with it.
        return {} if settings.get("clickhouse_host") or threads.in_threads.get() else {"embedded_warehouse": 1}

    def requires(self) -> WriteParquet:
        return WriteParquet(date=self.date)

    def prepare(self) -> None:
        """Take the embedded engine.

        A fill holds it and waits for days: who held a day and waited for the engine would wait for the fill, and the
        fill for them.
        """
        if not settings.get("clickhouse_host"):
            warehouse.shared(warehouse_place(), settings.get("lock_wait_seconds"), self.say)

    def output(self) -> LoadMarker:
        place = warehouse_place()
        path = settings.data_dir() / "loaded" / place.slug / f"{self.date:%Y}" / f"bhavcopy_{self.date:%Y%m%d}.json"
        return LoadMarker(str(path), lake.partition(settings.lake_dir(), self.date), place.identity())

    def work(self) -> None:
        lake_file = self.input().file
        status = lake_file.stat()
        rows, content_sha256, metadata = self.input().take() or _lake_table(lake_file)
        _require_untouched_as_loaded(self.output(), [status.st_size, status.st_mtime_ns], content_sha256)
        table = warehouse.shared(warehouse_place(), settings.get("lock_wait_seconds"), self.say)
        loaded = table.load(self.date, rows, company=threads.in_threads.get() // 2)

        marker = self.output()
        marker.warehouse = warehouse_place().identity()
        marker.dump(
            {
                "date": self.date,
                "warehouse": marker.warehouse,
                "rows": loaded.rows,
                "removed": loaded.removed,
                "version": loaded.version,
                "lake_file": lake_file.name,
                "lake_sha256": content_sha256,
                "lake_stat": [status.st_size, status.st_mtime_ns],
                "schema_version": schema.VERSION,
                "loaded_at": files.now(),
            }
        )
        self.facts |= {"rows_loaded": loaded.rows, "clickhouse_table": table.name, **_source_in(metadata)}
        self.say(f"{loaded.rows:,} rows in {table.name}" + (f", {loaded.removed} removed" if loaded.removed else ""))


def for_the_visualiser(message: str) -> str:
    """A status message for Luigi's page, which takes it for HTML: an error in it may quote anything."""
    return html.escape(message, quote=False)


def warehouse_place() -> clickhouse.Place:
    """The configured warehouse."""
    return clickhouse.Place(
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
    return hiding.public(settings.get("archive_url")).rstrip("/")


def archive_answers() -> dict[date, ledger.Answer]:
    """What this archive answered for dates about which the calendar is wrong or silent."""
    path = ledger_file()
    try:
        status = path.stat()
    except FileNotFoundError:
        return {}
    return _answers(path, archive_name(), (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _answers(path: Path, archive: str, _signature: tuple[int, ...]) -> dict[date, ledger.Answer]:
    # Each scrape of a fill asks.
    return ledger.answers(path, archive)


def keep_payload(receipt_file: JsonFile, day: date, published: Published, bhavcopy: Bhavcopy) -> dict[str, Any]:
    """Write a payload, and then its receipt, which is given: what was fetched, from where, and when.

    Another payload that is there with its receipt is kept first, under ``restated/``.
    """
    sha256 = files.sha256(published.content)
    receipt = {
        "date": day,
        "file": published.name,
        "format": published.format,
        "url": published.url,
        "sha256": sha256,
        "bytes": len(published.content),
        "rows": len(bhavcopy.lines),
        "fetched_at": files.now(),
        "validators": dict(published.headers),
    }
    replaced = _keep_replaced(receipt_file, day, sha256)
    WholeFile(str(receipt_file.file.with_name(published.name))).write(published.content, bhavcopy)
    receipt_file.dump(receipt)
    if replaced is not None and replaced.name != published.name:
        # The day is published in another format now.
        replaced.unlink(missing_ok=True)
    return receipt


def restated_folder(day: date, sha256: str) -> Path:
    """Where a payload that was replaced is kept, with its receipt."""
    return ScrapeBhavcopy(date=day).output().file.parent / "restated" / f"{day:%Y%m%d}-{sha256[:16]}"


def _keep_replaced(receipt_file: JsonFile, day: date, new_sha256: str) -> Path | None:
    """Copy the payload that is about to be replaced, where it is whole and another one, with its receipt."""
    receipt = receipt_file.load() or {}
    if not receipt.keys() >= {"file", "sha256"} or receipt["sha256"] == new_sha256:
        return None
    payload = receipt_file.file.with_name(str(receipt["file"]))
    try:
        content = files.read_whole(payload)
    except StorageError:
        return None
    if files.sha256(content) != receipt["sha256"]:
        return None
    folder = restated_folder(day, str(receipt["sha256"]))
    files.write_whole(folder / payload.name, content)
    JsonFile(str(folder / receipt_file.file.name)).dump(receipt)
    return payload


def rejects_file(day: date) -> Path:
    """Where a day's rejected rows are kept, one JSON object a line; absent where none were."""
    return settings.data_dir() / "rejects" / f"{day:%Y}" / f"bhavcopy_{day:%Y%m%d}.jsonl"


def _intermediate(stage: str, day: date) -> WholeFile:
    return WholeFile(str(settings.data_dir() / stage / f"{day:%Y}" / f"bhavcopy_{day:%Y%m%d}{tables.SUFFIX}"))


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
    from champion_luigi import archive

    return archive.open_archive(location, **dict(limits))


def max_unzipped_bytes() -> int:
    """The largest that a payload may unzip to."""
    return int(settings.get("max_unzipped_mb")) * 1024 * 1024


def _require_expected(day: date) -> None:
    """NotPublished, without a request, for a day on which nothing was published as far as is known."""
    if settings.get("ask_closed"):
        return
    answer = archive_answers().get(day)
    if answer is None and sessions.is_session(day):
        return
    if answer is not None and answer.verdict == "session":
        return
    reason = f"{answer.archive} answered 404 on {answer.time[:10]}" if answer else sessions.describe(day)
    raise NotPublished(
        f"there is nothing to fetch: {reason}",
        day=day,
        todo="The archive was not asked. To ask it all the same, set CHAMPION_ASK_CLOSED=true.",
    )


def _with_session(error: NotPublished, day: date) -> ChampionError:
    is_recent = (datetime.now(sessions.INDIA).date() - day).days <= settings.get("closed_after_days")
    when = f" A session's file is expected from {settings.published_at():%H:%M} India time." if is_recent else ""
    told = NotPublished(
        error.what,
        day=day,
        source=error.source,
        found=error.found,
        todo=f"By the calendar: {sessions.describe(day)}.{when}",
    )
    told.answered = error.answered
    return told


def is_receipt(document: Mapping[str, Any]) -> bool:
    """Whether a document tells of a file that is kept beside it: its name, its format, its sha256."""
    name, format, found = (document.get(key) for key in ("file", "format", "sha256"))
    # A damaged name may have become a path.
    if not (isinstance(name, str) and isinstance(format, str) and isinstance(found, str)):
        return False
    return Path(name).name == name != "" and format in SOURCE_COLUMNS


def _kept_payload(receipt_file: JsonFile) -> tuple[dict[str, Any], WholeFile]:
    """The receipt, and the payload that it tells of."""
    receipt = receipt_file.load()
    if receipt is None or not is_receipt(receipt):
        raise DamagedFile(
            "the receipt of the fetched file cannot be read", source=receipt_file.path, todo="Delete it to fetch again."
        )
    return receipt, WholeFile(str(receipt_file.file.with_name(receipt["file"])))


def _verified(receipt: dict[str, Any], kept: WholeFile, receipt_file: JsonFile) -> bytes:
    """The payload at rest; DamagedFile where it is not what the receipt tells of."""
    content = files.read_whole(kept.file)
    if (found := files.sha256(content)) != receipt["sha256"]:
        raise DamagedFile(
            "the fetched file is not what was fetched",
            source=kept.path,
            expected=f"sha256 {receipt['sha256']}",
            found=found,
            todo=f"Delete {receipt_file.path} to fetch it again.",
        )
    return content


def _table(target: WholeFile) -> tuple[pl.DataFrame, dict[str, str]]:
    """A table and its metadata: from memory where this process has just written it."""
    table: tuple[pl.DataFrame, dict[str, str]] = target.take() or tables.read_table(target.file)
    return table


def _lake_table(lake_file: Path) -> tuple[pl.DataFrame, str, dict[str, str]]:
    """The rows of a lake file, the sha256 of exactly the bytes that they were read from, and its metadata."""
    content = files.read_whole(lake_file)
    rows, metadata = lake.table_of(content, lake_file)
    if tuple(rows.columns) != tuple(schema.NAMES):
        raise DamagedFile(
            "the lake file has other columns",
            source=str(lake_file),
            expected=", ".join(schema.NAMES),
            found=", ".join(rows.columns),
            todo="If another program wrote it, move it away; then run the day again.",
        )
    return rows, files.sha256(content), metadata


def _require_untouched_as_loaded(marker: LoadMarker, stat: list[int], found: str) -> None:
    """DamagedFile where a marker, of whichever warehouse, knows the lake file as it is with other bytes in it.

    A file that somebody has written since, on purpose, has another time, and is loaded as it is.
    """
    for path in marker.file.parents[2].glob(f"*/{marker.file.parent.name}/{marker.file.name}"):
        known = JsonFile(str(path)).load() or {}
        if known.get("lake_stat") == stat and known.get("lake_sha256") != found:
            raise DamagedFile(
                "the lake file is not what was loaded before, and it has not been written since",
                source=str(marker.lake_file),
                expected=f"sha256 {known.get('lake_sha256')}",
                found=found,
                todo="The disk has changed it: champion verify --repair makes it anew.",
            )


def _source_in(metadata: Mapping[str, str]) -> dict[str, str]:
    """Where a day comes from, as each task records it: a run may begin with any of them."""
    names = {"archive_file": "source_file", "archive_sha256": "source_sha256", "layout": "format"}
    return {ours: metadata[theirs] for ours, theirs in names.items() if theirs in metadata}


def _keep_rejects(path: Path, rejects: list[Any]) -> None:
    if rejects:
        lines = (json.dumps(vars(reject), default=str, ensure_ascii=False) for reject in rejects)
        files.write_whole(path, ("\n".join(lines) + "\n").encode())
    else:
        path.unlink(missing_ok=True)
