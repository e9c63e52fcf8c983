"""The zip for the press, which holds files of several data sets: its place, its first day, and the columns of Pd."""

from __future__ import annotations

from datetime import date

# The exchange's archive has the zip of every session from this day on.
FIRST_DATE = date(2010, 1, 4)
PATH = "/archives/equities/bhavcopy/pr/PR{day:%d%m%y}.zip"
# Pd has the prices of all shares, and the values of the main indices.
PD = tuple(
    "MKT SERIES SYMBOL SECURITY PREV_CL_PR OPEN_PRICE HIGH_PRICE LOW_PRICE CLOSE_PRICE NET_TRDVAL NET_TRDQTY IND_SEC "
    "CORP_IND TRADES HI_52_WK LO_52_WK".split()
)
# What its rows are, by MKT: shares (O marks block deals, and G some rows of BE and BZ), indices, and titles of sections
# with the blank lines before them.
SHARES = {"MKT": ("N", "G", "O")}
INDICES = {"MKT": ("Y",)}
TITLES = {"MKT": ("",), "SYMBOL": ("",)}


def members(stem: str) -> tuple[str, ...]:
    """The names of a file within the zip; lower case and the four digits of the year came on 2025-10-13."""
    return (f"{stem}{{day:%d%m%y}}.csv", f"{stem}{{day:%d%m%Y}}.csv")
