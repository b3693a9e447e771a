"""Tape packets as Binance's market messages, rendered once whatever the number of subscribers.

One ``depthUpdate`` a packet with level rows, one ``trade`` a print, one ``bookTicker`` a packet with best-bid/ask rows.
Every level row takes one update id and the ranges ``U..u`` have no gaps. Where a tape has no best-bid/ask rows,
``bookTicker`` follows from the book and bears an id *inside* the update that moved it: it says nothing new, and a
decoder that knows update ids drops it.

A snapshot in the middle of a tape (a reset, then levels) is published as the differences it makes; until it is complete
the public book stays as it was.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from tidewright.market.clock import SECOND
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, RESET, SNAPSHOT, TRADE_BUY, TRADE_UNKNOWN
from tidewright.venues.paper import ticker_messages, topics
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.public_book import Levels, PublicBook

Wanted = Mapping[int, frozenset[str]]  # topics by divisor of nanoseconds
Messages = dict[int, list[tuple[str, bytes]]]  # (topic, payload) in order, by divisor

_NOTHING: Final[frozenset[str]] = frozenset()
_TIMED: Final = frozenset({topics.TICKER, topics.MINI_TICKER, topics.MINI_TICKERS, *topics.KLINES})


class MarketPublisher:
    """Walks along a tape and renders its messages.

    Parameters
    ----------
    market
        The prepared tape; its opening snapshot is public from the start.

    Attributes
    ----------
    packets
        Packets published.
    prints
        Prints published; also the last trade id.
    update_id
        Newest update id, of depth or bookTicker.
    depth_id
        ``u`` of the last ``depthUpdate``: the ``lastUpdateId`` of a snapshot of :attr:`book`.
    book
        The book that the depth stream describes.
    """

    def __init__(self, market: TapeMarket) -> None:
        self.market = market
        self.packets = self.prints = 0
        self.update_id = self.depth_id = 0
        self.book = PublicBook()
        self._fresh: PublicBook | None = None
        self._quote: tuple[int, int, int, int] | None = None  # of the tape's best-bid/ask rows
        self._derived: tuple[int, int, int, int] = (0, 0, 0, 0)
        self._next_tick = 0
        self._candles: dict[str, int] = {}
        self._ticker_prints = -1
        self._symbol = market.instrument.symbol
        self.publish(market.opening_packets, market.start_ns, {})

    @property
    def quote(self) -> tuple[int, int, int, int]:
        """Best bid and ask as ``(bid ticks, bid lots, ask ticks, ask lots)``, 0 where a side is empty."""
        return self._quote if self._quote is not None else self.book.best()

    def publish(self, stop: int, now_ns: int, wanted: Wanted) -> Messages:
        """Publish packets up to number ``stop`` (exclusive).

        Parameters
        ----------
        stop
            Number of packets that are public afterwards.
        now_ns
            Market time afterwards: timed streams (tickers, candles) are brought up to it.
        wanted
            Topics with subscribers, by divisor from nanoseconds to their time unit. Others are not rendered.
        """
        out: Messages = {divisor: [] for divisor in wanted}
        timed = any(not _TIMED.isdisjoint(kinds) for kinds in wanted.values())
        if stop > self.packets:
            self._walk(stop, wanted, out, timed)
        if timed:
            self._tick(now_ns, wanted, out)
        self._next_tick = (now_ns // SECOND + 1) * SECOND
        return out

    def _walk(self, stop: int, wanted: Wanted, out: Messages, timed: bool) -> None:
        market = self.market
        row, last = market.rows_of(self.packets, stop)
        first = row
        kinds, flags, prices, quantities = (
            column[row:last].tolist()
            for column in (market.data.kind, market.data.flags, market.data.price, market.data.qty)
        )
        ends = market.ends[self.packets : stop].tolist()
        times = market.packet_ts[self.packets : stop].tolist()
        receipts = market.packet_receipt[self.packets : stop].tolist() if timed else times
        for packet, end in enumerate(ends):
            if timed:
                self._tick(receipts[packet] - 1, wanted, out)
            bids: Levels = []
            asks: Levels = []
            best: list[tuple[int, int, int]] = []
            snapshot = 0
            for i in range(row - first, end - first):
                kind = kinds[i]
                if kind == BID:
                    bids.append((prices[i], quantities[i]))
                elif kind == ASK:
                    asks.append((prices[i], quantities[i]))
                elif TRADE_BUY <= kind <= TRADE_UNKNOWN:
                    self._on_print(kind, wanted, out)
                elif kind == BEST_BID or kind == BEST_ASK:
                    best.append((kind, prices[i], quantities[i]))
                elif kind == RESET:
                    self._fresh = PublicBook()
                    bids, asks = [], []
                snapshot |= flags[i] & SNAPSHOT
            row = end
            if bids or asks or snapshot:
                self._on_levels(times[packet], bids, asks, bool(snapshot), wanted, out)
            if best:
                self._on_best(times[packet], best, wanted, out)
        self.packets = stop

    # -- levels -------------------------------------------------------------------------------------------------------

    def _on_levels(self, ts: int, bids: Levels, asks: Levels, snapshot: bool, wanted: Wanted, out: Messages) -> None:
        book = self._fresh if self._fresh is not None else self.book
        set_bid, set_ask = book.bids.set, book.asks.set
        for price, qty in bids:
            set_bid(price, qty)
        for price, qty in asks:
            set_ask(price, qty)
        if self._fresh is not None:
            if not snapshot:
                return
            bids, asks = self.book.difference(self._fresh)
            self.book, self._fresh = self._fresh, None
        if not bids and not asks:
            return
        first = self.depth_id + 1
        self.depth_id = self.update_id = self.update_id + len(bids) + len(asks)
        levels = b""
        for divisor, kinds in wanted.items():
            if topics.DEPTH in kinds:
                if not levels:
                    levels = self._render_levels(first, bids, asks)
                out[divisor].append((topics.DEPTH, b'{"e":"depthUpdate","E":%d%b' % (ts // divisor, levels)))
            if not kinds.isdisjoint(topics.PARTIAL):
                for topic, count in topics.PARTIAL.items():
                    if topic in kinds:
                        out[divisor].append((topic, orjson.dumps(self.depth(count))))
        if not self.market.has_best_rows and any(topics.BOOK_TICKER in kinds for kinds in wanted.values()):
            self._on_derived(ts, wanted, out)

    def _render_levels(self, first: int, bids: Levels, asks: Levels) -> bytes:
        price, qty = self.market.scales.price, self.market.scales.qty
        bid_text = ",".join([f'["{price(p)}","{qty(q)}"]' for p, q in bids])
        ask_text = ",".join([f'["{price(p)}","{qty(q)}"]' for p, q in asks])
        return f',"s":"{self._symbol}","U":{first},"u":{self.depth_id},"b":[{bid_text}],"a":[{ask_text}]}}'.encode()

    def depth(self, count: int) -> dict[str, Any]:
        """``lastUpdateId, bids, asks`` of the public book, at most ``count`` levels a side."""
        price, qty = self.market.scales.price, self.market.scales.qty
        return {
            "lastUpdateId": self.depth_id,
            "bids": [(price(p), qty(q)) for p, q in self.book.bids.highest(count)],
            "asks": [(price(p), qty(q)) for p, q in self.book.asks.lowest(count)],
        }

    # -- best bid and ask ---------------------------------------------------------------------------------------------

    def _on_best(self, ts: int, rows: list[tuple[int, int, int]], wanted: Wanted, out: Messages) -> None:
        bid, bid_qty, ask, ask_qty = self.quote
        for kind, price, qty in rows:
            if kind == BEST_BID:
                bid, bid_qty = price, qty
            else:
                ask, ask_qty = price, qty
        self._quote = (bid, bid_qty, ask, ask_qty)
        self.update_id += len(rows)
        self._send_quote(ts, self.update_id, self._quote, wanted, out)

    def _on_derived(self, ts: int, wanted: Wanted, out: Messages) -> None:
        best = self.book.best()
        if best != self._derived:
            self._derived = best
            self._send_quote(ts, self.depth_id - 1, best, wanted, out)

    def _send_quote(
        self, ts: int, update_id: int, quote: tuple[int, int, int, int], wanted: Wanted, out: Messages
    ) -> None:
        for divisor, kinds in wanted.items():
            if topics.BOOK_TICKER in kinds:
                price, qty = self.market.scales.price, self.market.scales.qty
                bid, bid_qty, ask, ask_qty = quote
                # E is not in Binance's message, which has no time at all: clients that know it need not guess
                text = (
                    f'{{"u":{update_id},"s":"{self._symbol}","b":"{price(bid)}","B":"{qty(bid_qty)}",'
                    f'"a":"{price(ask)}","A":"{qty(ask_qty)}","E":{ts // divisor}}}'
                )
                out[divisor].append((topics.BOOK_TICKER, text.encode()))

    # -- prints -------------------------------------------------------------------------------------------------------

    def _on_print(self, kind: int, wanted: Wanted, out: Messages) -> None:
        index = self.prints
        self.prints = index + 1
        for divisor, kinds in wanted.items():
            if topics.TRADE in kinds:
                out[divisor].append((topics.TRADE, self._render_print(index, kind != TRADE_UNKNOWN, divisor)))
            if topics.AGGREGATE in kinds:
                numbers = self.market.prints.aggregate
                if self.prints == len(numbers) or numbers[index + 1] != numbers[index]:
                    out[divisor].append((topics.AGGREGATE, self._render_aggregate(int(numbers[index]), divisor)))

    def _render_print(self, index: int, side_known: bool, divisor: int) -> bytes:
        prints, scales = self.market.prints, self.market.scales
        time, price, qty = int(prints.ts[index]) // divisor, int(prints.price[index]), int(prints.qty[index])
        return (
            f'{{"e":"trade","E":{time},"s":"{self._symbol}","t":{index + 1},"p":"{scales.price(price)}",'
            f'"q":"{scales.qty(qty)}","T":{time},"m":{"true" if prints.sell[index] else "false"},'
            f'"M":{"true" if side_known else "false"}}}'
        ).encode()

    def _render_aggregate(self, number: int, divisor: int) -> bytes:
        fields = self.market.aggregate(number, divisor)
        return orjson.dumps({"e": "aggTrade", "E": fields["T"], "s": self._symbol, **fields})

    # -- streams that follow the clock --------------------------------------------------------------------------------

    def _tick(self, until_ns: int, wanted: Wanted, out: Messages) -> None:
        """Tickers and candles of the whole seconds up to an instant, with the prints that are public so far."""
        while self._next_tick <= until_ns:
            now, self._next_tick = self._next_tick, self._next_tick + SECOND
            changed = self.prints != self._ticker_prints
            self._ticker_prints = self.prints
            for divisor, kinds in wanted.items():
                if changed:
                    out[divisor] += ticker_messages.tickers(self.market, self.prints, self.quote, now, divisor, kinds)
                for topic in kinds.intersection(topics.KLINES):
                    width = topics.KLINES[topic]
                    closes = now % width == 0
                    if (changed or closes) and (width == SECOND or closes or now % (2 * SECOND) == 0):
                        out[divisor] += ticker_messages.candle(self.market, self.prints, now, divisor, topic)
