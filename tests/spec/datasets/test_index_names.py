"""The table of the indices' names: that it is whole, and how a name is looked up."""

from __future__ import annotations

import re
from datetime import date

import pytest

from champion_luigi.datasets.index_names import Named, plain, stable_names, table

TODAY = date(2026, 10, 30)
REASONS = (
    r"file \d{4}-\d\d-\d\d",
    "list 2026",
    r"renamed \d{4}-\d\d-\d\d(, level continues)?",
    r"renamed 2016-04-01 and back 2018-04-02, level continues",
    "short name, Pd 2024-04 to 2024-06",
    "short name, list 2026",
    "the exchange's website, 2010 to 2012",
    r"another index than NIFTY (Midcap|Smallcap) 100, 2016-04-01 to 2018-03-28",
)


def named(name: str, day: date = TODAY) -> str | None:
    """The stable name of an index."""
    return stable_names(day).get(plain(name))


def test_every_entry_has_its_reason() -> None:
    """A name is known from somewhere, or it is not in the table."""
    assert [each for each in table() if not any(re.fullmatch(reason, each.basis) for reason in REASONS)] == []


def test_every_stable_name_is_a_name_of_its_index() -> None:
    """The exchange has used it, or uses it today; it has no end."""
    own = {each.index for each in table() if each.name == each.index and each.last == date.max}
    assert {each.index for each in table()} == own


def test_no_name_is_there_twice_for_the_same_time() -> None:
    """Whatever its case and blanks."""
    entries = [(plain(each.name), each.last) for each in table()]
    assert len(set(entries)) == len(entries)


def test_no_stable_name_is_another_index() -> None:
    """Two that differ in case alone would be taken for two indices."""
    stable = {each.index for each in table()}
    assert len({plain(name) for name in stable}) == len(stable)
    assert all(named(name) == name for name in stable)


def test_an_entry_that_ends_is_an_older_name() -> None:
    """Its index has a later one; a renaming has a date after it."""
    for each in table():
        assert (each.last < date.max) is each.basis.startswith("renamed")
        if each.last < date.max:
            assert str(each.last) < re.findall(r"\d{4}-\d\d-\d\d", each.basis)[-1]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("S&P CNX Nifty", "Nifty 50"),  # 2013-02-08
        ("CNX Nifty Junior", "Nifty Next 50"),  # 2015-11-09
        ("CNX Midcap", "NIFTY Midcap 100"),
        ("CNX DEFTY", "Nifty50 USD"),
        # The names of these two look as if they were each other's.
        ("GSEC10 NSE Index", "Nifty 8-13 yr G-Sec"),
        ("GSECBM NSE Index", "Nifty 10 yr Benchmark G-Sec"),
        ("Nifty Free Float Midcap 100", "NIFTY Midcap 100"),  # 2016-04-01, 2018-04-02
        ("Nifty Full Midcap 100", "Nifty Full Midcap 100"),
        ("NSE Quality 30", "NIFTY100 Quality 30"),
        ("Nifty Quality 30", "NIFTY100 Quality 30"),  # 2018-07-16
        ("Nifty100 ESG Sector Leaders - Old", "Nifty100 ESG Sector Leaders"),  # 2020-06-22
        ("Nifty Tata Group 25% Cap", "Nifty India Corporate Group Index - Tata Group 25% Cap"),  # 2024-04-29
        ("Nifty India Internet & E-Commerce", "Nifty India Internet"),  # 2025-05-05
        ("NIFTY CONSR DURBL", "Nifty Consumer Durables"),  # Pd
        ("Nifty GS 10Yr Cln", "Nifty 10 yr Benchmark G-Sec (Clean Price)"),
        ("NIFTY  gs 10YR cln ", "Nifty 10 yr Benchmark G-Sec (Clean Price)"),
    ],
)
def test_a_name_is_that_of_its_index(name: str, index: str) -> None:
    """One of each renaming, and of the short names."""
    assert named(name) == index


@pytest.mark.parametrize("name", ["", "Nifty", "CNX Midcap 200", "Nifty 5O", "Nifty Small"])
def test_a_name_that_is_not_known_is_not_guessed(name: str) -> None:
    """However near another one is."""
    assert named(name) is None


def test_a_name_outlives_its_last_day() -> None:
    """Files do not change their names on the same day, and one was written again with later names."""
    assert named("CNX Bank", date(2015, 11, 6)) == named("CNX Bank", TODAY) == "Nifty Bank"
    assert named("Nifty Bank", date(2010, 1, 4)) == "Nifty Bank"


@pytest.mark.parametrize(
    ("day", "index"),
    [
        (date(2012, 1, 2), "First"),
        (date(2013, 1, 1), "First"),
        (date(2013, 1, 2), "Second"),
        (date(2014, 1, 1), "Second"),
        (date(2014, 1, 2), "Third"),
        (date(2026, 1, 1), "Third"),
    ],
)
@pytest.mark.parametrize("last", [date(2015, 1, 1), date.max])
def test_a_name_that_another_index_takes_is_the_one_of_the_day(day: date, index: str, last: date) -> None:
    """Each has it until its last day; the last one keeps it."""
    names = (
        Named("Second", "Alpha", date(2014, 1, 1), ""),
        Named("Third", "ALPHA", last, ""),
        Named("First", "alpha ", date(2013, 1, 1), ""),
    )
    assert stable_names(day, names) == {"alpha": index}
