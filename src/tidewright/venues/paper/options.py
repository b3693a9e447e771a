"""How a paper exchange is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidewright.market.clock import MILLISECOND
from tidewright.venues.paper.credentials import ApiKey


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How a paper exchange is run.

    Parameters
    ----------
    port
        0 picks a free one.
    pace
        Market seconds a wall second, 1 to 60; ``None`` is lockstep.
    balances
        What each account starts with, decimal text by asset; one account an element.
    entry_ns, response_ns, feed_ns
        Latencies of orders, of answers, and of market data that came without receipts, ns.
    queue, queue_power
        Queue model of the engine.
    start_ns
        Market time at which the exchange opens; ``None``: with the tape's first snapshot.
    keys
        API keys, one an account; ``None`` generates them.
    """

    host: str = "127.0.0.1"
    port: int = 0
    pace: float | None = None
    balances: tuple[Mapping[str, str], ...] = ({},)
    entry_ns: int = 50 * MILLISECOND
    response_ns: int = 50 * MILLISECOND
    feed_ns: int = 0
    queue: str = "risk_averse"
    queue_power: float = 3.0
    start_ns: int | None = None
    keys: tuple[ApiKey, ...] | None = field(default=None, repr=False)
