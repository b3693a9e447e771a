"""Validation on matrices whose truth is known: noise, planted edges, published bands."""

import math

import numpy as np
import pytest

from tidewright.market.errors import UsageError
from tidewright.measure import overfitting
from tidewright.measure.splits import combinatorial, folds
from tidewright.measure.validation import moments, sharpe_ratios, validate
from tidewright.measure.validation_cscv import BlockSums, blocks_for, cscv
from tidewright.measure.validation_snooping import snooping


def noise(seed: int, rows: int, columns: int, planted: int = 0, edge: float = 0.0) -> np.ndarray:
    matrix = np.random.default_rng([41, seed]).normal(size=(rows, columns))
    matrix[:, :planted] += edge
    return matrix


def test_mean_overfitting_probability_of_noise_is_one_half_and_of_an_edge_nearly_nothing() -> None:
    # Bailey et al. 2017 leave 0.5 for noise; the bands are Monte-Carlo ones (60 matrices, standard error 0.02).
    useless = [cscv(BlockSums.of(noise(k, 256, 60), 8)).pbo for k in range(60)]
    assert 0.40 <= np.mean(useless) <= 0.60
    planted = [cscv(BlockSums.of(noise(k, 512, 60, 6, 0.25), 8)).pbo for k in range(60)]
    assert np.mean(planted) < 0.02


@pytest.mark.slow
def test_overfitting_probability_at_the_published_size() -> None:
    # T = 1000, N = 200, S = 16: 0.476 +- 0.137 a matrix on noise, 0.001 with 0.15 an observation planted in 20 of 200
    # (pbo.marketmaker.cc); the in-sample best falls from an annual 1.98 to 0.06, and from 3.73 to 2.34.
    found = [cscv(BlockSums.of(noise(k, 1000, 200), 16)) for k in range(60)]
    assert found[0].splits == math.comb(16, 8) == 12_870
    assert 0.40 <= np.mean([f.pbo for f in found]) <= 0.60
    scale = math.sqrt(252)
    assert np.mean([f.in_sample for f in found]) * scale == pytest.approx(1.97, abs=0.1)
    assert np.mean([f.out_of_sample for f in found]) * scale == pytest.approx(0.0, abs=0.15)
    planted = [cscv(BlockSums.of(noise(k, 1000, 200, 20, 0.15), 16)) for k in range(60)]
    assert np.mean([f.pbo for f in planted]) < 0.02
    assert np.mean([f.in_sample for f in planted]) * scale == pytest.approx(3.75, abs=0.15)
    assert np.mean([f.out_of_sample for f in planted]) * scale == pytest.approx(2.39, abs=0.2)


def test_one_candidate_that_dominates_every_block_gives_exactly_zero() -> None:
    matrix = noise(0, 160, 20) * 0.01
    matrix[:, 7] += 5.0
    found = cscv(BlockSums.of(matrix, 10))
    assert found.pbo == 0.0 and found.loss_probability == 0.0 and found.splits == 252


def test_cscv_of_sums_is_cscv_of_the_series_written_out() -> None:
    matrix = noise(3, 48, 5)
    parts, worse, splits = np.array_split(matrix, 4), 0, 0
    for first in range(4):
        for second in range(first + 1, 4):
            rest = [k for k in range(4) if k not in (first, second)]
            inside, outside = (np.concatenate([parts[k] for k in some]) for some in ([first, second], rest))
            best = sharpe_ratios(inside).argmax()
            came = sharpe_ratios(outside)
            rank = 1 + int((came < came[best]).sum())
            worse += math.log(rank / 6 / (1 - rank / 6)) <= 0
            splits += 1
    assert cscv(BlockSums.of(matrix, 4)).pbo == worse / splits
    half = BlockSums.of(matrix[:, :2], 4).beside(BlockSums.of(matrix[:, 2:], 4))
    assert cscv(half) == cscv(BlockSums.of(matrix, 4))


def test_candidates_that_are_all_the_same_are_as_likely_in_either_half() -> None:
    same = np.repeat(noise(1, 64, 1), 6, axis=1)
    assert cscv(BlockSums.of(same, 8)).pbo == 1.0  # a rank in the very middle counts against the choice: λ = 0


def test_the_number_of_blocks_fits_the_sample() -> None:
    assert [blocks_for(n) for n in (10, 16, 39, 64, 100, 312)] == [0, 4, 8, 8, 12, 12]


def test_deflated_ratios_are_those_of_the_chosen_candidate_and_fall_with_every_trial() -> None:
    matrix = noise(5, 300, 40, 1, 0.2)
    found = validate(matrix, 0)
    shape = moments(matrix[:, 0])
    assert found.moments == shape and found.trials == 40
    assert found.deflated == overfitting.deflated_sharpe(shape.sharpe, 300, 40, 1 / 300, shape.skew, shape.kurtosis)
    assert found.probabilistic == overfitting.probabilistic_sharpe(shape.sharpe, 0.0, 300, shape.skew, shape.kurtosis)
    assert found.track_record == pytest.approx(
        overfitting.minimum_track_record(shape.sharpe, 0.0, shape.skew, shape.kurtosis)
    )
    many = validate(matrix, 0, trials=100_000)
    assert many.deflated < found.deflated and many.expected_best > found.expected_best
    assert many.probabilistic == found.probabilistic


