"""The tasks that make adjusted prices: `WriteAdjustments` in the lake, `LoadAdjustments` in ClickHouse.

They have no date: a split of today changes the prices of thirty years. Each is complete as long as no day has been
written since to a data set that adjustments are made from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import luigi
import tenacity

from champion_luigi.adjustments.tables import VERSION
from champion_luigi.base import durable, locks, store
from champion_luigi.base.errors import Busy, ChampionError, StorageError, is_transient
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.pipeline import day_task, hosts, lanes, loaded, process
from champion_luigi.pipeline.scrape_symbol_changes import ScrapeSymbolChanges
from champion_luigi.pipeline.targets import JsonFile
from champion_luigi.storage import adjustments, lake, symbol_changes, version
from champion_luigi.warehouse import adjusted, opened

# In place of a date, in markers.
_NAME = "adjustments"


class _MadeTables(JsonFile):
    """The document about the tables. It counts as long as the lake is the one that they were made from."""

    def exists(self) -> bool:
        """Whether the tables are there, made by this version, and no day was written since."""
        if adjustments.due_note(settings.data_dir()).exists():
            return False
        document = self.load()
        return (
            document is not None
            and document.get("version") == VERSION
            and adjustments.are_there(settings.lake_dir(), str(document.get("inputs")))
        )


class _Loaded(JsonFile):
    """The record of what was loaded into a warehouse."""

    def exists(self) -> bool:
        """Whether this warehouse has the tables that the lake has now."""
        made = JsonFile(adjustments.document(settings.lake_dir())).load()
        return made is not None and self.has_some() and (self.load() or {}).get("inputs") == made.get("inputs")

    def has_some(self) -> bool:
        """Whether this warehouse has tables of any state."""
        document = self.load()
        return document is not None and document.get("warehouse") == _warehouse()


class _AdjustTask(luigi.Task):
    """The base of both: the layout version of DATA_DIR, a lock, and messages to the scheduler."""

    attempts = 3

    @durable.explained()
    def complete(self) -> bool:
        """Whether the output is there and everything before it is complete."""
        version.require(settings.data_dir())
        return super().complete() and all(task.complete() for task in self.before())

    def before(self) -> Sequence[luigi.Task]:
        """The tasks whose output decides whether this one is complete."""
        return ()

    @durable.explained()
    def run(self) -> None:
        """Do the work, in one process at a time."""
        process.prepare()
        version.claim(settings.data_dir())
        wiring.require_stores()
        lock, wait = adjustments.lock(settings.data_dir()), settings.get("lock_wait_seconds")
        with (
            locks.locked(lock, what := "the adjustments", wait, self._wait),
            hosts.claimed("adjustments", what, wait, self._wait),
        ):
            if not self.complete():
                self._retrying()(self.work)
                self._require_complete()

    def _require_complete(self) -> None:
        if not self.complete():
            raise Busy(
                "days were written while the adjustments were made, so they are due again",
                source=str(settings.lake_dir()),
                todo="Run champion adjust when no fill runs. A fill makes them itself at its end.",
            )

    def _wait(self, message: str) -> None:
        """Say so, and give up the embedded engine: whoever makes the adjustments needs it to load them."""
        self.say(message)
        opened.released()

    def _retrying(self) -> tenacity.Retrying:
        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_fixed(settings.get("load_retry_seconds")),
            retry=tenacity.retry_if_exception(is_transient),
            before_sleep=lambda state: self.say(f"attempt {state.attempt_number} of {self.attempts} failed"),
            reraise=True,
        )

    def work(self) -> None:
        """The work itself."""
        raise NotImplementedError

    def say(self, message: str) -> None:
        """Show a message in the log and in the scheduler's pages."""
        day_task.logger.info("%s: %s", self.task_family, message)
        day_task.show(self, "set_status_message", message)

    def warn(self, message: str) -> None:
        """Show a warning in the log, and the message in the scheduler's pages."""
        message = settings.without_secrets(message)
        day_task.logger.warning("%s: %s", self.task_family, message)
        day_task.show(self, "set_status_message", message)

    def on_failure(self, exception: BaseException) -> str:
        """Luigi's message to the scheduler and by mail: its traceback, with secrets removed."""
        return settings.without_secrets(super().on_failure(exception))


