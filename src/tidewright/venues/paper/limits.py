"""Request weight by wall-clock minute and order counts by market-time windows, both aligned to the clock.

A scaled venue scales its order windows with market time, or a session that runs sixty times faster could not do what it
does live. In lockstep nothing is refused for weight: market time stands while requests are made.
"""

from typing import Any, Final, NamedTuple

from tidewright.market.clock import DAY, MINUTE, SECOND
from tidewright.venues.paper.errors import ApiError


class Limits(NamedTuple):
    """What is allowed in a window; 0 weight means weight is counted but never refused."""

    weight_minute: int = 6_000
    orders_10s: int = 100
    orders_day: int = 200_000

    def describe(self) -> list[dict[str, Any]]:
        """``rateLimits`` of ``exchangeInfo``."""
        return [
            {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
            for kind, interval, number, limit in (
                ("REQUEST_WEIGHT", "MINUTE", 1, self.weight_minute or 10**9),
                ("ORDERS", "SECOND", 10, self.orders_10s),
                ("ORDERS", "DAY", 1, self.orders_day),
            )
        ]


LOCKSTEP: Final = Limits(0, 100_000, 100_000_000)


class WeightMeter:
    """Weight used in the current minute of wall time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._window = 0
        self.used = 0

    def charge(self, weight: int, wall_ns: int) -> None:
        """Count a request.

        Raises
        ------
        ApiError
            -1003 with status 429 over the limit; ``data.retryAfter`` is the end of the window in ms.
        """
        window = wall_ns // MINUTE
        if window != self._window:
            self._window, self.used = window, 0
        self.used += weight
        if self._limit and self.used > self._limit:
            raise ApiError(
                -1003,
                f"Too much request weight used; current limit is {self._limit} request weight per 1 MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API.",
                429,
                {"serverTime": wall_ns // 1_000_000, "retryAfter": (window + 1) * MINUTE // 1_000_000},
            )

    def forgive(self, weight: int) -> None:
        """Take back the weight of an order request that succeeded."""
        self.used = max(0, self.used - weight)


class OrderMeter:
    """Unfilled-order counts of one account in windows of market time."""

    def __init__(self, limits: Limits) -> None:
        self._windows = ((10 * SECOND, limits.orders_10s, "10 SECOND"), (DAY, limits.orders_day, "1 DAY"))
        self._at = [-1, -1]
        self.counts = [0, 0]

    def roll(self, market_ns: int) -> None:
        """Start the windows that an instant belongs to."""
        for i, (width, _, _) in enumerate(self._windows):
            if self._at[i] != market_ns // width:
                self._at[i], self.counts[i] = market_ns // width, 0

    def charge(self, market_ns: int) -> None:
        """Count a new order.

        Raises
        ------
        ApiError
            -1015 with status 429 over a limit.
        """
        self.roll(market_ns)
        for i, (_, limit, words) in enumerate(self._windows):
            if self.counts[i] >= limit:
                raise ApiError(-1015, f"Too many new orders; current limit is {limit} orders per {words}.", 429)
        self.counts = [count + 1 for count in self.counts]

    def credit(self, count: int) -> None:
        """Lower the counts after a first fill: 1 as taker, 5 as maker (the example of order_count_decrement.md)."""
        self.counts = [max(0, used - count) for used in self.counts]

    def describe(self, market_ns: int) -> list[dict[str, Any]]:
        """Answer of ``rateLimit/order``."""
        self.roll(market_ns)
        return [
            {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number, "limit": limit, "count": count}
            for (interval, number), (_, limit, _), count in zip(
                (("SECOND", 10), ("DAY", 1)), self._windows, self.counts, strict=True
            )
        ]
