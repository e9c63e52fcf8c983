"""Corporate actions: the list in the zip for the press, a row for each action of a purpose, and its accounting."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from champion_luigi.base.errors import CheckFailed, NotPublished, WrongDate
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.exchange import sessions
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, check, normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.simulated import exchange

DAY, NEW_DAY, EMPTY = date(2024, 5, 2), date(2025, 10, 13), date(2022, 1, 10)
HEADER = "SERIES,SYMBOL,SECURITY,RECORD_DT,BC_STRT_DT,BC_END_DT,EX_DT,ND_STRT_DT,ND_END_DT,PURPOSE"


def zipped(name: str, text: str) -> bytes:
    """A zip for the press whose list has this name and content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Readme.txt", "text")
        archive.writestr(name, text)
    return buffer.getvalue()


def taken(content: bytes, day: date = DAY, source: str = "pr") -> Normalized:
    """A published file, taken all the way. Each line is in the rows or in the rejects, whatever it says."""
    table = parse(recognise(content, CORPORATE_ACTIONS, day, format=source))
    found = normalize(table, CORPORATE_ACTIONS, source, day)
    assert table.height + found.further == found.rows.height + len(found.rejects) + found.skipped
    assert sorted([*found.rows["line"].unique(), *(each.line for each in found.rejects)]) == table["_line"].to_list()
    return found


def listed(*lines: str, day: date = DAY) -> Normalized:
    """A list with these lines, taken all the way."""
    return taken(zipped(f"Bc{day:%d%m%y}.csv", "\r\n".join([HEADER, *lines, ""])), day)


def line(purpose: str, symbol: str = "ALPHA", ex_date: str = "10/05/2024") -> str:
    """A line of a list, with its purpose padded to 25 characters."""
    return f"EQ,{symbol},Alpha Limited,11/05/2024, , ,{ex_date}, , ,{purpose:25}"


def stated(found: Normalized) -> list[dict[str, Any]]:
    """The rows' columns that were read from the purpose, without nulls."""
    read = pl.col("number", "part", "kind", "amount", "ratio_new", "ratio_old", "from_value", "to_value", "factor")
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in found.rows.select(read).iter_rows(named=True)
    ]


def test_a_line_is_a_row() -> None:
    """With the day of its list, its dates, and the text without padding."""
    [row] = (
        listed("BE,ALPHA,Alpha Limited , ,04/05/2024,14/05/2024,03/05/2024, , ,AGM/DIV - RS 5 PER SH    ")
        .rows.head(1)
        .rows(named=True)
    )
    assert (row["trade_date"], row["symbol"], row["series"], row["name"]) == (DAY, "ALPHA", "BE", "Alpha Limited")
    assert (row["ex_date"], row["record_date"]) == (date(2024, 5, 3), None)
    assert (row["book_closure_start"], row["book_closure_end"]) == (date(2024, 5, 4), date(2024, 5, 14))
    assert (row["purpose"], row["line"], row["layout"]) == ("AGM/DIV - RS 5 PER SH", 2, "pr")


def test_a_purpose_of_several_actions_gives_several_rows() -> None:
    """They share their line, and are numbered by their place in the text."""
    found = listed(line("BONUS 1:4/DIV - RS 2.50"), line("FVSPLT FRM RS 10 TO RE 1", symbol="BRAVO"))
    assert stated(found) == [
        {"number": 1, "part": 1, "kind": "bonus", "ratio_new": 1, "ratio_old": 4, "factor": 1.25},
        {"number": 1, "part": 2, "kind": "dividend", "amount": 2.5},
        {"number": 1, "part": 1, "kind": "split", "from_value": 10.0, "to_value": 1.0, "factor": 10.0},
    ]
    assert found.rows["line"].to_list() == [2, 2, 3]
    assert found.further == 1


def test_a_text_that_is_not_understood_is_a_row_and_a_warning() -> None:
    """It has no kind and no numbers; what was not understood stands beside it."""
    found = listed(line("TERMS AS ANNOUNCED"), line("BONUS 1:1/TERMS TO COME"), line("BONUS 1:1"))
    assert found.rejects == []
    rows = found.rows.select("purpose", "kind", "understood", "not_understood").rows()
    assert rows == [
        ("TERMS AS ANNOUNCED", None, False, "TERMS AS ANNOUNCED"),
        ("BONUS 1:1/TERMS TO COME", "bonus", False, "TERMS TO COME"),
        ("BONUS 1:1", "bonus", True, None),
    ]
    assert found.warnings["not_understood"] == 2


def test_warnings_count_lines() -> None:
    """Not the actions in them."""
    found = listed(line("INT PAYMENT/REDEMPTION", ex_date=" "), line("SOMETHING/AGM/BONUS 1:1"))
    assert found.rows.height == 4
    assert found.warnings == {"not_understood": 1, "no_ex_date": 1, "repeated_notice": 0, "invisible_in_key": 0}


