import numpy as np
import pytest

from tidewright.market.hawkes import GROUPS, TYPES, Excitation, fit_excitation

BETA = np.array([5.0])


def simulate(rate: float, own: float, other: float, seconds: float, seed: int):
    """Events of the last group on two sides, by thinning: slow and obvious."""
    random = np.random.default_rng(seed)
    now, level, found = 0.0, np.zeros(2), []
    while now < seconds:
        base = rate * (1 - own - other)
        lam = base + own * level + other * level[::-1]
        wait = random.exponential(1 / lam.sum())
        now += wait
        bound = lam.sum()
        level *= np.exp(-BETA[0] * wait)
        lam = base + own * level + other * level[::-1]
        pick = random.uniform(0, bound)
        if pick < lam.sum():
            side = int(pick > lam[0])
            found.append((now, side))
            level[side] += BETA[0]
    at, side = zip(*found, strict=True)
    return np.array(at), np.array(side, np.int64)


@pytest.mark.parametrize(("own", "other"), [(0.0, 0.0), (0.5, 0.2)])
def test_fit_recovers_the_weights_a_process_was_made_with(own, other):
    at, side = simulate(2.0, own, other, 4_000.0, 3)
    dt = np.diff(at, prepend=at[0])
    rates = np.zeros((len(at), 2, GROUPS))
    rates[:, :, 2] = len(at) / (2 * (at[-1] - at[0]))
    found, integral = fit_excitation(at, dt, np.full(len(at), 2), side, rates, BETA, 150)
    assert found.weights[2, 2, 0] == pytest.approx(own, abs=0.06)
    assert found.weights[2, 5, 0] == pytest.approx(other, abs=0.06)
    assert found.base[2] == pytest.approx(1 - own - other, abs=0.08)
    assert integral[:, :, 2].mean(axis=1).sum() == pytest.approx(dt.sum(), rel=0.02), "A is 1 in the mean"


def test_branching_ratio_is_the_mean_number_of_children_and_can_be_capped():
    weights = np.zeros((GROUPS, TYPES, 1))
    weights[2, 2, 0], weights[2, 5, 0] = 0.6, 0.3
    found = Excitation(np.array([1.0, 1.0, 0.1]), weights, BETA, np.ones(GROUPS))
    assert found.branching == pytest.approx(0.9)
    capped = found.capped(0.45)
    assert capped.branching == pytest.approx(0.45)
    assert capped.base[2] + capped.weights[2].sum() == pytest.approx(1.0)
    assert found.capped(0.95) is found
