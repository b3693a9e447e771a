"""Coinbase Advanced Trade's public market data: level2 (the full book), market_trades, heartbeats.

``sequence_num`` counts all messages of a connection, whatever their channel or product: a jump means that any of the
books may be wrong, so all of them become gaps and the connection is made anew, which brings new snapshots. The venue
offers no snapshot on the same counter anywhere else.

Facts that the messages themselves show (and the tests check on recorded ones): the side of a trade is the maker's, so
the aggressor is the other one; ``event_time`` of a level and ``time`` of a trade are the matching engine's, and a trade
comes up to 250 ms after the levels it changed. Rows stay in order of receipt, so such a trade's venue time is raised
to that of the levels before it, and counted.
"""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from tidewright.market.clock import Clock
from tidewright.market.codes import ASK, BID
from tidewright.market.errors import DataError, NotFoundError, UsageError, VenueError
from tidewright.market.instrument import Filters, Instrument
from tidewright.venues.recording.connection import ReconnectError
from tidewright.venues.recording.levels import LevelStream
from tidewright.venues.recording.limits import Limits
from tidewright.venues.recording.rest import PublicRest
from tidewright.venues.recording.times import text_ns

REST: Final = "https://api.coinbase.com"
WS: Final = "wss://advanced-trade-ws.coinbase.com"

# The venue allows 8 connections and 8 messages a second for each address; heartbeats come every second.
LIMITS: Final = Limits(
    attempts=30, window_s=60.0, silence_s=10.0, messages_per_s=4.0, symbols_per_socket=20, snapshot_s=30.0
)

_CHANNELS: Final = ("heartbeats", "market_trades", "level2")
_SIDES: Final = {"bid": BID, "offer": ASK}
_MAKER_FEE, _TAKER_FEE = 600_000, 1_200_000  # 1e-8; the lowest tier's rates, for want of an account


class CoinbaseSocket:
    """The messages of one connection (see :class:`tidewright.venues.recording.connection.MarketSocket`).

    Parameters
    ----------
    instruments
        Subscribed products.
    last_trades
        By symbol, the newest trade an earlier run recorded.
    """

    def __init__(self, url: str, instruments: Sequence[Instrument], last_trades: Mapping[str, int]) -> None:
        self.url = url
        self.streams: dict[str, LevelStream] = {
            item.symbol: LevelStream(item, last_trades.get(item.symbol, 0)) for item in instruments
        }
        self.healthy = False
        self._next: int | None = None

    def on_open(self) -> list[str]:
        """Subscribe to the three channels."""
        self._next = None
        products = list(self.streams)
        requests = ({"type": "subscribe", "product_ids": products, "channel": channel} for channel in _CHANNELS)
        return [orjson.dumps(request).decode() for request in requests]

    def on_lost(self, received_ns: int) -> None:
        """All books of the connection are gaps."""
        for stream in self.streams.values():
            stream.gap(received_ns)

    def outgoing(self) -> list[str]:
        """Nothing: heartbeats come from the venue."""
        return []

    def overdue(self, open_s: float) -> str | None:
        """A snapshot that has not come."""
        if open_s < LIMITS.snapshot_s:
            return None
        waiting = [symbol for symbol, stream in self.streams.items() if stream.needs_snapshot]
        return f"no level2 snapshot of {', '.join(waiting)} after {open_s:.0f} s" if waiting else None

    async def heal(self, rest: PublicRest) -> None:
        """Nothing: snapshots come in the stream."""
        await asyncio.sleep(0)

    def on_text(self, text: str, received_ns: int) -> None:
        """Check the sequence, then decode."""
        try:
            message = orjson.loads(text)
            if message.get("type") == "error":
                self._refused(str(message.get("message", "")))
            number = int(message["sequence_num"])
            if self._next is not None and number != self._next:
                raise ReconnectError(f"sequence gap: message {self._next} was expected, {number} came")
            self._next = number + 1
            channel, events = message["channel"], message["events"]
            if channel == "l2_data":
                sent = text_ns(message["timestamp"])
                for event in events:
                    self._on_levels(event, sent, received_ns)
            elif channel == "market_trades":
                for event in events:
                    self._on_trades(event, received_ns)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"malformed Coinbase message ({type(error).__name__}: {error}): {text:.300}") from None

    def _refused(self, words: str) -> None:
        if self.healthy:
            raise ReconnectError(f"the venue reported: {words}")
        raise VenueError(0, words)

    def _on_levels(self, event: dict[str, Any], sent_ns: int, received_ns: int) -> None:
        stream = self.streams.get(event["product_id"])
        if stream is None:
            return
        updates, snapshot = event["updates"], event["type"] == "snapshot"
        rows = [(_SIDES[row["side"]], row["price_level"], row["new_quantity"]) for row in updates]
        levels = stream.levels(rows, snapshot=snapshot)
        if snapshot:
            # levels of a snapshot may bear the times of their last changes: the newest, never one before the epoch
            newest = max((row["event_time"] for row in updates), default="")
            stream.gap(received_ns)
            stream.book_snapshot(levels, _engine_time(newest, sent_ns), received_ns)
            self.healthy = self.healthy or not stream.needs_snapshot
        elif event["type"] == "update":
            times = {row["event_time"] for row in updates}
            newest = times.pop() if len(times) == 1 else max(times, default="")
            stream.book_change(levels, _engine_time(newest, sent_ns), received_ns, None)
        else:
            raise DataError(f"a level2 event must be a snapshot or an update, was {event['type']!r}")

    def _on_trades(self, event: dict[str, Any], received_ns: int) -> None:
        past = event["type"] == "snapshot"
        trades = sorted(event["trades"], key=lambda trade: int(trade["trade_id"]))  # they come newest first
        for trade in trades:
            stream = self.streams.get(trade["product_id"])
            if stream is None:
                continue
            if trade["side"] not in ("BUY", "SELL"):
                raise DataError(f"the side of a trade must be BUY or SELL, was {trade['side']!r}")
            stream.trade(
                int(trade["trade_id"]),
                trade["price"],
                trade["size"],
                buyer_took=trade["side"] == "SELL",  # the maker's side
                ts_ns=text_ns(trade["time"]),
                ts_local_ns=received_ns,
                past=past,
            )
        if past:
            for trade in trades:
                if trade["product_id"] in self.streams:
                    self.streams[trade["product_id"]].trades_begin_after(int(trade["trade_id"]))


