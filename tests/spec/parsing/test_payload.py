"""What a published payload must be: one test for each way in which it can be wrong or odd."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.base.errors import ChampionError, RejectedPayload, TruncatedPayload, UnknownLayout, WrongDate
from champion_luigi.datasets.equity import EQUITY, FIRST_DATE
from champion_luigi.datasets.model import Layout, as_written
from champion_luigi.parsing.payload import Recognised, fields_of, recognise
from champion_luigi.parsing.unzip import unzip

DAY = date(2024, 1, 15)
HEADER = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,"
ROW = "ALPHA,EQ,10.5,11.25,10,11,11.05,10.4,1500,16250.75,15-JAN-2024,42,INE000A01015,"
UDIFF_DAY = date(2024, 7, 8)
UDIFF_HEADER = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,"
    "FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,"
    "ChngInOpnIntrst,TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4"
)
UDIFF_ROW = (
    "2024-07-08,2024-07-08,CM,NSE,STK,101,INE000A01015,ALPHA,EQ,,,,,ALPHA LTD,"
    "10.50,11.25,10.00,11.00,11.05,10.40,,11.00,,,1500,16250.75,42,F1,1,,,,,"
)


def csv(*lines: str) -> bytes:
    """Lines as a published file."""
    return "".join(f"{line}\n" for line in lines).encode()


def zipped(content: bytes, name: str = "cm15JAN2024bhav.csv", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip that holds one file."""
    return zipped_all({name: content}, method)


