"""Correlation by shrinkage and EWMA, and when it raises an alarm."""

import numpy as np
import pytest

from tidewright.market.errors import DataError, UsageError
from tidewright.risk import correlation as c


def pair(count: int, correlation: float, seed: int = 1, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    first, own = rng.standard_normal(count), rng.standard_normal(count)
    return np.column_stack([first, scale * (correlation * first + np.sqrt(1 - correlation**2) * own)]) * 0.01


def test_shrinkage_is_closer_to_the_truth_than_the_sample_where_data_are_few() -> None:
    rng = np.random.default_rng(3)
    truth = np.eye(20)
    errors = {"shrunk": 0.0, "sample": 0.0}
    for _ in range(10):
        returns = rng.standard_normal((30, 20))
        errors["shrunk"] += np.sum((c.correlations(c.ledoit_wolf(returns).covariance) - truth) ** 2)
        errors["sample"] += np.sum((np.corrcoef(returns.T) - truth) ** 2)
    assert errors["shrunk"] < 0.5 * errors["sample"]


def test_instruments_of_different_volatility_shrink_the_same() -> None:
    alike, apart = c.ledoit_wolf(pair(100, 0.8)), c.ledoit_wolf(pair(100, 0.8, scale=100.0))
    assert alike.shrinkage == pytest.approx(apart.shrinkage)
    assert c.correlations(alike.covariance) == pytest.approx(c.correlations(apart.covariance))


def test_the_ewma_covariance_is_the_recursion_and_one_matrix_of_weights() -> None:
    returns = pair(500, 0.6)
    found = c.ewma_covariance(returns)
    state = np.zeros((2, 2))
    for row in returns:
        state = 0.94 * state + 0.06 * np.outer(row, row)
    assert found == pytest.approx(state, rel=1e-9)
    assert np.linalg.eigvalsh(found).min() >= 0


def test_a_stable_correlation_raises_no_alarm_in_twenty_runs() -> None:
    assert [c.alarms(pair(600, 0.6, seed), ("BTC", "ETH")) for seed in range(20)] == [[]] * 20


def test_a_lost_and_a_risen_correlation_raise_one_each() -> None:
    lost = c.alarms(np.concatenate([pair(600, 0.9), pair(60, 0.0, 2)]), ("BTC", "ETH"))
    assert [alarm.kind for alarm in lost] == ["lost"] and "has been lost" in lost[0].text()
    risen = c.alarms(np.concatenate([pair(600, 0.0), pair(60, 0.97, 2)]), ("BTC", "ETH"))
    assert [alarm.kind for alarm in risen] == ["jump"]


def test_two_that_move_as_one_do_not_lose_it_by_a_thousandth():
    moves = np.concatenate([pair(600, 0.99999), pair(60, 0.999, 2)])
    assert [alarm.kind for alarm in c.alarms(moves, ("BTC", "WBTC"))] == ["high"]
    assert [alarm.kind for alarm in c.alarms(moves, ("BTC", "WBTC"), c.Watch(least=0.0))] == ["lost"]
    with pytest.raises(UsageError, match="least change"):
        c.Watch(least=1.0)


def test_two_names_for_one_thing_are_said_to_be_one() -> None:
    assert [alarm.kind for alarm in c.alarms(pair(600, 0.98), ("BTC", "WBTC"))] == ["high"]


def test_wrong_use_is_told() -> None:
    with pytest.raises(UsageError, match="as many names"):
        c.alarms(pair(50, 0.5), ("BTC",))
    with pytest.raises(UsageError, match="0 < fast < slow < 1"):
        c.Watch(fast=0.99, slow=0.9)
    with pytest.raises(DataError, match="shape"):
        c.ewma_covariance(np.zeros(5))
