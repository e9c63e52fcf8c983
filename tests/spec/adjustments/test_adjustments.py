"""Corporate actions become adjustments with exact factors, or are listed with the reason for having none."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from small_market import day, events_in, notices, prices, renamed

RISING = prices("ABC", [100, 110, 120, 130])


def only(found: pl.DataFrame) -> dict[str, object]:
    [event] = found.iter_rows(named=True)
    return event


@pytest.mark.parametrize(
    ("purpose", "kind", "factor"),
    [
        ("FVSPLT FRM RS 10 TO RE 1", "split", 10.0),
        ("BONUS 1:3", "bonus", 4 / 3),
        ("CONSOLIDATION RE 1 TO 10", "consolidation", 0.1),
    ],
)
def test_terms_alone_give_the_factor_of_shares(purpose: str, kind: str, factor: float) -> None:
    """Without any price."""
    event = only(events_in(RISING.head(0), notices(("ABC", purpose, 0, 2))))
    assert (event["kind"], event["counts_in"], event["factor"], event["exchange_factor"]) == (
        kind,
        "splits",
        factor,
        factor,
    )
    assert (event["ex_date"], event["unadjusted"], event["note"]) == (day(2), False, None)


def test_several_actions_of_one_text_are_events_of_one_day() -> None:
    """A split and a bonus: both factors count."""
    text = "Bonus 4:1/Face Value Split (Sub-Division) - From Rs 2/- Per Share To Re 1/- Per Share"
    found = events_in(RISING, notices(("ABC", text, 0, 2), layout="export"))
    assert sorted(found["factor"]) == [2.0, 5.0]


def caps(value: float, first: int = 0, last: int = 3) -> pl.DataFrame:
    return pl.DataFrame(
        {"instrument": ["ABC"], "face_value": [float(value)], "first": [day(first)], "last": [day(last)]}
    )


def test_rights_have_the_theoretical_ex_rights_price() -> None:
    """From the last close before the ex-date and the face value; the exchange rounds to two decimals."""
    found = events_in(RISING, notices(("ABC", "RIGHTS 1:3 @PRM RS 40", 0, 2)), face_values=caps(10))
    event = only(found)
    # (3 x 110 + 1 x 50) / 4 = 95
    assert event["factor"] == pytest.approx(110 / 95, rel=1e-12)
    assert (event["exchange_factor"], event["counts_in"]) == (1.16, "exchange")
    assert (event["close"], event["close_date"], event["face_value"]) == (110.0, day(1), 10.0)


def test_a_face_value_holds_between_two_splits() -> None:
    """One that is known from after a split is not that of before it; the split states both."""
    actions = notices(("ABC", "RIGHTS 1:3 @PRM RS 40", 0, 1), ("ABC", "FVSPLT FRM RS 10 TO RE 1", 0, 3))
    found = events_in(RISING, actions, face_values=caps(1, 3, 3))
    assert found.filter(kind="rights")["face_value"].item() == 10.0


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("RIGHTS 1:3 @PRM RS 40", "the face value is not known"),
        ("RIGHTS 1:3", "the text has no price"),
        ("Rights 1:3 Partly Paid @ Premium Rs 100/-", "of partly paid shares, which trade apart"),
    ],
)
def test_rights_of_unknown_terms_are_listed_as_unadjusted(text: str, note: str) -> None:
    """And have no factor."""
    event = only(events_in(RISING, notices(("ABC", text, 0, 2), layout="export")))
    assert (event["factor"], event["counts_in"], event["unadjusted"], event["note"]) == (None, None, True, note)


def test_rights_above_the_market_change_nothing() -> None:
    """Nobody takes them: the factor is 1."""
    event = only(events_in(RISING, notices(("ABC", "RIGHTS 1:1 @PRM RS 500", 0, 2)), face_values=caps(10)))
    assert (event["factor"], event["unadjusted"]) == (1.0, False)


@pytest.mark.parametrize(
    ("text", "close", "factor", "note"),
    [
        ("DIV - RS 11 PER SH", 110, 110 / 99, None),
        ("DIV-50%", 110, 110 / 105, None),
        ("SPLDIV - RS 200 PER SH", 110, None, "the dividend is not below the close before it, 110.0"),
    ],
)
def test_a_dividend_counts_in_total_return_alone(
    text: str, close: float, factor: float | None, note: str | None
) -> None:
    """By the close before; in percent by the face value. It leaves no event unadjusted."""
    event = only(events_in(prices("ABC", [100, close, 120]), notices(("ABC", text, 0, 2)), face_values=caps(10)))
    assert (event["factor"], event["exchange_factor"], event["note"]) == (factor, None, note)
    assert (event["counts_in"], event["unadjusted"]) == ("total_return" if factor else None, False)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("DEMERGER", "the terms give no ratio"),
        ("CAPITAL REDUCTION", "the terms give no ratio"),
        ("BONUS NCRPS 4:1", "the terms give no ratio"),
        ("TERMS AS ANNOUNCED", "the text was not understood as a whole"),
    ],
)
def test_what_has_no_ratio_is_listed_and_never_guessed(text: str, note: str) -> None:
    """A demerger, a reduction of capital, preference shares, a text that nobody understands."""
    event = only(events_in(RISING, notices(("ABC", text, 0, 2))))
    assert (event["factor"], event["unadjusted"], event["note"], event["purpose"]) == (None, True, note, text)


def test_meetings_interest_and_buybacks_are_no_events() -> None:
    """They change no price by a ratio."""
    lines = [("ABC", text, 0, 2) for text in ("ANNUAL GENERAL MEETING", "INTEREST PAYMENT", "BUYBACK OF SHARES")]
    assert events_in(RISING, notices(*lines)).is_empty()


def test_an_action_of_a_list_and_of_an_export_is_one() -> None:
    """Even if the export has the company's later symbol."""
    listed = notices(("OLD", "BONUS 1:1", 0, 2))
    exported = notices(("NEW", "Bonus 1:1", 9, 2), layout="export")
    found = events_in(RISING, pl.concat([listed, exported]), renamed(("OLD", "NEW", 5)))
    [bonus] = found.filter(kind="bonus").iter_rows(named=True)
    assert (bonus["instrument"], bonus["symbol"], bonus["last_listed"]) == ("OLD", "OLD", day(9))
    [change] = found.filter(kind="symbol_change").iter_rows(named=True)
    assert (change["from_symbol"], change["symbol"], change["ex_date"]) == ("OLD", "NEW", day(5))


