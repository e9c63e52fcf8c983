"""Real actions and real prices: factors that are known, and the exchange's own adjusted prices as referee."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import real_lake
from helpers import champion_here, forget_settings
from small_market import events_in, notices
from small_market import prices as closes

from champion_luigi import prices
from champion_luigi.adjustments import events, gaps, referee, spans
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline import adjusting
from champion_luigi.storage import adjustments, lake


class Real(NamedTuple):
    """The lake's folder, what it says, the events of today, and the exchange's values, each with its verdict."""

    data: Path
    evidence: adjusting.Evidence
    events: pl.DataFrame
    compared: pl.DataFrame

    def of(self, symbol: str) -> pl.DataFrame:
        """The events of an instrument that have a factor or a note, by date."""
        return self.events.filter(pl.col("instrument") == self.evidence.names.find(symbol)).sort("ex_date")

    def factor(self, symbol: str, day: date, column: str = "factor", *, counts_in: str = "splits") -> float:
        """The product of a day's factors."""
        found = self.of(symbol).filter(pl.col("ex_date") == day, pl.col("counts_in") == counts_in)
        assert found.height
        return math.prod(found[column])


def known_on(known: adjusting.Evidence, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events and spans as known on a day."""
    return referee.factors_as_of(
        day,
        day - referee.REACH,
        actions=known.actions,
        names=known.names,
        rows=known.rows,
        face_values=known.face_values,
        missing=known.missing,
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    """The lake of real days, filled once."""
    if not real_lake.is_there():
        pytest.skip("the published files are not beside the checkout")
    data = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", str(data))
        forget_settings()
        real_lake.fill(data)
        known = adjusting.evidence(adjusting.inputs())
    found = events.events_of(known.actions, known.names, known.rows, known.face_values, missing=known.missing)
    return Real(data, known, found, _compared(data, known))


def _compared(data: Path, known: adjusting.Evidence) -> pl.DataFrame:
    rows = lake.scan(data / "lake", date(2024, 1, 1)).select("trade_date", "symbol", "series", "high", "low").collect()
    held = spans.with_instrument(rows, known.names.frame)
    files = [referee.read_range_file(path.read_bytes(), source=str(path)) for path in real_lake.range_files()]
    return pl.concat(
        referee.compare(file, held, known.names.frame, *known_on(known, file.effective_for)) for file in files
    )


# The exchange as referee


def test_the_exchange_adjusts_as_we_do(real: Real) -> None:
    """Its 53 files of April to June 2024 have 36,775 values of these days: all but 21 are ours to the paisa."""
    assert dict(real.compared.group_by("verdict").len().iter_rows()) == {"raw": 36_611, "adjusted": 143, "known": 21}


def test_the_known_slips_are_those_and_no_others(real: Real) -> None:
    """Each of the list is there, with its first file, and with the factor by which the exchange divided."""
    known = real.compared.filter(pl.col("verdict") == "known").with_columns(theirs=pl.col("raw") / pl.col("value"))
    of_each = known.group_by("symbol").agg(pl.len(), pl.col("effective_for").min(), pl.col("theirs").mean().round())
    assert sorted(of_each.iter_rows()) == [
        ("ANUP", 1, date(2024, 4, 23), 4.0),
        ("DAVANGERE", 19, date(2024, 5, 31), 10.0),
        ("SBGLP", 1, date(2024, 4, 18), 10.0),
    ]
    assert [(slip.symbol, slip.ex_date) for slip in referee.KNOWN] == sorted(
        of_each.select("symbol", "effective_for").iter_rows()
    )


def test_the_exchange_rounded_the_rights_of_ajooni_up(real: Real) -> None:
    """By 1.14 where the terms give 1.134: the second decimal. Both prices are from its own files, before and after."""
    before, after = (
        referee.read_range_file((real_lake.ARCHIVE / "content" / f"CM_52_wk_High_low_{day}.csv").read_bytes())
        for day in ("02042024", "07052024")
    )
    raw = before.values.filter(pl.col("symbol") == "AJOONI").pivot("what", index=["symbol", "series", "trade_date"])
    held = spans.with_instrument(raw, real.evidence.names.frame)
    known = real.evidence
    found = referee.compare(after, held, known.names.frame, *known_on(known, after.effective_for))
    assert found["verdict"].to_list() == ["second_decimal", "second_decimal"]


@pytest.fixture
def made(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake is that of the settings, and its adjustments are made."""
    monkeypatch.setenv("DATA_DIR", str(real.data))
    forget_settings()
    if not adjustments.document(real.data / "lake").exists():
        adjusting.make(adjusting.inputs())


def test_prices_are_those_that_the_exchange_adjusted(real: Real, made: None) -> None:
    """What users read, as of a file's day: each of its values of these days that has no known slip, to the paisa."""
    day = date(2024, 6, 26)
    read = prices(adjusted="exchange", as_of=day, fields=["series", "high", "low"])
    ours = read.unpivot(["high", "low"], index=["trade_date", "symbol", "series"], variable_name="what")
    theirs = real.compared.filter(pl.col("effective_for") == day, pl.col("verdict") != "known")
    both = theirs.join(ours, on=["trade_date", "symbol", "series", "what"], suffix="_read").rename(
        {"value_read": "read"}
    )
    assert both.height == theirs.height > 1000
    assert both.filter(abs(pl.col("read") - pl.col("value")) > 0.0051).is_empty()
    assert both.filter(pl.col("verdict") == "adjusted").height >= 5


def test_splits_and_bonuses_open_where_their_factors_say(real: Real, made: None) -> None:
    """All whose sessions are here; what jumps without an action are splits without a notice."""
    tables, held = adjustments.read(real.data / "lake"), {day for day, _ in lake.days(real.data / "lake", EQUITY)}
    moves = gaps.moves_of(lake.scan(real.data / "lake"), tables.spans, real.evidence.through)
    found = gaps.openings(moves, tables.adjustments.filter(pl.col("ex_date").is_in(held)), held)
    assert found.filter(pl.col("verdict") == "within").height == 22
    assert found.filter(pl.col("verdict") == "outside").is_empty()
    assert found.filter(pl.col("verdict") == "not_compared")["reason"].str.ends_with("is not in the lake").all()
    assert gaps.jumps(moves, tables.adjustments)["symbol"].to_list() == ["SBGLP", "DAVANGERE", "KAMOPAINTS"]


def test_the_command_reads_the_files_of_the_archive(real: Real, made: None) -> None:
    """A folder of the exchange's files, and a lake whose adjustments were made."""
    where = {"NSE_ARCHIVE_URL": str(real_lake.ARCHIVE), "DATA_DIR": str(real.data)}
    done = champion_here("verify", "--adjustments", "--start", "2024-05-28", "--end", "2024-06-14", **where)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "52-week highs and lows: 14 files, 0 sessions without one, 12,928 values of dates in the lake: 12,868 raw, "
        "49 adjusted, 0 second decimal, 0 unadjusted, 11 known, 0 different",
        "2024-03-15 DAVANGERE EQ: low 67.20, by the exchange 6.72, by us 67.20 (files of 2024-05-31 and 10 more); "
        "known: a split by 10 that no list of notices has",
        "2024-05-28 to 2024-06-14: openings after splits, bonuses and consolidations: 3 within, 0 outside, "
        "0 not compared",
        "2 jumps without an action",
        "2024-05-31 DAVANGERE: opened at 9.90, 0.100 of the close before, 99.00",
        "2024-06-14 KAMOPAINTS: opened at 42.10, 0.206 of the close before, 204.22",
        "Everything that could be compared agrees.",
    ]


