"""The settings: which source wins, what is refused, and that the password is shown nowhere."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator
from datetime import date, time
from pathlib import Path
from typing import Any

import luigi
import pytest
from conftest import environment_variables
from helpers import forget_settings, run_luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.configuration import LuigiConfigParser, LuigiTomlParser

from champion_luigi.base.errors import SettingsError
from champion_luigi.config import settings
from champion_luigi.config.wiring import warehouse_place
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline.tasks import LoadClickHouse

SECRET = "p%s$HOME${X}%(a)s 'é\"#;"
PARAMETERS: dict[str, Any] = {
    f"{section.__name__}.{name}": parameter
    for section in (settings.champion, settings.clickhouse)
    for name, parameter in vars(section).items()
    if isinstance(parameter, luigi.Parameter)
}

WriteConfig = Callable[[str], None]


def names() -> list[str]:
    """Every setting, named as for `settings.get`."""
    sections = {section.__name__: section.get_params() for section in settings.SECTIONS}
    return [f"{title}_{name}".removeprefix("champion_") for title, found in sections.items() for name, _ in found]


def parameter_of(name: str) -> Any:
    """The parameter of a setting."""
    section, option = settings._parameter_of(name)
    return getattr(section, option)


@pytest.fixture(autouse=True)
def write_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteConfig:
    """Writes the `luigi.cfg` of the folder that the test works in, which Luigi then reads; at first there is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LuigiConfigParser, "_instance", None)

    def write(text: str) -> None:
        Path("luigi.cfg").write_text(text, encoding="utf-8")
        monkeypatch.setattr(LuigiConfigParser, "_instance", None)
        forget_settings()

    return write


@contextlib.contextmanager
def command_line(*arguments: str) -> Iterator[None]:
    """As within the `luigi` command with these arguments."""
    command = ["--module", "champion_luigi", "WriteParquet", "--date", "2024-01-15", *arguments]
    with CmdlineParser.global_instance(command):
        yield


# Which source wins


def test_a_default_holds_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file, no variable, no argument."""
    monkeypatch.delenv("DATA_DIR")
    assert settings.get("data_dir") == "./data"
    assert settings.get("clickhouse_port") == 8123


def test_luigi_cfg_wins_over_the_default(write_config: WriteConfig) -> None:
    """The values that a site has set."""
    write_config("[champion]\nread_seconds = 5\n[clickhouse]\nport = 9000\n")
    assert settings.get("read_seconds") == 5.0
    assert settings.get("clickhouse_port") == 9000


def test_the_environment_wins_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values that a user has set."""
    monkeypatch.setenv("CLICKHOUSE_PORT", "9001")
    assert settings.get("clickhouse_port") == 9001


