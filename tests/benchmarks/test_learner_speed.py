"""What the comparison of learners says of its runs."""

import pytest

pytest.importorskip("torch")
from benchmarks import learner_speed, peers
from benchmarks.table import line, new_row, notes


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
    assert said["ratio_by_clock"] == pytest.approx(70.0 / 30.0)
    assert said["ours"]["steps_per_cpu_second"] == pytest.approx(2 * 256 * 200 / 10.0)


def test_a_training_has_a_row_in_the_table():
    row = new_row("learn", "the peer", "training") | {"ours": [20.0, 10.0], "peer": [30.0]}
    assert line(row) == ("learn", "15 CPU s (10–20)", "the peer", "30 CPU s (30–30)", "2×", "–")
    assert line(row | {"peer": [], "reason": "cannot be installed"})[3] == "cannot be installed"


class Sides:
    """Trainings that are made up, and which were asked for."""

    def __init__(self, missing: str = "") -> None:
        self.asked: list[tuple[str, int]] = []
        self._missing = missing

    def __call__(self, side, spec, folder):
        self.asked.append((side, spec["seed"]))
        if side == self._missing:
            raise peers.Unavailable("cannot be installed")
        return run(60.0, 99.0, seconds=4.0 if side == "ours" else 10.0) | {"versions": {"x": "1"}}


def test_sides_take_turns_and_only_what_was_asked_the_same_is_kept(tmp_path):
    sides = Sides()
    learner_speed.measure(2, tmp_path, 0.9, 0, sides)
    assert sides.asked == [("ours", 0), ("sb3", 0), ("sb3", 1), ("ours", 1)]
    learner_speed.measure(3, tmp_path, 0.9, 0, sides)
    assert sides.asked[4:] == [("ours", 2), ("sb3", 2)]
    learner_speed.measure(1, tmp_path, 0.5, 0, sides)
    assert sides.asked[6:] == [("ours", 0), ("sb3", 0)]


def test_the_row_of_the_table_has_every_seed_and_its_note_the_clock(tmp_path):
    rows, versions = learner_speed.rows(3, tmp_path, 0.9, 0, lambda text: None, Sides())
    assert line(rows[0])[1:5] == ("8 CPU s (8–8)", learner_speed.SB3.title, "20 CPU s (20–20)", "2.5×")
    assert versions == {"x": "1"}
    machine = {"cpu": "x", "cores": 2, "memory_gib": 4, "system": "y", "python": "3", "load_average": [0.5]}
    result = {"rows": rows, "rounds": 1, "versions": {}, "markets": {}}
    said = notes(result | {"machine": machine | {"load_average_after": [0.6]}})
    assert any("3 seeds of each side" in note and "16.0 and 40.0 s (2.50×)" in note for note in said)
    assert not any("rounds with each peer" in note for note in said)


def test_a_learner_that_cannot_be_run_leaves_our_time_and_its_reason(tmp_path):
    (row,), versions = learner_speed.rows(2, tmp_path, 0.9, 0, lambda text: None, Sides(missing="sb3"))
    assert (row["ours"], row["peer"], row["reason"], versions) == ([8.0], [], "cannot be installed", {})
