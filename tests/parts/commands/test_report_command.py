"""The report: what its document tells, that its page is safe and light, and how it behaves in a browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import browser
import polars as pl
import pytest
from conftest import environment_variables
from helpers import AT_ONCE, champion_command, lines_of, payload, publish, wait_for
from simulated_server import Fault, SimulatedArchive

from champion_luigi.base import durable
from champion_luigi.commands.report import dictionary, figures
from champion_luigi.commands.report import facts as report
from champion_luigi.commands.report import page as report_page
from champion_luigi.commands.report import text as report_text
from champion_luigi.config import wiring
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.model import Dataset
from champion_luigi.exchange import sessions
from champion_luigi.storage import lake
from champion_luigi.tracking import journal

FIRST, LAST = date(2023, 12, 18), date(2024, 1, 12)
RANGE = ("--start", str(FIRST), "--end", str(LAST))
DAYS = sessions.sessions(FIRST, LAST + timedelta(days=1))
ABSENT, FAILED, CURED, REJECTED = DAYS[2], DAYS[4], DAYS[6], DAYS[8]
LAKE_ONLY, MISSING = DAYS[-4:-2], DAYS[-2:]

# Texts as an archive, a file or a disk could bring them.
HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "</script><img src=x onerror=\"document.title = 'taken'\">",
    "\"' onmouseover='document.title=1' &lt;b&gt; &amp;",
    '=HYPERLINK("http://example.com","here")',
    "\x1b[31mred\x00\r\n\t\u202e\u2028end \ud800",
]


# What the document tells


def put_in_lake(day: date, **metadata: str) -> Path:
    """A lake file that says of itself no more than this."""
    path = lake.partition(Path(os.environ["DATA_DIR"]) / "lake", day, EQUITY)
    durable.write_whole(path, lake.parquet_bytes(pl.DataFrame({"symbol": ["A"]}), metadata))
    return path


def note(event: str, day: date = FIRST, **what: Any) -> None:
    """A record of the journal."""
    record = {"event": event, "execution": "one", "task": "ParseBhavcopy", "date": day, **what}
    journal.append(Path(os.environ["DATA_DIR"]) / "journal", record)


def document() -> dict[str, Any]:
    return report.document(EQUITY, FIRST, LAST)


def told_of(day: date) -> dict[str, Any]:
    [found] = [each for each in document()["days"] if each["date"] == str(day)]
    return dict(found)


def page_of(told: dict[str, Any]) -> str:
    return report_page.page(told).decode()


def test_counts_are_those_of_the_lake_file() -> None:
    """Nothing need have been journalled."""
    path = put_in_lake(FIRST, rows="12", rejected_rows="0", warnings='{"dummy_isin": 3}')
    told = told_of(FIRST)
    assert (told["rows"], told["rejected"], told["warnings"]) == (12, {}, {"dummy_isin": 3})
    assert told["bytes"] == path.stat().st_size
    assert "12 rows, 0 rejected, 3 warnings (dummy_isin 3)" in figures.facts_of(told)


@pytest.mark.parametrize(("dataset", "option"), [(EQUITY, ""), (INDEX_CLOSE, " --dataset index_close")])
def test_the_page_has_the_command_that_completes_the_days(dataset: Dataset, option: str) -> None:
    """For another data set than the default, it names the data set."""
    page = page_of(report.document(dataset, FIRST, LAST))
    assert f"<code>champion fill{option} --start {FIRST}</code>" in page


@pytest.mark.parametrize("dataset", catalog.DATASETS.values(), ids=lambda each: each.name)
def test_the_dictionary_is_that_of_the_declarations(dataset: Dataset) -> None:
    """Each column of the view with type, unit and meaning; of a further view, those that its data set lacks."""
    told = report.document(dataset, FIRST, LAST)["dictionary"]
    assert [each["view"] for each in told] == [dataset.view, *dataset.views]
    shown = [tuple(column.values()) for column in told[0]["columns"]]
    assert shown == [
        (each.name, each.kind.type, each.unit, not each.required, each.meaning) for each in dataset.columns
    ]
    for entry in told[1:]:
        units = {column["name"]: column["unit"] for column in entry["columns"]}
        assert units["moved_from"] == "date, IST"
        assert units["series"] == ""


def test_the_dictionary_has_the_extent_of_the_lake() -> None:
    """First and last day and rows; of a file that does not say its rows, none are made up."""
    [entry] = document()["dictionary"]
    assert (entry["first"], entry["last"], entry["rows"]) == (None, None, 0)
    put_in_lake(DAYS[1], rows="12")
    put_in_lake(DAYS[3], rows="30")
    [entry] = document()["dictionary"]
    assert (entry["first"], entry["last"], entry["rows"]) == (str(DAYS[1]), str(DAYS[3]), 42)
    assert f"equity_ohlc <span>{DAYS[1]} to {DAYS[3]}, 42 rows, 18 columns</span>" in page_of(document())
    put_in_lake(DAYS[4])
    assert document()["dictionary"][0]["rows"] is None


def test_the_dictionary_has_adjusted_prices_where_they_are_made() -> None:
    """With the views of their factors, and the number of events."""
    told = dictionary.entries(EQUITY, [], {"events": 7})
    views = {each["view"]: each for each in told}
    assert list(views) == ["equity_ohlc", "equity_adjusted", "adjustments", "adjustment_spans"]
    assert views["adjustments"]["rows"] == 7
    volume = next(each for each in views["equity_adjusted"]["columns"] if each["name"] == "volume")
    assert (volume["type"], volume["meaning"]) == ("Float64", "shares traded, multiplied by factor")
    assert len(dictionary.entries(INDEX_CLOSE, [], {"events": 7})) == 1


def test_what_a_lake_file_does_not_say_is_not_recorded() -> None:
    """And nothing is made up in its place."""
    put_in_lake(FIRST)
    told = told_of(FIRST)
    assert (told["rows"], told["rejected"], told["warnings"], told["seconds"]) == (None, None, None, {})
    facts = figures.facts_of(told)
    for name in ("rows", "rejects", "warnings", "durations"):
        assert f"{name} not recorded" in facts
    assert 'id="s-rejected">not recorded<' in page_of(document())


@pytest.mark.parametrize("warnings", ["", "[]", "many", '{"dummy_isin": "x"}'])
def test_metadata_that_cannot_be_read_is_not_recorded(warnings: str) -> None:
    """As of a file that another program has written."""
    put_in_lake(FIRST, rows="-1", rejected_rows="none", warnings=warnings)
    told = told_of(FIRST)
    assert (told["rows"], told["rejected"], told["warnings"]) == (None, None, None)


def test_a_lake_file_that_cannot_be_read_is_listed() -> None:
    """With its path; the rest of the page is there."""
    path = put_in_lake(FIRST)
    path.write_bytes(b"not Parquet")
    told = document()
    [entry] = told["unreadable"]
    assert entry["date"] == str(FIRST)
    assert str(path) in entry["reason"]
    assert "lake file not readable" in page_of(told)


def test_rejects_are_counted_by_rule() -> None:
    """From the file that keeps them."""
    put_in_lake(FIRST, rejected_rows="3")
    lines = [json.dumps({"rule": rule}) for rule in ("bad_number", "bad_date", "bad_number")]
    durable.write_whole(wiring.files(EQUITY).rejects(FIRST), "\n".join(lines).encode())
    assert told_of(FIRST)["rejected"] == {"bad_number": 2, "bad_date": 1}


def test_rejects_that_are_not_those_of_the_lake_file_have_no_rule() -> None:
    """The file of rejects is gone, or is of a later run that failed."""
    put_in_lake(FIRST, rejected_rows="3")
    assert told_of(FIRST)["rejected"] == {"rule not recorded": 3}
    durable.write_whole(wiring.files(EQUITY).rejects(FIRST), b'{"rule": "bad_number"}\n')
    assert told_of(FIRST)["rejected"] == {"rule not recorded": 3}


def test_durations_are_those_of_the_last_success() -> None:
    """By stage, in seconds."""
    put_in_lake(FIRST)
    note("processing_time", seconds=2.5)
    note("processing_time", seconds=0.5)
    note("processing_time", seconds=1, task="WriteParquet")
    assert told_of(FIRST)["seconds"] == {"parse": 0.5, "write": 1}


def test_records_that_are_none_are_passed_over() -> None:
    """Cut off, edited, or of another version."""
    folder = Path(os.environ["DATA_DIR"]) / "journal"
    note("processing_time", seconds="long")
    note("processing_time", task="NoSuchTask", seconds=1)
    journal.append(folder, {"event": "processing_time", "date": ["2024-01-01"]})
    with (folder / f"{durable.now()[:7]}.jsonl").open("ab") as lines:
        lines.write(b'{"event": "fail\n[1]\n\xff\n')
    told = document()
    assert told["problems"] == []
    assert all(day["seconds"] == {} for day in told["days"])


def test_the_newest_problem_comes_first() -> None:
    """One a run and date: the task's own words, not the fill's of the same thing."""
    note("failure", error="it broke", error_type="DamagedFile")
    note("settled", outcome="failed", reason="it broke", task="")
    note("timeout", execution="two", error="too long")
    assert [(each["task"], each["reason"]) for each in document()["problems"]] == [
        ("ParseBhavcopy", "too long"),
        ("ParseBhavcopy", "DamagedFile: it broke"),
    ]


@pytest.mark.parametrize("outcome", ["closed", "unpublished"])
def test_a_day_without_a_file_is_no_problem(outcome: str) -> None:
    """Its scrape failed, and the fill said what that means."""
    note("failure", task="ScrapeBhavcopy", error="404")
    note("settled", outcome=outcome, reason="no file")
    assert document()["problems"] == []


def test_problems_outside_the_range_are_left_out() -> None:
    """As all else is."""
    note("failure", LAST + timedelta(days=3), error="later")
    assert document()["problems"] == []


def test_long_ranges_are_told_by_month() -> None:
    """Short ones by day; a month's duration is its median."""
    assert [each["name"] for each in document()["periods"]] == [str(day) for day in DAYS]
    for day, took in zip(DAYS, (1, 2, 60), strict=False):
        put_in_lake(day, rows="10", rejected_rows="0", warnings="{}")
        note("processing_time", day, seconds=took)
    told = report.document(EQUITY, date(2023, 6, 1), LAST)
    assert [each["name"] for each in told["periods"]] == [*(f"2023-{month:02}" for month in range(6, 13)), "2024-01"]
    december = told["periods"][6]
    assert (december["rows"], december["rows_a_day"], december["seconds"]) == (30, 10, {"parse": 2})
    assert told["periods"][0]["rows"] is None


