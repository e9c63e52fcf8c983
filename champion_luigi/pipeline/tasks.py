"""The five tasks, in the order in which a day's data goes through them. Read this first.

    ScrapeBhavcopy -> ParseBhavcopy -> NormalizeBhavcopy -> WriteParquet -> LoadClickHouse

A task reads the output of the task before, calls one function, and writes its own output, whole or not at
all. Heavy libraries (Polars, the ClickHouse engine) are imported where they are used: a run with nothing to
do imports Luigi alone, and a parent that forks workers never uses them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import luigi

from champion_luigi.base import durable
from champion_luigi.base.errors import (
    CheckFailed,
    DamagedFile,
    NotPublished,
    RejectedPayload,
    StorageError,
    TerminalError,
    TruncatedPayload,
)
from champion_luigi.base.places import Place, signature
from champion_luigi.config import settings, wiring
from champion_luigi.exchange import sessions
from champion_luigi.pipeline import absence, hosts, lanes, loaded, sharing
from champion_luigi.pipeline.day_task import WORK_AHEAD, DayTask, last_of_fill
from champion_luigi.pipeline.targets import JsonFile, LoadMarker, WholeFile, write_all
from champion_luigi.storage import adjustments, due, lake, raw, tables
from champion_luigi.warehouse import opened

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.datasets.model import Source
    from champion_luigi.exchange.archive import Published
    from champion_luigi.parsing.normalize import Normalized
    from champion_luigi.parsing.payload import Recognised

    # See `sharing.stored_for_others`.
    Stored = Callable[[Source], Published | None]


# The counts of a day's rows besides those that are normalized or rejected, as `Normalized` names them.
_BESIDE = ("skipped", "further")


class ScrapeBhavcopy(DayTask):
    """Fetch the published file and store it unchanged. The output is its receipt: name, sha256, size, URL, time."""

    stage = 0
    attempts = 3
    retry_setting = "scrape_retry_seconds"

    @property
    def resources(self) -> dict[str, int]:  # type: ignore[override]  # Luigi only reads it
        """One unit of ``archive``, where a central scheduler limits how many hosts fetch at once."""
        return dict(hosts.of_archive.get())

    def requires(self) -> list[luigi.Task]:
        # Luigi fires no event in the parent of the workers for a task without dependencies.
        self.trigger_event(WORK_AHEAD, self)
        return []

    def deps(self) -> list[luigi.Task]:
        """Nothing to schedule beforehand."""
        return self.requires()

    def _requires(self) -> list[luigi.Task]:
        """This task itself, for Luigi's summary: it is left pending only because of what its own `run` yielded."""
        return [self]

    def output(self) -> JsonFile:
        return JsonFile(self.files.receipt(self.date))

    def work(self) -> None:
        # A day that was requested again is fetched, whatever is stored.
        is_first = self.stage not in due.stages(self.files.due, self.date)
        with sharing.stored_for_others(self, is_used=is_first) as stored:
            self._fetch_and_keep(stored)

    def _fetch_and_keep(self, stored: Stored) -> None:
        try:
            published, recognised = self._fetch(stored)
        except (NotPublished, RejectedPayload) as error:
            if not self.output().exists():
                raise
            # A repeated request failed, but the file is stored: the day is neither closed nor left due for ever.
            due.done(self.files.due, self.date, self.stage)
            raise TerminalError(
                f"the stored file could not be fetched again: {error.what}",
                day=self.date,
                source=error.source,
                expected=error.expected,
                found=error.found,
                todo="The stored file stays: run the same command again to continue with it.",
            ) from None

        receipt = keep(self, published, recognised)
        self.facts |= {"archive_file": published.name, "archive_sha256": receipt["sha256"], "layout": published.source}
        size = f"{len(published.content):,} bytes, {len(recognised.lines):,} rows"
        self.say(f"{published.name}, {size}" + (", stored before for another data set" if published.fetched_at else ""))

    def _fetch(self, stored: Stored) -> tuple[Published, Recognised]:
        absence.require_due(self.definition, self.date)
        expected = wiring.expectation(self.definition)
        try:
            return fetch(self, stored)
        except (RejectedPayload, StorageError, TruncatedPayload) as error:
            absence.enter_unusable(self.definition, self.date, error.source or "")
            raise
        except NotPublished as error:
            todo = f"By the calendar: {sessions.describe(self.date)}."
            if expected.is_recent(self.date, settings.get("closed_after_days")):
                todo += f" A session's file is expected from {expected.published_at:%H:%M} India time."
            elif expected.of(self.date).state != "closed" and not self.output().exists():
                todo += " The day stays due: champion fill requests it again, less and less often."
            about: dict[str, Any] = {
                "day": self.date,
                "source": error.source,
                "found": error.found,
                "answered": error.answered,
            }
            raise NotPublished(error.what, **about, todo=todo) from None


