"""An agent in a process of its own: JSON lines over the child's stdin and stdout, checked at both ends."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from tidewright.coordination.admission import Admission, RefusedError
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import MAX_BYTES, Message, encode, validate
from tidewright.coordination.tether import Rein
from tidewright.market.clock import Clock
from tidewright.market.errors import DataError, NotRunningError, TimedOutError

_STDERR_KEPT: Final = 2000  # characters of the child's last words
_UNREAD: Final = MAX_BYTES  # most that waits for a child beyond what the operating system takes


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came: a message that may be acted on, or the reason why what came may not.

    Attributes
    ----------
    message
        The admitted message, ``None`` when refused.
    refused
        Why not; empty when admitted.
    in_reply_to
        What a refused one says it answers; empty: nothing, or it is no message.
    """

    message: Message | None
    refused: str = ""
    in_reply_to: str = ""


class ProcessBus:
    """A child process that speaks messages. Use it as an async context manager.

    Parameters
    ----------
    command
        Program and arguments, e.g. ``[sys.executable, "-m", "tidewright.agents.optimizer"]``.
    journal
        Every message is written here before it is sent, delivered or refused.
    admission
        Rules for both directions.
    clock
        Whose market time is "now".
    environment
        Variables added to the child's environment.
    """

    def __init__(
        self,
        command: Sequence[str],
        journal: Journal,
        admission: Admission,
        clock: Clock,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        # What people know it by: the module of `python -m`, else the file.
        self._name = command[command.index("-m") + 1] if "-m" in command[:-1] else command[-1]
        self._journal = journal
        self._admission = admission
        self._clock = clock
        self._environment = {**os.environ, **(environment or {})}
        self._child: asyncio.subprocess.Process | None = None
        self._rein: Rein | None = None
        self._errors: asyncio.Task[None] | None = None
        self._last_words = ""

    async def start(self) -> None:
        """Start the child."""
        pipe = asyncio.subprocess.PIPE
        self._child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=self._environment,
            limit=MAX_BYTES + 2,
            start_new_session=True,  # Ctrl-C in the terminal is for the session, which then ends its child in order
        )
        self._rein = Rein(self._child.pid)
        assert self._child.stderr is not None
        self._errors = asyncio.create_task(self._drain(self._child.stderr))
        assert self._child.stdin is not None
        self._child.stdin.transport.set_write_buffer_limits(high=2 * _UNREAD)  # never reached: see `send`

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._running().pid

    def hold(self) -> None:
        """Stop the child for a moment, with children of its own; only one that is tethered, and once is enough."""
        if self._rein is not None and self._running().returncode is None:
            self._rein.hold()

    def release(self) -> None:
        """Let a child that was stopped go on."""
        if self._rein is not None:  # also where it has ended: its own children may stand still
            self._rein.release()

    async def send(self, item: Message) -> None:
        """Validate, admit, journal and send; never waits for the child to read.

        Raises
        ------
        DataError
            If the message breaks the schema.
        RefusedError
            If the rules forbid it, or too much lies unread: the child hangs. When it reads again it is sent to again.
        NotRunningError
            If the child has gone.
        """
        child = self._running()
        assert child.stdin is not None
        line = encode(item)
        now = self._clock.market_ns()
        unread = child.stdin.transport.get_write_buffer_size()
        try:
            if unread and unread + len(line) > _UNREAD:
                raise RefusedError(f"{self._name} does not read what it is sent: {unread} bytes wait for it")
            self._admission.admit(item, now)
        except RefusedError as error:
            self._journal.append("refused", now, item, str(error))
            raise
        self._journal.append("sent", now, item)
        try:
            child.stdin.write(line + b"\n")
            await child.stdin.drain()  # tells of a child that has gone; does not wait, as so much never lies unread
        except (BrokenPipeError, ConnectionResetError):
            raise NotRunningError(await self._obituary()) from None

    async def receive(self, timeout_s: float | None = None) -> Delivery:
        """The next line of the child, journalled.

        A time-out loses nothing: the line that comes later is returned by a later call.

        Raises
        ------
        TimedOutError
            If nothing came in time: whether the child still works on an answer is unknown.
        NotRunningError
            If the child has gone.
        """
        child = self._running()
        assert child.stdout is not None
        try:
            line = await asyncio.wait_for(child.stdout.readuntil(b"\n"), timeout_s)
        except TimeoutError:
            raise TimedOutError(f"no message from {self._name} within {timeout_s:g} s") from None
        except asyncio.IncompleteReadError as error:
            if error.partial:
                text = error.partial.decode(errors="replace")
                self._journal.append("refused", self._clock.market_ns(), text, "cut off: the sender ended")
            raise NotRunningError(await self._obituary()) from None
        except asyncio.LimitOverrunError as error:
            await _discard_line(child.stdout, error.consumed)
            return self._refuse("", f"a message must have at most {MAX_BYTES} bytes, had more")
        return self._admitted(line.rstrip(b"\r\n"))

    async def close(self, grace_s: float = 5.0) -> int:
        """End the child: close its stdin, wait, then terminate and at last kill it. Returns its exit status."""
        child = self._running()
        self.release()  # a stopped process hears neither the end of its input nor a polite signal
        self._rein = None
        if child.stdin is not None:
            child.stdin.close()
        for stop in (child.terminate, child.kill):
            try:
                await asyncio.wait_for(child.wait(), grace_s)
                break
            except TimeoutError:
                stop()
        status = await child.wait()
        if self._errors is not None:
            await self._errors
        return status

    async def __aenter__(self) -> "ProcessBus":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _admitted(self, line: bytes) -> Delivery:
        try:
            item = validate(line)
        except DataError as error:
            return self._refuse(line.decode(errors="replace"), str(error))
        now = self._clock.market_ns()
        try:
            self._admission.admit(item, now)
        except RefusedError as error:
            return self._refuse(item, str(error))
        self._journal.append("received", now, item)
        return Delivery(item)

    def _refuse(self, item: Message | str, reason: str) -> Delivery:
        self._journal.append("refused", self._clock.market_ns(), item, reason)
        reply = "" if isinstance(item, str) else getattr(item.data, "in_reply_to", None)
        return Delivery(None, reason, reply or "")

    def _running(self) -> asyncio.subprocess.Process:
        if self._child is None:
            raise NotRunningError(f"{self._name} has not been started")
        return self._child

    async def _obituary(self) -> str:
        child = self._running()
        status = await child.wait()
        if self._errors is not None:
            await self._errors
        words = f": {self._last_words.strip()}" if self._last_words.strip() else ""
        return f"{self._name} has ended with status {status}{words}"

    async def _drain(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            self._last_words = (self._last_words + chunk.decode(errors="replace"))[-_STDERR_KEPT:]


async def _discard_line(stream: asyncio.StreamReader, consumed: int) -> None:
    while True:
        await stream.readexactly(consumed)
        try:
            await stream.readuntil(b"\n")
            return
        except asyncio.LimitOverrunError as error:
            consumed = error.consumed
        except asyncio.IncompleteReadError:
            return


class ChildChannel:
    """The child's end: messages in on stdin, messages out on stdout, and nothing else on stdout.

    Anything that prints (a library, a warning) is moved to stderr, so it cannot break the line protocol.
    """

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    def standard(cls) -> "ChildChannel":
        """Take over this process's stdin and stdout; from now on file descriptor 1 is stderr."""
        sys.stdout.flush()
        writer = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        return cls(sys.stdin.buffer, writer)

    def receive(self) -> Iterator[Message | DataError]:
        """Messages until stdin ends; a line that is none comes as the error that says why."""
        while line := self._reader.readline(MAX_BYTES + 2):
            while len(line) > MAX_BYTES and not line.endswith(b"\n") and (rest := self._reader.readline(MAX_BYTES)):
                line = (
                    line[:MAX_BYTES] + rest
                )  # too long to be a message: read to its end, so that the next one is whole
            try:
                yield validate(line.strip())
            except DataError as error:
                yield error

    def send(self, item: Message) -> None:
        """Validate and send.

        Raises
        ------
        DataError
            If the message breaks the schema.
        """
        self._writer.write(encode(item) + b"\n")
        self._writer.flush()
