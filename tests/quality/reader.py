"""A reader in a process of its own: counts the rows of a dataset until it is told to stop."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ofi_cvd import open_dataset


def main(data: str, stop: str) -> None:
    """Say `ready` after the first answer, then ask until the file `stop` exists; say the answers as a JSON list."""
    answers: list[list[int]] = []
    with open_dataset(data) as dataset:
        while True:
            last = Path(stop).exists()
            row = dataset.sql("SELECT count(*)::BIGINT AS n, sum(ts_ms % 1000003)::BIGINT AS total FROM prices").row(0)
            answers.append([int(value) for value in row])
            if len(answers) == 1:
                sys.stdout.write("ready\n")
                sys.stdout.flush()
            if last:
                break
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