def test_a_useless_best_of_many_does_not_survive_deflation() -> None:
    survived = [validate(noise(k, 80, 50)) for k in range(40)]
    assert np.mean([f.probabilistic for f in survived]) > 0.97  # what a single look would say
    assert np.mean([f.deflated for f in survived]) == pytest.approx(0.5, abs=0.12)


def test_with_a_benchmark_everything_is_about_the_difference() -> None:
    matrix, common = noise(6, 240, 12), noise(7, 240, 1)[:, 0] * 20
    assert validate(matrix + common[:, None], 3, benchmark=common).moments.sharpe == pytest.approx(
        validate(matrix, 3).moments.sharpe, rel=1e-6
    )


def test_candidates_that_are_all_better_seem_overfitted_and_never_lose() -> None:
    now = noise(31, 480, 1)[:, 0]
    alike = now[:, None] + 0.3 + noise(32, 480, 40)  # each as good as the next, 0.3 deviations a cycle above
    better, useless = validate(alike, benchmark=now).overfitting, validate(alike - 0.3, benchmark=now).overfitting
    assert better is not None and useless is not None
    assert better.pbo > 0.25 and better.loss_probability < 0.02
    assert useless.loss_probability > 0.25


def test_walk_forward_and_combinatorial_selection_tell_skill_from_luck() -> None:
    times = np.arange(600, dtype=np.int64)
    splits = combinatorial(times, 6, 2, embargo_ns=2)
    luck = [validate(noise(k, 600, 30), splits=folds(times, 5)).selection for k in range(12)]
    skill = validate(noise(1, 600, 30, 2, 0.4), splits=splits).selection
    assert skill is not None and skill.efficiency > 0.8 and min(skill.paths) > 0.2 and len(skill.paths) == 5
    assert {fold.chosen for fold in skill.folds} <= {0, 1}
    assert abs(np.mean([found.test for found in luck if found])) < 0.03
    assert np.mean([found.train for found in luck if found]) > 0.1


def test_effective_trials_of_copies_are_one() -> None:
    one = noise(2, 200, 1)
    assert validate(np.repeat(one, 30, axis=1)).effective_trials == pytest.approx(1.0)
    assert validate(noise(2, 2000, 30)).effective_trials > 29


def test_snooping_needs_an_edge_to_reject() -> None:
    pytest.importorskip("arch")
    # papers.md B3: 100 useless candidates reject at 5 % about as often as that; an edge of 5 standard errors is found.
    useless = [snooping(noise(k, 100, 10), 3, k, 100) for k in range(10)]
    assert np.mean([found.spa < 0.05 for found in useless]) <= 0.2
    assert 0.2 < np.mean([found.spa for found in useless]) < 0.8
    assert all(f.spa_lower <= f.spa <= f.spa_upper for f in useless)
    edge = noise(1, 400, 20)
    edge[:, 4] += 5.0 / math.sqrt(400)
    found = snooping(edge, 3, 1, 400)
    assert found.spa < 0.05 and found.reality_check < 0.05
    assert snooping(edge, 3, 1, 400) == found


@pytest.mark.slow
def test_reality_check_of_a_hundred_useless_candidates_rejects_at_its_level() -> None:
    pytest.importorskip("arch")
    found = [snooping(noise(k, 250, 100), 3, k, 300) for k in range(150)]
    error = math.sqrt(0.05 * 0.95 / 150)
    assert np.mean([f.spa <= 0.05 for f in found]) <= 0.05 + 3 * error
    assert np.mean([f.reality_check <= 0.05 for f in found]) <= 0.05 + 3 * error
    assert np.mean([f.reality_check for f in found]) == pytest.approx(0.5, abs=0.12)


def test_what_cannot_be_validated_says_why() -> None:
    with pytest.raises(UsageError, match="finite"):
        validate(np.array([[1.0, math.nan], [2.0, 1.0]]))
    with pytest.raises(UsageError, match="at least 2 observations"):
        validate(np.ones((1, 3)))
    with pytest.raises(UsageError, match="one of 3"):
        validate(noise(0, 10, 3), 3)
    with pytest.raises(UsageError, match="even number"):
        BlockSums.of(noise(0, 100, 3), 5)
    with pytest.raises(UsageError, match="at least 64 observations"):
        BlockSums.of(noise(0, 63, 3), 16)
    short = validate(noise(0, 10, 3))
    assert short.overfitting is None and short.to_json()["overfitting"] is None
    flat = validate(np.zeros((50, 3)))
    assert flat.to_json()["track_record"] is None and flat.moments.sharpe == 0.0
