"""Index closes: the files' dates, numbers and gaps, in hand-written, simulated and real ones."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import polars as pl
import pytest

from champion_luigi.datasets import index_names
from champion_luigi.datasets.index_close import ALL_INDICES_FROM, FIRST_DATE, INDEX_CLOSE, NOT_PUBLISHED
from champion_luigi.exchange import sessions
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.simulated.exchange import payload, respond

[SOURCE, PRESS] = INDEX_CLOSE.sources
[LAYOUT, _] = INDEX_CLOSE.layouts
PUBLISHED = INDEX_CLOSE.published_columns(SOURCE.name)
DAY = date(2024, 1, 15)
HEADER = (
    "Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,Closing Index Value,Points Change,"
    "Change(%),Volume,Turnover (Rs. Cr.),P/E,P/B,Div Yield"
)
PD_HEADER = (
    "MKT,SERIES,SYMBOL,SECURITY,PREV_CL_PR,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,CLOSE_PRICE,NET_TRDVAL,NET_TRDQTY,IND_SEC,"
    "CORP_IND,TRADES,HI_52_WK,LO_52_WK"
)
PD_SHARES = (
    " , , , , , , , , , , ,Y, , , , ",
    "N,EQ,ALPHA,ALPHA LTD,     10.40,     10.50,     11.25,     10.00,     11.00,   10000.50,600,Y, ,30,12,8",
    "O,BL,BRAVO,BRAVO LTD,     10.40,     10.50,     11.25,     10.00,     11.00,    6250.25,900,N, ,12,12,8",
)
# A session in each of the years, in all kinds of quarters.
DAYS = [day for day in sessions.sessions(ALL_INDICES_FROM, date(2026, 11, 1))[::73] if day not in NOT_PUBLISHED]

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


def normalized(content: bytes, day: date = DAY, format: str = SOURCE.name) -> Normalized:
    """A file, taken all the way."""
    table = parse(recognise(content, INDEX_CLOSE, day, format=format))
    found = normalize(table, INDEX_CLOSE, format, day)
    assert table.height == found.rows.height + len(found.rejects) + found.skipped
    return found


def warned(found: Normalized) -> dict[str, int]:
    """What was counted as odd."""
    return {name: count for name, count in found.warnings.items() if count}


def press(*lines: str) -> bytes:
    """A zip for the press of `DAY`, with these lines in Pd."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Pd150124.csv", "\n".join([PD_HEADER, *lines, ""]))
    return buffer.getvalue()


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


def test_the_press_is_first_and_the_file_of_all_indices_is_tried_first() -> None:
    """The press since 2010-01-04; the file of all indices since 2012-02-21, with the press as what is left."""
    assert INDEX_CLOSE.first_date == FIRST_DATE == date(2010, 1, 4)
    assert INDEX_CLOSE.sources_of(date(2010, 1, 3)) == ()
    assert INDEX_CLOSE.sources_of(FIRST_DATE) == (PRESS,)
    assert INDEX_CLOSE.sources_of(ALL_INDICES_FROM) == (SOURCE, PRESS)
    assert INDEX_CLOSE.sources_of(date(2026, 10, 1)) == (SOURCE, PRESS)
    assert [source.partial for source in (SOURCE, PRESS)] == [False, True]


def test_twelve_sessions_have_no_file_of_all_indices() -> None:
    """The market traded on each of them, and the press has its values."""
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
    assert (*PUBLISHED, "layout", "index", "prev_close") == INDEX_CLOSE.names


def test_types_are_floats_but_for_the_volume() -> None:
    """Values of an index are no whole numbers."""
    others = {"trade_date": pl.Date, "index_name": pl.String, "volume": pl.Int64, "layout": pl.String}
    others |= {"index": pl.String}
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
    assert not [column.name for column in INDEX_CLOSE.columns if column.positive]


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
        ({"close": 100.0, "index": "Nifty 50"}, set()),
        ({"close": 100.0, "index": "Nifty of Nobody"}, {"unknown_index"}),
    ],
)
def test_oddities_are_counted(values: dict[str, float | str], expected: set[str]) -> None:
    """An index of bonds has no valuation, and a close alone is nothing odd: neither is one."""
    row = pl.DataFrame([values], schema=INDEX_CLOSE.types)
    counts = row.select(rule.sum().alias(name) for name, rule in INDEX_CLOSE.warnings().items()).row(0, named=True)
    assert {name for name, count in counts.items() if count} == expected