def zipped_all(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip that holds these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def refusal(payload: bytes, day: date = DAY, format: str = "") -> ChampionError:
    """The error with which a payload is turned away."""
    with pytest.raises(ChampionError) as caught:
        recognise(payload, EQUITY, day, "https://archive.example/file", format=format)
    return caught.value


# What is accepted


def test_a_zip_with_the_days_file_is_recognised() -> None:
    """The ordinary case: what came, from where, in which layout, and its data lines as published."""
    found = recognise(zipped(csv(HEADER, ROW)), EQUITY, DAY, "somewhere")
    assert found == Recognised(EQUITY, DAY, "somewhere", EQUITY.layouts[1], tuple(HEADER.rstrip(",").split(",")), [ROW])


def test_a_plain_csv_is_recognised() -> None:
    """A file that somebody unzipped already is as good."""
    assert recognise(csv(HEADER, ROW), EQUITY, DAY).lines == [ROW]


def test_a_stored_zip_is_recognised() -> None:
    """A zip need not be compressed."""
    assert recognise(zipped(csv(HEADER, ROW), method=zipfile.ZIP_STORED), EQUITY, DAY).lines == [ROW]


def test_the_header_may_lack_its_trailing_comma() -> None:
    """Some days' files have none."""
    assert recognise(csv(HEADER.rstrip(","), ROW.rstrip(",")), EQUITY, DAY).layout is EQUITY.layouts[1]


def test_carriage_returns_are_no_part_of_a_line() -> None:
    """CRLF line ends exist; neither the last column's name nor the row keeps the CR."""
    found = recognise(f"{HEADER.rstrip(',')}\r\n{ROW}\r\n".encode(), EQUITY, DAY)
    assert found.header[-1] == "ISIN"
    assert found.lines == [ROW]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    """Some editors put one before the header."""
    assert recognise(b"\xef\xbb\xbf" + csv(HEADER, ROW), EQUITY, DAY).header[0] == "SYMBOL"


def test_utf_8_text_is_kept() -> None:
    """A name outside ASCII reads as it was sent."""
    row = UDIFF_ROW.replace("ALPHA LTD", "CAFÉ LTD")
    assert recognise(csv(UDIFF_HEADER, row), EQUITY, UDIFF_DAY).lines == [row]


def test_latin_1_bytes_are_read_as_latin_1() -> None:
    """What is no UTF-8 is not lost and fails nothing."""
    row = UDIFF_ROW.replace("ALPHA LTD", "CAFÉ LTD")
    assert recognise(f"{UDIFF_HEADER}\n{row}\n".encode("latin-1"), EQUITY, UDIFF_DAY).lines == [row]


def test_padded_column_names_are_the_same_columns() -> None:
    """Blanks around a name do not make another name."""
    assert recognise(csv(HEADER.replace(",", " , "), ROW), EQUITY, DAY).layout is EQUITY.layouts[1]


def test_quoted_column_names_are_the_same_columns() -> None:
    """CSV allows quotes around a name."""
    quoted = ",".join(f'"{name}"' for name in HEADER.rstrip(",").split(","))
    assert recognise(csv(quoted, ROW), EQUITY, DAY).layout is EQUITY.layouts[1]


def test_the_order_of_columns_is_free() -> None:
    """Nothing is inferred by position, so another order is the same layout."""
    names, values = HEADER.rstrip(",").split(","), ROW.rstrip(",").split(",")
    found = recognise(csv(",".join(reversed(names)), ",".join(reversed(values))), EQUITY, DAY)
    assert found.layout is EQUITY.layouts[1]
    assert found.header[0] == "ISIN"


def test_blank_lines_are_no_rows() -> None:
    """Empty lines, and lines of blanks, count as nothing."""
    assert recognise(csv("", HEADER, "", ROW, "   ", "\r", ""), EQUITY, DAY).lines == [ROW]


def test_the_last_line_needs_no_line_end() -> None:
    """A file may end right after its last value."""
    assert recognise(f"{HEADER}\n{ROW}".encode(), EQUITY, DAY).lines == [ROW]


def test_a_folder_entry_beside_the_file_does_no_harm() -> None:
    """Some zip tools store the folder too."""
    assert recognise(zipped_all({"bhav/": b"", "bhav/file.csv": csv(HEADER, ROW)}), EQUITY, DAY).lines == [ROW]


@pytest.mark.parametrize("name", ["../../evil.csv", "/evil.csv", "C:\\evil.csv", "a\x00b", "x" * 5000])
def test_a_members_name_is_never_used_as_a_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that point elsewhere are read like any other, and nothing is written anywhere."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert recognise(zipped(csv(HEADER, ROW), name), EQUITY, DAY).lines == [ROW]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not Path("/evil.csv").exists()


def test_a_two_digit_year_is_read() -> None:
    """2020-07-13 has `13-Jul-20` in place of `13-JUL-2020`."""
    rows = csv(HEADER, ROW.replace("15-JAN-2024", "13-Jul-20"))
    assert recognise(rows, EQUITY, date(2020, 7, 13)).day == date(2020, 7, 13)


def test_an_unpadded_day_is_read() -> None:
    """The oldest files say `3-NOV-1994`."""
    header = HEADER.replace(",TOTALTRADES,ISIN", "")
    row = "ALPHA,EQ,10.5,11.25,10,11,0,10.4,1500,16250.75,3-NOV-1994,"
    assert recognise(csv(header, row), EQUITY, date(1994, 11, 3)).layout is EQUITY.layouts[0]


def test_one_row_of_the_day_is_enough_at_the_door() -> None:
    """Rows of another day are for the rejects: the file as a whole is the day's."""
    other = ROW.replace("15-JAN-2024", "12-JAN-2024")
    assert recognise(csv(HEADER, other, ROW), EQUITY, DAY).lines == [other, ROW]


# Every layout, between its dates


@pytest.mark.parametrize("layout", EQUITY.layouts, ids=lambda layout: f"{layout.source} {layout.first}")
def test_each_layout_is_recognised_on_its_first_and_last_date(layout: Layout) -> None:
    """The dates of a layout are inclusive."""
    for day in (layout.first, min(layout.last, date(2030, 1, 1))):
        assert recognise(payload_in(layout, day), EQUITY, day, format=layout.source).layout is layout


@pytest.mark.parametrize("layout", EQUITY.layouts, ids=lambda layout: f"{layout.source} {layout.first}")
def test_each_layout_is_refused_the_day_before_its_first_date(layout: Layout) -> None:
    """A layout that the exchange did not use yet is a wrong file."""
    day = layout.first - timedelta(days=1)
    assert type(refusal(payload_in(layout, day), day, layout.source)) is UnknownLayout


@pytest.mark.parametrize(
    "layout",
    [each for each in EQUITY.layouts if each.last < date.max],
    ids=lambda layout: f"{layout.source} {layout.first}",
)
def test_each_layout_is_refused_the_day_after_its_last_date(layout: Layout) -> None:
    """A layout that the exchange no longer uses is a wrong file."""
    day = layout.last + timedelta(days=1)
    assert type(refusal(payload_in(layout, day), day, layout.source)) is UnknownLayout


def payload_in(layout: Layout, day: date) -> bytes:
    """A file of one row in a layout; only its date counts, and whose it is."""
    source = EQUITY.source(layout.source)
    assert source is not None
    values = {name: accepted[0] for name, accepted in source.own.items()}
    values[EQUITY.published_columns(layout.source).get("trade_date", "")] = f"{day}"
    file = csv(",".join(layout.columns), ",".join(values.get(name, "1") for name in layout.columns))
    return zipped(file, source.members_of(day)[0]) if source.is_one_of_many else file


def test_the_layouts_are_those_of_the_exchange() -> None:
    """Formats, dates and numbers of columns, as the published files have them."""
    assert [(each.source, each.first, each.last, len(each.columns)) for each in EQUITY.layouts] == [
        ("legacy", date(1994, 11, 3), date(2011, 6, 21), 11),
        ("legacy", date(2011, 6, 22), date(2024, 7, 5), 13),
        ("udiff", date(2024, 1, 1), date(2024, 6, 20), 34),
        ("udiff", date(2024, 6, 21), date.max, 34),
        ("cm_bhavcopy", date(2024, 4, 1), date(2024, 7, 5), 32),
        ("pr", date(2010, 1, 4), date.max, 16),
    ]
    assert date(1994, 11, 3) == FIRST_DATE


def test_the_reserved_columns_of_early_udiff_have_a_zero_and_a_trailing_comma() -> None:
    """Until 2024-06-20 the header has 35 names, the last one empty, and rows of 34 fields."""
    day = date(2024, 6, 20)
    header = UDIFF_HEADER.replace("Rsvd", "Rsvd0") + ","
    assert (
        recognise(csv(header, UDIFF_ROW.replace("2024-07-08", "2024-06-20")), EQUITY, day).layout is EQUITY.layouts[2]
    )


# Bytes that are no file


def test_no_bytes_at_all_are_a_truncated_payload() -> None:
    """An empty body is worth another attempt."""
    error = refusal(b"")
    assert type(error) is TruncatedPayload
    assert "no bytes" in str(error)


def test_a_page_with_status_200_is_refused() -> None:
    """Some hosts answer 200 with an HTML page: its start is quoted."""
    error = refusal(b"\r\n  <!DOCTYPE html><html><body>Resource not found</body></html>")
    assert type(error) is RejectedPayload
    assert "HTML page" in error.what
    assert error.found == "'<!DOCTYPE html><html><body>Resource not found</body></html>'"


@pytest.mark.parametrize(
    "body",
    [
        b"Access Denied",
        b'{"error": "not found"}',
        b"\x1f\x8b\x08\x00\x00",
        b"\x00" * 100,
        b"\xff\xfe" * 50,
        b"%PDF-1.4",
    ],
    ids=["text", "json", "gzip", "zeros", "utf-16", "pdf"],
)
def test_another_body_with_status_200_is_refused(body: bytes) -> None:
    """A payload without the header of the bhavcopy is refused."""
    error = refusal(body)
    assert type(error) is RejectedPayload
    assert "not the header" in error.what


@pytest.mark.parametrize("body", [b"\n", b"  \r\n\r\n", b"\xef\xbb\xbf"], ids=["line end", "blanks", "mark"])
def test_a_file_of_blanks_is_refused(body: bytes) -> None:
    """Nothing to read is said as such."""
    error = refusal(body)
    assert type(error) is RejectedPayload
    assert "the file is empty" in error.what


def test_a_header_without_rows_is_refused() -> None:
    """A day without a single row was not published."""
    error = refusal(csv(HEADER))
    assert type(error) is RejectedPayload
    assert "a header and no rows" in error.what


def test_an_error_names_the_day_and_the_source() -> None:
    """The person on call reads which day and which file, and code finds them as attributes."""
    error = refusal(csv(HEADER))
    assert (error.day, error.source) == (DAY, "https://archive.example/file")
    assert str(error).startswith("2024-01-15: ")
    assert "[https://archive.example/file]" in str(error)


# Zips that cannot be read


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.75, 0.95, 0.999])
def test_a_zip_that_was_cut_short_is_a_truncated_payload(share: float) -> None:
    """Wherever the connection broke off, the same request may succeed the next time."""
    whole = zipped(csv(HEADER, *[ROW.replace("ALPHA", f"ALPHA{number}") for number in range(500)]))
    assert type(refusal(whole[: int(len(whole) * share)])) is TruncatedPayload


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_zip_that_was_cut_within_its_magic_bytes_is_a_truncated_payload(length: int) -> None:
    """The first bytes of a zip alone are no other kind of file."""
    assert type(refusal(zipped(csv(HEADER, ROW))[:length])) is TruncatedPayload


