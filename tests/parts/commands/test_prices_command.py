"""`champion prices` and `champion actions`: tables, files for other programs, and charts."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import priced_lake
import pytest
from helpers import champion_here, run_champion, without
from priced_lake import DAYS

from champion_luigi.commands import table
from champion_luigi.commands.prices import chart, terminal
from champion_luigi.commands.prices.ticks import days_between, values_between
from champion_luigi.config import settings


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that no test changes."""
    data = tmp_path_factory.mktemp("data")
    with settings.overridden({"data_dir": str(data), "lake_dir": str(data / "lake")}):
        priced_lake.fill(settings.lake_dir())
    return data


@pytest.fixture(autouse=True)
def _configured(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(filled))


def printed(*arguments: str) -> str:
    """What a command prints."""
    done = champion_here(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*arguments: str) -> str:
    """What a command says that ends with an error."""
    done = champion_here(*arguments)
    assert done.returncode != 0
    return done.stderr


# Tables


def test_a_range_without_prices_is_said() -> None:
    """An empty table alone leaves open whether symbol, range or data are at fault."""
    done = champion_here("prices", "ALPHA", "--start", "2030-01-01")
    assert done.returncode == 0
    assert done.stderr == f"champion prices: no prices of ALPHA in this range; the newest session is {DAYS[-1]}\n"


def test_a_pipe_gets_the_whole_table() -> None:
    """With two decimals, and nothing cut."""
    assert printed("prices", "alpha", "--start", "2024-03-11", "--end", "2024-03-12").splitlines() == [
        "trade_date  symbol  instrument   open   high    low  close  volume",
        "----------  ------  ----------  -----  -----  -----  -----  ------",
        "2024-03-11  ALPHA   ALPHA       21.80  22.40  21.60  22.00     500",
        "2024-03-12  ALPHA   ALPHA       21.00  24.00  20.00  22.00     100",
    ]


def test_a_terminal_gets_the_last_rows_and_the_columns_that_fit() -> None:
    """A note says what was left out."""
    rows = pl.DataFrame({"day": DAYS, "factor": [4 / 3] * 10, "volume": [1234567.5] * 10, "text": ["long" * 20] * 10})
    assert list(table.lines(rows, "row", columns=40, most_rows=2)) == [
        "day          factor     volume",
        "----------  -------  ---------",
        "2024-03-15  1.33333  1,234,568",
        "2024-03-18  1.33333  1,234,568",
        "(the last 2 of 10 rows; columns that did not fit: text)",
    ]


def test_columns_and_adjustment_can_be_chosen() -> None:
    """As in Python."""
    found = printed(
        "prices", "GAMMA", "--adjusted", "total_return", "--fields", "close,unadjusted", "--as-of", str(DAYS[5])
    )
    assert found.splitlines()[2].split() == ["2024-03-04", "GAMMA", "GAMMA", "95.00", "0"]


# Files


def test_csv_has_every_digit_and_no_ornaments(tmp_path: Path) -> None:
    """ISO dates, decimal points: a spreadsheet opens it unchanged."""
    path = tmp_path / "beta.csv"
    assert printed("prices", "BETA", "--output", str(path)) == ""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="ascii"))))
    assert list(rows[0]) == ["trade_date", "symbol", "instrument", "open", "high", "low", "close", "volume"]
    assert rows[0]["trade_date"] == "2024-03-04"
    assert float(rows[0]["open"]) == 59 / 1.5
    assert "e" not in rows[0]["open"]


def test_parquet_holds_the_frame(tmp_path: Path) -> None:
    """As Python gives it; the file's folder is made."""
    import champion_luigi

    path = tmp_path / "new" / "alpha.parquet"
    printed("prices", "ALPHA", "--output", str(path))
    assert pl.read_parquet(path).equals(champion_luigi.prices("ALPHA"))


