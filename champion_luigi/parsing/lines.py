"""Published lines as a table of text under the source's column names, one row a line, nothing dropped."""

from __future__ import annotations

import polars as pl

from champion_luigi.parsing.payload import Recognised, fields_of

LINE = "_line"
TEXT = "_text"
FITS = "_fits"
REST = "_rest"
_FIRST_LINE = 2


def parse(recognised: Recognised) -> pl.DataFrame:
    """A recognised payload as a table of text: `_line`, `_text`, then the source's columns, one row a line."""
    names, ends_in_text = recognised.header, recognised.layout.ends_in_text
    lines = pl.DataFrame({TEXT: recognised.lines}, schema={TEXT: pl.String}).with_row_index(LINE, offset=_FIRST_LINE)
    if recognised.numbers:
        lines = lines.with_columns(pl.Series(LINE, recognised.numbers, dtype=lines.schema[LINE]))
    quoted = lines[TEXT].str.contains('"', literal=True)
    if not quoted.any():
        return _split(lines, names, ends_in_text=ends_in_text)
    # The exchange writes no quotes, but CSV allows them: the csv module reads such lines one by one.
    plain = _split(lines.filter(~quoted), names, ends_in_text=ends_in_text)
    return pl.concat([plain, _split_quoted(lines.filter(quoted), names, ends_in_text=ends_in_text)]).sort(LINE)


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
