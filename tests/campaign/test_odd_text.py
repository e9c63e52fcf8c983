"""Texts of a published file that mean something elsewhere, SQL or HTML or a formula: they stay data all the way.

One file has them in every column that is text: symbol, series, ISIN, name. Another is refused, with such texts in its
error. Both go through the real commands, and what comes out at each end is compared with what was published.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import browser
import campaign
import duckdb
import mlflow_server
import polars as pl
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
from clickhouse_server import ClickHouseServer, unavailable
from conftest import environment_variables
from helpers import AT_ONCE, archive_path, lines_of, payload, publish, wait_for
from luigid_server import luigid

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.storage import lake
from champion_luigi.tracking import journal
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    # MLflow's own use of what SQLAlchemy deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

AREA = "Inputs"
DAY = date(2024, 7, 9)
# Its file is refused for most of its rows, its error quotes them.
REFUSED = date(2024, 7, 10)
# Its file is a damaged zip.
DAMAGED = date(2024, 7, 11)
FILL = ("fill", "--start", str(DAY), "--stop", "2024-07-12")

SCRIPT = "<script>window.taken = document.title = 'taken'</script>"
IMAGE = "<img src=x onerror=\"window.taken = document.title = 'taken'\">"
ODD = (
    *(
        "O'Brien",
        "''",
        'say "hi"',
        '"',
        '""',
        ",",
        "a,b",
        "back\\slash",
        "\\",
        "\\N",
        "\\n",
        "C:\\new\\table",
        "`ohlc`",
    ),
    *("'; DROP TABLE normalized_equity_ohlc; --", "1 OR 1=1", "/* */", "--", ");", "a;b", "x' || sleep(3) || '"),
    *(SCRIPT, IMAGE, "</script></pre>", "&amp;&lt;", "<!--", "]]>", "javascript:alert(1)"),
    *("=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://example.com","here")', "=cmd|' /C calc'!A0", "|x"),
    *(
        "{{7*7}}",
        "{clickhouse}",
        "{0}",
        "{x:String}",
        "%s",
        "%(x)s",
        "100%",
        "${HOME}",
        "$(id)",
        "`id`",
        "#{1}",
        "[b]x[/b]",
    ),
    *("NULL", "null", "NaN", "None", "NA", "true", "0", "1e5", "2024-07-09"),
    *("a\x00b", "\x01", "a\tb", "a\rb", "a\x0bb", "a\x1b[31mred", "a\x08b", "\x7f", "a\x85b", "a\u2028b", "a\u2029b"),
    *("é", "e\u0301", "रुपया ₹", "日本", "ΑΒΓ", "🚀", "👩‍👩‍👧", "\U0010ffff", "\ufffd", "\ufeffx", "\u200b", "a\u00a0b"),
    *("\u202egnp.exe", "a\u200fb", "\u2066x\u2069", "L" * 20_000, "é" * 5_000),
)
# Blanks around a text are no part of it.
BLANK_AT_THE_ENDS = (" inner blank ", "\t=2+2", "tail\t ", "\u2003wide\u00a0")
TEXTS = (*ODD, *(text.strip() for text in BLANK_AT_THE_ENDS))
OTHER_ERROR = " ".join(each for each in ODD if len(each) < 100)
QUERY = "SELECT symbol, series, isin, name FROM equity_ohlc WHERE volume = 4711 ORDER BY symbol, series"

Row = tuple[str, str, str, str]


def odd_rows() -> list[Row]:
    """Symbol, series, ISIN and name of every odd row, as published."""
    texts = (*ODD, *BLANK_AT_THE_ENDS)
    return [
        (text, *(texts[(at + step) % len(texts)] for step in (1, 2, 3)))  # type: ignore[misc]
        for at, text in enumerate(texts)
    ]


def expected() -> list[Row]:
    """The same as they are to come out, in the order of bytes."""
    rows = [(one.strip(), two.strip(), three.strip(), four.strip()) for one, two, three, four in odd_rows()]
    return sorted(rows, key=lambda row: (row[0].encode(), row[1].encode()))


def odd_line(row: Row, close: str = "11.00") -> str:
    """A line of UDiFF with these texts, quoted as CSV has it."""
    symbol, series, isin, name = row
    fields = [f"{DAY}", f"{DAY}", "CM", "NSE", "STK", "101", isin, symbol, series, "", "", "", "", name]
    fields += [
        "10.50",
        "11.25",
        "10.00",
        close,
        "11.05",
        "10.40",
        "",
        "11.00",
        "",
        "",
        "4711",
        "16250.75",
        "42",
        "F1",
        "1",
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow([*fields, "", "", "", "", ""])
    return text.getvalue()


def published(archive: Path) -> None:
    """The three days' files. In the first one each odd line stands twice, with another price."""
    header, *plain = lines_of(payload(DAY, "udiff"))
    odd = odd_rows()
    again = [odd_line(row, "99.00") for row in odd[:70]]
    publish(archive, DAY, "udiff", [header, *plain, *map(odd_line, odd), *again])
    bad = [odd_line(row, "none").replace(str(DAY), str(REFUSED)) for row in odd if row[0] in (SCRIPT, IMAGE, "{{7*7}}")]
    publish(archive, REFUSED, "udiff", [header, *bad])
    file = archive / archive_path("udiff", DAMAGED).lstrip("/")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr(IMAGE, "\n".join([header, *plain]))
    content = bytearray(buffer.getvalue())
    content[content.index(b"PK\x01\x02") + 16] ^= 0xFF
    file.write_bytes(content)


