"""Every data set by its name, in the order in which commands list them. A new data set is a module and a line here."""

from __future__ import annotations

from datetime import date

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.model import Dataset, Source

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (EQUITY, INDEX_CLOSE)}
NAMES = tuple(DATASETS)
DEFAULT = EQUITY.name


def named(dataset: str) -> dict[str, str]:
    """The field that a journal record states beside others; none for the default data set, which was alone once."""
    return {} if dataset == DEFAULT else {"dataset": dataset}


def of_path(path: str) -> tuple[Dataset, Source, date] | None:
    """The data set, the source and the date that a path of the archive has; None where no data set has it."""
    for dataset in DATASETS.values():
        if found := dataset.of_path(path):
            return dataset, *found
    return None
