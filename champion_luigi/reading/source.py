"""Where prices and adjustments are read from: the lake, or the warehouse. Both give the same frames."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from champion_luigi.adjustments.tables import END, EVENTS, SPANS, types_of
from champion_luigi.base.errors import NotMade, SettingsError, StorageError, WarehouseError
from champion_luigi.base.places import Place
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import SHARES
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Column, Dataset
from champion_luigi.storage import adjustments, lake
from champion_luigi.warehouse.adjusted import ADJUSTMENT_SPANS, ADJUSTMENTS
from champion_luigi.warehouse.connection import date_of
from champion_luigi.warehouse.layout import quoted, text_of

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.warehouse.statements import Questions

Name = Literal["lake", "warehouse"]


class Adjustments(NamedTuple):
    """The adjustments, the names of instruments and the spans, in the columns of `adjustments.tables`.

    ``through`` is the date of the newest prices that they were made for; None if it is not known.
    """

    events: pl.DataFrame
    names: pl.DataFrame
    spans: pl.DataFrame
    through: date | None = None


class Source(Protocol):
    """What `prices` needs to know."""

    def days(self, until: date) -> list[date]:
        """The days with prices up to ``until``, ascending. Raises an error if there is none."""

    def rows(self, dataset: Dataset, first: date, last: date, symbols: Collection[str] | None) -> pl.LazyFrame:
        """A data set's rows from ``first`` to ``last``, both included, by date and symbol; None: of all symbols."""

    def adjustments(self) -> Adjustments:
        """The adjustments, and what belongs to them. Raises an error if there are none yet."""


@contextlib.contextmanager
def opened(name: Name, root: str | Place | None) -> Iterator[Source]:
    """The configured source of that name, or the lake at ``root``. Raises SettingsError, and errors of a warehouse."""
    if name == "lake":
        yield Lake(lake.root_at(root) if root is not None else settings.lake_dir())
        return
    if name != "warehouse" or root is not None:
        raise SettingsError(
            "prices are read from the lake or from the warehouse, and only a lake has a root",
            expected="source='lake', or source='warehouse' without root",
            found=f"source={name!r}, root={root!r}",
        )
    from champion_luigi.warehouse.statements import open_for_questions

    questions = open_for_questions(wiring.warehouse_place(), settings.get("lock_wait_seconds"))
    with contextlib.closing(questions), tempfile.TemporaryDirectory(prefix="champion-prices-") as folder:
        yield Warehouse(questions, Path(folder))


class Lake:
    """The Parquet lake."""

    def __init__(self, root: Place) -> None:
        if root.exists() and not root.is_dir():
            raise SettingsError("the root of a lake is a folder", source=str(root), found="a file")
        self.root = root
        self._days: dict[str, dict[date, str]] = {}

    def days(self, until: date) -> list[date]:
        """The days with a file of prices."""
        found = sorted(day for day in self._files(EQUITY) if day <= until)
        if not found:
            raise StorageError(
                f"the lake has no prices up to {until}" if self._files(EQUITY) else "the lake has no prices yet",
                source=str(lake.folder(self.root, EQUITY)),
                todo="Fill days first (champion fill), or check DATA_DIR.",
            )
        return found

    def rows(self, dataset: Dataset, first: date, last: date, symbols: Collection[str] | None) -> pl.LazyFrame:
        """The rows of the files of these days."""
        import polars as pl

        paths = [path for day, path in sorted(self._files(dataset).items()) if first <= day <= last]
        if not paths:
            return pl.LazyFrame(schema=dataset.types)
        # Of a date each, in the order of their dates: so nothing has to be sorted by date again.
        rows = lake.scan_files(paths, dataset).with_columns(pl.col("trade_date").set_sorted())
        return rows if symbols is None else rows.filter(pl.col("symbol").is_in(sorted(symbols)))

    def adjustments(self) -> Adjustments:
        """Those that lie beside the data sets."""
        made = adjustments.read(self.root)
        through = date.fromisoformat(str(made.about["prices_through"]))
        return Adjustments(made.adjustments, made.names, made.spans, through)

    def _files(self, dataset: Dataset) -> dict[date, str]:
        # Listed once: a lake of thirty years has as many folders as days.
        if dataset.name not in self._days:
            self._days[dataset.name] = {day: entry.path for day, entry in lake.days(self.root, dataset)}
        return self._days[dataset.name]


