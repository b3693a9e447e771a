"""What a learned policy is worth on a tape at several fees, beside its base rule, and what it does when."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.agents.executor.environment import F32, I64
from tidewright.agents.executor.environment_kernel import WIDEST
from tidewright.agents.executor.environment_tape import HOLD, STRATEGY
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import Steered, run_policy
from tidewright.agents.executor.state import NAMES
from tidewright.engine.backtest import BacktestResult, backtest
from tidewright.market.codes import UNIT
from tidewright.market.instrument import units_text
from tidewright.market.tape import F64, Tape

BP: Final = UNIT // 10_000
FIGURES: Final = ("total_return", "sqn", "sharpe", "max_drawdown")
RESAMPLES: Final = 2_000
BLOCK: Final = 20  # cycles: results of neighbouring cycles hang together


@dataclass(frozen=True, slots=True)
class Row:
    """One contender at one fee.

    Attributes
    ----------
    who
        "policy" or the base rule's name.
    fee_bp
        Maker fee, basis points.
    pnl, low, high
        Profit over the tape in quote, and its 95 % interval from resampled blocks of cycles.
    pnl_per_volume_bp
        Profit over traded volume, basis points; NaN: nothing was traded.
    fills
        How many.
    aside
        Share of decisions at which it quoted nothing; NaN of the base rule.
    figures
        Of :data:`FIGURES`.
    """

    who: str
    fee_bp: float
    pnl: float
    low: float
    high: float
    pnl_per_volume_bp: float
    fills: int
    aside: float
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All rows, and what the policy does when, at the first fee.

    Attributes
    ----------
    rows
        Policy and base rule at every fee.
    behaviour
        For each of the state's numbers, in its lowest, middle and highest third: mean levels, stance (-2..2), skew
        (half spreads) and spread (over the base rule's), and how many decisions.
    """

    rows: list[Row]
    behaviour: dict[str, list[dict[str, float]]]


def evaluate(
    tape: Tape,
    policy: Policy,
    fees_bp: Sequence[float] = (0.0, 1.0, 2.0, 4.0, 8.0),
    tell: Callable[[float], None] | None = None,
) -> Evaluation:
    """Run a policy and its base rule over a tape at several maker fees; the same events, sizes and limits.

    Parameters
    ----------
    tell
        Called with the share that is done.
    """
    rows: list[Row] = []
    shown: dict[str, list[dict[str, float]]] = {}
    taker = units_text(tape.instrument.taker_fee)
    for index, fee in enumerate(fees_bp):
        rates = (units_text(round(fee * BP)), taker)
        result, steered = run_policy(tape, policy, fees=rates, record_equity=True)
        rows.append(_row("policy", fee, result, _aside(steered)))
        shown = shown or behaviour(steered.observations, steered.actions)
        rows.append(_row(*_base(tape, steered, rates, fee)))
        if tell is not None:
            tell((index + 1) / len(fees_bp))
    return Evaluation(rows, shown)


def _base(tape: Tape, steered: Steered, rates: tuple[str, str], fee: float) -> tuple[str, float, BacktestResult]:
    settings = steered.settings
    quantity, largest = steered.sizes
    result = backtest(
        tape,
        settings.strategy,
        {**settings.rule, "levels": settings.levels, "base_quantity": quantity, "max_position": largest},
        **settings.terms,
        fees=rates,
        record_equity=True,
    )
    built_in = "glft" if settings.base_rule == 0 else "avellaneda_stoikov"
    return (built_in if settings.strategy == STRATEGY else Path(settings.strategy).name, fee, result)


def _row(who: str, fee: float, result: BacktestResult, aside: float = float("nan")) -> Row:
    sums = {name: float(values[0]) for name, values in result.statistics.items()}
    assert result.equity_values is not None
    low, high = interval(np.diff(result.equity_values[:, 0]))
    pnl, volume = sums["equity_end"] - sums["equity_start"], sums["volume_quote"]
    per_volume = 1e4 * pnl / volume if volume > 0.0 else float("nan")
    figures = {name: float(result.metrics[name][0]) for name in FIGURES}
    return Row(who, fee, pnl, low, high, per_volume, int(sums["n_fills"]), aside, figures)


def interval(changes: F64, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the sum of changes, by resampling blocks of them (moving block bootstrap)."""
    count = len(changes)
    if count <= BLOCK:
        return float("nan"), float("nan")
    sums = np.cumsum(np.concatenate(([0.0], changes)))
    blocks = sums[BLOCK:] - sums[:-BLOCK]
    drawn = np.random.default_rng(seed).integers(0, len(blocks), (RESAMPLES, -(-count // BLOCK)))
    totals = blocks[drawn].sum(axis=1) * (count / (drawn.shape[1] * BLOCK))
    low, high = np.quantile(totals, (0.025, 0.975)).tolist()
    return low, high


def _aside(steered: Steered) -> float:
    levels = np.array([discrete[0, 0] for _, discrete in steered.actions])
    return float((levels == 0).mean()) if len(levels) else float("nan")


def behaviour(observations: Sequence[F32], actions: Sequence[tuple[F32, I64]]) -> dict[str, list[dict[str, float]]]:
    """What the first lane does when; see :class:`Evaluation`.

    Parameters
    ----------
    observations, actions
        Of every decision, as :class:`tidewright.agents.executor.policy_run.Steered` keeps them.
    """
    if not actions:
        return {}
    seen = np.array([one[0, : len(NAMES)] for one in observations], np.float64)
    continuous = np.array([action[0][0] for action in actions], np.float64)
    discrete = np.array([action[1][0] for action in actions])
    done = {
        "levels": discrete[:, 0].astype(np.float64),
        "stance": discrete[:, 1].astype(np.float64) - HOLD,
        "skew": continuous[:, 1],
        "spread": WIDEST ** continuous[:, 0],
    }
    found: dict[str, list[dict[str, float]]] = {}
    for number, name in enumerate(NAMES):
        order = np.argsort(seen[:, number], kind="stable")
        found[name] = [_third(seen[:, number], done, part) for part in np.array_split(order, 3) if len(part)]
    return found


def _third(values: F64, done: dict[str, F64], part: Any) -> dict[str, float]:
    means = {name: float(column[part].mean()) for name, column in done.items()}
    return {"from": float(values[part].min()), "to": float(values[part].max()), **means, "decisions": float(len(part))}
