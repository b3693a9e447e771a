import asyncio

import orjson
import pytest
from aiohttp import web

from tidewright.market.errors import NotRunningError, TidewrightError
from tidewright.trading.cycles import Beat, ControlCycles, WallCycles

CYCLE = 30_000_000_000


class ControlServer:
    """A control channel that follows a script."""

    def __init__(self, pace="lockstep", refuse="") -> None:
        self.pace, self.refuse, self.heard = pace, refuse, []
        self.socket = None

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/control", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/control"
        return self

    async def __aexit__(self, *_):
        if self.socket is not None:
            await self.socket.close()
        await self._runner.cleanup()

    async def _serve(self, request):
        self.socket = socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            told = orjson.loads(message.data)
            self.heard.append(told)
            if told["op"] == "register" and self.refuse:
                await self.say({"op": "error", "msg": self.refuse})
            elif told["op"] == "register":
                await self.say(
                    {"op": "registered", "market_ns": 5, "start_ns": 5, "end_ns": 99, "pace": self.pace, "entry_ns": 1,
                     "response_ns": 2, "feed_ns": 3, "execution": 4, "detail": "L2+trades"}
                )  # fmt: skip
        return socket

    async def say(self, message):
        await self.socket.send_str(orjson.dumps(message).decode())

    async def barrier(self, ts, done=False):
        cursor = {"BTCUSDT": {"u": ts * 10, "t": ts}}
        await self.say({"op": "barrier", "ts": ts, "cursor": cursor, "execution": 7, "done": done})


def run(scenario, **options):
    async def whole():
        async with ControlServer(**options) as server:
            cycles = ControlCycles(server.url, "BTCUSDT")
            try:
                await scenario(server, cycles)
            finally:
                await cycles.close()

    asyncio.run(whole())


def test_a_lockstep_barrier_carries_its_cursor_and_is_released_once():
    async def scenario(server, cycles):
        told = await cycles.register(CYCLE, None)
        assert (told.start_ns, told.end_ns, told.pace, told.feed_ns, told.execution_id) == (5, 99, None, 3, 4)
        assert told.detail == "L2+trades"
        await server.barrier(6)
        beat = await cycles.next()
        assert beat == Beat(6, 60, 6, 7, False)
        assert cycles.clock.market_ns() == 6
        await cycles.release(beat)
        await server.barrier(9, done=True)
        last = await cycles.next()
        await cycles.release(last)
        await cycles.close()
        assert [message["op"] for message in server.heard] == ["register", "release", "leave"]
        assert server.heard[1]["ts"] == 6

    run(scenario)


def test_paced_announcements_that_were_missed_are_left_out():
    async def scenario(server, cycles):
        told = await cycles.register(CYCLE, None)
        assert told.pace == 60.0
        await server.barrier(6)
        assert await cycles.next() == Beat(6)
        for ts in (7, 8, 9):
            await server.barrier(ts)
        await asyncio.sleep(0.1)
        assert await cycles.next() == Beat(9)
        await cycles.release(Beat(9))
        assert [message["op"] for message in server.heard] == ["register"]

    run(scenario, pace=60.0)


def test_an_exchange_that_goes_away_is_told_in_both_modes():
    async def scenario(server, cycles):
        await cycles.register(CYCLE, None)
        await server.socket.close()
        with pytest.raises(NotRunningError, match="has gone"):
            await cycles.next()

    run(scenario)
    run(scenario, pace=2.0)


def test_a_refusal_and_a_dead_address_are_clear_errors():
    async def refused(server, cycles):
        with pytest.raises(TidewrightError, match="cycle_ns must be"):
            await cycles.register(0, None)

    run(refused, refuse="cycle_ns must be an integer > 0")

    async def dead():
        with pytest.raises(NotRunningError, match="no paper exchange answers"):
            await ControlCycles("ws://127.0.0.1:9/control", "BTCUSDT").register(CYCLE, None)

    asyncio.run(dead())


def test_wall_decision_times_lie_on_the_grid_and_never_repeat():
    async def scenario():
        cycles = WallCycles()
        cycle = 20_000_000
        told = await cycles.register(cycle, None)
        beats = [await cycles.next() for _ in range(4)]
        times = [beat.ts for beat in beats]
        assert times[0] == told.start_ns
        assert all((ts - told.start_ns) % cycle == 0 for ts in times)
        assert times == sorted(set(times))
        await asyncio.sleep(0.05)  # two times pass while we work
        late = await cycles.next()
        assert late.ts >= times[-1] + 2 * cycle
        again = WallCycles()
        resumed = await again.register(cycle, told.start_ns)
        assert ((await again.next()).ts - resumed.start_ns) % cycle == 0

    asyncio.run(scenario())
