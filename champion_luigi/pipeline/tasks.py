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
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import luigi
import tenacity

from champion_luigi.base import durable
from champion_luigi.base.errors import (
    ChampionError,
    CheckFailed,
    DamagedFile,
    NotPublished,
    RejectedPayload,
    TerminalError,
    is_transient,
)
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import schema
from champion_luigi.exchange import answers, sessions
from champion_luigi.pipeline import lanes
from champion_luigi.pipeline.targets import JsonFile, LoadMarker, WholeFile
from champion_luigi.storage import due, lake, raw, tables, version
from champion_luigi.tracking import record, runs
from champion_luigi.warehouse import table as warehouse

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.exchange.archive import Published
    from champion_luigi.parsing.payload import Bhavcopy

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
    # Between the end of `run` and Luigi's look at what came of it.
    _has_just_run: bool = False

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

    @durable.explained()
    def complete(self) -> bool:
        """Whether the output is there, and neither this stage nor one before it is asked for again."""
        version.require()
        try:
            if self._has_just_run:
                # What another process has asked for since is for that one, or for the next run.
                self._has_just_run = False
                asked_again = []
            else:
                asked_again = due.stages(wiring.due_folder(), self.date)
            return super().complete() and not any(each <= self.stage for each in asked_again)
        except ChampionError as error:
            # Such as a setting that cannot be used. Luigi logs what is raised here, and fires nothing.
            self.trigger_event(luigi.Event.BROKEN_TASK, self, error)
            raise

    @durable.explained()
    def run(self) -> None:
        """Do the work once, by one process at a time, retrying transient errors alone."""
        self._has_just_run = False
        version.claim()
        self.facts: dict[str, Any] = {"worker": self._worker()}
        link: Callable[[str], None] | None = getattr(self, "set_tracking_url", None)
        if link is not None and (page := record.runs_page(runs.name_of_day(self.date))):
            link(page)
        started = time.monotonic()
        with durable.counting_waits() as waits:
            try:
                self._run_locked()
            finally:
                self.waited_seconds = sum(waits)
                self.run_seconds = time.monotonic() - started
        self._has_just_run = True

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
        with durable.locked(lock, f"{self.date}", settings.get("lock_wait_seconds"), self.say):
            self.was_complete = self.complete()
            if self.was_complete:
                self.say("done by another process meanwhile")
                return
            retrying(self.work)
            due.done(wiring.due_folder(), self.date, self.stage)

    def prepare(self) -> None:
        """Take what other processes may hold for longer than a day's work, before the day's lock is taken."""

    def on_success(self) -> None:
        """What Luigi tells the scheduler of a success: nothing. Luigi has looked, if it is set up to."""
        self._has_just_run = False

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
        return raw.receipt_of(self.date)

    def work(self) -> None:
        try:
            published, bhavcopy = self._fetch()
        except (NotPublished, RejectedPayload) as error:
            if not self.output().exists():
                raise
            # Asked for again in vain: no day is closed, or stays due for ever, of which the file is kept.
            due.done(wiring.due_folder(), self.date, self.stage)
            raise TerminalError(
                f"the file that is kept could not be fetched again: {error.what}",
                day=self.date,
                source=error.source,
                expected=error.expected,
                found=error.found,
                todo="What is kept stays: run the same again to go on with it.",
            ) from None

        receipt = raw.keep(self.date, published, bhavcopy)

        answer = wiring.archive_answers().get(self.date)
        if answer.verdict == "closed" if answer else not sessions.is_session(self.date):
            answers.record(wiring.ledger_file(), self.date, "session", wiring.archive_name(), published.url)
        self.facts |= {"archive_file": published.name, "archive_sha256": receipt["sha256"], "layout": published.format}
        self.say(f"{published.name}, {len(published.content):,} bytes, {len(bhavcopy.lines):,} rows")

    def _fetch(self) -> tuple[Published, Bhavcopy]:
        from champion_luigi.config import wiring
        from champion_luigi.exchange import archive
        from champion_luigi.parsing import payload

        _require_expected(self.date)
        try:
            published = archive.fetch(wiring.configured_archive(), self.date, settings.get("udiff_from"))
        except NotPublished as error:
            raise _with_session(error, self.date) from None
        return published, payload.recognise(published.content, self.date, published.url, wiring.max_unzipped_bytes())


