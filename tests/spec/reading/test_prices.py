"""`champion_luigi.prices`: what is adjusted by which factors, over names, series and days, and as known on a day."""

from __future__ import annotations

import doctest
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import priced_lake
import pytest
from priced_lake import DAYS

import champion_luigi
from champion_luigi.base.errors import NotMade, SettingsError, StorageError, UnknownSymbol
from champion_luigi.config import settings
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.reading import prices as reading
from champion_luigi.reading.actions import actions
from champion_luigi.storage import adjustments, lake


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that no test changes."""
    data = tmp_path_factory.mktemp("data")
    with settings.overridden({"data_dir": str(data), "lake_dir": str(data / "lake")}):
        priced_lake.fill(settings.lake_dir())
    return data


@pytest.fixture(autouse=True)
def _configured(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(filled))


def closes(*arguments: object, **options: object) -> list[float]:
    """The closes of `prices`, by date."""
    return champion_luigi.prices(*arguments, **options)["close"].to_list()  # type: ignore[arg-type]


# Adjustments


def test_prices_before_a_split_are_divided_and_volume_is_multiplied() -> None:
    """The newest session has factor 1, turnover stays, and nothing is rounded."""
    found = champion_luigi.prices("ALPHA", fields=["open", "close", "volume", "turnover", "factor", "raw_close"])
    before, after = found.row(4, named=True), found.row(5, named=True)
    assert (before["open"], before["close"], before["volume"]) == (109 / 5, 110 / 5, 500)
    assert (before["turnover"], before["factor"], before["raw_close"]) == (11000, 5, 110)
    assert (after["close"], after["volume"], after["factor"], after["raw_close"]) == (22, 100, 1, 22)


def test_the_previous_close_is_adjusted_by_its_own_days_factor() -> None:
    """On an ex-date it equals the adjusted close before it."""
    found = champion_luigi.prices("ALPHA", fields=["close", "prev_close"])
    assert found["prev_close"].to_list()[1:] == found["close"].to_list()[:-1]


def test_total_return_counts_dividends_and_splits_do_not() -> None:
    """The close before a dividend is divided by close / (close - dividend): no fall is left."""
    assert closes("GAMMA", end=DAYS[5]) == [100, 100, 100, 100, 100, 95]
    assert closes("GAMMA", end=DAYS[5], adjusted="total_return") == pytest.approx([95] * 6)
    assert closes("GAMMA", end=DAYS[5], adjusted="exchange") == [100, 100, 100, 100, 100, 95]
    found = champion_luigi.prices("GAMMA", adjusted="total_return", fields="volume")
    assert set(found["volume"]) == {100}


def test_without_adjustment_prices_are_as_published() -> None:
    """With their types, and the instrument beside them."""
    found = champion_luigi.prices("ALPHA", adjusted=None)
    assert found["close"].to_list() == list(priced_lake.CLOSES["ALPHA"][2])
    assert found.schema["volume"] == pl.Int64


def test_actions_without_a_ratio_are_counted() -> None:
    """A demerger lies ahead of each day before it."""
    found = champion_luigi.prices("GAMMA", fields=["unadjusted"])
    assert found["unadjusted"].to_list() == [1] * 8 + [0] * 2


# Rows


def test_a_symbol_stands_for_all_names_of_its_company() -> None:
    """Whichever of them is given, and the symbol of each day is as traded."""
    found = champion_luigi.prices("BETA")
    assert found.equals(champion_luigi.prices("OLDBETA"))
    assert found["symbol"].to_list() == ["OLDBETA"] * 4 + ["BETA"] * 6
    assert set(found["instrument"]) == {"OLDBETA"}
    assert found["close"].to_list()[:8] == [40, 42, 44, 46, 48, 50, 52, 52]


def test_an_instrument_has_one_row_a_day() -> None:
    """That of the series with the highest turnover; block deals and same-day settlement never count."""
    found = champion_luigi.prices("DELTA", fields=["series", "close"])
    assert found["trade_date"].to_list() == DAYS
    assert found.row(2)[3:] == ("BE", 11)
    assert closes("DELTA", series="EQ") == [10] * 10


def test_two_symbols_of_an_instrument_on_one_day_are_one_row() -> None:
    """A company that still trades under the symbol that it gave up: in a wide frame, both would have one cell."""
    first, second = DAYS[:2]
    rows = pl.DataFrame(
        {
            "trade_date": [first, first, first, second],
            "symbol": ["NEW", "OLD", "XYZ", "NEW"],
            "instrument": ["OLD", "OLD", "XYZ", "OLD"],
            "series": "EQ",
            "turnover": [9.0, 1.0, 5.0, 9.0],
        }
    )
    names = pl.DataFrame(
        {
            "symbol": ["OLD", "NEW", "XYZ"],
            "start": [first, first, first],
            "stop": [DAYS[3], DAYS[3], DAYS[3]],
            "instrument": ["OLD", "OLD", "XYZ"],
        }
    )
    assert reading._one_a_day(rows, reading._at_once(names))["symbol"].to_list() == ["NEW", "XYZ", "NEW"]


def test_start_and_end_are_included() -> None:
    """As dates or texts. Adjustment is by what is known now, not by the end."""
    assert closes("ALPHA", start="2024-03-11", end=date(2024, 3, 12)) == [22, 22]
    assert closes("ALPHA", end=DAYS[0]) == [20]


def test_without_symbols_every_share_is_there() -> None:
    """By date and symbol."""
    found = champion_luigi.prices(start=DAYS[2], end=DAYS[2], fields="close")
    assert found["symbol"].to_list() == ["ALPHA", "DELTA", "GAMMA", "KAPPA", "OLDBETA", "OMEGA"]


def test_a_wide_frame_has_a_column_for_each_symbol_as_it_was_given() -> None:
    """In that order, null where there was no trade; without symbols, by the latest symbol of each company."""
    found = champion_luigi.prices(["omega", "OLDBETA"], start=DAYS[2], end=DAYS[4], wide=True)
    assert found.columns == ["trade_date", "omega", "OLDBETA"]
    assert found.rows() == [(DAYS[2], 7, 44), (DAYS[3], None, 46), (DAYS[4], None, 48)]
    everything = champion_luigi.prices(fields="volume", wide=True)
    assert everything.columns == ["trade_date", "ALPHA", "BETA", "DELTA", "GAMMA", "KAPPA", "OMEGA"]


def test_a_symbol_without_rows_in_the_range_is_an_empty_column() -> None:
    """Of the field's type."""
    found = champion_luigi.prices(["ALPHA", "OMEGA"], start=DAYS[8], wide=True)
    assert found["OMEGA"].to_list() == [None, None]
    assert found.schema["OMEGA"] == pl.Float64


