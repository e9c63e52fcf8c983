"""Make exchange/sessions.csv, the exceptions to Monday-to-Friday, from holiday lists and published files.

    python tools/build_sessions.py LISTS [ARCHIVE] --output champion_luigi/exchange/sessions.csv

LISTS is a folder with the lists that `read_lists` names. ARCHIVE is a folder laid out like the exchange's archive, and
adds the dates of its files. The table goes to --output or stdout. A summary goes to stderr, with counts and every
conflict and the rule that decided it: review it before you commit the table.

The rules, strongest first:

files        two sources have the day's file, or ARCHIVE has it with that date inside: a session, whatever the lists say
known        a fact in `KNOWN`, with its reason
single       one source has a weekday's file, and no list calls the day closed: a session
traded       one source has a weekday's file, and lists call the day closed, but `TRADED` confirms it: a session
weekend      one source has a weekend's file, and the list of special sessions has the day: a session
stale        one source has a file, and nothing confirms it: closed, because a holiday's file can repeat the day before
no-file      no source has a weekday's file, in the years of files: closed
quiet        no source has a weekend's file, in the years of files: closed
scheduled    the day is after the last file: as the lists announce

The holiday lists are weak evidence. Up to 2017 they are nearly copies of a single list, made for the other exchange in
Mumbai. They name less than half of the days of 1997 and 1998 without a file.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from champion_luigi.base.errors import ChampionError
from champion_luigi.datasets.equity import EQUITY, FIRST_DATE
from champion_luigi.exchange.sessions import CLOSED_KINDS, END_KIND, SEEN_KIND, SESSION_KINDS
from champion_luigi.parsing.payload import recognise

COLUMNS = ("date", "kind", "name", "basis")


class Fact(NamedTuple):
    """A fact about a date from outside the lists, and its source."""

    kind: str
    name: str
    source: str


def _facts(kind: str, source: str, names: Mapping[str, str]) -> dict[date, Fact]:
    return {date.fromisoformat(day): Fact(kind, name, source) for day, name in names.items()}


KNOWN: Mapping[date, Fact] = {
    # The PREVCLOSE of 1995-09-05 equals the CLOSE of 1995-09-01 on 133 of 657 rows, and the PREVCLOSE of 1995-09-07
    # the CLOSE of 1995-09-05 on 133 of 660. Across the other gaps of that year all rows are equal; across a session
    # left out on purpose, a sixth. So the exchange traded on both days, and their files are lost.
    **_facts("unarchived", "PREVCLOSE of the next file", {"1995-09-04": "", "1995-09-06": ""}),
    # "NSE to resume on Thursday": the satellite that carried its network failed. The other exchange traded.
    **_facts(
        "closure",
        "Rediff and Business Standard 1997-10-06",
        dict.fromkeys(("1997-10-03", "1997-10-06", "1997-10-07", "1997-10-08"), "failure of satellite INSAT-2D"),
    ),
    **_facts("closure", "release of the exchange of 2005-07-27", {"2005-07-28": "floods in Mumbai"}),
    **_facts("closure", "Business Standard 2020-03-22", {"2008-11-27": "attacks on Mumbai"}),
    # Only gold funds traded, worth Rs 172 crore; indices have no value that day.
    **_facts("special", "Business Standard 2011-05-06", {"2010-05-16": "gold funds on Akshaya Tritiya"}),
    # Dhanteras fell on this Sunday. One source has a file, and indices have no value, as on 2010-05-16.
    **_facts("special", "by analogy with 2010-05-16", {"2012-11-11": "gold funds on Dhanteras"}),
    **_facts("special", "circular 032/2012 of the exchange", {"2012-04-28": "new derivatives system"}),
    **_facts("drill", "teluguinvestor.com 2014-03", {"2014-03-22": "disaster-recovery drill"}),
    **_facts("special", "Business Today 2024-02-14", {"2024-01-20": "full day in place of 2024-01-22"}),
    # The year's list of the exchange's capital market segment, for the names that no list in LISTS gives.
    **_facts("closure", "circular NSE/CMTR/72260", {"2026-01-15": "municipal elections in Maharashtra"}),
    **_facts(
        "holiday",
        "circular NSE/CMTR/71775",
        {
            "2026-01-26": "Republic Day",
            "2026-03-03": "Holi",
            "2026-03-26": "Shri Ram Navami",
            "2026-03-31": "Shri Mahavir Jayanti",
            "2026-04-03": "Good Friday",
            "2026-04-14": "Dr. Baba Saheb Ambedkar Jayanti",
            "2026-05-01": "Maharashtra Day",
            "2026-05-28": "Bakri Id",
            "2026-06-26": "Muharram",
            "2026-09-14": "Ganesh Chaturthi",
            "2026-10-02": "Mahatma Gandhi Jayanti",
            "2026-10-20": "Dussehra",
            "2026-11-10": "Diwali-Balipratipada",
            "2026-11-24": "Prakash Gurpurb Sri Guru Nanak Dev",
            "2026-12-25": "Christmas",
        },
    ),
}

# Muhurat evenings on weekdays, which no list of special sessions has. All have files. Up to 2018 the index's volume was
# 10 to 35 % of its neighbours' median; later holiday lists name the day Diwali Laxmi Pujan. None is known before 2000.
MUHURAT = frozenset(
    date.fromisoformat(day)
    for day in (
        *("2000-10-26", "2001-11-14", "2002-11-04", "2004-11-12", "2005-11-01", "2007-11-09", "2008-10-28"),
        *("2010-11-05", "2011-10-26", "2012-11-13", "2014-10-23", "2015-11-11", "2017-10-19", "2018-11-07"),
        *("2021-11-04", "2022-10-24", "2024-11-01", "2025-10-21"),
    )
)

# Holidays of the other exchange for which one source has a file of this exchange. Reliance's daily series at this
# exchange pads closed days with volume 0, but has new prices and volume on each of these. From 1996 to 2002 that series
# and the one source agree on every weekday.
TRADED = frozenset(
    date.fromisoformat(day)
    for day in (
        *("1997-05-08", "1997-08-18", "1997-08-25", "1997-10-28", "1997-10-29", "1998-04-09", "1998-04-28"),
        *("1999-01-01", "1999-03-18", "1999-03-25", "1999-04-30", "1999-11-10", "2001-01-01"),
    )
)

# Holidays with a fixed date. They name a closed day, but never close one: 1996-05-01 traded.
FIXED = {
    (1, 26): "Republic Day",
    (4, 14): "Dr. Baba Saheb Ambedkar Jayanti",
    (5, 1): "Maharashtra Day",
    (8, 15): "Independence Day",
    (10, 2): "Mahatma Gandhi Jayanti",
    (12, 25): "Christmas",
}

# The names of closures that the year's calendar did not announce.
_UNPLANNED = re.compile("Election|Inauguration")

# The words of the list of special sessions -> kind and name in the table.
SPECIAL = {
    "special": ("special", ""),
    "special (full day)": ("special", "full day"),
    "muhurat": ("muhurat", "Diwali Laxmi Pujan"),
    "muhurat (scheduled)": ("muhurat", "Diwali Laxmi Pujan"),
    "budget": ("budget", "Union Budget"),
    "DR drill": ("drill", "disaster-recovery drill"),
}


@dataclass(frozen=True)
class HolidayList:
    """The closed weekdays in one list, with their names, and the range of dates that the list covers."""

    closed: Mapping[date, str]
    first: date
    last: date

    @classmethod
    def of(cls, closed: Mapping[date, str]) -> HolidayList:
        """A list that covers the time from its first to its last holiday."""
        return cls({day: name for day, name in closed.items() if day.weekday() < 5}, min(closed), max(closed))


@dataclass(frozen=True)
class Evidence:
    """The evidence about all days."""

    sources: Mapping[date, int]
    archive: frozenset[date]
    holidays: Mapping[str, HolidayList]
    special: Mapping[date, tuple[str, str]]

    @property
    def last_file(self) -> date:
        """The newest date with a file."""
        return max([*self.sources, *self.archive])

    @property
    def end(self) -> date:
        """The last date to decide: the last file's, or the end of the last year that a list covers."""
        return max(self.last_file, date(max(each.last for each in self.holidays.values()).year, 12, 31))

    def lists(self, day: date) -> tuple[list[str], list[str]]:
        """The names of the lists that call a day closed, and of all lists that cover the day."""
        speak = [name for name, each in self.holidays.items() if each.first <= day <= each.last]
        return [name for name in speak if day in self.holidays[name].closed], speak

    def name(self, day: date) -> str:
        """A closed day's name in a list or, if there is none, in the calendar; may be empty."""
        for each in self.holidays.values():
            if each.closed.get(day):
                return each.closed[day]
        return "Good Friday" if day == good_friday(day.year) else FIXED.get((day.month, day.day), "")


