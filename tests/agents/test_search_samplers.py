"""What the quick samplers of ``tw.Search`` propose: where lines are cut, and that short ways give what long ones do."""

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
from tidewright.agents.optimizer.search import F64, Points, Search
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


def asked_of_lines(space: dict[str, object], function: object, batches: int, seed: int) -> Search:
    """A search by lines, 32 points a batch."""
    search = Search(space, sampler="lines", seed=seed)
    search.run(function, 32 * batches, batch=32)  # type: ignore[arg-type]
    return search


def test_lines_look_for_more_where_a_function_is_rough() -> None:
    steps = np.random.default_rng(0).random(400)

    def half_rough(points: Points) -> F64:
        """Low and next to flat on the left, steps from 0.2 to 1 on the right."""
        x = points["x"]
        step = steps[np.minimum(399, (400.0 * x).astype(np.int64))]
        return np.where(x < 0.5, 0.3 - 0.02 * x, 0.2 + 0.8 * step)

    for seed in range(3):
        search = asked_of_lines({"x": (0.0, 1.0)}, half_rough, 6, seed)
        assert (search.points["x"][32:] > 0.5).mean() > 0.7


def test_lines_go_to_the_end_of_a_range() -> None:
    def at_the_end(points: Points) -> F64:
        """Least, 0, where skew is 0 and spread 0.3; far less there than a little beside it."""
        return np.asarray(np.abs(points["spread"] - 0.3) + np.sqrt(points["skew"]), np.float64)

    for seed in range(3):
        search = asked_of_lines({"spread": (0.0, 1.0), "skew": (0.0, 1.0)}, at_the_end, 10, seed)
        assert search.points["skew"][int(np.argmin(search.values["value"]))] < 5e-3


def test_lines_change_whole_numbers_where_more_than_one_number_has_fractions() -> None:
    def slowly(points: Points) -> F64:
        """Least, 0, at one whole number of twenty, which matters less than where the fractions are."""
        apart = np.abs(points["x"] - 0.31) + np.abs(points["y"] - 0.52)
        return np.asarray(apart + 0.02 * np.abs(points["count"] - 17.0), np.float64)

    space = {"x": (0.0, 1.0), "y": (0.0, 1.0), "count": (1, 20, "int")}
    for seed in range(3):
        search = asked_of_lines(space, slowly, 8, seed)
        assert search.points["count"][int(np.argmin(search.values["value"]))] == 17


def test_lines_do_without_a_number_that_counted_for_no_point_so_far() -> None:
    space = {
        "mode": ["plain", "skewed"],
        "spread": (0.0, 1.0),
        "skew": {"low": 0.0, "high": 1.0, "when": {"mode": ["skewed"]}},
    }
    search = Search(space, sampler="lines", seed=1)
    spread = np.linspace(0.0, 1.0, 16)
    search.tell({"mode": ["plain"] * 16, "spread": spread, "skew": [np.nan] * 16}, (spread - 0.4) ** 2)
    search.ask(16)
    assert np.abs(search.ask(16)["spread"] - 0.4).min() < 0.05


def test_lines_take_a_space_of_choices_and_of_whole_numbers_alone() -> None:
    for space in ({"mode": ["a", "b", "c"]}, {"n": (1, 2, "int"), "m": (0, 3, "int")}):
        search = Search(space, sampler="lines", seed=1)
        for _ in range(3):
            points = search.ask(8)
            search.tell(points, np.arange(8.0))
        assert len(search) == 24
