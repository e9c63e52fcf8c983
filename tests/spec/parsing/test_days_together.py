"""Days parsed and normalized together: the same tables, rejects and counts as day by day, and the same lake files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from helpers import SHARED, lines_of, payload

from champion_luigi.datasets.catalog import DATASETS
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.model import CORRECTED, Dataset
from champion_luigi.exchange import sessions
from champion_luigi.parsing import lines, normalize
from champion_luigi.parsing.normalize import Parsed
from champion_luigi.parsing.payload import Recognised, recognise
from champion_luigi.simulated import exchange
from champion_luigi.storage import lake, tables

# The sessions around the change of formats, of legacy and udiff.
DAYS = [date(2024, 7, day) for day in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)]
ROWS = 60
ARCHIVE = SHARED / "archive"


def read(day: date, *changes: tuple[str, str], blank: bool = False) -> Recognised:
    """A simulated day's first rows, with texts replaced, and an empty line in between."""
    source = "legacy" if day < date(2024, 7, 8) else "udiff"
    header, *rows = lines_of(payload(day, source))[: ROWS + 1]
    if blank:
        rows.insert(5, "")
    text = "\n".join([header, *rows, ""])
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return recognise(text.encode(), EQUITY, day, format=source)


def field(day: date, name: str, row: int = 3) -> tuple[str, str]:
    """A row of `read`, and the row with another value."""
    found = read(day)
    fields = found.lines[row].split(",")
    fields[found.header.index(name)] = "x"
    return found.lines[row], ",".join(fields)


def assert_alike(payloads: Sequence[Recognised], dataset: Dataset = EQUITY) -> None:
    """Together as one by one: rejects, counts and warnings, and all tables, byte for byte."""
    alone = [lines.parse(each) for each in payloads]
    together = lines.parse_all(payloads)
    for one, other in zip(alone, together, strict=True):
        assert one.schema == other.schema
        assert tables.table_bytes(one, {}) == tables.table_bytes(other, {})
    days = [Parsed(table, each.layout.source, each.day) for table, each in zip(together, payloads, strict=True)]
    results = normalize.normalize_all(days, dataset)
    for table, each, result in zip(alone, payloads, results, strict=True):
        expected = normalize.normalize(table, dataset, each.layout.source, each.day)
        assert (result.rejects, list(result.warnings.items())) == (expected.rejects, list(expected.warnings.items()))
        assert (result.skipped, result.further) == (expected.skipped, expected.further)
        assert tables.table_bytes(result.rows, {}) == tables.table_bytes(expected.rows, {})
        contents = [lake.parquet_bytes(lake.sorted_by_key(rows, dataset), {}) for rows in (result.rows, expected.rows)]
        assert contents[0] == contents[1], each.day


def test_days_of_two_formats() -> None:
    """Each format has a query of its own."""
    assert_alike([read(day) for day in DAYS])


