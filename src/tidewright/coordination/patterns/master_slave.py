"""Master and slaves: the master decides, advisors propose, a standby takes over when the master is silent.

There is never more than one master whose orders count. Every claim to be master carries a fencing token; tokens of
different agents differ, a later claim has a greater one, and what stands in front of the venue (a session's lease) lets
nothing through that bears a smaller token than it has seen (the fencing of Kleppmann, "How to do distributed locking",
2016).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from tidewright.coordination.patterns.opinion import Opinion, Outcome, Result
from tidewright.market.errors import UsageError

TAKEOVER_CYCLES: Final = 3


class Candidate:
    """One agent that is master or can become it.

    Parameters
    ----------
    name
        Its own name.
    succession
        All candidates in the order in which they take over; the first begins as master.
    takeover_cycles
        Silent cycles after which the first standby takes over; each further standby waits one cycle longer.

    Attributes
    ----------
    token
        Greatest fencing token it knows of.
    """

    def __init__(self, name: str, succession: Sequence[str], takeover_cycles: int = TAKEOVER_CYCLES) -> None:
        if name not in succession or len(set(succession)) != len(succession):
            raise UsageError(f"{name!r} must be one of the candidates, each named once: {', '.join(succession)}")
        if takeover_cycles < 1:
            raise UsageError(f"a takeover needs at least 1 silent cycle, was {takeover_cycles}")
        self.name, self._succession, self._takeover = name, tuple(succession), takeover_cycles
        self._rank = self._succession.index(name)
        self.token = len(succession)  # of the first in the succession: rank 0
        self._silent = 0
        self._master = self._rank == 0

    @property
    def is_master(self) -> bool:
        """Whether it believes to be master; only the fence knows."""
        return self._master

    @property
    def patience(self) -> int:
        """Silent cycles after which it takes over."""
        ahead = (self._rank - self.token % len(self._succession)) % len(self._succession)
        return self._takeover + max(0, ahead - 1)

    def hear(self, agent: str, token: int) -> None:
        """Take in a heartbeat of a master."""
        if agent == self.name or token < self.token:
            return
        if token > self.token or not self._master:
            self.token, self._silent = token, 0
            self._master = False

    def refused(self, token: int) -> None:
        """Learn from the fence that a greater token is in force: step down."""
        if token > self.token:
            self.token, self._silent, self._master = token, 0, False

    def cycle(self) -> bool:
        """One cycle has passed; whether it is master now, and so beats and acts with :attr:`token`."""
        if self._master:
            return True
        self._silent += 1
        if self._silent > self.patience:
            count = len(self._succession)
            self.token = (self.token // count + 1) * count + self._rank
            self._master, self._silent = True, 0
        return self._master


class MasterSlave:
    """The executor decides; of the proposals it takes the most confident one that passes its threshold.

    Parameters
    ----------
    threshold
        Least confidence; may be changed.
    succession
        Agents that may hold the capital, the master first; empty: whoever speaks first in the alphabet.
    takeover_decisions
        Decisions without a word of the master after which the next in the succession holds the capital.
    """

    name = "master_slave"

    def __init__(
        self, threshold: float = 0.6, succession: Sequence[str] = (), takeover_decisions: int = TAKEOVER_CYCLES
    ) -> None:
        self.threshold, self._succession, self._takeover = threshold, tuple(succession), takeover_decisions
        self._holder, self._silent = 0, 0

    def decide(self, incumbent: Mapping[str, float], opinions: Sequence[Opinion]) -> Outcome:
        """The master's numbers, or those of the best proposal; all capital to one agent."""
        spoken = {opinion.agent: opinion for opinion in opinions}
        holder = self._next_holder(spoken)
        good = [opinion for opinion in opinions if opinion.confidence >= self.threshold and opinion.params]
        best = max(good, key=lambda opinion: (opinion.confidence, opinion.agent), default=None)
        params = dict(incumbent)
        if best is not None:
            params.update({name: value for name, value in best.params.items() if name in incumbent})
        stance = spoken[holder].stance if holder in spoken else 0
        why = f"{best.agent} proposed with {best.confidence:.3f}" if best is not None else "no proposal is good enough"
        return Outcome(params, stance, {holder: 1.0} if holder else {}, why)

    def believe(self, beliefs: Mapping[str, float]) -> float | None:
        """What the master itself forecasts."""
        return beliefs.get(self._succession[self._holder]) if self._succession else None

    def learn(self, results: Mapping[str, Result]) -> None:
        """A master does not learn from the others' results."""

    def _next_holder(self, spoken: Mapping[str, Opinion]) -> str:
        if not self._succession:
            return min(spoken, default="")
        current = self._succession[self._holder]
        self._silent = 0 if current in spoken else self._silent + 1
        if self._silent > self._takeover:
            order = [(self._holder + step) % len(self._succession) for step in range(1, len(self._succession) + 1)]
            alive = [index for index in order if self._succession[index] in spoken]
            if alive:
                self._holder, self._silent = alive[0], 0
        holder = self._succession[self._holder]
        return holder if holder in spoken else ""  # between silence and takeover nobody adds risk
