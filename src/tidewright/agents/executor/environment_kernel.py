"""What an environment does with an engine that waits at a decision: look, and steer."""

import math
from typing import Final

import numpy as np
from numba import njit

from tidewright.agents.executor.environment import F32, Bool
from tidewright.agents.executor.state import CAPITAL, FIRST_MID, LAST_EQUITY, observe, remember
from tidewright.engine.accounts import catch_up_knowledge, worth
from tidewright.engine.layout import (
    CAPTURE_HEAD,
    CFG_CYCLE,
    CFG_F_LIMITS,
    CFG_F_LOT,
    CFG_F_TICK,
    CFG_LOT_UNITS,
    F_DAY,
    F_START,
    L_ALIVE,
    L_HALTED,
    L_KNOWN,
    L_KNOWN_FIRST,
    LANES,
    NEXT_DECISION,
    O_PRICE,
    Q_AHEAD,
    RESTING_STATE,
    START,
    V_ASK_QTY,
    V_BID_QTY,
    V_MID2,
    V_WHOLE,
    State,
)
from tidewright.engine.nodes import node_of
from tidewright.engine.reference import state_at
from tidewright.engine.slots import state_of
from tidewright.market.codes import PACKET_END, TRADE_BUY, TRADE_SELL
from tidewright.market.features import PRICE_CHANGE, VARIANCE, imbalance
from tidewright.market.ladder import WIDTH, Ladder, index_of
from tidewright.market.tape import F64, I64, U8
from tidewright.strategies.shaped import LEVEL_SPACING, LEVELS, SKEW, SPREAD, STANCE

PNL: Final = 0
RISK: Final = 1
CONSISTENCY: Final = 2
TERMS: Final = 3

# The extended state: how much of the level stands ahead of the lane's best bid and ask (1: all, or there is none), what
# share of the cycle's traded quantity was bought rather than sold (-1..1), and that quantity against its average.
EXTENDED: Final = 12

# What is heard of trades, float64.
BOUGHT: Final = 0  # lots in the cycle
SOLD: Final = 1
USUAL: Final = 2  # exponentially weighted mean of lots a cycle
HEARD: Final = 3  # receipt of the newest row, ns since the first
TILT: Final = 4  # (bought - sold) / (bought + sold)
PACE: Final = 5  # traded / (traded + usual)
FLOW: Final = 6
PACE_DECAY: Final = 0.06

WIDEST: Final = 4.0  # the spread is the base rule's times or divided by up to this, the spacing its default
SPACING: Final = 0.5
STANCES: Final = 5


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def queue_share(engine: State, lane: int, side: int) -> float:
    """Share of its level that stands ahead of a lane's best resting order of a side, 0..1; 1 if there is none."""
    best = np.int64(-1)
    for i in range(engine.lane[lane, L_ALIVE + side]):
        slot = np.int64(engine.alive[2 * lane + side, i])
        if state_of(engine, slot) != RESTING_STATE:
            continue
        if best < 0 or (engine.order[slot, O_PRICE] > engine.order[best, O_PRICE]) == (side == 0):
            best = slot
    if best < 0:
        return 1.0
    width = engine.reg[WIDTH]
    index = index_of(Ladder(engine.qty, engine.reg), side, engine.order[best, O_PRICE])
    if index < 0 or index >= width:
        return 1.0
    ahead = max(0.0, engine.node_q[node_of(engine, best), Q_AHEAD])
    level = np.float64(max(np.int64(0), engine.qty[side * width + index]))
    return ahead / level if ahead < level else 1.0 if ahead > 0.0 else 0.0


