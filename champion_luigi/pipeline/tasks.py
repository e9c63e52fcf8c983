"""The five tasks, in the order in which a day's data goes through them. Read this first.

    ScrapeBhavcopy -> ParseBhavcopy -> NormalizeBhavcopy -> WriteParquet -> LoadClickHouse

A task reads the output of the one before, calls one function, and writes its own output, whole or not at
all. What is heavy (Polars, the ClickHouse engine) is imported where it is used: a run with nothing to do
imports Luigi alone, and a parent that forks workers never touches it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from champion_luigi.base import durable
from champion_luigi.base.errors import (
    ChampionError,
    CheckFailed,
    DamagedFile,
    NotPublished,
    RejectedPayload,
    TerminalError,
)
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import schema
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import answers, sessions
from champion_luigi.pipeline import lanes
from champion_luigi.pipeline.day_task import WORK_AHEAD, DayTask
from champion_luigi.pipeline.targets import JsonFile, LoadMarker, WholeFile
from champion_luigi.storage import due, lake, raw, tables
from champion_luigi.warehouse import opened

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.exchange.archive import Published
    from champion_luigi.parsing.payload import Bhavcopy


class ScrapeBhavcopy(DayTask):
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


class ParseBhavcopy(DayTask):
    """The payload as a table of text under the source's column names; ``normalize`` gives types."""

    stage = 1

    def requires(self) -> ScrapeBhavcopy:
        return ScrapeBhavcopy(date=self.date)

    def output(self) -> WholeFile:
        return _intermediate("parsed", self.date)

    def work(self) -> None:
        from champion_luigi.config import wiring
        from champion_luigi.parsing import payload
        from champion_luigi.parsing.lines import parse
        from champion_luigi.storage import raw

        receipt, kept = raw.payload_of(self.input())
        recognised = kept.take()
        if recognised is None:
            content = raw.verified(receipt, kept, self.input())
            recognised = payload.recognise(content, self.date, kept.path, wiring.max_unzipped_bytes())
        table = parse(recognised)

        metadata = {
            "source_file": receipt["file"],
            "source_sha256": receipt["sha256"],
            "format": receipt["format"],
            "raw_rows": str(table.height),
        }
        self.output().write(tables.table_bytes(table, metadata), (table, metadata))

        self.facts |= {"raw_rows_parsed": table.height, **_source_in(metadata)}
        self.say(f"{table.height:,} rows of {kept.file.name}")


class NormalizeBhavcopy(DayTask):
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


class WriteParquet(DayTask):
    """The lake's partition of the day. Requiring this task is the run without a warehouse."""

    stage = 3

    def requires(self) -> NormalizeBhavcopy:
        return NormalizeBhavcopy(date=self.date)

    def output(self) -> WholeFile:
        return WholeFile(str(lake.partition(settings.lake_dir(), self.date, EQUITY)))

    def work(self) -> None:
        rows, metadata = _table(self.input())
        schema.require_version(metadata.get("schema_version"), self.input().path, self.date)
        rows = lake.sorted_by_key(lake.with_later_columns(rows, metadata, EQUITY), EQUITY)
        content = lake.parquet_bytes(rows, metadata | {"schema_version": str(schema.VERSION)})
        self.output().write(content, (rows, durable.sha256(content), metadata))

        self.facts |= {"rows_written": rows.height, "parquet_bytes": len(content), **_source_in(metadata)}
        self.say(f"{rows.height:,} rows, {len(content):,} bytes")


class LoadClickHouse(DayTask):
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
            opened.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self.say)

    def output(self) -> LoadMarker:
        place = wiring.warehouse_place()
        path = settings.data_dir() / "loaded" / place.slug / f"{self.date:%Y}" / f"bhavcopy_{self.date:%Y%m%d}.json"
        return LoadMarker(str(path), lake.partition(settings.lake_dir(), self.date, EQUITY), place.identity(EQUITY))

    def work(self) -> None:
        lake_file = self.input().file
        status = lake_file.stat()
        rows, content_sha256, metadata = self.input().take() or lake.rows_to_load(lake_file, EQUITY)
        _require_untouched_as_loaded(self.output(), [status.st_size, status.st_mtime_ns], content_sha256)
        table = opened.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self.say)
        loaded = table.load(EQUITY, self.date, rows, company=lanes.in_threads.get() // 2)

        marker = self.output()
        marker.warehouse = wiring.warehouse_place().identity(EQUITY)
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
        self.facts |= {"rows_loaded": loaded.rows, "clickhouse_table": table.name_of(EQUITY), **_source_in(metadata)}
        self.say(
            f"{loaded.rows:,} rows in {table.name_of(EQUITY)}"
            + (f", {loaded.removed} removed" if loaded.removed else "")
        )


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
