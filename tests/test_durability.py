"""What is written survives: on a file system that forgets what was not synced, every rename is preceded and followed by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ofi_cvd.common.files import write_whole
from ofi_cvd.harvest import run as runs
from ofi_cvd.publish.compact import compact
from ofi_cvd.publish.run import build
from ofi_cvd.quality.report import encode, write_text
from ofi_cvd.settings import Settings
from tests.datasets import settings_for
from tests.spool_files import write_spool

START_MS = 1_767_614_400_000

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="asks the system for the names of open files"
)


@dataclass
class Journal:
    """Syncs and renames below a folder, in order."""

    root: Path
    events: list[tuple[str, str, str]] = field(default_factory=list)

    def renames(self) -> Iterator[tuple[int, str, str]]:
        for place, (what, source, target) in enumerate(self.events):
            if what == "rename":
                yield place, source, target

    def check(self, *, at_least: int) -> None:
        """Every renamed file was synced before, and its folder after: else a crash can lose or tear it."""
        renamed = list(self.renames())
        assert len(renamed) >= at_least
        for place, source, target in renamed:
            before, after = self.events[:place], self.events[place + 1 :]
            assert ("sync", source, "") in before or ("rename", source) in [(e[0], e[2]) for e in before], (
                f"{target}: its bytes were not synced before it got its name"
            )
            assert ("sync", str(Path(target).parent), "") in after, f"{target}: its folder was not synced"


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    found = Journal(tmp_path)
    sync, rename, replace = os.fsync, os.rename, os.replace

    def fsync(handle: int) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        found.events.append(("sync", str(Path(f"/proc/self/fd/{number}").readlink()), ""))
        sync(handle)

    def noted(real: Callable[..., None]) -> Callable[..., None]:
        def move(source: str | Path, target: str | Path, **rest: object) -> None:
            real(source, target, **rest)
            if str(target).startswith(str(tmp_path)):
                found.events.append(("rename", str(source), str(target)))

        return move

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", noted(rename))
    monkeypatch.setattr(os, "replace", noted(replace))
    return found


def recording(root: Path, seconds: int) -> Settings:
    settings = settings_for(root, {"WIN_SECS": 5})
    frames = []
    for s in range(seconds):
        at_ms = START_MS + 1000 * s
        data = {
            "e": "aggTrade",
            "E": at_ms,
            "s": "BTCUSDT",
            "a": 100 + s,
            "p": "10",
            "q": "1",
            "T": at_ms,
            "m": s % 2 == 0,
        }
        frames.append({"recv_ns": at_ms * 10**6, "conn": "m1", "stream": "btcusdt@aggTrade", "data": data})
    write_spool(settings.spool_dir, frames)
    return settings


def test_the_one_home_of_whole_files(journal: Journal, tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "folder" / "file.json", b"{}")
    journal.check(at_least=1)


def test_reports_and_the_run(journal: Journal, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, {})
    write_text(tmp_path / "artifacts" / "dq.json", encode({"a": 1.0}))
    runs.save(runs.begin(settings, START_MS), settings.state_dir)
    journal.check(at_least=2)


def test_published_parts_states_and_the_checkpoint(journal: Journal, tmp_path: Path) -> None:
    build(recording(tmp_path, 40), slice_secs=10, workers=1)
    journal.check(at_least=3)
    names = [Path(target).name for _, _, target in journal.renames()]
    assert "checkpoint.json" in names
    assert any(name.startswith("part-") for name in names)


def test_merged_hours(journal: Journal, tmp_path: Path) -> None:
    settings = recording(tmp_path, 3700)
    build(settings, slice_secs=600, workers=1)
    journal.events.clear()
    assert compact(settings.data_dir, state_dir=settings.state_dir).merged > 0
    journal.check(at_least=2)
