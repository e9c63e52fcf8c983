"""The equity bhavcopy as a data set: what its two sources have in common and what they do not."""

from __future__ import annotations

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
    """Four columns are UDiFF's alone."""
    legacy, udiff = EQUITY.published_columns("legacy"), EQUITY.published_columns("udiff")
    assert set(legacy) < set(udiff)
    assert set(udiff) - set(legacy) == {"instrument_id", "name", "settlement", "lot_size"}
