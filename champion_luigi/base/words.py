"""The word that a person meant: options, commands and tasks, by what people call them and by spelling."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# What people try, in groups of one meaning. The words of one group stand for each other.
_MEANINGS = (
    {"start", "from", "since", "begin", "after", "first", "start-date", "from-date", "date-from"},
    {"end", "stop", "to", "until", "till", "last", "before", "end-date", "to-date", "date-to"},
    {"date", "day", "on", "trade-date"},
    {"workers", "jobs", "threads", "parallel", "processes", "concurrency"},
    {"dataset", "datasets", "data-set", "data", "table"},
    {"output", "out", "file", "to-file", "write"},
    {"dry-run", "plan", "what-if", "check"},
    {"fill", "load", "fetch", "get", "download", "backfill", "run", "update", "sync", "ingest", "scrape", "day"},
    {"status", "state", "list", "missing", "coverage", "progress"},
    {"sql", "query", "select", "ask"},
    {"doctor", "check", "diagnose", "health", "test"},
    {"verify", "validate", "compare", "audit"},
    {"redo", "rerun", "retry", "again", "reload"},
    {"sessions", "calendar", "holidays", "days"},
    {"schedule", "cron", "systemd", "timer"},
    {"track", "mlflow", "ui", "runs"},
    {"clean", "cleanup", "purge", "prune"},
    {"prices", "price", "ohlc", "chart", "plot", "history"},
    {"actions", "splits", "dividends", "bonuses", "corporate-actions"},
)


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that the word can stand for, best first: those of its meaning, or else of similar spelling.

    Dashes before a word and the case of letters do not matter; a result is written as in ``known``.
    """
    by_name = {each.lstrip("-").lower().replace("_", "-"): each for each in known}
    name = word.lstrip("-").lower().replace("_", "-")
    meant = [by_name[each] for group in _MEANINGS if name in group for each in by_name if each in group]
    return meant or [by_name[each] for each in difflib.get_close_matches(name, by_name, cutoff=0.7)]
