"""Instruments: whose a symbol was on a day, by the list of changes, the days of trading, and ISINs."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from helpers import SHARED
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.adjustments.instruments import START, STOP, Change, Changes, Names, Period, names, read_changes
from champion_luigi.datasets.corporate_actions import SHARES
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import normalize
from champion_luigi.parsing.payload import recognise

Row = tuple[str, str | None, date, date]
TRADED = {"symbol": pl.String, "isin": pl.String, "first": pl.Date, "last": pl.Date}
REAL = SHARED / "archive/content/equities/symbolchange.csv"


def day(text: str) -> date:
    """A date of a year alone, a year and month, or a whole one."""
    return date.fromisoformat(text + "-01-01"[len(text) - 4 :])


def listed(*lines: str) -> Changes:
    """Changes such as "A B 2020", or "A B 2020 Company"."""
    parts = [line.split() for line in lines]
    return Changes(tuple(Change(day(on), old, new, "".join(of)) for old, new, on, *of in parts))


def traded(*lines: str) -> pl.DataFrame:
    """Uses such as "A INE002A01018 2011 2020-06-30"; `-` is no ISIN."""
    rows = [line.split() for line in lines]
    cells = [(symbol, None if isin == "-" else isin, day(first), day(last)) for symbol, isin, first, last in rows]
    return pl.DataFrame(cells, TRADED, orient="row")


def monthly() -> list[str]:
    """Companies that are listed for a month each, so that the archive has something in every month of 2011 to 2025."""
    return [f"M{n} - {2011 + n // 12}-{n % 12 + 1:02} {2011 + n // 12}-{n % 12 + 1:02}-28" for n in range(180)]


def instruments(found: Names, *symbols: str) -> list[str]:
    """Today's instrument of each symbol."""
    return [found.find(symbol) for symbol in symbols]


# By the list


def test_a_change_links_two_symbols() -> None:
    """The instrument has the older symbol as its name, on both sides of the day."""
    found = names(listed("A B 2020"))
    assert found.periods == (Period("A", START, day("2020"), "A"), Period("B", day("2020"), STOP, "A"))


def test_a_chain_is_one_instrument() -> None:
    """It is found by each of its symbols, and its symbols stand in the order of time."""
    found = names(listed("A B 2010", "B C 2020"))
    assert instruments(found, "A", "B", "C") == ["A", "A", "A"]
    assert [period.symbol for period in found.symbols("A")] == ["A", "B", "C"]


def test_there_and_back() -> None:
    """A company may take its first symbol again."""
    found = names(listed("A B 2010", "B A 2020"))
    assert [period[:3] for period in found.symbols("A")] == [
        ("A", START, day("2010")),
        ("B", day("2010"), day("2020")),
        ("A", day("2020"), STOP),
    ]


def test_a_companys_changes_of_one_day_are_one() -> None:
    """A to B and B to C on one day is A to C, if the company is the same."""
    found = names(listed("A B 2016 Gold", "B C 2016 Gold"))
    assert found.find("C") == "A"
    assert found.counts == {"same_day_chain": 1}


def test_a_symbol_changes_hands_on_one_day() -> None:
    """Of two companies, one leaves B, and the other takes it."""
    found = names(listed("A B 2016 Alpha", "B C 2016 Beta"))
    assert (found.at("B", day("2015")), found.at("B", day("2016")), found.find("C")) == ("B", "A", "B")


def test_two_companies_exchange_their_symbols() -> None:
    """Nobody is lost if both change on one day."""
    found = names(listed("A B 2016 Alpha", "B A 2016 Beta"))
    assert instruments(found, "A", "B") == ["B", "A"]


@pytest.mark.parametrize("second", ["A C 2020", "C B 2020", "B A 2020"])
def test_changes_that_cannot_both_be_are_counted(second: str) -> None:
    """One symbol cannot become two on one day, two cannot become one, and a circle leads nowhere."""
    found = names(listed("A B 2020", second))
    assert found.counts["conflicting"] in (1, 2)


def test_a_second_departure_means_another_company_in_between() -> None:
    """A was given up in 2010, so what gives it up in 2020 came later. Its name has the day."""
    found = names(listed("A B 2010", "A C 2020"))
    assert found.find("B") == "A"
    assert found.find("C") == found.at("A", day("2015")) == "A@2010-01-01"


def test_a_change_onto_a_symbol_in_use_ends_that_use() -> None:
    """The list lacks the other company's end."""
    found = names(listed("A B 2010", "C B 2020"))
    assert (found.at("B", day("2019")), found.at("B", day("2020"))) == ("A", "C")


# By trades


def test_a_symbol_without_changes_is_an_instrument() -> None:
    """Its period is open on both sides."""
    assert names(Changes(), traded("A - 2011 2020")).periods == (Period("A", START, STOP, "A"),)