class _Table(DayTask):
    """A task whose output lies between two stages: a fill, perhaps of another process, removes it at the day's end."""

    # Whether the lake waited for the output when Luigi last looked. If not, who runs the task wants the table itself.
    _is_awaited = False
    # Whether Luigi has just found that the lake lacks the day. It looks at the lake first, and then at each table.
    is_known_to_lack = False

    def is_made(self) -> bool:
        """Whether the output exists, or the lake, which waited for it, has the day by now."""
        is_known, self.is_known_to_lack = self.is_known_to_lack, False
        if super().is_made():
            return True
        in_lake = not is_known and WriteParquet(date=self.date, dataset=self.dataset).is_made()
        if in_lake and self._is_awaited:
            return True
        self._is_awaited = not in_lake
        if is_known and isinstance(before := self.requires(), _Table):
            before.is_known_to_lack = True
        return False

    def _bytes_of(self, table: pl.DataFrame, metadata: Mapping[str, str]) -> bytes:
        """The output's content, not compressed in a fill that soon removes the output."""
        return tables.table_bytes(table, metadata, is_to_stay=last_of_fill.get() is None)


class ParseBhavcopy(_Table):
    """The payload as a table of text under the source's column names; ``normalize`` casts the types."""

    stage = 1

    def requires(self) -> ScrapeBhavcopy:
        return ScrapeBhavcopy(date=self.date, dataset=self.dataset)

    def output(self) -> WholeFile:
        return WholeFile(self.files.table("parsed", self.date))

    @classmethod
    def work_together(cls, tasks: Sequence[ParseBhavcopy]) -> None:
        from champion_luigi.parsing import lines

        receipts = [raw.payload_of(task.files, task.date) for task in tasks]
        tables_of = lines.parse_all(
            [task._recognised(receipt, kept) for task, (receipt, kept) in zip(tasks, receipts, strict=True)]
        )
        written: list[tuple[WholeFile, bytes, Any]] = []
        for task, (receipt, _), table in zip(tasks, receipts, tables_of, strict=True):
            metadata = {
                "source_file": receipt["file"],
                "source_sha256": receipt["sha256"],
                "format": receipt["format"],
                "raw_rows": str(table.height),
            }
            written.append((task.output(), task._bytes_of(table, metadata), (table, metadata)))
            task.facts |= {"raw_rows_parsed": table.height, **_source_in(metadata)}
        write_all(written)
        for task, (_, kept) in zip(tasks, receipts, strict=True):
            task.say(f"{task.facts['raw_rows_parsed']:,} rows of {kept.name}")

    def _recognised(self, receipt: Mapping[str, Any], kept: Place) -> Recognised:
        from champion_luigi.parsing import payload

        recognised: Recognised | None = WholeFile(kept).take()
        # Another data set may have recognised the same file.
        if recognised is not None and recognised.dataset.name == self.dataset:
            return recognised
        content = raw.content_of(self.files, self.date, receipt)
        limit, format = wiring.max_unzipped_bytes(), receipt["format"]
        return payload.recognise(content, self.definition, self.date, str(kept), limit, format=format)


