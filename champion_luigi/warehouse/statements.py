"""Users' SQL statements, run on an existing warehouse: no table or view is made or repaired for them."""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from champion_luigi.base import signals
from champion_luigi.base.errors import ChampionError, StorageError, WarehouseError
from champion_luigi.warehouse.connection import (
    NO_DATABASE_CODE,
    Address,
    Connection,
    as_warehouse_errors,
    connect_embedded,
    connect_server,
    connected,
    in_its_words,
    set_where_allowed,
)
from champion_luigi.warehouse.layout import text_of

if TYPE_CHECKING:
    from champion_luigi.warehouse.connection import Client

# For results that people read: a null is empty in CSV, and a number is a number in JSON. A query whose reader has gone
# is ended.
_ASKING_SETTINGS: Mapping[str, Any] = {
    "format_csv_null_representation": "",
    "output_format_json_quote_64bit_integers": 0,
    "cancel_http_readonly_queries_on_client_close": 1,
}

# ClickHouse's own read-only mode allows UNDROP, BACKUP and KILL, so list the reading statements here.
_READING = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"})
_WITHOUT_EFFECT = frozenset({"USE", "SET"})
_LITERAL = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*\"""")
_OWN_OUTPUT = re.compile(r"\bINTO OUTFILE\b|\bPARALLEL WITH\b|\bFORMAT \w+( SETTINGS .*)?$")


_T = TypeVar("_T")


@dataclass(frozen=True)
class Statement:
    """One statement, and whether it only reads: it returns rows and changes nothing."""

    text: str
    reads: bool


def understood(questions: Questions, text: str, *, write: bool) -> Statement:
    """The user's text as one allowed statement. Raises WarehouseError otherwise, also for syntax errors."""
    try:
        parsed = questions.parse(text)
    except WarehouseError as error:
        if "Multi-statements" not in error.what:
            raise
        raise WarehouseError(
            "only one statement at a time: nothing was run", todo="Run each statement with its own command."
        ) from None
    word = parsed.split(maxsplit=1)[0]
    if word in _WITHOUT_EFFECT:
        raise WarehouseError(
            f"{word} would have no effect: each statement runs on its own",
            todo="Name a table as database.table, and put SETTINGS at the end of a query.",
        )
    if word in _READING:
        if _OWN_OUTPUT.search(_LITERAL.sub("''", parsed)):
            raise WarehouseError(
                "a statement cannot set the format or the file",
                todo="Leave out FORMAT and INTO OUTFILE: champion sql has --format and --output.",
            )
        # Run exactly the text that was checked.
        return Statement(parsed, reads=True)
    if not write:
        raise WarehouseError(f"{word} is not a reading statement", todo="champion sql --write runs it.")
    # The parsed text of an INSERT lacks its values.
    return Statement(text, reads=False)


def interruptibly(questions: Questions, work: Callable[[], _T]) -> _T:
    """Run work that waits for ClickHouse. Ctrl-C stops the engine, then raises KeyboardInterrupt."""
    with signals.noted() as presses, ThreadPoolExecutor(1, "champion-sql") as executor:
        future = executor.submit(work)
        while not wait([future], timeout=1 if presses else 0.1).done:
            if presses:
                # Repeat this, in case the query had not begun. If it cannot be stopped, its time limit ends it.
                with contextlib.suppress(ChampionError):
                    questions.interrupt()
    if presses:
        raise KeyboardInterrupt
    return future.result()


