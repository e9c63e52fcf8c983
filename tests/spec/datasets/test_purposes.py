"""The purposes of corporate actions: what each way to write one means, and that nothing is guessed or passed over."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from champion_luigi.datasets.purpose_phrases import NUMBERS, PHRASES, SPELLINGS, Kind, Phrase
from champion_luigi.datasets.purposes import (
    Action,
    Purpose,
    compiled,
    ex_rights_factor,
    factor,
    prepared,
    read,
)

every_phrase = pytest.mark.parametrize("phrase", PHRASES, ids=[phrase.name for phrase in PHRASES])


def said(text: str) -> str:
    """The actions of a text in one line."""
    return "; ".join(map(str, read(text).actions))


def numbers(text: str) -> Counter[Decimal]:
    """The numbers of a text, by a way of its own: `Rs.5` is 5, `1st` is a word."""
    text = re.sub(r"(?i)\b(rs|re)\.(?=\d)", " ", text)
    text = re.sub(r"(?i)(?<=\d)(rs|re)\.(?=\d)|(?<=to)(rs|re)\.(?=\d)", " ", text)
    text = re.sub(r"(?i)(?<!\d)[1-4](st|nd|rd|th)\b", "", text)
    return Counter(Decimal(each.replace(",", "")) for each in re.findall(r"(?:\d[\d,]*)?\.\d+|\d[\d,]*", text))


def kept(purpose: Purpose) -> Counter[Decimal]:
    """The numbers that a purpose has in fields, and in notes that say why they are in none."""
    found: Counter[Decimal] = Counter()
    for action in purpose.actions:
        values = [action.from_value, action.to_value, action.amount, action.percent, *(action.ratio or ())]
        found.update(Decimal(value) for value in values if value is not None)
    for note in purpose.notes:
        assert note.reason
        found.update(numbers(note.text))
    return found


# The table


@every_phrase
def test_a_phrase_reads_its_example(phrase: Phrase) -> None:
    """Each example is understood, says what the table states, and is read by the phrase that it is the example of."""
    purpose = read(phrase.example)
    assert purpose.understood, purpose.unknown
    assert said(phrase.example) == phrase.reads
    used = {action.phrase for action in purpose.actions} | {note.reason for note in purpose.notes}
    assert used & {phrase.name, phrase.note} - {""}
    assert kept(purpose) == numbers(phrase.example)


@every_phrase
def test_a_phrase_passes_over_no_number(phrase: Phrase) -> None:
    """A pattern has numbers by name only, each goes into a field, or the phrase has a note that says why not."""
    tokens = re.findall(r"<([a-z]\w*)(?: (\w+))?>", phrase.pattern)
    words = re.sub(r"<[^<>]*>|\(\?!(?:[^()]|\([^()]*\))*\)", "", phrase.pattern)
    assert not re.search(r"\d|\\d|\\w|\\S|\[\^|(?<!\\)\.", words)
    dropped = [name for name, into in tokens if r"\d" in NUMBERS[name] and not into]
    assert not dropped or phrase.note
    names = {field.name for field in fields(Action)}
    groups = list(compiled(phrase).groupindex)
    assert {group.removesuffix("_2") for group in groups} <= names
    assert bool([group for group in groups if group.endswith("_2")]) <= (len(phrase.kinds) == 2)


@every_phrase
def test_no_two_phrases_read_the_same(phrase: Phrase) -> None:
    """The longest match wins, so that two of one length would leave the order of the table to decide."""
    text = prepared(phrase.example)
    patterns = [compiled(each) for each in PHRASES]
    for start in range(len(text)):
        ends = [match.end() for pattern in patterns if (match := pattern.match(text, start))]
        assert ends.count(max(ends, default=0)) <= 1, text[start:]


def test_the_table_has_one_phrase_of_a_name_and_every_kind() -> None:
    """Names tell actions of one kind apart."""
    names = [phrase.name for phrase in PHRASES]
    assert len(names) == len(set(names))
    assert {kind for phrase in PHRASES for kind in phrase.kinds} == set(get_args(Kind))


def test_a_number_that_ends_in_a_note_is_no_action_of_shares() -> None:
    """What is bonus or rights of other securities gives neither a ratio nor a factor."""
    for phrase in PHRASES:
        if phrase.note and phrase.kinds:
            assert phrase.kinds == ("other",)


def test_a_variant_stands_for_one_form() -> None:
    """No spelling is listed twice, and a form is not replaced again."""
    variants = [variant.replace(" ", "") for text in SPELLINGS.values() for variant in text.split(", ")]
    assert [variant for variant, count in Counter(variants).items() if count > 1] == []
    assert [form for form in SPELLINGS if prepared(form) != form] == []


# Splits, bonuses, consolidations


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FVSPLT FRM RS 10 TO RE 1", "split from 10 to 1"),
        ("FV SPLT FRM RS10 TO RS 5", "split from 10 to 5"),
        ("FV SPLIT RS.10 TO RS.2", "split from 10 to 2"),
        ("FV SPLIT FRM RS10 TO RS2", "split from 10 to 2"),
        ("FVSPLTFRM10TO1", "split from 10 to 1"),
        ("SUB DIV FRM RS 10 TO RS 2", "split from 10 to 2"),
        ("Fv Splt Frm Rs 10 To Rs 2", "split from 10 to 2"),
        ("Face Value Split From Rs 10 To Re 2", "split from 10 to 2"),
        ("Face Value Split (Sub-Division) - From Rs 10 /- Per Share To Rs 5  Per Share", "split from 10 to 5"),
        ("Face Value Split (Sub-Division) - From Rs2/- Per Share To Re 1/- Per Share", "split from 2 to 1"),
        ("Face Value Split (Sub-Division) - From Re 1/- Per Share To Re 0.50/- Per Share", "split from 1 to 0.50"),
        ("BONUS 2:1/FVS RS.5TORE.1", "bonus 2:1; split from 5 to 1"),
        ("BON-1:25/SPLIT RS10TORS.5", "bonus 1:25; split from 10 to 5"),
        ("Bonus 1:1 / Face Value Split From 10/- To Face Value 2/-", "bonus 1:1; split from 10 to 2"),
        ("Bonus 2: 1", "bonus 2:1"),
        ("Bonus- 1:1", "bonus 1:1"),
        ("Bonus 1:10 (Revised)", "bonus 1:10"),
        ("Bonus Issue 1 : 1", "bonus 1:1"),
        ("Bonus 1:1 /Dividend- Rs 29 Per Share", "bonus 1:1; dividend 29"),
        ("FV CONSOLDTN FRM RS 1 TO RS 10", "consolidation from 1 to 10"),
        (
            "Capital Reduction Rs 10 To Rs 3.30 / Consolidation Rs 3.30 To Rs.10",
            "other (capital reduction with its face values) from 10 to 3.30; consolidation from 3.30 to 10",
        ),
    ],
)
def test_what_changes_the_number_of_shares(text: str, expected: str) -> None:
    """Splits, bonuses and consolidations in their spellings, alone and together."""
    assert read(text).understood
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "FV SPLIT FROM RS10 TO RS",
        "FV SPLT FRM RS 177.27 TO",
        "FVSPLT FRM RS 1 TO RS 10",
        "FVSPLT FRM RS 10 TO RS 10",
        "FVSPLT FRM RS 10 TO RS 0",
        "Consolidation Of Equity Shares From Rs 10 To Re 1",
        "CONSO/CAP RED",
        "SPLIT 1:10",
        "ADD ISSUANCE 9:1",
        "BONUS",
        "BONUS 0:1",
        "BONUS 1:0",
        "BONUS 1:1.5",
        "BONUS 1:1:1",
        "BONUS 1:1234567:25 Partly Paid Shares @ Premium 5",
        "BONUS \u0967:\u0967",
    ],
)
def test_a_split_or_bonus_without_possible_terms_is_listed(text: str) -> None:
    """Cut off, contradictory or without numbers: not understood, and without a factor."""
    purpose = read(text)
    assert not purpose.understood
    assert purpose.unknown
    assert [factor(action) for action in purpose.actions if factor(action)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Bonus Ncrps 4:1",
        "Bonus Ncrps 1:116",
        "Scheme Of Arrangement - Bonus Ncrps",
        "SCH AGMT-BONUS NCRPS 4:1",
        "Sch Of Agmt- Bonus Deb1:1",
        "Scheme Of Arrangement - Bonus Debentures 6:1",
        "Scheme Of Arangement- Bonus - 1 Debenture For 1 Equity Share Held",
        "Bonus Preference Shares 21:1",
        "Bonus 1:1 Preference Shares",
        "Bonus 1 Dvr : 10 Eq Share",
    ],
)
def test_a_bonus_of_other_securities_is_no_bonus(text: str) -> None:
    """Debentures, preference shares and shares of another class leave the number of shares as it is."""
    purpose = read(text)
    assert purpose.understood
    (action,) = purpose.actions
    assert (action.kind, action.ratio, factor(action)) == ("other", None, None)


@pytest.mark.parametrize(
    "text",
    [
        *("Demerger", "De-Merger", "DEMERGER", "Scheme Of Demerger", "Scheme Of Arrangement", "Sheme Of Arrangement"),
        *("Composite Scheme Of Arrangement", "Scheme Of Arrangement In The Nature Of Demerger", "Spin Off"),
    ],
)
def test_a_demerger_never_has_a_ratio(text: str) -> None:
    """The text does not state what part of the company leaves."""
    (action,) = read(text).actions
    assert (action.kind, action.ratio, factor(action)) == ("demerger", None, None)


def test_a_demerger_with_a_ratio_is_not_understood() -> None:
    """The ratio is that of another company's shares."""
    assert not read("Demerger 1:1").understood
    assert read("Demerger 1:1").actions == ()


