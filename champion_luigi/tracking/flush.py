"""Delivering what the journal still holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from champion_luigi.base import extras
from champion_luigi.base.errors import ChampionError
from champion_luigi.config import settings
from champion_luigi.tracking import journal, record
from champion_luigi.tracking.carrier import Carrier
from champion_luigi.tracking.job import DELIVERED, Job


@dataclass(frozen=True)
class Flushed:
    """What reached MLflow: the number of runs, and of those that still run; ``store`` is its address."""

    runs: int
    still_running: int
    store: str


def track_flush() -> Flushed:
    """Send all waiting journal records to MLflow now, as `champion track flush` does.

    What this process and others record is sent by itself while they live: then there may be nothing left to send.
    Raises ChampionError if some have not reached MLflow, and NotInstalled. The records stay in the journal then.
    """
    extras.require(settings.mlflow_extra(), "delivery to MLflow", "Until then, the records stay in the journal.")
    store = settings.without_secrets(settings.tracking_uri())
    # In a process of its own: a carrier imports MLflow in a way that the calling program's own use could not stand.
    child = subprocess.run(
        [sys.executable, "-P", "-c", "from champion_luigi.tracking.flush import main; main()"],
        input=record.job().to_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        last = (child.stderr.strip() or f"exit code {child.returncode}").splitlines()[-1]
        raise ChampionError("delivery to MLflow ended early", source=store, found=settings.without_secrets(last))
    found = json.loads(child.stdout.splitlines()[-1])
    if not found["is_delivered"]:
        count = journal.count_undelivered(record.journal_folder())
        if not count:
            raise ChampionError(
                "MLflow cannot be used, and no record waits for it",
                source=store,
                found=found["trouble"],
                todo="Check MLFLOW_TRACKING_URI.",
            )
        raise ChampionError(
            f"{count} {'record has' if count == 1 else 'records have'} not reached MLflow",
            source=store,
            found=found["trouble"],
            todo="They stay in the journal. Once MLflow is available, run `champion track flush` again.",
        )
    return Flushed(found["runs"], len(journal.delivery(record.journal_folder()).open), store)


def main() -> None:
    """Deliver the job that standard input holds; the last line of standard output says what became of it."""
    carrier = Carrier(Job.from_json(sys.stdin.read()), is_alone=True)
    is_delivered = carrier.run() == DELIVERED
    print(json.dumps({"is_delivered": is_delivered, "runs": carrier.delivered_runs, "trouble": carrier.trouble}))
    sys.stdout.flush()
    # As a carrier ends: MLflow's regular shutdown takes 0.6 s.
    os._exit(0)
