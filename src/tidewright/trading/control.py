"""What a session does with the commands it is given: urgent ones at once, the others at its next decision."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson

from tidewright.agents.executor.executor import Executor
from tidewright.coordination.agent_payloads import Command
from tidewright.coordination.messages import CommandMessage, encode
from tidewright.market.errors import UsageError
from tidewright.market.tasks import end
from tidewright.trading.commands import URGENT, CommandBox

_WATCH_S: Final = 0.1
_PAUSED: Final = "nothing is quoted until resume, but for the way out of a position that limits make it leave"


class Switch(Protocol):
    """Changes the coordination pattern in force."""

    def __call__(self, pattern: str, now_ns: int) -> str:
        """Switch and say what changed."""
        ...


class Control:
    """Obeys.

    Parameters
    ----------
    box
        Where commands come from; ``None``: none ever comes.
    stop
        Set by ``stop`` and ``emergency_stop``.

    Attributes
    ----------
    paused
        Whether nothing is quoted, but for the way out of a position that limits make it leave.
    flatten
        Whether the position is traded away at the end.
    ended_by
        The urgent command that was obeyed.
    switch
        Of ``set_coordination``; ``None``: only one pattern is there.
    """

    def __init__(self, box: CommandBox | None, stop: asyncio.Event) -> None:
        self._box, self._stop = box, stop
        self._waiting: list[CommandMessage] = []
        self._task: asyncio.Task[None] | None = None
        self.paused = self.flatten = False
        self.ended_by = ""
        self.switch: Switch | None = None

    def open(self, cycle_ns: int, pace: float | None) -> None:
        """Listen from now on, also between decisions."""
        if self._box is not None:
            self._box.open(cycle_ns, pace)
            self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop listening; what was not obeyed yet is answered with a no."""
        if self._task is None or self._box is None:
            return
        await end(self._task)
        self._task = None
        self._waiting += self._box.take()
        for item in self._waiting:
            self._box.answer(item.data, False, "the session has ended")
        self._waiting.clear()

    def obey(self, now_ns: int, executor: Executor, note: Callable[..., None]) -> None:
        """Act on what has come; ``note`` writes a row of the message table."""
        if self._box is None:
            return
        self._look()
        if self._task is not None and self._task.done():
            self._task.result()  # what ended the watcher ends the session: nobody would hear an emergency stop
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            command = item.data
            try:
                done = self._act(command, now_ns, executor)
            except UsageError as error:
                verdict, why = "refused", str(error)
            else:
                verdict, why = "accepted", done
            body = encode(item).decode()
            note(ts=now_ns, direction="in", message_type="command", body=body, verdict=verdict, why=why)
            self._box.answer(command, verdict == "accepted", why)

    def _act(self, command: Command, now_ns: int, executor: Executor) -> str:
        if command.command == "set_parameters":
            return _use(executor, command.params or {})
        if command.command == "set_coordination":
            if self.switch is None:
                raise UsageError("this session has no other agents to coordinate")
            return self.switch(command.pattern or "", now_ns)
        self.paused = command.command == "pause"
        return _PAUSED if self.paused else "quoting goes on"

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_WATCH_S)

    def _look(self) -> None:
        assert self._box is not None
        for item in self._box.take():
            command = item.data
            if command.command not in URGENT:
                self._waiting.append(item)
                continue
            self.flatten = self.flatten or command.flatten
            self.ended_by = f"{command.command}: {command.reason}" if command.reason else command.command
            self._stop.set()
            after = ", then the position is flattened" if command.flatten else ""
            self._box.answer(command, True, f"open orders are cancelled{after}, then the session ends")


def _use(executor: Executor, params: Mapping[str, float]) -> str:
    before = executor.params
    executor.use({**before, **{name: float(value) for name, value in params.items()}})
    changes = [
        f"{name} {before[name]:g} → {value:g}" for name, value in executor.params.items() if before[name] != value
    ]
    return ", ".join(changes) or "nothing changes"


def was_paused(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a broken-off session was paused, by its message table: a restart does not lift a pause."""
    last = [command["command"] for command in _obeyed(rows) if command["command"] in ("pause", "resume")]
    return bool(last) and last[-1] == "pause"


def last_pattern(rows: Sequence[Mapping[str, Any]]) -> str:
    """The coordination pattern a broken-off session was switched to; empty if it never was."""
    last = [str(command["pattern"]) for command in _obeyed(rows) if command["command"] == "set_coordination"]
    return last[-1] if last else ""


def _obeyed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        orjson.loads(row["body"])["data"]
        for row in rows
        if row["message_type"] == "command" and row["verdict"] == "accepted"
    ]
