"""A paper exchange without sockets, spoken to by signed requests: what tests of operations need."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from tests.venues.paper.markets import make_tape
from tests.venues.paper.model_engine import ModelEngine
from tidewright.engine.latency import SampledLatency
from tidewright.market.clock import MILLISECOND
from tidewright.market.instrument import text_units
from tidewright.market.tape import Tape
from tidewright.venues.binance.signing import sign, ws_payload
from tidewright.venues.paper.credentials import ApiKey
from tidewright.venues.paper.exchange import Exchange
from tidewright.venues.paper.limits import LOCKSTEP, Limits, WeightMeter
from tidewright.venues.paper.market_data import TapeMarket
from tidewright.venues.paper.orders import Event, ExecutionEvent
from tidewright.venues.paper.pacing import MarketTime
from tidewright.venues.paper.rest import KeyRing, RestAnswer, RestFace
from tidewright.venues.paper.server import EngineMaker, ExchangeOptions
from tidewright.venues.paper.ws_api import WsFace, WsSession

WALL = 1_800_000_000_000  # ms
KEYS = [ApiKey("a" * 64, "s" * 64), ApiKey("b" * 64, "t" * 64)]


class Venue:
    """An exchange whose time moves by hand."""

    def __init__(
        self,
        tape: Tape,
        *,
        balance: dict[str, str] | None = None,
        accounts: int = 1,
        limits: Limits = LOCKSTEP,
        entry_ns: int = 50 * MILLISECOND,
        response_ns: int = 50 * MILLISECOND,
        latency: SampledLatency | None = None,
        engine: EngineMaker = ModelEngine,
    ) -> None:
        self.market = TapeMarket(tape)
        start = {a: text_units(v) for a, v in (balance or {"BTC": "1", "USDT": "1000", "BNB": "3"}).items()}
        options = ExchangeOptions(entry_ns=entry_ns, response_ns=response_ns, latency=latency)
        balances = [start] * accounts
        self.engine: Any = engine(self.market, options, balances)
        self.clock = MarketTime(self.market.start_ns, self.market.end_ns, None)
        self.exchange = Exchange(self.market, self.engine, balances, self.clock, options.latencies, limits)
        ring, weights = KeyRing(KEYS[:accounts], self.exchange.accounts), WeightMeter(limits.weight_minute)
        self.rest = RestFace(self.exchange, ring, weights, lambda: WALL * MILLISECOND)
        self.ws = WsFace(self.exchange, ring, weights, lambda: WALL * MILLISECOND)
        self.session = WsSession(0)
        self.account = self.exchange.accounts[0]

    def run_to(self, at_ns: int) -> None:
        self.exchange.desk.run_to(at_ns)
        self.exchange.publisher.publish(self.market.packets_known(at_ns), at_ns, {})
        self.clock.now_ns = at_ns

    def send(self, method: str, path: str, params: dict[str, Any], key: ApiKey = KEYS[0]) -> RestAnswer:
        text = urlencode({**params, "timestamp": WALL})
        query = f"{text}&signature={sign(key.secret, text.encode())}"
        return self.rest.answer(method, f"/api/v3/{path}", query.encode(), b"", {"X-MBX-APIKEY": key.key})

    def ask(self, method: str, path: str, key: ApiKey = KEYS[0], **params: Any) -> Any:
        """The body of an answer; it must be a success."""
        answer = self.send(method, path, params, key)
        assert answer.status == 200, answer.body
        return orjson.loads(answer.body)

    def error(self, method: str, path: str, **params: Any) -> tuple[int, str]:
        """Code and text of an answer; it must be an error."""
        answer = self.send(method, path, params)
        assert answer.status >= 400, answer.body
        body = orjson.loads(answer.body)
        return body["code"], body["msg"]

    def place(self, side: str = "BUY", quantity: str = "0.1", price: str | None = "99.00", **params: Any) -> Any:
        return self.ask("POST", "order", **order(side, quantity, price, **params))

    def refuse(self, side: str = "BUY", quantity: str = "0.1", price: str | None = "99.00", **params: Any) -> Any:
        return self.error("POST", "order", **order(side, quantity, price, **params))

    def call(self, method: str, params: dict[str, Any] | None = None, *, signed: bool = True) -> Any:
        """Answer of the WebSocket API."""
        sent = dict(params or {})
        if signed:
            sent |= {"apiKey": KEYS[0].key, "timestamp": WALL}
            texts = {k: ("true" if v else "false") if isinstance(v, bool) else str(v) for k, v in sent.items()}
            sent["signature"] = sign(KEYS[0].secret, ws_payload(texts))
        raw = json.dumps({"id": 7, "method": method, "params": sent})
        return orjson.loads(self.ws.answer(self.session, raw).payload)

    def events(self, until_ns: int | None = None) -> list[Event]:
        return [event for _, event in self.exchange.desk.due(until_ns)]

    def executions(self, until_ns: int | None = None) -> list[tuple[str, str]]:
        """Kinds and statuses of the execution events that are due."""
        return [(e.execution, e.status) for e in self.events(until_ns) if isinstance(e, ExecutionEvent)]


def order(side: str = "BUY", quantity: str = "0.1", price: str | None = "99.00", **params: Any) -> dict[str, Any]:
    """Parameters of a limit order; a value of ``None`` leaves one out."""
    found = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": quantity}
    found |= {"price": price, **params}
    return {name: value for name, value in found.items() if value is not None}


def market_order(side: str, **params: Any) -> dict[str, Any]:
    return {"symbol": "BTCUSDT", "side": side, "type": "MARKET", **params}


def make_venue(folder: Path, **options: Any) -> Venue:
    return Venue(make_tape(folder / "tape"), **options)