# Rights


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rights 1:15 @ Premium Rs 1247", "rights 1:15 premium 1247"),
        ("Rights 1:2@Prem Rs 40", "rights 1:2 premium 40"),
        ("Rights 3:2 @ Prm Rs 0.63/-", "rights 3:2 premium 0.63"),
        ("Rights 5: 116 At Premium Rs 244/- Per Share", "rights 5:116 premium 244"),
        ("Rights Issue 30:37@ Premium Rs 53/-", "rights 30:37 premium 53"),
        ("Rights 1:9 @ Premium 91", "rights 1:9 premium 91"),
        ("Rights 1:1 @ Premium Rs 0/-", "rights 1:1 premium 0"),
        ("RIGHTS 6:47@PRM RS 1641", "rights 6:47 premium 1641"),
        ("RIGHTS4:5@PRM RS 4.40/-", "rights 4:5 premium 4.40"),
        ("RGTS 33:98PRM RS 24.30/-", "rights 33:98 premium 24.30"),
        ("RGHTS 8:11@PRM RE 0.50/-", "rights 8:11 premium 0.50"),
        ("RHTS 7:5 PRM@55/DIV RE.1", "rights 7:5 premium 55; dividend 1"),
        ("Dividend - Re 0.70/- Per Share/ Right 26:151", "dividend 0.70; rights 26:151"),
        (
            "Rights - 4:25 Fully Paid Up Shares @ Premium Rs 500/- Per Share / "
            "2:25 Partly Paid Up Shares @ Premium Rs 605/- Per Share",
            "rights 4:25 premium 500; rights 2:25 premium 605 partly paid",
        ),
    ],
)
def test_rights_in_their_spellings(text: str, expected: str) -> None:
    """The ratio, and the premium where the text has one; at par it is 0."""
    assert read(text).understood
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Rights 1:50 @ Premium Rs 175  With 6 Warrants For 50 Equity Shares",
        "Rights - 7 Ccps And 7 Warrants:40",
        "Rights 1:11.10 @ Premium Rs 0/-",
        "Rights 3:17 at Rs 835",
        "RIGHTS",
    ],
)
def test_rights_with_other_terms_are_listed(text: str) -> None:
    """Warrants, broken ratios, and a price of which the text does not say whether it is the premium."""
    purpose = read(text)
    assert not purpose.understood
    assert [action for action in purpose.actions if action.kind == "rights"] == []


