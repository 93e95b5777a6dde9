"""The demo's own folder: emptied when it was made by an earlier demo, refused when it was not."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ofi_cvd.errors import InputError
from ofi_cvd.settings import Settings

_MARK: Final = ".made-by-ofi-demo"


def fresh_folder(path: Path) -> Path:
    """Return `path` as an empty folder; what an earlier demo left there is removed.

    Raises:
        InputError: something is there that no demo made, or the folder cannot be written.
    """
    mark = path / _MARK
    try:
        if path.exists() and not mark.is_file() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"--dir: expected an empty folder or that of an earlier demo, found {path}")
        if mark.is_file():
            for entry in path.iterdir():
                if entry != mark:
                    _remove(entry)
        path.mkdir(parents=True, exist_ok=True)
        mark.write_text("`ofi demo` empties this folder before it writes to it.\n", "utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"--dir: expected a folder that can be written, found {error}") from None
    return path


@dataclass(frozen=True)
class Act:
    """One act of the demo: its folder and the settings that write there; no file or variable of the user decides."""

    folder: Path
    settings: Settings

    @classmethod
    def below(cls, root: Path, name: str, **values: object) -> Act:
        """Return the act `name` with its spool, dataset, states and reports below `root`."""
        folder = root / name
        paths = {
            "spool_dir": folder / "spool",
            "data_dir": folder / "ofi_cvd",
            "state_dir": folder / "state",
            "artifacts_dir": folder / "artifacts",
        }
        return cls(folder, Settings(**{**paths, **values}))  # type: ignore[arg-type]  # pydantic checks every value


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
