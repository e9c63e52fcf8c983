"""Safe defaults for Luigi's own settings: cron runs in a folder without a ``luigi.cfg``.

A ``luigi.cfg`` or ``luigi.toml`` takes precedence. If it cannot be read, importing the package still succeeds:
`trouble` holds the error, and reading a setting raises it.
"""

from __future__ import annotations

import configparser
import os
import sys
import warnings
from pathlib import Path

from champion_luigi.base import exit_codes
from champion_luigi.base.errors import SettingsError


def file_name() -> str:
    """The usual name of the configuration file that Luigi takes settings from."""
    return "luigi.toml" if os.environ.get("LUIGI_CONFIG_PARSER") == "toml" else "luigi.cfg"


def _may_be_toml() -> bool:
    # Luigi also loads a file that LUIGI_CONFIG_PATH names, although it takes nothing from it.
    return file_name() == "luigi.toml" or os.environ.get("LUIGI_CONFIG_PATH", "").endswith(".toml")


def _in_a_sentence(error: Exception) -> SettingsError:
    """The error in a configuration file: the file and the line, never its text, which may hold a password."""
    match error:
        case configparser.MissingSectionHeaderError():
            return _at_line(error.source, error.lineno, "there is no [section] above it")
        case configparser.ParsingError():
            return _at_line(error.source, error.errors[0][0], "it is neither a [section] nor name = value")
        case configparser.DuplicateOptionError():
            return _at_line(error.source, error.lineno, f"[{error.section}] has {error.option} already")
        case configparser.DuplicateSectionError():
            return _at_line(error.source, error.lineno, f"there is a [{error.section}] already")
        case ImportError():
            todo = "Install toml, or unset LUIGI_CONFIG_PARSER."
            return SettingsError("luigi.toml cannot be read: the package toml is not installed", todo=todo)
        case AttributeError():
            return SettingsError("luigi.toml cannot be read: a value stands outside of every [section]")
        case ValueError() if hasattr(error, "lineno"):
            return _at_line(os.environ.get("LUIGI_CONFIG_PATH", "luigi.toml"), error.lineno, "it is not TOML")
        case _:
            return SettingsError("luigi.cfg cannot be read: it is not UTF-8", todo="Save it as UTF-8.")


def _at_line(source: str | None, line: int | None, reason: str) -> SettingsError:
    path = Path(source or "luigi.cfg").absolute()
    return SettingsError(f"{path.name} cannot be read: {reason}", source=f"{path}, line {line}", todo="Fix that line.")


# The reason why Luigi's configuration cannot be read; None if it can.
trouble: SettingsError | None = None

try:
    import luigi

    luigi.configuration.get_config()
except (configparser.Error, ValueError, AttributeError, ImportError) as error:
    if isinstance(error, ModuleNotFoundError) or not (
        isinstance(error, configparser.Error | UnicodeDecodeError) or _may_be_toml()
    ):
        raise
    trouble = _in_a_sentence(error)
    # Luigi reads its configuration on import: this time, give it none to read.
    sys.modules["luigi.configuration.cfg_parser"].LuigiConfigParser._config_paths = []
    asked = os.environ.pop("LUIGI_CONFIG_PATH", None)
    os.environ.pop("LUIGI_CONFIG_PARSER", None)
    import luigi

    if asked is not None:
        os.environ["LUIGI_CONFIG_PATH"] = asked

DEFAULTS: dict[tuple[str, str], str] = {
    **{("retcode", name): str(code) for name, code in exit_codes.OF_LUIGI.items()},
    # A run() that leaves no output has failed.
    ("worker", "check_complete_on_run"): "true",
    # Retries are inside the tasks, on transient errors alone.
    ("scheduler", "retry_count"): "1",
    ("core", "log_level"): "INFO",
    # Two commands for one day wait for each other at the day's own lock; Luigi's lock would end the second with 10.
    ("core", "no_lock"): "true",
    # Three attempts at a scheduler that does not answer, within seconds: Luigi's own take minutes, without a word.
    ("core", "rpc_retry_wait"): "2",
    ("core", "rpc_connect_timeout"): "5",
}

_users: set[tuple[str, str]] = set()


# Luigi warns of an option that is not a parameter, and shows its value. These options are read all the same, and can
# hold a password.
_READ_ALL_THE_SAME = r"The configuration contains the parameter '(default_scheduler_url|password)'"


def is_users(section: str, option: str) -> bool:
    """Whether a configuration file, and not a default from here, has set an option."""
    if (section, option) in DEFAULTS:
        return (section, option) in _users
    return bool(luigi.configuration.get_config().has_option(section, option))


def apply() -> None:
    """Set each default that no configuration file has set."""
    warnings.filterwarnings("ignore", _READ_ALL_THE_SAME, luigi.parameter.UnconsumedParameterWarning)
    # Luigi reads these, and would warn of each as of a misspelt one.
    luigi.interface.core.ignore_unconsumed |= {"rpc_retry_wait", "rpc_connect_timeout"}
    configuration = luigi.configuration.get_config()
    for (section, option), value in DEFAULTS.items():
        if configuration.has_option(section, option):
            _users.add((section, option))
        else:
            configuration.set(section, option, value)
