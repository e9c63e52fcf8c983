"""The README's tables agree with the code, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
from helpers import ROOT

from champion_luigi.commands.cli import main

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.integration
def test_the_tables_of_the_readme_are_what_the_code_says() -> None:
    """Settings, columns and errors are described once, in the code."""
    script = ROOT / "tools" / "write_reference.py"
    checked = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


CONTEXT = click.Context(main)
COMMANDS = main.list_commands(CONTEXT)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_itself_and_its_options(name: str) -> None:
    """A stranger finds out at the prompt."""
    command = main.get_command(CONTEXT, name)
    assert command is not None
    assert command.help
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_the_readme_names_only_commands_that_there_are() -> None:
    """An example that cannot be run is worse than none."""
    named = set(re.findall(r"^champion (\w+)", README, flags=re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


def test_the_readme_names_only_make_targets_that_there_are() -> None:
    """An example that cannot be run is worse than none."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert named
    assert named <= targets
