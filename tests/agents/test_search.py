"""``tw.Search``: asks within its space, learns from what it is told, is the same for a seed and after a kill."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.agents.optimizer.samplers.ensemble import Ensemble
from tidewright.agents.optimizer.samplers.front import free_boxes, gains, hypervolume, nondominated
from tidewright.agents.optimizer.samplers.improvement import expected_improvement, log_feasibility
from tidewright.agents.optimizer.search import F64, Points, Search
from tidewright.agents.optimizer.search_problem import constraint, problem
from tidewright.market.errors import DataError, NotFoundError, UsageError

MIXED = {
    "rate": (1e-4, 1.0, "log"),
    "shift": (-2.0, 2.0),
    "count": (1, 9, "int"),
    "mode": ["slow", "fast", "other"],
    "boost": {"low": 0.0, "high": 1.0, "when": {"mode": ["fast"]}},
}
EVERY = ("genetic", "gp", "forest", "tpe", "lines", "ensemble")


def zdt1(points: Points) -> F64:
    x = np.stack(list(points.values()), axis=1)
    g = 1.0 + 9.0 * x[:, 1:].mean(axis=1)
    return np.stack([x[:, 0], g * (1.0 - np.sqrt(x[:, 0] / g))], axis=1)


def mixed(points: Points) -> F64:
    """Least, 0, at rate 0.01, shift 1, count 4, mode fast, boost 0.7."""
    boost = np.where(np.isnan(points["boost"]), 3.0, np.abs(points["boost"] - 0.7))
    mode = np.where(points["mode"] == "fast", 0.0, 1.0)
    rest = (np.log10(points["rate"]) + 2.0) ** 2 + (points["shift"] - 1.0) ** 2 + 0.1 * (points["count"] - 4.0) ** 2
    return np.asarray(rest + mode + boost, np.float64)


@pytest.mark.parametrize("sampler", EVERY)
def test_points_are_in_the_space_and_of_its_types(sampler: str) -> None:
    search = Search(MIXED, sampler=sampler, seed=3)
    for count in (12, 1, 5):
        points = search.ask(count)
        assert ((points["rate"] >= 1e-4) & (points["rate"] <= 1.0)).all()
        assert points["count"].dtype == np.int64 and set(points["count"]) <= set(range(1, 10))
        assert set(points["mode"]) <= {"slow", "fast", "other"}
        assert (np.isnan(points["boost"]) == (points["mode"] != "fast")).all()
        search.tell(points, mixed(points))


@pytest.mark.parametrize("sampler", ["gp", "ensemble"])
def test_a_mixed_space_is_searched_far_better_than_by_chance(sampler: str) -> None:
    search = Search(MIXED, sampler=sampler, seed=1)
    search.run(mixed, 60, batch=12)
    chance = Search(MIXED, seed=11)
    best = search.values["value"].min()
    assert best < mixed(chance.ask(400)).min()


@pytest.mark.parametrize("sampler", EVERY)
def test_the_same_seed_asks_the_same_also_after_saving_and_loading(sampler: str, tmp_path: Path) -> None:
    def play(resumed: bool) -> F64:
        search = Search({f"x{i}": (0.0, 1.0) for i in range(3)}, ["a", "b"], sampler=sampler, seed=5)
        for _ in range(3):
            points = search.ask(8)
            search.tell(points, zdt1(points), notes={"who": 1.0})
            if resumed:
                search.save(tmp_path / "s.json")
                search.ask(4)  # what is asked for and never told is forgotten by the kill
                search = Search.load(tmp_path / "s.json")
        return search.parameters

    assert play(False).tobytes() == play(True).tobytes()


def test_another_seed_asks_for_something_else() -> None:
    one, other = (Search({"x": (0.0, 1.0)}, seed=seed).ask(4)["x"] for seed in (1, 2))
    assert one.tobytes() != other.tobytes()


def test_no_point_is_asked_for_twice() -> None:
    search = Search({f"x{i}": (0.0, 1.0) for i in range(3)}, ["a", "b"], seed=5)
    for _ in range(4):
        points = search.ask(16)
        search.tell(points, zdt1(points))
    assert len({row.tobytes() for row in search.parameters}) == 64


def test_the_start_is_asked_for_first() -> None:
    start = {"x": [0.25, 0.5], "mode": ["b", "a"]}
    points = Search({"x": (0.0, 1.0), "mode": ["a", "b"]}, start=start).ask(6)
    assert points["x"][:2].tolist() == [0.25, 0.5] and points["mode"][:2].tolist() == ["b", "a"]


def test_a_front_keeps_the_constraints_and_no_point_of_it_is_beaten() -> None:
    search = Search({f"x{i}": (0.0, 1.0) for i in range(3)}, {"a": "min", "b": "max"}, ["a>=0.3", "c<=1"], "genetic")
    points = search.ask(200)
    values = zdt1(points) * [1.0, -1.0]
    search.tell(points, values, {"c": points["x1"] * 2.0})
    front = search.front()
    assert (front.values["a"] >= 0.3).all() and (front.measures["c"] <= 1.0).all()
    kept = (values[:, 0] >= 0.3) & (points["x1"] <= 0.5)
    for a, b in zip(front.values["a"], front.values["b"], strict=True):
        assert not (
            (values[kept, 0] <= a) & (values[kept, 1] >= b) & ((values[kept, 0] < a) | (values[kept, 1] > b))
        ).any()


def test_the_ensemble_spends_on_what_earns() -> None:
    search = Search({f"x{i}": (0.0, 1.0) for i in range(4)}, ["a", "b"], seed=2)
    search.run(zdt1, 48, batch=8)
    shares = search.shares
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) >= 0.03
    assert max(shares, key=lambda name: shares[name]) == "gp"  # a smooth function of a few numbers


def asked_of(search: Search, seconds: float | None, batches: int) -> list[int]:
    """Points that each part of an ensemble proposed."""
    for _ in range(batches):
        points = search.ask(32)
        search.tell(points, zdt1(points), seconds=seconds)
    return np.bincount(search._history.source + 1, minlength=4)[1:].tolist()


def test_where_judging_is_cheap_an_ensemble_counts_what_it_earns_a_second() -> None:
    space, names = {f"x{i}": (0.0, 1.0) for i in range(4)}, ("gp", "forest", "genetic")

    def make() -> Search:
        return Search(space, ["a", "b"], sampler=names, seed=2)

    cheap = asked_of(make(), 0.02, 8)
    assert cheap == [0, 0, 224]  # of the others' models each takes longer than judging four batches
    dear = asked_of(make(), 3.2e8, 2)
    assert min(dear) > 8  # thinking is nothing beside months of judging
    with pytest.raises(UsageError, match="seconds"):
        make().tell({f"x{i}": [0.5] for i in range(4)}, [[0.1, 0.2]], seconds=0.0)


def test_a_part_that_thinks_long_has_its_turn_when_its_floor_of_the_time_allows() -> None:
    search = Search({"x": (0.0, 1.0), "y": (0.0, 1.0)}, ["a", "b"], sampler=("gp", "genetic"), seed=1)
    points = search.ask(200)
    values = np.stack([points["x"], 2.0 - points["x"] + points["y"]], axis=1)
    search.tell(points, values, seconds=20.0)
    ensemble, known = search._sampler, replace(search._history, price=0.11, gain=np.zeros(200))
    assert isinstance(ensemble, Ensemble)
    thinking = ensemble._parts["gp"].thinking(known, 1)
    assert 4 * 0.11 < thinking < 0.03 * 0.11 * 200  # its points, and its floor of what was judged since its last turn
    assert ensemble.dealt(known, 4)[0] > 0
    at_once = replace(known, source=np.where(np.arange(200) == 199, 0, 1))  # it was asked just now
    assert ensemble.dealt(at_once, 4).tolist() == [0, 4]


def test_a_hundred_points_find_most_of_a_known_front() -> None:
    search = Search({f"x{i}": (0.0, 1.0) for i in range(4)}, ["a", "b"], seed=0)
    front = search.run(zdt1, 60, batch=10)
    found = hypervolume(np.stack(list(front.values.values()), axis=1), np.array([11.0, 11.0]))
    assert found / (120.0 + 2.0 / 3.0) > 0.98  # random: 0.88


def test_failed_points_are_kept_out_of_the_front_and_a_hopeless_function_is_named() -> None:
    search = Search({"x": (0.0, 1.0)}, ["a"], sampler="gp")
    points = search.ask(64)
    values = points["x"].copy()
    values[::2] = np.nan
    search.tell(points, values)
    assert np.isfinite(search.front().values["a"]).all()
    search.tell(search.ask(4), [np.nan, np.inf, 1.0, 2.0])
    broken = Search({"x": (0.0, 1.0)}, ["a"])
    broken.tell(broken.ask(64), np.full(64, np.nan))
    with pytest.raises(DataError, match="none of 64 points has finite objectives: a was NaN"):
        broken.ask(1)
    with pytest.raises(UsageError, match="a was NaN or infinite each time; one finite point would be enough"):
        broken.front()


def test_constraints_that_nothing_satisfies_are_told_with_the_nearest() -> None:
    search = Search({"x": (0.0, 1.0)}, ["a"], ["a<=-1", "fills>=20"], sampler="gp")
    points = search.ask(16)
    search.tell(points, points["x"], {"fills": np.arange(16.0)})
    search.tell(search.ask(8), np.ones(8), {"fills": np.ones(8)})
    nearest = (
        r"front: a<=-1 is kept by 0 of 24 points .*fills>=20 is kept by 0 of 24 points \(the greatest fills is 15\)"
    )
    with pytest.raises(UsageError, match=nearest):
        search.front()


@pytest.mark.parametrize(
    ("space", "objectives", "constraints", "sampler", "words"),
    [
        ({}, ["a"], [], "gp", "at least one parameter"),
        ({"x": (0.0, 1.0)}, [], [], "gp", "at least one objective"),
        ({"x": (0.0, 1.0)}, ["a:up"], [], "gp", "min or max"),
        ({"x": (0.0, 1.0)}, ["a"], ["a<1"], "gp", "name<=bound"),
        ({"x": (0.0, 1.0)}, ["a", "a:max"], [], "gp", "named once"),
        ({"x": (0.0, 1.0)}, ["a"], ["r>=2", "r<=1"], "gp", "nothing can keep both r<=1 and r>=2"),
        ({"x": (0.0, 1.0)}, ["a"], [], "annealing", "sampler must be one of"),
        ({"x": (0.0, 1.0)}, ["a"], [], ("gp", "gp"), "different parts"),
        ({"x": ["one"]}, ["a"], [], "gp", "two different choices"),
        ({"x": {"low": 0, "high": 1, "step": 2}}, ["a"], [], "gp", "unknown entries step"),
        ({"x": {"low": 0, "high": 1, "when": {"y": [1]}}}, ["a"], [], "gp", "depends on 'y'"),
        ({"y": [1, 2], "x": {"low": 0, "high": 1, "when": {"y": [3]}}}, ["a"], [], "gp", "values of y"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    space: dict[str, object], objectives: list[str], constraints: list[str], sampler: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        Search(space, objectives, constraints, sampler)


def test_what_is_told_must_fit() -> None:
    search = Search({"x": (0.0, 1.0), "m": ["a", "b"]}, ["a", "b"], ["c<=1"])
    points = search.ask(3)
    for values, extra, words in (
        ([[1.0, 2.0]], [0.0] * 3, "shape"),
        ({"a": [1, 2, 3]}, [0.0] * 3, "objectives must be told for a, b"),
        (np.zeros((3, 2)), None, "need c"),
    ):
        with pytest.raises(UsageError, match=words):
            search.tell(points, values, extra)
    with pytest.raises(UsageError, match="one of"):
        search.tell({"x": [0.5], "m": ["z"]}, np.zeros((1, 2)), [0.0])
    with pytest.raises(UsageError, match="parameters x, m"):
        search.tell({"x": [0.5]}, np.zeros((1, 2)), [0.0])
    assert len(search) == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"shift": 5.0}, r"shift must be in \[-2, 2\], was 5"),
        ({"rate": 1e-5}, r"rate must be in \[0.0001, 1\], was 1e-05"),
        ({"count": 2.5}, r"count must be a whole number in \[1, 9\], was 2.5"),
        ({"shift": np.nan}, "shift must be in .*, was nan"),
        ({"mode": "fast", "boost": 1.5}, r"boost must be in \[0, 1\], was 1.5"),
        ({"mode": "fast", "boost": np.nan}, "boost must be in .*, was nan"),
    ],
)
def test_a_point_outside_the_space_is_refused_told_or_at_the_start(changed: dict[str, object], words: str) -> None:
    inside = {"rate": 0.1, "shift": 1.0, "count": 4, "mode": "slow", "boost": 0.5}
    search = Search(MIXED, sampler="genetic")
    for point in (inside, {**inside, "boost": 7.0}):  # what is inactive may be anything
        search.tell(point, [1.0])
        Search(MIXED, sampler="genetic", start=point)
    with pytest.raises(UsageError, match=f"a point is not in the space: {words}"):
        search.tell({**inside, **changed}, [1.0])
    assert len(search) == 2
    with pytest.raises(UsageError, match=f"a point of the start is not in the space: {words}"):
        Search(MIXED, sampler="genetic", start={**inside, **changed})


def test_the_ends_of_a_range_are_in_it_also_after_rounding() -> None:
    search = Search({"x": (0.1, 0.7, "log")}, sampler="genetic")
    search.tell({"x": [0.1, 0.7, float(np.exp(np.log(0.7))) * (1 + 1e-15)]}, [1.0, 2.0, 3.0])
    assert search.points["x"].tolist() == [0.1, 0.7, 0.7]


def test_a_seed_that_no_file_can_hold_is_refused_at_once() -> None:
    for seed in (-1, 2**64):
        with pytest.raises(UsageError, match=r"the seed must be in 0\.\.2\^64 - 1"):
            Search({"x": (0.0, 1.0)}, seed=seed)


def test_the_largest_seed_is_kept_in_a_file(tmp_path: Path) -> None:
    search = Search({"x": (0.0, 1.0)}, sampler="genetic", seed=2**64 - 1)
    search.save(tmp_path / "s.json")
    assert Search.load(tmp_path / "s.json").seed == 2**64 - 1


def test_a_search_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the search to"):
        Search({"x": (0.0, 1.0)}).save(tmp_path / "none" / "s.json")


def test_a_file_that_is_no_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        Search.load(tmp_path / "none")
    for text, words in (
        ("{", "damaged"),
        ("{}", "no saved search"),
        ('{"format":"tidewright-search","version":9}', "version"),
    ):
        (tmp_path / "s").write_text(text)
        with pytest.raises(DataError, match=words):
            Search.load(tmp_path / "s")


def test_a_run_needs_a_budget_and_keeps_to_time() -> None:
    search = Search({"x": (0.0, 1.0)}, ["a"], sampler="genetic")
    with pytest.raises(UsageError, match="budget"):
        search.run(lambda points: points["x"])
    clock = [0.0]

    def judge(points: Points) -> F64:
        clock[0] += 1.25
        return points["x"]

    search.run(judge, seconds=5.0, batch=4, now=lambda: clock[0])
    assert len(search) == 4 * 4
    assert search.price == 1.25 / 4


def test_constraints_and_objectives_are_read_from_text() -> None:
    found = problem({"return": "max", "max_drawdown": "min"}, ["max_drawdown<=0.05", "fills >= 20"])
    assert found.measured == ("fills",)
    assert constraint("fills>=20").excess(np.array([25.0, 15.0])).tolist() == [-5.0, 5.0]


@given(st.integers(1, 4), st.integers(0, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_free_boxes_and_what_is_dominated_fill_the_whole(objectives: int, count: int, seed: int) -> None:
    """The boxes are disjoint and cover exactly what is not dominated: volumes within a cube add up."""
    front = np.random.default_rng(seed).random((count, objectives))
    reference = np.ones(objectives)
    lows, highs = free_boxes(front[nondominated(front)], reference)
    volume = (highs - np.maximum(lows, 0.0)).prod(axis=1).sum()
    assert volume + hypervolume(front, reference) == pytest.approx(1.0, abs=1e-9)


def test_the_tiny_front_of_three_points_has_volume_six() -> None:
    """{(1,3), (2,2), (3,1)} to (4,4): by hand."""
    front = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert hypervolume(front, np.array([4.0, 4.0])) == pytest.approx(6.0)
    assert (gains(front, np.array([[1.5, 2.5], [2.5, 2.5]])) > 0).tolist() == [True, False]


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_expected_improvement_is_the_mean_of_simulated_improvements(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    front = rng.random((4, objectives))
    front = front[nondominated(front)]
    reference = np.full(objectives, 1.1)
    mean, deviation = rng.random((3, objectives)), 0.1 + 0.3 * rng.random((3, objectives))
    exact = expected_improvement(mean, deviation, *free_boxes(front, reference))
    base = hypervolume(front, reference)
    for row in range(3):
        drawn = mean[row] + deviation[row] * rng.standard_normal((4000, objectives))
        each = [hypervolume(np.concatenate([front, y[None]]), reference) - base for y in drawn]
        assert exact[row] == pytest.approx(np.mean(each), abs=1e-9 + 4.0 * np.std(each) / np.sqrt(4000))


def test_probability_of_feasibility_multiplies_over_constraints() -> None:
    found = log_feasibility(np.array([[0.0, 0.0], [-10.0, 1.0]]), np.ones((2, 2)))
    assert np.exp(found) == pytest.approx([0.25, 0.15865525393145707])  # Φ(0)², Φ(10)Φ(-1)


def stairs(points: Points) -> F64:
    """Losses in steps of the rate, as prices in whole ticks make them: a flat stretch with the least at its end."""
    place = 400.0 + np.floor(np.log10(points["rate"]) * 100.0)  # 0 to 400
    height = np.select([place < 168, place < 170, place < 200], [1.0, 0.0, 0.3], 0.6 + 0.001 * np.abs(place - 300.0))
    return np.asarray(height + 0.1 * np.abs(points["count"] - 4.0), np.float64)


def test_lines_find_the_narrow_step_at_the_end_of_a_flat_stretch() -> None:
    space = {"rate": (1e-4, 1.0, "log"), "count": (1, 6, "int")}
    even = Search(space, seed=1).ask(256)
    assert stairs(even).min() > 0.0
    search = Search(space, sampler="lines", seed=1)
    search.run(stairs, 256, batch=32)
    assert search.values["value"].min() == 0.0


def test_lines_seldom_look_between_equal_answers() -> None:
    search = Search({"x": (0.0, 1.0)}, sampler="lines", seed=1)
    asked = []
    for _ in range(6):
        points = search.ask(16)
        asked.append(points["x"])
        search.tell(points, np.where(points["x"] < 0.7, 1.0, points["x"] - 0.7))
    assert (np.concatenate(asked[1:]) > 0.65).mean() > 0.7
    assert search.values["value"].min() < 0.005


def test_lines_take_part_in_an_ensemble_only_where_judging_is_timed() -> None:
    for seconds, expected in ((None, False), (1e-3, True)):
        search = Search({f"x{i}": (0.0, 1.0) for i in range(3)}, ["a", "b"], seed=5)
        for _ in range(3):
            points = search.ask(16)
            search.tell(points, zdt1(points), seconds=seconds)
        assert ("lines" in search.shares) is expected


def test_the_next_question_is_asked_while_others_are_judged_and_answers_are_told_in_their_order() -> None:
    first, second, order = Event(), Event(), []

    def judge(points: Points) -> F64:
        if len(order) == 0:
            order.append("first")
            first.set()
            assert second.wait(20.0)  # for the other question: it can only come while this one is out
        else:
            assert first.wait(20.0)
            order.append("second")
            second.set()
        return zdt1(points)

    def play(workers: int, function: Callable[[Points], F64]) -> Search:
        search = Search({f"x{i}": (0.0, 1.0) for i in range(3)}, ["a", "b"], sampler="lines", seed=5)
        search.run(function, 70, batch=16, workers=workers)
        return search

    search = play(2, judge)
    assert order[:2] == ["first", "second"] and len(search) == 70
    assert search.parameters.tobytes() == play(2, zdt1).parameters.tobytes()  # whoever was quicker


def test_what_a_worker_cannot_judge_ends_the_run() -> None:
    def broken(points: Points) -> F64:
        raise DataError("no such market")

    with pytest.raises(DataError, match="no such market"):
        Search({"x": (0.0, 1.0)}).run(broken, 64, batch=8, workers=2)
    with pytest.raises(UsageError, match="workers"):
        Search({"x": (0.0, 1.0)}).run(mixed, 64, workers=0)
