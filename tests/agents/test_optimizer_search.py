"""The search: within its space, the same for a seed, better than chance."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.agents.optimizer.objective import Objective
from tidewright.agents.optimizer.score_search import F64, ScoreSearch
from tidewright.agents.optimizer.space import Dimension, Space, of_strategy, parse
from tidewright.market.errors import UsageError
from tidewright.strategies.registry import STRATEGIES, rows

SPACE = Space((Dimension("a", 1e-3, 1e3, "log"), Dimension("b", -5.0, 5.0), Dimension("c", 1, 12, "int")))


def far_from_the_optimum(values: F64) -> F64:
    """A known function: its maximum 0 lies at a = 2, b = -1.5, c = 7."""
    return -((np.log10(values[:, 0] / 2.0)) ** 2) - (values[:, 1] + 1.5) ** 2 / 10.0 - (values[:, 2] - 7) ** 2 / 50.0


def run(seed: int) -> ScoreSearch:
    search = ScoreSearch(SPACE, 32, seed)
    for _ in range(5):
        search.tell(far_from_the_optimum(search.ask()))
    return search


once = cache(run)  # for tests that only look


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))])
def test_the_search_finds_a_known_optimum_far_better_than_chance(seed: int) -> None:
    search = once(seed)
    random = SPACE.decode(np.random.default_rng(seed + 100).random((len(search.values), 3)))
    best = search.values[search.best(1)[0]]
    assert best[0] == pytest.approx(2.0, rel=0.35)
    assert best[1] == pytest.approx(-1.5, abs=0.35)
    assert abs(best[2] - 7) <= 1
    assert search.scores.max() > far_from_the_optimum(random).max() / 2.0


def test_the_search_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert run(0).values.tobytes() == once(0).values.tobytes()
    assert once(0).values.tobytes() != once(1).values.tobytes()


def test_every_generation_is_new_and_counted() -> None:
    search = once(0)
    assert search.values.shape == (160, 3)
    assert len({row.tobytes() for row in search.values}) == 160


def test_the_incumbent_is_in_the_first_generation_and_nothing_good_is_lost() -> None:
    incumbent = np.array([[2.0, -1.5, 7.0]])
    search = ScoreSearch(SPACE, 16, 0, incumbent)
    first = search.ask()
    assert (first[0] == incumbent[0]).all()
    search.tell(far_from_the_optimum(first))
    search.ask()
    search.tell(np.full(16, np.nan))
    assert (search.values[search.best(1)[0]] == incumbent[0]).all()


def test_the_best_few_are_apart_from_each_other() -> None:
    search = once(1)
    units = SPACE.encode(search.values[search.best(5, 0.1)])
    gaps = [np.abs(units[i] - units[j]).max() for i in range(5) for j in range(i)]
    assert min(gaps) > 0.1


def test_scores_are_owed_before_the_next_generation() -> None:
    search = ScoreSearch(SPACE, 4, 0)
    search.ask()
    with pytest.raises(UsageError, match="told before"):
        search.ask()
    with pytest.raises(UsageError, match="4 scores"):
        search.tell(np.zeros(3))


def test_a_small_space_runs_out_of_new_candidates_without_harm() -> None:
    search = ScoreSearch(Space((Dimension("n", 1, 3, "int"),)), 8, 0)
    search.tell(search.ask()[:, 0])
    assert set(search.values[:, 0]) == {1.0, 2.0, 3.0}


@given(st.lists(st.tuples(*[st.floats(0.0, 1.0)] * 3), min_size=1, max_size=20))
def test_values_stay_in_their_ranges_and_come_back(units: list[tuple[float, float, float]]) -> None:
    values = SPACE.decode(np.array(units))
    for column, part in zip(values.T, SPACE.dimensions, strict=True):
        assert ((column >= part.low) & (column <= part.high)).all()
    assert (values[:, 2] == np.floor(values[:, 2])).all()
    again = SPACE.decode(SPACE.encode(values))
    np.testing.assert_allclose(again, values, rtol=1e-5, atol=1e-9)


def test_every_strategy_has_a_space_its_registry_accepts() -> None:
    for name in STRATEGIES:
        space = of_strategy(name)
        values = space.decode(np.random.default_rng(0).random((50, len(space.dimensions))))
        assert rows(name, dict(zip(space.names, values.T, strict=True))).shape[0] == 50


def test_a_range_is_read_from_text() -> None:
    assert parse("spread_percentage=0.05:2:log") == Dimension("spread_percentage", 0.05, 2.0, "log")
    assert parse("base_quantity=1:2").kind == "float"


@pytest.mark.parametrize(
    "text", ["a", "a=1", "=1:2", "a=1:x", "a=2:1", "a=0:1:log", "a=1:2:odd", "a=1.5:2:int", "a=1:nan"]
)
def test_a_wrong_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_a_range_must_fit_the_strategy() -> None:
    for text, words in (("gamma=1:2", "no parameter"), ("levels=1:99:int", "within"), ("levels=1:3", "whole numbers")):
        with pytest.raises(UsageError, match=words):
            of_strategy("grid", [parse(text)])


def statistics(returns: F64, fills: int, drawdown: float = 0.0) -> dict[str, F64]:
    n = np.array([len(returns)])
    parts = {"n_samples": n, "sum_return": returns.sum(keepdims=True), "sum_return_sq": (returns**2).sum(keepdims=True)}
    return {**parts, "max_drawdown": np.array([drawdown]), "n_fills": np.array([fills])}


def test_the_objective_is_return_less_risk_less_drawdown() -> None:
    returns = np.array([1.0, 3.0, -1.0, 1.0]) * 1e-3
    deviation = np.sqrt(((returns - 1e-3) ** 2).sum() / 3)
    expected = (4e-3 - 0.5 * deviation * 2.0 - 0.5 * 0.001) * 60 / 80
    assert Objective().scores(statistics(returns, 60, 0.001))[0] == pytest.approx(expected, rel=1e-12)


def test_what_hardly_trades_ranks_below_a_loss_of_everything() -> None:
    lost = Objective().scores(statistics(np.array([-0.5, -0.4, -0.1]), 50, 1.0))[0]
    idle = Objective().scores(statistics(np.zeros(3), 0))[0]
    some = Objective().scores(statistics(np.ones(3) * 0.1, 9))[0]
    assert idle < some < lost < 0
