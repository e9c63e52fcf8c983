"""Which days the exchange trades: the table, its questions, and the tool that makes it."""

from __future__ import annotations

import csv
import importlib.util
import logging
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from types import ModuleType

import pytest
from helpers import ROOT, SHARED, archive_path, format_and_date
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.datasets.equity import EQUITY, FIRST_DATE
from champion_luigi.exchange import sessions
from champion_luigi.exchange.sessions import CLOSED_KINDS, INDIA, SESSION_KINDS

TABLE = ROOT / "champion_luigi" / "exchange" / "sessions.csv"
TOOL = ROOT / "tools" / "build_sessions.py"
EVIDENCE = SHARED

needs_evidence = pytest.mark.skipif(
    not (EVIDENCE / "holidays").is_dir(), reason="the holiday lists and published files are not beside the checkout"
)
dates = st.dates(date(1994, 1, 1), date(2026, 12, 31))


@pytest.fixture(autouse=True)
def _may_warn() -> Iterator[None]:
    """Each test meets a process that has not warned yet."""
    sessions._warn_past_end.cache_clear()
    yield
    sessions._warn_past_end.cache_clear()


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The tool, loaded from its file, as it is no package's module."""
    spec = importlib.util.spec_from_file_location("build_sessions", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def files_seen() -> dict[date, int]:
    """Each date with a published file, and how many sources have it."""
    with (EVIDENCE / "holidays" / "DERIVED_trading_dates_from_files.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {date.fromisoformat(row["date"]): len(row["sources"].split(",")) for row in rows}


# The table against what is known from outside


@needs_evidence
def test_every_date_with_a_file_from_two_sources_is_a_session() -> None:
    """A file that two sources have was published for a session."""
    wrong = [day for day, count in files_seen().items() if count >= 2 and not sessions.is_session(day)]
    assert wrong == []


@needs_evidence
def test_every_date_with_a_file_from_one_source_is_a_session() -> None:
    """Of the dates that one source alone has, each was confirmed in another way."""
    wrong = [day for day, count in files_seen().items() if count == 1 and not sessions.is_session(day)]
    assert wrong == []


@needs_evidence
def test_the_only_sessions_without_a_file_are_the_ones_marked_so() -> None:
    """Where files cover the years, a session without one stands in the table as unarchived."""
    seen = files_seen()
    without = [day for day in sessions.sessions(min(seen), max(seen) + timedelta(days=1)) if day not in seen]
    assert without == [day for day, row in sessions.exceptions().items() if row.kind == "unarchived"]


@needs_evidence
def test_every_file_of_the_archive_belongs_to_a_session() -> None:
    """No real file lies on a day that the table calls closed."""
    folder = EVIDENCE / "archive"
    found = [format_and_date("/" + path.relative_to(folder).as_posix()) for path in folder.rglob("*.zip")]
    assert len(found) > 900
    assert [day for _, day in filter(None, found) if not sessions.is_session(day)] == []


@needs_evidence
def test_every_special_session_of_the_list_is_a_session() -> None:
    """Weekends on which the exchange traded, or will."""
    with (EVIDENCE / "holidays" / "nse_special_sessions.csv").open(encoding="utf-8", newline="") as file:
        special = [date.fromisoformat(row["date"]) for row in csv.DictReader(file)]
    assert len(special) > 30
    assert [day for day in special if not sessions.is_session(day)] == []


@needs_evidence
@pytest.mark.integration
@pytest.mark.parametrize("archive", [[], [str(EVIDENCE / "archive")]], ids=["lists", "lists and archive"])
def test_rebuilding_gives_the_committed_table(tmp_path: Path, archive: list[str]) -> None:
    """The table is the tool's output byte for byte: nobody edits it by hand."""
    output = tmp_path / "sessions.csv"
    command = [sys.executable, str(TOOL), str(EVIDENCE / "holidays"), *archive, "--output", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    assert output.read_bytes() == TABLE.read_bytes()


@needs_evidence
@pytest.mark.integration
def test_the_tool_writes_the_table_to_stdout_and_what_to_review_to_stderr() -> None:
    """Without --output the table can be redirected, the summary apart from it."""
    done = subprocess.run([sys.executable, str(TOOL), str(EVIDENCE / "holidays")], check=True, capture_output=True)
    assert done.stdout == TABLE.read_bytes()
    assert "by kind: " in done.stderr.decode()
    assert "2004-01-01 Thu [files] a session, though 5 of 5 lists call it closed" in done.stderr.decode()


# The table itself


def test_the_table_is_ascending_without_repeats() -> None:
    """One row a date, oldest first, the last row being the end."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        days = [row["date"] for row in csv.DictReader(file)]
    assert days == sorted(set(days))
    assert days[-1] == sessions.table_end().isoformat()


def test_rows_are_exceptions() -> None:
    """A weekend's row is a session, and a closed row is a weekday."""
    for day, row in sessions.exceptions().items():
        assert row.is_session or day.weekday() < 5
        assert row.day == day


def test_every_row_says_what_it_rests_on() -> None:
    """A row without a basis could not be reviewed."""
    assert [day for day, row in sessions.exceptions().items() if not row.basis] == []


def test_kinds_are_either_open_or_closed() -> None:
    """No kind is both, and each is used by some row."""
    assert not set(SESSION_KINDS) & set(CLOSED_KINDS)
    assert {row.kind for row in sessions.exceptions().values()} == {*SESSION_KINDS, *CLOSED_KINDS}


def test_the_table_ends_with_the_published_calendar() -> None:
    """The exchange has announced its holidays to the end of 2026."""
    assert sessions.table_end() == date(2026, 12, 31)


def test_a_table_without_its_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that was cut off names itself and says what to do."""
    use_table(tmp_path, monkeypatch, "2024-01-26,holiday,Republic Day,some list")
    with pytest.raises(ValueError, match=r"sessions\.csv is cut off.*build it again"):
        sessions.is_session(date(2024, 1, 26))


def test_an_unknown_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that is neither open nor closed names its date and the known ones."""
    use_table(tmp_path, monkeypatch, "2024-01-26,fete,,some list", "2024-12-31,end,,")
    with pytest.raises(ValueError, match=r"'fete' on 2024-01-26; known kinds are budget, "):
        sessions.is_session(date(2024, 1, 26))


def use_table(folder: Path, monkeypatch: pytest.MonkeyPatch, *rows: str) -> None:
    """Let the module read a table of these rows, in this test only."""
    path = folder / "sessions.csv"
    path.write_text("\n".join(["date,kind,name,basis", *rows, ""]), encoding="utf-8")
    monkeypatch.setattr(sessions, "_TABLE", path)
    monkeypatch.setattr(sessions, "_table", sessions._table.__wrapped__)


# Which days


@pytest.mark.parametrize("text", ["2024-01-22", "2024-05-20", "2024-11-20", "2026-01-15", "2005-07-28", "1997-10-06"])
def test_unplanned_closures_are_closed(text: str) -> None:
    """Elections and disasters closed the exchange at short notice."""
    assert not sessions.is_session(date.fromisoformat(text))
    assert sessions.exceptions()[date.fromisoformat(text)].kind == "closure"


@pytest.mark.parametrize("text", ["2024-01-20", "2024-03-02", "2024-05-18", "2025-02-01", "2026-02-01", "2010-05-16"])
def test_extra_sessions_on_weekends_trade(text: str) -> None:
    """The exchange opened on some Saturdays and Sundays."""
    assert date.fromisoformat(text).weekday() >= 5
    assert sessions.is_session(date.fromisoformat(text))


@pytest.mark.parametrize("text", ["2024-11-01", "2025-10-21", "2023-11-12", "2026-11-08", "2012-11-13"])
def test_muhurat_evenings_are_sessions(text: str) -> None:
    """The evening session of Diwali counts, though holiday lists call the day closed."""
    assert sessions.is_session(date.fromisoformat(text))
    assert sessions.exceptions()[date.fromisoformat(text)].kind == "muhurat"


@pytest.mark.parametrize("text", ["1999-01-01", "2001-01-01", "2004-01-01", "2013-11-14", "2020-07-31", "2024-01-15"])
def test_holidays_of_another_exchange_are_sessions(text: str) -> None:
    """Holiday lists name these, and files exist for them."""
    assert sessions.is_session(date.fromisoformat(text))


@pytest.mark.parametrize("text", ["2026-09-14", "2026-10-02", "2026-10-20", "2026-11-10", "2026-11-24", "2026-12-25"])
def test_announced_holidays_are_closed(text: str) -> None:
    """Holidays later than the newest known file come from the published calendar."""
    assert not sessions.is_session(date.fromisoformat(text))


def test_nothing_trades_before_the_first_file() -> None:
    """The archive's first day is a session, the weekday before it is not."""
    assert sessions.is_session(FIRST_DATE)
    assert not sessions.is_session(FIRST_DATE - timedelta(days=1))


def test_a_datetime_is_no_date() -> None:
    """A datetime would never match a row of the table, so it is refused."""
    with pytest.raises(TypeError):
        sessions.is_session(datetime(2024, 1, 22, 12, tzinfo=INDIA))


def test_a_range_includes_its_start_and_not_its_stop() -> None:
    """Monday to Monday gives one week."""
    week = sessions.sessions(date(2024, 7, 8), date(2024, 7, 15))
    assert week == [date(2024, 7, number) for number in (8, 9, 10, 11, 12)]


def test_a_range_has_the_special_sessions_and_not_the_closures() -> None:
    """The Saturday that replaced a Monday is in, the Monday is out."""
    assert sessions.sessions(date(2024, 1, 19), date(2024, 1, 24)) == [
        date(2024, 1, 19),
        date(2024, 1, 20),
        date(2024, 1, 23),
    ]


def test_a_range_that_ends_before_it_starts_is_empty() -> None:
    """No sessions, and no error."""
    assert sessions.sessions(date(2024, 7, 8), date(2024, 7, 8)) == []
    assert sessions.sessions(date(2024, 7, 8), date(1990, 1, 1)) == []


@given(start=dates, length=st.integers(0, 400))
def test_a_range_is_the_days_that_are_sessions(start: date, length: int) -> None:
    """The fast listing and the single question agree."""
    span = [start + timedelta(days=number) for number in range(length)]
    assert sessions.sessions(start, start + timedelta(days=length)) == [day for day in span if sessions.is_session(day)]


@given(day=dates.filter(lambda day: FIRST_DATE < day < date(2026, 12, 25)))
def test_previous_and_next_are_the_nearest_sessions(day: date) -> None:
    """Nothing trades between a day and the session before or after it."""
    before, after = sessions.previous(day), sessions.next_after(day)
    assert sessions.sessions(before, after + timedelta(days=1)) == sorted(
        {before, after, *([day] if sessions.is_session(day) else [])}
    )


def test_there_is_no_session_before_the_first() -> None:
    """The error names the archive's first day."""
    with pytest.raises(ValueError, match="no session before 1994-11-03"):
        sessions.previous(FIRST_DATE)


def test_the_first_session_follows_any_earlier_day() -> None:
    """Looking forward from long before the archive finds its first day."""
    assert sessions.next_after(date(1980, 1, 1)) == FIRST_DATE


# What a day is


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1994-11-02", ("before", "", "before the first session, 1994-11-03")),
        ("1994-11-03", ("regular", "", "a published file")),
        ("2024-01-25", ("regular", "", "a published file")),
        ("2024-01-26", ("holiday", "Republic Day", "some list")),
        ("2024-01-27", ("weekend", "", "no file on a weekend")),
        ("2024-03-01", ("regular", "", "a published file")),
        ("2024-03-02", ("weekend", "", "after the last file; no list names the weekend")),
        ("2024-03-04", ("regular", "", "after the last file; no list names the weekday")),
        ("2024-11-01", ("muhurat", "Diwali", "some other list")),
        ("2025-01-01", ("regular", "", "the day of the week alone, past 2024-12-31, where the table ends")),
        ("2025-01-04", ("weekend", "", "the day of the week alone, past 2024-12-31, where the table ends")),
    ],
)
def test_a_day_has_a_kind_a_name_and_evidence(
    text: str, found: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files up to the newest one, then the published lists, then the day of the week."""
    use_table(
        tmp_path,
        monkeypatch,
        "2024-01-26,holiday,Republic Day,some list",
        "2024-03-01,seen,,",
        "2024-11-01,muhurat,Diwali,some other list",
        "2024-12-31,end,,",
    )
    day = date.fromisoformat(text)
    assert sessions.of(day) == (day, *found)


@given(day=dates)
def test_a_days_kind_says_whether_it_is_a_session(day: date) -> None:
    """The full answer and the short one agree."""
    assert sessions.of(day).is_session == sessions.is_session(day)


# Past the end


def test_past_the_end_weekdays_are_sessions() -> None:
    """Without a list the calendar is Monday to Friday."""
    assert sessions.is_session(date(2027, 1, 26))
    assert not sessions.is_session(date(2027, 1, 30))


def test_past_the_end_it_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning a process, with the table's end and what to do."""
    with caplog.at_level(logging.WARNING, logger="champion_luigi"):
        sessions.is_session(date(2027, 1, 1))
        sessions.is_session(date(2027, 1, 4))
        sessions.sessions(date(2027, 1, 1), date(2028, 1, 1))
        sessions.latest_published(datetime(2027, 3, 1, tzinfo=UTC))
        sessions.of(date(2027, 3, 1))
    [record] = caplog.records
    assert record.name == "champion_luigi"
    assert "ends on 2026-12-31" in record.getMessage()
    assert "tools/build_sessions.py" in record.getMessage()


def test_inside_the_table_it_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    """The table's last date is still its own, and an exclusive stop may be the day after."""
    sessions.is_session(sessions.table_end())
    sessions.of(sessions.table_end())
    sessions.sessions(FIRST_DATE, sessions.table_end() + timedelta(days=1))
    assert caplog.records == []


def test_a_range_past_the_end_warns(caplog: pytest.LogCaptureFixture) -> None:
    """A range that reaches one day further says so."""
    sessions.sessions(FIRST_DATE, sessions.table_end() + timedelta(days=2))
    assert len(caplog.records) == 1


# What should be out


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2024-07-09T19:00:00+05:30", "2024-07-09"),
        ("2024-07-09T18:59:59.999999+05:30", "2024-07-08"),
        ("2024-07-09T13:30:00+00:00", "2024-07-09"),
        ("2024-07-09T13:29:59+00:00", "2024-07-08"),
        ("2024-07-09T09:30:00-04:00", "2024-07-09"),
        ("2024-07-09T23:59:59+05:30", "2024-07-09"),
        ("2024-07-10T00:00:00+05:30", "2024-07-09"),
        ("2024-07-09T18:29:59+00:00", "2024-07-09"),
        ("2024-07-09T18:30:00+00:00", "2024-07-09"),
        ("2024-07-10T00:00:00+00:00", "2024-07-09"),
        ("2024-07-10T02:00:00+14:00", "2024-07-08"),
    ],
)
def test_a_file_is_out_from_the_publication_time_in_india(now: str, expected: str) -> None:
    """The zone of the caller's clock, and its midnight, make no difference."""
    assert sessions.latest_published(datetime.fromisoformat(now)) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2024-07-07T20:00:00+05:30", "2024-07-05"),
        ("2024-07-08T18:00:00+05:30", "2024-07-05"),
        ("2024-01-20T20:00:00+05:30", "2024-01-20"),
        ("2024-01-22T20:00:00+05:30", "2024-01-20"),
        ("2024-01-23T12:00:00+05:30", "2024-01-20"),
        ("2024-11-01T23:00:00+05:30", "2024-11-01"),
    ],
)
def test_the_latest_file_is_that_of_the_latest_session(now: str, expected: str) -> None:
    """Weekends and closures are stepped over, special sessions are not."""
    assert sessions.latest_published(datetime.fromisoformat(now)) == date.fromisoformat(expected)