class ParseBhavcopy(BhavcopyTask):
    """The payload as a table of text under the source's column names; ``normalize`` gives types."""

    stage = 1

    def requires(self) -> ScrapeBhavcopy:
        return ScrapeBhavcopy(date=self.date)

    def output(self) -> WholeFile:
        return _intermediate("parsed", self.date)

    def work(self) -> None:
        from champion_luigi.config import wiring
        from champion_luigi.parsing import normalize, payload
        from champion_luigi.storage import raw

        receipt, kept = raw.payload_of(self.input())
        recognised = kept.take()
        if recognised is None:
            content = raw.verified(receipt, kept, self.input())
            recognised = payload.recognise(content, self.date, kept.path, wiring.max_unzipped_bytes())
        table = normalize.parse(recognised)

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
        from champion_luigi.config import wiring
        from champion_luigi.parsing import normalize

        table, metadata = _table(self.input())
        normalized = normalize.normalize(table, metadata["format"], self.date)

        _keep_rejects(wiring.rejects_file(self.date), normalized.rejects)
        self.facts |= {
            "normalized_rows": normalized.rows.height,
            "filtered_rows": len(normalized.rejects),
            "warnings": normalized.warnings,
            **_source_in(metadata),
        }
        try:
            normalize.check(normalized, self.date, metadata["source_file"], settings.get("max_rejected_share"))
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
        self.output().write(content, (rows, durable.sha256(content), metadata))

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
        return {} if settings.get("clickhouse_host") or lanes.in_threads.get() else {"embedded_warehouse": 1}

    def requires(self) -> WriteParquet:
        return WriteParquet(date=self.date)

    def prepare(self) -> None:
        """Take the embedded engine.

        A fill holds it and waits for days: who held a day and waited for the engine would wait for the fill, and the
        fill for them.
        """
        if not settings.get("clickhouse_host"):
            warehouse.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self.say)

    def output(self) -> LoadMarker:
        place = wiring.warehouse_place()
        path = settings.data_dir() / "loaded" / place.slug / f"{self.date:%Y}" / f"bhavcopy_{self.date:%Y%m%d}.json"
        return LoadMarker(str(path), lake.partition(settings.lake_dir(), self.date), place.identity())

    def work(self) -> None:
        lake_file = self.input().file
        status = lake_file.stat()
        rows, content_sha256, metadata = self.input().take() or _lake_table(lake_file)
        _require_untouched_as_loaded(self.output(), [status.st_size, status.st_mtime_ns], content_sha256)
        table = warehouse.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self.say)
        loaded = table.load(self.date, rows, company=lanes.in_threads.get() // 2)

        marker = self.output()
        marker.warehouse = wiring.warehouse_place().identity()
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
                "loaded_at": durable.now(),
            }
        )
        self.facts |= {"rows_loaded": loaded.rows, "clickhouse_table": table.name, **_source_in(metadata)}
        self.say(f"{loaded.rows:,} rows in {table.name}" + (f", {loaded.removed} removed" if loaded.removed else ""))


def for_the_visualiser(message: str) -> str:
    """A status message for Luigi's page, which takes it for HTML: an error in it may quote anything."""
    return html.escape(message, quote=False)


def _intermediate(stage: str, day: date) -> WholeFile:
    return WholeFile(str(settings.data_dir() / stage / f"{day:%Y}" / f"bhavcopy_{day:%Y%m%d}{tables.SUFFIX}"))


def _require_expected(day: date) -> None:
    """NotPublished, without a request, for a day on which nothing was published as far as is known."""
    if settings.get("ask_closed"):
        return
    answer = wiring.archive_answers().get(day)
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


def _table(target: WholeFile) -> tuple[pl.DataFrame, dict[str, str]]:
    """A table and its metadata: from memory where this process has just written it."""
    table: tuple[pl.DataFrame, dict[str, str]] = target.take() or tables.read_table(target.file)
    return table


def _lake_table(lake_file: Path) -> tuple[pl.DataFrame, str, dict[str, str]]:
    """The rows of a lake file, the sha256 of exactly the bytes that they were read from, and its metadata."""
    content = durable.read_whole(lake_file)
    rows, metadata = lake.table_of(content, lake_file)
    if tuple(rows.columns) != tuple(schema.NAMES):
        raise DamagedFile(
            "the lake file has other columns",
            source=str(lake_file),
            expected=", ".join(schema.NAMES),
            found=", ".join(rows.columns),
            todo="If another program wrote it, move it away; then run the day again.",
        )
    return rows, durable.sha256(content), metadata


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
        durable.write_whole(path, ("\n".join(lines) + "\n").encode())
    else:
        path.unlink(missing_ok=True)