# Names


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("S&P CNX Nifty", "Nifty 50"),
        ("CNX Nifty", "Nifty 50"),
        ("Nifty 50", "Nifty 50"),
        ("NIFTY  50", "Nifty 50"),
        ("nifty midcap 100", "NIFTY Midcap 100"),
    ],
)
def test_an_index_keeps_its_name_under_each_that_is_published(name: str, index: str) -> None:
    """Renamed, in other case, or with more blanks; the published name stays as it is."""
    found = normalized(file(f"{name},15-01-2024,1,1,1,1,0,0,1,1,1,1,1"))
    assert found.rows.select("index_name", "index").rows() == [(name, index)]
    assert warned(found) == {}


def test_an_unknown_name_is_counted_and_stays() -> None:
    """It is not guessed, however near it is to another."""
    found = normalized(file("Nifty  51,15-01-2024,1,1,1,1,0,0,1,1,1,1,1"))
    assert found.rows["index"].to_list() == ["Nifty  51"]
    assert warned(found) == {"unknown_index": 1}


def test_two_rows_of_one_index_are_counted_and_stay() -> None:
    """The key is the published name; the table of names would then be wrong, or the file."""
    found = normalized(
        file(*(f"{name},15-01-2024,1,1,1,1,0,0,1,1,1,1,1" for name in ("CNX Bank", "Nifty Bank", "LIX 15")))
    )
    assert found.rows["index"].to_list() == ["Nifty Bank", "Nifty Bank", "Nifty100 Liquid 15"]
    assert warned(found) == {"repeated_index": 2}


SLIP = "CNX Alpha Index,08-02-2013,-,-,-,1572.9,-21.94,-1.38,1000,2.5,22,1,1"
FIRST_ALPHA = "CNX Alpha Index,08-02-2013,-,-,-,4700,-37,-.8,1000,2.5,23,4,1"


def test_the_second_alpha_index_of_2013_02_08_is_high_beta() -> None:
    """The wrong name is corrected, and counted; the first row is left alone."""
    found = normalized(file(FIRST_ALPHA, SLIP), date(2013, 2, 8))
    assert found.rows.select("index_name", "index", "close").rows() == [
        ("CNX Alpha Index", "Nifty Alpha 50", 4700.0),
        ("CNX High Beta", "Nifty High Beta 50", 1572.9),
    ]
    assert found.rejects == []
    assert warned(found) == {"corrected": 1}


@pytest.mark.parametrize(("old", "new"), [("1572.9", "1573"), ("08-02-2013", "11-02-2013")])
def test_a_row_that_is_not_the_slip_is_not_corrected(old: str, new: str) -> None:
    """On another day, or with another close, nobody knows that the name is wrong."""
    day = date(2013, 2, 11) if "2013" in new else date(2013, 2, 8)
    lines = [line.replace(old, new) for line in (FIRST_ALPHA.replace("08-02", f"{day:%d-%m}"), SLIP)]
    found = normalized(file(*lines), day)
    assert [(reject.rule, reject.line) for reject in found.rejects] == [("duplicate_key", 3)]
    assert warned(found) == {}


# The zip for the press


def index_line(name: str, values: str = "21700.00,21710.00,21750.00,21600.00,21720.00", totals: str = "0,0,0") -> str:
    """A row of an index in Pd."""
    value, count, trades = totals.split(",")
    return f"Y, , ,{name},{values},{value},{count},Y, ,{trades},.00,.00"


NIFTY = index_line("Nifty 50", totals="16250.75,1500,42")


def test_the_indices_of_the_press_have_prices_alone() -> None:
    """Shares and titles are skipped. Volume and turnover of the first row are the market's, and no index's."""
    found = normalized(press(NIFTY, index_line("Nifty Fin Service"), *PD_SHARES), format=PRESS.name)
    assert found.rows.drop_nulls("prev_close").height == found.rows.height == 2
    assert found.skipped == len(PD_SHARES)
    assert warned(found) == {}
    assert {name: found.rows[name].to_list() for name in found.rows.columns} == {
        "trade_date": [DAY, DAY],
        "index_name": ["Nifty 50", "Nifty Fin Service"],
        "open": [21710.0] * 2,
        "high": [21750.0] * 2,
        "low": [21600.0] * 2,
        "close": [21720.0] * 2,
        **{name: [None, None] for name in ("change", "change_percent", "volume", "turnover", "pe", "pb")},
        "dividend_yield": [None, None],
        "layout": ["pr", "pr"],
        "index": ["Nifty 50", "Nifty Financial Services"],
        "prev_close": [21700.0] * 2,
    }


