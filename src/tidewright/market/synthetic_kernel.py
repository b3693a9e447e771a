"""The compiled generator behind :mod:`tidewright.market.synthetic`, where the model is described."""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from tidewright.market.codes import ASK, BID, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.synthetic_random import normal, uniform
from tidewright.market.tape import I64

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

LEVELS: Final = 150  # most levels known a side
START_LEVELS: Final = 100
EVENT_ROWS: Final = 512  # more rows than one event can write: what a chunk must have free

# Regimes: calm, trending, volatile, illiquid. Prices in ticks of 0.01, quantities in lots of 0.00001, times in seconds.
_DAY_SIGMA: Final = (0.010, 0.013, 0.032, 0.013)  # volatility of the efficient price over a day
_HALF_SPREAD: Final = (120.0, 160.0, 320.0, 520.0)
_DEPTH: Final = (1.0, 0.8, 0.5, 0.25)
_ACTIVITY: Final = (0.85, 1.1, 1.9, 0.5)
_DWELL: Final = (2400.0, 1800.0, 900.0, 1200.0)
_WEIGHT: Final = (0.3, 0.3, 0.2, 0.2)
_TREND: Final = 0.008 / 3600.0  # drift while trending, of the price, a second

_VOL_TIME: Final = 1500.0
_VOL_SD: Final = 0.4
_PRESSURE_TIME: Final = 150.0
_PRESSURE_SHARE: Final = 1.0
_SPREAD_TIME: Final = 20.0
_SPREAD_SD: Final = 0.45
_HOME_TIME: Final = 200_000.0
_JUMPS: Final = 8.0 / 86_400.0
_SQUEEZES: Final = 160.0 / 86_400.0
_SQUEEZE: Final = 0.0017
_TRADE: Final = 0.24
_INFORMED: Final = 0.3
_PERMANENT: Final = 800.0  # ticks for one coin, square root law
_TRANSIENT: Final = 600.0
_LOTS: Final = 100_000.0  # lots in one coin

# Inner functions are never called from Python: leaving out their wrappers saves much of the compilation.
_ENTRY: Final = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}
_INNER: Final = {**_ENTRY, "no_cpython_wrapper": True}

# Slots of Market.scalars.
TIME, EFFICIENT, PRESSURE, LOG_VOL, SPREAD, FLOW, REGIME, REGIME_END, DRIFT, HOME, REGIME_COUNT = range(11)


# Slots of Market.counters, after the numbers of bid (0) and ask (1) levels.
PACKET_ROWS: Final = 2
LAST_RECEIPT: Final = 3

# Rows of the output: the columns of a tape, in its order.
TS, TS_LOCAL, KIND, FLAGS, PRICE, QTY = range(6)


class Market(NamedTuple):
    """State of the generator between two chunks; the arrays are changed in place.

    Few arrays, because every one costs compilation time in every function it is passed to.

    Attributes
    ----------
    scalars
        float64, by the slots named above.
    random
        uint64[1], state of the random numbers.
    prices, quantities
        int64[2, LEVELS], levels of bids (0) and asks (1), best first.
    counters
        int64[4], levels in use on either side, rows of the depth packet under construction, last receipt (ns).
    packet
        int64[3, EVENT_ROWS], kind, price and quantity of that packet's rows.
    regimes
        float64[n, 2], start (seconds) and number of each regime so far, as many as REGIME_COUNT says.
    """

    scalars: F64
    random: U64
    prices: I64
    quantities: I64
    counters: I64
    packet: I64
    regimes: F64


def new_market(seed: int, price_ticks: int) -> Market:
    """A market that has not begun: ``seed`` any integer, ``price_ticks`` where the efficient price starts."""
    scalars = np.zeros(11)
    scalars[EFFICIENT] = scalars[HOME] = price_ticks
    return Market(
        scalars,
        np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64),
        np.zeros((2, LEVELS), np.int64),
        np.zeros((2, LEVELS), np.int64),
        np.zeros(4, np.int64),
        np.zeros((3, EVENT_ROWS), np.int64),
        np.zeros((4096, 2)),
    )


