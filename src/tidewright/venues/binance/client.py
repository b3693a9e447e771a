"""ccxt's Binance, fenced in: it may talk only to the hosts of the configuration, and never shows its keys.

ccxt merges given URLs into its own, so a forgotten one would still point at the real venue. Here every URL is
rewritten, and every request and connection is checked once more before it leaves.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import ccxt
import ccxt.pro

from tidewright.market.errors import ConfigError

# Codes that say nothing about what became of the order: unexpected, internal, and time-out errors.
_UNSETTLED_CODES: Final = frozenset({-1000, -1001, -1006, -1007, -1008, -1016})

_RATE_LIMIT_MS: Final = 50.0  # ccxt's own pause between requests of weight 1, milliseconds

_silent = logging.getLogger("tidewright.ccxt")
_silent.disabled = True  # ccxt logs headers and bodies, keys included, at debug level

BINANCE_REST: Final = "https://api.binance.com"
BINANCE_STREAMS: Final = "wss://stream.binance.com:9443"
BINANCE_WS_API: Final = "wss://ws-api.binance.com:443"


@dataclass(frozen=True, slots=True)
class BinanceConfig:
    """Where a venue is and who we are there.

    Parameters
    ----------
    symbol
        As the venue writes it, e.g. ``BTCUSDT``.
    rest_url, stream_url, ws_api_url
        Roots without path; without ``ws_api_url`` the WebSocket API is at ``stream_url``.
    api_key, api_secret
        Never in a repr.
    time_scale
        Market seconds per wall second, which ccxt's throttle is scaled by: 1 for a live venue, ``None`` for lockstep,
        where market time stands while orders are sent and a throttle in wall time would mean nothing.
    timeout_s
        Wall seconds after which an answer counts as lost.
    """

    symbol: str
    rest_url: str = BINANCE_REST
    stream_url: str = BINANCE_STREAMS
    ws_api_url: str = ""
    api_key: str = field(default="", repr=False)
    api_secret: str = field(default="", repr=False)
    time_scale: float | None = 1.0
    timeout_s: float = 10.0


class HostRefusedError(ConfigError):
    """A request was about to leave for a host that is not in the configuration."""


class Refusal(ccxt.ExchangeError):  # type: ignore[misc]
    """An error the venue itself reported, with its code.

    Parameters
    ----------
    code, words
        Of the venue; code 0 where it gave none.
    status
        HTTP status, or the same number in the WebSocket API.
    """

    def __init__(self, code: int, words: str, status: int) -> None:
        super().__init__(f"{code}: {words}")
        self.code, self.words, self.status = code, words, status

    @property
    def settled(self) -> bool:
        """Whether the venue said no; a server error leaves the outcome open."""
        return self.status < 500 and self.code not in _UNSETTLED_CODES


class FencedBinance(ccxt.pro.binance):  # type: ignore[misc]
    """ccxt.pro's Binance with a fence around its hosts and a direct way out for the user stream.

    Attributes
    ----------
    on_report
        Called with every raw user event in the venue's order, before ccxt would merge them.
    on_stream_lost
        Called with the reason when the socket of the user stream breaks.
    """

    def __init__(self, config: BinanceConfig) -> None:
        self.hosts: frozenset[str] = frozenset()
        self.on_report: Callable[[Mapping[str, Any]], None] = lambda _: None
        self.on_stream_lost: Callable[[str], None] = lambda _: None
        scale = config.time_scale
        super().__init__(
            {
                "apiKey": config.api_key,
                "secret": config.api_secret,
                "timeout": int(config.timeout_s * 1000),
                "enableRateLimit": scale is not None,
                "options": {
                    "defaultType": "spot",
                    "fetchMarkets": {"types": ["spot"]},
                    "fetchCurrencies": False,
                    "fetchMargins": False,
                    "adjustForTimeDifference": False,
                    "newOrderRespType": dict.fromkeys(("LIMIT", "LIMIT_MAKER", "MARKET"), "RESULT"),
                    "ws": {"cost": 1, "compress": 0},
                },
            }
        )
        self.logger = _silent
        if scale is not None and scale != 1.0:
            self.rateLimit: float = _RATE_LIMIT_MS / scale
            self.tokenBucket = None
            self.init_rest_rate_limiter()
            self.throttler.config.update(self.tokenBucket)
        rest, streams = config.rest_url.rstrip("/"), config.stream_url.rstrip("/")
        ws_api = (config.ws_api_url or config.stream_url).rstrip("/")
        self.ws_api = ws_api + "/ws-api/v3"
        self.hosts = frozenset(urlsplit(url).netloc for url in (rest, streams, ws_api))
        api: dict[str, Any] = {
            name: _rebase(url, rest) for name, url in self.urls["api"].items() if isinstance(url, str)
        }
        api["ws"] = {"spot": streams + "/stream", "margin": streams + "/stream", "ws-api": {"spot": self.ws_api}}
        self.urls["api"] = api

    def __repr__(self) -> str:
        return f"FencedBinance({sorted(self.hosts)})"

    def _check_host(self, url: str) -> None:
        if self.hosts and urlsplit(url).netloc not in self.hosts:
            allowed = ", ".join(sorted(self.hosts))
            raise HostRefusedError(
                f"refused to talk to {urlsplit(url).netloc}: the configuration allows only {allowed}"
            )

    # -- the fence -----------------------------------------------------------------------------------------------------

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Send a REST request, if its host is allowed."""
        self._check_host(url)
        return await super().fetch(url, method, headers, body)

    def client(self, url: str) -> Any:
        """The WebSocket client of an URL, if its host is allowed."""
        self._check_host(url)
        client = super().client(url)
        if not isinstance(client.futures, _Heard):
            client.futures = _Heard(client.futures)
        return client

    # -- errors keep the venue's code ----------------------------------------------------------------------------------

    def handle_errors(self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any) -> None:
        """Turn every REST error into a :class:`Refusal`."""
        response = rest[0] if rest else None
        if isinstance(response, dict) and isinstance(response.get("code"), int) and response["code"] < 0:
            raise Refusal(response["code"], str(response.get("msg", "")), code)
        if code >= 400:
            raise Refusal(0, f"HTTP {code} {reason}", code)

    def handle_ws_error(self, client: Any, message: Mapping[str, Any]) -> None:
        """Turn every error of the WebSocket API into a :class:`Refusal` of the request it answers."""
        error = message.get("error") or {}
        status = int(message.get("status") or 400)
        refusal = Refusal(int(error.get("code", 0)), str(error.get("msg", "")), status)
        request = message.get("id")
        if request is not None:
            client.subscriptions.pop(str(request), None)
            client.reject(refusal, str(request))

    # -- the user stream, complete and in order ------------------------------------------------------------------------

    def handle_message(self, client: Any, message: Any) -> None:
        """Hand user events out as they are; everything else goes ccxt's way."""
        event = message.get("event") if isinstance(message, dict) else None
        if event is None:
            super().handle_message(client, message)
            return
        self.on_report(event)
        if event.get("e") in ("eventStreamTerminated", "serverShutdown"):
            client.subscriptions.pop("spot", None)
            self.on_stream_lost(f"the venue sent {event['e']}")

    def handle_order_ws(self, client: Any, message: Mapping[str, Any]) -> None:
        """Resolve an order request with the venue's own answer, and forget the request."""
        request = str(message.get("id"))
        client.subscriptions.pop(request, None)
        client.resolve(message.get("result", {}), request)

    def on_error(self, client: Any, error: Exception) -> None:
        """The socket broke."""
        super().on_error(client, error)
        self._lost(client, str(error) or type(error).__name__)

    def on_close(self, client: Any, error: Any) -> None:
        """The socket was closed."""
        super().on_close(client, error)
        self._lost(client, f"closed with code {error}")

    def _lost(self, client: Any, why: str) -> None:
        if client.url == self.ws_api:
            self.on_stream_lost(why)


class _Heard(dict[str, "asyncio.Future[Any]"]):
    """What a socket's messages are waited for with; an error nobody waits for any more is not printed as forgotten."""

    def __setitem__(self, key: str, future: "asyncio.Future[Any]") -> None:
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        super().__setitem__(key, future)


def _rebase(url: str, root: str) -> str:
    parts = urlsplit(url)
    return root + parts.path