class WriteAdjustments(_AdjustTask):
    """Instruments, adjustments and their spans, as Parquet in the lake. The output is the document about them."""

    def output(self) -> _MadeTables:
        return _MadeTables(adjustments.document(settings.lake_dir()))

    def work(self) -> None:
        from champion_luigi.pipeline import adjusting  # it reads with Polars

        note = adjustments.due_note(settings.data_dir())
        # First, so that a day that is written meanwhile asks again.
        note.unlink(missing_ok=True)
        with _asking_again():
            self._fetch_symbol_changes()
            given, made = adjusting.inputs(), self.output()
            document = made.load() or {}
            if document.get("inputs") != given.digest or not adjustments.are_readable(settings.lake_dir()):
                document = adjusting.make(given)
        self.say(f"{document['events']:,} events, for prices up to {document['prices_through']}")

    def _fetch_symbol_changes(self) -> None:
        """Fetch today's list of changed symbols. Without it the one before serves, or ISINs alone; the log says so."""
        task = ScrapeSymbolChanges()
        if task.complete():
            return
        try:
            task.run()
        except ChampionError as error:
            kept = symbol_changes.newest_kept(wiring.list_files())
            instead = f"the list of {kept.day} serves" if kept else "symbols are linked by ISIN alone"
            self.warn(f"{instead}, because there is no list of changed symbols of today: {error}")


class LoadAdjustments(_AdjustTask):
    """Adjustments and spans in ClickHouse, with the view ``equity_adjusted``; readers see an old or a new state."""

    @property
    def resources(self) -> dict[str, int]:  # type: ignore[override]  # Luigi only reads it
        """One process at a time may hold the embedded engine."""
        return {} if settings.get("clickhouse_host") or lanes.in_threads.get() else {"embedded_warehouse": 1}

    def requires(self) -> WriteAdjustments:
        return WriteAdjustments()

    def deps(self) -> list[luigi.Task]:
        """Luigi's own, called for a load that is due: without the engine's library, nothing begins."""
        wiring.warehouse_place().require_engine()
        found: list[luigi.Task] = super().deps()
        return found

    def before(self) -> Sequence[luigi.Task]:
        return (self.requires(),)

    def output(self) -> _Loaded:
        slug = wiring.warehouse_place().slug
        return _Loaded(settings.data_dir() / "loaded" / slug / f"{_NAME}.json")

    def work(self) -> None:
        if wiring.warehouse_place().host:
            _require_whole_lake()
        warehouse = opened.shared(wiring.warehouse_place(), settings.get("lock_wait_seconds"), self.say)
        if not self.requires().complete():
            # A fill has written days while it held the embedded engine.
            self.requires().work()
        tables = adjustments.read(settings.lake_dir())
        warehouse.prepare(EQUITY)
        generation = adjusted.load(warehouse.connection, tables.adjustments, tables.spans, self.warn)
        self.output().dump(
            {
                "warehouse": _warehouse(),
                "inputs": tables.about["inputs"],
                "generation": generation,
                "adjustments": tables.adjustments.height,
                "spans": tables.spans.height,
                "loaded_at": durable.now(),
            }
        )
        self.say(f"{tables.adjustments.height:,} events and {tables.spans.height:,} spans of factors loaded")


def ask() -> None:
    """Let the adjustments be made again, whatever has changed."""
    adjustments.ask(settings.data_dir())


def last_task(*, lake_only: bool) -> _AdjustTask:
    """The task that ends the work, with or without a warehouse."""
    return WriteAdjustments() if lake_only else LoadAdjustments()


