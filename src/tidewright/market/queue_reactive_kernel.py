"""The compiled simulation behind :mod:`tidewright.market.queue_reactive`, where the model is described."""

import math
from typing import Any, Final

from numba import njit

from tidewright.market.calibration import CONTEXTS, GROUP_OF, OFF_BOOK, QUEUE_BINS
from tidewright.market.calibration_flow import ADD, CLEAR, CUT, DROP, IMPROVE, JOIN, KINDS, NEW, RANKS, TAKE, TRIM
from tidewright.market.codes import ASK, BID, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.hawkes import GROUPS
from tidewright.market.queue_reactive_feed import (
    C_COUNT,
    C_DIRTY,
    C_MOVE,
    C_REGIME,
    C_REGIMES,
    C_SHOWN,
    C_STARTED,
    FLAGS,
    P_BATCH,
    P_GRID,
    P_LEAST_SPREAD,
    P_LEVELS,
    P_MEMORY,
    P_OFF_BOOK,
    P_REACH,
    P_SLOW_SD,
    P_TICKERS,
    P_TILT,
    P_TILT_TIME,
    S_DRIFT,
    S_EVENTS,
    S_FLUSH,
    S_REGIME_END,
    S_SLOW_MID,
    S_STEPS,
    S_TILT,
    S_TIME,
    STEP_ROWS,
    Market,
    State,
    draw,
    receipt,
    row,
    show,
    ticker,
)
from tidewright.market.synthetic_random import normal, uniform
from tidewright.market.tape import I64

_ENTRY: Final[dict[str, Any]] = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_INNER: Final[dict[str, Any]] = {**_ENTRY, "no_cpython_wrapper": True}
_MOST_EXCITED: Final = 15.0  # largest factor A: states and excitation can drive each other
_TAKE_SHARE: Final = 0.4  # how much of the pressure moves market orders: their signs also persist by excitation
_STEPS_A_CALL: Final = 200_000
_GROUP: Final = tuple(int(g) for g in GROUP_OF)


@njit(**_INNER)
def _bin(edges: I64, value: int) -> int:
    for i in range(len(edges)):
        if value <= edges[i]:
            return i
    return len(edges)


@njit(**_INNER)
def _remove(s: State, side: int, at: int) -> None:
    last = s.counters[C_COUNT + side] - 1
    for i in range(at, last):
        s.prices[side, i] = s.prices[side, i + 1]
        s.qtys[side, i] = s.qtys[side, i + 1]
    s.counters[C_COUNT + side] = last
    s.counters[C_DIRTY] = 1


@njit(**_INNER)
def _insert(s: State, side: int, price: int, qty: int) -> None:
    """Put a level in; the worst one is forgotten when the side is full."""
    sign = 1 if side == 0 else -1
    count, at = s.counters[C_COUNT + side], 0
    while at < count and (s.prices[side, at] - price) * sign > 0:
        at += 1
    s.counters[C_DIRTY] = 1
    if at < count and s.prices[side, at] == price:
        s.qtys[side, at] += qty
        return
    if at >= RANKS:
        return
    for i in range(min(count, RANKS - 1), at, -1):
        s.prices[side, i] = s.prices[side, i - 1]
        s.qtys[side, i] = s.qtys[side, i - 1]
    s.prices[side, at] = price
    s.qtys[side, at] = qty
    s.counters[C_COUNT + side] = min(count + 1, RANKS)


@njit(**_INNER)
def _empty_best(m: Market, s: State, side: int) -> None:
    """Take the best level away; if the next one is out of the tape's reach, somebody steps in before it."""
    sign = 1 if side == 0 else -1
    reach = int(m.settings[P_REACH])
    best = s.prices[side, 0]
    if (best - s.prices[side, 1]) * sign > reach and best - sign * reach > 0:
        _insert(s, side, best - sign * reach, max(1, int(draw(m.quantiles[1], s.random))))
    _remove(s, side, 0)


@njit(**_INNER)
def _absent(s: State, side: int, price: int) -> bool:
    for i in range(s.counters[C_COUNT + side]):
        if s.prices[side, i] == price:
            return False
    return True


@njit(**_INNER)
def _refill(m: Market, s: State, side: int) -> None:
    """Bring levels into sight at the far end: the tape's book reaches deeper than the levels that are modelled."""
    sign = 1 if side == 0 else -1
    grid = int(m.settings[P_GRID])
    while s.counters[C_COUNT + side] < 0.8 * m.settings[P_LEVELS]:
        gap = max(grid, int(draw(m.quantiles[0], s.random)))
        price = s.prices[side, s.counters[C_COUNT + side] - 1] - sign * gap
        if price <= 0:
            return
        _insert(s, side, price, max(1, int(draw(m.quantiles[1], s.random))))


