"""Luigi's log: the package's own errors as one sentence each, and every record without secrets."""

from __future__ import annotations

import logging
import re

from champion_luigi.base.errors import ChampionError, NotPublished
from champion_luigi.config import settings
from champion_luigi.pipeline import lanes

# The logger on which Luigi logs the errors of tasks.
logger = logging.getLogger("luigi-interface")

# Luigi's message for an error of ours raised by `complete`: a traceback as text.
_IN_COMPLETE = re.compile(
    r"^(Will not run .*) due to error in complete\(\) method:\nTraceback .*\nchampion_luigi\.base\.errors\.(\w+: .*)",
    re.DOTALL,
)
# Luigi puts the traceback of an error raised by complete() into its message.
_TRACEBACK_OF_OURS = re.compile(
    r"Traceback \(most recent call last\):\n(?:.*\n)*?champion_luigi\.base\.errors\.(?=\w+: .*\s*\Z)"
)


class OneSentence(logging.Filter):
    """Logs an error of ours as one sentence. Its traceback would show where the code is, not what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let records pass, an error of ours without its traceback (which log level DEBUG shows)."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, NotPublished) and lanes.in_threads.get():
            return False  # a fill itself reports what a 404 means for the day
        if isinstance(error, ChampionError) and not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}: {error}", None
            record.exc_info = record.exc_text = None
        elif (found := _IN_COMPLETE.search(record.getMessage())) and not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = f"{found[1]}: {found[2]}", None
        elif record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        elif not logger.isEnabledFor(logging.DEBUG):
            record.msg, record.args = _TRACEBACK_OF_OURS.sub("", record.getMessage()), None
        # An error may quote any text that it found.
        if record.exc_text:
            record.exc_text = settings.without_secrets(record.exc_text)
        record.msg, record.args = settings.without_secrets(record.getMessage()), None
        return True


def filter_luigi() -> None:
    """Put the filter on Luigi's logger, and on the fill's below it: a filter applies to its own logger alone."""
    for each in (logger, logging.getLogger(f"{logger.name}.fill")):
        each.addFilter(OneSentence())
