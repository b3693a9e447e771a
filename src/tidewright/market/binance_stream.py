"""One Binance spot symbol's messages as tape rows, without any I/O: importer, live feed and recorder all decode here.

The local book follows Binance's procedure: depth updates wait until a snapshot has come; of those that waited,
what the snapshot already holds is dropped; every later update must continue the one before (``U <= last + 1 <= u``).
What does not is a gap: it is written down as a row and a new snapshot is needed.

``bookTicker`` messages share the update ids of the depth stream, but come without delay and without a venue time:

* one that is not newer than everything applied so far says nothing new and is dropped;
* a depth update that is older than the last ticker (``u`` under its id) may not touch that ticker's price or the better
  ones of the side: the ticker knows those better;
* its ``ts`` is its own ``E`` where a venue sends one, else the venue time of the message before it. The importer, which
  knows the future, places them more exactly.
"""

from typing import Any, Final

from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    GAP,
    INFERRED,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
)
from tidewright.market.errors import DataError
from tidewright.market.fixed_point import FixedPoint
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, of_packets

Levels = list[list[str]]

_PENDING_LIMIT: Final = 100_000  # messages kept while a snapshot is awaited


def venue_ns(time: int) -> int:
    """Nanoseconds of a venue's time, which comes in ms (13 digits), µs (16) or ns (19)."""
    if time < 100_000_000_000_000:
        return time * 1_000_000
    if time < 100_000_000_000_000_000:
        return time * 1_000
    return time


