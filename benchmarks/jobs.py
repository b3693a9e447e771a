"""What is timed: the jobs both sides are given, as plain values that travel to each process as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from tidewright.market.tape import Tape

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
LATENCY_NS: Final = 50_000_000
LANES: Final = 1_024
MANY: Final = 4_096


@dataclass(frozen=True, slots=True)
class Job:
    """A grid of post-only quotes at percentages around the mid, one lane a spread; without spreads, the bare replay.

    Attributes
    ----------
    name
        Row of the table.
    market
        Key of the market it runs on.
    spreads
        ``spread_percentage`` of each lane, percent.
    quantity, max_position
        Base units.
    levels
        Quotes a side.
    cycle_ns, latency_ns
        Time between decisions; entry and response latency.
    queue
        Our queue model.
    threads
        How many we run in.
    sample
        Lanes the peer runs, of those it cannot run at once.
    """

    name: str
    market: str
    spreads: tuple[float, ...]
    quantity: float = 0.01
    max_position: float = 0.2
    levels: int = 4
    cycle_ns: int = 30 * SECOND
    latency_ns: int = LATENCY_NS
    queue: str = "risk_averse"
    threads: int = 1
    sample: tuple[float, ...] = field(default=())

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self)


def replay_jobs(market: str, sampled: int) -> list[Job]:
    """The bare replay, one lane and many lanes, quotes from 10 ticks to some hundred ticks away."""
    sweep = spread_out(0.004, 0.08, LANES)
    return [
        Job("levels, no strategy", market, ()),
        Job("levels, grid 4+4 each 30 s, 1 lane", market, (0.01,), sample=(0.01,)),
        Job("levels, grid 4+4 each 30 s, 1,024 lanes", market, sweep, sample=take(sweep, sampled)),
    ]


def long_jobs(market: str, sampled: int) -> list[Job]:
    """Many lanes that decide every second."""
    sweeps = [spread_out(0.004, 0.08, lanes) for lanes in (LANES, MANY)]
    return [
        Job(f"levels, grid 4+4 each 1 s, {len(s):,} lanes", market, s, cycle_ns=SECOND, sample=take(s, sampled))
        for s in sweeps
    ]


def recorded_jobs(tape: Tape, market: str, sampled: int) -> list[Job]:
    """The grid on a recorded market, with a size above the venue's minimum notional."""
    name = tape.instrument.symbol
    price = float(np.median(tape.data.price[tape.data.price > 0])) * float(tape.instrument.tick)
    lot = float(tape.instrument.lot)
    quantity = max(1.0, np.ceil(10.0 / price / lot)) * lot
    sweep = spread_out(0.1, 1.5, LANES)
    return [
        Job(f"{name}, grid 4+4 each 30 s, 1 lane", market, (0.3,), quantity, 20 * quantity, sample=(0.3,)),
        Job(
            f"{name}, grid 4+4 each 30 s, 1,024 lanes",
            market,
            sweep,
            quantity,
            20 * quantity,
            sample=take(sweep, sampled),
        ),
    ]


def thread_jobs(market: str, long: bool) -> list[Job]:
    """Two threads beside one: what both read, the tape and its prices, weighs less the more lanes there are."""
    sizes = [(LANES, 30 * SECOND), (MANY, 30 * SECOND), *([(LANES, SECOND)] if long else [])]
    return [_threads(market, spread_out(0.004, 0.08, lanes), cycle) for lanes, cycle in sizes]


def _threads(market: str, sweep: tuple[float, ...], cycle: int) -> Job:
    name = f"levels, grid 4+4 each {cycle // SECOND} s, {len(sweep):,} lanes, 2 threads"
    return Job(name, market, sweep, cycle_ns=cycle, threads=2, sample=take(sweep, 3))


def platform_jobs(market: str) -> list[Job]:
    """For nautilus_trader: the first part of the market, bare and with the grid."""
    return [
        Job("levels, first part, no strategy", market, ()),
        Job("levels, first part, grid 4+4 each 30 s, 1 lane", market, (0.01,), sample=(0.01,)),
    ]


def bar_jobs(market: str, sampled: int) -> list[Job]:
    """A bid and an ask around the close of every bar, for the next bar; ``sampled`` sets of the sweep at the peer."""
    sweep = spread_out(0.04, 0.4, LANES)
    return [
        _bars("bars, 1+1 each bar, 1 lane", market, (0.1,), 1),
        _bars("bars, 1+1 each bar, 1,024 lanes", market, sweep, sampled),
    ]


def _bars(name: str, market: str, spreads: tuple[float, ...], sampled: int) -> Job:
    return Job(
        name,
        market,
        spreads,
        quantity=0.01,
        max_position=0.05,
        levels=1,
        cycle_ns=MINUTE,
        latency_ns=0,
        queue="front",
        sample=take(spreads, sampled),
    )


def spread_out(low: float, high: float, count: int) -> tuple[float, ...]:
    """Spreads of a sweep, evenly from low to high."""
    return tuple(round(float(s), 9) for s in np.linspace(low, high, count))


def take(spreads: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Some lanes of a sweep, evenly spread."""
    index = np.unique(np.linspace(0, len(spreads) - 1, min(count, len(spreads))).astype(int))
    return tuple(spreads[i] for i in index)
