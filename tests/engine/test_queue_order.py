"""Queues keep their order: who comes later, or is put further back, never has more filled at any time."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.engine.example import SECOND, market, packet_ends
from tidewright.engine.config import QUEUES
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import ASK, BID, BUY, FILL, LIMIT, POST_ONLY, REJECTED, SELL

I64 = npt.NDArray[np.int64]


class Sent(NamedTuple):
    """An order, sent after so many packets, at a price whose level changed so many changes of its side before."""

    packet: int
    side: int
    changes: int
    qty: int


class Filled(NamedTuple):
    """What was filled of an order: when, ns, and how many lots in all until then; whether it ever rested."""

    ts: I64
    lots: I64
    rested: bool

    def at(self, ts: I64) -> I64:
        return np.concatenate([[0], self.lots])[np.searchsorted(self.ts, ts, side="right")]


def run(order: Sent, again_after: tuple[int, ...], queue: str, power: float) -> list[Filled]:
    """An order, and the same at the same price after so many packets each, in lanes of their own."""
    tape = market(hours=0.3, seed=5)
    ends = packet_ends(tape.data)
    lanes = 1 + len(again_after)
    config = ReplayConfig(queue=queue, queue_power=power, window_ticks=1 << 16)
    replay = Replay(tape.instrument, config, lanes=lanes)
    before = tape.data.rows(0, ends[order.packet])
    levels = np.flatnonzero((before.kind == (BID if order.side == BUY else ASK)) & (before.qty > 0))
    price = int(before.price[levels[-1 - order.changes]])
    row = 0
    for lane, after in enumerate((0, *again_after)):
        stop = ends[order.packet + after]
        replay.feed(tape.data.rows(row, stop))
        row = stop
        replay.submit(lane, order.side, LIMIT, POST_ONLY, price, order.qty, replay.now_ns + SECOND // 20)
    replay.feed(tape.data.rows(row, len(tape.data.ts)))
    replay.finish()
    reports = replay.reports()
    found = []
    for lane in range(lanes):
        mine = reports[reports["lane"] == lane]
        fills = mine[mine["what"] == FILL]
        found.append(Filled(fills["ts"], np.cumsum(fills["qty"]), not (mine["what"] == REJECTED).any()))
    return found


ORDERS = st.builds(
    Sent,
    packet=st.integers(20, 1_500),
    side=st.sampled_from((BUY, SELL)),
    changes=st.integers(0, 15),
    qty=st.integers(1, 60_000),
)
POWERS = st.floats(0.5, 4.0)


@settings(max_examples=100)
@given(ORDERS, st.integers(0, 800), st.sampled_from(sorted(QUEUES)), POWERS)
def test_of_two_equal_orders_the_later_one_never_has_more_filled(order, after, queue, power):
    first, second = run(order, (after,), queue, power)
    assume(first.rested)
    assert (first.at(second.ts) >= second.lots).all()


@settings(max_examples=50)
@given(ORDERS, POWERS)
def test_no_model_fills_more_than_being_first_nor_less_than_being_risk_averse(order, power):
    found = {queue: run(order, (), queue, power)[0] for queue in QUEUES}
    for queue in ("prob", "prob_log"):
        for more, less in ((found["front"], found[queue]), (found[queue], found["risk_averse"])):
            assert (more.at(less.ts) >= less.lots).all()


def test_orders_like_these_are_filled_and_their_queues_matter():
    rng = np.random.default_rng(1)
    drawn = [Sent(int(rng.integers(20, 1_500)), int(rng.integers(2)), 2, 1_000) for _ in range(40)]
    both = [run(order, (50,), "risk_averse", 3.0) for order in drawn]
    in_front = [run(order, (), "front", 3.0)[0] for order in drawn]
    assert sum(len(first.ts) > 0 and len(second.ts) > 0 and first.rested for first, second in both) > 15
    assert any(first.ts[0] < second.ts[0] for first, second in both if len(first.ts) and len(second.ts))
    assert any(
        len(best.ts) and not np.array_equal(best.ts, one.ts) for best, (one, _) in zip(in_front, both, strict=True)
    )
