"""Deliveries: the two files' dates, numbers and oddities, in hand-written and simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from champion_luigi.base.errors import ChampionError, NotPublished, RejectedPayload, TruncatedPayload, WrongDate
from champion_luigi.datasets.delivery import ALL_DELIVERED, DELIVERY, FIRST_DATE, FULL_FROM
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.exchange import sessions
from champion_luigi.exchange.archive import Published, fetch
from champion_luigi.exchange.folder import FolderArchive
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, normalize
from champion_luigi.parsing.payload import Recognised, recognise
from champion_luigi.simulated.exchange import html_page, payload

DAY = date(2024, 7, 9)
HOLIDAY = date(2024, 1, 22)
FULL, MTO = DELIVERY.sources
HEADER = (
    "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE, "
    "TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER"
)
PRICES = "10.00, 10.10, 10.50, 9.90, 10.20, 10.30, 10.19"
MTO_NAMES = (
    "Record Type,Sr No,Name of Security,Quantity Traded,Deliverable Quantity(gross across client level),"
    "% of Deliverable Quantity to Traded Quantity"
)
# A session in each of the years that both sources have.
DAYS = [date(2019, 10, 1), *sessions.sessions(date(2020, 1, 1), date(2026, 11, 1))[::211]]


def full(*rows: str, day: str = "09-Jul-2024") -> bytes:
    """A hand-written full file; a row has symbol and series, then all from the volume on."""
    lines = []
    for row in rows:
        symbol, series, rest = row.split(", ", 2)
        lines.append(f"{symbol}, {series}, {day}, {PRICES}, {rest}")
    return "\n".join([HEADER, *lines, ""]).encode()


def mto(*rows: str, total: int, records: int | None = None, day: date = DAY, settlement: str = "") -> bytes:
    """A hand-written list of positions; a row has symbol and series, then traded, delivered and percent."""
    return "\n".join(
        [
            "Security Wise Delivery Position - Compulsory Rolling Settlement",
            f"10,MTO,{day:%d%m%Y},{total},{len(rows) if records is None else records:07}",
            f"Trade Date <{day:%d}-JUL-{day:%Y}>,Settlement Type <N>{settlement}",
            MTO_NAMES,
            *(f"20,{number},{row}" for number, row in enumerate(rows, start=1)),
            "",
        ]
    ).encode()


def normalized(content: bytes, source: str, day: date = DAY) -> Normalized:
    """A file in canonical columns."""
    return normalize(parse(recognise(content, DELIVERY, day, format=source)), DELIVERY, source, day)


def simulated(source: str, day: date = DAY) -> bytes:
    """A simulated day's file."""
    content = payload(day, source, DELIVERY)
    assert content is not None
    return content


def error_of(content: bytes, source: str = "full", day: date = DAY) -> ChampionError:
    """The error that a file is refused with."""
    with pytest.raises(ChampionError) as caught:
        recognise(content, DELIVERY, day, "the file", format=source)
    return caught.value


# Dates and places


def test_each_file_has_the_date_in_its_name() -> None:
    """Day, month and year, at two places of the archive."""
    assert FULL.path_of(DAY) == "/products/content/sec_bhavdata_full_09072024.csv"
    assert MTO.path_of(DAY) == "/archives/equities/mto/MTO_09072024.DAT"


def test_the_full_file_comes_first_from_its_first_date_on() -> None:
    """Before it there is the list of positions alone, from April 2005 on."""
    assert (DELIVERY.first_date, FULL.first) == (FIRST_DATE, FULL_FROM) == (date(2005, 4, 1), date(2019, 10, 1))
    assert DELIVERY.sources_of(date(2005, 3, 31)) == ()
    assert DELIVERY.sources_of(FIRST_DATE) == DELIVERY.sources_of(date(2019, 9, 30)) == (MTO,)
    assert DELIVERY.sources_of(FULL_FROM) == DELIVERY.sources_of(date(2026, 10, 30)) == (FULL, MTO)


def test_a_list_of_positions_is_partial_only_beside_a_full_file() -> None:
    """Nothing fuller can come for the days before."""
    assert [DELIVERY.is_partial("mto", day) for day in (date(2019, 9, 30), FULL_FROM)] == [False, True]
    assert not DELIVERY.is_partial("full", FULL_FROM)
    assert not DELIVERY.is_partial("unknown", FULL_FROM)
    assert DELIVERY.without_partial.sources == (FULL,)


@pytest.mark.parametrize("text", ["09-Jul-2024", "09-JUL-2024", "09072024", " 09-Jul-2024"])
def test_a_date_is_read_as_each_file_writes_it(text: str) -> None:
    """In the rows of one, and in the second line of the other."""
    assert DELIVERY.read_date(text, DAY) == DAY


