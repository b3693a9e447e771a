"""How market time runs: in lockstep with registered sessions, or as a multiple of wall time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from tidewright.market.clock import SECOND
from tidewright.market.errors import UsageError

LOCKSTEP: Final = "lockstep"
_SLOWEST_TICK_S: Final = 0.05
_FASTEST_TICK_S: Final = 0.002


def parse_pace(text: str) -> float | None:
    """``None`` for ``lockstep``, else market seconds a wall second from ``1x`` to ``60x``.

    Raises
    ------
    UsageError
        If the text is neither.
    """
    raw = text.strip().lower()
    if raw == LOCKSTEP:
        return None
    try:
        pace = float(raw.removesuffix("x"))
    except ValueError:
        pace = 0.0
    if not 1.0 <= pace <= 60.0:
        raise UsageError(f"the pace must be lockstep or 1x to 60x, was {text!r}")
    return pace


class MarketTime:
    """Market time of the exchange: it stands where the last step left it, and in paced modes runs on with the wall.

    Parameters
    ----------
    now_ns
        Where it stands at first.
    end_ns
        Where it ends.
    pace
        Market seconds a wall second; ``None`` in lockstep.
    monotonic_ns
        A clock that never falls.
    """

    def __init__(
        self, now_ns: int, end_ns: int, pace: float | None, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.pace = pace
        self.now_ns = now_ns
        self.end_ns = end_ns
        self._monotonic_ns = monotonic_ns
        self._anchor = (now_ns, monotonic_ns())

    def restart(self) -> None:
        """Let market time run on from where it stands."""
        self._anchor = (self.now_ns, self._monotonic_ns())

    def market_ns(self) -> int:
        """Market time of a request that comes now."""
        if self.pace is None:
            return self.now_ns
        market, wall = self._anchor
        return min(self.end_ns, max(self.now_ns, market + int((self._monotonic_ns() - wall) * self.pace)))

    def wall_seconds_to(self, market_ns: int) -> float:
        """Wall seconds until market time gets to an instant; 0 in lockstep and at the end, where nobody can wait."""
        if self.pace is None:
            return 0.0
        return max(0.0, (min(market_ns, self.end_ns) - self.market_ns()) / self.pace / SECOND)


class Pacer:
    """Drives market time in paced modes.

    Parameters
    ----------
    clock
        Market time.
    step
        Lets market time run to an instant and publishes what becomes known.
    next_event_ns
        When something is next to be published or announced.
    """

    def __init__(
        self, clock: MarketTime, step: Callable[[int], Awaitable[None]], next_event_ns: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._step = step
        self._next_event_ns = next_event_ns

    async def run(self) -> None:
        """Run to the end of the tape."""
        clock = self._clock
        while clock.now_ns < clock.end_ns:
            await self._step(clock.market_ns())
            wait = clock.wall_seconds_to(self._next_event_ns())
            await asyncio.sleep(min(max(wait, _FASTEST_TICK_S), _SLOWEST_TICK_S))
