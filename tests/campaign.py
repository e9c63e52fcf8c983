"""The fault campaign: the size of a run, and the log of injected faults, from which `docs/faults.md` is made.

    pytestmark = pytest.mark.faults

    @pytest.mark.parametrize("seed", campaign.rounds(fast=3, full=100))
    def test_a_killed_worker_loses_nothing(seed: int) -> None:
        ...
        campaign.tell("Kill -9", "worker killed at a random moment", "rerun equal to an undisturbed run")

Every run has the fast share, ``make torture`` (``TORTURE=true``) the whole campaign. A test marked ``torture`` is left
out of every other run: other tests show the same there at less cost, or in parts.
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
    """The numbers of the rounds to run. They usually serve as seeds, so a round can be repeated."""
    return range(full if IS_WHOLE else fast)


def few(cases: Sequence[_Case], *, fast: int = 1) -> Sequence[_Case]:
    """The cases to run for a behaviour that all of them share: the first ones in every run, all in a whole campaign."""
    return cases if IS_WHOLE else cases[:fast]


def tell(area: str, fault: str, outcome: str, *, count: int = 1) -> None:
    """Log a fault that was injected ``count`` times, and its outcome, after all assertions about it.

    ``area`` is the chapter of the table, ``fault`` describes the fault and its method, ``outcome`` is what a user sees.
    """
    if log := os.environ.get("FAULT_LOG"):
        path = Path(log)
        path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"area": area, "fault": fault, "outcome": outcome, "count": count})
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