@dataclass(frozen=True)
class Decision:
    """A day's kind, and the rule that decided it. ``kind`` is empty if the weekday decides; a conflict is in words."""

    rule: str
    kind: str = ""
    name: str = ""
    basis: str = ""
    conflict: str = ""


@dataclass
class Summary:
    """The summary to review: counts and conflicts."""

    kinds: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    conflicts: list[str] = field(default_factory=list)

    def add(self, day: date, decision: Decision) -> None:
        """Count a decision."""
        if decision.kind:
            self.kinds[decision.kind] += 1
        self.rules[decision.rule] += 1
        if decision.conflict:
            self.conflicts.append(f"{day} {day:%a} [{decision.rule}] {decision.conflict}")

    def __str__(self) -> str:
        counts = ["by kind: " + _counts(self.kinds), "by rule: " + _counts(self.rules)]
        return "\n".join([*counts, f"{len(self.conflicts)} conflicts:", *self.conflicts])


def decide(day: date, evidence: Evidence) -> Decision:
    """Apply the rules to one day."""
    sources = evidence.sources.get(day, 0)
    if day in evidence.archive or sources >= 2:
        return _session("files", day, evidence)
    if sources == 0 and day > evidence.last_file:
        return _scheduled(day, evidence)
    if sources == 0:
        if day.weekday() >= 5:
            claimed = "a special session is listed, but no source has its file" if day in evidence.special else ""
            return Decision("quiet", conflict=claimed)
        return _without_file(day, evidence)
    if day.weekday() >= 5:
        confirmed = day in evidence.special or day in KNOWN
        rule = "weekend" if day in evidence.special else "known"
    else:
        contradicted = bool(evidence.lists(day)[0])
        confirmed = not contradicted or day in TRADED
        rule = "traded" if contradicted else "single"
    return _session(rule, day, evidence) if confirmed else _stale(day, evidence)


