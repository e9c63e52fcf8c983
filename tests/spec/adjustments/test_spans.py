"""Rows get the product of the later factors; the newest prices have 1."""

from __future__ import annotations

import polars as pl
import pytest
from small_market import adjusted_in, day, events_in, notices, prices, renamed

from champion_luigi.adjustments import spans

SPLIT = notices(("ABC", "FVSPLT FRM RS 10 TO RE 1", 0, 2))


def test_prices_are_divided_and_the_volume_is_multiplied() -> None:
    """Before the ex-date; turnover stays, and nothing is rounded."""
    found = adjusted_in(prices("ABC", [101, 103, 10.5, 11]), SPLIT)
    assert found["close"].to_list() == [10.1, 10.3, 10.5, 11.0]
    assert found["raw_close"].to_list() == [101.0, 103.0, 10.5, 11.0]
    assert found["volume"].to_list() == [1000.0, 1000.0, 100.0, 100.0]
    assert found["turnover"].to_list() == [1000.0] * 4
    assert found["factor"].to_list() == [10.0, 10.0, 1.0, 1.0]


def test_factors_multiply() -> None:
    """A split 2 to 1 and a bonus 4:1 on one day, and a bonus 1:1 later."""
    text = "Bonus 4:1/Face Value Split (Sub-Division) - From Rs 2/- Per Share To Re 1/- Per Share"
    actions = notices(("ABC", text, 0, 2), ("ABC", "Bonus 1:1", 0, 3), layout="export")
    found = adjusted_in(prices("ABC", [2000, 2000, 200, 100]), actions)
    assert found["factor"].to_list() == [20.0, 20.0, 2.0, 1.0]


def test_the_previous_close_has_the_factor_of_its_own_day() -> None:
    """So that a return over the ex-date is right; on the next trading day if the share does not trade on it."""
    rows = prices("ABC", [100, 100, 10, 10]).filter(pl.col("trade_date") != day(2))
    rows = rows.with_columns(prev_close=pl.Series([100.0, 100.0, 100.0]))
    found = adjusted_in(rows, SPLIT)
    assert found["prev_close"].to_list() == [10.0, 10.0, 10.0]
    assert not found["prev_close_by_exchange"].any()


def test_a_previous_close_is_the_securitys_when_the_series_changes() -> None:
    """A share that comes back to EQ after an ex-date has the last close in BE there, whose factor counts."""
    rows = prices("ABC", [100, 100, 10, 11, 12]).with_columns(series=pl.Series(["EQ", "EQ", "BE", "BE", "EQ"]))
    assert adjusted_in(rows, SPLIT)["prev_close"].to_list() == [10.0, 10.0, 10.0, 10.0, 11.0]


def test_a_previous_close_of_blocks_is_their_own() -> None:
    """Block deals have the close of the last block, however old."""
    blocks = prices("ABC", [100, 10], "BL").with_columns(
        trade_date=pl.Series([day(0), day(4)]), prev_close=pl.Series([0.0, 100.0])
    )
    found = adjusted_in(pl.concat([prices("ABC", [100, 100, 10, 10, 10]), blocks]), SPLIT).filter(series="BL")
    assert found["prev_close"].to_list() == [0.0, 10.0]


def test_a_previous_close_that_the_exchange_adjusted_is_flagged_and_left() -> None:
    """It does so rarely."""
    rows = prices("ABC", [100, 100, 10, 11]).with_columns(prev_close=pl.Series([100.0, 100.0, 10.0, 10.0]))
    found = adjusted_in(rows, SPLIT)
    assert found["prev_close"].to_list() == [10.0, 10.0, 10.0, 10.0]
    assert found["prev_close_by_exchange"].to_list() == [False, False, True, False]


def test_a_previous_close_of_a_day_without_a_trade_is_taken_as_adjusted_if_it_is_near_that() -> None:
    """The exchange may state another close than that of the last row."""
    rows = prices("ABC", [100, 100, 10, 11]).with_columns(prev_close=pl.Series([100.0, 100.0, 10.4, 10.0]))
    assert adjusted_in(rows, SPLIT)["prev_close_by_exchange"].to_list() == [False, False, True, False]


def test_rights_and_dividends_count_where_they_belong() -> None:
    """Rights in the exchange's factor, dividends in total return as well."""
    actions = pl.concat(
        [
            notices(("ABC", "Rights 1:1 @ Premium Rs 40/-", 9, 1), layout="export", face_value=10.0),
            notices(("ABC", "DIV - RS 15 PER SH", 0, 2)),
        ]
    )
    found = adjusted_in(prices("ABC", [100, 75, 60, 60]), actions)
    assert found["factor"].to_list() == [1.0] * 4
    # (100 + 50) / 2 = 75
    assert found["exchange_factor"].to_list() == [1.33, 1.0, 1.0, 1.0]
    assert found["total_return_close"].to_list() == pytest.approx([60.0] * 4)


