"""Luigi's central scheduler as a process of its own, and what its visualiser shows."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers import wait_for


@contextlib.contextmanager
def luigid(folder: Path, configuration: str = "") -> Iterator[int]:
    """Luigi's own server on loopback, with the text of a ``luigi.cfg``: its port."""
    (folder / "luigi.cfg").write_text(configuration)
    program = shutil.which("luigid", path=str(Path(sys.executable).parent))
    assert program is not None, "luigid is not beside python"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    process = subprocess.Popen(
        [program, "--address", "127.0.0.1", "--port", str(port), "--state-path", str(folder / "luigid.pickle")],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answers(port), "luigid to answer")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def task_list(port: int) -> list[dict[str, Any]]:
    """Every task that the visualiser would show."""
    document = urllib.parse.quote(json.dumps({"status": "", "upstream_status": "", "search": None}))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/task_list?data={document}", timeout=30) as answer:
        found: dict[str, dict[str, Any]] = json.load(answer)["response"]
    return list(found.values())
