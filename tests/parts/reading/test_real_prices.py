"""`champion_luigi.prices` on the exchange's own files of three weeks in May 2024."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from helpers import champion_here

import champion_luigi

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def data(shared: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of the days from 6 to 27 May 2024, without a warehouse."""
    folder = tmp_path_factory.mktemp("data")
    environment = {"DATA_DIR": str(folder), "NSE_ARCHIVE_URL": str(shared("archive")), "CHAMPION_TRACKING": "off"}
    sets = ("--dataset", "equity,corporate_actions", "--of", "WriteParquet")
    done = champion_here("fill", *sets, "--start", "2024-05-06", "--stop", "2024-05-28", **environment)
    # Some days are not in the folder.
    assert done.returncode in (0, 15), done.stderr
    return folder


@pytest.fixture(autouse=True)
def _configured(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(data))


@pytest.mark.parametrize(
    ("symbol", "ex_date", "factor"), [("CANBK", date(2024, 5, 15), 5), ("INOXWIND", date(2024, 5, 24), 4)]
)
def test_a_split_and_a_bonus_leave_no_jump(symbol: str, ex_date: date, factor: float) -> None:
    """Prices before the ex-date are divided, and the share opens near its adjusted close before it."""
    found = champion_luigi.prices(symbol, fields=["open", "prev_close", "close", "raw_close", "volume", "factor"])
    before, after = found.filter(found["trade_date"] < ex_date), found.filter(found["trade_date"] >= ex_date)
    assert set(before["factor"]) == {factor}
    assert set(after["factor"]) == {1}
    assert before["close"].to_list() == [close / factor for close in before["raw_close"]]
    assert after["prev_close"][0] == before["close"][-1]
    assert 0.8 < after["open"][0] / before["close"][-1] < 1.25


def test_a_notice_that_moved_counts_from_its_later_date_on() -> None:
    """INOXWIND's bonus was listed for the 17th until the 10th, and then for the 24th."""
    for day, factors in (("2024-05-17", {1}), ("2024-05-23", {1}), ("2024-05-24", {4, 1})):
        found = champion_luigi.prices("INOXWIND", fields="factor", as_of=day)
        assert found["trade_date"][-1] == date.fromisoformat(day)
        assert set(found["factor"]) == factors


def test_the_market_has_one_row_a_day_and_instrument() -> None:
    """Of shares and funds alone."""
    found = champion_luigi.prices(fields=["series", "close"])
    assert found.select("trade_date", "instrument").is_unique().all()
    assert {"EQ", "BE", "SM"} <= set(found["series"]) <= {"EQ", "BE", "BZ", "SM", "ST", "SZ", "SQ"}
    assert 2000 < found.filter(found["trade_date"] == date(2024, 5, 15)).height < 3000
