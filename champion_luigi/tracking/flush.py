"""Delivering what the journal still holds."""

from __future__ import annotations

from dataclasses import dataclass

from champion_luigi.base import extras
from champion_luigi.base.errors import ChampionError
from champion_luigi.config import settings
from champion_luigi.tracking import journal, record
from champion_luigi.tracking.carrier import Carrier
from champion_luigi.tracking.job import DELIVERED


@dataclass(frozen=True)
class Flushed:
    """What reached MLflow: the number of runs, and of those that still run; ``store`` is its address."""

    runs: int
    still_running: int
    store: str


def track_flush() -> Flushed:
    """Send all waiting journal records to MLflow now, as `champion track flush` does.

    Raises ChampionError if some have not reached it, and NotInstalled. The records stay in the journal then.
    """
    extras.require(settings.mlflow_extra(), "delivery to MLflow", "Until then, the records stay in the journal.")
    store = settings.without_secrets(settings.tracking_uri())
    carrier = Carrier(record.job(), is_alone=True)
    if carrier.run() != DELIVERED:
        count = journal.count_undelivered(record.journal_folder())
        raise ChampionError(
            f"{count} {'record has' if count == 1 else 'records have'} not reached MLflow",
            source=store,
            found=carrier.trouble,
            todo="They stay in the journal. Once MLflow is available, run `champion track flush` again.",
        )
    return Flushed(carrier.delivered_runs, len(journal.delivery(record.journal_folder()).open), store)
