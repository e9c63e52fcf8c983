"""The exchange's 52-week highs and lows: what is read, and what each value says about our factors."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from small_market import day, notices, renamed

from champion_luigi.adjustments import events, referee, spans
from champion_luigi.adjustments.instruments import Names
from champion_luigi.base.errors import RejectedPayload, WrongDate

_HEAD = (
    '"Disclaimer - The Data provided ... are adjusted for corporate actions (bonus, splits & rights)."\n'
    '"Effective for {day}"\n'
    '"SYMBOL","SERIES","Adjusted 52_Week_High","52_Week_High_Date","Adjusted 52_Week_Low","52_Week_Low_DT"\n'
)
NAMES = renamed()


def content(*lines: str, effective_for: str = "09-Jan-2024") -> bytes:
    return (_HEAD.format(day=effective_for) + "".join(f"{line}\n" for line in lines)).encode()


# Reading


def test_a_line_has_a_high_and_a_low_with_their_dates() -> None:
    """Padded with blanks, as the exchange writes them."""
    file = referee.read_range_file(content('"ABC","EQ","    200.05","03-JAN-2024","     90.00","02-Jan-2024"'))
    assert file.effective_for == date(2024, 1, 9)
    assert file.values.rows() == [
        ("ABC", "EQ", "high", 200.05, date(2024, 1, 3)),
        ("ABC", "EQ", "low", 90.0, date(2024, 1, 2)),
    ]


def test_a_value_that_is_not_there_is_left_out() -> None:
    """A share that has not traded for a year has dashes."""
    lines = ('"ABC","EQ","-","-","-","-"', '"ABC","BE","7","03-JAN-2024","-","-"')
    assert referee.read_range_file(content(*lines)).values["what"].to_list() == ["high"]


@pytest.mark.parametrize(
    ("damaged", "found"),
    [
        (b"", "no line"),
        (b"<!DOCTYPE html>\n<html>\n", "<html>"),
        (b"PK\x03\x04\x00\x00", "PK"),
        (b"SYMBOL,SERIES,OPEN\nABC,EQ,1\n", "ABC,EQ,1"),
        (content(effective_for="31-Feb-2024"), "31-Feb-2024"),
        (content(), "no row"),
        (content('"ABC","EQ","200","03-JAN-2024","9'), "ABC,EQ,200"),
        (content('"ABC","EQ","200","03-JAN-2024","90","02-JA"'), "02-JA"),
        (content('"ABC","EQ","2OO","03-JAN-2024","90","02-JAN-2024"'), "2OO"),
        (content('"ABC","EQ","0","03-JAN-2024","90","02-JAN-2024"'), "'0'"),
        (content('"ABC","EQ","200","03-JAN-2024","90","02-JAN-2024"').replace(b"SERIES", b"SERIE"), "serie,"),
    ],
    ids="empty html zip other date rowless cut cut-in-date letters zero header".split(),
)
def test_another_or_a_damaged_file_is_refused(damaged: bytes, found: str) -> None:
    """And the error says what was found, and where."""
    with pytest.raises(RejectedPayload) as caught:
        referee.read_range_file(damaged, source="https://example.org/CM_52.csv")
    assert found in (caught.value.found or "")
    assert caught.value.source == "https://example.org/CM_52.csv"


def test_the_file_of_another_day_is_refused() -> None:
    """The line in the file decides, not its name."""
    with pytest.raises(WrongDate, match="effective for 2024-01-09"):
        referee.read_range_file(content('"ABC","EQ","2","03-JAN-2024","1","02-JAN-2024"'), date(2024, 1, 10))


# Comparing


def judged(value: float, raw: float, *lines: tuple[str, str, int, int], **more: Any) -> dict[str, Any]:
    """The verdict about a high of day 2, by a file that is effective for day 8; ``raw`` is also each day's close."""
    [row] = compared(value, raw, *lines, **more).to_dicts()
    return row


