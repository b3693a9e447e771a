"""Agents around one table: opinions come as messages, the pattern in force decides, all patterns keep learning.

A council knows nothing but the messages it hears and the results it is told, and tells all of it with each decision:
the journal replays to the same decisions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from tidewright.coordination.agent_payloads import PATTERNS
from tidewright.coordination.messages import InsightMessage, Message, ParameterUpdateMessage, VoteMessage
from tidewright.coordination.patterns.democratic import Democratic
from tidewright.coordination.patterns.hierarchical import Hierarchical
from tidewright.coordination.patterns.master_slave import MasterSlave
from tidewright.coordination.patterns.opinion import Opinion, Outcome, Pattern, Result
from tidewright.coordination.patterns.peer_to_peer import PeerToPeer
from tidewright.market.errors import UsageError

RETURN: Final = "return"
"""Subject of an insight that is a forecast of the traded instrument's return."""

_SURE: Final = 0.99  # the most that a forecast counts for: certainty would silence all others


def make_patterns(
    members: Sequence[str], threshold: float, neighbours: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Pattern]:
    """One of each for the same members, the first of them the master."""
    return {
        "master_slave": MasterSlave(threshold, members),
        "peer_to_peer": PeerToPeer(neighbours),
        "hierarchical": Hierarchical(members),
        "democratic": Democratic(members),
    }


class Council:
    """Decides for a session.

    Parameters
    ----------
    members
        All agents that may be heard, the executor first.
    pattern
        The one in force.
    threshold
        Least confidence of a proposal in ``master_slave``.
    neighbours
        Whom each hears in ``peer_to_peer``; absent: all hear all.
    """

    def __init__(
        self,
        members: Sequence[str],
        pattern: str = "master_slave",
        threshold: float = 0.6,
        neighbours: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if len(set(members)) != len(members) or not members:
            raise UsageError(f"a council needs members, each named once, was {', '.join(members)}")
        self.members = tuple(members)
        self.neighbours = {name: tuple(heard) for name, heard in (neighbours or {}).items()}
        strange = {*self.neighbours, *(name for heard in self.neighbours.values() for name in heard)} - {*members}
        if strange:
            raise UsageError(f"{min(strange)} is no neighbour: agents are {', '.join(members)}")
        self._patterns = make_patterns(self.members, threshold, self.neighbours)
        self._beliefs: dict[str, float] = {}
        self._heard: dict[str, list[Opinion]] = {}
        self._said: list[Opinion] = []
        self._said_then: list[Opinion] = []
        self._check(pattern)
        self.pattern = pattern
        self.rounds = 0
        self.latest: Outcome | None = None

    @property
    def heard(self) -> int:
        """Opinions and forecasts since the last decision."""
        return sum(map(len, self._heard.values())) + len(self._beliefs)

    @property
    def spoken(self) -> set[str]:
        """Who has spoken since the last decision."""
        return {*self._heard, *self._beliefs}

    @property
    def opinions(self) -> dict[str, Opinion]:
        """The newest opinion of everybody who has spoken since the last decision."""
        return {agent: opinions[-1] for agent, opinions in self._heard.items()}

    def switch(self, pattern: str) -> str:
        """Put another pattern in force; it has learned from all results so far.

        Raises
        ------
        UsageError
            If there is no such pattern.
        """
        self._check(pattern)
        before, self.pattern = self.pattern, pattern
        return f"coordination {before} → {pattern}"

    def set_threshold(self, threshold: float) -> None:
        """Least confidence of a proposal in ``master_slave`` from now on."""
        slave = self._patterns["master_slave"]
        assert isinstance(slave, MasterSlave)
        slave.threshold = threshold

    def hear(self, item: Message) -> bool:
        """Take in an admitted message; whether it is an opinion of a member. The vote must be of the coming round."""
        if item.source_agent not in self.members:
            return False
        if isinstance(item, ParameterUpdateMessage):
            values = item.data.optimized_params.values()
            self._add(Opinion(item.source_agent, values, 0, item.data.confidence_score))
            return True
        if isinstance(item, VoteMessage) and item.data.round == self.rounds:
            params = {name: float(value) for name, value in item.data.params.items()}
            self._add(Opinion(item.source_agent, params, item.data.stance, item.data.confidence_score))
            return True
        if isinstance(item, InsightMessage) and item.data.subject == RETURN and item.data.value:
            sure = min(max(item.data.confidence_score, 1 - _SURE), _SURE)
            self._beliefs[item.source_agent] = sure if item.data.value > 0 else 1 - sure
            return True
        return False

    def say(self, opinion: Opinion) -> None:
        """An opinion that came without a message: the executor's own, or one that was judged before."""
        self._said.append(opinion)
        self._add(opinion)

    def _add(self, opinion: Opinion) -> None:
        self._heard.setdefault(opinion.agent, []).append(opinion)

    def begin_again(self) -> None:
        """After a restart: a round that had not been decided begins anew, what was said in it is said again."""
        self._heard.clear()
        self._beliefs.clear()
        self._said = []

    def decide(self, incumbent: Mapping[str, float], results: Mapping[str, Result] | None = None) -> Outcome:
        """Learn from what became known, then decide on what was heard since the last decision."""
        if results:
            for pattern in self._patterns.values():
                pattern.learn(results)
        opinions = [opinion for member in self.members for opinion in self._heard.get(member, ())]
        if (
            self.pattern != "democratic"
        ):  # only voters are punished for saying two things: others may correct themselves
            opinions = list({opinion.agent: opinion for opinion in opinions}.values())
        pattern = self._patterns[self.pattern]
        self.latest = replace(pattern.decide(incumbent, opinions), belief=pattern.believe(self._beliefs))
        self._heard.clear()
        self._beliefs.clear()
        self._said_then, self._said = self._said, []
        self.rounds += 1
        return self.latest

    def record(self, incumbent: Mapping[str, float], results: Mapping[str, Result], outcome: Outcome) -> dict[str, Any]:
        """What a decision tells so that it can be replayed: all but the votes, which are messages themselves."""
        return {
            "said": [asdict(opinion) for opinion in self._said_then],
            "pattern": self.pattern,
            "round": self.rounds - 1,
            "incumbent": dict(incumbent),
            "results": {agent: asdict(result) for agent, result in results.items()},
            "outcome": outcome_record(outcome),
        }

    @staticmethod
    def _check(pattern: str) -> None:
        if pattern not in PATTERNS:
            raise UsageError(f"coordination must be one of {', '.join(PATTERNS)}, was {pattern!r}")


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain JSON values."""
    believed = {} if outcome.belief is None else {"belief": outcome.belief}
    return {
        "params": dict(outcome.params),
        "stance": outcome.stance,
        "shares": dict(outcome.shares),
        "why": outcome.why,
        **believed,
    }