def test_plain_days_share_their_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is looked at by itself."""
    monkeypatch.delattr(normalize, "normalize")
    found = lines.parse_all(payloads := [read(day) for day in DAYS[:5]])
    days = [Parsed(table, "legacy", each.day) for table, each in zip(found, payloads, strict=True)]
    assert [each.rows.height for each in normalize.normalize_all(days, EQUITY)] == [ROWS] * 5


def test_one_day_and_none() -> None:
    """As the smallest groups."""
    assert_alike([read(DAYS[0])])
    assert_alike([])


def test_a_day_with_quotes_among_others() -> None:
    """The csv module reads its quoted lines."""
    line = read(DAYS[1]).lines[0]
    assert_alike(
        [read(DAYS[0]), read(DAYS[1], (line, f'"{line.split(",")[0]}",' + line.split(",", 1)[1])), read(DAYS[2])]
    )


def test_a_day_with_an_empty_line_among_others() -> None:
    """Its rejects name the lines of the file."""
    assert_alike([read(DAYS[0]), read(DAYS[1], field(DAYS[1], "CLOSE", 9), blank=True), read(DAYS[2])])


@pytest.mark.parametrize("column", ["SYMBOL", "CLOSE", "TIMESTAMP", "ISIN"])
def test_a_day_with_a_bad_value_among_others(column: str) -> None:
    """A reject of the one, a warning of the other; a symbol can be any text."""
    assert_alike([read(DAYS[0]), read(DAYS[1], field(DAYS[1], column)), read(DAYS[2])])


def test_a_day_with_a_row_twice_among_others() -> None:
    """The same key on two days is no duplicate; on one day it is."""
    first, second = read(DAYS[1]).lines[:2]
    assert_alike([read(DAYS[0]), read(DAYS[1], (second, first)), read(DAYS[2])])


def test_a_day_with_too_many_fields_among_others() -> None:
    """The whole line is in the reject."""
    line = read(DAYS[1]).lines[7]
    assert_alike([read(DAYS[0]), read(DAYS[1], (line, line + "1,2,3")), read(DAYS[2])])


def test_rows_of_the_day_before_among_others() -> None:
    """A row of another day of the group is still of another day."""
    assert_alike([read(DAYS[0]), read(DAYS[1], (read(DAYS[1]).lines[4], read(DAYS[0]).lines[4])), read(DAYS[2])])


@pytest.mark.parametrize("name", ["BizDt", "FinInstrmTp"])
def test_a_day_with_an_unusual_value_among_others(name: str) -> None:
    """Counted with its day."""
    days = DAYS[5:8]
    payloads = [read(days[0]), read(days[1], field(days[1], name)), read(days[2])]
    assert_alike(payloads)
    found = normalize.normalize_all(
        [Parsed(table, "udiff", day) for table, day in zip(lines.parse_all(payloads), days, strict=True)], EQUITY
    )
    assert [sum(each.warnings.values()) for each in found] == [0, 1, 0]


@pytest.mark.parametrize("name", [name for name in DATASETS if name != EQUITY.name])
def test_every_other_data_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated days share their queries."""
    dataset, payloads = DATASETS[name], []
    for day in DAYS:
        source = dataset.sources_of(day)[0]
        if (content := exchange.payload(day, source.name, dataset)) is not None:
            payloads.append(recognise(content, dataset, day, format=source.name))
    assert payloads
    assert_alike(payloads, dataset)
    monkeypatch.delattr(normalize, "normalize")
    tables_of = zip(lines.parse_all(payloads), payloads, strict=True)
    days = [Parsed(table, each.layout.source, each.day) for table, each in tables_of]
    assert sum(each.rows.height for each in normalize.normalize_all(days, dataset)) > len(days)


def test_a_day_with_a_known_slip_goes_alone() -> None:
    """And is corrected; the days around it share their query."""
    slip = INDEX_CLOSE.corrections[0]
    days = [slip.day - timedelta(days=1), slip.day, slip.day + timedelta(days=3)]
    payloads = []
    for day in days:
        content = exchange.payload(day, slip.source, INDEX_CLOSE)
        assert content is not None
        header, *rows = content.decode().splitlines()
        fields = rows[0].split(",")
        for name, text in slip.published.items():
            fields[header.split(",").index(name)] = text
        # The slip of the one day is the right value on the others.
        content = "\n".join([header, ",".join(fields), *rows[1:], ""]).encode()
        payloads.append(recognise(content, INDEX_CLOSE, day, format=slip.source))
    assert_alike(payloads, INDEX_CLOSE)
    tables_of = zip(lines.parse_all(payloads), days, strict=True)
    found = normalize.normalize_all([Parsed(table, slip.source, day) for table, day in tables_of], INDEX_CLOSE)
    assert [each.warnings[CORRECTED] for each in found] == [0, 1, 0]


@pytest.mark.integration
@pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the published files are not beside the checkout")
@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("start", [date(1996, 3, 1), date(2012, 3, 1), date(2020, 3, 1), date(2024, 6, 20)], ids=str)
def test_published_files(name: str, start: date) -> None:
    """A fill's group of real days."""
    dataset, payloads = DATASETS[name], []
    for day in sessions.sessions(start, start.replace(month=start.month + 1)):
        for source in dataset.sources_of(day):
            file = ARCHIVE / source.path_of(day).lstrip("/")
            if file.exists():
                payloads.append(recognise(file.read_bytes(), dataset, day, file.name, format=source.name))
                break
    if not payloads:
        pytest.skip("none of these files is beside the checkout")
    assert_alike(payloads, dataset)
