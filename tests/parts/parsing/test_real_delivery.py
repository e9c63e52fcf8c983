"""Real delivery files beside the checkout, against the csv module, and against each other."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import polars as pl
import pytest
from helpers import SHARED

from champion_luigi.base.errors import ChampionError, NotPublished, RejectedPayload
from champion_luigi.datasets.delivery import ALL_DELIVERED, DELIVERY
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, normalize
from champion_luigi.parsing.payload import recognise

ARCHIVE = SHARED / "archive"
KEY = ["symbol", "series"]
_LAKH = 100_000

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the published files are not beside the checkout"),
]

# What a count of the rows has: their number, volume, delivered, delivered share (of 10,000), turnover, trades.
Counts = tuple[int, int, int, int, int | None, int | None]


@lru_cache
def files() -> dict[tuple[str, date], Path]:
    """Every delivery file of the archive by its source and date."""
    found = {}
    for path in sorted([*ARCHIVE.glob("products/content/*"), *ARCHIVE.glob("archives/equities/mto/*")]):
        known = DELIVERY.of_path("/" + path.relative_to(ARCHIVE).as_posix())
        assert known is not None
        found[known[0].name, known[1]] = path
    return found


def groups() -> list[str]:
    """The sources and years that the archive has."""
    return sorted({f"{source} {day.year}" for source, day in files()})


@lru_cache(maxsize=200)
def normalized(source: str, day: date) -> Normalized:
    """A file, taken all the way."""
    path = files()[source, day]
    return normalize(
        parse(recognise(path.read_bytes(), DELIVERY, day, path.name, format=source)), DELIVERY, source, day
    )


def counted_full(path: Path) -> Counts:
    """A full file by the csv module and exact arithmetic."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file, skipinitialspace=True)
    at = {name: place for place, name in enumerate(header)}
    known = [row for row in rows if row[at["DELIV_QTY"]] != "-"]
    return (
        len(rows),
        sum(int(row[at["TTL_TRD_QNTY"]]) for row in rows),
        sum(int(row[at["DELIV_QTY"]]) for row in known),
        int(sum(Decimal(row[at["DELIV_PER"]]) * 100 for row in known)),
        int(sum(Decimal(row[at["TURNOVER_LACS"]]) * _LAKH for row in rows)),
        sum(int(row[at["NO_OF_TRADES"]]) for row in rows),
    )


def counted_mto(path: Path) -> Counts:
    """A list of positions by the csv module and exact arithmetic."""
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] == "20"]
    traded, delivered = (sum(int(row[place]) for row in rows) for place in (4, 5))
    return len(rows), traded, delivered, int(sum(Decimal(row[6]) for row in rows) * 100), None, None


def counts_of(rows: pl.DataFrame) -> Counts:
    """The same of canonical rows."""
    share = (pl.col("delivered_share") * 10_000).round().cast(pl.Int64).sum()
    volume, delivered, shares, turnover, trades, priced = rows.select(
        pl.col("volume", "delivered").sum(), share, pl.col("turnover", "trades").sum(), priced=pl.col("trades").count()
    ).row(0)
    return rows.height, volume, delivered, shares, *((round(turnover), trades) if priced else (None, None))


def test_there_are_files_of_both_sources() -> None:
    """An archive that is there, and empty, would make every other test pass."""
    counts = Counter(source for source, _ in files())
    assert counts["full"] > 100
    assert counts["mto"] > 30


@pytest.mark.parametrize("group", groups())
def test_every_file_reads_as_an_independent_count_has_it(group: str) -> None:
    """No row is rejected or odd; rows and all sums are those of the file."""
    of_group = {key: path for key, path in files().items() if f"{key[0]} {key[1].year}" == group}
    for (source, day), path in of_group.items():
        found = normalized(source, day)
        assert (found.rejects, found.skipped, set(found.warnings.values())) == ([], 0, {0}), path.name
        expected = counted_full(path) if source == "full" else counted_mto(path)
        assert counts_of(found.rows) == expected, path.name


def test_both_sources_agree_on_the_keys_of_both() -> None:
    """Volume, delivered and share of 83,600 rows; what is only in the full file is of BE and BZ."""
    common = 0
    days = [day for source, day in files() if source == "mto" and ("full", day) in files()]
    assert len(days) > 30
    for day in days:
        full, mto = (normalized(source, day).rows for source in ("full", "mto"))
        values = [*KEY, "volume", "delivered", "delivered_share"]
        ours, theirs = (
            one.join(other, on=KEY, how="semi").select(values).sort(KEY) for one, other in ((full, mto), (mto, full))
        )
        assert ours.equals(theirs), f"the sources differ on {day}"
        assert set(full.join(mto, on=KEY, how="anti")["series"]) <= set(ALL_DELIVERED)
        common += ours.height
    assert common >= 2_000 * len(days)


def test_the_full_file_agrees_with_the_bhavcopy() -> None:
    """Volume and trades exactly, turnover to a thousand rupees; every row of it is one of the bhavcopy's."""
    compared = 0
    for source, day in list(files())[::8]:
        path = ARCHIVE / EQUITY.sources_of(day)[0].path_of(day).lstrip("/")
        if source != "full" or not path.is_file():
            continue
        format = EQUITY.sources_of(day)[0].name
        equity = normalize(parse(recognise(path.read_bytes(), EQUITY, day, format=format)), EQUITY, format, day).rows
        ours = normalized("full", day).rows
        both = ours.join(equity, on=KEY, suffix="_equity")
        assert both.height == ours.height
        assert both["volume"].equals(both["volume_equity"].alias("volume"))
        assert both["trades"].equals(both["trades_equity"].alias("trades"))
        assert both.select(((pl.col("turnover") - pl.col("turnover_equity")).abs() < 500.01).all()).item()
        compared += 1
    assert compared > 5


def test_a_day_that_was_checked_by_hand() -> None:
    """2024-07-02: a share, and one of BE without delivery."""
    rows = normalized("full", date(2024, 7, 2)).rows
    [infy] = rows.filter(symbol="INFY", series="EQ").rows()
    assert infy == (date(2024, 7, 2), "INFY", "EQ", 6707345, 0.6392, 1618.8, 10493173, 16_986_389_000.0, 392727, "full")
    unknown = rows.filter(pl.col("delivered").is_null())
    assert set(unknown["series"]) == set(ALL_DELIVERED)


@pytest.mark.parametrize(
    ("name", "day", "kind", "words"),
    [
        ("holiday_copy_of_previous_session", date(2026, 1, 15), NotPublished, "the file of 2026-01-14"),
        ("not_yet_previous_session", date(2022, 10, 24), NotPublished, "the file of 2022-10-21"),
        ("cut_off", date(2024, 11, 18), RejectedPayload, "cut off in its last line, after 380 rows"),
        ("workbook", date(2022, 8, 8), RejectedPayload, "an Excel workbook"),
    ],
)
def test_a_reply_that_is_not_the_days_file_is_known_as_what_it_is(
    shared: Callable[[str], Path], name: str, day: date, kind: type[ChampionError], words: str
) -> None:
    """Each as the exchange sent it with status 200."""
    path = shared(f"weird_full/{name}__sec_bhavdata_full_{day:%d%m%Y}.csv")
    with pytest.raises(ChampionError) as caught:
        recognise(path.read_bytes(), DELIVERY, day, path.name, format="full")
    assert type(caught.value) is kind
    assert words in str(caught.value)