def test_an_index_of_dividends_has_no_range_in_the_press() -> None:
    """The file of all indices has a dash where the press has a zero; its close may be 0."""
    line = index_line("Nifty50 Div Point", "    220.59,       .00,       .00,       .00,       .00")
    found = normalized(press(line, *PD_SHARES), format=PRESS.name)
    assert found.rows.select("open", "high", "low", "close", "prev_close").row(0) == (None, None, None, 0.0, 220.59)
    assert found.rows["index"].to_list() == ["Nifty50 Dividend Points"]


@pytest.mark.parametrize(
    ("totals", "is_odd"),
    [
        ("16250.75,1500,42", False),
        ("0,0,0", False),
        ("16250.85,1500,42", False),
        ("16252.75,1500,42", True),
        ("16250.75,1400,42", True),
        ("16250.75,1500,43", True),
    ],
)
def test_the_totals_of_the_market_are_a_check_of_the_file(totals: str, is_odd: bool) -> None:
    """Value, shares and trades, within 10 parts in a million; no total is stated by zeros."""
    found = normalized(press(index_line("Nifty 50", totals=totals), *PD_SHARES), format=PRESS.name)
    assert warned(found) == ({"other_market_total": 1} if is_odd else {})
    assert found.rows.height == 1


# The simulated files


@pytest.mark.parametrize(
    ("day", "digest"),
    [
        (ALL_INDICES_FROM, "f9dffa54411dca94f68dc1dc42fbf09fbce25a09a28c911ef641434ed5030a01"),
        (date(2014, 8, 12), "3699f935ba2b127be5045a29ba2895a62613d2bb87bf7bb79f27643f8dcc7f59"),
        (DAY, "d2244e4b4111c72f1e8e154fc0b24de8f0c14a0537ecf507ed54b3db346ebc06"),
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


@pytest.mark.parametrize(
    "day", [*sorted(NOT_PUBLISHED), FIRST_DATE, DAY, date(2016, 7, 7), date(2026, 10, 30)], ids=str
)
def test_the_simulated_press_has_the_values_of_the_file_of_all_indices(day: date) -> None:
    """For the main indices, by their stable names; a session without the one file has the other."""
    content = payload(day, PRESS.name, INDEX_CLOSE)
    assert content is not None
    found = normalized(content, day, PRESS.name)
    assert (found.rejects, warned(found).keys() - {"unknown_index", "zero_close"}) == ([], set())
    assert found.rows.height > 20
    if (other := payload(day, SOURCE.name, INDEX_CLOSE)) is None:
        assert day in NOT_PUBLISHED or day < ALL_INDICES_FROM
        return
    every = normalized(other, day).rows
    values = ["index", "open", "high", "low", "close"]
    main = every.filter(pl.col("index").is_in(found.rows["index"].implode()))
    assert found.rows.select(values).sort("index").equals(main.select(values).sort("index"))
    both = main.select("index", "close", "change").join(found.rows.select("index", "prev_close"), on="index")
    moved = both.filter(pl.col("index") != "Nifty50 Dividend Points")
    assert all(map(math.isclose, moved["close"] - moved["change"], moved["prev_close"]))


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2016, 3, 31), "NIFTY Midcap 100"),
        (date(2016, 4, 1), "Nifty Free Float Midcap 100"),
        (date(2016, 7, 7), "NIFTY Midcap 100"),
        (date(2018, 3, 28), "Nifty Free Float Midcap 100"),
        (date(2018, 4, 2), "NIFTY Midcap 100"),
    ],
)
def test_a_file_that_was_written_again_has_later_names(day: date, name: str) -> None:
    """The index is the same under both."""
    found = normalized(simulated(day), day).rows.filter(pl.col("index") == "NIFTY Midcap 100")
    assert found["index_name"].to_list() == [name]


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
        *((), ("pe",), prices, (*prices, "pe"), shares, (*prices, *shares)),
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


def real(shared: Callable[[str], Path]) -> dict[date, tuple[str, Path]]:
    """The real files of both sources, by day; no day has both."""
    folders = (shared("archive/content/indices"), shared("archive/archives/equities/bhavcopy/pr"))
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    found = [(INDEX_CLOSE.of_path("/" + path.relative_to(shared("archive")).as_posix()), path) for path in paths]
    files = {known[1]: (known[0].name, path) for known, path in found if known}
    assert len(files) == len(paths) > 50
    return dict(sorted(files.items()))


