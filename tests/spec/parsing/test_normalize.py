"""From published lines to canonical rows: golden days, each rule of rejection, each warning, and what always holds."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.base.errors import ChampionError, CheckFailed
from champion_luigi.datasets import model
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column, Correction, Dataset, Layout, Source, Total
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, Reject, check, normalize
from champion_luigi.parsing.payload import Recognised, recognise

DAY = date(2024, 1, 15)
HEADER = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,"
LAYOUTS = EQUITY.layouts
TYPES = pl.Schema(EQUITY.types)
UDIFF_HEADER = ",".join(LAYOUTS[3].columns)
SHARE = 0.05


def normalized(found: Recognised) -> Normalized:
    """A recognised file in canonical columns."""
    return normalize(parse(found), EQUITY, found.layout.source, found.day)


def day_of(*lines: str, header: str = HEADER, day: date = DAY) -> Normalized:
    """A file of these lines, taken all the way."""
    found = recognise("".join(f"{line}\n" for line in (header, *lines)).encode(), EQUITY, day)
    return normalized(found)


def noted(found: Normalized) -> dict[str, int]:
    """The warnings that occurred."""
    return {name: count for name, count in found.warnings.items() if count}


def line(**changed: str) -> str:
    """A line that can stand, but for what is changed in it."""
    values = {
        "symbol": "BRAVO",
        "series": "EQ",
        "open": "10",
        "high": "12",
        "low": "9",
        "close": "11",
        "last": "11.05",
        "prev_close": "10.4",
        "volume": "1500",
        "turnover": "16250.75",
        "trade_date": "15-JAN-2024",
        "trades": "42",
        "isin": "INE000A01015",
    }
    assert set(changed) <= set(values)
    return ",".join((values | changed).values()) + ","


def judged(**changed: str) -> Normalized:
    """A day of two lines: a good one, and one with something changed in it."""
    return day_of(line(symbol="ALPHA"), line(**changed))


def rules(found: Normalized) -> list[tuple[str, str]]:
    """The rules that rejected lines broke, with what exactly."""
    return [(reject.rule, reject.detail) for reject in found.rejects]


def the_row(found: Normalized) -> dict[str, Any]:
    """The one row that stands."""
    assert found.rejects == []
    return found.rows.row(0, named=True)


# Golden days, worked out by hand


def test_a_day_of_1994() -> None:
    """Eleven columns, an unpadded day, LAST not recorded; no ISIN, no trades, nothing that UDiFF alone has."""
    found = day_of(
        "ALPHA,EQ,1805,1825.5,1800.25,1820,0,1790.05,12500,22718750,3-NOV-1994,",
        "BRAVO,N1,0,0,0,102.5,0,0,10,1025,3-NOV-1994,",
        header="SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,",
        day=date(1994, 11, 3),
    )
    first = date(1994, 11, 3)
    assert found.rows.columns == list(EQUITY.names)
    # fmt: off
    assert found.rows.rows() == [
        (first, "ALPHA", "EQ", None, None, None, 1805.0, 1825.5, 1800.25, 1820.0, None, 1790.05, None,
         12500, 22718750.0, None, None, "legacy"),
        (first, "BRAVO", "N1", None, None, None, None, None, None, 102.5, None, 0.0, None,
         10, 1025.0, None, None, "legacy"),
    ]
    # fmt: on
    assert found.rejects == []


def test_a_day_of_2024_in_the_legacy_format() -> None:
    """Thirteen columns and a trailing comma, one symbol in two series, and series NA."""
    found = day_of(
        "ALPHA,EQ,10.5,11.25,10,11,11.05,10.4,1500,16250.75,15-JAN-2024,42,INE000A01015,",
        "ALPHA,BL,10.9,10.9,10.9,10.9,10.9,10.4,100000,1090000,15-JAN-2024,1,INE000A01015,",
        "BRAVO,NA,1001.99,1001.99,1000,1000.01,1000.01,1001,7,7000.07,15-JAN-2024,3,INE000B07013,",
    )
    # fmt: off
    assert found.rows.rows() == [
        (DAY, "ALPHA", "EQ", "INE000A01015", None, None, 10.5, 11.25, 10.0, 11.0, 11.05, 10.4, None,
         1500, 16250.75, 42, None, "legacy"),
        (DAY, "ALPHA", "BL", "INE000A01015", None, None, 10.9, 10.9, 10.9, 10.9, 10.9, 10.4, None,
         100000, 1090000.0, 1, None, "legacy"),
        (DAY, "BRAVO", "NA", "INE000B07013", None, None, 1001.99, 1001.99, 1000.0, 1000.01, 1000.01, 1001.0, None,
         7, 7000.07, 3, None, "legacy"),
    ]
    # fmt: on
    assert found.rejects == []
    assert set(found.warnings.values()) == {0}


def test_a_day_without_trailing_commas() -> None:
    """2020-07-13: no last comma, two-digit years, here with CRLF line ends."""
    found = day_of(
        "ALPHA,EQ,71.15,72.4,70.05,71.9,72,70.6,2040,146302.5,13-Jul-20,77,INE000A01015\r",
        header=HEADER.rstrip(",") + "\r",
        day=date(2020, 7, 13),
    )
    # fmt: off
    assert found.rows.rows() == [
        (date(2020, 7, 13), "ALPHA", "EQ", "INE000A01015", None, None, 71.15, 72.4, 70.05, 71.9, 72.0, 70.6, None,
         2040, 146302.5, 77, None, "legacy"),
    ]
    # fmt: on
    assert found.rejects == []


def test_a_day_of_early_udiff() -> None:
    """Until 2024-06-20: a header of 35 names over rows of 34 fields, and a blank LastPric."""
    found = day_of(
        "2024-01-15,2024-01-15,CM,NSE,STK,101,INE000A01015,ALPHA,EQ,,,,,ALPHA LTD,"
        "10.50,11.25,10.00,11.00,,10.40,,11.02,,,1500,16250.75,42,F1,1,,,,,",
        header=UDIFF_HEADER.replace("Rsvd", "Rsvd0") + ",",
    )
    # fmt: off
    assert found.rows.rows() == [
        (DAY, "ALPHA", "EQ", "INE000A01015", 101, "ALPHA LTD", 10.5, 11.25, 10.0, 11.0, None, 10.4, 11.02,
         1500, 16250.75, 42, 1, "udiff"),
    ]
    # fmt: on
    assert found.rejects == []


def test_a_day_of_udiff() -> None:
    """From 2024-06-21 on: settlement apart from close, a lot of 100, series NA, a name with a comma."""
    day = date(2024, 7, 8)
    found = day_of(
        "2024-07-08,2024-07-08,CM,NSE,STK,19913,INE000B01013,BRAVO,SM,,,,,BRAVO FOODS LIMITED,"
        "98.05,99.90,97.00,98.60,98.60,97.85,,98.55,,,1200,118320.00,9,F1,100,,,,,",
        '2024-07-08,2024-07-08,CM,NSE,STK,757575,INE000C07011,CHARLIE,NA,,,,,"CHARLIE, 9.5% 2030",'
        "1001.99,1001.99,1000.00,1000.01,1000.01,1001.00,,1000.01,,,7,7000.07,3,F1,1,,,,,",
        header=UDIFF_HEADER,
        day=day,
    )
    # fmt: off
    assert found.rows.rows() == [
        (day, "BRAVO", "SM", "INE000B01013", 19913, "BRAVO FOODS LIMITED", 98.05, 99.9, 97.0, 98.6, 98.6, 97.85, 98.55,
         1200, 118320.0, 9, 100, "udiff"),
        (day, "CHARLIE", "NA", "INE000C07011", 757575, "CHARLIE, 9.5% 2030", 1001.99, 1001.99, 1000.0, 1000.01,
         1000.01, 1001.0, 1000.01, 7, 7000.07, 3, 1, "udiff"),
    ]
    # fmt: on
    assert found.rejects == []


def test_both_formats_of_one_day_give_the_same_values() -> None:
    """What both have agrees, a blank LastPric standing as LAST 0; what legacy lacks is null."""
    legacy = the_row(
        day_of("ALPHA,EQ,10.5,11.25,10,11,0,10.4,1500,16250.75,15-JAN-2024,42,INE000A01015,"),
    )
    udiff = the_row(
        day_of(
            "2024-01-15,2024-01-15,CM,NSE,STK,101,INE000A01015,ALPHA,EQ,,,,,ALPHA LTD,"
            "10.50,11.25,10.00,11.00,,10.40,,11.02,,,1500,16250.75,42,F1,1,,,,,",
            header=UDIFF_HEADER.replace("Rsvd", "Rsvd0") + ",",
        )
    )
    differing = {name: (legacy[name], udiff[name]) for name in EQUITY.names if legacy[name] != udiff[name]}
    assert differing == {
        "instrument_id": (None, 101),
        "name": (None, "ALPHA LTD"),
        "settlement": (None, 11.02),
        "lot_size": (None, 1),
        "layout": ("legacy", "udiff"),
    }


# Parsing


def test_a_parsed_table_holds_the_sources_columns_as_text() -> None:
    """Nothing is typed, dropped or renamed before it is judged; lines are counted as in the file."""
    found = recognise(f"{HEADER}\n{line()}\n{line(close='x')}\n".encode(), EQUITY, DAY)
    table = parse(found)
    names = [name for name in table.columns if not name.startswith("_")]
    assert names == HEADER.rstrip(",").split(",")
    assert {table.schema[name] for name in names} == {pl.String}
    assert table["CLOSE"].to_list() == ["11", "x"]
    assert table["_line"].to_list() == [2, 3]


@pytest.mark.parametrize("text", ['"BRAVO"', "", line()], ids=["quoted, and one field", "blank", "good"])
def test_a_parsed_table_has_its_types_whatever_its_lines(text: str) -> None:
    """What one file's lines happen to be does not decide how a day is kept."""
    usual = parse(recognise(f"{HEADER}\n{line()}\n".encode(), EQUITY, DAY))
    table = parse(recognise(f"{HEADER}\n{text}\n{line()}\n".encode(), EQUITY, DAY))
    assert table.schema == usual.schema


