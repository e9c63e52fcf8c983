"""One trading day from Python, for former callers of the Prefect flow: the same tasks, in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from champion_luigi.base.dates import day_of
from champion_luigi.base.errors import ChampionError
from champion_luigi.base.places import Place
from champion_luigi.config import settings
from champion_luigi.datasets import catalog
from champion_luigi.pipeline import absence
from champion_luigi.pipeline.build import build, one_at_a_time
from champion_luigi.pipeline.day_task import DayTask, listening
from champion_luigi.pipeline.tasks import LoadClickHouse, ScrapeBhavcopy, WriteParquet
from champion_luigi.storage import lake, raw
from champion_luigi.tracking import record
from champion_luigi.warehouse import opened


@dataclass(frozen=True)
class DayResult:
    """The result of a day. Counts are rows; ``rejects_path`` is None if no row was rejected."""

    trade_date: date
    rows_processed: int
    raw_rows: int
    rejected: int
    loaded: int
    layout: str
    warnings: dict[str, int] = field(hash=False)
    raw_path: Place
    lake_path: Place
    rejects_path: Path | None


@one_at_a_time
def run_day(
    trade_date: date | str | None = None,
    *,
    dataset: str = catalog.DEFAULT,
    output_base_path: str | Path | None = None,
    load_to_clickhouse: bool = True,
    clickhouse_host: str | None = None,
    clickhouse_port: int | None = None,
    clickhouse_user: str | None = None,
    clickhouse_password: str | None = None,
    clickhouse_database: str | None = None,
) -> DayResult:
    """Run the chain for one day, by default the latest session that should be out by now, and report the result.

    ``trade_date`` is a date or an ISO text, ``dataset`` the name of a data set, ``output_base_path`` the lake's root.
    Other values come from the environment and ``luigi.cfg``. A day that is already complete is not run again. Raises
    the error of the task that failed, or SettingsError.
    """
    values = {
        "lake_dir": str(output_base_path) if output_base_path is not None else None,
        "clickhouse_host": clickhouse_host,
        # The embedded engine is no cluster.
        "clickhouse_cluster": "" if clickhouse_host == "" else None,
        "clickhouse_port": clickhouse_port,
        "clickhouse_user": clickhouse_user,
        "clickhouse_password": clickhouse_password,
        "clickhouse_database": clickhouse_database,
    }
    with settings.overridden(values), record.execution():
        last: type[DayTask] = LoadClickHouse if load_to_clickhouse else WriteParquet
        day: Any = day_of(trade_date, "trade_date")
        task = last(date=day, dataset=catalog.dataset_of(dataset).name)
        try:
            _build(task)
            # Another host may have loaded the day, from a lake of its own.
            _build(WriteParquet(date=task.date, dataset=dataset))
        finally:
            # A notebook that stays open must not keep other processes from the embedded engine.
            opened.close_shared()
        return _result(task.date, dataset, load_to_clickhouse)


def _build(task: DayTask) -> None:
    # Both called here first, as Luigi only logs what they raise, such as an unusable setting.
    if task.is_made():
        return
    task.deps()
    with listening() as errors:
        result = build([task])
    if task.date in errors:
        raise errors[task.date]
    if not result.scheduling_succeeded or not task.is_made():
        absence.require_due(task.definition, task.date)
        raise ChampionError(f"{task} did not complete: {result.summary_text}")


def _result(day: date, dataset: str, load_to_clickhouse: bool) -> DayResult:
    written = WriteParquet(date=day, dataset=dataset)
    lake_path = written.output().file
    metadata = lake.read_metadata(lake_path, written.definition)
    rejected = int(metadata["rejected_rows"])
    receipt = ScrapeBhavcopy(date=day, dataset=dataset).output().load() or {}
    loaded = LoadClickHouse(date=day, dataset=dataset).output().rows() if load_to_clickhouse else None
    return DayResult(
        trade_date=day,
        rows_processed=int(metadata["rows"]),
        raw_rows=int(metadata["raw_rows"]),
        rejected=rejected,
        loaded=loaded or 0,
        layout=metadata["format"],
        warnings=json.loads(metadata["warnings"]),
        raw_path=raw.place_of(written.files, day, {**receipt, "file": metadata["source_file"]}),
        lake_path=lake_path,
        rejects_path=written.files.rejects(day) if rejected else None,
    )
