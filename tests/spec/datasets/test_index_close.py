"""Index closes: the files' dates, numbers and gaps, in hand-written, simulated and real ones."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl
import pytest

from champion_luigi.datasets.index_close import FIRST_DATE, INDEX_CLOSE, NOT_PUBLISHED
from champion_luigi.exchange import sessions
from champion_luigi.simulated.exchange import payload, respond

[SOURCE] = INDEX_CLOSE.sources
[LAYOUT] = INDEX_CLOSE.layouts
PUBLISHED = INDEX_CLOSE.published_columns(SOURCE.name)
DAY = date(2024, 1, 15)
HEADER = (
    "Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,Closing Index Value,Points Change,"
    "Change(%),Volume,Turnover (Rs. Cr.),P/E,P/B,Div Yield"
)
# A session in each of the years, in all kinds of quarters.
DAYS = [day for day in sessions.sessions(FIRST_DATE, date(2026, 11, 1))[::73] if day not in NOT_PUBLISHED]

Row = dict[str, str]


def file(*lines: str, end: str = "\n") -> bytes:
    """A hand-written file."""
    return end.join([HEADER, *lines, ""]).encode()


def rows(content: bytes) -> list[Row]:
    """A file's rows by the canonical columns' names, as text; a row too long or too short is an error."""
    header, *lines = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    assert tuple(header) == LAYOUT.columns
    at = {name: header.index(column) for name, column in PUBLISHED.items()}
    assert [line for line in lines if len(line) != len(header)] == []
    return [{name: line[place].strip() for name, place in at.items()} for line in lines]


def simulated(day: date) -> bytes:
    """A simulated day's file."""
    content = payload(day, SOURCE.name, INDEX_CLOSE)
    assert content is not None
    return content


def number(text: str) -> Decimal | None:
    """A number as written; None for what stands for none."""
    return None if text in INDEX_CLOSE.nulls else Decimal(text)


def faults(content: bytes, day: date) -> list[str]:
    """What of a file is not as the data set declares it, one sentence each."""
    return [f"{row['index_name']}: {fault}" for row in rows(content) for fault in _faults(row, day)]


def _faults(row: Row, day: date) -> Iterator[str]:
    if INDEX_CLOSE.read_date(row["trade_date"], day) != day:
        yield f"date {row['trade_date']}"
    for column in INDEX_CLOSE.columns:
        if column.name not in row or not (column.is_number or column.required):
            continue
        text = row[column.name]
        if text in INDEX_CLOSE.nulls:
            if column.required:
                yield f"no {column.name}"
            continue
        if not column.is_number:
            continue
        try:
            value = Decimal(text)
        except InvalidOperation:
            yield f"{column.name} {text!r} is no number"
            continue
        if value < 0 and not column.signed:
            yield f"{column.name} {text} is negative"
        if column.kind.type == "Int64" and value != int(value):
            yield f"{column.name} {text} is no whole number"


# Dates and places


def test_a_days_file_has_the_date_in_its_name() -> None:
    """Day, month and year without anything between."""
    path = "/content/indices/ind_close_all_15012024.csv"
    assert SOURCE.path_of(DAY) == path
    assert SOURCE.day_of(path) == DAY
    assert INDEX_CLOSE.of_path(path) == (SOURCE, DAY)


@pytest.mark.parametrize("name", ["ind_close_all_31022024.csv", "ind_close_all_1512024.csv", "ind_close_15012024.csv"])
def test_other_files_of_the_folder_are_not_this_data_sets(name: str) -> None:
    """Nor is one with a date that there is not."""
    assert INDEX_CLOSE.of_path(f"/content/indices/{name}") is None


def test_the_first_file_is_of_february_2012() -> None:
    """There is no source before it."""
    assert INDEX_CLOSE.first_date == FIRST_DATE == date(2012, 2, 21)
    assert INDEX_CLOSE.sources_of(date(2012, 2, 20)) == ()
    assert INDEX_CLOSE.sources_of(FIRST_DATE) == (SOURCE,)


