"""The commands by what people want of them: a line for each, which fits a terminal, and examples for its help.

This is a table of its own, so that `champion --help` imports no command.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command in the overview: the line about it, and examples, each a command that works."""

    line: str
    examples: tuple[str, ...]


GROUPS: dict[str, dict[str, Entry]] = {
    "Get the data": {
        "fill": Entry(
            "Complete every missing session of a range.",
            (
                "champion fill",
                "champion fill --start 2015-01-01",
                "champion fill --date 2024-01-15",
                "champion fill --dataset all --start 2024-01-01 --end 2024-03-31",
                "champion fill --start 2015-01-01 --dry-run",
            ),
        ),
        "adjust": Entry(
            "Make the adjustments for splits, bonuses and dividends.",
            ("champion adjust", "champion adjust --lake-only"),
        ),
        "demo": Entry("Run everything on a few simulated days.", ("champion demo", "champion demo --data-dir demo")),
    },
    "Read the data": {
        "prices": Entry(
            "Show adjusted prices: a table, a file or a chart.",
            (
                "champion prices RELIANCE --start 2015-01-01",
                "champion prices INFY TCS --adjusted total_return --output prices.csv",
                "champion prices RELIANCE --plot",
            ),
        ),
        "sql": Entry(
            "Query the warehouse.",
            (
                'champion sql "SELECT count() FROM equity_ohlc"',
                "champion sql \"SELECT * FROM equity_ohlc WHERE symbol = 'INFY'\" --output infy.csv",
            ),
        ),
        "actions": Entry(
            "List splits, bonuses, dividends and new symbols.",
            ("champion actions RELIANCE", "champion actions --unadjusted --format csv"),
        ),
        "sessions": Entry(
            "List the exchange's trading days.",
            ("champion sessions", "champion sessions --start 2024-01-01 --end 2024-12-31 --format csv"),
        ),
    },
    "Check": {
        "status": Entry(
            "Show what is loaded, missing or failed.",
            ("champion status", "champion status --start 2024-01-01 --end 2024-03-31", "champion status --json"),
        ),
        "report": Entry(
            "Write the state of the data as an HTML page.",
            ("champion report", "champion report --output status.html --dataset all"),
        ),
        "verify": Entry(
            "Compare files, lake and warehouse, date by date.",
            ("champion verify", "champion verify --start 2024-01-01 --repair", "champion verify --adjustments"),
        ),
        "doctor": Entry(
            "Check installation, settings, disks and servers.",
            ("champion doctor", "champion doctor --json"),
        ),
    },
    "Repair": {
        "redo": Entry(
            "Run a stage of some days again.",
            (
                "champion redo --date 2024-01-15 --from scrape",
                "champion redo --start 2024-01-01 --end 2024-01-31 --from normalize --dry-run",
            ),
        ),
        "refresh": Entry(
            "Fetch stored days again, and replace changed ones.",
            ("champion refresh --days 5", "champion refresh --days 5 --end 2024-01-31"),
        ),
        "clean": Entry("Remove what killed runs left behind.", ("champion clean --dry-run", "champion clean")),
    },
    "Run": {
        "schedule": Entry(
            "Print cron lines or systemd units for each evening.",
            ("champion schedule --cron", "champion schedule --systemd --dataset all"),
        ),
        "ddl": Entry(
            "Print the statements that make tables and views.", ("champion ddl", "champion ddl --shards 2 --each-host")
        ),
        "track": Entry(
            "Show or deliver durations and counts in MLflow.", ("champion track ui", "champion track flush")
        ),
    },
}
ENTRIES = {name: entry for group in GROUPS.values() for name, entry in group.items()}
