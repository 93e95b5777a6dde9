"""Many JSON lines at once: columns of fixed-width text, then one pass that drops the padding.

A column is a numpy array of bytes (`S<width>`), padded with NUL.  NUL never
occurs in JSON, so a block of records becomes text by deleting every NUL.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Ints: TypeAlias = NDArray[np.int64]
Texts: TypeAlias = NDArray[np.bytes_]

_CHUNK_ROWS = 2048  # records of a chunk stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Ladder:
    """The levels of one book side: price and size texts, rows by levels."""

    prices: Texts
    sizes: Texts


def integer_texts(values: Ints) -> Texts:
    """Return the decimal text of non-negative integers, NUL-padded on the left."""
    if not values.size:
        return np.zeros(0, dtype="S1")
    width = len(str(int(values.max())))
    narrowest = len(str(int(values.min())))
    out = _zero_padded(values, width)
    for column in range(width - narrowest):
        out[values < 10 ** (width - 1 - column), column] = 0
    return out.view(f"S{width}")[:, 0]


def decimal_texts(values: Ints, decimals: int) -> Texts:
    """Return the text of `values` counted in units of the last of `decimals` places."""
    if not decimals or not values.size:
        return integer_texts(values)
    unit = 10**decimals
    whole = values // unit
    head = integer_texts(whole)
    out = np.zeros((values.size, head.itemsize + 1 + decimals), dtype=np.uint8)
    out[:, : head.itemsize] = head.view(np.uint8).reshape(values.size, -1)
    out[:, head.itemsize] = ord(".")
    out[:, head.itemsize + 1 :] = _zero_padded(values - whole * unit, decimals)
    return out.view(f"S{out.shape[1]}")[:, 0]


def grid_texts(ticks: Ints, units: int, decimals: int) -> Texts:
    """Return the texts of grid points (`ticks` times `units`), any shape, through a table.

    Meant for prices: many values on few neighbouring grid points.
    """
    if not ticks.size:
        return np.zeros(ticks.shape, dtype="S1")
    low, high = int(ticks.min()), int(ticks.max())
    table = decimal_texts(np.arange(low, high + 1, dtype=np.int64) * units, decimals)
    return table.take(ticks - low)


@cache
def size_table(count: int, units: int, decimals: int) -> Texts:
    """Return the texts of 0, 1, ... `count` - 1 lots; built once per process."""
    return decimal_texts(np.arange(count, dtype=np.int64) * units, decimals)


def choose(flags: NDArray[np.bool_], yes: bytes, no: bytes) -> Texts:
    """Return `yes` where the flag is set, else `no`."""
    return np.array([no, yes])[flags.astype(np.int8)]


def render(stop: int, parts: Sequence[bytes | Texts | Ladder], *, first: int = 0) -> bytes:
    """Return the records `first` to `stop` (exclusive), each the concatenation of `parts`.

    A `bytes` part stands in every record; columns and ladders give one value
    per record.  End the parts with a newline to get lines.
    """
    return b"".join(render_chunks(stop, parts, first=first))


def render_chunks(stop: int, parts: Sequence[bytes | Texts | Ladder], *, first: int = 0) -> Iterator[bytes]:
    """Yield what `render` returns, a few thousand records at a time."""
    if first >= stop:
        return
    dtype = np.dtype([(f"f{i}", _part_dtype(part)) for i, part in enumerate(parts)])
    blank = np.zeros(1, dtype=dtype)
    for i, part in enumerate(parts):
        if isinstance(part, bytes):
            blank[f"f{i}"] = part
        elif isinstance(part, Ladder):
            _write_brackets(blank[f"f{i}"])
    chunk = np.empty(min(stop - first, _CHUNK_ROWS), dtype=dtype)
    raw, raw_blank = chunk.view(np.uint8).reshape(chunk.size, -1), blank.view(np.uint8)
    for start in range(first, stop, _CHUNK_ROWS):
        end = min(start + _CHUNK_ROWS, stop)
        raw[:] = raw_blank
        block = chunk[: end - start]
        for i, part in enumerate(parts):
            if isinstance(part, Ladder):
                block[f"f{i}"]["price"] = part.prices[start:end]
                block[f"f{i}"]["size"] = part.sizes[start:end]
            elif not isinstance(part, bytes):
                block[f"f{i}"] = part[start:end]
        yield block.tobytes().translate(None, b"\0")


def _zero_padded(values: Ints, width: int) -> NDArray[np.uint8]:
    words = -(-width // 4)
    out = np.empty((values.size, words), dtype="S4")
    rest = values
    for word in range(words - 1, -1, -1):
        higher = rest // 10_000
        out[:, word] = _four_digits().take(rest - higher * 10_000)
        rest = higher
    digits = out.view(np.uint8).reshape(values.size, words * 4)
    return np.ascontiguousarray(digits[:, words * 4 - width :])


@cache
def _four_digits() -> Texts:
    return np.array([f"{n:04d}".encode() for n in range(10_000)])


def _part_dtype(part: bytes | Texts | Ladder) -> np.dtype[np.void] | np.dtype[np.bytes_]:
    if isinstance(part, bytes):
        return np.dtype(f"S{len(part)}")
    if not isinstance(part, Ladder):
        return np.dtype(f"S{part.itemsize}")
    level = np.dtype(
        [
            ("open", "S3"),
            ("price", f"S{part.prices.itemsize}"),
            ("between", "S3"),
            ("size", f"S{part.sizes.itemsize}"),
            ("close", "S2"),
        ]
    )
    return np.dtype((level, (part.prices.shape[1],)))


def _write_brackets(ladder: NDArray[np.void]) -> None:
    ladder["open"] = b',["'
    ladder["open"][:, 0] = b'["'
    ladder["between"] = b'","'
    ladder["close"] = b'"]'
