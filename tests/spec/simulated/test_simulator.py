"""The simulated exchange archive: its payloads, and the server that gives them out with faults."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import http.client
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import requests
import simulated_server
from helpers import archive_path
from simulated_server import Fault, SimulatedArchive

from champion_luigi.datasets.equity import EQUITY, FIRST_DATE
from champion_luigi.exchange import sessions
from champion_luigi.parsing import normalize
from champion_luigi.parsing.lines import parse
from champion_luigi.parsing.payload import recognise
from champion_luigi.simulated import capital, companies, market
from champion_luigi.simulated.exchange import payload, respond

DAY = date(2024, 1, 15)
PATH = archive_path("legacy", DAY)
HOLIDAY = date(2024, 1, 22)
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}
ERAS = (
    (FIRST_DATE, "legacy"),
    (date(1995, 12, 12), "legacy"),
    (date(1996, 5, 2), "legacy"),
    (date(2002, 4, 1), "legacy"),
    (date(2011, 6, 21), "legacy"),
    (date(2011, 6, 22), "legacy"),
    (date(2020, 7, 13), "legacy"),
    (date(2024, 1, 1), "udiff"),
    (date(2024, 6, 20), "udiff"),
    (date(2024, 6, 21), "udiff"),
    (date(2024, 7, 5), "legacy"),
    (date(2025, 2, 1), "udiff"),
)

Rows = list[dict[str, str]]


def text_of(content: bytes) -> str:
    """The one CSV in a zip."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        [name] = archive.namelist()
        return archive.read(name).decode("ascii")


def text(day: date, format: str) -> str:
    """A simulated day's CSV."""
    content = payload(day, format)
    assert content is not None
    return text_of(content)


def rows(day: date, format: str = "legacy") -> Rows:
    """A simulated day's rows by column name."""
    return list(csv.DictReader(io.StringIO(text(day, format))))


def by_key(day: date) -> dict[tuple[str, str], dict[str, str]]:
    """A simulated legacy day's rows by symbol and series."""
    return {(row["SYMBOL"], row["SERIES"]): row for row in rows(day)}


def is_outside(row: dict[str, str]) -> bool:
    """Whether a legacy row's close lies outside what it says was traded."""
    return not float(row["LOW"]) <= float(row["CLOSE"]) <= float(row["HIGH"])


@pytest.mark.parametrize(
    ("day", "format", "digest"),
    [
        (FIRST_DATE, "legacy", "ada4331e306941c48d551e2701cc9abd477051e5bc2fde666d35155bafd39594"),
        (DAY, "legacy", "c77db3ba71c4ffe598505e938cd30f5a2a25ba91c2c670fcf98da88cd3c30cb3"),
        (DAY, "udiff", "16a4773d8c188d855501f986a2ddbdab09dab38c6d77642ca4624a10dfcefbcd"),
        (date(2025, 2, 1), "udiff", "e54a3f06ad346da56642c667bee76f9c3d3f2498abec84ae91c215977b093b76"),
    ],
)
def test_a_date_has_the_same_bytes_on_every_machine(day: date, format: str, digest: str) -> None:
    """A deliberate change of the simulation changes them, as that of prices before a split did."""
    assert hashlib.sha256(payload(day, format) or b"").hexdigest() == digest