class Questions(Connection):
    """An existing warehouse, open for users' statements. No table or view is made or repaired.

    Without ``write``, the engine refuses all changes.
    """

    def __init__(self, place: Address, client: Client, release: Callable[[], None], *, write: bool) -> None:
        super().__init__(place, client, release)
        self._write = write
        self._query_id = f"champion-{uuid.uuid4().hex}"

    def prepare(self, most_rows: int | None) -> None:
        """Set the database, the time limit and the formats, before the first statement. Raises WarehouseError.

        ``most_rows`` ends a result early, after the block that reaches this number. It has no effect with ``write``.
        """
        settings: dict[str, Any] = {**_ASKING_SETTINGS, "max_execution_time": self.place.query_seconds}
        if not self._write:
            if most_rows is not None:
                settings |= {"max_result_rows": most_rows, "result_overflow_mode": "break"}
            # This one is last: after it, the engine refuses to change any setting.
            settings["readonly"] = 1
        with as_warehouse_errors(self.place):
            # A user who is read-only on the server cannot change any setting, including this one.
            set_where_allowed(self._client, settings)
            self._client.database = self.place.database
        try:
            with in_its_words(self.place, is_writing=self._write):
                [[found]] = self._client.query("SELECT toString(getSetting('readonly'))").result_rows
        except WarehouseError as error:
            if f"Code: {NO_DATABASE_CODE}." not in error.what:
                raise
            raise WarehouseError(
                f"there is no database {self.place.database} yet",
                source=self.place.words,
                todo="Load a day first (champion fill), or check CLICKHOUSE_DATABASE.",
            ) from None
        if not self._write and found == "0":
            raise WarehouseError("ClickHouse does not accept the setting readonly", source=self.place.words)

    def parse(self, statement: str) -> str:
        """The single statement on one line, without comments. Raises WarehouseError with ClickHouse's message."""
        with in_its_words(self.place, is_writing=self._write):
            found = self._client.raw_query(f"SELECT formatQuerySingleLine({text_of(statement)})", fmt="TSVRaw")
        return found.decode().removesuffix("\n")

    def export(self, statement: str, format: str, path: Path) -> None:
        """Write a statement's result to a new file, in one of ClickHouse's formats, without holding it in memory.

        After an error the file holds no result. Raises WarehouseError with ClickHouse's message, WarehouseUnreachable
        or StorageError.
        """
        if not self.place.host:
            with in_its_words(self.place, is_writing=self._write):
                self._client.raw_query(f"{statement}\nINTO OUTFILE {text_of(str(path))} FORMAT {format}")
            return
        # The server holds back the result until it is complete: a later error would look like a part of it.
        settings = {"wait_end_of_query": 1, "query_id": self._query_id}
        with in_its_words(self.place, is_writing=self._write):
            answer: Any = self._client.raw_stream(statement, fmt=format, settings=settings)
            try:
                with answer, path.open("wb") as file:
                    shutil.copyfileobj(answer, file, 1 << 20)
            except OSError as error:
                raise StorageError(
                    f"the result could not be written: {error.strerror or error}", source=str(path.parent)
                ) from error

    def execute(self, statement: str) -> str:
        """Run a statement that changes data. Returns its output, which is usually empty."""
        settings = {"query_id": self._query_id} if self.place.host else None
        with in_its_words(self.place, is_writing=self._write):
            return self._client.raw_query(statement, settings=settings).decode(errors="replace")

    def interrupt(self) -> None:
        """End the running statement from another thread. The thread that runs it gets a WarehouseError."""
        client = connect_server(self.place, {}) if self.place.host else connect_embedded(self.place, {})
        # In the embedded engine, every running query belongs to this process.
        which = f"query_id = {text_of(self._query_id)}" if self.place.host else "query NOT ILIKE 'kill query%'"
        with contextlib.closing(client), as_warehouse_errors(self.place):
            client.command(f"KILL QUERY WHERE {which} ASYNC")


def open_for_questions(
    place: Address,
    lock_wait_seconds: float = 0.0,
    on_wait: Callable[[str], None] | None = None,
    *,
    write: bool = False,
    most_rows: int | None = None,
) -> Questions:
    """Connect to an existing warehouse, read-only without ``write``. Nothing that is missing is made.

    ``most_rows`` ends a result at about that number. Raises the errors of `open_warehouse`, and WarehouseError if no
    warehouse exists.
    """
    place.require_engine()
    if place.is_absent:
        raise WarehouseError(
            "there is no warehouse yet", source=place.words, todo="Load a day first (champion fill), or check DATA_DIR."
        )
    questions = Questions(*connected(place, {}, lock_wait_seconds, on_wait), write=write)
    try:
        questions.prepare(most_rows)
    except BaseException:
        questions.close()
        raise
    return questions
