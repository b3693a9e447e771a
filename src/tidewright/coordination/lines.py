"""Agents of other processes on one line: children that speak JSON lines over their pipes, and NATS."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from tidewright.coordination.admission import Admission, RefusedError, Rules
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import Message
from tidewright.coordination.nats_bus import NatsBus
from tidewright.coordination.process import ProcessBus
from tidewright.market.clock import Clock
from tidewright.market.errors import DataError, NotRunningError
from tidewright.market.tasks import end

logger = logging.getLogger(__name__)


class ChildAgent:
    """An agent in a child process: JSON lines, in on its stdin, out on its stdout.

    It may speak under its own name only. When it dies it is silent; nothing else changes.
    """

    def __init__(self, name: str, command: Sequence[str], executor: str, journal: Journal, clock: Clock) -> None:
        self._name = name
        self._bus = ProcessBus(command, journal, Admission(Rules.council(executor, [name])), clock)
        self._came: list[Message] = []
        self._going: asyncio.Queue[Message] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the child."""
        await self._bus.start()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    def drain(self) -> list[Message]:
        """Admitted and journalled messages since the last call."""
        came, self._came = self._came, []
        return came

    def publish(self, item: Message) -> None:
        """Send; a dead child hears nothing."""
        self._going.put_nowait(item)

    async def close(self) -> None:
        """End the child."""
        await end(*self._tasks)
        await self._bus.close(grace_s=1.0)

    async def _read(self) -> None:
        try:
            while True:
                delivery = await self._bus.receive()
                if delivery.message is not None:
                    self._came.append(delivery.message)
        except NotRunningError as error:
            logger.warning("agent %s is silent from now on: %s", self._name, error)

    async def _write(self) -> None:
        try:
            while True:
                item = await self._going.get()
                try:
                    await self._bus.send(item)
                except (DataError, RefusedError) as error:
                    logger.warning("not sent to agent %s: %s", self._name, error)
        except NotRunningError:
            return  # the reader says so


class Lines:
    """Several lines as one."""

    def __init__(self, children: Mapping[str, ChildAgent], bus: NatsBus | None = None) -> None:
        self._all: list[ChildAgent | NatsBus] = [*children.values(), *([bus] if bus is not None else [])]

    async def start(self) -> None:
        """Connect all."""
        for line in self._all:
            await line.start()

    def drain(self) -> list[Message]:
        """What has come, line by line."""
        return [item for line in self._all for item in line.drain()]

    def publish(self, item: Message) -> None:
        """To all."""
        for line in self._all:
            line.publish(item)

    async def close(self) -> None:
        """Leave all."""
        for line in self._all:
            await line.close()
