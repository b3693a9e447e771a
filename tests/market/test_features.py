"""What a view says of the market: the mid's return, its EWMA deviation, the imbalance."""

import math

import pytest

from tidewright.market import features


def test_volatility_is_the_ewma_of_squared_returns_from_the_first_return_on() -> None:
    state = features.new_state()
    assert features.observe_mid(state, 200) == (0.0, 0.0)
    variance = None
    before = 200
    for mid2 in (202, 199, 199, 230):
        change = math.log(mid2 / before)
        variance = change**2 if variance is None else variance + 0.06 * (change**2 - variance)
        seen = features.observe_mid(state, mid2)
        assert seen == (pytest.approx(change), pytest.approx(math.sqrt(variance)))
        before = mid2


@pytest.mark.parametrize(("bid", "ask", "value"), [(3, 1, 0.5), (1, 3, -0.5), (2, 2, 0.0)])
def test_imbalance_leans_to_the_thicker_side(bid: int, ask: int, value: float) -> None:
    assert features.imbalance(bid, ask) == value
