"""Has the market changed while it was looked at? Then only the part since should be judged on."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.windows import MIN_IN, MIN_OUT
from tidewright.market.clock import iso
from tidewright.market.codes import TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN
from tidewright.market.tape import Columns
from tidewright.market.touch import LOCKED, WHOLE, touches
from tidewright.measure.change import Cusum, Residuals

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BIN_CYCLES: Final = 2  # cycles of market in one value of a series
LEAST_CYCLES: Final = (MIN_IN + MIN_OUT) * 3 // 2  # a shortened stretch is no shorter: less shows nothing
LIMIT: Final = 8.0  # with k = 0.5 one false alarm in 9,480 independent values
SERIES: Final = ("volatility", "trades", "spread")


class Pulse(NamedTuple):
    """How the market went, bin by bin.

    Attributes
    ----------
    ts
        End of each bin, ns, shape (n,).
    values
        Logarithms of the realised volatility (root of the sum of squared changes of the mid, ticks, and 1 is added),
        of the number of trades (and 1) and of the mean spread (ticks, and 1); shape (n, 3). NaN without a book.
    """

    ts: I64
    values: F64


@dataclass(frozen=True, slots=True)
class Change:
    """A change of regime.

    Attributes
    ----------
    began_ns
        When it is thought to have begun: the start of the bin in which the sum that signalled began to grow.
    noticed_ns
        When it was signalled.
    series
        Which of ``SERIES`` told.
    """

    began_ns: int
    noticed_ns: int
    series: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"series": self.series, "began": iso(self.began_ns), "noticed": iso(self.noticed_ns)}


@runtime_checkable
class Seeing(Protocol):
    """A judge that can also say how the market went."""

    def pulse(self, from_ns: int, until_ns: int, bin_ns: int) -> Pulse:
        """Volatility, trades and spread in bins of market time."""
        ...


def noticed(judge: object, from_ns: int, until_ns: int, cycle_ns: int) -> Change | None:
    """The newest change within a stretch; ``None`` too where the judge does not see the market itself."""
    if not isinstance(judge, Seeing):
        return None
    bin_ns = BIN_CYCLES * cycle_ns
    return last_change(judge.pulse(from_ns, until_ns, bin_ns), bin_ns)


def pulse(data: Columns, from_ns: int, until_ns: int, bin_ns: int) -> Pulse:
    """Volatility, trades and spread in bins of market time.

    Parameters
    ----------
    data
        Rows that begin with a snapshot of the book or a whole tape.
    from_ns, until_ns, bin_ns
        The bins end at ``from_ns + k·bin_ns`` up to ``until_ns``.
    """
    count = max(0, (until_ns - from_ns) // bin_ns)
    edges = from_ns + bin_ns * np.arange(count + 1, dtype=np.int64)
    values = np.full((count, len(SERIES)), np.nan)
    if count == 0 or len(data.ts) == 0:
        return Pulse(edges[1:], values)
    found = touches(data)
    whole = (found.state == WHOLE) | (found.state == LOCKED)
    ts, bid, ask = data.ts[found.row[whole]], found.bid[whole], found.ask[whole]
    move = np.diff((bid + ask) / 2.0, prepend=(bid[:1] + ask[:1]) / 2.0)
    place = np.searchsorted(edges, ts, side="left") - 1  # a bin holds its end, not its start
    inside = (place >= 0) & (place < count)
    seen = np.bincount(place[inside], minlength=count).astype(np.float64)
    squares = np.bincount(place[inside], move[inside] ** 2, minlength=count)
    wide = np.bincount(place[inside], (ask - bid)[inside].astype(np.float64), minlength=count)
    traded = np.isin(data.kind, (TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN))
    at = np.searchsorted(edges, data.ts[traded], side="left") - 1
    prints = np.bincount(at[(at >= 0) & (at < count)], minlength=count)
    known = seen > 0
    values[known, 0] = np.log1p(np.sqrt(squares[known]))
    values[known, 1] = np.log1p(prints[known])
    values[known, 2] = np.log1p(wide[known] / seen[known])
    return Pulse(edges[1:], values)


def last_change(found: Pulse, bin_ns: int, limit: float = LIMIT) -> Change | None:
    """The newest change of the market, ``None`` if none is signalled.

    Each series is standardised by its own past (:class:`~tidewright.measure.change.Residuals`) and watched by a CUSUM.
    After a signal, scale and mean are learned anew.
    """
    newest: Change | None = None
    for column, name in enumerate(SERIES):
        residuals, cusum = Residuals(), Cusum(h=limit)
        for index, value in enumerate(found.values[:, column]):
            began = cusum.update(residuals.update(float(value)))
            if not began:
                continue
            residuals = Residuals()
            first = max(0, index + 1 - began)
            change = Change(int(found.ts[first]) - bin_ns, int(found.ts[index]), name)
            if newest is None or change.began_ns > newest.began_ns:
                newest = change
    return newest


def shortened(from_ns: int, until_ns: int, cycle_ns: int, change: Change | None) -> int:
    """Where the stretch to judge on begins: at the change, but early enough for ``LEAST_CYCLES`` cycles."""
    if change is None:
        return from_ns
    return max(from_ns, min(change.began_ns, until_ns - LEAST_CYCLES * cycle_ns))
