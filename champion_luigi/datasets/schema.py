# mypy: implicit-reexport
"""The equity bhavcopy's columns under their earlier names, until every stage takes a data set."""

from __future__ import annotations

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column  # noqa: F401

VERSION = EQUITY.version
COLUMNS = EQUITY.columns
NAMES = EQUITY.names
NUMBERS = EQUITY.numbers
require_version = EQUITY.require_version
