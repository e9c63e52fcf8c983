"""`champion sql`: what it shows and writes, what it refuses, and the prompt; on the embedded engine and on a server."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import os
import pty
import random
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import campaign
import click
import pytest
from click.testing import CliRunner
from clickhouse_server import ClickHouseServer, unavailable
from helpers import champion_command, forget_settings, hear, is_readable, start_python, tell, wait_for

from champion_luigi.base import durable
from champion_luigi.base.errors import WarehouseError
from champion_luigi.commands.cli import main
from champion_luigi.commands.sql import result as sql
from champion_luigi.commands.sql.command import command
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.statements import Questions, open_for_questions, understood

if TYPE_CHECKING:
    import polars as pl

pytestmark = pytest.mark.integration

DAY = date(2024, 1, 15)
QUERY = "SELECT symbol, volume, close, isin FROM equity_ohlc ORDER BY symbol"
TABLE = """\
symbol  volume  close  isin
------  ------  -----  ------------
ALPHA     1500     11  INE000A01015
BETA&Z       7   9.05  NULL
"""
ENDLESS = "SELECT count() FROM numbers(1000000000000)"
FAILING = "SELECT number, throwIf(number = 3000000) AS here FROM numbers(4000000)"


def prices() -> pl.DataFrame:
    """Two rows of a day, one with nulls."""
    import polars as pl

    always = {"trade_date": DAY, "series": "EQ", "turnover": 16250.75, "layout": "legacy"}
    rows = [
        {**always, "symbol": "ALPHA", "isin": "INE000A01015", "close": 11.0, "volume": 1500},
        {**always, "symbol": "BETA&Z", "isin": None, "close": 9.05, "volume": 7},
    ]
    return pl.DataFrame(rows, schema=EQUITY.types)


def fill(place: Address) -> None:
    table = open_warehouse(place)
    try:
        table.load(EQUITY, DAY, prices())
    finally:
        table.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DATA_DIR with an embedded warehouse, which no test changes."""
    data = tmp_path_factory.mktemp("data")
    fill(Address(folder=data / "warehouse"))
    return data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(tmp_path_factory.mktemp("server")) as running:
        fill(Address(running.host, running.port, running.user, running.password))
        yield running


@pytest.fixture
def embedded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Address:
    monkeypatch.setenv("DATA_DIR", str(folder))
    return Address(folder=folder / "warehouse")


