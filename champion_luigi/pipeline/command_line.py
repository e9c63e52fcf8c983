"""What the `luigi` command says of a command line that it cannot use: one sentence in place of a traceback.

Luigi raises for a misspelt task, a value of the wrong form or a scheduler that does not answer, and prints each as a
traceback of its own code; to an option that no task has it answers with a page of options.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import luigi
from luigi.cmdline_parser import CmdlineParser
from luigi.parameter import ParameterException
from luigi.rpc import RPCError
from luigi.task_register import Register, TaskClassException

from champion_luigi.base import words
from champion_luigi.base.exit_codes import OF_LUIGI
from champion_luigi.base.package import PACKAGE
from champion_luigi.config import settings

_UNKNOWN = re.compile(r"unrecognized arguments: (--?[\w-]+)")
# What a value of one of Luigi's own kinds of parameters looks like.
_FORMS: tuple[tuple[type[Any], str], ...] = (
    (luigi.DateParameter, "a date, YYYY-MM-DD"),
    (luigi.BoolParameter, "true or false"),
    (luigi.IntParameter, "a whole number"),
    (luigi.FloatParameter, "a number"),
    (luigi.TaskParameter, "the name of a task, such as LoadClickHouse or WriteParquet"),
)


def is_luigi() -> bool:
    """Whether this process is the `luigi` command."""
    program = Path(sys.argv[0])
    return "luigi" in (program.stem, program.parent.name if program.stem == "__main__" else "")


def explain() -> None:
    """In a `luigi` command, give each mistake a sentence."""
    if not is_luigi():
        return
    sys.excepthook = _show_crash
    build = CmdlineParser._build_parser

    def explaining(root_task: str | None = None, help_all: bool = False) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = build(root_task=root_task, help_all=help_all)
        task = _task_of(root_task)
        if task is not None and is_ours(task):  # so that `luigi --help` stays Luigi's
            parser.error = _refusing(task)  # type: ignore[method-assign,assignment]
            parser.parse_args = functools.partial(_parsed, parser, parser.parse_args)  # type: ignore[method-assign]
        return parser

    CmdlineParser._build_parser = staticmethod(explaining)  # type: ignore[method-assign]


def is_ours(task: type[luigi.Task] | None) -> bool:
    """Whether a task is one of this package's, and none of its sections of settings."""
    return task is not None and task.__module__.partition(".")[0] == PACKAGE and not issubclass(task, luigi.Config)


def sentence(error: BaseException) -> str | None:
    """The sentence for an error of Luigi's; None if Luigi's own words, with the traceback, say more."""
    if isinstance(error, RPCError):
        return "the central scheduler does not answer. Start luigid, or add --local-scheduler, then run the same again"
    if isinstance(error, TaskClassException):
        return _no_task(error)
    if isinstance(error, ParameterException):
        return str(error)
    return _bad_value(error)


def _bad_value(error: BaseException) -> str | None:
    """The sentence if Luigi was reading the value of a parameter when the error was raised."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is CmdlineParser._get_task_kwargs.__code__:
            known = frame.f_locals
            parameter, written = known.get("param_obj"), known.get("attr")
            option = f"--{known.get('param_name', '')}".replace("_", "-")
            choices = getattr(parameter, "_choices", None)
            form = ", ".join(map(str, sorted(choices))) if choices else _form_of(parameter)
            return f"{option} cannot be used; expected {form}; found {written!r}"
    return None


def _form_of(parameter: object) -> str:
    return next((form for kind, form in _FORMS if isinstance(parameter, kind)), "another value")


def _no_task(error: BaseException) -> str:
    named = re.search(r"No task (\S+?)\.", str(error))
    if not named:
        return str(error)
    found = words.nearest(named[1], (name for name in Register.task_names() if is_ours(_task_of(name))))
    return f"there is no task {named[1]}" + (f": did you mean {' or '.join(found[:3])}?" if found else "")


def _task_of(name: str | None) -> type[luigi.Task] | None:
    try:
        return Register.get_task_cls(name) if name else None
    except TaskClassException:
        return None


def _parsed(parser: argparse.ArgumentParser, parse: Callable[..., argparse.Namespace], **given: Any) -> Any:
    found = parse(**given)
    # Luigi would start none, run nothing, and say nothing of it.
    workers = getattr(found, "core_workers", None)
    if workers and not re.fullmatch(r"0*[1-9]\d*", str(workers)):
        parser.error(f"--workers cannot be used; expected a whole number from 1; found {workers!r}")
    return found


def _refusing(task: type[luigi.Task]) -> Callable[[str], NoReturn]:
    def refuse(message: str) -> NoReturn:
        if unknown := _UNKNOWN.search(message):
            options = [f"--{name}".replace("_", "-") for name, _ in task.get_params()]
            found = words.nearest(unknown[1], options)
            hint = f"did you mean {' or '.join(found)}?" if found else f"its options are {', '.join(options)}"
            message = f"{task.task_family} has no option {unknown[1]}: {hint}"
        sys.stderr.write(f"luigi: {settings.without_secrets(message)}\n")
        # As argparse.
        sys.exit(2)

    return refuse


def _show_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
    """Print what ends the command outside of a task, without secrets: Ctrl-C, or an error before Luigi has a log."""
    if issubclass(kind, KeyboardInterrupt) and any(is_ours(_task_of(word)) for word in sys.argv[1:]):
        sys.stderr.write("luigi: stopped: nothing is half-written, and the same command continues\n")
        return
    if isinstance(error, TaskClassException):
        sys.stderr.write(f"luigi: {settings.without_secrets(_no_task(error))}\n")
        # What a hook raises decides the exit code: as for any other error in Luigi.
        raise SystemExit(OF_LUIGI["unhandled_exception"])
    sys.stderr.write(settings.without_secrets("".join(traceback.format_exception(kind, error, trace))))