def test_amibroker_gets_its_commands_and_one_ticker_for_all_names() -> None:
    """Dates as 20240304, a line a day, in the order that the first line states."""
    lines = printed("prices", "OLDBETA", "--format", "amibroker").splitlines()
    commands = [line for line in lines if line.startswith("$")]
    assert commands[0] == "$FORMAT Ticker, Date_YMD, Open, High, Low, Close, Volume"
    assert "$SEPARATOR ," in commands
    assert "$SKIPLINES 0" in commands
    days = [line.split(",") for line in lines[len(commands) :]]
    assert [(day[0], day[1]) for day in days] == [("BETA", f"{day:%Y%m%d}") for day in DAYS]
    assert [float(number) for number in days[-1][2:]] == [55, 58, 54, 56, 100]


def test_a_price_that_was_not_recorded_is_the_close_for_amibroker() -> None:
    """It would read an empty price as 0."""
    from champion_luigi.commands.prices import files

    row = {"trade_date": DAYS[0], "symbol": "A", "instrument": "A", "open": None, "high": None, "low": None}
    frame = pl.DataFrame(
        row | {"close": 5.0, "volume": 1e17}, schema_overrides=dict.fromkeys(["open", "high", "low"], pl.Float64)
    )
    assert files.amibroker(frame, {"A": "A"}).decode().splitlines()[-1] == "A,20240304,5,5,5,5,100000000000000000"


# Charts


def test_a_chart_is_drawn_on_the_terminal() -> None:
    """With its title, unit, source, marks and the actions that it could not be adjusted for."""
    found = printed("prices", "ALPHA", "GAMMA", "--plot")
    assert found.startswith("ALPHA, GAMMA: daily close, adjusted for splits and bonuses\n")
    words = "rupees, logarithmic scale. Source: NSE bhavcopy, prices to 2024-03-18. 1 action without a known ratio"
    assert words in " ".join(found.split())
    assert "▲ ALPHA 2024-03-12 split 10 to 2" in found
    assert re.search(r"[\u2801-\u28ff]", found)


def test_a_chart_on_a_terminal_keeps_to_its_width() -> None:
    """And one price, or one day, is no reason to fail."""
    line = chart.Line("A", [DAYS[0]], [10.0])
    alone = chart.Chart("A", "rupees", [line], [], [], is_log=False)
    years = [date(2000, 1, 3) + timedelta(days=30 * number) for number in range(300)]
    long = chart.Line("B", years, [1.02**number for number in range(300)])
    both = chart.Chart("B", "rupees", [long, chart.Line("C", years, [7.0] * 300)], [], [], is_log=True)
    for each in (alone, both):
        drawn = list(terminal.drawn(each, 60, 20, in_color=False))
        assert max(map(len, drawn)) <= 60
        assert 15 <= len(drawn) <= 20


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_a_chart_is_drawn_into_a_file(tmp_path: Path, name: str, start: bytes) -> None:
    """Without a display, the same bytes each time; text in an SVG is text."""
    path, again = tmp_path / name, tmp_path / f"again-{name}"
    for each in (path, again):
        assert printed("prices", "ALPHA", "GAMMA", "--plot", str(each)) == ""
    content = path.read_bytes()
    assert content.startswith(start)
    assert content == again.read_bytes()
    if name.endswith("svg"):
        for text in ("adjusted for splits and bonuses", "split 10 to 2", "rupees", "Source: NSE bhavcopy"):
            assert text in content.decode()


def test_ticks_are_round() -> None:
    """On both scales, for short and long ranges."""
    assert values_between(3, 1200, is_log=True, most=8) == [5, 10, 20, 50, 100, 200, 500, 1000]
    assert values_between(98, 131, is_log=False, most=5) == [100, 110, 120, 130]
    assert values_between(0.002, 3000, is_log=True, most=4) == [0.01, 1, 100]
    assert values_between(7, 7, is_log=False, most=5) == [7]
    assert [text for _, text in days_between(date(1996, 5, 2), date(2026, 5, 2), 8)] == [
        "2000",
        "2005",
        "2010",
        "2015",
        "2020",
        "2025",
    ]
    assert [text for _, text in days_between(date(2024, 1, 15), date(2024, 4, 2), 8)] == [
        "2024-02",
        "2024-03",
        "2024-04",
    ]
    assert [text for _, text in days_between(DAYS[0], DAYS[2], 3)] == ["2024-03-04", "2024-03-05", "2024-03-06"]