def test_the_publication_time_can_be_chosen() -> None:
    """An hour earlier asks an hour earlier."""
    now = datetime(2024, 7, 9, 18, 0, tzinfo=INDIA)
    assert sessions.latest_published(now, published_at=time(18, 0)) == date(2024, 7, 9)
    assert sessions.latest_published(now) == date(2024, 7, 8)


@given(
    now=st.datetimes(datetime(1994, 11, 5), datetime(2026, 12, 31)),
    offset=st.integers(-12 * 60, 14 * 60),
)
def test_the_clocks_zone_makes_no_difference(now: datetime, offset: int) -> None:
    """The same moment in any zone gives the same session."""
    moment = now.replace(tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=offset)))
    assert sessions.latest_published(elsewhere) == sessions.latest_published(moment)


def test_a_naive_clock_is_refused() -> None:
    """A time without a zone would be off by hours somewhere."""
    with pytest.raises(ValueError, match="no time zone"):
        sessions.latest_published(datetime(2024, 7, 9, 19, 0))


def test_before_the_first_file_nothing_is_out() -> None:
    """An hour before the first publication there is no answer."""
    with pytest.raises(ValueError, match="no session before 1994-11-03"):
        sessions.latest_published(datetime(1994, 11, 3, 18, 0, tzinfo=INDIA))