@pytest.mark.parametrize(("most", "step"), [(0, 1), (5, 1), (6, 2), (2516, 500), (3100, 1000)])
def test_a_level_of_the_map_spans_a_round_number_of_rows(most: int, step: int) -> None:
    """Six levels reach the highest day."""
    assert figures.level_step([{"rows": most}, {"rows": None}]) == step


# The page


class _Page(HTMLParser):
    """The text of a page, and the attributes by which it could load something."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str, str | None]] = []
        self.tags: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        loading = {"src", "href", "srcset", "data", "action", "poster", "style", "background"}
        self.links += [(tag, name, value) for name, value in attributes if name in loading or name.startswith("on")]


def hostile_document() -> dict[str, Any]:
    """Texts from outside wherever the report has one."""
    for at, text in enumerate(HOSTILE):
        note("failure", DAYS[at], error=text.encode(errors="replace").decode(), error_type=text.splitlines()[0][:20])
        rules = {text.replace("\ud800", "?"): 2}
        put_in_lake(DAYS[5 + at], rows="5", rejected_rows="2", warnings=json.dumps(rules))
        line = json.dumps({"rule": text})
        durable.write_whole(wiring.files(EQUITY).rejects(DAYS[5 + at]), f"{line}\n{line}\n".encode())
    return document()


def test_a_page_loads_nothing() -> None:
    """It has no address in it that a browser would ask for, and no code in attributes."""
    told = _Page(page_of(hostile_document()))
    assert [each for each in told.links if each[0] != "a"] == [("link", "href", "data:,")]
    assert all(str(value).startswith("#") for tag, _, value in told.links if tag == "a")
    assert told.tags.count("script") == 2


def test_texts_from_outside_end_no_element() -> None:
    """Not those of the data either, which stand there as they are."""
    told = hostile_document()
    content = page_of(told)
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', content, re.DOTALL)
    assert json.loads(data)["problems"] == told["problems"]
    assert "<img" not in content
    assert "<script>document" not in content


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('<b>"it\'s" & more', "&lt;b&gt;&#34;it&#39;s&#34; &amp; more"),
        ("a\x00b\x1bc\x7fd", "a\\x00b\\x1bc\\x7fd"),
        ("line\r\nline\t", "line\\r\\nline\\t"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("half \ud83d", "half \\ud83d"),
        ("=1+1", "=1+1"),
        ("रुपया ₹", "रुपया ₹"),
    ],
)
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    """And what means something in HTML is escaped, in every value of a template."""
    assert report_page.environment().from_string("{{ text }}").render(text=text) == shown


def test_thirty_years_make_a_light_page() -> None:
    """Below 3 MB, all sessions since the first one."""
    days = [
        {
            "date": str(day),
            "state": "loaded",
            "reason": "",
            "rows": 2000,
            "rejected": {},
            "warnings": {"close_outside_low_high": 12, "high_below_low": 0, "dummy_isin": 1},
            "bytes": 123456,
            "seconds": dict.fromkeys(("scrape", "parse", "normalize", "write", "load"), 0.1234),
        }
        for day in sessions.sessions(date(1994, 11, 3), date(2026, 1, 1))
    ]
    told = document()
    told["status"] |= {"start": "1994-11-03", "end": "2025-12-31"}
    content = report_page.page(told | {"days": days, "periods": told["periods"]})
    assert len(days) > 7700
    assert len(content) < 3_000_000


# The command

integration = pytest.mark.integration


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where a range was filled from a real server, with days that failed, were cured, closed, or left out."""
    folder = tmp_path_factory.mktemp("filled")
    archive = folder / "archive"
    for day in DAYS:
        lines = lines_of(payload(day, "legacy"))
        if day == REJECTED:
            lines.append(lines[1])
        publish(archive, day, "legacy", lines)
    clean = {name: text for name, text in os.environ.items() if name not in environment_variables()}
    clean |= AT_ONCE
    clean |= {"DATA_DIR": str(folder / "data"), "CHAMPION_TRACKING": "journal"}
    faults = {ABSENT: Fault("not_found"), FAILED: Fault("html"), CURED: Fault("html")}
    with SimulatedArchive(faults, folder=archive) as running:
        clean["NSE_ARCHIVE_URL"] = running.url
        champion(clean, "fill", "--start", str(FIRST), "--stop", str(LAKE_ONLY[0]))
        running.faults.pop(CURED)
        champion(clean, "fill", "--start", str(CURED), "--stop", str(CURED + timedelta(days=1)))
        champion(clean, "fill", "--start", str(LAKE_ONLY[0]), "--stop", str(MISSING[0]), "--of", "WriteParquet")
        yield clean


