"""What people tell a running session: command messages in a folder beside its state, each answered in a file.

Who may write into a session's folder may command it: the folder's permissions are the authority. A command is read,
checked, journalled, and only then acted on; what is not a command, is late, or came before, is refused with a reason.
"""

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tidewright.coordination.admission import Admission, RefusedError, Rules
from tidewright.coordination.agent_payloads import Command
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import MAX_BYTES, CommandMessage, Message, encode, message, validate
from tidewright.market.clock import DAY, MINUTE, SECOND, Clock
from tidewright.market.errors import DataError, NotRunningError, TidewrightError, TimedOutError
from tidewright.trading import state_file

FOLDER: Final = "commands"
OPERATOR, EXECUTOR = "operator", "executor"
_ENDED: Final = ".answer.json"
_LOOK_S: Final = 0.05
URGENT: Final = ("stop", "emergency_stop")


def rules(cycle_ns: int, pace: float | None) -> Rules:
    """Who may command, and how old a command may be.

    The sender knows market time as of the state it read: a cycle and a minute of wall time ago at most. In lockstep
    market time outruns everybody, so only its ids tell an old command from a new one.
    """
    age = 366 * DAY if pace is None else cycle_ns + round(pace * MINUTE)
    ahead = 366 * DAY if pace is None else max(2, round(2 * pace)) * SECOND
    return Rules(frozenset({(OPERATOR, EXECUTOR, "command")}), default_age_ns=age, max_ahead_ns=ahead)


@dataclass(slots=True)
class CommandBox:
    """The session's end.

    Parameters
    ----------
    folder
        Of the session.
    journal
        Where every command is written before it is acted on, and every answer before it is given.

    Attributes
    ----------
    now_ns
        Market time of the last look, for the watcher.
    """

    folder: Path
    journal: Journal
    clock: Clock
    admission: Admission | None = None
    answered: int = field(default=0, init=False)
    _open: dict[str, Path] = field(default_factory=dict, init=False)

    def open(self, cycle_ns: int, pace: float | None) -> None:
        """Begin to listen; what was left there for an earlier run is refused."""
        inbox = self.folder / FOLDER
        inbox.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.admission = Admission(rules(cycle_ns, pace))
        for path in sorted(inbox.glob("*.json")):
            if not path.name.endswith(_ENDED) and not _answer_path(path).exists():
                self._refuse(path, path.read_bytes()[:MAX_BYTES], "it was written before the session began to listen")

    def take(self) -> list[CommandMessage]:
        """Commands that came since the last call, journalled and admitted, in the order of their ids."""
        if self.admission is None:
            return []
        taken = []
        for name in sorted(os.listdir(self.folder / FOLDER)):
            path = self.folder / FOLDER / name
            if not name.endswith(".json") or name.endswith(_ENDED) or name.startswith("."):
                continue
            item = self._read(path)
            if item is not None:
                self._open[item.data.command_id] = path
                taken.append(item)
        return taken

    def answer(self, command: Command, accepted: bool, *reasons: str) -> None:
        """Journal what became of a command and tell the sender."""
        now = self.clock.market_ns()
        data = {"in_reply_to": command.command_id, "accepted": accepted, "reasons": list(reasons)}
        reply = message("decision", now, EXECUTOR, OPERATOR, data)
        self.journal.append("sent", now, reply)
        path = self._open.pop(command.command_id, None)
        if path is not None:
            _write(_answer_path(path), encode(reply))
        self.answered += 1

    def _read(self, path: Path) -> CommandMessage | None:
        raw = path.read_bytes()
        path.rename(path.with_suffix(".taken"))
        now = self.clock.market_ns()
        try:
            item = validate(raw)
            assert self.admission is not None
            self.admission.admit(item, now)
        except (DataError, RefusedError) as error:
            self._refuse(path, raw, str(error))
            return None
        self.journal.append("received", now, item)
        return item if isinstance(item, CommandMessage) else None

    def _refuse(self, path: Path, raw: bytes, why: str) -> None:
        now = self.clock.market_ns()
        text = raw.decode(errors="replace")
        self.journal.append("refused", now, text, why)
        if path.exists():
            path.rename(path.with_suffix(".taken"))
        data = {"in_reply_to": path.stem, "accepted": False, "reasons": [why[:4096]]}
        _write(_answer_path(path), encode(message("decision", now, EXECUTOR, OPERATOR, data)))


def post(folder: Path, command: str, market_time: str, **details: Any) -> str:
    """The operator's end: put a command into a session's folder.

    Parameters
    ----------
    market_time
        As the session's state told it, ISO 8601.
    details
        Further fields of :class:`tidewright.coordination.agent_payloads.Command`.

    Returns
    -------
    str
        The command's id.

    Raises
    ------
    DataError
        If it is not a valid command.
    NotRunningError
        If the session does not listen.
    """
    inbox = folder / FOLDER
    if not inbox.is_dir():
        raise NotRunningError(f"the session at {folder} does not take commands")
    number = f"{time.time_ns()}-{secrets.token_hex(4)}"
    data = {"command": command, "command_id": number, **details}
    item: Message = validate(
        orjson.dumps(
            {
                "timestamp": market_time,
                "source_agent": OPERATOR,
                "target_agent": EXECUTOR,
                "message_type": "command",
                "data": data,
            }
        )
    )
    _write(inbox / f"{number}.json", encode(item))
    return number


def wait(folder: Path, command_id: str, timeout_s: float, tick: Callable[[], None] = lambda: None) -> Mapping[str, Any]:
    """The answer to a command: ``accepted`` and ``reasons``.

    Raises
    ------
    TimedOutError
        If there is none in time: it may still be acted on.
    NotRunningError
        If the session ended without one.
    """
    path = folder / FOLDER / f"{command_id}{_ENDED}"
    deadline = time.monotonic() + timeout_s
    while True:
        running = state_file.is_running(state_file.read(folder / state_file.NAME))
        if path.is_file():
            answer: Mapping[str, Any] = orjson.loads(path.read_bytes())["data"]
            return answer
        if not running:
            raise NotRunningError(f"the session at {folder} ended before it answered")
        if time.monotonic() > deadline:
            raise TimedOutError(f"no answer to command {command_id} within {timeout_s:g} s; it may still be acted on")
        tick()
        time.sleep(_LOOK_S)


def tell(
    path: Path, command: str, timeout_s: float, tick: Callable[[], None] = lambda: None, **details: Any
) -> Mapping[str, Any]:
    """Post a command to the session of a state file and wait for its answer.

    Raises
    ------
    TidewrightError
        If it refused; the text says why.
    NotRunningError, TimedOutError
        As :func:`wait`.
    """
    state = state_file.read(path)
    if not state_file.is_running(state):
        raise NotRunningError(f"the session at {path.parent} is not running")
    number = post(path.parent, command, str(state.get("market_time") or "1970-01-01T00:00:00Z"), **details)
    answer = wait(path.parent, number, timeout_s, tick)
    if not answer["accepted"]:
        raise TidewrightError(f"refused: {'; '.join(answer['reasons'])}")
    return answer


def _answer_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}{_ENDED}")


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