class Warehouse:
    """The configured ClickHouse, or the embedded engine; each answer is a file until it is read."""

    def __init__(self, questions: Questions, folder: Path) -> None:
        self._questions = questions
        self._folder = folder

    def days(self, until: date) -> list[date]:
        """The days with prices in the view."""
        found: list[date] = []
        limit = "" if until == date.max else f" WHERE trade_date <= {date_of(until)}"
        asked = f"SELECT DISTINCT trade_date FROM {self._view(EQUITY)}{limit} ORDER BY trade_date"
        if self._has(EQUITY.view):
            found = [day for (day,) in self._questions.query(asked)]
        if not found:
            raise WarehouseError(
                "the warehouse has no prices yet"
                if until == date.max
                else f"the warehouse has no prices up to {until}",
                source=self._questions.place.words,
                todo="Load days first: champion fill.",
            )
        return found

    def rows(self, dataset: Dataset, first: date, last: date, symbols: Collection[str] | None) -> pl.LazyFrame:
        """The rows of the data set's view; none if it was never loaded."""
        import polars as pl

        if not self._has(dataset.view):
            return pl.LazyFrame(schema=dataset.types)
        of_symbols = f" AND symbol IN ({', '.join(map(text_of, sorted(symbols)))})" if symbols else ""
        asked = (
            f"SELECT {', '.join(map(quoted, dataset.names))} FROM {self._view(dataset)} "
            f"WHERE trade_date BETWEEN {_date_of(first)} AND {_date_of(last)}{of_symbols} "
            f"ORDER BY {', '.join(('trade_date', *dataset.key))}"
        )
        return self._read(asked).cast(pl.Schema(dataset.types)).lazy()

    def adjustments(self) -> Adjustments:
        """Those of the views. Symbols that have none are instruments of their own."""
        import polars as pl

        if not self._has(ADJUSTMENT_SPANS):
            raise NotMade(
                "there are no adjustments in this warehouse",
                source=self._questions.place.words,
                todo="Make them with champion adjust; champion fill --dataset all fills the corporate actions.",
            )
        events, spans = self._table(ADJUSTMENTS, EVENTS), self._table(ADJUSTMENT_SPANS, SPANS)
        of_shares = f"series IN ({', '.join(map(text_of, SHARES))})"
        traded = self._read(f"SELECT DISTINCT symbol FROM {self._view(EQUITY)} WHERE {of_shares}")
        periods = spans.group_by("symbol", "instrument").agg(pl.col("start").min(), pl.col("stop").max())
        alone = traded.cast(pl.String).join(periods, on="symbol", how="anti")
        whole = alone.select("symbol", start=pl.lit(EQUITY.first_date), stop=pl.lit(END), instrument="symbol")
        names = pl.concat([periods.select(whole.columns), whole]).sort("symbol", "start")
        return Adjustments(events, names, spans)

    def _has(self, name: str) -> bool:
        [[found]] = self._questions.query(f"EXISTS TABLE {self._questions.named(name)}")
        return bool(found)

    def _table(self, name: str, declared: Sequence[Column]) -> pl.DataFrame:
        import polars as pl

        columns = ", ".join(quoted(column.name) for column in declared)
        return self._read(f"SELECT {columns} FROM {self._questions.named(name)}").cast(pl.Schema(types_of(declared)))

    def _view(self, dataset: Dataset) -> str:
        return self._questions.named(dataset.view)

    def _read(self, statement: str) -> pl.DataFrame:
        import polars as pl

        path = self._folder / f"{uuid.uuid4().hex}.parquet"
        self._questions.export(statement, "Parquet", path)
        try:
            return pl.read_parquet(path, memory_map=False)
        finally:
            path.unlink()


def _date_of(day: date) -> str:
    """A date as ClickHouse's type can have it."""
    return date_of(min(max(day, date(1970, 1, 1)), END))
