"""Every data set by name, in the order in which commands list them. A new data set takes a module and a line here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from champion_luigi.base.errors import SettingsError
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.delivery import DELIVERY
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.datasets.model import Dataset, Source

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset for dataset in (EQUITY, INDEX_CLOSE, DELIVERY, CORPORATE_ACTIONS, MARKET_CAP)
}
NAMES = tuple(DATASETS)
DEFAULT = EQUITY.name
# In place of a name: every data set.
ALL = "all"


def dataset_of(name: str) -> Dataset:
    """The data set of a name. Raises SettingsError, which lists the names."""
    if not isinstance(name, str) or name not in DATASETS:
        raise SettingsError("there is no data set of that name", expected=" or ".join(NAMES), found=str(name))
    return DATASETS[name]


def datasets_of(names: str | Iterable[str]) -> list[Dataset]:
    """The data sets of a name or of several, each once; "all" stands for every one. Raises SettingsError."""
    given = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [names]
    return [dataset_of(name) for name in dict.fromkeys(NAMES if given == [ALL] else given)]


def named(dataset: str) -> dict[str, str]:
    """The data set's field in a journal record; absent for the default data set, which older records imply."""
    return {} if dataset == DEFAULT else {"dataset": dataset}


def of_path(path: str) -> list[tuple[Dataset, Source, date]]:
    """The data sets that have a path on the archive, each with its source and the date; several share some files."""
    return [(dataset, *found) for dataset in DATASETS.values() if (found := dataset.of_path(path))]
