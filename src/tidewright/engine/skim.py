"""Reading on over rows that leave the book whole and fill nobody: most rows of a tape are such.

A block of rows is surveyed first, by loops that the compiler turns into vector instructions: kinds, flags and times.
Then the levels go into the book in a loop that asks nothing but what depends on the book. Whatever is odd is left to
:func:`tidewright.engine.kernel.run`, row by row.
"""

from typing import Final

from numba import int64, uint64

from tidewright.engine.book import tell_level
from tidewright.engine.layout import (
    BEFORE,
    CFG_FEED,
    CFG_IMPACT,
    CFG_PARITY,
    CFG_TOUCH_ONLY,
    DUE,
    FIRST_TS,
    IMPACT_MEASURED,
    IN_GAP,
    IN_PACKET,
    LAST_TRADE,
    LAST_TS,
    LOST,
    MARKET_STATE,
    MID2,
    NEVER,
    NEXT_CAPTURE,
    NOW,
    OWN,
    PACKET,
    PACKET_ROW,
    PACKET_TS,
    RECEIPT,
    STATE_WHOLE,
    STOP_COUNT,
    TOUCHING,
    State,
)
from tidewright.engine.reference import state_at
from tidewright.market.codes import ASK, BEST_BID, PACKET_END, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.inner import inlined, inner
from tidewright.market.ladder import BEST, LOW, STRANGE, WIDTH, WORST, Ladder, next_level
from tidewright.market.tape import I64, U8

BLOCK: Final = 64  # rows surveyed at once
SMALLER: Final = 8  # how much smaller a block is tried where a larger one holds something odd
PLAIN: Final = 0b0001111  # kinds by bit: levels and prints of known side
PLAIN_WITH_BEST: Final = 0b1101111  # the same with best-bid/ask rows


@inlined
def is_quiet(state: State) -> bool:
    """Whether the book is as :func:`skim` needs it: whole, in place, between packets or in one's rows."""
    reg = state.reg
    return (
        reg[MARKET_STATE] == STATE_WHOLE
        and state.cfg[CFG_TOUCH_ONLY] == 0
        and state.cfg[CFG_IMPACT] != IMPACT_MEASURED
        and reg[STOP_COUNT] == 0
        and reg[IN_GAP] == 0
        and reg[IN_PACKET] <= 1
        and reg[FIRST_TS] != NEVER
        and reg[LOST] == 0
        and reg[LOST + 1] == 0
    )


@inner
def skim(address: int, ts: I64, ts_local: I64, kind: U8, flags: U8, price: I64, qty: I64, start: int) -> int:
    """Read on from a row; the row that the caller must look at.

    That is the row itself, with the packet before it or its own packet open, or a packet's last row of which only the
    end is left to do, as the register IN_PACKET says.
    """
    state = state_at(address)
    reg = state.reg
    rows = len(ts)
    opened = reg[IN_PACKET] == 1
    earliest = reg[PACKET_TS] if opened else max(reg[LAST_TS], reg[NOW] + 1)
    if not opened:
        reg[BEFORE], reg[BEFORE + 1] = reg[BEST], reg[BEST + 1]
    packets = reg[PACKET]
    changed = start
    block = int64(BLOCK)
    i = start
    while i < rows:
        stop = plain_until(state, kind, flags, i, min(i + block, rows))
        fits, receipt = survey(state, ts, ts_local, flags, i, stop, earliest, opened)
        if not fits:
            if block == 1 or stop == i:
                break
            block //= SMALLER
            continue
        reached, changed = apply_levels(address, kind, flags, price, qty, i, stop, changed)
        if reached == i:
            break
        if reached < stop:
            fits, receipt = survey(state, ts, ts_local, flags, i, reached, earliest, opened)
        reg[RECEIPT] = receipt
        reg[PACKET] += count_ends(flags, i, reached) - int64(opened)
        i = reached
        opened = not ends_at(flags, i - 1)
        reg[PACKET] += int64(opened)
        earliest = ts[uint64(i - 1)]
        if reached < stop or (not opened and not may_go_on(state)):
            break
    if i == start:
        return i
    reg[PACKET_TS] = reg[LAST_TS] = earliest
    return close(state, flags, start, i, opened, changed, reg[PACKET] != packets)