def test_a_zip_whose_checksum_is_wrong_is_a_truncated_payload() -> None:
    """The CRC in the zip's directory tells that the content was damaged on its way."""
    payload = bytearray(zipped(csv(HEADER, ROW)))
    payload[payload.index(b"PK\x01\x02") + 16] ^= 0xFF
    error = refusal(bytes(payload))
    assert type(error) is TruncatedPayload
    assert "Bad CRC-32" in str(error)


def test_a_zip_with_damaged_content_is_a_truncated_payload() -> None:
    """A flipped byte in the compressed data is found."""
    payload = bytearray(zipped(csv(HEADER, ROW)))
    payload[80] ^= 0xFF
    assert type(refusal(bytes(payload))) is TruncatedPayload


def test_an_encrypted_zip_is_refused() -> None:
    """Nobody has the password, so another attempt is of no use."""
    payload = bytearray(zipped(csv(HEADER, ROW)))
    payload[6] |= 1
    payload[payload.index(b"PK\x01\x02") + 8] |= 1
    error = refusal(bytes(payload))
    assert type(error) is RejectedPayload
    assert "encrypted" in error.what


def test_a_zip_with_several_files_is_refused() -> None:
    """Which of them would be the day's is not guessed; their names are listed."""
    error = refusal(zipped_all({"one.csv": csv(HEADER, ROW), "two.csv": csv(HEADER, ROW)}))
    assert type(error) is RejectedPayload
    assert error.found == "2: 'one.csv', 'two.csv'"


