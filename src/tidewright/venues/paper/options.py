"""How a paper exchange is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidewright.market.clock import MILLISECOND
from tidewright.venues.paper.credentials import ApiKey

if TYPE_CHECKING:
    from tidewright.engine.latency import Latency


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
    latency
        Recorded or sampled latencies of orders and answers in place of the constant ones, which are then only what
        sessions are told.
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
    latency: "Latency | None" = None
    queue: str = "risk_averse"
    queue_power: float = 3.0
    start_ns: int | None = None
    keys: tuple[ApiKey, ...] | None = field(default=None, repr=False)

    def latencies(self, ts: int) -> tuple[int, int]:
        """Entry latency of what is sent at an instant, response latency of what happens then, ns."""
        return (self.entry_ns, self.response_ns) if self.latency is None else self.latency.latencies(ts)
