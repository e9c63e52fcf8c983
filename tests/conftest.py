"""What all tests share: the real files, an environment of their own, and leaving out what starts processes."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import campaign
import hypothesis
import luigi
import pytest
from helpers import SHARED, forget_settings
from simulated_server import SimulatedArchive

from champion_luigi.config import settings

# The password is no parameter, so no settings class names its variable.
_NO_PARAMETER = "CLICKHOUSE_PASSWORD"

# A busy machine is slow, and no test is about time. Where the outcome decides whether a change lands (CI), examples
# are the same each time; elsewhere new ones are tried.
hypothesis.settings.register_profile(
    "champion",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
)
hypothesis.settings.load_profile("champion")


def pytest_sessionstart() -> None:
    """Heed signals as a terminal's process does, and let many files be open."""
    heed_signals()
    # The embedded engine leaves a dozen each time that it is opened anew in a process.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def heed_signals() -> None:
    """Have no signal ignored: what a process ignores, all that it starts do too.

    `nohup`, and a script's `&`, start a process that ignores hang-ups or Ctrl-C; tests that send them to a command
    would wait for ever. Handlers do not go over to what is started: there, a signal has its usual effect.
    """
    for name in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(name) is signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler if name is signal.SIGINT else lambda *_: None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the whole campaign alone, and the integration tests with SKIP_INTEGRATION_TESTS=true."""
    long = [item for item in items if item.get_closest_marker("torture")]
    for item in long:
        item.add_marker(pytest.mark.faults)
    if long and not campaign.IS_WHOLE:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    if os.environ.get("SKIP_INTEGRATION_TESTS", "").lower() != "true":
        return
    skip = pytest.mark.skip(reason="SKIP_INTEGRATION_TESTS is true")
    for item in items:
        if item.get_closest_marker("integration"):
            item.add_marker(skip)


def environment_variables() -> set[str]:
    """Every environment variable that the settings read."""
    sections = [
        value
        for value in vars(settings).values()
        if isinstance(value, type) and issubclass(value, luigi.Config) and value is not luigi.Config
    ]
    parameters = [parameter for section in sections for parameter in vars(section).values()]
    return {parameter.env for parameter in parameters if hasattr(parameter, "env")} | {_NO_PARAMETER}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the user's settings or another test's, and none writes outside its own folder."""
    forget_settings()
    for name in environment_variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    # A carrier imports MLflow, for seconds: the tests that are about it switch it on.
    monkeypatch.setenv("CHAMPION_TRACKING", "journal")


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A real file or folder by its path under `SHARED`; the test is skipped where it is not there."""

    def find(path: str) -> Path:
        found = SHARED / path
        if not found.exists():
            pytest.skip(f"{path} is not beside the checkout: real files are no part of the project")
        return found

    return find


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """The simulated archive on loopback, as the one that is configured; tests set its ``faults``."""
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running
