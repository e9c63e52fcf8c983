"""The fault campaign: how much of it runs, and a log of what was injected, of which `docs/faults.md` is made.

    pytestmark = pytest.mark.faults

    @pytest.mark.parametrize("seed", campaign.rounds(fast=3, full=100))
    def test_a_killed_worker_loses_nothing(seed: int) -> None:
        ...
        campaign.tell("Kill -9", "worker killed at a random moment", "rerun equal to an undisturbed run")

Every run has the fast share, ``make torture`` (``TORTURE=true``) all of it. A test that is marked ``torture`` is left
out of every other run: what it shows is shown there at less cost, or bit by bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

_Case = TypeVar("_Case")

IS_WHOLE = os.environ.get("TORTURE", "").lower() == "true"


def rounds(*, fast: int, full: int) -> range:
    """The numbers of the rounds to run: seeds, as a rule, so that a round can be run again."""
    return range(full if IS_WHOLE else fast)


def few(cases: Sequence[_Case], *, fast: int = 1) -> Sequence[_Case]:
    """The cases to run, of a behaviour that is the same in each: the first ones in every run."""
    return cases if IS_WHOLE else cases[:fast]


def tell(area: str, fault: str, outcome: str, *, count: int = 1) -> None:
    """Log that a fault was injected ``count`` times and what came of it, after everything about it was asserted.

    ``area`` is a chapter of the table, ``fault`` says what was done and how, ``outcome`` what a user sees.
    """
    if log := os.environ.get("FAULT_LOG"):
        path = Path(log)
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"area": area, "fault": fault, "outcome": outcome, "count": count})
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
