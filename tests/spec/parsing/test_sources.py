"""What a source says of its file, and what is refused for it: the member, whose rows they are, the first lines."""

from __future__ import annotations

import contextlib
import io
import zipfile
from datetime import date, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.base.errors import ChampionError, RejectedPayload, TruncatedPayload, UnknownLayout, WrongDate
from champion_luigi.datasets import model
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column, Dataset, Layout, Preamble, Source
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.normalize import Normalized, check, normalize
from champion_luigi.parsing.payload import recognise

DAY = date(2024, 1, 2)
URL = "https://archive.example/PR020124.zip"
PD_HEADER = (
    "MKT,SERIES,SYMBOL,SECURITY,PREV_CL_PR,OPEN_PRICE,HIGH_PRICE,LOW_PRICE,CLOSE_PRICE,NET_TRDVAL,NET_TRDQTY,IND_SEC,"
    "CORP_IND,TRADES,HI_52_WK,LO_52_WK"
)
INDEX = "Y, , ,Alpha 50,     21700.00,     21700.00,     21750.00,     21600.00,     21720.00,900.50,100,Y, ,9,.00,.00"
TITLE = " ,EQ, ,COMPULSORY ROLLING STOCKS, , , , , , , , , , , , "
SHARE = "N,EQ,ALPHA,ALPHA LTD,     10.40,     10.50,     11.25,     10.00,     11.00,   16250.75,1500,N, ,42,12,8"
SHARE_2 = SHARE.replace("ALPHA", "BRAVO")

UDIFF_DAY = date(2024, 7, 8)
UDIFF_FILE = "BhavCopy_NSE_CM_0_0_0_20240708_F_0000.csv"
UDIFF_ROW = (
    "2024-07-08,2024-07-08,CM,NSE,STK,101,INE000A01015,ALPHA,EQ,,,,,ALPHA LTD,"
    "10.50,11.25,10.00,11.00,11.05,10.40,,11.00,,,1500,16250.75,42,F1,1,,,,,"
)


def csv(*lines: str) -> bytes:
    """Lines as a published file."""
    return "".join(f"{line}\n" for line in lines).encode()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip that holds these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def press(*lines: str, name: str = "Pd020124.csv") -> bytes:
    """A zip for the press, with these lines of prices."""
    return zipped({"An020124.txt": b"text", name: csv(PD_HEADER, *lines), "Pr020124.csv": b"x"})


def refusal(payload: bytes, format: str = "pr", day: date = DAY, dataset: Dataset = EQUITY) -> ChampionError:
    """The error with which a source's payload is turned away."""
    with pytest.raises(ChampionError) as caught:
        recognise(payload, dataset, day, URL, format=format)
    return caught.value


def normalized(payload: bytes, format: str = "pr", day: date = DAY, dataset: Dataset = EQUITY) -> Normalized:
    """A source's payload, taken all the way."""
    table = parse(recognise(payload, dataset, day, URL, format=format))
    found = normalize(table, dataset, format, day)
    assert table.height == found.rows.height + len(found.rejects) + found.skipped
    return found


def udiff(*changes: dict[str, str], name: str = UDIFF_FILE) -> bytes:
    """A UDiFF zip; each row has a symbol of its own, and is the usual row but for its changes."""
    names = EQUITY.layouts[3].columns
    usual = dict(zip(names, UDIFF_ROW.split(","), strict=True))
    rows = [",".join({**usual, "TckrSymb": f"S{number}", **each}.values()) for number, each in enumerate(changes)]
    return zipped({name: csv(",".join(names), *rows)})


# One member of many


@pytest.mark.parametrize("name", ["Pd020124.csv", "pd02012024.csv", "PD020124.CSV", "PR/Pd020124.csv"])
def test_the_member_is_found_by_its_name(name: str) -> None:
    """With six or eight digits of date, in capitals or not, whatever else the zip holds."""
    found = normalized(press(SHARE, name=name))
    assert found.rows.select("trade_date", "symbol", "series", "name", "close", "volume").rows() == [
        (DAY, "ALPHA", "EQ", "ALPHA LTD", 11.0, 1500)
    ]


