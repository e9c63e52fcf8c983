"""Corporate actions as announced: splits, bonuses, dividends, rights and more, 2010-01-04 to today.

Each session's zip for the press has a list of notices in its member ``Bc``, a row for each series of a company, funds
included. A notice stands in many lists, usually days before its ex-date, and its date may change on the way. Every list
is stored as published, under its day; the view `corporate_actions_effective` has each action once. A text of several
actions gives a row for each. A text that is not understood is a row as well, with what was not understood.
Source: the exchange's own files of April to June 2024, and notes about those of 2010 to 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING, Any

from champion_luigi.datasets.model import (
    COUNT,
    DAY,
    FLAG,
    INVISIBLE,
    NEVER,
    PRICE,
    TEXT,
    Column,
    Dataset,
    Layout,
    Source,
    as_written,
)

if TYPE_CHECKING:
    import polars as pl

    from champion_luigi.datasets.purposes import Action, Purpose

FIRST_DATE = date(2010, 1, 4)
_PRESS, _WEBSITE = "pr", "export"

_BC = "SERIES SYMBOL SECURITY RECORD_DT BC_STRT_DT BC_END_DT EX_DT ND_STRT_DT ND_END_DT PURPOSE"
_EXPORT = (
    "SYMBOL,COMPANY NAME,SERIES,PURPOSE,FACE VALUE,EX-DATE,RECORD DATE,BOOK CLOSURE START DATE,BOOK CLOSURE END DATE"
)
# The characters of Bc's field PURPOSE: a longer text was cut.
_WIDTH = 25
# All of a company's shares. The exchange lists an action under each series in which they can trade.
SHARES = ("EQ", "BE", "BZ", "SM", "ST", "SZ", "SQ")
# The kinds that change the number of shares: an action with the same terms does not come again within months.
OF_SHARES = ("split", "bonus", "consolidation", "rights")
AGAIN_WITHIN_DAYS = 90


def _read_date(text: str, day: date) -> date | None:
    """A date as Bc has it: 17/05/2024, or 2025-10-17 from 2025-10-13 on; or as the export has it: 17-May-2024."""
    parts = text.strip().split("/")
    return as_written("-".join(reversed(parts)) if len(parts) == 3 else text, day)


def _derived(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their purposes read: a row for each action of a purpose, or one row if it states none."""
    import polars as pl

    from champion_luigi.datasets import purposes

    texts = rows["purpose"].unique(maintain_order=True)
    # All lists are of one source.
    width = _WIDTH if rows["layout"].first() == _PRESS else None
    # The export's face value is not that of the ex-date, so a dividend in percent stays one.
    read = [row for text in texts for row in _actions_in(purposes.read(text, width=width), purposes.factor)]
    names = [column.name for column in CORPORATE_ACTIONS.columns if column.derived and column.name in _READ]
    types = CORPORATE_ACTIONS.types
    actions = pl.DataFrame(read, schema={"purpose": pl.String, **{name: types[name] for name in names}})
    same = ("trade_date", "symbol", "series", "purpose")
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(same).alias("number")
    return rows.drop(names).with_columns(number).join(actions, on="purpose", how="left", maintain_order="left_right")


_READ = frozenset(
    "part kind from_value to_value ratio_new ratio_old amount basis percent partly_paid factor phrase understood "
    "not_understood".split()
)


def _actions_in(purpose: Purpose, factor: Any) -> list[dict[str, Any]]:
    of_all = {
        "purpose": purpose.text,
        "understood": purpose.understood,
        "not_understood": " / ".join(purpose.unknown) or None,
    }

    def fields(action: Action) -> dict[str, Any]:
        found = factor(action)
        numbers = {name: getattr(action, name) for name in ("from_value", "to_value", "amount", "percent")}
        new, old = action.ratio or (None, None)
        return {
            **{name: None if value is None else float(value) for name, value in numbers.items()},
            "factor": None if found is None else float(found),
            "kind": action.kind,
            "ratio_new": new,
            "ratio_old": old,
            "basis": action.basis,
            "partly_paid": action.partly_paid,
            "phrase": action.phrase,
        }

    return [of_all | {"part": part} | fields(each) for part, each in enumerate(purpose.actions, start=1)] or [
        of_all | {"part": 1}
    ]


_SAME_NOTICE = ("trade_date", "symbol", "series", "purpose", "ex_date")


def _warnings() -> Mapping[str, pl.Expr]:
    import polars as pl

    is_line = pl.col("part") == 1
    return {
        # Of lines, not of rows.
        "not_understood": is_line & ~pl.col("understood"),
        "no_ex_date": is_line & pl.col("ex_date").is_null(),
        "repeated_notice": is_line & ~pl.struct(*_SAME_NOTICE, "part").is_first_distinct(),
        "invisible_in_key": is_line & pl.any_horizontal(pl.col("symbol", "series").str.contains(INVISIBLE)),
    }


