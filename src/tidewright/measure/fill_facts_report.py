"""The report of facts about fills as data, and as plain values for JSON."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from tidewright.market.clock import iso
from tidewright.measure.fill_facts import AS_EXPECTED, HORIZONS_NS, NOT_EXPECTED, TOO_FEW, Fact, horizon_text
from tidewright.measure.fill_facts_blocks import Estimate
from tidewright.measure.fill_facts_curves import Curve


class MakerGroup(NamedTuple):
    """Symmetric makers of similar spacing at zero fee: PnL per notional, basis points."""

    low_bp: float
    high_bp: float
    fills: int
    pnl_bp: Estimate


class FeePoint(NamedTuple):
    """The same makers at one fee."""

    fee_bp: float
    pnl_bp: float
    sharpe: Estimate


class Fall(NamedTuple):
    """One of the tape's largest falls and the probes' fills in it."""

    start_ns: int
    fall_bp: float
    bid_fills: int
    ask_fills: int


@dataclass(frozen=True, slots=True)
class FactsReport:
    """Everything the report says.

    Attributes
    ----------
    tape
        Path, symbol, venue, detail and span.
    facts
        Figures with verdicts.
    curves, makers, fees, falls
        What lies behind them.
    assumptions
        (name, value) pairs: how it was measured.
    """

    tape: dict[str, Any]
    facts: tuple[Fact, ...]
    curves: tuple[Curve, ...]
    makers: tuple[MakerGroup, ...]
    fees: tuple[FeePoint, ...]
    falls: tuple[Fall, ...]
    assumptions: tuple[tuple[str, str], ...]

    def count(self, verdict: str) -> int:
        """How many facts have a verdict."""
        return sum(1 for fact in self.facts if fact.verdict == verdict)

    @property
    def summary(self) -> str:
        """The verdicts in one sentence."""
        return (
            f"{self.count(AS_EXPECTED)} of {len(self.facts)} facts as expected, {self.count(NOT_EXPECTED)} not, "
            f"{self.count(TOO_FEW)} with too few observations to tell"
        )


def to_json(report: FactsReport) -> dict[str, Any]:
    """Plain values; what is not known is ``None``."""
    span = {"start": iso(report.tape["start_ns"]), "end": iso(report.tape["end_ns"])}
    tape = {name: value for name, value in report.tape.items() if name not in ("start_ns", "end_ns")}
    return {
        "tape": tape | span,
        "verdicts": {verdict: report.count(verdict) for verdict in (AS_EXPECTED, NOT_EXPECTED, TOO_FEW)},
        "facts": {fact.name: _fact(fact) for fact in report.facts},
        "curves": {curve.name: _curve(curve) for curve in report.curves},
        "makers": [
            {"spread_bp": [group.low_bp, group.high_bp], "fills": group.fills, "pnl_bp": _estimate(group.pnl_bp)}
            for group in report.makers
        ],
        "fees": [
            {"fee_bp": point.fee_bp, "pnl_bp": _known(point.pnl_bp), "sharpe": _estimate(point.sharpe)}
            for point in report.fees
        ],
        "falls": [
            {
                "start": iso(fall.start_ns),
                "fall_bp": fall.fall_bp,
                "bid_fills": fall.bid_fills,
                "ask_fills": fall.ask_fills,
            }
            for fall in report.falls
        ],
        "assumptions": dict(report.assumptions),
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "title": fact.title,
        "definition": fact.definition,
        "unit": fact.unit,
        "sample": fact.count,
        "sample_of": fact.of,
        **_estimate(fact.estimate),
        "expected": fact.claim.text,
        "least_effect": fact.claim.least,
        "literature": fact.literature,
        "source": fact.source,
        "verdict": fact.verdict,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "title": curve.title,
        "x": curve.x_title,
        "points": [
            {
                "label": point.label,
                "orders": point.orders,
                "fills": point.fills,
                "fill_probability": _estimate(point.probability),
                "markout_bp": {
                    horizon_text(horizon): _estimate(value)
                    for horizon, value in zip(HORIZONS_NS, point.markout_bp, strict=True)
                },
                "drift_bp": _estimate(point.drift_bp),
            }
            for point in curve.points
        ],
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "figure": _known(estimate.figure),
        "low": _known(estimate.low),
        "high": _known(estimate.high),
        "blocks": estimate.blocks,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