class NormalizeBhavcopy(_Table):
    """Canonical columns and types. Rejected rows are stored under ``rejects/``; oddities are counted."""

    stage = 2

    def requires(self) -> ParseBhavcopy:
        return ParseBhavcopy(date=self.date, dataset=self.dataset)

    def output(self) -> WholeFile:
        return WholeFile(self.files.table("normalized", self.date))

    @classmethod
    def work_together(cls, tasks: Sequence[NormalizeBhavcopy]) -> None:
        from champion_luigi.parsing import normalize

        found = [_table(task) for task in tasks]
        days = [
            normalize.Parsed(table, metadata["format"], task.date)
            for task, (table, metadata) in zip(tasks, found, strict=True)
        ]
        together = list(zip(tasks, found, normalize.normalize_all(days, tasks[0].definition), strict=True))
        for task, (_, metadata), normalized in together:
            task._check(normalized, metadata, is_alone=len(tasks) == 1)
        written: list[tuple[WholeFile, bytes, Any]] = []
        for task, (_, metadata), normalized in together:
            _keep_rejects(task.files.rejects(task.date), normalized.rejects)
            task._describe(normalized, metadata)
            content = task._bytes_of(normalized.rows, metadata)
            written.append((task.output(), content, (normalized.rows, metadata)))
        write_all(written)
        for task, (_, metadata), normalized in together:
            beside = {name: metadata[f"{name}_rows"] for name in _BESIDE if f"{name}_rows" in metadata}
            counts = "".join(f", {int(count):,} {name}" for name, count in beside.items())
            rejected, warned = len(normalized.rejects), sum(normalized.warnings.values())
            warnings = "1 warning" if warned == 1 else f"{warned} warnings"
            task.say(f"{normalized.rows.height:,} rows, {rejected} rejected{counts}, {warnings}")

    def _check(self, normalized: Normalized, metadata: Mapping[str, str], *, is_alone: bool) -> None:
        from champion_luigi.parsing import normalize

        try:
            normalize.check(normalized, self.date, metadata["source_file"], settings.get("max_rejected_share"))
        except CheckFailed:
            if is_alone:
                _keep_rejects(self.files.rejects(self.date), normalized.rejects)
                self._describe(normalized, dict(metadata))
                # Otherwise, deleting the receipt to fetch again would not make parsing due.
                self.input().file.unlink(missing_ok=True)
            raise

    def _describe(self, normalized: Normalized, metadata: dict[str, str]) -> None:
        """Note a day's counts, in what is recorded and in its table's metadata."""
        rejected = len(normalized.rejects)
        self.facts |= {
            "normalized_rows": normalized.rows.height,
            "filtered_rows": rejected,
            "warnings": normalized.warnings,
            **_source_in(metadata),
        }
        metadata |= {
            "schema_version": str(self.definition.version),
            "rows": str(normalized.rows.height),
            "rejected_rows": str(rejected),
            "warnings": json.dumps(normalized.warnings),
        }
        # Raw rows + further rows = rows + rejected rows + skipped rows.
        for name in _BESIDE:
            if count := getattr(normalized, name):
                self.facts[f"{name}_rows"] = count
                metadata[f"{name}_rows"] = str(count)


class WriteParquet(DayTask):
    """The day's partition in the lake. A run without a warehouse ends with this task."""

    stage = 3

    def requires(self) -> NormalizeBhavcopy:
        return NormalizeBhavcopy(date=self.date, dataset=self.dataset)

    def output(self) -> WholeFile:
        return WholeFile(lake.partition(settings.lake_dir(), self.date, self.definition))

    def complete(self) -> bool:
        """As for each task. Before a run, Luigi then looks at the tables, which need not ask the lake again at once."""
        has_run = self._has_just_run
        found = super().complete()
        self.requires().is_known_to_lack = not (found or has_run)
        return found

    @classmethod
    def work_together(cls, tasks: Sequence[WriteParquet]) -> None:
        written: list[tuple[WholeFile, bytes, Any]] = []
        for task in tasks:
            rows, metadata = _table(task)
            task.definition.require_version(metadata.get("schema_version"), task.input().path, task.date)
            rows = lake.sorted_by_key(lake.with_later_columns(rows, metadata, task.definition), task.definition)
            # Rows of an older version have the later columns now.
            content = lake.parquet_bytes(rows, metadata | {"schema_version": str(task.definition.version)})
            written.append((task.output(), content, (rows, durable.sha256(content), metadata)))
            task.facts |= {"rows_written": rows.height, "parquet_bytes": len(content), **_source_in(metadata)}
        tasks[0]._ask_for_adjustments()
        write_all(written)
        # Again, because adjustments may have been made in between, without these days.
        tasks[0]._ask_for_adjustments()
        for task in tasks:
            task.say(f"{task.facts['rows_written']:,} rows, {task.facts['parquet_bytes']:,} bytes")

    def on_success(self) -> None:
        """As for each task; from now on the lake waits for no table of the day."""
        super().on_success()
        normalized = self.requires()
        normalized._is_awaited = normalized.requires()._is_awaited = False

    def _ask_for_adjustments(self) -> None:
        if self.definition.is_for_adjustments:
            adjustments.ask(settings.data_dir())