def test_a_zip_of_another_year_is_another_day() -> None:
    """The rows have no date, so the name decides: the zip of 2018-01-02 was made anew a year later."""
    error = refusal(press(SHARE, name="Pd020119.csv"), day=date(2018, 1, 2))
    assert type(error) is WrongDate
    assert error.expected == "one member Pd020118.csv or Pd02012018.csv"
    assert error.found == "'Pd020119.csv'"


@pytest.mark.parametrize("name", ["Pd.csv", "Pd020124.txt", "Pdx020124.csv", "020124.csv"])
def test_a_member_without_its_name_is_not_read(name: str) -> None:
    """Nobody could tell its day; the error lists what the zip holds."""
    error = refusal(press(SHARE, name=name))
    assert isinstance(error, RejectedPayload)
    assert name in str(error.found)
    assert "one member Pd020124.csv or Pd02012024.csv" in str(error)


def test_two_members_of_the_day_are_refused() -> None:
    """Nobody knows which counts."""
    error = refusal(zipped({"Pd020124.csv": csv(PD_HEADER, SHARE), "pd02012024.csv": csv(PD_HEADER, SHARE_2)}))
    assert type(error) is RejectedPayload
    assert error.found == "'Pd020124.csv', 'pd02012024.csv'"


@pytest.mark.parametrize("format", ["pr", ""])
def test_a_file_outside_its_zip_is_refused(format: str) -> None:
    """Without the member's name, rows without a date are of no day."""
    error = refusal(csv(PD_HEADER, SHARE), format)
    assert type(error) is RejectedPayload
    assert "not a zip" in error.what


def test_errors_name_the_member() -> None:
    """The person on call opens the zip, and looks into one file of many."""
    assert refusal(press(INDEX)).source == f"{URL}: Pd020124.csv"
    error = refusal(zipped({"Pd020124.csv": csv("MKT,SERIES", "N,EQ")}))
    assert type(error) is UnknownLayout
    assert error.source == f"{URL}: Pd020124.csv"


def test_the_limit_counts_for_the_member_that_is_read() -> None:
    """A large member beside it costs nothing; a large one is refused before it is unpacked."""
    large = csv(PD_HEADER, *[SHARE.replace("ALPHA", f"A{number}") for number in range(200)])
    beside = zipped({"Bm020124.txt": large, "Pd020124.csv": csv(PD_HEADER, SHARE)})
    assert recognise(beside, EQUITY, DAY, URL, 1000, format="pr").lines == [SHARE]
    with pytest.raises(RejectedPayload, match="unzips to more than is allowed"):
        recognise(zipped({"Pd020124.csv": large}), EQUITY, DAY, URL, 1000, format="pr")


# Rows of several kinds


def test_rows_of_another_data_set_are_skipped_and_counted() -> None:
    """Neither rows nor rejects: nothing is wrong with them."""
    found = normalized(press(INDEX, INDEX, TITLE, SHARE, SHARE_2.replace("N,EQ", "O,BL")))
    assert found.rows["series"].to_list() == ["EQ", "BL"]
    assert (found.rejects, found.skipped) == ([], 3)
    check(found, DAY, "file", 0.05)


def test_a_row_of_an_unknown_kind_is_rejected() -> None:
    """It could be another market's prices for the same share."""
    found = normalized(press(SHARE, SHARE_2.replace("N,EQ", "Q,EQ"), SHARE_2))
    assert found.rows["symbol"].to_list() == ["ALPHA", "BRAVO"]
    assert [(each.rule, each.detail) for each in found.rejects] == [
        ("foreign_row", "symbol 'BRAVO', series 'EQ': MKT 'Q'")
    ]


def test_a_share_without_a_mark_is_no_title() -> None:
    """A title has no symbol: a share is never dropped as one."""
    assert [each.rule for each in normalized(press(SHARE, " " + SHARE_2[1:])).rejects] == ["foreign_row"]


