"""Ending tasks: also those to which a cancellation got lost."""

import asyncio

from tidewright.market.tasks import end


def test_a_task_that_lost_its_first_cancellation_ends_with_the_second():
    lost = []

    async def read():
        while True:
            try:
                await asyncio.sleep(3600.0)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(1)

    async def scenario():
        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        await end(task)
        assert task.cancelled()

    asyncio.run(scenario())
    assert lost == [1]


def test_an_error_of_an_ended_task_is_dropped_and_none_is_no_error():
    async def fail():
        raise ValueError("broken")

    async def scenario():
        await end()
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await end(task)
        assert task.done()

    asyncio.run(scenario())