# Factors that are known


@pytest.mark.parametrize(
    ("symbol", "day", "factor"),
    [
        ("ITC", date(2016, 7, 1), 1.5),
        ("BAJFINANCE", date(2016, 9, 8), 10),
        ("GAIL", date(2017, 3, 9), 4 / 3),
        ("RELIANCE", date(2017, 9, 7), 2),
        ("TCS", date(2018, 5, 31), 2),
        ("WIPRO", date(2019, 3, 6), 4 / 3),
        ("HDFCBANK", date(2019, 9, 19), 2),
        ("EICHERMOT", date(2020, 8, 24), 10),
        ("ANUP", date(2024, 4, 23), 2),
        ("CANBK", date(2024, 5, 15), 5),
        ("GMBREW", date(2024, 5, 24), 1.25),
        ("INOXWIND", date(2024, 5, 24), 4),
        ("MOTILALOFS", date(2024, 6, 10), 4),
        ("HINDPETRO", date(2024, 6, 21), 1.5),
        ("QUAL30IETF", date(2024, 5, 10), 10),
    ],
)
def test_splits_and_bonuses_have_their_factor(real: Real, symbol: str, day: date, factor: float) -> None:
    """By their terms, exact, of the website's export and of the daily lists; units of funds too."""
    assert real.factor(symbol, day) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("symbol", "day", "factor"),
    [
        ("AJOONI", date(2024, 5, 7), 1.13),
        ("SOLARA", date(2024, 5, 15), 1.09),
        ("VIJIFIN", date(2024, 5, 15), 1.35),
        ("SOBHA", date(2024, 6, 19), 1.03),
        ("MITCON", date(2024, 6, 20), 1.16),
    ],
)
def test_rights_have_the_factor_of_the_exchange(real: Real, symbol: str, day: date, factor: float) -> None:
    """From terms, close and face value, rounded to two decimals; they count in no other factor's splits."""
    assert real.factor(symbol, day, "exchange_factor", counts_in="exchange") == factor
    assert "splits" not in real.of(symbol).filter(pl.col("ex_date") == day)["counts_in"].to_list()