def test_columns_are_found_by_name() -> None:
    """The same day in another order of columns gives the same rows."""
    values = line().rstrip(",").split(",")
    turned = day_of(",".join(reversed(values)), header=",".join(reversed(HEADER.rstrip(",").split(","))))
    assert turned.rows.equals(day_of(line()).rows)


def test_padding_is_no_part_of_a_value() -> None:
    """Blanks around a value change neither a key, a number nor a date."""
    padded = day_of(" , ".join(["", *line().rstrip(",").split(",")])[3:] + " ,")
    assert padded.rows.equals(day_of(line()).rows)


def test_a_quoted_field_may_hold_commas() -> None:
    """The exchange writes no quotes, and CSV allows them, also mixed with plain lines."""
    found = day_of(line(), '"CHARLIE","EQ","10","12","9","11","11","10","5","55","15-JAN-2024","1","INE000C01014"')
    assert found.rejects == []
    assert found.rows["symbol"].to_list() == ["BRAVO", "CHARLIE"]
    assert day_of(line(symbol='"A,B"')).rows["symbol"].to_list() == ["A,B"]


def test_quoted_lines_stay_in_their_place() -> None:
    """A line with quotes between two plain ones comes between them."""
    found = day_of(line(symbol="ONE"), line(symbol='"TWO"'), line(symbol="THREE"), line(symbol='"FOUR"'))
    assert found.rows["symbol"].to_list() == ["ONE", "TWO", "THREE", "FOUR"]


