"""Published lines as a table of text under the source's column names, one row a line, nothing dropped."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from champion_luigi.parsing.payload import Recognised, fields_of

LINE = "_line"
TEXT = "_text"
FITS = "_fits"
REST = "_rest"
_FIRST_LINE = 2


def parse(recognised: Recognised) -> pl.DataFrame:
    """A recognised payload as a table of text: `_line`, `_text`, then the source's columns, one row a line."""
    return parse_all([recognised])[0]


def parse_all(payloads: Sequence[Recognised]) -> list[pl.DataFrame]:
    """The tables of recognised payloads, as from `parse`. Those alike share a query, which costs more than its rows."""
    tables: dict[int, pl.DataFrame] = {}
    for (names, ends_in_text), alike in _alike(payloads).items():
        lines = pl.concat([_lines(payloads[place]) for place in alike], rechunk=True)
        quoted = lines[TEXT].str.contains('"', literal=True)
        has_quotes = quoted.any()
        table = _split(lines.filter(~quoted) if has_quotes else lines, names, ends_in_text=ends_in_text)
        if len(alike) > 1 and (has_quotes or not table[FITS].all()):
            # Of plain lines, a day's part is like the table of the day alone, byte for byte.
            tables |= {place: parse(payloads[place]) for place in alike}
            continue
        if has_quotes:
            # The exchange writes no quotes, but CSV allows them: the csv module reads such lines one by one.
            others = _split_quoted(lines.filter(quoted), names, ends_in_text=ends_in_text)
            table = pl.concat([table, others]).sort(LINE)
        start = 0
        for place in alike:
            tables[place] = table.slice(start, len(payloads[place].lines))
            start += tables[place].height
    return [tables[place] for place in range(len(payloads))]


def _alike(payloads: Sequence[Recognised]) -> dict[tuple[tuple[str, ...], bool], list[int]]:
    """The places of the payloads that are split alike."""
    found: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    for place, each in enumerate(payloads):
        found.setdefault((each.header, each.layout.ends_in_text), []).append(place)
    return found


def _lines(recognised: Recognised) -> pl.DataFrame:
    lines = pl.DataFrame({TEXT: recognised.lines}, schema={TEXT: pl.String}).with_row_index(LINE, offset=_FIRST_LINE)
    if recognised.numbers:
        lines = lines.with_columns(pl.Series(LINE, recognised.numbers, dtype=lines.schema[LINE]))
    return lines


def _split(lines: pl.DataFrame, names: tuple[str, ...], *, ends_in_text: bool) -> pl.DataFrame:
    # A last field of text has all that is left, commas included.
    limit = len(names) if ends_in_text else len(names) + 1
    fields = (
        lines.lazy()
        .select(LINE, TEXT, pl.col(TEXT).str.splitn(",", limit).alias("fields"))
        .with_columns(pl.col("fields").struct.rename_fields([*names, REST][:limit]))
        .unnest("fields")
    )
    if ends_in_text:
        fields = fields.with_columns(pl.lit(None, pl.String).alias(REST))
    # Fewer fields than names leave the last one null; extra fields are fine if empty, as after a trailing comma.
    fits = pl.col(names[-1]).is_not_null() & ~pl.col(REST).fill_null("").str.contains(r"[^,\s]")
    return fields.select(LINE, pl.when(~fits).then(pl.col(TEXT)).alias(TEXT), fits.alias(FITS), REST, *names).collect()


def _split_quoted(lines: pl.DataFrame, names: tuple[str, ...], *, ends_in_text: bool) -> pl.DataFrame:
    rows = []
    for number, text in lines.iter_rows():
        fields = fields_of(text)
        if ends_in_text and len(fields) > len(names):
            fields = [*fields[: len(names) - 1], ",".join(fields[len(names) - 1 :])]
        fits = len(fields) >= len(names) and not any(field.strip() for field in fields[len(names) :])
        padded = [*fields, *[None] * len(names)][: len(names)]
        rows.append((number, text, fits, None, *padded))
    of_text = dict.fromkeys((REST, *names), pl.String)
    return pl.DataFrame(rows, {LINE: lines.schema[LINE], TEXT: pl.String, FITS: pl.Boolean, **of_text}, orient="row")
