"""The exchange's list of changed symbols: what is read, what is odd, and what is no such list."""

from __future__ import annotations

from datetime import date

import pytest
from helpers import SHARED

from champion_luigi.adjustments.symbol_changes import Change, read_changes
from champion_luigi.base.errors import RejectedPayload

REAL = SHARED / "archive/content/equities/symbolchange.csv"


def test_a_line_is_a_change() -> None:
    """Company, old symbol, new symbol, and the first session under the new one."""
    changes = read_changes(b"Alpha Limited,ALPHA,ALFA,26-JUL-2024\n")
    assert changes.listed == (Change(date(2024, 7, 26), "ALPHA", "ALFA", "Alpha Limited"),)


def test_changes_are_in_the_order_of_their_days() -> None:
    """The exchange's lines are in no order."""
    changes = read_changes(b"Alpha,B,C,02-JAN-2020\nAlpha,A,B,01-FEB-2019\n")
    assert [change.old for change in changes.listed] == ["A", "B"]


@pytest.mark.parametrize(
    ("line", "company"),
    [
        (b" Alpha  Fund , A,B ,1-Jan-2020", "Alpha Fund"),
        (b"Alpha, Beta & Co, Limited,A,B,01-JAN-2020", "Alpha, Beta & Co, Limited"),
        (b'"Alpha, Beta","A","B","01-JAN-2020"', "Alpha, Beta"),
        (b"\xef\xbb\xbfAlpha,A,B,01-JAN-2020\r", "Alpha"),
        ("Alpha – Growth,A,B,01-JAN-2020".encode(), "Alpha – Growth"),
        (b",A,B,01-JAN-2020", ""),
    ],
)
def test_blanks_commas_quotes_and_other_letters(line: bytes, company: str) -> None:
    """Names are written in many ways, and one is missing."""
    assert read_changes(line + b"\n").listed == (Change(date(2020, 1, 1), "A", "B", company),)


def test_oddities_are_counted() -> None:
    """A change to the same symbol, a line that repeats another, and lines that say something else."""
    content = b"Alpha,A,B,01-JAN-2020\nBeta,C,C,01-JAN-2020\nAlpha,A,B,01-JAN-2020\nGamma,D,E,31-FEB-2020\nDelta,F,G\n"
    changes = read_changes(content)
    assert changes.counts == {"changes": 1, "self_map": 1, "repeated": 1, "not_understood": 2}
    assert changes.odd["not_understood"] == ("Gamma,D,E,31-FEB-2020", "Delta,F,G")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "no line"),
        (b"\n\n", "no line"),
        (b"<!DOCTYPE html>\n<html>\n</html>\n", "a page of HTML"),
        (b"SYMBOL,OPEN,HIGH\nA,1,2\n", "2 of 2 lines"),
        (b"PK\x03\x04\x00\x00", "1 of 1 lines"),
    ],
)
def test_another_file_is_refused(content: bytes, found: str) -> None:
    """A page with status 200 is no list, and the error says what was found."""
    with pytest.raises(RejectedPayload, match="list of changed symbols") as caught:
        read_changes(content, "https://example.org/symbolchange.csv")
    assert found in str(caught.value)
    assert caught.value.source == "https://example.org/symbolchange.csv"


@pytest.mark.skipif(not REAL.is_file(), reason="the published files are not beside the checkout")
def test_the_published_list() -> None:
    """Of 1,054 lines, all are understood, and nine change nothing."""
    changes = read_changes(REAL.read_bytes())
    assert changes.counts == {"changes": 1045, "self_map": 9, "repeated": 0, "not_understood": 0}
    assert (changes.listed[0].day, changes.listed[-1].day) == (date(1999, 9, 15), date(2026, 8, 6))


def test_a_list_that_ends_within_a_line_is_refused() -> None:
    """The rest of it is missing, too."""
    with pytest.raises(RejectedPayload, match="cut off"):
        read_changes(b"A LIMITED,AAA,AAB,26-JUL-2024\nB LIMITED,BBB,BBC,27-JUL-2024\nC LIMITED,CCC,CC")
