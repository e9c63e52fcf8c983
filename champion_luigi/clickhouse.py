"""ClickHouse itself: where it is, a client for it, and its errors as sentences.

The only module that imports clickhouse_connect. The embedded engine is loaded when it is opened, never before a fork.
"""

from __future__ import annotations

import contextlib
import re
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from champion_luigi import files
from champion_luigi.errors import SettingsError, WarehouseError, WarehouseUnreachable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client as Client  # noqa: PLC0414 - others name it too

TABLE = "normalized_equity_ohlc"
VIEW = "equity_ohlc"

# ClickHouse's own codes for what passes: timeouts, too many parts, memory limit, read-only replica, network.
_PASSING_CODES = frozenset({159, 160, 164, 202, 203, 209, 210, 241, 242, 252, 319, 999})
READ_ONLY_CODE = 164
NO_DATABASE_CODE = 81
TOO_LONG_CODE = 159


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
            named["id"] = self._id_file.read_text(errors="replace").strip()
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


def connected(
    place: Place, settings: dict[str, Any], lock_wait_seconds: float, on_wait: Callable[[str], None] | None
) -> tuple[Client, Callable[[], None]]:
    """A client, and what lets others have the embedded engine once it is closed."""
    if place.host:
        return connect_server(place, settings), lambda: None
    holding = contextlib.ExitStack()
    lock = place.folder.with_name(place.folder.name + ".lock")
    holding.enter_context(files.locked(lock, f"the embedded warehouse {place.folder}", lock_wait_seconds, on_wait))
    try:
        return connect_embedded(place, settings), holding.close
    except BaseException:
        holding.close()
        raise


def connect_server(place: Place, settings: dict[str, Any]) -> Client:
    import clickhouse_connect

    with explained(place):
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


def connect_embedded(place: Place, settings: dict[str, Any]) -> Client:
    import clickhouse_connect

    if "?" in str(place.folder):
        raise SettingsError("the embedded engine cannot use a path with a question mark", source=str(place.folder))
    files.make_folder(place.folder)
    if not place._id_file.exists():
        files.write_whole(place._id_file, uuid.uuid4().hex.encode())
    with explained(place):
        return clickhouse_connect.get_client(
            interface="chdb", path=str(place.folder.absolute()), database="default", settings=settings
        )


@contextlib.contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn the driver's errors into ours: the place in words, ClickHouse's own message, the password nowhere."""
    from clickhouse_connect.driver import exceptions

    try:
        yield
    except exceptions.Error as error:
        text = " ".join(str(error).split())[:500]
        if place.password:
            text = text.replace(place.password, "***")
        code = error.code
        if code in _PASSING_CODES and code != READ_ONLY_CODE:
            raise WarehouseUnreachable(
                "ClickHouse cannot take this at present", source=place.words, found=text
            ) from None
        if code is None and isinstance(error, exceptions.OperationalError):
            raise WarehouseUnreachable("ClickHouse did not answer", source=place.words, found=text) from None
        raise WarehouseError("ClickHouse refuses", source=place.words, found=text, todo=_advice(code)) from None


@contextlib.contextmanager
def in_its_words(place: Place, *, is_writing: bool) -> Iterator[None]:
    """Turn the driver's errors on a statement that somebody wrote into ClickHouse's own message, on one line."""
    from clickhouse_connect.driver import exceptions
    from urllib3.exceptions import HTTPError

    try:
        yield
    except exceptions.Error as error:
        if error.code is None:
            with explained(place):
                raise
        text = " ".join(str(error).split())
        text = re.sub(r"^.*?(Code: \d+\. DB::Exception: )\1*", r"\1", text)
        # Off with the driver's words, the version, and the question that `parse` asks.
        text = re.sub(r" \(version [^()]*\).*$", "", text)
        text = re.sub(r"\W*In scope SELECT formatQuerySingleLine\(.*( \(\w+\))$", r"\1", text)
        if place.password:
            text = text.replace(place.password, "***")
        todo = None
        if error.code == TOO_LONG_CODE:
            todo = "CLICKHOUSE_QUERY_SECONDS is the longest time."
        elif error.code == READ_ONLY_CODE and not is_writing:
            todo = "Only reading is allowed, of the warehouse's own tables: --write allows everything."
        if len(text) > 600:
            # The error's name stands at the end.
            text = f"{text[:500]} ... {text.rsplit(maxsplit=1)[-1]}"
        raise WarehouseError(text, todo=todo) from None
    except HTTPError as error:
        raise WarehouseUnreachable("ClickHouse's answer broke off", source=place.words, found=str(error)) from None


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


def quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def text_of(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
