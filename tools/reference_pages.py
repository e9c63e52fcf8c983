"""The pages under docs/reference/, made from the code that they describe.

Descriptions that have no place in the code, such as the meaning of a journal record, are in this module. A name that
only the code or only this module has is an error; `agreed` reports it.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from pathlib import Path

import click
import luigi

import champion_luigi
from champion_luigi.adjustments.tables import EVENTS, FURTHER, NAMES, PREVIOUS, PRICES, SPANS, VOLUME
from champion_luigi.base import errors, stages
from champion_luigi.commands import cli, output
from champion_luigi.config import luigi_defaults, settings
from champion_luigi.datasets import catalog
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.datasets.model import Dataset
from champion_luigi.pipeline import chunks
from champion_luigi.tracking import days, fills
from champion_luigi.tracking.journal import Event
from champion_luigi.warehouse import adjusted

PACKAGE = Path(champion_luigi.__file__).parent

_LUIGI_CODES = {
    "already_running": "another process runs the same command, or luigid gave its tasks to another worker",
    "missing_data": "data is missing: a day is not published yet, or days are left; of `luigi`, absent sessions too",
    "not_run": "a task was not run here: luigid gave it to another process",
    "task_failed": "a task failed",
    "scheduling_error": "a task could not be scheduled",
    "unhandled_exception": "an error in Luigi, or a setting that cannot be used",
}
_EVENTS = {
    "start": ("a task starts", "`last` (the last requested task), `version`, `clickhouse_table`"),
    "success": ("a task succeeded", "`facts`: its counts and their sources"),
    "found_complete": ("another process did the task while this one waited for the day", ""),
    "processing_time": ("the duration of a task", "`seconds` of work, `waited` seconds for other tasks"),
    "failure": ("a task raised an error", "`error`, `error_type`, `facts`"),
    "process_failure": ("a worker's process died", "`error`"),
    "timeout": ("Luigi ended a worker's process by `worker_timeout`", "`error`"),
    "broken_task": ("Luigi could not find out what a task requires", "`error`, `error_type`"),
    "range": ("Luigi's event of a range", "`name`, `value`"),
    "fill_start": (
        "a fill starts",
        "`first`, `last`, `of`, `workers`, `days_due`, `version`, `clickhouse_table`, `days_as_steps` (of a long fill)",
    ),
    "fill_progress": ("a fill has finished a chunk of days", "`metrics`"),
    "settled": ("the outcome of a day that a fill could not complete", "`outcome`, `reason`"),
    "restatement": (
        "the exchange has published a day again",
        "`old_sha256`, `new_sha256`, `rows_added`, `rows_changed`, `rows_removed`",
    ),
    "fill_end": ("a fill ends", "`status`, `words`, `error`, `metrics`"),
    "end": ("the process, or an execution in it, ends", "`interrupted`: by Ctrl-C or SIGTERM"),
}
_COUNTS = {
    "raw_rows_parsed": "rows in the published file",
    "normalized_rows": "rows in canonical columns",
    "filtered_rows": "rows rejected",
    "rows_written": "rows in the lake file",
    "rows_loaded": "rows that readers of the warehouse see",
}
_WARNINGS = {
    "close_outside_low_high": "rows whose close is outside low to high",
    "high_below_low": "rows whose high is below their low",
    "dummy_isin": "rows with an invalid ISIN",
    "lower_case_series": "rows whose series has lower-case letters",
    "invisible_in_key": "rows whose symbol or series has an invisible character",
    "other_business_date": "udiff rows whose BizDt is not the day",
    "other_instrument_type": "udiff rows whose FinInstrmTp is not STK",
    "zero_close": "indices whose close is 0, such as a dividend index at its yearly start",
    "delivered_above_volume": "rows with more shares delivered than traded",
    "delivery_unknown": "rows without a delivery, outside series BE and BZ",
    "other_delivered_share": "rows whose share delivered is not delivered by volume",
    "other_turnover": "rows whose turnover is not average price times volume",
    "pb_without_pe": "indices with a price to book value but no price to earnings, as after losses of their members",
    "unknown_index": "indices whose name is not in the table of names, so that `index` is the name as published",
    "repeated_index": "indices that share their `index` with another row of the day",
    "other_market_total": "1 if the market's volume, turnover or trades in pr are not those of its shares' rows",
    "corrected": "rows in which a known slip of the exchange was corrected",
    "not_understood": "lines whose purpose was not understood whole",
    "no_ex_date": "lines without an ex-date",
    "rounded_close": "shares whose close is up to 2.5 paise apart from the one in their market value",
    "other_market_cap": "shares whose market value is not the number of shares times the close, beyond rounding",
    "old_close": "shares whose close is of an earlier day, as they did not trade",
    "never_traded": "shares that have never traded",
    "later_last_trade": "shares whose last trade is after the day",
    "other_listed_total": "1 if the total of the listed shares is not the sum of their market values",
    "other_permitted_total": "1 if that of the shares that are only permitted to trade is not",
    "other_total": "1 if that of all shares is not",
    "repeated_notice": "lines after the first one with the same symbol, series, purpose and ex-date",
}
_PROGRESS = {
    "days_due": "days that were missing",
    "days_done": "days completed",
    "days_failed": "days that failed",
    "days_absent": "sessions of the range that the archive lacks, those that were not requested now included",
    "days_closed": "days that turned out to have no session",
    "days_unpublished": "days that are not published yet",
    "days_left": "days left for the next run",
    "rows": "rows loaded, or written if the fill ends at the lake",
    "days_per_second": "days a second",
}
# Luigi's own parameters, described anew.
_INHERITED = {"reverse": "newest day first", "days_back": "how far to look back without --start; default: 100"}
_RANGE = {
    "range_delay": "Luigi's: days from the first missing date to the end of the range",
    "range_complete_count": "Luigi's: dates complete when the fill started",
    "range_complete_fraction": "Luigi's: the share of them, 0 to 1",
}


def agreed(what: str, described: Mapping[str, object], there: Collection[str]) -> None:
    """Raise SystemExit if a name in the code has no description, or a described name is not in the code."""
    if missing := set(there) - set(described):
        raise SystemExit(f"tools/reference_pages.py lacks a description of {what}: {', '.join(sorted(missing))}")
    if extra := set(described) - set(there):
        raise SystemExit(f"tools/reference_pages.py describes {what} that do not exist: {', '.join(sorted(extra))}")


def table(*rows: tuple[object, ...]) -> str:
    """A Markdown table; the first row is its head."""
    texts = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in texts]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def setting_rows(*sections: type[luigi.Config]) -> Iterator[tuple[str, str, str, str, str]]:
    """Each setting: environment variable, section and option, default, range, meaning."""
    for section in sections:
        for name, parameter in sorted(section.get_params(), key=lambda each: each[1]._counter):
            default = str(parameter._default).lower() if isinstance(parameter._default, bool) else parameter._default
            default = "(empty)" if default == "" else default
            yield parameter.env, f"[{section.__name__}] {name}", str(default), parameter.expected, parameter.description


def settings_page() -> str:
    """Every setting, and the four ways to set it."""
    rows = []
    for env, place, default, expected, meaning in setting_rows(*settings.SECTIONS):
        section, _, name = place.partition(" ")
        option = f"--{section.strip('[]')}-{name.replace('_', '-')}"
        rows.append((f"`{env}`", f"`{place}`", f"`{option}`", f"`{default}`", expected, meaning))
    password = ("`CLICKHOUSE_PASSWORD`", "`[clickhouse] password`", "–", "`(empty)`", "a text")
    rows.append((*password, "never shown, logged or stored"))
    head = ("environment", "`luigi.cfg`", "option of `luigi`", "default", "range or form", "what it is")
    return f"""# Settings

