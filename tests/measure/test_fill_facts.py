"""Figures and verdicts about fills, on samples whose truth is known."""

import math

import numpy as np
import pytest

from tidewright.measure.fill_facts import Claim
from tidewright.measure.fill_facts_blocks import (
    LEAST_BLOCKS,
    Estimate,
    block_sums,
    bootstrap,
    ratio,
    t_quantile,
)
from tidewright.measure.fill_facts_curves import probe_curves
from tidewright.measure.fill_facts_probes import CELLS, Probes, cell_correlation, probe_facts
from tidewright.measure.fill_facts_samples import (
    crash_fact,
    fee_slope_fact,
    largest_falls,
    reversal_fact,
    sharpe_drop_fact,
    sharpe_of,
    symmetric_maker_fact,
)

BLOCKS = 40


def probes(seed: int, adverse: bool, count: int = 12_000) -> Probes:
    """Orders at the touch of a market with a spread of 2 bp; adverse: a short queue fills often and badly."""
    random = np.random.default_rng(seed)
    share = random.uniform(0.02, 0.98, count)
    filled = random.random(count) < (0.9 - 0.6 * share if adverse else 0.5)
    front = filled | (random.random(count) < 0.5)
    drift = random.normal(0.0, 1.0, count) - (2.5 - 1.5 * share if adverse else 0.0)
    unfilled = np.where(filled, 0.0, np.nan)
    markout = np.tile(1.0 + drift + unfilled, (3, 1))
    luckier = np.tile(1.5 + drift + np.where(front, 0.0, np.nan), (3, 1)) if adverse else markout
    return Probes(
        block=np.sort(random.integers(0, BLOCKS, count)),
        side=random.integers(0, 2, count),
        behind=np.zeros(count),
        near=share * 100.0,
        opposite=(1.0 - share) * 100.0,
        half_spread_bp=np.ones(count),
        filled=filled,
        front_filled=front if adverse else filled,
        wait_ns=random.integers(0, 10**10, count),
        fill_ts=np.where(filled, 1, 0),
        markout_bp=markout,
        front_markout_bp=luckier,
        drift_bp=np.tile(drift + unfilled, (3, 1)),
    )


def test_an_adverse_market_meets_every_expectation_and_an_indifferent_one_none() -> None:
    adverse = probe_facts(probes(1, True), BLOCKS)
    assert {fact.name: fact.verdict for fact in adverse} == {fact.name: "as expected" for fact in adverse}
    indifferent = {fact.name: fact.verdict for fact in probe_facts(probes(2, False), BLOCKS)}
    # Ten points of noise, or a difference of two noisy means, may tell nothing; they must not tell the contrary.
    vague = {name for name in indifferent if "against_markout" in name} | {"long_queue_less_short"}
    assert {indifferent[name] for name in indifferent.keys() - vague} == {"not as expected"}
    assert "as expected" not in {indifferent[name] for name in vague}


def test_figures_are_the_truth_they_were_made_with() -> None:
    facts = {fact.name: fact.estimate for fact in probe_facts(probes(3, True, 60_000), BLOCKS)}
    # share of the filled: density 0.9 - 0.6 x on 0.02..0.98
    x = np.linspace(0.02, 0.98, 10_001)
    weight = 0.9 - 0.6 * x
    drift = -float((weight * (2.5 - 1.5 * x)).sum() / weight.sum())
    front = weight + 0.5 * (1.0 - weight)
    front_drift = -float((front * (2.5 - 1.5 * x)).sum() / front.sum())
    assert facts["markout_1s"].figure == pytest.approx(1.0 + drift, abs=0.03)
    assert facts["half_spread_given_back"].figure == pytest.approx(-drift, abs=0.03)
    assert facts["front_less_back"].figure == pytest.approx(0.5 + front_drift - drift, abs=0.03)
    assert facts["fill_probability_against_markout_1s"].figure < -0.95


@pytest.mark.parametrize(
    ("claim", "interval", "verdict"),
    [
        (Claim("below", 0.0, -0.1), (-0.5, -0.01), "as expected"),
        (Claim("below", 0.0, -0.1), (-0.05, 0.3), "not as expected"),
        (Claim("below", 0.0, -0.1), (-0.3, 0.3), "too few"),
        (Claim("above", 0.5, 0.6), (0.51, 0.9), "as expected"),
        (Claim("above", 0.5, 0.6), (0.3, 0.55), "not as expected"),
        (Claim("above", 0.5, 0.6), (0.3, 0.7), "too few"),
        (Claim("not_above", 0.0, 0.0), (-2.0, 3.0), "as expected"),
        (Claim("not_above", 0.0, 0.0), (0.1, 3.0), "not as expected"),
        (Claim("near", -1.0, 0.05), (-1.01, -0.99), "as expected"),
        (Claim("near", -1.0, 0.05), (-0.5, -0.4), "not as expected"),
        (Claim("near", -1.0, 0.05), (-1.2, -0.9), "too few"),
    ],
)
def test_a_verdict_needs_the_whole_interval(claim: Claim, interval: tuple[float, float], verdict: str) -> None:
    low, high = interval
    assert claim.verdict(Estimate((low + high) / 2, low, high, 20), 1_000) == verdict
    assert claim.verdict(Estimate((low + high) / 2, low, high, 20), 29) == "too few"
    assert claim.verdict(Estimate((low + high) / 2, math.nan, math.nan, 2), 1_000) == "too few"


