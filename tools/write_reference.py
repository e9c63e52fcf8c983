"""Write the README's tables of settings, columns and errors from the code that they describe.

    python tools/write_reference.py [--check]

``--check`` writes nothing and exits 1 where the README says something else than the code.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from champion_luigi import errors, schema, settings

README = Path(__file__).resolve().parents[1] / "README.md"


def settings_table() -> str:
    """Each setting: environment variable, place in luigi.cfg, default and meaning."""
    lines = ["| environment | `luigi.cfg` | default | what it is |", "|---|---|---|---|"]
    for section in (settings.champion, settings.clickhouse):
        for name, parameter in sorted(section.get_params(), key=lambda each: each[1]._counter):
            default = str(parameter._default).lower() if isinstance(parameter._default, bool) else parameter._default
            default = "(empty)" if default == "" else default
            place = f"[{section.__name__}] {name}"
            lines.append(f"| `{parameter.env}` | `{place}` | `{default}` | {parameter.description} |")
    lines.append("| `CLICKHOUSE_PASSWORD` | `[clickhouse] password` | `(empty)` | never shown, logged or stored |")
    return "\n".join(lines)


def schema_table() -> str:
    """Each canonical column: type, unit and meaning."""
    lines = ["| column | Polars | unit | null? | meaning |", "|---|---|---|---|---|"]
    for column in schema.COLUMNS:
        null = "never" if column.required else "may be"
        lines.append(f"| `{column.name}` | {column.polars} | {column.unit or '–'} | {null} | {column.meaning} |")
    return "\n".join(lines)


def errors_table() -> str:
    """Each error that a task raises: what it means, and what the person on call does."""
    lines = ["| error | what it means | what to do |", "|---|---|---|"]
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.ChampionError) and "\n\n" in (kind.__doc__ or ""):
            meaning, todo = (" ".join(part.split()) for part in inspect.cleandoc(kind.__doc__ or "").split("\n\n", 1))
            lines.append(f"| `{name}` | {meaning} | {todo.replace('``', '`')} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """The README with each marked table made anew."""
    for name, table in (("settings", settings_table()), ("schema", schema_table()), ("errors", errors_table())):
        start, end = f"<!-- {name}: made by tools/write_reference.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"README.md has no place for the table of {name}")
        text = f"{before}{start}\n{table}\n{end}{after}"
    return text


def main() -> None:
    """Write, or check."""
    text = README.read_text(encoding="utf-8")
    made = with_tables(text)
    if "--check" in sys.argv[1:]:
        if made != text:
            raise SystemExit("README.md is not what the code says: run python tools/write_reference.py")
        return
    README.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
