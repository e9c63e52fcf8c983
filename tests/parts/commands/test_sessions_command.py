"""What `champion sessions` prints, and that other programs can read it."""

from __future__ import annotations

import csv
import json
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
import time_machine
from click.testing import CliRunner
from helpers import champion_here, run_champion

from champion_luigi import sessions
from champion_luigi.commands import ics
from champion_luigi.commands.cli import main

YEAR = ("--start", "2024-01-01", "--end", "2024-12-31")


def printed(*arguments: str) -> str:
    done = champion_here("sessions", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def events(text: bytes) -> list[dict[str, str]]:
    """The events of a calendar, by the rules of RFC 5545 that the file needs."""
    assert text.endswith(b"\r\n")
    assert text.count(b"\n") == text.count(b"\r\n")
    lines = text.split(b"\r\n")
    assert max(map(len, lines)) <= 75
    assert [line.decode() for line in lines]
    unfolded = text.replace(b"\r\n ", b"").decode().splitlines()
    assert (unfolded[0], unfolded[-1]) == ("BEGIN:VCALENDAR", "END:VCALENDAR")
    assert {"VERSION:2.0", "PRODID:-//champion_luigi//sessions//EN"} <= set(unfolded)
    found: list[dict[str, str]] = []
    for line in unfolded:
        name, _, value = line.partition(":")
        if line == "BEGIN:VEVENT":
            found.append({})
        elif found and name != "END":
            found[-1][name] = re.sub(r"\\(.)", lambda each: {"n": "\n"}.get(each[1], each[1]), value)
    return found


def test_the_table_has_each_session_with_kind_and_name() -> None:
    """Special sessions too; the days that no list made special are regular."""
    assert printed("--start", "2024-10-31", "--end", "2024-11-04").splitlines() == [
        "2024-10-31  Thu  regular",
        "2024-11-01  Fri  muhurat  Diwali Laxmi Pujan",
        "2024-11-04  Mon  regular",
        "",
        "2024-10-31 to 2024-11-04: 3 sessions, 0 closed weekdays",
    ]


def test_closed_weekdays_are_shown_on_request() -> None:
    """With the reason, and without ordinary weekends."""
    lines = printed("--start", "2024-11-14", "--end", "2024-11-20", "--closed").splitlines()
    assert lines[1:3] == ["2024-11-15  Fri  holiday  Gurunanak Jayanti", "2024-11-18  Mon  regular"]
    assert lines[-3:] == [
        "2024-11-20  Wed  closure  Assembly Elections in Maharashtra",
        "",
        "2024-11-14 to 2024-11-20: 3 sessions, 2 closed weekdays",
    ]


def test_exceptions_are_the_days_that_differ_from_the_week() -> None:
    """Sessions on weekends and in the evening, and closed weekdays; the counts are those of all days."""
    assert printed("--start", "2024-01-20", "--end", "2024-01-30", "--exceptions").splitlines() == [
        "2024-01-20  Sat  special  full day in place of 2024-01-22",
        "2024-01-22  Mon  closure  Ram Mandir Inauguration Day",
        "2024-01-26  Fri  holiday  Republic Day",
        "",
        "2024-01-20 to 2024-01-30: 6 sessions, 2 closed weekdays",
    ]


def test_csv_and_json_have_the_evidence() -> None:
    """Each day as the Python module describes it."""
    document = json.loads(printed(*YEAR, "--closed", "--format", "json"))
    assert document["seen_until"] == str(sessions.seen_until())
    days = {date.fromisoformat(each["date"]): each for each in document["days"]}
    traded = sessions.between(date(2024, 1, 1), date(2024, 12, 31))
    assert [day for day, each in days.items() if each["session"]] == traded
    for day, each in days.items():
        described = sessions.kind(day), sessions.name(day), sessions.basis(day)
        assert (each["kind"], each["name"], each["basis"]) == described
    rows = list(csv.DictReader(printed(*YEAR, "--closed", "--format", "csv").splitlines()))
    assert [{**row, "session": row["session"] == "true"} for row in rows] == [
        {**each, "weekday": f"{day:%a}"} for day, each in days.items()
    ]
    assert json.loads(printed(*YEAR, "--closed", "--json")) == document


def test_a_calendar_has_an_event_a_day() -> None:
    """Whole days with an id of their own, the same whenever they are printed."""
    arguments = ["sessions", *YEAR, "--exceptions", "--format", "ics"]
    text = CliRunner().invoke(main, arguments).stdout_bytes
    found = events(text)
    days = [date.fromisoformat(each["UID"][:10]) for each in found]
    assert len(set(days)) == len(found) == 20
    assert [each["DTSTART;VALUE=DATE"] for each in found] == [f"{day:%Y%m%d}" for day in days]
    assert [each["DESCRIPTION"] for each in found] == [sessions.basis(day) for day in days]
    assert {each["DTSTAMP"] for each in found} == {f"{sessions.seen_until():%Y%m%d}T000000Z"}
    assert "NSE: Muhurat session (Diwali Laxmi Pujan)" in [each["SUMMARY"] for each in found]
    assert CliRunner().invoke(main, arguments).stdout_bytes == text


def test_any_text_fits_into_a_calendar() -> None:
    """Long, of many bytes a character, and with what has a meaning in the format."""
    text = "a, b; c\\n d\nनई दिल्ली " * 9
    [event] = events(ics.calendar("x", [ics.Event(date(2024, 1, 15), text, "", "x")], date(2024, 1, 15)))
    assert event["SUMMARY"] == text


@pytest.mark.parametrize(
    ("arguments", "first", "last"),
    [
        ((), "2026-01-01", "2026-12-31"),
        (("--end", "2024-03-01"), "2024-01-01", "2024-03-01"),
        (("--start", "2024-03-01"), "2024-03-01", "2026-12-31"),
        (("--start", "2030-03-01"), "2030-03-01", "2030-12-31"),
    ],
)
def test_the_default_is_this_year_in_india(arguments: tuple[str, ...], first: str, last: str) -> None:
    """Where it begins before it does elsewhere."""
    with time_machine.travel("2025-12-31T20:00:00+00:00", tick=False):
        document = json.loads(printed(*arguments, "--json"))
    assert (document["start"], document["end"]) == (first, last)


def test_later_sessions_are_said_to_be_expected() -> None:
    """A list of holidays may still change."""
    end = sessions.seen_until() + timedelta(days=1)
    assert printed("--end", str(end)).endswith(
        f"\nSessions up to {sessions.seen_until()} are proven, later ones are expected.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--start", "2024-02-01", "--end", "2024-01-31"), "--start 2024-02-01 is after --end 2024-01-31"),
        (("--start", "2024-07-06", "--end", "2024-07-07", "--format", "ics"), "a calendar needs an event"),
    ],
)
def test_a_range_that_cannot_be_shown_is_an_error(arguments: tuple[str, ...], words: str) -> None:
    """Of the command's use: code 2."""
    done = champion_here("sessions", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.integration
def test_neither_settings_nor_data_are_needed(tmp_path: Path) -> None:
    """Where both are broken, days are still listed."""
    (tmp_path / "luigi.cfg").write_text("no section\n")
    (tmp_path / "layout.json").write_text("{}")
    done = run_champion("sessions", "--start", "2024-01-20", "--end", "2024-01-20", DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2024-01-20  Sat  special  ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layout.json", "luigi.cfg"]