def test_a_file_without_a_row_of_the_data_set_is_refused() -> None:
    """Indices alone are no day of shares: the next source is tried."""
    error = refusal(press(INDEX, TITLE))
    assert type(error) is RejectedPayload
    assert "no row is the data set's" in error.what


def test_a_few_shares_among_many_other_rows_are_found() -> None:
    """The look at some rows of a file is never the last word."""
    lines = [INDEX] * 999
    lines[501] = SHARE
    assert normalized(press(*lines)).rows.height == 1


# Whose file it is


@pytest.mark.parametrize(
    ("value", "found"),
    [({"Src": "BSE"}, "3 rows with Sgmt 'CM', Src 'BSE'"), ({"Sgmt": "FO"}, "3 rows with Sgmt 'FO', Src 'NSE'")],
)
def test_the_file_of_another_exchange_or_segment_is_refused(value: dict[str, str], found: str) -> None:
    """BSE publishes the same columns, under the same name but for three letters."""
    error = refusal(udiff(value, {}, value, value), "udiff", UDIFF_DAY)
    assert type(error) is RejectedPayload
    assert "most of its rows are foreign" in error.what
    assert (error.expected, error.found) == ("Sgmt 'CM', Src 'NSE'", found)


@pytest.mark.parametrize(
    "name",
    [
        "BhavCopy_BSE_CM_0_0_0_20240708_F_0000.CSV",
        "BhavCopy_NSE_FO_0_0_0_20240708_F_0000.csv",
        "BhavCopy_NSE_CM_0_0_0_20240709_F_0000.csv",
    ],
)
def test_a_member_with_anothers_name_is_refused(name: str) -> None:
    """Another exchange's, another segment's, another day's: whatever its rows say."""
    error = refusal(udiff({}, name=name), "udiff", UDIFF_DAY)
    assert type(error) is RejectedPayload
    assert "another exchange, segment or day" in error.what
    assert (error.expected, error.found) == (UDIFF_FILE, repr(name))


@pytest.mark.parametrize("name", [UDIFF_FILE, UDIFF_FILE.upper(), "file.csv", "bhavcopy/" + UDIFF_FILE])
def test_a_member_with_any_other_name_is_read(name: str) -> None:
    """Someone may have packed it anew; its rows say whose they are."""
    assert normalized(udiff({}, name=name), "udiff", UDIFF_DAY).rows.height == 1


def test_a_foreign_row_is_rejected() -> None:
    """One row of another exchange does not stop the others, and is not loaded."""
    found = normalized(udiff({}, {"Src": "BSE"}, {}, {"Sgmt": ""}, {}), "udiff", UDIFF_DAY)
    assert found.rows["symbol"].to_list() == ["S0", "S2", "S4"]
    assert [(each.rule, each.detail) for each in found.rejects] == [
        ("foreign_row", "symbol 'S1', series 'EQ': Sgmt 'CM', Src 'BSE'"),
        ("foreign_row", "symbol 'S3', series 'EQ': Sgmt '', Src 'NSE'"),
    ]


def test_blanks_around_a_value_make_no_row_foreign() -> None:
    """As everywhere else."""
    assert normalized(udiff({"Src": " NSE "}, {}), "udiff", UDIFF_DAY).rows.height == 2


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"BizDt": "2024-07-05"}, "other_business_date"),
        ({"FinInstrmTp": "ETF"}, "other_instrument_type"),
        ({"SctySrs": "eq"}, "lower_case_series"),
        ({"TckrSymb": "AL\u200bPHA"}, "invisible_in_key"),
        ({"TckrSymb": "AL\u00a0PHA"}, "invisible_in_key"),
        ({"SctySrs": "E\x07Q"}, "invisible_in_key"),
    ],
)
def test_an_odd_value_is_counted_and_its_row_stays(change: dict[str, str], warning: str) -> None:
    """Somebody should look, and the prices are still the exchange's."""
    found = normalized(udiff({}, change, {}), "udiff", UDIFF_DAY)
    assert found.rows.height == 3
    assert {name: count for name, count in found.warnings.items() if count} == {warning: 1}