@njit(**_INNER)
def _depth_context(rank: int) -> int:
    return min(CONTEXTS - 1, int(math.log2(max(1, rank))))


@njit(**_INNER)
def _states(m: Market, s: State) -> None:
    """Intensities of both sides in the book as it is, with pressure and regime, without excitation."""
    spread = s.prices[1, 0] - s.prices[0, 0]
    at = _bin(m.edges[0], spread)
    queue0, queue1 = _bin(m.edges[1], s.qtys[0, 0]), _bin(m.edges[1], s.qtys[1, 0])
    regime, drift = s.counters[C_REGIME], s.scalars[S_DRIFT]
    tilt = max(-3.0, min(3.0, s.scalars[S_TILT] + drift))
    for side in range(2):
        own, other = (queue0, queue1) if side == 0 else (queue1, queue0)
        move = s.counters[C_MOVE] if side == 0 else -s.counters[C_MOVE]
        state = ((at * QUEUE_BINS + own) * QUEUE_BINS + other) * 2 + (1 if move > 0 else 0)
        lean = math.exp(tilt) if side == 0 else math.exp(-tilt)
        push = drift + (_TAKE_SHARE * tilt if m.settings[P_TILT] > 0.0 else 0.0)
        flow = math.exp(-push) if side == 0 else math.exp(push)
        share = s.counters[C_COUNT + side] / m.settings[P_LEVELS]
        for e in range(KINDS):
            rate = m.rates[e, state]
            if e == IMPROVE:
                rate *= lean
            elif e == CLEAR:
                rate /= lean
            elif e == TAKE:
                rate *= flow
            if e == CUT or e == DROP:
                rate *= share
            if e == IMPROVE and spread <= m.settings[P_LEAST_SPREAD]:
                rate = 0.0
            if m.regimes.shape[0] > 0:
                rate *= m.regimes[regime, e]
            s.now[side, e] = rate


@njit(**_INNER)
def _excitation(m: Market, s: State) -> None:
    """The factors ``A`` of both sides and all groups."""
    for side in range(2):
        for group in range(GROUPS):
            total = m.base[group]
            for t in range(GROUPS):
                for k in range(len(m.decays)):
                    total += m.weights[group, t, k] * s.level[side, t, k]
                    total += m.weights[group, GROUPS + t, k] * s.level[1 - side, t, k]
            s.excited[side, group] = min(_MOST_EXCITED, total / s.usual[group])


@njit(**_INNER)
def _fade(m: Market, s: State, dt: float) -> None:
    """Let time pass: the excitation decays, the pressure reverts."""
    for k in range(len(m.decays)):
        fade = math.exp(-m.decays[k] * dt)
        for side in range(2):
            for j in range(GROUPS):
                s.level[side, j, k] *= fade
    _excitation(m, s)
    # states and excitation drive each other and A would not keep its mean of 1: it is taken relative to its average
    share = min(1.0, dt / m.settings[P_MEMORY])
    for g in range(GROUPS):
        s.usual[g] *= 1.0 + (0.5 * (s.excited[0, g] + s.excited[1, g]) - 1.0) * share
    strength, ease = m.settings[P_TILT], min(1.0, dt / m.settings[P_TILT_TIME])
    mid = 0.5 * (s.prices[0, 0] + s.prices[1, 0])
    s.scalars[S_SLOW_MID] += (mid - s.scalars[S_SLOW_MID]) * ease
    if strength >= 0.0:
        s.scalars[S_TILT] += -s.scalars[S_TILT] * ease + strength * math.sqrt(2.0 * ease) * normal(s.random)
    else:
        away = (mid - s.scalars[S_SLOW_MID]) / m.settings[P_SLOW_SD]
        s.scalars[S_TILT] = strength * max(-3.0, min(3.0, away))


@njit(**_INNER)
def _take(m: Market, s: State, side: int, ts: int, out: I64, rows: int) -> int:
    """A market order that meets ``side``: its prints, a packet each."""
    random = s.random
    queue = _bin(m.edges[1], s.qtys[side, 0])
    off = uniform(random) < m.settings[P_OFF_BOOK]
    exact = not off and uniform(random) < m.exact[queue]
    total = s.qtys[side, 0] if exact else max(1, int(draw(m.tables[0, TAKE, OFF_BOOK if off else queue], random)))
    bucket = 0
    while bucket < CONTEXTS - 1 and total > m.print_edges[bucket]:
        bucket += 1
    prints = min(64, min(total, max(1, int(draw(m.prints[bucket], random)))))
    left = total
    kind = TRADE_SELL if side == 0 else TRADE_BUY
    while left > 0 and rows + 4 < out.shape[1]:
        size = left if prints <= 1 else max(1, int(left * (1.0 - uniform(random) ** (1.0 / (prints - 1)))))
        if not off:
            size = min(size, s.qtys[side, 0])
        row(out, rows, ts, receipt(m, s, ts), kind, PACKET_END, s.prices[side, 0], size)
        rows += 1
        prints -= 1
        left -= size
        if off:
            continue
        if size < s.qtys[side, 0]:
            s.qtys[side, 0] -= size
            s.counters[C_DIRTY] = 1
        elif s.counters[C_COUNT + side] > 3:
            _empty_best(m, s, side)
        else:
            return rows
    return rows