def test_the_environment_wins_over_luigi_cfg(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python: in a notebook, in `run_day`, in the `champion` command."""
    write_config("[clickhouse]\nport = 9000\n")
    monkeypatch.setenv("CLICKHOUSE_PORT", "9001")
    assert settings.get("clickhouse_port") == 9001


def test_the_environment_wins_over_luigi_cfg_under_the_luigi_command(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so it is within the `luigi` command."""
    write_config("[clickhouse]\nport = 9000\n")
    monkeypatch.setenv("CLICKHOUSE_PORT", "9001")
    with command_line():
        assert settings.get("clickhouse_port") == 9001


def test_luigi_cfg_wins_over_the_default_under_the_luigi_command(write_config: WriteConfig) -> None:
    """An argument that was not given hides nothing."""
    write_config("[clickhouse]\nport = 9000\n")
    with command_line():
        assert settings.get("clickhouse_port") == 9000


def test_the_command_line_wins_over_all(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was typed for this run is what was meant."""
    write_config("[clickhouse]\nport = 9000\n")
    monkeypatch.setenv("CLICKHOUSE_PORT", "9001")
    with command_line("--clickhouse-port", "9002"):
        assert settings.get("clickhouse_port") == 9002
    assert settings.get("clickhouse_port") == 9001


def test_a_luigi_config_object_has_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who write `settings.champion().data_dir`, as Luigi's users do, get what `get` gives."""
    monkeypatch.setenv("DATA_DIR", "/from/environment")
    section = settings.champion()  # type: ignore[no-untyped-call, unused-ignore]
    assert section.data_dir == "/from/environment" == settings.get("data_dir")


def test_an_empty_variable_is_no_value(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with most programs: `CLICKHOUSE_PORT= luigi …` sets nothing."""
    write_config("[clickhouse]\nport = 9000\n")
    monkeypatch.setenv("CLICKHOUSE_PORT", "")
    with command_line():
        assert settings.get("clickhouse_port") == 9000


def test_a_variable_makes_a_wrong_value_in_luigi_cfg_harmless(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not count is not read."""
    write_config("[clickhouse]\nport = ${NOT_SET}\n")
    monkeypatch.setenv("CLICKHOUSE_PORT", "9001")
    with command_line():
        assert settings.get("clickhouse_port") == 9001


def test_luigi_cfg_may_refer_to_a_variable(write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Luigi's own syntax works for these settings too."""
    write_config("[champion]\nlake_dir = ${SITE}/lake\n")
    monkeypatch.setenv("SITE", "/srv")
    assert settings.lake_dir() == Path("/srv/lake")


@pytest.mark.integration
def test_the_luigi_command_itself_takes_a_setting(tmp_path: Path) -> None:
    """In a process of its own: an argument over a variable over a file, to where the pipeline looks for its archive."""
    (tmp_path / "luigi.cfg").write_text(f"[champion]\narchive_url = {tmp_path}/file\n[core]\nno_configure_logging=true")
    command = [sys.executable, "-m", "luigi", "--module", "champion_luigi", "ScrapeBhavcopy", "--local-scheduler"]
    command += ["--date", "2024-01-15", "--champion-scrape-retry-seconds", "0"]

    def said(*arguments: str, **variables: str) -> str:
        environment = {**os.environ, **variables}
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    argument = ["--champion-archive-url", f"{tmp_path}/argument"]
    assert f"[{tmp_path}/file]" in said()
    assert f"[{tmp_path}/variable]" in said(NSE_ARCHIVE_URL=f"{tmp_path}/variable")
    assert f"[{tmp_path}/argument]" in said(*argument, NSE_ARCHIVE_URL=f"{tmp_path}/variable")


# Values for a part of a program


def test_an_override_wins_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller of a function gives, for the time of the call."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "environment")
    with command_line("--clickhouse-host", "argument"), settings.overridden({"clickhouse_host": "caller"}):
        assert settings.get("clickhouse_host") == "caller"
    assert settings.get("clickhouse_host") == "environment"


def test_an_override_of_none_overrides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller's parameter that was not given; an empty text was given."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "environment")
    with settings.overridden({"clickhouse_host": None}):
        assert settings.get("clickhouse_host") == "environment"
    with settings.overridden({"clickhouse_host": ""}):
        assert settings.get("clickhouse_host") == ""


def test_overrides_can_be_nested() -> None:
    """The inner one wins, and the outer one is back after it."""
    with settings.overridden({"data_dir": "outer", "clickhouse_user": "outer"}):
        with settings.overridden({"data_dir": "inner"}):
            assert (settings.get("data_dir"), settings.get("clickhouse_user")) == ("inner", "outer")
        assert settings.get("data_dir") == "outer"


def test_an_override_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a call has set does not outlive it."""
    monkeypatch.setenv("DATA_DIR", "before")
    with pytest.raises(ZeroDivisionError), settings.overridden({"data_dir": "during"}):
        raise ZeroDivisionError
    assert settings.get("data_dir") == "before"


# What the values are


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("CHAMPION_UDIFF_FROM", "2024-01-01", "udiff_from", date(2024, 1, 1)),
        ("CHAMPION_REQUESTS_PER_SECOND", "0.5", "requests_per_second", 0.5),
        ("CHAMPION_MAX_PAYLOAD_MB", "8", "max_payload_mb", 8),
        ("CLICKHOUSE_SECURE", "true", "clickhouse_secure", True),
        ("CLICKHOUSE_VERIFY", "false", "clickhouse_verify", False),
        ("CLICKHOUSE_DATABASE", "other", "clickhouse_database", "other"),
        ("NSE_ARCHIVE_URL", "simulated:", "archive_url", "simulated:"),
    ],
)
def test_a_variable_is_read_as_its_settings_type(
    variable: str, text: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date, a number, a switch or a text."""
    monkeypatch.setenv(variable, text)
    assert settings.get(name) == value
    assert type(settings.get(name)) is type(value)


@pytest.mark.parametrize(
    ("variable", "text", "name"),
    [
        ("CLICKHOUSE_PORT", "http", "clickhouse_port"),
        ("CLICKHOUSE_PORT", "99999", "clickhouse_port"),
        ("CHAMPION_READ_SECONDS", "soon", "read_seconds"),
        ("CHAMPION_UDIFF_FROM", "15/01/2024", "udiff_from"),
        ("CLICKHOUSE_SECURE", "perhaps", "clickhouse_secure"),
    ],
)
def test_a_variable_that_cannot_be_read_is_refused(
    variable: str, text: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable and what it holds."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingsError, match=f"{variable} cannot be used") as caught:
        settings.get(name)
    assert caught.value.found == repr(text)


def test_a_value_in_luigi_cfg_that_cannot_be_read_is_refused(write_config: WriteConfig) -> None:
    """The error names the section and the option, as one for a variable names the variable."""
    write_config("[clickhouse]\nport = http\n")
    with pytest.raises(SettingsError, match=r"\[clickhouse\] port"):
        settings.get("clickhouse_port")


UNUSABLE = [
    ("data_dir", "", "it is empty"),
    ("data_dir", "~nosuch/data", "~nosuch is not a user's home"),
    ("data_dir", "s3://bucket/data", "it is a URL; an object store is for CHAMPION_LAKE_DIR and CHAMPION_RAW_DIR"),
    ("data_dir", "s3:/bucket/data", "it is a URL; an object store is for CHAMPION_LAKE_DIR and CHAMPION_RAW_DIR"),
    ("lake_dir", "hdfs://name/lake", "there is no object store with the scheme hdfs:"),
    ("lake_dir", "s3:/bucket/lake", "the scheme is followed by two slashes"),
    ("raw_dir", "s3://", "it names no bucket"),
    ("data_dir", "/srv/da\udcffta", "it is not UTF-8"),
    ("lake_dir", "/srv/data\nlake", "it contains a control character, such as a line break"),
    (
        "local_dir",
        "https://files.example.com/local",
        "it is a URL; an object store is for CHAMPION_LAKE_DIR and CHAMPION_RAW_DIR",
    ),
    ("hosts", "0", ""),
    ("host", "one\ntwo", "it contains a control character, such as a line break"),
    ("claim_seconds", "0", ""),
    ("archive_url", "", "it is empty"),
    ("archive_url", "~nosuch/archive", "~nosuch is not a user's home"),
    ("archive_url", "https://archive.example\n", "it begins or ends with white space"),
    ("requests_per_second", "-1", ""),
    ("requests_per_second", "1e-300", ""),
    ("requests_per_second", "inf", ""),
    ("connect_seconds", "0", ""),
    ("read_seconds", "nan", ""),
    ("total_seconds", "1e9", ""),
    ("max_payload_mb", "0", ""),
    ("max_unzipped_mb", "-32", ""),
    ("max_unzipped_mb", "1.5", ""),
    ("udiff_from", "15/01/2024", ""),
    ("published_at", "7pm", ""),
    ("published_at", "25:00", ""),
    ("published_at", "19:00+05:30", ""),
    ("max_rejected_share", "5", ""),
    ("max_rejected_share", "-0.1", ""),
    ("max_rejected_share", "5 %", ""),
    ("scrape_retry_seconds", "-1", ""),
    ("retry_seconds", "inf", ""),
    ("load_retry_seconds", "1 minute", ""),
    ("first_date", "2020-13-01", ""),
    ("first_date", "1.1.2020", ""),
    ("ask_closed", "yes", ""),
    ("keep_intermediates", "yes", ""),
    ("closed_after_days", "-1", ""),
    ("closed_after_days", "99999999999", ""),
    ("fill_workers", "0", ""),
    ("fill_group", "-1", ""),
    ("fill_day_runs", "-1", ""),
    ("lock_wait_seconds", "-1", ""),
    ("tracking", "of", ""),
    ("tracking_wait_seconds", "-1", ""),
    ("clickhouse_host", "http://clickhouse.example", ""),
    ("clickhouse_host", "clickhouse.example:http", ""),
    ("clickhouse_host", "clickhouse.example:0", ""),
    ("clickhouse_host", "a,,b", ""),
    ("clickhouse_host", "a,a", ""),
    ("clickhouse_host", "a,http://b", ""),
    ("clickhouse_cluster", "a\tb", "it contains a control character, such as a line break"),
    ("clickhouse_port", "0", ""),
    ("clickhouse_port", "65536", ""),
    ("clickhouse_user", "a\tb", "it contains a control character, such as a line break"),
    ("clickhouse_database", "", "it is empty"),
    ("clickhouse_secure", "perhaps", ""),
    ("clickhouse_verify", "0", ""),
    ("clickhouse_query_seconds", "0", ""),
    ("clickhouse_quorum", "most", ""),
    ("clickhouse_wait_seconds", "-1", ""),
    ("mlflow_tracking_uri", "mlflow.example:5000", "http:// or https:// is missing"),
    ("mlflow_tracking_uri", "http://mlflow.example:port", ""),
    ("mlflow_experiment_name", "", "it is empty"),
]


@pytest.mark.parametrize(("name", "text", "reason"), UNUSABLE)
def test_a_value_outside_of_its_range_is_refused_at_its_first_reading(
    name: str, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the setting. The error names the variable, what is wrong, the range and the value."""
    parameter = parameter_of(name)
    if text:
        monkeypatch.setenv(parameter.env, text)
        written = parameter.env
    else:
        # An empty variable is no value; in a file, an empty value is one.
        monkeypatch.delenv(parameter.env, raising=False)
        section, option = settings._parameter_of(name)
        luigi.configuration.get_config().set(section.__name__, option, text)
        written = f"[{section.__name__}] {option} in luigi.cfg"
    with pytest.raises(SettingsError) as caught:
        settings.get(name)
    error = caught.value
    assert error.what == f"{written} cannot be used" + (f": {reason}" if reason else "")
    assert (error.expected, error.found) == (parameter.expected, repr(text))


def test_each_setting_has_a_value_that_is_refused() -> None:
    """So that no setting is left out of the checks."""
    assert {name for name, _, _ in UNUSABLE} == set(names())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("first_date", "2020-01-01", date(2020, 1, 1)),
        ("requests_per_second", "0", 0.0),
        ("requests_per_second", "0.001", 0.001),
        ("scrape_retry_seconds", "0", 0.0),
        ("lock_wait_seconds", "86400", 86400.0),
        ("tracking_wait_seconds", "0", 0.0),
        ("max_rejected_share", "0", 0.0),
        ("max_rejected_share", "1", 1.0),
        ("closed_after_days", "0", 0),
        ("fill_workers", "1", 1),
        ("fill_group", "0", 0),
        ("fill_day_runs", "0", 0),
        ("clickhouse_port", "65535", 65535),
        ("clickhouse_host", "::1", "::1"),
        ("clickhouse_host", "[::1]", "[::1]"),
        ("clickhouse_host", "warehouse_1", "warehouse_1"),
        ("clickhouse_host", "clickhouse.example:8124", "clickhouse.example:8124"),
        ("clickhouse_host", "a, b:8124,[::1]:8125", "a, b:8124,[::1]:8125"),
        ("mlflow_tracking_uri", "databricks", "databricks"),
        ("mlflow_tracking_uri", "postgresql+psycopg://u:p@db/mlflow", "postgresql+psycopg://u:p@db/mlflow"),
        ("mlflow_tracking_uri", "./mlruns:5", "./mlruns:5"),
        ("published_at", "19:00:30", time(19, 0, 30)),
        ("tracking", "Journal", "journal"),
        ("read_seconds", " 5\r", 5.0),
        ("clickhouse_secure", "true\r", True),
        ("data_dir", "./'quoted'", "./'quoted'"),
        ("data_dir", "/srv/my data", "/srv/my data"),
    ],
)
def test_a_value_at_the_end_of_its_range_is_taken(
    name: str, text: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ends belong to the range. White space around a number, date, time or switch means nothing."""
    monkeypatch.setenv(parameter_of(name).env, text)
    assert settings.get(name) == value


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('"{}"', "it has quotes around it"),
        ("'{}'", "it has quotes around it"),
        ('"{}"\r', "it has quotes around it"),
        ("{}\r", "it begins or ends with a carriage return"),
        (" {}", "it begins or ends with white space"),
    ],
)
@pytest.mark.parametrize("name", ["data_dir", "lake_dir", "archive_url", "clickhouse_database", "mlflow_tracking_uri"])
def test_quotes_and_line_ends_around_a_text_never_name_another_folder(
    name: str, written: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that sets variables may have been written on Windows, or its quotes are passed on, as Docker does."""
    variable = parameter_of(name).env
    monkeypatch.setenv(variable, written.format("/srv/data"))
    with pytest.raises(SettingsError, match=f"^{variable} cannot be used: {reason};"):
        settings.get(name)


@pytest.mark.parametrize("text", ['"5"', "'5'"])
def test_quotes_around_a_number_are_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than that it is no number, which nobody sees who thinks of the quotes as part of the file."""
    monkeypatch.setenv("CHAMPION_READ_SECONDS", text)
    with pytest.raises(SettingsError, match=r"it has quotes around it; expected 0\.001 to 86400 seconds"):
        settings.get("read_seconds")


def test_an_unusable_option_of_the_luigi_command_is_named_as_it_was_typed() -> None:
    """The user wrote neither a variable nor a file."""
    with command_line("--champion-max-rejected-share", "5"), pytest.raises(SettingsError) as caught:
        settings.get("max_rejected_share")
    assert str(caught.value) == "--champion-max-rejected-share cannot be used; expected 0 to 1; found '5'"


def test_an_unusable_option_of_the_champion_command_is_named_as_it_was_typed() -> None:
    """`champion fill` and `champion redo` hand --workers on."""
    with pytest.raises(SettingsError, match=r"^--workers cannot be used; expected 1 to 1000 tasks; found 0$"):
        settings.overridden({"fill_workers": 0}).__enter__()


def test_a_callers_unusable_value_is_refused() -> None:
    """As one of the environment would be."""
    with pytest.raises(SettingsError, match=r"^clickhouse_port cannot be used; expected 1 to 65535; found 99999$"):
        settings.overridden({"clickhouse_port": 99999}).__enter__()


def test_a_home_without_home_names_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user that has no entry in the password file."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setenv("DATA_DIR", "~/data")
    with pytest.raises(SettingsError, match="DATA_DIR cannot be used: HOME is not set; expected a folder"):
        settings.data_dir()


# luigi.toml


@pytest.fixture
def write_toml(monkeypatch: pytest.MonkeyPatch) -> WriteConfig:
    """Gives Luigi's parser of luigi.toml what that file would hold. Luigi reads it with a package that few install."""
    monkeypatch.setenv("LUIGI_CONFIG_PARSER", "toml")
    monkeypatch.setattr(LuigiTomlParser, "enabled", True)
    for variable in ("DATA_DIR", "CHAMPION_TRACKING"):
        monkeypatch.delenv(variable)
    parser = LuigiTomlParser()  # type: ignore[no-untyped-call, unused-ignore]
    monkeypatch.setattr(LuigiTomlParser, "_instance", parser)

    def write(text: str) -> None:
        parser.data = tomllib.loads(text)
        forget_settings()

    return write


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("read_seconds = 5", "read_seconds", 5.0),
        ("read_seconds = 5.5", "read_seconds", 5.5),
        ("max_payload_mb = 8", "max_payload_mb", 8),
        ("max_payload_mb = '8'", "max_payload_mb", 8),
        ("udiff_from = 2024-01-01", "udiff_from", date(2024, 1, 1)),
        ("published_at = 18:30:00", "published_at", time(18, 30)),
        ("published_at = '18:30'", "published_at", time(18, 30)),
        ("ask_closed = true", "ask_closed", True),
        ("ask_closed = false", "ask_closed", False),
        ("data_dir = '/srv/data'", "data_dir", "/srv/data"),
    ],
)
def test_luigi_toml_may_hold_typed_values(write_toml: WriteConfig, line: str, name: str, value: Any) -> None:
    """Numbers, switches, dates and times need no quotes there."""
    write_toml(f"[champion]\n{line}\n")
    assert settings.get(name) == value
    assert type(settings.get(name)) is type(value)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("read_seconds = nan", "[champion] read_seconds in luigi.toml cannot be used; expected 0.001 to 86400 seconds"),
        ("read_seconds = true", "[champion] read_seconds in luigi.toml cannot be used: it is not a number"),
        ("max_payload_mb = 8.0", "[champion] max_payload_mb in luigi.toml cannot be used: it is not a whole number"),
        ("udiff_from = 2024-01-01T00:00:00Z", "[champion] udiff_from in luigi.toml cannot be used; expected a date"),
        ("udiff_from = 20240101", "[champion] udiff_from in luigi.toml cannot be used; expected a date"),
        ("published_at = 1900", "[champion] published_at in luigi.toml cannot be used; expected HH:MM"),
        ("ask_closed = 1", "[champion] ask_closed in luigi.toml cannot be used; expected true or false"),
        ("tracking = true", "[champion] tracking in luigi.toml cannot be used; expected on, off or journal"),
        ("data_dir = 5", "[champion] data_dir in luigi.toml cannot be used: it is not a text in quotes"),
        ("data_dir = ['a']", "[champion] data_dir in luigi.toml cannot be used: it is not a text in quotes"),
    ],
)
def test_a_value_of_another_type_in_luigi_toml_is_refused(write_toml: WriteConfig, line: str, error: str) -> None:
    """With the section and the name, as they stand in the file."""
    write_toml(f"[champion]\n{line}\n")
    with pytest.raises(SettingsError, match=f"^{re.escape(error)}"):
        settings.get(line.partition(" ")[0])


def test_the_password_in_luigi_toml_is_a_text(write_toml: WriteConfig) -> None:
    """A number could lose digits that were typed. The error does not show it."""
    write_toml("[clickhouse]\npassword = 0x1234\n")
    with pytest.raises(SettingsError) as caught:
        settings.clickhouse_password()
    assert str(caught.value) == "[clickhouse] password in luigi.toml cannot be used; expected a text in quotes"
    write_toml("[clickhouse]\npassword = '1234'\n")
    assert settings.clickhouse_password() == "1234"


@pytest.mark.integration
def test_luigi_toml_without_its_package_is_a_sentence(tmp_path: Path) -> None:
    """Luigi itself would end the import with a traceback."""
    if importlib.util.find_spec("toml"):
        pytest.skip("toml is installed")
    (tmp_path / "luigi.toml").write_text("[champion]\n")
    done = champion("status", LUIGI_CONFIG_PARSER="toml")
    assert done.returncode == 40
    assert done.stderr == (
        "champion status: luigi.toml cannot be read: the package toml is not installed. "
        "Install toml, or unset LUIGI_CONFIG_PARSER.\n"
    )


@pytest.mark.integration
def test_the_luigi_command_tells_a_setting_that_cannot_be_used_in_one_line() -> None:
    """Luigi puts what `complete()` raised into its message with a traceback; the sentence of it is enough."""
    done = run_luigi("LoadClickHouse", "--date", "2024-01-15", CLICKHOUSE_PORT="http")
    assert done.returncode == 35
    assert "SettingsError: CLICKHOUSE_PORT cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


# A luigi.cfg that is none


@pytest.mark.integration
@pytest.mark.parametrize("where", ["in the folder", "by LUIGI_CONFIG_PATH"])
@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"password = secret", 1, "there is no [section] above it"),
        (b"[champion]\n\nsecret\n", 3, "it is neither a [section] nor name = value"),
        (b"[champion]\ndata_dir = a\ndata_dir = secret\n", 3, "[champion] has data_dir already"),
        (b"[clickhouse]\npassword = secret\n[clickhouse]\n", 3, "there is a [clickhouse] already"),
    ],
)
def test_a_luigi_cfg_that_cannot_be_read_is_a_sentence(
    where: str, content: bytes, line: int, reason: str, tmp_path: Path
) -> None:
    """Each command that needs a setting names the file and the line, and shows nothing of what is written there."""
    file = tmp_path / ("luigi.cfg" if where == "in the folder" else "other.cfg")
    file.write_bytes(content)
    done = champion("status", LUIGI_CONFIG_PATH=str(file) if file.name == "other.cfg" else "")
    assert (done.returncode, done.stdout) == (40, "")
    assert done.stderr.splitlines()[-1] == (
        f"champion status: {file.name} cannot be read: {reason} [{file}, line {line}]. Fix that line."
    )
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.integration
@pytest.mark.parametrize(("command", "code"), [("demo", 30), ("doctor", 30), ("fill", 40)])
def test_a_luigi_cfg_in_another_encoding_is_a_sentence(command: str, code: int, tmp_path: Path) -> None:
    """As an editor on another system may save it."""
    (tmp_path / "luigi.cfg").write_bytes("[champion]\n".encode("utf-16"))
    done = champion(command)
    assert done.returncode == code
    assert "luigi.cfg cannot be read: it is not UTF-8" in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.integration
