"""Write frames and ledger records as a spool on disk, the way section 2 lays it out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

HOUR_MS = 3_600_000


def write_spool(
    root: Path, frames: Iterable[Mapping[str, object]], ledger: Iterable[Mapping[str, object]] = ()
) -> None:
    """Append frames to the files of their hours under `root`, and ledger records to the ledgers of theirs.

    Lines keep the order they are given in.  A frame belongs to the hour of its receipt, a repaired trade to the hour
    of its `T`; a repaired trade without a readable `T` stays in the hour it was fetched.
    """
    for frame in frames:
        symbol, _, stream = str(frame["stream"]).partition("@")
        repaired = frame.get("conn") == "rest"
        name = f"{symbol.upper()}.{stream}{'.repair' if repaired else ''}.ndjson"
        hour_of = (_trade_ms(frame) if repaired else None) or _recv_ms(frame)
        _append(hour_folder(root, hour_of) / name, spool_line(frame))
    for record in ledger:
        _append(hour_folder(root, _recv_ms(record)) / "_ledger.ndjson", compact(record))


def hour_folder(root: Path, ms: int) -> Path:
    """Return the folder of the UTC hour that an instant lies in."""
    hour = datetime.fromtimestamp(ms // HOUR_MS * HOUR_MS // 1_000, tz=UTC)
    return root / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}"


def spool_line(frame: Mapping[str, object]) -> str:
    """Return the line of a frame, its four keys in the order the recorder writes them."""
    return compact({key: frame[key] for key in ("recv_ns", "conn", "stream", "data")})


def compact(value: object) -> str:
    """Return JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_lines(path: Path) -> list[dict[str, object]]:
    """Return the JSON objects of a file, one a line; a file that is not there has none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _recv_ms(record: Mapping[str, object]) -> int:
    return int(str(record["recv_ns"])) // 1_000_000


def _trade_ms(frame: Mapping[str, object]) -> int | None:
    data = frame.get("data")
    trade_ms = data.get("T") if isinstance(data, Mapping) else None
    return trade_ms if isinstance(trade_ms, int) and not isinstance(trade_ms, bool) else None


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(line + "\n")
