"""What a venue allows and how long it may be silent; waiting between attempts."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic


@dataclass(frozen=True, slots=True)
class Limits:
    """Manners towards one venue.

    Parameters
    ----------
    attempts, window_s
        Connection attempts allowed in any span of ``window_s`` seconds, all sockets together.
    silence_s
        A socket that has sent nothing at all, not even a ping, for so long is dead; ``None``: it may be silent.
    ping_after_s
        We ping after so much silence, and a socket that does not answer is dead; ``None``: we never do.
    messages_per_s
        What we may send on a socket.
    symbols_per_socket
        Instruments on one socket.
    snapshot_s
        A book that has none after so long on an open socket costs a reconnect.
    first_backoff_s, longest_backoff_s
        Waiting before the second attempt, and at most.
    """

    attempts: int
    window_s: float
    silence_s: float | None
    ping_after_s: float | None = None
    messages_per_s: float = 5.0
    symbols_per_socket: int = 50
    snapshot_s: float = 20.0
    first_backoff_s: float = 0.25
    longest_backoff_s: float = 30.0


@dataclass(slots=True)
class Backoff:
    """Doubling pauses with jitter: each is between half and the whole of its step, so that clients spread out.

    Parameters
    ----------
    first_s, longest_s
        First and longest step, seconds.
    uniform
        Draws from ``[low, high]``.
    """

    first_s: float
    longest_s: float
    uniform: Callable[[float, float], float] = random.uniform
    _step: float = field(default=0.0, init=False)

    def next(self) -> float:
        """Seconds to wait now."""
        self._step = min(2 * self._step, self.longest_s) if self._step else self.first_s
        return self.uniform(self._step / 2, self._step)

    def reset(self) -> None:
        """Begin anew with the first step."""
        self._step = 0.0


class RateLimiter:
    """Lets at most ``count`` through in any span of ``window_s`` seconds.

    Parameters
    ----------
    now, sleep
        The monotonic time in seconds, and waiting.
    """

    def __init__(
        self,
        count: int,
        window_s: float,
        *,
        now: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._count, self._window, self._now, self._sleep = count, window_s, now, sleep
        self._passed: deque[float] = deque()
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait until one more is allowed."""
        async with self._turn:
            while True:
                moment = self._now()
                while self._passed and self._passed[0] <= moment - self._window:
                    self._passed.popleft()
                if len(self._passed) < self._count:
                    self._passed.append(moment)
                    return
                await self._sleep(self._passed[0] + self._window - moment)
