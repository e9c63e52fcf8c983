"""The exchange's first trading day."""

from __future__ import annotations

from datetime import date

# Beside the data sets, whose declarations take longer to import than the whole table of sessions.
FIRST_DATE = date(1994, 11, 3)