def test_a_quote_within_a_field_is_a_character() -> None:
    """A pipe of 5 inches does not swallow the rest of its line."""
    assert day_of(line(symbol='PIPE5"')).rows["symbol"].to_list() == ['PIPE5"']


def test_more_empty_fields_than_columns_are_no_field_too_many() -> None:
    """One trailing comma or several hold no value."""
    assert day_of(line() + ",, ").rejects == []


def test_blanks_after_the_last_comma_are_no_field_too_many() -> None:
    """Of whatever kind they are, as in a line with quotes."""
    for blank in ("\t", " \x0b", ",\u2003,\t"):
        assert day_of(line() + blank).rejects == []


def test_series_na_is_a_series() -> None:
    """NA is no null, and neither are symbols that look like one."""
    found = day_of(*[line(symbol=symbol, series="NA") for symbol in ("NULL", "NA", "NAN", "NONE", "-", "TRUE", "1E5")])
    assert found.rejects == []
    assert found.rows["series"].to_list() == ["NA"] * 7
    assert found.rows["symbol"].to_list() == ["NULL", "NA", "NAN", "NONE", "-", "TRUE", "1E5"]


def test_the_schema_is_the_canonical_one_whatever_the_layout() -> None:
    """The columns, their order and types come from one list, for a day without a row too."""
    for layout in LAYOUTS:
        empty = normalized(Recognised(EQUITY, layout.first, "source", layout, layout.columns, []))
        assert empty.rows.schema == TYPES
        assert (empty.rows.height, empty.rejects) == (0, [])
    assert day_of(line()).rows.schema == TYPES
    assert list(TYPES) == list(EQUITY.names)


# What is not recorded is null


@pytest.mark.parametrize("name", ["open", "high", "low", "last"])
@pytest.mark.parametrize("zero", ["0", "0.00", " 0 "])
def test_a_price_of_zero_was_not_recorded(name: str, zero: str) -> None:
    """OPEN, HIGH, LOW and LAST may be 0 beside a real close: that is null, and no reason to reject."""
    row = the_row(day_of(line(**{name: zero})))
    assert [each for each in ("open", "high", "low", "close", "last") if row[each] is None] == [name]


@pytest.mark.parametrize("name", ["open", "high", "low", "last", "prev_close", "trades", "isin"])
def test_a_blank_that_may_be_blank_is_null(name: str) -> None:
    """What is not written is not known."""
    row = the_row(day_of(line(**{name: " "})))
    assert row[name] is None


@pytest.mark.parametrize("name", ["prev_close", "volume", "turnover", "trades"])
def test_zero_is_a_number_where_it_can_be_one(name: str) -> None:
    """No trades, or no previous close, is 0 as published."""
    assert the_row(day_of(line(**{name: "0"})))[name] == 0


# Rejects: one test a rule


def test_a_reject_keeps_its_rule_place_and_text() -> None:
    """What was wrong with which line of which day, and how it was published."""
    found = judged(close="abc")
    assert found.rejects == [
        Reject(DAY, 3, "bad_number", "symbol 'BRAVO', series 'EQ': close 'abc'", line(close="abc")),
    ]


def test_a_reject_keeps_the_quotes_of_its_line() -> None:
    """A field with a comma must be one field in the kept text too."""
    text = line(symbol='"BRAVO, LTD"', close="abc")
    assert [reject.text for reject in day_of(line(), text).rejects] == [text]


def test_a_reject_keeps_the_padding_of_its_line() -> None:
    """The text is the published one, not the one that was judged."""
    text = line(symbol="  BRAVO ", close=" abc")
    assert [reject.text for reject in day_of(line(), text).rejects] == [text]


def test_a_reject_keeps_the_empty_fields_of_its_line() -> None:
    """Nothing is written where nothing was."""
    text = line(open="", last="", close="abc")
    assert [reject.text for reject in day_of(line(), text).rejects] == [text]


def test_a_reject_is_found_under_its_line_of_the_file() -> None:
    """Blank lines are no rows, and yet a line's number is the one that an editor shows."""
    found = day_of(line(symbol="ALPHA"), "", line(close="abc"))
    assert [reject.line for reject in found.rejects] == [4]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("BRAVO,EQ,10", "3 fields for 13 columns"),
        (line().rstrip(",").rpartition(",")[0], "12 fields for 13 columns"),
        (line() + "surplus", "14 fields for 13 columns"),
        (line() + "X", "14 fields for 13 columns"),
        ('"BRAVO","EQ"', "2 fields for 13 columns"),
        (line(symbol='"BRAVO') + '"', "1 fields for 13 columns"),
        ("garbage", "1 fields for 13 columns"),
    ],
    ids=["too few", "one too few", "one too many", "a letter too many", "quoted", "open quote", "no fields"],
)
def test_a_line_whose_fields_do_not_fit_the_columns_is_rejected(text: str, detail: str) -> None:
    """Nobody can say which value stands for what; the line is kept as it is."""
    found = day_of(line(), text)
    assert rules(found) == [("field_count", detail)]
    assert found.rejects[0].text == text


@pytest.mark.parametrize("text", ["", "31-FEB-2024", "yesterday", "15/01/2024", "0"])
def test_a_line_without_a_readable_date_is_rejected(text: str) -> None:
    """A date is part of the key."""
    shown = repr(text) if text else "None"
    assert rules(judged(trade_date=text)) == [("bad_date", f"symbol 'BRAVO', series 'EQ': date {shown}")]


@pytest.mark.parametrize("text", ["12-JAN-2024", "2024-01-16", "15-JAN-2023", "15-Jan-25"])
def test_a_line_of_another_date_is_rejected(text: str) -> None:
    """It belongs to another day's file."""
    assert rules(judged(trade_date=text)) == [("other_date", f"symbol 'BRAVO', series 'EQ': date '{text}'")]