An option of the `luigi` command wins over the environment, which wins over `luigi.cfg`, which wins over the default.
The `champion` command has options of its own, and takes the rest from the environment and `luigi.cfg`. `luigi.cfg` is
read from the folder that a command starts in, or from where `LUIGI_CONFIG_PATH` says.

{table(head, *rows)}

Each value is checked when it is first read. The error names the setting as it was written (the variable, `[section]
name` or the option), its value and what was expected; `champion doctor` checks them all.

- An empty variable or option sets nothing. A tilde at the start of a folder is a home.
- Quotes around a value are refused: `docker --env-file` and `luigi.cfg` would make them part of it. A folder whose name
  has quotes at both ends is written `./'name'`.
- White space around a number, date, time or switch is ignored. At an end of another text it is refused, as is a control
  character anywhere: a carriage return, left by an editor on Windows, would silently name another folder.
- The password is taken as it is, but may not end with a line break.
- `luigi.toml`, with `LUIGI_CONFIG_PARSER=toml` and the package `toml`, may hold numbers, `true` and `false`, dates and
  times without quotes; everything else is a text in quotes.
- In `luigi.cfg`, write `%%` for a percent sign.

MLflow itself reads `MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD` and `MLFLOW_TRACKING_TOKEN`; they too are
starred out wherever a message would show them.
"""


def schema_page() -> str:
    """Each data set's sources, columns and rules, from its declaration."""
    agreed("warnings", _WARNINGS, warning_names())
    datasets = catalog.DATASETS.values()
    rows = [
        (f"[`{each.name}`](#{each.name})", f"`{each.view}`", _key(each), each.first_date, f"{each.published_at:%H:%M}")
        for each in datasets
    ]
    head = ("data set", "view", "key of a row", "first day", "expected by (IST)")
    sections = "\n".join(_dataset_section(each) for each in datasets)
    return f"""# Schema

What the exchange publishes, and what becomes of it: one data set after the other. The columns are those of the lake's
files and of the warehouse's view. The table behind a view has two more, `version` and `is_deleted`: see
[how a load works](../explanation.md).

{table(head, *rows)}

Made from several of them, and not by day: [adjustments of prices](#adjustments).

{sections}
{_adjustments_section()}"""


