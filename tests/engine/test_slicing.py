"""However the tape is cut, and wherever the engine is saved and resumed, the bytes are the same."""

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.example import SECOND, all_bytes, differences, last_print, market, packet_ends
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import GTC, IOC, LIMIT, MARKET
from tidewright.market.errors import DataError
from tidewright.market.tape import Tape
from tidewright.risk.limits import Limits

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WINDOW = 1 << 15  # a narrow one keeps snapshots small and moves with the price
KINDS = ("grid", "slow grid", "avellaneda")


def tape() -> Tape:
    return market(hours=0.15, seed=3)


def new(kind: str) -> Replay:
    rules = {
        "grid": {"queue": "risk_averse", "entry_ns": SECOND // 20, "response_ns": SECOND // 20},
        "slow grid": {"queue": "prob", "entry_ns": 7 * SECOND, "response_ns": 2 * SECOND, "feed_ns": SECOND},
        "avellaneda": {"queue": "prob_log", "limits": Limits(max_position_share=0.3)},
    }[kind]
    config = ReplayConfig(cycle_ns=3 * SECOND, window_ticks=WINDOW, record_fills=2, record_equity=1, **rules)
    strategy = "avellaneda_stoikov" if kind == "avellaneda" else "grid"
    params = (
        {"gamma": [0.002, 0.02, 0.1], "kappa": 2.0}
        if kind == "avellaneda"
        else {"spread_percentage": [0.005, 0.01, 0.04]}
    )
    return Replay(tape().instrument, config, strategy, {**params, "max_position": 0.05}, quote_units=10**12)


@cache
def whole(kind: str) -> dict[str, bytes]:
    """The run in one piece."""
    replay = new(kind)
    replay.feed(tape().data)
    replay.finish()
    assert replay.statistics()["n_fills"].sum() > 10
    return all_bytes(replay)


# A step: how many packets to feed, how far into the silence after them to advance (not, or 0 to 1), whether to resume.
STEPS = st.lists(
    st.tuples(st.sampled_from((1, 2, 5, 40, 300, 700)), st.none() | st.floats(0.0, 1.0), st.booleans()),
    min_size=1,
    max_size=14,
)


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(steps=STEPS)
def test_any_slicing_with_watermarks_and_resumes_gives_the_same_bytes(
    kind: str, steps: list[tuple[int, float | None, bool]]
) -> None:
    data, ends = tape().data, packet_ends(tape().data)
    replay, packet, row = new(kind), 0, 0
    for count, reach, resume in steps:
        packet = min(packet + count, len(ends))
        replay.feed(data.rows(row, ends[packet - 1]))
        row = ends[packet - 1]
        silence = int(data.ts[row] - data.ts[row - 1]) if row < len(data.ts) else 1
        if reach is not None and silence > 0:
            replay.advance(int(data.ts[row - 1]) + int((silence - 1) * reach))
        if resume:
            replay = Replay.restore(tape().instrument, replay.snapshot())
    replay.feed(data.rows(row, len(data.ts)))
    replay.finish()
    assert differences(all_bytes(replay), whole(kind)) == []


def test_packet_by_packet_is_the_same_as_in_one_piece() -> None:
    data, replay, row = tape().data, new("grid"), 0
    for end in packet_ends(data):
        replay.feed(data.rows(row, end))
        row = end
    replay.finish()
    assert differences(all_bytes(replay), whole("grid")) == []


def test_saving_leaves_the_saved_engine_as_it_was_and_two_resumed_ones_apart() -> None:
    data, ends = tape().data, packet_ends(tape().data)
    half = ends[len(ends) // 2]
    first = new("slow grid")
    first.feed(data.rows(0, half))
    saved = first.snapshot()
    second, third = Replay.restore(first.instrument, saved), Replay.restore(first.instrument, saved)
    assert second.snapshot() == saved == first.snapshot()
    third.finish()
    for replay in (first, second):
        replay.feed(data.rows(half, len(data.ts)))
        replay.finish()
        assert differences(all_bytes(replay), whole("slow grid")) == []


@pytest.mark.parametrize("damage", [b"", b"tidewright-engine-1\n", b"not an engine"])
def test_bytes_that_are_no_snapshot_are_refused(damage: bytes) -> None:
    with pytest.raises(DataError, match="engine snapshot"):
        Replay.restore(tape().instrument, damage)


def test_a_snapshot_cut_off_is_refused() -> None:
    saved = new("grid").snapshot()
    for size in (len(saved) // 2, len(saved) - 1):
        with pytest.raises(DataError, match="snapshot"):
            Replay.restore(tape().instrument, saved[:size])


def test_an_account_resumes_with_its_orders_on_the_way_and_resting() -> None:
    data, ends = tape().data, packet_ends(tape().data)
    cuts = [ends[len(ends) * part // 8] for part in range(1, 8)]

    config = ReplayConfig(record_equity=1, window_ticks=WINDOW)

    def drive(resume: bool) -> dict[str, bytes]:
        replay = Replay(tape().instrument, config, lanes=2, quote_units=10**12, base_units=10**9)
        row = 0
        for step, cut in enumerate(cuts):
            replay.feed(data.rows(row, cut))
            row = cut
            now, price = int(data.ts[cut - 1]), last_print(data, cut)
            for lane in (0, 1):
                first = replay.submit(lane, lane, LIMIT, GTC, price + 500 - 1_000 * lane, 5_000, now + SECOND, step)
                replay.submit(lane, lane, LIMIT, GTC, price - 900 + 1_800 * lane, 70_000, now + SECOND, 20 + step)
                replay.submit(lane, 1 - lane, MARKET, IOC, 0, 2_000, now + 2 * SECOND, 40 + step)
                replay.cancel(lane, first, now + 40 * SECOND)
            if resume:
                replay = Replay.restore(replay.instrument, replay.snapshot())
        replay.feed(data.rows(row, len(data.ts)))
        replay.finish()
        assert (replay.statistics()["n_fills"] > 5).all()
        return all_bytes(replay)

    assert differences(drive(resume=True), drive(resume=False)) == []


def test_time_that_falls_and_rows_that_end_in_a_packet_are_refused() -> None:
    data, ends = tape().data, packet_ends(tape().data)
    replay = new("grid")
    replay.feed(data.rows(0, ends[50]))
    with pytest.raises(DataError, match="venue time may not fall"):
        replay.feed(data.rows(0, ends[0]))
    opening = new("grid")
    with pytest.raises(DataError, match="whole packets"):
        opening.feed(data.rows(0, ends[0] - 1))