@njit(**_INNER)
def _limit(m: Market, s: State, side: int, kind: int) -> None:
    random, sign = s.random, 1 if side == 0 else -1
    count = s.counters[C_COUNT + side]
    spread = s.prices[1, 0] - s.prices[0, 0]
    if kind == IMPROVE:
        context = _bin(m.edges[0], spread)
        room = spread - int(m.settings[P_LEAST_SPREAD])
        grid = int(m.settings[P_GRID])
        wanted = draw(m.tables[1, kind, context], random) * spread
        better = max(grid, int(wanted / grid + 0.5) * grid)
        if better > room:
            better = room // grid * grid
        if 0 < better <= room:
            qty = int(draw(m.tables[0, kind, context], random))
            _insert(s, side, s.prices[side, 0] + sign * better, max(1, qty))
    elif kind == JOIN:
        s.qtys[side, 0] += max(1, int(draw(m.tables[0, kind, _bin(m.edges[1], s.qtys[side, 0])], random)))
        s.counters[C_DIRTY] = 1
    elif kind == ADD:
        rank = int(draw(m.tables[1, kind, 0], random))
        if 0 < rank < count:
            s.qtys[side, rank] += max(1, int(draw(m.tables[0, kind, _depth_context(rank)], random)))
            s.counters[C_DIRTY] = 1
    else:
        for _ in range(16):
            price = s.prices[side, 0] - sign * int(draw(m.tables[1, kind, 0], random))
            if price > 0 and _absent(s, side, price):
                rank = 0
                while rank < count and (s.prices[side, rank] - price) * sign > 0:
                    rank += 1
                _insert(s, side, price, max(1, int(draw(m.tables[0, kind, _depth_context(rank)], random))))
                return


@njit(**_INNER)
def _cancel(m: Market, s: State, side: int, kind: int) -> None:
    random, count = s.random, s.counters[C_COUNT + side]
    if kind == TRIM:
        whole = s.qtys[side, 0]
        table = m.tables[0, kind, _bin(m.edges[1], whole)]
        size = whole
        for _ in range(8):
            size = max(1, int(draw(table, random)))
            if size < whole:
                break
        if size >= whole:
            size = whole // 2
        if 0 < size < whole:
            s.qtys[side, 0] = whole - size
            s.counters[C_DIRTY] = 1
    elif kind == CLEAR:
        if count > 3:
            _empty_best(m, s, side)
    else:
        rank = int(draw(m.tables[1, kind, 0], random))
        if rank <= 0 or rank >= count:
            return
        if kind == DROP:
            if count > 3:
                _remove(s, side, rank)
            return
        whole = s.qtys[side, rank]
        size = int(whole * draw(m.tables[0, kind, _depth_context(rank)], random) + 0.5)
        if 0 < size < whole:
            s.qtys[side, rank] = whole - size
            s.counters[C_DIRTY] = 1


@njit(**_INNER)
def _change_regime(m: Market, s: State) -> None:
    """Move to the next regime; trends get a direction."""
    random, n = s.random, m.regimes.shape[0]
    pick, regime = uniform(random), 0
    while regime < n - 1 and pick > m.changes[s.counters[C_REGIME], regime]:
        pick -= m.changes[s.counters[C_REGIME], regime]
        regime += 1
    s.counters[C_REGIME] = regime
    s.scalars[S_REGIME_END] = s.scalars[S_TIME] - m.regimes[regime, KINDS] * math.log(uniform(random))
    s.scalars[S_DRIFT] = m.regimes[regime, KINDS + 1] * (1.0 if uniform(random) < 0.5 else -1.0)
    known = s.counters[C_REGIMES]
    if known < len(s.history):
        s.history[known, 0], s.history[known, 1] = s.scalars[S_TIME], regime
        s.counters[C_REGIMES] = known + 1


