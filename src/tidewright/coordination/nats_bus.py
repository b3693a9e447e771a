"""The bus between processes and machines: NATS JetStream, durable, at least once, deduplicated, every message signed.

An agent's mailbox is the subject ``PREFIX.NAME``; what is meant for all goes to ``PREFIX.agents``. The stream keeps
messages on disk
until they are acknowledged, which happens after they are in the journal: what was delivered and not journalled comes
again, what was
journalled and comes again is refused as a repetition. The header ``Nats-Msg-Id`` lets the server drop what a sender
repeats after a
time-out; ``Tidewright-Signature`` is the HMAC-SHA256 of the payload under the sender's key.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tidewright.coordination.admission import Admission, RefusedError
from tidewright.coordination.journal import Journal, read
from tidewright.coordination.messages import MAX_BYTES, Message, encode, identity, validate
from tidewright.market.clock import Clock
from tidewright.market.errors import ConfigError, DataError, NotRunningError, UsageError
from tidewright.market.tasks import end

logger = logging.getLogger(__name__)

SIGNATURE: Final = "Tidewright-Signature"
MESSAGE_ID: Final = "Nats-Msg-Id"
ALL: Final = "agents"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_FETCH: Final = 64
_WAIT_S: Final = 1.0
_RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """Where the server is and how it knows us.

    Attributes
    ----------
    url
        ``nats://host:port`` or ``tls://host:port``.
    prefix
        First word of all subjects, and the name of the stream in capitals.
    user, password
        Of the server's authorisation; empty: none.
    ca, certificate, key
        PEM files: who signed the server's certificate, and our own where the server wants one.
    duplicate_window_s
        How long the server remembers message ids.
    """

    url: str
    prefix: str = "tidewright"
    user: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    duplicate_window_s: float = 120.0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.prefix):
            raise UsageError(f"a prefix is letters, digits, _ and -, was {self.prefix!r}")
        if not self.url.startswith(("nats://", "tls://")):
            raise UsageError(f"a NATS URL begins with nats:// or tls://, was {self.url!r}")

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return self.prefix.upper()

    def tls(self) -> ssl.SSLContext | None:
        """Context of an encrypted connection; ``None`` without one.

        Raises
        ------
        ConfigError
            If a file cannot be read.
        """
        if self.ca is None and not self.url.startswith("tls://"):
            return None
        try:
            context = ssl.create_default_context(cafile=str(self.ca) if self.ca is not None else None)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"TLS files of {self.url}: {error}") from None
        return context


class NatsBus:
    """One agent's connection. Use it as an async context manager.

    Parameters
    ----------
    agent
        Whose mailbox is read: letters, digits, ``_`` and ``-``.
    journal
        Every message is written here before it is sent, delivered or refused.
    admission
        Rules for what comes; must have keys.
    broadcasts
        Whether what is meant for all is read too.

    Raises
    ------
    ConfigError
        If the admission has no keys: over a network nothing is believed unsigned.
    """

    def __init__(
        self,
        settings: NatsSettings,
        agent: str,
        journal: Journal,
        admission: Admission,
        clock: Clock,
        *,
        broadcasts: bool = False,
    ) -> None:
        if admission.keys is None:
            raise ConfigError("messages over NATS must be signed: name a key file")
        if not _NAME.fullmatch(agent):
            raise UsageError(f"an agent's name on NATS is letters, digits, _ and -, was {agent!r}")
        self._settings, self._agent, self._journal = settings, agent, journal
        self._admission, self._clock, self._keys = admission, clock, admission.keys
        self._boxes = (agent, ALL) if broadcasts else (agent,)
        self._client: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._going: asyncio.Queue[Message] = asyncio.Queue()
        self._came: list[Message] = []
        self._arrived = asyncio.Event()
        self.refused = 0
        self.resent = 0

    async def start(self) -> None:
        """Connect, make stream and mailbox where they are not there, begin to read.

        Raises
        ------
        NotRunningError
            If no server answers.
        ConfigError
            If the server refuses us or the encryption fails.
        """
        nats = _library()
        settings = self._settings
        options: dict[str, Any] = {"name": f"tidewright {self._agent}", "connect_timeout": 5, "error_cb": _log}
        options |= {"max_reconnect_attempts": -1, "reconnect_time_wait": _RETRY_S, "allow_reconnect": True}
        if settings.user:
            options |= {"user": settings.user, "password": settings.password}
        if (context := settings.tls()) is not None:
            options["tls"] = context
        failed: list[Exception] = []

        async def first_error(error: Exception) -> None:
            failed.append(error)

        first = {**options, "error_cb": first_error, "allow_reconnect": False, "max_reconnect_attempts": 1}
        try:
            # A first connection that does not try for ever tells what is wrong; the second one stays.
            self._client = nats.NATS()
            await asyncio.wait_for(self._client.connect(settings.url, **first), _WAIT_S * 10)
            await self._give_up()
            self._client = nats.NATS()
            await self._client.connect(settings.url, **options)
            await self._open_stream()
        except (nats.errors.Error, ssl.SSLError, OSError, TimeoutError) as error:
            await self._give_up()
            words = f"{type(error).__name__}: {error}"
            refused = (nats.errors.AuthorizationError, ssl.SSLError, nats.errors.SecureConnRequiredError)
            if isinstance(error, refused) or any(isinstance(e, refused) for e in failed) or "uthoriz" in words:
                raise ConfigError(f"the NATS server at {settings.url} refuses the connection ({words})") from None
            raise NotRunningError(f"no NATS server with JetStream answers at {settings.url} ({words})") from None
        self._tasks = [asyncio.create_task(self._read(box)) for box in self._boxes]
        self._tasks.append(asyncio.create_task(self._write()))

    async def _open_stream(self) -> None:
        from nats.js import api, errors

        stream = self._client.jetstream()
        settings = self._settings
        config = api.StreamConfig(
            name=settings.stream,
            subjects=[f"{settings.prefix}.>"],
            storage=api.StorageType.FILE,
            duplicate_window=settings.duplicate_window_s,
            max_msg_size=MAX_BYTES + 4096,
            max_age=7 * 86_400.0,
        )
        try:
            await stream.stream_info(settings.stream)
        except errors.NotFoundError:
            await stream.add_stream(config)

    def publish(self, item: Message) -> None:
        """Send: checked and journalled now, delivered as soon as the server takes it, repeated until it does.

        Raises
        ------
        DataError
            If the message breaks the schema.
        RefusedError
            If it does not come from this agent.
        """
        if item.source_agent != self._agent:
            raise RefusedError(f"{self._agent} may not send in the name of {item.source_agent}")
        encode(item)
        self._journal.append("sent", self._clock.market_ns(), item)
        self._going.put_nowait(item)

    def drain(self) -> list[Message]:
        """Admitted and journalled messages since the last call, in the order they came."""
        came, self._came = self._came, []
        self._arrived.clear()
        return came

    async def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to drain; whether there is."""
        try:
            await asyncio.wait_for(self._arrived.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until the server has taken what was published; whether it has."""
        try:
            await asyncio.wait_for(self._going.join(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Leave; what the server has not taken stays in the journal as sent and is not sent again."""
        await end(*self._tasks)
        self._tasks = []
        await self._give_up()

    async def __aenter__(self) -> "NatsBus":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _give_up(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if not client.is_closed:
            try:
                await asyncio.wait_for(client.close(), _WAIT_S)
            except TimeoutError:
                pass  # after a failed handshake the library waits for an end that has been
        transport = getattr(client, "_transport", None)  # left open by the library when connecting failed
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)

    async def _write(self) -> None:
        nats = _library()
        stream = self._client.jetstream()
        while True:
            item = await self._going.get()
            raw = encode(item)
            headers = {
                MESSAGE_ID: f"{item.source_agent}:{identity(item)}",
                SIGNATURE: self._keys.sign(self._agent, raw),
            }
            while True:
                try:
                    await stream.publish(
                        f"{self._settings.prefix}.{item.target_agent}", raw, timeout=_WAIT_S * 3, headers=headers
                    )
                    break
                except (nats.errors.Error, TimeoutError) as error:
                    # Unknown, not failed: sent again under the same id, which the server counts once.
                    self.resent += 1
                    logger.warning("a message to %s was not confirmed (%s): again", item.target_agent, error)
                    await asyncio.sleep(_RETRY_S)
            self._going.task_done()

    async def _read(self, box: str) -> None:
        nats = _library()
        stream = self._client.jetstream()
        while True:
            try:
                mailbox = await stream.pull_subscribe(
                    f"{self._settings.prefix}.{box}", durable=f"{self._agent}-{box}", stream=self._settings.stream
                )
                while True:
                    try:
                        batch = await mailbox.fetch(_FETCH, timeout=_WAIT_S)
                    except (nats.errors.TimeoutError, TimeoutError):
                        continue
                    for told in batch:
                        self._take(box, told.data, told.headers or {})
                        await told.ack()
            except (nats.errors.Error, OSError) as error:
                logger.warning("mailbox %s cannot be read (%s): again", box, error)
                await asyncio.sleep(_RETRY_S)

    def _take(self, box: str, raw: bytes, headers: Mapping[str, str]) -> None:
        now = self._clock.market_ns()
        try:
            item = validate(raw)
        except DataError as error:
            self._refuse(raw.decode(errors="replace"), str(error))
            return
        if item.source_agent == self._agent:
            return  # our own word to all
        try:
            self._admission.admit(item, now, addressee=box, raw=raw, signature=headers.get(SIGNATURE, ""))
        except RefusedError as error:
            self._refuse(item, str(error))
            return
        self._journal.append("received", now, item)
        self._came.append(item)
        self._arrived.set()

    def _refuse(self, item: Message | str, why: str) -> None:
        self.refused += 1
        self._journal.append("refused", self._clock.market_ns(), item, why)


def admitted_before(path: Path) -> list[tuple[str, str]]:
    """Identities of all messages a journal has as received: what :class:`Admission` must not admit again."""
    if not path.is_file():
        return []
    return [
        (entry.message.source_agent, identity(entry.message))
        for entry in read(path)
        if entry.event == "received" and entry.message is not None
    ]


def _library() -> Any:
    try:
        import nats
        import nats.errors
    except ImportError:
        raise UsageError("agents over NATS need nats-py: pip install 'tidewright[nats]'") from None
    return nats


async def _log(error: Exception) -> None:
    logger.warning("NATS: %s: %s", type(error).__name__, error)
