"""Latency of what a lane sends and of the venue's answers: constant, interpolated from a record, or sampled.

A latency is a function of an instant alone, the same for all lanes: when a decision was taken (entry), when the venue
did something (response). So neither slices nor other lanes nor threads can change it. What was sent never overtakes
what was sent before; :mod:`tidewright.engine.decide` sees to that.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numba import int64

from tidewright.engine.layout import (
    CFG_ENTRY,
    CFG_F_MEDIAN,
    CFG_F_SIGMA,
    CFG_F_SPIKE,
    CFG_F_SPIKE_ODDS,
    CFG_LATENCY,
    CFG_RESPONSE,
    CFG_SEED,
    LATENCY_CONSTANT,
    LATENCY_ENTRY,
    LATENCY_FIELDS,
    LATENCY_TABLE,
    LATENCY_TS,
    State,
)
from tidewright.market.errors import UsageError
from tidewright.market.inner import inlined, inner
from tidewright.market.tape import I64

WIDEST: Final = 4.0  # standard deviations at which the body of a sampled latency is cut
MOST_NS: Final = 3_600_000_000_000  # an hour: longer ones are taken for a mistake in units

_HALF: Final = 0x7FFF_FFFF  # 31 bits: products of two halves never overflow, so plain Python gives the same
_ROUNDS: Final = (0x5BD1_E995, 0x27D4_EB2F, 0x1656_67B1, 0x6A09_E667, 0x3C6E_F372, 0x4CF5_AD43)


@dataclass(frozen=True, slots=True)
class SampledLatency:
    """A log-normal latency with spikes, drawn anew for every instant.

    ``floor(median * exp(sigma * z))`` with z standard normal, cut at +-4, plus ``spike_ns`` with a probability of
    ``spike_odds``. Draws are a hash of (seed, instant, direction).

    Attributes
    ----------
    entry_ns, response_ns
        Medians, ns, >= 0.
    sigma
        Standard deviation of the logarithm, 0..3.
    spike_ns
        What a spike adds, ns, >= 0.
    spike_odds
        Probability of one, 0..1.
    seed
        Any whole number from 0 to 2**62.
    """

    entry_ns: int
    response_ns: int
    sigma: float = 0.3
    spike_ns: int = 0
    spike_odds: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("entry_ns", "response_ns", "spike_ns"):
            if not 0 <= getattr(self, name) <= MOST_NS:
                raise UsageError(f"{name} of a sampled latency must be 0 ns to an hour, was {getattr(self, name)}")
        if not 0.0 <= self.sigma <= 3.0:
            raise UsageError(f"sigma of a sampled latency must be 0 to 3, was {self.sigma}")
        if not 0.0 <= self.spike_odds <= 1.0:
            raise UsageError(f"the probability of a spike must be 0 to 1, was {self.spike_odds}")
        if not 0 <= self.seed <= 2**62:
            raise UsageError(f"the seed of a sampled latency must be 0 to 2**62, was {self.seed}")

    @property
    def most_entry_ns(self) -> int:
        """The longest entry latency it can draw."""
        return math.ceil(self.entry_ns * math.exp(self.sigma * WIDEST)) + self.spike_ns

    def latencies(self, ts: int) -> tuple[int, int]:
        """Entry latency of what is sent at a time, response latency of what happens then, ns."""
        return tuple(  # type: ignore[return-value]
            int(sampled(float(median), self.sigma, float(self.spike_ns), self.spike_odds, self.seed, ts, which))
            for which, median in enumerate((self.entry_ns, self.response_ns))
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; :func:`latency_from_json` reads them."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """Recorded latencies; linear between the rows, constant before the first and after the last.

    Attributes
    ----------
    rows
        (n, 3) int64, n >= 1: time (strictly increasing), entry and response latency, ns.
    """

    rows: I64 = field(hash=False, compare=False)
    _bytes: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = np.ascontiguousarray(self.rows, np.int64).reshape(-1, LATENCY_FIELDS).copy()
        if len(rows) == 0:
            raise UsageError("a table of latencies must have at least one row")
        falls = np.flatnonzero(np.diff(rows[:, LATENCY_TS]) <= 0)
        if len(falls):
            raise UsageError(f"times of a table of latencies must increase, row {int(falls[0]) + 1} does not")
        wrong = np.flatnonzero(((rows[:, 1:] < 0) | (rows[:, 1:] > MOST_NS)).any(axis=1))
        if len(wrong):
            value = rows[wrong[0], 1:].tolist()
            raise UsageError(f"latencies of a table must be 0 ns to an hour, row {int(wrong[0])} has {value} ns")
        rows.flags.writeable = False
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "_bytes", rows.tobytes())

    @property
    def most_entry_ns(self) -> int:
        """The longest entry latency recorded."""
        return int(self.rows[:, LATENCY_ENTRY].max())

    def latencies(self, ts: int) -> tuple[int, int]:
        """Entry latency of what is sent at a time, response latency of what happens then, ns."""
        return int(interpolated(self.rows, ts, 0)), int(interpolated(self.rows, ts, 1))

    def to_json(self) -> dict[str, Any]:
        """Plain values; :func:`latency_from_json` reads them."""
        return {"rows": self.rows.tolist()}


Latency = SampledLatency | LatencyTable


def latency_from_json(data: dict[str, Any] | None) -> Latency | None:
    """A latency model from its plain values."""
    if data is None:
        return None
    return LatencyTable(np.array(data["rows"], np.int64)) if "rows" in data else SampledLatency(**data)


def latency_rows(latency: Latency | None) -> I64:
    """What of a model goes into the engine's state as an array."""
    if isinstance(latency, LatencyTable):
        return np.array(latency.rows)
    return np.zeros((0, LATENCY_FIELDS), np.int64)