def test_a_number_that_may_be_cut_is_not_understood() -> None:
    """The field has 25 characters; a text that fills it and ends in a number may go on."""
    found = listed(line("AGM/DIV-RS 2/SPLDIV-RS 10"), line("AGM/DIV-RS 2/SPLDIV-RS 1", symbol="BRAVO"))
    assert found.rows["understood"].to_list() == [False, False, True, True, True]
    assert found.rows.filter(pl.col("symbol") == "ALPHA")["kind"].to_list() == ["meeting", "dividend"]


def test_a_comma_in_a_purpose_is_part_of_it() -> None:
    """As on eleven real days: the field is the last one, and nothing quotes it."""
    found = listed(line("AGM, DIV - RS 5 PER SH"))
    assert found.rejects == []
    assert found.rows["purpose"].to_list() == ["AGM, DIV - RS 5 PER SH"] * 2
    assert found.rows["kind"].to_list() == ["meeting", "dividend"]


def test_a_quoted_line_is_read_as_csv() -> None:
    """The exchange quotes nothing, but CSV allows it."""
    found = listed('EQ,ALPHA,"Alpha, Limited",,,,10/05/2024,,,AGM,DIV - RS 5')
    assert found.rows.select("name", "purpose").unique().rows() == [("Alpha, Limited", "AGM,DIV - RS 5")]


def test_lines_with_the_same_text_are_numbered() -> None:
    """Two dates of one text, or a line that is there twice: none is dropped."""
    twice = [line("DIV - RS 5 PER SH"), line("DIV - RS 5 PER SH", ex_date="17/05/2024"), line("DIV - RS 5 PER SH")]
    found = listed(*twice)
    assert found.rejects == []
    assert found.rows["number"].to_list() == [1, 2, 3]
    assert found.warnings["repeated_notice"] == 1


@pytest.mark.parametrize(
    ("broken", "rule", "detail"),
    [
        (line("AGM", ex_date="31/02/2024"), "bad_date", "ex_date '31/02/2024'"),
        (line("AGM", symbol=" "), "missing_key", "symbol None"),
        (line(" "), "missing_key", "purpose None"),
        ("EQ,ALPHA,Alpha Limited,AGM", "field_count", "4 fields for 10 columns"),
        ("EQ,ALPHA,Alpha, Limited,11/05/2024, , ,10/05/2024, , ,AGM", "bad_date", "record_date 'Limited'"),
    ],
)
def test_a_line_that_breaks_a_rule_is_a_reject(broken: str, rule: str, detail: str) -> None:
    """It is stored with its text."""
    found = listed(line("BONUS 1:1", symbol="BRAVO"), broken)
    assert found.rows["symbol"].to_list() == ["BRAVO"]
    [reject] = found.rejects
    assert (reject.rule, reject.line) == (rule, 3)
    assert detail in reject.detail


def test_the_share_of_rejects_is_of_lines() -> None:
    """Several actions of a line make the file no better."""
    lines = [line("AGM/BONUS 1:1/DIV - RS 1") for _ in range(3)]
    found = listed(*lines, line("AGM", symbol=" "))
    assert (found.rows.height, len(found.rejects)) == (9, 1)
    check(found, DAY, "file", 0.25)
    with pytest.raises(CheckFailed, match="4 raw rows, 1 rejected"):
        check(found, DAY, "file", 0.24)


@pytest.mark.parametrize(
    ("name", "day", "written"),
    [
        ("Bc101025.csv", date(2025, 10, 10), "17/10/2025"),
        ("Bc10102025.csv", date(2025, 10, 10), "17/10/2025"),
        ("bc13102025.csv", NEW_DAY, "2025-10-17"),
    ],
)
def test_names_and_dates_of_both_eras_are_read(name: str, day: date, written: str) -> None:
    """They changed on 2025-10-13."""
    found = taken(zipped(name, f"{HEADER}\n{line('BONUS 1:1', ex_date=written)}\n"), day)
    assert found.rows["ex_date"].to_list() == [date(2025, 10, 17)]


def test_a_list_of_another_day_is_refused() -> None:
    """Rows have no day of their own: the member's name states it."""
    with pytest.raises(WrongDate, match=r"Bc020524\.csv"):
        taken(zipped("Bc030524.csv", f"{HEADER}\n{line('BONUS 1:1')}\n"))


@pytest.mark.parametrize("text", ["", "\r\n", f"{HEADER}\r\n"])
def test_an_empty_list_is_no_list(text: str) -> None:
    """As on 2022-01-10: there is nothing to store, and it is requested again like any missing file."""
    with pytest.raises(NotPublished, match="has no rows"):
        taken(zipped("Bc020524.csv", text))