@pytest.mark.parametrize("text", ["", "-", "32072024", "00000000", "9072024", "2024-13-01", "09/07/2024"])
def test_what_is_no_date_is_none(text: str) -> None:
    """Eight digits make none by themselves."""
    assert DELIVERY.read_date(text, DAY) is None


# Values and units


def test_a_row_of_the_full_file_has_these_values() -> None:
    """Lakhs become rupees, a percent becomes a share of 1, and every row is one, whatever its series."""
    found = normalized(full("ABC, EQ, 57743, 1565.83, 9434, 28676, 49.66", "NA, NA, 5, 0.00, 1, 5, 100.00"), "full")
    assert found.rejects == []
    assert found.rows.rows() == [
        (DAY, "ABC", "EQ", 28676, 0.4966, 10.19, 57743, 156_583_000.0, 9434, "full"),
        (DAY, "NA", "NA", 5, 1.0, 10.19, 5, 0.0, 1, "full"),
    ]


def test_a_dash_is_no_delivery_and_the_row_stays() -> None:
    """In BE and BZ every trade is for delivery; elsewhere it is counted as an oddity."""
    rows = [f"ABC, {series}, 100, 0.01, 3, -, -" for series in (*ALL_DELIVERED, "EQ")]
    found = normalized(full(*rows), "full")
    assert (found.rejects, found.rows.height) == ([], 3)
    assert found.rows.select("delivered", "delivered_share").rows() == [(None, None)] * 3
    assert found.warnings == dict.fromkeys(DELIVERY.warning_names, 0) | {"delivery_unknown": 1}


def test_a_row_of_the_list_of_positions_has_no_price_turnover_and_trades() -> None:
    """It has one name for two fields, and the date stands above."""
    found = normalized(mto("ABC,N1,50,20,40.00", "XYZ,EQ,3,1,33.33", total=21), "mto")
    assert found.rejects == []
    assert found.rows.rows() == [
        (DAY, "ABC", "N1", 20, 0.4, None, 50, None, None, "mto"),
        (DAY, "XYZ", "EQ", 1, 0.3333, None, 3, None, None, "mto"),
    ]
    assert set(found.warnings.values()) == {0}


def test_the_settlements_number_and_date_may_follow_its_type() -> None:
    """As in the files until 2017 or later."""
    more = ",Settlement No <2024130>,Settlement Date <11-JUL-2024>"
    assert normalized(mto("ABC,EQ,50,20,40.00", total=20, settlement=more), "mto").rows.height == 1


@pytest.mark.parametrize(
    ("row", "warning"),
    [
        ("ABC, EQ, 100, 0.01, 3, 101, 101.00", "delivered_above_volume"),
        ("ABC, EQ, 100, 0.01, 3, 50, 50.02", "other_delivered_share"),
        ("ABC, EQ, 100000, 10.40, 3, 50000, 50.00", "other_turnover"),
        ("A\u200bC, EQ, 100, 0.01, 3, 50, 50.00", "invisible_in_key"),
    ],
)
def test_an_oddity_is_counted_and_the_row_stays(row: str, warning: str) -> None:
    """Each by its own name, and none of the others."""
    found = normalized(full(row), "full")
    assert (found.rejects, found.rows.height) == ([], 1)
    assert found.warnings == dict.fromkeys(DELIVERY.warning_names, 0) | {warning: 1}


def test_figures_that_agree_but_for_their_last_digit_are_no_oddity() -> None:
    """A percent and an average have two decimals, a turnover ends with a thousand rupees."""
    rows = ["ABC, EQ, 57743, 5.88, 9434, 28676, 49.66", "XYZ, EQ, 3, 0.00, 1, 2, 66.67"]
    assert set(normalized(full(*rows), "full").warnings.values()) == {0}


# Files that are not the day's


def test_the_previous_sessions_file_counts_as_not_published() -> None:
    """The path has it on holidays, and until the evening: it proves nothing about the date."""
    error = error_of(full("ABC, EQ, 100, 0.01, 3, 50, 50.00", day="08-Jul-2024"))
    assert isinstance(error, NotPublished)
    assert str(error) == (
        "2024-07-09: the archive has the previous session's file under this date; found the file of 2024-07-08 "
        "[the file]"
    )


@pytest.mark.parametrize("day", ["10-Jul-2024", "27-Jun-2019", "01-Jul-2024"])
def test_a_file_of_any_other_day_holds_another_day(day: str) -> None:
    """A later one, or one that is older than the longest break from session to session."""
    assert isinstance(error_of(full("ABC, EQ, 100, 0.01, 3, 50, 50.00", day=day)), WrongDate)


def test_a_file_of_two_other_days_holds_another_day() -> None:
    """It is not exactly the previous session's."""
    content = full("ABC, EQ, 1, 0.00, 1, 1, 100.00", "XYZ, EQ, 1, 0.00, 1, 1, 100.00", day="08-Jul-2024")
    error = error_of(content.replace(b"XYZ, EQ, 08", b"XYZ, EQ, 05"))
    assert type(error) is WrongDate


