"""The simulated actions in the simulated market: prices and shares answer to the notices, rows to changed symbols."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from itertools import pairwise

import polars as pl
import pytest

from champion_luigi.datasets import purposes
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.effective_actions import effective
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import sessions
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.simulated import capital, market, notices
from champion_luigi.simulated.companies import company_on, renames
from champion_luigi.simulated.exchange import payload, respond

FACTORS = ("split", "bonus", "consolidation")
# Two months with a company that is renamed before the ex-date of its split.
START, STOP = date(2024, 7, 1), date(2024, 9, 1)
CHANGES = "/content/equities/symbolchange.csv"


def normalized(day: date, dataset: Dataset, source: str) -> Normalized:
    """A simulated day from one of a data set's sources, without a reject."""
    content = payload(day, source, dataset)
    assert content is not None
    found = normalize(parse(recognise(content, dataset, day, format=source)), dataset, source, day)
    assert found.rejects == []
    return found


def prices(day: date) -> dict[tuple[str, str], dict[str, float]]:
    """A simulated day's prices by symbol and series."""
    rows = normalized(day, EQUITY, "udiff").rows
    return {(row["symbol"], row["series"]): row for row in rows.iter_rows(named=True)}


@pytest.fixture(scope="module")
def actions() -> pl.DataFrame:
    """What takes effect on shares in the two months, by their lists and those of the weeks before."""
    lists = [normalized(day, CORPORATE_ACTIONS, "pr").rows for day in sessions.sessions(date(2024, 6, 7), STOP)]
    of_shares = effective(pl.concat(lists)).filter(pl.col("series").list.contains("EQ"))
    return of_shares.filter(pl.col("ex_date").is_between(START, STOP, closed="left"))


def test_a_price_opens_at_the_previous_close_divided_by_the_factor(actions: pl.DataFrame) -> None:
    """And closes near it: for every split, bonus and consolidation, whatever became of its notice."""
    # The notice of a renamed company stands under two symbols; one of them trades.
    factors: dict[tuple[str, date], float] = {}
    for row in actions.filter(pl.col("kind").is_in(FACTORS)).iter_rows(named=True):
        key = (row["symbol"], row["ex_date"])
        factors[key] = factors.get(key, 1) * row["factor"]
    seen = 0
    for (symbol, day), factor in factors.items():
        for series in ("EQ", "BE", "BZ"):
            if traded := prices(day).get((symbol, series)):
                seen += 1
                assert 0.9 < traded["open"] / (traded["prev_close"] / factor) < 1.1
                assert 0.8 < traded["close"] / (traded["prev_close"] / factor) < 1.25
    assert len(factors) - 3 <= seen <= len(factors)
    assert seen > 10


def test_rights_cost_what_gives_the_factor_of_the_prices(actions: pl.DataFrame) -> None:
    """The theoretical ex-rights price is near the open."""
    seen = 0
    for row in actions.filter(pl.col("kind") == "rights").iter_rows(named=True):
        values = normalized(sessions.previous(row["ex_date"]), MARKET_CAP, "pr").rows.filter(symbol=row["symbol"])
        traded = prices(row["ex_date"]).get((row["symbol"], values["series"][0]))
        if traded:
            seen += 1
            issue, close = values["face_value"][0] + row["amount"], traded["prev_close"]
            ratio = row["ratio_new"], row["ratio_old"]
            factor = close * sum(ratio) / (ratio[1] * close + ratio[0] * issue)
            assert factor > 1.02
            assert 0.96 < traded["open"] * factor / close < 1.04
    assert seen > 1


def test_every_change_is_in_a_list_before_it_takes_effect() -> None:
    """With its date and terms, and understood; around the day whose list is empty, too."""
    listed: dict[tuple[str, ...], set[str]] = {}
    for day in sessions.sessions(date(2021, 12, 1), date(2022, 5, 1)):
        for line in notices.lines(day, year_first=True):
            series, symbol, *_, ex_date, _, _, text = line.split(",", 9)
            listed.setdefault((series, symbol, ex_date), set()).add(text.strip())
    due = [each for each in capital.changes(2022) if each.day < date(2022, 5, 1)]
    assert len(due) > 30
    for change in due:
        symbol, _ = company_on(change.company, change.ex_date)
        texts = listed["EQ", symbol, f"{change.ex_date}"]
        for text in change.texts:
            [found] = (each for each in texts if each.startswith(text.partition("{")[0]))
            assert purposes.read(found, width=25).understood


@pytest.mark.parametrize("year", [2011, 2018, 2024])
def test_most_companies_have_no_change(year: int) -> None:
    """In a year one in ten or fewer, and over all years three in five."""
    assert 100 < len({each.company for each in capital.changes(year)}) < capital.COMPANIES / 10
    ever = {each.company for each in range_of_changes()}
    assert len(ever) < 0.4 * capital.COMPANIES


def range_of_changes() -> Iterator[capital.Change]:
    """All changes up to today."""
    for year in range(2010, 2027):
        yield from capital.changes(year)


def test_no_two_changes_of_a_company_are_within_two_years() -> None:
    """So no price runs up to two of them at once."""
    days: dict[int, list[date]] = {}
    for each in range_of_changes():
        days.setdefault(each.company, []).append(each.day)
    assert all((later - earlier).days > 730 for each in days.values() for earlier, later in pairwise(each))


