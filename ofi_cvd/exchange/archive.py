"""The exchange's archive: the paths of the venue's public files, from a folder or from the trades emitted so far.

Files of a folder lie below it as on the venue's host (`data/futures/um/daily/...`) or flat by name. Without a checksum file
beside it, a file's checksum is computed. Answers to `Range: bytes=N-` go on from byte N.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ofi_cvd.binance.archive import ArchiveName, archive_path, parse_name
from ofi_cvd.exchange.history import History, RestTrade
from ofi_cvd.exchange.reply import Reply
from ofi_cvd.exchange.routes import Venue

PREFIX: Final = "/data/"
_PATH: Final = re.compile(
    r"/data/(?:spot|futures/um)/(?:daily|monthly)/[A-Za-z]+/[A-Z0-9_]+/([A-Za-z0-9_-]+\.zip)(\.CHECKSUM)?"
)
_RANGE: Final = re.compile(r"bytes=(\d{1,15})-")
_MOST_TRADES: Final = 10_000_000
_HEADER: Final = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"


class Archive:
    """What is served below `/data/`.

    Args:
        venue: whose paths and layouts.
        histories: the trades emitted so far, by symbol; a daily file of aggTrades is made of them on request.
        folder: serve the files of this folder instead.
    """

    def __init__(self, venue: Venue, histories: Mapping[str, History], folder: Path | None = None) -> None:
        self._venue, self._histories, self._folder = venue, histories, folder
        self._made: dict[str, bytes] = {}

    def answer(self, target: str, range_header: str | None = None) -> Reply:
        """Return the file of a path, or its checksum."""
        match = _PATH.fullmatch(target.partition("?")[0])
        name = parse_name(match[1]) if match else None
        if match is None or name is None or f"/{archive_path(self._venue, name)}" != target.removesuffix(".CHECKSUM"):
            return _missing(target)
        data = self._from_folder(name) if self._folder else self._from_trades(name)
        if data is None:
            return _missing(target)
        if match[2]:
            return Reply(200, self._checksum(name, data))
        return _part(data, range_header)

    def _from_folder(self, name: ArchiveName) -> bytes | None:
        path = self._find(f"{name.stem}.zip", name)
        return path.read_bytes() if path else None

    def _checksum(self, name: ArchiveName, data: bytes) -> bytes:
        beside = self._find(f"{name.stem}.zip.CHECKSUM", name) if self._folder else None
        if beside:
            return beside.read_bytes()
        return f"{hashlib.sha256(data).hexdigest()}  {name.stem}.zip\n".encode()

    def _find(self, file: str, name: ArchiveName) -> Path | None:
        assert self._folder is not None  # noqa: S101  # asked only where there is one
        places = (self._folder / archive_path(self._venue, name), self._folder / file)
        return next((place.with_name(file) for place in places if place.with_name(file).is_file()), None)

    def _from_trades(self, name: ArchiveName) -> bytes | None:
        """Return a day of aggTrades as the venue would publish it; a file once made stays as it is."""
        history = self._histories.get(name.symbol)
        if history is None or name.data_set != "aggTrades" or name.is_monthly:
            return None
        if name.stem not in self._made:
            start_ms, end_ms = name.span_ms
            trades = history.between(start_ms, end_ms - 1, _MOST_TRADES)
            if not trades:
                return None
            self._made[name.stem] = _zipped(name.stem, trades, self._venue)
        return self._made[name.stem]


def _zipped(stem: str, trades: list[RestTrade], venue: Venue) -> bytes:
    is_spot = venue == "spot"
    lines = [] if is_spot else [_HEADER]
    for trade in trades:
        flag = str(trade["m"]) if is_spot else str(trade["m"]).lower()
        time = int(str(trade["T"])) * (1000 if is_spot else 1)  # spot files are in microseconds since 2025
        cells = [*(str(trade[key]) for key in "apqfl"), str(time), flag, *(["True"] if is_spot else [])]
        lines.append(",".join(cells))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(f"{stem}.csv")  # without the time of day: the same trades, the same bytes
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, "\n".join([*lines, ""]))
    return packed.getvalue()


def _part(data: bytes, range_header: str | None) -> Reply:
    match = _RANGE.fullmatch(range_header or "")
    if match is None:
        return Reply(200, data, {"Accept-Ranges": "bytes"})
    start = int(match[1])
    if start >= len(data):
        return Reply(416, b"", {"Content-Range": f"bytes */{len(data)}"})
    return Reply(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})


def _missing(target: str) -> Reply:
    return Reply(404, f"<Error><Code>NoSuchKey</Code><Key>{target[:200]!a}</Key></Error>".encode())
