"""Markets for the local venues: generated ones, and the recorded messages of the real venues.

A market is what the venue holds at the beginning and what then happens. Recorded messages are kept as they came
(``raw``), so that the recorder is tested on what venues really send.
"""

import heapq
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import polars

CAPTURES = Path(__file__).parents[4] / "shared" / "data" / "venue_captures"

START_NS = 1_700_000_000_000_000_000

Levels = dict[Decimal, Decimal]
Book = dict[str, Levels]  # "bid" and "ask"


@dataclass
class Event:
    """A book change (``levels``), a print (``trade``), or another message of the venue (only ``raw``)."""

    symbol: str
    ts_ns: int
    levels: list[tuple[str, str, str]] = field(default_factory=list)  # side, price, new quantity
    trade: tuple[int, str, str, str] | None = None  # number, price, quantity, the taker's side
    ids: tuple[int, int] = (0, 0)  # Binance's U and u
    raw: Any = None


@dataclass
class Market:
    books: dict[str, Book]
    events: list[Event]
    info: Any  # answer of the venue's instrument request
    update_ids: dict[str, int] = field(default_factory=dict)
    past_trades: dict[str, list[Event]] = field(default_factory=dict)


def held(levels: Levels, tick: str, lot: str) -> Levels:
    """What a tape holds of a venue's levels: those on the tick, quantities between two lots rounded up."""
    step = Decimal(lot)
    return {
        price: (qty / step).to_integral_value(ROUND_CEILING) * step
        for price, qty in levels.items()
        if not price % Decimal(tick)
    }


def nearest(book: Book, count: int) -> Book:
    """The best levels of a large book."""
    return {
        "bid": dict(sorted(book["bid"].items(), reverse=True)[:count]),
        "ask": dict(sorted(book["ask"].items())[:count]),
    }


def apply(book: Book, levels: list[tuple[str, str, str]]) -> None:
    """The whole of what a book is: a level has the quantity last named, none at 0."""
    for side, price, qty in levels:
        if Decimal(qty):
            book[side][Decimal(price)] = Decimal(qty)
        else:
            book[side].pop(Decimal(price), None)


# -- generated ---------------------------------------------------------------------------------------------------------


def generated(symbols: list[str], count: int, info: Any, *, seed: int = 1, levels: int = 40) -> Market:
    """A random market: ``count`` events, one in five a print, prices around 100 with step 0.01, lots of 0.00001."""
    chance = random.Random(seed)
    books: dict[str, Book] = {}
    for symbol in symbols:
        books[symbol] = {
            "bid": {Decimal(10_000 - k) / 100: Decimal(chance.randint(1, 10**6)) / 10**5 for k in range(levels)},
            "ask": {Decimal(10_001 + k) / 100: Decimal(chance.randint(1, 10**6)) / 10**5 for k in range(levels)},
        }
    market = Market(books, [], info, dict.fromkeys(symbols, 1_000))
    now = {symbol: {side: dict(book[side]) for side in book} for symbol, book in books.items()}
    trades, update = dict.fromkeys(symbols, 0), dict(market.update_ids)
    for number in range(count):
        symbol, ts = chance.choice(symbols), START_NS + number * 50_000_000
        book = now[symbol]
        if chance.random() < 0.2:
            trades[symbol] += 1
            taker = chance.choice(("buy", "sell"))
            price = min(book["ask"]) if taker == "buy" else max(book["bid"])
            market.events.append(Event(symbol, ts, trade=(trades[symbol], f"{price:.2f}", "0.00100", taker)))
            continue
        changes = list(_changes(chance, book))
        apply(book, changes)
        first = update[symbol] + 1
        update[symbol] = first + len(changes)
        market.events.append(Event(symbol, ts, levels=changes, ids=(first, update[symbol])))
    return market


