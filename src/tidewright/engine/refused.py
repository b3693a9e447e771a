"""Why a venue refused the orders of a lane, found by running that lane alone again with all its reports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.engine.replay import REPORT
from tidewright.engine.sweep import Job, Rows, chunks
from tidewright.market import codes
from tidewright.market.tape import Columns

MOST_SHARE: Final = 0.5  # of a lane's orders: from here on it is asked why
LOOKED_AT: Final = 200  # rejected orders are enough to tell
_CHUNK: Final = 1 << 14  # rows fed at once: the first rejections come soon
_SHARES: Final = (1 / 64, 1 / 16, 1 / 4, 1.0)

Statistics = dict[str, npt.NDArray[Any]]

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


def refused_lanes(statistics: Statistics) -> npt.NDArray[np.bool_]:
    """Lanes of whose orders more than half were rejected."""
    return np.asarray(statistics["n_rejects"] > MOST_SHARE * np.maximum(statistics["n_orders"], 1))


def why_refused(rows: Rows, job: Job, statistics: Statistics) -> Refused | None:
    """Why the lane with the most rejected orders had them rejected; ``None`` if no lane had many."""
    lane = most_refused(statistics)
    if lane is None:
        return None
    replay = alone(job, [lane]).replay()
    parts: list[npt.NDArray[np.void]] = []
    for chunk in chunks(rows.data, _CHUNK):
        replay.feed(chunk)
        parts.append(rejected(replay.reports()))
        if sum(map(len, parts)) >= LOOKED_AT:
            break
    return counted(lane, np.concatenate(parts)) if parts else None


def why_refused_by(statistics: Statistics, ask: Callable[[int, float], npt.NDArray[np.void]]) -> Refused | None:
    """The same where a lane cannot be replayed by itself: of more and more of the tape, until there is enough to tell.

    Parameters
    ----------
    ask
        Given a lane and a share of the tape, its reports when it is run over the beginning again.
    """
    lane = most_refused(statistics)
    if lane is None:
        return None
    found = np.zeros(0, REPORT)
    for share in _SHARES:
        found = rejected(ask(lane, share))
        if len(found) >= LOOKED_AT:
            break
    return counted(lane, found)


def most_refused(statistics: Statistics) -> int | None:
    """The lane with the most rejected orders, if any had more than half of them rejected."""
    return int(np.argmax(statistics["n_rejects"])) if refused_lanes(statistics).any() else None


def alone(job: Job, lanes: Sequence[int]) -> Job:
    """Some lanes of a job, with all their reports and nothing else recorded."""
    config = replace(job.config, record_fills=2, record_equity=0)
    return replace(job.of(np.array(lanes, np.int64)), config=config)


def beginning(data: Columns, share: float) -> Columns:
    """The whole packets of about that share of the rows, at least one."""
    return next(chunks(data, max(1, round(share * len(data.ts)))))


def rejected(reports: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Those of orders that were rejected."""
    return reports[reports["what"] == codes.REJECTED]


def counted(lane: int, found: npt.NDArray[np.void]) -> Refused | None:
    """What the first of a lane's rejected orders say; ``None``: there are none."""
    names = [REASONS.get(reason, "other") for reason in found["reason"][:LOOKED_AT].tolist()]
    counts = {name: names.count(name) for name in sorted(set(names), key=names.count, reverse=True)}
    return Refused(lane, counts, int(found["price"].min())) if counts else None
