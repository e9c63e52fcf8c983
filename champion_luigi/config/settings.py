"""Every setting, with its description, its range and its environment variable.

The command line (``--champion-data-dir``) wins over the environment, which wins over ``luigi.cfg``, which wins
over the default. The password is not a parameter: it comes only from the environment or ``luigi.cfg``, and is
never shown.

A value is checked when it is first read. The error names the setting as it was written, and what was expected.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from configparser import InterpolationError, NoOptionError, NoSectionError
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

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
# The settings that are addresses, or are taken for one.
_MAY_HOLD_A_PASSWORD = ("archive_url", "mlflow_tracking_uri", "clickhouse_host")
# Whether the secrets are being collected in this context.
_asked: ContextVar[bool] = ContextVar("champion_secrets_asked", default=False)

_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DAY_SECONDS = 24 * 60 * 60
_MOST_MIB = 4096


class _Unusable(ValueError):
    """The reason why a value cannot be used, where the range alone does not say it."""


class _Setting:
    """A Luigi parameter that an environment variable can set too, and whose values are checked.

    ``expected`` is the range, unit or form of a value. ``option`` is the option of a ``champion`` command that sets it.
    """

    expected: str

    def __init__(self, env: str, default: Any, description: str, *, option: str = "") -> None:
        super().__init__(default=default, description=description)  # type: ignore[call-arg]  # Luigi's, in subclasses
        self.env = env
        self.option = option

    def checked(self, written: Any, name: str) -> Any:
        """The value of a text, or of a typed value of luigi.toml. Raises SettingsError with the setting's ``name``."""
        try:
            if not isinstance(written, str):
                return self.accepted(written)
            if _QUOTED.fullmatch(written.strip()):
                raise _Unusable("it has quotes around it")
            return self.accepted(self.parse(self.trimmed(written)))  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            reason = f": {error}" if isinstance(error, _Unusable) else ""
            # An address that cannot be read may hold a password all the same.
            found = repr(written) if isinstance(written, str) else str(written)
            found = hiding.starred(found, hiding.in_address(_bare(written)))
            raise SettingsError(f"{name} cannot be used{reason}", expected=self.expected, found=found) from None

    @staticmethod
    def trimmed(text: str) -> str:
        """The text without the white space around it."""
        return text.strip()

    def accepted(self, value: Any) -> Any:
        """The value if its type and range are right. Raises TypeError or ValueError."""
        raise NotImplementedError

    def sources(self, section: str, name: str) -> Iterator[tuple[str, Any]]:
        """What is written in each place, after the setting's name there. The first one counts."""
        # Only within the `luigi` command is there a command line of Luigi's.
        if parser := CmdlineParser.get_instance():
            given = getattr(parser.known_args, f"{section}_{name}", None)
            if given:
                yield f"--{section}-{name}".replace("_", "-"), given
        if text := os.environ.get(self.env):
            yield self.env, text
        with contextlib.suppress(NoSectionError, NoOptionError, KeyError):
            yield from _configured(section, name)

    def _value_iterator(self, task_name: str, param_name: str) -> Iterator[tuple[Any, str | None]]:
        for name, written in self.sources(task_name, param_name):
            yield self.checked(written, name), None
        yield self._default, None  # type: ignore[attr-defined]


def _configured(section: str, name: str) -> Iterator[tuple[str, Any]]:
    """What ``luigi.cfg`` or ``luigi.toml`` holds.

    Raises KeyError, NoSectionError or NoOptionError if it has no such setting, SettingsError if it cannot be read.
    """
    place = f"[{section}] {name} in {luigi_defaults.file_name()}"
    try:
        yield place, luigi.configuration.get_config().get(section, name)
    except InterpolationError:
        # The error's text would show the value, which may hold a password.
        raise SettingsError(
            f"{place} cannot be read",
            todo="Write %% for a percent sign; ${NAME} needs that environment variable.",
        ) from None


def _bare(written: Any) -> str:
    """What is written, without white space and quotes around it."""
    return str(written).strip().strip("'\"").strip()


