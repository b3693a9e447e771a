"""Figures as people read them: units, samples, and "n/a" with the reason where a sample is too small to speak."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tidewright.market.clock import DAY, HOUR, MINUTE, SECOND
from tidewright.measure.definitions import DEFAULT_MINIMUMS, DEFINITIONS, Definition, Minimums


@dataclass(frozen=True, slots=True)
class Samples:
    """What the figures of one account rest on.

    Attributes
    ----------
    returns, equity_points, closed_trades, fills, orders
        Counts.
    span_ns
        Time between the first and the last equity point, nanoseconds.
    """

    returns: int
    equity_points: int
    closed_trades: int
    fills: int
    orders: int
    span_ns: int


def duration_text(ns: float) -> str:
    """A span as people say it: ``"1.2 s"``, ``"14 min"``, ``"23 h 30 min"``, ``"6 days"``."""
    if ns < MINUTE:
        return f"{ns / SECOND:.3g} s"
    if ns < HOUR:
        minutes, rest = divmod(round(ns / SECOND), 60)
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    if ns < 2 * DAY:
        hours, rest = divmod(round(ns / MINUTE), 60)
        return f"{hours} h" + (f" {rest} min" if rest else "")
    return f"{ns / DAY:.3g} days"


def number_text(value: float, digits: int = 2) -> str:
    """A number with thousands separated and a real minus sign; small ones keep their leading digits."""
    if value != 0 and abs(value) < 10.0**-digits / 2:
        text = f"{value:.2g}"
    else:
        text = f"{value:,.{digits}f}"
    return text.replace("-", "−")


def value_text(definition: Definition, value: float, quote: str = "", base: str = "") -> str:
    """A known figure with its unit."""
    match definition.unit:
        case "fraction":
            return f"{number_text(value * 100.0)} %"
        case "quote":
            return f"{number_text(value)} {quote}".rstrip()
        case "base":
            return f"{number_text(value, 8)} {base}".rstrip()
        case "ns":
            return duration_text(value)
        case "count" | "lots":
            return f"{round(value):,}"
        case "probability":
            return number_text(value, 4) if value >= 0.0001 else "< 0.0001"
        case _:
            return number_text(value)


def sample_text(definition: Definition, samples: Samples) -> str:
    """What a figure rests on, with its size: ``"2,880 returns"``."""
    if definition.sample == "span":
        return duration_text(samples.span_ns)
    size = getattr(samples, definition.sample.replace(" ", "_"))
    return f"{size:,} {definition.sample}"


def unknown_reason(name: str, samples: Samples, minimums: Minimums = DEFAULT_MINIMUMS) -> str:
    """Why a figure is not given: the sample it has and the one it needs, or what made it undefined."""
    returns, trades = samples.returns, samples.closed_trades
    if name in ("volatility", "sharpe", "sharpe_error", "sortino") and returns < max(2, minimums.returns):
        return f"{returns} returns, needs {max(2, minimums.returns)}"
    if name in ("cagr", "calmar") and samples.span_ns < minimums.days * DAY:
        return f"{duration_text(samples.span_ns)}, needs {minimums.days:g} days"
    if name in ("sqn", "sqn_uncapped", "mean_profit_p_value") and trades < max(2, minimums.closed_trades):
        return f"{trades} closed trades, needs {max(2, minimums.closed_trades)}"
    if DEFINITIONS[name].sample == "closed trades" and trades < max(1, minimums.trades_described):
        return f"{trades} closed trades, needs {max(1, minimums.trades_described)}"
    return _UNDEFINED.get(name, "not defined here")


_UNDEFINED = {
    "sharpe": "returns do not vary",
    "sharpe_error": "returns do not vary",
    "sortino": "no negative return",
    "calmar": "no drawdown",
    "sqn": "trades do not vary",
    "sqn_uncapped": "trades do not vary",
    "mean_profit_p_value": "trades do not vary",
    "profit_factor": "no losing trade",
    "fees": "fees in base without a price",
}


def unknown(figures: Mapping[str, float], samples: Samples, minimums: Minimums = DEFAULT_MINIMUMS) -> dict[str, str]:
    """The reason for every figure that is NaN or infinite, by name."""
    return {
        name: unknown_reason(name, samples, minimums)
        for name, value in figures.items()
        if name in DEFINITIONS and not math.isfinite(value)
    }


def figure_text(
    name: str,
    value: float,
    samples: Samples,
    quote: str = "",
    base: str = "",
    minimums: Minimums = DEFAULT_MINIMUMS,
) -> str:
    """A figure with its unit, or ``"n/a (6 days, needs 30 days)"``."""
    if math.isfinite(value):
        return value_text(DEFINITIONS[name], value, quote, base)
    return f"n/a ({unknown_reason(name, samples, minimums)})"