# What makes two notices those of one action: all of this, whatever their dates.
SAME = tuple(
    "symbol security kind detail from_value to_value ratio_new ratio_old amount basis percent partly_paid".split()
)
_SAME = ", ".join(SAME)


def _one_of(names: tuple[str, ...]) -> str:
    return f"IN ({', '.join(f'{name!r}' for name in names)})"


def _replaces(later: str, earlier: str, was: str) -> str:
    """Whether a notice takes the place of an earlier one, for the date ``was``; both are arrays of lists' days.

    No list has both, and a list after the earlier notice's last one has the later notice: before the date had come, or
    soon after it, if the earlier notice had vanished before it.
    """
    last = f"arrayMax({earlier})"
    again = f"{last} < {was} AND kind {_one_of(OF_SHARES)} AND day <= {was} + {AGAIN_WITHIN_DAYS}"
    return (
        f"NOT hasAny({later}, {earlier}) AND arrayExists(day -> day > {last} AND (day <= {was} OR ({again})), {later})"
    )


# The names that are filled in are those above; nothing comes from outside.
_EFFECTIVE = f"""WITH
    (SELECT groupUniqArray(trade_date) FROM {{view}}) AS lists,
    actions AS (
        SELECT *, if(series {_one_of(SHARES)}, 'shares', toString(series)) AS security,
            if(kind = 'other', toString(phrase), '') AS detail
        FROM {{view}} WHERE kind IS NOT NULL
    ),
    notices AS (
        SELECT {_SAME}, ex_date, groupUniqArray(trade_date) AS listed,
            arraySort(groupUniqArray(toString(series))) AS all_series,
            argMax((name, record_date, purpose, understood, factor, phrase), (trade_date, line)) AS latest
        FROM actions GROUP BY {_SAME}, ex_date
    ),
    together AS (
        SELECT *, groupArray((ex_date, listed)) OVER (PARTITION BY {_SAME}) AS dated FROM notices
    ),
    standing AS (
        SELECT *, assumeNotNull(ex_date) AS date,
            arrayFilter(each -> each.1 IS NOT NULL AND each.1 != date, dated) AS others,
            arrayMap(each -> (assumeNotNull(each.1), each.2), others) AS rivals,
            arrayFilter(each -> each.1 IS NULL, dated) AS dateless,
            arrayFilter(day -> day <= date, arrayFlatten(arrayMap(each -> each.2, dateless))) AS listed_without,
            arrayMax(arrayConcat(listed, listed_without)) AS known
        FROM together WHERE ex_date IS NOT NULL
    )
SELECT symbol, all_series AS series, latest.1 AS name, kind, date AS ex_date, latest.2 AS record_date,
    from_value, to_value, ratio_new, ratio_old, amount, basis, percent, partly_paid, latest.5 AS factor,
    latest.6 AS phrase, latest.3 AS purpose, latest.4 AS understood,
    arrayMin(listed) AS first_listed, arrayMax(listed) AS last_listed,
    arrayExists(day -> day > known AND day < date, lists) AS vanished,
    arraySort(arrayMap(each -> each.1, arrayFilter(each -> {_replaces("listed", "each.2", "each.1")}, rivals)))
        AS moved_from
FROM standing
WHERE NOT arrayExists(each -> {_replaces("each.2", "listed", "date")}, rivals)"""  # noqa: S608


def _in(press: str, website: str = "") -> dict[str, str]:
    return {source: name for source, name in ((_PRESS, press), (_WEBSITE, website)) if name}


