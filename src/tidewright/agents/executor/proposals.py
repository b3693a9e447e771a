"""Whether the executor takes proposed parameters: by confidence, form, ranges and risk. Every no says why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from tidewright.coordination.payloads import Checks, ParameterUpdate
from tidewright.market.errors import UsageError
from tidewright.risk.limits import Limits
from tidewright.strategies import registry


@dataclass(frozen=True, slots=True)
class Gate:
    """What a proposal's own figures must reach besides the confidence; ``None`` switches a threshold off.

    Attributes
    ----------
    min_deflated_sharpe
        Least deflated Sharpe ratio (a probability) of the in-sample difference to what trades, against the best of all
        trials. 0.01: refused where it is clear at 1 % that the best of so many useless candidates shows as much. Higher
        is more careful and slower to follow a market that has changed; a canary and its roll-back stand behind it.
        docs/validation.md has what other values would have earned.
    max_overfitting
        Largest probability of backtest overfitting (CSCV). 0.5 is what useless candidates show on average.
    min_stability
        Least share of the gain that the median neighbour keeps: a peak without a hillside is luck.
    min_paired_lower
        Least lower end of the interval of the out-of-sample difference a cycle, quote; off by default, the confidence
        weighs the same differences.
    require
        Whether a proposal that does not state a figure with a threshold is refused; otherwise it is passed over.
    overfitting_loss
        A probability of overfitting over its limit is let pass where the best in sample earned less than what trades
        in at most this share of the same splits: of candidates that are all better none needs to be the best again.
    """

    min_deflated_sharpe: float | None = 0.01
    max_overfitting: float | None = 0.5
    min_stability: float | None = 0.5
    min_paired_lower: float | None = None
    require: bool = False
    overfitting_loss: float | None = 0.2

    def __post_init__(self) -> None:
        for name in ("min_deflated_sharpe", "max_overfitting", "overfitting_loss"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise UsageError(f"{name} is a probability: it must be in [0, 1], was {value}")
        for name in ("min_stability", "min_paired_lower"):
            value = getattr(self, name)
            if value is not None and not isfinite(value):
                raise UsageError(f"{name} must be a finite number, was {value}")


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
    gate
        Thresholds for a proposal's own figures.
    held
        Why nothing can be taken now, such as a canary that still runs; empty: something can.
    """

    strategy: str
    params: Mapping[str, float]
    limits: Limits
    equity: float
    mid: float
    threshold: float
    awaited: str = ""
    gate: Gate = field(default_factory=Gate)
    held: str = ""


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
    if standing.held:
        reasons.append(standing.held)
    if proposal.confidence_score < standing.threshold:
        reasons.append(f"confidence {proposal.confidence_score:.3f} is under the threshold {standing.threshold:.3f}")
    reasons += gate_reasons(proposal.checks, standing.gate)
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


def gate_reasons(checks: Checks | None, gate: Gate) -> list[str]:
    """Thresholds that a proposal's figures do not reach, each by its name."""
    found = checks or Checks()
    table = (
        ("deflated Sharpe ratio", "min_deflated_sharpe", found.deflated_sharpe, gate.min_deflated_sharpe, 1),
        ("probability of overfitting", "max_overfitting", found.overfitting, gate.max_overfitting, -1),
        ("share of the gain its neighbours keep", "min_stability", found.stability, gate.min_stability, 1),
        ("lower end of its paired difference", "min_paired_lower", found.paired_lower, gate.min_paired_lower, 1),
    )
    beaten = gate.overfitting_loss is not None and found.loss is not None and found.loss <= gate.overfitting_loss
    reasons = []
    for words, name, value, bound, sign in table:
        if bound is None or (name == "max_overfitting" and beaten):
            continue
        if value is None:
            if gate.require:
                reasons.append(f"its {words} is not known, {name} {bound:.3g} asks for it")
        elif sign * value < sign * bound:
            where = "under" if sign > 0 else "over"
            reasons.append(f"its {words} {value:.3g} is {where} {name} {bound:.3g}")
    return reasons


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