def test_a_line_without_a_symbol_is_rejected() -> None:
    """A symbol is part of the key, and blanks are none."""
    assert rules(judged(symbol=" ")) == [("missing_key", "symbol None, series 'EQ'")]


def test_a_line_without_a_series_is_rejected() -> None:
    """A series is part of the key."""
    assert rules(judged(series="")) == [("missing_key", "symbol 'BRAVO', series None")]


@pytest.mark.parametrize("name", ["close", "volume", "turnover"])
def test_a_line_without_a_required_number_is_rejected(name: str) -> None:
    """A day's row has a close, a volume and a turnover."""
    assert rules(judged(**{name: ""})) == [("missing_number", f"symbol 'BRAVO', series 'EQ': {name} None")]


@pytest.mark.parametrize("text", ["abc", "nan", "inf", "-inf", "Infinity", "1e400", "-", "1_0", "0x1F", "12..5", "१२"])
@pytest.mark.parametrize("name", ["open", "close", "last", "prev_close", "turnover", "volume", "trades"])
def test_a_line_with_a_number_that_is_none_is_rejected(name: str, text: str) -> None:
    """What does not read as a finite number is no price, count or value, though Python may think otherwise."""
    assert rules(judged(**{name: text})) == [("bad_number", f"symbol 'BRAVO', series 'EQ': {name} '{text}'")]


@pytest.mark.parametrize("text", ["1.5", "1e3", "9223372036854775808", "99999999999999999999999"])
@pytest.mark.parametrize("name", ["volume", "trades"])
def test_a_line_with_a_count_that_is_none_is_rejected(name: str, text: str) -> None:
    """A count is a whole number of 64 bits: it is neither rounded nor cut."""
    assert rules(judged(**{name: text})) == [("bad_number", f"symbol 'BRAVO', series 'EQ': {name} '{text}'")]


def test_a_number_with_thousands_separators_is_rejected() -> None:
    """Quoted digits with commas are not guessed at."""
    assert rules(judged(turnover='"16,250.75"')) == [
        ("bad_number", "symbol 'BRAVO', series 'EQ': turnover '16,250.75'"),
    ]


def test_every_number_at_fault_is_named() -> None:
    """The detail lists all of them, in the order of the columns."""
    assert rules(judged(high="x", low="y", trades="z")) == [
        ("bad_number", "symbol 'BRAVO', series 'EQ': high 'x', low 'y', trades 'z'"),
    ]


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "last", "prev_close", "volume", "turnover", "trades"])
def test_a_line_with_a_negative_number_is_rejected(name: str) -> None:
    """None of a day's numbers can be below 0."""
    assert rules(judged(**{name: "-1"})) == [("negative_number", f"symbol 'BRAVO', series 'EQ': {name} '-1'")]


def test_a_number_that_is_zero_or_small_is_not_named_beside_a_negative_one() -> None:
    """The detail lists what is below 0, and nothing else."""
    assert rules(judged(open="0", low="0.5", volume="-1", trades="0")) == [
        ("negative_number", "symbol 'BRAVO', series 'EQ': volume '-1'"),
    ]


def test_a_udiff_line_with_a_negative_settlement_is_rejected() -> None:
    """The columns that UDiFF alone has are held to the same rules."""
    found = day_of(
        "2024-07-08,2024-07-08,CM,NSE,STK,101,INE000A01015,ALPHA,EQ,,,,,ALPHA LTD,"
        "10.50,11.25,10.00,11.00,11.05,10.40,,-0.01,,,1500,16250.75,42,F1,1,,,,,",
        header=UDIFF_HEADER,
        day=date(2024, 7, 8),
    )
    assert rules(found) == [("negative_number", "symbol 'ALPHA', series 'EQ': settlement '-0.01'")]


@pytest.mark.parametrize("text", ["0", "0.00", "-0"])
def test_a_line_whose_close_is_not_above_zero_is_rejected(text: str) -> None:
    """A close of 0 is no price, and unlike the others it is always recorded."""
    assert rules(judged(close=text)) == [("close_not_positive", f"symbol 'BRAVO', series 'EQ': close '{text}'")]


def test_the_second_line_of_a_key_is_rejected() -> None:
    """The first one stays, whatever the second one says."""
    found = day_of(line(close="11"), line(close="12"), line(close="11"))
    assert found.rows["close"].to_list() == [11.0]
    assert [(reject.line, reject.rule, reject.detail) for reject in found.rejects] == [
        (3, "duplicate_key", "symbol 'BRAVO', series 'EQ'"),
        (4, "duplicate_key", "symbol 'BRAVO', series 'EQ'"),
    ]


def test_padding_does_not_make_another_key() -> None:
    """Keys are compared as they will be stored."""
    assert [rule for rule, _ in rules(day_of(line(), line(symbol=" BRAVO "), line(series="EQ ")))] == [
        "duplicate_key",
        "duplicate_key",
    ]


def test_one_symbol_in_several_series_is_no_duplicate() -> None:
    """EQ, BL and N1 of one symbol stand side by side."""
    assert day_of(line(series="EQ"), line(series="BL"), line(series="N1")).rejects == []


def test_a_key_is_not_taken_by_a_line_that_was_rejected() -> None:
    """The first line that can stand has the key."""
    found = day_of(line(close="abc"), line(close="12"), line(close="13"))
    assert found.rows["close"].to_list() == [12.0]
    assert [reject.rule for reject in found.rejects] == ["bad_number", "duplicate_key"]


def test_the_first_rule_that_is_broken_counts() -> None:
    """A line is counted once, however much is wrong with it."""
    everything = {"trade_date": "12-JAN-2024", "symbol": "", "volume": "", "high": "x", "low": "-1", "close": "0"}
    order = ["other_date", "missing_key", "missing_number", "bad_number", "negative_number", "close_not_positive"]
    seen = []
    for name in list(everything):
        seen.append(rules(judged(**everything))[0][0])
        del everything[name]
    assert seen == order


