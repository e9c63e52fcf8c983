"""Helpers of the benchmarks: simulated files of real size, a server for them, and the costs of whole processes."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.simulated import exchange

HERE = Path(__file__).parent
SERVER = HERE.parent / "tests" / "simulated_server.py"
BIN = Path(sys.executable).parent
BARE_LOOP = [sys.executable, str(HERE / "bare_loop.py")]
BARE_TEXTS = [sys.executable, str(HERE / "bare_texts.py")]
LUIGI = [str(BIN / "luigi"), "--module", "champion_luigi", "--local-scheduler"]
FILL = [str(BIN / "champion"), "fill"]


@dataclass(frozen=True)
class Cost:
    """The cost of one process by the operating system's accounts: wall seconds, CPU seconds, peak memory in MiB."""

    wall: float
    cpu: float
    memory: float


def simulate(days: Sequence[date], folder: Path, dataset: Dataset = EQUITY) -> list[date]:
    """Write the simulated files of some days in the exchange's layout, deflated, so that sizes are real.

    Returns the days with a file: the files of two sessions in the calendar are lost.
    """
    made = []
    for day in days:
        source = next(each for each in dataset.sources_of(day) if not each.is_saved_by_hand)
        path = folder / source.path_of(day).lstrip("/")
        if not path.exists():
            content = exchange.payload(day, source.name, dataset)
            if content is None:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_deflated(content) if zipfile.is_zipfile(io.BytesIO(content)) else content)
        made.append(day)
    return made


@contextmanager
def served(folder: Path, latency: float = 0.0) -> Iterator[str]:
    """Serve the folder on a loopback port, in a separate process. ``latency`` is in seconds per request."""
    command = [sys.executable, str(SERVER), "--port", "0", "--folder", str(folder)]
    with subprocess.Popen([*command, "--latency", str(latency)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def run(command: Sequence[str], url: str, data: Path) -> Cost:
    """Run a command to its end. Raises RuntimeError with its output if it fails."""
    # Tracking is off, because the bare loop has none; a command that begins with `env CHAMPION_TRACKING=on` has it.
    environment = {**os.environ, "DATA_DIR": str(data), "NSE_ARCHIVE_URL": url, "CHAMPION_TRACKING": "off"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [part.format(out=data) for part in command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    assert process.stderr is not None
    complaints = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[:6]} exited with {process.returncode}: {complaints.decode()[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(  # noqa: PLR0917 - every argument has a clear name
    title: str,
    contenders: Mapping[str, Sequence[str]],
    url: str,
    runs: int,
    days: int,
    prepare: Callable[[Path], None] = lambda _folder: None,
    check: Callable[[str, Path], None] = lambda _name, _folder: None,
) -> dict[str, Cost]:
    """Run the contenders in turn, each on a fresh folder, and print medians, and ratios to the first one's of a turn.

    Every second turn is in reverse order. ``check`` gets the contender's name and the folder after each run.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for turn in range(runs):
        for name, command in list(contenders.items())[:: -1 if turn % 2 else 1]:
            with tempfile.TemporaryDirectory() as folder:
                prepare(Path(folder))
                costs[name].append(run(command, url, Path(folder)))
                check(name, Path(folder))
    medians = {name: median(found) for name, found in costs.items()}
    floor = next(iter(costs.values()))
    print(f"\n{title}; {runs} runs each in turn, medians")
    for name, cost in medians.items():
        per_day = f"{cost.wall / days * 1000:8.1f} ms a day {cost.cpu / days * 1000:8.1f} CPU ms"
        ratios = "  ".join(
            f"{word} x {_ratio([getattr(each, of) / getattr(base, of) for each, base in pairs])}"
            for word, of in (("time", "wall"), ("CPU", "cpu"), ("memory", "memory"))
            if (pairs := list(zip(costs[name], floor, strict=True)))
        )
        print(f"  {name:36} {cost.wall:8.2f} s {per_day} {cost.memory:6.0f} MiB   {ratios}", flush=True)
    return medians


def _ratio(ratios: Sequence[float]) -> str:
    """The median of the turns' ratios, and their range."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.memory for cost in costs),
    )


def _deflated(stored: bytes) -> bytes:
    # The simulator's zips are not compressed, because compressors differ between machines.
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(stored)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return buffer.getvalue()
