"""Ctrl-C amid an import, in a program whose other thread imports too; and what has its own way with Ctrl-C."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import hear, start_python, tell, wait_for

from champion_luigi.base import signals

# The module says that it is being imported, and goes on for a moment, also after a line has come.
SLOW = """
import sys, time
print("importing", flush=True)
sys.stdin.readline()
for _ in range({rounds}):
    time.sleep(0.01)
whole = True
"""
PROGRAM = """
import sys, threading
sys.path.insert(0, ".")
from champion_luigi.base import signals

signals._LONGEST_IMPORT_SECONDS = {longest}
with signals.heeded():
    try:
        import slow
        for _ in range(500):
            threading.Event().wait(0.01)
        print("not interrupted", flush=True)
    except KeyboardInterrupt:
        loaded = sys.modules.get("slow")
        print("interrupted", "whole" if hasattr(loaded, "whole") else loaded, flush=True)
other = threading.Thread(target=lambda: print(__import__("colorsys").__name__, flush=True), daemon=True)
other.start()
other.join(30)
sys.exit(other.is_alive())
"""


def said(folder: Path, *, rounds: int, longest: float) -> list[str]:
    """What the program says after a Ctrl-C while it imports a module that takes so many hundredths of a second."""
    (folder / "slow.py").write_text(SLOW.format(rounds=rounds))
    with start_python(PROGRAM.format(longest=longest)) as process:
        assert hear(process) == "importing"
        process.send_signal(signal.SIGINT)
        tell(process)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output.splitlines()


@pytest.mark.usefixtures("unmeasured")
def test_an_import_is_not_interrupted(tmp_path: Path) -> None:
    """Its module is whole when the interrupt comes, and other threads can import."""
    assert said(tmp_path, rounds=20, longest=5.0) == ["interrupted whole", "colorsys"]


@pytest.mark.usefixtures("unmeasured")
def test_an_import_that_does_not_end_is(tmp_path: Path) -> None:
    """A program may do all that it does while a module of its own is imported."""
    assert said(tmp_path, rounds=6000, longest=0.1) == ["interrupted None", "colorsys"]


def test_elsewhere_an_interrupt_is_raised_at_once() -> None:
    """As Python does it; behind the block, Python's own way is back."""
    with signals.heeded(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_that_is_noted_raises_nothing() -> None:
    """Within other blocks too."""
    with signals.heeded(), signals.noted() as presses:
        signal.raise_signal(signal.SIGINT)
        wait_for(lambda: bool(presses), "the interrupt")
    assert presses == [signal.SIGINT]


class PressesWhenFreed:
    """An object in a circle, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_in_a_finalizer_is_not_lost() -> None:
    """Python itself loses it there, as the first line shows."""
    for freeing, is_raised in ((contextlib.nullcontext(), False), (signals.deferred(), True)):
        PressesWhenFreed()
        after = []
        with pytest.raises(KeyboardInterrupt) if is_raised else contextlib.nullcontext(), freeing:
            gc.collect()
            after.append("collected")
        assert after == ["collected"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_end_that_is_deferred_comes_later() -> None:
    """SIGTERM too, if it ends the process as Ctrl-C does; a thread's block defers nothing."""
    program = (
        "import os, signal, threading\n"
        "from champion_luigi.base import signals\n"
        "signals.heed_end()\n"
        "try:\n"
        "    with signals.deferred():\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('goes on')\n"
        "    print('not raised')\n"
        "except KeyboardInterrupt:\n"
        "    print('raised')\n"
        "def in_thread():\n"
        "    with signals.deferred():\n"
        "        print('in a thread')\n"
        "thread = threading.Thread(target=in_thread)\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    with start_python(program) as process:
        output, _ = process.communicate(timeout=60)
    assert output.splitlines() == ["goes on", "raised", "in a thread"]


def test_a_handler_that_a_library_installs_in_c_is_undone() -> None:
    """Also in a thread, where Python cannot install any."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    ignore = int(signal.SIG_IGN)

    def open_library() -> None:
        with signals.kept(signal.SIGUSR1), signals.kept(signal.SIGTSTP):
            for number in (signal.SIGUSR1, signal.SIGTSTP):
                libc.signal(number, ignore)

    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        thread = threading.Thread(target=open_library)
        thread.start()
        thread.join()
        signal.raise_signal(signal.SIGUSR1)
        wait_for(lambda: heard == [signal.SIGUSR1], "the program's own handler")
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    ignored = re.search(r"^SigIgn:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert ignored is None or not int(ignored[1], 16) >> signal.SIGTSTP - 1 & 1


def test_an_ignored_interrupt_stays_ignored() -> None:
    """As `nohup`, or `&` in a script, has it; whatever a library does in C, also in threads."""
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.heeded():
            libc.signal(signal.SIGINT, int(signal.SIG_DFL))
            # Either line would end this process, if the signal came through.
            signal.raise_signal(signal.SIGINT)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(signal.raise_signal, signal.SIGINT).result()
            signals.heed_again()
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, earlier)


def test_an_application_keeps_its_own_way() -> None:
    """Nothing is put in its handler's place."""
    heard: list[int] = []

    def hear_signal(number: int, _: object) -> None:
        heard.append(number)

    earlier = {number: signal.signal(number, hear_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signals.heed_end()
        signals.heed_again()
        with signals.heeded(), signals.noted() as presses:
            for number in earlier:
                signal.raise_signal(number)
        wait_for(lambda: len(heard) == len(earlier), "both signals")
        assert presses == []
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
