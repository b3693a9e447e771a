"""What decoders of full books and id'd trades have in common: gaps, snapshots, trades heard twice."""

from collections.abc import Sequence

from tidewright.market.codes import GAP, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.errors import DataError
from tidewright.market.fixed_point import FixedPoint
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns
from tidewright.venues.recording.grid import PriceGrid
from tidewright.venues.recording.rows import PacketBuffer

Level = tuple[int, int, int]  # BID or ASK, ticks, lots


class LevelStream:
    """Rows of one instrument whose book comes as a snapshot in the stream, followed by changes.

    Parameters
    ----------
    instrument
        Gives tick and lot. A level between two ticks is left out and counted, a print there is an error; a quantity
        between two lots is taken for the higher one and counted.
    last_trade_id
        Trades up to this one are on the tape already.
    """

    def __init__(self, instrument: Instrument, last_trade_id: int = 0) -> None:
        self.instrument = instrument
        self.prices = FixedPoint(instrument.tick_size, "price", "tick size")
        self.quantities = FixedPoint(instrument.lot_size, "quantity", "lot size", round_up=True)
        self._grid = PriceGrid(instrument)
        self._rows = PacketBuffer()
        self._needs_snapshot = True
        self._trade_id = last_trade_id
        self._gaps = self._duplicates = self._missing_trades = self._late_trades = self._stale = 0

    @property
    def needs_snapshot(self) -> bool:
        """Whether there is no book: at the start and after a gap."""
        return self._needs_snapshot

    @property
    def last_trade_id(self) -> int:
        """Id of the newest trade; 0 before the first."""
        return self._trade_id

    def take(self, *, final: bool) -> Columns:
        """Whole packets since the last call."""
        return self._rows.take()

    def counters(self) -> dict[str, int]:
        """What was counted since the start, by the name of a tape's note."""
        return {
            "sequence_gaps": self._gaps,
            "stale_messages_dropped": self._stale,
            "duplicate_trades_dropped": self._duplicates,
            "missing_trade_ids": self._missing_trades,
            "trades_recovered_late": self._late_trades,
            "venue_times_raised": self._rows.clamped,
            "quantities_rounded_up_to_a_lot": self.quantities.rounded,
            "levels_off_the_tick_dropped": self._grid.dropped,
        }

    def levels(self, rows: list[tuple[int, str, str]], *, snapshot: bool) -> list[Level]:
        """Levels from kind, price text and quantity text, without those left over from a finer tick.

        Raises
        ------
        DataError
            If a number is malformed, or so many prices of a snapshot are off the tick that the tick must be wrong.
        """
        prices, quantities = self.prices, self.quantities
        try:
            return [(kind, prices[price], quantities[qty]) for kind, price, qty in rows]
        except DataError:
            kept = self._grid.keep(rows, [price for _, price, _ in rows], snapshot=snapshot)
            return [(kind, prices[price], quantities[qty]) for kind, price, qty in kept]

    def gap(self, ts_local_ns: int) -> None:
        """Something was missed: the book, if there is one, is void from here on."""
        if self._needs_snapshot:
            return
        self._gaps += 1
        self._needs_snapshot = True
        self._rows.add(self._rows.last_ts, ts_local_ns, [GAP], [0], [0])

    def book_snapshot(self, levels: Sequence[Level], ts_ns: int, ts_local_ns: int) -> None:
        """Start the book anew; levels of quantity 0 are left out. Venue time 0: unknown, concluded from the receipt.

        An empty book is no start: the stream goes on waiting.
        """
        held = [level for level in levels if level[2]]
        if not held:
            self._stale += 1
            return
        kinds, prices, quantities = [RESET], [0], [0]
        for kind, price, qty in held:
            kinds.append(kind)
            prices.append(price)
            quantities.append(qty)
        ts = ts_ns or self._rows.venue_time(ts_local_ns)
        self._rows.add(ts, ts_local_ns, kinds, prices, quantities, [0] + [SNAPSHOT] * len(held))
        self._needs_snapshot = False

    def book_change(self, levels: Sequence[Level], ts_ns: int, ts_local_ns: int, flags: Sequence[int] | None) -> None:
        """Levels with their new quantities, as one packet; dropped while a snapshot is awaited."""
        if self._needs_snapshot:
            self._stale += 1
        elif levels:
            kinds, prices, quantities = zip(*levels, strict=True)
            self._rows.add(ts_ns or self._rows.venue_time(ts_local_ns), ts_local_ns, kinds, prices, quantities, flags)

    def trade(
        self, trade_id: int, price: str, qty: str, *, buyer_took: bool, ts_ns: int, ts_local_ns: int, past: bool
    ) -> None:
        """One print.

        Parameters
        ----------
        trade_id
            Rises by 1 from trade to trade of the instrument.
        past
            It comes from a list of earlier trades. The first such list is from before the recording and is left out;
            a later one holds what was missed while the connection was down: that is written, late, and counted.
        """
        if past and not self._trade_id:
            return
        if trade_id <= self._trade_id:
            self._duplicates += not past
            return
        ticks, lots = self.prices[price], self.quantities[qty]
        self._rows.add(ts_ns, ts_local_ns, [TRADE_BUY if buyer_took else TRADE_SELL], [ticks], [lots])
        if self._trade_id:
            self._missing_trades += trade_id - self._trade_id - 1
        self._late_trades += past
        self._trade_id = trade_id

    def trades_begin_after(self, trade_id: int) -> None:
        """Nothing up to this trade belongs to the recording, which has no trade yet."""
        if not self._trade_id:
            self._trade_id = trade_id