class Text(_Setting, luigi.Parameter):
    """A text, which may be empty if its default is."""

    expected = "a text"

    @staticmethod
    def trimmed(text: str) -> str:
        """The text itself: without the white space around it, it could name another folder than before."""
        if text != text.strip():
            end = "a carriage return" if text.endswith("\r") else "white space"
            raise _Unusable(f"it begins or ends with {end}")
        return text

    def accepted(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise _Unusable("it is not a text in quotes")
        if not value and self._default:
            raise _Unusable("it is empty")
        if _CONTROL.search(value):
            raise _Unusable("it contains a control character, such as a line break")
        if re.search("[\ud800-\udfff]", value):
            raise _Unusable("it is not UTF-8")
        return value


class Folder(Text):
    """A folder; ``~`` is a home."""

    expected = "a folder"

    def accepted(self, value: Any) -> Any:
        text: str = super().accepted(value)
        if _URL.match(text):
            raise _Unusable("it is a URL")
        return _at_home(text)


def _at_home(text: str) -> str:
    """The folder, with ``~`` or ``~user`` as a path. Raises _Unusable if there is no such home."""
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        user = text.partition("/")[0]
        raise _Unusable("HOME is not set" if user == "~" else f"{user} is not a user's home") from None


class Location(Text):
    """Where an archive is; opening it checks the rest."""

    expected = "an http://, https:// or file:// URL, a folder, or simulated:"

    def accepted(self, value: Any) -> Any:
        text: str = super().accepted(value)
        _at_home(text)
        # As written: the ledger knows the archive by this name.
        return text


class Host(Text):
    """A host's name or address."""

    expected = "a host's name or address, without http:// and port"

    def accepted(self, value: Any) -> Any:
        text: str = super().accepted(value)
        if ":" in text or "[" in text:
            ipaddress.IPv6Address(text.partition("%")[0].strip("[]"))
        elif re.search(r"[\s/@?#\\]", text):
            raise ValueError
        return text


class Store(Text):
    """An MLflow server or store."""

    expected = "an address such as http://mlflow.example.com:5000 or sqlite:////srv/mlflow.db, or a folder"

    def accepted(self, value: Any) -> Any:
        text: str = super().accepted(value)
        if _URL.match(text):
            urlsplit(text).port  # noqa: B018 - raises if it is not a number
        elif re.match(r"[^/]+:\d+(/|$)", text):
            raise _Unusable("http:// or https:// is missing")
        return text


class Choice(_Setting, luigi.Parameter):
    """One of a few words, in capital or small letters."""

    def __init__(self, env: str, default: str, description: str, words: tuple[str, ...]) -> None:
        super().__init__(env, default, description)
        self.words = words
        self.expected = f"{', '.join(words[:-1])} or {words[-1]}"

    def accepted(self, value: Any) -> Any:
        if str(value).lower() not in self.words:
            raise ValueError
        return str(value).lower()


class _InRange(_Setting):
    """A number from ``least`` to ``most``; with ``or_zero``, or 0."""

    of: type[float]

    def __init__(
        self,
        env: str,
        default: float,
        description: str,
        *,
        least: float,
        most: float,
        unit: str = "",
        or_zero: bool = False,
        option: str = "",
    ) -> None:
        super().__init__(env, default, description, option=option)
        self.least, self.most, self.or_zero = least, most, or_zero
        self.expected = f"{'0, or ' if or_zero else ''}{least:.15g} to {most:.15g} {unit}".rstrip()

    def accepted(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | self.of):
            raise _Unusable("it is not a number" if self.of is float else "it is not a whole number")
        # What is not a number, nan, is in no range.
        if not (self.least <= value <= self.most or (self.or_zero and value == 0)):
            raise ValueError
        return self.of(value)


class Number(_InRange, luigi.FloatParameter):
    """A number."""

    of = float


class Whole(_InRange, luigi.IntParameter):
    """A whole number."""

    of = int


def seconds(env: str, default: float, description: str, *, least: float = 0) -> Number:
    """A setting in seconds, a day at most."""
    return Number(env, default, description, least=least, most=_DAY_SECONDS, unit="seconds")


class Switch(_Setting, luigi.BoolParameter):
    """A setting that is true or false."""

    parsing = luigi.BoolParameter.EXPLICIT_PARSING
    expected = "true or false"

    def accepted(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise TypeError
        return value


class Day(_Setting, luigi.DateParameter):
    """A setting that is a date."""

    expected = "a date, YYYY-MM-DD"

    def accepted(self, value: Any) -> Any:
        if isinstance(value, datetime.datetime) or not isinstance(value, datetime.date):
            raise TypeError
        return value


class TimeOfDay(_Setting, luigi.Parameter):
    """A time of day; empty if its default holds for each data set."""

    expected = "HH:MM, without a time zone"

    def accepted(self, value: Any) -> Any:
        if value == "":
            return value
        time = datetime.time.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(time, datetime.time) or time.tzinfo:
            raise ValueError
        return time


class champion(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[champion]`` in luigi.cfg."""

    data_dir = Folder("DATA_DIR", "./data", "folder of all outputs")
    lake_dir = Folder("CHAMPION_LAKE_DIR", "", "root of the Parquet lake; empty: DATA_DIR/lake")
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
        "days after which a 404 means that there was no session; until then: not published yet",
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
        30.0,
        "longest wait at the end of a command for MLflow to receive its metrics; 0: none",
    )


class clickhouse(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[clickhouse]`` in luigi.cfg. Its ``password`` is read by `clickhouse_password` alone."""

    host = Host("CLICKHOUSE_HOST", "", "empty: the embedded engine under DATA_DIR/warehouse")
    port = Whole("CLICKHOUSE_PORT", 8123, "HTTP port (8443 is usual with TLS)", least=1, most=65535)
    user = Text("CLICKHOUSE_USER", "default", "user name")
    database = Text("CLICKHOUSE_DATABASE", "champion_market", "database, created on first use")
    secure = Switch("CLICKHOUSE_SECURE", False, "TLS: true or false")
    verify = Switch("CLICKHOUSE_VERIFY", True, "check the server's certificate: true or false")
    query_seconds = Whole(
        "CLICKHOUSE_QUERY_SECONDS",
        300,
        "longest time for one statement",
        least=1,
        most=_DAY_SECONDS,
        unit="seconds",
    )


class mlflow(luigi.Config):  # noqa: N801 - Luigi names the section after the class
    """``[mlflow]`` in luigi.cfg."""

    tracking_uri = Store("MLFLOW_TRACKING_URI", "", "an MLflow server or store; empty: SQLite in DATA_DIR/mlflow")
    experiment_name = Text("MLFLOW_EXPERIMENT_NAME", "nse-bhavcopy-pipeline", "experiment, created on first use")


SECTIONS = (champion, clickhouse, mlflow)


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
    return _bare(written)


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
            place, password = next(_configured("clickhouse", "password"))
        except (NoSectionError, NoOptionError, KeyError):
            return ""
    if not isinstance(password, str):
        raise SettingsError(f"{place} cannot be used", expected="a text in quotes")
    if password.endswith(("\r", "\n")):
        raise SettingsError(f"{place} cannot be used: it ends with a line break", todo="Remove the line break.")
    return password


@contextlib.contextmanager
def overridden(values: Mapping[str, Any]) -> Iterator[None]:
    """Use these values, named as for `get`, in place of every other source; None values are ignored.

    Raises SettingsError if one cannot be used.
    """
    given = {name: _checked(name, value) for name, value in values.items() if value is not None}
    token = _overrides.set({**_overrides.get(), **given})
    try:
        yield
    finally:
        _overrides.reset(token)


def _checked(name: str, value: Any) -> Any:
    section, option = _parameter_of(name)
    parameter: _Setting | None = getattr(section, option, None)
    # The password has no parameter, and an empty text is a caller's way to unset a setting.
    return parameter.checked(value, parameter.option or name) if parameter and value != "" else value


def data_dir() -> Path:
    """The folder of all outputs."""
    return Path(get("data_dir"))


def lake_dir() -> Path:
    """The root of the Parquet lake."""
    return Path(get("lake_dir")) if get("lake_dir") else data_dir() / "lake"


def published_at(dataset: Dataset) -> datetime.time:
    """When a day's file of a data set is expected, India time."""
    return get("published_at") or dataset.published_at


def tracking_is_on() -> bool:
    """Whether events are journalled."""
    return bool(get("tracking") != "off")


def tracking_is_carried() -> bool:
    """Whether journalled events go to MLflow automatically."""
    return bool(get("tracking") == "on")


def tracking_uri() -> str:
    """The address of MLflow's store, which may hold a password."""
    if configured := str(get("mlflow_tracking_uri")):
        return configured
    path = str((data_dir() / "mlflow" / "mlflow.db").absolute())
    # As SQLAlchemy renders an address. MLflow itself reads addresses that begin with sqlite:/// too, does not decode
    # them, and would make the folder of that name.
    written = quote(path, safe=" +/")
    return f"sqlite:///{path}" if written == path else f"sqlite+pysqlite:///{written}"


def _as_written(name: str) -> str:
    return str(_overrides.get().get(name) or _written(*_found_by(name)))


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
            *(functools.partial(_as_written, name) for name in _MAY_HOLD_A_PASSWORD),
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
