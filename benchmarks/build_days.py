"""Load the days given as arguments by `luigi.build`, 25 at a time, in one process."""

from __future__ import annotations

import itertools
import sys
from datetime import date

import luigi

from champion_luigi import LoadClickHouse

if __name__ == "__main__":
    days = map(date.fromisoformat, sys.argv[1:])
    while chunk := list(itertools.islice(days, 25)):
        tasks = [LoadClickHouse(date=day) for day in chunk]
        if not luigi.build(tasks, local_scheduler=True, workers=1, log_level="WARNING"):
            sys.exit(1)
