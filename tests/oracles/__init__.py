"""Every formula of sections 3-10 of the specification, as a slow and literal loop.

Written from the specification alone: nothing here imports the package, a data frame or a numeric library, so that a
test which compares the two compares two independent readings.  Sums are exact (`fractions.Fraction`, integers) and
become a float once, at the end.

Silent points
-------------
Where the specification says nothing, this is what was decided.

Rows.  A frame whose needed fields are missing, of the wrong type, or no finite decimal text is treated as if the line
were not there; its id was not seen.  A websocket trade without `E` is well formed: its `event_ts_ms` and `latency_ms`
are null and the test of `T` against `E` does not apply.  A REST row has no `E`, whatever it carries.  Admission comes
before duplicates: a row that is not admitted never displaces one that is.  Equal `recv_ns` are broken by the
connection's name.  Two depth rows of one `u` are one, even if their levels differ.

Holes.  `gap_before` of the first admitted trade is 0.  A hole that has no admitted trade on one side is open on that
side when an outage without ids is matched against it.  An id range of an outage is `[expected, received)`; an empty
one is closed.  Ledger gaps without `start_ms` and `end_ms`, or that end before they
begin, are ignored.  A book outage is a break only for
sources without `pu`; it makes rows suspect for all.  A break ends at the first update after it, a trade gap at the
trade that carries `gap_before`, an outage at its `end_ms`.

Book.  Levels of quantity 0 stand.  The identity of a `bookTicker` row is its `u`, prices and sizes by value.
`mid` and `spread_bps` are null if a side is missing; `spread_bps` also if `mid` is 0.

Standard scores.  A standard deviation needs two rows, whatever `Z_MIN_ROWS` says.  `scale` is 0, not null, where
`z` is null because of it.  The 60 s count from the first row that is not null.  Scores of `ofi_value` are taken from
its exact value.

CVD.  The half-lives and the window of sizes run across resets, gaps and outages.  `Z_MODE=level` has no 60 s rule.
With `CVD_RESET=never` the sum is complete until the first unrepaired gap or outage.  A recording is not known to begin
at a reset, so `cvd_complete` is false until midnight has passed within it.

Fusion.  `cvd_flow` of a second without trades is 0, also before the first trade; it is null iff an unrepaired outage
`(start, end)` overlaps `(t-1s, t]`.  `mid` is that of the last `ofi` row, null if that is null.

Labels.  All ages are measured from the first second of the grid.  Quantile positions and rates are computed from the
decimal text of the setting.  Before the grid there are no grid labels; `session` and `fee_tier` are always known.
During an outage labels stand; after its end they are null for WIN_SECS.

Events.  A pivot needs its whole neighbourhood inside the grid.  An outage stands between two pivots if it overlaps
`(A, B]`; an unrepaired id gap if it ends in it; a book break is none.  `ret` is rounded to 1e-12 in `meta_json` as in
`rv`, and the rule of `anomaly_price` is compared in integers.  Floats in `meta_json` are written as Python does.
"""

from __future__ import annotations

from .book import level_imbalance, level_weights, merged_updates, mid_and_spread, ofi_flow, ofi_rows
from .cvd import DecayedMean, cvd_complete, cvd_scale, cvd_values
from .dataset import Cell, Row, oracle_dataset
from .events import divergences, onsets, pivots
from .fusion import consistency, fusion_rows
from .labels import grid_seconds, label_grid, labels_at, realised_vol, regime_labels, ret_units, session, vol_labels
from .outages import Outage, Trouble, is_unrepaired, ledger_outages
from .settings import Params, parse_params
from .trades import Trade, canonical_trades, id_holes, ids_missing, latency_ms, recv_rates
from .windows import Standing, ceil_to, quantile, trailing_moments, trailing_z
from .wire import Frame, book_frames, read_capture, trade_frames

__all__ = [
    "Cell",
    "DecayedMean",
    "Frame",
    "Outage",
    "Params",
    "Row",
    "Standing",
    "Trade",
    "Trouble",
    "book_frames",
    "canonical_trades",
    "ceil_to",
    "consistency",
    "cvd_complete",
    "cvd_scale",
    "cvd_values",
    "divergences",
    "fusion_rows",
    "grid_seconds",
    "id_holes",
    "ids_missing",
    "is_unrepaired",
    "label_grid",
    "labels_at",
    "latency_ms",
    "ledger_outages",
    "level_imbalance",
    "level_weights",
    "merged_updates",
    "mid_and_spread",
    "ofi_flow",
    "ofi_rows",
    "onsets",
    "oracle_dataset",
    "parse_params",
    "pivots",
    "quantile",
    "read_capture",
    "realised_vol",
    "recv_rates",
    "regime_labels",
    "ret_units",
    "session",
    "trade_frames",
    "trailing_moments",
    "trailing_z",
    "vol_labels",
]