_TABLES = {
    adjusted.ADJUSTMENTS: (
        EVENTS,
        "An event a row: what changes prices, and changes of symbol. The key of a row is `instrument`, `security`,\n"
        "`ex_date`, `kind` and `number`.",
    ),
    adjusted.ADJUSTMENT_SPANS: (
        SPANS,
        "The factors of each symbol and series, by spans of dates: of rows from `start` to before `stop`, as long as\n"
        "the date of the newest price is from `valid_from` to before `valid_until`. A row outside of all spans has\n"
        "the factor 1, and its symbol as instrument.",
    ),
    "names": (
        NAMES,
        "A period a row in which a symbol belonged to an instrument; in the lake alone. A symbol without a row is its\n"
        "own instrument at all times.",
    ),
}


def _adjustments_section() -> str:
    """What adjusted prices are made of: the tables, and the view with its own columns."""
    parts = []
    for name, (columns, text) in _TABLES.items():
        head: tuple[str, ...] = ("column", "Polars", "ClickHouse", "unit", "null?", "meaning")
        rows: list[tuple[str, ...]] = [
            (
                f"`{each.name}`",
                each.kind.in_polars,
                f"`{each.clickhouse.split(' CODEC')[0]}`",
                each.unit or "–",
                "never" if each.required else "may be",
                each.meaning,
            )
            for each in columns
        ]
        if columns is NAMES:
            # The lake alone has it.
            head, rows = head[:2] + head[3:], [row[:2] + row[3:] for row in rows]
        parts.append(f"### {name}\n\n{text}\n\n{table(head, *rows)}")
    divided = ", ".join(f"`{name}`" for name in (*PRICES, PREVIOUS))
    further = [(f"`{each.name}`", each.kind.type, each.unit or "–", each.meaning) for each in FURTHER]
    return f"""## adjustments

Adjusted prices are a view over `{EQUITY.view}` and tables of factors; [the
method](../explanation/adjusted-prices.md). The lake has them in `normalized/adjustments/`, as
`adjustments_<state>.parquet`, `spans_<state>.parquet` and `names_<state>.parquet`; the document `adjustments.json`
names the state that counts, as `inputs`. ClickHouse has the first two as views of the newest state: the tables behind
them, `normalized_{adjusted.ADJUSTMENTS}` and `normalized_{adjusted.ADJUSTMENT_SPANS}`, also have a column `generation`.

### {adjusted.ADJUSTED}

Each row of [`{EQUITY.view}`](#{EQUITY.name}), with its columns in their order, and further ones. Divided by the factor
are {divided}. `{VOLUME}` is
multiplied by it, and a Float64. `turnover`, `trades` and all others are as published. `{PREVIOUS}` has the factor of
its own day, the session before, unless the exchange adjusted it.

{table(("column", "ClickHouse", "unit", "meaning"), *further)}

{(chr(10) * 2).join(parts)}
"""


def warning_names() -> set[str]:
    """The names of every data set's warnings."""
    return {name for dataset in catalog.DATASETS.values() for name in dataset.warning_names}


def _key(dataset: Dataset) -> str:
    return ", ".join(f"`{name}`" for name in ("trade_date", *dataset.key))


