"""Every setting, with its description, its range and its environment variable.

The command line (``--champion-data-dir``) wins over the environment, which wins over ``luigi.cfg``, which wins
over the default. The password is not a parameter: it comes only from the environment or ``luigi.cfg``, and is
never shown.

`parameters` has the kinds of settings and their checks.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from configparser import NoOptionError, NoSectionError
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

import luigi
from luigi.cmdline_parser import CmdlineParser

from champion_luigi.base import extras, object_options
from champion_luigi.base import secrets as hiding
from champion_luigi.base.errors import SettingsError
from champion_luigi.base.places import Place, is_address, place_of
from champion_luigi.config import hosts, luigi_defaults, steady
from champion_luigi.config.parameters import (
    DAY_SECONDS,
    Choice,
    Day,
    FirstDay,
    Folder,
    FolderOrStore,
    Hosts,
    Location,
    Number,
    Setting,
    Store,
    Switch,
    Text,
    TimeOfDay,
    Whole,
    bare,
    configured,
    seconds,
)
from champion_luigi.datasets.equity import UDIFF_FROM
from champion_luigi.datasets.model import Dataset
from champion_luigi.parsing.unzip import MAX_UNZIPPED_BYTES

_overrides: ContextVar[Mapping[str, Any]] = ContextVar("champion_overrides", default={})  # noqa: B039 - never mutated

# Variables that are not settings: libraries read them directly.
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", *object_options.SECRET_VARIABLES)
_PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
# The settings that are addresses, or are taken for one.
_MAY_HOLD_A_PASSWORD = ("archive_url", "mlflow_tracking_uri", "clickhouse_host", "lake_dir", "raw_dir")
# Whether the secrets are being collected in this context.
_asked: ContextVar[bool] = ContextVar("champion_secrets_asked", default=False)

_MOST_MIB = 4096


class champion(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[champion]`` in luigi.cfg."""

    data_dir = Folder("DATA_DIR", "./data", "folder of all outputs")
    lake_dir = FolderOrStore(
        "CHAMPION_LAKE_DIR",
        "",
        "root of the Parquet lake: a folder, or an s3://, gs:// or az:// address; empty: DATA_DIR/lake",
    )
    raw_dir = FolderOrStore(
        "CHAMPION_RAW_DIR", "", "root of the fetched files, as for CHAMPION_LAKE_DIR; empty: DATA_DIR/raw"
    )
    local_dir = Folder(
        "CHAMPION_LOCAL_DIR",
        "",
        "folder of what belongs to this host alone, where hosts share DATA_DIR: journal, ledgers of the archive's "
        "answers, MLflow's SQLite; empty: DATA_DIR",
    )
    archive_url = Location(
        "NSE_ARCHIVE_URL",
        "https://nsearchives.nseindia.com",
        "the exchange's archive: an http(s) base, a folder or file:// of its files, or simulated:",
    )
    requests_per_second = Number(
        "CHAMPION_REQUESTS_PER_SECOND",
        3.0,
        "polite ceiling for a remote archive; 0: none",
        least=0.001,
        most=1000,
        unit="a second",
        or_zero=True,
    )
    hosts = Whole(
        "CHAMPION_HOSTS",
        1,
        "hosts that divide CHAMPION_REQUESTS_PER_SECOND, where they share neither a store nor DATA_DIR",
        least=1,
        most=1000,
        unit="hosts",
    )
    host = Text("CHAMPION_HOST", "", "this host's name among those that share a fill; empty: the system's host name")
    claim_seconds = seconds(
        "CHAMPION_CLAIM_SECONDS",
        60.0,
        "time without a renewal after which another host takes over a claimed day, where hosts share a store",
        least=1,
    )
    connect_seconds = seconds("CHAMPION_CONNECT_SECONDS", 10.0, "archive: time to connect", least=0.001)
    read_seconds = seconds("CHAMPION_READ_SECONDS", 30.0, "archive: longest silence", least=0.001)
    total_seconds = seconds("CHAMPION_TOTAL_SECONDS", 180.0, "archive: longest time for one file", least=0.001)
    max_payload_mb = Whole(
        "CHAMPION_MAX_PAYLOAD_MB", 16, "largest file accepted, MiB", least=1, most=_MOST_MIB, unit="MiB"
    )
    max_unzipped_mb = Whole(
        "CHAMPION_MAX_UNZIPPED_MB",
        MAX_UNZIPPED_BYTES // 1024**2,
        "largest size when unzipped, MiB",
        least=1,
        most=_MOST_MIB,
        unit="MiB",
    )
    udiff_from = Day("CHAMPION_UDIFF_FROM", UDIFF_FROM, "first date for which the UDiFF file is requested first")
    first_date = FirstDay(
        "CHAMPION_FIRST_DATE",
        "",
        "first date of your data, YYYY-MM-DD: where status, report and a fill begin without --start; "
        "empty: the first day fetched, of a fill 100 days back",
    )
    published_at = TimeOfDay(
        "CHAMPION_PUBLISHED_AT",
        "",
        "when a day's file is expected, IST, HH:MM; empty: the data set's own time (equity 19:00)",
    )
    max_rejected_share = Number(
        "CHAMPION_MAX_REJECTED_SHARE", 0.05, "share of rejected rows above which a day fails", least=0, most=1
    )
    scrape_retry_seconds = seconds("CHAMPION_SCRAPE_RETRY_SECONDS", 60.0, "delay between the 3 attempts to fetch")
    retry_seconds = seconds("CHAMPION_RETRY_SECONDS", 30.0, "delay between the 2 attempts to parse, normalize or write")
    load_retry_seconds = seconds("CHAMPION_LOAD_RETRY_SECONDS", 60.0, "delay between the 3 attempts to load")
    ask_closed = Switch("CHAMPION_ASK_CLOSED", False, "request files for days without a session too: true or false")
    closed_after_days = Whole(
        "CHAMPION_CLOSED_AFTER_DAYS",
        7,
        "age in days from which a session without a file is absent; until then: not published yet",
        least=0,
        most=36500,
        unit="days",
    )
    fill_workers = Whole(
        "CHAMPION_FILL_WORKERS",
        32,
        "tasks of a fill at a time, unless --workers sets it",
        least=1,
        most=1000,
        unit="tasks",
        option="--workers",
    )
    keep_intermediates = Switch(
        "CHAMPION_KEEP_INTERMEDIATES",
        False,
        "whether a fill keeps the parsed and normalized tables of finished days: true or false",
    )
    fill_group = Whole(
        "CHAMPION_FILL_GROUP",
        0,
        "days that go through the stages of a fill together: more take less time, fewer less memory; 0 is 12, or 24 "
        "with a server, and 60 of a data set with a few hundred rows a day",
        least=0,
        most=100,
        unit="days",
    )
    fill_day_runs = Whole(
        "CHAMPION_FILL_DAY_RUNS",
        20,
        "most days of a fill that have an MLflow run each; those of a longer fill are steps of the fill's run, except "
        "days that failed",
        least=0,
        most=1_000_000,
        unit="days",
    )
    lock_wait_seconds = seconds(
        "CHAMPION_LOCK_WAIT_SECONDS",
        600.0,
        "how long to wait for another process that works on the same day or holds the embedded warehouse",
    )
    tracking = Choice(
        "CHAMPION_TRACKING",
        "on",
        "on; off; or journal: events are journalled, and sent by `champion track flush` only",
        ("on", "off", "journal"),
    )
    tracking_wait_seconds = seconds(
        "CHAMPION_TRACKING_WAIT",
        0.0,
        "longest wait at the end of a command for MLflow to receive its metrics; 0: none, they arrive by themselves",
    )


