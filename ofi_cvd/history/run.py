"""`ofi import`: finds the format of each file and brings it into the spool; a bad file stops none of the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ofi_cvd.errors import InputError
from ofi_cvd.history.archive import open_archive
from ofi_cvd.history.detect import Format, detect
from ofi_cvd.history.hftbacktest import ImportReport, import_hftbacktest
from ofi_cvd.history.importing import InputReport, Rows, import_rows
from ofi_cvd.history.inputs import InputFile
from ofi_cvd.history.tardis import open_tardis

Advance = Callable[[Path, int], None]


@dataclass
class History:
    """What an import of several files did.

    Attributes:
        inputs: files that became segments, in the order they were given.
        captures: what came in as lines of the spool; None without captures.
        faults: a sentence for each file that could not be imported.
    """

    inputs: list[InputReport] = field(default_factory=list)
    captures: ImportReport | None = None
    faults: list[str] = field(default_factory=list)


def import_files(
    files: Sequence[Path],
    spool_dir: Path,
    *,
    wanted: Format | None = None,
    symbol: str | None = None,
    symbols: Collection[str] | None = None,
    streams: Collection[str] | None = None,
    progress: Advance | None = None,
) -> History:
    """Import files of any known format; repeating it adds nothing.

    Args:
        files: the files.
        spool_dir: the spool.
        wanted: the format, by default found by looking at each file.
        symbol: the symbol of files whose names do not say it.
        symbols: of captures, the symbols to take; by default all.
        streams: of captures, the streams to take; by default those that a recorder may record.
        progress: called with a file and how many of its bytes have been read.

    Raises:
        SpoolError: the disk refused, or the spool is damaged; what was imported before stays.
        InputError: `streams` names one the spool has no files for.
    """
    history = History()
    captures: list[Path] = []
    for path in files:
        try:
            kind = wanted or detect(path)
            if kind == "hftbacktest":
                captures.append(path)
                continue
            report = import_rows(_opened(path, kind, symbol), spool_dir, _advance(path, progress))
        except InputError as error:
            history.faults.append(str(error))
        else:
            history.inputs.append(report)
    if captures:
        history.captures = import_hftbacktest(
            captures,
            spool_dir,
            streams=streams,
            symbols=symbols,
            progress=(lambda capture: progress(capture.path, capture.position)) if progress else None,
        )
        history.faults += history.captures.faults
    return history


def _opened(path: Path, kind: Format, symbol: str | None) -> Rows:
    file = InputFile(path)
    file.verify()
    return open_archive(file, symbol) if kind == "binance-archive" else open_tardis(file, symbol)


def _advance(path: Path, progress: Advance | None) -> Callable[[InputFile], None] | None:
    return (lambda file: progress(path, file.position)) if progress else None
