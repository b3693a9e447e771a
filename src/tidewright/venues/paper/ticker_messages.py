"""Messages and answers that summarise prints: 24-hour tickers and candles."""

from typing import Any

import orjson

from tidewright.market.clock import DAY
from tidewright.market.instrument import units_text
from tidewright.venues.paper import topics
from tidewright.venues.paper.market_data import TapeMarket

Quote = tuple[int, int, int, int]


def tickers(
    market: TapeMarket, prints: int, quote: Quote, now_ns: int, divisor: int, kinds: frozenset[str]
) -> list[tuple[str, bytes]]:
    """Stream messages of those ticker topics that are wanted."""
    wanted = kinds.intersection((topics.TICKER, topics.MINI_TICKER, topics.MINI_TICKERS))
    if not wanted or prints == 0:
        return []
    full = day_ticker(market, prints, quote, now_ns, divisor)
    found = []
    mini = {
        "e": "24hrMiniTicker",
        "E": now_ns // divisor,
        "s": full["symbol"],
        "c": full["lastPrice"],
        "o": full["openPrice"],
        "h": full["highPrice"],
        "l": full["lowPrice"],
        "v": full["volume"],
        "q": full["quoteVolume"],
    }
    if topics.MINI_TICKER in wanted:
        found.append((topics.MINI_TICKER, orjson.dumps(mini)))
    if topics.MINI_TICKERS in wanted:
        found.append((topics.MINI_TICKERS, orjson.dumps([mini])))
    if topics.TICKER in wanted:
        found.append((topics.TICKER, orjson.dumps(_stream_ticker(full, now_ns // divisor))))
    return found


def _stream_ticker(full: dict[str, Any], event_time: int) -> dict[str, Any]:
    letters = {
        "s": "symbol", "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice",
        "c": "lastPrice", "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty",
        "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime",
        "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
    }  # fmt: skip
    return {"e": "24hrTicker", "E": event_time, **{letter: full[name] for letter, name in letters.items()}}


def day_ticker(market: TapeMarket, prints: int, quote: Quote, now_ns: int, divisor: int) -> dict[str, Any]:
    """REST shape of the 24-hour ticker from the first ``prints`` prints."""
    figures, scales = market.day(prints, now_ns), market.scales
    change = (figures["last"] - figures["open"]) * scales.tick_units
    percent = round(10_000_000 * (figures["last"] - figures["open"]) / figures["open"]) if figures["open"] else 0
    average = figures["cash"] * scales.tick_units // figures["volume"] if figures["volume"] else 0
    bid, bid_qty, ask, ask_qty = quote
    return {
        "symbol": market.instrument.symbol,
        "priceChange": units_text(change),
        "priceChangePercent": units_text(percent * 1_000)[:-5],
        "weightedAvgPrice": units_text(average),
        "prevClosePrice": scales.price(figures["previous"]),
        "lastPrice": scales.price(figures["last"]),
        "lastQty": scales.qty(figures["last_qty"]),
        "bidPrice": scales.price(bid),
        "bidQty": scales.qty(bid_qty),
        "askPrice": scales.price(ask),
        "askQty": scales.qty(ask_qty),
        "openPrice": scales.price(figures["open"]),
        "highPrice": scales.price(figures["high"]),
        "lowPrice": scales.price(figures["low"]),
        "volume": scales.qty(figures["volume"]),
        "quoteVolume": scales.notional_text(figures["cash"]),
        "openTime": (now_ns - DAY) // divisor,
        "closeTime": now_ns // divisor,
        "firstId": figures["first"] + 1 if figures["count"] else -1,
        "lastId": prints if figures["count"] else -1,
        "count": figures["count"],
    }


def candle(market: TapeMarket, prints: int, now_ns: int, divisor: int, topic: str) -> list[tuple[str, bytes]]:
    """Stream message of the candle that runs, or has just closed, at an instant; none if it holds no print."""
    width, interval = topics.KLINES[topic], topic.removeprefix("kline_")
    open_ns = (now_ns - 1) // width * width
    ts = market.prints.ts[:prints]
    first, stop = int(ts.searchsorted(open_ns, "left")), int(ts.searchsorted(open_ns + width, "left"))
    if stop <= first:
        return []
    k = market.kline(first, stop, open_ns, width, divisor)
    letters = {
        "t": k[0], "T": k[6], "s": market.instrument.symbol, "i": interval, "f": first + 1, "L": stop, "o": k[1],
        "c": k[4], "h": k[2], "l": k[3], "v": k[5], "n": k[8], "x": now_ns >= open_ns + width, "q": k[7], "V": k[9],
        "Q": k[10], "B": "0",
    }  # fmt: skip
    message = {"e": "kline", "E": now_ns // divisor, "s": market.instrument.symbol, "k": letters}
    return [(topic, orjson.dumps(message))]