# Dividends


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DIV - RS 5 PER SH", "dividend 5"),
        ("AGM/DIV - RS 5 PER SH + SPL DIV RS 2", "meeting; dividend 5; special_dividend 2"),
        ("AGM/DIV - 1 RS PER SH", "meeting; dividend 1"),
        ("SPLDIV - RS 15 PER SH", "special_dividend 15"),
        ("SPL INT DIV-RS.13.5 PR SH", "special_dividend 13.5"),
        ("SPL DIV RS 1,000 PER SH", "special_dividend 1000"),
        ("DIV RS 1,00,000 PER SH", "dividend 100000"),
        ("AGM/SPDV/DIV- RS 8 & 20", "meeting; special_dividend 8; dividend 20"),
        ("AGM/SPDV/DIV RS 1.25/2.5", "meeting; special_dividend 1.25; dividend 2.5"),
        ("SP/INTDIV-RS10/26 PER SH", "special_dividend 10; dividend 26"),
        ("DIV/SPDIV - RS 3 & RS 3", "dividend 3; special_dividend 3"),
        ("INTDVSPDVRS 7.50 & 86.50", "dividend 7.50; special_dividend 86.50"),
        ("INTDIV-RS6SPLINTDIV-RS10", "dividend 6; special_dividend 10"),
        ("FIN RS 18+SPL RS 25", "dividend 18; special_dividend 25"),
        ("2ND INT DIV-RS.3/- PR SHR", "dividend 3"),
        ("DIV RS .50 PER SH", "dividend 0.50"),
        ("AGM/DIV-RE.0.20 PER SHARE", "meeting; dividend 0.20"),
        ("Dividend Re.1/- Per Share", "dividend 1"),
        ("Annual General Meeting/Dividend - Re. 1.50/- Per Share", "meeting; dividend 1.50"),
        ("Interim Dividend Rs - Rs 4 Per Share", "dividend 4"),
        ("Annual General Meeting/Dividend Rs - 2.40/ Per Share", "meeting; dividend 2.40"),
        ("Interim Dividend - Rs 5 Per Share Special Dividend - Rs180 Per Share", "dividend 5; special_dividend 180"),
        ("Annual General Meetingdividend - Rs  6 Per Share", "meeting; dividend 6"),
        ("Agm/Spl Div- Rs.5/- Div-7.5/-", "meeting; special_dividend 5; dividend 7.5"),
        ("Annual General Meeting/ Dividend \ufffd Rs 8 Per Share", "meeting; dividend 8"),
        ("DIV/STP", "dividend; other (STP of a mutual fund)"),
        ("AGM/DIV-RS 12.50 PER S", "meeting; dividend 12.50"),
    ],
)
def test_dividends_in_their_spellings(text: str, expected: str) -> None:
    """Rupees per share, of one dividend or of two in the order in which the text names them."""
    assert read(text).understood
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "DIV - RS 2,50 PER SH",
        "DIV RE.50 PER SH",
        "Dividend - Re 0..30 Per Share",
        "Dividend - Rs 0 .70 Per Share",
        "Dividend - Rs.0125 Per Share",
        "Dividend - Re 0.0 Per Share",
        "Interim Dividend - S 5/- Per Share",
        "Annual General Meeting- Re 0.85 Per Share",
        "DIV-2.50",
        "DIV/SPDIV - RS 5 PER SH",
        "SPDIV/DIV - RS 5 PER SH",
        "Interest Dividend - Re 0.30/- Per Share",
        "DIV RS 5 PER SH ON BONUS SH",
    ],
)
def test_an_amount_that_could_be_another_is_listed(text: str) -> None:
    """A comma for a point, a point too many, no unit, one amount for two dividends."""
    purpose = read(text)
    assert not purpose.understood
    assert [action for action in purpose.actions if action.amount is not None] == []


