"""The checks of a search's proposal, what the executor's gate says of them, and the assumptions: lines for people."""

from collections.abc import Mapping
from typing import Any, Final

from tidewright.agents.optimizer.optimize import Optimization
from tidewright.agents.optimizer.verdict import Gate

_CHECKS: Final = (
    ("deflated_sharpe", "deflated Sharpe ratio", "min_deflated_sharpe", "at least"),
    ("overfitting", "probability of overfitting", "max_overfitting", "at most"),
    ("stability", "share of the gain its neighbours keep", "min_stability", "at least"),
)


def told_verdict(done: Optimization) -> list[str]:
    """The checks with the gate's thresholds, and whether an executor would take the proposal; empty without one."""
    found, checks = done.verdict, done.checks
    if found is None or checks is None:
        return []
    gate = Gate()
    parts = [
        f"{words} {_number(checks[name])} ({how} {_number(getattr(gate, bound))})"
        for name, words, bound, how in _CHECKS
    ]
    lower, upper = checks["paired_lower"], checks["paired_upper"]
    across = ", which holds 0: the difference may be chance" if lower <= 0.0 <= upper else ""
    fills = done.found.outside[done.found.chosen].figures["fills"]
    said = "would take it" if found.accepted else f"would not take it: {'; '.join(found.reasons)}"
    return [
        f"checks (the gate's default threshold): {', '.join(parts)}; difference a cycle out of sample "
        f"{lower:+.6g} to {upper:+.6g}{across}; {fills:.0f} fills out of sample",
        f"the executor, with its default thresholds, {said}",
    ]


def told_assumptions(done: Optimization) -> list[str]:
    """What the figures rest on, a few lines."""
    told = done.assumptions
    if not told:
        return []
    return [
        f"assumed: fees {told['maker_fee']:.4%} maker, {told['taker_fee']:.4%} taker; latency "
        f"{told['entry_latency_ms']:g} ms, of the answer {told['response_latency_ms']:g} ms; queue {told['queue']}; "
        f"a decision every {told['cycle_s']:g} s; capital {float(told['capital']):g} a lane; "
        f"limits {_limits(told['limits'])}; market impact {told['market_impact']}; {'; '.join(told['rules'])}",
        f"sizes: {told['sizes']}",
    ]


def _limits(limits: Mapping[str, Any] | None) -> str:
    return "none" if limits is None else ", ".join(f"{name} {value}" for name, value in limits.items() if value)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3g}"
