"""Closed trades from fills: average entry cost, net of commissions, the entry time weighted by quantity."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import UsageError
from tidewright.measure.figures import ClosedTrades

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

_DUST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Fills:
    """Fills of one account in time order, one array entry a fill.

    Attributes
    ----------
    ts
        Time, int64 ns.
    side
        ``codes.BUY`` or ``codes.SELL``, uint8.
    price
        Quote per base, float64.
    qty
        Base, float64, > 0.
    maker
        Whether the fill provided liquidity, bool.
    fee
        The whole commission in quote (one in base valued at ``price``), float64; negative is a rebate.
    """

    ts: I64
    side: U8
    price: F64
    qty: F64
    maker: npt.NDArray[np.bool_]
    fee: F64

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.ts, self.side, self.price, self.qty, self.maker, self.fee)}
        if len(lengths) != 1:
            raise UsageError("columns of fills must have one length")
        if bool(np.any(np.diff(self.ts) < 0)):
            raise UsageError("fills must be in time order")

    def __len__(self) -> int:
        return len(self.ts)

    @classmethod
    def none(cls) -> "Fills":
        """No fill."""
        f8 = np.empty(0, np.float64)
        return cls(np.empty(0, np.int64), np.empty(0, np.uint8), f8, f8, np.empty(0, np.bool_), f8)

    @property
    def signed_qty(self) -> F64:
        """Quantity, negative for sells, base."""
        return np.where(self.side == SELL, -self.qty, self.qty)


def closed_trades(fills: Fills) -> ClosedTrades:
    """Closed trades of an account that starts flat.

    A fill against the position closes part of it, all of it, or turns it. The closed part's PnL is its proceeds less
    the average entry cost of the position, both net of their share of the commissions; its duration runs from the
    quantity-weighted mean entry time.
    """
    ts: list[int] = []
    pnl: list[float] = []
    duration: list[int] = []
    position = cost = entry = 0.0  # cost: net payment for the position, entry: quantity-weighted sum of entry times
    origin = int(fills.ts[0]) if len(fills) else 0
    for at, side, price, qty, fee in zip(
        fills.ts.tolist(),
        fills.side.tolist(),
        fills.price.tolist(),
        fills.qty.tolist(),
        fills.fee.tolist(),
        strict=True,
    ):
        signed = qty if side == BUY else -qty
        paid = signed * price + fee
        closing = min(abs(position), qty) if position * signed < 0 else 0.0
        if closing > 0.0:
            part, of_fill = closing / abs(position), closing / qty
            pnl.append(-(paid * of_fill) - cost * part)
            ts.append(at)
            duration.append(round(at - origin - entry / abs(position)))
            cost, entry = cost * (1.0 - part), entry * (1.0 - part)
        opening = qty - closing
        position += signed
        if abs(position) <= _DUST * qty:
            position = cost = entry = 0.0  # float dust of a position that is closed
        elif opening > 0.0:
            cost += paid * (opening / qty)
            entry += opening * (at - origin)
    return ClosedTrades(np.array(ts, np.int64), np.array(pnl, np.float64), np.array(duration, np.int64))


def fill_activity(fills: Fills) -> dict[str, float]:
    """Counts and sums over fills as :func:`tidewright.measure.figures.from_equity` takes them (quote units)."""
    return {
        "n_fills": len(fills),
        "n_buys": int(np.sum(fills.side == BUY)),
        "n_sells": int(np.sum(fills.side == SELL)),
        "volume_quote": float(np.sum(fills.price * fills.qty)),
        "fees_value": float(np.sum(fills.fee)),
    }
