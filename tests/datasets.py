"""Build a dataset from frames and read its tables back as rows, for comparison with the oracle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import polars as pl

from ofi_cvd.publish.parts import current_parts
from ofi_cvd.publish.run import build
from ofi_cvd.schemas import KINDS, TABLES, Kind
from ofi_cvd.settings import Settings, load
from tests.spool_files import write_spool

Rows: TypeAlias = list[dict[str, object]]
Tables: TypeAlias = dict[Kind, Rows]


def settings_for(root: Path, params: Mapping[str, object], symbol: str = "BTCUSDT") -> Settings:
    """Return settings with every folder below `root`."""
    folders = {"spool_dir": root / "spool", "data_dir": root / "data", "state_dir": root / "state"}
    options = {name.lower(): value for name, value in params.items()}
    return load({"symbols": symbol, **folders, **options}, environ={}, toml=root / "none.toml").settings


def build_frames(
    root: Path,
    frames: Iterable[Mapping[str, object]],
    ledger: Iterable[Mapping[str, object]],
    params: Mapping[str, object],
    symbol: str = "BTCUSDT",
) -> Tables:
    """Write a spool, build it in this process and return its tables."""
    write_spool(root / "spool", frames, ledger)
    settings = settings_for(root, params, symbol)
    build(settings, workers=1)
    return tables_of(settings.data_dir)


def tables_of(data_dir: Path, symbol: str | None = None) -> Tables:
    """Return the published rows of every table, in the order the table promises."""
    return {kind: frame.to_dicts() for kind, frame in frames_of(data_dir, symbol).items()}


def frames_of(data_dir: Path, symbol: str | None = None) -> dict[Kind, pl.DataFrame]:
    """Return the published tables as frames, parts in time order."""
    found = {}
    for kind in KINDS:
        parts = current_parts(data_dir, kinds=[kind], symbols=[symbol] if symbol else None)
        frames = [pl.read_parquet(part.path) for part in sorted(parts, key=lambda part: (part.symbol, part.start_ms))]
        found[kind] = pl.concat([pl.DataFrame(schema=TABLES[kind].schema), *frames])
    return found


def assert_same_tables(found: Tables, wanted: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
    """Compare all rows and columns; floats may differ in the ninth digit, nulls and zeros may not differ at all."""
    for kind in KINDS:
        names = TABLES[kind].schema.names()
        assert len(found[kind]) == len(wanted[kind]), f"{kind}: {len(found[kind])} rows, expected {len(wanted[kind])}"
        for i, (row, other) in enumerate(zip(found[kind], wanted[kind], strict=True)):
            for name in names:
                assert same(row[name], other[name]), (
                    f"{kind}[{i}].{name}: found {row[name]!r}, expected {other[name]!r} in {other}"
                )


def same(found: object, wanted: object) -> bool:
    """Return whether two cells are the same value."""
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, float) and isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=0.0 if 0 in (found, wanted) else 1e-15)
    if isinstance(found, str) and isinstance(wanted, str) and found.startswith("{"):
        return _same_meta(json.loads(found), json.loads(wanted))
    return type(found) is type(wanted) and found == wanted


def _same_meta(found: dict[str, object], wanted: dict[str, object]) -> bool:
    return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in found)