# In words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-08", "regular session"),
        ("2024-07-06", "Saturday, no session"),
        ("2024-07-07", "Sunday, no session"),
        ("2024-01-26", "holiday (Republic Day)"),
        ("2003-02-13", "holiday"),
        ("1997-10-06", "closed (failure of satellite INSAT-2D)"),
        ("2024-03-02", "special session (disaster-recovery drill)"),
        ("2025-02-01", "special session (Union Budget)"),
        ("2006-06-25", "special session"),
        ("2024-11-01", "Muhurat session (Diwali Laxmi Pujan)"),
        ("1995-09-04", "session whose file no known archive has"),
        ("1996-12-30", "no session: no file is known and no holiday list says why"),
        ("1994-11-02", "before the archive's first day 1994-11-03"),
        ("1994-11-03", "regular session"),
        ("2026-12-31", "regular session"),
        ("2027-01-01", "weekday past 2026-12-31, where the session table ends"),
        ("2027-01-02", "Saturday, no session"),
    ],
)
def test_days_are_described_for_people(text: str, expected: str) -> None:
    """Each sort of day has its words."""
    assert sessions.describe(date.fromisoformat(text)) == expected


# The tool's rules


def evidence(tool: ModuleType, *, sources: int = 0, listed: bool = False, special: bool = False, day: date) -> object:
    """What is known of one day; files end later, and one list speaks of the whole year."""
    closed = {day: "Holi"} if listed else {}
    lists = {"list": tool.HolidayList(closed, date(2022, 1, 1), date(2022, 12, 31))}
    seen = {date(2022, 12, 30): 2, **({day: sources} if sources else {})}
    return tool.Evidence(seen, frozenset(), lists, {day: ("drill", "a drill")} if special else {})


