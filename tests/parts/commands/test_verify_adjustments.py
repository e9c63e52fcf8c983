"""`champion verify --adjustments`: the exchange's 52-week files from an archive, and the openings of the lake."""

from __future__ import annotations

import json
import subprocess
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from helpers import answering, champion_here
from small_market import notices, prices

from champion_luigi.adjustments import referee
from champion_luigi.base import durable
from champion_luigi.config import settings
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import adjusting
from champion_luigi.storage import lake

# Ten sessions, of which the ninth is the ex-date of a bonus.
DAYS = [date(2024, 1, number) for number in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)]
EX_DATE = DAYS[8]
BONUS = notices(("ABC", "BONUS 1:1", 2, 10))


def write(dataset: Dataset, rows: pl.DataFrame) -> None:
    """The lake's file of a day."""
    content = lake.parquet_bytes(rows, {"schema_version": str(dataset.version)})
    durable.write_whole(lake.partition(settings.lake_dir(), rows["trade_date"][0], dataset), content)


def fill(rows: pl.DataFrame) -> None:
    """These rows and the bonus, and their adjustments."""
    for of_day in rows.partition_by("trade_date"):
        write(EQUITY, of_day)
    write(CORPORATE_ACTIONS, BONUS)
    adjusting.make(adjusting.inputs())


@pytest.fixture
def filled() -> None:
    """A lake in which ABC falls by half on the ex-date, and XYZ on that day too, without an action."""
    fill(market("ABC", "XYZ"))


def market(*symbols: str) -> pl.DataFrame:
    closes = [100.0] * 8 + [50.0] * 2
    found = [prices(symbol, closes).with_columns(trade_date=pl.Series(DAYS)) for symbol in symbols]
    rows = pl.concat(found).with_columns(open="close", high="close", low="close", layout=pl.lit("legacy"))
    return pl.DataFrame(rows.to_dicts(), EQUITY.types).sort("trade_date", "symbol")


def range_file(of: date, *lines: str) -> bytes:
    """A file of the exchange, effective for a day of January 2024."""
    head = (
        '"Disclaimer"',
        f'"Effective for {of:%d}-Jan-{of:%Y}"',
        '"SYMBOL","SERIES","Adjusted 52_Week_High","52_Week_High_Date","Adjusted 52_Week_Low","52_Week_Low_DT"',
    )
    return "\n".join([*head, *lines, ""]).encode()


