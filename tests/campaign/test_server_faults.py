"""A ClickHouse server behind a network that fails, one that dies, and one that is not what it should be."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import ipaddress
import itertools
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import campaign
import pytest
import subjects
from click.testing import CliRunner
from clickhouse_server import ClickHouseServer, User, unavailable
from fault_proxy import Fault, FaultProxy
from helpers import answering, build, retry_at_once, run_champion, run_luigi
from subjects import SHARES, Lines, Subject

from champion_luigi.base.errors import (
    ChampionError,
    SettingsError,
    WarehouseError,
    WarehouseUnreachable,
    is_transient,
)
from champion_luigi.commands.cli import main
from champion_luigi.config import wiring
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import COUNT, Column
from champion_luigi.pipeline import complete
from champion_luigi.pipeline.chunks import Progress, fill_days
from champion_luigi.pipeline.tasks import LoadClickHouse
from champion_luigi.storage import due
from champion_luigi.tracking import journal
from champion_luigi.warehouse import opened
from champion_luigi.warehouse.connection import Address
from champion_luigi.warehouse.load import Loaded
from champion_luigi.warehouse.opened import open_warehouse
from champion_luigi.warehouse.table import Warehouse

if TYPE_CHECKING:
    import polars as pl

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    pytest.mark.skipif(unavailable() is not None, reason=unavailable() or ""),
]

AREA = "ClickHouse server"
DAYS = [date(2024, 1, day) for day in (15, 16, 17, 18, 19)]
DAY = DAYS[0]
PASSWORD = "planted-pa'ss wörd"
READER = User("reader", PASSWORD, ("SELECT ON *.*",), "<readonly>1</readonly>")
# May load existing tables, and make none.
LOADER = User("loader", PASSWORD, ("SELECT ON *.*", "INSERT ON *.*"))
HURRIED = User(
    "hurried",
    PASSWORD,
    None,
    "<max_execution_time>30</max_execution_time>"
    "<constraints><max_execution_time><max>60</max></max_execution_time></constraints>",
)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(
        tmp_path_factory.mktemp("server"), password=PASSWORD, others=(READER, LOADER, HURRIED)
    ) as running:
        yield running


@pytest.fixture
def market(server: ClickHouseServer) -> Address:
    """A database of the test's own in the server, spoken to without a proxy."""
    return Address(server.host, server.port, server.user, server.password, database=f"market_{next(_numbers)}")


@pytest.fixture(autouse=True)
def _configured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pipeline loads the test's own database, and no test waits for a retry."""
    monkeypatch.setenv("NSE_ARCHIVE_URL", "simulated:")
    retry_at_once(monkeypatch)
    if "market" in request.fixturenames:
        configure(monkeypatch, request.getfixturevalue("market"))
    yield
    opened.close_shared()