def test_intervals_of_block_means_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(5)
    covered = 0
    for trial in range(300):
        level = random.normal(0.0, 1.0, 10)  # what the observations of a block have in common
        block = np.repeat(np.arange(10), 30)
        values = level[block] + random.normal(0.0, 1.0, 300)
        estimate = bootstrap(block_sums(block, 10, values, np.ones(300)), ratio, seed=trial)
        covered += estimate.low <= 0.0 <= estimate.high
    assert 0.90 <= covered / 300 <= 0.99


def test_few_blocks_give_a_figure_without_an_interval() -> None:
    block = np.arange(LEAST_BLOCKS - 1)
    estimate = bootstrap(block_sums(block, 50, np.ones(len(block)), np.ones(len(block))), ratio)
    assert estimate.figure == 1.0 and math.isnan(estimate.low) and estimate.blocks == LEAST_BLOCKS - 1
    assert math.isnan(bootstrap(np.zeros((9, 2)), ratio).figure)


def test_student_quantiles_are_those_of_the_tables() -> None:
    for df, value in ((1, 12.706), (9, 2.262), (29, 2.045), (1_000, 1.962)):
        assert t_quantile(0.975, df) == pytest.approx(value, abs=5e-4)


def test_the_correlation_of_classes_is_weighted_by_their_fills() -> None:
    random = np.random.default_rng(6)
    orders, fills = np.full(CELLS, 1_000.0), random.integers(50, 900, CELLS).astype(float)
    mean = random.normal(0.0, 1.0, CELLS)
    total = np.stack([orders, fills, fills, fills * mean], axis=1).reshape(-1)
    cov = np.cov(fills / orders, mean, aweights=fills, ddof=0)
    assert float(cell_correlation(total)) == pytest.approx(cov[0, 1] / math.sqrt(cov[0, 0] * cov[1, 1]))


def test_the_largest_falls_do_not_overlap_and_come_by_size() -> None:
    mid = np.full(1_000, 100.0)
    mid[200:210] = np.linspace(100, 98, 10)
    mid[210:600] = 98.0
    mid[600:610] = np.linspace(98, 97, 10)
    mid[610:] = 97.0
    falls = largest_falls(mid, 10, 5_000, 100, 5)
    assert [round(fall) for _, fall in falls] == [200, 102]
    assert 5_000 + 1_990 <= falls[0][0] <= 5_000 + 2_000
    assert largest_falls(np.linspace(1.0, 2.0, 50), 1, 0, 5, 3) == []
    assert largest_falls(np.ones(3), 1, 0, 5, 3) == []


def test_falls_in_which_both_sides_fill_are_not_one_sided() -> None:
    assert crash_fact("f", "", np.full(12, 90.0), np.full(12, 2.0), "1 s").verdict == "as expected"
    even = np.array([10.0, 12, 9, 11, 10, 10, 12, 8, 11, 10, 9, 10])
    assert crash_fact("f", "", even, even[::-1].copy(), "1 s").verdict == "not as expected"
    assert crash_fact("f", "", np.zeros(0), np.zeros(0), "1 s").verdict == "too few"


def test_a_money_machine_is_called_one() -> None:
    random = np.random.default_rng(8)
    notional = random.uniform(1e5, 2e5, 50)
    earned = notional * 1e-4 * random.normal(0.8, 0.3, 50)
    noise = notional * 1e-4 * random.normal(0.0, 3.0, 50)
    machine = symmetric_maker_fact(np.stack([earned, notional], axis=1), 9_999)
    assert machine.verdict == "not as expected" and machine.estimate.figure == pytest.approx(0.8, abs=0.2)
    assert symmetric_maker_fact(np.stack([noise, notional], axis=1), 9_999).verdict == "as expected"


def test_fees_that_are_not_charged_in_full_are_found() -> None:
    fees = np.array([0.0, 1, 2, 4, 8])
    assert fee_slope_fact(fees, 0.3 - fees, 100).verdict == "as expected"
    assert fee_slope_fact(fees, 0.3 - 0.8 * fees, 100).verdict == "not as expected"
    random = np.random.default_rng(9)
    free, block = random.normal(1.0, 1.0, 600), np.repeat(np.arange(60), 10)
    charged = sharpe_drop_fact(np.stack([free, free - 0.5]), block, 60, 1e4, 500)
    assert charged.verdict == "as expected" and charged.estimate.figure == pytest.approx(-50.0, abs=5.0)
    assert sharpe_drop_fact(np.stack([free, free]), block, 60, 1e4, 500).verdict == "not as expected"
    assert float(sharpe_of(np.array([10.0, 20.0, 10.0]), 1.0)) == pytest.approx(1.0)


def test_an_edge_beyond_its_cost_is_no_fact_of_the_literature() -> None:
    random = np.random.default_rng(10)
    flow = random.normal(0.0, 1.0, 200)
    small = -np.sign(flow) * 1.3 + random.normal(0.0, 8.0, 200)
    large = -np.sign(flow) * 9.0 + random.normal(0.0, 8.0, 200)
    assert reversal_fact(flow, small).verdict == "as expected"
    assert reversal_fact(flow, large).verdict == "not as expected"
    assert reversal_fact(np.zeros(0), np.zeros(0)).verdict == "too few"


def test_curves_count_every_order_once() -> None:
    sample = probes(4, True)
    distance, share, ahead, wait = probe_curves(sample, BLOCKS)
    for curve in (distance, share, ahead):
        assert sum(point.orders for point in curve.points) == len(sample.block)
        assert sum(point.fills for point in curve.points) == int(sample.filled.sum())
    assert sum(point.orders for point in wait.points) == int(sample.filled.sum())
    rates = [point.probability.figure for point in share.points]
    assert rates == sorted(rates, reverse=True) or abs(rates[0] - 0.88) < 0.05
    assert [point.label for point in distance.points] == ["touch"]
