"""Time as int64 nanoseconds since 1970 (UTC), and the clock that is passed in wherever time is needed."""

import time
from datetime import UTC, datetime
from typing import Final, Protocol

from tidewright.market.errors import UsageError

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR

_UNITS: Final = {"ns": 1, "us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


class Clock(Protocol):
    """Market time (scaled, may stand still) and wall time (never scaled: authentication, sockets)."""

    def market_ns(self) -> int:
        """Venue time in nanoseconds."""
        ...

    def wall_ns(self) -> int:
        """System time in nanoseconds."""
        ...


class WallClock:
    """A live venue's clock: market time is wall time."""

    def market_ns(self) -> int:
        """Venue time in nanoseconds."""
        return time.time_ns()

    def wall_ns(self) -> int:
        """System time in nanoseconds."""
        return time.time_ns()


class ManualClock:
    """A clock that stands where it was put: lockstep sessions move it to each barrier, tests to anywhere.

    Parameters
    ----------
    market_ns
        Where market time stands, nanoseconds.
    """

    def __init__(self, market_ns: int = 0) -> None:
        self._market_ns = market_ns

    def set(self, market_ns: int) -> None:
        """Move market time; it may not fall."""
        if market_ns < self._market_ns:
            raise UsageError(f"market time may not fall: from {self._market_ns} to {market_ns}")
        self._market_ns = market_ns

    def market_ns(self) -> int:
        """Venue time in nanoseconds."""
        return self._market_ns

    def wall_ns(self) -> int:
        """System time in nanoseconds."""
        return time.time_ns()


def parse_duration(text: str | int | float) -> int:
    """Nanoseconds from ``"30s"``, ``"50ms"``, ``"1.5h"`` or a number of seconds.

    Raises
    ------
    UsageError
        If the text is not a number with one of the units ns, us, ms, s, m, h, d, or is negative.
    """
    raw = str(text).strip()
    for unit in ("ns", "us", "ms", "s", "m", "h", "d"):
        if raw.endswith(unit) and (unit != "s" or raw[-2:-1].isdigit() or raw[-2:-1] == "."):
            number, scale = raw[: -len(unit)], _UNITS[unit]
            break
    else:
        number, scale = raw, SECOND
    try:
        value = float(number)
    except ValueError:
        raise UsageError(f"a duration is a number with ns, us, ms, s, m, h or d, was {text!r}") from None
    if not 0 <= value < float("inf"):
        raise UsageError(f"a duration must be >= 0 and finite, was {text!r}")
    return round(value * scale)


def iso(ns: int) -> str:
    """ISO 8601 text of a time, UTC, milliseconds: ``2026-01-05T22:54:47.210Z``."""
    seconds, rest = divmod(ns, SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest // MILLISECOND:03d}Z"
