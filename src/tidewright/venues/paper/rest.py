"""REST requests from raw bytes to answer, without sockets: key, time, signature, operation, headers.

Checks run in this order: key (-2014, -2015), time stamp (-1021), signature (-1022), then the operation's own.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import orjson

from tidewright.venues.binance.signing import rest_payload, verify
from tidewright.venues.paper import errors
from tidewright.venues.paper.account import Account
from tidewright.venues.paper.credentials import KEY_FORM, ApiKey
from tidewright.venues.paper.endpoints import REST, Endpoint, Security
from tidewright.venues.paper.errors import ApiError
from tidewright.venues.paper.exchange import Answer, Exchange
from tidewright.venues.paper.limits import WeightMeter
from tidewright.venues.paper.market_endpoints import Call
from tidewright.venues.paper.protocol import check_timing, rest_params, time_unit

_SECURITY_PARAMETERS: Final = ("signature", "timestamp", "recvWindow")


class KeyRing:
    """Which secret and account belong to a key.

    Parameters
    ----------
    keys
        One an account, in the order of the accounts.
    accounts
        The accounts.
    """

    def __init__(self, keys: list[ApiKey], accounts: list[Account]) -> None:
        self._known = {key.key: (key.secret, account) for key, account in zip(keys, accounts, strict=True)}

    def find(self, key: str | None) -> tuple[str, Account]:
        """Secret and account of a key.

        Raises
        ------
        ApiError
            -2014 for what is no key, -2015 for one that is unknown.
        """
        if not key or not KEY_FORM.match(key):
            raise errors.malformed_key()
        known = self._known.get(key)
        if known is None:
            raise errors.bad_key()
        return known


class RestAnswer(NamedTuple):
    """What goes back over HTTP.

    Attributes
    ----------
    known_ns
        Market time before which it may not be sent; 0: at once.
    """

    status: int
    body: bytes
    headers: dict[str, str]
    known_ns: int = 0


class RestFace:
    """Answers REST requests.

    Parameters
    ----------
    exchange
        The exchange.
    keys
        Keys of its accounts.
    weights
        The weight counter that both faces share.
    wall_ns
        Wall clock.
    """

    def __init__(self, exchange: Exchange, keys: KeyRing, weights: WeightMeter, wall_ns: Callable[[], int]) -> None:
        self._exchange = exchange
        self._keys = keys
        self._weights = weights
        self._wall_ns = wall_ns

    def answer(self, method: str, path: str, query: bytes, body: bytes, headers: Mapping[str, str]) -> RestAnswer:
        """Answer one request.

        Parameters
        ----------
        path
            Without the query.
        query, body
            Raw bytes as received, which the signature covers.
        headers
            Case-insensitive mapping.
        """
        endpoint = REST.get((method, path))
        if endpoint is None:
            known = any(path == p for _, p in REST)
            error = (
                ApiError(-1020, "This operation is not supported.", 405)
                if known
                else ApiError(-1000, f"There is no {method} {path} at this exchange.", 404)
            )
            return self._failed(error)
        try:
            return self._run(endpoint, query, body, headers)
        except ApiError as error:
            return self._failed(error)

    def _run(self, endpoint: Endpoint, query: bytes, body: bytes, headers: Mapping[str, str]) -> RestAnswer:
        wall_ns = self._wall_ns()
        self._weights.charge(endpoint.weight, wall_ns)
        unit = time_unit(headers.get("X-MBX-TIME-UNIT"))
        account: Account | None = None
        secret = ""
        if endpoint.security is not Security.NONE:
            secret, account = self._keys.find(headers.get("X-MBX-APIKEY"))
        params = rest_params(query, body)
        if endpoint.security is Security.SIGNED:
            check_timing(params, wall_ns)
            payload, signature = rest_payload(query, body)
            if signature is None:
                raise errors.mandatory("signature")
            if not verify(secret, payload, signature):
                raise errors.bad_signature()
            for name in _SECURITY_PARAMETERS:
                params.pop(name, None)
        result = endpoint.run(Call(self._exchange, account, params, unit.divisor, wall_ns))
        answer = result if isinstance(result, Answer) else Answer(result, 0)
        if endpoint.is_order and answer.status == 200:
            self._weights.forgive(endpoint.weight)
        counts = order_counts(account) if endpoint.is_order and account is not None else {}
        return RestAnswer(answer.status, orjson.dumps(answer.body), self._headers() | counts, answer.known_ns)

    def _headers(self) -> dict[str, str]:
        used = str(self._weights.used)
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}

    def _failed(self, error: ApiError) -> RestAnswer:
        headers = self._headers()
        body = error.body()
        if error.code == -1003 and error.data:
            wait = (error.data["retryAfter"] - error.data["serverTime"] + 999) // 1_000
            headers["Retry-After"] = str(wait)
            body = {"code": error.code, "msg": error.message}
        return RestAnswer(error.status, orjson.dumps(body), headers)


def order_counts(account: Account) -> dict[str, str]:
    """Headers with an account's order counts."""
    ten_seconds, day = account.meter.counts
    return {"X-MBX-ORDER-COUNT-10S": str(ten_seconds), "X-MBX-ORDER-COUNT-1D": str(day)}


def split_path(raw: str) -> tuple[str, bytes]:
    """Path and raw query of a request target as received."""
    path, _, query = raw.partition("?")
    return path, query.encode("utf-8", "surrogateescape")
