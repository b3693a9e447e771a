"""The bus inside one process: a queue a target agent, every message validated, journalled and admitted first."""

import asyncio

from tidewright.coordination.admission import Admission, RefusedError
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import Message, encode, validate
from tidewright.market.clock import Clock
from tidewright.market.errors import DataError, NotFoundError, UsageError


class Bus:
    """Delivers messages to the agents that subscribed under their names.

    Parameters
    ----------
    journal
        Where every message is written before it is delivered or refused.
    admission
        Who may say what to whom.
    clock
        Whose market time is "now".
    """

    def __init__(self, journal: Journal, admission: Admission, clock: Clock) -> None:
        self._journal = journal
        self._admission = admission
        self._clock = clock
        self._queues: dict[str, asyncio.Queue[Message]] = {}

    def subscribe(self, agent: str) -> "asyncio.Queue[Message]":
        """The queue of an agent.

        Raises
        ------
        UsageError
            If the name is taken.
        """
        if agent in self._queues:
            raise UsageError(f"agent names must be unique on a bus, {agent!r} is taken")
        queue: asyncio.Queue[Message] = asyncio.Queue()
        self._queues[agent] = queue
        return queue

    def publish(self, item: Message) -> None:
        """Journal a message and put it into its target's queue.

        Raises
        ------
        DataError
            If it breaks the schema (journalled as refused).
        NotFoundError
            If no agent of that name listens (journalled as refused).
        RefusedError
            If it may not be acted on (journalled as refused).
        """
        now = self._clock.market_ns()
        try:
            copy = validate(encode(item))  # the receiver's own copy: later changes by the sender do not reach it
        except DataError as error:
            self._journal.append("refused", now, repr(item), str(error))
            raise
        queue = self._queues.get(copy.target_agent)
        try:
            if queue is None:
                raise NotFoundError(f"no agent {copy.target_agent!r} on the bus")
            self._admission.admit(copy, now)
        except (NotFoundError, RefusedError) as error:
            self._journal.append("refused", now, copy, str(error))
            raise
        self._journal.append("received", now, copy)
        queue.put_nowait(copy)