def test_a_symbol_is_reused() -> None:
    """It trades on while the company that gave it up trades under another symbol."""
    found = names(
        listed("A B 2015"),
        traded("A INE111A01011 2011 2014", "B INE111A01011 2015 2025", "A INE222A01011 2018 2025"),
    )
    assert (found.at("A", day("2014")), found.at("A", day("2018")), found.find("A")) == ("A", *["A@2015-01-01"] * 2)
    assert found.counts == {"reused": 1}


def test_a_company_comes_back_to_its_symbol() -> None:
    """The issuer's part of the ISIN shows it, though the list does not."""
    found = names(
        listed("A B 2015"),
        traded("A INE111A01011 2011 2014-12-31", "B INE111A01011 2015 2017", "A INE111A01029 2020 2025"),
    )
    assert (found.at("A", day("2022")), found.counts) == ("A", {"came_back": 1})


def test_a_symbol_was_used_before() -> None:
    """A change leads to a symbol that another company had: the periods are cut at its day."""
    found = names(listed("A B 2015"), traded("B - 2000 2009", "A - 2011 2014", "B - 2015 2020", *monthly()))
    assert (found.at("B", day("2009")), found.at("B", day("2015")), found.counts) == ("B", "A", {"used_before": 1})


def test_a_change_that_is_listed_late() -> None:
    """The new symbol trades before the day, and the company as nothing else."""
    found = names(listed("A B 2025-07-03"), traded("A - 2011 2025-05-30", "B - 2025-06-02 2025-08-01", *monthly()))
    assert (found.at("B", day("2025-06-10")), found.counts) == ("A", {"listed_late": 1})


def test_a_change_that_is_listed_early() -> None:
    """The old symbol trades on after the day, and the company as nothing else."""
    found = names(listed("A B 2019-06-03"), traded("A - 2011 2019-06-28", "B - 2019-07-01 2025", *monthly()))
    assert (found.at("A", day("2019-06-10")), found.find("B")) == ("A", "A")
    assert found.counts == {"listed_early": 1}


def test_a_symbol_that_a_delisted_company_had() -> None:
    """Years apart and with another issuer, no change is needed: the later one has the day in its name."""
    found = names(Changes(), traded("A INE111A01011 2011 2013", "A INE222A01011 2019 2025"))
    assert (found.at("A", day("2018")), found.at("A", day("2019"))) == ("A", "A@2019-01-01")


def test_a_symbol_whose_isin_changes_is_one_instrument() -> None:
    """A split, a merger or a fund's new manager changes the ISIN from one session to the next."""
    uses = traded("A INE111A01011 2011 2015", "A INE111A01029 2015-01-02 2018", "A INE222A01011 2018-01-02 2020")
    assert {period.instrument for period in names(Changes(), uses).periods} == {"A"}


# By ISIN


@pytest.mark.parametrize(
    ("earlier", "later", "kind"),
    [
        ("INE111A01011 2011 2015", "INE111A01011 2015-01-02 2020", "linked_by_isin"),
        ("INE111A01011 2011 2015", "INE111A01011 2018 2020", "linked_by_isin"),
        ("INF111A01011 2011 2015", "INF111A01011 2015-01-02 2020", "linked_by_isin"),
        ("INE111A01011 2011 2015", "INE111A01029 2015-01-20 2020", "linked_by_issuer"),
        ("IN9111A01011 2011 2015", "IN9111A01029 2015-01-02 2020", "linked_by_issuer"),
        ("INE111A01011 2011 2015", "INE111A01029 2018 2020", "apart"),
        ("INE111A01011 2011 2015", "INE222A01011 2015-01-02 2020", ""),
        ("IN9111A01011 2011 2015", "INE111A01029 2015-01-02 2020", ""),
        ("INE111A20011 2011 2015", "INE111A20029 2015-01-02 2020", ""),
        ("INF111A01011 2011 2015", "INF111A01029 2015-01-02 2020", ""),
        ("INE 2011 2015", "INE 2015-01-02 2020", ""),
        ("DUMMY 2011 2015", "DUMMY 2015-01-02 2020", ""),
        ("- 2011 2015", "- 2015-01-02 2020", ""),
        ("INE111A01011 2011 2016", "INE111A01011 2015-01-02 2020", ""),
        ("INE111A01011 2011 2016", "INE111A01029 2015-01-02 2020", ""),
    ],
)
def test_isins_link_what_the_list_lacks(earlier: str, later: str, kind: str) -> None:
    """The same security at any time, the same issuer of shares within a month, and nothing that trades meanwhile."""
    found = names(Changes(), traded(f"A {earlier}", f"B {later}", *monthly()))
    assert found.counts == ({kind: 1} if kind else {})
    assert (found.find("B") == "A") == kind.startswith("linked")


