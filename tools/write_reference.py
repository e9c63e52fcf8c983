"""Write the README's table of data sets and docs/reference/, from the code that they describe.

    python tools/write_reference.py [--check]

``--check`` writes nothing, and exits 1 if a page differs from the code.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference_pages import made_pages, table

from champion_luigi.datasets import catalog

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"


def _file_name(path: str) -> str:
    """The name of a source's files with DDMMYYYY for the date: `ind_close_all_DDMMYYYY.csv`."""
    name = path.rpartition("/")[2].replace("{MON}", "MON")
    for directive, letters in (("%Y", "YYYY"), ("%y", "YY"), ("%m", "MM"), ("%d", "DD"), ("{day:", ""), ("}", "")):
        name = name.replace(directive, letters)
    return name


def data_sets_table() -> str:
    """Each data set of the catalog: what it holds, since when, from which files, where to query it, when it is out."""
    rows = [
        (
            f"`{each.name}`",
            each.about,
            each.first_date,
            ", ".join(f"`{_file_name(source.path)}`" for source in each.sources),
            f"`{each.view}`",
            f"`{each.table}`",
            f"{each.published_at:%H:%M}",
        )
        for each in catalog.DATASETS.values()
    ]
    return table(("data set", "what it holds", "since", "files", "view", "table", "published by (IST)"), *rows)


def with_table(text: str) -> str:
    """The README with its marked table replaced."""
    start, end = "<!-- data sets: made by tools/write_reference.py -->", "<!-- end of data sets -->"
    before, _, rest = text.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit("README.md has no place for the table of data sets")
    return f"{before}{start}\n{data_sets_table()}\n{end}{after}"


def made_files() -> dict[Path, str]:
    """Every generated file, with the content that it must have."""
    pages = {REFERENCE / name: text for name, text in made_pages().items()}
    return {README: with_table(README.read_text(encoding="utf-8")), **pages}


def main() -> None:
    """Write, or check."""
    changed = {
        path: text
        for path, text in made_files().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv[1:]:
        if changed:
            names = ", ".join(str(path.relative_to(ROOT)) for path in changed)
            raise SystemExit(f"{names}: differs from the code; run python tools/write_reference.py")
        return
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
