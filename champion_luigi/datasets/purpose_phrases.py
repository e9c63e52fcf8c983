"""The grammar of corporate actions' purposes: spellings, numbers and phrases. Data only; `purposes` reads with it.

The exchange writes the terms of an action as free text: `FVSPLT FRM RS 10 TO RE 1`, `AGM/DIV - RS 5 PER SH`, `Bonus
1:1/Face Value Split (Sub-Division) - From Rs 10/- Per Share To Rs 5/- Per Share`. Each `Phrase` is one way to write one
action, or two that share their numbers, with an example as the exchange writes it. To teach the reader a new way to
write an action, add a line: a variant to `SPELLINGS`, or a phrase.

A text is read in capital letters, after `SPELLINGS` has replaced each variant by the one form that patterns use. In a
pattern, a blank is any number of blanks, also none, and `~` is any of blanks, dashes, colons, `*` and `@`. `<number
field>` is one of `NUMBERS`, read into that field of the action, `field_2` into that of the second action; a name
without a field is matched alone. A pattern has no digit of its own, so that no number is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "split",
    "bonus",
    "consolidation",
    "rights",
    "dividend",
    "special_dividend",
    "demerger",
    "interest",
    "buyback",
    "meeting",
    "other",
]

# The form that patterns use, and how else it is written. Blanks stand for blanks, dashes or nothing.
SPELLINGS: dict[str, str] = {
    "ANNUAL": "ANUAL, ANNUL, ANNUA, ANUUAL, ANNAUL, ANNNUAL, ANNULA, ANNAL, AANNUAL",
    "GENERAL": "GENRAL, GEMERAL, GENARAL",
    "MEETING": "MEEING, MEETIN, MEEETING, METING",
    "EXTRAORDINARY": "EXTRA ORDINARY, EXTRA OIRDINARY",
    "EGM": "EOGM",
    "MEETING DIV": "MEETINGDIVIDEND",
    "MEETING AGM": "MEETINGAGM",
    "DIV": "DIVIDEND, DIVDEND, DIVIDED, DIVIDNED, IVIDEND, DIVIDENDS",
    "DIV RS": "DIVRS",
    "INTERIM DIV": "INT DIV, INT DIVIDEND, INT DV, INTERIM DIVIDEND",
    "INTERIM": "INTERM, INTRIM, INTEIM, IINTERIM, INERIM, INTERIN",
    "SPECIAL DIV": "SP DIV, SP DV, SPL DIV, SPL DV, SPL DIVIDEND, SPECIAL DIVIDEND",
    "INTERIM DIV SPECIAL DIV": "INTDVSPDV",
    "INTERIM DIV SPECIAL DIV RS": "INTDVSPDVRS",
    "SPECIAL": "SPL, SP, SPLECIAL",
    "SPECIAL INTERIM DIV": "SPL INT DIV, SP INT DIV, SPL INTERIM DIV",
    "SPECIAL RS": "SPLRS",
    "FINAL": "FIN",
    "FINAL RS": "FINRS",
    "FIRST": "1ST",
    "SECOND": "2ND",
    "THIRD": "3RD",
    "FOURTH": "4TH",
    "PER": "PR, PE R",
    "SHARE": "SH, SHR, SHRE, SHAR, SHAREE, HARE, HSARE, SAHRE, SHARES",
    "PER SHARE": "PR SH, PR SHR, PR SHARE, P SH, P SHR, PER SH",
    "EQUITY": "EQ",
    "UNIT": "UT, UNITS",
    "FROM": "FRM",
    "FV": "FACE VALUE",
    "FV SPLIT": "FV SPLT, FV SPL, FV SPT, FVS, FACE VALUE SPLIT, STOCK SPLIT, STK SPT, STK SPLIT",
    "FV SPLIT FROM": "FVSPLTFRM",
    "SUBDIVISION": "SUB DIVISION, SUB DIV",
    "TO RS": "TORS",
    "TO RE": "TORE",
    "BONUS": "BON",
    "NCRPS": "NCRP",
    "DEBENTURE": "DEB, DEBENTURES, NCD, NCDS",
    "COMPULSORY": "COMPULOSRY",
    "RIGHTS": "RIGHT, RGHTS, RGTS, RHTS, RGHT",
    "PREMIUM": "PREM, PRM",
    "CONSOLIDATION": "CONSO, CONSOLDTN, CNSLDATN, CONSOLIDTN",
    "CAPITAL REDUCTION": "CAP RED, CAP REDN, CAPITAL REDN, REDUCTION OF CAPITAL",
    "DEMERGER": "DE MERGER, SPIN OFF",
    "SCHEME": "SHEME, SCH",
    "ARRANGEMENT": "ARANGEMENT, AGMT, ARRGMT",
    "SCHEME OF ARRANGEMENT": "SCH AGMT, SCHEME ARRANGEMENT",
    "DISTRIBUTION": "DISTRIB, DISTRIBU, DISTRIBN, DISTRIBTN, DISTRIBUTN, DISTRBTN, DSTRIB",
    "INTEREST PAYMENT": "INT PAYMENT, INT PAYMNT, INTT PAYMENT, INT PYMT, INT PYMNT",
    "PAYMENT": "PAYEMENT, PAYMNT, PYMNT",
    "PRINCIPAL": "PRINCIPLE",
    "REDEMPTION": "REDEMPTN, RDEMPTN, RDMPTION, REDEMPTI, REDEMPTIO, REDMPTN, REDEMP",
    "PART REDEMPTION": "PARTREDEMP",
    "BUYBACK": "BUY BACK",
    "FIRST CALL": "FIRSTCAL",
    "FIRST AND FINAL CALL": "FSTFINCL",
    "PURPOSE": "PURPOSED, PURPPOSE, PUPOSE, PUROSE, PURPSE",
    "BOOK": "BOKK",
}

_DIGITS = r"(?:(?:[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}|0|[1-9]\d*)(?:\.\d+)?|\.\d+)"
# Behind a number stands no part of another number.
_NUMBER = _DIGITS + r"(?![.,:]?\d)"
# `Rs.50` is 50 rupees and `Rs .50` is 0.50. `Re.50` could be either, and is not read.
_CURRENCY = r"(?:RS\.?+|RE(?!\.(?!\s|1(?![\d.])|0\.\d))\.?+)"
_PER = r"(?:(?:PER\s*)?(?:EQUITY\s*)?(?:SHARE|UNIT|EACH)(?![A-Z])|PER(?:\s*(?:S|SHA))?$)"
_END = rf"(?:\s*/\s*-|\s*/(?=\s*PER))?(?:\s*{_PER})?"
_OF_SHARES = r"[1-9]\d{0,5}\s*:\s*[1-9]\d{0,5}(?![.:]?\d)"

# What `<name field>` in a pattern stands for; the group `_` is the field's own text.
NUMBERS: dict[str, str] = {
    # Rupees with the currency.
    "money": rf"{_CURRENCY}\s*[:-]?\s*(?:{_CURRENCY}\s*)?(?P<_>{_NUMBER}){_END}",
    # Rupees, where the words before the number leave no doubt that it is rupees.
    "value": rf"(?:{_CURRENCY}\s*[:-]?\s*(?:{_CURRENCY}\s*)?)?(?P<_>{_NUMBER}){_END}",
    # Rupees without the currency, or with the currency behind the number: per share, or ended by `/-`.
    "plain": rf"(?P<_>{_NUMBER})(?:\s*(?:RS|RE)(?![A-Z]))?(?:\s*/\s*-(?:\s*{_PER})?|(?:\s*/)?\s*{_PER})",
    "percent": rf"(?P<_>{_DIGITS})\s*(?:%|PERCENT)",
    # New shares for old shares.
    "ratio": rf"(?P<_>{_OF_SHARES})",
    # Numbers that are not kept; the phrase's note says why.
    "terms": _OF_SHARES,
    "count": r"[1-9]\d*",
    "date": r"\d{1,2}\s*[-/.]\s*(?:\d{1,2}|[A-Z]{3})\s*[-/.]\s*(?:\d{4}|\d{2})(?!\d)",
    # Words.
    "which": r"(?:(?:FIRST|SECOND|THIRD|FOURTH)\s*)?(?:(?:INTERIM|FINAL)\s*)?",
    "extraordinary": r"(?:ONE\s*TIME\s*)?SPECIAL\s*(?:INTERIM\s*)?",
    "security": (
        r"(?:NCRPS|DEBENTURE|(?:NON[\s-]*CONVERTIBLE\s*)?(?:REDEEMABLE\s*)?PREFERENCE\s*SHARE|WARRANTS?|DVR)(?![A-Z])"
    ),
    "income": (
        r"(?:INTEREST|DIV|RETURN|REPAYMENT|PAYMENT|PRINCIPAL|AMORTI[SZ]ATION|CAPITAL|DEBT|LOANS?|SHAREHOLDERS?|SPV"
        r"|OTHER|INCOME|TREASURY|SURPLUS|EXEMPT|TAXABLE|FIXED|DEPOSITS?|OF|ON|AS|AND)(?![A-Z])"
    ),
}


@dataclass(frozen=True)
class Phrase:
    """One way to write one action, two that share their numbers, or a remark that is no action.

    `reads` is what the example gives, as `str(action)` writes it. `fixed` holds the fields of the first action that
    the words decide. `note` says why numbers in the phrase are in no field; a phrase with a note is kept with the text.
    """

    name: str
    kinds: tuple[Kind, ...]
    pattern: str
    example: str
    reads: str
    fixed: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


_NOT_SHARES = "The ratio is that of debentures, preference shares, warrants or another class, not of the shares."
_PREMIUM = {"basis": "premium"}
_PARTLY_PAID = {"basis": "premium", "partly_paid": True}
# A dividend without its amount: what follows is neither an amount nor another dividend that could hold the amount.
_NO_AMOUNT = r"(?![\s/&+:@*.-]*(?:\d|RS\b|RE\b|OF\b|DIV|SPECIAL|INTERIM|FINAL|DISTRIBUTION|INTEREST))"

# The longest match wins; the order only serves the reader of the table.
PHRASES: tuple[Phrase, ...] = (
    # Splits, bonuses, consolidations
    Phrase(
        "split",
        ("split",),
        r"(?:FV SPLIT|SPLIT|SUBDIVISION) (?:\( SUBDIVISION \))? ~ (?:FROM)? <value from_value>"
        r" TO (?:FV)? <value to_value>",
        "Face Value Split (Sub-Division) - From Rs 10/- Per Share To Re 1/- Per Share",
        "split from 10 to 1",
    ),
    Phrase(
        "bonus", ("bonus",), r"BONUS (?:ISSUE|SHARE)? (?:IN THE RATIO OF)? ~ <ratio ratio>", "BONUS 1:2", "bonus 1:2"
    ),
    Phrase(
        "consolidation",
        ("consolidation",),
        r"(?:FV)? CONSOLIDATION (?:OF (?:EQUITY)? SHARE)? ~ (?:FROM)? <value from_value> TO <value to_value>",
        "Consolidation Of Equity Shares From Re 1 Per Share To Rs 10 Per Share",
        "consolidation from 1 to 10",
    ),
    Phrase(
        "capital reduction with its face values",
        ("other",),
        r"CAPITAL REDUCTION ~ (?:FROM)? <value from_value> TO <value to_value>",
        "Capital Reduction Rs 10 To Rs 3.30",
        "other (capital reduction with its face values) from 10 to 3.30",
    ),
    Phrase(
        "capital reduction",
        ("other",),
        r"CAPITAL REDUCTION",
        "CAPITAL REDUCTION",
        "other (capital reduction)",
    ),
    Phrase(
        "bonus of other securities",
        ("other",),
        r"(?:SCHEME OF ARRANGEMENT ~)? BONUS ~ <security> (?: ~ <terms>)?",
        "Scheme Of Arrangement - Bonus Ncrps 4:1",
        "other (bonus of other securities)",
        note=_NOT_SHARES,
    ),
    Phrase(
        "bonus of other securities, ratio first",
        ("other",),
        r"(?:SCHEME OF ARRANGEMENT ~)? BONUS ~ <terms> <security>",
        "Bonus 21:1 Preference Shares",
        "other (bonus of other securities, ratio first)",
        note=_NOT_SHARES,
    ),
    Phrase(
        "bonus of other securities, in words",
        ("other",),
        r"(?:SCHEME OF ARRANGEMENT ~)? BONUS ~ <count> <security>"
        r" (?:FOR|:) (?:EVERY)? <count> (?:EQUITY)? SHARE (?:HELD)?",
        "Scheme Of Arangement- Bonus - 1 Debenture For 1 Equity Share Held",
        "other (bonus of other securities, in words)",
        note=_NOT_SHARES,
    ),
    # Rights
    Phrase(
        "rights at a premium",
        ("rights",),
        r"RIGHTS (?:ISSUE)? ~ <ratio ratio> (?:FULLY PAID (?:UP)? SHARE)? ~ (?:AT)? PREMIUM ~ (?:OF)? <value amount>",
        "Rights 87:38 @ Premium Of Rs 2.50 Per Share",
        "rights 87:38 premium 2.50",
        fixed=_PREMIUM,
    ),
    Phrase(
        "rights at an issue price",
        ("rights",),
        r"RIGHTS (?:ISSUE)? ~ <ratio ratio> ~ (?:AT)? (?:AN)? (?:ISSUE)? PRICE ~ (?:OF)? <value amount>",
        "Rights 1:4 At Issue Price Of Rs 25 Per Share",
        "rights 1:4 issue price 25",
        fixed={"basis": "issue price"},
    ),
    Phrase(
        "rights of partly paid shares",
        ("rights",),
        r"RIGHTS (?:ISSUE)? ~ <ratio ratio> PARTLY PAID (?:UP)? (?:SHARE)? ~ (?:AT)? PREMIUM ~ (?:OF)? <value amount>",
        "Rights 9:77 Partly Paid @ Premium Rs 100/-",
        "rights 9:77 premium 100 partly paid",
        fixed=_PARTLY_PAID,
    ),
    Phrase(
        "partly paid part of rights",
        ("rights",),
        r"<ratio ratio> PARTLY PAID (?:UP)? SHARE ~ (?:AT)? PREMIUM ~ (?:OF)? <value amount>",
        "2:25 Partly Paid Up Shares @ Premium Rs 605/- Per Share",
        "rights 2:25 premium 605 partly paid",
        fixed=_PARTLY_PAID,
    ),
    Phrase(
        "rights without a price", ("rights",), r"RIGHTS (?:ISSUE)? ~ <ratio ratio>", "Right 26:151", "rights 26:151"
    ),
    Phrase(
        "rights of debentures",
        ("other",),
        r"RIGHTS (?:ISSUE)? ~ <count> COMPULSORY CONVERTIBLE DEBENTURE FOR EVERY <count> EQUITY SHARE",
        "Rights:14 Compulosry Convertible Debentures For Every 15 Equity Shares",
        "other (rights of debentures)",
        note=_NOT_SHARES,
    ),
    # Dividends
    Phrase(
        "dividend",
        ("dividend",),
        r"<which> DIV ~ (?:OF)? <money amount>",
        "INTDIV - RS 4.95 PER SH",
        "dividend 4.95",
    ),
    Phrase(
        "dividend without currency",
        ("dividend",),
        r"<which> DIV ~ <plain amount>",
        "Annual General Meeting/Dividend - 12.50 Per Share",
        "meeting; dividend 12.50",
    ),
    Phrase("dividend in percent", ("dividend",), r"<which> DIV ~ <percent percent>", "DIV-20%", "dividend 20 %"),
    Phrase("dividend without amount", ("dividend",), rf"<which> DIV {_NO_AMOUNT}", "Interim Dividend", "dividend"),
    Phrase(
        "additional dividend",
        ("dividend",),
        r"ADDITIONAL DIV ~ <money amount>",
        "Additional Dividend - Re 1/- Per Share",
        "dividend 1",
    ),
    Phrase(
        "special dividend",
        ("special_dividend",),
        r"<extraordinary> DIV ~ (?:OF)? <money amount>",
        "SPLDIV - RS 118 PER SH",
        "special_dividend 118",
    ),
    Phrase(
        "special dividend without currency",
        ("special_dividend",),
        r"<extraordinary> DIV ~ <plain amount>",
        "Special Dividend- 35 Per Share",
        "special_dividend 35",
    ),
    Phrase(
        "special dividend in percent",
        ("special_dividend",),
        r"<extraordinary> DIV ~ <percent percent>",
        "SPL DIV-50%",
        "special_dividend 50 %",
    ),
    Phrase(
        "special dividend without amount",
        ("special_dividend",),
        rf"<extraordinary> DIV {_NO_AMOUNT}",
        "SPECIAL DIVIDEND",
        "special_dividend",
    ),
    Phrase(
        "dividend and special dividend",
        ("dividend", "special_dividend"),
        r"<which> DIV [/+&]? SPECIAL DIV ~ <money amount> [/+&] <value amount_2>",
        "DIV/SPDIV RS 8.40 & 1.65",
        "dividend 8.40; special_dividend 1.65",
    ),
    Phrase(
        "special dividend and dividend",
        ("special_dividend", "dividend"),
        r"SPECIAL (?:DIV)? [/+&] <which> DIV ~ <money amount> [/+&] <value amount_2>",
        "SP/INTDIV-RS10/26 PER SH",
        "special_dividend 10; dividend 26",
    ),
    Phrase(
        "final and special",
        ("dividend", "special_dividend"),
        r"(?:DIV ~)? FINAL ~ <money amount> [/+&] SPECIAL ~ <money amount_2>",
        "AGM/DIV-FINRS 22+SPLRS 10",
        "meeting; dividend 22; special_dividend 10",
    ),
    Phrase(
        "special part of the dividend before",
        (),
        r"\( INCLUDING SPECIAL DIV (?:OF)? <money> \)",
        "Dividend-Rs.8.50 Per Share (Including Special Dividend Of Rs.2/- Per Share).",
        "dividend 8.50",
        note="The amount is a part of the dividend before it.",
    ),
    Phrase(
        "the same dividend in percent",
        (),
        r"\( <percent> \)",
        "Dividend - Rs 2 Per Share (20%)",
        "dividend 2",
        note="The percentage of the face value repeats the amount before it.",
    ),
    # Distributions, interest and capital of units and bonds
    Phrase(
        "distribution",
        ("other",),
        r"(?:<which> DIV /)? [/]? <which> DISTRIBUTION ~ <money amount>",
        "DIV/DISTRIBTN RS 3 PR UT",
        "other (distribution) 3",
    ),
    Phrase(
        "distribution without amount",
        ("other",),
        r"<which> DISTRIBUTION (?! ~ (?:RS\b|RE\b|\d))",
        "Distribution",
        "other (distribution without amount)",
    ),
    Phrase(
        "return of capital",
        ("other",),
        r"(?:RETURN (?:OF|ON) CAPITAL|PRINCIPAL) ~ <money amount>",
        "Return Of Capital Re 0.90 Per Unit",
        "other (return of capital) 0.90",
    ),
    Phrase(
        "other income of units",
        ("other",),
        r"OTHER INCOME (?:ON SURPLUS)? ~ <money amount>",
        "Other Income On Surplus - Rs 0.0479 Per Unit",
        "other (other income of units) 0.0479",
    ),
    Phrase(
        "interest", ("interest",), r"INTEREST (?:PAYMENT)? (?! ~ (?:RS\b|RE\b|DIV|ON\b|\d))", "INT PAYMENT", "interest"
    ),
    Phrase(
        "interest with its amount",
        ("interest",),
        r"INTEREST (?:PAYMENT)? ~ <money amount>",
        "Interest -Rs 0.96",
        "interest 0.96",
    ),
    Phrase(
        "interest in percent",
        ("interest",),
        r"INTEREST (?:PAYMENT)? ~ <percent percent>",
        "INTEREST PAYMENT - 8.5%",
        "interest 8.5 %",
    ),
    Phrase(
        "interest and buyback of bonds",
        ("interest", "other"),
        r"PAYMENT OF INTEREST & BUYBACK AMOUNT TO BONDHOLDERS",
        "Payment Of Interest & Buyback Amount To Bondholders",
        "interest; other (interest and buyback of bonds)",
    ),
    Phrase("redemption", ("other",), r"(?:PART|FULL)? REDEMPTION", "REDEMPTION", "other (redemption)"),
    Phrase(
        "redemption of a part",
        ("other",),
        r"PART REDEMPTION ~ <money from_value> TO <value to_value>",
        "PARTREDEMP-RS 12.5 TO 10",
        "other (redemption of a part) from 12.5 to 10",
    ),
    Phrase(
        "parts of the amount before",
        (),
        r"CONSIST(?:S|ING)? OF (?:(?:<money>|<income>|[/&,:-]) )+",
        "Distribution - Rs 1.51 Consist Of Rs 1.06 Per Unit As Interest & Re 0.45 Per Unit As Repayment Of Capital",
        "other (distribution) 1.51",
        note="The amounts add up to the one before them.",
    ),
    Phrase("conversion", ("other",), r"CONVERSION (?:INTO EQUITY)?", "CONVERSION", "other (conversion)"),
    Phrase(
        "call on partly paid shares",
        ("other",),
        r"(?:FIRST|SECOND|THIRD|FINAL) (?:AND FINAL)? CALL ~ <money amount>",
        "FIRSTCAL RS 453 PER SH",
        "other (call on partly paid shares) 453",
    ),
    # Named so by the exchange for units of mutual funds (series MF), without terms.
    Phrase("STP of a mutual fund", ("other",), r"STP", "STP", "other (STP of a mutual fund)"),
    # Buybacks
    Phrase("buyback", ("buyback",), r"BUYBACK (?:OF SHARE)?", "BUY BACK", "buyback"),
    Phrase("payment of buyback", ("buyback",), r"PAYMENT OF AMT OF BUYBACK", "Payment Of Amt Of Buyback", "buyback"),
    Phrase("buyback of bonds", ("other",), r"BUYBACK OF BONDS", "Buyback Of Bonds", "other (buyback of bonds)"),
    # Demergers and schemes: never a ratio
    Phrase("demerger", ("demerger",), r"(?:SCHEME OF)? DEMERGER", "De-Merger", "demerger"),
    Phrase(
        "scheme of arrangement",
        ("demerger",),
        r"(?:COMPOSITE)? SCHEME OF (?:AMALGAMATION AND)? ARRANGEMENT"
        r" (?:& RECONSTRUCTION|(?:IN THE NATURE)? OF DEMERGER)?",
        "Scheme Of Arrangement",
        "demerger",
    ),
    Phrase(
        "merger",
        ("other",),
        r"(?:COMPOSITE)? (?:SCHEME OF)? (?:AMALGAMATION|MERGER)",
        "Scheme Of Amalgamation",
        "other (merger)",
    ),
    Phrase("delisting", ("other",), r"DELISTING", "DELISTING", "other (delisting)"),
    # Meetings, books, remarks
    Phrase(
        "annual general meeting",
        ("meeting",),
        r"(?:ADJOURNED)? (?:ANNUAL GENERAL MEETING|AGM)",
        "Anuual General Meeting",
        "meeting",
    ),
    Phrase(
        "extraordinary general meeting",
        ("meeting",),
        r"(?:EXTRAORDINARY GENERAL MEETING|EGM|E\.G\.M\.)",
        "EGM",
        "meeting",
    ),
    Phrase(
        "meeting of shareholders",
        ("meeting",),
        r"MEETING OF (?:EQUITY)? SHAREHOLDERS",
        "Meeting Of Equity Shareholders",
        "meeting",
    ),
    Phrase(
        "book closure",
        ("other",),
        r"ANNUAL (?:BOOK CLOSURE|BOOK CLOSING|CLOSING)",
        "Annual Book Closure",
        "other (book closure)",
    ),
    Phrase("postal ballot", ("other",), r"POSTAL BALLOT", "Postal Ballot", "other (postal ballot)"),
    Phrase(
        "change of registrar",
        ("other",),
        r"CHANGE IN REGISTRAR AND TRANSFER AGENT",
        "Change In Registrar And Transfer Agent",
        "other (change of registrar)",
    ),
    Phrase(
        "revised",
        (),
        r"\(* (?:(?:PURPOSE|RATE|RECORD|BOOK|CLOSURE|BC|START|END|DATES?|DT|AND) )*(?:REVISED|UPDATED|REV) \)*",
        "Bonus 1:10 (Purpose Revised)",
        "bonus 1:10",
        note="The notice replaces an earlier one.",
    ),
    Phrase(
        "record date",
        (),
        r"\(? (?:RECORD DATE|RD) ~ <date> \)?",
        "Bonus 1:1 (Record Date 15-Jan-2024)",
        "bonus 1:1",
        note="The dates are columns of their own.",
    ),
    Phrase(
        "period",
        (),
        r"FOR THE (?:FIRST|SECOND|THIRD|FOURTH) QUARTER OF FY <count> - <count>",
        "Distribution Rs 3 Per Unit For The First Quarter Of Fy 2018-19",
        "other (distribution) 3",
        note="The period for which is paid.",
    ),
)
