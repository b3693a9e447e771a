"""Binance's words for orders, fills and balances, turned into the venue interface's. No I/O."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidewright.market.binance_stream import venue_ns
from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import DataError
from tidewright.market.fixed_point import FixedPoint
from tidewright.market.instrument import Instrument
from tidewright.venues.interface import Balances, FillUpdate, OrderUpdate, UserEvent, VenueStatus

_STATUS: Final = {
    "NEW": VenueStatus.NEW,
    "PENDING_NEW": VenueStatus.NEW,
    "PARTIALLY_FILLED": VenueStatus.PARTIALLY_FILLED,
    "FILLED": VenueStatus.FILLED,
    "CANCELED": VenueStatus.CANCELED,
    "REJECTED": VenueStatus.REJECTED,
    "EXPIRED": VenueStatus.EXPIRED,
    "EXPIRED_IN_MATCH": VenueStatus.EXPIRED,
}


class Reports:
    """Decoder for one instrument.

    Parameters
    ----------
    instrument
        Gives symbol, tick and lot; reports of other symbols are left out.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._symbol = instrument.symbol
        self._price = FixedPoint(instrument.tick_size, "price", "tick size")
        self._qty = FixedPoint(instrument.lot_size, "quantity", "lot size")
        self._units = FixedPoint("0.00000001", "amount", "unit")

    def user_event(self, event: Mapping[str, Any]) -> list[UserEvent]:
        """What one raw user event says; a trade gives the fill and then the order's new state.

        Raises
        ------
        DataError
            If a field is missing or malformed.
        """
        try:
            kind = event["e"]
            if kind == "executionReport":
                return self._execution(event)
            if kind == "outboundAccountPosition":
                free = {b["a"]: self._units[b["f"]] for b in event["B"]}
                return [Balances(free, {b["a"]: self._units[b["l"]] for b in event["B"]})]
        except (KeyError, TypeError) as error:
            raise DataError(f"malformed user event ({type(error).__name__}: {error}): {event!r:.300}") from None
        return []

    def _execution(self, event: Mapping[str, Any]) -> list[UserEvent]:
        if event["s"] != self._symbol:
            return []
        # On a cancel `c` is the cancel request's own id and `C` the order's.
        client_id = event.get("C") or event["c"]
        side = BUY if event["S"] == "BUY" else SELL
        ts, execution = venue_ns(event["T"]), int(event.get("I", 0))
        update = OrderUpdate(
            client_id,
            int(event["i"]),
            side,
            self._price[event["p"]],
            self._qty[event["q"]],
            self._qty[event["z"]],
            status(event["X"]),
            ts,
            execution,
            "" if event.get("r", "NONE") == "NONE" else event["r"],
        )
        if event["x"] != "TRADE":
            return [update]
        fill = FillUpdate(
            int(event["t"]),
            client_id,
            int(event["i"]),
            side,
            self._price[event["L"]],
            self._qty[event["l"]],
            self._units[event["n"]],
            str(event["N"]),
            bool(event["m"]),
            ts,
            execution,
        )
        return [fill, update]

    def filled(self, row: Mapping[str, Any]) -> int:
        """What an answer says of an order's filled quantity, lots; 0 where it does not."""
        text = row.get("executedQty")
        return self._qty[text] if isinstance(text, str) else 0

    def order(self, row: Mapping[str, Any]) -> OrderUpdate:
        """An order from the answer to a query."""
        try:
            return OrderUpdate(
                row["clientOrderId"],
                int(row["orderId"]),
                BUY if row["side"] == "BUY" else SELL,
                self._price[row["price"]],
                self._qty[row["origQty"]],
                self._qty[row["executedQty"]],
                status(row["status"]),
                venue_ns(int(row.get("updateTime") or row.get("time") or 0)),
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"malformed order ({type(error).__name__}: {error}): {row!r:.300}") from None

    def fill(self, row: Mapping[str, Any]) -> FillUpdate:
        """A trade from the trade history."""
        try:
            return FillUpdate(
                int(row["id"]),
                "",
                int(row["orderId"]),
                BUY if row["isBuyer"] else SELL,
                self._price[row["price"]],
                self._qty[row["qty"]],
                self._units[row["commission"]],
                str(row["commissionAsset"]),
                bool(row["isMaker"]),
                venue_ns(int(row["time"])),
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"malformed trade ({type(error).__name__}: {error}): {row!r:.300}") from None

    def balances(self, rows: Sequence[Mapping[str, Any]]) -> Balances:
        """Balances from the account's answer."""
        return Balances(
            {row["asset"]: self._units[row["free"]] for row in rows},
            {row["asset"]: self._units[row["locked"]] for row in rows},
        )


def status(text: str) -> VenueStatus:
    """Status of an order.

    Raises
    ------
    DataError
        If the word is unknown.
    """
    try:
        return _STATUS[text]
    except KeyError:
        raise DataError(f"unknown order status {text!r}") from None
