"""Answers that are kept while the settings hold still: a fill asks for the same few dozens of times a day."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# The answers within `still`, by function and arguments; None outside of it.
_answers: ContextVar[dict[Any, Any] | None] = ContextVar("champion_answers", default=None)


@contextlib.contextmanager
def still() -> Iterator[None]:
    """Within the block, and in threads that begin with a copy of its context, read each setting once.

    A change of the environment meanwhile has no effect.
    """
    with _holding({}):
        yield


@contextlib.contextmanager
def anew() -> Iterator[None]:
    """Within the block, whose settings differ, read each setting again, once if they hold still."""
    with _holding(None if _answers.get() is None else {}):
        yield


def kept(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Keep what a function of the settings returns, while they hold still."""

    @functools.wraps(read)
    def asked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        answers = _answers.get()
        if answers is None:
            return read(*args, **kwargs)
        key = (read, args, *kwargs.items())
        if key not in answers:
            answers[key] = read(*args, **kwargs)
        found: _T = answers[key]
        return found

    return asked


@contextlib.contextmanager
def _holding(answers: dict[Any, Any] | None) -> Iterator[None]:
    token = _answers.set(answers)
    try:
        yield
    finally:
        _answers.reset(token)