class clickhouse(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[clickhouse]`` in luigi.cfg. Its ``password`` is read by `clickhouse_password` alone."""

    host = Hosts(
        "CLICKHOUSE_HOST",
        "",
        "the server, or hosts of a cluster, of which the first to answer is used; empty: the embedded engine under "
        "DATA_DIR/warehouse",
    )
    port = Whole(
        "CLICKHOUSE_PORT", 8123, "HTTP port of hosts listed without one (8443 is usual with TLS)", least=1, most=65535
    )
    cluster = Text("CLICKHOUSE_CLUSTER", "", "the cluster's name in system.clusters; empty: one server")
    user = Text("CLICKHOUSE_USER", "default", "user name")
    database = Text("CLICKHOUSE_DATABASE", "champion_market", "database, created on first use")
    secure = Switch("CLICKHOUSE_SECURE", False, "TLS: true or false")
    verify = Switch("CLICKHOUSE_VERIFY", True, "check the server's certificate: true or false")
    query_seconds = Whole(
        "CLICKHOUSE_QUERY_SECONDS",
        300,
        "longest time for one statement",
        least=1,
        most=DAY_SECONDS,
        unit="seconds",
    )
    quorum = Switch(
        "CLICKHOUSE_QUORUM",
        True,
        "cluster: whether a load waits until most replicas of its shard have it; false: until one has it, so it can be "
        "lost with that replica",
    )
    wait_seconds = seconds(
        "CLICKHOUSE_WAIT_SECONDS",
        600.0,
        "cluster: how long each attempt to load waits for missing replicas or Keepers",
    )


class mlflow(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[mlflow]`` in luigi.cfg."""

    tracking_uri = Store(
        "MLFLOW_TRACKING_URI",
        "",
        "an MLflow server or store; empty: SQLite in DATA_DIR/mlflow, or CHAMPION_LOCAL_DIR/mlflow",
    )
    experiment_name = Text("MLFLOW_EXPERIMENT_NAME", "nse-bhavcopy-pipeline", "experiment, created on first use")


SECTIONS = (champion, clickhouse, mlflow)


@steady.kept
def get(name: str) -> Any:
    """The value of a setting of ``[champion]``, or of another section, as in ``clickhouse_host``.

    Raises SettingsError if it cannot be used.
    """
    if luigi_defaults.trouble:
        raise luigi_defaults.trouble
    overrides = _overrides.get()
    if name in overrides:
        return overrides[name]
    return _value(*_found_by(name))


@functools.cache
def _parameter_of(name: str) -> tuple[type[luigi.Config], str]:
    section, _, option = name.partition("_")
    found = {"clickhouse": clickhouse, "mlflow": mlflow}.get(section)
    return (found, option) if found else (champion, name)


def _found_by(name: str) -> tuple[type[luigi.Config], str, str | None, CmdlineParser | None]:
    """A setting and what its value depends on: environment and command line can change, luigi.cfg cannot."""
    section, option = _parameter_of(name)
    return section, option, os.environ.get(getattr(section, option).env), CmdlineParser.get_instance()


# Cached: a day's run reads settings some hundred times.
@functools.lru_cache(maxsize=256)
def _value(
    section: type[luigi.Config], option: str, _environment: str | None, _command_line: CmdlineParser | None
) -> Any:
    return getattr(section, option).task_value(section.__name__, option)


@functools.lru_cache(maxsize=16)
def _written(
    section: type[luigi.Config], option: str, _environment: str | None, _command_line: CmdlineParser | None
) -> str:
    """What is written for a setting, whether or not it can be used; without it, nothing."""
    _, written = next(getattr(section, option).sources(section.__name__, option), ("", ""))
    return bare(written)


@steady.kept
def clickhouse_password() -> str:
    """The password: from the environment, or from ``[clickhouse] password``. It may hold every character.

    Raises SettingsError if it cannot be read, or ends with a line.
    """
    override = _overrides.get().get("clickhouse_password")
    if override is not None:
        return str(override)
    place, password = "CLICKHOUSE_PASSWORD", os.environ.get("CLICKHOUSE_PASSWORD")
    if not password:
        try:
            place, password = next(configured("clickhouse", "password"))
        except (NoSectionError, NoOptionError, KeyError):
            return ""
    if not isinstance(password, str):
        raise SettingsError(f"{place} cannot be used", expected="a text in quotes")
    if password.endswith(("\r", "\n")):
        raise SettingsError(f"{place} cannot be used: it ends with a line break", todo="Remove the line break.")
    return password


@steady.kept
def clickhouse_hosts() -> tuple[tuple[str, int], ...]:
    """Each host of the warehouse with its port; none for the embedded engine.

    Raises SettingsError if there are several without a cluster's name, or a cluster without hosts.
    """
    found = hosts.parsed(get("clickhouse_host"), get("clickhouse_port"))
    cluster = get("clickhouse_cluster")
    if len(found) > 1 and not cluster:
        raise SettingsError(
            "CLICKHOUSE_HOST lists several hosts, and CLICKHOUSE_CLUSTER is empty: servers that do not replicate each "
            "other would each hold a part of the days",
            expected="the cluster's name, or one host",
            todo="Set CLICKHOUSE_CLUSTER; SELECT DISTINCT cluster FROM system.clusters lists the names.",
        )
    if cluster and not found:
        raise SettingsError(
            "CLICKHOUSE_CLUSTER names a cluster, and CLICKHOUSE_HOST is empty",
            expected="one or more hosts of the cluster",
            todo="Set CLICKHOUSE_HOST, or unset CLICKHOUSE_CLUSTER for the embedded engine.",
        )
    return found


@contextlib.contextmanager
def overridden(values: Mapping[str, Any]) -> Iterator[None]:
    """Use these values, named as for `get`, in place of every other source; None values are ignored.

    Raises SettingsError if one cannot be used.
    """
    given = {name: _checked(name, value) for name, value in values.items() if value is not None}
    token = _overrides.set({**_overrides.get(), **given})
    try:
        with steady.anew():
            yield
    finally:
        _overrides.reset(token)


def _checked(name: str, value: Any) -> Any:
    section, option = _parameter_of(name)
    parameter: Setting | None = getattr(section, option, None)
    # The password has no parameter, and an empty text is a caller's way to unset a setting.
    return parameter.checked(value, parameter.option or name) if parameter and value != "" else value


def require_usable(*, with_warehouse: bool) -> None:
    """Read every setting. Raises the SettingsError of the first one that cannot be used."""
    for section in SECTIONS:
        for name, _ in section.get_params():
            if with_warehouse or section is not clickhouse:
                get(name if section is champion else f"{section.__name__}_{name}")
    if with_warehouse:
        clickhouse_password()
        clickhouse_hosts()


@steady.kept
def data_dir() -> Path:
    """The folder of all outputs."""
    return _path(get("data_dir"))


# Asked for several times in each look at a day.
_path = functools.lru_cache(maxsize=16)(Path)


@steady.kept
def lake_dir() -> Place:
    """The root of the Parquet lake."""
    return _place(get("lake_dir")) if get("lake_dir") else data_dir() / "lake"


@steady.kept
def raw_dir() -> Place:
    """The root of the fetched files."""
    return _place(get("raw_dir")) if get("raw_dir") else data_dir() / "raw"


_place = functools.lru_cache(maxsize=16)(place_of)


@steady.kept
def local_dir() -> Path:
    """The folder of what belongs to this host alone, where several hosts share DATA_DIR."""
    return _path(get("local_dir")) if get("local_dir") else data_dir()


def first_date(dataset: Dataset) -> datetime.date | None:
    """The first date of the user's data, which is not before a data set's own; None if the setting is empty."""
    return max(first, dataset.first_date) if (first := get("first_date")) else None


def published_at(dataset: Dataset) -> datetime.time:
    """When a day's file of a data set is expected, India time."""
    return get("published_at") or dataset.published_at


def tracking_is_on() -> bool:
    """Whether events are journalled."""
    return bool(get("tracking") != "off")


def tracking_is_carried() -> bool:
    """Whether journalled events go to MLflow automatically."""
    return bool(get("tracking") == "on") and not _lacking(mlflow_extra())


# Asked for with each record, as long as there is no carrier.
_lacking = functools.cache(extras.lacking)


def mlflow_extra() -> str:
    """The extra that the configured store needs: a server needs a client alone."""
    return "mlflow-client" if tracking_uri().startswith(("http:", "https:")) else "mlflow"


def tracking_uri() -> str:
    """The address of MLflow's store, which may hold a password."""
    if configured := str(get("mlflow_tracking_uri")):
        return configured
    path = str((local_dir() / "mlflow" / "mlflow.db").absolute())
    # As SQLAlchemy renders an address. MLflow itself reads addresses that begin with sqlite:/// too, does not decode
    # them, and would make the folder of that name.
    written = quote(path, safe=" +/")
    return f"sqlite:///{path}" if written == path else f"sqlite+pysqlite:///{written}"


def _as_written(name: str) -> str:
    return str(_overrides.get().get(name) or _written(*_found_by(name)))


def secrets() -> frozenset[str]:
    """Every password and token that the settings hold, as written and as decoded."""
    # Ignore unreadable settings here: reporting one redacts its message, which would call this again.
    if _asked.get():
        return frozenset()
    token = _asked.set(True)
    try:
        return _secrets()
    finally:
        _asked.reset(token)


@steady.kept
def _secrets() -> frozenset[str]:
    found = {os.environ.get(name, "") for name in _SECRET_VARIABLES}
    if is_address(_as_written("lake_dir")) or is_address(_as_written("raw_dir")):
        found |= object_options.secrets()
    with contextlib.suppress(SettingsError):
        found.add(clickhouse_password())
    addresses: list[Callable[[], str | None]] = [
        *(functools.partial(_as_written, name) for name in _MAY_HOLD_A_PASSWORD),
        lambda: _scheduler_url(CmdlineParser.get_instance()),
        *(functools.partial(os.environ.get, name) for name in _PROXY_VARIABLES),
    ]
    for address in addresses:
        with contextlib.suppress(SettingsError, ValueError):
            found |= hiding.in_address(address() or "")
    return frozenset(found - {""})


# The text with every secret replaced by stars, in whatever form it is written.
without_secrets = hiding.hidden


@functools.lru_cache(maxsize=4)
def _scheduler_url(_command_line: CmdlineParser | None) -> str:
    return str(luigi.interface.core().scheduler_url or "")


hiding.known_by(secrets)