def champion(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    return subprocess.run(
        champion_command(*arguments),
        env=environment,
        cwd=Path(environment["DATA_DIR"]).parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def page(environment: dict[str, str]) -> Path:
    """The page of that range."""
    done = champion(environment, "report", *RANGE)
    assert done.returncode == 0, done.stderr
    return Path(environment["DATA_DIR"]).with_name("report.html")


def status_of(environment: dict[str, str]) -> dict[str, Any]:
    return dict(json.loads(champion(environment, "status", "--json", *RANGE).stdout))


@integration
def test_a_pages_figures_are_those_of_champion_status(environment: dict[str, str], page: Path) -> None:
    """All of them, of each state of a day."""
    [data] = re.findall(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    status = status_of(environment)
    assert json.loads(data)["status"] == status
    assert [each["date"] for each in status["failed"]] == [str(FAILED)]
    assert [each["date"] for each in status["absent"]] == [str(ABSENT)]
    assert [each["date"] for each in status["lake_only"]] == [str(day) for day in LAKE_ONLY]
    assert status["missing"] == [str(day) for day in MISSING]


@integration
def test_absent_sessions_are_among_those_not_loaded(page: Path) -> None:
    """With the option that requests them at once."""
    [section] = re.findall(r'<section id="attention".*?</section>', page.read_text(encoding="utf-8"), re.DOTALL)
    # With the reason that `champion status` gives.
    assert re.search(rf'<th scope="row">{ABSENT}</th><td><b>absent</b></td><td>regular session; no file on 2', section)
    assert "<code>--recheck-absent</code>" in section


@integration
def test_a_report_cannot_be_written_where_a_file_is_in_the_way(environment: dict[str, str], page: Path) -> None:
    """It says so in a sentence, and the page that is there stays."""
    before = page.read_bytes()
    done = champion(environment, "report", *RANGE, "--output", f"{page}/report.html")
    assert done.returncode == 40
    assert done.stderr.startswith("champion report: ")
    assert "Traceback" not in done.stderr
    assert page.read_bytes() == before
    assert list(page.parent.glob(".tmp-*")) == []


@integration
def test_a_report_of_nothing_is_a_page_too(environment: dict[str, str], tmp_path: Path) -> None:
    """Of an empty folder, where all is missing; of a Sunday, with no day at all."""
    empty = environment | {"DATA_DIR": str(tmp_path / "empty")}
    for arguments in ((), ("--start", "2024-01-21", "--end", "2024-01-21")):
        done = champion(empty, "report", *arguments, "--output", str(tmp_path / "new" / "page.html"))
        assert done.returncode == 0, done.stderr
        assert "0 of " in done.stdout
        assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8").endswith("</html>\n")


@integration
def test_a_range_that_ends_before_it_starts_is_refused(environment: dict[str, str]) -> None:
    """Naming both dates."""
    done = champion(environment, "report", "--start", "2024-01-02", "--end", "2024-01-01")
    assert done.returncode == 2
    assert "--start 2024-01-02 is after --end 2024-01-01" in done.stderr


# In a browser

in_browser = pytest.mark.skipif(browser.find() is None, reason="there is no Chromium here (CHROMIUM names one)")


@pytest.fixture(scope="module")
def tab() -> Iterator[browser.Browser]:
    with browser.running() as running:
        yield running


@integration
@in_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("javascript", [True, False], ids=["with scripts", "without scripts"])
def test_a_browser_shows_the_page_and_asks_for_nothing_else(
    tab: browser.Browser, page: Path, dark: bool, javascript: bool
) -> None:
    """It logs no error, and no request leaves."""
    tab.open(page, dark=dark, javascript=javascript)
    assert tab.evaluate("document.querySelectorAll('.year').length") == 2
    assert tab.evaluate("document.querySelectorAll('.chart').length") >= 7
    assert tab.requests == [page.resolve().as_uri()]
    assert tab.complaints == []


@integration
@in_browser
def test_what_a_browser_shows_is_what_champion_status_says(
    tab: browser.Browser, environment: dict[str, str], page: Path
) -> None:
    """In the summary, and by counting the calendar's cells."""
    tab.open(page)
    status = status_of(environment)
    for name in ("loaded", "rows", "latest_loaded", "failed", "lake_only", "missing", "closed", "unsent_records"):
        value = status[name] if not isinstance(status[name], list) else len(status[name])
        shown = tab.evaluate(f"document.getElementById('s-{name}').textContent")
        assert shown == (f"{value:,}" if isinstance(value, int) else value)
    for name, css in (("loaded", "l"), ("lake_only", "k"), ("failed", "f"), ("missing", "m"), ("closed", "c")):
        value = status[name] if isinstance(status[name], int) else len(status[name])
        assert tab.evaluate(f"document.querySelectorAll('.year td.{css}').length") == value
    assert tab.evaluate("document.getElementById('s-rejected').textContent") == "1"


@integration
@in_browser
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_a_page_never_scrolls_sideways(tab: browser.Browser, page: Path, width: int) -> None:
    """On a phone neither; the calendar scrolls in its own box."""
    tab.open(page, width=width)
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    if width == 360:
        assert tab.evaluate(
            "(() => { const box = document.querySelector('.years'); return box.scrollWidth > box.clientWidth; })()"
        )


@integration
@in_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_dictionary_can_be_read(tab: browser.Browser, page: Path, width: int) -> None:
    """Each column without scrolling sideways: on a phone its meaning stands below, over the whole width."""
    tab.open(page, width=width)
    box = "document.querySelector('#dictionary .scroll')"
    assert tab.evaluate(f"{box}.scrollWidth") <= tab.evaluate(f"{box}.clientWidth")
    rows = tab.evaluate(f"[...{box}.querySelectorAll('tbody tr')].map((row) => row.cells[0].textContent)")
    assert rows == list(EQUITY.names)
    below = "(() => {{ const [n, m] = [0, 4].map((at) => {}.querySelector('tbody tr').cells[at]); return {}; }})()"
    is_below = tab.evaluate(below.format(box, "m.getBoundingClientRect().top >= n.getBoundingClientRect().bottom"))
    assert is_below == (width == 390)


@integration
@in_browser
def test_the_keyboard_moves_through_the_days(tab: browser.Browser, page: Path) -> None:
    """Across weeks, years and the range's ends; each cell's name is its date and facts."""
    tab.open(page)
    tab.evaluate("document.querySelector('.year td[tabindex=\"0\"]').focus()")
    seen = [tab.focused()]
    for key in (
        "ArrowUp",
        "ArrowDown",
        "ArrowDown",
        "ArrowLeft",
        "ArrowLeft",
        "ArrowRight",
        "Home",
        "ArrowUp",
        "PageUp",
    ):
        tab.press(key)
        seen.append(tab.focused())
    assert {each["role"] for each in seen} == {"gridcell"}
    dates = "12 Jan,11 Jan,12 Jan,12 Jan,5 Jan,29 Dec,5 Jan,1 Jan,31 Dec,18 Dec".split(",")
    for each, expected in zip(seen, dates, strict=True):
        assert re.match(rf"\w{{3}} {expected} \d{{4}}: \S", each["name"]), each
    assert tab.evaluate("document.querySelectorAll('.year td[tabindex=\"0\"]').length") == 1
    assert seen[-2]["name"] == "Sun 31 Dec 2023: no session"
    assert re.search(r": loaded, [\d,]+ rows?, 0 rejected, .*, took [\d.]+ s$", seen[-1]["name"])


@integration
@in_browser
def test_the_tab_key_reaches_the_days(tab: browser.Browser, page: Path) -> None:
    """And shows the facts of the day that it comes to; Escape takes them away."""
    tab.open(page)
    tab.evaluate("document.querySelector('.years').focus()")
    tab.press("Tab")
    assert tab.focused()["name"].startswith("Fri 12 Jan 2024: missing")
    assert tab.evaluate("document.getElementById('tip').innerText").startswith("Fri 12 Jan 2024\nmissing")
    tab.press("Escape")
    assert tab.evaluate("document.getElementById('tip').hidden")


@integration
@in_browser
@pytest.mark.parametrize("javascript", [True, False], ids=["with scripts", "without scripts"])
def test_a_day_tells_its_facts_to_the_pointer(tab: browser.Browser, page: Path, javascript: bool) -> None:
    """Beside it, or at the page's edge where scripts are off."""
    tab.open(page, javascript=javascript)

    def shown() -> str:
        tab.point_at(".year td.f")
        if javascript:
            return str(tab.evaluate("document.getElementById('tip').innerText"))
        return str(tab.evaluate("getComputedStyle(document.querySelector('.year td.f'), '::after').content"))

    wait_for(lambda: "the answer is an HTML page, not the file" in shown(), "the facts")


@integration
@in_browser
def test_the_map_of_rows_is_a_switch_away(tab: browser.Browser, page: Path) -> None:
    """Without scripts too; days that have no rows keep their sign."""
    tab.open(page, javascript=False)

    def look(css: str) -> str:
        return str(tab.evaluate(f"getComputedStyle(document.querySelector('.year td.{css}')).background"))

    before = {css: look(css) for css in "lfa"}
    tab.evaluate("document.getElementById('view-rows').click()")
    after = {css: look(css) for css in "lfa"}
    assert before["l"] != after["l"]
    assert (before["f"], before["a"]) == (after["f"], after["a"])
    assert tab.evaluate("getComputedStyle(document.querySelector('.of-rows')).display") == "flex"


@integration
@in_browser
def test_every_day_is_in_a_table_too(tab: browser.Browser, page: Path) -> None:
    """A year at a time."""
    tab.open(page)
    tab.evaluate("document.getElementById('days').closest('details').open = true")
    wait_for(lambda: tab.evaluate("document.querySelectorAll('#days tbody tr').length") > 0, "the table")
    [newest, *_] = [day for day in reversed(DAYS) if day.year == 2024]
    rows = tab.evaluate("[...document.querySelectorAll('#days tbody tr')].map((row) => row.cells[0].textContent)")
    assert rows == [str(day) for day in DAYS if day.year == newest.year]
    tab.evaluate(
        "(() => { const s = document.querySelector('#days select'); s.value = '2023';"
        "s.dispatchEvent(new Event('change')); })()"
    )
    rows = tab.evaluate("[...document.querySelectorAll('#days tbody tr')].map((row) => row.cells[0].textContent)")
    assert rows == [str(day) for day in DAYS if day.year == 2023]


@integration
@in_browser
@pytest.mark.parametrize("javascript", [True, False], ids=["with scripts", "without scripts"])
def test_hostile_texts_stay_text(tab: browser.Browser, tmp_path: Path, javascript: bool) -> None:
    """They run nothing, load nothing and make no element; the reader sees them as they were."""
    told = hostile_document()
    path = tmp_path / "page.html"
    path.write_bytes(report_page.page(told))
    tab.open(path, javascript=javascript)
    tab.point_at(".year td.k")
    assert tab.evaluate("document.title") == f"Bhavcopy coverage, {FIRST} to {LAST}"
    assert tab.evaluate("document.querySelectorAll('img, b b, a:not(nav a), iframe').length") == 0
    assert tab.requests == [path.resolve().as_uri()]
    assert tab.complaints == []
    seen = tab.evaluate("document.getElementById('problems').textContent")
    named = " ".join(tab.evaluate("[...document.querySelectorAll('.year td.k')].map((e) => e.ariaLabel)"))
    rules = tab.evaluate("document.getElementById('rules').textContent")
    for text in HOSTILE:
        known = text.replace("\ud800", "?")
        assert report_text.visible(known) in seen
        assert report_text.visible(text) in named
        assert report_text.visible(text) in rules


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """As the WCAG have it: 4.5 is AA for text, 3 for signs."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@integration
@in_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_contrast_is_enough(tab: browser.Browser, page: Path, dark: bool) -> None:
    """Of text, of signs, and between the levels of the map."""
    tab.open(page, dark=dark)

    def colour(name: str) -> str:
        return str(tab.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')")).strip()

    text = [(name, behind) for name in ("text", "soft", "link") for behind in ("page", "panel")]
    signs = [(name, "page") for name in ("loaded", "failed", "missing", "closed", "bar", "unknown", "ring")]
    signs += [("failed", "on-failed"), ("closed", "on-closed")]
    assert {pair: contrast(*map(colour, pair)) for pair in text if contrast(*map(colour, pair)) < 4.5} == {}
    assert {pair: contrast(*map(colour, pair)) for pair in signs if contrast(*map(colour, pair)) < 3} == {}
    levels = [_luminance(colour(f"r{level}")) for level in range(6)]
    assert all((low < high) == dark for low, high in pairwise(levels))