def test_raw_rows_are_rows_and_rejects() -> None:
    """No line goes away: what does not stand is kept aside."""
    found = day_of(line(), line(), "garbage", line(symbol="X", close="0"), line(symbol="Y"), ",,,")
    assert (found.rows.height, len(found.rejects)) == (2, 4)
    assert [reject.line for reject in found.rejects] == [3, 4, 5, 7]


# Warnings: one test a rule


@pytest.mark.parametrize(("close", "count"), [("8.99", 1), ("9", 0), ("12", 0), ("12.01", 1)])
def test_a_close_outside_low_and_high_is_counted_and_kept(close: str, count: int) -> None:
    """The exchange publishes such rows."""
    found = day_of(line(close=close))
    assert noted(found) == ({"close_outside_low_high": count} if count else {})
    assert (found.rows.height, found.rejects) == (1, [])


def test_a_close_is_not_held_against_prices_that_were_not_recorded() -> None:
    """A low of 0 is no low."""
    assert day_of(line(open="0", high="0", low="0")).warnings["close_outside_low_high"] == 0


def test_a_close_above_high_counts_without_a_low() -> None:
    """What was recorded is still held against it."""
    assert day_of(line(low="0", close="13")).warnings["close_outside_low_high"] == 1


def test_a_high_below_low_is_counted_and_kept() -> None:
    """The row stands; close cannot be within such bounds, so it counts there too."""
    found = day_of(line(high="9", low="12", close="11"))
    assert noted(found) == {"close_outside_low_high": 1, "high_below_low": 1}
    assert (found.rows.height, found.rejects) == (1, [])


@pytest.mark.parametrize(
    ("isin", "count"), [("INE", 1), ("DUMMY", 1), ("INE000A0101", 1), ("INE000A01015", 0), ("", 0)]
)
def test_a_dummy_isin_is_counted_and_kept(isin: str, count: int) -> None:
    """It stays as published; a missing one is no dummy."""
    found = day_of(line(isin=isin))
    assert noted(found) == ({"dummy_isin": count} if count else {})
    assert found.rows["isin"].to_list() == [isin or None]


def test_warnings_count_rows_that_stand() -> None:
    """Rejected lines are not counted a second time."""
    found = day_of(line(symbol="A", isin="INE"), line(symbol="B", isin="INE"), line(symbol="C", isin="INE", close="0"))
    assert found.warnings["dummy_isin"] == 2


def test_every_warning_is_counted_even_where_none_occurred() -> None:
    """A reader of the counts finds each rule by its name."""
    assert tuple(day_of(line()).warnings) == EQUITY.warning_names


# The day as a whole


def checked(good: int, bad: int, max_rejected_share: float = SHARE) -> str | None:
    """What is said of a day of so many good and bad lines; None where it stands."""
    lines = [line(symbol=f"GOOD{number}") for number in range(good)]
    found = day_of(*lines, *[line(symbol=f"BAD{number}", close="0") for number in range(bad)])
    assert (found.rows.height, len(found.rejects)) == (good, bad)
    try:
        check(found, DAY, "cm15JAN2024bhav.csv.zip", max_rejected_share)
    except CheckFailed as error:
        return str(error)
    return None


def test_a_day_without_rejects_stands() -> None:
    """One row is enough."""
    assert checked(1, 0) is None


def test_a_day_of_five_percent_rejects_stands() -> None:
    """The limit is inclusive: 1 of 20, 5 of 100."""
    assert checked(19, 1) is None
    assert checked(95, 5) is None


def test_a_day_of_more_than_five_percent_rejects_fails() -> None:
    """1 of 19 is 5.3 %: the error has the counts by rule, a sample, and what to do."""
    message = checked(18, 1)
    assert message is not None
    assert message.startswith("2024-01-15: too many rows were rejected; expected rows, at most 5% of them rejected; ")
    assert message.endswith(
        "found 19 raw rows, 1 rejected (close_not_positive 1), such as line 20: symbol 'BAD0', series 'EQ': close '0' "
        "[cm15JAN2024bhav.csv.zip]. The rejected rows are stored under rejects/. If the exchange republishes the day, "
        "delete its receipt under raw/ to fetch it again."
    )


def test_the_most_frequent_rule_is_named_first() -> None:
    """Three lines are shown, and all rules are counted."""
    found = day_of(line(), "a", line(symbol="B", close="0"), "c", "d")
    with pytest.raises(CheckFailed) as caught:
        check(found, DAY, "file", SHARE)
    assert caught.value.found == (
        "5 raw rows, 4 rejected (field_count 3, close_not_positive 1), such as line 3: 1 fields for 13 columns; "
        "line 4: symbol 'B', series 'EQ': close '0'; line 5: 1 fields for 13 columns"
    )


def test_a_very_long_value_makes_no_very_long_sentence() -> None:
    """What is kept of the line is all of it; what is told of it is its start."""
    text = line(close="9" * 400 + "x" * 90_000)
    found = day_of(text)
    [reject] = found.rejects
    assert reject.text == text
    assert len(reject.detail) < 200
    with pytest.raises(CheckFailed) as caught:
        check(found, DAY, "source", SHARE)
    assert len(str(caught.value)) < 1000


def test_the_limit_is_a_setting() -> None:
    """It may be looser, or nothing at all."""
    assert checked(1, 1, max_rejected_share=0.5) is None
    assert checked(999, 1, max_rejected_share=0.0) is not None


def test_a_limit_below_a_percent_is_shown_as_it_is() -> None:
    """Half a percent is not 0 %, and 2.5 % is not 2 %."""
    assert "at most 0.5% of them" in (checked(9, 1, max_rejected_share=0.005) or "")
    assert "at most 2.5% of them" in (checked(9, 1, max_rejected_share=0.025) or "")


