"""Answers to GET exchangeInfo in the forms of Binance's three markets, with values of our own."""

from typing import Any

PRICES = {"filterType": "PRICE_FILTER", "minPrice": "0.50", "maxPrice": "999999.00", "tickSize": "0.01000000"}
LOTS = {"filterType": "LOT_SIZE", "minQty": "0.00200000", "maxQty": "9000.00000000", "stepSize": "0.00100000"}
MARKET_LOTS = {"filterType": "MARKET_LOT_SIZE", "minQty": "0", "maxQty": "120.00000000", "stepSize": "0.00000000"}


def answer(*symbols: dict[str, Any]) -> dict[str, Any]:
    return {"timezone": "UTC", "serverTime": 1, "rateLimits": [], "exchangeFilters": [], "symbols": list(symbols)}


def spot(name: str = "BTCUSDT", base: str = "BTC", quote: str = "USDT", **more: Any) -> dict[str, Any]:
    filters = [
        PRICES,
        LOTS,
        MARKET_LOTS,
        {
            "filterType": "NOTIONAL",
            "minNotional": "7.50",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "1.5",
            "bidMultiplierDown": "0.6",
            "askMultiplierUp": "4",
            "askMultiplierDown": "0.7",
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 150},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 7},
    ]
    return {"symbol": name, "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "filters": filters, **more}


def usd_m(name: str = "BTCUSDT") -> dict[str, Any]:
    filters = [
        PRICES,
        LOTS,
        MARKET_LOTS,
        {"filterType": "MAX_NUM_ORDERS", "limit": 180},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95", "multiplierDecimal": "4"},
    ]
    return {**spot(name), "contractType": "PERPETUAL", "marginAsset": "USDT", "filters": filters}


def coin_m(name: str = "BTCUSD_PERP") -> dict[str, Any]:
    filters = [
        {**PRICES, "tickSize": "0.1"},
        {**LOTS, "minQty": "1", "maxQty": "60000", "stepSize": "1"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    ]
    more = {"contractType": "PERPETUAL", "contractSize": 100, "marginAsset": "BTC", "filters": filters}
    return {**spot(name, quote="USD"), **more}
