"""The spool's reading end in one import: where files are, what they hold, what the ledger says (SPEC section 2)."""

from __future__ import annotations

from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.spool.hours import (
    SNAPSHOT_STREAM,
    SpoolFile,
    find_file,
    hour_dir,
    hour_of_ns,
    is_stream,
    is_symbol,
    ledger_path,
    list_files,
    list_hours,
    stream_path,
)
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.reader import copy_tail, line_start, parts, plain_size, read_bytes_from, read_lines

__all__ = [
    "HOUR_MS",
    "SNAPSHOT_STREAM",
    "SpoolFile",
    "copy_tail",
    "find_file",
    "hour_dir",
    "hour_of_ns",
    "is_stream",
    "is_symbol",
    "ledger_path",
    "line_start",
    "list_files",
    "list_hours",
    "parts",
    "plain_size",
    "read_bytes_from",
    "read_ledger",
    "read_lines",
    "stream_path",
]
