"""Every figure of the speed page that is compared with a bare loop, point by point, in one command.

    python benchmarks/points.py [--pairs 5] [--points server folder cold tracked datasets doors] [--days 250 1000]

- ``server`` and ``folder``: time, CPU and peak memory of fills, from a server on loopback and from an archive's folder,
  against the bare loop's;
- ``cold``: one day in a new process, against the bare loop's;
- ``tracked``: the shortest fill with MLflow on SQLite, until everything has arrived, against the same without;
- ``datasets``: the CPU of each data set's fill, against a bare loop's over its texts, and a row's against equity's;
- ``doors``: the commands that find nothing to do after the longest fill, and those that only answer, against
  `luigi --help`. With ``--days 8000`` the fill has all thirty years.

With ``--against CHECKOUT`` each fill and command also runs with the package of another checkout, such as that of the
last release. Contenders run in turn, every second turn in reverse order; ratios are medians of the turns' ratios, with
their range. On a machine that does anything else, believe the CPU times, and of those the ratios.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from harness import BARE_LOOP, BARE_TEXTS, BIN, FILL, HERE, LUIGI, Cost, compare, run, served, simulate

from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import FIRST_DATE
from champion_luigi.exchange import sessions

LAST = date(2026, 1, 1)
COLD_DAY = date(2024, 1, 15)
POINTS = ("server", "folder", "cold", "tracked", "datasets", "doors")
STORE = "sqlite:///{out}/mlflow.db"
# By default a command leaves what has not arrived after 30 s to its carrier, whose time would not count.
TRACKED = ["env", "CHAMPION_TRACKING=on", "CHAMPION_TRACKING_WAIT=3600", f"MLFLOW_TRACKING_URI={STORE}"]
# The package of this checkout, whatever is installed.
OWN = ["env", f"PYTHONPATH={HERE.parent}"]

Contenders = dict[str, Sequence[str]]


def main() -> None:
    """Run the points that were chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="turns of each comparison")
    parser.add_argument("--points", nargs="+", choices=POINTS, default=POINTS)
    parser.add_argument("--days", type=int, nargs="+", default=[250, 1000], help="lengths of the fills")
    parser.add_argument("--against", type=Path, help="another checkout of the package")
    parser.add_argument("--folder", type=Path, help="store the simulated files here, for the next run")
    arguments = parser.parse_args()
    others = {"": OWN} | ({", other": _of(arguments.against)} if arguments.against else {})
    with tempfile.TemporaryDirectory() as temporary:
        archive = arguments.folder or Path(temporary)
        days = simulate(sessions.sessions(FIRST_DATE, LAST)[-max(arguments.days) :], archive)
        simulate([COLD_DAY], archive)
        with served(archive) as url:
            # The first turn warms the page cache; its figures do not count.
            run([*OWN, *FILL, *span(days[-5:])], url, archive / "warm")
            shutil.rmtree(archive / "warm")
            for point in arguments.points:
                if point in ("server", "folder"):
                    for length in arguments.days:
                        title = f"{length} days from a {point}"
                        place = url if point == "server" else str(archive)
                        compare(title, fills(days[-length:], place, others), place, arguments.pairs, length)
                elif point == "cold":
                    compare("One cold day", cold(url, others), url, arguments.pairs, 1)
                elif point == "tracked":
                    tracked(days[-min(arguments.days) :], str(archive), others, arguments.pairs)
                elif point == "datasets":
                    by_row(days[-min(arguments.days) :], archive, arguments.pairs)
                else:
                    doors(days, url, others, arguments.pairs)


def _of(checkout: Path) -> list[str]:
    return ["env", f"PYTHONPATH={checkout.absolute()}"]


def fills(days: Sequence[date], place: str, others: Mapping[str, Sequence[str]]) -> Contenders:
    """The bare loop and both commands over the same days."""
    found: Contenders = {"bare loop": [*OWN, *BARE_LOOP, place, "{out}", *map(str, days)]}
    for name, env in others.items():
        found[f"champion fill{name}"] = [*env, *FILL, *span(days)]
        found[f"luigi FillBhavcopy{name}"] = [*env, *LUIGI, "FillBhavcopy", *span(days)]
    return found


def cold(url: str, others: Mapping[str, Sequence[str]]) -> Contenders:
    """One day, all five tasks."""
    found: Contenders = {"bare loop": [*OWN, *BARE_LOOP, url, "{out}", str(COLD_DAY)]}
    for name, env in others.items():
        found[f"LoadClickHouse{name}"] = [*env, *LUIGI, "LoadClickHouse", "--date", str(COLD_DAY)]
    return found