@pytest.mark.parametrize("symbol", ["M&M", "BAJAJ-AUTO", "3IINFOTECH", "A B"])
def test_an_ordinary_key_is_not_odd(symbol: str) -> None:
    """Not even with a blank."""
    assert set(normalized(udiff({"TckrSymb": symbol}), "udiff", UDIFF_DAY).warnings.values()) == {0}


def test_a_file_is_read_as_its_sources() -> None:
    """Another source's columns at its address are an unknown layout, although they are known elsewhere."""
    legacy = ",".join(EQUITY.layouts[1].columns)
    row = "ALPHA,EQ,10.5,11.25,10,11,11.05,10.4,1500,16250.75,02-JAN-2024,42,INE000A01015"
    assert recognise(csv(legacy, row), EQUITY, DAY, format="legacy").layout.source == "legacy"
    error = refusal(csv(legacy, row), "udiff")
    assert type(error) is UnknownLayout
    assert "the udiff format" in error.what


# Lines before the column names

# A title, a line of totals, a line with the date, six names for seven fields.
DELIVERY = Dataset(
    name="delivery",
    title="delivery positions",
    sources=(
        Source(
            "mto",
            date(2010, 1, 4),
            date.max,
            "/MTO_{day:%d%m%Y}.DAT",
            preamble=Preamble(
                (
                    "Security Wise .*",
                    r"10,MTO,\d{8},(?P<total>\d+),(?P<rows>\d+)",
                    r"Trade Date <(?P<date>[^>]+)>,Settlement Type <\w>",
                ),
                total_of="Delivered",
            ),
            own={"Type": ("20",)},
        ),
    ),
    layouts=(
        Layout(
            "mto",
            date(2010, 1, 4),
            date.max,
            ("Record Type", "Sr No", "Name of Security", "Quantity Traded", "Deliverable Quantity", "%"),
            ("Type", "Number", "Symbol", "Series", "Traded", "Delivered", "Percent"),
        ),
    ),
    columns=(
        Column("trade_date", model.DAY, "date, IST", "the day", required=True),
        Column("symbol", model.TEXT, "", "the symbol", "Symbol", required=True),
        Column("series", model.TEXT, "", "the series", "Series", required=True),
        Column("delivered", model.COUNT, "shares", "delivered", "Delivered", required=True),
        Column("layout", model.TEXT, "", "the source", required=True),
    ),
    key=("symbol", "series"),
    sums=("delivered",),
    published_at=time(19, 0),
)
FIRST = "Security Wise Delivery Position - Compulsory Rolling Settlement"
TOTALS = "10,MTO,02012024,150,0000002"
DATED = "Trade Date <02-JAN-2024>,Settlement Type <N>"
SIX = "Record Type,Sr No,Name of Security,Quantity Traded,Deliverable Quantity,%"
ROWS = ("20,1,ALPHA,EQ,200,100,50.00", "20,2,BRAVO,BE,50,50,100.00")


def mto(*lines: str) -> bytes:
    """A delivery file with CRLF line ends."""
    return "".join(f"{line}\r\n" for line in lines).encode()


def test_lines_before_the_column_names_are_read_for_the_day_and_the_totals() -> None:
    """The names are given by place, because the file's own lack one."""
    payload = mto(FIRST, TOTALS, DATED, SIX, *ROWS)
    assert recognise(payload, DELIVERY, DAY, format="mto").numbers == (5, 6)
    assert normalized(payload, "mto", dataset=DELIVERY).rows.rows() == [
        (DAY, "ALPHA", "EQ", 100, "mto"),
        (DAY, "BRAVO", "BE", 50, "mto"),
    ]


def test_a_row_of_another_record_type_is_foreign() -> None:
    """And does not count in the totals."""
    found = normalized(mto(FIRST, TOTALS, DATED, SIX, *ROWS, "90,3,CHARLIE,EQ,9,9,100"), "mto", dataset=DELIVERY)
    assert [each.rule for each in found.rejects] == ["foreign_row"]