def next_task() -> _AdjustTask:
    """The task that brings up to date what there is: the lake's tables, and the warehouse's if it has some."""
    return last_task(lake_only=not LoadAdjustments().output().has_some())


def lost() -> str:
    """A sentence about what the warehouse lacks of the adjustments that were loaded into it; empty if nothing.

    Raises Busy if another process holds the embedded warehouse, and the errors of a server's connection.
    """
    loaded = LoadAdjustments().output()
    if not loaded.has_some():
        return ""
    place = wiring.warehouse_place()
    found = adjusted.newest(opened.shared(place, settings.get("lock_wait_seconds")).connection)
    expected = (loaded.load() or {})["generation"]
    if found is not None and found >= expected:
        return ""
    there = "they or their views are missing, or of another version" if found is None else f"generation {found}"
    return f"the adjustments in {place.words} are not those that were loaded: expected generation {expected}; {there}"


def load_again() -> None:
    """Let the adjustments be loaded again, whatever was recorded of the last load."""
    LoadAdjustments().output().file.unlink(missing_ok=True)


def in_words() -> str:
    """The adjustments of the lake, in a sentence or two."""
    document = JsonFile(adjustments.document(settings.lake_dir())).load() or {}
    lacking = document["unadjusted"]
    named = f" Prices are not adjusted for {lacking:,}: champion actions --unadjusted lists them." if lacking else ""
    return (
        f"Adjustments: {document['events']:,} events, {document['with_factor']:,} of them with a factor, for prices up "
        f"to {document['prices_through']}.{named}"
    )


def state() -> dict[str, Any] | None:
    """The lake's adjustments as a JSON document, None where nobody wants any. Reads no table.

    ``due`` says that the lake has changed since they were made, ``loaded`` that this warehouse has this state. Counts
    are of events, dates are ISO texts; before the first time, there are none of either.
    """
    if not are_wanted():
        return None
    made = WriteAdjustments().output()
    document = made.load() or {}
    is_due = not made.exists()
    names = ("made_at", "prices_through", "actions_through", "symbol_changes", "events", "with_factor", "unadjusted")
    return {
        **{name: document.get(name) for name in names},
        "due": is_due,
        "loaded": not is_due and LoadAdjustments().output().exists(),
    }


def are_wanted() -> bool:
    """Whether this lake has prices and corporate actions, or had adjustments made before."""
    root = settings.lake_dir()
    return adjustments.document(root).exists() or all(
        store.has_some(lake.folder(root, dataset)) for dataset in (EQUITY, CORPORATE_ACTIONS)
    )


def _require_whole_lake() -> None:
    """Raise StorageError if the lake lacks days that other hosts have loaded into the server.

    Adjustments made from this lake would replace those of all days.
    """
    root = settings.lake_dir()
    for dataset in filter(lambda each: each.is_for_adjustments, catalog.DATASETS.values()):
        here = {day for day, _ in lake.days(root, dataset)}
        if lacking := sorted(loaded.entries(dataset, date.min, date.max).keys() - here):
            days = "1 day" if len(lacking) == 1 else f"{len(lacking)} days"
            raise StorageError(
                "the lake lacks days that the warehouse has, so its adjustments would replace those of all days",
                source=str(root),
                found=f"{days} of {dataset.name}: {sessions.in_words(lacking)}",
                todo="Set CHAMPION_LAKE_DIR to the lake that has them, or fill this one: champion fill --of "
                f"WriteParquet --dataset {dataset.name} --start {lacking[0]}",
            )


def _warehouse() -> dict[str, Any]:
    return wiring.warehouse_place().identity(EQUITY) | {"table": f"normalized_{_NAME}"}


@contextlib.contextmanager
def _asking_again() -> Iterator[None]:
    try:
        yield
    except BaseException:
        ask()
        raise
