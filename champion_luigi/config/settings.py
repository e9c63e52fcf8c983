"""Every setting, with its description and environment variable.

The command line (``--champion-data-dir``) wins over the environment, which wins over ``luigi.cfg``, which wins
over the default. The password is not a parameter: it comes only from the environment or ``luigi.cfg``, and is
never shown.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from configparser import InterpolationError
from contextvars import ContextVar
from datetime import time
from pathlib import Path
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser

from champion_luigi.base import secrets as hiding
from champion_luigi.base.errors import SettingsError
from champion_luigi.config import luigi_defaults
from champion_luigi.datasets.equity import UDIFF_FROM
from champion_luigi.datasets.model import Dataset
from champion_luigi.parsing.unzip import MAX_UNZIPPED_BYTES

_overrides: ContextVar[Mapping[str, Any]] = ContextVar("champion_overrides", default={})  # noqa: B039 - never mutated

# Variables that are not settings: libraries read them directly.
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
# Whether the secrets are being collected in this context.
_asked: ContextVar[bool] = ContextVar("champion_secrets_asked", default=False)


class _FromEnvironment:
    """Puts an environment variable between the command line and ``luigi.cfg`` in a Luigi parameter's sources."""

    def __init__(self, env: str, default: Any, description: str) -> None:
        super().__init__(default=default, description=description)  # type: ignore[call-arg]  # Luigi's, in subclasses
        self.env = env

    def _value_iterator(self, task_name: str, param_name: str) -> Iterator[tuple[Any, str | None]]:
        sources = super()._value_iterator(task_name, param_name)  # type: ignore[misc]
        # Luigi's first source is the command line only within the `luigi` command.
        if CmdlineParser.get_instance():
            yield next(sources)
        if text := os.environ.get(self.env):
            yield self._parsed(text), None
        yield from sources

    def _get_value_from_config(self, section: str, name: str) -> Any:
        try:
            return super()._get_value_from_config(section, name)  # type: ignore[misc]
        except InterpolationError:
            # The error's text would show the value, which may hold a password.
            raise SettingsError(
                f"[{section}] {name} in luigi.cfg cannot be read",
                todo="Write %% for a percent sign; ${NAME} needs that environment variable.",
            ) from None
        except ValueError as error:
            raise SettingsError(f"[{section}] {name} in luigi.cfg cannot be used: {error}") from error

    def _parsed(self, text: str) -> Any:
        try:
            return self.parse(text)  # type: ignore[attr-defined]
        except ValueError as error:
            raise SettingsError(f"{self.env} cannot be used: {error}", found=repr(text)) from error


class Text(_FromEnvironment, luigi.Parameter):
    """A text setting."""


class Number(_FromEnvironment, luigi.FloatParameter):
    """A setting that is a number."""


class Whole(_FromEnvironment, luigi.IntParameter):
    """A setting that is a whole number."""


class Port(Whole):
    """A setting that is a port."""

    def parse(self, text: str) -> int:
        """The number. Raises ValueError if it is not a valid port."""
        number: int = super().parse(text)
        if not 0 < number < 65536:
            raise ValueError("a port is a number from 1 to 65535")
        return number


class Switch(_FromEnvironment, luigi.BoolParameter):
    """A setting that is true or false."""

    parsing = luigi.BoolParameter.EXPLICIT_PARSING


class Day(_FromEnvironment, luigi.DateParameter):
    """A setting that is a date."""