def test_mrf_was_never_split(real: Real) -> None:
    """Nor did it give a bonus or rights from 2016 on: its factor is 1 throughout."""
    found = real.of("MRF")
    assert found.height
    assert set(found["kind"]) == {"dividend"}


def test_demergers_are_listed_and_never_guessed(real: Real) -> None:
    """A count of unadjusted events says so beside each price."""
    found = real.events.filter(pl.col("kind") == "demerger")
    assert found.height > 50
    assert found["factor"].null_count() == found.height
    assert found["unadjusted"].all()


def test_a_split_joins_the_prices_on_both_sides(real: Real) -> None:
    """EICHERMOT closed at 21,702.40 and opened at 2,199.45 in shares of a tenth of the value."""
    known = real.evidence
    made = spans.spans_of(real.events, known.names.frame, known.rows, known.through, known.missing)
    rows = lake.scan(real.data / "lake", date(2020, 8, 1), date(2020, 9, 1)).filter(pl.col("symbol") == "EICHERMOT")
    found = spans.adjusted(rows, made, known.through).collect()
    assert found["trade_date"].to_list() == [date(2020, 8, 21), date(2020, 8, 24)]
    before, after = found.to_dicts()
    assert (before["raw_close"], before["close"], before["factor"]) == (21702.4, 21702.4 / 10, 10.0)
    assert (after["open"], after["factor"]) == (2199.45, 1.0)
    # The exchange states the close before it as it was.
    assert (after["prev_close"], after["prev_close_by_exchange"]) == (21702.4 / 10, False)


def test_a_dividend_counts_in_total_return_alone(real: Real) -> None:
    """MAJESCO paid 974 rupees on a close of 985.65, and opened at 12.20."""
    day = date(2020, 12, 23)
    assert real.factor("MAJESCO", day, counts_in="total_return") == pytest.approx(985.65 / (985.65 - 974), rel=1e-12)
    assert real.of("MAJESCO").filter(pl.col("ex_date") == day)["exchange_factor"].to_list() == [None]


# As known on a day


def test_a_notice_that_moved_counts_on_its_new_date_alone(real: Real) -> None:
    """INOXWIND's bonus was announced for 17 May 2024, and took effect on 24 May."""
    for day, factor in ((date(2024, 5, 17), None), (date(2024, 5, 23), None), (date(2024, 5, 24), 4.0)):
        found, _ = known_on(real.evidence, day)
        of = found.filter(pl.col("instrument") == "INOXWIND")
        assert of["factor"].to_list() == ([] if factor is None else [factor]), day


def test_the_day_before_an_ex_date_the_series_is_raw(real: Real) -> None:
    """CANBK, whose split was in the lists for days by then."""
    rows = lake.scan(real.data / "lake", date(2024, 5, 1), date(2024, 5, 20)).filter(pl.col("symbol") == "CANBK")
    for day, factor in ((date(2024, 5, 14), 1.0), (date(2024, 5, 15), 5.0)):
        _, factors = known_on(real.evidence, day)
        found = spans.adjusted(rows, factors, day).filter(pl.col("series") == "EQ").collect()
        assert found["trade_date"].max() == day
        assert set(found.filter(pl.col("trade_date") < date(2024, 5, 15))["factor"]) == {factor}, day


# Texts that no file here has


def test_a_bonus_of_preference_shares_changes_nothing() -> None:
    """They are other securities: as TVSMOTOR gave four for a share."""
    lines = notices(("ABC", "Scheme Of Arrangement - Bonus Ncrps 4:1", 0, 2), layout="export")
    found = events_in(closes("ABC", [100, 100, 100]), lines)
    assert found["factor"].null_count() == found.height == 1


def test_a_split_and_a_bonus_of_one_date_multiply() -> None:
    """As with BAJFINANCE in 2025: by 2, and by 5."""
    lines = notices(("ABC", "FVSPLT FRM RS 2 TO RE 1", 0, 2), ("ABC", "BONUS 4:1", 0, 2))
    found = events_in(closes("ABC", [100, 100, 10]), lines)
    assert math.prod(found["factor"]) == 10
