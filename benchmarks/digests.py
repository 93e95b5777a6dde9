"""Print a digest of the rows of each table of a dataset: two builds that agree here hold the same rows, bit for bit.

    python benchmarks/digests.py DATA_DIR [--columns-of OTHER_DATA_DIR]

Rows are taken in the order of their contract, floats by their bits; metadata and encoding of the files do not count.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import polars as pl

KINDS = ("prices", "ofi", "cvd", "fusion", "events")


def digest_of(folder: Path, kind: str, only: list[str] | None) -> str:
    """Return rows and SHA-256 of one table over all symbols and dates; `-` if it has no file."""
    files = sorted(folder.glob(f"date=*/symbol=*/kind={kind}/*.parquet"))
    if not files:
        return "-"
    table = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in files], how="diagonal")
    table = table.select(only or table.columns)
    if kind == "events":
        table = table.sort("symbol", "ts_ms", "event_type", "meta_json")
    else:
        table = table.sort("symbol", "ts_ms", maintain_order=True)
    floats = [name for name, dtype in table.schema.items() if dtype == pl.Float64]
    bits = table.with_columns(pl.col(name).reinterpret(signed=True) for name in floats)
    whole = hashlib.sha256()
    for name in bits.columns:
        whole.update(name.encode())
        whole.update(bits[name].hash(0).to_numpy().tobytes())
    return f"{table.height} {whole.hexdigest()[:16]}"


def main() -> None:
    """Print one line a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--columns-of", type=Path, help="compare only the columns that this dataset has")
    args = parser.parse_args()
    for kind in KINDS:
        only = None
        if args.columns_of:
            sample = next(args.columns_of.glob(f"date=*/symbol=*/kind={kind}/*.parquet"), None)
            only = None if sample is None else list(pl.read_parquet_schema(sample))
        print(f"{kind:8} {digest_of(args.data_dir, kind, only)}")


if __name__ == "__main__":
    main()
