"""Times to a profit can be compared only where both sides judge alike."""

from typing import Any

import numpy as np
import pytest

from benchmarks.search_speed import PEER, check, summary


class Judge:
    """Our side: a made-up profit."""

    def profit(self, points: dict[str, Any]) -> np.ndarray:
        return -np.log(points["spread"]) - points["levels"]


class Peer:
    """The other side, somewhat off where there are many levels."""

    def __init__(self, off: float) -> None:
        self._off = off

    def judge(self, spread: float, levels: int) -> dict[str, float]:
        return {"profit": float(-np.log(spread) - levels + self._off * (levels > 3))}


def test_sides_that_judge_alike_may_be_timed() -> None:
    assert check(Judge(), Peer(1e-9)) == pytest.approx(1e-9, rel=1e-3)


def test_a_side_that_judges_differently_is_not_timed() -> None:
    with pytest.raises(SystemExit, match="judge differently"):
        check(Judge(), Peer(0.5))


def test_a_peer_that_never_reached_the_level_is_compared_at_what_both_reached() -> None:
    def run(side: str, seconds: float, best: float, path: list[list[float]]) -> dict[str, Any]:
        timed = {"seconds": seconds, "cpu_seconds": seconds, "judging_seconds": seconds}
        return {
            "kind": "run",
            "side": side,
            "seed": 1,
            "judged": 10,
            "best": best,
            "reached": True,
            "path": path,
            **timed,
        }

    own = run("ensemble", 1.0, 9.0, [[0.5, 4.0], [1.0, 9.0]])
    theirs = run(PEER, 60.0, 4.0, [[5.0, 2.0], [20.0, 4.0]])
    found = summary([{"kind": "level", "best": 9.0, "median": 0.0}, own, theirs])["ensemble"]
    assert found["to_the_level"]["times_less"] == [60.0]
    assert found["to_what_both_reached"]["times_less"] == [40.0]