def test_a_zip_with_no_file_is_refused() -> None:
    """An empty zip is whole, and holds no day."""
    error = refusal(zipped_all({}))
    assert type(error) is RejectedPayload
    assert error.found == "0: nothing"


def test_a_zip_with_an_empty_file_is_refused() -> None:
    """A member of no bytes is an empty file."""
    error = refusal(zipped(b""))
    assert type(error) is RejectedPayload
    assert "the file is empty" in error.what


def test_a_zip_within_a_zip_is_refused() -> None:
    """The exchange publishes one CSV in one zip."""
    error = refusal(zipped(zipped(csv(HEADER, ROW))))
    assert type(error) is RejectedPayload
    assert "another zip" in error.what


def test_a_zip_of_an_unknown_compression_is_refused() -> None:
    """A method that cannot be read is no damage, so it is not asked for again."""
    payload = bytearray(zipped(csv(HEADER, ROW)))
    directory = payload.index(b"PK\x01\x02")
    payload[8:10] = payload[directory + 10 : directory + 12] = struct.pack("<H", 97)
    assert type(refusal(bytes(payload))) is RejectedPayload


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_refused_in_bounded_memory(method: int) -> None:
    """What unzips to more than is allowed is not unzipped to its end, whichever way it was compressed."""
    bomb = zipped(b"\0" * (64 * 1024 * 1024), method=method)
    tracemalloc.start()
    try:
        with pytest.raises(RejectedPayload):
            unzip(bomb, DAY, "source", max_bytes=1024 * 1024)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_a_zip_bomb_that_lies_about_its_size_is_refused() -> None:
    """The size in the zip's directory is the sender's word, and is not relied on."""
    payload = bytearray(zipped(b"\0" * (4 * 1024 * 1024)))
    directory = payload.index(b"PK\x01\x02")
    payload[22:26] = payload[directory + 24 : directory + 28] = struct.pack("<I", 100)
    with pytest.raises(ChampionError):
        unzip(bytes(payload), DAY, "source", max_bytes=1024 * 1024)