class BinanceStream:
    """Decodes the messages of one symbol into tape rows.

    Parameters
    ----------
    instrument
        Gives symbol, tick and lot. A price off the tick is an error. A quantity between two lots is taken for the
        higher one and counted: Binance shows quantities of orders older than a change of the lot size.

    Attributes
    ----------
    gaps
        Times the depth stream did not continue, and :meth:`on_disconnect` while a book was there.
    stale
        Depth updates, tickers and snapshots that held nothing newer than what was known.
    duplicates
        Trades whose id had already been seen.
    missing_trades
        Trade ids that were jumped over.
    clamped
        Messages whose venue time lay before that of a message received earlier: they were given the later time.
    ignored
        Messages of a kind that a tape does not hold.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.gaps = self.stale = self.duplicates = self.missing_trades = self.clamped = self.ignored = 0
        self._prices = FixedPoint(instrument.tick_size, "price", "tick size")
        self._quantities = FixedPoint(instrument.lot_size, "quantity", "lot size", round_up=True)
        self._needs_snapshot = True
        self._depth_id = self._snapshot_id = self._ticker_id = self._trade_id = 0
        self._ticker: tuple[int, int, int, int] | None = None  # bid, its quantity, ask, its quantity
        self._ticker_fresh = False  # no depth was applied since the ticker
        self._last_ts = 0
        self._pending: list[tuple[dict[str, Any], int]] = []
        self._spare_snapshot: tuple[int, Levels, Levels] | None = None
        self._clear()

    def _clear(self) -> None:
        self._kind, self._flags = bytearray(), bytearray()
        self._price: list[int] = []
        self._qty: list[int] = []
        self._packets: list[tuple[int, int, int]] = []  # ts, ts_local, rows

    # -- state --------------------------------------------------------------------------------------------------------

    @property
    def needs_snapshot(self) -> bool:
        """Whether there is no book: at the start and after a gap, until a fitting snapshot has come."""
        return self._needs_snapshot

    @property
    def last_update_id(self) -> int:
        """Newest update id applied, of depth or bookTicker; 0 before the first snapshot."""
        return max(self._depth_id, self._ticker_id)

    @property
    def last_trade_id(self) -> int:
        """Id of the newest trade; 0 before the first."""
        return self._trade_id

    @property
    def off_grid(self) -> int:
        """Quantities that were no multiple of the lot and were rounded up."""
        return self._quantities.rounded

    @property
    def last_ts(self) -> int:
        """Venue time of the newest row, nanoseconds; 0 before the first."""
        return self._last_ts

    def take(self) -> Columns:
        """Rows since the last call, whole packets only, in order."""
        data = of_packets(self._packets, self._kind, self._flags, self._price, self._qty)
        self._clear()
        return data

    # -- input --------------------------------------------------------------------------------------------------------

    def on_message(self, payload: dict[str, Any], ts_local_ns: int) -> None:
        """Decode one raw message (without the wrapper of a combined stream).

        Parameters
        ----------
        payload
            A ``depthUpdate``, ``trade`` or ``bookTicker``; other events are counted and ignored.
        ts_local_ns
            Receipt, nanoseconds.

        Raises
        ------
        DataError
            If it lacks a field, is of another symbol, or holds a malformed number or a price off the tick. Nothing
            of such a message is kept.
        """
        try:
            event = payload.get("e")
            if event is None and not ("b" in payload and "a" in payload and "u" in payload):
                self.ignored += 1
                return
            if payload["s"] != self.instrument.symbol:
                raise DataError(f"a message of {payload['s']} came in the stream of {self.instrument.symbol}")
            if event == "depthUpdate":
                self._on_depth(payload, ts_local_ns)
            elif event == "trade":
                self._on_trade(payload, ts_local_ns)
            elif event is None or event == "bookTicker":
                self._on_ticker(payload, ts_local_ns)
            else:
                self.ignored += 1
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"malformed Binance message ({type(error).__name__}: {error}): {payload!r:.300}") from None

    def on_snapshot(self, last_update_id: int, bids: Levels, asks: Levels, ts_ns: int, ts_local_ns: int) -> bool:
        """Start the book from a REST snapshot and apply the updates that waited for it.

        Parameters
        ----------
        last_update_id
            The snapshot's ``lastUpdateId``.
        bids, asks
            Levels as ``[price text, quantity text]``.
        ts_ns
            Its venue time, nanoseconds; a snapshot carries none, so the caller's best guess. 0: the newest venue time.
        ts_local_ns
            Receipt, nanoseconds.

        Returns
        -------
        bool
            Whether it was used. ``False``: it is older than the updates that wait (fetch another one), empty, or none
            was needed (it is kept in case the updates up to it turn out to be missing).
        """
        if not self._needs_snapshot:
            self._spare_snapshot = (last_update_id, bids, asks)
            self.stale += last_update_id <= self._depth_id
            return False
        ahead = [p for p, _ in self._pending if "U" in p and p["u"] > last_update_id]
        if ahead and not self._follows(ahead[0], last_update_id, after_snapshot=True):
            self.stale += 1
            return False
        bid_rows = [(self._prices[p], q) for p, t in bids if (q := self._quantities[t])]
        ask_rows = [(self._prices[p], q) for p, t in asks if (q := self._quantities[t])]
        return self._start(last_update_id, bid_rows, ask_rows, SNAPSHOT, ts_ns, ts_local_ns)

    def infer_snapshot(self, ts_local_ns: int, *, with_ticker: bool) -> bool:
        """Start the book from the messages that wait, for a recording that holds no snapshot.

        The rows are flagged as inferred: levels that have not changed since the recording began are not among them.

        Parameters
        ----------
        with_ticker
            Wait for a bookTicker, which says what the best prices are. Else the book starts as soon as the depth
            updates have named levels of both sides that do not cross.

        Returns
        -------
        bool
            Whether the book has started.
        """
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        newest, ticked = 0, False
        for payload, _ in self._pending:
            if "U" in payload:
                newest = max(newest, payload["u"])
                for levels, book in ((payload["b"], bids), (payload["a"], asks)):
                    book.update((self._prices[p], self._quantities[q]) for p, q in levels)
            elif payload["u"] >= newest:
                newest, ticked = payload["u"], True
                bid, ask = self._prices[payload["b"]], self._prices[payload["a"]]
                bids = {p: q for p, q in bids.items() if p < bid} | {bid: self._quantities[payload["B"]]}
                asks = {p: q for p, q in asks.items() if p > ask} | {ask: self._quantities[payload["A"]]}
        bid_rows = sorted(((p, q) for p, q in bids.items() if q), reverse=True)
        ask_rows = sorted((p, q) for p, q in asks.items() if q)
        if not bid_rows or not ask_rows or bid_rows[0][0] >= ask_rows[0][0] or (with_ticker and not ticked):
            return False
        ts = max((self._time(p) for p, _ in self._pending if "E" in p), default=0)
        self._pending.clear()  # all of it is in the levels
        return self._start(newest, bid_rows, ask_rows, SNAPSHOT | INFERRED, ts, ts_local_ns)

    def on_disconnect(self, ts_local_ns: int) -> None:
        """The connection was lost: messages may have been missed, so a book that was there is a gap from now on."""
        if not self._needs_snapshot:
            self._gap(self._last_ts, ts_local_ns)
        self._pending.clear()

    # -- messages -----------------------------------------------------------------------------------------------------

    def _on_trade(self, payload: dict[str, Any], ts_local: int) -> None:
        trade_id, ts = payload["t"], venue_ns(payload["T"])
        if trade_id <= self._trade_id:
            self.duplicates += 1
            return
        kind = TRADE_SELL if payload["m"] else TRADE_BUY
        self._emit(ts, ts_local, [kind], [self._prices[payload["p"]]], [self._quantities[payload["q"]]], 0)
        if self._trade_id:
            self.missing_trades += trade_id - self._trade_id - 1
        self._trade_id = trade_id

    def _on_ticker(self, payload: dict[str, Any], ts_local: int) -> None:
        if self._needs_snapshot:
            self._wait(payload, ts_local)
            return
        update_id = payload["u"]
        if update_id <= self.last_update_id:  # what the depth holds up to its id, the ticker cannot know better
            self.stale += 1
            return
        ticker = (
            self._prices[payload["b"]],
            self._quantities[payload["B"]],
            self._prices[payload["a"]],
            self._quantities[payload["A"]],
        )
        known = self._ticker if self._ticker_fresh and self._ticker else (-1, -1, -1, -1)
        kinds, prices, quantities = [], [], []
        for kind, i in ((BEST_BID, 0), (BEST_ASK, 2)):
            # an empty side comes as price 0, quantity 0: it says nothing about a level
            if ticker[i : i + 2] != known[i : i + 2] and ticker[i + 1] > 0:
                kinds.append(kind)
                prices.append(ticker[i])
                quantities.append(ticker[i + 1])
        if kinds:
            ts = self._time(payload) if "E" in payload else self._last_ts
            self._emit(ts, ts_local, kinds, prices, quantities, 0)
        self._ticker, self._ticker_id, self._ticker_fresh = ticker, update_id, True

    def _on_depth(self, payload: dict[str, Any], ts_local: int) -> None:
        if self._needs_snapshot:
            self._wait(payload, ts_local)
            return
        if payload["u"] <= self._depth_id:
            self.stale += 1
            return
        if not self._follows(payload, self._depth_id, after_snapshot=self._depth_id == self._snapshot_id):
            self._gap(self._time(payload), ts_local)
            self._wait(payload, ts_local)
            if self._spare_snapshot is not None:
                self.on_snapshot(*self._spare_snapshot, self._time(payload), ts_local)
            return
        self._apply_depth(payload, ts_local)

    def _follows(self, payload: dict[str, Any], last_id: int, *, after_snapshot: bool) -> bool:
        """Whether a depth update that is newer than ``last_id`` misses nothing after it."""
        return bool(payload["U"] <= last_id + 1)

    def _time(self, payload: dict[str, Any]) -> int:
        """Venue time of a depth update or ticker, nanoseconds."""
        return venue_ns(payload["E"])

    def _apply_depth(self, payload: dict[str, Any], ts_local: int) -> None:
        bids, asks, last = payload["b"], payload["a"], payload["u"]
        prices = [self._prices[p] for p, _ in bids]
        quantities = [self._quantities[q] for _, q in bids]
        ask_prices = [self._prices[p] for p, _ in asks]
        ask_quantities = [self._quantities[q] for _, q in asks]
        if last < self._ticker_id and self._ticker is not None:
            best_bid, best_ask = self._ticker[0], self._ticker[2]
            kept = [(p, q) for p, q in zip(prices, quantities, strict=True) if p < best_bid]
            kept_asks = [(p, q) for p, q in zip(ask_prices, ask_quantities, strict=True) if p > best_ask]
            prices, quantities = [p for p, _ in kept], [q for _, q in kept]
            ask_prices, ask_quantities = [p for p, _ in kept_asks], [q for _, q in kept_asks]
        kinds = [BID] * len(prices) + [ASK] * len(ask_prices)
        if kinds:
            self._emit(self._time(payload), ts_local, kinds, prices + ask_prices, quantities + ask_quantities, 0)
        self._depth_id, self._ticker_fresh = last, False

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _wait(self, payload: dict[str, Any], ts_local: int) -> None:
        self._pending.append((payload, ts_local))
        if len(self._pending) > _PENDING_LIMIT:
            del self._pending[: _PENDING_LIMIT // 2]

    def _gap(self, ts: int, ts_local: int) -> None:
        self.gaps += 1
        self._needs_snapshot = True
        self._ticker, self._ticker_fresh = None, False
        self._emit(ts, ts_local, [GAP], [0], [0], 0)

    def _start(
        self,
        last_update_id: int,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
        flags: int,
        ts: int,
        ts_local: int,
    ) -> bool:
        if not bids and not asks:
            return False
        levels = bids + asks
        kinds = [RESET] + [BID] * len(bids) + [ASK] * len(asks)
        self._emit(
            ts or self._last_ts, ts_local, kinds, [0] + [p for p, _ in levels], [0] + [q for _, q in levels], flags
        )
        self._flags[-len(kinds)] &= PACKET_END  # the reset itself is no member of the snapshot
        self._needs_snapshot, self._spare_snapshot = False, None
        self._depth_id, self._ticker_id, self._ticker = last_update_id, 0, None
        self._snapshot_id = last_update_id
        waiting, self._pending = self._pending, []
        for payload, received in waiting:
            # what waited could be used only now: its receipt is the snapshot's
            self.on_message(payload, max(received, ts_local))
        return True

    def _emit(
        self, ts: int, ts_local: int, kinds: list[int], prices: list[int], quantities: list[int], flags: int
    ) -> None:
        if ts < self._last_ts:
            self.clamped += 1
            ts = self._last_ts
        self._last_ts = ts
        count = len(kinds)
        self._kind += bytes(kinds)
        self._flags += bytes([flags]) * count
        self._flags[-1] |= PACKET_END
        self._price += prices
        self._qty += quantities
        self._packets.append((ts, ts_local, count))
