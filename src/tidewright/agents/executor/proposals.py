"""Whether the executor takes proposed parameters: by confidence, form, ranges and risk. Every no says why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidewright.coordination.payloads import ParameterUpdate
from tidewright.market.errors import UsageError
from tidewright.risk.limits import Limits
from tidewright.strategies import registry


@dataclass(frozen=True, slots=True)
class Standing:
    """What a proposal is judged against.

    Attributes
    ----------
    strategy, params
        What trades now.
    limits
        Risk limits of the session.
    equity, mid
        Quote, and quote per base.
    threshold
        Least confidence, a probability.
    awaited
        Id of the request that is open; a proposal that answers another one is stale. Empty: anything is taken.
    """

    strategy: str
    params: Mapping[str, float]
    limits: Limits
    equity: float
    mid: float
    threshold: float
    awaited: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Taken or not.

    Attributes
    ----------
    params
        The full set of parameters that will trade; empty when refused.
    reasons
        Why not; for an accepted proposal what spoke for it.
    """

    accepted: bool
    reasons: tuple[str, ...]
    params: Mapping[str, float] = field(default_factory=dict)


def judge(proposal: ParameterUpdate, standing: Standing) -> Verdict:
    """Accept or refuse a proposal that is valid in form."""
    reasons: list[str] = []
    if standing.awaited and proposal.in_reply_to not in (None, standing.awaited):
        reasons.append(f"stale: it answers request {proposal.in_reply_to}, {standing.awaited} is open")
    if proposal.confidence_score < standing.threshold:
        reasons.append(f"confidence {proposal.confidence_score:.3f} is under the threshold {standing.threshold:.3f}")
    if proposal.strategy is not None and proposal.strategy != standing.strategy:
        reasons.append(f"it is for strategy {proposal.strategy}, {standing.strategy} trades")
        return Verdict(False, tuple(reasons))
    merged, fault = _merged(proposal, standing)
    if fault:
        reasons.append(fault)
    else:
        reasons += _risks(proposal, merged, standing)
    if reasons:
        return Verdict(False, tuple(reasons))
    changed = ", ".join(
        f"{name} {standing.params.get(name, value):g} → {value:g}"
        for name, value in merged.items()
        if standing.params.get(name) != value
    )
    confidence = f"confidence {proposal.confidence_score:.3f} is at least {standing.threshold:.3f}"
    return Verdict(True, (confidence, changed or "nothing changes"), merged)


def _merged(proposal: ParameterUpdate, standing: Standing) -> tuple[dict[str, float], str]:
    names = registry.strategy(standing.strategy).names
    proposed = proposal.optimized_params.values()
    if proposal.strategy is None:  # the schema's four names, of which this strategy may not know all
        proposed = {name: value for name, value in proposed.items() if name in names}
    merged = {**standing.params, **proposed}
    try:
        registry.rows(standing.strategy, merged, 1)
    except UsageError as error:
        return {}, str(error)
    return merged, ""


def _risks(proposal: ParameterUpdate, merged: Mapping[str, float], standing: Standing) -> list[str]:
    found = []
    limits = standing.limits
    allowed = None if limits.max_position_share is None else limits.max_position_share * standing.equity
    if allowed is not None:
        # What the strategy may hold when every quote of a side fills at its last allowed decision.
        most = merged.get("max_position", 0.0) * standing.mid
        if most > allowed:
            found.append(
                f"max_position {merged['max_position']:g} is worth {most:.2f}, the position limit allows {allowed:.2f}"
            )
        side = merged.get("levels", 1.0) * merged.get("base_quantity", 0.0) * standing.mid
        if side > allowed:
            found.append(f"one side of quotes is worth {side:.2f}, the position limit allows {allowed:.2f}")
    drawdown = proposal.performance_metrics.max_drawdown
    if limits.daily_loss is not None and drawdown > limits.daily_loss:
        found.append(f"its drawdown {drawdown:.2%} is beyond the daily loss limit {limits.daily_loss:.2%}")
    return found