def _dataset_section(dataset: Dataset) -> str:
    """A data set: its module's docstring, its columns, its source files and its warnings."""
    module = importlib.import_module(f"champion_luigi.datasets.{dataset.name}")
    text = inspect.cleandoc(module.__doc__ or "").replace("``", "`")
    sources = [source.name for source in dataset.sources]
    columns = []
    for column in dataset.columns:
        types = (column.kind.in_polars, f"`{column.clickhouse.split(' CODEC')[0]}`")
        published = [column.published_by(source) or "–" for source in sources]
        null = "never" if column.required else "may be"
        columns.append((f"`{column.name}`", *types, column.unit or "–", null, column.meaning, *published))
    head = ("column", "Polars", "ClickHouse", "unit", "null?", "meaning", *(f"in {source}" for source in sources))
    files = [
        (
            source.name,
            f"`{source.path_of(source.first)}`",
            f"`{source.members_of(source.first)[0]}` and others" if source.is_one_of_many else "",
            *_dates(source.first, source.last),
        )
        for source in dataset.sources
    ]
    eras = [(each.source, *_dates(each.first, each.last), len(each.columns)) for each in dataset.layouts]
    warnings = [(f"`{name}`", _WARNINGS[name]) for name in dataset.warning_names]
    views = " and ".join(f"`{name}`" for name in dataset.views)
    further = f"\n\nThe warehouse also has the view {views}, which reads `{dataset.view}`." if views else ""
    return f"""## {dataset.name}

{text}

The key of a row is {_key(dataset)}. The view is `{dataset.view}`, its table `{dataset.table}`; the columns are of
version {dataset.version}.{further}

{table(head, *columns)}

Its files, below the archive's base URL:

{table(("source", "path of its first day", "its members", "first day", "last day"), *files)}

Their columns, by era:

{table(("source", "first day", "last day", "columns"), *eras)}

Rows with a warning are kept, and counted by rule:

{table(("rule", "what it counts"), *warnings)}
"""


def _dates(first: date, last: date) -> tuple[str, str]:
    return str(first), "" if last == date.max else str(last)


def commands_page() -> str:
    """Every command with its options, and every task with its parameters."""
    sections = "\n\n".join(_command(name, command) for name, command in sorted(walk(cli.main).items()))
    days = [(f"`{name}`", _text(getattr(champion_luigi, name))) for name in stages.STAGE_OF]
    fill = [
        (f"`--{name.replace('_', '-')}`", _INHERITED.get(name) or _described(parameter))
        for name, parameter in champion_luigi.FillBhavcopy.get_params()
        if name in _INHERITED or (name in vars(champion_luigi.FillBhavcopy) and parameter.description)
    ]
    of_a_day = dict(champion_luigi.LoadClickHouse.get_params())
    of_the_list = dict(champion_luigi.ScrapeSymbolChanges.get_params())
    return f"""# Commands

`champion COMMAND --help` says the same at the prompt. Exit codes: [a page of their own](exit-codes.md).

{sections}

# Luigi tasks

As in `luigi --module champion_luigi LoadClickHouse --date 2024-01-15 --local-scheduler`. Each requires the one
above it.

{table(("task", "what it does"), *days)}

Their parameters: `--date`, {of_a_day["date"].description}; `--dataset`, {_described(of_a_day["dataset"])}.

## FillBhavcopy

{_text(champion_luigi.FillBhavcopy)}

{table(("parameter", "what it does"), *fill)}

## ScrapeSymbolChanges

{_text(champion_luigi.ScrapeSymbolChanges)}

Its parameter: `--date`, {of_the_list["date"].description}.

## WriteAdjustments

{_text(champion_luigi.WriteAdjustments)}

## LoadAdjustments

{_text(champion_luigi.LoadAdjustments)}

Neither takes parameters.
"""


def _described(parameter: luigi.Parameter) -> str:
    """A parameter's description, without the choices that Luigi appends in no fixed order."""
    return str(parameter.description).partition(" Choices: {")[0]


def walk(group: click.Group, prefix: str = "champion") -> dict[str, click.Command]:
    """Every command of a group by its full name; groups themselves are left out."""
    found: dict[str, click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= walk(command, f"{prefix} {name}")
        else:
            found[f"{prefix} {name}"] = command
    return found


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    records = [record for each in command.params if (record := each.get_help_record(context))]
    rows = [(f"`{names}`", " ".join(text.split())) for names, text in records]
    text = inspect.cleandoc(command.help or "").replace("\b\n", "")
    examples = "\n".join(line.strip() for line in (command.epilog or "").splitlines()[2:])
    blocks = [f"```sh\n{examples}\n```"] if examples else []
    return "\n\n".join(
        [f"## {name}", f"`{usage}`", text, *blocks, *([table(("option", "what it does"), *rows)] if rows else [])]
    )


def _text(task: type[luigi.Task]) -> str:
    return " ".join(inspect.cleandoc(task.__doc__ or "").split()).replace("``", "`")


def errors_table() -> str:
    """Each error that a task raises: its meaning, and the action for the person on call."""
    rows = []
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.ChampionError) and "\n\n" in (kind.__doc__ or ""):
            meaning, todo = (" ".join(part.split()) for part in inspect.cleandoc(kind.__doc__ or "").split("\n\n", 1))
            rows.append((f"`{name}`", meaning, todo.replace("``", "`")))
    return table(("error", "what it means", "what to do"), *rows)


