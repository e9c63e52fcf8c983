"""Values as a report's text: numbers with their units, and invisible characters as escapes."""

from __future__ import annotations

NOT_RECORDED = "not recorded"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def visible(text: object) -> str:
    """The text with control characters, bidirectional marks and lone surrogates as escapes, such as ``\\x1b``."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in str(text)
    )


def whole(value: float | None) -> str:
    """A whole number with thousands separators, or "not recorded"."""
    return NOT_RECORDED if value is None else f"{round(value):,}"


def size(value: float | None) -> str:
    """A size in a suitable unit."""
    if value is None:
        return NOT_RECORDED
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:,.0f} {_UNITS[unit]}" if value >= 100 or unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def seconds(value: float | None) -> str:
    """A duration to three digits."""
    return NOT_RECORDED if value is None else f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"


def plural(number: int, word: str) -> str:
    """A count with its word: "1 row", "2 rows"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