def _session(rule: str, day: date, evidence: Evidence) -> Decision:
    """A day that traded. It is an exception if it is on a weekend or has a name."""
    closed_by, speak = evidence.lists(day)
    conflict = f"a session, though {len(closed_by)} of {len(speak)} lists call it closed" if closed_by else ""
    count = evidence.sources.get(day, 0)
    basis = f"{count} source{'s have' if count != 1 else ' has'} the file" if count else "the archive has the file"
    fact = KNOWN.get(day)
    if fact and fact.kind in SESSION_KINDS and fact.kind != "unarchived":
        return Decision(rule, fact.kind, fact.name, f"{basis}; {fact.source}", conflict)
    if day in MUHURAT:
        return Decision(rule, "muhurat", "Diwali Laxmi Pujan", basis, conflict)
    if day in evidence.special:
        kind, name = evidence.special[day]
        return Decision(rule, kind, name, f"{basis}; list of special sessions", conflict)
    if day.weekday() >= 5:
        return Decision(rule, "special", "", basis, "a weekend's file that no list of special sessions has")
    return Decision(rule, conflict=conflict)


def _without_file(day: date, evidence: Evidence) -> Decision:
    """A weekday without a file, in the years of files."""
    closed_by, speak = evidence.lists(day)
    basis = f"no file; {_of_lists(closed_by, speak)}"
    silent = [name for name in speak if name not in closed_by]
    conflict = f"closed, though {', '.join(silent)} would trade" if silent else ""
    name = evidence.name(day)
    if fact := KNOWN.get(day):
        if fact.kind in SESSION_KINDS:
            return Decision(
                "known", fact.kind, fact.name, f"{basis}; {fact.source}", "a session, though without a file"
            )
        return Decision("no-file", fact.kind, fact.name, f"{basis}; {fact.source}", conflict)
    if _UNPLANNED.search(name):
        return Decision("no-file", "closure", name, basis, conflict)
    return Decision("no-file", "holiday" if closed_by or name else "unexplained", name, basis, conflict)


