"""Luigi's log: an error of ours is logged as the sentence that it is, and without a secret."""

from __future__ import annotations

import logging
import re

from champion_luigi.base.errors import ChampionError, NotPublished
from champion_luigi.config import settings
from champion_luigi.pipeline import lanes

# Where Luigi logs what a task raised.
logger = logging.getLogger("luigi-interface")

# What Luigi logs of an error of ours that `complete` raises: a traceback as a text.
_IN_COMPLETE = re.compile(
    r"^(Will not run .*) due to error in complete\(\) method:\nTraceback .*\nchampion_luigi\.base\.errors\.(\w+: .*)",
    re.DOTALL,
)
# Luigi puts what complete() raised into the text of its message.
_TRACEBACK_OF_OURS = re.compile(
    r"Traceback \(most recent call last\):\n(?:.*\n)*?champion_luigi\.base\.errors\.(?=\w+: .*\s*\Z)"
)


class OneSentence(logging.Filter):
    """Logs an error of ours as the sentence that it is. Its traceback would say where the code is, not what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let records pass, ours without its traceback (which log level DEBUG shows)."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, NotPublished) and lanes.in_threads.get():
            return False  # a fill says by itself what a 404 means for the day
        if isinstance(error, ChampionError) and not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {error}", None
            record.exc_info = record.exc_text = None
        elif (found := _IN_COMPLETE.search(record.getMessage())) and not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = f"{found[1]}: {found[2]}", None
        elif record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        elif not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = _TRACEBACK_OF_OURS.sub("", record.getMessage()), None
        # Errors quote what they found, which can be anything.
        if record.exc_text:
            record.exc_text = settings.without_secrets(record.exc_text)
        record.msg, record.args = settings.without_secrets(record.getMessage()), None
        return True


def filter_luigi() -> None:
    """Put the filter on Luigi's logger, and on the fill's below it: a filter is for its own logger alone."""
    for each in (logger, logging.getLogger(f"{logger.name}.fill")):
        each.addFilter(OneSentence())