# As known on a day


def test_as_of_ends_with_the_day_and_knows_no_later_action() -> None:
    """Neither a split that is published, but not effective yet."""
    assert closes("ALPHA", as_of=DAYS[4]) == [100, 102, 104, 106, 110]
    assert closes("ALPHA", as_of=DAYS[5]) == [20, 20.4, 20.8, 21.2, 22, 22]
    assert closes("ALPHA", as_of="2024-03-16") == [20, 20.4, 20.8, 21.2, 22, 22, 23, 24, 25]


def test_as_of_counts_a_notice_that_later_came_again() -> None:
    """On that day the bonus stood for that day; today it is known to have come two sessions later."""
    assert closes("KAPPA", as_of=DAYS[6]) == [20] * 6 + [40]
    assert closes("KAPPA", as_of=DAYS[7]) == [40] * 8
    assert closes("KAPPA") == [20] * 10


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_as_of_today_is_what_a_reader_of_that_day_had(
    day: date, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lake that ends with the day gives the same as the whole lake as of the day."""
    earlier = tmp_path / "lake"
    shutil.copytree(filled / "lake", earlier)
    for folder in earlier.glob("normalized/*/year=*/month=*/day=*"):
        if date.fromisoformat(f"2024-03-{folder.name.removeprefix('day=')}") > day:
            shutil.rmtree(folder)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    from champion_luigi.pipeline import adjusting

    adjusting.make(adjusting.inputs())
    then = champion_luigi.prices(adjusted="total_return", fields=["close", "volume", "prev_close"])
    monkeypatch.setenv("DATA_DIR", str(filled))
    now = champion_luigi.prices(adjusted="total_return", fields=["close", "volume", "prev_close"], as_of=day)
    columns = ["trade_date", "symbol", "close", "volume", "prev_close"]
    assert now.select(columns).equals(then.select(columns))


# What cannot be used


def test_an_unknown_symbol_is_named_with_similar_ones() -> None:
    """It is a LookupError too."""
    with pytest.raises(UnknownSymbol, match=r"'ALFA'.*Did you mean ALPHA") as caught:
        champion_luigi.prices(["ALPHA", "ALFA"])
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"adjusted": "dividends"}, "splits, exchange, total_return or None"),
        ({"fields": ["closing"]}, "no such field.*closing"),
        ({"series": ["N1"]}, "one or more of EQ, BE.*lake.scan"),
        ({"fields": ["open", "close"], "wide": True}, "wide frame has one field"),
        ({"start": "01-02-2024"}, "start is not a date.*YYYY-MM-DD"),
        ({"start": "2024-03-05", "end": "2024-03-04"}, "2024-03-05 is after end 2024-03-04"),
        ({"source": "warehouse", "root": "lake"}, "only a lake has a root"),
    ],
)
def test_an_argument_that_cannot_be_used_is_explained(options: dict[str, object], words: str) -> None:
    """With what was expected."""
    with pytest.raises(SettingsError, match=words):
        champion_luigi.prices("ALPHA", **options)  # type: ignore[arg-type]


def test_a_lake_without_prices_or_adjustments_says_what_to_do(filled: Path, tmp_path: Path) -> None:
    """Each with its command."""
    with pytest.raises(StorageError, match=r"no prices yet.*champion fill"):
        champion_luigi.prices(root=tmp_path)
    shutil.copytree(filled / "lake", tmp_path / "lake")
    adjustments.document(tmp_path / "lake").unlink()
    with pytest.raises(NotMade, match="champion adjust"):
        champion_luigi.prices(root=tmp_path / "lake")
    with pytest.raises(StorageError, match="no prices up to 2024-03-01"):
        champion_luigi.prices(as_of="2024-03-01")


def test_prices_that_are_newer_than_the_adjustments_warn(filled: Path, tmp_path: Path) -> None:
    """The adjustments lack what was announced since."""
    root = tmp_path / "lake"
    shutil.copytree(filled / "lake", root)
    newest = next(path for day, path in lake.days(root, EQUITY) if day == DAYS[-1])
    later = lake.partition(root, date(2024, 3, 19), EQUITY)
    later.parent.mkdir()
    shutil.copy(newest.path, later)
    with pytest.warns(UserWarning, match="prices to 2024-03-18.*champion adjust"):
        champion_luigi.prices("ALPHA", root=root)


# Actions


def test_actions_are_listed_with_their_factors_and_remarks() -> None:
    """Changes of symbol too; all names of a company are one."""
    found = actions(["OLDBETA", "GAMMA"])
    assert found.select("ex_date", "symbol", "kind", "factor", "counts_in", "remarks").rows() == [
        (DAYS[4], "BETA", "symbol_change", None, None, "formerly OLDBETA"),
        (DAYS[5], "GAMMA", "dividend", 100 / 95, "total_return", None),
        (DAYS[7], "BETA", "bonus", 1.5, "splits", None),
        (DAYS[8], "GAMMA", "demerger", None, None, "the terms give no ratio"),
    ]
    assert actions(unadjusted=True)["symbol"].to_list() == ["GAMMA"]
    assert actions(["ALPHA"], as_of=DAYS[4]).is_empty()
    assert actions("ALPHA", as_of=str(DAYS[4])).is_empty()
    assert actions("GAMMA").equals(actions(["GAMMA"]))
    with pytest.raises(SettingsError, match="this is not a text"):
        actions(5)  # type: ignore[arg-type]


# The documentation


def test_the_example_of_the_docstring_runs(filled: Path) -> None:
    """On the lake of these tests."""
    [test] = doctest.DocTestFinder(recurse=False).find(reading.prices, "prices")
    assert doctest.DocTestRunner().run(test) == (0, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"symbols": ["ALPHA", None]},
        {"start": 20240501},
        {"end": datetime(2024, 5, 1, 23, tzinfo=UTC)},
    ],
)
def test_an_argument_of_another_type_is_refused_in_a_sentence(arguments: dict[str, Any]) -> None:
    """A time in another zone too, whose date in India may be the next one."""
    with pytest.raises(SettingsError):
        champion_luigi.prices(**{"symbols": "ALPHA", **arguments})


def test_the_root_of_a_lake_is_a_folder(tmp_path: Path) -> None:
    """A file is none."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is a folder"):
        champion_luigi.prices("ALPHA", root=tmp_path / "file")