def test_a_day_of_rejects_alone_fails_under_any_limit() -> None:
    """A day needs a row that stands."""
    assert checked(1, 0, max_rejected_share=1.0) is None
    found = day_of(line(close="0"))
    with pytest.raises(CheckFailed, match="1 raw rows, 1 rejected"):
        check(found, DAY, "file", max_rejected_share=1.0)


def test_a_day_without_any_row_fails() -> None:
    """Nothing was rejected, and nothing is there."""
    empty = normalized(Recognised(EQUITY, DAY, "file", LAYOUTS[1], LAYOUTS[1].columns, []))
    with pytest.raises(CheckFailed, match=r"^2024-01-15: there are no rows;") as caught:
        check(empty, DAY, "file", SHARE)
    assert caught.value.found == "0 raw rows, 0 rejected"


# What always holds

# Texts that a parser can stumble over, beside ones that make a good row.
numberlike = st.sampled_from(["0", "-0", "1", "-1", "11.5", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 30, "１"])
textlike = st.sampled_from(
    ["", " ", "NA", "NULL", "ALPHA", '"', '""', "'", ",", "\x00", "\x1c", "é", "\ufeff", "\u200b"]
)
datelike = st.sampled_from(["15-JAN-2024", "2024-01-15", "12-JAN-2024", "30-FEB-2024"])
nasty = st.one_of(numberlike, textlike, datelike)
fields = st.lists(st.one_of(nasty, st.text(max_size=5)), max_size=40)
broken_lines = st.one_of(fields.map(",".join), fields.map(lambda each: ",".join(f'"{field}"' for field in each)))
# Lines that are a good row but for a few fields, so that the later rules are met as well.
nearly_good_lines = st.lists(st.tuples(st.integers(0, 12), nasty), max_size=3)


def nearly_good(changes: list[tuple[int, str]]) -> str:
    """A good line with some of its fields exchanged."""
    values = line().split(",")
    for place, text in changes:
        values[place] = text
    return ",".join(values)


any_lines = st.lists(
    st.one_of(st.text(), broken_lines, nearly_good_lines.map(nearly_good)).map(lambda text: text.replace("\n", "")),
    max_size=12,
)


def assert_whole(found: Normalized, raw: int, day: date) -> None:
    """No row is lost, and each that stands is what the schema promises."""
    assert found.rows.height + len(found.rejects) == raw
    assert found.rows.schema == TYPES
    for column in EQUITY.columns:
        values = found.rows[column.name]
        assert not (column.required and values.null_count())
        if column.kind.type in ("Float64", "Int64"):
            assert values.drop_nulls().is_between(0, math.inf, closed="left").all()
        if column.zero_is_null:
            assert not (values == 0).any()
    assert (found.rows["close"] > 0).all()
    assert (found.rows["trade_date"] == day).all()
    assert found.rows.select("symbol", "series").is_unique().all()
    assert all(reject.rule and reject.detail and reject.trade_date == day for reject in found.rejects)
    assert sum(found.warnings.values()) <= found.rows.height * len(EQUITY.warning_names)


@given(any_lines, st.sampled_from(LAYOUTS))
def test_any_lines_become_rows_and_rejects(lines: list[str], layout: Layout) -> None:
    """Whatever the lines are, nothing untyped is raised, none is lost, and what stands keeps the schema's promises."""
    found = normalized(Recognised(EQUITY, DAY, "source", layout, layout.columns, lines))
    assert_whole(found, len(lines), DAY)


@given(any_lines)
def test_any_lines_keep_their_order_and_numbers(lines: list[str]) -> None:
    """Rejects are listed as in the file, each with its own line's number."""
    found = normalized(Recognised(EQUITY, DAY, "source", LAYOUTS[1], LAYOUTS[1].columns, lines))
    numbers = [reject.line for reject in found.rejects]
    assert numbers == sorted(set(numbers))
    assert all(2 <= number < len(lines) + 2 for number in numbers)


@given(st.lists(st.one_of(st.text(), nearly_good_lines.map(nearly_good)), max_size=8), st.booleans())
def test_any_file_under_a_good_header_is_a_day_or_an_error_of_the_package(lines: list[str], crlf: bool) -> None:
    """From bytes to rows: a typed error, or a whole day."""
    ending = "\r\n" if crlf else "\n"
    try:
        found = recognise(ending.join([HEADER, *lines]).encode(), EQUITY, DAY)
    except ChampionError:
        return
    assert_whole(normalized(found), len(found.lines), DAY)


prices = st.decimals("0.01", "99999999.99", places=2)
counts = st.integers(0, 2**63 - 1)
symbols = st.text("ABCXYZ019&-", min_size=1, max_size=10)
series = st.sampled_from(["EQ", "BE", "BL", "NA", "N1", "GS", "SM"])
names = st.text("ABC ,\"'%.é", min_size=1, max_size=20).filter(lambda text: text == text.strip())
keys = st.lists(st.tuples(symbols, series), min_size=1, max_size=6, unique=True)


@given(st.data())
def test_well_formed_legacy_rows_read_back_exactly(data: st.DataObject) -> None:
    """Every number is the double nearest to its text, every count is exact, every key is as written."""
    expected, lines = [], []
    for key in data.draw(keys):
        open_, high, low, close, last, previous, turnover = (data.draw(prices) for _ in range(7))
        volume, trades = data.draw(counts), data.draw(counts)
        numbers: list[Decimal | int] = [open_, high, low, close, last, previous, volume, turnover]
        # The legacy format writes no trailing zeros.
        texts = [f"{number.normalize():f}" if isinstance(number, Decimal) else f"{number}" for number in numbers]
        lines.append(",".join([*key, *texts, "15-JAN-2024", f"{trades}", "INE000A01015", ""]))
        expected.append((*key, *map(float, (open_, high, low, close, last, previous)), volume, float(turnover), trades))
    found = day_of(*lines)
    assert found.rejects == []
    columns = ["symbol", "series", "open", "high", "low", "close", "last", "prev_close", "volume", "turnover", "trades"]
    assert found.rows.select(columns).rows() == expected