@njit(**_INNER)
def _level_quantity(m: Market, distance: float) -> int:
    regime = int(m.scalars[REGIME])
    deeper = 1.0 + min(6.0, distance / 4_000.0)
    return max(10, int(_DEPTH[regime] * deeper * math.exp(math.log(6_000.0) + 1.1 * normal(m.random))))


@njit(**_INNER)
def _note(m: Market, side: int, price: int, qty: int) -> None:
    at = m.counters[PACKET_ROWS]
    m.packet[0, at] = BID if side == 0 else ASK
    m.packet[1, at] = price
    m.packet[2, at] = qty
    m.counters[PACKET_ROWS] = at + 1


@njit(**_INNER)
def _remove(m: Market, side: int, at: int) -> None:
    _note(m, side, m.prices[side, at], np.int64(0))
    last = m.counters[side] - 1
    for i in range(at, last):
        m.prices[side, i] = m.prices[side, i + 1]
        m.quantities[side, i] = m.quantities[side, i + 1]
    m.counters[side] = last


@njit(**_INNER)
def _insert(m: Market, side: int, price: int, qty: int) -> None:
    """Set a level; the worst one goes when the side is full."""
    sign = 1 if side == 0 else -1
    count, at = m.counters[side], 0
    while at < count and (m.prices[side, at] - price) * sign > 0:
        at += 1
    if at < count and m.prices[side, at] == price:
        m.quantities[side, at] = qty
        _note(m, side, price, qty)
        return
    if count == LEVELS:
        if at == LEVELS:
            return
        _remove(m, side, np.int64(LEVELS - 1))
        count = LEVELS - 1
    for i in range(count, at, -1):
        m.prices[side, i] = m.prices[side, i - 1]
        m.quantities[side, i] = m.quantities[side, i - 1]
    m.prices[side, at] = price
    m.quantities[side, at] = qty
    m.counters[side] = count + 1
    _note(m, side, price, qty)


@njit(**_INNER)
def _place(m: Market, side: int, reference: float, distance: float) -> None:
    """A maker's level at a distance from the reference, never at or through the other side."""
    sign = 1 if side == 0 else -1
    price = math.floor(reference - distance) if side == 0 else math.ceil(reference + distance)
    other = 1 - side
    if m.counters[other] > 0 and (m.prices[other, 0] - price) * sign <= 0:
        price = m.prices[other, 0] - sign
    if price > 0:
        _insert(m, side, price, _level_quantity(m, distance))


@njit(**_INNER)
def _advance(m: Market, dt: float) -> float:
    """Move the hidden state by ``dt`` seconds; returns the half spread makers want now, ticks."""
    s, random = m.scalars, m.random
    if s[TIME] >= s[REGIME_END]:
        pick, regime = uniform(random), 0
        while regime < 3 and pick > _WEIGHT[regime]:
            pick -= _WEIGHT[regime]
            regime += 1
        s[REGIME] = regime
        s[REGIME_END] = s[TIME] - _DWELL[regime] * math.log(uniform(random))
        s[DRIFT] = 0.0
        if regime == 1:
            s[DRIFT] = _TREND if uniform(random) < 0.5 else -_TREND
        known = int(s[REGIME_COUNT])
        if known < len(m.regimes):
            m.regimes[known, 0] = s[TIME]
            m.regimes[known, 1] = regime
            s[REGIME_COUNT] = known + 1
    regime = int(s[REGIME])
    s[LOG_VOL] += -s[LOG_VOL] * dt / _VOL_TIME + _VOL_SD * math.sqrt(2.0 * dt / _VOL_TIME) * normal(random)
    sigma = s[HOME] * _DAY_SIGMA[regime] * math.exp(s[LOG_VOL]) / math.sqrt(86_400.0)
    s[EFFICIENT] += (s[DRIFT] * s[HOME] + (s[HOME] - s[EFFICIENT]) / _HOME_TIME) * dt
    s[EFFICIENT] += sigma * math.sqrt(dt) * normal(random)
    s[PRESSURE] += -s[PRESSURE] * min(1.0, dt / _PRESSURE_TIME)
    s[PRESSURE] += _PRESSURE_SHARE * sigma * math.sqrt(dt) * normal(random)
    if uniform(random) < _JUMPS * dt:
        s[EFFICIENT] += 0.0008 * s[HOME] * normal(random) * math.exp(0.5 * normal(random))
        s[LOG_VOL] += 0.5
    if uniform(random) < _SQUEEZES * dt:
        push = normal(random)
        s[PRESSURE] += _SQUEEZE * s[HOME] * push
        s[FLOW] += 2.0 * push
    ease = min(1.0, dt / _SPREAD_TIME)
    s[SPREAD] += -s[SPREAD] * ease + _SPREAD_SD * math.sqrt(2.0 * ease) * normal(random) * 0.7
    return _HALF_SPREAD[regime] * math.exp(0.5 * s[LOG_VOL] + s[SPREAD])


