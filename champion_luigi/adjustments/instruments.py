"""Instruments: one identity for a company's share, or a fund, over all the symbols that it had.

The exchange knows a security by its symbol, which a company can change, and which another company can have later. The
list of changed symbols is the evidence; days of trading and ISINs, as far as an archive has them, complete it.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from champion_luigi.adjustments.companies import Companies
from champion_luigi.adjustments.symbol_changes import Change, Changes, read_changes
from champion_luigi.adjustments.tenures import START, STOP, Use, from_changes, place_uses

if TYPE_CHECKING:
    import polars as pl

__all__ = ["START", "STOP", "Change", "Changes", "Names", "Period", "names", "read_changes"]


class Period(NamedTuple):
    """The time from ``start`` to ``stop`` (exclusive) in which a symbol was an instrument's."""

    symbol: str
    start: date
    stop: date
    instrument: str


@dataclass(frozen=True)
class Names:
    """The periods of all symbols, by symbol and start, and what was odd about them, by kind.

    The kinds, each with a sentence for each case:

    - ``linked_by_isin``, ``linked_by_issuer``: a change that the list lacks. By the issuer alone, the ISIN has changed
      too, as with a split or a reduction of capital that may have no notice;
    - ``ambiguous``: an issuer's symbols that follow one another, of which it is unclear which follows which;
    - ``apart``: symbols of one issuer with other ISINs and a longer time between them, which stay two instruments;
    - ``reused``, ``used_before``: another company has the symbol after, or had it before, the one of a change;
    - ``came_back``, ``listed_early``, ``listed_late``: the list and the trades differ, and it is one company;
    - ``issuer_differs``: the ISINs on both sides of a change are of different issuers, and the change counts;
    - ``same_day_chain``: several changes of a company on one day, which count as one;
    - ``conflicting``: a change that cannot be with another one of that day, and is left out.
    """

    periods: tuple[Period, ...]
    odd: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Names:
        """The names in a frame that `frame` once gave."""
        return cls(tuple(map(Period._make, frame.select(Period._fields).sort("symbol", "start").iter_rows())))

    @property
    def counts(self) -> dict[str, int]:
        """The number of cases of each kind of oddity."""
        return {kind: len(cases) for kind, cases in self.odd.items()}

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row a period: ``symbol``, ``start``, ``stop`` (exclusive), ``instrument``."""
        import polars as pl

        types = {"symbol": pl.String, "start": pl.Date, "stop": pl.Date, "instrument": pl.String}
        return pl.DataFrame(self.periods, types, orient="row")

    def at(self, symbol: str, day: date) -> str:
        """The instrument that a symbol means on a day.

        Outside of its periods, it means the next later one: some files have today's symbols for old events. After the
        last period it means that one. A symbol without periods is an instrument of its own.
        """
        own = self._of_symbol.get(symbol)
        if not own:
            return symbol
        place = bisect.bisect_right(own, day, key=lambda period: period.stop)
        return own[min(place, len(own) - 1)].instrument

    def find(self, symbol: str) -> str:
        """The instrument that a symbol means to somebody who types it: that of its newest period."""
        own = self._of_symbol.get(symbol)
        return own[-1].instrument if own else symbol

    def symbols(self, instrument: str) -> list[Period]:
        """The periods of an instrument, in time."""
        return list(self._of_instrument.get(instrument, ()))

    def __contains__(self, symbol: str) -> bool:
        """Whether anything is known about a symbol."""
        return symbol in self._of_symbol

    @cached_property
    def _of_symbol(self) -> Mapping[str, list[Period]]:
        found: defaultdict[str, list[Period]] = defaultdict(list)
        for period in self.periods:
            found[period.symbol].append(period)
        return dict(found)

    @cached_property
    def _of_instrument(self) -> Mapping[str, list[Period]]:
        found: defaultdict[str, list[Period]] = defaultdict(list)
        for period in sorted(self.periods, key=lambda each: (each.start, each.stop, each.symbol)):
            found[period.instrument].append(period)
        return dict(found)


def names(changes: Changes, traded: pl.DataFrame | None = None) -> Names:
    """The names of instruments over time, from a list of changes and the days of trading.

    ``traded`` has one row a symbol and ISIN of the series of shares and funds, or several, as for years: ``symbol``,
    ``isin`` (may be null), ``first``, ``last``. It may be absent, or from an archive with gaps. An instrument's name
    stays as the list and the archive grow, unless new evidence shows that two instruments are one.
    """
    odd: defaultdict[str, list[str]] = defaultdict(list)

    def note(kind: str, text: str) -> None:
        odd[kind].append(text)

    of_symbol = from_changes(changes.listed, note)
    place_uses(of_symbol, _uses(traded), note)
    companies = Companies(of_symbol, note)
    companies.merge_all()
    found: list[Period] = []
    for symbol in sorted(of_symbol):
        for tenure in of_symbol[symbol]:
            period = Period(symbol, tenure.start, tenure.stop, companies.name_of(tenure))
            before = found[-1] if found else None
            if before and (before.symbol, before.stop, before.instrument) == (symbol, period.start, period.instrument):
                found[-1] = before._replace(stop=period.stop)
            else:
                found.append(period)
    return Names(tuple(found), {kind: tuple(sorted(odd[kind])) for kind in sorted(odd)})


def _uses(traded: pl.DataFrame | None) -> Iterator[tuple[str, Use]]:
    if traded is not None:
        for symbol, isin, first, last in traded.select("symbol", "isin", "first", "last").iter_rows():
            yield symbol, Use(first, last, isin)
