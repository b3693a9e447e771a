"""Fills as money: position, cash and commissions of a lane, what it knows of them, and the sums over closed trades."""

import math

import numpy as np
from numba import int64, uint64

from tidewright.engine.layout import (
    CFG_F_FEE_PRICE,
    CFG_F_LOT,
    CFG_F_TICK,
    CFG_FEE_DEN,
    CFG_FEE_IN_BASE,
    CFG_FEE_NUM,
    CFG_FEE_OTHER,
    CFG_FULL_WORTH,
    CFG_FUNDING,
    CFG_LOT_UNITS,
    CFG_MAKER,
    CFG_QUOTE_DEN,
    CFG_QUOTE_NUM,
    CFG_STRATEGY,
    CFG_TAKER,
    DEAD,
    F_CLOSED,
    F_CLOSED_SQ,
    F_COST,
    F_DURATION,
    F_ENTRY,
    F_FEES_VALUE,
    F_KNOWN_VALUE,
    F_LOSS,
    F_VOLUME,
    F_WIN,
    K_FEE_BASE,
    K_FEE_QUOTE,
    K_NEXT,
    K_NUMBER,
    K_PRICE,
    K_QTY,
    K_SLOT,
    K_TIME,
    KNOWN_FREE,
    KNOWN_ROOM,
    L_ALIVE,
    L_BASE_START,
    L_BUYS,
    L_CASH,
    L_CLOSED,
    L_FEE_BASE,
    L_FEE_QUOTE,
    L_FILLS,
    L_IN_POSITION,
    L_KNOWN,
    L_KNOWN_FIRST,
    L_MAX_POSITION,
    L_POSITION,
    L_QUOTE_START,
    L_SINCE,
    L_WINS,
    O_NUMBER,
    PAID,
    PAID_KNOWN,
    START,
    State,
)
from tidewright.engine.prefetch import fetch
from tidewright.engine.slots import lane_of, release, side_of, state_of
from tidewright.market.hints import few
from tidewright.market.inner import inlined, inner


@inlined
def share_of(amount: int, rate: int, per: int) -> int:
    """``amount * rate / per`` truncated towards zero, for amount >= 0, in products that stay within 64 bits."""
    size = abs(rate)
    whole = amount // per
    rest = amount - whole * per
    result = whole * size + rest * size // per
    return result if rate >= 0 else -result


@inner
def commission(state: State, side: int, price: int, qty: int, maker: int) -> tuple[int, int]:
    """Commission of a fill, 1e-8 units: in base; in quote, or in the third asset where it is paid in one."""
    cfg = state.cfg
    rate = cfg[CFG_MAKER] if maker == 1 else cfg[CFG_TAKER]
    if side == 0 and cfg[CFG_FEE_IN_BASE] == 1:
        return share_of(qty * cfg[CFG_LOT_UNITS], rate, int64(100_000_000)), int64(0)
    paid = price * qty * cfg[CFG_QUOTE_NUM]
    if cfg[CFG_FEE_OTHER] == 1:
        return int64(0), in_other(state, share_of(paid, rate, cfg[CFG_QUOTE_DEN] * 100_000_000))
    if cfg[CFG_QUOTE_DEN] == 1:  # division by a constant is a multiplication
        return int64(0), share_of(paid, rate, int64(100_000_000))
    return int64(0), share_of(paid, rate, cfg[CFG_QUOTE_DEN] * 100_000_000)


@inner
def in_other(state: State, fee: int) -> int:
    """Units of the third asset for a commission in quote units, truncated towards zero."""
    units = share_of(abs(fee), state.cfg[CFG_FEE_NUM], state.cfg[CFG_FEE_DEN])
    return units if fee >= 0 else -units


@inlined
def worth(state: State, lane: int, first: int, mid2: int) -> float:
    """Equity in quote currency at twice a mid: of the true state (``first`` = 0) or the known one (L_KNOWN)."""
    cfg = state.cfg
    row = state.lane[lane]
    if cfg[CFG_FULL_WORTH] == 1:
        return full_worth(state, lane, first, mid2)
    lots, cash = row[uint64(first)], row[uint64(first + 1)]
    base = row[L_BASE_START] + lots * cfg[CFG_LOT_UNITS] - row[uint64(first + 2)]
    quote_start = row[L_QUOTE_START] - row[uint64(first + 3)]
    quote = np.float64(quote_start)
    if cfg[CFG_QUOTE_DEN] == 1:
        quote = np.float64(quote_start + cash * cfg[CFG_QUOTE_NUM])
    else:
        quote += np.float64(cash * cfg[CFG_QUOTE_NUM]) / np.float64(cfg[CFG_QUOTE_DEN])
    return (quote + np.float64(base) * (np.float64(mid2) * (0.5 * state.cfg_f[CFG_F_TICK]))) / 1e8


