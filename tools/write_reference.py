"""Write the README's tables (data sets, settings, columns, errors) and docs/reference/, from the code they describe.

    python tools/write_reference.py [--check]

``--check`` writes nothing, and exits 1 if a page differs from the code.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference_pages import errors_table, made_pages, setting_rows, table

from champion_luigi.config import settings
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"


def settings_table() -> str:
    """Each setting: environment variable, place in luigi.cfg, default and meaning."""
    rows = [
        (f"`{env}`", f"`{place}`", f"`{default}`", meaning)
        for env, place, default, _, meaning in setting_rows(*settings.SECTIONS)
    ]
    rows.append(("`CLICKHOUSE_PASSWORD`", "`[clickhouse] password`", "`(empty)`", "never shown, logged or stored"))
    return table(("environment", "`luigi.cfg`", "default", "what it is"), *rows)


def schema_table() -> str:
    """Each canonical column of the equity bhavcopy: type, unit and meaning."""
    rows = [
        (f"`{each.name}`", each.kind.type, each.unit or "–", "never" if each.required else "may be", each.meaning)
        for each in EQUITY.columns
    ]
    return table(("column", "Polars", "unit", "null?", "meaning"), *rows)


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


def with_tables(text: str) -> str:
    """The README with each marked table replaced."""
    tables = {
        "data sets": data_sets_table,
        "settings": settings_table,
        "schema": schema_table,
        "errors": errors_table,
    }
    for name, made in ((name, make()) for name, make in tables.items()):
        start, end = f"<!-- {name}: made by tools/write_reference.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"README.md has no place for the table of {name}")
        text = f"{before}{start}\n{made}\n{end}{after}"
    return text


def made_files() -> dict[Path, str]:
    """Every generated file, with the content that it must have."""
    pages = {REFERENCE / name: text for name, text in made_pages().items()}
    return {README: with_tables(README.read_text(encoding="utf-8")), **pages}


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