def _scheduled(day: date, evidence: Evidence) -> Decision:
    """A day later than the last file."""
    closed_by, speak = evidence.lists(day)
    if day in evidence.special:
        kind, name = evidence.special[day]
        return Decision("scheduled", kind, name, "after the last file; list of special sessions")
    if not closed_by:
        return Decision("scheduled")
    silent = [name for name in speak if name not in closed_by]
    conflict = f"closed, though {', '.join(silent)} would trade" if silent else ""
    basis = f"after the last file; {_of_lists(closed_by, speak)}"
    if fact := KNOWN.get(day):
        return Decision("scheduled", fact.kind, fact.name, f"{basis}; {fact.source}", conflict)
    return Decision("scheduled", "holiday", evidence.name(day), basis, conflict)


def _stale(day: date, evidence: Evidence) -> Decision:
    """A day with a single file that nothing confirms."""
    if day.weekday() >= 5:
        return Decision("stale", conflict="closed: one source has a weekend's file, and nothing confirms it")
    basis = f"1 source, not confirmed; {_of_lists(*evidence.lists(day))}"
    return Decision("stale", "holiday", evidence.name(day), basis, "closed, though one source has a file")


def _of_lists(closed_by: list[str], speak: list[str]) -> str:
    if not speak:
        return "no list covers the date"
    return f"{len(closed_by)} of {len(speak)} list{'s' if len(speak) > 1 else ''}"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{key} {count}" for key, count in sorted(counter.items()))


def good_friday(year: int) -> date:
    """Good Friday of a year from 1900 to 2099 (Gauss)."""
    moon = (19 * (year % 19) + 24) % 30
    days = (2 * (year % 4) + 4 * (year % 7) + 6 * moon + 5) % 7
    if days == 6 and (moon == 29 or (moon == 28 and year % 19 > 10)):
        days -= 7
    return date(year, 3, 22) + timedelta(days=moon + days - 2)


def read_lists(folder: Path) -> Evidence:
    """Read every usable list in the folder.

    ``rahulkanadia_holiday_ledger.csv`` is left out: all its dates are in January, because their month was lost.
    """
    with (folder / "DERIVED_trading_dates_from_files.tsv").open(encoding="utf-8", newline="") as file:
        sources = {
            date.fromisoformat(row["date"]): len(set(row["sources"].split(",")))
            for row in csv.DictReader(file, delimiter="\t")
        }
    with (folder / "nse_special_sessions.csv").open(encoding="utf-8", newline="") as file:
        special = {date.fromisoformat(row["date"]): SPECIAL[row["kind"]] for row in csv.DictReader(file)}
    # The first list that has a name for a day gives the name.
    holidays = {
        "iaseth": HolidayList.of(_iaseth(folder / "iaseth_nse-bse-holidays_2018-2025.json")),
        "NseIndiaApi": HolidayList.of(_capital_market(folder / "BennyThadikaran_NseIndiaApi_sample_holidays.json")),
        "SidKumarSingh": HolidayList.of(_day_month_year(folder / "SidKumarSingh_nse-holidays_2025.txt")),
        "jugaad_data": HolidayList.of(_iso_lines(folder / "jugaad_data_holidays.txt")),
        "pandas_market_calendars": HolidayList.of(_iso_lines(folder / "pandas_market_calendars_bse_holidays.txt")),
        "trading_calendars": HolidayList.of(_iso_lines(folder / "trading_calendars_xbom_holidays.txt")),
        "exchange_calendars (closings)": HolidayList.of(
            _iso_lines(folder / "exchange_calendars_xbom_adhoc_holidays.txt")
        ),
        "exchange_calendars (sessions)": _between_sessions(folder / "exchange_calendars_xbom_sessions.csv"),
    }
    return Evidence(sources, frozenset(), holidays, special)


def _iaseth(path: Path) -> dict[date, str]:
    rows = json.loads(path.read_text(encoding="utf-8"))["holidays"]
    return {date.fromisoformat(day): name.strip("* ") for day, name in rows}


