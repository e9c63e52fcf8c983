"""ClickHouse: its address, a client for it, and its errors as sentences.

The only module that imports clickhouse_connect. The embedded engine is loaded when it is opened, never before a fork.
"""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import uuid
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from champion_luigi.base import durable, extras, locks, secrets, signals
from champion_luigi.base.errors import ChampionError, SettingsError, WarehouseError, WarehouseUnreachable
from champion_luigi.warehouse.layout import SINGLE, Layout, quoted

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client as Client  # noqa: PLC0414 - other modules import it from here

    from champion_luigi.datasets.model import Dataset

# ClickHouse's codes for temporary trouble: timeouts, too many parts, memory limit, read-only replica, network. One code
# means that a statement still runs which the driver repeated for lack of an answer; several, that replicas or Keepers
# of a cluster are missing or behind.
_PASSING_CODES = frozenset({159, 160, 202, 203, 209, 210, 216, 241, 242, 252, 285, 286, 289, 319, 517, 999})
# The statuses of a proxy whose server is absent: it may be back soon.
_PASSING_STATUSES = frozenset({"408", "429", "500", "502", "503", "504"})
READ_ONLY_CODE = 164
NO_DATABASE_CODE = 81
TOO_LONG_CODE = 159

ADDRESS = "Check CLICKHOUSE_HOST, CLICKHOUSE_PORT (the HTTP port) and CLICKHOUSE_SECURE, and that the server runs."


@dataclass(frozen=True)
class Address:
    """The address of the warehouse. Without ``host``, the embedded engine in ``folder``. The password is in no repr.

    With ``cluster``, a cluster's name, ``host`` and ``port`` are the first of several hosts, and ``others`` are the
    further ones, each with its port. Hosts of the cluster that are not listed have ``usual_port``. ``quorum`` says
    whether a load waits for most replicas of its shard, ``wait_seconds`` how long it waits for missing replicas.
    With ``in_memory``, the embedded engine stores nothing: its tables are the files of the lake in ``folder``.
    """

    host: str = ""
    port: int = 8123
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "champion_market"
    secure: bool = False
    verify: bool = True
    query_seconds: int = 300
    folder: Path = Path("data/warehouse")
    in_memory: bool = False
    others: tuple[tuple[str, int], ...] = ()
    cluster: str = ""
    usual_port: int = 8123
    quorum: bool = True
    wait_seconds: float = 600.0

    @property
    def each(self) -> list[Address]:
        """The address of each host alone, in the order in which they are tried."""
        alone = ((self.host, self.port), *self.others)
        return [replace(self, host=host, port=port, others=()) for host, port in alone]

    @property
    def slug(self) -> str:
        """A folder name for files that are stored per warehouse. A cluster is one, whichever host is used."""
        name = f"{self.host}_{self.port}_{self.database}" if self.host else f"embedded_{self.database}"
        name = f"cluster-{self.cluster}_{self.database}" if self.cluster else name
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        return safe if safe == name else f"{safe}-{zlib.crc32(name.encode()):08x}"

    def identity(self, dataset: Dataset) -> dict[str, Any]:
        """The table as a marker names it: enough to recognise it, and no secret."""
        named: dict[str, Any] = {"database": self.database, "table": dataset.table}
        if self.cluster:
            return {"cluster": self.cluster, **named}
        if self.host:
            return {"host": self.host, "port": self.port, **named}
        # A moved folder stays the same warehouse; one that was deleted and made anew is another.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            named["id"] = self._id_file.read_text(errors="replace").strip()
        return {"host": "embedded", **named}

    @property
    def is_absent(self) -> bool:
        """Whether this is the embedded engine, with nothing loaded yet."""
        return not self.host and not self._id_file.exists()

    def require_engine(self) -> None:
        """Raise NotInstalled if this is the embedded engine, and its library is missing. Imports nothing."""
        if not self.host:
            instead = "Or set CLICKHOUSE_HOST to a server, or fill the lake alone: champion fill --of WriteParquet."
            extras.require("embedded", "the embedded ClickHouse", instead)

    @property
    def words(self) -> str:
        """The warehouse as messages name it."""
        where = f"the lake {self.folder}" if self.in_memory else f"embedded in {self.folder}"
        if self.host:
            hosts = (f"{host}:{port}" for host, port in ((self.host, self.port), *self.others))
            where = (f"cluster {self.cluster} at " if self.cluster else "") + " or ".join(hosts)
        return f"{where}, database {self.database}"

    @property
    def _id_file(self) -> Path:
        return self.folder / "champion.id"


