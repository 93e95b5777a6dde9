"""The demo's folder is emptied only where a demo made it, and no variable of the user decides anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from ofi_cvd.demo.folder import Act, fresh_folder
from ofi_cvd.errors import InputError


def test_an_earlier_demo_is_cleared(tmp_path: Path) -> None:
    folder = fresh_folder(tmp_path / "a" / "demo")
    (folder / "live" / "spool").mkdir(parents=True)
    (folder / "note").write_text("x", "utf-8")
    fresh_folder(folder)
    assert [path.name for path in folder.iterdir()] == [".made-by-ofi-demo"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert fresh_folder(tmp_path) == tmp_path
    assert (tmp_path / ".made-by-ofi-demo").is_file()


def test_the_folder_of_somebody_else_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x", "utf-8")
    with pytest.raises(InputError, match="expected an empty folder or that of an earlier demo"):
        fresh_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("x", "utf-8")
    with pytest.raises(InputError):
        fresh_folder(tmp_path / "demo")


def test_a_link_inside_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x", "utf-8")
    folder = fresh_folder(tmp_path / "demo")
    try:
        (folder / "link").symlink_to(tmp_path / "precious", target_is_directory=True)
    except OSError:
        pytest.skip("this system does not let us make links")
    fresh_folder(folder)
    assert (tmp_path / "precious" / "file").is_file()


def test_an_act_reads_no_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFI_WIN_SECS", "7")
    monkeypatch.setenv("SYMBOLS", "DOGEUSDT")
    act = Act.below(tmp_path, "live", trade_stream="trade")
    assert (act.settings.win_secs, act.settings.trade_stream) == (300, "trade")
    assert act.settings.symbols[0] == "BTCUSDT"
    assert act.settings.spool_dir == tmp_path / "live" / "spool"
