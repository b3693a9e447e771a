"""Limits over all instruments at once, asked before an order: VaR, expected shortfall, concentration, correlation,
and whether what would be held could be left again.

Pure functions on plain arrays: the live session asks them before its orders, a backtest or a report may do the same.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np

from tidewright.market.clock import DAY
from tidewright.market.errors import DataError, UsageError
from tidewright.market.tape import F64
from tidewright.risk import correlation, liquidity
from tidewright.risk import value_at_risk as var
from tidewright.risk.liquidity import Liquidity


@dataclass(frozen=True, slots=True)
class PortfolioLimits:
    """Limits over a portfolio; ``None`` switches one off. A breach *reduces*: an order is cut to what still fits, one
    that makes the measure smaller always passes.

    Attributes
    ----------
    value_at_risk, expected_shortfall
        Most of equity that may be lost with ``confidence`` over ``horizon_ns``; 0.02 is 2 %.
    concentration
        Most of equity that one instrument may hold.
    correlated
        Most of equity that instruments which move as one may hold together, signs counted.
    correlation
        Absolute correlation from which on they do.
    unwind_cost
        Most that leaving a position may cost, fraction of its value.
    unwind_time_ns
        Longest that leaving it may take.
    confidence, horizon_ns, method
        Of VaR and shortfall; methods are those of :mod:`tidewright.risk.value_at_risk`.
    """

    value_at_risk: float | None = None
    expected_shortfall: float | None = None
    concentration: float | None = None
    correlated: float | None = None
    correlation: float = 0.7
    unwind_cost: float | None = None
    unwind_time_ns: int | None = None
    confidence: float = 0.99
    horizon_ns: int = DAY
    method: var.Method = "ewma"

    def __post_init__(self) -> None:
        for name in ("value_at_risk", "expected_shortfall", "concentration", "correlated", "unwind_cost"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not 0 < value < math.inf):
                raise UsageError(f"portfolio limit {name} must be > 0 and finite, or none, was {value!r}")
        if self.unwind_time_ns is not None and self.unwind_time_ns <= 0:
            raise UsageError(f"portfolio limit unwind_time must be > 0, was {self.unwind_time_ns}")
        if not 0 < self.correlation <= 1 or not 0.5 < self.confidence < 1 or self.horizon_ns <= 0:
            raise UsageError("portfolio limits need correlation in (0, 1], confidence in (0.5, 1) and a horizon > 0")
        if self.method not in var.METHODS:
            raise UsageError(f"VaR method must be one of {', '.join(var.METHODS)}, was {self.method!r}")

    @property
    def active(self) -> bool:
        """Whether any limit is on."""
        return any(
            getattr(self, name) is not None
            for name in (
                "value_at_risk",
                "expected_shortfall",
                "concentration",
                "correlated",
                "unwind_cost",
                "unwind_time_ns",
            )
        )

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What is held and what is known of it.

    Attributes
    ----------
    names
        Instruments.
    exposures
        Signed value of each, quote, (k,) float64.
    equity
        Quote.
    returns
        Of one step, (n, k) float64, oldest first; what cannot be measured on it (under 30 rows) is not known.
    step_ns
        Length of a step.
    markets
        Liquidity by name, of instruments for which it is known.
    """

    names: tuple[str, ...]
    exposures: F64
    equity: float
    returns: F64
    step_ns: int
    markets: Mapping[str, Liquidity] = field(default_factory=dict)

    def moved(self, name: str, change: float) -> "Portfolio":
        """The portfolio with so much more of an instrument, quote."""
        exposures = self.exposures.astype(np.float64)
        exposures[self.names.index(name)] += change
        return Portfolio(self.names, exposures, self.equity, self.returns, self.step_ns, self.markets)


class Use(NamedTuple):
    """A limit and what is used of it.

    Attributes
    ----------
    value
        The measure; NaN where it is not known.
    limit
        What it may be at most; infinity: only measured.
    """

    name: str
    value: float
    limit: float

    @property
    def breached(self) -> bool:
        """Whether the measure is beyond the limit."""
        return self.value > self.limit


