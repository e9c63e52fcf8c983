"""Real published files beside the checkout, against a reading of them that shares no code with the package."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import campaign
import polars as pl
import pytest
from helpers import SHARED, format_and_date

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, check, normalize
from champion_luigi.parsing.payload import recognise

ARCHIVE = SHARED / "archive"
_Found = TypeVar("_Found")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the published files are not beside the checkout"),
]

# The source's names of volume and turnover.
SUMMED = {
    "legacy": ("TOTTRDQTY", "TOTTRDVAL"),
    "udiff": ("TtlTradgVol", "TtlTrfVal"),
    "cm_bhavcopy": ("TtlTradgVol", "TtlTrfVal"),
    "pr": ("NET_TRDQTY", "NET_TRDVAL"),
}
# The columns that not every source has.
NOT_IN_ALL = ["isin", "instrument_id", "name", "last", "settlement", "lot_size", "layout"]


@lru_cache
def files() -> dict[Path, tuple[str, date]]:
    """Every zip of the archive, with its format and date by its path."""
    found = {path: format_and_date("/" + path.relative_to(ARCHIVE).as_posix()) for path in ARCHIVE.rglob("*.zip")}
    return {path: known for path, known in sorted(found.items()) if known is not None}


def groups() -> list[str]:
    """The formats and years that the archive has."""
    return sorted({f"{format} {day.year}" for format, day in files().values()})


def some(found: list[_Found]) -> list[_Found]:
    """All of them in the whole campaign, else a few from the first to the last."""
    return found if campaign.IS_WHOLE else [*found[:: max(1, len(found) // 5)], *found[-1:]]


def normalized(path: Path, format: str, day: date) -> Normalized:
    """A file, taken all the way."""
    found = recognise(path.read_bytes(), EQUITY, day, path.name, format=format)
    assert found.layout.source == format
    return normalize(parse(found), EQUITY, format, day)


def counted(path: Path, format: str) -> tuple[int, int, Decimal]:
    """Rows, volume and turnover of a file, by the csv module and exact arithmetic."""
    with zipfile.ZipFile(path) as archive:
        (name,) = (each for each in archive.namelist() if format != "pr" or each.startswith("Pd"))
        header, *rows = csv.reader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline=""))
    volume, turnover = (header.index(column) for column in SUMMED[format])
    rows = [row for row in rows if any(field.strip() for field in row)]
    if format == "pr":
        # Indices and titles have no symbol.
        rows = [row for row in rows if row[header.index("SYMBOL")].strip()]
    return len(rows), sum(int(row[volume]) for row in rows), sum((Decimal(row[turnover]) for row in rows), Decimal(0))


def differences(path: Path, format: str, day: date) -> list[str]:
    """What of a file is not as the independent count has it."""
    found = normalized(path, format, day)
    check(found, day, path.name, 0.05)
    rows, volume, turnover = counted(path, format)
    said = []
    if found.rows.height + len(found.rejects) != rows:
        said.append(f"{rows} raw rows, {found.rows.height} normalized, {len(found.rejects)} rejected")
    if (found.skipped > 0) is not (format == "pr"):
        said.append(f"{found.skipped} rows skipped")
    if found.rejects:
        said.append(f"rejected: {found.rejects[:3]}")
    if found.rows["volume"].sum() != volume:
        said.append(f"volume {found.rows['volume'].sum()}, not {volume}")
    if not math.isclose(found.rows["turnover"].sum(), turnover, rel_tol=1e-12):
        said.append(f"turnover {found.rows['turnover'].sum()}, not {turnover}")
    return said


def test_there_are_files_of_every_format() -> None:
    """An archive that is there, and empty, would make every other test pass."""
    formats = [format for format, _ in files().values()]
    assert formats.count("legacy") > 800
    assert formats.count("udiff") > 50
    assert formats.count("cm_bhavcopy") > 5
    assert formats.count("pr") > 50


@pytest.mark.faults
@pytest.mark.parametrize("group", groups())
def test_every_file_reads_as_an_independent_count_has_it(group: str) -> None:
    """No row of a real file is rejected; rows, volume and turnover are those of the file."""
    there = files()
    of_group = [path for path, (format, day) in there.items() if f"{format} {day.year}" == group]
    said = {path.name: differences(path, *there[path]) for path in some(of_group)}
    assert {name: lines for name, lines in said.items() if lines} == {}


@pytest.mark.faults
def test_the_formats_agree_on_the_dates_that_have_both() -> None:
    """Keys and values are identical, a blank LastPric standing as LAST 0; a few ISINs are newer in UDiFF."""
    both = days_of("legacy", "udiff")
    assert len(both) > 30

    other_isins = set()
    for day in some(both):
        legacy, udiff = (rows_of(format, day) for format in ("legacy", "udiff"))
        only_udiff = ["instrument_id", "name", "settlement", "lot_size", "layout"]
        legacy, udiff = legacy.drop(only_udiff), udiff.drop(only_udiff)
        assert legacy.drop("isin").equals(udiff.drop("isin")), f"the formats differ on {day}"
        apart = legacy.filter(~legacy["isin"].eq_missing(udiff["isin"]))
        other_isins |= set(apart["symbol"])
    assert len(other_isins) <= 3


@pytest.mark.faults
@pytest.mark.parametrize("format", ["legacy", "udiff"])
def test_cm_bhavcopy_has_the_rows_and_values_of_the_official_file(format: str) -> None:
    """All that legacy has, on each of the dates that have both."""
    both = days_of("cm_bhavcopy", format)
    assert len(both) > 4
    for day in both:
        ours, theirs = (rows_of(each, day) for each in ("cm_bhavcopy", format))
        only_udiff = ["instrument_id", "name", "settlement", "lot_size", "layout"]
        assert ours.drop(only_udiff).equals(theirs.drop(only_udiff)), f"the formats differ on {day}"
        assert all(ours[name].null_count() == ours.height for name in only_udiff[:-1])


@pytest.mark.faults
@pytest.mark.parametrize("format", ["legacy", "udiff", "cm_bhavcopy"])
def test_pr_has_the_values_of_the_official_file_and_all_rows_but_those_of_x1(format: str) -> None:
    """It lacks the last price, the ISIN and what only UDiFF has but the name, and the few rows of series X1."""
    both = days_of("pr", format)
    assert len(both) > 4
    for day in some(both):
        ours, theirs = (rows_of(each, day) for each in ("pr", format))
        rest = theirs.filter(pl.col("series") != "X1")
        assert ours.drop(NOT_IN_ALL).equals(rest.drop(NOT_IN_ALL)), f"the formats differ on {day}"
        if format == "udiff":
            assert ours["name"].equals(rest["name"])
        assert theirs.height - rest.height < 3
        lacks = {"isin", "instrument_id", "last", "settlement", "lot_size"}
        assert {name for name in ours.columns if ours[name].null_count() == ours.height} == lacks


def days_of(*formats: str) -> list[date]:
    """The dates that the archive has in each of the formats."""
    dates = [{day for found, day in files().values() if found == format} for format in formats]
    return sorted(set.intersection(*dates))


def rows_of(format: str, day: date) -> pl.DataFrame:
    """The rows of a day in a format, in the order of their keys."""
    (path,) = (path for path, known in files().items() if known == (format, day))
    return normalized(path, format, day).rows.sort("symbol", "series")