@dataclass(frozen=True)
class Filled:
    """A DATA_DIR after a fill, and the environment that it was made in."""

    data: Path
    environment: dict[str, str]

    @property
    def engine(self) -> str:
        return "a server" if "CLICKHOUSE_HOST" in self.environment else "the embedded engine"

    def champion(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        program = str(Path(sys.executable).with_name("champion"))
        return subprocess.run(
            [program, *arguments],
            env=self.environment,
            cwd=self.data,
            capture_output=True,
            timeout=120,
            check=False,
        )


def filled(folder: Path, *arguments: str, **more: str) -> Filled:
    """The three days, filled by the command: the first is loaded, the others fail."""
    published(folder / "archive")
    clean = {name: text for name, text in os.environ.items() if name not in environment_variables()}
    clean |= AT_ONCE
    clean |= {"DATA_DIR": str(folder / "data"), "NSE_ARCHIVE_URL": str(folder / "archive")}
    made = Filled(folder / "data", clean | {"CHAMPION_TRACKING": "journal", "PYTHONIOENCODING": "utf-8", **more})
    mlflow_server.empty_store(made.data / "mlflow" / "mlflow.db")
    # What an earlier process left behind: an error in other words than ours, to be carried to MLflow with the rest.
    record = {"execution": "earlier", "task": "LoadClickHouse", "date": DAY}
    journal.append(made.data / "journal", {**record, "event": "failure", "error": OTHER_ERROR, "error_type": "E"})
    journal.append(made.data / "journal", {"event": "end", "execution": "earlier"})
    done = made.champion(*FILL, *arguments)
    assert done.returncode == 30, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with luigid(tmp_path_factory.mktemp("luigid")) as port:
        yield port


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, central: int) -> Filled:
    """Filled through the central scheduler, and told to MLflow."""
    return filled(
        tmp_path_factory.mktemp("embedded"),
        *("--scheduler-host", "127.0.0.1", "--scheduler-port", str(central)),
        CHAMPION_TRACKING="on",
        CHAMPION_TRACKING_WAIT="100",
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, server: ClickHouseServer) -> Filled:
    return filled(
        tmp_path_factory.mktemp("served"),
        CLICKHOUSE_HOST=server.host,
        CLICKHOUSE_PORT=str(server.port),
        CLICKHOUSE_USER=server.user,
        CLICKHOUSE_PASSWORD=server.password,
    )


@pytest.fixture(params=["embedded", "served"] if campaign.IS_WHOLE else ["embedded"])
def place(request: pytest.FixtureRequest) -> Filled:
    found: Filled = request.getfixturevalue(request.param)
    return found


# Files


def test_the_lake_has_every_text_as_published(embedded: Filled) -> None:
    """For each of the programs that read it."""
    file = lake.partition(embedded.data / "lake", DAY, EQUITY)
    columns = ["symbol", "series", "isin", "name"]
    in_polars = lake.scan(embedded.data / "lake").filter(pl.col("volume") == 4711).select(columns).collect().rows()
    in_arrow = pyarrow.parquet.read_table(file, filters=[("volume", "=", 4711)], columns=columns).to_pylist()
    with duckdb.connect() as connection:
        asked = f"SELECT symbol, series, isin, name FROM read_parquet('{file}') WHERE volume = 4711"
        in_duckdb = connection.execute(asked).fetchall()
    key = lambda row: (row[0].encode(), row[1].encode())  # noqa: E731 - the order of `expected`
    assert sorted(in_polars, key=key) == expected()
    assert sorted((tuple(row.values()) for row in in_arrow), key=key) == expected()
    assert sorted(in_duckdb, key=key) == expected()
    tell("read from the lake by Polars, pyarrow and DuckDB: each text as published, byte for byte")