def test_a_dividend_in_percent_needs_the_face_value() -> None:
    """Without it the amount is unknown and the percentage stays."""
    (action,) = read("DIV-20%").actions
    assert (action.amount, action.percent) == (None, Decimal(20))
    (action,) = read("DIV-20%", Decimal(5)).actions
    assert (action.amount, action.percent) == (Decimal(1), Decimal(20))
    (special,) = read("SPL DIV-12.5 PERCENT", Decimal(2)).actions
    assert (special.kind, special.amount) == ("special_dividend", Decimal("0.25"))


def test_a_coupon_in_percent_stays_a_percentage() -> None:
    """The text does not state for which period it is."""
    (action,) = read("INTEREST PAYMENT - 8.5%", Decimal(1000)).actions
    assert (action.amount, action.percent) == (None, Decimal("8.5"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "First Distribution - Interest Payment Rs 2 Per Unit/ Return Of Capital Re 1per Unit",
            "other (distribution without amount); interest 2; other (return of capital) 1",
        ),
        (
            "Interest -Rs 2.14/Return On Capital -Rs 3.33/Dividend -Re 0.36 Per Unit",
            "interest 2.14; other (return of capital) 3.33; dividend 0.36",
        ),
        (
            "Distribution - Rs 5.25 Per Unit Consisting Of Interest - Rs 1.85 Per Unit/ Repayment Of Shareholder Loan"
            " - Rs 2.53 Per Unit/ Dividend - Re 0.83 Per Unit/ Interest On Fixed Deposit - Re 0.04 Per Unit",
            "other (distribution) 5.25",
        ),
        ("DIV//DISTRIBU-RS 4.77", "other (distribution) 4.77"),
        ("DIV/DSTRIB RS 3.55 PR UT", "other (distribution) 3.55"),
        ("INT PYMNT/PART RDMPTION", "interest; other (redemption)"),
        ("INTPAYMENT/REDEMPTI", "interest; other (redemption)"),
        ("Buy Back/Interim Dividend - Re 1 Per Share", "buyback; dividend 1"),
        ("Buy-Back Of Shares", "buyback"),
        ("Buyback Of Bonds", "other (buyback of bonds)"),
    ],
)
def test_units_and_bonds(text: str, expected: str) -> None:
    """Distributions with their parts, interest, redemption and buybacks."""
    assert read(text).understood
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("Anual General Meeting", "Annul General Meeting", "Anuual General Meeting", "Annual General Meeing"),
        *("Annaul General Meeting", "Annual Genral Meeting", "Annualgeneral Meeting", "Annual Gemeral Meeting"),
        *("AGM", "Adjourned Annual General Meeting", "Annual General Meeting(Dt Rev)", "EGM", "EOGM"),
        *("Extra-Oirdinary General Meeting", "Extra Ordinary General Meeting", "Annual General Meetingagm"),
    ],
)
def test_a_meeting_in_its_spellings(text: str) -> None:
    """With their misspellings, and the remark that the notice was revised."""
    purpose = read(text)
    assert purpose.understood
    assert {action.kind for action in purpose.actions} == {"meeting"}