@pytest.mark.integration
def test_fresh_interpreters_with_different_hash_seeds_agree() -> None:
    """Neither the order of sets nor what was made before goes into a payload."""
    program = (
        "import hashlib; from datetime import date; from champion_luigi.simulated.exchange import payload;"
        "print([hashlib.sha256(payload(date(2024, 3, day), format)).hexdigest()"
        " for day in (1, 4, 5) for format in ('legacy', 'udiff')])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_a_day_does_not_depend_on_the_days_made_before() -> None:
    """Reading backwards from another quarter gives the same bytes."""
    forwards = payload(DAY, "legacy")
    for cached in (market._closes, market._listed, market._universe, market._bases):
        cached.cache_clear()
    payload(date(2025, 1, 15), "udiff")
    assert payload(DAY, "legacy") == forwards


@pytest.mark.parametrize("day", [date(2024, 1, 1), DAY, date(2024, 3, 15), date(2024, 6, 10), date(2024, 7, 5)])
def test_both_formats_of_a_date_hold_the_same_rows(day: date) -> None:
    """Keys and values agree, a blank LastPric standing as LAST 0, as on the exchange."""
    pairs = {
        "SYMBOL": "TckrSymb",
        "SERIES": "SctySrs",
        "ISIN": "ISIN",
        "OPEN": "OpnPric",
        "HIGH": "HghPric",
        "LOW": "LwPric",
        "CLOSE": "ClsPric",
        "LAST": "LastPric",
        "PREVCLOSE": "PrvsClsgPric",
        "TOTTRDQTY": "TtlTradgVol",
        "TOTTRDVAL": "TtlTrfVal",
        "TOTALTRADES": "TtlNbOfTxsExctd",
    }
    texts = 3

    def values(row: dict[str, str], columns: list[str]) -> tuple[str | float, ...]:
        return (*(row[name] for name in columns[:texts]), *(float(row[name] or 0) for name in columns[texts:]))

    legacy = sorted(values(row, list(pairs)) for row in rows(day, "legacy"))
    assert legacy == sorted(values(row, list(pairs.values())) for row in rows(day, "udiff"))


@pytest.mark.parametrize(
    ("day", "format"),
    [
        (HOLIDAY, "legacy"),
        (date(2024, 1, 14), "legacy"),
        (date(2024, 7, 8), "legacy"),
        (date(2023, 12, 29), "udiff"),
        (date(1994, 11, 2), "legacy"),
        (DAY, "full"),
    ],
)
def test_there_is_no_file_where_the_exchange_has_none(day: date, format: str) -> None:
    """A holiday, a Sunday, a date outside the format's years and an unknown format have no payload."""
    assert payload(day, format) is None


def test_a_special_session_on_a_saturday_has_a_file() -> None:
    """`sessions` decides, not the weekday."""
    assert payload(date(2024, 1, 20), "udiff") is not None


@pytest.mark.parametrize("format", ["legacy", "udiff"])
def test_a_recent_day_has_about_2500_rows(format: str) -> None:
    """The size of a real day, in both formats."""
    assert 2400 < len(rows(DAY, format)) < 2600


def test_a_day_of_1994_has_about_800_rows() -> None:
    """The exchange grew, and its files with it."""
    assert 700 < len(rows(FIRST_DATE)) < 1000


def test_days_differ_in_how_many_rows_they_have() -> None:
    """Not every instrument trades every day."""
    assert len({len(rows(date(2024, 1, day))) for day in (15, 16, 17, 18, 19)}) > 1


@pytest.mark.parametrize(("day", "format"), ERAS)
def test_a_simulated_day_normalizes_without_rejects(day: date, format: str) -> None:
    """Every era's file is valid, with all of its oddities."""
    content = payload(day, format)
    assert content is not None
    table = parse(recognise(content, EQUITY, day))
    normalized = normalize.normalize(table, EQUITY, format, day)
    assert not normalized.rejects
    assert normalized.rows.height == table.height


@pytest.mark.parametrize(("day", "format"), ERAS)
def test_the_header_is_that_of_the_layout_in_force(day: date, format: str) -> None:
    """Each era's columns, in their order."""
    [layout] = [each for each in EQUITY.layouts if each.source == format and each.first <= day <= each.last]
    assert tuple(filter(None, text(day, format).split("\n")[0].split(","))) == layout.columns


def test_legacy_lines_end_with_a_comma() -> None:
    """Header and rows both: an empty field that is no column."""
    header, *lines, end = text(DAY, "legacy").split("\n")
    assert header.endswith(",")
    assert all(line.endswith(",") for line in lines)
    assert end == ""


def test_13_july_2020_has_no_trailing_commas_and_a_short_date() -> None:
    """The one day on which the exchange wrote its file in another way."""
    header, first, *_ = text(date(2020, 7, 13), "legacy").split("\n")
    assert header.endswith(",ISIN")
    assert first.split(",")[10] == "13-Jul-20"
    assert not first.endswith(",")


@pytest.mark.parametrize(("day", "names"), [(date(2024, 6, 20), 35), (date(2024, 6, 21), 34)])
def test_the_udiff_header_has_a_35th_empty_name_until_20_june_2024(day: date, names: int) -> None:
    """The rows have 34 fields before and after."""
    header, first, *_ = text(day, "udiff").split("\n")
    assert (len(header.split(",")), len(first.split(","))) == (names, 34)


@pytest.mark.parametrize(
    ("day", "stamp"), [(FIRST_DATE, "3-NOV-1994"), (date(2006, 12, 1), "1-DEC-2006"), (date(2011, 1, 3), "03-JAN-2011")]
)
def test_early_days_are_unpadded(day: date, stamp: str) -> None:
    """The day of the month has no leading zero in the 1990s."""
    assert {row["TIMESTAMP"] for row in rows(day)} == {stamp}


def test_the_zip_holds_one_csv_named_after_it() -> None:
    """The member's name is the file's without .zip."""
    with zipfile.ZipFile(io.BytesIO(payload(DAY, "udiff") or b"")) as archive:
        assert archive.namelist() == ["BhavCopy_NSE_CM_0_0_0_20240115_F_0000.csv"]
        assert archive.testzip() is None


def test_keys_are_unique_and_legacy_rows_sorted() -> None:
    """One row a symbol and series, in their order."""
    keys = [(row["SYMBOL"], row["SERIES"]) for row in rows(DAY)]
    assert keys == sorted(set(keys))


def test_udiff_rows_are_in_no_order() -> None:
    """As the exchange's: a reader that needs order must sort."""
    keys = [(row["TckrSymb"], row["SctySrs"]) for row in rows(DAY, "udiff")]
    assert keys != sorted(keys)


@pytest.mark.parametrize("day", [DAY, date(2024, 4, 1), date(2010, 4, 1), date(1995, 6, 1)])
def test_the_previous_close_is_the_previous_sessions_close(day: date) -> None:
    """Prices go on from one session to the next, over quarters too; blocks refer to the block before."""
    before = by_key(sessions.previous(day))
    today = {key: row for key, row in by_key(day).items() if key in before and key[1] != "BL"}
    assert len(today) > 600
    assert all(row["PREVCLOSE"] == before[key]["CLOSE"] for key, row in today.items())


def test_prices_move_by_a_few_percent_a_day() -> None:
    """No standing still, and no jumps but where a share is split."""
    split = {companies.company_on(each.company, DAY)[0] for each in capital.on(DAY)}
    listed = [row for row in rows(DAY) if row["SERIES"] == "EQ" and row["SYMBOL"] not in split]
    moves = [float(row["CLOSE"]) / float(row["PREVCLOSE"]) - 1 for row in listed]
    assert all(abs(move) < 0.05 for move in moves)
    assert len(set(moves)) > 1000


def test_nearly_all_closes_lie_between_low_and_high() -> None:
    """And a few do not, as on the exchange."""
    outside = sum(is_outside(row) for row in rows(DAY))
    assert 1 <= outside <= 5


def test_turnover_fits_volume_and_prices() -> None:
    """Turnover in rupees is volume times a price between low and high."""
    for row in rows(DAY):
        average = float(row["TOTTRDVAL"]) / int(row["TOTTRDQTY"])
        assert float(row["LOW"]) - 0.005 <= average <= float(row["HIGH"]) + 0.005


@pytest.mark.parametrize("day", [DAY, date(2001, 7, 2), date(1995, 6, 1)])
def test_series_na_is_there(day: date) -> None:
    """A series that readers like to take for a missing value."""
    assert any(row["SERIES"] == "NA" for row in rows(day))


def test_real_series_stand_side_by_side() -> None:
    """Shares, trade to trade, small companies, bonds, gilts and gold."""
    assert {row["SERIES"] for row in rows(DAY)} >= {"EQ", "BE", "BZ", "SM", "ST", "GS", "GB", "N1", "NA", "P1", "W1"}


@pytest.mark.parametrize(("series", "month"), [("BL", (2024, 1)), ("T0", (2024, 4))])
def test_block_deals_and_same_day_settlement_stand_beside_the_eq_row(series: str, month: tuple[int, int]) -> None:
    """Two rows of one symbol on one day, told apart by the series alone."""
    found = 0
    for day in sessions.sessions(date(*month, 1), date(*month, 28)):
        keys = by_key(day)
        beside = [symbol for symbol, each in keys if each == series]
        found += sum((symbol, "EQ") in keys for symbol in beside)
    assert found > 10


def test_same_day_settlement_closes_with_the_eq_row() -> None:
    """So its close may lie outside its own low and high."""
    day = next(
        day for day in sessions.sessions(date(2024, 4, 1), date(2024, 5, 1)) if any(k[1] == "T0" for k in by_key(day))
    )
    keys = by_key(day)
    assert all(row["CLOSE"] == keys[symbol, "EQ"]["CLOSE"] for (symbol, series), row in keys.items() if series == "T0")


def test_a_symbol_changes_its_series_over_the_years() -> None:
    """Trade to trade (BE) is a state, not a property."""
    series: dict[str, set[str]] = {}
    for year in (2020, 2021, 2022):
        for row in rows(date(year, 6, 1)):
            series.setdefault(row["SYMBOL"], set()).add(row["SERIES"])
    assert any(each >= {"EQ", "BE"} for each in series.values())


@pytest.mark.parametrize("pattern", ["&", "-", r"^\d{3}GS20\d\d$", r"^SGB[A-Z]{3}\d\d$"])
def test_symbols_have_the_shapes_of_real_ones(pattern: str) -> None:
    """Ampersands, hyphens, and debt named after coupon and year."""
    assert any(re.search(pattern, row["SYMBOL"]) for row in rows(DAY))


def test_names_have_spaces_and_no_commas() -> None:
    """Up to 25 characters, as the exchange cuts them."""
    names = [row["FinInstrmNm"] for row in rows(DAY, "udiff")]
    assert any(" " in name for name in names)
    assert max(map(len, names)) == 25


def test_isins_have_right_check_digits() -> None:
    """The dummies aside, which only legacy files have."""

    def is_valid(isin: str) -> bool:
        digits = [int(digit) for digit in "".join(str(int(each, 36)) for each in isin)][::-1]
        return len(isin) == 12 and sum(sum(divmod(d * (1 + place % 2), 10)) for place, d in enumerate(digits)) % 10 == 0

    assert all(is_valid(row["ISIN"]) for row in rows(DAY))


@pytest.mark.parametrize("dummy", ["DUMMY", "INE"])
def test_some_isins_are_dummies(dummy: str) -> None:
    """In the years in which the exchange published them."""
    assert any(row["ISIN"] == dummy for day in (4, 5, 6) for row in rows(date(2015, 5, day)))


def test_a_few_rows_have_no_last_price() -> None:
    """0 in a legacy file, blank in a UDiFF file."""
    assert 1 <= sum(float(row["LAST"]) == 0 for row in rows(DAY)) <= 5
    assert 1 <= sum(row["LastPric"] == "" for row in rows(DAY, "udiff")) <= 5


def test_last_prices_are_blank_on_whole_days() -> None:
    """2024-03-15 is one of them in the simulation."""
    assert {row["LastPric"] for row in rows(date(2024, 3, 15), "udiff")} == {""}


@pytest.mark.parametrize("day", [date(1995, 10, 5), date(1998, 3, 31)])
def test_last_is_0_on_every_row_of_the_mid_1990s(day: date) -> None:
    """The exchange did not record it then."""
    assert {float(row["LAST"]) for row in rows(day)} == {0.0}


def test_open_high_and_low_may_be_0_around_2000() -> None:
    """With a real close, on a row a day."""
    unrecorded = [row for row in rows(date(1999, 6, 1)) if (row["OPEN"], row["HIGH"], row["LOW"]) == ("0", "0", "0")]
    assert unrecorded
    assert all(float(row["CLOSE"]) > 0 for row in unrecorded)


def test_open_repeats_the_previous_close_in_early_1996() -> None:
    """So it may lie outside low and high, as in the exchange's files of those months."""
    assert all(row["OPEN"] in (row["PREVCLOSE"], "0") for row in rows(date(1996, 5, 2)))


def test_settlement_differs_from_close_on_some_rows() -> None:
    """On about a fifth of them."""
    day = rows(DAY, "udiff")
    assert 0.1 < sum(row["SttlmPric"] != row["ClsPric"] for row in day) / len(day) < 0.3


def test_instruments_keep_their_numbers() -> None:
    """An instrument's number and ISIN stay the same, and no two instruments share a number."""
    numbers = [
        {(row["TckrSymb"], row["SctySrs"]): row["FinInstrmId"] for row in rows(day, "udiff")}
        for day in (DAY, date(2024, 11, 14))
    ]
    both = numbers[0].keys() & numbers[1].keys()
    assert all(numbers[0][key] == numbers[1][key] for key in both)
    assert max(Counter(numbers[0].values()).values()) == 1


def test_respond_gives_a_sessions_payload() -> None:
    """Status 200 and the same bytes as `payload`."""
    assert respond(PATH) == (200, payload(DAY, "legacy"))


@pytest.mark.parametrize("path", [archive_path("legacy", HOLIDAY), archive_path("udiff", HOLIDAY), "/", "/robots.txt"])
def test_respond_gives_a_page_where_there_is_no_file(path: str) -> None:
    """Status 404 with about 3.4 KB of HTML, as the exchange."""
    status, body = respond(path)
    assert status == 404
    assert body.startswith(b"<!DOCTYPE html>")
    assert 3300 < len(body) < 3500


def test_a_fault_that_does_not_exist_is_refused() -> None:
    """With the names of those that do."""
    with pytest.raises(ValueError, match=r"there is no fault 'explosion'.*rate_limited"):
        Fault("explosion")  # type: ignore[arg-type]


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """At once, not as 404 to every request."""
    with pytest.raises(NotADirectoryError, match="missing"):
        SimulatedArchive(folder=tmp_path / "missing")


def test_there_is_no_url_before_it_runs() -> None:
    """The port is taken on entering."""
    with pytest.raises(RuntimeError, match="with statement"):
        _ = SimulatedArchive().url


@pytest.fixture
def archive() -> Iterator[SimulatedArchive]:
    """A running archive without faults; tests set its `faults`."""
    with SimulatedArchive() as running:
        yield running


def get(archive: SimulatedArchive, path: str = PATH, **headers: str) -> requests.Response:
    """Ask as a browser would."""
    return requests.get(archive.url + path, headers=BROWSER | headers, timeout=60)


@pytest.mark.integration
class TestServer:
    """`SimulatedArchive` without faults."""

    def test_it_serves_payloads(self, archive: SimulatedArchive) -> None:
        """The same bytes as in process, as a zip."""
        response = get(archive)
        assert (response.status_code, response.content) == respond(PATH)
        assert response.headers["Content-Type"] == "application/zip"

    def test_it_answers_404_with_a_page(self, archive: SimulatedArchive) -> None:
        """For holidays, and for everything that is no bhavcopy."""
        assert [get(archive, path).status_code for path in (archive_path("legacy", HOLIDAY), "/")] == [404, 404]
        assert "html" in get(archive, "/").headers["Content-Type"]

    def test_it_listens_on_loopback_alone(self, archive: SimulatedArchive) -> None:
        """No other machine can reach it."""
        assert archive.url.startswith("http://127.0.0.1:")

    @pytest.mark.parametrize("agent", ["python-requests/2.32", "curl/8.0", ""])
    def test_it_refuses_all_but_browsers(self, archive: SimulatedArchive, agent: str) -> None:
        """As the exchange's firewall: 403."""
        assert get(archive, **{"User-Agent": agent}).status_code == 403

    def test_it_keeps_connections_alive(self, archive: SimulatedArchive) -> None:
        """Two requests go over one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", int(archive.url.rpartition(":")[2]), timeout=60)
        with contextlib.closing(connection):
            sockets = []
            for _ in range(2):
                connection.request("GET", PATH, headers=BROWSER)
                sockets.append(connection.sock)
                assert connection.getresponse().read() == payload(DAY, "legacy")
        assert sockets[0] is sockets[1]

    @pytest.mark.parametrize(
        ("validator", "condition"), [("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since")]
    )
    def test_it_answers_304_to_who_has_the_file(
        self, archive: SimulatedArchive, validator: str, condition: str
    ) -> None:
        """Either validator will do, and no body comes."""
        response = get(archive, **{condition: get(archive).headers[validator]})
        assert (response.status_code, response.content) == (304, b"")

    def test_another_etag_gets_the_file(self, archive: SimulatedArchive) -> None:
        """The ETag decides, whatever the time says."""
        modified = get(archive).headers["Last-Modified"]
        assert get(archive, **{"If-None-Match": '"other"', "If-Modified-Since": modified}).status_code == 200

    def test_an_unreadable_condition_gets_the_file(self, archive: SimulatedArchive) -> None:
        """A time that is none is no condition."""
        assert get(archive, **{"If-Modified-Since": "yesterday"}).status_code == 200

    def test_head_has_the_headers_of_get(self, archive: SimulatedArchive) -> None:
        """The length without the body."""
        response = requests.head(archive.url + PATH, headers=BROWSER, timeout=60)
        assert response.headers["Content-Length"] == str(len(payload(DAY, "legacy") or b""))
        assert response.content == b""

    def test_it_records_what_it_was_asked(self, archive: SimulatedArchive) -> None:
        """Method, path, user agent and time of every request, refused ones too."""
        before = time.monotonic()
        get(archive)
        get(archive, "/other", **{"User-Agent": "python-requests/2.32"})
        first, second = archive.requests
        assert (first.method, first.path, first.user_agent) == ("GET", PATH, BROWSER["User-Agent"])
        assert (second.path, second.user_agent) == ("/other", "python-requests/2.32")
        assert before <= first.time <= second.time <= time.monotonic()

    def test_it_answers_many_at_once(self, archive: SimulatedArchive) -> None:
        """Every thread gets its own day, and every request is recorded."""
        days = sessions.sessions(date(2024, 1, 1), date(2024, 1, 31))
        answers: dict[date, bytes] = {}

        def ask(day: date) -> None:
            answers[day] = get(archive, archive_path("legacy", day)).content

        threads = [threading.Thread(target=ask, args=(day,)) for day in days]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == {day: payload(day, "legacy") for day in days}
        assert len(archive.requests) == len(days)

    def test_latency_comes_before_every_answer(self) -> None:
        """In seconds."""
        with SimulatedArchive(latency=0.2) as archive:
            start = time.monotonic()
            get(archive)
            assert time.monotonic() - start >= 0.2

    def test_it_can_run_again(self) -> None:
        """What it recorded stays after it has closed."""
        archive = SimulatedArchive()
        for _ in range(2):
            with archive:
                get(archive)
        archive.close()
        assert len(archive.requests) == 2


@pytest.mark.integration
class TestFaults:
    """One way to misbehave each, over real HTTP."""

    @pytest.mark.parametrize(("kind", "status"), [("forbidden", 403), ("not_found", 404), ("unavailable", 503)])
    def test_a_status(self, archive: SimulatedArchive, kind: str, status: int) -> None:
        """With a page of HTML."""
        archive.faults[DAY] = Fault(kind)  # type: ignore[arg-type]
        response = get(archive)
        assert response.status_code == status
        assert response.content.startswith(b"<!DOCTYPE html>")

    def test_rate_limited_says_when_to_come_back(self, archive: SimulatedArchive) -> None:
        """429, the delay as Retry-After in whole seconds."""
        archive.faults[DAY] = Fault("rate_limited", delay=29.5)
        response = get(archive)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "30")

    def test_a_fault_of_so_many_times_passes(self, archive: SimulatedArchive) -> None:
        """Twice 503, then the file."""
        archive.faults[DAY] = Fault("unavailable", times=2)
        assert [get(archive).status_code for _ in range(4)] == [503, 503, 200, 200]

    def test_times_are_counted_for_each_path(self, archive: SimulatedArchive) -> None:
        """The other format of the date misbehaves as often."""
        archive.faults[DAY] = Fault("unavailable", times=1)
        paths = (PATH, archive_path("udiff", DAY), PATH, archive_path("udiff", DAY))
        assert [get(archive, path).status_code for path in paths] == [503, 503, 200, 200]

    def test_a_fault_put_again_counts_anew(self, archive: SimulatedArchive) -> None:
        """Even one that equals the fault before it."""
        statuses = []
        for _ in range(2):
            archive.faults[DAY] = Fault("unavailable", times=1)
            statuses += [get(archive).status_code, get(archive).status_code]
        assert statuses == [503, 200, 503, 200]

    def test_other_dates_are_spared(self, archive: SimulatedArchive) -> None:
        """A fault is one date's."""
        archive.faults[DAY] = Fault("unavailable")
        assert get(archive, archive_path("legacy", date(2024, 1, 16))).status_code == 200

    def test_html_with_status_200(self, archive: SimulatedArchive) -> None:
        """A maintenance page in place of the file."""
        archive.faults[DAY] = Fault("html")
        response = get(archive)
        assert response.status_code == 200
        assert response.content.startswith(b"<!DOCTYPE html>")

    def test_empty(self, archive: SimulatedArchive) -> None:
        """Status 200 and no bytes."""
        archive.faults[DAY] = Fault("empty")
        response = get(archive)
        assert (response.status_code, response.content, response.headers["Content-Length"]) == (200, b"", "0")

    def test_truncated(self, archive: SimulatedArchive) -> None:
        """Half of the zip, whose announced length is right."""
        archive.faults[DAY] = Fault("truncated")
        content = payload(DAY, "legacy") or b""
        assert get(archive).content == content[: len(content) // 2]

    def test_cut(self, archive: SimulatedArchive) -> None:
        """The connection ends in the middle of the announced length."""
        archive.faults[DAY] = Fault("cut", times=1)
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            get(archive)
        assert get(archive).status_code == 200

    def test_stale(self, archive: SimulatedArchive) -> None:
        """The previous session's rows under this date's name."""
        archive.faults[DAY] = Fault("stale")
        content = get(archive).content
        assert text_of(content) == text(date(2024, 1, 12), "legacy")
        assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["cm15JAN2024bhav.csv"]

    def test_stale_on_a_holiday(self, archive: SimulatedArchive) -> None:
        """A holiday's file with the previous session's rows, as the exchange has published."""
        archive.faults[HOLIDAY] = Fault("stale")
        content = get(archive, archive_path("legacy", HOLIDAY)).content
        assert text_of(content) == text(date(2024, 1, 20), "legacy")

    def test_stale_without_a_session_before(self, archive: SimulatedArchive) -> None:
        """There is nothing to publish again: 404."""
        archive.faults[FIRST_DATE] = Fault("stale")
        assert get(archive, archive_path("legacy", FIRST_DATE)).status_code == 404

    @pytest.mark.parametrize("format", ["legacy", "udiff"])
    def test_wrong_header(self, archive: SimulatedArchive, format: str) -> None:
        """One column has a name that no layout has; the rows are as ever."""
        archive.faults[DAY] = Fault("wrong_header")
        header, *lines = text_of(get(archive, archive_path(format, DAY)).content).split("\n")
        right, *expected = text(DAY, format).split("\n")
        assert "CLOSING" in header.split(",")
        assert sum(a != b for a, b in zip(header.split(","), right.split(","), strict=True)) == 1
        assert lines == expected

    @pytest.mark.parametrize("format", ["legacy", "udiff"])
    def test_restated(self, archive: SimulatedArchive, format: str) -> None:
        """Published again, with some rows changed and some gone; still a valid day."""
        path = archive_path(format, DAY)
        first = get(archive, path)
        archive.faults[DAY] = Fault("restated")
        second = get(archive, path, **{"If-None-Match": first.headers["ETag"]})
        before, after = (set(text_of(each.content).split("\n")) for each in (first, second))
        assert len(after - before) > 30
        assert len(after) < len(before) - 30
        assert first.headers["Last-Modified"] != second.headers["Last-Modified"]
        table = parse(recognise(second.content, EQUITY, DAY))
        assert not normalize.normalize(table, EQUITY, format, DAY).rejects

    def test_slow(self, archive: SimulatedArchive) -> None:
        """The answer is right, and late."""
        archive.faults[DAY] = Fault("slow", delay=0.2)
        start = time.monotonic()
        assert get(archive).content == payload(DAY, "legacy")
        assert time.monotonic() - start >= 0.2

    def test_trickling(self, archive: SimulatedArchive) -> None:
        """The body is right, and comes in pieces."""
        archive.faults[DAY] = Fault("trickling", delay=0.03)
        start = time.monotonic()
        assert get(archive).content == payload(DAY, "legacy")
        assert time.monotonic() - start >= 9 * 0.03

    def test_hanging(self, archive: SimulatedArchive) -> None:
        """No answer comes."""
        archive.faults[DAY] = Fault("hanging")
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(archive.url + PATH, headers=BROWSER, timeout=0.3)

    @pytest.mark.parametrize("fault", [Fault("hanging"), Fault("slow", delay=600), Fault("trickling", delay=600)])
    def test_closing_does_not_wait(self, fault: Fault) -> None:
        """Requests that are under way end with the archive."""
        ended = threading.Event()

        def ask(url: str) -> None:
            with pytest.raises(requests.exceptions.RequestException):
                requests.get(url + PATH, headers=BROWSER, timeout=600)
            ended.set()

        with SimulatedArchive({DAY: fault}) as archive:
            threading.Thread(target=ask, args=(archive.url,), daemon=True).start()
            while not archive.requests:
                time.sleep(0.01)
        assert ended.wait(60)


@pytest.mark.integration
class TestFolder:
    """Files in a folder, served in place of simulated ones."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Two sessions' files and a delivery file, at the exchange's paths."""
        for day in (DAY, date(2024, 1, 16)):
            file = tmp_path / archive_path("legacy", day).lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(payload(day, "legacy") or b"")
        other = tmp_path / "products/content/sec_bhavdata_full_15012024.csv"
        other.parent.mkdir(parents=True)
        other.write_text("SYMBOL, SERIES\n")
        return tmp_path

    def test_it_serves_files_at_their_paths(self, folder: Path) -> None:
        """Bhavcopies and everything else, byte for byte."""
        with SimulatedArchive(folder=folder) as archive:
            assert get(archive).content == payload(DAY, "legacy")
            assert get(archive, "/products/content/sec_bhavdata_full_15012024.csv").text == "SYMBOL, SERIES\n"

    def test_it_serves_nothing_else(self, folder: Path) -> None:
        """A session whose file is not in the folder is a 404."""
        with SimulatedArchive(folder=folder) as archive:
            assert get(archive, archive_path("legacy", date(2024, 1, 17))).status_code == 404

    def test_it_stays_in_the_folder(self, folder: Path) -> None:
        """Dots in a path do not lead out of it."""
        (folder.parent / "secret.txt").write_text("secret")
        with SimulatedArchive(folder=folder) as archive, requests.Session() as session:
            request = session.prepare_request(requests.Request("GET", archive.url, headers=BROWSER))
            request.url = f"{archive.url}/../secret.txt"
            assert session.send(request, timeout=60).status_code == 404

    def test_validators_follow_the_file(self, folder: Path) -> None:
        """A file that was replaced is no longer known."""
        with SimulatedArchive(folder=folder) as archive:
            etag = get(archive).headers["ETag"]
            assert get(archive, **{"If-None-Match": etag}).status_code == 304
            (folder / PATH.lstrip("/")).write_bytes(b"other")
            assert get(archive, **{"If-None-Match": etag}).content == b"other"

    def test_it_has_the_same_faults(self, folder: Path) -> None:
        """Made of the folder's own files."""
        day = date(2024, 1, 16)
        with SimulatedArchive({day: Fault("stale")}, folder=folder) as archive:
            assert text_of(get(archive, archive_path("legacy", day)).content) == text(DAY, "legacy")


@pytest.mark.integration
@pytest.mark.usefixtures("unmeasured")
def test_the_command_prints_its_url_and_stops_on_sigterm() -> None:
    """The file, run as a program, serves in the foreground and exits 0 on SIGTERM."""
    command = [sys.executable, simulated_server.__file__, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        status = requests.get(url + PATH, headers=BROWSER, timeout=60).status_code
        process.send_signal(signal.SIGTERM)
        assert (status, process.wait(60)) == (200, 0)


@pytest.mark.integration
def test_the_command_says_why_it_cannot_serve(tmp_path: Path) -> None:
    """A folder that is not there is an error of usage: exit code 2, in a sentence."""
    command = [sys.executable, simulated_server.__file__, "--folder", str(tmp_path / "missing")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "the archive's folder is not a folder" in finished.stderr