def test_rejects_keep_every_line_of_a_key_that_stands_already(embedded: Filled) -> None:
    """One JSON object a line, whatever ends a line elsewhere; the first line of a key stays."""
    content = (embedded.data / "rejects" / "2024" / f"bhavcopy_{DAY:%Y%m%d}.jsonl").read_bytes()
    rejects = [json.loads(line) for line in content.decode().rstrip("\n").split("\n")]
    assert [each["text"] for each in rejects] == [odd_line(row, "99.00") for row in odd_rows()[:70]]
    assert {each["rule"] for each in rejects} == {"duplicate_key"}
    closes = lake.scan(embedded.data / "lake").filter(pl.col("volume") == 4711).select("close").unique().collect()
    assert closes.rows() == [(11.0,)]
    campaign.tell(
        AREA,
        "the same odd key (symbol and series) twice in one file, with another price",
        "the first line stands; the second is a reject with its text as published, one JSON line each",
        count=len(rejects),
    )


# The warehouse

FORMATS = ("csv", "json", "parquet", "arrow")


@pytest.mark.parametrize("form", FORMATS if campaign.IS_WHOLE else FORMATS[:1])
def test_champion_sql_gives_every_text_as_published(place: Filled, form: str, tmp_path: Path) -> None:
    """In each format that a program reads; a text that a spreadsheet would take for a formula is no exception."""
    done = place.champion("sql", QUERY, "--format", form)
    assert done.returncode == 0, done.stderr
    assert read(done.stdout, form) == expected()
    tell(f"read by champion sql --format {form} from {place.engine}: byte for byte, formulas included")


def read(content: bytes, form: str) -> list[Row]:
    if form == "csv":
        _, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
        return [(row[0], row[1], row[2], row[3]) for row in rows]
    if form == "json":
        found = [json.loads(line) for line in content.decode().rstrip("\n").split("\n")]
        return [(row["symbol"], row["series"], row["isin"], row["name"]) for row in found]
    table = pl.read_parquet(content) if form == "parquet" else pl.read_ipc_stream(content)
    return [(str(row[0]), str(row[1]), str(row[2]), str(row[3])) for row in table.rows()]