# The simulated lists


def simulated(day: date) -> pl.DataFrame:
    """A simulated day, without a reject."""
    content = exchange.payload(day, "pr", CORPORATE_ACTIONS)
    assert content is not None
    found = taken(content, day)
    assert found.rejects == []
    return found.rows


@pytest.fixture(scope="module")
def two_months() -> pl.DataFrame:
    """All lists of two simulated months."""
    return pl.concat(map(simulated, sessions.sessions(date(2025, 9, 1), date(2025, 11, 1))))


def test_the_simulated_lists_have_each_kind(two_months: pl.DataFrame) -> None:
    """And texts that are not understood, of several actions, with a comma, and lines without a date."""
    kinds = {
        *("split", "bonus", "consolidation", "rights", "dividend", "special_dividend", "demerger", "interest"),
        *("buyback", "meeting", "other", None),
    }
    assert set(two_months["kind"]) == kinds
    assert two_months["part"].max() == 2
    assert two_months["ex_date"].null_count() > 0
    assert two_months["purpose"].str.contains(",", literal=True).any()


def test_simulated_notices_move_and_vanish(two_months: pl.DataFrame) -> None:
    """The lists of a bonus: with two dates one after the other, and gone long before the date."""
    bonuses = (
        two_months.filter((pl.col("kind") == "bonus") & (pl.col("series") == "EQ"))
        .group_by("symbol", "purpose")
        .agg(pl.col("ex_date").n_unique(), left=pl.col("ex_date").last() - pl.col("trade_date").max())
    )
    assert (bonuses["ex_date"] == 2).any()
    assert (bonuses["left"] > timedelta(days=5)).any()


def test_the_simulated_list_of_2022_01_10_is_empty() -> None:
    """As the real one."""
    with pytest.raises(NotPublished):
        simulated(EMPTY)


# The real files


def published(path: Path) -> tuple[date, list[dict[str, str]]]:
    """The day and the lines of a real list, by the csv module."""
    with zipfile.ZipFile(path) as archive:
        (name,) = (each for each in archive.namelist() if each.lower().startswith("bc"))
        text = archive.read(name).decode("utf-8")
    names, *rows = csv.reader(io.StringIO(text, newline=""))
    day = datetime.strptime(path.stem, "PR%d%m%y").date()
    return day, [dict(zip(names, map(str.strip, row), strict=True)) for row in rows if any(map(str.strip, row))]


@pytest.fixture(scope="module")
def real(shared: Callable[[str], Path]) -> dict[date, tuple[list[dict[str, str]], pl.DataFrame]]:
    """The lines and the rows of each real list."""
    found = {}
    for path in sorted(shared("archive/archives/equities/bhavcopy/pr").glob("PR*.zip")):
        day, lines = published(path)
        normalized = taken(path.read_bytes(), day)
        assert normalized.rejects == []
        found[day] = lines, normalized.rows
    assert found
    return found


@pytest.mark.integration
def test_every_real_line_is_there(real: dict[date, tuple[list[dict[str, str]], pl.DataFrame]]) -> None:
    """With its values, in order, and with nothing else."""
    columns = {
        "SERIES": "series",
        "SYMBOL": "symbol",
        "SECURITY": "name",
        "RECORD_DT": "record_date",
        "BC_STRT_DT": "book_closure_start",
        "BC_END_DT": "book_closure_end",
        "EX_DT": "ex_date",
        "ND_STRT_DT": "no_delivery_start",
        "ND_END_DT": "no_delivery_end",
        "PURPOSE": "purpose",
    }

    def written(value: object) -> str:
        return f"{value:%d/%m/%Y}" if isinstance(value, date) else str(value or "")

    for lines, rows in real.values():
        first = rows.filter(pl.col("part") == 1).sort("line")
        found = [
            {theirs: written(row[ours]) for theirs, ours in columns.items()} for row in first.iter_rows(named=True)
        ]
        assert found == lines


def counted(lines: list[dict[str, str]]) -> Iterator[str]:
    """The kinds that some plain words of the vocabulary name, without the grammar."""
    for each in lines:
        text = each["PURPOSE"]
        if re.search(r"FV ?SPL", text):
            yield "split"
        if re.search(r"BONUS \d+:\d+", text):
            yield "bonus"
        if re.search(r"RI?GH?TS ?\d+:\d+", text):
            yield "rights"
        if re.search(r"SPL? ?DIV|SPDV|SP/INTDIV", text):
            yield "special_dividend"
        if re.search(r"BUY ?BACK", text):
            yield "buyback"


