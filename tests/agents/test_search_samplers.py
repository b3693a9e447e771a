"""What the quick samplers of ``tw.Search`` propose: short ways give what long ones do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM

from tidewright.agents.optimizer.samplers.ensemble import lagging
from tidewright.agents.optimizer.samplers.genetic import crossed, mutated
from tidewright.agents.optimizer.space import DIGITS, rounded


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_numbers_are_rounded_to_what_their_text_says(numbers: list[float]) -> None:
    text = np.array([float(f"{number:.{DIGITS}g}") for number in numbers])
    assert rounded(np.array(numbers)).tobytes() == text.tobytes()


@pytest.mark.parametrize("power", range(-18, 25))
def test_numbers_half_way_between_two_are_rounded_to_what_their_text_says(power: int) -> None:
    numbers = np.array([float(f"{123456 + offset}.5e{power}") for offset in range(0, 800_000, 1013)])
    near = np.concatenate([numbers, np.nextafter(numbers, 0.0), np.nextafter(numbers, np.inf), -numbers])
    assert rounded(near).tolist() == [float(f"{number:.{DIGITS}g}") for number in near]


@pytest.mark.parametrize("dims", [1, 2, 5])
def test_children_are_those_of_pymoos_operators(dims: int) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        parents, pairs = rng.random((16, dims)), rng.integers(0, 16, (33, 2))
        parents[3] = parents[4]
        problem = Problem(n_var=dims, n_obj=1, xl=np.zeros(dims), xu=np.ones(dims))
        own, other = np.random.default_rng(seed), np.random.default_rng(seed)
        children = mutated(crossed(parents[pairs].swapaxes(0, 1), own), own)
        theirs = SBX(eta=15, prob=0.9).do(problem, Population.new(X=parents), pairs, random_state=other)
        theirs = PM(eta=20).do(problem, theirs, random_state=other).get("X")
        assert children.tobytes() == np.asarray(theirs, np.float64).tobytes()
        assert own.random() == other.random()


def test_points_are_dealt_one_by_one_to_whoever_lags_most() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        share, had = rng.dirichlet(np.ones(5)), 30.0 * rng.random(5)
        expected, held = np.zeros(5, np.int64), had.copy()
        for _ in range(64):
            chosen = int(np.argmax(share * (held.sum() + 1.0) - held))
            expected[chosen] += 1
            held[chosen] += 1.0
        assert lagging(share, had, 64).tolist() == expected.tolist()
