"""Ctrl-Z in a process that has the embedded engine open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import hear, tell, wait_for

pytestmark = pytest.mark.integration

# Opens the engine in a thread, as a fill does.
PROGRAM = """
import sys, threading
from pathlib import Path
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

opened = []
thread = threading.Thread(target=lambda: opened.append(open_warehouse(Address(folder=Path(sys.argv[1])))))
thread.start()
thread.join()
print("open", flush=True)
sys.stdin.readline()
print(opened[0].query("SELECT 'goes on'")[0][0], flush=True)
opened[0].close()
"""


def test_ctrl_z_stops_a_process_and_it_goes_on_afterwards(tmp_path: Path) -> None:
    """The engine's own handler of that signal would do nothing."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "warehouse")]
    # A process group of its own, as a shell gives to each command: only such a group is stopped by Ctrl-Z.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            assert hear(process) == "open"
            os.killpg(process.pid, signal.SIGTSTP)
            options = os.WSTOPPED | os.WNOHANG
            wait_for(lambda: os.waitid(os.P_PID, process.pid, options) is not None, "the process to stop")
            os.killpg(process.pid, signal.SIGCONT)
            tell(process)
            assert hear(process) == "goes on"
            assert process.wait(60) == 0
        finally:
            process.kill()