# What cannot be done


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ALFA"], "Did you mean ALPHA"),
        (["--plot"], "give one or more SYMBOLS"),
        (["--plot", "ALPHA"], "neither in .png nor in .svg; a symbol goes before --plot"),
        (["ALPHA", "--plot", "/dev/null/a.png"], "--plot: the folder /dev/null cannot be made"),
        (["ALPHA", "--output", "/dev/null/new/a.csv"], "--output: the folder /dev/null/new cannot be made"),
        (["ALPHA", "--output", "a.xlsx"], "give --format"),
        (["ALPHA", "--start", "2024-03-05", "--end", "2024-03-04"], "is after --end"),
        (["ALPHA", "--format", "amibroker", "--fields", "close"], "columns of its own"),
        (["ALPHA", "--fields", "closing"], "no such field"),
    ],
)
def test_what_cannot_be_done_is_explained(arguments: list[str], words: str) -> None:
    """In one sentence."""
    assert words in refused("prices", *arguments)


@pytest.mark.integration
def test_a_missing_library_is_named_with_the_extra_that_has_it(tmp_path: Path) -> None:
    """Charts are an extra."""
    done = run_champion("prices", "ALPHA", "--plot", **without(tmp_path, "plotille"))
    assert "not installed: plotille" in done.stderr
    assert "champion-luigi[plot]" in done.stderr


@pytest.mark.integration
def test_a_terminal_without_dots_is_told_of_pictures() -> None:
    """Its encoding has no characters to draw with."""
    done = run_champion("prices", "ALPHA", "--plot", PYTHONIOENCODING="latin-1")
    assert done.returncode != 0
    assert "has no dots to draw with" in done.stderr
    assert "--plot chart.png" in done.stderr


# Actions


def test_actions_are_shown_with_factors_and_remarks() -> None:
    """By ex-date, under every name of the company."""
    assert printed("actions", "OLDBETA", "GAMMA").splitlines() == [
        "ex_date     symbol  kind            factor  counts_in     purpose            remarks",
        "----------  ------  -------------  -------  ------------  -----------------  -----------------------",
        "2024-03-11  BETA    symbol_change                                            formerly OLDBETA",
        "2024-03-12  GAMMA   dividend       1.05263  total_return  DIV - RS 5 PER SH",
        "2024-03-14  BETA    bonus              1.5  splits        BONUS 1:2",
        "2024-03-15  GAMMA   demerger                              DEMERGER           the terms give no ratio",
    ]


def test_unadjusted_actions_are_listed_for_everybody() -> None:
    """As CSV and JSON with every column."""
    rows = list(csv.DictReader(io.StringIO(printed("actions", "--unadjusted", "--format", "csv"))))
    [found] = json.loads(printed("actions", "--unadjusted", "--format", "json"))
    assert [row["symbol"] for row in rows] == ["GAMMA"]
    assert list(rows[0]) == list(found)
    assert (found["kind"], found["ex_date"], found["factor"]) == ("demerger", "2024-03-15", None)
    assert printed("actions", "GAMMA", "--as-of", "2024-03-12").count("\n") == 3


@pytest.mark.integration
def test_help_imports_no_polars() -> None:
    """Nor do the help texts of these commands."""
    for arguments in (["--help"], ["prices", "--help"], ["actions", "--help"]):
        done = run_champion(*arguments, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 0
        assert not re.search(r"\|\s+(polars|matplotlib|plotille|pyarrow)$", done.stderr, re.MULTILINE)
