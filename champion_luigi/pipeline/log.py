"""Luigi's log as people read it: each problem once, in a sentence without secrets, and Luigi's own steps on request.

A `luigi` command of one of this package's tasks, and every `champion` command, show what our tasks say. Luigi's steps
and summaries, some forty lines a day, appear with ``--log-level INFO``, or ``[core] log_level`` in luigi.cfg.
"""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path
from typing import Any

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.rpc import RPCError
from luigi.task_register import Register

from champion_luigi.base.errors import ChampionError, NotPublished
from champion_luigi.config import luigi_defaults, settings
from champion_luigi.pipeline import command_line, lanes

# The logger on which Luigi logs the errors of tasks.
logger = logging.getLogger("luigi-interface")

_LUIGI = str(Path(luigi.__file__).parent)
# Luigi's message for an error raised by `complete` or `requires`: a traceback as text, with the error at its end.
_NOT_SCHEDULED = re.compile(
    r"^Will not run (\w+)\(.*\) or any dependencies due to error in \w+\(\) method:\nTraceback .*\n"
    r"(?:champion_luigi\.base\.errors\.|luigi\.parameter\.)(\w+: .*)",
    re.DOTALL,
)
# Any other message with the traceback of an error of ours.
_TRACEBACK_OF_OURS = re.compile(
    r"Traceback \(most recent call last\):\n(?:.*\n)*?champion_luigi\.base\.errors\.(?=\w+: .*\s*\Z)"
)
_GIVES_UP = re.compile(r"^Failed pinging scheduler|\nluigi\.rpc\.RPCError: .*\s*\Z")
_NO_ANSWER = re.compile(r"^Failed connecting to remote scheduler '?(.*?)'?$", re.DOTALL)
# Luigi's summary of a command whose tasks luigid gave to other workers, which is not visible in any other line.
_ELSEWHERE = re.compile(r"being run by (?:another|other) worker|not granted run permission by the scheduler")
# What the tasks themselves have said in their own words.
_SAID_BEFORE = re.compile(r"^Data for Outstanding\(.*does not exist", re.DOTALL)

_is_quiet = False
# The schedulers of which the log says that they do not answer.
_silent: set[str] = set()


def quieten() -> None:
    """Leave Luigi's steps out of this process's log."""
    global _is_quiet  # noqa: PLW0603 - a process has one log
    _is_quiet = not _wants_all()


class OneSentence(logging.Filter):
    """Logs an error of ours as one sentence. Its traceback would show where the code is, not what to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let records pass, an error of ours without its traceback (which log level DEBUG shows)."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, NotPublished) and lanes.in_threads.get():
            return False  # a fill itself reports what a 404 means for the day
        if logger.isEnabledFor(logging.DEBUG):
            if record.exc_info and not record.exc_text:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
        elif _hides(record, error):
            return False
        else:
            _shorten(record, error)
        # An error may quote any text that it found.
        if record.exc_text:
            record.exc_text = settings.without_secrets(record.exc_text)
        record.msg, record.args = settings.without_secrets(record.getMessage()), None
        return True


def _hides(record: logging.LogRecord, error: BaseException | None) -> bool:
    """Whether a record is one of Luigi's steps, or says again what has been said."""
    if not record.pathname.startswith(_LUIGI) or not _is_quiet_now(CmdlineParser.get_instance()):
        return False
    if record.funcName == "_purge_children":
        return False  # the end of a worker's child, at level INFO
    if record.funcName == "_schedule_and_run" and _ELSEWHERE.search(record.getMessage()):
        return False
    if record.levelno <= logging.INFO or _SAID_BEFORE.search(record.getMessage()):
        return True
    if found := _NO_ANSWER.search(record.getMessage()):
        is_new = found[1] not in _silent
        _silent.add(found[1])
        return not is_new
    if _silent and (isinstance(error, RPCError) or _GIVES_UP.search(record.getMessage())):
        # Luigi raises the error as well.
        return not record.getMessage().startswith("Uncaught")
    # A fill reports its days, and a command the fill.
    return isinstance(error, ChampionError) and (
        bool(lanes.in_threads.get()) or getattr(_task_in(record), "is_reported", False)
    )


def _shorten(record: logging.LogRecord, error: BaseException | None) -> None:
    message = record.getMessage()
    if _is_quiet_now(CmdlineParser.get_instance()) and "Execution Summary" in message:
        _rewrite(record, "luigid gave tasks to another worker, which runs them: run the same again when it has ended")
    elif found := _NO_ANSWER.search(message):
        _rewrite(record, f"the central scheduler does not answer yet [{found[1]}]")
    elif isinstance(error, ChampionError):
        task = _task_in(record)
        what = f"{task.task_family} {getattr(task, 'label', '')}".rstrip() + " failed" if task else message
        # A fill has named each of its days before.
        _rewrite(record, f"{what}: {getattr(error, 'short', '') or f'{type(error).__name__}: {error}'}")
    elif found := _NOT_SCHEDULED.search(message):
        _rewrite(record, f"{found[1]} did not run: {found[2].strip()}")
    elif error is not None and (sentence := command_line.sentence(error)):
        _rewrite(record, sentence)
    elif record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    else:
        record.msg, record.args = _TRACEBACK_OF_OURS.sub("", message), None


def _rewrite(record: logging.LogRecord, message: str) -> None:
    record.msg, record.args = message, None
    record.exc_info = record.exc_text = None


def _task_in(record: logging.LogRecord) -> Any:
    """The task that a record of Luigi's worker is about, if it is one of ours; else None."""
    task = record.args[-1] if isinstance(record.args, tuple) and record.args else None
    return task if isinstance(task, luigi.Task) and command_line.is_ours(type(task)) else None


@functools.lru_cache(maxsize=4)
def _is_quiet_command(parser: CmdlineParser) -> bool:
    return command_line.is_ours(Register.get_task_cls(parser.known_args.root_task)) and not _wants_all()


def _is_quiet_now(parser: CmdlineParser | None) -> bool:
    return _is_quiet or (parser is not None and _is_quiet_command(parser))


def _wants_all() -> bool:
    """Whether the user has chosen what Luigi logs."""
    parser = CmdlineParser.get_instance()
    arguments = vars(parser.known_args) if parser else {}
    names = ("log_level", "logging_conf_file")
    return any(arguments.get(f"core_{name}") or luigi_defaults.is_users("core", name) for name in names)


def filter_luigi() -> None:
    """Put the filter on Luigi's logger, and on the fill's below it: a filter applies to its own logger alone."""
    for each in (logger, logging.getLogger(f"{logger.name}.fill")):
        each.addFilter(OneSentence())