def errors_page() -> str:
    """The errors as a tree and as a table."""
    tree = inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1]
    return f"""# Errors

An error is one sentence: the date, what is wrong, what was expected and found, the file or URL, and what to do. It is
the last line of the log, the parameter `error` in MLflow, and the `error` of the [journal](journal.md). No password is
ever in one.

```
{tree}
```

Transient errors alone are retried: fetch and load 3 attempts, parse, normalize and write 2.

{errors_table()}

A fill in which days failed ends with `FillFailed`, which has each day's reason; the other days are complete.
"""


def exit_codes_page() -> str:
    """The exit codes of every command."""
    codes = {name: code for (section, name), code in luigi_defaults.DEFAULTS.items() if section == "retcode"}
    agreed("exit codes", _LUIGI_CODES, codes)
    rows = [(code, _LUIGI_CODES[name], f"`{name}`") for name, code in codes.items()]
    absent = "everything that the archive has is there, and sessions are absent: no source has their files"
    rows = sorted([*rows, (str(output.ABSENT), absent, "– (`champion` alone)")])
    head = ("code", "what it means", "in `[retcode]` of `luigi.cfg`")
    ends = [
        (f"`{name}`", " ".join(line.split()))
        for name, command in sorted(walk(cli.main).items())
        for line in inspect.cleandoc(command.help or "").split("\n\n")
        if line.startswith("Exits ")
    ]
    return f"""# Exit codes

The commands `luigi` and `champion` end with the same codes, but for 15. Where several apply, the largest wins.

{table(head, (0, "everything is done, or nothing was to do", "–"), *rows)}

`champion` also ends with 1 if Ctrl-C or SIGTERM stopped it, or after a fault of its own, which a traceback shows; and
with 2 for an option that does not exist or does not fit. A `luigi.cfg` may set other codes for the `luigi` command;
`champion` does not read them.

{table(("command", "its own words"), *ends)}

In the evening, 20 is no alarm: [the next run](../how-to/schedule.md) requests the day again.
"""


def journal_page() -> str:
    """The records of the journal."""
    agreed("journal records", _EVENTS, set(Event))
    rows = [(f"`{event}`", when, fields or "–") for event, (when, fields) in _EVENTS.items()]
    return f"""# The journal

`DATA_DIR/journal/2024-01.jsonl`: one JSON object a line, one file a month (UTC), appended to and never rewritten. Every
record has `time` (UTC), `event`, `execution` (one process, or one fill in it), `pid` and `host`; those of a task have
`task` and `date`, and those of a data set other than `{catalog.DEFAULT}` have `dataset`. Readers should pass over
events and fields that they do not know.

{table(("event", "when", "its fields"), *rows)}

`outcome` is one of {", ".join(f"`{name}`" for name in sorted(days.OUTCOMES))}. Beside the records, `delivered.json`
notes how far they have been carried to MLflow, `carrier.log` what the carrier met with, and `running/` which processes
may still write.
"""


