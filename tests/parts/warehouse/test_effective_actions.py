"""The view of the corporate actions that take effect: notices that move, vanish, lose their date or come again."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from clickhouse_server import ClickHouseServer, User, unavailable

from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.effective_actions import effective
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Warehouse

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
VIEW = "champion_market.corporate_actions_effective"
RIGHTS = "SELECT, INSERT, OPTIMIZE, CREATE TABLE, CREATE VIEW, CREATE DATABASE"
HEADER = "SERIES,SYMBOL,SECURITY,RECORD_DT,BC_STRT_DT,BC_END_DT,EX_DT,ND_STRT_DT,ND_END_DT,PURPOSE"

Lists = Mapping[date, pl.DataFrame]


def load(warehouse: Warehouse, lists: Lists) -> None:
    """Load these lists."""
    for day, rows in lists.items():
        warehouse.load(CORPORATE_ACTIONS, day, rows)


def same_in_polars(warehouse: Warehouse, lists: Lists) -> tuple[list[str], list[str]]:
    """The view's rows of the year of these lists, and those that Polars makes of the lists."""
    expected = effective(pl.concat(lists.values()))
    columns, [year] = ", ".join(expected.columns), {day.year for day in lists}
    found = warehouse.query(f"SELECT {columns} FROM {VIEW} WHERE toYear(ex_date) = {year}")

    def shown(rows: Sequence[Sequence[object]]) -> list[str]:
        # The engine gives a condition as 0 or 1.
        place = expected.columns.index("vanished")
        return sorted(str([*row[:place], bool(row[place]), *row[place + 1 :]]) for row in rows)

    return shown(found), shown(expected.rows())


# Small lists: the days on which each symbol's notice has which ex-date, and whether it counts


def may(day: int) -> date:
    """A day of May 2020, or later if it is above 31; the real lists are of another year."""
    return date(2020, 4, 30) + timedelta(days=day)


LISTS = [may(day) for day in (2, 3, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17, 97, 98)]
# By symbol: the purpose, and the ex-date in the lists from one day to another.
NOTICES: dict[str, list[tuple[str, int, int, int | None]]] = {
    "STAYS": [("BONUS 1:1", 2, 10, 9)],
    "MOVES": [("BONUS 1:1", 2, 6, 9), ("BONUS 1:1", 7, 17, 16)],
    "TWICE": [("BONUS 1:1", 2, 3, 9), ("BONUS 1:1", 6, 7, 10), ("BONUS 1:1", 8, 13, 13)],
    "ADVANCED": [("BONUS 1:1", 2, 6, 16), ("BONUS 1:1", 7, 10, 9)],
    "RETURNS": [("BONUS 1:1", 2, 3, 16), ("BONUS 1:1", 6, 7, 17), ("BONUS 1:1", 8, 16, 16)],
    "VANISHED": [("RIGHTS 1:4 @PRM RS 30", 2, 3, 9)],
    "BLANK": [("BONUS 1:1", 2, 3, 9), ("BONUS 1:1", 6, 9, None)],
    "UNDATED": [("BONUS 1:1", 2, 9, None)],
    "AGAIN": [("RIGHTS 1:4 @PRM RS 30", 2, 3, 7), ("RIGHTS 1:4 @PRM RS 30", 13, 17, 17)],
    "REPEATED": [("DIV - RS 2 PER SH", 2, 7, 7), ("DIV - RS 2 PER SH", 13, 17, 17)],
    "MONTHLY": [("INTEREST PAYMENT", 2, 6, 7), ("INTEREST PAYMENT", 10, 17, 17)],
    "BOTH": [("INTEREST PAYMENT", 2, 9, 9), ("INTEREST PAYMENT", 6, 16, 16)],
    "REWRITTEN": [("DIV - RS 2 PER SH", 2, 6, 9), ("AGM/DIV - RS 2 PER SH", 7, 16, 16)],
    "CHANGED": [("BONUS 1:1", 2, 6, 16), ("BONUS 1:2", 7, 16, 16)],
    "SPLITS": [("BONUS 1:1/FVSPLT RS10TORS5", 2, 9, 9)],
    "ON_THE_DAY": [("DIV - RS 2 PER SH", 2, 6, 9), ("DIV - RS 2 PER SH", 9, 16, 16)],
    "DAY_AFTER": [("DIV - RS 2 PER SH", 2, 6, 8), ("DIV - RS 2 PER SH", 9, 16, 16)],
    "IN_TIME": [("BONUS 1:1", 2, 3, 7), ("BONUS 1:1", 97, 98, 99)],
    "TOO_LATE": [("BONUS 1:1", 2, 3, 7), ("BONUS 1:1", 98, 98, 99)],
    "FUTURE": [("BONUS 1:1", 97, 98, 120)],
}
_OF: dict[str, tuple[str, ...]] = {"MONTHLY": ("N1",), "BOTH": ("N1",), "MOVES": ("BE", "EQ", "BZ")}


