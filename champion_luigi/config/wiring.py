"""Objects made from the settings: the archive and its answers, a data set's files, the warehouse."""

from __future__ import annotations

import functools
import os
import socket
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from champion_luigi.base import secrets, store
from champion_luigi.base.errors import SettingsError
from champion_luigi.base.places import ObjectPath, Place
from champion_luigi.config import settings, steady
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import answers, sessions
from champion_luigi.exchange.answers import Ledger
from champion_luigi.exchange.expectation import Expectation
from champion_luigi.storage import raw, version
from champion_luigi.storage.paths import DayFiles, ListFiles
from champion_luigi.warehouse import connection

if TYPE_CHECKING:
    from champion_luigi.exchange.archive import Archive
    from champion_luigi.storage.claims import Claims

# The usual port of each scheme of a server.
_PORTS = {"http": 80, "https": 443}


# Of the groups of days in a fill: about as many rows in the embedded engine, and the most days.
_GROUP_ROWS, _GROUP_DAYS = 30_000, 60


@steady.kept
def warehouse_place() -> connection.Address:
    """The configured warehouse."""
    names = ("user", "database", "secure", "verify", "query_seconds", "cluster", "quorum", "wait_seconds")
    given = {name: settings.get(f"clickhouse_{name}") for name in names}
    if hosts := settings.clickhouse_hosts():
        (given["host"], given["port"]), *others = hosts
        given |= {"others": tuple(others), "usual_port": settings.get("clickhouse_port")}
    return connection.Address(
        **given, password=settings.clickhouse_password(), folder=settings.data_dir() / "warehouse"
    )


def files(dataset: Dataset) -> DayFiles:
    """The paths of a data set's files."""
    return DayFiles(settings.data_dir(), dataset, settings.raw_dir())


def list_files() -> ListFiles:
    """The paths of the lists of changed symbols."""
    return ListFiles(settings.data_dir(), settings.raw_dir())


def require_stores() -> None:
    """Try out the object stores of lake and fetched files, if there are any, once in each process.

    Raises SettingsError if one cannot be used as it is, NotInstalled, and StoreUnreachable.
    """
    for root in (settings.lake_dir(), settings.raw_dir()):
        if not isinstance(root, Path):
            _require_store(os.getpid(), root)


@functools.lru_cache(maxsize=8)
def _require_store(_pid: int, root: Place) -> None:
    store.require(root)