def _changes(chance: random.Random, book: Book) -> Iterator[tuple[str, str, str]]:
    """One to four changes that leave both sides populated and uncrossed."""
    for _ in range(chance.randint(1, 4)):
        side = chance.choice(("bid", "ask"))
        best = max(book["bid"]) if side == "bid" else min(book["ask"])
        away = Decimal(chance.randint(0, 60)) / 100
        price = best - away if side == "bid" else best + away
        removable = len(book[side]) > 20
        qty = Decimal(0) if removable and chance.random() < 0.4 else Decimal(chance.randint(1, 10**6)) / 10**5
        apply(book, [(side, str(price), str(qty))])
        yield side, f"{price:.2f}", f"{qty:.5f}"


def binance_info(symbols: list[str], tick: str = "0.01", lot: str = "0.00001") -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000", "stepSize": lot},
    ]
    return {"symbols": [{"symbol": s, "baseAsset": s[:3], "quoteAsset": s[3:], "filters": filters} for s in symbols]}


def coinbase_info(symbols: list[str]) -> dict[str, Any]:
    return {
        "products": [
            {
                "product_id": symbol,
                "base_increment": "0.00001",
                "price_increment": "0.01",
                "base_min_size": "0.00001",
                "base_max_size": "3400",
                "base_currency_id": symbol.split("-")[0],
                "quote_currency_id": symbol.split("-")[1],
                "alias": "",
            }
            for symbol in symbols
        ]
    }


def kraken_info(symbols: list[str]) -> dict[str, Any]:
    old = {"BTC": "XBT"}
    return {
        "error": [],
        "result": {
            symbol.replace("/", ""): {
                "wsname": "/".join(old.get(part, part) for part in symbol.split("/")),
                "pair_decimals": 2,
                "lot_decimals": 8,
                "tick_size": "0.01",
                "ordermin": "0.0001",
                "fees": [[0, 0.4]],
                "fees_maker": [[0, 0.25]],
            }
            for symbol in symbols
        },
    }


# -- recorded ----------------------------------------------------------------------------------------------------------


def capture(venue: str) -> list[dict[str, Any]]:
    """The lines of a capture, in order."""
    lines = polars.read_csv(
        CAPTURES / f"{venue}.jsonl.zst", separator="\x01", quote_char=None, has_header=False, infer_schema=False
    )
    return [orjson.loads(line) for line in lines.to_series(0)]


@cache
def binance_market(*symbols: str) -> Market:
    """NKNUSDT and others of 2021-10-12; the capture holds aggregated trades, which are passed on as trades."""
    market = Market({}, [], None)
    for line in capture("BINANCE"):
        if line["t"] == "http" and "exchangeInfo" in line["url"]:
            market.info = orjson.loads(line["data"])
        elif line["t"] == "http":
            symbol = line["url"].split("symbol=")[1].split("&")[0]
            if symbol in symbols:
                body = orjson.loads(line["data"])
                market.books[symbol] = {"bid": {}, "ask": {}}
                for side in ("bid", "ask"):
                    apply(market.books[symbol], [(side, p, q) for p, q in body[side + "s"]])
                market.update_ids[symbol] = body["lastUpdateId"]
        elif line["t"] == "recv":
            _add_binance(market, orjson.loads(line["data"])["data"], symbols)
    return market


def _add_binance(market: Market, data: dict[str, Any], symbols: tuple[str, ...]) -> None:
    symbol, ts = data["s"], data.get("E", 0) * 1_000_000
    if symbol not in symbols:
        return
    if data.get("e") == "depthUpdate":
        if data["u"] <= market.update_ids[symbol]:
            return  # before the venue's book begins
        levels = [("bid", p, q) for p, q in data["b"]] + [("ask", p, q) for p, q in data["a"]]
        market.events.append(Event(symbol, ts, levels, ids=(data["U"], data["u"]), raw=data))
    elif data.get("e") == "aggTrade":
        taker = "sell" if data["m"] else "buy"
        raw = {name: data[name] for name in ("E", "s", "p", "q", "T", "m", "M")} | {"e": "trade", "t": data["f"]}
        market.events.append(Event(symbol, ts, trade=(data["f"], data["p"], data["q"], taker), raw=raw))
    elif "B" in data:
        market.events.append(Event(symbol, ts, raw=data))