@pytest.fixture(scope="module")
def small() -> Lists:
    """The lists of those notices."""
    found = {}
    for day in LISTS:
        lines = [
            f"{series},{symbol},{symbol} LTD, , , ,{f'{may(ex):%d/%m/%Y}' if ex else ' '}, , ,{purpose:25}"
            for symbol, notices in NOTICES.items()
            for purpose, first, last, ex in notices
            if may(first) <= day <= may(last)
            for series in _OF.get(symbol, ("EQ",))
        ]
        table = parse_list(lines, day)
        found[day] = table
    return found


def parse_list(lines: list[str], day: date) -> pl.DataFrame:
    """The rows of a list."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"Bc{day:%d%m%y}.csv", "\n".join([HEADER, *lines]))
    return normalized(buffer.getvalue(), day)


def normalized(content: bytes, day: date) -> pl.DataFrame:
    """The rows of a zip's list."""
    table = parse(recognise(content, CORPORATE_ACTIONS, day, format="pr"))
    return normalize(table, CORPORATE_ACTIONS, "pr", day).rows


@pytest.fixture(scope="module")
def warehouse(small: Lists, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    opened = open_warehouse(Address(folder=tmp_path_factory.mktemp("warehouse")))
    load(opened, small)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("STAYS", [("bonus", 9, False, [])]),
        ("MOVES", [("bonus", 16, False, [9])]),
        ("TWICE", [("bonus", 13, False, [9, 10])]),
        ("ADVANCED", [("bonus", 9, False, [16])]),
        ("RETURNS", [("bonus", 16, False, [17])]),
        # Vanishing alone withdraws nothing.
        ("VANISHED", [("rights", 9, True, [])]),
        ("BLANK", [("bonus", 9, False, [])]),
        ("UNDATED", []),
        # Gone before its date, and listed again after it: a rights issue does not come twice within weeks.
        ("AGAIN", [("rights", 17, False, [7])]),
        ("REPEATED", [("dividend", 7, False, []), ("dividend", 17, False, [])]),
        # A payment that recurs may vanish before its date, and be another one the next time.
        ("MONTHLY", [("interest", 7, False, []), ("interest", 17, False, [])]),
        ("BOTH", [("interest", 9, False, []), ("interest", 16, False, [])]),
        ("REWRITTEN", [("dividend", 16, False, [9]), ("meeting", 16, False, [])]),
        # Other terms are another action: both stay, the older one marked.
        ("CHANGED", [("bonus", 16, False, []), ("bonus", 16, True, [])]),
        ("SPLITS", [("bonus", 9, False, []), ("split", 9, False, [])]),
        ("ON_THE_DAY", [("dividend", 16, False, [9])]),
        ("DAY_AFTER", [("dividend", 8, True, []), ("dividend", 16, False, [])]),
        # Ninety days after the date that had vanished, and a day more.
        ("IN_TIME", [("bonus", 99, False, [7])]),
        ("TOO_LATE", [("bonus", 7, True, []), ("bonus", 99, False, [])]),
        ("FUTURE", [("bonus", 120, False, [])]),
    ],
)
def test_the_latest_notice_of_an_action_counts(
    warehouse: Warehouse, symbol: str, expected: list[tuple[str, int, bool, list[int]]]
) -> None:
    """With its date; the dates before it are listed, and a notice that only vanished is marked."""
    found = warehouse.query(
        f"SELECT kind, ex_date, vanished, moved_from FROM {VIEW} WHERE symbol = '{symbol}' "
        "ORDER BY ex_date, kind, vanished"
    )
    days = [(kind, may(day), gone, [may(each) for each in before]) for kind, day, gone, before in expected]
    assert [(kind, day, bool(gone), list(before)) for kind, day, gone, before in found] == days


def test_the_series_of_a_company_are_one_event(warehouse: Warehouse) -> None:
    """They are listed in it."""
    [(series,)] = warehouse.query(f"SELECT series FROM {VIEW} WHERE symbol = 'MOVES'")
    assert list(series) == ["BE", "BZ", "EQ"]


def test_the_view_and_polars_agree(warehouse: Warehouse, small: Lists) -> None:
    """On every row and column."""
    found, expected = same_in_polars(warehouse, small)
    assert found == expected


# The view itself


