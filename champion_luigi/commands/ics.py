"""An iCalendar file of whole days (RFC 5545), for calendar programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

# The longest line, in bytes without its end.
_LONGEST = 75
_ESCAPES = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})


class Event(NamedTuple):
    """A whole day: its summary, its description, and its category."""

    day: date
    summary: str
    description: str
    category: str


def calendar(name: str, events: Iterable[Event], revised: date) -> bytes:
    """A calendar with a name, in UTF-8. ``revised`` is the date of its information, the same for every event.

    An event's id is made of its date, so a calendar that is imported again replaces the events of the first time. The
    RFC demands one event at least.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//champion_luigi//sessions//EN",
        f"X-WR-CALNAME:{name.translate(_ESCAPES)}",
    ]
    for event in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{event.day}@sessions.champion-luigi",
            f"DTSTAMP:{_digits(revised)}T000000Z",
            f"DTSTART;VALUE=DATE:{_digits(event.day)}",
            f"SUMMARY:{event.summary.translate(_ESCAPES)}",
            f"DESCRIPTION:{event.description.translate(_ESCAPES)}",
            f"CATEGORIES:{event.category.translate(_ESCAPES)}",
            # Nobody is busy for the whole day.
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    return b"".join(part + b"\r\n" for line in [*lines, "END:VCALENDAR"] for part in _folded(line))


def _digits(day: date) -> str:
    return f"{day:%Y%m%d}"


def _folded(line: str) -> Iterator[bytes]:
    """A line's parts of at most 75 bytes: each but the first begins with a blank, and no character is cut."""
    part = b""
    for character in line:
        encoded = character.encode()
        if len(part) + len(encoded) > _LONGEST:
            yield part
            part = b" "
        part += encoded
    yield part
