"""Ending tasks that run for ever, such as readers of a connection."""

import asyncio
from typing import Any, Final

_AGAIN_S: Final = 1.0


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks until they have ended; what they raise is dropped.

    One cancellation may get lost: up to Python 3.11 ``asyncio.wait_for`` drops it if what it waits for ends in the same
    turn of the loop (github.com/python/cpython/issues/86296), and a reader would read on for ever. So it is said again.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
