"""What every data set of the catalog holds to, whatever it publishes: names, columns, paths, layouts, a writer."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import date, time, timedelta
from itertools import pairwise

import polars as pl
import pytest

from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Column, Dataset, Layout, Source
from champion_luigi.exchange import sessions
from champion_luigi.simulated.exchange import WRITERS, payload, respond
from champion_luigi.storage.paths import SHARED

DATASETS = tuple(catalog.DATASETS.values())
EACH_SOURCE = [(dataset, source) for dataset in DATASETS for source in dataset.sources]
EACH_LAYOUT = [(dataset, layout) for dataset in DATASETS for layout in dataset.layouts]
EACH_COLUMN = [(dataset, column) for dataset in DATASETS for column in dataset.columns]

each_dataset = pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
each_source = pytest.mark.parametrize(
    ("dataset", "source"), EACH_SOURCE, ids=[f"{dataset.name} {source.name}" for dataset, source in EACH_SOURCE]
)
each_layout = pytest.mark.parametrize(
    ("dataset", "layout"),
    EACH_LAYOUT,
    ids=[f"{dataset.name} {layout.source} {layout.first}" for dataset, layout in EACH_LAYOUT],
)
each_column = pytest.mark.parametrize(
    ("dataset", "column"), EACH_COLUMN, ids=[f"{dataset.name} {column.name}" for dataset, column in EACH_COLUMN]
)

# Number columns that identify, and have no unit.
IDENTIFIERS = {"instrument_id"}

# Each data set's version and its columns: name, type, whether null is possible.
COLUMNS: dict[str, tuple[int, str]] = {
    "equity": (
        1,
        "trade_date Date, symbol String, series String, isin String?, instrument_id Int64?, name String?, "
        "open Float64?, high Float64?, low Float64?, close Float64, last Float64?, prev_close Float64?, "
        "settlement Float64?, volume Int64, turnover Float64, trades Int64?, lot_size Int64?, layout String",
    ),
    "index_close": (
        2,
        "trade_date Date, index_name String, open Float64?, high Float64?, low Float64?, close Float64, "
        "change Float64?, change_percent Float64?, volume Int64?, turnover Float64?, pe Float64?, pb Float64?, "
        "dividend_yield Float64?, layout String, index String?, prev_close Float64?",
    ),
    "delivery": (
        1,
        "trade_date Date, symbol String, series String, delivered Int64?, delivered_share Float64?, "
        "average_price Float64?, volume Int64, turnover Float64?, trades Int64?, layout String",
    ),
    "corporate_actions": (
        1,
        "trade_date Date, symbol String, series String, name String?, ex_date Date?, record_date Date?, "
        "book_closure_start Date?, book_closure_end Date?, no_delivery_start Date?, no_delivery_end Date?, "
        "purpose String, number Int64, part Int64, kind String?, from_value Float64?, to_value Float64?, "
        "ratio_new Int64?, ratio_old Int64?, amount Float64?, basis String?, percent Float64?, partly_paid Bool?, "
        "factor Float64?, phrase String?, understood Bool, not_understood String?, line Int64, "
        "face_value Float64?, layout String",
    ),
    "market_cap": (
        1,
        "trade_date Date, symbol String, series String, name String?, category String?, last_trade_date Date?, "
        "face_value Float64?, issue_size Int64, close Float64, market_cap Float64, layout String",
    ),
}


def sessions_of(layout: Layout) -> tuple[date, date]:
    """The first and the last session of a layout, as far as the table of sessions goes."""
    last = min(layout.last, sessions.table_end())
    return sessions.next_after(layout.first - timedelta(days=1)), sessions.previous(last + timedelta(days=1))


def header(content: bytes, source: Source, day: date) -> tuple[str, ...]:
    """The names in the first line of a published file, or behind its preamble; a name that is empty is none."""
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            (name,) = (each for each in names if source.is_member(each, day)) if source.is_one_of_many else names
            content = archive.read(name)
    lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    names = lines[len(source.preamble.lines) if source.preamble else 0]
    return tuple(name.strip() for name in names if name.strip())


# The catalog


def test_a_data_set_is_found_by_its_name() -> None:
    """The first is the one that commands mean where none is named."""
    assert list(catalog.NAMES) == [dataset.name for dataset in DATASETS]
    assert catalog.DEFAULT == DATASETS[0].name == "equity"


@pytest.mark.parametrize("of", [lambda each: each.name, lambda each: each.stem, lambda each: each.folder])
def test_no_two_data_sets_share_a_name_a_stem_or_a_folder(of: Callable[[Dataset], str]) -> None:
    """Their files would overwrite each other's."""
    assert max(Counter(map(of, DATASETS)).values()) == 1


