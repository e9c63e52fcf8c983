"""Compare the lake with the archive's other files of a day: two sources of one day have the same values.

Each other source costs one request a day. Rows are compared by key, in the columns that both sources have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from champion_luigi.base.errors import NotPublished, Refused, RejectedPayload
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.model import Dataset, Source
from champion_luigi.storage import lake

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.exchange.archive import Published
    from champion_luigi.parsing.payload import Recognised

_MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Compared:
    """One source's file of a day against the lake's rows: numbers of rows, and of different values by column.

    ``only_lake`` and ``only_source`` count keys that the other one lacks, as partial sources do. ``trouble`` says why a
    file could not be compared.
    """

    date: date
    source: str
    common: int = 0
    only_lake: int = 0
    only_source: int = 0
    different: dict[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    trouble: str = ""


def in_lake(dataset: Dataset, start: date | None, end: date | None) -> set[date]:
    """The days in the lake from ``start`` to ``end``, both included; by default all of them."""
    stop = end + timedelta(days=1) if end else date.max
    return {day for day, _ in lake.days(settings.lake_dir(), dataset, start or date.min, stop)}


def of_days(dataset: Dataset, days: Sequence[date]) -> Iterator[Compared]:
    """Compare each day in the lake with each other source that the archive has. Raises the archive's errors.

    A file that is refused, or is not the day's, is reported; one that the archive lacks is not.
    """
    for day in days:
        rows, metadata = lake.read_parquet(lake.partition(settings.lake_dir(), day, dataset), dataset)
        for source in dataset.sources_of(day, wiring.official_from()):
            if source.name != metadata["format"]:
                try:
                    yield _compared(dataset, day, source, rows, metadata["format"])
                except NotPublished:
                    continue
                except (Refused, RejectedPayload) as error:
                    yield Compared(day, source.name, trouble=str(error).removeprefix(f"{day}: "))


def _compared(dataset: Dataset, day: date, source: Source, rows: pl.DataFrame, format: str) -> Compared:
    import polars as pl

    from champion_luigi.exchange import archive
    from champion_luigi.parsing import lines, normalize

    alone = replace(dataset, sources=(source,))
    _, recognised = archive.fetch(wiring.configured_archive(), alone, day, partial(_read, dataset, day))
    others = normalize.normalize(lines.parse(recognised), dataset, source.name, day).rows
    key = list(dataset.key)
    both = rows.join(others, on=key, how="inner", suffix="_other")
    shared = dataset.published_columns(source.name).keys() & dataset.published_columns(format).keys() - {*key}
    differs = {name: pl.col(name).ne_missing(pl.col(f"{name}_other")) for name in dataset.names if name in shared}
    counts = both.select(**differs).sum().row(0, named=True) if differs else {}
    different = {name: int(count) for name, count in counts.items() if count}
    examples = []
    for name in different:
        found = both.filter(differs[name]).select(*key, name, f"{name}_other").head(_MOST_EXAMPLES)
        examples += [f"{name} of {' '.join(map(str, row[:-2]))}: {row[-2]}, {row[-1]}" for row in found.rows()]
    return Compared(
        day,
        source.name,
        both.height,
        rows.height - both.height,
        others.height - both.height,
        different,
        tuple(examples[:_MOST_EXAMPLES]),
    )


def _read(dataset: Dataset, day: date, published: Published) -> Recognised:
    from champion_luigi.parsing import payload

    limit = wiring.max_unzipped_bytes()
    return payload.recognise(published.content, dataset, day, published.url, limit, format=published.source)