class champion(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[champion]`` in luigi.cfg."""

    data_dir = Text("DATA_DIR", "./data", "folder of all outputs")
    lake_dir = Text("CHAMPION_LAKE_DIR", "", "root of the Parquet lake; empty: DATA_DIR/lake")
    archive_url = Text(
        "NSE_ARCHIVE_URL",
        "https://nsearchives.nseindia.com",
        "the exchange's archive: an http(s) base, a folder or file:// of its files, or simulated:",
    )
    requests_per_second = Number("CHAMPION_REQUESTS_PER_SECOND", 3.0, "polite ceiling for a remote archive; 0: none")
    connect_seconds = Number("CHAMPION_CONNECT_SECONDS", 10.0, "archive: time to connect")
    read_seconds = Number("CHAMPION_READ_SECONDS", 30.0, "archive: longest silence")
    total_seconds = Number("CHAMPION_TOTAL_SECONDS", 180.0, "archive: longest time for one file")
    max_payload_mb = Whole("CHAMPION_MAX_PAYLOAD_MB", 16, "largest file accepted, MiB")
    max_unzipped_mb = Whole(
        "CHAMPION_MAX_UNZIPPED_MB", MAX_UNZIPPED_BYTES // 1024**2, "largest size when unzipped, MiB"
    )
    udiff_from = Day("CHAMPION_UDIFF_FROM", UDIFF_FROM, "first date for which the UDiFF file is requested first")
    published_at = Text(
        "CHAMPION_PUBLISHED_AT",
        "",
        "when a day's file is expected, IST, HH:MM; empty: the data set's own time (equity 19:00)",
    )
    max_rejected_share = Number("CHAMPION_MAX_REJECTED_SHARE", 0.05, "share of rejected rows above which a day fails")
    scrape_retry_seconds = Number("CHAMPION_SCRAPE_RETRY_SECONDS", 60.0, "delay between the 3 attempts to fetch")
    retry_seconds = Number("CHAMPION_RETRY_SECONDS", 30.0, "delay between the 2 attempts to parse, normalize or write")
    load_retry_seconds = Number("CHAMPION_LOAD_RETRY_SECONDS", 60.0, "delay between the 3 attempts to load")
    ask_closed = Switch("CHAMPION_ASK_CLOSED", False, "request files for days without a session too: true or false")
    closed_after_days = Whole(
        "CHAMPION_CLOSED_AFTER_DAYS",
        7,
        "days after which a 404 means that there was no session; until then: not published yet",
    )
    fill_workers = Whole("CHAMPION_FILL_WORKERS", 32, "tasks of a fill at a time, unless --workers sets it")
    lock_wait_seconds = Number(
        "CHAMPION_LOCK_WAIT_SECONDS",
        600.0,
        "how long to wait for another process that works on the same day or holds the embedded warehouse",
    )
    tracking = Text(
        "CHAMPION_TRACKING", "on", "on; off; or journal: events are journalled, and sent by `champion track flush` only"
    )
    tracking_wait_seconds = Number(
        "CHAMPION_TRACKING_WAIT",
        30.0,
        "longest wait at the end of a command for MLflow to receive its metrics; 0: none",
    )


class clickhouse(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[clickhouse]`` in luigi.cfg. Its ``password`` is read by `clickhouse_password` alone."""

    host = Text("CLICKHOUSE_HOST", "", "empty: the embedded engine under DATA_DIR/warehouse")
    port = Port("CLICKHOUSE_PORT", 8123, "HTTP port (8443 is usual with TLS)")
    user = Text("CLICKHOUSE_USER", "default", "user name")
    database = Text("CLICKHOUSE_DATABASE", "champion_market", "database, created on first use")
    secure = Switch("CLICKHOUSE_SECURE", False, "TLS: true or false")
    verify = Switch("CLICKHOUSE_VERIFY", True, "check the server's certificate: true or false")
    query_seconds = Whole("CLICKHOUSE_QUERY_SECONDS", 300, "longest time for one statement")


class mlflow(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[mlflow]`` in luigi.cfg."""

    tracking_uri = Text("MLFLOW_TRACKING_URI", "", "an MLflow server or store; empty: SQLite in DATA_DIR/mlflow")
    experiment_name = Text("MLFLOW_EXPERIMENT_NAME", "nse-bhavcopy-pipeline", "experiment, created on first use")


SECTIONS = (champion, clickhouse, mlflow)


def get(name: str) -> Any:
    """The value of a setting of ``[champion]``, or of another section, as in ``clickhouse_host``."""
    if luigi_defaults.trouble:
        raise luigi_defaults.trouble
    overrides = _overrides.get()
    if name in overrides:
        return overrides[name]
    section, option = _parameter_of(name)
    parameter = getattr(section, option)
    # Cached: a day's run reads settings some hundred times. Environment and command line can change, luigi.cfg cannot.
    return _value(section, option, os.environ.get(parameter.env), CmdlineParser.get_instance())


@functools.cache
def _parameter_of(name: str) -> tuple[type[luigi.Config], str]:
    section, _, option = name.partition("_")
    found = {"clickhouse": clickhouse, "mlflow": mlflow}.get(section)
    return (found, option) if found else (champion, name)


@functools.lru_cache(maxsize=256)
def _value(
    section: type[luigi.Config], option: str, _environment: str | None, _command_line: CmdlineParser | None
) -> Any:
    return getattr(section, option).task_value(section.__name__, option)


def clickhouse_password() -> str:
    """The password: from the environment, or from ``[clickhouse] password``."""
    override = _overrides.get().get("clickhouse_password")
    if override is not None:
        return str(override)
    if from_environment := os.environ.get("CLICKHOUSE_PASSWORD"):
        return from_environment
    try:
        return str(luigi.configuration.get_config().get("clickhouse", "password", ""))
    except InterpolationError:
        # The error's text would show the password.
        raise SettingsError(
            "[clickhouse] password in luigi.cfg cannot be read",
            todo="Write %% for a percent sign, or use CLICKHOUSE_PASSWORD.",
        ) from None


@contextlib.contextmanager
def overridden(values: Mapping[str, Any]) -> Iterator[None]:
    """Use these values, named as for `get`, in place of every other source; None values are ignored."""
    token = _overrides.set({**_overrides.get(), **{name: value for name, value in values.items() if value is not None}})
    try:
        yield
    finally:
        _overrides.reset(token)


def data_dir() -> Path:
    """The folder of all outputs."""
    return Path(get("data_dir")).expanduser()


def lake_dir() -> Path:
    """The root of the Parquet lake."""
    return Path(get("lake_dir")).expanduser() if get("lake_dir") else data_dir() / "lake"


def published_at(dataset: Dataset) -> time:
    """When a day's file of a data set is expected, India time."""
    text = get("published_at")
    if not text:
        return dataset.published_at
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise SettingsError("CHAMPION_PUBLISHED_AT is not a time of day", expected="HH:MM", found=repr(text)) from error


def tracking_is_on() -> bool:
    """Whether events are journalled."""
    return _tracking() != "off"


def tracking_is_carried() -> bool:
    """Whether journalled events go to MLflow automatically."""
    return _tracking() == "on"


def _tracking() -> str:
    """The setting. Raises SettingsError for anything but on, off and journal."""
    text = str(get("tracking")).lower()
    if text not in ("on", "off", "journal"):
        raise SettingsError("CHAMPION_TRACKING cannot be used", expected="on, off or journal", found=repr(text))
    return text


def tracking_uri() -> str:
    """The address of MLflow's store, which may hold a password."""
    return str(get("mlflow_tracking_uri")) or f"sqlite:///{(data_dir() / 'mlflow').absolute()}/mlflow.db"


def secrets() -> set[str]:
    """Every password and token that the settings hold, as written and as decoded."""
    # Ignore unreadable settings here: reporting one redacts its message, which would call this again.
    if _asked.get():
        return set()
    token = _asked.set(True)
    try:
        found = {os.environ.get(name, "") for name in _SECRET_VARIABLES}
        with contextlib.suppress(SettingsError):
            found.add(clickhouse_password())
        addresses: list[Callable[[], str | None]] = [
            lambda: get("archive_url"),
            lambda: get("mlflow_tracking_uri"),
            lambda: _scheduler_url(CmdlineParser.get_instance()),
            *(functools.partial(os.environ.get, name) for name in _PROXY_VARIABLES),
        ]
        for address in addresses:
            with contextlib.suppress(SettingsError, ValueError):
                found |= hiding.in_address(address() or "")
        return found - {""}
    finally:
        _asked.reset(token)


# The text with every secret replaced by stars, in whatever form it is written.
without_secrets = hiding.hidden


@functools.lru_cache(maxsize=4)
def _scheduler_url(_command_line: CmdlineParser | None) -> str:
    return str(luigi.interface.core().scheduler_url or "")


hiding.known_by(secrets)
