"""The switch `parity` keeps what every run promises, and gives hftbacktest's fills where that is installed."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.events import INSTRUMENT, columns_of
from benchmarks.make_tape import make
from benchmarks.parity import PEER_PYTHON, Job, Market, compared, explicit, market, ours, peers
from tests.engine.example import all_bytes, differences, lane_bytes, packet_ends
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, FILL, UNIT
from tidewright.market.errors import UsageError
from tidewright.market.tape import Columns

SECOND = 1_000_000_000
SPREADS = (0.001, 0.005, 0.02)


@cache
def busy() -> Columns:
    """A jumpy market of twenty minutes."""
    return columns_of(make(rows=60_000, seed=3))


def with_best_quotes(data: Columns) -> Columns:
    """The same rows, those at the best of their side said by a best-quote row."""
    kind = data.kind.copy()
    best = {BID: -math.inf, ASK: math.inf}
    for row in range(len(kind)):
        code, price = int(kind[row]), int(data.price[row])
        if code not in best or data.qty[row] <= 0 or data.flags[row] & 2:
            continue
        if price >= best[BID] if code == BID else price <= best[ASK]:
            kind[row] = BEST_BID if code == BID else BEST_ASK
            best[code] = price
        if row % 50 == 0:
            best = {BID: -math.inf, ASK: math.inf}
    return data._replace(kind=kind)


def replay(data: Columns, spreads: tuple[float, ...] = SPREADS, cuts: int = 0, **options: Any) -> Replay:
    config = ReplayConfig(
        cycle_ns=SECOND, entry_ns=SECOND // 100, response_ns=SECOND // 100, record_fills=2, record_equity=1, **options
    )
    params = {"spread_percentage": np.array(spreads), "levels": 3, "base_quantity": 0.05, "max_position": 1.0}
    engine = Replay(INSTRUMENT, config, "grid", params, quote_units=10_000_000 * UNIT)
    ends = packet_ends(data)
    stops = sorted({*ends[:: max(1, len(ends) // (cuts + 1))], ends[-1]}) if cuts else [ends[-1]]
    start = 0
    for stop in stops:
        engine.feed(data.rows(start, stop))
        start = stop
    engine.finish()
    return engine


def test_every_fill_is_a_whole_order() -> None:
    fills = replay(busy(), parity=True).fills()
    assert len(fills) > 500
    assert len(np.unique(fills["number"])) == len(fills)
    assert (fills["leaves"] == 0).all()
    partial = replay(busy()).fills()
    assert (partial["leaves"] > 0).any(), "the tape has fills in parts for the switch to make whole"


def test_a_lane_alone_does_what_it_does_among_others() -> None:
    crowd = replay(busy(), parity=True)
    reports = crowd.reports()
    for lane, spread in enumerate(SPREADS):
        alone = replay(busy(), (spread,), parity=True)
        assert not differences(lane_bytes(crowd, reports, lane), lane_bytes(alone, alone.reports(), 0))


def test_slices_change_nothing() -> None:
    assert not differences(all_bytes(replay(busy(), parity=True)), all_bytes(replay(busy(), cuts=97, parity=True)))


def test_a_snapshot_keeps_the_switch() -> None:
    engine = replay(busy(), parity=True)
    assert Replay.restore(INSTRUMENT, engine.snapshot()).config.parity


def test_a_queue_model_without_a_counterpart_is_refused() -> None:
    with pytest.raises(UsageError, match="parity is defined for the queue models risk_averse and front, not prob"):
        ReplayConfig(queue="prob", parity=True)


@pytest.mark.parametrize("parity", [False, True])
def test_best_quotes_and_the_level_rows_they_mean_fill_alike(parity: bool) -> None:
    data = with_best_quotes(busy())
    assert np.isin(data.kind, (BEST_BID, BEST_ASK)).sum() > 1_000
    written = explicit(data)
    assert not np.isin(written.kind, (BEST_BID, BEST_ASK)).any()
    one, other = replay(data, parity=parity).fills(), replay(written, parity=parity).fills()
    assert (one == other).all()
    assert len(one) == len(other) > 100
    assert (one["what"] == FILL).all()


@pytest.mark.slow
@pytest.mark.skipif(not PEER_PYTHON.is_file(), reason="hftbacktest is not installed: make bench")
def test_hftbacktest_has_the_same_fills(tmp_path: Path) -> None:
    there: Market = market("synthetic", busy(), replace(INSTRUMENT, kind="linear"), tmp_path)
    jobs = [Job("synthetic", spread, 3, 0.05, 1.0, 10_000_000, 10_000_000) for spread in SPREADS]
    theirs, _ = peers(jobs, {"synthetic": there}, tmp_path)
    for job, right in zip(jobs, theirs, strict=True):
        outcome = compared(job, ours(job, there, True), right)
        assert outcome.same == outcome.ours == outcome.peer > 0
        assert math.isclose(outcome.sums_ours["equity"], outcome.sums_peer["equity"], abs_tol=1e-4)