# Never guess


def test_what_is_listed_is_written_out() -> None:
    """In capital letters, with the forms that patterns use."""
    assert read("AGM/FVSPLT FRM RS10 TO RS").unknown == ("FV SPLIT FROM RS10 TO RS",)
    assert read("FVSPLT FRM RS 100 TO RS 1", width=25).unknown == ("FV SPLIT FROM RS 100 TO RS 1...",)


@pytest.mark.parametrize("text", ["", "   ", "-", "(Purpose Revised)", "NIL"])
def test_a_text_without_an_action_is_not_understood(text: str) -> None:
    """Neither is one that is only a remark."""
    assert not read(text).understood


def test_a_part_with_a_rest_gives_no_action() -> None:
    """What follows may change what came before; another part of the text holds."""
    assert read("BONUS 1:1 OF WHATEVER").actions == ()
    assert read("WHATEVER BONUS 1:1").actions == ()
    assert read("WHATEVER RS 10/- BONUS 1:1").actions == ()
    purpose = read("AGM/DIV-2.50/BONUS 1:10")
    assert [str(action) for action in purpose.actions] == ["meeting", "bonus 1:10"]
    assert purpose.unknown == ("DIV-2.50",)


DOUBTFUL = {Decimal("2.09178"), Decimal(12)}


@pytest.mark.parametrize(
    ("text", "understood"),
    [
        ("FVSPLT FRM RS 100 TO RS 1", False),
        ("FV SPLT FRM RS 10 TO RE 1", True),
        ("FV SPLT FRM RS 10 TO RS 5", True),
        ("AGM/DIV-RS 2.5/BONUS  1:1", False),
        ("DIV/DISTRIBU - RS 2.09178", False),
        ("DIV/DISTRIBUTION - RS 12.", False),
        ("AGM/DIV - RS 11.25 PER SH", True),
        ("FVSPLT FRM RS100 TO RS 1 ", True),
    ],
)
def test_a_number_at_the_end_of_a_full_field_may_be_cut(text: str, understood: bool) -> None:
    """`FROM RS 100 TO RS 1` may have been `TO RS 10`; `FROM RS 10 TO RS 5` cannot have gone on."""
    assert len(text) == 25
    assert read(text).understood
    purpose = read(text, width=25)
    assert purpose.understood is understood
    if not understood:
        assert purpose.unknown[-1].endswith("...")
        assert [action for action in purpose.actions if factor(action) or action.amount in DOUBTFUL] == []


