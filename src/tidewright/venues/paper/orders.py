"""Orders, fills and events of accounts, in ticks, lots, 1e-8 units and nanoseconds."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tidewright.market.codes import BUY, NO_STOP

NEW: Final = "NEW"
PARTIALLY_FILLED: Final = "PARTIALLY_FILLED"
FILLED: Final = "FILLED"
CANCELED: Final = "CANCELED"
EXPIRED: Final = "EXPIRED"
EXPIRED_IN_MATCH: Final = "EXPIRED_IN_MATCH"
REJECTED: Final = "REJECTED"

OPEN_STATUSES: Final = frozenset({NEW, PARTIALLY_FILLED})
SIDES: Final = ("BUY", "SELL")


class Draft(NamedTuple):
    """A new order that has passed all checks of form and filters.

    Attributes
    ----------
    side, kind, tif
        Codes of :mod:`tidewright.market.codes`.
    type_text, tif_text
        As Binance names them.
    price
        Ticks; 0 for MARKET.
    qty
        Lots; 0 for an order by quote amount.
    quote_units
        1e-8 quote units of ``quoteOrderQty``; 0 for an order by quantity.
    client_id
        The client's own id; empty if it sent none.
    response
        ACK, RESULT or FULL.
    stop_price, stop_way
        Ticks of a stop order and whether it waits for a rise (RISES) or a fall (FALLS); NO_STOP: it is none.
    """

    side: int
    kind: int
    tif: int
    type_text: str
    tif_text: str
    price: int
    qty: int
    quote_units: int
    client_id: str
    response: str
    stp: str
    strategy_id: int | None
    strategy_type: int | None
    stop_price: int = 0
    stop_way: int = NO_STOP


class Fill(NamedTuple):
    """One execution of an order.

    Attributes
    ----------
    fee
        1e-8 units of ``fee_asset``, truncated.
    """

    trade_id: int
    order_id: int
    ts: int
    price: int
    qty: int
    fee: int
    fee_asset: str
    maker: bool
    side: int


@dataclass(slots=True)
class Order:
    """One order of an account, mutable as it lives.

    Attributes
    ----------
    numbers
        The engine's numbers: one, or one a level walked for an order by quote amount.
    cash
        tick*lots executed.
    sleeping
        Whether it is a stop order that has not been set off.
    amendments, amend_id
        How often its quantity fell; the client id that the next amendment gives it.
    composite
        Whether the order is made of several orders of the engine, whose own ends are not its end.
    """

    order_id: int
    client_id: str
    draft: Draft
    time_ns: int
    qty: int
    status: str = ""
    executed: int = 0
    cash: int = 0
    update_ns: int = 0
    working_ns: int = -1
    expiry: str = ""
    composite: bool = False
    answered: bool = False
    cancel_id: str = ""
    maker_filled: bool = False
    taker_filled: bool = False
    reason: int = 0
    sleeping: bool = False
    amendments: int = 0
    amend_id: str | None = None
    numbers: list[int] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether it can still fill."""
        return self.status in OPEN_STATUSES

    @property
    def leaves(self) -> int:
        """Lots that can still fill."""
        return self.qty - self.executed if self.is_open else 0

    @property
    def is_buy(self) -> bool:
        """Whether it buys."""
        return self.draft.side == BUY


class Balances(NamedTuple):
    """Free and locked amounts in 1e-8 units of base and quote."""

    base_free: int
    base_locked: int
    quote_free: int
    quote_locked: int


class ExecutionEvent(NamedTuple):
    """What happened to an order, with the order's state just after it.

    Attributes
    ----------
    execution
        Binance's ``x``: NEW, REPLACED, TRADE, CANCELED, EXPIRED, TRADE_PREVENTION.
    ts
        Market time of the happening, ns.
    cancel_id
        Client id of the cancel that ended the order, else empty.
    client_id, before_id
        The order's client id, and the one it had before an amendment gave it this (else empty).
    qty
        Lots of the whole order.
    working
        Whether it works: a stop order does not until it is set off.
    """

    order: Order
    execution: str
    status: str
    executed: int
    cash: int
    ts: int
    fill: Fill | None = None
    cancel_id: str = ""
    expiry: str = ""
    client_id: str = ""
    before_id: str = ""
    qty: int = 0
    working: bool = True


class PositionEvent(NamedTuple):
    """Balances of an account after something happened at ``ts``."""

    balances: Balances
    ts: int


Event = ExecutionEvent | PositionEvent
