"""The spool as one symbol's build sees it: which files to read for an hour, and which hours new bytes reach back into."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.errors import SpoolError
from ofi_cvd.features.epochs import find_openings, may_open, with_keys
from ofi_cvd.publish.basis import Position
from ofi_cvd.publish.checkpoint import Epochs, Source
from ofi_cvd.publish.epochs import EpochsChanged, may_begin_between, note_found, openings_of, source_of
from ofi_cvd.publish.ingest import Reader
from ofi_cvd.publish.pending import PendingRows, pending_trades, pending_updates
from ofi_cvd.publish.segments import SegmentFile, list_sources, segment_rows, source_size, superseded
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import hour_dir
from ofi_cvd.spool.reader import line_start
from ofi_cvd.spool.segments import TICKER_STREAMS


@dataclass(frozen=True)
class Ends:
    """The positions of the last rows up to an instant, by stream; None: no row is before it."""

    trade: Position | None = None
    update: Position | None = None

    def of(self, *, is_trade: bool) -> Position | None:
        """Return that of one stream."""
        return self.trade if is_trade else self.update


@dataclass(frozen=True)
class Late:
    """Rows that were not there when their hours were built: ids of their stream, and their own times."""

    is_trade: bool
    ids: pl.Series
    times_ms: pl.Series


class SpoolSource:
    """Two pools of open rows and the files that fill them, oldest receipt first.

    Args:
        symbol: the symbol.
        settings: where the spool is and which two streams count.
        levels: levels of the book source that carry a weight.
        sources: files as they were last read; kept up to date.
        epochs: where ids began anew, as far as is known; kept up to date.
        on_late: told of rows never read before that lie in hours built already.
    """

    def __init__(
        self,
        symbol: str,
        settings: Settings,
        levels: int,
        sources: dict[str, Source],
        epochs: Epochs,
        on_late: Callable[[Late], None],
    ) -> None:
        self._sources, self._settings, self._on_late, self._levels = sources, settings, on_late, levels
        self._epochs = epochs
        self._is_known: set[bool] = set()  # streams whose epochs are known from all their files
        self.reader: Reader | None = None
        streams = {settings.trade_stream, settings.source}
        files = list_sources(settings.spool_dir, [symbol], streams)
        self._files = {f"{file.hour_ms}/{file.name}": file for file in files}
        self._sizes = {name: source_size(file) for name, file in self._files.items()}
        self._unread = list(self._files)
        self.opens = Ends()
        self.built = Ends()  # what the hours built so far end with
        self.trades: PendingRows = pending_trades()
        self.books: PendingRows = pending_updates(levels, is_ticker=settings.source in TICKER_STREAMS)
        self.last_recv_ms = 0
        self.news = 0  # how often a file was read that has rows not read before

    @property
    def is_unchanged(self) -> bool:
        """Whether every file is as it was when it was last read."""
        known = {name: source.size for name, source in self._sources.items()}
        return known == self._sizes

    @property
    def has_all_files(self) -> bool:
        """Whether every file that was read before is still there."""
        return self._sources.keys() <= self._files.keys()

    @property
    def next_receipt_hour_ms(self) -> int | None:
        """The receipt hour of the next file to read."""
        return min((self._files[name].hour_ms for name in self._unread), default=None)

    def open_at(self, opens: Ends, *, goes_on: bool) -> None:
        """Stand behind `opens`; `goes_on` if the hour that ends there is the one the pending rows stood at."""
        if not goes_on:
            self.trades.clear()
            self.books.clear()
            self._unread = list(self._files)
        self.opens = opens
        self.trades.open_behind(opens.trade)
        self.books.open_behind(opens.update)

    def check_there(self, until: Ends) -> None:
        """Refuse to build an hour again that files were used for which are gone: rows would vanish.

        Raises:
            SpoolError: such a file.
        """
        for name, source in self._sources.items():
            is_trade = self._is_trade(name)
            ends = until.of(is_trade=is_trade)
            if name in self._files or ends is None or source.first_key is None:
                continue
            if source.first_key <= ends[0] and self._pending(is_trade=is_trade).may_hold_open(
                source.last_key, self.opens.of(is_trade=is_trade)
            ):
                hour_ms, _, file = name.partition("/")
                raise SpoolError(
                    f"{hour_dir(self._settings.spool_dir, int(hour_ms)) / file}: expected the file that a published hour "
                    f"was built from, found none; the hour cannot be built again without it and stays as it is"
                )

    def withdraw_superseded(self) -> None:
        """Forget segments that a revision took the place of; the hours that hold rows of theirs are due.

        Raises:
            SpoolError: such a segment is damaged.
        """
        for name, segment in superseded(self._settings.spool_dir, self._sources, self._files).items():
            is_trade = self._is_trade(name)
            pending = self._pending(is_trade=is_trade)
            rows = self._keyed(segment_rows(segment, self._levels)[0], is_trade=is_trade)
            self._on_late(Late(is_trade, rows[pending.key], rows.select(pending.time).to_series()))
            del self._sources[name]

    def _is_trade(self, name: str) -> bool:
        return f".{self._settings.trade_stream}." in name

    def _pending(self, *, is_trade: bool) -> PendingRows:
        return self.trades if is_trade else self.books

    def read_through(self, receipt_hour_ms: int) -> None:
        """Read what is not read yet of the receipts up to an hour."""
        for name in list(self._unread):
            file, source = self._files[name], self._sources.get(name)
            if source is not None and source.size == self._sizes[name]:
                is_trade = self._is_trade(name)
                pending = self._pending(is_trade=is_trade)
                if not pending.may_hold_open(source.last_key, self.opens.of(is_trade=is_trade)):
                    self._unread.remove(name)
                    continue
            if file.hour_ms <= receipt_hour_ms:
                self._read(name)

    def read_known(self, end_ms: int) -> None:
        """Read later files known to hold ids before the first one behind `end_ms`: every row known takes part in its hour."""
        for is_trade in (True, False):
            while known := self._known_unread(is_trade=is_trade):
                first, name = min(known)
                behind = self._pending(is_trade=is_trade).take(end_ms)[1]
                if behind is not None and first > behind:
                    break
                self._read(name)

    def _known_unread(self, *, is_trade: bool) -> list[tuple[int, str]]:
        """Return the first ids and names of the unread files of a stream whose ids are known."""
        return [
            (source.first_key, name)
            for name in self._unread
            if (source := self._sources.get(name)) and source.first_key is not None and self._is_trade(name) == is_trade
        ]

    def _read(self, name: str) -> None:
        file, source, is_trade = self._files[name], self._sources.get(name), self._is_trade(name)
        if source is not None and self._sizes[name] < source.size:
            raise SpoolError(
                f"{file.folder / file.name}: expected at least the {source.size} bytes that were read before, "
                f"found {self._sizes[name]}; a spool only grows, so what was published stays as it is"
            )
        pending = self._pending(is_trade=is_trade)
        assert self.reader is not None  # noqa: S101  # whoever reads has opened the parser
        rows = self.reader.read(file, self._sizes[name])
        frame = self._keyed(rows.frame, is_trade=is_trade)
        now = source_of(frame, pending.key, pending.time, self._sizes[name], dict(rows.refused))
        built = self.built.of(is_trade=is_trade)
        is_news = source is None or source.size != self._sizes[name]
        if is_trade not in self._is_known and self._may_change_epochs(name, frame, now, is_news=is_news):
            self._find_epochs(is_trade=is_trade)
        self.news += is_news
        if built is not None and is_news:
            known = 0 if source is None else line_start(file, source.size)
            fresh = frame
            if known:
                fresh = self._keyed(self.reader.read(file, self._sizes[name], known).frame, is_trade=is_trade)
            late = fresh.filter(~pending.is_behind(built))
            if not late.is_empty():
                self._on_late(Late(is_trade, late[pending.key], late.select(pending.time).to_series()))
        self._sources[name] = now
        self.last_recv_ms = max(self.last_recv_ms, int(frame.select(pl.col("recv_ns").max()).item() or 0) // 1_000_000)
        pending.add(frame)
        self._unread.remove(name)

    def _keyed(self, frame: pl.DataFrame, *, is_trade: bool) -> pl.DataFrame:
        columns = ["trade_id"] if is_trade else ["update_id", "previous_id"]
        pending = self._pending(is_trade=is_trade)
        return with_keys(frame, openings_of(self._epochs, is_trade=is_trade), columns, pending.time)

    def _may_change_epochs(self, name: str, frame: pl.DataFrame, now: Source, *, is_news: bool) -> bool:
        """Return whether the rows of a file may open an epoch, or show that another did not open as it is known."""
        if now.first_ms is None:
            return False
        is_trade = self._is_trade(name)
        pending, openings = self._pending(is_trade=is_trade), openings_of(self._epochs, is_trade=is_trade)
        if is_news and self._epochs.undecided_ms(is_trade=is_trade) is not None:
            return True
        if is_news and openings and now.first_ms <= openings[-1].decided_ms:
            return True
        others = [
            one
            for other, one in self._sources.items()
            if other != name and one.first_ms is not None and self._is_trade(other) == is_trade
        ]
        if any(may_begin_between(now, one) for one in others):
            return True
        of_socket = frame.filter(pl.col("precedence") == 0).select(pending.key, at_ms=pending.time)
        return may_open(of_socket, pending.key)

    def _find_epochs(self, *, is_trade: bool) -> None:
        """Find the epochs of a stream from all its files.

        Raises:
            EpochsChanged: they are not those known; rows read so far are forgotten, files known have their new keys.
        """
        assert self.reader is not None  # noqa: S101  # whoever reads has opened the parser
        pending = self._pending(is_trade=is_trade)
        names = [name for name in self._files if self._is_trade(name) == is_trade]
        rows = pl.concat(
            self.reader.read(self._files[name], self._sizes[name])
            .frame.filter(pl.col("precedence") == 0)
            .select(id=pending.key, at_ms=pending.time)
            for name in names
            if not isinstance(self._files[name], SegmentFile)
        )
        self._is_known.add(is_trade)
        since_ms = None if self.has_all_files else int(rows.select(pl.col("at_ms").min()).item())
        try:
            note_found(self._epochs, find_openings(rows["at_ms"], rows["id"]), since_ms, is_trade=is_trade)
        except EpochsChanged:
            for name in set(names) & self._sources.keys():
                then = self._sources[name]
                frame = self._keyed(self.reader.read(self._files[name], self._sizes[name]).frame, is_trade=is_trade)
                self._sources[name] = source_of(frame, pending.key, pending.time, then.size, then.refused)
            self.news += 1
            raise

    def seen_ids(self) -> tuple[int, int]:
        """Return the first and last trade id read from any file; (0, -1) before the first."""
        trades = [source for name, source in self._sources.items() if self._is_trade(name)]
        return _extremes(trades)


def _extremes(sources: Iterable[Source]) -> tuple[int, int]:
    firsts = [source.first_key for source in sources if source.first_key is not None]
    lasts = [source.last_key for source in sources if source.last_key is not None]
    return (min(firsts), max(lasts)) if firsts and lasts else (0, -1)


def receipts_for(hour_ms: int, outage_ends_ms: Iterable[int]) -> int:
    """Return the last receipt hour to read before an hour is built: the next one, or where its outages end."""
    ends = [end // HOUR_MS * HOUR_MS for end in outage_ends_ms]
    return max([hour_ms, *ends]) + HOUR_MS