@inlined
def close(state: State, flags: U8, start: int, stop: int, opened: bool, changed: int, fresh: bool) -> int:
    """Leave the registers of packets as if rows had been read one by one; the row to go on with.

    Parameters
    ----------
    start, stop
        The rows read.
    opened
        Whether the last of them leaves its packet open.
    changed
        Row at which a best price changed last; BEFORE is of its packet.
    fresh
        Whether the last packet began in these rows.
    """
    reg = state.reg
    bid, ask = reg[BEST], reg[BEST + 1]
    first = stop - 1  # of the last packet
    while first > start and not ends_at(flags, first - 1):
        first -= 1
    if fresh:
        reg[PACKET_ROW] = first
    if first > changed:
        reg[BEFORE], reg[BEFORE + 1] = bid, ask
    high = 2 * reg[LOW] + reg[WIDTH] - 1
    if fresh:  # the packet before it ended whole
        reg[MID2] = high + reg[BEFORE] - reg[BEFORE + 1]
    reg[IN_PACKET] = int64(opened)
    if opened:
        return stop
    if may_go_on(state):
        reg[MID2] = high + bid - ask
        return stop
    if is_uncrossed(state) and reg[TOUCHING] == 0:
        reg[MID2] = high + bid - ask
        reg[IN_PACKET] = 3
    else:
        reg[IN_PACKET] = 2
    return stop - 1


@inlined
def ends_at(flags: U8, row: int) -> bool:
    """Whether a row ends its packet."""
    return flags[uint64(row)] & PACKET_END != 0


@inlined
def is_uncrossed(state: State) -> bool:
    """Whether both sides of the book are there, and apart."""
    reg = state.reg
    return reg[BEST] >= 0 and reg[BEST + 1] >= 0 and reg[BEST] + reg[BEST + 1] < reg[WIDTH] - 1


@inlined
def may_go_on(state: State) -> bool:
    """Whether a packet may end with the book as it is and ask for nothing: no touches, and no move of the window."""
    reg = state.reg
    quarter = reg[WIDTH] // 4
    middle = reg[BEST] + reg[WIDTH] - 1 - reg[BEST + 1]  # twice the mid's distance from the window's low end
    return reg[TOUCHING] == 0 and is_uncrossed(state) and 2 * quarter <= middle < 6 * quarter


@inner
def plain_until(state: State, kind: U8, flags: U8, first: int, stop: int) -> int:
    """First row of a block that is not a level or print of known side, or is part of a snapshot; its end: none is.

    A best-bid/ask row that says nothing about other levels is a level like any other; whether it does depends on the
    best price at that moment.
    """
    plain = uint64(PLAIN_WITH_BEST if state.reg[STRANGE] == 0 else PLAIN)
    odd = uint64(0)
    for i in range(uint64(first), uint64(stop)):
        odd |= (flags[i] & uint64(SNAPSHOT)) | ((plain >> uint64(kind[i])) & uint64(1)) ^ uint64(1)
    if odd == 0:
        return stop
    row = uint64(first)
    while flags[row] & SNAPSHOT == 0 and (plain >> uint64(kind[row])) & uint64(1) == 1:
        row += uint64(1)
    return int64(row)


@inlined
def count_ends(flags: U8, first: int, stop: int) -> int:
    """How many packets end in some rows."""
    count = int64(0)
    for i in range(uint64(first), uint64(stop)):
        count += int64(flags[i] & uint64(PACKET_END))
    return count


