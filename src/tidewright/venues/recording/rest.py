"""Public GET requests of a venue: no keys, and a pause where the venue asks for one."""

import asyncio
import logging
from typing import Any, Final

import aiohttp
import orjson

from tidewright.market.errors import DataError, TimedOutError, VenueError

logger = logging.getLogger(__name__)

TIMEOUT: Final = aiohttp.ClientTimeout(total=20)
_SLOW_DOWN: Final = frozenset({418, 429})  # HTTP: banned for a while, too many requests
_DEFAULT_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0
_TRIES: Final = 4


class PublicRest:
    """A venue's public REST interface.

    Parameters
    ----------
    http
        The session to use.
    root
        ``https://host``, without path.
    """

    def __init__(self, http: aiohttp.ClientSession, root: str) -> None:
        self.root = root.rstrip("/")
        self._http = http

    async def get(self, path: str, params: dict[str, str]) -> Any:
        """One request, its JSON.

        Raises
        ------
        VenueError
            If the venue refuses it: asking again would not help.
        aiohttp.ClientError, TimeoutError
            If it failed and may be tried again; a pause that the venue asked for has passed already.
        """
        async with self._http.get(self.root + path, params=params, timeout=TIMEOUT) as response:
            body = await response.read()
            status, retry_after = response.status, response.headers.get("Retry-After", "")
        if status in _SLOW_DOWN:
            pause = float(retry_after) if retry_after.isdigit() else _DEFAULT_PAUSE_S
            logger.warning("%s asks for a pause of %.0f s (HTTP %d)", self.root, pause, status)
            await asyncio.sleep(min(pause, _LONGEST_PAUSE_S))
            raise aiohttp.ClientError(f"{path} answered {status}: too many requests")
        if status >= 500:
            raise aiohttp.ClientError(f"{path} answered {status}: {_words(body)}")
        if status != 200:
            raise _refusal(path, status, body)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise DataError(f"the answer to {path} was not JSON: {error}") from None

    async def get_surely(self, path: str, params: dict[str, str]) -> Any:
        """The same, tried a few times.

        Raises
        ------
        VenueError
            If the venue refuses it.
        TimedOutError
            If there was no answer.
        """
        for attempt in range(_TRIES):
            try:
                return await self.get(path, params)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = str(error) or type(error).__name__
                if attempt == _TRIES - 1:
                    raise TimedOutError(f"no answer from {self.root}{path} after {_TRIES} tries: {why}") from None
            await asyncio.sleep(0.25 * 2**attempt)
        raise AssertionError("unreachable")


def _words(body: bytes) -> str:
    return body[:200].decode(errors="replace")


def _refusal(path: str, status: int, body: bytes) -> VenueError:
    try:
        said = orjson.loads(body)
        return VenueError(int(said["code"]), str(said["msg"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return VenueError(status, f"{path}: {_words(body)}")
