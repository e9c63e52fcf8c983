"""Standard streams that were closed, as by `>&-` or by a daemon that closes everything, become /dev/null.

Otherwise the next file that the process opens gets the closed stream's number, and what a library prints lands in that
file. And Python has None in place of the stream, which many libraries do not expect.
"""

from __future__ import annotations

import os
import sys

_STREAMS = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_WRONLY, "w"), ("stderr", os.O_WRONLY, "w"))


def open_missing() -> None:
    """Open /dev/null on each closed one of the descriptors 0, 1 and 2, and for each of Python's streams that is None.

    A descriptor that is open is left alone, whatever it is.
    """
    for number, (name, flags, mode) in enumerate(_STREAMS):
        is_ours = not _is_open(number) and _open_at(number, flags)
        if getattr(sys, name) is None:
            # A number that the calling program has used for a file of its own is not for printing.
            where = number if is_ours else os.devnull
            stream = open(where, mode, encoding="utf-8", errors="backslashreplace", closefd=not is_ours)  # noqa: SIM115
            setattr(sys, name, stream)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open_at(number: int, flags: int) -> bool:
    """Open /dev/null, which gets the lowest free number; whether it is this one."""
    descriptor = os.open(os.devnull, flags)
    if descriptor == number:
        os.set_inheritable(descriptor, True)
        return True
    # Another thread was faster.
    os.close(descriptor)
    return False