@njit(**_ENTRY)
def open_book(m: Market, s: State, ts: int, out: I64) -> int:
    """Write the reset and the first snapshot; returns the rows written."""
    seen = receipt(m, s, ts)
    row(out, 0, ts, seen, RESET, 0, 0, 0)
    rows = 1
    for side in range(2):
        for i in range(s.counters[C_COUNT + side]):
            price, qty = s.prices[side, i], s.qtys[side, i]
            row(out, rows, ts, seen, BID if side == 0 else ASK, SNAPSHOT, price, qty)
            s.shown[side, i], s.shown[2 + side, i] = price, qty
            rows += 1
        s.counters[C_SHOWN + side] = s.counters[C_COUNT + side]
    out[FLAGS, rows - 1] |= PACKET_END
    s.scalars[S_SLOW_MID] = 0.5 * (s.prices[0, 0] + s.prices[1, 0])
    s.scalars[S_FLUSH] = m.settings[P_BATCH] / 1e9
    s.counters[C_STARTED] = 1
    if m.regimes.shape[0] > 0:
        s.counters[C_REGIME] = int(uniform(s.random) * m.regimes.shape[0])
        _change_regime(m, s)
    return rows


@njit(**_ENTRY)
def run(m: Market, s: State, start_ns: int, seconds: float, out: I64) -> int:
    """Write events until ``out`` (int64[6, n]) is nearly full, ``seconds`` of market time are over, or for a number
    of steps.

    Times of events are drawn by thinning (Ogata 1981): between events every intensity only falls, so the sum now
    bounds it.

    Returns the rows written, which may be 0.
    """
    rows, random, batch = 0, s.random, m.settings[P_BATCH] / 1e9
    _states(m, s)
    _excitation(m, s)
    last_step = s.scalars[S_STEPS] + _STEPS_A_CALL
    while rows + STEP_ROWS <= out.shape[1] and s.scalars[S_TIME] < seconds and s.scalars[S_STEPS] < last_step:
        bound = 0.0
        for side in range(2):
            for e in range(KINDS):
                bound += s.now[side, e] * s.excited[side, _GROUP[e]]
        dt = 1.0 if bound <= 0.0 else min(1.0, -math.log(uniform(random)) / bound)
        whole = dt < 1.0
        if m.regimes.shape[0] > 0 and s.scalars[S_TIME] >= s.scalars[S_REGIME_END]:
            _change_regime(m, s)
        if batch > 0.0 and s.scalars[S_TIME] + dt >= s.scalars[S_FLUSH]:
            # the levels' message is due before: send it, and start again from there (the process has no memory)
            dt, whole = max(0.0, s.scalars[S_FLUSH] - s.scalars[S_TIME]), False
            s.scalars[S_TIME] = s.scalars[S_FLUSH]
            s.scalars[S_FLUSH] += max(0.001, draw(m.quantiles[2], random) / 1e9)
            if s.scalars[S_TIME] < seconds and s.counters[C_DIRTY]:
                rows = show(m, s, start_ns + int(s.scalars[S_TIME] * 1e3 + 1e-6) * 1_000_000, out, rows)
        else:
            s.scalars[S_TIME] += dt
        s.scalars[S_STEPS] += 1.0
        _fade(m, s, dt)
        _states(m, s)
        if not whole or s.scalars[S_TIME] >= seconds:
            continue
        pick = uniform(random) * bound
        chosen = -1
        for at in range(2 * KINDS):
            pick -= s.now[at // KINDS, at % KINDS] * s.excited[at // KINDS, _GROUP[at % KINDS]]
            if pick < 0.0:
                chosen = at
                break
        if chosen >= 0:
            rows = _happen(m, s, chosen // KINDS, chosen % KINDS, start_ns, out, rows)
            _states(m, s)
            _excitation(m, s)
    return rows


@njit(**_INNER)
def _happen(m: Market, s: State, side: int, kind: int, start_ns: int, out: I64, rows: int) -> int:
    """One order arrives."""
    s.scalars[S_EVENTS] += 1.0
    ts = start_ns + int(s.scalars[S_TIME] * 1e3) * 1_000_000
    before = s.prices[0, 0] + s.prices[1, 0]
    if kind == TAKE:
        rows = _take(m, s, side, ts, out, rows)
    elif kind == IMPROVE or kind == JOIN or kind == ADD or kind == NEW:
        _limit(m, s, side, kind)
    else:
        _cancel(m, s, side, kind)
    _refill(m, s, side)
    after = s.prices[0, 0] + s.prices[1, 0]
    if after != before:
        s.counters[C_MOVE] = 1 if after > before else -1
    # a regime's own frequency is no excitation: its orders count in proportion
    weight = 1.0 / m.regimes[s.counters[C_REGIME], kind] if m.regimes.shape[0] > 0 else 1.0
    for k in range(len(m.decays)):
        s.level[side, _GROUP[kind], k] += weight * m.decays[k] / m.means[_GROUP[kind]]
    if m.settings[P_BATCH] <= 0.0:
        if s.counters[C_DIRTY]:
            rows = show(m, s, ts, out, rows)
    elif m.settings[P_TICKERS] > 0.0:
        rows = ticker(m, s, ts, out, rows)
    return rows