def _capital_market(path: Path) -> dict[date, str]:
    """The holidays of CM, the capital market, from the exchange's own answer, which lists every segment."""
    rows = json.loads(path.read_text(encoding="utf-8"))["CM"]
    return {_day(row["tradingDate"], "%d-%b-%Y"): row["description"].strip("* ") for row in rows}


def _day_month_year(path: Path) -> dict[date, str]:
    found = re.findall(r"\d{2}-[A-Z][a-z]{2}-\d{4}", path.read_text(encoding="utf-8"))
    return {_day(text, "%d-%b-%Y"): "" for text in found}


def _iso_lines(path: Path) -> dict[date, str]:
    return {date.fromisoformat(line): "" for line in path.read_text(encoding="utf-8").split()}


def _between_sessions(path: Path) -> HolidayList:
    """The weekdays that are missing from a list of sessions."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    traded = {date.fromisoformat(line[:10]) for line in lines}
    first, last = min(traded), max(traded)
    return HolidayList({day: "" for day in days(first, last) if day.weekday() < 5 and day not in traded}, first, last)


def read_archive(folder: Path) -> frozenset[date]:
    """The dates with a file at the exchange's own path that contains that date."""
    return frozenset(_files(folder))


def _files(folder: Path) -> Iterator[date]:
    for path in sorted(folder.rglob("*.zip")):
        found = EQUITY.of_path("/" + path.relative_to(folder).as_posix())
        if found is None:
            continue
        source, day = found
        try:
            recognise(path.read_bytes(), EQUITY, day, path.name, format=source.name)
        except ChampionError as error:
            print(f"not counted: {error}", file=sys.stderr)
        else:
            yield day


def _day(text: str, pattern: str) -> date:
    return datetime.strptime(text.strip(), pattern).date()  # noqa: DTZ007 - a calendar date has no zone


def days(first: date, last: date) -> Iterator[date]:
    """Every date from first to last, both included."""
    for number in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(number)


def build(evidence: Evidence) -> tuple[list[tuple[str, ...]], Summary]:
    """The rows of the table, and the summary to review."""
    summary = Summary()
    rows: list[tuple[str, ...]] = []
    for day in days(FIRST_DATE, evidence.end):
        decision = decide(day, evidence)
        summary.add(day, decision)
        if decision.kind:
            if decision.kind not in SESSION_KINDS and decision.kind not in CLOSED_KINDS:
                raise ValueError(f"{day}: kind {decision.kind!r} is not one of champion_luigi.exchange.sessions")
            rows.append((day.isoformat(), decision.kind, decision.name, decision.basis))
    rows.append((evidence.last_file.isoformat(), SEEN_KIND, "", "the newest file; each session up to here is proven"))
    rows.sort(key=lambda row: row[0])
    rows.append((evidence.end.isoformat(), END_KIND, "", f"files to {evidence.last_file}, then the published lists"))
    unused = [str(day) for day in sorted({*KNOWN, *MUHURAT}) if day.isoformat() not in {row[0] for row in rows}]
    if unused:
        summary.conflicts.append(f"facts of this script that decided nothing: {', '.join(unused)}")
    return rows, summary


def write(rows: Iterable[tuple[str, ...]]) -> str:
    """The table as CSV, with line feeds only."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Make the table of exceptions to Monday-to-Friday.")
    parser.add_argument("lists", type=Path, help="folder with the lists of holidays, special sessions and files")
    parser.add_argument("archive", type=Path, nargs="?", help="folder laid out as the exchange's archive")
    parser.add_argument("--output", type=Path, help="the table (default: stdout)")
    chosen = parser.parse_args(arguments)
    evidence = read_lists(chosen.lists)
    if chosen.archive:
        found = read_archive(chosen.archive)
        evidence = Evidence(evidence.sources, found, evidence.holidays, evidence.special)
    rows, summary = build(evidence)
    if chosen.output:
        chosen.output.write_text(write(rows), encoding="utf-8", newline="")
    else:
        sys.stdout.write(write(rows))
    print(summary, file=sys.stderr)


if __name__ == "__main__":
    main()
