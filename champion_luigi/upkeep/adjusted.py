"""Compare the adjustments with what the market and the exchange say: openings, jumps, and 52-week highs and lows.

Each file of 52-week highs and lows costs one request. Prices are read a year at a time, so memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from champion_luigi.adjustments import gaps, referee, spans
from champion_luigi.base.errors import NotPublished, RateLimited, Refused, RejectedPayload
from champion_luigi.config import settings, wiring
from champion_luigi.datasets.corporate_actions import SHARES
from champion_luigi.datasets.equity import EQUITY
from champion_luigi.pipeline import adjusting
from champion_luigi.storage import adjustments, lake

if TYPE_CHECKING:
    import polars as pl

# The sessions whose files are compared if no range is given.
_SESSIONS = 5


@dataclass(frozen=True)
class Compared:
    """A file of 52-week highs and lows against the lake: the number of values by verdict, of `referee.VERDICTS`.

    ``values`` counts those of dates that the lake has too. ``trouble`` says why a file could not be compared.
    """

    date: date
    values: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    trouble: str = ""


@dataclass
class Checked:
    """The state of the adjustments. Rows are mappings of the columns of `referee.compare`, `gaps.openings` and `jumps`.

    ``files`` are those that the archive has, ``absent`` the sessions without one. ``values`` are the exchange's values
    that are not ours to the paisa. ``openings`` counts by verdict those after a split, bonus or consolidation;
    ``apart`` are the ones that are not within the limits. ``stale`` says why the adjustments are due again.
    """

    first: date | None = None
    last: date | None = None
    files: list[Compared] = field(default_factory=list)
    absent: list[date] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    openings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(gaps.VERDICTS, 0))
    apart: list[dict[str, Any]] = field(default_factory=list)
    jumps: list[dict[str, Any]] = field(default_factory=list)
    stale: str = ""

    @property
    def differences(self) -> int:
        """The number of findings that nothing explains. Jumps are none: the exchange may have published no action."""
        values = [each for each in self.values if each["verdict"] == referee.DIFFERENT]
        troubles = [each for each in self.files if each.trouble]
        return len(values) + self.openings[gaps.OUTSIDE] + len(troubles) + bool(self.stale)


def of_range(start: date | None = None, end: date | None = None) -> Checked:
    """Check the adjustments from ``start`` to ``end``, both included; by default all dates.

    Without ``start``, the files of the last five of these sessions are compared. Raises NotMade if there are no
    adjustments, and the archive's errors.
    """
    checked, root = Checked(), settings.lake_dir()
    made, given = adjustments.read(root), adjusting.inputs()
    if made.about["inputs"] != given.digest:
        checked.stale = "the lake has changed since the adjustments were made: run champion adjust"
    held = {day for day, _ in lake.days(root, EQUITY)}
    days = sorted(day for day in held if (start or day) <= day <= (end or day))
    if not days:
        return checked
    checked.first, checked.last = days[0], days[-1]
    for year in range(days[0].year, days[-1].year + 1):
        begin, until = max(date(year, 1, 1), days[0]), min(date(year, 12, 31), days[-1])
        _ask_the_market(checked, made, held, begin, until)
    _ask_the_exchange(checked, days if start else days[-_SESSIONS:], adjusting.evidence(given))
    return checked


def _ask_the_market(checked: Checked, made: adjustments.Made, held: set[date], first: date, last: date) -> None:
    """Look at the openings from ``first`` to ``last``, both included."""
    import polars as pl

    events = made.adjustments.filter(pl.col("ex_date").is_between(first, last))
    # Beyond the last day, for a first trade some days after the ex-date.
    rows = lake.scan(settings.lake_dir(), first - gaps.REACH, last + gaps.REACH, dataset=EQUITY)
    moves = gaps.moves_of(rows, made.spans, max(held))
    opened = gaps.openings(moves, events, held)
    for verdict, count in opened.group_by("verdict").len().iter_rows():
        checked.openings[verdict] += count
    checked.apart += opened.filter(pl.col("verdict") != gaps.WITHIN).sort("ex_date", "symbol").to_dicts()
    checked.jumps += gaps.jumps(moves.filter(pl.col("trade_date").is_between(first, last)), events).to_dicts()


def _ask_the_exchange(checked: Checked, days: Sequence[date], evidence: adjusting.Evidence) -> None:
    """Compare the files that the archive has for these days."""
    import polars as pl

    of_year: dict[int, pl.DataFrame] = {}
    for day, file in _files(checked, days):
        if day.year not in of_year:
            of_year = {day.year: _prices(day.year, evidence)}
        found, factors = referee.factors_as_of(
            day,
            day - referee.REACH,
            actions=evidence.actions,
            names=evidence.names,
            rows=evidence.rows,
            face_values=evidence.face_values,
            missing=evidence.missing,
        )
        compared = referee.compare(file, of_year[day.year], evidence.names.frame, found, factors)
        counts = dict(compared.group_by("verdict").len().iter_rows())
        verdicts = {verdict: counts.get(verdict, 0) for verdict in referee.VERDICTS}
        checked.files.append(Compared(day, compared.height, verdicts))
        is_apart = ~pl.col("verdict").is_in([referee.RAW, referee.ADJUSTED])
        checked.values += compared.filter(is_apart).to_dicts()


def _files(checked: Checked, days: Sequence[date]) -> Iterator[tuple[date, referee.RangeFile]]:
    """The files of these days; an absent one, or one that cannot be used, is noted."""
    archive = wiring.configured_archive()
    for day in days:
        path = referee.PATH.format(day=day)
        try:
            content, _ = archive.get(path, day)
            yield day, referee.read_range_file(content, day, archive.url(path))
        except NotPublished:
            checked.absent.append(day)
        except RateLimited:
            raise  # the archive wants to be left alone
        except (Refused, RejectedPayload) as error:
            checked.files.append(Compared(day, trouble=str(error).removeprefix(f"{day}: ")))


def _prices(year: int, evidence: adjusting.Evidence) -> pl.DataFrame:
    """The highs and lows that files of a year can name."""
    import polars as pl

    rows = lake.scan(settings.lake_dir(), date(year, 1, 1) - referee.REACH, date(year + 1, 1, 1), dataset=EQUITY)
    columns = ("trade_date", "symbol", "series", "high", "low")
    found = rows.filter(pl.col("series").is_in(SHARES)).select(columns).collect()
    return spans.with_instrument(found, evidence.names.frame)