@pytest.fixture
def served(server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> Address:
    monkeypatch.setenv("CLICKHOUSE_HOST", server.host)
    monkeypatch.setenv("CLICKHOUSE_PORT", str(server.port))
    monkeypatch.setenv("CLICKHOUSE_USER", server.user)
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", server.password)
    return Address(server.host, server.port, server.user, server.password)


@pytest.fixture(params=["embedded", "served"])
def place(request: pytest.FixtureRequest) -> Address:
    """Every test that takes this runs against both, and `champion` has it as its settings."""
    found: Address = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def questions(place: Address) -> Iterator[Questions]:
    with contextlib.closing(open_for_questions(place)) as opened:
        yield opened


def champion_sql(*arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`champion sql`, its input and output in pipes."""
    return subprocess.run(
        champion_command("sql", *arguments),
        env={**os.environ, **environment},
        input=typed.encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )


def sql_here(*arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The same in this process, where it makes no difference to what is tested and saves a second."""
    forget_settings()
    called = ["sql", *arguments]
    result = CliRunner(env=environment).invoke(main, called, input=typed.encode(), prog_name="champion")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout_bytes, result.stderr_bytes)


def started(*arguments: str) -> subprocess.Popen[str]:
    """`champion sql`, begun."""
    return subprocess.Popen(
        champion_command("sql", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def printed(*arguments: str, typed: str = "") -> str:
    """What a success prints."""
    done = sql_here(*arguments, typed=typed)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout.decode()


def complaint(*arguments: str, **environment: str) -> str:
    """What an error says: one line, and exit code 40."""
    done = sql_here(*arguments, **environment)
    assert done.returncode == 40, done.stdout + done.stderr
    assert done.stdout == b""
    [line] = done.stderr.decode().splitlines()
    return line


class Terminal:
    """`champion sql` on a terminal of 60 columns, which can be typed at."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        # A terminal without abilities, so that what is seen are letters alone.
        environment |= {"TERM": "dumb", "HOME": str(home)}
        self.process = subprocess.Popen(
            champion_command("sql", *arguments), env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._shown = b""
        self._known = 0

    @property
    def seen(self) -> str:
        """What has been shown and read so far."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until this is shown, behind what was waited for before."""

        def is_shown() -> bool:
            self._read()
            return text in self.seen[self._known :]

        wait_for(is_shown, text, lambda: repr(self.seen))
        self._known = self.seen.index(text, self._known) + len(text)

    def interrupt_line(self) -> None:
        """Press Ctrl-C until there is a new prompt, as people do.

        Python's readline does not see one that comes after it has looked at a key and before it waits for the next.
        """
        before = self.seen.count("champion> ")

        def is_over() -> bool:
            self.process.send_signal(signal.SIGINT)
            pressed = time.monotonic()
            while self.seen.count("champion> ") == before and time.monotonic() < pressed + 2:
                self._read()
            return self.seen.count("champion> ") > before

        wait_for(is_over, "a new prompt", lambda: repr(self.seen))
        self._known = len(self.seen)

    def end(self) -> int:
        """Read to the end; the exit code."""
        wait_for(lambda: not self._read(), "the end", lambda: repr(self.seen))
        return self.process.wait(60)

    def close(self) -> None:
        """Take the terminal away, and what still runs on it."""
        self.process.kill()
        self.process.wait(60)
        os.close(self._ours)

    def _read(self) -> bool:
        """Read what there is; whether there can be more."""
        if not is_readable(self._ours, 0.1):
            return True
        try:
            self._shown += os.read(self._ours, 4096)
        except OSError:  # the terminal's other end is closed
            return False
        return True


OnTerminal = Callable[..., Terminal]


@pytest.fixture
def on_terminal(tmp_path: Path) -> Iterator[OnTerminal]:
    """`champion sql` with these arguments, on a terminal; the home folder is the test's."""
    with contextlib.ExitStack() as opened:

        def start(*arguments: str) -> Terminal:
            return opened.enter_context(contextlib.closing(Terminal(tmp_path, *arguments)))

        yield start


# What it shows and writes


def test_a_pipe_gets_the_whole_table(place: Address) -> None:
    """Aligned, numbers to the right, nulls visible; the database is the configured one."""
    done = champion_sql(QUERY)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, TABLE, b"")
    assert printed(QUERY) == TABLE


def test_a_pipe_gets_every_row(embedded: Address) -> None:
    """However many there are."""
    lines = printed("SELECT number, 'x' AS letter FROM numbers(150000)").splitlines()
    assert len(lines) == 150_002
    assert lines[-1] == "149999  x"


def test_the_query_can_come_through_a_pipe(embedded: Address) -> None:
    """With comments, over several lines, ended or not."""
    assert printed(typed=f"-- the prices;\n{QUERY};\n-- of a day") == TABLE


def test_csv_has_a_header_and_nothing_for_null(place: Address) -> None:
    """On standard output, where no file is named."""
    rows = list(csv.reader(printed("--format", "csv", QUERY).splitlines()))
    assert rows[0] == ["symbol", "volume", "close", "isin"]
    assert rows[2] == ["BETA&Z", "7", "9.05", ""]


def test_json_is_an_object_a_line(embedded: Address) -> None:
    """With numbers as numbers, and null as null."""
    rows = [json.loads(line) for line in printed("--json", QUERY).splitlines()]
    assert rows[1] == {"symbol": "BETA&Z", "volume": 7, "close": 9.05, "isin": None}


@pytest.mark.parametrize("name", ["prices.parquet", "prices.arrow"])
def test_the_files_name_says_the_format(place: Address, tmp_path: Path, name: str) -> None:
    """Parquet, and an Arrow IPC stream, with the columns' own types."""
    import polars as pl

    output = tmp_path / name
    assert printed("SELECT * FROM equity_ohlc ORDER BY symbol", "--output", str(output)) == ""
    read = pl.read_parquet(output) if output.suffix == ".parquet" else pl.read_ipc_stream(output)
    assert read.equals(prices())


def test_a_file_can_hold_the_table(embedded: Address, tmp_path: Path) -> None:
    """With all its columns; the file's folder is made."""
    output = tmp_path / "new" / "prices.txt"
    printed(QUERY, "--output", str(output))
    assert output.read_text() == TABLE


def test_a_result_without_rows_has_its_columns(place: Address) -> None:
    """In a table as in a file."""
    assert printed("SELECT symbol, close FROM equity_ohlc WHERE close < 0") == "symbol  close\n------  -----\n"


def test_a_statement_of_many_lines_is_shown_as_such(embedded: Address) -> None:
    """A lone column of text is not a table's cell."""
    lines = printed("SHOW CREATE TABLE equity_ohlc").splitlines()
    assert lines[2] == "CREATE VIEW champion_market.equity_ohlc"
    assert "    `trade_date` Date COMMENT 'the trading day [date, IST]'," in lines


def test_what_would_move_the_cursor_is_shown_by_its_code(embedded: Address) -> None:
    """Line ends, tabs and escapes in the data do not break the table."""
    odd = printed(r"SELECT 'a\tb\nc\x1b[2J\\' AS odd, 1 AS one").splitlines()[2]
    assert odd.split() == [r"a\tb\nc\x1b[2J" + "\\", "1"]


# Errors


def test_a_syntax_error_is_clickhouses_own_sentence(place: Address) -> None:
    """On one line."""
    query = "SELECT *\nFRM equity_ohlc"
    said = complaint(query)
    done = champion_sql(query)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (40, b"", f"{said}\n")
    assert said.startswith("champion sql: Code: 62. DB::Exception: Syntax error")
    assert said.endswith("(SYNTAX_ERROR)")


def test_an_unknown_column_is_clickhouses_own_sentence(served: Address) -> None:
    """With its proposal, and without the driver's words."""
    said = complaint("SELECT clos FROM equity_ohlc")
    assert said.startswith("champion sql: Code: 47. DB::Exception: Unknown expression identifier")
    assert "'close'" in said
    assert said.endswith("(UNKNOWN_IDENTIFIER)")


def test_an_error_amid_the_result_leaves_no_part_of_it(place: Address, tmp_path: Path) -> None:
    """A file that was there stays as it was."""
    output = tmp_path / "result.csv"
    output.write_text("before")
    assert "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in complaint(FAILING, "--output", str(output))
    assert output.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_an_error_amid_the_result_prints_nothing_of_it(served: Address) -> None:
    """So that the next program in a pipe takes no part for the whole."""
    assert "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in complaint("--format", "csv", FAILING)


def test_a_query_has_the_configured_time(place: Address) -> None:
    """And the message names the setting."""
    said = complaint(ENDLESS, CLICKHOUSE_QUERY_SECONDS="1")
    assert "TIMEOUT_EXCEEDED" in said
    assert "CLICKHOUSE_QUERY_SECONDS" in said


def test_a_warehouse_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """It says so, and what to do."""
    data = tmp_path / "nothing"
    said = complaint("SELECT 1", "--write", DATA_DIR=str(data))
    assert "there is no warehouse yet" in said
    assert "champion fill" in said
    assert not data.exists()


def test_a_database_that_is_not_there_is_not_made(place: Address) -> None:
    """Neither in the embedded engine nor in a server."""
    with pytest.raises(WarehouseError, match=r"there is no database nowhere yet.*champion fill"):
        open_for_questions(replace(place, database="nowhere"), write=True)
    with contextlib.closing(open_for_questions(place)) as questions:
        assert "nowhere" not in questions.execute("SHOW DATABASES")


HOLDER = """
import sys
from pathlib import Path
from champion_luigi.base import durable, locks
with locks.locked(Path(sys.argv[1]), "it", 0):
    print(flush=True)
    input()
"""


def test_an_engine_that_is_busy_is_said_to_be(embedded: Address) -> None:
    """Who holds it, and since when; after the time that --wait gives."""
    with start_python(HOLDER, str(embedded.folder.with_name("warehouse.lock"))) as holder:
        hear(holder)
        said = complaint("SELECT 1", "--wait", "0")
        tell(holder)
    assert f"process {holder.pid} " in said
    assert " since 2" in said


def test_it_waits_for_an_engine_that_is_busy(embedded: Address) -> None:
    """And says for whom."""
    with start_python(HOLDER, str(embedded.folder.with_name("warehouse.lock"))) as holder:
        hear(holder)
        with started("SELECT 1", "--wait", "60") as asking:
            assert asking.stderr is not None
            said = asking.stderr.readline()
            tell(holder)
            assert asking.communicate(timeout=60) == ("1\n-\n1\n", "")
    assert f"in use by process {holder.pid} " in said


# Reading only


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO normalized_equity_ohlc (symbol) VALUES ('X')",
        "ALTER TABLE normalized_equity_ohlc DELETE WHERE 1",
        "DROP TABLE normalized_equity_ohlc",
        "TRUNCATE TABLE normalized_equity_ohlc",
        "DROP DATABASE champion_market",
        "CREATE TABLE other (a Int8) ENGINE = MergeTree ORDER BY a",
        "CREATE TEMPORARY TABLE other (a Int8)",
        "SET readonly = 0",
        "SET readonly = 2",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "INSERT INTO FUNCTION file('{folder}/out.csv', 'CSV', 'a Int8') VALUES (1)",
        "INSERT INTO normalized_equity_ohlc (symbol) SETTINGS readonly = 0 VALUES ('X')",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:9/', 'LineAsString')",
    ],
)
def test_the_engine_itself_refuses_what_is_no_reading(questions: Questions, tmp_path: Path, statement: str) -> None:
    """Whatever the statement's text is; the message tells of --write."""
    with pytest.raises(WarehouseError, match=r"\(READONLY\)\. .*--write"):
        questions.execute(statement.format(folder=tmp_path))
    assert questions.execute("SELECT count() FROM equity_ohlc") == "2\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UNDROP TABLE normalized_equity_ohlc",
        "BACKUP TABLE normalized_equity_ohlc TO Null",
        "KILL QUERY WHERE 1",
        "/* SELECT */ DROP TABLE normalized_equity_ohlc",
        "WITH 1 AS a INSERT INTO normalized_equity_ohlc SELECT a",
        "SYSTEM STOP MERGES",
    ],
)
def test_only_reading_statements_are_sent(questions: Questions, statement: str) -> None:
    """What the engine's own protection would let pass is not run either."""
    with pytest.raises(WarehouseError, match=r"is not a reading statement\. champion sql --write runs it"):
        understood(questions, statement, write=False)


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 INTO OUTFILE '{folder}/out.csv'",
        "SELECT 1 INTO/**/OUTFILE '{folder}/out.csv' TRUNCATE FORMAT CSV",
        "SHOW TABLES INTO OUTFILE '{folder}/out.csv' -- '",
        "SELECT 1 FORMAT CSV",
        "SELECT 1 FORMAT CSV SETTINGS max_threads = 1;",
        "EXPLAIN SELECT 1 FORMAT CSV",
        "SELECT 1 PARALLEL WITH UNDROP TABLE normalized_equity_ohlc",
    ],
)
def test_a_statement_does_not_say_where_its_result_goes(
    questions: Questions, tmp_path: Path, statement: str, write: bool
) -> None:
    """INTO OUTFILE would write a file in spite of the engine's protection; --output and --format are for that."""
    with pytest.raises(WarehouseError, match="--format and --output"):
        understood(questions, statement.format(folder=tmp_path), write=write)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'INTO OUTFILE' AS `INTO OUTFILE`, 1 AS \"FORMAT CSV\"",
        r"SELECT 'it\'s; FORMAT CSV'",
        "SELECT 1 AS format",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "(SELECT 1) UNION ALL (SELECT 2);",
        "FROM equity_ohlc SELECT symbol",
        "DESCRIBE equity_ohlc",
        "EXISTS equity_ohlc",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
    ],
)
def test_a_reading_statement_gives_a_result(questions: Questions, tmp_path: Path, statement: str) -> None:
    """Whatever it begins with, and whatever its texts and names say."""
    found = understood(questions, statement, write=False)
    assert found.reads
    questions.export(found.text, "JSONEachRow", tmp_path / "result")
    assert (tmp_path / "result").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("write", [False, True])
