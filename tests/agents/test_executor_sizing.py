"""Sizes that follow the edge."""

import math

import numpy as np
import pytest

from tidewright.agents.executor.sizing import Sizer, SizingRules
from tidewright.market.errors import UsageError

RULES = SizingRules(fraction=0.25, least=0.2, half_life=30.0, block=2)


def fed(mean: float, deviation: float, cycles: int, share: float = 1.0, seed: int = 3) -> Sizer:
    sizer = Sizer(RULES)
    for gain in np.random.default_rng(seed).normal(mean, deviation, cycles):
        sizer.observe(gain * share, 1000.0, share)
    return sizer


def test_who_has_shown_nothing_trades_small():
    assert Sizer(RULES).share == 0.2
    assert fed(-0.1, 1.0, 400).share == 0.2


def test_a_proven_edge_trades_nearly_all_and_a_doubtful_one_less():
    sure, doubtful = fed(1.0, 1.0, 400), fed(0.1, 1.0, 400)
    assert 0.9 < sure.share <= 1.0
    assert 0.2 <= doubtful.share < sure.share


def test_gains_with_half_the_size_tell_the_same_edge():
    full, half = fed(0.5, 1.0, 200), fed(0.5, 1.0, 200, share=0.5)
    assert half.mean == pytest.approx(full.mean)
    assert half.share == pytest.approx(full.share)


def test_the_estimate_is_the_discounted_mean_of_whole_blocks():
    sizer, values = Sizer(RULES), [1.0, 3.0, -2.0, 4.0, 9.0]
    for value in values:
        sizer.observe(value, 10.0, 1.0)
    decay = 0.5 ** (1 / 30)
    assert sizer.mean == pytest.approx((decay * 0.4 + 0.2) / (decay + 1.0))  # the fifth cycle is half a block
    assert sizer.blocks == pytest.approx((decay + 1.0) ** 2 / (decay**2 + 1.0))


def test_one_block_says_nothing_of_the_error():
    sizer = Sizer(RULES)
    for _ in range(2):
        sizer.observe(5.0, 100.0, 1.0)
    assert math.isinf(sizer.error)
    assert sizer.share == 0.2
    assert "nothing is known" in sizer.text()
    assert sizer.state()["error"] is None


@pytest.mark.parametrize("wrong", [{"fraction": 0.0}, {"least": 1.5}, {"half_life": 0.0}, {"block": 0}])
def test_rules_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError):
        SizingRules(**wrong)
