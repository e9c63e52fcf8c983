"""Reads the purpose of a corporate action: its actions, with their numbers, and what was not understood. Never guesses.

A purpose is free text in which the exchange states an action's terms; `purpose_phrases` is the grammar. Numbers are
exact: rupees as `Decimal`, factors as `Fraction`. A text is understood if phrases of the grammar cover all of it. If
they do not, the rest is in `Purpose.unknown`. A text has parts, separated by `/`, `+`, `&`, comma or "and"; a part with
a rest gives no action at all, because what follows may change what came before. So actions hold, whatever another part
of the text says, but only an understood text has all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

from champion_luigi.datasets.purpose_phrases import NUMBERS, PHRASES, SPELLINGS, Kind, Phrase

# How many texts are remembered with what they say. A day repeats most of the day before.
REMEMBERED = 65536


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `None` in a field means that the text does not state it.

    `from_value`, `to_value`: face values in rupees, of splits, consolidations and capital reductions. `ratio`: new
    shares and the old shares that they are for. `amount`: rupees per share or unit; of rights, what `basis` names: the
    premium over the face value, or the issue price. `percent`: of the face value. `phrase` is the phrase's name.
    """

    kind: Kind
    phrase: str
    from_value: Decimal | None = None
    to_value: Decimal | None = None
    ratio: tuple[int, int] | None = None
    amount: Decimal | None = None
    basis: Literal["premium", "issue price"] | None = None
    percent: Decimal | None = None
    partly_paid: bool = False

    def __str__(self) -> str:
        """The kind with the numbers, for lists of notices."""
        parts: list[object] = [self.kind]
        if self.kind == "other":
            parts.append(f"({self.phrase})")
        if self.from_value is not None:
            parts.append(f"from {self.from_value} to {self.to_value}")
        if self.ratio is not None:
            parts.append(f"{self.ratio[0]}:{self.ratio[1]}")
        if self.basis is not None:
            parts.append(self.basis)
        if self.amount is not None:
            parts.append(self.amount)
        if self.percent is not None:
            parts.append(f"{self.percent} %")
        if self.partly_paid:
            parts.append("partly paid")
        return " ".join(map(str, parts))


class Note(NamedTuple):
    """A part of a text whose numbers are in no field, and why."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a text says. `unknown` has the parts that no phrase covers, in capital letters, with words written out."""

    text: str
    actions: tuple[Action, ...]
    notes: tuple[Note, ...]
    unknown: tuple[str, ...]

    @property
    def understood(self) -> bool:
        """Whether phrases cover the whole text, and at least one of them is an action."""
        return bool(self.actions) and not self.unknown


# From the table to regular expressions


def _joined(variant: str) -> str:
    return re.sub(r"[\s-]", "", variant)


def compiled(phrase: Phrase) -> re.Pattern[str]:
    """The regular expression of a phrase's pattern, for texts as `prepared` returns them."""
    parts = []
    for part in re.split(r"(<[a-z]\w*(?: \w+)?>)", phrase.pattern):
        name, _, into = part.strip("<>").partition(" ")
        if name in NUMBERS:
            parts.append(NUMBERS[name].replace("(?P<_>", f"(?P<{into}>" if into else "(?:"))
        else:
            parts.append(re.sub(r" ?~ ?", r"[\\s:@*-]*", part).replace(" ", r"\s*"))
    return re.compile("".join(parts), re.ASCII)


# Compiled at the first reading: it takes longer than all else that is done at import.
@cache
def _phrases() -> list[tuple[Phrase, re.Pattern[str]]]:
    return [(phrase, compiled(phrase)) for phrase in PHRASES]


@cache
def _spellings() -> tuple[re.Pattern[str], dict[str, str]]:
    """The pattern of all variants, and each variant's form. A variant is whole words; the longest comes first."""
    forms = {variant: form for form, variants in SPELLINGS.items() for variant in variants.split(", ")}
    longest_first = sorted(forms, key=len, reverse=True)
    alternatives = "|".join(variant.replace(" ", r"[\s-]*") for variant in longest_first)
    pattern = re.compile(f"(?<![A-Z])(?:{alternatives})(?![A-Z])")
    return pattern, {_joined(variant): form for variant, form in forms.items()}


_DASHES = str.maketrans({"\ufffd": "-", "\u2013": "-", "\u2014": "-", "\u00a0": " "})
_BETWEEN = re.compile(r"(?:[\s:;,.*/+&-]|(?:AND|PLUS)\b)+")
_NEXT_PART = re.compile(r"[;,+&]|/(?!\s*-)|AND|PLUS")
# `DIV/SPDIV - RS 5` may mean that 5 is both: a dividend that waits for its amount takes the next part along.
_OPEN = re.compile(r"(?:DIV|SPECIAL|INTERIM|FINAL)$")
_WORD = re.compile(r"[A-Z]+|\d[\d.,]*|.", re.DOTALL)


def prepared(text: str) -> str:
    """A text in capital letters, with single blanks and the one form of each word that patterns use."""
    capitals = " ".join(text.translate(_DASHES).upper().split())
    pattern, forms = _spellings()
    return pattern.sub(lambda match: forms[_joined(match[0])], capitals)


# Reading


def read(text: str, face_value: Decimal | None = None, *, width: int | None = None) -> Purpose:
    """What a purpose says.

    `face_value`, in rupees, turns a dividend in percent into an amount; without it the amount stays `None`. `width` is
    the number of characters of the published field. A text that fills the field and ends in a number may have been cut
    within the number: it is understood only if a further digit is impossible.
    """
    return _read(text, face_value, width)