def counted(format: str, path: Path) -> tuple[int, Decimal, Decimal, Decimal]:
    """Indices of a file, the sums of their closes and opens, and of their turnover in rupees, by the csv module."""
    columns = ("Closing Index Value", "Open Index Value", "Turnover (Rs. Cr.)")
    content = path.read_bytes()
    if format == PRESS.name:
        columns = ("CLOSE_PRICE", "OPEN_PRICE", "")
        with zipfile.ZipFile(path) as archive:
            [name] = [name for name in archive.namelist() if name.startswith("Pd")]
            content = archive.read(name)
    lines = list(csv.DictReader(io.StringIO(content.decode("latin-1"), newline="")))
    if format == PRESS.name:
        lines = [line for line in lines if line["MKT"] == "Y"]

    def total(column: str) -> Decimal:
        return sum((Decimal(line.get(column, "-").strip().replace("-", "0")) for line in lines), Decimal(0))

    return len(lines), total(columns[0]), total(columns[1]), 10_000_000 * total(columns[2])


@pytest.mark.integration
def test_every_real_file_reads_as_an_independent_count_has_it(shared: Callable[[str], Path]) -> None:
    """Rows and sums; nothing is rejected, no name is unknown, no index is there twice, and the totals agree."""
    for day, (format, path) in real(shared).items():
        found = normalized(path.read_bytes(), day, format)
        count, closes, opens, turnover = counted(format, path)
        assert (found.rows.height, found.rejects) == (count, []), day
        sums = found.rows.select(pl.col("close", "open", "turnover").sum()).row(0)
        assert all(map(math.isclose, sums, map(float, (closes, opens, turnover)))), day
        assert warned(found).keys() <= {"zero_close", "pb_without_pe", "corrected"}, day
        assert warned(found).get("corrected", 0) == (day == date(2013, 2, 8)), day


@pytest.mark.integration
def test_names_are_as_different_between_the_real_sources_as_is_said(shared: Callable[[str], Path]) -> None:
    """Of the 73 main indices of April 2024, 27 have the name of the file of all indices, but for its case."""
    files = real(shared)
    names = {
        day: {
            index_names.plain(name)
            for name in normalized(files[day][1].read_bytes(), day, files[day][0]).rows["index_name"]
        }
        for day in (date(2023, 4, 6), date(2024, 4, 1))
    }
    main, every = names[date(2024, 4, 1)], names[date(2023, 4, 6)]
    assert (len(main), len(main & every)) == (73, 27)


@pytest.mark.integration
def test_short_names_are_those_of_the_indices_with_the_same_values(shared: Callable[[str], Path]) -> None:
    """The press of 2024-04-01 has a range of 52 weeks for most indices: the close of 2023-04-06 is in it, or at it."""
    files = real(shared)
    rows = normalized(files[date(2023, 4, 6)][1].read_bytes(), date(2023, 4, 6)).rows
    closes = dict(rows.select("index", "close").iter_rows())
    with zipfile.ZipFile(files[date(2024, 4, 1)][1]) as archive:
        lines = csv.DictReader(io.StringIO(archive.read("Pd010424.csv").decode(), newline=""))
        ranges = [
            (line["SECURITY"], float(line["LO_52_WK"]), float(line["HI_52_WK"])) for line in lines if line["MKT"] == "Y"
        ]
    stable = index_names.stable_names(date(2024, 4, 1))
    stated = [(closes[stable[index_names.plain(name)]], low, high) for name, low, high in ranges if low]
    assert len(stated) == 50
    assert [each for each in stated if not each[1] / 1.01 <= each[0] <= each[2]] == []
    # Nearly all rose from that week on, so the lowest value of the 52 weeks is near that close.
    assert sum(abs(low / close - 1) < 0.02 for close, low, _ in stated) > 30


@pytest.mark.integration
def test_an_index_goes_on_from_where_it_was_the_session_before(shared: Callable[[str], Path]) -> None:
    """By its stable name, its previous close in the press is the close of the day before, to the last digit.

    Those of bonds are not: their market is open when the press is written.
    """
    days = {day: path for day, (format, path) in real(shared).items() if format == PRESS.name}
    found = {day: normalized(path.read_bytes(), day, PRESS.name).rows for day, path in days.items()}
    apart, pairs = set(), 0
    for day, after in found.items():
        if (before := found.get(sessions.previous(day))) is not None:
            both = after.select("index", "prev_close").join(before.select("index", "close"), on="index")
            apart |= set(both.filter(pl.col("close") != pl.col("prev_close"))["index"])
            pairs += both.height
    assert pairs > 3000
    assert {name for name in apart if "g-sec" not in name.lower()} == set()
    assert len(apart) == 7
