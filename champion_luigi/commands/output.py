"""Shared parts of the commands: date options, exit codes, JSON, and text that fits a terminal."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from champion_luigi.base import exit_codes
from champion_luigi.base.errors import ChampionError, SettingsError
from champion_luigi.base.places import Place, is_below
from champion_luigi.datasets import catalog
from champion_luigi.datasets.model import Dataset

F = TypeVar("F", bound=Callable[..., object])
# The two tasks that a fill can end with.
LAST_TASKS = ("LoadClickHouse", "WriteParquet")


class _Day(click.DateTime):
    """A date as people and messages write it."""

    name = "date"

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def get_metavar(self, *_: object, **__: object) -> str:
        return "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no date of the form YYYY-MM-DD", param, ctx)


DAY = _Day()
# As CHAMPION_FILL_WORKERS.
WORKERS = click.IntRange(1, 1000)
# The word for all data sets of the catalog.
WIDTH = 80
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST_NAMED = 10

ABSENT = exit_codes.ABSENT
MISSING, NOT_RUN, FAILED, NOT_SCHEDULED, UNHANDLED = (
    exit_codes.OF_LUIGI[name]
    for name in ("missing_data", "not_run", "task_failed", "scheduling_error", "unhandled_exception")
)


def _named(_context: click.Context, option: click.Parameter, texts: Sequence[str]) -> tuple[Dataset, ...]:
    """The data sets that are named, in the catalog's order."""
    names = {name.strip() for text in texts for name in text.split(",")}
    if unknown := sorted(names - {*catalog.NAMES, catalog.ALL}):
        raise click.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(catalog.NAMES)} or {catalog.ALL}", param=option
        )
    return tuple(each for each in catalog.DATASETS.values() if each.name in names or catalog.ALL in names)


def of_datasets(default: str = catalog.DEFAULT, what: str = "Data sets") -> Callable[[F], F]:
    """The --dataset option; a command receives the definitions of the data sets, as ``datasets``."""
    return click.option(
        "--dataset",
        "datasets",
        multiple=True,
        default=(default,),
        show_default=True,
        metavar="NAME[,NAME...]",
        callback=_named,
        shell_complete=lambda _context, _option, typed: [
            each for each in (*catalog.NAMES, catalog.ALL) if each.startswith(typed)
        ],
        help=f"{what}, by name: {', '.join(catalog.NAMES)}, or {catalog.ALL}. Can be repeated.",
    )


def for_each(
    datasets: Sequence[Dataset],
    work: Callable[[Dataset], tuple[object, int]],
    *,
    in_json: bool,
    heading: Callable[[str], None] = click.echo,
) -> int:
    """Do a command's work for each data set, and return the highest exit code.

    ``work`` returns the JSON document and the exit code, and prints its text itself, unless ``in_json``. The document
    of one data set is printed as it is; several are members of one, by the data set's name. An error of one data set
    does not stop the others. The embedded engine stays open between them.
    """
    if len(datasets) == 1:
        document, code = work(datasets[0])
        if in_json:
            click.echo(as_json(document))
        return code

    from champion_luigi.warehouse import opened

    documents, codes = {}, [0]
    with opened.kept_open():
        for dataset in datasets:
            if not in_json:
                heading(f"{dataset.name}:" if dataset is datasets[0] else f"\n{dataset.name}:")
            try:
                documents[dataset.name], code = work(dataset)
            except SettingsError:
                raise
            except ChampionError as error:
                say(f"{dataset.name}: {error}")
                documents[dataset.name], code = {"error": str(error)}, UNHANDLED
            codes.append(code)
    if in_json:
        click.echo(as_json(documents))
    return max(codes)


def dates(start: datetime | None, end: datetime | None, last: str = "--end") -> tuple[date | None, date | None]:
    """The dates of --start and of the option ``last``. Raises UsageError if the first is after the last."""
    if start and end and start > end:
        raise click.UsageError(f"--start {start:%Y-%m-%d} is after {last} {end:%Y-%m-%d}")
    return start and start.date(), end and end.date()


@contextlib.contextmanager
def ending(name: str, code: int = UNHANDLED) -> Iterator[None]:
    """If the command raises one of the package's errors, print its message and end the process with this code."""
    try:
        yield
    except ChampionError as error:
        say(f"champion {name}: {error}")
        sys.exit(code)


def say(message: str) -> None:
    """Print a message on standard error, because standard output is for the result only."""
    click.echo(message, err=True)


def as_json(document: object) -> str:
    """A result as JSON, with dates and paths as texts."""
    return json.dumps(document, indent=1, default=str, ensure_ascii=False)


def number(count: int, what: str) -> str:
    """A count with its noun: ``1 day``, ``2 days``."""
    return f"{count} {plural(count, what)}"


def plural(count: int, what: str) -> str:
    """A noun, singular or plural by its count."""
    return what if count == 1 else f"{what}s"


def some(lines: Sequence[str], more: str, most: int = MOST_NAMED) -> list[str]:
    """The first lines, then a line with the number of those left out; ``more`` is the end of that line."""
    left = len(lines) - most
    return [*lines[:most], *([f"and {left} more{more}"] if left > 0 else [])]


def wrapped(text: str, indent: str = "", width: int = WIDTH) -> list[str]:
    """A text wrapped to a terminal's width; addresses and paths are not broken."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def short(path: Place) -> str:
    """A path relative to DATA_DIR if it is below it, or else absolute."""
    from champion_luigi.config import settings

    path, folder = path.absolute(), settings.data_dir().absolute()
    return str(path.relative_to(folder) if is_below(path, folder) else path)


def make_folder_of(file: Path, option: str) -> None:
    """Make the folder for a file before the work begins. Raises a usage error that names the option."""
    from champion_luigi.base import durable

    try:
        durable.make_folder(file.absolute().parent)
    except OSError as error:
        raise click.UsageError(f"{option}: the folder {file.absolute().parent} cannot be made: {error}") from None
