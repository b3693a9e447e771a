"""New orders: what a client wrote, checked for form and against the symbol's filters, in Binance's order of checks.

Form first (mandatory, superfluous, illegal, too precise), then PRICE_FILTER, PERCENT_PRICE_BY_SIDE, LOT_SIZE,
MARKET_LOT_SIZE and NOTIONAL on exact integers. Source: filters.md of the Binance spot API documentation.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from tidewright.market import codes
from tidewright.market.codes import BUY, SELL, UNIT
from tidewright.market.instrument import Filters, Instrument, units_text
from tidewright.venues.paper import errors
from tidewright.venues.paper.errors import ApiError
from tidewright.venues.paper.market_data import MOST_UNITS, Scales
from tidewright.venues.paper.orders import Draft
from tidewright.venues.paper.protocol import Params, units

STP_MODE: Final = "EXPIRE_MAKER"
AVERAGE_MINUTES: Final = 5
STOPS: Final = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
ORDER_TYPES: Final = ("LIMIT", "LIMIT_MAKER", "MARKET", *STOPS)
_AT_MARKET: Final = ("MARKET", "STOP_LOSS", "TAKE_PROFIT")
_WITH_TIF: Final = ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
MAX_ALGO_ORDERS: Final = 5
MAX_AMENDS: Final = 10
_REFUSED: Final = {
    "icebergQty": "Iceberg orders are not supported for this symbol.",
    "trailingDelta": "Trailing stop orders are not supported for this symbol.",
    "pegPriceType": "Pegged orders are not supported for this symbol.",
}
_TIFS: Final = {"GTC": codes.GTC, "IOC": codes.IOC, "FOK": codes.FOK}


class OrderRules:
    """Checks new orders of one instrument.

    Parameters
    ----------
    instrument
        Gives tick, lot and filters.
    scales
        Its conversions.
    """

    def __init__(self, instrument: Instrument, scales: Scales) -> None:
        self._symbol = instrument.symbol
        self._filters = instrument.filters
        self._scales = scales
        f = instrument.filters
        self._multipliers = (
            (Fraction(f.bid_multiplier_down), Fraction(f.bid_multiplier_up)),
            (Fraction(f.ask_multiplier_down), Fraction(f.ask_multiplier_up)),
        )
        self._market_bounds = tuple(
            bound if applies else 0
            for bound, applies in zip((f.min_notional, f.max_notional), notional_to_market(f), strict=True)
        )

    def draft(self, params: Params, reference_units: int) -> Draft:
        """A checked order. Parameters that no order type has are ignored, as at Binance: ccxt sends some.

        Parameters
        ----------
        reference_units
            Price that filters are relative to, 1e-8 units; 0 where nothing has traded.

        Raises
        ------
        ApiError
            With Binance's code and text for the first rule that is broken.
        """
        params.symbol(self._symbol)
        side_text, type_text = params.text("side"), params.text("type")
        if side_text not in ("BUY", "SELL"):
            raise ApiError(-1117, "Invalid side.")
        self._check_type(type_text, params)
        side = BUY if side_text == "BUY" else SELL
        tif, tif_text = self._time_in_force(type_text, params)
        price_value, qty_value, quote_value = self._amounts(type_text, params)
        price = self._price(price_value, side, reference_units) if price_value is not None else 0
        qty = self._quantity(qty_value, type_text) if qty_value is not None else 0
        quote_units = units(quote_value) if quote_value is not None else 0
        if quote_units > MOST_UNITS:
            raise ApiError(-1108, "Parameter 'quoteOrderQty' overflowed.")
        self._check_notional(price, qty, quote_units, reference_units)
        return Draft(
            side,
            codes.MARKET if type_text in _AT_MARKET else codes.LIMIT,
            tif,
            type_text,
            tif_text,
            price,
            qty,
            quote_units,
            params.client_id("newClientOrderId") or "",
            self._response(params, type_text),
            self._stp(params),
            params.integer("strategyId"),
            self._strategy_type(params),
            *self._stop(type_text, side, params),
        )

    # -- form ---------------------------------------------------------------------------------------------------------

    def _check_type(self, type_text: str, params: Params) -> None:
        if type_text not in ORDER_TYPES:
            raise ApiError(-1116, "Invalid orderType.")
        for name, text in _REFUSED.items():
            if name in params:
                raise errors.rejected(text)
        if type_text not in STOPS and "stopPrice" in params:
            raise errors.not_required("stopPrice")

    def _time_in_force(self, type_text: str, params: Params) -> tuple[int, str]:
        value = params.optional("timeInForce")
        if type_text in _WITH_TIF:
            if value is None:
                raise errors.mandatory("timeInForce")
            if value not in _TIFS:
                raise ApiError(-1115, "Invalid timeInForce.")
            return _TIFS[value], value
        if value is not None:
            raise errors.not_required("timeInForce")
        return (codes.POST_ONLY, "GTC") if type_text == "LIMIT_MAKER" else (codes.IOC, "GTC")

    def _amounts(self, type_text: str, params: Params) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
        if type_text != "MARKET":
            if "quoteOrderQty" in params:
                raise errors.not_required("quoteOrderQty")
            qty = params.mandatory_decimal("quantity")
            if type_text in _AT_MARKET:
                if "price" in params:
                    raise errors.not_required("price")
                return None, qty, None
            return params.mandatory_decimal("price"), qty, None
        if "price" in params:
            raise errors.not_required("price")
        if "quantity" in params and "quoteOrderQty" in params:
            raise errors.not_required("quoteOrderQty")
        quantity, quote = params.decimal("quantity"), params.decimal("quoteOrderQty")
        if quantity is None and quote is None:
            raise errors.either("quantity", "quoteOrderQty")
        return None, quantity, quote

    def _response(self, params: Params, type_text: str) -> str:
        value = params.optional("newOrderRespType")
        if value is None:
            return "FULL" if type_text in ("LIMIT", "MARKET") else "ACK"
        if value not in ("ACK", "RESULT", "FULL"):
            raise ApiError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
        return value

    def _stop(self, type_text: str, side: int, params: Params) -> tuple[int, int]:
        """Ticks of a stop order's price, and which way the price must go to set it off."""
        if type_text not in STOPS:
            return 0, codes.NO_STOP
        ticks = self._on_grid(params.mandatory_decimal("stopPrice"))
        loss = type_text.startswith("STOP_LOSS")
        return ticks, codes.RISES if loss == (side == BUY) else codes.FALLS

    def amended_lots(self, params: Params, price: int, reference_units: int) -> int:
        """The checked ``newQty`` of an amendment of an order at a price (0: at market).

        Raises
        ------
        ApiError
            -2038 with the filter it breaks, or as for a new order.
        """
        value = params.mandatory_decimal("newQty")
        try:
            lots = self._quantity(value, "LIMIT" if price else "MARKET")
            self._check_notional(price, lots, 0, reference_units)
        except ApiError as error:
            raise errors.amend_rejected(error.message) from None
        return lots

    def _stp(self, params: Params) -> str:
        mode = params.optional("selfTradePreventionMode")
        if mode is not None and mode != STP_MODE:
            raise ApiError(-1013, "This symbol does not allow the specified self-trade prevention mode.")
        return STP_MODE

    def _strategy_type(self, params: Params) -> int | None:
        value = params.integer("strategyType")
        if value is not None and value < 1_000_000:
            raise ApiError(-1134, "strategyType was less than 1000000.")
        return value

    # -- filters ------------------------------------------------------------------------------------------------------

    def _price(self, price: Decimal, side: int, reference_units: int) -> int:
        tick = self._scales.tick_units
        ticks = self._on_grid(price)
        if reference_units:
            down, up = self._multipliers[side]
            if not reference_units * down <= ticks * tick <= reference_units * up:
                raise errors.filter_failure("PERCENT_PRICE_BY_SIDE")
        return ticks

    def _on_grid(self, price: Decimal) -> int:
        f = self._filters
        ticks, rest = divmod(units(price), self._scales.tick_units)
        if rest or ticks <= 0 or (f.min_price_ticks and ticks < f.min_price_ticks):
            raise errors.filter_failure("PRICE_FILTER")
        if f.max_price_ticks and ticks > f.max_price_ticks:
            raise errors.filter_failure("PRICE_FILTER")
        return ticks

    def _quantity(self, quantity: Decimal, type_text: str) -> int:
        f = self._filters
        lots, rest = divmod(units(quantity), self._scales.lot_units)
        if rest or not max(1, f.min_qty_lots) <= lots <= (f.max_qty_lots or self._scales.most_lots):
            raise errors.filter_failure("LOT_SIZE")
        if type_text in _AT_MARKET:
            beyond = lots < f.market_min_qty_lots or 0 < f.market_max_qty_lots < lots
            if beyond or lots % max(1, f.market_step_lots):
                raise errors.filter_failure("MARKET_LOT_SIZE")
        return lots

    def _check_notional(self, price: int, qty: int, quote_units: int, reference_units: int) -> None:
        f, scales = self._filters, self._scales
        least, most = (f.min_notional, f.max_notional) if price else self._market_bounds
        if quote_units:
            worth = quote_units * UNIT
        elif price:
            worth = price * qty * scales.tick_units * scales.lot_units
        elif reference_units:
            worth = reference_units * qty * scales.lot_units
        else:
            return  # a market order before anything has traded: there is no price to judge it by
        if worth < least * UNIT or 0 < most * UNIT < worth or price * qty > scales.most_cash:
            raise errors.filter_failure("NOTIONAL")


