"""The equity bhavcopy as a data set: what its sources have in common and what they do not."""

from __future__ import annotations

from datetime import date

import pytest

from champion_luigi.datasets.equity import EQUITY


def test_the_key_is_date_symbol_and_series() -> None:
    """A symbol's block deals and same-day settlement stand beside its EQ row."""
    assert EQUITY.key == ("symbol", "series")


def test_zero_is_null_for_the_prices_that_may_not_be_recorded() -> None:
    """OPEN, HIGH, LOW and LAST; a close of 0 is an error, and a previous close of 0 is what was published."""
    assert {column.name for column in EQUITY.columns if column.zero_is_null} == {"open", "high", "low", "last"}
    assert [column.name for column in EQUITY.columns if column.positive] == ["close"]


def test_numbers_are_prices_counts_and_turnover() -> None:
    """What is checked as a number is just what is stored as one."""
    assert {column.name for column in EQUITY.numbers} == {
        *("open", "high", "low", "close", "last", "prev_close", "settlement"),
        *("instrument_id", "volume", "turnover", "trades", "lot_size"),
    }


def test_legacy_has_a_part_of_what_udiff_has() -> None:
    """Four columns are not in a legacy file."""
    legacy, udiff = EQUITY.published_columns("legacy"), EQUITY.published_columns("udiff")
    assert set(legacy) < set(udiff)
    assert set(udiff) - set(legacy) == {"instrument_id", "name", "settlement", "lot_size"}


@pytest.mark.parametrize(
    ("day", "order"),
    [
        (date(2009, 12, 31), ["legacy"]),
        (date(2010, 1, 4), ["legacy", "pr"]),
        (date(2024, 1, 15), ["legacy", "udiff", "pr"]),
        (date(2024, 4, 1), ["legacy", "udiff", "cm_bhavcopy", "pr"]),
        (date(2024, 7, 5), ["legacy", "udiff", "cm_bhavcopy", "pr"]),
        (date(2024, 7, 8), ["udiff", "pr"]),
        (date(2026, 2, 2), ["udiff", "pr"]),
    ],
)
def test_the_official_source_is_tried_first_and_the_press_last(day: date, order: list[str]) -> None:
    """Those between as they are declared."""
    assert [source.name for source in EQUITY.sources_of(day)] == order


def test_a_setting_moves_the_first_day_of_udiff() -> None:
    """From then on it is tried before the legacy file, and never again before that."""
    earlier, never = {"udiff": date(2024, 5, 1)}, {"udiff": date.max}
    names = [[source.name for source in EQUITY.sources_of(date(2024, 5, 2), each)] for each in (earlier, never)]
    assert names == [["udiff", "legacy", "cm_bhavcopy", "pr"], ["legacy", "udiff", "cm_bhavcopy", "pr"]]


def test_the_press_alone_is_partial() -> None:
    """It lacks the last price and the ISIN."""
    assert [source.name for source in EQUITY.sources if source.partial] == ["pr"]
    assert set(EQUITY.published_columns("legacy")) - set(EQUITY.published_columns("pr")) == {
        "trade_date",
        "isin",
        "last",
    }


@pytest.mark.parametrize("day", [date(2010, 1, 4), date(2019, 2, 1), date(2025, 10, 13)])
def test_a_path_with_two_digits_of_the_year_tells_its_day(day: date) -> None:
    """There was no zip for the press before 2010."""
    press = EQUITY.source("pr")
    assert press is not None
    assert press.day_of(press.path_of(day)) == day
    assert press.path_of(date(2019, 2, 1)) == "/archives/equities/bhavcopy/pr/PR010219.zip"
