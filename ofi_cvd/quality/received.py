"""What was received, as far as the spool is still there: the files that hold a run's trades."""

from __future__ import annotations

from ofi_cvd.binance.wire import TRADE_ID_PATHS
from ofi_cvd.common.times import HOUR_MS
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_files


def received_values(settings: Settings, window: Window) -> dict[str, object]:
    """Return the parameters of `duplicates_received`: the spool files of the window's trades, repairs included."""
    files = list_files(
        settings.spool_dir,
        symbols=window.symbols,
        streams={settings.trade_stream},
        start_ms=window.start_ms,
        end_ms=window.end_ms + HOUR_MS,  # the last trades may have been received in the next hour
    )
    paths = [(file.sealed or file.plain) for file in files]
    return {"files": [path.as_posix() for path in paths if path], "id_path": TRADE_ID_PATHS[settings.trade_stream]}