@cache
def coinbase_market() -> Market:
    """BTC-USD and ETH-USD of 2026-08-09, some 25 seconds."""
    market = Market({}, [], None)
    for line in capture("COINBASE"):
        if line["t"] == "http":
            market.info = orjson.loads(line["data"])
        if line["t"] != "recv":
            continue
        message = orjson.loads(line["data"])
        for event in message["events"]:
            if message["channel"] == "l2_data":
                symbol = event["product_id"]
                levels = [
                    ("bid" if u["side"] == "bid" else "ask", u["price_level"], u["new_quantity"])
                    for u in event["updates"]
                ]
                if event["type"] == "snapshot":
                    market.books[symbol] = {"bid": {}, "ask": {}}
                    apply(market.books[symbol], levels)
                    market.books[symbol] = nearest(market.books[symbol], 1_000)
                else:
                    market.events.append(Event(symbol, 0, levels, raw=message))
            elif message["channel"] == "market_trades":
                for trade in reversed(event["trades"]):
                    taker = "buy" if trade["side"] == "SELL" else "sell"
                    found = (int(trade["trade_id"]), trade["price"], trade["size"], taker)
                    one = {"channel": "market_trades", "timestamp": message["timestamp"], "sequence_num": 0}
                    one["events"] = [{"type": event["type"], "trades": [trade]}]
                    past = event["type"] == "snapshot"
                    kept = market.past_trades.setdefault(trade["product_id"], []) if past else market.events
                    kept.append(Event(trade["product_id"], 0, trade=found, raw=one))
    return market


@cache
def kraken_market(*symbols: str) -> Market:
    """Pairs of 2021-04-17, recorded over WebSocket v1, whose checksums prove that the books here are right."""
    market, strings, numbers = Market({}, [], None), {}, dict.fromkeys(symbols, 0)
    old = {symbol.replace("BTC", "XBT"): symbol for symbol in symbols}
    for line in capture("KRAKEN"):
        if line["t"] == "http":
            market.info = orjson.loads(line["data"])
        message = orjson.loads(line["data"]) if line["t"] == "recv" else None
        if not isinstance(message, list) or message[-1] not in old:
            continue
        symbol = old[message[-1]]
        if message[-2] == "trade":
            for price, qty, seconds, side, *_ in message[1]:
                numbers[symbol] += 1
                taker = {"b": "buy", "s": "sell"}[side]
                ts = int(Decimal(seconds) * 10**9)
                market.events.append(Event(symbol, ts, trade=(numbers[symbol], price, qty, taker)))
        elif message[-2].startswith("book"):
            _add_kraken_book(market, symbol, message[1:-2], strings)
    return market


def _add_kraken_book(
    market: Market, symbol: str, parts: list[dict[str, Any]], strings: dict[str, dict[str, dict[str, str]]]
) -> None:
    levels: list[tuple[str, str, str]] = []
    times, checksum = [], None
    for part in parts:
        for name, side in (("bs", "bid"), ("as", "ask"), ("b", "bid"), ("a", "ask")):
            for row in part.get(name, ()):
                levels.append((side, row[0], row[1]))
                times.append(int(Decimal(row[2]) * 10**9))
        checksum = part.get("c", checksum)
    if checksum is None:
        market.books[symbol] = {"bid": {}, "ask": {}}
        apply(market.books[symbol], levels)
        strings[symbol] = {side: {p: q for s, p, q in levels if s == side} for side in ("bid", "ask")}
        return
    for side, price, qty in levels:
        if Decimal(qty):
            strings[symbol][side][price] = qty
        else:
            strings[symbol][side].pop(price, None)
    market.events.append(Event(symbol, max(times), levels))
    if len(market.events) % 8:
        return  # every eighth is proof enough, and quick
    text = ""
    for side in ("ask", "bid"):
        pick = heapq.nlargest if side == "bid" else heapq.nsmallest
        best = pick(10, strings[symbol][side].items(), key=lambda level: float(level[0]))
        text += "".join(part.replace(".", "").lstrip("0") for level in best for part in level)
    assert zlib.crc32(text.encode()) == int(checksum), "the recorded market itself is damaged"