def test_no_two_tables_or_views_share_a_name() -> None:
    """All stand in one database."""
    names = (name for each in DATASETS for name in (each.view, each.table, *each.views))
    assert max(Counter(names).values()) == 1


@each_dataset
def test_names_can_be_those_of_files_and_tables(dataset: Dataset) -> None:
    """Lower case and underscores; a folder cannot be taken for the year that the first data set has in its place."""
    for name in (
        dataset.name,
        dataset.view,
        *dataset.views,
        dataset.stem,
        *dataset.names,
        *([dataset.folder] if dataset.folder else []),
    ):
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
    assert dataset.title


@each_dataset
def test_a_data_set_says_what_it_is_for(dataset: Dataset) -> None:
    """In words for the table of data sets, and by a query of one day for the demo."""
    assert dataset.about
    assert "{view}" in dataset.example
    assert "{day}" in dataset.example


@each_dataset
def test_a_day_is_requested_in_the_evening_and_again_later(dataset: Dataset) -> None:
    """Not before it can be published, and at last the next morning, because a file can be late."""
    evenings = [at for at in dataset.requested_at if at > time(12, 0)]
    assert list(dataset.requested_at[: len(evenings)]) == sorted(evenings)
    assert evenings[0] >= time(18, 0)
    assert evenings != list(dataset.requested_at)


# The columns


@each_dataset
def test_the_columns_of_a_version_are_these(dataset: Dataset) -> None:
    """A change of a name, a type or the order asks for a new version, as files and tables out there have the old."""
    columns = (f"{each.name} {each.kind.type}{'' if each.required else '?'}" for each in dataset.columns)
    assert (dataset.version, ", ".join(columns)) == COLUMNS[dataset.name]


@each_dataset
def test_no_column_is_there_twice(dataset: Dataset) -> None:
    """A column is found by its name."""
    assert len(set(dataset.names)) == len(dataset.columns)


@each_dataset
def test_the_trade_date_is_first_and_the_layout_last(dataset: Dataset) -> None:
    """Both are in every row; the layout is the package's own to fill in. Later columns follow, and may be null."""
    place = dataset.names.index("layout")
    assert dataset.names[0] == "trade_date"
    assert dataset.columns[place].published == ""
    later = dataset.columns[place + 1 :]
    assert not [column.name for column in later if column.required]
    assert bool(later) is (dataset.version > 1)


@each_dataset
def test_a_derived_column_is_one_that_no_file_has(dataset: Dataset) -> None:
    """Of its type, and nullable: an older file has none."""
    derived = dataset.derived(dataset.first_date)
    columns = {column.name: column for column in dataset.columns}
    for name, expression in derived.items():
        assert columns[name].published == ""
        assert not columns[name].required
        schema = pl.DataFrame(schema=dataset.types).select(expression.alias(name)).schema
        assert schema == {name: dataset.types[name]}


@each_dataset
def test_a_correction_is_of_a_file_and_columns_that_there_are(dataset: Dataset) -> None:
    """And states how the right value is known."""
    for each in dataset.corrections:
        [layout] = [
            layout for layout in dataset.layouts if layout.source == each.source and layout.is_in_force(each.day)
        ]
        assert {*each.published, *each.right} <= set(layout.fields or layout.columns)
        assert each.published.items() != each.right.items()
        assert sessions.is_session(each.day)
        assert each.basis


@each_dataset
def test_the_key_is_of_columns_that_are_never_null(dataset: Dataset) -> None:
    """A row without its key could not be told from another."""
    required = {column.name for column in dataset.columns if column.required}
    assert {"trade_date", "layout", *dataset.key} <= required
    assert dataset.key
    assert "trade_date" not in dataset.key


@each_dataset
def test_the_sums_are_of_number_columns(dataset: Dataset) -> None:
    """They compare what was loaded with what was sent."""
    assert dataset.sums
    assert set(dataset.sums) <= {column.name for column in dataset.numbers}


@each_column
def test_a_column_says_what_it_means(dataset: Dataset, column: Column) -> None:
    """A person who reads the documentation needs no other source; what is measured or counted has its unit."""
    assert column.meaning
    assert bool(column.unit) is (column.kind.type != "String" and column.name not in IDENTIFIERS)