@pytest.fixture
def proxy(server: ClickHouseServer, market: Address, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy in between, which the pipeline goes through."""
    with FaultProxy(server.port) as running:
        monkeypatch.setenv("CLICKHOUSE_PORT", str(running.port))
        yield running
        opened.close_shared()


def configure(monkeypatch: pytest.MonkeyPatch, place: Address) -> None:
    for name, value in {
        "HOST": place.host,
        "PORT": str(place.port),
        "USER": place.user,
        "PASSWORD": place.password,
        "DATABASE": place.database,
    }.items():
        monkeypatch.setenv(f"CLICKHOUSE_{name}", value)


def through(proxy: FaultProxy, market: Address) -> Address:
    return Address(market.host, proxy.port, market.user, market.password, database=market.database)


def query(place: Address, statement: str, subject: Subject = SHARES) -> list[tuple[Any, ...]]:
    with contextlib.closing(open_warehouse(place)) as table:
        table.prepare(subject.dataset)
        return table.query(statement)


def command(place: Address, *statements: str) -> None:
    """Do what an operator does to a server, whatever the state of our table."""
    import clickhouse_connect

    with contextlib.closing(
        clickhouse_connect.get_client(
            host=place.host,
            port=place.port,
            username=place.user,
            password=place.password,
            autogenerate_session_id=False,
        )
    ) as client:
        for statement in statements:
            client.command(statement)


def some(names: Iterable[str], fast: int) -> list[str]:
    """The first ones, or all in the whole campaign."""
    return list(names)[: None if campaign.IS_WHOLE else fast]


# What is there


def seen(place: Address, subject: Subject = SHARES) -> dict[date, Lines]:
    """What readers see of each day; a key that they see twice is an error."""
    return subject.seen(functools.partial(query, place, subject=subject), place.database)


def assert_as_published(place: Address, *days: date, subject: Subject = SHARES) -> None:
    """These days, and no others, row by row."""
    assert seen(place, subject) == {day: subject.published(day) for day in days}


def markers(subject: Subject = SHARES) -> dict[date, dict[str, Any]]:
    folder = Path(os.environ["DATA_DIR"]) / "loaded"
    documents = [json.loads(path.read_text()) for path in folder.rglob(f"{subject.dataset.stem}_*.json")]
    return {date.fromisoformat(document["date"]): document for document in documents}


def fill(days: list[date], workers: int, subject: Subject = SHARES) -> Progress:
    """A fill of these days by so many workers, which ends."""
    progress = Progress(due=len(days))
    try:
        of = (LoadClickHouse, subject.dataset)
        fill_days(*of, days, progress, workers=workers, local_scheduler=True, log_level="CRITICAL")
    finally:
        opened.close_shared()
    return progress


def assert_no_secret(*texts: str) -> None:
    """Neither in what was said nor in any file below the data folder is a password, nor as HTTP sends it."""
    folder = Path(os.environ["DATA_DIR"])
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".arrows"]
    users = ("tester", READER.name, LOADER.name, HURRIED.name)
    secrets = [PASSWORD.encode(), *(base64.b64encode(f"{user}:{PASSWORD}".encode()) for user in users)]
    for content in [*kept, *(text.encode() for text in texts)]:
        for secret in secrets:
            assert secret not in content


# One fault for one request of a load


def prices(day: date, count: int, price: float) -> pl.DataFrame:
    """A day of so many rows, as the lake has them."""
    import polars as pl

    same = {"trade_date": day, "series": "EQ", "layout": "legacy", "close": price}
    rows = [
        dict.fromkeys(EQUITY.names) | same | {"symbol": f"S{number}", "volume": number, "turnover": price * number}
        for number in range(count)
    ]
    return pl.DataFrame(rows, schema=EQUITY.types)


def held(place: Address) -> dict[date, tuple[Any, ...]]:
    """Of each day: rows, keys, and sums that no two loads have alike."""
    found = query(
        place,
        f"SELECT trade_date, count(), uniqExact(symbol, series), sum(volume), sum(toInt64(turnover)), "
        f"sum(cityHash64(symbol, close)) FROM `{place.database}`.{EQUITY.view} GROUP BY trade_date",
    )
    return {day: tuple(sums) for day, *sums in found}


def load_together(table: Warehouse, count: int, price: float) -> dict[date, Loaded | BaseException]:
    """Load three days in one insert; what came of each."""
    days = DAYS[:3]
    try:
        return {**table.load_days(EQUITY, {day: prices(day, count, price) for day in days})}
    except ChampionError as error:
        return dict.fromkeys(days, error)


WHEN = {
    "before request": "before a request is passed on",
    "in request": "in the middle of a request's body",
    "after request": "after a request, while the server works on it",
    "lost answer": "after the server has done its work, before its answer",
    "in answer": "in the middle of an answer",
}
HOW = {"reset": "a proxy resets the connection (RST)", "close": "a proxy closes the connection (FIN)"}
SPECIAL = {
    "truncated": "an answer is shorter than its Content-Length",
    "empty": "the answer to the insert or to its check has its head and no body",
    "bad gateway": "a proxy answers 502 in the server's place",
    "html": "a proxy answers a page of its own with status 200",
    "request twice": "a proxy sends the server a request twice",
    "answer twice": "an answer comes twice",
}
STAGES = {"insert": "the insert", "known": "the question before it", "check": "the check after it"}
# The most telling ones first: every run has those.
TELLING = [
    Fault("lost answer", "reset", on="insert"),
    Fault("in answer", "close", on="check"),
    Fault("request twice", on="insert"),
    Fault("in request", "reset", on="insert"),
    Fault("in answer", "reset", on="known", cut=lambda answer: answer.index(b"\r\n") + 40),
    Fault("answer twice", on="check"),
]
SINGLE = [
    *TELLING,
    *(Fault(moment, deed, on=on) for on in STAGES for moment in WHEN for deed in HOW),  # type: ignore[arg-type]
    *(Fault(special, on=on) for on in STAGES for special in SPECIAL),  # type: ignore[arg-type]
]
# A proxy that takes the rows out of a whole answer: no head of it tells.
SINGLE = [fault for fault in SINGLE if (fault.moment, fault.on) != ("empty", "known")]


def told(fault: Fault) -> str:
    if fault.moment in SPECIAL:
        return SPECIAL[fault.moment]
    return f"{HOW[fault.deed]} {WHEN[fault.moment]}"


@pytest.mark.parametrize("number", campaign.rounds(fast=len(TELLING), full=len(SINGLE)))
def test_a_fault_of_the_network_leaves_each_day_as_it_was_or_as_it_is_to_be(
    number: int, market: Address, proxy: FaultProxy
) -> None:
    """Three corrected days in one insert: what fails can be done again, and then all is exact."""
    fault = SINGLE[number]
    with contextlib.closing(open_warehouse(through(proxy, market))) as table:
        assert all(isinstance(each, Loaded) for each in load_together(table, 100, 1.0).values())
        before = held(market)
        proxy.faults.append(fault)
        outcomes = load_together(table, 90, 2.0)
        assert proxy.done == [fault], f"{fault} did not come to pass"
        after_fault = held(market)
        # As a task does: three attempts. What comes twice can meet the next request on its connection.
        for _ in range(3):
            errors = [each for each in load_together(table, 90, 2.0).values() if not isinstance(each, Loaded)]
            assert all(isinstance(each, WarehouseUnreachable) for each in errors), errors
            if not errors:
                break
        assert errors == []
    after = held(market)
    assert {day: sums[:2] for day, sums in after.items()} == dict.fromkeys(DAYS[:3], (90, 90))
    for day, outcome in outcomes.items():
        assert after_fault[day] in (before[day], after[day]), f"{day} was half seen after {fault}"
        if isinstance(outcome, Loaded):
            assert after_fault[day] == after[day], f"{day} was taken for loaded after {fault}"
        else:
            assert f"{market.host}:{proxy.port}, database {market.database}" in str(outcome)
            assert "Check CLICKHOUSE_HOST" in str(outcome) or "Run the day again" in str(outcome)
            assert_no_secret(str(outcome), repr(outcome))
    campaign.tell(
        AREA,
        f"{told(fault)}, in a load of three corrected days that share an insert",
        "each day is seen as it was before or as corrected, never mixed; a load again is exact in rows, keys and sums",
    )


def at(length: int) -> Callable[[bytes], int]:
    return lambda _content: length


def test_a_connection_that_breaks_anywhere_in_an_answer_is_no_answer(market: Address, proxy: FaultProxy) -> None:
    """Wherever the question for what is there is cut off, no row of it is forgotten: none of them stays for readers."""
    with contextlib.closing(open_warehouse(through(proxy, market))) as table:
        table.load(EQUITY, DAY, prices(DAY, 40, 1.0))
        known = query(market, f"SELECT count() FROM `{market.database}`.{EQUITY.table}")
        assert known == [(40,)]
        lengths = range(20, 900, 20) if campaign.IS_WHOLE else range(60, 600, 120)
        for place, length in enumerate(lengths):
            proxy.faults.append(Fault("in answer", "close", on="known", cut=at(length)))
            count = 39 - place % 20
            with contextlib.suppress(WarehouseUnreachable):
                table.load(EQUITY, DAY, prices(DAY, count, 2.0))
            rows, keys, *_ = held(market)[DAY]
            assert rows == keys
            with contextlib.closing(open_warehouse(market)) as direct:
                [total] = direct.query(f"SELECT count(), uniqExact(close) FROM `{market.database}`.{EQUITY.view}")
                assert total[1] == 1, f"rows of two loads are seen after a cut at byte {length}"
                direct.load(EQUITY, DAY, prices(DAY, 40, 1.0))
    campaign.tell(
        AREA,
        "the answer to what is there already is cut off at one byte after the other, its head included (FIN)",
        "nothing is taken for the whole answer: no row that the corrected day no longer has stays visible",
        count=len(lengths),
    )


def test_an_insert_that_arrives_again_after_a_correction_changes_nothing(market: Address, proxy: FaultProxy) -> None:
    """As a proxy may do that repeats what it got no answer to."""
    with contextlib.closing(open_warehouse(through(proxy, market))) as table:
        proxy.faults.append(Fault("request again later", on="insert"))
        load_together(table, 100, 1.0)
        load_together(table, 90, 2.0)
        corrected = held(market)
        assert proxy.send_later_ones() == 1
        assert held(market) == corrected
        assert {day: sums[:2] for day, sums in corrected.items()} == dict.fromkeys(DAYS[:3], (90, 90))
    campaign.tell(
        AREA,
        "an insert arrives a second time, after a corrected file with fewer rows was loaded",
        "readers see the corrected days, unchanged",
    )


def test_an_insert_that_arrives_only_after_a_correction_is_found_and_mended(market: Address, proxy: FaultProxy) -> None:
    """Nothing can know of rows that are on their way: what verify compares shows them, a load again removes them."""
    with contextlib.closing(open_warehouse(through(proxy, market))) as table:
        proxy.faults += [Fault("request later", on="insert")] * 2
        with pytest.raises(WarehouseUnreachable):
            table.load(EQUITY, DAY, prices(DAY, 100, 1.0))
        table.load(EQUITY, DAY, prices(DAY, 90, 2.0))
        corrected = held(market)
        assert proxy.send_later_ones() == 2
        assert table.held(EQUITY, DAY, DAYS[1])[DAY].rows == 100
        assert table.load(EQUITY, DAY, prices(DAY, 90, 2.0)).removed == 10
        assert held(market) == corrected
    campaign.tell(
        AREA,
        "an insert that was given up arrives after all, once a corrected file with fewer rows is loaded",
        "the rows that `champion verify` compares differ from the lake's; the day loaded again is exact",
    )


def test_an_insert_that_still_runs_when_it_is_sent_again_can_be_retried(market: Address, proxy: FaultProxy) -> None:
    """The driver sends it again under the same name, which the server refuses as long as the first one hangs."""
    with contextlib.closing(open_warehouse(through(proxy, market))) as table:
        load_together(table, 3000, 1.0)  # more than the server reads before it begins
        proxy.faults.append(Fault("in request", "abandon", on="insert"))
        for error in load_together(table, 2990, 2.0).values():
            assert isinstance(error, WarehouseUnreachable), error
            assert "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING" in str(error)
            assert is_transient(error)
        load_together(table, 2990, 2.0)
        assert {day: sums[:2] for day, sums in held(market).items()} == dict.fromkeys(DAYS[:3], (2990, 2990))
    campaign.tell(
        AREA,
        "the connection is lost in the middle of an insert, and the server goes on waiting for the rest of it",
        "a sentence that another attempt helps; the attempt is exact",
    )


@pytest.mark.parametrize("seconds", [0.3, 60] if campaign.IS_WHOLE else [0.3])
@pytest.mark.parametrize("moment", ["before request", "lost answer"])
def test_a_slow_network_is_waited_for_or_given_up(
    market: Address, proxy: FaultProxy, seconds: float, moment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than the time limit is no fault; more ends the attempt, and the next one loads the day."""
    monkeypatch.setenv("CLICKHOUSE_QUERY_SECONDS", "1")
    is_short = seconds < 11  # the driver waits ten seconds more than a statement may take
    proxy.faults.append(Fault(moment, "delay", on="insert", seconds=seconds))
    built = build(LoadClickHouse(date=DAY))
    assert built.is_done
    assert len(built.retries) == (0 if is_short else 1)
    if not is_short:
        assert "ClickHouse did not answer" in built.retries[0]
    assert_as_published(market, DAY)
    what = "the request" if moment == "before request" else "the answer"
    campaign.tell(
        AREA,
        f"{what} of an insert is delayed by {'less' if is_short else 'more'} than the time limit",
        "the day is complete at the first attempt" if is_short else "the next attempt completes the day, as published",
    )


# Random ones for fills


@subjects.rounds(fast=3, full=160, others=(1, 20))
def test_a_fill_over_a_bad_network_is_exact_after_a_clean_rerun(
    subject: Subject, seed: int, market: Address, proxy: FaultProxy
) -> None:
    """Five days, up to eight random faults: nothing is half seen or taken for loaded, and a rerun completes all."""
    chance = random.Random(seed)
    moments: list[Any] = [*WHEN, *SPECIAL]
    deeds: list[Any] = [*HOW, "delay"]
    stages: list[Any] = [*STAGES, "other", "any"]
    script = [
        Fault(chance.choice(moments), chance.choice(deeds), on=chance.choice(stages), seconds=chance.uniform(0, 0.3))
        for _ in range(chance.randint(1, 8))
    ]
    workers = chance.choice([1, 3, 8])
    about = f"seed {seed}: {workers} workers, {', '.join(map(str, script))}"
    proxy.faults += script
    first = fill(DAYS, workers, subject)
    told_of = len(proxy.done)
    proxy.faults.clear()
    there = seen(market, subject)
    for day, rows in there.items():
        assert rows == subject.published(day), f"{day} is half there; {about}"
    assert set(markers(subject)) <= set(there), about
    assert first.done == len(markers(subject)), about
    assert_no_secret(*first.failed.values())
    again = fill(DAYS, workers, subject)
    assert (again.done, again.failed) == (len(DAYS) - first.done, {}) or not again.due, about
    loaded = {day: document["rows"] for day, document in markers(subject).items()}
    assert loaded == {day: subject.count(day) for day in DAYS}, about
    assert_as_published(market, *DAYS, subject=subject)
    campaign.tell(
        AREA,
        "random faults of the network (RST, FIN, delays, cut, empty, doubled and foreign answers, doubled requests) in "
        "fills of five days by 1, 3 or 8 workers" + subject.words,
        "no day is half there or wrongly marked as loaded; after a clean rerun every row is as published",
        count=told_of,
    )


# A server that dies


@pytest.mark.parametrize(
    ("moment", "end", "refusals"),
    [
        ("after request", "kill", 1),
        *(
            (
                (moment, end, refusals)
                for moment in ("before request", "in request", "after request", "lost answer", "in answer")
                for end in ("kill", "stop")
                for refusals in (1, 3)
            )
            if campaign.IS_WHOLE
            else ()
        ),
    ],
)
def test_a_server_that_dies_amid_a_load_and_comes_back_is_loaded_by_the_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: Any, end: str, refusals: int
) -> None:
    """The same command goes on once it is back, up to its third attempt."""
    refused = itertools.count(1)
    with ClickHouseServer(tmp_path / "server", password=PASSWORD) as server, FaultProxy(server.port) as proxy:
        place = Address(server.host, server.port, server.user, server.password)
        configure(monkeypatch, place)
        monkeypatch.setenv("CLICKHOUSE_PORT", str(proxy.port))

        def come_back() -> None:
            if next(refused) == refusals:
                server.start()

        proxy.on_refused = come_back
        proxy.faults.append(Fault(moment, "reset", on="insert", call=getattr(server, end)))
        run = run_champion("fill", "--start", str(DAYS[0]), "--stop", "2024-01-18", "--workers", "1")
        assert run.returncode == 0, run.stderr
        assert len(proxy.done) == 1
        assert next(refused) > refusals
        assert_as_published(place, *DAYS[:3])
        retries = [each["facts"].get("retries") for each in journal.read(tmp_path / "journal") if each.get("facts")]
        assert [each for each in retries if each], "no attempt has failed"
    assert "Traceback" not in run.stderr
    ended = "killed (SIGKILL)" if end == "kill" else "stopped"
    campaign.tell(
        AREA,
        f"the server is {ended} amid a load, and is back some attempts later",
        "the retries of the same fill carry it over: exit code 0, every row as published",
    )