def test_a_bonus_that_moved_across_a_change_of_symbol_is_one() -> None:
    """Its later notice counts."""
    actions = notices(("OLD", "BONUS 1:1", 0, 3), ("NEW", "BONUS 1:1", 2, 4))
    found = events_in(RISING, actions, renamed(("OLD", "NEW", 2)))
    assert found.filter(kind="bonus")["ex_date"].to_list() == [day(4)]


def test_a_corrected_ratio_replaces_the_first_one() -> None:
    """The latest notice of an action counts; two that one list has are two actions."""
    corrected = notices(("ABC", "BONUS 1:1", 0, 3), ("ABC", "BONUS 2:1", 1, 3))
    assert events_in(RISING, corrected)["factor"].to_list() == [3.0]
    exported = notices(("ABC", "Bonus 2:1", 9, 3), layout="export")
    assert events_in(RISING, pl.concat([corrected.head(1), exported]))["factor"].to_list() == [3.0]
    together = notices(("ABC", "DIV - RS 11 PER SH", 0, 3), ("ABC", "DIV - RS 5 PER SH", 0, 3))
    assert events_in(RISING, together).height == 2


def test_a_corrected_dividend_replaces_one_that_was_gone_before_its_ex_date() -> None:
    """A further dividend that is announced later does not."""
    corrected = notices(("ABC", "DIV - RS 11 PER SH", 0, 3), ("ABC", "DIV - RS 5 PER SH", 1, 3))
    assert events_in(RISING, corrected)["amount"].to_list() == [5.0]
    further = notices(
        ("ABC", "DIV - RS 11 PER SH", 1, 3), ("ABC", "DIV - RS 11 PER SH", 2, 3), ("ABC", "DIV - RS 5 PER SH", 2, 3)
    )
    assert set(events_in(RISING, further)["amount"]) == {5.0, 11.0}


def test_a_missing_session_before_the_ex_date_gives_no_stale_close() -> None:
    """The ex-date's own row has the close before it."""
    rows = RISING.filter(pl.col("trade_date") != day(1))
    found = events_in(rows, notices(("ABC", "DIV - RS 11 PER SH", 0, 2)), missing=[day(1)])
    event = only(found)
    assert (event["close"], event["close_date"], event["factor"]) == (110.0, None, pytest.approx(110 / 99))


def test_as_of_a_day_only_what_was_published_and_effective_counts() -> None:
    """A notice of a later list has not been read, and a moved one counts as it stood."""
    actions = notices(("ABC", "BONUS 1:1", 0, 3), ("ABC", "BONUS 1:1", 2, 5), ("ABC", "DIV - RS 11 PER SH", 3, 2))

    def known(at: int) -> list[tuple[object, date]]:
        found = events_in(prices("ABC", range(100, 110)), actions, as_of=day(at))
        return list(found.select("kind", "ex_date").iter_rows())

    assert known(2) == []
    assert known(3) == [("dividend", day(2))]
    assert known(5) == [("dividend", day(2)), ("bonus", day(5))]


def test_an_export_counts_as_published_by_the_ex_date() -> None:
    """It comes long after, and the exchange's list, which came before, may be absent."""
    actions = notices(("ABC", "Bonus 1:1", 9, 2), layout="export")
    assert events_in(RISING, actions, as_of=day(1)).is_empty()
    assert only(events_in(RISING, actions, as_of=day(2)))["factor"] == 2.0
