"""`champion sql`: show a statement's result as a table, write it to a file, or prompt for statements."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click

# The names in result.FORMATS, which is imported only to run a statement.
_FORMATS = ("table", "csv", "json", "parquet", "arrow")
_BINARY = ("parquet", "arrow")
_SUFFIXES = {f".{name}": name for name in _FORMATS if name != "table"}
_SUFFIXES |= {".txt": "table", ".jsonl": "json", ".ndjson": "json", ".arrows": "arrow"}
_ROWS_ON_A_TERMINAL = 100
_KEPT_LINES = 1000
_NOTHING = " \t\r\n;"
_HELP = "A line is a statement; a \\ at its end continues it, up to a ;. \\q or Ctrl-D leaves."


@click.command(name="sql")
@click.argument("query", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="csv has a header, json is one object a line, arrow an IPC stream. Default: by --output's suffix, or a table.",
)
@click.option("--json", "form", flag_value="json", type=str, help="The same as --format json.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the result; it is written completely or not at all.",
)
@click.option("--write", is_flag=True, help="Allow statements that change things, or read files and URLs.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait for another process that holds the embedded engine. Default: 5 with --write; otherwise the "
    "lake is read at once instead.",
)
def command(query: str | None, form: str | None, output: Path | None, write: bool, wait: float | None) -> None:
    """Query the warehouse: champion sql "SELECT count() FROM equity_ohlc"

    QUERY is one statement in ClickHouse's SQL. Without it, the statement is read from a pipe, or from a prompt on a
    terminal. Nothing can be changed without --write. A result is complete before its first byte is shown: a large one
    needs disk space, in TMPDIR or beside --output, but no memory. On a terminal, a table shows 100 rows and the columns
    that fit; in a pipe or a file it has all rows and columns.

    The same views are read from the lake while a fill or another process holds the embedded engine, for a user who may
    not write to its folder, and where there is no warehouse yet. A line on standard error says so. A query of all days
    takes longer then.
    """
    is_terminal = sys.stdout.isatty()
    if form is None:
        form = _SUFFIXES.get(output.suffix.lower()) if output else "table"
    if form is None:
        raise click.UsageError(f"give --format ({', '.join(_FORMATS)}): the name {output} does not imply one")
    if form in _BINARY and output is None and is_terminal:
        raise click.UsageError(f"{form} is not for terminals: give --output, or redirect it")
    answer = functools.partial(_answer, form=form, output=output, write=write, wait_seconds=wait)
    if query is None and sys.stdin.isatty():
        if output or not is_terminal:
            raise click.UsageError("give the QUERY")
        _prompt(answer, write=write)
        return
    if query is None:
        query = sys.stdin.buffer.read().decode(errors="replace")
    if not query.strip(_NOTHING):
        raise click.UsageError("the QUERY is empty")
    if output:
        from champion_luigi.commands.output import make_folder_of

        make_folder_of(output, "--output")
    answer(query)


def _answer(query: str, *, form: str, output: Path | None, write: bool, wait_seconds: float | None) -> None:
    """Run one statement, and show or store its result."""
    from champion_luigi.base import durable
    from champion_luigi.base.errors import WarehouseError
    from champion_luigi.commands.sql import result as sql
    from champion_luigi.config import settings
    from champion_luigi.reading.sql import opened
    from champion_luigi.warehouse.statements import interruptibly, understood

    is_table = form == "table"
    terminal = output is None and sys.stdout.isatty()
    with contextlib.ExitStack() as kept:
        if output and not is_table:
            result = kept.enter_context(durable.whole(output))
        else:
            result = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="champion-sql-"))) / "result"
        questions = opened(
            lambda message: click.echo(f"champion sql: {settings.without_secrets(message)}", err=True),
            wait_seconds,
            write=write,
            most_rows=sql.MOST_COUNTED if terminal and is_table else None,
        )
        # Close before showing anything: otherwise a pager at the end of the pipe would hold the engine.
        with contextlib.closing(questions):
            statement = understood(questions, query, write=write)
            if statement.reads:
                work = functools.partial(questions.export, statement.text, sql.FORMATS[form], result)
                interruptibly(questions, work)
            elif output:
                raise WarehouseError("the statement returns no rows, and was not run", todo="Leave out --output.")
            else:
                said = interruptibly(questions, functools.partial(questions.execute, statement.text))
                click.echo(said or ("done" if terminal else ""), nl=terminal and not said)
                return
        if is_table and output:
            with durable.whole(output) as path, path.open("wb") as file:
                file.writelines(_encoded(sql.table_lines(result), "utf-8"))
        elif is_table:
            columns = shutil.get_terminal_size().columns if terminal else None
            lines = sql.table_lines(result, columns, _ROWS_ON_A_TERMINAL if terminal else None)
            sys.stdout.buffer.writelines(_encoded(lines, sys.stdout.encoding))
        elif output is None:
            with result.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()


def _encoded(lines: Iterator[str], encoding: str) -> Iterator[bytes]:
    return (f"{line}\n".encode(encoding, errors="backslashreplace") for line in lines)


def _prompt(answer: Callable[[str], None], *, write: bool) -> None:
    """Read and run statements from a terminal until the end of input. Errors are shown, and the prompt goes on."""
    from champion_luigi.base.errors import ChampionError
    from champion_luigi.config import settings, wiring

    reading = "" if write else ", read-only"
    click.echo(f"{settings.without_secrets(wiring.warehouse_place().words)}{reading}\n{_HELP}")
    with _history(Path.home() / ".champion_sql_history"):
        is_over = False
        while not is_over:
            # Ctrl-C can come at any moment, and never ends the prompt.
            try:
                statement = _typed()
                is_over = statement is None
                if statement and statement.strip(_NOTHING):
                    answer(statement)
            except ChampionError as error:
                click.echo(str(error), err=True)
            except KeyboardInterrupt:
                click.echo("interrupted", err=True)


def _typed() -> str | None:
    """The next statement; None at the end of input."""
    lines: list[str] = []
    while True:
        try:
            line = input("     ... " if lines else "champion> ").rstrip()
        except EOFError:
            click.echo()
            return None
        except KeyboardInterrupt:
            # Discard the statement typed so far.
            click.echo()
            lines = []
            continue
        if not lines and line.strip(_NOTHING) in {"\\q", "quit", "exit"}:
            return None
        is_last = line.endswith(";") or not (lines or line.endswith("\\"))
        lines.append(line.removesuffix("\\"))
        if is_last:
            return "\n".join(lines)


@contextlib.contextmanager
def _history(file: Path) -> Iterator[None]:
    """Line editing and the history of earlier lines, stored in a file that only the user can read."""
    try:
        import readline
    except ImportError:  # a Python without readline: no line editing
        yield
        return
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_KEPT_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.touch(mode=0o600)
            readline.write_history_file(file)
