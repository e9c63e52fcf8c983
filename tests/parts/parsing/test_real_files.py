"""Real published files beside the checkout, against a reading of them that shares no code with the package."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import campaign
import pytest
from helpers import SHARED, format_and_date

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, check, normalize
from champion_luigi.parsing.payload import recognise

ARCHIVE = SHARED / "archive"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the published files are not beside the checkout"),
]

# The source's names of volume and turnover.
SUMMED = {"legacy": ("TOTTRDQTY", "TOTTRDVAL"), "udiff": ("TtlTradgVol", "TtlTrfVal")}


def files() -> dict[Path, tuple[str, date]]:
    """Every zip of the archive, with its format and date by its path."""
    found = {path: format_and_date("/" + path.relative_to(ARCHIVE).as_posix()) for path in ARCHIVE.rglob("*.zip")}
    return {path: known for path, known in sorted(found.items()) if known is not None}


def groups() -> list[str]:
    """The formats and years that the archive has."""
    return sorted({f"{format} {day.year}" for format, day in files().values()})


def some(found: list[Path]) -> list[Path]:
    """All of them in the whole campaign, else a few from the first to the last."""
    return found if campaign.IS_WHOLE else [*found[:: max(1, len(found) // 5)], *found[-1:]]


def normalized(path: Path, format: str, day: date) -> Normalized:
    """A file, taken all the way."""
    found = recognise(path.read_bytes(), EQUITY, day, path.name)
    assert found.layout.source == format
    return normalize(parse(found), EQUITY, format, day)


def counted(path: Path, format: str) -> tuple[int, int, Decimal]:
    """Rows, volume and turnover of a file, by the csv module and exact arithmetic."""
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        header, *rows = csv.reader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline=""))
    volume, turnover = (header.index(column) for column in SUMMED[format])
    rows = [row for row in rows if any(field.strip() for field in row)]
    return len(rows), sum(int(row[volume]) for row in rows), sum((Decimal(row[turnover]) for row in rows), Decimal(0))


def differences(path: Path, format: str, day: date) -> list[str]:
    """What of a file is not as the independent count has it."""
    found = normalized(path, format, day)
    check(found, day, path.name, 0.05)
    rows, volume, turnover = counted(path, format)
    said = []
    if found.rows.height + len(found.rejects) != rows:
        said.append(f"{rows} raw rows, {found.rows.height} normalized, {len(found.rejects)} rejected")
    if found.rejects:
        said.append(f"rejected: {found.rejects[:3]}")
    if found.rows["volume"].sum() != volume:
        said.append(f"volume {found.rows['volume'].sum()}, not {volume}")
    if not math.isclose(found.rows["turnover"].sum(), turnover, rel_tol=1e-12):
        said.append(f"turnover {found.rows['turnover'].sum()}, not {turnover}")
    return said


def test_there_are_files_of_both_formats() -> None:
    """An archive that is there, and empty, would make every other test pass."""
    formats = [format for format, _ in files().values()]
    assert formats.count("legacy") > 800
    assert formats.count("udiff") > 50


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
    by_day: dict[date, dict[str, Path]] = {}
    for path, (format, day) in files().items():
        by_day.setdefault(day, {})[format] = path
    both = {paths["legacy"]: (day, paths["udiff"]) for day, paths in by_day.items() if len(paths) == 2}
    assert len(both) > 30

    only_udiff = ["instrument_id", "name", "settlement", "lot_size", "layout"]
    other_isins = set()
    for path in some(list(both)):
        day, other = both[path]
        legacy, udiff = (
            normalized(each, format, day).rows.drop(only_udiff).sort("symbol", "series")
            for each, format in ((path, "legacy"), (other, "udiff"))
        )
        assert legacy.drop("isin").equals(udiff.drop("isin")), f"the formats differ on {day}"
        apart = legacy.filter(~legacy["isin"].eq_missing(udiff["isin"]))
        other_isins |= set(apart["symbol"])
    assert len(other_isins) <= 3