@inlined
def entry_at(state: State, ts: int) -> int:
    """Latency of what is sent at a time, ns."""
    if state.cfg[CFG_LATENCY] == LATENCY_CONSTANT:
        return state.cfg[CFG_ENTRY]
    return varied(state, ts, int64(0))


@inlined
def response_at(state: State, ts: int) -> int:
    """Latency of the answer to what happens at the venue at a time, ns."""
    if state.cfg[CFG_LATENCY] == LATENCY_CONSTANT:
        return state.cfg[CFG_RESPONSE]
    return varied(state, ts, int64(1))


@inner
def varied(state: State, ts: int, which: int) -> int:
    """A latency that is not constant; ``which`` 0: entry, 1: response."""
    if state.cfg[CFG_LATENCY] == LATENCY_TABLE:
        return interpolated(state.latency, ts, which)
    values = state.cfg_f
    return sampled(
        values[CFG_F_MEDIAN + which],
        values[CFG_F_SIGMA],
        values[CFG_F_SPIKE],
        values[CFG_F_SPIKE_ODDS],
        state.cfg[CFG_SEED],
        ts,
        which,
    )


@inner
def interpolated(rows: I64, ts: int, which: int) -> int:
    """Latency at a time by the rows around it: ``floor(before + (after - before) * share)`` in float64."""
    column = LATENCY_ENTRY + which
    last = len(rows) - 1
    if ts <= rows[0, LATENCY_TS]:
        return rows[0, column]
    if ts >= rows[last, LATENCY_TS]:
        return rows[last, column]
    low, high = int64(0), int64(last)  # rows[low] <= ts < rows[high]
    while high - low > 1:
        middle = (low + high) // 2
        if rows[middle, LATENCY_TS] <= ts:
            low = middle
        else:
            high = middle
    share = np.float64(ts - rows[low, LATENCY_TS]) / np.float64(rows[high, LATENCY_TS] - rows[low, LATENCY_TS])
    before = np.float64(rows[low, column])
    return int64(math.floor(before + (np.float64(rows[high, column]) - before) * share))


@inner
def sampled(median: float, sigma: float, spike: float, odds: float, seed: int, ts: int, which: int) -> int:
    """A latency drawn for a time, see :class:`SampledLatency`; the normal variate is Box and Muller's."""
    drawn = mixed(mixed(int(seed) + 2 * int(which) + 1) + int(ts))
    first, second, third = mixed(drawn + 1), mixed(drawn + 2), mixed(drawn + 3)
    z = math.sqrt(-2.0 * math.log(share_of_one(first))) * math.cos(2.0 * math.pi * share_of_one(second))
    body = np.float64(math.floor(median * math.exp(sigma * max(-WIDEST, min(WIDEST, z)))))
    if share_of_one(third) < odds:
        body += spike
    return int64(body)


@inner
def mixed(word: int) -> int:
    """62 bits that look random, one for one: a Feistel network of six rounds over two halves."""
    left = (word >> 31) & _HALF
    right = word & _HALF
    for factor in _ROUNDS:
        left, right = right, left ^ (((right * factor + factor) >> 16) & _HALF)
    return (left << 31) | right


@inlined
def share_of_one(word: int) -> float:
    """A number in (0, 1) from 62 bits, the 52 upper ones of them."""
    return (np.float64(word >> 10) + 0.5) / 4503599627370496.0