def test_help_needs_no_luigi_cfg(tmp_path: Path) -> None:
    """One that cannot be read is no reason not to say how a command is used."""
    (tmp_path / "luigi.cfg").write_text("secret")
    done = champion("fill", "--help")
    assert (done.returncode, done.stderr) == (0, "")


def champion(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in the folder that the test works in."""
    program = "from champion_luigi.commands.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={name: text for name, text in {**os.environ, **environment}.items() if text},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_data_folder_may_be_in_the_users_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde is expanded, as no shell does it for a value in a file."""
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("DATA_DIR", "~/data")
    monkeypatch.setenv("CHAMPION_LAKE_DIR", "~/lake")
    assert settings.data_dir() == Path("/home/someone/data")
    assert settings.lake_dir() == Path("/home/someone/lake")


def test_the_lake_is_in_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it has a folder of its own."""
    monkeypatch.setenv("DATA_DIR", "/srv/data")
    assert settings.lake_dir() == Path("/srv/data/lake")
    monkeypatch.setenv("CHAMPION_LAKE_DIR", "/srv/lake")
    assert settings.lake_dir() == Path("/srv/lake")


def test_the_time_of_publication_is_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default an evening hour in India."""
    assert settings.published_at(EQUITY) == time(19, 0)
    monkeypatch.setenv("CHAMPION_PUBLISHED_AT", "18:30")
    assert settings.published_at(EQUITY) == time(18, 30)


@pytest.mark.parametrize("text", ["7pm", "25:00", "evening"])
def test_a_time_of_publication_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to write it."""
    monkeypatch.setenv("CHAMPION_PUBLISHED_AT", text)
    with pytest.raises(SettingsError, match="expected HH:MM, without a time zone"):
        settings.published_at(EQUITY)


@pytest.mark.parametrize(("text", "expected"), [("on", True), ("off", False), ("OFF", False)])
def test_tracking_is_on_or_off(text: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words, in any case; on where nothing is said."""
    assert settings.tracking_is_on()
    monkeypatch.setenv("CHAMPION_TRACKING", text)
    assert settings.tracking_is_on() is expected


def test_tracking_that_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt off must not mean on."""
    monkeypatch.setenv("CHAMPION_TRACKING", "of")
    with pytest.raises(SettingsError, match="expected on, off or journal; found 'of'"):
        settings.tracking_is_on()


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_setting_is_described(name: str) -> None:
    """With the variable that sets it, and a default that it accepts."""
    parameter = PARAMETERS[name]
    assert parameter.description
    assert parameter.env.isupper()
    section, _, option = name.partition(".")
    assert settings.get(option if section == "champion" else f"clickhouse_{option}") is not None


def test_no_variable_sets_two_settings() -> None:
    """Each has a name of its own."""
    variables = [parameter.env for parameter in PARAMETERS.values()]
    assert len(set(variables)) == len(variables)


def test_the_names_that_users_have_already_are_kept() -> None:
    """Their environment goes on working."""
    known = {"DATA_DIR", "NSE_ARCHIVE_URL", "CHAMPION_TRACKING"}
    known |= {f"CLICKHOUSE_{name}" for name in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")}
    assert known <= environment_variables()


# The password


def test_the_password_comes_from_the_environment_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Percent and dollar signs, quotes and comment signs mean nothing."""
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", SECRET)
    assert settings.clickhouse_password() == SECRET


def test_the_password_is_empty_where_none_is_set() -> None:
    """The default user of a fresh server has none."""
    assert settings.clickhouse_password() == ""


def test_the_password_may_be_in_luigi_cfg(write_config: WriteConfig) -> None:
    """For those whose file is protected."""
    write_config("[clickhouse]\npassword = from file\n")
    assert settings.clickhouse_password() == "from file"


def test_the_password_in_luigi_cfg_may_be_a_variable(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name, and whatever characters it has."""
    monkeypatch.setenv("SITE_SECRET", SECRET)
    write_config("[clickhouse]\npassword = ${SITE_SECRET}\n")
    assert settings.clickhouse_password() == SECRET


@pytest.mark.parametrize(("written", "secret"), [("a$b", "a$b"), ("$", "$"), ("50%%", "50%"), ("#1;2", "#1;2")])
def test_the_password_in_luigi_cfg_is_written_as_luigi_has_it(
    write_config: WriteConfig, written: str, secret: str
) -> None:
    """A percent sign is doubled, as in all of that file, and nothing else has a meaning."""
    write_config(f"[clickhouse]\npassword = {written}\n")
    assert settings.clickhouse_password() == secret


@pytest.mark.parametrize("written", ["hunter%2", "hunter2%", "%(hunter2)s", "hunter2 ${NOT_SET}"])
def test_a_password_in_luigi_cfg_that_cannot_be_read_is_refused_unseen(write_config: WriteConfig, written: str) -> None:
    """The error says where it stands, and not what it is."""
    write_config(f"[clickhouse]\npassword = {written}\n")
    with pytest.raises(SettingsError) as caught:
        settings.clickhouse_password()
    assert "hunter" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("in_file", ["from file", "p%s", "${NOT_SET}"])
def test_the_password_of_the_environment_wins_over_luigi_cfg(
    write_config: WriteConfig, monkeypatch: pytest.MonkeyPatch, in_file: str
) -> None:
    """Whatever stands in the file."""
    write_config(f"[clickhouse]\npassword = {in_file}\n")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", SECRET)
    assert settings.clickhouse_password() == SECRET


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_password_that_ends_with_a_line_break_is_refused_unseen(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from a file, and the server would only say that the password is wrong."""
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", f"hunter2{end}")
    with pytest.raises(SettingsError, match="CLICKHOUSE_PASSWORD cannot be used: it ends with a line break") as caught:
        settings.clickhouse_password()
    assert "hunter" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("variable", "written"),
    [
        ("NSE_ARCHIVE_URL", '"https://user:hunter2@archive.example"'),
        ("NSE_ARCHIVE_URL", "https://user:hunter2@archive.example\r"),
        ("MLFLOW_TRACKING_URI", " 'http://user:hunter2@mlflow.example:5000' "),
        ("MLFLOW_TRACKING_URI", "http://user:hunter2@mlflow.example:port"),
        ("CLICKHOUSE_HOST", "http://default:hunter2@clickhouse.example:8123"),
        ("DATA_DIR", "s3://key:hunter2@bucket/data"),
    ],
)
def test_a_password_in_an_unusable_address_is_shown_nowhere(
    variable: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the error, nor in other messages as long as the value cannot be used."""
    monkeypatch.setenv(variable, written)
    [name] = [name for name in names() if parameter_of(name).env == variable]
    with pytest.raises(SettingsError, match=f"{variable} cannot be used") as caught:
        settings.get(name)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    if variable != "DATA_DIR":
        assert "hunter2" not in settings.without_secrets(written)


def test_the_password_of_a_caller_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one too."""
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", SECRET)
    with settings.overridden({"clickhouse_password": "caller"}):
        assert settings.clickhouse_password() == "caller"
    with settings.overridden({"clickhouse_password": ""}):
        assert settings.clickhouse_password() == ""


def test_the_password_is_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the settings, nor of a task, its marker or the place of the warehouse."""
    monkeypatch.setenv("CLICKHOUSE_HOST", "warehouse.example")
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "hunter2")
    task = LoadClickHouse(date=date(2024, 1, 15))
    place = warehouse_place()
    assert place.password == "hunter2"
    section = settings.clickhouse()  # type: ignore[no-untyped-call, unused-ignore]
    parameters = task.to_str_params()  # type: ignore[no-untyped-call, unused-ignore]
    shown = [section, task, parameters, place, place.identity(EQUITY), place.words, place.slug]
    shown += [task.output(), task.output().path, task.output().warehouse]
    assert [each for each in shown if "hunter2" in f"{each!r} {each}"] == []


def test_the_password_is_no_parameter() -> None:
    """Luigi shows parameters in its log, its visualiser and its task's id, and takes them from the command line."""
    assert not any("password" in name for name in PARAMETERS)
    with pytest.raises(SystemExit), command_line("--clickhouse-password", "hunter2"):
        pass