def test_a_server_that_stays_away_fails_the_days_in_sentences_and_a_later_fill_loads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each day has its reason; nothing that was acknowledged is lost."""
    with ClickHouseServer(tmp_path / "server", password=PASSWORD) as server, FaultProxy(server.port) as proxy:
        place = Address(server.host, server.port, server.user, server.password)
        configure(monkeypatch, place)
        monkeypatch.setenv("CLICKHOUSE_PORT", str(proxy.port))
        assert fill(DAYS[:2], 1).done == 2
        proxy.faults.append(Fault("in request", "reset", on="insert", call=server.kill))
        broken = fill(DAYS[:4], 3)
        assert sorted(broken.failed) == DAYS[2:4]
        for reason in broken.failed.values():
            assert "WarehouseUnreachable" in reason
            assert f"127.0.0.1:{proxy.port}, database {place.database}" in reason
        assert_no_secret(*broken.failed.values())
        server.start()
        assert_as_published(place, *DAYS[:2])
        assert fill(DAYS, 3).failed == {}
        assert_as_published(place, *DAYS)
    campaign.tell(
        AREA,
        "the server is killed (SIGKILL) amid a load, and stays away",
        "the days that are not loaded fail, with host, database and what to check; a later fill completes them",
    )


# Not the server, the user or the address that it should be


def echo(handler: BaseHTTPRequestHandler) -> None:
    """An answer that says what was asked, as debugging servers do, with all its headers."""
    content = f"<html>{handler.headers}</html>".encode()
    handler.send_response(404)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def page(handler: BaseHTTPRequestHandler) -> None:
    """A page with status 200, as a sign-in page of a network."""
    content = b"<html><h1>Sign in</h1></html>"
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@contextlib.contextmanager
def web_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[dict[str, str]]:
    with answering(answer) as running:
        yield {"CLICKHOUSE_PORT": running.url.rpartition(":")[2]}


@contextlib.contextmanager
def broken_gateway(server: ClickHouseServer) -> Iterator[dict[str, str]]:
    with FaultProxy(server.port) as proxy:
        proxy.faults += [Fault("bad gateway")] * 10
        yield {"CLICKHOUSE_PORT": str(proxy.port)}


@contextlib.contextmanager
def tls_server(server: ClickHouseServer, folder: Path, **environment: str) -> Iterator[dict[str, str]]:
    """The server as one that speaks TLS, with a certificate of its own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    with FaultProxy(server.port, tls=context) as proxy:
        yield {"CLICKHOUSE_PORT": str(proxy.port), **environment}


def certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody has signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def free_port() -> str:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@dataclass(frozen=True)
class Trouble:
    """A warehouse that cannot be loaded: settings, or what gives them, and what the error has to say."""

    what: str
    settings: Mapping[str, str] | Callable[[ClickHouseServer, Path], AbstractContextManager[Mapping[str, str]]]
    error: type[ChampionError]
    words: tuple[str, ...]
    attempts: int = 1


ADDRESS = ("Check CLICKHOUSE_HOST, CLICKHOUSE_PORT",)
TROUBLES = {
    "password": Trouble(
        "a wrong password", {"CLICKHOUSE_PASSWORD": "wrong-word"}, WarehouseError, ("Check CLICKHOUSE_USER and",)
    ),
    "port": Trouble(
        "CLICKHOUSE_PORT=eight",
        {"CLICKHOUSE_PORT": "eight"},
        SettingsError,
        ("CLICKHOUSE_PORT cannot be used", "eight"),
    ),
    "html": Trouble(
        "a web server in ClickHouse's place, which answers a page with status 200",
        lambda _server, _folder: web_server(page),
        WarehouseUnreachable,
        ("Sign in", *ADDRESS),
        3,
    ),
    "rights": Trouble(
        "a database that is not there, and a user who may not create one",
        {"CLICKHOUSE_USER": LOADER.name},
        WarehouseError,
        ("Not enough privileges", "Grant the user SELECT, INSERT and, for the first use, CREATE"),
    ),
    "reader": Trouble(
        "a load by a user whose profile has readonly=1",
        {"CLICKHOUSE_USER": READER.name},
        WarehouseError,
        ("Grant the user", "readonly"),
    ),
    "hurried": Trouble(
        "a user whose profile allows a minute for a statement",
        {"CLICKHOUSE_USER": HURRIED.name},
        WarehouseError,
        ("Set CLICKHOUSE_QUERY_SECONDS to",),
    ),
    "closed": Trouble(
        "a port where nothing listens",
        lambda _server, _folder: contextlib.nullcontext({"CLICKHOUSE_PORT": free_port()}),
        WarehouseUnreachable,
        ("Connection refused", *ADDRESS),
        3,
    ),
    "unknown": Trouble(
        "a host that does not resolve",
        {"CLICKHOUSE_HOST": "no-such-host.invalid"},
        WarehouseUnreachable,
        ("no-such-host.invalid", *ADDRESS),
        3,
    ),
    "url": Trouble(
        "a URL as CLICKHOUSE_HOST",
        {"CLICKHOUSE_HOST": "http://127.0.0.1"},
        ChampionError,
        ("http://127.0.0.1", *ADDRESS),
        3,
    ),
    "99999": Trouble(
        "CLICKHOUSE_PORT=99999", {"CLICKHOUSE_PORT": "99999"}, SettingsError, ("from 1 to 65535", "99999")
    ),
    "echo": Trouble(
        "a web server in ClickHouse's place, which shows the request's headers, credentials included",
        lambda _server, _folder: web_server(echo),
        WarehouseError,
        ("the server that answers is not ClickHouse", *ADDRESS),
    ),
    "gateway": Trouble(
        "a proxy before the server that answers 502",
        lambda server, _folder: broken_gateway(server),
        WarehouseUnreachable,
        ("502", *ADDRESS),
        3,
    ),
    "tls to plain": Trouble(
        "TLS spoken to a plain port", {"CLICKHOUSE_SECURE": "true"}, WarehouseUnreachable, ("SSL", *ADDRESS), 3
    ),
    "plain to tls": Trouble(
        "plain HTTP spoken to a TLS port",
        tls_server,
        WarehouseUnreachable,
        ADDRESS,
        3,
    ),
    "certificate": Trouble(
        "a certificate that nobody has signed",
        lambda server, folder: tls_server(server, folder, CLICKHOUSE_SECURE="true"),
        WarehouseUnreachable,
        ("certificate verify failed", "CLICKHOUSE_VERIFY", *ADDRESS),
        3,
    ),
}