def test_twelve_sessions_have_no_file() -> None:
    """The market traded on each of them."""
    assert len(NOT_PUBLISHED) == 12
    assert all(sessions.is_session(day) for day in NOT_PUBLISHED)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("01-10-2012", date(2012, 10, 1)),
        ("26/06/2014", date(2014, 6, 26)),
        ("12-08-2014", date(2014, 8, 12)),
        ("04-06-2023", date(2023, 4, 6)),  # month first
        ("04-10-2023", date(2023, 4, 10)),
        ("04-11-2023", date(2023, 4, 11)),
        ("01-15-2024", date(2024, 1, 15)),
        (" 15-01-2024 ", date(2024, 1, 15)),
        ("5-1-2024", date(2024, 1, 5)),
    ],
)
def test_a_date_is_read_in_each_form_that_was_published(text: str, day: date) -> None:
    """The day of the file's name decides between month first and day first."""
    assert INDEX_CLOSE.read_date(text, day) == day


def test_a_date_is_read_day_first_where_the_month_first_is_not_the_files_day() -> None:
    """So that another day's file under this day's name is seen as what it is."""
    assert INDEX_CLOSE.read_date("04-06-2023", date(2023, 6, 5)) == date(2023, 6, 4)
    assert INDEX_CLOSE.read_date("13-04-2023", date(2023, 4, 6)) == date(2023, 4, 13)
    assert INDEX_CLOSE.read_date("05-04-2023", date(2023, 4, 6)) == date(2023, 4, 5)


@pytest.mark.parametrize(
    "text", ["", "-", "15-Jan-2024", "2024-01-15", "15-01/2024", "31-02-2024", "01-15-2023", "15-01-24", "१५-०१-२०२४"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    """Names of months neither, as a machine's language would decide what they are."""
    assert INDEX_CLOSE.read_date(text, DAY) is None


# Columns


def test_the_published_names_are_the_headers() -> None:
    """Every column of the file becomes one of the data set; the trade date moves before the name."""
    assert ",".join(LAYOUT.columns) == HEADER
    index_name, trade_date, *rest = LAYOUT.columns
    assert tuple(PUBLISHED.values()) == (trade_date, index_name, *rest)
    assert (*PUBLISHED, "layout") == INDEX_CLOSE.names


def test_types_are_floats_but_for_the_volume() -> None:
    """Values of an index are no whole numbers."""
    others = {"trade_date": pl.Date, "index_name": pl.String, "volume": pl.Int64, "layout": pl.String}
    assert {name: others.get(name, pl.Float64) for name in INDEX_CLOSE.names} == INDEX_CLOSE.types


def test_turnover_is_in_rupees() -> None:
    """The file has crores, ten million rupees each."""
    assert {column.name: column.times for column in INDEX_CLOSE.columns if column.times != 1} == {
        "turnover": 10_000_000
    }


def test_changes_and_ratios_may_be_negative() -> None:
    """An index falls, and its members together can make losses."""
    assert [each.name for each in INDEX_CLOSE.columns if each.signed] == ["change", "change_percent", "pe", "pb"]


def test_a_close_may_be_0() -> None:
    """An index of dividends starts from 0 each April."""
    content = file("Dividend Points,06-04-2023,-,-,-,0,0,-,-,-,-,-,-")
    assert faults(content, date(2023, 4, 6)) == []
    assert not [column.name for column in INDEX_CLOSE.columns if column.positive or column.zero_is_null]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "line",
    [
        "Alpha,15-01-2024,100.5,101,99.95,100.1,-.4,-.39,1000,2.5,20.1,3,1.2",
        "Beta,15-01-2024,-,-,-,100.1,.4,.4,1000,2.5,-,3,.9",
        "Gamma,15/01/2024,12.4125,12.57,11.65,11.8,0,0,-,-,-,-,-",
        "Delta,01-15-2024,,,,11.8,,,,,,,",
    ],
)
def test_a_line_as_the_exchange_writes_it_is_right(line: str, end: str) -> None:
    """Dashes and blanks for values that there are not, no zero before the point, either line end."""
    assert faults(file(line, end=end), DAY) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("Alpha,16-01-2024,1,1,1,1,0,0,0,0,1,1,1", "Alpha: date 16-01-2024"),
        ("Alpha,15-01-2024,1,1,1,-,0,0,0,0,1,1,1", "Alpha: no close"),
        ("-,15-01-2024,1,1,1,1,0,0,0,0,1,1,1", "-: no index_name"),
        ("Alpha,15-01-2024,1,1,1,1,0,0,0.5,0,1,1,1", "Alpha: volume 0.5 is no whole number"),
        ("Alpha,15-01-2024,1,1,-1,1,0,0,0,0,1,1,1", "Alpha: low -1 is negative"),
        ("Alpha,15-01-2024,1,1,1,n.a.,0,0,0,0,1,1,1", "Alpha: close 'n.a.' is no number"),
    ],
)
def test_a_wrong_line_is_seen(line: str, fault: str) -> None:
    """What the tests below find right has been looked at."""
    assert faults(file(line), DAY) == [fault]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"low": 99.0, "close": 100.0, "high": 101.0, "pe": 20.0, "pb": 3.0}, set()),
        ({"close": 100.0}, set()),
        ({"low": 99.0, "close": 101.5, "high": 101.0}, {"close_outside_low_high"}),
        ({"low": 101.0, "close": 101.0, "high": 99.0}, {"close_outside_low_high", "high_below_low"}),
        ({"close": 0.0}, {"zero_close"}),
        ({"close": 100.0, "pb": 3.0}, {"pb_without_pe"}),
    ],
)
def test_oddities_are_counted(values: dict[str, float], expected: set[str]) -> None:
    """An index of bonds has no valuation, and a close alone is nothing odd: neither is one."""
    row = pl.DataFrame([values], schema=INDEX_CLOSE.types)
    counts = row.select(rule.sum().alias(name) for name, rule in INDEX_CLOSE.warnings().items()).row(0, named=True)
    assert {name for name, count in counts.items() if count} == expected


