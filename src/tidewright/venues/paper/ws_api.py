"""The WebSocket API from text to text, without sockets: envelope, sessions, user data subscriptions, operations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from tidewright.venues.binance.signing import verify, ws_payload
from tidewright.venues.paper import errors
from tidewright.venues.paper.account import Account
from tidewright.venues.paper.endpoints import WEBSOCKET, Endpoint, Security
from tidewright.venues.paper.errors import ApiError
from tidewright.venues.paper.exchange import Answer, Exchange
from tidewright.venues.paper.limits import WeightMeter
from tidewright.venues.paper.market_endpoints import Call
from tidewright.venues.paper.protocol import MILLISECONDS, Params, TimeUnit, WsRequest, check_timing, ws_request
from tidewright.venues.paper.rest import KeyRing

_ENVELOPE: Final = ("signature", "timestamp", "recvWindow", "apiKey", "returnRateLimits")
_LAST_SUBSCRIPTION: Final = 65_535


@dataclass(slots=True)
class WsSession:
    """One connection of the WebSocket API.

    Attributes
    ----------
    unit
        Of times in answers and events.
    rate_limits
        Whether answers tell the limits unless a request says otherwise.
    account
        Who has logged on.
    subscriptions
        Accounts whose events this connection gets, by subscription id.
    by_logon
        Subscriptions that end with the logon.
    last_execution
        Newest execution id that was sent here; 0 before the first.
    """

    connected_ns: int
    unit: TimeUnit = MILLISECONDS
    rate_limits: bool = True
    account: Account | None = None
    api_key: str = field(default="", repr=False)
    authorized_ns: int = 0
    subscriptions: dict[int, Account] = field(default_factory=dict)
    by_logon: set[int] = field(default_factory=set)
    next_subscription: int = 0
    last_execution: int = 0


class WsAnswer(NamedTuple):
    """Text that goes back, and the market time before which it may not (0: at once)."""

    payload: bytes
    known_ns: int = 0


class WsFace:
    """Answers requests of the WebSocket API.

    Parameters
    ----------
    exchange, keys, weights, wall_ns
        As for :class:`tidewright.venues.paper.rest.RestFace`.
    """

    def __init__(self, exchange: Exchange, keys: KeyRing, weights: WeightMeter, wall_ns: Callable[[], int]) -> None:
        self._exchange = exchange
        self._keys = keys
        self._weights = weights
        self._wall_ns = wall_ns
        self._session_methods: dict[str, Callable[[WsSession, Params], Any]] = {
            "session.logon": self._logon,
            "session.status": self._status,
            "session.logout": self._logout,
            "session.subscriptions": lambda s, _: [{"subscriptionId": number} for number in s.subscriptions],
            "userDataStream.subscribe": self._subscribe,
            "userDataStream.subscribe.signature": self._subscribe_signed,
            "userDataStream.unsubscribe": self._unsubscribe,
        }

    def answer(self, session: WsSession, raw: str) -> WsAnswer:
        """Answer one message of a connection."""
        try:
            request = ws_request(raw)
        except ApiError as error:
            return self._failed(WsRequest(None, "", Params()), session, error)
        try:
            return self._run(session, request)
        except ApiError as error:
            return self._failed(request, session, error)

    def _run(self, session: WsSession, request: WsRequest) -> WsAnswer:
        wall_ns, params = self._wall_ns(), request.params
        limited = params.flag("returnRateLimits", session.rate_limits)
        own = self._session_methods.get(request.method)
        if own is not None:
            self._weights.charge(2, wall_ns)
            return self._succeeded(request, limited, own(session, params))
        endpoint = WEBSOCKET.get(request.method)
        if endpoint is None:
            raise ApiError(-1000, f"There is no method {request.method} at this exchange.", 404)
        self._weights.charge(endpoint.weight, wall_ns)
        account = self._authenticate(session, params) if endpoint.security is Security.SIGNED else None
        for name in _ENVELOPE:
            params.pop(name, None)
        result = endpoint.run(Call(self._exchange, account, params, session.unit.divisor, wall_ns))
        answer = result if isinstance(result, Answer) else Answer(result, 0)
        if answer.status != 200:
            body = answer.body
            error = ApiError(body["code"], body["msg"], answer.status, body.get("data"))
            return self._failed(request, session, error)._replace(known_ns=answer.known_ns)
        return self._done(request, limited, endpoint, account, answer)

    def _done(
        self, request: WsRequest, limited: bool, endpoint: Endpoint, account: Account | None, answer: Answer
    ) -> WsAnswer:
        body: dict[str, Any] = {"id": request.id, "status": 200, "result": answer.body}
        if endpoint.is_order:
            self._weights.forgive(endpoint.weight)
        if limited:
            body["rateLimits"] = self._limits(account if endpoint.is_order else None)
        return WsAnswer(orjson.dumps(body), answer.known_ns)

    def _succeeded(self, request: WsRequest, limited: bool, result: Any) -> WsAnswer:
        body: dict[str, Any] = {"id": request.id, "status": 200, "result": result}
        if limited:
            body["rateLimits"] = self._limits(None)
        return WsAnswer(orjson.dumps(body))

    def _failed(self, request: WsRequest, session: WsSession, error: ApiError) -> WsAnswer:
        body: dict[str, Any] = {"id": request.id, "status": error.status, "error": error.body()}
        if request.params.get("returnRateLimits", "true" if session.rate_limits else "false") != "false":
            body["rateLimits"] = self._limits(None)
        return WsAnswer(orjson.dumps(body))

    def _limits(self, account: Account | None) -> list[dict[str, Any]]:
        weight = self._exchange.limits.describe()[0] | {"count": self._weights.used}
        orders = [] if account is None else account.meter.describe(self._exchange.clock.market_ns())
        return [*orders, weight]

    # -- who -------------------------------------------------------------------------------------------------------

    def _authenticate(self, session: WsSession, params: Params) -> Account:
        """The account of a signed request; after a logon the key and the signature may be left out."""
        if session.account is not None and "signature" not in params and "apiKey" not in params:
            if "timestamp" in params:
                check_timing(params, self._wall_ns())
            return session.account
        key = params.get("apiKey")
        if not key:
            raise errors.mandatory("apiKey")
        secret, account = self._keys.find(key)
        check_timing(params, self._wall_ns())
        if not verify(secret, ws_payload(params), params.text("signature")):
            raise errors.bad_signature()
        return account

    def _logon(self, session: WsSession, params: Params) -> dict[str, Any]:
        session.account = self._authenticate(session, params) if "apiKey" in params else None
        if session.account is None:
            raise errors.mandatory("apiKey")
        session.api_key = params["apiKey"]
        session.authorized_ns = self._wall_ns()
        return self._status(session, params)

    def _status(self, session: WsSession, _: Params) -> dict[str, Any]:
        divisor = session.unit.divisor
        return {
            "apiKey": session.api_key or None,
            "authorizedSince": session.authorized_ns // divisor if session.account else None,
            "connectedSince": session.connected_ns // divisor,
            "returnRateLimits": session.rate_limits,
            "serverTime": self._wall_ns() // divisor,
            "userDataStream": bool(session.by_logon) if session.account else None,
        }

    def _logout(self, session: WsSession, params: Params) -> dict[str, Any]:
        session.account, session.api_key, session.authorized_ns = None, "", 0
        for number in session.by_logon:
            session.subscriptions.pop(number, None)
        session.by_logon.clear()
        return self._status(session, params)

    # -- user data -------------------------------------------------------------------------------------------------

    def _subscribe(self, session: WsSession, _: Params) -> dict[str, Any]:
        if session.account is None:
            raise ApiError(-1002, "You are not authorized to execute this request.", 401)
        result = self._add(session, session.account)
        session.by_logon.add(result["subscriptionId"])
        return result

    def _subscribe_signed(self, session: WsSession, params: Params) -> dict[str, Any]:
        if not params.get("apiKey"):
            raise errors.mandatory("apiKey")
        return self._add(session, self._authenticate(session, params))

    def _add(self, session: WsSession, account: Account) -> dict[str, Any]:
        if account in session.subscriptions.values():
            raise ApiError(-2035, "Subscription already active.")
        if session.next_subscription > _LAST_SUBSCRIPTION:
            raise ApiError(-2042, "Maximum subscription ID reached for this connection.")
        number = session.next_subscription
        session.next_subscription += 1
        session.subscriptions[number] = account
        return {"subscriptionId": number}

    def _unsubscribe(self, session: WsSession, params: Params) -> dict[str, Any]:
        number = params.integer("subscriptionId")
        if number is None:
            session.subscriptions.clear()
            session.by_logon.clear()
        elif session.subscriptions.pop(number, None) is None:
            raise ApiError(-2036, "Subscription not active.")
        else:
            session.by_logon.discard(number)
        return {}
