"""`ofi fetch`: files of the venue's archive, four at a time, each imported once its checksum is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import httpx

from ofi_cvd.binance.archive import ArchiveName, archive_path
from ofi_cvd.binance.endpoints import is_loopback
from ofi_cvd.binance.wire import Market
from ofi_cvd.errors import ExchangeError, InputError
from ofi_cvd.history.download import Client, NotThereError, check_base_url
from ofi_cvd.history.fetch_plan import days_of, is_due
from ofi_cvd.history.importing import InputReport
from ofi_cvd.history.run import import_files
from ofi_cvd.spool.ledger import read_ledger
from ofi_cvd.spool.segments import inputs_in_force

AT_ONCE: Final = 4
_TIMEOUT_S: Final = 30.0

Outcome: TypeAlias = Literal["imported", "there", "not_yet", "missing", "failed"]
OnStep: TypeAlias = Callable[[str, int], None]


@dataclass(frozen=True)
class Fetched:
    """What became of one file; `reason` says why it failed."""

    name: ArchiveName
    outcome: Outcome
    reason: str = ""
    report: InputReport | None = None


@dataclass(frozen=True)
class _Download:
    """A file on the disk, or why there is none."""

    name: ArchiveName
    path: Path | None = None
    is_there: bool = False
    error: Exception | None = None


@dataclass
class Fetch:
    """One run.

    Attributes:
        spool_dir: where the files are imported.
        folder: where they are kept while they are fetched.
        market: the market.
        today: the UTC date of today.
        keep: leave the zips in `folder` after the import.
        base_url: the archive.
        on_step: called with a file's name and the bytes that came.
    """

    spool_dir: Path
    folder: Path
    market: Market
    today: date
    base_url: str
    keep: bool = False
    on_step: OnStep | None = None
    done: list[Fetched] = field(default_factory=list)

    def run(self, names: Sequence[ArchiveName]) -> list[Fetched]:
        """Fetch and import files; a failure of one stops none of the others, and repeating goes on from there.

        Raises:
            UsageError: the address is not allowed.
            SpoolError: the disk refused, or the spool is damaged.
        """
        base = check_base_url(self.base_url)
        known = (
            {one.sha256 for one in inputs_in_force(read_ledger(self.spool_dir))} if self.spool_dir.exists() else set()
        )
        is_local = is_loopback(httpx.URL(base).host)
        with httpx.Client(timeout=_TIMEOUT_S, trust_env=not is_local) as http, ThreadPoolExecutor(AT_ONCE) as pool:
            client = Client(base, http)
            waiting = {pool.submit(self._download, client, name, known) for name in names}
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for name in self._settle(future.result() for future in finished):
                    waiting.add(pool.submit(self._download, client, name, known))
        self.done.sort(key=lambda one: (one.name.symbol, one.name.data_set, one.name.start))
        return self.done

    def _download(self, client: Client, name: ArchiveName, known: set[str]) -> _Download:
        """Bring one file to the disk unless the spool has it already; in a thread."""
        path = archive_path(self.market, name)
        target = self.folder / path
        try:
            sha256 = client.checksum(path)
            if sha256 in known:
                return _Download(name, is_there=True)
            step = partial(self.on_step, name.stem) if self.on_step else None
            client.fetch(path, target, sha256, step)
            target.with_name(target.name + ".CHECKSUM").write_text(f"{sha256}  {target.name}\n", "utf-8")
        except (ExchangeError, OSError) as error:
            return _Download(name, error=error)
        return _Download(name, path=target)

    def _settle(self, downloads: Iterable[_Download]) -> list[ArchiveName]:
        """Import what came; return the daily files to ask for where a month is not published yet."""
        more: list[ArchiveName] = []
        for one in downloads:
            if isinstance(one.error, NotThereError) and one.name.is_monthly:
                more += days_of(one.name)
            else:
                self.done.append(self._outcome(one))
        return more

    def _outcome(self, one: _Download) -> Fetched:
        if one.is_there:
            return Fetched(one.name, "there")
        if isinstance(one.error, NotThereError):
            return Fetched(one.name, "missing" if is_due(one.name, self.today) else "not_yet")
        if one.path is None:
            return Fetched(one.name, "failed", str(one.error))
        try:
            history = import_files([one.path], self.spool_dir, wanted="binance-archive")
        except InputError as error:
            return Fetched(one.name, "failed", str(error))
        if history.faults:
            return Fetched(one.name, "failed", history.faults[0])
        if not self.keep:
            one.path.unlink()
            one.path.with_name(one.path.name + ".CHECKSUM").unlink()
        return Fetched(one.name, "imported", report=history.inputs[0])


def is_complete(done: Iterable[Fetched]) -> bool:
    """Return whether nothing failed and nothing is missing; what is not published yet is no failure."""
    return all(one.outcome not in {"missing", "failed"} for one in done)
