"""Archive files made by tests: rows of text, zips and checksums. No market data is committed."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

DAY_MS = 1_704_412_800_000  # 2024-01-05
AGG_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
TRADES_HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"
TICKER_HEADER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"


def agg_rows(count: int, *, first_id: int = 100, start_ms: int = DAY_MS, step_ms: int = 1000) -> list[str]:
    """Return rows of um aggTrades, one each `step_ms`."""
    return [
        f"{first_id + n},{43_000 + n % 7}.1{n % 10},0.{n % 9 + 1:03d},{10 * n},{10 * n + 3},{start_ms + n * step_ms},"
        f"{'true' if n % 3 else 'false'}"
        for n in range(count)
    ]


def write_csv(path: Path, rows: Iterable[str], header: str | None = None) -> Path:
    """Write a CSV and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [*([header] if header else []), *rows]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def write_zip(
    folder: Path, stem: str, rows: Iterable[str], header: str | None = None, *, checksum: bool = True
) -> Path:
    """Write a zip as the venue publishes it, with its checksum beside it, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.zip"
    lines = [*([header] if header else []), *rows]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{stem}.csv", "".join(f"{line}\n" for line in lines))
    if checksum:
        write_checksum(path)
    return path


def write_members(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    """Write a zip with any members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def write_checksum(path: Path) -> None:
    """Write the `.CHECKSUM` of a file beside it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n", "utf-8")
