"""Tapes on which nobody can earn: what an examination uses that must find nothing.

A tape cut into pieces and shuffled still pays a maker its spread, so it proves nothing. Here the moves of a real tape's
mid are kept, and all else that could be earned is taken away. The mid is a martingale: its next move has mean 0
whatever went before. Orders meet the market only when the mid has reached or passed their price: with every move comes
a print at the new mid. So a fill is at the fair price or worse, and whatever trades expects to lose what it pays in
fees or more (stopping a martingale brings nothing, J. Doob 1953). A profit that chance cannot explain is then the
simulation's mistake: something knew the future.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Final

import numpy as np

from tidewright.market.clock import SECOND
from tidewright.market.codes import ASK, BID, PACKET_END, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import F64, I64, Columns, Tape

SHUFFLED: Final = "shuffled"
DRIFTLESS: Final = "driftless"
FAIR_GAMES: Final = (SHUFFLED, DRIFTLESS)

MOST_STEPS: Final = 20_000
_LEVELS: Final = 3  # a side
_HALF_SPREAD: Final = 5e-5  # of the mid
_TICK: Final = 1e-5  # of the mid, at most, unless the tape's own is larger


def fair_game(tape: Tape, mids: F64, step_ns: int, kind: str, seed: int) -> Tape:
    """A fair game with the moves of a tape, in memory.

    Parameters
    ----------
    tape
        Its instrument, start and sizes of trades are taken over.
    mids
        Its mids at even steps, quote, float64, > 0.
    step_ns
        Time between them, ns.
    kind
        ``"shuffled"``: moves are drawn from the tape's, less their mean, in any order: nothing of its time is left;
        ``"driftless"``: each move keeps its time and size and gets a sign by chance: quiet and wild times remain.
    seed
        Of the draws.

    Raises
    ------
    UsageError
        If the kind is unknown or there are fewer than two mids.
    """
    if kind not in FAIR_GAMES:
        raise UsageError(f"a fair game is one of {', '.join(FAIR_GAMES)}, was {kind!r}")
    if len(mids) < 2 or not bool(np.all(mids > 0.0)):
        raise UsageError("a fair game needs at least two mids, all > 0")
    random = np.random.default_rng(seed)
    moves = np.diff(mids) / mids[:-1]
    if kind == SHUFFLED:
        moves = random.choice(moves - moves.mean(), len(moves))
    else:
        moves = moves * random.choice((-1.0, 1.0), len(moves))
    instrument = _coarse(tape.instrument, float(mids[0]))
    tick = float(instrument.tick)
    path = mids[0] * np.cumprod(np.concatenate(([1.0], 1.0 + moves)))
    # Rounded by chance: rounding to the nearest tick would make small moves come back, which could be earned.
    whole = np.floor(np.diff(path) / tick + random.random(len(moves))).astype(np.int64)
    ticks = round(mids[0] / tick) + np.concatenate((np.zeros(1, np.int64), np.cumsum(whole)))
    half = max(1, round(_HALF_SPREAD * mids[0] / tick))
    least = half * (_LEVELS + 1)
    if int(ticks.min()) <= least:
        raise UsageError(
            f"the price of a fair game fell to {int(ticks.min()) * tick:g}: the tape's moves are too large"
        )
    is_trade = (tape.data.kind == TRADE_BUY) | (tape.data.kind == TRADE_SELL)
    sizes = tape.data.qty[is_trade & (tape.data.qty > 0)]
    if not len(sizes):
        raise UsageError("a fair game needs a tape with trades")
    data = _rows(ticks, half, tape.start_ns, step_ns, sizes, random)
    meta = {"rows": len(data.ts), "detail": f"fair game ({kind})", "source": f"{kind} moves of {tape.meta['source']}"}
    return Tape(tape.path, instrument, {**meta, "notes": {"seed": seed}}, data)


def _coarse(instrument: Instrument, mid: float) -> Instrument:
    """The instrument with steps of price as large as do not matter: a move over many fine ones takes long to replay."""
    size = Decimal(instrument.tick_size)
    while float(size) * 10 <= _TICK * mid:
        size *= 10
    return replace(instrument, tick_size=f"{size.normalize():f}")


def steps_of(span_ns: int) -> int:
    """Length of a step for a tape of a span, ns: a second, or more where that would be over :data:`MOST_STEPS`."""
    return max(SECOND, -(-span_ns // MOST_STEPS))


def _rows(ticks: I64, half: int, start_ns: int, step_ns: int, sizes: I64, random: np.random.Generator) -> Columns:
    """A packet with the book at first; then with every move its print, and a packet with the new book."""
    moved = np.concatenate(([0], np.flatnonzero(np.diff(ticks)) + 1))
    before = ticks[np.maximum(moved - 1, 0)]
    now = ticks[moved]
    count, wide = len(moved), 4 * _LEVELS
    offsets = half * np.arange(1, _LEVELS + 1)
    # A row a column: the print, then levels that go, then levels that come.
    kind = np.empty((count, 1 + wide), np.uint8)
    price = np.empty((count, 1 + wide), np.int64)
    qty = np.zeros((count, 1 + wide), np.int64)
    flags = np.zeros((count, 1 + wide), np.uint8)
    kind[:, 0] = np.where(now > before, TRADE_BUY, TRADE_SELL)
    price[:, 0] = now
    qty[:, 0] = random.choice(sizes, count)
    flags[:, 0] = PACKET_END
    at = 1
    for centre, comes in ((before, False), (now, True)):
        for side, sign in ((BID, -1), (ASK, 1)):
            part = slice(at, at + _LEVELS)
            kind[:, part], price[:, part] = side, centre[:, None] + sign * offsets
            if comes:
                qty[:, part] = random.choice(sizes, (count, _LEVELS))
            at += _LEVELS
    flags[:, -1] = PACKET_END
    flags[0, 1:] |= SNAPSHOT
    ts = np.repeat(start_ns + moved * step_ns, 1 + wide)
    keep = np.ones((count, 1 + wide), np.bool_)
    keep[0, : 1 + wide // 2] = False  # the first packet only opens the book
    chosen = keep.ravel()
    stamps = ts[chosen].astype(np.int64)
    return Columns(
        stamps, stamps.copy(), kind.ravel()[chosen], flags.ravel()[chosen], price.ravel()[chosen], qty.ravel()[chosen]
    )