def test_several_statements_are_refused_and_none_is_run(questions: Questions, write: bool) -> None:
    """In the embedded engine too, which would run them one after the other."""
    with pytest.raises(WarehouseError, match="only one statement at a time"):
        understood(questions, "SELECT ';'; DROP TABLE normalized_equity_ohlc", write=write)


def test_what_would_be_forgotten_is_refused(questions: Questions) -> None:
    """Each statement stands alone, so USE and SET have no effect on the next one."""
    for statement in ("USE default", "SET max_threads = 1"):
        with pytest.raises(WarehouseError, match="runs on its own"):
            understood(questions, statement, write=True)


def test_write_lets_statements_change_things(place: Address) -> None:
    """And says nothing about it in a pipe."""
    assert printed("--write", "CREATE TABLE notes (a Int8, b String) ENGINE = MergeTree ORDER BY a") == ""
    with contextlib.closing(open_for_questions(place, write=True)) as questions:
        for text in ("INSERT INTO notes VALUES (1, 'one; two')", "ALTER TABLE notes ADD COLUMN c Int8 DEFAULT 7"):
            statement = understood(questions, text, write=True)
            assert questions.execute(statement.text) == ""
        assert questions.execute("SELECT * FROM notes") == "1\tone; two\t7\n"
        questions.execute("DROP TABLE notes")