def compared(
    value: float,
    raw: float,
    *lines: tuple[str, str, int, int],
    symbol: str = "ABC",
    names: Names = NAMES,
    of: int = 2,
) -> pl.DataFrame:
    """What `judged` has, for a high of day ``of``."""
    rows = pl.DataFrame(
        {
            "trade_date": [day(number) for number in range(12)],
            "symbol": ["ABC"] * 6 + [symbol] * 6,
            "series": "EQ",
            "high": raw,
            "low": raw,
            "close": raw,
            "prev_close": raw,
        }
    )
    rows = spans.with_instrument(rows, names.frame).with_columns(security=spans.security_of(pl.col("series")))
    actions = events.by_instrument(notices(*lines), names)
    caps = pl.DataFrame({"instrument": ["ABC"], "face_value": [10.0], "first": [day(0)], "last": [day(9)]})
    found, factors = referee.factors_as_of(
        day(8),
        day(8) - referee.REACH,
        actions=actions,
        names=names,
        rows=rows,
        face_values=events.face_values_of(actions, caps),
    )
    values = pl.DataFrame({"symbol": [symbol], "series": "EQ", "what": "high", "value": value, "trade_date": day(of)})
    return referee.compare(referee.RangeFile(day(8), values), rows, names.frame, found, factors)


def test_a_price_with_no_later_event_is_the_raw_one() -> None:
    """To the paisa."""
    assert judged(100.0, 100.004)["verdict"] == "raw"
    assert judged(100.0, 100.01)["verdict"] == "different"


def test_a_price_before_a_split_is_divided() -> None:
    """And rounded by the exchange, not by us."""
    row = judged(33.33, 100.0, ("ABC", "BONUS 2:1", 3, 5))
    assert (row["verdict"], row["factor"], row["ours"]) == ("adjusted", 3.0, 100.0 / 3)


@pytest.mark.parametrize(("listed", "ex"), [(3, 2), (7, 9), (9, 8)], ids=["passed", "to come", "published later"])
def test_an_event_counts_from_its_ex_date_for_earlier_prices(listed: int, ex: int) -> None:
    """As known on the day of the file."""
    assert judged(100.0, 100.0, ("ABC", "BONUS 1:1", listed, ex))["verdict"] == "raw"


def test_a_split_that_the_exchange_does_not_know_is_different() -> None:
    """A factor of ours alone shows."""
    assert judged(100.0, 100.0, ("ABC", "BONUS 1:1", 3, 5))["verdict"] == "different"


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(92.59, "adjusted"), (91.74, "second_decimal"), (93.46, "second_decimal"), (90.9, "different")],
)
def test_rights_are_compared_to_the_second_decimal(value: float, verdict: str) -> None:
    """The factor here is 1.0811; the exchange may have 1.07 or 1.09 in place of 1.08."""
    row = judged(value, 100.0, ("ABC", "RIGHTS 1:3 @PRM RS 60", 3, 5))
    assert (row["factor"], row["verdict"]) == (1.08, verdict)


def test_rights_that_we_do_not_adjust_for_are_named() -> None:
    """Their terms are not known, or they are partly paid; the exchange adjusts for them."""
    row = judged(66.67, 100.0, ("ABC", "RIGHTS 1:2", 3, 5))
    assert (row["verdict"], row["factor"]) == ("unadjusted", 1.0)
    assert row["reason"] == f"rights of {day(5)}, for which we have no factor: the text has no price"
    # They explain no price that the exchange left higher than we do.
    assert judged(100.0, 100.0, ("ABC", "RIGHTS 1:2", 3, 5), ("ABC", "BONUS 1:1", 3, 5))["verdict"] == "different"


def test_dividends_and_demergers_change_nothing() -> None:
    """The exchange does not adjust for them."""
    lines = (("ABC", "DIV - RS 50 PER SH", 3, 5), ("ABC", "DEMERGER", 3, 5))
    assert judged(100.0, 100.0, *lines)["verdict"] == "raw"


def test_a_price_under_an_earlier_symbol_is_found() -> None:
    """The file has the symbols of its own day."""
    names = renamed(("ABC", "XYZ", 6))
    row = judged(50.0, 100.0, ("ABC", "BONUS 1:1", 3, 5), symbol="XYZ", names=names)
    assert (row["symbol"], row["verdict"]) == ("XYZ", "adjusted")


def test_a_known_slip_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the exchange's value is the one that is known."""
    slip = referee.Known("ABC", day(5), 2, "the exchange divided twice")
    monkeypatch.setattr(referee, "KNOWN", (slip,))
    row = judged(25.0, 100.0, ("ABC", "BONUS 1:1", 3, 5))
    assert (row["verdict"], row["reason"]) == ("known", "the exchange divided twice")
    assert judged(24.0, 100.0, ("ABC", "BONUS 1:1", 3, 5))["verdict"] == "different"


def test_a_date_without_a_row_is_left_out() -> None:
    """A lake need not have all days."""
    assert compared(100.0, 100.0, of=-3).is_empty()
