"""Reliability of confidence scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.measure.reliability import assess


def test_published_vector() -> None:
    forecasts = [0.1] * 10 + [0.5] * 10 + [0.9] * 10
    outcomes = [1] + [0] * 9 + [1] * 6 + [0] * 4 + [1] * 8 + [0] * 2
    got = assess(forecasts, outcomes)
    assert got is not None and got.count == 30
    assert got.brier == pytest.approx(0.17)
    assert got.reliability == pytest.approx(0.006667, abs=5e-7)
    assert got.resolution == pytest.approx(0.086667, abs=5e-7)
    assert got.uncertainty == pytest.approx(0.25)
    assert got.calibration_error == pytest.approx(0.066667, abs=5e-7)
    assert [(b.forecast, b.outcome, b.count) for b in got.bins] == [
        (pytest.approx(0.1), 0.1, 10),
        (0.5, 0.6, 10),
        (pytest.approx(0.9), 0.8, 10),
    ]


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.77, 1.0]), st.booleans()), min_size=1, max_size=50))
def test_the_parts_make_up_the_score(pairs: list[tuple[float, bool]]) -> None:
    got = assess([p for p, _ in pairs], [y for _, y in pairs])
    assert got is not None
    assert got.brier == pytest.approx(got.reliability - got.resolution + got.uncertainty)
    assert sum(b.count for b in got.bins) == got.count == len(pairs)


def test_many_different_forecasts_fall_into_tenths() -> None:
    p = np.linspace(0.0, 1.0, 101)
    got = assess(p, p > 0.5)
    assert got is not None and len(got.bins) == 10


def test_nothing_to_assess_and_wrong_input() -> None:
    assert assess([], []) is None
    with pytest.raises(UsageError, match="probability"):
        assess([1.2], [1])
    with pytest.raises(UsageError, match="as many outcomes"):
        assess([0.5], [])
