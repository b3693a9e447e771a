import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.coordination.patterns.hierarchical import FixedShare, Hedge, Hierarchical, hedge_bound
from tidewright.coordination.patterns.opinion import Opinion, Result
from tidewright.market.errors import UsageError


def play(forecaster, losses):
    total = 0.0
    for row in losses:
        total += float(forecaster.weights @ row)
        forecaster.update(row)
    return total


def adversarial(kind, rounds, experts, rng, make):
    """Loss sequences made to hurt: against the forecaster's own weights, in blocks, at random, at the edges."""
    losses, shadow = np.empty((rounds, experts)), make()
    best = 0
    for t in range(rounds):
        if kind == "against":
            row = (shadow.weights >= np.max(shadow.weights) - 1e-12).astype(float)
        elif kind == "blocks":
            best = int(rng.integers(experts)) if rng.random() < 0.03 else best
            row = np.ones(experts)
            row[best] = 0.0
        elif kind == "edges":
            row = rng.integers(0, 2, experts).astype(float)
        else:
            row = rng.random(experts)
        losses[t] = row
        shadow.update(row)
    return losses


def best_switching(losses, switches):
    """Least loss of any sequence of experts with at most so many changes, and when these are."""
    rounds, experts = losses.shape
    cost = np.full((switches + 1, experts), np.inf)
    cost[0] = losses[0]
    cost[1:] = losses[0]
    came = np.zeros((rounds, switches + 1, experts), dtype=int)  # the expert before, itself if unchanged
    came[0] = np.arange(experts)
    for t in range(1, rounds):
        new = np.empty_like(cost)
        for k in range(switches + 1):
            for i in range(experts):
                stay, move = cost[k, i], np.inf
                if k:
                    j = int(np.argmin(cost[k - 1]))
                    move = cost[k - 1, j]
                new[k, i] = min(stay, move) + losses[t, i]
                came[t, k, i] = i if stay <= move else j
        cost = new
    k, i = switches, int(np.argmin(cost[switches]))
    least, when = float(cost[k, i]), []
    for t in range(rounds - 1, 0, -1):
        j = came[t, k, i]
        if j != i:
            when.append(t + 1)
            k, i = k - 1, j
    return least, when


KINDS = st.sampled_from(["against", "blocks", "edges", "random"])
SEEDS = st.integers(0, 2**32 - 1)


@given(KINDS, SEEDS, st.integers(1, 150), st.integers(2, 5), st.integers(0, 4), st.sampled_from([0, 20, 2880]))
def test_fixed_share_stays_below_its_bound_on_every_sequence(kind, seed, rounds, experts, switches, horizon):
    rng = np.random.default_rng(seed)
    losses = adversarial(kind, rounds, experts, rng, lambda: FixedShare(experts, horizon))
    forecaster = FixedShare(experts, horizon)
    total = play(forecaster, losses)
    for allowed in range(switches + 1):
        least, when = best_switching(losses, allowed)
        assert total - least <= forecaster.bound(rounds, when) + 1e-9


@given(KINDS, SEEDS, st.integers(1, 300), st.integers(2, 6))
def test_hedge_stays_below_its_bound_on_every_sequence(kind, seed, rounds, experts):
    rng = np.random.default_rng(seed)
    losses = adversarial(kind, rounds, experts, rng, lambda: Hedge(experts))
    regret = play(Hedge(experts), losses) - losses.sum(axis=0).min()
    assert regret <= hedge_bound(rounds, experts) + 1e-9


def test_across_regime_switches_fixed_share_loses_less_than_half_of_what_hedge_loses():
    rng = np.random.default_rng(5)
    rounds, experts, each = 2880, 4, 480  # a day of cycles, a new best every four hours
    losses = np.clip(rng.normal(0.55, 0.15, (rounds, experts)), 0, 1)
    for t in range(rounds):
        losses[t, (t // each) % experts] -= min(0.2, losses[t, (t // each) % experts])
    best = sum(losses[k : k + each].sum(axis=0).min() for k in range(0, rounds, each))
    fixed, hedge = play(FixedShare(experts), losses) - best, play(Hedge(experts), losses) - best
    assert fixed < 0.5 * hedge


@pytest.mark.parametrize("losses", [[0.5], [0.5, 1.5], [0.5, math.nan]])
def test_losses_must_be_losses(losses):
    with pytest.raises(UsageError, match="losses in"):
        FixedShare(2).update(np.array(losses))


def test_capital_follows_the_results_of_all_and_the_silent_get_none():
    pattern = Hierarchical(["a", "b", "c"])
    for _ in range(100):
        pattern.learn({"a": Result(0.6), "b": Result(0.4), "c": Result(0.6)})
    said = [Opinion(name, {"levels": levels}) for name, levels in (("a", 2.0), ("b", 5.0))]
    found = pattern.decide({"levels": 3.0}, said)
    assert found.params == {"levels": 5.0}
    assert set(found.shares) == {"a", "b"}
    assert 0.8 < found.shares["b"] < sum(found.shares.values()) < 1
    assert pattern.decide({"levels": 3.0}, []).shares == {}
