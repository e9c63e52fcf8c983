"""Fixtures and hooks of all tests: real files, an isolated environment, and the choice of tests to run."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import azurite_server
import campaign
import google_server
import hypothesis
import luigi
import pytest
import s3_server
import subjects
from helpers import SHARED, forget_settings
from simulated_server import SimulatedArchive

from champion_luigi.base.object_options import SECRET_VARIABLES
from champion_luigi.base.places import Place, place_of
from champion_luigi.config import settings

# The password is no parameter, so no settings class names its variable.
_NO_PARAMETER = "CLICKHOUSE_PASSWORD"

# No deadline: a busy machine is slow, and no test is about time. In CI, where the outcome decides whether a change
# lands, examples are the same each time; elsewhere new ones are tried.
hypothesis.settings.register_profile(
    "champion",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
)
hypothesis.settings.load_profile("champion")


def pytest_sessionstart() -> None:
    """Handle signals as a process in a terminal does, and raise the limit of open files."""
    heed_signals()
    # The embedded engine leaves a dozen files open each time that a process opens it again.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def heed_signals() -> None:
    """Ignore no signal: a process's children ignore the same signals as the process.

    `nohup`, and `&` in a script, start a process that ignores hang-ups or Ctrl-C. Tests that send these to a command
    would wait for ever. Children do not inherit handlers: a signal has its usual effect there.
    """
    for name in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(name) is signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler if name is signal.SIGINT else lambda *_: None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Store what a worker has measured of coverage: xdist kills one that takes longer than ten seconds to end."""
    if (coverage := sys.modules.get("coverage")) and (measured := coverage.Coverage.current()):
        measured.stop()
        measured.save()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out torture tests unless TORTURE=true, and skip integration tests with SKIP_INTEGRATION_TESTS=true."""
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
    """Hide the settings of the user and of other tests, and give each test a data folder of its own."""
    forget_settings()
    for name in environment_variables():
        monkeypatch.delenv(name, raising=False)
    for name in (
        *SECRET_VARIABLES,
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_BASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    # A carrier spends seconds on importing MLflow: only the tests of carriers switch it on.
    monkeypatch.setenv("CHAMPION_TRACKING", "journal")
    # With a carrier, a test looks at what has arrived: the command waits for it.
    monkeypatch.setenv("CHAMPION_TRACKING_WAIT", "30")


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage is not measured in the processes that the test starts, for it interrupts them.

    An exception at the wrong moment leaves coverage's own lock taken, and the process waits for itself for ever.
    """
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """A real file or folder by its path under `SHARED`; the test is skipped if it does not exist."""

    def find(path: str) -> Path:
        found = SHARED / path
        if not found.exists():
            pytest.skip(f"{path} is not beside the checkout: real files are not part of the project")
        return found

    return find


@pytest.fixture(scope="session")
def folder_of_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the workers of a test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def _running_store(folder_of_run: Path) -> Iterator[s3_server.Store]:
    """The object store that the workers of a run share."""
    if why := s3_server.missing():
        pytest.skip(why)
    with s3_server.running(folder_of_run / "store") as store:
        yield store


def _set(store: s3_server.Store, monkeypatch: pytest.MonkeyPatch) -> s3_server.Store:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return store


@pytest.fixture
def object_store(_running_store: s3_server.Store, monkeypatch: pytest.MonkeyPatch) -> s3_server.Store:
    """A real object store, whose variables are set."""
    return _set(_running_store, monkeypatch)


@pytest.fixture(scope="session")
def _running_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Store]:
    """Azurite, which each worker of a run has for itself: it starts in a second."""
    if why := azurite_server.missing():
        pytest.skip(why)
    with azurite_server.running(tmp_path_factory.mktemp("azurite") / "log") as store:
        yield store


@pytest.fixture
def azure_store(_running_azurite: s3_server.Store, monkeypatch: pytest.MonkeyPatch) -> s3_server.Store:
    """A store with Azure's API, whose variables are set."""
    return _set(_running_azurite, monkeypatch)


@pytest.fixture(scope="session")
def _running_google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Store]:
    """A store as Google describes its own, which each worker of a run has for itself."""
    with google_server.running(tmp_path_factory.mktemp("google")) as store:
        yield store


@pytest.fixture
def google_store(_running_google: s3_server.Store, monkeypatch: pytest.MonkeyPatch) -> s3_server.Store:
    """A store with Google's API, whose variables are set."""
    return _set(_running_google, monkeypatch)


# Without Azurite, its one module says so, and not each of these tests.
_STORES = ["object_store", "google_store", *([] if azurite_server.missing() else ["azure_store"])]


@pytest.fixture(params=["folder", *(pytest.param(name, marks=pytest.mark.integration) for name in _STORES)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty folder, or an empty folder of an object store: what holds for one holds for the other."""
    if request.param == "folder":
        return tmp_path / "place"
    store: s3_server.Store = request.getfixturevalue(request.param)
    return place_of(store.address())


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedArchive]:
    """The simulated archive on loopback, set as NSE_ARCHIVE_URL; tests set its ``faults``."""
    with SimulatedArchive() as running:
        monkeypatch.setenv("NSE_ARCHIVE_URL", running.url)
        yield running


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> subjects.Subject:
    """The data set that `subjects.rounds` gives a test of the campaign; the first one for any other test."""
    found: subjects.Subject = getattr(request, "param", subjects.SHARES)
    return found