@njit(cache=True, nogil=True, _nrt=False)  # type: ignore[misc]
def hear(ts: I64, ts_local: I64, kind: U8, flags: U8, qty: I64, row: int, until: int, feed: int, flow: F64) -> int:
    """Take in the trades of a cycle; the first row not yet known.

    Parameters
    ----------
    ts, ts_local, kind, flags, qty
        Columns of a tape, read-only.
    row
        First row not yet taken in, the beginning of a packet.
    until
        Packets known at or before this time are taken in.
    feed
        Latency of rows without a receipt, ns.
    flow
        Shape (FLOW,), float64; overwritten.
    """
    origin = ts[0]
    bought = 0.0
    sold = 0.0
    i = row
    while i < len(ts):
        if i == 0 or flags[i - 1] & PACKET_END:
            receipt = max(ts[i], ts_local[i] if ts_local[i] > 0 else ts[i] + feed)
            receipt = max(receipt, np.int64(flow[HEARD]) + origin)
            if receipt > until:
                break
            flow[HEARD] = np.float64(receipt - origin)
        if kind[i] == TRADE_BUY:
            bought += np.float64(qty[i])
        elif kind[i] == TRADE_SELL:
            sold += np.float64(qty[i])
        i += 1
    flow[BOUGHT], flow[SOLD] = bought, sold
    total = bought + sold
    flow[TILT] = (bought - sold) / total if total > 0.0 else 0.0
    flow[PACE] = total / (total + flow[USUAL]) if total > 0.0 else 0.0
    flow[USUAL] += PACE_DECAY * (total - flow[USUAL]) if flow[USUAL] > 0.0 else total
    return i


@njit(cache=True, nogil=True)  # type: ignore[misc]
def look(
    address: int,
    begin: int,
    ruin: float,
    memory: F64,
    state8: F64,
    flow: F64,
    out: F32,
    terms: F32,
    ruined: Bool,
) -> int:
    """Write what every lane sees at the decision the engine waits at, and what the cycle before it brought.

    Parameters
    ----------
    address
        Of the engine's state.
    begin
        1: an episode begins here; nothing is remembered.
    ruin
        Loss since the episode began, over its capital, at which a lane is ruined and begins anew with what it has.
    memory
        Shape (lanes, MEMORY), float64; see :mod:`tidewright.agents.executor.state`.
    state8
        Shape (8,), float64: room to work in.
    flow
        Shape (FLOW,), float64; see :func:`hear`.
    out
        Shape (2, lanes, 8 or EXTENDED), float32: what is seen now, and what the last action led to, which differs for a
        ruined lane. Where the book is not whole, what was seen last stays.
    terms
        Shape (lanes, TERMS), float32: pnl, risk, consistency; see :class:`tidewright.agents.executor.reward.Reward`.
    ruined
        Shape (lanes,).

    Returns
    -------
    int
        1 if the book is whole.
    """
    engine = state_at(address)
    reg = engine.reg
    now = reg[NEXT_DECISION] - engine.cfg[CFG_CYCLE]
    elapsed = now - reg[START]
    seen = engine.capture[reg[CAPTURE_HEAD]]
    mid2 = seen[V_MID2]
    whole = seen[V_WHOLE] == 1
    tick, lot = engine.cfg_f[CFG_F_TICK], engine.cfg_f[CFG_F_LOT]
    mid = np.float64(mid2) * 0.5 * tick
    change = engine.features[PRICE_CHANGE]
    volatility = math.sqrt(engine.features[VARIANCE])
    tilt = imbalance(seen[V_BID_QTY], seen[V_ASK_QTY])
    share = engine.cfg_f[CFG_F_LIMITS] if engine.cfg_f[CFG_F_LIMITS] > 0.0 else np.inf
    lot_units = engine.cfg[CFG_LOT_UNITS]
    max_position = engine.params.shape[1] - 1  # a strategy that can be steered has its sizes last
    for lane in range(reg[LANES]):
        if engine.lane[lane, L_KNOWN_FIRST] >= 0:
            catch_up_knowledge(engine, np.int64(lane), now)
        row = memory[lane]
        position = engine.lane[lane, L_KNOWN]
        net = position
        if engine.lane[lane, L_KNOWN + 2] != 0:  # fees in base
            net = (position * lot_units - engine.lane[lane, L_KNOWN + 2]) // lot_units
        equity = engine.lane_f[lane, F_START]
        if mid2 > 0:
            equity = worth(engine, np.int64(lane), np.int64(L_KNOWN), mid2)
        if begin == 1:
            row[:] = 0.0
        largest = engine.params[lane, max_position] * mid
        pnl = 0.0
        risk = 0.0
        if begin == 0 and largest > 0.0:
            pnl = 1e4 * (equity - row[LAST_EQUITY]) / largest
            held = np.float64(net) * lot * mid / largest
            risk = -1e4 * volatility * held * held
        terms[lane, PNL] = pnl
        terms[lane, RISK] = risk
        terms[lane, CONSISTENCY] = min(0.0, pnl)
        remember(row, elapsed, position, equity)
        exposure = np.float64(net) * lot * mid
        if whole:
            observe(row, elapsed, mid, change, volatility, tilt, exposure, share * equity, state8)
            for k in range(8):
                out[1, lane, k] = state8[k]
            if out.shape[2] == EXTENDED:
                out[1, lane, 8] = queue_share(engine, np.int64(lane), np.int64(0))
                out[1, lane, 9] = queue_share(engine, np.int64(lane), np.int64(1))
                out[1, lane, 10] = flow[TILT]
                out[1, lane, 11] = flow[PACE]
        else:
            for k in range(out.shape[2]):
                out[1, lane, k] = out[0, lane, k]
        ruined[lane] = row[CAPITAL] > 0.0 and equity <= row[CAPITAL] * (1.0 - ruin)
        if ruined[lane]:
            first_mid = row[FIRST_MID]
            row[:] = 0.0
            row[FIRST_MID] = mid if whole else first_mid
            remember(row, elapsed, position, equity)
            engine.lane_f[lane, F_DAY] = equity
            engine.lane[lane, L_HALTED] = 0
            if whole:
                observe(row, elapsed, mid, change, volatility, tilt, exposure, share * equity, state8)
                for k in range(8):
                    out[0, lane, k] = state8[k]
                for k in range(8, out.shape[2]):
                    out[0, lane, k] = out[1, lane, k]
        else:
            for k in range(out.shape[2]):
                out[0, lane, k] = out[1, lane, k]
    return 1 if whole else 0


