import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.coordination.patterns.opinion import Opinion, Result
from tidewright.coordination.patterns.peer_to_peer import (
    PeerToPeer,
    agree,
    consensus,
    metropolis,
    rate,
    resilient_round,
)
from tidewright.market.errors import UsageError


def ring(n):
    return [[(i - 1) % n, (i + 1) % n] for i in range(n)]


def test_published_rates_of_rings():
    for n, published in ((4, 0.5), (5, 0.6545)):  # half stays, a quarter to each neighbour
        matrix = np.eye(n) / 2
        for i in range(n):
            matrix[i, (i - 1) % n] = matrix[i, (i + 1) % n] = 0.25
        assert rate(matrix) == pytest.approx(published, abs=5e-5)


graphs = st.integers(3, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=20))
)


@given(graphs, st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_the_error_falls_at_the_rate_of_the_mixing_matrix(graph, seed, rounds):
    n, extra = graph
    edges = {frozenset((i, (i + 1) % n)) for i in range(n)} | {frozenset(pair) for pair in extra if pair[0] != pair[1]}
    matrix = metropolis([[j for j in range(n) if frozenset((i, j)) in edges and i != j] for i in range(n)])
    assert np.allclose(matrix.sum(axis=0), 1)
    assert np.array_equal(matrix, matrix.T)
    start = np.random.default_rng(seed).normal(size=n)
    mean = start.mean()
    error = np.linalg.norm(consensus(start, matrix, rounds) - mean)
    assert error <= rate(matrix) ** rounds * np.linalg.norm(start - mean) + 1e-12


def test_one_sided_hearing_is_refused():
    with pytest.raises(UsageError, match="hear each other"):
        metropolis([[1], []])


@given(st.integers(0, 2**32 - 1), st.integers(1, 2))
def test_trimmed_rounds_bring_the_honest_together_within_their_own_range_against_liars(seed, liars):
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=2 * liars + 1)  # with the liars 3f + 1 agents, all hear all
    low, high = honest.min(), honest.max()
    for _ in range(60):
        # Each liar tells everybody something else, within and far beyond what is believable.
        scales = 10.0 ** rng.integers(-2, 6, size=(len(honest), liars))
        lies = rng.normal(size=(len(honest), liars)) * scales
        honest = np.array([resilient_round(x, [*np.delete(honest, i), *lies[i]], liars) for i, x in enumerate(honest)])
        assert low - 1e-12 <= honest.min() <= honest.max() <= high + 1e-12
    assert honest.max() - honest.min() < 0.05 * (high - low) + 1e-9


def test_peers_trim_numbers_and_pool_what_they_believe():
    pattern = PeerToPeer()
    said = [Opinion(name, {"spread": value}) for name, value in zip("abcd", (0.1, 0.2, 0.3, 99.0), strict=True)]
    for _ in range(20):
        pattern.learn({name: Result(loss) for name, loss in zip("abcd", (0.2, 0.5, 0.5, 0.9), strict=True)})
    found = pattern.decide({"spread": 1.0, "levels": 3.0}, said)
    assert 0.1 <= found.params["spread"] <= 0.3 and found.params["levels"] == 3.0, "within what the honest say"
    assert "peers agree after" in found.why
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.shares["a"] > found.shares["b"] > found.shares["d"]
    assert found.shares["b"] == pytest.approx(found.shares["c"])
    without = pattern.decide({"spread": 1.0}, said[1:])
    assert "a" not in without.shares


@given(graphs, st.integers(0, 2**32 - 1))
def test_peers_on_any_connected_graph_come_to_the_mean_of_their_numbers(graph, seed):
    n, extra = graph
    edges = {frozenset((i, (i + 1) % n)) for i in range(n)} | {frozenset(pair) for pair in extra if pair[0] != pair[1]}
    heard = [[j for j in range(n) if frozenset((i, j)) in edges and i != j] for i in range(n)]
    values = np.random.default_rng(seed).normal(size=n)
    found, rounds = agree(values.tolist(), heard, 0)
    assert found == pytest.approx(values.mean(), abs=1e-6)
    error = np.ptp(values)
    assert rate(metropolis(heard)) ** max(0, rounds - 1) * n * error >= 1e-9 * np.abs(values).max() or rounds == 1


def test_who_hears_whom_is_a_setting_and_parts_that_do_not_hear_each_other_settle_in_the_middle():
    said = [Opinion(name, {"spread": value}) for name, value in zip("abc", (0.1, 0.2, 0.6), strict=True)]
    whole = PeerToPeer().decide({"spread": 1.0}, said)
    line = PeerToPeer({"a": ["b"], "b": ["c"]}).decide({"spread": 1.0}, said)
    assert whole.params["spread"] == pytest.approx(0.3) and whole.why.endswith("after 1 rounds")
    assert line.params["spread"] == pytest.approx(0.3, abs=1e-6) and int(line.why.split()[-2]) > 5
    apart = PeerToPeer({"a": ["b"], "b": ["a"], "c": []}).decide({"spread": 1.0}, said)
    assert 0.1 <= apart.params["spread"] <= 0.6


def test_beliefs_are_pooled_by_their_odds_and_liars_are_left_out():
    assert PeerToPeer().believe({"a": 0.7, "b": 0.6, "c": 0.9}) == pytest.approx(0.759510, abs=1e-6)
    assert PeerToPeer().believe({"a": 0.6, "b": 0.7, "c": 0.65, "liar": 0.001}) > 0.6
    assert PeerToPeer().believe({}) is None