@given(st.data())
def test_well_formed_udiff_rows_read_back_exactly(data: st.DataObject) -> None:
    """With names that need quotes, and the columns that UDiFF alone has."""
    expected, text = [], io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for symbol, its_series in data.draw(keys):
        name, close, settlement = data.draw(names), data.draw(prices), data.draw(prices)
        number, lot = data.draw(counts), data.draw(counts)
        values = {
            "TradDt": "2024-07-08",
            "Sgmt": "CM",
            "Src": "NSE",
            "FinInstrmId": number,
            "TckrSymb": symbol,
            "SctySrs": its_series,
            "FinInstrmNm": name,
            "ClsPric": close,
            "SttlmPric": settlement,
            "TtlTradgVol": 1,
            "TtlTrfVal": "0.10",
            "NewBrdLotQty": lot,
        }
        writer.writerow([values.get(column, "") for column in LAYOUTS[3].columns])
        expected.append((symbol, its_series, number, name, float(close), float(settlement), 0.1, lot))
    found = day_of(*text.getvalue().splitlines(), header=UDIFF_HEADER, day=date(2024, 7, 8))
    assert found.rejects == []
    columns = ["symbol", "series", "instrument_id", "name", "close", "settlement", "turnover", "lot_size"]
    assert found.rows.select(columns).rows() == expected


# Another data set


def _read_date(text: str, day: date) -> date | None:
    """The file's day, where the text has its number in the month."""
    return day if text == f"{day.day}" else None


# A key of one text, several words for an absent value, no warnings, and each thing that a column can state.
SMALL = Dataset(
    name="small",
    title="small file",
    sources=(Source("one", date(2024, 1, 1), date.max, "/small_{day:%d%m%Y}.csv"),),
    layouts=(Layout("one", date(2024, 1, 1), date.max, ("Day", "Name", "Level", "Change", "Value", "Note")),),
    columns=(
        Column("trade_date", model.DAY, "date, IST", "the day", "Day", required=True),
        Column("name", model.TEXT, "", "the key", "Name", required=True),
        Column("level", model.PRICE, "points", "above 0", {"one": "Level"}, required=True, positive=True),
        Column("change", model.PRICE, "points", "may be below 0", "Change", signed=True),
        Column("value", model.PRICE, "rupees", "published in crores", "Value", times=10_000_000),
        Column("note", model.TEXT, "", "a text", "Note"),
        Column("later", model.COUNT, "count", "not in the file", {"other": "Later"}),
        Column("layout", model.TEXT, "", "the source", required=True),
    ),
    key=("name",),
    sums=("level",),
    published_at=time(19, 0),
    nulls=("", "-", "NIL"),
    read_date=_read_date,
)


def small(*rows: str) -> Normalized:
    """A file of the small data set, taken all the way."""
    content = "\n".join(["Day,Name,Level,Change,Value,Note", *rows]).encode()
    found = recognise(content, SMALL, DAY)
    return normalize(parse(found), SMALL, "one", DAY)


def test_a_data_set_says_what_its_columns_hold() -> None:
    """Texts for absent values are null, a signed number may be negative, crores become rupees to the paisa."""
    found = small("15,A,5718.8,-36.35,198.39,x", "15,B,.27,-,NIL,-", "15,C,3,0.5,0.1234567891,NIL")
    assert found.rejects == []
    assert found.rows.rows() == [
        (DAY, "A", 5718.8, -36.35, 1_983_900_000.0, "x", None, "one"),
        (DAY, "B", 0.27, None, None, None, None, "one"),
        (DAY, "C", 3.0, 0.5, 1_234_567.89, None, None, "one"),
    ]
    assert found.rows.schema == pl.Schema(SMALL.types)


@pytest.mark.parametrize(
    ("row", "rule", "detail"),
    [
        ("15,B,0,1,1,x", "level_not_positive", "name 'B': level '0'"),
        ("15,B,-2,1,1,x", "negative_number", "name 'B': level '-2'"),
        ("15,B,1,1,-1,x", "negative_number", "name 'B': value '-1'"),
        ("15,B,-,1,1,x", "missing_number", "name 'B': level None"),
        ("15,B,1,NIL.,1,x", "bad_number", "name 'B': change 'NIL.'"),
        ("15,-,1,1,1,x", "missing_key", "name None"),
        ("15,A,9,1,1,x", "duplicate_key", "name 'A'"),
        ("16,B,1,1,1,x", "bad_date", "name 'B': date '16'"),
        ("15,B,1", "field_count", "3 fields for 6 columns"),
    ],
)
def test_a_data_sets_rules_come_from_its_columns(row: str, rule: str, detail: str) -> None:
    """The reject names the rule, the key and the value; the other row stands."""
    found = small("15,A,5,1,1,x", row)
    assert [(each.line, each.rule, each.detail, each.text) for each in found.rejects] == [(3, rule, detail, row)]
    assert found.rows.height == 1


def test_a_data_set_without_warnings_counts_none() -> None:
    """And equity, which has one word for an absent value, takes a dash for a bad number."""
    assert small("15,A,5,1,1,x").warnings == {}
    assert [each.rule for each in judged(high="-").rejects] == ["bad_number"]


# What a data set knows of its files

SLIPS = (
    Correction("one", DAY, {"Name": "A", "Level": "7"}, {"Name": "B", "Note": "NIL"}, "a test"),
    Correction("one", DAY, {"Day": "51"}, {"Day": "15"}, "a test"),
    Correction("two", DAY, {"Name": "A"}, {"Name": "of another source"}, "a test"),
    Correction("one", date(2024, 1, 16), {"Name": "A"}, {"Name": "of another day"}, "a test"),
)
TOTAL = Total("other_total", {"Name": ("Sum", "All")}, {"Note": ("x", "y")}, ("Level", "Change"), tolerance=0.001)


