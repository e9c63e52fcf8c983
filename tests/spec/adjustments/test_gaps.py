"""Openings after splits and bonuses, and jumps without an action."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl
import pytest
from small_market import events_in, notices, prices, renamed

from champion_luigi.adjustments import gaps, spans

# Two weeks' sessions, with a weekend between the fifth and the sixth.
DAYS = [date(2024, 1, number) for number in (1, 2, 3, 4, 5, 8, 9, 10, 11)]


def market(*opens: float | None, symbol: str = "ABC") -> pl.DataFrame:
    """A share's days: it closes where it opened. None is a day without a trade."""
    rows = prices(symbol, [each or 0 for each in opens])
    return rows.with_columns(
        trade_date=pl.Series(DAYS[: len(opens)]), open=pl.Series(opens, dtype=pl.Float64)
    ).drop_nulls("open")


def listed(*lines: tuple[str, str, int]) -> pl.DataFrame:
    """Notices of the first day: symbol, purpose, and the place of the ex-date in `DAYS`."""
    actions = notices(*((symbol, purpose, 0, 0) for symbol, purpose, _ in lines))
    ex_dates = pl.DataFrame({"purpose": [line[1] for line in lines], "on": [DAYS[line[2]] for line in lines]})
    found = actions.join(ex_dates, on="purpose", how="left", maintain_order="left")
    return found.with_columns(ex_date="on", trade_date=pl.lit(DAYS[0])).drop("on")


def looked_at(
    rows: pl.DataFrame, actions: pl.DataFrame, held: Sequence[date] = DAYS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The openings and the jumps of a small market."""
    rows = rows.filter(pl.col("trade_date").is_in(held))
    found = events_in(rows, actions)
    factors = spans.spans_of(found, renamed().frame, rows, DAYS[-1])
    moves = gaps.moves_of(rows.lazy(), factors, DAYS[-1])
    return gaps.openings(moves, found, held), gaps.jumps(moves, found)


SPLIT = listed(("ABC", "FVSPLT FRM RS 10 TO RS 2", 3))


def test_an_opening_near_the_close_by_the_factor_is_within() -> None:
    """Each action has its opening, and the share no gap."""
    found, jumps = looked_at(market(100, 100, 100, 21, 20), SPLIT)
    [row] = found.to_dicts()
    assert (row["verdict"], row["reason"], row["kind"], row["factor"]) == ("within", None, "split", 5.0)
    assert row["gap"] == pytest.approx(1.05)
    assert jumps.is_empty()


def test_a_split_and_a_bonus_of_one_date_have_one_opening() -> None:
    """Both factors count, as for a factor of 10 by 2 and 5."""
    actions = listed(("ABC", "FVSPLT FRM RS 2 TO RE 1", 3), ("ABC", "BONUS 4:1", 3))
    [row] = looked_at(market(100, 100, 100, 10), actions)[0].to_dicts()
    assert (row["verdict"], row["kind"], row["factor"]) == ("within", "bonus and split", 10.0)


@pytest.mark.parametrize("opened", [15.9, 25.1, 100])
def test_an_opening_elsewhere_is_outside(opened: float) -> None:
    """The terms say one thing and the market another."""
    found, jumps = looked_at(market(100, 100, 100, opened, opened), SPLIT)
    assert found["verdict"].to_list() == ["outside"]
    # It is listed once.
    assert jumps.is_empty()


@pytest.mark.parametrize(
    ("opens", "held", "reason"),
    [
        ((100, 100, 100, 40), [*DAYS[:2], *DAYS[3:]], "the session 2024-01-03 is not in the lake"),
        ((100, 100, 100, 40), [*DAYS[:3], *DAYS[4:]], "the session 2024-01-04 is not in the lake"),
        ((100, 100, 100), DAYS, "no trade from the ex-date on"),
        ((None, None, None, 40, 40), DAYS, "no trade before the ex-date"),
        ((100, 100, None, None, None, 40), DAYS, "no trade from 2024-01-02 to 2024-01-08"),
    ],
)
def test_an_opening_that_cannot_be_compared_has_the_reason(
    opens: Sequence[float | None], held: Sequence[date], reason: str
) -> None:
    """No trade near, or a session that the lake lacks."""
    found, _ = looked_at(market(*opens), SPLIT, held)
    assert found.select("verdict", "reason").rows() == [("not_compared", reason)]


def test_a_first_trade_some_days_later_counts_if_it_is_near() -> None:
    """Small companies do not trade on every day."""
    found, _ = looked_at(market(100, 100, None, None, 20), SPLIT)
    assert found["verdict"].to_list() == ["within"]


def test_an_open_that_is_not_known_is_not_compared() -> None:
    """As in files of the first years."""
    rows = market(100, 100, 100, 20).with_columns(
        open=pl.when(pl.col("trade_date") == DAYS[3]).then(None).otherwise("open")
    )
    assert looked_at(rows, SPLIT)[0]["reason"].to_list() == ["the open is not known"]


@pytest.mark.parametrize(("opened", "ratio"), [(20, 0.2), (68, 0.68), (150, 1.5)])
def test_a_jump_without_an_action_is_listed(opened: float, ratio: float) -> None:
    """Either way: an action that no list had, or units of a fund that were split."""
    _, jumps = looked_at(market(100, 100, 100, opened, opened), notices())
    assert jumps.select("symbol", "trade_date", "close_before", "open").rows() == [("ABC", DAYS[3], 100.0, opened)]
    assert jumps["ratio"][0] == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("rows", "actions"),
    [
        (market(100, 100, 100, 70, 70), notices()),
        (market(100, 100, None, 20, 20), notices()),
        (market(0.1, 0.1, 0.1, 0.15, 0.1), notices()),
        (market(10, 10, 10, 4, 4, symbol="ABC-RE1"), notices()),
        (market(100, 100, 100, 40, 40), listed(("ABC", "DEMERGER", 3))),
        (market(100, 100, 100, 11, 11), listed(("ABC", "SPL DIV - RS 90 PER SH", 3))),
        (market(100, 100, 100, 40, 40), listed(("ABC", "DIV - 600%", 3))),
    ],
    ids=["within bands", "after a pause", "below a rupee", "rights alone", "demerger", "dividend", "unknown dividend"],
)
def test_what_explains_a_gap_leaves_no_jump(rows: pl.DataFrame, actions: pl.DataFrame) -> None:
    """A list of noise would hide what is missing."""
    assert looked_at(rows, actions)[1].is_empty()


def test_a_jump_beyond_a_dividend_is_listed() -> None:
    """A dividend explains its own amount alone."""
    _, jumps = looked_at(market(100, 100, 100, 20, 20), listed(("ABC", "DIV - RS 2 PER SH", 3)))
    assert jumps["symbol"].to_list() == ["ABC"]


def test_the_series_with_the_highest_turnover_is_the_days_price() -> None:
    """A block of another series is no opening, and a company can move between series."""
    plain = market(100, 100, 100, 20)
    moved = plain.with_columns(series=pl.Series(["EQ", "EQ", "EQ", "BE"]))
    other = plain.tail(1).with_columns(series=pl.lit("BZ"), turnover=pl.lit(1.0), open=pl.lit(70.0))
    assert looked_at(pl.concat([moved, other]), SPLIT)[0]["verdict"].to_list() == ["within"]
