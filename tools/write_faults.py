"""Write the tables of docs/faults.md from the log of a whole run of the fault campaign (``make torture``).

python tools/write_faults.py LOG
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from reference_pages import table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "faults.md"
START, END = "<!-- faults: made by tools/write_faults.py -->", "<!-- end of faults -->"


def tables(log: str) -> str:
    """A table for each area: each fault, its count and its outcome. Sorted, because tests run in parallel."""
    areas: dict[str, Counter[tuple[str, str]]] = {}
    for line in log.splitlines():
        told = json.loads(line)
        areas.setdefault(told["area"], Counter())[told["fault"], told["outcome"]] += told["count"]
    parts = [f"The last whole run was on {datetime.now(UTC):%Y-%m-%d}.\n"]
    for area, counts in sorted(areas.items()):
        rows = [(fault, f"{count:,}", outcome) for (fault, outcome), count in sorted(counts.items())]
        parts.append(f"### {area}\n\n{table(('fault, and how it was injected', 'times', 'what happened'), *rows)}\n")
    return "\n".join(parts)


def main() -> None:
    """Replace the text between the marks."""
    [log] = sys.argv[1:]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} has no place for the tables")
    made = tables(Path(log).read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{START}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
