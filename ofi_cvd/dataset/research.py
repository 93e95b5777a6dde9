"""What research asks of the tables again and again: bars, joins in time, forward returns, footprints, parsed events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import polars as pl

from ofi_cvd.dataset import bars, event_table, footprint, forward, joins
from ofi_cvd.dataset.quotes import Quotes
from ofi_cvd.dataset.times import Length
from ofi_cvd.errors import InputError
from ofi_cvd.schemas import KINDS, Kind

Frame = pl.LazyFrame | Kind


class Research(ABC):
    """The part of a dataset that helps research. Everything is lazy: nothing is read before `collect`."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, object]:
        """The parameters the dataset was built with."""

    @abstractmethod
    def frame(self, kind: Kind, *, time: bool = False) -> pl.LazyFrame:
        """Return one table as a lazy frame."""

    @staticmethod
    def with_time(rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return any frame that has `ts_ms` with `time` in front, the same instant as a UTC datetime.

        Example:
            >>> from ofi_cvd import open_sample
            >>> dataset = open_sample()
            >>> dataset.with_time(dataset.bars("10m")).select("time").head(1).collect().item()
            datetime.datetime(2026, 1, 5, 0, 10, tzinfo=zoneinfo.ZoneInfo(key='UTC'))
        """
        return joins.with_time(rows)

    def event_table(self) -> pl.LazyFrame:
        """Return the events with `price` (the last trade's when the event was known) and `meta` (its facts) as fields.

        `price` is null before the first trade; a fact that the event's type does not have is null.

        Example:
            >>> from ofi_cvd import open_sample
            >>> events = open_sample().event_table()
            >>> pivots = events.filter(pl.col("event_type") == "pivot_high")
            >>> pivots.select(pl.col("meta").struct.field("price") > pl.col("price")).collect().to_series().all()
            True
        """
        return event_table.event_table(self.frame("events"), self.frame("prices"))

    def bars(self, size: Length | float, by: bars.BarKind = "time") -> pl.LazyFrame:
        """Return trades as bars; bars restart at 00:00 UTC.

        Columns: `ts_ms` (end of a time bar, last trade of the others), `symbol`, `start_ms` (first trade), `open`, `high`,
        `low`, `close` (quote asset), `volume`, `buy_volume`, `sell_volume`, `delta` = bought - sold (base asset),
        `notional` (quote asset), `vwap`, `n_trades`, and `suspect` if a trade in it is. A time without trades has no bar.

        Args:
            size: text such as `1m` for bars by time; base asset for `volume` and `imbalance`, quote asset for `dollar`.
            by: what fills a bar: `time` (the bucket `(t - size, t]`), `volume`, `dollar` (price times quantity), or
                `imbalance` (the absolute sum of signed quantity). But for time, a bar closes with the trade that
                brings its amount to at least `size`, and the next starts at zero.

        Raises:
            InputError: a size that does not fit.

        Example:
            >>> from ofi_cvd import open_sample
            >>> open_sample().bars("10m").select("symbol", "n_trades").collect().height
            4
        """
        if by == "time":
            if isinstance(size, float):
                raise InputError(f"size: expected a length such as 1m for bars by time, found {size!r}")
            return bars.time_bars(self.frame("prices"), size)
        if by not in {"volume", "dollar", "imbalance"} or not isinstance(size, int | float):
            raise InputError(f"bars: expected a number and by volume, dollar or imbalance, found {size!r} and {by!r}")
        return bars.sampled_bars(self.frame("prices"), size, by)

    def asof(self, left: Frame, right: Frame, tolerance: Length | None = None) -> pl.LazyFrame:
        """Return each row of `left` with the last row of `right` of its symbol at or before it: it never looks ahead.

        Columns of both get the suffix `_right`; they are null where nothing is near enough. Sorted by symbol and time.

        Args:
            left: a lazy frame with `symbol` and `ts_ms`, or the name of a table.
            right: another.
            tolerance: how old the row of `right` may be, such as `5s`; None for no limit.

        Example:
            >>> from ofi_cvd import open_sample
            >>> both = open_sample().asof("fusion", "prices", tolerance="5s")
            >>> both.select((pl.col("ts_ms_right") <= pl.col("ts_ms")).all()).collect().item()
            True
        """
        return joins.asof(self._rows(left), self._rows(right), tolerance)

    def forward_returns(
        self, horizons: Sequence[Length], on: Frame = "fusion", *, price: forward.Price = "mid"
    ) -> pl.LazyFrame:
        """Return a frame with `forward_<horizon>` for each horizon: the log return from the first quote after a row.

        The return runs from the first quote strictly after `ts_ms` to the last one at or before `ts_ms` + horizon; positive
        where the price rose. It is null where the horizon is not covered or crosses a gap. These are the labels of
        `ofi analyze`, bit for bit.

        Args:
            horizons: lengths such as `5s`.
            on: a lazy frame with `symbol` and `ts_ms`, or the name of a table.
            price: `mid` of the book (`ofi.mid`) or price of `trade`s.

        Example:
            >>> from ofi_cvd import open_sample
            >>> open_sample().forward_returns(["5s", "1m"]).collect_schema().names()[-2:]
            ['forward_5s', 'forward_60s']
        """
        quotes = lru_cache(maxsize=None)(lambda symbol: self.quotes(symbol, price))
        return forward.with_forward_returns(self._rows(on), horizons, quotes)

    def quotes(self, symbol: str, price: forward.Price = "mid") -> Quotes:
        """Return the quotes of one symbol, and the gaps between them, as `forward_returns` judges by."""

        def read(kind: Kind, columns: Sequence[str]) -> pl.DataFrame:
            rows = self.frame(kind).filter(pl.col("symbol") == symbol).select(columns)
            return rows.sort("ts_ms", maintain_order=True).collect()

        return forward.quotes_of(read, price, int(str(self.parameters.get("WIN_SECS", 300))))

    def footprint(self, size: Length, *, tick: float) -> pl.LazyFrame:
        """Return bought and sold volume by bar and price level.

        Columns: `ts_ms` (end of the bar), `symbol`, `price` (lower edge of the level), `buy_volume`, `sell_volume`, `delta`
        (base asset), `n_trades`.

        Args:
            size: length of a bar, such as `1m`.
            tick: height of a level in quote asset.

        Example:
            >>> from ofi_cvd import open_sample
            >>> dataset = open_sample()
            >>> levels = dataset.footprint("1m", tick=0.1).select(pl.col("n_trades").sum()).collect().item()
            >>> levels == dataset.prices.select(pl.len()).collect().item()
            True
        """
        return footprint.footprint(self.frame("prices"), size, tick)

    def _rows(self, frame: Frame) -> pl.LazyFrame:
        if isinstance(frame, pl.LazyFrame):
            return frame
        if frame not in KINDS:
            raise InputError(f"expected a lazy frame or one of {', '.join(KINDS)}, found {frame!r}")
        return self.frame(frame)
