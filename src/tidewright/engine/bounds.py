"""Filters relative to a reference price: bounds of limit prices, and of what market orders are worth.

The reference price is the volume-weighted average price of the last minutes, the last price, or a future's last mark
price. It is a matter of the tape alone, and few instants ask for it. So prints are noted when rows come in, outside the
kernels, and nothing that reads rows knows of it; whoever sends an order at an instant finds the bounds by two searches
among sums, once for all orders that arrive then. Tapes whose instrument states no such filter note nothing.
"""

from fractions import Fraction
from typing import Final

import numpy as np
from numba import int64

from tidewright.engine import layout as at
from tidewright.engine.layout import (
    BOUNDS_AT,
    CFG_LOT_DEN,
    CFG_LOT_NUM,
    CFG_REFERENCE_NS,
    CFG_SHARES,
    CFG_TICK_DEN,
    CFG_TICK_NUM,
    CFG_WORTH_MAX,
    CFG_WORTH_MIN,
    LEAST_AT_MARKET,
    LEAST_PRICE,
    MOST_AT_MARKET,
    MOST_PRICE,
    NEVER,
    PRICED,
    PRICED_CASH,
    PRICED_LOTS,
    PRICED_PRICE,
    PRICED_TS,
    State,
)
from tidewright.market.clock import MINUTE
from tidewright.market.codes import MARK, TRADE_BUY, TRADE_UNKNOWN, UNIT
from tidewright.market.errors import UsageError
from tidewright.market.inner import inner
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns

ROOM: Final = 256  # entries that the pool begins with

# -- in kernels -------------------------------------------------------------------------------------------------------


@inner
def find_bounds(state: State, now: int) -> None:
    """Set the registers of the bounds that hold for orders which arrive at an instant."""
    reg, cfg = state.reg, state.cfg
    reg[BOUNDS_AT] = now
    reference = reference_price(state, now)
    reg[LEAST_AT_MARKET], reg[MOST_AT_MARKET] = 0, NEVER
    for side in range(2):
        reg[LEAST_PRICE + side], reg[MOST_PRICE + side] = 0, NEVER
    if reference == 0:  # nobody knows one yet
        return
    for side in range(2):
        low, high = CFG_SHARES + 4 * side, CFG_SHARES + 4 * side + 2
        whole, rest = divided(reference, cfg[low], cfg[low + 1])
        reg[LEAST_PRICE + side] = whole + int64(rest > 0)
        reg[MOST_PRICE + side] = divided(reference, cfg[high], cfg[high + 1])[0]
    a_lot = reference * cfg[CFG_LOT_NUM]
    if cfg[CFG_WORTH_MIN] > 0:
        whole, rest = divided(cfg[CFG_WORTH_MIN], cfg[CFG_LOT_DEN], a_lot)
        reg[LEAST_AT_MARKET] = whole + int64(rest > 0)
    if cfg[CFG_WORTH_MAX] > 0:
        reg[MOST_AT_MARKET] = divided(cfg[CFG_WORTH_MAX], cfg[CFG_LOT_DEN], a_lot)[0]


@inner
def reference_price(state: State, now: int) -> int:
    """The reference price at an instant in 1e-8 quote units, rounded down; 0: there is none yet."""
    priced = state.priced
    length = state.cfg[CFG_REFERENCE_NS]
    last = entries_before(state, now + 1) - 1
    if last < 0:
        return int64(0)
    cash, lots = priced[last, PRICED_PRICE], int64(1)
    if length > 0:
        first = entries_before(state, now - length) - 1
        traded = priced[last, PRICED_LOTS] - priced[first, PRICED_LOTS]
        if traded > 0:  # else the last price, however old
            cash, lots = priced[last, PRICED_CASH] - priced[first, PRICED_CASH], traded
    return divided(cash, state.cfg[CFG_TICK_NUM], lots * state.cfg[CFG_TICK_DEN])[0]


@inner
def entries_before(state: State, ts: int) -> int:
    """How many entries of the pool are older than a time."""
    low, high = int64(0), state.reg[PRICED]
    while low < high:
        middle = (low + high) // 2
        if state.priced[middle, PRICED_TS] < ts:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def divided(amount: int, times: int, by: int) -> tuple[int, int]:
    """``amount * times`` divided by ``by``, and the rest, for numbers >= 0 (by > 0) whose product may need 128 bits."""
    whole = amount // by * times
    part = amount % by
    digits = int64(0)
    rest = int64(0)
    bit = int64(1)
    while bit <= times >> 1:
        bit <<= 1
    while bit > 0:  # digit by digit, as on paper
        digits, rest = 2 * digits, 2 * rest
        if rest >= by:
            digits, rest = digits + 1, rest - by
        if times & bit != 0:
            rest += part
            if rest >= by:
                digits, rest = digits + 1, rest - by
        bit >>= 1
    return whole + digits, rest


