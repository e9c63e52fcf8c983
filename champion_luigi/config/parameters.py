"""The kinds of settings: Luigi parameters that an environment variable can set too, and whose values are checked.

A value is checked when it is first read. The error names the setting as it was written, and what was expected.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Iterator
from configparser import InterpolationError, NoOptionError, NoSectionError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import luigi
from luigi.cmdline_parser import CmdlineParser

from champion_luigi.base import places
from champion_luigi.base import secrets as hiding
from champion_luigi.base.errors import SettingsError
from champion_luigi.config import hosts, luigi_defaults

DAY_SECONDS = 24 * 60 * 60

_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class _Unusable(ValueError):
    """The reason why a value cannot be used, where the range alone does not say it."""


class Setting:
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
            found = hiding.starred(found, hiding.in_address(bare(written)))
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
            yield from configured(section, name)

    def _value_iterator(self, task_name: str, param_name: str) -> Iterator[tuple[Any, str | None]]:
        for name, written in self.sources(task_name, param_name):
            yield self.checked(written, name), None
        yield self._default, None  # type: ignore[attr-defined]


def configured(section: str, name: str) -> Iterator[tuple[str, Any]]:
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


def bare(written: Any) -> str:
    """What is written, without white space and quotes around it."""
    return str(written).strip().strip("'\"").strip()


class Text(Setting, luigi.Parameter):
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
        if _URL.match(text) or places.is_address(text):
            raise _Unusable("it is a URL; an object store is for CHAMPION_LAKE_DIR and CHAMPION_RAW_DIR")
        return _at_home(text)


class FolderOrStore(Text):
    """A folder, or the address of a folder in an object store."""

    expected = f"a folder, or {places.EXPECTED}"

    def accepted(self, value: Any) -> Any:
        text: str = super().accepted(value)
        if not places.is_address(text):
            return _at_home(text)
        try:
            return str(places.place_of(text))
        except SettingsError as error:
            raise _Unusable(error.what.partition(": ")[2]) from None


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


class Hosts(Text):
    """One host, or several with commas between them, as `hosts.parsed` reads them."""

    expected = "a host's name or address, without http://, or several as in a,b; each can end in :PORT"

    def accepted(self, value: Any) -> Any:
        text: str = super().accepted(value)
        # Any port will do: the real one is another setting.
        hosts.parsed(text, 1)
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


class Choice(Setting, luigi.Parameter):
    """One of a few words, in capital or small letters."""

    def __init__(self, env: str, default: str, description: str, words: tuple[str, ...]) -> None:
        super().__init__(env, default, description)
        self.words = words
        self.expected = f"{', '.join(words[:-1])} or {words[-1]}"

    def accepted(self, value: Any) -> Any:
        if str(value).lower() not in self.words:
            raise ValueError
        return str(value).lower()


class _InRange(Setting):
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
    return Number(env, default, description, least=least, most=DAY_SECONDS, unit="seconds")


class Switch(Setting, luigi.BoolParameter):
    """A setting that is true or false."""

    parsing = luigi.BoolParameter.EXPLICIT_PARSING
    expected = "true or false"

    def accepted(self, value: Any) -> Any:
        if not isinstance(value, bool):
            raise TypeError
        return value


class Day(Setting, luigi.DateParameter):
    """A setting that is a date."""

    expected = "a date, YYYY-MM-DD"

    def accepted(self, value: Any) -> Any:
        if isinstance(value, datetime.datetime) or not isinstance(value, datetime.date):
            raise TypeError
        return value


class FirstDay(Setting, luigi.Parameter):
    """A date, or empty."""

    expected = "a date, YYYY-MM-DD"

    def accepted(self, value: Any) -> Any:
        if value == "":
            return value
        day = datetime.date.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(day, datetime.datetime) or not isinstance(day, datetime.date):
            raise TypeError
        return day


class TimeOfDay(Setting, luigi.Parameter):
    """A time of day; empty if its default holds for each data set."""

    expected = "HH:MM, without a time zone"

    def accepted(self, value: Any) -> Any:
        if value == "":
            return value
        time = datetime.time.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(time, datetime.time) or time.tzinfo:
            raise ValueError
        return time
