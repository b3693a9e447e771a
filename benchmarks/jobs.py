"""What is timed: the jobs both engines are given, as plain values that travel to each process as JSON."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from tidewright.market.tape import Tape

SECOND: Final = 1_000_000_000
CYCLE_NS: Final = 30 * SECOND
LATENCY_NS: Final = 50_000_000
LEVELS: Final = 4
LANES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Job:
    """A grid of 4+4 post-only quotes at percentages around the mid, requoted each 30 s.

    Attributes
    ----------
    name
        Row of the table.
    tape
        Key of the market it runs on.
    spreads
        ``spread_percentage`` of each lane, percent.
    quantity, max_position
        Base units.
    """

    name: str
    tape: str
    spreads: tuple[float, ...]
    quantity: float
    max_position: float

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self) | {"cycle_ns": CYCLE_NS, "latency_ns": LATENCY_NS, "levels": LEVELS}


def synthetic_jobs() -> list[Job]:
    """One lane and 1,024 lanes on the generated market: quotes from 10 ticks to some hundred ticks away."""
    return [
        Job("synthetic, 1 lane", "synthetic", (0.01,), 0.01, 0.2),
        Job("synthetic, 1,024 lanes", "synthetic", _sweep(0.004, 0.08), 0.01, 0.2),
    ]


def recorded_jobs(tape: Tape, key: str, name: str) -> list[Job]:
    """The same on a recorded market, with a size above the venue's minimum notional."""
    price = float(np.median(tape.data.price[tape.data.price > 0])) * float(tape.instrument.tick)
    lot = float(tape.instrument.lot)
    quantity = max(1.0, np.ceil(10.0 / price / lot)) * lot
    return [
        Job(f"{name}, 1 lane", key, (0.3,), quantity, 20 * quantity),
        Job(f"{name}, 1,024 lanes", key, _sweep(0.1, 1.5), quantity, 20 * quantity),
    ]


def _sweep(low: float, high: float) -> tuple[float, ...]:
    return tuple(round(float(s), 9) for s in np.linspace(low, high, LANES))


def sample(spreads: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Some lanes of a sweep, evenly spread: what a peer is given that runs one lane at a time."""
    index = np.unique(np.linspace(0, len(spreads) - 1, min(count, len(spreads))).astype(int))
    return tuple(spreads[i] for i in index)