def tracked(days: Sequence[date], archive: str, others: Mapping[str, Sequence[str]], pairs: int) -> None:
    """A fill without tracking and with it, on a store that exists. Raises RuntimeError if a record has not arrived."""
    # Imported here: the other points do without MLflow.
    from mlflow import MlflowClient

    from champion_luigi.tracking import journal

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "mlflow.db"
        MlflowClient(tracking_uri=f"sqlite:///{empty}").search_experiments()

        def with_store(data: Path) -> None:
            shutil.copy(empty, data / "mlflow.db")

        def has_arrived(name: str, data: Path) -> None:
            if "SQLite" in name and (count := journal.count_undelivered(data / "journal")):
                raise RuntimeError(f"{name}: {count} records have not reached MLflow")

        for name, env in others.items():
            contenders = {
                f"untracked{name}": [*env, *FILL, *span(days)],
                f"SQLite{name}": [*TRACKED, *env, *FILL, *span(days)],
            }
            title = f"{len(days)} days, tracked"
            compare(title, contenders, archive, pairs, len(days), with_store, has_arrived)


def by_row(days: Sequence[date], archive: Path, pairs: int) -> None:
    """The cost a row of each data set's fill, and of a bare loop, without that of one day: imports and the start."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in catalog.NAMES}
    floors: dict[str, list[float]] = {name: [] for name in catalog.NAMES}
    rows: dict[str, int] = {}
    for dataset in catalog.DATASETS.values():
        simulate(days, archive, dataset)
    for turn in range(pairs):
        for name in catalog.NAMES[:: -1 if turn % 2 else 1]:
            fill = [*OWN, *FILL, "--dataset", name]
            loop = [*OWN, *BARE_TEXTS, name, str(archive), "{out}"]
            with tempfile.TemporaryDirectory() as folder:
                commands = (
                    [*fill, *span(days)],
                    [*fill, *span(days[:1])],
                    [*loop, *map(str, days)],
                    [*loop, str(days[0])],
                )
                all_days, first, loop_all, loop_first = (
                    run(command, str(archive), Path(folder) / str(place)) for place, command in enumerate(commands)
                )
                rows[name] = _rows(Path(folder) / "0") - _rows(Path(folder) / "1")
            costs[name].append((all_days.cpu - first.cpu, all_days.wall - first.wall))
            floors[name].append(loop_all.cpu - loop_first.cpu)
    print(f"\n{len(days)} days of each data set; {pairs} runs each in turn, medians, imports and start taken off")
    for name, found in costs.items():
        cpu, wall = (statistics.median(each) * 1e6 / rows[name] for each in zip(*found, strict=True))
        to_loop = statistics.median(each[0] / floor for each, floor in zip(found, floors[name], strict=True))
        to_equity = statistics.median(
            (each[0] / rows[name]) / (base[0] / rows[catalog.DEFAULT])
            for each, base in zip(found, costs[catalog.DEFAULT], strict=True)
        )
        a_day = statistics.median(each for each, _ in found) / len(days) * 1000
        print(
            f"  {name:20} {rows[name] / len(days):6.0f} rows a day  {wall:8.2f} us a row  {cpu:8.2f} CPU us a row"
            f"  {a_day:6.1f} CPU ms a day   x {to_loop:.2f} of the bare loop's, a row x {to_equity:.2f} of equity's",
            flush=True,
        )


def _rows(data: Path) -> int:
    return sum(json.loads(path.read_bytes())["rows"] for path in (data / "loaded").rglob("*.json"))


def doors(days: Sequence[date], url: str, others: Mapping[str, Sequence[str]], pairs: int) -> None:
    """Commands over a range that is complete, and those that only answer; the folder stays as the fill left it."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        run([*OWN, *FILL, *span(days)], url, data)
        commands: dict[str, list[str]] = {"luigi --help": [*OWN, str(BIN / "luigi"), "--help"]}
        for name, env in others.items():
            champion = [*env, str(BIN / "champion")]
            commands |= {
                f"champion --help{name}": [*champion, "--help"],
                f"champion status{name}": [*champion, "status", "--start", str(days[0]), "--end", str(days[-1])],
                f"champion fill{name}": [*env, *FILL, *span(days)],
                f"luigi FillBhavcopy{name}": [*env, *LUIGI, "FillBhavcopy", *span(days)],
            }
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for turn in range(pairs):
            for name in list(commands)[:: -1 if turn % 2 else 1]:
                costs[name].append(run(commands[name], url, data))
    print(f"\n{len(days)} complete days; {pairs} runs each in turn, medians")
    for name, found in costs.items():
        wall, cpu = statistics.median(each.wall for each in found), statistics.median(each.cpu for each in found)
        print(f"  {name:40} {wall:6.2f} s  {cpu:6.2f} CPU s  {found[0].memory:5.0f} MiB", flush=True)


def span(days: Sequence[date]) -> list[str]:
    """The options for the range of these days."""
    return ["--start", str(days[0]), "--stop", str(days[-1] + timedelta(days=1))]


if __name__ == "__main__":
    main()