def test_a_zip_bomb_that_lies_about_its_size_is_not_unzipped() -> None:
    """No more of it than it says."""
    payload = bytearray(zipped(b"\0" * (64 * 1024 * 1024)))
    directory = payload.index(b"PK\x01\x02")
    payload[22:26] = payload[directory + 24 : directory + 28] = struct.pack("<I", 100)
    tracemalloc.start()
    try:
        with pytest.raises(TruncatedPayload):
            unzip(bytes(payload), DAY, "source")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_a_zip_of_thousands_of_files_is_refused_before_they_are_listed() -> None:
    """Each would take a kilobyte, and a zip has room for millions."""
    one = zipped(b"", "d")
    directory = one.index(b"PK\x01\x02")
    entry, end = one[directory : directory + 47], bytearray(one[directory + 47 :])
    end[8:12] = struct.pack("<HH", 60_000, 60_000)
    end[12:16] = struct.pack("<I", 60_000 * len(entry))
    tracemalloc.start()
    try:
        error = refusal(one[:directory] + entry * 60_000 + bytes(end))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(error) is RejectedPayload
    assert error.found == "60,000"
    assert peak < 8 * 1024 * 1024


def test_what_zipfile_says_of_a_long_name_is_cut() -> None:
    """Or else an error would be two names of 64 KB long."""
    payload = zipped(csv(HEADER, ROW), "n" * 60_000).replace(b"nnn", b"mnn", 1)
    error = refusal(payload)
    assert type(error) is TruncatedPayload
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (csv(HEADER, ROW) + b"\n" * 200_000, "too many lines"),
        (csv(HEADER, ROW, "A," * 60_000), "a line that is too long"),
        (b"," * 120_000, "a line that is too long"),
    ],
    ids=["lines", "a line", "a header"],
)
def test_a_text_that_no_day_has_is_refused(content: bytes, what: str) -> None:
    """Of two letters and a line end, or of one comma, a program makes many times their size."""
    error = refusal(zipped(content))
    assert type(error) is RejectedPayload
    assert what in error.what


def test_a_file_of_just_the_allowed_size_is_accepted() -> None:
    """The cap is inclusive."""
    content = csv(HEADER, ROW)
    assert unzip(zipped(content), DAY, "source", max_bytes=len(content)) == (content, "cm15JAN2024bhav.csv")
    with pytest.raises(RejectedPayload, match=f"at most {len(content) - 1} bytes"):
        unzip(zipped(content), DAY, "source", max_bytes=len(content) - 1)


# Columns


def test_a_header_of_very_many_columns_is_refused_at_once() -> None:
    """Names that repeat are found without comparing each with each."""
    error = refusal(csv(HEADER + "LOW," * 20_000, ROW))
    assert type(error) is UnknownLayout
    assert error.found == "repeated 'LOW'"


