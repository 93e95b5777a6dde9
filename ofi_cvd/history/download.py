"""Fetches one file of an archive over HTTP: resumed where it broke off, checked against its checksum, never half there."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from ofi_cvd.binance.endpoints import is_loopback
from ofi_cvd.common.backoff import backoff_delays
from ofi_cvd.errors import ExchangeError, UsageError
from ofi_cvd.history.inputs import MAX_PLAIN_BYTES

TRIES: Final = 4
_DIGEST: Final = re.compile(r"\s*([0-9a-fA-F]{64})\b")
_REDIRECTS: Final = 5

OnBytes = Callable[[int], None]


class NotThereError(ExchangeError):
    """The archive has no such file."""


class ChecksumError(ExchangeError):
    """What was fetched is not what the archive's checksum says, twice."""


@dataclass(frozen=True)
class Client:
    """Asks one archive.

    Attributes:
        base_url: https, or http on this machine.
        http: the connections.
        sleep: waits between tries.
        rand: uniform in [0, 1), for the jitter of the waits.
    """

    base_url: str
    http: httpx.Client
    sleep: Callable[[float], None] = time.sleep
    rand: Callable[[], float] = lambda: 0.5

    def checksum(self, path: str) -> str:
        """Return the SHA-256 that the archive gives for a file.

        Raises:
            NotThereError: there is no such file.
            ExchangeError: no usable answer.
        """
        text = self._retrying(lambda: self._small(f"{path}.CHECKSUM"))
        match = _DIGEST.match(text)
        if match is None:
            raise ExchangeError(f"{path}.CHECKSUM: expected a SHA-256, found {text[:80]!r}")
        return match[1].lower()

    def fetch(self, path: str, target: Path, sha256: str, on_bytes: OnBytes | None = None) -> None:
        """Bring a file to `target`; it appears whole and with the digest `sha256`, or not at all.

        Raises:
            NotThereError: there is no such file.
            ChecksumError: its digest is another, also at the second try.
            ExchangeError: no usable answer.
            OSError: the disk refused.
        """
        part = target.with_name(target.name + ".part")
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(2):
            self._retrying(lambda: self._download(path, part, on_bytes))
            found = _sha256(part)
            if found == sha256:
                part.replace(target)
                return
            part.unlink()  # damaged on the way, or the rest of another revision
            if attempt:
                raise ChecksumError(f"{path}: expected SHA-256 {sha256[:12]}..., found {found[:12]}...; fetched twice")

    def _download(self, path: str, part: Path, on_bytes: OnBytes | None) -> str:
        have = part.stat().st_size if part.exists() else 0
        with self._get(path, {"Range": f"bytes={have}-"} if have else {}) as response:
            if response.status_code == 416:  # all of it is here, or it is the rest of another file: the digest decides
                return ""
            self._check(path, response)
            mode = "ab" if response.status_code == 206 else "wb"
            size = have if mode == "ab" else 0
            with part.open(mode) as file:
                for block in response.iter_bytes(1024 * 1024):
                    size += file.write(block)
                    if size > MAX_PLAIN_BYTES:
                        raise ExchangeError(f"{path}: expected at most {MAX_PLAIN_BYTES >> 30} GiB, found more")
                    if on_bytes:
                        on_bytes(len(block))
        return ""

    def _small(self, path: str) -> str:
        with self._get(path, {}) as response:
            self._check(path, response)
            return next(response.iter_bytes(4096), b"").decode("utf-8", "replace")

    def _get(self, path: str, headers: dict[str, str]) -> _Streaming:
        url = f"{self.base_url}/{path}"
        for _ in range(_REDIRECTS):
            streaming = _Streaming(self.http, url, headers)
            place = streaming.redirect()
            if place is None:
                return streaming
            url = self._same_host(url, place)
        raise ExchangeError(f"{path}: expected a file, found a chain of redirects")

    def _same_host(self, url: str, place: str) -> str:
        target = urljoin(url, place)
        if urlsplit(target)[:2] != urlsplit(self.base_url)[:2]:
            raise ExchangeError(f"{url}: expected redirects to stay on {self.base_url}, found {target[:200]!r}")
        return target

    def _check(self, path: str, response: httpx.Response) -> None:
        if response.status_code == 404:
            raise NotThereError(f"{path}: expected a file, found none")
        if response.status_code not in {200, 206}:
            raise ExchangeError(f"{path}: expected a file, found status {response.status_code}")

    def _retrying(self, ask: Callable[[], str]) -> str:
        waits = backoff_delays(self.rand)
        for attempt in range(TRIES):
            try:
                return ask()
            except NotThereError:
                raise
            except (ExchangeError, httpx.HTTPError) as error:
                if attempt == TRIES - 1:
                    raise (
                        error if isinstance(error, ExchangeError) else ExchangeError(f"{self.base_url}: {error}")
                    ) from error
                self.sleep(next(waits))
        raise AssertionError  # the loop returns or raises


class _Streaming:
    """One answer, read as it comes."""

    def __init__(self, http: httpx.Client, url: str, headers: dict[str, str]) -> None:
        self._response = http.send(http.build_request("GET", url, headers=headers), stream=True, follow_redirects=False)

    def redirect(self) -> str | None:
        """Return where a redirect leads; None for an answer."""
        place = self._response.headers.get("Location") if self._response.is_redirect else None
        if place is not None:
            self._response.close()
        return place

    def __enter__(self) -> httpx.Response:
        return self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()


def check_base_url(text: str) -> str:
    """Return the root of an archive.

    Raises:
        UsageError: plain http to a host that is not this machine: the files could be forged on the way.
    """
    parts = urlsplit(text)
    is_local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if (parts.scheme != "https" and not is_local) or not parts.hostname or parts.query or parts.username:
        raise UsageError(f"--base-url: expected https, or http on this machine, found {text!r}")
    return text.rstrip("/")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
