"""The eight numbers the executor sees, built here for training, backtest and live alike: normalised and clipped."""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.tape import F64

NAMES: Final = (
    "portfolio_balance",
    "price",
    "price_change",
    "volatility",
    "order_imbalance",
    "time_decay",
    "performance_score",
    "risk_exposure",
)

BALANCE_SCALE: Final = 0.05  # a gain or loss of 5 % of the capital is 1
PRICE_SCALE: Final = 0.05  # a log return of 5 % since the start is 1
CHANGE_SCALE: Final = 3.0  # a return of three deviations is 1
VOLATILITY_SCALE: Final = 0.01  # a deviation of 1 % a cycle is 1
HOLDING_NS: Final = 3_600e9  # a position held for an hour has decayed to 1 - 1/e
SCORE_SCALE: Final = 3.0  # a t-value of three of the cycle's results is 1


class StateInputs(NamedTuple):
    """What the eight numbers are made of. Scalars.

    Attributes
    ----------
    equity, capital
        Equity now and at the start, float64 quote.
    mid, first_mid
        Mid now and at the first decision, float64 quote per base.
    price_change, volatility, imbalance
        As in :class:`tidewright.strategies.view.View`.
    held_ns
        How long there has been a position, int64 ns of market time; 0 when flat.
    result_mean, result_deviation, results
        Mean and deviation of equity changes a cycle, float64 quote, and how many there were.
    exposure
        Position at the mid, float64 quote, with its sign.
    exposure_limit
        Largest allowed exposure, float64 quote; infinity: none.
    """

    equity: float
    capital: float
    mid: float
    first_mid: float
    price_change: float
    volatility: float
    imbalance: float
    held_ns: int
    result_mean: float
    result_deviation: float
    results: int
    exposure: float
    exposure_limit: float


@njit(cache=True)  # type: ignore[misc]
def _clip(value: float) -> float:
    return min(1.0, max(-1.0, value))


@njit(cache=True)  # type: ignore[misc]
def build(inputs: StateInputs) -> F64:
    """The state.

    Returns
    -------
    F64
        Shape (8,), float64, each in [-1, 1], in the order of :data:`NAMES`:

        * portfolio_balance: gain since the start over the capital, 5 % is 1;
        * price: log return of the mid since the start, 5 % is 1;
        * price_change: log return of the last cycle in deviations, 3 is 1;
        * volatility: deviation of the log return a cycle, 1 % is 1;
        * order_imbalance: (bid - ask) / (bid + ask) quantity at the best levels;
        * time_decay: 1 - exp(-time in position / 1 hour), 0 when flat;
        * performance_score: t-value of the equity changes a cycle, 3 is 1;
        * risk_exposure: position at the mid over what is allowed, or over equity without a limit.
    """
    state = np.zeros(8, np.float64)
    fill(inputs, state)
    return state


@njit(cache=True)  # type: ignore[misc]
def fill(inputs: StateInputs, state: F64) -> None:
    """Write what :func:`build` returns."""
    state[:] = 0.0
    if inputs.capital > 0.0:
        state[0] = _clip((inputs.equity / inputs.capital - 1.0) / BALANCE_SCALE)
    if inputs.first_mid > 0.0 and inputs.mid > 0.0:
        state[1] = _clip(math.log(inputs.mid / inputs.first_mid) / PRICE_SCALE)
    if inputs.volatility > 0.0:
        state[2] = _clip(inputs.price_change / inputs.volatility / CHANGE_SCALE)
    state[3] = _clip(inputs.volatility / VOLATILITY_SCALE)
    state[4] = _clip(inputs.imbalance)
    if inputs.held_ns > 0:
        state[5] = 1.0 - math.exp(-np.float64(inputs.held_ns) / HOLDING_NS)
    if inputs.results > 1 and inputs.result_deviation > 0.0:
        t_value = inputs.result_mean / inputs.result_deviation * math.sqrt(np.float64(inputs.results))
        state[6] = _clip(t_value / SCORE_SCALE)
    allowed = inputs.exposure_limit if inputs.exposure_limit < np.inf else inputs.equity
    if allowed > 0.0:
        state[7] = _clip(inputs.exposure / allowed)


# What is remembered of an account from decision to decision, float64; all zeros at the start.
CAPITAL: Final = 0  # equity at the first decision, quote
LAST_EQUITY: Final = 1  # at the newest decision, quote
RESULTS: Final = 2  # equity changes so far
MEAN: Final = 3  # of them, quote
SQUARES: Final = 4  # sum of their squared deviations from the mean
HELD_FROM: Final = 5  # 1 + ns from the start at which the position was first seen, 0: flat
FIRST_MID: Final = 6  # quote per base
MEMORY: Final = 8


@njit(cache=True)  # type: ignore[misc]
def remember(memory: F64, elapsed_ns: int, position_lots: int, equity: float) -> None:
    """Take in an account at a decision, whether or not the book is whole.

    Parameters
    ----------
    memory
        Shape (MEMORY,), float64; overwritten.
    elapsed_ns
        Since the start of decisions.
    position_lots, equity
        As they are known, lots and quote.
    """
    if memory[CAPITAL] == 0.0:
        memory[CAPITAL] = equity
    else:  # Welford's running mean and squared deviations
        change = equity - memory[LAST_EQUITY]
        memory[RESULTS] += 1.0
        before = change - memory[MEAN]
        memory[MEAN] += before / memory[RESULTS]
        memory[SQUARES] += before * (change - memory[MEAN])
    memory[LAST_EQUITY] = equity
    if position_lots == 0:
        memory[HELD_FROM] = 0.0
    elif memory[HELD_FROM] == 0.0:
        memory[HELD_FROM] = 1.0 + np.float64(elapsed_ns)


@njit(cache=True)  # type: ignore[misc]
def observe(
    memory: F64,
    elapsed_ns: int,
    mid: float,
    price_change: float,
    volatility: float,
    imbalance: float,
    exposure: float,
    exposure_limit: float,
    state: F64,
) -> None:
    """Write the state at a decision with a whole book, after :func:`remember`; the arguments as in StateInputs."""
    if memory[FIRST_MID] == 0.0:
        memory[FIRST_MID] = mid
    held = 0
    if memory[HELD_FROM] > 0.0:
        held = elapsed_ns - int(memory[HELD_FROM] - 1.0)
    results = int(memory[RESULTS])
    deviation = math.sqrt(memory[SQUARES] / np.float64(results - 1)) if results > 1 else 0.0
    fill(
        StateInputs(
            memory[LAST_EQUITY],
            memory[CAPITAL],
            mid,
            memory[FIRST_MID],
            price_change,
            volatility,
            imbalance,
            held,
            memory[MEAN],
            deviation,
            results,
            exposure,
            exposure_limit,
        ),
        state,
    )
