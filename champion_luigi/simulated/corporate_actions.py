"""The simulated corporate actions: the list in the zip for the press, and the website's export."""

from __future__ import annotations

from datetime import date

from champion_luigi.datasets.model import Layout, Source
from champion_luigi.simulated import notices, press


def written(day: date, source: Source, layout: Layout) -> bytes:
    """A session's zip, or an export that ends with the session."""
    return notices.export(day, layout.columns) if source.is_saved_by_hand else press.written(day)
