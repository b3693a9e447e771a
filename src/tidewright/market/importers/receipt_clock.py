"""Correcting a receiver's clock: how far it ran from the venue's, estimated from the messages themselves.

A message cannot arrive before it is sent, so the smallest ``receipt - venue time`` of a stretch shows the clocks'
distance plus the shortest way. Clocks wander by tens of ms within hours, so the distance is taken stretch by stretch
and interpolated between.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.market.clock import MILLISECOND, MINUTE
from tidewright.market.tape import I64

STRETCH_NS: Final = 5 * MINUTE
_LOW_QUANTILE: Final = 0.005  # instead of the minimum: one message with an odd time must not move a whole stretch
_ENOUGH: Final = 50  # messages a stretch needs; one with fewer is left to its neighbours


class ReceiptClock(NamedTuple):
    """A receiver's clock as seen from the venue's.

    Attributes
    ----------
    times, offsets
        A receipt of each stretch (ns) and what is added to a receipt there (ns); empty: nothing to correct.
    before_venue
        Share of messages received "before" they were sent, 0 to 1.
    base_latency_ns
        The shortest way a message is assumed to take, ns. It cannot be measured one way.
    """

    times: I64
    offsets: I64
    before_venue: float
    base_latency_ns: int

    def correct(self, ts_local: I64) -> I64:
        """Receipts on the venue's clock, ns."""
        if not len(self.times):
            return ts_local
        start = self.times[0]  # float64 holds differences exactly, not nanoseconds since 1970
        shift = np.interp((ts_local - start).astype(np.float64), self.times - start, self.offsets.astype(np.float64))
        return ts_local + np.rint(shift).astype(np.int64)

    def notes(self) -> dict[str, Any]:
        """What was found and done, for the tape's notes."""
        if not len(self.times):
            return {"receipts": "as recorded"}
        return {
            "receipts": f"clock skew corrected: the 0.5 % quantile of receipt - venue time in each stretch of "
            f"{STRETCH_NS // MINUTE} min is set to {self.base_latency_ns / MILLISECOND:g} ms, linear between",
            "receipts_before_venue_share": round(self.before_venue, 6),
            "receipt_shift_ms": {
                "first": round(float(self.offsets[0]) / MILLISECOND, 3),
                "lowest": round(float(self.offsets.min()) / MILLISECOND, 3),
                "highest": round(float(self.offsets.max()) / MILLISECOND, 3),
                "last": round(float(self.offsets[-1]) / MILLISECOND, 3),
            },
        }


def estimate(ts_local: I64, ts: I64, base_latency_ns: int = MILLISECOND) -> ReceiptClock:
    """Clock of a receiver from the receipts and venue times of its messages (int64 ns, in order of receipt).

    Nothing is corrected if no message was received before it was sent.
    """
    nothing = np.empty(0, np.int64)
    delays = ts_local - ts
    early = float(np.mean(delays < 0)) if len(delays) else 0.0
    if early == 0.0:
        return ReceiptClock(nothing, nothing, 0.0, base_latency_ns)
    stretch = (ts_local - ts_local.min()) // STRETCH_NS
    order = np.argsort(stretch, kind="stable")
    borders = np.flatnonzero(np.diff(stretch[order])) + 1
    groups = [g for g in np.split(order, borders) if len(g) >= _ENOUGH] or [order]
    # the message at the quantile stands for its stretch, at its own time: of drifting clocks the lowest is at an edge
    lowest = np.array([g[np.argsort(delays[g], kind="stable")[int(_LOW_QUANTILE * len(g))]] for g in groups])
    lowest = lowest[np.argsort(ts_local[lowest], kind="stable")]
    return ReceiptClock(ts_local[lowest], base_latency_ns - delays[lowest], early, base_latency_ns)
