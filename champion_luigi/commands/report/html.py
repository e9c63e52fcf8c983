"""Values as a report's HTML text: whatever comes from outside is escaped, and what cannot be seen is made visible."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

NOT_RECORDED = "not recorded"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def visible(text: object) -> str:
    """A text in which control characters, bidirectional marks and lone surrogates stand as escapes, as in ``\\x1b``."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in str(text)
    )


def escaped(text: object) -> str:
    """A text as HTML, for content and for attributes in double quotes."""
    return html.escape(visible(text))


def count(value: float | None) -> str:
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


def element(tag: str, content: str, **attributes: object) -> str:
    """An element around HTML; attribute values are escaped, ``class_`` is ``class``, ``aria_label`` ``aria-label``."""
    told = "".join(f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"' for name, value in attributes.items())
    return f"<{tag}{told}>{content}</{tag}>"


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 99) -> str:
    """A table of cells that are HTML already, in a box that scrolls by itself; numbers stand to the right."""

    def cells(tag: str, row: Sequence[str], **attributes: object) -> str:
        return "".join(
            element("th" if at == 0 else tag, cell, **({"scope": "row"} if at == 0 and tag == "td" else attributes))
            if at < numbers_from
            else element(tag, cell, class_="number", **attributes)
            for at, cell in enumerate(row)
        )

    head = element("thead", element("tr", cells("th", [escaped(each) for each in columns], scope="col")))
    body = element("tbody", "\n".join(element("tr", cells("td", row)) for row in rows))
    inner = element("table", element("caption", escaped(caption)) + head + body)
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def embedded_json(document: Any) -> str:
    """A document for a JSON script element, which nothing in it can end."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