@pytest.mark.parametrize("spoiling", [f"CREATE OR REPLACE VIEW {VIEW} AS SELECT 1 AS one", f"DROP VIEW {VIEW}"])
def test_a_view_of_another_version_is_made_anew(warehouse: Warehouse, spoiling: str) -> None:
    """And one that somebody dropped."""
    before = warehouse.query(f"SELECT symbol, ex_date FROM {VIEW} ORDER BY ALL")
    warehouse.command(spoiling)
    warehouse._can_load.clear()
    warehouse.prepare(CORPORATE_ACTIONS)
    assert warehouse.query(f"SELECT symbol, ex_date FROM {VIEW} ORDER BY ALL") == before


def test_a_view_of_this_version_is_left_alone(warehouse: Warehouse) -> None:
    """A user without the right to make views can load."""
    made = f"SELECT uuid, metadata_modification_time FROM system.tables WHERE name = '{VIEW.partition('.')[2]}'"
    before = warehouse.query(made)
    warehouse._can_load.clear()
    warehouse.prepare(CORPORATE_ACTIONS)
    assert warehouse.query(made) == before


# The rights that the guide to a ClickHouse server names.
LOADER = User("loader", "word", (f"{RIGHTS} ON champion_market.*", "TABLE ENGINE ON *"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    if reason := unavailable():
        pytest.skip(reason)
    with ClickHouseServer(tmp_path_factory.mktemp("server"), others=[LOADER]) as running:
        yield running


def test_a_server_with_the_rights_of_the_guide_makes_the_view(server: ClickHouseServer, small: Lists) -> None:
    """They are enough for the first load and the next, and the view reads as in the embedded engine."""
    assert f"GRANT {RIGHTS} ON" in (ROOT / "docs/how-to/clickhouse-server.md").read_text(encoding="utf-8")
    place = Address(server.host, server.port, LOADER.name, LOADER.password)
    for _ in range(2):
        with contextlib.closing(open_warehouse(place)) as served:
            load(served, small)
            found, expected = same_in_polars(served, small)
            assert found == expected


# The real lists


@pytest.fixture(scope="module")
def real(shared: Callable[[str], Path], warehouse: Warehouse) -> Lists:
    """Every real list that is beside the checkout, loaded."""
    found = {}
    for path in shared("archive/archives/equities/bhavcopy/pr").glob("PR*.zip"):
        day = datetime.strptime(path.stem, "PR%d%m%y").date()
        found[day] = normalized(path.read_bytes(), day)
    load(warehouse, dict(sorted(found.items())))
    return found


@pytest.mark.parametrize(
    ("symbol", "kind", "expected"),
    [
        ("INOXWIND", "bonus", [("2024-05-24", ["2024-05-17"], False)]),
        ("AJOONI", "rights", [("2024-05-07", ["2024-05-02"], False)]),
        ("ABINFRA", "rights", [("2024-05-17", ["2024-04-05"], False)]),
        ("SOBHA", "rights", [("2024-06-19", [], True)]),
        ("NESTLEIND", "dividend", [("2024-07-16", ["2024-07-15"], False)]),
        # An interim and a final dividend of the same amount.
        ("OBEROIRLTY", "dividend", [("2024-05-22", [], False), ("2024-06-24", [], False)]),
        ("CANBK", "split", [("2024-05-15", [], False)]),
    ],
)
@pytest.mark.usefixtures("real")
def test_real_notices_give_the_actions_that_took_effect(
    warehouse: Warehouse, symbol: str, kind: str, expected: list[tuple[str, list[str], bool]]
) -> None:
    """Once for all series of the company."""
    found = warehouse.query(
        f"SELECT ex_date, moved_from, vanished FROM {VIEW} WHERE symbol = '{symbol}' AND kind = '{kind}' "
        "ORDER BY ex_date"
    )
    assert [(str(day), list(map(str, before)), bool(gone)) for day, before, gone in found] == expected


def test_the_real_view_and_polars_agree(warehouse: Warehouse, real: Lists) -> None:
    """On every row and column."""
    found, expected = same_in_polars(warehouse, real)
    assert found == expected


@pytest.mark.usefixtures("real")
def test_a_real_action_of_shares_is_there_once(warehouse: Warehouse) -> None:
    """No split, bonus or rights issue has two dates within the three months."""
    twice = warehouse.query(
        f"SELECT symbol, kind, count() FROM {VIEW} WHERE kind IN ('split', 'bonus', 'rights') "
        "AND ex_date >= '2024-01-01' "
        "GROUP BY symbol, kind HAVING count() > 1"
    )
    assert twice == []


@pytest.mark.usefixtures("real")
def test_only_one_real_notice_vanished_for_good(warehouse: Warehouse) -> None:
    """Blank dates on the way are no withdrawal."""
    gone = warehouse.query(f"SELECT symbol FROM {VIEW} WHERE vanished AND ex_date >= '2024-01-01'")
    assert gone == [("SOBHA",)]
