"""The last look before orders go out: every order of a session, whoever wanted it, against every limit.

It knows nothing of strategies, agents or the gate before it, and works on what the order manager is about to send and
what may still fill. Pure functions on plain values; the gate in the engine and this agree on what they both look at.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tidewright.market.codes import BUY
from tidewright.risk import gate
from tidewright.risk.limits import Limits


class Order(NamedTuple):
    """An order to be sent, or what may still fill of one that was: side code, ticks, lots."""

    side: int
    price_ticks: int
    qty_lots: int


class Books(NamedTuple):
    """What orders are held against.

    Attributes
    ----------
    position_lots
        Inventory deviation from the start, commission counted, lots.
    equity, day_equity, peak_equity
        Quote.
    entry_price
        Average entry price of the position, 0 when flat.
    mid
        Quote per base.
    tick, lot
        Price and quantity step.
    volatility
        EWMA deviation of the log return a cycle.
    halts
        Limits that still halt, a mask.
    sent
        New orders in the last 60 seconds so far.
    open_orders
        Whatever may still fill: also what is being cancelled or has no known state, if the limits are strict.
    most_lots
        Largest inventory either way that portfolio limits allow, lots; ``None``: they say nothing.
    least_lots
        Smallest position that counts as one, lots: see :func:`tidewright.risk.gate.least_position`.
    """

    position_lots: int
    equity: float
    day_equity: float
    peak_equity: float
    entry_price: float
    mid: float
    tick: float
    lot: float
    volatility: float
    halts: int
    sent: int
    open_orders: Sequence[Order]
    most_lots: int | None = None
    least_lots: int = 1


class Blocked(NamedTuple):
    """An order that was not sent and the rule that held it back."""

    order: Order
    why: str


def exposure(books: Books) -> gate.Exposure:
    """The books as the gate takes them; the best prices play no part."""
    return gate.Exposure(
        books.position_lots,
        books.mid,
        books.lot,
        books.equity,
        books.day_equity,
        books.entry_price,
        books.volatility,
        books.peak_equity,
        0,
        0,
        books.tick,
        books.halts,
        books.sent,
        books.least_lots,
    )


def check(orders: Iterable[Order], books: Books, limits: Limits) -> tuple[list[Order], list[Blocked]]:
    """Part orders into those that may go out, in their order, and those that may not.

    An order is sent whole or not at all: what wants it smaller is the gate's business. Cancels never come here.
    """
    halting = _halting(books, limits)
    leaving_only = limits.flatten and halting & (gate.DAILY_LOSS | gate.DRAWDOWN)  # as in the gate
    stopped = _stopped(books, limits)
    reach = {sign: books.position_lots * sign + _open(books, sign) for sign in (1, -1)}
    sent = books.sent
    allowed: list[Order] = []
    blocked: list[Blocked] = []
    for order in orders:
        sign = 1 if order.side == BUY else -1
        leaves = books.position_lots * sign < 0 and reach[sign] + order.qty_lots <= 0
        why = ""
        if halting and not (leaving_only and leaves):
            why = " and ".join(gate.reasons(halting))
        elif stopped and books.position_lots * sign > 0:
            why = gate.REASONS[gate.STOP_LOSS]
        else:
            why = _order_fault(order, books, limits) or _reach_fault(reach[sign] + order.qty_lots, books, limits)
            if not why and limits.orders_per_minute is not None and sent >= limits.orders_per_minute:
                why = gate.REASONS[gate.ORDER_RATE]
        if why:
            blocked.append(Blocked(order, why))
            continue
        reach[sign] += order.qty_lots
        sent += 1
        allowed.append(order)
    return allowed, blocked


def _halting(books: Books, limits: Limits) -> int:
    mask = books.halts
    if limits.daily_loss is not None and books.equity < books.day_equity * (1.0 - limits.daily_loss):
        mask |= gate.DAILY_LOSS
    if limits.volatility_cutoff is not None and books.volatility > limits.volatility_cutoff:
        mask |= gate.VOLATILITY_CUTOFF
    if limits.drawdown is not None and books.equity < books.peak_equity * (1.0 - limits.drawdown):
        mask |= gate.DRAWDOWN
    return mask


def _stopped(books: Books, limits: Limits) -> bool:
    if limits.stop_loss is None or abs(books.position_lots) < books.least_lots or books.entry_price <= 0:
        return False
    change = books.mid / books.entry_price - 1.0
    return (-change if books.position_lots > 0 else change) > limits.stop_loss


def _open(books: Books, sign: int) -> int:
    side = BUY if sign > 0 else 1 - BUY
    return sum(order.qty_lots for order in books.open_orders if order.side == side)


def _order_fault(order: Order, books: Books, limits: Limits) -> str:
    price = order.price_ticks * books.tick
    if limits.price_collar is not None and abs(price - books.mid) > limits.price_collar * books.mid:
        return gate.REASONS[gate.PRICE_COLLAR]
    worth = order.qty_lots * books.lot * price
    # The gate cut it to whole lots under the limit; a rounding in the last bit is not a breach.
    if limits.order_notional is not None and worth > limits.order_notional * (1.0 + 1e-12):
        return gate.REASONS[gate.ORDER_NOTIONAL]
    return ""


def _reach_fault(reach: int, books: Books, limits: Limits) -> str:
    if reach <= 0:
        return ""
    share = limits.max_position_share
    if share is not None and float(reach) * books.lot * books.mid > share * books.equity:
        return gate.REASONS[gate.POSITION_LIMIT]
    if books.most_lots is not None and reach > books.most_lots:
        return "portfolio limit"
    return ""
