"""What the comparison of learners says of its runs."""

import pytest

pytest.importorskip("torch")
from benchmarks import learner_speed
from benchmarks.table import line


def run(*values, seconds=10.0):
    path = [
        {"rounds": 2.0 * k, "seconds": 2 * seconds * k, "cpu_seconds": seconds * k, "value": value}
        for k, value in enumerate(values, 1)
    ]
    return {"path": path, "load": 1.0}


def test_time_is_that_of_the_look_that_reached_the_target_and_a_miss_is_counted():
    found = {"ours": [run(60.0, 66.5), run(67.0)], "sb3": [run(60.0, 65.0, 66.4), run(60.0, 61.0, 62.0, 63.0)]}
    said = learner_speed.summary(found, 66.28)
    assert said["ours"]["cpu_seconds"] == [20.0, 10.0]
    assert (said["ours"]["reached"], said["sb3"]["reached"]) == (2, 1)
    assert said["sb3"]["cpu_seconds"] == [30.0, 40.0]
    assert said["ratio"] == pytest.approx(35.0 / 15.0)
    assert said["ours"]["steps_per_cpu_second"] == pytest.approx(2 * 256 * 200 / 10.0)


def test_a_training_has_a_row_in_the_table():
    row = {
        "name": "learn", "with": "the peer", "lanes": 1, "count": 1, "unit": "training", "computed": False,
        "ours": [20.0, 10.0], "peer": [30.0], "ours_results": [], "peer_results": [], "reason": "",
    }  # fmt: skip
    assert line(row) == ("learn", "15 CPU s (10–20)", "the peer", "30 CPU s (30–30)", "2×", "–")
    assert line(row | {"peer": [], "reason": "cannot be installed"})[3] == "cannot be installed"
