"""Which tenures are one company's: by the list of changes, by ISIN, and by who traded when.

A company's name is that of its first tenure: the symbol, or ``SYMBOL@YYYY-MM-DD`` where another company had the symbol
before that day.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from champion_luigi.adjustments.tenures import START, STOP, Note, Tenure, Use

# The longest time without trades between two symbols of one issuer that still makes them one company's.
_NEAR = timedelta(days=30)


@dataclass(eq=False)
class Company:
    """The tenures of a company, and its name."""

    name: str
    tenures: list[Tenure]

    @property
    def uses(self) -> list[Use]:
        """All its uses of symbols."""
        return [use for tenure in self.tenures for use in tenure.uses]

    @property
    def keys(self) -> set[str]:
        """The ISINs under which it traded, and their issuers."""
        return {key for use in self.uses for key in use.keys}

    @property
    def first(self) -> Use:
        """Its first use. There must be one."""
        return min(self.uses, key=lambda use: use[:2])

    @property
    def last(self) -> Use:
        """Its last use. There must be one."""
        return max(self.uses, key=lambda use: (use.last, use.first))


class Companies:
    """The companies of tenures, which are merged one after the other."""

    def __init__(self, of_symbol: Mapping[str, Sequence[Tenure]], note: Note) -> None:
        self._of_symbol = of_symbol
        self._note = note
        self._of: dict[Tenure, Company] = {}
        for tenure in (each for own in of_symbol.values() for each in own):
            name = tenure.symbol if tenure.start == START else f"{tenure.symbol}@{tenure.start}"
            self._of[tenure] = Company(name, [tenure])
        # Days on which the archive that the uses come from has anything.
        self._seen = sorted({day for tenure in self._of for use in tenure.uses for day in use[:2]})

    def name_of(self, tenure: Tenure) -> str:
        """The name of the company that had a tenure."""
        return self._of[tenure].name

    def merge_all(self) -> None:
        """Merge by all the evidence, the strongest first."""
        self._merge_changes()
        self._merge_seen_alone()
        self._merge_isins()

    def _merge(self, company: Company, into: Company) -> None:
        if company is not into:
            into.tenures += company.tenures
            for tenure in company.tenures:
                self._of[tenure] = into

    # By the list

    def _merge_changes(self) -> None:
        for tenure in sorted(self._of, key=lambda each: (each.start, each.symbol)):
            if before := tenure.came_from:
                self._merge(self._of[tenure], self._of[before])
                if _differ(before.uses, tenure.uses):
                    self._note("issuer_differs", f"{before.symbol} -> {tenure.symbol} on {tenure.start}")

    # By trades outside of what the list gives

    def _merge_seen_alone(self) -> None:
        for symbol in sorted(self._of_symbol):
            own = self._of_symbol[symbol]
            for before, tenure in zip([None, *own[:-1]], own, strict=True):
                if tenure.is_seen_alone and before is not None:
                    self._judge_seen_after(before, tenure)
            for tenure, after in itertools.pairwise(own):
                if tenure.is_seen_alone and after.came_from is not None:
                    self._judge_seen_before(tenure, after)

    def _judge_seen_after(self, before: Tenure, tenure: Tenure) -> None:
        """A symbol that was given up trades again: the company is back, or the list is early, or it is another's."""
        company, text = self._of[before], f"{tenure.symbol} from {tenure.start}"
        if self._of[tenure].keys & company.keys:
            self._note("came_back", f"{text}: {company.name} again, by its ISIN")
        elif self._is_near(tenure.start, tenure.uses[0].first) and self._is_it_alone(tenure, company):
            self._note("listed_early", f"{text}: {company.name} traded on, and as nothing else")
        else:
            self._note("reused", f"{text}: after {company.name}")
            return
        self._merge(self._of[tenure], company)
        for after in company.tenures:
            if after.came_from is before:
                _meet(tenure, after)

    def _judge_seen_before(self, tenure: Tenure, after: Tenure) -> None:
        """A symbol trades before a change to it: the list is late, or it was another company's."""
        company, text = self._of[after], f"{tenure.symbol} until {tenure.stop}"
        if company is self._of[tenure]:
            return
        if self._of[tenure].keys & company.keys:
            self._note("listed_late", f"{text}: {company.name} already, by its ISIN")
        elif self._is_near(max(use.last for use in tenure.uses), tenure.stop) and self._is_it_alone(tenure, company):
            self._note("listed_late", f"{text}: {company.name} already, for it traded as nothing else")
        else:
            self._note("used_before", f"{text}: before {company.name}")
            return
        self._merge(self._of[tenure], company)
        if after.came_from:
            _meet(after.came_from, tenure)

    def _is_it_alone(self, tenure: Tenure, company: Company) -> bool:
        """Whether nothing shows the company elsewhere, or as another issuer's, while the symbol traded."""
        first = tenure.start if tenure.start > START else tenure.uses[0].first
        last = tenure.stop - timedelta(days=1) if tenure.stop < STOP else max(use.last for use in tenure.uses)
        uses = company.uses
        return not _differ(tenure.uses, uses) and not any(use.first <= last and first <= use.last for use in uses)

    # By ISIN

    def _merge_isins(self) -> None:
        """Merge companies of one ISIN, or of one issuer, if the second begins to trade when the first has ended."""
        for is_whole in (True, False):
            of_key: defaultdict[str, list[Company]] = defaultdict(list)
            traded = [company for company in dict.fromkeys(self._of.values()) if company.uses]
            for company in sorted(traded, key=lambda each: (each.first[:2], each.name)):
                for key in {use.whole if is_whole else use.issuer for use in company.uses} - {None}:
                    of_key[str(key)].append(company)
            for key in sorted(key for key, companies in of_key.items() if len(companies) > 1):
                for later in of_key[key][1:]:
                    self._merge_after(key, later, of_key[key], is_whole=is_whole)

    def _merge_after(self, key: str, later: Company, companies: Sequence[Company], *, is_whole: bool) -> None:
        """Merge a company into the one that ended before it, among companies that have a key in common."""
        if self._current(later) is not later:
            return
        first = later.first.first
        others = [each for each in dict.fromkeys(map(self._current, companies)) if each is not later]
        ended = sorted((each for each in others if each.last.last < first), key=lambda each: each.last.last)
        if is_whole:
            ended = ended[-1:]  # it is the same security, however long it did not trade
        elif ended:
            near = [each for each in ended if self._is_near(each.last.last, first)]
            if not near:
                self._note(
                    "apart", f"{later.name} from {first}: {key}, as {ended[-1].name} until {ended[-1].last.last}"
                )
            ended = near
        if not ended:
            return
        rivals = [each for each in others if ended[-1].last.last < each.first.first <= later.last.last]
        if len(ended) > 1 or (rivals and not is_whole):
            names = ", ".join(each.name for each in (*ended, *rivals))
            self._note("ambiguous", f"{later.name} from {first}: {key} is also that of {names}")
            return
        before = max((each for each in ended[0].tenures if each.start < first), key=lambda each: each.start)
        begun = next(each for each in later.tenures if later.first in each.uses)
        kind = "linked_by_isin" if is_whole else "linked_by_issuer"
        self._note(kind, f"{before.symbol} -> {begun.symbol} on {first}: {key}")
        if begun.start == START or before.stop == STOP:
            _meet(before, begun)
        self._merge(later, ended[0])

    def _current(self, company: Company) -> Company:
        return self._of[company.tenures[0]]

    def _is_near(self, earlier: date, later: date) -> bool:
        """Whether no more than a month lies between two days, or the archive has nothing in between."""
        if later - earlier <= _NEAR:
            return True
        place = bisect.bisect_right(self._seen, earlier)
        return place == len(self._seen) or self._seen[place] >= later


def _meet(earlier: Tenure, later: Tenure) -> None:
    """Let a company's tenure end where its next one begins to trade, if its own trades have ended by then."""
    if later.uses:
        first = later.uses[0].first
        if earlier.start < first < later.stop and all(use.last < first for use in earlier.uses):
            earlier.stop, later.start = min(earlier.stop, first), max(later.start, first)


def _issuers(uses: Iterable[Use]) -> set[str]:
    return {use.issuer for use in uses if use.issuer}


def _differ(some: Iterable[Use], others: Iterable[Use]) -> bool:
    """Whether both have issuers, and none in common."""
    ours, theirs = _issuers(some), _issuers(others)
    return bool(ours and theirs) and not ours & theirs
