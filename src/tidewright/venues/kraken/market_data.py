"""Kraken spot's public market data over WebSocket v2: book (with its checksum) and trade.

Book updates carry no number; the only proof of a right book is the CRC32 over the ten best levels of each side that
every message brings. A book that fails it is a gap, and the symbol's book is subscribed anew, which brings a snapshot;
the other symbols of the socket go on. After every update the book is cut to the subscribed depth, as the venue demands:
it does not say what happens to levels that have left its sight. Those removals are flagged as inferred.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from zlib import crc32

from tidewright.market.clock import Clock
from tidewright.market.codes import ASK, BID, INFERRED
from tidewright.market.errors import DataError, NotFoundError, UsageError, VenueError
from tidewright.market.instrument import Filters, Instrument
from tidewright.venues.recording.book import BookSide
from tidewright.venues.recording.connection import ReconnectError
from tidewright.venues.recording.levels import Level, LevelStream
from tidewright.venues.recording.limits import Limits
from tidewright.venues.recording.rest import PublicRest
from tidewright.venues.recording.times import text_ns

REST: Final = "https://api.kraken.com"
WS: Final = "wss://ws.kraken.com/v2"

# About 150 connection attempts in 10 minutes for each address; heartbeats come every second.
LIMITS: Final = Limits(
    attempts=60, window_s=600.0, silence_s=10.0, messages_per_s=4.0, symbols_per_socket=50, snapshot_s=20.0
)

DEPTHS: Final = (10, 25, 100, 500, 1000)
_CHECKED_LEVELS: Final = 10
_GIVE_UP: Final = 4  # failed checksums in a row, snapshots among them, after which the connection is made anew
_COMMON_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}  # REST still has the old names, WebSocket v2 the common ones


class KrakenStream(LevelStream):
    """One symbol's book, checked, and its trades.

    Parameters
    ----------
    instrument
        Tick and lot must be powers of ten or multiples of the precision the venue's checksum is computed with.
    depth
        Levels a side subscribed to.
    precision
        Decimals of prices and of quantities in the checksum: ``pair_decimals`` and ``lot_decimals``.
    """

    def __init__(self, instrument: Instrument, depth: int, precision: tuple[int, int], last_trade_id: int = 0) -> None:
        super().__init__(instrument, last_trade_id)
        self.depth = depth
        self.checksum_failures = self.failures_in_a_row = 0
        self._bids, self._asks = BookSide(), BookSide()
        self._price_unit = _units(instrument.tick, precision[0], "tick size")
        self._qty_unit = _units(instrument.lot, precision[1], "lot size")

    def counters(self) -> dict[str, int]:
        """As of every stream, and the checksums that failed."""
        return {**super().counters(), "checksum_failures": self.checksum_failures}

    def checksum(self) -> int:
        """CRC32 over the ten best levels: asks rising, bids falling, digits of price and quantity of each."""
        price_unit, qty_unit, parts = self._price_unit, self._qty_unit, []
        for side, best in (
            (self._asks, self._asks.prices[:_CHECKED_LEVELS]),
            (self._bids, self._bids.prices[: -_CHECKED_LEVELS - 1 : -1]),
        ):
            parts += [f"{price * price_unit}{side.levels[price] * qty_unit}" for price in best]
        return crc32("".join(parts).encode())

    def on_book(self, data: dict[str, Any], *, snapshot: bool, received_ns: int) -> bool:
        """A book message; ``False``: the checksum failed and the symbol has to be subscribed anew."""
        rows = [(BID, _digits(row["price"]), _digits(row["qty"])) for row in data["bids"]]
        rows += [(ASK, _digits(row["price"]), _digits(row["qty"])) for row in data["asks"]]
        levels = self.levels(rows, snapshot=snapshot)
        ts = text_ns(data["timestamp"]) if "timestamp" in data else 0
        checksum = int(data["checksum"])
        if snapshot:
            self.gap(received_ns)
            self._bids.clear()
            self._asks.clear()
        elif self.needs_snapshot:
            self.book_change(levels, ts, received_ns, None)  # counted as stale
            return True
        for kind, price, qty in levels:
            (self._bids if kind == BID else self._asks).set(price, qty)
        cut = self._cut()
        right = self.checksum() == checksum
        self.failures_in_a_row = 0 if right else self.failures_in_a_row + 1
        if snapshot and right:
            self.book_snapshot(levels + cut, ts, received_ns)
        elif right:
            flags = [0] * len(levels) + [INFERRED] * len(cut)
            self.book_change(levels + cut, ts, received_ns, flags)
        else:
            self.checksum_failures += 1
            self.gap(received_ns)
        return right

    def _cut(self) -> list[Level]:
        """Remove what lies beyond the subscribed depth."""
        cut: list[Level] = []
        if len(self._bids) > self.depth:
            cut += [(BID, price, 0) for price in self._bids.prices[: len(self._bids) - self.depth]]
        if len(self._asks) > self.depth:
            cut += [(ASK, price, 0) for price in self._asks.prices[self.depth :]]
        for kind, price, _ in cut:
            (self._bids if kind == BID else self._asks).set(price, 0)
        return cut


def _units(step: Fraction, decimals: int, what: str) -> int:
    units = step * 10**decimals
    if units.denominator != 1:
        raise UsageError(f"the {what} must be a multiple of the venue's precision of {decimals} decimals, was {step}")
    return int(units)


def _digits(number: str | int) -> str:
    """Plain decimal text of a JSON number that was read as text (``1e-05`` is allowed there)."""
    text = str(number)
    return f"{Decimal(text):f}" if "e" in text or "E" in text else text


class KrakenSocket:
    """The messages of one connection (see :class:`tidewright.venues.recording.connection.MarketSocket`)."""

    def __init__(self, url: str, streams: Mapping[str, KrakenStream], depth: int, snapshot_s: float) -> None:
        self.url = url
        self.streams = dict(streams)
        self.healthy = False
        self._depth, self._snapshot_s = depth, snapshot_s
        self._out: list[str] = []
        self._requests = 0
        self._asked: dict[str, int] = {}  # symbol: receipt of the message that made its book void
        self._newest = 0

    def on_open(self) -> list[str]:
        """Subscribe to trades, then to books."""
        self._out, self._asked = [], {}
        for stream in self.streams.values():
            stream.failures_in_a_row = 0
        symbols = list(self.streams)
        return [
            self._request("subscribe", {"channel": "trade", "symbol": symbols, "snapshot": True}),
            self._request("subscribe", self._book(symbols)),
        ]

    def on_lost(self, received_ns: int) -> None:
        """All books of the connection are gaps."""
        for stream in self.streams.values():
            stream.gap(received_ns)

    def outgoing(self) -> list[str]:
        """New subscriptions of books whose checksum failed."""
        waiting, self._out = self._out, []
        return waiting

    def overdue(self, open_s: float) -> str | None:
        """A snapshot that has not come, after the start or a failed checksum."""
        limit_ns = int(self._snapshot_s * 1e9)
        late = [symbol for symbol, since in self._asked.items() if self._newest - since > limit_ns]
        if open_s > self._snapshot_s and not late:
            late = [s for s, stream in self.streams.items() if stream.needs_snapshot and s not in self._asked]
        return f"no book snapshot of {', '.join(late)} after {self._snapshot_s:.0f} s" if late else None

    async def heal(self, rest: PublicRest) -> None:
        """Nothing: snapshots come in the stream."""
        await asyncio.sleep(0)

    def on_text(self, text: str, received_ns: int) -> None:
        """Decode one message; numbers are read as the text they were sent as."""
        self._newest = received_ns
        try:
            message = json.loads(text, parse_float=str)
            if "method" in message:
                self._on_answer(message)
                return
            channel = message.get("channel")
            if channel == "book":
                for data in message["data"]:
                    self._on_book(data, message["type"] == "snapshot", received_ns)
            elif channel == "trade":
                self._on_trades(message["data"], message["type"] == "snapshot", received_ns)
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            if isinstance(error, DataError | UsageError):
                raise
            raise DataError(f"malformed Kraken message ({type(error).__name__}: {error}): {text:.300}") from None

    def _on_answer(self, message: dict[str, Any]) -> None:
        if message.get("success", True) or message["method"] == "unsubscribe":
            return
        words = str(message.get("error", "refused"))
        if self.healthy:
            raise ReconnectError(f"the venue refused a request: {words}")
        raise VenueError(0, words)

    def _on_book(self, data: dict[str, Any], snapshot: bool, received_ns: int) -> None:
        symbol = data["symbol"]
        stream = self.streams.get(symbol)
        if stream is None:
            return
        if not stream.on_book(data, snapshot=snapshot, received_ns=received_ns):
            if stream.failures_in_a_row >= _GIVE_UP:
                raise DataError(f"the checksum of {symbol} failed {_GIVE_UP} times in a row")
            self._asked[symbol] = received_ns
            self._out.append(
                self._request("unsubscribe", {"channel": "book", "symbol": [symbol], "depth": self._depth})
            )
            self._out.append(self._request("subscribe", self._book([symbol])))
        elif snapshot and not stream.needs_snapshot:
            self._asked.pop(symbol, None)
            self.healthy = True

    def _on_trades(self, trades: list[dict[str, Any]], past: bool, received_ns: int) -> None:
        trades = sorted(trades, key=lambda trade: int(trade["trade_id"]))
        for trade in trades:
            stream = self.streams.get(trade["symbol"])
            if stream is None:
                continue
            if trade["side"] not in ("buy", "sell"):
                raise DataError(f"the side of a trade must be buy or sell, was {trade['side']!r}")
            stream.trade(
                int(trade["trade_id"]),
                _digits(trade["price"]),
                _digits(trade["qty"]),
                buyer_took=trade["side"] == "buy",  # the taker's side
                ts_ns=text_ns(trade["timestamp"]),
                ts_local_ns=received_ns,
                past=past,
            )
        if past:
            for trade in trades:
                if trade["symbol"] in self.streams:
                    self.streams[trade["symbol"]].trades_begin_after(int(trade["trade_id"]))

    def _book(self, symbols: list[str]) -> dict[str, Any]:
        return {"channel": "book", "symbol": symbols, "depth": self._depth, "snapshot": True}

    def _request(self, method: str, params: dict[str, Any]) -> str:
        self._requests += 1
        return json.dumps({"method": method, "params": params, "req_id": self._requests})


class Kraken:
    """Kraken's public market data, for recording.

    Parameters
    ----------
    rest_url, ws_url
        Other places to get it from.
    depth
        Levels a side: 10, 25, 100, 500 or 1000.
    limits
        Manners, for a local server.
    """

    name = "kraken"

    def __init__(self, rest_url: str = "", ws_url: str = "", depth: int = 1000, limits: Limits = LIMITS) -> None:
        if depth not in DEPTHS:
            raise UsageError(f"kraken's depth must be one of {', '.join(map(str, DEPTHS))}, was {depth}")
        self.rest_url, self.ws_url, self.limits, self.depth = rest_url or REST, ws_url or WS, limits, depth
        self._pairs: dict[str, dict[str, Any]] = {}  # by common name
        self._precision: dict[str, tuple[int, int]] = {}

    @property
    def detail(self) -> str:
        """What its tapes hold."""
        return f"L2 ({self.depth} levels)+trades"

    def symbol(self, text: str) -> str:
        """``xbt-usd`` as ``BTC/USD``."""
        return _common(text.upper().replace("-", "/"))

    async def instrument(self, rest: PublicRest, symbol: str, tick: str | None, lot: str | None) -> Instrument:
        """The pair, from ``AssetPairs``; asked even with both steps given, for the checksum's decimals."""
        if not self._pairs:
            answer = await rest.get_surely("/0/public/AssetPairs", {})
            try:
                if answer["error"]:
                    raise VenueError(0, "; ".join(map(str, answer["error"])))
                self._pairs = {_common(p["wsname"]): p for p in answer["result"].values() if p.get("wsname")}
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(f"malformed AssetPairs ({type(error).__name__}: {error})") from None
        pair = self._pairs.get(symbol)
        if pair is None:
            raise NotFoundError(f"kraken has no pair {symbol!r}")
        try:
            precision = int(pair["pair_decimals"]), int(pair["lot_decimals"])
            self._precision[symbol] = precision
            step = lot or _step(precision[1])
            base, _, quote = symbol.partition("/")
            return Instrument(
                "kraken",
                symbol,
                base,
                quote,
                tick or _plain(pair.get("tick_size") or _step(precision[0])),
                step,
                maker_fee=_rate((pair.get("fees_maker") or pair["fees"])[0][1]),
                taker_fee=_rate(pair["fees"][0][1]),
                filters=Filters(min_qty_lots=max(1, int(Decimal(pair.get("ordermin", "0")) // Decimal(step)))),
            )
        except (KeyError, TypeError, IndexError, ArithmeticError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise DataError(f"malformed AssetPairs entry of {symbol} ({type(error).__name__}: {error})") from None

    def socket(self, instruments: Sequence[Instrument], last_trades: Mapping[str, int], clock: Clock) -> KrakenSocket:
        """Decoders for a new socket."""
        streams = {
            item.symbol: KrakenStream(item, self.depth, self._precision[item.symbol], last_trades.get(item.symbol, 0))
            for item in instruments
        }
        return KrakenSocket(self.ws_url, streams, self.depth, self.limits.snapshot_s)


def _common(name: str) -> str:
    return "/".join(_COMMON_NAMES.get(part, part) for part in name.split("/"))


def _step(decimals: int) -> str:
    return f"{Decimal(1).scaleb(-decimals):f}"


def _plain(step: str) -> str:
    return f"{Decimal(step).normalize():f}"


def _rate(percent: float | int | str) -> int:
    """Fee rate in 1e-8 from a percentage such as 0.26."""
    return int(Decimal(str(percent)) * 1_000_000)
