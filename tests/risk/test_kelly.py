"""Kelly's criterion against published numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.risk import kelly

# E. O. Thorp, "The Kelly Criterion in Blackjack, Sports Betting and the Stock Market" (2006), computed anew.


@pytest.mark.parametrize(("chance", "odds", "share"), [(0.55, 1.0, 0.10), (0.4, 2.0, 0.10), (0.4, 1.0, -0.2)])
def test_a_bet_is_worth_its_edge_over_its_odds(chance, odds, share):
    assert kelly.binary(chance, odds) == pytest.approx(share)


def test_the_share_of_a_bet_makes_the_logarithm_grow_fastest():
    shares = np.linspace(0.0, 0.6, 6001)
    growth = 0.4 * np.log1p(2.0 * shares) + 0.6 * np.log1p(-shares)
    assert shares[growth.argmax()] == pytest.approx(kelly.binary(0.4, 2.0), abs=1e-4)


def test_the_continuous_case():
    assert kelly.continuous(0.10, 0.2) == pytest.approx(2.5)
    assert kelly.growth(0.10, 0.2, 2.5) == pytest.approx(0.125)


@pytest.mark.parametrize(("fraction", "growth"), [(0.25, 0.4375), (0.5, 0.75), (1.0, 1.0), (1.5, 0.75), (2.0, 0.0)])
def test_a_fraction_grows_less_and_as_slowly_as_too_much(fraction, growth):
    assert kelly.relative_growth(fraction) == pytest.approx(growth)
    best = kelly.growth(0.1, 0.2, 2.5)
    assert kelly.growth(0.1, 0.2, 2.5 * fraction) == pytest.approx(growth * best)


@pytest.mark.parametrize(
    ("share", "fraction", "chance"),
    [
        (0.5, 0.25, 0.0078125), (0.5, 0.5, 0.125), (0.5, 1.0, 0.5), (0.5, 1.5, 0.793701),
        (0.8, 0.25, 0.2097152), (0.8, 0.5, 0.512), (0.8, 1.0, 0.8), (0.8, 1.5, 0.928318),
    ],
)  # fmt: skip
def test_the_chance_of_ever_falling_so_far(share, fraction, chance):
    assert kelly.chance_of_falling(share, fraction) == pytest.approx(chance, abs=1e-6)


@pytest.mark.parametrize(("fraction", "chance"), [(1.0, 0.666667), (0.5, 0.888889), (0.25, 0.992248)])
def test_the_chance_of_doubling_before_halving(fraction, chance):
    assert kelly.chance_of_reaching(2.0, 0.5, fraction) == pytest.approx(chance, abs=1e-6)


def test_shrinking_by_the_uncertainty_grows_fastest_on_average():
    """Simulated estimates around a true edge: the factor of Baker and McHale beats every other."""
    random, mean, deviation, error = np.random.default_rng(1), 0.02, 0.1, 0.03
    estimates = random.normal(mean, error, 400_000)
    factors = np.linspace(0.0, 1.0, 101)
    exposure = factors[:, None] * estimates[None, ::20] / deviation**2
    growth = (exposure * mean - 0.5 * (exposure * deviation) ** 2).mean(axis=1)
    assert factors[growth.argmax()] == pytest.approx(kelly.shrinkage(mean, error), abs=0.03)


def test_an_edge_known_exactly_is_not_shrunk_and_none_is_nothing():
    assert kelly.shrinkage(0.1, 0.0) == 1.0
    assert kelly.shrinkage(0.0, 0.1) == 0.0
    assert kelly.shrinkage(0.1, 0.1) == pytest.approx(0.5)


@given(
    mean=st.floats(-1, 1, allow_nan=False),
    deviation=st.floats(1e-6, 1),
    error=st.floats(0, 10),
    most=st.floats(0.01, 1),
)
def test_a_size_is_never_more_than_allowed_and_none_without_an_edge(mean, deviation, error, most):
    size = kelly.sized(mean, deviation, error, 0.25, most)
    assert 0.0 <= size <= most
    if mean <= 0.0:
        assert size == 0.0
    else:
        assert kelly.sized(mean, deviation, error * 2.0, 0.25, most) <= size


def test_what_is_not_known_is_not_bet_on():
    assert kelly.sized(0.1, 0.2, math.inf, 0.25) == 0.0
    assert kelly.sized(0.1, 0.0, 0.0, 0.25) == 0.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: kelly.binary(1.1, 1.0), "chance"),
        (lambda: kelly.binary(0.5, 0.0), "odds"),
        (lambda: kelly.continuous(0.1, 0.0), "deviation"),
        (lambda: kelly.chance_of_falling(0.0, 1.0), "share"),
        (lambda: kelly.chance_of_falling(0.5, 2.0), "fraction"),
        (lambda: kelly.chance_of_reaching(0.9, 0.5, 1.0), "low < 1 < high"),
        (lambda: kelly.shrinkage(0.1, -1.0), "error"),
    ],
)
def test_what_makes_no_sense_is_refused(call, says):
    with pytest.raises(UsageError, match=says):
        call()