def test_rows_of_another_day_among_the_days_own_are_rejected() -> None:
    """The date of every row decides."""
    content = full("ABC, EQ, 1, 0.00, 1, 1, 100.00", "XYZ, EQ, 1, 0.00, 1, 1, 100.00")
    found = normalized(content.replace(b"XYZ, EQ, 09", b"XYZ, EQ, 08"), "full")
    assert [reject.rule for reject in found.rejects] == ["other_date"]
    assert found.rows["symbol"].to_list() == ["ABC"]


def test_a_row_with_too_few_fields_is_rejected() -> None:
    """Fifteen fields make a row."""
    content = full("ABC, EQ, 1, 0.00, 1, 1", "XYZ, EQ, 1, 0.00, 1, 1, 100.00")
    assert [reject.rule for reject in normalized(content, "full").rejects] == ["field_count"]


@pytest.mark.parametrize("bytes_lost", [1, 3, 6, 9, 40, 100])
def test_a_file_without_its_end_is_rejected_as_a_whole(bytes_lost: int) -> None:
    """Wherever it was cut, but between two lines."""
    content = full(*(f"ABC{n}, EQ, 100, 0.01, 3, 50, 50.00" for n in range(20)))
    error = error_of(content[:-bytes_lost])
    assert type(error) is RejectedPayload
    assert "cut off in its last line" in error.what
    assert error.expected == "15 fields and a line end"


def test_a_file_whose_cut_line_was_ended_is_rejected_as_a_whole() -> None:
    """As by an editor that added the line end."""
    content = simulated("full")
    assert "cut off" in error_of(content[: content.index(b"\n", 40_000) - 20].rstrip() + b"\n").what


def test_a_workbook_is_named_as_one() -> None:
    """So is one that is damaged, as that of 2022-08-08 was."""
    content = simulated("full", date(2022, 8, 8))
    for found in (content, content[:-30]):
        error = error_of(found, day=date(2022, 8, 8))
        assert type(error) is RejectedPayload
        assert error.what == "the payload is an Excel workbook, not the file"


@pytest.mark.parametrize("source", ["full", "mto"])
def test_a_page_is_named_as_one(source: str) -> None:
    """The archive can send it with status 200."""
    assert error_of(html_page("Busy"), source).what == "the payload is an HTML page, not the file"


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (mto("ABC,EQ,50,20,40.00", total=21), RejectedPayload, "the total of 'Deliverable Quantity"),
        (mto("ABC,EQ,50,20,40.00", total=20, records=2), TruncatedPayload, "another number of rows"),
        (mto("ABC,EQ,50,20,40.00", total=20, records=0), RejectedPayload, "another number of rows"),
        (mto("ABC,EQ,50,20,40.00", total=20, day=date(2024, 7, 8)), WrongDate, "another day"),
        (mto("ABC,EQ,50,20,40.00", total=20).replace(b"10,MTO", b"10,MT"), RejectedPayload, "line 2 is not as"),
    ],
)
def test_a_list_that_contradicts_its_first_lines_is_rejected(
    content: bytes, kind: type[ChampionError], words: str
) -> None:
    """Its date, its number of rows and the sum of what was delivered."""
    error = error_of(content, "mto")
    assert type(error) is kind
    assert words in str(error)


# Which of the files a day comes from


def read(published: Published) -> Recognised:
    """The file, if it is that of the day."""
    return recognise(published.content, DELIVERY, DAY, published.url, format=published.source)


def fetched(folder: Path, **contents: bytes) -> Published:
    """The day's file from an archive that has these sources' files."""
    for source in DELIVERY.sources:
        if source.name in contents:
            path = folder / source.path_of(DAY).lstrip("/")
            path.parent.mkdir(parents=True)
            path.write_bytes(contents[source.name])
    return fetch(FolderArchive(folder, 10**7), DELIVERY, DAY, read)[0]


OTHERS: dict[str, Callable[[], bytes]] = {
    "stale": lambda: simulated("full", sessions.previous(DAY)),
    "cut off": lambda: simulated("full")[:43_440],
    "a workbook": lambda: simulated("full", date(2022, 8, 8)),
    "a page": lambda: html_page("Busy"),
}


def test_the_full_file_is_taken_if_it_is_the_days(tmp_path: Path) -> None:
    """Whatever else there is."""
    assert fetched(tmp_path, full=simulated("full"), mto=simulated("mto")).source == "full"


@pytest.mark.parametrize("content", OTHERS)
def test_the_list_of_positions_stands_in_for_a_full_file_that_is_not_the_days(tmp_path: Path, content: str) -> None:
    """A reply proves nothing."""
    assert fetched(tmp_path, full=OTHERS[content](), mto=simulated("mto")).source == "mto"