# The simulated files


@pytest.mark.parametrize(
    ("day", "digest"),
    [
        (FIRST_DATE, "f9dffa54411dca94f68dc1dc42fbf09fbce25a09a28c911ef641434ed5030a01"),
        (date(2014, 8, 12), "2e0d32a6f9171c4c078507dababbbe3fa94ec4b5055ccb85d3c9e875b902fc41"),
        (DAY, "cf65cc00c2f86755e0b8447e0ceb820b73ab2f2b3122bf2688e025670bbbae69"),
    ],
)
def test_a_date_has_the_same_bytes_on_every_machine(day: date, digest: str) -> None:
    """A deliberate change of the simulation changes the digests."""
    assert hashlib.sha256(simulated(day)).hexdigest() == digest


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_a_simulated_day_is_as_the_data_set_declares(day: date) -> None:
    """Dates, required columns, signs; no name is there twice."""
    content = simulated(day)
    assert faults(content, day) == []
    assert max(Counter(row["index_name"] for row in rows(content)).values()) == 1


def test_there_are_30_indices_in_2012_and_160_in_2026() -> None:
    """The exchange invents new ones each year."""
    counts = [len(rows(simulated(day))) for day in DAYS]
    assert (counts[0], counts[-1]) == (30, 163)
    assert counts == sorted(counts)


@pytest.mark.parametrize("day", sorted(NOT_PUBLISHED), ids=str)
def test_a_session_without_a_file_has_none(day: date) -> None:
    """As the exchange's archive."""
    assert payload(day, SOURCE.name, INDEX_CLOSE) is None
    assert respond(SOURCE.path_of(day))[0] == 404


@pytest.mark.parametrize("day", [date(2012, 2, 20), date(2024, 1, 22), date(2024, 1, 14)])
def test_there_is_no_file_before_the_first_and_on_holidays(day: date) -> None:
    """Nor on a Sunday."""
    assert payload(day, SOURCE.name, INDEX_CLOSE) is None


@pytest.mark.parametrize(
    ("day", "text"),
    [
        (date(2012, 10, 1), "01-10-2012"),
        (date(2014, 6, 25), "25-06-2014"),
        (date(2014, 6, 26), "26/06/2014"),
        (date(2014, 8, 12), "12-08-2014"),
        (date(2023, 4, 6), "04-06-2023"),
        (date(2023, 4, 10), "04-10-2023"),
        (date(2023, 4, 11), "04-11-2023"),
        (date(2023, 4, 12), "12-04-2023"),
    ],
)
def test_the_date_is_written_as_on_the_exchange(day: date, text: str) -> None:
    """The month first on three days of 2023."""
    assert {row["trade_date"] for row in rows(simulated(day))} == {text}


