"""The t tail against published values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.measure.student import regularised_beta, t_tail

# Upper 5 %, 2.5 % and 0.5 % points, as printed in every table of Student's t.
TABLE = [
    (1, 0.05, 6.313752),
    (1, 0.025, 12.706205),
    (2, 0.025, 4.302653),
    (5, 0.05, 2.015048),
    (10, 0.025, 2.228139),
    (10, 0.005, 3.169273),
    (30, 0.025, 2.042272),
    (120, 0.005, 2.617421),
]


@pytest.mark.parametrize(("df", "tail", "point"), TABLE)
def test_tail_at_the_tabled_points(df: int, tail: float, point: float) -> None:
    assert float(t_tail(point, df)) == pytest.approx(tail, rel=2e-6)


@pytest.mark.parametrize(("sqn", "n", "p"), [(2.45, 100, 0.0080), (2.45, 30, 0.0103), (1.2, 100, 0.117)])
def test_p_values_of_published_sqn_claims(sqn: float, n: int, p: float) -> None:
    assert float(t_tail(sqn, n - 1)) == pytest.approx(p, rel=8e-3)


def test_closed_forms_for_one_and_two_degrees() -> None:
    t = np.array([-30.0, -1.5, 0.0, 0.3, 2.0, 400.0])
    assert t_tail(t, 1) == pytest.approx(0.5 - np.arctan(t) / np.pi, rel=1e-10, abs=1e-13)
    assert t_tail(t, 2) == pytest.approx(0.5 - t / (2 * np.sqrt(2 + t * t)), rel=1e-9, abs=1e-11)


def test_many_degrees_approach_the_normal_tail() -> None:
    assert float(t_tail(1.959964, 1e7)) == pytest.approx(0.025, rel=1e-5)


def test_what_is_not_known_stays_unknown() -> None:
    assert np.isnan(t_tail(np.nan, 5)) and np.isnan(t_tail(1.0, 0)) and np.isnan(t_tail(np.inf, 0))
    assert float(t_tail(np.inf, 3)) == 0.0 and float(t_tail(-np.inf, 3)) == 1.0


@given(st.floats(-50, 50), st.integers(1, 2000))
def test_tails_are_probabilities_and_mirror(t: float, df: int) -> None:
    upper, lower = float(t_tail(t, df)), float(t_tail(-t, df))
    assert 0.0 <= upper <= 1.0
    assert upper + lower == pytest.approx(1.0, abs=1e-12)


@given(st.floats(0.1, 50), st.floats(0.1, 50), st.integers(1, 1023).map(lambda i: i / 1024))
def test_beta_symmetry(a: float, b: float, x: float) -> None:
    assert float(regularised_beta(a, b, x)) == pytest.approx(1.0 - float(regularised_beta(b, a, 1.0 - x)), abs=1e-9)


def test_beta_with_whole_shapes_is_a_binomial_tail() -> None:
    # I_x(k, n - k + 1) = P(Binomial(n, x) >= k)
    from math import comb

    want = sum(comb(8, j) * 0.3**j * 0.7 ** (8 - j) for j in range(3, 9))
    assert float(regularised_beta(3, 6, 0.3)) == pytest.approx(want, rel=1e-13)