class LoadClickHouse(DayTask):
    """The day's rows in ClickHouse, replaced atomically. The record of the load has the lake file's sha256.

    It is a marker; for a server, the entry in its ledger of loads.
    """

    stage = 4
    attempts = 3
    # The lake's file may be made again as it was when it was loaded, and other hosts may load a server.
    can_become_complete = True
    # Whether the last run found the day loaded into a server from another folder, such as another host's.
    was_loaded_elsewhere: bool = False
    retry_setting = "load_retry_seconds"

    @property
    def resources(self) -> dict[str, int]:  # type: ignore[override]  # Luigi only reads it
        """One process at a time may hold the embedded engine, so Luigi need not start a second one in vain."""
        # Threads share the engine, and its inserts.
        return {} if settings.get("clickhouse_host") or lanes.in_threads.get() else {"embedded_warehouse": 1}

    def requires(self) -> WriteParquet:
        return WriteParquet(date=self.date, dataset=self.dataset)

    def deps(self) -> list[luigi.Task]:
        """Luigi's own, called for a load that is due: without the engine's library, no stage of the day begins."""
        wiring.warehouse_place().require_engine()
        found: list[luigi.Task] = super().deps()
        return found

    def prepare(self) -> None:
        """Take the embedded engine; with a server, forget what was known of the day.

        A fill holds the engine and waits for days. A task that held a day's lock while waiting for the engine would
        deadlock with the fill.
        """
        if settings.get("clickhouse_host"):
            loaded.forget(self.definition, [self.date])
        else:
            opened.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self.say)

    def was_found_complete(self) -> bool:
        """Whether another process has done the work, in this folder or in another one."""
        found, record = super().was_found_complete(), self.output()
        self.was_loaded_elsewhere = (
            found
            and isinstance(record, loaded.LoadRecord)
            and (entry := record.entry()) is not None
            and (record.load() or {}).get("version") != entry.version
        )
        return found

    @classmethod
    def look(cls, tasks: Sequence[DayTask]) -> None:
        """Read a server's ledger for all of the days at once."""
        if tasks and settings.get("clickhouse_host"):
            loaded.look(tasks[0].definition, [task.date for task in tasks])

    @classmethod
    def forget(cls, tasks: Sequence[DayTask]) -> None:
        """Let the next look at these days read a server's ledger."""
        if tasks and settings.get("clickhouse_host"):
            loaded.forget(tasks[0].definition, [task.date for task in tasks])

    def output(self) -> LoadMarker:
        place = wiring.warehouse_place()
        lake_file = lake.partition(settings.lake_dir(), self.date, self.definition)
        path = self.files.marker(place.slug, self.date)
        about = (path, self.definition, lake_file, place.identity(self.definition))
        return loaded.LoadRecord(*about, self.date) if place.host else LoadMarker(*about)

    @classmethod
    def work_together(cls, tasks: Sequence[LoadClickHouse]) -> None:
        place, definition = wiring.warehouse_place(), tasks[0].definition
        inputs = {task.date: task._rows_to_load() for task in tasks}
        table = opened.shared(place, settings.get("lock_wait_seconds"), tasks[0].say)
        if place.host:
            loaded.record_markers(definition)
        rows_of = {day: rows for day, (rows, *_) in inputs.items()}
        if_due = {task.date for task in tasks if not due.stages(task.files.due, task.date)}
        sha256_of = {day: sha256 for day, (_, sha256, *_) in inputs.items()}
        counts = table.load_days(definition, rows_of, sha256_of, if_due)
        # After the load, which makes the embedded warehouse and its id.
        warehouse, name = place.identity(definition), table.name_of(definition)
        written: list[tuple[WholeFile, bytes, Any]] = []
        for task in tasks:
            _, content_sha256, metadata, stat = inputs[task.date]
            count, marker = counts[task.date], task.output()
            marker.warehouse = warehouse
            document = {
                "date": task.date,
                "warehouse": warehouse,
                "rows": count.rows,
                "removed": count.removed,
                "version": count.version,
                "lake_file": task.input().file.name,
                "lake_sha256": content_sha256,
                "lake_stat": stat,
                "schema_version": definition.version,
                "loaded_at": durable.now(),
            }
            written.append((marker, durable.json_bytes(document), None))
            task.facts |= {"rows_loaded": count.rows, "clickhouse_table": name, **_source_in(metadata)}
        write_all(written)
        if place.host:
            loaded.note(definition, {day: (inputs[day][1], count) for day, count in counts.items()})
        for task in tasks:
            count = counts[task.date]
            if count.by_another:
                task.was_complete = task.was_loaded_elsewhere = True
                task.say("done by another process meanwhile")
                continue
            task.say(f"{count.rows:,} rows in {name}" + (f", {count.removed} removed" if count.removed else ""))

    def _rows_to_load(self) -> tuple[pl.DataFrame, str, dict[str, str], list[int | str]]:
        """The lake file's rows, sha256, metadata, and its size and time before it was read."""
        lake_file = self.input().file
        stat = signature(lake_file)
        rows, content_sha256, metadata = self.input().take(stat) or lake.rows_to_load(lake_file, self.definition)
        self._require_untouched_as_loaded(stat, content_sha256)
        return rows, content_sha256, metadata, stat

    def _require_untouched_as_loaded(self, stat: list[int | str], found: str) -> None:
        """Raise DamagedFile if any warehouse's marker has the lake file's size and time but another sha256.

        A file that was rewritten on purpose since then has another time, and is loaded as it is.
        """
        for path in self.files.markers_anywhere(self.date):
            known = durable.read_json(path) or {}
            if known.get("lake_stat") == stat and known.get("lake_sha256") != found:
                raise DamagedFile(
                    "the lake file differs from what was loaded before, but has not been written since",
                    source=str(self.input().file),
                    expected=f"sha256 {known.get('lake_sha256')}",
                    found=found,
                    todo="The disk has changed it: champion verify --repair rebuilds it.",
                )