def test_a_gap_of_the_archive_is_no_time_without_trades() -> None:
    """Where an archive has nothing between two symbols of an issuer, they follow one another."""
    found = names(Changes(), traded("A INE111A01011 2011 2015", "B INE111A01029 2018 2020"))
    assert found.counts == {"linked_by_issuer": 1}


def test_a_link_by_isin_joins_chains_of_the_list() -> None:
    """The list has the changes before and after, and lacks the one in between. Periods end where the next begins."""
    found = names(
        listed("A B 2010", "C D 2020"), traded("B INE111A01011 2012 2015-06-30", "C INE111A01029 2015-07-01 2019")
    )
    assert [period[:3] for period in found.symbols("A")] == [
        ("A", START, day("2010")),
        ("B", day("2010"), day("2015-07-01")),
        ("C", day("2015-07-01"), day("2020")),
        ("D", day("2020"), STOP),
    ]


def test_an_issuers_two_shares_are_not_mixed_up() -> None:
    """Both end, and two others begin: nothing shows which follows which. ISINs would."""
    two = ["A INE111A01011 2011 2015", "A2 INE111A01029 2011 2015"]
    unclear = names(Changes(), traded(*two, "B INE111A01037 2015-01-02 2020", "B2 INE111A01045 2015-01-02 2020"))
    assert unclear.counts == {"ambiguous": 2}
    clear = names(Changes(), traded(*two, "B INE111A01011 2015-01-02 2020", "B2 INE111A01029 2015-01-02 2020"))
    assert instruments(clear, "B", "B2") == ["A", "A2"]


def test_a_listed_change_counts_whatever_the_isins() -> None:
    """The exchange says that it is one security; that the issuers differ is counted."""
    found = names(listed("A B 2015"), traded("A INE111A01011 2011 2014-12-31", "B INE222A01011 2015 2020"))
    assert (found.find("B"), found.counts) == ("A", {"issuer_differs": 1})


# What a symbol means


def test_what_a_symbol_means_on_a_day() -> None:
    """Its period of that day; else the next one, for files with today's symbols; else the last; else itself."""
    found = names(listed("A B 2010", "B C 2020", "X B 2022"))
    at = {text: found.at("B", day(text)) for text in ("2005", "2010", "2019-12-31", "2021", "2022")}
    assert at == {"2005": "A", "2010": "A", "2019-12-31": "A", "2021": "X", "2022": "X"}
    assert found.at("A", day("2015")) == "A"
    assert found.at("UNKNOWN", day("2015")) == found.find("UNKNOWN") == "UNKNOWN"
    assert "UNKNOWN" not in found
    assert found.symbols("UNKNOWN") == []


def test_names_survive_as_a_frame() -> None:
    """They are stored as a frame with one row a period."""
    found = names(listed("A B 2010", "A C 2020"), traded("A - 2011 2025"))
    assert found.frame.schema == {"symbol": pl.String, "start": pl.Date, "stop": pl.Date, "instrument": pl.String}
    assert Names.of(found.frame.sample(fraction=1, shuffle=True, seed=1)).periods == found.periods


# Any history


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Change], list[Row], list[int], int]:
    """Companies that change their symbols: the list, each symbol's uses, whose these are, and a number of weeks.

    Symbols are few, so that they are reused, and an archive may know ISINs or not.
    """
    companies, weeks = draw(st.integers(1, 5)), draw(st.integers(2, 40))
    dice = random.Random(draw(st.integers(0, 10**6)))
    free = [f"S{n}" for n in range(companies + 3)]
    has: dict[int, str] = {}
    since = dict.fromkeys(range(companies), 0)
    changes, uses, owners = [], [], []
    isins = draw(st.booleans())
    first = day("2011-07-01")

    def use(company: int, until: int) -> None:
        isin = f"INE{company:03}A01011" if isins else None
        days = first + timedelta(weeks=since[company]), first + timedelta(weeks=until, days=-1)
        uses.append((has[company], isin, *days))
        owners.append(company)

    for company in range(companies):
        has[company] = free.pop(0)
    for week in range(1, weeks):
        company = dice.randrange(companies)
        new = free.pop(dice.randrange(len(free)))
        use(company, week)
        changes.append(Change(first + timedelta(weeks=week), has[company], new, f"Company {company}"))
        free.append(has[company])
        has[company], since[company] = new, week
    for company in range(companies):
        use(company, weeks)
    return changes, uses, owners, draw(st.integers(1, weeks))


