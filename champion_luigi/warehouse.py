"""The ClickHouse table: one date replaced by one atomic insert, in a server or in the embedded engine.

A load is a new version of a date's rows in a ReplacingMergeTree, with tombstones for the keys that it no
longer has; people query a view that reads the last version (FINAL). The only module that imports
clickhouse_connect; the embedded engine is loaded when it is opened, never before a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import io
import math
import os
import re
import shutil
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from champion_luigi import files, schema
from champion_luigi.errors import SettingsError, StorageError, WarehouseError, WarehouseUnreachable

if TYPE_CHECKING:
    import polars as pl
    from clickhouse_connect.driver.client import Client

TABLE = "normalized_equity_ohlc"
VIEW = "equity_ohlc"

# ClickHouse's own codes for what passes: timeouts, too many parts, memory limit, read-only replica, network.
_PASSING_CODES = frozenset({159, 160, 164, 202, 203, 209, 210, 241, 242, 252, 319, 999})
_READ_ONLY_CODE = 164
_NO_DATABASE_CODE = 81
_TOO_LONG_CODE = 159
_INSERT_SETTINGS: Mapping[str, Any] = {
    # Acknowledged when it is stored; newer servers default to later.
    "async_insert": 0,
    # One block, so one part: readers see all of it or nothing.
    "max_insert_block_size": 1_048_576,
    "min_insert_block_size_rows": 1_048_576,
    # A null or an absent column is an error, not a silent zero.
    "input_format_null_as_default": 0,
    "input_format_arrow_allow_missing_columns": 0,
}
# One insert must stay well below the size of a block.
_MOST_DAYS_TOGETHER = 100
# How long a load waits for others to share its insert with.
_COMPANY_SECONDS = 0.1
# A partition with more parts than this is merged when the warehouse is closed: FINAL slows down with each, and
# the background merges of the embedded engine end with a process that loads one day.
_MOST_PARTS = 20
# For results that people ask for: in CSV a null is nothing, in JSON a number is a number. A query whose reader has
# gone is ended.
_ASKING_SETTINGS: Mapping[str, Any] = {
    "format_csv_null_representation": "",
    "output_format_json_quote_64bit_integers": 0,
    "cancel_http_readonly_queries_on_client_close": 1,
}
_TYPES_OF_ADDED = {"version": "UInt64 CODEC(T64, ZSTD(1))", "is_deleted": "UInt8 CODEC(T64, ZSTD(1))"}


@dataclass(frozen=True)
class Place:
    """Where the warehouse is. No ``host``: the embedded engine in ``folder``. The password is in no repr."""

    host: str = ""
    port: int = 8123
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "champion_market"
    secure: bool = False
    verify: bool = True
    query_seconds: int = 300
    folder: Path = Path("data/warehouse")

    @property
    def slug(self) -> str:
        """A folder's name for what is kept per warehouse."""
        name = f"{self.host}_{self.port}_{self.database}" if self.host else f"embedded_{self.database}"
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        return safe if safe == name else f"{safe}-{zlib.crc32(name.encode()):08x}"

    def identity(self) -> dict[str, Any]:
        """What a marker says of the warehouse: enough to know it again, and no secret."""
        named: dict[str, Any] = {"database": self.database, "table": TABLE}
        if self.host:
            return {"host": self.host, "port": self.port, **named}
        # A folder can be moved and stays the same warehouse; deleted and made anew it is another one.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            named["id"] = self._id_file.read_text().strip()
        return {"host": "embedded", **named}

    @property
    def is_absent(self) -> bool:
        """Whether this is the embedded engine, and nothing has been loaded into it yet."""
        return not self.host and not self._id_file.exists()

    @property
    def words(self) -> str:
        """The warehouse in words, for messages."""
        return (
            f"{self.host}:{self.port}, database {self.database}"
            if self.host
            else f"embedded in {self.folder}, database {self.database}"
        )

    @property
    def _id_file(self) -> Path:
        return self.folder / "champion.id"