@inner
def full_worth(state: State, lane: int, first: int, mid2: int) -> float:
    """The same less funding, and where fees are paid in a third asset less their value at its stated price."""
    cfg = state.cfg
    row = state.lane[lane]
    quote_start = row[L_QUOTE_START]
    if cfg[CFG_FUNDING] == 1:
        quote_start -= state.funding[lane, PAID_KNOWN if first == L_KNOWN else PAID]
    base = np.float64(row[L_BASE_START] + row[first] * cfg[CFG_LOT_UNITS])
    money = row[first + 1] * cfg[CFG_QUOTE_NUM]
    if cfg[CFG_FEE_OTHER] == 1:
        cash = np.float64(money) / np.float64(cfg[CFG_QUOTE_DEN])
        quote = np.float64(quote_start) + cash - np.float64(row[first + 3]) * state.cfg_f[CFG_F_FEE_PRICE]
    elif cfg[CFG_QUOTE_DEN] == 1:
        quote = np.float64(quote_start - row[first + 3] + money)
    else:
        quote = np.float64(quote_start - row[first + 3]) + np.float64(money) / np.float64(cfg[CFG_QUOTE_DEN])
    return (quote + base * (np.float64(mid2) * (0.5 * state.cfg_f[CFG_F_TICK]))) / 1e8


@inner
def book_fill(state: State, lane: int, side: int, price: int, qty: int, fee_base: int, fee_quote: int, ts: int) -> None:
    """Enter a fill into the true state and the sums of a lane."""
    row = state.lane[lane]
    sums = state.lane_f[lane]
    signed = qty if side == 0 else -qty
    before = row[L_POSITION]
    after = before + signed
    row[L_POSITION] = after
    row[L_CASH] -= signed * price
    row[L_FEE_BASE] += fee_base
    row[L_FEE_QUOTE] += fee_quote
    row[L_FILLS] += 1
    row[L_BUYS + side] += 1
    if abs(after) > row[L_MAX_POSITION]:
        row[L_MAX_POSITION] = abs(after)
    if before == 0:
        row[L_SINCE] = ts
    elif after == 0:
        row[L_IN_POSITION] += ts - row[L_SINCE]
    tick = state.cfg_f[CFG_F_TICK]
    value = np.float64(qty) * state.cfg_f[CFG_F_LOT] * (np.float64(price) * tick)
    fee = np.float64(fee_quote) / 1e8 + np.float64(fee_base) / 1e8 * (np.float64(price) * tick)
    if state.cfg[CFG_FEE_OTHER] == 1:
        fee = np.float64(fee_quote) / 1e8 * state.cfg_f[CFG_F_FEE_PRICE]
    sums[F_VOLUME] += value
    sums[F_FEES_VALUE] += fee
    paid = value + fee if side == 0 else fee - value
    closing = int64(0)
    if before * signed < 0:
        closing = min(abs(before), qty)
        part = np.float64(closing) / np.float64(abs(before))
        of_fill = np.float64(closing) / np.float64(qty)
        profit = -(paid * of_fill) - sums[F_COST] * part
        held = np.float64(ts - state.reg[START]) - sums[F_ENTRY] / np.float64(abs(before))
        row[L_CLOSED] += 1
        sums[F_CLOSED] += profit
        sums[F_CLOSED_SQ] += profit * profit
        sums[F_DURATION] += math.floor(held + 0.5)
        if profit > 1e-12 * value:  # an even trade is no win, whatever rounding leaves
            row[L_WINS] += 1
            sums[F_WIN] += profit
        else:
            sums[F_LOSS] += profit
        sums[F_COST] *= 1.0 - part
        sums[F_ENTRY] *= 1.0 - part
    if after == 0:
        sums[F_COST] = 0.0
        sums[F_ENTRY] = 0.0
    elif qty > closing:
        opening = np.float64(qty - closing)
        sums[F_COST] += paid * (opening / np.float64(qty))
        sums[F_ENTRY] += opening * np.float64(ts - state.reg[START])


