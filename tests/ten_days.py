"""Two weeks of one-day loads for several forked workers: ``luigi --module ten_days TenDays``."""

from __future__ import annotations

from datetime import date

import luigi

from champion_luigi.exchange import sessions
from champion_luigi.pipeline.tasks import LoadClickHouse

START, STOP = date(2023, 6, 1), date(2023, 6, 15)
DAYS = sessions.sessions(START, STOP)


class TenDays(luigi.WrapperTask):
    """A load of every session in the range."""

    def requires(self) -> list[luigi.Task]:
        return [LoadClickHouse(date=day) for day in DAYS]
