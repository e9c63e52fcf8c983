"""`champion clean`: remove the leftovers of killed runs, and on request the outputs between two stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from champion_luigi.commands import output
from champion_luigi.datasets import catalog

if TYPE_CHECKING:
    from champion_luigi.datasets.model import Dataset

_KINDS = {"leftover": "leftovers", "lock": "locks", "claim": "claims", "intermediate": "intermediates"}
_MOST_NAMED = 20


@click.command(name="clean")
@output.of_datasets(catalog.ALL, "With --intermediates: of these data sets")
@click.option("--intermediates", is_flag=True, help="Also remove loaded days' outputs in parsed/ and normalized/.")
@click.option("--lake-only", is_flag=True, help="With --intermediates: do so for all days in the lake, loaded or not.")
@click.option("--dry-run", is_flag=True, help="Only list the files to remove, and the bytes that would be freed.")
@click.option("--json", "as_json", is_flag=True, help="Print all files as one JSON document.")
def command(datasets: Sequence[Dataset], intermediates: bool, lake_only: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the leftovers of killed runs: temporary files older than an hour, and locks that no process holds.

    In a store that hosts share, it also removes the objects with which the store was tried out, and claims to days that
    no host renews.

    With --intermediates, also remove loaded days' outputs in parsed/ and normalized/, as a fill does with those of the
    days that it loads. This makes no stage due: a later `champion redo` makes them again from the fetched file, which
    always stays. Files with other names, and files of running processes, are never touched.
    """
    from champion_luigi.upkeep import calls

    if lake_only and not intermediates:
        raise click.UsageError("--lake-only needs --intermediates")
    names = [dataset.name for dataset in datasets]
    cleaned = calls.clean(intermediates=intermediates, lake_only=lake_only, dry_run=dry_run, dataset=names)
    document = {
        "dry_run": dry_run,
        "bytes": sum(item.bytes for item in cleaned.removed),
        "removed": [{"kind": item.kind, "path": item.path, "bytes": item.bytes} for item in cleaned.removed],
        "kept": [vars(each) for each in cleaned.kept],
    }
    click.echo(output.as_json(document) if as_json else _in_words(document))


def _in_words(document: dict[str, Any]) -> str:
    removed, dry_run = document["removed"], document["dry_run"]
    lines = []
    for kind, words in _KINDS.items():
        entries = [entry for entry in removed if entry["kind"] == kind]
        if entries:
            lines.append(_count(words, entries))
            if dry_run:
                named = [output.short(entry["path"]) for entry in entries]
                lines += [f"  {line}" for line in output.some(named, ": --json names each", _MOST_NAMED)]
    lines.append(_count("would free" if dry_run else "freed", removed) if removed else "There is nothing to remove.")
    reasons = Counter(each["why"] for each in document["kept"])
    for why, count in sorted(reasons.items()):
        lines += output.wrapped(f"stays: {count} {output.plural(count, 'file')}, {why}", "  ")
    return "\n".join(lines)


def _count(words: str, entries: list[dict[str, Any]]) -> str:
    size = sum(entry["bytes"] for entry in entries)
    return f"{words:<14}{len(entries):>8,} {output.plural(len(entries), 'file'):<5}{size:>18,} bytes"
