"""The venue's public archive: where its files are, what they are called, and what the columns of each set mean.

Headers and units changed over the years, so both are read from the content, never assumed from a name or a date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, TypeAlias

from ofi_cvd.binance.wire import Market
from ofi_cvd.settings import SYMBOL_PATTERN

DataSet: TypeAlias = Literal["aggTrades", "trades", "bookTicker"]
DATA_SETS: Final[tuple[DataSet, ...]] = ("aggTrades", "trades", "bookTicker")
STREAM_OF_SET: Final[dict[DataSet, str]] = {"aggTrades": "aggTrade", "trades": "trade", "bookTicker": "bookTicker"}
BASE_URL: Final = "https://data.binance.vision"

_NAME: Final = re.compile(
    r"(?P<symbol>[A-Z0-9_]{2,32})-(?P<set>aggTrades|trades|bookTicker)"
    r"-(?P<year>\d{4})-(?P<month>\d{2})(?:-(?P<day>\d{2}))?(?:\.(?:zip|csv))?"
)
_ID, _SIGNED_ID = rb"\d{1,18}", rb"-?\d{1,18}"
_NUMBER = rb"-?\d+(?:\.\d*)?(?:[eE][-+]?\d{1,2})?"
_TIME = rb"\d{13}(?:\d{3})?"
_FLAG = rb"[Tt]rue|[Ff]alse|TRUE|FALSE"
_HEADER_WORD = re.compile(rb"[A-Za-z][A-Za-z_ ]*")


@dataclass(frozen=True)
class ArchiveLayout:
    """One kind of archive file.

    Attributes:
        data_set: which of the venue's sets.
        market: the market the venue publishes this layout for.
        columns: our names by position; an empty name is a column that is not kept.
        patterns: what each column looks like.
    """

    data_set: DataSet
    market: Market
    columns: tuple[str, ...]
    patterns: tuple[bytes, ...]

    @property
    def stream(self) -> str:
        """The stream of the spool that the rows belong to."""
        return STREAM_OF_SET[self.data_set]

    def fits(self, line: bytes) -> bool:
        """Return whether every column of a line looks as it should."""
        cells = line.split(b",")
        return len(cells) == len(self.patterns) and all(
            re.fullmatch(pattern, cell) for pattern, cell in zip(self.patterns, cells, strict=True)
        )


_AGG = ("trade_id", "price", "qty", "", "", "traded", "buyer_is_maker")
_AGG_LOOKS = (_ID, _NUMBER, _NUMBER, _SIGNED_ID, _SIGNED_ID, _TIME, _FLAG)
_TRADES = ("trade_id", "price", "qty", "", "traded", "buyer_is_maker")
_TRADES_LOOKS = (_ID, _NUMBER, _NUMBER, _NUMBER, _TIME, _FLAG)
_TICKER = ("update_id", "bid_px_1", "bid_qty_1", "ask_px_1", "ask_qty_1", "traded", "pushed")
_TICKER_LOOKS = (_ID, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _TIME, _TIME)

LAYOUTS: Final = (
    ArchiveLayout("aggTrades", "usdm", _AGG, _AGG_LOOKS),
    ArchiveLayout("aggTrades", "spot", (*_AGG, ""), (*_AGG_LOOKS, _FLAG)),
    ArchiveLayout("trades", "usdm", _TRADES, _TRADES_LOOKS),
    ArchiveLayout("trades", "spot", (*_TRADES, ""), (*_TRADES_LOOKS, _FLAG)),
    ArchiveLayout("bookTicker", "usdm", _TICKER, _TICKER_LOOKS),
)


@dataclass(frozen=True)
class ArchiveName:
    """What the name of an archive file says.

    Attributes:
        start: the first UTC date it covers.
        end: the date after the last.
    """

    symbol: str
    data_set: DataSet
    start: date
    end: date

    @property
    def is_monthly(self) -> bool:
        """Whether the file covers a whole month."""
        return self.end - self.start > timedelta(days=1)

    @property
    def stem(self) -> str:
        """The name without its suffix; a file that is revised keeps it."""
        when = f"{self.start:%Y-%m}" if self.is_monthly else f"{self.start:%Y-%m-%d}"
        return f"{self.symbol}-{self.data_set}-{when}"

    @property
    def span_ms(self) -> tuple[int, int]:
        """The time `[start, end)` that the file covers, in UTC milliseconds."""
        return _midnight_ms(self.start), _midnight_ms(self.end)


def parse_name(name: str) -> ArchiveName | None:
    """Return what a file name such as `BTCUSDT-aggTrades-2024-01-05.zip` says; None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None or not SYMBOL_PATTERN.fullmatch(match["symbol"]):
        return None
    try:
        start = date(int(match["year"]), int(match["month"]), int(match["day"] or 1))
    except ValueError:
        return None
    end = start + timedelta(days=1) if match["day"] else month_after(start)
    return ArchiveName(match["symbol"], match["set"], start, end)  # type: ignore[arg-type]  # the pattern's alternatives


def month_after(day: date) -> date:
    """Return the first day of the next month."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def archive_path(market: Market, name: ArchiveName) -> str:
    """Return the path of a file below the archive's root, `data/futures/um/daily/aggTrades/BTCUSDT/...zip`."""
    root = "data/spot" if market == "spot" else "data/futures/um"
    period = "monthly" if name.is_monthly else "daily"
    return f"{root}/{period}/{name.data_set}/{name.symbol}/{name.stem}.zip"


def is_header(line: bytes) -> bool:
    """Return whether a line names columns instead of holding values."""
    cells = [cell.strip() for cell in line.split(b",")]
    return len(cells) > 1 and all(_HEADER_WORD.fullmatch(cell) and not re.fullmatch(_FLAG, cell) for cell in cells)


def find_layout(lines: Iterable[bytes]) -> ArchiveLayout | None:
    """Return the layout that most of some data lines have; None if none of them has a known one."""
    votes = dict.fromkeys(range(len(LAYOUTS)), 0)
    for line in lines:
        for place, layout in enumerate(LAYOUTS):
            votes[place] += layout.fits(line)
    best = max(votes, key=lambda place: (votes[place], -place))
    return LAYOUTS[best] if votes[best] else None


def _midnight_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