WEDNESDAY, SUNDAY = date(2022, 6, 8), date(2022, 6, 12)


def test_two_sources_outweigh_the_lists(tool: ModuleType) -> None:
    """A file that two sources have makes a session, and the disagreement is reported."""
    decision = tool.decide(WEDNESDAY, evidence(tool, sources=2, listed=True, day=WEDNESDAY))
    assert (decision.rule, decision.kind) == ("files", "")
    assert decision.conflict == "a session, though 1 of 1 lists call it closed"


def test_one_source_against_the_lists_is_closed(tool: ModuleType) -> None:
    """A holiday's file can hold the session before, so one copy does not outweigh a list."""
    decision = tool.decide(WEDNESDAY, evidence(tool, sources=1, listed=True, day=WEDNESDAY))
    assert (decision.rule, decision.kind, decision.name) == ("stale", "holiday", "Holi")


def test_one_source_that_no_list_contradicts_is_a_session(tool: ModuleType) -> None:
    """A weekday's file is believed where nothing speaks against it."""
    decision = tool.decide(WEDNESDAY, evidence(tool, sources=1, day=WEDNESDAY))
    assert (decision.rule, decision.kind, decision.conflict) == ("single", "", "")


def test_one_source_on_a_weekend_needs_the_list_of_special_sessions(tool: ModuleType) -> None:
    """A Sunday's file alone is not believed; with the list it is."""
    alone = tool.decide(SUNDAY, evidence(tool, sources=1, day=SUNDAY))
    confirmed = tool.decide(SUNDAY, evidence(tool, sources=1, special=True, day=SUNDAY))
    assert (alone.rule, alone.kind) == ("stale", "")
    assert (confirmed.rule, confirmed.kind) == ("weekend", "drill")


