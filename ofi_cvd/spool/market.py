"""Which market a spool is of: one spool holds one market, said once in `_spool.json` at its root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from ofi_cvd.errors import InputError, SpoolError

NAME: Final = "_spool.json"


def spool_market(root: Path) -> str | None:
    """Return the market of a spool; None if it does not say.

    Raises:
        SpoolError: the file is damaged.
    """
    path = root / NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise SpoolError(f'{path}: expected {{"market": "usdm"}} or spot, found {error}') from None
    market = found.get("market")
    return market if isinstance(market, str) else None


def check_market(root: Path, market: str) -> None:
    """Refuse a market that is not the spool's.

    Raises:
        InputError: the spool is of another market.
        SpoolError: `_spool.json` is damaged.
    """
    found = spool_market(root)
    if found is not None and found != market:
        raise InputError(
            f"{root}: expected data of the market {found}, as {NAME} says, found {market}; "
            f"use another SPOOL_DIR, or --set MARKET={found}"
        )


def claim_market(root: Path, market: str) -> None:
    """Write the market of a spool that does not say it yet.

    Raises:
        InputError: the spool is of another market.
        SpoolError: `_spool.json` is damaged.
        OSError: the disk refused.
    """
    check_market(root, market)
    if spool_market(root) is None:
        root.mkdir(parents=True, exist_ok=True)
        beside = root / f".{NAME}.{os.getpid()}.tmp"
        beside.write_bytes(msgspec.json.encode({"market": market}) + b"\n")
        beside.replace(root / NAME)