@given(histories())
def test_a_use_is_its_companys_and_later_changes_rename_nothing(
    history: tuple[list[Change], list[Row], list[int], int],
) -> None:
    """With the list and archive as of any day, each use has the instrument that it has in the end."""
    changes, uses, owners, weeks = history
    until = day("2011-07-01") + timedelta(weeks=weeks)
    known = [(symbol, isin, first, min(last, until)) for symbol, isin, first, last in uses if first <= until]

    def found(of: list[Change], rows: list[Row]) -> Names:
        by_isin = pl.DataFrame(rows, TRADED, orient="row").group_by("symbol", "isin")
        return names(Changes(tuple(of)), by_isin.agg(pl.col("first").min(), pl.col("last").max()))

    end = found(changes, uses)
    before = found([change for change in changes if change.day <= until], known)
    assert {(symbol, each): before.at(symbol, each) for symbol, _, *days in known for each in days} == {
        (symbol, each): end.at(symbol, each) for symbol, _, *days in known for each in days
    }
    pairs = {(owner, end.at(use[0], each)) for owner, use in zip(owners, uses, strict=True) for each in use[2:]}
    assert len(pairs) == len({owner for owner, _ in pairs}) == len({instrument for _, instrument in pairs})


@given(histories())
def test_periods_cover_all_uses_and_do_not_overlap(
    history: tuple[list[Change], list[Row], list[int], int],
) -> None:
    """Nor are they empty, or others if the lines are in another order."""
    changes, uses, *_ = history
    found = names(Changes(tuple(changes)), pl.DataFrame(uses, TRADED, orient="row"))
    turned = names(Changes(tuple(changes[::-1])), pl.DataFrame(uses[::-1], TRADED, orient="row"))
    assert turned == found
    assert all(period.start < period.stop for period in found.periods)
    pairs = zip(found.periods, found.periods[1:], strict=False)
    assert all(one.symbol < two.symbol or one.stop <= two.start for one, two in pairs)
    for symbol, _, *days in uses:
        for each in days:
            assert any(it.symbol == symbol and it.start <= each < it.stop for it in found.periods)


# The published list


@pytest.mark.skipif(not REAL.is_file(), reason="the published files are not beside the checkout")
def test_the_published_list() -> None:
    """1,045 changes give 915 instruments, of up to six symbols; SAMMAANCAP has its years as IBULHSGFIN."""
    found = names(read_changes(REAL.read_bytes()))
    assert found.counts == {"same_day_chain": 1}
    assert len({period.instrument for period in found.periods}) == 915
    assert [period[:3] for period in found.symbols(found.find("SAMMAANCAP"))] == [
        ("IBULHSGFIN", START, day("2024-07-26")),
        ("SAMMAANCAP", day("2024-07-26"), STOP),
    ]
    symbols = Counter(period.instrument for period in found.periods)
    assert Counter(symbols.values()) == {2: 812, 3: 84, 4: 15, 5: 1, 6: 3}


@pytest.mark.integration
@pytest.mark.skipif(not REAL.is_file(), reason="the published files are not beside the checkout")
def test_the_published_list_with_a_file_a_month() -> None:
    """Trades show changes that the list lacks, a symbol that was reused, and days that the list has wrong."""
    found = names(read_changes(REAL.read_bytes()), of_archive())
    assert found.counts == {
        "apart": 30,
        "came_back": 1,
        "linked_by_isin": 23,
        "linked_by_issuer": 40,
        "listed_early": 1,
        "listed_late": 1,
        "reused": 1,
        "same_day_chain": 1,
    }
    assert instruments(found, "PCBL", "DVL", "DTIL", "NV20BEES") == ["PHILIPCARB", "DTIL", "DTIL@2010-07-26", "RELNV20"]
    assert found.odd["reused"] == ("DTIL from 2010-07-26: after DTIL",)


def of_archive() -> pl.DataFrame:
    """The uses of symbols on the first day of each month that the archive has, series of shares and funds."""
    of_month: dict[str, tuple[date, str, Path]] = {}
    for path in [*REAL.parents[1].glob("historical/**/*.zip"), *REAL.parents[1].glob("cm/BhavCopy*.zip")]:
        known = EQUITY.of_path("/" + path.relative_to(REAL.parents[2]).as_posix())
        assert known
        each = (known[1], known[0].name, path)
        of_month[f"{known[1]:%Y-%m}"] = min(each, of_month.get(f"{known[1]:%Y-%m}", each))
    rows = []
    for on, source, path in of_month.values():
        table = parse(recognise(path.read_bytes(), EQUITY, on, path.name, format=source))
        rows.append(normalize(table, EQUITY, source, on).rows.select("trade_date", "symbol", "series", "isin"))
    days = pl.col("trade_date")
    return (
        pl.concat(rows)
        .filter(pl.col("series").is_in(SHARES))
        .group_by("symbol", "isin")
        .agg(days.min().alias("first"), days.max().alias("last"))
    )
