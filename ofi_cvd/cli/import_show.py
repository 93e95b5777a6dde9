"""What `ofi import` prints at the end: a table, the facts for scripts, and the next command to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from ofi_cvd.common.terminal import out, table
from ofi_cvd.common.times import DAY_MS, show_time

if TYPE_CHECKING:
    from ofi_cvd.history.hftbacktest import ImportReport
    from ofi_cvd.history.importing import InputReport
    from ofi_cvd.history.run import History
    from ofi_cvd.settings import Settings


def show(history: History, settings: Settings) -> None:
    """Print what an import did and the command that goes on from there."""
    if history.inputs:
        _show_inputs(history.inputs, settings)
    if history.captures is not None:
        _show_captures(history.captures, settings)
    if command := next_command(history, settings):
        out.print(f"Next: {command}", soft_wrap=True, markup=False)


def facts(history: History) -> dict[str, object]:
    """Return what an import did, as JSON for scripts."""
    found: dict[str, object] = {"inputs": [_input_facts(one) for one in history.inputs]}
    found |= _capture_facts(history.captures) if history.captures is not None else {}
    return found | {"faults": history.faults}


def next_command(history: History, settings: Settings) -> str:
    """Return the `ofi build` that publishes what is there now; empty if nothing was imported."""
    streams = {(one.symbol, one.stream) for one in history.inputs}
    if history.captures is not None:
        streams |= history.captures.added.keys() | history.captures.present.keys()
    if not streams:
        return ""
    from ofi_cvd.publish.streams import matching_settings, streams_of_spool  # noqa: PLC0415

    symbols = sorted({symbol for symbol, _ in streams})
    pairs = matching_settings(streams_of_spool(settings.spool_dir, symbols), settings)
    given = "".join(f" --set {name}={value}" for name, value in pairs.items())
    spool = "" if str(settings.spool_dir) == "data/spool" else f" --spool-dir {settings.spool_dir}"
    return f"ofi build --symbols {','.join(symbols)}{spool}{given}"


def _show_inputs(inputs: list[InputReport], settings: Settings) -> None:
    listing = table(
        f"Imported into {settings.spool_dir}",
        "file", "symbol", "stream", ">rows", ">days", ">ids missing", ">repeated", ">refused", "",
    )  # fmt: skip
    for one in inputs:
        listing.add_row(
            escape(one.path.name), one.symbol, one.stream, f"{one.rows:,}", f"{_days(one)}", f"{one.missing:,}",
            f"{one.repeated:,}", _refused(one), escape(_remark(one)),
        )  # fmt: skip
    out.print(listing)
    fresh = [one for one in inputs if not one.is_known]
    rows = sum(one.rows for one in fresh)
    out.print(f"{rows:,} rows added" if fresh else "nothing added: all there already")


def _days(one: InputReport) -> int:
    return (one.end_ms - 1) // DAY_MS - one.start_ms // DAY_MS + 1


def _refused(one: InputReport) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(one.refused.items())) or "0"


def _remark(one: InputReport) -> str:
    if one.is_known:
        return "there already" if not one.superseded_by else f"replaced by {one.superseded_by[:12]}"
    if one.changes is not None:
        changes = one.changes
        return (
            f"revised: {changes.added:,} rows more, {changes.removed:,} fewer, {changes.changed:,} changed; "
            f"replaces {', '.join(sha[:12] for sha in one.supersedes)}"
        )
    return "checksum verified" if one.is_verified else "no checksum beside it"


def _input_facts(one: InputReport) -> dict[str, object]:
    changes = one.changes
    return {
        "file": str(one.path), "source": one.source, "symbol": one.symbol, "stream": one.stream, "sha256": one.sha256,
        "is_verified": one.is_verified, "rows": one.rows, "start_ms": one.start_ms, "end_ms": one.end_ms,
        "days": _days(one), "missing": one.missing, "absent": one.absent, "repeated": one.repeated,
        "refused": one.refused, "is_known": one.is_known, "superseded_by": one.superseded_by or None,
        "supersedes": one.supersedes,
        "changes": None if changes is None else {
            "added": changes.added, "removed": changes.removed, "changed": changes.changed,
        },
    }  # fmt: skip


def _show_captures(report: ImportReport, settings: Settings) -> None:
    listing = table(f"Imported into {settings.spool_dir}", "symbol", "stream", ">added", ">already there", ">left out")
    # Names come from the file: they are shown as they are, never read as markup.
    for key in sorted(report.added.keys() | report.present.keys()):
        listing.add_row(*key, f"{report.added[key]:,}", f"{report.present[key]:,}", "")
    for name, count in sorted(report.skipped.items()):
        listing.add_row("", escape(f"{name} (not asked for)"), "", "", f"{count:,}")
    for reason, count in sorted(report.rejected.items()):
        listing.add_row("", f"{reason} (rejected)", "", "", f"{count:,}")
    out.print(listing)
    added, present = report.added.total(), report.present.total()
    verdict = (
        f"{added:,} of {report.lines:,} lines added" if added or not present else "nothing added: all there already"
    )
    span = _span(report)
    out.print(f"{verdict}{f', received {span}' if span else ''}", soft_wrap=True, markup=False)


def _span(report: ImportReport) -> str:
    if report.first_ns is None or report.last_ns is None:
        return ""
    first, last = (show_time(ns // 10**6) for ns in (report.first_ns, report.last_ns))
    return f"{first} to {last} UTC"


def _capture_facts(report: ImportReport) -> dict[str, object]:
    keys = sorted(report.added.keys() | report.present.keys())
    return {
        "lines": report.lines,
        "targets": [
            {"symbol": key[0], "stream": key[1], "added": report.added[key], "present": report.present[key]}
            for key in keys
        ],
        "skipped": report.skipped,
        "rejected": report.rejected,
        "first_ns": report.first_ns,
        "last_ns": report.last_ns,
    }
