"""Whether a policy fits a session: what it learned with against what it would trade with."""

from typing import Final

import numpy as np

from tidewright.agents.executor import environment_kernel as kernel
from tidewright.agents.executor import seating
from tidewright.agents.executor.environment_tape import TapeSettings
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.seat import Sitter
from tidewright.agents.executor.state import NAMES
from tidewright.market.errors import UsageError

# Parameters of the base rule that an optimizer tunes under a policy, and how far it may go.
TUNED: Final[dict[str, dict[str, float]]] = {
    "gamma": {"low": 1e-4, "high": 0.1},
    "kappa": {"low": 0.02, "high": 2.0},
}
_APART: Final = 2.0  # sizes may differ by this factor from those learned with


def mismatches(sitter: Sitter, strategy: str, cycle_ns: int) -> list[str]:
    """Why a policy cannot trade in a session at all: each reason with what would fit."""
    policy, settings = sitter.policy, sitter.settings
    if policy is None or settings is None:
        return []
    found = []
    if strategy != sitter.strategy:
        found.append(f"it steers the strategy {sitter.strategy}, the session's is {strategy}")
    if settings.cycle_ns != cycle_ns:
        found.append(
            f"it learned at a cycle of {settings.cycle_ns / 1e9:g} s, the session's is {cycle_ns / 1e9:g} s: "
            f'set cycle = "{settings.cycle_ns / 1e9:g}s" or train one for it'
        )
    return found + unseatable(policy, settings)


def unseatable(policy: Policy, settings: TapeSettings) -> list[str]:
    """Why a policy can sit in no session at all, whatever an operator overrides; none: there is one it fits."""
    found = []
    if settings.extended or policy.spaces.observation != len(NAMES):
        found.append(
            f"it looks at {policy.spaces.observation} numbers, a session knows {len(NAMES)}: queue positions are not "
            "told by a venue; train one without --extended"
        )
    if policy.spaces.continuous != 3 or policy.spaces.discrete != (settings.levels + 1, kernel.STANCES):
        found.append("its actions have another form than a session's")
    return found


def size_mismatches(sitter: Sitter, base_quantity: float, max_position: float, allowed: float) -> list[str]:
    """Whether the scale of a session is the one that was learned with.

    Parameters
    ----------
    base_quantity, max_position, allowed
        Base units: one quote, the largest position aimed at, and what the limit ``max_position_share`` allows.
    """
    settings = sitter.settings
    if settings is None or not 0.0 < allowed < float("inf") or base_quantity <= 0.0 or max_position <= 0.0:
        return []
    quote, largest = settings.sizes(1.0, 0.0)
    learned = (settings.limits.max_position_share or 0.01) * settings.capital
    found = []
    pairs = (
        ("max_position", max_position, largest / learned, allowed, "of what max_position_share allows"),
        ("base_quantity", base_quantity, quote / largest, max_position, "of max_position"),
    )
    for name, value, share, whole, of in pairs:
        if not share / _APART <= value / whole <= share * _APART:
            found.append(
                f"{name} {value:g} is {value / whole:.3g} {of}, it learned with {share:.3g}: "
                f"set {name} to about {share * whole:.4g}"
            )
    return found


def sizes(sitter: Sitter, equity: float, mid: float, lot: float, share: float | None) -> tuple[float, float]:
    """Base quantity and largest position, whole lots in base units, in the proportions that a policy learned with.

    Parameters
    ----------
    share
        The session's ``max_position_share``; ``None``: the policy's own.

    Raises
    ------
    UsageError
        If a quote would be less than a lot.
    """
    settings = sitter.settings
    if settings is None:
        raise UsageError("the base rule has no sizes of its own: set base_quantity and max_position")
    learned = settings.limits.max_position_share or 0.01
    quote, largest = settings.sizes(1.0, 0.0)
    scale = (share or learned) * equity / (learned * settings.capital) / mid
    found = tuple(float(np.floor(size * scale / lot + 1e-9)) * lot for size in (quote, largest))
    if found[0] <= 0.0:
        enough = equity * lot / (quote * scale) * 1.01
        raise UsageError(f"a quote of this policy is less than one lot ({lot:g}): equity of {enough:.0f} is enough")
    return round(found[0], 12), round(found[1], 12)


def doubts(sitter: Sitter, maker_fee: int | None) -> list[str]:
    """What speaks against a policy that could trade here: an operator may seat it all the same."""
    if sitter.policy is None or sitter.settings is None:
        return []
    fees = [] if maker_fee is None else _fees(sitter.settings, maker_fee)
    return [*seating.may_be_seated(sitter.policy), *fees]


def undecided(sitter: Sitter) -> list[str]:
    """Examinations of a policy that came to no result: no reason against a seat, but to be shown beside it."""
    return [] if sitter.policy is None else seating.doubts(sitter.policy)


def _fees(settings: TapeSettings, maker_fee: int) -> list[str]:
    known = settings.random.maker_fees
    if not known:
        return ["it does not say with which maker fees it learned"]
    if min(known) <= maker_fee <= max(known):
        return []
    return [f"the maker fee is {maker_fee / 1e4:g} bp, it learned with {min(known) / 1e4:g} to {max(known) / 1e4:g} bp"]
