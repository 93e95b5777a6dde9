"""Measure `ofi build` on a simulated spool against the floor: DuckDB merely parsing the same spool in the same run.

    python benchmarks/build.py --hours 72

Two floors are measured, each with all cores and nothing kept: `frames` parses every line into the nested frame it is and
hands it over as Arrow, `fields` extracts just the flat columns the build reads. The ratio that counts is to `frames`.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import duckdb
import psutil

from ofi_cvd.binance import frames
from ofi_cvd.spool.layout import list_files
from ofi_cvd.spool.reader import parts

# A DuckDB struct cannot hold keys that differ only in case, so `e` and `U` are left out.
NESTED = {
    "aggTrade": "E BIGINT, s VARCHAR, a BIGINT, p VARCHAR, q VARCHAR, nq VARCHAR, f BIGINT, l BIGINT, T BIGINT, m BOOLEAN",
    "depth10@100ms": "E BIGINT, T BIGINT, s VARCHAR, ps VARCHAR, u BIGINT, pu BIGINT, b VARCHAR[][], a VARCHAR[][]",
}


def floor_frames(spool: Path) -> tuple[float, int]:
    """Parse every frame whole into Arrow; return seconds and lines."""
    began, lines = time.perf_counter(), 0
    with duckdb.connect() as connection:
        for file in list_files(spool):
            data = f"STRUCT({NESTED[file.stream]})"
            query = f"""SELECT * FROM read_json($paths, format = 'newline_delimited', maximum_object_size = 4194304,
                ignore_errors = true, columns = {{recv_ns: 'BIGINT', conn: 'VARCHAR', stream: 'VARCHAR', data: '{data}'}})"""
            paths = [str(path) for path in parts(file)]
            lines += connection.sql(query, params={"paths": paths}).to_arrow_table().num_rows
    return time.perf_counter() - began, lines


def floor_fields(spool: Path) -> float:
    """Extract the flat columns the build reads; return seconds."""
    began = time.perf_counter()
    with duckdb.connect() as connection:
        for file in list_files(spool):
            if file.stream == "aggTrade":
                frames.read_trades(connection, parts(file), file.stream)
            else:
                frames.read_books(connection, parts(file), file.stream, levels=5, market="usdm")
    return time.perf_counter() - began


class Memory:
    """Samples the resident memory of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._process, self._stop = psutil.Process(pid), threading.Event()
        self.peak = 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                continue


def run(arguments: list[str]) -> tuple[float, int]:
    """Run `ofi` and return seconds and peak bytes."""
    began = time.perf_counter()
    with (
        subprocess.Popen([sys.executable, "-m", "ofi_cvd", *arguments], stdout=subprocess.DEVNULL) as process,
        Memory(process.pid) as memory,
    ):
        code = process.wait()
    if code:
        raise SystemExit(f"ofi {arguments[0]} ended with {code}")
    return time.perf_counter() - began, memory.peak


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=72)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep spool and dataset here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ofi-bench-") as scratch:
        root = chosen.folder or Path(scratch)
        spool, data, state = root / "spool", root / "data", root / "state"
        if not spool.exists():
            run(["simulate", "--hours", str(chosen.hours), "--seed", str(chosen.seed), "--out", str(spool)])
        spool_bytes = sum(path.stat().st_size for path in spool.rglob("*.ndjson"))
        seconds_frames, lines = floor_frames(spool)
        seconds_fields = floor_fields(spool)
        folders = ["--spool-dir", str(spool), "--data-dir", str(data), "--state-dir", str(state)]
        seconds, peak = run(["build", "--rebuild", *folders])
        again_frames, _ = floor_frames(spool)
        floor = (seconds_frames + again_frames) / 2
        parquet = list(data.rglob("*.parquet"))
        rows = duckdb.sql(
            f"SELECT count(*) FROM read_parquet('{data.as_posix()}/**/*.parquet', union_by_name = true)"
        ).fetchall()[0][0]
        figures = {
            "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
            "hours": chosen.hours,
            "messages": lines,
            "spool_gb": round(spool_bytes / 1e9, 2),
            "floor_frames_s": [round(seconds_frames, 1), round(again_frames, 1)],
            "floor_fields_s": round(seconds_fields, 1),
            "build_s": round(seconds, 1),
            "ratio": round(seconds / floor, 2),
            "ratio_to_fields": round(seconds / seconds_fields, 2),
            "messages_per_s": round(lines / seconds),
            "peak_rss_mib": round(peak / 2**20),
            "rows": rows,
            "bytes_per_row": round(sum(path.stat().st_size for path in parquet) / rows, 1),
            "state_mb": round(sum(path.stat().st_size for path in state.rglob("*.parquet")) / 1e6, 1),
        }
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