@contextlib.contextmanager
def troubled(
    trouble: Trouble, server: ClickHouseServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    settings = trouble.settings
    given = settings(server, folder) if callable(settings) else contextlib.nullcontext(settings)
    with monkeypatch.context() as changed, given as values:
        for name, value in values.items():
            changed.setenv(name, value)
        yield
        opened.close_shared()


@pytest.mark.parametrize("name", some(TROUBLES, 6))
def test_a_warehouse_that_cannot_be_loaded_is_told_in_a_sentence_without_the_password(
    name: str, server: ClickHouseServer, market: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong, where, and what to do; the journal has it too, and with the right settings the day is loaded."""
    trouble = TROUBLES[name]
    with troubled(trouble, server, tmp_path, monkeypatch):
        built = build(LoadClickHouse(date=DAY))
        error = built.error
        assert isinstance(error, trouble.error)
        for words in trouble.words:
            assert words in str(error)
        if not isinstance(error, SettingsError):
            host, port = os.environ["CLICKHOUSE_HOST"], os.environ["CLICKHOUSE_PORT"]
            assert f"{host}:{port}, database {market.database}" in str(error)
        assert len(built.retries) == trouble.attempts - 1
    told_of = [each["error"] for each in journal.read(tmp_path / "journal") if "error" in each]
    assert any(trouble.words[0] in each for each in told_of), told_of
    assert markers() == {}
    assert_no_secret(str(error), repr(error), *built.messages, "".join(traceback.format_exception(error)))
    assert "wrong-word" not in "".join([str(error), *told_of])
    assert build(LoadClickHouse(date=DAY)).is_done
    assert_as_published(market, DAY)
    campaign.tell(
        AREA,
        trouble.what,
        f"a sentence ({type(error).__name__}) with what to check, without the password, in the log and the journal; "
        "set right, the day is loaded as published",
    )


@pytest.mark.parametrize(
    ("program", "name"),
    list(itertools.product(["champion", "luigi"], TROUBLES)) if campaign.IS_WHOLE else [("luigi", "password")],
)
@pytest.mark.usefixtures("market")
def test_the_commands_tell_such_a_warehouse_without_a_traceback(
    name: str, program: str, server: ClickHouseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is that of a failure, and the sentence is in what they say."""
    trouble = TROUBLES[name]
    with troubled(trouble, server, tmp_path, monkeypatch):
        if program == "champion":
            run = run_champion("fill", "--start", str(DAYS[0]), "--stop", str(DAYS[2]))
        else:
            run = run_luigi("LoadClickHouse", "--date", str(DAY))
    assert run.returncode in (30, 35, 40), run.stderr
    said = run.stdout + run.stderr
    for words in trouble.words:
        assert words in said
    assert "Traceback" not in said
    assert_no_secret(said)
    assert "wrong-word" not in said
    assert markers() == {}
    campaign.tell(
        AREA,
        "`champion fill` and `luigi` with a wrong password, port, host, user or server, as above",
        "the exit code of a failure, and the sentence without a traceback or the password",
    )


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_behind_tls_is_loaded_where_its_certificate_is_not_to_be_checked(
    server: ClickHouseServer, market: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLICKHOUSE_SECURE=true and CLICKHOUSE_VERIFY=false."""
    with tls_server(server, tmp_path, CLICKHOUSE_SECURE="true", CLICKHOUSE_VERIFY="false") as values:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        assert fill(DAYS[:2], 3).done == 2
    assert_as_published(market, *DAYS[:2])
    campaign.tell(
        AREA, "a server behind TLS, its certificate unchecked as CLICKHOUSE_VERIFY=false says", "days as published"
    )


def test_a_user_who_may_only_read_can_use_the_commands_that_only_read(
    market: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the server lets such a user change no setting; a day that differs is found, and nothing is changed."""
    assert fill(DAYS[:2], 3).done == 2
    monkeypatch.setenv("CLICKHOUSE_USER", READER.name)
    verified = CliRunner().invoke(main, ["verify"])
    assert verified.exit_code == 0, verified.output
    assert "Everything agrees." in verified.output
    status = CliRunner().invoke(main, ["status", "--start", str(DAYS[0]), "--end", str(DAYS[1])])
    assert "2 of 2 sessions loaded" in status.output
    report = CliRunner().invoke(main, ["report", "--output", str(tmp_path / "report.html")])
    assert report.exit_code == 0, report.output
    counted = CliRunner().invoke(main, ["sql", "SELECT count() FROM equity_ohlc", "--format", "csv"])
    assert counted.output.splitlines()[-1] == str(sum(len(SHARES.published(day)) for day in DAYS[:2]))
    refused = CliRunner().invoke(main, ["sql", f"DROP TABLE {EQUITY.table}", "--write"])
    assert refused.exit_code == 40, refused.output
    command(
        market,
        f"ALTER TABLE `{market.database}`.{EQUITY.table} DELETE WHERE trade_date = '{DAY}' SETTINGS mutations_sync=1",
    )
    differing = CliRunner().invoke(main, ["verify"])
    assert differing.exit_code == 30, differing.output
    assert_no_secret(verified.output, status.output, counted.output, refused.output, differing.output)
    assert_as_published(market, DAYS[1])
    campaign.tell(
        AREA,
        "a user whose profile has readonly=1, who may change no setting",
        "`champion verify`, `status`, `report` and `sql` work as for any other user; nothing can be changed",
    )


# A server without room, and tables that are not as they should be


def test_too_many_parts_are_waited_out(market: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table takes no more until it has merged: each attempt says so, and later all goes on."""
    assert fill(DAYS[:2], 1).done == 2
    table = f"`{market.database}`.{EQUITY.table}"
    command(
        market,
        f"SYSTEM STOP MERGES {table}",
        f"ALTER TABLE {table} MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 2",
    )
    built = build(LoadClickHouse(date=DAYS[2]))
    assert isinstance(built.error, WarehouseUnreachable)
    assert "Too many parts" in str(built.error)
    assert f"database {market.database}" in str(built.error)
    assert len(built.retries) == 2
    opened.close_shared()
    assert_as_published(market, *DAYS[:2])
    command(market, f"SYSTEM START MERGES {table}", f"OPTIMIZE TABLE {table} FINAL")
    command(market, f"ALTER TABLE {table} RESET SETTING parts_to_delay_insert, parts_to_throw_insert")
    assert fill(DAYS, 3).failed == {}
    assert_as_published(market, *DAYS)
    campaign.tell(
        AREA,
        "the table has too many parts (merges stopped, parts_to_throw_insert lowered)",
        "three attempts, and a sentence that says so; once it has merged the days are loaded as published",
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "champion-tests", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_of_the_server_is_told_and_loads_go_on_once_there_is_room(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was loaded before stays as it is, and no half of a day is seen."""
    with ClickHouseServer(small_disk / "server", password=PASSWORD) as server:
        place = Address(server.host, server.port, server.user, server.password)
        configure(monkeypatch, place)
        assert fill(DAYS[:2], 1).done == 2
        ballast = small_disk / "ballast"
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(free - 16 * 1024))
        full = fill(DAYS, 3)
        assert sorted(full.failed) == DAYS[2:], full
        for reason in full.failed.values():
            assert "Check the warehouse's disk." in reason
            assert place.words in reason
        assert_no_secret(*full.failed.values())
        ballast.unlink()
        assert_as_published(place, *DAYS[:2])
        assert fill(DAYS, 3).failed == {}
        assert_as_published(place, *DAYS)
    campaign.tell(
        AREA,
        "the server's disk is full (a file system of 64 MiB)",
        "the days fail with host, database and `Check the warehouse's disk.`; what was loaded stays whole, and with "
        "room again a fill completes the rest",
    )


OLDER = {
    "a column missing": ("DROP COLUMN lot_size", ("lot_size Nullable(Int64)", "lot_size missing")),
    "a column of another type": ("MODIFY COLUMN volume Int32", ("volume Int64", "volume Int32")),
    "a column more": ("ADD COLUMN remarks String", ("no further columns", "remarks String")),
}


@pytest.mark.parametrize("what", some(OLDER, 1))
def test_a_table_of_another_version_is_named_and_a_new_one_gets_every_day(
    what: str, market: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written into it. Once it is renamed, as the error says, a fill makes a table with all days."""
    assert fill(DAYS[:2], 3).done == 2
    before = query(market, f"SELECT count() FROM `{market.database}`.{EQUITY.table}")
    change, words = OLDER[what]
    table = f"`{market.database}`.{EQUITY.table}"
    command(market, f"ALTER TABLE {table} {change}")
    built = build(LoadClickHouse(date=DAYS[2]))
    assert isinstance(built.error, WarehouseError)
    assert market.words in str(built.error)
    assert "rename it and load again" in str(built.error)
    for each in words:
        assert each in str(built.error)
    command(market, f"RENAME TABLE {table} TO `{market.database}`.older")
    assert fill(DAYS, 3).failed == {}
    assert_as_published(market, *DAYS)
    assert query(market, f"SELECT count() FROM `{market.database}`.older") == before
    campaign.tell(
        AREA,
        f"the table of an older version: {what}",
        "the column is named, expected and found, and nothing is written; once it is renamed, a fill makes the table "
        "anew with every day",
    )


VIEWS = {
    "without a column": ("SELECT * EXCEPT (version, is_deleted, lot_size) FROM {table} FINAL", "lot_size missing"),
    "that shows every version of a row": (
        "SELECT * EXCEPT (version, is_deleted) FROM {table}",
        "does not hold the rows that were sent",
    ),
    "that leaves rows out": (
        "SELECT * EXCEPT (version, is_deleted) FROM {table} FINAL WHERE series = 'XX'",
        "does not hold the rows that were sent",
    ),
}


@pytest.mark.parametrize("what", some(VIEWS, 2))
def test_another_view_is_named_and_no_day_counts_as_loaded_that_it_does_not_show(what: str, market: Address) -> None:
    """Dropped, as the error says, it is made anew, and readers see every day."""
    assert fill(DAYS[:2], 3).done == 2
    select, words = VIEWS[what]
    view = f"`{market.database}`.{EQUITY.view}"
    command(
        market,
        f"DROP VIEW {view}",
        f"CREATE VIEW {view} AS " + select.format(table=f"`{market.database}`.{EQUITY.table}"),
        f"SYSTEM STOP MERGES `{market.database}`.{EQUITY.table}",
    )
    # The first of them is loaded again.
    due.ask(wiring.files(EQUITY).due, DAY, [LoadClickHouse.stage])
    built = build(LoadClickHouse(date=DAY))
    assert isinstance(built.error, WarehouseError)
    for each in (words, "rop", EQUITY.view, market.words):
        assert each in str(built.error)
    assert complete.loaded_rows(EQUITY, DAY, DAYS[2]).keys() <= {DAYS[1]}
    opened.close_shared()
    command(market, f"DROP VIEW {view}")
    assert fill(DAYS, 3).failed == {}
    assert_as_published(market, *DAYS)
    campaign.tell(
        AREA,
        f"another view in the place of ours: one {what}",
        "the load fails and says what differs; the view dropped, a fill makes it anew, and every day is as published",
    )


def test_a_view_that_is_gone_is_made_anew(market: Address) -> None:
    """By the next load; the table stays as it is."""
    assert fill(DAYS[:2], 3).done == 2
    command(market, f"DROP VIEW `{market.database}`.{EQUITY.view}")
    assert fill(DAYS, 3).done == 3
    assert_as_published(market, *DAYS)
    campaign.tell(AREA, "the view is dropped", "the next load makes it anew; every day is as published")


def test_a_user_who_may_not_change_a_table_is_told_who_must_run_what(market: Address) -> None:
    """A table of an older version lacks columns: the statements are in the error; once they have run, it loads."""
    columns = (*EQUITY.columns, Column("delivered", COUNT, "shares", "a later column"))
    grown = dataclasses.replace(EQUITY, version=2, columns=columns)
    with contextlib.closing(open_warehouse(market)) as table:
        table.load(EQUITY, DAY, prices(DAY, 10, 1.0))
    rows = prices(DAYS[1], 10, 1.0).with_columns(delivered=None).cast(grown.types)  # type: ignore[arg-type]
    with contextlib.closing(open_warehouse(dataclasses.replace(market, user=LOADER.name))) as table:
        with pytest.raises(WarehouseError) as caught:
            table.load(grown, DAYS[1], rows)
        assert caught.value.todo is not None
        statements = (
            caught.value.todo.removeprefix("Let a user with that right run: ").partition(". Then")[0].split("; ")
        )
        assert [each.split()[0] for each in statements] == ["ALTER", "CREATE"]
        assert_no_secret(str(caught.value))
        # Readers go on meanwhile, of whichever version.
        assert table.rows_by_day(grown) == [(DAY, 10)]
        command(market, *statements)
        assert table.load(grown, DAYS[1], rows).rows == 10
        view = f"`{market.database}`.{EQUITY.view}"
        assert table.query(f"SELECT count(), count(delivered) FROM {view}") == [(20, 0)]
    campaign.tell(
        AREA,
        "a later column, and a user who may not change the table",
        "the load names the statements for somebody who may; readers go on; the same load then goes through",
    )


def test_a_user_who_may_only_read_makes_no_table(market: Address) -> None:
    """A data set that was never loaded holds nothing: that is no error for those who compare."""
    command(market, f"CREATE DATABASE `{market.database}`")
    with contextlib.closing(open_warehouse(dataclasses.replace(market, user=READER.name))) as table:
        assert table.rows_by_day(EQUITY) == []
        assert table.held(EQUITY, DAY, DAYS[1]) == {}
