"""Capital among several strategies, by the coordination pattern in force, from what all of them earn in their shadows.

Every ``round_cycles`` decisions the council hears what each agent's shadow account has gained, decides the shares, and
the desk is told. All of it is journalled before it is acted on.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidewright.coordination.admission import Admission, Rules
from tidewright.coordination.bus import Bus
from tidewright.coordination.council import Council
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import message
from tidewright.coordination.patterns.opinion import Outcome, Result
from tidewright.trading.coordinator import EXECUTOR, AgentLine, Coordinator, fitted
from tidewright.trading.correlations import Correlations, Tell
from tidewright.trading.several import STEP, Desk

TABLE: Final = "voices"
_PRIOR: Final = 10.0  # rounds of a coin that a new agent's record counts as
_MEMORY: Final = 0.99  # weight of a round in the record, a round later


class Capital(Coordinator):
    """Holds the council of a session in which several strategies trade.

    Parameters
    ----------
    council
        Its members are the strategies' agents, the master first.
    round_cycles
        Decisions from one allocation to the next.
    voices
        Agents of other processes: a council of their own, about numbers (``agent.name``) and the direction.
    """

    def __init__(
        self,
        council: Council,
        journal: Journal,
        threshold: float,
        round_cycles: int = 10,
        voices: "Voices | None" = None,
    ) -> None:
        self.voices = voices
        super().__init__(council, journal, threshold, None, round_cycles)
        self._bus = Bus(journal, Admission(Rules.council(EXECUTOR, council.members)), (EXECUTOR,))
        self._desk: Desk | None = None
        self._record = dict.fromkeys(council.members, (0.0, 0.0))  # rounds better than the mean, and all, old ones less
        self._alike: Correlations | None = None
        self._due = True

    def seat(self, desk: Desk, tell: Tell) -> None:
        """The desk it allocates for, and where alarms go about agents that earn and lose as one."""
        self._desk = desk
        self._alike = Correlations(self.council.members, tell)

    def remember(self, told: Mapping[str, Any]) -> None:
        """Take in a decision of before a restart: the usual size of differences and who was right."""
        gains = {str(agent): float(gain) for agent, gain in told.get("gains", {}).items()}
        self._learn(gains)
        self._said = {str(agent): float(sure) for agent, sure in told.get("confidences", {}).items()}

    def switch(self, pattern: str, now_ns: int) -> str:
        """Put another pattern in force; the capital moves at the next decision."""
        self._due = True
        if self.voices is not None:
            self.voices.switch(pattern, now_ns)
        return super().switch(pattern, now_ns)

    def open(self, now_ns: int, pattern: str = "") -> None:
        """Write down who sits at the tables."""
        super().open(now_ns, pattern)
        if self.voices is not None:
            self.voices.open(now_ns, pattern)

    async def start(self) -> None:
        """Connect the agents of other processes."""
        if self.voices is not None:
            await self.voices.start()

    async def close(self) -> None:
        """Let them go."""
        if self.voices is not None:
            await self.voices.close()

    @property
    def round_ends(self) -> bool:
        """Whether agents of other processes are to be waited for."""
        return self.voices is not None and self.voices.round_ends

    async def gather(self) -> None:
        """Wait for their votes."""
        if self.voices is not None:
            await self.voices.gather()

    def tell(self, now_ns: int, facts: Mapping[str, Any]) -> None:
        """Tell them of a round that begins."""
        if self.voices is not None:
            self.voices.tell(now_ns, facts)

    def turn(self, now_ns: int, strategy: str, incumbent: Mapping[str, float]) -> Outcome | None:
        """One decision of the session: at the end of a round, or after a switch, the capital is allocated anew."""
        self._calls += 1
        if self._desk is not None and (self._due or self._calls % self._round_cycles == 0):
            self._due = False
            self._allocate(now_ns, self._desk)
        if self.voices is None:
            return None
        outcome = self.voices.turn(now_ns, strategy, incumbent)
        self.lean = self.voices.lean
        return outcome

    def _allocate(self, now_ns: int, desk: Desk) -> None:
        gains = self.shadow.gains() if self.shadow is not None else {}
        results = self._learn(gains)
        if self._alike is not None:
            self._alike.add(now_ns, gains)
        for agent, one in desk.agents.items():
            if self.shadow is not None:
                self.shadow.use(agent, desk.aims.get(agent, one.params))  # they may have been tuned or set by hand
        self._said = {}
        for agent in desk.speaking:
            wins, rounds = self._record[agent]
            self._said[agent] = (wins + _PRIOR / 2) / (rounds + _PRIOR)
            number = self.council.rounds
            vote = {"question": f"round-{number}", "round": number, "confidence_score": self._said[agent]}
            self._bus.publish(message("vote", now_ns, agent, EXECUTOR, vote), now_ns)
        for item in self._bus.drain(EXECUTOR):
            self.council.hear(item)
        outcome = self.council.decide({}, results)
        moved = self._moved(desk.shares, outcome.shares)
        self.shares = moved or desk.shares
        self._tell_decision(now_ns, {}, results, outcome, gains=gains, capital=self.shares, confidences=self._said)
        if moved:
            desk.fund(moved)

    def _learn(self, gains: Mapping[str, float]) -> dict[str, Result]:
        """Losses of the round, and whether each that had said how sure it was did better than the mean."""
        if len(gains) < len(self.council.members):
            return {}
        found = {}
        for agent, loss in self._losses.of(gains).items():
            said = self._said.get(agent)
            found[agent] = Result(loss, said, loss < 0.5 if said is not None else None)
            wins, rounds = self._record[agent]
            self._record[agent] = (_MEMORY * wins + (loss < 0.5), _MEMORY * rounds + 1.0)
        return found

    @staticmethod
    def _moved(now: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, float]:
        """Shares in twentieths, where one differs from what is allocated by more than that; else nothing."""
        silent = [agent for agent, share in now.items() if share and not shares.get(agent)]
        near = all(abs(shares.get(agent, 0.0) - share) <= STEP for agent, share in now.items())
        return {} if any(now.values()) and near and not silent else in_steps(shares)


class Voices(Coordinator):
    """Agents of other processes beside several strategies: their votes and forecasts, by the pattern in force.

    They hold no capital. Numbers are named ``agent.name``; nobody keeps shadow accounts of them, so a voter's weight
    comes from its forecasts.

    Parameters
    ----------
    strategies
        Rule of each agent that trades.
    """

    def __init__(
        self,
        council: Council,
        journal: Journal,
        threshold: float,
        line: AgentLine | None,
        round_cycles: int,
        outside: Sequence[str],
        strategies: Mapping[str, str],
        votes_s: float = 10.0,
    ) -> None:
        super().__init__(council, journal, threshold, line, round_cycles, outside, votes_s, TABLE)
        self._strategies = dict(strategies)

    def _fitted(self, strategy: str, incumbent: Mapping[str, float], params: Mapping[str, float]) -> dict[str, float]:
        found = dict(incumbent)
        for agent, rule in self._strategies.items():
            now, new = (
                {key.removeprefix(f"{agent}."): value for key, value in told.items() if key.startswith(f"{agent}.")}
                for told in (incumbent, params)
            )
            found |= {f"{agent}.{key}": value for key, value in fitted(rule, now, new).items()}
        return found


def in_steps(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares in whole twentieths, together at most what they were: what is left goes to the largest remainders."""
    count = round(1 / STEP)
    whole = {agent: math.floor(share * count + 1e-9) for agent, share in shares.items()}
    left = math.floor(math.fsum(shares.values()) * count + 1e-9) - sum(whole.values())
    by_rest = sorted(shares, key=lambda agent: (whole[agent] - shares[agent] * count, agent))
    for agent in by_rest[: max(0, left)]:
        whole[agent] += 1
    return {agent: parts / count for agent, parts in whole.items()}
