"""`/metrics` over HTTP, on this machine only unless METRICS_ADDR says otherwise."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from prometheus_client import start_http_server

from ofi_cvd.errors import SettingError
from ofi_cvd.monitor.metrics import Metrics


class MetricsServer:
    """Serves a `Metrics` until closed; a context manager.

    Args:
        metrics: what is served.
        address: `host:port` (`METRICS_ADDR`); port 0 takes a free one; `off` serves nothing.

    Raises:
        SettingError: the address cannot be listened on.
    """

    def __init__(self, metrics: Metrics, address: str) -> None:
        self.port = 0
        self._server = self._thread = None
        if address == "off":
            return
        host, _, port = address.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), host, metrics.registry)
        except (OSError, OverflowError) as error:
            accepts = "a free address such as 127.0.0.1:9108, or off"
            raise SettingError(
                "METRICS_ADDR", found=f"{address} ({error})", accepts=accepts, origin="settings"
            ) from None
        self.port = self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; a second call does nothing."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None
