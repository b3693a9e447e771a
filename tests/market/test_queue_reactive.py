from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tidewright.market import calibration_flow as flow
from tidewright.market.calibration import QUANTILES, STATES, Profile, calibrate, measured_flow
from tidewright.market.calibration_fit import frequencies, refine
from tidewright.market.calibration_flow import KINDS, TAKE
from tidewright.market.calibration_regimes import REGIMES, Regimes, measure_regimes
from tidewright.market.check import check_tape
from tidewright.market.clock import SECOND
from tidewright.market.errors import UsageError
from tidewright.market.hawkes import DECAYS, GROUPS, TYPES, Excitation
from tidewright.market.importers.binance_raw import import_binance_raw
from tidewright.market.queue_reactive import synthesize_like
from tidewright.market.synthetic import synthesize, synthetic_instrument
from tidewright.market.synthetic_market import regimes_of
from tidewright.market.tape import Tape, columns
from tidewright.measure.mids import tape_mids

NEXO = Path(__file__).parents[3] / "shared" / "data" / "binance_spot_nexousdt"


@pytest.fixture(scope="module")
def tape() -> Tape:
    return synthesize(None, hours=2.5, seed=3)


@pytest.fixture(scope="module")
def profile(tape) -> Profile:
    return calibrate(tape.data)