@inlined
def know_death(state: State, slot: int) -> None:
    """A lane learns that its order is dead; the slot stays while a cancel is on its way to it."""
    row = 2 * lane_of(state, slot) + side_of(state, slot)
    alive = state.alive
    count = state.lane[row >> 1, L_ALIVE + (row & 1)]
    for i in range(count):
        few()
        if alive[row, i] == slot:
            for j in range(i, count - 1):
                few()
                alive[row, j] = alive[row, j + 1]
            state.lane[row >> 1, L_ALIVE + (row & 1)] = count - 1
            release(state, slot)
            return


@inlined
def know(state: State, lane: int, slot: int, qty: int, price: int, fee_base: int, fee_quote: int) -> None:
    """Enter a fill (``qty`` signed, 0: none) and a death (``slot``, -1: none) into what a lane knows.

    A fee without a fill is funding.
    """
    row = state.lane[lane]
    if qty != 0:
        before = row[L_KNOWN]
        row[L_KNOWN] = before + qty
        row[L_KNOWN + 1] -= qty * price
        row[L_KNOWN + 2] += fee_base
        row[L_KNOWN + 3] += fee_quote
        sums = state.lane_f[lane]
        if before * qty >= 0:
            sums[F_KNOWN_VALUE] += np.float64(abs(qty)) * np.float64(price)
        elif abs(qty) < abs(before):
            sums[F_KNOWN_VALUE] -= sums[F_KNOWN_VALUE] * np.float64(abs(qty)) / np.float64(abs(before))
        else:
            sums[F_KNOWN_VALUE] = np.float64(abs(qty) - abs(before)) * np.float64(price)
    elif fee_quote != 0:
        state.funding[lane, PAID_KNOWN] += fee_quote
    if slot >= 0:
        know_death(state, slot)


@inner
def catch_up_knowledge(state: State, lane: int, now: int) -> None:
    """Let a lane know everything that is known at a time."""
    known = state.known
    each = state.lane[lane, L_KNOWN_FIRST]
    while each >= 0 and known[each, K_TIME] <= now:
        slot = known[each, K_SLOT]
        if slot >= 0 and (state.order[slot, O_NUMBER] != known[each, K_NUMBER] or state_of(state, slot) != DEAD):
            slot = int64(-1)  # its cancel came meanwhile and freed the slot
        know(
            state,
            lane,
            slot,
            known[each, K_QTY],
            known[each, K_PRICE],
            known[each, K_FEE_BASE],
            known[each, K_FEE_QUOTE],
        )
        after = known[each, K_NEXT]
        known[each, K_NEXT] = state.reg[KNOWN_FREE] - each - 1
        state.reg[KNOWN_FREE] = each
        state.reg[KNOWN_ROOM] += 1
        each = after
    state.lane[lane, L_KNOWN_FIRST] = each


@inner
def tell(state: State, lane: int, time: int, slot: int, qty: int, price: int, fee_base: int, fee_quote: int) -> None:
    """Let a lane know of a fill (signed ``qty``, 0: none), a death (``slot``, -1: none) or funding at a time."""
    if state.cfg[CFG_STRATEGY] < 0:
        if slot >= 0:
            release(state, slot)
        return
    known = state.known
    fresh = state.reg[KNOWN_FREE]
    free = fresh + 1 + known[fresh, K_NEXT]
    state.reg[KNOWN_FREE] = free
    fetch(known, free, 0)  # the next one is soon wanted, and few remember where it lies
    state.reg[KNOWN_ROOM] -= 1
    known[fresh, K_TIME] = time
    known[fresh, K_SLOT] = slot
    known[fresh, K_NUMBER] = state.order[slot, O_NUMBER] if slot >= 0 else int64(-1)
    known[fresh, K_QTY] = qty
    known[fresh, K_PRICE] = price
    known[fresh, K_FEE_BASE] = fee_base
    known[fresh, K_FEE_QUOTE] = fee_quote
    before = int64(-1)
    each = state.lane[lane, L_KNOWN_FIRST]
    while each >= 0 and known[each, K_TIME] <= time:
        before = each
        each = known[each, K_NEXT]
    known[fresh, K_NEXT] = each
    if before >= 0:
        known[before, K_NEXT] = fresh
    else:
        state.lane[lane, L_KNOWN_FIRST] = fresh
