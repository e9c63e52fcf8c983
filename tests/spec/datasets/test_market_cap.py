"""Market values: the file's dates, padding, totals and rounded closes, in hand-written and real files."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from champion_luigi.base.errors import ChampionError, RejectedPayload, WrongDate
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.market_cap import FIRST_DATE, MARKET_CAP
from champion_luigi.datasets.model import Dataset
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, normalize
from champion_luigi.parsing.payload import recognise
from champion_luigi.simulated.exchange import payload
from champion_luigi.simulated.zips import zipped_all

DAY = date(2024, 7, 9)
SOURCE = MARKET_CAP.sources[0]
HEADER = (
    "Trade Date,Symbol,Series,Security Name,Category,Last Trade Date,Face Value(Rs.),Issue Size,"
    "Close Price/Paid up value(Rs.),Market Cap(Rs.)              "
)
ALPHA = (
    "ALPHA,EQ,ALPHA LIMITED            ,Listed    ,09 JUL 2024,               2.00,              1000,"
    "             10.05,          10050.00  "
)
TOTAL = (
    "TOTAL,BE,TOTAL HAULAGE LIMITED    ,Permitted ,08 JUL 2024,              10.00,               200,"
    "             50.00,          10000.00"
)


def written(*rows: str, totals: tuple[str, str, str] = ("10050.00", "10000.00", "20050.00"), day: str = "") -> bytes:
    """A zip with a hand-written member; a row has all but its date."""
    ends = [
        f"{title:10},  ,{'':25},{'':10},{'':11},{'0.00':>19},{'0':>18},{'0.00':>18},{total:>18}"
        for title, total in zip(("Listed", "Permitted", "Total"), totals, strict=True)
    ]
    lines = [HEADER, *(f"{day or '09 JUL 2024'},{row}" for row in (*rows, *ends)), ""]
    return zipped_all({"MCAP09072024.csv": "\n".join(lines).encode(), "Readme.txt": b""}, DAY)


def normalized(content: bytes, day: date = DAY, dataset: Dataset = MARKET_CAP) -> Normalized:
    """A zip's file in canonical columns."""
    return normalize(parse(recognise(content, dataset, day, format="pr")), dataset, "pr", day)


def error_of(content: bytes, day: date = DAY) -> ChampionError:
    """The error that a zip is refused with."""
    with pytest.raises(ChampionError) as caught:
        recognise(content, MARKET_CAP, day, "the zip", format="pr")
    return caught.value


def test_the_file_is_a_member_of_the_zip_for_the_press() -> None:
    """From February 2024 on; its name became lower case later, and no further request is sent for it."""
    assert (MARKET_CAP.first_date, FIRST_DATE) == (date(2024, 2, 1), date(2024, 2, 1))
    assert SOURCE.is_member("MCAP10102025.csv", date(2025, 10, 10))
    assert SOURCE.is_member("mcap13102025.csv", date(2025, 10, 13))
    assert not SOURCE.is_member("MCAP101025.csv", date(2025, 10, 10))
    press = EQUITY.source("pr")
    assert press is not None
    assert (press.path_of(DAY), press.shared) == (SOURCE.path_of(DAY), SOURCE.shared)


def test_a_row_has_these_values() -> None:
    """Without the blanks around them; TOTAL is the symbol of a share, whose row is no total."""
    found = normalized(written(ALPHA, TOTAL))
    assert (found.rejects, found.skipped) == ([], 3)
    assert found.rows.rows() == [
        (DAY, "ALPHA", "EQ", "ALPHA LIMITED", "Listed", DAY, 2.0, 1000, 10.05, 10_050.0, "pr"),
        (DAY, "TOTAL", "BE", "TOTAL HAULAGE LIMITED", "Permitted", date(2024, 7, 8), 10.0, 200, 50.0, 10_000.0, "pr"),
    ]
    assert found.warnings == dict.fromkeys(MARKET_CAP.warning_names, 0) | {"old_close": 1}


@pytest.mark.parametrize("text", ["09 JUL 2024", " 09 Jul 2024 ", "9 JUL 2024", "2024-07-09"])
def test_a_date_has_blanks_between_its_parts(text: str) -> None:
    """As in all files that are known; that of the zip's other members since October 2025 is read as well."""
    assert MARKET_CAP.read_date(text, DAY) == DAY


@pytest.mark.parametrize("text", ["", "Not Traded", "31 FEB 2024", "09 07 2024", "09072024"])
def test_what_is_no_date_is_none(text: str) -> None:
    """Months are letters."""
    assert MARKET_CAP.read_date(text, DAY) is None


def test_an_error_says_how_the_date_is_written() -> None:
    """So that a change of its form is seen at once."""
    error = error_of(written(ALPHA, TOTAL, day="09.07.2024"))
    assert type(error) is RejectedPayload
    assert "09 JUL 2024" in str(error.expected)


def test_a_share_that_never_traded_has_no_last_day() -> None:
    """The file says so in words."""
    found = normalized(written(ALPHA.replace("09 JUL 2024", "Not Traded "), TOTAL))
    assert found.rejects == []
    assert found.rows["last_trade_date"].to_list() == [None, date(2024, 7, 8)]
    assert found.warnings["never_traded"] == 1


