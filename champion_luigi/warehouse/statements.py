"""Statements that people write, put to a warehouse that is there: nothing is made or mended for them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from champion_luigi.base.errors import StorageError, WarehouseError
from champion_luigi.warehouse.connection import (
    NO_DATABASE_CODE,
    Address,
    as_warehouse_errors,
    connect_embedded,
    connect_server,
    connected,
    in_its_words,
    set_where_allowed,
    text_of,
)

if TYPE_CHECKING:
    from champion_luigi.warehouse.connection import Client

# For results that people ask for: in CSV a null is nothing, in JSON a number is a number. A query whose reader has
# gone is ended.
_ASKING_SETTINGS: Mapping[str, Any] = {
    "format_csv_null_representation": "",
    "output_format_json_quote_64bit_integers": 0,
    "cancel_http_readonly_queries_on_client_close": 1,
}


class Questions:
    """A warehouse that is there, open for statements that people write; nothing is made or mended.

    Unless ``write``, the engine refuses all changes.
    """

    def __init__(self, place: Address, client: Client, release: Callable[[], None], *, write: bool) -> None:
        self.place = place
        self._client = client
        self._release = release
        self._write = write
        self._query_id = f"champion-{uuid.uuid4().hex}"

    def prepare(self, most_rows: int | None) -> None:
        """Take the configured database, time limit and formats, before anything is asked. Raises WarehouseError.

        ``most_rows`` ends a result early, after the block that has reached so many, where nothing is written.
        """
        settings: dict[str, Any] = {**_ASKING_SETTINGS, "max_execution_time": self.place.query_seconds}
        if not self._write:
            if most_rows is not None:
                settings |= {"max_result_rows": most_rows, "result_overflow_mode": "break"}
            # The last one: after it, the engine lets no setting be changed.
            settings["readonly"] = 1
        with as_warehouse_errors(self.place):
            # A user whom the server itself lets only read may not change a setting, this one included.
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
            raise WarehouseError("ClickHouse does not take the setting readonly", source=self.place.words)

    def parse(self, statement: str) -> str:
        """The statement as ClickHouse reads it: one, on one line, without comments. WarehouseError in its words."""
        with in_its_words(self.place, is_writing=self._write):
            found = self._client.raw_query(f"SELECT formatQuerySingleLine({text_of(statement)})", fmt="TSVRaw")
        return found.decode().removesuffix("\n")

    def export(self, statement: str, format: str, path: Path) -> None:
        """Write what a statement gives to a new file, in a format of ClickHouse's, without holding it in memory.

        After an error the file holds no result. Raises WarehouseError in ClickHouse's words, WarehouseUnreachable or
        StorageError.
        """
        if not self.place.host:
            with in_its_words(self.place, is_writing=self._write):
                self._client.raw_query(f"{statement}\nINTO OUTFILE {text_of(str(path))} FORMAT {format}")
            return
        # The server keeps the result until it is whole: an error that came amid it would look like a part of it.
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
        """Run a statement that changes something; what it says, as a rule nothing."""
        settings = {"query_id": self._query_id} if self.place.host else None
        with in_its_words(self.place, is_writing=self._write):
            return self._client.raw_query(statement, settings=settings).decode(errors="replace")

    def interrupt(self) -> None:
        """End the statement that runs, from another thread; the thread that runs it gets a WarehouseError."""
        client = connect_server(self.place, {}) if self.place.host else connect_embedded(self.place, {})
        # In the embedded engine everything that runs is this process's.
        which = f"query_id = {text_of(self._query_id)}" if self.place.host else "query NOT ILIKE 'kill query%'"
        try:
            with as_warehouse_errors(self.place):
                client.command(f"KILL QUERY WHERE {which} ASYNC")
        finally:
            client.close()

    def close(self) -> None:
        """Close the client, and let another process open the embedded engine."""
        try:
            self._client.close()
        finally:
            self._release()


def open_for_questions(
    place: Address,
    lock_wait_seconds: float = 0.0,
    on_wait: Callable[[str], None] | None = None,
    *,
    write: bool = False,
    most_rows: int | None = None,
) -> Questions:
    """Connect to a warehouse that is there, only to read unless ``write``; make nothing that is missing.

    ``most_rows`` ends a result about there. Raises as `open_warehouse`, and WarehouseError where there is none.
    """
    if place.is_absent:
        raise WarehouseError(
            "there is no warehouse yet", source=place.words, todo="Load a day first (champion fill), or check DATA_DIR."
        )
    questions = Questions(place, *connected(place, {}, lock_wait_seconds, on_wait), write=write)
    try:
        questions.prepare(most_rows)
    except BaseException:
        questions.close()
        raise
    return questions
