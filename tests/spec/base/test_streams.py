"""Standard streams that were closed when the process began, or by the calling program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

# Says, in a file, what the standard streams are after the import; then prints everywhere, also past Python.
PROGRAM = """
import os, sys
before = {number for number in range(3) if os.path.exists(f"/proc/self/fd/{number}")}
import champion_luigi
with open(sys.argv[1], "w") as file:
    numbers = [os.readlink(f"/proc/self/fd/{number}") for number in range(3) if number not in before]
    print(*numbers, file=file, flush=True)
    print(sys.stdin.read() if 0 not in before else "", end="", file=file, flush=True)
    print("printed")
    print("printed", file=sys.stderr)
    os.write(1, b"written")
    os.write(2, b"written")
    sys.stdout.buffer.write(b"written")
    assert os.get_inheritable(0) and os.get_inheritable(1) and os.get_inheritable(2)
    assert not (sys.stdout.isatty() or sys.stderr.isatty())
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_becomes_dev_null(closed: str, tmp_path: Path) -> None:
    """The next file does not get its number, and what is printed lands nowhere."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "file")]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (tmp_path / "file").read_text() == " ".join(["/dev/null"] * closed.count("&")) + "\n"
    assert done.returncode == 0, done.stderr
    assert ("printed" in done.stdout, "printed" in done.stderr) == (" >&-" not in f" {closed}", "2>&-" not in closed)


def test_a_calling_programs_own_file_is_left_alone(tmp_path: Path) -> None:
    """It got the number of a closed stream: nothing is printed into it."""
    program = f"""
import os
number = os.open({str(tmp_path / "own")!r}, os.O_WRONLY | os.O_CREAT)
assert number == 1
import champion_luigi, sys
print("printed", flush=True)
assert sys.stdout.fileno() != 1
os.write(number, b"own")
"""
    command = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", program]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "own").read_bytes() == b"own"


def test_streams_that_are_open_stay(tmp_path: Path) -> None:
    """The import changes nothing for an ordinary program."""
    program = (
        "import sys\nbefore = sys.stdin, sys.stdout, sys.stderr\nimport champion_luigi\n"
        "assert before == (sys.stdin, sys.stdout, sys.stderr)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