def test_any_other_word_in_its_place_is_rejected() -> None:
    """It is no date, and its meaning is not known."""
    found = normalized(written(ALPHA.replace("09 JUL 2024", "Suspended  "), TOTAL))
    assert [reject.rule for reject in found.rejects] == ["bad_date"]


@pytest.mark.parametrize(
    ("old", "new", "warnings"),
    [
        ("          10050.00", "          10030.00", {"rounded_close"}),
        ("          10050.00", "          10090.00", {"other_market_cap"}),
        ("09 JUL 2024", "10 JUL 2024", {"later_last_trade"}),
        ("ALPHA,EQ", "AL\u200bPHA,EQ", {"invisible_in_key"}),
    ],
)
def test_an_oddity_is_counted_and_the_row_stays(old: str, new: str, warnings: set[str]) -> None:
    """Each by its own name."""
    row = ALPHA.replace(old, new, 1)
    value = new.strip() if "." in new else "10050.00"
    found = normalized(written(row, TOTAL, totals=(value, "10000.00", f"{float(value) + 10_000:.2f}")))
    assert (found.rejects, found.rows.height) == ([], 2)
    assert {name for name, count in found.warnings.items() if count} == {"old_close"} | warnings


@pytest.mark.parametrize(
    ("totals", "warnings"),
    [
        (("10051.00", "10000.00", "20050.00"), {"other_listed_total"}),
        (("10050.00", "9000.00", "20050.00"), {"other_permitted_total"}),
        (("10050.00", "10000.00", "20051.00"), {"other_total"}),
    ],
)
def test_a_total_that_is_not_the_sum_is_counted(totals: tuple[str, str, str], warnings: set[str]) -> None:
    """Of the listed shares, of those that are permitted to trade, and of all."""
    found = normalized(written(ALPHA, TOTAL, totals=totals))
    assert {name for name, count in found.warnings.items() if count} == {"old_close"} | warnings


def test_a_row_of_an_unknown_category_is_rejected() -> None:
    """Whether its shares are comparable is not known."""
    found = normalized(written(ALPHA, TOTAL.replace("Permitted", "Suspended")))
    assert [reject.rule for reject in found.rejects] == ["foreign_row"]


def test_a_zip_without_the_file_or_with_another_days_is_refused() -> None:
    """The names of its members decide."""
    assert type(error_of(zipped_all({"Readme.txt": b""}, DAY))) is RejectedPayload
    assert type(error_of(written(ALPHA), date(2024, 7, 10))) is WrongDate


def test_a_file_of_totals_alone_is_refused() -> None:
    """It has no share."""
    assert type(error_of(written())) is RejectedPayload


@pytest.mark.parametrize("day", [FIRST_DATE, DAY, date(2025, 10, 10), date(2025, 10, 13)])
def test_a_simulated_day_has_a_value_for_each_share(day: date) -> None:
    """In each form of the zip."""
    content = payload(day, "pr", MARKET_CAP)
    assert content is not None
    found = normalized(content, day)
    assert found.rejects == []
    assert found.rows.height > 2_200


# The real files


@pytest.fixture(scope="module")
def real(shared: Callable[[str], Path]) -> dict[date, bytes]:
    """The real zips, by day."""
    folder = shared("archive/archives/equities/bhavcopy/pr")
    found = {path: SOURCE.day_of(f"/archives/equities/bhavcopy/pr/{path.name}") for path in folder.glob("*.zip")}
    return {day: path.read_bytes() for path, day in found.items() if day and day >= FIRST_DATE}


@pytest.mark.integration
def test_the_real_files_load_without_a_reject(real: dict[date, bytes]) -> None:
    """Each row is one, or one of three totals, which are right; what is odd is counted."""
    warnings: Counter[str] = Counter()
    for day, content in real.items():
        found = normalized(content, day)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            lines = archive.read(next(name for name in archive.namelist() if SOURCE.is_member(name, day)))
        assert (found.rejects, found.skipped) == ([], 3)
        assert found.rows.height == lines.count(b"\n") - 4 > 2_200
        warnings.update(found.warnings)
    of_54_days = {"rounded_close": 10_246, "old_close": 2_952, "never_traded": 317}
    assert len(real) != 54 or +warnings == of_54_days


@pytest.mark.integration
def test_real_market_values_are_those_of_the_exact_close(real: dict[date, bytes]) -> None:
    """The close in the zip's prices, to the paisa; the one printed beside the value is rounded to five paise."""
    for day, content in [*real.items()][::6]:
        prices = normalized(content, day, EQUITY).rows.select("symbol", "series", exact="close")
        traded = normalized(content, day).rows.filter(last_trade_date=day)
        both = traded.join(prices, on=["symbol", "series"])
        assert both.height > 2_200
        assert ((both["market_cap"] / both["issue_size"] - both["exact"]).abs() < 0.005).all()
        assert ((both["close"] - both["exact"]).abs() < 0.021).all()