def test_dates_have_slashes_here_and_there_in_one_year() -> None:
    """From June 2014 into June 2015, and never after."""
    slashed = [
        "/" in rows(simulated(day))[0]["trade_date"]
        for day in sessions.sessions(date(2014, 6, 26), date(2015, 7, 1))
        if day not in NOT_PUBLISHED
    ]
    assert 0.1 < sum(slashed) / len(slashed) < 0.5
    assert not [day for day in DAYS if day > date(2015, 6, 30) and b"/20" in simulated(day)]


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2013, 2, 7), "S&P CNX Nifty"),
        (date(2013, 2, 8), "CNX Nifty"),
        (date(2015, 11, 6), "CNX Nifty"),
        (date(2015, 11, 10), "Nifty 50"),
    ],
)
def test_names_change_with_the_years(day: date, name: str) -> None:
    """The first row is the same index under each of its names."""
    assert rows(simulated(day))[0]["index_name"] == name


@pytest.mark.parametrize("is_so", [lambda each: b"\r\n" in each, lambda each: b",." in each or b",-." in each])
def test_files_differ_in_how_they_are_written(is_so: Callable[[bytes], bool]) -> None:
    """CRLF or LF; .27 or 0.27."""
    assert {is_so(simulated(day)) for day in DAYS} == {True, False}


def test_a_file_has_one_line_end_throughout() -> None:
    """With one after the last line too."""
    for content in map(simulated, DAYS):
        assert content.endswith(b"\n")
        assert content.count(b"\r\n") in (0, content.count(b"\n"))


def test_what_is_missing_is_a_dash() -> None:
    """In whole groups of columns: an index without a range, without shares, of the close alone; a loss has no P/E."""
    missing = Counter(
        tuple(name for name in INDEX_CLOSE.names if row.get(name) == "-") for row in rows(simulated(date(2026, 10, 30)))
    )
    prices, shares = ("open", "high", "low"), ("volume", "turnover", "pe", "pb", "dividend_yield")
    assert missing.keys() == {
        *((), ("pe",), prices, shares, (*prices, *shares)),
        (*prices, "change_percent", *shares),
    }


def test_the_change_is_from_the_previous_session() -> None:
    """In points and in percent of it; there is none for the index of dividends."""
    before = {row["index_name"]: Decimal(row["close"]) for row in rows(simulated(sessions.previous(DAY)))}
    for row in rows(simulated(DAY)):
        previous, close, percent = before[row["index_name"]], Decimal(row["close"]), number(row["change_percent"])
        if percent is None:
            assert (row["index_name"], row["change"]) == ("Nifty50 Dividend Points", "0")
        else:
            assert Decimal(row["change"]) == close - previous
            assert abs(percent - 100 * (close - previous) / previous) <= Decimal("0.005")


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_values_fit_each_other(day: date) -> None:
    """Low, open, close and high; moves of a few percent; the first index between 4,000 and 35,000."""
    first, *_ = found = rows(simulated(day))
    assert 4_000 < Decimal(first["close"]) < 35_000
    for row in found:
        open, high, low, close = (number(row[name]) for name in ("open", "high", "low", "close"))
        assert close is not None
        if open is not None and high is not None and low is not None:
            assert low <= min(open, close) <= max(open, close) <= high
        if row["index_name"] != "India VIX":
            assert abs(number(row["change_percent"]) or Decimal(0)) < 3


def test_the_volatility_index_opens_with_four_decimals() -> None:
    """It alone."""
    opens = {row["index_name"]: row["open"] for row in rows(simulated(DAY))}
    assert [name for name, text in opens.items() if len(text.partition(".")[2]) > 2] == ["India VIX"]


# The real files


@pytest.mark.integration
def test_every_real_file_is_as_the_data_set_declares(shared: Callable[[str], Path]) -> None:
    """Header, dates, required columns, signs and keys; one file names two indices alike."""
    files = sorted(shared("archive/content/indices").glob("ind_close_all_*.csv"))
    assert files
    found, twice = {}, {}
    for path in files:
        day = SOURCE.day_of(f"/content/indices/{path.name}")
        assert day is not None
        content = path.read_bytes()
        if said := faults(content, day):
            found[path.name] = said
        counts = Counter(row["index_name"] for row in rows(content))
        if names := [name for name, count in counts.items() if count > 1]:
            twice[day] = names
        assert sessions.is_session(day)
    assert found == {}
    assert twice.keys() <= {date(2013, 2, 8)}