def fetch(
    task: ScrapeBhavcopy, stored: Stored, known: Mapping[str, Mapping[str, str]] = MappingProxyType({})
) -> tuple[Published, Recognised]:
    """The day's file, checked and recognised. ``stored``, ``known`` and errors are as for `archive.fetch`.

    A partial source is not tried for a day whose stored file is from a full one.
    """
    from champion_luigi.exchange import archive
    from champion_luigi.parsing import payload

    opened_archive, limit = wiring.configured_archive(), wiring.max_unzipped_bytes()
    definition = task.definition
    had = definition.source(str((durable.read_json(task.output().file) or {}).get("format")))
    if had and not had.partial:
        definition = definition.without_partial

    def read(published: Published) -> Recognised:
        content, url, format = published.content, published.url, published.source
        return payload.recognise(content, task.definition, task.date, url, limit, format=format)

    official_from, day = wiring.official_from(), task.date
    return archive.fetch(opened_archive, definition, day, read, official_from=official_from, known=known, stored=stored)


def keep(task: ScrapeBhavcopy, published: Published, recognised: Recognised) -> dict[str, Any]:
    """Store a payload and its receipt, return the receipt, and hold the recognised payload for the next task."""
    described = {
        "format": published.source,
        "url": published.url,
        "archive": wiring.archive_name(),
        "rows": len(recognised.lines),
        "validators": published.headers,
        "fetched_at": published.fetched_at,
    }
    receipt, written = raw.keep(task.files, task.date, published.name, published.content, described)
    absence.enter_found(task.definition, task.date, published.source, published.url)
    WholeFile(raw.place_of(task.files, task.date, receipt)).remember(recognised, written)
    return receipt


def _table(task: NormalizeBhavcopy | WriteParquet) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table that a task reads, and its metadata, from memory if this process has just written it.

    If it is not on this host, it is made again from the payload: the stage before may have run on another host, by a
    central scheduler's choice, or before that host ended.
    """
    target = task.input()
    if (table := target.take()) is None:
        if not target.exists():
            before = task.requires()
            before.facts = {}
            before.say(f"made again: {target.path} is not here")
            before.work()
            return _table(task)
        table = tables.read_table(target.file)
    found: tuple[pl.DataFrame, dict[str, str]] = table
    return found


def _source_in(metadata: Mapping[str, str]) -> dict[str, str]:
    """The day's source file, which every task records because a run may begin with any task."""
    names = {"archive_file": "source_file", "archive_sha256": "source_sha256", "layout": "format"}
    return {ours: metadata[theirs] for ours, theirs in names.items() if theirs in metadata}


def _keep_rejects(path: Path, rejects: list[Any]) -> None:
    if rejects:
        lines = (json.dumps(vars(reject), default=str, ensure_ascii=False) for reject in rejects)
        durable.write_whole(path, ("\n".join(lines) + "\n").encode())
    else:
        path.unlink(missing_ok=True)
