"""The pipeline against a bare loop of the same libraries, in one run: one cold day, and 250 days in one process.

    python benchmarks/against_bare_loop.py [--days 250] [--runs 5]

Both read the same files, with real sizes, from the same server on loopback; runs alternate, so that a machine that
slows down slows both; ratios are of medians. Tracking is off, as the bare loop has none.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from champion_luigi import layouts, sessions, simulator

HERE = Path(__file__).parent
COLD_DAY = date(2024, 1, 15)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder on a loopback port, by a process of its own."""
    command = [sys.executable, "-m", "champion_luigi.simulator_server", "--port", "0", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def simulate(days: list[date], folder: Path) -> None:
    """Write the simulated files of some days as the exchange lays them out, deflated, so that sizes are real."""
    for day in days:
        format = layouts.formats_for(day)[0]
        path = folder / layouts.archive_path(format, day).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        content = simulator.payload(day, format)
        assert content is not None
        path.write_bytes(deflated(content))


def deflated(stored: bytes) -> bytes:
    """The same zip, compressed: the simulator stores, because compressors differ between machines."""
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return buffer.getvalue()


def measure(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MiB of one process, by the operating system's accounting."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/"
    )
    assert process.stderr is not None
    complaints = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} exited with {process.returncode}: {complaints.decode()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


def compare(name: str, contenders: Mapping[str, list[str]], url: str, runs: int, days: int) -> None:
    """Run the contenders in turn and print each one's median and its ratio to the first."""
    results: dict[str, list[tuple[float, float]]] = {contender: [] for contender in contenders}
    for turn in range(runs + 1):
        for contender, command in contenders.items():
            with tempfile.TemporaryDirectory() as folder:
                environment = {"DATA_DIR": folder, "NSE_ARCHIVE_URL": url, "CHAMPION_TRACKING": "off"}
                result = measure([part.format(out=folder) for part in command], environment)
            # The first turn warms the page cache.
            if turn:
                results[contender].append(result)
    print(f"\n{name}, {runs} runs each, medians")
    floor = [statistics.median(column) for column in zip(*next(iter(results.values())), strict=True)]
    for contender, measured in results.items():
        seconds, memory = (statistics.median(column) for column in zip(*measured, strict=True))
        print(
            f"  {contender:28} {seconds:8.2f} s  {seconds / days * 1000:8.1f} ms a day  {memory:6.0f} MiB"
            f"  time x {seconds / floor[0]:.2f}  memory x {memory / floor[1]:.2f}"
        )


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=250)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    days = sessions.sessions(date(2023, 1, 1), date(2025, 1, 1))[: arguments.days]
    bare = [sys.executable, str(HERE / "bare_loop.py")]
    luigi = [str(Path(sys.executable).with_name("luigi")), "--module", "champion_luigi", "--local-scheduler"]
    with tempfile.TemporaryDirectory() as folder:
        simulate([COLD_DAY, *days], Path(folder))
        with served(Path(folder)) as url:
            compare(
                "One cold day",
                {
                    "bare loop": [*bare, url, "{out}", str(COLD_DAY)],
                    "LoadClickHouse": [*luigi, "LoadClickHouse", "--date", str(COLD_DAY)],
                },
                url,
                arguments.runs,
                1,
            )
            compare(
                f"{len(days)} days in one process",
                {
                    "bare loop": [*bare, url, "{out}", *map(str, days)],
                    "five tasks a day": [sys.executable, str(HERE / "build_days.py"), *map(str, days)],
                },
                url,
                max(1, arguments.runs // 2),
                len(days),
            )


if __name__ == "__main__":
    main()
