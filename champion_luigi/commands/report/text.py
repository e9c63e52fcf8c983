"""Values as a report's text: numbers with their units, and what cannot be seen made visible."""

from __future__ import annotations

NOT_RECORDED = "not recorded"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def visible(text: object) -> str:
    """A text in which control characters, bidirectional marks and lone surrogates stand as escapes, as in ``\\x1b``."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in str(text)
    )


def whole(value: float | None) -> str:
    """A whole number with thousands separated; what was never recorded says so."""
    return NOT_RECORDED if value is None else f"{round(value):,}"


def size(value: float | None) -> str:
    """Bytes in the unit that suits them."""
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