def test_a_strange_delivery_file_is_named_in_a_sentence() -> None:
    """Its columns' names are quoted, and not all of them where they are many."""
    error = refusal(csv("SYMBOL,SERIES,DATE1,DELIV_QTY,DELIV_PER,\x1b[2J," + "X" * 90_000, ROW))
    assert "full (delivery) file" in error.what
    assert str(error).isprintable()
    assert len(str(error)) < 500


def test_missing_columns_are_listed() -> None:
    """The error says which columns were expected and are not there."""
    error = refusal(csv(HEADER.replace(",LOW", "").replace(",ISIN", ""), ROW))
    assert type(error) is UnknownLayout
    assert error.found == "missing 'LOW', 'ISIN'"
    assert error.expected == "13 columns"


def test_unexpected_columns_are_listed() -> None:
    """A column too many fails as one too few does."""
    error = refusal(csv(HEADER + "DELIV_QTY,AVG", ROW))
    assert type(error) is UnknownLayout
    assert error.found == "unexpected 'DELIV_QTY', 'AVG'"


def test_missing_and_unexpected_columns_are_listed_together() -> None:
    """A renamed column is both."""
    assert refusal(csv(HEADER.replace("CLOSE,LAST", "CLOSING,LAST"), ROW)).found == (
        "missing 'CLOSE'; unexpected 'CLOSING'"
    )


def test_repeated_columns_are_listed() -> None:
    """Of two columns with one name nobody knows which counts."""
    error = refusal(csv(HEADER + "CLOSE", ROW + "11"))
    assert type(error) is UnknownLayout
    assert error.found == "repeated 'CLOSE'"


def test_column_names_are_case_sensitive() -> None:
    """The exchange has never changed the case of a name; a file that does is somebody else's."""
    assert type(refusal(csv(HEADER.replace("SYMBOL", "Symbol"), ROW))) is UnknownLayout


def test_an_unknown_layout_says_what_to_do() -> None:
    """The next change of the exchange is a new entry in one module."""
    assert "champion_luigi/datasets/equity.py" in str(refusal(csv(HEADER + "NEWCOLUMN", ROW)))


def test_the_layout_without_isin_is_refused_after_its_dates() -> None:
    """On 2024-01-15 the eleven columns of 1994 lack two."""
    header = HEADER.replace(",TOTALTRADES,ISIN", "")
    error = refusal(csv(header, "ALPHA,EQ,10.5,11.25,10,11,0,10.4,1500,16250.75,15-JAN-2024,"))
    assert type(error) is UnknownLayout
    assert error.found == "missing 'TOTALTRADES', 'ISIN'"


def test_a_legacy_file_after_the_last_legacy_day_is_refused() -> None:
    """From 2024-07-08 on there is no legacy layout; the error says which one was found."""
    error = refusal(csv(HEADER, ROW.replace("15-JAN-2024", "08-JUL-2024")), UDIFF_DAY)
    assert type(error) is UnknownLayout
    assert error.found == "the legacy layout of 2011-06-22 to 2024-07-05"


def test_the_delivery_file_is_recognised_as_such() -> None:
    """The full file is published beside the bhavcopy and is none."""
    header = (
        "SYMBOL, SERIES, DATE1, PREV_CLOSE, OPEN_PRICE, HIGH_PRICE, LOW_PRICE, LAST_PRICE, CLOSE_PRICE, AVG_PRICE, "
        "TTL_TRD_QNTY, TURNOVER_LACS, NO_OF_TRADES, DELIV_QTY, DELIV_PER"
    )
    row = "ALPHA, EQ, 15-Jan-2024, 10.40, 10.50, 11.25, 10.00, 11.05, 11.00, 10.83, 1500, 0.16, 42, 700, 46.67"
    error = refusal(csv(header, row))
    assert type(error) is UnknownLayout
    assert "full (delivery) file" in error.what


# The date inside