@njit(**_INNER)
def _requote(m: Market, reference: float, half: float) -> None:
    """Makers follow the reference: stale levels go, a touch that is left behind is joined."""
    for side in range(2):
        sign = 1.0 if side == 0 else -1.0
        while m.counters[side] > 1 and (reference - m.prices[side, 0]) * sign < 0.2 * half:
            _remove(m, side, np.int64(0))
    first = 0 if uniform(m.random) < 0.5 else 1
    for turn in range(2):
        side = first if turn == 0 else 1 - first
        sign = 1.0 if side == 0 else -1.0
        away = (reference - m.prices[side, 0]) * sign
        if away > 1.8 * half and uniform(m.random) < 0.85:
            _place(m, side, reference, half * (0.5 + 0.7 * uniform(m.random)))


@njit(**_INNER)
def _churn(m: Market, reference: float, half: float) -> None:
    """Levels behind the touch come, change and go."""
    random = m.random
    changes = 1 if uniform(random) < 0.75 else 2
    for _ in range(changes):
        side = 0 if uniform(random) < 0.5 else 1
        count = m.counters[side]
        if count < START_LEVELS or (count < LEVELS and uniform(random) < 0.35):
            scale = 1_500.0 if uniform(random) < 0.7 else 15_000.0
            _place(m, side, reference, half - scale * math.log(uniform(random)))
            continue
        at = min(count - 1, int(-8.0 * math.log(uniform(random))))
        if at > 0 and uniform(random) < 0.4:
            _remove(m, side, at)
        else:
            price = m.prices[side, at]
            m.quantities[side, at] = _level_quantity(m, abs(reference - price))
            _note(m, side, price, m.quantities[side, at])


@njit(**_INNER)
def _row(out: I64, row: int, ts: int, seen: int, kind: int, flags: int, price: int, qty: int) -> None:
    out[TS, row], out[TS_LOCAL, row], out[KIND, row] = ts, seen, kind
    out[FLAGS, row], out[PRICE, row], out[QTY, row] = flags, price, qty


@njit(**_INNER)
def _take(m: Market, buys: bool, qty: int, limit: float, ts: int, seen: int, out: I64, rows: int) -> int:
    """An aggressor walks the book up to ``qty`` lots or the limit price: a print a level; the depth rows are noted."""
    side = 1 if buys else 0
    kind = np.int64(TRADE_BUY if buys else TRADE_SELL)
    prints = 0
    while qty > 0 and prints < 12 and m.counters[side] > 2:
        price = m.prices[side, 0]
        if (buys and price > limit) or (not buys and price < limit):
            break
        size = min(qty, m.quantities[side, 0])
        _row(out, rows, ts, seen, kind, np.int64(PACKET_END), price, size)
        rows += 1
        prints += 1
        qty -= size
        if size == m.quantities[side, 0]:
            _remove(m, side, np.int64(0))
        else:
            m.quantities[side, 0] -= size
            _note(m, side, price, m.quantities[side, 0])
    return rows


@njit(**_INNER)
def _trade_size(random: U64) -> int:
    if uniform(random) < 0.03:
        return min(1_000_000, int(20_000.0 * uniform(random) ** (-1.0 / 1.4)))
    return max(1, int(math.exp(math.log(400.0) + 1.2 * normal(random))))


