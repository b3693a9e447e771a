"""A tape as the exchange serves it: packets by receipt, prints with ids, and everything that follows from prints.

All of it is computed once from the whole tape; what is public at an instant is a prefix, so a query is a slice.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import DAY, HOUR, MINUTE, SECOND
from tidewright.market.codes import (
    BEST_ASK,
    BEST_BID,
    PACKET_END,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
    UNIT,
)
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument, units_text
from tidewright.market.tape import Columns, Tape

MOST_UNITS: Final = 2**62  # amounts beyond it do not fit the engine's integers

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

INTERVALS: Final = {
    "1s": SECOND, "1m": MINUTE, "3m": 3 * MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE, "1h": HOUR,
    "2h": 2 * HOUR, "4h": 4 * HOUR, "6h": 6 * HOUR, "8h": 8 * HOUR, "12h": 12 * HOUR, "1d": DAY, "3d": 3 * DAY,
}  # fmt: skip


class Texts:
    """Decimal texts with 8 decimals, as Binance writes them, remembered because levels repeat."""

    _REMEMBERED: Final = 200_000

    def __init__(self, step_units: int) -> None:
        self._step = step_units
        self._known: dict[int, str] = {}

    def __call__(self, count: int) -> str:
        """Text of ``count`` steps."""
        text = self._known.get(count)
        if text is None:
            if len(self._known) >= self._REMEMBERED:
                self._known.clear()
            text = self._known[count] = units_text(count * self._step)
        return text


class Scales:
    """Exact conversions between ticks, lots and 1e-8 units of one instrument.

    Raises
    ------
    UsageError
        If the tick is no multiple of 1e-8: Binance's messages could not show its prices.
    """

    def __init__(self, instrument: Instrument) -> None:
        tick = instrument.tick * UNIT
        if tick.denominator != 1:
            raise UsageError(f"the paper exchange needs a tick that is a multiple of 1e-8, was {instrument.tick_size}")
        self.tick_units = int(tick)
        self.lot_units = instrument.lot_units
        self.most_lots = min(10**12, MOST_UNITS // self.lot_units)  # of one order
        self.most_cash = MOST_UNITS // max(1, -(-self.tick_units * self.lot_units // UNIT))  # tick*lots of one order
        self.price = Texts(self.tick_units)
        self.qty = Texts(self.lot_units)

    def notional_units(self, cash: int) -> int:
        """1e-8 quote units of ``tick*lots``, rounded down."""
        return cash * self.tick_units * self.lot_units // UNIT

    def notional_text(self, cash: int) -> str:
        """Decimal text of ``tick*lots``, 8 decimals, rounded down."""
        return units_text(self.notional_units(cash))


@dataclass(frozen=True, slots=True)
class Prints:
    """All prints of a tape in order; the trade id of print ``i`` is ``i + 1``.

    Attributes
    ----------
    ts, receipt
        Venue time and effective receipt, ns.
    price, qty
        Ticks and lots.
    sell
        Whether the aggressor sold (Binance's ``m``, buyer is maker).
    volume, cash
        Running sums of lots and of tick*lots, one longer than the others, starting with 0.
    aggregate
        Number (from 1) of the aggregate trade a print belongs to: prints of one instant, price and side are one.
    """

    ts: I64
    receipt: I64
    price: I64
    qty: I64
    sell: Bools
    volume: I64
    cash: I64
    aggregate: I64


class TapeMarket:
    """A tape prepared for publication.

    Parameters
    ----------
    tape
        The recorded market. It must hold a snapshot, else there is no book to publish.
    feed_ns
        Receipt of a row that has none: venue time plus this.

    Raises
    ------
    DataError
        If the tape is empty or holds no snapshot.
    """

    def __init__(self, tape: Tape, feed_ns: int = 0) -> None:
        self.tape = tape
        self.instrument = tape.instrument
        self.data: Columns = tape.data
        self.scales = Scales(tape.instrument)
        if len(tape) == 0:
            raise DataError(f"tape {tape.path} is empty")
        data = self.data
        arrived = np.where(data.ts_local > 0, data.ts_local, data.ts + feed_ns)
        receipt = np.maximum.accumulate(np.maximum(arrived, data.ts))
        self.ends: I64 = np.flatnonzero(data.flags & PACKET_END).astype(np.int64) + 1  # one past a packet's last row
        if len(self.ends) == 0 or int(self.ends[-1]) != len(tape):
            raise DataError(f"tape {tape.path} does not end with a whole packet")
        self.packet_ts: I64 = np.asarray(data.ts[self.ends - 1], np.int64)
        self.packet_receipt: I64 = np.asarray(receipt[self.ends - 1], np.int64)
        self.end_ns = int(max(self.packet_ts[-1], self.packet_receipt[-1]))
        self.has_best_rows = bool(np.any((data.kind == BEST_BID) | (data.kind == BEST_ASK)))
        self.opening_packets = self._opening()
        self.start_ns = int(self.packet_receipt[self.opening_packets - 1])
        self.prints = self._prints(receipt)

    def _opening(self) -> int:
        """Number of packets up to and with the first one that ends with a snapshot."""
        snapshot = np.flatnonzero(self.data.flags & SNAPSHOT)
        if len(snapshot) == 0:
            raise DataError(f"tape {self.tape.path} holds no snapshot of the book: there is nothing to publish")
        return int(np.searchsorted(self.ends, snapshot[0], "right")) + 1

    def _prints(self, receipt: I64) -> Prints:
        data = self.data
        rows = np.flatnonzero((data.kind >= TRADE_BUY) & (data.kind <= TRADE_UNKNOWN))
        ts, price, qty = (np.asarray(c[rows], np.int64) for c in (data.ts, data.price, data.qty))
        sell = np.asarray(data.kind[rows] == TRADE_SELL)
        for i in np.flatnonzero(data.kind[rows] == TRADE_UNKNOWN):
            sell[i] = bool(sell[i - 1]) if i and price[i] == price[i - 1] else bool(i and price[i] < price[i - 1])
        known = receipt[rows]
        fresh = np.ones(len(rows), np.bool_)
        if len(rows):
            fresh[1:] = (np.diff(ts) != 0) | (np.diff(price) != 0) | (sell[1:] != sell[:-1]) | (np.diff(known) != 0)
        return Prints(
            ts,
            known,
            price,
            qty,
            sell,
            np.concatenate(([0], np.cumsum(qty))).astype(np.int64),
            np.concatenate(([0], np.cumsum(price * qty))).astype(np.int64),
            np.cumsum(fresh).astype(np.int64),
        )

    # -- prefixes -----------------------------------------------------------------------------------------------------

    def packets_known(self, at_ns: int) -> int:
        """Number of packets whose effective receipt is at or before an instant."""
        return int(np.searchsorted(self.packet_receipt, at_ns, "right"))

    def packets_happened(self, at_ns: int) -> int:
        """Number of packets whose venue time is at or before an instant: what the engine may be fed."""
        return int(np.searchsorted(self.packet_ts, at_ns, "right"))

    def prints_happened(self, at_ns: int) -> int:
        """Number of prints at or before an instant of venue time."""
        return int(np.searchsorted(self.prints.ts, at_ns, "right"))

    def rows_of(self, first_packet: int, last_packet: int) -> tuple[int, int]:
        """Rows ``[start, stop)`` of packets ``[first, last)``."""
        start = int(self.ends[first_packet - 1]) if first_packet else 0
        return start, int(self.ends[last_packet - 1]) if last_packet else 0

    # -- what follows from prints: ``count`` prints are public --------------------------------------------------------

    def trade(self, index: int, divisor: int) -> dict[str, Any]:
        """REST shape of a print."""
        prints, scales = self.prints, self.scales
        price, qty = int(prints.price[index]), int(prints.qty[index])
        return {
            "id": index + 1,
            "price": scales.price(price),
            "qty": scales.qty(qty),
            "quoteQty": scales.notional_text(price * qty),
            "time": int(prints.ts[index]) // divisor,
            "isBuyerMaker": bool(prints.sell[index]),
            "isBestMatch": True,
        }

    def aggregates(self, first: int, stop: int) -> tuple[int, int]:
        """Aggregate numbers ``[first, stop)`` whose prints all lie in prints ``[first, stop)``."""
        numbers = self.prints.aggregate
        if stop <= first:
            return 0, 0
        lowest, highest = int(numbers[first]), int(numbers[stop - 1])
        if first and int(numbers[first - 1]) == lowest:
            lowest += 1
        return lowest, highest + 1

    def aggregate(self, number: int, divisor: int) -> dict[str, Any]:
        """REST shape of an aggregate trade."""
        prints, scales = self.prints, self.scales
        first = int(np.searchsorted(prints.aggregate, number, "left"))
        last = int(np.searchsorted(prints.aggregate, number, "right")) - 1
        return {
            "a": number,
            "p": scales.price(int(prints.price[first])),
            "q": scales.qty(int(prints.volume[last + 1] - prints.volume[first])),
            "f": first + 1,
            "l": last + 1,
            "T": int(prints.ts[first]) // divisor,
            "m": bool(prints.sell[first]),
            "M": True,
        }

    def average_price(self, count: int, now_ns: int, minutes: int) -> int:
        """Volume-weighted average price of the last minutes in 1e-8 units; else the last price, 0 before any print."""
        prints = self.prints
        first = int(np.searchsorted(prints.ts[:count], now_ns - minutes * MINUTE, "left")) if minutes else count
        volume = int(prints.volume[count] - prints.volume[first])
        if volume == 0:
            return int(prints.price[count - 1]) * self.scales.tick_units if count else 0
        return int(prints.cash[count] - prints.cash[first]) * self.scales.tick_units // volume

    def kline(self, first: int, stop: int, open_ns: int, width_ns: int, divisor: int) -> list[Any]:
        """REST shape of the candle made of prints ``[first, stop)``, which are not none."""
        prints, scales = self.prints, self.scales
        price, qty, buys = prints.price[first:stop], prints.qty[first:stop], ~prints.sell[first:stop]
        return [
            open_ns // divisor,
            scales.price(int(price[0])),
            scales.price(int(price.max())),
            scales.price(int(price.min())),
            scales.price(int(price[-1])),
            scales.qty(int(qty.sum())),
            (open_ns + width_ns) // divisor - 1,
            scales.notional_text(int(prints.cash[stop] - prints.cash[first])),
            stop - first,
            scales.qty(int(qty[buys].sum())),
            scales.notional_text(int((price[buys] * qty[buys]).sum())),
            "0",
        ]

    def klines(
        self, count: int, interval: str, start_ns: int | None, end_ns: int | None, limit: int, divisor: int
    ) -> list[list[Any]]:
        """Candles of the public prints, oldest first; a stretch without prints repeats the last close."""
        if count == 0:
            return []
        prints, width = self.prints, INTERVALS[interval]
        lowest = int(prints.ts[0]) // width * width
        highest = int(prints.ts[count - 1]) // width * width
        if end_ns is not None:
            highest = min(highest, end_ns // width * width)
        if start_ns is not None:
            lowest = max(lowest, -(-start_ns // width) * width)
            highest = min(highest, lowest + (limit - 1) * width)
        else:
            lowest = max(lowest, highest - (limit - 1) * width)
        opens = range(lowest, highest + 1, width)
        edges = np.searchsorted(prints.ts[:count], np.array([*opens, highest + width], np.int64), "left")
        found = []
        for i, open_ns in enumerate(opens):
            first, stop = int(edges[i]), int(edges[i + 1])
            if stop > first:
                found.append(self.kline(first, stop, open_ns, width, divisor))
            elif first:
                close = self.scales.price(int(prints.price[first - 1]))
                zero = self.scales.qty(0)
                end = (open_ns + width) // divisor - 1
                found.append([open_ns // divisor, close, close, close, close, zero, end, zero, 0, zero, zero, "0"])
        return found

    def day(self, count: int, now_ns: int) -> dict[str, int]:
        """Figures of the 24 hours up to an instant: prices in ticks, sums in lots and tick*lots, times in ns."""
        prints = self.prints
        first = int(np.searchsorted(prints.ts[:count], now_ns - DAY, "left"))
        if first >= count:
            last = int(prints.price[count - 1]) if count else 0
            window = prints.price[:0]
        else:
            window = prints.price[first:count]
            last = int(window[-1])
        return {
            "first": first,
            "open": int(window[0]) if len(window) else last,
            "high": int(window.max()) if len(window) else last,
            "low": int(window.min()) if len(window) else last,
            "last": last,
            "last_qty": int(prints.qty[count - 1]) if count else 0,
            "previous": int(prints.price[first - 1]) if first else (int(window[0]) if len(window) else last),
            "volume": int(prints.volume[count] - prints.volume[first]),
            "cash": int(prints.cash[count] - prints.cash[first]),
            "count": count - first,
        }