@pytest.mark.parametrize(
    ("lines", "kind", "said"),
    [
        ((FIRST, TOTALS, DATED, SIX, ROWS[0]), TruncatedPayload, "expected 2 rows; found 1"),
        ((FIRST, TOTALS.replace("150", "151"), DATED, SIX, *ROWS), RejectedPayload, "expected 151; found 150"),
        ((FIRST, TOTALS, DATED, SIX, *ROWS, ROWS[0]), RejectedPayload, "expected 2 rows; found 3"),
        ((FIRST, DATED, TOTALS, SIX, *ROWS), RejectedPayload, "line 2 is not as in"),
        ((FIRST, TOTALS), RejectedPayload, "line 3 is not as in"),
        ((FIRST, TOTALS, DATED.replace("02-JAN", "01-JAN"), SIX, *ROWS), WrongDate, "found 2024-01-01"),
        ((FIRST, TOTALS, DATED.replace("02-JAN-2024", "2.1."), SIX, *ROWS), RejectedPayload, "found '2.1.'"),
        ((FIRST, TOTALS, DATED), RejectedPayload, "not the header"),
        ((FIRST, TOTALS, DATED, SIX.replace("%", "Share"), *ROWS), UnknownLayout, "unexpected 'Share'"),
        ((FIRST, TOTALS, DATED, SIX), RejectedPayload, "a header and no rows"),
    ],
    ids="cut total double order short day date end names empty".split(),
)
def test_a_file_that_is_not_as_its_first_lines_say_is_refused(
    lines: tuple[str, ...], kind: type[ChampionError], said: str
) -> None:
    """A file that was cut off agrees with nothing that it announces."""
    error = refusal(mto(*lines), "mto", dataset=DELIVERY)
    assert type(error) is kind
    assert said in str(error)


def test_names_given_by_place_need_the_headers_order() -> None:
    """If the file's own names are in another order, so are its fields."""
    names = SIX.split(",")
    other = ",".join([*names[:3], names[4], names[3], names[5]])
    assert type(refusal(mto(FIRST, TOTALS, DATED, other, *ROWS), "mto", dataset=DELIVERY)) is UnknownLayout


# Anything


fields = st.one_of(st.sampled_from(["N", "Y", "G", "", " ", "EQ", "ALPHA", "1.5", "0", "-1", '"', "\u200b"]), st.text())
lines_of_prices = st.lists(fields, min_size=14, max_size=18).map(",".join)


@given(st.lists(st.one_of(st.sampled_from([SHARE, SHARE_2, INDEX, TITLE]), lines_of_prices, st.text()), max_size=8))
def test_any_lines_under_a_good_name_are_a_day_or_an_error_of_the_package(lines: list[str]) -> None:
    """From bytes to rows: each line is a row, a reject or skipped."""
    try:
        found = normalized(press(*lines))
    except ChampionError:
        return
    assert (found.rows["trade_date"] == DAY).all()
    assert found.rows.select("symbol", "series").is_unique().all()


@given(st.lists(st.text(), max_size=8))
def test_any_first_lines_are_a_day_or_an_error_of_the_package(lines: list[str]) -> None:
    """Whatever stands before and behind the column names."""
    with contextlib.suppress(ChampionError):
        normalized(mto(*lines[:2], TOTALS, DATED, SIX, *lines[2:]), "mto", dataset=DELIVERY)
    with contextlib.suppress(ChampionError):
        normalized(mto(FIRST, TOTALS, DATED, SIX, *ROWS, *lines), "mto", dataset=DELIVERY)


def test_totals_that_are_no_numbers_agree_with_nothing() -> None:
    """Nor do numbers of any length."""
    for number in ("9" * 5000, "\u0969"):
        lines = (FIRST, TOTALS.replace("150", number), DATED, SIX, *ROWS)
        assert isinstance(refusal(mto(*lines), "mto", dataset=DELIVERY), RejectedPayload)
