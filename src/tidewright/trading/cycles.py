"""When a session decides: at the barriers of a paper exchange in lockstep, at its announcements when paced, or by wall.

The decision times of a session are ``start + k * cycle`` in market time, whatever sets the beat.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import orjson

from tidewright.market.clock import SECOND, ManualClock, WallClock
from tidewright.market.errors import NotRunningError, TidewrightError, TimedOutError
from tidewright.market.tasks import end
from tidewright.trading.standstill import Standstill

_ANSWER_S: Final = 15.0


class Beat(NamedTuple):
    """A decision time.

    Attributes
    ----------
    ts
        Market time, nanoseconds.
    update_id, trade_id
        Newest book update and trade that belong to it; -1: whatever is there.
    execution_id
        Newest report of the user stream that belongs to it; -1: whatever is there.
    done
        Whether the market has ended.
    """

    ts: int
    update_id: int = -1
    trade_id: int = -1
    execution_id: int = -1
    done: bool = False


@dataclass(frozen=True, slots=True)
class Registration:
    """What a venue's market time is like.

    Attributes
    ----------
    start_ns
        Where the grid of decision times begins.
    end_ns
        End of the market, 0 if it has none.
    pace
        Market seconds per wall second; ``None`` in lockstep.
    entry_ns, response_ns, feed_ns
        Latencies as the venue states them; 0 where it does not.
    execution_id
        Newest report of the user stream before the registration: it will not come again.
    detail
        What the market behind a paper exchange was recorded with, in its tape's words; empty: the market itself.
    """

    start_ns: int
    end_ns: int
    pace: float | None
    entry_ns: int = 0
    response_ns: int = 0
    feed_ns: int = 0
    execution_id: int = 0
    detail: str = ""


class Cycles(Protocol):
    """Sets the beat of a session."""

    @property
    def clock(self) -> ManualClock | WallClock:
        """Market time as the beat has it."""
        ...

    async def register(self, cycle_ns: int, start_ns: int | None) -> Registration:
        """Begin; ``start_ns`` continues an earlier grid."""
        ...

    async def next(self) -> Beat:
        """Wait for the next decision time."""
        ...

    async def release(self, beat: Beat) -> None:
        """Let market time go on; nothing more is sent for this decision time."""
        ...

    async def close(self) -> None:
        """Leave."""
        ...


class ControlCycles:
    """The beat of a paper exchange, over its control channel.

    Parameters
    ----------
    url
        Of the control channel, ``ws://host:port/control``.
    symbol
        Whose cursor the barriers carry.
    still
        Told of each cycle at real time's pace; where market time waits or runs faster, nobody stands still.
    """

    def __init__(self, url: str, symbol: str, name: str = "session", still: Standstill | None = None) -> None:
        self._url, self._symbol, self._name = url, symbol, name
        self._still = still or Standstill()
        self._period_s = 0.0  # wall seconds from one announcement to the next, at real time's pace
        self._announced_s: float | None = None
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._lockstep = True
        self._newest: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self.clock = ManualClock()

    async def register(self, cycle_ns: int, start_ns: int | None) -> Registration:
        """Connect and register.

        Raises
        ------
        NotRunningError
            If nobody listens at the URL.
        """
        self._http = aiohttp.ClientSession()
        try:
            self._socket = await self._http.ws_connect(self._url, compress=0, max_msg_size=1 << 24, autoping=True)
        except (aiohttp.ClientError, OSError) as error:
            await self.close()
            raise NotRunningError(f"no paper exchange answers at {self._url}: {error}") from None
        await self._send({"op": "register", "name": self._name, "cycle_ns": cycle_ns, "start_ns": start_ns})
        told = await self._receive("registered", _ANSWER_S)
        pace = told["pace"]
        self._lockstep = not isinstance(pace, int | float)
        self._period_s = cycle_ns / SECOND if pace == 1.0 else 0.0
        self.clock.set(int(told["market_ns"]))
        return Registration(
            int(told["start_ns"]),
            int(told["end_ns"]),
            None if self._lockstep else float(pace),
            int(told["entry_ns"]),
            int(told["response_ns"]),
            int(told["feed_ns"]),
            int(told.get("execution", 0)),
            str(told.get("detail", "")),
        )

    async def next(self) -> Beat:
        """Wait for the next barrier.

        Raises
        ------
        NotRunningError
            If the exchange has gone.
        """
        if not self._lockstep:
            return await self._next_announced()
        told = await self._receive("barrier", None)
        self.clock.set(max(int(told["ts"]), self.clock.market_ns()))
        cursor = told["cursor"].get(self._symbol, {})
        return Beat(
            int(told["ts"]),
            int(cursor.get("u", -1)),
            int(cursor.get("t", -1)),
            int(told.get("execution", -1)),
            bool(told.get("done", False)),
        )

    async def _next_announced(self) -> Beat:
        """The newest announcement: those that came while we worked are over, and so is what their cursors say."""
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        with self._still.before(self._wait_s()):
            told = await self._newest.get()
        while not self._newest.empty():
            told = self._newest.get_nowait()
        if not told:
            await self._reader  # raises what ended it
        self.clock.set(max(int(told["ts"]), self.clock.market_ns()))
        return Beat(int(told["ts"]), done=bool(told.get("done", False)))

    def _wait_s(self) -> float | None:
        """Wall seconds until the next announcement is due; ``None``: not known."""
        if not self._period_s or self._announced_s is None or not self._newest.empty():
            return None
        return (self._announced_s - asyncio.get_running_loop().time()) % self._period_s

    async def _read(self) -> None:
        try:
            while True:
                told = await self._receive("barrier", None)
                self._announced_s = asyncio.get_running_loop().time()
                self._newest.put_nowait(told)
        finally:
            self._newest.put_nowait({})

    async def release(self, beat: Beat) -> None:
        """Let market time run to the next barrier."""
        self._still.end()
        if self._lockstep and not beat.done:
            await self._send({"op": "release", "ts": beat.ts})

    async def close(self) -> None:
        """Leave the exchange; its time no longer waits for us."""
        self._still.end()
        if self._reader is not None:
            await end(self._reader)
        if self._socket is not None and not self._socket.closed:
            try:
                await self._send({"op": "leave"})
            except NotRunningError:
                pass  # it has gone before us
            await self._socket.close()
        if self._http is not None:
            await self._http.close()

    async def _send(self, message: dict[str, Any]) -> None:
        if self._socket is None or self._socket.closed:
            raise NotRunningError(f"the paper exchange at {self._url} has gone")
        try:
            await self._socket.send_str(orjson.dumps(message).decode())
        except (aiohttp.ClientError, ConnectionError):
            raise NotRunningError(f"the paper exchange at {self._url} has gone") from None

    async def _receive(self, wanted: str, timeout_s: float | None) -> dict[str, Any]:
        if self._socket is None:
            raise NotRunningError("the control channel has not been opened")
        while True:
            try:
                message = await self._socket.receive(timeout_s)
            except TimeoutError:
                raise TimedOutError(f"the paper exchange at {self._url} did not answer in {timeout_s:g} s") from None
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise NotRunningError(f"the paper exchange at {self._url} has gone")
            told: dict[str, Any] = orjson.loads(message.data)
            if told.get("op") == wanted:
                return told
            if told.get("op") == "error":
                raise TidewrightError(f"the paper exchange refused: {told.get('msg', told)}")


class WallCycles:
    """The beat of a live venue: decision times on a grid of wall time.

    Parameters
    ----------
    still
        Told of each cycle.
    """

    def __init__(self, still: Standstill | None = None) -> None:
        self.clock = WallClock()
        self._still = still or Standstill()
        self._start = self._cycle = self._last = 0

    async def register(self, cycle_ns: int, start_ns: int | None) -> Registration:
        """Begin at the next whole cycle, or go on with an earlier grid."""
        now = self.clock.market_ns()
        self._cycle = cycle_ns
        self._start = -(-now // cycle_ns) * cycle_ns if start_ns is None else start_ns
        self._last = self._start - cycle_ns if start_ns is None else now
        return Registration(self._start, 0, 1.0)

    async def next(self) -> Beat:
        """Sleep until the next decision time; times that passed while we worked are left out."""
        now = self.clock.market_ns()
        after = max(now, self._last)
        ts = self._start + ((after - self._start) // self._cycle + 1) * self._cycle
        if now <= self._start and self._last < self._start:
            ts = self._start
        wait_s = max(0, ts - now) / SECOND
        with self._still.before(wait_s):
            await asyncio.sleep(wait_s)
        self._last = ts
        return Beat(ts)

    async def release(self, beat: Beat) -> None:
        """Wall time waits for nobody."""
        self._still.end()

    async def close(self) -> None:
        """Nothing to leave."""
        self._still.end()
