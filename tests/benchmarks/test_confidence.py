"""The benchmark of confidence finds skill where there is some, and none where outcomes are shuffled."""

from typing import Any

import numpy as np

from benchmarks.confidence import corrected, coverage, load, outcome, page, table, verdicts


def rows(count: int, edge: float) -> list[dict[str, Any]]:
    """Epochs of pairs whose edge differs from epoch to epoch, under a drift that says nothing."""
    rng = np.random.default_rng(3)
    found = []
    for number in range(count):
        mean = edge * rng.normal()
        parts = {}
        for name, cycles in (("inside", 80), ("outside", 40), ("after", 20)):
            drift = rng.normal(0.0, 1.0, cycles)
            parts[name] = (mean + rng.normal(0.0, 0.5, cycles) + drift).tolist()
            parts[f"drift_{name}"] = drift.tolist()
        kind = ("poor", "fixed", "good")[number % 3]
        source = f"synthetic-{1 + number // 60}"
        found.append({**parts, "source": source, "number": number, "kind": kind, "choices": 2.0, "sent": True})
    return found


def test_skill_is_found_and_the_shuffled_control_has_none() -> None:
    found = {verdict.name: verdict for verdict in verdicts(rows(360, 0.4))}
    ours, control = found["estimator, corrected"], found["shuffled outcomes"]
    assert ours.skill[0] > 0.1 and ours.over_base[0] > 0.1
    assert ours.found.brier < found["plain bootstrap"].found.brier
    assert ours.found.calibration_error < ours.band.upper + 0.02
    assert control.over_base[0] < 0.01 and control.found.skill_over_base < 0.02
    assert "shuffled outcomes" in table(list(found.values()))
    html = page(list(found.values())[:4], "Confidence")
    assert html.startswith("<!doctype html>") and "<script src=" not in html


def test_where_there_is_no_edge_there_is_no_skill() -> None:
    found = {verdict.name: verdict for verdict in verdicts(rows(240, 0.0))}
    assert found["estimator, corrected"].over_base[0] < 0.02


def test_the_interval_covers_about_as_often_as_it_says() -> None:
    told = coverage(rows(360, 0.4))
    assert told.startswith("conformal interval of 90 %: 360 epochs, covered 0.")
    assert 0.86 < float(told.split("covered ")[1].split(",")[0]) < 0.94


def test_the_correction_at_an_epoch_knows_only_what_came_before() -> None:
    rng = np.random.default_rng(0)
    raw, came = rng.random(60), (rng.random(60) < 0.3).astype(float)
    whole = corrected(raw, came)
    other = came.copy()
    other[40:] = 1.0 - other[40:]
    np.testing.assert_array_equal(whole[:41], corrected(raw, other)[:41])
    assert whole[41] != corrected(raw, other)[41]


def test_outcomes_and_files(tmp_path: Any) -> None:
    assert [outcome({"after": [x, -1.0]}) for x in (2.0, 0.5, 1.0)] == [1.0, 0.0, 0.5]
    file = tmp_path / "epochs.jsonl"
    file.write_text('{"number": 1}\n{"end": true, "source": "a"}\n{"number": 2}\n')
    assert [row["number"] for row in load([file])] == [1, 2]
