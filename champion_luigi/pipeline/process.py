"""Preparing a process for its work: signals, the carrier, and Polars before a fork."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading

from champion_luigi.base import signals
from champion_luigi.tracking import record as recording

_PARENT = os.getpid()
# As in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_POOLS = 1
# Blocks up to this size come from a pool, and a pool keeps as much free memory. Twice as much costs 30 MB, and saves
# nothing that could be measured.
_POOLED_BYTES = 16 * 1024 * 1024
_prepared = False


def prepare() -> None:
    """Make this process ready for work: once, in the parent of the workers."""
    global _prepared  # noqa: PLW0603 - a process is prepared once
    if _prepared:
        return
    _prepared = True
    # The carrier's start overlaps with everything that follows.
    recording.start()
    _share_memory()
    import polars  # noqa: F401

    heed_signals()


def _share_memory() -> None:
    """Let threads share one pool of memory: a pool each, as by default, keeps 50 MB that nothing uses.

    The pool keeps the memory of a day's tables for the next day: the system clears each page that it gives out again,
    which took a tenth of a fill's time. What the environment already sets stays.
    """
    # The allocators of Polars and of the embedded engine read these when they are loaded.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1,dirty_decay_ms:1000")
    os.environ.setdefault("JE_MALLOC_CONF", "percpu_arena:disabled,narenas:1,dirty_decay_ms:500")
    # Only glibc has this function.
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, option, value in (
            ("MALLOC_ARENA_MAX", _M_ARENA_MAX, _POOLS),
            ("MALLOC_MMAP_THRESHOLD_", _M_MMAP_THRESHOLD, _POOLED_BYTES),
            ("MALLOC_TRIM_THRESHOLD_", _M_TRIM_THRESHOLD, _POOLED_BYTES),
        ):
            if name not in os.environ:
                mallopt(option, value)


def heed_signals() -> None:
    """Make both SIGTERM and Ctrl-C end the process."""
    signals.heed_end()
    # Polars installs a handler below Python's, which loses SIGINT once several threads have used Polars.
    signals.heed_again()


def end_worker_on_sigterm() -> None:
    """Let SIGTERM end a forked worker: Luigi takes a KeyboardInterrupt there as no result, and runs the task again."""
    in_worker = os.getpid() != _PARENT and threading.current_thread() is threading.main_thread()
    if in_worker and signals.is_heeded(signal.SIGTERM):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