def tail(portfolio: Portfolio, limits: PortfolioLimits) -> var.Tail:
    """VaR and shortfall of the portfolio over the horizon, shares of equity, from the returns of what is held now.

    NaN while fewer than 30 returns are known, or where the method gives no answer for them.
    """
    if not portfolio.equity > 0:
        return var.Tail(math.inf, math.inf)
    if not portfolio.exposures.any():
        return var.Tail(0.0, 0.0)
    results = portfolio.returns @ portfolio.exposures / portfolio.equity
    try:
        found = var.measure(results, limits.confidence, limits.method)
    except DataError:
        return var.Tail(math.nan, math.nan)
    return var.over_horizon(found, limits.horizon_ns / portfolio.step_ns)


def uses(portfolio: Portfolio, limits: PortfolioLimits) -> list[Use]:
    """Every measure with its limit, those of instruments by ``measure:NAME``."""
    return _uses(portfolio, limits, _signs(portfolio, limits))


def _uses(portfolio: Portfolio, limits: PortfolioLimits, signs: F64) -> list[Use]:
    loss = tail(portfolio, limits)
    found = [
        Use("value_at_risk", loss.value_at_risk, _limit(limits.value_at_risk)),
        Use("expected_shortfall", loss.expected_shortfall, _limit(limits.expected_shortfall)),
    ]
    shares = portfolio.exposures / portfolio.equity if portfolio.equity > 0 else portfolio.exposures * math.inf
    for name, share, together in zip(portfolio.names, shares, np.abs(signs @ shares), strict=True):
        found.append(Use(f"concentration:{name}", abs(float(share)), _limit(limits.concentration)))
        if len(portfolio.names) > 1:
            found.append(Use(f"correlated:{name}", float(together), _limit(limits.correlated)))
    for name, exposed in zip(portfolio.names, portfolio.exposures, strict=True):
        market = portfolio.markets.get(name)
        if market is not None:
            out = liquidity.unwind(float(exposed) / market.mid, market)
            found.append(Use(f"unwind_cost:{name}", out.cost if exposed else 0.0, _limit(limits.unwind_cost)))
            found.append(Use(f"unwind_time_s:{name}", out.time_ns / 1e9, _limit(limits.unwind_time_ns) / 1e9))
    return found


def allowed(portfolio: Portfolio, name: str, change: float, limits: PortfolioLimits) -> tuple[float, str]:
    """The largest part of a change of an instrument's exposure that no limit forbids, and which limit cut it.

    Parameters
    ----------
    change
        Signed, quote.

    Returns
    -------
    tuple[float, str]
        A change of the same sign, at most as large; the limit's name, empty if it is the whole.

    Notes
    -----
    A change passes where every measure is within its limit afterwards or no larger than before; a measure that is not
    known forbids nothing (the session says so on its screens). Where the value of something held is not known, only
    what makes the instrument's own exposure smaller passes.
    """
    if not limits.active or change == 0:
        return change, ""
    unpriced = [other for other, held in zip(portfolio.names, portfolio.exposures, strict=True) if math.isnan(held)]
    if unpriced:
        held = float(portfolio.exposures[portfolio.names.index(name)])
        part = math.copysign(min(abs(change), abs(held)), change) if held * change < 0 else 0.0
        return part, "" if part == change else f"the price of {', '.join(unpriced)} is not known"
    signs = _signs(portfolio, limits)
    before = {use.name: use.value for use in _uses(portfolio, limits, signs)}

    def fault(part: float) -> str:
        after = _uses(portfolio.moved(name, part), limits, signs)
        return next((u.name for u in after if u.breached and not u.value <= before[u.name] * (1.0 + 1e-12)), "")

    why = fault(change)
    if not why:
        return change, ""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2.0
        if fault(change * middle):
            high = middle
        else:
            low = middle
    return change * low, why


def _limit(value: float | None) -> float:
    return math.inf if value is None else float(value)


def _signs(portfolio: Portfolio, limits: PortfolioLimits) -> F64:
    """By pair: 1 or -1 where two move as one, by shrunk correlations, 0 where they do not."""
    count = len(portfolio.names)
    if count < 2 or len(portfolio.returns) < 3:
        return np.eye(count)
    matrix = correlation.correlations(correlation.ledoit_wolf(portfolio.returns).covariance)
    signs: F64 = np.where(np.abs(matrix) >= limits.correlation, np.sign(matrix), 0.0)
    np.fill_diagonal(signs, 1.0)
    return signs