def test_a_file_of_another_day_is_refused() -> None:
    """A holiday's name can hold the previous session: both dates are named."""
    error = refusal(csv(HEADER, ROW.replace("15-JAN-2024", "12-JAN-2024")))
    assert type(error) is WrongDate
    assert (error.expected, error.found) == ("rows of 2024-01-15", "2024-01-12")


@pytest.mark.parametrize("text", ["27/01/2023", "15-JAN-2024 00:00:00", "someday", ""])
def test_a_date_that_cannot_be_read_is_no_other_day(text: str) -> None:
    """It is quoted as it stands, with the forms that are read: nobody is sent to look for a holiday."""
    error = refusal(csv(HEADER, ROW.replace("15-JAN-2024", text)))
    assert type(error) is RejectedPayload
    assert "dates in the file cannot be read" in error.what
    assert error.found == repr(text)
    assert error.expected == "2024-01-15 as 2024-01-15 or 15-JAN-2024 or 15-JAN-24"
    assert "holiday" not in str(error)


def test_a_file_of_another_day_with_an_unreadable_date_is_of_another_day() -> None:
    """What can be read decides; the rest is quoted."""
    other = ROW.replace("15-JAN-2024", "12-JAN-2024")
    error = refusal(csv(HEADER, ROW.replace("15-JAN-2024", "someday"), other))
    assert type(error) is WrongDate
    assert error.found == "'someday', 2024-01-12"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-08", date(2024, 7, 8)),
        ("15-JAN-2024", date(2024, 1, 15)),
        ("15-Jan-2024", date(2024, 1, 15)),
        ("3-NOV-1994", date(1994, 11, 3)),
        ("13-Jul-20", date(2020, 7, 13)),
        (" 29-FEB-2024 ", date(2024, 2, 29)),
        ("29-FEB-2023", None),
        ("31-JUN-2024", None),
        ("15-01-2024", None),
        ("15/01/2024", None),
        ("2024-01-15T00:00:00", None),
        ("15-JAN", None),
        ("", None),
        ("-", None),
    ],
)
def test_dates_are_read_as_the_exchange_writes_them(text: str, expected: date | None) -> None:
    """Three ways of writing, any case, unpadded days; everything else is none."""
    assert as_written(text, DAY) == expected


@given(st.dates(date(1994, 1, 1), date(2060, 12, 31)), st.sampled_from(["%d-%b-%Y", "%Y-%m-%d", "%d-%b-%y"]))
def test_every_date_reads_back(day: date, pattern: str) -> None:
    """In each of the ways of writing, in capitals too."""
    assert as_written(day.strftime(pattern), DAY) == day
    assert as_written(day.strftime(pattern).upper(), DAY) == day


@given(st.text())
def test_reading_a_date_never_raises(text: str) -> None:
    """Any text is a date or none."""
    assert as_written(text, DAY) is None or isinstance(as_written(text, DAY), date)


# Fields


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A,B,C", ["A", "B", "C"]),
        ("A,,C,", ["A", "", "C", ""]),
        ('"A, B",C', ["A, B", "C"]),
        ('A, "B, C"', ["A", "B, C"]),
        ('"say ""A""",B', ['say "A"', "B"]),
        ('5" PIPE,B', ['5" PIPE', "B"]),
        ("", [""]),
    ],
)
def test_fields_are_split_as_csv_says(line: str, expected: list[str]) -> None:
    """Quotes hold commas, doubled quotes are one, and a quote within a field is a character."""
    assert fields_of(line) == expected


# Anything at all


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_untyped(payload: bytes) -> None:
    """Whatever comes is recognised or refused with one of the package's errors."""
    with pytest.raises(ChampionError):
        recognise(payload, EQUITY, DAY)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@given(data=st.data())