# Ending it


@pytest.mark.usefixtures("unmeasured")
def test_ctrl_c_ends_a_query_in_the_embedded_engine(embedded: Address, tmp_path: Path) -> None:
    """Within a moment, and leaves nothing."""
    with started(ENDLESS, "--output", str(tmp_path / "out.csv")) as process:
        wait_for(lambda: any(tmp_path.glob(f"{durable.LEFTOVER_PREFIX}*")), "the query to run")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, 40)
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unmeasured")
def test_ctrl_c_ends_a_query_in_a_server(served: Address) -> None:
    """There too: it does not go on without anybody to read its result."""
    running = "SELECT count() FROM system.processes WHERE query LIKE '%numbers(10000000000' || '00)%'"
    with contextlib.closing(open_for_questions(served)) as questions, started(ENDLESS) as process:
        wait_for(lambda: questions.execute(running) != "0\n", "the query to run")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        wait_for(lambda: questions.execute(running) == "0\n", "the query to end")
    assert process.returncode not in (0, 40)
    assert "Traceback" not in said


# On a terminal


def test_a_terminal_gets_what_fits(embedded: Address, on_terminal: OnTerminal) -> None:
    """100 rows, and the columns that its width has room for; a note says what is left out."""
    terminal = on_terminal("SELECT number AS n, repeat('x', 40) AS x, repeat('y', 40) AS y FROM numbers(1234)")
    assert terminal.end() == 0, terminal.seen
    lines = terminal.seen.splitlines()
    assert lines[2:102] == [f"{number:>2}  {'x' * 40}" for number in range(100)]
    assert " ".join(lines[102:]) == "(100 rows, and 1,134 more; columns that did not fit: y)"


