"""Ctrl-C and SIGTERM raise KeyboardInterrupt, but never during an import.

An interrupt during an import can leave the import lock held, so that every other thread that imports waits for ever.
It can also leave a library half loaded for the rest of the process, or look like a missing library.

A process that was started with Ctrl-C ignored, as by `nohup` or by `&` in a script, ignores it to its end.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

_AGAIN_SECONDS = 0.01
# A longer import is interrupted too: it may be a program that runs while its own module is imported.
_LONGEST_IMPORT_SECONDS = 5.0

# When the pending signal came; None if no signal is waiting for an import to end.
_noticed: float | None = None


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Within the block, Ctrl-C during an import takes effect when the import ends. If it is ignored, it stays so."""
    if not (_is_main_thread() and _is_ignored()):
        with _handled_by(_raise_between_imports):
            yield
        return
    # Polars replaces, when it is imported, what the process does on the signal. New threads have this thread's mask.
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


@contextlib.contextmanager
def noted() -> Iterator[list[int]]:
    """Within the block, Ctrl-C raises nothing and is added to a list: an exception would end the wait for a thread."""
    presses: list[int] = []
    with _handled_by(lambda number, _: presses.append(number)):
        yield presses


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise nothing; they take effect at its end.

    Python loses what is raised in a finalizer, so no signal may be handled while objects are freed.
    """
    if not _is_main_thread():
        yield
        return
    pending: list[int] = []
    earlier = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM) if is_heeded(each)}
    for each in earlier:
        signal.signal(each, lambda number, _: pending.append(number))
    try:
        yield
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)
        for number in pending[:1]:
            signal.raise_signal(number)


def heed_end() -> None:
    """From now on, SIGTERM ends the process as Ctrl-C does."""
    if _is_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raise_between_imports)


def heed_again() -> None:
    """Handle Ctrl-C, or ignore it, as before a library replaced that in C."""
    if _is_main_thread() and (is_heeded(signal.SIGINT) or _is_ignored()):
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))


@contextlib.contextmanager
def kept(number: int) -> Iterator[None]:
    """Within the block, a library may install its own handler of a signal; after it, the earlier one is back.

    In any thread, unlike Python's `signal.signal`.
    """
    import ctypes

    sigaction = ctypes.CDLL(None).sigaction
    # Longer than any system's `struct sigaction`, which is not looked into.
    earlier = ctypes.create_string_buffer(1024)
    sigaction(number, None, earlier)
    try:
        yield
    finally:
        sigaction(number, earlier, None)


def is_heeded(number: int) -> bool:
    """Whether a signal raises KeyboardInterrupt. If not, the application handles it, and its handler is kept."""
    return signal.getsignal(number) in (signal.default_int_handler, _raise_between_imports)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if not (_is_main_thread() and is_heeded(signal.SIGINT)):
        yield
        return
    earlier = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)


def _is_ignored() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _raise_between_imports(number: int, frame: FrameType | None) -> None:
    global _noticed  # noqa: PLW0603 - signals belong to the process
    _noticed = _noticed or time.monotonic()
    if _is_importing(frame) and time.monotonic() - _noticed < _LONGEST_IMPORT_SECONDS:
        # Take no lock here: the interrupted code may hold it.
        _thread.start_new_thread(_send_again, (number,))
        return
    _noticed = None
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib."):
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    time.sleep(_AGAIN_SECONDS)
    os.kill(os.getpid(), number)
