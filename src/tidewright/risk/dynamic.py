"""Limits that tighten by what is measured: volatility, drawdown, lost correlation, poor calibration, stale data.

A pure function from measured inputs to a factor for each limit, never above 1: the limits that were set are the widest
there will ever be. Every change has a cause in words, to be journalled.
"""

from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from tidewright.market.clock import SECOND
from tidewright.market.errors import UsageError

SCALED: Final = ("max_position_share", "order_notional", "orders_per_minute", "stop_loss")
"""Limits that a factor may tighten; halting ones (daily loss, drawdown, volatility) stay where they were set."""

_STEPS: Final = 20  # factors are whole twentieths, so that a flicker of an input is not an event a cycle


class Measured(NamedTuple):
    """What the rules look at; ``None``: not known, and then it tightens nothing.

    Attributes
    ----------
    volatility, usual_volatility
        EWMA deviation of the log return a cycle now, and its long mean.
    drawdown
        Fall of equity from its peak, fraction.
    lost_correlations
        Pairs of instruments whose correlation has broken (see :mod:`tidewright.risk.correlation`).
    calibration
        Brier score of the optimizer's confidence over its judged proposals; 0.25 is a coin's.
    proposals
        How many were judged.
    data_age_ns
        Market time since the newest row of the feed.
    """

    volatility: float | None = None
    usual_volatility: float | None = None
    drawdown: float | None = None
    lost_correlations: int | None = None
    calibration: float | None = None
    proposals: int = 0
    data_age_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How much each input tightens.

    Attributes
    ----------
    volatility_ratio
        Volatility over the usual from which on limits shrink as its reciprocal: at twice the ratio to a half.
    drawdown_begin, drawdown_full
        Drawdown at which limits begin to shrink, and at which the least is reached; linear between.
    correlation
        Factor for each pair whose correlation broke.
    coin
        Brier score from which on a confidence is no better than a coin.
    calibration
        Factor then; only with at least ``least_proposals`` judged.
    stale_begin_ns, stale_full_ns
        Age of the data at which limits begin to shrink, and at which the least is reached.
    least
        No product of factors falls below it.
    """

    volatility_ratio: float = 2.0
    drawdown_begin: float = 0.03
    drawdown_full: float = 0.10
    correlation: float = 0.8
    coin: float = 0.25
    calibration: float = 0.75
    least_proposals: int = 10
    stale_begin_ns: int = 30 * SECOND
    stale_full_ns: int = 120 * SECOND
    least: float = 0.1

    def __post_init__(self) -> None:
        for name in ("correlation", "calibration", "least"):
            if not 0 < getattr(self, name) <= 1:
                raise UsageError(f"the dynamic factor {name} must be in (0, 1], was {getattr(self, name)}")
        if not self.volatility_ratio > 0 or not 0 <= self.drawdown_begin < self.drawdown_full:
            raise UsageError("dynamic rules need volatility_ratio > 0 and drawdown_begin < drawdown_full")
        if not 0 <= self.stale_begin_ns < self.stale_full_ns:
            raise UsageError("dynamic rules need stale_begin_ns < stale_full_ns")


class Tightening(NamedTuple):
    """What the rules say now.

    Attributes
    ----------
    factors
        By limit of :data:`SCALED`, each in (0, 1].
    causes
        What tightens them, in words, with figures; empty if nothing does.
    """

    factors: dict[str, float]
    causes: tuple[str, ...]


NOTHING: Final = Tightening(dict.fromkeys(SCALED, 1.0), ())


def tighten(measured: Measured, rules: Rules | None = None) -> Tightening:
    """The factor of each limit and why: the product of each input's, not below the least, rounded down to 1/20."""
    set_by = rules or Rules()
    parts = {
        "volatility": _by_volatility(measured, set_by),
        "drawdown": _by_drawdown(measured, set_by),
        "correlation": _by_correlation(measured, set_by),
        "calibration": _by_calibration(measured, set_by),
        "stale data": _by_age(measured, set_by),
    }
    product, causes = 1.0, []
    for factor, cause in parts.values():
        if factor < 1.0:
            product *= factor
            causes.append(cause)
    factor = max(set_by.least, int(product * _STEPS + 1e-9) / _STEPS)
    if factor >= 1.0:
        return NOTHING
    return Tightening(dict.fromkeys(SCALED, factor), tuple(causes))


def _by_volatility(measured: Measured, rules: Rules) -> tuple[float, str]:
    if not measured.volatility or not measured.usual_volatility:
        return 1.0, ""
    ratio = measured.volatility / measured.usual_volatility
    return min(1.0, rules.volatility_ratio / ratio), f"volatility is {ratio:.1f} times the usual"


def _by_drawdown(measured: Measured, rules: Rules) -> tuple[float, str]:
    if measured.drawdown is None:
        return 1.0, ""
    return (
        _slide(measured.drawdown, rules.drawdown_begin, rules.drawdown_full, rules.least),
        f"equity is {measured.drawdown:.1%} below its peak",
    )


def _by_correlation(measured: Measured, rules: Rules) -> tuple[float, str]:
    pairs = measured.lost_correlations or 0
    return rules.correlation**pairs, f"{pairs} correlation{'s' * (pairs != 1)} lost"


def _by_calibration(measured: Measured, rules: Rules) -> tuple[float, str]:
    score = measured.calibration
    if score is None or measured.proposals < rules.least_proposals or score < rules.coin:
        return 1.0, ""
    return (
        rules.calibration,
        f"the optimizer's confidence has a Brier score of {score:.3f} over {measured.proposals} proposals: "
        f"no better than {rules.coin:g}",
    )


def _by_age(measured: Measured, rules: Rules) -> tuple[float, str]:
    if measured.data_age_ns is None:
        return 1.0, ""
    return (
        _slide(measured.data_age_ns, rules.stale_begin_ns, rules.stale_full_ns, rules.least),
        f"market data is {measured.data_age_ns / SECOND:.1f} s old",
    )


def _slide(value: float, begin: float, full: float, least: float) -> float:
    if value <= begin:
        return 1.0
    return max(least, 1.0 - (1.0 - least) * (value - begin) / (full - begin))


def to_json(rules: Rules) -> dict[str, float]:
    """Plain values."""
    return asdict(rules)