FRAGMENTS = st.sampled_from(
    [phrase.example for phrase in PHRASES]
    + [word for form, variants in SPELLINGS.items() for word in (form, *variants.split(", "))]
    + ["RS", "RE", "RS.", "RE.", "/-", "PER SH", "TO", "OF", "FOR", "%", "PERCENT", "WHATEVER", "@", "(", ")"]
)
DIGITS = st.one_of(
    st.integers(0, 2000).map(str),
    st.decimals(0, 500, places=2).map(str),
    st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda pair: f"{pair[0]}:{pair[1]}"),
    st.sampled_from([".5", "0..30", "1,000", "1,00,000", "2,50", "05", "20%", "1 .5"]),
)
TEXTS = st.lists(
    st.tuples(st.one_of(FRAGMENTS, DIGITS), st.sampled_from([" ", "", "/", " - ", " + ", ", ", ": "])), max_size=7
).map(lambda pieces: "".join(piece + between for piece, between in pieces))


@given(TEXTS)
def test_an_understood_text_has_lost_no_number(text: str) -> None:
    """Whatever is put together: each number is in a field, or in a note that says why not."""
    purpose = read(text)
    if purpose.understood:
        assert kept(purpose) == numbers(text)
    for action in purpose.actions:
        assert (factor(action) or 1) > 0


@given(st.sampled_from(PHRASES), st.data(), st.sampled_from(["WHATEVER", "77", "0.5", "3:2", "RS 9", "NOT"]))
def test_a_text_with_something_else_in_it_is_not_understood(phrase: Phrase, data: st.DataObject, other: str) -> None:
    """A foreign word anywhere makes the text one that is listed, and a foreign number at least is not lost."""
    words = phrase.example.split(" ")
    place = data.draw(st.integers(0, len(words)))
    text = " ".join([*words[:place], other, *words[place:]])
    purpose = read(text)
    if other.isalpha():
        assert not purpose.understood
    elif purpose.understood:
        assert kept(purpose) == numbers(text)


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    """No text is an error, and the whole of one that is not understood is in actions or listed."""
    purpose = read(text)
    assert purpose.text == text
    assert purpose.understood == (bool(purpose.actions) and not purpose.unknown)


# Factors


def action_of(text: str) -> Action:
    """The only action of a text."""
    (action,) = read(text).actions
    return action


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FVSPLT FRM RS 10 TO RE 1", Fraction(10)),
        ("FVSPLT FRM RS 5 TO RS 2", Fraction(5, 2)),
        ("FV SPLT2503.61TO250.361", Fraction(10)),
        ("BONUS 1:3", Fraction(4, 3)),
        ("BONUS 25:202", Fraction(227, 202)),
        ("Consolidation Rs 3.30 To Rs.10", Fraction(33, 100)),
        ("RIGHTS 1:1 @ PRM RS 3/-", None),
        ("DIV - RS 974 PER SH", None),
        ("Capital Reduction Rs 10 To Rs 3.30", None),
        ("DEMERGER", None),
    ],
)
def test_the_factor_is_exact(text: str, expected: Fraction | None) -> None:
    """Old face value / new, 1 + new / old shares; none for what changes prices otherwise."""
    assert factor(action_of(text)) == expected


@pytest.mark.parametrize(
    ("text", "close", "face_value", "expected"),
    [
        ("RIGHTS 6:47@PRM RS 1641", "2159.70", "10", "1.027"),
        ("RIGHTS 6:19 @PRM RS 66", "182.29", "10", "1.163"),
        ("RIGHTS 1:3 @PRM RS 365/-", "546.65", "10", "1.085"),
        ("RGHTS 8:11@PRM RE 0.50/-", "3.85", "1", "1.346"),
        ("RIGHTS 1:1 @ PRM RS 3/-", "6.55", "2", "1.134"),
    ],
)
def test_the_theoretical_ex_rights_factor(text: str, close: str, face_value: str, expected: str) -> None:
    """SOBHA, MITCON, SOLARA, VIJIFIN and AJOONI in 2024, with the closes before their ex-dates."""
    found = ex_rights_factor(Decimal(close), Decimal(face_value), action_of(text))
    assert found is not None
    assert round(Decimal(found.numerator) / found.denominator, 3) == Decimal(expected)


