"""JSON shapes of orders, trades and accounts as Binance's REST and WebSocket APIs and its user stream show them."""

from collections.abc import Iterable
from typing import Any

from tidewright.market.instrument import units_text
from tidewright.venues.paper.market_data import Scales
from tidewright.venues.paper.orders import SIDES, Balances, ExecutionEvent, Fill, Order, PositionEvent

_ZERO = "0.00000000"


class OrderMessages:
    """Renders the orders of one symbol.

    Parameters
    ----------
    symbol
        Upper case.
    scales
        Its ticks and lots.
    base, quote
        Its assets.
    """

    def __init__(self, symbol: str, scales: Scales, base: str, quote: str) -> None:
        self._symbol = symbol
        self._scales = scales
        self._assets = (base, quote)

    # -- answers ------------------------------------------------------------------------------------------------------

    def placed(self, order: Order, divisor: int) -> dict[str, Any]:
        """Answer to a new order, as much of it as its ``newOrderRespType`` asks for."""
        body: dict[str, Any] = {
            "symbol": self._symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            "transactTime": order.time_ns // divisor,
        }
        if order.draft.response == "ACK":
            return body
        body |= self._amounts(order)
        if order.draft.stop_price:
            body["stopPrice"] = self._scales.price(order.draft.stop_price)
        body["workingTime"] = order.working_ns // divisor if order.working_ns >= 0 else -1
        body |= self._ending(order)
        if order.draft.response == "FULL":
            body["fills"] = [self._fill(fill) for fill in order.fills]
        return body | self._extras(order)

    def cancelled(self, order: Order, divisor: int) -> dict[str, Any]:
        """Answer to a cancel."""
        return {
            "symbol": self._symbol,
            "origClientOrderId": order.client_id,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.cancel_id,
            "transactTime": order.update_ns // divisor,
            **self._amounts(order),
            **self._ending(order),
            **self._extras(order),
        }

    def amended(self, order: Order, before_id: str, transact_ns: int, number: int, divisor: int) -> dict[str, Any]:
        """Answer to an amendment."""
        draft, scales = order.draft, self._scales
        return {
            "transactTime": transact_ns // divisor,
            "executionId": number,
            "amendedOrder": {
                "symbol": self._symbol,
                "orderId": order.order_id,
                "orderListId": -1,
                "origClientOrderId": before_id,
                "clientOrderId": order.client_id,
                "price": scales.price(draft.price),
                "qty": scales.qty(order.qty),
                "executedQty": scales.qty(order.executed),
                "preventedQty": _ZERO,
                "quoteOrderQty": units_text(draft.quote_units),
                "cumulativeQuoteQty": scales.notional_text(order.cash),
                "status": order.status,
                "timeInForce": draft.tif_text,
                "type": draft.type_text,
                "side": SIDES[draft.side],
                "workingTime": order.working_ns // divisor if order.working_ns >= 0 else -1,
                "selfTradePreventionMode": draft.stp,
            },
        }

    def queried(self, order: Order, divisor: int) -> dict[str, Any]:
        """One order of a query."""
        return {
            "symbol": self._symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            **self._amounts(order),
            "stopPrice": self._scales.price(order.draft.stop_price) if order.draft.stop_price else _ZERO,
            "icebergQty": _ZERO,
            "time": order.time_ns // divisor,
            "updateTime": order.update_ns // divisor,
            "isWorking": not order.sleeping,
            "workingTime": order.working_ns // divisor if order.working_ns >= 0 else -1,
            **self._ending(order),
            **self._extras(order),
        }

    def trade(self, fill: Fill, divisor: int) -> dict[str, Any]:
        """One execution of ``myTrades``."""
        return {
            "symbol": self._symbol,
            "id": fill.trade_id,
            "orderId": fill.order_id,
            "orderListId": -1,
            "price": self._scales.price(fill.price),
            "qty": self._scales.qty(fill.qty),
            "quoteQty": self._scales.notional_text(fill.price * fill.qty),
            "commission": units_text(fill.fee),
            "commissionAsset": fill.fee_asset,
            "time": fill.ts // divisor,
            "isBuyer": fill.side == 0,
            "isMaker": fill.maker,
            "isBestMatch": True,
        }

    def _amounts(self, order: Order) -> dict[str, Any]:
        draft, scales = order.draft, self._scales
        return {
            "price": scales.price(draft.price),
            "origQty": scales.qty(order.qty),
            "executedQty": scales.qty(order.executed),
            "origQuoteOrderQty": units_text(draft.quote_units),
            "cummulativeQuoteQty": scales.notional_text(order.cash),
            "status": order.status,
            "timeInForce": draft.tif_text,
            "type": draft.type_text,
            "side": SIDES[draft.side],
        }

    def _ending(self, order: Order) -> dict[str, Any]:
        ending = {"selfTradePreventionMode": order.draft.stp}
        return ending | {"expiryReason": order.expiry} if order.expiry else ending

    def _extras(self, order: Order) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if order.draft.strategy_id is not None:
            extras["strategyId"] = order.draft.strategy_id
        if order.draft.strategy_type is not None:
            extras["strategyType"] = order.draft.strategy_type
        return extras

    def _fill(self, fill: Fill) -> dict[str, Any]:
        return {
            "price": self._scales.price(fill.price),
            "qty": self._scales.qty(fill.qty),
            "commission": units_text(fill.fee),
            "commissionAsset": fill.fee_asset,
            "tradeId": fill.trade_id,
        }

    # -- user stream --------------------------------------------------------------------------------------------------

    def execution_report(self, event: ExecutionEvent, execution_id: int, divisor: int) -> dict[str, Any]:
        """Event ``executionReport``."""
        order, fill, scales = event.order, event.fill, self._scales
        draft = order.draft
        time = event.ts // divisor
        report: dict[str, Any] = {
            "e": "executionReport",
            "E": time,
            "s": self._symbol,
            "c": event.cancel_id or event.client_id,
            "S": SIDES[draft.side],
            "o": draft.type_text,
            "f": draft.tif_text,
            "q": scales.qty(event.qty),
            "p": scales.price(draft.price),
            "P": scales.price(draft.stop_price) if draft.stop_price else _ZERO,
            "F": _ZERO,
            "g": -1,
            "C": event.client_id if event.cancel_id else event.before_id,
            "x": event.execution,
            "X": event.status,
            "r": "NONE",
            "i": order.order_id,
            "l": scales.qty(fill.qty) if fill else _ZERO,
            "z": scales.qty(event.executed),
            "L": scales.price(fill.price) if fill else _ZERO,
            "n": units_text(fill.fee) if fill else "0",
            "N": fill.fee_asset if fill else None,
            "T": time,
            "t": fill.trade_id if fill else -1,
            "I": execution_id,
            "w": event.working
            and event.execution in ("NEW", "TRADE", "REPLACED")
            and event.status in ("NEW", "PARTIALLY_FILLED"),
            "m": fill.maker if fill else False,
            "M": False,
            "O": order.time_ns // divisor,
            "Z": scales.notional_text(event.cash),
            "Y": scales.notional_text(fill.price * fill.qty) if fill else _ZERO,
            "Q": units_text(draft.quote_units),
            "W": (order.working_ns if order.working_ns >= 0 else order.time_ns) // divisor,
            "V": draft.stp,
        }
        if draft.strategy_id is not None:
            report["j"] = draft.strategy_id
        if draft.strategy_type is not None:
            report["J"] = draft.strategy_type
        if event.expiry:
            report["eR"] = event.expiry
        return report

    def account_position(self, event: PositionEvent, divisor: int) -> dict[str, Any]:
        """Event ``outboundAccountPosition``."""
        time = event.ts // divisor
        return {
            "e": "outboundAccountPosition",
            "E": time,
            "u": time,
            "B": [
                {"a": asset, "f": units_text(free), "l": units_text(locked)}
                for asset, free, locked in self.balances(event.balances)
            ],
        }

    def balances(self, balances: Balances) -> Iterable[tuple[str, int, int]]:
        """``(asset, free, locked)`` of base and quote."""
        base, quote = self._assets
        return (
            (base, balances.base_free, balances.base_locked),
            (quote, balances.quote_free, balances.quote_locked),
        )