def metrics_page() -> str:
    """The metrics and tags that MLflow gets."""
    agreed("counts", _COUNTS, days.COUNTS)
    agreed("warnings", _WARNINGS, warning_names())
    agreed("metrics of a fill", _PROGRESS, chunks.Progress(due=0).metrics())
    agreed("metrics of a range", _RANGE, fills.RANGE_METRICS.values())
    day = [
        (f"`{stage}_duration_seconds`", f"seconds of `{task}` without waiting") for stage, task in stages.TASKS.items()
    ]
    day += [("`flow_duration_seconds`", "from the first task's start to the last one's end")]
    day += [(f"`{name}`", text) for name, text in _COUNTS.items()]
    day += [("`parquet_size_mb`", "the lake file's size in MiB")]
    day += [(f"`warning_{name}`", text) for name, text in _WARNINGS.items()]
    fill = [(f"`{name}`", text) for name, text in {**_PROGRESS, **_RANGE}.items()]
    fill += [("`flow_duration_seconds`", "from the first day's start to the end of the fill")]
    fill += [("`first_day`, `last_day`", "of a long fill: its first and its last date, as numbers such as 20240115")]
    tags = ", ".join(f"`{name}`" for name in sorted({*days.TAGS, "package_version", "host", "retries", "execution"}))
    before, after = (", ".join(f"`{name}`" for name in names) for names in (fills.PARAMS, fills.TABLE_TAGS))
    most = settings.champion.fill_day_runs._default
    return f"""# What MLflow gets

One run a trade date and execution, `bhavcopy-etl-2024-01-15`, and one for each fill,
`bhavcopy-fill-2024-01-01-2024-12-31`, with its days nested below; [a long fill](#the-days-of-a-long-fill) holds its
days itself. Status FINISHED, FAILED or KILLED; a fill is RUNNING while it runs.

## Metrics of a day

{table(("metric", "what it is"), *day)}

## Metrics of a fill

Its progress is a series, a step for each number of days done.

{table(("metric", "what it is"), *fill)}

## The days of a long fill

A fill of more than {most} days (`CHAMPION_FILL_DAY_RUNS`) is one run, because MLflow has no call for many runs: a run a
date would cost more than a third of the date's work. Its days are

- steps of the metrics `{fills.DAY}…`, such as `{fills.DAY}rows_loaded`. The step is the date, 20240115; so is the time,
  at noon UTC, for charts over *Time (wall)*. A warning has points only for days that have some;
- lines of the artifact `days.csv`: {before}; all metrics;
  {after}.

A day that failed, was killed, is absent or not published yet has a run of its own below the fill, as in a short fill,
and a line of the table; a closed day is a line alone. If the store of artifacts refuses the table, the tag
`days_table` has the reason.

## Parameters

Of a day: `trade_date`, `load_to_clickhouse`, `clickhouse_table`, `status` (`success`, `failed`, `killed`; in a fill
also `closed`, `unpublished`), `error`. Of a fill: `first`, `last`, `of`, `workers`, `clickhouse_table`, `status`
(`success`, `incomplete`, `failed`, `killed`), `error`.

## Tags

{tags}
"""


def python_page() -> str:
    """Each public function: its signature, and its own words."""
    public = {name: getattr(champion_luigi, name) for name in champion_luigi.__all__}
    public["lake.scan"] = champion_luigi.lake.scan
    sessions = champion_luigi.sessions
    public |= {f"sessions.{name}": getattr(sessions, name) for name in sessions.__all__}
    functions = {name: each for name, each in sorted(public.items()) if inspect.isfunction(each)}
    intro = (
        "What `from champion_luigi import ...` gives, beside the Luigi tasks. [How to work from "
        "Python](../how-to/python.md). Every error is one of [these](errors.md)."
    )
    return "\n\n".join(["# Python", intro, *(_function(name, each) for name, each in functions.items())]) + "\n"


def _function(name: str, function: Callable[..., object]) -> str:
    # Annotations are texts, and the defaults' own texts keep their quotes.
    signature = inspect.signature(function)
    shown = [f"{name}("]
    is_keyword = False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not is_keyword:
            shown.append("    *,")
            is_keyword = True
        default = "" if each.default is each.empty else f" = {each.default!r}"
        shown.append(f"    {each.name}: {each.annotation}{default},")
    shown.append(f") -> {signature.return_annotation}")
    words = []
    for paragraph in (inspect.getdoc(function) or "").split("\n\n"):
        is_example = paragraph.lstrip().startswith(">>>")
        words.append(f"```text\n{inspect.cleandoc(paragraph)}\n```" if is_example else paragraph.replace("``", "`"))
    return "\n\n".join([f"## {name}", "```text\n" + "\n".join(shown) + "\n```", *words])


PAGES: Mapping[str, Callable[[], str]] = {
    "settings": settings_page,
    "schema": schema_page,
    "commands": commands_page,
    "errors": errors_page,
    "exit-codes": exit_codes_page,
    "journal": journal_page,
    "metrics": metrics_page,
    "python": python_page,
}

MARK = "<!-- made by tools/write_reference.py from the code: change it there -->\n"


def made_pages() -> dict[str, str]:
    """Every page by its file name under docs/reference/."""
    return {f"{name}.md": MARK + page() for name, page in PAGES.items()}