class Connection:
    """An open client that raises this package's errors, and the lock of the embedded engine."""

    # Where tables are; a cluster's connection has the cluster's.
    layout: Layout = SINGLE

    def __init__(self, place: Address, client: Client, release: Callable[[], None]) -> None:
        self.place = place
        self._client = client
        self._release = release

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement's result. Raises WarehouseUnreachable or WarehouseError."""
        # An answer that breaks off before its first row looks like a table without rows, and a proxy can send the
        # answer to another query. A complete answer has the id of its query.
        asked = {"query_id": uuid.uuid4().hex} if self.place.host else {}
        with as_warehouse_errors(self.place):
            answer = self._client.query(statement, settings=asked)
            rows = [tuple(row) for row in answer.result_rows]
        if asked and answer.query_id != asked["query_id"]:
            # The rest of this answer may still come, and must not be taken for the answer to the next query.
            self._client.close_connections()
            raise WarehouseUnreachable(
                "ClickHouse's answer broke off, or belongs to another query",
                source=self.place.words,
                todo=ADDRESS,
            )
        return rows

    def command(self, statement: str, settings: Mapping[str, Any] | None = None) -> None:
        """Run a statement without a result."""
        with as_warehouse_errors(self.place):
            self._client.command(statement, settings=dict(settings) if settings else None)

    def insert_arrow(self, table: str, columns: list[str], stream: bytes, settings: Mapping[str, Any]) -> None:
        """Send an Arrow stream as one insert into a table, whose name is quoted where it has to be."""
        with as_warehouse_errors(self.place):
            self._client.raw_insert(table, columns, insert_block=stream, fmt="ArrowStream", settings=dict(settings))

    def everywhere(self) -> Sequence[Connection]:
        """A connection to each host that has tables of its own: this one, or those of a cluster that answer."""
        return [self]

    def catch_up(self, table: str) -> None:
        """Let the host's copy of a table fetch what was loaded at other replicas: on one server, there are none."""

    def named(self, name: str) -> str:
        """A table's or view's name with its database, as statements write it."""
        return f"{quoted(self.place.database)}.{name}"

    def close(self) -> None:
        """Close the client, and let another process open the embedded engine."""
        try:
            self._client.close()
        finally:
            self._release()


def connected(
    place: Address, settings: dict[str, Any], lock_wait_seconds: float, on_wait: Callable[[str], None] | None
) -> tuple[Address, Client, Callable[[], None]]:
    """The address of the host that answers, a client of it, and a function to call once the client is closed.

    The function releases the embedded engine for other processes.
    """
    if place.host:
        return *connect_first(place.each, settings), lambda: None
    place.require_engine()
    lock = place.folder.with_name(place.folder.name + ".lock")
    with contextlib.ExitStack() as holding:
        holding.enter_context(locks.locked(lock, f"the embedded warehouse {place.folder}", lock_wait_seconds, on_wait))
        return place, connect_embedded(place, settings), holding.pop_all().close


def connect_first(places: Sequence[Address], settings: dict[str, Any]) -> tuple[Address, Client]:
    """The first of these hosts that answers, and a client of it.

    Raises WarehouseUnreachable if none answers, with the reason of each, and the errors of `connect_server`.
    """
    failures = []
    for place in places:
        try:
            return place, connect_server(place, settings)
        except WarehouseUnreachable as error:
            if len(places) == 1:
                raise
            failures.append(f"{place.host}:{place.port}: {error.found}")
    raise WarehouseUnreachable(
        f"no host of the cluster {places[0].cluster} answers", found="; ".join(failures), todo=ADDRESS
    )


def connect_server(place: Address, settings: dict[str, Any]) -> Client:
    import clickhouse_connect

    # This package's errors report what went wrong; the driver would log it too, with a traceback.
    logger = logging.getLogger("clickhouse_connect")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
    with as_warehouse_errors(place):
        client = clickhouse_connect.get_client(
            host=place.host,
            port=place.port,
            username=place.user,
            password=place.password,
            secure=place.secure,
            verify=place.verify,
            connect_timeout=10,
            send_receive_timeout=place.query_seconds + 10,
            autogenerate_session_id=False,
        )
        set_where_allowed(client, settings)
    return client


def set_where_allowed(client: Client, settings: Mapping[str, Any]) -> None:
    """Change the settings that the server lets this user change: a user who may only read can change none."""
    for name, value in settings.items():
        known = client.server_settings.get(name)
        if known is not None and not known.readonly:
            client.set_client_setting(name, value)


def connect_embedded(place: Address, settings: dict[str, Any]) -> Client:
    import clickhouse_connect

    if "?" in str(place.folder):
        raise SettingsError(
            "the embedded engine cannot use a path with a question mark",
            source=str(place.folder),
            todo="Set DATA_DIR to another folder, or CLICKHOUSE_HOST to a server.",
        )
    path = ":memory:" if place.in_memory else str(place.folder.absolute())
    if not place.in_memory:
        durable.make_folder(place.folder)
        if not place._id_file.exists():
            durable.write_whole(place._id_file, uuid.uuid4().hex.encode())
    # The engine installs a handler of Ctrl-Z that does nothing.
    with as_warehouse_errors(place), signals.kept(signal.SIGTSTP):
        return clickhouse_connect.get_client(interface="chdb", path=path, database="default", settings=settings)


