"""Prices as the content of a file: CSV, Parquet, and the text that AmiBroker's ASCII importer reads."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

# The importer takes its commands from the first lines of the file itself. AUTOADD makes tickers that it does not have,
# CONT goes on after a line that cannot be read, and GROUP 255 leaves a ticker in its group.
AMIBROKER = """\
$FORMAT Ticker, Date_YMD, Open, High, Low, Close, Volume
$SKIPLINES 0
$SEPARATOR ,
$CONT 1
$GROUP 255
$AUTOADD 1
$NOQUOTES 1
"""
_AMIBROKER_FIELDS = ("open", "high", "low", "close", "volume")


def csv(rows: pl.DataFrame) -> bytes:
    """CSV with a header: ISO dates, decimal points, every digit; a null is empty. Excel opens it as it is."""
    return rows.write_csv(float_scientific=False).encode()


def parquet(rows: pl.DataFrame) -> bytes:
    """A Parquet file, compressed by zstd."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def amibroker(rows: pl.DataFrame, tickers: Mapping[str, str]) -> bytes:
    """Lines for AmiBroker: a ticker for each instrument over all its names, by ``tickers``.

    The importer would read a missing price as 0, so an open, high or low that was not recorded is the close.
    """
    import polars as pl

    ticker = pl.col("instrument").replace(dict(tickers)).alias("ticker")
    lines = rows.sort("instrument", "trade_date").select(
        ticker,
        pl.col("trade_date").dt.strftime("%Y%m%d"),
        *(pl.col(name).fill_null(pl.col("close")) for name in _AMIBROKER_FIELDS[:4]),
        "volume",
    )
    return AMIBROKER.encode() + lines.write_csv(include_header=False, float_scientific=False).encode()