@dataclass(frozen=True)
class Loaded:
    """A load that was checked: rows that readers see, rows of the last version that are gone, the version."""

    rows: int
    removed: int
    version: int


@dataclass(frozen=True)
class Held:
    """What readers see of a date: rows, their distinct keys (symbol and series), and sums over the rows."""

    rows: int
    keys: int
    volume: int
    turnover: float
    close: float


@dataclass
class _Request:
    """A load that is asked for, and what came of it."""

    day: date
    rows: pl.DataFrame
    outcome: Loaded | BaseException | None = None
    taken: bool = False
    asked: float = field(default_factory=time.monotonic)
    begun: float = 0.0


class Warehouse:
    """An open warehouse: one client a process."""

    def __init__(self, place: Place, client: Client, release: Callable[[], None]) -> None:
        self.place = place
        self.name = f"{place.database}.{TABLE}"
        self._client = client
        self._release = release
        self._table = f"{_quoted(place.database)}.{TABLE}"
        self._view = f"{_quoted(place.database)}.{VIEW}"
        self._asking = threading.Condition()
        self._loading = threading.Lock()
        self._asked: list[_Request] = []

    def create(self) -> None:
        """Make database, table and view where they are not there; WarehouseError where the table is another one."""
        where = f"database = {_text(self.place.database)} AND table = {_text(TABLE)}"
        found = dict(self.query(f"SELECT name, type FROM system.columns WHERE {where}"))
        if not found:
            for statement in ddl(self.place.database):
                self.command(statement)
            return
        expected = {column.name: column.clickhouse.split(" CODEC")[0] for column in schema.COLUMNS}
        expected |= {name: type_.split(" CODEC")[0] for name, type_ in _TYPES_OF_ADDED.items()}
        different = [f"{name} {type_}" for name, type_ in expected.items() if found.get(name) != type_]
        extra = [name for name in found if name not in expected]
        if different or extra:
            raise WarehouseError(
                f"the table {self.name} is not the one that this version makes",
                source=self.place.words,
                expected=", ".join(different) or "no further columns",
                found=", ".join(
                    f"{name} {found.get(name, 'missing')}" for name in [each.split()[0] for each in different] + extra
                ),
                todo="Rename or drop it and load again: every day is in the lake.",
            )
        # Where it is there, the user need not be allowed to make one.
        if not self.query(
            f"SELECT 1 FROM system.tables WHERE database = {_text(self.place.database)} AND name = {_text(VIEW)}"
        ):
            self.command(ddl(self.place.database)[-1])

    def load(self, day: date, rows: pl.DataFrame, company: int = 1) -> Loaded:
        """Replace a date's rows by these, atomically, and check what readers then see. A repeat changes nothing.

        Threads that load at the same time share one insert; each date is checked by itself. Where ``company`` is more
        than 1, a load waits a moment for that many to come together: an insert costs more than the rows in it.
        """
        mine = _Request(day, rows)
        with self._asking:
            self._asked.append(mine)
            self._asking.notify_all()
            self._asking.wait_for(lambda: mine.taken or len(self._asked) >= company, _COMPANY_SECONDS * (company > 1))
        with self._loading:
            # The thread before this one may have taken this request along.
            if mine.outcome is None:
                self._load_together(self._take_with(mine))
        files.note_wait(mine.begun - mine.asked)
        if isinstance(mine.outcome, Loaded):
            return mine.outcome
        raise mine.outcome or AssertionError("a request was passed over")

    def _take_with(self, mine: _Request) -> list[_Request]:
        """The requests that can go into one insert with this one: other dates of the same partition."""
        with self._asking:
            taken = {mine.day: mine}
            for each in self._asked:
                if each.day.year == mine.day.year and len(taken) < _MOST_DAYS_TOGETHER:
                    taken.setdefault(each.day, each)
            self._asked = [each for each in self._asked if taken.get(each.day) is not each]
            for each in taken.values():
                each.taken = True
                each.begun = time.monotonic()
            self._asking.notify_all()
        return list(taken.values())

    def _load_together(self, requests: list[_Request]) -> None:
        import polars as pl

        try:
            dates = ", ".join(_date(each.day) for each in requests)
            known = self.query(
                f"SELECT trade_date, symbol, series, version, is_deleted FROM {self._table} FINAL "
                f"WHERE trade_date IN ({dates})"
            )
            version = max([time.time_ns() // 1000, *(row[3] + 1 for row in known)])
            frames = []
            for each in requests:
                visible = {row[1:3] for row in known if row[0] == each.day and not row[4]}
                gone = visible - set(each.rows.select("symbol", "series").iter_rows()) if visible else set()
                frames += [_as_version(each.rows, version, deleted=False)]
                frames += [_tombstones(gone, each.day, version)] if gone else []
                each.outcome = Loaded(each.rows.height, len(gone), version)
            self._insert(pl.concat(frames))
            self._check(requests, dates)
        except BaseException as error:
            for each in requests:
                each.outcome = copy.copy(error)
            raise

    def rows_by_day(self) -> list[tuple[date, int]]:
        """How many rows each date has, oldest first."""
        return [
            (day, count)
            for day, count in self.query(
                f"SELECT trade_date, count() FROM {self._view} GROUP BY trade_date ORDER BY trade_date"
            )
        ]

    def held(self, start: date, stop: date) -> dict[date, Held]:
        """What readers see of each date from ``start`` to ``stop`` (exclusive) that has rows, by one query."""
        found = self.query(
            f"SELECT trade_date, count(), uniqExact(symbol, series), sum(volume), sum(turnover), sum(close) "
            f"FROM {self._view} WHERE trade_date >= {_date(start)} AND trade_date < {_date(stop)} GROUP BY trade_date"
        )
        return {day: Held(*sums) for day, *sums in found}

    def years(self) -> list[int]:
        """The years of which there are rows, deleted ones included, ascending."""
        found = self.query(f"SELECT DISTINCT toYear(trade_date) AS year FROM {self._table} ORDER BY year")
        return [int(year) for (year,) in found]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows that a statement gives. Raises WarehouseUnreachable or WarehouseError."""
        with _explained(self.place):
            return [tuple(row) for row in self._client.query(statement).result_rows]

    def command(self, statement: str) -> None:
        """Run a statement that gives no rows."""
        with _explained(self.place):
            self._client.command(statement)

    def close(self) -> None:
        """Close the client, and let another process open the embedded engine."""
        try:
            self._client.close()
        finally:
            self._release()

    def tidy(self) -> None:
        """Merge what a process that is about to end leaves in too many parts; a server does this by itself."""
        parts = self.query(
            f"SELECT partition, count() FROM system.parts WHERE active AND database = {_text(self.place.database)} "
            f"AND table = {_text(TABLE)} GROUP BY partition HAVING count() > {_MOST_PARTS}"
        )
        for partition, _ in parts:
            self.command(f"OPTIMIZE TABLE {self._table} PARTITION {int(partition)}")

    def _insert(self, rows: pl.DataFrame) -> None:
        import polars as pl

        buffer = io.BytesIO()
        rows.write_ipc_stream(buffer, compat_level=pl.CompatLevel.oldest())
        with _explained(self.place):
            self._client.raw_insert(
                self._table,
                rows.columns,
                insert_block=buffer.getvalue(),
                fmt="ArrowStream",
                settings=dict(_INSERT_SETTINGS),
            )

    def _check(self, requests: list[_Request], dates: str) -> None:
        """Compare what readers see with what was sent; a date that differs gets an error as its outcome."""
        sums = {
            row[0]: row[1:]
            for row in self.query(
                f"SELECT trade_date, count(), sum(volume), sum(turnover), sum(close) FROM {self._view} "
                f"WHERE trade_date IN ({dates}) GROUP BY trade_date"
            )
        }
        for each in requests:
            sent = (each.rows.height, *(each.rows[name].sum() for name in ("volume", "turnover", "close")))
            found = sums.get(each.day, (0, 0, 0.0, 0.0))
            if not all(math.isclose(one, other, rel_tol=1e-9) for one, other in zip(sent, found, strict=True)):
                each.outcome = WarehouseError(
                    f"{self.name} does not hold what was sent",
                    day=each.day,
                    source=self.place.words,
                    expected=f"rows, and sums of volume, turnover and close: {sent}",
                    found=str(found),
                    todo="Run the day again; if it repeats, look for another writer of the same table.",
                )


class Questions:
    """A warehouse that is there, open for statements that people write; nothing is made or mended.

    Unless ``write``, the engine refuses all changes.
    """

    def __init__(self, place: Place, client: Client, release: Callable[[], None], *, write: bool) -> None:
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
        with _explained(self.place):
            for name, value in settings.items():
                known = self._client.server_settings.get(name)
                # A user whom the server itself lets only read may not change a setting, this one included.
                if known is not None and not known.readonly:
                    self._client.set_client_setting(name, value)
            self._client.database = self.place.database
        try:
            with self._in_its_words():
                [[found]] = self._client.query("SELECT toString(getSetting('readonly'))").result_rows
        except WarehouseError as error:
            if f"Code: {_NO_DATABASE_CODE}." not in error.what:
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
        with self._in_its_words():
            found = self._client.raw_query(f"SELECT formatQuerySingleLine({_text(statement)})", fmt="TSVRaw")
        return found.decode().removesuffix("\n")

    def export(self, statement: str, format: str, path: Path) -> None:
        """Write what a statement gives to a new file, in a format of ClickHouse's, without holding it in memory.

        After an error the file holds no result. Raises WarehouseError in ClickHouse's words, WarehouseUnreachable or
        StorageError.
        """
        if not self.place.host:
            with self._in_its_words():
                self._client.raw_query(f"{statement}\nINTO OUTFILE {_text(str(path))} FORMAT {format}")
            return
        # The server keeps the result until it is whole: an error that came amid it would look like a part of it.
        settings = {"wait_end_of_query": 1, "query_id": self._query_id}
        with self._in_its_words():
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
        with self._in_its_words():
            return self._client.raw_query(statement, settings=settings).decode(errors="replace")

    def interrupt(self) -> None:
        """End the statement that runs, from another thread; the thread that runs it gets a WarehouseError."""
        client = _connect_server(self.place, {}) if self.place.host else _connect_embedded(self.place, {})
        # In the embedded engine everything that runs is this process's.
        which = f"query_id = {_text(self._query_id)}" if self.place.host else "query NOT ILIKE 'kill query%'"
        try:
            with _explained(self.place):
                client.command(f"KILL QUERY WHERE {which} ASYNC")
        finally:
            client.close()

    def close(self) -> None:
        """Close the client, and let another process open the embedded engine."""
        try:
            self._client.close()
        finally:
            self._release()

    @contextlib.contextmanager
    def _in_its_words(self) -> Iterator[None]:
        """Turn the driver's errors on a statement that somebody wrote into ClickHouse's own message, on one line."""
        from clickhouse_connect.driver import exceptions
        from urllib3.exceptions import HTTPError

        try:
            yield
        except exceptions.Error as error:
            if error.code is None:
                with _explained(self.place):
                    raise
            text = " ".join(str(error).split())
            text = re.sub(r"^.*?(Code: \d+\. DB::Exception: )\1*", r"\1", text)
            # Off with the driver's words, the version, and the question that `parse` asks.
            text = re.sub(r" \(version [^()]*\).*$", "", text)
            text = re.sub(r"\W*In scope SELECT formatQuerySingleLine\(.*( \(\w+\))$", r"\1", text)
            if self.place.password:
                text = text.replace(self.place.password, "***")
            todo = None
            if error.code == _TOO_LONG_CODE:
                todo = "CLICKHOUSE_QUERY_SECONDS is the longest time."
            elif error.code == _READ_ONLY_CODE and not self._write:
                todo = "Only reading is allowed, of the warehouse's own tables: --write allows everything."
            if len(text) > 600:
                # The error's name stands at the end.
                text = f"{text[:500]} ... {text.rsplit(maxsplit=1)[-1]}"
            raise WarehouseError(text, todo=todo) from None
        except HTTPError as error:
            raise WarehouseUnreachable(
                "ClickHouse's answer broke off", source=self.place.words, found=str(error)
            ) from None


def ddl(database: str) -> list[str]:
    """The statements that make database, table and view where they are not there."""
    columns = [f"    {column.name} {column.clickhouse} COMMENT {_text(_comment(column))}" for column in schema.COLUMNS]
    columns += [f"    {name} {type_}" for name, type_ in _TYPES_OF_ADDED.items()]
    table = f"{_quoted(database)}.{TABLE}"
    return [
        f"CREATE DATABASE IF NOT EXISTS {_quoted(database)}",
        f"CREATE TABLE IF NOT EXISTS {table} (\n" + ",\n".join(columns) + "\n) "
        "ENGINE = ReplacingMergeTree(version, is_deleted)\n"
        "PARTITION BY toYear(trade_date)\nORDER BY (symbol, series, trade_date)\n"
        "SETTINGS fsync_after_insert = 1, fsync_part_directory = 1",
        f"CREATE VIEW IF NOT EXISTS {_quoted(database)}.{VIEW} AS\n"
        f"SELECT * EXCEPT (version, is_deleted) FROM {table} FINAL",
    ]


def open_warehouse(
    place: Place, lock_wait_seconds: float = 0.0, on_wait: Callable[[str], None] | None = None
) -> Warehouse:
    """Connect, and make what is missing.

    Raises WarehouseUnreachable, WarehouseError, or Busy where another process holds the embedded engine.
    """
    # A bounded query time, because the engine answers Ctrl-C only between queries.
    settings = {"max_execution_time": place.query_seconds}
    warehouse = Warehouse(place, *_connected(place, settings, lock_wait_seconds, on_wait))
    try:
        warehouse.create()
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def open_for_questions(
    place: Place,
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
    questions = Questions(place, *_connected(place, {}, lock_wait_seconds, on_wait), write=write)
    try:
        questions.prepare(most_rows)
    except BaseException:
        questions.close()
        raise
    return questions


def _connected(
    place: Place, settings: dict[str, Any], lock_wait_seconds: float, on_wait: Callable[[str], None] | None
) -> tuple[Client, Callable[[], None]]:
    """A client, and what lets others have the embedded engine once it is closed."""
    if place.host:
        return _connect_server(place, settings), lambda: None
    holding = contextlib.ExitStack()
    lock = place.folder.with_name(place.folder.name + ".lock")
    holding.enter_context(files.locked(lock, f"the embedded warehouse {place.folder}", lock_wait_seconds, on_wait))
    try:
        return _connect_embedded(place, settings), holding.close
    except BaseException:
        holding.close()
        raise


_sharing = threading.Lock()
_shared: dict[tuple[int, Place], Warehouse] = {}


def shared(place: Place, lock_wait_seconds: float = 0.0, on_wait: Callable[[str], None] | None = None) -> Warehouse:
    """The process's one open warehouse, opened on first use and kept; another place closes the last one."""
    # A forked child must not use its parent's client.
    key = (os.getpid(), place)
    with _sharing:
        if key not in _shared:
            close_shared()
            _shared[key] = open_warehouse(place, lock_wait_seconds, on_wait)
            # Registered after the engine was imported, so that it runs before the engine's own farewell.
            atexit.unregister(close_shared)
            atexit.register(close_shared)
        return _shared[key]


def close_shared() -> None:
    """Close what `shared` opened in this process."""
    for pid, place in list(_shared):
        open_one = _shared.pop((pid, place))
        if pid == os.getpid():
            try:
                if not place.host:
                    open_one.tidy()
            finally:
                open_one.close()


def _connect_server(place: Place, settings: dict[str, Any]) -> Client:
    import clickhouse_connect

    with _explained(place):
        return clickhouse_connect.get_client(
            host=place.host,
            port=place.port,
            username=place.user,
            password=place.password,
            secure=place.secure,
            verify=place.verify,
            connect_timeout=10,
            send_receive_timeout=place.query_seconds + 10,
            autogenerate_session_id=False,
            settings=settings,
        )


def _connect_embedded(place: Place, settings: dict[str, Any]) -> Client:
    import clickhouse_connect

    if "?" in str(place.folder):
        raise SettingsError("the embedded engine cannot use a path with a question mark", source=str(place.folder))
    place.folder.mkdir(parents=True, exist_ok=True)
    if not place._id_file.exists():
        files.write_whole(place._id_file, uuid.uuid4().hex.encode())
    with _explained(place):
        return clickhouse_connect.get_client(
            interface="chdb", path=str(place.folder.absolute()), database="default", settings=settings
        )


@contextlib.contextmanager
def _explained(place: Place) -> Iterator[None]:
    """Turn the driver's errors into ours: the place in words, ClickHouse's own message, the password nowhere."""
    from clickhouse_connect.driver import exceptions

    try:
        yield
    except exceptions.Error as error:
        text = " ".join(str(error).split())[:500]
        if place.password:
            text = text.replace(place.password, "***")
        code = error.code
        if code in _PASSING_CODES and code != _READ_ONLY_CODE:
            raise WarehouseUnreachable(
                "ClickHouse cannot take this at present", source=place.words, found=text
            ) from None
        if code is None and isinstance(error, exceptions.OperationalError):
            raise WarehouseUnreachable("ClickHouse did not answer", source=place.words, found=text) from None
        raise WarehouseError("ClickHouse refuses", source=place.words, found=text, todo=_advice(code)) from None


def _advice(code: int | None) -> str:
    match code:
        case 516 | 192 | 193:
            return "Check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD."
        case 497 | 164:
            return "Grant the user SELECT, INSERT and, for the first use, CREATE on the database."
        case 81 | 60:
            return "Check CLICKHOUSE_DATABASE."
        case 243 | 76 | 75 | 74:
            return "Check the warehouse's disk."
        case _:
            return "Look up the code in ClickHouse's documentation, then run the day again."


def _as_version(rows: pl.DataFrame, version: int, *, deleted: bool) -> pl.DataFrame:
    import polars as pl

    return rows.select(
        *schema.NAMES,
        pl.lit(version, dtype=pl.UInt64).alias("version"),
        pl.lit(int(deleted), dtype=pl.UInt8).alias("is_deleted"),
    )


def _tombstones(keys: set[tuple[str, str]], day: date, version: int) -> pl.DataFrame:
    import polars as pl

    zero = {"Date": day, "String": "", "Float64": 0.0, "Int64": 0}
    types = {column.name: getattr(pl, column.polars) for column in schema.COLUMNS}
    rows = [
        {column.name: zero[column.polars] if column.required else None for column in schema.COLUMNS}
        | {"symbol": symbol, "series": series}
        for symbol, series in sorted(keys)
    ]
    return _as_version(pl.DataFrame(rows, schema=types), version, deleted=True)


def _comment(column: schema.Column) -> str:
    return f"{column.meaning} [{column.unit}]" if column.unit else column.meaning


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _date(day: date) -> str:
    return f"toDate('{day.isoformat()}')"