def test_a_weekday_without_a_file_is_closed(tool: ModuleType) -> None:
    """Listed it is a holiday, unlisted it is unexplained."""
    listed = tool.decide(WEDNESDAY, evidence(tool, listed=True, day=WEDNESDAY))
    unlisted = tool.decide(WEDNESDAY, evidence(tool, day=WEDNESDAY))
    assert (listed.rule, listed.kind) == ("no-file", "holiday")
    assert (unlisted.rule, unlisted.kind) == ("no-file", "unexplained")


def test_a_listed_special_session_without_a_file_is_reported(tool: ModuleType) -> None:
    """An announcement that left no file in the years of files is not believed."""
    decision = tool.decide(SUNDAY, evidence(tool, special=True, day=SUNDAY))
    assert (decision.rule, decision.kind) == ("quiet", "")
    assert "no source has its file" in decision.conflict


@pytest.mark.parametrize(("inside", "counted"), [("8-JUN-2022", True), ("08-Jun-22", True), ("07-JUN-2022", False)])
def test_an_archived_file_counts_by_the_date_inside(
    tool: ModuleType, tmp_path: Path, inside: str, counted: bool
) -> None:
    """A file under a holiday's name that holds the session before is no evidence."""
    path = tmp_path / archive_path("legacy", WEDNESDAY).lstrip("/")
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        [layout] = (each for each in EQUITY.layouts if each.source == "legacy" and each.is_in_force(WEDNESDAY))
        row = {"SYMBOL": "MADEUP", "SERIES": "EQ", "TIMESTAMP": inside}
        lines = [",".join(layout.columns), ",".join(row.get(name, "1") for name in layout.columns)]
        archive.writestr("cm.csv", "\n".join([*lines, ""]))
    assert tool.read_archive(tmp_path) == (frozenset({WEDNESDAY}) if counted else frozenset())


@pytest.mark.parametrize("text", ["1995-04-14", "2000-04-21", "2008-03-21", "2024-03-29", "2026-04-03"])
def test_good_friday_is_computed(tool: ModuleType, text: str) -> None:
    """The movable feast that can name a day of the early years."""
    assert tool.good_friday(int(text[:4])) == date.fromisoformat(text)
