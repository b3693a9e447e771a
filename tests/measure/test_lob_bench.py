import numpy as np
import pytest

from tidewright.market import calibration_flow as flow
from tidewright.market.calibration import measured_flow
from tidewright.market.calibration_flow import Flow
from tidewright.market.synthetic import synthesize
from tidewright.measure.lob_bench import (
    DEFINITIONS,
    l1_distance,
    responses,
    samples,
    scores,
    wasserstein_distance,
)
from tidewright.measure.lob_bench_report import compare, definitions, without


@pytest.fixture(scope="module")
def found() -> Flow:
    return measured_flow(synthesize(None, hours=1, seed=3).data)[1]


def test_a_tape_against_itself_scores_zero(found):
    for name, score in scores(found, found).items():
        assert (score.l1, score.wasserstein) == (0.0, 0.0), name
        assert score.real_count == score.other_count > 0
    assert all(r.deviation == 0 for r in responses(found, found).values() if r.real_count)


def test_distances_of_known_samples():
    a = np.array([1.0, 1, 2, 2])
    assert l1_distance(a, np.array([1.0, 2])) == 0
    assert l1_distance(a, np.array([3.0, 4])) == 1
    assert l1_distance(a, np.array([1.0, 1, 1, 2])) == pytest.approx(0.25)
    assert wasserstein_distance(a, a + 1) == pytest.approx(1 / np.std(a), rel=0.01)
    assert np.isnan(l1_distance(a, np.zeros(0))) and np.isnan(wasserstein_distance(np.zeros(0), a))


def worse(found: Flow, **changes) -> Flow:
    orders, books = found.orders.copy(), found.books.copy()
    for row, values in changes.get("orders", {}).items():
        orders[row] = values
    for row, values in changes.get("books", {}).items():
        books[row] = values
    return found._replace(orders=orders, books=books)


def test_each_perturbation_worsens_its_scores_and_more_of_it_more(found):
    books, orders = found.books, found.orders
    for factor in (2, 4):
        wide = worse(found, books={flow.B_ASK: books[flow.B_BID] + factor * (books[flow.B_ASK] - books[flow.B_BID])})
        thin = worse(found, books={flow.B_ASK_QTY: books[flow.B_ASK_QTY] // factor})
        deep = worse(found, orders={flow.RANK: np.minimum(9, orders[flow.RANK] * factor)})
        slow = worse(found, orders={flow.T: orders[flow.T] * factor})
        got = {
            "spread": scores(found, wide)["spread"],
            "ask_volume_touch": scores(found, thin)["ask_volume_touch"],
            "cancel_bid_level": scores(found, deep)["cancel_bid_level"],
            "log_inter_arrival": scores(found, slow)["log_inter_arrival"],
        }
        for name, score in got.items():
            assert score.wasserstein > 0.03 * factor and score.l1 > 0.02, name


def test_conditional_scores_see_what_the_marginal_ones_cannot(found):
    random = np.random.default_rng(1)
    shuffled = worse(found, books={flow.B_ASK_QTY: random.permutation(found.books[flow.B_ASK_QTY])})
    got = scores(found, shuffled)
    assert got["ask_volume_touch"].l1 == 0
    assert got["ask_volume_touch|spread"].l1 > 0.02


def test_shuffled_prices_change_the_responses(found):
    orders = found.orders.copy()
    random = np.random.default_rng(1)
    orders[flow.MID2_AFTER] = orders[flow.MID2] + random.permutation(orders[flow.MID2_AFTER] - orders[flow.MID2])
    got = responses(found, found._replace(orders=orders))
    assert got["market_order_moving"].deviation > 0


def test_all_quantities_are_defined_and_sampled(found):
    assert set(samples(found)) == set(DEFINITIONS)
    assert set(DEFINITIONS) <= set(definitions())


def test_a_stretch_that_is_left_out_leaves_no_time_and_no_pair_over_it(found):
    begin, end = (int(t) for t in np.quantile(found.books[flow.B_T], (0.4, 0.6)))
    rest = without(found, begin, end)
    for part, whole, time, segment in (
        (rest.orders, found.orders, flow.T, flow.SEGMENT),
        (rest.books, found.books, flow.B_T, flow.B_SEGMENT),
    ):
        before = int(np.sum(whole[time] < begin))
        assert part.shape[1] == before + int(np.sum(whole[time] >= end)) < whole.shape[1]
        assert (part[:, :before] == whole[:, :before]).all()
        assert (np.diff(part[time]) >= 0).all() and part[time, -1] == whole[time, -1] - (end - begin)
        assert part[segment, before] == part[segment, before - 1] + 1


def test_report_holds_plain_values_and_marks_what_differs():
    calm, other = synthesize(None, hours=1, seed=3).data, synthesize(None, hours=1, seed=4, rate=10).data
    report = compare(calm, other)
    assert report["scores"]["log_inter_arrival"]["far"] and report["summary"]["scores_far"] > 0
    same = compare(calm, calm)
    assert same["summary"]["scores_far"] == same["summary"]["facts_far"] == 0 and same["summary"]["mean_l1"] == 0