@pytest.mark.integration
def test_real_kinds_are_those_of_a_count_by_words(
    real: dict[date, tuple[list[dict[str, str]], pl.DataFrame]],
) -> None:
    """Of the kinds that plain words find; all lines but those of one text are understood."""
    expected: Counter[str] = Counter()
    found: Counter[str] = Counter()
    not_understood: Counter[str] = Counter()
    for lines, rows in real.values():
        expected.update(counted(lines))
        found.update(rows["kind"].drop_nulls().to_list())
        not_understood.update(rows.filter((pl.col("part") == 1) & ~pl.col("understood"))["purpose"].to_list())
    assert {kind: found[kind] for kind in expected} == dict(expected)
    assert not_understood.keys() <= {"CONSO/CAP RED"}


# The website's export


def exported(*rows: str) -> Normalized:
    """An export with these rows, taken all the way."""
    header = '"SYMBOL","COMPANY NAME","SERIES","PURPOSE","FACE VALUE","EX-DATE","RECORD DATE",'
    header += '"BOOK CLOSURE START DATE","BOOK CLOSURE END DATE"'
    return taken("\n".join([header, *rows, ""]).encode("utf-8-sig"), DAY, "export")


def test_an_export_is_a_list_of_the_day_that_ends_it() -> None:
    """In the same columns; a dash stands for no date, and texts are whole."""
    found = exported(
        '"ALPHA","Alpha, Limited","EQ"," Face Value Split (Sub-Division) - From Rs 10/- Per Share To Re 1/- Per Share",'
        '"1","06-Jan-2016","07-Jan-2016","-","-"',
        '"BRAVO","Bravo Limited","EQ"," Dividend - 20%","10","07-Jan-2016","-","08-Jan-2016","09-Jan-2016"',
    )
    assert found.rejects == []
    first, second = found.rows.rows(named=True)
    assert (first["trade_date"], first["layout"], first["name"]) == (DAY, "export", "Alpha, Limited")
    assert (first["ex_date"], first["record_date"]) == (date(2016, 1, 6), date(2016, 1, 7))
    assert (first["kind"], first["factor"], first["face_value"]) == ("split", 10.0, 1.0)
    assert first["purpose"].endswith("To Re 1/- Per Share")
    assert (second["book_closure_start"], second["book_closure_end"]) == (date(2016, 1, 8), date(2016, 1, 9))
    # The face value is as of the export, so it makes no rupees of a percentage.
    assert (second["percent"], second["amount"]) == (20.0, None)


def test_a_simulated_export_has_what_the_lists_have() -> None:
    """Each split, bonus and rights issue on shares of a month, with the same terms and date."""
    content = exchange.payload(date(2025, 10, 31), "export", CORPORATE_ACTIONS)
    assert content is not None
    found = taken(content, date(2025, 10, 31), "export")
    assert found.rejects == []
    assert found.rows.height > 100
    terms = ["symbol", "kind", "ex_date", "ratio_new", "ratio_old", "from_value", "to_value"]
    lists = pl.concat(map(simulated, sessions.sessions(date(2025, 9, 25), date(2025, 11, 1))))

    def of_shares(rows: pl.DataFrame) -> set[tuple[Any, ...]]:
        is_within = pl.col("ex_date").is_between(date(2025, 10, 6), date(2025, 10, 30))
        is_of_shares = pl.col("kind").is_in(["split", "bonus", "rights"])
        return set(rows.filter(is_of_shares & is_within).select(terms).rows())

    assert of_shares(found.rows) - of_shares(lists) == set()


@pytest.mark.integration
def test_every_row_of_the_real_export_is_there(shared: Callable[[str], Path]) -> None:
    """With its values and its order, by the csv module."""
    for path in shared("archive/corporate_actions").glob("CF-CA-equities-*.csv"):
        found = CORPORATE_ACTIONS.of_path(f"/corporate_actions/{path.name}")
        assert found is not None
        rows = taken(path.read_bytes(), found[1], found[0].name)
        lines = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
        assert rows.rejects == []
        first = rows.rows.filter(pl.col("part") == 1).sort("line")
        assert first.height == len(lines) > 10_000
        for row, each in zip(first.iter_rows(named=True), lines, strict=True):
            texts = (row["symbol"], row["name"], row["series"], row["purpose"], f"{row['ex_date']:%d-%b-%Y}")
            names = ("SYMBOL", "COMPANY NAME", "SERIES", "PURPOSE", "EX-DATE")
            assert texts == tuple(each[name].strip() for name in names)
            closure = row["book_closure_start"]
            assert (f"{closure:%d-%b-%Y}" if closure else "-") == each["BOOK CLOSURE START DATE"].strip()
            assert row["face_value"] == (float(each["FACE VALUE"]) if each["FACE VALUE"].strip("-") else None)
        assert rows.warnings["not_understood"] < 0.005 * len(lines)