@njit(**_INNER)
def _noise_trade(m: Market, ts: int, seen: int, out: I64, rows: int) -> int:
    """A trader without information: its side follows a slow flow, its size is heavy-tailed, and it moves the price."""
    s, random = m.scalars, m.random
    s[FLOW] = 0.96 * s[FLOW] + 0.28 * normal(random)
    tilt = s[FLOW] + 60_000.0 * s[DRIFT] - 0.0001 * s[PRESSURE]
    buys = uniform(random) < 0.5 + 0.5 * math.tanh(tilt)
    size = _trade_size(random)
    rows = _take(m, buys, size, 1e18 if buys else -1e18, ts, seen, out, rows)
    push = math.sqrt(size / _LOTS) * (1.0 if buys else -1.0)
    s[EFFICIENT] += _PERMANENT * push
    s[PRESSURE] += _TRANSIENT * push
    return rows


@njit(**_INNER)
def _write_packet(m: Market, ts: int, seen: int, flags: int, out: I64, rows: int) -> int:
    count = m.counters[PACKET_ROWS]
    for i in range(count):
        _row(out, rows, ts, seen, m.packet[0, i], flags, m.packet[1, i], m.packet[2, i])
        rows += 1
    if count > 0:
        out[FLAGS, rows - 1] |= PACKET_END
    m.counters[PACKET_ROWS] = 0
    return rows


@njit(**_INNER)
def _receipt(m: Market, ts: int) -> int:
    """Receipt of a message sent at ``ts`` (ns): 2 ms and an exponential delay; one connection keeps the order."""
    seen = ts + 2_000_000 + 1_000 * int(-2_500.0 * math.log(uniform(m.random)))
    seen = max(seen, m.counters[LAST_RECEIPT])
    m.counters[LAST_RECEIPT] = seen
    return seen


@njit(**_ENTRY)
def open_book(m: Market, ts: int, out: I64) -> int:
    """Write the reset and the first snapshot; returns the rows written."""
    half, reference = _HALF_SPREAD[0], m.scalars[EFFICIENT]
    for side in range(2):
        for level in range(START_LEVELS):
            _place(m, side, reference, half * 0.7 if level == 0 else half - 6_000.0 * math.log(uniform(m.random)))
    # the levels as they ended up, in order; placing has noted every step
    m.counters[PACKET_ROWS] = 0
    for side in range(2):
        for i in range(m.counters[side]):
            _note(m, side, m.prices[side, i], m.quantities[side, i])
    seen = _receipt(m, ts)
    none = np.int64(0)
    _row(out, none, ts, seen, np.int64(RESET), none, none, none)
    return _write_packet(m, ts, seen, np.int64(SNAPSHOT), out, np.int64(1))


@njit(**_ENTRY)
def run(m: Market, start_ns: int, seconds: float, event_rate: float, out: I64) -> int:
    """Write events until ``out`` (int64[6, n]) is nearly full or ``seconds`` of market time are over.

    Returns the rows written; 0: the end was reached before. ``event_rate`` is events a second at an activity of 1.
    """
    s, random, rows = m.scalars, m.random, np.int64(0)
    while rows + EVENT_ROWS <= out.shape[1] and s[TIME] < seconds:
        rate = event_rate * _ACTIVITY[int(s[REGIME])] * math.exp(0.5 * s[LOG_VOL])
        dt = -math.log(uniform(random)) / rate
        s[TIME] += dt
        if s[TIME] >= seconds:
            break
        half = _advance(m, dt)
        reference = s[EFFICIENT] + s[PRESSURE]
        ts = start_ns + int(s[TIME] * 1_000.0) * 1_000_000
        seen = _receipt(m, ts)
        stale = reference > m.prices[1, 0] or reference < m.prices[0, 0]
        if stale and uniform(random) < _INFORMED:
            rows = _take(m, reference > m.prices[1, 0], np.int64(1_000_000), reference, ts, seen, out, rows)
            _requote(m, reference, half)
        elif not stale and uniform(random) < _TRADE:
            rows = _noise_trade(m, ts, seen, out, rows)
        else:
            _requote(m, reference, half)
            _churn(m, reference, half)
        rows = _write_packet(m, ts, seen, np.int64(0), out, rows)
    return int(rows)