@lru_cache(maxsize=REMEMBERED)
def _read(text: str, face_value: Decimal | None, width: int | None) -> Purpose:
    actions: list[Action] = []
    notes: list[Note] = []
    unknown: list[str] = []
    capitals = prepared(text)
    parts = list(_parts(capitals))
    last = parts[-1]
    if width and len(text.rstrip()) >= width and last and not isinstance(last, str) and _may_be_cut(*last[-1]):
        parts[-1] = f"{capitals[last[0][1].start() :]}..."
    for part in parts:
        if isinstance(part, str):
            unknown.append(part)
            continue
        for phrase, match in part:
            actions += [_in_rupees(action, face_value) for action in _actions(phrase, match)]
            if phrase.note:
                notes.append(Note(match[0], phrase.note))
    return Purpose(text, tuple(actions), tuple(notes), tuple(unknown))


_Matched = tuple[Phrase, re.Match[str]]


def _parts(text: str) -> Iterator[list[_Matched] | str]:
    """The text's parts: the phrases of a part that phrases cover, else the text of the part."""
    phrases: list[_Matched] = []
    known, start, position = True, 0, 0
    while position < len(text):
        if between := _BETWEEN.match(text, position):
            if _NEXT_PART.search(between[0]) and not (not known and _OPEN.search(text, start, position)):
                yield phrases if known else text[start:position].strip()
                phrases, known, start = [], True, between.end()
            position = between.end()
        elif found := _longest(text, position):
            phrases.append(found)
            position = found[1].end()
        else:
            known = False
            word = _WORD.match(text, position)
            position = word.end() if word else len(text)
    yield phrases if known else text[start:].strip()


def _longest(text: str, position: int) -> _Matched | None:
    best: _Matched | None = None
    for phrase, pattern in _phrases():
        match = pattern.match(text, position)
        if match and (best is None or match.end() > best[1].end()) and all(map(_possible, _actions(phrase, match))):
            best = phrase, match
    return best


def _actions(phrase: Phrase, match: re.Match[str]) -> list[Action]:
    fields: list[dict[str, Any]] = [{} for _ in phrase.kinds]
    for group, value in match.groupdict().items():
        name = group.removesuffix("_2")
        fields[group != name][name] = _value(name, value)
    if fields:
        fields[0] |= phrase.fixed
    return [Action(kind, phrase.name, **each) for kind, each in zip(phrase.kinds, fields, strict=True)]


def _value(field: str, text: str) -> Decimal | tuple[int, int]:
    if field == "ratio":
        new, old = text.split(":")
        return int(new), int(old)
    return Decimal(text.replace(",", ""))


def _possible(action: Action) -> bool:
    """Whether the numbers can be what the words say: 0 is a premium at most, and a split has the smaller value last."""
    at_par = action.kind == "rights" and action.basis == "premium"
    if (action.amount == 0 and not at_par) or 0 in (action.percent, action.from_value, action.to_value):
        return False
    if action.from_value is None or action.to_value is None:
        return True
    if action.kind == "consolidation":
        return action.from_value < action.to_value
    return action.from_value > action.to_value


def _in_rupees(action: Action, face_value: Decimal | None) -> Action:
    """A dividend in percent of a known face value, with its amount."""
    if action.percent is None or face_value is None or action.kind not in ("dividend", "special_dividend"):
        return action
    return replace(action, amount=face_value * action.percent / 100)


def _may_be_cut(phrase: Phrase, match: re.Match[str]) -> bool:
    """Whether the text could have gone on with a digit: a split's new value must still be below the old with it."""
    if not match.string[-1].isdigit() and match.string[-1] != ".":
        return False
    for action in _actions(phrase, match):
        if action.kind == "split" and action.from_value is not None and action.to_value is not None:
            return action.to_value * 10 < action.from_value
    return True


# Factors


def factor(action: Action) -> Fraction | None:
    """By how much prices before the ex-date are divided; exact. None for what changes no number of shares by a ratio.

    A split: old face value / new. A bonus of a new shares for b old ones: 1 + a / b. A consolidation: below 1. Rights
    depend on the price as well: `ex_rights_factor`.
    """
    if action.kind in ("split", "consolidation") and action.from_value is not None and action.to_value is not None:
        return Fraction(action.from_value) / Fraction(action.to_value)
    if action.kind == "bonus" and action.ratio is not None:
        return 1 + Fraction(*action.ratio)
    return None


def ex_rights_factor(close: Decimal, face_value: Decimal, action: Action) -> Fraction | None:
    """By how much prices before the ex-date of a rights issue are divided: close / theoretical ex-rights price; exact.

    `close` is the last close before the ex-date and `face_value` the share's, in rupees. The theoretical price is (old
    shares x close + new shares x issue price) / all shares; the issue price is the face value and the premium. The
    exchange rounds the factor to two decimals. It does not adjust for rights above the market's price: 1. None for
    another kind, without a price in the text, and for partly paid shares, which trade apart.
    """
    if action.kind != "rights" or action.ratio is None or action.amount is None or action.partly_paid:
        return None
    new, old = action.ratio
    issue_price = Fraction(action.amount) + (Fraction(face_value) if action.basis == "premium" else 0)
    theoretical = (old * Fraction(close) + new * issue_price) / (old + new)
    return max(Fraction(close) / theoretical, Fraction(1))
