"""What a direction that the agents have decided does to quotes: it takes some away, it never adds one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from tidewright.agents.executor.executor import Decision
from tidewright.market.codes import BUY, SELL
from tidewright.risk import gate

_LEAVING: Final = frozenset(
    gate.REASONS[bit] for bit in (gate.STOP_LOSS, gate.DAILY_LOSS, gate.DRAWDOWN, gate.VOLATILITY_CUTOFF)
)
REDUCING: Final = _LEAVING | {gate.REASONS[gate.POSITION_LIMIT]}
"""Reasons of a decision with which a position is only reduced or left."""
_WORDS: Final = {2: "strong buy", 1: "buy", -1: "sell", -2: "strong sell"}


class Owners(Protocol):
    """Knows whose quotes are; :class:`tidewright.trading.several.Desk` is one."""

    def closing(self, side: int, quotes: Sequence[tuple[int, int]]) -> list[bool]:
        """Which quotes of a side close what somebody holds who may only reduce."""
        ...


def leaned(decision: Decision, lean: int, position_lots: int = 0, owners: Owners | None = None) -> Decision:
    """The decision with fewer quotes against the direction: half of each (whole lots, rounded down) at one step, none
    at two. Where a limit makes the session reduce or leave its position, the direction does not count; where it makes
    one of several agents do so, or an agent has no capital, it does not count for the quotes that close what it holds.

    Parameters
    ----------
    lean
        -2 strong sell to 2 strong buy.
    position_lots
        What the session holds, lots, signed: under the position limit the quotes that close it are kept.
    owners
        Whose the quotes are, where there are several agents.
    """
    if not lean or _LEAVING & set(decision.why):
        return decision
    side, against = (SELL, decision.asks) if lean > 0 else (BUY, decision.bids)
    left = 0
    if gate.REASONS[gate.POSITION_LIMIT] in decision.why:
        left = position_lots if side == SELL else -position_lots
    whole = [False] * len(against) if owners is None else owners.closing(side, against)
    kept = []
    for (price, lots), closes in zip(against, whole, strict=True):
        lots_kept = lots if closes or left > 0 else lots // 2 if abs(lean) == 1 else 0
        left -= lots
        if lots_kept:
            kept.append((price, lots_kept))
    why = (*decision.why, f"the agents lean: {_WORDS[lean]}")
    return replace(decision, asks=kept, why=why) if lean > 0 else replace(decision, bids=kept, why=why)
