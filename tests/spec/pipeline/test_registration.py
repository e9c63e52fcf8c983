"""Luigi knows the tasks, and has the package's defaults, in whatever order a program imports the two."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers import run

pytestmark = pytest.mark.integration

# Each is the beginning of a program. None uses a task's name before Luigi's own settings are read.
ORDERS = {
    "the package, then Luigi": "import champion_luigi, luigi",
    "Luigi, then the package": "import luigi, champion_luigi",
    "sessions, then a part of Luigi": "from champion_luigi import sessions\nfrom luigi.tools.range import RangeDaily",
    "every name": "from champion_luigi import *",
    "a name of the lake": "from champion_luigi import lake",
    "a module of the pipeline": "from champion_luigi.pipeline import chunks",
    "a command that imports Luigi": "from champion_luigi.commands import bar",
}
CHECK = """
import sys, luigi
from luigi.task_register import Register
tasks = [Register.get_task_cls(name).__module__ for name in ("LoadClickHouse", "FillBhavcopy")]
assert tasks == ["champion_luigi.pipeline.tasks", "champion_luigi.pipeline.fill"], tasks
assert luigi.configuration.get_config().get("retcode", "not_run") == "25"
assert luigi.worker.worker().check_complete_on_run
assert "champion_luigi.pipeline.events" in sys.modules
"""
# Threads that use the two for the first time at the same moment.
AT_ONCE = """
import threading
import champion_luigi
def of_luigi():
    gate.wait()
    import luigi
    luigi.Task
def of_ours():
    gate.wait()
    champion_luigi.LoadClickHouse
gate, errors = threading.Barrier(8), []
threading.excepthook = errors.append
threads = [threading.Thread(target=target) for target in (of_luigi, of_ours) * 4]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert errors == [], errors
"""


@pytest.mark.parametrize("program", [*ORDERS.values(), AT_ONCE], ids=[*ORDERS, "threads at once"])
def test_luigi_has_tasks_and_defaults(program: str) -> None:
    """No task runs without the handlers of its events and the exit codes of the package."""
    done = run([sys.executable, "-c", program + CHECK])
    assert done.returncode == 0, done.stderr


def test_a_program_of_luigis_own_runs_our_tasks(tmp_path: Path) -> None:
    """It names no task before Luigi starts: the requirement is looked up in a worker's parent."""
    (tmp_path / "theirs.py").write_text(
        "import datetime\n\nimport champion_luigi\nimport luigi\n\n\n"
        "class Theirs(luigi.WrapperTask):\n"
        "    def requires(self):\n"
        "        return champion_luigi.WriteParquet(date=datetime.date(2024, 1, 15))\n\n\n"
        "if __name__ == '__main__':\n    luigi.run()\n"
    )
    command = [sys.executable, "theirs.py", "Theirs", "--local-scheduler", "--workers", "2"]
    done = run(command, NSE_ARCHIVE_URL="simulated:")
    assert "5 ran successfully" in done.stderr, done.stderr
    assert (tmp_path / "journal").is_dir()


def test_a_luigi_cfg_that_cannot_be_read_is_a_sentence_of_ours(tmp_path: Path) -> None:
    """Luigi's own import would fail, and its error would show the line, which may be a password."""
    (tmp_path / "luigi.cfg").write_text("secret\n")
    done = run([sys.executable, "-c", "import champion_luigi, luigi\nchampion_luigi.run_day()"])
    assert "SettingsError: luigi.cfg cannot be read: there is no [section] above it" in done.stderr
    assert "secret" not in done.stderr