CORPORATE_ACTIONS = Dataset(
    name="corporate_actions",
    title="corporate actions",
    view="corporate_actions",
    stem="corporate_actions",
    folder="corporate_actions",
    sources=(
        Source(
            _PRESS,
            FIRST_DATE,
            date.max,
            "/archives/equities/bhavcopy/pr/PR{day:%d%m%y}.zip",
            # The lower case and the four digits of the year came on 2025-10-13.
            members=("Bc{day:%d%m%y}.csv", "Bc{day:%d%m%Y}.csv"),
            is_one_of_many=True,
            shared="pr",
            # As on 2022-01-10.
            empty_is_unpublished=True,
        ),
        # What the website's page of corporate actions exports, for a range of ex-dates that ends with the day.
        Source(
            _WEBSITE,
            FIRST_DATE,
            date.max,
            "/corporate_actions/CF-CA-equities-*-to-{day:%d}-{day:%m}-{day:%Y}.csv",
            official=NEVER,
        ),
    ),
    layouts=(
        # On eleven days, a purpose has a comma.
        Layout(_PRESS, FIRST_DATE, date.max, tuple(_BC.split()), ends_in_text=True),
        Layout(_WEBSITE, FIRST_DATE, date.max, tuple(_EXPORT.split(","))),
    ),
    nulls=("", "-"),
    columns=(
        Column("trade_date", DAY, "date, IST", "the day of publication: of the list, not of the action", required=True),
        Column("symbol", TEXT, "", "the exchange's ticker symbol on the day of publication", "SYMBOL", required=True),
        Column("series", TEXT, "", "the series for which the list has the notice", "SERIES", required=True),
        Column(
            "name",
            TEXT,
            "",
            "the security's name; cut to 25 characters in pr, as of the export in export",
            _in("SECURITY", "COMPANY NAME"),
        ),
        Column(
            "ex_date",
            DAY,
            "date, IST",
            "the first day without the right; null in some notices",
            _in("EX_DT", "EX-DATE"),
        ),
        Column(
            "record_date", DAY, "date, IST", "the day whose holders have the right", _in("RECORD_DT", "RECORD DATE")
        ),
        Column(
            "book_closure_start",
            DAY,
            "date, IST",
            "the first day of the book closure",
            _in("BC_STRT_DT", "BOOK CLOSURE START DATE"),
        ),
        Column(
            "book_closure_end",
            DAY,
            "date, IST",
            "the last day of the book closure",
            _in("BC_END_DT", "BOOK CLOSURE END DATE"),
        ),
        Column("no_delivery_start", DAY, "date, IST", "the first day without delivery", _in("ND_STRT_DT")),
        Column("no_delivery_end", DAY, "date, IST", "the last day without delivery", _in("ND_END_DT")),
        Column("purpose", TEXT, "", "the text as published; cut to 25 characters in pr", "PURPOSE", required=True),
        Column(
            "number",
            COUNT,
            "count",
            "1, or further numbers for further lines of that day with the same symbol, series and purpose",
            required=True,
            derived=True,
        ),
        Column("part", COUNT, "count", "the action's place in the purpose, from 1", required=True, derived=True),
        Column(
            "kind",
            TEXT,
            "",
            "split, bonus, consolidation, rights, dividend, special_dividend, demerger, interest, buyback, meeting or "
            "other; null if the text gives no action",
            derived=True,
        ),
        Column("from_value", PRICE, "rupees", "face value before a split or consolidation", derived=True),
        Column("to_value", PRICE, "rupees", "face value after a split or consolidation", derived=True),
        Column("ratio_new", COUNT, "shares", "new shares of a bonus or rights issue, for each ratio_old", derived=True),
        Column("ratio_old", COUNT, "shares", "old shares for which there are ratio_new new ones", derived=True),
        Column("amount", PRICE, "rupees", "per share or unit; of rights, what basis names", derived=True),
        Column(
            "basis", TEXT, "", "of a rights issue's amount: premium (over the face value) or issue price", derived=True
        ),
        Column("percent", PRICE, "percent", "dividend in percent of the face value; its amount is null", derived=True),
        Column("partly_paid", FLAG, "true or false", "whether a rights issue is of partly paid shares", derived=True),
        Column(
            "factor",
            PRICE,
            "ratio",
            "by how much earlier prices are divided; of splits, bonuses and consolidations alone",
            derived=True,
        ),
        Column(
            "phrase", TEXT, "", "the grammar's name of the wording; says what an action of kind other is", derived=True
        ),
        Column(
            "understood",
            FLAG,
            "true or false",
            "whether the whole text was understood; if not, it may state more actions",
            required=True,
            derived=True,
        ),
        Column("not_understood", TEXT, "", "the parts of the text that were not understood", derived=True),
        Column(
            "line", COUNT, "line", "the line of the file; the actions of a line share it", required=True, derived=True
        ),
        Column(
            "face_value",
            PRICE,
            "rupees",
            "the share's face value as of the export, not as of the ex-date; null in pr",
            _in("", "FACE VALUE"),
        ),
        Column("layout", TEXT, "", "the source: pr or export", required=True),
    ),
    key=("symbol", "series", "purpose", "number", "part"),
    sums=("line", "amount", "from_value", "ratio_new"),
    published_at=time(19, 0),
    is_for_adjustments=True,
    about="announced splits, bonuses, dividends, rights and other actions of companies and funds",
    example="SELECT concat(toString(uniqExact(line)), ' notices of corporate actions') FROM {view} "
    "WHERE trade_date = '{day}'",
    rows_a_day=200,
    read_date=_read_date,
    warnings=_warnings,
    derive=_derived,
    views={"corporate_actions_effective": _EFFECTIVE},
    view_comments={
        "series": "the series whose notices state the action: a list",
        "ex_date": "the first day without the right, by the latest notice [date, IST]",
        "first_listed": "the day of the first list with this ex-date [date, IST]",
        "last_listed": "the day of the latest list with this ex-date [date, IST]",
        "vanished": "whether later lists before the ex-date lack the notice [true or false]",
        "moved_from": "the ex-dates of earlier notices that this one replaces: a list [date, IST]",
    },
)
