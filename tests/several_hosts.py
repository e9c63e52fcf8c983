"""Hosts for tests: processes with a DATA_DIR, a HOME and a name of their own, as on machines of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from helpers import AT_ONCE, champion_command


@dataclass
class Host:
    """A host below ``folder``, with the settings that its processes have besides those of the test."""

    name: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return Path(self.settings.get("DATA_DIR", self.folder / "data"))

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def output(self) -> str:
        return f"{self.name}:\n" + (self.log.read_text(errors="replace") if self.log.exists() else "")

    def start(self, *arguments: str) -> None:
        """Start a `champion` command in a process group of its own, which `kill` ends as the end of a machine does."""
        home = self.folder / "home"
        for folder in (home, self.data):
            folder.mkdir(parents=True, exist_ok=True)
        own = {"HOME": str(home), "DATA_DIR": str(self.data), "CHAMPION_TRACKING": "journal"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                champion_command(*arguments),
                env={**os.environ, **AT_ONCE, **own, **self.settings},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, seconds: float = 300) -> int:
        """The exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End every process of the host at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def run(self, *arguments: str) -> int:
        """Run a command to its end."""
        self.start(*arguments)
        return self.end()

    @property
    def days_done(self) -> int:
        """The days that this host's last fill completed itself, as its last line says."""
        found = re.findall(r"^(\d+) of \d+ days, ", self.log.read_text(), re.MULTILINE)
        return int(found[-1]) if found else 0


def scheduler_at(port: int) -> list[str]:
    """The options of a fill for a central scheduler."""
    return ["--scheduler-host", "127.0.0.1", "--scheduler-port", str(port)]


def span(days: list[date]) -> list[str]:
    """The options of a fill of these days."""
    return ["--start", str(days[0]), "--end", str(days[-1])]