def test_damaged_zips_raise_nothing_untyped(method: int, data: st.DataObject) -> None:
    """A zip with some bytes changed still reads as it was, or is refused with one of the package's errors."""
    payload = bytearray(zipped(csv(HEADER, *[ROW] * 20), method=method))
    places = st.integers(0, len(payload) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        payload[place] = byte
    try:
        found = recognise(bytes(payload), EQUITY, DAY)
    except ChampionError:
        return
    assert found.lines == [ROW] * 20


# Odd files that were met in the wild


def weird(shared: Callable[[str], Path], name: str) -> bytes:
    """One of the odd files."""
    return shared(f"weird/{name}").read_bytes()


def test_the_file_without_trailing_commas_is_read(shared: Callable[[str], Path]) -> None:
    """2020-07-13: two-digit years, no trailing comma, 2,001 rows."""
    payload = weird(shared, "header_variant_no_trailing_comma__cm13JUL2020bhav.csv")
    found = recognise(payload, EQUITY, date(2020, 7, 13))
    assert (found.layout, len(found.lines)) == (EQUITY.layouts[1], 2001)


def test_the_file_of_another_source_is_an_unknown_layout(shared: Callable[[str], Path]) -> None:
    """Another kind of bhavcopy, of the same day: what differs is listed both ways."""
    error = refusal(weird(shared, "NSE_CM_bhavcopy_01042024.csv.zip"), date(2024, 4, 1), "udiff")
    assert type(error) is UnknownLayout
    assert error.found is not None
    missing, unexpected = error.found.split("; ")
    assert missing == (
        "missing 'BizDt', 'Sgmt', 'Src', 'XpryDt', 'FininstrmActlXpryDt', 'StrkPric', 'OptnTp', 'UndrlygPric', "
        "'OpnIntrst', 'ChngInOpnIntrst', 'SsnId', 'NewBrdLotQty', 'Rmks'"
    )
    assert unexpected.startswith("unexpected 'OffclCorpActnEvtId', 'RptgDt'")


def test_the_error_page_kept_as_csv_is_refused(shared: Callable[[str], Path]) -> None:
    """An HTML page under a CSV's name."""
    error = refusal(weird(shared, "html_error_page__girish_13FEB2026.csv"), date(2026, 2, 13))
    assert type(error) is RejectedPayload
    assert "HTML page" in error.what


def test_the_file_with_appended_columns_is_an_unknown_layout(shared: Callable[[str], Path]) -> None:
    """Somebody joined the delivery columns to the right of a bhavcopy."""
    error = refusal(weird(shared, "third_party_appended_deliv_columns__girish_01DEC2023.csv"), date(2023, 12, 1))
    assert type(error) is UnknownLayout
    assert error.found == "unexpected '', 'DELIV_QTY', 'DELIV_PER'"


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("pandas_rewritten_full_special_session__2023-11-12.csv", date(2023, 11, 12)),
        ("pandas_rewritten_full_special_session__2024-03-02.csv", date(2024, 3, 2)),
        ("pandas_rewritten_full_special_session__2026-02-01.csv", date(2026, 2, 1)),
        ("stale_previous_day_content__sec_bhavdata_full_26012023.csv", date(2023, 1, 26)),
        ("truncated__sec_bhavdata_full_04052022.csv", date(2022, 5, 4)),
        ("wrong_date_sunday_named_quoted__girish_12MAR2023.csv", date(2023, 3, 12)),
    ],
)
def test_delivery_files_are_recognised_as_such(shared: Callable[[str], Path], name: str, day: date) -> None:
    """Rewritten, stale, cut short or quoted: each is the full file, and no bhavcopy."""
    error = refusal(weird(shared, name), day)
    assert type(error) is UnknownLayout
    assert "full (delivery) file" in error.what


def test_every_odd_file_is_named_here(shared: Callable[[str], Path]) -> None:
    """A new odd file asks for a test of its own."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in shared("weird").iterdir() if f'"{path.name}"' not in source] == []


def test_a_member_without_a_name_is_read_by_what_is_in_it() -> None:
    """A name that ends at once is no folder's, and names are never used as paths."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("q.csv", csv(HEADER, ROW))
    found = recognise(content.getvalue().replace(b"q.csv", b"\0.csv"), EQUITY, DAY)
    assert found.lines == [ROW]