def test_the_dividends_of_a_day_are_one_payment() -> None:
    """What is left of the close is the close less both."""
    actions = notices(("ABC", "DIV - RS 20 PER SH", 0, 1), ("ABC", "SPLDIV - RS 30 PER SH", 0, 1))
    found = adjusted_in(prices("ABC", [100, 50]), actions)
    assert found["total_return_close"].to_list() == [50.0, 50.0]


def test_later_unadjusted_events_are_counted() -> None:
    """On each row, those between its date and the newest."""
    actions = notices(("ABC", "DEMERGER", 0, 1), ("ABC", "TERMS AS ANNOUNCED", 0, 3))
    assert adjusted_in(prices("ABC", [100, 50, 50, 20]), actions)["unadjusted"].to_list() == [2, 1, 1, 0]


def test_a_company_is_one_instrument_through_its_symbols() -> None:
    """An action under the new symbol adjusts the rows under the old one."""
    rows = pl.concat([prices("OLD", [100, 100]), prices("NEW", [100, 50], first=2)])
    found = adjusted_in(rows, notices(("NEW", "BONUS 1:1", 2, 3)), renamed(("OLD", "NEW", 2)))
    assert found["instrument"].to_list() == ["OLD"] * 4
    assert found["close"].to_list() == [50.0] * 4
    assert found["prev_close"].to_list() == [50.0] * 4


def test_another_company_with_the_symbol_is_left_alone() -> None:
    """Rows under a symbol that another company had before are not adjusted by its actions."""
    rows = pl.concat([prices("OLD", [100, 100]), prices("NEW", [100, 50], first=2), prices("OLD", [7, 7], first=20)])
    traded = pl.DataFrame(
        {
            "symbol": ["OLD", "NEW", "OLD"],
            "isin": ["INE111K01011", "INE111K01011", "INE999K01010"],
            "first": [day(0), day(2), day(20)],
            "last": [day(1), day(3), day(21)],
        }
    )
    found = adjusted_in(rows, notices(("NEW", "BONUS 1:1", 2, 3)), renamed(("OLD", "NEW", 2), traded=traded))
    assert found["factor"].to_list() == [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    assert found["instrument"].to_list() == ["OLD"] * 4 + [f"OLD@{day(2)}"] * 2


def test_only_series_of_shares_are_adjusted() -> None:
    """Blocks among them; a debenture of the company is another security."""
    rows = pl.concat(
        [prices("ABC", [100, 100, 10]), prices("ABC", [100, 100, 10], "BL"), prices("ABC", [900] * 3, "N1")]
    )
    found = adjusted_in(rows, SPLIT)
    factors = {
        series: part["factor"].to_list() for (series,), part in found.partition_by("series", as_dict=True).items()
    }
    assert factors == {"EQ": [10.0, 10.0, 1.0], "BL": [10.0, 10.0, 1.0], "N1": [1.0, 1.0, 1.0]}


def test_an_announced_event_takes_effect_with_the_price_of_its_ex_date() -> None:
    """The same spans serve readers before and after it."""
    rows = prices("ABC", [100, 100])
    actions = notices(("ABC", "FVSPLT FRM RS 10 TO RE 1", 0, 2), ("ABC", "BONUS 1:1", 1, 3))
    known = renamed()
    found = spans.spans_of(events_in(rows, actions), known.frame, rows, day(1))
    later = prices("ABC", [100, 100, 10, 5])
    factors = [spans.adjusted(later.lazy(), found, day(through)).collect()["factor"].to_list() for through in (1, 2, 3)]
    assert factors == [[1.0, 1.0], [10.0, 10.0, 1.0], [20.0, 20.0, 2.0, 1.0]]


def test_a_symbol_without_events_has_no_spans() -> None:
    """Its rows have the factor 1 and the symbol as instrument."""
    rows = pl.concat([prices("ABC", [100, 10]), prices("XYZ", [5, 6])])
    known = renamed()
    found = spans.spans_of(events_in(rows, SPLIT), known.frame, rows, day(1))
    assert set(found["symbol"]) == {"ABC"}
    other = spans.adjusted(rows.lazy(), found).collect().filter(symbol="XYZ")
    assert other.select("instrument", "factor", "unadjusted").unique().rows() == [("XYZ", 1.0, 0)]