def known(*rows: str, **changes: Any) -> Normalized:
    """A file of the small data set with something that it knows, taken all the way."""
    dataset = dataclasses.replace(SMALL, **changes)
    found = recognise("\n".join(["Day,Name,Level,Change,Value,Note", *rows]).encode(), dataset, DAY)
    return normalize(parse(found), dataset, "one", DAY)


def test_a_known_slip_is_corrected_and_counted() -> None:
    """In each column that the correction states; blanks do not count, and other rows, sources and days are let be."""
    found = known("15,A,5,1,1,x", "15, A , 7,1,1,x", "51,C,8,1,1,x", "15,D,7,1,1,x", corrections=SLIPS)
    assert found.rejects == []
    assert found.rows.select("name", "level", "note").rows() == [
        ("A", 5.0, "x"),
        ("B", 7.0, None),
        ("C", 8.0, "x"),
        ("D", 7.0, "x"),
    ]
    assert found.warnings == {"corrected": 2}


def test_a_file_without_its_slip_is_left_alone() -> None:
    """The exchange may publish it again."""
    found = known("15,A,5,1,1,x", "15,B,7,1,1,x", corrections=SLIPS)
    assert found.rows["name"].to_list() == ["A", "B"]
    assert found.warnings == {"corrected": 0}


def test_a_corrected_row_keeps_to_the_rules() -> None:
    """A reject has the right key in its detail, and its text as published."""
    found = known("15,B,5,1,1,x", "15,A,7,1,1,x", corrections=SLIPS)
    assert [(each.rule, each.detail, each.text) for each in found.rejects] == [
        ("duplicate_key", "name 'B'", "15,A,7,1,1,x")
    ]
    assert found.warnings == {"corrected": 1}


def test_a_derived_column_is_made_of_the_others_for_the_day() -> None:
    """And warnings can be about it."""

    def derived(day: date) -> dict[str, pl.Expr]:
        return {"later": pl.col("level").cast(pl.Int64) + day.day}

    found = known("15,A,5,1,1,x", "15,B,7,1,1,x", derived=derived, warnings=lambda: {"large": pl.col("later") > 20})
    assert found.rows["later"].to_list() == [20, 22]
    assert found.warnings == {"large": 1}


@pytest.mark.parametrize(
    ("totals", "count"),
    [
        (("15,Sum,12,3,1,z",), 0),
        (("15,Sum,10,3,1,z", "15,All,2,-,1,z"), 0),
        (("15,Sum,12.012,3,1,z",), 0),
        (("15,Sum,12.02,3,1,z",), 1),
        (("15,Sum,12,3.1,1,z",), 1),
        (("15,Sum,12,0,1,z",), 0),
        (("15,Sum,12,3,1,x",), 1),
        ((), 0),
    ],
)
def test_the_totals_of_a_file_are_compared_with_its_rows(totals: tuple[str, ...], count: int) -> None:
    """Within the tolerance, and in each column that states one; a line that does not fit is neither."""
    source = dataclasses.replace(SMALL.sources[0], totals=(TOTAL,))
    found = known("15,A,5,1,1,x", "15,B,7,2,1, y ", "15,C,9,9,9,z", *totals, "15,Sum,99,99", sources=(source,))
    assert found.warnings == {"other_total": count}
    assert [each.rule for each in found.rejects] == ["field_count"]


# Columns that are not in the file


def _words(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each word of the note."""
    words = rows.with_columns(word=pl.col("note").str.split(" ")).explode("word")
    return words.with_columns(place=pl.int_range(1, pl.len() + 1).over("trade_date", "line"))


WORDS = dataclasses.replace(
    SMALL,
    name="words",
    columns=(
        *SMALL.columns[:-2],
        Column("word", model.TEXT, "", "a word of the note", derived=True),
        Column("place", model.COUNT, "count", "the word's place", required=True, derived=True),
        Column("line", model.COUNT, "line", "the line of the file", required=True, derived=True),
        SMALL.columns[-1],
    ),
    key=("name", "place"),
    derive=_words,
)


def words(derive: Callable[[pl.DataFrame], pl.DataFrame], *rows: str) -> Normalized:
    """A file of the data set with derived columns, taken all the way."""
    content = "\n".join(["Day,Name,Level,Change,Value,Note", *rows]).encode()
    dataset = dataclasses.replace(WORDS, derive=derive)
    return normalize(parse(recognise(content, dataset, DAY)), dataset, "one", DAY)


def test_a_data_set_may_make_several_rows_of_a_line() -> None:
    """They are counted, and share the number of their line; rejects are no part of it."""
    found = words(_words, "15,A,1,1,1,one two three", "15,B,0,1,1,four", "15,C,2,1,1,five")
    assert found.rows.select("name", "word", "place", "line").rows() == [
        ("A", "one", 1, 2),
        ("A", "two", 2, 2),
        ("A", "three", 3, 2),
        ("C", "five", 1, 4),
    ]
    assert [(each.rule, each.line) for each in found.rejects] == [("level_not_positive", 3)]
    assert found.further == 2


@pytest.mark.parametrize(
    "derive", [lambda rows: rows.head(0), lambda rows: pl.concat([rows, rows]), lambda rows: rows.reverse()]
)
def test_a_derivation_that_loses_doubles_or_moves_a_row_is_a_fault_of_the_package(
    derive: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    """No line is dropped in silence."""
    with pytest.raises(AssertionError, match="words: derive lost or moved a row, or gave two of them one key"):
        words(lambda rows: derive(_words(rows)), "15,A,1,1,1,one", "15,B,1,1,1,two")
