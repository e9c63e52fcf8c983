"""What `champion --help` and each command's help say, and what completes on a Tab."""

from __future__ import annotations

import contextlib
import shlex
import sys
from datetime import date

import click
import pytest
from helpers import champion_here, run, run_champion

from champion_luigi.commands import overview
from champion_luigi.commands.cli import main

NAMES = main.list_commands(click.Context(main))
EXAMPLES = [(name, each) for name, entry in overview.ENTRIES.items() for each in entry.examples]


def test_the_commands_are_in_groups_with_a_line_each() -> None:
    """By what people want of them; no line is cut, as it is by a terminal of 80 columns."""
    shown = champion_here("--help").stdout
    titles = [line.rstrip(":") for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options", "Get the data", "Read the data", "Check", "Repair", "Run"]
    for name, entry in overview.ENTRIES.items():
        [line] = [line for line in shown.splitlines() if line.split()[:1] == [name]]
        assert line.split(maxsplit=1)[1] == entry.line
        assert len(line) <= 80
    assert "..." not in shown.partition("Options:")[2]
    assert sorted(overview.ENTRIES) == NAMES


@pytest.mark.integration
def test_the_overview_imports_no_command() -> None:
    """Nor what a command needs: it is there at once."""
    program = (
        "import sys\nfrom champion_luigi.commands.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted(each for each in sys.modules if each.startswith('champion_luigi.commands.')))"
    )
    last = run([sys.executable, "-c", program]).stdout.splitlines()[-1]
    assert last == "['champion_luigi.commands.cli', 'champion_luigi.commands.overview']"


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[each for _, each in EXAMPLES])
def test_every_example_is_a_command_that_can_be_run(name: str, example: str) -> None:
    """Its options and their values are the command's own, and the command's help shows it on one line."""
    assert f"  {example}\n" in champion_here(name, "--help").stdout
    program, command, *arguments = shlex.split(example)
    assert (program, command) == ("champion", name)
    found = main.get_command(click.Context(main), name)
    assert found is not None
    if isinstance(found, click.Group):
        found = found.get_command(click.Context(found), arguments.pop(0))
        assert found is not None
    with contextlib.closing(found.make_context(name, arguments)):
        pass


@pytest.mark.parametrize("name", NAMES)
def test_a_date_is_called_by_its_form(name: str) -> None:
    """In every help, as in every message."""
    shown = champion_here(name, "--help").stdout
    assert "%Y" not in shown
    for option in ("--start", "--end", "--stop", "--date", "--as-of"):
        assert f"  {option} " not in shown or f"{option} YYYY-MM-DD" in shown


@pytest.mark.parametrize("text", ["tomorrow", "2024-13-01", "15.1.2024", "2024-01-15T00:00:00"])
def test_a_date_of_another_form_is_refused(text: str) -> None:
    """With the form that is expected."""
    done = champion_here("fill", "--start", text)
    assert done.returncode == 2
    words = f"Error: Invalid value for '--start': {text!r} is no date of the form YYYY-MM-DD"
    assert done.stderr.splitlines()[-1] == words


@pytest.mark.parametrize("arguments", [("fill",), ("redo", "--date", str(date(2024, 1, 15)), "--from", "scrape")])
def test_no_workers_are_refused(arguments: tuple[str, ...]) -> None:
    """They would do nothing."""
    done = champion_here(*arguments, "--workers", "0")
    assert done.returncode == 2
    assert "Invalid value for '--workers': 0 is not in the range" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "formats"),
    [
        (("prices", "--format", "xlsx"), ("table", "csv", "parquet", "amibroker")),
        (("prices", "--output", "prices.xlsx"), ("table", "csv", "parquet", "amibroker")),
        (("sql", "--format", "xlsx", "SELECT 1"), ("table", "csv", "json", "parquet", "arrow")),
        (("sql", "--output", "rows.xlsx", "SELECT 1"), ("table", "csv", "json", "parquet", "arrow")),
        (("sessions", "--format", "xlsx"), ("table", "csv", "json", "ics")),
        (("actions", "--format", "xlsx"), ("table", "csv", "json")),
    ],
)
def test_an_unknown_format_lists_the_known_ones(arguments: tuple[str, ...], formats: tuple[str, ...]) -> None:
    """Whether it is named, or implied by a file's name."""
    done = champion_here(*arguments)
    assert done.returncode == 2
    assert all(each in done.stderr.splitlines()[-1] for each in formats)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("st", ["status"]),
        ("fill --st", ["--start", "--stop"]),
        ("fill --of ", ["LoadClickHouse", "WriteParquet"]),
        ("status --dataset del", ["delivery"]),
        ("prices --adjusted t", ["total_return"]),
    ],
)
def test_a_tab_completes(typed: str, offered: list[str]) -> None:
    """Commands, options and their values, as the shell asks for them."""
    words = f"champion {typed}"
    done = run_champion(COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1), _CHAMPION_COMPLETE="bash_complete")
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == offered