@contextlib.contextmanager
def as_warehouse_errors(place: Address) -> Iterator[None]:
    """Turn the driver's errors into this package's, with the address and ClickHouse's own message, but no password."""
    from clickhouse_connect.driver import exceptions

    try:
        yield
    except exceptions.Error as error:
        text, code = _shown(place, error)[:500], error.code
        status = re.search(r"HTTP status (\d{3})", text) if code is None else None
        if place.host and isinstance(error, exceptions.ProgrammingError):
            # The driver itself has found that this user may not change a setting that a load needs.
            code = code or READ_ONLY_CODE
        reason: tuple[type[ChampionError], str, str | None]
        if code in _PASSING_CODES:
            reason = WarehouseUnreachable, "ClickHouse cannot take this request at present", None
        elif status and status[1] not in _PASSING_STATUSES:
            reason = WarehouseError, "the server that answers is not ClickHouse", _where(place)
        elif status or (code is None and isinstance(error, exceptions.OperationalError)):
            reason = WarehouseUnreachable, "ClickHouse did not answer", _where(place)
            # The driver quotes each layer below it, with another query id each time.
            text = _cause(error) or text
        else:
            reason = WarehouseError, "ClickHouse refuses the request", _advice(code)
        kind, what, todo = reason
        raise kind(what, source=place.words, found=text, todo=todo) from None


@contextlib.contextmanager
def in_its_words(place: Address, *, is_writing: bool) -> Iterator[None]:
    """Turn the driver's errors on a user's statement into ClickHouse's own message, on one line."""
    from clickhouse_connect.driver import exceptions
    from urllib3.exceptions import HTTPError

    try:
        yield
    except exceptions.Error as error:
        if error.code is None:
            with as_warehouse_errors(place):
                raise
        text = _shown(place, error)
        text = re.sub(r"^.*?(Code: \d+\. DB::Exception: )\1*", r"\1", text)
        # Remove the driver's words, the version, and the query of `parse`.
        text = re.sub(r" \(version [^()]*\).*$", "", text)
        text = re.sub(r"\W*In scope SELECT formatQuerySingleLine\(.*( \(\w+\))$", r"\1", text)
        todo = None
        if error.code == TOO_LONG_CODE:
            todo = "CLICKHOUSE_QUERY_SECONDS is the longest time."
        elif error.code == READ_ONLY_CODE and not is_writing:
            todo = "Only the warehouse's own tables can be read; --write allows every statement."
        if len(text) > 600:
            # The last word is the error's name.
            text = f"{text[:500]} ... {text.rsplit(maxsplit=1)[-1]}"
        raise WarehouseError(text, todo=todo) from None
    except HTTPError as error:
        raise WarehouseUnreachable("ClickHouse's answer broke off", source=place.words, found=str(error)) from None


def _shown(place: Address, error: Exception) -> str:
    """The driver's message on one line, with the password removed, also in base64: servers echo headers."""
    as_sent = b64encode(f"{place.user}:{place.password}".encode()).decode() if place.password else ""
    return " ".join(secrets.starred(str(error), [as_sent, place.password]).split())


def _cause(error: BaseException) -> str:
    """The operating system's own error below the driver's, such as ``ConnectionRefusedError (Connection refused)``."""
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, OSError) and each.strerror:
            return f"{type(each).__name__} ({each.strerror})"
        each = each.__cause__ or each.__context__
    return ""


def _where(place: Address) -> str | None:
    if not place.host:
        return None
    unchecked = " CLICKHOUSE_VERIFY=false leaves the server's certificate unchecked."
    return ADDRESS + (unchecked if place.secure and place.verify else "")


def _advice(code: int | None) -> str:
    match code:
        case 516 | 192 | 193:
            return "Check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD."
        case 497 | 164:
            return (
                "Grant the user SELECT, INSERT and, for the first use, CREATE on the database, and OPTIMIZE to merge; "
                "a profile with readonly lets nobody load."
            )
        case 452:
            return "Set CLICKHOUSE_QUERY_SECONDS to what the user's profile allows."
        case 81 | 60:
            return "Check CLICKHOUSE_DATABASE."
        case 243 | 76 | 75 | 74 | 33:
            return "Check the warehouse's disk."
        case _:
            return "Look up the code in ClickHouse's documentation, then run the day again."


def date_of(day: date) -> str:
    return f"toDate('{day.isoformat()}')"
