"""The checkpoint: what is published, what it was built from, and which state opens each hour.

See docs/specification/hours.md#checkpoint.

It can be deleted: the next build computes it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ofi_cvd.common import files
from ofi_cvd.errors import PublishError, UsageError
from ofi_cvd.features.epochs import Opening
from ofi_cvd.features.gaps import IdGap
from ofi_cvd.publish.basis import Basis, Position
from ofi_cvd.schemas import SPEC_VERSION, Kind

VERSION: Final = 2
NAME: Final = "checkpoint.json"
BUILD_LOCK: Final = "build.lock"  # held by whoever changes the dataset


class Slice(msgspec.Struct):
    """One published slice: rows and a digest by kind; a kind without rows has no file and is not listed."""

    end_ms: int
    rows: dict[Kind, int] = {}
    digests: dict[Kind, str] = {}


class Source(msgspec.Struct):
    """One logical spool file as it was when it was last read.

    Attributes:
        size: plain bytes read.
        first_key, last_key: smallest and largest id among its readable rows; None without one.
        refused: lines not readable, by reason.
        first_ms: earliest time among its websocket rows; None without one.
    """

    size: int
    first_key: int | None = None
    last_key: int | None = None
    refused: dict[str, int] = {}
    first_ms: int | None = None


class HourEntry(msgspec.Struct):
    """One hour of one symbol.

    Attributes:
        slices: published slices by start in ms.
        slice_secs: their length.
        final: nothing but late or repaired rows, or another opening, can change it.
        is_kept: a file it was built from is gone, so that it stays as it is.
        basis: what it was built from beside its own rows.
        trades_from_id: id of its first trade row; None without one.
        trades_to, updates_to: positions of the last rows up to its end; None before the first.
        first_trade_ms: time of its first admitted trade; None without one.
        state, state_digest: file of the state that opens the next hour, and the digest of all it opens with.
        history_digest: SHA-256 of the file with the hour's own volatility and counts.
        reject_reasons: rows not admitted, by reason.
        id_gaps: trade ids never seen just before one of its rows.
    """

    slices: dict[int, Slice] = {}
    slice_secs: int = 3600
    final: bool = False
    is_kept: bool = False
    basis: Basis = Basis()
    trades_from_id: int | None = None
    updates_from_id: int | None = None
    trades_to: Position | None = None
    updates_to: Position | None = None
    first_trade_ms: int | None = None
    state: str = ""
    state_digest: str = ""
    history_digest: str = ""
    reject_reasons: dict[str, int] = {}
    id_gaps: list[IdGap] = []


class Epochs(msgspec.Struct):
    """The epochs of one symbol's streams.

    Attributes:
        trades, updates: the rows that open one.
        trades_undecided_ms, updates_undecided_ms: time of the first row that may open one, and too few rows say so yet.
    """

    trades: list[Opening] = []
    updates: list[Opening] = []
    trades_undecided_ms: int | None = None
    updates_undecided_ms: int | None = None

    def undecided_ms(self, *, is_trade: bool) -> int | None:
        """Return from when on one stream may be in another epoch."""
        return self.trades_undecided_ms if is_trade else self.updates_undecided_ms

    def is_decided(self, end_ms: int) -> bool:
        """Return whether it is known in which epochs the rows before an instant are."""
        undecided = (self.trades_undecided_ms, self.updates_undecided_ms)
        return all(at_ms is None or at_ms >= end_ms for at_ms in undecided)


class SymbolEntry(msgspec.Struct):
    """Everything about one symbol.

    Attributes:
        hours: by start in ms.
        sources: by `hour_ms/name`.
        epochs: where the ids of its streams began anew; every id kept here is a key (see `ofi_cvd.features.epochs`).
        ahead: id gaps seen behind the last hour.
        late: hours that rows belong to which they were not built with.
        last_recv_ms: latest receipt read.
        last_event_ms: latest event known, of either stream; -1 before the first.
        done: whether everything that was read is in an hour; false where a build was interrupted.
    """

    hours: dict[int, HourEntry] = {}
    sources: dict[str, Source] = {}
    epochs: Epochs = msgspec.field(default_factory=Epochs)
    ahead: list[IdGap] = []
    late: list[int] = []
    last_recv_ms: int = 0
    last_event_ms: int = -1
    done: bool = False


class Checkpoint(msgspec.Struct):
    """The whole file."""

    params_fingerprint: str
    package_version: str
    symbols: dict[str, SymbolEntry] = {}
    version: int = VERSION
    spec_version: str = "1"  # of a checkpoint that does not say


def load(state_dir: Path) -> Checkpoint | None:
    """Return the checkpoint; None if there is none yet.

    Raises:
        PublishError: there is one, and it cannot be read.
    """
    path = state_dir / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Checkpoint, strict=False)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise PublishError(
            f"{path}: expected a checkpoint of this version, found {error}; delete it and build again, no row is lost"
        ) from None


def save(checkpoint: Checkpoint, state_dir: Path) -> None:
    """Write the checkpoint whole.

    Raises:
        PublishError: the folder cannot be written.
    """
    write_whole(state_dir / NAME, msgspec.json.encode(checkpoint))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of the dataset or its state so that it appears whole and stays.

    Raises:
        PublishError: it cannot be written; a file that was there before is untouched.
    """
    try:
        files.write_whole(path, data)
    except OSError as error:
        raise PublishError(
            f"{path}: could not be written ({error.strerror or error}); what was there is untouched"
        ) from None


def check_parameters(checkpoint: Checkpoint, fingerprint: str) -> None:
    """Refuse to mix rows of different parameters, or of different definitions, in one dataset.

    Raises:
        UsageError: the dataset was built with other parameters or with another version of the specification.
    """
    refuse_others(checkpoint.params_fingerprint, fingerprint, checkpoint.spec_version)


def refuse_others(found: str, asked: str, spec_version: str) -> None:
    """Refuse to continue parts of another fingerprint or of another version of the specification.

    Raises:
        UsageError: one of the two differs.
    """
    if found != asked:
        raise UsageError(
            f"expected the parameters the dataset was built with (fingerprint {found[:12]}), "
            f"found others ({asked[:12]}); use --rebuild for all symbols, or another DATA_DIR and STATE_DIR"
        )
    if spec_version != SPEC_VERSION:
        raise UsageError(
            f"expected a dataset of specification {SPEC_VERSION}, found parts of specification {spec_version}; "
            f"use --rebuild for all symbols, or another DATA_DIR and STATE_DIR"
        )
