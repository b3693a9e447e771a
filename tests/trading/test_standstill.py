"""Who works beside a session stands still from shortly before each cycle until its end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.trading.test_cycles import ControlServer
from tests.trading.test_cycles import run as follow
from tidewright.market.clock import MILLISECOND
from tidewright.trading.cycles import ControlCycles, WallCycles
from tidewright.trading.standstill import Standstill

CYCLE = 50 * MILLISECOND


class Worker:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.tell: Callable[[], None] = lambda: None

    @property
    def still(self) -> bool:
        return bool(self.told) and self.told[-1] == "hold"

    def hold(self) -> None:
        self.told.append("hold")
        self.tell()

    def release(self) -> None:
        if self.still:
            self.told.append("release")
            self.tell()


def run(scenario: Callable[[WallCycles, Worker], Coroutine[Any, Any, None]], **options: float) -> Worker:
    worker = Worker()

    async def whole() -> None:
        still = Standstill(**options)
        still.neighbour = worker
        cycles = WallCycles(still)
        await cycles.register(CYCLE, None)
        try:
            await scenario(cycles, worker)
        finally:
            await cycles.close()

    asyncio.run(whole())
    return worker


def test_it_stands_still_in_each_cycle_and_works_between_them() -> None:
    async def scenario(cycles: WallCycles, worker: Worker) -> None:
        for _ in range(3):
            beat = await cycles.next()
            assert worker.still
            await cycles.release(beat)
            assert not worker.still

    assert run(scenario).told == ["hold", "release"] * 3


def test_it_stands_still_before_the_cycle_begins_and_goes_on_if_none_comes() -> None:
    worker = Worker()

    async def whole() -> None:
        still = Standstill(lead_s=30.0)
        still.neighbour = worker
        held = asyncio.Event()
        worker.tell = held.set
        with pytest.raises(asyncio.CancelledError), still.before(30.01):
            await held.wait()
            assert worker.still
            raise asyncio.CancelledError  # the session is told to stop while it waits
        assert not worker.still

    asyncio.run(whole())


def test_it_goes_on_when_the_cycle_breaks() -> None:
    told: list[list[str]] = []

    async def broken(cycles: WallCycles, worker: Worker) -> None:
        told.append(worker.told)
        await cycles.next()
        assert worker.still
        raise ValueError("the cycle broke")

    with pytest.raises(ValueError, match="broke"):
        run(broken)
    assert told == [["hold", "release"]]


def test_a_cycle_that_lasts_does_not_starve_it() -> None:
    async def scenario(cycles: WallCycles, worker: Worker) -> None:
        await cycles.next()
        freed = asyncio.Event()
        worker.tell = freed.set
        await freed.wait()  # nobody has released the cycle

    assert run(scenario, most_s=0.01).told == ["hold", "release"]


def test_where_cycles_follow_each_other_more_closely_than_the_lead_it_is_left_to_work() -> None:
    async def scenario(cycles: WallCycles, worker: Worker) -> None:
        for _ in range(3):
            await cycles.release(await cycles.next())

    assert run(scenario, lead_s=1.0).told == []


def test_nobody_beside_is_no_error() -> None:
    async def scenario() -> None:
        cycles = WallCycles()
        await cycles.register(CYCLE, None)
        await cycles.release(await cycles.next())
        await cycles.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("pace", "told"), [("lockstep", []), (60.0, []), (1.0, ["hold", "release"])])
def test_beside_a_paper_exchange_it_stands_still_in_real_time_only(pace: str | float, told: list[str]) -> None:
    worker = Worker()

    async def scenario(server: ControlServer, _: ControlCycles) -> None:
        still = Standstill()
        still.neighbour = worker
        cycles = ControlCycles(server.url, "BTCUSDT", still=still)
        held = asyncio.Event()
        worker.tell = held.set
        await cycles.register(CYCLE, None)
        await server.barrier(6)
        await cycles.release(await cycles.next())  # when the first one comes is not known
        assert worker.told == []
        coming = asyncio.ensure_future(cycles.next())
        if told:
            await held.wait()  # it is due
        await server.barrier(7)
        await cycles.release(await coming)
        await cycles.close()

    follow(scenario, pace=pace)
    assert worker.told == told