@each_column
def test_both_types_of_a_column_agree(dataset: Dataset, column: Column) -> None:
    """ClickHouse's type holds what Polars' type holds, and nulls just where there can be some."""
    assert dataset.types[column.name] == getattr(pl, column.kind.in_polars)
    stored = column.clickhouse.partition(" CODEC")[0].removeprefix("LowCardinality(").rstrip(")")
    assert stored.removeprefix("Nullable(") == column.kind.type
    assert ("Nullable" in column.clickhouse) is not column.required


@each_column
def test_the_rules_for_numbers_are_number_columns_own(dataset: Dataset, column: Column) -> None:
    """And none contradicts another."""
    has_rules = column.signed or column.positive or column.zero_is_null or column.times != 1 or column.is_percent
    assert column.is_number or not has_rules
    assert not (column.derived and (has_rules or column.published))
    assert not (column.signed and column.positive)
    assert not (column.required and column.zero_is_null)


@each_dataset
def test_warnings_are_conditions_on_the_columns(dataset: Dataset) -> None:
    """Each is true or false of a canonical row; their names become metrics."""
    rows = pl.DataFrame(schema=dataset.types)
    for name, condition in dataset.warnings().items():
        assert re.fullmatch("[a-z_]+", name)
        assert rows.select(condition.alias(name)).schema == {name: pl.Boolean}


@each_dataset
def test_an_empty_text_is_an_absent_value(dataset: Dataset) -> None:
    """Whatever else stands for one."""
    assert "" in dataset.nulls


@each_dataset
def test_derived_columns_have_a_function_that_fills_them(dataset: Dataset) -> None:
    """Which also has the number of the line, if the data set declares it."""
    derived = {column.name for column in dataset.columns if column.derived}
    assert bool(derived) is (dataset.derive is not None)
    if dataset.derive:
        assert "line" in derived
        assert dataset.derive(pl.DataFrame(schema=dataset.types)).select(dataset.names).schema == dataset.types


# The sources and their layouts


@each_source
def test_a_path_tells_its_day(dataset: Dataset, source: Source) -> None:
    """Over the years of the source, and by the catalog as well; of a zip with many members, it has the first one."""
    first, last = source.first, min(source.last, date(2030, 12, 31))
    for day in (first, last, *(first + timedelta(days=days) for days in range(0, (last - first).days, 97))):
        path = source.path_of(day)
        assert path.startswith("/")
        assert source.day_of(path) == day
        assert (dataset, source, day) in catalog.of_path(path)


@pytest.mark.parametrize("path", ["", "/", "/robots.txt", "/content/indices/ind_close_all_31022024.csv"])
def test_a_path_that_no_data_set_has_tells_nothing(path: str) -> None:
    """Neither does one with a date that there is not."""
    assert catalog.of_path(path) == []


@pytest.mark.parametrize("day", [date(1994, 11, 3), date(2012, 10, 1), date(2024, 1, 15), date(2026, 2, 1)])
def test_only_shared_sources_have_one_path(day: date) -> None:
    """Such a file is stored once: its sources name one folder, and belong to different data sets."""
    owners: dict[str, list[tuple[str, str]]] = {}
    for dataset, source in EACH_SOURCE:
        owners.setdefault(source.path_of(day), []).append((dataset.name, source.shared))
    for found in owners.values():
        assert len({name for name, _ in found}) == len(found)
        folders = {shared for _, shared in found}
        assert len(found) == 1 or ("" not in folders and len(folders) == 1)


@pytest.mark.parametrize("day", [date(2010, 1, 4), date(2024, 1, 15), date(2026, 2, 1)])
def test_the_writers_of_a_shared_file_write_the_same(day: date) -> None:
    """It is one file, whichever data set it is requested for."""
    for path in {source.path_of(day) for _, source in EACH_SOURCE if source.shared}:
        written = {payload(found, source.name, dataset) for dataset, source, found in catalog.of_path(path)}
        assert len(written - {None}) <= 1


@each_source
def test_a_shared_folder_has_a_plain_name(dataset: Dataset, source: Source) -> None:
    """It is a level below raw/shared/ and locks/shared/."""
    assert re.fullmatch("[a-z][a-z0-9_]*", source.shared or "none")
    assert dataset.folder != SHARED