def publish(archive: Path, of: date, content: bytes) -> None:
    path = archive / referee.PATH.format(day=of).lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive that is right on the day before the ex-date and on that date."""
    folder = tmp_path / "archive"
    publish(folder, DAYS[7], range_file(DAYS[7], '"ABC","EQ","  100.00","02-JAN-2024","  100.00","03-JAN-2024"'))
    publish(folder, EX_DATE, range_file(EX_DATE, '"ABC","EQ","   50.00","02-JAN-2024","   50.00","03-JAN-2024"'))
    return folder


def verify(archive: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return champion_here("verify", "--adjustments", *arguments, NSE_ARCHIVE_URL=str(archive))


def test_what_the_exchange_has_agrees(filled: None, archive: Path) -> None:
    """Raw before the ex-date, and divided from then on; a jump is listed, and is no difference."""
    done = verify(archive)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "52-week highs and lows: 2 files, 3 sessions without one, 4 values of dates in the lake: 2 raw, 2 adjusted, "
        "0 second decimal, 0 unadjusted, 0 known, 0 different",
        "2024-01-01 to 2024-01-12: openings after splits, bonuses and consolidations: 1 within, 0 outside, "
        "0 not compared",
        "1 jump without an action",
        "2024-01-11 XYZ: opened at 50.00, 0.500 of the close before, 100.00",
        "Everything that could be compared agrees.",
    ]


def test_another_value_of_the_exchange_is_a_difference(filled: None, archive: Path) -> None:
    """The price, both values and the files that have it."""
    for of in DAYS[8:]:
        publish(archive, of, range_file(of, '"ABC","EQ","100.00","02-JAN-2024","50.00","03-JAN-2024"'))
    done = verify(archive, "--start", "2024-01-11")
    assert done.returncode == 30
    assert done.stdout.splitlines()[1] == (
        "2024-01-02 ABC EQ: high 100.00, by the exchange 100.00, by us 50.00 (files of 2024-01-11 and 1 more); "
        "different"
    )
    assert done.stdout.splitlines()[-1] == "2 differences"


def test_an_opening_that_the_factor_does_not_explain_is_a_difference(archive: Path) -> None:
    """A bonus is listed, and the price did not fall."""
    fill(market("ABC").with_columns(pl.lit(100.0).alias(name) for name in ("open", "high", "low", "close")))
    done = verify(archive, "--start", "2024-01-10", "--end", "2024-01-11")
    assert done.returncode == 30
    assert "2024-01-11 ABC: bonus, factor 2: opened at 2.000 of the previous close / factor" in done.stdout


def test_start_and_end_choose_the_files(filled: None, archive: Path) -> None:
    """Both are included, and an absent file is counted."""
    done = verify(archive, "--start", "2024-01-01", "--end", "2024-01-10", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["differences"]) == (0, 0)
    assert [each["date"] for each in document["files"]] == ["2024-01-10"]
    assert document["files"][0]["verdicts"]["raw"] == 2
    assert len(document["absent"]) == 7
    assert (document["openings"], document["jumps"]) == ({"within": 0, "outside": 0, "not_compared": 0}, [])


def test_a_range_without_a_session_has_nothing_to_verify(filled: None, archive: Path) -> None:
    """It is no difference."""
    done = verify(archive, "--start", "2025-01-01")
    assert (done.returncode, done.stdout) == (0, "There is nothing to verify.\n")


def test_a_damaged_file_is_named(filled: None, archive: Path) -> None:
    """The other files are compared all the same."""
    publish(archive, DAYS[7], b"<html>no such page</html>\n")
    publish(archive, DAYS[9], range_file(DAYS[6], '"ABC","EQ","50.00","02-JAN-2024","50.00","03-JAN-2024"'))
    done = verify(archive)
    assert done.returncode == 30
    assert "2024-01-10: this is not a whole file of 52-week highs and lows" in done.stdout
    assert "2024-01-12: the 52-week file is of another day" in done.stdout
    assert "52-week highs and lows: 1 file," in done.stdout
    assert done.stdout.splitlines()[-1] == "2 differences"


def test_a_refused_file_is_named(filled: None) -> None:
    """It is neither absent nor equal."""
    with answering(lambda handler: handler.send_error(403)) as server:
        done = champion_here("verify", "--adjustments", "--start", "2024-01-12", NSE_ARCHIVE_URL=server.url)
    assert done.returncode == 30
    assert "2024-01-12: the archive refuses" in done.stdout
    assert [path for path, _ in server.requests] == [referee.PATH.format(day=DAYS[9])]


def test_adjustments_of_an_earlier_lake_are_a_difference(filled: None, archive: Path) -> None:
    """Readers have the old state until they are made again."""
    write(EQUITY, market("ABC").filter(pl.col("trade_date") == DAYS[9]))
    done = verify(archive)
    assert done.returncode == 30
    assert done.stdout.startswith("the lake has changed since the adjustments were made: run champion adjust\n")


def test_nothing_is_requested_where_there_are_no_adjustments() -> None:
    """The sentence says how they are made."""
    with answering(lambda _: None) as server:
        done = champion_here("verify", "--adjustments", NSE_ARCHIVE_URL=server.url)
    assert (done.returncode, server.requests) == (40, [])
    assert "there are no adjustments in this lake" in done.stderr


@pytest.mark.parametrize("option", ["--repair", "--sources", "--dataset=equity"])
def test_other_comparisons_are_apart(option: str) -> None:
    """Adjustments are of all data sets, and there is nothing to repair."""
    done = champion_here("verify", "--adjustments", option)
    assert done.returncode == 2
    assert "--adjustments goes with --start, --end and --json alone" in done.stderr
