"""Luigi's central scheduler in a process of its own, and the tasks in its visualiser."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers import beside_python, wait_for


class Central:
    """luigid on a loopback port of its own, which stays the same after a kill."""

    def __init__(self, folder: Path, configuration: str = "") -> None:
        folder.mkdir(exist_ok=True)
        (folder / "luigi.cfg").write_text(configuration)
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port: int = taken.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        state = str(self._folder / "luigid.pickle")
        self._process = subprocess.Popen(
            [beside_python("luigid"), "--address", "127.0.0.1", "--port", str(self.port), "--state-path", state],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: answers(self.port), "luigid to answer")

    def send(self, name: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(name)

    def end(self, name: signal.Signals = signal.SIGKILL) -> None:
        """End the process if it runs, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(name)
            self._process.wait(30)


@contextlib.contextmanager
def luigid(folder: Path, configuration: str = "") -> Iterator[int]:
    """The port of a running luigid, which has ``configuration`` as its luigi.cfg."""
    central = Central(folder, configuration)
    try:
        central.start()
        yield central.port
    finally:
        central.end(signal.SIGTERM)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def task_list(port: int) -> list[dict[str, Any]]:
    """Every task that the visualiser shows."""
    document = urllib.parse.quote(json.dumps({"status": "", "upstream_status": "", "search": None}))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/task_list?data={document}", timeout=30) as answer:
        found: dict[str, dict[str, Any]] = json.load(answer)["response"]
    return list(found.values())
