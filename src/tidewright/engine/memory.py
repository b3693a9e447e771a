"""Making a state, and making its pools larger."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.engine import layout as at
from tidewright.engine.config import ReplayConfig, cancels_under_way
from tidewright.engine.latency import latency_rows
from tidewright.engine.layout import State
from tidewright.market import features
from tidewright.market.ladder import WIDTH, new_ladder
from tidewright.market.tape import F64, I64
from tidewright.market.zeros import large_pages, zeros

POOL: Final = 256  # entries a pool starts with
BY_PRICE: Final = ("qty", "mark", "tail", "taken_head", "epoch")  # arrays over the prices of the window
AHEAD: Final = 8  # entries for each order slot that there may be to know or to take, at least


def new_state(config: ReplayConfig, cfg: I64, cfg_f: F64, params: F64, width: int, levels: int, quote: bool) -> State:
    """A state in which nothing has happened yet.

    Parameters
    ----------
    params
        Strategy parameters, (lanes, n), float64.
    width
        Prices in the window.
    levels
        Most quotes a side.
    quote
        Whether lanes have a strategy.
    """
    lanes = len(params)
    slots = int(cfg[at.CFG_SLOTS])
    under_way = cancels_under_way(config) + 2
    reg = np.zeros(at.REG_COUNT, np.int64)
    state = State(
        qty=new_ladder(width, reg).qty,
        mark=zeros((2 * width,), np.uint8),
        tail=zeros((2 * width,), np.int64),
        taken_head=zeros((2 * width,), np.int32),
        epoch=zeros((2 * width,), np.int32),
        reg=reg,
        cfg=cfg,
        cfg_f=cfg_f,
        features=features.new_state(),
        node=np.zeros((0, at.NODE_FIELDS), np.int32),
        node_q=np.zeros((0, at.NODE_Q_FIELDS), np.float64),
        resting=np.zeros(0, np.int32),
        listed=np.zeros(1, np.int32),
        order=np.zeros((0, at.ORDER_FIELDS), np.int64),
        place=np.zeros((0, at.PLACE_FIELDS), np.int32),
        lane=zeros((lanes, at.LANE_FIELDS), np.int64),
        lane_f=zeros((lanes, at.LANE_F_FIELDS), np.float64),
        tag=np.zeros((0, at.TAG_FIELDS), np.int64),
        alive=np.zeros((2 * lanes, levels), np.int32),
        params=np.ascontiguousarray(params, np.float64),
        msg=np.zeros(4 * levels * lanes * under_way + 1 if quote else 1, np.int32),
        batch=np.zeros((under_way + 1, at.BATCH_FIELDS), np.int64),
        call=np.zeros((POOL, at.CALL_FIELDS), np.int64),
        waiting=np.zeros((0, 2), np.int64),
        known=np.zeros((0, at.KNOWN_FIELDS), np.int64),
        taken=np.zeros((0, at.TAKEN_FIELDS), np.int64),
        capture=np.zeros((8, at.CAPTURE_FIELDS), np.int64),
        log=np.zeros((POOL, at.LOG_FIELDS), np.int64),
        curve_ts=np.zeros(POOL if cfg[at.CFG_CURVE] else 0, np.int64),
        curve=np.zeros((POOL if cfg[at.CFG_CURVE] else 0, lanes), np.float64),
        target=np.zeros((8, at.TARGET_WIDTH), np.int64),
        stop=np.zeros((0, at.STOP_FIELDS), np.int64),
        latency=latency_rows(config.latency),
        tally=np.zeros(at.TALLY_FIELDS, np.float64),
        recent=zeros((lanes if cfg[at.CFG_RECENT] else 0, at.RECENT_ENTRY + 2 * int(cfg[at.CFG_RECENT])), np.int64),
        priced=np.zeros((0, at.PRICED_FIELDS), np.int64),
        funding=zeros((lanes if cfg[at.CFG_FUNDING] else 0, at.PAID_FIELDS), np.int64),
    )
    _set_registers(state)
    state = _grow_orders(state, lanes * slots)
    _thread_slots(state, np.arange(lanes), 0, slots)
    # As much as many lanes soon need, lest it is copied again and again: what is not used is never made.
    pool = max(POOL, AHEAD * lanes * slots)
    return _grow_taken(_grow_known(state, pool), pool)


def held(state: State) -> dict[str, int]:
    """Bytes of a state's arrays.

    Returns
    -------
    dict[str, int]
        ``window_bytes``: what is kept by price; takes memory only as far as prices were used. ``lanes_bytes``: orders,
        queues, money and parameters of the lanes. ``records_bytes``: fills and equity that are recorded, which alone
        grow with the tape.
    """
    records = ("log", "curve_ts", "curve")
    sizes = {name: int(array.nbytes) for name, array in state._asdict().items()}
    return {
        "window_bytes": sum(sizes[name] for name in BY_PRICE),
        "lanes_bytes": sum(size for name, size in sizes.items() if name not in (*BY_PRICE, *records)),
        "records_bytes": sum(sizes[name] for name in records),
    }


def use_large_pages(state: State) -> None:
    """Large pages under the book and the queues' ends, which are read and written most.

    See :func:`tidewright.market.zeros.large_pages`; under the rest they would take as much again, and save nothing.
    """
    for name in ("qty", "tail"):
        large_pages(getattr(state, name))


def set_start(state: State, start: int) -> None:
    """Fix when decisions begin; the kernel does the same at the first packet."""
    reg = state.reg
    reg[at.START] = start
    if state.cfg[at.CFG_STRATEGY] >= 0:
        reg[at.NEXT_DECISION] = reg[at.NEXT_CAPTURE] = reg[at.DUE] = start + int(state.cfg[at.CFG_CYCLE])


def resize_window(state: State, width: int) -> State:
    """Another width of the window, before any price has been seen."""
    state.reg[at.OWN_WORST : at.OWN_WORST + 2] = width
    return state._replace(
        qty=new_ladder(width, state.reg).qty,
        mark=zeros((2 * width,), np.uint8),
        tail=zeros((2 * width,), np.int64),
        taken_head=zeros((2 * width,), np.int32),
        epoch=zeros((2 * width,), np.int32),
    )


def _set_registers(state: State) -> None:
    reg, lane = state.reg, state.lane
    for index, value in {
        at.IN_GAP: 1 - int(state.cfg[at.CFG_PARITY]),
        at.MARKET_STATE: at.STATE_GAP,
        at.EPOCH: 1,
        at.DUE: at.NEVER,
        at.NEXT_DECISION: at.NEVER,
        at.NEXT_CAPTURE: at.NEVER,
        at.START: at.NEVER,
        at.FIRST_TS: at.NEVER,
        at.LAST_TS: -at.NEVER,
        at.NOW: -at.NEVER,
        at.RECEIPT: -at.NEVER,
        at.WAIT_DUE: at.NEVER,
        at.PENDING: at.NEVER,
        at.ACT_AT: at.NEVER,
        at.LAST_ARRIVAL: -at.NEVER,
        at.LANES: len(lane),
        at.DAY: -at.NEVER,
        at.BOUNDS_AT: -at.NEVER,
    }.items():
        reg[index] = value
    reg[at.OWN : at.OWN + 2] = -1
    reg[at.OWN_WORST : at.OWN_WORST + 2] = state.reg[WIDTH]
    lane[:, at.L_BOUND : at.L_BOUND + 2] = -at.NEVER
    for index in (at.L_TAKEN, at.L_KNOWN_FIRST, at.L_SLOT_FREE):
        lane[:, index] = -1


def _longer(array: npt.NDArray[Any], extra: int) -> npt.NDArray[Any]:
    longer = zeros((len(array) + extra, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _grow_orders(state: State, extra: int) -> State:
    """More order slots, and as many nodes and waiting places, so that these can never run out."""
    old = len(state.order)
    state = state._replace(
        order=_longer(state.order, extra),
        tag=_longer(state.tag, extra),
        node=_longer(state.node, extra),
        place=_longer(state.place, extra),
        node_q=_longer(state.node_q, extra),
        resting=_longer(state.resting, extra),
        listed=_longer(state.listed, extra),
        waiting=_longer(state.waiting, extra),
        stop=_longer(state.stop, extra) if state.cfg[at.CFG_STRATEGY] < 0 else state.stop,
    )
    state.reg[at.SLOTS] = old + extra
    return state


def _thread_slots(state: State, lanes: I64, first: int, count: int) -> None:
    """Give each of some lanes the next ``count`` slots, at the front of its free list."""
    last = first + len(lanes) * count
    links = np.arange(first + 1, last + 1)
    links[count - 1 :: count] = state.lane[lanes, at.L_SLOT_FREE]
    state.place[first:last, at.P_WHOSE] = np.repeat(lanes * 256, count)
    state.place[first:last, at.P_NEXT] = links
    state.lane[lanes, at.L_SLOT_FREE] = np.arange(first, last, count)


def grow_lane(state: State, lane: int) -> State:
    """More order slots for one lane."""
    old = len(state.order)
    state = _grow_orders(state, POOL)
    _thread_slots(state, np.array([lane]), old, POOL)
    state.lane[lane, at.L_GREW] = 1
    return state


def _grow_known(state: State, extra: int) -> State:
    state = state._replace(known=_longer(state.known, extra))
    state.reg[at.KNOWN_ROOM] += extra
    return state


def _grow_taken(state: State, extra: int) -> State:
    state = state._replace(taken=_longer(state.taken, extra))
    state.reg[at.TAKEN_ROOM] += extra
    return state


def _grow_capture(state: State) -> State:
    size = len(state.capture)
    head, tail = int(state.reg[at.CAPTURE_HEAD]), int(state.reg[at.CAPTURE_TAIL])
    count = (tail - head) % size
    capture = np.zeros((2 * size, at.CAPTURE_FIELDS), np.int64)
    capture[:count] = np.take(state.capture, range(head, head + count), axis=0, mode="wrap")
    state.reg[at.CAPTURE_HEAD], state.reg[at.CAPTURE_TAIL] = 0, count
    return state._replace(capture=capture)


def grow(state: State, status: int) -> State:
    """Make the pool larger that a kernel found full."""
    if status == at.GROW_LOG:
        return state._replace(log=_longer(state.log, len(state.log)))
    if status == at.GROW_KNOWN:
        return _grow_known(state, len(state.known))
    if status == at.GROW_TAKEN:
        return _grow_taken(state, len(state.taken))
    if status == at.GROW_CAPTURE:
        return _grow_capture(state)
    assert status == at.GROW_CURVE, status
    extra = len(state.curve_ts)
    return state._replace(curve_ts=_longer(state.curve_ts, extra), curve=_longer(state.curve, extra))
