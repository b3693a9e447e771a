"""A seeded synthetic BTCUSDT market near 60,000, written as a tape.

It is for demonstrations and tests: its traits are those of a real market in kind, not fitted to one.

The model
---------
Hidden, moved at every event by the time ``dt`` since the last:

* the *efficient price*: a random walk with drift in trends, some jumps a day, and a very weak pull home;
* the *pressure*: a mean-reverting deviation from it (time constant 150 s, the same diffusion as the efficient price's)
  with some 160 squeezes a day, in which hurried uninformed flow pushes it by 0.17 % (sd) at once: returns reverse over
  minutes, and who waits at a distance is paid for it;
* *volatility*: the regime's level times the exponential of a mean-reverting process (time constant 25 min, sd 0.4);
* the *regime*: calm, trending, volatile, illiquid, with exponential stays of 40, 30, 15 and 20 min in the mean and
  weights 0.3, 0.3, 0.2, 0.2; it sets volatility (1.0, 1.3, 3.2, 1.3 % a day), half spread (1.20 to 5.20),
  depth and activity;
* the *half spread* makers want: the regime's, times the volatility's square root, times a fast mean-reverting factor.

Events come as a Poisson process whose rate follows regime and volatility. At each one, with the *reference* = efficient
price + pressure:

* if the reference has passed the touch, either an informed trader sweeps every level up to it (so whoever rested there
  was picked off) or the makers cancel in time;
* else, with probability 0.24, an uninformed market order: its side follows a slowly changing flow, its size is
  log-normal with a Pareto tail (exponent 1.4), and it moves efficient price and pressure by a square-root law: prints
  are followed by moves in their direction, the pressure's part of which comes back;
* else makers follow the reference, and levels behind the touch come, change and go.

A print is a packet, the depth rows it causes are the next one. Venue times are whole milliseconds; receipts are 2 ms
and an exponential delay of 2.5 ms later, in order. At most 150 levels a side are known. The book is never crossed nor
locked at the end of a depth packet.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.clock import HOUR, SECOND
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Filters, Instrument
from tidewright.market.synthetic_kernel import EVENT_ROWS, REGIME_COUNT, TIME, Market, new_market, open_book, run
from tidewright.market.tape import COLUMN_TYPES, Columns, Tape, concatenate
from tidewright.market.tape_writer import TapeWriter

REGIME_NAMES: Final = ("calm", "trending", "volatile", "illiquid")
START_NS: Final = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z
START_PRICE_TICKS: Final = 6_000_000
DEFAULT_RATE: Final = 2.5

_PACKETS_AN_EVENT: Final = 1.38  # measured over many seeds, activity included
_CHUNK_ROWS: Final = 1 << 16


def synthetic_instrument() -> Instrument:
    """The instrument of synthetic tapes: Binance's BTCUSDT with its usual filters and fees."""
    filters = Filters(
        min_price_ticks=1,
        max_price_ticks=100_000_000,
        min_qty_lots=1,
        max_qty_lots=900_000_000,
        market_max_qty_lots=11_923_000,
        min_notional=5 * UNIT,
        max_notional=9_000_000 * UNIT,
    )
    return Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001", filters=filters)


class Generator:
    """Rows of one synthetic market, chunk by chunk; iterate over it.

    Parameters
    ----------
    hours
        Market time, > 0.
    seed
        Any integer; the same seed gives the same bytes, whatever the chunks.
    rate
        Packets a second in the mean, > 0.
    start_ns
        Venue time of the first packet, ns, whole milliseconds.
    """

    def __init__(
        self, hours: float = 24.0, seed: int = 7, rate: float = DEFAULT_RATE, start_ns: int = START_NS
    ) -> None:
        if not 0 < hours <= 24 * 366:
            raise UsageError(f"hours must be > 0 and at most a year, was {hours}")
        if not 0.01 <= rate <= 1_000:
            raise UsageError(f"rate must be 0.01 to 1000 packets a second, was {rate}")
        if start_ns % 1_000_000 or start_ns <= 0:
            raise UsageError(f"the start must be a whole millisecond after 1970, was {start_ns} ns")
        self._seconds = hours * HOUR / SECOND
        self._start_ns = start_ns
        self._event_rate = rate / _PACKETS_AN_EVENT
        self._market: Market = new_market(seed, START_PRICE_TICKS)
        self._buffer = np.zeros((len(COLUMN_TYPES), _CHUNK_ROWS + EVENT_ROWS), np.int64)

    @property
    def done(self) -> float:
        """Share of the market time written so far, 0 to 1."""
        return min(1.0, float(self._market.scalars[TIME]) / self._seconds)

    def regimes(self) -> list[tuple[int, str]]:
        """Start (ns) and name of each regime so far."""
        known = self._market.regimes[: int(self._market.scalars[REGIME_COUNT])]
        return [(self._start_ns + int(start * SECOND), REGIME_NAMES[int(number)]) for start, number in known]

    def __iter__(self) -> Iterator[Columns]:
        if self._market.counters[0] == 0:
            rows = open_book(self._market, self._start_ns, self._buffer)
            yield self._columns(rows)
        while rows := run(self._market, self._start_ns, self._seconds, self._event_rate, self._buffer):
            yield self._columns(rows)

    def _columns(self, rows: int) -> Columns:
        types = COLUMN_TYPES.values()
        ts, ts_local, kind, flags, price, qty = (self._buffer[i, :rows].astype(dtype) for i, dtype in enumerate(types))
        return Columns(ts, ts_local, kind, flags, price, qty)


def generate(
    hours: float = 24.0, seed: int = 7, rate: float = DEFAULT_RATE, start_ns: int = START_NS
) -> Iterator[Columns]:
    """Rows of a synthetic market in chunks of whole packets; see :class:`Generator` for the parameters."""
    return iter(Generator(hours, seed, rate, start_ns))


def synthesize(
    path: str | Path | None,
    hours: float = 24.0,
    seed: int = 7,
    rate: float = DEFAULT_RATE,
    start_ns: int = START_NS,
    progress: Callable[[float], None] | None = None,
) -> Tape:
    """Write a synthetic tape, or with ``path=None`` keep it in memory.

    Raises
    ------
    UsageError
        If a parameter is out of range or the path exists.
    """
    generator = Generator(hours, seed, rate, start_ns)
    instrument = synthetic_instrument()
    source = f"synthetic: seed {seed}, {hours:g} h, {rate:g} packets/s"
    if path is None:
        data = concatenate(generator)
        meta = {"rows": len(data.ts), "detail": _DETAIL, "source": source, "notes": _notes(generator, seed)}
        return Tape(Path(), instrument, meta, data)
    with TapeWriter(path, instrument, detail=_DETAIL, source=source) as writer:
        for chunk in generator:
            writer.append(chunk)
            if progress is not None:
                progress(generator.done)
        writer.notes = _notes(generator, seed)
    return Tape.open(path)


_DETAIL: Final = "L2+trades (synthetic)"


def _notes(generator: Generator, seed: int) -> dict[str, Any]:
    return {"synthetic": True, "seed": seed, "regimes": [[start, name] for start, name in generator.regimes()]}
