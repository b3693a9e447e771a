"""Whether a valid message may be acted on: meant for us, allowed to come from there, signed, fresh, not seen before."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tidewright.coordination.messages import Message, identity
from tidewright.coordination.signing import Keyring
from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.errors import TidewrightError


class RefusedError(TidewrightError):
    """A valid message that may not be acted on; the text says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may say what to whom, and how old it may be.

    Attributes
    ----------
    routes
        Allowed (source agent, target agent, message type). What is not named is refused.
    max_age_ns
        Oldest message that is acted on, nanoseconds of market time, by message type; ``default_age_ns`` for the others.
    max_ahead_ns
        How far a timestamp may lie ahead of market time.
    """

    routes: frozenset[tuple[str, str, str]]
    max_age_ns: dict[str, int] = field(default_factory=dict)
    default_age_ns: int = 10 * MINUTE
    max_ahead_ns: int = SECOND

    @classmethod
    def asking(cls, askers: Iterable[str], advisor: str, max_age_ns: int = 10 * MINUTE) -> "Rules":
        """Rules of an advisor and those it advises: requests and decisions go out, proposals and statuses come back."""
        routes = set()
        for asker in askers:
            routes |= {(asker, advisor, kind) for kind in ("optimize_request", "decision", "status")}
            routes |= {(advisor, asker, kind) for kind in ("parameter_update", "status")}
        return cls(frozenset(routes), default_age_ns=max_age_ns)

    @classmethod
    def council(cls, executor: str, agents: Iterable[str], max_age_ns: int = 10 * MINUTE) -> "Rules":
        """Rules of one executor and agents that vote: they speak to it, it speaks to them all."""
        up = ("vote", "insight", "heartbeat", "parameter_update", "status", "risk_event")
        routes = {(agent, executor, kind) for agent in agents for kind in up}
        routes |= {(executor, "agents", kind) for kind in ("decision", "status", "heartbeat", "risk_event")}
        return cls(frozenset(routes), default_age_ns=max_age_ns)


class Admission:
    """Applies the rules and remembers what was admitted; a message counts as seen only if it was admitted.

    Parameters
    ----------
    rules
        The rules.
    keys
        Of the agents; with them a message must be signed with its source agent's key. ``None``: nothing is signed, as
        inside one process or over the pipes of a child.
    seen
        Identities (:func:`tidewright.coordination.messages.identity`, with the source) admitted before a restart.
    """

    def __init__(self, rules: Rules, seen: Iterable[tuple[str, str]] = (), keys: Keyring | None = None) -> None:
        self.rules, self.keys = rules, keys
        self._seen = set(seen)

    def admit(self, item: Message, now_ns: int, *, addressee: str = "", raw: bytes = b"", signature: str = "") -> None:
        """Admit a message.

        Parameters
        ----------
        now_ns
            Market time, nanoseconds.
        addressee
            Whose mailbox it lay in; empty: the transport has none.
        raw, signature
            The bytes as they came, and what they were signed with.

        Raises
        ------
        RefusedError
            If it is addressed to another agent, the sender may not send this to that target, it is not signed with the
            sender's key, too old, ahead of time, or a repetition.
        """
        route = (item.source_agent, item.target_agent, item.message_type)
        if addressee and item.target_agent != addressee:
            raise RefusedError(f"{route[2]} is addressed to {item.target_agent}, but came to {addressee}")
        if route not in self.rules.routes:
            raise RefusedError(f"{route[0]} may not send {route[2]} to {route[1]}")
        if self.keys is not None:
            fault = self.keys.fault(item.source_agent, raw, signature)
            if fault:
                raise RefusedError(fault)
        age = now_ns - item.timestamp_ns
        limit = self.rules.max_age_ns.get(item.message_type, self.rules.default_age_ns)
        if age > limit:
            raise RefusedError(f"{route[2]} may be at most {limit / SECOND:g} s old, was {age / SECOND:g} s")
        if -age > self.rules.max_ahead_ns:
            ahead = self.rules.max_ahead_ns / SECOND
            raise RefusedError(f"{route[2]} may be at most {ahead:g} s ahead of market time, was {-age / SECOND:g} s")
        key = (item.source_agent, identity(item))
        if key in self._seen:
            raise RefusedError(f"{route[2]} was received before: {key[1]}")
        self._seen.add(key)
