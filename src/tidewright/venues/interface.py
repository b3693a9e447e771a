"""What a trading session asks of a venue, and how a venue answers. Every venue and the test fakes keep these promises.

The one rule above all: an order was *rejected* only if the venue said so. A time-out, a lost connection or a server
error leaves the outcome UNKNOWN, and it is resolved by asking, never by guessing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tidewright.market.codes import LIMIT, POST_ONLY
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns


class Outcome(StrEnum):
    """What is known about a request that was sent."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class VenueStatus(StrEnum):
    """What a venue says an order is; the words are Binance's."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def live(self) -> bool:
        """Whether an order of this status can still fill."""
        return self in (VenueStatus.NEW, VenueStatus.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order to be placed.

    Parameters
    ----------
    client_order_id
        Ours; unique per session, at most 36 characters of ``[a-zA-Z0-9-_]``.
    side, kind, tif
        Codes of :mod:`tidewright.market.codes`.
    price_ticks
        Limit price, integer ticks; 0 for a market order.
    qty_lots
        Quantity, integer lots.
    """

    client_order_id: str
    side: int
    price_ticks: int
    qty_lots: int
    kind: int = LIMIT
    tif: int = POST_ONLY


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request to place or cancel.

    Parameters
    ----------
    code, reason
        The venue's own code and words of a rejection, or what went wrong for an unknown outcome.
    order_id
        The venue's number of the order; 0 when it did not say.
    status
        The order's state in the answer, where the venue gave one.
    filled_lots
        What had filled of it by then, integer lots; 0 where the venue did not say.
    """

    client_order_id: str
    outcome: Outcome
    code: int = 0
    reason: str = ""
    order_id: int = 0
    status: VenueStatus | None = None
    filled_lots: int = 0


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """The state of one order, from the user stream or from a query.

    Parameters
    ----------
    filled_lots
        Quantity filled so far, all fills together, integer lots.
    execution_id
        The venue's running number of the report; 0 in the answer to a query.
    """

    client_order_id: str
    order_id: int
    side: int
    price_ticks: int
    qty_lots: int
    filled_lots: int
    status: VenueStatus
    ts_ns: int
    execution_id: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FillUpdate:
    """One trade of one of our orders.

    Parameters
    ----------
    trade_id
        The venue's number of the trade, rising; a fill is booked once, whichever way it is heard of.
    fee_units
        Commission, integer 1e-8 of ``fee_asset``.
    client_order_id
        Empty where the venue does not repeat it (trade history): the order is then known by ``order_id``.
    """

    trade_id: int
    client_order_id: str
    order_id: int
    side: int
    price_ticks: int
    qty_lots: int
    fee_units: int
    fee_asset: str
    maker: bool
    ts_ns: int
    execution_id: int = 0


@dataclass(frozen=True, slots=True)
class Balances:
    """Balances of some or all assets, integers of 1e-8."""

    free: Mapping[str, int] = field(default_factory=dict)
    locked: Mapping[str, int] = field(default_factory=dict)

    def total(self, asset: str) -> int:
        """Free and locked together, 1e-8 units."""
        return self.free.get(asset, 0) + self.locked.get(asset, 0)


@dataclass(frozen=True, slots=True)
class StreamLost:
    """The user stream broke: what happened until it was back is not known and must be asked for."""

    why: str


UserEvent = OrderUpdate | FillUpdate | Balances | StreamLost


class TradingVenue(Protocol):
    """Orders and account of one instrument at one venue."""

    async def load(self) -> Instrument:
        """Connect, learn the instrument and its fees, start the user stream.

        Raises
        ------
        TimedOutError
            If the venue does not answer.
        VenueError
            If it refuses the key or does not know the symbol.
        """
        ...

    async def submit(self, cancels: Sequence[str], orders: Sequence[OrderRequest]) -> list[Answer]:
        """Send cancels, then new orders, in the order given, without waiting between them.

        Returns
        -------
        list[Answer]
            One for each cancel, then one for each order. Never raises for what the venue or the network does.
        """
        ...

    async def open_orders(self) -> list[OrderUpdate]:
        """All orders of the instrument that can still fill, ours or not."""
        ...

    async def order(self, client_order_id: str) -> OrderUpdate | None:
        """State of one order; ``None`` if the venue states that it does not exist.

        Raises
        ------
        TimedOutError
            If there is no answer: the state is still unknown.
        """
        ...

    async def fills(self, after_trade_id: int) -> list[FillUpdate]:
        """All our trades with a greater number, in rising order; ``-1``: all of them."""
        ...

    async def newest_trade_id(self) -> int:
        """Number of our newest trade of the instrument; ``-1`` if there has never been one."""
        ...

    async def balances(self) -> Balances:
        """Balances of all assets the account holds."""
        ...

    def drain(self) -> list[UserEvent]:
        """What the user stream has brought since the last call, in the venue's order, nothing left out."""
        ...

    async def reached(self, execution_id: int, timeout_s: float) -> None:
        """Wait until the user stream has brought the report of this number, or has broken.

        Raises
        ------
        TimedOutError
            If it has not after ``timeout_s`` seconds of wall time.
        """
        ...

    async def close(self) -> None:
        """Close all connections; orders stay as they are."""
        ...


class MarketFeed(Protocol):
    """Market data of one instrument as rows of a tape, checked for gaps."""

    async def start(self, instrument: Instrument) -> None:
        """Subscribe and take the first snapshot."""
        ...

    async def reached(self, update_id: int, trade_id: int, timeout_s: float) -> None:
        """Wait until the book update and the trade of these numbers are in.

        Raises
        ------
        TimedOutError
            If they are not after ``timeout_s`` seconds of wall time.
        """
        ...

    def drain(self) -> Columns:
        """Whole packets since the last call."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
