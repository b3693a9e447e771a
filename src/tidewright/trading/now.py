"""What a session shows of itself after each cycle."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tidewright.trading.guard import RiskNow
from tidewright.venues.interface import FillUpdate


@dataclass(frozen=True, slots=True)
class AgentNow:
    """One of several strategies on the account.

    Attributes
    ----------
    share
        Of the capital, in [0, 1].
    capital_units, gain_units, fees_units
        What it was given, what it has earned after fees, and these, 1e-8 quote.
    trades
        Its parts of fills and its trades with other agents.
    fault
        Why it wants nothing; empty: it speaks.
    """

    name: str
    strategy: str
    share: float
    capital_units: int
    position_lots: int
    gain_units: int
    fees_units: int
    trades: int
    fault: str
    params: dict[str, float]


@dataclass(slots=True)
class Now:
    """What a display shows, after each cycle.

    Attributes
    ----------
    stage
        ``"warm-up"``, ``"trading"``, ``"ending"`` or ``"ended"``.
    quotes
        Orders believed to be open: (side, ticks, lots left).
    newest_fills
        The last few fills.
    ended_by
        The command that ended it, and what became of the position; empty if none did.
    rollout, rollout_state
        The stage of the parameters in use, in words and as plain values; empty without an optimizer.
    seat
        Who steers, its newest action, its challenger, its sizing; empty: nobody.
    agents
        Those that trade, where there are several.
    risk
        Makes up what screens show of risk; asked by those that show it, for it takes a moment.
    """

    stage: str = "starting"
    market_ns: int = 0
    cycle: int = 0
    cycles_due: int = 0
    mid2: int = 0
    position_lots: int = 0
    equity_units: int = 0
    start_equity_units: int = 0
    realised_units: int = 0
    unrealised_units: int = 0
    fees_units: int = 0
    orders: int = 0
    fills: int = 0
    cancels: int = 0
    rejected: int = 0
    proposals: int = 0
    accepted: int = 0
    refused: int = 0
    errors: int = 0
    quotes: list[tuple[int, int, int]] = field(default_factory=list)
    newest_fills: list[FillUpdate] = field(default_factory=list)
    params: dict[str, float] = field(default_factory=dict)
    advice: str = ""
    why: str = ""
    paused: bool = False
    ended_by: str = ""
    rollout: str = ""
    rollout_state: dict[str, Any] = field(default_factory=dict)
    coordination: str = ""
    shares: dict[str, float] = field(default_factory=dict)
    seat: dict[str, Any] = field(default_factory=dict)
    agents: list[AgentNow] = field(default_factory=list)
    risk: Callable[[], RiskNow] = RiskNow

    @property
    def traded_units(self) -> int:
        """What trading alone has earned, after fees: without the price of what was held at the start, 1e-8 quote."""
        return self.realised_units + self.unrealised_units - self.fees_units


class Observer(Protocol):
    """Sees the session after each cycle; must not change it."""

    def __call__(self, now: Now) -> None:
        """Look."""
        ...
