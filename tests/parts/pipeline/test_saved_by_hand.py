"""A file that a user saved by hand, from an archive folder to the lake."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from helpers import build

from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.pipeline.tasks import WriteParquet
from champion_luigi.simulated import exchange
from champion_luigi.storage import lake

DAY = date(2020, 12, 31)
NAME = "CF-CA-equities-01-12-2020-to-31-12-2020.csv"


@pytest.mark.integration
def test_an_export_in_an_archive_folder_becomes_the_list_of_its_last_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored under its own name, and in the lake whole; the folder has no list of that day."""
    content = exchange.payload(DAY, "export", CORPORATE_ACTIONS)
    assert content is not None
    (tmp_path / "archive" / "corporate_actions").mkdir(parents=True)
    (tmp_path / "archive" / "corporate_actions" / NAME).write_bytes(content)
    monkeypatch.setenv("NSE_ARCHIVE_URL", str(tmp_path / "archive"))
    assert build(WriteParquet(date=DAY, dataset=CORPORATE_ACTIONS.name)).is_done
    rows = lake.scan(settings.lake_dir(), dataset=CORPORATE_ACTIONS.name).collect()
    assert rows["line"].n_unique() == len(content.splitlines()) - 1
    assert rows.select("trade_date", "layout").unique().rows() == [(DAY, "export")]
    assert wiring.files(CORPORATE_ACTIONS).receipt(DAY).with_name(NAME).read_bytes() == content