@inner
def survey(
    state: State, ts: I64, ts_local: I64, flags: U8, first: int, stop: int, earliest: int, opened: bool
) -> tuple[bool, int]:
    """Whether times rise as they must and nothing is due before the rows' packets; and the receipt of the last one.

    Parameters
    ----------
    earliest
        Least time the first row may have; ``opened``: the time of its packet, which it must have.
    """
    feed = state.cfg[CFG_FEED]
    latest = state.reg[RECEIPT]
    if first == stop:
        return False, latest
    wrong = int64(0)
    row = uint64(first)
    now = ts[row]
    if opened:
        wrong = now ^ earliest
    else:
        wrong = min(now - earliest, int64(0))
        latest = max(latest, max(now, ts_local[row] if ts_local[row] > 0 else now + feed))
    for i in range(row + uint64(1), uint64(stop)):
        now = ts[i]
        fresh = int64(flags[i - uint64(1)] & uint64(PACKET_END))
        step = now - ts[i - uint64(1)]
        wrong |= min(step, int64(0)) | (step & (fresh - 1))
        known = max(now, ts_local[i] if ts_local[i] > 0 else now + feed)
        latest = max(latest, known if fresh == 1 else now)
    return wrong == 0 and now <= state.reg[DUE] and latest <= state.reg[NEXT_CAPTURE], latest


@inner
def apply_levels(
    address: int, kind: U8, flags: U8, price: I64, qty: I64, start: int, stop: int, changed: int
) -> tuple[int, int]:
    """Put plain rows into the book up to the first that the caller must look at, or the end of a packet that it must.

    Which side a level is of is arithmetic, not a jump: that no processor could foresee. What lies at or beyond the
    other side's own orders, a print that reaches orders, and a best price with better levels before it end the loop.

    Returns
    -------
    tuple[int, int]
        The first row not applied, and the row at which a best price changed last; BEFORE is of that row's packet.
    """
    state = state_at(address)
    reg = state.reg
    book = state.qty
    mark = state.mark
    low, width = reg[LOW], reg[WIDTH]
    last = width - 1
    parity = state.cfg[CFG_PARITY] == 1
    bids, asks = barriers(state, parity)
    i = start
    if not may_go_on(state):
        stop = after_packet(flags, i, stop)
    while i < stop:
        row = uint64(i)
        side = int64(kind[row])
        offset = price[row] - low
        if side > ASK:
            if side < BEST_BID:
                reach = last - offset if side == TRADE_BUY else offset
                if reg[OWN + TRADE_SELL - side] >= reach:
                    break
                reg[LAST_TRADE] = price[row]
                i += 1
                continue
            side -= BEST_BID
            if offset ^ (-side & last) < reg[BEST + side]:
                break
        index = offset ^ (-side & last)
        if index + (asks if side == 0 else bids) >= last:
            break
        if index < reg[WORST + side]:
            if index < 0:
                break
            if qty[row] > 0:
                reg[WORST + side] = index
        position = index + (-side & width)
        lots = qty[row]
        if mark[position] != 0:
            tell_level(state, position, book[position], lots)
        book[position] = lots
        if index + int64(lots <= 0) > reg[BEST + side]:
            if any_end(flags, changed, i):
                reg[BEFORE], reg[BEFORE + 1] = reg[BEST], reg[BEST + 1]
            changed = i
            if lots > 0:
                reg[BEST + side] = index
            elif index == reg[BEST + side]:
                reg[BEST + side] = next_level(Ladder(book, reg), side, index - 1)
            if parity:
                bids, asks = barriers(state, parity)
            if not may_go_on(state):
                stop = after_packet(flags, i, stop)
        i += 1
    return i, changed


@inlined
def barriers(state: State, parity: bool) -> tuple[int, int]:
    """Index on each side that no row of the other may reach: the best own order's; in parity also the best level's."""
    reg = state.reg
    bids, asks = reg[OWN], reg[OWN + 1]
    if parity:  # a crossing level passes over what it crosses at once
        bids, asks = max(bids, reg[BEST]), max(asks, reg[BEST + 1])
    return bids, asks


@inlined
def any_end(flags: U8, first: int, stop: int) -> bool:
    """Whether a packet ends in some rows; the newest are looked at first."""
    i = stop - 1
    while i >= first:
        if ends_at(flags, i):
            return True
        i -= 1
    return False


@inlined
def after_packet(flags: U8, row: int, stop: int) -> int:
    """The row after a row's packet, or the end of the block."""
    while row < stop - 1 and not ends_at(flags, row):
        row += 1
    return min(row + 1, stop)