def _engine_time(text: str, sent_ns: int) -> int:
    """The matching engine's time, or that of sending where there is none (``1970-01-01T00:00:00Z``)."""
    return (text_ns(text) if text else 0) or sent_ns


class Coinbase:
    """Coinbase's public market data, for recording.

    Parameters
    ----------
    rest_url, ws_url
        Other places to get it from.
    limits
        Manners, for a local server.
    """

    name = "coinbase"
    detail = "L2+trades"

    def __init__(self, rest_url: str = "", ws_url: str = "", limits: Limits = LIMITS) -> None:
        self.rest_url, self.ws_url, self.limits = rest_url or REST, ws_url or WS, limits

    def symbol(self, text: str) -> str:
        """``btc/usd`` as ``BTC-USD``."""
        return text.upper().replace("/", "-")

    async def instrument(self, rest: PublicRest, symbol: str, tick: str | None, lot: str | None) -> Instrument:
        """The product, from ``/market/products/{id}``."""
        base, _, quote = symbol.partition("-")
        if tick and lot:
            return Instrument("coinbase", symbol, base, quote, tick, lot, maker_fee=_MAKER_FEE, taker_fee=_TAKER_FEE)
        try:
            found = await rest.get_surely(f"/api/v3/brokerage/market/products/{symbol}", {})
        except VenueError as error:
            if error.code == 404 or "not found" in error.message.lower():
                raise NotFoundError(f"coinbase has no product {symbol!r}") from None
            raise
        try:
            if found.get("alias"):
                raise UsageError(
                    f"{symbol} is another name of {found['alias']}, which is what the venue sends: record that"
                )
            step = lot or _plain(found["base_increment"])
            smallest = int(Decimal(found["base_min_size"]) // Decimal(step))
            largest = int(Decimal(found["base_max_size"]) // Decimal(step))
            return Instrument(
                "coinbase",
                symbol,
                str(found["base_currency_id"]),
                str(found["quote_currency_id"]),
                tick or _plain(found["price_increment"]),
                step,
                filters=Filters(min_qty_lots=max(1, smallest), max_qty_lots=largest),
                maker_fee=_MAKER_FEE,
                taker_fee=_TAKER_FEE,
            )
        except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise DataError(f"malformed product information ({type(error).__name__}: {error})") from None

    def socket(self, instruments: Sequence[Instrument], last_trades: Mapping[str, int], clock: Clock) -> CoinbaseSocket:
        """Decoders for a new socket."""
        return CoinbaseSocket(self.ws_url, instruments, last_trades)


def _plain(step: str) -> str:
    return f"{Decimal(step).normalize():f}"