def test_a_price_runs_up_smoothly_to_a_split() -> None:
    """By less than 5 percent a session, so that nothing but the split jumps."""
    change = next(each for each in capital.changes(2024) if each.price == (10, 1))
    before = sessions.sessions(change.ex_date.replace(year=2023), change.ex_date)
    closes = [market._closes(day)[change.company] for day in before]
    moves = [later / earlier for earlier, later in pairwise(closes)]
    assert max(moves) < 1.06
    assert 6 < closes[-1] / closes[0] < 15


# The market values


def test_face_value_and_shares_change_on_the_ex_date_of_a_split() -> None:
    """As the notice has it; the market value stays about the same."""
    change = next(each for each in capital.changes(2024) if each.texts == ("FVSPLT FRM RS 10 TO RE 1",))
    symbol, _ = company_on(change.company, change.ex_date)
    days = (sessions.previous(change.ex_date), change.ex_date)
    before, after = (normalized(day, MARKET_CAP, "pr").rows.filter(symbol=symbol).to_dicts()[0] for day in days)
    assert (before["face_value"], after["face_value"]) == (10, 1)
    assert after["issue_size"] == 10 * before["issue_size"]
    assert 0.9 < after["market_cap"] / before["market_cap"] < 1.1


@pytest.mark.parametrize("day", [date(2024, 5, 2), date(2024, 7, 9), date(2026, 2, 2)])
def test_each_share_of_the_day_has_a_market_value(day: date) -> None:
    """At the exact close, which the printed close is within half of five paise of; and the totals are right."""
    found = normalized(day, MARKET_CAP, "pr")
    shares = normalized(day, EQUITY, "udiff").rows.filter(pl.col("series").is_in(["EQ", "BE", "BZ", "SM", "ST"]))
    joined = shares.join(found.rows, on=["symbol", "series"], suffix="_printed")
    assert joined.height == shares.height
    assert (joined["last_trade_date"] == day).all()
    assert ((joined["market_cap"] / joined["issue_size"]).round(2) == joined["close"]).all()
    counted = {name for name, count in found.warnings.items() if count}
    rounded = {"rounded_close"} if day >= date(2024, 6, 10) else set()
    assert counted == {"old_close", "never_traded"} | rounded
    assert found.skipped == 3


def test_market_values_are_padded_as_on_the_exchange() -> None:
    """Each field to its width, but the symbol, the series and the end of the line."""
    with zipfile.ZipFile(io.BytesIO(payload(date(2024, 5, 2), "pr", MARKET_CAP) or b"")) as archive:
        header, *lines = archive.read("MCAP02052024.csv").decode("ascii").splitlines()
    assert header.endswith("Market Cap(Rs.)              ")
    fields = [line.split(",") for line in lines]
    assert {tuple(map(len, each[3:9])) for each in fields} == {(25, 10, 11, 19, 18, 18)}
    assert {len(each[9].rstrip()) for each in fields} == {18}
    assert [each[1:3] for each in fields[-3:]] == [[f"{each:10}", "  "] for each in ("Listed", "Permitted", "Total")]


# The changed symbols


@pytest.fixture(scope="module")
def changes() -> list[tuple[str, str, str, date]]:
    """The lines of the list: company, old symbol, new symbol, first session under it."""
    status, content = respond(CHANGES)
    assert status == 200
    lines = csv.reader(io.StringIO(content.decode("utf-8")))
    return [(name, old, new, datetime.strptime(day, "%d-%b-%Y").date()) for name, old, new, day in lines]


def test_a_company_trades_under_its_old_symbol_before_the_day_and_under_the_new_one_from_it_on(
    changes: list[tuple[str, str, str, date]],
) -> None:
    """Every row of it; and its previous close is that of the old symbol."""
    seen = 0
    for _, old, new, day in changes:
        if old == new or (old, new) not in {(each.old, each.symbol) for each in renames()}:
            continue
        before = {row.of.symbol: row for row in market.rows(sessions.previous(day))}
        after = {row.of.symbol: row for row in market.rows(day)}
        assert old not in after
        if old in before and new in after:
            seen += 1
            assert after[new].previous == before[old].close
    assert seen > 5


def test_the_list_has_the_oddities_of_the_real_one(changes: list[tuple[str, str, str, date]]) -> None:
    """A chain, a symbol that another company takes up later, one that changes to itself, and odd names."""
    news = {new: day for _, _, new, day in changes}
    assert any(old in news and day > news[old] for _, old, new, day in changes if old != new)
    given_up = {old: day for _, old, _, day in changes}
    assert any(given_up[new] < day for _, old, new, day in changes if new in given_up and old != new)
    assert Counter(old == new for _, old, new, _ in changes)[True] == 1
    names = [name for name, *_ in changes]
    assert "" in names
    assert any(name.startswith(" ") for name in names)
    assert not all(map(str.isascii, names))
    assert [day for *_, day in changes] != sorted(day for *_, day in changes)


def test_a_list_has_the_symbols_in_force_on_its_day() -> None:
    """A notice that stands in lists before and after a change is under the old and then the new symbol."""
    symbols = []
    for day in (date(2024, 8, 1), date(2024, 8, 2)):
        rows = normalized(day, CORPORATE_ACTIONS, "pr").rows
        symbols.append(rows.filter(ex_date=date(2024, 8, 5), kind="split", series="EQ")["symbol"].to_list())
    [rename] = [each for each in renames() if each.day == date(2024, 8, 2)]
    assert rename.old in symbols[0]
    assert rename.symbol in symbols[1]
    assert rename.old not in symbols[1]
