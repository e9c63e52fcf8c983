"""The further files of the simulated equity, cm_bhavcopy and the zip for the press: one market in other shapes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import date

import polars as pl
import pytest

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.simulated.exchange import payload, respond

DAY = date(2024, 5, 2)
LAST_OLD, FIRST_NEW = date(2025, 10, 10), date(2025, 10, 13)


def normalized(day: date, format: str) -> Normalized:
    """A simulated day from one of its sources, taken all the way."""
    content = payload(day, format)
    assert content is not None
    table = parse(recognise(content, EQUITY, day, format=format))
    found = normalize(table, EQUITY, format, day)
    assert found.rejects == []
    assert table.height == found.rows.height + found.skipped
    return found


def rows(day: date, format: str) -> pl.DataFrame:
    """A simulated day's rows from one of its sources, in the order of their keys."""
    return normalized(day, format).rows.sort("symbol", "series")


def members(day: date) -> dict[str, str]:
    """The files of a simulated day's zip for the press."""
    with zipfile.ZipFile(io.BytesIO(payload(day, "pr") or b"")) as archive:
        return {name: archive.read(name).decode("ascii") for name in archive.namelist()}


def prices(day: date) -> list[list[str]]:
    """The fields of each line of Pd, without the blanks around them."""
    (text,) = (text for name, text in members(day).items() if name.lower().startswith("pd"))
    return [[field.strip() for field in line.split(",")] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("format", "digest"),
    [
        ("cm_bhavcopy", "37d978bdd9276d656db380dba6b34324740fd3a0ff5b60eea26265c914e35740"),
        ("pr", "44388937be54f5e50a71fa54e5c3aff94526cb191573ad166dbe4a4d366c66ac"),
    ],
)
def test_a_date_has_the_same_bytes_on_every_machine(format: str, digest: str) -> None:
    """A deliberate change of the simulation changes them."""
    assert hashlib.sha256(payload(DAY, format) or b"").hexdigest() == digest


@pytest.mark.parametrize("day", [date(2024, 4, 1), DAY, date(2024, 6, 21), date(2024, 7, 5)])
def test_cm_bhavcopy_has_the_values_of_the_legacy_file(day: date) -> None:
    """Key by key, as on the real dates that have both."""
    assert rows(day, "cm_bhavcopy").drop("layout").equals(rows(day, "legacy").drop("layout"))


@pytest.mark.parametrize(
    ("day", "format"),
    [(date(2010, 1, 4), "legacy"), (date(2012, 2, 21), "legacy"), (DAY, "udiff"), (FIRST_NEW, "udiff")],
)
def test_the_press_has_the_values_of_the_official_file(day: date, format: str) -> None:
    """All but the last price, the ISIN and what UDiFF alone has beside the name."""
    press, official = rows(day, "pr"), rows(day, format)
    lacking = ["isin", "instrument_id", "last", "settlement", "lot_size", "layout"]
    lacking += [] if format == "udiff" else ["name", "trades"]
    assert press.drop(lacking).equals(official.drop(lacking))
    assert press["isin"].null_count() == press["last"].null_count() == press.height


def test_indices_and_titles_are_skipped_and_counted() -> None:
    """They are in the file, are no shares, and nothing is wrong with them."""
    lines = prices(DAY)
    others = [line for line in lines[1:] if not line[2]]
    assert normalized(DAY, "pr").skipped == len(others) > 80


def test_the_indices_stand_first_and_have_names_of_their_own() -> None:
    """No two are the same, and few are those of the file of index closes."""
    marks = [line[0] for line in prices(DAY)[1:]]
    count = marks.count("Y")
    assert marks[:count] == ["Y"] * count
    names = [line[3] for line in prices(DAY)[1 : count + 1]]
    assert len(set(names)) == count
    assert max(map(len, names)) > 18 >= sorted(map(len, names))[count // 2]


def test_the_first_index_has_the_totals_of_the_market() -> None:
    """Volume and trades are those of all rows, exactly."""
    first, shares = prices(DAY)[1], rows(DAY, "pr")
    assert [int(first[10]), int(first[13])] == [shares["volume"].sum(), shares["trades"].sum()]


def test_numbers_are_padded() -> None:
    """To 13 characters, the value traded to 28."""
    (text,) = (text for name, text in members(DAY).items() if name.startswith("Pd"))
    line = next(line for line in text.splitlines() if line.startswith("N,")).split(",")
    assert [len(line[place]) for place in (4, 5, 6, 7, 8, 9, 14, 15)] == [13] * 5 + [28] + [13] * 2


def test_names_changed_on_2025_10_13() -> None:
    """Lower case and eight digits; before that, six digits but for one file, and capitals."""
    assert {"Pd101025.csv", "Bc101025.csv", "MCAP10102025.csv", "Readme.txt"} <= members(LAST_OLD).keys()
    assert {"pd13102025.csv", "bc13102025.csv", "mcap13102025.csv", "readme.txt"} <= members(FIRST_NEW).keys()
    assert "10/10/2025" in members(LAST_OLD)["Bc101025.csv"]
    assert "2025-10-13" in members(FIRST_NEW)["bc13102025.csv"]


@pytest.mark.parametrize(
    ("format", "day"),
    [("pr", date(2010, 1, 1)), ("cm_bhavcopy", date(2024, 3, 28)), ("cm_bhavcopy", date(2024, 7, 8))],
)
def test_there_is_no_file_outside_its_dates(format: str, day: date) -> None:
    """A session without that file is not found."""
    source = EQUITY.source(format)
    assert source is not None
    assert payload(day, format) is None
    assert respond(source.path_of(day))[0] == 404
