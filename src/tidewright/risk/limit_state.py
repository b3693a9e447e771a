"""What limits remember: the day's first equity, the highest, what halts, how many orders were sent this minute.

Plain values, so that they can be written down each cycle and found again after a kill: starting anew resets no limit.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tidewright.market.clock import DAY, MINUTE
from tidewright.market.errors import DataError, UsageError
from tidewright.risk import gate
from tidewright.risk.limits import Limits

RELEASABLE: Final = {"daily_loss": gate.DAILY_LOSS, "drawdown": gate.DRAWDOWN}


@dataclass(slots=True)
class LimitState:
    """Memory of the limits of one account.

    Attributes
    ----------
    day
        Number of the day since 1970 that ``day_equity`` is of; -1: none yet.
    day_equity, peak_equity
        Equity at the day's first decision and the highest so far, quote.
    halts
        Limits that still halt: a mask of :mod:`tidewright.risk.gate`.
    recent
        When new orders were sent, ns, and how many, oldest first; of the minute before the newest decision.
    seen_ns
        Time of the newest decision.
    leaving
        Decisions in a row at which the position had to be left and was not flat.
    """

    day: int = -1
    day_equity: float = 0.0
    peak_equity: float = 0.0
    halts: int = 0
    recent: list[tuple[int, int]] = field(default_factory=list)
    seen_ns: int = 0
    leaving: int = 0

    @property
    def sent(self) -> int:
        """New orders in the 60 seconds before the newest decision, and at it."""
        return sum(count for _, count in self.recent)

    def count(self, orders: int) -> None:
        """New orders are about to be sent at the newest decision."""
        if orders:
            self.recent.append((self.seen_ns, orders))

    def observe(self, now_ns: int, equity: float, limits: Limits) -> None:
        """Take in the equity of a decision; a new day ends a daily-loss halt and begins with this equity."""
        day = (now_ns + limits.day_offset_ns) // DAY
        if day != self.day:
            self.day, self.day_equity = day, equity
            self.halts &= ~gate.DAILY_LOSS
        self.peak_equity = max(self.peak_equity, equity) if self.peak_equity else equity
        self.seen_ns = now_ns
        self.recent = [(at, orders) for at, orders in self.recent if at > now_ns - MINUTE]

    def latch(self, mask: int, limits: Limits) -> int:
        """Keep what halts beyond its breach; the bits that were not there before."""
        new = int(gate.latched(mask, limits.values())) & ~self.halts
        self.halts |= new
        return new

    def release(self, name: str, equity: float) -> None:
        """Somebody releases a halt: what it was measured against begins anew with this equity.

        Raises
        ------
        UsageError
            If the limit is unknown or does not halt.
        """
        if name not in RELEASABLE:
            raise UsageError(f"limit must be one of {', '.join(RELEASABLE)}, was {name!r}")
        if not self.halts & RELEASABLE[name]:
            raise UsageError(f"limit {name} does not halt: there is nothing to release")
        self.halts &= ~RELEASABLE[name]
        if name == "drawdown":
            self.peak_equity = equity
        else:
            self.day_equity = equity

    def fall(self, equity: float) -> float:
        """Fall of an equity from the peak, fraction, >= 0."""
        return max(0.0, 1.0 - equity / self.peak_equity) if self.peak_equity > 0 else 0.0

    def day_loss(self, equity: float) -> float:
        """Loss of an equity against the day's start, fraction, >= 0."""
        return max(0.0, 1.0 - equity / self.day_equity) if self.day_equity > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "LimitState":
        """State of the plain values of :meth:`to_json`.

        Raises
        ------
        DataError
            If a value is missing or not a number.
        """
        try:
            return cls(
                int(data["day"]),
                float(data["day_equity"]),
                float(data["peak_equity"]),
                int(data["halts"]),
                _recent(data),
                int(data.get("seen_ns", 0)),
                int(data.get("leaving", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the written state of the limits is damaged: {error!r}") from None


def _recent(data: dict[str, Any]) -> list[tuple[int, int]]:
    """Orders of the last minute; a state of before knew only a fixed minute: all of it counts to its end."""
    if "recent" in data:
        return [(int(at), int(orders)) for at, orders in data["recent"]]
    return [((int(data["minute"]) + 1) * MINUTE - 1, int(data["sent"]))] if int(data["sent"]) else []
