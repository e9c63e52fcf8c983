"""Checks of `champion doctor` on the installation, the settings and the table of sessions."""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import platform
import re
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING

import luigi
from luigi.configuration import LuigiTomlParser

from champion_luigi.base import extras
from champion_luigi.base.errors import SettingsError
from champion_luigi.commands.doctor.findings import Finding, told
from champion_luigi.config import settings, wiring
from champion_luigi.datasets import catalog
from champion_luigi.exchange import sessions
from champion_luigi.pipeline import adjust_tasks
from champion_luigi.storage import lake

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_SHOWN = ("luigi", "polars", "clickhouse-connect", "chdb", "mlflow")
# The other extras have no upper limits.
_CHECKED_EXTRAS = ("embedded", "mlflow")
_TABLE_ENDS_DAYS = 60


# What is installed


def python() -> Finding:
    """Python's version, compared with the package's requirement and its tested versions."""
    from packaging.specifiers import SpecifierSet

    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    try:
        about = metadata.metadata("champion_luigi")
    except metadata.PackageNotFoundError:
        return Finding("OK", found)
    here = ".".join(map(str, sys.version_info[:3]))
    if not SpecifierSet(about["Requires-Python"] or "").contains(here):
        return Finding("PROBLEM", found, f"Install Python {about['Requires-Python']}.")
    tested = re.findall(r":: (\d+\.\d+)$", "\n".join(about.get_all("Classifier") or []), re.MULTILINE)
    if here.rpartition(".")[0] not in tested:
        return Finding("WARNING", found, f"It is tested with {', '.join(tested)}.")
    return Finding("OK", found)


def packages() -> Finding:
    """The versions of the required packages, and of installed extras, compared with the requirements. Imports none."""
    absent = [extra for extra in extras.MODULES if extras.lacking(extra)]
    try:
        required = list(_required("champion_luigi"))
        for extra in _CHECKED_EXTRAS:
            required += () if extra in absent else _required("champion_luigi", extra)
    except metadata.PackageNotFoundError:
        return Finding("WARNING", "champion_luigi itself is not installed", "Install it: pip install -e .")
    found, wrong = [], []
    for each in required:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{each.name} is missing")
            continue
        if not each.specifier.contains(version, prereleases=True):
            wrong.append(f"{each.name} is {version}, but must be {each.specifier}")
        elif each.name in _SHOWN:
            found.append(f"{each.name} {version}")
    if wrong:
        return Finding("PROBLEM", "; ".join(wrong), "Install the package again, in a separate environment.")
    without = f"; extras not installed: {', '.join(absent)}" if absent else ""
    return Finding("OK", ", ".join(dict.fromkeys(found)) + without)


def _required(name: str, extra: str = "") -> Iterator[Requirement]:
    """A distribution's requirements, or those that an ``extra`` adds."""
    from packaging.requirements import Requirement

    for each in map(Requirement, metadata.requires(name) or []):
        is_needed = each.marker.evaluate({"extra": extra}) if each.marker else not extra
        if is_needed:
            yield each
            for of_its in sorted(each.extras):
                with contextlib.suppress(metadata.PackageNotFoundError):
                    yield from _required(each.name, of_its)


# Settings


def every_setting() -> Finding:
    """Whether each setting is valid, and whether each given name is a setting."""
    wrong = set()
    named = [
        f"{section.__name__}_{name}".removeprefix("champion_")
        for section in settings.SECTIONS
        for name, _ in section.get_params()
    ]
    readers: list[Callable[[], object]] = [functools.partial(settings.get, name) for name in named]
    for read in (*readers, settings.clickhouse_password):
        try:
            read()
        except SettingsError as error:
            wrong.add(told(error))
    if wrong:
        return Finding("PROBLEM", "; ".join(sorted(wrong)), "Correct them in the environment or in luigi.cfg.")
    if unknown := _unknown():
        return Finding("WARNING", f"no setting has this name: {', '.join(unknown)}", "Correct or remove it.")
    return Finding("OK", f"{len(named) + 1} can be read")


def _unknown() -> list[str]:
    """Unknown names in ``[champion]``, ``[clickhouse]`` and ``[mlflow]``, and unknown variables CHAMPION_..."""
    variables = {parameter.env for section in settings.SECTIONS for _, parameter in section.get_params()}
    unknown = [
        _with_guess(name, variables)
        for name in sorted(os.environ)
        if name.startswith("CHAMPION_") and name not in variables
    ]
    configuration = luigi.configuration.get_config()
    for section in settings.SECTIONS:
        title = section.__name__
        known = {name for name, _ in section.get_params()} | ({"password"} if title == "clickhouse" else set())
        if isinstance(configuration, LuigiTomlParser):
            options = list(configuration.data.get(title, {}))
        else:
            options = configuration.options(title) if configuration.has_section(title) else []
        unknown += [
            f"[{title}] {_with_guess(option, known)}"
            for option in options
            if option.replace("-", "_") not in known and option not in configuration.defaults()
        ]
    return unknown


def _with_guess(name: str, known: set[str]) -> str:
    return f"{name} ({guess}?)" if (guess := next(iter(difflib.get_close_matches(name, known, 1)), "")) else name


# Time


def time_zone() -> Finding:
    """Whether the system has the exchange's time zone."""
    try:
        now = datetime.now(zoneinfo.ZoneInfo("Asia/Kolkata"))
    except zoneinfo.ZoneInfoNotFoundError:
        todo = "Install tzdata: the pipeline works without it, but your own programs may not."
        return Finding("WARNING", "no data for Asia/Kolkata", todo)
    return Finding("OK", f"in India (Asia/Kolkata) it is {now:%Y-%m-%d %H:%M}")


def absent() -> Finding:
    """The sessions for which no source of the archive has a file."""
    found = {name: wiring.expectation(dataset) for name, dataset in catalog.DATASETS.items()}
    days = {name: each.absent - each.lost for name, each in found.items()}
    for name, each in days.items():
        # Another archive may have given some of them.
        days[name] = each - {day for day, _ in lake.days(settings.lake_dir(), catalog.DATASETS[name])}
    words = "; ".join(f"{name} {len(each)}: {sessions.in_words(each)}" for name, each in days.items() if each)
    todo = "champion fill --recheck-absent requests them now; another archive may have them (NSE_ARCHIVE_URL)."
    return Finding("WARNING", words, todo) if words else Finding("OK", "no session is known to lack its file")


def adjusted_prices() -> Finding:
    """Whether the adjustments of prices are those of the lake as it is, where they are wanted."""
    found = adjust_tasks.state()
    if found is None:
        return Finding("OK", "none: the lake has no corporate actions")
    if found["made_at"] is None:
        return Finding("WARNING", "not made yet", "Run `champion adjust`, or fill some days of prices.")
    words = f"{found['events']:,} events, prices to {found['prices_through']}"
    if found["due"]:
        return Finding("WARNING", f"{words}; the lake has changed since", "Run `champion adjust`.")
    return Finding("OK", words if found["loaded"] else f"{words}, in the lake alone")


def session_table() -> Finding:
    """The end of the table of sessions."""
    end = sessions.table_end()
    left = (end - datetime.now(sessions.INDIA).date()).days
    todo = (
        "Install a newer champion_luigi, or rebuild sessions.csv (tools/build_sessions.py) from the new holiday list."
    )
    if left < 0:
        return Finding("WARNING", f"ended on {end}: every weekday since counts as a session", todo)
    if left < _TABLE_ENDS_DAYS:
        return Finding("WARNING", f"ends on {end}, in {left} days: later holidays are not known", todo)
    return Finding("OK", f"until {end}")
