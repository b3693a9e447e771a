"""One Binance futures symbol's messages as tape rows: USDⓈ-M and COIN-M, whose streams speak the same.

Against spot (:mod:`tidewright.market.binance_stream`), as Binance's documents of the futures streams say:

* depth updates carry ``pu``, the last id of the update before: each must equal the ``u`` of the one applied before it
  (ids themselves jump); the first one after a snapshot must reach back to it (``pu <= lastUpdateId <= u``);
* depth updates, tickers and trades carry ``T``, the time of matching, which becomes the row's venue time;
* prints of the insurance fund and of auto-deleveraging (``X`` is not ``MARKET``) do not meet the book: left out;
* ``markPriceUpdate`` becomes a mark price row, rounded to the tick. When its next funding time moves on, the rate last
  shown was charged: a funding row, flagged inferred.
"""

from decimal import Decimal
from typing import Any

from tidewright.market.binance_stream import BinanceStream, venue_ns
from tidewright.market.codes import FUNDING, INFERRED, MARK, UNIT
from tidewright.market.errors import DataError
from tidewright.market.instrument import Instrument


class FuturesStream(BinanceStream):
    """Decodes the messages of one futures symbol into tape rows.

    Attributes
    ----------
    other_trades
        Prints of the insurance fund, of auto-deleveraging and of unknown origin that were left out.
    """

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument)
        self.other_trades = 0
        self._tick = Decimal(instrument.tick_size)
        self._funding: tuple[int, int] | None = None  # next funding time in ns, rate in 1e-8

    def on_message(self, payload: dict[str, Any], ts_local_ns: int) -> None:
        """Decode one raw message; see :meth:`BinanceStream.on_message`."""
        event = payload.get("e")
        if event == "trade" and payload.get("X", "MARKET") != "MARKET":
            self.other_trades += 1
        elif event == "markPriceUpdate":
            self._on_mark(payload, ts_local_ns)
        else:
            super().on_message(payload, ts_local_ns)

    def _follows(self, payload: dict[str, Any], last_id: int, *, after_snapshot: bool) -> bool:
        previous = payload["pu"]
        return bool(previous <= last_id if after_snapshot else previous == last_id)

    def _time(self, payload: dict[str, Any]) -> int:
        return venue_ns(payload["T"] if "T" in payload else payload["E"])

    def _on_mark(self, payload: dict[str, Any], ts_local: int) -> None:
        try:
            if payload["s"] != self.instrument.symbol:
                raise DataError(f"a message of {payload['s']} came in the stream of {self.instrument.symbol}")
            ts, price = venue_ns(payload["E"]), Decimal(payload["p"])
            rate = int(Decimal(payload["r"]) * UNIT) if payload.get("r") else None  # delivery contracts have none
            due = venue_ns(payload["T"]) if payload.get("T") else 0
        except (KeyError, TypeError, ArithmeticError, AttributeError) as error:
            raise DataError(f"malformed mark price ({type(error).__name__}: {error}): {payload!r:.300}") from None
        if self._funding is not None and due > self._funding[0]:
            self._emit(self._funding[0], ts_local, [FUNDING], [self._funding[1]], [0], INFERRED)
        self._funding = (due, rate) if rate is not None and due else None
        self._emit(ts, ts_local, [MARK], [round(price / self._tick)], [0], 0)