@each_source
def test_every_day_of_a_source_has_one_layout(dataset: Dataset, source: Source) -> None:
    """Layouts follow each other without a gap, from the source's first date to its last."""
    layouts = [layout for layout in dataset.layouts if layout.source == source.name]
    assert (layouts[0].first, layouts[-1].last) == (source.first, source.last)
    assert all(later.first - earlier.last == timedelta(days=1) for earlier, later in pairwise(layouts))


@each_dataset
def test_a_layout_is_of_a_source(dataset: Dataset) -> None:
    """Whose names no two sources share."""
    names = [source.name for source in dataset.sources]
    assert len(set(names)) == len(names)
    assert {layout.source for layout in dataset.layouts} == set(names)


@each_source
def test_every_published_column_is_one_of_the_sources(dataset: Dataset, source: Source) -> None:
    """And becomes one canonical column."""
    mapping = dataset.published_columns(source.name)
    layouts = [layout for layout in dataset.layouts if layout.source == source.name]
    published = {name for layout in layouts for name in layout.fields or layout.columns}
    assert set(mapping.values()) <= published
    assert len(set(mapping.values())) == len(mapping)


@each_layout
def test_a_layout_has_the_required_columns(dataset: Dataset, layout: Layout) -> None:
    """A layout without one could give no row at all; the day can also stand in the file's name or first lines."""
    source = dataset.source(layout.source)
    assert source is not None
    published = dataset.published_columns(layout.source)
    required = {column.name for column in dataset.columns if column.required and not column.derived} - {"layout"}
    if (
        source.is_one_of_many
        or source.is_saved_by_hand
        or (source.preamble and any("?P<date>" in line for line in source.preamble.lines))
    ):
        required -= {"trade_date"}
    fields = layout.fields or layout.columns
    assert {published[name] for name in required} <= set(fields)
    assert len(set(fields)) == len(fields)
    assert len(set(layout.columns)) == len(layout.columns)


@each_layout
def test_a_source_knows_rows_by_columns_of_each_layout(dataset: Dataset, layout: Layout) -> None:
    """Whose rows they are, and what is usual in them."""
    source = dataset.source(layout.source)
    assert source is not None
    known_by = {*source.own, *(name for values in source.others for name in values)}
    for total in source.totals:
        known_by |= {*total.rows, *total.of, *total.columns}
    assert known_by | {column for column, _ in source.usual.values()} <= set(layout.fields or layout.columns)
    assert bool(source.own) >= bool(source.others)


@each_source
def test_a_file_among_many_has_names_that_no_other_day_has(dataset: Dataset, source: Source) -> None:
    """Rows without a date are those of the day that the name states."""
    day, other = source.first, source.first + timedelta(days=1)
    assert all(source.is_member(name, day) and source.is_member(name.upper(), day) for name in source.members_of(day))
    assert not any(source.is_member(name, other) for name in source.members_of(day))
    assert all(source.is_others_member(name, other) for name in source.members_of(day))
    assert bool(source.members) >= source.is_one_of_many


@each_dataset
def test_a_partial_source_is_tried_last(dataset: Dataset) -> None:
    """The day has all its values if any source has them."""
    for day in (dataset.first_date, date(2024, 5, 2), date(2024, 7, 8), date(2026, 2, 2)):
        partial = [source.partial for source in dataset.sources_of(day)]
        assert partial == sorted(partial)


# The simulated exchange


def test_every_data_set_is_simulated() -> None:
    """Demo, tests and benchmarks have all that the catalog has."""
    assert WRITERS.keys() == catalog.DATASETS.keys()


@each_layout
def test_a_simulated_day_has_the_header_in_force(dataset: Dataset, layout: Layout) -> None:
    """On the layout's first and last session, at the source's path."""
    source = dataset.source(layout.source)
    assert source is not None
    for day in sessions_of(layout):
        content = payload(day, source.name, dataset)
        assert content is not None
        assert header(content, source, day) == layout.columns
        assert respond(source.path_of(day)) == (200, content)


@each_source
def test_a_holiday_is_not_simulated(dataset: Dataset, source: Source) -> None:
    """The archive has a page there, or the file of the session before."""
    holiday = date(2024, 1, 22)
    before = payload(sessions.previous(holiday), source.name, dataset) if source.repeats_previous else None
    assert payload(holiday, source.name, dataset) == before
    assert respond(source.path_of(holiday))[0] == (200 if source.repeats_previous else 404)