def fill_group(dataset: Dataset) -> int:
    """How many days go through the stages of a fill together."""
    # A group costs more than a few hundred rows, and memory grows with its rows. The embedded engine needs memory in
    # the same process, and a server works less for fewer inserts.
    rows = _GROUP_ROWS * (2 if settings.get("clickhouse_host") else 1)
    return int(settings.get("fill_group")) or min(rows // dataset.rows_a_day, _GROUP_DAYS)


def host_name() -> str:
    """The name of this host among those that share a fill."""
    return str(settings.get("host")) or socket.gethostname()


def claims() -> Claims | None:
    """This process's claims to days, in the store that hosts share; None without such a store."""
    folder = claims_folder()
    return None if folder is None else _claims(os.getpid(), folder, host_name(), settings.get("claim_seconds"))


def claims_folder() -> Place | None:
    """The folder of the store in which hosts keep claims and pace; None without such a store."""
    if settings.get("raw_dir"):
        return settings.raw_dir() / "claims"
    return lake / "claims" if isinstance(lake := settings.lake_dir(), ObjectPath) else None


@functools.lru_cache(maxsize=4)
def _claims(_pid: int, folder: Place, host: str, seconds: float) -> Claims:
    from champion_luigi.storage.claims import Claims

    # One for each process, whose threads share it.
    return Claims(folder, host, seconds)


def place(*, with_warehouse: bool, server: str = "") -> str:
    """A name for where outputs go: the same on hosts that share them, and on no others. DATA_DIR has its record.

    ``server`` names the ClickHouse server, whatever address each host has for it.
    """
    own = version.identity(settings.data_dir())
    parts = [_identity(root) or own for root in (settings.raw_dir(), settings.lake_dir())]
    if with_warehouse:
        parts.append(f"{server}/{settings.get('clickhouse_database')}" if settings.get("clickhouse_host") else own)
    return " ".join(dict.fromkeys(parts))


def _identity(root: Place) -> str:
    """A name for a root outside of DATA_DIR; empty for one below it."""
    if not isinstance(root, Path):
        return str(root)
    if root.absolute().is_relative_to(settings.data_dir().absolute()):
        return ""
    from champion_luigi.storage import claims as claims_to_days

    return claims_to_days.identity(root / "claims")


def answers_file(dataset: Dataset) -> Path:
    """The data set's ledger of the archive's answers: a file of this host alone, because lines are appended to it."""
    return settings.local_dir() / files(dataset).answers.name


@steady.kept
def archive_name() -> str:
    """The archive's real location, without credentials, which the ledger and receipts record."""
    return real_location(settings.get("archive_url"))


def real_location(location: str) -> str:
    """One name for every spelling of an archive's location, without credentials.

    A folder's is its path without links. A server's has a host in small letters, and no port that is the usual one.
    """
    public = secrets.public(location).rstrip("/")
    try:
        parts = urlsplit(public)
        port = parts.port
    except ValueError:
        return public
    if parts.scheme in _PORTS and parts.hostname:
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{parts.scheme}://{host}{f':{port}' if port not in (None, _PORTS[parts.scheme]) else ''}{parts.path}"
    if parts.scheme == "simulated":
        return "simulated:"
    return os.path.realpath(_folder(location)) if parts.scheme in ("", "file") else public


def _folder(location: str) -> Path:
    parts = urlsplit(location)
    path = Path(unquote(parts.path) if parts.scheme == "file" else location)
    try:
        return path.expanduser()
    except RuntimeError:  # ~name of an unknown user
        return path


def official_from() -> dict[str, date]:
    """The date from which a source is tried first, by the source's name, if a setting gives one."""
    return {"udiff": settings.get("udiff_from")}


def expectation(dataset: Dataset) -> Expectation:
    """The expected state of a data set's days, as of now."""
    receipts = raw.Receipts(files(dataset), archive_name(), real_location)
    published_at = settings.published_at(dataset)
    return Expectation(
        dataset.first_date, published_at, ledger(dataset), datetime.now(UTC), receipts, sessions.unarchived()
    )


def ledger(dataset: Dataset) -> Ledger:
    """What this archive answered for days without a file, or on which the calendar is wrong."""
    path = answers_file(dataset)
    try:
        status = path.stat()
    except FileNotFoundError:
        return Ledger()
    return _ledger(path, archive_name(), (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _ledger(path: Path, archive: str, _signature: tuple[int, ...]) -> Ledger:
    # Cached: each scrape of a fill reads the answers.
    return answers.read(path, archive, functools.cache(real_location))


def configured_archive() -> Archive:
    """The configured archive, one for each process: a forked child must not use its parent's connection."""
    places = _rate_file(), claims_folder()
    return _open_archive(os.getpid(), settings.get("archive_url"), places, tuple(_limits().items()))


def seconds_to_turn() -> float:
    """The seconds until the next request may be sent to a remote archive, by the pace that all processes share."""
    from champion_luigi.exchange import pace

    return pace.seconds_ahead([_rate_file(), *pace.places(urlsplit(archive_name()).hostname or "")])


def _rate_file() -> Path:
    return settings.data_dir() / "locks" / "archive.pace"


@functools.lru_cache(maxsize=1)
def _open_archive(
    _pid: int, location: str, places: tuple[Path, Place | None], limits: tuple[tuple[str, Any], ...]
) -> Archive:
    rate_file, shared = places
    return open_archive(location, rate_file=rate_file, shared=shared, **dict(limits))


def _limits() -> dict[str, Any]:
    names = ("requests_per_second", "connect_seconds", "read_seconds", "total_seconds")
    limits = {name: settings.get(name) for name in names}
    limits["requests_per_second"] /= settings.get("hosts")
    return limits | {"max_bytes": settings.get("max_payload_mb") * 1024 * 1024}


def max_unzipped_bytes() -> int:
    """The largest size that a payload may unzip to."""
    return int(settings.get("max_unzipped_mb")) * 1024 * 1024


def open_archive(
    location: str, *, rate_file: Path | None = None, shared: Place | None = None, **given: float
) -> Archive:
    """The archive at an ``http(s)://`` base, in a folder or ``file://`` laid out as on the exchange, or ``simulated:``.

    The processes of a machine share one rate, and so do those that use ``rate_file``, or the folder ``shared`` of a
    store, wherever they run. A limit that is not ``given``, named as in `HttpArchive` or ``requests_per_second``, is
    the settings'. Raises SettingsError.
    """
    limits = _limits() | given
    per_second = limits.pop("requests_per_second")
    try:
        parts = urlsplit(location)
        parts.port  # noqa: B018 - raises if it is not a number but part of a password, not to be mistaken for a host
    except ValueError:
        raise SettingsError(
            "the archive's URL is not valid",
            todo="Set NSE_ARCHIVE_URL; in a password, write %2F for /, %3F for ?, %23 for # and %40 for @.",
        ) from None
    if parts.scheme in _PORTS and parts.hostname:
        from champion_luigi.exchange.http import HttpArchive
        from champion_luigi.exchange.pace import Pace, file_name

        is_here = parts.hostname in ("localhost", "::1") or parts.hostname.startswith("127.")
        is_polite = per_second > 0 and not is_here
        common = shared and shared / "pace" / file_name(parts.hostname)
        pace = Pace(per_second, rate_file, parts.hostname, common).wait if is_polite else lambda: None
        return HttpArchive(location, pace, **limits)
    if parts.scheme == "simulated":
        from champion_luigi.simulated.exchange import Simulated

        return Simulated()
    if parts.scheme in ("", "file"):
        if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
            raise SettingsError(
                "the archive's file:// URL names a host",
                expected="three slashes before an absolute path, as in file:///data/nse",
                found=f"host {parts.netloc!r}",
                todo="Set NSE_ARCHIVE_URL.",
            )
        folder = _folder(location).absolute()
        if folder.is_dir():
            from champion_luigi.exchange.folder import FolderArchive

            return FolderArchive(folder, limits["max_bytes"])
        raise SettingsError(
            "the archive's folder does not exist",
            source=str(folder),
            todo="Mount the disk or share that has it, or set NSE_ARCHIVE_URL.",
        )
    raise SettingsError(
        "the archive's location is not understood",
        expected="http://, https:// or file:// URL, a folder, or simulated:",
        found=f"scheme {parts.scheme!r}",
        todo="Set NSE_ARCHIVE_URL.",
    )