@pytest.fixture(scope="module")
def known(profile) -> Profile:
    """Intensities that depend on nothing, no excitation, one size: everything about it is known."""
    rates = np.repeat(np.array([0.5, 0.8, 0.6, 0.5, 0.4, 0.3, 0.5, 0.5, 0.3])[:, None], STATES, axis=1)
    free = Excitation(np.ones(GROUPS), np.zeros((GROUPS, TYPES, len(DECAYS))), DECAYS, np.ones(GROUPS))
    sizes = profile.sizes.copy()
    sizes[1] = 1_234.0
    return replace(
        profile, rates=rates, excitation=free, sizes=sizes, off_book=0.0, exact=np.zeros_like(profile.exact),
        feed=replace(profile.feed, batch_ns=0, delays=np.zeros(QUANTILES)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(known) -> Tape:
    return synthesize_like(None, known, synthetic_instrument(), 1.5, 5)


def test_calibration_recovers_what_a_market_was_made_with(known, made):
    found = calibrate(made.data)
    for kind in (0, 1, 5, TAKE):  # kinds that nothing about the book can refuse
        assert found.observed[kind] == pytest.approx(2 * known.rates[kind, 0], rel=0.08), flow.KIND_NAMES[kind]
    assert (found.sizes[1] == 1_234).all()
    assert found.excitation.branching < 0.25
    seen = found.rates[TAKE][found.rates[TAKE] > 0]
    assert np.median(seen) == pytest.approx(known.rates[TAKE, 0], rel=0.2)


def test_stronger_excitation_is_measured_as_such(known):
    weights = np.zeros((GROUPS, TYPES, len(DECAYS)))
    for g in range(GROUPS):
        weights[g, g, 1] = 0.6
    means = np.array([2.0, 2.1, 0.3])
    excited = replace(known, excitation=Excitation(np.full(GROUPS, 0.4), weights, DECAYS, means))
    found = calibrate(synthesize_like(None, excited, synthetic_instrument(), 1.5, 5).data)
    assert 0.4 < found.excitation.branching < 0.8
    assert found.excitation.weights[2, 2, 1] == pytest.approx(0.6, abs=0.15)


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(known, made, tmp_path):
    again = synthesize_like(tmp_path / "a", known, synthetic_instrument(), 1.5, 5)
    other = synthesize_like(None, known, synthetic_instrument(), 1.5, 6)
    for name, mine, same in zip(made.data._fields, made.data, again.data, strict=True):
        assert mine.tobytes() == same.tobytes(), name
    assert made.data.price.tobytes() != other.data.price.tobytes()


def test_what_is_generated_passes_the_check(profile, made):
    for market in (made, synthesize_like(None, profile, synthetic_instrument(), 1, 2)):
        found = check_tape(market)
        assert found.usable
        assert found.figures["book"]["packets"]["crossed"] == found.figures["book"]["packets"]["one_sided"] == 0
        assert found.figures["duplicates"]["removals_of_unknown_levels"] == 0


def test_refining_brings_the_frequencies_nearer_to_the_tapes(tape, profile):
    goal = frequencies(measured_flow(tape.data)[1])

    def distance(one: Profile) -> float:
        got = frequencies(measured_flow(synthesize_like(None, one, synthetic_instrument(), 4, 77).data)[1])
        return float(np.abs(np.log(got / goal)).mean())

    assert distance(refine(profile, tape.data, rounds=4)) < min(0.2, distance(profile))


def order_flow_of(tape: Tape) -> flow.Flow:
    return measured_flow(tape.data)[1]


def test_regimes_are_measured_pinned_and_simulated(tape, profile):
    regimes = measure_regimes(measured_flow(tape.data)[1])
    assert regimes.measured and regimes.share.sum() == pytest.approx(1)
    assert regimes.rates[2, TAKE] > regimes.rates[0, TAKE], "volatile stretches trade more than calm ones"
    switching = synthesize_like(None, profile, synthetic_instrument(), 4, 9, regimes=regimes)
    names = {name for _, name in switching.meta["notes"]["regimes"]}
    assert len(names) >= 2
    rates = np.ones((3, KINDS))
    rates[0], rates[2] = 0.5, 2.0
    apart = replace(regimes, rates=rates)
    calm, volatile = (
        frequencies(
            order_flow_of(synthesize_like(None, profile, synthetic_instrument(), 1, 9, regimes=apart.pinned(name)))
        )
        for name in ("calm", "volatile")
    )
    assert np.median(volatile / calm) == pytest.approx(4, rel=0.25)
    with pytest.raises(UsageError, match="calm, trending, volatile"):
        regimes.pinned("sleepy")


def variance_ratio(tape: Tape, steps: int) -> float:
    """Variance of the mid's changes over so many half minutes, over as many times that of one; a random walk has 1."""
    times = np.arange(tape.start_ns + 60 * SECOND, tape.end_ns, 30 * SECOND)
    mid = np.log(tape_mids(tape.data, float(tape.instrument.tick)).at(times))
    return float((mid[steps:] - mid[:-steps]).var() / (steps * np.diff(mid).var()))


def test_a_mean_reverting_market_comes_back_within_ten_minutes_and_the_others_less(tape, profile):
    """The others' mids bounce too, as spreads and queues close again, but what is left of that grows with time."""
    regimes = measure_regimes(measured_flow(tape.data)[1])
    plain = replace(profile, tilt=0.0)  # without the tape's own pressure, which may lean back by itself

    def ratio(chosen: Regimes) -> float:
        return variance_ratio(synthesize_like(None, plain, synthetic_instrument(), 1, 5, regimes=chosen), 20)

    reverting = ratio(regimes.reverting())
    calm, trending, volatile = (ratio(regimes.pinned(name)) for name in REGIMES)
    assert reverting < 0.15
    assert min(calm, volatile) > 0.25
    assert trending > 1.0


def test_a_mean_reverting_market_says_so(tape, profile):
    chosen = regimes_of("mean-reverting", tape.data)
    made = synthesize_like(None, profile, synthetic_instrument(), 0.1, 5, regimes=chosen)
    assert {name for _, name in made.meta["notes"]["regimes"]} == {"mean-reverting"}


def test_short_tapes_fall_back_on_default_regimes(made):
    assert not measure_regimes(flow.order_flow(made.data.rows(0, 2_000))).measured


def test_too_short_a_tape_is_refused(tape):
    with pytest.raises(UsageError, match="at least 2000 orders"):
        calibrate(synthesize(None, hours=0.05, seed=1).data)
    with pytest.raises(UsageError, match="at least"):
        calibrate(columns([]))


@pytest.mark.parametrize("arguments", [{"hours": 0}, {"hours": float("nan")}, {"hours": 1, "start_ns": 1}])
def test_bad_parameters_are_refused(known, arguments):
    with pytest.raises(UsageError):
        synthesize_like(None, known, synthetic_instrument(), seed=1, **arguments)


@pytest.mark.data
@pytest.mark.skipif(not NEXO.is_dir(), reason="recorded markets are not there")
def test_a_recorded_market_is_matched_in_frequencies_and_spread(tmp_path):
    import_binance_raw(sorted(NEXO.glob("*.gz")), tmp_path / "t")
    tape = Tape.open(tmp_path / "t")
    profile = calibrate(tape.data)
    assert profile.feed.batch_ns == 100_000_000 and profile.feed.tickers
    real, other = (
        measured_flow(tape.data)[1],
        measured_flow(synthesize_like(None, profile, tape.instrument, 4, 1).data)[1],
    )
    assert np.abs(np.log(frequencies(other) / frequencies(real))).max() < 0.5
    spreads = [float((f.books[flow.B_ASK] - f.books[flow.B_BID]).mean()) for f in (real, other)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.4)
    assert KINDS == len(frequencies(real))
