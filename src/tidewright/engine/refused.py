"""Why a venue refused the orders of a lane, found by replaying that lane alone with all its reports."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.engine.sweep import Job, Rows, chunks
from tidewright.market import codes

MOST_SHARE: Final = 0.5  # of a lane's orders: from here on it is asked why
LOOKED_AT: Final = 200  # rejected orders are enough to tell
_CHUNK: Final = 1 << 14  # rows fed at once: the first rejections come soon

REASONS: Final = {
    codes.FILTER_PRICE: "price",
    codes.FILTER_LOT: "quantity",
    codes.FILTER_NOTIONAL: "worth",
    codes.FILTER_MAX_ORDERS: "open_orders",
    codes.INSUFFICIENT_BALANCE: "balance",
    codes.WOULD_TAKE: "would_take",
    codes.OUTSIDE_WINDOW: "outside_window",
    codes.FILTER_PERCENT_PRICE: "far_from_market",
    codes.FILTER_MAX_STOPS: "stop_orders",
}
"""Names of the reasons for which an order is rejected at its arrival."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The first rejected orders of a lane.

    Attributes
    ----------
    lane
        Which.
    reasons
        How many of them for which reason, the commonest first; names of ``REASONS``.
    lowest_ticks
        The lowest price among them: what is large enough there is large enough for all.
    """

    lane: int
    reasons: dict[str, int]
    lowest_ticks: int

    @property
    def orders(self) -> int:
        """How many orders were looked at."""
        return sum(self.reasons.values())


def refused_lanes(statistics: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """Lanes of whose orders more than half were rejected."""
    return np.asarray(statistics["n_rejects"] > MOST_SHARE * np.maximum(statistics["n_orders"], 1))


def why_refused(rows: Rows, job: Job, statistics: dict[str, npt.NDArray[Any]]) -> Refused | None:
    """Why the lane with the most rejected orders had them rejected; ``None`` if no lane had many."""
    if not refused_lanes(statistics).any():
        return None
    lane = int(np.argmax(statistics["n_rejects"]))
    alone = job.of(np.array([lane]))
    replay = replace(alone, config=replace(job.config, record_fills=2, record_equity=0)).replay()
    reasons: list[int] = []
    prices: list[int] = []
    for chunk in chunks(rows.data, _CHUNK):
        replay.feed(chunk)
        reports = replay.reports()
        found = reports[reports["what"] == codes.REJECTED]
        reasons += found["reason"].tolist()
        prices += found["price"].tolist()
        if len(reasons) >= LOOKED_AT:
            break
    names = [REASONS.get(reason, "other") for reason in reasons[:LOOKED_AT]]
    counts = {name: names.count(name) for name in sorted(set(names), key=names.count, reverse=True)}
    return Refused(lane, counts, min(prices, default=1)) if counts else None
