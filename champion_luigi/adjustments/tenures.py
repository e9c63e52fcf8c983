"""Who had a symbol when, as the list of changes and the days on which it traded show it.

A tenure is a stretch of time in which one company has a symbol. The list gives most of them: a change ends the tenure
of the old symbol and begins one of the new symbol. Trades outside of all these show further ones: another company had
the symbol before, or has it since, or the list's date is wrong. `companies` decides which.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

from champion_luigi.adjustments.symbol_changes import Change
from champion_luigi.datasets.equity import FIRST_DATE

# The open ends of a period: the exchange's first session, and the last date that ClickHouse's type holds.
START = FIRST_DATE
STOP = date(2149, 6, 6)

# Of a share: the country, the kind of issuer and the issuer are the first seven letters.
_SHARE = re.compile(r"(IN[E9][A-Z0-9]{4})01[A-Z0-9]{3}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
# A symbol without trades for longer than this, and then with another issuer's, was given up in between.
_GIVEN_UP_AFTER = timedelta(days=365)

# Takes the kind of an oddity, and a sentence about it.
Note = Callable[[str, str], None]


class Use(NamedTuple):
    """The first and last day on which a symbol traded under an ISIN, which may be unknown."""

    first: date
    last: date
    isin: str | None

    @property
    def issuer(self) -> str | None:
        """The issuer's part of a share's ISIN. Funds of one manager have theirs in common, so they have none here."""
        match = _SHARE.fullmatch(self.isin or "")
        return match[1] if match else None

    @property
    def whole(self) -> str | None:
        """The ISIN, unless it is a dummy such as `INE`."""
        return self.isin if _ISIN.fullmatch(self.isin or "") else None

    @property
    def keys(self) -> set[str]:
        """What identifies the company or the fund, as far as it is known."""
        return {key for key in (self.whole, self.issuer) if key}


@dataclass(eq=False)
class Tenure:
    """A symbol's time with one company, from ``start`` to ``stop`` (exclusive).

    ``came_from`` is the tenure that a listed change ended when this one began. ``is_seen_alone`` if only trades show
    it.
    """

    symbol: str
    start: date
    stop: date = STOP
    came_from: Tenure | None = None
    is_seen_alone: bool = False
    uses: list[Use] = field(default_factory=list)


def from_changes(changes: Iterable[Change], note: Note) -> dict[str, list[Tenure]]:
    """The tenures of each symbol, in time, that a list's changes give."""
    found: defaultdict[str, list[Tenure]] = defaultdict(list)
    for day, of_day in itertools.groupby(sorted(changes), key=lambda change: change.day):
        moves = _moves(list(of_day), note)
        # Before any symbol is taken: two companies may exchange theirs on one day.
        left = [_left(found[old], old, day) for old, _ in moves]
        for (_, new), came_from in zip(moves, left, strict=True):
            if (own := found[new]) and own[-1].stop > day:
                own[-1].stop = day
            own.append(Tenure(new, day, came_from=came_from))
    return dict(found)


def _moves(of_day: Sequence[Change], note: Note) -> list[tuple[str, str]]:
    """The changes of a day as (old, new), where a company's several changes are one."""
    by_old: dict[str, Change] = {}
    by_new: dict[str, Change] = {}
    for change in of_day:
        if change.old in by_old or change.new in by_new:
            note("conflicting", f"{_said(change)}: another change of that day has the same symbol")
        else:
            by_old[change.old] = by_new[change.new] = change
    # Of one company, A to B and B to C on one day is A to C; of two, the second one left B to the first one.
    follows = {
        change.old: by_old[change.new]
        for change in by_old.values()
        if change.new in by_old and by_old[change.new].company.casefold() == change.company.casefold()
    }
    later = {change.old for change in follows.values()}
    found, done = [], set()
    for old, change in by_old.items():
        if old in later:
            continue
        last = change
        done.add(old)
        while last.old in follows:
            note("same_day_chain", f"{_said(follows[last.old])}: on the day of {_said(last)}")
            last = follows[last.old]
            done.add(last.old)
        found.append((old, last.new))
    for old in by_old.keys() - done:
        note("conflicting", f"{_said(by_old[old])}: a circle")
    return found


def _said(change: Change) -> str:
    return f"{change.old} -> {change.new} on {change.day}"


def _left(own: list[Tenure], symbol: str, day: date) -> Tenure:
    """End the tenure of a symbol that is given up; there may be none yet."""
    if not own or own[-1].stop < STOP:
        own.append(Tenure(symbol, own[-1].stop if own else START))
    own[-1].stop = day
    return own[-1]


def place_uses(of_symbol: dict[str, list[Tenure]], uses: Iterable[tuple[str, Use]], note: Note) -> None:
    """Give each tenure the part of the uses that lies in it, and add the tenures that only uses show."""
    by_symbol: defaultdict[str, list[Use]] = defaultdict(list)
    for symbol, use in uses:
        by_symbol[symbol].append(use)
    for symbol, of_it in by_symbol.items():
        own = of_symbol.get(symbol, [])
        edges = [START, *(edge for each in own for edge in (each.start, each.stop)), STOP]
        free = [
            Tenure(symbol, start, stop, is_seen_alone=bool(own))
            for start, stop in zip(edges[::2], edges[1::2], strict=True)
            if start < stop
        ]
        for each in (*own, *free):
            each.uses = sorted(filter(None, (_within(use, each) for use in of_it)), key=lambda use: use[:2])
        placed = sorted([*own, *(each for each in free if each.uses)], key=lambda each: (each.start, each.stop))
        of_symbol[symbol] = [part for each in placed for part in _split(each, note)]


def _within(use: Use, tenure: Tenure) -> Use | None:
    """The part of a use that lies in a tenure. What lies between a use's two days is known only for their tenures."""
    if use.first < tenure.start and tenure.stop <= use.last:
        return None
    first, last = max(use.first, tenure.start), min(use.last, tenure.stop - timedelta(days=1))
    return Use(first, last, use.isin) if first <= last else None


def _split(tenure: Tenure, note: Note) -> list[Tenure]:
    """The tenure, or its parts: a delisted company's symbol can be another company's years later, without any change.

    The last part is the tenure itself, which a later change may refer to.
    """
    parts = []
    known = [use for use in tenure.uses if use.issuer]
    for before, after in itertools.pairwise(known):
        latest = max(use.last for use in tenure.uses if use.first <= before.first)
        if before.issuer != after.issuer and after.first - latest > _GIVEN_UP_AFTER:
            note("reused", f"{tenure.symbol} from {after.first}: {after.issuer}, until {latest}: {before.issuer}")
            earlier = Tenure(tenure.symbol, tenure.start, after.first, tenure.came_from, tenure.is_seen_alone)
            earlier.uses = [use for use in tenure.uses if use.first < after.first]
            tenure.uses = [use for use in tenure.uses if use.first >= after.first]
            tenure.start, tenure.came_from, tenure.is_seen_alone = after.first, None, False
            parts.append(earlier)
    return [*parts, tenure]
