"""The package without its extras: small, and each door names the extra that it needs, before any day starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import bare_environment
import pytest
from bare_environment import Distributions
from helpers import snapshot

pytestmark = pytest.mark.integration

# As people hear it from pip: a million bytes.
MOST_MEGABYTES = 350
DAYS = ("--start", "2024-07-08", "--stop", "2024-07-10")
EMBEDDED = 'pip install "champion-luigi[embedded]"'
MLFLOW = 'pip install "champion-luigi[mlflow]"'
CLIENT = 'pip install "champion-luigi[mlflow-client]"'
CHAMPION = "import sys; from champion_luigi.commands.cli import main; sys.argv[0] = 'champion'; main()"
RUN_DAY = "import datetime, champion_luigi; champion_luigi.run_day(datetime.date(2024, 7, 8))"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return bare_environment.built(tmp_path_factory.mktemp("distributions"))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, distributions: Distributions) -> Path:
    return bare_environment.python_without_extras(tmp_path_factory.mktemp("bare") / "venv", distributions)


def run(python: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of the environment without extras, on the simulated exchange, with its own folder as DATA_DIR."""
    inherited = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "CHAMPION_TRACKING")}
    return subprocess.run(
        [python, *arguments],
        env={**inherited, "NSE_ARCHIVE_URL": "simulated:", **environment},
        cwd=os.environ["DATA_DIR"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def champion(python: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(python, "-c", CHAMPION, *arguments, **environment)


def luigi(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(python, "-m", "luigi", "--module", "champion_luigi", *arguments, "--local-scheduler")


def test_what_the_package_requires_is_small(distributions: Distributions) -> None:
    """Without bytecode, which the installer may make; nothing that only an extra needs is among it."""
    required = bare_environment.required(distributions.about)
    heavy = {"chdb", "mlflow", "mlflow-skinny", "pyarrow", "pandas", "numpy", "matplotlib", "obstore"}
    assert not heavy & required.keys()
    size = sum(path.stat().st_size for each in required.values() for path in bare_environment.files(each).values())
    assert size <= MOST_MEGABYTES * 1_000_000


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("fill", *DAYS), EMBEDDED),
        (("fill", "--dataset", "all", *DAYS), EMBEDDED),
        (("redo", "--date", "2024-07-08", "--from", "scrape"), EMBEDDED),
        (("adjust",), EMBEDDED),
        (("demo", "--data-dir", "."), EMBEDDED),
        (("sql", "SELECT 1"), EMBEDDED),
        (("prices", "A", "--source", "warehouse"), EMBEDDED),
        (("prices", "A", "--plot"), 'pip install "champion-luigi[plot]"'),
        (("track", "flush"), MLFLOW),
        (("track", "ui"), MLFLOW),
    ],
    ids=lambda each: " ".join(each[:2]) if isinstance(each, tuple) else "",
)
def test_a_command_names_the_extra_that_it_needs(python: Path, arguments: tuple[str, ...], command: str) -> None:
    """In one sentence, as its last line; nothing is fetched, and nothing is written."""
    done = champion(python, *arguments)
    assert done.returncode in (30, 40), done.stderr
    *_, sentence = done.stderr.splitlines()
    assert sentence.startswith(f"champion {arguments[0]}")
    assert "a library that is not installed" in sentence
    assert command in sentence
    assert done.stderr.count("not installed") == 1
    assert "Traceback" not in done.stderr
    assert snapshot(Path(os.environ["DATA_DIR"])) == {}


@pytest.mark.parametrize(
    "task", [("LoadClickHouse", "--date", "2024-07-08"), ("FillBhavcopy", *DAYS), ("LoadAdjustments",)]
)
def test_luigi_names_the_extra_and_schedules_nothing(python: Path, task: tuple[str, ...]) -> None:
    """Its own exit code for what cannot be scheduled; no traceback, and no stage of the day has begun."""
    done = luigi(python, *task)
    assert done.returncode == 35, done.stderr
    assert done.stderr.count(EMBEDDED) == 1
    assert "Traceback" not in done.stderr
    assert {Path(name).parts[0] for name in snapshot(Path(os.environ["DATA_DIR"]))} <= {"journal"}


def test_a_day_from_python_raises_the_sentence(python: Path) -> None:
    """Of the package's own type, before Luigi logs anything."""
    done = run(python, "-c", RUN_DAY)
    *_, last = done.stderr.splitlines()
    assert last.startswith("champion_luigi.base.errors.NotInstalled: ")
    assert EMBEDDED in last
    assert snapshot(Path(os.environ["DATA_DIR"])) == {}


def test_the_lake_needs_no_extra_and_the_journal_alone_is_written(python: Path) -> None:
    """It is said once that MLflow is missing: not by the next command, and not as an error."""
    first = luigi(python, "WriteParquet", "--date", "2024-07-08")
    assert first.returncode == 0, first.stderr
    assert first.stderr.count(MLFLOW) == 1
    assert "not reached MLflow" not in first.stderr
    second = champion(python, "fill", "--of", "WriteParquet", *DAYS)
    assert second.returncode == 0, second.stderr
    assert "MLflow" not in second.stderr
    assert "(in the journal: MLflow is not installed)" in champion(python, "status", "--start", "2024-07-08").stdout
    folder = Path(os.environ["DATA_DIR"])
    assert len(list(folder.glob("lake/**/bhavcopy_*.parquet"))) == 2
    assert list(folder.glob("journal/*.jsonl"))
    assert not (folder / "mlflow").exists()
    script = "from champion_luigi import lake; print(lake.scan('lake').collect().height)"
    assert int(run(python, "-c", script).stdout) > 4_000


@pytest.mark.parametrize(("is_set", "command"), [(True, CLIENT), (False, MLFLOW)], ids=["a server", "an old store"])
def test_each_run_says_that_a_store_that_is_wanted_is_not_reached(python: Path, is_set: bool, command: str) -> None:
    """One that is configured, or was used before the extra was lost; the day is done all the same."""
    folder = Path(os.environ["DATA_DIR"])
    environment = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"} if is_set else {}
    if not is_set:
        (folder / "mlflow").mkdir()
        (folder / "mlflow" / "mlflow.db").touch()
    for stop in ("2024-07-09", "2024-07-10"):
        done = champion(python, "fill", "--of", "WriteParquet", "--start", "2024-07-08", "--stop", stop, **environment)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(command) == 1
    done = champion(python, "track", "flush", **environment)
    assert done.returncode == 30
    assert command in done.stderr


def test_the_doctor_names_what_is_missing(python: Path) -> None:
    """The engine as a problem, because it is configured; MLflow is none; and the extras that are not installed."""
    done = champion(python, "doctor")
    words = " ".join(done.stdout.split())
    assert done.returncode == 30
    assert "extras not installed: embedded, mlflow, mlflow-client, pandas, plot" in words
    assert f"the embedded engine is not installed -> {EMBEDDED} installs it" in words
    assert f"OK mlflow not installed: durations and counts stay in the journal; {MLFLOW} adds it" in words
    done = champion(python, "doctor", MLFLOW_TRACKING_URI="http://127.0.0.1:1", CLICKHOUSE_HOST="127.0.0.1")
    words = " ".join(done.stdout.split())
    assert "WARNING mlflow not installed" in words
    assert "the embedded engine is not installed" not in words


def test_a_server_needs_no_engine(python: Path) -> None:
    """The sentence is about the server, which does not answer."""
    done = champion(python, "sql", "SELECT 1", CLICKHOUSE_HOST="127.0.0.1", CLICKHOUSE_PORT="1")
    assert "ClickHouse did not answer" in done.stderr
    assert "not installed" not in done.stderr