def test_a_table_shows_a_row_a_line_and_moves_no_cursor(place: Filled) -> None:
    """What cannot be printed stands there as its code, and columns stay aligned."""
    done = place.champion("sql", QUERY)
    assert done.returncode == 0, done.stderr
    [_, _, *lines] = done.stdout.decode().rstrip("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    for line, (symbol, *_) in zip(lines, expected(), strict=True):
        if symbol.isprintable():
            assert line.startswith(symbol + " ")
    tell(f"shown as a table by champion sql from {place.engine}: a row a line, what cannot be printed as its code")


def test_a_lone_column_of_text_breaks_no_line_at_a_backslash(embedded: Filled) -> None:
    """`C:\\new` is one line; only a text that really has several is shown as several."""
    done = embedded.champion("sql", "SELECT symbol FROM equity_ohlc WHERE volume = 4711 ORDER BY symbol, series")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().rstrip("\n").split("\n")
    assert len(lines) == len(TEXTS) + 2
    assert "C:\\new\\table" in lines


def test_a_restatement_takes_odd_keys_away_and_leaves_the_others(
    server: ClickHouseServer, tmp_path: Path, embedded: Filled
) -> None:
    """A load with half of the keys leaves exactly that half, in a server and in the embedded engine."""
    rows = lake.scan(embedded.data / "lake").filter(pl.col("volume") == 4711).collect()
    half = rows[::2]
    for where in (
        Address(server.host, server.port, server.user, server.password, database="restated"),
        Address(folder=tmp_path / "warehouse"),
    ):
        table = open_warehouse(where)
        try:
            assert table.load(EQUITY, DAY, rows).rows == len(TEXTS)
            assert table.load(EQUITY, DAY, half).removed == len(TEXTS) - half.height
            left = table.query(f"SELECT symbol, series FROM {where.database}.equity_ohlc ORDER BY symbol, series")
            assert left == sorted(half.select("symbol", "series").rows(), key=lambda row: row[0].encode())
        finally:
            table.close()
    tell("half of the keys gone in a restatement, embedded and on a server: exactly the other half is left")


# Pages

in_browser = pytest.mark.skipif(browser.find() is None, reason="there is no Chromium here (CHROMIUM names one)")


@pytest.fixture(scope="module")
def tab() -> Iterator[browser.Browser]:
    with browser.running() as running:
        yield running


@in_browser
def test_a_report_shows_them_as_text(tab: browser.Browser, embedded: Filled, tmp_path: Path) -> None:
    """The refused day's error is read on the page as it is; no script of it runs, and nothing is asked for."""
    path = tmp_path / "report.html"
    done = embedded.champion("report", "--start", str(DAY), "--end", str(DAMAGED), "--output", str(path))
    assert done.returncode == 0, done.stderr
    tab.open(path)
    problems = tab.evaluate("document.getElementById('problems').textContent")
    assert "<script>window.taken = " in problems
    assert "Bad CRC-32 for file '<img src=x onerror=" in problems
    assert tab.evaluate("typeof window.taken") == "undefined"
    assert tab.evaluate("document.querySelectorAll('img').length") == 0
    assert tab.evaluate("document.title") == f"Bhavcopy coverage, {DAY} to {DAMAGED}"
    assert tab.requests == [path.resolve().as_uri()]
    assert tab.complaints == []
    campaign.tell(AREA, MARKUP, "champion report in a browser: shown as text, no script runs, nothing is asked for")


MARKUP = "HTML and scripts as symbols, and as the name of the file in a damaged zip, so that errors quote them"
# Rows of the visualiser's table that have these texts.
ROWS = """window.rows = (...texts) => [...document.querySelectorAll("#taskTable tbody tr")].filter(
    row => texts.every(text => row.innerText.includes(text)))"""


@in_browser
def test_the_visualiser_shows_them_as_text(tab: browser.Browser, embedded: Filled, central: int) -> None:
    """Errors, and status messages too, which Luigi's page takes for HTML half a second after they are opened."""
    tab.open(f"http://127.0.0.1:{central}/static/visualiser/index.html")
    tab.evaluate(f"void ({ROWS})")
    wait_for(lambda: tab.evaluate("rows('NormalizeBhavcopy').length") > 0, "the page to be drawn")
    tab.evaluate("void $('#taskTable').DataTable().page.len(-1).draw()")
    error, status = (f"(document.querySelector('#{each}Modal pre') || {{}}).innerText || ''" for each in POP_UPS)
    for task, day, text in (
        ("NormalizeBhavcopy", REFUSED, "<script>window.taken = "),
        ("ScrapeBhavcopy", DAMAGED, "Bad CRC-32 for file '<img src=x onerror="),
    ):
        tab.evaluate(f"rows('{task}', '{day}')[0].querySelector('.showError').click()")
        wait_for(lambda text=text: text in tab.evaluate(error), "the error to be shown")  # type: ignore[misc]
        tab.evaluate("document.querySelector('#errorModal').replaceChildren()")
    tab.evaluate(f"rows('ScrapeBhavcopy', '{DAMAGED}')[0].querySelector('.statusMessage').click()")
    wait_for(lambda: has_asked_again(tab), "the message to be refreshed")
    assert "Bad CRC-32 for file '<img src=x onerror=" in tab.evaluate(status)
    assert tab.evaluate("document.querySelectorAll('#statusMessageModal img').length") == 0
    assert tab.evaluate("typeof window.taken") == "undefined"
    assert "taken" not in tab.evaluate("document.title")
    campaign.tell(AREA, MARKUP, "Luigi's visualiser, errors and status message open: shown as text, no script runs")


POP_UPS = ("error", "statusMessage")


def has_asked_again(tab: browser.Browser) -> bool:
    """Whether the page has what it asked for about the open message; a question more means that it has answered."""
    tab.evaluate("0")
    return sum("get_task_status_message" in each for each in tab.requests) >= 3


# MLflow


def test_mlflow_has_an_error_as_it_is(embedded: Filled) -> None:
    """As the parameter `error`: the sentence that quotes the payload, and any other text byte for byte."""
    runs = mlflow_server.runs_in(f"sqlite:///{embedded.data}/mlflow/mlflow.db", "nse-bhavcopy-pipeline")
    errors = [run.data.params["error"] for run in runs if "error" in run.data.params]
    assert any(OTHER_ERROR in each for each in errors)
    assert any("<script>window.taken = " in each for each in errors)
    assert any("Bad CRC-32 for file '<img src=x onerror=" in each for each in errors)
    campaign.tell(
        AREA,
        "errors that quote such texts, or consist of them",
        "carried to MLflow as the parameter error: byte for byte",
        count=len(errors),
    )


def tell(outcome: str) -> None:
    campaign.tell(
        AREA,
        "a file with quotes, SQL, HTML, formulas, template markers, control characters, NUL, emoji, right-to-left "
        "marks, 20,000 letters as symbol, series, ISIN and name",
        outcome,
        count=len(TEXTS),
    )
