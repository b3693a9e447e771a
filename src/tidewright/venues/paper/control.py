"""The control channel without sockets: registered sessions, their barriers, and how far market time may run.

A session's barriers lie on the grid start + k * cycle. In lockstep market time stands while any session holds its
barrier and while nobody is registered; in paced modes barriers are announced and not waited for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tidewright.market.errors import UsageError


@dataclass(slots=True, eq=False)
class ControlSession:
    """One registered session.

    Attributes
    ----------
    due_ns
        Its next barrier, or the one it holds.
    holding
        Whether it has been told of the barrier and has not released it.
    account
        Index of the account whose execution ids it follows.
    """

    name: str
    cycle_ns: int
    start_ns: int
    due_ns: int
    holding: bool = False
    account: int = 0


class Barriers:
    """Registered sessions and the instant that market time may reach.

    Parameters
    ----------
    end_ns
        End of the tape.
    accounts
        Number of accounts.
    """

    def __init__(self, end_ns: int, accounts: int = 1) -> None:
        self._end_ns = end_ns
        self._accounts = accounts
        self.sessions: list[ControlSession] = []

    def register(self, message: Mapping[str, Any], now_ns: int) -> ControlSession:
        """Add a session.

        Parameters
        ----------
        message
            ``name``, ``cycle_ns``, ``start_ns`` (null: now; in the past: its grid goes on), optional ``account``.
        now_ns
            Market time.

        Raises
        ------
        UsageError
            If a field is missing or out of range.
        """
        cycle = _integer(message, "cycle_ns", None)
        if cycle is None or cycle <= 0:
            raise UsageError(f"cycle_ns must be an integer > 0, was {message.get('cycle_ns')!r}")
        start = _integer(message, "start_ns", now_ns)
        account = _integer(message, "account", 0)
        assert start is not None and account is not None
        if not 0 <= account < self._accounts:
            raise UsageError(f"account must be from 0 to {self._accounts - 1}, was {account}")
        due = start if start >= now_ns else start + -(-(now_ns - start) // cycle) * cycle
        session = ControlSession(str(message.get("name", "")), cycle, start, due, account=account)
        self.sessions.append(session)
        return session

    def leave(self, session: ControlSession) -> None:
        """Remove a session; one that has already gone is no error."""
        if session in self.sessions:
            self.sessions.remove(session)

    def release(self, session: ControlSession, message: Mapping[str, Any]) -> None:
        """Let time run to the session's next barrier, or to ``until``.

        Raises
        ------
        UsageError
            If the session holds no barrier, or another one, or ``until`` does not lie after it.
        """
        ts, until = _integer(message, "ts", None), _integer(message, "until", None)
        if not session.holding or ts != session.due_ns:
            held = session.due_ns if session.holding else "none"
            raise UsageError(f"released the barrier {ts}, but the session holds {held}")
        if until is not None and until <= session.due_ns:
            raise UsageError(f"until must lie after the barrier {session.due_ns}, was {until}")
        session.due_ns = until if until is not None else session.due_ns + session.cycle_ns
        session.holding = False

    def target(self) -> int | None:
        """Instant that market time may run to in lockstep; ``None`` while it must stand."""
        if not self.sessions or any(session.holding for session in self.sessions):
            return None
        return self.next_due()

    def next_due(self) -> int:
        """The earliest barrier that nobody holds yet, at most the end of the tape."""
        return min((s.due_ns for s in self.sessions if not s.holding), default=self._end_ns)

    def reached(self, now_ns: int) -> list[ControlSession]:
        """Sessions whose barrier market time has just reached; at the end of the tape, all of them."""
        ended = now_ns >= self._end_ns
        found = [s for s in self.sessions if not s.holding and (ended or s.due_ns <= now_ns)]
        for session in found:
            session.holding = True
            session.due_ns = now_ns
        return found


def skip_to_grid(session: ControlSession, now_ns: int) -> None:
    """In paced modes: let go of a barrier by itself and wait for the first one of the grid after market time."""
    missed = (now_ns - session.due_ns) // session.cycle_ns + 1
    session.due_ns += missed * session.cycle_ns
    session.holding = False


def _integer(message: Mapping[str, Any], name: str, default: int | None) -> int | None:
    value = message.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be an integer, was {value!r}")
    return value


def parse(raw: str) -> dict[str, Any]:
    """A control message.

    Raises
    ------
    UsageError
        If it is no JSON object with an ``op``.
    """
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise UsageError("a control message must be JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        raise UsageError('a control message must be an object with an "op"')
    return message
