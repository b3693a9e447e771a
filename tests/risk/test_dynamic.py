"""Limits tighten by what is measured, never loosen beyond what was set, and say why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.clock import SECOND
from tidewright.market.errors import UsageError
from tidewright.risk.dynamic import NOTHING, SCALED, Measured, Rules, tighten
from tidewright.risk.limits import Limits

CALM = Measured(1e-4, 1e-4, 0.0, 0, 0.2, 50, SECOND)


def factor(**changes) -> float:
    return tighten(CALM._replace(**changes)).factors["max_position_share"]


def test_nothing_known_and_a_calm_market_tighten_nothing() -> None:
    assert tighten(Measured()) == NOTHING == tighten(CALM)


@pytest.mark.parametrize(
    ("changes", "expected", "cause"),
    [
        ({"volatility": 4e-4}, 0.5, "volatility is 4.0 times the usual"),
        ({"drawdown": 0.065}, 0.55, "equity is 6.5% below its peak"),
        ({"lost_correlations": 2}, 0.6, "2 correlations lost"),
        ({"calibration": 0.26}, 0.75, "Brier score of 0.260 over 50 proposals"),
        ({"data_age_ns": 75 * SECOND}, 0.55, "market data is 75.0 s old"),
        ({"drawdown": 0.5, "volatility": 1.0}, 0.1, "times the usual"),
    ],
)
def test_each_input_tightens_by_its_rule_and_says_so(changes, expected: float, cause: str) -> None:
    found = tighten(CALM._replace(**changes))
    assert found.factors == dict.fromkeys(SCALED, pytest.approx(expected))
    assert any(cause in text for text in found.causes)


def test_a_bad_score_over_few_proposals_says_nothing() -> None:
    assert factor(calibration=0.6, proposals=9) == 1.0


@given(
    st.floats(1e-6, 1.0),
    st.floats(1e-6, 1.0),
    st.floats(0.0, 1.0),
    st.integers(0, 9),
    st.floats(0.0, 1.0),
    st.integers(0, 10**12),
)
def test_a_factor_is_in_bounds_and_never_grows_with_what_is_worse(
    volatility: float, usual: float, drawdown: float, pairs: int, score: float, age: int
) -> None:
    now = Measured(volatility, usual, drawdown, pairs, score, 50, age)
    found = tighten(now).factors["stop_loss"]
    assert Rules().least <= found <= 1.0
    worse = now._replace(
        volatility=volatility * 2, drawdown=drawdown + 0.1, lost_correlations=pairs + 1, data_age_ns=2 * age
    )
    assert tighten(worse).factors["stop_loss"] <= found
    assert (found < 1.0) == bool(tighten(now).causes)
    Limits().scaled(tighten(now).factors)


def test_rules_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="least must be in"):
        Rules(least=0.0)
    with pytest.raises(UsageError, match="drawdown_begin < drawdown_full"):
        Rules(drawdown_begin=0.2)
