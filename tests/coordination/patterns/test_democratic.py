import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.coordination.patterns.combining import tolerated
from tidewright.coordination.patterns.democratic import Democratic, Records
from tidewright.coordination.patterns.opinion import Opinion, Result


def names(n):
    return [f"v{index}" for index in range(n)]


sizes = st.integers(4, 13)


@given(sizes, st.data())
def test_no_order_is_forced_and_no_sign_turned_by_the_tolerated_number_of_arbitrary_voters(n, data):
    few = tolerated(n)
    sign = data.draw(st.sampled_from([-1, 0, 1]))
    said = []
    for name in names(n)[few:]:  # honest: all of one mind or without an opinion, never of the other mind
        stance = sign * data.draw(st.integers(0, 2))
        said.append(Opinion(name, {"spread": data.draw(st.floats(0.1, 1))}, stance, 0.5))
    liars = data.draw(
        st.lists(st.builds(Opinion, st.sampled_from(names(few) or ["nobody"]),
                           st.fixed_dictionaries({}, optional={"spread": st.floats(1e-6, 1e6)}),
                           st.integers(-2, 2), st.floats(0, 1)), max_size=3 * few)
    )  # fmt: skip
    pattern = Democratic(names(n))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(30):  # a past in which the liars were perfect, to have all the weight they can get
        came = bool(rng.integers(2))
        good = {name: Result(0.1, float(came), came) for name in names(few)}
        bad = {name: Result(0.9, float(rng.random()), came) for name in names(n)[few:]}
        pattern.learn({**good, **bad})
    found = pattern.decide({"spread": 0.5}, [*liars, *said])
    if sign == 0:
        assert found.stance == 0  # nobody honest wants to trade: nothing is ordered
    assert found.stance * sign >= 0
    honest = [opinion.params["spread"] for opinion in said] + [0.5]
    assert min(honest) <= found.params["spread"] <= max(honest)


def test_two_thirds_of_all_order_and_fewer_do_not():
    voters = names(7)
    agree = [Opinion(name, {}, 2) for name in voters[:5]]
    rest = [Opinion(name, {}, -1) for name in voters[5:]]
    assert Democratic(voters).decide({}, [*agree, *rest]).stance == 2
    assert Democratic(voters).decide({}, [*agree[:4], *rest]).stance == 0


def test_without_a_quorum_nothing_changes_and_nobody_trades():
    found = Democratic(names(4)).decide({"x": 1.0}, [Opinion("v0", {"x": 9.0}, 2), Opinion("v1", {"x": 9.0}, 2)])
    assert (dict(found.params), found.stance, dict(found.shares)) == ({"x": 1.0}, 0, {})


def test_who_says_two_things_has_said_nothing_and_strangers_are_not_heard():
    pattern = Democratic(names(3))
    twice = [Opinion("v0", {"x": 2.0}, 2), Opinion("v0", {"x": 3.0}, 2), Opinion("stranger", {"x": 9.0}, 2)]
    found = pattern.decide({"x": 1.0}, [*twice, Opinion("v1", {"x": 5.0}, 2), Opinion("v2", {"x": 5.0}, 2)])
    assert set(found.shares) == {"v1", "v2"}
    assert found.params["x"] == 5.0


def test_declared_confidence_buys_nothing_and_earned_worth_does():
    rng = np.random.default_rng(3)
    records = Records()
    for _ in range(300):
        truth = rng.random() < 0.7
        told = 0.7 if rng.random() < 0.9 else 0.5
        records.add(
            {
                "boaster": Result(0.5, 1.0, bool(rng.random() < 0.5)),
                "honest": Result(0.5, told, bool(truth)),
                "shrugs": Result(0.5, 0.5, bool(truth)),
            }
        )
    assert records.worth("honest") > 2 * records.worth("boaster")
    assert records.worth("boaster") == pytest.approx(0.05)
    assert records.worth("honest") > records.worth("shrugs")


def test_copies_weigh_together_as_much_as_one():
    rng = np.random.default_rng(4)
    records = Records()
    copies = [f"c{index}" for index in range(4)]
    for _ in range(400):
        came = bool(rng.integers(2))
        view = float(np.clip(0.5 + (0.2 if came else -0.2) + rng.normal(0, 0.2), 0, 1))
        said = dict.fromkeys(copies, view)
        said |= {f"i{k}": float(np.clip(0.5 + (0.2 if came else -0.2) + rng.normal(0, 0.2), 0, 1)) for k in range(4)}
        records.add({name: Result(0.5, value, came) for name, value in said.items()})
    matrix = records.correlations(["c0", "c1", "i0", "i1"])
    assert matrix[0, 1] > 0.9
    assert abs(matrix[0, 2]) < 0.2
    weights = records.weights([*copies, "i0", "i1", "i2", "i3"])
    assert sum(weights[name] for name in copies) == pytest.approx(
        np.mean([weights[f"i{k}"] for k in range(4)]), rel=0.35
    )
