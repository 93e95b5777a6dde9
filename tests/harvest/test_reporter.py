"""Reports of a run of two hours in this process: an hour, the gates so far, the whole run."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ofi_cvd.cli import app
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.harvest.messages import Judged, Message, Task
from ofi_cvd.harvest.reporter import coverage_before, report
from ofi_cvd.harvest.run import Run
from ofi_cvd.harvest.summary_view import show_summary
from ofi_cvd.publish.parts import current_parts
from ofi_cvd.publish.run import build
from ofi_cvd.quality.report import schema
from ofi_cvd.settings import Settings

SYMBOL = "ADAUSDT"
SLICE_S = 600


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("reporter")
    done = CliRunner().invoke(
        app,
        ["simulate", "--hours", "2", "--symbols", SYMBOL, "--seed", "5", "--out", str(root / "spool")],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    found = Settings(
        symbols=SYMBOL, spool_dir=root / "spool", data_dir=root / "data", state_dir=root / "state",
        artifacts_dir=root / "artifacts", vol_min_secs=60, parquet_rotate_sec=SLICE_S,
    )  # fmt: skip
    build(found, slice_secs=SLICE_S, workers=1)
    return found


@pytest.fixture(scope="module")
def run(settings: Settings) -> Run:
    """Twenty minutes into the first hour to twenty minutes before the end of the second."""
    first_ms = min(part.start_ms for part in current_parts(settings.data_dir)) // HOUR_MS * HOUR_MS
    return Run(
        start_ms=first_ms + 1_200_000,
        end_ms=first_ms + 2 * HOUR_MS - 1_200_000,
        slice_ms=SLICE_S * 1000,
        symbols=(SYMBOL,),
        params_fingerprint=settings.fingerprint(),
    )


def told(settings: Settings, run: Run, task: Task) -> Judged:
    said: list[Message] = []
    report(settings, run, task, said.append)
    [judged] = said
    assert isinstance(judged, Judged)
    return judged


def loaded(path: str | Path) -> dict:
    found: dict = json.loads(Path(path).read_text("utf-8"))
    return found


def test_a_check_writes_nothing(settings: Settings, run: Run) -> None:
    judged = told(settings, run, Task("check", run.start_ms + 600_000))
    assert (judged.paths, len(judged.verdicts)) == ((), 10)
    assert judged.verdicts["trade_ids"] == "pass"
    assert not settings.artifacts_dir.exists()


def test_hours_then_the_run(settings: Settings, run: Run) -> None:
    """The hour's report speaks of the hour, its coverage of the run so far; the final one speaks of all."""
    hour_ms = run.start_ms // HOUR_MS * HOUR_MS
    hour = told(settings, run, Task("hour", hour_ms + HOUR_MS, hour_ms))
    assert [Path(path).suffix for path in hour.paths] == [".json", ".json", ".html"]
    quality, manifest = loaded(hour.paths[0]), loaded(hour.paths[1])
    assert quality["window"] == {"start_ms": run.start_ms, "end_ms": hour_ms + HOUR_MS}
    jsonschema.validate(quality, schema("dq"))
    jsonschema.validate(manifest, schema("slices_manifest"))

    reported = run.with_report(hour_ms)
    from_manifest = coverage_before(settings, run, hour_ms + HOUR_MS)
    Path(hour.paths[1]).rename(settings.artifacts_dir / "elsewhere")
    assert coverage_before(settings, run, hour_ms + HOUR_MS) == from_manifest  # counted again from the rows
    (settings.artifacts_dir / "elsewhere").rename(hour.paths[1])
    assert coverage_before(settings, run, hour_ms) is None
    second = told(settings, reported, Task("hour", run.end_ms, hour_ms + HOUR_MS))
    cumulative = loaded(second.paths[0])
    assert cumulative["coverage_window"] == {"start_ms": run.start_ms, "end_ms": run.end_ms}
    assert hour.verdicts["coverage_scene"] == "not_yet"  # forty minutes

    final = told(settings, reported, Task("final", run.end_ms))
    summary = loaded(final.paths[-1])
    jsonschema.validate(summary, schema("run_summary"))
    assert summary["reports"][:3] == [Path(path).relative_to(settings.artifacts_dir).as_posix() for path in hour.paths]
    assert len(summary["reports"]) == 9  # each hour and the run, three files each
    assert summary["scene_coverage_miss"] == final.scene_coverage_miss == second.scene_coverage_miss
    for name in ("coverage_scene", "coverage_session"):
        gates = [next(gate for gate in one["gates"] if gate["name"] == name) for one in (cumulative, summary)]
        assert gates[0] == gates[1]  # summed over the hours, and counted in one go
        assert gates[0]["verdict"] != "not_yet"
    hours = [manifest["symbols"][SYMBOL]["rows"], loaded(final.paths[1])["symbols"][SYMBOL]["rows"]]
    rows = summary["symbols"][SYMBOL]["rows"]
    assert rows == {kind: sum(one[kind] for one in hours) for kind in rows}
    assert summary["run"]["complete"]
    names = [one["path"].rpartition("/")[2] for one in summary["parts"]["files"]]
    assert len(set(names)) == (run.end_ms - run.start_ms) // run.slice_ms


def test_an_interrupted_run_is_judged_up_to_where_it_came(settings: Settings, run: Run) -> None:
    judged = told(settings, run, Task("final", run.start_ms + 1_200_000))
    summary = loaded(judged.paths[-1])
    assert (summary["run"]["complete"], summary["run"]["end_ms"]) == (False, run.start_ms + 1_200_000)
    console = Console(width=100, record=True, file=(settings.artifacts_dir / "shown.txt").open("w", encoding="utf-8"))
    show_summary(summary, Path(judged.paths[-1]), console)
    console.file.close()
    shown = console.export_text()
    assert "the same command continues" in shown
    assert summary["params_fingerprint"] in shown
    assert f"next: {summary['analyse']}" in shown
    for gate in summary["gates"]:
        assert gate["name"] in shown


def test_parts_of_an_earlier_run_are_not_this_one_s(settings: Settings, run: Run) -> None:
    """A part that begins before the run belongs to it only if it reaches into it."""
    summary = loaded(told(settings, run, Task("final", run.end_ms)).paths[-1])
    listed = {one["path"] for one in summary["parts"]["files"]}
    for part in current_parts(settings.data_dir):
        inside = run.start_ms <= part.start_ms < run.end_ms
        assert (part.path.relative_to(settings.data_dir).as_posix() in listed) == inside
