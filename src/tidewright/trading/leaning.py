"""What a direction that the agents have decided does to quotes: it takes some away, it never adds one."""

from dataclasses import replace
from typing import Final

from tidewright.agents.executor.executor import Decision
from tidewright.risk import gate

_LEAVING: Final = frozenset(
    gate.REASONS[bit] for bit in (gate.STOP_LOSS, gate.DAILY_LOSS, gate.DRAWDOWN, gate.VOLATILITY_CUTOFF)
)
_WORDS: Final = {2: "strong buy", 1: "buy", -1: "sell", -2: "strong sell"}


def leaned(decision: Decision, lean: int) -> Decision:
    """The decision with fewer quotes against the direction: half of each (whole lots, rounded down) at one step, none
    at two. Where a limit makes the session reduce or leave its position, the direction does not count.

    Parameters
    ----------
    lean
        -2 strong sell to 2 strong buy.
    """
    if not lean or _LEAVING & set(decision.why):
        return decision
    against = decision.asks if lean > 0 else decision.bids
    kept = [(price, lots // 2) for price, lots in against if lots > 1] if abs(lean) == 1 else []
    why = (*decision.why, f"the agents lean: {_WORDS[lean]}")
    return replace(decision, asks=kept, why=why) if lean > 0 else replace(decision, bids=kept, why=why)
