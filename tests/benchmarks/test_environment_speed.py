"""Whose rates the rows of the training ground are, and that a small one is measured."""

import pytest

from benchmarks import environment_speed
from benchmarks.environment_speed import Ground
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    path = tmp_path_factory.mktemp("market") / "tape"
    synthesize(path, hours=5.0, seed=1)
    return path


def test_grounds_run_backwards_every_other_round_and_each_row_gets_its_own_rates(tape):
    orders = []

    def answer(command, spec):
        orders.append([ground["levels"] for ground in spec["grounds"]])
        return {"rates": [[(ground["levels"] * 1e6, 5.0)] for ground in spec["grounds"]]}

    grounds = [Ground(64, 2, levels) for levels in (1, 2, 3)]
    rows, described = environment_speed.rows(tape, 2, lambda text: None, grounds, answer)
    assert orders == [[1, 2, 3], [3, 2, 1]]
    assert [row["ours"] for row in rows] == [[1e6, 1e6], [2e6, 2e6], [3e6, 3e6]]
    assert rows[0]["name"] == "steps of the training ground, 64 lanes, 1 level a side, 2 cohorts"
    assert described["rows_a_step"] == pytest.approx(len(Tape.open(tape)) / (5 * 120), rel=0.01)


def test_every_block_of_a_ground_has_a_rate_by_the_clock_and_one_of_the_processor(tape):
    found = environment_speed.rates(Tape.open(tape), Ground(8, 2, 1), steps=3, blocks=2)
    assert len(found) == 2
    assert all(rate > 0 for pair in found for rate in pair)


def test_what_is_published_has_one_and_three_levels_with_few_cohorts_and_with_the_default():
    shapes = {(ground.cohorts, ground.levels) for ground in environment_speed.GROUNDS if ground.lanes == 2_048}
    assert shapes == {(2, 1), (2, 3), (16, 1), (16, 3)}