def test_the_ex_rights_factor_is_exact() -> None:
    """One new share at 5 (face value 2, premium 3) for one old at 15: 10 afterwards, so 3 / 2."""
    assert ex_rights_factor(Decimal(15), Decimal(2), action_of("RIGHTS 1:1 @ PRM RS 3/-")) == Fraction(3, 2)
    assert ex_rights_factor(Decimal(15), Decimal(5), action_of("RIGHTS 1:1 @ PRM RS 0/-")) == Fraction(3, 2)
    issued_at = action_of("Rights 1:1 At Issue Price Of Rs 5 Per Share")
    assert ex_rights_factor(Decimal(15), Decimal(2), issued_at) == Fraction(3, 2)


def test_rights_above_the_market_change_nothing() -> None:
    """The exchange does not adjust for them."""
    assert ex_rights_factor(Decimal(10), Decimal(10), action_of("RIGHTS 1:1 @ PRM RS 90/-")) == 1


@pytest.mark.parametrize("text", ["Right 26:151", "Rights 9:77 Partly Paid @ Premium Rs 100/-", "BONUS 1:1"])
def test_there_is_no_ex_rights_factor_without_terms(text: str) -> None:
    """Without a price, for partly paid shares, and for what is no rights issue."""
    assert ex_rights_factor(Decimal(100), Decimal(10), action_of(text)) is None


# The real files

WEBSITE = "archive/corporate_actions/CF-CA-equities-01-01-2016-to-31-12-2020.csv"
NOTICES = "archive/archives/equities/bhavcopy/pr"
WIDTH = 25


def website(path: Path) -> Iterator[tuple[str, str, str]]:
    """Symbol, ex-date and purpose of each row of the website's export."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield row["SYMBOL"], row["EX-DATE"], row["PURPOSE"]


def notices(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Symbol, ex-date and purpose of each row of `Bc` in each day's zip; a comma in the purpose is not quoted."""
    for path in sorted(folder.glob("PR*.zip")):
        with zipfile.ZipFile(path) as archive:
            (name,) = [name for name in archive.namelist() if re.fullmatch(r"(?i)bc\d{6}(\d\d)?\.csv", name)]
            rows = list(csv.reader(io.StringIO(archive.read(name).decode("latin-1"))))
        assert rows[0][9] == "PURPOSE"
        yield from ((row[1].strip(), row[6].strip(), ",".join(row[9:])) for row in rows[1:] if row)


def by_kind(purposes: list[Purpose]) -> dict[str, int]:
    """The number of understood rows with an action of each kind."""
    return dict(Counter(kind for each in purposes if each.understood for kind in {a.kind for a in each.actions}))


def assert_no_number_is_lost(purposes: list[Purpose]) -> None:
    """In all of the texts that are understood."""
    assert [each.text for each in set(purposes) if each.understood and kept(each) != numbers(each.text)] == []


def test_the_websites_export_is_understood(shared: Callable[[str], Path]) -> None:
    """10,419 of 10,430 rows, all splits, bonuses and consolidations, and all rights but those with warrants."""
    purposes = [read(text) for _, _, text in website(shared(WEBSITE))]
    assert len(purposes) == 10430
    assert sorted(" ".join(each.text.split()) for each in purposes if not each.understood) == [
        "Annual General Meeting- Re 0.85 Per Share (Purpose Revised)",
        "Annual General Meeting/ Dividend - Re 0.0 Per Share",
        "Annual General Meeting/Dividend - Re 0..30 Per Share",
        "Annual General Meeting/Dividend - Re 1/-Er Share",
        "Annual General Meeting/Dividend - Rs.0125 Per Share",
        "Dividend - Rs 0 .70 Per Share",
        "Dividend - Rs 1.50 Per Share And Special Dividend - Rs 2. Per Share",
        "Interest Dividend - Re 0.30/- Per Share",
        "Interim Dividend - S 5/- Per Share (Purpose Revised)",
        "Interim Dividend Rs 6/- Per Share 9purpose Revised)",
        "Rights 1:50 @ Premium Rs 175 With 6 Warrants For 50 Equity Shares",
    ]
    assert by_kind(purposes) == {
        "meeting": 6718,
        "dividend": 5532,
        "interest": 357,
        "buyback": 172,
        "bonus": 144,
        "special_dividend": 117,
        "split": 108,
        "demerger": 66,
        "other": 59,
        "rights": 56,
        "consolidation": 1,
    }
    assert_no_number_is_lost(purposes)


