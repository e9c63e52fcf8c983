"""The examples of the documentation: finding the fenced blocks of a page, and running them as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from conftest import environment_variables

_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Block:
    """A fenced example: its language, its text, and why it is not run, where a comment before it says so."""

    language: str
    text: str
    not_run: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    pattern = r"(?:^<!-- not run: ([^\n]*) -->\n)?^ *```(\w*)\n(.*?)^ *```$"
    found = re.findall(pattern, page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [Block(language, text, why) for why, language, text in found]


def as_a_reader() -> dict[str, str]:
    """The environment of somebody who has the commands installed, and no settings."""
    environment = {name: text for name, text in os.environ.items() if name not in environment_variables()}
    return environment | {
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "CHAMPION_TRACKING": "journal",
    }


def exported(block: Block) -> dict[str, str]:
    """The variables that an example exports."""
    lines = re.findall(r"^export (.*)$", block.text, flags=re.MULTILINE)
    return dict(word.split("=", 1) for line in lines for word in shlex.split(line, comments=True))


def run(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """Run an example, and give what it printed. What it exports holds for those after it."""
    assert block.language in ("sh", "python"), f"a test cannot run {block.language}"
    command = ["bash", "-euc", block.text] if block.language == "sh" else [sys.executable, "-c", block.text]
    environment |= exported(block)
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, f"{block.text}\n{ran.stdout}"
    return ran.stdout