def reference_minutes(filters: Filters) -> int:
    """Minutes of the average price that filters are relative to; 0: the last price."""
    return AVERAGE_MINUTES if filters.reference_minutes is None else filters.reference_minutes


def notional_to_market(filters: Filters) -> tuple[bool, bool]:
    """Whether least and most worth hold for market orders; an instrument that states nothing has Binance's usual."""
    if filters.reference_minutes is None:
        return True, False
    return filters.min_notional_to_market, filters.max_notional_to_market


def most_stop_orders(filters: Filters) -> int:
    """How many stop orders may wait at once."""
    return filters.max_num_stop_orders or MAX_ALGO_ORDERS


def symbol_info(instrument: Instrument, scales: Scales) -> dict[str, Any]:
    """The instrument's element of ``exchangeInfo.symbols``."""
    f = instrument.filters
    price, qty = scales.price, scales.qty
    min_to_market, max_to_market = notional_to_market(f)
    return {
        "symbol": instrument.symbol,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": price(f.min_price_ticks),
                "maxPrice": price(f.max_price_ticks),
                "tickSize": units_text(scales.tick_units),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": qty(max(1, f.min_qty_lots)),
                "maxQty": qty(f.max_qty_lots or scales.most_lots),
                "stepSize": units_text(scales.lot_units),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": qty(f.market_min_qty_lots),
                "maxQty": qty(f.market_max_qty_lots or f.max_qty_lots or scales.most_lots),
                "stepSize": qty(f.market_step_lots),
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": f.bid_multiplier_up,
                "bidMultiplierDown": f.bid_multiplier_down,
                "askMultiplierUp": f.ask_multiplier_up,
                "askMultiplierDown": f.ask_multiplier_down,
                "avgPriceMins": reference_minutes(f),
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": units_text(f.min_notional),
                "applyMinToMarket": min_to_market,
                "maxNotional": units_text(f.max_notional or scales.notional_units(scales.most_cash)),
                "applyMaxToMarket": max_to_market,
                "avgPriceMins": reference_minutes(f),
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": f.max_num_orders},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": most_stop_orders(f)},
            {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": MAX_AMENDS},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": STP_MODE,
        "allowedSelfTradePreventionModes": [STP_MODE],
    }