def test_a_terminal_does_not_wait_for_the_last_of_very_many_rows(place: Address, on_terminal: OnTerminal) -> None:
    """The engine stops when there are enough to tell."""
    terminal = on_terminal("SELECT number FROM numbers(1000000000000)")
    assert terminal.end() == 0, terminal.seen
    assert "(100 rows, and at least " in terminal.seen.splitlines()[-1]


def test_a_terminal_gets_no_binary_format(embedded: Address, on_terminal: OnTerminal) -> None:
    """A usage error, which says what to do."""
    terminal = on_terminal("--format", "parquet", "SELECT 1")
    assert terminal.end() == 2
    assert "--output" in terminal.seen


@pytest.mark.usefixtures("unmeasured")
def test_the_prompt_answers_until_it_is_left(place: Address, tmp_path: Path, on_terminal: OnTerminal) -> None:
    """An error does not leave it, and neither does Ctrl-C; the lines are kept for the next time."""
    terminal = on_terminal()
    terminal.wait_for("champion> ")
    for typed, answer in (
        ("SELECT 6 * 7 AS answer", "    42\n(1 row)"),
        ("SELEC 1", "(SYNTAX_ERROR)"),
        ("DROP TABLE normalized_equity_ohlc;", "--write"),
        ("SELECT symbol \\\nFROM equity_ohlc\nORDER BY symbol;", "ALPHA\nBETA&Z\n(2 rows)"),
    ):
        terminal.type(f"{typed}\n")
        terminal.wait_for(answer)
        terminal.wait_for("champion> ")
    terminal.type("half a statement")
    terminal.wait_for("half a statement")
    terminal.interrupt_line()
    terminal.type(f"{ENDLESS}\n")
    terminal.wait_for(ENDLESS)
    terminal.process.send_signal(signal.SIGINT)
    terminal.wait_for("champion> ")
    terminal.type("\\q\n")
    assert terminal.end() == 0, terminal.seen
    history = tmp_path / ".champion_sql_history"
    assert history.stat().st_mode & 0o077 == 0
    assert history.read_text().splitlines()[:2] == ["SELECT 6 * 7 AS answer", "SELEC 1"]


