"""Queue models against the figures of hftbacktest's, of which papers.md D2 keeps those that its source gives."""

import pytest

from tests.reference.queues import Prob, ProbLog
from tidewright.engine.config import QUEUES
from tidewright.engine.queues import ahead_after_level

# Share of a cancellation that comes from behind, f(back) / (f(front) + f(back)).
BEHIND = {
    ("prob", 1.0): {(10, 10): 0.5, (10, 30): 0.75, (30, 10): 0.25},
    ("prob", 2.0): {(10, 10): 0.5, (10, 30): 0.9, (30, 10): 0.1},
    ("prob", 3.0): {(10, 10): 0.5, (10, 30): 0.964286, (30, 10): 0.035714},
    ("prob_log", 1.0): {(10, 10): 0.5, (10, 30): 0.588830, (30, 10): 0.411170},
}


@pytest.mark.parametrize(("name", "power"), BEHIND)
def test_a_cancellation_is_split_as_published(name: str, power: float) -> None:
    for (front, back), share in BEHIND[name, power].items():
        level = front + back
        after = ahead_after_level(QUEUES[name], power, float(front), 0.0, level, level - 1)
        assert 1.0 - (front - after) == pytest.approx(share, abs=5e-7)
        slow = (Prob if name == "prob" else ProbLog)(front, power)
        slow.level(level, level - 1)
        assert slow.q == after


def test_published_updates() -> None:
    prob = QUEUES["prob"]
    assert ahead_after_level(prob, 3.0, 10.0, 0.0, 30, 24) == pytest.approx(9.333333, abs=5e-7)
    assert ahead_after_level(prob, 1.0, 10.0, 0.0, 30, 24) == pytest.approx(8.0)
    assert ahead_after_level(prob, 3.0, 6.0, 4.0, 30, 24) == pytest.approx(5.969231, abs=5e-7)


def test_the_simple_models() -> None:
    assert ahead_after_level(QUEUES["risk_averse"], 1.0, 10.0, 0.0, 30, 24) == 10.0
    assert ahead_after_level(QUEUES["risk_averse"], 1.0, 10.0, 0.0, 30, 7) == 7.0
    assert ahead_after_level(QUEUES["front"], 1.0, 0.0, 0.0, 30, 24) == 0.0
