"""Commands that were started with Ctrl-C ignored, as by `nohup`, or by `&` in a script."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from helpers import BOTH_DAY, champion_command, luigi_command

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("program", ["champion", "luigi"])
def test_an_ignored_ctrl_c_stays_ignored(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal's Ctrl-C is for the command in the foreground. No library's own handler ends or stops the work."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    command = champion_command("fill", "--start", str(BOTH_DAY), "--stop", "2024-01-20")
    if program == "luigi":
        command = luigi_command("LoadClickHouse", "--date", str(BOTH_DAY))
    with subprocess.Popen(
        ["/bin/sh", "-c", """trap '' INT; echo ignored; exec "$@" 2>&1""", "sh", *command],
        cwd=os.environ["DATA_DIR"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ignored\n"
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.005)
            assert process.returncode == 0, process.stdout.read()
        finally:
            process.kill()