@pytest.mark.faults
@pytest.mark.parametrize("seed", campaign.rounds(fast=1, full=20))
@pytest.mark.usefixtures("unmeasured")
def test_ctrl_c_at_any_moment_leads_back_to_the_prompt(place: Address, on_terminal: OnTerminal, seed: int) -> None:
    """While a line is read, a connection is made, a query begins or runs: it is ended, and the next one answers."""
    dice = random.Random(seed)
    terminal = on_terminal()
    terminal.wait_for("champion> ")
    for most in (0, 0, 0.01, 0.03, 0.03, 0.1, 0.1, 0.2, 0.2):
        terminal.type(f"{ENDLESS}\n")
        time.sleep(dice.uniform(0, most))
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("champion> ")
    # What an interrupt left of the last line is not of the next one.
    terminal.type("\n")
    terminal.type("SELECT 6 * 7 AS answer\n")
    terminal.wait_for("    42\n(1 row)")
    campaign.tell(
        "Ctrl-C",
        f"SIGINT in a prompt of `champion sql`, on {'a server' if place.host else 'the embedded engine'}, nine times, "
        "at random moments of a statement that would not end",
        "each ends the statement and leads back to the prompt, and the next statement answers",
    )


def test_ctrl_d_leaves_the_prompt(embedded: Address, on_terminal: OnTerminal) -> None:
    """As it does everywhere."""
    terminal = on_terminal()
    terminal.wait_for("champion> ")
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.seen


def test_the_prompt_holds_the_engine_for_its_statements_alone(embedded: Address, on_terminal: OnTerminal) -> None:
    """A fill does not wait until somebody goes home."""
    terminal = on_terminal()
    terminal.wait_for("champion> ")
    terminal.type("SELECT 1\n")
    terminal.wait_for("champion> ")
    with contextlib.closing(open_for_questions(embedded)) as questions:
        assert questions.execute("SELECT 1") == "1\n"
    terminal.type("\\q\n")
    assert terminal.end() == 0, terminal.seen


# What is typed wrong


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the QUERY is empty"),
        ([" ; "], "the QUERY is empty"),
        (["SELECT 1", "--output", "prices.xlsx"], "give --format"),
        (["SELECT 1", "--output", "/dev/null/prices.csv"], "--output: the folder /dev/null cannot be made"),
        (["SELECT 1", "--format", "xml"], "xml"),
        (["SELECT 1", "--wait", "-1"], "--wait"),
    ],
)
def test_a_usage_error_exits_2(arguments: list[str], words: str) -> None:
    """And says which argument cannot be used."""
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_every_format_can_be_named() -> None:
    """The command knows them before it imports what writes them."""
    [option] = [each for each in command.params if each.name == "form" and isinstance(each.type, click.Choice)]
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == list(sql.FORMATS)


def test_it_tells_of_its_options() -> None:
    """With what they do."""
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    for option in ("--format", "--json", "--output", "--write", "--wait"):
        assert option in result.output