def test_the_daily_notices_are_understood(shared: Callable[[str], Path]) -> None:
    """5,722 of 5,728 rows; the rest is a consolidation without its face values."""
    purposes = [read(text, width=WIDTH) for _, _, text in notices(shared(NOTICES))]
    assert len(purposes) == 5728
    assert Counter(each.text.strip() for each in purposes if not each.understood) == {"CONSO/CAP RED": 6}
    assert by_kind(purposes) == {
        "dividend": 2030,
        "interest": 2015,
        "meeting": 1297,
        "other": 639,
        "split": 299,
        "bonus": 135,
        "special_dividend": 98,
        "rights": 90,
        "buyback": 70,
        "demerger": 40,
    }
    assert_no_number_is_lost(purposes)


@pytest.mark.parametrize(("files", "rows"), [(website, WEBSITE), (notices, NOTICES)], ids=["website", "notices"])
def test_what_sounds_like_shares_is_read_or_listed(
    files: Callable[[Path], Iterator[tuple[str, str, str]]], rows: str, shared: Callable[[str], Path]
) -> None:
    """A text with the word split, bonus, consolidation or rights has that action with its terms, or is listed."""
    words = {
        "split": r"spl(i)?t|sub-?div",
        "bonus": r"bonus",
        "consolidation": r"conso",
        "rights": r"ri?gh?ts?\b|rights",
    }
    passed_over = set()
    for _, _, text in files(shared(rows)):
        purpose = read(text)
        for kind, word in words.items():
            if re.search(word, text, re.IGNORECASE) and purpose.understood:
                found = [action for action in purpose.actions if action.kind == kind]
                if not found or not all(factor(action) or action.kind == "rights" for action in found):
                    passed_over.add(" ".join(text.split()))
    assert passed_over == (
        {
            "Scheme Of Arangement- Bonus - 1 Debenture For 1 Equity Share Held",
            "Rights:14 Compulosry Convertible Debentures For Every 15 Equity Shares",
        }
        if rows == WEBSITE
        else set()
    )


@pytest.mark.parametrize(
    ("symbol", "ex_date", "expected"),
    [
        ("ITC", "01-Jul-2016", Fraction(3, 2)),
        ("BAJFINANCE", "08-Sep-2016", Fraction(10)),
        ("GAIL", "09-Mar-2017", Fraction(4, 3)),
        ("RELIANCE", "07-Sep-2017", Fraction(2)),
        ("TCS", "31-May-2018", Fraction(2)),
        ("WIPRO", "06-Mar-2019", Fraction(4, 3)),
        ("HDFCBANK", "19-Sep-2019", Fraction(2)),
        ("EICHERMOT", "24-Aug-2020", Fraction(10)),
    ],
)
def test_known_factors(symbol: str, ex_date: str, expected: Fraction, shared: Callable[[str], Path]) -> None:
    """By how much the price fell on known ex-dates: the product of a day's splits and bonuses."""
    product = Fraction(1)
    for row_symbol, row_date, text in website(shared(WEBSITE)):
        if (row_symbol, row_date) == (symbol, ex_date):
            for action in read(text).actions:
                product *= factor(action) or 1
    assert product == expected


@pytest.mark.parametrize(
    ("symbol", "ex_date", "expected"),
    [("AURUM", "23-Dec-2020", "974"), ("INGERRAND", "24-May-2018", "202")],
)
def test_known_dividends(symbol: str, ex_date: str, expected: str, shared: Callable[[str], Path]) -> None:
    """Dividends that took most of the price are amounts and no factor; AURUM was MAJESCO at the time."""
    rows = [text for *key, text in website(shared(WEBSITE)) if key == [symbol, ex_date]]
    actions = [action for text in rows for action in read(text).actions]
    assert Decimal(expected) in [action.amount for action in actions]
    assert [factor(action) for action in actions if factor(action)] == []
