"""Which streams a spool has, recorded or imported, and the settings that a build of them needs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.segments import ImportedInput, inputs_in_force, is_covered, list_segments

TRADE_STREAMS = ("aggTrade", "trade")
_NOT_BOOKS = frozenset({*TRADE_STREAMS, "depthSnapshot", "forceOrder", "markPrice@1s"})


def streams_of_spool(root: Path, symbols: Collection[str] | None = None) -> dict[str, set[str]]:
    """Return the streams that the spool has something of, by symbol."""
    found: dict[str, set[str]] = {}
    for file in list_files(root, symbols=symbols):
        found.setdefault(file.symbol, set()).add(file.stream)
    for segment in list_segments(root, inputs_in_force(read_ledger(root)), symbols=symbols):
        found.setdefault(segment.symbol, set()).add(segment.stream)
    return found


def is_imported(inputs: Collection[ImportedInput], symbol: str, settings: Settings, end_ms: int) -> bool:
    """Return whether inputs of the trade stream and of the book source, where there is one, cover an hour's end."""
    streams = {settings.trade_stream, settings.source} - {"none"}
    return all(is_covered(inputs, symbol, stream, end_ms) for stream in streams)


def matching_settings(streams: dict[str, set[str]], settings: Settings) -> dict[str, str]:
    """Return the settings, by name, that must change so that a build finds the streams that are there.

    The streams asked for stay where the spool has them; else the first of its trade streams and its best book source are
    taken, or BOOK_SOURCE=none where there are no books.
    """
    there = set[str]().union(*streams.values())
    pairs = {}
    if settings.trade_stream not in there:
        other = next((one for one in TRADE_STREAMS if one in there), None)
        if other:
            pairs["TRADE_STREAM"] = other
    if settings.source not in there and settings.source != "none":
        books = sorted(there - _NOT_BOOKS, key=_usefulness)
        pairs["BOOK_SOURCE"] = books[0] if books else "none"
    return pairs


def missing_streams(settings: Settings) -> str:
    """Return the sentence for a spool that has neither of the two streams asked for: what it has, and what to set."""
    wanted = f"{settings.trade_stream} or {settings.source} of {', '.join(settings.symbols)} below {settings.spool_dir}"
    mine, everything = streams_of_spool(settings.spool_dir, settings.symbols), streams_of_spool(settings.spool_dir)
    there = mine or everything
    if not there:
        return f"expected {wanted}, found nothing; record with `ofi collect`, or bring history in with `ofi import`"
    found = "; ".join(f"{', '.join(sorted(streams))} of {symbol}" for symbol, streams in sorted(there.items()))
    symbols = "" if mine else f" --symbols {','.join(sorted(everything))}"
    pairs = "".join(f" --set {name}={value}" for name, value in matching_settings(there, settings).items())
    return f"expected {wanted}, found {found}; build what is there with `ofi build{symbols}{pairs}`"


def _usefulness(stream: str) -> tuple[int, str]:
    """Sort partial depth before best quotes before diffs, and within each the deepest first."""
    order = ("depth20", "depth10", "depth5", "tardisBook25", "tardisBook5", "bookTicker", "tardisTicker", "tardisL2")
    return next((at for at, name in enumerate(order) if stream.startswith(name)), len(order)), stream