@njit(cache=True, nogil=True)  # type: ignore[misc]
def shape(row: F64, continuous: F32, discrete: I64, most: int) -> None:
    """Write one action into the head of a parameter row; see :func:`steer`."""
    row[SPREAD] = WIDEST ** min(1.0, max(-1.0, np.float64(continuous[0])))
    row[SKEW] = min(1.0, max(-1.0, np.float64(continuous[1])))
    row[LEVEL_SPACING] = SPACING * WIDEST ** min(1.0, max(-1.0, np.float64(continuous[2])))
    row[LEVELS] = np.float64(min(np.int64(most), max(np.int64(0), discrete[0])))
    row[STANCE] = np.float64(min(np.int64(2), max(np.int64(-2), discrete[1] - 2)))


@njit(cache=True, nogil=True)  # type: ignore[misc]
def steer(address: int, continuous: F32, discrete: I64, most: int) -> None:
    """Set the parameters that a policy steers by for the decision the engine waits at.

    Parameters
    ----------
    address
        Of the engine's state.
    continuous
        Shape (lanes, 3), float32: spread, skew, level spacing; clipped to [-1, 1], 0 is the base rule's.
    discrete
        Shape (lanes, 2), int64: levels from 0 to ``most``, and stance from 0 (strong sell) over 2 (hold) to 4.
    """
    engine = state_at(address)
    for lane in range(engine.reg[LANES]):
        shape(engine.params[lane], continuous[lane], discrete[lane], most)