def test_a_stale_file_alone_is_a_missing_one(tmp_path: Path) -> None:
    """The error says what each path had."""
    with pytest.raises(NotPublished) as caught:
        fetched(tmp_path, full=simulated("full", sessions.previous(DAY)))
    assert caught.value.found == "the file of 2024-07-08, and no file"
    assert "sec_bhavdata_full_09072024.csv" in str(caught.value)
    assert "MTO_09072024.DAT" in str(caught.value)


@pytest.mark.parametrize("content", [name for name in OTHERS if name != "stale"])
def test_another_file_alone_is_a_failure(tmp_path: Path, content: str) -> None:
    """There is a file, and it cannot be used."""
    with pytest.raises(RejectedPayload):
        fetched(tmp_path, full=OTHERS[content]())


# The simulated files


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_both_files_agree_on_the_keys_of_both(day: date) -> None:
    """BE and BZ are in one alone, some debt in the other."""
    ours, theirs = (normalized(simulated(source, day), source, day) for source in ("full", "mto"))
    assert (ours.rejects, theirs.rejects) == ([], [])
    assert set(ours.warnings.values()) | set(theirs.warnings.values()) == {0}
    values = ["symbol", "series", "volume", "delivered", "delivered_share"]
    keys = ["symbol", "series"]
    both = ours.rows.join(theirs.rows, on=keys, how="semi").select(values)
    assert both.equals(theirs.rows.join(ours.rows, on=keys, how="semi").select(values))
    assert both.height > 1_800
    only_full = ours.rows.join(theirs.rows, on=keys, how="anti")
    assert set(only_full["series"]) == set(ALL_DELIVERED)
    assert only_full["delivered"].null_count() == only_full.height
    assert theirs.rows.join(ours.rows, on=keys, how="anti")["series"].str.starts_with("N").all()


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_values_are_those_of_the_simulated_bhavcopy(day: date) -> None:
    """Volume and trades exactly, the turnover to a thousand rupees; block deals are in the bhavcopy alone."""
    source = EQUITY.sources_of(day)[0].name
    content = payload(day, source, EQUITY)
    assert content is not None
    equity = normalize(parse(recognise(content, EQUITY, day, format=source)), EQUITY, source, day).rows
    ours = normalized(simulated("full", day), "full", day).rows
    both = ours.join(equity, on=["symbol", "series"], suffix="_equity")
    assert both.height == ours.height
    assert both["volume"].equals(both["volume_equity"].alias("volume"))
    assert both["trades"].equals(both["trades_equity"].alias("trades"))
    assert both.select(((pl.col("turnover") - pl.col("turnover_equity")).abs() <= 500).all()).item()
    lacks = equity.join(ours, on=["symbol", "series"], how="anti")["series"]
    assert (lacks.str.starts_with("N") | (lacks == "BL")).all()


def test_a_date_without_a_session_has_the_file_of_the_session_before() -> None:
    """Holiday and Sunday; the list of positions has none."""
    before = simulated("full", sessions.previous(HOLIDAY))
    assert payload(HOLIDAY, "full", DELIVERY) == payload(date(2024, 1, 21), "full", DELIVERY) == before
    assert payload(HOLIDAY, "mto", DELIVERY) is None
    assert payload(date(2019, 9, 28), "full", DELIVERY) is None


def test_a_muhurat_evening_had_the_day_before() -> None:
    """In 2021; its list of positions is its own."""
    day = date(2021, 11, 4)
    assert simulated("full", day) == simulated("full", date(2021, 11, 3))
    assert normalized(simulated("mto", day), "mto", day).rows.height > 2_000


@pytest.mark.parametrize(("day", "count"), [(date(2020, 2, 10), 1), (date(2020, 2, 11), 0)])
def test_a_share_without_delivery_is_simulated_on_a_few_days_of_2020(day: date, count: int) -> None:
    """One of series EQ, which the list of positions lacks."""
    found = normalized(simulated("full", day), "full", day)
    assert found.warnings["delivery_unknown"] == count
    unknown = found.rows.filter(pl.col("delivered").is_null() & (pl.col("series") == "EQ"))
    assert unknown.height == count
    positions = normalized(simulated("mto", day), "mto", day).rows
    assert unknown.join(positions, on=["symbol", "series"], how="semi").is_empty()


def test_a_file_is_written_as_on_the_exchange() -> None:
    """Two decimals in every price and percent, a space behind each comma, no other blank."""
    header, *lines = simulated("full").decode().removesuffix("\n").split("\n")
    assert header == HEADER
    for line in lines:
        fields = line.split(", ")
        assert len(fields) == 15
        assert not any(" " in field for field in fields)
        assert all(Decimal(field).as_tuple().exponent == -2 for field in (*fields[9:10], fields[11]))