# -- outside ----------------------------------------------------------------------------------------------------------


def reference_values(instrument: Instrument) -> dict[int, int]:
    """Rules of the filters that are relative to a reference price, by their places in the vector of rules.

    Raises
    ------
    UsageError
        If a multiplier is no decimal >= 0, or numbers are beyond 64 bits.
    """
    filters, tick = instrument.filters, instrument.tick * UNIT
    values = {at.CFG_TICK_NUM: tick.numerator, at.CFG_TICK_DEN: tick.denominator}
    lot = Fraction(instrument.lot_units, UNIT)
    values |= {at.CFG_LOT_NUM: lot.numerator, at.CFG_LOT_DEN: lot.denominator}
    if filters.reference_minutes is None:
        return values
    bids = filters.bid_multiplier_down, filters.bid_multiplier_up
    asks = filters.ask_multiplier_down, filters.ask_multiplier_up
    for place, text in enumerate((*bids, *asks)):
        share = _share(text) / tick
        values[at.CFG_SHARES + 2 * place] = share.numerator
        values[at.CFG_SHARES + 2 * place + 1] = share.denominator
    values[at.CFG_WORTH_MIN] = filters.min_notional if filters.min_notional_to_market else 0
    values[at.CFG_WORTH_MAX] = filters.max_notional if filters.max_notional_to_market else 0
    values[at.CFG_REFERENCE] = at.REFERENCE_PRINTS if instrument.kind == "spot" else at.REFERENCE_MARKS
    values[at.CFG_REFERENCE_NS] = filters.reference_minutes * MINUTE
    if max(values.values()) >= 2**62:
        raise UsageError(f"the filters of {instrument.symbol} have too many digits: {filters}")
    return values


def _share(text: str) -> Fraction:
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if share < 0:
        raise UsageError(f"a multiplier of a price filter must be a number >= 0, was {text!r}")
    return share


def remember(state: State, data: Columns, first: int) -> State:
    """Note the prices in some rows that the reference price is made of, if anything is relative to one.

    Parameters
    ----------
    data
        Whole packets.
    first
        The row that is read next.
    """
    what = state.cfg[at.CFG_REFERENCE]
    if what == at.REFERENCE_NONE:
        return state
    reg = state.reg
    before = int(reg[at.ROWS]) - first  # of the run, before these
    new = max(0, int(reg[at.PRICED_ROWS]) - before)
    reg[at.PRICED_ROWS] = max(int(reg[at.PRICED_ROWS]), before + len(data.ts))
    kind = data.kind[new:]
    prints = what == at.REFERENCE_PRINTS
    rows = new + np.flatnonzero((kind >= TRADE_BUY) & (kind <= TRADE_UNKNOWN) if prints else kind == MARK)
    if len(rows) == 0:
        return state
    state = _room_for(state, len(rows))
    start = int(reg[at.PRICED])
    entries = state.priced[start : start + len(rows)]
    price = data.price[rows]
    lots = data.qty[rows] if prints else np.ones(len(rows), np.int64)
    entries[:, at.PRICED_TS], entries[:, at.PRICED_PRICE] = data.ts[rows], price
    for column, amounts in ((at.PRICED_LOTS, lots), (at.PRICED_CASH, price * lots)):
        entries[:, column] = np.cumsum(amounts) + state.priced[start - 1, column]
    reg[at.PRICED] += len(rows)
    return state


def _room_for(state: State, count: int) -> State:
    """A pool with room for so many entries more: old ones are dropped, and if that is not enough it grows."""
    reg, priced = state.reg, state.priced
    held = int(reg[at.PRICED])
    if held == 0:
        priced = np.zeros((1, at.PRICED_FIELDS), np.int64)  # older than all: the sums begin, and there is no price
        priced[0, at.PRICED_TS] = -at.NEVER
        held = 1
    elif held + count > len(priced):
        oldest = int(reg[at.LAST_TS]) - int(state.cfg[at.CFG_REFERENCE_NS])
        older = int(np.searchsorted(priced[:held, at.PRICED_TS], oldest))
        dropped = max(0, older - 1)  # but the newest of the old: sums are counted from it
        held -= dropped
        priced = priced[dropped : dropped + held]
    reg[at.PRICED] = held
    if len(priced) >= held + count:
        return state
    longer = np.zeros((max(ROOM, 2 * held + count), at.PRICED_FIELDS), np.int64)
    longer[:held] = priced[:held]
    return state._replace(priced=longer)
