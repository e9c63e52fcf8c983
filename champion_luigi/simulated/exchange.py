"""The simulated exchange archive: the files of each data set by path, each data set written by a module of its own.

It serves the demo, the tests and the benchmarks. A day's payload depends on its date alone, and is the same on every
machine. Future sessions have files as well, because no clock is read. The list of changed symbols, which is of no day,
has all changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

from champion_luigi.base.errors import NotPublished
from champion_luigi.datasets import catalog
from champion_luigi.datasets.corporate_actions import CORPORATE_ACTIONS
from champion_luigi.datasets.delivery import DELIVERY
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.index_close import INDEX_CLOSE
from champion_luigi.datasets.market_cap import MARKET_CAP
from champion_luigi.datasets.model import Dataset, Layout, Source
from champion_luigi.exchange import sessions
from champion_luigi.exchange.archive import NOTHING
from champion_luigi.simulated import corporate_actions, delivery, equity, index_close, press, symbol_changes
from champion_luigi.simulated.zips import zipped

__all__ = ["WRITERS", "Simulated", "html_page", "payload", "respond", "zipped"]

# The function that writes a session's file, by data set; it returns None if the exchange has no file for the session.
WRITERS: Mapping[str, Callable[[date, Source, Layout], bytes | None]] = {
    EQUITY.name: equity.written,
    INDEX_CLOSE.name: index_close.written,
    DELIVERY.name: delivery.written,
    CORPORATE_ACTIONS.name: corporate_actions.written,
    MARKET_CAP.name: press.written_for,
}


def payload(day: date, source: str, dataset: Dataset = EQUITY) -> bytes | None:
    """A day's file from one of the data set's sources; None if the exchange has no such file.

    There is none if the source was not in use, or if the date is not a session; but a source that repeats the previous
    session's file has that one.
    """
    found = dataset.source(source)
    layout = next((each for each in dataset.layouts if each.source == source and each.is_in_force(day)), None)
    if found is None or layout is None:
        return None
    if not sessions.is_session(day):
        return payload(sessions.previous(day), source, dataset) if found.repeats_previous else None
    # The zip for the press holds files of several data sets, and is the same for each of them.
    return press.written(day) if found.is_one_of_many else WRITERS[dataset.name](day, found, layout)


def respond(path: str) -> tuple[int, bytes]:
    """The archive's answer to a path below its base URL: 200 and a payload, or 404 and a page of HTML."""
    if path == symbol_changes.PATH:
        return 200, symbol_changes.written()
    found = (payload(day, source.name, dataset) for dataset, source, day in catalog.of_path(path))
    # Of a file that data sets share, each writer writes the whole.
    content = next((each for each in found if each is not None), None)
    return (404, html_page("Not found")) if content is None else (200, content)


def html_page(title: str) -> bytes:
    """A page of about 3.4 KB, like the exchange's answer for a missing file."""
    styles = "\n".join(
        f"  .panel-{n:02} {{ margin: {n:02}px auto; padding: 20px 50px; color: #3a2d7d }}" for n in range(46)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="UTF-8">\n<title>{title}</title>\n'
        f"<style>\n{styles}\n</style>\n</head>\n"
        f"<body>\n<h1>{title}</h1>\n<p>The simulated exchange has no file here.</p>\n</body>\n</html>\n"
    ).encode("ascii")


class Simulated:
    """The built-in simulated exchange, in process."""

    def url(self, path: str) -> str:
        """The name of a file, for messages."""
        return f"simulated:{path}"

    def get(
        self,
        path: str,
        day: date,
        known: Mapping[str, str] = NOTHING,  # noqa: ARG002 - as for a folder
    ) -> tuple[bytes, Mapping[str, str]]:
        """The file at a path. Raises NotPublished if there is none."""
        status, content = respond(path)
        if status != 200:
            what = "the simulated archive has no such file"
            raise NotPublished(what, day=day, source=self.url(path), found=str(status))
        return content, {}
